"""The checkers on functions that others wrote: no false alarm where the derivative is right, none missed where not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import GradientError, KinkError, check_grad, check_jvp, check_vjp

pytest.importorskip("scipy", reason="the trials are functions of SciPy")

from scipy import optimize, special
from trial_faults import FAULTS, is_visible
from trials import Trial, special_trials
from trials_algebra import array_trials
from trials_frameworks import hips_trials, torch_trials

campaign = pytest.mark.campaign
TRIALS = [*special_trials(), *array_trials()]


def in_either_mode(cases: Any) -> Any:
    """Each case in both modes; one of them, in turn after as many cases as there are kinds of faults, is a campaign."""
    return [
        pytest.param(*case, mode, id=f"{name}-{mode}", marks=() if k // len(FAULTS) % 2 == j else campaign)
        for k, (name, case) in enumerate(cases)
        for j, mode in enumerate(["auto", "project"])
    ]


@pytest.mark.parametrize(("trial", "mode"), in_either_mode((trial.name, [trial]) for trial in TRIALS))
def test_a_right_gradient_of_scipy_or_by_hand_is_accepted(trial: Trial, mode: str) -> None:
    check_vjp(trial.f, trial.vjp, *trial.draw(np.random.default_rng(1)), mode=mode)


@pytest.mark.parametrize(("package", "trials"), [("torch", torch_trials), ("autograd", hips_trials)])
def test_right_gradients_of_another_framework_are_accepted(package: str, trials: Any) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed, whose gradients this test checks")
    for trial in trials():
        try:
            check_vjp(trial.f, trial.vjp, *trial.draw(np.random.default_rng(1)))
        except (GradientError, KinkError) as error:
            pytest.fail(f"{trial.name}: {error}")


def planted() -> Iterator[tuple[Trial, str, tuple[Any, ...]]]:
    """For each trial one fault, in turn, or the next that can be seen there."""
    kinds = list(FAULTS)
    for k, trial in enumerate(TRIALS):
        xs = trial.draw(np.random.default_rng(2))
        turn = [kinds[(7 * k + j) % len(kinds)] for j in range(len(kinds))]
        yield trial, next(kind for kind in turn if is_visible(trial, kind, xs)), xs


PLANTED = list(planted())
IN_EITHER_MODE = in_either_mode((f"{trial.name}: {fault}", (trial, fault, xs)) for trial, fault, xs in PLANTED)


def test_every_kind_of_fault_is_planted() -> None:
    assert {fault for _, fault, _ in PLANTED} == set(FAULTS)
    assert len(FAULTS) >= 25
    cheap = [case.values for case in IN_EITHER_MODE if not case.marks]
    assert {(fault, mode) for _, fault, _, mode in cheap} == {(f, mode) for f in FAULTS for mode in ("auto", "project")}


@pytest.mark.parametrize(("trial", "fault", "xs", "mode"), IN_EITHER_MODE)
def test_a_fault_in_a_gradient_of_scipy_or_by_hand_is_rejected(trial: Trial, fault: str, xs: Any, mode: str) -> None:
    f, vjp = FAULTS[fault](trial)
    with pytest.raises(GradientError):
        check_vjp(f, vjp, *xs, mode=mode)


def test_the_hessian_of_rosenbrock_is_the_derivative_of_its_gradient() -> None:
    x = np.random.default_rng(0).standard_normal(30)
    check_vjp(optimize.rosen_der, lambda g, x: optimize.rosen_hess(x) @ g, x)
    check_jvp(optimize.rosen_der, lambda v, x: optimize.rosen_hess_prod(x, v), x)
    with pytest.raises(GradientError):
        check_jvp(optimize.rosen_der, lambda v, x: np.tril(optimize.rosen_hess(x)) @ v, x)


# --- one wrong entry -------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.integers(1, 10_000), st.sampled_from(["auto", "project"]), st.integers(0, 2**32), st.booleans(), st.data())
def test_one_entry_that_is_a_hundredth_off_is_rejected_wherever_it_is(
    n: int, mode: str, seed: int, is_sum: bool, data: Any
) -> None:
    entry = data.draw(st.integers(0, n - 1))
    x = np.random.default_rng(seed).uniform(0.5, 1.5, n)
    factor = np.where(np.arange(n) == entry, 1.01, 1.0)
    f = (lambda x: np.exp(x).sum()) if is_sum else np.exp
    with pytest.raises(GradientError, match=rf"at index \({entry},\)"):
        check_vjp(f, lambda g, x: g * np.exp(x) * factor, x, mode=mode, seed=seed)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.sampled_from(["full", "project", "auto"]))
def test_one_wrong_entry_of_a_matrix_is_rejected_in_every_mode(n: int, m: int, seed: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    a, x = rng.uniform(0.5, 1.5, (m, n)), rng.uniform(0.5, 1.5, n)
    wrong = a.copy()
    wrong[rng.integers(m), rng.integers(n)] *= 1.01
    check_vjp(lambda x: a @ x, lambda g, x: a.T @ g, x, mode=mode, seed=seed)
    with pytest.raises(GradientError):
        check_vjp(lambda x: a @ x, lambda g, x: wrong.T @ g, x, mode=mode, seed=seed)


# --- where f's own rounding hides its slopes -------------------------------------------------------------------------

softmax = lambda x: special.softmax(x, axis=-1)
log_softmax = lambda x: x - special.logsumexp(x, axis=-1, keepdims=True)
SATURATED = {
    "log_softmax": (log_softmax, lambda g, x: g - softmax(x) * g.sum(axis=-1, keepdims=True)),
    "cross-entropy": (lambda x: -log_softmax(x)[:, 1].mean(), lambda g, x: g / 3 * (softmax(x) - np.eye(4)[1])),
    "naive softplus": (lambda x: np.log(1 + np.exp(x)), lambda g, x: g * special.expit(x)),
    "1 - expit": (lambda x: 1 - special.expit(x), lambda g, x: -g * special.expit(x) * special.expit(-x)),
}


@pytest.mark.parametrize("width", [10, 40, 300])
@pytest.mark.parametrize(("f", "vjp"), SATURATED.values(), ids=SATURATED)
def test_a_saturated_function_whose_values_are_stairs_is_accepted(f: Any, vjp: Any, width: float) -> None:
    check_vjp(f, vjp, np.random.default_rng(0).uniform(-width, width, (3, 4)))


@pytest.mark.parametrize("f", [mg.log_softmax, mg.softmax, mg.sigmoid], ids=lambda f: f.name)
def test_our_saturated_functions_are_accepted_at_second_order(f: Any) -> None:
    check_grad(f, np.random.default_rng(0).uniform(-40, 40, (2, 3)), order=2)


def test_steps_into_infinity_do_not_hide_a_wrong_sign() -> None:
    x = np.array([1.5, 0.5, 4e-4, 55.0])  # entr is -inf left of 0, where a projection steps
    check_vjp(special.entr, lambda g, x: -g * (np.log(x) + 1), x, mode="project")
    with pytest.raises(GradientError):
        check_vjp(special.entr, lambda g, x: g * (np.log(x) + 1), x, mode="project")


def test_an_exception_of_any_kind_at_a_step_means_outside_of_the_domain() -> None:
    def f(x: Any) -> Any:
        if x[0] <= 0.99:
            raise RuntimeError("outside")
        return np.log(x)

    check_vjp(f, lambda g, x: g / x, np.array([1.0, 2.0]))


# --- what a report shows ---------------------------------------------------------------------------------------------


def test_lambdas_are_written_out_in_the_lines_to_paste() -> None:
    with pytest.raises(GradientError, match=r"\n    check_vjp\(np\.sin, lambda g, x: g, x0\)"):
        check_vjp(np.sin, lambda g, x: g, np.array([1.0, 2.0]))
