"""Attention: sums over times one by one, masks that hide whatever stands behind them, derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from textbook import joined, randomised, softmax, swapped, weights_of

import minigrad as mg
import nn
from minigrad.testing import check_grad

RNG = np.random.default_rng(0)
KEYS, VALUES = RNG.standard_normal((4, 2, 3)), RNG.standard_normal((4, 2, 5))
QUERIES = {"dot": RNG.standard_normal((3, 2, 3)), "additive": RNG.standard_normal((3, 2, 6))}
MASK = nn.padding_mask([4, 2], 4)
each_kind = pytest.mark.parametrize("kind", ["dot", "additive"])


def make(kind: str) -> Any:
    return nn.attention.DotAttention() if kind == "dot" else randomised(nn.attention.AdditiveAttention(6, 3, 7))


def score(module: Any, kind: str, q: np.ndarray, k: np.ndarray) -> float:
    if kind == "dot":
        return float(q @ k) / np.sqrt(3)
    return float(module.v.data @ np.tanh(module.W.data.T @ q + module.U.data.T @ k))


@each_kind
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_context_is_the_mean_of_values_by_softmax_of_scores(kind: str, mask: Any) -> None:
    module = make(kind)
    context, weights = module(mg.tensor(QUERIES[kind]), mg.tensor(KEYS), mg.tensor(VALUES), mask)
    assert (context.shape, weights.shape) == ((3, 2, 5), (4, 3, 2))
    for s in range(3):
        for b in range(2):
            times = range(4) if mask is None or b == 0 else range(2)
            w = softmax(np.array([score(module, kind, QUERIES[kind][s, b], KEYS[t, b]) for t in times]))
            np.testing.assert_allclose(context.data[s, b], w @ VALUES[list(times), b], rtol=1e-6)
            np.testing.assert_allclose(weights.data[: len(w), s, b], w, rtol=1e-6)
            assert not weights.data[len(w) :, s, b].any()


@each_kind
def test_a_single_query_is_a_row_of_several(kind: str) -> None:
    module = make(kind)
    several, _ = module(mg.tensor(QUERIES[kind]), mg.tensor(KEYS))
    one, weights = module(mg.tensor(QUERIES[kind][1]), mg.tensor(KEYS))
    assert weights.shape == (4, 2)
    np.testing.assert_allclose(one.data, several.data[1], rtol=1e-6)


@each_kind
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_match_finite_differences(kind: str, order: int) -> None:
    module = make(kind)

    def f(weights: Any, q: Any, k: Any, v: Any) -> Any:
        with swapped(module, weights):
            return module(q, k, v, MASK)

    inputs = weights_of(module), QUERIES[kind][:2], KEYS, VALUES[:, :, :2]
    check_grad(*joined(f, *inputs), order=order, mode="project")


@each_kind
def test_a_sequence_of_which_nothing_is_left_gets_0_and_sends_no_gradient(kind: str) -> None:
    keys = mg.tensor(KEYS, requires_grad=True)
    context, weights = make(kind)(mg.tensor(QUERIES[kind]), keys, mask=nn.padding_mask([4, 0], 4))
    assert not context.data[:, 1].any()
    assert not weights.data[:, :, 1].any()
    context.sum().backward()
    assert np.isfinite(keys.grad).all()
    assert not keys.grad[:, 1].any()


def test_shapes_that_do_not_fit_raise_and_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(2, 6\) does not fit keys of shape \(4, 2, 3\)"):
        nn.attention.DotAttention()(mg.tensor(np.ones((2, 6))), mg.tensor(KEYS))
    with pytest.raises(ValueError, match=r"the mask has shape \(2, 4\).*need \(4, 2\)"):
        make("dot")(mg.tensor(QUERIES["dot"]), mg.tensor(KEYS), mask=MASK.T)


@each_kind
def test_nothing_is_broadcast_along_times_or_batch(kind: str) -> None:
    attention, query = make(kind), QUERIES[kind]
    for values in (KEYS[:1], KEYS[:, :1], KEYS[0], np.ones((5, 2, 3))):
        with pytest.raises(
            ValueError, match=r"attention: values must be \(T, B, O\) for scores \(T, ..., B\), got shapes"
        ):
            attention(query, KEYS, values)
    for wrong in (query[:, :1], query[0, 0]):
        with pytest.raises(ValueError, match=r"a query of shape .* must end in .*mg.broadcast_to\(query, \(2, "):
            attention(wrong, KEYS)
    np.testing.assert_array_equal(attention(query.tolist(), KEYS.tolist())[0].data, attention(query, KEYS)[0].data)


def test_attention_reads_a_padded_encoder() -> None:
    encoder, decoder = nn.GRU(2, 3, rng=0, bidirectional=True), nn.GRU(2, 6, rng=1)
    lengths = [5, 3]
    keys, _ = encoder(RNG.standard_normal((5, 2, 2)), lengths=lengths)
    hs, _ = decoder(RNG.standard_normal((4, 2, 2)))
    context, _ = nn.attention.DotAttention()(hs, keys, mask=nn.padding_mask(lengths, 5))
    context.sum().backward()
    assert context.shape == (4, 2, 6)
    assert all(p.grad is not None and np.isfinite(p.grad).all() for p in encoder.parameters())
