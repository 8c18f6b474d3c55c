"""What a primitive's function and its rules take, as far as `inspect` can tell: checked where it is declared."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence
from inspect import Parameter
from typing import Any

import numpy as np

_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def parameters(function: Any, follow_wrapped: bool = True) -> list[Parameter] | None:
    """The parameters of a function, None if they cannot be known; of what it wraps, if `follow_wrapped`."""
    try:
        return list(inspect.signature(function, follow_wrapped=follow_wrapped).parameters.values())
    except (TypeError, ValueError):  # a function in C may have no signature
        return None


def most_inputs(function: Any, rules: Iterable[Any]) -> int:
    """How many positional arguments the function takes before a place for its result, and all its rules take."""
    if isinstance(function, np.ufunc):
        return function.nin
    names = [p.name for p in parameters(function) or () if p.kind in _BY_POSITION]
    most = names.index("out") if "out" in names else sys.maxsize
    for rule in rules:
        taken = parameters(rule, follow_wrapped=False)
        if taken is not None and all(p.kind is not Parameter.VAR_POSITIONAL for p in taken):
            most = min(most, len([p for p in taken if p.kind in _BY_POSITION]) - 2)
    return most


def keywords(function: Any, rules: Iterable[Any]) -> frozenset[str] | None:
    """The static arguments that the function and all its rules take by name; None if they take any."""
    if isinstance(function, np.ufunc):
        return frozenset()
    found: set[str] | None = None
    for callee, skipped in [(function, 1), *[(rule, 3) for rule in rules]]:  # the first input goes by position
        taken = parameters(callee, follow_wrapped=callee is function)  # what a rule is named after may be anything
        if taken is None or any(p.kind is Parameter.VAR_KEYWORD for p in taken):
            continue
        names = {p.name for p in taken[skipped:] if p.kind in _BY_NAME}
        found = names if found is None else found & names
    return None if found is None else frozenset(found - {"out"})  # which is the compiler's to give


def check_rules(name: str, function: Any, rules: Sequence[Any], joint: Any) -> None:
    """Raise TypeError unless each rule can be called as `rule(g, y, *inputs, **static)` for inputs of the function."""
    if not callable(function):
        raise TypeError(f"primitive: the first argument must be a function of arrays, got {function!r}")
    if isinstance(function, np.ufunc):
        if function.nout != 1:
            raise TypeError(f"primitive: {name} has {function.nout} results; a primitive returns one array")
        if rules and len(rules) != function.nin:
            raise TypeError(
                f"primitive: {name} has {function.nin} inputs, got {len(rules)} rules; give one for each input, "
                "None where there is no derivative"
            )
        inputs = required = [("x", "y", "x3", "x4")[k] for k in range(function.nin)]
        named, kinds = [], set()
    else:
        taken = parameters(function)
        if taken is None:
            return
        places = [p for p in taken if p.kind in _BY_POSITION]
        inputs = [p.name for p in places]
        kinds = {p.kind for p in taken}
        if len(rules) > len(inputs) and Parameter.VAR_POSITIONAL not in kinds:
            raise TypeError(f"primitive: {name} has {len(inputs)} inputs, got {len(rules)} rules")
        required = [p.name for p in places if p.default is Parameter.empty]
        # of NumPy's own options a rule need not take all; those that it does not take are refused in a call
        own = not str(getattr(function, "__module__", "")).startswith("numpy")
        named = [
            p.name
            for p in taken
            if p.kind is Parameter.KEYWORD_ONLY and p.name != "out" and (own or p.default is Parameter.empty)
        ]
    for k, rule in enumerate(rules if joint is None else (joint,)):
        if rule is not None and not callable(rule):
            raise TypeError(f"primitive: a rule of {name} must be a function or None, got {rule!r}")
        if rule is not None and not _takes(rule, inputs, required, named, kinds):
            which = "the joint rule" if joint is not None else f"the rule of input {k}"
            called = [
                "g",
                "z" if "y" in required else "y",
                *required,
                *["*inputs"] * (Parameter.VAR_POSITIONAL in kinds),
            ]
            raise TypeError(
                f"primitive: {which} of {name} takes {inspect.signature(rule, follow_wrapped=False)}, but is called as "
                f"rule({', '.join(called + [f'{key}=' for key in named])}): the cotangent, the output, every input"
            )


def _takes(rule: Any, inputs: list[str], required: list[str], named: list[str], kinds: set[Any]) -> bool:
    """Whether a rule can be called for these inputs; all but the first may be given by name, as static arguments.

    `kinds` are those of the function's parameters: *inputs may be as many as the rule has places, **static any.
    """
    try:
        signature = inspect.signature(rule, follow_wrapped=False)
    except (TypeError, ValueError):
        return True
    taken = signature.parameters.values()
    places = len([p for p in taken if p.kind in _BY_POSITION])
    wanted = [*required, *named, *[p.name for p in taken if p.default is Parameter.empty]]
    bind = signature.bind_partial if Parameter.VAR_KEYWORD in kinds else signature.bind
    for count in range(len(inputs), min(len(inputs), 1) - 1, -1):
        given = 2 + count
        if Parameter.VAR_POSITIONAL in kinds:
            given = max(places, given if inputs else 3)
        try:
            bind(*[None] * given, **dict.fromkeys([*[name for name in inputs[count:] if name in wanted], *named]))
        except TypeError:
            continue
        return True
    return False
