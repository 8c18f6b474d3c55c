"""What a program is made of while it is rewritten: Values, and Instructions that compute one of them from others.

What many of them have in common is one object: the Layout of arrays that lie alike, the Kind of instructions that do
the same to other Values. A pass finds out what it wants to know of an instruction once for its kind.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from .. import ops, shapes
from ..primitive import Primitive
from ..tree import tree_leaves, tree_map
from .table import IMPURE, PARTS, takes_out


class Layout:
    """The shape, dtype and strides of arrays, and the bytes of one in C's order; made by `layout`, one for all.

    `exact` marks integers, which a trace does compute with.
    """

    __slots__ = ("shape", "dtype", "strides", "nbytes", "outline", "exact", "_entry")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.strides = shape, dtype, strides
        self.nbytes = dtype.itemsize * math.prod(shape)
        self.exact = dtype.kind not in "fb"
        self._entry: Layout | None = None
        #: an array like these that has the memory of one entry, 0: see `outline.py`
        self.outline = np.ndarray(shape, dtype, np.zeros((), dtype), 0, (0,) * len(shape))

    @property
    def entry(self) -> Layout:
        """How an entry of the first axis lies."""
        if self._entry is None:
            self._entry = layout(self.shape[1:], self.dtype, self.strides[1:])
        return self._entry

    def matches(self, other: Layout) -> bool:
        """Whether entries of both lie in the same pattern."""
        if self is other:
            return True
        if self.shape != other.shape or self.dtype != other.dtype:
            return False
        return all([s == t for s, t, n in zip(self.strides, other.strides, self.shape) if n > 1])

    def __repr__(self) -> str:
        """`f32[3,4]`."""
        return f"{self.dtype.kind}{self.dtype.itemsize * 8}[{','.join(map(str, self.shape))}]"


@functools.lru_cache(4096)
def layout(shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...] | None = None) -> Layout:
    """The Layout of arrays like this; without strides of those whose entries lie in C's order.

    Raises:
        TypeError: if the entries are Python's objects: the memory of a program holds no references.
    """
    if dtype.hasobject:
        raise TypeError(
            f"compile: an argument, or an array that the function reads, {shape} {dtype}, holds Python's objects, no "
            "real numbers; pass x.astype(float), or what is no number as a Python value or a tuple of these"
        )
    if strides is None:
        return layout(shape, dtype, tuple([dtype.itemsize * math.prod(shape[k + 1 :]) for k in range(len(shape))]))
    return Layout(shape, dtype, strides)


class Value:
    """An array of a program: its number, layout, and where it comes from if no instruction makes it.

    `source` is a leaf Tensor that the function closes over, or the number of an argument, or None. `plain` marks what
    is no Tensor in a plain run, but an array. `of` is the first Value that it equals, None if it is that itself. `kind`
    is that of the instruction that makes it, `reads` what it read when it was traced; None and () for what was not.
    `place` is where it lies, None until it has been laid out, see `places.py`.

    >>> import minigrad as mg
    >>> mg.traced(mg.tanh, np.ones((3, 4))).results
    v1:f64[3,4]
    """

    __slots__ = ("number", "layout", "source", "plain", "of", "kind", "reads", "place")

    def __init__(
        self, number: int, layout: Layout, source: Any = None, plain: bool = False, of: Value | None = None
    ) -> None:
        self.number, self.layout, self.source, self.plain, self.of = number, layout, source, plain, of
        self.kind: Kind | None = None
        self.reads: tuple[Value, ...] = ()
        self.place: Any = None

    shape = property(lambda self: self.layout.shape)
    dtype = property(lambda self: self.layout.dtype)

    def __repr__(self) -> str:
        return f"v{self.number}:{self.layout!r}"


#: What has at most so many bytes is small, see `batches.py`.
SMALL = 64 * 1024
#: NumPy 2.4 warns if these get `out` by position.
KEYWORD_OUT = np.maximum, np.minimum


class Kind:
    """What an instruction does, but for which Values it reads: primitive(*inputs, **static), a Layout for each Value.

    `layout` is that of the result, `base` the number of the Value whose memory the result shares, None if it has its
    own. `flat` tells that no Value is in a tuple among the inputs, or in static; `reads_only` that besides all inputs
    are Values; `pure`, `collects` and `takes_out` are what the table says. `product` is a @ b, `transpose` that of a
    matrix, `entry` the number k of x[k], None for all else. Of what is `elementwise`, `small` makes an array of at most
    `SMALL` bytes, `few` reads one or two arrays, all of the result's shape, `lean` any number of these and no more.
    `repeatable` tells that a trace knows what becomes of such a call without making it, `again` that there has been a
    second one. `found` is for what is found out about the kind later on.
    """

    __slots__ = (
        "primitive", "inputs", "static", "layout", "base", "flat", "reads_only", "pure", "collects", "takes_out",
        "product", "transpose", "entry", "elementwise", "small", "few", "lean", "repeatable", "again", "found",
    )  # fmt: skip

    def __init__(
        self,
        p: Primitive,
        inputs: tuple[Any, ...],
        static: dict[str, Any],
        layout: Layout,
        view: int | None,
        flat: bool = False,
    ) -> None:
        self.primitive, self.inputs, self.static, self.layout = p, inputs, static, layout
        read = [type(x) is Layout for x in inputs]
        self.flat = flat or sum(read) == sum([type(x) is Layout for x in tree_leaves((inputs, static))])
        self.reads_only = self.flat and all(read)
        self.base = sum(read[:view]) if view is not None and self.flat and read[view] else None
        self.pure, self.collects = p not in IMPURE, p in PARTS
        self.takes_out = takes_out(p.function) and 0 not in layout.shape
        self.product = p is ops.matmul and self.reads_only
        self.transpose = len(layout.shape) == 2 and self.flat and _is_transpose(p, inputs, static)
        self.entry = inputs[1] if p is shapes.getitem and self.base == 0 and type(inputs[1]) is int else None
        self._look_at_entries()
        self.repeatable = self.again = False
        self.found: dict[Any, Any] = {}

    def _look_at_entries(self) -> None:
        like, reads = self.layout, [x for x in self.inputs if type(x) is Layout]
        self.elementwise = self.flat and not self.static and is_elementwise(self.primitive)
        self.small = self.elementwise and 0 < like.nbytes <= SMALL and like.shape != ()
        alike = self.elementwise and all([x.shape == like.shape for x in reads])
        self.few = alike and 1 <= len(reads) <= 2
        self.lean = alike and self.reads_only and self.primitive.function not in KEYWORD_OUT

    def called_with(self, arrays: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Inputs and static, with these in place of the Values."""
        if self.reads_only:
            return arrays, self.static
        following = iter(arrays)
        if self.flat:
            return [next(following) if type(x) is Layout else x for x in self.inputs], self.static
        inputs, static = tree_map(lambda x: next(following) if type(x) is Layout else x, (self.inputs, self.static))
        return inputs, static

    def __repr__(self) -> str:
        return f"{as_text(self.primitive.name, self.inputs, self.static)} -> {self.layout!r}"


