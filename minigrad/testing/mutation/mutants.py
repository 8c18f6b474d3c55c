"""mutants(p): wrong versions of a primitive's derivative rules, one at a time, to test a test suite with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import numpy as np

from ...primitive import Primitive, Rule
from ...record import At, Product, Variable
from .faults import CALL_FAULTS, COTANGENT_FAULTS, Call, faults_of_calls


class Mutant:
    """A primitive with one wrong rule, while a `with` block lasts: for all who have imported it, in every thread.

    `name` says what is wrong. `calls` counts calls of the wrong rule, `differed` those whose result was not the right
    one, in value or (at second order) in what it depends on: a mutant that never differed cannot be noticed.

    >>> mutant = next(mutants(mg.tanh))
    >>> with mutant:
    ...     mg.grad(mg.tanh)(0.0)
    tensor(1000.)
    >>> mg.grad(mg.tanh)(0.0)
    tensor(1.)
    """

    def __init__(self, name: str, primitive: Primitive, k: int, fault: Callable[[Rule], Rule]) -> None:
        self.name, self.primitive, self.k, self.fault = name, primitive, k, fault
        self.calls = self.differed = 0
        self._right: list[tuple[Any, Any]] = []

    def __enter__(self) -> Mutant:
        p, k = self.primitive, self.k
        self._right.append((p.rules, p.joint))
        joint = p.joint
        if joint is None:
            right: Any = p.rules[k]
            p.declare((*p.rules[:k], self._wrong(right), *p.rules[k + 1 :]), None)
            return self

        def one(g: Any, y: Any, *inputs: Any, **static: Any) -> Any:
            return joint(g, y, *inputs, **static)[k]

        wrong = self._wrong(one)

        def all_but_one_right(g: Any, y: Any, *inputs: Any, **static: Any) -> list[Any]:
            terms = joint(g, y, *inputs, **static)
            terms = [terms[j] for j in range(len(terms))]  # an array stands for its rows
            terms[k] = wrong(g, y, *inputs, **static)
            return terms

        p.declare(p.rules, all_but_one_right)
        return self

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.primitive.declare(*self._right.pop())

    def _wrong(self, right: Rule) -> Rule:
        wrong = self.fault(right)

        def rule(g: Any, y: Any, *inputs: Any, **static: Any) -> Any:
            expected, term = right(g, y, *inputs, **static), wrong(g, y, *inputs, **static)
            self.calls += 1
            self.differed += _differ(expected, term, {x.node for x in (g, *inputs) if isinstance(x, Variable)})
            return term

        return rule

    def __repr__(self) -> str:
        return f"<mutant {self.name}>"


def mutants(p: Primitive, inputs: int = 3) -> Iterator[Mutant]:
    """Wrong versions of a primitive's rules, each a context manager that puts it in place and takes it away again.

    Every rule in turn is given one fault: its cotangent times 1000, times 1.001, with the sign flipped, transposed
    where square, without its last entry, rolled along the last axis; or right at first order and constant at second;
    or the rule is called with ones for g, with y for x, with two inputs exchanged, with constants at second order.
    Faults that plainly change nothing in a rule (it reads no y, say) are left out.

    Args:
        p: made by `minigrad.primitive`.
        inputs: of a primitive with more rules than this, the first so many; of a `joint` rule, the cotangents of the
            first and of the last input.

    Raises:
        TypeError: if p has no rule.
        ValueError: if `inputs` is below 1.

    Example:
        >>> unseen = []
        >>> for mutant in mutants(mg.sin):
        ...     with mutant:
        ...         if mg.grad(mg.sin)(0.0).item() == 1:  # a test of the value at 0 alone
        ...             unseen.append(mutant.name)
        >>> "sin, input 0: constant at second order" in unseen
        True
    """
    if not isinstance(p, Primitive) or not p.differentiable:
        raise TypeError(f"mutants: {p!r} is no primitive with derivative rules; make one with mg.primitive")
    if inputs < 1:
        raise ValueError(f"mutants: inputs must be at least 1, got {inputs}")
    rules: dict[int, Rule] = {k: rule for k, rule in enumerate(p.rules[:inputs]) if rule is not None}
    if p.joint is not None:
        rules = {0: p.joint, -1: p.joint}
    for k, rule in rules.items():
        ruled = f"{p.name}, " + (f"input {k}" if p.joint is None else "last input" if k else "first input")
        for name, change in COTANGENT_FAULTS.items():
            yield Mutant(f"{ruled}: {name}", p, k, functools.partial(with_wrong_cotangent, change))
        for name in faults_of_calls(p, rule, k):
            yield Mutant(f"{ruled}: {name}", p, k, functools.partial(_wrongly_called, CALL_FAULTS[name], k))


def with_wrong_cotangent(change: Callable[[Any], Any], right: Rule) -> Rule:
    return lambda g, y, *inputs, **static: change(right(g, y, *inputs, **static))


def _wrongly_called(change: Callable[..., Call], k: int, right: Rule) -> Rule:
    def wrong(g: Any, y: Any, *inputs: Any, **static: Any) -> Any:
        g, y, others = change(g, y, list(inputs), k)
        return right(g, y, *others, **static)

    return wrong


def _differ(a: Any, b: Any, stops: set[Any]) -> bool:
    """Whether two results of a rule differ by more than rounding, or in which arguments of the rule they depend on."""
    for x, y in zip(*[term if isinstance(term, (At, Product)) else (term,) for term in (a, b)]):
        u, v = (part._array if isinstance(part, Variable) else part for part in (x, y))
        if not isinstance(u, (np.ndarray, np.generic, float)):
            continue  # an index
        same = np.shape(u) == np.shape(v) and np.allclose(u, v, rtol=1e-6, atol=0.0, equal_nan=True)
        if not same or _reached(x, stops) != _reached(y, stops):
            return True
    return False


def _reached(x: Any, stops: set[Any]) -> set[Any]:
    found: set[Any] = set()
    stack = [x.node] if isinstance(x, Variable) else []
    while stack:
        t = stack.pop()
        if t is not None and t not in found:
            found.add(t)
            stack.extend(t.inputs if t not in stops else ())
    return found & stops
