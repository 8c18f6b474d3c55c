"""What a primitive is: a NumPy function and, for each input, a rule from the output's cotangent to that input's.

Called on plain arrays a primitive is that NumPy function. Called on Tensors it computes on their arrays and makes a
Tensor which remembers the primitive and its inputs: the record that every derivative is read from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from numpy import ndarray

from .callers import LIBRARIES, OURS, caller, package
from .details import noted
from .docstrings import Docstring
from .interpretation import interpreting
from .keeping import changeable, freeze, kept
from .lending import Lending, apart, lent
from .modes import innermost, recording
from .naming import Named
from .reads import unread_by
from .record import NO_STATIC, Node, Variable, clock
from .refusals import Refusals
from .served import serve
from .signatures import check_rules

if TYPE_CHECKING:
    from .typed import Differentiable, Plain

Rule = Callable[..., Any]


class Definition:
    """What a call and a walk look up in a primitive: its function, its rules, and which arrays these read.

    It is an object of its own since `Primitive` has a `__getattr__`, by which each look-up takes 45 ns more there:
    together 5 % of a small call and of the walk (arrays of 100 entries, Python 3.11).
    """

    __slots__ = ("function", "rules", "joint", "differentiable", "ruled", "known")

    def __init__(self, function: Callable[..., Any], rules: tuple[Rule | None, ...], joint: Rule | None) -> None:
        self.function, self.rules, self.joint = function, rules, joint
        self.differentiable = bool(rules) or joint is not None
        self.ruled = sys.maxsize if joint is not None else (*rules, None).index(None)  # the first that may lack a rule
        self.known: dict[int, tuple[bool, Sequence[int], int]] = {}  # by `lone`: see `unread_by`, and `safe` below

    def record(
        self, primitive: Primitive, y: Variable, inputs: Sequence[Any], sources: list[Node | None], wanted: int,
        operands: list[Any], static: dict[str, Any], special: bool = False, origin: Any = None,
    ) -> Node | None:  # fmt: skip
        """The Node of y, the result of a call: what was called, with what, and the `wanted` Nodes in `sources`.

        It keeps the arrays that a rule reads; in place of each other one stands its Node, which knows shape and dtype.
        None if y is of integers, as by `astype`, which have no derivative.
        """
        array, lone = y._array, -1  # or the number of the only input that requires a gradient
        if wanted == 1:
            lone = 0
            while sources[lone] is None:
                lone += 1
        try:
            value_unread, unread, safe = self.known[lone]
        except KeyError:
            primitive.array_of(array)  # refuses what is complex: once, and in each call that is `special`
            # up to so many inputs it is sure that each which requires a gradient has a rule
            safe = max(self.ruled, primitive.most) if 0 <= lone < self.ruled else self.ruled
            value_unread, unread, safe = self.known[lone] = (*unread_by(primitive, lone), safe)
        if len(sources) > safe:
            primitive.check_differentiable(sources)
        if origin is not None:
            value_unread, unread = False, ()
        for k in unread:
            if k >= len(sources):
                break
            operands[k] = sources[k] or operands[k]
        if special:
            if array.dtype.kind != "f":
                return None
            freeze(primitive.name, operands, inputs, unread)
        node: Node = object.__new__(Node)  # its __init__ would take as long as all the rest
        node.primitive = primitive
        node.inputs, node.operands = tuple(sources), tuple(operands)
        node.value = None if value_unread else array
        node.static = kept(static) if special else static or NO_STATIC
        node.order = clock()
        node.cls = type(y)
        node.shape, node.dtype, node.view = array.shape, array.dtype, array.base is not None
        node.grad, node.retains_grad = None, False
        if origin is not None:
            node.origin = origin
        return node


class Primitive(Refusals, Named):
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
        self.name = self.__name__ = name
        self.piecewise_constant = piecewise_constant
        self.doc = doc
        self.declare(rules, joint)

    def declare(self, rules: tuple[Rule | None, ...], joint: Rule | None) -> None:
        """Set the rules; what they take and which arrays they read is found out when that is first needed."""
        self.definition = Definition(self.function, rules, joint)
        self.forget_taken()

    rules = property(lambda self: self.definition.rules)
    joint = property(lambda self: self.definition.joint)
    differentiable = property(lambda self: self.definition.differentiable)

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        plain = innermost.get() is None  # no block of any mode is open, which is the quick case
        if not plain and (interpretation := interpreting()) is not None:
            return interpretation.call(self, inputs, static)
        cls, special = None, len(static) > 0  # is there anything but tensors and numbers?
        sources: list[Node | None] = []
        operands: list[Any] = []
        for x in inputs:
            if isinstance(x, Variable):
                if cls is None:
                    cls = type(x)
                sources.append(x.node)
                operands.append(x._array)
            else:
                special |= type(x) is ndarray or changeable(self, x)
                sources.append(None)
                operands.append(x)
        definition = self.definition
        try:
            y = self.with_static(inputs, operands, static) if static else definition.function(*operands)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise self.explained(error, inputs, operands, static) from error
        if cls is None:
            return y
        if not definition.differentiable:
            return self.constant(y, inputs)
        if type(y) is not ndarray or (special and y.dtype.kind not in "fiub"):
            y = self.array_of(y, operands)
        out: Any = object.__new__(cls)
        out._array = y
        origin = None if plain else noted(self.name, y, operands)
        wanted = len(sources) - sources.count(None)
        if not wanted or not (plain or recording()):
            self.leave_unrecorded(out, inputs, static)
        else:
            out.node = definition.record(self, out, inputs, sources, wanted, operands, static, special, origin)
        return out


class UsersPrimitive(Lending, Primitive):
    __doc__ = Docstring("A primitive declared outside of minigrad: it lends arrays, and notes the line of a call.")

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        inputs, static = lent(inputs, static)
        y = self.floating(apart(Primitive.__call__(self, *inputs, **static), inputs), inputs)
        if isinstance(y, Variable) and (node := y.node) is not None:
            frame = caller() if package(sys._getframe(1)) in LIBRARIES else sys._getframe(1)
            node.line = frame.f_code, frame.f_lasti
        return y


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

    A primitive is a function: it is not bound to instances, a copy of it is itself, and it is pickled by the name under
    which its module holds it. An argument `out` of the function must be a place to write to, whatever that array's
    strides. A primitive of a NumPy function serves that one's name: `np.fmod(t, 2)`, `np.fliplr(t)`; the first one
    declared does. What `compile` should know of it besides: `compile_as`.

    Raises:
        TypeError: if both `rules` and `joint` are given, there are more rules than inputs, or a rule cannot take the
            cotangent, the output and all inputs. In a call: for keywords that the function or a rule does not take.

    >>> softsign = mg.primitive(lambda x: x / (1 + abs(x)), lambda g, y, x: g / (1 + abs(x)) ** 2)
    >>> mg.grad(softsign)(1.0)
    tensor(0.25)
    """
    if rules and joint is not None:
        raise TypeError("primitive: give `rules`, one per input, or `joint`, one for all inputs, not both")
    name = name or str(getattr(function, "__name__", function))
    check_rules(name, function, rules, joint)
    module = sys._getframe(1).f_globals.get("__name__", "__main__")
    cls = Primitive if module.partition(".")[0] in OURS else UsersPrimitive
    made = cls(function, rules, joint, name, doc, piecewise_constant)
    made.__module__ = module  # which is where it will be looked for
    serve(function, made)
    return made
