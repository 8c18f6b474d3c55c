"""The backward pass of a tape, step by step: what arrives at each entry, its rule, and what that gives to which input.

It does what `backward` does, with the same rules and the same sums, but keeps all of it and touches no `.grad`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..accumulate import ArraySum
from ..record import Variable
from ..tree import tree_leaves
from . import telling, words
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


class Explanation:
    """The backward pass of a tape; see `explain`.

    >>> e = mg.explain(lambda x: x * mg.tanh(x), 0.5)
    >>> e.step(1).rules[0].text, e.first_non_finite
    ('g * (1 - y * y)', None)
    """

    def __init__(self, tape: Any, g: Any = None) -> None:
        self.tape = tape
        self.given = _cotangents(tape, g)
        self.arrived: list[list[Term]] = [[] for _ in tape.nodes]
        self.gave: list[list[Term]] = [[] for _ in tape.nodes]
        self._totals: list[np.ndarray | None] = [None] * len(tape.nodes)
        self._walk()

    def _walk(self) -> None:
        nodes, numbers = self.tape.nodes, self.tape.numbers
        sums: list[ArraySum | None] = [None] * len(nodes)
        for n, g in zip(self.tape.outputs, self.given):
            self._add(sums, Term(None, 0, n, g), g.shape)
        for n in range(len(nodes) - 1, -1, -1):
            t, collected = nodes[n], sums[n]
            if collected is None:
                continue
            sums[n] = None
            made_by = t.primitive
            g = self._totals[n] = collected.total(owned=made_by is None)
            if made_by is None or g is None:
                continue
            operands = (g, t if t.value is None else t.value, *t.operands)
            terms = None if made_by.joint is None else made_by.joint(*operands, **t.static)
            if terms is not None and len(terms) != len(t.inputs):
                raise ValueError(f"{made_by.name}: the joint rule returned {len(terms)} cotangents for "
                                 f"{len(t.inputs)} inputs")  # fmt: skip
            for k, x in enumerate(t.inputs):
                if x is None:
                    continue
                if x.order > t.order:
                    raise RuntimeError(
                        f"{made_by.name}: the data of input {k}, shape {x.shape}, changed after this forward call; "
                        "run the forward pass again before explaining it"
                    )
                term = made_by.rules[k](*operands, **t.static) if terms is None else terms[k]
                try:
                    self._add(sums, Term(n, k, numbers[x], term), t.shape)
                except (ValueError, TypeError, IndexError) as error:
                    raise ValueError(f"{made_by.name}: the rule for input {k} {error}") from error

    def _add(self, sums: list[ArraySum | None], term: Term, shape: tuple[int, ...]) -> None:
        collected = sums[term.to]
        if collected is None:
            collected = sums[term.to] = ArraySum(self.tape.nodes[term.to])
        collected.add(term.term, shape)
        self.arrived[term.to].append(term)
        if term.user is not None:
            self.gave[term.user].append(term)

    def gradient(self, number: int) -> np.ndarray:
        """The gradient of an entry, as a read-only array; 0 where nothing arrived."""
        node, total = self.tape.nodes[number], self._totals[number]
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
        """The step of one entry, given as a number, an Entry or a Tensor."""
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

    def _repr_html_(self) -> str:
        return telling.html_of(self)


def _norm(g: np.ndarray) -> float:
    """The Euclidean norm, of numbers of any size."""
    largest = float(abs(g).max(initial=0))
    return largest * float(np.linalg.norm(g / largest)) if 0 < largest < np.inf else float(np.sum(abs(g)))


def _array(x: Any) -> np.ndarray:
    """The values of an operand, of a kind that can be not finite, else zeros."""
    if isinstance(x, Variable):
        x = x._data
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
    found = [np.array(c._data if isinstance(c, Variable) else c, t.dtype) for c, t in zip(given, nodes)]
    for c, t in zip(found, nodes):
        if c.shape != t.shape:
            raise ValueError(f"explain: cotangent g has shape {c.shape}, the result {t.shape}")
    return found
