"""Texts in three parts, epochs, a rate that falls with them, and patience, as the literature uses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from char_lm_runs import PERIOD, TINY, assert_same_run, contents, train
from example_figures import figures
from hypothesis import given
from hypothesis import strategies as st
from refusals import refusal

import nn
from examples import char_lm, char_lm_checkpoint, char_lm_model
from examples.char_lm_data import read_corpus, split
from examples.char_lm_options import Settings, parse
from examples.common import UserError

# --- parts of one text ----------------------------------------------------------------------------------------------


def predicted(part: Any) -> list[int]:
    return sorted(part.y[part.y >= 0].tolist())


@given(st.integers(100, 1000), st.integers(1, 5), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_a_tail_is_training_then_validation_then_test(n: int, B: int, validated: float, tested: float) -> None:
    settings = Settings(batch_size=B, seq_length=4, val_fraction=validated, test_fraction=tested)
    training, validation, test = split(np.arange(n), settings)
    v, t = round(n * validated), round(n * tested)
    assert test is not None
    assert predicted(validation) == list(range(n - v - t + 1, n - t))
    assert predicted(test) == list(range(n - t + 1, n))
    assert training.x.T.ravel().tolist() == list(range((n - v - t - 1) // (4 * B) * 4 * B))
    assert training.y.max() < n - v - t


@given(st.integers(100, 1000), st.integers(1, 5), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
def test_rows_are_cut_into_training_validation_and_test(n: int, B: int, validated: float, tested: float) -> None:
    settings = Settings(batch_size=B, seq_length=2, val_fraction=validated, test_fraction=tested, split="rows")
    training, validation, test = split(np.arange(n), settings)
    batches = n // (2 * B)
    assert test is not None
    sizes = [len(part.x) // 2 for part in (training, validation, test)]
    assert sizes[:2] == [int(batches * (1 - validated - tested) + 1e-9), int(batches * validated + 1e-9)]
    assert sum(sizes) == batches
    whole = np.concatenate([part.x for part in (training, validation, test)])
    assert whole.T.ravel().tolist() == list(range(batches * 2 * B))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("80 10 10", ("tail", 0.1, 0.1)),
        ("rows 80 10 10", ("rows", 0.1, 0.1)),
        ("90 10", ("tail", 0.1, 0.0)),
        ("87.5 2.5 10", ("tail", 0.025, 0.1)),
        ("rows", ("rows", 0.05, 0.0)),
    ],
)
def test_percentages_may_follow_the_layout_and_a_text_may_follow_them(words: str, expected: Any) -> None:
    given, _ = parse(["--split", *words.split(), "novel.txt", "--hidden", "3"])
    settings = Settings(**given)
    assert settings.text == ("novel.txt",)
    assert settings.hidden == 3
    assert (settings.split, settings.val_fraction, settings.test_fraction) == pytest.approx(expected)


# --- parts in files -------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Three parts of which each has a character of its own."""
    parts = {"train": PERIOD * 20 + "A", "validation": PERIOD * 3 + "B", "test": PERIOD * 2 + "C"}
    for name, part in parts.items():
        (tmp_path / f"{name}.txt").write_text(part)
    return {name: str(tmp_path / f"{name}.txt") for name in parts}


def test_files_are_the_split_and_share_a_vocabulary(files: dict[str, str]) -> None:
    settings = Settings(text=(files["train"],), validation=(files["validation"],), test=(files["test"],), seq_length=10)
    corpus = read_corpus(settings)
    assert {*"ABC"} < {*corpus.vocabulary}
    assert corpus.training.x.size == (len(PERIOD) * 20) // 320 * 320
    assert corpus.validation.characters == len(PERIOD) * 3
    assert corpus.test is not None
    assert corpus.test.characters == len(PERIOD) * 2


