"""Derivatives of any function of arrays by finite differences, with an estimate of their own error. NumPy only.

One question is asked: how steep is F(t) = f(x + t d) at t = 0, for a direction d whose entries have the size of x's?

    central  (F(t) - F(-t)) / 2t         = F' + a t² + b t⁴ + ...
    gap      (F(t) - 2 F(0) + F(-t)) / t = (right slope - left slope) + a t + b t³ + ...

Both are extrapolated to t = 0 from halved steps. The gap of a smooth function then vanishes; at a kink it stays, and a
kink or a pole at a distance from x shows as a gap as well until the step is smaller than that distance.
Source: Ridders 1982 (the table and its error estimate); Moré & Wild 2011 (the noise of a computed function).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]  # (n,) -> (m,)

EPS = float(np.finfo(np.float64).eps)
QUICK = 2.0 ** -np.arange(6, 9)  # steps that suit most functions, relative to the direction
LADDER = 2.0 ** -np.arange(2, 27)  # all steps, tried when the quick ones do not settle it
PROBES = (2.0**-28, 2.0**-22, 2.0**-16)  # spacings at which the noise of f is measured
KINK = 1e-4  # a gap of this share of the one-sided slopes is not smooth


class Slopes(NamedTuple):
    """Slopes along directions, each (..., m): `value` within about `error`, which is inf where none was found.

    There, `value` is the mean of the one-sided slopes, and `jump` their difference (else 0).
    """

    value: np.ndarray
    error: np.ndarray
    jump: np.ndarray


class Direction(NamedTuple):
    """d (n,), such that x ± t d is computed without rounding for the powers of two t from `finest` to 1."""

    d: np.ndarray
    finest: float


def scales(x: np.ndarray, typical: np.ndarray, eps: float | None = None) -> list[np.ndarray]:
    """Sizes of steps for each entry of x, the likeliest first: of |x|, of 1, of the `typical` |x| around it.

    An infinite entry cannot be moved: its size is 0. `eps` fixes the first quick step to eps · max(1, |x|).
    """
    finite = np.isfinite(x)
    size = np.where(finite, np.abs(x), 0.0)
    if eps is not None:
        return [np.where(finite, np.maximum(size, 1.0) * eps / QUICK[0], 0.0)]
    found: list[np.ndarray] = []
    for scale in (
        np.where(size < 1e-3, 1.0, size),
        np.where(size == 0, np.where(typical == 0, 1.0, typical), size),
        np.ones_like(size),
    ):
        scale = np.where(finite, scale, 0.0)
        if not any(np.array_equal(scale, other) for other in found):
            found.append(scale)
    return found


def direction(x: np.ndarray, wanted: np.ndarray) -> Direction:
    """`wanted`, rounded a little so that steps along it are exact: then f alone makes rounding errors."""
    moved = (wanted != 0) & np.isfinite(x)
    wanted, x = np.where(moved, wanted, 1.0), np.where(moved, x, 0.0)
    grain = np.spacing(np.abs(x) + np.abs(wanted))
    coarse = np.exp2(np.frexp(wanted)[1] - 8.0)
    quantum = np.minimum(grain * 2.0**28, np.maximum(coarse, grain))
    d = np.where(moved, np.rint(wanted / quantum) * quantum, 0.0)
    return Direction(d, float(np.max(np.where(moved, grain / quantum, 0.0), initial=2.0**-28)))


def _safely(f: Function, x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """f(x), or NaN where x lies outside of f's domain: a step may lead there although the point is inside."""
    try:
        with np.errstate(all="ignore"):
            y = f(x)
    except (ArithmeticError, ValueError):
        return np.full_like(like, np.nan)
    return y if y.shape == like.shape else np.full_like(like, np.nan)


