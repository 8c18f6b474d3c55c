"""The gradient of a sequence that is read part by part, as every loop over time does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from draw import anywhere
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import At, Tensor, accumulate, shortcuts
from minigrad.accumulate import ArraySum
from minigrad.shapes import add_at


@pytest.fixture(autouse=True, scope="module")
def small_arrays_are_filled_as_large_ones_are() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shortcuts, "FILLED", 0)
        yield


def leaf(x: Any) -> Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


@pytest.mark.parametrize("recorded", [False, True], ids=["arrays", "recorded"])
@pytest.mark.parametrize(
    "read", [lambda x, t: x[t], lambda x, t: x[t : t + 1], lambda x, t: x[[t]]], ids=["int", "slice", "array"]
)
def test_reading_every_step_of_a_sequence_makes_one_full_size_buffer(
    monkeypatch: pytest.MonkeyPatch, read: Any, recorded: bool
) -> None:
    steps, made = 50, []

    def counting(make: Any) -> Any:
        def counted(shape: Any, *args: Any, **kwargs: Any) -> np.ndarray:
            made.append(np.prod(shape, dtype=int))
            return make(shape, *args, **kwargs)

        return counted

    x = leaf(np.ones((steps, 4)))
    f = lambda x: mg.sum(mg.stack([mg.sum(read(x, t) ** 2) for t in range(steps)]))
    y = f(x)
    monkeypatch.setattr(np, "zeros", counting(np.zeros))
    monkeypatch.setattr(np, "empty", counting(np.empty))
    if recorded:
        mg.grad(f)(x)
    else:
        y.backward()
    assert 1 <= sum(size >= steps * 4 for size in made) <= 2, (
        "one buffer for the tensor that is indexed, not one per index"
    )


READS = {
    "row": lambda x, t: x[t],
    "column": lambda x, t: x[:, t],
    "slice": lambda x, t: x[t : t + 2],
    "array": lambda x, t: x[[t, t]],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_gradient_of_a_sequence_read_step_by_step_is_the_sum_of_the_steps(read: Any) -> None:
    x, one_by_one = leaf(np.arange(16.0).reshape(4, 4)), np.zeros((4, 4))
    sum(mg.sum(read(x, t) ** 2) for t in range(4)).backward()
    for t in range(4):
        one_by_one += mg.grad(lambda x, t=t: mg.sum(read(x, t) ** 2))(x.data).data
    np.testing.assert_array_equal(x.grad, one_by_one)


@st.composite
def parts(draw: Any, shape: tuple[int, ...], axis: int) -> Any:
    """An index along one axis: mostly of a range, or of one entry, of every second one, or of everything."""
    n = shape[axis]
    start = draw(st.integers(0, n - 1))
    span = slice(start, draw(st.integers(start, n)))
    last = draw(st.sampled_from([span, span, span, start, start - n, slice(start, None, 2), ...]))
    if last is ... or (not axis and draw(st.booleans())):
        return last
    return (*(slice(None, draw(st.sampled_from([None, None, None, 1]))) for _ in range(axis)), last)


@settings(max_examples=8 * settings.default.max_examples)
@given(st.data())
def test_parts_of_one_axis_add_up_in_any_order_whatever_else_is_read_between_them(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6))
    usual = data.draw(st.integers(0, len(shape) - 1))
    axes = st.sampled_from([usual, usual, usual, 0])
    collected, expected = ArraySum(leaf(np.zeros(shape))), np.zeros(shape)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(np, "empty", lambda shape, dtype: np.full(shape, np.nan, dtype))  # what is not set shows
        for index in data.draw(st.lists(axes.flatmap(lambda k: parts(shape, k)), min_size=1, max_size=6)):
            g = data.draw(anywhere(np.shape(expected[index])))
            collected.add(g if index is ... else At(index, g), shape)
            expected[index] += g
        np.testing.assert_allclose(collected.total(), expected, atol=1e-12)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 0, 3]])
def test_gates_cut_from_one_array_are_put_together_in_any_order(order: Any) -> None:
    collected, g = ArraySum(leaf(np.zeros((2, 12)))), np.arange(24.0).reshape(2, 12)
    for k in order:
        part = slice(None), slice(3 * k, 3 * k + 3)
        collected.add(At(part, g[part]), g.shape)
    np.testing.assert_array_equal(collected.total(), g)


@pytest.mark.parametrize("order", [[0, 3], [3, 0], [1, 2], [1, 3, 2]])
def test_gates_that_nobody_reads_have_a_gradient_of_zero(monkeypatch: pytest.MonkeyPatch, order: Any) -> None:
    collected, expected = ArraySum(leaf(np.zeros((2, 12)))), np.zeros((2, 12))
    monkeypatch.setattr(np, "empty", lambda shape, dtype: np.full(shape, np.nan, dtype))
    for k in order:
        part = slice(None), slice(3 * k, 3 * k + 3)
        collected.add(At(part, np.full((2, 3), 1.0 + k)), expected.shape)
        expected[part] = 1.0 + k
    np.testing.assert_array_equal(collected.total(), expected)


@pytest.mark.parametrize(
    "index", [(slice(None), slice(None), -1), (slice(None), slice(None), slice(1, 3)), (slice(None), 0), ()], ids=str
)
def test_a_part_along_the_last_of_the_axes_that_an_index_names_is_all_that_has_a_gradient(
    monkeypatch: pytest.MonkeyPatch, index: Any
) -> None:
    collected, expected = ArraySum(leaf(np.zeros((2, 3, 4)))), np.zeros((2, 3, 4))
    monkeypatch.setattr(np, "empty", lambda shape, dtype: np.full(shape, np.nan, dtype))
    expected[index] = 2.0
    collected.add(At(index, expected[index]), expected.shape)
    np.testing.assert_array_equal(collected.total(), expected)


@settings(max_examples=4 * settings.default.max_examples)
@given(st.data())
def test_parts_of_parts_used_any_number_of_times_have_the_gradient_of_the_recorded_walk(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
    indices = data.draw(st.lists(st.integers(0, len(shape) - 1).flatmap(lambda k: parts(shape, k)), min_size=1))
    weights = data.draw(st.lists(st.integers(-3, 3), min_size=1, max_size=3))

    def f(x: Tensor) -> Tensor:
        total = mg.sum(x * x)
        for index in indices:
            part = x[index][...]
            total = total + sum(mg.sum(part * w) * mg.sum(mg.tanh(part)) for w in weights)
        return total

    x = leaf(np.linspace(-1, 1, np.prod(shape, dtype=int)).reshape(shape))
    f(x).backward()
    recorded = mg.compile(mg.grad(f))(x)  # a trace records its walk
    np.testing.assert_allclose(x.grad, recorded.data, atol=1e-12)


@pytest.mark.parametrize("filled", [None, 0, 1])
def test_a_cotangent_of_another_shape_than_its_part_is_refused_wherever_it_belongs(filled: Any) -> None:
    collected = ArraySum(leaf(np.zeros((3, 2))))
    if filled is not None:
        collected.add(At(filled, np.ones(2)), (2,))
    with pytest.raises(ValueError, match=r"shape \(1,\) for a part of shape \(2,\)"):
        collected.add(At(1, np.ones(1)), (1,))


def test_gathered_rows_that_are_used_several_times_are_scattered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, added = leaf(np.arange(6.0).reshape(3, 2)), []
    monkeypatch.setattr(accumulate, "add_at", lambda *args: added.append(args) or add_at(*args))
    rows = x[[2, 0, 2]]
    mg.sum(rows * 2.0 + rows * 3.0).backward()
    np.testing.assert_array_equal(x.grad, [[5, 5], [0, 0], [10, 10]])
    assert len(added) == 1


@pytest.mark.parametrize(
    "rows", [[3, 2, 1, 0], [0, 1, 2, 3], [2, 1, 3, 0], [3, 2], [1, 2], [3, 1, 0, 3], [-1, 2, 3], [2, 2]]
)
def test_rows_filled_in_any_order_and_more_than_once_add_up_and_the_rest_is_zero(
    monkeypatch: pytest.MonkeyPatch, rows: list[int]
) -> None:
    monkeypatch.setattr(np, "empty", lambda shape, dtype: np.full(shape, np.nan, dtype))  # what is not set shows
    collected, expected = ArraySum(leaf(np.zeros((4, 2)))), np.zeros((4, 2))
    for n, row in enumerate(rows):
        collected.add(At(row, np.full(2, 1.0 + n)), expected.shape)
        expected[row] += 1.0 + n
    np.testing.assert_array_equal(collected.total(), expected)
    collected.add(np.ones((4, 2)), expected.shape)
    np.testing.assert_array_equal(collected.total(owned=True), expected + 1)


def test_rows_that_are_gathered_often_add_up_whatever_the_strides_of_their_cotangents() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, 200)
    for g in (np.broadcast_to(1.0, (200, 3)), np.asfortranarray(rng.integers(-9, 9, (200, 3)), float)):
        x, expected = mg.tensor(np.ones((5, 3)), requires_grad=True), np.zeros((5, 3))
        np.add.at(expected, rows, g)
        x[rows].backward(g)
        np.testing.assert_array_equal(x.grad, expected)


def test_a_row_of_another_shape_is_refused_where_rows_are_filled() -> None:
    collected = ArraySum(leaf(np.zeros((4, 2))))
    collected.add(At(3, np.ones(2)), (4, 2))
    with pytest.raises(ValueError, match=r"returned a cotangent of shape \(1,\) for a part of shape \(2,\)"):
        collected.add(At(2, np.ones(1)), (4, 2))


INDICES = {
    "rows": [0, 0, 2],
    "entries": ([0, 1], [0, 0]),
    "a mask of rows": np.array([True, True, False, False]),
    "a mask of entries": np.arange(8).reshape(4, 2) > 3,
    "a mask and an integer": (np.array([True, True, False, False]), 1),
    "a slice": slice(1, 3),
    "a row and columns": (1, [0, 1, 1]),
}


@pytest.mark.parametrize("recorded", [False, True], ids=["arrays", "recorded"])
@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_a_rule_whose_part_would_have_to_be_broadcast_is_refused(index: Any, recorded: bool) -> None:
    index = np.array(index) if isinstance(index, list) else index
    total = mg.primitive(lambda x: np.sum(x[index]), lambda g, y, x: At(index, g), name="total")
    f = lambda x: total(x * x)
    with pytest.raises(
        ValueError, match=r"total: the rule for input 0 returned a cotangent of shape \(\) for a part of"
    ):
        mg.hessian(f)(np.ones((4, 2))) if recorded else mg.grad(f)(np.ones((4, 2)))


@pytest.mark.parametrize("size", [2, 5000])
def test_gates_of_small_and_of_large_arrays_are_put_together_alike(size: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shortcuts, "FILLED", 2**12)
        collected, g = ArraySum(leaf(np.zeros((1, 4 * size)))), np.arange(4.0 * size).reshape(1, 4 * size)
        for k in (3, 0, 2, 1, 0):
            part = slice(None), slice(k * size, (k + 1) * size)
            collected.add(At(part, g[part]), g.shape)
        assert (collected.filling is not None) is (size > 2)
        expected = g.copy()
        expected[:, :size] *= 2
        np.testing.assert_array_equal(collected.total(), expected)
