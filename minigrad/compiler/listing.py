"""What a trace writes down: an instruction for each call whose result is new, and a Value for each array."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..callers import user_line
from ..lending import held, shared
from ..primitive import Primitive
from ..record import Variable
from ..tensor import Tensor
from ..tree import tree_leaves, tree_map
from .instruction import Instructions, Kind, Kinds, Layout, Value, identity, layout

#: So many new tensors are worth a look at which of them the function still holds.
MANY = 1024
CONSTANT = {int, float, bool, str, slice, type(None), type(Ellipsis), type}


def is_constant(x: Any) -> bool:
    """Whether this is one of Python's constants, or a tuple of them."""
    if type(x) is tuple:
        return CONSTANT.issuperset(map(type, x)) or all(map(is_constant, x))
    return type(x) in CONSTANT or isinstance(x, np.dtype)


def contents(x: Any) -> Any:
    """The same for two lists or arrays only if they have the same values, of the same kind."""
    if isinstance(x, np.ndarray):
        return x.dtype, x.shape, x.tobytes()
    return (type(x), *map(contents, x)) if isinstance(x, (list, tuple)) else identity(x)


def _is_flat(x: Any) -> bool:
    """Whether a list holds numbers alone, or this is an array."""
    return isinstance(x, np.ndarray) or all([type(part) in (int, float, bool) for part in x])


