"""The walk from an output back to its inputs: newest record first, each tensor once, no recursion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

import numpy as np

from .accumulate import ArraySum, RecordedSum
from .interpretation import interpreted
from .kernels import turned
from .messages import check_finite, check_real, describe, file_shown, of_rule
from .modes import anomaly, recording
from .primitive import Primitive
from .record import Node, Variable
from .shapes import getitem

_SEQUENCES: tuple[type[Any], ...] = (tuple, list, np.ndarray, Variable)  # in which a joint rule may return cotangents


def lineage(outputs: Collection[Node], wrt: Collection[Node] | None = None) -> tuple[list[Node], bool]:
    """The nodes between `outputs` and `wrt` (None: all leaves that require gradients), newest first.

    Also returns whether anything outside of `wrt` requires gradients as well, so that the gradients themselves have a
    derivative: then the walk has to be recorded.
    """
    stops = None if wrt is None else set(wrt)
    tensors = list(set(outputs))
    found = set(tensors)
    foreign = False
    for t in tensors:  # which grows meanwhile
        if stops is not None:
            if t in stops:
                foreign = foreign or t.primitive is not None
                continue
            foreign = foreign or t.primitive is None
        for x in t.inputs:
            if x is not None and x not in found:
                found.add(x)
                tensors.append(x)
    tensors.sort(key=attrgetter("order"))
    if stops is not None:  # keep what leads to wrt; inputs come before what is made of them
        leading: set[Node] = set()
        for t in tensors:
            if t in stops or any([x in leading for x in t.inputs]):
                leading.add(t)
        tensors = [t for t in tensors if t in leading]
    return tensors[::-1], foreign


def walk(
    outputs: Sequence[Node],
    cotangents: Sequence[Any],
    recorded: bool,
    ends: Set[Node] | None = None,
    within: Sequence[Node] | None = None,
    onward: bool = False,
    rules_of: Callable[[Node, Any], tuple[Any, ...]] | None = None,
) -> dict[Node, Any]:
    """Cotangents of the nodes in `ends` (None: the leaves, and what retains its gradient).

    Newest first, so that all that a node gets has arrived before its rules are called, each at most once per input.
    Only nodes `within` a lineage are visited, all if there is none. What an end was made from gets nothing through it,
    unless `onward`. `recorded` hands Tensors to the rules, so that the results can be differentiated; else they get
    arrays. `rules_of(node, g)` then gives other rules, a joint rule and operands for them, if it is there.
    """
    if recorded:
        within = _leaves_early(lineage(outputs)[0] if within is None else within)
    outer = turned.set(None if recorded else {})
    try:
        return _walk(outputs, cotangents, RecordedSum if recorded else ArraySum, ends, within, onward, rules_of)
    finally:
        turned.reset(outer)


def _leaves_early(tensors: Sequence[Node]) -> list[Node]:
    """The same, each leaf right behind the last tensor made of it: a recorded sum then lets go of all that it kept.

    Else the cotangents of every layer would wait for the products with them, the weights' gradients, to the very end.
    """
    place = {t: n for n, t in enumerate(tensors)}
    for n, t in enumerate(tensors):
        for x in t.inputs:
            if x is not None and x.primitive is None and x in place:
                place[x] = n
    return sorted(tensors, key=place.__getitem__)


def _walk(
    outputs: Sequence[Node],
    cotangents: Sequence[Any],
    kind: Any,
    ends: Set[Node] | None,
    within: Sequence[Node] | None,
    onward: bool,
    rules_of: Any,
) -> dict[Node, Any]:
    # what each node has got so far: None, a single array, which is all that most ever get, or a sum of this kind
    sums: dict[Node, Any] = {} if within is None else dict.fromkeys(within)
    queue: list[int] | None = [] if within is None else None  # what is to be visited, by -order,
    nodes: dict[int, Node] = {}  # and which nodes these are
    visited = _newest_first(queue, nodes) if queue is not None else within or ()
    results: dict[Node, Any] = {}
    checked = anomaly()
    for output, g in zip(outputs, cotangents, strict=True):
        if queue is not None and output not in sums:
            nodes[-output.order] = output
            heappush(queue, -output.order)
        if queue is not None or output in sums:
            sums[output] = sums.get(output) or kind(output)
            sums[output].add(g, g.shape)
    for t in visited:
        collected = sums.pop(t)
        if collected is None:
            continue
        g = collected.total() if type(collected) is kind else collected
        made_by = t.primitive
        if made_by is None or t.retains_grad if ends is None else t in ends:
            results[t] = (collected if type(collected) is kind else kind(t, g)).total(owned=True)
            if not onward:
                continue
        if made_by is None:
            continue
        static, order, value = t.static, t.order, t.value
        rules, joint = made_by.rules, made_by.joint
        if kind is RecordedSum:
            if rules_of is None:
                operands = (g, *t.opened())
            else:
                rules, joint, operands = rules_of(t, g)
        else:
            operands = (g, t if value is None else value, *t.operands)
        terms = None
        if joint is not None:
            try:
                terms = joint(*operands, **static)
            except Exception as error:
                known = of_rule(made_by.name, "the joint rule", error, _line(t))
                raise known from known.__cause__
            if not isinstance(terms, _SEQUENCES) or len(terms) != len(t.inputs):
                found = (
                    f"{len(terms)} cotangents"
                    if isinstance(terms, _SEQUENCES)
                    else f"{terms if terms is None else describe(terms)}, no sequence,"
                )
                raise ValueError(
                    f"{made_by.name}: the joint rule returned {found} for {len(t.inputs)} inputs{_called(t)}"
                )
        for k, x in enumerate(t.inputs):
            if x is None:
                continue
            if x.order > order:
                raise _changed(made_by, k, x)
            if queue is None and x not in sums:
                continue
            if terms is not None:
                term = terms[k]
            else:
                try:
                    term = rules[k](*operands, **static) if static else rules[k](*operands)  # quicker without
                except Exception as error:
                    known = of_rule(made_by.name, f"the rule for input {k}", error, _line(t))
                    raise known from known.__cause__
            whole = type(term) is np.ndarray and term.shape == x.shape and term.dtype is x.dtype
            view = whole and x.view and x.primitive is getitem and not x.static
            view = view and not (x.retains_grad if ends is None else x in ends)
            if view:  # which only hands on what it gets: at once, then it needs no turn of its own
                source: Any = x.inputs[0]
                if source.order > x.order:
                    raise _changed(getitem, 0, source)
                x, index = source, x.operands[1]
                whole = False
            collected = sums.get(x)
            if collected is None and queue is not None:
                nodes[-x.order] = x
                heappush(queue, -x.order)
            if collected is None and whole:
                sums[x] = term
            else:
                if type(collected) is not kind:
                    sums[x] = collected = kind(x, collected)
                try:
                    if view:
                        collected.add_part(index, term)
                    else:
                        collected.add(term, t.shape)
                except (ValueError, TypeError, IndexError) as error:
                    raise ValueError(f"{made_by.name}: the rule for input {k} {error}{_called(t)}") from error
            if checked:
                _check(term, g, t, k)
    return results


def _newest_first(queue: list[int], nodes: dict[int, Node]) -> Iterator[Node]:
    while queue:
        yield nodes.pop(heappop(queue))


def _changed(made_by: Primitive, k: int, x: Node) -> RuntimeError:
    return RuntimeError(
        f"{made_by.name}: the data of input {k}, shape {x.shape}, changed after this forward call; "
        "run the forward pass again before backward()"
    )


def _line(t: Node) -> str | None:
    """The user's line of the forward call, if it is known."""
    if hasattr(t, "origin"):
        return str(t.origin)
    if not hasattr(t, "line"):
        return None
    code, instruction = t.line
    number = list(code.co_positions())[instruction // 2][0]
    return f"{file_shown(code.co_filename)}:{number} in {code.co_name}"


def _called(t: Node) -> str:
    """The same for the end of a message, if it is known."""
    line = _line(t)
    return f"; forward call: {line}" if line else ""


def _check(term: Any, g: Any, t: Node, k: int) -> None:
    assert t.primitive is not None
    for part in term if isinstance(term, tuple) else (term,):
        value = part._data if isinstance(part, Variable) else part
        sources = [x._data if isinstance(x, Variable) else x for x in (g, *t.operands)]
        check_finite(f"{t.primitive.name}: cotangent of input {k}", value, sources, _line(t))


def backward(output: Node, g: Any = None) -> None:
    """Add d(output)/d(leaf), pulled back from the cotangent `g`, into `.grad` of every leaf that requires gradients."""
    if g is None:
        if output.size != 1:
            raise ValueError(
                f"backward: an output of shape {output.shape} needs a cotangent g of that shape; "
                "reduce it with .sum() or .mean()"
            )
        g = np.ones(output.shape, output.dtype)
    check_real("backward: cotangent g", g)
    if not isinstance(g, Variable):
        g = np.asarray(g, output.dtype)
    if g.shape != output.shape:
        raise ValueError(f"backward: cotangent g has shape {g.shape}, the output {output.shape}")
    for node, total in walk_arrays([output], [g], onward=True).items():
        add_gradient(node, total)


@interpreted
def gradient(node: Node) -> np.ndarray | None:
    """What a leaf has in `.grad`."""
    return node.grad


@interpreted
def set_gradient(node: Node, value: np.ndarray | None) -> None:
    """`t.grad = value`, for the tensor's node."""
    node.grad = value


@interpreted
def add_gradient(node: Node, g: np.ndarray) -> None:
    """Add to `.grad` what a walk has found; g belongs to nobody else."""
    if node.grad is None:
        node.grad = g
    else:
        node.grad += g


@interpreted
def walk_arrays(
    outputs: Sequence[Node],
    cotangents: Sequence[Any],
    ends: Set[Node] | None = None,
    within: Sequence[Node] | None = None,
    onward: bool = False,
) -> dict[Node, Any]:
    """`walk` for results that have no derivative in turn: the rules get arrays."""
    arrays = [g._data if isinstance(g, Variable) else g for g in cotangents]
    return walk(outputs, arrays, False, ends, within, onward)


def pull(outputs: Sequence[Variable], cotangents: Sequence[Any], wrt: Sequence[Variable]) -> list[Any]:
    """The cotangents of `wrt` (None where nothing arrived): Tensors if they have a derivative in turn, else arrays."""
    pairs = [(y.node, g) for y, g in zip(outputs, cotangents, strict=True) if y.node is not None]
    ends = {x.node for x in wrt if x.node is not None}
    nodes, given = [node for node, _ in pairs], [g for _, g in pairs]
    tensors, foreign = lineage(nodes, ends)
    if recording() and (foreign or any(isinstance(g, Variable) and g.node is not None for g in given)):
        results = walk(nodes, given, True, ends, tensors)
    else:
        results = walk_arrays(nodes, given, ends, tensors)
    return [None if x.node is None else results.get(x.node) for x in wrt]
