"""Recurrent: the only loop over time. Backpropagation through time is what `backward()` does with its record."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .cells import Cell, FunctionCell, GRUCell, LSTMCell, RNNCell, State
from .layers import Dropout, as_input, is_integer
from .module import Module
from .sequences import padding_mask


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
        cells: `Cell`s, or functions (x_t, state) -> (output_t, new state): one for each layer, the lowest first; two if
            `bidirectional`, forwards and backwards. Or, with `num_layers`, one function that makes them: called with
            the number of the layer, 0 the lowest, once for each cell.
        num_layers: how often that function is called, in each direction.
        bidirectional: whether each layer has a second cell, which runs from the end to the start; the outputs of both
            stand side by side, (T, B, 2H) (Schuster & Paliwal 1997).
        dropout: the probability with which, in training, an entry between two layers is dropped.
        recurrent_dropout: the probability with which, in training, an entry of the state is dropped where a step reads
            it; one mask for all times (Gal & Ghahramani 2016); see `Cell.step_masked`.
        residual: whether from the second layer on a layer's inputs are added to its outputs (Wu et al. 2016).
        reverse: whether to run from the end to the start.
        checkpoint: keep the state of every k-th step only and compute the steps between once more for the gradient,
            which is the same; True stands for k = √T. See `minigrad.checkpoint`.
        rng: of the dropout masks.

    Raises:
        ValueError: if there is no cell, or the options do not go together.
        TypeError: if a cell cannot be called, or `num_layers` comes with anything but one function.
    """

    def __init__(
        self,
        *cells: Any,
        num_layers: int | None = None,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        reverse: bool = False,
        checkpoint: int | None = None,
        rng: init.Rng = None,
    ) -> None:
        name, self.directions = type(self).__name__, 2 if bidirectional else 1
        if num_layers is not None:
            if len(cells) != 1 or isinstance(cells[0], Module) or not callable(cells[0]):
                raise TypeError(f"{name}: with num_layers= give one function that makes the cell of a layer: "
                                "Recurrent(lambda layer: nn.LSTMCell(H if layer else I, H), num_layers=2)")  # fmt: skip
            cells = tuple(cells[0](layer) for layer in range(num_layers) for _ in range(self.directions))
        if not cells:
            raise ValueError(f"{name}: give at least one cell")
        if len(cells) % self.directions:
            raise ValueError(f"{name}: bidirectional=True needs two cells for each layer, got {len(cells)} cells; "
                             "or num_layers= and a function that makes them")  # fmt: skip
        if bidirectional and reverse:
            raise ValueError(f"{name}: reverse=True is for one direction, bidirectional=True has both")
        if dropout and len(cells) == self.directions:
            raise ValueError(
                f"{name}: dropout={dropout} acts between layers, and there is one layer; "
                "apply nn.Dropout to the outputs instead"
            )
        if checkpoint is not None and checkpoint < 1:
            raise ValueError(f"{name}: checkpoint must be at least 1 step, True or None, got {checkpoint}")
        self.cells = [cell if isinstance(cell, Cell) else FunctionCell(cell) for cell in cells]
        self.dropout = Dropout(dropout, rng)
        self.recurrent_dropout = Dropout(recurrent_dropout, self.dropout.rng)
        self.residual, self.reverse, self.checkpoint = residual, reverse, checkpoint

    def initial_state(self, B: int) -> tuple[State, ...]:
        """The initial state of each cell for a batch of B, in the order of `cells`."""
        return tuple(cell.initial_state(B) for cell in self.cells)

    def forward(
        self, xs: Any, state: tuple[State, ...] | None = None, lengths: Any = None, return_states: bool = False
    ) -> Any:
        """Run over a sequence, from the given state of each cell or the initial one.

        Args:
            lengths: (B,) integers within 0 ... T, in any order: the sequences are padded. Past its length a sequence's
                state stays as it is and its outputs are 0; backwards it starts at its own end. What the padding holds
                is never read. As an argument of a compiled function they may differ from call to call.
            return_states: whether to return every step's state as well.

        Returns:
            The top layer's outputs (T, B, H), and the final state of each cell, lowest layer first, forwards before
            backwards; with `return_states` also each cell's states after every step, along a new first axis of T.

        Raises:
            ValueError: if xs has no time and batch axes, no step at all, the state is not one for each cell, the
                lengths do not fit, or a cell's new state has not the structure, shapes and dtypes of the one before.
        """
        T, B = self._check(xs)
        active = None if lengths is None else padding_mask(lengths, T, B)
        if isinstance(active, np.ndarray) and active.all():
            active = None
        xs = as_input(xs, self.cells[0].input_dtype)
        xs = _zero_padding(xs, active)
        states = self._checked(state, B)
        finals, histories = [], []
        for layer in range(len(self.cells) // self.directions):
            inputs, sides = self.dropout(xs) if layer else xs, []
            for k in range(layer * self.directions, (layer + 1) * self.directions):
                reverse = self.reverse or k % self.directions == 1
                ys, final, history = self._run(self.cells[k], inputs, states[k], reverse, active, return_states)
                sides.append(ys)
                finals.append(final)
                histories.append(history)
            ys = _zero_padding(sides[0] if len(sides) == 1 else mg.concatenate(sides, axis=-1), active)
            if self.residual and layer:
                if ys.shape != xs.shape:
                    raise ValueError(f"{type(self).__name__}: residual=True adds inputs of shape {xs.shape} to outputs "
                                     f"of shape {ys.shape} in layer {layer}: they must be the same")  # fmt: skip
                ys = ys + xs
            xs = ys
        return (xs, tuple(finals), tuple(histories)) if return_states else (xs, tuple(finals))

    def _check(self, xs: Any) -> tuple[int, int]:
        shape, name = np.shape(xs), type(self).__name__
        if len(shape) < 2 or not shape[0]:
            raise ValueError(f"{name}: xs must be (T, B, I) or integers (T, B) with T >= 1, got {shape}")
        if len(shape) == 2 and not is_integer(xs):
            raise ValueError(f"{name}: xs of shape {shape} must be integers, or have a third axis: (T, B, I)")
        return shape[0], shape[1]

    def _checked(self, state: Any, B: int) -> tuple[State, ...]:
        states = (None,) * len(self.cells) if state is None else state
        if not isinstance(states, (tuple, list)) or len(states) != len(self.cells):
            found = type(states).__name__ + (f" of {len(states)}" if isinstance(states, (tuple, list)) else "")
            each = "the state of each layer" if self.directions == 1 else "the state of each layer and direction"
            raise ValueError(
                f"{type(self).__name__}: state must be a tuple of {len(self.cells)}, {each}, "
                f"as returned with the outputs; got {found}"
            )
        return tuple(cell.checked_state(s, B) for cell, s in zip(self.cells, states))

    def _run(self, cell: Cell, xs: Any, state: State, reverse: bool, active: Any, keep: bool) -> Any:
        """One cell over all times, in parts if these are checkpointed: outputs, final state, states (`keep`)."""
        T = len(xs)
        mask = None
        if self.training and self.recurrent_dropout.p:
            read = mg.tree_leaves(state)[0]
            mask = self.recurrent_dropout(np.ones(read.shape, read.dtype))
        if self.checkpoint is None:
            return _scan(cell, 0, reverse, active, keep, xs, state, mask)
        length = max(1, round(math.sqrt(T))) if self.checkpoint is True else self.checkpoint
        parts = []
        starts = range(0, T, length)
        for start in starts[::-1] if reverse else starts:
            chosen = slice(start, start + length)
            here = None if active is None else active[chosen]
            scan = mg.checkpoint(functools.partial(_scan, cell, start, reverse, here, keep))
            ys, state, history = scan(xs[chosen], state, mask)
            parts.append((ys, history))
        ys, histories = zip(*parts[::-1] if reverse else parts, strict=True)
        history = mg.tree_map(lambda *h: mg.concatenate(h), *histories) if keep else None
        return mg.concatenate(ys), state, history


def _scan(
    cell: Cell, start: int, reverse: bool, active: Any, keep: bool, xs: Any, state: State, mask: Any
) -> tuple[Any, State, Any]:
    """The loop over time, from number `start` on: outputs (T, B, H), the final state, and all of them if `keep`."""
    T = len(xs)
    xs = cell.project(xs)
    step = cell.step if mask is None else functools.partial(cell.step_masked, mask=mask)
    # which steps need no choice; a trace, which is for all lengths, chooses at each
    full: Any = active.all(axis=1).tolist() if isinstance(active, np.ndarray) else [active is None] * T
    outputs, states = [], []
    for t in reversed(range(T)) if reverse else range(T):
        result = step(xs[t], state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{cell.name}: step {start + t} must return a tuple (output, new state), "
                            f"got {_described(result)}")  # fmt: skip
        output, new = result
        if not _alike(new, state):
            raise ValueError(
                f"{cell.name}: step {start + t} changed the state, but its structure, shapes and dtypes must last"
                f"\n  before: {_described(state)}\n  after:  {_described(new)}\n"
                "the first state is that of initial_state(B); an input that comes as a Tensor keeps its own dtype"
            )
        state = new if full[t] else _where(active[t], new, state)
        outputs.append(output)
        if keep:
            states.append(state)
    if reverse:
        outputs.reverse()
        states.reverse()
    return mg.stack(outputs), state, mg.tree_map(lambda *s: mg.stack(s), *states) if keep else None


def _alike(a: State, b: State) -> bool:
    """Whether two states have the same structure, shapes and dtypes; in the loop, so the common cases come first."""
    if isinstance(b, mg.Tensor):
        return isinstance(a, mg.Tensor) and a.shape == b.shape and a.dtype == b.dtype
    if type(a) is not type(b) or len(a) != len(b):
        return False
    if isinstance(b, dict):
        return a.keys() == b.keys() and all([_alike(a[key], b[key]) for key in b])
    for p, q in zip(a, b):  # noqa: SIM110 (half the time of all)
        if not _alike(p, q):
            return False
    return True


def _described(tree: Any) -> str:
    """A tree with the shape and dtype of each array in place of its entries."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {_described(part)}" for key, part in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        inside = ", ".join(_described(part) for part in tree)
        return f"({inside})" if isinstance(tree, tuple) else f"[{inside}]"
    return f"{tree.shape} {tree.dtype}" if isinstance(tree, (mg.Tensor, np.ndarray)) else type(tree).__name__


def _where(active: Any, new: State, old: State) -> State:
    """`new` in the rows (B,) that are active, `old` in the others."""

    def chosen(n: Any, o: Any) -> Any:
        if n.shape[:1] != active.shape:
            raise ValueError(
                f"Recurrent: with lengths= every part of a state must have the batch of {len(active)} along its first "
                f"axis, this one has shape {n.shape}"
            )
        return mg.where(active.reshape(-1, *[1] * (n.ndim - 1)), n, o)

    return mg.tree_map(chosen, new, old)


def _zero_padding(xs: Any, active: Any) -> Any:
    """xs (T, B, ...) with 0 where nothing is active, whatever stood there."""
    return xs if active is None else mg.where(active.reshape(*active.shape, *[1] * (xs.ndim - 2)), xs, 0)


class _Stack(Recurrent):
    """`num_layers` of one kind of cell; `options` go to each cell, the others are those of `Recurrent`."""

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
        *,
        bidirectional: bool = False,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        reverse: bool = False,
        checkpoint: int | None = None,
        **options: Any,
    ) -> None:
        rng, make = np.random.default_rng(rng), self.kind
        wide = 2 * H if bidirectional else H

        def cell(layer: int) -> Cell:
            return make(wide if layer else I, H, bias=bias, rng=rng, dtype=dtype, **options)  # type: ignore[call-arg]

        super().__init__(
            cell,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            residual=residual,
            reverse=reverse,
            checkpoint=checkpoint,
            rng=rng,
        )


class RNN(_Stack):
    """`num_layers` of `RNNCell`: xs (T, B, I) -> outputs (T, B, H) and the final h of each cell."""

    kind = RNNCell


class LSTM(_Stack):
    """`num_layers` of `LSTMCell`: xs (T, B, I) -> outputs (T, B, H) and the final (h, C) of each cell.

    Besides the common options it takes `forget_bias`, the initial b_f, 1 by default.
    """

    kind = LSTMCell


class GRU(_Stack):
    """`num_layers` of `GRUCell`: xs (T, B, I) -> outputs (T, B, H) and the final h of each cell.

    Besides the common options it takes `reset` and `z`, by which one GRU differs from another.
    """

    kind = GRUCell
