"""What the language model refuses: each mistake gets one line, exit code 2, and nothing is overwritten."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from char_lm_runs import PERIOD, TINY, train
from refusals import lacking

import nn
from examples import char_lm

BAD = {
    "a missing file": ("{folder}/nothing.txt", "No such file"),
    "an empty file": ("{folder}/empty.txt", "is empty"),
    "a directory": ("{folder}", "directory"),
    "a file that is not UTF-8": ("{folder}/latin.txt", "not UTF-8"),
    "a text too short for one chunk": ("{text} --batch-size 100 --seq-length 50", "at least 5 264"),
    "a text too short for validation": ("{text} --val-fraction 0.0004", "at least 3 750"),
    "a text too short for rows": ("{text} --split rows --batch-size 100", "at least 2 000"),
    "an option out of range": ("{text} --dropout 1", "--dropout must be at least 0 and below 1, got 1.0"),
    "a learning rate that is no number": ("{text} --lr nan", "--lr"),
    "no steps": ("{text} --steps 0", "--steps"),
    "an unknown cell": ("{text} --cell qrnn", "--cell"),
    "an unknown option": ("{text} --hiden 3", "--hiden"),
    "an option without effect": ("{text} --momentum 0.5", "--momentum has no effect with --optimizer adam"),
    "two budgets": ("{text} --minutes 1", "not both"),
    "an output folder that is a file": ("{text} --out {text}", "output folder"),
    "an output folder that cannot be made": ("{text} --out {text}/sub", "output folder"),
    "a missing checkpoint": ("--resume {folder}/nothing.safetensors", "nothing.safetensors"),
    "a checkpoint that is cut short": ("--resume {folder}/cut.safetensors", "damaged"),
    "a checkpoint that is something else": ("--resume {folder}/other.safetensors", "not a checkpoint"),
    "a checkpoint of another model": ("--resume {checkpoint} --hidden 17", "--hidden 16"),
    "a checkpoint of another text": ("--resume {checkpoint} {folder}/long.txt", "another text"),
    "a checkpoint whose run is done": ("--resume {checkpoint} --steps 3", "larger --steps"),
    "sampling from a missing checkpoint": ("sample {folder}/nothing.safetensors", "nothing.safetensors"),
    "sampling from a damaged checkpoint": ("sample {folder}/cut.safetensors", "damaged"),
    "unknown characters in the prime": ("sample {checkpoint} --prime THE", "'E' 'H' 'T'"),
    "a negative temperature": ("sample {checkpoint} --temperature -1", "--temperature"),
    "a negative length": ("sample {checkpoint} --length -1", "--length"),
    "no checkpoint to sample from": ("sample", "checkpoint"),
    "exploring a damaged checkpoint": ("explore {folder}/cut.safetensors", "damaged"),
    "exploring a missing text": ("explore {checkpoint} --text {folder}/nothing.txt", "No such file"),
    "exploring unknown characters": ("explore {checkpoint} --text {folder}/new.txt", "never saw: 'T' 'ö'"),
    "exploring a single character": ("explore {checkpoint} --text {folder}/a.txt", "at least two characters"),
    "exploring a length out of range": (
        "explore {checkpoint} --length 1",
        "--length: must be a whole number of at least 2",
    ),
    "a page that is a folder": ("explore {checkpoint} --quick --out {folder}/sub", "cannot write"),
    "a page in a folder that is a file": ("explore {checkpoint} --out {text}/page.html", "output folder"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.txt").write_text(PERIOD * 40)
    (folder / "long.txt").write_text(PERIOD * 60)
    (folder / "empty.txt").write_text("")
    (folder / "a.txt").write_text("a")
    (folder / "new.txt").write_text("Tö", encoding="utf-8")
    (folder / "sub").mkdir()
    (folder / "latin.txt").write_bytes("naïve ".encode("latin-1") * 500)
    assert train(folder / "text.txt", "--steps", 4, "--out", folder) == 0
    whole = (folder / "checkpoint.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-100])
    nn.save(folder / "other.safetensors", {"a": np.ones(3)})
    return folder


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_code_2_and_overwrites_nothing(
    arguments: str,
    expected: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no runs/char_lm
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    capsys.readouterr()
    names = {"folder": folder, "text": folder / "text.txt", "checkpoint": folder / "checkpoint.safetensors"}
    words = arguments.format(**names).split()
    training = words[0] not in ("sample", "explore") and "--resume" not in words
    defaults = [*TINY, "--steps", "9", "--out", str(folder)] if training else []
    assert char_lm.main([*defaults, *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_divergence_is_one_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = ["--optimizer", "sgd", "--lr", "9e5", "--clip-norm", "0", "--cell", "rnn", "--schedule", "constant"]
    assert train(text, *wild, "--weight-decay", "9", "--steps", 200, "--out", tmp_path, "--quiet") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: training diverged at step")
    assert not (tmp_path / "loss.png").exists()


@pytest.mark.parametrize("package", ["rich", "matplotlib", "safetensors"])
def test_a_missing_extra_is_one_line(
    package: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert train(text, "--steps", 3, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == lacking(package)
    assert not (tmp_path / "out").exists()
