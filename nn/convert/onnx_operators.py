"""THE TABLE of the import: for each ONNX operator the function of arrays and Tensors that computes it.

Its positional parameters are the operator's inputs, those by keyword alone its attributes; an attribute that is none of
these is refused. `count` is the number of outputs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

from .onnx_graph import package

TABLE: dict[str, Callable[..., Any]] = {}
LARGEST = 2**31  # entries that a shape in a file may ask for


def reads(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the entry of the operator of this name."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        TABLE[name] = function
        return function

    return add


def integers(x: Any) -> list[int]:
    """Sizes or axes as numbers."""
    return [int(n) for n in np.ravel(x.data if isinstance(x, mg.Tensor) else x)]


def _bounded(shape: Any) -> tuple[int, ...]:
    sizes = tuple(integers(shape))
    if min(sizes, default=0) < 0 or math.prod(sizes) > LARGEST:
        raise ValueError(f"an array of the shape {sizes} is asked for")
    return sizes


_SAME = {
    "Add": mg.add, "Sub": mg.subtract, "Mul": mg.multiply, "MatMul": mg.matmul, "Neg": mg.negative, "Abs": mg.abs,
    "Exp": mg.exp, "Log": mg.log, "Sqrt": mg.sqrt, "Sin": mg.sin, "Cos": mg.cos, "Tan": mg.tan, "Tanh": mg.tanh,
    "Sigmoid": mg.sigmoid, "Relu": mg.relu, "Softplus": mg.softplus, "Floor": mg.floor, "Ceil": mg.ceil,
    "Round": mg.rint, "Sign": mg.sign, "Reciprocal": mg.reciprocal, "Erf": mg.erf, "Sinh": mg.sinh, "Cosh": mg.cosh,
    "Equal": mg.equal, "Greater": mg.greater, "GreaterOrEqual": mg.greater_equal, "Less": mg.less,
    "LessOrEqual": mg.less_equal, "And": mg.logical_and, "Or": mg.logical_or, "Not": mg.logical_not,
    "IsNaN": mg.isnan, "IsInf": mg.isinf, "Where": mg.where,
}  # fmt: skip


def _plain(function: Callable[..., Any], count_of: int) -> Callable[..., Any]:
    """The same function with that many parameters and no keyword."""
    if count_of == 1:
        return lambda x: function(x)
    return (lambda x, y: function(x, y)) if count_of == 2 else lambda x, y, z: function(x, y, z)


_TWO = {"Add", "Sub", "Mul", "MatMul", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or"}
TABLE |= {name: _plain(f, 3 if name == "Where" else 2 if name in _TWO else 1) for name, f in _SAME.items()}


@reads("Identity")
def _identity(x: Any) -> Any:
    return x


@reads("Dropout")
def _dropout(x: Any, ratio: Any = None, training: Any = None, *, seed: int = 0) -> Any:
    if training is not None and np.any(training):
        raise ValueError("training_mode is on")
    return x


@reads("Cast")
def _cast(x: Any, *, to: int, saturate: int = 1) -> Any:
    dtype = np.dtype(package().helper.tensor_dtype_to_np_dtype(to))
    return x if x.dtype == dtype else x.astype(dtype)


@reads("Div")
def _div(x: Any, y: Any) -> Any:
    if x.dtype.kind in "iu":  # cut off, as in C
        return mg.floor_divide(mg.abs(x), mg.abs(y)) * mg.sign(x) * mg.sign(y)
    return mg.divide(x, y)


@reads("Mod")
def _mod(x: Any, y: Any, *, fmod: int = 0) -> Any:
    if fmod:
        raise ValueError("fmod=1 is not understood")
    return mg.remainder(x, y)


@reads("Pow")
def _pow(x: Any, y: Any) -> Any:
    return mg.power(x, y if y.dtype == x.dtype else y.astype(x.dtype))


@reads("Max")
def _max(*xs: Any) -> Any:
    return functools.reduce(mg.maximum, xs)


@reads("Min")
def _min(*xs: Any) -> Any:
    return functools.reduce(mg.minimum, xs)


@reads("Clip")
def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else mg.maximum(x, low)
    return x if high is None else mg.minimum(x, high)


@reads("Elu")
def _elu(x: Any, *, alpha: float = 1.0) -> Any:
    return mg.elu(x, alpha=alpha)


@reads("LeakyRelu")
def _leaky_relu(x: Any, *, alpha: float = 0.01) -> Any:
    return mg.leaky_relu(x, alpha)


@reads("HardSigmoid")
def _hard_sigmoid(x: Any, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    return mg.clip(x * alpha + beta, low=0.0, high=1.0)


@reads("Gelu")
def _gelu(x: Any, *, approximate: str = "none") -> Any:
    return mg.gelu(x, approximate)


@reads("Softsign")
def _softsign(x: Any) -> Any:
    return x / (1 + mg.abs(x))


# --- products and sums -----------------------------------------------------------------------------------------------


@reads("Gemm")
def _gemm(
    a: Any, b: Any, c: Any = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0
) -> Any:
    y = mg.matmul(mg.swapaxes(a, 0, 1) if transA else a, mg.swapaxes(b, 0, 1) if transB else b)
    y = y if alpha == 1 else y * alpha
    return y if c is None else y + (c if beta == 1 else c * beta)


@reads("Einsum")
def _einsum(*xs: Any, equation: str) -> Any:
    return mg.einsum(equation, *xs)


@reads("Softmax")
def _softmax(x: Any, *, axis: int = -1) -> Any:
    return mg.softmax(x, axis=axis)


@reads("LogSoftmax")
def _log_softmax(x: Any, *, axis: int = -1) -> Any:
    return mg.log_softmax(x, axis=axis)


@reads("LayerNormalization")
def _layer_norm(
    x: Any, scale: Any, shift: Any = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    axes = tuple(range(axis % x.ndim, x.ndim))
    d = x - mg.mean(x, axis=axes, keepdims=True)
    y = d / mg.sqrt(mg.mean(d * d, axis=axes, keepdims=True) + epsilon) * scale
    return y if shift is None else y + shift


def _reduce(function: Callable[..., Any], x: Any, axes: Any, keepdims: int, noop: int) -> Any:
    chosen = None if axes is None else tuple(integers(axes))
    if not chosen:
        if noop:
            return x
        chosen = None
    return function(x, axis=chosen, keepdims=bool(keepdims))


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduction(
        x: Any, given: Any = None, *, axes: Any = None, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Any:
        return _reduce(function, x, axes if given is None else given, keepdims, noop_with_empty_axes)

    return reduction


TABLE |= {"ReduceSum": _reduction(mg.sum), "ReduceMean": _reduction(mg.mean), "ReduceMax": _reduction(mg.max),
          "ReduceMin": _reduction(mg.min), "ReduceProd": _reduction(mg.prod),
          "ReduceLogSumExp": _reduction(mg.logsumexp)}  # fmt: skip


def _best(function: Callable[..., Any]) -> Callable[..., Any]:
    def best(x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
        if select_last_index:
            raise ValueError("select_last_index=1 is not understood")
        return function(x, axis=axis, keepdims=bool(keepdims))

    return best


TABLE |= {"ArgMax": _best(mg.argmax), "ArgMin": _best(mg.argmin)}


@reads("CumSum")
def _cumsum(x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
    if exclusive or reverse:
        raise ValueError("exclusive and reverse are not understood")
    return mg.cumsum(x, axis=integers(axis)[0])


# --- shapes ----------------------------------------------------------------------------------------------------------


@reads("Shape")
def _shape(x: Any, *, start: int = 0, end: int | None = None) -> Any:
    return np.array(np.shape(x)[start:end], np.int64)


@reads("Reshape")
def _reshape(x: Any, shape: Any, *, allowzero: int = 0) -> Any:
    sizes = integers(shape)
    return mg.reshape(x, tuple([x.shape[k] if n == 0 and not allowzero else n for k, n in enumerate(sizes)]))


@reads("Flatten")
def _flatten(x: Any, *, axis: int = 1) -> Any:
    axis += x.ndim if axis < 0 else 0
    return mg.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@reads("Transpose")
def _transpose(x: Any, *, perm: Any = None) -> Any:
    return mg.transpose(x, None if perm is None else tuple(perm))


@reads("Squeeze")
def _squeeze(x: Any, axes: Any = None) -> Any:
    return mg.squeeze(x, axis=None if axes is None else tuple(integers(axes)))


@reads("Unsqueeze")
def _unsqueeze(x: Any, axes: Any) -> Any:
    return mg.expand_dims(x, axis=tuple(integers(axes)))


@reads("Expand")
def _expand(x: Any, shape: Any) -> Any:
    return mg.broadcast_to(x, np.broadcast_shapes(np.shape(x), _bounded(shape)))


@reads("ConstantOfShape")
def _constant_of_shape(shape: Any, *, value: Any = None) -> Any:
    value = np.zeros(1, np.float32) if value is None else value
    return np.full(_bounded(shape), value.reshape(()), value.dtype)


@reads("Range")
def _range(start: Any, limit: Any, step: Any) -> Any:
    numbers: Any = [np.asarray(n.data if isinstance(n, mg.Tensor) else n).item() for n in (start, limit, step)]
    a, b, c = numbers
    _bounded([max(0, math.ceil((b - a) / c))])
    return np.arange(a, b, c).astype(start.dtype)


@reads("Concat")
def _concat(*xs: Any, axis: int) -> Any:
    return mg.concatenate(xs, axis=axis)


@reads("Split")
def _split(x: Any, split: Any = None, *, axis: int = 0, num_outputs: int = 0, count: int) -> Any:
    n = x.shape[axis]
    sizes = integers(split) if split is not None else [-(-n // count)] * count
    if split is not None and (sum(sizes) != n or len(sizes) != count):
        raise ValueError(f"{n} entries do not split into {sizes}")
    return tuple(mg.split(x, np.cumsum(sizes)[:-1].tolist(), axis=axis))


@reads("Slice")
def _slice(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    first, last = integers(starts), integers(ends)
    index: list[Any] = [slice(None)] * x.ndim
    by = [1] * len(first) if steps is None else integers(steps)
    for axis, *part in zip(range(len(first)) if axes is None else integers(axes), first, last, by, strict=True):
        index[axis] = slice(*part)
    return x[tuple(index)]


@reads("Gather")
def _gather(x: Any, indices: Any, *, axis: int = 0) -> Any:
    return mg.take(x, indices, axis=axis)


@reads("GatherElements")
def _gather_elements(x: Any, indices: Any, *, axis: int = 0) -> Any:
    sizes = [(n, m) for k, (n, m) in enumerate(zip(indices.shape, x.shape)) if k != axis % x.ndim]
    if indices.ndim != x.ndim or any([n > m for n, m in sizes]):
        raise ValueError(f"indices of shape {indices.shape} pick from no array of shape {x.shape}")
    corner = tuple([slice(None) if k == axis % x.ndim else slice(n) for k, n in enumerate(indices.shape)])
    return mg.take_along_axis(x[corner], indices, axis=axis)


@reads("GatherND")
def _gather_nd(x: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    if batch_dims:
        raise ValueError("batch_dims is not understood")
    return x[tuple([indices[..., k] for k in range(indices.shape[-1])])]


@reads("OneHot")
def _one_hot(x: Any, depth: Any, values: Any, *, axis: int = -1) -> Any:
    if axis != -1:
        raise ValueError("an axis other than the last is not understood")
    known = np.arange(_bounded(depth)[0])
    return mg.where(mg.equal(mg.expand_dims(mg.remainder(x, len(known)), -1), known), values[1], values[0])


@reads("Pad")
def _pad(x: Any, pads: Any, value: Any = None, axes: Any = None, *, mode: str = "constant") -> Any:
    if mode != "constant":
        raise ValueError(f"the mode {mode!r} is not understood")
    given, widths = integers(pads), [(0, 0)] * x.ndim
    chosen = range(x.ndim) if axes is None else integers(axes)
    for k, axis in enumerate(chosen):
        widths[axis] = given[k], given[len(given) // 2 + k]
    _bounded([n + a + b for n, (a, b) in zip(x.shape, widths)])
    return mg.pad(x, tuple(widths), 0.0 if value is None else value.item())


@reads("Trilu")
def _trilu(x: Any, k: Any = None, *, upper: int = 1) -> Any:
    return (mg.triu if upper else mg.tril)(x, 0 if k is None else integers(k)[0])
