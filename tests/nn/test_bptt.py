"""Backpropagation through time, derived by hand for the simple network; truncation; carried states and their memory."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import grads_of, make_cell, random_state, randomised, softmax

import minigrad as mg
import nn

each_network = pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda kind: kind.__name__)
sizes = st.tuples(st.integers(3, 7), st.integers(2, 4), st.integers(1, 4), st.integers(1, 4)).filter(
    lambda s: s[2] != s[3]
)


# --- by hand ---------------------------------------------------------------------------------------------------------


def by_hand(cell: Any, xs: np.ndarray, targets: np.ndarray, h0: np.ndarray) -> dict[str, np.ndarray]:
    """∇L of L = -Σ_t log ŷ_t[target_t] for a_t = b + W h_{t-1} + U x_t, h_t = tanh a_t, o_t = c + V h_t.

    Columns and matrices as in the textbook, summed over sequences (Goodfellow, Bengio & Courville 2016, equations
    10.18 to 10.28): ∇o_t = ŷ_t - 1_target, ∇h_t = Wᵀ diag(1 - h_{t+1}²) ∇h_{t+1} + Vᵀ ∇o_t, and so on.
    """
    U, W, V = cell.U.data.T, cell.W.data.T, cell.V.data.T
    b, c = cell.b.data, cell.c.data
    grads = {name: np.zeros_like(M) for name, M in {"U": U, "W": W, "V": V, "b": b, "c": c}.items()}
    grads["xs"], grads["h0"] = np.zeros_like(xs), np.zeros_like(h0)
    for n in range(xs.shape[1]):
        h = [h0[n]]
        for x in xs[:, n]:
            h.append(np.tanh(b + W @ h[-1] + U @ x))
        later = np.zeros(len(b))  # Wᵀ diag(1 - h_{t+1}²) ∇h_{t+1}
        for t in reversed(range(len(xs))):
            grad_o = softmax(c + V @ h[t + 1])
            grad_o[targets[t, n]] -= 1
            grad_h = V.T @ grad_o + later
            grad_a = (1 - h[t + 1] ** 2) * grad_h
            grads["c"] += grad_o
            grads["V"] += np.outer(grad_o, h[t + 1])
            grads["b"] += grad_a
            grads["W"] += np.outer(grad_a, h[t])
            grads["U"] += np.outer(grad_a, xs[t, n])
            grads["xs"][t, n] = U.T @ grad_a
            later = W.T @ grad_a
        grads["h0"][n] = later
    return {name: g.T if name in "UWV" else g for name, g in grads.items()}


@given(sizes=sizes, seed=st.integers(0, 99))
def test_gradients_of_U_V_W_b_c_equal_those_derived_by_hand(sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    cell = make_cell(nn.ElmanCell, I, H, seed, O=3)
    x, targets, h0 = rng.standard_normal((T, B, I)), rng.integers(0, 3, (T, B)), rng.standard_normal((B, H))
    xs, h = mg.tensor(x, requires_grad=True), mg.tensor(h0, requires_grad=True)
    o, _ = nn.Recurrent(cell)(xs, (h,))
    grads = grads_of(cell, nn.cross_entropy(o, targets, reduction="sum"))
    expected = by_hand(cell, x, targets, h0)
    for name, g in {**grads, "xs": xs.grad, "h0": h.grad}.items():
        np.testing.assert_allclose(g, expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


# --- truncation ------------------------------------------------------------------------------------------------------


def in_chunks(net: Any, xs: np.ndarray, length: int, state: Any = None) -> Any:
    """Each chunk's outputs and the state before it, detached."""
    for start in range(0, len(xs), length):
        state = before = None if state is None else nn.detach(state)
        ys, state = net(xs[start : start + length], state)
        yield start, before, ys, state


@each_network
@given(sizes=sizes, length=st.integers(1, 4), layers=st.integers(1, 2), seed=st.integers(0, 99))
def test_every_chunks_gradient_is_that_with_the_carried_state_held_constant(
    kind: Any, sizes: Any, length: int, layers: int, seed: int
) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    net = randomised(kind(I, H, layers, dtype=np.float64), seed)
    xs, weights = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, H))
    with mg.no_grad():  # the states as numbers, from the whole sequence up to each chunk
        states = {start: net(xs[:start])[1] for start in range(length, T, length)}
    for start, _, ys, _ in in_chunks(net, xs, length):
        w = weights[start : start + length]
        grads = grads_of(net, (ys * w).sum())
        constant = mg.tree_map(lambda t: t.data, states[start]) if start else None
        expected = grads_of(net, (net(xs[start : start + length], constant)[0] * w).sum())
        for name, g in grads.items():
            np.testing.assert_allclose(g, expected[name], rtol=1e-9, atol=1e-11, err_msg=f"{name} from {start}")


