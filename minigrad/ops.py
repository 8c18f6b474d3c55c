"""THE TABLE: every primitive, with the rule that turns the cotangent `g` of its output into that of each input.

Read `lambda g, y, x: ...` as "given g = dL/dy, y and x, this is dL/dx". Rules are written with operators and other
primitives, so they run on arrays and on Tensors. They never undo broadcasting: the engine sums a cotangent of the
broadcast shape down to its input's shape. Where a function has a kink, the table says which subgradient it takes.
Primitives that only move entries about are in `shapes.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import kernels
from .composed import of_two
from .kernels import Axis
from .primitive import primitive
from .record import Product
from .shapes import astype, broadcast_to, expand_dims, flip, reshape, swapaxes

__all__ = [
    "absolute", "add", "argmax", "argmin", "argsort", "ceil", "clip", "cos", "cumsum", "divide", "equal", "exp",
    "expm1", "floor", "floor_divide", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal",
    "linear", "log", "log1p", "log_softmax", "logical_and", "logical_not", "logical_or", "logsumexp", "matmul", "max",
    "maximum", "mean", "min", "minimum", "multiply", "negative", "not_equal", "positive", "power", "relu",
    "remainder", "rint", "sigmoid", "sign", "sin", "softmax", "softplus", "sqrt", "square", "subtract", "sum", "tanh",
    "var", "where",
]  # fmt: skip

# --- what has no derivative: plain arrays come out ------------------------------------------------------------------

equal = primitive(np.equal)
not_equal = primitive(np.not_equal)
greater = primitive(np.greater)
greater_equal = primitive(np.greater_equal)
less = primitive(np.less)
less_equal = primitive(np.less_equal)
logical_and = primitive(np.logical_and)
logical_or = primitive(np.logical_or)
logical_not = primitive(np.logical_not)
sign = primitive(np.sign, piecewise_constant=True)
floor = primitive(np.floor, piecewise_constant=True)
ceil = primitive(np.ceil, piecewise_constant=True)
floor_divide = primitive(np.floor_divide, piecewise_constant=True, doc="⌊x / y⌋, without a derivative: a plain array.")
rint = primitive(np.rint, piecewise_constant=True)
isfinite = primitive(np.isfinite)
isinf = primitive(np.isinf)
isnan = primitive(np.isnan)
argmax = primitive(np.argmax)
argmin = primitive(np.argmin)
argsort = primitive(np.argsort)


# --- arithmetic -----------------------------------------------------------------------------------------------------


def _ratio(g: Any, d: Any) -> Any:
    """g / d, and 0 where both are 0 or d is NaN under a zero g: a branch that `where` did not take stays silent."""
    if isinstance(d, (int, float)):
        return g / d
    untaken = logical_and(equal(g, 0), logical_not(greater(absolute(d), 0)))
    return g / where(untaken, 1.0, d)


def _product(g: Any, d: Any) -> Any:
    """g d, and 0 where d is infinite or NaN under a zero g, for the same reason."""
    return g * where(logical_and(equal(g, 0), logical_not(isfinite(d))), 0.0, d)


def _power_base(g: Any, z: Any, x: Any, y: Any) -> Any:
    # y x^(y-1); exactly 0 for y = 0, and 0 at x = 0 where the slope is infinite (0 < y < 1)
    if isinstance(y, (int, float)):
        if y == 0:
            return g * 0.0
        return _product(g, y * x ** (y - 1) if y >= 1 else y * _nonzero(x, x) ** (y - 1) * not_equal(x, 0))
    steep = logical_and(less(absolute(x), np.finfo(z.dtype).tiny), less(y, 1))  # or x^-1 of y = 0 may be infinite
    slope = y * where(steep, 1.0, x) ** subtract(y, 1.0)  # y may be a tuple
    return _product(g, where(steep, 0.0, slope))


def _nonzero(x: Any, value: Any) -> Any:
    """`value`, and 1 where x is 0."""
    return where(equal(x, 0), 1.0, value)


def _power_exponent(g: Any, z: Any, x: Any, y: Any) -> Any:
    # x^y log x; 0 at x <= 0, where x^y is constant or not defined nearby
    return _product(g, z) * log(where(greater(x, 0), x, 1.0))


add = primitive(np.add, lambda g, z, x, y: g, lambda g, z, x, y: g)
subtract = primitive(np.subtract, lambda g, z, x, y: g, lambda g, z, x, y: -g)
multiply = primitive(np.multiply, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x)
divide = primitive(np.divide, lambda g, z, x, y: _ratio(g, y), lambda g, z, x, y: -_ratio(_ratio(g, y) * x, y))
remainder = primitive(
    np.remainder,
    lambda g, z, x, y: g,
    lambda g, z, x, y: -_product(g, floor_divide(x, y)),
    doc="x - y ⌊x / y⌋, of the sign of y; where it jumps, as y divides x, it has the slope of its own side.",
)
negative = primitive(np.negative, lambda g, y, x: -g)
positive = primitive(np.positive, lambda g, y, x: g)
power = primitive(
    kernels.raised, _power_base, _power_exponent, name="power", doc="x ** y; slope 0 for y = 0, and at x = 0 for y < 1."
)
absolute = primitive(np.absolute, lambda g, y, x: g * sign(x), name="abs", doc="|x|; subgradient 0 at 0.")
square = primitive(np.square, lambda g, y, x: g * (2 * x))
_divides = primitive(kernels.divides, name="divides")  # where y > 0, or NaN under a g that is not 0: a branch taken
sqrt = primitive(np.sqrt, lambda g, y, x: g / where(_divides(y, g), 2 * y, math.inf), doc="√x; subgradient 0 at 0.")

# --- exponentials and friends ---------------------------------------------------------------------------------------

exp = primitive(np.exp, lambda g, y, x: _product(g, y))
expm1 = primitive(np.expm1, lambda g, y, x: _product(g, exp(x)))  # y + 1 is 0 where that is small
log = primitive(np.log, lambda g, y, x: _ratio(g, x))
log1p = primitive(np.log1p, lambda g, y, x: _ratio(g, x + 1))
sin = primitive(np.sin, lambda g, y, x: g * cos(x))
cos = primitive(np.cos, lambda g, y, x: -g * sin(x))
tanh = primitive(np.tanh, lambda g, y, x: g * (1 - y * y))
sigmoid = primitive(
    kernels.sigmoid,
    lambda g, y, x: g * (y * (1 - y)),
    name="sigmoid",
    doc="σ(x) = 1/(1 + e^-x).",
)
softplus = primitive(
    lambda x, out=None: np.logaddexp(x, 0.0, out=out),
    lambda g, y, x: g * -expm1(-y),  # σ(x) = 1 - e^-y, to the last digit where it is small
    name="softplus",
    doc="log(1 + e^x).",
)
_masked_by = primitive(kernels.passed, lambda h, z, g, y, c=None: _passed(h, y, c), name="passed")


def _passed(g: Any, y: Any, c: Any = None) -> Any:
    """g where c is true (without c, where y > 0), else 0, and NaN where y is: for a choice whose result is y."""
    return _masked_by(g, y if isinstance(y, (np.ndarray, np.generic)) else y.detach(), c)


relu = primitive(
    lambda x, out=None: np.maximum(x, 0.0, out=out),
    lambda g, y, x: _passed(g, y),
    name="relu",
    doc="max(x, 0); subgradient 0 at 0.",
)

# --- choices --------------------------------------------------------------------------------------------------------

where = primitive(
    kernels.where,
    None,
    lambda g, z, c, x, y: where(c, g, 0.0),
    lambda g, z, c, x, y: where(c, 0.0, g),
    name="where",
    doc="x where c is true, else y; the cotangent is masked before anything is multiplied.",
)


def _won(g: Any, z: Any, x: Any, y: Any) -> Any:
    """g where x >= y, half of it at a tie; z is the result of the choice."""
    return _passed(where(equal(x, y), 0.5 * g, g), z, greater_equal(x, y))


maximum = primitive(
    np.maximum, _won, lambda g, z, x, y: _won(g, z, y, x), doc="max(x, y); a tie shares the gradient equally."
)
minimum = primitive(
    np.minimum, lambda g, z, x, y: _won(g, z, y, x), _won, doc="min(x, y); a tie shares the gradient equally."
)
clip = primitive(
    kernels.clip,
    lambda g, y, x, low=None, high=None: _passed(g, y, equal(x, y)),
    name="clip",
    doc="x kept within [low, high]; gradient 1 inside and on the bounds, 0 outside. The bounds have no gradient.",
)

# --- reductions -----------------------------------------------------------------------------------------------------


def _kept(g: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """g with the axes that were reduced from `shape` as size 1, ready to broadcast (as a full reduction is anyhow)."""
    return g if keepdims or axis is None or not shape else expand_dims(g, axis)


def _spread(g: Any, shape: tuple[int, ...]) -> Any:
    """g broadcast to this shape; a small array is sooner filled than shown to be larger than it is."""
    if type(g) is not np.ndarray or math.prod(shape) > 1024:
        return broadcast_to(g, shape)
    whole = np.empty(shape, g.dtype)
    whole[...] = g
    return whole


def _size(shape: tuple[int, ...], axis: Axis, ddof: float = 0) -> float:
    """How many entries of an array of this shape go into one of its reduction, less ddof; NaN if none are left."""
    sizes = shape if axis is None or not shape else [shape[a] for a in (axis if isinstance(axis, tuple) else (axis,))]
    n = math.prod(sizes) - ddof
    return n if n > 0 else math.nan


def _extremum(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    y = _kept(y, x.shape, axis, keepdims)
    hit = equal(x, y)
    ties = maximum(sum(astype(hit, g.dtype), axis=axis, keepdims=True), 1.0)
    return _passed(_kept(g, x.shape, axis, keepdims) / ties, y, hit)


def _var(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Any:
    return (
        _kept(g, x.shape, axis, keepdims) * (x - mean(x, axis=axis, keepdims=True)) * (2 / _size(x.shape, axis, ddof))
    )


def _cumsum(g: Any, y: Any, x: Any, axis: int | None = None) -> Any:
    along = 0 if axis is None else axis
    return reshape(flip(cumsum(flip(g, along), along), along), x.shape)


sum = primitive(
    kernels.sum,
    lambda g, y, x, axis=None, keepdims=False: _spread(_kept(g, x.shape, axis, keepdims), x.shape),
    name="sum",
    doc="Σ x over `axis` (an int, a tuple, or None for all).",
)
mean = primitive(
    kernels.mean,
    lambda g, y, x, axis=None, keepdims=False: _spread(
        _kept(g, x.shape, axis, keepdims) / _size(x.shape, axis), x.shape
    ),
    name="mean",
    doc="Σ x / n over `axis` (an int, a tuple, or None for all).",
)
var = primitive(
    lambda x, axis=None, keepdims=False, ddof=0: np.var(x, axis=axis, keepdims=keepdims, ddof=ddof),
    _var,
    name="var",
    doc="Σ (x - mean)² / (n - ddof) over `axis` (an int, a tuple, or None for all).",
)
max = primitive(
    kernels.max,
    _extremum,
    name="max",
    doc="The largest x over `axis`; ties share the gradient equally. Raises ValueError if there is nothing to choose.",
)
min = primitive(
    kernels.min,
    _extremum,
    name="min",
    doc="The smallest x over `axis`; ties share the gradient equally. Raises ValueError if there is nothing to choose.",
)
cumsum = primitive(
    lambda x, axis=None, out=None: np.cumsum(x, axis=axis, out=out),
    _cumsum,
    name="cumsum",
    doc="y_k = x_0 + ... + x_k along `axis`; None runs over the flattened array.",
)


def _masked(x: Any, g: Any) -> Any:
    """g, and 0 where the logit x is -inf: no finite change of it changes anything."""
    return where(equal(x, -math.inf), 0.0, g)


logsumexp = primitive(
    kernels.logsumexp,
    lambda g, y, x, axis=None, keepdims=False: _kept(g, x.shape, axis, keepdims) * softmax(x, axis=axis),
    name="logsumexp",
    doc="log Σ e^x over `axis` (an int, a tuple, or None for all), from shifted logits.",
)
softmax = primitive(
    kernels.softmax,
    lambda g, y, x, axis=-1: y * (g - sum(g * y, axis=axis, keepdims=True)),
    name="softmax",
    doc="e^x / Σ e^x over `axis`, from shifted logits; a row of nothing but -inf is all zeros.",
)
log_softmax = primitive(
    kernels.log_softmax,
    lambda g, y, x, axis=-1: _masked(x, g - exp(y) * sum(g, axis=axis, keepdims=True)),
    name="log_softmax",
    doc="x - log Σ e^x over `axis`, from shifted logits; a logit of -inf has gradient 0.",
)

# --- products -------------------------------------------------------------------------------------------------------


def _array(x: Any) -> Any:
    """An operand that may be a tuple of numbers, which NumPy takes for an array."""
    return np.asarray(x) if type(x) is tuple else x


def _rows(x: Any) -> Any:
    return x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_a(g: Any, b: Any) -> Any:
    b = _array(b)
    if b.ndim == 1:  # y (..., n) = a (..., n, k) b (k,)
        return expand_dims(g, -1) * b
    if g.ndim == b.ndim - 1:  # y (..., m) = a (k,) b (..., k, m)
        return sum(matmul(b, expand_dims(g, -1)), axis=(*range(b.ndim - 2), -1))
    if b.ndim == 2 == g.ndim:
        return kernels.times_transpose(g, b)
    return matmul(g, swapaxes(b, -1, -2))


def _matmul_b(g: Any, a: Any, ndim: int) -> Any:
    a = _array(a)
    if a.ndim == 1:
        return g * a if ndim == 1 else expand_dims(a, -1) * expand_dims(g, -2)
    if ndim == 1:
        return Product(_rows(a), reshape(g, (-1, 1)))
    if ndim == 2:
        return Product(_rows(a), _rows(g))
    return matmul(swapaxes(a, -1, -2), g)


matmul = primitive(
    kernels.matmul,
    lambda g, y, a, b: _matmul_a(g, b),
    lambda g, y, a, b: _matmul_b(g, a, b.ndim),
    name="matmul",
    doc="The matrix product, in every case of np.matmul.",
)

_linear = primitive(
    kernels.linear,
    lambda g, y, x, W, b: _matmul_a(g, W),
    lambda g, y, x, W, b: _matmul_b(g, x, 2),
    lambda g, y, x, W, b: g,
    name="linear",
    doc="x W + b. dL/dx = g Wᵀ, dL/dW = xᵀ g, dL/db = g summed over rows",
)


@of_two
def linear(x: Any, W: Any, b: Any) -> Any:
    """x W + b in one array: x (..., I), W (I, O), b (..., O) or (O,) give (..., O).

    Raises:
        ValueError: if W has not two axes or the sizes do not fit.

    >>> mg.linear(mg.tensor([[1.0, 2.0]]), [[1.0], [10.0]], [0.5])
    tensor([[21.5]])
    """
    return _linear(x, W, b)
