"""What one operation on large arrays costs above the NumPy calls that it and its derivative need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from benchmarks import micro
from benchmarks.workers import now


def _sigmoid(x: np.ndarray) -> np.ndarray:
    y = 0.5 * x
    np.tanh(y, out=y)
    y *= 0.5
    y += 0.5
    return y


def _sigmoid_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    d = 1 - y
    d *= y
    d *= g
    return d


def _tanh_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    d = y * y
    np.subtract(1, d, out=d)
    d *= g
    return d


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    y = x - x.max(axis, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis, keepdims=True)
    return y


def _softmax_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    d = g - np.einsum("ij,ij->i", g, y)[:, None]
    d *= y
    return d


def _scattered(g: np.ndarray, shape: tuple[int, ...], index: Any) -> np.ndarray:
    d = np.zeros(shape, g.dtype)
    d[index] = g
    return d


def _rows_added_up(g: np.ndarray, shape: tuple[int, ...], rows: np.ndarray) -> np.ndarray:
    """A third of the time of `np.add.at`, half of that of sorting the rows and `np.add.reduceat`."""
    d = np.zeros(shape, g.dtype)
    for row, part in zip(rows.tolist(), g, strict=True):
        d[row] += part
    return d


class Operation(NamedTuple):
    """A function of a framework's namespace and tensors, and its derivative by hand.

    `gradients(g, y, *arrays)` gives new arrays: a gradient is its owner's, so that of an addition is a copy.
    """

    arrays: Sequence[np.ndarray]
    function: Callable[..., Any]
    gradients: Callable[..., Sequence[np.ndarray]]


def operations(n: int) -> dict[str, Operation]:
    """On float32 matrices x and w (n, n), a row b (n,), and n random rows."""
    rng = np.random.default_rng(0)
    x, w = rng.uniform(-2, 2, (2, n, n)).astype("float32")
    b, rows, columns, every = w[0].copy(), rng.integers(0, n, n), rng.integers(0, n, n), np.arange(n)
    part = (slice(None), slice(n // 4, n // 2))
    return {
        "add": Operation([x, w], lambda xp, x, w: x + w, lambda g, y, x, w: (g.copy(), g.copy())),
        "add a row": Operation([x, b], lambda xp, x, b: x + b, lambda g, y, x, b: (g.copy(), g.sum(0))),
        "multiply": Operation([x, w], lambda xp, x, w: x * w, lambda g, y, x, w: (g * w, g * x)),
        "exp": Operation([x], lambda xp, x: xp.exp(x), lambda g, y, x: (g * y,)),
        "tanh": Operation([x], lambda xp, x: xp.tanh(x), lambda g, y, x: (_tanh_gradient(g, y),)),
        "sigmoid": Operation([x], lambda xp, x: xp.sigmoid(x), lambda g, y, x: (_sigmoid_gradient(g, y),)),
        "matmul": Operation([x, w], lambda xp, x, w: x @ w, lambda g, y, x, w: (g @ w.T, x.T @ g)),
        "sum": Operation([x], lambda xp, x: x.sum(), lambda g, y, x: (np.full_like(x, g),)),
        "column sums": Operation([x], lambda xp, x: x.sum(0), lambda g, y, x: (np.tile(g, (n, 1)),)),
        "softmax": Operation([x], lambda xp, x: xp.softmax(x, -1), lambda g, y, x: (_softmax_gradient(g, y),)),
        "slice": Operation([x], lambda xp, x: x[part], lambda g, y, x: (_scattered(g, x.shape, part),)),
        "rows": Operation([x], lambda xp, x: x[rows], lambda g, y, x: (_rows_added_up(g, x.shape, rows),)),
        "one per row": Operation(
            [x], lambda xp, x: x[every, columns], lambda g, y, x: (_scattered(g, x.shape, (every, columns)),)
        ),
        "concatenate": Operation(
            [x, w], lambda xp, x, w: xp.concatenate((x, w), 1), lambda g, y, x, w: (g[:, :n].copy(), g[:, n:].copy())
        ),
        "transpose": Operation(
            [x], lambda xp, x: x.T.reshape(-1), lambda g, y, x: (g.reshape(n, n).T.copy(),)
        ),
    }  # fmt: skip


class ByHand:
    """Bare NumPy in the form of a framework, except that its backward pass is told the derivative."""

    xp = SimpleNamespace(tanh=np.tanh, exp=np.exp, concatenate=np.concatenate, sigmoid=_sigmoid, softmax=_softmax)

    def leaves(self, arrays: Sequence[np.ndarray]) -> Any:
        return arrays

    def record(self, function: Callable[..., Any], leaves: Any, gradients: Callable[..., Any]) -> micro.Backward:
        output = function(*leaves)
        return lambda g: [output, *gradients(g, output, *leaves)]


class Throughput:
    """Each operation forward alone, and with its gradients."""

    frameworks = ("minigrad", "numpy", "torch")
    n = 1000

    def __init__(self, framework: str) -> None:
        self.framework = ByHand() if framework == "numpy" else micro.FRAMEWORKS[framework]()
        rng = np.random.default_rng(1)
        self.runs: dict[str, tuple[Callable[[], micro.Backward], np.ndarray]] = {}
        for name, operation in operations(self.n).items():
            shape = np.shape(operation.function(ByHand.xp, *operation.arrays))
            self.runs[name] = self._run(operation), np.asarray(rng.uniform(-1, 1, shape), "float32")

    def _run(self, operation: Operation) -> Callable[[], micro.Backward]:
        framework, leaves = self.framework, self.framework.leaves(operation.arrays)
        told = (operation.gradients,) if isinstance(framework, ByHand) else ()

        def function(*leaves: Any) -> Any:
            return operation.function(framework.xp, *leaves)

        return lambda: framework.record(function, leaves, *told)

    def check(self) -> dict[str, np.ndarray]:
        return {
            f"{name}, result {index}": np.array(array)
            for name, (run, g) in self.runs.items()
            for index, array in enumerate(run()(g))
        }

    def measure(self) -> dict[str, float]:
        """Microseconds, over at least 3 calls and 0.02 seconds, after one untimed call."""
        means = {}
        for name, (run, g) in self.runs.items():
            for quantity, call in ((name, run), (f"{name} + grad", lambda run=run, g=g: run()(g))):
                kept = call()
                count, start = 0, now()
                while count < 3 or now() - start < 0.02:
                    kept = call()  # held until the next is there, as the results of a network's layers are
                    count += 1
                means[quantity] = (now() - start) / count * 1e6
                del kept
        return means
