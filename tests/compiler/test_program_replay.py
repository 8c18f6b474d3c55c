"""compile: what a replay reads and returns, and calls that are prepared for it."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import minigrad as mg

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
Pair = namedtuple("Pair", ["a", "b"])


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


def test_results_come_in_the_structure_of_the_function() -> None:
    f = mg.compile(lambda x: {"p": Pair(x + 1, [x * 2, (x,)]), "q": (), "r": [[], ((x - 1, None), 3)]})
    for _ in range(2):
        found = f(X)
        assert type(found["p"]) is Pair
        assert found["q"] == ()
        assert found["r"][0] == []
        assert found["r"][1][0][1] is None
        assert found["r"][1][1] == 3
        for x, expected in [(found["p"].a, X + 1), (found["p"].b[0], X * 2), (found["r"][1][0][0], X - 1)]:
            same(x, expected)


def test_results_may_be_nested_deeper_than_python_parses() -> None:
    def nested(x: Any) -> Any:
        for _ in range(250):
            x = (x,)
        return x

    f = mg.compile(lambda x: nested(x * 2))
    for _ in range(2):
        assert repr(f(X)) == repr(nested(X * 2))


ALIKE = [((1,), 2), (1, (2,)), ((1, 2), ()), ([1], 2), ((True,), 2), ((1.0,), 2), ({"a": 1}, 2), ({"b": 1}, 2)]
ALIKE += [((1, 2),), ([1, 2],), ([1], [2]), ("a", "b"), ("ab", ""), (None, None), ((None, None), ())]


def test_arguments_of_other_structure_or_type_have_programs_of_their_own() -> None:
    calls: list[Any] = []
    f = mg.compile(lambda x, *args: calls.append(args) or x * 2)
    for _ in range(2):
        for args in ALIKE:
            same(f(X, *args), X * 2)
    assert len(calls) == len(ALIKE)
    assert [*map(repr, calls)] == [*map(repr, ALIKE)]


@pytest.mark.parametrize("rows", [1, 3, 2000])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_rows_are_picked_by_indices_of_either_sign_and_none_out_of_range(rows: int, dtype: Any) -> None:
    f = mg.compile(lambda x, k: x[k])
    k = np.arange(rows).astype(dtype) % 2
    same(f(X, k), X[k])
    if dtype != np.uint8:
        same(f(X, k - 2), X[k - 2])
    wrong = k.copy()
    wrong[rows // 2] = 2
    for _ in range(2):
        with pytest.raises(IndexError, match="index 2 is out of bounds"):
            f(X, wrong)
    same(f(X, k), X[k])


SHAPES = [[(1, 1, 3), (3,)], [(1, 1), ()], [(1, 3, 1), (4,)], [(1, 1, 3), (1, 3)], [(1, 0), (0,)], [(1, 2, 3), (2, 1)]]


@pytest.mark.parametrize("shapes", [*SHAPES, [(1, 1, 1), (1,)]], ids=str)
def test_first_axes_of_size_1_change_no_result(shapes: list[tuple[int, ...]]) -> None:
    a, b = (np.random.default_rng(0).standard_normal(shape) for shape in shapes)
    f = lambda a, b: (mg.tanh((a + b) * a - b) * 2, mg.maximum(b, a * a), a > b)
    compiled = mg.compile(f)
    for scale in (1.0, -0.5):
        for found, expected in zip(compiled(a * scale, b), f(a * scale, b), strict=True):
            same(found, expected)


def test_what_a_program_calls_may_call_the_compiled_function_again() -> None:
    last = mg.primitive(lambda x: x[:1] if len(x) > 8 else np.asarray(f(np.repeat(x, 2))), name="last")

    def plain(x: Any) -> Any:
        before = mg.tanh(x)  # which has to outlast the call
        return last(x) * 2.0 + mg.sum(before)

    def expected(x: Any) -> Any:
        return (x[:1] if len(x) > 8 else expected(np.repeat(x, 2))) * 2.0 + np.tanh(x).sum()

    f = mg.compile(plain)
    for x in (np.ones(16), np.array([0.5, 2.0]), np.array([1.0, -1.0])):  # the largest first: all share its memory
        np.testing.assert_allclose(f(x), expected(x), rtol=1e-14)


BY_VALUES: dict[str, Any] = {
    "itself or another": lambda x: x if x.max() < 4 else x / 2,
    "a part": lambda x: x[int(x[0] > 1) :][:2],
    "a view or another": lambda x: x.reshape(1, 3) if x[0] < 1.5 else 2 * x.reshape(1, 3),
    "the other way round": lambda x: x[::-1] if x[0] > 1.5 else x,
    "by out": lambda x, out=None: x if x.max() < 4 else np.multiply(x, 2, out=out),
}


@pytest.mark.parametrize("function", BY_VALUES.values(), ids=BY_VALUES)
@pytest.mark.parametrize("rules", [(), (lambda g, y, x: g,)], ids=["without a rule", "with a rule"])
def test_a_users_function_may_decide_by_values_whether_it_returns_a_view(function: Any, rules: Any) -> None:
    p = mg.primitive(function, *rules, name="p")
    for f in (p, lambda x: p(x * 2.0) + 1.0):
        compiled = mg.compile(f)
        for k in (0.5, 2.0, 0.5, 3.0):
            same(compiled(k * np.arange(1.0, 4.0)), f(k * np.arange(1.0, 4.0)))


def test_a_result_of_another_dtype_than_traced_is_refused() -> None:
    p = mg.primitive(lambda x: 0 if x.sum() < 10 else x.mean(), name="p")
    q = mg.primitive(lambda x, out=None: x if x.sum() < 10 else x.astype(np.float32), name="q")
    for f in (mg.compile(lambda x: p(x) + 0), mg.compile(lambda x: q(x) + 0)):
        f(np.ones(3))
        with pytest.raises(RuntimeError, match=r"has dtype float(64|32), and had .*64 while .*y.astype"):
            f(np.full(3, 9.0))


def test_a_users_function_may_not_change_what_a_replay_gives_it() -> None:
    def shifted(x: Any, *, by: Any = None) -> Any:
        for array in (x, by):
            if array is not None and array.max() > 4:
                array -= 1
        return x * 1.0

    p = mg.primitive(shifted, lambda g, y, x, by=None: g, name="shifted")
    w, by = mg.tensor([1.0, 2.0], requires_grad=True), np.zeros(2)
    calls = [(lambda x: (p(x), x * 2), 9.0), (lambda x: p(w) * x, 1.0), (lambda x: p(x, by=by), 1.0)]
    compiled = [mg.compile(f) for f, _ in calls]
    for f in compiled:
        f(np.ones(2))
    w.writable()[...] = by[:] = 5.0
    for f, (_, entry) in zip(compiled, calls, strict=True):
        with pytest.raises(ValueError, match=r"shifted: .* read-only"):
            f(np.full(2, entry))
    assert (w.data.tolist(), by.tolist()) == ([5.0, 5.0], [5.0, 5.0])
