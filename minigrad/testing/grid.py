"""Arrays of multiples of 1 / GRAIN, as hypothesis draws them for `strategies`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Shape = tuple[int, ...]

GRAIN = 100


@st.composite
def made(draw: Any, shape: st.SearchStrategy[Shape], entries: Any, make: Callable[[np.ndarray], np.ndarray]) -> Any:
    """What `make` returns for an array of integers: hypothesis shows that, and not how it was made."""
    size = draw(shape)
    return make(draw(_integers(size if isinstance(size, int) else tuple(size), entries)))


@functools.lru_cache(maxsize=1024)
def _integers(shape: int | Shape, entries: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    """One strategy for each kind of array: a new one is validated anew, which takes longer than to draw from it."""
    return hnp.arrays(np.int64, shape, elements=entries, fill=st.nothing())


@functools.lru_cache(maxsize=64)
def free(kinks: tuple[float, ...], gap: float, low: float, high: float) -> st.SearchStrategy[int]:
    """The multiples of 1 / GRAIN in [low, high] that are at least `gap` away from all kinks, nearest to 0 first."""
    grid = np.arange(math.ceil(low * GRAIN), math.floor(high * GRAIN) + 1)
    left = grid[(np.abs(grid / GRAIN - np.array(kinks)[:, None]) >= gap - 1e-12).all(axis=0)].tolist()
    if not left:
        raise ValueError(f"away_from: kinks {list(kinks)} with gap {gap} leave no room in [{low}, {high}]")
    return st.sampled_from(sorted(left, key=lambda k: (abs(k), -k)))
