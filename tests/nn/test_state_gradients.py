"""Gradients of the states that return_states hands out: those of backpropagation through time, each dL/dh_t."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from textbook import randomised

import minigrad as mg
import nn

RNG = np.random.default_rng(0)
XS = RNG.standard_normal((5, 3, 2))
LENGTHS = [5, 2, 4]


class Unchanged(nn.Cell):
    """Hands a part of its state on as it is, and puts out the one before."""

    H = 2

    def initial_state(self, B: int) -> Any:
        return {
            "h": super().initial_state(B),
            "n": mg.tensor(np.zeros(B, int)),
            "fixed": mg.tensor(np.ones((B, 2), "f")),
        }

    def __init__(self) -> None:
        self.linear = nn.Linear(2, 2, rng=0)

    def step(self, x: Any, state: Any) -> Any:
        h = mg.tanh(self.linear(x) * state["fixed"] + state["h"])
        return state["h"], {"h": h, "n": state["n"] + 1, "fixed": state["fixed"]}


CELLS: dict[str, Any] = {
    "RNN": nn.RNNCell, "LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "peephole": nn.PeepholeLSTMCell, "MGU": nn.MGUCell,
    "coupled": nn.CoupledLSTMCell, "layer norm": nn.LayerNormLSTMCell, "IRNN": nn.IRNNCell, "leaky": nn.LeakyRNNCell,
    "echo": nn.EchoStateCell, "Elman": lambda I, H, **made: nn.ElmanCell(I, H, 2, **made),
    "projected": lambda I, H, **made: nn.ProjectedLSTMCell(I, H, 2, **made),
}  # fmt: skip


def loss_of(outputs: Any, finals: Any, rows: Any = slice(None)) -> Any:
    """Reads outputs at all times, and the final states."""
    weights = np.linspace(-1, 1, 5)[: len(outputs), None, None]
    parts = [
        (outputs * outputs * weights).sum(),
        *[(s * s).sum() for s in mg.tree_leaves(finals) if s.dtype.kind == "f"],
    ]
    return mg.stack(parts).sum()


def by_hand(net: Any, xs: np.ndarray) -> list[Any]:
    """Each step's state of each cell, called in a plain loop, with retain_grad of each part; then backward.

    The inputs have a gradient as well, since the weights of an echo state network have none.
    """
    states, inputs, finals = [], mg.tensor(xs, requires_grad=True), []
    for layer in range(len(net.cells) // net.directions):
        sides = []
        for k in range(net.directions):
            cell, history, ys = net.cells[layer * net.directions + k], [], []
            s = cell.initial_state(xs.shape[1])
            backwards = net.reverse or k == 1
            for t in range(len(xs))[::-1] if backwards else range(len(xs)):
                y, s = cell(inputs[t], s)
                for part in mg.tree_leaves(s):
                    part.retain_grad()
                ys.append(y)
                history.append(s)
            finals.append(s)
            states.append(history[::-1] if backwards else history)
            sides.append(mg.stack(ys[::-1] if backwards else ys))
        inputs = sides[0] if len(sides) == 1 else mg.concatenate(sides, axis=-1)
    loss_of(inputs, finals).backward()
    gradients = [
        [[np.zeros(p.shape) if p.grad is None else p.grad for p in mg.tree_leaves(s)] for s in h] for h in states
    ]
    return [np.stack(part) for history in gradients for part in zip(*history, strict=True)]


def check_states(net: Any, expected: list[np.ndarray], lengths: Any = None) -> None:
    outputs, finals, states = net(mg.tensor(XS, requires_grad=True), lengths=lengths, return_states=True)
    parts = mg.tree_leaves(states)
    for s in parts:
        s.retain_grad()
    loss_of(outputs, finals).backward()
    for s, g in zip(parts, expected, strict=True):
        np.testing.assert_allclose(np.zeros(s.shape) if s.grad is None else s.grad, g, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}], ids=["whole", "checkpoint"])
def test_gradients_of_every_cells_states_are_those_of_a_plain_loop(name: str, options: Any) -> None:
    net = randomised(nn.Recurrent(CELLS[name](2, 3, rng=0, dtype=np.float64), **options))
    check_states(net, by_hand(net, XS))


@pytest.mark.parametrize(
    "options", [{}, {"reverse": True}, {"bidirectional": True}, {"bidirectional": True, "checkpoint": 2}], ids=str
)
def test_gradients_of_states_are_right_in_each_layer_and_direction(options: Any) -> None:
    net = randomised(nn.LSTM(2, 3, 2, rng=0, dtype=np.float64, **options))
    check_states(net, by_hand(net, XS))


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"bidirectional": True}, {"checkpoint": 2}], ids=str)
def test_gradients_of_states_with_lengths_are_those_alone_and_0_in_the_padding(options: Any) -> None:
    net = randomised(nn.GRU(2, 3, 2, rng=0, dtype=np.float64, **options))
    expected = [np.zeros((5, 3, 3)) for _ in net.cells]
    for b, n in enumerate(LENGTHS):
        for whole, alone in zip(expected, by_hand(net, XS[:n, b : b + 1]), strict=True):
            whole[:n, b] = alone[:, 0]
    check_states(net, expected, LENGTHS)


@pytest.mark.parametrize("lengths", [None, np.array(LENGTHS)], ids=["full", "padded"])
def test_gradients_of_states_are_right_inside_of_a_compiled_function(lengths: Any) -> None:
    net = randomised(nn.LSTM(2, 3, 2, rng=0, dtype=np.float64))

    def gradients(xs: Any, lengths: Any) -> Any:
        outputs, finals, states = net(xs, lengths=lengths, return_states=True)
        parts = mg.tree_leaves(states)
        for s in parts:
            s.retain_grad()
        loss_of(outputs, finals).backward()
        return [s.grad for s in parts]

    compiled = mg.compile(gradients)
    for xs in (XS, XS[::-1] * 0.5):
        for found, expected in zip(compiled(xs, lengths), gradients(xs, lengths), strict=True):
            np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-10, atol=1e-12)


def test_what_is_made_of_the_states_handed_out_counts_as_well() -> None:
    net = nn.RNN(2, 3, rng=0, dtype=np.float64)
    outputs, _, (states,) = net(XS, return_states=True)
    states.retain_grad()
    (states * RNG.standard_normal(states.shape)).sum().backward()
    through_states = states.grad.copy()
    states.grad = None
    outputs.backward(np.random.default_rng(0).standard_normal((5, 3, 2, 3))[:, :, 0])
    assert states.grad.all()
    assert through_states.all()
    assert not np.allclose(through_states, states.grad)


@pytest.mark.parametrize("checkpoint", [None, 2])
def test_a_part_that_stays_as_it_is_and_an_output_that_is_the_state_before_have_their_gradients(
    checkpoint: Any,
) -> None:
    net = nn.Recurrent(Unchanged(), checkpoint=checkpoint)
    outputs, _, (states,) = net(XS.astype("f"), return_states=True)
    states["h"].retain_grad()
    (outputs * np.arange(5, dtype="f")[:, None, None]).sum().backward()
    h, g = states["h"].data, np.zeros((5, 3, 2))
    for t in (3, 2, 1, 0):  # h_t is put out at the next step, and carried on
        g[t] = t + 1 + g[t + 1] * (1 - h[t + 1] ** 2)
    np.testing.assert_allclose(states["h"].grad, g, rtol=1e-5)
    assert states["n"].dtype == np.int64
    with pytest.raises(RuntimeError, match="does not depend"):
        states["n"].retain_grad()


@pytest.mark.parametrize("checkpoint", [None, 2])
def test_an_output_that_is_the_unchanged_state_is_part_of_its_gradient(checkpoint: Any) -> None:
    net, h = nn.Recurrent(lambda x, h: (h, h), checkpoint=checkpoint), mg.tensor(np.ones((3, 2)), requires_grad=True)
    outputs, _, (states,) = net(XS, (h,), return_states=True)
    states.retain_grad()
    (outputs * np.arange(5)[:, None, None]).sum().backward()
    np.testing.assert_array_equal(states.grad[:, 0, 0], [10, 10, 9, 7, 4])  # t + ... + 4
    np.testing.assert_array_equal(h.grad, 10)


def test_returned_states_change_no_gradient_and_nothing_is_collected_without_asking() -> None:
    found = []
    for keep in (False, True):
        net = nn.LSTM(2, 3, 2, rng=0)
        result = net(XS, return_states=keep)
        loss_of(*result[:2]).backward()
        found.append([p.grad for p in net.parameters()])
        if keep:
            assert all(s.grad is None for s in mg.tree_leaves(result[2]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_states_handed_out_of_a_users_checkpoint_refuse_and_name_the_remedy() -> None:
    net = nn.RNN(2, 3, rng=0)
    for f in (lambda xs: net(xs, return_states=True)[2][0], lambda xs: net(xs, return_states=True)[::2]):
        xs = mg.tensor(XS, dtype=np.float32, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"mg\.tap"):
            mg.tree_leaves(mg.checkpoint(f)(xs))[-1].retain_grad()


def test_the_final_state_of_a_checkpointed_network_refuses_what_it_cannot_tell() -> None:
    net = nn.RNN(2, 3, rng=0, checkpoint=2)
    _, (h,) = net(XS)
    with pytest.raises(RuntimeError, match="retain_grad"):
        h.retain_grad()
    plain = nn.RNN(2, 3, rng=0)
    outputs, (h,) = plain(XS)
    h.retain_grad()
    outputs[-1].sum().backward()
    np.testing.assert_array_equal(h.grad, 1)


def test_states_without_a_record_are_handed_out_as_before() -> None:
    net = nn.LSTM(2, 3, rng=0)
    with mg.no_grad():
        _, finals, states = net(XS, return_states=True)
    for s, final in zip(mg.tree_leaves(states), mg.tree_leaves(finals), strict=True):
        assert not s.requires_grad
        np.testing.assert_array_equal(s.data[-1], final.data)


# --- cells that draw random numbers ----------------------------------------------------------------------------------


class Noisy(nn.RNNCell):
    """Three ways to draw: a part that drops, `mg.sample`, and a generator of its own."""

    def __init__(self, way: str) -> None:
        super().__init__(2, 3, rng=0, dtype=np.float64)
        self.way, self.drop, self.rng = way, nn.Dropout(0.5, rng=1), np.random.default_rng(2)

    def step(self, x: Any, state: Any) -> Any:
        h, _ = super().step(x, state)
        if self.way == "part":
            h = self.drop(h)
        elif self.way == "draw":
            h = h * mg.sample(self.rng.random, h.shape)
        else:
            h = h * self.rng.random(h.shape)
        return h, h


@pytest.mark.parametrize("way", ["part", "draw", "own"])
def test_a_cell_that_draws_has_the_same_numbers_again_under_checkpoint(way: str) -> None:
    found = []
    for checkpoint in (None, 2):
        net = nn.Recurrent(Noisy(way), Noisy(way), bidirectional=True, checkpoint=checkpoint)
        losses = []
        for _ in range(2):  # the second time other numbers
            loss = (net(XS)[0] ** 2).sum()
            loss.backward()
            losses.append(loss.data)
        assert losses[0] != losses[1]
        found.append([*losses, *[p.grad for p in net.parameters()]])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-13)