def is_elementwise(p: Primitive) -> bool:
    """Whether a primitive is a ufunc of NumPy that computes each entry from the inputs' entries at the same place."""
    f = p.function
    return isinstance(f, np.ufunc) and f.signature is None and f.nout == 1 and p not in IMPURE


def _is_transpose(p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> bool:
    """Whether it is the transpose of a matrix."""
    if p is shapes.swapaxes:
        return set(inputs[1:]) == {0, 1}
    return p is shapes.transpose and len(inputs) == 1 and not static


def as_text(name: str, inputs: Iterable[Any], static: dict[str, Any]) -> str:
    """A call as Python writes it."""
    return f"{name}({', '.join([*map(repr, inputs), *[f'{key}={x!r}' for key, x in static.items()]])})"


class Instruction(NamedTuple):
    """out = primitive(*inputs, **static): what it does, the Values that it reads, in order, and what comes out."""

    kind: Kind
    reads: tuple[Value, ...]
    out: Value

    def __repr__(self) -> str:
        kind = self.kind
        view = "" if kind.base is None else f"  # a view of {self.reads[kind.base]!r}"
        return f"{self.out!r} = {as_text(kind.primitive.name, *kind.called_with(self.reads))}{view}"


class Instructions(Sequence[Instruction]):
    """A list of instructions as three columns, so that a pass may read one of them alone: kinds, reads, outs.

    To keep an object for each instruction as well takes longer than some passes, and much memory in long loops.
    """

    __slots__ = ("kinds", "reads", "outs")

    def __init__(self) -> None:
        self.kinds: list[Kind] = []
        self.reads: list[tuple[Value, ...]] = []
        self.outs: list[Value] = []

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, n: Any) -> Any:
        return Instruction(self.kinds[n], self.reads[n], self.outs[n])

    def having(self, what: str) -> list[int]:
        """The numbers of those whose kind has this."""
        return [*compress(range(len(self)), map(attrgetter(what), self.kinds))]

    def rows(self) -> Iterator[tuple[Kind, tuple[Value, ...], Value]]:
        """What each does, reads and makes."""
        return zip(self.kinds, self.reads, self.outs)

    def backwards(self) -> Iterator[tuple[Kind, tuple[Value, ...], Value]]:
        """These from the last to the first."""
        return zip(reversed(self.kinds), reversed(self.reads), reversed(self.outs))

    def add(self, kind: Kind, reads: tuple[Value, ...], out: Value) -> None:
        """Append one."""
        self.kinds.append(kind)
        self.reads.append(reads)
        self.outs.append(out)

    def take(self, other: Instructions, start: int, end: int, marks: Sequence[int] | None = None) -> None:
        """Append those of another list from number `start` up to `end`; of these what has a mark other than 0."""
        for name in self.__slots__:
            old, new = getattr(other, name), getattr(self, name)
            for k in range(start, end, 512):  # what is copied twice is still in the processor's cache
                part = slice(k, min(k + 512, end))
                new += old[part] if marks is None else compress(old[part], marks[part])


