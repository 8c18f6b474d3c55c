"""The walk back under a trace: what is called for a node, and to add up what a node has got, is found out once.

A rule of the engine's table is a pure function of its operands and, since nothing of a trace may look into values, what
it calls depends on their layouts and on constants alone: on the Kind of the call that made the node, whose shape and
dtype the cotangent has, since sums see to that. So the calls of a node's rules are noted as a recipe, which is followed
for all further nodes whose call was of that Kind: no Tensors are made for them. Sums have recipes as well. None is
written for a Kind that was called only once. The rules of a primitive that is declared elsewhere are called each time:
its kinds are not repeatable, since its function may look.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence, Set
from operator import itemgetter
from typing import Any, NamedTuple

from ..accumulate import RecordedSum
from ..backward import Walk, recorded_rules
from ..interpretation import interpreting
from ..record import At, Node, Product, Variable
from ..tensor import Tensor
from .instruction import Kind, Layout, Value, identity
from .listing import Listing, is_constant

Pick = Callable[[list[Any]], tuple[Value, ...]]


class Noted(NamedTuple):
    """A call that was made meanwhile: its Kind (None for what a recipe cannot repeat), its inputs and its result."""

    kind: Kind | None
    inputs: Sequence[Any]
    result: Variable


class Form:
    """What a term At an index, or a Product, is but for its Values: one for all that are alike. An array has none."""

    __slots__ = ("cls", "index")

    def __init__(self, cls: type[Any], index: Any) -> None:
        self.cls, self.index = cls, index


class Recipe(NamedTuple):
    """Calls, each a Kind and what picks its reads, then the terms that come out, each for the input of a number.

    Reads are pick of a list of Values: those that were there before, then what each call makes.
    """

    calls: list[tuple[Kind, Pick]]
    terms: list[tuple[int, Form | None, Pick]]

    def follow(self, values: list[Any], listing: Listing) -> None:
        """Make the calls; the values grow by their results."""
        add = listing.add
        for kind, pick in self.calls:
            values.append(add(kind, pick(values)))


class TracedWalk(Walk):
    """A walk with Values for cotangents, and Tensors only where there is no recipe yet."""

    def __init__(self, listing: Listing, nodes: Sequence[Node], ends: Set[Node] | None) -> None:
        self.operands: list[Any] = []  # what the rules of the last node were called with
        super().__init__(nodes, ends, functools.partial(_rules_of, self.operands))
        self.listing, self.sum_class = listing, TracedSum
        self.added: list[Any] = []  # the terms that rules returned since `_note` began

    def pass_on(self, node: Node, g: Any) -> None:
        """Follow the recipe for a node, or call its rules.

        No input's data can have changed since the call: a trace refuses that.
        """
        if type(g) is not Value:
            super().pass_on(node, g)
            return
        sums, inputs, p, value = self.sums, node.inputs, node.primitive, node.stands_for
        kind = value.kind
        if kind is None:  # +x of an argument x, or what was computed of arrays before
            super().pass_on(node, self.listing.tensor_of(g))
            return
        # of x[t] there is another kind in each turn of a loop: no recipe for each; a tap and +x may stand for x[t]
        if kind.entry is not None and p is kind.primitive:
            self._collect(inputs[0], _form(At, kind.entry, self.listing), (g,))
            return
        key = p.definition, *map(sums.__contains__, inputs)
        recipe = kind.found.get(key)
        if recipe is None:
            self._note(node, g, kind, key)
            return
        values = [g, value, *value.reads]
        recipe.follow(values, self.listing)
        for k, form, pick in recipe.terms:
            x, term = inputs[k], pick(values)
            collected = sums[x]
            if collected is None and form is None and term[0].layout.dtype is x.dtype:
                sums[x] = term[0]
            else:
                self._collect(x, form, term)

    def _note(self, node: Node, g: Value, kind: Kind, key: Any) -> None:
        """Call the rules of a node's primitive, and write a recipe if that can be followed."""
        listing = self.listing
        t = listing.tensor_of(g)
        if not kind.repeatable or not kind.again:
            super().pass_on(node, t)
            return
        wanted = [k for k, x in enumerate(node.inputs) if x in self.sums]
        self.added = []
        noted, _ = _noting(listing, super().pass_on, node, t)
        _, y, *operands = self.operands
        # a tap and +x have other inputs than the call that made what they stand for; their rules read g alone
        read = [x for x, like in zip(operands, kind.inputs) if type(like) is Layout]
        recipe = _recipe([t, y, *read], noted, zip(wanted, self.added, strict=True), listing)
        if recipe is not None:
            kind.found[key] = recipe

    def _collect(self, x: Any, form: Form | None, values: Sequence[Value]) -> None:
        """Add a term of these Values to the sum of x."""
        collected = self.sums[x]
        if type(collected) is not TracedSum:
            self.sums[x] = collected = TracedSum(x, collected)
        collected.forms.append(form)
        collected.values += values

    def add(self, x: Node, term: Any, output: tuple[int, ...]) -> None:
        """Add a term that a rule returned for an output of this shape to the sum of x."""
        super().add(x, term, output)
        self.added.append(self.sums[x].terms[-1])


