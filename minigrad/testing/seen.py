"""A derivative rule beside finite differences, along one direction: whether both agree, as far as that can be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .differences import EPS

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

SHARP = 1e-5  # an error of this share of the slope leaves nothing to wish for
MOST = float(np.finfo(np.float64).max)  # in place of an infinite number, beside which any error would be clear


class Seen(NamedTuple):
    """Numbers uᵀ J d for rows u and one direction d, each (rows,): by the rule, and by differences within `error`.

    Of several directions they are (directions, rows).
    `error` is inf at a kink, and `jump` then the most by which one-sided slopes differ. `tolerance` is how far both may
    be apart, `clear` how large `error` may be for a verdict.
    """

    rule: np.ndarray
    numeric: np.ndarray
    error: np.ndarray
    jump: np.ndarray
    tolerance: np.ndarray
    clear: np.ndarray

    def verdicts(self, on_kink: str) -> np.ndarray:
        """For each row "right", "wrong", or "kink": no verdict."""
        clear = self.error <= self.clear
        if on_kink == "subgradient":
            clear |= ~np.isfinite(self.error) & np.isfinite(self.jump)
        return np.where(clear, np.where(self._close(), "right", "wrong"), "kink")

    def _close(self) -> np.ndarray:
        """Where both agree; false for NaN."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(self.rule - self.numeric) <= self.tolerance)

    def settles(self, least: np.ndarray) -> np.ndarray:
        """Whether all rows are right, and seen so sharply that nothing else need be tried: for each direction.

        What is smaller than `least` is no slope.
        """
        sharp = self.error <= np.minimum(self.clear, np.maximum(0.1 * SHARP * np.abs(self.numeric), least))
        return np.asarray((sharp & self._close()).all(axis=-1))

    def strictly(self, safety: float) -> Seen:
        """The same with a tolerance as if `error` were 0, of which it has `safety` times that."""
        with np.errstate(invalid="ignore"):
            return self._replace(tolerance=self.tolerance - safety * self.error)

    def known(self) -> np.ndarray:
        """Of each row the largest slope that is seen sharply, along any of several directions."""
        slopes = np.abs(self.numeric)
        return np.asarray(np.max(np.where(self.error <= SHARP * slopes, slopes, 0.0), axis=0))

    def where(self, mine: np.ndarray, other: Seen) -> Seen:
        """These rows where `mine`, and those of another look elsewhere."""
        return Seen(*[np.where(mine, own, its) for own, its in zip(self, other)])

    def is_wrong(self, times: float = 1.0) -> bool:
        """Whether a row is sharp and yet off by more than so many tolerances."""
        return bool(((self.error <= SHARP * np.abs(self.numeric)) & (self.excess() > times)).any())

    def excess(self) -> np.ndarray:
        """How far each row is off, in tolerances: more than 1 is wrong, and NaN is infinitely far."""
        with np.errstate(invalid="ignore", over="ignore"):
            times = np.abs(self.rule - self.numeric) / self.tolerance
            return np.asarray(np.where(np.isnan(times), np.inf, np.minimum(times, MOST)))

    def per(self, length: float) -> Seen:
        with np.errstate(over="ignore"):
            return Seen(*[part / length for part in self])


# --- numbers uᵀ J d of rows u and directions d ------------------------------------------------------------------------


def nothing(rows: np.ndarray, d: np.ndarray) -> np.ndarray:
    """What rounding alone may make of the rows' slopes along d, whatever f: (rows,), or so for each of several d."""
    unit = np.maximum(np.abs(d).max(axis=-1, keepdims=True), 1.0)
    return np.asarray(256 * EPS * unit * np.abs(rows).sum(axis=1))


def dot(rows: np.ndarray, part: np.ndarray) -> np.ndarray:
    """rows @ part for one part (n,), or for each of several."""
    return np.asarray(rows @ part if part.ndim == 1 else part @ rows.T)


def each(f: Callable[[np.ndarray], np.ndarray], part: np.ndarray) -> np.ndarray:
    return f(part) if part.ndim == 1 else np.array([f(one) for one in part])


def times(rows: np.ndarray, part: np.ndarray) -> np.ndarray:
    """rows @ part, in which 0 in a row times inf or NaN is 0."""
    if np.isfinite(part).all():
        return dot(rows, part)
    if part.ndim > 1:
        return np.array([times(rows, one) for one in part])
    return np.asarray(np.where(rows == 0, 0.0, rows * part).sum(axis=1))


def along(slopes: np.ndarray, d: np.ndarray) -> np.ndarray:
    """slopes @ d, in which 0 in d times inf or NaN is 0."""
    if np.isfinite(slopes).all():
        return dot(slopes, d)
    return each(lambda one: np.where(one == 0, 0.0, slopes) @ one, d)
