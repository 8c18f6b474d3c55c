"""check_grad: is the gradient that minigrad computes the gradient of the function?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..modes import no_grad
from ..ops import sum
from ..tensor import Tensor
from ..transforms import vjp
from ..tree import flatten, tree_leaves
from .differences import numeric_gradient


class GradientError(AssertionError):
    """A gradient is not the derivative of its function; the message says where and by how much."""


def check_grad(
    f: Callable[..., Any],
    *inputs: Any,
    wrt: Sequence[int] | None = None,
    order: int = 1,
    eps: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    seed: int = 0,
) -> None:
    """Compare f's derivatives with finite differences at `inputs`, and raise if they disagree.

    With φ(x) = Σ w f(x) for random w, order 1 compares ∂φ/∂x with central differences of φ, entry by entry; order 2
    goes on to ψ(x) = Σ u ∂φ/∂x for random u, and compares ∂ψ/∂x with central differences of ψ; and so forth.

    Args:
        f: a function of Tensors, or trees of them, that returns a Tensor or a tree of them.
        inputs: where to check: floats, arrays, Tensors, or trees of them; taken in float64.
        wrt: positions of the inputs to differentiate; by default all whose leaves are all floating-point.
        order: the highest derivative to check; every lower one is checked too.
        eps: the relative step of the differences; see `numeric_gradient`.
        rtol, atol: how far they may disagree: atol + rtol · (largest numeric entry), plus the differences' own error.
        seed: of the random weights.

    Raises:
        GradientError: if a derivative has a wrong value, shape or dtype, or f changed its inputs, or f is random.
        ValueError: if the differences do not converge, as at a kink: no verdict is possible there.
        TypeError: if no input can be differentiated.
    """
    rng = np.random.default_rng(seed)
    if wrt is None:
        wrt = [k for k, x in enumerate(inputs) if _is_floating(x)]
    if not wrt:
        raise TypeError("check_grad: no input has floating-point leaves, so there is nothing to differentiate")
    chosen = list(wrt)
    leaves, rebuild = flatten(tuple(inputs[k] for k in chosen))
    xs = [np.array(x._data if isinstance(x, Tensor) else x, np.float64) for x in leaves]
    owner = [k for k in chosen for _ in tree_leaves(inputs[k])]

    def scalar(*values: Any) -> Any:
        tensors = [v if isinstance(v, Tensor) else Tensor(v) for v in values]
        before = [t.data.copy() for t in tensors]
        full = list(inputs)
        for k, value in zip(chosen, rebuild(list(tensors)), strict=True):
            full[k] = value
        result = f(*full)
        for k, t, old in zip(owner, tensors, before, strict=True):
            if not np.array_equal(t.data, old, equal_nan=True):
                raise GradientError(f"input {k}: the function changed its input in place")
        return _projected(tree_leaves(result), weights)

    weights: list[np.ndarray] = []
    with no_grad():
        first = tree_leaves(f(*_at(inputs, chosen, rebuild, xs)))
        weights.extend(rng.standard_normal(np.shape(part)) for part in first)
        again = tree_leaves(f(*_at(inputs, chosen, rebuild, xs)))
    for a, b in zip(first, again, strict=True):
        if not np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True):
            raise GradientError("check_grad: two calls with the same inputs gave different results; is f random?")

    function = scalar
    for level in range(1, order + 1):
        _compare(function, xs, owner, level, eps, rtol, atol)
        directions = [rng.standard_normal(x.shape) for x in xs]
        function = _slope(function, directions)


def _is_floating(x: Any) -> bool:
    return all(np.result_type(leaf).kind == "f" for leaf in tree_leaves(x))


def _at(inputs: Sequence[Any], chosen: list[int], rebuild: Any, xs: list[np.ndarray]) -> list[Any]:
    full = list(inputs)
    for k, value in zip(chosen, rebuild([Tensor(x) for x in xs]), strict=True):
        full[k] = value
    return full


def _projected(parts: list[Any], weights: list[np.ndarray]) -> Any:
    total: Any = 0.0
    for part, w in zip(parts, weights, strict=True):
        total = total + sum(part * w)
    return total


def _slope(function: Callable[..., Any], directions: list[np.ndarray]) -> Callable[..., Any]:
    def slope(*values: Any) -> Any:
        y, pullback = vjp(function, *values)
        return _projected(list(pullback(np.ones(np.shape(y)))), directions)

    return slope


def _compare(
    function: Callable[..., Any],
    xs: list[np.ndarray],
    owner: list[int],
    level: int,
    eps: float | None,
    rtol: float,
    atol: float,
) -> None:
    y, pullback = vjp(function, *xs)
    analytic = pullback(np.ones(np.shape(y)))
    for k, (x, g) in enumerate(zip(xs, analytic, strict=True)):
        where = f"input {owner[k]}, derivative of order {level}"
        if g.shape != x.shape or g.dtype != x.dtype:
            raise GradientError(f"{where}: gradient {g.shape} {g.dtype} for an input {x.shape} {x.dtype}")

        def along(value: np.ndarray, k: int = k) -> float:
            with no_grad():
                return float(function(*xs[:k], value, *xs[k + 1 :]))

        numeric, error = numeric_gradient(along, x, eps)
        scale = float(np.max(np.abs(numeric), initial=0.0))
        rough = error > 1e-3 * max(1.0, scale)
        if rough.any():
            i = tuple(int(n) for n in np.argwhere(rough)[0])
            raise ValueError(
                f"{where}: finite differences do not converge at index {i} (value {x[i]!r}): is there a kink or a pole "
                "within a step of it? Move the point away, or pass a smaller eps"
            )
        tolerance = atol + rtol * scale + 10 * error
        wrong = ~(np.abs(g.data - numeric) <= tolerance)
        if wrong.any():
            worst = np.where(wrong, np.nan_to_num(np.abs(g.data - numeric) / tolerance, nan=np.inf), 0.0)
            i = tuple(int(n) for n in np.unravel_index(np.argmax(worst), x.shape))
            raise GradientError(
                f"{where}: at index {i} the gradient is {g.data[i]:.10g}, finite differences give {numeric[i]:.10g} "
                f"(difference {abs(g.data[i] - numeric[i]):.3g}, tolerance {tolerance[i]:.3g}); "
                f"{int(wrong.sum())} of {x.size} entries are wrong"
            )
