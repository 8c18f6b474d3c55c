"""Axes and counts that are none: refused by the name of the function that was called, with the value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

X = np.arange(24.0).reshape(2, 3, 4)
OF_ONE_AXIS: dict[str, Callable[[Any, Any], Any]] = {
    "take": lambda x, axis: mg.take(x, [0], axis),
    "median": lambda x, axis: mg.median(x, axis=axis),
    "take_along_axis": lambda x, axis: mg.take_along_axis(x, np.zeros((2, 3, 1), int), axis),
    "repeat": lambda x, axis: mg.repeat(x, 2, axis),
    "unstack": lambda x, axis: mg.unstack(x, axis=axis),
    "diff": lambda x, axis: mg.diff(x, axis=axis),
    "trapezoid": lambda x, axis: mg.trapezoid(x, axis=axis),
    "tensordot": lambda x, axis: mg.tensordot(x, x, ([axis], [axis])),
    "sum": lambda x, axis: mg.sum(x, axis=axis),
    "prod": lambda x, axis: mg.prod(x, axis=axis),
    "logsumexp": lambda x, axis: mg.logsumexp(x, axis=axis),
}


@pytest.mark.parametrize("name", OF_ONE_AXIS)
@pytest.mark.parametrize("axis", [3, -4, 1.5, "1"])
def test_an_axis_that_is_not_there_is_refused_by_name(name: str, axis: Any) -> None:
    with pytest.raises((TypeError, ValueError, IndexError), match=f"^{name}: ") as caught:
        OF_ONE_AXIS[name](mg.tensor(X, requires_grad=True), axis)
    assert str(axis) in str(caught.value)


def test_axes_that_are_named_twice_are_refused() -> None:
    with pytest.raises(ValueError, match=r"median: axis=\(0, -3\) names an axis twice"):
        mg.median(mg.tensor(X), axis=(0, -3))


def test_concatenate_without_an_axis_joins_the_flattened_arrays() -> None:
    f = lambda x: mg.sum(mg.concatenate([x, x[0]], axis=None) * np.arange(36.0))
    expected = np.arange(24.0).reshape(2, 3, 4)
    expected[0] += np.arange(24.0, 36.0).reshape(3, 4)
    np.testing.assert_array_equal(mg.grad(f)(X).data, expected)
    np.testing.assert_array_equal(mg.compile(mg.grad(f))(X).data, expected)


COUNTS: dict[str, Callable[[Any, Any], Any]] = {
    "diagonal: offset": lambda x, n: mg.trace(x, n),
    "diag: k": lambda x, n: mg.diag(x[0, 0], n),
    "repeat: repeats": lambda x, n: mg.repeat(x, n, 0),
    "tile: reps": lambda x, n: mg.tile(x, (1, n)),
    "diff: n": lambda x, n: mg.diff(x, n),
    "split: a position": lambda x, n: mg.split(x, [n]),
    "tensordot: axes": lambda x, n: mg.tensordot(x, x.T, n),
    "concatenate: axis": lambda x, n: mg.concatenate([x, x], n),
    "stack: axis": lambda x, n: mg.stack([x, x], n),
}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("count", [1.5, "2", np.float64(1.0), mg.tensor(1.0)], ids=repr)
def test_a_count_that_is_no_integer_is_refused_by_name_and_value(name: str, count: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be an integer, got {re.escape(repr(count))}"):
        COUNTS[name](mg.tensor(X, requires_grad=True), count)
    for one in (np.array(1), np.int8(1), mg.tensor(1)):
        COUNTS[name](mg.tensor(X, requires_grad=True), one)


CUT_OFF: dict[str, Callable[[Any], Any]] = {
    "shift": lambda x: mg.roll(x, 1.5),
    "shift of several": lambda x: np.roll(x, (1, 0.5), axis=(0, 1)),
    "k": lambda x: mg.tril(x, 0.5),
    "k upwards": lambda x: np.triu(x, -0.5),
    "repeats": lambda x: mg.repeat(x, [1.5, 1.0], axis=0),
}


@pytest.mark.parametrize("call", CUT_OFF.values(), ids=CUT_OFF)
def test_what_numpy_would_cut_off_of_a_count_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match=r"(shift|k|repeats) must be of integers, got .*[.]5"):
        call(mg.tensor(X, requires_grad=True))


def test_a_tile_has_no_negative_repetitions() -> None:
    with pytest.raises(ValueError, match="tile: reps must not be negative, got -1"):
        mg.tile(mg.tensor(X), -1)


def test_a_count_in_an_array_may_change_after_the_call() -> None:
    x, offset = mg.tensor(X, requires_grad=True), np.array(1)
    y = mg.diagonal(x, offset).sum()
    offset[()] = 0
    y.backward()
    expected = np.zeros(X.shape)
    expected[[0, 1], [1, 2]] = 1
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("count", [1.5, "2", None])
def test_counts_that_are_no_integers_are_refused(count: Any) -> None:
    square = mg.tensor(X[0, :, :3], requires_grad=True)
    with pytest.raises(TypeError, match=f"rot90: k must be an integer, got {count!r}"):
        mg.rot90(square, count)
    with pytest.raises(TypeError, match=f"matrix_power: n must be an integer, got {count!r}"):
        mg.linalg.matrix_power(square, count)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "max", "var", "cumsum", "cumprod"])
@pytest.mark.parametrize("axis", [0, -1])
def test_a_number_has_an_axis_0_where_numpy_lets_it_have_one(name: str, axis: int) -> None:
    x = mg.tensor(3.0, requires_grad=True)
    try:
        expected = getattr(np, name)(3.0, axis=axis)
    except np.exceptions.AxisError:
        with pytest.raises(np.exceptions.AxisError, match=name):
            getattr(mg, name)(x, axis=axis)
        return
    y = getattr(mg, name)(x, axis=axis)
    assert y.shape == np.shape(expected)
    y.backward()
    assert x.grad == 1


@pytest.mark.parametrize("ord", [None, 1, "fro"])
@pytest.mark.parametrize("axis", [(0, 0), (), (0, 1, -3)])
def test_norms_refuse_axes_that_make_no_vector_or_matrix(ord: Any, axis: Any) -> None:
    with pytest.raises(ValueError, match=r"^norm: "):
        mg.linalg.norm(mg.tensor(X), ord, axis)


@pytest.mark.parametrize(("name", "x", "y"), [("matvec", X[0, 0], X[0, 0]), ("matvec", X, 3.0), ("vecmat", X, X[0, 0])])
def test_products_of_a_matrix_and_a_vector_refuse_other_shapes(name: str, x: Any, y: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: needs matrices A .*{re.escape(str(np.shape(y)))}"):
        getattr(mg, name)(mg.tensor(x), y)


@pytest.mark.parametrize("join", [mg.stack, mg.concatenate])
def test_arrays_that_are_not_in_one_list_are_taken_for_an_axis_and_shown(join: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{join.__name__}: axis must be an integer, got tensor\(\[1\.\]\)"):
        join(mg.tensor([[1.0]]), mg.tensor([1.0]))


@pytest.mark.parametrize("name", ["concatenate", "stack", "vstack", "hstack", "dstack", "column_stack"])
@pytest.mark.parametrize("given", [None, 3.0, mg.tensor(3.0)], ids=["None", "a number", "a tensor without an axis"])
def test_what_is_no_sequence_of_arrays_is_refused_by_name(name: str, given: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: takes a sequence of arrays, got .*; write mg.{name}\(\[x, y\]\)"):
        getattr(mg, name)(given)


def test_a_sequence_of_arrays_may_be_any_iterable() -> None:
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    for join in (mg.stack, mg.vstack, mg.column_stack):
        np.testing.assert_array_equal(join(row for row in x).data, join([x[0], x[1]]).data)
        np.testing.assert_array_equal(join(x).data, join([x[0], x[1]]).data)


@pytest.mark.parametrize("repeats", [[1, 2, 3], np.ones((2, 1), int)])
def test_repeats_that_are_not_as_many_as_entries_are_refused_with_their_shape(repeats: Any) -> None:
    with pytest.raises(ValueError, match=r"repeat: repeats must be one number or 2 of them, got shape \("):
        mg.repeat(mg.tensor([[1.0, 2.0]]), repeats, axis=1)


@pytest.mark.parametrize("dtype", [True, 2.0, "none such"])
def test_what_is_no_dtype_is_refused_by_name(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"tensor: dtype must be one, as np.float32, got .*requires_grad=True"):
        mg.tensor([1.0], dtype)
