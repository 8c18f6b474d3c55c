"""Tracing: a block of code in which every call of a primitive is written down, the derivative rules' calls as well.

What comes out is the list that `program` replays. Shapes, dtypes and errors are those of a plain run; but Python may
not look into values, since what it saw would be a constant of the program. Few are even computed: see `outline`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

import numpy as np

from .. import ops, shapes
from ..backward import walk, walk_arrays
from ..callers import user_line
from ..checkpoint import without_record
from ..derivation import running
from ..gradients import add_gradient, gradient, set_gradient
from ..interpretation import Interpretation
from ..messages import explained
from ..modes import no_grad, recording
from ..numpy_functions import array_ufunc
from ..primitive import Primitive
from ..record import Node, Variable, clock
from ..served import by_ufunc
from ..tensor import Tensor, is_tensor
from ..tree import tree_leaves, tree_map
from .instruction import Kind, Kinds, Value, identity, layout
from .listing import CONSTANT, Listing, is_constant
from .outline import SHAPED, Outlines, has_outline
from .outside import watched
from .rules import Noted, Rules
from .table import COMPOSED, IMPURE


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


class Trace(Listing, Interpretation):
    """The list of what was called in its `with` block, and what else a program needs to know of that block."""

    def __init__(self, repeats: bool = False, kinds: Kinds | None = None) -> None:
        super().__init__(repeats, kinds)
        self.start = clock()
        self.inside: set[int] = set()  # tensors made in the block, by id
        self.tensors: dict[int, Variable] = {}  # Tensors that share the memory of constants, by the ids of these
        self.rules = Rules(self)
        self.gradients: dict[Node, list[Any]] = {}  # of each leaf: was .grad reset, the gradient added since
        self.generators: dict[int, tuple[Any, Any]] = {}  # random generators, with their state before the trace
        self.watched: dict[tuple[int, str], tuple[Any, str, Any]] = {}
        self.ruleless: list[tuple[Primitive, Node]] = []  # what has no rule, and what it was called on
        self.outlines = Outlines()

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
                del t.stands_for
        self.rules.wrapped.clear()
        del self.rules  # which is a circle, and all of this would wait for the garbage collector

    # --- calls of primitives -----------------------------------------------------------------------------------------

    def call(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """A call of a primitive: its result as a Tensor, and an instruction."""
        if p in COMPOSED:
            return COMPOSED[p](*inputs, **static)
        if p is shapes.getitem and static.keys() == {"index"}:
            inputs, static = (*inputs, static["index"]), {}
        looks = self._looks(p, inputs, static)
        if looks is None:
            return self._first_call(p, inputs, static, None)
        key, reads, cls, plain = looks
        kind = self.kinds.known.get(key)
        if kind is None and p is shapes.getitem and len(inputs) == 2:
            kind = self._picked(key, reads[0], inputs[1])
        if kind is None:
            return self._first_call(p, inputs, static, key)
        return self._result(cls, kind.layout.outline, kind, reads, inputs, static, plain, True)

    def _picked(self, key: Any, x: Value, index: Any) -> Kind | None:
        """The kind of x[index] for an integer, of which there is another one in each turn of a loop; else None."""
        shape = x.layout.shape
        if type(index) is not int or len(shape) < 2 or not -shape[0] <= index < shape[0]:
            return None
        kind = self.kinds.kind(shapes.getitem, (x, index), {}, layout(shape[1:], x.layout.dtype), view=0)
        kind.repeatable = True
        self.kinds.known[key] = kind
        return kind

    def _looks(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """What decides what a call does: (a key, Values, the class of the first, are all plain); None if values do."""
        key: list[Any] = [p]
        reads: list[Value] = []
        cls, plain = None, True
        for x in inputs:
            kind = type(x)
            if kind is Tensor or isinstance(x, Variable):
                if cls is None:
                    cls = kind
                if kind is not Tensor:
                    self.subclassed = True
                try:
                    value = x.stands_for
                    plain = plain and value.plain
                    value = value.of or value
                except AttributeError:
                    if x.node is not None and x.node.primitive is not None:
                        return None
                    value, plain = self.value_of(x), plain and id(x) in self.wrapped
                if value.layout.exact:
                    return None  # what is done to integers is quick, and its errors may depend on them
                key.append(value.layout)
                reads.append(value)
            elif kind is int or kind is str:
                key.append((kind, x))
            elif kind in CONSTANT or is_constant(x):
                key.append(identity(x))
            else:
                return None
        if static:
            for x in static.values():
                if not is_constant(x):
                    return None
            key.append(identity(static))
        return (tuple(key), tuple(reads), cls, plain) if cls is not None else None

    def _first_call(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any], key: Any) -> Any:
        """A call that is not `known`: the primitive says what becomes of it, or else its outline."""
        pure = p not in IMPURE
        nodes, arrays, flat = _flat(inputs, static)
        if not flat:
            nodes, inputs, arrays = self._opened(p, inputs, static)
        if nodes and (static or len(inputs) > p.most):
            p.check_arguments(inputs, static)
        y: Any = self.outlines(p, arrays) if nodes and not static and has_outline(p) else None
        outlined, view = y is not None, None
        if not outlined:
            y = self._called(p, inputs, static, arrays)
            if not nodes and pure:
                return y
            if type(y) is not np.ndarray:
                y = p.array_of(y)
            view = _viewed(y, arrays) if pure else None
            outlined = p in SHAPED and any([hasattr(x, "stands_for") and x.stands_for.outlined for x in nodes])
        if not (flat and p in SHAPED and not static) and y.dtype.kind not in "fiub":
            p.array_of(y)
        if not p.differentiable:
            if running:
                p.constant(y, inputs)
            if not p.piecewise_constant and y.dtype.kind == "f":
                self.ruleless += [(p, x.node) for x in nodes if x.node is not None]
        plain = not p.differentiable or self.plain(nodes)
        kind, reads = self.write(p, inputs, static, layout(y.shape, y.dtype), flat, view)
        always = p in SHAPED and p is not ops.positive and outlined and (p.differentiable or y.dtype.kind == "b")
        if key is not None and flat and always:
            self.kinds.known[key] = kind
            kind.repeatable = True
        return self._result(type(nodes[0]) if nodes else Tensor, y, kind, reads, inputs, static, plain, outlined)

    def _result(
        self,
        cls: type[Any],
        y: np.ndarray,
        kind: Kind,
        reads: tuple[Value, ...],
        inputs: tuple[Any, ...],
        static: dict[str, Any],
        plain: bool,
        outlined: bool,
    ) -> Any:
        """The result y of a call as a tensor, and the call written down."""
        p = kind.primitive
        out: Any = object.__new__(cls)  # __init__ would take as long as all the rest
        out._data, out.node = y, None
        if p.differentiable:
            out.node = self._node(out, p, inputs, static)
        else:
            plain = True
        if p is ops.positive:
            value = reads[0]
        else:
            value = self.add(kind, reads, plain, outlined)
            if not outlined and p not in SHAPED and value not in self.arrays:
                self.arrays[value] = y
        self.name(out, plain, value)
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
            static = tree_map(_data, static)
        if p in IMPURE:
            self._keep_generator(inputs)
        try:
            y = p.function(*arrays, **static)
        except (ValueError, TypeError, IndexError) as error:
            raise explained(p.name, error, arrays) from error
        if picked:
            self._check_index(inputs[1])
        return y

    def _opened(self, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """The Tensors among inputs and static that hold trees or arrays, the inputs, and these as plain arrays."""
        nodes = [x for x in tree_leaves((inputs, static)) if isinstance(x, Variable)]
        if nodes and p is not shapes.getitem:
            ruled = len(p.rules) or len(inputs)
            inputs = tuple([self._operand(x, k < ruled) for k, x in enumerate(inputs)])
        return nodes, inputs, [tree_map(_data, x) for x in inputs] if nodes else list(inputs)

    def _operand(self, x: Any, ruled: bool) -> Any:
        """An array or a list as a Tensor, but for a shape, axes or the like: integers for which there is no rule."""
        if not isinstance(x, (np.ndarray, list)):
            return x
        if ruled or (isinstance(x, np.ndarray) and x.dtype.kind == "f"):
            return self.constant(x)
        return x.item() if isinstance(x, np.ndarray) and not x.ndim else x

    def _check_index(self, index: Any) -> None:
        if any([x._data.dtype == bool for x in tree_leaves(index) if isinstance(x, Variable)]):
            self.refuse("t[mask], whose shape depends on the mask's values,")

    def _node(self, out: Variable, p: Primitive, inputs: tuple[Any, ...], static: dict[str, Any]) -> Node | None:
        """The record of the result, if any input requires a gradient."""
        sources = [x.node if isinstance(x, Variable) else None for x in inputs]
        if sources.count(None) == len(sources) or not recording():
            return None
        operands = list(inputs)
        for k, node in enumerate(sources):
            if node is not None:
                if node.primitive is None and hasattr(inputs[k], "stands_for"):
                    node.stands_for = inputs[k].stands_for  # a leaf may have got its node later
                operands[k] = inputs[k]._data
        made: Node = p.definition.record(p, out, inputs, sources, operands, static)
        return made

    def argument(self, x: Any, number: int) -> Any:
        """What stands for the array or Tensor `x` while the function runs."""
        kind: Any = type(x) if isinstance(x, Variable) else Tensor
        t = kind._sharing(np.array(_data(x)), requires_grad=isinstance(x, Variable) and x.node is not None)
        self.arrays[self.name(t, not isinstance(x, Variable), source=number)] = t._data
        return t

    def constant(self, x: Any) -> Variable:
        """A Tensor for an array that is closed over, so that what rules compute from it is recorded as well."""
        if id(x) not in self.tensors:
            self.read(x)
            self.tensors[id(x)] = Tensor._sharing(np.asarray(x))
            self.wrapped.add(id(self.tensors[id(x)]))
        return self.tensors[id(x)]

    def tensor(self, g: Any) -> Variable:
        """A cotangent as a Tensor, so that all that is computed from it is recorded."""
        return g if isinstance(g, Variable) else Tensor._sharing(g)

    # --- what else the engine asks of an interpretation, see `Trace.instead` ------------------------------------------

    def _copied(self, new: Variable, old: Variable) -> None:
        """Note that `new` was made as a copy of `old`, without a record."""
        if new._data.dtype == old._data.dtype:
            self.name(new, False, self.value_of(old))
        else:
            like = layout(new._data.shape, new._data.dtype)
            kind, reads = self.write(shapes.astype, (old,), {"dtype": like.dtype}, like, True, None)
            self.name(new, False, self.add(kind, reads, outlined=reads[0].outlined))

    def plain(self, nodes: Any) -> bool:
        """Whether all of these stand for plain arrays."""
        for x in nodes:  # noqa: SIM110 (half the time of all)
            if isinstance(x, Variable) and not self._is_plain(x):
                return False
        return True

    def refuse(self, what: str) -> NoReturn:
        """Raise for a look at values."""
        raise TypeError(
            f"compile: {what} looks at values at {user_line()}, but the function is being traced, once for all "
            "values that may come; compute with Tensors (mg.where instead of `if`), or do this outside of the function"
        )

    def _refuse_value(self, t: Variable, what: str) -> NoReturn:
        self.refuse(what)

    def _begin(self, t: Tensor, array: np.ndarray, source: Any) -> None:
        """A leaf that is made inside, of numbers or as a copy of another tensor."""
        t._data, t.node = array, None
        self.inside.add(id(t))
        if isinstance(source, Variable):
            self._copied(t, source)

    def _detached(self, t: Tensor) -> Tensor:
        alike: Tensor = object.__new__(type(t))
        self._begin(alike, t._data, t)
        return alike

    def _is_tensor(self, x: Any) -> bool:
        return isinstance(x, Tensor) and not self.plain([x])

    def _array_ufunc(self, t: Any, ufunc: np.ufunc, method: str, *inputs: Any, **static: Any) -> Any:
        """A function of NumPy on what stands for plain arrays is that itself, whether minigrad has a rule or not."""
        if method == "__call__" and not static and self.plain(inputs):
            return self.call(by_ufunc.get(ufunc) or Primitive(ufunc, (), None, ufunc.__name__, None), inputs, {})
        return array_ufunc.__wrapped__(t, ufunc, method, *inputs, **static)  # type: ignore[attr-defined]

    def _walk_arrays(
        self, outputs: Any, cotangents: Any, ends: Any = None, within: Any = None, onward: bool = False
    ) -> dict[Node, Any]:
        """On Tensors, so that the rules are traced, but without a record of these."""
        with no_grad():
            return walk(outputs, [self.tensor(g) for g in cotangents], True, ends, within, onward, self.rules)

    def _never_mind(self, t: Tensor) -> None:
        """What a retained gradient of a function's own tensor would be is of no account: it is gone with the trace."""

    def _call_plainly(self, f: Any, args: tuple[Any, ...], generators: Any) -> Any:
        return f(*args)  # a program plans its own memory

    def _add_gradient(self, t: Node, g: Any) -> None:
        """What `backward()` does instead of changing `.grad`."""
        entry = self.gradients.setdefault(t, [False, None])
        entry[1] = g if entry[1] is None else entry[1] + g

    def _set_gradient(self, t: Node, value: Any) -> None:
        """`t.grad = value`."""
        if value is not None:
            self.refuse("t.grad = array")
        self.gradients[t] = [True, None]

    def _gradient(self, t: Node) -> Any:
        """`t.grad`: known if it was reset before, or if t was made here."""
        entry = self.gradients.get(t)
        if (entry and entry[0]) or t.order > self.start:
            return entry and entry[1]
        return self.refuse("t.grad, which may hold a gradient from before,")

    def _watch(self, owner: Any, name: str) -> Any:
        value = getattr(owner, name)
        self.watched[id(owner), name] = owner, name, value
        return value

    def _is_plain(self, x: Variable) -> bool:
        try:
            return x.stands_for.plain  # type: ignore[no-any-return]
        except AttributeError:
            return id(x) in self.wrapped

    def _keep_generator(self, inputs: tuple[Any, ...]) -> None:
        for x in inputs:
            generator = getattr(x, "__self__", x)
            if isinstance(generator, np.random.Generator):
                self.generators.setdefault(id(generator), (generator, generator.bit_generator.state))

    instead: ClassVar = {
        Tensor._value: _refuse_value,
        Tensor._begin: _begin,
        Tensor.detach: _detached,
        Tensor._check_filled: _never_mind,
        is_tensor: _is_tensor,
        array_ufunc: _array_ufunc,
        walk_arrays: _walk_arrays,
        without_record: _call_plainly,
        gradient: _gradient,
        set_gradient: _set_gradient,
        add_gradient: _add_gradient,
        watched: _watch,
    }


def _flat(inputs: tuple[Any, ...], static: dict[str, Any]) -> tuple[list[Variable], list[Any], bool]:
    """The Tensors among inputs, these as arrays, and whether all else there and in static is constants."""
    nodes: list[Variable] = []
    arrays: list[Any] = []
    flat = not static or all(map(is_constant, static.values()))
    for x in inputs:
        if isinstance(x, Variable):
            nodes.append(x)
            x = x._data
        elif type(x) not in CONSTANT and not is_constant(x):
            flat = False
        arrays.append(x)
    return nodes, arrays, flat


def _data(x: Any) -> Any:
    return x._data if isinstance(x, Variable) else x


def _viewed(y: np.ndarray, arrays: list[Any]) -> int | None:
    """Which of these y is a view of, if they have memory at all."""
    for k, x in enumerate(arrays):
        if (y is x or y.base is not None) and isinstance(x, np.ndarray) and np.may_share_memory(y, x):
            return k
    return None
