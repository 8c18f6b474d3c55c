"""Eager and compiled functions take the same shapes, axes, indices and widths, in all spellings of NumPy."""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg

X = np.arange(6.0).reshape(2, 3) / 3
I = np.int64
A = np.array
SPELLINGS: dict[str, tuple[Any, list[Any]]] = {
    "reshape": (mg.reshape, [[3, 2], A([3, 2]), (I(3), I(2)), (3, -1), range(3, 1, -1), 6, I(6), A(6)]),
    "t.reshape": (lambda x, a: x.reshape(*a), [(3, 2), [3, 2], A([3, 2]), ([3, 2],), (A([3, 2]),)]),
    "transpose": (mg.transpose, [[1, 0], A([1, 0]), (I(1), I(0)), (-1, 0), range(1, -1, -1)]),
    "t.transpose": (lambda x, a: x.transpose(*a), [(1, 0), A([1, 0]), ([1, 0],), (A([1, 0]),), (None,), ()]),
    "broadcast_to": (mg.broadcast_to, [[4, 2, 3], A([4, 2, 3]), (I(4), 2, 3)]),
    "moveaxis": (lambda x, a: mg.moveaxis(x, *a), [([0, 1], [1, 0]), (A([0, 1]), A([1, 0])), (I(0), I(1))]),
    "swapaxes": (lambda x, a: mg.swapaxes(x, *a), [(I(0), I(1)), (A(0), 1)]),
    "expand_dims": (mg.expand_dims, [[0, 1], (0, -1), I(1), A(1)]),
    "squeeze": (lambda x, a: mg.squeeze(x.reshape(1, 2, 1, 3), a), [(0, 2), I(0), A(0)]),
    "flip": (mg.flip, [[0], [0, 1], A([0, 1]), I(1)]),
    "pad": (mg.pad, [[(1, 1), (0, 2)], A([[1, 1], [0, 2]]), [1, 2], I(1), A(1), [[1], [2]]]),
    "sum": (mg.sum, [I(1), A(1), (0, 1), (I(0),)]),
    "mean": (lambda x, a: mg.mean(x, axis=a), [I(1), A(1), (0, 1), (I(0),)]),
    "max": (mg.max, [I(1), A(1), (0, 1)]),
    "softmax": (mg.softmax, [I(1), A(1), (0, 1)]),
    "getitem": (lambda x, a: x[a], [[0, 1], A([1, 1, 0]), ([0, 1], [1, 2]), I(1), (0, range(2)), [True, False]]),
    "take": (lambda x, a: mg.take(x, a, axis=1), [[0, 2], A([0, 2]), I(1), range(2), (0, 1)]),
    "split": (lambda x, a: mg.split(x, a, axis=1)[0], [[1], A([1, 2]), I(3), range(1, 3)]),
    "stack": (lambda x, a: mg.stack([x, x], axis=a), [I(1), A(1)]),
    "clip": (lambda x, a: mg.clip(x, *a), [([0.1, 0.2, 0.3], 1), (A([0.1, 0.2, 0.3]), None), (I(0), I(1))]),
    "where": (lambda x, a: mg.where(a, x, 0.0), [[[True, False, True]], A([True, False, True]), [1, 0, 1]]),
    "multiply": (lambda x, a: x * a, [[1, 2, 3], A([1, 2, 3]), I(3)]),
}
CASES = [(f"{name} {a!r}", f, a) for name, (f, spellings) in SPELLINGS.items() for a in spellings]


