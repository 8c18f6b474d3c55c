"""compile: counts, axes, positions and lengths that Python reads: a function is traced anew when they change."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn

V = np.array([0.5, -1.0, 2.0, 1.5, 0.25, -0.75])
M = np.array([[3.0, -1.0, 2.0], [1.5, 4.0, -0.75], [0.3, 0.8, 5.0]])
M3 = np.arange(8.0).reshape(2, 2, 2) - 2.5
CLASSES = np.arange(30.0).reshape(3, 2, 5) % 7 / 3
TARGETS = np.array([[0, 1], [4, 2], [3, 3]])

# what is called, the argument, and the setting before and after it changes
CASES: dict[str, tuple[Callable[[Any, Any], Any], Any, Any, Any]] = {
    "append": (lambda x, s: mg.append(x, x, s), M, 0, 1),
    "array_split": (lambda x, s: mg.array_split(x, s), V, [2, 4], [1, 3]),
    "average": (lambda x, s: mg.average(x, s), M, 0, 1),
    "average, weights": (lambda x, s: mg.average(x, 0, weights=s), M, [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]),
    "broadcast_to": (lambda x, s: mg.broadcast_to(x, s), V, [2, 6], [3, 6]),
    "concatenate": (lambda x, s: mg.concatenate([x, x], s), M, 0, 1),
    "convolve": (lambda x, s: mg.convolve(x, s), V, [1.0, 2.0], [2.0, 1.0]),
    "copysign": (lambda x, s: mg.copysign(s, 1.0) * x, V[:2], [1.0, 2.0], [2.0, 1.0]),
    "cumprod": (lambda x, s: mg.cumprod(x, s), M, 0, 1),
    "cumsum": (lambda x, s: mg.cumsum(x, s), M, 0, 1),
    "diag": (lambda x, s: mg.diag(x, s), V, 1, -1),
    "diagonal": (lambda x, s: mg.diagonal(x, s), M, 0, 1),
    "diff": (lambda x, s: mg.diff(x, s), V, 1, 2),
    "diff, append": (lambda x, s: mg.diff(x, append=s), V, [1.0, 2.0], [2.0, 1.0]),
    "dot": (lambda x, s: mg.dot(x, s), V[:2], [1.0, 2.0], [1.0, 3.0]),
    "einsum": (
        lambda x, s: mg.einsum(x, s if isinstance(s, list) else [int(k) for k in mg.watched(s)]),
        M,
        [0, 1],
        [0, 0],
    ),
    "expand_dims": (lambda x, s: mg.expand_dims(x, s), M, 0, 1),
    "flip": (lambda x, s: mg.flip(x, s), M, 0, 1),
    "hstack": (lambda x, s: mg.hstack([x, s]), V[:2], [1.0, 2.0], [2.0, 1.0]),
    "inner": (lambda x, s: mg.inner(x, s), V[:2], [1.0, 2.0], [1.0, 3.0]),
    "kron": (lambda x, s: mg.kron(x, s), V, [1.0, 2.0], [2.0, 1.0]),
    "linalg.diagonal": (lambda x, s: mg.linalg.diagonal(x, offset=s), M, 0, 1),
    "linalg.norm": (lambda x, s: mg.linalg.norm(x, s), V, 2, 3),
    "linalg.norm, axis": (lambda x, s: mg.linalg.norm(x, axis=s), M, 0, 1),
    "linalg.vector_norm": (lambda x, s: mg.linalg.vector_norm(x, axis=s), M, 0, 1),
    "logsumexp": (lambda x, s: mg.logsumexp(x, s), M, 0, 1),
    "matrix_power": (lambda x, s: mg.linalg.matrix_power(x, s), M, 2, 3),
    "median": (lambda x, s: mg.median(x, s), M, 0, 1),
    "moveaxis": (lambda x, s: mg.moveaxis(x, s, 2), M3, 0, 1),
    "multiply": (lambda x, s: mg.multiply(x, mg.log(s)), V[:2], [1.0, 2.0], [2.0, 1.0]),
    "nan_to_num": (lambda x, s: mg.nan_to_num(s) * x, V[:2], [1.0, 2.0], [2.0, 1.0]),
    "one_hot": (lambda x, s: x @ nn.one_hot(s, 3, float), V[:2], [0, 1], [1, 2]),
    "one_hot, V": (lambda x, s: x @ nn.one_hot([0, 1], s, float), V[:2], 2, 3),
    "pad": (lambda x, s: mg.pad(x, s), V, [1, 2], [2, 1]),
    "pad, one": (lambda x, s: mg.pad(x, (s, 1)), V, 1, 2),
    "partition": (lambda x, s: mg.partition(x, 1, s), M, 0, 1),
    "place": (lambda x, s: mg.place(x, indices=(slice(0, 2),), shape=(s,), dtype=float), V[:2], 3, 4),
    "prod": (lambda x, s: mg.prod(x, s), M, 0, 1),
    "repeat": (lambda x, s: mg.repeat(x, s), V, 2, 3),
    "repeat, each": (lambda x, s: mg.repeat(x, s, 0), M, [1, 2, 1], [2, 1, 1]),
    "reshape": (lambda x, s: mg.reshape(x, (s, -1)), V, 2, 3),
    "roll": (lambda x, s: mg.roll(x, s, (0, 1)), M, [1, 2], [2, 1]),
    "rot90": (lambda x, s: mg.rot90(x, s), M, 1, 2),
    "slice": (lambda x, s: x[:s] * x[0], V, 2, 3),
    "slice, start": (lambda x, s: x[1, s:], M, 1, 0),
    "slice, step": (lambda x, s: x[::s], V, 2, 3),
    "softmax": (lambda x, s: mg.softmax(x, s), M, 0, 1),
    "sort": (lambda x, s: mg.sort(x, s), M, 0, 1),
    "split": (lambda x, s: mg.split(x, s), V, 2, 3),
    "split, axis": (lambda x, s: mg.split(x, 3, s), M, 0, 1),
    "squeeze": (lambda x, s: mg.squeeze(x, s), np.ones((1, 2, 1)), 0, 2),
    "stack": (lambda x, s: mg.stack([x, x * 2], s), M, 0, 1),
    "sum": (lambda x, s: mg.sum(x, (s, 2)), M3, 0, 1),
    "swapaxes": (lambda x, s: mg.swapaxes(x, s, 2), M3, 0, 1),
    "take": (lambda x, s: mg.take(x, s, 0), M, [0, 1], [1, 1]),
    "take, axis": (lambda x, s: mg.take(x, [0, 1], s), M, 0, 1),
    "take_along_axis": (lambda x, s: mg.take_along_axis(x, s, 0), V, [0, 1], [1, 1]),
    "tensor": (lambda x, s: mg.tensor(s) * x, V[:2], [1.0, 2.0], [2.0, 1.0]),
    "tensordot": (lambda x, s: mg.tensordot(x, M3, (s, (0, 1))), M3, [0, 1], [1, 0]),
    "tile": (lambda x, s: mg.tile(x, s), V, [2, 1], [1, 2]),
    "trace": (lambda x, s: mg.trace(x, s), M, 0, 1),
    "transpose": (lambda x, s: mg.transpose(x, s), M3, [0, 2, 1], [1, 0, 2]),
    "trapezoid": (lambda x, s: mg.trapezoid(x, s), V[:3], [0.0, 1.0, 2.0], [0.0, 3.0, 4.0]),
    "triu": (lambda x, s: mg.triu(x, k=s), M, 0, 1),
    "unstack": (lambda x, s: mg.unstack(x, axis=s), M, 0, 1),
    "var": (lambda x, s: mg.var(x, ddof=s), V, 0, 1),
    "cross_entropy": (lambda x, s: nn.cross_entropy(x, s), CLASSES[0], [0, 1], [4, 2]),
    "cross_entropy, lengths": (lambda x, s: nn.cross_entropy(x, TARGETS, lengths=s), CLASSES, [3, 2], [1, 2]),
    "cross_entropy, smoothing": (lambda x, s: nn.cross_entropy(x, TARGETS, label_smoothing=s), CLASSES, 0.1, 0.2),
    "ctc_loss": (lambda x, s: nn.ctc_loss(x, [[1, 2], [2, 3]], [3, 3], s), CLASSES, [1, 2], [2, 1]),
    "Embedding": (lambda x, s: nn.Embedding(5, 3, rng=0)(s) * mg.sum(x), V, [0, 1], [1, 2]),
    "GRU, lengths": (lambda x, s: nn.GRU(5, 2, rng=0, dtype=float)(x, lengths=s)[0], CLASSES, [3, 2], [1, 2]),
    "last_over_time": (lambda x, s: nn.last_over_time(x, s), CLASSES, [3, 2], [1, 2]),
    "watched": (lambda x, s: x * float(np.sum(mg.watched(s))), V, [1, 2], [2, 3]),
}


def changing(before: Any, after: Any) -> Iterator[tuple[Any, Callable[[], None]]]:
    """The same settings in all that can change, each with how to change it."""

    def fill(pairs: Any) -> None:
        for s, value in pairs:
            s[...] = value

    def replace(s: list[Any]) -> None:
        s[:] = after

    array = np.array(before)
    yield array, lambda: fill([(array, after)])
    if not isinstance(before, list):
        shared = np.array([before, before])  # of which a function may read a new view at each call
        yield shared[:1].reshape(()), lambda: fill([(shared, after)])
        return
    numbers = copy.copy(before)
    yield numbers, lambda: replace(numbers)
    parts = tuple([np.array(n) for n in before])
    yield parts, lambda: fill(zip(parts, after, strict=True))


def both(f: Callable[[Any, Any], Any], x: Any, s: Any) -> Any:
    """What f gives, and the gradient of the squares of its entries, each with a weight of its own."""

    def total(x: Any) -> Any:
        y = f(x, s)
        return sum(mg.sum(y * y * np.arange(1.0, 1 + y.size).reshape(y.shape)) for y in mg.tree_leaves(y)), y

    return mg.value_and_grad(total, has_aux=True)(x)


@pytest.mark.parametrize("name", CASES)
def test_a_setting_that_changes_is_followed_in_values_and_gradients(name: str) -> None:
    f, x, before, after = CASES[name]
    x, seen = mg.tensor(x), []
    for s, change in changing(before, after):
        compiled = mg.compile(lambda x, s=s: both(f, x, s))
        for change_it in (lambda: None, change):
            change_it()
            expected = mg.tree_leaves(both(f, x, s))
            seen.append(str([y.data.tolist() for y in expected]))
            for _ in range(2):
                for got, y in zip(mg.tree_leaves(compiled(x)), expected, strict=True):
                    np.testing.assert_allclose(got.data, y.data, rtol=1e-12, atol=1e-12, strict=True)
    assert len(set(seen)) == 2


def test_lists_and_arrays_that_a_function_makes_itself_are_not_looked_at_again() -> None:
    n = np.array(2)
    f = mg.compile(lambda x: mg.vstack([mg.repeat(x, [1, 2, 1], 0), np.ones((1, 3))])[:n] * mg.log([1.0, 2.0, 3.0]))
    f(mg.tensor(M))
    assert [x is n for x, _ in f.program.settings] == [True]


def of_a_try() -> Any:
    try:
        shape = [2, 3]
    finally:
        pass
    return shape


def of_a_closure() -> Any:
    shape = [2, 3]
    return (lambda: shape)()


NEW = [lambda: [2, 3], of_a_try, of_a_closure, lambda: next([2, n] for n in (3, 4)), lambda: [n for n in (2, 3)]]


@pytest.mark.parametrize("make", NEW)
def test_a_list_that_nobody_else_holds_is_not_looked_at_again(make: Callable[[], Any]) -> None:
    f = mg.compile(lambda x: mg.reshape(x, make()))
    f(mg.tensor(V))
    assert f.program.settings == []


def waiting() -> Iterator[Any]:
    shape = [2, 3]
    while True:
        yield shape


def held() -> list[Callable[[], Any]]:
    shapes, view, whole = [[2, 3]], np.array([9, 2, 3])[1:], np.array([2, 3])
    return [lambda: shapes[0], waiting().__next__, lambda: view, lambda: whole[:]]


@pytest.mark.parametrize("make", held())
def test_a_list_or_an_array_that_somebody_else_holds_is_looked_at_again(make: Callable[[], Any]) -> None:
    f = mg.compile(lambda x: mg.reshape(x, make()))
    assert f(mg.tensor(V)).shape == (2, 3)
    make()[:] = 3, 2
    assert f(mg.tensor(V)).shape == (3, 2)


def test_an_array_that_is_computed_with_is_read_again_and_needs_no_other_trace() -> None:
    a, rows, traces = V.copy(), np.array([0, 1]), []
    f = mg.compile(mg.grad(lambda x: traces.append(0) or mg.sum(x[rows] * a[rows] + mg.clip(x, low=a)[0])))
    for k in range(3):
        f(mg.tensor(V))
        a += 1
        rows[:] = k, 2
    assert len(traces) == 1


def test_a_power_leaves_the_number_that_it_is_given_as_it_is() -> None:
    n = np.array(3)
    mg.linalg.matrix_power(M, n)
    assert n == 3


def test_a_part_that_a_function_takes_of_an_array_or_puts_in_a_list_is_followed() -> None:
    n = np.array([1, 2, 3])
    for f in (lambda x: mg.repeat(x, n[1:2]), lambda x: mg.tile(x, [n[:1].reshape(()), 2])):
        compiled = mg.compile(f)
        for k in (1, 2):
            n[:] = k, k + 1, k + 2
            np.testing.assert_array_equal(compiled(mg.tensor(V)).data, f(V))


@pytest.mark.parametrize("end", [np.array([2]), np.array(2.5), np.array([1, 2])], ids=str)
def test_a_slice_that_ends_in_no_integer_is_refused_as_it_is_plainly(end: Any) -> None:
    for f in (lambda x: x[:end], mg.compile(lambda x: x[:end])):
        with pytest.raises(TypeError, match="only integer scalar arrays"):
            f(mg.tensor(V))
