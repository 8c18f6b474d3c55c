"""check_vjp and check_jvp on trees of arrays, and what they say of derivatives of another number or structure."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import GradientError, arrays, check_jvp, check_vjp, given_grad

A, B = np.array([0.3, -1.2]), np.array([2.0, 0.7])
Pair = namedtuple("Pair", "a b")

# how a tree of two arrays is built, and read
TREES = {
    "dict": (lambda a, b: {"a": a, "b": b}, lambda t: (t["a"], t["b"])),
    "tuple": (lambda a, b: (a, b), lambda t: t),
    "list": (lambda a, b: [a, b], lambda t: t),
    "named tuple": (Pair, lambda t: (t.a, t.b)),
    "nested": (lambda a, b: {"s": (a, [b])}, lambda t: (t["s"][0], t["s"][1][0])),
}


def product(read: Any, build: Any) -> tuple[Any, Any, Any]:
    """(a b, a²) of a tree as a tree, with its pullback and its forward rule."""

    def f(t: Any) -> Any:
        a, b = read(t)
        return build(a * b, a**2)

    def vjp(g: Any, t: Any) -> Any:
        (a, b), (u, v) = read(t), read(g)
        return build(u * b + 2 * v * a, u * a)

    def jvp(v: Any, t: Any) -> Any:
        (a, b), (da, db) = read(t), read(v)
        return build(da * b + a * db, 2 * a * da)

    return f, vjp, jvp


@pytest.mark.parametrize(("build", "read"), TREES.values(), ids=TREES)
def test_a_derivative_of_trees_is_compared_leaf_by_leaf(build: Any, read: Any) -> None:
    f, vjp, jvp = product(read, build)
    check_vjp(f, vjp, build(A, B))
    check_vjp(f, lambda g, t: (vjp(g, t),), build(A, B))
    check_jvp(f, jvp, build(A, B))
    for wrong in ((1.01, 1.0), (1.0, 1.01)):
        scaled = lambda t, wrong=wrong: build(*[part * c for part, c in zip(read(t), wrong)])
        with pytest.raises(GradientError, match=r"input 0[.\[].*entries are wrong"):
            check_vjp(f, lambda g, t, scaled=scaled: scaled(vjp(g, t)), build(A, B))
        with pytest.raises(GradientError, match="entries are wrong"):
            check_jvp(f, lambda v, t, scaled=scaled: scaled(jvp(v, t)), build(A, B))


def test_a_function_sees_and_a_rule_gets_the_users_own_structure() -> None:
    seen = set()

    def f(t: Any) -> Any:
        seen.add(type(t))
        return [t.a * t.b]

    def vjp(g: Any, t: Any) -> Any:
        seen.update({type(t), type(g)})
        return Pair(g[0] * t.b, g[0] * t.a)

    check_vjp(f, vjp, Pair(A, B))
    assert seen == {Pair, list}


def test_integers_within_a_tree_are_handed_on_and_not_differentiated() -> None:
    f = lambda d, n: n * d["x"][d["i"]]
    vjp = lambda g, d, n: ({"x": np.bincount([d["i"]], [n * g], 2), "i": None}, None)
    check_vjp(f, vjp, {"x": A, "i": 1}, 3)
    check_vjp(f, lambda g, d, n: vjp(g, d, n)[0], {"x": A, "i": 1}, 3, wrt=(0,))
    check_jvp(f, lambda v, d, n: n * v[0]["x"][d["i"]] + 0 * v[0]["i"] + 0 * v[1], {"x": A, "i": 1}, 3)


def test_a_part_without_numbers_may_be_none_as_a_whole() -> None:
    check_vjp(lambda d: d["x"] * d["n"][0], lambda g, d: {"x": g * d["n"][0], "n": None}, {"x": A, "n": (2, 3)})


def test_a_list_of_numbers_is_an_array() -> None:
    check_vjp(np.sin, lambda g, x: g * np.cos(x), [0.3, 2.0])
    check_vjp(np.sum, lambda g, x: g * np.ones_like(x), [[0.3, 2.0], [1.0, 4.0]])


def test_trees_that_hypothesis_draws_are_checked() -> None:
    tree = st.fixed_dictionaries({"a": arrays((2,)), "b": arrays((2,))})

    @given_grad(t=tree, vjp=lambda g, t: {"a": g * t["b"], "b": g * t["a"]})
    def right(t: Any) -> Any:
        return t["a"] * t["b"]

    @given_grad(t=tree, vjp=lambda g, t: {"a": g * t["b"], "b": g * t["b"]})
    def wrong(t: Any) -> Any:
        return t["a"] * t["b"]

    right()
    with pytest.raises(GradientError, match=r"input 0\['b'\]"):
        wrong()


multiply = lambda x, y: x * y


def of_multiply(g: Any, x: Any, y: Any) -> Any:
    return (g * y,)


OTHERS = {
    "one of two": (multiply, of_multiply, (A, B), r"vjp \(of_multiply\) returned 1 cotangent for 2 inputs; return"),
    "an array for two": (multiply, lambda g, x, y: g * y, (A, B), r"vjp returned one array \(2,\) for 2 inputs"),
    "three of two": (multiply, lambda g, x, y: (g, g, g), (A, B), "vjp returned 3 cotangents for 2 inputs"),
    "none of two": (multiply, lambda g, x, y: (), (A, B), "vjp returned 0 cotangents for 2 inputs"),
    "nothing": (multiply, lambda g, x, y: None, (A, B), "vjp returned None for 2 inputs; .*is a `return` missing"),
    "two of one": (np.sin, lambda g, x: (g, g), (A,), "vjp returned 2 cotangents for 1 input; return one array like"),
    "a key too few": (
        lambda d: d["a"] * d["b"],
        lambda g, d: {"a": g * d["b"]},
        ({"a": A, "b": B},),
        r"vjp returned a dict with the keys \['a'\] where a dict with the keys \['a', 'b'\] belongs, for input 0",
    ),
    "an array for a tuple": (
        lambda s, x: s[0] * s[1] * x,
        lambda g, s, x: (g * s[1] * x, g),
        ((A, B), A),
        r"vjp returned one array \(2,\) where a tuple of 2 belongs, for input 0",
    ),
    "None in a tree": (
        lambda d: d["a"] * d["b"],
        lambda g, d: {"a": g * d["b"], "b": None},
        ({"a": A, "b": B},),
        r"vjp returned None for input 0\['b'\], .*is a `return` missing",
    ),
}


@pytest.mark.parametrize(("f", "vjp", "inputs", "match"), OTHERS.values(), ids=OTHERS)
def test_a_pullback_of_another_number_or_structure_is_told_so(f: Any, vjp: Any, inputs: Any, match: str) -> None:
    with pytest.raises(GradientError, match=match):
        check_vjp(f, vjp, *inputs)


def test_a_forward_rule_of_another_number_or_structure_is_told_so() -> None:
    two = lambda x: (x**2, x**3)
    for jvp in (lambda v, x: 2 * v * x, lambda v, x: (2 * v * x,), lambda v, x: ()):
        with pytest.raises(GradientError, match=r"jvp returned .* where a tuple of 2 belongs, for f's result"):
            check_jvp(two, jvp, A)
    with pytest.raises(GradientError, match="jvp returned a tuple where an array belongs, for f's result"):
        check_jvp(np.square, lambda v, x: (2 * v * x, v), A)


def test_what_a_rule_raises_is_noted_with_what_it_was_called_with() -> None:
    def unpacks(g: Any, x: Any) -> Any:
        return sum(a + b + c for a, b, c in [g])

    with pytest.raises(ValueError, match="not enough values to unpack") as caught:
        check_vjp(lambda x: (x, x**2), unpacks, A)
    assert caught.value.__notes__ == ["raised by vjp (unpacks), called with the cotangent, a tuple of 2, and 1 input"]


def test_a_cotangent_of_another_number_than_the_results_is_told_so_by_the_pullback() -> None:
    pullback = mg.vjp(lambda x: (x**2, x**3), A)[1]
    for g, found in ((A, "ndarray"), ((A,), "1"), ((A, A, A), "3")):
        with pytest.raises(ValueError, match=f"vjp: the cotangent of the result: expected .* of 2, got {found}"):
            pullback(g)
    with pytest.raises(ValueError, match="jvp: vs: expected a tuple or list of 1, got 2"):
        mg.jvp(mg.sin, (A,), (A, B))
