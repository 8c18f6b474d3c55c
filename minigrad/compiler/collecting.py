"""Parts are computed where a stack, a concatenation or a gradient collects them, and need not be copied there."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import shapes
from ..lending import Lending
from .instruction import Instructions, Kind, Layout, Value, layout
from .passes import packed
from .places import NEVER, Place, Step, View, address, apart, fresh, within
from .table import BEHIND, PARTS


class Collection(NamedTuple):
    """A collecting instruction: where its inputs go, which of them are added to others, and what is left to be 0."""

    parts: list[Place]
    added: Sequence[bool]
    gap: Place | None


class _Pattern(NamedTuple):
    """The same within the result, wherever that lies: where each input begins, and how it lies."""

    offsets: Sequence[int]
    layouts: Sequence[Layout]
    added: Sequence[bool]
    gap: View | None


def _pattern(kind: Kind, lying: Layout) -> _Pattern | None:
    """Where a collecting instruction's inputs go in its result; None if it does not collect these."""
    if kind.primitive in BEHIND:
        axis, ends = BEHIND[kind.primitive](**kind.static)
        return _along(lying, axis, range(lying.shape[axis]) if ends is None else (0, *ends[:-1]), ends)
    if kind.primitive is shapes.place and (entries := _entries(lying.shape, kind.static["indices"])):
        return _along(lying, 0, entries, None)
    return _viewed(kind, lying)


def _viewed(kind: Kind, lying: Layout) -> _Pattern | None:
    """The pattern of a collecting instruction as the views of its result say."""
    split = PARTS.get(kind.primitive)
    covered = np.zeros(lying.shape, bool)
    if split is None or not covered.size or (parts := split(covered, **kind.static)) is None:
        return None
    if isinstance(kind.primitive, Lending):
        _check_parts(kind, parts, covered)
    for part in parts:
        part[...] = True
    added, number = [False] * len(parts), np.count_nonzero(covered)
    if sum([part.size for part in parts]) != number:  # some lie over others
        touched = np.zeros(lying.shape, bool)
        covered[...] = False
        for k, mark in enumerate(split(touched, **kind.static)):
            added[k] = bool(mark.any())
            mark[...] = True
            if not added[k]:
                parts[k][...] = True
        number = np.count_nonzero(covered)
    stand_in = np.lib.stride_tricks.as_strided(np.empty(1, lying.dtype), lying.shape, lying.strides)  # never read
    start = address(stand_in)
    views = [View.of(part, start) for part in split(stand_in, **kind.static)]
    gap = None if number == covered.size else View.of(stand_in[(*_box(covered), ...)], start)
    return _Pattern([offset for offset, _ in views], [like for _, like in views], added, gap)


def _check_parts(kind: Kind, parts: Any, out: np.ndarray) -> None:
    """Raise ValueError unless what a user's `parts` gave are views of out in the shapes of the inputs."""
    wanted = [x.shape if type(x) is Layout else np.shape(x) for x in kind.inputs]
    found = [np.shape(part) if isinstance(part, np.ndarray) else part for part in parts]
    if found != wanted or not all([np.may_share_memory(part, out) for part in parts]):
        raise ValueError(
            f"compile_as: parts(out) of {kind.primitive.name} must give views of out, {out.shape}, one for each input "
            f"in its shape, {wanted}; got {found if found != wanted else 'other arrays'}"
        )


def _entries(shape: tuple[int, ...], indices: Sequence[Any]) -> Sequence[int] | None:
    """The numbers that these indices are, if they are all entries, each once: as on the way back from all x[t]."""
    if (len(indices),) != shape[:1] or not all([type(index) is int for index in indices]):
        return None
    entries = [index % shape[0] for index in indices]
    return entries if len(set(entries)) == len(entries) else None


