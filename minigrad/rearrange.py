"""Entries in other places: what NumPy's users write beyond `shapes`, composed from it where that is as fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import kernels
from .axes import axis_in, integer, sequence
from .composed import of_each, of_one, of_sequence, of_two
from .interpretation import watched
from .messages import check_unmasked
from .ops import argsort
from .primitive import primitive
from .record import Variable
from .shapes import broadcast_to, concatenate, expand_dims, getitem, moveaxis, place, reshape, split, take, transpose

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "append", "argpartition", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "column_stack", "diag",
    "diagonal", "dstack", "hstack", "partition", "ravel", "repeat", "roll", "rot90", "sort",
    "take_along_axis", "tile", "unstack", "vstack",
]  # fmt: skip


def array(x: Any) -> Any:
    """x if it is a Tensor, else as an array."""
    if isinstance(x, Variable) or type(x) is np.ndarray:
        return x
    check_unmasked("an array", x)
    return np.asarray(watched(x))


def _joinable(name: str, arrays: Sequence[Any]) -> list[Any]:
    """The arrays, with numbers of Python in the floating-point dtype of the first array: they do not widen it."""
    arrays = sequence(name, arrays)
    dtype = next((x.dtype for x in arrays if hasattr(x, "dtype") and x.dtype.kind == "f"), None)
    return [np.asarray(x, dtype) if type(x) in (int, float) else array(x) for x in arrays]


# --- turned about ---------------------------------------------------------------------------------------------------


def _back(shift: Any) -> Any:
    shift = watched(shift)
    return tuple(-n for n in shift) if isinstance(shift, (tuple, list)) else -shift


roll = primitive(
    kernels.roll,
    lambda g, y, x, shift, axis=None: roll(g, _back(shift), axis),
    doc="x moved on by `shift` places along `axis`, what leaves at the end comes in at the start; None: flattened.",
)


rot90 = primitive(
    kernels.rot90,
    lambda g, y, x, k=1, axes=(0, 1): rot90(g, -k, axes),
    doc="x turned k times by 90° in the plane of `axes`, from the first towards the second.",
)


@of_one
def ravel(x: Any, order: str = "C") -> Any:
    """The entries one after the other, row by row, or with order="F" column by column: shape (n,).

    >>> mg.ravel(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 2., 3., 4.])
    """
    if order not in ("C", "F"):
        raise ValueError(f'ravel: order must be "C" or "F", got {order!r}')
    x = x if order == "C" else transpose(x)
    return reshape(x, (-1,) if np.size(x) else (0,))


# --- parts ----------------------------------------------------------------------------------------------------------


@overload
def array_split(x: Variable, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]: ...
@overload
def array_split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Any]: ...
def array_split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """x cut along `axis` into so many `sections`, the first ones longer by 1 if need be, or at the given positions.

    >>> [part.shape for part in mg.array_split(mg.tensor([1.0, 2.0, 3.0]), 2)]
    [(2,), (1,)]
    """
    if isinstance(sections, (int, np.integer)):
        if sections < 1:
            raise ValueError(f"array_split: the number of sections must be positive, got {sections}")
        n = np.shape(x)[axis_in("array_split", axis, np.ndim(x))]
        sections = [(n // sections) * k + min(k, n % sections) for k in range(1, sections)]
    return split(x, sections, axis)


@overload
def unstack(x: Variable, *, axis: int = 0) -> tuple[Tensor, ...]: ...
@overload
def unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]: ...
def unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices of x along `axis`, which they no longer have, as a tuple.

    >>> mg.unstack(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    (tensor([1., 3.]), tensor([2., 4.]))
    """
    x = array(x)
    lead = (slice(None),) * axis_in("unstack", axis, x.ndim)
    return tuple([getitem(x, (*lead, k)) for k in range(x.shape[axis])])


