"""Shortcuts of the walk. It gives the same without them, more slowly or with more memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .record import Node, Variable
from .rule_errors import changed
from .shapes import getitem


def leaves_early(nodes: Sequence[Node]) -> list[Node]:
    """The same, each leaf right behind the last node made of it: a recorded sum then lets go of all that it kept.

    Else the cotangents of every layer would wait for the products with them, the weights' gradients, to the very end.
    """
    turn = {node: n for n, node in enumerate(nodes)}
    for n, node in enumerate(nodes):
        for x in node.inputs:
            if x is not None and x.primitive is None and x in turn:
                turn[x] = n
    return sorted(nodes, key=turn.__getitem__)


def handed_on(walk: Any, x: Node, term: np.ndarray) -> bool:
    """Whether x is a part, `source[index]`, that nobody asks for: the term is then added to the source at once.

    x would do no more, and needs no visit. Without this an LSTM's step took 1.09 to 1.12 times as long at batch 1
    (V, H, T = 65, 100, 25), 1.02 times at batch 32 (H = 128, T = 50).
    """
    if x.primitive is not getitem or x.static or x in walk.ends:
        return False
    source: Any = x.inputs[0]
    if source.order > x.order:
        raise changed(x, 0)
    collected = walk.sums[source]
    if type(collected) is not walk.sum_class:
        walk.sums[source] = collected = walk.sum_class(source, collected)
    collected.add_part(x.operands[1], term)
    return True


def is_like(term: Any, x: Node) -> bool:
    """Whether the term is a Tensor of the shape and dtype of x: alone, it needs no sum, which a trace makes many of."""
    return isinstance(term, Variable) and term._data.shape == x.shape and term._data.dtype is x.dtype


class Filling:
    """An array whose rows are filled one beside the other, as those of x are by a loop over x[t], from t = T - 1 or 0.

    It need not be set to 0 before. Without this an LSTM's step took 1.01 to 1.03 times as long at batch 64 (V, H, T =
    65, 256, 64), where the array has 17 MB; with shorter sequences as long as with it.
    """

    __slots__ = ("array", "low", "high")

    def __init__(self, node: Node, row: int) -> None:
        self.array = np.empty(node.shape, node.dtype)
        self.low = self.high = row

    def fill(self, row: int, g: Any) -> bool:
        """Whether g was put into this row, since it is beside those that are filled."""
        if not 0 <= row < len(self.array) or np.shape(g) != self.array.shape[1:]:
            return False
        if row == self.high:
            self.high += 1
        elif row == self.low - 1:
            self.low = row
        else:
            return False
        self.array[row] = g
        return True

    def complete(self) -> np.ndarray:
        """The array, with 0 in all other rows."""
        self.array[: self.low] = 0
        self.array[self.high :] = 0
        return self.array
