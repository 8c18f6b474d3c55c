"""The table, first half: primitives that move entries about and compute nothing.

Their rules move the cotangent's entries back. Read `lambda g, y, x: ...` as "given g = dL/dy, y and x, this is dL/dx".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Never, overload

import numpy as np

from . import kernels
from .axes import axis_in, integer, sequence
from .interpretation import watched
from .messages import check_operand, check_real, not_taken
from .primitive import primitive
from .record import At, Variable

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "astype", "broadcast_to", "concatenate", "expand_dims", "flip", "getitem", "moveaxis", "pad", "place",
    "reshape", "split", "squeeze", "stack", "swapaxes", "take", "transpose", "tril", "triu",
]  # fmt: skip


# --- shapes ---------------------------------------------------------------------------------------------------------


def _padded(x: Any, pad_width: Any, constant_values: float = 0.0) -> Any:
    check_real("pad: constant_values", constant_values)
    return np.pad(x, pad_width, constant_values=constant_values)


def _unpadded(g: Any, y: Any, x: Any, pad_width: Any, constant_values: float = 0.0) -> Any:
    if isinstance(pad_width, dict):  # of axes
        widths = np.zeros((x.ndim, 2), int)
        for axis, width in pad_width.items():
            widths[axis] = width
        pad_width = widths
    before = np.broadcast_to(pad_width, (x.ndim, 2))[:, 0].tolist()
    return getitem(g, tuple(slice(b, b + n) for b, n in zip(before, x.shape, strict=True)))


def _squeezed(x: Any, axis: Any = None) -> Any:
    y = np.squeeze(x, axis)
    return y[...] if y is x else y  # a view, of which others see that it is one


def _converted(x: Any, dtype: Any) -> Any:
    y = x.astype(np.dtype(dtype).newbyteorder("="))
    if y.dtype.kind not in "fiub":
        raise TypeError(f"a Tensor holds real numbers or booleans, not {y.dtype}")
    return y


reshape = primitive(
    lambda x, shape: np.reshape(x, shape),
    lambda g, y, x, shape: reshape(g, x.shape),
    name="reshape",
    doc="The same entries in another shape.",
)
transpose = primitive(
    lambda x, axes=None: np.transpose(x, axes),
    lambda g, y, x, axes=None: transpose(
        g, None if axes is None else tuple(np.argsort(np.reshape(axes, -1) % g.ndim).tolist())
    ),
    name="transpose",
    doc="Axes in the order `axes`; None reverses them.",
)
swapaxes = primitive(np.swapaxes, lambda g, y, x, axis1, axis2: swapaxes(g, axis1, axis2))
moveaxis = primitive(np.moveaxis, lambda g, y, x, source, destination: moveaxis(g, destination, source))
expand_dims = primitive(np.expand_dims, lambda g, y, x, axis: reshape(g, x.shape))
squeeze = primitive(
    _squeezed,
    lambda g, y, x, axis=None: reshape(g, x.shape),
    name="squeeze",
    doc="x without its axes of size 1, or those of `axis` alone; dL/dx is g in the shape of x.",
)
broadcast_to = primitive(
    lambda x, shape: np.broadcast_to(x, shape),
    lambda g, y, x, shape: g,
    name="broadcast_to",
    doc="x repeated to `shape`.",
)
pad = primitive(
    _padded,
    _unpadded,
    name="pad",
    doc="x with `constant_values` around it; pad_width is n, (before, after), or such a pair for each axis.",
)
flip = primitive(np.flip, lambda g, y, x, axis=None: flip(g, axis))
tril = primitive(kernels.tril, lambda g, y, x, k=0: tril(g, k))
triu = primitive(kernels.triu, lambda g, y, x, k=0: triu(g, k))
astype = primitive(
    _converted,
    lambda g, y, x, dtype: astype(g, x.dtype),
    name="astype",
    doc="The same values in another floating-point dtype.",
)


# --- parts, and wholes of parts -------------------------------------------------------------------------------------


def plain_index(index: Any) -> Any:
    """An index with arrays in place of integer Tensors."""
    if type(index) is tuple:
        return tuple([part._array if isinstance(part, Variable) else part for part in index])
    return index._array if isinstance(index, Variable) else index


_BASIC = {int, slice, type(None), type(Ellipsis), np.int64, np.int32}


def is_basic(index: Any) -> bool:
    """Whether an index is made of integers, slices, None and Ellipsis only, so that it selects nothing twice."""
    return _BASIC.issuperset(map(type, index if type(index) is tuple else (index,)))


def add_at(buffer: Any, index: Any, g: Any) -> None:
    """buffer[index] += g, in which contributions at a repeated index add up; ValueError if g is not like that part."""
    basic = is_basic(index)
    if not basic:
        index = plain_index(index)
    array = not basic and isinstance(index, np.ndarray) and (index.ndim or index.dtype == bool)
    if basic or (array and index.dtype == bool):
        part = buffer[index]
        if type(part) is not np.ndarray:  # one entry came out as a number
            part = view(buffer, index)
        if type(g) is not np.ndarray or g.shape != part.shape:  # asked here, where a step of a loop comes by
            check_part(g, part.shape)
        part += g
        if not basic:
            buffer[index] = part
    elif array and index.size and buffer.ndim > 1:
        check_part(g, index.shape + buffer.shape[1:])
        rows = np.asarray(index, np.intp).ravel() % len(buffer)
        if buffer.ndim > 2 and buffer.flags.c_contiguous:
            buffer = buffer.reshape(len(buffer), -1)
        _add_rows(buffer, rows, np.reshape(g, (index.size, *buffer.shape[1:])))
    else:
        check_part(g, part_shape(buffer.shape, index))
        np.add.at(buffer, index, g)


def part_shape(shape: tuple[int, ...], index: Any) -> tuple[int, ...]:
    """The shape of x[index] for an array x of this shape."""
    whole = np.ndarray(shape, bool, b"\0", 0, (0,) * len(shape))  # of one entry's memory
    shape = whole[plain_index(index)].shape
    return shape


def check_part(g: Any, part: tuple[int, ...]) -> None:
    """Raise ValueError unless g, a cotangent of a part, has its shape."""
    check_operand("returned a cotangent that cannot be added", g)
    found = g._array.shape if isinstance(g, Variable) else np.shape(g)
    if found != part:
        raise ValueError(f"returned a cotangent of shape {found} for a part of shape {part}")


def _add_rows(buffer: Any, rows: Any, g: Any) -> None:
    # a few one by one; many sorted by row, so that each run of equal rows is one sum; or, if there are far fewer such
    # rounds, every row's n-th entry at once. np.add.at takes 4 to 20 times as long
    if len(rows) < 64:
        for row, part in zip(rows.tolist(), g):
            whole = buffer[row]
            np.add(whole, part, whole)
        return
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    counts = np.diff(starts, append=len(rows))
    if len(starts) <= 16 * counts.max() and buffer.ndim == 2:
        ones = np.ones(counts.max(), buffer.dtype)  # BLAS sums rows faster than np.add.reduce
        g = np.ascontiguousarray(g)  # of what is not, as a plain sum's cotangents, `take` copies the whole each time
        for row, start, end in zip(rows[starts].tolist(), starts.tolist(), (starts + counts).tolist(), strict=True):
            whole = buffer[row]
            np.add(whole, np.dot(ones[: end - start], g.take(order[start:end], axis=0)), whole)
        return
    for n in range(counts.max()):
        entries = starts[counts > n] + n
        buffer[rows[entries]] += g[order[entries]]


def _place(*gs: Any, indices: tuple[Any, ...], shape: tuple[int, ...], dtype: Any, out: Any = None) -> Any:
    if out is None:
        whole = np.zeros(shape, dtype)
    else:
        whole = out
        whole[...] = 0
    for index, g in zip(indices, gs, strict=True):
        add_at(whole, index, g)
    return whole


def view(buffer: Any, index: Any) -> Any:
    """buffer[index] for a basic index, as a view even of one entry."""
    index = index if type(index) is tuple else (index,)
    return buffer[index if ... in index else (*index, ...)]


place = primitive(
    _place,
    joint=lambda g, y, *gs, indices, shape, dtype: [getitem(g, index) for index in indices],
    name="place",
    doc="Zeros of `shape` with gs[k] added at indices[k]: the sum of `At` cotangents.",
)


def _getitem(x: Any, index: Any, out: Any = None) -> Any:
    if out is None:
        return x[index]
    if isinstance(index, np.ndarray) and index.dtype.kind in "iu" and index.size and len(x):
        if not -len(x) <= index.min() <= index.max() < len(x):
            return x[index]  # raises the error
        return np.take(x, index, axis=0, out=out, mode="wrap")  # which checks nothing, and so needs no buffer
    part = x[index]
    if np.shape(part) != out.shape:  # else it would be broadcast
        raise ValueError(
            f"x[index] has shape {np.shape(part)}, and {out.shape} when the function was compiled: a mask may "
            "change, but how many it takes may not; choose with mg.where, or compile another function for this mask"
        )
    out[...] = part
    return out


getitem = primitive(
    _getitem,
    lambda g, y, x, index: At(index, g),
    name="getitem",
    doc="x[index] with every NumPy index; the gradients of an entry selected several times add up.",
)


_concatenate = primitive(
    lambda *xs, axis, ends, out=None: np.concatenate(xs, axis=axis, out=out),
    joint=lambda g, y, *xs, axis, ends: split(g, ends[:-1], axis),
    name="concatenate",
)
_stack = primitive(
    lambda *xs, axis, out=None: np.stack(xs, axis=axis, out=out),
    joint=lambda g, y, *xs, axis: moveaxis(g, axis, 0) if axis else g,  # a sequence of its parts
    name="stack",
)


@overload
def take(x: Variable, indices: Any, axis: int | None = None) -> Tensor: ...
@overload
def take(x: Any, indices: Any, axis: int | None = None) -> Any: ...
def take(x: Any, indices: Any, axis: int | None = None, **unknown: Never) -> Any:
    """The slices of x at integer `indices` along `axis` (None: of the flattened x), as np.take.

    With axis=0 it is the product of one-hot rows with x that builds no one-hot row: e_k x = x[k].

    >>> mg.take(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 0, 1], axis=0)
    tensor([[3., 4.],
            [1., 2.],
            [3., 4.]])
    """
    if unknown:
        raise not_taken("take", unknown, ("axis",))
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    if not isinstance(indices, Variable):
        check_real("take: indices", indices)
        indices = indices if type(indices) is np.ndarray else np.asarray(watched(indices))
        if not indices.size:
            indices = indices.astype(np.intp)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"take: indices must be integers, got {indices.dtype}")
    axis = axis_in("take", axis, np.ndim(x))
    return getitem(x, indices if axis == 0 else (*(slice(None),) * axis, indices))


@overload
def concatenate(arrays: Sequence[Tensor], axis: int | None = 0) -> Tensor: ...
@overload
def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any: ...
def concatenate(arrays: Sequence[Any], axis: int | None = 0, **unknown: Never) -> Any:
    """The arrays joined along an existing `axis`; None joins the flattened arrays.

    >>> mg.concatenate([mg.tensor([1.0, 2.0]), [3.0]])
    tensor([1., 2., 3.])
    """
    if unknown:
        raise not_taken("concatenate", unknown, ("axis",))
    arrays = tuple(arrays) if isinstance(arrays, (tuple, list)) else sequence("concatenate", arrays)
    if axis is None:
        arrays, axis = tuple([reshape(x, (-1,)) for x in arrays]), 0
    elif type(axis) is not int:
        axis = integer("concatenate", "axis", axis)
    shapes = [x._array.shape if isinstance(x, Variable) else np.shape(x) for x in arrays]
    ends = tuple(accumulate([shape[axis] if -len(shape) <= axis < len(shape) else 0 for shape in shapes]))
    return _concatenate(*arrays, axis=axis, ends=ends)


@overload
def stack(arrays: Sequence[Tensor], axis: int = 0) -> Tensor: ...
@overload
def stack(arrays: Sequence[Any], axis: int = 0) -> Any: ...
def stack(arrays: Sequence[Any], axis: int = 0, **unknown: Never) -> Any:
    """The arrays, all of one shape, joined along a new `axis`.

    >>> mg.stack([mg.tensor([1.0, 2.0]), [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    if unknown:
        raise not_taken("stack", unknown, ("axis",))
    arrays = arrays if isinstance(arrays, (tuple, list)) else sequence("stack", arrays)
    return _stack(*arrays, axis=axis if type(axis) is int else integer("stack", "axis", axis))


@overload
def split(x: Variable, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]: ...
@overload
def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Any]: ...
def split(x: Any, sections: int | Sequence[int], axis: int = 0, **unknown: Never) -> list[Any]:
    """x cut along `axis` into equal `sections`, or at the given positions, as np.split.

    >>> mg.split(mg.tensor([1.0, 2.0, 3.0, 4.0]), 2)
    [tensor([1., 2.]), tensor([3., 4.])]
    """
    if unknown:
        raise not_taken("split", unknown, ("axis",))
    if not -np.ndim(x) <= watched(axis) < np.ndim(x):
        raise ValueError(f"split: there is no axis {axis} in shape {np.shape(x)}")
    n = np.shape(x)[axis]
    if not isinstance(watched(sections), (int, np.integer, tuple, list)) and np.ndim(sections) == 0:
        if np.asarray(sections).dtype.kind not in "iu":
            raise TypeError(f"split: sections must be an integer or positions, got {sections!r}")
        sections = int(sections)  # type: ignore[arg-type]
    if isinstance(sections, (int, np.integer)):
        sections = int(sections)
        if sections < 1 or n % sections:
            raise ValueError(f"split: axis {axis} of size {n} does not divide into {sections} equal sections")
        cuts = list(range(0, n, n // sections))[1:] if n else [0] * (sections - 1)
    else:
        cuts = [slice(None, integer("split", "a position", c)).indices(n)[1] for c in sections]
    lead = (slice(None),) * (axis % np.ndim(x))
    return [getitem(x, (*lead, slice(a, b))) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
