"""Trees that a hand-written derivative returns, read by the structure of what they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..tree import tree_leaves
from .problem import GradientError

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


class Rule(NamedTuple):
    """A hand-written `vjp` or `jvp`, whose results and errors are told by its name."""

    role: str
    function: Callable[..., Any]

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return self.role if name in ("<lambda>", self.role) else f"{self.role} ({name})"

    def __call__(self, given: Any, inputs: Sequence[Any]) -> Any:
        """Its result; what it raises gets a note which says what it was called with."""
        try:
            return self.function(given, *inputs)
        except Exception as error:
            noun = "the cotangent" if self.role == "vjp" else "the tangent"
            error.add_note(f"raised by {self}, called with {noun}, {_kind(given)}, and {counted(len(inputs), 'input')}")
            raise


def of_inputs(rule: Rule, result: Any, inputs: Sequence[Any], chosen: Sequence[int]) -> list[Any]:
    """What a pullback returned for each chosen input, of that input's structure.

    It may return one for each input, or for each chosen one; a single one with or without a tuple around it.

    Raises:
        GradientError: if the result has another number of them, or another structure.
    """
    like = [inputs[k] for k in chosen]
    several = isinstance(result, (tuple, list))
    readings = []
    if several and len(result) == len(inputs):
        readings.append([result[k] for k in chosen])
    elif several and len(result) == len(chosen):
        readings.append(list(result))
    if len(chosen) == 1:
        readings.append([result])
    wrong = [_misfits([f"input {k}" for k in chosen], like, reading) for reading in readings]
    if "" in wrong:
        return readings[wrong.index("")]
    if wrong and (not several or len(result) == len(inputs) or isinstance(like[0], (tuple, list, dict))):
        raise GradientError(f"{rule} returned {wrong[0]}")
    found = counted(len(result), "cotangent") if several else _kind(result)
    wanted = "one array like it" if len(inputs) == 1 else f"a tuple of {len(inputs)}, one for each"
    missing = "; is a `return` missing?" if result is None else ""
    raise GradientError(
        f"{rule} returned {found} for {counted(len(inputs), 'input')}; return {wanted}, None where there is no "
        f"derivative{missing}"
    )


def of_result(rule: Rule, result: Any, like: Any) -> Any:
    """What a forward rule returned, in the structure of the function's result; one array may stand in a tuple.

    Raises:
        GradientError: if it has another structure.
    """
    readings = [result]
    if isinstance(result, (tuple, list)) and len(result) == 1:
        readings.append(result[0])
    if isinstance(like, (tuple, list)) and len(like) == 1:
        readings.append((result,))
    wrong = [_misfit("f's result", like, reading) for reading in readings]
    if "" not in wrong:
        raise GradientError(f"{rule} returned {wrong[0]}")
    return readings[wrong.index("")]


def leaves_of(like: Any, found: Any) -> list[Any]:
    """The leaves of a result that fits, in the order of `like`; None for each where it is None for a whole part."""
    if found is None:
        return [None] * len(tree_leaves(like))
    if isinstance(like, dict):
        return [leaf for key, part in like.items() for leaf in leaves_of(part, found[key])]
    if isinstance(like, (tuple, list)):
        return [leaf for part, twin in zip(like, found, strict=True) for leaf in leaves_of(part, twin)]
    return [found]


def array_of_numbers(x: Any) -> Any:
    """x, but a list of nothing but Python's numbers (or of such lists) as NumPy reads it."""

    def plain(part: Any) -> bool:
        return all(map(plain, part)) if type(part) is list else type(part) in (float, int, bool)

    return np.array(x) if type(x) is list and plain(x) else x


def _misfit(place: str, like: Any, found: Any) -> str:
    """Where and how a result first differs in structure from what it belongs to, or nothing."""
    if found is None:
        return ""
    if isinstance(like, dict) and isinstance(found, dict) and like.keys() == found.keys():
        return _misfits([f"{place}[{key!r}]" for key in like], list(like.values()), [found[key] for key in like])
    if isinstance(like, (tuple, list)) and isinstance(found, (tuple, list)) and len(like) == len(found):
        return _misfits([f"{place}[{k}]" for k in range(len(like))], like, found)
    if not isinstance(like, (tuple, list, dict)) and not isinstance(found, (tuple, list, dict)):
        return ""
    if not isinstance(like, (tuple, list, dict)):
        return f"a {type(found).__name__} where an array belongs, for {place}"
    return f"{_kind(found)} where {_kind(like)} belongs, for {place}"


def _misfits(places: Sequence[str], like: Sequence[Any], found: Sequence[Any]) -> str:
    return next(filter(None, map(_misfit, places, like, found)), "")


def _kind(x: Any) -> str:
    if isinstance(x, dict):
        return f"a dict with the keys {list(x)}"
    if isinstance(x, (tuple, list)):
        return f"a {'tuple' if isinstance(x, tuple) else 'list'} of {len(x)}"
    return "None" if x is None else f"one array {np.shape(x)}"


def counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
