"""An explanation as text: the steps of the backward pass, newest first, with their sums and rules."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..accumulate import sum_down
from ..docstrings import equation
from ..record import At, Node, Product
from . import words
from .folding import Block, fold
from .rules import Rule
from .table import about, line_of

TERMS = 4  # of a sum, that are shown


def how(term: Any, like: Node) -> str:
    """What is done to a term on its way into the sum of a node, in words."""
    if isinstance(term, At):
        return f"added in place, at [{words.index(term.index)}]"
    if isinstance(term, Product):
        x, g = np.shape(term.x), np.shape(term.g)
        return f"a product xᵀ g of {words.shape(x)} and {words.shape(g)}, queued"
    shape, notes = np.shape(term), []
    if shape != like.shape:
        notes.append(f"summed down from {words.shape(shape)}")
    if np.asarray(term).dtype != like.dtype:
        notes.append(f"read as {like.dtype}")
    return ", ".join(notes)


def value(term: Any) -> np.ndarray:
    """A term as an array; of a part, that part."""
    if isinstance(term, Product):
        return np.asarray(term.x.T @ term.g)
    return np.asarray(term.g if isinstance(term, At) else term)


def step(s: Any) -> str:
    """One step."""
    return "\n".join(_lines(s, set()))


def text_of(explanation: Any, folded: bool = True) -> str:
    """All steps."""
    tape = explanation.tape
    items = fold(tape) if folded else list(range(len(tape)))
    head = f"backward pass of {len(tape):,} entries, newest first"
    return "\n".join([head, *[f"note: {remark}" for remark in tape.remarks], *_told(explanation, items, 0, set())])


def html_of(explanation: Any) -> str:
    """The text for notebooks, escaped."""
    return f"<pre>{html.escape(text_of(explanation))}</pre>"


def _told(explanation: Any, items: list[Any], shift: int, shown: set[str]) -> Iterator[str]:
    for item in reversed(items):
        if not isinstance(item, Block):
            yield from _lines(explanation.step(item + shift), shown)
            continue
        # the first turn may begin from something else, so the second one stands for all
        yield f"{about(explanation.tape, item)}, from the last to the first; turn 1:"
        for line in _told(explanation, item.items, shift + item.period, shown):
            yield f"| {line}"


def _lines(s: Any, shown: set[str]) -> Iterator[str]:
    tape = s.explanation.tape
    yield line_of(tape, s.number)
    yield f"    g = {words.numbers(s.cotangent)}{_sum(s)}"
    gave, rules = {term.input: term for term in s.gave}, s.rules
    p = s.entry.node.primitive
    joint, told = p is not None and p.joint is not None, equation(p) if p is not None else ""
    for k, rule in rules.items():
        term, text = gave[k], rule.call
        notes = [part for part in (how(term.term, tape.nodes[term.to]), _symbols(s, rule, joint)) if part]
        given = "" if isinstance(term.term, Product) else f" {words.numbers(value(term.term))}"
        yield f"    {'part ' + str(k) + ' of ' if joint else ''}{text}  ->  %{term.to}{given}" + (
            f"  ({'; '.join(notes)})" if notes else ""
        )
        if rule.call != rule.text and not told and rule.text not in shown:
            yield from [f"        {line}" for line in rule.text.splitlines()]
        shown.add(rule.text)
    if told and told not in shown and any([rule.call != rule.text or rule.helpers for rule in rules.values()]):
        yield f"    that is, {told}"
        shown.add(told)


def _sum(s: Any) -> str:
    """Where the cotangent came from."""
    terms = s.arrived
    if not terms:
        return ", nothing arrived"
    if len(terms) == 1:
        return ", given" if terms[0].user is None else f", from %{terms[0].user}"
    parts, products = [sum([isinstance(t.term, kind) for t in terms]) for kind in (At, Product)]
    counted = [f"{parts} part{'s' * (parts > 1)}, added in place"] if parts else []
    if products > 1:
        counted.append(f"{products} products, which wait for each other and are multiplied as one")
    elif products:
        counted.append("1 product, which waits for others")
    small = s.cotangent.size <= words.FEW and not any([isinstance(t.term, Product) for t in terms])
    texts = [
        (f"{words.numbers(_of_shape(t.term, s.entry.shape))} " if small else "")
        + ("what was given" if t.user is None else f"{'from ' if small else ''}%{t.user}")
        for t in terms
    ]
    alike = [(text, 1) for text in texts]
    if not small:  # of x * x, say, both come from one entry
        alike = [(text, len(list(same))) for text, same in itertools.groupby(texts)]
    shown = [text + ("" if n == 1 else " (twice)" if n == 2 else f" ({n} times)") for text, n in alike[:TERMS]]
    more = [f"{sum([n for _, n in alike[TERMS:]])} more"] if len(alike) > TERMS else []
    return f", the sum of {'' if small else 'what came from '}{' + '.join([*shown, *more])}" + (
        f" ({'; '.join(counted)})" if counted else ""
    )


def _of_shape(term: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A term as the sum of a node of this shape takes it: one of a broadcast shape is summed down; of a part, that."""
    array = value(term)
    return array if isinstance(term, At) or array.shape == shape else np.asarray(sum_down(array, shape, array.shape))


def _symbols(s: Any, rule: Rule, joint: bool) -> str:
    """Which entries the names in a rule stand for."""
    inside = words.arguments(s.explanation.tape, s.number)
    stands = [None, f"%{s.number}", *inside]
    used = {k for _, k in rule.symbols if k}
    pairs = [f"{rule.names[k]} = {stands[k]}" for k in sorted(used) if k < len(stands) and not (joint and k > 1)]
    return ", ".join(pairs)
