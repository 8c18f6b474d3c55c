"""Polyphonic music: what a file of pieces says, nats a frame as papers count them, and what is learnt from both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_figures import figures
from profiles import long_profile
from refusals import refusal

import nn
from examples import polyphonic_music as example

C, G = [48, 64, 67], [43, 59, 67]  # two chords


def write(path: Path, **parts: Any) -> Path:
    """A file in which two chords alternate, in pieces of unequal lengths; `parts` replace some of its own."""
    pieces = [[C, G] * n for n in (3, 5, 4, 6, 8, 2, 7, 3)]
    path.write_text(json.dumps({"train": pieces, "valid": pieces[:2], "test": pieces[1:3]} | parts), encoding="utf-8")
    return path


def test_what_alternates_in_a_file_is_learnt_and_told_in_nats_a_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(write(tmp_path / "pieces.json")), "--out", str(tmp_path), "--dropout", "0", "--quick"]
    assert example.main([*options, "--epochs", "60"]) == 0
    found = figures(tmp_path)
    assert found["test"]["GRU"] < 1 < 2 < found["test"]["shares of the keys"]
    assert (tmp_path / "notes.png").exists()
    out = capsys.readouterr().out
    assert f"result: test nats a frame: GRU {found['test']['GRU']:.3f}, shares of the keys" in out


def test_the_default_pieces_are_learnt_better_than_shares_tell(tmp_path: Path) -> None:
    options = [] if long_profile() else ["--hidden", "32", "--lr", "0.02"]
    assert example.main(["--quick", "--epochs", "5" if long_profile() else "2", *options, "--out", str(tmp_path)]) == 0
    found = figures(tmp_path)
    assert found["test"]["GRU"] < 0.8 * found["test"]["shares of the keys"]


def test_nats_a_frame_are_the_sum_over_keys_and_the_mean_over_the_frames_of_all_pieces() -> None:
    rng = np.random.default_rng(0)
    pieces = [(rng.random((T, 88)) < 0.1).astype(np.float32) for T in (5, 2, 9)] * 4  # more than one batch
    o = type("Options", (), {"cell": "lstm", "hidden": 4, "dropout": 0.5})
    model = example.Listener(np.full(88, 0.1, np.float32), o, rng)
    each = []
    for piece in pieces:
        z = model.eval()(piece[:, None]).data[:, 0].astype(float)
        each.append(-(piece * np.log(1 / (1 + np.exp(-z))) + (1 - piece) * np.log(1 / (1 + np.exp(z)))).sum(axis=1))
    assert example.nats_a_frame(model, pieces) == pytest.approx(np.concatenate(each).mean(), rel=1e-5)
    constant = np.log(0.1 / 0.9)
    expected = -np.concatenate(pieces).sum(axis=1).mean() * constant - 88 * np.log(0.9)
    assert example.nats_a_frame(np.full(88, constant), pieces) == pytest.approx(expected, rel=1e-5)


def test_a_frame_is_predicted_from_those_before_it_alone() -> None:
    rng = np.random.default_rng(0)
    o = type("Options", (), {"cell": "gru", "hidden": 4, "dropout": 0.0})
    model, xs = example.Listener(np.full(88, 0.1, np.float32), o, rng), rng.random((6, 1, 88)).astype(np.float32)
    other = xs.copy()
    other[3:] = 0
    before, after = model.eval()(xs).data, model.eval()(other).data
    np.testing.assert_array_equal(before[:4], after[:4])
    assert not np.array_equal(before[4], after[4])


def test_a_frame_holds_the_keys_of_its_midi_numbers_and_no_voice_at_rest(tmp_path: Path) -> None:
    pieces = example.read(str(write(tmp_path / "p.json", test=[[[21, 108], [-1, 60.0], [float("nan")]]])))
    (piece,) = pieces["test"]
    assert [np.flatnonzero(frame).tolist() for frame in piece] == [[0, 87], [39], []]
    assert nn.pad_sequences(pieces["train"])[1].tolist() == [6, 10, 8, 12, 16, 4, 14, 6]


@pytest.mark.parametrize(
    ("parts", "message"),
    [({"test": [[[20]]]}, "20 is no MIDI number of 21 to 108"), ({"test": [[[60.5]]]}, "60.5 is no MIDI number"),
     ({"valid": []}, "valid needs a piece"), ({"train": [[C], []]}, "train needs a piece, and each piece a frame"),
     ({"test": [[[float("inf")]]]}, "is not JSON of pieces"), ({"test": [[60]]}, "is not JSON of pieces"),
     ({"test": "abc"}, "is not JSON of pieces")],
    ids=str,
)  # fmt: skip
def test_a_file_that_holds_other_than_pieces_is_refused(
    parts: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert example.main(["--data", str(write(tmp_path / "p.json", **parts)), "--out", str(tmp_path / "out")]) == 2
    assert message in refusal(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "[1]", '{"train": []}', "{", "[" * 100_000])
def test_a_file_without_the_parts_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.json").write_text(text)
    assert example.main(["--data", str(tmp_path / "p.json"), "--out", str(tmp_path / "out")]) == 2
    assert "p.json is not JSON of pieces as --help says" in refusal(capsys)


def test_a_silent_piece_is_drawn_and_figures_are_kept_where_no_picture_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = str(write(tmp_path / "p.json", test=[[[], []]]))
    arguments = ["--data", pieces, "--epochs", "1", "--hidden", "2", "--out", str(tmp_path / "out")]
    assert example.main(arguments) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["notes.png", "result.json"]
    (tmp_path / "out" / "result.json").unlink()

    def fails(*arguments: Any) -> None:
        raise RuntimeError("no picture")

    monkeypatch.setattr(example, "draw", fails)
    with pytest.raises(RuntimeError, match="no picture"):
        example.main(arguments)
    assert (tmp_path / "out" / "result.json").exists()
