"""compile: arguments that a program knows without reading them, from its third call on."""

from __future__ import annotations

import weakref
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiler.arguments import never

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
Pair = namedtuple("Pair", ["a", "b"])


class Own(mg.Tensor):
    pass


class Name(str):
    pass


def values(x: Any) -> Any:
    return x.data if isinstance(x, mg.Tensor) else x


def leaf(x: Any) -> mg.Tensor:
    return mg.tensor(x, requires_grad=True)


# positional arguments, keywords; each with a program of its own
KNOWN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((X,), {}), ((X[0],), {}), ((X.T,), {}), ((X[None],), {}), ((X.astype("f"),), {}), ((X.astype(">f8"),), {}),
    ((mg.tensor(X),), {}), ((leaf(X),), {}), ((Own(X),), {}), ((X, X), {}), (((X, X),), {}), (([X, X],), {}),
    ((X, (X,)), {}), (((X,), X), {}), ((X, ()), {}), ((X, []), {}), ((X, None), {}), ((), {"x": X}), ((), {"y": X}),
    ((X,), {"x": X}), ((X,), {"x": X, "y": X}), (({"x": X},), {}), (({"y": X},), {}), (({"x": X, "y": X},), {}),
    (({"y": X, "x": X},), {}), (({},), {}), ((X, 1), {}), ((X, 1.0), {}), ((X, True), {}), ((X, 0), {}),
    ((X, 0.0), {}), ((X, -0.0), {}), ((X, "1"), {}), ((X, 2), {}), ((X, (1, X)), {}), ((X, (X, 1)), {}),
]  # fmt: skip
READ: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((Pair(X, X),), {}), ((OrderedDict(x=X),), {}), (({Name("x"): X},), {}), (({1: X},), {}), ((X, Name("1")), {}),
    ((X, X[0, 0]), {}), ((X, slice(1)), {}),
]  # fmt: skip


def doubled(*args: Any, **kwargs: Any) -> Any:
    arrays = [x for x in mg.tree_leaves((args, kwargs)) if isinstance(x, (mg.Tensor, np.ndarray, np.generic))]
    return [x * 2 for x in arrays]


def test_what_a_program_knows_is_told_from_all_that_needs_another() -> None:
    f = mg.compile(doubled)
    for k, (args, kwargs) in enumerate(GIVEN := KNOWN + READ):
        for _ in range(3):
            f(*args, **kwargs)
        program = f.program
        leaves = program.leaves_of(True, args, kwargs)
        assert leaves is None if k >= len(KNOWN) else [*map(id, leaves)] == [*map(id, mg.tree_leaves((args, kwargs)))]
        for n, (others, keywords) in enumerate(GIVEN):
            found = f(*others, **keywords)
            assert (f.program is program) == (n == k), (args, kwargs, others, keywords)
            for x, expected in zip(found, doubled(*others, **keywords), strict=True):
                np.testing.assert_array_equal(values(x), values(expected), strict=True)
            f(*args, **kwargs)
            assert f.program is program
    assert len(f.programs) == len(GIVEN)


def test_a_program_knows_its_arguments_once_it_was_found_twice_in_a_row_and_no_sooner() -> None:
    f = mg.compile(doubled)
    for x in (X, X[0], X, X[0]):
        f(x)
        assert f.program.leaves_of is never
    f(X[0])
    known = f.program.leaves_of
    assert known is not never
    for x in (X, X[0], X[0]):
        f(x)
    assert f.program.leaves_of is known


@pytest.mark.parametrize(
    "long", [[*range(500)], [[]] * 500, {str(k): X for k in range(500)}], ids=["numbers", "empty", "a dict"]
)
def test_long_arguments_are_read_at_each_call(long: Any) -> None:
    f = mg.compile(doubled)
    for _ in range(3):
        f(X, long)
    assert f.program.leaves_of is never


def test_a_program_knows_whether_records_were_kept() -> None:
    f = mg.compile(doubled)
    for _ in range(4):
        assert f(leaf(X))[0].requires_grad
    for _ in range(4):
        with mg.no_grad():
            assert not f(leaf(X))[0].requires_grad
    assert f(leaf(X))[0].requires_grad
    assert f.program.leaves_of is not never


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_known_keywords_go_where_they_belong_in_any_order(names: str) -> None:
    f = mg.compile(lambda x, *, a, b: x * a - b)
    for k in range(5):
        given = {"a": X + k, "b": X * k}
        np.testing.assert_array_equal(f(X, **{name: given[name] for name in names}), X * (X + k) - X * k)
        np.testing.assert_array_equal(f(X, **given), X * (X + k) - X * k)


def test_known_arguments_are_read_afresh_and_not_kept() -> None:
    f = mg.compile(lambda x, state: (x * state[0], (state[0] + x,)))
    state: Any = (mg.tensor(X),)
    for k in range(6):
        before, x = state, X + k
        seen = weakref.ref(x)
        y, state = f(x, state)
        np.testing.assert_array_equal(y.data, x * before[0].data)
        np.testing.assert_array_equal(state[0].data, x + before[0].data)
        del x
        assert seen() is None


def test_a_program_that_knows_its_arguments_still_looks_at_what_it_reads_from_elsewhere() -> None:
    w, rate = mg.tensor(X), {"n": [1, 2]}
    f = mg.compile(lambda x: x * w + mg.watched(rate["n"])[0])
    for k in range(8):
        if k == 4:
            w.data = X + 1
        if k == 6:
            rate["n"][0] = 5
        np.testing.assert_array_equal(f(X), X * w.data + rate["n"][0])


def test_a_call_from_within_refuses_what_is_no_argument_as_any_other() -> None:
    calling = mg.primitive(lambda x: f(None) + f([set()]) if x.any() else x, name="calling")
    f: Any = mg.compile(lambda x: calling(x) if x is not None else 0)
    np.testing.assert_array_equal(f(0 * X), 0 * X)
    with pytest.raises(TypeError, match="compile: an argument is a set"):
        f(X)
