"""tap: the gradient of an intermediate result, collected by another tensor, wherever the record of it may be."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .composed import of_one
from .derivation import being_differentiated
from .messages import describe
from .ops import positive
from .primitive import Primitive, Rule
from .record import Variable


@of_one
def tap(y: Any, e: Any) -> Any:
    """y, whose gradient is that of `e` besides: dL/de grows by dL/dy, though no value depends on e.

    `y.retain_grad()` looks at one record. A tap is part of the record, and so serves where that is dropped or kept as a
    program as well: inside of `checkpoint` (with e among the arguments) and `compile`, and at every order.

    Args:
        y: a result; where none is recorded, it is returned as it is. What was made before e is returned as a copy.
        e: a tensor of its shape and dtype with requires_grad=True, zeros for instance.

    Raises:
        TypeError: if e is no Tensor, or a transform differentiates with respect to it and no record of y is kept.
        ValueError: if their shapes or dtypes differ.
        RuntimeError: if y comes out of a function under `checkpoint` that reads it as well.

    Example:
        >>> import minigrad as mg
        >>> x, e = mg.tensor(3.0, requires_grad=True), mg.tensor(0.0, requires_grad=True)
        >>> (mg.tap(x * x, e) * 5).backward()
        >>> float(e.grad)
        5.0
    """
    if not isinstance(e, Variable):
        raise TypeError(f"tap: e must be a Tensor that collects a gradient, got {describe(e)}")
    if (np.shape(y), np.result_type(y)) != (e._array.shape, e._array.dtype):
        raise ValueError(f"tap: y is {describe(y)}, e is {describe(e)}; they must be alike")
    if e.node is None or not isinstance(y, Variable) or y.node is None:
        if being_differentiated(e):
            raise TypeError(
                f"tap: y, {describe(y)}, depends on nothing that requires a gradient, so that of e would be 0; "
                "differentiate with respect to what y is made of as well, for instance mg.grad(f, argnums=(0, 1))"
            )
        return y
    if getattr(y.node, "collector", y.node) is None:
        raise RuntimeError(
            f"tap: y, {describe(y)}, is a result of a function under checkpoint that is read in there as well, so that "
            "a part of its gradient would be missing; call mg.tap(y, e) in that function, with e among its arguments"
        )
    if y.node.primitive is None or y.node.order < e.node.order:  # the record runs from older to newer
        y = positive(y)
        if y.node is None:
            return y
    node = y.node
    node.primitive = _tapped(node.primitive, len(node.inputs))
    node.inputs, node.operands = (*node.inputs, e.node), (*node.operands, e.node)
    return y


@functools.cache
def _tapped(p: Any, inputs: int) -> Primitive:
    """The primitive with one input more, of which no value depends, and whose cotangent is that of the output."""
    if p.joint is not None:
        joint: Any = lambda g, y, *xs, **static: [*p.definition.joint(g, y, *xs[:-1], **static), g]
        joint.__wrapped__ = p.joint  # whose text is that of this rule
        return Primitive(p.function, (), joint, p.name, None)
    rules = [rule and _without_last(p, k) for k, rule in enumerate(p.rules)]
    rules = (rules + [None] * inputs)[:inputs]
    return Primitive(p.function, (*rules, lambda g, y, *xs, **static: g), None, p.name, None)


def _without_last(p: Any, k: int) -> Rule:
    """The rule of p for input k, whatever it is by then, called without the last input."""
    rule: Any = lambda g, y, *xs, **static: p.definition.rules[k](g, y, *xs[:-1], **static)
    rule.__wrapped__ = p.rules[k]
    return rule  # type: ignore[no-any-return]


@of_one
def with_gradient(y: Any, e: Any) -> Any:
    """y, of which `retain_grad()` and `.grad` stand for the gradient that `e` collects.

    For a tensor that others were put together in aside from the way to the loss, as the states of a recurrent network
    are: what becomes of them does not pass through it, but a `tap` of each to its part of e tells. Raises TypeError if
    e is no Tensor.

    >>> x, e = mg.tensor(3.0, requires_grad=True), mg.tensor(0.0, requires_grad=True)
    >>> square = mg.tap(x * x, e)
    >>> copy = mg.with_gradient(square * 1.0, e)
    >>> copy.retain_grad()
    >>> (square * 5).backward()
    >>> copy.grad
    array(5.)
    """
    if not isinstance(e, Variable):
        raise TypeError(f"with_gradient: e must be a Tensor that collects a gradient, got {describe(e)}")
    if isinstance(y, Variable) and y.node is not None and e.node is not None:
        y.node.collector = e.node
    return y
