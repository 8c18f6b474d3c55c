"""What NumPy's own functions mean when they are called on Tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import ops, shapes
from .einsum import einsum
from .modes import tracing
from .primitive import Primitive, by_ufunc
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


def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **static: Any) -> Any:
    """What NumPy calls for `np.tanh(t)` and `array @ t`: the primitive that stands for the ufunc."""
    if method == "__call__" and not static and (trace := tracing()) is not None and trace.plain(inputs):
        return trace.call(by_ufunc.get(ufunc) or Primitive(ufunc, (), None, ufunc.__name__, None), inputs, {})
    if method != "__call__" or static or ufunc not in by_ufunc:
        called = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
        options = f" with {', '.join(static)}=" if static else ""
        raise TypeError(
            f"np.{called}{options} has no derivative rule for a Tensor; "
            "use a function of minigrad, declare one with mg.primitive, or pass `t.data`"
        )
    return by_ufunc[ufunc](*inputs)


def array_function(self: Any, function: Any, types: Any, args: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """What NumPy calls for `np.sum(t, axis=1)` and its like."""
    if function in FUNCTIONS:
        return FUNCTIONS[function](*args, **static)
    if function in PLAIN:
        if function not in SHAPES and (trace := tracing()) is not None:
            trace.refuse(f"np.{function.__name__}(t)")
        return function(*[plain(x) for x in args], **{key: plain(x) for key, x in static.items()})
    raise TypeError(
        f"np.{function.__name__} has no derivative rule for a Tensor; "
        "use a function of minigrad, declare one with mg.primitive, or pass `t.data`"
    )
