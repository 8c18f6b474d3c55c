"""Where a program's values lie, and the steps that compute them.

Every value has a place: a piece of memory of its own, or one within another's. `collected` has what a stack, a
concatenation or a gradient collects computed right there, `laid_out` makes views places in what they are views of,
`schedule` turns instructions into steps, and `plan` lets places take turns in one block of memory.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .passes import NEVER, packed
from .trace import Instruction, Value, values

# --- places ---------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Root:
    """A piece of memory of its own, from byte `low` to `high` (a later pass may find that it extends further).

    `source` is a leaf tensor whose memory it is; else it lies at `start` in the program's memory.
    """

    low: int
    high: int
    source: Any = None
    start: int = 0
    first: int = NEVER  # the steps that touch it
    last: int = -1


class Place(NamedTuple):
    """Where a value lies: in a root, from byte `offset`."""

    root: Root
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype
    strides: tuple[int, ...]

    def array(self, memory: np.ndarray, start: int) -> np.ndarray:
        """The array at this place, if `memory` holds the root from index `start`."""
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        return np.ndarray(self.shape, self.dtype, memory, start + self.offset - self.root.low, self.strides)

    def moved(self, part: np.ndarray, base: np.ndarray) -> Place:
        """The place of `part`, a view, if `base` lies here."""
        return Place(self.root, self.offset + address(part) - address(base), part.shape, part.dtype, part.strides)

    def matches(self, other: Place) -> bool:
        """Whether entries of both lie in the same pattern."""
        steps = [[s for s, n in zip(p.strides, p.shape) if n > 1] for p in (self, other)]
        return self.shape == other.shape and self.dtype == other.dtype and steps[0] == steps[1]

    def whole(self) -> bool:
        """Whether nothing else is in the root."""
        return self.root.high - self.root.low == math.prod(self.shape) * self.dtype.itemsize


def fresh(x: Value) -> Place:
    """A root for one value, its entries in C's order."""
    strides = tuple(x.dtype.itemsize * math.prod(x.shape[k + 1 :]) for k in range(len(x.shape)))
    return Place(Root(0, x.nbytes), 0, x.shape, x.dtype, strides)


def apart(x: Value) -> Place:
    """A root for matrices, their rows not a multiple of 1 KiB apart."""
    row = x.shape[-1] * x.dtype.itemsize
    row += 64 if row % 1024 == 0 else 0
    outer = tuple(row * math.prod(x.shape[k + 1 : -1]) for k in range(len(x.shape) - 1))
    root = Root(0, row * math.prod(x.shape[:-1]))
    return fresh(x)._replace(root=root, strides=(*outer, x.dtype.itemsize))


def address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _pieces(i: Instruction, place: Place) -> list[Place]:
    """Where the inputs of a collecting instruction go if its result lies at `place`."""
    stand_in = np.lib.stride_tricks.as_strided(np.empty(1, place.dtype), place.shape, place.strides)  # never read
    assert i.primitive.parts is not None
    return [place.moved(part, stand_in) for part in i.primitive.parts(stand_in, **i.static)]


@dataclass
class Collection:
    """A collecting instruction: where its inputs go, which of them are added to others, and what is left to be 0."""

    pieces: list[Place]
    added: list[bool]
    gap: Place | None
    first: int = NEVER


def _coverage(i: Instruction) -> tuple[list[bool], Any] | None:
    """Which inputs are added to entries that others went to before, and the box of entries that are to start as 0."""
    split = i.primitive.parts
    covered, touched = np.zeros(i.out.shape, bool), np.zeros(i.out.shape, bool)
    if split is None or not covered.size or (parts := split(covered, **i.static)) is None:
        return None
    added = []
    for part, mark in zip(parts, split(touched, **i.static), strict=True):
        added.append(bool(mark.any()))
        mark[...] = True
        if not added[-1]:
            part[...] = True
    if covered.all():
        return added, None
    box = []
    for axis in range(covered.ndim):
        open_ = np.flatnonzero(~covered.all(axis=tuple(k for k in range(covered.ndim) if k != axis)))
        box.append(slice(int(open_[0]), int(open_[-1]) + 1))
    return added, tuple(box) if not covered[tuple(box)].any() else (slice(None),) * covered.ndim


