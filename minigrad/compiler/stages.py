"""The passes by name: each can be left out, to find the one that is wrong, and what each leaves behind can be shown."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .batches import with_batches
from .instruction import Instructions, Kinds, Value
from .panels import with_panels
from .passes import with_packed_factors, without_dead_code
from .places import Root, Step


class Pass(NamedTuple):
    """A pass: its name, what it does, and whether results without it may differ by rounding (else: not in a bit)."""

    name: str
    does: str
    rounding: bool = False


#: In their order. Not one is needed for right results: they make a program faster, or smaller.
PASSES = (
    Pass("repeats", "What was computed before from the same Values is not computed again."),
    Pass("dead_code", "What no result needs is not computed."),
    Pass(
        "panels",
        "A factor of many products with few rows is cut into panels, which BLAS reads as they lie.",
        rounding=True,
    ),
    Pass(
        "packed_factors", "A transpose that many products read is copied once, so that BLAS finds rows.", rounding=True
    ),
    Pass("batches", "What several turns of a loop compute alike, and do not wait for, is computed for all at once."),
    Pass("collecting", "Parts of a stack, a concatenation or a gradient are computed right where these collect them."),
    Pass("in_place", "An elementwise result takes the place of an operand that nobody needs any more."),
    Pass("turns", "Pieces of memory that are not needed at the same time share their bytes."),
    Pass(
        "prepared",
        "Primitives that say how are called as leaner functions of NumPy, numbers are arrays.",
        rounding=True,
    ),
    Pass(
        "rolled",
        "Calls that come again in each turn of a loop are a loop again, in a function that is written for them.",
    ),
)
NAMES = tuple([p.name for p in PASSES])


class Stages:
    """Which passes a program is made with, and whether it prints what each leaves behind."""

    def __init__(self, without: str | Iterable[str] = (), show: bool = False) -> None:
        self.without = frozenset([without] if isinstance(without, str) else without)
        self.show = show
        if unknown := sorted(self.without - set(NAMES), key=str):
            raise ValueError(
                f"compile: without={unknown[0]!r}: there is no such pass; the passes are {', '.join(NAMES)}"
            )

    def __contains__(self, name: str) -> bool:
        return name not in self.without

    def rewritten(self, instructions: Instructions, kinds: Kinds, results: Sequence[Value]) -> Instructions:
        """The list after all passes that rewrite lists."""
        run: dict[str, Callable[[Instructions, Kinds], Instructions]] = {
            "dead_code": functools.partial(without_dead_code, results=results),
            "panels": with_panels,
            "packed_factors": with_packed_factors,
            "batches": with_batches,
        }
        self.tell("as traced", lambda: instructions)
        for name, change in run.items():
            if name in self:
                before, instructions = instructions, change(instructions, kinds)
                self.tell(name, lambda: ["the same"] if list(before) == list(instructions) else instructions)  # noqa: B023
        return instructions

    def tell(self, title: str, lines: Callable[[], Sequence[Any]]) -> None:
        """Print these lines below a title, if anything is to be shown."""
        if self.show:
            print(f"--- {title} ---", *folded([*map(str, lines())]), "", sep="\n")


def folded(lines: Sequence[str]) -> list[str]:
    """The lines; of a block that repeats, with other numbers, the first two turns, how many follow, and the last."""
    plain = [_without_numbers(line) for line in lines]
    shown: list[str] = []
    n = 0
    while n < len(lines):
        period, turns = _repeats(plain, n)
        if turns > 3:
            shown += lines[n : n + 2 * period]
            of = f"turn{'s' * (turns > 4)} of these {period} lines" if period > 1 else "of these"
            shown.append(f"    ... {turns - 3} more {of} ...")
            n += (turns - 1) * period
            shown += lines[n : n + period]
            n += period
        else:
            shown.append(lines[n])
            n += 1
    return shown


def _repeats(plain: Sequence[str], n: int) -> tuple[int, int]:
    """The period of the block that repeats from line n on, and how often it is there, where that hides the most."""
    best = 0, 1
    for period in range(1, min(200, (len(plain) - n) // 4) + 1):
        turns = 1
        while plain[n : n + period] == plain[n + turns * period : n + (turns + 1) * period]:
            turns += 1
        if turns > 3 and period * turns > best[0] * best[1]:
            best = period, turns
    return best


def _without_numbers(line: str) -> str:
    """The line without what differs from turn to turn: numbers of Values and lines, bytes, an index."""
    return re.sub(r"\bv\d+|m\[\d+\]|^ *\d+ |, steps .*:|, \d+\)", "", line)


def memory_map(laid_out: Sequence[Value], steps: Sequence[Step], nbytes: int) -> list[str]:
    """A line for each piece of the program's memory: its bytes, the steps in which it is needed, what lies there."""
    values: dict[Root, list[Value]] = defaultdict(list)
    for value in laid_out:
        if value.place.root.source is None:
            values[value.place.root].append(value)
    rows = []
    for root in sorted(values, key=lambda root: (root.start + root.low, root.first)):
        size = root.high - root.low
        if root.last >= 0 and size:
            first, last = max(root.first, 0), min(root.last, len(steps) - 1)
            names = " ".join([f"v{value.number}" for value in sorted(values[root], key=lambda value: value.number)])
            given = " (argument)" if root.first < 0 else ""
            rows.append(f"{root!r}  {size} bytes, steps {first} to {last}: {names}{given}")
    return [f"{nbytes} bytes", *rows]
