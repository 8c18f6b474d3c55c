"""The pass that computes together what is alike in many steps of a loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import shapes
from .passes import NEVER, identity
from .trace import Instruction, Value, values

#: Arrays up to this size are computed together, as long as all of them together stay in a fast cache.
SMALL, TOGETHER = 64 * 1024, 256 * 1024


@dataclass
class _Group:
    """Instructions that are alike, the number of the first one, and which of their operands differ."""

    first: int
    members: list[Instruction]
    columns: list[int]


def _alike(instructions: Sequence[Instruction], alone: set[Value]) -> tuple[list[_Group], dict[Value, int]]:
    """Groups of alike instructions, without those in `alone`, and after which instruction each value is there."""
    made: dict[Value, int] = {}
    groups: list[_Group] = []
    waiting: dict[Any, list[_Group]] = defaultdict(list)
    for n, i in enumerate(instructions):
        made[i.out] = max([made.get(x, -1) for x in values(i)], default=-1) if i.view is not None else n
        small = i.out.shape and 0 < i.out.nbytes <= SMALL
        if not small or i.out in alone or i.static or not _is_elementwise(i.primitive):
            continue
        columns = [k for k, x in enumerate(i.inputs) if x in made and x.shape == i.out.shape]
        rest = tuple(identity(x) for k, x in enumerate(i.inputs) if k not in columns)
        pattern = tuple((i.inputs.index(i.inputs[k]), i.inputs[k].dtype) for k in columns)
        key = (i.primitive, i.out.shape, i.out.dtype, pattern, rest)
        there = max((made[i.inputs[k]] for k in columns), default=NEVER)
        group = next((g for g in waiting[key] if there < g.first), None)
        if group is None:
            group = _Group(n, [], columns)
            groups.append(group)
            waiting[key] = [*waiting[key][:7], group]  # later ones mostly wait for one another: keep the early ones
        group.members.append(i)
        made[i.out] = group.first
        if len(group.members) * i.out.nbytes >= TOGETHER:
            waiting[key].clear()
    return groups, made


def with_batches(instructions: Sequence[Instruction], count: int) -> list[Instruction]:
    """Compute what is alike in several steps of a loop together, if it is small and does not wait for another step.

    f(x_0), f(x_1), ... become the parts of f(stack of all x), at the place of the first: elementwise f, with operands
    that are there by then. `count` as above.
    """
    alone: set[Value] = set()
    while True:  # what turns out to have few alike is computed where it was, and so there later than supposed
        groups, made = _alike(instructions, alone)
        few = {i.out for group in groups if len(group.members) < 4 for i in group.members}
        if not few:
            break
        alone |= few
    starts = {group.first: group for group in groups}
    made_by = {i.out: i for i in instructions}
    result: list[Instruction] = []
    written: set[Value] = set()
    stacks: dict[tuple[Value, ...], Value] = {}
    rank: dict[Value, int] = {}  # of parts of a stack: others that are made of these come in the same order

    def write(p: Any, inputs: tuple[Any, ...], static: dict[str, Any], out: Value, view: int | None = None) -> Value:
        pending = [x for x in inputs if isinstance(x, Value) and x in made_by and x not in written]
        while pending:  # views that are made further down, of what is there
            i = made_by[pending[-1]]
            deeper = [x for x in values(i) if x in made_by and x not in written]
            if deeper:
                pending += deeper
            else:
                pending.pop()
                if i.out not in written:
                    result.append(i)
                    written.add(i.out)
        result.append(Instruction(p, inputs, static, out, view))
        written.add(out)
        return out

    def new(like: Value, size: int) -> Value:
        nonlocal count
        count += 1
        return Value(count, np.broadcast_to(np.empty((), like.dtype), (size, *like.shape)))

    for n, i in enumerate(instructions):
        if n in starts:
            columns, size = starts[n].columns, len(starts[n].members)
            first = [m.inputs[columns[0]] for m in starts[n].members]
            order = sorted(range(size), key=lambda k: (made[first[k]], rank.get(first[k], first[k].number)))
            members = [starts[n].members[k] for k in order]
            operands = list(i.inputs)
            for k in columns:
                column = tuple(m.inputs[k] for m in members)
                if column not in stacks:
                    stacks[column] = write(shapes._stack, column, {"axis": 0}, new(column[0], size))
                operands[k] = stacks[column]
            whole = write(i.primitive, tuple(operands), {}, new(i.out, size))
            stacks[tuple(m.out for m in members)] = whole
            for k, m in enumerate(members):
                rank[m.out] = k
                write(shapes.getitem, (whole, k), {}, m.out, 0)
        elif i.out not in written:
            result.append(i)
            written.add(i.out)
    return result


def _is_elementwise(p: Any) -> bool:
    return isinstance(p.function, np.ufunc) and p.function.signature is None and p.pure
