"""What can be wrong with a derivative rule: faults of the cotangent it returns, and of what it is called with.

They use primitives only, so that a wrong rule runs on arrays and on Tensors as the right one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ...ops import where
from ...primitive import Primitive, Rule
from ...reads import reads_values
from ...record import At, Product
from ...shapes import concatenate, transpose
from ...tensor import Tensor

Call = tuple[Any, Any, list[Any]]  # (g, y, inputs), what a rule is called with

# --- faults of the cotangent that a rule returns ----------------------------------------------------------------------


def in_cotangent(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change of an array as a change of a rule's result, which may be an array, `At` or `Product`."""

    def changed(term: Any) -> Any:
        if isinstance(term, (At, Product)):
            return type(term)(term[0], change(term.g))
        return change(term if hasattr(term, "shape") else np.asarray(term))

    return changed


def _transposed(term: Any) -> Any:
    if isinstance(term, Product):
        return Product(term.g, term.x) if term.x.shape == term.g.shape else term
    return in_cotangent(lambda g: transpose(g) if g.ndim > 1 and g.shape == g.shape[::-1] else g)(term)


def _without_last(g: Any) -> Any:
    kept = np.ones(g.shape, bool)
    kept.reshape(-1)[-1:] = False
    return where(kept, g, 0.0)


def _rolled(g: Any) -> Any:
    return concatenate([g[..., -1:], g[..., :-1]], axis=-1) if g.ndim else g


def _constant(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def _detached(term: Any) -> Any:
    return type(term)(*map(_constant, term)) if isinstance(term, (At, Product)) else _constant(term)


COTANGENT_FAULTS: dict[str, Callable[[Any], Any]] = {
    "times 1000": in_cotangent(lambda g: g * 1000.0),
    "times 1.001": in_cotangent(lambda g: g * 1.001),
    "sign flipped": in_cotangent(lambda g: -g),
    "transposed where square": _transposed,
    "last entry dropped": in_cotangent(_without_last),
    "last axis rolled": in_cotangent(_rolled),
    "constant at second order": _detached,
}

# --- faults of what a rule is called with -----------------------------------------------------------------------------


def _swapped(g: Any, y: Any, inputs: list[Any], k: int) -> Call:
    """y for x and x for y, where their shapes agree."""
    x = inputs[k]
    if getattr(x, "shape", None) != y.shape:
        return g, y, inputs
    inputs[k] = y
    return g, x, inputs


def _exchanged(g: Any, y: Any, inputs: list[Any], k: int) -> Call:
    """An input and the next one (the one before, for the last) exchanged, where their shapes agree."""
    k %= len(inputs)
    j = k + 1 if k + 1 < len(inputs) else k - 1
    if j >= 0 and getattr(inputs[k], "shape", None) == getattr(inputs[j], "shape", 0):
        inputs[k], inputs[j] = inputs[j], inputs[k]
    return g, y, inputs


CALL_FAULTS: dict[str, Callable[[Any, Any, list[Any], int], Call]] = {
    "cotangent ignored": lambda g, y, inputs, k: (np.ones(g.shape, g.dtype), y, inputs),
    "cotangent constant at second order": lambda g, y, inputs, k: (_constant(g), y, inputs),
    "inputs and output constant at second order": lambda g, y, inputs, k: (g, _constant(y), [*map(_constant, inputs)]),
    "input and output swapped": _swapped,
    "inputs exchanged": _exchanged,
}


def _reads(rule: Rule, arguments: Sequence[int]) -> bool:
    return any(reads_values(rule, k) for k in arguments)


def faults_of_calls(p: Primitive, rule: Rule, k: int) -> Iterator[str]:
    """The faults of calls that may matter to this rule."""
    yield "cotangent ignored"
    n = max(len(p.rules), 1)
    differentiated = [2 + j for j in range(n) if p.joint is not None or p.rules[j] is not None]
    if _reads(rule, [1, *differentiated]):
        yield from ("cotangent constant at second order", "inputs and output constant at second order")
    if _reads(rule, [1, 2 + max(k, 0)]):
        yield "input and output swapped"
    neighbour = k + 1 if k + 1 < n else k - 1
    exchanged = [2] if p.joint is not None else [2 + k, 2 + neighbour] if n > 1 else []
    if exchanged and _reads(rule, exchanged):
        yield "inputs exchanged"
