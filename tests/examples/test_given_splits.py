"""Data that are split already, validation, early stopping and falling rates, in the examples of labelled data."""

from __future__ import annotations

import importlib
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from baselines import Guess
from example_figures import figures
from refusals import refusal

from examples import image_classification, sentiment, training, translation, video_classification
from examples.training import Watch, learning_rate, mean_loss, tenth


def run(name: str, *arguments: Any) -> int:
    return importlib.import_module(f"examples.{name}").main([str(argument) for argument in arguments])


# --- parts of training ----------------------------------------------------------------------------------------------


def test_a_rate_falls_after_the_epochs_that_have_it_in_full() -> None:
    rate = learning_rate(Namespace(lr=0.4, decay=0.5, decay_after=2), per_epoch=3, steps=100)
    np.testing.assert_allclose([rate(n) for n in range(15)], np.repeat([0.4, 0.4, 0.2, 0.1, 0.05], 3))
    rate = learning_rate(Namespace(lr=0.4, decay=0.5, decay_after=None), per_epoch=1, steps=100)
    np.testing.assert_allclose([rate(n) for n in range(3)], [0.4, 0.2, 0.1])


def test_a_tenth_is_held_and_nothing_of_it_is_learnt_from() -> None:
    for n in (2, 15, 100):
        learnt, held = tenth(n, seed=3)
        assert sorted([*learnt, *held]) == list(range(n))
        assert len(held) == max(1, n // 10)


def test_mean_loss_is_the_cross_entropy() -> None:
    assert mean_loss(np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([0, 1])) == pytest.approx(-np.log([0.5, 0.8]).mean())


def test_patience_counts_the_validations_since_the_best() -> None:
    model = sentiment.nn.Linear(1, 1, rng=0)
    with Watch(model, 1.0, Namespace(lr=1.0, patience=2)) as watch:
        assert [watch.validated(loss) for loss in (0.9, 0.95, 0.8, 0.8, 0.85)] == [False] * 4 + [True]
    with Watch(model, 1.0, Namespace(lr=1.0, patience=None)) as watch:
        assert not any(watch.validated(loss) for loss in (0.5, *[0.9] * 50))


# --- the examples on files ------------------------------------------------------------------------------------------


def sentences(rng: np.random.Generator, count: int, turned: bool = False) -> str:
    """Sentences whose first word decides; or, to validate on, the opposite."""
    words = np.array(["good", "bad", "so", "it", "is"])
    rows = [(rng.integers(2), rng.integers(2, 5, rng.integers(1, 6))) for _ in range(count)]
    return "".join(f"{int(first == 0) ^ turned}\t{' '.join(words[[first, *rest]])}\n" for first, rest in rows)


def pairs(rng: np.random.Generator, count: int, turned: bool = False) -> str:
    """Words of a toy language, in the opposite order."""
    words = {"ki": "red", "lo": "blue", "ma": "green"}
    rows = [rng.choice(list(words), rng.integers(2, 4)).tolist() for _ in range(count)]
    return "".join(f"{' '.join(r)}\t{' '.join(words[w] for w in (r if turned else r[::-1]))}\n" for r in rows)


def frames(rng: np.random.Generator, count: int, turned: bool = False) -> str:
    """A number that is above or below 0, and which of these it is."""
    x = rng.standard_normal(10 * count)
    return "x,what\n" + "".join(f"{v:.3f},{'up' if (v > 0) ^ turned else 'down'}\n" for v in x)


MAKERS = {"sentiment": sentences, "translation": pairs, "video_classification": frames}
QUICK = {
    "sentiment": "--hidden 8 --lr 0.02 --dropout 0",
    "translation": "--hidden 8 --lr 0.02 --beam 1",
    "video_classification": "--hidden 8 --lr 0.02",
    "image_classification": "--hidden 8 --lr 0.02 --views rows --cells gru --dropout 0",
}


@pytest.fixture
def files(tmp_path: Path) -> Any:
    """Writes the three parts of an example's data: the more it learns of training, the worse of validation."""

    def write(name: str) -> dict[str, Path]:
        rng, found = np.random.default_rng(0), {}
        for part, count in {"train": 120, "validation": 20, "test": 12}.items():
            if name == "image_classification":
                labels = np.arange(count) % 2
                images = rng.random((count, 3, 4)) + labels[:, None, None]
                found[part] = tmp_path / f"{part}.npz"
                np.savez(found[part], images=images, labels=labels ^ (part == "validation"))
            else:
                found[part] = tmp_path / f"{part}.{'csv' if name.startswith('video') else 'tsv'}"
                found[part].write_text(MAKERS[name](rng, count, part == "validation"))
        return found

    return write


def options(found: dict[str, Path], *parts: str) -> list[str]:
    return [word for part in parts for word in (f"--{part}", str(found[part]))]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[Watch]:
    """All trainings that begin."""
    seen: list[Watch] = []

    class Seen(Watch):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            seen.append(self)

    for module in (sentiment, translation, video_classification, image_classification):
        monkeypatch.setattr(module, "Watch", Seen)
        monkeypatch.setattr(module, "draw", lambda *picture: None)
    monkeypatch.setattr(video_classification, "STRETCH", 20)
    monkeypatch.setattr(translation, "NETWORKS", ("attention",))
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", Guess)
    monkeypatch.setattr(sentiment, "bags_of_words", lambda *data: {})
    return seen


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a few steps of each kind, which take less time than their programs."""
    monkeypatch.setattr("minigrad.compile", lambda f: f)


LONG = {
    "sentiment": ["--epochs", 12],
    "translation": ["--epochs", 30, "--hidden", 24, "--lr", 0.05],
    "video_classification": ["--steps", 60],
    "image_classification": ["--epochs", 8],
}
ACCURACY: dict[str, Any] = {
    "sentiment": lambda found: found["GRU"][0],
    "translation": lambda found: found["attention"]["held out"],
    "video_classification": lambda found: found["all frames"]["GRU"],
    "image_classification": lambda found: found["gru rows"],
}


@pytest.mark.parametrize("name", QUICK)
def test_given_parts_are_learnt_from_and_tested_on(
    name: str, files: Any, tmp_path: Path, watched: list[Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "bleu", translation.exact)  # of so short sentences
    given = [*options(files(name), "train", "test"), *QUICK[name].split(), *LONG[name]]
    assert run(name, *given, "--out", tmp_path / "out") == 0
    assert ACCURACY[name](figures(tmp_path / "out")) > 0.8
    assert all(watch.best is None for watch in watched)


@pytest.mark.parametrize("name", QUICK)
def test_the_weights_that_validated_best_are_tested_and_patience_ends_training(
    name: str, files: Any, tmp_path: Path, watched: list[Watch], capsys: pytest.CaptureFixture[str]
) -> None:
    many = ["--steps", 400] if name == "video_classification" else ["--epochs", 60]
    given = [*options(files(name), *training.PARTS), "--patience", 2, *QUICK[name].split(), *many]
    assert run(name, *given, "--out", tmp_path / "out") == 0
    out = capsys.readouterr().out
    for watch in watched:
        assert watch.best is not None
        loss, step, weights = watch.best
        assert watch.worse == 2
        assert all(np.array_equal(array, weights[part]) for part, array in watch.model.state_dict().items())
        assert f"validation loss lowest at step {step} of {len(watch.losses)}, {loss:.4f}" in out
    assert step < len(watch.losses) < 400 * (name == "video_classification") + 60 * 2


@pytest.mark.parametrize("name", QUICK)
def test_a_validation_chooses_the_weights_also_without_patience(
    name: str, files: Any, tmp_path: Path, watched: list[Watch], eager: None
) -> None:
    length = ["--steps", 20] if name == "video_classification" else ["--epochs", 4]
    given = [*options(files(name), *training.PARTS), *QUICK[name].split(), *length]
    assert run(name, *given, "--out", tmp_path / "out") == 0
    for watch in watched:
        assert watch.best is not None
        assert watch.best[1] < len(watch.losses) or name == "translation"  # which learns more slowly
        assert all(np.array_equal(a, watch.best[2][part]) for part, a in watch.model.state_dict().items())


@pytest.mark.parametrize("name", ["sentiment", "translation", "image_classification"])
def test_without_a_validation_a_tenth_of_what_is_learnt_from_is_held(
    name: str, files: Any, tmp_path: Path, watched: list[Watch], monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    found, calls = files(name), []
    module = importlib.import_module(f"examples.{name}")
    monkeypatch.setattr(module, "tenth", lambda n, seed: calls.append(n) or tenth(n, seed))
    given = [*options(found, "train", "test"), "--patience", 1, "--epochs", 2, *QUICK[name].split()]
    assert run(name, *given, "--out", tmp_path / "out") == 0
    assert calls == [120]
    assert all(watch.best is not None for watch in watched)


@pytest.mark.parametrize("name", QUICK)
def test_a_decay_changes_the_rates(name: str, files: Any, tmp_path: Path, watched: list[Watch], eager: None) -> None:
    length = ["--steps", 8] if name == "video_classification" else ["--epochs", 2]
    given = [*options(files(name), "train", "test"), *length, *QUICK[name].split(), "--out", tmp_path / "out"]
    for change in ([], ["--decay", 0.5], ["--decay", 0.5, "--decay-after", 2]):
        assert run(name, *given, *change) == 0
    losses = [watch.losses for watch in watched[:: len(watched) // 3]]
    assert losses[0][1:] != losses[1][1:]
    assert losses[1][-1] != losses[2][-1]


# --- word vectors ---------------------------------------------------------------------------------------------------

GLOVE = "so 1 2 3\nat odds 9 9 9\nunknown 4 5 6\nbad -1 -2.5 1e-3\n"


@pytest.mark.parametrize("head", ["", "4 3\n"])
def test_vectors_of_words_are_read_from_the_text_files_of_glove_and_word2vec(head: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(head.encode() + GLOVE.encode() + b"\xff\xfe 1 2 3 \n")
    found = sentiment.read_vectors(str(tmp_path / "v.txt"), {"so", "bad", "at", "missing"})
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "so": [1, 2, 3],
        "bad": [-1, -2.5, pytest.approx(1e-3)],
    }


def test_vectors_are_the_first_weights_and_words_that_training_lacks_have_them_too() -> None:
    vectors = {"so": np.array([1.0, 2.0, 3.0], np.float32), "new": np.array([4.0, 5.0, 6.0], np.float32)}
    o = SimpleNamespace(hidden=5, cell="gru", dropout=0.0)
    model = sentiment.Reader([["so", "it", "it"]], 2, o, np.random.default_rng(0), vectors)
    assert model.vocabulary == {"it": 1, "so": 2, "new": 3}
    np.testing.assert_array_equal(model.embedding.W.data[2:], [[1, 2, 3], [4, 5, 6]])
    assert model.probabilities([["new", "it"]]).shape == (1, 2)


def test_what_vectors_know_of_words_helps(files: Any, tmp_path: Path, watched: list[Watch]) -> None:
    found, rng = files("sentiment"), np.random.default_rng(0)
    found["test"].write_text("1\tfine it\n0\tpoor it\n" * 10)  # words that training has not
    rows = {"good": 1, "fine": 1, "bad": -1, "poor": -1, "so": 0, "it": 0, "is": 0}
    noise = [f"{w} {3 * s + rng.normal(0, 0.1):.3f} {rng.normal():.3f}\n" for w, s in rows.items()]
    (tmp_path / "v.txt").write_text("".join(noise))
    given = [*options(found, "train", "test"), *QUICK["sentiment"].split(), "--epochs", 6, "--out", tmp_path / "out"]
    assert run("sentiment", *given, "--vectors", tmp_path / "v.txt") == 0
    assert figures(tmp_path / "out")["GRU"][0] == 1


# --- what is refused ------------------------------------------------------------------------------------------------

BAD = {
    "no test": ("sentiment", "--train {train}", "--train and --test go together"),
    "no training": ("translation", "--test {train}", "--train and --test go together"),
    "validation only": ("image_classification", "--validation {train}", "--validation goes with --train and --test"),
    "two kinds of data": ("sentiment", "--data {train} --train {train} --test {train}", "--train and --data do not go"),
    "a decay that is none": ("sentiment", "--decay 1", "--decay: must be a number of at least 1e-09 and below 1"),
    "when to decay, but not by what": ("translation", "--decay-after 3", "--decay-after has no effect without --decay"),
    "no patience": ("video_classification", "--patience 0", "--patience: must be a whole number of at least 1"),
    "no validation file": ("sentiment", "--train {train} --test {train} --validation x", "--validation: cannot read"),
    "a label that is new": ("sentiment", "--train {train} --test {new}", "--train has no sentence that is labelled x"),
    "an empty test": ("sentiment", "--train {train} --test {empty}", "--test: there is no sentence"),
    "no vectors": ("sentiment", "--vectors none.txt", "--vectors: cannot read none.txt: No such file"),
    "vectors of no word": ("sentiment", "--vectors {empty}", "none of the sentences' words"),
    "vectors cut short": ("sentiment", "--vectors {short}", "short.txt, line 2: 2 finite numbers are needed after"),
    "vectors of words": ("sentiment", "--vectors {words}", "words.txt, line 1: 1 finite numbers"),
    "few pairs": ("translation", "--train {new} --test {new}", "at least ten pairs and one are needed, not 1, 1"),
    "a line without a tab": ("translation", "--train {train} --test {short}", "--test: "),
    "images of two sizes": ("image_classification", "--train {a} --test {b}", "images of several sizes"),
    "a class that is new": ("image_classification", "--train {a} --test {c}", "--train has no image that is labelled"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_what_does_not_go_together_gets_one_line(
    name: str,
    arguments: str,
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sentiment, "generated", lambda count, rng: [("x", "so"), ("y", "the")] * 9)
    texts = {"train": sentences(np.random.default_rng(0), 40), "new": "x\tso\n", "empty": "",
             "short": "so 1 2\nthe 1\n", "words": "the x\n"}  # fmt: skip
    names = {part: tmp_path / f"{part}.txt" for part in texts}
    for part, text in texts.items():
        names[part].write_text(text)
    for part, size, label in (("a", 2, 1), ("b", 3, 1), ("c", 2, 7)):
        names[part] = tmp_path / f"{part}.npz"
        np.savez(names[part], images=np.ones((10, size, size)), labels=np.arange(10) % 2 * label)
    assert run(name, "--quick", *arguments.format(**names).split(), "--out", tmp_path / "out") == 2
    assert expected in refusal(capsys)
    assert not (tmp_path / "out").exists()


def test_labels_that_only_a_test_video_has_are_told_to_count_as_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("x,label\n" + "1,a\n2,b\n" * 6)
    (tmp_path / "b.csv").write_text("x,label\n" + "1,a\n2,c\n" * 6)
    files = ["--train", str(tmp_path / "a.csv"), "--test", str(tmp_path / "b.csv"), "--out", str(tmp_path / "out")]
    assert video_classification.main([*files, "--steps", "2", "--hidden", "2"]) == 0
    assert (
        "6 of 12 frames to test on count as wrong: no video to learn from has their label, c" in capsys.readouterr().out
    )
