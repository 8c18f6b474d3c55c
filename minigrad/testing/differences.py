"""Derivatives of any function of arrays by finite differences, with an estimate of their own error. NumPy only.

One question is asked: how steep is F(t) = f(x + t d) at t = 0, for a direction d whose entries have the size of x's?

    central  (F(t) - F(-t)) / 2t           = F' + a t² + b t⁴ + ...
    gap      (F(t) - 2 F(0) + F(-t)) / t   = (right slope - left slope) + a t + b t³ + ...

Both are extrapolated to t = 0 from ever smaller steps. The gap of a smooth function then vanishes; at a kink it stays,
and a kink at a distance from x shows as a gap as well until the step is smaller than that distance.

Source: Ridders 1982 (the table and its error estimate); Moré & Wild 2011 (the noise of a computed function).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

Function = Callable[[np.ndarray], np.ndarray]  # (n,) -> (m,)

EPS = float(np.finfo(np.float64).eps)
RATIO = 0.3**0.5  # of a step to the one before; no simple fraction, or a fast wave may meet all at the same phase
LADDER = RATIO ** np.arange(1, 31)  # steps relative to the direction, 0.5 ... 1e-8
FEW = (range(10, 12), range(9, 12))  # those two that settle most slopes of smooth functions; and one more
QUICK = 4  # the first of those four that suit most other functions; the rest are tried when these do not settle it
FINER = (8, 12, 16, 20, 24)  # the first of each four that are tried beside these
PROBES = np.array([3e-9, 4e-8, 3e-7, 2e-6])  # spacings at which the noise of f is measured
BLOCK = 4096  # numbers of a table that are extrapolated at once: so many stay in a cache
COLUMNS = 4  # powers of t that are removed, one after the other
FAR = 1e6  # of an x that is so much larger than a step, the step is rounded to what x shows
KINK = 1e-4  # a gap of this share of the one-sided slopes is a kink
WAVE = 1e-3  # what moves by this share of all within a probe's spacing is a wave, and no rounding error
NO_KINK = 1e-9  # but one of this share of the slope seen from a typical step is nothing


class Slopes(NamedTuple):
    """Slopes along a direction, each (m,): `value` within about `error`, which is inf where none was found.

    There, `value` is the mean of the one-sided slopes, and `jump` their difference (else 0). `reach` is the larger of
    the one-sided slopes to a typical step: how much F moves at all.
    """

    value: np.ndarray
    error: np.ndarray
    jump: np.ndarray
    reach: np.ndarray

    def of(self, k: int) -> Slopes:
        """Those of one of several lines."""
        return Slopes(*[part[k] for part in self])


def scales(x: np.ndarray, typical: np.ndarray, eps: float | None = None) -> list[np.ndarray]:
    """Sizes of steps for each entry of x, the likeliest first: of |x|, of the `typical` |x| around it, of 1.

    An infinite entry cannot be moved: its size is 0. `eps` fixes the first quick step to eps · max(1, |x|). Sizes that
    are the same for all entries are given once.

    Raises:
        ValueError: if `eps` is not a positive number.
    """
    if eps is not None and not 0 < eps < np.inf:
        raise ValueError(f"eps must be a positive number, got {eps!r}")
    finite = np.isfinite(x)
    size = np.where(finite, np.abs(x), 0.0)
    if eps is not None:
        return [np.where(finite, np.maximum(size, 1.0) * eps / LADDER[QUICK], 0.0)]
    around = np.where(typical == 0, 1.0, typical)
    choices = [np.where(size < 1e-3, 1.0, size), np.where(size == 0, around, size), np.ones_like(size)]
    different = [choices[0]]
    different += [choice for choice in choices[1:] if not any(np.array_equal(choice, other) for other in different)]
    return [np.where(finite, choice, 0.0) for choice in different]


def unit(d: np.ndarray) -> float:
    """What rounding errors are measured by where f shows no size of its own: terms of size 1, or as large as x."""
    return float(np.max(np.abs(d), initial=1.0))


def sharper(value: Any, error: Any, old_value: Any, old_error: Any, shorter: Any) -> np.ndarray:
    """Where a slope is to be believed rather than an old one, from longer steps, or from `shorter` ones.

    That is the one of less error. But where two are quite different, it is that of the shorter steps, if this one knows
    its size: a wave that longer steps leap over looks flat to them.
    """
    near, near_error = np.where(shorter, (value, error), (old_value, old_error))
    apart = np.abs(value - old_value)  # NaN compares as false
    other = (apart > 0.1 * np.abs(near)) & (apart > 10 * (error + old_error)) & (near_error <= 0.01 * np.abs(near))
    return np.asarray(np.where(other, shorter, (error < old_error) | np.isnan(old_value)))


def _stair(sides: np.ndarray, f0: np.ndarray, size: np.ndarray, careful: bool) -> np.ndarray:
    """The noise (lines, m) of an F that stands still at some steps: the height of a stair, at most EPS · size.

    log(1 + exp(x)) far left of 0 is such a staircase: its values are tiny, and their errors those of 1. One that stands
    still at every step counts as a stair for the `careful` alone: it may as well be constant.
    """
    stands = (sides == f0).all(axis=1).any(axis=0)
    noise = np.zeros(stands.shape)
    if stands.any():
        moves = np.abs(sides - f0)[..., stands]
        height = np.min(np.where(moves > 0, moves, np.inf), axis=(0, 1))
        noise[stands] = np.where((height < np.inf) | careful, np.fmin(height, EPS * size[stands]), 0.0)
    return noise


def _growths(t: np.ndarray) -> list[np.ndarray]:
    """How the power of t that each column of a table removes grows along its rows: (2, K - j, ...), slopes and gaps.

    The steps t (K, ...) are of one RATIO but where they were rounded, and so little that gaps vanish all the same.
    """
    ratios = [t[:-j] / t[j:] for j in range(1, min(len(t), COLUMNS + 1))]
    return [np.array([ratio**2, ratio ** (2 - 1 / j)]) for j, ratio in enumerate(ratios, 1)]


GROWTHS = [growth[:, :1] for growth in _growths(LADDER[: COLUMNS + 1, None])]


def _smoothest(
    central: np.ndarray,
    gaps: np.ndarray,
    size: np.ndarray,
    rounding: np.ndarray,
    typical: np.ndarray,
    t: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The cell of least error among those without a gap, and that error, inf (and NaN) where none is without.

    From rows at ever smaller steps, the columns of both tables remove one power of t after the other: column j has a
    row for each step from the j-th on. Its distances from the cells before are safe estimates of its errors. The steps
    are those of the ladder if no t are given.

    Of two steps the gap's own error is known too badly to be asked for: a kink at x leaves its whole size there, and
    one beside x shows in the slopes, whose distance is as large.
    """
    table = np.array([central, gaps])  # (2, K, n)
    limit, noise, least = np.maximum(KINK * size, NO_KINK * typical), 40 * rounding, 2 * rounding
    slopes, bounds = [], []
    for j, growth in zip(range(1, len(central)), GROWTHS if t is None else _growths(t)):
        change = table[:, 1:] - table[:, :-1]
        table = table[:, 1:] + change / (growth - 1)
        change = np.abs(change) * (growth / (growth - 1))
        gap = np.abs(table[1]) + change[1] if len(central) > 2 else np.abs(table[1])
        smooth = gap <= limit[:-j] + noise[j:]
        slopes.append(table[0])
        bounds.append(np.where(smooth, change[0] + least[j:], np.inf))
    errors = np.fmin(np.concatenate(bounds), np.inf)  # (cells, n), with inf for NaN
    best = errors.argmin(axis=0), np.arange(len(typical))
    error = errors[best]
    return np.where(error < np.inf, np.concatenate(slopes)[best], np.nan), error


