"""What a record and a walk keep, and when it is freed."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


@pytest.fixture
def no_garbage_collector() -> Any:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_record_is_freed_with_its_output(no_garbage_collector: None) -> None:
    x = leaf(np.ones(3))
    middle = mg.tanh(x)
    y = mg.sum(middle * 2.0)
    y.backward()
    watched = weakref.ref(middle.node)
    del middle
    assert watched() is not None
    del y
    assert watched() is None


def test_detach_frees_the_old_record(no_garbage_collector: None) -> None:
    w, state, watched = leaf(0.5), mg.tensor(np.ones(3)), []
    for _ in range(4):  # chunks of a truncated backpropagation
        for _ in range(3):
            state = mg.tanh(state * w)
            watched.append(weakref.ref(state))
        mg.sum(state).backward()
        state = state.detach()
    assert [w() for w in watched] == [None] * 12


@pytest.mark.parametrize("transform", [mg.grad, mg.value_and_grad, mg.hessian, mg.jacobian])
def test_transforms_free_their_records(transform: Any, no_garbage_collector: None) -> None:
    watched = []

    def f(x: Any) -> Any:
        y = mg.tanh(x)
        watched.append(weakref.ref(y))
        return mg.sum(y * y)

    kept = transform(f)(np.ones(3))
    assert kept is not None
    assert [w() for w in watched] == [None] * len(watched)


def test_a_weight_is_read_anew_in_each_walk() -> None:
    w, h0 = mg.tensor(np.diag([2.0, 3.0]), requires_grad=True), mg.tensor(np.ones((1, 2)), requires_grad=True)
    for scale in (1.0, 10.0):
        w.writable()[:] = scale * np.array([[2.0, 1.0], [0.0, 3.0]])
        h, h0.grad = h0, None
        for _ in range(16):
            h = h @ w
        h.backward(np.array([[1.0, 0.0]]))
        np.testing.assert_allclose(h0.grad, np.linalg.matrix_power(w.data, 16)[:, :1].T, rtol=1e-13)


def test_a_weight_that_comes_often_has_second_derivatives() -> None:
    n = 16

    def power(w: Any) -> Any:
        h = mg.tensor([[1.0]])
        for _ in range(n):
            h = h @ w
        return mg.sum(h)

    np.testing.assert_allclose(mg.hessian(power)(np.array([[1.5]])).data.item(), n * (n - 1) * 1.5 ** (n - 2))
