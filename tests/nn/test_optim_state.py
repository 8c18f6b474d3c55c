"""What an optimiser remembers: saved, loaded, refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_optim import each_case, each_kind, set_grad

import minigrad as mg
import nn


def train(optimiser: Any, p: mg.Tensor, seeds: range) -> None:
    for seed in seeds:
        set_grad(p, np.random.default_rng(seed).standard_normal(p.shape))
        optimiser.step()


@each_case
def test_training_goes_on_bit_for_bit_from_a_loaded_state(kind: Any, equation: Any, options: Any) -> None:
    options = options | {"lr": lambda n: 0.1 / (n + 1)}  # the count of steps is part of the state
    p, q = nn.parameter(np.ones(5, np.float32)), nn.parameter(np.zeros(5, np.float32))
    whole = kind([p], **options)
    train(whole, p, range(3))
    state = whole.state_dict()
    q.data = p.data
    train(whole, p, range(3, 6))  # must not change the state that was taken before
    half = kind([q], **options)
    half.load_state_dict(state)
    train(half, q, range(3, 6))
    np.testing.assert_array_equal(p.data, q.data)
    assert half.steps == whole.steps == 6
    for name, value in half.state_dict().items():
        np.testing.assert_array_equal(value, whole.state_dict()[name])


@each_kind
def test_a_state_goes_through_a_file(kind: Any, tmp_path: Any) -> None:
    p = nn.parameter(np.ones(5, np.float32))
    optimiser = kind([p], lr=0.1)
    train(optimiser, p, range(2))
    nn.save(tmp_path / "state.npz", optimiser.state_dict())
    again = kind([p], lr=0.1)
    again.load_state_dict(nn.load(tmp_path / "state.npz")[0])
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, optimiser.state_dict()[name])


def test_a_loaded_state_is_copied() -> None:
    p = nn.parameter(np.ones(2))
    optimiser = nn.SGD([p], 0.1, momentum=0.5)
    state = optimiser.state_dict()
    optimiser.load_state_dict(state)
    train(optimiser, p, range(1))
    assert not state["v.0"].any()


FAULTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "missing: v.0": lambda s: s.pop("v.0"),
    "missing: steps": lambda s: s.pop("steps"),
    "unexpected: v.1": lambda s: s.update({"v.1": np.zeros(2)}),
    "mismatched: v.0.*(3,)": lambda s: s.update({"v.0": np.zeros(3)}),
    "mismatched: v.0.*float32": lambda s: s.update({"v.0": np.zeros(2, np.float32)}),
    "mismatched: v.0.*U1": lambda s: s.update({"v.0": np.array(["x", "y"])}),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_state_of_another_optimiser_raises_and_changes_nothing(message: str) -> None:
    p = nn.parameter(np.ones(2))
    optimiser = nn.Adam([p], 0.1)
    train(optimiser, p, range(2))
    before = optimiser.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    FAULTS[message](state)
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        optimiser.load_state_dict(state)
    for name, value in optimiser.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_all_faults_of_a_state_are_listed_at_once() -> None:
    optimiser = nn.Adam([nn.parameter(np.ones(2))])
    with pytest.raises(ValueError, match=r"(?s)missing: .*missing: .*unexpected: q"):
        optimiser.load_state_dict({"q": 1, "steps": 0})
