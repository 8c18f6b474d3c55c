"""Recurrent: directions, residuals, recurrent dropout, checkpoints, and cells of every kind."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import grads_of, make_cell, random_state, randomised

import minigrad as mg
import nn

each_network = pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda kind: kind.__name__)
XS = np.random.default_rng(5).standard_normal((4, 2, 2))


# --- directions and residuals ----------------------------------------------------------------------------------------


@each_network
def test_a_reversed_network_is_the_network_on_reversed_time(kind: Any) -> None:
    a, b = (randomised(kind(2, 3, 2, dtype=np.float64, reverse=reverse)) for reverse in (True, False))
    (ys, s), (expected, e) = a(XS), b(XS[::-1])
    np.testing.assert_allclose(ys.data, expected.data[::-1], rtol=1e-13)
    for p, q in zip(mg.tree_leaves(s), mg.tree_leaves(e), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-13)


@each_network
def test_two_directions_stand_side_by_side_and_feed_the_next_layer(kind: Any) -> None:
    net = randomised(kind(2, 3, 2, dtype=np.float64, bidirectional=True))
    assert [cell.U.shape[0] for cell in net.cells] == [2, 2, 6, 6]
    xs: Any = XS
    for layer in range(2):
        forwards, backwards = net.cells[2 * layer : 2 * layer + 2]
        sides = [nn.Recurrent(forwards)(xs)[0], nn.Recurrent(backwards, reverse=True)(xs)[0]]
        xs = mg.concatenate(sides, axis=-1)
    ys, finals = net(XS)
    np.testing.assert_allclose(ys.data, xs.data, rtol=1e-13)
    np.testing.assert_array_equal(mg.tree_leaves(finals[2])[0].data, ys.data[-1, :, :3])
    np.testing.assert_array_equal(mg.tree_leaves(finals[3])[0].data, ys.data[0, :, 3:])


def test_residuals_add_each_layers_inputs_from_the_second_layer_on() -> None:
    cells = [make_cell(nn.GRUCell, i, 3, seed) for seed, i in enumerate([2, 3, 3])]
    ys, _ = nn.Recurrent(*cells, residual=True)(XS)
    xs: Any = XS
    for layer, cell in enumerate(cells):
        own = nn.Recurrent(cell)(xs)[0]
        xs = own + xs if layer else own
    np.testing.assert_allclose(ys.data, xs.data, rtol=1e-13)


def test_residuals_of_unequal_shapes_raise_and_name_both() -> None:
    net = nn.Recurrent(nn.RNNCell(2, 3), nn.RNNCell(3, 4), residual=True)
    with pytest.raises(ValueError, match=r"\(4, 2, 3\) to outputs of shape \(4, 2, 4\) in layer 1"):
        net(XS)


# --- how cells are given ---------------------------------------------------------------------------------------------


def test_a_factory_is_called_once_for_each_layer_and_direction() -> None:
    layers: list[int] = []

    def make(layer: int) -> nn.Cell:
        layers.append(layer)
        return nn.LSTMCell(6 if layer else 2, 3)

    net = nn.Recurrent(make, num_layers=2, bidirectional=True)
    assert layers == [0, 0, 1, 1]
    assert net(XS)[0].shape == (4, 2, 6)


@pytest.mark.parametrize(
    ("cells", "options", "error", "message"),
    [
        ((), {}, ValueError, "at least one cell"),
        ((nn.RNNCell(2, 3),), {"num_layers": 2}, TypeError, "one function that makes the cell of a layer"),
        ((lambda layer: nn.RNNCell(2, 3),), {"num_layers": 0}, ValueError, "at least one cell"),
        ((nn.RNNCell(2, 3),), {"bidirectional": True}, ValueError, "needs two cells for each layer, got 1"),
        ((nn.RNNCell(2, 3),) * 2, {"bidirectional": True, "reverse": True}, ValueError, "reverse=True is for one"),
        ((nn.RNNCell(2, 3),) * 2, {"bidirectional": True, "dropout": 0.5}, ValueError, "there is one layer"),
        ((nn.RNNCell(2, 3),), {"checkpoint": 0}, ValueError, "checkpoint must be at least 1"),
        ((3,), {}, TypeError, r"an nn\.Cell or a function \(x, state\), got int"),
    ],
)
def test_options_that_do_not_go_together_raise(cells: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        nn.Recurrent(*cells, **options)


def test_a_bare_function_is_a_cell() -> None:
    W = np.array([[0.5, 0.1], [-0.3, 0.2]])

    def leaky(x: Any, h: Any) -> Any:
        h = 0.9 * h + 0.1 * mg.tanh(x + h @ W)
        return h, h

    ys, (final,) = nn.Recurrent(leaky)(XS, (np.zeros((2, 2)),))
    h = np.zeros((2, 2))
    for x, y in zip(XS, ys.data, strict=True):
        h = 0.9 * h + 0.1 * np.tanh(x + h @ W)
        np.testing.assert_allclose(y, h, rtol=1e-13)
    np.testing.assert_array_equal(final.data, ys.data[-1])


def test_a_bare_function_without_a_state_raises_and_names_the_remedy() -> None:
    def leaky(x: Any, h: Any) -> Any:
        return h, h

    with pytest.raises(ValueError, match=r"leaky: a function has no initial state.*nn\.FunctionCell"):
        nn.Recurrent(leaky)(XS)
    net = nn.Recurrent(nn.FunctionCell(leaky, lambda B: mg.tensor(np.ones((B, 3)))))
    np.testing.assert_array_equal(net(XS)[0].data, np.ones((4, 2, 3)))


def test_a_module_that_is_no_cell_brings_its_parameters() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            self.inside = nn.Linear(2, 3, rng=0, dtype=np.float64)

        def forward(self, x: Any, h: Any) -> Any:
            h = mg.tanh(self.inside(x) + h)
            return h, {"h": h}["h"]

    net = nn.Recurrent(Own())
    assert [name for name, _ in net.named_parameters()] == ["cells.0.f.inside.W", "cells.0.f.inside.b"]
    assert all(g.any() for g in grads_of(net, net(XS, (np.zeros((2, 3)),))[0].sum()).values())


def test_a_learnable_initial_state_gets_its_gradient() -> None:
    class Learnt(nn.RNNCell):
        def __init__(self) -> None:
            super().__init__(2, 3, rng=0, dtype=np.float64)
            self.h0 = nn.parameter(np.ones(3))

        def initial_state(self, B: int) -> Any:
            return mg.broadcast_to(self.h0, (B, 3))

    net = nn.Recurrent(Learnt())
    assert grads_of(net, net(XS, lengths=[4, 2])[0].sum())["cells.0.h0"].all()


# --- the protocol ----------------------------------------------------------------------------------------------------


def broken(change: Any, at: int) -> Any:
    """A cell of state (h, C) that at one step does something else to its state."""
    count = iter(range(100))

    def cell(x: Any, state: Any) -> Any:
        h, C = state
        return h, change(h, C) if next(count) == at else (h * 0.5, C + 1.0)

    return cell


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (lambda h, C: (h[:1], C), r"\(\(1, 3\) float64, \(2, 3\) float64\)"),
        (lambda h, C: (h.astype(np.float32), C), r"\(\(2, 3\) float32, \(2, 3\) float64\)"),
        (lambda h, C: h, r"\(2, 3\) float64\n"),
        (lambda h, C: [h, C], r"\[\(2, 3\) float64, \(2, 3\) float64\]"),
        (lambda h, C: {"h": h, "C": C}, r"\{'h': \(2, 3\) float64, 'C': \(2, 3\) float64\}"),
        (lambda h, C: (h, C, C), r"\(\(2, 3\) float64, \(2, 3\) float64, \(2, 3\) float64\)"),
        (lambda h, C: (h, None), r"\(\(2, 3\) float64, NoneType\)"),
    ],
    ids=["shape", "dtype", "one part", "list", "dict", "three parts", "None"],
)
@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}], ids=str)
def test_a_changed_state_raises_and_shows_both_and_the_time_step(change: Any, after: str, options: Any) -> None:
    state = (np.ones((2, 3)), np.ones((2, 3)))
    message = rf"cell: step 2 changed.*\n  before: \(\(2, 3\) float64, \(2, 3\) float64\)\n  after:  {after}"
    with pytest.raises(ValueError, match=message):
        nn.Recurrent(broken(change, 2), **options)(XS, (state,))


@pytest.mark.parametrize("result", [lambda x, h: h, lambda x, h: (h, h, h), lambda x, h: [h, h]])
def test_a_step_that_returns_no_pair_raises_and_shows_what_it_returned(result: Any) -> None:
    with pytest.raises(TypeError, match=r"step 0 must return a tuple \(output, new state\), got .*\(2, 3\) float64"):
        nn.Recurrent(result)(XS, (np.ones((2, 3)),))


def test_a_float64_tensor_into_a_float32_network_raises_and_shows_both_dtypes() -> None:
    with pytest.raises(ValueError, match=r"before: \(2, 3\) float32\n  after:  \(2, 3\) float64"):
        nn.RNN(2, 3)(mg.tensor(XS))


def test_a_state_without_the_batch_first_raises_with_lengths() -> None:
    cell = nn.FunctionCell(lambda x, s: (x, s), lambda B: mg.tensor(np.zeros(7)))
    with pytest.raises(ValueError, match=r"the batch of 2 along its first axis, this one has shape \(7,\)"):
        nn.Recurrent(cell)(XS, lengths=[4, 1])


# --- recurrent dropout -----------------------------------------------------------------------------------------------


@each_network
@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}], ids=str)
def test_recurrent_dropout_masks_h_alike_at_all_times_and_in_training_only(kind: Any, options: Any) -> None:
    net = randomised(kind(2, 3, dtype=np.float64, recurrent_dropout=0.5, rng=0, **options))
    rng = np.random.default_rng(0)
    net.recurrent_dropout.rng = np.random.default_rng(7)
    mask = (np.random.default_rng(7).random((2, 3), dtype=np.float32) < 0.5) / 0.5
    state = random_state(net, 2, rng)
    ys, _ = net(XS, state)
    cell, s = net.cells[0], mg.tree_map(mg.tensor, state[0])
    for x, y in zip(XS, ys.data, strict=True):
        out, s = cell.step_masked(cell.project(x), s, mask)
        np.testing.assert_allclose(y, out.data, rtol=1e-13)
    assert not np.allclose(ys.data, net(XS, state)[0].data)  # another call, another mask
    plain = nn.Recurrent(cell)
    np.testing.assert_array_equal(net.eval()(XS, state)[0].data, plain(XS, state)[0].data)


@each_network
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_mask_on_h_acts_in_products_only(kind: Any, value: float) -> None:
    cell = make_cell(kind.cell_class, 2, 3)
    state = random_state(cell, 2, np.random.default_rng(0))
    masked, s = cell.step_masked(cell.project(XS[0]), mg.tree_map(mg.tensor, state), value)
    twin = make_cell(kind.cell_class, 2, 3)
    for name in {"W", "W_h"} & set(vars(twin)):
        getattr(twin, name).data = getattr(twin, name).data * value
    expected, e = twin(XS[0], state)
    np.testing.assert_allclose(masked.data, expected.data, rtol=1e-12)
    for p, q in zip(mg.tree_leaves(s), mg.tree_leaves(e), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


def test_the_first_entry_of_a_dict_state_is_what_recurrent_dropout_masks() -> None:
    def named(x: Any, s: Any) -> Any:
        return s["h"], {"C": s["C"], "h": s["h"]}

    cell = nn.FunctionCell(named)
    y, s = cell.step_masked(XS[0], {"h": mg.tensor([1.0]), "C": mg.tensor([1.0])}, 5.0)
    assert (y.item(), s["h"].item(), s["C"].item()) == (5.0, 5.0, 1.0)


# --- checkpoints -----------------------------------------------------------------------------------------------------


@each_network
@given(every=st.sampled_from([1, 2, 3, 4, 9, True]), bidirectional=st.booleans(), integers=st.booleans())
def test_checkpoints_give_the_same_outputs_and_gradients(
    kind: Any, every: Any, bidirectional: bool, integers: bool
) -> None:
    results = []
    xs: Any = np.random.default_rng(0).integers(0, 2, (7, 2)) if integers else np.resize(XS, (7, 2, 2))
    for checkpoint in (None, every):
        net = randomised(
            kind(2, 3, 2, dtype=np.float64, checkpoint=checkpoint, bidirectional=bidirectional, dropout=0.3, rng=0)
        )
        x = xs if integers else mg.tensor(xs, requires_grad=True)
        ys, state = net(x)
        grads = grads_of(net, (ys * ys).sum() + mg.tree_leaves(state)[-1].sum())
        results.append([ys.data, *grads.values(), *([] if integers else [x.grad])])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-13)


def test_checkpoints_have_the_second_derivatives_of_the_network() -> None:
    results = []
    for checkpoint in (None, 2):
        net = randomised(nn.GRU(2, 3, dtype=np.float64, checkpoint=checkpoint))
        results.append(mg.hvp(lambda xs, net=net: (net(xs)[0] ** 2).sum(), (XS,), (XS,))[0].data)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-11)


def peak(T: int, checkpoint: Any) -> int:
    """The most bytes held in one training step over T characters, with states larger than weights and outputs."""
    net = nn.Recurrent(nn.ElmanCell(3, 32, 1, rng=0), checkpoint=checkpoint)
    xs = np.zeros((T, 64), int)
    net(xs)[0].sum().backward()
    net.zero_grad()
    tracemalloc.start()
    try:
        net(xs)[0].sum().backward()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_checkpointed_memory_grows_with_the_square_root_of_the_time() -> None:
    small, large = peak(16, True), peak(256, True)
    assert large < 6 * small  # 16 times the steps: 4 times the memory, and the outputs
    assert peak(256, None) > 6 * large  # and without checkpoints, a multiple
