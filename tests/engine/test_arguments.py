"""What a primitive takes: inputs by position, few keywords by name, rules that fit; all else is refused by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import primitive
from minigrad.served import by_function, by_ufunc
from minigrad.testing import check_grad

X = np.arange(6.0).reshape(2, 3)
OUT = np.zeros((2, 3))


@pytest.fixture(autouse=True)
def _unregistered() -> Iterator[None]:
    """NumPy's functions mean what they meant before this test."""
    kept = dict(by_ufunc), dict(by_function)
    yield
    for table, before in zip((by_ufunc, by_function), kept, strict=True):
        table.clear()
        table.update(before)  # type: ignore[arg-type]


def leaf() -> mg.Tensor:
    return mg.tensor(X, requires_grad=True)


# --- keywords --------------------------------------------------------------------------------------------------------

WORDS: dict[str, Any] = {"where": X > 1, "out": OUT, "dtype": np.float32, "casting": "unsafe"}
DOORS = {
    "mg.tanh": lambda t, **words: mg.tanh(t, **words),
    "np.tanh": lambda t, **words: np.tanh(t, **words),
    "mg.add": lambda t, **words: mg.add(t, 1.0, **words),
    "np.add": lambda t, **words: np.add(t, 1.0, **words),
    "mg.relu": lambda t, **words: mg.relu(t, **words),
    "t.sigmoid": lambda t, **words: t.sigmoid(**words),
    "mg.sum": lambda t, **words: mg.sum(t, **words),
    "np.sum": lambda t, **words: np.sum(t, **words),
    "np.mean": lambda t, **words: np.mean(t, **words),
    "mg.argmax": lambda t, **words: mg.argmax(t, **words),
    "mg.greater": lambda t, **words: mg.greater(t, 0.0, **words),
    "mg.stack": lambda t, **words: mg.stack([t], **words),
    "mg.einsum": lambda t, **words: mg.einsum("ij->i", t, **words),
    "np.clip": lambda t, **words: np.clip(t, 0.0, 1.0, **words),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_keywords_of_numpy_that_are_not_taken_are_refused_by_name(door: Any, word: str) -> None:
    with pytest.raises(TypeError, match=word):
        door(leaf(), **{word: WORDS[word]})
    with pytest.raises(TypeError, match=word):
        mg.compile(lambda t: door(t, **{word: WORDS[word]}))(leaf())
    assert not OUT.any()


@pytest.mark.parametrize("word", ["dim", "dims", "axes"])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "var", "softmax", "logsumexp", "cumsum", "norm", "squeeze"])
def test_the_right_name_of_an_axis_is_said(name: str, word: str) -> None:
    with pytest.raises(TypeError, match=f"{name}: does not take {word}=; it is called axis="):
        getattr(mg, name)(leaf(), **{word: 1})


@pytest.mark.parametrize("call", [mg.stack, mg.concatenate], ids=lambda f: f.__name__)
def test_the_right_name_of_an_axis_is_said_where_parts_are_joined(call: Any) -> None:
    with pytest.raises(TypeError, match="axis="):
        call([leaf(), leaf()], dim=1)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "var", "logsumexp", "norm"])
def test_keepdim_is_called_keepdims(name: str) -> None:
    with pytest.raises(TypeError, match="keepdims="):
        getattr(mg, name)(leaf(), keepdim=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: mg.tanh(t, OUT),
        lambda t: mg.add(t, 1.0, OUT),
        lambda t: mg.cumsum(t, 0, OUT),
        lambda t: mg.greater(t, 0.0, np.zeros((2, 3), bool)),
        lambda t: mg.tanh(mg.tensor(X), OUT),
        lambda t: np.cumsum(t, 0, np.float32),
        lambda t: np.sum(t, 0, np.float32),
        lambda t: np.mean(t, 0, np.float32),
        lambda t: np.argmax(t, 0, np.zeros(3, int)),
        lambda t: mg.argmax(t, 0, np.zeros(3, int)),
        lambda t: np.reshape(t, (3, 2), "F"),
    ],
)
def test_options_of_numpy_by_position_are_refused(call: Any) -> None:
    with pytest.raises(TypeError, match=r"positional|does not take"):
        call(leaf())


def test_options_of_numpy_by_position_mean_what_they_mean_there() -> None:
    t = leaf()
    np.testing.assert_array_equal(np.sum(t, 0, None, None, True).data, np.sum(X, 0, None, None, True))
    np.testing.assert_array_equal(np.var(t, 0, None, None, 1).data, np.var(X, 0, None, None, 1))
    np.testing.assert_array_equal(np.reshape(t, (3, 2), "C").data, X.reshape(3, 2))


