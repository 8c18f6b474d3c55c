"""Every equation of the recurrent cells, re-derived in plain NumPy; what a cell promises besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import STEPS, arrays_of, grads_of, make_cell, random_state, unrolled

import minigrad as mg
import nn

KINDS = list(STEPS)
GATED = {nn.RNNCell: 1, nn.LSTMCell: 4, nn.GRUCell: 3}  # and how many blocks U has
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
each_gated = pytest.mark.parametrize("kind", GATED, ids=lambda kind: kind.__name__)

# T >= 3, B >= 2 and I != H: a transposed matrix or a wrong order of products cannot hide
sizes = st.tuples(st.integers(3, 6), st.integers(2, 4), st.integers(1, 5), st.integers(1, 5)).filter(
    lambda s: s[2] != s[3]
)


def run(cell: Any, xs: Any, state: Any) -> tuple[Any, Any]:
    """The cell alone, step by step, as a user would call it."""
    outputs = []
    for x in xs:
        y, state = cell(x, state)
        outputs.append(y)
    return mg.stack(outputs), state


# --- the equations ---------------------------------------------------------------------------------------------------


@each_kind
@given(sizes=sizes, seed=st.integers(0, 99))
def test_unrolled_cell_follows_its_equations(kind: Any, sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    cell = make_cell(kind, I, H, seed)
    xs, state = rng.standard_normal((T, B, I)), random_state(cell, B, rng)
    ys, final = run(cell, xs, state)
    expected, expected_final = unrolled(cell, xs, state)
    np.testing.assert_allclose(ys.data, expected, rtol=1e-12, atol=1e-12)
    for s, e in zip(mg.tree_leaves(final), mg.tree_leaves(expected_final), strict=True):
        np.testing.assert_allclose(s.data, e, rtol=1e-12, atol=1e-12)


@each_gated
@given(sizes=sizes, seed=st.integers(0, 99))
def test_unrolled_cell_without_bias_follows_its_equations(kind: Any, sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    cell = make_cell(kind, I, H, seed, bias=False)
    assert cell.b is None
    xs, state = rng.standard_normal((T, B, I)), random_state(cell, B, rng)
    ys, final = run(cell, xs, state)
    expected, expected_final = unrolled(cell, xs, state)
    np.testing.assert_allclose(ys.data, expected, rtol=1e-12, atol=1e-12)
    for s, e in zip(mg.tree_leaves(final), mg.tree_leaves(expected_final), strict=True):
        np.testing.assert_allclose(s.data, e, rtol=1e-12, atol=1e-12)


@given(sizes=sizes, seed=st.integers(0, 99))
def test_elman_loss_is_the_sum_over_time_of_minus_log_softmax_at_the_target(sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    cell = make_cell(nn.ElmanCell, I, H, seed, O=3)
    xs, targets = rng.standard_normal((T, B, I)), rng.integers(0, 3, (T, B))
    o, _ = run(cell, xs, cell.initial_state(B))
    expected_o, _ = unrolled(cell, xs, np.zeros((B, H)))
    total = 0.0
    for t in range(T):
        for n in range(B):
            e = np.exp(expected_o[t, n])
            total -= np.log(e[targets[t, n]] / e.sum())
    np.testing.assert_allclose(nn.cross_entropy(o, targets, reduction="sum").item(), total, rtol=1e-12)


@each_kind
def test_the_first_state_is_zeros_of_the_documented_shape_and_dtype(kind: Any) -> None:
    cell = make_cell(kind, 2, 3, dtype=np.float32)
    state = cell.initial_state(4)
    leaves = mg.tree_leaves(state)
    assert isinstance(state, tuple) == (kind is nn.LSTMCell)
    assert [(s.shape, s.dtype) for s in leaves] == [((4, 3), np.float32)] * (2 if kind is nn.LSTMCell else 1)
    assert not any(s.data.any() for s in leaves)


@each_kind
def test_a_call_without_state_starts_from_the_first_state(kind: Any) -> None:
    cell, x = make_cell(kind, 2, 3), np.random.default_rng(0).standard_normal((4, 2))
    (y, state), (expected, expected_state) = cell(x), cell(x, cell.initial_state(4))
    np.testing.assert_array_equal(y.data, expected.data)
    for s, e in zip(mg.tree_leaves(state), mg.tree_leaves(expected_state), strict=True):
        np.testing.assert_array_equal(s.data, e.data)


@each_kind
def test_project_then_step_is_the_call(kind: Any) -> None:
    rng = np.random.default_rng(0)
    cell = make_cell(kind, 2, 3)
    xs, state = rng.standard_normal((5, 4, 2)), random_state(cell, 4, rng)
    projected = cell.project(xs)
    y, _ = cell.step(projected[2], state)
    np.testing.assert_allclose(y.data, cell(xs[2], state)[0].data, rtol=1e-13)


# --- one-hot vectors and integers ------------------------------------------------------------------------------------


@each_kind
@given(sizes=sizes, seed=st.integers(0, 99))
def test_integers_give_the_outputs_and_gradients_of_their_one_hot_vectors(kind: Any, sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    cell = make_cell(kind, I, H, seed)
    numbers, state = rng.integers(0, I, (T, B)), random_state(cell, B, rng)
    ys, final = run(cell, numbers, state)
    g = rng.standard_normal(ys.shape)
    grads = grads_of(cell, ys, g)
    hot, hot_final = run(cell, np.eye(I)[numbers], state)
    hot_grads = grads_of(cell, hot, g)
    np.testing.assert_allclose(ys.data, hot.data, rtol=1e-12, atol=1e-12)
    for s, e in zip(mg.tree_leaves(final), mg.tree_leaves(hot_final), strict=True):
        np.testing.assert_allclose(s.data, e.data, rtol=1e-12, atol=1e-12)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, hot_grads[name], rtol=1e-10, atol=1e-12, err_msg=name)


@each_kind
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_every_integer_dtype_stands_for_one_hot_vectors(kind: Any, dtype: Any) -> None:
    cell = make_cell(kind, 4, 3)
    y, _ = cell(np.array([3, 0], dtype))
    np.testing.assert_allclose(y.data, cell(np.eye(4)[[3, 0]])[0].data, rtol=1e-13)


@each_kind
@pytest.mark.parametrize("bad", [-1, 4])
def test_an_integer_out_of_range_raises_and_names_the_range(kind: Any, bad: int) -> None:
    with pytest.raises(ValueError, match=rf"within 0 \.\.\. 3, got .*{bad}"):
        make_cell(kind, 4, 3)(np.array([0, bad]))


@each_kind
def test_a_wrong_last_size_raises_and_names_the_shape(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 5\), its last size must be 4"):
        make_cell(kind, 4, 3)(np.zeros((2, 5)))


@each_kind
@pytest.mark.parametrize(
    "x", [np.zeros(4), np.zeros((2, 2, 4)), np.zeros((4, 4), int)], ids=["no batch", "times", "integer one-hot"]
)
def test_inputs_with_too_few_or_too_many_axes_raise_and_name_their_shape(kind: Any, x: np.ndarray) -> None:
    with pytest.raises(ValueError, match=rf"\({str(x.shape)[1:-1]}\)"):
        make_cell(kind, 4, 3)(x)


@each_kind
@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (2, 4), (3,)], ids=str)
def test_a_state_of_a_wrong_shape_raises_and_names_both_shapes(kind: Any, shape: tuple[int, ...]) -> None:
    cell = make_cell(kind, 4, 3)
    state = mg.tree_map(lambda t: np.zeros(shape), cell.initial_state(2))
    with pytest.raises(ValueError, match=rf"{str(shape)[1:-1]}.*2, 3|2, 3.*{str(shape)[1:-1]}"):
        cell(np.zeros((2, 4)), state)


def test_an_lstm_cell_does_not_take_the_rows_of_h_for_h_and_C() -> None:
    with pytest.raises(ValueError, match="state"):
        nn.LSTMCell(2, 3)(np.zeros((2, 2)), np.zeros((2, 3)))


# --- dtype and batch -------------------------------------------------------------------------------------------------


@each_kind
@given(sizes=sizes, integers=st.booleans())
def test_float32_stays_float32_in_outputs_states_and_gradients(kind: Any, sizes: Any, integers: bool) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(0)
    cell = make_cell(kind, I, H, dtype=np.float32)
    xs = rng.integers(0, I, (T, B)) if integers else rng.standard_normal((T, B, I))  # float64, read as float32
    ys, state = run(cell, xs, cell.initial_state(B))
    assert {t.dtype for t in [ys, *mg.tree_leaves(state)]} == {np.dtype(np.float32)}
    assert {g.dtype for g in grads_of(cell, ys.sum()).values()} == {np.dtype(np.float32)}


@each_kind
def test_a_plain_float64_state_is_read_in_float32_by_a_float32_cell(kind: Any) -> None:
    cell = make_cell(kind, 2, 3, dtype=np.float32)
    y, state = cell(np.ones((4, 2)), random_state(cell, 4, np.random.default_rng(0)))
    assert {t.dtype for t in [y, *mg.tree_leaves(state)]} == {np.dtype(np.float32)}


@each_kind
@given(sizes=sizes, seed=st.integers(0, 99))
def test_rows_of_a_batch_are_independent(kind: Any, sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    cell = make_cell(kind, I, H, seed)
    xs, state = mg.tensor(rng.standard_normal((T, B, I)), requires_grad=True), random_state(cell, B, rng)
    ys, _ = run(cell, xs, state)
    ys[:, 0].sum().backward()
    assert xs.grad is not None
    assert xs.grad[:, 0].any()
    assert not xs.grad[:, 1:].any()
    alone, _ = run(cell, xs[:, :1], mg.tree_map(lambda s: s[:1], state))
    np.testing.assert_allclose(ys.data[:, :1], alone.data, rtol=1e-12, atol=1e-12)


# --- initial weights -------------------------------------------------------------------------------------------------


def test_lstm_forget_bias_starts_at_1_and_every_other_bias_at_0() -> None:
    np.testing.assert_array_equal(nn.LSTMCell(2, 3, rng=0).b.data, [1, 1, 1] + [0] * 9)
    np.testing.assert_array_equal(nn.LSTMCell(2, 3, rng=0, forget_bias=-2.0).b.data, [-2, -2, -2] + [0] * 9)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.ElmanCell, nn.GRUCell], ids=lambda kind: kind.__name__)
def test_biases_start_at_0(kind: Any) -> None:
    cell = kind(2, 3, 4) if kind is nn.ElmanCell else kind(2, 3)
    assert not cell.b.data.any()
    assert kind is not nn.ElmanCell or not cell.c.data.any()


def test_a_fresh_lstm_keeps_its_memory_better_with_a_large_forget_bias() -> None:
    state = (np.zeros((1, 3)), np.ones((1, 3)))
    kept = [nn.LSTMCell(2, 3, rng=0, forget_bias=b)(np.zeros((1, 2)), state)[1][1].data for b in (-9.0, 9.0)]
    np.testing.assert_allclose(kept[0], 0.0, atol=1e-2)
    np.testing.assert_allclose(kept[1], 1.0, atol=1e-2)


@each_gated
def test_each_gate_has_glorot_bounds_of_its_own_for_U_and_an_orthogonal_block_for_W(kind: Any) -> None:
    I, H = 30, 20
    cell = kind(I, H, rng=0, dtype=np.float64)
    s = np.sqrt(6 / (I + H))
    for block in np.split(cell.U.data, GATED[kind], axis=1):
        assert 0.9 * s < np.abs(block).max() <= s
    blocks = np.split(cell.W.data, cell.W.shape[1] // H, axis=1)
    blocks += [cell.W_h.data] if kind is nn.GRUCell else []
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(H), atol=1e-12)
    assert not any(np.array_equal(a, b) for k, a in enumerate(blocks) for b in blocks[:k])


@each_kind
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(kind: Any) -> None:
    def weights(rng: Any) -> list[np.ndarray]:
        return arrays_of(kind(2, 3, 4, rng=rng) if kind is nn.ElmanCell else kind(2, 3, rng=rng))

    for a, b in zip(weights(7), weights(np.random.default_rng(7)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(weights(7)[0], weights(8)[0])


@each_kind
def test_parameters_have_the_documented_names_shapes_and_dtype(kind: Any) -> None:
    expected = {
        nn.RNNCell: {"U": (2, 3), "W": (3, 3), "b": (3,)},
        nn.ElmanCell: {"U": (2, 3), "W": (3, 3), "b": (3,), "V": (3, 2), "c": (2,)},
        nn.LSTMCell: {"U": (2, 12), "W": (3, 12), "b": (12,)},
        nn.GRUCell: {"U": (2, 9), "W": (3, 6), "b": (9,), "W_h": (3, 3)},
    }
    for dtype in (np.float32, np.float64):
        cell = make_cell(kind, 2, 3, dtype=dtype)
        assert {name: p.shape for name, p in cell.named_parameters()} == expected[kind]
        assert {p.dtype for p in cell.parameters()} == {np.dtype(dtype)}


def test_a_cell_without_step_says_so_by_name() -> None:
    class Lazy(nn.Cell):
        H = 2

    with pytest.raises(NotImplementedError, match=r"Lazy does not define step\(x, state\)"):
        Lazy()(np.zeros((1, 2)))
