"""What the machinery costs: reading a sequence step by step, and one operation on a tiny array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.workers import now

# From the output's cotangent, 1 by default, to [output, gradient of each leaf].
Backward = Callable[..., list[np.ndarray]]


class Minigrad:
    """`record` runs a function of tensors and returns what remains to be done: the backward pass alone."""

    def __init__(self) -> None:
        import minigrad as mg

        self.tensor, self.xp = mg.tensor, mg

    def leaves(self, arrays: Sequence[np.ndarray]) -> Any:
        return [self.tensor(array, requires_grad=True) for array in arrays]

    def record(self, function: Callable[..., Any], leaves: Any) -> Backward:
        for leaf in leaves:
            leaf.grad = None
        output = function(*leaves)

        def backward(g: np.ndarray | None = None) -> list[np.ndarray]:
            output.backward(g)
            return [output.data, *(leaf.grad for leaf in leaves)]

        return backward


class Mygrad:
    def __init__(self) -> None:
        import mygrad as mg

        mg.turn_memory_guarding_off()
        self.tensor, self.xp = mg.tensor, mg

    def leaves(self, arrays: Sequence[np.ndarray]) -> Any:
        return [self.tensor(array) for array in arrays]

    def record(self, function: Callable[..., Any], leaves: Any) -> Backward:
        output = function(*leaves)

        def backward(g: np.ndarray | None = None) -> list[np.ndarray]:
            output.backward(g)
            return [output.data, *(leaf.grad for leaf in leaves)]

        return backward


class Torch:
    def __init__(self) -> None:
        import torch

        self.tensor, self.xp = torch.from_numpy, torch

    def leaves(self, arrays: Sequence[np.ndarray]) -> Any:
        return [self.tensor(array).requires_grad_() for array in arrays]

    def record(self, function: Callable[..., Any], leaves: Any) -> Backward:
        for leaf in leaves:
            leaf.grad = None
        output = function(*leaves)

        def backward(g: np.ndarray | None = None) -> list[np.ndarray]:
            output.backward(None if g is None else self.tensor(g))
            return [output.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

        return backward


class Autograd:
    def __init__(self) -> None:
        import autograd.numpy as anp
        from autograd import make_vjp

        self.make_vjp, self.xp = make_vjp, anp

    def leaves(self, arrays: Sequence[np.ndarray]) -> Any:
        return tuple(arrays)

    def record(self, function: Callable[..., Any], leaves: Any) -> Backward:
        vjp, output = self.make_vjp(lambda arrays: function(*arrays))(leaves)
        return lambda g=None: [output, *vjp(np.ones_like(output) if g is None else g)]


FRAMEWORKS: dict[str, Any] = {"minigrad": Minigrad, "torch": Torch, "autograd": Autograd, "mygrad": Mygrad}


class Loop:
    """Backward through `sum((x[t] * w).sum() for t in range(T))`, for a short and a long x of shape (T, 256).

    If the derivative of each `x[t]` is a zero array of the shape of x, the time grows with the square of T.
    """

    short, long, width = 200, 1600, 256

    def __init__(self, framework: str) -> None:
        self.framework = FRAMEWORKS[framework]()
        rng = np.random.default_rng(0)
        arrays = {
            T: [rng.standard_normal(shape).astype("float32") for shape in ((T, self.width), (self.width,))]
            for T in (self.short, self.long)
        }
        self.leaves = {T: self.framework.leaves(pair) for T, pair in arrays.items()}

    def _record(self, T: int) -> Backward:
        def loss(x: Any, w: Any) -> Any:
            total = (x[0] * w).sum()
            for t in range(1, T):
                total = total + (x[t] * w).sum()
            return total

        return self.framework.record(loss, self.leaves[T])

    def check(self) -> dict[str, np.ndarray]:
        return {
            f"T={T}, {name}": np.array(array)
            for T in (self.short, self.long)
            for name, array in zip(("loss", "gradient of x", "gradient of w"), self._record(T)(), strict=True)
        }

    def measure(self) -> dict[str, float]:
        """Milliseconds of the backward pass; the best of a few, for both lengths alike."""
        best = {}
        for T in (self.short, self.long):
            times = []
            for _ in range(5):
                backward = self._record(T)
                start = now()
                backward()
                times.append(now() - start)
            best[T] = min(times) * 1e3
        return {f"T={T}": best[T] for T in best} | {"growth": best[self.long] / best[self.short]}


class Overhead:
    """Forward and backward through a chain of 100 operations on (4, 4) arrays that all need a gradient."""

    length = 100

    def __init__(self, framework: str) -> None:
        self.framework = FRAMEWORKS[framework]()
        tanh = self.framework.xp.tanh
        rng = np.random.default_rng(0)
        x = rng.uniform(-1, 1, (4, 4))
        near_one = rng.uniform(0.99, 1.01, (4, 4))  # products of 100 of them neither overflow nor vanish
        orthogonal = np.linalg.qr(x)[0]
        chains: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
            "add": (lambda y, w: y + w, [x, near_one]),
            "mul": (lambda y, w: y * w, [x, near_one]),
            "matmul": (lambda y, w: y @ w, [x, orthogonal]),
            "tanh": (lambda y: tanh(y), [x]),
            "sum": (lambda y: y.sum(axis=0, keepdims=True), [x]),
            "getitem": (lambda y: y[0:4], [x]),
        }
        self.chains = {
            name: (
                self._chain(operation),
                self.framework.leaves([array.astype("float32") for array in arrays]),
            )
            for name, (operation, arrays) in chains.items()
        }

    def _chain(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def chain(y: Any, *others: Any) -> Any:
            for _ in range(self.length):
                y = operation(y, *others)
            return y.sum()

        return chain

    def check(self) -> dict[str, np.ndarray]:
        return {
            f"{name}, result {index}": np.array(array)
            for name, (chain, leaves) in self.chains.items()
            for index, array in enumerate(self.framework.record(chain, leaves)())
        }

    def measure(self) -> dict[str, float]:
        """Microseconds per operation of the chain."""
        means = {}
        for name, (chain, leaves) in self.chains.items():
            self.framework.record(chain, leaves)()
            count, start = 0, now()
            while now() - start < 0.01:
                self.framework.record(chain, leaves)()
                count += 1
            means[name] = (now() - start) / count / self.length * 1e6
        return means
