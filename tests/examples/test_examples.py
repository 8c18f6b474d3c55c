"""The examples, run as programs: each learns, writes its picture and its figures, and refuses what it cannot use."""

from __future__ import annotations

import functools
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from baselines import Guess
from example_figures import figures
from profiles import long_profile
from refusals import lacking, refusal

from examples import long_memory, video_classification

IMAGES = {
    "image_classification": "accuracy",
    "long_memory": "memory",
    "length_generalisation": "lengths",
    "video_classification": "video",
}
NEEDS = [(name, package) for name in IMAGES for package in ("rich", "matplotlib")]
NEEDS += [(name, "sklearn") for name in ("image_classification", "video_classification")]


def run(name: str, *arguments: Any) -> int:
    return importlib.import_module(f"examples.{name}").main([str(argument) for argument in arguments])


QUICKER = {
    "image_classification": ["--epochs", 4],
    "long_memory": ["--steps", 300, "--lr", 0.007],
    "length_generalisation": ["--steps", 150, "--lr", 0.02, "--hidden", 24],
    "video_classification": ["--steps", 80, "--lr", 0.02],
}


def videos(share: int, drawn: Any = video_classification.moving_digits) -> Any:
    """So many times fewer videos of digits."""
    return lambda some, count, rng: drawn(some, count // share, rng)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a quick run of an example, made when it is first asked for; quicker but in the long profile."""
    made: dict[str, Path] = {}

    def result_of(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            with pytest.MonkeyPatch.context() as patch:
                if not long_profile():
                    patch.setattr(long_memory, "NETWORKS", 1)
                    patch.setattr(video_classification, "moving_digits", videos(4))
                more = [] if long_profile() else QUICKER[name]
                assert run(name, "--quick", *more, "--out", made[name]) == 0
        return made[name]

    return result_of


# --- what they learn ------------------------------------------------------------------------------------------------


def test_a_gru_learns_to_read_digits_by_rows(results: Any) -> None:
    found = figures(results("image_classification"))
    assert found["gru rows"] > 0.9  # a guess: 0.1
    assert found["logistic regression"] > 0.9


def test_gated_cells_learn_the_adding_problem_and_all_cells_to_copy(results: Any) -> None:
    errors = {name: of[-1] for name, of in figures(results("long_memory"))["errors"].items()}
    for cell in ("LSTM", "GRU"):
        assert errors[f"adding 10 {cell}"] < 0.005  # to say 1 always: 0.167
        assert errors["adding 10 RNN"] > 5 * errors[f"adding 10 {cell}"]
    for cell in ("RNN", "LSTM", "GRU"):
        assert errors[f"copying 3 {cell}"] < 0.05  # a guess: 1.39


def test_simple_networks_learn_better_from_orthogonal_and_identity_matrices_and_with_clipping(results: Any) -> None:
    errors = {name: of[-1] for name, of in figures(results("long_memory"))["errors"].items()}
    for start in ("orthogonal", "identity"):
        assert errors[f"adding 10 RNN, {start}"] < errors["adding 10 RNN"] / 2
    assert errors["adding 10 RNN, identity"] < errors["adding 10 RNN, identity, not clipped"] / 2


def test_the_gradient_vanishes_or_explodes_or_stays_as_published(results: Any) -> None:
    norms = figures(results("long_memory"))["gradient norms"]["before"]
    far = {name: norm[-91] / norm[-1] for name, norm in norms.items()}
    assert far["RNN"] < 1e-15
    assert far["RNN, gain 0.5"] < 1e-20
    assert far["RNN, gain 1.5"] > 1
    assert far["RNN, orthogonal"] > 1e-6
    assert 0.5 < far["RNN, identity"] < 2
    assert far["LSTM, forget bias 0"] < 1e-9
    assert far["LSTM"] > 1e6 * far["LSTM, forget bias 0"]


def test_training_lengthens_the_memory_of_the_gru(results: Any) -> None:
    norms = figures(results("long_memory"))["gradient norms"]
    before, after = (norms[when]["GRU"] for when in ("before", "after"))
    assert after[-11] / after[-1] > 2 * before[-11] / before[-1]


def test_rules_learnt_at_length_10_hold_at_length_50(results: Any) -> None:
    found = figures(results("length_generalisation"))
    for task in ("parity", "addition"):
        at = found["lengths"].index(50)
        assert found[task]["GRU"][at] > 0.85
        assert found[task]["window of 8"][at] < 0.75


def test_labels_of_moving_digits_are_learnt_also_where_they_are_hidden(results: Any) -> None:
    found = figures(results("video_classification"))
    everywhere, hidden = found["all frames"], found["behind the wall"]
    assert everywhere["GRU"] > 0.7  # a guess: 0.05
    assert hidden["GRU"] > 0.7
    assert everywhere["logistic regression on single frames"] < 0.5
    assert hidden["logistic regression on single frames"] < 0.15


# --- what they write and say ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "image"), IMAGES.items())
def test_picture_is_written_and_nothing_else_but_the_figures(name: str, image: str, results: Any) -> None:
    folder = results(name)
    assert {path.name for path in folder.iterdir()} == {f"{image}.png", "result.json"}
    assert (folder / f"{image}.png").read_bytes().startswith(b"\x89PNG")


SMALL = {
    "image_classification": "--views pixels --cells rnn --epochs 1 --hidden 8",
    "long_memory": "--lengths 2 5 --delays 0 --hidden 4 --steps 2",
    "video_classification": "--steps 2 --hidden 8 --cell rnn --both-directions --quick",
    "length_generalisation": "--tasks anbn brackets --cells lstm rnn --length 2 --hidden 4 --steps 3",
}


@pytest.mark.parametrize(("name", "options"), SMALL.items())
def test_other_sizes_run_and_the_result_stands_beside_its_baseline(
    name: str, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(long_memory, "NETWORKS", 1)
    monkeypatch.setattr(video_classification, "moving_digits", videos(30))
    assert run(name, *options.split(), "--out", tmp_path) == 0
    out = capsys.readouterr().out
    baseline = {"long_memory": "guess", "length_generalisation": "window"}.get(name, "logistic regression")
    assert re.search(rf"^result: .*{baseline}.* 0\.\d", out, re.MULTILINE)
    assert "picture: " in out


def write_gestures(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Two files: 300 frames of one number that goes up or down, the label, besides two columns of nothing but noise."""
    patch.setattr(video_classification, "STRETCH", 20)
    for k in range(2):
        rng = np.random.default_rng(k)
        steps = np.concatenate([[s] * n for n in rng.integers(6, 15, 30) for s in (1, -1)])[:300]
        columns = [steps.cumsum() + rng.normal(0, 0.3, 300), *rng.standard_normal((2, 300))]
        lines = [f"{x:.4f},{y:.4f},{z:.4f},{'up' if s > 0 else 'down'}" for x, y, z, s in zip(*columns, steps)]
        (folder / f"{k}.csv").write_text("\n".join(["x0,x1,x2,what", *lines, ""]))


TAGS = "--tasks parity --cells gru --length 3 --hidden 8 --steps 50 --lr 0.02"
VIDEO = "--train {folder}/0.csv --test {folder}/1.csv --steps 12 --hidden 8 --lr 0.02"


@pytest.mark.parametrize(
    ("name", "options", "changes"),
    [
        ("image_classification", "--quick --epochs 1", ["--hidden 9", "--lr 0.1", "--dropout 0"]),
        ("image_classification", "--quick --epochs 1", ["--seed 1", "--epochs 2"]),
        ("long_memory", SMALL["long_memory"], ["--seed 1", "--hidden 5", "--steps 3", "--lr 0.1", "--delays 1"]),
        ("length_generalisation", TAGS, ["--seed 1", "--hidden 9", "--tasks addition", "--cells lstm"]),
        ("length_generalisation", TAGS, ["--steps 5", "--lr 0.2", "--length 4"]),
        ("video_classification", VIDEO, ["--cell lstm", "--both-directions", "--hidden 20"]),
        ("video_classification", VIDEO, ["--steps 24", "--seed 1", "--lr 0.1"]),
    ],
)
def test_there_is_no_option_without_effect(
    name: str, options: str, changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_digits

    monkeypatch.setattr(f"examples.{name}.draw", lambda *picture: None)
    monkeypatch.setattr("minigrad.compile", lambda f: f)  # takes longer than so few steps
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", Guess)
    monkeypatch.setattr("sklearn.datasets.load_digits", functools.partial(load_digits, n_class=4))
    monkeypatch.setattr(long_memory, "NETWORKS", 1)
    monkeypatch.setattr(long_memory, "COLOURS", dict.fromkeys(["RNN"]))  # whose gradients are measured
    monkeypatch.setattr(long_memory, "CELLS", ("RNN", "LSTM"))
    monkeypatch.setattr(long_memory, "RNNS", long_memory.RNNS[:2])
    if name == "video_classification":
        write_gestures(tmp_path, monkeypatch)
        options = options.format(folder=tmp_path)
    assert run(name, *options.split(), "--out", tmp_path) == 0
    before = figures(tmp_path)
    for change in changes:
        assert run(name, *options.split(), *change.split(), "--out", tmp_path) == 0
        assert figures(tmp_path) != before, f"{change} changed nothing"


def test_a_seed_makes_a_run_reproducible(tmp_path: Path) -> None:
    for k in "01":
        assert run("length_generalisation", *SMALL["length_generalisation"].split(), "--out", tmp_path / k) == 0
    assert figures(tmp_path / "0") == figures(tmp_path / "1")


# --- own data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_labels_of_own_frames_are_learnt(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gestures(tmp_path, monkeypatch)
    for k in range(2):
        xs, labels = video_classification.read_video("--train", str(tmp_path / f"{k}.csv"))
        np.savez(tmp_path / f"{k}.npz", frames=xs.reshape(-1, 3, 1), labels=labels)
    files = ["--train", tmp_path / f"0.{kind}", "--test", tmp_path / f"1.{kind}"]
    options = ["--both-directions", "--steps", 60, "--hidden", 16, "--lr", 0.02]
    assert run("video_classification", *files, *options, "--out", tmp_path / "out") == 0
    found = figures(tmp_path / "out")["all frames"]
    assert found["GRU"] > 0.8
    assert found["GRU"] > found["logistic regression on single frames"] + 0.15


# --- what they refuse -----------------------------------------------------------------------------------------------

BAD = {
    "an unknown option": ("length_generalisation", "--lenght 3", "--lenght"),
    "an unknown cell": ("image_classification", "--cells qrnn", "--cells"),
    "no epochs": ("image_classification", "--epochs 0", "--epochs: must be a whole number of at least 1, got '0'"),
    "a rate that is no number": ("long_memory", "--lr nan", "--lr: must be a number of at least 1e-09, got 'nan'"),
    "a dropout of 1": ("image_classification", "--dropout 1", "at least 0 and below 1"),
    "a sequence too short": ("long_memory", "--lengths 1", "at least 2"),
    "missing images": ("image_classification", "--images {folder}/none.npz", "none.npz: No such file"),
    "no npz file": ("image_classification", "--images {folder}/text.npz", "text.npz: it must be an npz file"),
    "an npz file cut short": ("image_classification", "--images {folder}/cut.npz", "cut.npz: it must be an npz file"),
    "no labels": ("image_classification", "--images {folder}/unlabelled.npz", "images and labels"),
    "too few labels": ("image_classification", "--images {folder}/few.npz", "N labels: (9, 2, 2), (8,)"),
    "a single class": ("image_classification", "--images {folder}/single.npz", "at least two classes"),
    "complex images": (
        "image_classification",
        "--images {folder}/complex.npz",
        "images must be finite numbers, got complex128",
    ),
    "words for images": (
        "image_classification",
        "--images {folder}/words.npz",
        "images must be finite numbers, got <U4",
    ),
    "images that are not finite": ("image_classification", "--images {folder}/nan.npz", "finite"),
    "pictures of two sizes": ("image_classification", "--images {folder}/sizes", "(3, 3) pixels"),
    "a text among the pictures": ("image_classification", "--images {folder}/texts", "no picture"),
    "an empty folder": ("image_classification", "--images {folder}/empty", "images must be"),
    "videos without a test": ("video_classification", "--train {folder}/nan.csv", "--train and --test go together"),
    "missing videos": ("video_classification", "--train {folder}/no.csv --test {folder}/no.csv", "No such file"),
    "a video without frames": ("video_classification", "--train {folder}/none.csv --test {folder}/none.csv", "frames"),
    "an empty video": ("video_classification", "--train {folder}/empty.csv --test {folder}/empty.csv", "empty.csv"),
    "words for numbers": ("video_classification", "--train {folder}/word.csv --test {folder}/word.csv", "'high'"),
    "lines cut short": ("video_classification", "--train {folder}/cut.csv --test {folder}/cut.csv", "shorter"),
    "a number for frames": ("video_classification", "--train {folder}/0.npz --test {folder}/0.npz", "0.npz: at least"),
    "frames without numbers": (
        "video_classification",
        "--train {folder}/no.npz --test {folder}/no.npz",
        "at least two",
    ),
    "too large numbers": (
        "video_classification",
        "--train {folder}/big.csv --test {folder}/big.csv",
        "as large as 1e+308",
    ),
    "no npz file of a video": (
        "video_classification",
        "--train {folder}/text.npz --test {folder}/text.npz",
        "text.npz: it must be an npz file with the arrays frames and labels",
    ),
    "no number": ("video_classification", "--train {folder}/nan.csv --test {folder}/nan.csv", "finite numbers"),
    "one label only": ("video_classification", "--train {folder}/one.csv --test {folder}/one.csv", "two labels"),
    "frames of two sizes": (
        "video_classification",
        "--train {folder}/two.csv --test {folder}/wide.csv",
        "equally many",
    ),
    "an output folder that is a file": ("length_generalisation", "--out {folder}/text.npz", "output folder"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from matplotlib.image import imsave

    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.npz").write_text("no archive")
    images, labels = np.zeros((9, 2, 2)), np.arange(9) % 2
    np.savez(folder / "few.npz", images=images, labels=labels[:8])
    (folder / "cut.npz").write_bytes((folder / "few.npz").read_bytes()[:200])
    np.savez(folder / "unlabelled.npz", images=images)
    np.savez(folder / "single.npz", images=images, labels=labels * 0)
    np.savez(folder / "complex.npz", images=images * 1j, labels=labels)
    np.savez(folder / "words.npz", images=np.full((9, 2, 2), "dark"), labels=labels)
    np.savez(folder / "nan.npz", images=images * np.nan, labels=labels)
    np.savez(folder / "0.npz", frames=1.0, labels=labels)
    np.savez(folder / "no.npz", frames=np.zeros((9, 0)), labels=labels)
    for name in ("sizes/a", "texts/a", "empty"):
        (folder / name).mkdir(parents=True)
    for size in (2, 3):
        imsave(folder / "sizes" / "a" / f"{size}.png", np.zeros((size, size)))
    videos = {
        "none": "x,label\n", "empty": "", "word": "x,label\nhigh,a\n1,b\n", "cut": "x,y,label\n1,2,a\n1\n",
        "nan": "x,label\nnan,a\n1,b\n", "one": "x,label\n2,a\n1,a\n", "two": "x,label\n2,a\n1,b\n",
        "wide": "x,y,label\n2,2,a\n1,1,b\n", "big": "x,label\n1e308,a\n-1e308,b\n",
    }  # fmt: skip
    for name, text in videos.items():
        (folder / f"{name}.csv").write_text(text)
    (folder / "texts" / "a" / "note.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize(("name", "arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_code_2_and_nothing_is_written(
    name: str, arguments: str, expected: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
    assert run(name, "--quick", *arguments.format(folder=folder).split(), *out) == 2
    assert expected in refusal(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "package"), NEEDS)
def test_a_missing_extra_is_one_line(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert run(name, "--quick", "--out", tmp_path / "out") == 2
    assert refusal(capsys) == lacking(package)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", IMAGES)
def test_help_shows_the_command_and_the_subject(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    out = capsys.readouterr().out
    assert f"usage: python -m examples.{name}" in out
    assert importlib.import_module(f"examples.{name}").__doc__.split("\n")[0].split()[0] in out