def test_given_files_are_trained_on_resumed_from_and_tested_with_the_best_weights(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for name, path in files.items() for word in (f"--{name}", path)]
    options = [*TINY, *given, "--lr", "0.01"]
    for steps, name in ((30, "whole"), (14, "parts")):
        assert (
            char_lm.main([*options, "--steps", str(steps), "--schedule", "constant", "--out", str(tmp_path / name)])
            == 0
        )
    assert char_lm.main(["--resume", str(tmp_path / "parts" / char_lm_checkpoint.LAST), "--steps", "30"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    out = capsys.readouterr().out
    checkpoint, model = char_lm_checkpoint.read_model(str(tmp_path / "whole"))
    corpus = read_corpus(checkpoint.settings)
    loss = char_lm_model.evaluate(model, corpus.test, 10)
    assert out.count(f"test {loss:.3f} nats") == 2
    assert f"{len(PERIOD) * 3} to validate and {len(PERIOD) * 2} to test on" in out


def test_a_comparison_has_the_test_loss_of_the_best_weights(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--split", "80", "10", "10", "--cells", "gru", "--layers", "1", "--steps", "20", "--out", str(tmp_path)]
    assert char_lm.main(["compare", text, *TINY, *options]) == 0
    (row,) = figures(tmp_path)["networks"]
    assert 0 < row["test loss"] < 3.5
    assert re.search(rf"test loss.*\n +GRU .*  {row['test loss']:.3f}\n", capsys.readouterr().out)


# --- epochs ---------------------------------------------------------------------------------------------------------


def test_epochs_are_so_many_steps_that_each_batch_is_seen_so_often(text: str, tmp_path: Path) -> None:
    assert train(text, "--epochs", 2, "--out", tmp_path) == 0
    assert len(contents(tmp_path)[0]["history.losses"]) == 2 * 21
    assert char_lm.main(["--resume", str(tmp_path / char_lm_checkpoint.LAST), "--epochs", "3", "--quiet"]) == 0
    assert len(contents(tmp_path)[0]["history.losses"]) == 3 * 21


def test_the_rate_falls_after_the_epochs_that_have_it_in_full(text: str) -> None:
    settings = Settings(text=(text,), batch_size=4, seq_length=10, schedule="epochs", decay=0.5, decay_after=3, lr=0.1)
    corpus = read_corpus(settings)
    run = char_lm_model.new_run(settings.complete(), corpus.vocabulary, corpus.training)
    rates = []
    for step in range(5 * 21):
        rates.append(char_lm_model.learning_rate(run))
        run.losses.append(1.0)
        assert run.step == step + 1
    np.testing.assert_allclose(np.reshape(rates, (5, 21)).T, [[0.1, 0.1, 0.1, 0.05, 0.025]] * 21)


def test_patience_ends_a_run_that_larger_patience_goes_on_with(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.1, 1.9, 2.0])
    monkeypatch.setattr(char_lm_model, "evaluate", lambda *given: next(losses))
    assert train(text, "--steps", 70, "--patience", 2, "--out", tmp_path, "--quiet") == 0
    arrays, _ = contents(tmp_path)
    assert len(arrays["history.losses"]) == 28  # validated after 7, 14, 21 and 28 steps
    assert len(nn.load(tmp_path / char_lm_checkpoint.BEST)[0]["history.losses"]) == 14
    resume = ["--resume", str(tmp_path / char_lm_checkpoint.LAST), "--quiet"]
    capsys.readouterr()
    assert char_lm.main(resume) == 2
    assert "give larger --patience to go on" in refusal(capsys)
    assert char_lm.main([*resume, "--patience", "3", "--steps", "42"]) == 0
    assert len(contents(tmp_path)[0]["history.losses"]) == 42


# --- what is refused ------------------------------------------------------------------------------------------------

BAD = {
    "percentages of something else": ("{text} --split 80 10", "--split 80 10: percentages of training, validation"),
    "no validation": ("{text} --split 90 0 10", "must add up to 100"),
    "an unknown layout": ("{text} --split middle", "--split must be one of tail, rows, got 'middle'"),
    "nothing to train on": ("{text} --val-fraction 0.5 --test-fraction 0.5", "leave nothing to train on"),
    "no test in so short a text": ("{text} --test-fraction 0.0004", "and --test-fraction 0.0004 it must have at least"),
    "a text twice": ("{text} --train {text}", "give the text to train on once"),
    "a test without validation": ("--train {text} --test {text}", "--test goes with --validation"),
    "files and a split": ("--train {text} --validation {text} --split 80 10 10", "do not go together"),
    "a missing file": ("--train {text} --validation none.txt", "none.txt: No such file"),
    "a short file": ("--train {short} --validation {text}", "--train has 3 characters; with --batch-size 4"),
    "an empty validation": ("--train {text} --validation {one}", "--validation must have at least two characters"),
    "two budgets": ("{text} --epochs 1 --steps 3", "give --steps, --minutes or --epochs"),
    "a decay without its schedule": ("{text} --decay 0.5", "--decay has no effect with --schedule cosine, only with"),
    "no patience": ("{text} --patience 0", "--patience must be at least 1"),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_what_does_not_go_together_gets_one_line(
    arguments: str, expected: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.txt").write_text("abc")
    (tmp_path / "one.txt").write_text("a")
    names = {"text": text, "short": tmp_path / "short.txt", "one": tmp_path / "one.txt"}
    assert train(*arguments.format(**names).split(), "--out", tmp_path / "out") == 2
    assert expected in refusal(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["tail", "rows"])
def test_the_length_demanded_is_the_shortest_that_has_a_test_as_well(kind: str) -> None:
    settings = Settings(batch_size=2, seq_length=3, val_fraction=0.2, test_fraction=0.15, split=kind)
    with pytest.raises(UserError) as caught:
        split(np.arange(0), settings)
    shortest = int(str(caught.value).rpartition("at least")[2].replace(" ", ""))
    assert all(part.characters for part in split(np.arange(shortest), settings) if part)
    with pytest.raises(UserError):
        split(np.arange(shortest - 1), settings)
