"""Products of vectors and matrices beyond `matmul`: each is a product of matrices, or of entries, in another shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .axes import axis_in, integer
from .composed import of_one, of_two
from .interpretation import watched
from .ops import matmul, multiply, sum
from .primitive import primitive
from .rearrange import array, diagonal, ravel
from .shapes import expand_dims, flip, moveaxis, reshape, squeeze, transpose

__all__ = ["convolve", "dot", "inner", "kron", "matvec", "outer", "tensordot", "trace", "vdot", "vecdot", "vecmat"]


@of_two
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Σ a b over pairs of axes: the last `axes` of a with the first of b, or the pairs of (axes of a, axes of b).

    The other axes of a, then those of b, make the result; it is one product of two matrices. Raises ValueError if the
    sizes of a pair differ.

    >>> mg.tensordot(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), [[1.0, 1.0], [1.0, 1.0]], axes=2)
    tensor(10.)
    """
    a, b, axes = array(a), array(b), watched(axes)
    if not isinstance(axes, (tuple, list)) and not np.ndim(axes):
        axes = integer("tensordot", "axes", axes)
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: there are no {axes} axes to sum over in shapes {a.shape} and {b.shape}")
        axes = range(a.ndim - axes, a.ndim), range(axes)
    over_a, over_b = (
        [axis_in("tensordot", k, x.ndim) for k in np.atleast_1d(ks)] for ks, x in zip(axes, (a, b), strict=True)
    )
    summed = [a.shape[k] for k in over_a]
    if summed != [b.shape[k] for k in over_b]:
        raise ValueError(f"tensordot: axes {over_a} of {a.shape} and {over_b} of {b.shape} have different sizes")
    rows, columns = [k for k in range(a.ndim) if k not in over_a], [k for k in range(b.ndim) if k not in over_b]
    shape = [a.shape[k] for k in rows], [b.shape[k] for k in columns]
    left = reshape(transpose(a, (*rows, *over_a)), (math.prod(shape[0]), math.prod(summed)))
    right = reshape(transpose(b, (*over_b, *columns)), (math.prod(summed), math.prod(shape[1])))
    return reshape(matmul(left, right), (*shape[0], *shape[1]))


@of_two
def dot(a: Any, b: Any) -> Any:
    """Σ a b over a's last axis and b's last but one (its only one): a @ b for vectors and matrices; a number scales.

    >>> mg.dot(mg.tensor([1.0, 2.0]), [3.0, 4.0])
    tensor(11.)
    """
    if not np.ndim(a) or not np.ndim(b):
        return multiply(a, b)
    return matmul(a, b) if np.ndim(b) <= 2 else tensordot(a, b, (-1, -2))


@of_two
def inner(a: Any, b: Any) -> Any:
    """Σ a b over the last axes of both; a number scales.

    >>> mg.inner(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), [1.0, 1.0])
    tensor([3., 7.])
    """
    return multiply(a, b) if not np.ndim(a) or not np.ndim(b) else tensordot(a, b, (-1, -1))


@of_two
def vdot(a: Any, b: Any) -> Any:
    """Σ a b over all entries of two arrays of one size, flattened.

    >>> mg.vdot(mg.tensor([[1.0, 2.0]]), [3.0, 4.0])
    tensor(11.)
    """
    return matmul(ravel(a), ravel(b))


@of_two
def outer(a: Any, b: Any) -> Any:
    """y[i, j] = a[i] b[j] of the flattened a and b.

    >>> mg.outer(mg.tensor([1.0, 2.0]), [3.0, 4.0])
    tensor([[3., 4.],
            [6., 8.]])
    """
    return multiply(reshape(a, (np.size(a), 1)), reshape(b, (1, np.size(b))))


@of_two
def vecdot(a: Any, b: Any, *, axis: int = -1) -> Any:
    """Σ a b along `axis` of both, other axes broadcast.

    >>> mg.vecdot(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), [1.0, 1.0])
    tensor([3., 7.])
    """
    a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"vecdot: the vectors have {a.shape[-1]} and {b.shape[-1]} entries")
    return sum(multiply(a, b), axis=-1)


@of_two
def matvec(A: Any, x: Any) -> Any:
    """y = A x for matrices A (..., n, k) and vectors x (..., k), batches broadcast.

    >>> mg.matvec(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), [1.0, 1.0])
    tensor([3., 7.])
    """
    _check_matrix_and_vector("matvec", A, x)
    return squeeze(matmul(A, expand_dims(x, -1)), axis=-1)


@of_two
def vecmat(x: Any, A: Any) -> Any:
    """y = x A for vectors x (..., n) and matrices A (..., n, k), batches broadcast.

    >>> mg.vecmat(mg.tensor([1.0, 1.0]), [[1.0, 2.0], [3.0, 4.0]])
    tensor([4., 6.])
    """
    _check_matrix_and_vector("vecmat", A, x)
    return squeeze(matmul(expand_dims(x, -2), A), axis=-2)


def _check_matrix_and_vector(name: str, A: Any, x: Any) -> None:
    if np.ndim(A) < 2 or not np.ndim(x):
        raise ValueError(f"{name}: needs matrices A (..., n, k) and vectors x, got shapes {np.shape(A)} of A "
                         f"and {np.shape(x)} of x; of vectors alone mg.vecdot is the product")  # fmt: skip


@of_two
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: every entry of a times the whole of b, in its place.

    >>> mg.kron(mg.tensor([1.0, 2.0]), [1.0, 1.0])
    tensor([1., 1., 2., 2.])
    """
    a, b = array(a), array(b)
    ndim = max(a.ndim, b.ndim)
    m, n = (1,) * (ndim - a.ndim) + a.shape, (1,) * (ndim - b.ndim) + b.shape
    apart = multiply(
        reshape(a, tuple([k for size in m for k in (size, 1)])), reshape(b, tuple([k for size in n for k in (1, size)]))
    )
    return reshape(apart, tuple([k * j for k, j in zip(m, n)]))


@of_one
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Σ x[i, i + offset] of the matrices on axis1 and axis2.

    >>> mg.trace(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)


# y[k] = Σ a[i] v[k - i]: so a's cotangent at i is Σ g[i + j] v[j], a part of the convolution of g with v reversed
_convolve = primitive(
    lambda a, v: np.convolve(a, v),
    lambda g, y, a, v: _convolve(g, flip(v))[v.size - 1 : v.size - 1 + a.size],
    lambda g, y, a, v: _convolve(g, flip(a))[a.size - 1 : a.size - 1 + v.size],
    name="convolve",
)


@of_two
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """y[k] = Σ a[i] v[k - i], of two vectors.

    Args:
        a, v: (n,) and (m,), neither of them empty.
        mode: "full" gives all n + m - 1 sums, "same" the middle max(n, m) of them, "valid" those in which the shorter
            vector is whole.

    >>> mg.convolve(mg.tensor([1.0, 2.0, 3.0]), [1.0, 1.0], mode="valid")
    tensor([3., 5.])
    """
    a, v = array(a), array(v)
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ValueError(f"convolve: needs two vectors with entries, got shapes {a.shape} and {v.shape}")
    less, more = sorted((a.size, v.size))
    starts = {"full": 0, "same": (less - 1) // 2, "valid": less - 1}
    if mode not in starts:
        raise ValueError(f"convolve: mode must be one of {', '.join(starts)}, got {mode!r}")
    start, size = starts[mode], {"full": less + more - 1, "same": more, "valid": more - less + 1}[mode]
    return _convolve(a, v)[start : start + size]
