"""Shortcuts of the walk. It gives the same without them, more slowly or with more memory."""

from __future__ import annotations

import math
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
    if x.primitive is not getitem or x.static or (x.retains_grad if walk.ends is None else x in walk.ends):
        return False
    source: Any = x.inputs[0]
    if source.order > x.order:
        raise changed(x, 0)
    collected = walk.sums[source]
    if type(collected) is not walk.sum_class:
        walk.sums[source] = collected = walk.sum_class(source, collected)
    collected.add_part(x.operands[1], term, view=True)
    return True


def is_like(term: Any, x: Node) -> bool:
    """Whether the term is a Tensor of the shape and dtype of x: alone, it needs no sum, which a trace makes many of."""
    return isinstance(term, Variable) and term._array.shape == x.shape and term._array.dtype is x.dtype


#: Arrays of more entries are filled part by part, smaller ones are sooner set to 0 before.
FILLED = 2**12
_ALL = slice(None)


def span_of(index: Any, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(axis, start, stop) of an index into a large array that takes these of one axis and all of every other, or None.

    They are one at least.
    """
    if math.prod(shape) <= FILLED:
        return None
    axis = 0
    if type(index) is tuple:
        for part in index[:-1]:
            if type(part) is not slice or part != _ALL:
                return None
            axis += 1
        index = index[axis] if index else None
    if type(index) is int and -shape[axis] <= index < shape[axis]:
        start = index % shape[axis]
        return axis, start, start + 1
    if type(index) is slice:
        start, stop, step = index.indices(shape[axis])
        return (axis, start, stop) if step == 1 and start < stop else None
    return None


class Filling:
    """A large array that is filled part by part along an axis: by a loop over x[t], or by gates that are cut from it.

    It need not be set to 0 before, but for what nobody fills. Without this an LSTM's step took 1.03 times as long at
    batch 64 (V, H, T = 65, 256, 64) and at batch 32 (65, 128, 50).
    """

    __slots__ = ("array", "axis", "low", "high")

    def __init__(self, node: Node, span: tuple[int, int, int]) -> None:
        self.array = np.empty(node.shape, node.dtype)
        self.axis, self.low, self.high = span[0], span[1], span[1]  # filled from low to high along the axis

    def fill(self, span: tuple[int, int, int], index: Any, g: Any) -> bool:
        """Whether g was copied to its part, outside of what is filled, or added to it, within."""
        axis, start, stop = span
        part, low, high = self.array[index], self.low, self.high
        shape = g.shape if type(g) is np.ndarray else np.shape(g)  # which takes longer, in each step of a loop
        if axis != self.axis or type(part) is not np.ndarray or part.shape != shape:
            return False
        if low <= start and stop <= high:
            part += g
        elif stop <= low:
            self._clear(stop, low)
            part[...], self.low = g, start
        elif high <= start:
            self._clear(high, start)
            part[...], self.high = g, stop
        else:
            return False
        return True

    def complete(self) -> np.ndarray:
        """The array, with 0 where it was not filled."""
        self._clear(0, self.low)
        self._clear(self.high, self.array.shape[self.axis])
        return self.array

    def _clear(self, start: int, stop: int) -> None:
        if start < stop:
            self.array[(*[_ALL] * self.axis, slice(start, stop))] = 0
