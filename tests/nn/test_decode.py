"""Sampling and beam search, with cells as models and against enumeration of all sequences."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import make_cell

import minigrad as mg
import nn
from nn.decode import probabilities

LOGITS = np.log([[0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7]])


def model(seed: int = 0, kind: Any = nn.ElmanCell) -> Any:
    """A cell whose outputs are logits over its own inputs, one-hot."""
    if kind is nn.ElmanCell:
        return make_cell(kind, 3, 4, seed, O=3)
    network, head = nn.Recurrent(make_cell(kind, 3, 4, seed)), nn.Linear(4, 3, rng=seed, dtype=np.float64)

    def step(tokens: Any, state: Any) -> Any:
        outputs, state = network(tokens[None], state)
        return 3 * head(outputs[0]), state

    return step


each_model = pytest.mark.parametrize("kind", [nn.ElmanCell, nn.LSTMCell, nn.GRUCell], ids=lambda kind: kind.__name__)


# --- probabilities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7]]),
        ({"temperature": 0.5}, [[16 / 30, 9 / 30, 4 / 30, 1 / 30], [1 / 52, 1 / 52, 1 / 52, 49 / 52]]),
        ({"temperature": 0}, [[1, 0, 0, 0], [0, 0, 0, 1]]),
        ({"top_k": 2}, [[4 / 7, 3 / 7, 0, 0], [1 / 8, 0, 0, 7 / 8]]),
        ({"top_k": 9}, [[0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7]]),
        ({"top_p": 0.65}, [[4 / 7, 3 / 7, 0, 0], [0, 0, 0, 1]]),
        ({"top_p": 0.75}, [[4 / 9, 3 / 9, 2 / 9, 0], [1 / 8, 0, 0, 7 / 8]]),
        ({"top_p": 1e-9}, [[1, 0, 0, 0], [0, 0, 0, 1]]),
        ({"top_k": 3, "top_p": 0.7}, [[4 / 7, 3 / 7, 0, 0], [0, 0, 0, 1]]),
    ],
    ids=str,
)
def test_probabilities_are_cut_and_scaled_as_told(options: Any, expected: Any) -> None:
    np.testing.assert_allclose(probabilities(LOGITS, **options), expected, rtol=1e-12, atol=1e-15)


@given(scale=st.sampled_from([1e-3, 1.0, 1e4]), temperature=st.sampled_from([5e-324, 1e-300, 0.1, 1.0, 1e9]))
def test_probabilities_are_finite_and_sum_to_1_at_any_temperature(scale: float, temperature: float) -> None:
    z = scale * np.random.default_rng(0).standard_normal((3, 7))
    p = probabilities(z, temperature)  # and without a warning
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-12)


def test_a_masked_logit_is_never_drawn() -> None:
    p = probabilities(np.array([[0.0, -np.inf, 0.0]]), top_p=1.0)
    np.testing.assert_allclose(p, [[0.5, 0, 0.5]])


@pytest.mark.parametrize(
    ("options", "logits"),
    [
        ({"temperature": -1}, LOGITS),
        ({"top_k": 0}, LOGITS),
        ({"top_p": 0}, LOGITS),
        ({"top_p": 1.1}, LOGITS),
        ({}, [[np.nan, 0]]),
        ({}, [[-np.inf, -np.inf]]),
        ({}, [[np.inf, 0]]),
    ],
    ids=str,
)
def test_impossible_settings_and_logits_raise(options: Any, logits: Any) -> None:
    with pytest.raises(ValueError, match=r"temperature must be|logits have"):
        probabilities(np.array(logits), **options)


# --- sampling --------------------------------------------------------------------------------------------------------


@each_model
def test_samples_at_temperature_0_are_the_largest_logits_one_after_the_other(kind: Any) -> None:
    step, state = model(1, kind), None
    drawn, _ = nn.sample(step, [0, 1, 2], 6, temperature=0)
    tokens = np.array([0, 1, 2])
    for row in drawn:
        logits, state = step(tokens, state)
        tokens = logits.data.argmax(axis=-1)
        np.testing.assert_array_equal(row, tokens)


def test_samples_have_the_frequencies_of_their_probabilities() -> None:
    p = np.array([0.5, 0.0, 0.2, 0.3])
    with np.errstate(divide="ignore"):
        logits = np.log(p)
    drawn, _ = nn.sample(lambda tokens, s: (np.tile(logits, (len(tokens), 1)), s), np.zeros(4000, int), 5, rng=0)
    counts = np.bincount(drawn.ravel(), minlength=4) / drawn.size
    assert counts[1] == 0
    np.testing.assert_allclose(counts, p, atol=4 * np.sqrt(0.25 / drawn.size))


def test_a_compiled_step_that_draws_writes_what_sample_writes() -> None:
    cell, rng = model(0, nn.LSTMCell), np.random.default_rng(3)

    @mg.primitive
    def pick(logits: Any, u: Any) -> Any:
        ends = np.cumsum(probabilities(logits), axis=-1)
        return (ends <= u * ends[:, -1:]).sum(axis=-1)

    @mg.compile
    @mg.no_grad()
    def step(tokens: Any, state: Any) -> Any:
        logits, state = cell(tokens, state)
        return pick(logits, mg.sample(rng.random, (2, 1))), state

    expected, _ = nn.sample(cell, [1, 2], 12, rng=3)
    tokens, state = np.array([1, 2]), None
    for k in range(12):
        tokens, state = step(tokens, state)
        np.testing.assert_array_equal(tokens, expected[k])


@each_model
def test_the_same_seed_writes_the_same_and_the_state_goes_on(kind: Any) -> None:
    step = model(2, kind)
    whole, _ = nn.sample(step, [0, 1], 7, rng=5)
    rng = np.random.default_rng(5)
    first, state = nn.sample(step, [0, 1], 3, rng=rng)
    second, _ = nn.sample(step, first[-1], 4, state, rng=rng)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    assert all(s.primitive is None for s in mg.tree_leaves(state))


# --- beam search -----------------------------------------------------------------------------------------------------


def every_sequence(step: Any, token: int, length: int, end: int | None) -> list[tuple[list[int], float]]:
    """All sequences that end at `end` or have the full length, with their log-probabilities, the best first."""
    found = []
    for sequence in itertools.product(range(3), repeat=length):
        tokens, state, total = [token], None, 0.0
        for t in sequence:
            logits, state = step(np.array(tokens[-1:]), state)
            total += float(mg.log_softmax(logits).data[0, t])
            tokens.append(t)
            if t == end:
                break
        if (tokens[1:], total) not in found:
            found.append((tokens[1:], total))
    return sorted(found, key=lambda pair: -pair[1])


@each_model
@pytest.mark.parametrize("end", [None, 1])
def test_a_beam_as_wide_as_all_sequences_finds_the_most_probable(kind: Any, end: Any) -> None:
    step = model(3, kind)
    found = nn.beam_search(step, 0, 4, width=81, end=end)
    expected = every_sequence(step, 0, 4, end)
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], rtol=1e-10)


@each_model
@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_narrow_beam_reports_true_log_probabilities(kind: Any, width: int) -> None:
    step = model(4, kind)
    known = {tuple(tokens): s for tokens, s in every_sequence(step, 2, 4, 0)}
    found = nn.beam_search(step, 2, 4, width, end=0)
    assert 1 <= len(found) <= width
    for tokens, score in found:
        np.testing.assert_allclose(score, known[tuple(tokens)], rtol=1e-10)


@each_model
def test_a_beam_of_one_is_the_greedy_choice(kind: Any) -> None:
    step = model(5, kind)
    ((tokens, _),) = nn.beam_search(step, 1, 6, 1)
    assert tokens == nn.sample(step, [1], 6, temperature=0)[0][:, 0].tolist()


def test_a_length_penalty_prefers_longer_sequences() -> None:
    table = np.log(np.array([[0.45, 0.55], [0.5, 0.5]]))
    step = lambda tokens, s: (mg.tensor(table[tokens]), s)
    short = nn.beam_search(step, 0, 4, 8, end=1)[0][0]
    long = nn.beam_search(step, 0, 4, 8, end=1, length_penalty=2.0)[0][0]
    assert len(short) < len(long)


# --- models that are of no use ---------------------------------------------------------------------------------------


def turning(bad: float, at: int) -> Any:
    """Logits that are good until the token of this number."""
    calls = []

    def step(tokens: Any, state: Any) -> Any:
        logits = np.zeros((len(tokens), 3))
        if len(calls) == at:
            logits[-1, 2] = bad
        calls.append(1)
        return mg.tensor(logits), state

    return step


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 2])
def test_logits_that_are_not_finite_are_refused_by_name_and_place(bad: float, at: int) -> None:
    with pytest.raises(ValueError, match=rf"^sample, token {at}: the logits have 1 of 6 .*\(1, 2\): are the model"):
        nn.sample(turning(bad, at), [0, 1], 4, rng=0)
    with pytest.raises(ValueError, match=rf"^beam_search, token {at}: the logits have 1 of \d .*, 2\): are the model"):
        nn.beam_search(turning(bad, at), 0, 4, 2)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 2, 3)])
def test_logits_that_are_not_a_row_for_each_token_are_refused(shape: Any) -> None:
    """One row for all tokens would be broadcast."""
    step = lambda tokens, state: (np.zeros(shape if len(tokens) > 1 else (1, 3)), state)
    match = rf", token {{}}: step returned logits of shape {re.escape(str(shape))} for 2 tokens, they must be \(2, V\)"
    with pytest.raises(ValueError, match="sample" + match.format(0)):
        nn.sample(step, [0, 1], 4, rng=0)
    with pytest.raises(ValueError, match="beam_search" + match.format(1)):
        nn.beam_search(step, 0, 4, 2)


def test_weights_that_are_not_finite_are_refused() -> None:
    network, head = nn.GRU(3, 4, rng=0), nn.Linear(4, 3, rng=0)
    network.cells[0].W.data = np.full_like(network.cells[0].W.data, np.nan)

    def step(tokens: Any, state: Any) -> Any:
        outputs, state = network(tokens[None], state)
        return head(outputs[0]), state

    for write in (lambda: nn.sample(step, [0], 3, temperature=0), lambda: nn.beam_search(step, 0, 3, 2)):
        with pytest.raises(ValueError, match="are the model's weights finite"):
            write()


def test_a_beam_that_cannot_go_on_is_dropped_and_none_at_all_is_refused() -> None:
    table = np.array([[0.0, 0.0, -np.inf], [-np.inf] * 3, [0.0] * 3])
    step = lambda tokens, s: (mg.tensor(table[tokens]), s)
    assert {tuple(tokens) for tokens, _ in nn.beam_search(step, 0, 2, 9)} == {(0, 0), (0, 1)}
    with pytest.raises(ValueError, match=r"beam_search, token 0: no sequence is possible"):
        nn.beam_search(step, 1, 2, 9)
    with pytest.raises(ValueError, match=r"sample, token 0: the logits have a row of nothing but -inf"):
        nn.sample(step, [1], 2)


@pytest.mark.parametrize("options", [{"length": 0, "width": 1}, {"length": 1, "width": 0}])
def test_no_length_or_width_raises(options: Any) -> None:
    with pytest.raises(ValueError, match="length and width must be at least 1"):
        nn.beam_search(model(), 0, **options)
