"""check_vjp and check_jvp: derivatives that were written by hand for plain NumPy functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..messages import describe
from ..record import Variable
from ..tree import flatten, tree_leaves, tree_map
from .arguments import changed, chosen_inputs, generator, options_of, own_dtype, reject
from .comparison import Comparison
from .problem import Arrays, GradientError, KinkError, Map, Options, Problem, nothing_in
from .progress import watched
from .recorded import dtype_of, paths
from .reproduction import reproduction
from .returned import Rule, array_of_numbers, counted, leaves_of, of_inputs, of_result
from .structure import check_structure

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

Function = Callable[..., Any]

_REMEDY = (
    " A backward pass that reads what the forward pass kept is checked with that before it: "
    "def vjp(g, x): layer.forward(x); return layer.backward(g)"
)


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
        f: takes arrays, or trees (tuples, lists, dicts) of them, and returns an array or a tree of them.
        vjp: `vjp(g, *inputs)` with g like f's result returns what is like the input, or a tuple, one for each of
            several inputs; None stands for what has no derivative.
        inputs: floats, arrays or trees of them; integer arrays are handed on and not differentiated. A list of numbers
            is an array, as for NumPy.

    For the other arguments, and what is raised, see `check_grad`.

    Example:
        >>> check_vjp(np.sin, lambda g, x: g * np.cos(x), np.array([0.3, 2.0]))
        >>> area = lambda size: size["w"] * size["h"]
        >>> check_vjp(area, lambda g, size: {"w": g * size["h"], "h": g * size["w"]}, {"w": 3.0, "h": 2.0})
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
        f: takes arrays, or trees (tuples, lists, dicts) of them, and returns an array or a tree of them.
        jvp: `jvp(v, *inputs)` returns what is like f's result; v is like the input, or a tuple, one for each of several
            inputs (0 for what is not differentiated).
        inputs: floats, arrays or trees of them; integer arrays are handed on and not differentiated. A list of numbers
            is an array, as for NumPy.

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
    written = Rule(name.removeprefix("check_"), rule)
    inputs = [array_of_numbers(x) for x in inputs]
    chosen = chosen_inputs(name, inputs, wrt)
    places = [  # (input, leaf in it, label, value) of all that is differentiated
        (k, j, f"input {k}{path}", leaf._array if isinstance(leaf, Variable) else leaf)
        for k in chosen
        for j, (leaf, path) in enumerate(zip(tree_leaves(inputs[k]), paths(inputs[k])))
        if dtype_of(leaf).kind == "f"
    ]
    if not places:
        raise TypeError(f"{name}: no input is floating-point, so there is nothing to differentiate")
    flat = [flatten(x) for x in inputs]
    result_like: Any = None

    def filled(xs: Arrays, others: Callable[[Any], Any]) -> list[Any]:
        """The inputs with xs in the places of what is differentiated."""
        new = {(k, j): x for (k, j, _, _), x in zip(places, xs)}
        return [
            rebuild([new[k, j] if (k, j) in new else others(leaf) for j, leaf in enumerate(leaves)])
            for k, (leaves, rebuild) in enumerate(flat)
        ]

    def full(xs: Arrays) -> list[Any]:
        return filled(xs, lambda leaf: leaf)

    def value(xs: Arrays) -> Arrays:
        nonlocal result_like
        given = full(xs)
        try:
            y = f(*given)
        except Exception as error:
            error.add_note(f"raised by the function that is checked, called with {counted(len(given), 'input')}")
            raise
        parts = [np.asarray(part) for part in tree_leaves(y)]
        if not any(part.dtype.kind in "fc" for part in parts) or any(part.dtype.kind not in "fcbiu" for part in parts):
            raise nothing_in(y, "a floating-point array, or a tree of arrays that holds one")
        result_like = tree_map(np.asarray, y)
        return [_floating(part) for part in parts]

    def linearize(xs: Arrays) -> Callable[[Arrays], Arrays]:
        def pullback(gs: Arrays) -> Arrays:
            result = written(flatten(result_like)[1](gs), full(xs))
            found = {
                (k, j): leaf
                for k, part in zip(chosen, of_inputs(written, result, inputs, chosen))
                for j, leaf in enumerate(leaves_of(inputs[k], part))
            }
            return [_result(written, label, found[k, j]) for k, j, label, _ in places]

        def pushforward(vs: Arrays) -> Arrays:
            tangents = filled(vs, lambda leaf: 0.0)
            result = written(tangents[0] if len(inputs) == 1 else tuple(tangents), full(xs))
            found = leaves_of(result_like, of_result(written, result, result_like))
            return [_result(written, f"output {k}", leaf) for k, leaf in enumerate(found)]

        return pushforward if forward else pullback

    xs = [np.array(leaf, np.float64) for *_, leaf in places]
    rng = generator(seed)
    try:
        with watched(name):
            problem = Problem(
                Map(value, linearize, forward, "" if forward else _REMEDY), xs, [label for _, _, label, _ in places]
            )
            check_structure(problem, [own_dtype(leaf) for *_, leaf in places], rng, options.copies)
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


def _result(rule: Rule, place: str, r: Any) -> np.ndarray:
    if r is None:
        hint = " (wrt= names the inputs that have a derivative)" if rule.role == "vjp" else ""
        raise GradientError(f"{rule} returned None for {place}, which is differentiated; is a `return` missing?{hint}")
    if np.asarray(r).dtype.kind not in "fiubc":
        raise GradientError(f"{rule} returned a {type(r).__name__} where an array belongs, for {place}")
    array = np.asarray(r)
    return array if array.flags.writeable or isinstance(r, np.ndarray) else array.copy()  # JAX's arrays never change
