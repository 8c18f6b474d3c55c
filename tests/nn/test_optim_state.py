"""What an optimiser remembers: saved, loaded, refused."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_groups import pair, steps
from test_optim import MOMENTUM, each_case, each_kind, set_grad

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


@pytest.mark.parametrize(
    ("kind", "options", "slots"),
    [(nn.SGD, {}, ""), (nn.SGD, {"momentum": 0.9}, "v"), (nn.RMSprop, {}, "s"), (nn.RMSprop, {"centered": True}, "s m"),
     (nn.RMSprop, {"momentum": 0.9, "centered": True}, "s m v"), (nn.Adam, {}, "m v"),
     (nn.Adam, {"amsgrad": True}, "m v v_max")],
    ids=str,
)  # fmt: skip
def test_what_an_option_does_not_need_is_not_remembered(kind: Any, options: Any, slots: str) -> None:
    state = kind([nn.parameter(np.ones(2))], lr=0.1, **options).state_dict()
    assert set(state) == {"steps", "updates", *(f"{slot}.0" for slot in slots.split())}


# --- of groups and schedules ------------------------------------------------------------------------------------------


@each_kind
def test_with_names_a_state_fits_whatever_groups_there_are(kind: Any, tmp_path: Any) -> None:
    def made(order: slice) -> Any:
        net = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1))  # equal shapes: positions could be swapped
        groups = [{"params": layer.parameters()} for layer in net.layers][order]
        return net, kind(groups, lr=0.1, **MOMENTUM.get(kind, {}))

    net, optimizer = made(slice(None))
    steps(optimizer, net.parameters(), range(3))
    nn.save(tmp_path / "run.npz", {"net": net, "optimizer": optimizer.state_dict(net.named_parameters())})
    steps(optimizer, net.parameters(), range(3, 6))
    arrays, _ = nn.load(tmp_path / "run.npz")
    other, resumed = made(slice(None, None, -1))
    other.load_state_dict({n.removeprefix("net."): a for n, a in arrays.items() if n.startswith("net.")})
    state = {n.removeprefix("optimizer."): a for n, a in arrays.items() if n.startswith("optimizer.")}
    resumed.load_state_dict(state, other.named_parameters())
    steps(resumed, other.parameters(), range(3, 6))
    for p, q in zip(net.parameters(), other.parameters()):
        np.testing.assert_array_equal(p.data, q.data)


def test_names_that_are_missing_or_given_twice_are_refused() -> None:
    a, b = pair()
    optimizer = nn.Adam([a, b])
    with pytest.raises(ValueError, match=r"names: parameter 1 of shape \(3,\) has none"):
        optimizer.state_dict([("a", a)])
    with pytest.raises(ValueError, match="names: two parameters are called 'W'"):
        optimizer.state_dict([("W", a), ("W", b)])
    with pytest.raises(ValueError, match=r"(?s)missing: updates\.a.*unexpected: updates"):
        optimizer.load_state_dict(optimizer.state_dict(), [("a", a), ("b", b)])


def test_what_a_plateau_remembers_is_saved_and_resumed_with_the_optimiser(tmp_path: Any) -> None:
    losses = [3.0, 2.0, 2.5, 2.4, 2.3, 2.2, 2.1, 2.1, 2.1]

    def made() -> Any:
        a, b = pair()
        own = nn.plateau_decay(0.2, factor=0.5, patience=0)
        shared = nn.plateau_decay(0.1, factor=0.5, patience=1, cooldown=1)
        return nn.SGD([{"params": [a]}, {"params": [b], "lr": own}], shared), shared, own

    def rates(run: Any, values: list[float]) -> list[list[float]]:
        optimizer, *plateaus = run
        seen = []
        for value in values:
            for plateau in plateaus:
                plateau.update(value)
            optimizer.step()
            seen.append([group.rate for group in optimizer.groups])
        return seen

    whole, half = made(), made()
    expected = rates(whole, losses)
    assert rates(half, losses[:4]) == expected[:4]
    nn.save(tmp_path / "state.npz", half[0].state_dict())
    resumed = made()
    resumed[0].load_state_dict(nn.load(tmp_path / "state.npz")[0])
    assert rates(resumed, losses[4:]) == expected[4:]
    assert len({tuple(pair) for pair in expected}) > 3
    with pytest.raises(ValueError, match=r"missing: lr\.best"):
        resumed[0].load_state_dict({"steps": np.array(0), "updates": np.array([0, 0])})


def test_a_plateau_that_two_groups_share_is_saved_once() -> None:
    a, b = pair()
    plateau = nn.plateau_decay(0.2)
    optimizer = nn.SGD([{"params": [a], "lr": plateau}, {"params": [b], "lr": plateau}], 0.1)
    assert sorted(n for n in optimizer.state_dict() if "lr." in n) == [
        f"group.0.lr.{word}" for word in ("bad", "best", "reductions", "resting")
    ]


SCHEDULES: dict[str, Callable[[], Any]] = {
    "step_decay": lambda: nn.step_decay(0.1, every=2),
    "exponential_decay": lambda: nn.exponential_decay(0.1, 0.5),
    "cosine_decay": lambda: nn.cosine_decay(0.1, total=9, warmup=2, final=0.01),
    "one_cycle": lambda: nn.one_cycle(0.1, total=9, three_phase=True),
    "one_cycle, linear": lambda: nn.one_cycle(0.1, total=9, anneal="linear"),
    "lambda_decay of a function of a module": lambda: nn.lambda_decay(0.1, math.exp),
    "plateau_decay": lambda: nn.plateau_decay(0.1, factor=0.5, patience=0),
    "plateau_decay, of the largest": lambda: nn.plateau_decay(0.1, mode="max", threshold_mode="abs", patience=0),
}


@pytest.mark.parametrize("again", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_copied_or_pickled_optimiser_with_a_schedule_goes_on_as_the_original(schedule: str, again: Any) -> None:
    rate = SCHEDULES[schedule]()
    original = nn.Adam([nn.parameter([1.0, 2.0])], lr=rate)
    if isinstance(rate, nn.schedules.Plateau):
        for value in (1.0, 1.0):
            rate.update(value)
    for _ in range(3):
        original.params[0].grad = np.array([1.0, -1.0])
        original.step()
    alike = again(original)
    for _ in range(4):
        for optimizer in (original, alike):
            optimizer.params[0].grad = np.array([0.5, 2.0])
            optimizer.step()
        assert alike.rate == original.rate
    assert alike.params[0] is not original.params[0]
    np.testing.assert_array_equal(alike.params[0].data, original.params[0].data)
