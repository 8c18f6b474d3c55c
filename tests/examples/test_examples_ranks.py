"""Every example that trains runs on ranks of MPI: one set of results, printed and saved by rank 0."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ranks import launch, needs_mpi

from examples import custom_cell, image_classification

pytestmark = needs_mpi
SMALL = {
    "image_captioning": "--quick --steps 3",
    "image_classification": "--quick --epochs 1 --views rows",
    "length_generalisation": "--quick --steps 3 --tasks parity",
    "long_memory": "--lengths 4 --delays 1 --steps 3 --hidden 4",
    "sentiment": "--quick --epochs 1 --hidden 8",
    "translation": "--quick --epochs 1 --numbers 200 --hidden 8",
    "video_classification": "--quick --steps 3 --hidden 8",
}


FEW = ("translation",)  # each of the others is as dear again


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FEW else pytest.mark.campaign) for n in SMALL])
def test_an_example_gives_one_set_of_results(name: str, tmp_path: Path) -> None:
    done = launch(2, "-m", f"examples.{name}", *SMALL[name].split(), "--out", str(tmp_path), seconds=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"2 ranks, processes \d+, \d+\n", done.stdout)  # so that a killed one is known by its rank
    assert done.stdout.count("picture: ") == 1
    files = [path.name for path in tmp_path.iterdir()]
    assert len(files) == 2
    assert "result.json" in files


def test_all_ranks_read_the_data_in_one_order(tmp_path: Path) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    options = ["--views", "rows", "--cells", "gru", "--epochs", "1", "--dropout", "0", "--hidden", "16"]
    assert image_classification.main([*options, "--out", str(one)]) == 0
    done = launch(3, "-m", "examples.image_classification", *options, "--out", str(three))
    assert (done.returncode, done.stderr) == (0, "")
    alone, together = (json.loads((folder / "result.json").read_text()) for folder in (one, three))
    assert 0.2 < alone["gru rows"] < 0.95
    assert together == pytest.approx(alone, abs=1 / 360)  # of the images held out, one at most


@pytest.mark.campaign
def test_its_numbers_are_those_of_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--steps", "20", "--length", "6", "--hidden", "5"]
    assert custom_cell.main(options) == 0
    done = launch(3, "-m", "examples.custom_cell", *options)
    assert (done.returncode, done.stderr) == (0, "")
    alone, together = (
        re.findall(r"^(\w+) .* (0\.\d{4}) ", text, re.M) for text in (capsys.readouterr().out, done.stdout)
    )
    assert len(alone) >= 4
    assert [name for name, _ in together] == [name for name, _ in alone]
    for (_, error), (_, expected) in zip(together, alone):
        assert float(error) == pytest.approx(float(expected), abs=2e-4)
