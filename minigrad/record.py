"""What a record consists of: tensors' Nodes, each of which knows how its array was made, and terms of cotangents."""

from __future__ import annotations

import itertools
import math
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from .naming import entry

# Numbers every Node when it is made (and a leaf's again when its data change), so it orders a record topologically.
clock = itertools.count().__next__
NO_STATIC: dict[str, Any] = {}  # one for all: a record of many objects keeps the garbage collector busy


class Node:
    """One entry of the record: how an array was made, and where its gradient is collected."""

    __slots__ = (
        "primitive", "inputs", "operands", "value", "static", "order", "cls", "shape", "dtype", "view",
        "grad", "retains_grad", "origin", "line", "stands_for", "collector", "__weakref__",
    )  # fmt: skip

    primitive: Any  # what made it; None marks a leaf
    inputs: tuple[Node | None, ...]  # Nodes of the inputs, None for those that require no gradient
    # What rules are called with. An array that none of them reads is not kept: its Node stands for it among the
    # operands, None for the result.
    operands: tuple[Any, ...]
    value: np.ndarray | None
    static: dict[str, Any]  # keyword arguments
    order: int  # the number from `clock`
    cls: type[Variable]  # the class of the tensor
    shape: tuple[int, ...]
    dtype: np.dtype
    view: bool  # whether its memory is that of another array
    grad: np.ndarray | None
    retains_grad: bool
    # These four need not be there:
    origin: Any  # where it was made, under `record_details` and `detect_anomaly`
    line: tuple[CodeType, int]  # the code and the instruction of the call, of a primitive declared outside of minigrad
    stands_for: Any  # what an `Interpretation` in which it was made knows it by
    collector: Node | None  # the node that has its gradient, if that is another one; None if none has, see `tap`

    def __init__(
        self, cls: type[Variable], array: np.ndarray, primitive: Any = None, inputs: tuple[Node | None, ...] = ()
    ) -> None:
        self.primitive, self.inputs, self.operands, self.value, self.static = primitive, inputs, (), None, NO_STATIC
        self.order, self.cls, self.shape, self.dtype, self.view = clock(), cls, array.shape, array.dtype, False
        self.grad, self.retains_grad = None, False

    def __repr__(self) -> str:
        return entry(self)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))

    def tensor(self, array: np.ndarray) -> Any:
        """A tensor of these values that continues this record."""
        t = object.__new__(self.cls)
        t._array, t.node = array, self
        if hasattr(self, "stands_for"):
            t.stands_for = self.stands_for
        return t

    def opened(self) -> tuple[Any, ...]:
        """The result and the operands as tensors that continue the record."""
        pairs = zip((self, *self.inputs), (self.value if self.value is not None else self, *self.operands))
        return tuple([x if node is None or x is node else node.tensor(x) for node, x in pairs])


class Variable:
    """An array and, if it requires a gradient, its Node; `Tensor` is this with operators and methods."""

    __slots__ = ("_array", "node", "stands_for", "_role", "_frozen", "__weakref__")

    _array: np.ndarray  # under no name that others ask for: np.ma takes the `_data` of whatever has it
    node: Node | None
    stands_for: Any  # as of a Node, if it is there
    _role: str | None  # what a leaf that takes no gradient is for those who save it, if it is there: see `Tensor.role`
    _frozen: Node  # the Node that a frozen leaf had, and takes again once it is no more, if it is there


class At(NamedTuple):
    """A cotangent that is `g` at `index` and zero elsewhere; contributions at a repeated index add up.

    >>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> second = mg.primitive(lambda x: x[1], lambda g, y, x: mg.At(1, g), name="second")
    >>> second(x).backward()
    >>> x.grad
    array([0., 1., 0.])
    """

    index: Any
    g: Any


class Product(NamedTuple):
    """A cotangent `x^T g`, not multiplied yet: x (N, I), g (N, O). Many of them become one matrix product.

    >>> times = mg.primitive(lambda x, W: x @ W, None, lambda g, y, x, W: mg.Product(x, g), name="times")
    >>> W = mg.tensor([[1.0], [2.0]], requires_grad=True)
    >>> times(np.array([[3.0, 4.0]]), W).backward([[1.0]])
    >>> W.grad.tolist()
    [[3.0], [4.0]]
    """

    x: Any
    g: Any
