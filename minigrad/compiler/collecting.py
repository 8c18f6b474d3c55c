"""Parts are computed where a stack, a concatenation or a gradient collects them, and need not be copied there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .instruction import Instruction, Value
from .passes import NEVER
from .places import Place, Step, View, address, fresh


class Collection(NamedTuple):
    """A collecting instruction: where its inputs go, which of them are added to others, and what is left to be 0."""

    pieces: list[Place]
    added: list[bool]
    gap: Place | None


class _Layout(NamedTuple):
    """The same within the result, wherever that lies."""

    pieces: list[View]
    added: list[bool]
    gap: View | None


def _layout(i: Instruction, place: Place) -> _Layout | None:
    """How a collecting instruction's inputs lie in its result; None if it is not one, or not for these."""
    split = i.primitive.parts
    covered = np.zeros(i.out.shape, bool)
    if split is None or not covered.size or (parts := split(covered, **i.static)) is None:
        return None
    for part in parts:
        part[...] = True
    added, full = [False] * len(parts), bool(covered.all())
    if sum([part.size for part in parts]) != np.count_nonzero(covered):  # some lie over others
        added, touched = [], np.zeros(i.out.shape, bool)
        covered[...] = False
        for part, mark in zip(parts, split(touched, **i.static), strict=True):
            added.append(bool(mark.any()))
            mark[...] = True
            if not added[-1]:
                part[...] = True
        full = bool(covered.all())
    stand_in = np.lib.stride_tricks.as_strided(np.empty(1, place.dtype), place.shape, place.strides)  # never read
    start = address(stand_in)
    pieces = [View.of(part, start) for part in split(stand_in, **i.static)]
    gap = None if full else View.of(stand_in[(*_box(covered), ...)], start)
    return _Layout(pieces, added, gap)


def _box(covered: np.ndarray) -> tuple[Any, ...]:
    """The box of entries that are to start as 0: all that no part covers, or everything."""
    box: list[Any] = []
    for axis in range(covered.ndim):
        open_ = np.flatnonzero(~covered.all(axis=tuple(k for k in range(covered.ndim) if k != axis)))
        box.append(slice(int(open_[0]), int(open_[-1]) + 1))
    return tuple(box) if not covered[tuple(box)].any() else (slice(None),) * covered.ndim


