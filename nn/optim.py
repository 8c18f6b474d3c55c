"""Optimisers that update parameters in place, and gradient clipping.

A learning rate is a number, or a function of the number of steps taken so far (a schedule, see `schedules`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg

from .module import Module, check_mapping
from .words import OF_OPTIMIZERS, missing_of

Rate = float | Callable[[int], float]
BLOCK = 1 << 17  # up to so many entries of small parameters are updated at once: few calls, and little memory


def _unique(params: Iterable[mg.Tensor]) -> list[mg.Tensor]:
    if isinstance(params, Module):
        raise TypeError(f"params: got the module {type(params).__name__}; pass its weights: `module.parameters()`")
    if isinstance(params, mg.Tensor):
        raise TypeError("params: got one tensor; put it into a list: `[w]`")
    found = {id(p): p for p in params}
    for p in found.values():
        if not isinstance(p, mg.Tensor):
            raise TypeError("params must be leaf tensors with requires_grad=True, as in `module.parameters()`, got a "
                            f"{type(p).__name__}")  # fmt: skip
        if p.primitive is not None or not (p.requires_grad or p.role == "frozen"):
            raise TypeError(f"params must be leaf tensors with requires_grad=True, or frozen, got {p!r}")
    return list(found.values())


class Optimizer:
    """Base class: `step()` changes every parameter that has a gradient, once, however often it was listed.

    Args:
        params: leaf tensors with requires_grad=True, for instance `module.parameters()`. One that is frozen has no
            gradient, and so stays as it is until it is set free: `module.parameters(frozen=True)` has these as well.
        lr: the learning rate η, or a schedule.
        weight_decay: λ; adds λ w to the gradient (L2 regularisation; AdamW decouples it).

    Raises:
        TypeError: if a parameter is not such a tensor.
        ValueError: if there are no parameters, or a number is out of its range.
    """

    slots: tuple[str, ...] = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            raise missing_of(self, name, OF_OPTIMIZERS)

    def __init__(self, params: Iterable[mg.Tensor], lr: Rate, weight_decay: float = 0.0) -> None:
        self.params = _unique(params)
        if not self.params:
            raise ValueError("params is empty: there is nothing to optimise")
        check_range("lr", lr if not callable(lr) else lr(0), 0, math.inf)
        check_range("weight_decay", weight_decay, 0, math.inf)
        self.lr, self.weight_decay = lr, weight_decay
        self.steps = 0
        self._updates = [0] * len(self.params)  # a parameter without a gradient is not updated in a step
        # The arrays of some parameters lie end to end in a block; g and change are the same memory for all blocks.
        self._spans: list[tuple[int, int, int]] = []  # block, start, stop
        blocks: list[Any] = []  # dtype, size
        for p in self.params:
            if not blocks or blocks[-1][0] != p.dtype or blocks[-1][1] + p.size > BLOCK:
                blocks.append([p.dtype, 0])
            self._spans.append((len(blocks) - 1, blocks[-1][1], blocks[-1][1] + p.size))
            blocks[-1][1] += p.size
        shared = {dtype: np.empty((2, max([size for _, size in blocks])), dtype) for dtype, _ in blocks}
        self._flat = [
            dict(zip(("g", "change"), shared[dtype][:, :size])) | {slot: np.zeros(size, dtype) for slot in self.slots}
            for dtype, size in blocks
        ]
        self._parts = [
            {name: whole[start:stop].reshape(p.shape) for name, whole in self._flat[n].items()}
            for p, (n, start, stop) in zip(self.params, self._spans)
        ]

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.lr(self.steps) if callable(self.lr) else self.lr

    def step(self) -> None:
        """Update the parameters from their gradients."""
        grads = {k: g for k, p in enumerate(self.params) if (g := p.grad) is not None}
        for k, g in grads.items():
            if g.shape != self.params[k].shape:
                raise ValueError(f"step: parameter {k} has shape {self.params[k].shape}, its gradient {g.shape}")
        rate = self.rate
        self.steps += 1
        for run in self._runs(grads):
            weights = [self.params[k].writable() for k in run]
            for k, w in zip(run, weights):
                self._updates[k] += 1
                self._parts[k]["g"][...] = self._decayed(w, grads[k], rate) if self.weight_decay else grads[k]
            (n, start, _), (_, _, stop) = self._spans[run[0]], self._spans[run[-1]]
            arrays = {name: whole[start:stop] for name, whole in self._flat[n].items()}
            self._change(rate, self._updates[run[0]], **arrays)
            for k, w in zip(run, weights):
                w -= self._parts[k]["change"]

    def _runs(self, numbers: Iterable[int]) -> list[list[int]]:
        """These parameters in groups that lie end to end and were updated equally often: in general a block."""
        kinds = [(n, updates) for (n, _, _), updates in zip(self._spans, self._updates)]
        runs: list[list[int]] = []
        for k in numbers:
            if runs and runs[-1][-1] == k - 1 and kinds[k - 1] == kinds[k]:
                runs[-1].append(k)
            else:
                runs.append([k])
        return runs

    def zero_grad(self) -> None:
        """Forget every parameter's gradient."""
        for p in self.params:
            p.grad = None

    def _decayed(self, w: np.ndarray, g: np.ndarray, rate: float) -> np.ndarray:
        return g + self.weight_decay * w

    def _change(self, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        """Write into `change` what to subtract from parameters at their t-th update, and bring `kept` up to date.

        The arrays are flat; g may be overwritten.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of everything that later steps depend on: `steps`, `updates`, and `slot.k` for parameter k."""
        state = {f"{slot}.{k}": part[slot].copy() for k, part in enumerate(self._parts) for slot in self.slots}
        return {"steps": np.array(self.steps), "updates": np.array(self._updates), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. Raises ValueError, and changes nothing, if it is not of this optimiser and model."""
        check_mapping(state)
        own = self.state_dict()
        faults = [f"missing: {name}" for name in own if name not in state]
        faults += [f"unexpected: {name}" for name in state if name not in own]
        for name in own.keys() & state.keys():
            found, wanted = np.asarray(state[name]), own[name]
            if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
                faults.append(
                    f"mismatched: {name} is {found.shape} {found.dtype}, "
                    f"this optimiser has {wanted.shape} {wanted.dtype}"
                )
        if faults:
            raise ValueError("load_state_dict: nothing was loaded, the state does not fit:\n  " + "\n  ".join(faults))
        self.steps = int(state["steps"])
        self._updates = np.asarray(state["updates"]).tolist()
        for k, part in enumerate(self._parts):
            for slot in self.slots:
                part[slot][...] = state[f"{slot}.{k}"]


class SGD(Optimizer):
    """Gradient descent, with momentum μ: v ← μ v + g, w ← w - η v; Nesterov: w ← w - η (g + μ v).

    Source: Sutskever et al. 2013 (in the form that keeps η outside of v).
    """

    slots: tuple[str, ...] = ("v",)

    def __init__(
        self,
        params: Iterable[mg.Tensor],
        lr: Rate,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        check_range("momentum", momentum, 0, 1)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True needs a momentum above 0")
        self.momentum, self.nesterov = momentum, nesterov
        if not momentum:
            self.slots = ()
        super().__init__(params, lr, weight_decay)

    def _change(self, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        if self.momentum:
            v = kept["v"]
            v *= self.momentum
            v += g
            if not self.nesterov:
                g = v
            else:
                g += np.multiply(v, self.momentum, out=change)
        np.multiply(g, rate, out=change)


class Adagrad(Optimizer):
    """s ← s + g², w ← w - η g / (√s + ε). Source: Duchi, Hazan & Singer 2011."""

    slots = ("s",)

    def __init__(
        self, params: Iterable[mg.Tensor], lr: Rate = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0
    ) -> None:
        check_range("eps", eps, 0, math.inf)
        self.eps = eps
        super().__init__(params, lr, weight_decay)

    def _change(self, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        s = kept["s"]
        s += np.multiply(g, g, out=change)
        _quotient(g, rate, s, self.eps, change)


class RMSprop(Optimizer):
    """s ← ρ s + (1 - ρ) g², w ← w - η g / (√s + ε). Source: Tieleman & Hinton 2012, lecture 6.5."""

    slots = ("s",)

    def __init__(
        self,
        params: Iterable[mg.Tensor],
        lr: Rate = 1e-3,
        decay: float = 0.9,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        check_range("decay", decay, 0, 1)
        check_range("eps", eps, 0, math.inf)
        self.decay, self.eps = decay, eps
        super().__init__(params, lr, weight_decay)

    def _change(self, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        s = kept["s"]
        _approach(s, np.multiply(g, g, out=change), 1 - self.decay, change)
        _quotient(g, rate, s, self.eps, change)


class Adam(Optimizer):
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - η m̂ / (√v̂ + ε), m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    Source: Kingma & Ba 2015, algorithm 1.
    """

    slots = ("m", "v")

    def __init__(
        self,
        params: Iterable[mg.Tensor],
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        for beta in betas:
            check_range("betas", beta, 0, 1)
        check_range("eps", eps, 0, math.inf)
        self.betas, self.eps = betas, eps
        super().__init__(params, lr, weight_decay)

    def _change(self, rate: float, t: int, g: np.ndarray, change: np.ndarray, **kept: np.ndarray) -> None:
        m, v = kept["m"], kept["v"]
        _approach(m, g, 1 - self.betas[0], change)
        g *= g
        _approach(v, g, 1 - self.betas[1], change)
        # η m̂ / (√v̂ + ε) = η' m / (√v + ε'), which spares two passes over the arrays
        unbiased = math.sqrt(1 - self.betas[1] ** t)
        _quotient(m, rate * unbiased / (1 - self.betas[0] ** t), v, self.eps * unbiased, change)


class AdamW(Adam):
    """Adam with decoupled weight decay λ, 0.01 by default: w ← w - η λ w besides.

    Source: Loshchilov & Hutter 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[mg.Tensor],
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def _decayed(self, w: np.ndarray, g: np.ndarray, rate: float) -> np.ndarray:
        w *= 1 - rate * self.weight_decay
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


def check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value < high:
        raise ValueError(f"{name} must lie within [{low}, {high}), got {value}")


# --- clipping -------------------------------------------------------------------------------------------------------


def clip_grad_norm(params: Iterable[mg.Tensor], max_norm: float) -> float:
    """Scale all gradients together, in place, to a Euclidean norm of at most `max_norm`; returns the norm before.

    g ← g · min(1, max_norm / ‖g‖); `math.inf` only measures. Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.

    Raises:
        ValueError: if `max_norm` is negative or no number.
        FloatingPointError: if the norm is not finite; the gradients are left as they are.
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, got {max_norm}")
    grads = [p.grad for p in _unique(params) if p.grad is not None]
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in grads))
    if not 1e-15 < norm < 1e15:  # squares may have left the range of the dtype
        largest = max((float(np.max(np.abs(g), initial=0.0)) for g in grads), default=0.0)
        if 0 < largest < math.inf:
            norm = largest * math.sqrt(sum(float(np.sum(np.square(g / largest, dtype=np.float64))) for g in grads))
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"clip_grad_norm: the gradient's norm is {norm}; run the step under mg.detect_anomaly() to see where from"
        )
    if norm > max_norm:
        for g in grads:
            g *= max_norm / norm
    return norm


def clip_grad_value(params: Iterable[mg.Tensor], limit: float) -> None:
    """Cut every entry of every gradient, in place, to [-limit, limit]."""
    check_range("limit", limit, 0, math.inf)
    for p in _unique(params):
        if p.grad is not None:
            np.clip(p.grad, -limit, limit, out=p.grad)