class Kinds:
    """The Kinds of instructions, one for all that are equal, and the numbers of a program's Values.

    A compiled function keeps what it learns of Kinds from program to program, as long as there are not `MANY`.
    """

    MANY = 2048

    def __init__(self) -> None:
        self.lasting: dict[Any, Kind] = {}
        self.passing: dict[Any, Kind] = {}  # those that have more than constants in them
        self.known: dict[Any, Kind] = {}  # by all that decides what a call does, if no value does
        self.forms: dict[Any, Any] = {}  # of terms of cotangents, see `rules`
        self.sums: dict[Any, Any] = {}  # recipes for what adds them up, by their forms and layouts
        self.count = 0

    def settle(self) -> None:
        """Begin anew with the numbers, after a program; forget kinds that have more than constants in them."""
        self.count = 0
        self.passing.clear()
        if len(self.lasting) > self.MANY:
            self.lasting.clear()
            self.known.clear()
            self.forms.clear()
            self.sums.clear()

    def value(self, layout: Layout, source: Any = None, plain: bool = False, of: Value | None = None) -> Value:
        """A new Value."""
        self.count += 1
        return Value(self.count - 1, layout, source, plain, of)

    def kind(
        self,
        p: Primitive,
        inputs: tuple[Any, ...],
        static: dict[str, Any],
        layout: Layout,
        view: int | None = None,
        flat: bool = True,
    ) -> Kind:
        """The Kind of what reads these Values; `view` is the number of the input whose memory the result shares.

        `flat` tells that what else there is are constants, and that no Value is in a tuple or in static.
        """
        kinds = self.lasting if flat else self.passing
        key: list[Any] = [p, layout, view, identity(static) if static else 0]
        for x in inputs:
            key.append(x.layout if type(x) is Value else identity(x))
        kind = kinds.get(known := tuple(key))
        if kind is None:
            marked, static = tree_map(lambda x: x.layout if type(x) is Value else x, (inputs, static))
            kind = kinds[known] = Kind(p, marked, static, layout, view, flat)
        return kind

    def entry(self, x: Value, k: int) -> Kind:
        """The Kind of x[k], of which a loop has many; one for all x whose entries are alike, however many there are."""
        entry = x.layout.entry
        key = entry, k
        kind = self.lasting.get(key)
        if kind is None:
            kind = self.lasting[key] = Kind(shapes.getitem, (x.layout, k), {}, entry, 0, True)
            kind.repeatable = True
        return kind

    def instruction(
        self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any], out: Value, view: int | None = None
    ) -> Instruction:
        """An instruction that reads Values and constants, none of them in a tuple."""
        reads = tuple([x for x in inputs if type(x) is Value])
        return Instruction(self.kind(p, inputs, static, out.layout, view), reads, out)


_PLAIN = {int, type(None)}


def identity(x: Any) -> Any:
    """What is equal for two constants only if they always are: arrays may change, and 1 is not 1.0.

    Of a Value it is the layout. The order of a dict counts, since the Values in it are read in that order.
    """
    cls = type(x)
    if cls is int or cls is str or x is None or (cls is float and x):  # -0.0 is not 0.0
        return cls, x
    if cls is slice:
        start, stop, step = x.start, x.stop, x.step
        if type(start) in _PLAIN and type(stop) in _PLAIN and type(step) in _PLAIN:
            return cls, start, stop, step
        return cls, identity(start), identity(stop), identity(step)
    if cls is Value:
        return x.layout
    if cls is tuple or cls is list or hasattr(cls, "_make"):
        return cls, *map(identity, x)
    if cls is dict:
        return cls, *[(identity(key), identity(part)) for key, part in x.items()]
    if isinstance(x, (tuple, list, dict)):
        return object()  # may have more than its entries; and not its id, since it may be a copy that is soon gone
    if isinstance(x, np.dtype):
        return (cls, x) if x.isbuiltin == 1 else (cls, repr(x))
    return (cls, repr(x)) if isinstance(x, (int, float, np.generic)) else id(x)
