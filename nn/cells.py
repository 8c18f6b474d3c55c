"""Recurrent cells: one step of time, composed from primitives. No derivative is written here.

Inputs are rows: x_t is (B, I), so the notes' `U x_t` reads `x_t U` with U (I, H). Weights of several gates stand packed
side by side, so that one product serves all gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .layers import as_input, is_integer, linear, parameter
from .module import Module, weights_dtype

State = Any  # a Tensor, or a tuple or dict of Tensors


class Cell(Module):
    """One step of a recurrent network: (x_t, state) -> (output_t, new state).

    Define `step(x, state)`, and `H` or `initial_state(B)`. What does not depend on the state can move into
    `project(xs)`, which `Recurrent` calls once for all times: `step` then receives `project(xs)[t]` as its x.

    A state is a Tensor, or a tuple or dict of Tensors, with the batch along their first axis.
    """

    H: int

    def initial_state(self, B: int) -> State:
        """The state before the first step: zeros (B, H) in the parameters' dtype, unless overridden."""
        return mg.tensor(np.zeros((B, self.H), weights_dtype(self)))

    def checked_state(self, state: State, B: int) -> State:
        """`state`, or the initial one for None; plain arrays are read in the parameters' dtype.

        Raises:
            ValueError: if it has not the structure and shapes of the initial state.
        """
        initial = self.initial_state(B)
        if state is None:
            return initial
        found, needed = mg.tree_map(np.shape, state), mg.tree_map(np.shape, initial)
        if found != needed:
            raise ValueError(f"{self.name}: the state has shapes {found}, the cell needs {needed}")
        return mg.tree_map(lambda s, like: mg.as_tensor(s, like.dtype), state, initial)

    def project(self, xs: Any) -> Any:
        """The part of a step that needs no state, for one time (B, ...) or all (T, B, ...): xs itself by default."""
        return xs

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One step from a projected input: (output, new state)."""
        raise NotImplementedError(f"{self.name} does not define step(x, state)")

    def step_masked(self, x: Any, state: State, mask: Any) -> tuple[Any, State]:
        """A step that reads the first part of the state (the h of (h, C)) times `mask`: recurrent dropout.

        Right for a cell that reads h in products only. One that also carries h on, as a GRU does, must override this,
        since a mask that comes back at every step would let it vanish or grow.
        """
        if isinstance(state, dict):
            first = next(iter(state))
            return self.step(x, state | {first: state[first] * mask})
        if isinstance(state, tuple):
            return self.step(x, (state[0] * mask, *state[1:]))
        return self.step(x, state * mask)

    @property
    def input_dtype(self) -> np.dtype | None:
        """The dtype in which plain inputs are read: that of the weights; None for their own."""
        return weights_dtype(self)

    @property
    def name(self) -> str:
        """What messages call this cell."""
        return type(self).__name__

    def forward(self, x: Any, state: State = None) -> tuple[Any, State]:
        """One step from a plain input x (B, I), or (B,) integers for one-hot vectors; None is the initial state."""
        x = as_input(x, self.input_dtype)
        return self.step(self.project(x), self.checked_state(state, len(x)))


class FunctionCell(Cell):
    """A function (x_t, state) -> (output_t, new state) as a cell; `Recurrent` makes one of any function it is given.

    Args:
        f: the function; a `Module`, if it has parameters of its own.
        initial_state: a function of B that makes the first state; without it a state must be given in each call.
    """

    def __init__(self, f: Callable[[Any, State], tuple[Any, State]], initial_state: Any = None) -> None:
        if not callable(f):
            raise TypeError(f"a cell must be an nn.Cell or a function (x, state), got {type(f).__name__}")
        self.f, self.make_state = f, initial_state

    def initial_state(self, B: int) -> State:
        """The first state, if a function for it was given."""
        if self.make_state is None:
            raise ValueError(
                f"{self.name}: a function has no initial state; pass one for each layer, or make a cell of it: "
                "nn.FunctionCell(f, initial_state=lambda B: mg.tensor(np.zeros((B, H))))"
            )
        return self.make_state(B)

    def checked_state(self, state: State, B: int) -> State:
        """`state`, or the initial one for None; plain arrays become Tensors."""
        state = self.initial_state(B) if state is None else state
        return mg.tree_map(lambda s: s if isinstance(s, mg.Tensor) else mg.tensor(s), state)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        return self.f(x, state)

    def forward(self, x: Any, state: State = None) -> tuple[Any, State]:
        x = as_input(x, self.input_dtype)
        return self.step(x, self.checked_state(state, len(x)))

    @property
    def input_dtype(self) -> np.dtype | None:
        return weights_dtype(self) if self.parameters(frozen=True) else None

    @property
    def name(self) -> str:
        return str(getattr(self.f, "__name__", type(self.f).__name__))


class Linked(Cell):
    """A cell with packed weights U (I, m H) and b (m H,) or None for the inputs, W (H, n H) for the state."""

    inputs: int  # m
    states: int  # n

    def __init__(
        self, I: int, H: int, bias: bool = True, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32
    ) -> None:
        rng = np.random.default_rng(rng)
        self.I, self.H = I, H
        self.U = parameter(init.gates(self.inputs, lambda shape: init.glorot_uniform(shape, 1.0, rng, dtype), (I, H)))
        self.W = parameter(init.gates(self.states, lambda shape: init.orthogonal(shape, 1.0, rng, dtype), (H, H)))
        self.b = parameter(init.zeros((self.inputs * H,), dtype)) if bias else None

    def forward(self, x: Any, state: State = None) -> tuple[Any, State]:
        x = as_input(x, self.input_dtype)
        self.check_axes(x, (2,))
        return super().forward(x, state)

    def check_axes(self, x: Any, allowed: tuple[int, ...]) -> None:
        """Raise ValueError unless x, integers counted as one-hot vectors, has one of these numbers of axes."""
        if x.ndim + is_integer(x) not in allowed:
            times = " or, for all times, (T, B, I)" if 3 in allowed else ""
            raise ValueError(
                f"{type(self).__name__}: the input has shape {x.shape}, it must be (B, I){times}; integers lack "
                "the last axis, since each stands for a one-hot vector (such vectors themselves are floating-point)"
            )

    def project(self, xs: Any) -> Any:
        self.check_axes(xs, (2, 3))
        return linear(xs, self.U, self.b)

    def extra_repr(self) -> str:
        return f"{self.I}, {self.H}{'' if self.b is not None else ', bias=False'}"


class Carrying(Linked):
    """A cell that also carries h on outside of its products: `_step(x, h, read)`, in which products take `read`."""

    def _step(self, x: Any, h: Any, read: Any) -> tuple[Any, State]:
        raise NotImplementedError

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        return self._step(x, state, state)

    def step_masked(self, x: Any, state: State, mask: Any) -> tuple[Any, State]:
        return self._step(x, state, state * mask)


class RNNCell(Linked):
    """The simple recurrent network: a_t = b + W h_{t-1} + U x_t, h_t = tanh(a_t).

    State and output: h (B, H). Parameters U (I, H), W (H, H), b (H,).
    Source: Goodfellow, Bengio & Courville 2016, equations 10.8 and 10.9.
    """

    inputs = states = 1

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h = mg.tanh(mg.linear(state, self.W, x))
        return h, h


class ElmanCell(RNNCell):
    """The simple recurrent network with its output model: h_t as in `RNNCell`, o_t = c + V h_t, ŷ_t = softmax(o_t).

    State: h (B, H). Output: o (B, O), the logits; `nn.cross_entropy(o, y, reduction="sum")` is the loss
    L = L(1) + ... + L(T) of -log ŷ_t. Parameters U (I, H), W (H, H), V (H, O), b (H,), c (O,).
    Source: Goodfellow, Bengio & Courville 2016, equations 10.8 to 10.11; Elman 1990.
    """

    def __init__(self, I: int, H: int, O: int, rng: init.Rng = None, dtype: npt.DTypeLike = np.float32) -> None:
        rng = np.random.default_rng(rng)
        super().__init__(I, H, True, rng, dtype)
        self.V = parameter(init.glorot_uniform((H, O), 1.0, rng, dtype))
        self.c = parameter(init.zeros((O,), dtype))

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        h, _ = super().step(x, state)
        return mg.linear(h, self.V, self.c), h

    def extra_repr(self) -> str:
        return f"{self.I}, {self.H}, {self.V.shape[1]}"


class LSTMCell(Linked):
    """Long short-term memory with forget gate.

    f_t = σ(W_f [h_{t-1}, x_t] + b_f),  i_t = σ(W_i [h_{t-1}, x_t] + b_i),  o_t = σ(W_o [h_{t-1}, x_t] + b_o)
    C̃_t = tanh(W_C [h_{t-1}, x_t] + b_C),  C_t = f_t * C_{t-1} + i_t * C̃_t,  h_t = o_t * tanh(C_t)

    State: (h, C), each (B, H). Output: h. Parameters U (I, 4H), W (H, 4H), b (4H,) with the gates f i o C̃ side by side;
    W_f is made of W[:, :H] for h and U[:, :H] for x. b_f starts at `forget_bias`, the rest of b at 0.
    Source: Gers, Schmidhuber & Cummins 2000; forget bias: Jozefowicz, Zaremba & Sutskever 2015.
    """

    inputs = states = 4

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


class GRUCell(Carrying):
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
    """

    inputs, states = 3, 2

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
