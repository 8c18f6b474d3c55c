"""What a primitive is: a NumPy function and, for each input, a rule from the output's cotangent to that input's.

Called on plain arrays a primitive is that NumPy function. Called on Tensors it computes on their arrays and makes a
Tensor which remembers the primitive and its inputs: the record that every derivative is read from.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

from .derivation import being_differentiated, running
from .details import OWN, detailed, origin
from .docstrings import Docstring
from .interpretation import interpreting
from .keeping import frozen, immutable, kept
from .messages import INNER, check_finite, explained, lost, not_taken, numpy_name, user_frame, user_line
from .modes import anomaly, innermost, recording
from .naming import held_as, signature
from .reads import arguments_read, reads_values
from .record import NO_STATIC, Node, Variable, clock
from .signatures import check_rules, keywords, most_inputs

if TYPE_CHECKING:
    from .typed import Differentiable, Plain

Rule = Callable[..., Any]
R = TypeVar("R")


class Primitive:
    __doc__ = Docstring("""A differentiable function of arrays and Tensors; declare one with `primitive`.

    >>> isinstance(mg.tanh, mg.Primitive), mg.tanh.differentiable, mg.argmax.differentiable
    (True, True, False)
    """)

    def __init__(
        self,
        function: Callable[..., Any],
        rules: tuple[Rule | None, ...],
        joint: Rule | None,
        name: str,
        doc: str | None,
        piecewise_constant: bool = False,
    ) -> None:
        self.function = self.__wrapped__ = function
        self.declare(rules, joint)
        self.name = self.__name__ = name
        self.piecewise_constant = piecewise_constant
        self.differentiable = bool(rules) or joint is not None
        self.doc = doc

    def declare(self, rules: tuple[Rule | None, ...], joint: Rule | None) -> None:
        """Set the rules; what they take and which arrays they read is found out when that is first needed."""
        self.rules, self.joint = rules, joint
        # inputs from this number on may have no rule
        self.ruled = sys.maxsize if joint is not None else (*rules, None).index(None)
        self.unread: dict[int, tuple[bool, Sequence[int]]] = {}  # by `one`, see `find_unread`
        for name in ("most", "keywords", "takes"):
            vars(self).pop(name, None)

    def find_taken(self) -> None:
        """How many inputs the function and its rules take, which static arguments, and a test for these."""
        readers = [rule for rule in (*self.rules, self.joint) if rule is not None]
        self.most = most_inputs(self.function, readers)
        self.keywords = keywords(self.function, readers)
        self.takes = {"out"}.isdisjoint if self.keywords is None else self.keywords.issuperset

    def find_unread(self, one: int) -> tuple[bool, Sequence[int]]:
        """Whether the output's values are not read, and which inputs' are not.

        `one` is the input that alone requires a gradient, so that its rule alone is called, or -1 if several do. Of the
        inputs of a joint rule it is all or none.
        """
        rules = [self.joint] if self.joint is not None else self.rules if one < 0 else [self.rules[one]]
        readers = [rule for rule in rules if rule is not None]
        if self.joint is not None:
            named, further = arguments_read(self.joint)
            unread: Sequence[int] = range(0 if any(named[2:]) or further else sys.maxsize)
        else:
            unread = [k for k in range(len(self.rules)) if not any([reads_values(rule, k + 2) for rule in readers])]
        self.unread[one] = found = not any([reads_values(rule, 1) for rule in readers]), unread
        return found

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        default = innermost.get() is None
        if not default and (interpretation := interpreting()) is not None:
            return interpretation.call(self, inputs, static)
        kind, changeable = None, False
        sources: list[Node | None] = []
        operands: list[Any] = []
        for x in inputs:
            if isinstance(x, Variable):
                if kind is None:
                    kind = type(x)
                sources.append(x.node)
                operands.append(x._data)
            else:
                changeable = changeable or not immutable(x)
                sources.append(None)
                operands.append(x)
        if static and kind is not None and not self.takes(static):
            self.check_arguments(inputs, static)
        try:
            y = self.function(*operands, **static) if static else self.function(*operands)
        except (ValueError, TypeError, IndexError) as error:
            self.check_arguments(inputs, static)
            raise explained(self.name, error, operands) from error
        if kind is None or not self.differentiable:
            return y if kind is None else self.constant(y, inputs)
        if type(y) is not np.ndarray or ((changeable or static) and y.dtype.kind not in "fiub"):
            y = np.asarray(y) if isinstance(y, np.floating) else self.array_of(y)

        out: Any = object.__new__(kind)  # here and below: __init__ would take as long as all the rest
        made = None if default or not (detailed() or anomaly()) else origin()
        if made is not None and anomaly():
            check_finite(f"{self.name}: forward value", y, operands, str(made))
        wanted = len(sources) - sources.count(None)  # how many inputs require gradients
        if not wanted or not (default or recording()):
            self.check_arguments(inputs, static)
            # a view of a parameter would change with its next update
            out._data = y.copy() if wanted and y.base is not None else y
            out.node = None
            return out
        if len(sources) > self.ruled:
            self.check_differentiable(sources)
        # the record keeps arrays that are read; in place of others it has their nodes, or a constant that is not copied
        one = -1
        if wanted == 1:
            one = 0
            while sources[one] is None:
                one += 1
        try:
            value_unread, unread = self.unread[one]
        except KeyError:
            self.array_of(y)  # once, since only arrays and static arguments in a call make other results complex
            value_unread, unread = self.find_unread(one)
        if made is not None:
            value_unread, unread = False, ()
        for k in unread:
            if k >= len(inputs):
                break
            operands[k] = sources[k] or operands[k]
        if changeable:
            for k, x in enumerate(inputs):
                if operands[k] is x and k not in unread:
                    operands[k] = frozen(x)
        node = object.__new__(Node)
        node.primitive = self
        node.inputs = tuple(sources)
        node.operands = tuple(operands)
        node.value = None if value_unread else y
        node.static = kept(static) if static else NO_STATIC
        node.order = clock()
        node.kind = kind
        node.shape = y.shape
        node.dtype = y.dtype
        node.view = y.base is not None
        node.grad = None
        node.retains_grad = False
        if made is not None:
            node.origin = made
        out._data = y
        out.node = node
        return out

    def check_arguments(self, inputs: Sequence[Any], static: dict[str, Any]) -> None:
        """Raise TypeError for what the function or a rule does not take, or what would get no gradient."""
        if not self.takes(static):
            taken = self.keywords if self.keywords is not None else [key for key in static if key != "out"]
            raise not_taken(self.name, static, taken)
        if len(inputs) > self.most:
            raise TypeError(
                f"{self.name}: takes at most {self.most} positional arguments (what its function and its derivative "
                f"rules all take, and no place for the result), got {len(inputs)}"
            )
        for x in static.values():
            if isinstance(x, Variable) and x.node is not None and recording():
                raise lost(self.name)

    def constant(self, y: Any, inputs: Sequence[Any]) -> Any:
        """The result y of a primitive without rules; TypeError where a transform would lose a gradient by it."""
        self.check_arguments(inputs, {})
        if self.piecewise_constant or not running or np.asarray(y).dtype.kind != "f":
            return y
        if any(isinstance(x, Variable) and being_differentiated(x) for x in inputs):
            raise TypeError(
                f"{self.name}: has no derivative rule, and an input is being differentiated, at {user_line()}; declare "
                f"mg.primitive({numpy_name(self.function)}, rule), or pass `x.detach()` for a constant result"
            )
        return y

    def array_of(self, y: Any) -> np.ndarray:
        """What the function returned, as an array of real numbers or booleans."""
        if isinstance(y, tuple):
            raise TypeError(f"{self.name}: the function must return one array, got a tuple of {len(y)}; stack them")
        if isinstance(y, Variable) and y.node is not None:
            raise lost(self.name)
        array = np.asarray(y._data if isinstance(y, Variable) else y)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{self.name}: a Tensor holds real numbers or booleans, this would be {array.dtype}")
        return array

    def check_differentiable(self, sources: Sequence[Node | None]) -> None:
        if len(sources) > self.most:
            self.check_arguments(sources, {})
        for k, node in enumerate(sources[self.ruled :], self.ruled):
            if node is not None and (k >= len(self.rules) or self.rules[k] is None):
                raise TypeError(f"{self.name}: input {k} has no derivative rule; pass it detached: `x.detach()`")

    def __getattr__(self, attribute: str) -> Any:
        # called for what is not there: modules and rules need not be looked through before somebody asks for these
        if attribute in ("most", "keywords", "takes"):
            self.find_taken()
            return vars(self)[attribute]
        if attribute == "__qualname__":
            return held_as(self, self.name) or self.name
        if attribute == "__signature__" and (found := signature(self)) is not None:
            return found
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r}")

    def __reduce__(self) -> str:
        """Like a function, a primitive is pickled by its name."""
        name = held_as(self, self.name)
        if name is None:
            raise pickle.PicklingError(
                f"{self.name}: a primitive is pickled by its name, and module {self.__module__!r}, which declared it, "
                "holds it under none; assign it to a name there, outside of functions and classes, "
                "or say which module holds it (`p.__module__ = __name__`)"
            )
        return name

    def __copy__(self) -> Primitive:
        return self

    def __deepcopy__(self, memo: Any) -> Primitive:
        return self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


class UsersPrimitive(Primitive):
    __doc__ = Docstring(
        "A primitive declared outside of minigrad: a call notes its line, for the errors of rules that are being tried."
    )

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        y = Primitive.__call__(self, *inputs, **static)
        if isinstance(y, Variable) and (node := y.node) is not None:
            frame = sys._getframe(1)
            if frame.f_globals.get("__name__", "").startswith(INNER):
                frame = user_frame()
            node.line = frame.f_code, frame.f_lasti
        return y


class method(Generic[R]):
    """A primitive, or another function of the table, as a method of Tensor: `t.tanh()` is `tanh(t)`."""

    def __init__(self, primitive: Callable[..., R]) -> None:
        self.primitive = primitive

    def __get__(self, instance: Any, owner: Any = None) -> Callable[..., R]:
        return self.primitive if instance is None else MethodType(self.primitive, instance)


#: The primitive that a NumPy universal function stands for when it is called on a Tensor; the first one declared.
by_ufunc: dict[np.ufunc, Primitive] = {}
#: What NumPy's other functions stand for, likewise.
by_function: dict[Any, Callable[..., Any]] = {}


@overload
def primitive(
    function: Callable[..., Any], *, name: str | None = None, doc: str | None = None, piecewise_constant: bool = False
) -> Plain: ...
@overload
def primitive(
    function: Callable[..., Any],
    *rules: Rule | None,
    joint: Rule | None = None,
    name: str | None = None,
    doc: str | None = None,
) -> Differentiable: ...
def primitive(
    function: Callable[..., Any],
    *rules: Rule | None,
    joint: Rule | None = None,
    name: str | None = None,
    doc: str | None = None,
    piecewise_constant: bool = False,
) -> Primitive:
    """Declare a primitive: a function of arrays and one derivative rule per input.

    A rule `(g, y, *inputs, **static) -> cotangent` is a pure function with no closure, written with operators and other
    primitives, so that it runs on arrays (fast) and on Tensors (recorded, for higher derivatives) alike. It returns an
    array of its input's shape or of the shape that the input was broadcast to, or `At`, or `Product`. Of y and the
    inputs, a record keeps the arrays that its rules read; for an argument that a rule does not mention, or asks for
    nothing but `.shape`, `.ndim`, `.size` or `.dtype`, it gets a stand-in that knows these.

    Args:
        function: takes arrays and static arguments, returns one array; must not change its inputs.
        rules: the rule of input 0, of input 1, ...; None where an input has no derivative. No rules at all: the
            primitive is not differentiable and returns plain arrays: constants. A transform refuses it on the way from
            an argument to the result, unless they are integers or booleans (indices, masks).
        joint: for any number of inputs, instead of `rules`: one rule that returns the cotangents of all inputs in a
            sequence; called once.
        name: for messages; the function's own name by default.
        doc: the docstring; the function's own by default.
        piecewise_constant: a primitive without rules whose slope is 0 wherever it has one, such as rounding: its
            results may be floating-point, and are constants.

    A primitive is a function: as a class attribute it is not bound to instances, it is pickled by the name under which
    the module that declares it holds it, and a copy of it is itself.

    If the function takes an argument `out`, it must be able to write its result there, whatever that array's strides.
    A primitive of a NumPy function serves that function's own name: `np.fmod(t, 2)`, `np.fliplr(t)`,
    `np.linalg.pinv(t)`; the first one declared does. What `compile` should know of it besides: `compile_as`.

    Raises:
        TypeError: if both `rules` and `joint` are given, there are more rules than inputs, or a rule cannot take the
            cotangent, the output and all inputs. In a call: for keywords that the function or a rule does not take.

    Example:
        >>> softsign = primitive(lambda x: x / (1 + np.abs(x)), lambda g, y, x: g * (1 - np.abs(y)) ** 2)
        >>> flipud = primitive(np.flipud, lambda g, y, x: np.flipud(g))
    """
    if rules and joint is not None:
        raise TypeError("primitive: give `rules`, one per input, or `joint`, one for all inputs, not both")
    name = name or str(getattr(function, "__name__", function))
    check_rules(name, function, rules, joint)
    module = sys._getframe(1).f_globals.get("__name__", "__main__")
    kind = Primitive if module.partition(".")[0] in OWN else UsersPrimitive
    made = kind(function, rules, joint, name, doc, piecewise_constant)
    made.__module__ = module  # which is where it will be looked for
    if isinstance(function, np.ufunc):
        by_ufunc.setdefault(function, made)
    elif isinstance(function, type(np.sum)):  # what NumPy offers to `__array_function__`
        by_function.setdefault(function, made)
    return made