def _sides(f: Function, x: np.ndarray, d: np.ndarray, f0: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """F(t) and F(-t) for each step: (K, 2, m)."""
    return np.array([[_safely(f, x + s * t * d, f0) for s in (1, -1)] for t in steps]).reshape(len(steps), 2, f0.size)


def _extrapolated(rows: np.ndarray, powers: Sequence[int]) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """The cells k, j >= 1 of the table that removes t^powers[0], t^powers[1], ... from rows at halved steps."""
    previous: list[np.ndarray] = []
    for k, row in enumerate(rows):
        current = [row]
        for j, p in enumerate(powers[:k]):
            change = current[j] - previous[j]
            current.append(current[j] + change / (2**p - 1))
            yield k, j + 1, current[-1], np.abs(change) * (2**p / (2**p - 1))
        previous = current


def _settled(f0: np.ndarray, sides: np.ndarray, steps: np.ndarray, noise: np.ndarray) -> Slopes:
    """The best cell at which F looks smooth. sides (K, 2, ..., m); noise (K, ..., m) is that of one value of F."""
    t = steps.reshape(-1, *[1] * f0.ndim)
    with np.errstate(all="ignore"):
        right, left = (sides[:, 0] - f0) / t, (f0 - sides[:, 1]) / t
        central, gaps, size = (sides[:, 0] - sides[:, 1]) / (2 * t), right - left, np.maximum(abs(right), abs(left))
        value, error = np.full(f0.shape, np.nan), np.full(f0.shape, np.inf)
        cells = zip(_extrapolated(central, (2, 4, 6, 8)), _extrapolated(gaps, (1, 3, 5, 7)), strict=True)
        for (k, j, slope, slope_error), (_, _, gap, gap_error) in cells:
            rounding = noise[k] / t[k]
            total = slope_error + 2 * rounding
            smooth = abs(gap) + gap_error <= KINK * size[k - j] + 40 * rounding
            better = smooth & (total < error)
            value, error = np.where(better, slope, value), np.where(better, total, error)
        if np.isfinite(error).all():
            return Slopes(value, error, np.zeros(f0.shape))
        # no such cell: one-sided slopes where they change least from one step to the next
        change = abs(np.diff(right, axis=0)) + abs(np.diff(left, axis=0)) + 4 * noise[1:] / t[1:]
        best = np.argmin(np.where(np.isnan(change), np.inf, change), axis=0)[None] + 1
        right, left = (np.take_along_axis(side, best, axis=0)[0] for side in (right, left))
        kinked = ~np.isfinite(error)
        return Slopes(np.where(kinked, (right + left) / 2, value), error, np.where(kinked, right - left, 0.0))


def quick_slopes(f: Function, x: np.ndarray, f0: np.ndarray, ds: Sequence[Direction], noise: np.ndarray) -> Slopes:
    """Slopes (q, m) along q directions from six values of f each; `noise` (m,) is the rounding error of f0."""
    sides = np.array([_sides(f, x, d, f0, QUICK) for d, _ in ds]).reshape(len(ds), len(QUICK), 2, f0.size)
    still = np.broadcast_to(f0, (len(ds), f0.size))
    sides = np.moveaxis(sides, 0, 2)  # (K, 2, q, m)
    grown = np.maximum(noise, EPS * np.nanmax(np.abs(sides), axis=(0, 1), initial=0.0))
    return _settled(still, sides, QUICK, np.broadcast_to(grown, (len(QUICK), *still.shape)))


def careful_slopes(
    f: Function, x: np.ndarray, f0: np.ndarray, along: Direction, noise: np.ndarray, coarsest: float = LADDER[0]
) -> Slopes:
    """Slopes (m,) along one direction from all steps that are exact, with the noise of f measured."""
    steps = LADDER[(LADDER <= coarsest) & (LADDER >= along.finest)]
    if len(steps) < 3:
        return Slopes(np.full_like(f0, np.nan), np.full_like(f0, np.inf), np.full_like(f0, np.nan))
    sides = _sides(f, x, along.d, f0, steps)
    with np.errstate(invalid="ignore", over="ignore"):
        level = np.maximum(noise, EPS * np.abs(np.where(np.isfinite(sides), sides, 0.0)).max(axis=1))  # (K, m)
        for probe in PROBES:  # what is noise within a distance tells nothing about steps that are smaller still
            if probe >= along.finest:
                level[steps >= 8 * probe] = np.fmax(level[steps >= 8 * probe], _noise(f, x, along.d, f0, probe))
    return _settled(f0, sides, steps, level)


def _noise(f: Function, x: np.ndarray, d: np.ndarray, f0: np.ndarray, spacing: float) -> np.ndarray:
    """The standard deviation of F's rounding errors: those of fourth differences have 70 times the variance."""
    values = np.array([f0, *[_safely(f, x + k * spacing * d, f0) for k in range(1, 9)]])
    return np.sqrt(np.mean(np.diff(values, 4, axis=0) ** 2, axis=0) / 70)  # type: ignore[no-any-return]


def numeric_gradient(
    f: Callable[[np.ndarray], float], x: np.ndarray, eps: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of a scalar function at x by extrapolated central differences, with steps of each entry's own size.

    Args:
        f: takes an array like x, returns a float.
        x: taken in float64; not changed.
        eps: the first step relative to max(1, |x|); by default 2⁻⁶ |x|, and as many others as it takes.

    Returns:
        The gradient and an estimate of its error, truncation and rounding, both of x's shape. At a kink or a jump the
        gradient is the mean of the one-sided slopes, and the error half their difference.

    Source: Ridders 1982.
    """
    x = np.array(x, np.float64)
    flat = x.ravel()
    F = lambda values: np.array([float(f(values.reshape(x.shape)))])
    f0 = F(flat.copy())
    noise = EPS * np.abs(f0)
    gradient, error = np.zeros(x.size), np.zeros(x.size)
    typical = np.full(x.size, np.max(np.abs(flat), initial=0.0, where=np.isfinite(flat)))
    for i in range(x.size):
        error[i] = np.inf
        unit = np.arange(x.size) == i
        for scale in scales(flat, typical, eps):
            if not scale[i]:
                error[i] = 0.0
                break
            along = direction(flat, scale * unit)
            found = quick_slopes(F, flat, f0, [along], noise)
            if not found.error[0, 0] <= 1e-7 * abs(found.value[0, 0]) + 8 * noise[0]:
                found = careful_slopes(F, flat, f0, along, noise, LADDER[0] if eps is None else QUICK[0])
            value, bound, jump = (float(part.ravel()[0]) / along.d[i] for part in found)
            bound = abs(jump) / 2 if np.isinf(bound) else abs(bound)
            if bound < error[i] or np.isnan(bound):
                gradient[i], error[i] = value, bound
            if error[i] <= 1e-7 * abs(value):
                break
    return gradient.reshape(x.shape), error.reshape(x.shape)
