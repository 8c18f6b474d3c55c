"""What is being differentiated: the inputs of the transforms (`grad` and its relatives) that are running now."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar, Token
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
        self.outer = running.get()
        if self.outer is not None:
            self.ends |= self.outer.ends
            self.start = min(start, self.outer.start)

    def __enter__(self) -> Derivation:
        self._token: Token[Derivation | None] = running.set(self)
        return self

    def __exit__(self, *error: Any) -> None:
        running.reset(self._token)
        if self.outer is not None:
            self.outer.looked = self.outer.looked or self.looked


running: ContextVar[Derivation | None] = ContextVar("minigrad.running", default=None)


def being_differentiated(x: Variable) -> bool:
    """Whether a running transform differentiates through x, for which a record is kept."""
    derivation = running.get()
    if x.node is None or derivation is None or not recording():
        return False
    seen, waiting = {x.node}, [x.node]
    while waiting:
        node = waiting.pop()
        if node in derivation.ends:
            return True
        if node.order > derivation.start:
            new = {source for source in node.inputs if source is not None and source not in seen}
            seen |= new
            waiting += new
    return False


def looked_at(x: Variable) -> None:
    """Note that the values of x are handed to Python."""
    derivation = running.get()
    if derivation is not None and x.node is not None:
        derivation.looked = True
