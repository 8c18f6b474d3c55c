"""check_grad rejects every planted fault, accepts what is right, and gives no verdict where there is none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import primitive
from minigrad.testing import GradientError, check_grad, numeric_gradient

RNG = np.random.default_rng(0)
X = RNG.uniform(0.5, 1.5, (3, 3))


def cube(rule: Any, function: Any = lambda x: x**3) -> mg.Primitive:
    """x³ with a rule that may be wrong; 3 g x² is right."""
    return primitive(function, rule, name="cube")


# --- planted faults --------------------------------------------------------------------------------------------------


def without_entry(g: Any, x: Any) -> Any:
    mask = np.ones(x.shape)
    mask[-1, -1] = 0
    return 3 * g * x**2 * mask


def in_place(g: Any, x: Any) -> Any:
    g *= 3 * x**2
    return g


FIRST_ORDER = {
    "1000 times too large": lambda g, y, x: 3000 * g * x**2,
    "a thousandth too large": lambda g, y, x: 3.003 * g * x**2,
    "a millionth of the largest entry too large": lambda g, y, x: 3 * g * x**2 + 1e-4,
    "wrong sign": lambda g, y, x: -3 * g * x**2,
    "zero": lambda g, y, x: 0 * g * x,
    "transposed": lambda g, y, x: mg.transpose(3 * g * x**2),
    "transposed cotangent": lambda g, y, x: 3 * mg.transpose(g) * x**2,
    "entries reversed": lambda g, y, x: mg.flip(3 * g * x**2),
    "cotangent ignored": lambda g, y, x: 3 * x**2,
    "summed over an axis": lambda g, y, x: mg.broadcast_to(mg.sum(3 * g * x**2, axis=0), x.shape),
    "one missing entry": lambda g, y, x: without_entry(g, x),
    "not a number": lambda g, y, x: g * np.nan,
}


@pytest.mark.parametrize("rule", FIRST_ORDER.values(), ids=FIRST_ORDER)
def test_a_wrong_first_derivative_is_rejected(rule: Any) -> None:
    with pytest.raises(GradientError, match="input 0, derivative of order 1: at index"):
        check_grad(cube(rule), X)


def test_one_missing_entry_of_a_thousand_is_rejected_and_located() -> None:
    def rule(g: Any, y: Any, x: Any) -> Any:
        mask = np.ones(x.shape)
        mask[617] = 0
        return g * mask

    broken = primitive(lambda x: x * 1.0, rule, name="broken")
    with pytest.raises(GradientError, match=r"index \(617,\).* 1 of 1000 entries are wrong"):
        check_grad(broken, np.ones(1000))


def test_the_same_function_with_the_right_rule_is_accepted() -> None:
    check_grad(cube(lambda g, y, x: 3 * g * x**2), X, order=3)


MATRIX = {
    "a from b g": lambda g, y, a, b: mg.matmul(b, g),
    "a from g b": lambda g, y, a, b: mg.matmul(g, b),
    "a transposed": lambda g, y, a, b: mg.transpose(mg.matmul(g, mg.transpose(b))),
    "a from the other factor": lambda g, y, a, b: mg.matmul(g, mg.transpose(a)),
}


@pytest.mark.parametrize("rule", MATRIX.values(), ids=MATRIX)
def test_a_wrong_order_of_matrix_products_is_rejected(rule: Any) -> None:
    a, b = RNG.standard_normal((2, 3, 3))  # these do not commute
    broken = primitive(np.matmul, rule, lambda g, y, a, b: mg.matmul(mg.transpose(a), g), name="broken")
    with pytest.raises(GradientError, match="input 0"):
        check_grad(broken, a, b)


def constant(t: Any) -> Any:
    return t.detach() if isinstance(t, mg.Tensor) else t


SECOND_ORDER = {
    "an input held constant": lambda g, y, x: 3 * g * constant(x) ** 2,
    "a factor held constant": lambda g, y, x: 3 * g * x * constant(x),
    "the cotangent held constant": lambda g, y, x: 3 * constant(g) * x**2,
}


@pytest.mark.parametrize("rule", SECOND_ORDER.values(), ids=SECOND_ORDER)
def test_a_rule_that_is_wrong_only_at_second_order_is_rejected_there_only(rule: Any) -> None:
    f = lambda x: mg.sin(cube(rule)(x))
    check_grad(f, X, order=1)
    with pytest.raises(GradientError, match="derivative of order 2"):
        check_grad(f, X, order=2)


def test_a_rule_that_is_wrong_only_at_third_order_is_rejected_there() -> None:
    slope = cube(lambda g, y, x: 6 * g * constant(x), function=lambda x: 3 * x**2)
    f = cube(lambda g, y, x: g * slope(x))
    check_grad(f, X, order=2)
    with pytest.raises(GradientError, match="derivative of order 3"):
        check_grad(f, X, order=3)


def test_a_wrong_derivative_of_the_second_input_is_rejected_by_its_number() -> None:
    broken = primitive(np.multiply, lambda g, z, x, y: g * y, lambda g, z, x, y: g * y, name="broken")
    with pytest.raises(GradientError, match="input 1"):
        check_grad(broken, X, X + 1)
    check_grad(broken, X, X + 1, wrt=[0])
    with pytest.raises(GradientError, match="input 1"):
        check_grad(broken, X, X + 1, wrt=[1])


def test_a_wrong_derivative_of_one_of_several_outputs_is_rejected() -> None:
    broken = cube(lambda g, y, x: 2 * g * x**2)
    with pytest.raises(GradientError):
        check_grad(lambda x: {"right": mg.sin(x), "wrong": [broken(x)]}, X)


@pytest.mark.parametrize("recorded", [1, 2])
def test_a_rule_that_changes_its_cotangent_in_place_is_rejected(recorded: int) -> None:
    broken = cube(lambda g, y, x: in_place(g, x) if isinstance(g, np.ndarray) else 3 * g * x**2)
    with pytest.raises((GradientError, ValueError)):
        check_grad(lambda x: broken(x * 1.0) + x, X, order=recorded)


def test_a_rule_that_returns_the_gradient_of_another_array_is_rejected() -> None:
    shared = np.zeros_like(X)

    def rule(g: Any, y: Any, x: Any) -> Any:
        if not isinstance(g, np.ndarray):
            return 3 * g * x**2
        shared[...] = 3 * g * x**2  # every call overwrites what the last one returned
        return shared

    broken = cube(rule)
    with pytest.raises(GradientError):
        check_grad(lambda x, y: broken(x) + broken(y) * 2.0, X, X + 1)


def test_a_function_that_changes_its_input_is_rejected() -> None:
    def increment(x: Any) -> Any:
        x += 1.0
        return x**3

    with pytest.raises(GradientError, match="changed its input"):
        check_grad(cube(lambda g, y, x: 3 * g * x**2, increment), X)


def test_the_arrays_of_the_caller_are_left_alone() -> None:
    x = X.copy()
    check_grad(mg.tanh, x, order=2)
    np.testing.assert_array_equal(x, X)


def test_a_random_function_is_rejected() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="random"):
        check_grad(lambda x: x * rng.random(), X)


def test_a_function_that_is_random_in_one_entry_is_rejected() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="random"):
        check_grad(lambda x: x * np.where(np.arange(3) == 1, rng.random(), 1.0), X)


# --- no verdict ------------------------------------------------------------------------------------------------------

KINKS = {
    "abs at 0": (mg.absolute, [1.0, 0.0]),
    "relu at 0": (mg.relu, [0.0, 1.0]),
    "sqrt at 0": (lambda x: mg.sqrt(mg.absolute(x)), [0.0, 1.0]),
    "maximum at a tie": (lambda x: mg.maximum(x, 1.0), [1.0, 2.0]),
    "step": (lambda x: x * (x.data > 1) if isinstance(x, mg.Tensor) else x * (x > 1), [1.0, 2.0]),
}


@pytest.mark.parametrize(("f", "x"), KINKS.values(), ids=KINKS)
def test_a_kink_or_a_pole_gives_no_verdict_and_its_index(f: Any, x: Any) -> None:
    k = int(np.argmin(np.abs(np.array(x) - (1.0 if x == [1.0, 2.0] else 0.0))))
    with pytest.raises(ValueError, match=rf"do not converge at index \({k},\).*kink or a pole"):
        check_grad(f, np.array(x))


def test_integer_inputs_are_not_differentiated_and_nothing_else_is_a_type_error() -> None:
    check_grad(lambda x, k: x[k], X, np.array([0, 0]))
    with pytest.raises(TypeError, match="nothing to differentiate"):
        check_grad(lambda k: k, np.array([1, 2]))


# --- accepted --------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    x: Any
    y: Any


def test_trees_of_inputs_and_outputs_are_checked() -> None:
    f = lambda p, d: {"a": p.x * d["w"], "b": (mg.sin(p.y),), "c": [p.x]}
    check_grad(f, Pair(X, X[0]), {"w": X + 1}, order=2)
    broken = cube(lambda g, y, x: g)
    with pytest.raises(GradientError, match="input 1"):
        check_grad(lambda p, d: p.x * broken(d["w"]), Pair(X, X[0]), {"w": X + 1})


@pytest.mark.parametrize(
    "make", [lambda x: x, mg.tensor, lambda x: mg.tensor(x, dtype=np.float32), lambda x: x.tolist()]
)
def test_arrays_tensors_and_lists_may_be_inputs(make: Any) -> None:
    if isinstance(make(X), list):
        check_grad(lambda rows: mg.stack([x**2 for row in rows for x in row]), make(X))
    else:
        check_grad(lambda x: x**2, make(X), order=2)


def test_scalars_empty_arrays_and_constant_functions_are_accepted() -> None:
    check_grad(lambda x: x**2, 1.5, order=3)
    check_grad(lambda x: x**2, np.zeros((0, 3)), order=2)
    check_grad(lambda x: mg.tensor(1.0), X, order=2)
    check_grad(lambda x: x * 0.0, X, order=2)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6, 1e12])
def test_large_and_small_inputs_and_outputs_are_judged_by_their_own_scale(scale: float) -> None:
    check_grad(lambda x: x**2, scale * X)
    check_grad(lambda x: scale * mg.sin(x), X)
    with pytest.raises(GradientError):
        check_grad(lambda x: cube(lambda g, y, x: 2.9 * g * x**2)(x), max(scale, 1.0) * X)
    with pytest.raises(GradientError):
        check_grad(lambda x: max(scale, 1.0) * cube(lambda g, y, x: 2.9 * g * x**2)(x), X)


@given(st.integers(0, 10_000))
def test_any_seed_of_the_projection_finds_a_single_wrong_entry(seed: int) -> None:
    broken = cube(lambda g, y, x: without_entry(g, x))
    with pytest.raises(GradientError):
        check_grad(broken, X, seed=seed)


# --- finite differences ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 1e-6, 0.7, -3.0, 1e3, -1e12])
def test_numeric_gradient_of_a_polynomial_is_exact_to_its_own_bound(x: float) -> None:
    gradient, error = numeric_gradient(lambda a: float((2 * a**3 - a).sum()), np.array([x]))
    exact = 6 * x**2 - 1
    assert abs(gradient[0] - exact) <= 2 * error[0] + 1e-9 * abs(exact)
    assert error[0] <= 1e-5 * max(1.0, abs(exact))


def test_numeric_gradient_computes_in_float64_and_leaves_x_alone() -> None:
    x = np.array([1.0, 2.0], np.float32)
    gradient, error = numeric_gradient(lambda a: float((a**2).sum()) if a.dtype == np.float64 else np.nan, x)
    np.testing.assert_allclose(gradient, [2, 4], rtol=1e-9)
    assert gradient.dtype == error.dtype == np.float64
    np.testing.assert_array_equal(x, [1, 2])
