"""What the language model keeps: the last and the best of a run, those of earlier runs, and nothing that is useless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from char_lm_runs import TINY, contents, train
from refusals import refusal

import nn
from examples import char_lm, char_lm_checkpoint, char_lm_model

LAST, BEST = char_lm_checkpoint.LAST, char_lm_checkpoint.BEST


def validated(monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
    """Have the next validations give these losses."""
    following = iter(losses)
    monkeypatch.setattr(char_lm_model, "evaluate", lambda *given: next(following))


def steps(folder: Path, name: str) -> int:
    return len(nn.load(folder / name)[0]["history.losses"])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_the_run_is_kept_as_it_is_and_as_it_was_when_it_validated_best(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    validated(monkeypatch, 2.5, 2.0, 2.25)
    assert train(text, "--steps", 21, "--out", tmp_path, "--quiet") == 0
    assert steps(tmp_path, LAST) == 21
    assert steps(tmp_path, BEST) == 14
    out = capsys.readouterr().out
    line = "its lowest validation, 2.000 nats = 2.885 bits at step 14, is in"
    assert f"{line} {tmp_path / BEST}: then the model began to learn by heart" in out
    assert f"sample {tmp_path / BEST}" in out
    assert f"explore {tmp_path / BEST}" in out


def test_a_resumed_run_replaces_the_best_only_by_a_better_one(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = ["--resume", str(tmp_path / LAST), "--quiet"]
    validated(monkeypatch, 2.0, 1.5)
    assert train(text, "--steps", 9, "--out", tmp_path) == 0  # validates after 7 and 9 steps
    validated(monkeypatch, 1.75, 1.6)
    assert char_lm.main([*again, "--steps", "20"]) == 0
    assert steps(tmp_path, BEST) == 9
    validated(monkeypatch, 1.4, 3.0)
    assert char_lm.main([*again, "--steps", "22"]) == 0
    assert steps(tmp_path, BEST) == 21
    assert files(tmp_path).keys() == {LAST, BEST}


def test_a_run_that_goes_on_from_the_best_sets_the_last_aside(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated(monkeypatch, 2.0, 2.5)
    assert train(text, "--steps", 14, "--out", tmp_path) == 0
    before = files(tmp_path)
    validated(monkeypatch, 2.25)
    assert char_lm.main(["--resume", str(tmp_path / BEST), "--steps", "10", "--quiet"]) == 0
    assert files(tmp_path)[f"previous.{LAST}"] == before[LAST]
    assert files(tmp_path)[BEST] == before[BEST]
    assert steps(tmp_path, LAST) == 10


def test_a_run_that_goes_on_in_another_folder_keeps_its_best_there(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated(monkeypatch, 1.5)
    assert train(text, "--steps", 7, "--out", tmp_path / "a") == 0
    validated(monkeypatch, 1.8, 1.9)
    resume = ["--resume", str(tmp_path / "a" / LAST), "--out", str(tmp_path / "b"), "--quiet"]
    assert char_lm.main([*resume, "--steps", "21"]) == 0
    assert (steps(tmp_path / "a", BEST), steps(tmp_path / "b", BEST)) == (7, 14)


def test_the_weights_that_validated_best_are_tested(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tested: list[np.ndarray] = []
    validated(monkeypatch, 2.0, 2.5)
    monkeypatch.setattr(char_lm, "evaluate", lambda model, *part: tested.append(model.output.b.data.copy()) or 1.25)
    assert train(text, "--steps", 14, "--split", "80", "10", "10", "--out", tmp_path, "--quiet") == 0
    np.testing.assert_array_equal(tested, [nn.load(tmp_path / BEST)[0]["model.output.b"]])
    assert "test 1.250 nats = 1.803 bits per character, with these weights" in capsys.readouterr().out


def test_a_stop_between_validations_does_not_touch_the_best(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detach, calls = nn.detach, []

    def detach_and_stop(state: Any) -> Any:
        calls.append(1)
        if len(calls) == 10:
            char_lm.signal.raise_signal(char_lm.signal.SIGINT)
        return detach(state)

    monkeypatch.setattr(nn, "detach", detach_and_stop)
    assert train(text, "--steps", 30, "--out", tmp_path) == 128 + char_lm.signal.SIGINT
    assert (steps(tmp_path, LAST), steps(tmp_path, BEST)) == (10, 7)


def test_no_run_overwrites_another_and_that_is_said(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = []
    for seed in range(3):
        assert train(text, "--steps", 2, "--seed", seed, "--out", tmp_path, "--quiet") == 0
        kept.append((tmp_path / BEST).read_bytes())
    assert [files(tmp_path)[f"{name}{BEST}"] for name in ("previous.", "previous-2.", "")] == kept
    assert f"{tmp_path / LAST} of an earlier run is now {tmp_path}/previous-2.{LAST}" in capsys.readouterr().out


@pytest.mark.parametrize("steps", [5, 60])
def test_a_run_that_diverges_leaves_the_files_of_an_earlier_one(
    steps: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(text, "--steps", 3, "--out", tmp_path, "--quiet") == 0
    before = files(tmp_path)
    capsys.readouterr()
    assert train(text, "--lr", 50, "--steps", steps, "--validate-every", 0, "--out", tmp_path, "--quiet") == 2
    line = refusal(capsys)
    assert f"error: training diverged at step {min(steps, 21)} (LSTM of 1 × 16 units): the loss is " in line
    assert "single-character frequencies have 3." in line
    assert "try a smaller --lr than 50, or clip by a smaller --clip-norm or --clip-value" in line
    assert files(tmp_path) == before


@pytest.mark.parametrize("words", [["sample"], ["explore"], ["--steps", "500", "--resume"]], ids=" ".join)
def test_weights_that_are_not_finite_are_refused_by_name(
    words: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays, metadata = nn.load(trained)
    arrays["model.output.b"][3] = np.nan
    nn.save(tmp_path / "nan.safetensors", arrays, metadata)
    assert char_lm.main([*words, str(tmp_path / "nan.safetensors")]) == 2
    assert "nan.safetensors: the weights output.b are not finite" in refusal(capsys)


def test_of_a_folder_the_best_is_taken_and_by_default_that_of_the_default_folder(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert char_lm.main(["sample"]) == 2
    assert "runs/char_lm" in refusal(capsys)
    assert train(text, "--steps", 3) == 0
    capsys.readouterr()
    for place in ([], ["runs/char_lm"], ["runs/char_lm/best.safetensors"]):
        assert char_lm.main(["sample", *place, "--seed", "1", "--length", "50"]) == 0
    one, two, three = capsys.readouterr().out.split("\n")[:3]
    assert one == two == three
    Path("runs/char_lm", BEST).unlink()
    assert char_lm_checkpoint.read_model("runs/char_lm")[0].path == f"runs/char_lm/{LAST}"
    assert char_lm.main(["explore", "--quick"]) == 0
    assert Path("runs/char_lm/explore.html").exists()


def test_quick_is_a_small_run_in_which_other_options_count(text: str, tmp_path: Path) -> None:
    assert char_lm.main([text, "--quick", "--steps", "3", "--batch-size", "4", "--out", str(tmp_path)]) == 0
    arrays, _ = contents(tmp_path)
    assert arrays["state.0"].shape == (4, 64)
    assert len(arrays["history.losses"]) == 3
    assert char_lm.main(["compare", text, *TINY, "--quick", "--steps", "3", "--out", str(tmp_path / "compare")]) == 0
    assert '"layers": 2' not in (tmp_path / "compare" / "result.json").read_text()
