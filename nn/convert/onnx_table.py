"""THE TABLE of the export: for each primitive the ONNX operators that compute it.

An entry is called with the graph, the result (a Ref with shape and dtype), and what the primitive was called with; it
adds nodes and returns the name of what they make.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

from .onnx_graph import Graph, size_of
from .onnx_trace import Call, Ref

Writer = Callable[..., str]
TABLE: dict[str, Writer] = {}
OWN = ("minigrad", "nn")


def writes(name: str) -> Callable[[Writer], Writer]:
    """Declare the entry of the primitive of this name."""

    def add(writer: Writer) -> Writer:
        TABLE[name] = writer
        return writer

    return add


def write(g: Graph, call: Call, operators: dict[mg.Primitive, Writer]) -> None:
    """Add the nodes of a call."""
    writer = writer_of(call.primitive, operators)
    g.names[call.out] = writer(g, call.out, *call.inputs, **call.static)


def writer_of(p: mg.Primitive, operators: dict[mg.Primitive, Writer]) -> Writer:
    """The entry of a primitive: the user's, or that of the table.

    Raises:
        TypeError: if there is none.
    """
    own = p.__module__.partition(".")[0] in OWN
    writer = operators.get(p) or (TABLE.get(p.name) if own else None)
    if writer is None:
        known = ", ".join(sorted(TABLE.keys() | {p.name for p in operators}))
        raise TypeError(
            f"to_onnx: the primitive {p.name} has no ONNX operator here; pass operators={{{p.name}: write}} with "
            f"write(graph, out, *inputs) -> name, or compose it of these: {known}"
        )
    return writer


def dtype_of(x: Any) -> Any:
    """The dtype of an operand; a Python number itself, which yields to arrays."""
    return x.dtype if isinstance(x, (Ref, np.ndarray, np.generic)) else x if isinstance(x, (int, float)) else np.int64


# --- entry by entry --------------------------------------------------------------------------------------------------


def _unary(operator: str, g: Graph, out: Ref, x: Any) -> str:
    return g(operator, g.name(x, out.dtype))  # type: ignore[no-any-return]


def _question(operator: str, g: Graph, out: Ref, x: Any) -> str:
    return g(operator, g.name(x))  # type: ignore[no-any-return]


def _binary(operator: str, g: Graph, out: Ref, x: Any, y: Any) -> str:
    if out.dtype == bool:
        raise TypeError(f"to_onnx: {operator} of booleans; use mg.logical_and or mg.logical_or")
    return g(operator, g.name(x, out.dtype), g.name(y, out.dtype))  # type: ignore[no-any-return]


def _compare(operator: str, g: Graph, out: Ref, x: Any, y: Any) -> str:
    common = np.result_type(dtype_of(x), dtype_of(y))
    common = np.dtype(np.int64) if common.kind == "b" and operator != "Equal" else common
    return g(operator, g.name(x, common), g.name(y, common))  # type: ignore[no-any-return]


def _logical(operator: str, g: Graph, out: Ref, *xs: Any) -> str:
    return g(operator, *[g.name(x, bool) for x in xs])  # type: ignore[no-any-return]


_UNARY = {
    "abs": "Abs", "negative": "Neg", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos",
    "tan": "Tan", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softplus": "Softplus", "floor": "Floor",
    "ceil": "Ceil", "rint": "Round", "sign": "Sign", "reciprocal": "Reciprocal", "arcsin": "Asin", "arccos": "Acos",
    "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh",
    "erf": "Erf",
}  # fmt: skip
_BINARY = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "matmul": "MatMul", "power": "Pow",
           "maximum": "Max", "minimum": "Min"}  # fmt: skip
_COMPARE = {"equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
            "less_equal": "LessOrEqual"}  # fmt: skip
TABLE |= {name: functools.partial(_unary, operator) for name, operator in _UNARY.items()}
TABLE |= {
    name: functools.partial(_question, operator) for name, operator in {"isnan": "IsNaN", "isinf": "IsInf"}.items()
}
TABLE |= {name: functools.partial(_binary, operator) for name, operator in _BINARY.items()}
TABLE |= {name: functools.partial(_compare, operator) for name, operator in _COMPARE.items()}
TABLE |= {f"logical_{word.lower()}": functools.partial(_logical, word) for word in ("And", "Or", "Not")}


@writes("not_equal")
def _not_equal(g: Graph, out: Ref, x: Any, y: Any) -> Any:
    return g("Not", _compare("Equal", g, out, x, y))


@writes("isfinite")
def _isfinite(g: Graph, out: Ref, x: Any) -> Any:
    return g("Not", g("Or", g("IsNaN", g.name(x)), g("IsInf", g.name(x))))


@writes("square")
def _square(g: Graph, out: Ref, x: Any) -> Any:
    return g("Mul", g.name(x, out.dtype), g.name(x, out.dtype))


@writes("erfc")
def _erfc(g: Graph, out: Ref, x: Any) -> Any:
    return g("Sub", g.constant(1, out.dtype), g("Erf", g.name(x, out.dtype)))


@writes("exp2")
def _exp2(g: Graph, out: Ref, x: Any) -> Any:
    return g("Pow", g.constant(2, out.dtype), g.name(x, out.dtype))


@writes("log2")
def _log2(g: Graph, out: Ref, x: Any) -> Any:
    return g("Div", g("Log", g.name(x, out.dtype)), g.constant(math.log(2), out.dtype))


@writes("log10")
def _log10(g: Graph, out: Ref, x: Any) -> Any:
    return g("Div", g("Log", g.name(x, out.dtype)), g.constant(math.log(10), out.dtype))


@writes("expm1")
def _expm1(g: Graph, out: Ref, x: Any) -> Any:
    # 2 tanh(x/2) / (1 - tanh(x/2)), accurate where e^x - 1 cancels
    x, one, two = g.name(x, out.dtype), g.constant(1, out.dtype), g.constant(2, out.dtype)
    tanh = g("Tanh", g("Div", x, two))
    near = g("Div", g("Mul", two, tanh), g("Sub", one, tanh))
    return g("Where", g("Less", g("Abs", x), one), near, g("Sub", g("Exp", x), one))


@writes("log1p")
def _log1p(g: Graph, out: Ref, x: Any) -> Any:
    # Kahan: x log u / (u - 1) with u = 1 + x as it was rounded; 0 / 0 where u = 1 is not taken
    x, one = g.name(x, out.dtype), g.constant(1, out.dtype)
    u = g("Add", x, one)
    rounded = g("Equal", u, one)
    step = g("Where", rounded, one, g("Sub", u, one))
    infinite = g("IsInf", u)
    return g("Where", rounded, x, g("Mul", g("Log", u), g("Where", infinite, one, g("Div", x, step))))


@writes("elu")
def _elu(g: Graph, out: Ref, x: Any, alpha: float = 1.0) -> Any:
    return g("Elu", g.name(x, out.dtype), alpha=float(alpha))


@writes("logaddexp")
def _logaddexp(g: Graph, out: Ref, x: Any, y: Any) -> Any:
    # m + softplus(-|x - y|) with m the larger, and m where that is infinite
    x, y = g.name(x, out.dtype), g.name(y, out.dtype)
    larger, distance = g("Max", x, y), g("Neg", g("Abs", g("Sub", x, y)))
    return g("Where", g("IsInf", larger), larger, g("Add", larger, g("Softplus", distance)))


@writes("floor_divide")
def _floor_divide(g: Graph, out: Ref, x: Any, y: Any) -> Any:
    a, b = g.name(x, out.dtype), g.name(y, out.dtype)
    if out.dtype.kind == "f":
        return g("Floor", g("Div", a, b))
    return g("Div", g("Sub", a, g("Mod", a, b)), b)  # ONNX's Mod has the sign of b, its Div cuts off


@writes("remainder")
def _remainder(g: Graph, out: Ref, x: Any, y: Any) -> Any:
    a, b = g.name(x, out.dtype), g.name(y, out.dtype)
    return g("Mod", a, b) if out.dtype.kind != "f" else g("Sub", a, g("Mul", b, g("Floor", g("Div", a, b))))


@writes("clip")
def _clip(g: Graph, out: Ref, x: Any, low: Any = None, high: Any = None) -> Any:
    name = g.name(x, out.dtype)
    name = name if low is None else g("Max", name, g.name(low, out.dtype))
    return name if high is None else g("Min", name, g.name(high, out.dtype))


@writes("where")
def _where(g: Graph, out: Ref, c: Any, x: Any, y: Any) -> Any:
    return g("Where", g.name(c, bool), g.name(x, out.dtype), g.name(y, out.dtype))


@writes("astype")
def _astype(g: Graph, out: Ref, x: Any, dtype: Any) -> Any:
    return g.name(x, out.dtype)


@writes("positive")
def _positive(g: Graph, out: Ref, x: Any) -> Any:
    return g.name(x)


# --- along axes ------------------------------------------------------------------------------------------------------


def axes_of(x: Any, axis: Any) -> list[int]:
    """The axes as numbers from 0; None stands for all."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return [a % x.ndim for a in axes]


