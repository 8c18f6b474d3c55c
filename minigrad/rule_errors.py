"""What the walk says of a rule that raises, of what it returns, and of data that changed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .callers import line_at
from .messages import check_finite, describe, of_rule, told
from .record import Node, Product, Variable

_SEQUENCES: tuple[type[Any], ...] = (tuple, list, np.ndarray, Variable)  # in which a joint rule may return cotangents


def forward_line(node: Node) -> str | None:
    """The user's line of the forward call, if it is known."""
    if hasattr(node, "origin"):
        return str(node.origin)
    return str(line_at(*node.line)) if hasattr(node, "line") else None


def _called(node: Node) -> str:
    """The same for the end of a message, if it is known."""
    line = forward_line(node)
    return f"; forward call: {line}" if line else ""


class MisfitError(ValueError):
    """What a rule returned cannot be added to the cotangents of an input, for the reason given."""


def explained(node: Node, k: int, error: Exception) -> Exception:
    """The error for what came of calling the rule for input k; one that says itself what raised it, as it is."""
    name = node.primitive.name
    if isinstance(error, MisfitError):
        return told(ValueError(f"{name}: the rule for input {k} {error}{_called(node)}"), error.__cause__)
    which = "the joint rule" if node.primitive.joint is not None else f"the rule for input {k}"
    return of_rule(name, which, error, forward_line(node))


def changed(node: Node, k: int) -> Exception:
    """The error for an input whose data changed after the forward call."""
    shape = node.inputs[k].shape  # type: ignore[union-attr]
    return told(
        RuntimeError(
            f"{node.primitive.name}: the data of input {k}, shape {shape}, changed after this forward call; "
            "run the forward pass again before backward()"
        )
    )


def check_product(term: Product, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless x^T g has this shape; a vector's is that of one column."""
    x, g = term.x.shape, term.g.shape
    if len(x) != 2 or len(g) != 2 or x[0] != g[0] or (x[1], g[1]) != (shape if len(shape) == 2 else (*shape, 1)):
        raise ValueError(f"returned a Product of shapes {x} and {g} for an input of shape {shape}")


def check_count(node: Node, terms: Any) -> Sequence[Any]:
    """What a joint rule returned, if these are as many cotangents as there are inputs."""
    if isinstance(terms, _SEQUENCES) and len(terms) == len(node.inputs):
        found: Sequence[Any] = terms
        return found
    if isinstance(terms, _SEQUENCES):
        words = f"{len(terms)} cotangents"
    else:
        words = f"{terms if terms is None else describe(terms)}, no sequence,"
    raise told(
        ValueError(
            f"{node.primitive.name}: the joint rule returned {words} for {len(node.inputs)} inputs{_called(node)}"
        )
    )


def check_term(term: Any, g: Any, node: Node, k: int) -> None:
    """Under `detect_anomaly`: raise FloatingPointError if the cotangent of input k is not finite."""
    for part in term if isinstance(term, tuple) else (term,):
        value = part._array if isinstance(part, Variable) else part
        sources = [x._array if isinstance(x, Variable) else x for x in (g, *node.operands)]
        try:
            check_finite(f"{node.primitive.name}: cotangent of input {k}", value, sources, forward_line(node))
        except FloatingPointError as error:
            raise told(error) from None
