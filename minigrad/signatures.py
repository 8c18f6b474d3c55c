"""What a primitive's function and its rules take: checked where it is declared.

It is read from the code of plain functions; `inspect`, which knows all kinds of callables, takes ten times as long, and
a thousand rules are declared when minigrad is imported.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from inspect import CO_VARARGS, CO_VARKEYWORDS, Parameter, signature
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

_ONLY, _EITHER, _ARGS = Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL
_NAMED, _KWARGS = Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD
_BY_POSITION = (_ONLY, _EITHER)
_BY_NAME = (_EITHER, _NAMED)
_PLACEHOLDER = getattr(functools, "Placeholder", None)


class Taken(NamedTuple):
    """One parameter: what of `inspect.Parameter` is asked for here."""

    name: str
    kind: Any
    default: Any


def parameters(function: Any, follow_wrapped: bool = True) -> list[Taken] | None:
    """The parameters of a function, None if they cannot be known; of what it wraps, if `follow_wrapped`."""
    if type(function) is FunctionType and not function.__dict__:
        return _of_code(function)
    if type(function) is functools.partial and not (function.keywords or function.__dict__ or _open(function.args)):
        inner = parameters(function.func, follow_wrapped)
        if inner is not None and len(function.args) <= len([p for p in inner if p.kind in _BY_POSITION]):
            return inner[len(function.args) :]
    try:
        found = signature(function, follow_wrapped=follow_wrapped).parameters.values()
    except (TypeError, ValueError):  # a function in C may have no signature
        return None
    return [Taken(p.name, p.kind, p.default) for p in found]


def _open(given: tuple[Any, ...]) -> bool:
    """Whether a partial, of Python 3.14, leaves a place open between those that it fills."""
    return _PLACEHOLDER is not None and any([x is _PLACEHOLDER for x in given])


def _of_code(function: FunctionType) -> list[Taken]:
    code, empty = function.__code__, Parameter.empty
    names, count = code.co_varnames, code.co_argcount
    defaults = function.__defaults__ or ()
    values = [empty] * (count - len(defaults)) + list(defaults)
    taken = [Taken(names[k], _ONLY if k < code.co_posonlyargcount else _EITHER, values[k]) for k in range(count)]
    end = count + code.co_kwonlyargcount
    if code.co_flags & CO_VARARGS:
        taken.append(Taken(names[end], _ARGS, empty))
    by_name = function.__kwdefaults__ or {}
    taken += [Taken(name, _NAMED, by_name.get(name, empty)) for name in names[count:end]]
    if code.co_flags & CO_VARKEYWORDS:
        taken.append(Taken(names[end + bool(code.co_flags & CO_VARARGS)], _KWARGS, empty))
    return taken


def most_inputs(function: Any, rules: Iterable[Any]) -> int:
    """How many positional arguments the function takes before a place for its result, and all its rules take."""
    if isinstance(function, np.ufunc):
        return function.nin
    names = [p.name for p in parameters(function) or () if p.kind in _BY_POSITION]
    most = names.index("out") if "out" in names else sys.maxsize
    for rule in rules:
        taken = parameters(rule, follow_wrapped=False)
        if taken is not None and all([p.kind is not _ARGS for p in taken]):
            most = min(most, len([p for p in taken if p.kind in _BY_POSITION]) - 2)
    return most


def keywords(function: Any, rules: Iterable[Any]) -> frozenset[str] | None:
    """The static arguments that the function and all its rules take by name; None if they take any."""
    if isinstance(function, np.ufunc):
        return frozenset()
    found: set[str] | None = None
    for callee, skipped in [(function, 1), *[(rule, 3) for rule in rules]]:  # the first input goes by position
        taken = parameters(callee, follow_wrapped=callee is function)  # what a rule is named after may be anything
        if taken is None or any([p.kind is _KWARGS for p in taken]):
            continue
        names = {p.name for p in taken[skipped:] if p.kind in _BY_NAME}
        found = names if found is None else found & names
    return None if found is None else frozenset(found - {"out"})  # which is the compiler's to give


class _Inputs(NamedTuple):
    """What a function takes: its inputs, those that must be given, its keywords, and the kinds of its parameters."""

    inputs: list[str]
    required: list[str]
    named: list[str]
    kinds: set[Any]


def check_rules(name: str, function: Any, rules: Sequence[Any], joint: Any) -> None:
    """Raise TypeError unless each rule can be called as `rule(g, y, *inputs, **static)` for inputs of the function."""
    if not callable(function):
        raise TypeError(f"primitive: the first argument must be a function of arrays, got {function!r}")
    if isinstance(function, np.ufunc):
        found = _of_ufunc(name, function, len(rules))
    elif (taken := parameters(function)) is not None:
        found = _of_function(name, function, taken, len(rules))
    else:
        return
    for k, rule in enumerate(rules if joint is None else (joint,)):
        if rule is not None and not callable(rule):
            raise TypeError(f"primitive: a rule of {name} must be a function or None, got {rule!r}")
        if rule is not None and not _takes(rule, *found):
            which = "the joint rule" if joint is not None else f"the rule of input {k}"
            called = ["g", "z" if "y" in found.required else "y", *found.required]
            called += ["*inputs"] * (_ARGS in found.kinds) + [f"{key}=" for key in found.named]
            raise TypeError(
                f"primitive: {which} of {name} takes {signature(rule, follow_wrapped=False)}, but is called as "
                f"rule({', '.join(called)}): the cotangent, the output, every input"
            )


def _of_ufunc(name: str, function: np.ufunc, rules: int) -> _Inputs:
    if function.nout != 1:
        raise TypeError(f"primitive: {name} has {function.nout} results; a primitive returns one array")
    if rules not in (0, function.nin):
        raise TypeError(
            f"primitive: {name} has {function.nin} inputs, got {rules} rules; give one for each input, "
            "None where there is no derivative"
        )
    inputs = [("x", "y", "x3", "x4")[k] for k in range(function.nin)]
    return _Inputs(inputs, inputs, [], set())


def _of_function(name: str, function: Any, taken: list[Taken], rules: int) -> _Inputs:
    places, kinds = [p for p in taken if p.kind in _BY_POSITION], {p.kind for p in taken}
    if rules > len(places) and _ARGS not in kinds:
        raise TypeError(f"primitive: {name} has {len(places)} inputs, got {rules} rules")
    required = [p.name for p in places if p.default is Parameter.empty]
    # of NumPy's own options a rule need not take all; those that it does not take are refused in a call
    own = not str(getattr(function, "__module__", "")).startswith("numpy")
    named = [p.name for p in taken if p.kind is _NAMED and p.name != "out" and (own or p.default is Parameter.empty)]
    return _Inputs([p.name for p in places], required, named, kinds)


def _takes(rule: Any, inputs: list[str], required: list[str], named: list[str], kinds: set[Any]) -> bool:
    """Whether a rule can be called for these inputs; all but the first may be given by name, as static arguments.

    `kinds` are those of the function's parameters: *inputs may be as many as the rule has places, **static any.
    """
    taken = parameters(rule, follow_wrapped=False)
    if taken is None:
        return True
    if not named and [p.kind for p in taken] == [_EITHER] * (2 + len(inputs)):  # the quick case, of most rules
        return True
    places = len([p for p in taken if p.kind in _BY_POSITION])
    wanted = {*required, *named, *[p.name for p in taken if p.default is Parameter.empty]}
    for count in range(len(inputs), min(len(inputs), 1) - 1, -1):
        given = 2 + count
        if _ARGS in kinds:
            given = max(places, given if inputs else 3)
        by_name = {*[name for name in inputs[count:] if name in wanted], *named}
        if _binds(taken, given, by_name, whole=_KWARGS not in kinds):
            return True
    return False


def _binds(taken: list[Taken], given: int, by_name: set[str], whole: bool) -> bool:
    """Whether so many arguments by position and these by name fit; `whole`, whether they are all that there are."""
    kinds = {p.kind for p in taken}
    places = [p for p in taken if p.kind in _BY_POSITION]
    if given > len(places) and _ARGS not in kinds:
        return False
    filled = {p.name for p in places[:given] if p.kind is _EITHER}
    left = [*places[given:], *[p for p in taken if p.kind is _NAMED]]
    if by_name & filled or not (_KWARGS in kinds or by_name <= {p.name for p in left if p.kind in _BY_NAME}):
        return False
    return not whole or all([p.name in by_name or p.default is not Parameter.empty for p in left])
