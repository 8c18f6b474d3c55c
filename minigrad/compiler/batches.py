"""The pass that computes together what is alike in many steps of a loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .. import shapes
from .instruction import Instruction, Kinds, Value, layout

#: Arrays up to this size are computed together, as long as all of them together stay in a fast cache.
SMALL, TOGETHER = 64 * 1024, 256 * 1024
#: Fewer are computed where they are.
FEW = 4


#: An instruction that may be computed with others: itself, which of its reads may differ, what these others share.
_Candidate = tuple[Instruction, Sequence[int], Any]


class _Group:
    """Candidates that are computed together, at the place of the first one, whose number this is."""

    __slots__ = ("first", "members")

    def __init__(self, first: int) -> None:
        self.first = first
        self.members: list[_Candidate] = []


def with_batches(instructions: Sequence[Instruction], kinds: Kinds) -> Sequence[Instruction]:
    """Compute what is alike in several steps of a loop together, if it is small and does not wait for another step.

    f(x_0), f(x_1), ... become the parts of f(stack of all x), at the place of the first: elementwise f, with operands
    that are there by then.
    """
    candidates = _candidates(instructions)
    numbers: dict[Value, int] = {}
    turns: list[tuple[int, Instruction]] = []
    for n, i in enumerate(instructions):
        kind, _, out = i
        numbers[out] = n
        if out in candidates or kind.base is not None:
            turns.append((n, i))
    while True:  # members of a group that is too small are computed where they were, and what reads them waits longer
        made = numbers.copy()
        groups = _grouped(turns, candidates, made)
        few = [i.out for group in groups if len(group.members) < FEW for i, _, _ in group.members]
        if not few:
            break
        for out in few:
            del candidates[out]
    return _Rewriting(instructions, numbers, made, kinds).run({group.first: group for group in groups})


def _candidates(instructions: Sequence[Instruction]) -> dict[Value, _Candidate]:
    """By what they compute."""
    found: dict[Value, _Candidate] = {}
    for i in instructions:
        kind, reads, out = i
        if not kind.elementwise or not 0 < kind.layout.nbytes <= SMALL or kind.layout.shape == ():
            continue
        if kind.unbroadcast and len(reads) == 2 and reads[0].source is None is reads[1].source:  # most are such
            found[out] = i, (0, 1), (kind, reads[0] is reads[1])
            continue
        varied = [k for k, x in enumerate(reads) if x.source is None and x.layout.shape == kind.layout.shape]
        if varied:
            same = [reads.index(reads[k]) for k in varied]
            rest = [x for k, x in enumerate(reads) if k not in varied]
            found[out] = i, varied, (kind, *same, None, *varied, *rest)
    return found


def _grouped(
    turns: Sequence[tuple[int, Instruction]], candidates: dict[Value, _Candidate], made: dict[Value, int]
) -> list[_Group]:
    """Groups of candidates that share a key; sets in `made` after which instruction each value is there."""
    groups: list[_Group] = []
    waiting: dict[Any, list[_Group]] = defaultdict(list)
    there_at, candidate_of = made.get, candidates.get
    for n, (kind, reads, out) in turns:
        candidate = candidate_of(out)
        if candidate is None:
            if kind.base is not None:
                made[out] = there_at(reads[0], -1) if len(reads) == 1 else max([there_at(x, -1) for x in reads])
            continue
        _, varied, key = candidate
        there = made[reads[varied[0]]]
        for k in varied[1:]:
            there = max(there, made[reads[k]])
        open_ = waiting[key]
        for group in open_:
            if there < group.first:
                break
        else:
            group = _Group(n)
            groups.append(group)
            del open_[7:]  # later ones mostly wait for one another: keep the early ones
            open_.append(group)
        group.members.append(candidate)
        made[out] = group.first
        if len(group.members) * kind.layout.nbytes >= TOGETHER:
            open_.clear()
    return groups


class _Rewriting:
    """The list as it is written anew, with `whole = f(stacks)` and `part = whole[k]` in place of each group."""

    def __init__(
        self, instructions: Sequence[Instruction], numbers: dict[Value, int], made: dict[Value, int], kinds: Kinds
    ) -> None:
        self.instructions, self.numbers, self.made, self.kinds = instructions, numbers, made, kinds
        self.result: list[Instruction] = []
        self.at = 0  # the instruction whose turn it is
        self.early: set[Value] = set()  # what was written before its turn
        self.stacks: dict[tuple[Value, ...], Value] = {}
        self.rank: dict[Value, int] = {}  # of parts of a stack: others that are made of these come in the same order

    def run(self, starts: dict[int, _Group]) -> Sequence[Instruction]:
        if not starts:
            return self.instructions
        early, append = self.early, self.result.append
        for n, i in enumerate(self.instructions):
            if n in starts:
                self.at = n
                self._write_group(i, starts[n].members)
            elif i[2] not in early:
                append(i)
        return self.result

    def _write_group(self, i: Instruction, members: list[_Candidate]) -> None:
        (_, varied, _), size, kind = members[0], len(members), i.kind
        first = [member.reads[varied[0]] for member, _, _ in members]
        order = sorted(range(size), key=lambda k: (self.made[first[k]], self.rank.get(first[k], first[k].number)))
        members = [members[k] for k in order]
        operands = list(i.reads)
        for k in varied:
            column = tuple([member.reads[k] for member, _, _ in members])
            if column not in self.stacks:
                out = self._new(column[0], size)
                stack = self.kinds.instruction(shapes._stack, column, {"axis": 0}, out)
                self.stacks[column] = self._write(stack)
            operands[k] = self.stacks[column]
        inputs, _ = kind.called_with(operands)
        whole = self._write(self.kinds.instruction(kind.primitive, tuple(inputs), {}, self._new(i.out, size)))
        outs = tuple([member.out for member, _, _ in members])
        self.stacks[outs] = whole
        for k, out in enumerate(outs):
            self.rank[out] = k
            part = self.kinds.kind(shapes.getitem, (whole, k), {}, out.layout, view=0)
            self.result.append(Instruction(part, (whole,), out))
            self.early.add(out)

    def _new(self, like: Value, size: int) -> Value:
        return self.kinds.value(layout((size, *like.shape), like.dtype))

    def _write(self, i: Instruction) -> Value:
        """Append it, behind what it reads: views that are made further down, of what is there."""
        pending = self._missing(i)
        while pending:
            before = self.instructions[self.numbers[pending[-1]]]
            if deeper := self._missing(before):
                pending += deeper
            else:
                pending.pop()
                if before.out not in self.early:
                    self.result.append(before)
                    self.early.add(before.out)
        self.result.append(i)
        return i.out

    def _missing(self, i: Instruction) -> list[Value]:
        """What it reads that is not written yet."""
        return [x for x in i.reads if self.numbers.get(x, -1) >= self.at and x not in self.early]
