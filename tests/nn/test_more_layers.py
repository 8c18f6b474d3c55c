"""LayerNorm, Conv2d, tied weights and variational dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import grads_of, joined, randomised, swapped, weights_of

import minigrad as mg
import nn
from minigrad.testing import check_grad


def check(module: Any, x: np.ndarray, order: int = 2) -> None:
    def f(weights: Any, x: Any) -> Any:
        with swapped(module, weights):
            return module(x)

    check_grad(*joined(f, weights_of(module), x), order=order, mode="project")


# --- layer normalisation ---------------------------------------------------------------------------------------------


@given(shape=st.sampled_from([(3,), (2, 3), (4, 2, 3)]), seed=st.integers(0, 99))
def test_layer_norm_has_the_mean_and_deviation_of_its_parameters(shape: Any, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(shape)
    module = randomised(nn.LayerNorm(3, dtype=np.float64), seed)
    d = x - x.mean(axis=-1, keepdims=True)
    expected = d / np.sqrt((d**2).mean(axis=-1, keepdims=True) + 1e-5) * module.scale.data + module.shift.data
    np.testing.assert_allclose(module(x).data, expected, rtol=1e-10, atol=1e-12)
    check(module, x)


def test_layer_norm_of_equal_entries_is_the_shift_and_has_finite_gradients() -> None:
    module, x = nn.LayerNorm(3), mg.tensor(np.full((2, 3), 7, np.float32), requires_grad=True)
    y = module(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, np.zeros((2, 3)))
    assert np.isfinite(x.grad).all()
    assert y.dtype == np.float32


def test_layer_norm_of_another_size_raises() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 1\), its last size must be 3"):
        nn.LayerNorm(3)(np.ones((2, 1)))


# --- convolution -----------------------------------------------------------------------------------------------------


@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 3),
    image=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    kernel=st.sampled_from([1, 2, 3, (1, 3), (3, 2)]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    bias=st.booleans(),
)
def test_convolution_is_the_sum_over_each_window(
    sizes: Any, image: Any, kernel: Any, stride: int, padding: int, bias: bool
) -> None:
    B, I, O = sizes
    module = randomised(nn.Conv2d(I, O, kernel, stride, padding, bias, dtype=np.float64))
    x = np.random.default_rng(0).standard_normal((B, I, *image))
    y = module(x).data
    around = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    W = module.W.data
    K, L = W.shape[2:]
    assert y.shape[2:] == tuple((n + 2 * padding - k) // stride + 1 for n, k in zip(image, (K, L), strict=True))
    for b, o, r, c in np.ndindex(y.shape):
        window = around[b, :, stride * r : stride * r + K, stride * c : stride * c + L]
        expected = (W[o] * window).sum() + (module.b.data[o] if bias else 0)
        np.testing.assert_allclose(y[b, o, r, c], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 1, 0), ((3, 2), 2, 1), (1, 3, 1)])
def test_convolution_has_the_derivatives_of_finite_differences(kernel: Any, stride: int, padding: int) -> None:
    module = randomised(nn.Conv2d(2, 2, kernel, stride, padding, dtype=np.float64))
    check(module, np.random.default_rng(0).standard_normal((2, 2, 4, 3)))


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 4, 4), (1, 2, 1, 4)], ids=str)
def test_an_image_of_a_wrong_shape_raises_and_is_named(shape: Any) -> None:
    with pytest.raises(ValueError, match=rf"\({str(shape)[1:-1]}\), it must be \(B, 2, R, C\)"):
        nn.Conv2d(2, 3, 2)(np.zeros(shape))


@pytest.mark.parametrize("options", [{"kernel": 0}, {"kernel": 2, "stride": 0}, {"kernel": 2, "padding": -1}], ids=str)
def test_impossible_kernels_raise(options: Any) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        nn.Conv2d(1, 1, **options)


def test_convolution_keeps_float32() -> None:
    assert nn.Conv2d(1, 2, 2, rng=0)(np.ones((1, 1, 3, 3))).dtype == np.float32


# --- tied weights ----------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    """Embedding, something between, and its transpose as the output layer."""

    def __init__(self, copied: bool = False) -> None:
        self.embedding = nn.Embedding(5, 3, rng=0, dtype=np.float64)
        self.head = nn.TiedLinear(nn.Embedding(5, 3, rng=0, dtype=np.float64) if copied else self.embedding)

    def forward(self, x: Any) -> Any:
        return self.head(mg.tanh(self.embedding(x)))


def test_a_tied_weight_is_one_parameter_whose_gradients_add_up() -> None:
    tied, apart, x = Tied(), Tied(copied=True), np.array([[0, 4], [4, 2]])
    assert [name for name, _ in tied.named_parameters()] == ["embedding.W", "head.b"]
    np.testing.assert_allclose(tied(x).data, apart(x).data, rtol=1e-12)
    one, two = (grads_of(m, (m(x) ** 2).sum()) for m in (tied, apart))
    np.testing.assert_allclose(one["embedding.W"], two["embedding.W"] + two["head.source.W"], rtol=1e-12)
    np.testing.assert_allclose(one["head.b"], two["head.b"], rtol=1e-12)


def test_a_tied_weight_stays_tied_after_a_step_and_after_loading() -> None:
    model = Tied()
    optimizer = nn.SGD(model.parameters(), 0.1)
    model(np.array([1, 2])).sum().backward()
    optimizer.step()
    assert model.head.source.W is model.embedding.W
    other = Tied()
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(np.arange(5)).data, model(np.arange(5)).data)


def test_a_tied_layer_has_the_derivatives_of_finite_differences() -> None:
    head = randomised(nn.TiedLinear(nn.Linear(4, 3, rng=0, dtype=np.float64)))
    check(head, np.random.default_rng(0).standard_normal((2, 3)))


# --- variational dropout ---------------------------------------------------------------------------------------------


def test_variational_dropout_drops_the_same_entries_at_all_times() -> None:
    y = nn.VariationalDropout(0.5, rng=0)(np.ones((6, 20, 10)))
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_array_equal(y, np.broadcast_to(y[:1], y.shape))
    assert 0.3 < (y[0] == 0).mean() < 0.7


def test_variational_dropout_is_the_identity_in_evaluation_and_draws_anew_at_each_call() -> None:
    module, x = nn.VariationalDropout(0.5, rng=0), np.ones((3, 4, 5))
    assert not np.array_equal(module(x), module(x))
    np.testing.assert_array_equal(module.eval()(x), x)