def _along(lying: Layout, axis: int, starts: Sequence[int], ends: Sequence[int] | None) -> _Pattern:
    """Inputs that share out an axis: each is the entry at its start, or goes from there to its end."""
    shape, dtype, strides = lying.shape, lying.dtype, lying.strides
    axis %= len(shape)
    before, behind = shape[:axis], shape[axis + 1 :]
    if ends is None:
        entry = layout((*before, *behind), dtype, (*strides[:axis], *strides[axis + 1 :]))
        layouts = [entry] * len(starts)
    else:
        layouts = [layout((*before, end - start, *behind), dtype, strides) for start, end in zip(starts, ends)]
    return _Pattern([start * strides[axis] for start in starts], layouts, [False] * len(starts), None)


def _box(covered: np.ndarray) -> tuple[Any, ...]:
    """The box of entries that are to start as 0: all that no part covers, or everything."""
    box: list[Any] = []
    for axis in range(covered.ndim):
        open_ = np.flatnonzero(~covered.all(axis=tuple(k for k in range(covered.ndim) if k != axis)))
        box.append(slice(int(open_[0]), int(open_[-1]) + 1))
    return tuple(box) if not covered[tuple(box)].any() else (slice(None),) * covered.ndim


class Collecting:
    """The pass over a list: what is computed where it is collected gets its place; the `collections` by their result.

    From the last instruction to the first, so that a collection that is itself a part is in its place already. A value
    may go to a place that is later added to only if nobody needs it afterwards.
    """

    def __init__(self, instructions: Instructions, results: Sequence[Value]) -> None:
        self.instructions, self.results = instructions, results
        self.collections: dict[Value, Collection] = {}
        self.until: dict[Value, int] = {}  # the number of the instruction that adds to a value's place
        for n in reversed(instructions.having("collects")):
            self._collect(n, *instructions[n])

    @functools.cached_property
    def last(self) -> dict[Value, int]:
        """The number of the instruction that last reads a value, or a view of it."""
        last: dict[Value, int] = dict.fromkeys(self.results, NEVER)
        n = len(self.instructions)
        for kind, reads, out in self.instructions.backwards():
            n -= 1
            end = n if kind.base is None else last.get(out, n)
            for x in reads:
                if last.get(x, -1) < end:
                    last[x] = end
        return last

    @functools.cached_property
    def memory(self) -> dict[Value, Value]:
        """What each view is a view of, in the end."""
        memory: dict[Value, Value] = {}
        for kind, reads, out in self.instructions.rows():
            if kind.base is not None:
                x = reads[kind.base]
                memory[out] = memory.get(x, x)
        return memory

    def _collect(self, n: int, kind: Kind, reads: Sequence[Value], out: Value) -> None:
        place = out.place
        pattern = self._pattern_at(kind, place.layout if place else out.layout)
        if pattern is None:
            return
        offsets, layouts, added, gap = pattern
        inputs, _ = kind.called_with(reads)
        adds = True in added
        if place is None:
            place = out.place = (None if adds or gap else self._overlay(out, inputs, reads, pattern)) or fresh(out)
        root, start = place.root, place.offset
        parts = [Place(root, start + offset, like) for offset, like in zip(offsets, layouts, strict=True)]
        limit = min(self.until.get(out, NEVER), n if adds else NEVER)
        for x, part, adding in zip(inputs, parts, added, strict=True):
            if not adding and self._movable(x, part) and (limit == NEVER or self._over(x, limit, n, reads)):
                x.place = part
                if limit != NEVER:
                    self.until[x] = limit
        self.collections[out] = Collection(parts, added, gap and Place(root, start + gap.offset, gap.layout))

    def _over(self, x: Value, limit: int, n: int, reads: Sequence[Value]) -> bool:
        """Whether x, which the instruction n reads, is needed by none that comes at the limit or later.

        At the limit, `n` itself may read it, but once: not as a part that is added as well.
        """
        if self.last[x] < limit:
            return True
        memory = self.memory
        return self.last[x] == n == limit and sum([memory.get(other, other) is x for other in reads]) == 1

    @staticmethod
    def _pattern_at(kind: Kind, lying: Layout) -> _Pattern | None:
        key = "pattern", lying
        if key not in kind.found:
            kind.found[key] = _pattern(kind, lying) if kind.flat else None
        return kind.found[key]  # type: ignore[no-any-return]

    def _movable(self, x: Any, part: Place) -> bool:
        """Whether x may be computed there, since it is computed and has no place yet."""
        if type(x) is not Value or x.place is not None or x.source is not None:
            return False
        if x.kind is not None and x.kind.base is not None:  # a view
            return False
        own, lying = x.layout, part.layout
        return own is lying or (own.shape == lying.shape and own.dtype == lying.dtype)

    def _overlay(self, out: Value, inputs: Sequence[Any], reads: Sequence[Value], pattern: _Pattern) -> Place | None:
        """A place for a collection around parts that already lie together just as it wants them, or None."""
        if not any([x.place for x in reads]) or not self.until.keys().isdisjoint(reads):
            return None
        wanted, views = fresh(out), zip(pattern.offsets, pattern.layouts)
        pairs = [(x, Place(wanted.root, *view)) for x, view in zip(inputs, views, strict=True)]
        there = [(x.place, part) for x, part in pairs if type(x) is Value and x.place is not None]
        root, shift = there[0][0].root, there[0][0].offset - there[0][1].offset
        if not all([p.root is root and p.offset - q.offset == shift and p.layout.matches(q.layout) for p, q in there]):
            return None
        for x, part in pairs:
            if not (type(x) is Value and x.place is not None):
                start, lying = part.offset + shift, part.layout
                size = sum([s * (n - 1) for s, n in zip(lying.strides, lying.shape)]) + lying.dtype.itemsize
                if start < root.high and start + size > root.low:
                    return None
        root.low, root.high = min(root.low, shift), max(root.high, shift + wanted.layout.nbytes)
        return Place(root, shift, wanted.layout)


