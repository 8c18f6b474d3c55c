"""The pass that computes together what is alike in many turns of a loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .. import shapes
from .instruction import Instruction, Instructions, Kind, Kinds, Value, layout

#: Small arrays are computed together, as long as all of them together stay in a fast cache.
TOGETHER = 256 * 1024
#: Fewer are computed where they are.
FEW = 4


def with_batches(instructions: Instructions, kinds: Kinds) -> Instructions:
    """Compute what is alike in several turns of a loop together, if it is small and does not wait for another turn.

    f(x_0), f(x_1), ... become the parts of f(stack of all x), at the place of the first: elementwise f, with operands
    that are there by then.
    """
    keys: list[Any] = [None] * len(instructions)  # those with the same key may be computed together; None: it may not
    numbers = [-1] * kinds.count  # by the number of a value: that of the instruction that makes it
    visited: list[int] = []  # the numbers of candidates, and of views, which are there as soon as their arrays are
    for n, (kind, reads, out) in enumerate(instructions.rows()):
        numbers[out.number] = n
        if kind.small:
            key = keys[n] = _key(kind, reads)
            if key is not None:
                visited.append(n)
        elif kind.base is not None:
            visited.append(n)
    while True:  # members of a group that is too small are computed where they were, and what reads them waits longer
        made = numbers.copy()
        groups = _grouped(instructions, visited, keys, made)
        members = {n for group in groups for n in group}
        waiting = [n for n in visited if keys[n] is None or n in members]
        if len(waiting) == len(visited):
            break
        visited = waiting
    return _Rewriting(instructions, numbers, made, keys, kinds).run(groups)


def _key(kind: Kind, reads: Sequence[Value]) -> Any:
    """What instructions that are computed together share: (which of their reads may differ, ...); None if none may.

    Most read one or two Values that are computed: the Kind is all that they share, its id if they read one twice.
    """
    if kind.few and reads[0].source is None is reads[-1].source:
        return kind if len(reads) == 1 or reads[0] is not reads[1] else id(kind)
    varied = tuple([k for k, x in enumerate(reads) if x.source is None and x.layout.shape == kind.layout.shape])
    same = [reads.index(reads[k]) for k in varied]
    return (varied, kind, *same, *[x for k, x in enumerate(reads) if k not in varied]) if varied else None


def _grouped(
    instructions: Instructions, visited: Sequence[int], keys: Sequence[Any], made: list[int]
) -> list[list[int]]:
    """Groups of candidates that share a key, as their numbers: they are computed together at the place of the first.

    Sets in `made` after which instruction each value is there.
    """
    groups: list[list[int]] = []
    waiting: dict[Any, list[list[int]]] = defaultdict(list)  # the first of each comes later than that of the one before
    all_reads, outs = instructions.reads, instructions.outs
    for n in visited:
        key, reads, out = keys[n], all_reads[n], outs[n]
        if type(key) is tuple:
            there = max([made[reads[k].number] for k in key[0]])
        else:
            there = -1
            for x in reads:
                if made[x.number] > there:
                    there = made[x.number]
            if key is None:
                made[out.number] = there
                continue
        open_ = waiting[key]
        if open_ and there < open_[-1][0]:
            group = next(group for group in open_ if there < group[0])
            group.append(n)
            if len(group) == FEW:
                groups.append(group)
            if len(group) * out.layout.nbytes >= TOGETHER:
                open_.clear()
        else:
            group = [n]
            del open_[7:]  # later ones mostly wait for one another: keep the early ones
            open_.append(group)
        made[out.number] = group[0]
    return sorted(groups)


class _Rewriting:
    """The list as it is written anew, with `whole = f(stacks)` and `part = whole[k]` in place of each group."""

    def __init__(
        self,
        instructions: Instructions,
        numbers: Sequence[int],
        made: Sequence[int],
        keys: Sequence[Any],
        kinds: Kinds,
    ) -> None:
        self.instructions, self.numbers, self.made, self.keys, self.kinds = instructions, numbers, made, keys, kinds
        self.result = Instructions()
        self.at = 0  # the instruction whose turn it is
        self.left = bytearray(b"\1") * len(instructions)  # 0 for what was written before its turn
        self.stacks: dict[tuple[Value, ...], Value] = {}
        self.rank: dict[Value, int] = {}  # of parts of a stack: others that are made of these come in the same order

    def run(self, groups: Sequence[list[int]]) -> Instructions:
        if not groups:
            return self.instructions
        instructions, left, end = self.instructions, self.left, 0
        for group in groups:
            self.at = group[0]
            self.result.take(instructions, end, self.at, left)
            self._write_group(instructions[self.at], group)
            end = self.at + 1
        self.result.take(instructions, end, len(instructions), left)
        return self.result

    def _write_group(self, i: Instruction, group: list[int]) -> None:
        all_reads, outs = self.instructions.reads, self.instructions.outs
        kind, key, size, made, rank = i.kind, self.keys[self.at], len(group), self.made, self.rank
        varied = key[0] if type(key) is tuple else range(len(i.reads))
        first = [all_reads[n][varied[0]] for n in group]
        order = [(made[x.number], rank.get(x, x.number)) for x in first]
        members = [group[k] for k in sorted(range(size), key=order.__getitem__)]
        operands = list(i.reads)
        for k in varied:
            column = tuple([all_reads[n][k] for n in members])
            if column not in self.stacks:
                out = self._new(column[0], size)
                stack = self.kinds.instruction(shapes._stack, column, {"axis": 0}, out)
                self.stacks[column] = self._write(stack)
            operands[k] = self.stacks[column]
        inputs, _ = kind.called_with(operands)
        whole = self._write(self.kinds.instruction(kind.primitive, tuple(inputs), {}, self._new(i.out, size)))
        parts = tuple([outs[n] for n in members])
        self.stacks[parts] = whole
        rank.update(zip(parts, range(size)))
        for n in group:
            self.left[n] = 0
        result = self.result
        for k, part in enumerate(parts):
            part.kind = self.kinds.entry(whole, k)
            result.kinds.append(part.kind)
        result.reads += [(whole,)] * size
        result.outs += parts

    def _new(self, like: Value, size: int) -> Value:
        return self.kinds.value(layout((size, *like.shape), like.dtype))

    def _write(self, i: Instruction) -> Value:
        """Append it, behind what it reads: views that are made further down, of what is there."""
        pending = self._missing(i)
        while pending:
            n = self.numbers[pending[-1].number]
            if deeper := self._missing(self.instructions[n]):
                pending += deeper
            else:
                pending.pop()
                if self.left[n]:
                    self.result.add(*self.instructions[n])
                    self.left[n] = 0
        self.result.add(*i)
        return i.out

    def _missing(self, i: Instruction) -> list[Value]:
        """What it reads that is not written yet."""
        numbers, known, left = self.numbers, len(self.numbers), self.left
        return [x for x in i.reads if x.number < known and numbers[x.number] >= self.at and left[numbers[x.number]]]