@of_one
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The entries x[i, i + offset] of the matrices on axis1 and axis2, as a last axis; other axes stay in front.

    >>> mg.diagonal(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
    tensor([2.])
    """
    x, offset = array(x), integer("diagonal", "offset", offset)
    if x.ndim < 2 or axis_in("diagonal", axis1, x.ndim) == axis_in("diagonal", axis2, x.ndim):
        raise ValueError(f"diagonal: needs two different axes, got {axis1} and {axis2} of shape {x.shape}")
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    *lead, n, m = x.shape
    start = offset if offset >= 0 else -offset * m
    count = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    flat = reshape(x, (*lead, n * m))  # in which a diagonal goes on by m + 1
    return getitem(flat, (..., slice(start, start + count * (m + 1) if count else start, m + 1)))


@of_one
def diag(x: Any, k: int = 0) -> Any:
    """Of a vector, the matrix with it on diagonal `k` and zeros elsewhere; of a matrix, its diagonal `k`.

    >>> mg.diag(mg.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    x, k = array(x), integer("diag", "k", k)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"diag: needs a vector or a matrix, got shape {x.shape}")
    n = len(x) + abs(k)
    start = k if k >= 0 else -k * n
    where_to = slice(start, start + len(x) * (n + 1), n + 1) if len(x) else slice(0, 0)
    return reshape(place(x, indices=(where_to,), shape=(n * n,), dtype=x.dtype), (n, n))


# --- wholes of parts ------------------------------------------------------------------------------------------------


def _each(lift: Any, arrays: Any) -> Any:
    lifted = tuple([lift(array(x)) for x in arrays])
    return lifted[0] if len(lifted) == 1 else lifted


@of_each
def atleast_1d(*arrays: Any) -> Any:
    """x, or (x,) of a number; of several arrays a tuple.

    >>> mg.atleast_1d(mg.tensor(3.0)).shape
    (1,)
    """
    return _each(lambda x: x if x.ndim else reshape(x, (1,)), arrays)


@of_each
def atleast_2d(*arrays: Any) -> Any:
    """x with axes of size 1 in front so that there are two; of several arrays a tuple.

    >>> mg.atleast_2d(mg.tensor([1.0, 2.0])).shape
    (1, 2)
    """
    return _each(lambda x: x if x.ndim > 1 else reshape(x, (1, x.size)), arrays)


@of_each
def atleast_3d(*arrays: Any) -> Any:
    """x as (1, n, 1) if it has one axis, (n, m, 1) if two; of several arrays a tuple.

    >>> mg.atleast_3d(mg.tensor([1.0, 2.0])).shape
    (1, 2, 1)
    """
    return _each(lambda x: x if x.ndim > 2 else reshape(x, (*(x.shape if x.ndim == 2 else (1, x.size)), 1)), arrays)


@of_sequence
def vstack(arrays: Sequence[Any]) -> Any:
    """Rows, or blocks of rows, joined one below the other.

    >>> mg.vstack([mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])])
    tensor([[1., 2.],
            [3., 4.]])
    """
    return concatenate([atleast_2d(x) for x in _joinable("vstack", arrays)], 0)


@of_sequence
def hstack(arrays: Sequence[Any]) -> Any:
    """Arrays joined along axis 1, vectors and numbers along their only one.

    >>> mg.hstack([mg.tensor([1.0, 2.0]), 3.0])
    tensor([1., 2., 3.])
    """
    lifted = [atleast_1d(x) for x in _joinable("hstack", arrays)]
    return concatenate(lifted, 0 if lifted and lifted[0].ndim == 1 else 1)


@of_sequence
def dstack(arrays: Sequence[Any]) -> Any:
    """Arrays joined along a third axis.

    >>> mg.dstack([mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])]).shape
    (1, 2, 2)
    """
    return concatenate([atleast_3d(x) for x in _joinable("dstack", arrays)], 2)


@of_sequence
def column_stack(arrays: Sequence[Any]) -> Any:
    """Vectors as columns, and matrices, joined side by side.

    >>> mg.column_stack([mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])])
    tensor([[1., 3.],
            [2., 4.]])
    """
    lifted = _joinable("column_stack", arrays)
    return concatenate([x if x.ndim > 1 else reshape(x, (x.size, 1)) for x in lifted], 1)


@of_two
def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """x and `values` joined along `axis`; None flattens both.

    >>> mg.append(mg.tensor([1.0, 2.0]), 3.0)
    tensor([1., 2., 3.])
    """
    parts = _joinable("append", [x, values])
    return concatenate([ravel(part) for part in parts] if axis is None else parts, 0 if axis is None else axis)


# --- copies ---------------------------------------------------------------------------------------------------------


@of_one
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Every entry (or slice along `axis`) `repeats` times in a row: one number, or one for each of them.

    >>> mg.repeat(mg.tensor([1.0, 2.0]), 2)
    tensor([1., 1., 2., 2.])
    """
    if axis is None:
        x, axis = ravel(x), 0
    x, axis = array(x), axis_in("repeat", axis, np.ndim(x))
    n = x.shape[axis]
    if np.size(watched(repeats)) != 1:
        if np.shape(repeats) != (n,):
            raise ValueError(f"repeat: repeats must be one number or {n} of them, got shape {np.shape(repeats)}")
        kernels.check_whole("repeat: repeats", repeats)
        return take(x, np.repeat(np.arange(n), repeats), axis)
    times = integer("repeat", "repeats", repeats if not np.ndim(repeats) else np.reshape(repeats, ()))
    if times < 0:
        raise ValueError(f"repeat: repeats must not be negative, got {times}")
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    copies = broadcast_to(expand_dims(x, axis + 1), (*before, n, times, *after))
    return reshape(copies, (*before, n * times, *after))


@of_one
def tile(x: Any, reps: int | Sequence[int]) -> Any:
    """x laid side by side `reps` times along each axis; the shorter one of shape and reps is filled up with 1 in front.

    >>> mg.tile(mg.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2., 1., 2.],
            [1., 2., 1., 2.]])
    """
    x = array(x)
    times = tuple([integer("tile", "reps", n) for n in (watched(reps) if np.ndim(reps) else (reps,))])
    if min(times, default=0) < 0:
        raise ValueError(f"tile: reps must not be negative, got {reps}")
    ndim = max(len(times), x.ndim)
    shape, times = (1,) * (ndim - x.ndim) + x.shape, (1,) * (ndim - len(times)) + times
    apart = reshape(x, tuple([k for n in shape for k in (1, n)]))
    copies = broadcast_to(apart, tuple([k for pair in zip(times, shape) for k in pair]))
    return reshape(copies, tuple([k * n for k, n in zip(times, shape)]))


# --- by order -------------------------------------------------------------------------------------------------------

argpartition = primitive(np.argpartition, doc="The indices that `partition` takes x's entries from: plain integers.")


@of_one
def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """The entries of x at integer `indices` along `axis`, each in its own row; None takes from the flattened x.

    y[i, j] = x[i, indices[i, j]]; the gradients of an entry taken several times add up. The other axes of x and of
    indices broadcast.

    >>> mg.take_along_axis(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), 1)
    tensor([[2.],
            [3.]])
    """
    if axis is None:
        x, axis = ravel(x), 0
    x, indices = array(x), array(indices)
    axis = axis_in("take_along_axis", axis, x.ndim)
    if indices.ndim != x.ndim or indices.dtype.kind not in "iu":
        raise ValueError(
            f"take_along_axis: indices must be integers with {x.ndim} axes, as x of shape {x.shape} has; "
            f"got {indices.dtype} of shape {indices.shape}"
        )
    grid: list[Any] = [
        np.arange(n).reshape((n,) + (1,) * (x.ndim - k - 1)) if k != axis else indices for k, n in enumerate(x.shape)
    ]
    return getitem(x, tuple(grid))


@of_one
def sort(x: Any, axis: int | None = -1, *, kind: str | None = None, stable: bool | None = None) -> Any:
    """The entries in ascending order along `axis` (None: of the flattened x), NaN last.

    The gradient goes back to where each entry came from; equal entries keep their own.

    >>> mg.sort(mg.tensor([3.0, 1.0, 2.0]))
    tensor([1., 2., 3.])
    """
    if axis is None:
        x, axis = ravel(x), 0
    return take_along_axis(x, argsort(x, axis=axis, kind=kind, stable=stable), axis)


@of_one
def partition(x: Any, kth: int | Sequence[int], axis: int | None = -1) -> Any:
    """The entries along `axis` with the kth in its sorted place, none greater before it and none less behind.

    >>> mg.partition(mg.tensor([3.0, 1.0, 2.0]), 0)[0]
    tensor(1.)
    """
    if axis is None:
        x, axis = ravel(x), 0
    return take_along_axis(x, argpartition(x, kth, axis=axis), axis)
