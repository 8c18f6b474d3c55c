"""The calls that a program makes: each step as NumPy functions and the arrays that they get; and how they are shown."""

from __future__ import annotations

import array
import functools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..lending import Lending, read_only
from ..tree import tree_map
from .instruction import KEYWORD_OUT, Layout, Value, layout
from .outline import SHAPED
from .places import Place, Root, Step, address
from .table import CALLS

Call = tuple[Callable[..., Any], Sequence[Any]]


class Column(list[Any]):
    """An operand of all turns of a loop, one after the other, where it is not the same in each."""

    __slots__ = ()


def gathered(operands: Sequence[Any]) -> Any:
    """An operand of a call in each turn, given for all turns, as a Column; if it is the same in each, as that one."""
    first = operands[0]
    return first if all([x is first for x in operands]) else Column(operands)


def in_turn(x: Any, turn: int) -> Any:
    """What an operand that is `gathered` is in one turn."""
    return x[turn] if type(x) is Column else x


def as_key(numbers: Iterable[int]) -> bytes:
    """A key of numbers below 2**64, in a quarter of a tuple's memory."""
    return array.array("Q", numbers).tobytes()


class Arrays:
    """The arrays at places: one for all that lie alike at the same address.

    NumPy then knows without a search that they overlap. `memory_of` holds the memory of roots that are no part of
    the program's own.
    """

    def __init__(self, memory: np.ndarray, memory_of: dict[Root, np.ndarray]) -> None:
        self.memory, self.memory_of = memory, memory_of
        self.made: dict[Layout, dict[Any, np.ndarray]] = defaultdict(dict)  # by where they begin
        self.numbers: dict[Any, np.ndarray] = {}
        self.columns: dict[Any, Column] = {}  # by layout and where its arrays begin
        self.views: dict[Any, np.ndarray] = {}  # of arrays, by their ids and shapes

    def at(self, place: Place) -> np.ndarray:
        """The array at a place."""
        root, offset, lying = place.root, place.offset, place.layout
        made = self.made[lying]
        key = root.start + offset if root.source is None else (root, offset)
        found = made.get(key)
        if found is None:
            found = made[key] = place.array(self.memory_of.get(root, self.memory), root.start + offset)
        return found

    def of(self, x: Any) -> Any:
        """The array of a Value; any other x as it is."""
        return self.at(x.place) if type(x) is Value else x

    def column(self, places: Sequence[Place]) -> Any:
        """The arrays at the places of a value in all turns of a loop: a Column, or the one that it is in each."""
        lying = places[0].layout
        starts = [x.root.start + x.offset for x in places if x.layout is lying and x.root.source is None]
        if len(starts) < len(places):
            return gathered([self.at(place) for place in places])
        if starts.count(starts[0]) == len(starts):
            return self.at(places[0])
        key = lying, as_key(starts)
        found = self.columns.get(key)
        if found is None:
            found = self.columns[key] = Column(self._rows(lying, starts) or [self.at(place) for place in places])
        return found

    def _rows(self, lying: Layout, starts: list[int]) -> list[np.ndarray]:
        """Arrays that are all new, at equal distances, made at once, as the rows of an array; else none."""
        first, apart, size, made = starts[0], starts[1] - starts[0], len(starts), self.made[lying]
        if not (apart and lying.shape and made.keys().isdisjoint(starts)):
            return []
        if starts != [*range(first, first + apart * size, apart)]:
            return []
        rows = list(np.ndarray((size, *lying.shape), lying.dtype, self.memory, first, (apart, *lying.strides)))
        made.update(zip(starts, rows))
        return rows

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
            views.append(self.views.setdefault((id(x), shape), x[(*[0] * ones, ...)]) if ones > 0 else x)
        return tuple(views)


def calls_of(s: Step, arrays: Arrays, prepared: bool = True) -> Sequence[Call]:
    """A step as functions and their operands, `prepared` if there is a leaner way."""
    return _calls(s, arrays.at(s.out), [arrays.at(place) for place in s.reads], arrays, prepared)


