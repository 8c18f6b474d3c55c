"""What the strategies draw lies where they say; arguments that cannot be are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import (
    arrays,
    away_from,
    cells,
    check_cell,
    check_grad,
    check_jvp,
    check_primitive,
    check_vjp,
    probabilities,
    same,
    sequences,
)

SEARCH = settings(max_examples=1000, database=None, phases=[Phase.generate])


def smallest(strategy: Any, condition: Any = lambda x: True) -> Any:
    return find(strategy, condition, settings=settings(SEARCH, phases=[Phase.generate, Phase.shrink]))


@pytest.mark.parametrize("bound", [0.29, 0.57, 1.1, 1.15, -0.29, -4.35])
def test_both_bounds_occur_though_a_hundred_times_them_is_rounded(bound: float) -> None:
    assert smallest(arrays((1,), low=bound, high=bound)) == bound
    assert smallest(arrays((), bound - 1, bound), lambda x: x == bound) == bound
    assert smallest(arrays((), bound, bound + 1), lambda x: x == bound) == bound
    assert smallest(away_from(bound + 1, (1,), low=bound, high=bound)) == bound


@pytest.mark.parametrize("multiple", [1.87, 0.67, -0.17])
def test_no_multiple_beyond_a_bound_next_to_it_is_drawn(multiple: float) -> None:
    below, above = np.nextafter(multiple, -9), np.nextafter(multiple, 9)
    with pytest.raises(ValueError, match="hold no multiple"):
        arrays((), below, below)
    with pytest.raises(ValueError, match="hold no multiple"):
        arrays((), above, above)


@given(
    arrays((3,), low=0.5, high=2.5, dtype=np.int32),
    arrays((3,), dtype=np.uint8),
    arrays((3,), dtype=bool),
    away_from(0, (3,), gap=1, dtype=np.int64),
)
def test_integers_and_booleans_are_within_the_bounds_and_away_from_kinks(k: Any, u: Any, b: Any, a: Any) -> None:
    assert (k.dtype, u.dtype, b.dtype, a.dtype) == (np.int32, np.uint8, bool, np.int64)
    assert set(k.tolist()) <= {1, 2}
    assert set(u.tolist()) <= {0, 1, 2}
    assert set(a.tolist()) <= {-2, -1, 1, 2}


@given(away_from([0.0, 1e6], (2,), gap=10.0, low=-1e9, high=1e9))
def test_there_may_be_much_room_between_kinks(x: np.ndarray) -> None:
    assert (np.abs(x) >= 10).all()
    assert (np.abs(x - 1e6) >= 10 - 1e-9).all()
    assert (np.abs(x) <= 1e9).all()


def test_what_is_drawn_away_from_kinks_shrinks_towards_0() -> None:
    assert smallest(away_from([0.0, 1.0], ())) == 0.1
    assert smallest(away_from([0.0, 1.0], ()), lambda x: x > 0.5) == 0.51
    assert smallest(away_from([0.0, 1.0], ()), lambda x: x < 0) == -0.1


REFUSED: dict[str, Any] = {
    "arrays: low must be a number": lambda: arrays(low="1"),
    "arrays: low = -inf and high = 2.0 must lie within": lambda: arrays(low=-np.inf),
    "arrays: low = nan and high = 2.0 must lie within": lambda: arrays(low=np.nan),
    "arrays: low = 2.0 and high = 1.0 must lie within": lambda: arrays(low=2.0, high=1.0),
    "low = -2.0 and high = 1e[+]30 must lie within": lambda: arrays(high=1e30),
    "must lie within ±6.55e[+]04": lambda: arrays(high=1e5, dtype=np.float16),
    "arrays: low = 300 and high = 400 hold no uint8": lambda: arrays(low=300, high=400, dtype=np.uint8),
    "low = 0.2 and high = 0.8 hold no integer": lambda: arrays(low=0.2, high=0.8, dtype=int),
    "dtype must be one of real numbers": lambda: arrays(dtype=complex),
    "shape must be integers, .* got [(]2.0,[)]": lambda: arrays((2.0,)),
    "shape must be integers, .* got 'ab'": lambda: arrays("ab"),
    "shape must be of integers of at least 0": lambda: arrays((2, -1)),
    "away_from: kinks must be a number, got 'a'": lambda: away_from("a"),
    "away_from: kinks must be finite": lambda: away_from([0.0, np.nan]),
    "probabilities: axis must be an integer, got None": lambda: probabilities((2, 3), axis=None),
    "probabilities: shape [(]2, 3[)] has no axis 2": lambda: smallest(probabilities((2, 3), axis=2)),
    "sequences: lengths must be a strategy": lambda: smallest(sequences(lengths=3)),
    "sequences: features must be a strategy": lambda: smallest(sequences(features=3)),
    "cells: factory must be a function": lambda: smallest(cells(nn.RNNCell(2, 3, rng=0))),
    "cells: factory .* got int 3": lambda: smallest(cells(3)),
    "cells: .* with initial_state": lambda: smallest(cells(lambda I, H: lambda x, h: (h, h))),
}


@pytest.mark.parametrize("message", REFUSED)
def test_an_argument_of_a_strategy_that_cannot_be_is_named(message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        REFUSED[message]()


def test_a_shape_that_was_refused_leaves_no_trace_on_an_equal_one() -> None:
    with pytest.raises(TypeError, match="shape must be integers"):
        smallest(arrays(st.just((7.0,))))
    assert smallest(arrays((7,))).shape == (7,)
    assert smallest(arrays(7)).shape == (7,)


class Counting(nn.Cell):
    """A cell that counts steps and remembers whether one was positive."""

    def __init__(self, I: int, H: int) -> None:
        self.cell, self.H = nn.RNNCell(I, H, rng=0), H

    def initial_state(self, B: int) -> Any:
        return self.cell.initial_state(B), mg.tensor(np.full(B, 3)), mg.tensor(np.zeros(B, bool))

    def step(self, x: Any, state: Any) -> Any:
        h, n, seen = state
        y, h = self.cell(x, h)
        return y, (h, n + 1, mg.logical_or(seen, h[:, 0] > 0))


@settings(max_examples=3)
@given(cells(Counting))
def test_integers_and_booleans_of_a_drawn_state_are_the_initial_ones(case: Any) -> None:
    h, n, seen = case.state
    assert (h.dtype, n.data.tolist(), seen.dtype) == (np.float64, [3] * len(n), bool)
    _, (state,) = nn.Recurrent(case.cell)(case.xs, (case.state,))
    assert state[1].data.tolist() == [3 + len(case.xs)] * len(n)


X = np.array([0.3, -1.0])
CHECKERS: dict[str, Any] = {
    "check_grad": lambda **options: check_grad(mg.sin, X, **options),
    "check_vjp": lambda **options: check_vjp(np.sin, lambda g, x: g * np.cos(x), X, **options),
    "check_jvp": lambda **options: check_jvp(np.sin, lambda v, x: v * np.cos(x), X, **options),
    "check_primitive": lambda **options: check_primitive(mg.sin, X, **options),
    "check_cell": lambda **options: check_cell(nn.RNNCell, **options),
}


@pytest.mark.parametrize("check", CHECKERS.values(), ids=CHECKERS)
def test_seeds_and_flags_are_refused_by_name(check: Any) -> None:
    with pytest.raises(TypeError, match="seed must be an integer of at least 0, got 'a'"):
        check(seed="a")
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        check(seed=-1)
    with pytest.raises(TypeError, match="copies must be True or False, got 'no'"):
        check(copies="no")


def test_sizes_and_flags_of_a_cell_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"check_cell: B must be an integer, got 1\.5"):
        check_cell(nn.RNNCell, B=1.5)
    with pytest.raises(TypeError, match="check_cell: integers must be True or False, got 'yes'"):
        check_cell(nn.RNNCell, integers="yes")
    with pytest.raises(TypeError, match="seed must be an integer"):
        same(nn.RNN(2, 3, rng=0), lambda xs: xs, seed="a", allow_zero=True)
