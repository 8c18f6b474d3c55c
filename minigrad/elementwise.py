"""The table, third part: trigonometric and hyperbolic functions, roots, logarithms and choices beyond those of `ops`.

Read `lambda g, y, x: ...` as "given g = dL/dy, y and x, this is dL/dx". Where a slope is infinite, the table says what
comes out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import kernels
from .composed import of_one
from .interpretation import watched
from .messages import check_real
from .ops import _masked, _nonzero, _product, _ratio, equal, exp, isinf, isnan, negative, sqrt, square, where
from .primitive import primitive
from .record import Variable
from .shapes import astype

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "copysign", "cosh", "deg2rad",
    "exp2", "fmax", "fmin", "heaviside", "hypot", "log10", "log2", "logaddexp", "logaddexp2", "nan_to_num", "rad2deg",
    "reciprocal", "select", "signbit", "sinc", "sinh", "tan",
]  # fmt: skip

# --- what has no derivative: plain arrays come out ------------------------------------------------------------------

heaviside = primitive(
    np.heaviside,
    piecewise_constant=True,
    doc="0 for x < 0, y at x = 0, 1 for x > 0, without a derivative: a plain array.",
)
signbit = primitive(np.signbit, doc="Whether x has a minus sign, as -0.0 has: a plain array.")

# --- angles ---------------------------------------------------------------------------------------------------------


def _turned(g: Any, x: Any, r: Any) -> Any:
    """g x / r², and 0 at r = 0."""
    r = _nonzero(r, r)
    return _ratio(g, r) * (x / r)


tan = primitive(np.tan, lambda g, y, x: g * (1 + square(y)), doc="sin x / cos x.")
arcsin = primitive(
    np.arcsin, lambda g, y, x: _ratio(g, sqrt((1 - x) * (1 + x))), doc="The angle whose sine is x; slope ∞ at ±1."
)
arccos = primitive(
    np.arccos, lambda g, y, x: -_ratio(g, sqrt((1 - x) * (1 + x))), doc="The angle whose cosine is x; slope -∞ at ±1."
)
arctan = primitive(  # x² would overflow
    np.arctan, lambda g, y, x: g / hypot(1.0, x) / hypot(1.0, x), doc="The angle whose tangent is x."
)
arctan2 = primitive(
    np.arctan2,
    lambda g, z, y, x: _turned(g, x, hypot(x, y)),
    lambda g, z, y, x: -_turned(g, y, hypot(x, y)),
    doc="arctan2(y, x): the angle of the point (x, y), slopes x/r² and -y/r²; subgradient 0 at the origin.",
)
deg2rad = primitive(np.deg2rad, lambda g, y, x: deg2rad(g), doc="x π/180.")
rad2deg = primitive(np.rad2deg, lambda g, y, x: rad2deg(g), doc="x 180/π.")
sinc = primitive(
    kernels.sinc,
    lambda g, y, x, order=0: g * sinc(x, order=order + 1),
    name="sinc",
    doc="sin πx / πx, 1 at 0; with `order`, its derivative of that order.",
)

# --- hyperbolic functions -------------------------------------------------------------------------------------------

sinh = primitive(np.sinh, lambda g, y, x: _product(g, cosh(x)), doc="(e^x - e^-x)/2.")
cosh = primitive(np.cosh, lambda g, y, x: _product(g, sinh(x)), doc="(e^x + e^-x)/2.")
arcsinh = primitive(np.arcsinh, lambda g, y, x: g / hypot(1.0, x), doc="log(x + √(x² + 1)).")
arccosh = primitive(
    np.arccosh, lambda g, y, x: _ratio(_ratio(g, sqrt(x - 1)), sqrt(x + 1)), doc="log(x + √(x² - 1)); slope ∞ at 1."
)
arctanh = primitive(np.arctanh, lambda g, y, x: _ratio(g, (1 - x) * (1 + x)), doc="log((1 + x)/(1 - x))/2; ∞ at ±1.")

# --- powers, roots, logarithms --------------------------------------------------------------------------------------

exp2 = primitive(np.exp2, lambda g, y, x: _product(g, y * math.log(2)), doc="2^x.")
log2 = primitive(np.log2, lambda g, y, x: _ratio(g, x * math.log(2)), doc="log x / log 2.")
log10 = primitive(np.log10, lambda g, y, x: _ratio(g, x * math.log(10)), doc="log x / log 10.")
reciprocal = primitive(np.reciprocal, lambda g, y, x: -_product(_product(g, y), y), doc="1/x.")
cbrt = primitive(
    np.cbrt,
    lambda g, y, x: g / where(equal(y, 0), math.inf, 3 * square(y)),
    doc="The real cube root; subgradient 0 at 0, where the slope is infinite.",
)


def _direction(x: Any, r: Any) -> Any:
    """x / r, and 0 at r = 0."""
    return x / _nonzero(r, r)


hypot = primitive(
    np.hypot,
    lambda g, r, x, y: g * _direction(x, r),
    lambda g, r, x, y: g * _direction(y, r),
    doc="√(x² + y²) without overflow; subgradient 0 at the origin.",
)


def _share(g: Any, x: Any, y: Any, power: Any, logadd: Any) -> Any:
    # e^x / (e^x + e^y) = e^-log(1 + e^(y - x)); x - log(e^x + e^y) has the rounding error of the logarithm
    level = where(equal(x, y), isinf(x), False)
    return _masked(x, g * power(-logadd(0.0, where(level, 0.0, y) - where(level, 0.0, x))))


logaddexp = primitive(
    np.logaddexp,
    lambda g, z, x, y: _share(g, x, y, exp, logaddexp),
    lambda g, z, x, y: _share(g, y, x, exp, logaddexp),
    doc="log(e^x + e^y) without overflow; an input of -inf has gradient 0.",
)
logaddexp2 = primitive(
    np.logaddexp2,
    lambda g, z, x, y: _share(g, x, y, exp2, logaddexp2),
    lambda g, z, x, y: _share(g, y, x, exp2, logaddexp2),
    doc="log2(2^x + 2^y) without overflow; an input of -inf has gradient 0.",
)

# --- choices --------------------------------------------------------------------------------------------------------


def _chosen(g: Any, z: Any, x: Any, y: Any) -> Any:
    """g where z is x, half of it at a tie."""
    return where(equal(x, y), 0.5 * g, where(equal(x, z), g, 0.0))


fmax = primitive(
    np.fmax,
    lambda g, z, x, y: _chosen(g, z, x, y),
    lambda g, z, x, y: _chosen(g, z, y, x),
    doc="max(x, y), the other one where one is NaN; a tie shares the gradient equally.",
)
fmin = primitive(
    np.fmin,
    lambda g, z, x, y: _chosen(g, z, x, y),
    lambda g, z, x, y: _chosen(g, z, y, x),
    doc="min(x, y), the other one where one is NaN; a tie shares the gradient equally.",
)


@of_one
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with the number `nan` for NaN, and `posinf`, `neginf` (None: the largest there are) for ±inf; gradient 0 there.

    >>> mg.nan_to_num(mg.tensor([np.nan, -np.inf, 2.0]), neginf=-1.0)
    tensor([ 0., -1.,  2.])
    """
    if not hasattr(x, "dtype"):
        check_real("nan_to_num: x", x)
        x = np.asarray(watched(x))
    if x.dtype.kind != "f":
        return x
    largest = float(np.finfo(x.dtype).max)
    x = where(isnan(x), nan, x)
    x = where(equal(x, math.inf), largest if posinf is None else posinf, x)
    return where(equal(x, -math.inf), -largest if neginf is None else neginf, x)


