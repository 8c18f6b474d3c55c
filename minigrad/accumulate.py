"""The one place where cotangents are summed.

A tensor collects terms: arrays (of its shape, or of the shape it was broadcast to), `At` and `Product`. `ArraySum` adds
arrays as they come, into one buffer; `RecordedSum` keeps Tensors and adds them by primitives, so that a sum can itself
be differentiated. Neither ever writes into an array that it did not make.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import ops
from .messages import check_operand, describe
from .ops import matmul
from .record import At, Node, Product, Variable
from .rule_errors import check_product
from .shapes import add_at, astype, check_part, concatenate, part_shape, place, reshape, swapaxes
from .shortcuts import Filling, span_of

# Rows of x and g that wait for one x^T g. Longer queues make no faster product, but push other data out of the cache.
QUEUED_ROWS = 512


def sum_down(g: Any, shape: tuple[int, ...], output: tuple[int, ...]) -> Any:
    """g, of a shape that `shape` was broadcast to on the way to `output`, summed down to `shape`.

    Leading axes go, then axes of size 1 are summed where g's are longer. Raises ValueError if g has neither its input's
    shape, nor the output's, nor the output's leading axes (a batch of matrices) before its own last two.
    """
    lead = g.ndim - len(shape)
    fits = g.shape in (output, output[:-2] + shape[-2:]) and lead >= 0
    if not fits or any([n not in (1, m) for n, m in zip(shape, g.shape[lead:], strict=True)]):
        raise ValueError(f"returned a cotangent of shape {g.shape} for an input of shape {shape}")
    axes = [k for k in range(g.ndim) if k < lead or shape[k - lead] != g.shape[k]]
    return reshape(ops.sum(g, axis=tuple(axes)), shape)


def fitted(term: Any, node: Node, output: tuple[int, ...]) -> Any:
    """A term, an array or a Tensor of real numbers, in the node's shape: summed down to it if need be."""
    check_operand("returned a cotangent that cannot be added", term)
    g, term = term, term if isinstance(term, Variable) else np.asarray(term)
    if term.dtype.kind not in "fiub":
        raise TypeError(f"returned {describe(g)}, no cotangent, for an input of dtype {node.dtype}")
    return term if term.shape == node.shape else sum_down(term, node.shape, output)


class ArraySum:
    """A running sum of plain arrays: the first is borrowed, the second makes an owned buffer, the rest add to it."""

    __slots__ = ("node", "sum", "owned", "queue", "rows", "filling")

    def __init__(self, node: Node, first: np.ndarray | None = None) -> None:
        self.node, self.sum, self.owned = node, first, False
        self.queue: list[Product] | None = None
        self.filling: Filling | None = None  # a shortcut, in place of the sum

    def add(self, term: Any, output: tuple[int, ...]) -> None:
        """Add a term that a rule returned for an output of this shape."""
        if type(term) is At:
            self.add_part(term.index, term.g)
        elif type(term) is Product:
            self.add_product(term)
        else:
            if type(term) is not np.ndarray or term.shape != self.node.shape or term.dtype is not self.node.dtype:
                term = np.asarray(fitted(term, self.node, output)).astype(self.node.dtype, copy=False)
            if self.filling is not None:
                self._buffer()
            if self.sum is None:
                self.sum = term
            elif self.owned:
                self.sum += term
            else:
                self.sum, self.owned = np.asarray(self.sum + term), True

    def add_part(self, index: Any, g: Any, view: bool = False) -> None:
        """Add g to the part at `index`; a `view` is likely a part of the same memory, of which g has the shape."""
        if self.sum is None and (span := span_of(index, self.node.shape)) is not None:
            self.filling = self.filling or Filling(self.node, span)
            if self.filling.fill(span, index, g):
                return
        buffer: Any = self.sum if self.owned else self._buffer()
        if view and (part := buffer[index]).base is buffer:
            part += g  # as `add_at` does, in 0.6 of its time
        else:
            add_at(buffer, index, g)

    def add_product(self, term: Product) -> None:
        """Add x^T g, once there are enough rows for all of them to be one product."""
        check_product(term, self.node.shape)
        if self.queue is None:
            self.queue, self.rows = [], 0
        self.queue.append(term)
        self.rows += len(term.x)
        if self.rows >= QUEUED_ROWS:
            self._multiply()

    def _multiply(self) -> None:
        queue, self.queue = self.queue or [], None
        x, g = [part[0] if len(part) == 1 else np.concatenate(part) for part in zip(*queue, strict=True)]
        self.owned |= self.sum is None
        self.add((x.T @ g).reshape(self.node.shape), ())

    def _buffer(self) -> np.ndarray:
        """The sum so far, in memory of its own."""
        if self.filling is not None:
            self.sum, self.filling = self.filling.complete(), None
        elif self.sum is None:
            self.sum = np.zeros(self.node.shape, self.node.dtype)
        elif not self.owned:
            self.sum = self.sum.copy()
        self.owned = True
        return self.sum

    def total(self, owned: bool = False) -> Any:
        """The sum of the terms, None if there are none; `owned` makes sure that nobody else holds its memory."""
        if self.queue:
            self._multiply()
        return self._buffer() if owned or self.filling is not None else self.sum


class RecordedSum:
    """The same for Tensors: terms are kept, and added up by primitives when all are there."""

    def __init__(self, node: Node, first: Any = None) -> None:
        self.node = node
        self.terms = [] if first is None else [first]

    def add(self, term: Any, output: tuple[int, ...]) -> None:
        """Add a term that a rule returned for an output of this shape."""
        if isinstance(term, Product):
            check_product(term, self.node.shape)
        elif isinstance(term, At):
            check_part(term.g, part_shape(self.node.shape, term.index))
        else:
            term = fitted(term, self.node, output)
        self.terms.append(term)

    def add_part(self, index: Any, g: Any, view: bool = False) -> None:
        """Add g to the part at `index`."""
        self.add(At(index, g), ())

    def total(self, owned: bool = False) -> Any:
        """The sum, None if there are no terms, a Tensor if any is one; nothing writes into it, so it may be shared."""
        shape, dtype = self.node.shape, self.node.dtype
        parts = [term for term in self.terms if isinstance(term, At)]
        products = [term for term in self.terms if isinstance(term, Product)]
        terms = [term for term in self.terms if not isinstance(term, (At, Product))]
        if parts:
            # an array is a part as well: the others are added to it, not to zeros first
            parts = [At(..., g) for g in terms[:1]] + parts
            indices = tuple(part.index for part in parts)
            terms[:1] = [place(*[part.g for part in parts], indices=indices, shape=shape, dtype=dtype)]
        if products:
            oldest_first = products[::-1]  # the order of a loop's steps, and perhaps that in memory
            x, g = [part[0] if len(part) == 1 else concatenate(part) for part in zip(*oldest_first, strict=True)]
            terms.append(reshape(matmul(swapaxes(x, 0, 1), g), shape))
        if not terms:
            return None
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total if total.dtype == dtype else astype(total, dtype)
