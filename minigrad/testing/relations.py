"""Derivatives of functions of Tensors that must agree with each other, without any finite difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import transforms
from ..tensor import Tensor
from .comparison import Comparison
from .derivative import differs, sensitivity
from .differences import EPS
from .problem import GradientError, Problem, equal_pairs, flattened, random_signs, split
from .recorded import TensorFunction, floating_parts, pulled, recorded, tensor_map

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


TERMS = 4 * EPS  # the rounding errors of terms of size 1 that cancel, as in g - p g where p is nearly 1


def same_tensor_twice(f: TensorFunction, problem: Problem, rng: np.random.Generator) -> None:
    """One tensor passed for two arguments of a shape collects both of their gradients, and changes no other."""
    for a, b in equal_pairs(problem.inputs):
        _same_tensor_as(f, problem, rng, a, b)


def _same_tensor_as(f: TensorFunction, problem: Problem, rng: np.random.Generator, a: int, b: int) -> None:
    inputs = [problem.inputs[a] if k == b else x for k, x in enumerate(problem.inputs)]
    merged = lambda *ts: f(*ts[:b], ts[a], *ts[b:])
    separate = tensor_map(f)
    try:
        with np.errstate(all="ignore"):
            us = [random_signs(rng, y.shape) for y in separate.value([x.copy() for x in inputs])]
            both = separate.linearize([x.copy() for x in inputs])([u.copy() for u in us])
    except GradientError:
        raise
    except Exception:
        return  # equal arguments lie outside of f's domain
    try:
        with np.errstate(all="ignore"):
            found = tensor_map(merged).linearize([x.copy() for k, x in enumerate(inputs) if k != b])(us)
    except Exception as error:
        kind = GradientError if isinstance(error, GradientError) else ValueError
        raise kind(
            f"with the same tensor for {problem.labels[a]} and for {problem.labels[b]}: "
            f"{type(error).__name__}: {error}\n(the checker tries this since a tensor that is used twice collects both "
            "gradients; copies=False switches it off)"
        ) from error
    found.insert(b, found[a])
    for k in [k for k in range(len(inputs)) if k != a]:  # b stands for both
        parts = [both[a], both[b]] if k == b else [both[k]]
        expected = np.asarray(sum(parts))
        with np.errstate(invalid="ignore"):
            terms = sum(map(np.abs, parts))
            allowed = 1e-9 * np.max(terms, initial=0.0, where=np.isfinite(expected))
            if not (np.abs(found[k] - expected) > allowed).any():
                continue
            rounding = sensitivity(separate.linearize, inputs, us, rng)
            allowed += 100 * (rounding[a] + rounding[b] if k == b else rounding[k])
            wrong = np.argwhere(np.abs(found[k] - expected) > allowed)
        if len(wrong):
            index = tuple(int(i) for i in wrong[0])
            one, what = ("it", "the sum of both gradients") if k == b else (problem.labels[b], "as for two equal ones")
            raise problem.error(
                k,
                f"with the same tensor for {one} and for {problem.labels[a]}, the gradient at index {index} is "
                f"{found[k][index]:.10g}, and not {what}, {expected[index]:.10g}",
            )


GROUPS = 4  # of many inputs several are differentiated at once


def others_constant(f: TensorFunction, problem: Problem, rng: np.random.Generator) -> None:
    """A result is the same whether it is recorded or not; so is an input's gradient while all others are constants."""
    every = range(len(problem.inputs))
    outputs, leaves = _recorded(f, problem, every)
    if len(every) < 2:
        return
    us = [random_signs(rng, y.shape).astype(y.dtype) * np.isfinite(y._array) for y in outputs]
    whole = pulled(outputs, us, leaves)
    for part in np.array_split(every, min(len(every), GROUPS)):
        outputs, leaves = _recorded(f, problem, part.tolist())
        found = pulled(outputs, us, leaves)
        for k in part.tolist():
            allowed = 1e-9 * np.max(np.abs(whole[k]), initial=0.0, where=np.isfinite(whole[k]))
            if differs(found[k], whole[k], allowed) is None:
                continue
            allowed += 100 * sensitivity(tensor_map(f).linearize, problem.inputs, us, rng)[k]
            index = differs(found[k], whole[k], allowed)
            if index is not None:
                raise problem.error(
                    k,
                    f"while other inputs are constants the gradient at index {index} is {found[k][index]:.10g}, and "
                    f"{whole[k][index]:.10g} while all require gradients; does f look at requires_grad?",
                )


