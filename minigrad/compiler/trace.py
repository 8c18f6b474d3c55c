"""Tracing: a block of code in which every call of a primitive is written down, the derivative rules' calls as well.

What comes out is the list that `program` replays. Values flow through as usual, so shapes, dtypes and errors are those
of a plain run; but Python may not look into them, since what it saw would be a constant of the program.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from .. import shapes
from ..modes import Mode, recording, tracing
from ..primitive import Primitive, explained, primitive, user_line
from ..record import Node, Variable, clock
from ..tensor import Tensor
from ..tree import tree_leaves, tree_map


class Value:
    """An array of a program: its number, shape and dtype, and where it comes from if no instruction makes it.

    `source` is a leaf Tensor that the function closes over, or the number of an argument, or None. `plain` marks what
    is no Tensor in a plain run, but an array.
    """

    __slots__ = ("number", "shape", "dtype", "source", "plain")

    def __init__(self, number: int, data: np.ndarray, source: Any = None, plain: bool = False) -> None:
        self.number, self.shape, self.dtype, self.source, self.plain = number, data.shape, data.dtype, source, plain

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(slots=True)
class Instruction:
    """out = primitive(*inputs, **static), with Values for arrays; `view` numbers the input whose memory out shares."""

    primitive: Primitive
    inputs: tuple[Any, ...]
    static: dict[str, Any]
    out: Value
    view: int | None = None


def values(call: Any) -> Iterator[Value]:
    """The Values that an instruction, or a step made of it, reads."""
    return (x for x in tree_leaves((call.inputs, call.static)) if isinstance(x, Value))


#: What a traced constructor, `detach` and the like record: the same values, connected to nothing.
same = primitive(lambda x: x, name="same")


class Leaked:
    """In place of the data of a tensor that a traced function left behind somewhere."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(
            "this tensor was kept from inside of a compiled function (in an attribute, a list, a global), which runs "
            "only once, while it is traced; have the function return it instead"
        )

    __array__ = __array_ufunc__ = __array_function__ = __getitem__ = __bool__ = _refuse

    def __getattr__(self, name: str) -> Any:
        self._refuse()


