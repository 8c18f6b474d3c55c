"""Derivatives by finite differences, in float64, with an estimate of their own error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def numeric_gradient(
    f: Callable[[np.ndarray], float], x: np.ndarray, eps: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of a scalar function at x by central differences with one Richardson extrapolation.

    D(h) = (f(x + h e) - f(x - h e)) / 2h = f' + c h² + ..., so (4 D(h/2) - D(h)) / 3 has an error of order h⁴.

    Args:
        f: takes an array like x, returns a float; evaluated four times for each entry.
        x: float64; not changed.
        eps: the step h relative to max(1, |x|); 1e-3 by default, the fifth root of float64's precision.

    Returns:
        The gradient and a bound on its error: truncation |D(h/2) - extrapolation| plus rounding; both of x's shape.

    Source: Richardson 1911; Press et al., Numerical Recipes, section 5.7.
    """
    x = np.array(x, np.float64)
    gradient, error = np.zeros_like(x), np.zeros_like(x)
    relative = 1e-3 if eps is None else eps
    for i in np.ndindex(x.shape):
        kept = x[i]
        h = relative * max(1.0, abs(float(kept)))
        slopes, largest = [], 0.0
        for step in (h, h / 2):
            above, below = kept + step, kept - step
            x[i] = above
            f_above = float(f(x.copy()))
            x[i] = below
            f_below = float(f(x.copy()))
            slopes.append((f_above - f_below) / (above - below))
            largest = max(largest, abs(f_above), abs(f_below))
        x[i] = kept
        gradient[i] = (4 * slopes[1] - slopes[0]) / 3
        error[i] = abs(slopes[1] - gradient[i]) + 8 * np.finfo(float).eps * largest / h
    return gradient, error
