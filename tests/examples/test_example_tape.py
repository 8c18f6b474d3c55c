"""The example that writes pages to step through: three of them, whose strips show what vanishes and what lasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import data_of
from refusals import refusal

from examples import tape
from minigrad.inspect import Explanation

NAMES = ("x_tanh_x", "softmax", "rnn_lstm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its pages as they are by default."""
    out = tmp_path_factory.mktemp("tape")
    assert tape.main(["--out", str(out)]) == 0
    return out


def test_it_writes_three_pages_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tape.main(["--quick", "--out", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(f"{name}.html" for name in NAMES)
    for name in NAMES:
        assert f"page: {tmp_path / 'new' / name}.html: " in printed
    assert "A 4-step RNN beside a 4-step LSTM" in printed


def test_the_first_page_is_the_product_and_the_second_ends_in_p_minus_one_hot(folder: Path) -> None:
    assert [entry["name"] for entry in data_of(folder / "x_tanh_x.html")["entries"]] == ["leaf", "tanh", "multiply"]
    made = tape.softmax_with_cross_entropy(np.random.default_rng(0))
    (log_softmax,) = made.find("log_softmax")
    (logits,) = log_softmax.inputs
    p = np.exp(log_softmax.value)
    rest = p - 6 * Explanation(made).gradients[logits]
    np.testing.assert_allclose(np.sort(rest, axis=1), [[0, 0, 0, 1]] * 6, atol=1e-12)  # the one-hot rows


def test_twelve_steps_of_both_nets_are_folded_and_the_rnns_gradient_vanishes(folder: Path) -> None:
    data = data_of(folder / "rnn_lstm.html")
    blocks = [item for item in data["items"] if isinstance(item, dict)]
    assert [(block["turns"], block["path"]) for block in blocks] == [
        (12, "RNN.recurrent.cells.0"), (12, "LSTM.recurrent.cells.0")]  # fmt: skip
    norms = [
        [data["entries"][b["start"] + t * b["period"] + b["states"][0]]["norm"] for t in range(12)] for b in blocks
    ]
    h, C = np.array(norms)
    assert h[0] < 0.1 * h[-1]
    assert C[0] > 0.5 * C[-1]


def test_help_and_refusals_are_those_of_every_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tape.main(["--help"]) == 0
    assert "usage: python -m examples.tape" in capsys.readouterr().out
    assert tape.main(["--length", "1", "--out", str(tmp_path / "out")]) == 2
    assert "--length: must be a whole number of at least 2" in refusal(capsys)
    (tmp_path / "file").write_text("")
    assert tape.main(["--out", str(tmp_path / "file")]) == 2
    assert "cannot write to the output folder" in refusal(capsys)