def test_a_keyword_that_requires_a_gradient_is_refused() -> None:
    scaled = primitive(lambda x, by=1.0: x * by, lambda g, y, x, by=1.0: g * by, name="scaled")
    looked_at = primitive(lambda x, by=1.0: x * float(by), lambda g, y, x, by=1.0: g * by, name="looked_at")
    w = mg.tensor(2.0, requires_grad=True)
    for call in (scaled, looked_at, mg.compile(scaled)):
        with pytest.raises(TypeError, match="keyword"):
            call(leaf(), by=w)
    with pytest.raises(TypeError, match="keyword"):
        scaled(mg.tensor(X), by=w)
    listed = primitive(lambda x, ws: x * ws[0], lambda g, y, x, ws: g * ws[0], name="listed")
    with pytest.raises(TypeError, match="inside of a list"):
        listed(mg.tensor(X), [w])
    np.testing.assert_array_equal(scaled(leaf(), by=w.detach()).data, 2 * X)


def test_an_option_that_the_rule_does_not_take_is_refused_in_the_call() -> None:
    power = primitive(lambda x, n=2: x**n, lambda g, y, x: 2 * x * g, name="power_n")
    for call in (lambda: power(leaf(), n=3), lambda: power(leaf(), 3)):
        with pytest.raises(TypeError, match="power_n"):
            call()
    np.testing.assert_array_equal(power(leaf()).data, X**2)


# --- declarations ----------------------------------------------------------------------------------------------------


class Rule:
    def __call__(self, g: Any, y: Any, x: Any) -> Any:
        return g


WRONG = {
    "too few": (np.sin, [lambda g, y: g], r"sin takes \(g, y\).*rule\(g, y, x\)"),
    "none": (np.sin, [lambda: 0.0], "sin"),
    "too many": (np.sin, [lambda g, y, x, z: g], "sin"),
    "a static argument nobody gives": (np.sin, [lambda g, y, x, *, s: g], "sin"),
    "two for one input": (np.sin, [lambda g, y, x: g] * 2, "sin has 1 inputs, got 2 rules"),
    "one for two inputs": (np.multiply, [lambda g, z, x, y: g * y], "multiply has 2 inputs, got 1 rules"),
    "the second of two": (np.multiply, [lambda g, z, x, y: g * y, lambda g, z, x: g], "input 1 of multiply"),
    "a function's second input": (lambda x, y: x * y, [lambda g, z, x: g], "input 0"),
    "more than inputs": (lambda x: x, [lambda g, y, x: g] * 2, "1 inputs, got 2 rules"),
    "a required keyword": (lambda x, *, s: x * s, [lambda g, y, x: g], "s="),
    "a keyword with a default": (lambda x, *, s=2.0: x * s, [lambda g, y, x: 2 * g], "s="),
    "two results": (np.modf, [lambda g, y, x: g], "2 results"),
    "no function": (np.sin, [3.0], "must be a function or None"),
    "an array as the function": (np.ones(2), [lambda g, y, x: g], "first argument must be a function"),
}