class Listing:
    """Instructions in the order of their calls; what was computed before is not computed again.

    A tensor that is made meanwhile `stands_for` a Value: its own, or the same as another tensor that it equals.
    """

    def __init__(self, kinds: Kinds | None, once: bool) -> None:
        self.once = once  # whether calls that are equal are one instruction
        self.made: list[Variable] = []  # tensors that stand for Values, but for those that nobody holds any more
        self.many = MANY  # so many are worth a look at who holds them
        self.instructions = Instructions()
        self.kinds = kinds or Kinds()
        self.seen: dict[Kind, dict[Any, Value]] = defaultdict(dict)  # results by the kind and the Values that are read
        self.leaves: dict[Any, tuple[Variable, Value]] = {}  # tensors that are closed over, by Node or else by id
        self.constants: dict[int, tuple[Any, np.ndarray]] = {}  # arrays that are closed over, and a copy of each
        self.arrays: dict[Value, np.ndarray] = {}  # those of arguments, and others that are real
        self.copies: list[tuple[Variable, np.ndarray]] = []  # tensors that were made of arrays, and these
        self.settings: dict[int, tuple[Any, Any]] = {}  # lists, and arrays that say a shape, and what they held
        self.wrapped: set[int] = set()  # the ids of tensors that stand for arrays that are closed over
        self.noted: list[Any] | None = None  # calls, while a recipe is written, see `rules`

    def write(
        self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any], like: Layout, flat: bool, view: int | None
    ) -> tuple[Kind, tuple[Value, ...]]:
        """The Kind of a call whose result is like this, and the Values that it reads; for the rest see `Kinds.kind`."""
        if flat:
            inputs = tuple([self.value_of(x) if isinstance(x, Variable) else x for x in inputs])
            reads = tuple([x for x in inputs if type(x) is Value])
        else:
            inputs, static = tree_map(self.read, inputs), tree_map(self.read, static)
            reads = tuple([x for x in tree_leaves((inputs, static)) if type(x) is Value])
        return self.kinds.kind(p, inputs, static, like, view, flat), reads

    def add(self, kind: Kind, reads: tuple[Value, ...], plain: bool = False) -> Value:
        """The Value of a call: that of an equal call before, or a new one, of a new instruction."""
        seen = self.seen[kind]
        found = seen.get(reads)
        if found is None or not kind.pure or not self.once:
            kinds = self.kinds
            found = seen[reads] = object.__new__(Value)  # its __init__ would take as long as all the rest
            found.number, found.layout, found.plain = kinds.count, kind.layout, plain
            found.kind, found.reads = kind, reads
            found.source = found.of = found.place = None
            kinds.count += 1
            self.instructions.add(kind, reads, found)
        return found

    def look(self, x: Variable) -> tuple[Value, bool]:
        """The Value of a tensor, and whether the tensor `is_plain`."""
        try:
            value = x.stands_for
        except AttributeError:
            return self.value_of(x), id(x) in self.wrapped
        return value.of or value, value.plain

    def tensor_of(self, value: Value) -> Tensor:
        """A Tensor that stands for this Value and requires no gradient."""
        t: Tensor = object.__new__(Tensor)
        t._array, t.node = value.layout.outline, None
        self.name(t, False, value)
        return t

    def name(self, t: Variable, plain: bool, of: Value | None = None, source: Any = None) -> Value:
        """Give a tensor its Value and return it: `of`, if it equals that and is of the same type, else a new one."""
        if of is not None and of.plain == plain:
            value = of
        else:
            value = self.kinds.value(layout(t._array.shape, t._array.dtype), source, plain, of)
        t.stands_for = value
        if t.node is not None:
            t.node.stands_for = value
        self.made.append(t)
        if len(self.made) > self.many:
            self.made = held(self.made)
            self.many = max(MANY, 2 * len(self.made))
        return value

    def read(self, x: Any) -> Any:
        """The Value of a tensor, any other x as it is; an array, which replays read, is noted for `check_constants`."""
        if isinstance(x, Variable):
            return self.value_of(x)
        if isinstance(x, (np.ndarray, list)) and id(x) not in self.constants:
            self.constants[id(x)] = x, np.array(x)
        return x

    def value_of(self, x: Variable) -> Value:
        """The first Value that equals a tensor, a new one if it is a leaf from outside."""
        try:
            found: Value = x.stands_for
            return found.of or found
        except AttributeError:
            pass  # a leaf from outside, or a tensor of a trace that has ended
        if x.node is not None and x.node.primitive is not None:
            raise TypeError(
                f"compile: a tensor from outside of the function, the result of {x.node.primitive.name}, requires a "
                f"gradient, at {user_line()}; compute it inside, or pass it as an argument, or detached"
            ) from None
        key = id(x) if x.node is None else x.node
        if key not in self.leaves:
            self.leaves[key] = x, self.kinds.value(layout(x._array.shape, x._array.dtype), x)
        return self.leaves[key][1]

    def real(self, x: Any) -> Any:
        """The values of a Tensor, computed now unless they are there; any other x as it is."""
        if not isinstance(x, Variable):
            return x
        arrays = self.arrays
        pending = [self.value_of(x)]
        while pending:
            value = pending[-1]
            if value in arrays:
                pending.pop()
            elif isinstance(value.source, Variable):
                arrays[value] = value.source._array
            elif missing := [v for v in value.reads if v not in arrays]:
                pending += missing
            else:
                assert value.kind is not None
                inputs, static = value.kind.called_with([arrays[v] for v in value.reads])
                arrays[value] = np.asarray(value.kind.primitive.function(*inputs, **static))
        return arrays[self.value_of(x)]

    def note_settings(self, given: Iterable[Any], classes: tuple[type[Any], ...]) -> None:
        """Note what is of these classes: its values become constants of the program, others need another program."""
        for x in given:
            if isinstance(x, classes) and id(x) not in self.settings:
                self.settings[id(x)] = x, contents(x)
            elif type(x) is tuple:
                self.note_settings(x, classes)

    def lasting_settings(self) -> list[tuple[Any, Any]]:
        """Those that others may change and the function itself did not, with what they held."""
        of_others = [pair for pair in self.settings.values() if shared(pair) or not _is_flat(pair[0])]
        return [(x, held) for x, held in of_others if contents(x) == held]

    def follow_copies(self) -> None:
        """Have the program read arrays again that tensors were made of, but for those that the function changed."""
        for t, x in self.copies:
            if np.array_equal(t._array, x.astype(t._array.dtype, copy=False), equal_nan=True):
                t._array = np.asarray(x)

    def check_constants(self) -> None:
        """Raise RuntimeError if the function changed an array after it had computed with it."""
        for x, before in self.constants.values():
            now = np.array(x)
            if now.dtype != before.dtype or now.tobytes() != before.tobytes():
                raise RuntimeError(
                    f"compile: the function changed an array of shape {now.shape} after computing with it; a program "
                    "reads such arrays as they are when it runs: make a new array instead"
                )