@pytest.mark.parametrize(("f", "a"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_values_and_derivatives_of_both_orders_are_those_of_eager(f: Any, a: Any) -> None:
    loss = lambda x: (f(x, a) ** 2).sum()
    for g in (lambda x: f(x, a), mg.grad(loss), lambda x: mg.hvp(loss, (x,), (X,))[0]):
        np.testing.assert_allclose(mg.compile(g)(mg.tensor(X)).data, g(mg.tensor(X)).data, rtol=1e-14)


REFUSED = [
    lambda t: t.transpose(0),
    lambda t: t.transpose(()),
    lambda t: np.transpose(t, 1),
    lambda t: mg.transpose(t, (0,)),
    lambda t: mg.sum(t, axis=[0, 1]),
    lambda t: mg.reshape(t, [4, 2]),
]


@pytest.mark.parametrize("f", REFUSED)
def test_what_numpy_refuses_is_refused_by_both(f: Any) -> None:
    for call in (f, mg.compile(f)):
        with pytest.raises((TypeError, ValueError), match=r"transpose|sum|reshape"):
            call(mg.tensor(X))


@pytest.mark.parametrize("axes", [0, (0,), [0], None])
def test_a_vector_is_transposed_by_its_one_axis(axes: Any) -> None:
    slope = mg.grad(lambda v: (np.transpose(v, axes) * A([1.0, 2.0])).sum())
    assert slope(np.ones(2)).data.tolist() == [1.0, 2.0]


def test_a_users_own_setting_reaches_its_rule_as_it_was_given() -> None:
    rolled = mg.primitive(
        lambda x, shift: np.roll(x, shift), lambda g, y, x, shift: rolled(g, [-s for s in shift]), name="rolled"
    )
    slope = mg.grad(lambda x: (rolled(x, [1]) * A([1.0, 2.0, 3.0])).sum())
    assert slope(np.ones(3)).data.tolist() == mg.compile(slope)(np.ones(3)).data.tolist() == [2.0, 3.0, 1.0]


def test_a_widths_dict_goes_as_in_numpy() -> None:
    try:
        expected = np.pad(X, {-1: (1, 2)})  # type: ignore[call-overload]
    except (TypeError, ValueError):
        pytest.skip("this NumPy takes no dict of widths")
    y, pullback = mg.vjp(lambda x: mg.pad(x, {-1: (1, 2)}), X)
    np.testing.assert_array_equal(y.data, expected)
    np.testing.assert_array_equal(pullback(expected)[0].data, X)


def test_the_program_before_the_first_call_is_refused_by_name() -> None:
    def step(x: Any) -> Any:
        return 2 * x

    compiled = mg.compile(step)
    with pytest.raises(RuntimeError, match=r"step .*call it once"):
        compiled.program.describe()
    compiled(mg.tensor(X))
    assert "multiply" in compiled.program.describe()


def test_keywords_are_told_apart_by_their_names() -> None:
    f = lambda x: mg.clip(mg.tanh(x), low=0.1) + mg.clip(mg.tanh(x), high=0.1)
    x = mg.tensor([[-1.0, 0.2], [0.05, 2.0]])
    np.testing.assert_array_equal(mg.compile(f)(x).data, f(x).data)


def test_an_index_out_of_range_among_several_is_told_as_such_in_a_trace() -> None:
    with pytest.raises(IndexError, match=r"index 3 is out of bounds for axis 1"):
        mg.compile(lambda x: mg.take_along_axis(x, mg.argsort(x) + 3, 1))(np.arange(6.0).reshape(2, 3))


def test_a_slice_may_be_an_argument() -> None:
    calls = []
    f = mg.compile(lambda x, part: calls.append(part) or x[part] * 2.0)
    for part in (slice(1, None), slice(1, None), slice(None, None, -1), (slice(1), 0)):
        x = np.arange(6.0).reshape(3, 2)
        np.testing.assert_array_equal(f(x, part), x[part] * 2.0)
    assert len(calls) == 3


def test_a_keyword_may_be_a_tensor() -> None:
    edge = mg.tensor(-0.2)
    f = mg.compile(lambda x: mg.pad(x, ((1, 1), (0, 0)), constant_values=edge))
    np.testing.assert_array_equal(f(mg.tensor(np.ones((1, 2)))).data, [[-0.2, -0.2], [1.0, 1.0], [-0.2, -0.2]])


def test_what_integers_do_is_refused_as_in_a_plain_run_also_if_they_are_picked() -> None:
    exponents = mg.tensor([[1, 2], [-1, -2]])
    f = lambda x: x * 2 ** exponents[1]
    for g in (f, mg.compile(f)):
        with pytest.raises(ValueError, match=r"^power: "):
            g(mg.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    "of", [lambda x, v: x @ v, lambda x, v: x**v, lambda x, v: mg.maximum(v, x)], ids=["@", "**", "max"]
)
@pytest.mark.parametrize(
    "v", [(2.0, 0.5, 1.0), range(1, 4), memoryview(np.array([2.0, 1.0, 0.5])), array("d", [1.0, 2.0, 3.0])], ids=type
)
def test_what_numpy_reads_as_an_array_is_an_operand_of_a_compiled_function(of: Any, v: Any) -> None:
    f = lambda x: of(x, v)
    slopes = mg.grad(lambda x: mg.sum(f(x)))
    x = mg.tensor(X + 0.5)
    np.testing.assert_array_equal(mg.compile(f)(x).data, f(x).data)
    np.testing.assert_allclose(mg.compile(slopes)(x).data, slopes(x).data, rtol=1e-15)


@pytest.mark.parametrize("f", [mg.softmax, mg.tanh, lambda x: mg.stack([x, x]), mg.grad(lambda x: mg.sum(x * x))])
@pytest.mark.parametrize("dtype", [">f8", ">f4"])
def test_big_endian_arguments_give_native_results_as_in_a_plain_run(f: Any, dtype: str) -> None:
    x = np.array([0.5, -2.0, 1.5], dtype)
    expected, found = f(x), mg.compile(f)(x)
    assert found.dtype == expected.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


class Scaled(NamedTuple):
    by: Any
    times: int


class Named(dict[str, Any]):
    times = 1


def named(by: Any, times: int) -> Named:
    found = Named(by=by)
    found.times = times
    return found


by_keywords = mg.primitive(lambda x, a, b: x * a - b, name="by_keywords")
by_dict = mg.primitive(lambda x, d: x * d["a"] - d[0], name="by_dict")
by_tuple = mg.primitive(lambda x, s: x * s.by * s.times, name="by_tuple")
by_named = mg.primitive(lambda x, s: x * s["by"] * s.times, name="by_named")
TREES: dict[str, Any] = {
    "keywords": lambda x, s, t: [by_keywords(x, a=s, b=t), by_keywords(x, b=t, a=s)],
    "dict": lambda x, s, t: [by_dict(x, {"a": s, 0: t}), by_dict(x, d={0: t, "a": s})],
    "named tuple": lambda x, s, t: [by_tuple(x, s=Scaled(s, k)) for k in range(9)],
    "dict with an attribute": lambda x, s, t: [by_named(x, s=named(s, k)) for k in range(9)],
}


@pytest.mark.parametrize("name", TREES)
def test_arrays_in_trees_are_told_by_their_names_whatever_their_order(name: str) -> None:
    """Two calls, one as quickly gone as the other, and alike but for the order of names, or for what is no array."""
    given = X, A(2.0), A(5.0)
    np.testing.assert_array_equal(mg.compile(TREES[name])(*given), TREES[name](*given))


class Marked(list[Any]):
    times: Any = 1


def marked(entry: Any, times: Any) -> Marked:
    found = Marked([entry])
    found.times = times
    return found


TWO = [(2.0, 3.0), (2, 2.0), (np.float64(2.0), np.float64(3.0)), ([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]), (A(2.0), A(3.0))]


@pytest.mark.parametrize("times", TWO, ids=repr)
@pytest.mark.parametrize("of", [named, marked])
def test_attributes_of_a_list_or_dict_are_told_apart(of: Any, times: Any) -> None:
    f = lambda d: (d[0] if isinstance(d, list) else d["by"]) * d.times
    compiled = mg.compile(f)
    for by in (*times, *times):
        expected = f(given := of(X, by))
        np.testing.assert_array_equal(compiled(given), expected, strict=True)
    assert sum(map(len, compiled.programs.values())) == 2


@pytest.mark.parametrize("keywords", [{"dtype": np.float32}, {"where": X > 1}, {"out": np.zeros((2, 3))}], ids=str)
def test_keywords_of_a_function_of_numpy_are_refused_and_not_left_out(keywords: Any) -> None:
    with pytest.raises(TypeError, match=f"does not take {next(iter(keywords))}="):
        mg.compile(lambda x: np.add(x, x, **keywords))(X)
