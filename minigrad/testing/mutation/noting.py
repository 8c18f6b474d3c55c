"""Which rules are called: each has something in front of it that notes the call."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from ...primitive import Primitive, Rule

RuledInput = tuple[Primitive, int]  # a primitive and the number of an input (of a joint rule, 0 and -1)


class NotedCalls:
    """A block in which a rule that is called adds its input to `called`.

    What stands in front of a rule reads all arrays, as a mutant does: a test that looks at which ones are kept fails.
    """

    def __init__(self, primitives: list[Primitive], called: set[RuledInput]) -> None:
        self.called = called
        self.right = [(p, p.rules, p.joint) for p in primitives]

    def __enter__(self) -> NotedCalls:
        for p, rules, joint in self.right:
            noted = [None if rule is None else self._noting(rule, (p, k)) for k, rule in enumerate(rules)]
            p.declare(tuple(noted), None if joint is None else self._noting(joint, (p, 0), (p, -1)))
        return self

    def __exit__(self, *error: Any) -> None:
        for p, rules, joint in self.right:
            p.declare(rules, joint)

    @contextlib.contextmanager
    def nothing(self) -> Iterator[None]:
        """A block in which the rules are as they were declared."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def _noting(self, rule: Rule, *inputs: RuledInput) -> Rule:
        @functools.wraps(rule)
        def noted(*arguments: Any, **static: Any) -> Any:
            self.called.update(inputs)
            return rule(*arguments, **static)

        return noted
