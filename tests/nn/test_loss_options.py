"""The options of losses: class weights, smoothing, probabilities, positive weights, lengths of padded batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import check_grad

sizes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))  # T, B, V
reductions = st.sampled_from(["mean", "sum", "none"])
seeds = st.integers(0, 99)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def reduced(losses: np.ndarray, reduction: str, count: float) -> Any:
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / (count or 1)}[reduction]


def lengths_of(size: Any, rng: Any) -> tuple[np.ndarray, np.ndarray]:
    lengths = rng.integers(0, size[0] + 1, size[1])
    return lengths, np.arange(size[0])[:, None] < lengths


# --- weights, smoothing, probabilities -------------------------------------------------------------------------------


@given(size=sizes, reduction=reductions, ε=st.sampled_from([0.0, 0.3, 1.0]), weighted=st.booleans(),
       ignored=st.booleans(), padded=st.booleans(), seed=seeds)  # fmt: skip
def test_cross_entropy_weighs_classes_smooths_targets_and_leaves_out_what_does_not_count(
    size: Any, reduction: str, ε: float, weighted: bool, ignored: bool, padded: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, targets, w = rng.standard_normal(size), rng.integers(0, size[2], size[:2]), rng.uniform(0.1, 3, size[2])
    lengths, counts = lengths_of(size, rng) if padded else (None, np.ones(size[:2], bool))
    w = w if weighted else np.ones(size[2])
    if ignored:
        counts = counts & (targets != 0)
    p = (1 - ε) * np.eye(size[2])[targets] + ε / size[2]
    losses = np.where(counts, -(w * p * log_softmax(x)).sum(axis=-1), 0)
    expected = reduced(losses, reduction, (w[targets] * counts).sum())
    options = {"weight": w if weighted else None, "ignore_index": 0 if ignored else None, "lengths": lengths}
    y = nn.cross_entropy(mg.tensor(x), targets, reduction=reduction, label_smoothing=ε, **options)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-13)
    if not ε:
        y = nn.nll_loss(log_softmax(x), targets, reduction=reduction, **options)
        np.testing.assert_allclose(np.asarray(y), expected, rtol=1e-12, atol=1e-13)


@given(size=sizes, reduction=reductions, ε=st.sampled_from([0.0, 0.3]), weighted=st.booleans(), padded=st.booleans(),
       seed=seeds)  # fmt: skip
def test_probabilities_as_targets_weigh_the_log_probabilities(
    size: Any, reduction: str, ε: float, weighted: bool, padded: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, p, w = rng.standard_normal(size), rng.dirichlet(np.ones(size[2]), size[:2]), rng.uniform(0, 3, size[2])
    lengths, counts = lengths_of(size, rng) if padded else (None, np.ones(size[:2], bool))
    smooth = (1 - ε) * p + ε / size[2]
    losses = np.where(counts, -((w if weighted else 1) * smooth * log_softmax(x)).sum(axis=-1), 0)
    y = nn.cross_entropy(mg.tensor(x), p, None, reduction, w if weighted else None, ε, lengths)
    np.testing.assert_allclose(y.data, reduced(losses, reduction, counts.sum()), rtol=1e-12, atol=1e-13)


@given(size=sizes, seed=seeds)
def test_one_hot_probabilities_are_what_their_classes_are(size: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, targets = rng.standard_normal(size), rng.integers(0, size[2], size[:2])
    a, b = mg.tensor(x, requires_grad=True), mg.tensor(x, requires_grad=True)
    nn.cross_entropy(a, targets).backward()
    nn.cross_entropy(b, np.eye(size[2])[targets]).backward()
    np.testing.assert_allclose(a.grad, b.grad, rtol=1e-12, atol=1e-13)


WORDS: list[dict[str, Any]] = [
    {"weight": [0.5, 2.0, 1.0]}, {"label_smoothing": 0.2}, {"weight": [0.0, 2.0, 1.0], "label_smoothing": 0.2},
    {"weight": [0.5, 2.0, 1.0], "ignore_index": 1}, {"lengths": [3, 1]}, {"lengths": [0, 2], "label_smoothing": 0.1},
]  # fmt: skip


@pytest.mark.parametrize("options", WORDS, ids=str)
@pytest.mark.parametrize("soft", [False, True])
def test_derivatives_of_cross_entropy_with_options_match_finite_differences(options: Any, soft: bool) -> None:
    rng = np.random.default_rng(0)
    x, targets = rng.standard_normal((3, 2, 3)), rng.integers(0, 3, (3, 2))
    if not soft:
        check_grad(lambda t: nn.cross_entropy(t, targets, **options), x, order=2)
    elif "ignore_index" not in options:
        p = rng.dirichlet(np.ones(3), (3, 2))
        check_grad(lambda t, q: nn.cross_entropy(t, q, **options), x, p, order=2)


def test_weights_and_probabilities_have_their_derivatives_too() -> None:
    rng = np.random.default_rng(0)
    x, targets, w = rng.standard_normal((4, 3)), np.array([0, 2, 2, 1]), np.array([0.0, 2.0, 1.0])
    check_grad(lambda w: nn.cross_entropy(x, targets, weight=w, label_smoothing=0.1), w, order=2)
    check_grad(lambda w: nn.cross_entropy(x, targets, weight=w, reduction="sum"), w, order=2)
    check_grad(lambda p: nn.cross_entropy(x, p), np.eye(3)[targets], order=2)
    check_grad(lambda w: nn.binary_cross_entropy_with_logits(x, x > 0, pos_weight=w), w, order=2)


@pytest.mark.parametrize("soft", [False, True])
def test_a_masked_class_of_weight_0_or_probability_0_does_no_harm(soft: bool) -> None:
    x = mg.tensor([[0.5, -np.inf, 1.0], [0.0, -np.inf, 3.0]], requires_grad=True)
    targets: Any = np.array([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]]) if soft else [2, 1]
    y = nn.cross_entropy(x, targets, weight=None if soft else [1.0, 0.0, 1.0])
    y.backward()
    assert x.grad is not None
    assert np.isfinite(y.item())
    assert np.isfinite(x.grad).all()
    assert not x.grad[:, 1].any()


def test_smoothing_over_a_masked_class_costs_infinity_and_leaves_gradients_finite() -> None:
    x = mg.tensor([[0.5, -np.inf, 1.0]], requires_grad=True)
    y = nn.cross_entropy(x, [2], label_smoothing=0.1)
    y.backward()
    assert y.item() == np.inf
    assert np.isfinite(x.grad).all()


def test_a_mean_of_weight_0_in_all_is_0() -> None:
    x = mg.tensor(np.ones((2, 2)), requires_grad=True)
    y = nn.cross_entropy(x, [0, 0], weight=[0.0, 1.0])
    y.backward()
    assert y.item() == 0
    np.testing.assert_array_equal(x.grad, np.zeros((2, 2)))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"weight": [1.0, 2.0]}, r"weight has shape \(2,\), outputs of shape \(2, 4\) need \(4,\)"),
    ({"weight": 1.0}, r"weight has shape \(\)"),
    ({"label_smoothing": 1.5}, r"label_smoothing must lie within \[0, 1\], got 1\.5"),
    ({"label_smoothing": -0.1}, "label_smoothing must"),
    ({"label_smoothing": np.nan}, r"label_smoothing must lie within \[0, 1\], got nan"),
    ({"targets": np.full((2, 4), 0.25), "ignore_index": -1}, "ignore_index: the targets are probabilities"),
    ({"lengths": [1, 1]}, r"cross_entropy: with lengths, outputs are \(T, B, ..., V\), got shape \(2, 4\)"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_options_of_cross_entropy_that_do_not_fit_are_refused(options: Any, message: str) -> None:
    options = {"targets": [0, 1]} | options
    with pytest.raises(ValueError, match=message):
        nn.cross_entropy(mg.tensor(np.zeros((2, 4))), **options)


def test_a_label_smoothing_that_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match=r"label_smoothing must be a number, got '0\.1'"):
        nn.cross_entropy(mg.tensor(np.zeros((2, 4))), [0, 1], label_smoothing="0.1")  # type: ignore[arg-type]


def test_probabilities_of_another_shape_are_refused_with_the_shape_that_they_need() -> None:
    with pytest.raises(TypeError, match=r"got float64 of shape \(2, 3\); as probabilities.* shape \(2, 4\)"):
        nn.cross_entropy(mg.tensor(np.zeros((2, 4))), np.full((2, 3), 1 / 3))


# --- positive weights ------------------------------------------------------------------------------------------------


@given(size=sizes, reduction=reductions, axes=st.integers(0, 3), seed=seeds)
def test_pos_weight_weighs_the_positive_part(size: Any, reduction: str, axes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t, w = rng.standard_normal(size), rng.random(size), rng.uniform(0.1, 5, size[3 - axes :])
    p = 1 / (1 + np.exp(-x))
    losses = -w * t * np.log(p) - (1 - t) * np.log(1 - p)
    y = nn.binary_cross_entropy_with_logits(mg.tensor(x), t, reduction, w)
    np.testing.assert_allclose(y.data, reduced(losses, reduction, x.size), rtol=1e-12)
    check_grad(lambda z: nn.binary_cross_entropy_with_logits(z, t, reduction, w), x, order=2)


def test_pos_weight_at_extreme_logits_is_finite() -> None:
    x = mg.tensor([1e4, -1e4, 1e4, -1e4], dtype=np.float32, requires_grad=True)
    losses = nn.binary_cross_entropy_with_logits(x, [1, 0, 0, 1], "none", pos_weight=3.0)
    losses.sum().backward()
    np.testing.assert_array_equal(losses.data, [0, 0, 1e4, 3e4])
    np.testing.assert_array_equal(x.grad, [0, 0, 1, -3])


@pytest.mark.parametrize("shape", [(2,), (4, 3), (1, 1, 3), (2, 4, 3)], ids=str)
def test_a_pos_weight_that_does_not_broadcast_to_the_logits_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"pos_weight of shape .* does not broadcast to that of the logits, \(2, 3\)"):
        nn.binary_cross_entropy_with_logits(mg.tensor(np.zeros((2, 3))), np.zeros((2, 3)), pos_weight=np.ones(shape))


# --- lengths ---------------------------------------------------------------------------------------------------------

#: name -> the loss, and targets for outputs (T, B, 2, V)
LOSSES: dict[str, Any] = {
    "cross_entropy": lambda x, rng: (nn.cross_entropy, rng.integers(0, x.shape[-1], x.shape[:-1])),
    "probabilities": lambda x, rng: (nn.cross_entropy, rng.dirichlet(np.ones(x.shape[-1]), x.shape[:-1])),
    "nll_loss": lambda x, rng: (nn.nll_loss, rng.integers(0, x.shape[-1], x.shape[:-1])),
    "mse_loss": lambda x, rng: (nn.mse_loss, rng.standard_normal(x.shape)),
    "binary": lambda x, rng: (nn.binary_cross_entropy_with_logits, rng.random(x.shape)),
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def padded_case(name: str, size: Any, seed: int) -> tuple[Any, Any, Any, Any, Any]:
    """Loss, outputs (T, B, 2, V), targets, lengths, mask (T, B)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*size[:2], 2, size[2]))
    loss, targets = LOSSES[name](x, rng)
    return loss, x, targets, *lengths_of(size, rng)


