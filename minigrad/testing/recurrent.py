"""Hypothesis strategies for recurrent networks: padded sequences, and cells with weights and a state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from ..messages import describe
from ..tensor import Tensor
from ..tree import tree_map
from .cell import named_parameters
from .strategies import arrays


class Padded(NamedTuple):
    """A batch of sequences: `xs` (T, B, I), and `lengths` (B,), of which the longest is T. Padding holds any values.

    >>> batch = hypothesis.find(sequences(), lambda batch: True)
    >>> batch.xs.shape, batch.lengths
    ((1, 2, 1), array([1, 1]))
    """

    xs: np.ndarray
    lengths: np.ndarray


@st.composite
def sequences(
    draw: Any,
    lengths: st.SearchStrategy[int] | None = None,
    batch: st.SearchStrategy[int] | None = None,
    features: st.SearchStrategy[int] | None = None,
) -> Padded:
    """Batches of sequences of different lengths, padded: `Padded(xs, lengths)`.

    Args:
        lengths: of each sequence, 1 to 5 by default; `st.just(T)` for sequences of one length.
        batch: how many sequences, 2 or 3 by default.
        features: the size I of each x[t], 1 to 3 by default.

    Raises:
        TypeError: if one of these is no strategy.

    >>> @given_grad(batch=sequences(lengths=hypothesis.strategies.just(2)))
    ... def test_sum_over_time(batch):
    ...     return mg.sum(batch.xs, axis=0)
    >>> test_sum_over_time()
    """
    for name, given in (("lengths", lengths), ("batch", batch), ("features", features)):
        if given is not None and not isinstance(given, st.SearchStrategy):
            raise TypeError(f"sequences: {name} must be a strategy for an integer, as st.just(3), got {given!r}")
    B = draw(st.integers(2, 3) if batch is None else batch)
    drawn = draw(st.lists(st.integers(1, 5) if lengths is None else lengths, min_size=B, max_size=B))
    I = draw(st.integers(1, 3) if features is None else features)
    return Padded(draw(arrays((max(drawn, default=0), B, I))), np.array(drawn, np.int64))


class CellCase(NamedTuple):
    """A cell with float64 parameters, a sequence `xs` (T, B, I), and a state to start from.

    >>> case = hypothesis.find(cells(lambda I, H: nn.RNNCell(I, H, rng=0)), lambda case: True)
    >>> case.cell(case.xs[0], case.state)[0].shape == case.state.shape
    True
    """

    cell: Any
    xs: np.ndarray
    state: Any


@st.composite
def cells(draw: Any, factory: Callable[[int, int], Any]) -> CellCase:
    """Cells that `factory(I, H)` makes, with random weights, a sequence and a state: `CellCase(cell, xs, state)`.

    I and H differ, T >= 3 and B >= 2, and no weight is symmetric or diagonal: a transposed matrix, a wrong order of
    products, or rows that mix cannot hide. Parts of the state that are integers or booleans are those of
    `initial_state`; floating-point ones are random.

    Raises:
        TypeError: if what the factory makes has no `initial_state`.

    >>> cell, xs, state = hypothesis.find(cells(lambda I, H: nn.LSTMCell(I, H, rng=0)), lambda case: True)
    >>> len(xs) >= 3, len(state)
    (True, 2)
    """
    I, H = draw(st.sampled_from([(1, 2), (2, 3), (3, 2)]))  # of (1, 1) any weight is symmetric
    T, B = draw(st.integers(3, 4)), draw(st.integers(2, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a_cell = hasattr(factory, "step") and not isinstance(factory, type)
    cell = factory if a_cell or not callable(factory) else factory(I, H)
    if cell is factory or not hasattr(cell, "initial_state"):
        raise TypeError(f"cells: factory must be a function (I, H) that returns a cell, with initial_state(B), as "
                        f"nn.LSTMCell, got {describe(factory)}")  # fmt: skip
    parameters = named_parameters(cell).values()  # in whose places the copy has others, of float64
    cell = copy.deepcopy(cell, {id(p): Tensor(rng.uniform(-1, 1, p.shape), requires_grad=True) for p in parameters})
    xs = draw(arrays((T, B, I)))

    def drawn(s: Any) -> Tensor:
        moves = s.dtype.kind == "f"
        return Tensor(rng.uniform(-1, 1, s.shape) if moves else s)

    return CellCase(cell, xs, tree_map(drawn, cell.initial_state(B)))
