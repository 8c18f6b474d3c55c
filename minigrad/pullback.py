"""The cotangents of chosen tensors, as transforms want them: with a derivative in turn where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .backward import lineage, walk, walk_arrays
from .modes import recording
from .record import Variable


def pull(outputs: Sequence[Variable], cotangents: Sequence[Any], wrt: Sequence[Variable]) -> list[Any]:
    """The cotangents of `wrt` (None where nothing arrived): Tensors if they have a derivative in turn, else arrays."""
    pairs = [(y.node, g) for y, g in zip(outputs, cotangents, strict=True) if y.node is not None]
    ends = {x.node for x in wrt if x.node is not None}
    nodes, given = [node for node, _ in pairs], [g for _, g in pairs]
    tensors, foreign = lineage(nodes, ends)
    if recording() and (foreign or any(isinstance(g, Variable) and g.node is not None for g in given)):
        results = walk(nodes, given, True, ends, tensors)
    else:
        results = walk_arrays(nodes, given, ends, tensors)
    return [None if x.node is None else results.get(x.node) for x in wrt]