class TracedSum(RecordedSum):
    """A sum of Values, with the Forms of its terms; False is that of a term which stands as it is."""

    def __init__(self, node: Node, first: Any = None) -> None:
        super().__init__(node)
        self.forms: list[Form | bool | None] = [] if first is None else [None if type(first) is Value else False]
        self.values: list[Any] = [] if first is None else [first]

    def add(self, term: Any, output: tuple[int, ...]) -> None:
        """Add a term that a rule returned for an output of this shape."""
        super().add(term, output)
        form, values = _formed(self.terms[-1], interpreting())
        self.forms.append(form)
        self.values += values

    def total(self, owned: bool = False) -> Any:
        """The sum: a Value, if that can be."""
        listing: Any = interpreting()
        node, forms, values = self.node, self.forms, self.values
        if forms == [None] and values[0].layout.dtype is node.dtype:
            return values[0]
        if False in forms:
            return self._noted(None, listing)
        key = (node.shape, node.dtype, *forms, *[v.layout for v in values])
        recipe = listing.kinds.sums.get(key)
        if recipe is None:
            return self._noted(key, listing)
        recipe.follow(values, listing)
        return recipe.terms[0][2](values)[0]

    def _noted(self, key: Any, listing: Any) -> Any:
        """The sum of Tensors; a recipe is written if that can be followed."""
        given = [listing.tensor_of(x) if type(x) is Value else x for x in self.values]
        following = iter(given)
        self.terms = [_opened(form, following) for form in self.forms]
        if key is None:
            return super().total()
        noted, total = _noting(listing, super().total)
        recipe = _recipe(given, noted, [(0, total)], listing)
        if recipe is None:
            return total
        listing.kinds.sums[key] = recipe
        return listing.value_of(total)


def _rules_of(operands: list[Any], node: Node, g: Any) -> tuple[Any, ...]:
    """Those of a recorded walk, with their operands noted; no method, since a circle would keep the record."""
    found = recorded_rules(node, g)
    operands[:] = found[2]
    return found


def _parts(term: Any) -> Sequence[Any]:
    """What a term consists of but for an index."""
    return (term.g,) if type(term) is At else term if type(term) is Product else (term,)


def _formed(term: Any, listing: Any) -> tuple[Form | bool | None, Sequence[Any]]:
    """The Form of a term and its Values; (False, (term,)) for one that no recipe may give."""
    cls, values = type(term), []
    for x in _parts(term):
        value, plain = listing.look(x) if type(x) is Tensor else (None, True)
        if plain:
            return False, (term,)
        values.append(value)
    if cls is At:
        return (_form(cls, term.index, listing), values) if is_constant(term.index) else (False, (term,))
    return _form(cls, None, listing) if cls is Product else None, values


def _form(cls: type[Any], index: Any, listing: Any) -> Form:
    forms, key = listing.kinds.forms, (cls, identity(index))
    form: Form | None = forms.get(key)
    if form is None:
        form = forms[key] = Form(cls, index)
    return form


def _opened(form: Any, tensors: Any) -> Any:
    """A term of this Form; takes as many of the tensors as it consists of."""
    if not form:
        return next(tensors)
    return At(form.index, next(tensors)) if form.cls is At else Product(next(tensors), next(tensors))


def _noting(listing: Listing, call: Callable[..., Any], *args: Any) -> tuple[list[Noted], Any]:
    """The calls of primitives that a call makes, and what it returns."""
    noted: list[Noted] = []
    listing.noted = noted
    try:
        return noted, call(*args)
    finally:
        listing.noted = None


def _recipe(given: Sequence[Any], noted: list[Noted], returned: Any, listing: Listing) -> Recipe | None:
    """What was noted as a recipe for other Values in place of the given Tensors, None if it cannot be repeated."""
    numbers = {id(x): n for n, x in enumerate(given)}
    if len(numbers) < len(given):
        return None  # which of two that are the same tensor here a call reads, it does not tell
    calls: list[tuple[Kind, Pick]] = []
    for n, (kind, inputs, y) in enumerate(noted, len(given)):
        read = [numbers.get(id(x)) for x in inputs if isinstance(x, Variable)]
        if kind is None or None in read or not read:
            return None
        calls.append((kind, _picking(read)))
        numbers[id(y)] = n
    terms: list[tuple[int, Form | None, Pick]] = []
    for k, term in returned:
        read, (form, _) = [numbers.get(id(x)) for x in _parts(term)], _formed(term, listing)
        if None in read or form is False:
            return None
        terms.append((k, form, _picking(read)))  # type: ignore[arg-type]
    return Recipe(calls, terms)


def _picking(numbers: list[Any]) -> Pick:
    """What picks the Values of these numbers, in a tuple, as quickly as may be."""
    if len(numbers) == 1:
        n = numbers[0]
        return lambda values: (values[n],)
    return itemgetter(*numbers)
