"""What a type checker takes results for, line by line, and what they are when this is run."""

from typing import assert_type

import numpy as np

import minigrad as mg
from minigrad import Tensor

t = mg.tensor([1.0, 2.0], requires_grad=True)
a = np.ones(2)
c = a > 0

TENSORS = [
    assert_type(mg.tanh(t), Tensor),
    assert_type(mg.abs(t), Tensor),
    assert_type(mg.sum(t, axis=0), Tensor),
    assert_type(mg.max(t), Tensor),
    assert_type(mg.add(t, 1.0), Tensor),
    assert_type(mg.add(1.0, t), Tensor),
    assert_type(mg.multiply(a, t), Tensor),
    assert_type(mg.where(c, t, 0.0), Tensor),
    assert_type(mg.where(c, 0.0, t), Tensor),
    assert_type(mg.matmul([[1.0, 2.0]], t), Tensor),
    assert_type(mg.reshape(t, (2, 1)), Tensor),
    assert_type(mg.getitem(t, 0), Tensor),
    assert_type(mg.linalg.inv(mg.tensor([[2.0]])), Tensor),
    assert_type(mg.stack([t, t]), Tensor),
    assert_type(mg.concatenate([t, t], 0), Tensor),
    assert_type(mg.take(t, [0, 1]), Tensor),
    assert_type(mg.split(t, 2)[0], Tensor),
    assert_type(mg.primitive(np.sin, lambda g, y, x: g * np.cos(x))(t), Tensor),
    assert_type(mg.primitive(lambda *xs: xs[0] + xs[1], joint=lambda g, y, *xs: [g, g])(t, a), Tensor),
    assert_type(mg.linear(np.ones((1, 2)), mg.tensor(np.ones((2, 1))), np.zeros(1)), Tensor),
    assert_type(mg.einsum("i,i->", t, a), Tensor),
    assert_type(mg.einsum("i,i->", a, t), Tensor),
    assert_type(t + 1, Tensor),
    assert_type(1 - t, Tensor),
    assert_type(t * a, Tensor),
    assert_type(a * t, Tensor),
    assert_type(a / t, Tensor),
    assert_type(a @ t, Tensor),
    assert_type(np.float64(2) * t, Tensor),
    assert_type(t**2, Tensor),
    assert_type(2**t, Tensor),
    assert_type(t % 2, Tensor),
    assert_type(-t, Tensor),
    assert_type(abs(t), Tensor),
    assert_type(t[0], Tensor),
    assert_type(next(iter(t)), Tensor),
    assert_type(t.tanh(), Tensor),
    assert_type(t.sum(axis=0), Tensor),
    assert_type(t.std(), Tensor),
    assert_type(t.sort(), Tensor),
    assert_type(t.reshape(2, 1), Tensor),
    assert_type(t.transpose(), Tensor),
    assert_type(t.T, Tensor),
    assert_type(t.astype(np.float32), Tensor),
    assert_type(t.take([0]), Tensor),
    assert_type(t.detach(), Tensor),
]
ARRAYS = [
    assert_type(mg.tanh(a), np.ndarray),
    assert_type(mg.add(a, 1.0), np.ndarray),
    assert_type(mg.where(c, a, 0.0), np.ndarray),
    assert_type(mg.reshape(a, (2, 1)), np.ndarray),
    assert_type(mg.greater(t, 0), np.ndarray),
    assert_type(mg.floor(t), np.ndarray),
    assert_type(mg.argsort(t), np.ndarray),
    assert_type(t > 1, np.ndarray),
    assert_type(t == t, np.ndarray),
    assert_type(t // 2, np.ndarray),
    assert_type(t.argsort(), np.ndarray),
    assert_type(t.data, np.ndarray),
]
assert_type(t.grad, np.ndarray | None)
assert_type(t.shape, tuple[int, ...])
assert_type(t.dtype, np.dtype)
assert_type(t.ndim, int)
assert_type(t.requires_grad, bool)
