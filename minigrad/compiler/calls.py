"""The calls that a program makes: each step as NumPy functions and the arrays that they get; and how they are shown."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from ..tree import tree_map
from .instruction import KEYWORD_OUT, Kind, Value, layout
from .places import Place, Root, Step, address
from .table import CALLS

Call = tuple[Callable[..., Any], Sequence[Any]]


class Arrays:
    """The arrays at places: one for all that lie alike at the same address.

    NumPy then knows without a search that they overlap. `memory_of` holds the memory of roots that are no part of
    the program's own.
    """

    def __init__(self, memory: np.ndarray, memory_of: dict[Root, np.ndarray]) -> None:
        self.memory, self.memory_of = memory, memory_of
        self.made: dict[Any, np.ndarray] = {}
        self.numbers: dict[Any, np.ndarray] = {}
        self.columns: dict[tuple[int, ...], Sequence[np.ndarray]] = {}  # by the ids of their places

    def at(self, place: Place) -> np.ndarray:
        """The array at a place."""
        root, offset, lying = place
        key = (root.start + offset, lying) if root.source is None else (root, offset, lying)
        array = self.made.get(key)
        if array is None:
            array = self.made[key] = place.array(self.memory_of.get(root, self.memory), root.start + offset)
        return array

    def of(self, x: Any) -> Any:
        """The array of a Value; any other x as it is."""
        return self.at(x.place) if type(x) is Value else x

    def column(self, places: Sequence[Place]) -> Sequence[np.ndarray]:
        """The arrays at the places of a value in all turns of a loop."""
        key = tuple(map(id, places))
        found = self.columns.get(key)
        if found is None:
            found = self.columns[key] = self._column(places)
        return found

    def _column(self, places: Sequence[Place]) -> Sequence[np.ndarray]:
        """All that lie alike, at equal distances, are made at once: they are the rows of an array."""
        lying, made, size = places[0].layout, self.made, len(places)
        starts = [r.start + offset for r, offset, own in places if own is lying and r.source is None]
        if len(starts) < size or not lying.shape or 0 in lying.shape:
            return [self.at(place) for place in places]
        first, apart = starts[0], starts[1] - starts[0]
        if not apart and starts.count(first) == size:
            return [self.at(places[0])] * size
        keys = [*zip(starts, repeat(lying))]
        if apart and made.keys().isdisjoint(keys) and starts == [*range(first, first + apart * size, apart)]:
            strides = apart, *lying.strides
            rows = list(np.ndarray((size, *lying.shape), lying.dtype, self.memory, first, strides))
            made.update(zip(keys, rows))
            return rows
        return [self.at(place) if x is None else x for place, x in zip(places, map(made.get, keys))]

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
    """A step as functions and their operands, `prepared` if there is a leaner way."""
    return _calls(s, arrays.at(s.out), [arrays.at(place) for place in s.reads], arrays, prepared)


def calls_in_turns(
    steps: Sequence[Step], arrays: Arrays, prepared: bool
) -> list[tuple[Sequence[Any], Sequence[Sequence[Any]]]] | None:
    """A step of each turn of a loop as calls: of each the functions, by turn, and the columns of their operands.

    None if not all turns have as many calls.
    """
    out = arrays.column([s.out for s in steps])
    given = [arrays.column(places) for places in zip(*[s.reads for s in steps])]
    kinds = {s.kind for s in steps}
    if len(kinds) == 1 and prepared and _is_lean(kind := steps[0].kind):
        return [([kind.primitive.function] * len(steps), [*given, out])]  # type: ignore[union-attr]
    turns = zip(steps, out, zip(*given) if given else repeat(()))
    calls = [_calls(s, out, given, arrays, prepared) for s, out, given in turns]
    forms = {tuple([len(operands) for _, operands in call]) for call in calls}
    if len(forms) > 1:
        return None
    return [(functions, [*zip(*operands)]) for functions, operands in [zip(*call) for call in zip(*calls)]]


def _is_lean(kind: Kind | None) -> bool:
    return kind is not None and kind.lean and kind.primitive not in CALLS


def _calls(s: Step, out: np.ndarray, given: Sequence[Any], arrays: Arrays, prepared: bool) -> Sequence[Call]:
    """The calls of a step that writes to `out` and reads the arrays `given`."""
    kind = s.kind
    if s.how == "fill":
        return [(np.ndarray.fill, (out, 0))]
    given = given or s.inputs
    if s.how == "move":
        return [(operator.setitem, (out, ..., *given))]
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


def described(calls: Sequence[tuple[str, Call]], shown: Callable[[Any], str]) -> list[str]:
    """A line for each call with its primitive's name: the array that it writes, what is called, and with what."""
    lines = []
    for n, (name, (function, operands)) in enumerate(calls):
        called, inputs, static, out = parts_of(function, operands)
        words = [str(tree_map(shown, x)).replace("'", "") for x in inputs]
        words += [f"{key}={tree_map(shown, x)!s}".replace("'", "") for key, x in static.items()]
        plain = getattr(called, "__name__", "_")
        own = plain.startswith(("_", "<")) or plain == name or called is operator.setitem
        made_by, remark = (name, "") if own else (plain, f"  # {name}")
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


def parts_of(function: Any, operands: Sequence[Any]) -> tuple[Any, Sequence[Any], dict[str, Any], np.ndarray]:
    """A call's function, inputs, keywords, and the array that it writes."""
    function, operands, static = opened(function, operands)
    if function is _copied:
        return operands[0], operands[2:], static, operands[1]
    if function in (np.ndarray.fill, operator.setitem):  # out.fill(0), out[...] = x
        return function, operands[-1:], {}, operands[0]
    if isinstance(owner := getattr(function, "__self__", None), np.ndarray):  # out.sort
        return function, operands, static, owner
    if "out" in static:
        return function, operands, static, static.pop("out")
    return function, operands[:-1], static, operands[-1]


def opened(function: Any, operands: Sequence[Any]) -> tuple[Any, Sequence[Any], dict[str, Any]]:
    """A call as function, operands, keywords, none of them held by a partial."""
    if isinstance(function, functools.partial):
        return function.func, (*function.args, *operands), dict(function.keywords)
    return function, operands, {}
