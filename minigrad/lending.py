"""Arrays that are lent to users' functions and rules: read-only, since others hold them as well.

A cotangent may be that of several inputs, an operand is some tensor's data: who wrote into them would change other
gradients without a word. So would who returns an array twice while the first result is still in use.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .interpretation import interpreted
from .record import Variable


class InPlaceError(ValueError):
    """A function or a rule of the user's tried to write into an array that was lent to it."""


def read_only(x: Any) -> Any:
    """A view of an array into which nobody can write; all else as it is."""
    if type(x) is not np.ndarray:
        return x
    view = x.view()
    view.setflags(write=False)
    return view


def _lent(x: Any) -> Any:
    """An input as a user's function gets it: a Tensor of the same record, or an array, that is read-only."""
    if not isinstance(x, Variable):
        return read_only(x)
    twin: Any = object.__new__(type(x))
    twin._array, twin.node = read_only(x._array), x.node
    return twin


@interpreted
def lent(inputs: tuple[Any, ...], static: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a function is called with: all read-only if a Tensor is among the inputs, whose record reads it later."""
    if not any([isinstance(x, Variable) for x in inputs]):
        return inputs, static
    return tuple([_lent(x) for x in inputs]), {name: read_only(x) for name, x in static.items()}


def _written(error: Exception) -> bool:
    """Whether an error is NumPy's, or that of something compiled, for writing into a read-only array."""
    text = str(error)
    return not hasattr(error, "told") and ("read-only" in text or "readonly" in text)


def _owner(x: np.ndarray) -> np.ndarray:
    """The array whose memory x has a part of."""
    while type(x.base) is np.ndarray:
        x = x.base
    return x


def _is_part(x: np.ndarray, arrays: Sequence[Any]) -> bool:
    """Whether x has memory of one of these."""
    owner = _owner(x)
    return any([type(array) is np.ndarray and _owner(array) is owner for array in arrays])


# --- functions --------------------------------------------------------------------------------------------------------


def _holders_of_new() -> int:
    term = np.zeros(1)
    return sys.getrefcount(term)


_OF_NEW = _holders_of_new()  # references to an array that only a variable holds, as this Python counts them


def apart(y: Any, inputs: Sequence[Any]) -> Any:
    """The result of a user's function, copied if somebody else holds its memory: the function, for its next call.

    What is a tensor's own memory stays so: it shows as a view, which `detach` copies.
    """
    if not isinstance(y, Variable) or hasattr(y, "stands_for"):
        return y
    owner, node = _owner(y._array), y.node
    kept = owner is y._array and node is not None and node.value is not None
    foreign = owner.base is not None  # memory of no array, whose holders cannot be counted
    if not foreign and sys.getrefcount(owner) - kept <= _OF_NEW + 1:
        return y
    if not _is_part(y._array, [x._array for x in inputs if isinstance(x, Variable)]):
        y._array = y._array.copy()
        if node is not None and node.value is not None:
            node.value = y._array
    return y


# --- rules ------------------------------------------------------------------------------------------------------------

#: What rules have returned, until it is freed, by id and how it was returned: with how many references there were.
_returned: dict[tuple[int, bool, bool], tuple[weakref.ref[np.ndarray], int]] = {}


def _arrays_of(term: Any) -> Iterator[np.ndarray]:
    """The arrays in what a rule returned: itself, those of an `At` or a `Product`, those of each input."""
    if type(term) is np.ndarray:
        yield term
    elif isinstance(term, (tuple, list)):
        for part in term:
            yield from _arrays_of(part)


def _check_returned(term: Any, operands: Sequence[Any]) -> None:
    """Raise ValueError if an array was returned before, and what was returned of it then is still read."""
    for array in _arrays_of(term):
        owner = _owner(array)
        if not owner.flags.writeable or _is_part(array, operands):
            continue
        key = id(owner), array is owner, array is term
        count, before = sys.getrefcount(owner), _returned.get(key)
        if before is None or before[0]() is not owner:
            # a weak reference calls `pop(key, itself)` once the array is freed
            _returned[key] = weakref.ref(owner, functools.partial(_returned.pop, key)), count
        elif count > before[1]:
            raise ValueError(
                f"returned an array {array.shape} that was returned before and is still in use, so that writing into "
                "it changed another cotangent; return a new array, or a copy"
            )


def lending(rule: Callable[..., Any] | None) -> Any:
    """A rule that gets its arrays read-only, and is held to return new ones."""
    if rule is None:
        return None

    def called(*operands: Any, **static: Any) -> Any:
        views = [read_only(x) if type(x) is np.ndarray else x for x in operands]
        try:
            term = rule(*views, **{name: read_only(x) for name, x in static.items()})
        except (ValueError, TypeError) as error:
            if not _written(error):
                raise
            raise InPlaceError(
                f"{error}: a rule must not change its cotangent, the output or an input in place, since others read "
                "them too; write g = 2 * g, not g *= 2"
            ) from error
        if type(term) is not np.ndarray or term.base is not None or sys.getrefcount(term) > _OF_NEW:
            _check_returned(term, views)  # it may not be new
        return term

    called.__wrapped__ = rule  # type: ignore[attr-defined]  # whose text is that of this rule
    return called


class Lending:
    """The part of a user's primitive that lends arrays; its `rules` and `joint` are as they were declared."""

    definition: Any

    def declare(self, rules: Sequence[Any], joint: Any) -> None:
        super().declare(tuple([lending(rule) for rule in rules]), lending(joint))  # type: ignore[misc]
        self.declared = tuple(rules), joint

    rules = property(lambda self: self.declared[0])
    joint = property(lambda self: self.declared[1])

    def explained(self, error: Exception, *called: Any) -> Exception:
        """The error for what the function raised."""
        found: Exception = super().explained(error, *called)  # type: ignore[misc]
        if not _written(error):
            return found
        return InPlaceError(
            f"{found}: a function that changed its input in place would change what others read; "
            "write x = x + 1, not x += 1"
        )
