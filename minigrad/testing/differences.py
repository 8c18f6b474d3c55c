"""Derivatives by finite differences, in float64, with an estimate of their own error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def numeric_gradient(
    f: Callable[[np.ndarray], float], x: np.ndarray, eps: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of a scalar function at x by central differences with one Richardson extrapolation.

    D(h) = (f(x + h e) - f(x - h e)) / 2h = f' + c h² + ..., so (4 D(h/2) - D(h)) / 3 has an error of order h⁴. The
    slopes on both sides differ by J(h) = (f(x + h e) - 2 f(x) + f(x - h e)) / h: for every h at a kink, whereas J(h/2)
    is half of J(h) where f is smooth.

    Args:
        f: takes an array like x, returns a float; evaluated four times for each entry, and once at x.
        x: float64; not changed.
        eps: the step h relative to max(1, |x|); 1e-3 by default, the fifth root of float64's precision.

    Returns:
        The gradient and an estimate of its error, both of x's shape: truncation |D(h/2) - extrapolation|, rounding, and
        the jump of the slope |2 J(h/2) - J(h)|.

    Source: Richardson 1911; Press et al., Numerical Recipes, section 5.7.
    """
    x = np.array(x, np.float64)
    gradient, error = np.zeros_like(x), np.zeros_like(x)
    middle = float(f(x.copy()))
    relative = 1e-3 if eps is None else eps
    for i in np.ndindex(x.shape):
        kept = x[i]
        h = relative * max(1.0, abs(float(kept)))
        slopes, jumps, largest = [], [], abs(middle)
        for step in (h, h / 2):
            above, below = kept + step, kept - step
            x[i] = above
            f_above = float(f(x.copy()))
            x[i] = below
            f_below = float(f(x.copy()))
            slopes.append((f_above - f_below) / (above - below))
            jumps.append((f_above - 2 * middle + f_below) / step)
            largest = max(largest, abs(f_above), abs(f_below))
        x[i] = kept
        gradient[i] = (4 * slopes[1] - slopes[0]) / 3
        jump = abs(2 * jumps[1] - jumps[0])
        error[i] = abs(slopes[1] - gradient[i]) + jump + 8 * np.finfo(float).eps * largest / h
    return gradient, error
