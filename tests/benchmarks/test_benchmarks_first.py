"""The rows of what compiling costs: the first step of a fresh model, and batches of many lengths."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import __main__ as main
from benchmarks import by_hand, first, workers

SETTING = by_hand.Setting(V=7, H=5, B=3)


def test_first_steps_are_measured_of_models_that_agree() -> None:
    present = [name for name in main.rows(SETTING)["first"].frameworks if main.installed(name)]
    subjects = {name: first.First(name, SETTING, ((7, 5, 3, 4, 1), (7, 5, 1, 3, 2))) for name in present}
    workers.check_agreement({name: subject.check() for name, subject in subjects.items()})
    for name in ("minigrad", "minigrad compiled"):
        measured = subjects[name].measure()
        assert list(measured) == ["7,5,3,4,1", "7,5,1,3,2"]
        assert all(time > 0 for time in measured.values())


def test_each_first_step_is_that_of_a_fresh_model(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    class Model:
        def __init__(self, *_: object) -> None:
            steps.append("made")

        def step(self, *_: object) -> None:
            steps.append("step")

    monkeypatch.setattr(first.language_model, "MODELS", {"minigrad": Model, "minigrad compiled": Model})
    first.First("minigrad compiled", SETTING, ((7, 5, 3, 4, 1), (7, 5, 1, 3, 2))).measure()
    assert steps == ["made", "step"] * 2
    steps.clear()
    first.First("minigrad", SETTING, ((7, 5, 3, 4, 1),)).measure()
    assert steps == ["made", *["step"] * 4]


def test_batches_of_many_lengths_have_each_equally_often_and_all_frameworks_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first.Ragged, "lengths", range(2, 6))
    monkeypatch.setattr(first.Ragged, "counts", (4, 8))
    present = [name for name in first.RAGGED if main.installed(name)]
    subjects = {name: first.Ragged(name, SETTING) for name in present}
    batches = subjects["minigrad"]._batches(SETTING, 8)
    assert sorted(len(ids) for ids, _ in batches) == [2, 2, 3, 3, 4, 4, 5, 5]
    answers = {name: subject.check() for name, subject in subjects.items()}
    workers.check_agreement(answers)
    assert np.abs(np.diff(answers["minigrad"]["losses"])).max() > 0
    measured = subjects["minigrad compiled"].measure()
    assert list(measured) == ["4 batches", "8 batches"]
    assert 0 < measured["4 batches"] < measured["8 batches"]
