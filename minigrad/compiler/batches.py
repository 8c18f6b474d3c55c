"""The pass that computes together what is alike in many steps of a loop."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import shapes
from ..primitive import Primitive
from .instruction import Instruction, Value

#: Arrays up to this size are computed together, as long as all of them together stay in a fast cache.
SMALL, TOGETHER = 64 * 1024, 256 * 1024


class _Candidate:
    """An instruction that may be computed with others: its operands that may differ, and what these others share."""

    __slots__ = ("instruction", "varied", "key", "nbytes")

    def __init__(self, instruction: Instruction, varied: list[int], key: int, nbytes: int) -> None:
        self.instruction, self.varied, self.key, self.nbytes = instruction, varied, key, nbytes


class _Group:
    """Candidates that are computed together, at the place of the first one, whose number this is."""

    __slots__ = ("first", "members")

    def __init__(self, first: int) -> None:
        self.first, self.members = first, list[_Candidate]()


def with_batches(instructions: Sequence[Instruction], numbers: Iterator[int]) -> Sequence[Instruction]:
    """Compute what is alike in several steps of a loop together, if it is small and does not wait for another step.

    f(x_0), f(x_1), ... become the parts of f(stack of all x), at the place of the first: elementwise f, with operands
    that are there by then. New values get the next of `numbers`.
    """
    candidates = _candidates(instructions)
    while True:  # what turns out to have few alike is computed where it was, and so there later than supposed
        groups, made = _grouped(instructions, candidates)
        few = [c.instruction.out for group in groups if len(group.members) < 4 for c in group.members]
        if not few:
            break
        for out in few:
            del candidates[out]
    return _Rewriting(instructions, made, numbers).run({group.first: group for group in groups})


def _candidates(instructions: Sequence[Instruction]) -> dict[Value, _Candidate]:
    """By what they compute."""
    found: dict[Value, _Candidate] = {}
    keys: dict[Any, int] = {}
    made: set[Value] = set()
    for i in instructions:
        out, shape = i.out, i.out.shape
        if i.kind is not None and not i.static and shape and _is_elementwise(i.primitive):
            varied, key = [], [i.kind, shape, out.dtype]
            for k, x in enumerate(i.inputs):
                if type(x) is Value:
                    if x.shape == shape and x in made:
                        varied.append(k)
                        x = x.dtype
                    key.append(x)
            nbytes = _nbytes(shape, out.dtype)
            if varied and 0 < nbytes <= SMALL:
                if len(varied) > 1:  # which of them are the same
                    key += [i.inputs.index(i.inputs[k]) for k in varied]
                found[out] = _Candidate(i, varied, keys.setdefault(tuple(key), len(keys)), nbytes)
        made.add(out)
    return found


def _is_elementwise(p: Primitive) -> bool:
    return isinstance(p.function, np.ufunc) and p.function.signature is None and p.pure


@functools.lru_cache(1024)
def _nbytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _grouped(
    instructions: Sequence[Instruction], candidates: dict[Value, _Candidate]
) -> tuple[list[_Group], dict[Value, int]]:
    """Groups of alike candidates, and after which instruction each value is there."""
    made: dict[Value, int] = {}
    groups: list[_Group] = []
    waiting: dict[Any, list[_Group]] = defaultdict(list)
    for n, i in enumerate(instructions):
        out = i.out
        made[out] = n if i.view is None else max([made.get(x, -1) for x in i.reads], default=-1)
        candidate = candidates.get(out)
        if candidate is None:
            continue
        there = max([made[i.inputs[k]] for k in candidate.varied])
        open_ = waiting[candidate.key]
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
        if len(group.members) * candidate.nbytes >= TOGETHER:
            open_.clear()
    return groups, made


class _Rewriting:
    """The list as it is written anew, with `whole = f(stacks)` and `part = whole[k]` in place of each group."""

    def __init__(self, instructions: Sequence[Instruction], made: dict[Value, int], numbers: Iterator[int]) -> None:
        self.instructions, self.made, self.numbers = instructions, made, numbers
        self.made_by = {i.out: i for i in instructions}
        self.result: list[Instruction] = []
        self.written: set[Value] = set()
        self.stacks: dict[tuple[Value, ...], Value] = {}
        self.rank: dict[Value, int] = {}  # of parts of a stack: others that are made of these come in the same order

    def run(self, starts: dict[int, _Group]) -> Sequence[Instruction]:
        if not starts:
            return self.instructions
        for n, i in enumerate(self.instructions):
            if n in starts:
                self._write_group(i, starts[n].members)
            elif i.out not in self.written:
                self.result.append(i)
                self.written.add(i.out)
        return self.result

    def _write_group(self, i: Instruction, members: list[_Candidate]) -> None:
        varied, size = members[0].varied, len(members)
        first = [m.instruction.inputs[varied[0]] for m in members]
        order = sorted(range(size), key=lambda k: (self.made[first[k]], self.rank.get(first[k], first[k].number)))
        members = [members[k] for k in order]
        operands = list(i.inputs)
        for k in varied:
            column = tuple([m.instruction.inputs[k] for m in members])
            if column not in self.stacks:
                out = self._new(column[0], size)
                self.stacks[column] = self._write(Instruction(shapes._stack, column, {"axis": 0}, out))
            operands[k] = self.stacks[column]
        whole = self._write(Instruction(i.primitive, tuple(operands), {}, self._new(i.out, size)))
        outs = tuple([m.instruction.out for m in members])
        self.stacks[outs] = whole
        for k, out in enumerate(outs):
            self.rank[out] = k
            self._write(Instruction(shapes.getitem, (whole, k), {}, out, 0))

    def _new(self, like: Value, size: int) -> Value:
        return Value(next(self.numbers), (size, *like.shape), like.dtype)

    def _write(self, i: Instruction) -> Value:
        """Append it, behind what it reads: views that are made further down, of what is there."""
        pending = [x for x in i.reads if x in self.made_by and x not in self.written]
        while pending:
            before = self.made_by[pending[-1]]
            deeper = [x for x in before.reads if x in self.made_by and x not in self.written]
            if deeper:
                pending += deeper
            else:
                pending.pop()
                if before.out not in self.written:
                    self.result.append(before)
                    self.written.add(before.out)
        self.result.append(i)
        self.written.add(i.out)
        return i.out
