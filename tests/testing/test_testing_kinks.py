"""Where a function has no derivative there is no verdict, and the place is named; no smooth point is taken for one."""

from __future__ import annotations

import re
import sys
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import GradientError, KinkError, check_grad, check_vjp, numeric_gradient

AT = {
    "abs": (mg.absolute, [1.0, 0.0], 1, "abs"),
    "relu": (mg.relu, [1.0, 0.0], 1, "relu"),
    "relu of a sum": (lambda x: mg.relu(mg.tanh(x) + x - 3.0) + mg.relu(x), [1.0, 0.0], 1, "relu"),
    "maximum at a tie": (lambda x: mg.maximum(x, 2.0), [1.0, 2.0], 1, "maximum"),
    "minimum at a tie": (lambda x: mg.minimum(x, 2.0), [1.0, 2.0], 1, "minimum"),
    "max at a tie": (lambda x: mg.max(x), [2.0, 2.0], 0, "max"),
    "clip at its bound": (lambda x: mg.clip(x, -1.0, 1.0), [0.5, 1.0], 1, "clip"),
    "norm at 0": (lambda x: mg.norm(x, axis=1), [[1.0, 2.0], [0.0, 0.0]], (1, 0), "sqrt"),
    "square root at 0": (mg.sqrt, [1.0, 0.0], 1, "sqrt"),
    "a cusp": (lambda x: mg.sqrt(mg.absolute(x)), [1.0, 0.0], 1, "abs"),
    "a jump": (lambda x: x * (x.data > 1.0), [2.0, 1.0], 1, ""),
    "a power below 1": (lambda x: mg.absolute(x) ** 0.25, [1.0, 0.0], 1, "abs"),
}


@pytest.mark.parametrize(("f", "x", "index", "name"), AT.values(), ids=AT)
def test_a_kink_is_named_by_input_index_value_and_primitive(f: Any, x: Any, index: Any, name: str) -> None:
    index = index if isinstance(index, tuple) else (index,)
    value = np.array(x)[index]
    with pytest.raises(KinkError) as caught:
        check_grad(f, np.array(x))
    message = str(caught.value)
    assert (
        f"input 0, derivative of order 1: finite differences do not converge at index {index} (value {value:g})"
        in message
    )
    assert not name or re.search(f"to blame: step [0-9]+ of [0-9]+, `{name}`", message)


@pytest.mark.parametrize("mode", ["full", "project"])
def test_a_kink_among_many_entries_is_found_in_either_mode(mode: str) -> None:
    x = np.random.default_rng(0).uniform(0.5, 2, (8, 13)) * np.where(np.arange(104) % 2, 1.0, -1.0).reshape(8, 13)
    check_grad(mg.absolute, x, mode=mode)
    x[7, 11] = 0.0
    with pytest.raises(KinkError, match=r"index \(7, 11\)"):
        check_grad(mg.absolute, x, mode=mode)


PLAIN = {
    "floor": (np.floor, lambda x: 0 * x, 2.0),
    "a sawtooth": (lambda x: x - np.floor(x), lambda x: 0 * x + 1, 2.0),
    "rounding": (np.rint, lambda x: 0 * x, 1.5),
    "sign": (np.sign, lambda x: 0 * x, 0.0),
    "the heaviside function": (lambda x: np.heaviside(x, 0.5), lambda x: 0 * x, 0.0),
    "a piecewise line": (lambda x: np.interp(x, [0, 1, 3], [0, 2, 0]), lambda x: np.where(x < 1, 2.0, -1.0), 1.0),
    "a pole": (lambda x: 1 / (x - 1.5), lambda x: -1 / (x - 1.5) ** 2, 1.5 + 1e-12),
}


@pytest.mark.parametrize(("f", "slope", "x"), PLAIN.values(), ids=PLAIN)
def test_plain_functions_with_kinks_and_jumps_have_no_verdict_there_and_one_elsewhere(
    f: Any, slope: Any, x: Any
) -> None:
    for far in (-0.37, 0.21):
        check_vjp(f, lambda g, x: g * slope(x), np.array([x + far]))
    with pytest.raises(KinkError, match=r"do not converge at index \(0,\)"):
        check_vjp(f, lambda g, x: g * slope(x), np.array([x]))


