"""Recurrent: cells over a sequence, in layers and directions; the loop over time itself is in `scan`."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg

from . import init
from .arguments import is_whole
from .cells import GRUCell, LSTMCell, ProjectedLSTMCell, RNNCell
from .layers import Dropout
from .module import Module, inside
from .options import check_range
from .protocol import Cell, FunctionCell, State, is_tree, read_inputs, run_of, tells_batch
from .scan import scan, taking
from .sequences import padding_mask
from .substitute import held


def detach(state: State) -> State:
    """A state's values without their record, to carry into the next chunk: truncated backpropagation through time.

    The gradient of a chunk is then that with the carried state held constant, and the record of the chunks before it
    can be freed. None, and what is no Tensor, stays as it is.

    >>> state = nn.LSTM(3, 4, rng=0)(np.ones((5, 2, 3)))[1]
    >>> state[0][0].requires_grad, nn.detach(state)[0][0].requires_grad
    (True, False)
    """
    return mg.tree_map(lambda t: t.detach() if isinstance(t, mg.Tensor) else t, state)


class Recurrent(Module):
    """Any cells, one above the other, run over a sequence: xs (T, B, I) -> outputs (T, B, H), final state.

    The outputs of one layer are the inputs of the next. Integer inputs (T, B) stand for one-hot vectors, which are
    never built. Plain arrays are read in the dtype of the parameters. The first layer may take several sequences, of
    any shapes (T, B, ...): a tuple or dict of them, of which each step gets the entries at its time. Beside others, a
    sequence may have one number for each step, (T, B): a mask, the time since the last step.

    Args:
        cells: `Cell`s, or functions (x_t, state) -> (output_t, new state): one for each layer, the lowest first; two if
            `bidirectional`, forwards and backwards. Or, with `num_layers`, one function that makes them: called with
            the number of the layer, 0 the lowest, once for each cell.
        num_layers: how often that function is called, in each direction.
        bidirectional: whether each layer has a second cell, which runs from the end to the start; the outputs of both
            stand side by side, (T, B, 2H) (Schuster & Paliwal 1997), along the cell's `feature_axis`: images (T, B, C,
            H, W) along their channels.
        dropout: the probability with which, in training, an entry between two layers is dropped.
        recurrent_dropout: the probability with which, in training, an entry of the state is dropped where a step reads
            it in a product; one mask for all times (Gal & Ghahramani 2016). For cells that say what that is: ours do,
            yours by `step_masked`, see `Cell.step_masked`.
        residual: whether from the second layer on a layer's inputs are added to its outputs (Wu et al. 2016).
        reverse: whether to run from the end to the start.
        checkpoint: keep the state of every k-th step only and compute the steps between once more for the gradient,
            which is the same; True stands for k = √T. See `minigrad.checkpoint`.
        rng: of the dropout masks.

    Raises:
        ValueError: if there is no cell, or the options do not go together.
        TypeError: if a cell cannot be called, `num_layers` comes with anything but one function, or a cell does not say
            what recurrent dropout masks.

    >>> net = nn.Recurrent(nn.GRUCell(3, 4, rng=0), nn.RNNCell(4, 2, rng=1))
    >>> outputs, (h0, h1) = net(np.ones((5, 2, 3)))
    >>> outputs.shape, h0.shape, h1.shape
    ((5, 2, 2), (2, 4), (2, 2))
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
        checkpoint: int | bool | None = None,
        rng: init.Rng = None,
    ) -> None:
        name, self.directions = type(self).__name__, 2 if bidirectional else 1
        if num_layers is not None:
            if len(cells) != 1 or isinstance(cells[0], (Module, type)) or not callable(cells[0]):
                raise TypeError(f"{name}: with num_layers= give one function that makes the cell of a layer: "
                                "Recurrent(lambda layer: nn.LSTMCell(H if layer else I, H), num_layers=2)")  # fmt: skip
            cells = tuple(cells[0](layer) for layer in range(num_layers) for _ in range(self.directions))
        if not cells:
            raise ValueError(f"{name}: give at least one cell (num_layers=1)")
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
        if checkpoint is not None and (checkpoint is not True and not (is_whole(checkpoint) and checkpoint >= 1)):
            raise ValueError(f"{name}: checkpoint must be at least 1 step, True or None, got {checkpoint!r}")
        self.cells = [cell if isinstance(cell, Cell) else FunctionCell(cell) for cell in cells]
        for cell in self.cells if recurrent_dropout else ():
            cell.check_masked(recurrent_dropout)
        for option, p in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            check_range(f"{name}: {option}", p, 0, 1)
        self.dropout = Dropout(dropout, rng)
        self.recurrent_dropout = Dropout(recurrent_dropout, self.dropout.rng)
        self.residual, self.reverse, self.checkpoint = residual, reverse, checkpoint

    def initial_state(self, B: int) -> tuple[State, ...]:
        """The initial state of each cell for a batch of B, in the order of `cells`."""
        return tuple(cell.initial_state(B) for cell in self.cells)

    @run_of
    def forward(
        self, xs: Any, state: tuple[State, ...] | None = None, lengths: Any = None, return_states: bool = False
    ) -> Any:
        """Run over a sequence, from the given state of each cell or the initial one.

        Args:
            lengths: (B,) integers within 0 ... T, in any order: the sequences are padded. Past its length a sequence's
                state stays as it is and its outputs are 0; backwards it starts at its own end. What the padding holds
                is never read. As an argument of a compiled function they may differ from call to call.
            return_states: whether to return every step's state as well, for each cell. After `states[0].retain_grad()`
                (`states[0][0]`, h, of an LSTM) `backward()` leaves in its `.grad` the gradient of each step's state as
                it leaves the step, through all that is made of it, 0 past a sequence's length; also with checkpoints,
                and inside of a compiled function.

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
        xs = read_inputs(xs, self.cells[0].input_dtype)
        xs = mg.tree_map(lambda x: _zero_padding(x, active), xs) if is_tree(xs) else _zero_padding(xs, active)
        states = self._given_states(state, B)
        finals, histories = [], []
        for layer in range(len(self.cells) // self.directions):
            inputs, sides = self.dropout(xs) if layer else xs, []
            for k in range(layer * self.directions, (layer + 1) * self.directions):
                reverse = self.reverse or k % self.directions == 1
                with inside(self.cells[k]):
                    ys, final, history = self._run(self.cells[k], inputs, states[k], reverse, active, return_states)
                sides.append(ys)
                finals.append(final)
                histories.append(history)
            ys = _zero_padding(sides[0] if len(sides) == 1 else self._joined(layer, sides), active)
            if self.residual and layer:
                if ys.shape != xs.shape:
                    raise ValueError(f"{type(self).__name__}: residual=True adds inputs of shape {xs.shape} to outputs "
                                     f"of shape {ys.shape} in layer {layer}: they must be the same")  # fmt: skip
                ys = ys + xs
            xs = ys
        return (xs, tuple(finals), tuple(histories)) if return_states else (xs, tuple(finals))

    def _check(self, xs: Any) -> tuple[int, int]:
        sequences, name = mg.tree_leaves(xs) if is_tree(xs) else [xs], type(self).__name__
        shapes = [_shape(name, x) for x in sequences]
        batched = tells_batch(sequences, 2)
        for shape in shapes:
            if len(shape) < 2 or not shape[0]:
                single = "; one sequence without a batch is xs[:, None]" if len(shape) == 1 else ""
                raise ValueError(f"{name}: xs must be (T, B, I) or integers (T, B) with T >= 1, got {shape}{single}")
            if not batched:
                raise ValueError(f"{name}: xs of shape {shape} must be integers, or have a third axis: (T, B, I); "
                                 "one sequence (T, I) without a batch is xs[:, None]")  # fmt: skip
        sizes: set[Any] = {shape[:2] for shape in shapes}
        if len(sizes) != 1:
            raise ValueError(f"{name}: all sequences of a tuple or dict must have the same T and B, got the shapes "
                             f"{shapes}; steps in a list are one sequence, and of what a network returns, (outputs, "
                             "state), the outputs alone are passed on")  # fmt: skip
        return sizes.pop()  # type: ignore[no-any-return]

    def _joined(self, layer: int, sides: list[Any]) -> Any:
        """The outputs of both directions side by side, along the axis of the features."""
        axis, shapes = self.cells[layer * self.directions].feature_axis, [y.shape for y in sides]
        axis += axis > 0  # of the outputs (B, ...) of a step; these are (T, B, ...)
        if not -len(shapes[0]) + 2 <= axis < len(shapes[0]) or axis == 0:
            raise ValueError(f"{type(self).__name__}: outputs of shape {shapes[0]} have no axis of features to join two"
                             " directions along; set the cell's feature_axis")  # fmt: skip
        return mg.concatenate(sides, axis=axis)

    def _given_states(self, state: Any, B: int) -> tuple[State, ...]:
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
        if (take := taking.get()) is not None:
            return take(cell, xs, state, reverse, active, keep)
        T, mask = len(mg.tree_leaves(xs)[0]), None
        if self.training and (p := mg.watched(self.recurrent_dropout, "p")):
            cell.check_masked(p)
            read = next((s for s in mg.tree_leaves(state) if s.dtype.kind == "f"), None)
            mask = None if read is None else self.recurrent_dropout(np.ones(read.shape, read.dtype))
        taps = mg.tree_map(functools.partial(_tap, T), state) if keep else None
        if self.checkpoint is None:
            ys, final, states = scan(cell, 0, reverse, active, xs, state, mask, taps)
            return ys, final, _with_gradients(states, taps)
        length = max(1, round(math.sqrt(T))) if self.checkpoint is True else self.checkpoint
        run, parts = mg.checkpoint(held(functools.partial(scan, cell)), [cell]), []  # which may draw random numbers
        starts = range(0, T, length)
        for start in starts[::-1] if reverse else starts:
            chosen = slice(start, start + length)
            here = None if active is None else active[chosen]
            part, collect = mg.tree_map(lambda x, chosen=chosen: x if x is None else x[chosen], (xs, taps))
            ys, state, history = run(start, reverse, here, part, state, mask, collect)
            parts.append((ys, history))
        ys, histories = zip(*parts[::-1] if reverse else parts, strict=True)
        history = mg.tree_map(lambda *h: mg.concatenate(h), *histories) if keep else None
        return mg.concatenate(ys), state, _with_gradients(history, taps)


def _shape(name: str, x: Any) -> tuple[int, ...]:
    try:
        return np.shape(x)
    except ValueError:
        told = "several inputs of a step go into a tuple or dict, sequences of unequal lengths to nn.pad_sequences"
        raise ValueError(f"{name}: xs is a list of arrays that are not all of one shape; {told}") from None


def _tap(T: int, s: Any) -> Any:
    """What collects the gradients of a part of the state at all times; None if it has none."""
    return mg.tensor(np.zeros((T, *s.shape), s.dtype), requires_grad=True) if s.dtype.kind == "f" else None


def _with_gradients(states: Any, taps: Any) -> Any:
    return (
        states if taps is None else mg.tree_map(lambda s, e: s if e is None else mg.with_gradient(s, e), states, taps)
    )


def _zero_padding(xs: Any, active: Any) -> Any:
    """xs (T, B, ...) with 0 where nothing is active, whatever stood there."""
    return xs if active is None else mg.where(active.reshape(*active.shape, *[1] * (xs.ndim - 2)), xs, 0)


class _Stack(Recurrent):
    """`num_layers` of cells of one class; `options` go to each cell, the others are those of `Recurrent`."""

    cell_class: Any

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
        checkpoint: int | bool | None = None,
        **options: Any,
    ) -> None:
        rng = np.random.default_rng(rng)
        below = (options.get("proj_size") or H) * (2 if bidirectional else 1)  # how wide a layer's outputs are

        def cell(layer: int) -> Cell:
            return self.make_cell(below if layer else I, H, bias=bias, rng=rng, dtype=dtype, **options)

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

    def make_cell(self, I: int, H: int, **options: Any) -> Cell:
        """The cell of one layer and direction."""
        cell: Cell = self.cell_class(I, H, **options)
        return cell


class RNN(_Stack):
    """`num_layers` of `RNNCell`: xs (T, B, I) -> outputs (T, B, H) and the final h of each cell.

    Besides the common options it takes `nonlinearity`, "tanh" by default, or "relu".

    >>> nn.RNN(2, 3, nonlinearity="relu").cells[0]
    RNNCell(2, 3, nonlinearity='relu')  # 18 parameters
    """

    cell_class = RNNCell


class LSTM(_Stack):
    """`num_layers` of `LSTMCell`: xs (T, B, I) -> outputs (T, B, H) and the final (h, C) of each cell.

    The final state is a tuple of one entry a cell, so of one layer: `outputs, ((h, C),) = nn.LSTM(I, H)(xs)`.
    Besides the common options it takes `forget_bias`, the initial b_f, 1 by default; and `proj_size` P, within 1 ...
    H - 1, which makes each cell a `ProjectedLSTMCell`: outputs (T, B, P), h (B, P) and C (B, H). 0 stands for none.

    >>> outputs, ((h, C),) = nn.LSTM(3, 5, proj_size=2)(np.zeros((7, 4, 3)))
    >>> outputs.shape, h.shape, C.shape
    ((7, 4, 2), (4, 2), (4, 5))
    """

    cell_class = LSTMCell

    def make_cell(self, I: int, H: int, **options: Any) -> Cell:
        P = options.pop("proj_size", 0)
        if not is_whole(P) or not 0 <= P < H:
            raise ValueError(f"LSTM: proj_size must be an integer below H = {H}, or 0 for none, got {P!r}")
        return ProjectedLSTMCell(I, H, int(P), **options) if P else super().make_cell(I, H, **options)


class GRU(_Stack):
    """`num_layers` of `GRUCell`: xs (T, B, I) -> outputs (T, B, H) and the final h of each cell.

    Besides the common options it takes `reset` and `z`, by which one GRU differs from another.

    >>> outputs, (h,) = nn.GRU(3, 4, rng=0)(np.ones((5, 2, 3)))
    >>> outputs.shape, h.shape
    ((5, 2, 4), (2, 4))
    """

    cell_class = GRUCell
