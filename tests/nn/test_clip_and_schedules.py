"""Gradient clipping, and learning rates as functions of the step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn


def with_grads(*grads: Any, dtype: Any = np.float64) -> list[mg.Tensor]:
    params = []
    for g in grads:
        p = nn.parameter(np.zeros(np.shape(g), dtype))
        p.grad = np.array(g, dtype)
        params.append(p)
    return params


# --- the norm --------------------------------------------------------------------------------------------------------


@given(max_norm=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_clip_grad_norm_scales_all_gradients_together_by_at_most_1(max_norm: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grads = [rng.standard_normal(shape) for shape in [(), (3,), (2, 4), (0,)]]
    norm = math.sqrt(sum((g**2).sum() for g in grads))
    params = with_grads(*grads)
    np.testing.assert_allclose(nn.clip_grad_norm(params, max_norm), norm)
    for p, g in zip(params, grads, strict=True):
        np.testing.assert_allclose(p.grad, g * min(1, max_norm / norm), rtol=1e-12)


def test_gradients_within_the_norm_are_left_bit_for_bit() -> None:
    (p,) = with_grads([0.3, -0.1])
    before = p.grad.copy()
    nn.clip_grad_norm([p], 0.32)
    np.testing.assert_array_equal(p.grad, before)


def test_clip_grad_norm_works_in_place_and_in_float32() -> None:
    (p,) = with_grads([3.0, 4.0], dtype=np.float32)
    g = p.grad
    assert nn.clip_grad_norm([p], 1.0) == 5.0
    assert p.grad is g
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, [0.6, 0.8], rtol=1e-6)


def test_clip_grad_norm_counts_a_parameter_once_and_skips_those_without_gradient() -> None:
    (p,) = with_grads([3.0, 4.0])
    assert nn.clip_grad_norm([p, p, nn.parameter(np.ones(2))], 1.0) == 5.0
    np.testing.assert_allclose(p.grad, [0.6, 0.8])


def test_clip_grad_norm_of_no_gradient_is_0() -> None:
    assert nn.clip_grad_norm([nn.parameter(np.ones(2))], 1.0) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_norm_that_is_not_finite_raises_and_leaves_the_gradients_alone(bad: float) -> None:
    a, b = with_grads([3.0, 4.0], [bad])
    with pytest.raises(FloatingPointError, match=r"norm is (nan|inf).*detect_anomaly"):
        nn.clip_grad_norm([a, b], 1.0)
    np.testing.assert_array_equal(a.grad, [3.0, 4.0])
    np.testing.assert_array_equal(b.grad, [bad])


@pytest.mark.parametrize(
    ("size", "dtype"), [(1e25, np.float32), (1e-25, np.float32), (1e200, np.float64), (1e-200, np.float64)]
)
def test_the_norm_of_large_and_small_gradients_is_right(size: float, dtype: Any) -> None:
    (p,) = with_grads([3 * size, 4 * size], dtype=dtype)
    np.testing.assert_allclose(nn.clip_grad_norm([p], size), 5 * size, rtol=1e-6)
    np.testing.assert_allclose(p.grad, [0.6 * size, 0.8 * size], rtol=1e-6)


def test_the_norm_of_many_float32_entries_is_accurate() -> None:
    (p,) = with_grads(np.full(1_000_003, 0.1), dtype=np.float32)
    np.testing.assert_allclose(nn.clip_grad_norm([p], 1e6), 0.1 * math.sqrt(1_000_003), rtol=1e-4)


def test_clip_grad_norm_to_infinity_only_measures() -> None:
    params = with_grads([3.0], [-4.0])
    assert nn.clip_grad_norm(params, math.inf) == 5.0
    assert [p.grad.tolist() for p in params] == [[3.0], [-4.0]]


@pytest.mark.parametrize("max_norm", [-1.0, float("nan")])
def test_clip_grad_norm_refuses_a_bad_max_norm(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm must"):
        nn.clip_grad_norm(with_grads([1.0]), max_norm)


# --- the value -------------------------------------------------------------------------------------------------------


@given(limit=st.floats(0, 3), seed=st.integers(0, 99))
def test_clip_grad_value_cuts_each_entry_in_place(limit: float, seed: int) -> None:
    g = 2 * np.random.default_rng(seed).standard_normal((3, 4))
    (p,) = with_grads(g)
    array = p.grad
    nn.clip_grad_value([p, p, nn.parameter(np.ones(2))], limit)
    assert p.grad is array
    np.testing.assert_array_equal(p.grad, np.maximum(np.minimum(g, limit), -limit))


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_clip_grad_value_refuses_a_bad_limit(limit: float) -> None:
    with pytest.raises(ValueError, match="limit must"):
        nn.clip_grad_value(with_grads([1.0]), limit)


@pytest.mark.parametrize("clip", [nn.clip_grad_norm, nn.clip_grad_value])
def test_clipping_refuses_what_is_no_parameter(clip: Any) -> None:
    with pytest.raises(TypeError, match="params must be leaf tensors"):
        clip([mg.tensor([1.0])], 1.0)


# --- schedules -------------------------------------------------------------------------------------------------------


def test_step_decay_multiplies_by_the_factor_after_every_so_many_steps() -> None:
    rate = nn.step_decay(0.8, every=3, factor=0.5)
    assert [rate(n) for n in range(8)] == [0.8] * 3 + [0.4] * 3 + [0.2] * 2
    np.testing.assert_allclose(nn.step_decay(1.0, 2)(4), 0.01)


def test_exponential_decay_multiplies_by_the_factor_at_each_step() -> None:
    rate = nn.exponential_decay(0.8, 0.5)
    np.testing.assert_allclose([rate(n) for n in range(4)], [0.8, 0.4, 0.2, 0.1])


def test_cosine_decay_is_half_a_cosine_from_lr_to_final_and_stays_there() -> None:
    rate = nn.cosine_decay(1.0, total=4, final=0.2)
    expected = [0.2 + 0.8 * (1 + math.cos(math.pi * n / 4)) / 2 for n in range(5)] + [0.2, 0.2]
    np.testing.assert_allclose([rate(n) for n in range(7)], expected)
    assert (rate(0), rate(4)) == (1.0, 0.2)


def test_cosine_decay_warms_up_linearly_with_no_step_at_rate_0() -> None:
    rate = nn.cosine_decay(1.0, total=10, warmup=4)
    np.testing.assert_allclose([rate(n) for n in range(5)], [0.25, 0.5, 0.75, 1.0, 1.0])
    np.testing.assert_allclose(rate(7), 0.5)  # half of the 6 steps of the cosine
    np.testing.assert_allclose(rate(10), 0.0, atol=1e-15)


@pytest.mark.parametrize(("total", "warmup"), [(0, 0), (4, 4), (4, -1), (-2, 0)])
def test_cosine_decay_refuses_a_warmup_that_leaves_no_decay(total: int, warmup: int) -> None:
    with pytest.raises(ValueError, match="cosine_decay: warmup must"):
        nn.cosine_decay(1.0, total, warmup)


@pytest.mark.parametrize("every", [0, -1])
def test_step_decay_refuses_an_empty_period(every: int) -> None:
    with pytest.raises(ValueError, match="every"):
        nn.step_decay(1.0, every)


def test_an_optimiser_takes_a_schedule_and_counts_its_own_steps() -> None:
    p = nn.parameter(np.zeros(1))
    optimiser = nn.SGD([p], nn.step_decay(1.0, every=2, factor=0.5))
    seen = []
    for _ in range(5):
        p.grad = np.ones(1)
        seen.append(optimiser.rate)
        optimiser.step()
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.25]
    np.testing.assert_array_equal(p.data, [-3.25])


def test_a_schedule_that_starts_out_of_range_raises() -> None:
    with pytest.raises(ValueError, match="lr must"):
        nn.SGD([nn.parameter(np.zeros(1))], lambda n: -1.0)


def test_lambda_decay_multiplies_the_rate_by_the_function() -> None:
    rate = nn.lambda_decay(0.5, lambda n: 2.0**-n)
    assert [rate(n) for n in range(3)] == [0.5, 0.25, 0.125]
    with pytest.raises(TypeError, match=r"factor must be a function of the number of steps, got 0\.5"):
        nn.lambda_decay(0.5, 0.5)  # type: ignore[arg-type]


@given(
    lr=st.floats(1e-3, 10), total=st.integers(1, 60), pct_start=st.floats(0, 0.5), div=st.floats(1, 50),
    anneal=st.sampled_from(["cos", "linear"]), three_phase=st.booleans(),
)  # fmt: skip
def test_one_cycle_starts_rises_to_lr_falls_and_stays_at_its_last_rate(
    lr: float, total: int, pct_start: float, div: float, anneal: str, three_phase: bool
) -> None:
    rate = nn.one_cycle(lr, total, pct_start, div, 100.0, anneal, three_phase)
    rates = np.array([rate(n) for n in range(total + 3)])
    top = rates.argmax()
    assert (np.diff(rates[: top + 1]) >= -1e-12).all()
    assert (np.diff(rates[top:]) <= 1e-12).all()
    assert rates.max() <= lr * (1 + 1e-12)
    np.testing.assert_allclose(rates[-4:] if total > 1 else rates[-3:], lr / div / 100, rtol=1e-9)
    if pct_start * total > 1:
        np.testing.assert_allclose(rates[0], lr / div)


@given(lr=st.floats(1e-3, 10), total=st.integers(4, 30), n=st.integers(0, 40))
def test_one_cycle_scales_with_lr(lr: float, total: int, n: int) -> None:
    np.testing.assert_allclose(nn.one_cycle(1.0, total)(n, lr), nn.one_cycle(lr, total)(n), rtol=1e-12)


def test_a_plateau_lowers_the_rate_after_patience_is_out_and_rests_for_the_cooldown() -> None:
    plateau = nn.plateau_decay(1.0, factor=0.5, patience=1, cooldown=2)
    lowered = [plateau.update(loss) for loss in [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]]
    assert lowered == [False, False, True, False, False, False, True]
    assert plateau(0) == 0.25


@pytest.mark.parametrize(("mode", "values"), [("min", [2.0, 1.9, 1.7, 1.4]), ("max", [2.0, 2.1, 2.3, 2.8])])
@pytest.mark.parametrize(("threshold_mode", "threshold"), [("rel", 0.12), ("abs", 0.25)])
def test_a_plateau_counts_as_better_what_is_so_by_the_threshold(
    mode: str, values: list[float], threshold_mode: str, threshold: float
) -> None:
    plateau = nn.plateau_decay(
        1.0, factor=0.5, patience=0, mode=mode, threshold=threshold, threshold_mode=threshold_mode
    )
    assert [plateau.update(value) for value in values] == [False, True, False, False]


def test_a_plateau_takes_losses_as_they_come_and_counts_nan_as_no_better() -> None:
    plateau = nn.plateau_decay(1.0, factor=0.5, patience=0)
    values = [mg.tensor(2.0), np.float32(1.0), np.array(0.5), float("nan"), 0.25]
    assert [plateau.update(value) for value in values] == [False, False, False, True, False]
    for bad in ("low", np.ones(2), None):
        with pytest.raises(TypeError, match="update: the value of an epoch must be a number"):
            plateau.update(bad)  # type: ignore[arg-type]


BAD_SCHEDULES: list[tuple[Any, str]] = [
    (lambda: nn.step_decay(-1.0, 2), "lr must"),
    (lambda: nn.step_decay(0.1, 2, -0.5), "factor must"),
    (lambda: nn.exponential_decay(0.1, math.nan), "factor must"),
    (lambda: nn.lambda_decay(math.nan, lambda n: 1.0), "lr must"),
    (lambda: nn.one_cycle(0.1, 0), "total must"),
    (lambda: nn.one_cycle(0.1, 9, pct_start=1.5), r"pct_start must lie within \[0, 1\], got 1\.5"),
    (lambda: nn.one_cycle(0.1, 9, div_factor=0.0), r"div_factor must lie within \(0, inf\), got 0\.0"),
    (lambda: nn.one_cycle(0.1, 9, final_div_factor=-1.0), "final_div_factor must"),
    (lambda: nn.one_cycle(0.1, 9, anneal="cosine"), "anneal must be 'cos' or 'linear', got 'cosine'"),
    (lambda: nn.one_cycle(0.1, 9, pct_start=0.6, three_phase=True), "pct_start of at most 0.5, got 0.6"),
    (lambda: nn.plateau_decay(0.1, factor=1.0), "factor must"),
    (lambda: nn.plateau_decay(0.1, patience=-1), "patience must"),
    (lambda: nn.plateau_decay(0.1, cooldown=-1), "cooldown must"),
    (lambda: nn.plateau_decay(0.1, threshold=-0.1), "threshold must"),
    (lambda: nn.plateau_decay(0.1, mode="less"), "mode must be 'min' or 'max'.*'less'"),
    (lambda: nn.plateau_decay(0.1, threshold_mode="relative"), "threshold_mode 'rel' or 'abs'.*'relative'"),
]


@pytest.mark.parametrize(("make", "message"), BAD_SCHEDULES, ids=[message for _, message in BAD_SCHEDULES])
def test_a_schedule_with_a_number_out_of_its_range_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
