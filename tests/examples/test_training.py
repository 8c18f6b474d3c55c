"""What all examples share of training: it ends when it diverges, keeps the best weights, and overwrites nothing."""

from __future__ import annotations

import importlib
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn
from examples import common, long_memory, sentiment, video_classification
from examples.training import RECENT, DivergenceError, Watch, shared_out

OPTIONS = Namespace(lr=0.25, clip=1.0)


def watch(**options: Any) -> Watch:
    return Watch(nn.Linear(2, 1, rng=0), 2.0, OPTIONS, **options)


def see(losses: list[float], validations: tuple[float, ...] = (), **options: Any) -> Watch:
    """The watch over a training with these losses of steps, and these validations at its end."""
    with watch(**options) as seen:
        for loss in losses:
            seen.loss(loss)
        for loss in validations:
            seen.validated(loss)
    return seen


def leave_nan(what: str) -> None:
    """A step after which this (data or grad) of the bias is NaN; gradients are clipped."""
    with watch() as seen:
        seen.loss(1.0)
        setattr(seen.model.b, what, np.full(1, np.nan, np.float32))
        nn.clip_grad_norm(seen.model.parameters(), 1.0)


# --- divergence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training_and_is_named(value: float) -> None:
    with pytest.raises(DivergenceError) as raised:
        see([1.5, value, 1.5], name="GRU")
    assert str(raised.value) == (
        f"training diverged at step 2 (GRU): the loss is {value}, a guess has 2; try a smaller --lr than 0.25, "
        "or clip by a smaller --clip"
    )


def test_weights_that_stay_as_they_are_have_not_diverged_where_the_first_batch_was_an_easy_one() -> None:
    see([5.0] + [6.0, 7.5] * RECENT)
    with pytest.raises(DivergenceError, match="the loss is 8"):
        see([5.0] + [8.0] * RECENT)
    with pytest.raises(DivergenceError, match=r"the loss is 2\.7"):
        see([2.5] + [2.7] * RECENT)


def test_a_loss_far_above_its_baseline_for_some_steps_ends_training() -> None:
    with pytest.raises(DivergenceError, match=r"at step 21: the loss is 20\.01, a guess has 2;"):
        see([1.0] + [20.01] * 2 * RECENT)


def test_peaks_from_which_training_comes_back_do_not_end_it() -> None:
    see([1.0] * RECENT + [300.0] + [1.0] * RECENT + [15.0] * 2 * RECENT + [1.0] * RECENT)


def test_the_first_loss_is_the_baseline_where_it_is_larger_than_a_guess() -> None:
    see([30.0] * 2 * RECENT)  # as bad as it was, like a sum that starts from 0


@pytest.mark.parametrize(("steps", "last"), [(2, 2.6), (100, 2.2)])
def test_training_that_ends_above_its_baseline_is_of_no_use(steps: int, last: float) -> None:
    see([2.0] * steps)
    with pytest.raises(DivergenceError, match=rf"at step {steps}: the loss is {last}"):
        see([2.0] + [last] * (steps - 1))


def test_a_step_that_leaves_weights_that_are_not_finite_is_named() -> None:
    with pytest.raises(DivergenceError, match="at step 1: the weights b are not finite, a guess has 2"):
        leave_nan("data")


def test_a_gradient_that_is_not_finite_is_named() -> None:
    with pytest.raises(DivergenceError, match="at step 1: clip_grad_norm: the gradient's norm is nan, a guess has 2"):
        leave_nan("grad")


def test_what_is_there_to_explode_ends_by_what_is_not_finite_only() -> None:
    see([1e30] * 2 * RECENT, may_explode=True)
    with pytest.raises(DivergenceError):
        see([1e30, math.inf], may_explode=True)


def test_other_exceptions_pass_and_overflow_warns_again_after_training() -> None:
    def stop() -> None:
        with watch():
            np.float32(1e38) * np.float32(10)  # no warning
            raise KeyError

    with pytest.raises(KeyError):
        stop()
    with pytest.warns(RuntimeWarning, match="overflow"):
        np.float32(1e38) * np.float32(10)


# --- the best weights -----------------------------------------------------------------------------------------------


def test_the_weights_that_were_validated_best_are_kept() -> None:
    with watch() as seen:
        for value, loss in ((1, 0.9), (2, 0.4), (3, 0.5)):
            seen.loss(1.0)
            seen.model.b.data = np.full(1, value, np.float32)
            seen.validated(loss)
    assert seen.model.b.data == 3
    seen.use_best()
    assert seen.model.b.data == 2


def test_without_a_validation_the_last_weights_stay() -> None:
    seen = watch()
    before = seen.model.state_dict()
    seen.use_best()
    assert all(np.array_equal(a, before[name]) for name, a in seen.model.state_dict().items())


