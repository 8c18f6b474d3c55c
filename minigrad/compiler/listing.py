"""What a trace writes down: an instruction for each call whose result is new, and a Value for each array."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from .. import ops
from ..messages import user_line
from ..primitive import Primitive
from ..record import Variable
from ..tree import tree_map
from .instruction import Instruction, Kinds, Value, identity, layout, values

CONSTANT = {int, float, bool, str, slice, type(None), type(Ellipsis), type}


def is_constant(x: Any) -> bool:
    """Whether this is one of Python's constants, or a tuple of them."""
    if type(x) is tuple:
        return all(map(is_constant, x))
    return type(x) in CONSTANT or isinstance(x, np.dtype)


class Listing:
    """Instructions in the order of their calls; what was computed before is not computed again.

    A tensor that is made meanwhile `stands_for` its Value, or for one that equals it.
    """

    def __init__(self, repeats: bool = False) -> None:
        super().__init__()
        self.repeats = repeats  # whether what was computed before is written down again
        self.made: list[weakref.ref[Variable]] = []
        self.instructions: list[Instruction] = []
        self.kinds = Kinds()
        self.seen: dict[Any, Value] = {}  # what each result is, by the kind and the Values that are read
        self.leaves: dict[Any, tuple[Variable, Value]] = {}  # tensors that are closed over, by Node or else by id
        self.constants: dict[int, tuple[Any, np.ndarray]] = {}  # arrays that are closed over, and a copy of each
        self.made_by: dict[Value, Instruction] = {}
        self.arrays: dict[Value, np.ndarray] = {}  # those of arguments, and others that are real

    def write(
        self,
        out: Variable,
        p: Primitive,
        inputs: tuple[Any, ...],
        static: dict[str, Any],
        flat: bool,
        plain: bool,
        view: int | None = None,
    ) -> Instruction | None:
        """Name the result of a call and write it down; None if the same was computed before.

        `flat` tells that inputs are Tensors and constants, and static constants; `view` numbers the input whose memory
        the result shares.
        """
        like = layout(out._data.shape, out._data.dtype)
        if flat:
            key: list[Any] = [p, like, view, identity(static) if static else 0]
            read: list[Value] = []
            for x in inputs:
                if isinstance(x, Variable):
                    x = self.value_of(x)
                    read.append(x)
                    key.append(x.layout)
                else:
                    key.append(identity(x))
            reads = tuple(read)
        else:
            inputs, static = tree_map(self.read, inputs), tree_map(self.read, static)
            reads = values((inputs, static))
            key = [p, like, view, identity(static), *map(identity, inputs), *[x.layout for x in reads]]
        if p is ops.positive:
            self.name(out, plain, reads[0])
            return None
        kind = self.kinds.found.get(tuple(key))
        if kind is None:
            inputs = tuple([self.value_of(x) if isinstance(x, Variable) else x for x in inputs])
            kind = self.kinds.of(tuple(key), p, inputs, static, like, view)
        found = self.seen.get((kind, reads)) if kind.pure and not self.repeats else None
        value = self.name(out, plain, found)
        if found is not None:
            return None
        self.seen[kind, reads] = value
        instruction = Instruction(kind, reads, value)
        self.instructions.append(instruction)
        return instruction

    def name(self, t: Variable, plain: bool, of: Value | None = None, source: Any = None) -> Value:
        """Give a tensor its Value: a new one, if it is not equal to an earlier one that stands for the same type."""
        if of is not None and of.plain == plain:
            value = of
        else:
            value = self.kinds.value(layout(t._data.shape, t._data.dtype), source, plain, of)
            value.outlined = of is not None and of.outlined
        t.stands_for = value
        if t.node is not None:
            t.node.stands_for = value
        self.made.append(weakref.ref(t))
        return value

    def read(self, x: Any) -> Any:
        """The Value of a tensor; what else an instruction reads is read at each replay as it then is."""
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
            )
        key = id(x) if x.node is None else x.node
        if key not in self.leaves:
            self.leaves[key] = x, self.kinds.value(layout(x._data.shape, x._data.dtype), x)
        return self.leaves[key][1]

    def real(self, x: Any) -> Any:
        """The values of a Tensor, computed now if there is but an outline; any other x as it is."""
        if not isinstance(x, Variable):
            return x
        if not (hasattr(x, "stands_for") and x.stands_for.outlined):
            return x._data
        for i in self.instructions[len(self.made_by) :]:
            self.made_by[i.out] = i
        arrays = self.arrays
        pending = [self.value_of(x)]
        while pending:
            value = pending[-1]
            if value in arrays:
                pending.pop()
            elif isinstance(value.source, Variable):
                arrays[value] = value.source._data
            elif missing := [v for v in self.made_by[value].reads if v not in arrays]:
                pending += missing
            else:
                i = self.made_by[value]
                inputs, static = i.kind.called_with([arrays[v] for v in i.reads])
                arrays[value] = np.asarray(i.kind.primitive.function(*inputs, **static))
        return arrays[self.value_of(x)]

    def check_constants(self) -> None:
        """Raise RuntimeError if the function changed an array after it had computed with it."""
        for x, before in self.constants.values():
            now = np.array(x)
            if now.dtype != before.dtype or now.tobytes() != before.tobytes():
                raise RuntimeError(
                    f"compile: the function changed an array of shape {now.shape} after computing with it; a program "
                    "reads such arrays as they are when it runs: make a new array instead"
                )
