"""What NumPy's own functions mean when they are called on Tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import ops, shapes
from .einsum import einsum
from .primitive import by_ufunc
from .record import Variable


def plain(x: Any) -> Any:
    """Arrays in place of Tensors, in lists and tuples too."""
    if isinstance(x, Variable):
        return x._data
    return type(x)(plain(part) for part in x) if type(x) in (list, tuple) else x


def _np_clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return ops.clip(a, min if a_min is None else a_min, max if a_max is None else a_max)


def _np_pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Any:
    if mode != "constant":
        raise TypeError(f"np.pad with mode={mode!r} has no derivative rule for a Tensor, only mode='constant'")
    return shapes.pad(array, pad_width, constant_values)


by_ufunc[np.power] = ops.power
by_ufunc[np.matmul] = ops.matmul

#: NumPy functions that are no ufuncs, and what they mean for Tensors.
FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    getattr(np, f.__name__): f
    for f in (
        *(ops.sum, ops.mean, ops.var, ops.max, ops.min, ops.cumsum, ops.where, ops.clip, einsum),
        *(shapes.concatenate, shapes.stack, shapes.split, shapes.take, shapes.reshape, shapes.transpose),
        *(shapes.swapaxes, shapes.moveaxis, shapes.expand_dims, shapes.squeeze, shapes.broadcast_to),
        *(shapes.pad, shapes.flip, shapes.tril, shapes.triu),
        *(ops.argmax, ops.argmin, ops.argsort),
    )
} | {np.amax: ops.max, np.amin: ops.min, np.clip: _np_clip, np.pad: _np_pad}

#: NumPy functions that look at shape and dtype alone.
SHAPES = {np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.result_type}
#: NumPy functions whose results have no derivative: computed on the arrays.
PLAIN = SHAPES | {
    *(np.allclose, np.isclose, np.array_equal, np.all, np.any, np.count_nonzero, np.nonzero, np.unique),
    *(np.round, np.searchsorted, np.shares_memory, np.may_share_memory),
}
