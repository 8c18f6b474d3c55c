"""The sum of cotangents: right for every mixture of terms, and never in memory that belongs to someone else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from draw import anywhere, full_shapes, some_shapes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import At, Product, Tensor
from minigrad.accumulate import QUEUED_ROWS, ArraySum, RecordedSum, sum_down
from minigrad.testing import check_grad, indices_of


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


# --- broadcasting ----------------------------------------------------------------------------------------------------


@given(st.data())
def test_sum_down_sums_leading_axes_and_axes_of_size_1(data: st.DataObject) -> None:
    drawn = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3))
    shape, output = drawn.input_shapes[0], drawn.result_shape
    g = data.draw(anywhere(output))
    counted = np.broadcast_to(np.arange(np.prod(shape, dtype=int)).reshape(shape), output)  # whose copy is each entry?
    expected = np.bincount(counted.ravel(), g.ravel(), np.prod(shape, dtype=int)).reshape(shape)
    np.testing.assert_allclose(sum_down(g, shape, output), expected, atol=1e-13, strict=False)
    assert np.shape(sum_down(g, shape, output)) == shape


@pytest.mark.parametrize(
    ("g", "shape", "output"),
    [
        ((3,), (2,), (2,)),
        ((2, 3), (3, 2), (3, 2)),
        ((), (2,), (2,)),
        ((2, 1), (2, 3), (2, 3)),
        ((2, 3), (1, 3), (4, 3)),
    ],
)
def test_sum_down_refuses_a_shape_that_is_no_broadcast_of_the_inputs(g: Any, shape: Any, output: Any) -> None:
    with pytest.raises(ValueError, match="cotangent of shape"):
        sum_down(np.ones(g), shape, output)


@pytest.mark.parametrize("other", [(), (1,), (3,), (2, 3), (0,)])
def test_gradient_of_a_0d_tensor_is_a_0d_array(other: Any) -> None:
    x = leaf(2.0)
    (x * np.ones(other) + x).sum().backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.shape == ()
    assert x.grad == 2 * np.prod(other)


def test_terms_of_a_0d_tensor_add_up_in_every_order() -> None:
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        x = leaf(1.0)
        makers = [lambda x=x: x[()], lambda x=x: x * 2, lambda x=x: (x * np.ones(3)).sum()]
        terms = [makers[k]() for k in order]
        mg.sum(mg.stack(terms)).backward()
        assert x.grad == 6.0


# --- indices ---------------------------------------------------------------------------------------------------------


@given(st.data())
def test_gradient_at_any_index_is_that_of_numpys_add_at(data: st.DataObject) -> None:
    shape = data.draw(full_shapes)
    index = data.draw(indices_of(shape))
    x = leaf(np.zeros(shape))
    y = x[index]
    g = data.draw(anywhere(y.shape))
    y.backward(g)
    expected = np.zeros(shape)
    np.add.at(expected, index, g)
    np.testing.assert_allclose(x.grad, expected, atol=1e-13)


@given(
    st.integers(1, 200),
    st.integers(64, 400),
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4),
    st.integers(0, 2**32 - 1),
)
def test_gradient_of_many_rows_is_that_of_numpys_add_at(V: int, n: int, row: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    index, g = rng.integers(-V, V, n), rng.standard_normal((n, *row))
    x = leaf(np.zeros((V, *row)))
    x[index].backward(g)
    expected = np.zeros((V, *row))
    np.add.at(expected, index, g)
    np.testing.assert_allclose(x.grad, expected, atol=1e-13)


@pytest.mark.parametrize(
    "index",
    [
        np.array([0, 2, 0, 0]),
        np.array([0, -3, 0, 2]),
        [0, 0, 0, 2],
        (np.array([0, 0, 0, 2]), slice(None)),
        (slice(None), np.array([1, 1])),
        (np.array([0, 0, 1]), np.array([1, 1, 0])),
        np.array([[0, 0], [0, 2]]),
        (..., np.array([1, 1, -1])),
        (np.array([0, 0])[:, None], np.array([1, 1])),
    ],
    ids=repr,
)
def test_repeated_integer_indices_add_up(index: Any) -> None:
    x = leaf(np.zeros((3, 2)))
    x[index].sum().backward()
    expected = np.zeros((3, 2))
    np.add.at(expected, index, 1.0)
    assert expected.max() > 1
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint64, np.int64])
@pytest.mark.parametrize("size", [100, 128, 200, 256, 300])
def test_indices_of_every_integer_dtype_reach_their_rows(dtype: Any, size: int) -> None:
    last = min(size - 1, np.iinfo(dtype).max)
    rows = np.array([1, last, 1] + ([-1] if np.iinfo(dtype).min < 0 else []), dtype)
    x = leaf(np.zeros((size, 2)))
    x[rows].sum().backward()
    np.testing.assert_array_equal(x.grad[:, 0], np.bincount(rows.astype(int) % size, minlength=size))


@pytest.mark.parametrize(
    "index", [[], (slice(None), []), np.zeros(0, int), np.zeros((0, 2), int), np.zeros(3, bool)], ids=repr
)
def test_an_empty_index_gives_a_gradient_of_zeros(index: Any) -> None:
    x = leaf(np.ones((3, 2)))
    x[index].sum().backward()
    np.testing.assert_array_equal(x.grad, np.zeros((3, 2)))


def test_take_of_nothing_gives_a_gradient_of_zeros() -> None:
    x = leaf(np.ones(3))
    mg.take(x, []).sum().backward()
    np.testing.assert_array_equal(x.grad, np.zeros(3))


@pytest.mark.parametrize(
    "index", [True, False, np.True_, (np.True_, 0), np.array(2), (np.array(1), 0), np.uint8(2)], ids=repr
)
def test_scalar_masks_and_0d_indices_have_gradients(index: Any) -> None:
    x = leaf(np.arange(6.0).reshape(3, 2))
    y = x[index]
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, np.isin(x.data, y.data))


@pytest.mark.parametrize("index", ["whole", "part"])
def test_a_tensor_of_indices_has_first_and_second_derivatives(index: str) -> None:
    rows = mg.tensor([0, 0, 1])
    f = lambda x: mg.sum((x[rows] if index == "whole" else x[rows, 0]) ** 2)
    x = np.array([[1.0], [2.0]])
    np.testing.assert_array_equal(mg.grad(f)(x).data, [[4], [4]])
    np.testing.assert_array_equal(np.squeeze(mg.hessian(f)(x).data), [[4, 0], [0, 2]])


# --- mixtures of terms -----------------------------------------------------------------------------------------------


@st.composite
def terms(draw: Any) -> tuple[tuple[int, int], list[Any], np.ndarray]:
    """Terms for a matrix, and their sum in the plainest words."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    drawn, total = [], np.zeros(shape)
    for kind in draw(
        st.lists(st.sampled_from(["array", "broadcast", "view", "at", "product"]), min_size=1, max_size=6)
    ):
        if kind == "at":
            index = draw(indices_of(shape))
            g = draw(anywhere(np.shape(total[index])))
            drawn.append(At(index, g))
            np.add.at(total, index, g)
        elif kind == "product":
            n = draw(st.integers(0, 3))
            x, g = draw(anywhere((n, shape[0]))), draw(anywhere((n, shape[1])))
            drawn.append(Product(x, g))
            total += x.T @ g
        else:
            lead = (2,) if kind == "broadcast" else ()
            g = np.broadcast_to(1.25, shape) if kind == "view" else draw(anywhere(lead + shape))
            drawn.append(g)
            total += g.sum(axis=0) if lead else g
    return shape, drawn, total