class Line:
    """F(t) = f(x + t d) for one direction d (n,), from f0 = f(x) and its rounding errors `noise`, both (m,).

    Values of F are kept: steps that were tried before cost nothing.
    """

    def __init__(self, f: Function, x: np.ndarray, f0: np.ndarray, d: np.ndarray, noise: np.ndarray) -> None:
        self.f, self.x, self.f0, self.d, self.noise = f, x, f0, d, noise
        self._sides: dict[int, np.ndarray] = {}  # F(t) and F(-t): (2, m)
        moved = np.flatnonzero(d)
        #: how much larger than its step x is
        self.far = max(1.0, float(np.abs(x[moved] / d[moved]).max())) if len(moved) else 1.0
        self.one = int(moved[0]) if len(moved) == 1 and self.far > FAR else None

    def _at(self, t: float) -> np.ndarray:
        """F(t), or NaN where x + t d lies outside of f's domain: a step may lead there although the point is inside."""
        if abs(t) >= (50 if self.one is None else 2) * EPS * self.far:  # else x swallows it
            try:
                y = self.f(self.x + t * self.d)
            except Exception:  # every framework has its own for this
                pass
            else:
                if y.shape == self.f0.shape:
                    return y
        return np.full_like(self.f0, np.nan)

    def _values(self, times: list[list[float]]) -> np.ndarray:
        """F at several t: (..., m), NaN where it is infinite."""
        values = np.array([[self._at(t) for t in row] for row in times])
        return values if np.isfinite(values).all() else np.where(np.isfinite(values), values, np.nan)

    def step(self, t: float) -> float:
        """A step t as x shows it, where it moves a single entry of x by little beside that."""
        if self.one is None:
            return t
        x, d = float(self.x[self.one]), float(self.d[self.one])
        return ((x + t * d) - x) / d

    @cached_property
    def measured(self) -> np.ndarray:
        """The rounding errors of F, measured; a kink within the largest probe's reach looks like noise."""
        with np.errstate(all="ignore"):
            return np.fmax.reduce([self.noise, *self._probed[0]])  # type: ignore[no-any-return]

    @cached_property
    def jitters(self) -> bool:
        """Whether F moves between probes by far more than rounding errors are known to be, those of x + t d as well."""
        known = np.fmax.reduce([self.noise, EPS * self._probed[1], EPS * self.far * self._moves])
        return bool((self.measured > 1e4 * known).any())

    @property
    def hidden(self) -> np.ndarray:
        """Slopes (m,) that F may have between probes, where it moves there by a share of all that it does; else 0.

        If that is so between the nearest ones as well, they may be anything, and inf is given.
        """
        noise, _ = self._probed
        nearest, most = np.fmax.reduce(noise[:3]), np.fmax.reduce(noise)
        steepest = np.where(nearest > 0.01 * most, np.inf, np.fmax.reduce(noise / PROBES[:, None]))
        return np.asarray(np.where(most > WAVE * self._moves, steepest, 0.0))

    @property
    def _moves(self) -> np.ndarray:
        """How far (m,) F gets by the steps that are known."""
        return np.asarray(np.fmax.reduce(np.abs(np.concatenate([*self._sides.values()]) - self.f0)))

    def near(self, first: int, careful: bool = False) -> Slopes:
        """Slopes (m,) from four steps of the ladder, the first of this number, and from those known beside them.

        With `careful`, the noise of F is measured.
        """
        least, most = first, first + 4
        while least - 1 in self._sides:
            least -= 1
        while most in self._sides:
            most += 1
        return slopes([self], range(least, most), careful).of(0)

    def shortest(self) -> Slopes:
        """Slopes (m,) from the four shortest steps alone."""
        return slopes([self], range(len(LADDER) - 4, len(LADDER))).of(0)

    def careful(self, first: int = 0) -> Slopes:
        """Slopes (m,) from steps of every size, with the noise of F measured."""
        return slopes([self], range(first, len(LADDER)), True).of(0)

    def sides(self, steps: range) -> list[np.ndarray]:
        """F(t) and F(-t), (2, m), for each of these steps t of the ladder."""
        if missing := [k for k in steps if k not in self._sides]:
            with np.errstate(all="ignore"):
                times = [self.step(t) for t in LADDER[missing].tolist()]
                self._sides.update(zip(missing, self._values([[t, -t] for t in times])))
        return [self._sides[k] for k in steps]

    @cached_property
    def _probed(self) -> tuple[np.ndarray, np.ndarray]:
        """The standard deviations (probes, m) of F's rounding errors, and the largest |F| (m,) at the probes.

        Those of fourth differences have 70 times the variance. Of both sides the lesser, and without F(0): noise is on
        both sides, a jump nearby on one.
        """
        times = [[k * s * t for k in range(1, 8)] for t in map(self.step, PROBES.tolist()) for s in (1, -1)]
        values = self._values(times).reshape(len(PROBES), 2, 7, self.f0.size)
        fourth = np.diff(values, 4, axis=2)
        deviations = np.sqrt(np.mean(fourth**2, axis=2) / 70)
        return np.fmin.reduce(deviations, axis=1), np.fmax.reduce(np.abs(values), axis=(0, 1, 2))


