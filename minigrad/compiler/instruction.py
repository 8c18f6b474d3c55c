"""What a program is made of while it is rewritten: Values, and Instructions that compute one from others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..primitive import Primitive
from ..tree import tree_leaves


class Value:
    """An array of a program: its number, shape and dtype, and where it comes from if no instruction makes it.

    `source` is a leaf Tensor that the function closes over, or the number of an argument, or None. `plain` marks what
    is no Tensor in a plain run, but an array. `of` is the first Value that it equals, None if it is that itself.
    `outlined` tells that the trace did not compute it.
    """

    __slots__ = ("number", "shape", "dtype", "source", "plain", "of", "outlined")

    def __init__(
        self,
        number: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        source: Any = None,
        plain: bool = False,
        of: Value | None = None,
    ) -> None:
        self.number, self.shape, self.dtype, self.source, self.plain = number, shape, dtype, source, plain
        self.of, self.outlined = of, False

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"v{self.number}:{short(self.dtype, self.shape)}"


class Instruction:
    """out = primitive(*inputs, **static), with Values for arrays; `view` numbers the input whose memory out shares.

    `reads` are the Values among inputs and static, in order. Two instructions of one trace have the same `kind` if they
    differ in these alone; it is None for those that a pass has made.
    """

    __slots__ = ("primitive", "inputs", "static", "out", "view", "reads", "kind")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Any, ...],
        static: dict[str, Any],
        out: Value,
        view: int | None = None,
        reads: list[Value] | None = None,
        kind: int | None = None,
    ) -> None:
        self.primitive, self.inputs, self.static, self.out, self.view = primitive, inputs, static, out, view
        self.reads = [x for x in inputs if type(x) is Value] if reads is None else reads
        self.kind = kind

    def read(self, *inputs: Any) -> None:
        """Have it read other inputs, none of them a tree."""
        self.inputs, self.kind = inputs, None
        self.reads = [x for x in inputs if type(x) is Value]

    @property
    def flat(self) -> bool:
        """Whether all Values that it reads are inputs, none in a tuple among these or in static."""
        return len(self.reads) == sum([type(x) is Value for x in self.inputs])

    def __repr__(self) -> str:
        words = [*map(repr, self.inputs), *[f"{key}={x!r}" for key, x in self.static.items()]]
        view = "" if self.view is None else f"  # a view of {self.inputs[self.view]!r}"
        return f"{self.out!r} = {self.primitive.name}({', '.join(words)}){view}"


def short(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    """`f32[3,4]`, as in a program's text."""
    return f"{dtype.kind}{dtype.itemsize * 8}[{','.join(map(str, shape))}]"


def values(tree: Any) -> list[Value]:
    """The Values in a tree."""
    return [x for x in tree_leaves(tree) if type(x) is Value]


_PLAIN = {int, type(None)}


def identity(x: Any) -> Any:
    """What is equal for two constants only if they always are: arrays may change, and 1 is not 1.0. 0 for a Value."""
    kind = type(x)
    if kind is Value:
        return 0
    if kind is int or kind is str or x is None or (kind is float and x):  # -0.0 is not 0.0
        return kind, x
    if kind is slice:
        ends = x.start, x.stop, x.step
        return kind, *(ends if _PLAIN.issuperset(map(type, ends)) else map(identity, ends))
    if kind is tuple or kind is list:
        return kind, *[identity(part) for part in x]
    if kind is dict:
        return kind, *[(key, identity(part)) for key, part in sorted(x.items())]
    return (kind, repr(x)) if isinstance(x, (int, float, np.generic, np.dtype)) else id(x)