def collected(
    instructions: Sequence[Instruction], results: Sequence[Value]
) -> tuple[dict[Value, Place], dict[Value, Collection]]:
    """Have parts computed where they are collected. Returns places, and the collections by their result.

    From the last instruction to the first, so that a collection that is itself a part is in its place already. A value
    may go to a place that is later added to only if nobody needs it afterwards.
    """
    places: dict[Value, Place] = {}
    collections: dict[Value, Collection] = {}
    until: dict[Value, int] = {}  # the number of the instruction that adds to a value's place
    last: dict[Value, int] = dict.fromkeys(results, NEVER)
    computed = {i.out for i in instructions if i.view is None}
    for n in reversed(range(len(instructions))):
        i = instructions[n]
        end = n if i.view is None else last.get(i.out, n)
        for x in values(i):
            last[x] = max(last.get(x, n), end)
        coverage = _coverage(i)
        if coverage is None:
            continue
        added, gap = coverage
        if i.out not in places:
            alone = gap is None and not any(added)
            places[i.out] = (_overlay(i, places, until) if alone else None) or fresh(i.out)
        place = places[i.out]
        pieces = _pieces(i, place)
        limit = min(until.get(i.out, NEVER), n if any(added) else NEVER)
        for x, piece, adds in zip(i.inputs, pieces, added, strict=True):
            movable = isinstance(x, Value) and x in computed and x not in places and not adds
            if movable and (x.shape, x.dtype) == (piece.shape, piece.dtype) and last[x] <= limit and 0 not in x.shape:
                places[x], until[x] = piece, limit
        gap_place = None
        if gap is not None:
            stand_in = np.lib.stride_tricks.as_strided(np.empty(1, place.dtype), place.shape, place.strides)
            gap_place = place.moved(stand_in[(*gap, ...)], stand_in)
        collections[i.out] = Collection(pieces, added, gap_place)
    return places, collections


def _overlay(i: Instruction, places: dict[Value, Place], until: dict[Value, int]) -> Place | None:
    """A place for a collection around parts that already lie together just as it wants them, or None."""
    wanted = fresh(i.out)
    pairs = list(zip(i.inputs, _pieces(i, wanted), strict=True))
    there = [(places[x], piece) for x, piece in pairs if isinstance(x, Value) and x in places]
    if not there or any(until.get(x, NEVER) != NEVER for x, _ in pairs if isinstance(x, Value)):
        return None
    root, shift = there[0][0].root, there[0][0].offset - there[0][1].offset
    if not all(p.root is root and p.offset - q.offset == shift and p.matches(q) for p, q in there):
        return None
    for x, piece in pairs:
        if not (isinstance(x, Value) and x in places):
            start = piece.offset + shift
            size = sum(s * (n - 1) for s, n in zip(piece.strides, piece.shape)) + piece.dtype.itemsize
            if start < root.high and start + size > root.low:
                return None
    root.low, root.high = min(root.low, shift), max(root.high, shift + i.out.nbytes)
    return wanted._replace(root=root, offset=shift)


def laid_out(instructions: Sequence[Instruction], places: dict[Value, Place]) -> None:
    """Give every other value a place: a view within what it is a view of, what is computed a root of its own.

    A view is found by making it, in memory that nobody reads; if there is none in this layout, it will be a copy.
    """
    memory = np.empty(0, np.uint8)
    for i in instructions:
        base = i.inputs[i.view] if i.view is not None else None
        if i.out in places:
            continue
        if isinstance(base, Value) and 0 not in i.out.shape and 0 not in base.shape:
            place = places[base]
            if len(memory) < place.root.high - place.root.low:
                memory = np.empty(place.root.high - place.root.low, np.uint8)
            x = place.array(memory, 0)
            y = i.primitive.function(*[x if k == i.view else v for k, v in enumerate(i.inputs)], **i.static)
            if np.may_share_memory(x, y):
                places[i.out] = place.moved(y, x)
                continue
        i.view = None
        places[i.out] = apart(i.out) if i.primitive is packed else fresh(i.out)


# --- steps ----------------------------------------------------------------------------------------------------------


