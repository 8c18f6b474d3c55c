"""check_cell on cells that do not fit: random ones, counters in the state, inputs that are no rows, functions."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.testing import GradientError, check_cell

XS = np.random.default_rng(0).standard_normal((3, 2, 4))
around = np.random.default_rng(1)


class Base(nn.Cell):
    def __init__(self, I: int, H: int) -> None:
        self.H = H
        self.inside = nn.Linear(I + H, H, rng=0)
        self.rng = np.random.default_rng(0)

    def noise(self, h: Any) -> Any:
        raise NotImplementedError

    def step(self, x: Any, h: Any) -> Any:
        h = mg.tanh(self.inside(mg.concatenate([x, h], axis=1)))
        h = h * np.asarray(self.noise(h), h.dtype)
        return h, h


class Held(Base):
    def noise(self, h: Any) -> Any:
        return 1 + 0.1 * self.rng.standard_normal(h.shape)


class Legacy(Base):
    def noise(self, h: Any) -> Any:
        return 1 + 0.1 * np.random.standard_normal(h.shape)


class Plain(Base):
    def noise(self, h: Any) -> Any:
        return [[1 + 0.1 * random.random()] * h.shape[1] for _ in range(len(h))]


class Around(Base):
    def step(self, x: Any, h: Any) -> Any:
        h = mg.tanh(self.inside(mg.concatenate([x, h], axis=1)))
        h = h * around.uniform(0.9, 1.1, h.shape).astype(h.dtype)
        return h, h


class AroundElsewhere(Base):
    """Its generators are seen by other methods than those that are called from outside."""

    rng = np.random.default_rng(2)

    def __init__(self, I: int, H: int) -> None:
        super().__init__(I, H)
        del self.rng

    def noise(self, h: Any, last: Any = np.random.default_rng(3)) -> Any:  # noqa: B008
        return 1 + 0.1 * (self.rng.random(h.shape) + last.random(h.shape) + around.random(h.shape))


class Dropped(Base):
    def __init__(self, I: int, H: int) -> None:
        super().__init__(I, H)
        self.dropout = nn.Dropout(0.3, 0)

    def project(self, xs: Any) -> Any:
        return self.dropout(xs)

    def noise(self, h: Any) -> Any:
        return 1 + 0.1 * self.rng.standard_normal(h.shape)


@pytest.mark.parametrize("cell", [Held, Legacy, Plain, Around, AroundElsewhere, Dropped])
def test_a_cell_that_draws_random_numbers_draws_the_same_in_every_run(cell: Any) -> None:
    check_cell(cell, order=2 if cell is Held else 1)


def test_generators_of_the_program_are_put_back() -> None:
    before = np.random.get_state()[1:3], random.getstate()
    check_cell(Legacy, order=1)
    check_cell(Plain, order=1)
    after = np.random.get_state()[1:3], random.getstate()
    assert before[0][1] == after[0][1]
    assert before[1] == after[1]


class Doubled(Held):
    double = mg.primitive(np.tanh, lambda g, y, x: 2 * g * (1 - y * y), name="doubled")

    def step(self, x: Any, h: Any) -> Any:
        h, _ = super().step(x, h)
        h = Doubled.double(h)
        return h, h


class Mixing(Held):
    def step(self, x: Any, h: Any) -> Any:
        h, _ = super().step(x, h)
        h = h + 0.1 * mg.mean(h, axis=0, keepdims=True)
        return h, h


class Peeking(Held):
    """Reads its inputs from the end of the whole sequence."""

    def project(self, xs: Any) -> Any:
        return mg.flip(xs, 0) if xs.ndim == 3 else xs


class Remembering(Held):
    def __init__(self, I: int, H: int) -> None:
        super().__init__(I, H)
        self.calls = [0]

    def noise(self, h: Any) -> Any:
        self.calls[0] += 1
        return super().noise(h) + self.calls[0]


class Unseen(Base):
    def noise(self, h: Any) -> Any:
        return 1 + 0.1 * np.random.default_rng().standard_normal(h.shape)


WRONG_AND_RANDOM = {
    Doubled: "to blame: .* `doubled` at time step 0",
    Mixing: "row 0 of a batch of 2 and the same row with other rows differ; rows mix",
    Peeking: "cut after|frozen after",
    Remembering: "two runs from the same state differ; does the cell keep state",
    Unseen: "hold its random generator as an attribute",
}


@pytest.mark.parametrize("cell", WRONG_AND_RANDOM, ids=lambda cell: cell.__name__)
def test_a_random_cell_that_is_wrong_is_refused_with_the_reason(cell: Any) -> None:
    with pytest.raises(GradientError, match=WRONG_AND_RANDOM[cell]):
        check_cell(cell)


# --- counters --------------------------------------------------------------------------------------------------------


class Counting(nn.Cell):
    """Every second step is skipped, by a counter for each row; `seen` tells which rows began."""

    step_size = 1

    def __init__(self, I: int, H: int) -> None:
        self.H, self.inside = H, nn.Linear(I + H, H, rng=0)

    def initial_state(self, B: int) -> Any:
        return {
            "h": super().initial_state(B),
            "n": mg.tensor(np.zeros((B, 1), np.int64)),
            "seen": mg.tensor(np.zeros(B, bool)),
        }

    def step(self, x: Any, state: Any) -> Any:
        h, n = state["h"], state["n"].data
        new = mg.tanh(self.inside(mg.concatenate([x, h], axis=1)))
        h = mg.where(n % 2 == 0, new, h)
        return h, {"h": h, "n": mg.tensor(n + self.step_size), "seen": mg.tensor(np.ones(len(n), bool))}


class Restless(Counting):
    def step(self, x: Any, state: Any) -> Any:
        y, state = super().step(x, state)
        return y, state | {"n": state["n"].astype(np.int32)}


class Crowd(Counting):
    def step(self, x: Any, state: Any) -> Any:
        y, state = super().step(x, state)
        return y, state | {"n": mg.tensor(state["n"].data + len(state["n"].data))}


def test_integers_in_the_state_are_kept_and_have_no_gradient() -> None:
    check_cell(Counting)
    counts = set()

    class Noting(Counting):
        def step(self, x: Any, state: Any) -> Any:
            counts.update(state["n"].data.ravel().tolist())
            return super().step(x, state)

    check_cell(Noting, order=1)
    assert counts == {0, 1, 2}  # nothing was added to the initial ones, as it is to floats


def test_a_comparison_in_the_state_is_made_a_tensor_as_in_a_network() -> None:
    class Flagged(nn.RNNCell):
        def initial_state(self, B: int) -> Any:
            return {"h": super().initial_state(B), "above": mg.tensor(np.zeros(B, bool))}

        def step(self, x: Any, state: Any) -> Any:
            h, _ = super().step(x, state["h"])
            return h, {"h": h, "above": (h > 0).any(axis=1) | state["above"].data}

    check_cell(Flagged, order=1)


def test_integers_in_the_state_that_change_or_mix_are_refused() -> None:
    with pytest.raises(GradientError, match=r"turns state\['n'\] from .* int64 into .* int32"):
        check_cell(Restless)
    with pytest.raises(GradientError, match="rows mix"):
        check_cell(Crowd)


# --- inputs ----------------------------------------------------------------------------------------------------------


class Images(nn.Cell):
    def __init__(self, scale: float = 1.0) -> None:
        self.conv, self.scale = nn.Conv2d(1 + 2, 2, 3, padding=1, rng=0), scale

    def initial_state(self, B: int) -> Any:
        return mg.tensor(np.zeros((B, 2, 3, 2), np.float32))

    def step(self, x: Any, h: Any) -> Any:
        h = mg.tanh(self.conv(mg.concatenate([x, h], axis=1)))
        return h, h


class Several(nn.Cell):
    """Two sequences, one of them of integers, in a dict or a tuple."""

    def __init__(self, I: int, H: int, broken: bool = False) -> None:
        self.H, self.inside, self.rows = H, nn.Linear(2 + H, H, rng=0), nn.Embedding(5, H, rng=1)
        self.broken = broken

    def step(self, x: Any, h: Any) -> Any:
        a, k = (x["a"], x["k"]) if isinstance(x, dict) else x
        if self.broken:
            a = a.detach()
        h = mg.tanh(self.inside(mg.concatenate([a, h], axis=1)) + self.rows(k))
        return h, h


SEVERAL = {"a": XS[..., :2], "k": np.arange(6).reshape(3, 2) % 5}


def test_inputs_may_be_images() -> None:
    check_cell(lambda I, H: Images(), inputs=XS[..., None, :3, None] * np.ones((1, 1, 1, 1, 2)), order=1)


@pytest.mark.parametrize("inputs", [SEVERAL, tuple(SEVERAL.values())], ids=["a dict", "a tuple"])
def test_inputs_may_be_trees_of_sequences_some_of_integers(inputs: Any) -> None:
    check_cell(Several, inputs=inputs, order=1)
    with pytest.raises(GradientError, match=r"xs\[.*\], derivative of order 1"):
        check_cell(lambda I, H: Several(I, H, broken=True), inputs=inputs)


def test_inputs_of_other_kinds_are_refused() -> None:
    with pytest.raises(TypeError, match="inputs must be numbers"):
        check_cell(Several, inputs=np.array([["a", "b"]]))


# --- functions -------------------------------------------------------------------------------------------------------


def test_a_function_is_a_cell_whose_state_is_of_size_h() -> None:
    check_cell(lambda I, H: lambda x, h: (h, 0.9 * h + 0.1 * mg.tanh(x)), I=3, H=3)
    broken = mg.primitive(np.tanh, lambda g, y, x: g, name="broken")
    with pytest.raises(GradientError, match=r"to blame: .* `broken` at time step"):
        check_cell(lambda I, H: lambda x, h: (h, 0.9 * h + 0.1 * broken(x)), I=3, H=3)


def test_a_cell_instead_of_its_factory_is_refused_with_what_came_back() -> None:
    with pytest.raises(TypeError, match=r"factory\(I, H\) must return one, and returned a tuple"):
        check_cell(lambda x, h: (h, h))
