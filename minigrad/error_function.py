"""The error function on arrays, by NumPy alone.

For |x| >= 1/2 the trapezoidal rule with step h is applied to Goodwin's integral; what it misses has a closed form:

    erfc(x) = (h x / π) e^(-x²) Σ_n e^(-n²h²) / (n²h² + x²) - [2 / (e^(2πx/h) - 1) if x < π/h],   n = ..., -1, 0, 1, ...

but for a relative error of e^(-π²/h²). The sum's terms are positive and h is chosen by the dtype, so there is no table
of coefficients and hardly any rounding. For |x| < 1/2 the Taylor series erf(x) = 2/√π Σ (-1)^k x^(2k+1) / (k! (2k+1))
is summed.

Sources: Goodwin 1949, Proc. Camb. Phil. Soc. 45, 241-245; Matta & Reichel 1971, Math. Comp. 25, 339-344; Abramowitz &
Stegun, 7.1.5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: By bytes of an entry: the step h, the last n of the sum, and of the series.
_RULES = {4: (0.75, 6, 7), 8: (0.5, 12, 13)}
#: Entries at a time, whose intermediate arrays stay in the cache.
_BLOCK = 8192


def erf(x: Any) -> Any:
    """2/√π ∫_0^x e^(-t²) dt."""
    return _by_blocks(_erf, x)


def erfc(x: Any) -> Any:
    """1 - erf(x), accurate where that is tiny."""
    return _by_blocks(_erfc, x)


def _by_blocks(f: Any, x: Any) -> Any:
    x = np.asarray(x)
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    flat = x.astype(np.float32 if dtype.itemsize <= 4 else np.float64).ravel()
    y = np.empty_like(flat)
    for start in range(0, flat.size, _BLOCK):
        y[start : start + _BLOCK] = f(flat[start : start + _BLOCK])
    return y.reshape(x.shape).astype(dtype, copy=False)


def _erf(x: Any) -> Any:
    small = np.abs(x) < 0.5
    y = np.copysign(1 - _tail(np.abs(x)), x)
    y[small] = _series(x[small])
    return y


def _erfc(x: Any) -> Any:
    small = np.abs(x) < 0.5
    y = _tail(np.abs(x))
    np.subtract(2, y, out=y, where=x < 0)
    y[small] = 1 - _series(x[small])
    return y


def _series(x: Any) -> Any:
    square, y = x * x, np.zeros_like(x)
    for k in range(_RULES[x.itemsize][2], -1, -1):
        y *= square
        y += (-1) ** k * 2 / math.sqrt(math.pi) / (math.factorial(k) * (2 * k + 1))
    return y * x


def _tail(x: Any) -> Any:
    """erfc(x) for x >= 1/2; some finite number for other x."""
    h, last, _ = _RULES[x.itemsize]
    x = np.clip(x, 0.5, 30)  # from 28 on it is below the smallest number
    square = x * x
    total, term = np.zeros_like(x), np.empty_like(x)
    for n in range(last, 0, -1):  # small terms first
        np.add(square, (n * h) ** 2, out=term)
        np.divide(math.exp(-((n * h) ** 2)), term, out=term)
        total += term
    total += 0.5 / square
    # x² = a² + (x - a)(x + a), with an a of few bits whose square is exact: e^(-x²) for large x without rounding in x²
    a = np.round(16 * x) / 16
    with np.errstate(under="ignore"):
        total *= (2 * h / math.pi) * x * np.exp(-a * a) * np.exp((a - x) * (a + x))
    missed = 2 / np.expm1(np.minimum(2 * math.pi / h * x, 80))
    return np.subtract(total, missed, out=total, where=x < math.pi / h)
