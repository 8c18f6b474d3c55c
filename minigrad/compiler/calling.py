"""What a call of a primitive is while a function is traced: a Tensor that stands for the result, and an instruction.

Most calls are like an earlier one: the same primitive, constants, and layouts. What they do is `known`, see `Kinds`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from .. import ops, shapes
from ..callers import user_line
from ..derivation import running
from ..generators import States, is_generator
from ..keeping import LIKE_ARRAYS
from ..lending import Lending, read_only
from ..messages import MASKABLE, check_unmasked
from ..modes import recording
from ..primitive import Primitive
from ..record import Node, Variable
from ..tensor import Tensor
from ..tree import tree_leaves, tree_map
from .instruction import Kind, Kinds, Value, identity, layout
from .listing import CONSTANT, Listing, is_constant
from .outline import SHAPED, outline
from .rules import Noted
from .table import COMPOSED, IMPURE

_LIKE_ARRAYS = {tuple, *LIKE_ARRAYS}


class Calling(Listing):
    """A listing that answers calls of primitives: each with a Tensor that stands for the result."""

    def __init__(self, kinds: Kinds | None, once: bool) -> None:
        super().__init__(kinds, once)
        self.tensors: dict[int, Variable] = {}  # Tensors that share the memory of constants, by the ids of these
        self.generators = States()  # random generators, as they were before the trace
        self.ruleless: list[tuple[Primitive, Node]] = []  # what has no rule, and what it was called on

    def call(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """A call of a primitive: its result as a Tensor, and an instruction."""
        if static and p is shapes.getitem and static.keys() == {"index"}:
            inputs, static = (*inputs, static["index"]), {}
        if p in COMPOSED:
            return COMPOSED[p](*inputs, **static)
        key, reads, made_of = self._look_at(p, inputs, static)
        kind = self.kinds.known.get(key)
        if kind is None and p is shapes.getitem and len(inputs) == 2 and None not in key:
            kind = self._picked(reads[0], inputs[1])
        if kind is None:
            return self._first_call(p, inputs, static, key, made_of)
        kind.again = True
        if p is shapes.getitem:
            made_of[3][1:] = kind.inputs[1:]  # one index for all turns of a loop
        return self._result(kind.layout.outline, kind, reads, inputs, static, made_of)

    def _plainer(self, p: Primitive, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The inputs as what Python or NumPy would make of them before all else; None if they are that."""
        given = _as_arrays(p, inputs)
        if p is shapes.getitem and len(inputs) == 2 and (index := self._settled(inputs[1])) is not inputs[1]:
            return (given or inputs)[0], index
        return given

    def _settled(self, index: Any) -> Any:
        """The index with integers in place of arrays that slices begin or end with: settings, as Python reads them."""
        if type(index) is tuple:
            parts = tuple([self._settled(part) for part in index])
            return index if all(map(operator.is_, parts, index)) else parts
        ends = (index.start, index.stop, index.step) if type(index) is slice else ()
        counts = [x for x in ends if isinstance(x, np.ndarray) and not x.ndim and x.dtype.kind in "iu"]
        self.note_settings(counts, (np.ndarray,))
        return slice(*[x.item() if any([x is n for n in counts]) else x for x in ends]) if counts else index

    def _picked(self, x: Value, index: Any) -> Kind | None:
        """The kind of x[index] for an integer, of which there is another one in each turn of a loop; else None."""
        shape = x.layout.shape
        if type(index) is not int or len(shape) < 2 or not -shape[0] <= index < shape[0]:
            return None
        return self.kinds.entry(x, index)

    def _look_at(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """What decides what a call does, the Values that it reads, and what `_result` makes its tensor of.

        There is a None in what decides if values do: nothing is known of such a call before it is made.
        """
        key: list[Any] = [p]
        reads: list[Any] = []
        sources: list[Node | None] = []
        operands: list[Any] = []
        cls, plain, wanted = None, True, 0
        for x in inputs:
            if type(x) is Tensor or isinstance(x, Variable):
                cls, node = cls or type(x), x.node
                try:
                    value = x.stands_for
                    plain = plain and value.plain
                    if node is not None and node.primitive is None:
                        node.stands_for = value  # a leaf may have got its node later
                    value = value.of or value
                except AttributeError:
                    value = self.value_of(x)
                    plain = plain and id(x) in self.wrapped
                # what is done to integers is quick, and its errors may depend on them
                key.append(None if value.layout.exact else value.layout)
                reads.append(value)
                wanted += node is not None
                sources.append(node)
                operands.append(x if node is None else x._array)
            else:
                key.append(_key_of(x))
                sources.append(None)
                operands.append(x)
        for name, x in static.items():
            key += name, _key_of(x)
        return tuple(key), tuple(reads), (cls or Tensor, plain, sources, operands, wanted)

    def _first_call(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any], key: Any, made_of: Any) -> Any:
        """A call that is not `known`: its outline or the primitive itself says what becomes of it."""
        tensors, arrays, flat = _flat(inputs, static)
        if not flat:
            self._note_given(p, inputs, static)
        if (given := self._plainer(p, inputs)) is not None:
            return self.call(p, given, static)
        if not flat:
            tensors, inputs, arrays = self._opened(p, inputs, static)
            *_, (_, _, *made_of) = self._look_at(p, inputs, static)
            made_of = type(tensors[0]) if tensors else Tensor, self.all_plain(tensors), *made_of
        if tensors:
            p.check_arguments(inputs, static)
        y = outline(p, arrays, static) if tensors else None
        view, called = None, y is None
        if y is None:
            y = self._called(p, inputs, static, arrays)
            if not tensors and p not in IMPURE:
                self.note_settings((*inputs, *static.values()), (np.ndarray,))
                return y
            y = y if type(y) is np.ndarray else p.array_of(y)
            view = _viewed(p, y, arrays)
            if view is not None:  # no call makes it: what says its shape is a setting
                self.note_settings((*inputs[len(p.rules) :], *static.values()), (np.ndarray,))
        self._check_result(p, y, tensors, inputs, real=flat and p in SHAPED and not static)
        kind, reads = self.write(p, inputs, static, layout(y.shape, y.dtype), flat, view)
        if None not in key and _is_determined(p, y):
            kind.repeatable = True
            self.kinds.known[key] = kind
        out = self._result(y, kind, reads, inputs, static, made_of)
        if called and p not in SHAPED:
            self.arrays.setdefault(self.value_of(out), y)
        return out

    def _note_given(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> None:
        """Raise for a masked array; note what the primitive reads once, while it is traced."""
        given = *inputs, *static.values()
        for x in given:
            if isinstance(x, MASKABLE):
                check_unmasked(f"{p.name}: an argument", x)
        self.note_settings(given, (list,))
        if p in SHAPED and p is not shapes.getitem:  # integers say a shape or axes
            fixed = [x for name, x in static.items() if name != "indices"]
            fixed += [x for k, x in enumerate(inputs) if type(x) is tuple or k >= len(p.rules) > 0]
            self.note_settings([x for x in fixed if not is_floating(x)], (np.ndarray,))

    def _check_result(self, p: Primitive, y: np.ndarray, tensors: Any, inputs: tuple[Any, ...], real: bool) -> None:
        """Raise for a result that has no real numbers, or that would lose a gradient; note what has no rule."""
        if not real and y.dtype.kind not in "fiub":
            p.array_of(y)
        if not p.differentiable:
            if running:
                p.constant(y, inputs)
            if not p.piecewise_constant and y.dtype.kind == "f":
                self.ruleless += [(p, x.node) for x in tensors if x.node is not None]

    def _result(
        self,
        y: np.ndarray,
        kind: Kind,
        reads: tuple[Value, ...],
        inputs: tuple[Any, ...],
        static: dict[str, Any],
        made_of: Any,
    ) -> Any:
        """The result y of a call as a tensor, and the call written down."""
        cls, plain, sources, operands, wanted = made_of
        p = kind.primitive
        definition = p.definition
        out: Any = object.__new__(cls)  # __init__ would take as long as all the rest
        out._array, out.node = y, None
        if not definition.differentiable:
            plain = True
        elif wanted and recording() and y.dtype.kind == "f":
            node = out.node = definition.record(p, out, inputs, sources, wanted, operands, static)
            node.shape = kind.layout.shape  # one tuple for all
        self.name(out, plain, self.add(kind, reads, plain) if p is not ops.positive else reads[0])
        if self.noted is not None:
            self.noted.append(Noted(kind if kind.repeatable else None, inputs, out))
        return out

    def _called(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any], arrays: list[Any]) -> Any:
        """What the primitive returns for `arrays`: the real ones, put into these, of all that it may look at."""
        picked = p is shapes.getitem and not is_constant(inputs[1])
        if p not in SHAPED:
            arrays[:], static = tree_map(self.real, list(inputs)), tree_map(self.real, static)
        elif picked:
            arrays[1] = tree_map(self.real, inputs[1])
        elif static:
            static = tree_map(plain_data, static)
        if p in IMPURE:
            self._keep_generator(inputs)
        try:
            y = p.function(*[read_only(x) for x in arrays] if isinstance(p, Lending) else arrays, **static)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise p.explained(error, inputs, arrays, static) from error
        if picked:
            self._check_index(inputs[1])
        return y

    def _opened(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """The Tensors among inputs and static that hold trees or arrays, the inputs, and these as plain arrays."""
        tensors = [x for x in tree_leaves((inputs, static)) if isinstance(x, Variable)]
        if tensors and p is not shapes.getitem:
            ruled = len(p.rules) or len(inputs)
            inputs = tuple([self._operand(x, k < ruled) for k, x in enumerate(inputs)])
        return tensors, inputs, [tree_map(plain_data, x) for x in inputs] if tensors else list(inputs)

    def _operand(self, x: Any, ruled: bool) -> Any:
        """An array or a list as a Tensor, but for a shape, axes or the like: integers for which there is no rule."""
        if not isinstance(x, (np.ndarray, list)):
            return x
        if ruled or is_floating(x):
            return self.constant(x)
        if not isinstance(x, np.ndarray) or x.ndim:
            return x
        self.note_settings([x], (np.ndarray,))
        return x.item()

    def _check_index(self, index: Any) -> None:
        if any([x._array.dtype == bool for x in tree_leaves(index) if isinstance(x, Variable)]):
            self.refuse("t[mask]", ", whose shape depends on the mask's values,")

    def constant(self, x: Any) -> Variable:
        """A Tensor for an array that is closed over, so that what rules compute from it is recorded as well."""
        if id(x) not in self.tensors:
            self.read(x)
            self.tensors[id(x)] = Tensor._sharing(np.asarray(x))
            self.wrapped.add(id(self.tensors[id(x)]))
        return self.tensors[id(x)]

    def all_plain(self, given: Iterable[Any]) -> bool:
        """Whether all tensors among these are plain."""
        return all([self.is_plain(x) for x in given if isinstance(x, Variable)])

    def is_plain(self, x: Variable) -> bool:
        """Whether a tensor stands for a plain array."""
        try:
            return x.stands_for.plain  # type: ignore[no-any-return]
        except AttributeError:
            return id(x) in self.wrapped

    def refuse(self, what: str, which: str = "") -> NoReturn:
        """Raise for a look at values: by `what`, as Python writes it, and a remark on `which` values."""
        raise TypeError(
            f"compile: `{what}`{which} looks at values at {user_line()}, but the function is being traced, once for "
            "all values that may come; compute with Tensors (mg.where instead of `if`), or do this outside of the "
            "function"
        )

    def _keep_generator(self, inputs: tuple[Any, ...]) -> None:
        for x in inputs:
            generator = getattr(x, "__self__", x)
            if is_generator(generator):
                self.generators.add(generator)


def _as_arrays(p: Primitive, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The inputs, those as arrays that NumPy reads as such, and are no shape, axes or index; None if there are none."""
    if p not in SHAPED:
        return None
    ruled = len(p.rules) or len(inputs)
    read = [type(x) in _LIKE_ARRAYS and (type(x) is not tuple or is_constant(x)) for x in inputs[:ruled]]
    return (*[np.asarray(x) if like else x for like, x in zip(read, inputs)], *inputs[ruled:]) if any(read) else None


def _key_of(x: Any) -> Any:
    """What is the same for equal constants; None for what is no constant."""
    cls = type(x)
    if cls is int or cls is str:
        return cls, x
    return identity(x) if is_constant(x) else None


def _is_determined(p: Primitive, y: np.ndarray) -> bool:
    """Whether layouts and constants decide what a call of p does, and nothing has to be looked at each time."""
    return p in SHAPED and p is not ops.positive and (p.differentiable or y.dtype.kind == "b")


def _flat(inputs: tuple[Any, ...], static: dict[str, Any]) -> tuple[list[Variable], list[Any], bool]:
    """The Tensors among inputs, these as arrays, and whether all else there and in static is constants."""
    tensors: list[Variable] = []
    arrays: list[Any] = []
    flat = not static or all(map(is_constant, static.values()))
    for x in inputs:
        if isinstance(x, Variable):
            tensors.append(x)
            x = x._array
        elif type(x) not in CONSTANT and not is_constant(x):
            flat = False
        arrays.append(x)
    return tensors, arrays, flat


def is_floating(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def plain_data(x: Any) -> Any:
    return x._array if isinstance(x, Variable) else x


def _viewed(p: Primitive, y: np.ndarray, arrays: list[Any]) -> int | None:
    """Which of these y, the result of p, is a view of in every call, if they have memory at all."""
    if p in IMPURE or isinstance(p, Lending):  # a user's function may look at values, and return one for these alone
        return None
    for k, x in enumerate(arrays):
        if isinstance(x, np.ndarray) and np.may_share_memory(y, x):
            return k
    return None
