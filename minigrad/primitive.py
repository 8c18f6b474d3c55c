"""What a primitive is: a NumPy function and, for each input, a rule from the output's cotangent to that input's.

Called on plain arrays a primitive is that NumPy function. Called on Tensors it computes on their arrays and makes a
Tensor which remembers the primitive and its inputs: the record that every derivative is read from.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import reprlib
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple

import numpy as np

from .modes import anomaly, innermost, recording, tracing

Rule = Callable[..., Any]

# Numbers every Tensor when it is made (and a leaf again when its data change), so it orders a record topologically.
clock = itertools.count().__next__


class Node:
    """An array and how it was made; `Tensor` is this with operators and methods.

    `primitive is None` marks a leaf. `inputs` are Nodes and plain values, `operands` the same with arrays for Nodes
    (unless it was made while a program is traced), `static` the keyword arguments, `order` the number from `clock`,
    `line` the user's source line (under `detect_anomaly` only), `traced` what this stands for in a compiled program (if
    it was made while one was traced).
    """

    __slots__ = (
        "_data", "_grad", "requires_grad", "retains_grad",
        "primitive", "inputs", "operands", "static", "order", "line", "traced", "__weakref__",
    )  # fmt: skip

    _data: np.ndarray
    _grad: np.ndarray | None
    requires_grad: bool
    retains_grad: bool
    primitive: Primitive | None
    inputs: tuple[Any, ...]
    operands: tuple[Any, ...]
    static: dict[str, Any]
    order: int
    line: str | None
    traced: Any


_NONE: dict[str, Any] = {}  # one for all: a record of many objects keeps the garbage collector busy


class At(NamedTuple):
    """A cotangent that is `g` at `index` and zero elsewhere; contributions at a repeated index add up."""

    index: Any
    g: Any


class Product(NamedTuple):
    """A cotangent `x^T g`, not multiplied yet: x (N, I), g (N, O). Many of them become one matrix product."""

    x: Any
    g: Any


class Primitive:
    """A differentiable function of arrays and Tensors; declare one with `primitive`."""

    def __init__(
        self,
        function: Callable[..., Any],
        rules: tuple[Rule | None, ...],
        joint: Rule | None,
        name: str,
        doc: str | None,
        parts: Callable[..., Any] | None = None,
        calls: Callable[..., Any] | None = None,
        pure: bool = True,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.rules = rules
        self.joint = joint
        self.name = self.__name__ = name
        self.differentiable = bool(rules) or joint is not None
        self.parts, self.calls, self.pure = parts, calls, pure
        # inputs from this number on may have no rule
        self.ruled = sys.maxsize if joint is not None else (*rules, None).index(None)
        self.__doc__ = doc or function.__doc__

    @functools.cached_property
    def takes_out(self) -> bool:
        """Whether the function writes its result into an array given as `out=`, as NumPy's ufuncs do."""
        if isinstance(self.function, np.ufunc):
            return True
        try:
            return "out" in inspect.signature(self.function).parameters
        except (TypeError, ValueError):  # a function in C may have no signature
            return False

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        default = innermost.get() is None
        if not default and (trace := tracing()) is not None:
            return trace.call(self, inputs, static)
        first = None
        last, changeable = -1, False  # the last input that requires a gradient
        operands = []
        for k, x in enumerate(inputs):
            if isinstance(x, Node):
                if first is None:
                    first = x
                if x.requires_grad:
                    last = k
                operands.append(x._data)
            else:
                changeable = changeable or not immutable(x)
                operands.append(x)
        arrays = tuple(operands)
        try:
            y = self.function(*arrays, **static) if static else self.function(*arrays)
        except (ValueError, TypeError, IndexError) as error:
            raise explained(self.name, error, operands) from error
        if first is None or not self.differentiable:
            return y
        if type(y) is not np.ndarray:
            y = np.asarray(y)

        out = object.__new__(type(first))
        out._grad = None
        out.retains_grad = False
        out.order = clock()
        if last >= 0 and (default or recording()):
            if last >= self.ruled:
                self.check_differentiable(inputs)
            if changeable:
                inputs = tuple([x if isinstance(x, Node) else frozen(x) for x in inputs])
                arrays = tuple([x._data if isinstance(x, Node) else x for x in inputs])
            out.requires_grad = True
            out.primitive = self
            out.inputs, out.operands = inputs, arrays
            out.static = {name: frozen(x) for name, x in static.items()} if static else _NONE
        else:
            out.requires_grad = False
            out.primitive = None
            out.inputs = out.operands = ()
            out.static = _NONE
            if last >= 0 and y.base is not None:
                y = y.copy()  # a view of a parameter would change with its next update
        out._data = y
        if not default and anomaly():
            out.line = user_line()
            check_finite(f"{self.name}: forward value", y, operands, out.line)
        return out

    def check_differentiable(self, inputs: tuple[Any, ...]) -> None:
        for k, x in enumerate(inputs[self.ruled :], self.ruled):
            if isinstance(x, Node) and x.requires_grad and (k >= len(self.rules) or self.rules[k] is None):
                raise TypeError(f"{self.name}: input {k} has no derivative rule; pass it detached: `x.detach()`")

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a class attribute a primitive is a method: `t.tanh()` is `tanh(t)`."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


