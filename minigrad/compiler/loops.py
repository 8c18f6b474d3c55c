"""Calls that come again, turn after turn, as one Python function that loops over the arrays which they get.

A trace unrolls loops. Here they are rolled up again: a block of steps that repeats becomes a function of a few lines,
written as text, with a line for each call of one turn. What differs from turn to turn comes to it in columns, lists
with an entry for each turn. So there is neither a function nor a tuple of operands to be kept for each call.
"""

from __future__ import annotations

import functools
import keyword
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .calls import Arrays, Call, Column, as_key, calls_in_turns, calls_of, gathered, in_turn, opened
from .places import Step

#: A block of up to 128 steps that comes at least four times in a row: the leftmost, and of these the shortest.
_REPEATED = re.compile(r"(.{1,128}?)\1{3,}", re.DOTALL)
#: So many steps are worth a function, or if the program has few, an eighth of it.
STEPS = 128


class Line(NamedTuple):
    """A call of each turn: the primitive's name, and what is called with what, as numbers of the loop's operands."""

    name: str
    function: int
    operands: list[int]
    keywords: dict[str, int]


class Loop(NamedTuple):
    """A function that makes all calls of a loop, and its operands: Columns of what varies, the rest as it is."""

    function: Callable[..., None]
    operands: list[Any]
    lines: list[Line]
    turns: int
    text: str

    def described(self) -> list[str]:
        """The text of the function, and how many turns it makes."""
        calls = self.turns * len(self.lines)
        return [f"the next {calls} calls, {self.turns} turns, are made by this function:", *self.text.splitlines()]

    def calls(self) -> list[tuple[str, Call]]:
        """All the calls that it makes, each with the name of its primitive."""
        found: list[tuple[str, Call]] = []
        for turn in range(self.turns):
            now = [in_turn(x, turn) for x in self.operands]
            for name, function, operands, keywords in self.lines:
                called = now[function]
                if keywords:
                    called = functools.partial(called, **{key: now[k] for key, k in keywords.items()})
                found.append((name, (called, tuple([now[k] for k in operands]))))
        return found


def all_calls(
    steps: Sequence[Step], arrays: Arrays, prepared: bool, roll: bool
) -> list[tuple[Callable[..., Any], Sequence[Any], str | Loop]]:
    """All calls of these steps, each with the primitive's name; those of a loop as one, with that Loop."""
    made: list[tuple[Callable[..., Any], Sequence[Any], str | Loop]] = []
    end = 0
    for first, period, turns in [*(repeats(steps) if roll else ()), (len(steps), 0, 0)]:
        block = steps[first : first + period * turns]
        loop = rolled(turns, block, arrays, prepared) if turns else None
        plain = steps[end : first if loop else first + len(block)]
        made += [(*call, s.name) for s in plain for call in calls_of(s, arrays, prepared)]
        if loop:
            made.append((loop.function, loop.operands, loop))
        end = first + len(block)
    return made


