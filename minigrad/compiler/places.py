"""Where a program's values lie: each in a piece of memory of its own, or within another's.

A view lies `within` what it is a view of, and `plan` lets pieces of memory take turns in one block.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections import defaultdict
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from .instruction import Kind, Layout, Value, as_text, layout

#: The number of a step that never comes.
NEVER = 1 << 60


class Root:
    """A piece of memory of its own, from byte `low` to `high` (a later pass may find that it extends further).

    `source` is a leaf tensor whose memory it is; else its byte 0 is at `start` in the program's memory. It is touched
    by the steps from number `first` to `last`.
    """

    __slots__ = ("low", "high", "source", "start", "first", "last")

    def __init__(self, low: int, high: int, source: Any = None) -> None:
        self.low, self.high, self.source = low, high, source
        self.start, self.first, self.last = 0, NEVER, -1

    def __repr__(self) -> str:
        return f"m[{self.start + self.low}]" if self.source is None else "leaf[0]"


class Place:
    """Where a value lies: in a root, from byte `offset`."""

    __slots__ = ("root", "offset", "layout")

    def __init__(self, root: Root, offset: int, layout: Layout) -> None:
        self.root, self.offset, self.layout = root, offset, layout

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Place) and self.root is other.root and self.layout is other.layout
        return same and self.offset == other.offset  # type: ignore[attr-defined]

    def array(self, memory: np.ndarray, at: int) -> np.ndarray:
        """The array of this place, its first entry at byte `at` of the memory."""
        lying = self.layout
        if 0 in lying.shape:
            return np.empty(lying.shape, lying.dtype)
        return np.ndarray(lying.shape, lying.dtype, memory, at, lying.strides)

    def __repr__(self) -> str:
        root = self.root
        name = f"m[{root.start + self.offset}]" if root.source is None else f"leaf[{self.offset}]"
        return f"{name}:{self.layout!r}"


class View(NamedTuple):
    """How a view lies within an array, from byte `offset`."""

    offset: int
    layout: Layout

    @classmethod
    def of(cls, part: np.ndarray, start: int) -> View:
        """`part` within the array whose first entry is at address `start`."""
        return cls(address(part) - start, layout(part.shape, part.dtype, part.strides))


def fresh(x: Value) -> Place:
    """A root for one value, its entries in C's order."""
    return Place(Root(0, x.layout.nbytes), 0, x.layout)


def apart(x: Value) -> Place:
    """A root for matrices, their rows not a multiple of 1 KiB apart."""
    row = x.shape[-1] * x.dtype.itemsize
    row += 64 if row % 1024 == 0 else 0
    outer = tuple(row * math.prod(x.shape[k + 1 : -1]) for k in range(len(x.shape) - 1))
    return Place(Root(0, row * math.prod(x.shape[:-1])), 0, layout(x.shape, x.dtype, (*outer, x.dtype.itemsize)))


def address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def within(kind: Kind, base: Place, stand_ins: dict[Layout, tuple[np.ndarray, int]]) -> Place | None:
    """The place of a view of what lies at `base`; None if it is a copy there.

    An entry of the first axis, of which each turn of a loop has another one, lies where its number says.
    """
    root, offset, lying = base.root, base.offset, base.layout
    if (k := kind.entry) is not None:
        return Place(root, offset + (k if k >= 0 else k + lying.shape[0]) * lying.strides[0], lying.entry)
    view = kind.found.get(lying, stand_ins)
    if view is stand_ins:  # not found out yet
        if lying not in stand_ins:
            array = base.array(np.empty(root.high - root.low, np.uint8), offset - root.low)
            stand_ins[lying] = array, address(array)
        view = kind.found[lying] = _view(kind, *stand_ins[lying])
    return None if view is None else Place(root, offset + view[0], view[1])


def _view(kind: Kind, base: np.ndarray, start: int) -> View | None:
    """How the result of an instruction lies in its base, which is at address `start`: found by making it there.

    Nobody reads the base's entries. None if there is no such view in this layout, so that it will be a copy.
    """
    if 0 in kind.layout.shape:
        return None
    inputs, static = kind.called_with((base,))
    y = kind.primitive.function(*inputs, **static)
    return View.of(y, start) if np.may_share_memory(base, y) else None


# --- steps ----------------------------------------------------------------------------------------------------------


class Step:
    """Call n of the replay: `inputs` and what their kind says are its operands, its result comes to lie at `out`.

    `how` says in which way: "out": by out=, "copy": copied; "fill", "move", "add": parts of a collection, of no kind.
    Steps are made in their order, and each is noted in the roots that it touches as their last; `begins` is whether it
    is the first that writes into the root of its result.
    """

    __slots__ = ("how", "name", "kind", "inputs", "out", "begins")

    def __init__(self, n: int, how: str, name: str, kind: Kind | None, inputs: Sequence[Any], out: Place) -> None:
        self.how, self.name, self.kind, self.inputs, self.out = how, name, kind, inputs, out
        for x in inputs:
            if type(x) is Value:
                x.place.root.last = n
        root = out.root
        root.last, self.begins = n, root.first > n
        if self.begins:
            root.first = n

    @property
    def reads(self) -> list[Place]:
        """The places of the Values among the inputs."""
        return [x.place for x in self.inputs if type(x) is Value]

    def __repr__(self) -> str:
        inputs, static = (self.reads or self.inputs, {}) if self.kind is None else self.kind.called_with(self.reads)
        return f"{self.out!r} = {as_text(self.name, inputs, static)}"


