"""Functions whose values hide their slopes: waves far from 0, saturated gates, sums in which large terms cancel.

A right rule is never called wrong there, and a wrong one never passes: at worst there is no verdict.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.testing import GradientError, KinkError, check_grad, check_jvp, check_vjp
from minigrad.testing.problem import Problem
from minigrad.testing.recorded import tensor_map

FAR = np.array([1.7, -0.31])
MEASURED = bool(np.finfo(np.longdouble).eps < np.finfo(np.float64).eps)
measured = pytest.mark.skipif(not MEASURED, reason="a long double is a float64 here, and measures no rounding error")


def waves(k: int) -> tuple[Any, Any]:
    return lambda x: np.sin(10.0**k * x), lambda x: 10.0**k * np.cos(10.0**k * x)


@pytest.mark.parametrize("k", [6, 9, 12, 13])
def test_a_wave_far_from_0_is_compared_by_steps_that_float64_shows_there(k: int) -> None:
    x = 10.0**k * FAR
    check_vjp(np.sin, lambda g, x: g * np.cos(x), x)
    check_jvp(np.sin, lambda v, x: v * np.cos(x), x)
    check_vjp(lambda x: np.sin(x) + x, lambda g, x: g * (np.cos(x) + 1), x[: k < 12])
    with pytest.raises(GradientError):
        check_vjp(np.sin, lambda g, x: 1.001 * g * np.cos(x), x)


@pytest.mark.parametrize("mode", ["full", "project"])
@pytest.mark.parametrize("k", [15, 17, 20, 300])
def test_a_wave_that_float64_cannot_show_has_no_verdict(k: int, mode: str) -> None:
    for factor in (1.0, 1.001, -1.0):
        with pytest.raises(KinkError, match=r"is f a wave that is too fast for the steps.* and for a wave eps="):
            check_vjp(np.sin, lambda g, x: factor * g * np.cos(x), 10.0**k * FAR, mode=mode)  # noqa: B023


@pytest.mark.parametrize("k", [8, 9, 11, 16])
def test_a_fast_wave_has_no_verdict_until_eps_is_small_enough(k: int) -> None:
    f, slope = waves(k)
    for on_kink in ("raise", "subgradient"):
        with pytest.raises(KinkError):
            check_vjp(f, lambda g, x: g * slope(x), FAR, on_kink=on_kink)
    if k < 10:
        check_vjp(f, lambda g, x: g * slope(x), FAR, eps=0.1**k / 10)
        with pytest.raises(GradientError):
            check_vjp(f, lambda g, x: 1.01 * g * slope(x), FAR, eps=0.1**k / 10)


@pytest.mark.parametrize("k", [5, 6])
def test_a_fast_wave_is_compared_by_the_shortest_steps(k: int) -> None:
    f, slope = waves(k)
    for x in (FAR, np.array([-0.53, 2.1])):
        check_vjp(lambda x: f(x) + x, lambda g, x: g * (slope(x) + 1), x)
        with pytest.raises(GradientError):
            check_vjp(lambda x: f(x) + x, lambda g, x: g * (1.001 * slope(x) + 1), x)


# --- rounding errors inside of a function -----------------------------------------------------------------------------


def shifted(by: float, small: float) -> Any:
    return lambda x: (x[0] + small * np.sin(x[1]) + by) - by


@measured
@pytest.mark.parametrize(("by", "small"), [(1e4, 1e-9), (1e6, 1e-6), (1e8, 1e-3)])
def test_a_slope_that_hides_in_the_stairs_of_large_terms_is_not_called_wrong(by: float, small: float) -> None:
    f, x = shifted(by, small), np.array([0.0, 1.3])
    slope = lambda x: np.array([1.0, small * np.cos(x[1])])
    check_vjp(f, lambda g, x: g * slope(x), x)
    for wrong in (np.array([1.001, 1.0]), np.array([1.0, 1.0 + 1e-3 / small])):
        with pytest.raises(GradientError):
            check_vjp(f, lambda g, x: g * slope(x) * wrong, x)  # noqa: B023


def test_a_small_slope_beside_a_known_large_one_is_not_called_wrong_for_rounding() -> None:
    x = np.array([1.3, 1.3])
    f = lambda x: np.float64(1e8 * x[0] + 1e-3 * np.sin(x[1]) - 1.3e8)  # never a long double, which would tell more
    slope = lambda x: np.array([1e8, 1e-3 * np.cos(x[1])])
    check_vjp(f, lambda g, x: g * slope(x), x)
    with pytest.raises(GradientError):
        check_vjp(f, lambda g, x: g * (slope(x) + np.array([0.0, 1.0])), x)


@measured
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("seed", [0, 1])
def test_saturated_gates_need_no_tolerance(kind: Any, seed: int) -> None:
    net = kind(3, 4, rng=seed, dtype=float)
    xs = 30 * np.random.default_rng(seed).standard_normal((4, 2, 3))
    check_grad(lambda xs: net(xs)[0], xs)
    check_grad(lambda weights: nn.functional_call(net, weights, xs)[0], dict(net.named_parameters()))


@measured
def test_a_wrong_rule_beside_saturated_gates_is_rejected() -> None:
    wrong = mg.primitive(np.tanh, lambda g, y, x: 1.001 * g * (1 - y * y), name="wrong")
    f = lambda x: mg.sigmoid(30 * x) * wrong(x)
    check_grad(lambda x: mg.sigmoid(30 * x) * mg.tanh(x), np.array([-1.2, 0.4, -0.9]))
    with pytest.raises(GradientError, match="`wrong`"):
        check_grad(f, np.array([-1.2, 0.4, -0.9]))


def test_rounding_errors_are_measured_in_long_double_through_every_step_of_a_record() -> None:
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    f = lambda x: 0.5 * mg.tanh(0.5 * mg.matmul(a, x)) + 0.5 + 0 * mg.linalg.solve(mg.tensor(a), x)
    problem = Problem(tensor_map(f), [np.array([-9.0, -8.0])], ["x"])
    assert problem.measures_noise() == MEASURED
    if problem.measured:
        assert np.all((problem.noise > 1e-17) & (problem.noise < 1e-14))
        assert not problem.measures_noise()  # it is known by now
        assert problem.noise.dtype == np.float64  # or all that is compared would be in long double, at half the speed


def test_what_differs_in_long_double_by_more_than_rounding_is_not_believed() -> None:
    f = lambda x: np.sin(x) if x.dtype == np.float64 else 2 * np.sin(x)
    with pytest.raises(GradientError):
        check_vjp(f, lambda g, x: 1.5 * g * np.cos(x), FAR)


def test_a_small_difference_of_an_f_that_takes_no_long_double_is_told_apart() -> None:
    def f(x: Any) -> Any:
        assert x.dtype == np.float64
        return (0.5 * np.tanh(0.5 * x) + 0.5) * (1 + x / 3)

    def vjp(g: Any, x: Any) -> Any:
        s = np.exp(x) / (1 + np.exp(x))
        return g * (s * (1 - s) * (1 + x / 3) + s / 3)

    with pytest.raises(GradientError, match=r"does not compute in np.longdouble.* pass atol=1e-11"):
        check_vjp(f, vjp, np.array([-29.0, -31.0]))
    check_vjp(f, vjp, np.array([-29.0, -31.0]), atol=1e-11)


def test_a_tiny_second_derivative_that_is_twice_as_large_is_refused() -> None:
    slope = mg.primitive(lambda y: 1 - y * y, lambda g, s, y: -4 * g * y, name="slope")
    tanh = mg.primitive(np.tanh, lambda g, y, x: g * slope(y), name="tanh")
    with pytest.raises(GradientError, match="derivative of order 2"):  # some 1e-15, which long steps show
        check_grad(lambda x: tanh(x * 1e-3).sum(), np.array([3e-7, -1.2e-6]), order=2, copies=False)