def calls_in_turns(steps: Sequence[Step], arrays: Arrays, prepared: bool) -> list[tuple[Any, Sequence[Any]]] | None:
    """A step of each turn of a loop as calls: functions and operands, a Column of each that differs from turn to turn.

    None if not all turns have as many calls.
    """
    s = steps[0]
    out, given = arrays.column([s.out for s in steps]), _given_in_turns(steps, arrays)
    lean = s.kind is not None and s.kind.lean and s.kind.primitive not in CALLS
    if s.kind is not None and lean and prepared and len({s.kind for s in steps}) == 1:
        return [(s.kind.primitive.function, [*given, out])]
    if (found := _like_two(steps, given, out, arrays, prepared)) is not None:
        return found
    turns = range(len(steps))
    calls = [_calls(steps[k], in_turn(out, k), [in_turn(x, k) for x in given], arrays, prepared) for k in turns]
    if len({tuple([len(operands) for _, operands in call]) for call in calls}) > 1:
        return None
    made = [zip(*call) for call in zip(*calls)]
    return [(gathered(functions), [gathered(x) for x in zip(*operands)]) for functions, operands in made]


def _given_in_turns(steps: Sequence[Step], arrays: Arrays) -> list[Any]:
    """The arrays of each Value that a step of each turn reads."""
    read = [values for values in zip(*[s.inputs for s in steps]) if type(values[0]) is Value]
    return [arrays.column([x.place for x in values]) for values in read]


def _like_two(
    steps: Sequence[Step], given: Sequence[Any], out: Any, arrays: Arrays, prepared: bool
) -> list[tuple[Any, Sequence[Any]]] | None:
    """The calls of all turns as those of the first two say; None if it cannot be told from these.

    What is called with what depends on layouts alone, but for a user's `calls` and parts that are numbers.
    """
    kind, columns = steps[0].kind, _by_two([*given, out])
    own = not given if kind is None else kind.primitive in CALLS and kind.primitive not in SHAPED
    if own or columns is None or len({s.kind for s in steps}) > 1:
        return None
    calls = [_calls(steps[k], in_turn(out, k), [in_turn(x, k) for x in given], arrays, prepared) for k in (0, 1)]
    if len({tuple([(function, len(operands)) for function, operands in call]) for call in calls}) > 1:
        return None
    found: list[tuple[Any, Sequence[Any]]] = []
    for (function, operands), (_, others) in zip(*calls):
        pairs = [*zip(operands, others)]
        if any([x is not y and (id(x), id(y)) not in columns for x, y in pairs]):
            return None
        found.append((function, [columns.get((id(x), id(y)), x) for x, y in pairs]))
    return found


def _by_two(operands: Sequence[Any]) -> dict[tuple[int, int], Any] | None:
    """What is given in all turns, by the ids of the first two; None if these do not tell, or not all lie alike."""
    columns: dict[tuple[int, int], Any] = {}
    for x in operands:
        one, two = in_turn(x, 0), in_turn(x, 1)
        told = type(x) is not Column or (one is not two and len({array.strides for array in x}) == 1)
        if not told or columns.setdefault((id(one), id(two)), x) is not x:
            return None
    return columns


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
    if prepared and kind.elementwise and function not in KEYWORD_OUT:
        if not kind.reads_only:
            inputs = [arrays.number(x, inputs) if type(x) in (int, float) else x for x in inputs]
        operands = (*inputs, out)
        return [(function, arrays.without_leading_ones(operands) if out.shape[:1] == (1,) else operands)]
    return [_with_keywords(s.how, kind.primitive, out, inputs, static)]


def _with_keywords(how: str, p: Any, out: np.ndarray, inputs: Sequence[Any], static: dict[str, Any]) -> Call:
    """A call of the function of p; a user's, which may do anything, gets arrays that it cannot write into."""
    function = p.function
    if isinstance(p, Lending) and not isinstance(function, np.ufunc):
        inputs, static = [read_only(x) for x in inputs], {name: read_only(x) for name, x in static.items()}
        called = functools.partial(_written if how == "out" else _copied, function, out)
    elif how == "copy":
        called = functools.partial(_copied, function, out)
    else:
        called = functools.partial(function, out=out)
    return functools.partial(called, **static), tuple(inputs)


def _written(function: Callable[..., Any], out: np.ndarray, /, *inputs: Any, **static: Any) -> None:
    y = function(*inputs, out=out, **static)
    if y is not out and y is not None:
        _copy(y, out)


def _copied(function: Callable[..., Any], out: np.ndarray, /, *inputs: Any, **static: Any) -> None:
    _copy(function(*inputs, **static), out)


def _copy(y: Any, out: np.ndarray) -> None:
    y = np.asarray(y)
    if y.shape != out.shape:
        raise RuntimeError(f"compile: a result has shape {y.shape}, while the function was traced {out.shape}")
    if y.dtype != out.dtype:
        raise RuntimeError(
            f"compile: a result has dtype {y.dtype}, and had {out.dtype} while the function was traced; return one "
            "dtype whatever the values are, as by y.astype(x.dtype)"
        )
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
    if function in (_copied, _written):
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
