"""Which values a derivative rule reads is seen in its code, and where the code cannot tell, they are kept."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.reads import reads_values, variables_read


class Rules:
    def method(self, g: Any, y: Any, x: Any) -> Any:
        return g * x

    def shaped(self, g: Any, y: Any, x: Any) -> Any:
        return mg.broadcast_to(g, x.shape)

    def __call__(self, g: Any, y: Any, x: Any) -> Any:
        return g


class Proxy:
    """Passes for another function, and calls it with more than it gets."""

    def __init__(self, f: Any) -> None:
        functools.update_wrapper(self, f)
        self.__code__ = f.__code__

    def __call__(self, g: Any, y: Any, x: Any) -> Any:
        return g * x


def aliased(g: Any, y: Any, x: Any, w: Any) -> Any:
    z = x
    return g * z.size


def scaled(k: float, g: Any, y: Any, x: Any, w: Any) -> Any:
    return g * y * k


def reassigned(g: Any, y: Any, x: Any, w: Any) -> Any:
    x = x + 1
    return g * x.size


def overwritten(g: Any, y: Any, x: Any, w: Any) -> Any:
    x = w.shape
    return mg.broadcast_to(g, x)


def deleted(g: Any, y: Any, x: Any, w: Any) -> Any:
    del x
    return g * w.size


def matched(g: Any, y: Any, x: Any, w: Any) -> Any:
    match x:
        case [*_]:
            return -g
    return g


def captured(g: Any, y: Any, x: Any, w: Any) -> Any:
    match g:
        case x:
            return x


def looped(g: Any, y: Any, x: Any, w: Any) -> Any:
    for part in w:
        g = g * part
    return g * x.ndim


def guarded(g: Any, y: Any, x: Any, w: Any) -> Any:
    try:
        n = x.size
    except AttributeError:
        n = w.size
    finally:
        g = g * 1.0
    return g * n * x.ndim


def in_order(g: Any, y: Any, x: Any, w: Any) -> Any:
    size = 2.0
    n = x.ndim
    return g * n * w * size


def eager(f: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(f)
    def wrapper(g: Any, y: Any, x: Any, w: Any) -> Any:
        return f(g, y, x, w)

    return wrapper


def masking(f: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(f)
    def wrapper(g: Any, y: Any, x: Any, w: Any) -> Any:
        return np.where(w > 0, f(g, None, x.shape), 0.0)

    return wrapper


@eager
def decorated(g: Any, y: Any, x: Any, w: Any) -> Any:
    return g


@masking
def masked(g: Any, y: Any, shape: Any) -> Any:
    return mg.broadcast_to(g, shape)


#: A rule and which of its arguments 1 (y), 2 (x), 3 (w) and 70 it reads.
READ: dict[str, tuple[Any, list[int]]] = {
    "nothing": (lambda g, y, x, w: g, []),
    "an input": (lambda g, y, x, w: g * w, [3]),
    "the output": (lambda g, y, x, w: g * y, [1]),
    "shapes": (lambda g, y, x, w: mg.broadcast_to(g, x.shape) * y.ndim * w.size, []),
    "a shape and values": (lambda g, y, x, w: mg.reshape(g, x.shape) * x, [2]),
    "values and a shape": (lambda g, y, x, w: x * mg.reshape(g, x.shape), [2]),
    "shapes one after the other": (lambda g, y, x, w: (y, x.shape, w.dtype), [1]),
    "two values and a shape": (lambda g, y, x, w: (y, x, w.shape), [1, 2]),
    "another attribute": (lambda g, y, x, w: g * x.T, [2]),
    "a method of the array": (lambda g, y, x, w: g * x.sum(), [2]),
    "an attribute that is set": (lambda g, y, x, w: setattr(g, "shape", x), [2]),
    "an attribute by its name": (lambda g, y, x, w: getattr(x, "shape", w.shape), [2]),
    "a comparison": (lambda g, y, x, w: np.where(x == 0, g, 0.0), [2]),
    "an attribute of another array": (lambda g, y, x, w: (x, g.shape), [2]),
    "an attribute of an expression": (lambda g, y, x, w: g * (x + w).size, [2, 3]),
    "a string": (lambda g, y, x, w: g * len("x") * len("w"), []),
    "an attribute and a keyword of that name": (lambda g, y, x, w: dict(w=g.x), []),
    "a global of that name": (lambda g, y, x, X: g * len(sys.argv) * x.size, []),
    "another name": (aliased, [2]),
    "its own name for something new": (reassigned, [2]),
    "its own name for a shape": (overwritten, [2]),
    "what it deletes": (deleted, [2]),
    "what it matches": (matched, [2]),
    "the name of a pattern": (captured, [2]),
    "what it loops over": (looped, [3]),
    "shapes in a try statement": (guarded, []),
    "a variable called size": (in_order, [3]),
    "a walrus": (lambda g, y, x, w: g * (z := x).size + z.ndim, [2]),
    "its own name in a walrus": (lambda g, y, x, w: g * (x := w.size) * x, [2]),
    "its own name in a walrus whose shape is taken": (lambda g, y, x, w: g * (x := w).size * x.ndim, [2, 3]),
    "inside of another function": (lambda g, y, x, w: list(map(lambda k: g * k * w, [1])), [3]),
    "shapes inside of another function": (lambda g, y, x, w: list(map(lambda k: g * x.size, [1])), [2]),
    "a parameter of another function": (lambda g, y, x, w: list(map(lambda x: g * x, [w.size])), []),
    "a comprehension": (lambda g, y, x, w: [g * k for k in x], [2]),
    "inside of a comprehension": (lambda g, y, x, w: [g * k * x for k in (1, 2)], [2]),
    "a generator": (lambda g, y, x, w: sum(g * k * x for k in w.shape), [2]),
    "any of many": (lambda g, y, *xs: g * xs[0], [2, 3, 70]),
    "the shape of any of many": (lambda g, y, *xs: g * xs[0].size, [2, 3, 70]),
    "all arguments": (lambda *arguments: arguments[0], [1, 2, 3, 70]),
    "none of many": (lambda g, y, *xs, axis=0: g * axis, []),
    "any of many and a keyword": (lambda g, y, *xs, axis=0: g * xs[axis], [2, 3, 70]),
    "many of which one has a name": (lambda g, y, x, *xs, axis=0: g * x, [2]),
    "a keyword": (lambda g, y, x, w, *, axis=None: g * axis, []),
    "all keywords": (lambda g, y, x, w, **static: g * static["axis"], []),
    "a default": (lambda g, y, x, w=None: g * w, [3]),
    "only by position": (lambda g, y, /, x, w: g * x, [2]),
    "its variables by their names": (lambda g, y, x, w: g * locals()["x"], [1, 2, 3]),
    "its variables as a dict": (lambda g, y, x, w: g * vars()["x"], [1, 2, 3]),
    "code in a string": (lambda g, y, x, w: eval("g * x"), [1, 2, 3]),
    "its frame": (lambda g, y, x, w: g * sys._getframe().f_locals["x"], [1, 2, 3]),
    "its frame from inside": (lambda g, y, x, w: (lambda: sys._getframe(1).f_locals["x"])(), [1, 2, 3]),
    "a partial function": (functools.partial(scaled, 2.0), [1]),
    "a partial function with keywords": (functools.partial(lambda g, y, x, w, k: g * x * k, k=2.0), [2]),
    "a partial function of many": (functools.partial(lambda *xs, k: xs[1] * k, 2.0, k=1), [1, 2, 3, 70]),
    "a partial method": (functools.partial(Rules().method), [2]),
    "a method": (Rules().method, [2]),
    "shapes in a method": (Rules().shaped, []),
    "a callable object": (Rules(), [1, 2, 3, 70]),
    "a callable object that passes for a function": (Proxy(lambda g, y, x: g), [1, 2, 3, 70]),
    "a decorated rule": (decorated, [1, 2, 3]),
    "a decorated rule that gets a shape": (masked, [3]),
    "a cached rule": (functools.cache(lambda g, y, x, w: g), [1, 2, 3, 70]),
    "a function in C": (max, [1, 2, 3, 70]),
}


@pytest.mark.parametrize("name", READ)
def test_which_values_a_rule_reads_is_seen_in_its_code(name: str) -> None:
    rule, expected = READ[name]
    assert [k for k in (1, 2, 3, 70) if reads_values(rule, k)] == expected


@pytest.mark.parametrize("static", ["size", "shape", "ndim", "dtype"])
def test_a_variable_named_like_an_attribute_hides_no_values(static: str) -> None:
    rule = eval(f"lambda g, y, x, {static}: scale(x, {static}, g)", {"scale": lambda x, n, g: g * n * x})
    scaled = mg.primitive(lambda x, **static: next(iter(static.values())) * x * x / 2, rule)
    x = mg.tensor([2.0, -1.0], requires_grad=True)
    scaled(x, **{static: 3.0}).sum().backward()
    np.testing.assert_array_equal(x.grad, [6.0, -3.0])


def test_a_joint_rule_keeps_all_inputs_if_it_reads_the_last_of_many() -> None:
    names = [f"x{k}" for k in range(80)]
    rule = eval(f"lambda g, y, {', '.join(names)}: [g * (x79 == 3.0)] * 80")
    first = mg.primitive(lambda *xs: xs[0].copy(), joint=rule, name="first")
    x = mg.tensor(3.0, requires_grad=True)
    first(*[x] * 80).backward()
    assert x.grad == 80.0


def test_a_joint_rule_of_any_inputs_keeps_those_that_it_reads() -> None:
    product = mg.primitive(lambda a, b: a * b, joint=lambda g, y, *xs: (g * xs[1], g * xs[0]), name="product")
    x = mg.tensor(3.0, requires_grad=True)
    product(x, x + 1.0).backward()
    assert x.grad == 7.0


# Instructions of later versions of Python, as `dis` names them, and which variables they read.
STEPS: dict[str, tuple[list[tuple[str, Any]], set[str]]] = {
    "two loads, and a shape": ([("LOAD_FAST_LOAD_FAST", ("g", "x")), ("LOAD_ATTR", "shape")], {"g"}),
    "two loads, and a call": ([("LOAD_FAST_LOAD_FAST", ("x", "size")), ("CALL", 2)], {"x", "size"}),
    "the last of two by the name of another": ([("LOAD_FAST_LOAD_FAST", ("x", "x")), ("LOAD_ATTR", "size")], {"x"}),
    "two borrowed": (
        [("LOAD_FAST_BORROW_LOAD_FAST_BORROW", ("x", "w")), ("LOAD_ATTR", "ndim"), ("LOAD_FAST_BORROW", "shape")],
        {"x", "shape"},
    ),
    "one borrowed": ([("LOAD_FAST_BORROW", "x"), ("LOAD_ATTR", "dtype")], set()),
    "one that may be unbound": ([("LOAD_FAST_CHECK", "x"), ("LOAD_ATTR", "shape")], set()),
    "one put away for a comprehension": ([("LOAD_FAST_AND_CLEAR", "x"), ("LOAD_ATTR", "shape")], {"x"}),
    "a store and a load": ([("STORE_FAST_LOAD_FAST", ("z", "x")), ("LOAD_ATTR", "shape")], {"z"}),
    "a store and a load of the same": ([("STORE_FAST_LOAD_FAST", ("x", "x")), ("LOAD_ATTR", "shape")], {"x"}),
    "two stores": ([("STORE_FAST_STORE_FAST", ("z", "x")), ("LOAD_ATTR", "shape")], {"z", "x"}),
    "a cell": ([("LOAD_DEREF", "x"), ("LOAD_ATTR", "shape")], {"x"}),
    "what nobody knows yet": ([("LOAD_FAST_AND_THE_REST", ("g", "x", "w")), ("LOAD_ATTR", "T")], {"g", "x", "w"}),
}


@pytest.mark.parametrize("name", STEPS)
def test_instructions_of_several_variables_read_all_but_the_last_one_whose_shape_is_taken(name: str) -> None:
    steps, read = STEPS[name]
    operations: Any = [SimpleNamespace(opcode=dis.opmap.get(o, -1), opname=o, argval=value) for o, value in steps]
    assert variables_read(operations) == read


# --- random rules -----------------------------------------------------------------------------------------------------

#: Expressions of a rule `(g, y, x, w, size, shape)`; size and shape are numbers. Each is a number or an array like g.
EXPRESSIONS = [
    *("x", "w", "y", "g", "x.size", "w.ndim", "y.shape[0]", "float(x.dtype == w.dtype)", "size", "shape", "len(w)"),
    *("x * size", "mul(x, size)", "mul(w, shape)", "mul(size, x)", "add(y, w, x.size)", "add(x.ndim, w, x)"),
    *("(z := x) + z.size", "(lambda k: k * w)(size)", "(lambda x: x)(size)", "(lambda w=w: w)()", "(lambda: y.size)()"),
    *("sum([k * x for k in (1, 2)])", "sum([k for k in w])", "sum(k * y for k in (1, 2))", "[w for w in (size,)][0]"),
    *("[x for x in (size,)][0] * x.size", "getattr(w, 'T')", "getattr(x, 'size')", "x.sum()", "(x if g.size else w)"),
    *("(x, w)[1]", "(x, w.size)[0]", "(x.size, w)[0]", "{'x': y}['x']", "pick(*(x, w))", "pick(b=x, a=w)", "-w", "+y"),
    *("where(x == 0, 7.0, size)", "where(w == 0, shape, 7.0)", "where(y == 0, 7.0, 1.0)", "locals()['w']", "eval('x')"),
    *(
        "np.multiply(x, w).T",
        "(x + w).size",
        "(x + w).T",
        "f'{x.shape}'.count('2')",
        "max(x.shape)",
        "np.where(1, w, x)",
    ),
]
STATEMENTS = [
    *(
        "x = x + 1.0",
        "w = w * w",
        "y = w * size",
        "z = x; g = g * z",
        "z = w; del z",
        "x, w = w, x",
        "size = x",
        "shape = w.T",
    ),
    *("size = x.size", "n = x.ndim; g = g * n", "w += x", "x = x.T", "for z in (y,): g = g + z", "for x in [w]: pass"),
    *("if x.size > 1: g = g * w", "while w is None: pass", "assert y.shape", "[g := g + k for k in x]", "del y; y = w"),
    "match x:\n        case z if z.size: g = g * z",
    "match w.shape:\n        case (n,): g = g * n",
    "match g:\n        case x: pass",
    "try: g = g * x\n    except ValueError: g = w\n    finally: size = w",
    "def inner(k): return k * w\n    g = g + inner(size)",
    "def inner(w): return w * size\n    g = g + inner(y.size)",
    "def inner():\n        nonlocal x\n        x = g\n    inner()",
    "with contextlib.nullcontext(x) as z: g = g * z",
]
WRAPPERS = {
    "plain": "made = rule",
    "partial": "made = functools.partial(lambda k, *operands, **static: rule(*operands, **static), 1.0)",
    "partial with a keyword": "made = functools.partial(rule, size=2.0)",
    "decorated": "made = functools.wraps(rule)(lambda g, y, x, w, **static: rule(g, y, x, w, **static))",
    "method": "made = types.MethodType(lambda self, g, y, x, w, size, shape: rule(g, y, x, w, size, shape), 0)",
}


def source(statements: list[str], expressions: list[str], wrapper: str) -> str:
    body = [*statements, *[f"g = g + {e}" for e in expressions], "return g + zero"]
    lines = "\n    ".join(body)
    return f"def rule(g, y, x, w, size, shape):\n    zero = 0.0\n    {lines}\n{WRAPPERS[wrapper]}\n"


HELPERS = "import contextlib, functools, types\nimport numpy as np\nfrom numpy import where, multiply as mul\n"
HELPERS += "def add(*xs): return functools.reduce(np.add, xs)\ndef pick(a, b): return a * 1.0\n"


def gradient(rule: Any) -> Any:
    """What the rule gives for x, at values of which some are 0."""
    p = mg.primitive(lambda x, w, size, shape: x * w, rule, None, name="random rule")
    x = mg.tensor([0.0, 2.0], requires_grad=True)
    p(x, np.array([3.0, 0.0]), size=2.0, shape=3.0).backward(np.ones(2))
    return x.grad


@given(
    statements=st.lists(st.sampled_from(STATEMENTS), max_size=2),
    expressions=st.lists(st.sampled_from(EXPRESSIONS), min_size=1, max_size=3),
    wrapper=st.sampled_from([*WRAPPERS]),
)
@example(statements=[], expressions=["mul(x, size)"], wrapper="plain")
@example(statements=["match g:\n        case x: pass"], expressions=["x"], wrapper="plain")
def test_random_rules_give_the_same_gradients_with_and_without_arrays_that_they_do_not_read(
    statements: list[str], expressions: list[str], wrapper: str
) -> None:
    names: dict[str, Any] = {}
    exec(HELPERS + source(statements, expressions, wrapper), names)
    with mg.record_details():
        everything = gradient(names["made"])
    np.testing.assert_array_equal(gradient(names["made"]), everything)
