"""Every example that trains runs on ranks of MPI: one set of results, printed and saved by rank 0."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from baselines import Guess
from example_figures import figures
from ranks import SharedRanks, example, needs_mpi

from examples import custom_cell, image_classification

pytestmark = needs_mpi
SMALL = {
    "image_captioning": "--quick --steps 3",
    "image_classification": "--quick --epochs 1 --views rows",
    "length_generalisation": "--quick --steps 3 --tasks parity --length 3",
    "long_memory": "--lengths 4 --delays 1 --steps 3 --hidden 4",
    "sentiment": "--quick --epochs 1 --hidden 8",
    "translation": "--quick --epochs 1 --numbers 200 --hidden 8",
    "video_classification": "--quick --steps 3 --hidden 8",
}


FEW = ("length_generalisation",)  # each of the others is dearer


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FEW else pytest.mark.campaign) for n in SMALL])
def test_an_example_gives_one_set_of_results(name: str, tmp_path: Path, on_ranks: SharedRanks) -> None:
    done = on_ranks(2, example(name), *SMALL[name].split(), "--out", str(tmp_path), seconds=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"2 ranks, processes \d+, \d+\n", done.stdout)  # so that a killed one is known by its rank
    assert done.stdout.count("picture: ") == 1
    files = [path.name for path in tmp_path.iterdir()]
    assert len(files) == 2
    assert "result.json" in files


#: The example with a baseline that costs nothing, for which each rank would import scikit-learn.
NO_BASELINE = f"""
import sys, types, baselines
module = types.SimpleNamespace(LogisticRegression=baselines.Guess)
before = {{name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("sklearn")}}
sys.modules |= {{"sklearn": module, "sklearn.linear_model": module}}
try:
    exec({example("image_classification")!r})
finally:
    del sys.modules["sklearn"], sys.modules["sklearn.linear_model"]
    sys.modules |= before
"""


def test_all_ranks_read_the_data_in_one_order(
    tmp_path: Path, on_ranks: SharedRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_digits

    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", Guess)
    digits, parts = load_digits(), np.split(np.random.default_rng(0).permutation(1797), [1437])
    for name, part in zip(("train", "test"), parts):
        np.savez(tmp_path / f"{name}.npz", images=digits.images[part], labels=digits.target[part])
    options = ["--views", "rows", "--cells", "gru", "--epochs", "1", "--dropout", "0", "--hidden", "16"]
    options += ["--train", str(tmp_path / "train.npz"), "--test", str(tmp_path / "test.npz")]
    assert image_classification.main([*options, "--out", str(tmp_path / "one")]) == 0
    done = on_ranks(3, NO_BASELINE, *options, "--out", str(tmp_path / "three"))
    assert (done.returncode, done.stderr) == (0, "")
    alone, together = (figures(tmp_path / name) for name in ("one", "three"))
    assert alone.keys() == together.keys() == {"gru rows", "logistic regression"}
    assert 0.2 < alone["gru rows"] < 0.95
    assert together["gru rows"] == pytest.approx(alone["gru rows"], abs=1 / 360)  # of the images held out, one at most


@pytest.mark.campaign
def test_its_numbers_are_those_of_one_process(capsys: pytest.CaptureFixture[str], on_ranks: SharedRanks) -> None:
    options = ["--steps", "20", "--length", "6", "--hidden", "5"]
    assert custom_cell.main(options) == 0
    done = on_ranks(3, example("custom_cell"), *options)
    assert (done.returncode, done.stderr) == (0, "")
    alone, together = (
        re.findall(r"^(\w+) .* (0\.\d{4}) ", text, re.M) for text in (capsys.readouterr().out, done.stdout)
    )
    assert len(alone) >= 4
    assert [name for name, _ in together] == [name for name, _ in alone]
    for (_, error), (_, expected) in zip(together, alone):
        assert float(error) == pytest.approx(float(expected), abs=2e-4)
