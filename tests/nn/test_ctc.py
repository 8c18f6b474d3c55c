"""CTC against the sum over all alignments, one by one; its edges, and its decoding."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import check_grad

seeds = st.integers(0, 99)


def collapsed(path: Any, blank: int) -> tuple[int, ...]:
    """The labels of an alignment: B of the paper."""
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def by_alignments(x: np.ndarray, labels: Any, blank: int) -> float:
    """-log Σ p(alignment) of one sequence (T, V)."""
    y, total = log_softmax(x), -np.inf
    for path in itertools.product(range(x.shape[1]), repeat=len(x)):
        if collapsed(path, blank) == tuple(labels):
            total = np.logaddexp(total, sum(y[t, label] for t, label in enumerate(path)))
    return -total


def random_case(T: int, B: int, V: int, S: int, blank: int, seed: int) -> tuple[Any, Any, Any, Any]:
    """Logits, targets, lengths, target_lengths; junk in the padding of all."""
    rng = np.random.default_rng(seed)
    labels = [label for label in range(V) if label != blank]
    targets = rng.choice(labels, (S, B)) if S else np.zeros((0, B), int)
    target_lengths = rng.integers(0, S + 1, B)
    targets = np.where(np.arange(S)[:, None] < target_lengths, targets, -9)
    return rng.standard_normal((T, B, V)), targets, rng.integers(0, T + 1, B), target_lengths


@given(
    T=st.integers(0, 4), B=st.integers(1, 3), V=st.integers(2, 3), S=st.integers(0, 3), last=st.booleans(), seed=seeds
)
def test_the_loss_is_that_of_the_sum_over_all_alignments(T: int, B: int, V: int, S: int, last: bool, seed: int) -> None:
    blank = V - 1 if last else 0
    x, targets, lengths, target_lengths = random_case(T, B, V, S, blank, seed)
    expected = [by_alignments(x[:n, b], targets[:s, b], blank) for b, (n, s) in enumerate(zip(lengths, target_lengths))]
    losses = nn.ctc_loss(mg.tensor(x), targets, lengths, target_lengths, blank, "none")
    np.testing.assert_allclose(losses.data, expected, rtol=1e-12, atol=1e-13)
    total = nn.ctc_loss(mg.tensor(x), targets, lengths, target_lengths, blank, "sum", zero_infinity=True)
    np.testing.assert_allclose(total.data, sum(e for e in expected if e < np.inf), rtol=1e-12, atol=1e-13)
    mean = nn.ctc_loss(x, targets, lengths, target_lengths, blank, "mean", zero_infinity=True)
    shares = [e / max(1, s) for e, s in zip(expected, target_lengths) if e < np.inf]
    np.testing.assert_allclose(np.asarray(mean), sum(shares) / B, rtol=1e-12, atol=1e-13)


@settings(max_examples=6)
@given(T=st.integers(1, 3), S=st.integers(0, 2), reduction=st.sampled_from(["mean", "sum", "none"]), seed=seeds)
def test_derivatives_match_finite_differences(T: int, S: int, reduction: str, seed: int) -> None:
    x, targets, lengths, target_lengths = random_case(T, 2, 3, S, 0, seed)
    check_grad(
        lambda t: nn.ctc_loss(t, targets, lengths, target_lengths, reduction=reduction, zero_infinity=True), x, order=2
    )


@given(T=st.integers(1, 4), V=st.integers(2, 3), seed=seeds)
def test_the_probabilities_of_all_labellings_add_up_to_1(T: int, V: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((T, 1, V))
    total = 0.0
    for S in range(T + 1):
        for labels in itertools.product(range(1, V), repeat=S):
            total += np.exp(-nn.ctc_loss(x, np.array(labels, int).reshape(S, 1), reduction="sum"))
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_without_lengths_all_times_and_all_labels_are_read() -> None:
    x, targets = np.random.default_rng(0).standard_normal((4, 2, 3)), np.array([[1, 2], [1, 1]])
    expected = nn.ctc_loss(x, targets, [4, 4], [2, 2])
    assert nn.ctc_loss(x, targets) == expected
    assert nn.ctc_loss(mg.tensor(x), mg.tensor(targets)).item() == expected


def test_log_probabilities_do_as_logits() -> None:
    x, targets = np.random.default_rng(0).standard_normal((4, 2, 3)), np.array([[1, 2], [1, 1]])
    np.testing.assert_allclose(nn.ctc_loss(log_softmax(x), targets), nn.ctc_loss(x, targets), rtol=1e-12)


def test_a_repeated_label_needs_a_blank_between() -> None:
    x = mg.tensor(np.zeros((2, 2, 3)), requires_grad=True)
    losses = nn.ctc_loss(x, [[1, 1], [1, 2]], reduction="none")  # two times: 1 1 has no alignment, 1 2 has one
    np.testing.assert_allclose(losses.data, [np.inf, 2 * np.log(3)])


@pytest.mark.parametrize("zero_infinity", [True, False])
def test_a_labelling_without_alignment_has_gradient_0_beside_one_that_has(zero_infinity: bool) -> None:
    data, targets = np.random.default_rng(0).standard_normal((3, 2, 3)), np.array([[1, 2], [1, 1]])
    x, alone = mg.tensor(data, requires_grad=True), mg.tensor(data[:, 1:], requires_grad=True)
    loss = nn.ctc_loss(x, targets, [1, 3], reduction="sum", zero_infinity=zero_infinity)
    expected = nn.ctc_loss(alone, targets[:, 1:], reduction="sum")
    loss.backward()
    expected.backward()
    assert loss.item() == (expected.item() if zero_infinity else np.inf)
    assert x.grad is not None
    assert not x.grad[:, 0].any()
    np.testing.assert_array_equal(x.grad[:, 1:], alone.grad)


def test_padding_may_hold_anything() -> None:
    data, targets = np.random.default_rng(0).standard_normal((4, 2, 3)), np.array([[1, 2], [1, 99]])
    data[2:, 1] = np.nan
    x = mg.tensor(data, requires_grad=True)
    nn.ctc_loss(x, targets, [4, 2], [2, 1]).backward()
    assert x.grad is not None
    assert np.isfinite(x.grad).all()
    assert not x.grad[2:, 1].any()


def test_masked_logits_of_minus_infinity_have_gradient_0() -> None:
    data = np.random.default_rng(0).standard_normal((4, 1, 4))
    data[1:3, 0, 0] = -np.inf  # no blank at these times
    data[:, 0, 3] = -np.inf
    x = mg.tensor(data, requires_grad=True)
    y = nn.ctc_loss(x, [[1], [2]], reduction="sum")
    y.backward()
    np.testing.assert_allclose(y.item(), by_alignments(data[:, 0], [1, 2], 0), rtol=1e-12)
    assert np.isfinite(x.grad).all()
    assert not x.grad[np.isinf(data)].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_thousand_times_and_extreme_logits_stay_finite_in_their_dtype(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x = mg.tensor((1e3 * rng.standard_normal((300, 2, 5))).astype(dtype), requires_grad=True)
    y = nn.ctc_loss(x, rng.integers(1, 5, (20, 2)))
    y.backward()
    assert x.grad is not None
    assert (y.dtype, x.grad.dtype) == (dtype, dtype)
    assert np.isfinite(y.item())
    assert np.isfinite(x.grad).all()
    np.testing.assert_allclose(x.grad.sum(axis=-1), 0, atol=1e-5)  # softmax minus a distribution


@pytest.mark.parametrize(("T", "B", "S"), [(0, 2, 1), (3, 0, 1), (3, 2, 0), (0, 0, 0)])
def test_nothing_of_a_size_gives_gradients_of_their_shape(T: int, B: int, S: int) -> None:
    x = mg.tensor(np.zeros((T, B, 3)), requires_grad=True)
    y = nn.ctc_loss(x, np.ones((S, B), int), zero_infinity=True)
    y.backward()
    assert y.shape == ()
    assert np.isfinite(y.item())
    assert x.grad is not None
    assert x.grad.shape == (T, B, 3)


def test_compiled_targets_and_lengths_are_read_at_each_call() -> None:
    loss = lambda *arguments: nn.ctc_loss(*arguments, reduction="sum", zero_infinity=True)
    compiled = mg.compile(mg.value_and_grad(loss))
    for seed in range(3):
        arguments = random_case(4, 3, 3, 2, 0, seed)
        found = compiled(*(mg.tensor(a) for a in arguments))
        expected = mg.value_and_grad(loss)(*arguments)
        for a, b in zip(found, expected):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-14, atol=1e-16)


X = np.zeros((4, 2, 3))
REFUSED: list[tuple[Any, dict[str, Any], Any, str]] = [
    ([[0, 1]], {}, ValueError, r"targets must lie within 0 \.\.\. 2 and not be the blank, 0; found 0"),
    ([[1, 3]], {}, ValueError, "found 3"),
    ([[1, -1]], {}, ValueError, "found -1"),
    ([[1, 2]], {"blank": 2}, ValueError, "not be the blank, 2; found 2"),
    ([[1, 2]], {"blank": 3}, ValueError, r"blank must be an integer within 0 \.\.\. V - 1 = 2, got 3"),
    ([[1, 2]], {"blank": 0.0}, ValueError, r"blank must be an integer within .* got 0\.0"),
    ([[1, 2]], {"blank": True}, ValueError, "blank must be an integer within .* got True"),
    ([1, 2], {}, ValueError, r"targets must be \(S, B\) with B = 2.*got shape \(2,\)"),
    ([[1, 2, 1], [1, 1, 1]], {}, ValueError, r"targets must be \(S, B\) with B = 2"),
    ([[1.0, 2.0]], {}, TypeError, "targets must be integers"),
    ([[1, 2]], {"lengths": [5, 1]}, ValueError, "lengths must lie within"),
    ([[1, 2]], {"lengths": [1]}, ValueError, r"lengths must be integers of shape \(2,\)"),
    ([[1, 2]], {"target_lengths": [2, 1]}, ValueError, r"target_lengths must lie within 0 \.\.\. S = 1"),
    ([[1, 2]], {"target_lengths": [1.0, 1.0]}, ValueError, "target_lengths must be integers"),
    ([[1, 2]], {"reduction": "average"}, ValueError, "reduction must be 'mean', 'sum' or 'none'"),
]


@pytest.mark.parametrize(("targets", "options", "error", "message"), REFUSED, ids=[m for *_, m in REFUSED])
def test_what_does_not_fit_is_refused(targets: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        nn.ctc_loss(X, targets, **options)
    assert "with_blanks" not in str(caught.value)  # a primitive that its user does not know


def test_logits_of_other_than_three_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits must be \(T, B, V\), got shape \(4, 3\)"):
        nn.ctc_loss(X[:, 0], [[1]])
    with pytest.raises(ValueError, match=r"ctc_decode: logits must be \(T, B, V\), got shape \(4, 3\)"):
        nn.ctc_decode(X[:, 0])
    with pytest.raises(ValueError, match="ctc_decode: blank must"):
        nn.ctc_decode(X, blank=3)
    with pytest.raises(ValueError, match="lengths must"):
        nn.ctc_decode(X, [5, 1])


# --- decoding --------------------------------------------------------------------------------------------------------


@given(
    T=st.integers(0, 6), B=st.integers(0, 3), V=st.integers(1, 3), padded=st.booleans(), last=st.booleans(), seed=seeds
)
def test_decoding_collapses_the_best_label_of_each_time(
    T: int, B: int, V: int, padded: bool, last: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, lengths, blank = rng.standard_normal((T, B, V)), rng.integers(0, T + 1, B), V - 1 if last else 0
    expected = [collapsed(x[: n if padded else T, b].argmax(axis=-1), blank) for b, n in enumerate(lengths)]
    found = nn.ctc_decode(mg.tensor(x), lengths if padded else None, blank)
    assert [tuple(labels.tolist()) for labels in found] == expected


def test_what_is_decoded_is_a_likely_labelling() -> None:
    logits = 9 * np.eye(4)[[[2], [2], [0], [2], [3]]]
    (labels,) = nn.ctc_decode(logits)
    assert labels.tolist() == [2, 2, 3]
    assert nn.ctc_loss(logits, labels[:, None], reduction="sum") < 0.01
