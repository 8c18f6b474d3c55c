"""A relu in place of tanh, projected LSTMs as layers, and inputs without a batch, which are refused with the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from textbook import arrays_of, grads_of, joined, randomised, swapped

import minigrad as mg
import nn
from minigrad.testing import check_cell, check_grad

XS = np.random.default_rng(0).standard_normal((4, 3, 2))
LENGTHS = [4, 0, 2]

# --- RNN -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_a_relu_network_is_that_of_the_textbook(bias: bool) -> None:
    net = randomised(nn.RNN(2, 3, 2, bias, dtype=float, nonlinearity="relu"))
    xs = XS
    for cell in net.cells:
        h, outputs = np.zeros((3, 3)), []
        for x in xs:
            h = np.maximum(0, h @ cell.W.data + x @ cell.U.data + (cell.b.data if bias else 0))
            outputs.append(h)
        xs = np.stack(outputs)
    np.testing.assert_allclose(net(XS)[0].data, xs, rtol=1e-12)
    assert (xs == 0).any()
    assert (xs > 0).any()


def test_a_relu_cell_passes_the_checker() -> None:
    check_cell(lambda I, H: nn.RNNCell(I, H, rng=0, nonlinearity="relu"))


def test_the_nonlinearity_is_shown_and_another_one_raises() -> None:
    assert repr(nn.RNNCell(2, 3, nonlinearity="relu")).startswith("RNNCell(2, 3, nonlinearity='relu')")
    assert repr(nn.RNNCell(2, 3, False)).startswith("RNNCell(2, 3, bias=False)")
    with pytest.raises(ValueError, match="RNNCell: nonlinearity must be 'tanh' or 'relu', got 'sin'"):
        nn.RNN(2, 3, nonlinearity="sin")


def test_recurrent_dropout_masks_what_the_product_of_a_relu_cell_reads() -> None:
    cell = randomised(nn.RNNCell(2, 3, dtype=float, nonlinearity="relu"))
    h, mask = mg.tensor(np.ones((3, 3))), np.array([0.0, 2.0, 2.0])
    found, _ = cell.step_masked(cell.project(mg.tensor(XS[0])), h, mask)
    expected = np.maximum(0, mask @ cell.W.data + XS[0] @ cell.U.data + cell.b.data)
    np.testing.assert_allclose(found.data, expected, rtol=1e-12)


# --- projected LSTM --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, False), (2, True)])
def test_a_projected_network_is_made_of_projected_cells(layers: int, both: bool) -> None:
    net = nn.LSTM(2, 4, layers, rng=0, dtype=float, proj_size=3, bidirectional=both, forget_bias=0.5)
    wide = 6 if both else 3
    rng = np.random.default_rng(0)
    make = lambda layer: nn.ProjectedLSTMCell(wide if layer else 2, 4, 3, True, rng, float, 0.5)
    twin = nn.Recurrent(make, num_layers=layers, bidirectional=both)
    ys, finals = net(XS, lengths=LENGTHS)
    expected, states = twin(XS, lengths=LENGTHS)
    assert ys.shape == (4, 3, wide)
    assert [(h.shape, C.shape) for h, C in finals] == [((3, 3), (3, 4))] * len(net.cells)
    for found, other in zip(mg.tree_leaves((ys, finals)), mg.tree_leaves((expected, states)), strict=True):
        np.testing.assert_array_equal(found.data, other.data)
    assert mg.tree_map(np.shape, net.initial_state(5)) == (((5, 3), (5, 4)),) * len(net.cells)


def test_a_projected_network_has_the_derivatives_of_finite_differences() -> None:
    net = randomised(nn.LSTM(2, 3, 2, dtype=float, proj_size=2, bidirectional=True))
    state = mg.tree_map(lambda s: np.random.default_rng(1).standard_normal(s.shape), net.initial_state(3))

    def f(parameters: list[Any], xs: Any, state: Any) -> Any:
        with swapped(net, parameters):
            return net(xs, state, lengths=LENGTHS)

    check_grad(*joined(f, arrays_of(net), XS, state), mode="project")


@pytest.mark.parametrize("options", [{"checkpoint": 2}, {"residual": True}, {"dropout": 0.5}], ids=str)
def test_options_of_recurrent_go_with_a_projection(options: Any, tmp_path: Any) -> None:
    net = nn.LSTM(2, 4, 2, rng=0, proj_size=3, **options)
    if "dropout" in options:
        net.eval()
    loss = lambda: (net(XS, lengths=LENGTHS)[0] ** 2).sum()
    eager = grads_of(net, loss())
    net.zero_grad()
    mg.compile(lambda: loss().backward())()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(p.grad, eager[name], rtol=1e-5, atol=1e-6)
    nn.save(tmp_path / "net.npz", net)
    other = nn.LSTM(2, 4, 2, rng=1, proj_size=3, **options).eval()
    other.load_state_dict(nn.load(tmp_path / "net.npz")[0])
    np.testing.assert_array_equal(other(XS)[0].data, net.eval()(XS)[0].data)


def test_no_projection_is_the_default_and_the_draws_stay_what_they_were() -> None:
    for a, b in zip(nn.LSTM(2, 4, rng=0, proj_size=0).parameters(), nn.LSTM(2, 4, rng=0).parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert type(nn.LSTM(2, 4, proj_size=0).cells[0]) is nn.LSTMCell


@pytest.mark.parametrize("proj_size", [4, -1, 1.5, None, True])
def test_a_projection_that_is_no_smaller_size_raises(proj_size: Any) -> None:
    with pytest.raises(ValueError, match=rf"LSTM: proj_size must be an integer below H = 4, .*got {proj_size}"):
        nn.LSTM(2, 4, proj_size=proj_size)


def test_other_networks_have_no_projection() -> None:
    with pytest.raises(TypeError, match="proj_size"):
        nn.GRU(2, 4, proj_size=3)


# --- inputs without a batch ------------------------------------------------------------------------------------------


class Plain(nn.Cell):
    """A cell of a user: sums of what it gets."""

    H = 2

    def step(self, x: Any, state: Any) -> Any:
        h = mg.tanh(x + state)
        return h, h


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU, lambda I, H: nn.Recurrent(Plain())], ids=lambda make: "")
def test_a_sequence_without_a_batch_is_refused_with_what_to_write(make: Any) -> None:
    net = make(2, 2)
    with pytest.raises(ValueError, match=r"xs of shape \(4, 2\).*\(T, B, I\); one sequence .*is xs\[:, None\]"):
        net(XS[:, 0])
    with pytest.raises(ValueError, match=r"T >= 1, got \(4,\); one sequence without a batch is xs\[:, None\]"):
        net(np.arange(4))
    assert net(XS[:, 0][:, None])[0].shape == (4, 1, 2)


@pytest.mark.parametrize("make", [nn.RNNCell, nn.LSTMCell, nn.GRUCell, lambda I, H: Plain()], ids=lambda make: "")
def test_an_example_without_a_batch_is_refused_with_what_to_write(make: Any) -> None:
    cell = make(2, 2)
    with pytest.raises(ValueError, match=r"input has shape \(2,\).*a single example is x\[None\]"):
        cell(XS[0, 0])
    with pytest.raises(ValueError, match=r"input has shape \(\).*a single example is x\[None\]"):
        cell(np.array(1))
    state = mg.tree_map(lambda s: s.data[0], cell.initial_state(1))
    with pytest.raises(ValueError, match=r"state has shapes .* a state without a batch is passed as s\[None\]"):
        cell(XS[0, :1], state)


@pytest.mark.parametrize(("shape", "ok"), [((4, 2), False), ((4, 3, 2), True)])
def test_attention_over_keys_without_a_batch_is_refused_with_what_to_write(shape: Any, ok: bool) -> None:
    keys, query = np.ones(shape), np.ones(shape[1:])
    for attention in (nn.attention.DotAttention(), nn.attention.AdditiveAttention(2, 2, 3)):
        if ok:
            assert attention(mg.tensor(query), mg.tensor(keys))[0].shape == (3, 2)
            continue
        with pytest.raises(ValueError, match=r"keys have shape \(4, 2\), .*\(T, B, K\).* keys\[:, None\]"):
            attention(mg.tensor(query), mg.tensor(keys))
