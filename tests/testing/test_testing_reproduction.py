"""The lines that a report prints run, and fail as the check did, where the user's own names are known."""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import (
    GradientError,
    KinkError,
    arrays,
    check_cell,
    check_grad,
    check_jvp,
    check_primitive,
    check_vjp,
    given_grad,
)

FAILURES = (GradientError, KinkError)
doubled = mg.primitive(np.sin, lambda g, y, x: 2 * g * mg.cos(x), name="another name")
MANY = np.random.default_rng(0).uniform(-1, 1, (10, 20))


class Pair(NamedTuple):
    x: Any
    y: Any


class Layer:
    act = doubled

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        return scale * self.act.function(x)

    def backward(self, g: Any, x: Any) -> Any:
        return 2 * g * np.cos(x)

    def on_tensors(self, x: Any) -> Any:
        return doubled(x)


def lines_of(text: str) -> str:
    block = text.split("to reproduce:\n")[1]
    return "\n".join(line[4:] for line in block.splitlines() if line.startswith("    ") or not line)


def fails_again(check: Callable[[], None], names: dict[str, Any]) -> str:
    """Run a check that fails, then the lines it prints, which must fail in the same words; returns these lines."""
    with pytest.raises(FAILURES) as first:
        check()
    code = lines_of(str(first.value))
    with pytest.raises(type(first.value)) as second:
        exec(code, dict(names))
    assert str(second.value).partition("\n\n")[0] == str(first.value).partition("\n\n")[0]
    return code


X = np.array([0.3, -1.2])
layer = Layer()
HERE = globals()

