"""The functions of primitives that are no single function of NumPy: on arrays alone, with `out=` where that helps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Axis = int | tuple[int, ...] | None


def raised(x: Any, y: Any) -> Any:
    return x**y  # the operator, since it squares and takes roots faster than np.power


HALF = {np.dtype(c): np.array(0.5, c) for c in "efd"}  # which NumPy need not convert at each call


def sigmoid(x: Any, out: Any = None) -> Any:
    # 1/(1 + e^-x) = (1 + tanh(x/2))/2 overflows at neither end
    half = HALF.get(np.asarray(x).dtype, 0.5)
    y = np.multiply(x, half, out=out)
    y = np.tanh(y, out=out)
    y *= half
    y += half
    return y


_BITS = {np.dtype("e"): np.int16, np.dtype("f"): np.int32, np.dtype("d"): np.int64}


def where(c: Any, x: Any, y: Any, out: Any = None) -> Any:
    number, array = (x, y) if type(x) is float else (y, x)
    zero = type(number) is float and number == 0 and math.copysign(1, number) > 0
    large = isinstance(array, np.ndarray) and array.size > 512 and array.dtype in _BITS
    if zero and large and np.shape(c) == array.shape:
        return _masked(array, np.asarray(c, bool) != (number is x), out)
    if out is None:
        return np.where(c, x, y)
    np.copyto(out, y)
    np.copyto(out, x, where=np.asarray(c, bool))
    return out


def _masked(x: Any, kept: Any, out: Any) -> Any:
    """x where kept, else 0, by bits: choosing entry by entry takes up to 17 times as long."""
    out = np.empty_like(x) if out is None else out
    bits = out.view(_BITS[x.dtype])
    np.copyto(bits, kept)
    np.negative(bits, out=bits)  # 1 becomes -1, all bits
    bits &= x.view(bits.dtype)
    return out


def _all_finite(x: Any) -> bool:
    return math.isfinite(np.vdot(x, x))  # which takes less time than a look at each entry; x² may overflow


def passed(g: Any, y: Any, c: Any = None, out: Any = None) -> Any:
    out = where(np.greater(y, 0) if c is None else c, g, 0.0, out)
    if not _all_finite(y):
        np.copyto(out, math.nan, where=np.isnan(y))
    return out


def symmetric(a: Any) -> Any:
    """(a + aᵀ)/2; what is not square would be broadcast, and goes to LAPACK, which says so."""
    a = np.asarray(a)
    square = a.ndim > 1 and a.shape[-1] == a.shape[-2]
    return 0.5 * (a + np.swapaxes(a, -1, -2)) if square else a


def clip(x: Any, low: Any = None, high: Any = None, out: Any = None) -> Any:
    if low is None and high is None:  # which NumPy refuses before 2.1
        return np.positive(x, out=out)
    return np.clip(x, low, high, out=out)


def divides(y: Any, g: Any = 1.0) -> Any:
    return np.greater(y, 0) if _all_finite(y) else np.greater(y, 0) | (np.isnan(y) & np.not_equal(g, 0))


def _short_rows(x: Any, axis: Axis) -> bool:
    """Whether `axis` is the last one, and so short that BLAS or `reduceat` is several times as fast as a reduction."""
    is_array = isinstance(x, np.ndarray) and x.ndim > 1 and x.dtype.char in "fd" and x.flags.c_contiguous
    return is_array and axis in (-1, x.ndim - 1) and 0 < x.shape[-1] <= 128 and x.size > 1024


# np.sum, np.max and np.min without their layers in Python
_add: Any = np.add.reduce
_largest: Any = np.maximum.reduce
_smallest: Any = np.minimum.reduce
_mean: Any = np.mean  # whose types in NumPy 2.5 take no bool for keepdims


def sum(x: Any, axis: Axis = None, keepdims: bool = False, out: Any = None) -> Any:
    small = type(x) is np.ndarray and x.size <= 1024
    if small or not _short_rows(x, axis) or not (out is None or out.flags.c_contiguous):
        return _add(x, axis, None, out, keepdims)
    return np.dot(x, np.ones((x.shape[-1], *(1,) * keepdims), x.dtype), out=out)


def mean(x: Any, axis: Axis = None, keepdims: bool = False, out: Any = None) -> Any:
    if type(x) is not np.ndarray or x.dtype.char not in "fd" or not 0 < x.size <= 1024 or not x.ndim:
        if out is not None and out.dtype.char == "e":  # into which np.mean would sum, and not in float32
            out[...] = _mean(x, axis=axis, keepdims=keepdims)
            return out
        return _mean(x, axis=axis, keepdims=keepdims, out=out)
    y = _add(x, axis, None, out, keepdims)  # and so does np.mean, with twice as long around it
    n = x.size // y.size
    return np.divide(y, n, out=y) if type(y) is np.ndarray else y / n


def max(x: Any, axis: Axis = None, keepdims: bool = False, out: Any = None) -> Any:
    return (_largest if type(x) is np.ndarray else np.max)(x, axis=axis, keepdims=keepdims, out=out)


def min(x: Any, axis: Axis = None, keepdims: bool = False, out: Any = None) -> Any:
    return (_smallest if type(x) is np.ndarray else np.min)(x, axis=axis, keepdims=keepdims, out=out)


def _shifted(x: Any, axis: Axis) -> tuple[Any, Any]:
    """x - m and m, with m the largest entry along `axis`, or 0 where that is not finite (a row of -inf)."""
    x = np.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(np.result_type(x.dtype, np.float16))
    if _short_rows(x, axis):
        n = x.shape[-1]
        m = np.maximum.reduceat(x.reshape(-1), np.arange(0, x.size, n)).reshape(*x.shape[:-1], 1)
    else:
        m = np.asarray(_largest(x, axis, keepdims=True, initial=-math.inf))
    if not _all_finite(m):
        np.copyto(m, 0, where=~np.isfinite(m))
    return x - m, m


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    z, m = _shifted(x, axis)
    with np.errstate(divide="ignore"):  # log 0 = -inf is the right value of an empty or wholly masked row
        y = np.log(_add(np.exp(z), axis, keepdims=True)) + m
    return y if keepdims else np.squeeze(y, axis=axis)


def softmax(x: Any, axis: Axis = -1) -> Any:
    e = np.asarray(np.exp(_shifted(x, axis)[0]))
    s = _add(e, axis, keepdims=True)  # at least 1, but for rows of -inf
    return np.divide(e, np.maximum(s, 1), out=e)


def log_softmax(x: Any, axis: Axis = -1, out: Any = None) -> Any:
    z = _shifted(x, axis)[0]
    e = np.exp(z, out=out)
    s = sum(e, axis, keepdims=True)  # as above
    return np.subtract(z, np.log(np.maximum(s, 1)), out=out)


def packed(x: Any, out: Any = None) -> Any:
    """A copy of the matrix x, its rows lying one after the other.

    Lines that are a multiple of 1 KiB apart evict each other from the cache: if these are x's columns, that is x the
    transpose of a matrix with such rows, then 16 at a time take a third of the time.
    """
    if out is None:
        out = np.empty(x.shape, x.dtype)
    few = 16 if x.strides[-1] % 1024 == 0 else x.shape[-1] or 1
    for k in range(0, x.shape[-1], few):
        out[..., k : k + few] = x[..., k : k + few]
    return out


def times_transpose(g: Any, b: Any) -> Any:
    """g bᵀ for matrices."""
    return g.dot(b.T) if type(g) is np.ndarray is type(b) else g @ b.T


def check_affine(y: Any, W: Any, b: Any) -> None:
    """Raise ValueError unless y = x W is a product with a matrix whose shape y + b has."""
    if np.ndim(W) != 2 or np.shape(b) not in (y.shape, y.shape[-1:]):
        raise ValueError(f"linear: W must be (I, O), and b (O,) or of the shape of x W, {y.shape}; "
                         f"got {np.shape(W)} and {np.shape(b)}")  # fmt: skip


def linear(x: Any, W: Any, b: Any) -> Any:
    y = matmul(x, W)
    if not (type(b) is np.ndarray is type(W) and b.shape == y.shape and W.ndim == 2):  # the quick case
        check_affine(y, W, b)
        b = np.asarray(b)
    return np.add(y, b, out=y if y.dtype is b.dtype else None)


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    a, b = np.asarray(a), np.asarray(b)
    if out is None and a.ndim == 2 == b.ndim and a.shape[1] == b.shape[0] and a.flags.forc and b.flags.forc:
        return a.dot(b)  # leaner than matmul, but copies what has gaps
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("a scalar has no inner size; use * instead of @")
    inner = b.shape[0 if b.ndim == 1 else -2]
    if a.shape[-1] != inner:
        raise ValueError(f"inner sizes {a.shape[-1]} and {inner} differ")
    if b.ndim == 2 and a.ndim > 2 and a.size and a.flags.c_contiguous and (out is None or out.flags.c_contiguous):
        # one product, not one per batch
        rows = None if out is None else out.reshape(-1, b.shape[1])
        return np.matmul(a.reshape(-1, inner), b, out=rows).reshape(*a.shape[:-1], b.shape[1])
    return np.matmul(a, b, out=out)


def sinc(x: Any, order: int = 0) -> Any:
    """The derivative of this order of f(x) = sin πx / πx.

    x f = sin πx / π, differentiated n times, gives x f_n = π^(n-1) sin(πx + nπ/2) - n f_(n-1), which is accurate where
    |πx| > n + 1; elsewhere the Taylor series f = Σ (-1)^k (πx)^2k / (2k + 1)! is differentiated.
    """
    if order == 0:
        return np.sinc(x)
    x = np.asarray(x, None if np.asarray(x).dtype.kind == "f" else float)
    near = np.abs(x) * math.pi <= order + 1
    y = np.empty_like(x)
    far = x[~near]
    f = np.sinc(far)
    for n in range(1, order + 1):
        f = (math.pi ** (n - 1) * np.sin(math.pi * far + n * math.pi / 2) - n * f) / far
    y[~near] = f
    z = math.pi * x[near]
    square, series = z * z, np.zeros_like(z)
    least = (order + 1) // 2  # of k: lower powers are gone after so many derivatives
    for k in range(least + order + 12, least - 1, -1):
        series = series * square + (-1) ** k * math.perm(2 * k, order) / math.factorial(2 * k + 1)
    y[near] = math.pi**order * series * z ** (2 * least - order)
    return y


def recurrence(a: Any, b: Any) -> Any:
    """s_k = a_k s_(k-1) + b_k along the last axis, from s = 0."""
    s = np.array(np.broadcast_to(b, np.broadcast_shapes(np.shape(a), np.shape(b))))
    rows, factors = np.moveaxis(s, -1, 0), np.moveaxis(np.asarray(a), -1, 0)
    for k in range(1, len(rows)):
        rows[k] += factors[k] * rows[k - 1]
    return s


def check_whole(argument: str, value: Any) -> None:
    """Raise TypeError for a number with a fraction, or one among several, which NumPy would cut off."""
    if type(value) is not int and np.size(value) and np.asarray(value).dtype.kind not in "iub":
        raise TypeError(f"{argument} must be of integers, got {value!r}")


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    check_whole("shift", shift)
    return np.roll(x, shift, axis)


def tril(x: Any, k: int = 0) -> Any:
    check_whole("k", k)
    return np.tril(x, k)


def triu(x: Any, k: int = 0) -> Any:
    check_whole("k", k)
    return np.triu(x, k)


def rot90(x: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    if not hasattr(k, "__index__"):  # NumPy takes 1.5 for 3
        raise TypeError(f"rot90: k must be an integer, got {k!r}")
    return np.rot90(x, k, axes)
