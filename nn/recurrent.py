"""Recurrent: the only loop over time. Backpropagation through time is what `backward()` does with its record."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .cells import Cell, GRUCell, LSTMCell, RNNCell, State
from .layers import Dropout, as_input, is_integer
from .module import Module, weights_dtype


def detach(state: State) -> State:
    """A state's values without their record, to carry into the next chunk: truncated backpropagation through time.

    The gradient of a chunk is then that with the carried state held constant, and the record of the chunks before it
    can be freed. None, and what is no Tensor, stays as it is.
    """
    return mg.tree_map(lambda t: t.detach() if isinstance(t, mg.Tensor) else t, state)


class Recurrent(Module):
    """Any cells, one above the other, run over a sequence: xs (T, B, I) -> outputs (T, B, H), final state.

    The outputs of one layer are the inputs of the next. Integer inputs (T, B) stand for one-hot vectors, which are
    never built. Plain arrays are read in the dtype of the parameters.

    Args:
        cells: one for each layer, the lowest first.
        dropout: the probability with which, in training, an entry between two layers is dropped.
        rng: of the dropout masks.

    Raises:
        ValueError: if there is no cell, or dropout is asked for with nothing between layers to drop.
    """

    def __init__(self, *cells: Cell, dropout: float = 0.0, rng: init.Rng = None) -> None:
        if not cells:
            raise ValueError("Recurrent: give at least one cell")
        if dropout and len(cells) == 1:
            raise ValueError(
                f"{type(self).__name__}: dropout={dropout} acts between layers, and there is one layer; "
                "apply nn.Dropout to the outputs instead"
            )
        self.cells = list(cells)
        self.dropout = Dropout(dropout, rng)

    def initial_state(self, B: int) -> tuple[State, ...]:
        """The initial state of each layer for a batch of B."""
        return tuple(cell.initial_state(B) for cell in self.cells)

    def forward(self, xs: Any, state: tuple[State, ...] | None = None) -> tuple[Any, tuple[State, ...]]:
        """Run over a sequence, from the given state of each layer or the initial one.

        Returns:
            The top layer's outputs (T, B, H), and the final state of each layer, lowest first.

        Raises:
            ValueError: if xs has no time and batch axes, no step at all, or the state is not one for each layer.
        """
        shape = np.shape(xs)
        if len(shape) < 2 or not shape[0]:
            raise ValueError(f"{type(self).__name__}: xs must be (T, B, I) or integers (T, B) with T >= 1, got {shape}")
        if len(shape) == 2 and not is_integer(xs):
            raise ValueError(
                f"{type(self).__name__}: xs of shape {shape} must be integers, or have a third axis: (T, B, I)"
            )
        xs = as_input(xs, weights_dtype(self.cells[0]))
        states = (None,) * len(self.cells) if state is None else state
        if not isinstance(states, (tuple, list)) or len(states) != len(self.cells):
            found = type(states).__name__ + (f" of {len(states)}" if isinstance(states, (tuple, list)) else "")
            raise ValueError(
                f"{type(self).__name__}: state must be a tuple of {len(self.cells)}, the state of each layer, "
                f"as returned with the outputs; got {found}"
            )
        states = tuple(cell.checked_state(s, shape[1]) for cell, s in zip(self.cells, states))
        finals = []
        for layer, (cell, s) in enumerate(zip(self.cells, states)):
            xs = cell.project(self.dropout(xs) if layer else xs)
            outputs = []
            for t in range(shape[0]):
                output, s = cell.step(xs[t], s)
                outputs.append(output)
            xs = mg.stack(outputs)
            finals.append(s)
        return xs, tuple(finals)


class _Stack(Recurrent):
    """`num_layers` of one kind of cell; `options` go to each cell."""

    kind: type[Cell]

    def __init__(
        self,
        I: int,
        H: int,
        num_layers: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
        rng: init.Rng = None,
        dtype: npt.DTypeLike = np.float32,
        **options: Any,
    ) -> None:
        rng = np.random.default_rng(rng)
        make: Any = self.kind
        cells = [make(H if layer else I, H, bias=bias, rng=rng, dtype=dtype, **options) for layer in range(num_layers)]
        super().__init__(*cells, dropout=dropout, rng=rng)


class RNN(_Stack):
    """`num_layers` of `RNNCell`: xs (T, B, I) -> outputs (T, B, H) and the final h of each layer."""

    kind = RNNCell


class LSTM(_Stack):
    """`num_layers` of `LSTMCell`: xs (T, B, I) -> outputs (T, B, H) and the final (h, C) of each layer.

    Besides the common options it takes `forget_bias`, the initial b_f, 1 by default.
    """

    kind = LSTMCell


class GRU(_Stack):
    """`num_layers` of `GRUCell`: xs (T, B, I) -> outputs (T, B, H) and the final h of each layer."""

    kind = GRUCell
