"""The backward pass of a tape, step by step: what arrives at each entry, its rule, and what that gives to which input.

It is the walk of `backward`, with rules that note what they give, and touches no `.grad`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..accumulate import ArraySum
from ..backward import Walk
from ..record import Node, Variable
from ..rule_errors import check_count
from ..tree import tree_leaves
from . import telling, words
from .draw import draw, to_dot, to_mermaid
from .lookup import ByEntry
from .page import write
from .rules import Rule, rule_of


class Term(NamedTuple):
    """A cotangent on its way: the entry whose rule gave it (None: given by the caller), to which of its inputs, which
    entry that is, and the term as the rule returned it: an array, At or Product."""

    user: int | None
    input: int
    to: int
    term: Any


class NonFinite(NamedTuple):
    """Where the first value that is not finite arose: an entry's value (forward), or what its rule gave (backward)."""

    entry: Any
    direction: str
    what: str

    def __str__(self) -> str:
        at = "" if self.entry.step is None else f"at time step {self.entry.step} "
        return f"{at}{self.what}\n  {self.entry!r}"


class Step:
    """One step of the backward pass: an entry, what arrived there, its rules, and what they gave.

    >>> step = mg.explain(lambda x: x * mg.tanh(x), 0.5).step(1)
    >>> step.rules[0].text
    'g * (1 - y * y)'
    """

    def __init__(self, explanation: Explanation, number: int) -> None:
        self.explanation, self.number = explanation, number
        self.entry = explanation.tape[number]

    @property
    def cotangent(self) -> np.ndarray:
        """What arrived, summed up: the gradient of the entry."""
        return self.explanation.gradient(self.number)

    @property
    def arrived(self) -> list[Term]:
        """The terms of that sum, in the order in which they came."""
        return self.explanation.arrived[self.number]

    @property
    def gave(self) -> list[Term]:
        """The terms that its rules returned, one for each input that is on the tape."""
        return self.explanation.gave[self.number]

    @property
    def rules(self) -> dict[int, Rule]:
        """The rule of each input that is on the tape; a joint rule is that of all."""
        made_by = self.entry.node.primitive
        if made_by is None:
            return {}
        places = [k for k, x in enumerate(self.entry.node.inputs) if x is not None]
        return {k: rule_of(made_by.joint or made_by.rules[k]) for k in places}

    def how(self, term: Term) -> str:
        """What was done to a term on its way into the sum, in words; empty if it was added as it is."""
        return telling.how(term.term, self.explanation.tape.nodes[term.to])

    def __repr__(self) -> str:
        return telling.step(self)


class Explaining(Walk):
    """The walk of `backward` over a tape, which keeps the cotangent of every node and notes what rules give."""

    def __init__(self, tape: Any, cotangents: Sequence[np.ndarray]) -> None:
        nodes = tape.nodes[::-1]
        super().__init__(nodes, set(nodes), self._rules_of)
        self.sum_class, self.anomaly = ArraySum, False  # of arrays; and a NaN is what somebody looks for
        self.terms: list[tuple[Node, int, Any]] = []  # whose rule for which input gave it
        self.noting: dict[Any, tuple[Any, Any]] = {}  # rules and joint rule, by what has them
        for n, g in zip(tape.outputs, cotangents):
            self.add(tape.nodes[n], g, g.shape)
        try:
            self.visit(nodes, onward=True)
        finally:
            self.noting.clear()  # what leads back to this walk: a circle would keep the record
            self.rules_of = None

    def _rules_of(self, node: Node, g: np.ndarray) -> tuple[Any, ...]:
        """Rules that note what they return, and the arrays that they are called with."""
        self.node, definition = node, node.primitive.definition
        if definition not in self.noting:
            rules = [self._noted(k, rule) for k, rule in enumerate(definition.rules)]
            self.noting[definition] = rules, definition.joint and self._jointly_noted(definition.joint)
        return *self.noting[definition], (g, node if node.value is None else node.value, *node.operands)

    def _noted(self, k: int, rule: Any) -> Any:
        def noted(*operands: Any, **static: Any) -> Any:
            term = rule(*operands, **static)
            self.terms.append((self.node, k, term))
            return term

        return noted

    def _jointly_noted(self, rule: Any) -> Any:
        def noted(*operands: Any, **static: Any) -> Any:
            terms = check_count(self.node, rule(*operands, **static))
            self.terms += [(self.node, k, terms[k]) for k, x in enumerate(self.node.inputs) if x is not None]
            return terms

        return noted