@pytest.mark.parametrize(("function", "rules", "named"), WRONG.values(), ids=WRONG)
def test_rules_that_do_not_fit_are_refused_where_they_are_declared(function: Any, rules: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        primitive(function, *rules)


@pytest.mark.parametrize("joint", [lambda g, y: [g], lambda g, z, x: [g]])
def test_a_joint_rule_that_does_not_fit_is_refused_where_it_is_declared(joint: Any) -> None:
    with pytest.raises(TypeError, match="joint rule of multiply"):
        primitive(np.multiply, joint=joint)


FITTING = {
    "any arguments": (np.sin, [lambda *arrays: arrays[0]]),
    "a partial": (np.sin, [functools.partial(lambda k, g, y, x: g * k, 2)]),
    "a callable object": (np.sin, [Rule()]),
    "a builtin": (np.sin, [max]),
    "a default of its own": (np.sin, [lambda g, y, x, k=3: g * k]),
    "any keywords": (lambda x, *, s: x * s, [lambda g, y, x, **static: g]),
    "a keyword for an argument": (lambda x, n: x * n, [lambda g, y, x, *, n: g * n]),
    "an option that is always given": (np.cumsum, [lambda g, y, x, axis: g]),
    "an option that is always given by name": (lambda x, n=2: x**n, [lambda g, y, x, *, n: g]),
    "an option by another name": (lambda x, axis=None: x, [lambda g, y, x, a: g]),
    "one that is named after another function": (np.sin, [functools.wraps(lambda x: x)(lambda g, y, x: g)]),
    "None": (np.multiply, [None, lambda g, z, x, y: g * x]),
    "fixed ones of any inputs": (lambda *xs: xs[0] * xs[1], [lambda g, z, a, b: g * b, lambda g, z, a, b: g * a]),
}


@pytest.mark.parametrize(("function", "rules"), FITTING.values(), ids=FITTING)
def test_rules_that_fit_are_taken(function: Any, rules: Any) -> None:
    assert primitive(function, *rules).differentiable


def test_a_rule_that_is_named_after_another_function_is_called_as_it_is() -> None:
    rule = functools.wraps(lambda x: x)(lambda g, y, x, n: g * n)
    scaled = primitive(lambda x, n: x * n, rule)
    assert mg.grad(lambda x: scaled(x, n=3.0))(1.0).item() == 3.0
    assert mg.grad(lambda x: scaled(x, 3.0))(1.0).item() == 3.0


def test_split_takes_a_number_of_sections_in_an_array_and_refuses_half_ones() -> None:
    assert [part.shape for part in mg.split(mg.tensor(X), np.array(3), 1)] == [(2, 1)] * 3
    with pytest.raises(TypeError, match=r"split: sections must be an integer or positions, got 1\.5"):
        mg.split(mg.tensor(X), 1.5, 1)  # type: ignore[arg-type]


# --- what rules raise ------------------------------------------------------------------------------------------------


def failing(error: Exception, joint: bool = False) -> Any:
    def rule(g: Any, y: Any, x: Any) -> Any:
        raise error

    doubled = lambda x: 2.0 * x
    return primitive(doubled, joint=rule, name="bad") if joint else primitive(doubled, rule, name="bad")


ERRORS = [KeyError("k"), ValueError("v"), ZeroDivisionError("z"), np.linalg.LinAlgError("l"), AssertionError("a")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_exception_in_a_rule_keeps_its_kind_and_names_primitive_and_input(error: Exception) -> None:
    with pytest.raises(type(error), match=rf"bad: the rule for input 0 raised .*{__file__}:\d+ in ") as caught:
        failing(error)(leaf()).sum().backward()
    assert caught.value.__cause__ is error


def test_an_exception_of_the_users_own_kind_comes_as_a_runtime_error() -> None:
    class OwnError(Exception):
        def __init__(self, one: Any, two: Any) -> None:
            super().__init__(one, two)

    with pytest.raises(RuntimeError, match="bad: the joint rule raised OwnError"):
        failing(OwnError(1, 2), joint=True)(leaf()).sum().backward()


def test_an_exception_in_a_rule_names_the_users_line_where_it_is_known() -> None:
    with mg.detect_anomaly(), pytest.raises(KeyError, match=__file__):
        failing(KeyError("k"))(leaf()).sum().backward()


def test_a_joint_rule_that_returns_nothing_is_named() -> None:
    with pytest.raises(ValueError, match="bad: the joint rule returned None"):
        primitive(lambda x: 2.0 * x, joint=lambda g, y, x: None, name="bad")(leaf()).sum().backward()


# --- NumPy's own names -----------------------------------------------------------------------------------------------


def test_a_primitive_of_any_numpy_function_serves_its_name() -> None:
    primitive(np.fliplr, lambda g, y, x: np.fliplr(g))
    primitive(np.linalg.inv, lambda g, y, a: -(mg.swapaxes(y, -1, -2) @ g @ mg.swapaxes(y, -1, -2)))
    primitive(np.fft.fftshift, lambda g, y, x: np.fft.ifftshift(g))
    weights = np.arange(9.0).reshape(3, 3)
    for function in (np.fliplr, np.linalg.inv, np.fft.fftshift):
        check_grad(lambda x: (function(x) * weights).sum(), np.eye(3) + 0.1)  # noqa: B023


def test_the_first_declared_serves_the_name_and_ours_are_declared_first() -> None:
    first = primitive(np.fliplr, lambda g, y, x: np.fliplr(g), name="first")
    primitive(np.fliplr, lambda g, y, x: 0 * g, name="second")
    primitive(np.sum, lambda g, y, x: 0 * g, name="wrong_sum")
    assert np.fliplr(leaf()).primitive is first
    assert np.sum(leaf()).primitive is mg.sum


def test_a_declared_function_is_not_called_on_plain_arrays_any_more() -> None:
    primitive(np.round, lambda g, y, x: g, name="straight_through")
    assert mg.grad(lambda x: np.round(x).sum())(X).data.tolist() == np.ones((2, 3)).tolist()


@pytest.mark.parametrize("call", [lambda t: np.fliplr(m=t), lambda t: np.block([t, t])], ids=["name", "list"])
def test_tensors_that_are_no_positional_arguments_of_a_declared_function_are_refused(call: Any) -> None:
    primitive(np.fliplr, lambda g, y, m: np.fliplr(g))
    primitive(np.block, joint=lambda g, y, xs: [g])
    with pytest.raises(TypeError, match=r"np\.(fliplr|block): give a Tensor by position"):
        call(leaf())


def test_a_missing_rule_is_named_in_full_and_the_advice_leads_to_no_lost_gradient() -> None:
    with pytest.raises(TypeError, match=r"np\.linalg\.pinv has no .*mg\.linalg\.solve.*mg\.primitive") as caught:
        np.linalg.pinv(leaf())
    assert "t.data" not in str(caught.value)
    with pytest.raises(TypeError, match=r"np\.fft\.fft has no"):
        np.fft.fft(leaf())


# --- real numbers ----------------------------------------------------------------------------------------------------

C = np.ones((2, 3)) * 1j
COMPLEX = {
    "t * 1j": lambda t: t * 1j,
    "1j * t": lambda t: 1j * t,
    "t + array": lambda t: t + C,
    "array + t": lambda t: C + t,
    "np.multiply": lambda t: np.multiply(t, 1j),
    "where": lambda t: mg.where(X > 1, t, 1j),
    "stack": lambda t: mg.stack([t, C]),
    "power": lambda t: (t + 1.0) ** 1j,
    "pad": lambda t: mg.pad(t, 1, 1j),
    "astype": lambda t: t.astype(complex),
    "tensor": lambda t: mg.tensor(C),
    "tensor with a dtype": lambda t: mg.tensor(C, dtype=float),
    "data": lambda t: setattr(t, "data", C),
    "backward": lambda t: (2.0 * t).backward(C),
    "grad": lambda t: mg.grad(lambda x: x)(1j),
    "cotangent": lambda t: mg.vjp(lambda x: 2 * x, X)[1](C),
    "direction": lambda t: mg.jvp(lambda x: 2 * x, (X,), (C,)),
    "a function's result": lambda t: primitive(lambda x: x * 1j, lambda g, y, x: g, name="rotated")(t),
    "compiled": lambda t: mg.compile(lambda x: x * C)(t),
}


@pytest.mark.parametrize("call", COMPLEX.values(), ids=COMPLEX)
def test_complex_numbers_are_refused_on_the_way_in(call: Any) -> None:
    with pytest.raises(TypeError, match="real"):
        call(leaf())


scaled = primitive(lambda x, n=1.0: x * n, lambda g, y, x, n=1.0: g * n, name="scaled")
NOT_REAL = {
    "t * 1j": lambda t: t * 1j,
    "objects": lambda t: t * np.array([1, 2, 3], object),
    "a static argument": lambda t: scaled(t, n=1j),
    "place": lambda t: mg.place(t, indices=(0,), shape=(1, 2, 3), dtype=complex),
} | {f"astype {dtype}": lambda t, dtype=dtype: mg.astype(t, dtype) for dtype in ("complex", "O", "S8", "m8[s]")}


@pytest.mark.parametrize("f", NOT_REAL.values(), ids=NOT_REAL)
def test_constants_and_traces_hold_real_numbers_as_well(f: Any) -> None:
    for call in (f, mg.compile(f), mg.compile(mg.grad(lambda t: f(t).sum()))):
        with pytest.raises(TypeError, match="real"):
            call(mg.tensor(X))


def test_a_static_argument_that_makes_complex_numbers_is_refused_in_a_later_call_too() -> None:
    scaled(leaf(), n=2.0)
    with pytest.raises(TypeError, match="real"):
        scaled(leaf(), n=1j)


def test_a_function_that_returns_several_arrays_is_refused() -> None:
    with pytest.raises(TypeError, match="tuple of 2"):
        primitive(lambda x: (x, x), lambda g, y, x: g, name="pair")(leaf())
