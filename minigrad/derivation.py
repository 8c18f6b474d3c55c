"""What is being differentiated: the inputs of the transforms (`grad` and its relatives) that are running now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .modes import recording
from .record import Node, Variable


class Derivation:
    """A block in which a function is differentiated with respect to `nodes`, which are newer than `start`.

    A function may close over other tensors; what is made of these alone is not being differentiated. `looked` tells
    whether the function has asked for values (`t.data`, `t.item()`), and so may have computed plain numbers from them.
    """

    def __init__(self, nodes: Iterable[Node | None], start: int) -> None:
        self.ends, self.start, self.looked = frozenset(nodes), start, False

    def __enter__(self) -> Derivation:
        running[self] = None
        return self

    def __exit__(self, *error: Any) -> None:
        del running[self]

    def reaches(self, made: Node) -> bool:
        """Whether a tensor was made from what is being differentiated."""
        seen, waiting = {made}, [made]
        while waiting:
            node = waiting.pop()
            if node in self.ends:
                return True
            if node.order > self.start:
                new = {source for source in node.inputs if source is not None and source not in seen}
                seen |= new
                waiting += new
        return False


#: Of all contexts, as a set: a function may hand its tensors on to threads, which have contexts of their own.
running: dict[Derivation, None] = {}


def being_differentiated(x: Variable) -> bool:
    """Whether a running transform differentiates through x, for which a record is kept."""
    node = x.node
    if node is None or not running or not recording():
        return False
    return any([derivation.reaches(node) for derivation in tuple(running)])


def looked_at(x: Variable) -> None:
    """Note that the values of x are handed to Python."""
    if running and x.node is not None:
        for derivation in tuple(running):
            derivation.looked = derivation.looked or derivation.reaches(x.node)
