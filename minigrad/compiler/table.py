"""THE COMPILER'S TABLE: what `compile` is to know of a primitive besides its function, by primitive.

The engine does not read it. A primitive that is not here is pure, is called with `out=` if its function takes that, and
its result is copied otherwise.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .. import kernels, ops, shapes
from ..primitive import Primitive
from ..record import Variable

P = TypeVar("P", bound=Callable[..., Any])

#: Of what only collects its inputs: `parts(out, **static)` gives the views of `out` that they go to, or None.
PARTS: dict[Primitive, Callable[..., Any]] = {}
#: Of what puts its inputs one behind the other: `behind(**static)` gives the axis, and where each ends on it; None for
#: the ends if each is an entry of that axis. What `PARTS` says is found out from this at once.
BEHIND: dict[Primitive, Callable[..., Any]] = {}
#: `calls(out, *inputs, **static)` gives pairs (function, operands) that write the result into `out`, or None.
CALLS: dict[Primitive, Callable[..., Any]] = {}
#: What does more than to compute its result from its inputs: every call is made, each time.
IMPURE: set[Primitive] = set()
#: What is traced as a function of its inputs that calls other primitives.
COMPOSED: dict[Primitive, Callable[..., Any]] = {}


def compile_as(
    p: P,
    *,
    pure: bool = True,
    parts: Callable[..., Any] | None = None,
    calls: Callable[..., Any] | None = None,
) -> P:
    """Tell `compile` more about a primitive than that it computes its result; returns the primitive.

    Args:
        p: a primitive; what was said of it before is forgotten.
        pure: False if a call does more than compute its result from its inputs (it draws a number, it checks values):
            a compiled function then makes every call, each time.
        parts: for a primitive that only collects its inputs: `parts(out, **static)` gives the views of `out` that they
            go to, or None if there are no such views. The result is the sum of the inputs at their places, 0 where
            there are none. A compiled function has an input computed right where it goes.
        calls: `calls(out, *inputs, **static)` gives pairs (function, operands), which called one after the other write
            the result into the array `out`, or None: a compiled function prepares its calls once.

    Raises:
        TypeError: if p is no primitive.

    >>> import minigrad as mg
    >>> seen = []
    >>> watch = mg.compile_as(mg.primitive(lambda x: seen.append(float(x)) or x, lambda g, y, x: g), pure=False)
    >>> f = mg.compile(lambda x: watch(x) * 2)
    >>> f(1.5 * mg.tensor(1.0)), f(mg.tensor(2.5)), seen[-1]
    (tensor(3.), tensor(5.), 2.5)
    """
    if not isinstance(p, Primitive):
        raise TypeError(f"compile_as: the first argument must be a primitive, got {type(p).__name__}")
    BEHIND.pop(p, None)
    for table, found in ((PARTS, parts), (CALLS, calls)):
        table.pop(p, None)
        if found is not None:
            table[p] = found
    if pure:
        IMPURE.discard(p)
    else:
        IMPURE.add(p)
    return p


@functools.lru_cache(1024)
def takes_out(function: Callable[..., Any]) -> bool:
    """Whether a function writes its result into an array given as `out=`, as NumPy's ufuncs do."""
    if isinstance(function, np.ufunc):
        return True
    try:
        out = inspect.signature(function).parameters.get("out")
    except (TypeError, ValueError):  # a function in C may have no signature
        return False
    return out is not None and (out.default is None or out.default is inspect.Parameter.empty)  # else it is another


# --- what collects its inputs ----------------------------------------------------------------------------------------


def _placed(out: Any, indices: tuple[Any, ...], **_: Any) -> Any:
    if not all([shapes.is_basic(index) for index in indices]):
        return None
    return [shapes.view(out, index) for index in indices]


def _stacked(out: Any, axis: int) -> Any:
    rows = np.moveaxis(out, axis, 0)
    return [rows[k, ...] for k in range(len(rows))]  # views, even of one entry


compile_as(shapes.place, parts=_placed)
compile_as(shapes._stack, parts=_stacked)
compile_as(shapes._concatenate, parts=lambda out, axis, ends: np.split(out, ends[:-1], axis))
BEHIND[shapes._stack] = lambda axis: (axis, None)
BEHIND[shapes._concatenate] = lambda axis, ends: (axis, ends)


# --- what is several calls, or another one for some arrays ----------------------------------------------------------


def _sigmoid(out: Any, x: Any) -> Any:
    half = kernels.HALF.get(out.dtype, 0.5)
    return [
        (np.multiply, (x, half, out)),
        (np.tanh, (out, out)),
        (np.multiply, (out, half, out)),
        (np.add, (out, half, out)),
    ]


def _matmul(out: Any, a: Any, b: Any) -> Any:
    arrays = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    if not arrays or b.ndim != 2 or a.ndim < 2 or a.dtype != b.dtype or not a.size or not b.size:
        return None
    if not out.flags.c_contiguous or not (a.ndim == 2 or a.flags.c_contiguous):
        return [(np.matmul, (a, b, out))]
    # dot is leaner, and leanest as a method, but copies what has gaps
    product = np.ndarray.dot if b.flags.forc and a.flags.forc else np.matmul
    if a.ndim > 2:
        a, out = a.reshape(-1, a.shape[-1]), out.reshape(-1, b.shape[1])
    return [(product, (a, b, out))]


def _getitem(out: Any, x: Any, index: Any) -> Any:
    rows = isinstance(index, np.ndarray) and index.dtype.kind == "i" and index.size and len(x)
    return [(_row if index.size == 1 else _taken, (x, index, out))] if rows and out.size <= 4096 else None


def _row(x: Any, index: Any, out: Any) -> None:
    out[...] = x[index.item()]


def _taken(x: Any, index: Any, out: Any) -> None:
    x.take(index, 0, out, "raise")  # for a few rows faster than to look for indices out of range before


compile_as(ops.sigmoid, calls=_sigmoid)
compile_as(ops.matmul, calls=_matmul)
compile_as(shapes.getitem, calls=_getitem)


# --- what is traced as others -----------------------------------------------------------------------------------------


def _linear(x: Any, W: Any, b: Any) -> Any:
    y = ops.matmul(x, W)
    kernels.check_affine(y, *[part._array if isinstance(part, Variable) else part for part in (W, b)])
    return y + b  # a compiled function adds in place by itself, and arranges products


COMPOSED[ops._linear] = _linear
