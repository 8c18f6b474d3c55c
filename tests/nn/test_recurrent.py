"""Recurrent: layers, states, dropout between layers, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import STEPS, arrays_of, grads_of, make_cell, random_state, randomised, unrolled

import minigrad as mg
import nn

NETWORKS = {nn.RNN: nn.RNNCell, nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell}
each_network = pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
each_cell = pytest.mark.parametrize("kind", list(STEPS), ids=lambda kind: kind.__name__)
sizes = st.tuples(st.integers(3, 6), st.integers(2, 4), st.integers(1, 4), st.integers(1, 4)).filter(
    lambda s: s[2] != s[3]
)


# --- values ----------------------------------------------------------------------------------------------------------


@each_network
@given(sizes=sizes, layers=st.integers(1, 3), bias=st.booleans(), seed=st.integers(0, 99))
def test_layers_follow_their_equations_one_above_the_other(
    kind: Any, sizes: Any, layers: int, bias: bool, seed: int
) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    net = randomised(kind(I, H, layers, bias=bias, dtype=np.float64), seed)
    xs, state = rng.standard_normal((T, B, I)), random_state(net, B, rng)
    ys, finals = net(xs, state)
    expected, expected_finals = xs, []
    for cell, s in zip(net.cells, state, strict=True):
        expected, final = unrolled(cell, expected, s)
        expected_finals.append(final)
    assert (ys.shape, len(finals)) == ((T, B, H), layers)
    np.testing.assert_allclose(ys.data, expected, rtol=1e-12, atol=1e-12)
    for s, e in zip(mg.tree_leaves(finals), mg.tree_leaves(expected_finals), strict=True):
        np.testing.assert_allclose(s.data, e, rtol=1e-12, atol=1e-12)


@each_cell
@given(sizes=sizes, seed=st.integers(0, 99))
def test_recurrent_is_the_cell_called_in_a_loop(kind: Any, sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    cell = make_cell(kind, I, H, seed)
    xs, state = rng.standard_normal((T, B, I)), random_state(cell, B, rng)
    ys, (final,) = nn.Recurrent(cell)(xs, (state,))
    for x, y in zip(xs, ys, strict=True):
        expected, state = cell(x, state)
        np.testing.assert_allclose(y.data, expected.data, rtol=1e-12, atol=1e-13)
    for s, e in zip(mg.tree_leaves(final), mg.tree_leaves(state), strict=True):
        np.testing.assert_allclose(s.data, e.data, rtol=1e-12, atol=1e-13)


@each_network
def test_without_a_state_every_layer_starts_from_zeros(kind: Any) -> None:
    net = randomised(kind(2, 3, 2, dtype=np.float64))
    xs = np.random.default_rng(0).standard_normal((4, 2, 2))
    zeros = mg.tree_map(lambda t: np.zeros(t.shape), net.initial_state(2))
    assert [s.shape for s in mg.tree_leaves(zeros)] == [(2, 3)] * (4 if kind is nn.LSTM else 2)
    np.testing.assert_array_equal(net(xs)[0].data, net(xs, zeros)[0].data)


@each_network
def test_the_first_layer_takes_I_and_the_others_H(kind: Any) -> None:
    net = kind(2, 3, 3)
    assert [type(cell) for cell in net.cells] == [NETWORKS[kind]] * 3
    assert [cell.U.shape[0] for cell in net.cells] == [2, 3, 3]


@each_network
@given(sizes=sizes, layers=st.integers(1, 2), seed=st.integers(0, 99))
def test_integers_give_the_outputs_and_gradients_of_their_one_hot_vectors(
    kind: Any, sizes: Any, layers: int, seed: int
) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    net = randomised(kind(I, H, layers, dtype=np.float64), seed)
    numbers, g = rng.integers(0, I, (T, B)), rng.standard_normal((T, B, H))
    ys, hot = net(numbers)[0], net(np.eye(I)[numbers])[0]
    np.testing.assert_allclose(ys.data, hot.data, rtol=1e-12, atol=1e-12)
    grads, expected = grads_of(net, ys, g), grads_of(net, hot, g)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


@each_network
@given(sizes=sizes, layers=st.integers(1, 2), integers=st.booleans(), given_state=st.booleans())
def test_float32_stays_float32_in_outputs_states_and_gradients(
    kind: Any, sizes: Any, layers: int, integers: bool, given_state: bool
) -> None:
    T, B, I, H = sizes
    net = kind(I, H, layers, rng=0)
    xs = np.ones((T, B), int) * (I - 1) if integers else np.ones((T, B, I))
    x = xs if integers else mg.tensor(xs, dtype=np.float32, requires_grad=True)
    ys, state = net(x, net.initial_state(B) if given_state else None)
    assert {t.dtype for t in [ys, *mg.tree_leaves(state)]} == {np.dtype(np.float32)}
    assert {g.dtype for g in grads_of(net, ys.sum()).values()} == {np.dtype(np.float32)}
    assert integers or x.grad.dtype == np.float32


@each_network
def test_plain_float64_inputs_are_read_in_float32_by_a_float32_network(kind: Any) -> None:
    xs = np.random.default_rng(0).standard_normal((3, 2, 2))
    ys, _ = kind(2, 3, rng=0)(xs)
    expected, _ = kind(2, 3, rng=0)(xs.astype(np.float32))
    assert ys.dtype == np.float32
    np.testing.assert_array_equal(ys.data, expected.data)


@each_network
def test_a_plain_float64_state_is_read_in_float32_by_a_float32_network(kind: Any) -> None:
    net = kind(2, 3, 2, rng=0)
    ys, state = net(np.ones((3, 4, 2)), random_state(net, 4, np.random.default_rng(0)))
    assert {t.dtype for t in [ys, *mg.tree_leaves(state)]} == {np.dtype(np.float32)}


@each_network
@given(sizes=sizes, layers=st.integers(1, 2), seed=st.integers(0, 99))
def test_rows_of_a_batch_are_independent(kind: Any, sizes: Any, layers: int, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    net = randomised(kind(I, H, layers, dtype=np.float64), seed)
    xs, state = mg.tensor(rng.standard_normal((T, B, I)), requires_grad=True), random_state(net, B, rng)
    ys, _ = net(xs, state)
    ys[:, 0].sum().backward()
    assert xs.grad is not None
    assert xs.grad[:, 0].any()
    assert not xs.grad[:, 1:].any()
    alone, _ = net(xs[:, :1], mg.tree_map(lambda s: s[:1], state))
    np.testing.assert_allclose(ys.data[:, :1], alone.data, rtol=1e-12, atol=1e-12)


@each_network
def test_the_same_seed_gives_the_same_network_and_each_layer_its_own_weights(kind: Any) -> None:
    a, b = kind(3, 3, 2, rng=5), kind(3, 3, 2, rng=5)
    for p, q in zip(arrays_of(a), arrays_of(b), strict=True):
        np.testing.assert_array_equal(p, q)
    assert not np.array_equal(a.cells[0].U.data, a.cells[1].U.data)


def test_the_forget_bias_reaches_every_layer_of_an_lstm() -> None:
    for cell in nn.LSTM(2, 3, 2, forget_bias=5.0).cells:
        np.testing.assert_array_equal(cell.b.data, [5, 5, 5] + [0] * 9)


@each_network
def test_nested_lists_are_read_as_arrays(kind: Any) -> None:
    net = kind(2, 3, rng=0)
    for xs in ([[[1.0, 2.0]], [[3.0, 4.0]]], [[0, 1], [1, 1]]):
        np.testing.assert_array_equal(net(xs)[0].data, net(np.array(xs))[0].data)


# --- dropout ---------------------------------------------------------------------------------------------------------


@each_network
def test_dropout_acts_between_layers_only_and_in_training_only(kind: Any) -> None:
    net = randomised(kind(2, 3, 2, dropout=0.5, rng=0, dtype=np.float64))
    xs = np.random.default_rng(0).standard_normal((4, 2, 2))
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    drop = net.dropout.forward

    def watched(x: Any) -> Any:
        y = drop(x)
        seen.append((x.data, y.data))
        return y

    net.dropout.forward = watched
    ys, _ = net(xs)
    ((before, after),) = seen  # once: between the two layers, not before the first nor after the last
    np.testing.assert_allclose(before, unrolled(net.cells[0], xs, np_state(net.cells[0], 2))[0], rtol=1e-12)
    assert 0 < (after == 0).mean() < 1
    np.testing.assert_allclose(ys.data, unrolled(net.cells[1], after, np_state(net.cells[1], 2))[0], rtol=1e-12)
    plain, _ = net.eval()(xs)
    np.testing.assert_allclose(plain.data, unrolled(net.cells[1], before, np_state(net.cells[1], 2))[0], rtol=1e-12)


def np_state(cell: Any, B: int) -> Any:
    return mg.tree_map(lambda t: t.data, cell.initial_state(B))


@each_network
def test_the_same_seed_draws_the_same_masks_and_each_call_new_ones(kind: Any) -> None:
    xs = np.ones((4, 3, 2))
    a, b = (kind(2, 8, 2, dropout=0.5, rng=3) for _ in range(2))
    first, second = a(xs)[0].data, a(xs)[0].data
    np.testing.assert_array_equal(first, b(xs)[0].data)
    np.testing.assert_array_equal(second, b(xs)[0].data)
    assert not np.array_equal(first, second)


@each_network
def test_dropout_with_one_layer_raises_and_names_the_remedy(kind: Any) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}: dropout=0\.3 acts between layers.*nn\.Dropout"):
        kind(2, 3, dropout=0.3)


@each_network
@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_dropout_outside_of_0_to_1_raises(kind: Any, p: float) -> None:
    with pytest.raises(ValueError, match=r"within \[0, 1\), got"):
        kind(2, 3, 2, dropout=p)


# --- what is refused -------------------------------------------------------------------------------------------------


@each_network
@pytest.mark.parametrize(
    ("xs", "message"),
    [
        (np.zeros((0, 2, 2)), r"T >= 1, got \(0, 2, 2\)"),
        (np.zeros((0, 2), int), r"T >= 1, got \(0, 2\)"),
        (np.zeros(3, int), r"got \(3,\)"),
        (np.zeros((3, 2)), r"shape \(3, 2\) must be integers, or have a third axis"),
        (mg.tensor(np.zeros((3, 2))), r"shape \(3, 2\) must be integers, or have a third axis"),
        (np.zeros((3, 2, 5)), r"Cell: .* shape \(3, 2, 5\), its last size must be 2"),
        (np.array([[0, 1], [2, 0]]), r"within 0 \.\.\. 1, got 0 \.\.\. 2"),
        (np.array([[0, 1], [-1, 0]]), r"within 0 \.\.\. 1, got -1 \.\.\. 1"),
    ],
    ids=["T=0", "T=0 integers", "one axis", "float (T, B)", "tensor (T, B)", "last size", "too large", "negative"],
)
def test_inputs_of_another_kind_raise_and_name_their_shape_or_range(kind: Any, xs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(2, 3, 2)(xs)


@each_network
@pytest.mark.parametrize(
    "xs", [np.zeros((4, 2, 2), int), np.zeros((4, 3, 2), int), np.zeros((4, 2, 2, 2))], ids=lambda xs: str(xs.shape)
)
def test_inputs_with_too_many_axes_raise_and_name_their_shape(kind: Any, xs: np.ndarray) -> None:
    with pytest.raises(ValueError, match=rf"\(({str(xs.shape)[1:-1]}|{str(xs.shape[1:])[1:-1]})\)"):
        kind(2, 3)(xs)


@each_network
@pytest.mark.parametrize("wrong", ["one layer", "three layers", "a tensor", "an array", "a dict"])
def test_a_state_that_is_not_one_for_each_layer_raises(kind: Any, wrong: str) -> None:
    net = kind(2, 3, 2)
    s = net.initial_state(2)[0]
    h = mg.tree_leaves(s)[0]
    state = {"one layer": (s,), "three layers": (s, s, s), "a tensor": h, "an array": h.data, "a dict": {0: s, 1: s}}
    with pytest.raises(ValueError, match="state must be a tuple of 2, the state of each layer"):
        net(np.zeros((4, 2, 2)), state[wrong])


@each_network
@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (2, 4), (3,), (2, 1, 3), (2, 1)], ids=str)
def test_a_state_of_a_wrong_shape_raises_and_names_both_shapes(kind: Any, shape: tuple[int, ...]) -> None:
    net = kind(2, 3, 2)
    low, high = net.initial_state(2)
    high = mg.tree_map(lambda t: mg.tensor(np.zeros(shape, np.float32)), high)
    with pytest.raises(ValueError, match=rf"{str(shape)[1:-1]}.*2, 3|2, 3.*{str(shape)[1:-1]}"):
        net(np.zeros((4, 2, 2)), (low, high))


@pytest.mark.parametrize("B", [1, 2, 3])
def test_the_state_of_one_lstm_cell_is_not_taken_for_that_of_two_layers(B: int) -> None:
    h, C = nn.LSTMCell(2, 3).initial_state(B)
    with pytest.raises(ValueError, match="state"):
        nn.LSTM(2, 3, 2)(np.zeros((4, B, 2)), (h, C))


def test_no_cell_at_all_raises() -> None:
    with pytest.raises(ValueError, match="at least one cell"):
        nn.Recurrent()


@each_network
def test_a_batch_of_none_gives_outputs_of_none_and_zero_gradients(kind: Any) -> None:
    net = kind(2, 3, 2, rng=0)
    ys, _ = net(np.zeros((4, 0, 2)))
    assert ys.shape == (4, 0, 3)
    assert not any(g.any() for g in grads_of(net, ys.sum()).values())
