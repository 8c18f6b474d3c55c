"""What hypothesis draws: values, axes and indices.

Values stay clear of kinks and poles by at least 0.1, so that finite differences converge at every entry.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Shape = tuple[int, ...]

# --- values ---------------------------------------------------------------------------------------------------------

generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
squares = st.sampled_from([(2, 2), (3, 3)])  # a transposed cotangent has the right shape: only its values tell
any_shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3).filter(lambda s: math.prod(s) <= 12)
some_shapes = any_shapes | squares
deep_shapes = hnp.array_shapes(min_dims=3, max_dims=4, max_side=2)  # enough axes that an order is not its own inverse
full_shapes = some_shapes.filter(math.prod)


def broadcastable(number: int, max_dims: int) -> st.SearchStrategy[list[Shape]]:
    """Shapes that broadcast, among them squares of one size."""
    mixed = hnp.mutually_broadcastable_shapes(num_shapes=number, max_dims=max_dims, min_side=0, max_side=3)
    return mixed.map(lambda s: list(s.input_shapes)) | squares.map(lambda s: [s] * number)


def anywhere(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.uniform(-2, 2, shape)


def positive(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.uniform(0.3, 2.5, shape)


def nonzero(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return positive(rng, shape) * rng.choice([-1.0, 1.0], shape)


def distinct(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    n = math.prod(shape)
    return (rng.permutation(n).reshape(shape) - n / 2 + rng.uniform(-0.3, 0.3, shape)) / 2


def on_grid(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return (
        rng.integers(-4, 4, shape) * 0.5
    )  # multiples of 1/2; a bound or a rival at an odd multiple of 1/4 is 1/4 away


def off_grid(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return on_grid(rng, shape) + 0.25


def axis_of(ndim: int) -> st.SearchStrategy[Any]:
    """None, an int of either sign, or a tuple of them."""
    axes = st.lists(st.integers(0, ndim - 1), unique=True, max_size=ndim) if ndim else st.just([])
    tuples = axes.flatmap(lambda a: st.tuples(*[st.sampled_from([k, k - ndim]) for k in a]))
    return st.one_of(st.none(), tuples, *([one_axis(ndim)] if ndim else []))


def one_axis(ndim: int) -> st.SearchStrategy[int]:
    return st.integers(-ndim, ndim - 1)


# --- indices --------------------------------------------------------------------------------------------------------


@st.composite
def integers_within(draw: Any, n: int, shape: Shape | None = None) -> np.ndarray:
    """An integer array of indices into an axis of size n > 0, of both signs, with repeats."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3)) if shape is None else shape
    return draw(generators).integers(-n, n, shape)


@st.composite
def indices(draw: Any, shape: Shape) -> Any:
    """Any NumPy index of an array of this shape."""
    kind = draw(st.sampled_from(["basic", "mask of all", "one array", "mixture"]))
    if kind == "basic" or not shape:
        return draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    rng = draw(generators)
    if kind == "mask of all":
        return rng.random(shape) < 0.5
    if kind == "one array" and math.prod(shape):
        rows = draw(integers_within(shape[0]))
        forms = [rows, (rows,), (..., rows % shape[-1]), *([rows.tolist()] if rows.size else [])]
        return draw(st.sampled_from(forms))
    parts: list[Any] = []
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=2))
    axes = draw(st.integers(1, len(shape)))
    for n in shape[:axes]:
        options = [st.slices(n), st.just(None).map(lambda _: slice(None))]
        if n:
            options += [st.integers(-n, n - 1), integers_within(n, common), st.integers(-n, n - 1).map(np.int64)]
        parts.append(draw(st.one_of(options)))
    if not any(isinstance(p, np.ndarray) for p in parts) and draw(st.booleans()):
        parts[0] = rng.random(shape[0]) < 0.6  # a mask of the first axis, among slices and integers
    gaps = [part for part in (None, ...) if draw(st.booleans())]
    return (*parts, *reversed(gaps))
