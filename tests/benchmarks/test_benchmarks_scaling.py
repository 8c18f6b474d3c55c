"""The rows in which something grows, layers, lengths or the arrays of one operation: same answers, right sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as main
from benchmarks import by_hand, language_model, scaling, throughput, workers


def test_throughput_by_hand_has_the_outputs_and_gradients_of_the_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput.Throughput, "n", 8)
    present = [name for name in throughput.Throughput.frameworks if main.installed(name)]
    subjects = {name: throughput.Throughput(name) for name in present}
    answers = {name: subject.check() for name, subject in subjects.items()}
    assert {"minigrad", "numpy"} <= set(answers)
    workers.check_agreement(answers)
    names = list(throughput.operations(8))
    assert {what.split(", result")[0] for what in answers["numpy"]} == set(names)
    measured = subjects["numpy"].measure()
    assert list(measured) == [quantity for name in names for quantity in (name, f"{name} + grad")]
    assert all(time > 0 for time in measured.values())


@pytest.mark.parametrize("name", throughput.operations(4))
def test_gradients_by_hand_are_arrays_of_their_own(name: str) -> None:
    operation = throughput.operations(4)[name]
    y = np.asarray(operation.function(throughput.ByHand.xp, *operation.arrays))
    g = np.ones_like(y)
    gradients = operation.gradients(g, y, *operation.arrays)
    for gradient, array in zip(gradients, operation.arrays, strict=True):
        assert (gradient.shape, gradient.dtype) == (array.shape, array.dtype)
        assert not any(np.may_share_memory(gradient, other) for other in (g, y, *operation.arrays))


def test_writers_agree_and_count_characters() -> None:
    writers = {
        name: scaling.Writing(name, by_hand.Setting(V=7, H=5)) for name in scaling.WRITERS if main.installed(name)
    }
    workers.check_agreement({name: writer.check() for name, writer in writers.items()})
    assert writers["minigrad compiled"].measure()["characters"] > 0


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "mgu"])
def test_models_of_two_layers_have_parameters_for_both_and_agree(cell: str) -> None:
    setting = by_hand.Setting(cell=cell, V=7, H=5, B=3, T=4, layers=2)
    present = [name for name in ("minigrad", "minigrad compiled", "torch", "jax") if main.installed(name)]
    present = [name for name in present if name not in main.LACKING[cell]]
    answers = {name: language_model.Training(name, setting).check() for name in present}
    workers.check_agreement(answers)
    assert answers["minigrad"]["float32: gradient U"].shape == (7, len(by_hand.GATES[cell]) * 5)
    assert answers["minigrad"]["float32: gradient U1"].shape == (5, len(by_hand.GATES[cell]) * 5)
    assert np.abs(answers["minigrad"]["float32: gradient W1"]).max() > 0


def test_loss_of_two_layers_is_that_of_the_equations() -> None:
    setting = by_hand.Setting(V=7, H=5, B=3, T=4, layers=2, dtype="float64")
    P, H = by_hand.initial_parameters(setting), setting.H
    ids, targets = by_hand.batches(setting, 1)[0]
    xs = np.eye(setting.V)[ids]
    for k in ("", "1"):
        h, C, hs = np.zeros((3, H)), np.zeros((3, H)), []
        for x in xs:
            a = x @ P[f"U{k}"] + h @ P[f"W{k}"] + P[f"b{k}"]
            f, i, o = np.split(1 / (1 + np.exp(-a[:, : 3 * H])), 3, axis=1)
            C = f * C + i * np.tanh(a[:, 3 * H :])
            h = o * np.tanh(C)
            hs.append(h)
        xs = np.stack(hs)
    logits = xs @ P["V_out"] + P["c"]
    of_targets = np.take_along_axis(logits, targets[..., None], axis=2)[..., 0]
    expected = (np.log(np.exp(logits).sum(2)) - of_targets).mean()
    assert language_model.Minigrad(setting, P).step(ids, targets) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("row", scaling.GROWTHS)
def test_growing_models_agree_at_the_two_smallest_sizes(row: str) -> None:
    size, _, differing = scaling.GROWTHS[row]
    setting = replace(by_hand.Setting(V=7, H=5, B=3, T=4), **differing)
    present = [name for name in main.rows(setting)[row].frameworks if main.installed(name)]
    values = ((5, 2, 1, 3), (6, 3, 2, 4), (9, 999, 999, 999)) if row == "sizes" else (1, 2, 1000)
    answers = {name: scaling.Growth(name, setting, size, values).check() for name in present}
    workers.check_agreement(answers)
    assert {what.split(", float")[0] for what in answers["minigrad"]} == set(
        scaling.Growth("minigrad", setting, size, values[:2]).settings
    )


@pytest.mark.parametrize("row", scaling.GROWTHS)
def test_only_what_the_row_names_grows(row: str) -> None:
    framework, setting = "minigrad", by_hand.Setting(H=24, T=6)
    table = main.rows(setting)[row]
    size, values, differing = scaling.GROWTHS[row]
    settings = scaling.Growth(framework, *table.arguments).settings
    if row == "sizes":
        assert [(s.V, s.H, s.B, s.T) for s in settings.values()] == list(by_hand.SIZES)
    else:
        assert settings == {f"{size}={value}": replace(setting, **differing | {size: value}) for value in values}
    assert "numpy" in table.frameworks or row == "depths"


def test_growth_measures_time_and_the_memory_added_since_before_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([10, 15, 11, 14, 20, 29, 21, 26])  # MiB: before, most at first, now, most in a step
    monkeypatch.setattr(scaling, "_memory", lambda key, reset=False: next(readings))
    measured = scaling.Growth("minigrad compiled", by_hand.Setting(V=7, H=5, B=1), "T", (2, 4)).measure()
    times = {name: measured.pop(name) for name in ("T=2", "T=4")}
    assert all(time > 0 for time in times.values())
    assert measured == {"T=2 first peak": 5, "T=2 peak": 4, "T=4 first peak": 9, "T=4 peak": 6}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux's /proc")
def test_peak_memory_holds_what_was_freed_again_but_not_what_was_before() -> None:
    kept = []
    for _ in range(2):  # the second time it is not hidden by memory that the first left behind
        before = scaling._memory("VmRSS", reset=True)
        blocks = [np.ones(8192) for _ in range(512)]  # 32 MiB in blocks that malloc keeps, since
        kept.append(np.ones(8192))  # the last one is not freed
        del blocks
        assert 28 < scaling._memory("VmHWM") - before < 48
