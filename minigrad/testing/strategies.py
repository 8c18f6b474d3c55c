"""Hypothesis strategies for gradient tests: arrays, shapes, axes and indices to try a derivative on.

Values are multiples of 0.01, a few units large: finite differences converge, and a counterexample is short to read.
They shrink to few axes, few entries, and values near 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tensor import Tensor
from .arguments import check_gap, check_number, is_whole

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "minigrad.testing's strategies and given_grad need the package hypothesis: pip install hypothesis"
    ) from error

from .grid import Shape, free, grid, made, shape_of

Shapes = Shape | st.SearchStrategy[Shape]


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 4, max_size: int = 24
) -> st.SearchStrategy[Shape]:
    """Shapes of at most `max_size` entries, often squares; `min_side=0` includes empty arrays.

    >>> len(hypothesis.find(shapes(min_dims=2), lambda shape: True))
    2
    """
    whole = hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)
    squares = _squares(min_side, max_side) if min_dims <= 2 <= max_dims else []
    return st.one_of(whole, *squares).filter(lambda shape: math.prod(shape) <= max_size)


def _squares(min_side: int, max_side: int) -> list[st.SearchStrategy[Shape]]:
    """Of a square, only the values tell that a cotangent is transposed, not the shape."""
    sides = [n for n in (2, 3) if min_side <= n <= max_side]
    return [st.sampled_from([(n, n) for n in sides])] if sides else []


def arrays(
    shape: Shapes | None = None, low: float = -2.0, high: float = 2.0, dtype: Any = np.float64
) -> st.SearchStrategy[np.ndarray]:
    """Arrays with entries in [low, high].

    Args:
        shape: of the array, or a strategy for it; `shapes()` by default.
        low, high: bounds, both included.
        dtype: of the array; of integers or booleans it has those that lie in [low, high].

    Raises:
        TypeError: if a bound is no number, the shape no shape, or the dtype not one of real numbers.
        ValueError: if no multiple of 0.01 lies in [low, high], or a bound beyond what the dtype holds.

    >>> hypothesis.find(arrays((3,)), lambda x: x.min() > 0.5)
    array([0.51, 0.51, 0.51])
    """
    numbers = grid("arrays", low, high, dtype)
    return made(_shaped(shape), st.integers(numbers.least, numbers.most), numbers.values)


def tensors(
    shape: Shapes | None = None,
    low: float = -2.0,
    high: float = 2.0,
    dtype: Any = np.float64,
    requires_grad: bool = True,
) -> st.SearchStrategy[Tensor]:
    """The same as Tensors, leaves that require gradients.

    >>> hypothesis.find(tensors((2,)), lambda t: True)
    tensor([0., 0.], requires_grad=True)
    """
    return arrays(shape, low, high, dtype).map(lambda x: Tensor(x, requires_grad=requires_grad))


def broadcastable_shapes(
    n: int, max_dims: int = 3, min_side: int = 1, max_side: int = 3
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """Tuples of n shapes that broadcast to one: axes missing, or of size 1, in any of them; often equal squares.

    >>> np.broadcast_shapes(*hypothesis.find(broadcastable_shapes(2), lambda both: both[0] != both[1]))
    (1,)
    """
    mixed = hnp.mutually_broadcastable_shapes(num_shapes=n, max_dims=max_dims, min_side=min_side, max_side=max_side)
    squares = _squares(min_side, max_side) if max_dims >= 2 else []
    return st.one_of(mixed.map(lambda s: s.input_shapes), *[square.map(lambda s: (s,) * n) for square in squares])


def broadcastable(
    n: int, low: float = -2.0, high: float = 2.0, dtype: Any = np.float64, **sizes: int
) -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    """Tuples of n arrays whose shapes broadcast to one; `sizes` as for `broadcastable_shapes`.

    >>> np.add(*hypothesis.find(broadcastable(2), lambda both: both[0].shape != both[1].shape)).sum().item()
    0.0
    """
    drawn = broadcastable_shapes(n, **sizes)
    return drawn.flatmap(lambda shapes: st.tuples(*[arrays(shape, low, high, dtype) for shape in shapes]))


def matmul_operands(
    low: float = -2.0,
    high: float = 2.0,
    max_dims: int = 2,
    min_side: int = 1,
    max_side: int = 3,
    dtype: Any = np.float64,
) -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    """Pairs that `np.matmul` takes: vectors, matrices (often squares), batches of up to `max_dims` axes.

    >>> np.matmul(*hypothesis.find(matmul_operands(), lambda both: True)).ndim <= 2
    True
    """
    mixed = hnp.mutually_broadcastable_shapes(
        signature=np.matmul.signature, max_dims=max_dims, min_side=min_side, max_side=max_side
    )
    squares = [square.map(lambda s: (s, s)) for square in _squares(min_side, max_side)]
    drawn = st.one_of(mixed.map(lambda s: s.input_shapes), *squares)
    return drawn.flatmap(lambda shapes: st.tuples(*[arrays(shape, low, high, dtype) for shape in shapes]))


# --- axes and indices ------------------------------------------------------------------------------------------------


def axis_of(shape: Shape) -> st.SearchStrategy[int]:
    """One axis of an array of this shape, counted from either end.

    Raises:
        ValueError: if it has none.

    >>> hypothesis.find(axis_of((2, 3)), lambda axis: axis < 0)
    -1
    """
    if not shape:
        raise ValueError("axis_of: an array of shape () has no axis")
    return st.integers(-len(shape), len(shape) - 1)


def axes_of(shape: Shape) -> st.SearchStrategy[int | tuple[int, ...] | None]:
    """What a reduction takes: None, an axis counted from either end, or a tuple of different ones, `()` too.

    >>> hypothesis.find(axes_of((2, 3)), lambda axes: axes == (0, 1))
    (0, 1)
    """
    n = len(shape)
    several = st.lists(st.integers(0, n - 1), unique=True, max_size=n) if n else st.just([])
    signed = several.flatmap(lambda axes: st.tuples(*[st.sampled_from([k, k - n]) for k in axes]))
    return st.one_of(st.none(), *([axis_of(shape)] if n else []), signed)


@st.composite
def indices_of(draw: Any, shape: Shape) -> Any:
    """Any NumPy index of such an array: integers, slices, None, Ellipsis, masks, integer arrays with repeats.

    >>> np.ones((2, 3))[hypothesis.find(indices_of((2, 3)), lambda index: index is not ...)].ndim <= 4
    True
    """
    kind = draw(st.sampled_from(["basic", "one array", "mixture", "mask"])) if shape else "basic"
    if kind == "basic":
        return draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "mask":
        return draw(hnp.arrays(np.bool_, shape))
    if kind == "one array" and math.prod(shape):
        rows = draw(integers_within(shape[0]))
        forms: list[Any] = [rows, (rows,), (..., rows % shape[-1])] + ([rows.tolist()] if rows.size else [])
        return draw(st.sampled_from(forms))
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=2))  # of all integer arrays in this index
    parts: list[Any] = []
    for n in shape[: draw(st.integers(1, len(shape)))]:
        options: list[st.SearchStrategy[Any]] = [st.just(slice(None)), st.slices(n)]
        if n:
            one = st.integers(-n, n - 1)
            options += [one, one.map(np.int64), integers_within(n, common)]
        parts.append(draw(st.one_of(options)))
    if not any(isinstance(part, np.ndarray) for part in parts) and draw(st.booleans()):
        parts[0] = draw(hnp.arrays(np.bool_, shape[0]))  # a mask of the first axis, among slices and integers
    ends = [part for part in (None, ...) if draw(st.booleans())]
    return (*parts, *reversed(ends))


def integers_within(n: int, shape: Shapes | None = None) -> st.SearchStrategy[np.ndarray]:
    """Integer arrays of indices into an axis of size n, of both signs, with repeats.

    >>> hypothesis.find(integers_within(4, (2,)), lambda k: k[0] == k[1] > 0)
    array([1, 1])
    """
    drawn = hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3) if shape is None else _shaped(shape)
    return drawn.flatmap(lambda s: hnp.arrays(np.int64, s, elements=st.integers(-n, n - 1)))


# --- values ----------------------------------------------------------------------------------------------------------


def well_separated(shape: Shapes | None = None, gap: float = 0.25) -> st.SearchStrategy[np.ndarray]:
    """Arrays whose entries differ by `gap` at least, about 0: no ties, for max, sort and the like.

    >>> hypothesis.find(well_separated((3,)), lambda x: True)
    array([-0.25,  0.  ,  0.25])
    """
    check_gap("well_separated", gap)

    @st.composite
    def spread(draw: Any) -> np.ndarray:
        s = draw(_shaped(shape))
        n = math.prod(s)
        return np.asarray((np.array(draw(st.permutations(range(n))), np.float64).reshape(s) - n // 2) * gap)

    return spread()


def away_from(
    kinks: float | Sequence[float],
    shape: Shapes | None = None,
    gap: float = 0.1,
    low: float = -2.0,
    high: float = 2.0,
    dtype: Any = np.float64,
) -> st.SearchStrategy[np.ndarray]:
    """Arrays with no entry nearer than `gap` to any of the kinks (or poles).

    Raises:
        TypeError, ValueError: as `arrays`; if a kink is no finite number, or they leave no room in [low, high].

    >>> float(abs(hypothesis.find(away_from(0.0, (2,), gap=0.5), lambda x: True)).min())
    0.5
    """
    check_gap("away_from", gap)
    places = np.ravel(kinks).tolist()
    for kink in places:
        check_number("away_from: kinks", kink)
        if not math.isfinite(kink):
            raise ValueError(f"away_from: kinks must be finite numbers, got {kink}")
    numbers = grid("away_from", low, high, dtype)
    entries = free(tuple(places), gap, numbers)
    if entries is None:
        raise ValueError(f"away_from: kinks {places} with gap {gap} leave no room in [{low}, {high}]")
    return made(_shaped(shape), entries, numbers.values)


def probabilities(shape: Shapes | None = None, axis: int = -1, least: float = 0.01) -> st.SearchStrategy[np.ndarray]:
    """Arrays of entries of `least` or more that sum to 1 along `axis`.

    Raises:
        TypeError: if `axis` is no integer.
        ValueError: if there is no such axis, or `least` is too large for its size.

    >>> hypothesis.find(probabilities((2,)), lambda p: True)
    array([0.5, 0.5])
    """
    check_number("probabilities: least", least)
    if not 0 <= least < 1:
        raise ValueError(f"probabilities: least must lie within [0, 1), got {least}")

    if not is_whole(axis):
        raise TypeError(f"probabilities: axis must be an integer, got {axis!r}")

    def normalised(w: np.ndarray) -> np.ndarray:
        if not -w.ndim <= axis < w.ndim:
            raise ValueError(f"probabilities: shape {w.shape} has no axis {axis}")
        n = w.shape[axis]
        if least * n >= 1:
            raise ValueError(f"probabilities: {n} entries of least = {least} sum to more than 1")
        return np.asarray(least + (1 - least * n) * w / w.sum(axis=axis, keepdims=True))

    return made(shapes(min_dims=1) if shape is None else _shaped(shape), st.integers(1, 9), normalised)


def _shaped(shape: Shapes | None) -> st.SearchStrategy[Shape]:
    if shape is None:
        return shapes()
    return shape if isinstance(shape, st.SearchStrategy) else st.just(shape_of(shape))