class Trace(Mode):
    """The list of what was called in its `with` block, and what else a program needs to know of that block."""

    switch = tracing

    def __init__(self) -> None:
        self.value = self
        self.start = clock()
        self.instructions: list[Instruction] = []
        self.leaves: dict[Any, tuple[Variable, Value]] = {}  # tensors that are closed over, by Node or else by id
        self.inside: set[int] = set()  # tensors made in the block, by id
        self.constants: dict[int, tuple[Any, np.ndarray]] = {}  # arrays that are closed over, and a copy of each
        self.tensors: dict[int, Variable] = {}  # and Tensors that share their memory,
        self.wrapped: set[int] = set()  # by their own ids
        self.gradients: dict[Node, list[Any]] = {}  # of each leaf: was .grad reset, the gradient added since
        self.generators: dict[int, tuple[Any, Any]] = {}  # random generators, with their state before the trace
        self.watched: dict[tuple[int, str], tuple[Any, str, Any]] = {}
        self.made: list[weakref.ref[Variable]] = []
        self._count = 0

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for generator, state in self.generators.values():
            generator.bit_generator.state = state  # the first replay draws the same numbers again

    def forget(self) -> None:
        """Make the tensors of this trace that are still alive unusable: their values are of the traced call alone."""
        for made in self.made:
            if (t := made()) is not None:
                t._data = Leaked()  # type: ignore[assignment]
                t.node = None
                del t.traced

    # --- what minigrad calls while it is traced ----------------------------------------------------------------------

    def call(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """A call of a primitive: its result as a Tensor, and an instruction."""
        nodes = [x for x in tree_leaves((inputs, static)) if isinstance(x, Variable)]
        if nodes and p is not shapes.getitem:
            inputs = tuple([self.constant(x) if isinstance(x, (np.ndarray, list)) else x for x in inputs])
        arrays = tree_map(_data, inputs) if nodes else inputs
        if not p.pure:
            self._keep_generator(inputs)
        try:
            y = p.function(*arrays, **(tree_map(_data, static) if nodes else static))
        except (ValueError, TypeError, IndexError) as error:
            raise explained(p.name, error, list(arrays)) from error
        if not nodes and p.pure:
            return y
        if p is shapes.getitem and any(
            x._data.dtype == bool for x in tree_leaves(inputs[1]) if isinstance(x, Variable)
        ):
            self.refuse("t[mask], whose shape depends on the mask's values,")
        y = np.asarray(y)
        kind: Any = next((type(x) for x in nodes), Tensor)
        out = kind._sharing(y)
        sources = tuple([x.node if isinstance(x, Variable) else None for x in inputs])
        if p.differentiable and recording() and any(sources):
            p.check_differentiable(sources)
            value_unread, unread = p.unread.get(-1) or p.find_unread(-1)
            operands = [
                x if node is None else node if k in unread else x._data
                for k, (node, x) in enumerate(zip(sources, inputs))
            ]
            out.node = Node(kind, y, p, sources, tuple(operands), static)
            out.node.value = None if value_unread else y
        reads = tree_map(self._read, inputs), tree_map(self._read, static)
        view = next((k for k, x in enumerate(arrays) if p.pure and _shared(y, x)), None)
        plain = not p.differentiable or self.plain(nodes)
        self._append(Instruction(p, *reads, self._name(out, None, plain), view))
        return out

    def argument(self, x: Any, number: int) -> Any:
        """What stands for the array or Tensor `x` while the function runs."""
        kind: Any = type(x) if isinstance(x, Variable) else Tensor
        t = kind._sharing(np.array(_data(x)), requires_grad=isinstance(x, Variable) and x.node is not None)
        self._name(t, number, plain=not isinstance(x, Variable))
        return t

    def constant(self, x: Any) -> Variable:
        """A Tensor for an array that is closed over, so that what rules compute from it is recorded as well."""
        if id(x) not in self.tensors:
            self._read(x)
            self.tensors[id(x)] = Tensor._sharing(np.asarray(x))
            self.wrapped.add(id(self.tensors[id(x)]))
        return self.tensors[id(x)]

    def tensor(self, g: Any) -> Variable:
        """A cotangent as a Tensor, so that all that is computed from it is recorded."""
        return g if isinstance(g, Variable) else Tensor._sharing(g)

    def copied(self, new: Variable, old: Variable) -> None:
        """Note that `new` was made as a copy of `old`, without a record."""
        p, static = (same, {}) if new._data.dtype == old._data.dtype else (shapes.astype, {"dtype": new._data.dtype})
        self._append(Instruction(p, (self._read(old),), static, self._name(new), 0))

    def plain(self, nodes: Any) -> bool:
        """Whether all of these stand for plain arrays."""
        return all([not isinstance(x, Variable) or self._is_plain(x) for x in nodes])

    def refuse(self, what: str) -> NoReturn:
        """Raise for a look at values."""
        raise TypeError(
            f"compile: {what} looks at values at {user_line()}, but the function is being traced, once for all values "
            "that may come; compute with Tensors (mg.where instead of `if`), or do this outside of the function"
        )

    def add_gradient(self, t: Node, g: Any) -> None:
        """What `backward()` does instead of changing `.grad`."""
        entry = self.gradients.setdefault(t, [False, None])
        entry[1] = g if entry[1] is None else entry[1] + g

    def set_gradient(self, t: Node, value: Any) -> None:
        """`t.grad = value`."""
        if value is not None:
            self.refuse("t.grad = array")
        self.gradients[t] = [True, None]

    def gradient(self, t: Node) -> Any:
        """`t.grad`: known if it was reset before, or if t was made here."""
        entry = self.gradients.get(t)
        if (entry and entry[0]) or t.order > self.start:
            return entry and entry[1]
        return self.refuse("t.grad, which may hold a gradient from before,")

    def watch(self, owner: Any, name: str, value: Any) -> None:
        """See `watched`."""
        self.watched[id(owner), name] = owner, name, value

    # --- names -------------------------------------------------------------------------------------------------------

    def _append(self, instruction: Instruction) -> None:
        self.instructions.append(instruction)

    def _name(self, t: Variable, source: Any = None, plain: bool = False) -> Value:
        value = t.traced = Value(self._count, t._data, source, plain)
        if t.node is not None:
            t.node.traced = value
        self._count += 1
        self.made.append(weakref.ref(t))
        return value

    def _is_plain(self, x: Variable) -> bool:
        return bool(x.traced.plain) if hasattr(x, "traced") else id(x) in self.wrapped

    def _read(self, x: Any) -> Any:
        """The Value of a tensor; what else an instruction reads is read at each replay as it then is."""
        if isinstance(x, Variable):
            return self.value_of(x)
        if isinstance(x, (np.ndarray, list)) and id(x) not in self.constants:
            self.constants[id(x)] = x, np.array(x)
        return x

    def value_of(self, x: Variable) -> Value:
        """The Value of a tensor, a new one if it is a leaf from outside."""
        if hasattr(x, "traced"):
            found: Value = x.traced
            return found
        if x.node is not None and x.node.primitive is not None:
            raise TypeError(
                f"compile: a tensor from outside of the function, the result of {x.node.primitive.name}, requires a "
                f"gradient, at {user_line()}; compute it inside, or pass it as an argument, or detached"
            )
        key = id(x) if x.node is None else x.node
        if key not in self.leaves:
            self.leaves[key] = x, Value(self._count, x._data, x)
            self._count += 1
        return self.leaves[key][1]

    def _keep_generator(self, inputs: tuple[Any, ...]) -> None:
        for x in inputs:
            generator = getattr(x, "__self__", x)
            if isinstance(generator, np.random.Generator):
                self.generators.setdefault(id(generator), (generator, generator.bit_generator.state))

    def check_constants(self) -> None:
        """Raise RuntimeError if the function changed an array after it had computed with it."""
        for x, before in self.constants.values():
            now = np.array(x)
            if now.dtype != before.dtype or now.tobytes() != before.tobytes():
                raise RuntimeError(
                    f"compile: the function changed an array of shape {now.shape} after computing with it; a program "
                    "reads such arrays as they are when it runs: make a new array instead"
                )


def _data(x: Any) -> Any:
    return x._data if isinstance(x, Variable) else x


def _shared(y: np.ndarray, x: Any) -> bool:
    """Whether y is a view of x, which has memory at all."""
    return isinstance(x, np.ndarray) and (y is x or y.base is not None) and np.may_share_memory(y, x)


def signature(x: Any) -> Any:
    """What two calls must have in common to share a trace: structure, shapes, dtypes, and Python's values."""
    if isinstance(x, Variable):
        return type(x), x._data.shape, x._data.dtype, x.node is not None
    if isinstance(x, (np.ndarray, np.generic)):
        return np.ndarray, x.shape, x.dtype
    if isinstance(x, dict):
        return dict, *[(key, signature(part)) for key, part in x.items()]
    if isinstance(x, (tuple, list)):
        return type(x), *[signature(part) for part in x]
    try:
        hash(x)
    except TypeError as error:
        raise TypeError(
            f"compile: an argument is a {type(x).__name__}; it must be a tensor, an array, a hashable Python value, "
            "or a tuple, list or dict of these"
        ) from error
    return type(x), repr(x) if isinstance(x, (int, float)) else x


def watched(owner: Any, name: str) -> Any:
    """`owner.name`, a Python value that a function depends on: if it changes, a compiled function is traced again.

    For values such as a module's `training`, which a compiled function otherwise takes as it was when it was traced.
    """
    value = getattr(owner, name)
    if (trace := tracing()) is not None:
        trace.watch(owner, name, value)
    return value


def _drawn(method: Any, *args: Any, **static: Any) -> Any:
    owner = recording()
    if owner not in (True, False) and isinstance(generator := getattr(method, "__self__", None), np.random.Generator):
        owner.drawn_from(generator)  # a checkpoint, which will draw the same again
    return method(*args, **static)


#: `draw(generator.standard_normal, shape)`: random numbers, which a compiled function draws anew at each call.
draw = primitive(
    _drawn,
    name="draw",
    pure=False,
    doc="""method(*args), a draw of a `numpy.random.Generator`'s method, which a compiled function repeats at each call.

    >>> import numpy as np
    >>> draw(np.random.default_rng(0).random, (2,)).shape
    (2,)
    """,
)
