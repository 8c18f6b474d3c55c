"""numeric_gradient: the gradient of a function that has no derivative yet, by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..messages import check_operand, check_real
from .differences import EPS, QUICK, Line, scales, sharper

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def numeric_gradient(
    f: Callable[[np.ndarray], float], x: np.ndarray, eps: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of a scalar function at x by extrapolated central differences, with steps of each entry's own size.

    Args:
        f: takes an array like x, returns a float.
        x: taken in float64; not changed.
        eps: the first step relative to max(1, |x|); by default |x| / 20, and as many others as it takes.

    Returns:
        The gradient and an estimate of its error, truncation and rounding, both of x's shape. At a kink or a jump the
        gradient is the mean of the one-sided slopes, and the error half their difference. A wave that float64s around
        x cannot show, as sin(x) beyond x = 1e15, has the slope of many of its periods.

    Raises:
        TypeError: if f returns anything but one floating-point number, or x is no array of real numbers.
        ValueError: if `eps` is not positive, or x is NaN somewhere.

    Source: Ridders 1982.

    >>> gradient, error = numeric_gradient(lambda x: float(np.sum(x**3)), np.array([1.0, 2.0]))
    >>> gradient.round(6), bool((error < 1e-6).all())
    (array([ 3., 12.]), True)
    """
    check_real("numeric_gradient: x", x)
    check_operand("numeric_gradient: x", x)
    x = np.array(x, np.float64)
    if np.isnan(x).any():
        raise ValueError(f"numeric_gradient: x is NaN at index {tuple(np.argwhere(np.isnan(x))[0].tolist())}")
    flat = x.ravel()

    def F(values: np.ndarray) -> np.ndarray:
        return np.array([_number(f(values.reshape(x.shape)))])

    f0 = F(flat.copy())
    noise = EPS * np.abs(f0)
    gradient, error = np.zeros(x.size), np.zeros(x.size)
    typical = np.full(x.size, np.max(np.abs(flat), initial=0.0, where=np.isfinite(flat)))
    sizes = scales(flat, typical, eps)
    for i in np.flatnonzero(np.isfinite(flat)):
        best = length = np.inf
        for n, d in enumerate({float(size[i]): size * (np.arange(x.size) == i) for size in sizes}.values()):
            line = Line(F, flat, f0, d, noise)
            found = line.near(QUICK)
            if not found.error[0] <= 1e-9 * np.abs(found.value[0]) + 8 * noise[0]:
                found = line.careful(0 if eps is None else QUICK)
            value, bound, jump, _ = (float(part[0]) / d[i] for part in found)
            if n == 0 or sharper(value, bound, gradient[i], best, d[i] < length):
                gradient[i], error[i], best = value, abs(jump) / 2 if np.isinf(bound) else bound, bound
                length = d[i]
            if best <= 1e-7 * abs(gradient[i]):
                break
    return gradient.reshape(x.shape), error.reshape(x.shape)


def _number(y: Any) -> float:
    kind = y.dtype.kind if hasattr(y, "dtype") else "f" if isinstance(y, float) else ""
    if kind != "f" or getattr(y, "size", 1) != 1:
        raise TypeError(f"numeric_gradient: f must return one floating-point number, got {y!r}; is a `return` missing?")
    return float(y.reshape(())) if hasattr(y, "reshape") else float(y)