@dataclass
class Step:
    """One call of the replay: function(*inputs, **static), its result at `out`; `kind` says how it gets there."""

    kind: str  # "out": by out=, "copy": copied, "fill", "move", "add": of a collection
    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    static: dict[str, Any] = field(default_factory=dict)
    out: Any = None
    calls: Callable[..., Any] | None = None
    reads: list[Place] = field(default_factory=list)

    @property
    def elementwise(self) -> bool:
        """Whether each entry of the result is computed from the entries at the same place: it may replace them."""
        return self.kind == "out" and isinstance(self.function, np.ufunc) and self.function.signature is None


def schedule(
    instructions: Sequence[Instruction], places: dict[Value, Place], collections: dict[Value, Collection]
) -> list[Step]:
    """The steps in order: views need none, a collection only those for what does not lie in its place yet."""
    first: dict[Value, int] = {}  # the instruction before which a collection's gap is filled
    fills: dict[int, list[Step]] = defaultdict(list)
    for n, i in enumerate(instructions):
        first[i.out] = n
        if (c := collections.get(i.out)) is not None:
            first[i.out] = min(
                [n, *[first.get(x, n) for x, p in zip(i.inputs, c.pieces) if isinstance(x, Value) and places[x] == p]]
            )
            if c.gap is not None:
                fills[first[i.out]].insert(0, Step("fill", "fill", np.copyto, (0,), out=c.gap))
    steps: list[Step] = []
    for n, i in enumerate(instructions):
        steps += fills[n]
        c, place = collections.get(i.out), places[i.out]
        if c is not None:
            for x, piece, adds in zip(i.inputs, c.pieces, c.added, strict=True):
                if not (isinstance(x, Value) and places[x] == piece):
                    kind = "add" if adds else "move"
                    steps.append(Step(kind, f"{kind} {i.primitive.name}", np.add, (x,), out=piece))
        elif i.view is None:
            kind = "out" if i.primitive.takes_out and 0 not in i.out.shape else "copy"
            steps.append(
                Step(kind, i.primitive.name, i.primitive.function, i.inputs, i.static, place, i.primitive.calls)
            )
    for s in steps:
        s.reads = [places[x] for x in values(s)]
    return steps


def plan(steps: Sequence[Step], arguments: Sequence[Place], results: Sequence[Place]) -> int:
    """Give each root a start in one block of memory, in which a root's bytes are used again when it is dead.

    The result of an elementwise step takes the place of an operand that dies in it: chains of them work in place.
    The largest come first, each to the lowest start where nothing lies that lives at the same time ("greedy by size",
    Pisarchyk & Lee 2020, arXiv:2001.03288). Returns the size of the block.
    """
    roots: dict[Root, None] = {}
    for n, s in enumerate(steps):
        for place in (s.out, *s.reads):
            root = place.root
            roots[root] = None
            root.first, root.last = min(root.first, n), max(root.last, n)
    for place in arguments:
        place.root.first = -1
        roots[place.root] = None
    for place in results:
        place.root.last = len(steps)
        roots[place.root] = None
    chains = {root: [root] for root in roots if root.source is None}
    for n, s in enumerate(steps):
        if s.elementwise and s.out.whole() and s.out.root.first == n:
            dying = [p.root for p in s.reads if p.root.last == n and p.whole() and p.matches(s.out)]
            if chain := next((chains[root] for root in dying if root in chains), None):
                chain.append(s.out.root)
                chains[s.out.root] = chain
    heads = sorted([root for root in chains if chains[root][0] is root], key=_size, reverse=True)
    first, last = np.zeros((2, len(heads)), np.int32)
    start, end = np.zeros((2, len(heads)), np.int64)
    for n, root in enumerate(heads):
        size, first[n], last[n] = _size(root), min(root.first, len(steps)), chains[root][-1].last
        meets = np.flatnonzero((first[:n] <= last[n]) & (last[:n] >= first[n]))
        meets = meets[np.argsort(start[meets])]
        ends = np.maximum.accumulate(np.append(0, end[meets]))  # up to where all is taken, before each gap
        start[n] = ends[np.argmax(np.append(start[meets], NEVER) - ends >= size)]
        end[n] = start[n] + size
        for part in chains[root]:
            part.start = int(start[n])
    return int(end.max(initial=0))


def _size(root: Root) -> int:
    return -(-(root.high - root.low) // 64) * 64
