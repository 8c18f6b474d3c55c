"""Arrays of multiples of 1 / GRAIN, or of integers, as hypothesis draws them for `strategies`."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from .arguments import check_number

Shape = tuple[int, ...]

GRAIN = 100
_EXACT = 2**53  # integers up to here are float64s


class Grid(NamedTuple):
    """The multiples k / grain, least <= k <= most, of a dtype."""

    least: int
    most: int
    grain: int
    dtype: np.dtype

    def values(self, k: np.ndarray) -> np.ndarray:
        return k.astype(self.dtype) if self.grain == 1 else np.asarray(k / self.grain, self.dtype)


def grid(name: str, low: float, high: float, dtype: Any) -> Grid:
    """The numbers that a strategy of this name draws from: those in [low, high], integers for a dtype of integers.

    Raises:
        TypeError: if a bound is no number, or the dtype not one of real numbers.
        ValueError: if there is no such number, or a bound lies beyond what the dtype holds.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub":
        raise TypeError(f"{name}: dtype must be one of real numbers, integers or booleans, got {dtype}")
    for what, bound in (("low", low), ("high", high)):
        check_number(f"{name}: {what}", bound)
    if dtype.kind == "f":
        grain, least, most = GRAIN, -_EXACT / GRAIN, _EXACT / GRAIN
        furthest = min(most, float(np.finfo(dtype).max))
        if not -furthest <= low <= high <= furthest:
            raise ValueError(f"{name}: low = {low} and high = {high} must lie within ±{furthest:.4g}, in this order")
    else:
        info = np.iinfo(dtype) if dtype.kind != "b" else None
        grain, least, most = 1, info.min if info else 0, info.max if info else 1
    first, last = max(low, least), min(high, most)  # (NaN is not within)
    if not first <= last:
        raise ValueError(f"{name}: low = {low} and high = {high} hold no {dtype} between them")
    a, b = math.ceil(first * grain), math.floor(last * grain)
    a, b = a - ((a - 1) / grain >= first), b + ((b + 1) / grain <= last)  # what the product's rounding left out
    a, b = a + (a / grain < first), b - (b / grain > last)
    if a > b:
        kind = f"multiple of 1/{grain}" if grain > 1 else "integer"
        raise ValueError(f"{name}: low = {low} and high = {high} hold no {kind} between them")
    return Grid(a, b, grain, dtype)


def shape_of(size: Any) -> Shape:
    """A shape as NumPy reads it: integers, or one of them.

    Raises:
        TypeError, ValueError: if it is none.
    """
    try:
        shape = tuple([operator.index(n) for n in size]) if isinstance(size, (tuple, list)) else (operator.index(size),)
    except TypeError:
        raise TypeError(f"shape must be integers, a tuple of them or a strategy for it, got {size!r}") from None
    if min(shape, default=0) < 0:
        raise ValueError(f"shape must be of integers of at least 0, got {size!r}")
    return shape


@st.composite
def made(draw: Any, shape: st.SearchStrategy[Shape], entries: Any, make: Callable[[np.ndarray], np.ndarray]) -> Any:
    """What `make` returns for an array of integers: hypothesis shows that, and not how it was made."""
    return make(draw(_integers(shape_of(draw(shape)), entries)))


@functools.lru_cache(maxsize=1024)
def _integers(shape: Shape, entries: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    """One strategy for each kind of array: a new one is validated anew, which takes longer than to draw from it."""
    return hnp.arrays(np.int64, shape, elements=entries, fill=st.nothing())


@functools.lru_cache(maxsize=64)
def free(kinks: tuple[float, ...], gap: float, numbers: Grid) -> st.SearchStrategy[int] | None:
    """Those k of the grid that are at least `gap` away from all kinks, nearest to 0 first; None if there are none."""
    cuts = [(-1, 0)]  # the last k before a cut and the first behind it: each part begins at its end nearest to 0
    for kink in kinks:
        ends = (kink - gap + 1e-12) * numbers.grain, (kink + gap - 1e-12) * numbers.grain
        cuts.append((math.floor(ends[0]), math.ceil(ends[1])))
    parts = [(numbers.least, numbers.most)]
    for last, first in cuts:
        parts = [part for a, b in parts for part in ((a, min(b, last)), (max(a, first), b)) if part[0] <= part[1]]
    runs = [range(a, b + 1) if a >= 0 else range(b, a - 1, -1) for a, b in parts]
    runs.sort(key=lambda run: (abs(run[0]), -run[0]))
    return st.one_of(*[st.integers(0, len(run) - 1).map(run.__getitem__) for run in runs]) if runs else None