class Collecting:
    """The pass over a list: `places` of what is computed where it is collected, and the `collections` by their result.

    From the last instruction to the first, so that a collection that is itself a part is in its place already. A value
    may go to a place that is later added to only if nobody needs it afterwards.
    """

    def __init__(self, instructions: Sequence[Instruction], results: Sequence[Value]) -> None:
        self.places: dict[Value, Place] = {}
        self.collections: dict[Value, Collection] = {}
        self.until: dict[Value, int] = {}  # the number of the instruction that adds to a value's place
        self.last: dict[Value, int] = dict.fromkeys(results, NEVER)  # the one that last reads it, or a view of it
        self.layouts: dict[Any, _Layout | None] = {}  # found for instructions of one kind, of results that lie alike
        self.computed = {i.out for i in instructions if i.view is None}
        last = self.last
        for n in range(len(instructions) - 1, -1, -1):
            i = instructions[n]
            end = n if i.view is None else last.get(i.out, n)
            for x in i.reads:
                if last.get(x, -1) < end:
                    last[x] = end
            if i.primitive.parts is not None:
                self._collect(n, i)

    def _collect(self, n: int, i: Instruction) -> None:
        place = self.places.get(i.out)
        layout = self._layout_at(i, place or fresh(i.out))
        if layout is None:
            return
        if place is None:
            alone = layout.gap is None and not any(layout.added)
            place = (self._overlay(i, layout) if alone else None) or fresh(i.out)
            self.places[i.out] = place
        pieces = [place.part(view) for view in layout.pieces]
        limit = min(self.until.get(i.out, NEVER), n if any(layout.added) else NEVER)
        for x, piece, adds in zip(i.inputs, pieces, layout.added, strict=True):
            if not adds and self._movable(x, piece) and self.last[x] <= limit:
                self.places[x], self.until[x] = piece, limit
        gap = None if layout.gap is None else place.part(layout.gap)
        self.collections[i.out] = Collection(pieces, layout.added, gap)

    def _layout_at(self, i: Instruction, place: Place) -> _Layout | None:
        if i.kind is None:
            return _layout(i, place)
        key = i.kind, *place[2:]
        if key not in self.layouts:
            self.layouts[key] = _layout(i, place)
        return self.layouts[key]

    def _movable(self, x: Any, piece: Place) -> bool:
        """Whether x may be computed there, since it is computed and has no place yet."""
        return (
            type(x) is Value
            and x in self.computed
            and x not in self.places
            and (x.shape, x.dtype) == (piece.shape, piece.dtype)
            and 0 not in x.shape
        )

    def _overlay(self, i: Instruction, layout: _Layout) -> Place | None:
        """A place for a collection around parts that already lie together just as it wants them, or None."""
        wanted, places, until = fresh(i.out), self.places, self.until
        pairs = [(x, wanted.part(view)) for x, view in zip(i.inputs, layout.pieces, strict=True)]
        there = [(places[x], piece) for x, piece in pairs if type(x) is Value and x in places]
        if not there or any([until.get(x, NEVER) != NEVER for x, _ in pairs if type(x) is Value]):
            return None
        root, shift = there[0][0].root, there[0][0].offset - there[0][1].offset
        if not all([p.root is root and p.offset - q.offset == shift and p.matches(q) for p, q in there]):
            return None
        for x, piece in pairs:
            if not (type(x) is Value and x in places):
                start = piece.offset + shift
                size = sum([s * (n - 1) for s, n in zip(piece.strides, piece.shape)]) + piece.dtype.itemsize
                if start < root.high and start + size > root.low:
                    return None
        root.low, root.high = min(root.low, shift), max(root.high, shift + i.out.nbytes)
        return Place(root, shift, *wanted[2:])


def schedule(
    instructions: Sequence[Instruction], places: dict[Value, Place], collections: dict[Value, Collection]
) -> list[Step]:
    """The steps in order: views need none, a collection only those for what does not lie in its place yet."""
    fills = _fills(instructions, places, collections)
    steps: list[Step] = []
    for n, i in enumerate(instructions):
        if n in fills:
            steps += fills[n]
        if (c := collections.get(i.out)) is not None:
            for x, piece, adds in zip(i.inputs, c.pieces, c.added, strict=True):
                reads = [places[x]] if type(x) is Value else []
                if reads != [piece]:
                    kind = "add" if adds else "move"
                    steps.append(Step(kind, f"{kind} {i.primitive.name}", np.add, (x,), out=piece, reads=reads))
        elif i.view is None:
            p, place, reads = i.primitive, places[i.out], [places[x] for x in i.reads]
            kind = "out" if p.takes_out and 0 not in i.out.shape else "copy"
            steps.append(Step(kind, p.name, p.function, i.inputs, i.static, out=place, calls=p.calls, reads=reads))
    return steps


def _fills(
    instructions: Sequence[Instruction], places: dict[Value, Place], collections: dict[Value, Collection]
) -> dict[int, list[Step]]:
    """The steps that set collections' gaps to 0, by the number of the instruction before which they are made."""
    fills: dict[int, list[Step]] = defaultdict(list)
    if all([c.gap is None for c in collections.values()]):
        return fills
    first: dict[Value, int] = {}
    for n, i in enumerate(instructions):
        first[i.out] = n
        if (c := collections.get(i.out)) is not None:
            there = [x for x, p in zip(i.inputs, c.pieces) if type(x) is Value and places[x] == p]
            first[i.out] = min([n, *[first.get(x, n) for x in there]])
            if c.gap is not None:
                fills[first[i.out]].insert(0, Step("fill", "fill", np.copyto, (0,), out=c.gap))
    return fills
