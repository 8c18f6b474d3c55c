"""Derivative rules under a trace: what a rule called for a call of a kind, it need not be asked for again.

A rule of the engine's table is a pure function of its operands and, since nothing of a trace may look into values, what
it calls depends on their layouts and on constants alone: on the Kind of the call that it is the rule of, and the layout
of the cotangent. So the first time its calls are noted as a recipe, from then on the recipe is followed. The rules of a
primitive that is declared elsewhere are called each time: its kinds are not repeatable, since its function may look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..primitive import Primitive
from ..record import At, Node, Product, Variable
from ..tensor import Tensor
from .instruction import Kind, Layout, Value
from .listing import Listing, is_constant


class Noted(NamedTuple):
    """A call that a rule made: its Kind (None for what a recipe cannot repeat), its inputs and its result."""

    kind: Kind | None
    inputs: Sequence[Any]
    result: Variable


class Recipe(NamedTuple):
    """The calls of a rule, each a Kind and the numbers of what it reads, and what the rule returns.

    Values are numbered: the cotangent, the output, what the call read, then what the rule makes. The rule returns a
    tree of this `kind` (None: no tree) with these `parts`: (True, a Value's number) or (False, a constant).
    """

    calls: list[tuple[Kind, list[int]]]
    kind: Any
    parts: list[tuple[bool, Any]]


class Rules:
    """The rules of primitives as a trace calls them: with a node of the record and its cotangent."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.wrapped: dict[Primitive, tuple[Any, Any]] = {}

    def __call__(self, node: Node, g: Variable) -> tuple[Any, Any, tuple[Any, ...]]:
        """The rules of the node's primitive, its joint rule, and the operands for these."""
        p: Primitive = node.primitive
        if p not in self.wrapped:
            rules = tuple([rule and self._followed(p, rule) for rule in p.rules])
            self.wrapped[p] = rules, p.joint and self._followed(p, p.joint)
        return *self.wrapped[p], (node, g)

    def _followed(self, p: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        listing, direct = self.listing, self.listing.kinds.direct

        def followed(node: Node, g: Any, **static: Any) -> Any:
            if rule in direct:
                return rule(g, *node.opened(), **static)
            value = node.stands_for
            value = value.of or value
            cotangent, plain = listing.look(g)
            kind, key = value.kind, (rule, cotangent.layout)
            recipe = None if kind is None or plain else kind.found.get(key)
            if recipe is not None and len(kind.inputs) == len(node.inputs):
                return _follow(recipe, g, [cotangent, value, *value.reads], listing)
            operands = (g, *node.opened())
            if kind is None or plain or not kind.repeatable or kind.primitive is not p or listing.noted is not None:
                return rule(*operands, **static)
            noted: list[Noted] = []
            listing.noted = noted
            try:
                result = rule(*operands, **static)
                if not noted and result is not g:
                    direct.add(rule)
                elif (recipe := _recipe(operands, kind, listing, result)) is not None:
                    kind.found[key] = recipe
            finally:
                listing.noted = None
            return result

        return followed


def _follow(recipe: Recipe, g: Any, values: list[Value], listing: Listing) -> Any:
    for called, numbers in recipe.calls:
        values.append(listing.add(called, tuple([values[n] for n in numbers])))
    kind, parts = recipe.kind, []
    for made, x in recipe.parts:
        if made:
            x = g if x == 0 else listing.tensor_of(values[x])
        if kind is None:
            return x
        parts.append(x)
    return parts if kind is list else kind(*parts)


def _recipe(operands: Sequence[Any], kind: Kind, listing: Listing, result: Any) -> Recipe | None:
    """What was noted as a recipe, None if it cannot be repeated."""
    if len(operands) != 2 + len(kind.inputs):
        return None
    tensors = [*operands[:2], *[x for x, like in zip(operands[2:], kind.inputs) if type(like) is Layout]]
    if not all([type(x) in (Tensor, Node) for x in tensors]):
        return None
    numbers = {id(x): n for n, x in enumerate(tensors)}
    if len(numbers) < len(tensors):
        return None  # which of two that are the same tensor here a call reads, it does not tell
    calls: list[tuple[Kind, list[int]]] = []
    for n, (called, inputs, y) in enumerate(listing.noted or (), len(tensors)):
        read = [numbers.get(id(x)) for x in inputs if isinstance(x, Variable)]
        if called is None or None in read:
            return None
        calls.append((called, read))  # type: ignore[arg-type]
        numbers[id(y)] = n
    tree = type(result) if type(result) in (At, Product, list) else None
    parts = [_part(x, numbers, listing) for x in ([result] if tree is None else result)]
    return None if None in parts else Recipe(calls, tree, parts)  # type: ignore[arg-type]


def _part(x: Any, numbers: dict[int, int], listing: Listing) -> tuple[bool, Any] | None:
    """A part of what a rule returned, see `Recipe`; None for what it does not always return."""
    if type(x) is not Tensor:
        return (False, x) if is_constant(x) else None
    return (True, numbers[id(x)]) if id(x) in numbers and not listing.look(x)[1] else None