#: A piece comes soon after another if there are no more steps between them than in a turn of a loop.
SOON = 128
#: Up to so many pieces are put into the block one by one, more in bundles of alike ones: then a plan's time is linear.
PIECES = 256


def plan(
    steps: Sequence[Step],
    arguments: Sequence[Place],
    results: Sequence[Place],
    in_place: bool = True,
    turns: bool = True,
) -> int:
    """Give each root a start in one block of memory, in which roots that do not live at the same time take `turns`.

    The result of an elementwise step takes the place of an operand that dies in it: chains of them work `in_place`.
    The largest come first, each to the lowest start where nothing lies that lives at the same time ("greedy by size",
    Pisarchyk & Lee 2020, arXiv:2001.03288). Returns the size of the block.
    """
    for place in arguments:
        place.root.first = -1
    for place in results:
        place.root.last = len(steps)
    pieces = _bundled(_alike(steps, arguments, in_place, turns))
    taken: list[tuple[int, ...]] = []  # start, end, first and last step of what lies in the block, by its start
    for size, first, last, chains in sorted(pieces, key=lambda piece: (-piece.size, piece.first)):
        at = 0
        for start, stop, begun, over in taken:
            if begun <= last and over >= first:
                if start - at >= size:
                    break
                if stop > at:
                    at = stop
        bisect.insort(taken, (at, at + size, first, last))
        for chain, offset in chains:
            for root in chain:
                root.start = at + offset - root.low
    return max([stop for _, stop, _, _ in taken], default=0)


#: The first and last step in which memory is needed, and the root, or those that take the place of one another, there.
_Chain = tuple[int, int, Sequence[Root]]
#: The same of several chains that take turns.
_Lane = tuple[int, int, list[Sequence[Root]]]


def _alike(
    steps: Sequence[Step], arguments: Sequence[Place], in_place: bool, turns: bool
) -> dict[tuple[int, int], list[_Chain]]:
    """All that the block holds, by size, and by about how long it is needed."""
    begins = [s for s in steps if s.begins]
    chains = _chains(begins) if in_place else {}
    alike: dict[tuple[int, int], list[_Chain]] = defaultdict(list)
    for place in [*arguments, *[s.out for s in begins]]:
        root = place.root
        chain = chains.get(root) or (root,)
        if chain[0] is root and root.source is None:
            first, last = (root.first, chain[-1].last) if turns else (0, 0)
            alike[-(-(root.high - root.low) // 64) * 64, (last - first).bit_length()].append((first, last, chain))
    return alike


class _Piece(NamedTuple):
    """Memory that is taken from one step to another, by chains of roots at offsets within it."""

    size: int
    first: int
    last: int
    chains: list[tuple[Sequence[Root], int]]


def _bundled(alike: dict[tuple[int, int], list[_Chain]]) -> list[_Piece]:
    """A piece for each chain; if these are too many, for alike ones in turn, then for several of these side by side.

    So what all turns of a loop need for a moment lies at the same address in each.
    """
    if sum(map(len, alike.values())) <= PIECES:
        alone = [(size, *chain) for (size, _), group in alike.items() for chain in group]
        return [_Piece(size, first, last, [(chain, 0)]) for size, first, last, chain in alone]
    lanes = [(size, _in_turn(group)) for (size, _), group in alike.items()]
    many = -(-sum([len(group) for _, group in lanes]) // PIECES)
    return [_side_by_side(size, group[k : k + many]) for size, group in lanes for k in range(0, len(group), many)]


def _in_turn(group: list[_Chain]) -> list[_Lane]:
    """Each chain behind the one that is over first, if it comes soon after it."""
    done: list[_Lane] = []
    open_: list[tuple[int, int, _Lane]] = []  # until when each is taken
    for n, (first, last, chain) in enumerate(sorted(group, key=itemgetter(0))):
        while open_ and open_[0][0] < first - SOON:
            done.append(heapq.heappop(open_)[2])
        if open_ and open_[0][0] < first:
            begun, _, chains = open_[0][2]
            chains.append(chain)
            heapq.heapreplace(open_, (last, n, (begun, last, chains)))
        else:
            heapq.heappush(open_, (last, n, (first, last, [chain])))
    return done + [lane for _, _, lane in sorted(open_)]


def _side_by_side(size: int, lanes: list[_Lane]) -> _Piece:
    chains = [(chain, n * size) for n, (_, _, lane) in enumerate(lanes) for chain in lane]
    return _Piece(len(lanes) * size, min([lane[0] for lane in lanes]), max([lane[1] for lane in lanes]), chains)


def _chains(begins: Sequence[Step]) -> dict[Root, list[Root]]:
    """For roots that take the place of another: those that do so one after the other, of which each is one."""
    chains: dict[Root, list[Root]] = {}
    for s in begins:
        kind, root, lying = (
            s.kind,
            s.out.root,
            s.out.layout,
        )  # of what is elementwise, no entry is read after it is made
        if kind is None or not kind.elementwise or root.high - root.low != lying.nbytes:
            continue
        for x in s.inputs:
            if type(x) is not Value or x.place.root.last != root.first:
                continue
            before, other = x.place.root, x.place.layout
            if before.source is None and before.high - before.low == other.nbytes and other.matches(lying):
                chain = chains.setdefault(before, [before])
                chain.append(root)
                chains[root] = chain
                break
    return chains
