"""The optimisers: of each the options, the equation in place, and the source."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .optim import Optimizer, Params, Rate
from .options import decays, flag, within


class SGD(Optimizer):
    """Gradient descent, with momentum μ: v ← μ v + g, w ← w - η v; Nesterov: w ← w - η (g + μ v).

    With dampening δ: v ← μ v + (1 - δ) g, but v ← g at a parameter's first update, as in PyTorch.

    Raises:
        ValueError: for Nesterov's momentum without a momentum, or with dampening; see `Optimizer` for all others.

    Source: Sutskever et al. 2013 (in the form that keeps η outside of v).

    >>> w = nn.parameter([1.0, 2.0])
    >>> optimizer = nn.SGD([w], lr=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.data.round(4)
    array([0.46, 0.92])
    """

    momentum: float = within(0, 1)
    nesterov: bool = flag()
    dampening: float = within(0, 1)

    def __init__(
        self,
        params: Params,
        lr: Rate,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        dampening: float = 0.0,
        maximize: bool = False,
    ) -> None:
        self.momentum, self.nesterov, self.dampening = momentum, nesterov, dampening
        super().__init__(params, lr, weight_decay, maximize)

    def _check_options(self, o: Any) -> None:
        if o.nesterov and not o.momentum:
            raise ValueError("SGD: nesterov=True needs a momentum above 0")
        if o.nesterov and o.dampening:
            raise ValueError(f"SGD: nesterov=True goes with dampening=0 only, got {o.dampening}")

    def _slots(self, o: Any) -> tuple[str, ...]:
        return ("v",) if o.momentum else ()

    def _change(self, o: Any, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        if o.momentum:
            v = kept["v"]
            v *= o.momentum
            if o.dampening and t > 1:
                g *= 1 - o.dampening
            v += g
            if not o.nesterov:
                g = v
            else:
                g += np.multiply(v, o.momentum, out=change)
        np.multiply(g, rate, out=change)


class Adagrad(Optimizer):
    """s ← s + g², w ← w - η g / (√s + ε).

    Raises: as `Optimizer`. Source: Duchi, Hazan & Singer 2011.

    >>> w = nn.parameter([1.0, 2.0])
    >>> optimizer = nn.Adagrad([w], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.data.round(4)
    array([0.8331, 1.8311])
    """

    slots = ("s",)
    eps: float = within(0, math.inf)

    def __init__(
        self, params: Params, lr: Rate = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0, maximize: bool = False
    ) -> None:
        self.eps = eps
        super().__init__(params, lr, weight_decay, maximize)

    def _change(self, o: Any, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        s = kept["s"]
        s += np.multiply(g, g, out=change)
        _quotient(g, rate, s, o.eps, change)


class RMSprop(Optimizer):
    """s ← ρ s + (1 - ρ) g², w ← w - η d, where d = g / (√s + ε).

    Centred: m ← ρ m + (1 - ρ) g, and √(s - m²) in place of √s (0 where rounding makes it less than 0). With momentum μ:
    v ← μ v + d, w ← w - η v.

    Raises: as `Optimizer`. Source: Tieleman & Hinton 2012, lecture 6.5; centred: Graves 2013, equations 38 to 41.

    >>> w = nn.parameter([1.0, 2.0])
    >>> optimizer = nn.RMSprop([w], lr=0.01, centered=True, momentum=0.9)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.data.round(4)
    array([0.9116, 1.9114])
    """

    decay: float = within(0, 1)
    eps: float = within(0, math.inf)
    momentum: float = within(0, 1)
    centered: bool = flag()

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        decay: float = 0.9,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        self.decay, self.eps, self.momentum, self.centered = decay, eps, momentum, centered
        super().__init__(params, lr, weight_decay, maximize)

    def _slots(self, o: Any) -> tuple[str, ...]:
        return ("s", *("m",) * bool(o.centered), *("v",) * bool(o.momentum))

    def _change(self, o: Any, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        s = kept["s"]
        _approach(s, np.multiply(g, g, out=change), 1 - o.decay, change)
        if o.centered:
            m = kept["m"]
            _approach(m, g, 1 - o.decay, change)
            np.subtract(s, np.multiply(m, m, out=change), out=change)
            s = np.maximum(change, 0, out=change)
        if not o.momentum:
            _quotient(g, rate, s, o.eps, change)
        else:
            v = kept["v"]
            _quotient(g, 1.0, s, o.eps, change)
            v *= o.momentum
            v += change
            np.multiply(v, rate, out=change)


class Adam(Optimizer):
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - η m̂ / (√v̂ + ε), m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    AMSGrad: v_max ← max(v_max, v), and v_max in place of v in the last equation.

    Raises: as `Optimizer`. Source: Kingma & Ba 2015, algorithm 1; AMSGrad: Reddi, Kale & Kumar 2018, algorithm 2, with
    the bias correction of algorithm 1, as in PyTorch.

    >>> w = nn.parameter([1.0, 2.0])
    >>> optimizer = nn.Adam([w], lr=nn.cosine_decay(0.1, total=10), amsgrad=True)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.data.round(4)
    array([0.8028, 1.8026])
    """

    betas: tuple[float, float] = decays()
    eps: float = within(0, math.inf)
    amsgrad: bool = flag()

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        self.betas, self.eps, self.amsgrad = betas, eps, amsgrad
        super().__init__(params, lr, weight_decay, maximize)

    def _slots(self, o: Any) -> tuple[str, ...]:
        return ("m", "v", "v_max") if o.amsgrad else ("m", "v")

    def _change(self, o: Any, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        m, v = kept["m"], kept["v"]
        _approach(m, g, 1 - o.betas[0], change)
        g *= g
        _approach(v, g, 1 - o.betas[1], change)
        if o.amsgrad:
            v = np.maximum(kept["v_max"], v, out=kept["v_max"])
        # η m̂ / (√v̂ + ε) = η' m / (√v + ε'), which spares two passes over the arrays
        unbiased = math.sqrt(1 - o.betas[1] ** t)
        _quotient(m, rate * unbiased / (1 - o.betas[0] ** t), v, o.eps * unbiased, change)


class AdamW(Adam):
    """Adam with decoupled weight decay λ, 0.01 by default: w ← w - η λ w besides.

    Raises: as `Optimizer`. Source: Loshchilov & Hutter 2019, algorithm 2.

    >>> w = nn.parameter([1.0, 2.0])
    >>> optimizer = nn.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.data.round(4)
    array([0.7082, 1.6104])
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize)

    def _decayed(self, o: Any, w: np.ndarray, g: np.ndarray, rate: float) -> np.ndarray:
        w *= 1 - rate * o.weight_decay
        return g


def _approach(average: np.ndarray, value: np.ndarray, weight: float, scratch: np.ndarray) -> None:
    """average ← (1 - weight) average + weight value, in place."""
    np.subtract(value, average, out=scratch)
    scratch *= weight
    average += scratch


def _quotient(g: np.ndarray, rate: float, s: np.ndarray, eps: float, out: np.ndarray) -> None:
    """rate g / (√s + ε), in `out`."""
    np.sqrt(s, out=out)
    out += eps
    np.divide(g, out, out=out)
    out *= rate
