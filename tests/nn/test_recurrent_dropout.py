"""Recurrent dropout: for cells that say what it masks, so that no state explodes or vanishes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn

XS = np.random.default_rng(0).standard_normal((5, 3, 2))


def leaky(x: Any, h: Any) -> Any:
    h = 0.9 * h + 0.1 * mg.tanh(x)
    return h, h


class Tupled(nn.Cell):
    H = 2

    def initial_state(self, B: int) -> Any:
        return super().initial_state(B), super().initial_state(B)

    def step(self, x: Any, state: Any) -> Any:
        C, h = state
        return h, (0.5 * C + mg.tanh(x), h)


class OwnGRU(nn.GRUCell):
    """Inherits a `step_masked` that is of another step."""

    def step(self, x: Any, state: Any) -> Any:
        h, _ = super().step(x, state)
        h = h + 0.5 * state
        return h, h


class Residual(nn.RNNCell):
    def step(self, x: Any, state: Any) -> Any:
        h, _ = super().step(x, state)
        return h, h + state


NOT_SAID: dict[str, Any] = {
    "function": lambda: nn.Recurrent(leaky, recurrent_dropout=0.3),
    "function cell": lambda: nn.Recurrent(nn.FunctionCell(leaky), recurrent_dropout=0.3),
    "tuple": lambda: nn.Recurrent(Tupled(), recurrent_dropout=0.3),
    "inherits a GRU": lambda: nn.Recurrent(OwnGRU(2, 3), recurrent_dropout=0.3),
    "inherits an RNN": lambda: nn.Recurrent(Residual(2, 3), recurrent_dropout=0.3),
    "second layer": lambda: nn.Recurrent(nn.GRUCell(2, 3), OwnGRU(3, 3), recurrent_dropout=0.3),
    "other direction": lambda: nn.Recurrent(nn.GRUCell(2, 3), OwnGRU(2, 3), bidirectional=True, recurrent_dropout=0.3),
    "identity": lambda: nn.Recurrent(nn.IRNNCell(2, 3), recurrent_dropout=0.3),
}


@pytest.mark.parametrize("name", NOT_SAID)
def test_recurrent_dropout_of_a_cell_that_does_not_say_what_it_masks_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=r"recurrent_dropout=0\.3(?s:.*)step_masked"):
        NOT_SAID[name]()


def test_recurrent_dropout_that_is_switched_on_later_is_refused_as_well() -> None:
    net = nn.Recurrent(Tupled())
    net.recurrent_dropout.p = 0.5
    with pytest.raises(TypeError, match="step_masked"):
        net(XS)
    net.eval()(XS)


OURS: dict[str, Any] = {
    "RNN": nn.RNNCell, "LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "peephole": nn.PeepholeLSTMCell,
    "coupled": nn.CoupledLSTMCell, "layer norm": nn.LayerNormLSTMCell, "MGU": nn.MGUCell, "leaky": nn.LeakyRNNCell,
    "echo": nn.EchoStateCell, "Elman": lambda I, H, rng: nn.ElmanCell(I, H, 2, rng),
    "projected": lambda I, H, rng: nn.ProjectedLSTMCell(I, H, 2, rng=rng),
    "GRU after": lambda I, H, rng: nn.GRUCell(I, H, rng=rng, reset="after", z="old"),
}  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_recurrent_dropout_of_our_cells_neither_explodes_nor_vanishes(name: str) -> None:
    net = nn.Recurrent(OURS[name](2, 5, rng=0), recurrent_dropout=0.3, rng=0)
    ys, _ = net(np.random.default_rng(0).standard_normal((100, 2, 2)))
    last = np.abs(ys.data[-20:]).max(axis=(0, 1))
    assert (last > 1e-2).all()
    assert (last < 3).all()


def test_a_cell_says_what_is_masked_by_a_method_an_assignment_or_a_function() -> None:
    class Method(Residual):
        def step_masked(self, x: Any, state: Any, mask: Any) -> Any:
            h, _ = nn.RNNCell.step(self, x, state * mask)
            return h, h + state

    class Assigned(nn.RNNCell):
        def step(self, x: Any, state: Any) -> Any:
            return super().step(x, state)

        step_masked = nn.Cell.step_masked

    def masked(x: Any, h: Any, mask: Any) -> Any:
        return leaky(x + h * mask, h)

    kept = (np.random.default_rng(7).random((3, 2), dtype=np.float32) < 0.7) / 0.7
    for cell in (Method(2, 2, rng=0, dtype=np.float64), Assigned(2, 2, rng=0, dtype=np.float64)):
        net = nn.Recurrent(cell, recurrent_dropout=0.3, rng=7)
        expected, _ = cell.step_masked(cell.project(XS[0]), mg.tensor(np.ones((3, 2))), kept)
        np.testing.assert_allclose(net(XS, (np.ones((3, 2)),))[0].data[0], expected.data)
    net = nn.Recurrent(nn.FunctionCell(leaky, step_masked=masked), recurrent_dropout=0.3, rng=7)
    np.testing.assert_allclose(net(XS, (np.ones((3, 2)),))[0].data[0], 0.9 + 0.1 * np.tanh(XS[0] + kept))


class Carried:
    def step(self, x: Any, state: Any) -> Any:
        h = 0.95 * state + 0.1
        return h, h


class MixedIn(Carried, nn.RNNCell):
    """Its `step` stands before the `step_masked` of an RNN."""


def _replaced_in_the_object() -> nn.RNNCell:
    cell = nn.RNNCell(2, 3)
    cell.step = lambda x, state: Carried.step(cell, x, state)  # type: ignore[method-assign, arg-type]
    return cell


def _replaced_in_the_class() -> nn.RNNCell:
    class Replaced(nn.RNNCell):
        pass

    Replaced.step = Carried.step  # type: ignore[method-assign, assignment]
    return Replaced(2, 3)


@pytest.mark.parametrize("make", [lambda: MixedIn(2, 3), _replaced_in_the_object, _replaced_in_the_class])
def test_a_step_that_came_by_another_way_than_a_subclass_is_not_what_step_masked_was_written_for(make: Any) -> None:
    with pytest.raises(TypeError, match="step_masked"):
        nn.Recurrent(make(), recurrent_dropout=0.3)


@pytest.mark.parametrize("state", [(1, 2.0, 3.0), ((2.0, 3.0), 1), {"n": 1, "h": 2.0, "C": 3.0}])
def test_the_first_floating_part_of_a_state_is_what_is_masked_by_default(state: Any) -> None:
    seen: list[Any] = []

    def step(x: Any, s: Any) -> Any:
        seen.append([p.item() for p in mg.tree_leaves(s)])
        return x, s

    nn.FunctionCell(step).step_masked(XS[0], mg.tree_map(mg.tensor, state), 10.0)
    assert seen == [[20.0 if v == 2 else v for v in mg.tree_leaves(state)]]


def test_a_step_that_turns_the_keys_of_its_state_changes_nothing() -> None:
    def cell(turned: bool) -> nn.Recurrent:
        def step(x: Any, s: Any) -> Any:
            h, C = mg.tanh(x + s["h"]), s["C"] + 1
            return h, {"C": C, "h": h} if turned else {"h": h, "C": C}

        class Named(nn.Cell):
            def initial_state(self, B: int) -> Any:
                return {"h": mg.tensor(np.zeros((B, 2))), "C": mg.tensor(np.zeros((B, 2)))}

            def step(self, x: Any, state: Any) -> Any:
                return step(x, state)

            step_masked = nn.Cell.step_masked

        return nn.Recurrent(Named(), recurrent_dropout=0.5, rng=0)

    (ys, (s,)), (expected, _) = cell(True)(XS), cell(False)(XS)
    np.testing.assert_array_equal(ys.data, expected.data)
    assert list(s) == ["h", "C"]
    np.testing.assert_array_equal(s["C"].data, 5.0)


@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}])
def test_a_state_that_is_given_with_other_order_of_its_keys_has_the_same_part_masked(options: Any) -> None:
    def step(x: Any, s: Any) -> Any:
        h = mg.tanh(x + 0.5 * s["h"] + s["C"])
        return h, {"h": h, "C": s["C"] + 1}

    def masked(x: Any, s: Any, mask: Any) -> Any:
        first, *_ = s
        return step(x, s | {first: s[first] * mask})

    class Named(nn.Cell):
        initial_state = lambda self, B: {"h": mg.tensor(np.zeros((B, 2))), "C": mg.tensor(np.zeros((B, 2)))}
        step = lambda self, x, state: step(x, state)
        step_masked = nn.Cell.step_masked

    function = nn.FunctionCell(step, Named().initial_state, masked)
    given = {"h": np.ones((3, 2)), "C": np.full((3, 2), 0.5)}
    for cell in (Named(), function):
        run = lambda state, cell=cell: nn.Recurrent(cell, recurrent_dropout=0.5, rng=0, **options)(XS, (state,))
        (ys, (s,)), (expected, _) = run({"C": given["C"], "h": given["h"]}), run(given)
        np.testing.assert_array_equal(ys.data, expected.data)
        assert list(s) == ["h", "C"]
