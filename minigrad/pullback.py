"""The cotangents of chosen tensors, as transforms want them: with a derivative in turn where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .backward import lineage, walk, walk_arrays
from .interpretation import interpreted
from .modes import recording
from .ops import positive
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


@interpreted
def let_go(inputs: Sequence[Variable]) -> None:
    """Have inputs of a transform that were leaves be none any more, since nobody will ask for their gradient.

    Else the results of an outer transform, which are made of them, would have a derivative, and keep a record for it.
    """
    for x in inputs:
        if x.node is not None and x.node.primitive is None:
            x.node.primitive = positive