def test_a_validation_that_is_not_finite_or_never_good_ends_training() -> None:
    with pytest.raises(DivergenceError, match="the validation loss is nan"):
        see([2.0], (1.0, math.nan))
    with pytest.raises(DivergenceError, match="the loss is 874"):
        see([2.0], (874.0,))
    see([2.0], (1.0, 874.0))  # learnt by heart: what was best is of use


# --- the examples ---------------------------------------------------------------------------------------------------

SMALL = {
    "custom_cell": "--length 4 --hidden 4",
    "image_captioning": "--quick --hidden 8",
    "image_classification": "--quick --hidden 8",
    "length_generalisation": "--quick --hidden 8",
    "long_memory": "--quick --hidden 4 --lengths 2 --delays 0",
    "polyphonic_music": "--quick --hidden 8",
    "sentiment": "--quick --hidden 8",
    "translation": "--numbers 300 --hidden 8",
    "video_classification": "--quick --hidden 8",
}


@pytest.mark.parametrize(("name", "options"), SMALL.items())
def test_a_rate_that_is_too_high_ends_each_example_and_earlier_results_stay(
    name: str, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = importlib.import_module(f"examples.{name}")
    for part in QUICKER:  # what takes its time
        if part in vars(example):
            monkeypatch.setattr(example, part, QUICKER[part])
    clips, clip = set(), nn.clip_grad_norm
    monkeypatch.setattr(nn, "clip_grad_norm", lambda params, most: clips.add(most) or clip(params, most))
    (tmp_path / "result.json").write_text("of an earlier run")
    out = [] if name == "custom_cell" else ["--out", str(tmp_path)]
    assert example.main([*options.split(), "--lr", "50", "--clip", "0.5", *out]) == 2
    assert clips == {0.5}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: training diverged at step ")
    assert ": the loss is " in line
    assert " has " in line
    assert "try a smaller --lr than 50, or clip" in line
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert (tmp_path / "result.json").read_text() == "of an earlier run"


def few_scenes(layouts: Any, digits: Any, labels: Any, count: int, rng: Any) -> Any:
    return np.ones((100, 27, 27), np.float32) * rng.random((100, 27, 27), np.float32), ["a one above a two"] * 100


QUICKER: dict[str, Any] = {
    "check": lambda kind: None,
    "gradient_norms": lambda network, rng: np.ones(long_memory.LAGS + 1),
    "bags_of_words": lambda *data: {},
    "logistic_regression": lambda *data: np.zeros((1, 20)),
    "scenes": few_scenes,
    "moving_digits": lambda some, count, rng, made=video_classification.moving_digits: made(some, count // 20, rng),
    "generated": lambda count, rng, made=sentiment.generated: made(count // 20, rng),
}


def test_a_network_that_is_not_clipped_may_explode_beside_others(tmp_path: Path) -> None:
    progress, o = common.Progress(quiet=True), Namespace(seed=0, hidden=4, steps=40, lr=1.0, clip=1.0)
    _, errors = long_memory.train("adding", 50, f"RNN, identity{long_memory.UNCLIPPED}", o, progress, 0)
    assert np.isfinite(errors).all()
    with pytest.raises(DivergenceError):
        long_memory.train("adding", 50, "RNN", Namespace(**{**vars(o), "lr": 50.0}), progress, 0)


# --- files of earlier runs ------------------------------------------------------------------------------------------


@given(n=st.integers(0, 9), size=st.integers(1, 4), counted=st.booleans())
def test_what_ranks_share_out_is_what_one_finds_and_each_does_its_part_once(n: int, size: int, counted: bool) -> None:
    some: Any = n if counted else [f"item {k}" for k in range(n)]
    world, seen = nn.distributed.Ranks(), list[Any]()

    def evaluate(mine: Any) -> list[str]:
        assert len(mine)  # a rank without a part is not asked
        seen.extend(mine)
        return [f"found in {item}" for item in mine]

    def gather(part: Any) -> list[Any]:
        parts.append(part)
        return parts

    world.size, world.gather, parts = size, gather, list[Any]()  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.distributed, "world", lambda: world)
        for rank in range(size):
            world.rank = rank
            found = shared_out(some, evaluate)
    assert found == [f"found in {item}" for item in (range(n) if counted else some)]
    assert seen == list(range(n) if counted else some)


def test_results_that_differ_are_set_aside_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "result.json"
    for value in (1, 1, 2, 3):
        common.write_json(path, value)
    assert {file.name: file.read_text().strip() for file in tmp_path.iterdir()} == {
        "result.json": "3",
        "previous.result.json": "1",
        "previous-2.result.json": "2",
    }
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{path} of an earlier run is now {path.with_name(name)}"
                    for name in ("previous.result.json", "previous-2.result.json")]  # fmt: skip


def test_figures_are_valid_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        common.write_json(tmp_path / "result.json", math.nan)
    assert not list(tmp_path.iterdir())