#: The primitive that a NumPy universal function stands for when it is called on a Tensor; the first one declared.
by_ufunc: dict[np.ufunc, Primitive] = {}


def primitive(
    function: Callable[..., Any],
    *rules: Rule | None,
    joint: Rule | None = None,
    name: str | None = None,
    doc: str | None = None,
    parts: Callable[..., Any] | None = None,
    calls: Callable[..., Any] | None = None,
    pure: bool = True,
) -> Primitive:
    """Declare a primitive: a function of arrays and one derivative rule per input.

    A rule `(g, y, *inputs, **static) -> cotangent` is a pure function with no closure, written with operators and other
    primitives, so that it runs on arrays (fast) and on Tensors (recorded, for higher derivatives) alike. It returns an
    array of its input's shape or of the shape that the input was broadcast to, or `At`, or `Product`.

    Args:
        function: takes arrays and static arguments, returns one array; must not change its inputs.
        rules: the rule of input 0, of input 1, ...; None where an input has no derivative. No rules at all: the
            primitive is not differentiable and returns plain arrays.
        joint: for any number of inputs, instead of `rules`: one rule that returns the cotangents of all inputs in a
            sequence; called once.
        name: for messages; the function's own name by default.
        doc: the docstring; the function's own by default.
        parts: for a primitive that only collects its inputs: `parts(out, **static)` gives the views of `out` that they
            go to, or None if there are no such views. The result is the sum of the inputs at their places, 0 where
            there are none. A compiled function has an input computed right where it goes.
        calls: `calls(out, *inputs, **static)` gives pairs (function, operands), which called one after the other write
            the result into the array `out`, or None: for a compiled function, which prepares its calls once.
        pure: False if a call does more than compute its result from its inputs (it draws a number, it checks values):
            a compiled function then makes every call, each time.

    If the function takes an argument `out`, it must be able to write its result there, whatever that array's strides:
    a compiled function then gives it memory that is used again and again.

    Raises:
        TypeError: if both `rules` and `joint` are given.

    Example:
        >>> sinh = primitive(np.sinh, lambda g, y, x: g * cosh(x))
        >>> cosh = primitive(np.cosh, lambda g, y, x: g * sinh(x))
    """
    if rules and joint is not None:
        raise TypeError("primitive: give `rules`, one per input, or `joint`, one for all inputs, not both")
    made = Primitive(
        function, rules, joint, name or str(getattr(function, "__name__", function)), doc, parts, calls, pure
    )
    if isinstance(function, np.ufunc):
        by_ufunc.setdefault(function, made)
    return made


_IMMUTABLE = {int, float, bool, str, slice, type(None), type(Ellipsis)}


def immutable(x: Any) -> bool:
    """Whether `x` is a number, a string, an index without arrays or the like, so that nobody can change it."""
    if type(x) is not tuple:
        return type(x) in _IMMUTABLE
    for part in x:  # noqa: SIM110 (twice as fast as `all`)
        if type(part) not in _IMMUTABLE:
            return False
    return True


def frozen(x: Any) -> Any:
    """`x` safe from later changes by its owner: arrays and lists that a record keeps are copied."""
    if immutable(x):
        return x
    if isinstance(x, (np.ndarray, list)):
        return np.array(x) if len(np.shape(x)) != 1 or len(x) else np.array(x, getattr(x, "dtype", np.intp))
    if isinstance(x, Node):
        return x._data.copy()
    return tuple([frozen(part) for part in x]) if type(x) is tuple else x


def describe(x: Any) -> str:
    """Shape and dtype of an operand, for messages: `(3, 4) float32`."""
    if isinstance(x, (np.ndarray, np.generic)):
        return f"{x.shape} {x.dtype}"
    return f"{type(x).__name__} {reprlib.repr(x)}"


def explained(name: str, error: Exception, operands: list[Any]) -> Exception:
    kinds = (np.exceptions.AxisError, IndexError, TypeError, ValueError)
    kind: type[Exception] = next(k for k in kinds if isinstance(error, k))
    return kind(f"{name}: {' and '.join(describe(x) for x in operands)}: {error}")


def user_line() -> str:
    """`file:line in function` of the innermost caller outside of minigrad and nn."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("minigrad", "nn"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def check_finite(what: str, value: Any, sources: list[Any], line: str | None) -> None:
    """Raise if `value` has a NaN, or an infinity where no source has one (a mask's -inf may pass through)."""
    if not isinstance(value, (np.ndarray, np.generic)) or np.isfinite(value).all():
        return
    arrays = [x for x in sources if isinstance(x, (np.ndarray, np.generic, float))]
    if not np.isnan(value).any() and any(np.isinf(x).any() for x in arrays):
        return
    bad = int(np.size(value) - np.isfinite(value).sum())
    raise FloatingPointError(
        f"{what} has {bad} non-finite of {np.size(value)} entries; "
        f"shapes: {' and '.join(describe(x) for x in arrays)} -> {describe(value)}; "
        f"forward call: {line or 'unknown: run the forward pass under detect_anomaly too'}"
    )