def _reduce(operator: str, g: Graph, out: Ref, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    dtype = np.dtype(np.int32) if out.dtype == np.dtype(bool) else out.dtype
    name = g.name(x, dtype)
    if x.ndim:
        name = g(operator, name, g.constant(axes_of(x, axis), np.int64), keepdims=int(keepdims))
    return g.cast(name, dtype, out.dtype)


REDUCED = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}
TABLE |= {name: functools.partial(_reduce, operator) for name, operator in REDUCED.items()}


@writes("var")
def _var(g: Graph, out: Ref, x: Any, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
    if ddof and math.isnan(n := size_of([x.shape[a] for a in axes_of(x, axis)])):
        raise ValueError("to_onnx: var with ddof over a free axis; fix that axis")
    name, axes = g.name(x, out.dtype), g.constant(axes_of(x, axis), np.int64)
    d = g("Sub", name, g("ReduceMean", name, axes, keepdims=1))
    mean = g("ReduceMean", g("Mul", d, d), axes, keepdims=int(keepdims))
    return mean if not ddof else g("Mul", mean, g.constant(n / (n - ddof), out.dtype))


def _best(operator: str, g: Graph, out: Ref, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    name = g.name(x, np.int64 if x.dtype == bool else None)
    if axis is None:
        name, axis = g("Reshape", name, g.constant([-1], np.int64)), 0
        keepdims = False
    return g(operator, name, axis=axis, keepdims=int(keepdims))


TABLE |= {"argmax": functools.partial(_best, "ArgMax"), "argmin": functools.partial(_best, "ArgMin")}


@writes("cumsum")
def _cumsum(g: Graph, out: Ref, x: Any, axis: Any = None) -> Any:
    name = g.name(x, out.dtype)
    if axis is None:
        name, axis = g("Reshape", name, g.constant([-1], np.int64)), 0
    return g("CumSum", name, g.constant(axis, np.int64))


def _shifted(g: Graph, out: Ref, x: Any, axis: Any) -> tuple[str, str, str]:
    """x - m, m and the axes, with m the largest entry, 0 where that is not finite."""
    name, axes = g.name(x, out.dtype), g.constant(axes_of(x, axis), np.int64)
    m = g("ReduceMax", name, axes, keepdims=1)
    m = g("Where", g("IsInf", m), g.constant(0, out.dtype), m)
    return g("Sub", name, m), m, axes


@writes("logsumexp")
def _logsumexp(g: Graph, out: Ref, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    z, m, axes = _shifted(g, out, x, axis)
    y = g("Add", g("Log", g("ReduceSum", g("Exp", z), axes, keepdims=1)), m)
    return y if keepdims else g("Squeeze", y, axes)


@writes("softmax")
def _softmax(g: Graph, out: Ref, x: Any, axis: Any = -1) -> Any:
    if not g.root.masked and isinstance(axis, int):
        return g("Softmax", g.name(x, out.dtype), axis=axis)
    z, _, axes = _shifted(g, out, x, axis)  # a row of nothing but -inf is all zeros, where Softmax makes NaN
    e = g("Exp", z)
    return g("Div", e, g("Max", g("ReduceSum", e, axes, keepdims=1), g.constant(1, out.dtype)))


@writes("log_softmax")
def _log_softmax(g: Graph, out: Ref, x: Any, axis: Any = -1) -> Any:
    if not g.root.masked and isinstance(axis, int):
        return g("LogSoftmax", g.name(x, out.dtype), axis=axis)
    z, _, axes = _shifted(g, out, x, axis)
    total = g("Max", g("ReduceSum", g("Exp", z), axes, keepdims=1), g.constant(1, out.dtype))
    return g("Sub", z, g("Log", total))


@writes("einsum")
def _einsum(g: Graph, out: Ref, *xs: Any, inputs: Any, output: str) -> Any:
    return g("Einsum", *[g.name(x, out.dtype) for x in xs], equation=f"{','.join(inputs)}->{output}")