def arrays_of(term: Any) -> list[np.ndarray]:
    return [part for part in (term if isinstance(term, tuple) else (term,)) if isinstance(part, np.ndarray)]


@pytest.mark.parametrize("kind", [ArraySum, RecordedSum])
@settings(max_examples=8 * settings.default.max_examples)
@given(drawn=terms())
def test_any_mixture_of_terms_sums_up_and_leaves_the_terms_alone(kind: Any, drawn: Any) -> None:
    shape, parts, expected = drawn
    kept = [[a.copy() for a in arrays_of(part)] for part in parts]
    collected = kind(leaf(np.zeros(shape)))
    for part in parts:
        collected.add(part, (2, *shape))
    total = collected.total(owned=True)
    np.testing.assert_allclose(total, expected, atol=1e-12)
    for part, before in zip(parts, kept, strict=True):
        for a, b in zip(arrays_of(part), before, strict=True):
            np.testing.assert_array_equal(a, b)
            assert kind is RecordedSum or not np.shares_memory(a, total)


@settings(max_examples=8 * settings.default.max_examples)
@given(drawn=terms())
def test_recorded_terms_are_tensors_in_and_a_tensor_out(drawn: Any) -> None:
    shape, parts, expected = drawn
    wrap = lambda g: leaf(g) if g.dtype == float else g
    recorded = [part._replace(g=wrap(part.g)) if isinstance(part, tuple) else wrap(part) for part in parts]
    collected = RecordedSum(leaf(np.zeros(shape)))
    for part in recorded:
        collected.add(part, (2, *shape))
    total = collected.total()
    assert isinstance(total, Tensor)
    assert total.requires_grad
    np.testing.assert_allclose(total.data, expected, atol=1e-12)


