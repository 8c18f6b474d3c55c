"""The cotangents of chosen tensors, as transforms want them: with a derivative in turn where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .backward import lineage, walk, walk_arrays
from .interpretation import interpreted
from .modes import recording
from .ops import positive
from .record import Variable
from .tree import tree_leaves, tree_map


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


def released(y: Any, inputs: Sequence[Variable]) -> Any:
    """y for the caller: with its record if that leads further than `inputs`, else without, so that it can be freed."""
    ends = {x.node for x in inputs if x.node is not None}
    return y if y.node is not None and recording() and lineage([y.node], ends)[1] else y.detach()


def released_in(tree: Any, inputs: Sequence[Variable]) -> Any:
    """A tree whose Tensors, if it holds any that have a record, are `released`."""
    if not any([isinstance(x, Variable) and x.node is not None for x in tree_leaves(tree)]):
        return tree
    return tree_map(lambda x: released(x, inputs) if isinstance(x, Variable) else x, tree)


@interpreted
def let_go(inputs: Sequence[Variable]) -> None:
    """Have inputs of a transform that were leaves be none any more, since nobody will ask for their gradient.

    Else the results of an outer transform, which are made of them, would have a derivative, and keep a record for it.
    """
    for x in inputs:
        if x.node is not None and x.node.primitive is None:
            x.node.primitive = positive
