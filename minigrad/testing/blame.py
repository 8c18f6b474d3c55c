"""Which step of a recorded computation is to blame: each is checked by itself, at the values it saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backward import lineage
from ..details import record_details
from ..messages import describe
from ..modes import detect_anomaly, enable_grad
from ..record import Node
from ..tensor import Tensor
from .comparison import Comparison
from .problem import Arrays, GradientError, KinkError, Options, Problem, random_signs
from .recorded import TensorFunction, floating_parts, pullback_of, slope, tensor_map
from .structure import check_structure

Locate = Callable[[Node], str]  # in the user's terms, where in the computation a step lies
MOST = 3000  # steps that are examined


def culprit(
    f: TensorFunction, xs: Arrays, order: int, wanted: type[Exception], options: Options, locate: Locate | None = None
) -> str:
    """A paragraph about the first recorded step, in forward order, with a fault (or with `wanted=KinkError` a kink).

    If every step is right by itself, about the place where the record is cut; else a sentence which says so.
    """
    with np.errstate(all="ignore"):
        try:
            steps = nodes_of(f, xs)
        except Exception as error:  # the report must not fail where the check has already failed
            return f"the record could not be examined: {type(error).__name__}: {error}"
        for moved in (0.0, 0.1):  # a value like a symmetric matrix may hide the fault of a rule
            for number, t in enumerate(steps[:MOST]):
                fault = _fault_of(t, order, wanted, options, moved)
                if fault:
                    place = _step(number, steps) + _where(t, locate)
                    hidden = (
                        "\n  (with its inputs moved by a tenth; at their own values the fault is hidden)"
                        if moved
                        else ""
                    )
                    return "\n".join([f"to blame: {place}", f"  {fault}{hidden}", *_arguments(t)])
            if wanted is KinkError:
                return "no recorded step has a kink by itself"
        cut = _cut(f, xs, order, locate)
    return cut or f"each of the {len(steps)} recorded steps is right by itself, and none is cut off from the inputs"


def _step(number: int, steps: Sequence[Node]) -> str:
    made_by = steps[number].primitive
    return f"step {number + 1} of {len(steps)}, `{made_by.name if made_by else '?'}`"


def _where(t: Node, locate: Locate | None) -> str:
    made = getattr(t, "origin", None)
    return f"{f' {locate(t)}' if locate is not None else ''}{f', called at {made.line}' if made else ''}"


def _arguments(t: Node) -> list[str]:
    lines = [f"  its input {k}: {describe(x)}" for k, x in enumerate(t.operands)]
    if t.static:
        lines.append("  its static arguments: " + ", ".join(f"{key}={value!r}" for key, value in t.static.items()))
    return lines


def nodes_of(f: TensorFunction, xs: Arrays) -> list[Node]:
    """The steps that f's outputs were made by, in the order in which they were made."""
    return _steps(_recorded(f, xs))


def _recorded(f: TensorFunction, xs: Arrays) -> list[Tensor]:
    """f's outputs, of which each step's line is known."""
    leaves = [Tensor._sharing(x.copy(), requires_grad=True) for x in xs]
    try:
        with enable_grad(), detect_anomaly():  # which notes each step's line
            return floating_parts(f(*leaves))
    except FloatingPointError:
        with enable_grad(), record_details():
            return floating_parts(f(*leaves))


def _steps(outputs: list[Tensor]) -> list[Node]:
    steps = lineage([y.node for y in outputs if y.node is not None])[0]
    return [t for t in steps[::-1] if t.primitive is not None]


