"""Recurrent cells: one step of time, composed from primitives. No derivative is written here.

Inputs are rows: x_t is (B, I), so the notes' `U x_t` reads `x_t U` with U (I, H). Weights of several gates are blocks
side by side, so that one product serves all gates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .layers import as_input, is_integer, linear, parameter
from .protocol import Cell, State, is_tree


class BlockCell(Cell):
    """A cell whose weights are blocks side by side: m in U (I, m H) and b (m H,) or None, n in W (H, n H)."""

    input_blocks: int  # m
    state_blocks: int  # n

    def __init__(
        self, I: int, H: int, bias: bool = True, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32
    ) -> None:
        rng = np.random.default_rng(rng)
        self.I, self.H = I, H
        U = init.gates(self.input_blocks, lambda shape: init.glorot_uniform(shape, 1.0, rng, dtype), (I, H))
        W = init.gates(self.state_blocks, lambda shape: init.orthogonal(shape, 1.0, rng, dtype), (H, H))
        self.U, self.W = parameter(U), parameter(W)
        self.b = parameter(init.zeros((self.input_blocks * H,), dtype)) if bias else None

    def forward(self, x: Any, state: State = None, t: int | None = None) -> tuple[mg.Tensor, State]:
        x = x if is_tree(x) else as_input(x, self.input_dtype)
        self.check_axes(x, (2,))
        return super().forward(x, state, t)

    def check_axes(self, x: Any, allowed: tuple[int, ...]) -> None:
        """Raise ValueError unless x, integers counted as one-hot vectors, has one of these numbers of axes."""
        if is_tree(x):
            raise TypeError(f"{type(self).__name__}: takes one input, got a {type(x).__name__} of {len(x)}; join them "
                            "with mg.concatenate(..., axis=-1), or write a cell that takes several")  # fmt: skip
        if x.ndim + is_integer(x) not in allowed:
            times = " or, for all times, (T, B, I)" if 3 in allowed else ""
            single = "; a single example is x[None]" if x.ndim + is_integer(x) == 1 else ""
            raise ValueError(
                f"{type(self).__name__}: the input has shape {x.shape}, it must be (B, I){times}; integers lack "
                "the last axis, since each stands for a one-hot vector (such vectors themselves are floating-point)"
                + single
            )
        if not is_integer(x) and x.shape[-1] != self.I:
            raise ValueError(
                f"{type(self).__name__}: the input has shape {x.shape}, its last size must be {self.I}, the cell's I"
            )

    def project(self, xs: Any) -> Any:
        self.check_axes(xs, (2, 3))
        return linear(xs, self.U, self.b)

    def extra_repr(self) -> str:
        return f"{self.I}, {self.H}{'' if self.b is not None else ', bias=False'}"


class InterpolatingCell(BlockCell):
    """A cell whose h_t lies between h_{t-1} and a candidate, so that h is carried on outside of its products as well.

    It defines `_step(x, h, read)`, in which products take `read`: recurrent dropout masks that, and never h.
    """

    def _step(self, x: Any, h: Any, read: Any) -> tuple[Any, State]:
        raise NotImplementedError

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        return self._step(x, state, state)

    def step_masked(self, x: Any, state: State, mask: Any, **time: int) -> tuple[Any, State]:
        return self._step(x, state, state * mask)


class RNNCell(BlockCell):
    """The simple recurrent network: a_t = b + W h_{t-1} + U x_t, h_t = tanh(a_t), or max(0, a_t).

    State and output: h (B, H). Parameters U (I, H), W (H, H), b (H,).

    Args:
        nonlinearity: "tanh" or "relu"; for a relu that starts from the identity see `IRNNCell`.

    Raises:
        ValueError: for another `nonlinearity`.

    Source: Goodfellow, Bengio & Courville 2016, equations 10.8 and 10.9.

    >>> nn.RNNCell(2, 3, nonlinearity="relu")
    RNNCell(2, 3, nonlinearity='relu')  # 18 parameters
    """

    input_blocks = state_blocks = 1

    def __init__(
        self,
        I: int,
        H: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        nonlinearity: str = "tanh",
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"{type(self).__name__}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(I, H, bias, rng, dtype)
        self.nonlinearity = nonlinearity

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        a = mg.linear(state, self.W, x)
        h = mg.tanh(a) if self.nonlinearity == "tanh" else mg.relu(a)
        return h, h

    step_masked = Cell.step_masked  # a product alone reads h

    def extra_repr(self) -> str:
        option = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().extra_repr() + option


class ElmanCell(RNNCell):
    """The simple recurrent network with its output model: h_t as in `RNNCell`, o_t = c + V h_t, ŷ_t = softmax(o_t).

    State: h (B, H). Output: o (B, O), the logits; `nn.cross_entropy(o, y, reduction="sum")` is the loss
    L = L(1) + ... + L(T) of -log ŷ_t. Parameters U (I, H), W (H, H), V (H, O), b (H,), c (O,).
    Source: Goodfellow, Bengio & Courville 2016, equations 10.8 to 10.11; Elman 1990.

    >>> logits, h = nn.ElmanCell(3, 4, 5, rng=0)(np.ones((2, 3)))
    >>> logits.shape, h.shape
    ((2, 5), (2, 4))
    """

    def __init__(self, I: int, H: int, O: int, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32) -> None:
        rng = np.random.default_rng(rng)
        super().__init__(I, H, True, rng, dtype)
        self.V = parameter(init.glorot_uniform((H, O), 1.0, rng, dtype))
        self.c = parameter(init.zeros((O,), dtype))

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h, _ = super().step(x, state)
        return mg.linear(h, self.V, self.c), h

    step_masked = Cell.step_masked  # a product alone reads h

    def extra_repr(self) -> str:
        return f"{self.I}, {self.H}, {self.V.shape[1]}"


class LSTMCell(BlockCell):
    """Long short-term memory with forget gate.

    f_t = σ(W_f [h_{t-1}, x_t] + b_f),  i_t = σ(W_i [h_{t-1}, x_t] + b_i),  o_t = σ(W_o [h_{t-1}, x_t] + b_o)
    C̃_t = tanh(W_C [h_{t-1}, x_t] + b_C),  C_t = f_t * C_{t-1} + i_t * C̃_t,  h_t = o_t * tanh(C_t)

    State: (h, C), each (B, H). Output: h. Parameters U (I, 4H), W (H, 4H), b (4H,) with the gates f i o C̃ side by side;
    W_f is made of W[:, :H] for h and U[:, :H] for x. b_f starts at `forget_bias`, the rest of b at 0.
    Source: Gers, Schmidhuber & Cummins 2000; forget bias: Jozefowicz, Zaremba & Sutskever 2015.

    >>> output, (h, C) = nn.LSTMCell(3, 4, rng=0)(np.ones((2, 3)))
    >>> output is h, C.shape
    (True, (2, 4))
    """

    input_blocks = state_blocks = 4

    def __init__(
        self,
        I: int,
        H: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__(I, H, bias, rng, dtype)
        if self.b is not None:
            self.b.writable()[:H] = forget_bias

    def initial_state(self, B: int) -> State:
        """(h, C), both zeros (B, H)."""
        return super().initial_state(B), super().initial_state(B)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h, C = state
        H = self.H
        a = mg.linear(h, self.W, x)  # (B, 4H)
        gates = mg.sigmoid(a[:, : 3 * H])
        f, i, o = gates[:, :H], gates[:, H : 2 * H], gates[:, 2 * H : 3 * H]
        C = f * C + i * mg.tanh(a[:, 3 * H :])
        h = o * mg.tanh(C)
        return h, (h, C)

    step_masked = Cell.step_masked  # a product alone reads h


class ProjectedLSTMCell(LSTMCell):
    """LSTM with a smaller output than memory: h_t = P (o_t * tanh(C_t)).

    State: h (B, O) and C (B, H). Output: h. Parameters U (I, 4H), W (O, 4H), P (H, O), b (4H,).
    Source: Sak, Senior & Beaufays 2014, equation 7.

    >>> output, (h, C) = nn.ProjectedLSTMCell(3, 4, 2, rng=0)(np.ones((2, 3)))
    >>> h.shape, C.shape
    ((2, 2), (2, 4))
    """

    def __init__(
        self,
        I: int,
        H: int,
        O: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        forget_bias: float = 1.0,
    ) -> None:
        rng = np.random.default_rng(rng)
        super().__init__(I, H, bias, rng, dtype, forget_bias)
        self.W = parameter(init.gates(4, lambda shape: init.orthogonal(shape, 1.0, rng, dtype), (O, H)))
        self.P = parameter(init.orthogonal((H, O), 1.0, rng, dtype))

    def initial_state(self, B: int) -> State:
        """(h, C), zeros (B, O) and (B, H)."""
        h, C = super().initial_state(B)
        return h[:, : self.W.shape[0]], C

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h, (_, C) = super().step(x, state)
        h = h @ self.P
        return h, (h, C)

    step_masked = Cell.step_masked  # a product alone reads h

    def extra_repr(self) -> str:
        bias = "" if self.b is not None else ", bias=False"
        return f"{self.I}, {self.H}, {self.W.shape[0]}{bias}"


class GRUCell(InterpolatingCell):
    """Gated recurrent unit, in each of its published forms.

    z_t = σ(W_z [h_{t-1}, x_t]),  r_t = σ(W_r [h_{t-1}, x_t]),  h̃_t = tanh(W [r_t * h_{t-1}, x_t])
    h_t = (1 - z_t) * h_{t-1} + z_t * h̃_t

    `reset="after"` takes h̃_t = tanh(W_x x_t + r_t * (W_h h_{t-1} + b_h)); `z="old"` takes
    h_t = z_t * h_{t-1} + (1 - z_t) * h̃_t. Which is which:

    | source                                          | reset    | z     | gates side by side |
    |-------------------------------------------------|----------|-------|--------------------|
    | the equations above, and the default            | "before" | "new" | z r h̃              |
    | Cho et al. 2014, equations 5 to 8               | "before" | "old" |                    |
    | PyTorch, `torch.nn.GRU`                         | "after"  | "old" | r z n              |
    | Keras, `GRU(reset_after=True)`, the default     | "after"  | "old" | z r h              |
    | Keras, `GRU(reset_after=False)`                 | "before" | "old" | z r h              |

    State and output: h (B, H). Parameters U (I, 3H) and b (3H,) with z r h̃ side by side, W (H, 2H) with z r,
    W_h (H, H), and with `reset="after"` b_h (H,); bias=False gives the equations as they stand, else b_z, b_r and b are
    added inside σ, σ and tanh.

    Raises:
        ValueError: for another `reset` or `z`.

    >>> h, state = nn.GRUCell(3, 4, reset="after", z="old", rng=0)(np.ones((2, 3)))
    >>> h.shape
    (2, 4)
    """

    input_blocks, state_blocks = 3, 2

    def __init__(
        self,
        I: int,
        H: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        reset: str = "before",
        z: str = "new",
    ) -> None:
        if reset not in ("before", "after") or z not in ("new", "old"):
            raise ValueError(f"GRUCell: reset must be 'before' or 'after', z 'new' or 'old', got {reset!r} and {z!r}")
        rng = np.random.default_rng(rng)
        super().__init__(I, H, bias, rng, dtype)
        self.W_h = parameter(init.orthogonal((H, H), 1.0, rng, dtype))
        self.b_h = parameter(init.zeros((H,), dtype)) if bias and reset == "after" else None
        self.reset, self.z = reset, z

    def _step(self, x: Any, h: Any, read: Any) -> tuple[Any, State]:
        H = self.H
        zr = mg.sigmoid(mg.linear(read, self.W, x[:, : 2 * H]))
        z, r = zr[:, :H], zr[:, H:]
        if self.reset == "before":
            candidate = mg.tanh(mg.linear(r * read, self.W_h, x[:, 2 * H :]))
        else:
            candidate = mg.tanh(x[:, 2 * H :] + r * linear(read, self.W_h, self.b_h))
        h = h + z * (candidate - h) if self.z == "new" else candidate + z * (h - candidate)
        return h, h

    def extra_repr(self) -> str:
        options = "" if (self.reset, self.z) == ("before", "new") else f", reset={self.reset!r}, z={self.z!r}"
        return super().extra_repr() + options
