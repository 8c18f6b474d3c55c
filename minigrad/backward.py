"""The walk from an output back to its inputs: newest record first, each tensor once, no recursion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence, Set
from operator import attrgetter
from typing import Any

import numpy as np
from numpy import ndarray  # the look-up of `np.ndarray` takes 30 ns more

from .accumulate import ArraySum, RecordedSum
from .gradients import add_gradient
from .interpretation import interpreted
from .messages import check_real
from .modes import anomaly
from .record import Node, Variable
from .rule_errors import MisfitError, changed, check_count, check_term, explained
from .shortcuts import handed_on, is_like, leaves_early


def lineage(outputs: Collection[Node], wrt: Collection[Node] | None = None) -> tuple[list[Node], bool]:
    """The nodes between `outputs` and `wrt` (None: all leaves that require gradients), newest first.

    Also returns whether anything outside of `wrt` requires gradients as well, so that the gradients themselves have a
    derivative: then the walk has to be recorded.
    """
    stops = set(wrt or ())
    nodes = list(set(outputs))
    seen = set(nodes)
    for node in nodes:  # which grows meanwhile
        if stops and node in stops:
            continue
        for x in node.inputs:
            if x is not None and x not in seen:
                seen.add(x)
                nodes.append(x)
    nodes.sort(key=attrgetter("order"))
    if wrt is None:
        return nodes[::-1], False
    # a leaf that is not in wrt, or a node of wrt that is no leaf
    foreign = any([(node in stops) is (node.primitive is not None) for node in nodes])
    leading: set[Node] = set()
    for node in nodes:  # inputs come before what is made of them
        if node in stops or not leading.isdisjoint(node.inputs):
            leading.add(node)
    return [node for node in reversed(nodes) if node in leading], foreign


def walk(
    outputs: Sequence[Node],
    cotangents: Sequence[Any],
    recorded: bool,
    ends: Set[Node] | None = None,
    within: Sequence[Node] | None = None,
    onward: bool = False,
    walking: Callable[..., Walk] | None = None,
) -> dict[Node, Any]:
    """Cotangents of the nodes in `ends` (None: the leaves, and what retains its gradient).

    Newest first, so that all that a node gets has arrived before its rules are called, each at most once per input.
    Only nodes `within` a lineage are visited, all if there is none. What an end was made from gets nothing through it,
    unless `onward`. `recorded` hands Tensors to the rules, so that the results can be differentiated; else they get
    arrays. `walking(nodes, ends)` makes another Walk than usual, if it is there.
    """
    nodes = lineage(outputs)[0] if within is None else within
    nodes = leaves_early(nodes) if recorded else nodes
    running = walking(nodes, ends) if walking else Walk(nodes, ends, recorded_rules if recorded else None)
    for output, g in zip(outputs, cotangents, strict=True):
        if output in running.sums:
            running.add(output, g, g.shape)
    running.visit(nodes, onward)
    return running.found


def recorded_rules(node: Node, g: Any) -> tuple[Any, ...]:
    """Rules, joint rule, and Tensors as operands for them, so that what they call is recorded."""
    definition = node.primitive.definition
    return definition.rules, definition.joint, (g, *node.opened())


class Walk:
    """The cotangents of a walk's nodes: `sums` of what those to be visited have got, `found` of the `ends`.

    A sum is None, or a single array, which is all that most nodes ever get, or an object of `sum_class`.
    """

    def __init__(self, nodes: Sequence[Node], ends: Set[Node] | None, rules_of: Any) -> None:
        self.sums: dict[Node, Any] = dict.fromkeys(nodes)
        self.found: dict[Node, Any] = {}
        self.sum_class: Any = RecordedSum if rules_of is not None else ArraySum
        self.ends, self.rules_of, self.anomaly = ends, rules_of, anomaly()

    def visit(self, nodes: Sequence[Node], onward: bool) -> None:
        """Take what each node has got, all of which is there when its turn comes, and pass it on to its inputs."""
        sums, sum_class, ends = self.sums, self.sum_class, self.ends
        for node in nodes:
            collected = sums.pop(node)
            if collected is None:
                continue
            end = node in ends if ends is not None else node.primitive is None or node.retains_grad
            g = collected.total(owned=end) if type(collected) is sum_class else collected
            if end:
                g = self.found[node] = g.copy() if g is collected and sum_class is ArraySum else g
            if node.primitive is not None and (onward or not end):
                self.pass_on(node, g)

    def pass_on(self, node: Node, g: Any) -> None:
        """Call the rules of a node's primitive with its cotangent g, and add what they return to its inputs' sums."""
        static, sums, order = node.static, self.sums, node.order
        if self.rules_of is None:
            definition = node.primitive.definition
            rules, joint = definition.rules, definition.joint
            operands = (g, node if node.value is None else node.value, *node.operands)
        else:
            rules, joint, operands = self.rules_of(node, g)
        terms, k = None, 0
        try:
            if joint is not None:
                terms = check_count(node, joint(*operands, **static))
            for k, x in enumerate(node.inputs):
                if x is not None and x.order > order:
                    raise changed(node, k)
                if x in sums:
                    if terms is not None:
                        term = terms[k]
                    else:
                        term = rules[k](*operands, **static) if static else rules[k](*operands)  # quicker without
                    like = type(term) is ndarray and term.shape == x.shape and term.dtype is x.dtype
                    if not like:
                        self.add(x, term, node.shape)
                    elif x.view and handed_on(self, x, term):
                        pass
                    elif sums[x] is None:
                        sums[x] = term  # by a call of `add`, an LSTM's step takes 1 % longer at batch 1
                    else:
                        self.add(x, term, node.shape)
                    if self.anomaly:
                        check_term(term, g, node, k)
        except Exception as error:
            # it has its cause; in a variable it would be part of a circle, with its traceback and the record
            raise explained(node, k, error)  # noqa: B904

    def add(self, x: Node, term: Any, output: tuple[int, ...]) -> None:
        """Add a term that a rule returned for an output of this shape to the sum of x."""
        collected = self.sums[x]
        if self.sum_class is RecordedSum and collected is None and is_like(term, x):
            self.sums[x] = term
            return
        if type(collected) is not self.sum_class:
            self.sums[x] = collected = self.sum_class(x, collected)
        try:
            collected.add(term, output)
        except (ValueError, TypeError, IndexError) as error:
            raise MisfitError(error) from error


def backward(output: Node, g: Any = None) -> None:
    """Add d(output)/d(leaf), pulled back from the cotangent `g`, into `.grad` of every leaf that requires gradients."""
    if g is None:
        if output.size != 1:
            raise ValueError(f"backward: an output of shape {output.shape} needs a cotangent g of that shape; "
                             "reduce it with .sum() or .mean()")  # fmt: skip
        g = np.array(1, output.dtype, ndmin=output.ndim)
    else:
        check_real("backward: cotangent g", g)
        g = g if isinstance(g, Variable) else np.asarray(g, output.dtype)
        if g.shape != output.shape:
            raise ValueError(f"backward: cotangent g has shape {g.shape}, the output {output.shape}")
    for node, total in walk_arrays([output], [g], onward=True).items():
        add_gradient(node, total)


@interpreted
def walk_arrays(
    outputs: Sequence[Node],
    cotangents: Sequence[Any],
    ends: Set[Node] | None = None,
    within: Sequence[Node] | None = None,
    onward: bool = False,
) -> dict[Node, Any]:
    """`walk` for results that have no derivative in turn: the rules get arrays."""
    arrays = [g._array if isinstance(g, Variable) else g for g in cotangents]
    return walk(outputs, arrays, False, ends, within, onward)
