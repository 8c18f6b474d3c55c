"""What a type checker takes results for, line by line, and what they are when this is run."""

from typing import TYPE_CHECKING, Any, assert_type

import numpy as np

import minigrad as mg
import nn
from minigrad import Tensor

t = mg.tensor([1.0, 2.0], requires_grad=True)
a = np.ones(2)
c = a > 0
m = mg.tensor([[2.0, 1.0], [1.0, 2.0]])  # symmetric and positive definite
xs = mg.tensor(np.ones((3, 2, 2)))  # (T, B, I)
e = mg.tensor([0.0, 0.0], requires_grad=True)
lstm = nn.LSTM(2, 3, dtype=np.float64)


def loss(w: Tensor, x: Tensor, scale: float = 1.0) -> Tensor:
    return mg.sum(w * x * scale)


class Twice(nn.Module):
    """A user's module, whose forward says what it takes and returns."""

    def forward(self, x: Tensor, times: int = 2) -> tuple[Tensor, int]:
        return x * times, times


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
    *assert_type(mg.array_split(t, 2), list[Tensor]),
    *assert_type(mg.unstack(t), tuple[Tensor, ...]),
    assert_type(mg.ravel(t), Tensor),
    assert_type(mg.diagonal(m), Tensor),
    assert_type(mg.diag(t, k=1), Tensor),
    assert_type(mg.atleast_1d(t), Tensor),
    assert_type(mg.atleast_2d(t), Tensor),
    assert_type(mg.atleast_3d(t), Tensor),
    *assert_type(mg.atleast_1d(t, t), tuple[Tensor, ...]),
    assert_type(mg.vstack([t, t]), Tensor),
    assert_type(mg.hstack([t, t]), Tensor),
    assert_type(mg.dstack([t, t]), Tensor),
    assert_type(mg.column_stack([t, t]), Tensor),
    assert_type(mg.append(t, 1.0), Tensor),
    assert_type(mg.append(a, t), Tensor),
    assert_type(mg.repeat(t, 2), Tensor),
    assert_type(mg.tile(t, (2, 2)), Tensor),
    assert_type(mg.take_along_axis(t, np.array([0, 0]), axis=0), Tensor),
    assert_type(mg.sort(t), Tensor),
    assert_type(mg.partition(t, 0), Tensor),
    assert_type(mg.select([c], [t]), Tensor),
    assert_type(mg.nan_to_num(t, nan=1.0), Tensor),
    assert_type(mg.copysign(t, a), Tensor),
    assert_type(mg.std(t, axis=0), Tensor),
    assert_type(mg.norm(t), Tensor),
    assert_type(mg.average(t, weights=[1.0, 2.0]), Tensor),
    assert_type(mg.average(t, returned=True)[0], Tensor),
    assert_type(mg.nansum(t), Tensor),
    assert_type(mg.nanmean(t), Tensor),
    assert_type(mg.median(t, keepdims=True), Tensor),
    assert_type(mg.ptp(t), Tensor),
    assert_type(mg.diff(t, n=1), Tensor),
    assert_type(mg.trapezoid(t, dx=2.0), Tensor),
    assert_type(mg.tensordot(t, a, axes=1), Tensor),
    assert_type(mg.dot(a, t), Tensor),
    assert_type(mg.inner(t, a), Tensor),
    assert_type(mg.vdot(t, a), Tensor),
    assert_type(mg.outer(a, t), Tensor),
    assert_type(mg.vecdot(t, a), Tensor),
    assert_type(mg.matvec(m, a), Tensor),
    assert_type(mg.vecmat(a, m), Tensor),
    assert_type(mg.kron(t, a), Tensor),
    assert_type(mg.trace(m), Tensor),
    assert_type(mg.convolve(t, a, mode="same"), Tensor),
    assert_type(mg.gelu(t, "tanh"), Tensor),
    assert_type(mg.silu(t), Tensor),
    assert_type(mg.leaky_relu(t, slope=0.1), Tensor),
    assert_type(mg.hardtanh(t), Tensor),
    assert_type(mg.hardsigmoid(t), Tensor),
    assert_type(mg.log_sigmoid(t), Tensor),
    assert_type(mg.linalg.matrix_transpose(m), Tensor),
    assert_type(mg.linalg.solve(m, a), Tensor),
    assert_type(mg.linalg.solve(np.eye(2), t), Tensor),
    assert_type(mg.linalg.matrix_power(m, 2), Tensor),
    assert_type(mg.linalg.cholesky(m, upper=True), Tensor),
    assert_type(mg.linalg.qr(m).Q, Tensor),
    assert_type(mg.linalg.qr(m)[1], Tensor),
    assert_type(mg.linalg.qr(m, mode="r"), Tensor),
    assert_type(mg.linalg.eigh(m).eigenvectors, Tensor),
    assert_type(mg.linalg.slogdet(m).logabsdet, Tensor),
    assert_type(mg.linalg.diagonal(m), Tensor),
    assert_type(mg.linalg.trace(m), Tensor),
    assert_type(mg.linalg.norm(m, ord="fro"), Tensor),
    assert_type(mg.linalg.outer(t, a), Tensor),
    assert_type(mg.linalg.tensordot(a, t, axes=1), Tensor),
    assert_type(mg.linalg.vecdot(t, a), Tensor),
    assert_type(mg.linalg.vector_norm(t), Tensor),
    assert_type(mg.linalg.matrix_norm(m), Tensor),
    assert_type(mg.tap(mg.tanh(t), e), Tensor),
    assert_type(mg.with_gradient(mg.tanh(t), e), Tensor),
    assert_type(mg.tensor([1.0]), Tensor),
    assert_type(mg.as_tensor(a), Tensor),
    assert_type(nn.parameter(a), Tensor),
    assert_type(nn.buffer(a), Tensor),
    assert_type(nn.linear(a, m), Tensor),
    assert_type(nn.layer_norm(m, scale=a), Tensor),
    assert_type(nn.cross_entropy(m, [0, 1], reduction="none"), Tensor),
    assert_type(nn.nll_loss(mg.log_softmax(m), [0, 1]), Tensor),
    assert_type(nn.mse_loss(t, a), Tensor),
    assert_type(nn.mse_loss(a, a), Tensor),
    assert_type(nn.binary_cross_entropy_with_logits(t, a), Tensor),
    assert_type(nn.ctc_loss(xs, [[1, 1]]), Tensor),
    assert_type(nn.pad_sequences([t, t])[0], Tensor),
    assert_type(nn.mean_over_time(xs, lengths=[3, 1]), Tensor),
    assert_type(nn.max_over_time(xs), Tensor),
    assert_type(nn.last_over_time(xs), Tensor),
    *assert_type(nn.attention.attend(xs, xs), tuple[Tensor, Tensor]),
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
    assert_type(mg.grad(loss)(t, t, scale=2.0), Tensor),
    assert_type(mg.grad(loss)(a, t), Tensor),
    assert_type(mg.grad(mg.tanh)(0.5), Tensor),
    assert_type(mg.hessian(loss)(t, t), Tensor),
    *assert_type(mg.value_and_grad(loss)(t, t), tuple[Tensor, Tensor]),
    assert_type(mg.compile(loss)(t, t, scale=2.0), Tensor),
    assert_type(mg.compile(mg.grad(loss))(t, t), Tensor),
    assert_type(mg.checkpoint(loss)(t, t), Tensor),
    assert_type(mg.vjp(loss, t, t)[0], Tensor),
    *assert_type(mg.jvp(loss, (t, t), (t, t)), tuple[Tensor, Tensor]),
    assert_type(nn.Linear(2, 3)(a), Tensor),
    assert_type(nn.Embedding(5, 3)([1, 2]), Tensor),
    assert_type(nn.TiedLinear(nn.Embedding(5, 2))(t), Tensor),
    assert_type(nn.Conv2d(1, 1, 1)(np.ones((1, 1, 2, 2))), Tensor),
    assert_type(nn.GRUCell(2, 3, dtype=np.float64)(m)[0], Tensor),
    assert_type(lstm(xs, lengths=[3, 1])[0], Tensor),
    assert_type(nn.Recurrent(nn.RNNCell(2, 3, dtype=np.float64))(xs, return_states=True)[0], Tensor),
    *assert_type(nn.attention.DotAttention()(xs[0], xs), tuple[Tensor, Tensor]),
    assert_type(Twice()(t)[0], Tensor),
    assert_type(mg.compile(nn.Linear(2, 3))(a), Tensor),
]
assert_type(lstm(xs), tuple[Tensor, tuple[Any, ...]])
assert_type(lstm(xs, return_states=True), tuple[Tensor, tuple[Any, ...], tuple[Any, ...]])
assert_type(Twice()(t, times=3), tuple[Tensor, int])
#: gradients of trees are trees; of what no one has typed, anything
TREES = [
    assert_type(mg.grad(lambda p: mg.sum(p["w"] ** 2))({"w": t}), Any),
    assert_type(mg.grad(loss, argnums=(0, 1))(t, t), Any),
    assert_type(mg.value_and_grad(lambda p: mg.sum(p["w"] ** 2))({"w": t}), Any),
    assert_type(mg.grad(mg.grad(lambda x: x * x * x))(2.0), Any),
    assert_type(mg.compile(mg.value_and_grad(lambda x, y: x * y))(2.0, 3.0), Any),
]
if TYPE_CHECKING:  # what is not taken is an error, as of the function itself
    mg.grad(loss)(t)  # type: ignore[call-overload]
    mg.grad(loss)(t, t, scales=2.0)  # type: ignore[call-overload]
    mg.compile(loss)(t)  # type: ignore[call-arg]
    mg.checkpoint(loss)(t, "x")  # type: ignore[arg-type]
    Twice()("x")  # type: ignore[arg-type]
    Twice()(t, time=3)  # type: ignore[call-arg]
    lstm(xs, length=[3, 1])  # type: ignore[call-overload]
ARRAYS = [
    assert_type(mg.tanh(a), np.ndarray),
    assert_type(mg.add(a, 1.0), np.ndarray),
    assert_type(mg.where(c, a, 0.0), np.ndarray),
    assert_type(mg.reshape(a, (2, 1)), np.ndarray),
    assert_type(mg.greater(t, 0), np.ndarray),
    assert_type(mg.floor(t), np.ndarray),
    assert_type(mg.argsort(t), np.ndarray),
    assert_type(nn.pad_sequences([t, t])[1], np.ndarray),
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
