"""What a failure says: numbers side by side, and lines to paste that reproduce it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .problem import Problem

LITERAL = 64  # entries up to which an array is written out
COLUMNS = 8


def count(wrong: int, whole: int) -> str:
    """`3 of 12 entries are`."""
    return f"{wrong} of {whole} entries {'is' if wrong == 1 == whole else 'are'}"


def side_by_side(analytic: np.ndarray, numeric: np.ndarray, wrong: np.ndarray, problem: Problem, k: int) -> str:
    """The Jacobian (m, n) by input k, from the rule and from differences; `*` marks what differs.

    The gradient of a single output is shown in the shape of its input.
    """
    shape = problem.inputs[k].shape
    if len(analytic) == 1 and shape:
        rows = [part.reshape(-1, shape[-1] if shape[-1] else 1) for part in (analytic, numeric, wrong)]
        title = "the gradient"
    else:
        rows = [analytic, numeric, wrong]
        title = f"the Jacobian, a row for each entry of the output and a column for each of {problem.labels[k]}"
    if rows[0].shape[1] > COLUMNS:
        places = np.argwhere(rows[2])[:10].tolist()
        entries = [f"  {place}: {rows[0][tuple(place)]:.8g} | {rows[1][tuple(place)]:.8g}" for place in places]
        return "\n".join([f"{title}, rule | differences, wrong entries:", *entries])
    left = [[f"{a:.6g}{'*' if bad else ''}" for a, bad in zip(*pair)] for pair in zip(rows[0], rows[2])]
    right = [[f"{a:.6g}" for a in row] for row in rows[1]]
    width = max(len(text) for part in (left, right) for row in part for text in row)
    lines = ["  " + " | ".join(" ".join(t.rjust(width) for t in row) for row in pair) for pair in zip(left, right)]
    return "\n".join([f"{title}, rule | differences:", *lines])


def literal(x: Any) -> str:
    """A Python expression for an array: exact while it is small, else its shape and first entries."""
    if not isinstance(x, np.ndarray):
        return repr(x)
    if x.size > LITERAL:
        first = np.array2string(x.ravel()[:3], separator=", ", floatmode="unique")[1:-1]
        return f"...  # {x.shape} {x.dtype}, too large to print; it starts with {first}"
    text = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(x.tolist()))
    if not x.size:
        return f"np.zeros({x.shape}, np.{x.dtype})"
    return f"np.array({text}{'' if x.dtype in (np.float64, np.int64) else f', np.{x.dtype}'})"


def reproduction(call: str, functions: dict[str, Callable[..., Any]], inputs: Sequence[Any], options: str) -> str:
    """Lines to paste: imports, the inputs, the call. `functions` are keyed by what to call those without a name."""
    names = [f"x{k}" for k in range(len(inputs))]
    lines = ["import numpy as np", f"from minigrad.testing import {call}", ""]
    lines += [f"{name} = {lambda_at(f)}" for name, f in functions.items() if is_lambda(f)]
    lines += [f"{name} = {literal_tree(x)}" for name, x in zip(names, inputs)]
    called = [name if is_lambda(f) else function_name(f) for name, f in functions.items()]
    lines += [f"{call}({', '.join([*called, *names])}{options})"]
    return "to reproduce:\n" + "\n".join(f"    {line}".rstrip() for line in lines)


def literal_tree(tree: Any) -> str:
    """The same for tuples, lists and dicts of arrays; tensors are written as arrays."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {literal_tree(part)}" for key, part in tree.items()) + "}"
    if isinstance(tree, (list, tuple)):
        parts = ", ".join(literal_tree(part) for part in tree)
        if hasattr(tree, "_fields"):
            return f"{type(tree).__name__}({parts})"
        return f"[{parts}]" if isinstance(tree, list) else f"({parts}{',' if len(tree) == 1 else ''})"
    return literal(getattr(tree, "data", tree) if not isinstance(tree, np.ndarray) else tree)


def is_lambda(f: Any) -> bool:
    return "<lambda>" in str(getattr(f, "__name__", ""))


def lambda_at(f: Any) -> str:
    """A placeholder for a lambda, and where the user wrote it."""
    return f"...  # the lambda of {Path(f.__code__.co_filename).name}, line {f.__code__.co_firstlineno}"


def function_name(f: Any) -> str:
    """How the user wrote f, as far as can be told."""
    name = getattr(f, "__qualname__", None) or getattr(f, "__name__", None) or type(f).__name__
    if "<lambda>" in str(name):  # a primitive bears the name of the function it was made of
        name = f.__name__
    return f"np.{name}" if getattr(np, str(name), None) is f else str(name).rpartition("<locals>.")[2]
