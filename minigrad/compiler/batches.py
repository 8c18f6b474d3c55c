"""The pass that computes together what is alike in many steps of a loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .. import shapes
from .instruction import Instruction, Kind, Kinds, Value, layout

#: Arrays up to this size are computed together, as long as all of them together stay in a fast cache.
SMALL, TOGETHER = 64 * 1024, 256 * 1024
#: Fewer are computed where they are.
FEW = 4


class _Candidate:
    """An instruction that may be computed with others: which of its reads may differ, and what these others share."""

    __slots__ = ("instruction", "varied", "key")

    def __init__(self, instruction: Instruction, varied: Sequence[int], key: Any) -> None:
        self.instruction, self.varied, self.key = instruction, varied, key


class _Group:
    """Candidates that are computed together, at the place of the first one, whose number this is."""

    __slots__ = ("first", "members", "most")

    def __init__(self, first: int, nbytes: int) -> None:
        self.first, self.members = first, list[_Candidate]()
        self.most = -(-TOGETHER // nbytes)


def with_batches(instructions: Sequence[Instruction], kinds: Kinds) -> Sequence[Instruction]:
    """Compute what is alike in several steps of a loop together, if it is small and does not wait for another step.

    f(x_0), f(x_1), ... become the parts of f(stack of all x), at the place of the first: elementwise f, with operands
    that are there by then.
    """
    candidates = _candidates(instructions, kinds)
    turns = [(n, i) for n, i in enumerate(instructions) if i.out in candidates or i.kind.base is not None]
    while True:  # members of a group that is too small are computed where they were, and what reads them waits longer
        made = {i.out: n for n, i in enumerate(instructions)}
        groups = _grouped(turns, candidates, made)
        few = [c.instruction.out for group in groups if len(group.members) < FEW for c in group.members]
        if not few:
            break
        for out in few:
            del candidates[out]
    return _Rewriting(instructions, made, kinds).run({group.first: group for group in groups})


def _candidates(instructions: Sequence[Instruction], kinds: Kinds) -> dict[Value, _Candidate]:
    """By what they compute."""
    small = set(filter(_is_small, kinds.found.values()))
    found: dict[Value, _Candidate] = {}
    for i in instructions:
        kind, reads, out = i
        if kind not in small:
            continue
        like = kind.layout
        varied = [k for k, x in enumerate(reads) if x.source is None and x.layout.shape == like.shape]
        if varied:
            same = [reads.index(reads[k]) for k in varied]
            key: Any = (kind, *same)
            if len(varied) < len(reads):
                key = (kind, *same, None, *varied, *[x for k, x in enumerate(reads) if k not in varied])
            found[out] = _Candidate(i, varied, key)
    return found


def _is_small(kind: Kind) -> bool:
    return kind.elementwise and kind.layout.shape != () and 0 < kind.layout.nbytes <= SMALL


def _grouped(
    turns: Sequence[tuple[int, Instruction]], candidates: dict[Value, _Candidate], made: dict[Value, int]
) -> list[_Group]:
    """Groups of candidates that share a key; sets in `made` after which instruction each value is there."""
    groups: list[_Group] = []
    waiting: dict[Any, list[_Group]] = defaultdict(list)
    there_at = made.get
    for n, (kind, reads, out) in turns:
        candidate = candidates.get(out)
        if candidate is None:
            if kind.base is not None:
                made[out] = max([there_at(x, -1) for x in reads])
            continue
        there = max([made[reads[k]] for k in candidate.varied])
        open_ = waiting[candidate.key]
        for group in open_:
            if there < group.first:
                break
        else:
            group = _Group(n, kind.layout.nbytes)
            groups.append(group)
            del open_[7:]  # later ones mostly wait for one another: keep the early ones
            open_.append(group)
        group.members.append(candidate)
        made[out] = group.first
        if len(group.members) >= group.most:
            open_.clear()
    return groups


class _Rewriting:
    """The list as it is written anew, with `whole = f(stacks)` and `part = whole[k]` in place of each group."""

    def __init__(self, instructions: Sequence[Instruction], made: dict[Value, int], kinds: Kinds) -> None:
        self.instructions, self.made, self.kinds = instructions, made, kinds
        self.made_by = {i.out: i for i in instructions}
        self.result: list[Instruction] = []
        self.written: set[Value] = set()
        self.stacks: dict[tuple[Value, ...], Value] = {}
        self.rank: dict[Value, int] = {}  # of parts of a stack: others that are made of these come in the same order

    def run(self, starts: dict[int, _Group]) -> Sequence[Instruction]:
        if not starts:
            return self.instructions
        written, append = self.written, self.result.append
        for n, i in enumerate(self.instructions):
            if n in starts:
                self._write_group(i, starts[n].members)
            elif i.out not in written:
                append(i)
                written.add(i.out)
        return self.result

    def _write_group(self, i: Instruction, members: list[_Candidate]) -> None:
        varied, size, kind = members[0].varied, len(members), i.kind
        first = [m.instruction.reads[varied[0]] for m in members]
        order = sorted(range(size), key=lambda k: (self.made[first[k]], self.rank.get(first[k], first[k].number)))
        members = [members[k] for k in order]
        operands = list(i.reads)
        for k in varied:
            column = tuple([m.instruction.reads[k] for m in members])
            if column not in self.stacks:
                out = self._new(column[0], size)
                stack = self.kinds.instruction(shapes._stack, column, {"axis": 0}, out)
                self.stacks[column] = self._write(stack)
            operands[k] = self.stacks[column]
        inputs, _ = kind.called_with(operands)
        whole = self._write(self.kinds.instruction(kind.primitive, tuple(inputs), {}, self._new(i.out, size)))
        outs = tuple([m.instruction.out for m in members])
        self.stacks[outs] = whole
        for k, out in enumerate(outs):
            self.rank[out] = k
            part = self.kinds.kind(shapes.getitem, (whole, k), {}, out.layout, view=0)
            self.result.append(Instruction(part, (whole,), out))
            self.written.add(out)

    def _new(self, like: Value, size: int) -> Value:
        return self.kinds.value(layout((size, *like.shape), like.dtype))

    def _write(self, i: Instruction) -> Value:
        """Append it, behind what it reads: views that are made further down, of what is there."""
        written = self.written
        pending = [x for x in i.reads if x in self.made_by and x not in written]
        while pending:
            before = self.made_by[pending[-1]]
            deeper = [x for x in before.reads if x in self.made_by and x not in written]
            if deeper:
                pending += deeper
            else:
                pending.pop()
                if before.out not in written:
                    self.result.append(before)
                    written.add(before.out)
        self.result.append(i)
        written.add(i.out)
        return i.out