@each_loss
@given(size=sizes, reduction=reductions, seed=seeds)
def test_with_lengths_a_loss_is_that_of_the_times_before_each_of_them(
    name: str, size: Any, reduction: str, seed: int
) -> None:
    loss, x, targets, lengths, mask = padded_case(name, size, seed)
    padded = mg.tensor(np.where(mask[..., None, None], x, np.nan), requires_grad=True)
    bad = -7 if targets.dtype.kind == "i" else np.nan  # padding may hold anything
    y = loss(
        padded,
        np.where(mask[(...,) + (None,) * (targets.ndim - 2)], targets, bad),
        reduction=reduction,
        lengths=lengths,
    )
    read = mg.tensor(x[mask], requires_grad=True)
    expected = loss(read, targets[mask], reduction=reduction)
    if reduction == "none":
        np.testing.assert_allclose(y.data[mask], expected.data, rtol=1e-12)
        assert not y.data[~mask].any()
    else:
        np.testing.assert_allclose(y.data, expected.data, rtol=1e-12)
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(padded.grad[mask], read.grad, rtol=1e-11, atol=1e-14)
    assert not padded.grad[~mask].any()


@each_loss
def test_derivatives_with_lengths_match_finite_differences(name: str) -> None:
    loss, x, targets, lengths, _ = padded_case(name, (3, 2, 3), 4)
    check_grad(lambda t: loss(t, targets, lengths=lengths), x, order=2)


