"""Tracing: a block of code in which every call of a primitive is written down, the derivative rules' calls as well.

What comes out is the list that `program` replays. Shapes, dtypes and errors are those of a plain run; but Python may
not look into values, since what it saw would be a constant of the program. Few are even computed: see `outline`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np

from .. import shapes
from ..backward import walk, walk_arrays
from ..checkpoint import without_record
from ..gradients import add_gradient, gradient, set_gradient
from ..interpretation import Interpretation, watched
from ..lending import lent, own_index
from ..modes import no_grad
from ..numpy_functions import array_ufunc
from ..primitive import Primitive
from ..pullback import let_go
from ..record import Node, Variable, clock
from ..served import by_ufunc
from ..tensor import Tensor, is_tensor
from ..tree import entries_of, flatten
from .calling import Calling, plain_data
from .instruction import Kinds, Value, layout
from .outside import Draws
from .rules import TracedWalk


class _Leaked:
    """In place of the data of a tensor that a traced function left behind somewhere."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError(
            "this tensor was kept from inside of a compiled function (in an attribute, a list, a global), which runs "
            "only once, while it is traced; have the function return it instead"
        )

    __array__ = __array_ufunc__ = __array_function__ = __getitem__ = __bool__ = _refuse

    def __getattr__(self, name: str) -> Any:
        self._refuse()