def repeats(steps: Sequence[Step]) -> list[tuple[int, int, int]]:
    """Where a block of alike steps repeats: (number of its first step, steps in a turn, turns).

    Each step is a letter, one for all with the same primitive whose results lie alike, and all are a text, in which a
    regular expression finds what repeats.
    """
    letters: dict[Any, str] = {}
    text = []
    for s in steps:
        what, read = (s.name, len(s.reads)) if s.kind is None else (s.kind.primitive, len(s.inputs))
        key = what, s.out.layout, read
        text.append(letters.get(key) or letters.setdefault(key, chr(len(letters))))
    found = [(m.start(), len(m[1]), len(m[0]) // len(m[1])) for m in _REPEATED.finditer("".join(text))]
    enough = max(8, min(STEPS, len(steps) // 8))
    return [(first, period, turns) for first, period, turns in found if period * turns >= enough]


def rolled(turns: int, steps: Sequence[Step], arrays: Arrays, prepared: bool) -> Loop | None:
    """A loop of these steps, whose number is a multiple of that of turns; None if their calls are not alike."""
    period = len(steps) // turns
    writing = _Writing(turns)
    for k in range(period):
        column = steps[k::period]
        calls = calls_in_turns(column, arrays, prepared)
        if calls is None or not all([writing.add(column[0].name, *call) for call in calls]):
            return None
    return writing.loop()


class _Writing:
    """A loop while it is written: a line for each call, a name for each of its operands."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.numbers: dict[Any, int] = {}  # of operands, by the ids of a column's entries, or by the id of the only one
        self.operands: list[Any] = []
        self.names: list[str] = []
        self.used = {"x": 0, "w": 0}
        self.lines: list[Line] = []

    def add(self, name: str, function: Any, operands: Sequence[Any]) -> bool:
        """Write a call, of which function and operands are given for all turns; False if it is not one line."""
        keywords: dict[str, Any] = {}
        if type(function) is Column and isinstance(function[0], functools.partial):  # what it holds is operands as well
            calls = [opened(f, ()) for f in function if isinstance(f, functools.partial)]
            forms = {(len(given), *words) for _, given, words in calls}
            if len(calls) < self.turns or len(forms) > 1 or not all(map(_is_word, calls[0][2])):
                return False
            function = gathered([f for f, _, _ in calls])
            operands = [*map(gathered, zip(*[given for _, given, _ in calls])), *operands]
            keywords = {key: gathered([words[key] for _, _, words in calls]) for key in calls[0][2]}
        number = self._number(function, True)
        words = {key: self._number(x) for key, x in keywords.items()}
        self.lines.append(Line(name, number, [self._number(x) for x in operands], words))
        return True

    def _number(self, x: Any, called: bool = False) -> int:
        """The number of an operand: a Column, or what is the same in each turn."""
        if (number := self.numbers.get(id(x))) is not None:
            return number
        key = as_key(map(id, x)) if type(x) is Column else id(x)
        number = self.numbers.setdefault(key, len(self.operands))
        if number == len(self.operands):
            self.numbers[id(x)] = number
            self.operands.append(x)
            self.names.append(self._name(x, called))
        return number

    def _name(self, x: Any, called: bool) -> str:
        """A function's own name if that is free; x1, x2, ... for a Column, w1, w2, ... for the rest."""
        if called and type(x) is not Column:
            own = str(getattr(x, "__name__", ""))
            if _is_word(own) and own not in self.names and not re.fullmatch(r"[xwX]\d+|_|zip|turns", own):
                return own
        letter = "x" if type(x) is Column else "w"
        self.used[letter] += 1
        return f"{letter}{self.used[letter]}"

    def loop(self) -> Loop:
        """The function of all lines, and what to call it with."""
        columns = [name for name, x in zip(self.names, self.operands) if type(x) is Column]
        given = [name.upper() if name in columns else name for name in self.names]
        if len(columns) > 1:
            over = f"{', '.join(columns)} in zip({', '.join(columns).upper()})"
        else:
            over = f"{columns[0]} in {columns[0].upper()}" if columns else "_ in turns"
        if not columns:
            given.append("turns")
            self.operands.append(range(self.turns))
        text = "\n        ".join([f"def loop({', '.join(given)}):\n    for {over}:", *map(self._written, self.lines)])
        return Loop(_made(text), self.operands, self.lines, self.turns, text)

    def _written(self, line: Line) -> str:
        names, function = self.names, self.names[line.function]
        words = [names[k] for k in line.operands] + [f"{key}={names[k]}" for key, k in line.keywords.items()]
        remark = f"  # {line.name}" if line.name != function and line.name.isprintable() else ""
        return f"{function}({', '.join(words)}){remark}"


def _is_word(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)


@functools.lru_cache(256)
def _made(text: str) -> Callable[..., None]:
    """The function of this text; loops of other lengths mostly have the same."""
    namespace: dict[str, Any] = {}
    exec(compile(text, "<a loop of a compiled function>", "exec"), namespace)
    made: Callable[..., None] = namespace["loop"]
    return made
