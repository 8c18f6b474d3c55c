"""check_grad: is the derivative that minigrad computes the derivative of the function?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..messages import describe
from ..record import Variable
from ..tree import flatten
from .arguments import changed, chosen_inputs, generator, options_of, own_dtype, reject
from .blame import Locate, culprit
from .comparison import Comparison
from .problem import Arrays, GradientError, KinkError, Options, Problem, random_signs
from .progress import watched
from .recorded import TensorFunction, dtype_of, paths, slope, slope_map, tensor_map
from .relations import forward_agrees, is_symmetric, others_constant, same_tensor_twice
from .reproduction import reproduction
from .structure import check_structure

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def check_grad(
    f: Callable[..., Any],
    *inputs: Any,
    wrt: Sequence[int] | None = None,
    order: int = 1,
    mode: str = "auto",
    eps: float | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    on_kink: str = "raise",
    copies: bool = True,
    seed: int = 0,
) -> None:
    """Compare the derivatives of a function of Tensors with finite differences at `inputs`, and raise if they disagree.

    Order 1 compares the Jacobian ∂f/∂x; order 2 goes on to that of g(x) = ∂/∂x Σ u f(x) for random u, asks that it be
    symmetric, and that forward mode agree with reverse mode, <u, J v> = <Jᵀ u, v>; and so forth. At each order the
    gradient must have its input's shape and dtype, be linear in the cotangent, the same twice and for any memory
    layout, and share no memory; nothing may change inputs or cotangent.

    Args:
        f: takes Tensors, or trees of them, and returns a Tensor or a tree of them, of any shapes.
        inputs: where to check: floats, arrays, Tensors or trees of them. Values are compared in float64, and in float32
            as well if f takes it; inputs that are float32 must give float32 gradients. (Of empty arrays, shape and
            dtype of the gradient are all there is to compare.)
        wrt: positions of the inputs to differentiate; by default every floating-point leaf of every input.
        order: the highest derivative to check; every lower one is checked too.
        mode: "full" compares every entry of the Jacobian, "project" a few random projections of it (one wrong entry of
            10 000 is seen, and found by bisection), "auto" chooses by size.
        eps: the first step relative to max(1, |x|); by default steps of all sizes, as they are needed.
        rtol, atol: how far an entry may be off, relative and absolute, beside the estimated error of the differences.
        on_kink: where f is not differentiable within the smallest step, "raise" a `KinkError`, "reject" the example
            (under hypothesis), or ask of a "subgradient" that it lie between the one-sided slopes.
        copies: whether f is also tried with copies of the inputs that are strided, column-major, or float32, and with
            one tensor for two inputs; False for an f that takes C-contiguous float64 arrays only.
        seed: of everything random.

    Raises:
        GradientError: if a derivative is wrong; the message names entry, values, the primitive to blame, and lines to
            paste.
        KinkError: (a ValueError) if no verdict is possible here.
        TypeError: if there is nothing to compare: no input that can be differentiated, or a result without a
            floating-point Tensor (a missing `return`); or if numbers would be left out: complex ones, and those in what
            is no tree, as a dataclass.
        ValueError: if f refuses a copy of its inputs, or an option admits any gradient.

    >>> check_grad(lambda x, y: mg.tanh(x) * y, np.ones(3), 2.0, order=2)
    """
    if not callable(f):
        raise TypeError(f"check_grad: the first argument must be a function of the inputs, got {describe(f)}")
    options = options_of(order, rtol, atol, eps, mode, on_kink, copies)
    given = changed(
        options, order=(order, 1), seed=(seed, 0), wrt=(list(wrt) if isinstance(wrt, Sequence) else wrt, None)
    )
    check_function(f, inputs, wrt, order, options, seed, lambda: reproduction("check_grad", {"f": f}, inputs, given))


def check_function(
    f: Callable[..., Any],
    inputs: Sequence[Any],
    wrt: Sequence[int] | None,
    order: int,
    options: Options,
    seed: int,
    reproduce: Callable[[], str],
) -> None:
    """`check_grad`, with another way to reproduce it."""
    chosen = chosen_inputs("check_grad", inputs, wrt)
    trees = [flatten(inputs[k]) for k in chosen]
    places, xs, dtypes, labels = [], [], [], []
    for k, (leaves, _) in zip(chosen, trees):
        for j, (leaf, path) in enumerate(zip(leaves, paths(inputs[k]))):
            if dtype_of(leaf).kind == "f":
                places.append((k, j))
                xs.append(np.array(leaf._array if isinstance(leaf, Variable) else leaf, np.float64))
                dtypes.append(own_dtype(leaf))
                labels.append(f"input {k}{path}")
    if not xs:
        raise TypeError("check_grad: no input has floating-point leaves, so there is nothing to differentiate")

    nested = any(isinstance(inputs[k], (tuple, list, dict)) for k in chosen)

    def call(*tensors: Any) -> Any:
        if not nested:
            full = list(inputs)
            for (k, _), t in zip(places, tensors):
                full[k] = t
            return f(*full)
        new = {place: t for place, t in zip(places, tensors)}
        full = list(inputs)
        for k, (leaves, rebuild) in zip(chosen, trees):
            parts = [new.get((k, j), leaf) for j, leaf in enumerate(leaves)]
            full[k] = rebuild(parts) if isinstance(inputs[k], (tuple, list, dict)) else parts[0]
        return f(*full)

    with watched("check_grad"):
        check_tensors(call, xs, dtypes, labels, options, order, seed, reproduce)


def check_tensors(
    f: TensorFunction,
    xs: Arrays,
    dtypes: list[np.dtype],
    labels: list[str],
    options: Options,
    order: int,
    seed: int,
    reproduce: Callable[[], str],
    locate: Locate | None = None,
) -> None:
    """`check_grad` for a function of Tensors only; failures are reported with `reproduce()` and blame."""
    rng = generator(seed)
    function, map, magnitude = f, tensor_map(f), None
    level = 1
    try:
        for level in range(1, order + 1):
            problem = Problem(map, xs, labels, level, magnitude)
            check_structure(problem, dtypes, rng, options.copies)
            comparison = Comparison(problem, options, rng)
            comparison.run()
            if level == 1:
                if options.copies:
                    same_tensor_twice(function, problem, rng)
                    others_constant(function, problem, rng)
                first = problem
            else:
                is_symmetric(comparison, rng)
                if level == 2:
                    forward_agrees(f, first, rng)
            us = [random_signs(rng, y.shape) * np.isfinite(y) for y in problem.outputs]
            magnitude = _magnitude(problem, us)
            function, map = slope(function, us), slope_map(function, us)
    except GradientError as error:
        blame = culprit(f, xs, level, GradientError, options, locate)
        raise GradientError("\n\n".join([str(error), blame, reproduce()])) from error.__cause__
    except KinkError as error:
        if options.on_kink == "reject":
            reject()
        blame = culprit(f, xs, level, KinkError, options, locate)
        raise KinkError("\n\n".join([str(error), blame, reproduce()])) from None


def _magnitude(problem: Problem, us: Arrays) -> np.ndarray:
    """How large the terms may be that make up each entry of the gradient of Σ u f: |Σ u f| / |x|."""
    total = sum(float(np.sum(np.abs(u * y), where=np.isfinite(y))) for u, y in zip(us, problem.outputs))
    smallest = np.where(problem.size == 0, 1.0, problem.size)
    return np.full(problem.n, total) / smallest
