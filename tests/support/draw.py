"""The values and shapes that the tests draw, from the strategies of minigrad.testing."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from hypothesis import strategies as st

from minigrad.testing import arrays, away_from, broadcastable_shapes, shapes

some_shapes = shapes(min_side=0, max_side=3, max_size=12)
deep_shapes = shapes(min_dims=3, max_dims=4, max_side=2)  # enough axes that an order is not its own inverse
full_shapes = shapes(max_side=3, max_size=12)
two_shapes = broadcastable_shapes(2, min_side=0)

# Each by its shape or strategy: a new one is validated anew, which takes as long as to draw from it.
anywhere = cache(arrays)
positive = cache(partial(arrays, low=0.3, high=2.5))
nonzero = cache(partial(away_from, 0.0, gap=0.3))


@cache
def on_grid(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Multiples of 1/2; a bound or a rival at an odd multiple of 1/4 is 1/4 away."""
    return arrays(shape).map(lambda x: np.asarray(np.rint(2 * x) / 2))


@cache
def off_grid(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    return on_grid(shape).map(lambda x: np.asarray(x + 0.25))
