"""What stands for a result while a function is traced has its shape and dtype, and only where the call would pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops, shapes
from minigrad.compiler.outline import outline

X = np.ones((2, 3, 4), np.float32)
ROWS = mg.tensor([0, 2])
PLACED = {"shape": (3, 3, 4), "dtype": np.dtype("f")}
FOLLOWING: list[tuple[Any, list[np.ndarray], dict[str, Any]]] = [
    *[(p, [X], {"axis": axis}) for p in (ops.sum, ops.max, ops.logsumexp) for axis in (None, 1, -1, (0, 2), ())],
    *[(ops.mean, [X], {"axis": axis, "keepdims": True}) for axis in (None, 0, (-1, 0))],
    *[(p, [X.astype(np.float16)], {"axis": axis}) for p in (ops.softmax, ops.log_softmax) for axis in (0, -1)],
    *[(shapes._stack, [X, X], {"axis": axis}) for axis in (0, 3, -1)],
    *[(shapes._concatenate, [X, X], {"axis": axis, "ends": (n, 2 * n)}) for axis, n in ((0, 2), (-1, 4))],
    (shapes.place, [X[0], X], {**PLACED, "indices": (1, slice(0, 2))}),
    (shapes.place, [X, X[0, 0]], {**PLACED, "indices": (ROWS, (0, -1))}),
]


@pytest.mark.parametrize(("p", "arrays", "static"), FOLLOWING)
def test_shape_and_dtype_of_an_outline_are_those_of_the_result(p: Any, arrays: Any, static: Any) -> None:
    like, result = outline(p, arrays, static), np.asarray(p(*arrays, **static))
    assert like is not None
    assert (like.shape, like.dtype, like.strides) == (result.shape, result.dtype, (0,) * result.ndim)


CALLED: list[tuple[Any, list[Any], dict[str, Any]]] = [
    *[(ops.sum, [X], {"axis": axis}) for axis in (3, (0, 0), (0, -3), [0, 1], True, 1.0)],
    (ops.max, [X[:0]], {}),
    *[(p, [x > 0], {"axis": axis}) for p in (ops.sum, ops.mean, ops.logsumexp) for x, axis in ((X, None), (X, ()))],
    *[(p, [np.array(True)], {}) for p in (ops.sum, ops.mean, ops.logsumexp, ops.max)],
    (ops.sum, [X], {"keepdims": 1}),
    (ops.softmax, [X], {"axis": -4}),
    (ops.softmax, [X], {"axis": None}),
    (shapes._stack, [X, X[0]], {"axis": 0}),
    (shapes._stack, [X, X], {"axis": 4}),
    (shapes._stack, [X, X.astype(np.float64)], {"axis": 0}),
    (shapes._concatenate, [X, X[:, :, :2]], {"axis": 0, "ends": (2, 4)}),
    (shapes._concatenate, [X, X[0]], {"axis": 2, "ends": (4, 4)}),
    (shapes._concatenate, [X, 1.0], {"axis": 0, "ends": (2, 2)}),
    (shapes.place, [X], {**PLACED, "indices": (0,)}),
    (shapes.place, [X[0]], {**PLACED, "indices": (3,)}),
    (shapes.place, [X[0]], {**PLACED, "indices": (0, 1)}),
    (shapes.place, [X[0].astype(np.float64)], {**PLACED, "indices": (0,)}),
    (shapes.place, [X[0]], {**PLACED, "shape": 3, "indices": (0,)}),
]


@pytest.mark.parametrize(("p", "arrays", "static"), CALLED)
def test_what_may_raise_or_has_another_dtype_is_called(p: Any, arrays: Any, static: Any) -> None:
    assert outline(p, arrays, static) is None


def test_what_an_outline_stands_for_is_computed_for_whoever_looks() -> None:
    seen = []
    watch = mg.primitive(lambda x: seen.append(x.copy()) or x, lambda g, y, x: g, name="watch")
    x = mg.tensor([0.5, 2.0])
    mg.compile(lambda x: watch(mg.sinh(x)) + watch(mg.stack([mg.sum(x), mg.sum(x)])))(x)
    np.testing.assert_allclose(seen[0], np.sinh(x.data))
    np.testing.assert_allclose(seen[1], [2.5, 2.5])


def test_a_rule_that_calls_what_has_no_rule_is_called_for_each_node() -> None:
    def loss(x: Any) -> Any:
        for _ in range(4):
            x = mg.absolute(x) - 0.75
        return mg.sum(x * x)

    x = np.array([0.5, -2.0, 3.25])
    assert np.array_equal(mg.compile(mg.grad(loss))(x), mg.grad(loss)(x))


def test_alike_calls_give_arrays_of_arrays_and_tensors_of_tensors() -> None:
    w, a = mg.tensor([1.0, 2.0]), np.array([3.0, 4.0])

    def f(x: Any, t: Any) -> Any:
        return x * x, t * t, mg.multiply(x, w), mg.multiply(x, a), mg.multiply(x, t), mg.multiply(t, a)

    x, t = np.array([1.0, 2.0]), mg.tensor([3.0, 4.0])
    assert [type(y) for y in mg.compile(f)(x, t)] == [type(y) for y in f(x, t)]


def test_a_part_and_the_whole_both_give_their_cotangents() -> None:
    def loss(x: Any) -> Any:
        for _ in range(4):
            x = mg.tanh(x)
            part = x[1]
            x = x * 2.0 + part  # whose cotangent of x comes first
        return mg.sum(x * x)

    x = np.linspace(-1, 1, 6).reshape(2, 3)
    assert np.array_equal(mg.compile(mg.grad(loss))(x), mg.grad(loss)(x))
