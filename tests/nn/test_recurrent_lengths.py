"""Sequences of unequal lengths, both directions: each sequence of a padded batch must be as if it stood alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from textbook import grads_of, joined, put, random_state, randomised, swapped, weights_of

import minigrad as mg
import nn
from minigrad.testing import check_grad

each_network = pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda kind: kind.__name__)
directions = st.sampled_from([{}, {"reverse": True}, {"bidirectional": True}])
few = settings(max_examples=4, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def alone(net: Any, xs: np.ndarray, state: Any, b: int, n: int) -> tuple[np.ndarray, Any]:
    """Outputs and final states of the first n steps of sequence b, each cell called in a plain loop."""
    inputs, finals = xs[:n, b : b + 1], []
    for layer in range(len(net.cells) // net.directions):
        sides = []
        for k in range(net.directions):
            cell = net.cells[layer * net.directions + k]
            s = mg.tree_map(lambda a: a[b : b + 1], state[layer * net.directions + k])
            backwards = net.reverse or k == 1
            ys = []
            for x in inputs[::-1] if backwards else inputs:
                y, s = cell(x, s)
                ys.append(y.data)
            sides.append(np.stack(ys[::-1] if backwards else ys))
            finals.append(mg.tree_map(np.array, nn.detach(s)))
        inputs = np.concatenate(sides, axis=-1)
    return inputs, finals


@each_network
@given(
    T=st.integers(3, 6),
    lengths=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    layers=st.integers(1, 2),
    options=directions,
    checkpoint=st.sampled_from([None, 2]),
    seed=st.integers(0, 99),
)
def test_every_sequence_of_a_padded_batch_is_as_if_alone(
    kind: Any, T: int, lengths: list[int], layers: int, options: Any, checkpoint: Any, seed: int
) -> None:
    lengths, B = [min(n, T) for n in lengths], len(lengths)
    rng = np.random.default_rng(seed)
    net = randomised(kind(2, 3, layers, dtype=np.float64, checkpoint=checkpoint, **options), seed)
    xs, state = rng.standard_normal((T, B, 2)), random_state(net, B, rng)
    ys, finals = net(xs, state, lengths)
    for b, n in enumerate(lengths):
        expected, expected_finals = alone(net, xs, state, b, n)
        np.testing.assert_allclose(ys.data[:n, b : b + 1], expected, rtol=1e-12, atol=1e-13)
        assert not ys.data[n:, b].any()
        for s, e in zip(mg.tree_leaves(finals), mg.tree_leaves(expected_finals), strict=True):
            np.testing.assert_allclose(s.data[b : b + 1], e, rtol=1e-12, atol=1e-13)


@each_network
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"bidirectional": True}], ids=str)
def test_gradients_of_a_padded_batch_are_the_sums_of_those_alone(kind: Any, options: Any) -> None:
    rng, lengths = np.random.default_rng(0), [2, 5, 3]
    net = randomised(kind(2, 3, 2, dtype=np.float64, **options))
    xs, state = rng.standard_normal((5, 3, 2)), random_state(net, 3, rng)
    ys, finals = net(xs, state, lengths)
    together = grads_of(net, (ys * ys).sum() + sum((s * s).sum() for s in mg.tree_leaves(finals)))
    total = {name: np.zeros_like(g) for name, g in together.items()}
    for b, n in enumerate(lengths):
        ys, finals = net(xs[:n, b : b + 1], mg.tree_map(lambda a, b=b: a[b : b + 1], state))
        for name, g in grads_of(net, (ys * ys).sum() + sum((s * s).sum() for s in mg.tree_leaves(finals))).items():
            total[name] += g
    for name, g in together.items():
        np.testing.assert_allclose(g, total[name], rtol=1e-10, atol=1e-12, err_msg=name)


@each_network
@few
@given(options=directions, checkpoint=st.sampled_from([None, 2]), layers=st.integers(1, 2), seed=st.integers(0, 99))
def test_derivatives_with_lengths_match_finite_differences(
    kind: Any, options: Any, checkpoint: Any, layers: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    net = randomised(kind(2, 1, layers, dtype=np.float64, checkpoint=checkpoint, **options), seed)
    kept = net.parameters()

    def f(weights: Any, xs: Any, state: Any) -> Any:
        put(net, weights)  # and leave them: a checkpoint reads them once more, on the way back
        return net(xs, state, [1, 3], return_states=True)

    with swapped(net, kept):
        inputs = weights_of(net), rng.standard_normal((3, 2, 2)), random_state(net, 2, rng)
        check_grad(*joined(f, *inputs), order=2 if checkpoint is None and layers == 1 else 1, mode="project")


@each_network
@pytest.mark.parametrize("fill", [np.nan, np.inf, 1e30], ids=str)
def test_what_stands_in_the_padding_is_never_read(kind: Any, fill: float) -> None:
    rng, lengths = np.random.default_rng(0), [4, 2]
    net = randomised(kind(2, 3, 2, dtype=np.float64, bidirectional=True))
    xs = rng.standard_normal((4, 2, 2))
    clean = net(xs, lengths=lengths)[0]
    expected = grads_of(net, clean.sum())
    xs[2:, 1] = fill
    dirty = mg.tensor(xs, requires_grad=True)
    ys, _ = net(dirty, lengths=lengths)
    for name, g in grads_of(net, ys.sum()).items():
        np.testing.assert_array_equal(g, expected[name])
    np.testing.assert_array_equal(ys.data, clean.data)
    assert not dirty.grad[2:, 1].any()
    assert dirty.grad[:2, 1].all()


def test_integers_in_the_padding_may_be_of_any_value() -> None:
    net = nn.GRU(3, 2, rng=0)
    xs = np.array([[0, 1], [2, -100]])
    ys, _ = net(xs, lengths=[2, 1])
    xs[1, 1] = 0
    np.testing.assert_array_equal(ys.data, net(xs, lengths=[2, 1])[0].data)


@each_network
def test_a_sequence_of_no_step_keeps_its_initial_state(kind: Any) -> None:
    rng = np.random.default_rng(0)
    net = randomised(kind(2, 3, dtype=np.float64, bidirectional=True))
    state = random_state(net, 2, rng)
    ys, finals = net(rng.standard_normal((3, 2, 2)), state, [0, 3])
    assert not ys.data[:, 0].any()
    for s, before in zip(mg.tree_leaves(finals), mg.tree_leaves(state), strict=True):
        np.testing.assert_array_equal(s.data[0], before[0])


@each_network
def test_full_lengths_change_nothing_and_add_no_operation(kind: Any) -> None:
    net, xs = kind(2, 3, rng=0), np.ones((3, 2, 2))
    ys, plain = net(xs, lengths=[3, 3])[0], net(xs)[0]
    np.testing.assert_array_equal(ys.data, plain.data)
    assert ys.primitive is plain.primitive


@each_network
def test_padded_float32_stays_float32(kind: Any) -> None:
    net = kind(2, 3, rng=0)
    ys, state = net(np.ones((3, 2, 2)), lengths=np.array([1, 3]))
    assert {t.dtype for t in [ys, *mg.tree_leaves(state)]} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 5], r"within 0 \.\.\. T = 4, got 3 \.\.\. 5"),
        ([-1, 3], r"within 0 \.\.\. T = 4, got -1"),
        ([1, 2, 3], r"integers of shape \(2,\), got int64 of shape \(3,\)"),
        ([1.0, 2.0], r"integers of shape \(2,\), got float64"),
        (3, r"integers of shape \(2,\)"),
    ],
)
def test_lengths_that_do_not_fit_raise(lengths: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.RNN(2, 3)(np.zeros((4, 2, 2)), lengths=lengths)


# --- every step's state ----------------------------------------------------------------------------------------------


@each_network
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"checkpoint": 2}, {"bidirectional": True}], ids=str)
@pytest.mark.parametrize("lengths", [None, [2, 5, 4]], ids=str)
def test_returned_states_are_those_after_each_step(kind: Any, options: Any, lengths: Any) -> None:
    rng = np.random.default_rng(0)
    net = randomised(kind(2, 3, 2, dtype=np.float64, **options))
    xs = rng.standard_normal((5, 3, 2))
    ys, finals, states = net(xs, lengths=lengths, return_states=True)
    np.testing.assert_array_equal(ys.data, net(xs, lengths=lengths)[0].data)
    assert [s.shape for s in mg.tree_leaves(states)] == [(5, 3, 3)] * len(mg.tree_leaves(finals))
    for k, (final, history) in enumerate(zip(finals, states, strict=True)):
        last = 0 if net.reverse or k % net.directions else -1
        for s, h in zip(mg.tree_leaves(final), mg.tree_leaves(history), strict=True):
            np.testing.assert_array_equal(s.data, h.data[last])
    top = [mg.tree_leaves(s)[0].data for s in states[-net.directions :]]  # h is the output
    outputs = np.concatenate(top, axis=-1) * (ys.data != 0)
    np.testing.assert_array_equal(ys.data, outputs)


@pytest.mark.parametrize("rows", [0, 1, slice(0, 1)], ids=str)
def test_an_output_without_the_batch_is_refused_with_lengths_and_not_spread_over_it(rows: Any) -> None:
    cell = nn.FunctionCell(lambda x, h: (h[rows], h), initial_state=lambda B: mg.tensor(np.zeros((B, 4))))
    xs = np.ones((3, 2, 4))
    nn.Recurrent(cell)(xs)
    for options in ({}, {"checkpoint": 2}):
        with pytest.raises(ValueError, match=r"an output must have the batch of 2 along its first axis, .* shape"):
            nn.Recurrent(cell, **options)(xs, lengths=[2, 3])


def test_outputs_of_different_shapes_are_refused_by_the_cells_name_and_the_steps() -> None:
    class Growing(nn.Cell):
        H = 4

        def step(self, x: Any, h: Any, t: int) -> Any:
            return h[:, : 1 + t // 2], h

    with pytest.raises(ValueError, match=r"Growing: .* one shape, step 0 returned \(2, 1\) and step 2 \(2, 2\)"):
        nn.Recurrent(Growing())(np.ones((3, 2, 4)))