class Explanation:
    """The backward pass of a tape; see `explain`.

    >>> e = mg.explain(lambda x: x * mg.tanh(x), 0.5)
    >>> e.step(1).rules[0].text, e.first_non_finite
    ('g * (1 - y * y)', None)
    """

    def __init__(self, tape: Any, g: Any = None) -> None:
        self.tape = tape
        self.given = _cotangents(tape, g)
        walk = Explaining(tape, self.given)
        self._totals, self._terms = walk.found, walk.terms

    @functools.cached_property
    def _by_entry(self) -> tuple[list[list[Term]], list[list[Term]]]:
        """What arrived at each entry, and what its rules gave."""
        numbers = self.tape.numbers
        arrived: list[list[Term]] = [[] for _ in self.tape.nodes]
        gave: list[list[Term]] = [[] for _ in self.tape.nodes]
        for n, g in zip(self.tape.outputs, self.given):
            arrived[n].append(Term(None, 0, n, g))
        for node, k, term in self._terms:
            noted = Term(numbers[node], k, numbers[node.inputs[k]], term)
            arrived[noted.to].append(noted)
            gave[numbers[node]].append(noted)
        return arrived, gave

    @property
    def arrived(self) -> list[list[Term]]:
        """The terms that arrived at each entry, in the order in which they came."""
        return self._by_entry[0]

    @property
    def gave(self) -> list[list[Term]]:
        """The terms that the rules of each entry returned."""
        return self._by_entry[1]

    def gradient(self, number: int) -> np.ndarray:
        """The gradient of an entry, as a read-only array; 0 where nothing arrived."""
        node = self.tape.nodes[number]
        total = self._totals.get(node)
        view = (np.zeros(node.shape, node.dtype) if total is None else total).view()
        view.flags.writeable = False
        return view

    @property
    def gradients(self) -> ByEntry:
        """The gradient of every entry, intermediate ones as well: by number, Entry, Tensor, name, or (name, step).

        `explanation.gradients["cells.0"]` is dL/dh_t of a recurrent cell for all t, (T, B, H); see `ByEntry`.
        """
        return ByEntry(self.tape, self.gradient, np.zeros)

    @property
    def norms(self) -> ByEntry:
        """The Euclidean norm of every gradient, found in the same ways.

        `explanation.norms["cells.0"]` is that of dL/dh_t for all t, (T,): from step to step it shows by what factor the
        gradient shrinks or grows on its way back.
        """
        return ByEntry(self.tape, lambda n: _norm(self.gradient(n)), lambda shape, dtype: 0.0)

    @property
    def steps(self) -> Sequence[Step]:
        """The steps in the order in which they are taken: the newest entry first."""
        return [Step(self, n) for n in range(len(self.tape) - 1, -1, -1)]

    def step(self, key: Any) -> Step:
        """The step of one entry, given as a number, an Entry, a Tensor, a name, or (name, time step)."""
        return Step(self, self.tape.number_of(key))

    @functools.cached_property
    def first_non_finite(self) -> NonFinite | None:
        """Where the first NaN or infinity arose, forwards and then backwards; None if all is finite.

        An infinity that comes out of one that went in, as that of a mask, did not arise there.
        """
        for entry in self.tape:
            found = self._forward(entry)
            if found is not None:
                return found
        for n in range(len(self.tape) - 1, -1, -1):
            given = [term for term in self.arrived[n] if term.user is None]
            for found in (*[self._backward(n, term) for term in given], self._summed(n)):
                if found is not None:
                    return found
            for term in self.gave[n]:
                if (found := self._backward(n, term)) is not None:
                    return found
        return None

    def _forward(self, entry: Any) -> NonFinite | None:
        value = entry.value
        if value is None or np.isfinite(value).all():
            return None
        node = entry.node
        read = [
            x if source is None else self.tape.value(self.tape.numbers[source])
            for source, x in zip(node.inputs, node.operands)
        ]
        if not np.isnan(value).any() and any(np.isinf(_array(x)).any() for x in read if x is not None):
            return None
        unknown = [self.tape.numbers[s] for s, x in zip(node.inputs, read) if s is not None and x is None]
        what = f"the value of {entry.name} is not finite: {words.numbers(value)}"
        if unknown:
            what += f" (or of %{unknown[0]}, whose value was not kept: compute it in `with mg.record_details():`)"
        return NonFinite(entry, "forward", what)

    def _summed(self, number: int) -> NonFinite | None:
        terms = [part for t in self.arrived[number] for part in (t.term if isinstance(t.term, tuple) else (t.term,))]
        if np.isfinite(self.gradient(number)).all() or not all([np.isfinite(_array(x)).all() for x in terms]):
            return None
        return NonFinite(self.tape[number], "backward", "the sum of what arrives is not finite")

    def _backward(self, number: int, term: Term) -> NonFinite | None:
        parts = [_array(x) for x in (term.term if isinstance(term.term, tuple) else (term.term,))]
        arrays = [x for x in parts if x.dtype.kind == "f"]
        if all(np.isfinite(x).all() for x in arrays):
            return None
        entry = self.tape[number]
        if term.user is None:
            return NonFinite(entry, "backward", "the cotangent g that was given is not finite")
        if not np.isfinite(self.gradient(number)).all():
            return None  # what arrived here was not finite either
        operands = [_array(x) for x in entry.node.operands]
        masked = any(np.isinf(x).any() for x in operands if x.dtype.kind == "f")
        if masked and not any(np.isnan(x).any() for x in arrays):
            return None
        text = words.numbers(next(x for x in arrays if not np.isfinite(x).all()))
        return NonFinite(
            entry, "backward", f"what {entry.name} gives to its input {term.input}, %{term.to}, is not finite: {text}"
        )

    def text(self, fold: bool = True) -> str:
        """The steps as a table; of what repeats, one turn, unless `fold` is False."""
        return telling.text_of(self, fold)

    def __repr__(self) -> str:
        return self.text()

    def page(self, path: str, title: str = "") -> None:
        """Write one HTML page that steps through the tape, forwards and backwards; see `Tape.page`."""
        write(self, path, title)

    def to_dot(self, fold: bool = True, limit: int = 500) -> str:
        """The graph of the tape with each entry's gradient, in Graphviz' language; see `Tape.to_dot`."""
        return to_dot(self, fold, limit)

    def to_mermaid(self, fold: bool = True) -> str:
        """The graph of the tape with each entry's gradient, in Mermaid's language; see `Tape.to_mermaid`."""
        return to_mermaid(self, fold)

    def draw(self, path: str, fold: bool = True) -> None:
        """Draw the graph of the tape with each entry's gradient to a file; see `Tape.draw`."""
        draw(self, path, fold)

    def _repr_html_(self) -> str:
        return telling.html_of(self)


