"""`t.grad = array`: what it takes, and that nothing is added into an array of somebody else."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.gradients import add_gradient


def leaf(dtype: Any = np.float64) -> mg.Tensor:
    return mg.tensor(np.ones((2, 3), dtype), requires_grad=True)


@pytest.mark.parametrize(
    "value", [1.0, np.ones(3), np.ones((3, 2)), np.ones((4, 2, 3)), [1.0], np.ones((2, 3), object)]
)
def test_a_gradient_that_does_not_fit_is_refused_with_both_shapes(value: Any) -> None:
    t = leaf()
    with pytest.raises(ValueError, match=r"grad: this tensor has shape \(2, 3\), the new gradient is "):
        t.grad = value
    assert t.grad is None


@pytest.mark.parametrize(
    "value", [np.ones((2, 3), complex), mg.tensor(np.ones((2, 3))), "a"], ids=["complex", "Tensor", "text"]
)
def test_a_gradient_that_is_no_array_of_real_numbers_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="grad"):
        leaf().grad = value


@pytest.mark.parametrize(
    "value", [np.ones((2, 3), np.float32), np.ones((2, 3), int), [[1, 1, 1], [1, 1, 1]], np.broadcast_to(1.0, (2, 3))]
)
def test_a_gradient_has_its_tensors_dtype_and_may_be_added_to_and_clipped(value: Any) -> None:
    t = leaf()
    t.grad = value
    (t * 2.0).sum().backward()
    assert type(t.grad) is np.ndarray
    assert t.grad.dtype == np.float64
    np.testing.assert_array_equal(t.grad, np.full((2, 3), 3.0))
    t.grad = value
    nn.clip_grad_value([t], 0.5)
    np.testing.assert_array_equal(t.grad, np.full((2, 3), 0.5))


@pytest.mark.parametrize("compiled", [False, True])
def test_nothing_is_added_into_an_array_that_was_set(compiled: bool) -> None:
    def step(t: Any) -> None:
        (t * 2.0).sum().backward()

    run = mg.compile(step) if compiled else step
    mine, t = np.ones((2, 3)), leaf()
    t.grad = mine
    run(t)
    np.testing.assert_array_equal(mine, np.ones((2, 3)))
    np.testing.assert_array_equal(t.grad, np.full((2, 3), 3.0))


def test_two_tensors_of_one_gradient_stay_apart_and_are_clipped_once() -> None:
    a, b = leaf(), leaf()
    (a * 3.0).sum().backward()
    b.grad = a.grad
    b.sum().backward()
    np.testing.assert_array_equal(a.grad, np.full((2, 3), 3.0))
    np.testing.assert_array_equal(b.grad, np.full((2, 3), 4.0))
    b.grad = a.grad
    norm = nn.clip_grad_norm([a, b], 1.0)
    np.testing.assert_allclose(norm, np.sqrt(12 * 9))
    np.testing.assert_allclose(a.grad, 3 / norm)
    np.testing.assert_allclose(b.grad, 3 / norm)


def test_a_gradient_of_no_axes_stays_an_array() -> None:
    t = mg.tensor(2.0, requires_grad=True)
    t.grad = np.array(1.0)
    (t * t).backward()
    assert type(t.grad) is np.ndarray
    assert t.grad == 5.0


@pytest.mark.parametrize("compiled", [False, True])
def test_a_part_of_a_larger_array_is_kept_and_added_into(compiled: bool) -> None:
    def step(t: Any) -> None:
        (t * 2.0).sum().backward()

    run = mg.compile(step) if compiled else step
    together, t = np.zeros(7), leaf()
    t.grad = together[:6].reshape(2, 3)
    run(t)
    np.testing.assert_array_equal(together, [2.0] * 6 + [0.0])


def test_a_transposed_gradient_of_another_tensor_is_copied() -> None:
    a, b = mg.tensor(np.ones((3, 2)), requires_grad=True), leaf()
    (a * 3.0).sum().backward()
    b.grad = a.grad.T
    b.sum().backward()
    np.testing.assert_array_equal(a.grad, np.full((3, 2), 3.0))


class SlowLeaf:
    """In place of a leaf's Node: whoever asks for its gradient waits, so that another thread asks meanwhile."""

    found: np.ndarray | None = None

    @property
    def grad(self) -> np.ndarray | None:
        found = self.found
        time.sleep(0.005)
        return found

    @grad.setter
    def grad(self, value: np.ndarray) -> None:
        self.found = value


def test_threads_that_add_to_one_gradient_lose_nothing() -> None:
    node: Any = SlowLeaf()
    threads = [threading.Thread(target=add_gradient, args=(node, np.ones(3))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(node.found, [4.0, 4.0, 4.0])
