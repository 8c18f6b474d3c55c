"""Faults to plant into any right pullback: each takes a `Trial` and returns a broken f and vjp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from trials import Trial

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def parts(result: Any) -> list[np.ndarray]:
    return [np.array(r) for r in (result if isinstance(result, (tuple, list)) else [result])]


def changed(change: Callable[[list[np.ndarray], Any, tuple[Any, ...]], Any]) -> Callable[[Trial], Pair]:
    """The gradients after `change(gradients, g, inputs)`, which may work in place or return new ones."""

    def plant(trial: Trial) -> Pair:
        def vjp(g: Any, *xs: Any) -> Any:
            gradients = parts(trial.vjp(g, *xs))
            result = change(gradients, g, xs)
            return gradients if result is None else result

        return trial.f, vjp

    return plant


def largest(gradient: np.ndarray) -> tuple[np.ndarray, int]:
    flat = gradient.reshape(-1)
    return flat, int(np.argmax(np.abs(flat)))


def drop_largest(gs: Any, g: Any, xs: Any) -> None:
    flat, i = largest(gs[-1])
    flat[i] = 0


def scale_largest(gs: Any, g: Any, xs: Any) -> None:
    flat, i = largest(gs[-1])
    flat[i] *= 1.01


def stale(trial: Trial) -> Pair:
    kept: list[Any] = []

    def f(*xs: Any) -> Any:
        kept[:] = [np.array(x) for x in xs]
        return trial.f(*xs)

    return f, lambda g, *xs: parts(trial.vjp(g, *kept))


def first_seen(trial: Trial) -> Pair:
    kept: list[Any] = []

    def vjp(g: Any, *xs: Any) -> Any:
        kept[:] = kept or [np.array(x) for x in xs]
        return parts(trial.vjp(g, *kept))

    return trial.f, vjp


def elsewhere(share: float) -> Callable[[Trial], Pair]:
    return lambda trial: (trial.f, lambda g, *xs: parts(trial.vjp(g, *[x * (1 + share) for x in xs])))


def buffered(trial: Trial) -> Pair:
    kept: list[Any] = []

    def vjp(g: Any, *xs: Any) -> Any:
        found = parts(trial.vjp(g, *xs))
        kept[:] = kept or found
        for memory, new in zip(kept, found):
            memory[...] = new
        return kept

    return trial.f, vjp


def on_input(gs: Any, g: Any, xs: Any) -> None:
    xs[0][...] = xs[0] * 1.5 + 1.0


def on_cotangent(gs: Any, g: Any, xs: Any) -> None:
    for part in g if isinstance(g, tuple) else [g]:
        part *= 2.0


def negative_only(gs: Any, g: Any, xs: Any) -> None:
    for k, gradient in enumerate(gs):
        gs[k] = np.where(gradient < 0, 1.01 * gradient, gradient)


def small_only(gs: Any, g: Any, xs: Any) -> None:
    """Wrong by one per cent above the median of the input."""
    for k, x in enumerate(xs):
        gs[k] = np.where(x >= np.median(x), 1.01, 1.0) * gs[k]


NOISE = np.random.default_rng(9)

FAULTS: dict[str, Callable[[Trial], Pair]] = {
    "1000 times": changed(lambda gs, g, xs: [1000 * r for r in gs]),
    "1.001 times": changed(lambda gs, g, xs: [1.001 * r for r in gs]),
    "1.0001 times": changed(lambda gs, g, xs: [1.0001 * r for r in gs]),
    "half": changed(lambda gs, g, xs: [0.5 * r for r in gs]),
    "sign": changed(lambda gs, g, xs: [-r for r in gs]),
    "sign of the last input's": changed(lambda gs, g, xs: [*gs[:-1], -gs[-1]]),
    "zero": changed(lambda gs, g, xs: [0.0 * r for r in gs]),
    "NaN": changed(lambda gs, g, xs: [np.nan * r for r in gs]),
    "infinite": changed(lambda gs, g, xs: [*gs[:-1], np.full_like(gs[-1], np.inf)]),
    "largest entry dropped": changed(drop_largest),
    "largest entry 1% off": changed(scale_largest),
    "1% off where negative": changed(negative_only),
    "1% off for large inputs": changed(small_only),
    "mean instead of itself": changed(lambda gs, g, xs: [np.full_like(r, r.mean()) + 0.01 * abs(r).max() for r in gs]),
    "random by 1%": changed(lambda gs, g, xs: [r * (1 + 0.01 * NOISE.random(r.shape)) for r in gs]),
    "a constant added": changed(lambda gs, g, xs: [r + 1e-3 * np.abs(r).max() + 1e-9 for r in gs]),
    "absolute value": changed(lambda gs, g, xs: [np.where(r < 0, -r, 1.5 * r) for r in gs]),
    "wrong shape, raveled and cut": changed(lambda gs, g, xs: [r.ravel()[:-1] for r in gs]),
    "an axis too many": changed(lambda gs, g, xs: [r[None] for r in gs]),
    "float32 results": changed(lambda gs, g, xs: [r.astype(np.float32) for r in gs]),
    "one input's missing": changed(lambda gs, g, xs: [*gs[:-1], None]),
    "one result too many": changed(lambda gs, g, xs: [*gs, gs[0]]),
    "input changed": changed(on_input),
    "cotangent changed": changed(on_cotangent),
    "read-only results": changed(lambda gs, g, xs: [r.setflags(write=False) or r for r in gs]),
    "cotangent not linear": changed(
        lambda gs, g, xs: [r * np.abs(np.concatenate([np.ravel(p) for p in parts(g)])).sum() for r in gs]
    ),
    "last call's inputs": stale,
    "first call's inputs": first_seen,
    "gradient of a neighbouring point": elsewhere(0.01),
    "results in a buffer": buffered,
}


def is_visible(trial: Trial, fault: str, xs: tuple[Any, ...]) -> bool:
    """Whether a planted fault is wrong at all, beyond 1e-5 of the gradient: a linear f forgives stale inputs."""
    f, vjp = FAULTS[fault](trial)
    rng = np.random.default_rng(1)
    y = trial.f(*xs)
    gs = [rng.standard_normal(np.shape(part)) for part in (y if isinstance(y, tuple) else [y])]
    g = tuple(gs) if isinstance(y, tuple) else gs[0]
    if fault.endswith("call's inputs"):
        moved = [1.001 * x + 1e-3 for x in xs]
        f(*moved)
        vjp(g, *moved)
    copies = tuple(part.copy() for part in gs) if isinstance(y, tuple) else gs[0].copy()
    right = [np.array(r) for r in parts(trial.vjp(g, *xs))]
    wrong = list(vjp(copies, *[x.copy() for x in xs]))
    shapes = [np.shape(r) for r in wrong] == [x.shape for x in xs]
    if fault in STRUCTURAL or not shapes:
        return True
    sizes = [np.where(np.abs(x) < 1e-3, 1.0, np.abs(x)) for x in xs]
    gap = max(float(np.max(np.abs(a - b) * size)) for a, b, size in zip(right, wrong, sizes))
    return not gap <= 1e-5 * max(float(np.max(np.abs(a) * size)) for a, size in zip(right, sizes))


STRUCTURAL = ("float32 results", "input changed", "cotangent changed", "read-only results", "results in a buffer")