@pytest.mark.parametrize("rows", [1, QUEUED_ROWS // 3, QUEUED_ROWS, QUEUED_ROWS + 1])
def test_queued_products_of_any_length_sum_up(rows: int) -> None:
    rng = np.random.default_rng(0)
    xs, gs = rng.standard_normal((2, 7, rows, 2)), rng.standard_normal((7, rows, 3))
    w = leaf(rng.standard_normal((2, 3)))
    total = sum(mg.sum(mg.matmul(x, w) * g) for x, g in zip(xs[0], gs))
    total.backward()
    np.testing.assert_allclose(w.grad, sum(x.T @ g for x, g in zip(xs[0], gs)), rtol=1e-10)


def test_a_weights_gradient_over_time_is_one_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    multiply = ArraySum._multiply
    monkeypatch.setattr(ArraySum, "_multiply", lambda self: counted.append(len(self.queue)) or multiply(self))
    w, h = leaf(np.eye(3) * 0.5), mg.tensor(np.ones((2, 3)))
    for _ in range(40):
        h = mg.tanh(h @ w)
    h.sum().backward()
    assert counted == [40]


def recurrent(w: Any, x: Any, e: Any) -> Any:
    """A recurrence that makes every kind of term: x[t] in a loop, products with w, repeated rows of e."""
    h, total = x[0], 0.0
    for t in range(1, 3):
        h = mg.tanh(h @ w + x[t] + e[np.array([0, t, 0])])
        total = total + mg.sum(h * h) + mg.sum(x[t - 1 :]) * mg.sum(e)
    return total


RNG = np.random.default_rng(0)
PROGRAM = (RNG.standard_normal((2, 2)), RNG.standard_normal((3, 3, 2)), RNG.standard_normal((3, 2)))


def test_first_and_second_derivatives_of_a_recurrence_match_finite_differences() -> None:
    check_grad(recurrent, *PROGRAM, order=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_recorded_walk_gives_the_gradients_of_the_plain_one(dtype: Any) -> None:
    inputs = [leaf(x, dtype) for x in PROGRAM]
    recurrent(*inputs).backward()
    recorded = mg.grad(recurrent, (0, 1, 2))(*inputs)
    for x, g in zip(inputs, recorded, strict=True):
        assert g.requires_grad
        assert g.dtype == dtype
        np.testing.assert_allclose(g.data, x.grad, rtol=1e-5)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_two_leaves_never_share_one_gradient_array() -> None:
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x + y).sum().backward()
    x.grad += 5
    np.testing.assert_array_equal(y.grad, [1, 1])


def test_a_gradient_never_shares_memory_with_the_given_cotangent() -> None:
    for f in (lambda x: x + 0.0, lambda x: +x, lambda x: x.reshape(2, 1), lambda x: x[::-1]):
        x = leaf([1.0, 2.0])
        y = f(x)
        g = np.ones(y.shape)
        y.backward(g)
        assert not np.shares_memory(x.grad, g)


def test_a_gradient_is_writable_though_the_cotangent_was_a_read_only_view() -> None:
    x = leaf(np.ones((2, 3)))
    x.sum().backward()
    x.grad *= 2
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 2.0))


@given(some_shapes)
def test_a_float64_cotangent_of_a_float32_tensor_arrives_as_float32(shape: Any) -> None:
    x = leaf(np.ones(shape), np.float32)
    y = x * np.ones(shape)  # float64
    y.backward(np.ones(shape))
    assert y.dtype == np.float64
    assert (x.grad.dtype, x.grad.shape) == (np.float32, shape)
    recorded = mg.grad(lambda x: mg.sum(x * np.ones(shape)))(x)
    assert (recorded.dtype, recorded.shape) == (np.float32, shape)


def test_the_product_of_a_weight_alone_is_handed_out_as_it_is() -> None:
    collected = ArraySum(leaf(np.zeros((2, 3))))
    collected.add(Product(np.ones((4, 2)), np.ones((4, 3))), (4, 3))
    total = collected.total()
    assert collected.total(owned=True) is total
