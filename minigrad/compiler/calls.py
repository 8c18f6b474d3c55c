"""The calls that a program makes: each step as NumPy functions and the arrays that they get; and how they are shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tree import tree_map
from .instruction import KEYWORD_OUT, Value, layout
from .places import Place, Root, Step, address
from .table import CALLS

Call = tuple[Callable[..., Any], Sequence[Any]]


class Arrays:
    """The arrays at places: one for all that lie alike at the same address.

    NumPy then knows without a search that they overlap. `memory_of` holds the memory of roots that are no part of
    the program's own.
    """

    def __init__(self, places: dict[Value, Place], memory: np.ndarray, memory_of: dict[Root, np.ndarray]) -> None:
        self.places, self.memory, self.memory_of = places, memory, memory_of
        self.made: dict[Any, np.ndarray] = {}
        self.numbers: dict[Any, np.ndarray] = {}

    def at(self, place: Place) -> np.ndarray:
        """The array at a place."""
        root, offset, lying = place
        key = (root.start + offset - root.low, lying) if root.source is None else (root, offset, lying)
        array = self.made.get(key)
        if array is None:
            array = self.made[key] = place.array(self.memory_of.get(root, self.memory), root.start)
        return array

    def of(self, x: Any) -> Any:
        """The array of a Value; any other x as it is."""
        return self.at(self.places[x]) if type(x) is Value else x

    def read_by(self, s: Step) -> Sequence[Any]:
        """The arrays that a step reads, or the constants."""
        at = self.at
        return [at(place) for place in s.reads] or s.inputs

    def number(self, x: float, inputs: Sequence[Any]) -> Any:
        """A Python number as an array of the other operands' dtype, as NumPy itself would read it, but once."""
        dtypes = {v.dtype for v in inputs if isinstance(v, np.ndarray)}
        if len(dtypes) != 1 or next(iter(dtypes)).kind != "f":
            return x
        dtype = dtypes.pop()
        key = dtype, type(x), repr(x)
        if key not in self.numbers:
            self.numbers[key] = np.array(x, dtype)
        return self.numbers[key]

    def without_leading_ones(self, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        """Views without the first axes of size 1: where all are then alike, NumPy need not find how to broadcast."""
        shape = operands[-1].shape
        if all([type(x) is np.ndarray and x.shape == shape for x in operands]):
            return operands
        while shape[:1] == (1,):
            shape = shape[1:]
        views = []
        for x in operands:
            ones = np.ndim(x) - len(shape)
            views.append(self.made.setdefault((id(x), shape), x[(*[0] * ones, ...)]) if ones > 0 else x)
        return tuple(views)


def calls_of(s: Step, arrays: Arrays, prepared: bool = True) -> Sequence[Call]:
    """A step as functions and their operands, `prepared` if there is a leaner way; `_parts` reads these forms."""
    out, kind = arrays.at(s.out), s.kind
    if s.how == "fill":
        return [(out.fill, (0,))]
    given = arrays.read_by(s)
    if s.how == "move":
        return [(out.__setitem__, (..., *given))]
    if kind is None:
        return [(np.add, (out, *given, out))]
    function, calls = kind.primitive.function, CALLS.get(kind.primitive)
    if kind.lean and prepared and calls is None:
        return [(function, (*given, out))]
    inputs, static = kind.called_with(given)
    if s.how == "out" and prepared and calls is not None and (found := calls(out, *inputs, **static)) is not None:
        return found  # type: ignore[no-any-return]
    if s.how == "copy":
        return [(functools.partial(_copied, function, out, **static), tuple(inputs))]
    if prepared and kind.elementwise and function not in KEYWORD_OUT:
        if not kind.reads_only:
            inputs = [arrays.number(x, inputs) if type(x) in (int, float) else x for x in inputs]
        operands = (*inputs, out)
        return [(function, arrays.without_leading_ones(operands) if out.shape[:1] == (1,) else operands)]
    return [(functools.partial(function, out=out, **static), tuple(inputs))]


def _copied(function: Callable[..., Any], out: np.ndarray, /, *inputs: Any, **static: Any) -> None:
    y = function(*inputs, **static)
    if np.shape(y) != out.shape:
        raise RuntimeError(f"compile: a result has shape {np.shape(y)}, while the function was traced {out.shape}")
    out[...] = y


# --- display --------------------------------------------------------------------------------------------------------


def described(calls: Sequence[Call], names: Sequence[str], shown: Callable[[Any], str]) -> list[str]:
    """A line for each call: the array that it writes, what is called, and with what."""
    lines = []
    for n, ((function, operands), name) in enumerate(zip(calls, names)):
        called, inputs, static, out = _parts(function, operands)
        words = [str(tree_map(shown, x)).replace("'", "") for x in inputs]
        words += [f"{key}={tree_map(shown, x)!s}".replace("'", "") for key, x in static.items()]
        plain = getattr(called, "__name__", "_")
        made_by, remark = (name, "") if plain.startswith(("_", "<")) or plain == name else (plain, f"  # {name}")
        lines.append(f"{n:5} {shown(out)} = {made_by}({', '.join(words)}){remark}")
    return lines


def shown_in(regions: Sequence[tuple[str, np.ndarray]]) -> Callable[[Any], str]:
    """A function that gives an array as `name[byte]:f32[3,4]`, by which of these named pieces of memory it lies in."""
    starts = [(address(array), array.nbytes, name) for name, array in regions]

    def shown(x: Any) -> str:
        if not isinstance(x, np.ndarray):
            return getattr(x, "__qualname__", None) or repr(x)
        at = address(x)
        found = [f"{name}[{at - start}]" for start, size, name in starts if start <= at < start + size]
        if not found and x.size == 1:
            return repr(x.item())
        return f"{found[0] if found else 'array'}:{layout(x.shape, x.dtype)!r}"

    return shown


def _parts(function: Any, operands: Sequence[Any]) -> tuple[Any, Sequence[Any], dict[str, Any], np.ndarray]:
    """A call's function, inputs, keywords, and the array that it writes."""
    if isinstance(function, functools.partial):
        static = dict(function.keywords)
        if function.func is _copied:
            return function.args[0], operands, static, function.args[1]
        out = static.pop("out")
        return function.func, operands, static, out
    if isinstance(getattr(function, "__self__", None), np.ndarray):  # out.fill(0), out[...] = x
        return function, operands[-1:], {}, function.__self__
    return function, operands[:-1], {}, operands[-1]