@each_network
def test_without_detach_the_gradient_reaches_back_through_the_carried_state(kind: Any) -> None:
    rng = np.random.default_rng(0)
    net = randomised(kind(2, 3, dtype=np.float64))
    xs = rng.standard_normal((6, 2, 2))
    _, state = net(xs[:3])
    carried = grads_of(net, net(xs[3:], state)[0].sum())
    whole = grads_of(net, net(xs)[0][3:].sum())
    cut = grads_of(net, net(xs[3:], nn.detach(state))[0].sum())
    for name, g in carried.items():
        np.testing.assert_allclose(g, whole[name], rtol=1e-10, atol=1e-12, err_msg=name)
    assert not np.allclose(carried["cells.0.W"], cut["cells.0.W"])


@each_network
@given(sizes=sizes, layers=st.integers(1, 3), cut=st.integers(1, 2), seed=st.integers(0, 99))
def test_a_sequence_in_one_piece_equals_the_same_in_two_with_the_state_carried(
    kind: Any, sizes: Any, layers: int, cut: int, seed: int
) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    net = randomised(kind(I, H, layers, dtype=np.float64), seed)
    xs, state = rng.standard_normal((T, B, I)), random_state(net, B, rng)
    whole, final = net(xs, state)
    first, middle = net(xs[:cut], state)
    second, end = net(xs[cut:], middle)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), whole.data, rtol=1e-12, atol=1e-13)
    for s, e in zip(mg.tree_leaves(end), mg.tree_leaves(final), strict=True):
        np.testing.assert_allclose(s.data, e.data, rtol=1e-12, atol=1e-13)


def test_detach_leaves_what_has_no_record_as_it_is() -> None:
    h = np.ones((2, 3))
    assert nn.detach(None) is None  # the state before the first chunk of a loop
    np.testing.assert_array_equal(nn.detach((h, {"C": h}))[1]["C"], h)


# --- memory ----------------------------------------------------------------------------------------------------------


@each_network
def test_detach_frees_the_record_of_the_chunk_before(kind: Any) -> None:
    net = kind(2, 3, 2, rng=0)
    xs = mg.tensor(np.ones((4, 2, 2), np.float32))
    ys, state = net(xs)
    ends = [weakref.ref(t) for t in [ys, *mg.tree_leaves(state)]]
    inner = weakref.ref(ys.node.inputs[0])  # an output of one time
    gc.disable()  # by reference counts alone
    try:
        state = nn.detach(state)
        del ys
        assert [r() for r in [*ends, inner]] == [None] * (len(ends) + 1)
    finally:
        gc.enable()
    assert all(t.node is None for t in mg.tree_leaves(state))


@each_network
def test_a_detached_state_keeps_no_array_of_its_record_alive(kind: Any) -> None:
    net = kind(2, 3, rng=0)
    _, state = net(np.ones((4, 2, 2), np.float32))
    assert all(t.data.base.nbytes == t.data.nbytes for t in mg.tree_leaves(nn.detach(state)))


def growth(net: Any, before: int, chunks: int, detached: bool) -> int:
    """How many bytes more Python and NumPy hold after training on so many chunks, and `before` them some others."""
    xs, state = np.ones((5, 4, 3), np.float32), None
    held = []
    tracemalloc.start()
    try:
        for count in (before, chunks):
            for _ in range(count):
                ys, state = net(xs, state)
                ys.sum().backward()
                net.zero_grad()
                state = nn.detach(state) if detached else state
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return held[1] - held[0]


@each_network
def test_memory_stays_constant_over_many_detached_chunks(kind: Any) -> None:
    assert growth(kind(3, 8, rng=0), 20, 20, detached=True) < 10_000  # 20 chunks fill the free lists
    assert growth(kind(3, 8, rng=0), 4, 10, detached=False) > 50_000  # and this test could see a leak


@each_network
def test_backward_of_each_chunk_works_while_states_are_carried(kind: Any) -> None:
    net = kind(2, 3, rng=0)
    optimiser = nn.SGD(net.parameters(), 0.1)
    xs = np.random.default_rng(0).standard_normal((9, 2, 2))
    for _, _, ys, _ in in_chunks(net, xs, 3):
        optimiser.zero_grad()
        ys.sum().backward()  # and not: "the data of W changed after this forward call"
        optimiser.step()
    assert optimiser.steps == 3


def test_the_gradient_flows_through_20_000_steps() -> None:
    net = nn.RNN(1, 1, dtype=np.float64)
    for name, value in {"U": 1.0, "W": 1.0, "b": 0.0}.items():
        getattr(net.cells[0], name).data = np.full(getattr(net.cells[0], name).shape, value)
    h0 = mg.tensor([[0.0]], requires_grad=True)  # tanh'(0) = 1, so ∂h_T/∂h_0 = 1
    ys, _ = net(np.zeros((20_000, 1, 1)), (h0,))
    ys[-1].sum().backward()
    np.testing.assert_allclose(h0.grad, [[1.0]])
