"""Linear, Embedding, Dropout, Sequential."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from textbook import grads_of, joined, randomised, swapped, weights_of

import minigrad as mg
import nn
from minigrad.testing import check_grad

leading = st.lists(st.integers(0, 4), max_size=3).map(tuple)
number = st.integers(1, 4)


def arrays(rng: Any, *shapes: Any) -> list[np.ndarray]:
    return [rng.standard_normal(shape) for shape in shapes]


# --- Linear ----------------------------------------------------------------------------------------------------------


@given(lead=leading, I=number, O=number, bias=st.booleans(), seed=st.integers(0, 99))
def test_linear_is_rows_times_W_plus_b(lead: Any, I: int, O: int, bias: bool, seed: int) -> None:
    layer = randomised(nn.Linear(I, O, bias=bias, dtype=np.float64), seed)
    x = np.random.default_rng(seed).standard_normal((*lead, I))
    y = layer(x)
    expected = np.empty((*lead, O))
    for k in np.ndindex(*lead):
        expected[k] = layer.W.data.T @ x[k] + (layer.b.data if bias else 0)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-13)


@given(lead=st.sampled_from([(), (0,), (3,), (2, 2)]), I=number, O=number, bias=st.booleans(), seed=st.integers(0, 99))
def test_linear_derivatives_match_finite_differences(lead: Any, I: int, O: int, bias: bool, seed: int) -> None:
    layer = randomised(nn.Linear(I, O, bias=bias, dtype=np.float64), seed)

    def f(weights: Any, x: Any) -> Any:
        with swapped(layer, weights):
            return mg.tanh(layer(x))

    x = np.random.default_rng(seed).standard_normal((*lead, I))
    check_grad(*joined(f, weights_of(layer), x), order=2, mode="project")


@given(lead=leading, I=number, O=number, bias=st.booleans(), seed=st.integers(0, 99))
def test_linear_of_integers_is_linear_of_one_hot_vectors(lead: Any, I: int, O: int, bias: bool, seed: int) -> None:
    assume(len(lead) < 2 or lead[-1] != I)  # which may be rows of features
    rng = np.random.default_rng(seed)
    layer = randomised(nn.Linear(I, O, bias=bias, dtype=np.float64), seed)
    numbers, g = rng.integers(0, I, lead), rng.standard_normal((*lead, O))
    y, hot = layer(numbers), layer(np.eye(I)[numbers])
    np.testing.assert_allclose(y.data, hot.data, rtol=1e-13)
    grads, expected = grads_of(layer, y, g), grads_of(layer, hot, g)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, expected[name], rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("integers", [False, True])
def test_linear_keeps_float32_in_output_and_gradients(integers: bool) -> None:
    layer = nn.Linear(3, 2, rng=0)
    y = layer(np.array([0, 2]) if integers else np.ones((2, 3)))
    assert y.dtype == np.float32
    assert {g.dtype for g in grads_of(layer, y.sum()).values()} == {np.dtype(np.float32)}


def test_linear_starts_glorot_uniform_with_zero_bias_in_the_asked_dtype() -> None:
    layer = nn.Linear(30, 20, rng=0, dtype=np.float64)
    np.testing.assert_array_equal(layer.W.data, nn.init.glorot_uniform((30, 20), rng=0, dtype=np.float64))
    np.testing.assert_array_equal(layer.b.data, np.zeros(20))
    assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float64)}


def test_linear_without_bias_has_one_parameter() -> None:
    assert [name for name, _ in nn.Linear(2, 3, bias=False).named_parameters()] == ["W"]


@pytest.mark.parametrize("shape", [(), (2,), (4, 2), (3, 4)], ids=str)
def test_linear_refuses_another_last_size_and_names_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"shape \({str(shape)[1:-1]}\), its last size must be 3"):
        nn.Linear(3, 2)(np.zeros(shape))


@pytest.mark.parametrize("bad", [-1, 3])
def test_linear_refuses_an_integer_out_of_range_and_names_the_range(bad: int) -> None:
    with pytest.raises(ValueError, match=rf"within 0 \.\.\. 2, got .*{bad}"):
        nn.Linear(3, 2)(np.array([1, bad]))


def test_linear_reads_lists_numbers_and_booleans() -> None:
    layer = nn.Linear(2, 3, rng=0)
    np.testing.assert_array_equal(layer([[1.0, 0.0]]).data, layer(np.array([[1.0, 0.0]])).data)
    np.testing.assert_array_equal(layer([1, 0]).data, layer(np.array([1, 0])).data)
    np.testing.assert_array_equal(layer(np.array([True, False])).data, layer(np.array([1.0, 0.0])).data)
    np.testing.assert_array_equal(layer(1).data, layer(np.array([0.0, 1.0])).data)


# --- Embedding -------------------------------------------------------------------------------------------------------


@given(lead=leading, V=number, O=number, seed=st.integers(0, 99))
def test_embedding_is_the_row_of_each_integer_and_repeated_rows_gradients_add_up(
    lead: Any, V: int, O: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.Embedding(V, O, rng=seed, dtype=np.float64)
    x, g = rng.integers(0, V, lead), rng.standard_normal((*lead, O))
    y = layer(x)
    expected = np.zeros((V, O))
    for k in np.ndindex(*lead):
        np.testing.assert_array_equal(y.data[k], layer.W.data[x[k]])
        expected[x[k]] += g[k]
    np.testing.assert_allclose(grads_of(layer, y, g)["W"], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("x", [np.array([0.0]), np.array([True]), mg.tensor([1.0])], ids=["float", "bool", "tensor"])
def test_embedding_refuses_what_is_no_integer(x: Any) -> None:
    with pytest.raises(TypeError, match="Embedding: inputs must be integers"):
        nn.Embedding(3, 2)(x)


@pytest.mark.parametrize("bad", [-1, 3])
def test_embedding_refuses_a_row_that_is_not_there(bad: int) -> None:
    with pytest.raises(ValueError, match=rf"within 0 \.\.\. 2, got .*{bad}"):
        nn.Embedding(3, 2)(np.array([[0], [bad]]))


def test_embedding_starts_from_the_standard_normal_distribution_in_float32() -> None:
    W = nn.Embedding(200, 50, rng=0).W
    assert W.dtype == np.float32
    np.testing.assert_allclose([W.data.mean(), W.data.std()], [0, 1], atol=0.03)


# --- Dropout ---------------------------------------------------------------------------------------------------------


@given(shape=leading, p=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_dropout_in_eval_is_the_identity(shape: Any, p: float, seed: int) -> None:
    x = mg.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)
    y = nn.Dropout(p, rng=seed).eval()(x)
    np.testing.assert_array_equal(y.data, x.data)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, np.ones(shape))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_in_training_drops_a_share_of_p_and_keeps_the_mean(p: float, dtype: Any) -> None:
    n = 200_000
    y = nn.Dropout(p, rng=0)(mg.tensor(np.ones(n, dtype)))
    assert y.dtype == dtype
    spread = np.sqrt(p * (1 - p) / n)
    assert abs((y.data == 0).mean() - p) < 5 * spread
    assert abs(y.data.mean(dtype=float) - 1) < 5 * spread / (1 - p)
    np.testing.assert_allclose(np.unique(y.data), [0, 1 / (1 - p)], rtol=1e-6)


def test_dropout_has_gradient_0_where_it_dropped_and_1_over_1_minus_p_elsewhere() -> None:
    x = mg.tensor(np.full(1000, 3.0), requires_grad=True)
    y = nn.Dropout(0.75, rng=0)(x)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, y.data / 3.0)
    np.testing.assert_array_equal(np.unique(x.grad), [0.0, 4.0])


def test_dropout_draws_a_new_mask_at_each_call_and_the_same_ones_from_the_same_seed() -> None:
    x = np.ones(100)
    a, b = nn.Dropout(0.5, rng=4), nn.Dropout(0.5, rng=4)
    first, second = a(x), a(x)
    np.testing.assert_array_equal(first, b(x))
    np.testing.assert_array_equal(second, b(x))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, nn.Dropout(0.5, rng=5)(x))


def test_dropout_of_0_is_the_identity_even_in_training() -> None:
    x = mg.tensor(np.arange(5.0))
    np.testing.assert_array_equal(nn.Dropout(0.0)(x).data, x.data)


def test_dropout_is_at_work_before_anyone_calls_train() -> None:
    assert (nn.Dropout(0.5, rng=0)(np.ones(100)) == 0).any()


@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0, float("nan")])
def test_dropout_refuses_a_p_outside_of_0_to_1(p: float) -> None:
    with pytest.raises(ValueError, match=r"Dropout: p must lie within \[0, 1\), got"):
        nn.Dropout(p)


# --- Sequential ------------------------------------------------------------------------------------------------------


def test_sequential_applies_its_layers_and_functions_from_first_to_last() -> None:
    layers = [nn.Linear(2, 3, rng=0), mg.tanh, nn.Linear(3, 1, rng=1)]
    net, x = nn.Sequential(*layers), np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(net(x).data, layers[2](mg.tanh(layers[0](x))).data)
    assert len(net) == 3
    assert net[1] is mg.tanh


def test_sequential_finds_the_parameters_of_its_layers() -> None:
    net = nn.Sequential(nn.Linear(2, 3), mg.tanh, nn.Linear(3, 1))
    names = [name for name, _ in net.named_parameters()]
    assert names == ["layers.0.W", "layers.0.b", "layers.2.W", "layers.2.b"]


def test_sequential_of_nothing_is_the_identity() -> None:
    x = mg.tensor([1.0])
    assert nn.Sequential()(x) is x


def test_parameter_is_a_leaf_that_requires_a_gradient_and_copies_its_data() -> None:
    data = np.ones(2, np.float32)
    p = nn.parameter(data)
    data[:] = 5
    assert (p.requires_grad, p.primitive, p.dtype) == (True, None, np.float32)
    np.testing.assert_array_equal(p.data, [1, 1])


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float64])
def test_plain_numbers_are_read_in_the_dtype_of_the_layer_integers_too(dtype: Any) -> None:
    x = (np.arange(18).reshape(1, 2, 3, 3) % 5).astype(dtype)
    for layer in (nn.Conv2d(2, 2, 2, rng=0), nn.LayerNorm(3), nn.LayerNorm(3, elementwise_affine=False)):
        y = layer(x)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y.data, layer(x.astype(np.float32)).data)
