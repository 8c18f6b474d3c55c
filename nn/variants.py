"""Relatives of the three common cells, a few lines each; the blocks of U, W and b are as in `cells`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .cells import InterpolatingCell, LSTMCell, RNNCell
from .layers import layer_norm, linear, parameter
from .module import buffer
from .protocol import Cell, State


class PeepholeLSTMCell(LSTMCell):
    """LSTM whose gates see the memory: f and i see C_{t-1}, o sees C_t.

    f_t = σ(... + p_f * C_{t-1}),  i_t = σ(... + p_i * C_{t-1}),  o_t = σ(... + p_o * C_t),  the rest as in `LSTMCell`

    Parameters besides those of `LSTMCell`: p_f, p_i, p_o (H,), from 0. Source: Gers, Schraudolph & Schmidhuber 2002.

    >>> output, (h, C) = nn.PeepholeLSTMCell(3, 4, rng=0)(np.ones((2, 3)))
    >>> output.shape
    (2, 4)
    """

    def __init__(
        self,
        I: int,
        H: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__(I, H, bias, rng, dtype, forget_bias)
        self.p_f, self.p_i, self.p_o = (parameter(init.zeros((H,), dtype)) for _ in range(3))

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h, C = state
        a, H = mg.linear(h, self.W, x), self.H
        f, i = mg.sigmoid(a[:, :H] + self.p_f * C), mg.sigmoid(a[:, H : 2 * H] + self.p_i * C)
        C = f * C + i * mg.tanh(a[:, 3 * H :])
        h = mg.sigmoid(a[:, 2 * H : 3 * H] + self.p_o * C) * mg.tanh(C)
        return h, (h, C)

    step_masked = Cell.step_masked  # a product alone reads h


class CoupledLSTMCell(LSTMCell):
    """LSTM that forgets just where it writes: i_t = 1 - f_t, C_t = f_t * C_{t-1} + (1 - f_t) * C̃_t.

    Three blocks, f o C̃. Source: Greff et al. 2017, section 3 (CIFG).

    >>> nn.CoupledLSTMCell(3, 4, rng=0).U.shape
    (3, 12)
    """

    input_blocks = state_blocks = 3

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h, C = state
        a, H = mg.linear(h, self.W, x), self.H
        gates, candidate = mg.sigmoid(a[:, : 2 * H]), mg.tanh(a[:, 2 * H :])
        C = candidate + gates[:, :H] * (C - candidate)
        h = gates[:, H:] * mg.tanh(C)
        return h, (h, C)

    step_masked = Cell.step_masked  # a product alone reads h


class LayerNormLSTMCell(LSTMCell):
    """LSTM with normalised sums: a_t = LN(W h_{t-1}; α_1) + LN(U x_t; α_2) + b, h_t = o_t * tanh(LN(C_t; α_3) + β_3).

    LN(x; α) = α (x - μ) / √(σ² + ε) over all 4H sums, and over the H entries of C. Parameters besides those of
    `LSTMCell`: α_1, α_2 (4H,), α_3, β_3 (H,); b, which always exists, stands for the shifts of both sums.
    Source: Ba, Kiros & Hinton 2016, equations 20 to 22.

    >>> output, (h, C) = nn.LayerNormLSTMCell(3, 4, rng=0)(np.ones((2, 3)))
    >>> output.shape
    (2, 4)
    """

    def __init__(
        self,
        I: int,
        H: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        forget_bias: float = 1.0,
    ) -> None:
        if not bias:
            raise ValueError("LayerNormLSTMCell: bias=False is not possible, the normalisation needs a shift")
        super().__init__(I, H, True, rng, dtype, forget_bias)
        self.alpha_1, self.alpha_2, self.alpha_3 = (parameter(np.ones(n * H, dtype)) for n in (4, 4, 1))
        self.beta_3 = parameter(init.zeros((H,), dtype))

    def project(self, xs: Any) -> Any:
        self.check_axes(xs, (2, 3))
        return layer_norm(linear(xs, self.U), self.alpha_2, self.b)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h, C = state
        a, H = x + layer_norm(h @ self.W, self.alpha_1), self.H
        gates = mg.sigmoid(a[:, : 3 * H])
        C = gates[:, :H] * C + gates[:, H : 2 * H] * mg.tanh(a[:, 3 * H :])
        h = gates[:, 2 * H :] * mg.tanh(layer_norm(C, self.alpha_3, self.beta_3))
        return h, (h, C)

    step_masked = Cell.step_masked  # a product alone reads h


class MGUCell(InterpolatingCell):
    """Minimal gated unit: f_t = σ(W_f [h_{t-1}, x_t] + b_f), h̃_t = tanh(W [f_t * h_{t-1}, x_t] + b).

    h_t = (1 - f_t) * h_{t-1} + f_t * h̃_t. State and output: h (B, H). Parameters U (I, 2H) and b (2H,) with f h̃ side by
    side, W (H, H) of f and W_h (H, H) of h̃. Source: Zhou, Wu, Zhang & Zhou 2016.

    `reset="after"` takes h̃_t = tanh(W_x x_t + b + f_t * (W_h h_{t-1} + b_h)), and `f="old"` takes
    h_t = f_t * h_{t-1} + (1 - f_t) * h̃_t, as `reset` and `z` of a `GRUCell`; Flax's MGUCell is both.

    Raises:
        ValueError: for another `reset` or `f`.

    >>> h, state = nn.MGUCell(3, 4, rng=0)(np.ones((2, 3)))
    >>> h.shape
    (2, 4)
    """

    input_blocks, state_blocks = 2, 1

    def __init__(
        self,
        I: int,
        H: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        reset: str = "before",
        f: str = "new",
    ) -> None:
        if reset not in ("before", "after") or f not in ("new", "old"):
            raise ValueError(f"MGUCell: reset must be 'before' or 'after', f 'new' or 'old', got {reset!r} and {f!r}")
        rng = np.random.default_rng(rng)
        super().__init__(I, H, bias, rng, dtype)
        self.W_h = parameter(init.orthogonal((H, H), 1.0, rng, dtype))
        self.b_h = parameter(init.zeros((H,), dtype)) if bias and reset == "after" else None
        self.reset, self.f = reset, f

    def _step(self, x: Any, h: Any, read: Any) -> tuple[Any, State]:
        H = self.H
        f = mg.sigmoid(mg.linear(read, self.W, x[:, :H]))
        if self.reset == "before":
            candidate = mg.tanh(mg.linear(f * read, self.W_h, x[:, H:]))
        else:
            candidate = mg.tanh(x[:, H:] + f * linear(read, self.W_h, self.b_h))
        h = h + f * (candidate - h) if self.f == "new" else candidate + f * (h - candidate)
        return h, h

    def extra_repr(self) -> str:
        options = "" if (self.reset, self.f) == ("before", "new") else f", reset={self.reset!r}, f={self.f!r}"
        return super().extra_repr() + options


class IRNNCell(RNNCell):
    """h_t = max(0, b + W h_{t-1} + U x_t), in which W starts as the identity (times `scale`) and b as 0.

    Recurrent dropout is refused: the identity carries h on, so what a mask keeps, times 1/(1 - p), would grow as
    (1 - p)^-t. A class derived from this one may define its own `step_masked`.

    Source: Le, Jaitly & Hinton 2015.

    >>> nn.IRNNCell(3, 2, rng=0).W.data.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(
        self,
        I: int,
        H: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        scale: float = 1.0,
    ) -> None:
        super().__init__(I, H, bias, rng, dtype)
        self.W.data = scale * np.eye(H)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h = mg.relu(mg.linear(state, self.W, x))
        return h, h

    def check_masked(self, p: float) -> None:
        if not self._masked:
            raise TypeError(f"{self.name}: recurrent_dropout={p}: W starts as the identity, so what a mask keeps would "
                            f"grow by 1/(1 - {p}) at every step; use another cell, or derive a class from this one "
                            "that defines `step_masked(x, state, mask)`")  # fmt: skip


