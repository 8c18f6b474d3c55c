"""The commands of the page of published figures run, on small files of the same kind as those that they name."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import not_drawn

from docs import utterances
from examples import sentiment

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "published_figures.md").read_text("utf-8"), re.M | re.S)
COMMANDS = re.findall(r"^python -m (.+)$", "".join(BLOCKS).replace("\\\n", ""), re.M)


@pytest.fixture(autouse=True)
def _pictures_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("matplotlib.figure").Figure, "savefig", not_drawn)


def command_of(name: str, number: int = 0) -> list[str]:
    """The arguments that the page gives to a program."""
    return [shlex.split(line)[1:] for line in COMMANDS if line.split()[0].endswith(name)][number]


def run(name: str, arguments: list[str], files: dict[str, Path], *less: str) -> int:
    """Run an example as the page says, on other files, and with less to do."""
    given = [str(files.get(word, word)) for word in arguments]
    return int(import_module(f"examples.{name}").main([*given, *less]))


def write_series(path: Path, seed: int, count: int = 24) -> Path:
    """A `.ts` file of two classes, in which the first dimension rises or falls; lengths differ."""
    rng, lines = (
        np.random.default_rng(seed),
        ["# a comment", "@problemName Slopes", "@classLabel true up down", "@data"],
    )
    for k in range(count):
        t = np.arange(rng.integers(4, 8))
        x = [t * (1 if k % 2 else -1) + rng.normal(0, 0.1, len(t)), rng.standard_normal(len(t))]
        lines.append(":".join(",".join(f"{v:.4f}" for v in row) for row in x) + f":{'up' if k % 2 else 'down'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("cell", utterances.CELLS)
def test_utterances_of_two_kinds_are_told_apart(cell: str, tmp_path: Path) -> None:
    files = [str(write_series(tmp_path / f"{seed}.ts", seed)) for seed in range(2)]
    assert utterances.accuracy(*files, cell=cell, hidden=8, epochs=40) == 1.0


def test_a_file_of_series_is_read_with_its_lengths_and_labels(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("@classLabel true 1 2\n@DATA\n1,2,3:4,5,6:1\n\n7,8:9,10:2\n", encoding="utf-8")
    series, labels = utterances.read(str(tmp_path / "a.ts"))
    assert [x.tolist() for x in series] == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10]]]
    assert labels == ["1", "2"]


@pytest.mark.parametrize(("number", "less"), [(0, ["--steps", "2"]), (1, ["--epochs", "1"])])
def test_the_commands_for_characters_run(number: int, less: list[str], tmp_path: Path) -> None:
    arguments = command_of("char_lm", number)
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question. " * 60, encoding="utf-8")
    small = ["--hidden", "4", "--layers", "1", "--batch-size", "2", "--seq-length", "8", "--out", str(tmp_path / "run")]
    assert run("char_lm", arguments, {arguments[0]: text}, *small, *less) == 0


@pytest.mark.skipif(not (shutil.which("sed") and shutil.which("iconv")), reason="there is no sed or iconv here")
def test_the_commands_for_questions_write_what_is_read(tmp_path: Path) -> None:
    rows = [
        "DESC:manner How did it leave Caf\u00e9 ?",
        "HUM:ind Who was it ?",
        "DESC:def What is it ?",
        "HUM:gr Who are they ?",
    ]
    for part in ("train_5500", "TREC_10"):
        (tmp_path / f"{part}.label").write_bytes("\n".join(rows * 8).encode("latin1"))
    (block,) = (block for block in BLOCKS if "iconv" in block)
    subprocess.run(["bash", "-euc", block[: block.index("python")]], cwd=tmp_path, check=True)
    found = sentiment.read(str(tmp_path / "TREC_10.tsv"))
    assert found[:2] == [["DESC", "How did it leave Caf\u00e9 ?"], ["HUM", "Who was it ?"]]
    arguments = command_of("sentiment")
    files = {word: tmp_path / word for word in arguments if word.endswith((".tsv", ".txt"))}
    (tmp_path / "vectors.txt").write_text("who 1 0\nwhat 0 1\n", encoding="utf-8")
    out = ["--out", str(tmp_path / "run"), "--hidden", "4", "--epochs", "1"]
    assert run("sentiment", arguments, files, *out) == 0


def test_the_command_for_chorales_runs(tmp_path: Path) -> None:
    pieces: Any = [[[60, 64, 67], [59, 62, 67]] * n for n in (2, 3, 4)]
    (tmp_path / "jsb.json").write_text(json.dumps(dict.fromkeys(("train", "valid", "test"), pieces)), encoding="utf-8")
    arguments = command_of("polyphonic_music")
    files = {word: tmp_path / "jsb.json" for word in arguments if word.endswith(".json")}
    out = ["--out", str(tmp_path / "run"), "--hidden", "4", "--epochs", "2"]
    assert run("polyphonic_music", arguments, files, *out) == 0


def test_the_command_for_utterances_names_options_that_are_there(tmp_path: Path) -> None:
    train, test, *options = command_of("utterances")
    assert Path(train).suffix == Path(test).suffix == ".ts"
    assert {word.removeprefix("--") for word in options[::2]} <= set(utterances.accuracy.__annotations__)
