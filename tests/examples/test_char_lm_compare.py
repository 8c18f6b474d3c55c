"""The comparison of cells: each network is the one that would be trained alone, and the table says what it did."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from char_lm_runs import PERIOD, TINY, contents, train
from example_figures import figures
from refusals import refusal

from examples import char_lm

ALIKE = ["--steps", "105", "--lr", "0.02", "--seed", "3", "--validate-every", "35"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder with the text, the figures, and what was printed."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "text.txt").write_text(PERIOD * 20)
    options = ["--cells", "gru", "rnn", "--layers", "1", "2", "--quiet", "--out", str(folder)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert char_lm.main(["compare", str(folder / "text.txt"), *TINY, *ALIKE, *options]) == 0
    return folder, figures(folder), printed.getvalue()


def test_every_network_is_the_one_that_is_trained_alone(compared: Any, tmp_path: Path) -> None:
    folder, result, _ = compared
    for row in result["networks"]:
        kind = ["--cell", row["cell"], "--layers", row["layers"]]
        assert train(folder / "text.txt", *ALIKE, *kind, "--quiet", "--out", tmp_path) == 0
        arrays, _ = contents(tmp_path)
        assert row["validation loss"] == arrays["history.validations"][-1, 1]
        assert row["training loss"] == arrays["history.losses"][-100:].mean()
        assert row["weights"] == sum(a.size for name, a in arrays.items() if name.startswith("model."))


def test_all_learn_and_the_table_has_them_from_the_best_to_the_baselines(compared: Any) -> None:
    folder, result, printed = compared
    kinds = [(row["cell"], row["layers"]) for row in result["networks"]]
    assert kinds == [("gru", 1), ("gru", 2), ("rnn", 1), ("rnn", 2)]
    baselines = result["baselines"]
    assert baselines["all characters alike"] == pytest.approx(np.log(28))
    assert all(row["validation loss"] < 0.6 * baselines["single-character frequencies"] for row in result["networks"])
    losses = [float(loss) for loss in re.findall(r"^ +(?:GRU|RNN) .* (\d\.\d{3}) +[0-9.]+$", printed, re.MULTILINE)]
    assert losses == sorted(round(row["validation loss"], 3) for row in result["networks"])
    assert [name for name in baselines if f"{name}  " in printed] == list(baselines)
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")


BAD = {
    "an unknown cell": ("--cells qrnn", "--cells"),
    "no layers": ("--layers 0", "--layers must be at least 1"),
    "an option of training that is compared": ("--cell gru", "--cell"),
    "nothing to resume": ("--resume x", "--resume"),
    "an option without effect": ("--momentum 0.5", "--momentum has no effect with --optimizer adam"),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_code_2(
    arguments: str,
    expected: str,
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert char_lm.main(["compare", text, *TINY, "--out", str(tmp_path / "out"), *arguments.split()]) == 2
    assert expected in refusal(capsys)
    assert not (tmp_path / "out").exists()


def test_divergence_names_the_network(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = ["--optimizer", "sgd", "--lr", "9e5", "--clip-norm", "0", "--schedule", "constant", "--weight-decay", "9"]
    assert char_lm.main(["compare", text, *TINY, *wild, "--cells", "rnn", "--quiet", "--out", str(tmp_path)]) == 2
    assert "(RNN of 1 × 16 units)" in capsys.readouterr().err


def test_help_shows_the_defaults_of_a_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert char_lm.main(["compare", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "units of a layer (default: 128)" in out
    assert "weight updates in all (default: 1500)" in out
    assert "--cells" in out
    assert "--cell " not in out
