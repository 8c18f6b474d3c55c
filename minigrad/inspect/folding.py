"""What repeats on a tape, as a loop over time does, as blocks: one turn of the loop, and how often it is taken."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

LEAST = 3  # turns of a block
SAVED = 4  # lines that a block must save
WIDE = 8  # inputs that are compared one by one


class Block(NamedTuple):
    """`turns` turns of `period` entries from number `start` on; `items` are those of the first turn."""

    start: int
    period: int
    turns: int
    items: list[Item]

    @property
    def stop(self) -> int:
        return self.start + self.period * self.turns


Item = int | Block


def fold(tape: Any) -> list[Item]:
    """The numbers of a tape's entries, in order, with what repeats as Blocks.

    Turns are alike if their entries are calls of the same primitives with the same shapes, dtypes and static arguments,
    and read what lies as far back in their own turn, in the one before or elsewhere; the first turn may read something
    else in place of what the others read from the turn before.
    """
    kinds: dict[Any, int] = {}
    kind = np.array([kinds.setdefault(_kind(tape, n), len(kinds)) for n in range(len(tape.nodes))])
    inputs = np.full((len(tape.nodes), WIDE), -1)
    found = [
        (n, k, tape.numbers[x])
        for n, t in enumerate(tape.nodes)
        if len(t.inputs) <= WIDE
        for k, x in enumerate(t.inputs)
        if x is not None
    ]
    if found:
        rows, columns, numbers = zip(*found)
        inputs[rows, columns] = numbers
    turns = [_turn(t) for t in tape.nodes]
    first = np.array([True, *[a != b for a, b in pairwise(turns)]])
    return _folded(0, len(kind), kind, inputs, first)


def _turn(t: Any) -> Any:
    made = getattr(t, "origin", None)
    return None if made is None else made.scope[:2]


def _kind(tape: Any, n: int) -> Any:
    t = tape.nodes[n]
    made = getattr(t, "origin", None)
    if t.primitive is None:
        named = t in tape.names or (made is not None and made.labels)
        return t.shape, t.dtype, n if named else None  # what has a name is shown
    static = repr(t.static) if t.static else ""
    wide: tuple[int | None, ...] = ()
    if len(t.inputs) > WIDE:
        wide = tuple([None if x is None else n - tape.numbers[x] for x in t.inputs])
    where = None if made is None else (made.inner, made.scope.path)
    return t.shape, t.dtype, t.primitive, len(t.inputs), static, where, wide


def _folded(start: int, stop: int, kind: Any, inputs: Any, first: Any) -> list[Item]:
    chosen: list[Block] = []
    for block in sorted(_blocks(start, stop, kind, inputs, first), key=lambda b: (-(b.turns - 1) * b.period, b.period)):
        if all([block.stop <= other.start or other.stop <= block.start for other in chosen]):
            chosen.append(block)
    if not chosen:
        return list(range(start, stop))
    items: list[Item] = []
    at = start
    for block in sorted(chosen):
        items += _folded(at, block.start, kind, inputs, first) if at < block.start else []
        inside = _folded(block.start, block.start + block.period, kind, inputs, first)
        items.append(block._replace(items=inside))
        at = block.stop
    return items + (_folded(at, stop, kind, inputs, first) if at < stop else [])


def _blocks(start: int, stop: int, kind: Any, inputs: Any, first: Any) -> list[Block]:
    """All blocks of the likely periods that lie in a range."""
    part, found = kind[start:stop], []
    for period in _periods(part):
        alike = np.concatenate([[0], (part[:-period] == part[period:]).astype(np.int8), [0]])
        edges = np.flatnonzero(np.diff(alike))
        for low, high in zip(edges[::2].tolist(), edges[1::2].tolist()):
            if high - low < max((LEAST - 1) * period, SAVED):
                continue
            # a turn begins where the time step changes, if that is known
            begin = start + low
            free = min(period, high - low - (LEAST - 1) * period + 1)
            marks = np.flatnonzero(first[begin : begin + free])
            if first[begin : start + high].sum() > 1 and len(marks):
                begin += int(marks[0])
            turns = (start + high + period - begin) // period
            turns = _alike(begin, period, turns, inputs)
            if turns >= LEAST and (turns - 1) * period >= SAVED:
                found.append(Block(begin, period, turns, []))
    return found


def _periods(part: Any) -> list[int]:
    """Distances at which the same kind of entry often comes again."""
    order = np.argsort(part, kind="stable")
    counts: dict[int, int] = {}
    for k in range(1, 9):
        if len(part) <= k:
            break
        same = part[order[k:]] == part[order[:-k]]
        distances = (order[k:] - order[:-k])[same]
        values, often = np.unique(distances, return_counts=True)
        for i in np.argsort(-often, kind="stable")[:16]:
            counts[int(values[i])] = max(counts.get(int(values[i]), 0), int(often[i]))
    return sorted(counts, key=lambda p: (-counts[p], p))[:48]


def _alike(start: int, period: int, turns: int, inputs: Any) -> int:
    """How many turns from the first on read their inputs alike."""
    read = inputs[start : start + turns * period].reshape(turns, period, WIDE)
    moved = np.diff(read, axis=0)  # from turn to turn: by nothing, by a period, or by another stride
    if turns < LEAST:
        return turns
    regular = (moved[1] == 0) | (moved[1] == period) | (moved[1] == moved[0])
    if not regular.all():
        return 0
    wrong = np.flatnonzero((moved[2:] != moved[1]).any(axis=(1, 2)))
    return int(wrong[0]) + LEAST if len(wrong) else turns