def _recorded(f: TensorFunction, problem: Problem, moving: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Results and inputs of f, of which these alone require gradients.

    Raises:
        GradientError: if the results are others than without a record.
    """
    leaves = [Tensor._sharing(x.copy(), requires_grad=k in moving) for k, x in enumerate(problem.inputs)]
    which = "each input" if len(moving) == len(leaves) else ", ".join([problem.labels[k] for k in moving]) + " alone"
    text = f"while {which} requires a gradient, and without any record it is {{}}; does f look at requires_grad?"
    with recorded(), np.errstate(all="ignore"):
        outputs = floating_parts(f(*leaves))
    shapes = [[y.shape for y in ys] for ys in (outputs, problem.outputs)]
    if shapes[0] != shapes[1]:
        raise GradientError(f"the result has shapes {shapes[0]} {text.format(shapes[1])}")
    for k, (y, before) in enumerate(zip(outputs, problem.outputs)):
        at = differs(np.asarray(y._array, np.float64), before)
        if at is not None:
            value = f"{float(y._array[at]):.10g} at index {at}"
            raise GradientError(f"output {k} is {value} {text.format(f'{before[at]:.10g}')}")
    return outputs, leaves


def is_symmetric(comparison: Comparison, rng: np.random.Generator) -> None:
    """Second derivatives do not depend on their order: a wrong rule may hide at symmetric values, this it cannot."""
    p = comparison.problem
    if p.m != p.n or not p.n or comparison.options.on_kink == "subgradient":
        return
    v, w = random_signs(rng, (2, p.n)) * p.size

    def both(x: np.ndarray, v: np.ndarray, w: np.ndarray) -> tuple[float, float, float]:
        derivative = p.map.linearize(split(x, p.inputs))
        Hv, Hw = p.row(derivative, v), p.row(derivative, w)
        return float(Hv @ w), float(Hw @ v), float(np.abs(Hv) @ np.abs(w) + np.abs(Hw) @ np.abs(v))

    a, b, terms = both(p.x, v, w)
    rounding = 1e-8 * terms + 1e3 * float((np.abs(v) + np.abs(w)) @ (p.noise * np.clip(p.size, 1.0, 1e3)))
    rounding += TERMS * float(np.abs(v).sum() * np.abs(w).sum())
    if not abs(a - b) <= rounding:
        for _ in range(3):  # how far they move when all that is given does in its last place
            with np.errstate(all="ignore"):
                a2, b2, _ = both(*(part * (1 + 2 * EPS * random_signs(rng, p.n)) for part in (p.x, v, w)))
                rounding += 100 * float(np.nan_to_num(abs(a2 - a) + abs(b2 - b), posinf=0.0))
    if not abs(a - b) <= rounding:
        # the pair of inputs between which it is least symmetric
        parts = [[(p.owner == k) * x for k in range(len(p.labels))] for x in (v, w)]
        gaps = {
            (i, j): abs(float(p.row(p.derivative, x) @ y) - float(p.row(p.derivative, y) @ x))
            for i, x in enumerate(parts[0])
            for j, y in enumerate(parts[1])
        }
        i, j = max(gaps, key=lambda pair: gaps[pair])
        raise GradientError(
            f"{p.labels[i]}, derivative of order {p.order}: it is not symmetric, ∂²/∂x∂y and ∂²/∂y∂x for x = "
            f"{p.labels[i]} and y = {p.labels[j]} give {a:.10g} and {b:.10g} along random directions, so one of the "
            "derivatives of lower order is wrong in general, although it may be right at this point"
        )


def forward_agrees(f: TensorFunction, problem: Problem, rng: np.random.Generator) -> None:
    """<u, J v> by forward mode and <Jᵀ u, v> by reverse mode."""
    v = random_signs(rng, problem.n) * problem.size
    u = random_signs(rng, problem.m)
    vs = split(v, problem.inputs)
    try:
        _, dys = transforms.jvp(lambda *ts: floating_parts(f(*ts)), tuple(Tensor(x) for x in problem.inputs), vs)
    except (ValueError, TypeError) as error:
        raise GradientError(f"derivative of order 2: forward mode failed: {type(error).__name__}: {error}") from error
    forward = flattened([dy._array for dy in dys])[problem.kept]
    reverse = problem.row(problem.derivative, u)
    a, b = float(u @ forward), float(reverse @ v)
    terms = float(np.abs(u) @ np.abs(forward) + np.abs(reverse) @ np.abs(v))
    rounding = 1e3 * float(np.abs(u) @ problem.noise) + TERMS * float(np.abs(u).sum() * np.abs(v).sum())
    if not abs(a - b) <= 1e-8 * terms + rounding:
        raise GradientError(
            f"derivative of order 2: forward mode disagrees with reverse mode, <u, J v> = {a:.10g} and <Jᵀ u, v> = "
            f"{b:.10g} for random u and v; a rule does not keep the record of its cotangent"
        )
