"""How the language model's text becomes rows of numbers, and what is held out of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn
from examples import char_lm_model
from examples.char_lm_data import encode, split
from examples.char_lm_options import Settings
from examples.common import UserError


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_the_vocabulary_is_what_occurs(text: str) -> None:
    vocabulary, ids = encode(text)
    assert list(vocabulary) == sorted(set(text))
    assert "".join(vocabulary[k] for k in ids) == text


@st.composite
def layouts(draw: st.DrawFn) -> tuple[np.ndarray, Settings]:
    B, T = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    settings = Settings(batch_size=B, seq_length=T, val_fraction=draw(st.floats(0.02, 0.9)))
    return np.arange(draw(st.integers(0, 1000))), settings


@given(layouts())
def test_tail_split_predicts_every_validation_character_but_the_first_once(case: tuple[np.ndarray, Settings]) -> None:
    ids, settings = case
    try:
        training, validation, _ = split(ids, settings)
    except UserError:
        return
    n = round(len(ids) * settings.val_fraction)
    assert sorted(validation.y[validation.y >= 0]) == list(range(len(ids) - n + 1, len(ids)))
    assert (validation.y - validation.x)[validation.y >= 0].tolist() == [1] * (n - 1)
    for row in validation.x.T[: -len(validation.x) or None]:
        assert (np.diff(row)[row[1:] > 0] == 1).all()
    assert training.y.max() < len(ids) - n  # nothing of the validation text is trained on
    assert (training.y == training.x + 1).all()
    assert training.x.shape == (len(training.x), settings.batch_size)
    assert len(training.x) % settings.seq_length == 0
    assert training.x.T.ravel().tolist() == list(range(training.x.size))  # contiguous rows, one after the other
    assert len(ids) - n - 1 - training.x.size < settings.batch_size * settings.seq_length  # as much as fits


@given(layouts())
def test_rows_split_lays_the_whole_text_out_and_cuts_its_last_batches_off(case: tuple[np.ndarray, Settings]) -> None:
    ids, settings = case[0], Settings(**{**vars(case[1]), "split": "rows"})
    try:
        training, validation, _ = split(ids, settings)
    except UserError:
        return
    B, T = settings.batch_size, settings.seq_length
    n = len(ids) // (B * T) * B * T
    x, y = (np.concatenate([getattr(training, part), getattr(validation, part)]) for part in "xy")
    assert x.T.ravel().tolist() == list(range(n))
    assert y.T.ravel().tolist() == [*range(1, n), 0]  # shifted by one, wrapping at the end
    assert len(validation.x) % T == len(training.x) % T == 0


def test_the_published_layout_of_shakespeare() -> None:
    training, validation, _ = split(np.zeros(1_115_394, int), Settings(split="rows", batch_size=50))
    assert (len(training.x) // 50, len(validation.x) // 50) == (423, 23)
    assert training.x.shape[1] == validation.x.shape[1] == 50


@given(layouts(), st.sampled_from(["tail", "rows"]))
def test_the_length_demanded_of_a_short_text_is_the_shortest_that_works(
    case: tuple[np.ndarray, Settings], kind: str
) -> None:
    settings = Settings(**{**vars(case[1]), "split": kind})
    with pytest.raises(UserError) as caught:
        split(np.arange(0), settings)
    shortest = int(str(caught.value).rpartition("at least")[2].replace(" ", ""))
    training, validation, _ = split(np.arange(shortest), settings)
    assert training.x.size >= settings.batch_size * settings.seq_length
    assert validation.characters >= 1
    with pytest.raises(UserError):
        split(np.arange(shortest - 1), settings)


def test_validation_does_not_depend_on_how_it_is_chunked() -> None:
    text = "the quick brown fox jumps over the lazy dog. " * 10
    settings = Settings(hidden=8, batch_size=2, seq_length=5)
    vocabulary, ids = encode(text)
    training, validation, _ = split(ids, Settings(batch_size=2, seq_length=5, val_fraction=0.5))
    run = char_lm_model.new_run(settings.complete(), vocabulary, training)
    whole = char_lm_model.evaluate(run.model, validation, 1000)
    assert char_lm_model.evaluate(run.model, validation, 3) == pytest.approx(whole, rel=1e-6)
    logits, _ = run.model(validation.x)
    losses = nn.cross_entropy(logits, np.maximum(validation.y, 0), reduction="none").data
    assert whole == pytest.approx(losses[validation.y >= 0].mean(), rel=1e-6)