def schedule(instructions: Instructions, collections: dict[Value, Collection]) -> list[Step]:
    """The steps in order, and a place for every value: a view lies in what it is a view of, and needs no step.

    A collection only needs those for what does not lie in its place yet. What else is computed gets a root of its own.
    """
    fills = _fills(instructions, collections)
    stand_ins: dict[Layout, tuple[np.ndarray, int]] = {}
    steps: list[Step] = []
    for n, (kind, reads, out) in enumerate(instructions.rows()):
        if fills and n in fills:
            for gap in fills[n]:
                steps.append(Step(len(steps), "fill", "fill", None, (0,), gap))
        place = out.place
        if place is None:
            if kind.base is not None and len(reads) == 1:
                out.place = place = within(kind, reads[0].place, stand_ins)
                if place is not None:
                    continue
            out.place = place = apart(out) if kind.primitive is packed else fresh(out)
        elif out in collections:
            parts, added, _ = collections[out]
            inputs, _ = kind.called_with(reads)
            for x, part, adds in zip(inputs, parts, added, strict=True):
                if adds or type(x) is not Value or x.place != part:
                    how = "add" if adds else "move"
                    steps.append(Step(len(steps), how, f"{how} {kind.primitive.name}", None, (x,), part))
            continue
        how = "out" if kind.takes_out else "copy"
        steps.append(Step(len(steps), how, kind.primitive.name, kind, reads, place))
    return steps


def _fills(instructions: Instructions, collections: dict[Value, Collection]) -> dict[int, list[Place]]:
    """The gaps of collections, by the number of the instruction before which they are set to 0."""
    fills: dict[int, list[Place]] = defaultdict(list)
    if all([c.gap is None for c in collections.values()]):
        return fills
    first: dict[Value, int] = {}
    for n, (kind, reads, out) in enumerate(instructions.rows()):
        first[out] = n
        if (c := collections.get(out)) is not None:
            inputs, _ = kind.called_with(reads)
            there = [x for x, p in zip(inputs, c.parts) if type(x) is Value and x.place == p]
            first[out] = min([n, *[first.get(x, n) for x in there]])
            if c.gap is not None:
                fills[first[out]].insert(0, c.gap)
    return fills