class LeakyRNNCell(InterpolatingCell):
    """Leaky units: h_t = (1 - α) h_{t-1} + α tanh(b + W h_{t-1} + U x_t), a running mean over some 1/α steps.

    Args:
        alpha: the rate, a constant within (0, 1], or one for each unit (H,).

    Source: Goodfellow, Bengio & Courville 2016, section 10.9.2; Jaeger et al. 2007.

    >>> h, state = nn.LeakyRNNCell(3, 4, rng=0)(np.ones((2, 3)))
    >>> h.shape
    (2, 4)
    """

    input_blocks = state_blocks = 1

    def __init__(
        self,
        I: int,
        H: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        alpha: Any = 0.1,
    ) -> None:
        super().__init__(I, H, bias, rng, dtype)
        self.alpha = np.array(alpha, dtype)
        if self.alpha.shape not in ((), (H,)) or not ((self.alpha > 0) & (self.alpha <= 1)).all():
            raise ValueError(f"{self.name}: alpha must be a number within (0, 1] or {H} of them, got {alpha}")

    def _step(self, x: Any, h: Any, read: Any) -> tuple[Any, State]:
        h = h + self.alpha * (mg.tanh(mg.linear(read, self.W, x)) - h)
        return h, h


class EchoStateCell(LeakyRNNCell):
    """Echo state network: leaky units whose U and W never learn; what reads h, an `nn.Linear`, does.

    W is orthogonal, times `radius`, which is then its spectral radius; U is uniform within ± `input_scale`. Both are
    buffers: saved and loaded, and no parameters.
    Source: Jaeger 2001; orthogonal W: White, Lee & Sompolinsky 2004.

    >>> cell = nn.EchoStateCell(3, 50, rng=0)
    >>> cell.parameters(), cell(np.ones((2, 3)))[0].shape
    ([], (2, 50))
    """

    def __init__(
        self,
        I: int,
        H: int,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        alpha: Any = 1.0,
        radius: float = 0.9,
        input_scale: float = 0.5,
    ) -> None:
        rng = np.random.default_rng(rng)
        super().__init__(I, H, False, rng, dtype, alpha)
        self.U = buffer(init.uniform((I, H), input_scale, rng, dtype))
        self.W = buffer(init.orthogonal((H, H), radius, rng, dtype))