class Trace(Calling, Interpretation):
    """The list of what was called in its `with` block, and what else a program needs to know of that block."""

    def __init__(self, kinds: Kinds | None = None, once: bool = True) -> None:
        super().__init__(kinds, once)
        self.start = clock()
        self.inside: dict[int, Tensor] = {}  # leaves made in the block, by id; held, or others get it
        self.gradients: dict[Node, list[Any]] = {}  # of each leaf: was .grad reset, the gradient added since
        self.gone: set[Node] = set()  # leaves of transforms that are over
        self.watched: dict[tuple[int, str], tuple[Any, str, Any]] = {}

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.generators.put_back()  # the first replay draws the same numbers again

    def forget(self) -> None:
        """Make the tensors of this trace unusable, if any is kept: their values are of the traced call alone.

        Also let go of the results that calls are looked up in, before the passes need memory.
        """
        leaked: Any = _Leaked()
        for t in self.made:
            t._array, t.node = leaked, None
            del t.stands_for
        self.made.clear()
        self.seen.clear()

    def run(self, function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[list[int], list[Variable], Any]:
        """Trace a function: call it with what stands for the arrays among its arguments.

        Returns the numbers of these among the arguments' leaves, what stood for them, and what the function returned.
        """
        leaves, rebuild = flatten((args, kwargs))
        numbers = [k for k, x in enumerate(leaves) if isinstance(x, (Variable, np.ndarray, np.generic))]
        with Draws(function, leaves), self:
            stand_ins = [self.argument(leaves[k], number) for number, k in enumerate(numbers)]
            nodes = [x.node for x in stand_ins]
            for k, x in zip(numbers, stand_ins):
                leaves[k] = x
            args, kwargs = rebuild(leaves)
            entries = entries_of((args, kwargs))
            returned = function(*args, **kwargs)
            if entries_of((args, kwargs)) != entries:
                raise TypeError(
                    "compile: the function changes an entry of an argument, a list or dict, which no later call would "
                    "do; have it return what is new, or change a copy: list(x), dict(x)"
                )
            if any([x.node is not node for x, node in zip(stand_ins, nodes)]):
                raise TypeError(
                    "compile: the function sets requires_grad of an argument; set it before the call, or make a "
                    "tensor of its own inside: mg.tensor(x, requires_grad=True)"
                )
        self.check_constants()
        return numbers, stand_ins, returned

    def argument(self, x: Any, number: int) -> Any:
        """What stands for the array or Tensor `x` while the function runs."""
        cls: Any = type(x) if isinstance(x, Variable) else Tensor
        data = plain_data(x)
        array = np.array(data, data.dtype.newbyteorder("="))  # as NumPy's results are
        t = cls._sharing(array, requires_grad=isinstance(x, Variable) and x.node is not None)
        self.arrays[self.name(t, not isinstance(x, Variable), source=number)] = t._array
        return t

    # --- what else the engine asks of an interpretation, see `Trace.instead` ------------------------------------------

    def _copied(self, new: Variable, old: Variable) -> None:
        """Note that `new` was made as a copy of `old`, without a record."""
        if new._array.dtype == old._array.dtype:
            self.name(new, False, self.value_of(old))
        else:
            like = layout(new._array.shape, new._array.dtype)
            kind, reads = self.write(shapes.astype, (old,), {"dtype": like.dtype}, like, True, None)
            self.name(new, False, self.add(kind, reads))

    def _refuse_value(self, t: Variable, what: str) -> NoReturn:
        self.refuse(what)

    def _begin(self, t: Tensor, array: np.ndarray, source: Any) -> None:
        """A leaf that is made inside, of numbers or as a copy of another tensor."""
        t._array, t.node = array, None
        self.inside[id(t)] = t
        if isinstance(source, Variable):
            self._copied(t, source)
        elif not isinstance(source, np.ndarray):
            self.note_settings([source], (list, np.ndarray))
        elif source is not array:
            self.copies.append((t, source))

    def _detached(self, t: Tensor) -> Tensor:
        alike: Tensor = object.__new__(type(t))
        self._begin(alike, t._array, t)
        return alike

    def _is_tensor(self, x: Any) -> bool:
        return isinstance(x, Tensor) and not self.is_plain(x)

    def _array_ufunc(self, t: Any, ufunc: np.ufunc, method: str, *inputs: Any, **static: Any) -> Any:
        """A function of NumPy on what stands for plain arrays is that itself, whether minigrad has a rule or not."""
        if method == "__call__" and not static and self.all_plain(inputs):
            return self.call(by_ufunc.get(ufunc) or Primitive(ufunc, (), None, ufunc.__name__, None), inputs, {})
        return array_ufunc.__wrapped__(t, ufunc, method, *inputs, **static)  # type: ignore[attr-defined]

    def _walk_arrays(
        self, outputs: Any, cotangents: Any, ends: Any = None, within: Any = None, onward: bool = False
    ) -> dict[Node, Any]:
        """On Tensors, so that the rules are traced, but without a record of these."""
        with no_grad():
            tensors = [g if isinstance(g, Variable) else Tensor._sharing(g) for g in cotangents]
            found = walk(outputs, tensors, True, ends, within, onward, functools.partial(TracedWalk, self))
            return {node: self.tensor_of(g) if type(g) is Value else g for node, g in found.items()}

    def _never_mind(self, t: Tensor) -> None:
        """What a retained gradient of a function's own tensor would be is of no account: it is gone with the trace."""

    def _let_go(self, inputs: Any) -> None:
        """Note the leaves; none is changed, since what is made of a leaf is known by it."""
        self.gone.update([x.node for x in inputs if x.node is not None and x.node.primitive is None])

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
        return self.refuse("t.grad", ", which may hold a gradient from before,")

    def _watch(self, owner: Any, name: str | None = None) -> Any:
        if name is None:
            self.note_settings([owner], (list, np.ndarray))
            return owner
        value = getattr(owner, name)
        self.watched[id(owner), name] = owner, name, value
        return value

    def _lent(self, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        return inputs, static  # the function is called later, see `_called`

    def _own_index(self, index: Any) -> Any:
        return index  # arrays in it are read anew at each call

    instead: ClassVar = {
        lent: _lent,
        own_index: _own_index,
        Tensor._value: _refuse_value,
        Tensor._begin: _begin,
        Tensor.detach: _detached,
        Tensor._check_filled: _never_mind,
        is_tensor: _is_tensor,
        array_ufunc: _array_ufunc,
        walk_arrays: _walk_arrays,
        without_record: _call_plainly,
        let_go: _let_go,
        gradient: _gradient,
        set_gradient: _set_gradient,
        add_gradient: _add_gradient,
        watched: _watch,
    }
