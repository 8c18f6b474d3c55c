"""The entries of the export's table that only move entries about, or read by indices, and what nn checks of these."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .onnx_graph import Graph
from .onnx_table import TABLE, axes_of, writes
from .onnx_trace import Ref, Size, Varying

_FIRST, _LAST = -(2**63), 2**63 - 1
_ARRAYS = (Ref, np.ndarray, Varying)
_INTEGERS = (int, np.integer, Size)


# --- shapes ----------------------------------------------------------------------------------------------------------


@writes("reshape")
def _reshape(g: Graph, out: Ref, x: Any, shape: Any) -> Any:
    free = [k for k, n in enumerate(out.shape) if not isinstance(n, int)]
    wanted = [-1 if free == [k] else n for k, n in enumerate(out.shape)]
    return g(
        "Reshape", g.name(x, out.dtype), g.vector(wanted if 0 not in wanted else out.shape), allowzero=int(0 in wanted)
    )


@writes("broadcast_to")
def _broadcast_to(g: Graph, out: Ref, x: Any, shape: Any) -> Any:
    return g("Expand", g.name(x, out.dtype), g.vector(out.shape))


@writes("expand_dims")
def _expand_dims(g: Graph, out: Ref, x: Any, axis: Any) -> Any:
    axes = [a % out.ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    return g("Unsqueeze", g.name(x), g.constant(axes, np.int64))


@writes("squeeze")
def _squeeze(g: Graph, out: Ref, x: Any, axis: Any = None) -> Any:
    axes = [k for k, n in enumerate(x.shape) if n == 1] if axis is None else axes_of(x, axis)
    return g("Squeeze", g.name(x), g.constant(axes, np.int64)) if axes else g.name(x)


def permuted(g: Graph, x: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """x with its axes in the order in which `change` puts those of an array."""
    order = [n - 1 for n in change(np.empty(range(1, x.ndim + 1), bool)).shape]
    return g("Transpose", g.name(x), perm=order)


@writes("transpose")
def _transpose(g: Graph, out: Ref, x: Any, axes: Any = None) -> Any:
    return permuted(g, x, lambda a: a.transpose(axes))


@writes("swapaxes")
def _swapaxes(g: Graph, out: Ref, x: Any, axis1: int, axis2: int) -> Any:
    return permuted(g, x, lambda a: a.swapaxes(axis1, axis2))


@writes("moveaxis")
def _moveaxis(g: Graph, out: Ref, x: Any, source: Any, destination: Any) -> Any:
    return permuted(g, x, lambda a: np.moveaxis(a, source, destination))


@writes("concatenate")
def _concatenate(g: Graph, out: Ref, *xs: Any, axis: int, ends: Any = None) -> Any:
    return g("Concat", *[g.name(x, out.dtype) for x in xs], axis=axis % out.ndim)


@writes("stack")
def _stack(g: Graph, out: Ref, *xs: Any, axis: int) -> Any:
    where = g.constant([axis % out.ndim], np.int64)
    return g("Concat", *[g("Unsqueeze", g.name(x, out.dtype), where) for x in xs], axis=axis % out.ndim)


@writes("pad")
def _pad(g: Graph, out: Ref, x: Any, pad_width: Any, constant_values: float = 0.0) -> Any:
    if isinstance(pad_width, dict):
        of_axis: Any = lambda a: pad_width.get(a, pad_width.get(a - x.ndim, 0))
        pad_width = [np.broadcast_to(of_axis(a), 2) for a in range(x.ndim)]
    widths = np.broadcast_to(pad_width, (x.ndim, 2))
    value = g.constant(constant_values, out.dtype)
    return g("Pad", g.name(x, out.dtype), g.constant(widths.T.ravel(), np.int64), value)


def _triangle(upper: int, g: Graph, out: Ref, x: Any, k: int = 0) -> Any:
    return g("Trilu", g.name(x), g.constant(k, np.int64), upper=upper)


TABLE |= {"tril": functools.partial(_triangle, 0), "triu": functools.partial(_triangle, 1)}


# --- indices ---------------------------------------------------------------------------------------------------------


@writes("getitem")
def _getitem(g: Graph, out: Ref, x: Any, index: Any) -> Any:
    parts = [np.array(part) if isinstance(part, list) else part
             for part in (index if isinstance(index, tuple) else (index,))]  # fmt: skip
    taken = sum([part is not None and part is not Ellipsis for part in parts])
    if not any([part is Ellipsis for part in parts]):
        parts.append(Ellipsis)
    at = next(k for k, part in enumerate(parts) if part is Ellipsis)
    parts[at : at + 1] = [slice(None)] * (x.ndim - taken)
    if any([isinstance(part, _ARRAYS) for part in parts]):
        return _picked(g, x, parts)
    return _basic(g, g.name(x), parts)


def _basic(g: Graph, name: str, parts: list[Any]) -> Any:
    """Slices, numbers and None: cut first, then drop axes, then add them."""
    own = [part for part in parts if part is not None]
    name = _sliced(g, name, own)
    for axis in reversed(range(len(own))):
        if isinstance(own[axis], _INTEGERS):
            name = g("Gather", name, g.name(own[axis], np.int64), axis=axis)
    left = [part for part in parts if not isinstance(part, _INTEGERS)]
    new = [k for k, part in enumerate(left) if part is None]
    return g("Unsqueeze", name, g.constant(new, np.int64)) if new else name


def _sliced(g: Graph, name: str, parts: list[Any]) -> Any:
    cut = [(axis, p) for axis, p in enumerate(parts) if isinstance(p, slice) and p != slice(None)]
    if not cut:
        return name
    starts, ends, steps = [], [], []
    for _, part in cut:
        step = 1 if part.step is None else part.step
        if not isinstance(step, int):
            raise ValueError("to_onnx: a slice whose step follows from the size of a free axis; fix that axis")
        steps.append(step)
        starts.append((0 if step > 0 else _LAST) if part.start is None else part.start)
        ends.append((_LAST if step > 0 else _FIRST) if part.stop is None else part.stop)
    axes = g.constant([axis for axis, _ in cut], np.int64)
    return g("Slice", name, g.vector(starts), g.vector(ends), axes, g.constant(steps, np.int64))


def _picked(g: Graph, x: Any, parts: list[Any]) -> Any:
    """Arrays of integers among the parts: one row each from that axis, or from several axes together."""
    if any([part is None for part in parts]):
        raise ValueError("to_onnx: an index with None beside an array; use mg.expand_dims")
    arrays = [axis for axis, part in enumerate(parts) if isinstance(part, _ARRAYS)]
    for axis in arrays:
        kind = parts[axis].arrays[0].dtype if isinstance(parts[axis], Varying) else parts[axis].dtype
        if kind.kind not in "iu":
            raise ValueError("to_onnx: x[mask] has a size that depends on values; use mg.where")
    name = _sliced(g, g.name(x), parts)
    together = [axis for axis, part in enumerate(parts) if not isinstance(part, slice)]
    if len(together) == 1:
        return g("Gather", name, g.name(parts[arrays[0]], np.int64), axis=arrays[0])
    kept = [axis for axis in range(len(parts)) if axis not in together]
    name = g("Transpose", name, perm=together + kept)
    wide = max([np.ndim(part.arrays[0]) if isinstance(part, Varying) else part.ndim
                for part in parts if isinstance(part, _ARRAYS)])  # fmt: skip
    indices = [g.name(parts[axis], np.int64) for axis in together]
    total = indices[0]
    for other in indices[1:]:  # the shape of all of them together
        total = g("Add", total, other)
    shape = g("Shape", total)
    columns = [g("Unsqueeze", g("Expand", i, shape), g.constant([-1], np.int64)) for i in indices]
    name = g("GatherND", name, g("Concat", *columns, axis=-1))
    if together != list(range(together[0], together[-1] + 1)) or not together[0]:
        return name  # NumPy puts what was picked first, as GatherND does
    order = (
        list(range(wide, wide + together[0])) + list(range(wide)) + list(range(wide + together[0], wide + len(kept)))
    )
    return g("Transpose", name, perm=order)


@writes("flip")
def _flip(g: Graph, out: Ref, x: Any, axis: Any = None) -> Any:
    axes = axes_of(x, axis)
    return _sliced(g, g.name(x), [slice(None, None, -1) if a in axes else slice(None) for a in range(x.ndim)])


@writes("checked")
def _checked(g: Graph, out: Ref, x: Any, V: int, who: str) -> Any:
    # an index below 0 would count from the end: it becomes one past the end, which runtimes refuse
    name = g.name(x)
    last, zero = g.constant(V, out.dtype), g.constant(0, out.dtype)
    return g("Where", g("Less", name, zero), last, name)


@writes("padding_mask")
def _padding_mask(g: Graph, out: Ref, lengths: Any, T: Any) -> Any:
    column = g("Unsqueeze", g.range(T), g.constant([1], np.int64))
    return g("Less", column, g.name(lengths, np.int64))
