"""What a call returns while a function is traced: an array of the right shape and dtype, which is rarely computed.

A program's first call replays it anyhow, so that the trace need not compute as well. Of most primitives of minigrad the
result's shape and dtype follow from those of the inputs: an `outline`, which has the memory of one entry, stands for
it. The other ones are called, on outlines as well: what they do is quick, or only moves entries about that nobody looks
at. But anyone else's function may look, so it gets the real values (see `Trace.real`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops, shapes
from ..einsum import _einsum
from ..primitive import Primitive
from .instruction import is_elementwise, layout
from .table import BEHIND

#: Primitives whose result has a shape and dtype that follow from the inputs' alone, whatever their values.
SHAPED = {p for table in (ops, shapes) for p in vars(table).values() if isinstance(p, Primitive)} | {_einsum}
_ELEMENTWISE = {ops.sigmoid, ops.relu, ops.softplus, ops.where, ops.power}
_REDUCING = {ops.sum, ops.mean, ops.max, ops.min, ops.logsumexp}
_ALONG = {ops.softmax, ops.log_softmax}
_COLLECTING = {shapes.place, shapes._stack, shapes._concatenate}


def outline(p: Primitive, arrays: Sequence[Any], static: dict[str, Any]) -> np.ndarray | None:
    """The outline of p(*arrays, **static), None if it has to be called."""
    if any([isinstance(x, np.ndarray) and x.dtype.kind not in "fb" for x in arrays]):
        return None  # what is done to integers is quick, and its errors may depend on them
    try:
        if p in _COLLECTING:
            return _collected(p, arrays, static)
        if p in _REDUCING:
            return _reduced(*arrays, **static)
        if p in _ALONG:
            return _along(*arrays, **static)
        if static or not (p is ops.matmul or p in _ELEMENTWISE or is_elementwise(p)):
            return None
        shape = _product(*arrays) if p is ops.matmul else np.broadcast(*arrays).shape
        like = [(np.dtype, x.dtype) if isinstance(x, np.ndarray) else (type(x), x) for x in arrays]
        dtype = _dtype(p.function, *like)
    except (ValueError, TypeError, IndexError, AttributeError):
        return None  # the call itself says what is wrong
    return layout(shape, dtype).outline


@functools.lru_cache(1024)
def _dtype(function: Any, *like: tuple[Any, Any]) -> np.dtype:
    """The dtype of the result for arrays of these dtypes, or constants."""
    entries = [layout((1, 1), x).outline if cls is np.dtype else x for cls, x in like]
    with np.errstate(all="ignore"):
        return function(*entries).dtype  # type: ignore[no-any-return]


def _product(a: Any, b: Any) -> tuple[int, ...]:
    if np.ndim(a) < 2 or np.ndim(b) < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError("to be found by the call itself")
    return *np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]


def _along(x: np.ndarray, axis: Any = -1) -> np.ndarray | None:
    """The outline of what works along an axis."""
    known = x.dtype.kind == "f" and 0 not in x.shape and type(axis) is int and -x.ndim <= axis < x.ndim
    return layout(x.shape, x.dtype).outline if known else None


def _reduced(x: np.ndarray, axis: Any = None, keepdims: Any = False) -> np.ndarray | None:
    """The outline of what takes x to one entry along axes."""
    axes = tuple(range(x.ndim)) if axis is None else axis if type(axis) is tuple else (axis,)
    known = x.dtype.kind == "f" and type(keepdims) is bool  # sums and means of booleans are numbers
    if not known or any([_along(x, k) is None for k in axes]):
        return None
    gone = {k % x.ndim for k in axes}
    if len(gone) < len(axes):
        return None
    shape = [1 if k in gone else n for k, n in enumerate(x.shape) if keepdims or k not in gone]
    return layout(tuple(shape), x.dtype).outline


def _collected(p: Primitive, arrays: Sequence[Any], static: dict[str, Any]) -> np.ndarray | None:
    """The outline of what puts arrays at their places in a larger one, if they have the shapes of these places."""
    given, dtype = [x.shape for x in arrays], np.dtype(static.get("dtype", arrays[0].dtype))
    if any([x.dtype != dtype for x in arrays]):
        return None
    if p is shapes.place:
        shape = static["shape"]
        whole = np.ndarray(shape, bool, b"\0", 0, (0,) * len(shape))  # of one entry's memory
        parts = [whole[shapes.plain_index(index)].shape for index in static["indices"]]
        fit = given == parts
    else:
        axis, ends = BEHIND[p](**static)
        first, new = given[0], ends is None
        axis = range(len(first) + new)[axis]
        shape = (*first[:axis], len(given) if new else sum([x[axis] for x in given]), *first[axis + (not new) :])
        around = given if new else [(*x[:axis], *x[axis + 1 :]) for x in given]
        fit = around == [around[0]] * len(around)
    return layout(shape, dtype).outline if fit else None
