"""check_vjp and check_jvp: derivatives that were written by hand for plain NumPy functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..messages import describe
from .arguments import changed, chosen_inputs, options_of, own_dtype, reject
from .comparison import Comparison
from .problem import Arrays, GradientError, KinkError, Map, Options, Problem, nothing_in
from .progress import watched
from .recorded import dtype_of
from .reproduction import reproduction
from .structure import check_structure

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

Function = Callable[..., Any]


def check_vjp(
    f: Function,
    vjp: Function,
    *inputs: Any,
    wrt: Sequence[int] | None = None,
    mode: str = "auto",
    eps: float | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    on_kink: str = "raise",
    copies: bool = True,
    seed: int = 0,
) -> None:
    """Compare a hand-written pullback of a plain NumPy function, g -> Jᵀ g, with finite differences; no Tensor needed.

    Args:
        f: takes arrays, returns an array or a tuple of them.
        vjp: `vjp(g, *inputs)` with g like f's result returns one array like the input, or a tuple, one per input.
        inputs: floats or arrays; integer arrays are handed on and not differentiated.

    For the other arguments, and what is raised, see `check_grad`.

    Example:
        >>> check_vjp(np.sin, lambda g, x: g * np.cos(x), np.array([0.3, 2.0]))
    """
    _check("check_vjp", f, vjp, inputs, wrt, options_of(1, rtol, atol, eps, mode, on_kink, copies), seed)


def check_jvp(
    f: Function,
    jvp: Function,
    *inputs: Any,
    wrt: Sequence[int] | None = None,
    mode: str = "auto",
    eps: float | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    on_kink: str = "raise",
    copies: bool = True,
    seed: int = 0,
) -> None:
    """Compare a hand-written forward rule of a plain NumPy function, v -> J v, with finite differences.

    Args:
        f: takes arrays, returns an array or a tuple of them.
        jvp: `jvp(v, *inputs)` returns what f returns; v is an array like the input, or a tuple of them, one per input
            (0 for an input that is not differentiated).
        inputs: floats or arrays; integer arrays are handed on and not differentiated.

    For the other arguments, and what is raised, see `check_grad`.

    Example:
        >>> check_jvp(np.sin, lambda v, x: v * np.cos(x), np.array([0.3, 2.0]))
    """
    _check("check_jvp", f, jvp, inputs, wrt, options_of(1, rtol, atol, eps, mode, on_kink, copies), seed)


def _check(
    name: str,
    f: Function,
    rule: Function,
    inputs: Sequence[Any],
    wrt: Sequence[int] | None,
    options: Options,
    seed: int,
) -> None:
    functions = {"f": f, name.removeprefix("check_"): rule}
    for what, function in functions.items():
        if not callable(function):
            raise TypeError(f"{name}: {what} must be a function, got {describe(function)}")
    given = changed(options, seed=(seed, 0), wrt=(list(wrt) if isinstance(wrt, Sequence) else wrt, None))
    check_plain(name, f, rule, inputs, wrt, options, seed, lambda: reproduction(name, functions, inputs, given))


def check_plain(
    name: str,
    f: Function,
    rule: Function,
    inputs: Sequence[Any],
    wrt: Sequence[int] | None,
    options: Options,
    seed: int,
    reproduce: Callable[[], str],
) -> None:
    """`check_vjp` or `check_jvp`, by name, with another way to reproduce it."""
    forward = name == "check_jvp"
    chosen = [k for k in chosen_inputs(name, inputs, wrt) if dtype_of(inputs[k]).kind == "f"]
    if not chosen:
        raise TypeError(f"{name}: no input is floating-point, so there is nothing to differentiate")
    single = True

    def full(xs: Arrays) -> list[Any]:
        values = list(inputs)
        for k, x in zip(chosen, xs):
            values[k] = x
        return values

    def value(xs: Arrays) -> Arrays:
        nonlocal single
        y = f(*full(xs))
        single = not isinstance(y, (tuple, list))
        parts = [np.asarray(part) for part in ([y] if single else y)]
        if not any(part.dtype.kind in "fc" for part in parts) or any(part.dtype.kind not in "fcbiu" for part in parts):
            raise nothing_in(y, "a floating-point array, or a tuple of arrays that holds one")
        return [_floating(part) for part in parts]

    def linearize(xs: Arrays) -> Callable[[Arrays], Arrays]:
        def pullback(gs: Arrays) -> Arrays:
            result = rule(gs[0] if single else tuple(gs), *full(xs))
            results = list(result) if isinstance(result, (tuple, list)) else [result]
            if len(results) not in (len(inputs), len(chosen)):
                raise GradientError(
                    f"vjp returned {len(results)} arrays for {len(inputs)} inputs; return one for each, None where "
                    "there is no derivative"
                )
            return [
                _result(name, r) for r in (results if len(results) != len(inputs) else [results[k] for k in chosen])
            ]

        def pushforward(vs: Arrays) -> Arrays:
            tangents: list[Any] = [0.0] * len(inputs)
            for k, v in zip(chosen, vs):
                tangents[k] = v
            result = rule(tangents[0] if len(inputs) == 1 else tuple(tangents), *full(xs))
            return [_result(name, r) for r in (result if isinstance(result, (tuple, list)) else [result])]

        return pushforward if forward else pullback

    xs = [np.array(inputs[k], np.float64) for k in chosen]
    rng = np.random.default_rng(seed)
    try:
        with watched(name):
            problem = Problem(Map(value, linearize, forward), xs, [f"input {k}" for k in chosen])
            check_structure(problem, [own_dtype(inputs[k]) for k in chosen], rng, options.copies)
            Comparison(problem, options, rng).run()
    except GradientError as error:
        raise GradientError(f"{error}\n\n{reproduce()}") from error.__cause__
    except KinkError as error:
        if options.on_kink == "reject":
            reject()
        raise KinkError(f"{error}\n\n{reproduce()}") from None


def _floating(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "c":
        raise TypeError("the function returned complex numbers; return real and imaginary part")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _result(name: str, r: Any) -> np.ndarray:
    if r is None:
        whose = "an input that is differentiated" if name == "check_vjp" else "an output"
        hint = "; name the others with wrt=" if name == "check_vjp" else ""
        raise GradientError(f"{name.removeprefix('check_')} returned None for {whose}; is a `return` missing?{hint}")
    if np.asarray(r).dtype.kind not in "fiubc":
        raise GradientError(f"{name.removeprefix('check_')} returned a {type(r).__name__} where an array belongs")
    return np.asarray(r)
