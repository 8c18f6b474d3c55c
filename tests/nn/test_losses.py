"""Losses against plain NumPy and finite differences; masks, extreme logits, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import check_grad

leading = st.lists(st.integers(1, 3), max_size=3).map(tuple)
classes = st.integers(1, 5)
reductions = st.sampled_from(["mean", "sum", "none"])
SAME_SHAPE = [nn.mse_loss, nn.binary_cross_entropy_with_logits]
each_dense = pytest.mark.parametrize("loss", SAME_SHAPE, ids=lambda loss: loss.__name__)
each_class = pytest.mark.parametrize("loss", [nn.cross_entropy, nn.nll_loss], ids=lambda loss: loss.__name__)


def entries(x: np.ndarray, targets: np.ndarray, ignore_index: int | None = None) -> np.ndarray:
    """-log softmax(x)[target] one by one, 0 where ignored."""
    losses = np.zeros(targets.shape)
    for k in np.ndindex(*targets.shape):
        if targets[k] != ignore_index:
            losses[k] = -np.log(np.exp(x[k])[targets[k]] / np.exp(x[k]).sum())
    return losses


def reduced(losses: np.ndarray, reduction: str, count: int) -> Any:
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / max(1, count)}[reduction]


# --- cross-entropy ---------------------------------------------------------------------------------------------------


@given(lead=leading, V=classes, reduction=reductions, ignored=st.booleans(), seed=st.integers(0, 99))
def test_cross_entropy_is_minus_log_softmax_at_the_target(
    lead: Any, V: int, reduction: str, ignored: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, targets = rng.standard_normal((*lead, V)), rng.integers(0, V, lead)
    ignore = -100 if ignored else None
    if ignored:
        targets = np.where(rng.random(lead) < 0.4, -100, targets)
    expected = reduced(entries(x, targets, ignore), reduction, int((targets != ignore).sum()))
    for logits in (x, mg.tensor(x)):
        y = nn.cross_entropy(logits, targets, ignore_index=ignore, reduction=reduction)
        np.testing.assert_allclose(np.asarray(y), expected, rtol=1e-12, atol=1e-13)


@given(lead=leading, V=classes, reduction=reductions, ignored=st.booleans(), seed=st.integers(0, 99))
def test_cross_entropy_derivatives_match_finite_differences(
    lead: Any, V: int, reduction: str, ignored: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, targets = rng.standard_normal((*lead, V)), rng.integers(0, V, lead)
    ignore = 0 if ignored else None  # a class of its own may stand for padding
    check_grad(lambda t: nn.cross_entropy(t, targets, ignore, reduction), x, order=2)


@given(lead=leading, V=classes, seed=st.integers(0, 99))
def test_cross_entropy_gradient_is_softmax_minus_the_one_hot_target_over_the_count(
    lead: Any, V: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, targets = mg.tensor(rng.standard_normal((*lead, V)), requires_grad=True), rng.integers(0, V, lead)
    nn.cross_entropy(x, targets).backward()
    e = np.exp(x.data)
    expected = (e / e.sum(-1, keepdims=True) - np.eye(V)[targets]) / targets.size
    np.testing.assert_allclose(x.grad, expected, rtol=1e-11, atol=1e-13)


@given(lead=leading, V=classes, reduction=reductions, seed=st.integers(0, 99))
def test_nll_loss_of_log_softmax_is_cross_entropy(lead: Any, V: int, reduction: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, targets = rng.standard_normal((*lead, V)), rng.integers(-1, V, lead)
    a = nn.nll_loss(mg.log_softmax(x), targets, ignore_index=-1, reduction=reduction)
    b = nn.cross_entropy(x, targets, ignore_index=-1, reduction=reduction)
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_the_mean_is_over_the_targets_that_count_and_not_over_all() -> None:
    x = np.zeros((4, 2))
    loss = nn.cross_entropy(x, [0, 1, -1, -1], ignore_index=-1)
    np.testing.assert_allclose(loss, np.log(2))


@each_class
def test_a_mean_over_no_target_at_all_is_0_with_gradient_0(loss: Any) -> None:
    x = mg.tensor(np.ones((3, 2)), requires_grad=True)
    y = loss(x, [7, 7, 7], ignore_index=7)
    y.backward()
    assert y.item() == 0
    np.testing.assert_array_equal(x.grad, np.zeros((3, 2)))
    assert nn.cross_entropy(mg.tensor(np.ones((0, 2))), np.zeros(0, int)).item() == 0


def test_targets_in_front_of_the_outputs_are_seen() -> None:
    with pytest.raises(TypeError, match=r"the outputs, \(2,\), come first.* targets, \(2, 3\).*swapped"):
        nn.cross_entropy(np.array([0, 1]), np.zeros((2, 3)))


def test_ignored_targets_have_gradient_0() -> None:
    x = mg.tensor(np.random.default_rng(0).standard_normal((3, 2)), requires_grad=True)
    nn.cross_entropy(x, [1, -100, 0], ignore_index=-100).backward()
    assert x.grad is not None
    assert x.grad[[0, 2]].all()
    assert not x.grad[1].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_targets_of_any_integer_dtype_do(dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3))
    expected = nn.cross_entropy(x, [0, 2], ignore_index=-100)
    assert nn.cross_entropy(x, np.array([0, 2], dtype), ignore_index=-100) == expected
    assert nn.cross_entropy(x, mg.tensor([0, 2], dtype=dtype), ignore_index=-100) == expected


@given(lead=leading, V=st.integers(2, 5), sign=st.sampled_from([-1e4, 1e4]), seed=st.integers(0, 99))
def test_extreme_logits_give_finite_losses_and_gradients(lead: Any, V: int, sign: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = mg.tensor(sign * rng.integers(-1, 2, (*lead, V)), dtype=np.float32, requires_grad=True)
    y = nn.cross_entropy(x, rng.integers(0, V, lead))
    y.backward()
    assert x.grad is not None
    assert np.isfinite(y.item())
    assert np.isfinite(x.grad).all()


def test_a_confident_wrong_logit_of_1e4_costs_1e4_and_pulls_with_gradient_1() -> None:
    x = mg.tensor([1e4, -1e4], requires_grad=True)
    y = nn.cross_entropy(x, 1)
    y.backward()
    assert y.item() == 2e4
    np.testing.assert_array_equal(x.grad, [1.0, -1.0])


def test_masked_logits_of_minus_infinity_have_gradient_0_and_leave_the_loss_finite() -> None:
    data = np.array([[0.5, -np.inf, 1.0], [-np.inf, -np.inf, 3.0]])
    x = mg.tensor(data, requires_grad=True)
    y = nn.cross_entropy(x, [2, 2])
    y.backward()
    np.testing.assert_allclose(y.item(), np.log(1 + np.exp(-0.5)) / 2)
    assert x.grad is not None
    assert np.isfinite(x.grad).all()
    assert not x.grad[np.isinf(data)].any()


def test_an_ignored_row_of_nothing_but_minus_infinity_does_no_harm() -> None:
    x = mg.tensor([[0.0, 0.0], [-np.inf, -np.inf]], requires_grad=True)
    y = nn.cross_entropy(x, [1, -1], ignore_index=-1)
    y.backward()
    np.testing.assert_allclose(y.item(), np.log(2))
    np.testing.assert_allclose(x.grad, [[0.5, -0.5], [0, 0]])


@each_class
@pytest.mark.parametrize("shape", [(), (2,), (3, 1), (2, 3), (3, 4)], ids=str)
def test_targets_of_another_shape_raise_and_name_both_shapes(loss: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"targets have shape .* need \(3,\)"):
        loss(mg.tensor(np.zeros((3, 4))), np.zeros(shape, int))


@each_class
@pytest.mark.parametrize(("bad", "ignore"), [(-1, None), (4, None), (-100, None), (4, -1), (-2, -1)])
def test_targets_out_of_range_raise_and_name_the_first_one(loss: Any, bad: int, ignore: int | None) -> None:
    with pytest.raises(ValueError, match=rf"within 0 \.\.\. 3, found {bad}$"):
        loss(mg.tensor(np.zeros((3, 4))), np.array([0, bad, 3]), ignore_index=ignore)


@each_class
@pytest.mark.parametrize("targets", [[0.0, 1.0], [True, False], np.eye(3)[[0, 1]]], ids=["float", "bool", "one-hot"])
def test_targets_that_are_no_integers_raise(loss: Any, targets: Any) -> None:
    with pytest.raises(TypeError, match="targets must be integers"):
        loss(mg.tensor(np.zeros((2, 4))), targets)


def test_nll_loss_takes_no_probabilities_as_targets() -> None:
    with pytest.raises(TypeError, match="targets must be integers"):
        nn.nll_loss(mg.tensor(np.zeros((2, 4))), np.eye(4)[[0, 1]])


# --- losses of one shape ---------------------------------------------------------------------------------------------


@given(shape=leading, reduction=reductions, seed=st.integers(0, 99))
def test_mse_loss_is_the_squared_difference(shape: Any, reduction: str, seed: int) -> None:
    y, t = np.random.default_rng(seed).standard_normal((2, *shape))
    expected = reduced((y - t) ** 2, reduction, y.size)
    pairs = [(y, t), (mg.tensor(y), t), (mg.tensor(y), mg.tensor(t)), (mg.tensor(y), t.tolist()), (y.tolist(), t)]
    for out, target in pairs:
        np.testing.assert_allclose(np.asarray(nn.mse_loss(out, target, reduction)), expected, rtol=1e-13)


@given(shape=leading, reduction=reductions, seed=st.integers(0, 99))
def test_binary_cross_entropy_is_that_of_the_sigmoid(shape: Any, reduction: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal(shape), rng.random(shape)
    p = 1 / (1 + np.exp(-x))
    expected = reduced(-t * np.log(p) - (1 - t) * np.log(1 - p), reduction, x.size)
    y = nn.binary_cross_entropy_with_logits(mg.tensor(x), t, reduction)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12)


@each_dense
@given(shape=leading, reduction=reductions, seed=st.integers(0, 99))
def test_derivatives_match_finite_differences(loss: Any, shape: Any, reduction: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.random(shape)
    check_grad(lambda y: loss(y, targets, reduction), rng.standard_normal(shape), order=2)
    check_grad(lambda y, t: loss(y, t, reduction), rng.standard_normal(shape), targets, order=2)


def test_binary_cross_entropy_at_extreme_logits_is_finite_with_gradient_sigma_minus_target() -> None:
    x = mg.tensor([1e4, -1e4, 1e4, -1e4], dtype=np.float32, requires_grad=True)
    losses = nn.binary_cross_entropy_with_logits(x, [1, 0, 0, 1], reduction="none")
    losses.sum().backward()
    np.testing.assert_array_equal(losses.data, [0, 0, 1e4, 1e4])
    np.testing.assert_array_equal(x.grad, [0, 0, 1, -1])


@each_dense
@pytest.mark.parametrize("shape", [(), (3, 1), (1,), (1, 3), (2, 3)], ids=str)
def test_another_shape_raises_and_names_both_rather_than_broadcast(loss: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"{loss.__name__}: .* shape \(3,\), targets \({str(shape)[1:-1]}\)"):
        loss(mg.tensor(np.zeros(3)), np.zeros(shape))


@each_dense
def test_a_mean_over_nothing_is_0(loss: Any) -> None:
    assert loss(mg.tensor(np.zeros((0, 2))), np.zeros((0, 2))).item() == 0


def test_mse_loss_does_not_round_the_targets_to_the_outputs_integers() -> None:
    np.testing.assert_allclose(np.asarray(nn.mse_loss(mg.tensor([1, 2]), [1.5, 2.5])), 0.25)


# --- all -------------------------------------------------------------------------------------------------------------

LOSSES = [(nn.cross_entropy, [0, 1]), (nn.nll_loss, [0, 1]), *[(loss, np.ones((2, 3))) for loss in SAME_SHAPE]]
each_loss = pytest.mark.parametrize(("loss", "targets"), LOSSES, ids=[loss.__name__ for loss, _ in LOSSES])


@each_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_float32_stays_float32_in_loss_and_gradient(loss: Any, targets: Any, reduction: str) -> None:
    x = mg.tensor(np.full((2, 3), -0.5), dtype=np.float32, requires_grad=True)
    y = loss(x, targets, reduction=reduction)
    y.sum().backward()
    assert x.grad is not None
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)


@each_loss
def test_an_unknown_reduction_raises_and_names_the_known_ones(loss: Any, targets: Any) -> None:
    with pytest.raises(ValueError, match="must be 'mean', 'sum' or 'none', got 'average'"):
        loss(mg.tensor(np.zeros((2, 3))), targets, reduction="average")


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, bool])
def test_squared_differences_of_small_integers_do_not_wrap_around(dtype: Any) -> None:
    y, targets = np.array([1, 0, 100], dtype), np.array([0, 1, 0], dtype)
    expected = ((y.astype(float) - targets) ** 2).mean()
    assert nn.mse_loss(y, targets).item() == expected
    assert nn.mse_loss(mg.tensor(y), targets).item() == expected


def test_what_is_no_row_of_classes_is_told_and_what_one_hot_integers_lack() -> None:
    with pytest.raises(ValueError, match=r"cross_entropy: logits must be \(\.\.\., V\)"):
        nn.cross_entropy(mg.tensor(1.0), 0)
    with pytest.raises(ValueError, match="as probabilities they are floating-point"):
        nn.cross_entropy(mg.tensor(np.zeros((2, 3))), np.eye(3, dtype=int)[:2])
