"""checkpoint: the same values and derivatives from a record that is made twice, with less memory between."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import check_grad

RNG = np.random.default_rng(0)
X, H, M = (0.7 * RNG.standard_normal(shape) for shape in [(2, 3), (2, 3), (3, 3)])


def steps(x: Any, h: Any, W: Any) -> Any:
    """Three steps; their last state, and something of it in a dict."""
    for _ in range(3):
        h = mg.tanh(h @ W + x)
    return h, {"square": h * h}


@given(seed=st.integers(0, 99), shape=st.tuples(st.integers(0, 3), st.integers(1, 4)))
def test_values_and_gradients_are_those_of_the_function(seed: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s) for s in (shape, shape, (shape[1], shape[1]))]
    results = []
    for f in (steps, mg.checkpoint(steps)):
        (h, more), pullback = mg.vjp(f, *arrays)
        g = np.random.default_rng(1).standard_normal(shape)
        results.append([h, more["square"], *pullback((g, {"square": 2 * g}))])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b.data, a.data, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_every_order_match_finite_differences(order: int) -> None:
    check_grad(mg.checkpoint(steps), X, H, M, order=order)


def test_tensors_that_the_function_closes_over_get_their_gradients_of_every_order() -> None:
    def f(x: Any, W: Any) -> Any:
        V = W @ W  # made before the call, and no leaf
        return mg.checkpoint(lambda h: mg.tanh(h @ V + x) @ W)(x)

    check_grad(f, X, M, order=2)


def test_backward_reaches_leaves_that_the_function_closes_over() -> None:
    W = mg.tensor(M, requires_grad=True)
    grads = []
    for wrap in (lambda f: f, mg.checkpoint):
        W.grad = None
        h, _ = wrap(lambda h: steps(X, h, W))(mg.tensor(H))
        h.sum().backward()
        grads.append(W.grad)
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-12)


def test_a_retained_tensor_that_the_function_closes_over_is_counted_once() -> None:
    grads = []
    for wrap in (lambda f: f, mg.checkpoint):
        W = mg.tensor(M, requires_grad=True)
        V = W @ W
        V.retain_grad()
        wrap(lambda x, V=V, W=W: mg.tanh(x @ V) @ W)(mg.tensor(X)).sum().backward()
        grads.append([W.grad, V.grad])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12)


def test_a_checkpoint_inside_another_changes_nothing() -> None:
    inner = mg.checkpoint(steps)
    check_grad(mg.checkpoint(lambda x, h, W: inner(x, inner(x, h, W)[0], W)), X, H, M, order=2)


def test_results_that_are_inputs_or_constants_pass_through() -> None:
    x = mg.tensor(X, requires_grad=True)
    same, number, twice = mg.checkpoint(lambda x, n: (x, n, 2 * x))(x, np.arange(3))
    np.testing.assert_array_equal(number, np.arange(3))
    (same + twice).sum().backward()
    np.testing.assert_array_equal(x.grad, np.full(X.shape, 3.0))


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float32, np.float64)], ids=str)
def test_outputs_and_gradients_keep_their_dtypes(dtypes: Any) -> None:
    a, b = (mg.tensor(X, dtype=dtype, requires_grad=True) for dtype in dtypes)
    ys = mg.checkpoint(lambda a, b: (2 * a, 3 * b))(a, b)
    assert tuple(y.dtype for y in ys) == dtypes
    (ys[0].sum() + ys[1].sum()).backward()
    assert (a.grad.dtype, b.grad.dtype) == dtypes


def test_without_a_record_the_function_is_called_once() -> None:
    calls = []
    f = mg.checkpoint(lambda x: calls.append(1) or 2 * x)
    with mg.no_grad():
        assert not f(mg.tensor(X, requires_grad=True)).requires_grad
    assert not f(mg.tensor(X)).requires_grad
    assert len(calls) == 2


def test_a_random_function_is_refused() -> None:
    rng = np.random.default_rng(0)
    y = mg.checkpoint(lambda x: x * rng.random(x.shape))(mg.tensor(X, requires_grad=True))
    with pytest.raises(RuntimeError, match="another result than the first time; draw random numbers"):
        y.sum().backward()


def test_a_function_whose_tensors_were_replaced_is_refused() -> None:
    held = {"W": mg.tensor(M, requires_grad=True)}
    y = mg.checkpoint(lambda x: x @ held["W"])(mg.tensor(X, requires_grad=True))
    held["W"] = mg.tensor(M, requires_grad=True)
    with pytest.raises(RuntimeError, match="used other tensors than the first time"):
        y.sum().backward()


def test_data_that_changed_after_the_forward_pass_are_refused() -> None:
    W = mg.tensor(M, requires_grad=True)
    y = mg.checkpoint(lambda x: x @ W)(mg.tensor(X, requires_grad=True))
    W.data = 2 * M
    with pytest.raises(RuntimeError, match=r"checkpoint: the data of a tensor.*\(3, 3\), changed"):
        y.sum().backward()


def test_an_argument_changed_in_place_afterwards_does_not_matter() -> None:
    x, a = mg.tensor(X, requires_grad=True), np.ones_like(X)
    y = mg.checkpoint(lambda x, a: x * a)(x, a)
    a[...] = 7
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, np.ones_like(X))


def test_the_record_of_the_function_is_freed() -> None:
    inner = []

    def f(x: Any) -> Any:
        y = mg.tanh(x)
        inner.append(weakref.ref(y))
        return y * y

    gc.disable()
    try:
        y = mg.checkpoint(f)(mg.tensor(X, requires_grad=True))
        assert inner[0]() is None
        y.sum().backward()
        assert [r() for r in inner] == [None, None]
    finally:
        gc.enable()


def peak(T: int, run: int) -> int:
    """The most bytes held while T steps, checkpointed in runs, are differentiated."""

    def chain(h: Any) -> Any:
        for _ in range(run):
            h = mg.tanh(h)
        return h

    h = mg.tensor(np.full(1000, 0.5), requires_grad=True)
    tracemalloc.start()
    try:
        y = h
        for _ in range(T // run):
            y = mg.checkpoint(chain)(y)
        y.sum().backward()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_square_root_of_the_number_of_steps() -> None:
    small, large = peak(256, 16), peak(4096, 64)
    assert large < 5.5 * small  # 16 times the steps, 4 times the memory
    assert peak(256, 1) > 4 * small  # and this test could see a record that is kept


class Kept:
    def __init__(self, y: Any) -> None:
        self.y = y


MAY_HOLD_TENSORS = {
    "generator": lambda x: (y * 2.0 for y in (x,)),
    "map": lambda x: {"a": (map(mg.tanh, [x]),)},
    "function": lambda x: [x * 2.0, lambda: mg.tanh(x)],
    "Kept": lambda x: Kept(mg.tanh(x)),
    "set": lambda x: {mg.tanh(x)},
    "object": lambda x: np.array([Kept(mg.tanh(x))], object),
}


@pytest.mark.parametrize(("kind", "f"), MAY_HOLD_TENSORS.items(), ids=MAY_HOLD_TENSORS)
def test_a_result_in_which_tensors_would_be_lost_is_refused(kind: str, f: Any) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=f"must return Tensors and constants, .*; found .*{kind}.* lose its gradient"):
        mg.checkpoint(f)(x)


def test_constants_in_a_result_come_back_as_they_are() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    constants = [None, True, 2, 0.5, "a", b"b", np.arange(3), np.float32(1), slice(1, 2)]
    y, found = mg.checkpoint(lambda x: (x * x, constants))(x)
    assert [a is b for a, b in zip(found, constants, strict=True)] == [True] * len(constants)
    y.backward([1.0, 1.0])
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


CHANGES: dict[str, Any] = {
    "beside an infinity": (lambda x, a: x * a, [np.inf, 1.0]),
    "beside NaN": (lambda x, a: x * a, [np.nan, 1.0]),
    "in small numbers": (lambda x, a: x * a * 1e-10, [2.0, 1.0]),
    "beside another, larger result": (lambda x, a: (x * 1e12, x * a), [2.0, 1.0]),
}


@pytest.mark.parametrize(("f", "start"), CHANGES.values(), ids=CHANGES)
def test_an_array_that_changed_is_seen_by_each_result(f: Any, start: list[float]) -> None:
    x, a = mg.tensor([1.0, 1.0], requires_grad=True), np.array(start)
    results = mg.tree_leaves(mg.checkpoint(lambda x: f(x, a))(x))
    results[-1].sum().backward()  # as nothing changed
    a[1] = 3.0
    with pytest.raises(RuntimeError, match="the function gave another result than the first time"):
        results[-1].sum().backward()


def test_arguments_may_be_given_by_name() -> None:
    def f(x: Any, y: Any = 2.0, *, z: Any) -> Any:
        return x * y + z

    x, y = mg.tensor(2.0, requires_grad=True), mg.tensor(3.0, requires_grad=True)
    mg.checkpoint(f)(x, y=y, z=1.0).backward()
    assert (x.grad, y.grad) == (3.0, 2.0)
    assert mg.grad(mg.checkpoint(lambda x: mg.checkpoint(f)(x, z=x)))(2.0).item() == 3.0
    assert mg.compile(mg.grad(lambda x: mg.checkpoint(f)(x, z=x)))(2.0).item() == 3.0


def test_a_compiled_function_inside_is_traced_once_for_all_calls() -> None:
    traces = []
    f = mg.compile(lambda x: traces.append(x.shape) or x * 2.0)
    part = mg.checkpoint(lambda x: x * f(x.detach()))
    x = mg.tensor([1.0, 3.0], requires_grad=True)
    for _ in range(3):
        part(x).sum().backward()
    assert (traces, x.grad.tolist()) == ([(2,)], [6.0, 18.0])
    with mg.no_grad():
        part(x)
    assert len(traces) == 2  # without a record it is another program


def test_a_tensor_that_the_function_keeps_hands_its_gradient_on_to_the_arguments() -> None:
    kept: list[Any] = []
    w = mg.tensor(5.0, requires_grad=True)
    f = mg.checkpoint(lambda x: kept.append(x * w) or x * x)

    def both(x: Any) -> Any:
        y = f(x)
        return y + kept[0] ** 2

    x = mg.tensor(3.0, requires_grad=True)
    both(x).backward()
    assert (x.grad, w.grad) == (2 * 3 * (1 + 25), 2 * 9 * 5)
    kept.clear()
    assert mg.hessian(both)(3.0).item() == 2 * (1 + 25)


def test_a_tensor_kept_in_the_second_run_says_that_its_record_is_gone() -> None:
    kept: list[Any] = []
    x = mg.tensor(3.0, requires_grad=True)
    mg.checkpoint(lambda x: kept.append(x * 2) or x * x)(x).backward()
    kept[0].backward()
    assert x.grad == 8.0
    with pytest.raises(
        RuntimeError, match=r"checkpoint: a tensor that the function kept, .* shape \(\); have the func"
    ):
        kept[1].backward()


@pytest.mark.parametrize("change", [lambda c, x: c.update(h=x), lambda c, x: c["rows"].append(x)], ids=["dict", "list"])
def test_a_change_of_an_argument_that_would_be_lost_is_refused(change: Any) -> None:
    x, cache = mg.tensor(3.0, requires_grad=True), {"rows": []}
    with pytest.raises(TypeError, match=r"checkpoint: <lambda> .* changes an entry of an argument, a list or dict"):
        mg.checkpoint(lambda x, c: (change(c, x), x * x)[1])(x, cache)
    assert cache == {"rows": []}


@pytest.mark.parametrize("second", [lambda x: None, lambda x: (x, x), lambda x: (), lambda x: 3.0])
def test_a_second_run_with_a_result_of_another_kind_is_refused_as_another_result(second: Any) -> None:
    runs = [lambda x: x * 2, second]
    y = mg.checkpoint(lambda x: runs.pop(0)(x))(mg.tensor(3.0, requires_grad=True))
    with pytest.raises(RuntimeError, match=r"the function gave another result than the first time; draw random"):
        y.backward()