@each_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_float32_stays_float32_with_every_option(name: str, reduction: str) -> None:
    loss, x, targets, lengths, _ = padded_case(name, (3, 2, 3), 0)
    options: Any = {"weight": np.ones(3)} if loss in (nn.cross_entropy, nn.nll_loss) else {}
    options |= {"label_smoothing": 0.1} if loss is nn.cross_entropy else {}
    options |= {"pos_weight": np.ones(3)} if name == "binary" else {}
    t = mg.tensor(x, dtype=np.float32, requires_grad=True)
    y = loss(t, targets, reduction=reduction, lengths=lengths, **options)
    y.sum().backward()
    assert t.grad is not None
    assert (y.dtype, t.grad.dtype) == (np.float32, np.float32)


@each_loss
@pytest.mark.parametrize("size", [(0, 2, 3), (2, 0, 3), (3, 2, 3)], ids=str)
def test_a_mean_over_nothing_but_padding_is_0_with_gradient_0(name: str, size: Any) -> None:
    loss, x, targets, *_ = padded_case(name, size, 0)
    t = mg.tensor(x, requires_grad=True)
    y = loss(t, targets, lengths=np.zeros(size[1], int))
    y.backward()
    assert y.item() == 0
    np.testing.assert_array_equal(t.grad, np.zeros(x.shape))