def _fault_of(t: Node, order: int, wanted: type[Exception], options: Options, moved: float) -> str:
    """What is wrong with one step, or nothing."""
    made_by = t.primitive
    assert made_by is not None
    places = [k for k, node in enumerate(t.inputs) if node is not None]
    rng = np.random.default_rng(0)

    def function(*vs: Any) -> Any:
        full = list(t.operands)
        for k, v in zip(places, vs):
            full[k] = v
        return made_by(*full, **t.static)

    f: TensorFunction = function
    xs = [np.array(t.operands[k], np.float64) for k in places]
    xs = [x * (1 + moved * random_signs(rng, x.shape)) if moved else x for x in xs]
    labels = [f"input {k}" for k in places]
    dtypes = [t.operands[k].dtype for k in places]
    try:
        for level in range(1, order + 1):
            problem = Problem(tensor_map(f), xs, labels, level)
            if wanted is GradientError:
                check_structure(problem, dtypes, rng, options.copies)
            Comparison(problem, options._replace(mode="auto", on_kink="raise"), rng).run()
            if level < order:
                f, xs, labels, dtypes = _with_cotangents(f, problem, xs, labels, dtypes, rng)
    except wanted as error:
        return str(error)
    except Exception:
        return ""  # no verdict on this step
    return ""


def _with_cotangents(
    f: TensorFunction, problem: Problem, xs: Arrays, labels: list[str], dtypes: list[np.dtype], rng: np.random.Generator
) -> tuple[TensorFunction, Arrays, list[str], list[np.dtype]]:
    """The pullback of f as a function of its inputs and of its cotangents."""
    us = [random_signs(rng, y.shape) for y in problem.outputs]
    n = len(xs)
    names = [f"the cotangent {k}" if len(us) > 1 else "the cotangent" for k in range(len(us))]
    own = dtypes[0] if dtypes else np.dtype(np.float64)
    return (lambda *vs: list(pullback_of(f, vs[:n], vs[n:]))), [*xs, *us], labels + names, dtypes + [own] * len(us)


# --- where the record is cut -----------------------------------------------------------------------------------------


def _cut(f: TensorFunction, xs: Arrays, order: int, locate: Locate | None) -> str:
    """Constants of the record that change with the inputs: detached values, `.data`, or NumPy's results."""
    rng = np.random.default_rng(0)
    moved = [x + np.where(np.isfinite(x), 1e-3 * (1 + np.abs(x)) * random_signs(rng, x.shape), 0.0) for x in xs]
    for level in range(1, order + 1):
        try:
            us = [random_signs(rng, y.shape) for y in tensor_map(f).value([x.copy() for x in xs])]
            others, outputs = _recorded(f, moved), _recorded(f, xs)  # `locate` knows of the last run
        except Exception:
            return ""
        second, first = _steps(others), _steps(outputs)
        if len(first) != len(second):
            return ""
        of = "" if level == 1 else f" of the derivative of order {level - 1}"
        for number, (a, b) in enumerate(zip(first, second)):
            for what, u, v in _constants(a, b):
                if _moves(u, v):
                    return f"to blame: {what} of {_step(number, first)}{of}{_where(a, locate)}, {_CONSTANT}"
        if not first and us:
            return "to blame: nothing was recorded; was the result detached, or computed by NumPy from `.data`?"
        for k, (y, z) in enumerate(zip(outputs, others)):
            if y.node is None and _moves(y._array, z._array):
                return f"to blame: output {k}{of}, {_CONSTANT}"
        f = slope(f, us)
    return ""


_CONSTANT = (
    "is constant in the record and yet it changes with the inputs; was it detached, taken from `.data`, or computed by "
    "NumPy?"
)


def _moves(u: np.ndarray, v: np.ndarray) -> bool:
    return u.shape == v.shape and u.dtype.kind == "f" and not np.array_equal(u, v, equal_nan=True)


def _constants(a: Node, b: Node) -> Sequence[tuple[str, np.ndarray, np.ndarray]]:
    constant = [k for k, nodes in enumerate(zip(a.inputs, b.inputs)) if not any(nodes)]
    pairs = [(f"input {k}", a.operands[k], b.operands[k]) for k in constant]
    pairs += [(f"the argument {key}", x, b.static.get(key)) for key, x in a.static.items()]
    found = []
    for name, x, y in pairs:
        if isinstance(x, (np.ndarray, np.floating, float)) and isinstance(y, (np.ndarray, np.floating, float)):
            found.append((name, np.asarray(x), np.asarray(y)))
    return found