@pytest.mark.parametrize("distance", [0.3, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_kink_at_a_distance_is_stepped_around_and_the_slope_is_still_checked(distance: float, side: float) -> None:
    x = np.array([1.0 + side * distance])
    f = lambda x: np.maximum(x, 1.0)
    slope = 1.0 if side > 0 else 0.0
    check_vjp(f, lambda g, x: g * slope, x)
    check_grad(lambda x: mg.maximum(x, 1.0), x)
    with pytest.raises((GradientError, KinkError)):
        check_vjp(f, lambda g, x: g * (1 - slope), x)
    with pytest.raises((GradientError, KinkError)):
        check_vjp(f, lambda g, x: g * (0.5 + 0 * slope), x)


@pytest.mark.parametrize("distance", [1e-9, 1e-10, 1e-12, 1e-15, 0.0])
def test_a_kink_nearer_than_any_step_gives_no_verdict(distance: float) -> None:
    for x in (1.0 - distance, 1.0 + distance):
        with pytest.raises(KinkError):
            check_grad(lambda x: mg.maximum(x, 1.0), np.array([x]))


@given(st.floats(-3, 3), st.floats(0.1, 10))
def test_relu_of_a_line_is_accepted_or_has_a_kink_but_is_never_called_wrong(x: float, a: float) -> None:
    try:
        check_grad(lambda t: mg.relu(a * t - 1.0), np.array([x, x + 1.0]))
    except KinkError:
        assert min(abs(a * x - 1), abs(a * (x + 1) - 1)) < 1e-6 * max(1.0, a)


SMOOTH = {
    "cube of abs": (lambda x: mg.absolute(x) ** 3, 1),
    "x |x|": (lambda x: x * mg.absolute(x), 1),
    "cos at its top": (mg.cos, 3),
    "a sharp softplus": (lambda x: mg.softplus(1000.0 * x) / 1000.0, 1),
    "a very sharp softplus": (lambda x: mg.softplus(1e5 * x) / 1e5, 1),
    "a fast wave": (lambda x: mg.sin(3000.0 * x), 1),
    "a narrow peak": (lambda x: 1 / (1 + 1e6 * x * x), 1),
    "a square": (mg.square, 3),
    "nothing": (lambda x: 0.0 * x, 2),
    "an even polynomial": (lambda x: 1.0 - x**2 + x**4, 2),
    "log cosh": (lambda x: mg.softplus(2 * x) - x, 2),
    "a huge parabola under a line": (lambda x: 1e8 * x**2 + x, 2),
}


@pytest.mark.parametrize(("f", "order"), SMOOTH.values(), ids=SMOOTH)
@pytest.mark.parametrize("x", [0.0, 1e-12, 1e-6, -0.3])
def test_a_smooth_point_is_no_kink_however_curved(f: Any, order: int, x: float) -> None:
    check_grad(f, np.array([x, 0.7]), order=order, atol=1e-100)


def test_a_kink_of_the_slope_is_no_kink_of_the_function_but_of_its_second_derivative() -> None:
    huber = lambda x: mg.where(np.abs(getattr(x, "data", x)) < 1.0, 0.5 * x * x, mg.absolute(x) - 0.5)
    for x in (1.0, -1.0):
        check_grad(huber, np.array([x, 0.3]))
        with pytest.raises(KinkError, match="derivative of order 2"):
            check_grad(huber, np.array([x, 0.3]), order=2)


# --- what on_kink says -----------------------------------------------------------------------------------------------


@given(st.just(mg.absolute))
def test_reject_tells_hypothesis_that_the_example_is_no_good(f: Any) -> None:
    with pytest.raises(hypothesis.errors.UnsatisfiedAssumption):
        check_grad(f, np.array([1.0, 0.0]), on_kink="reject")
    with pytest.raises(hypothesis.errors.UnsatisfiedAssumption):
        check_vjp(np.abs, lambda g, x: g * np.sign(x), np.array([1.0, 0.0]), on_kink="reject")
    with pytest.raises(GradientError):
        check_grad(lambda x: f(x).detach(), np.array([1.0, 2.0]), on_kink="reject")


def test_hypothesis_is_needed_for_reject_only(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    check_grad(mg.tanh, np.array([1.0, 0.0]), order=2, on_kink="reject")
    with pytest.raises(KinkError):
        check_grad(mg.absolute, np.array([1.0, 0.0]))
    with pytest.raises(ImportError):
        check_grad(mg.absolute, np.array([1.0, 0.0]), on_kink="reject")


@given(st.floats(-1, 1))
def test_every_subgradient_of_abs_is_accepted_if_that_is_asked_for(slope: float) -> None:
    vjp = lambda g, x: g * np.where(x == 0, slope, np.sign(x))
    check_vjp(np.abs, vjp, np.array([1.0, 0.0, -2.0]), on_kink="subgradient")


@pytest.mark.parametrize("slope", [1.001, -1.001, 2.0, np.nan, np.inf])
def test_what_is_no_subgradient_is_rejected(slope: float) -> None:
    vjp = lambda g, x: np.where(x == 0, np.where(g == 0, 0.0, g) * slope, g * np.sign(x))
    with pytest.raises(GradientError), np.errstate(invalid="ignore"):
        check_vjp(np.abs, vjp, np.array([1.0, 0.0, -2.0]), on_kink="subgradient")


def test_a_wrong_slope_beside_the_kink_is_rejected_with_subgradient_too() -> None:
    vjp = lambda g, x: g * np.where(x == 0, 0.0, 0.99 * np.sign(x))
    with pytest.raises(GradientError, match=r"index \(0,\)"):
        check_vjp(np.abs, vjp, np.array([1.0, 0.0]), on_kink="subgradient")


SUBGRADIENTS = {
    "abs": (mg.absolute, [0.0, 1.0]),
    "relu": (mg.relu, [0.0, 1.0]),
    "max": (mg.max, [2.0, 2.0, 1.0]),
    "min over rows": (lambda x: mg.min(x, axis=0), [[2.0, 2.0], [2.0, 1.0]]),
    "maximum": (lambda x: mg.maximum(x, 2.0 * x), [0.0, 1.0]),
    "clip": (lambda x: mg.clip(x, 0.0, 1.0), [0.0, 1.0]),
    "norm": (lambda x: mg.norm(x), [0.0, 0.0]),
}


@pytest.mark.parametrize("mode", ["full", "project"])
@pytest.mark.parametrize(("f", "x"), SUBGRADIENTS.values(), ids=SUBGRADIENTS)
def test_minigrads_documented_subgradients_lie_between_the_one_sided_slopes(f: Any, x: Any, mode: str) -> None:
    check_grad(f, np.array(x), on_kink="subgradient", mode=mode)


# --- infinite values -------------------------------------------------------------------------------------------------


def test_an_infinite_entry_must_have_gradient_0() -> None:
    x = np.array([1.0, -np.inf])
    softmax_vjp = lambda g, x: softmax(x) * (g - (g * softmax(x)).sum())
    check_vjp(softmax, softmax_vjp, x)
    with pytest.raises(GradientError, match=r"index \(1,\) the value is -inf and the gradient 1\.0; .* must be 0"):
        check_vjp(softmax, lambda g, x: softmax_vjp(g, x) + np.where(np.isinf(x), g[0], 0.0), x)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return np.asarray(e / e.sum())


# --- rounding errors -------------------------------------------------------------------------------------------------

ROUNDED = {
    "cancellation": (lambda x: (np.sin(x) + 1e8) - 1e8, np.cos),
    "a difference of large exponentials": (lambda x: np.exp(x + 20) - np.exp(20) * np.exp(x) + x**2, lambda x: 2 * x),
    "float32 inside": (lambda x: np.sin(x.astype(np.float32)).astype(np.float64), np.cos),
    "rounded to 9 digits": (lambda x: np.round(np.sin(x), 9), np.cos),
}


@pytest.mark.parametrize("mode", ["full", "project"])
@pytest.mark.parametrize(("f", "slope"), ROUNDED.values(), ids=ROUNDED)
def test_rounding_errors_inside_of_a_function_are_no_wrong_gradient(f: Any, slope: Any, mode: str) -> None:
    x = np.random.default_rng(0).uniform(-2, 2, 8)
    check_vjp(f, lambda g, x: g * slope(x), x, mode=mode)
    with pytest.raises(GradientError):
        check_vjp(f, lambda g, x: 1.01 * g * slope(x), x, mode=mode)


def test_a_result_whose_shape_changes_nearby_gives_no_verdict() -> None:
    with pytest.raises(KinkError):
        check_vjp(lambda x: x[x >= 0], lambda g, x: np.where(x >= 0, g.sum(), 0.0), np.array([0.0, -1.0]))


# --- differences by themselves ---------------------------------------------------------------------------------------

FUNCTIONS = {
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
    "a polynomial": (lambda x: x**5 - x, lambda x: 5 * x**4 - 1),
    "a fast wave": (lambda x: np.sin(500 * x), lambda x: 500 * np.cos(500 * x)),
    "a large offset": (lambda x: 1e6 + np.sin(x), np.cos),
    "a narrow peak": (lambda x: 1 / (1 + 100 * x * x), lambda x: -200 * x / (1 + 100 * x * x) ** 2),
}


@pytest.mark.parametrize(("f", "slope"), FUNCTIONS.values(), ids=FUNCTIONS)
@given(x=st.floats(-2, 2))
def test_numeric_gradient_is_within_ten_times_its_own_estimate(f: Any, slope: Any, x: float) -> None:
    gradient, error = numeric_gradient(lambda a: float(f(a).sum()), np.array([x]))
    assert abs(gradient[0] - slope(x)) <= 10 * error[0] + 1e-5 * abs(slope(x))
    assert error[0] <= 1e-3 * max(1.0, abs(slope(x)))


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_numeric_gradient_takes_steps_of_the_values_own_size(scale: float) -> None:
    x = scale * np.array([0.5, -1.5, 2.5])
    for f, slope in [(np.log, lambda x: 1 / x), (np.square, lambda x: 2 * x), (lambda x: 1 / x, lambda x: -1 / x**2)]:
        values = np.abs(x)
        gradient, _ = numeric_gradient(lambda a: float(f(a).sum()), values)  # noqa: B023
        np.testing.assert_allclose(gradient, slope(values), rtol=1e-7)


def test_numeric_gradient_at_a_kink_is_the_mean_of_both_slopes_and_says_how_far_they_are() -> None:
    gradient, error = numeric_gradient(lambda a: float(np.abs(a).sum() + a.sum()), np.array([0.0, 1.0]))
    np.testing.assert_allclose(gradient, [1.0, 2.0], atol=1e-9)
    assert error[0] == pytest.approx(1.0, abs=1e-6)
    assert error[1] < 1e-9