@each_loss
def test_compiled_a_loss_reads_lengths_and_targets_at_each_call(name: str) -> None:
    loss, x, targets, *_ = padded_case(name, (3, 2, 3), 1)
    compiled = mg.compile(mg.value_and_grad(lambda t, q, lengths: loss(t, q, lengths=lengths)))
    for lengths in ([3, 1], [0, 2]):
        y, g = compiled(mg.tensor(x), mg.tensor(targets), mg.tensor(lengths))
        expected = mg.value_and_grad(lambda t, n=lengths: loss(t, targets, lengths=n))(x)
        np.testing.assert_allclose(y.data, expected[0].data, rtol=1e-14)
        np.testing.assert_allclose(g.data, expected[1].data, rtol=1e-14, atol=1e-16)
    with pytest.raises(ValueError, match=r"^lengths must lie within 0 \.\.\. T = 3"):
        compiled(mg.tensor(x), mg.tensor(targets), mg.tensor([4, 1]))


@pytest.mark.parametrize("option", ["weight", "label_smoothing"])
def test_compiled_logits_may_be_plain_numbers_and_an_option_what_learns(option: str) -> None:
    x, targets = np.random.default_rng(0).standard_normal((3, 2, 4)), np.array([[0, 1], [2, 3], [3, 3]])

    def step(w: Any) -> Any:
        options = {"weight": w, "label_smoothing": 0.1} if option == "label_smoothing" else {"weight": w}
        return nn.cross_entropy(x, targets, lengths=[3, 1], **options)

    w = np.array([0.5, 1.0, 2.0, 0.25])
    eager, compiled = mg.value_and_grad(step)(w), mg.compile(mg.value_and_grad(step))(w)
    for a, b in zip(compiled, eager):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-14)


@each_loss
@pytest.mark.parametrize("lengths", [[4, 1], [-1, 1], [1, 1, 1], [1.0, 1.0]], ids=str)
def test_lengths_that_do_not_fit_the_batch_are_refused(name: str, lengths: Any) -> None:
    loss, x, targets, *_ = padded_case(name, (3, 2, 3), 0)
    with pytest.raises(ValueError, match="lengths must"):
        loss(mg.tensor(x), targets, lengths=lengths)