@of_one
def copysign(x: Any, y: Any) -> Any:
    """|x| with the sign of y: x or -x, with slope ±1 in x, also at 0, and no gradient for y.

    >>> mg.grad(mg.copysign)(3.0, -0.5)
    tensor(-1.)
    """
    ones = [np.ones((), part.dtype) if hasattr(part, "dtype") else part for part in (x, y)]
    dtype = np.copysign(*ones).dtype  # NumPy's, of what is an array and what a number
    x = x if hasattr(x, "dtype") else np.asarray(watched(x))
    x = x if x.dtype == dtype else astype(x, dtype)
    return where(equal(signbit(x), signbit(y)), x, negative(x))


@overload
def select(conditions: Sequence[Any], choices: Sequence[Variable], default: Any = 0.0) -> Tensor: ...
@overload
def select(conditions: Sequence[Any], choices: Sequence[Any], default: Any = 0.0) -> Any: ...
def select(conditions: Sequence[Any], choices: Sequence[Any], default: Any = 0.0) -> Any:
    """For each entry the choice whose condition is the first to be true, else `default`.

    >>> x = mg.tensor([-1.0, 0.5, 2.0])
    >>> mg.select([x < 0, x > 1], [-x, x * x])
    tensor([1., 0., 4.])
    """
    if len(conditions) != len(choices) or not conditions:
        raise ValueError(f"select: got {len(conditions)} conditions for {len(choices)} choices")
    y = default
    for condition, choice in zip(conditions[::-1], choices[::-1]):
        y = where(condition, choice, y)
    return y