def _norm(g: np.ndarray) -> float:
    """The Euclidean norm, of numbers of any size."""
    largest = float(abs(g).max(initial=0))
    return largest * float(np.linalg.norm(g / largest)) if 0 < largest < np.inf else float(np.sum(abs(g)))


def _array(x: Any) -> np.ndarray:
    """The values of an operand, of a kind that can be not finite, else zeros."""
    if isinstance(x, Variable):
        x = x._array
    if isinstance(x, (np.ndarray, np.generic, float)) and np.asarray(x).dtype.kind == "f":
        return np.asarray(x)
    return np.zeros(())


def _cotangents(tape: Any, g: Any) -> list[np.ndarray]:
    """A cotangent for each result."""
    nodes = [tape.nodes[n] for n in tape.outputs]
    if g is None:
        for t in nodes:
            if t.size != 1:
                raise ValueError(f"explain: a result of shape {t.shape} needs a cotangent g of that shape; reduce it "
                                 "with .sum() or .mean(), or give g=")  # fmt: skip
        return [np.ones(t.shape, t.dtype) for t in nodes]
    given = [g] if len(nodes) == 1 and not isinstance(g, (tuple, dict)) else tree_leaves(g)
    if len(given) != len(nodes):
        raise ValueError(f"explain: {len(nodes)} results need as many cotangents, g has {len(given)}")
    found = [np.array(c._array if isinstance(c, Variable) else c, t.dtype) for c, t in zip(given, nodes)]
    for c, t in zip(found, nodes):
        if c.shape != t.shape:
            raise ValueError(f"explain: cotangent g has shape {c.shape}, the result {t.shape}")
    return found
