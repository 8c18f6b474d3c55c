"""Projections of a large Jacobian, and values of every scale: a single wrong entry is seen and found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_testing_faults import X, cube

import minigrad as mg
from minigrad.testing import GradientError, check_grad, check_vjp

# --- one wrong entry among many --------------------------------------------------------------------------------------

MANY = np.random.default_rng(0).uniform(-2, 2, 10_000)


def without(g: Any, entry: int) -> Any:
    result = g.copy()
    result[entry] = 0.0
    return result


SEEDS = [pytest.param(seed, marks=pytest.mark.campaign if seed >= 4 else ()) for seed in range(10)]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_missing_entry_of_10000_is_rejected_and_located_with_any_seed(seed: int) -> None:
    entry = int(np.random.default_rng(seed + 100).integers(10_000))
    with pytest.raises(GradientError, match=rf"at index \({entry},\) .* output 0 at \({entry},\) is 0,"):
        check_vjp(np.tanh, lambda g, x: without(g * (1 - np.tanh(x) ** 2), entry), MANY, mode="project", seed=seed)


def test_10000_right_entries_are_accepted() -> None:
    check_vjp(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), MANY)


def test_a_single_entry_of_10000_that_is_a_thousandth_off_is_rejected() -> None:
    factor = np.where(np.arange(10_000) == 617, 1.001, 1.0)
    with pytest.raises(GradientError, match=r"at index \(617,\)"):
        check_vjp(lambda x: np.sin(x).sum(), lambda g, x: g * np.cos(x) * factor, MANY)


@pytest.mark.parametrize("seed", SEEDS)
def test_errors_that_cancel_in_a_sum_are_rejected(seed: int) -> None:
    # Σ of the errors is 0: weights of one sign and size, as for a loss Σ f, never see them
    x, error = MANY[:500].copy(), np.zeros(500)
    x[20] = x[10]  # such directions move both alike
    error[[10, 20]] = 1e-2, -1e-2
    with pytest.raises(GradientError, match=r"at index \((10|20),\)"):
        check_vjp(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2) + g.sum() * error, x, seed=seed)
    fifth = np.eye(1, 500, 5)[0]
    with pytest.raises(GradientError, match=r"at index \(5,\) .* gradient of output 0 at \((10|20),\)"):
        check_vjp(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2) + g @ error * fifth, x, seed=seed)


@pytest.mark.parametrize("mode", ["full", "project"])
def test_both_modes_reject_and_locate_the_same_entry(mode: str) -> None:
    mask = np.arange(6).reshape(2, 3) != 4
    with pytest.raises(GradientError, match=r"at index \(1, 1\)"):
        check_grad(cube(lambda g, y, x: 3 * g * x**2 * mask), X, mode=mode)


# --- scales ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [1e-9, 1e-3, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("y", [1e-9, 1.0, 1e9])
def test_a_factor_of_1_0001_is_rejected_at_every_scale_of_inputs_and_outputs(x: float, y: float) -> None:
    f = lambda v: y * (v / x) ** 3
    check_vjp(f, lambda g, v: g * y * 3 * (v / x) ** 2 / x, x * X)
    with pytest.raises(GradientError):
        check_vjp(f, lambda g, v: 1.0001 * g * y * 3 * (v / x) ** 2 / x, x * X)


def test_a_small_entry_beside_large_ones_is_rejected() -> None:
    x = np.array([1e-9, 1.0, 1e12])
    wrong = np.array([1.001, 1.0, 1.0])
    check_vjp(np.square, lambda g, x: 2 * g * x, x)
    with pytest.raises(GradientError, match=r"at index \(0,\)"):
        check_vjp(np.square, lambda g, x: 2 * g * x * wrong, x)


def test_a_small_input_beside_large_ones_is_rejected_in_a_projection_too() -> None:
    x = np.array([1e-9, 1.0, 1e12])
    f = lambda x: np.array([np.sin(x[0] * 1e9), np.cos(x[1]), np.tanh(x[2] / 1e12)]).sum()
    slope = lambda x: np.array([1e9 * np.cos(x[0] * 1e9), -np.sin(x[1]), 1e-12 / np.cosh(x[2] / 1e12) ** 2])
    check_vjp(f, lambda g, x: g * slope(x), x, mode="project")
    for wrong in (np.array([1.001, 1, 1]), np.array([1, 1.001, 1]), np.array([1, 1, 1.001])):
        with pytest.raises(GradientError, match=rf"at index \({np.argmax(wrong)},\)"):
            check_vjp(f, lambda g, x: g * slope(x) * wrong, x, mode="project")  # noqa: B023


def test_small_entries_of_a_result_beside_large_ones_are_compared_in_a_projection_too() -> None:
    x = np.concatenate([1e6 * MANY, [0.0], 1e-6 * MANY])
    check_vjp(np.square, lambda g, x: 2 * g * x, x, mode="project")
    with pytest.raises(GradientError, match=rf"at index \({len(x) - 1},\)"):
        check_vjp(np.square, lambda g, x: 2 * g * x * np.where(np.arange(len(x)) == len(x) - 1, 1.1, 1.0), x)


@pytest.mark.parametrize("x", [1e-9, 1e-12, 1e-20])
def test_a_slope_of_ordinary_size_is_compared_sharply_at_tiny_inputs(x: float) -> None:
    check_vjp(np.expm1, lambda g, v: g * np.exp(v), x * X)
    with pytest.raises(GradientError):
        check_vjp(np.expm1, lambda g, v: 1.0001 * g * np.exp(v), x * X)


def test_a_wrong_derivative_of_a_later_output_is_rejected_in_a_projection() -> None:
    f = lambda x: (np.sin(x), np.cos(x))
    check_vjp(f, lambda gs, x: gs[0] * np.cos(x) - gs[1] * np.sin(x), MANY, mode="project")
    with pytest.raises(GradientError, match="gradient of output 1 at"):
        check_vjp(f, lambda gs, x: gs[0] * np.cos(x) + gs[1] * np.sin(x), MANY, mode="project")


@pytest.mark.parametrize("shape", [(0,), (2, 0)], ids=str)
def test_empty_inputs_and_results_are_accepted_in_every_mode_and_their_shapes_compared(shape: Any) -> None:
    empty = np.zeros(shape)
    for mode in ("auto", "full", "project"):
        check_grad(lambda x, y: (x + y, mg.sum(x)), np.zeros((*shape[:-1], 1)), empty, mode=mode, order=2)
        check_grad(lambda x: x[:0], X, mode=mode, order=2)
        with pytest.raises(GradientError, match="the gradient is"):
            check_vjp(np.sin, lambda g, x: np.zeros((*shape, 1)), empty, mode=mode)