def slopes(lines: Sequence[Line], steps: range, careful: bool = False) -> Slopes:
    """The best cell at which F looks smooth, for each of some lines through one x: at once, as each (m,) is small."""
    f0, t = lines[0].f0, LADDER[steps.start : steps.stop, None, None]
    rounded = any([line.one is not None for line in lines])
    if rounded:
        t = np.array([[[line.step(x)] for line in lines] for x in LADDER[steps.start : steps.stop].tolist()])
    sides = np.array([line.sides(steps) for line in lines]).reshape(len(lines), len(steps), 2, f0.size)
    sides = sides.transpose(1, 2, 0, 3)  # (K, 2, lines, m)
    with np.errstate(all="ignore"):
        right, left = (sides[:, 0] - f0) / t, (f0 - sides[:, 1]) / t  # (K, lines, m)
        central, gaps, size = (right + left) / 2, right - left, np.maximum(np.abs(right), np.abs(left))
        noise = np.array([line.measured for line in lines]) if careful else lines[0].noise
        largest = np.abs(sides)
        noise = np.maximum(noise, EPS * np.maximum(largest[:, 0], largest[:, 1]))
        if careful or len(steps) > 4:
            units = np.array([[unit(line.d)] for line in lines])
            noise = np.maximum(noise, _stair(sides, f0, np.maximum(np.abs(f0), units), careful))
        far = np.array([[line.far if line.one is None else 0.0] for line in lines])
        rounding = noise / t + EPS * far * size / t  # of f's result, and of x + t d
        typical = size[min(max(QUICK, steps.start), steps.stop - 1) - steps.start]
        typical = np.where(typical < np.inf, typical, 0.0)  # NaN is 0 too
        tables = [part.reshape(len(steps), -1) for part in (central, gaps, size, rounding)] + [typical.reshape(-1)]
        if rounded:
            tables.append(np.broadcast_to(t, central.shape).reshape(len(steps), -1))
        width = BLOCK // len(steps)
        blocks = [[part[..., k : k + width] for part in tables] for k in range(0, max(typical.size, 1), width)]
        found = [_smoothest(*block) for block in blocks]
        value, error = (np.concatenate(parts).reshape(typical.shape) for parts in zip(*found))
        jump = np.zeros(typical.shape)
        kinked = ~np.isfinite(error)
        if kinked.any():  # no such cell: one-sided slopes where they change least from one step to the next
            change = np.abs(np.diff(right, axis=0)) + np.abs(np.diff(left, axis=0)) + 4 * rounding[1:]
            best = np.argmin(np.where(np.isnan(change), np.inf, change), axis=0)[None] + 1
            right, left = (np.take_along_axis(side, best, axis=0)[0] for side in (right, left))
            value, jump = np.where(kinked, (right + left) / 2, value), np.where(kinked, right - left, jump)
    return Slopes(value, error, jump, typical)