CHECKS: dict[str, Callable[[], None]] = {
    "a lambda": lambda: check_grad(lambda x: doubled(x) * 2, X),
    "a lambda of several lines": lambda: check_vjp(
        np.sin,
        lambda g, x: (  # a comment
            2 * g * np.cos(x)
        ),
        X,
    ),
    "a pair that is unpacked": lambda: check_vjp(*(np.sin, lambda g, x: 2 * g * np.cos(x)), X),
    "methods": lambda: check_vjp(layer.forward, layer.backward, X),
    "a method of Tensors": lambda: check_grad(Layer().on_tensors, X),
    "an attribute of a class": lambda: check_primitive(Layer.act, X),
    "an item": lambda: check_grad({"f": doubled}["f"], X),
    "a partial": lambda: check_vjp(functools.partial(layer.forward, scale=3.0), layer.backward, X),
    "a function of a module": lambda: check_vjp(np.linalg.norm, lambda g, x: 2 * g * x / np.linalg.norm(x), X),
    "a forward rule": lambda: check_jvp(np.sin, lambda v, x: 2 * v * np.cos(x), X),
    "a primitive of another name": lambda: check_primitive(doubled, X),
    "static arguments": lambda: check_primitive(
        mg.primitive(np.sum, lambda g, y, x, axis: 2 * np.ones(x.shape), name="s"), np.ones((2, 3)), axis=(0, 1)
    ),
    "options": lambda: check_grad(doubled, X, mode="project", rtol=1e-3, atol=1e-9, eps=1e-3, seed=3, copies=False),
    "tolerances that matter": lambda: check_vjp(
        np.sin, lambda g, x: 1.000001 * g * np.cos(x), X, rtol=1e-9, mode="full"
    ),
    "order 2": lambda: check_grad(
        mg.primitive(np.sin, lambda g, y, x: g * np.cos(getattr(x, "data", x)), name="s"), X, order=2
    ),
    "only some inputs": lambda: check_grad(lambda x, y: x * doubled(y), X, X + 1, wrt=(1,)),
    "an integer input": lambda: check_grad(lambda x, k: doubled(x)[k], X, np.array([0, 0])),
    "a tree": lambda: check_grad(lambda p: doubled(p["a"]) * p["b"][0].x, {"a": X, "b": (Pair(X, 2.0), None)}),
    "a Tensor": lambda: check_grad(doubled, mg.tensor(X, dtype=np.float32)),
    "a kink": lambda: check_grad(mg.absolute, np.array([0.0, -0.0, 1.0])),
    "what is no number": lambda: check_grad(
        lambda x, a, b, c: doubled(x)[a], X, slice(0, None), np.float32, np.dtype("f4")
    ),
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_printed_lines_fail_as_the_check_did(check: Any) -> None:
    code = fails_again(check, HERE)
    assert "the_" not in code


VALUES = {
    "0-d": np.array(0.3),
    "a float": 0.3,
    "a NumPy scalar": np.float32(0.3),
    "nan beside": np.array([0.3, np.inf, -np.inf, -0.0]),
    "float32": np.array([0.1, -2.0], np.float32),
    "float16": np.array([[0.1], [-2.0]], np.float16),
    "long double": np.array([0.1, 0.2], np.longdouble),
    "big-endian": np.array([0.1, 0.2], ">f8"),
    "column-major": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "many": np.sqrt(np.arange(2.0, 102.0)),
    "many alike": np.ones((10, 20)),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_arrays_of_every_kind_are_written_exactly(value: Any) -> None:
    tripled = lambda g, x: np.where(np.isfinite(x), 3 * g * np.cos(np.where(np.isfinite(x), x, 0)), 0).astype(x.dtype)
    sine = lambda x: np.where(np.isfinite(x), np.sin(np.where(np.isfinite(x), x, 0)), 0).astype(x.dtype)
    fails_again(lambda: check_vjp(sine, tripled, np.multiply(value, 1)[()]), {**HERE, "sine": sine, "tripled": tripled})


def test_a_large_array_is_written_by_its_name() -> None:
    code = fails_again(lambda: check_grad(doubled, MANY), HERE)
    assert "x0 = MANY" in code


@settings(max_examples=10)
@given(st.data())
def test_drawn_arrays_are_written_exactly(data: Any) -> None:
    x = data.draw(arrays(dtype=data.draw(st.sampled_from([np.float32, np.float64]))))
    k = data.draw(st.sampled_from([np.zeros((0, 2), np.int8), np.array([True]), np.array(["a", "b"]), b"a", None]))
    fails_again(lambda: check_grad(lambda x, k: doubled(x), x, k), HERE)


def test_nested_functions_are_named_as_they_are_seen() -> None:
    def inner(x: Any) -> Any:
        return doubled(x)

    alias = inner
    assert "check_grad(inner, x0)" in fails_again(lambda: check_grad(inner, X), {"inner": inner})
    assert "check_grad(alias, x0)" in fails_again(lambda: check_grad(alias, X), {"alias": alias})


def test_a_helper_of_the_users_is_seen_from_inside() -> None:
    def helper(f: Any, *inputs: Any) -> None:
        check_grad(f, *inputs)

    fails_again(lambda: helper(lambda x: doubled(x), X), {"f": doubled})


def test_a_checker_that_a_library_calls_finds_the_names_around() -> None:
    with pytest.raises(GradientError) as caught, contextlib.ExitStack() as stack:
        stack.callback(check_grad, doubled, X)
    assert "check_grad(doubled, x0)" in lines_of(str(caught.value))


def test_a_checker_that_is_passed_on_finds_the_names_around() -> None:
    with pytest.raises(GradientError) as caught:
        functools.reduce(lambda f, x: check_grad(f, x), [doubled, X])
    assert "check_grad(f, x0)" in lines_of(str(caught.value))


def test_names_of_the_users_are_not_overwritten() -> None:
    x0 = np.array([5.0, 7.0])
    code = fails_again(lambda: check_grad(lambda x: doubled(x) * x0, X), {"doubled": doubled, "x0": x0})
    assert "x0_ = " in code


def test_another_np_is_left_alone() -> None:
    np = types.SimpleNamespace(sin=doubled)
    code = fails_again(lambda: check_grad(lambda x: np.sin(x), X), {"np": np, "X": X})
    assert code.startswith("import numpy\n")


def test_modules_that_the_users_call_names_are_imported() -> None:
    code = fails_again(lambda: check_grad(lambda x: mg.tanh(doubled(x)), X), {"doubled": doubled})
    assert "import minigrad as mg" in code


MADE = types.ModuleType("made_by_hand")
MADE.doubled = lambda x: doubled(x)  # type: ignore[attr-defined]


def test_a_module_that_no_import_finds_is_not_imported() -> None:
    assert "import made_by_hand" not in fails_again(lambda: check_grad(MADE.doubled, X), globals())


def test_what_has_no_name_is_an_undefined_name_that_says_where_it_is() -> None:
    source = "check([lambda x: doubled(x)], X)"
    with pytest.raises(GradientError) as caught:
        exec(source, {"doubled": doubled, "X": X, "check": lambda fs, x: check_grad(*fs, *[x])})
    code = lines_of(str(caught.value))
    assert "f, *_ = fs" in code
    with pytest.raises(GradientError) as caught:
        exec("check_grad(*[lambda x: doubled(x)], X)", {"doubled": doubled, "X": X, "check_grad": check_grad})
    with pytest.raises(NameError, match="the_lambda_of_line_1_of"):
        exec(lines_of(str(caught.value)), {"doubled": doubled, "X": X})


# --- decorated tests -------------------------------------------------------------------------------------------------


once = settings(max_examples=1, phases=[Phase.generate])


@once
@given_grad(x=arrays((2,)))
def of_tensors(x: Any) -> Any:
    return doubled(x)


@once
@given_grad(
    x=arrays((2,), low=0.5), y=arrays((2,), low=0.5), wrt=["y"], vjp=lambda g, x, y: (g * y, 2 * g * x), rtol=1e-4
)
def of_arrays(x: Any, y: Any) -> Any:
    return x * y


@once
@given_grad(x=arrays((2,), low=1.0))
def of_a_fixture(x: Any, scale: float) -> Any:
    return doubled(x) * scale


class Tests:
    @once
    @given_grad(x=arrays((2,)))
    def method(self, x: Any) -> Any:
        return doubled(x)


DECORATED: dict[str, Callable[[], None]] = {
    "of Tensors": of_tensors,
    "of arrays": of_arrays,
    "of a fixture": lambda: of_a_fixture(scale=3.0),
    "a method": lambda: Tests().method(),
}


@pytest.mark.parametrize("test", DECORATED.values(), ids=DECORATED)
def test_lines_of_a_decorated_test_fail_as_the_test_did(test: Any) -> None:
    assert ".function" in fails_again(test, HERE)


def test_lines_of_a_decorated_test_inside_of_a_function_name_it() -> None:
    @once
    @given_grad(x=arrays((2,)))
    def nested(x: Any) -> Any:
        return doubled(x)

    fails_again(nested, {"nested": nested})


# --- cells -----------------------------------------------------------------------------------------------------------


class Wrong(nn.RNNCell):
    def __init__(self, I: int, H: int, scale: float = 1.0) -> None:
        super().__init__(I, H, rng=0)
        self.scale = scale

    def step(self, x: Any, state: Any) -> Any:
        h = self.scale * doubled(x + state @ self.W)
        return h, h


def wrong_function(x: Any, h: Any) -> Any:
    return h, doubled(x) + h


CELLS: dict[str, Callable[[], None]] = {
    "a class": lambda: check_cell(Wrong),
    "with arguments": lambda: check_cell(lambda I, H: Wrong(I, H, scale=0.5), 2, H=3, B=3, T=4, order=1, seed=1),
    "a partial": lambda: check_cell(functools.partial(Wrong, scale=0.5), integers=False, rtol=1e-5),
    "a function": lambda: check_cell(lambda I, H: wrong_function, I=3, H=3),
    "of other inputs": lambda: check_cell(Wrong, inputs=np.arange(24.0).reshape(3, 2, 4) / 9, copies=False),
    "a broken contract": lambda: check_cell(lambda I, H: lambda x, h: (h, h.mean(0, keepdims=True) + 0 * h), 3, 3),
}


@pytest.mark.parametrize("check", CELLS.values(), ids=CELLS)
def test_lines_of_a_cell_fail_as_the_check_did(check: Any) -> None:
    fails_again(check, HERE)
