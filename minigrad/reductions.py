"""Products, means, norms and differences along axes, beyond those of `ops`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Never, overload

import numpy as np

from . import kernels, ops
from .axes import axes_in, axis_in, integer
from .composed import of_one
from .interpretation import watched
from .kernels import Axis
from .messages import not_taken
from .ops import _kept, isnan, logical_not, mean, sqrt, square, sum, var, where
from .primitive import primitive
from .rearrange import array, sort
from .record import Variable
from .shapes import astype, broadcast_to, concatenate, flip, getitem, moveaxis, reshape

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "average", "cumprod", "diff", "median", "nanmean", "nansum", "norm", "prod", "ptp", "std", "trapezoid",
]  # fmt: skip

# --- products -------------------------------------------------------------------------------------------------------


def _before(first: float, x: Any) -> Any:
    """Along the last axis `first` and all entries of x but the last."""
    lead = np.full((*x.shape[:-1], 1), first, x.dtype)
    return concatenate([lead, x[..., :-1]], -1)[..., : x.shape[-1]]


def _onward(a: Any, g: Any) -> Any:
    # t_k = g_k + a_(k+1) t_(k+1): the recurrence from the other end
    return flip(_recurrence(_before(0.0, flip(a, -1)), flip(g, -1)), -1)


# s_k = a_k s_(k-1) + b_k along the last axis, from s = 0; so ds_k/ds_(k-1) = a_k
_recurrence = primitive(
    kernels.recurrence,
    lambda g, s, a, b: _onward(a, g) * _before(0.0, s),
    lambda g, s, a, b: _onward(a, g),
    name="recurrence",
)


def _cumprod(g: Any, y: Any, x: Any, axis: int | None = None) -> Any:
    # y_k = x_k y_(k-1) is such a recurrence; no division, so that zeros are as good as other numbers
    flat = axis is None or not x.shape
    rows = [reshape(z, (-1,)) if flat else moveaxis(z, axis, -1) for z in (g, y, x)]
    slope = _onward(rows[2], rows[0]) * _before(1.0, rows[1])
    return reshape(slope, x.shape) if flat else moveaxis(slope, -1, axis)


cumprod = primitive(
    lambda x, axis=None, out=None: np.cumprod(x, axis=axis, out=out),
    _cumprod,
    name="cumprod",
    doc="y_k = x_0 x_1 ... x_k along `axis`; None runs over the flattened array. Zeros among x do no harm.",
)


def _gathered(name: str, x: Any, axis: Axis) -> tuple[Any, tuple[int, ...]]:
    """x with the entries of `axis`, several or all, along one last axis; and where these axes were."""
    places = axes_in(name, axis, x.ndim)
    x = moveaxis(x, places, tuple(range(-len(places), 0)))
    kept = x.shape[: x.ndim - len(places)]
    return reshape(x, (*kept, math.prod(x.shape[len(kept) :]))), places


def _prod(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    # the product of all entries but one's own: of those before it and those after it, without a division
    rows, places = _gathered("prod", x, axis if x.shape else None)  # NumPy lets a number have an axis 0
    others = cumprod(_before(1.0, rows), -1) * flip(cumprod(_before(1.0, flip(rows, -1)), -1), -1)
    kept = [n for k, n in enumerate(x.shape) if k not in places]
    others = moveaxis(reshape(others, (*kept, *[x.shape[k] for k in places])), tuple(range(-len(places), 0)), places)
    return _kept(g, x.shape, axis, keepdims) * others


prod = primitive(
    lambda x, axis=None, keepdims=False, out=None: np.prod(x, axis=axis, keepdims=keepdims, out=out),
    _prod,
    name="prod",
    doc="Π x over `axis` (an int, a tuple, or None for all), 1 of nothing; right at zeros too, to any order.",
)

# --- means, norms and deviations ------------------------------------------------------------------------------------


@overload
def std(x: Variable, axis: Axis = None, *, keepdims: bool = False, ddof: float = 0) -> Tensor: ...
@overload
def std(x: Any, axis: Axis = None, *, keepdims: bool = False, ddof: float = 0) -> Any: ...
def std(x: Any, axis: Axis = None, *, keepdims: bool = False, ddof: float = 0, **unknown: Never) -> Any:
    """√(Σ (x - mean)² / (n - ddof)) over `axis` (an int, a tuple, or None for all); subgradient 0 where it is 0.

    >>> mg.std(mg.tensor([1.0, 3.0]))
    tensor(1.)
    """
    if unknown:
        raise not_taken("std", unknown, ("axis", "keepdims", "ddof"))
    return sqrt(var(x, axis=axis, keepdims=keepdims, ddof=ddof))


@overload
def norm(x: Variable, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
@overload
def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Any: ...
def norm(x: Any, axis: Axis = None, keepdims: bool = False, **unknown: Never) -> Any:
    """The Euclidean norm y = √Σx² over `axis` (an int, a tuple, or None for all); subgradient 0 at 0.

    dL/dx = g x / y.

    >>> mg.norm(mg.tensor([3.0, 4.0]))
    tensor(5.)
    """
    if unknown:
        raise not_taken("norm", unknown, ("axis", "keepdims"))
    return sqrt(sum(square(x), axis=axis, keepdims=keepdims))


@overload
def average(
    x: Variable, axis: Axis = None, weights: Any = None, returned: Literal[False] = False, *, keepdims: bool = False
) -> Tensor: ...
@overload
def average(
    x: Variable, axis: Axis = None, weights: Any = None, *, returned: Literal[True], keepdims: bool = False
) -> tuple[Tensor, Any]: ...
@overload
def average(
    x: Any, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any: ...
def average(
    x: Any, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False, **unknown: Never
) -> Any:
    """Σ w x / Σ w over `axis` (an int, a tuple, or None for all), the mean without `weights`.

    Args:
        x: any shape.
        weights: of x's shape, or of the sizes of `axis`; they have gradients too.
        returned: whether to return (average, Σ w) instead.

    Raises:
        ValueError: if the weights have another shape.

    >>> mg.average(mg.tensor([1.0, 4.0]), weights=[2.0, 1.0])
    tensor(2.)
    """
    if unknown:
        raise not_taken("average", unknown, ("axis", "weights", "returned", "keepdims"))
    x = array(x)
    w = np.ones((), x.dtype) if weights is None else array(weights)
    if weights is not None and w.shape != x.shape:
        axes = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
        places = [axis_in("average", k, x.ndim) for k in axes]
        if w.shape != tuple([x.shape[k] for k in places]):
            raise ValueError(f"average: weights of shape {w.shape} fit neither shape {x.shape} nor its axis {axis}")
        w = reshape(moveaxis(w, tuple(range(w.ndim)), tuple(np.argsort(np.argsort(places)).tolist())),
                    tuple([n if k in places else 1 for k, n in enumerate(x.shape)]))  # fmt: skip
    if weights is None:
        y = mean(x, axis=axis, keepdims=keepdims)
        total = np.asarray(x.size / np.size(y) if np.size(y) else 0, y.dtype)
    else:
        total = sum(broadcast_to(w, x.shape), axis=axis, keepdims=keepdims)
        y = sum(x * w, axis=axis, keepdims=keepdims) / total
    return (y, broadcast_to(total, np.shape(y))) if returned else y


@overload
def nansum(x: Variable, axis: Axis = None, *, keepdims: bool = False) -> Tensor: ...
@overload
def nansum(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any: ...
def nansum(x: Any, axis: Axis = None, *, keepdims: bool = False, **unknown: Never) -> Any:
    """Σ x over `axis`, NaN left out, with gradient 0.

    >>> mg.nansum(mg.tensor([1.0, np.nan, 2.0]))
    tensor(3.)
    """
    if unknown:
        raise not_taken("nansum", unknown, ("axis", "keepdims"))
    x = array(x)
    return sum(where(isnan(x), 0.0, x) if x.dtype.kind == "f" else x, axis=axis, keepdims=keepdims)


@overload
def nanmean(x: Variable, axis: Axis = None, *, keepdims: bool = False) -> Tensor: ...
@overload
def nanmean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any: ...
def nanmean(x: Any, axis: Axis = None, *, keepdims: bool = False, **unknown: Never) -> Any:
    """Σ x / n over the entries along `axis` that are not NaN; NaN if there are none.

    >>> mg.nanmean(mg.tensor([1.0, np.nan, 2.0]))
    tensor(1.5)
    """
    if unknown:
        raise not_taken("nanmean", unknown, ("axis", "keepdims"))
    x = array(x)
    there = astype(array(logical_not(isnan(x))), x.dtype)
    return nansum(x, axis, keepdims=keepdims) / sum(there, axis=axis, keepdims=keepdims)


@overload
def median(x: Variable, axis: Axis = None, *, keepdims: bool = False) -> Tensor: ...
@overload
def median(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any: ...
def median(x: Any, axis: Axis = None, *, keepdims: bool = False, **unknown: Never) -> Any:
    """The middle of the sorted entries over `axis`, or the mean of the two in the middle; NaN if one is NaN.

    The gradient goes to those one or two entries. Raises ValueError if there is nothing to choose.

    >>> mg.median(mg.tensor([5.0, 1.0, 2.0]))
    tensor(2.)
    """
    if unknown:
        raise not_taken("median", unknown, ("axis", "keepdims"))
    x = array(x)
    rows, places = _gathered("median", x, axis)
    n = rows.shape[-1]
    if not n:
        raise ValueError(f"median: {x.shape} {x.dtype}: nothing to choose along axis {axis}")
    rows = sort(rows, -1)
    y = mean(rows[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
    y = y * astype(array(where(isnan(rows[..., -1]), math.nan, 1.0)), y.dtype)  # so that its gradient is NaN too
    return reshape(y, tuple([1 if k in places else n for k, n in enumerate(x.shape)])) if keepdims else y


@overload
def ptp(x: Variable, axis: Axis = None, *, keepdims: bool = False) -> Tensor: ...
@overload
def ptp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any: ...
def ptp(x: Any, axis: Axis = None, *, keepdims: bool = False, **unknown: Never) -> Any:
    """max - min over `axis`: the range of the values; ties share the gradient.

    >>> mg.ptp(mg.tensor([5.0, 1.0, 2.0]))
    tensor(4.)
    """
    if unknown:
        raise not_taken("ptp", unknown, ("axis", "keepdims"))
    return ops.max(x, axis=axis, keepdims=keepdims) - ops.min(x, axis=axis, keepdims=keepdims)


# --- neighbours -----------------------------------------------------------------------------------------------------


@of_one
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """x_(k+1) - x_k along `axis`, n times over.

    Args:
        x: at least one axis.
        prepend, append: what to join at the ends before, a number or an array.

    >>> mg.diff(mg.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    x = array(x)
    axis = axis_in("diff", axis, x.ndim)
    n = integer("diff", "n", n)
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    if n and (prepend is not None or append is not None):
        whole = [x if part is x else _end(part, x, axis) for part in (prepend, x, append) if part is not None]
        x = concatenate(whole, axis)
    for _ in range(n):
        x = _cut(x, axis, 1, None) - _cut(x, axis, None, -1)
    return x


def _end(part: Any, x: Any, axis: int) -> Any:
    if not hasattr(part, "dtype"):
        part = np.asarray(watched(part), x.dtype if x.dtype.kind == "f" else None)
    return part if part.ndim else broadcast_to(part, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))


def _cut(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return getitem(x, (*(slice(None),) * axis, slice(start, stop)))


@of_one
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """∫ y dx along `axis` by the trapezoidal rule: Σ (x_(k+1) - x_k)(y_k + y_(k+1))/2.

    Args:
        y: the values.
        x: where they are: of y's shape, or along `axis` alone; None: `dx` apart.

    >>> mg.trapezoid(mg.tensor([1.0, 2.0, 3.0]), dx=2.0)
    tensor(8.)
    """
    y = array(y)
    axis = axis_in("trapezoid", axis, y.ndim)
    if x is not None:
        x = array(x)
        dx = reshape(diff(x), (-1,) + (1,) * (y.ndim - axis - 1)) if x.ndim == 1 else diff(x, axis=axis)
    return sum(dx * (_cut(y, axis, 1, None) + _cut(y, axis, None, -1)) / 2, axis=axis)
