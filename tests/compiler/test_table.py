"""compile_as: what the compiler's table says of a primitive, and what it means for a program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import shapes
from minigrad.compiler.collecting import _pattern, _viewed
from minigrad.compiler.instruction import Kind, layout
from minigrad.compiler.table import CALLS, IMPURE, PARTS

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def counted() -> tuple[mg.Primitive, list[float]]:
    seen: list[float] = []
    return mg.primitive(lambda x: seen.append(float(np.sum(x))) or x * 1.0, lambda g, y, x: g, name="counted"), seen


def test_an_impure_call_is_made_each_time_though_nobody_needs_its_result() -> None:
    p, seen = counted()
    assert mg.compile_as(p, pure=False) is p
    f = mg.compile(lambda x: (p(x), p(x), x * 2)[2])
    for k in range(3):
        seen.clear()
        assert np.array_equal(f(X + k).data, (X + k) * 2)
        assert seen[-2:] == [float(np.sum(X + k))] * 2


def test_a_pure_call_that_nobody_needs_is_made_in_no_replay() -> None:
    p, seen = counted()
    f = mg.compile(lambda x: (p(x), x * 2)[1])
    f(X)
    seen.clear()
    f(X)
    assert seen == []


@pytest.mark.parametrize(
    "parts",
    [lambda out: [out[:2]], lambda out: [out[:1], out[1:]], lambda out: [out[:2].copy(), out[2:]], lambda out: [2, 4]],
    ids=["too few", "other shapes", "a copy", "positions"],
)  # fmt: skip
def test_parts_that_are_no_views_of_the_result_in_the_inputs_shapes_are_refused(parts: Any) -> None:
    joined = mg.primitive(lambda a, b: np.concatenate([a, b]), name="joined")
    mg.compile_as(joined, parts=parts)
    with pytest.raises(ValueError, match=r"compile_as: parts\(out\) of joined must give views of out, \(4, 3\)"):
        mg.compile(lambda x: joined(mg.tanh(x), mg.sin(x)))(X)


def test_prepared_calls_write_the_result() -> None:
    asked = []

    def calls(out: Any, x: Any) -> Any:
        asked.append(out.shape)
        return [(np.multiply, (x, 3.0, out)), (np.add, (out, 1.0, out))]

    function = lambda x, out=None: np.add(3.0 * x, 1.0, out=out)
    p = mg.compile_as(mg.primitive(function, lambda g, y, x: g * 3.0, name="affine"), calls=calls)
    f = mg.compile(lambda x: p(x) * 2)
    assert np.array_equal(f(X).data, (3 * X + 1) * 2)
    assert np.array_equal(f(-X).data, (1 - 3 * X) * 2)
    assert asked == [(2, 3)]


def into_a_copy(x: Any, out: Any = None) -> Any:
    out = np.empty_like(x) if out is None else out
    out[:1] = 3 * x[:1]
    return np.concatenate([out[:1], 3 * x[1:]])


def in_place(x: Any, out: Any = None) -> Any:
    y = np.multiply(x, 3, out=out)
    return y if out is None else None


@pytest.mark.parametrize(
    "function",
    [lambda x, out=None: x * 3, into_a_copy, in_place, lambda x, *, out=None: np.multiply(x, 3, out=out)[...],
     lambda x, out="product": x * 3 if out == "product" else x + 3],
    ids=["out not used", "used in part", "returns nothing", "returns a view", "another meaning"],
)  # fmt: skip
def test_what_a_users_function_returns_is_its_result_whatever_it_does_with_out(function: Any) -> None:
    tripled = mg.primitive(function, lambda g, y, x: 3 * g, name="tripled")

    def several(x: Any) -> Any:
        for _ in range(4):  # which is a loop
            x = tripled(x) - 1.0
        return x

    f = mg.compile(several)
    for k in (1.0, 2.0, 1.0):
        np.testing.assert_array_equal(f(k * X), 81 * k * X - 40)


def test_prepared_calls_go_before_those_of_a_ufunc() -> None:
    p = mg.compile_as(
        mg.primitive(np.multiply, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x, name="times"),
        calls=lambda out, x, y: [(np.multiply, (x, y, out)), (np.negative, (out, out))],
    )
    assert np.array_equal(mg.compile(p)(X, X + 1).data, -X * (X + 1))


def test_what_only_collects_its_inputs_has_them_computed_where_they_go() -> None:
    def pair(x: Any, y: Any, out: Any = None) -> Any:
        out = np.empty((2, *np.shape(x))) if out is None else out
        out[0], out[1] = x, y
        return out

    rules = [lambda g, z, x, y: g[0], lambda g, z, x, y: g[1]]
    p = mg.compile_as(mg.primitive(pair, *rules, name="pair"), parts=lambda out: [out[0], out[1]])
    f = mg.compile(lambda x: p(mg.tanh(x), mg.exp(x)))
    assert np.array_equal(f(X).data, [np.tanh(X), np.exp(X)])
    assert np.array_equal(f(-X).data, [np.tanh(-X), np.exp(-X)])
    assert len(f.program.calls) == 2  # tanh and exp, and nothing is copied


def test_parts_that_an_array_says_are_looked_for_in_each_call() -> None:
    def put(x: Any, at: Any) -> Any:
        out = np.zeros((3, *np.shape(x)))
        out[int(at)] = x
        return out

    p = mg.compile_as(mg.primitive(put, name="put"), parts=lambda out, at: [out[int(at), ...]])
    f = mg.compile(lambda x, at: p(mg.tanh(x), at=at))
    for at in np.arange(3):
        np.testing.assert_array_equal(f(X, at), put(np.tanh(X), at))


def test_what_was_said_of_a_primitive_before_is_forgotten() -> None:
    p, _ = counted()
    mg.compile_as(p, pure=False, parts=lambda out: [out], calls=lambda out, x: None)
    assert all(p in table for table in (IMPURE, PARTS, CALLS))
    mg.compile_as(p)
    assert not any(p in table for table in (IMPURE, PARTS, CALLS))


def test_only_primitives_have_a_place_in_the_table() -> None:
    with pytest.raises(TypeError, match="compile_as: the first argument must be a primitive, got function"):
        mg.compile_as(lambda x: x, pure=False)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_parts_behind_one_another_are_where_the_views_lie(shape: list[int], data: Any) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    ends = tuple(sorted({*data.draw(st.lists(st.integers(1, shape[axis]))), shape[axis]}))
    like = np.zeros(shape[::-1]).T if data.draw(st.booleans()) else np.zeros(shape)
    lying = layout(like.shape, like.dtype, like.strides)
    for p, static in ((shapes._stack, {"axis": axis}), (shapes._concatenate, {"axis": axis, "ends": ends})):
        kind = Kind(p, (), static, lying, None)
        assert _pattern(kind, lying) == _viewed(kind, lying)


@given(st.integers(1, 4), st.data())
def test_entries_that_are_all_there_are_where_the_views_lie(size: int, data: Any) -> None:
    entries = data.draw(st.permutations(range(size)))
    other = data.draw(st.sampled_from([*range(-size, size), slice(0, 1), True, (0, 1)]))
    indices = [k - size if data.draw(st.booleans()) else k for k in entries]
    lying = layout((size, 2, 3), np.dtype(np.float32), data.draw(st.sampled_from([None, (4, 24 * size, 4 * size)])))
    for found in (indices, indices[1:], [*indices, other], [*indices[1:], other]):
        kind = Kind(
            shapes.place, (), {"indices": tuple(found), "shape": lying.shape, "dtype": lying.dtype}, lying, None
        )
        assert _pattern(kind, lying) == _viewed(kind, lying)
