"""Arrays that are lent to users' functions and rules: read-only, since others hold them as well.

A cotangent may be that of several inputs, an operand is some tensor's data: who wrote into them would change other
gradients without a word. So would who returns an array twice while the first result is still in use.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .interpretation import interpreted
from .record import At, Variable


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


_BOX = [object()]
# The count of references to what a box alone holds, as `sys.getrefcount(box[k])` has it. There is no such number for a
# variable: from Python 3.14 on, whether the call itself holds the value, too, depends on its place in the function.
_BOXED = sys.getrefcount(_BOX[0])


def shared(box: Sequence[Any], k: int = 0, known: int = 0) -> bool:
    """Whether anybody holds the array or list `box[k]`, or its memory, besides the box and so many as are known."""
    if sys.getrefcount(box[k]) > _BOXED + known:
        return True
    base = getattr(box[k], "base", None)
    if type(base) is not np.ndarray or base.base is not None:
        return base is not None  # memory of no array, whose holders cannot be counted
    return sys.getrefcount(box[k].base) > _BOXED + 1  # by `base`, here


def held(box: list[Any]) -> list[Any]:
    """The entries of a list that anybody holds besides it."""
    return [box[k] for k in range(len(box)) if sys.getrefcount(box[k]) > _BOXED]


# --- functions --------------------------------------------------------------------------------------------------------


def apart(y: Any, inputs: Sequence[Any]) -> Any:
    """The result of a user's function, copied if somebody else holds its memory: the function, for its next call.

    What is a tensor's own memory stays so: it shows as a view, which `detach` copies.
    """
    if not isinstance(y, Variable) or hasattr(y, "stands_for"):
        return y
    node = y.node
    by_tensor = 1 + (node is not None and node.value is y._array)
    if not shared((y._array,), known=by_tensor):
        return y
    if not _is_part(y._array, [x._array for x in inputs if isinstance(x, Variable)]):
        y._array = y._array.copy()
        if node is not None and node.value is not None:
            node.value = y._array
    return y


# --- rules ------------------------------------------------------------------------------------------------------------

#: The views that are in use of arrays that rules have returned and hold, by the id of the array that owns the memory.
_in_use: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()


@interpreted
def own_index(index: Any) -> Any:
    """An index with copies of its arrays, which a rule may keep, return again and change."""
    if type(index) is tuple:
        return tuple([own_index(part) for part in index])
    return index.copy() if type(index) in (np.ndarray, list) else index


def _followed(parts: Any, operands: Sequence[Any], owners: set[int]) -> Any:
    """What a rule returned, an `At`, a `Product` or several, with the view of `_view` in place of what is not new."""
    found: list[Any] = []
    for k in range(len(parts)):
        if k == 0 and type(parts) is At:
            found.append(own_index(parts[k]))
        elif isinstance(parts[k], (tuple, list)):
            found.append(_followed(parts[k], operands, owners))
        else:
            new = type(parts[k]) is not np.ndarray or not shared(parts, k)
            found.append(parts[k] if new else _view(parts[k], operands, owners))
    return found if isinstance(parts, list) else tuple.__new__(type(parts), found)


def _view(array: np.ndarray, operands: Sequence[Any], owners: set[int]) -> np.ndarray:
    """A view of the array, in use for as long as the view lives.

    Whatever is made of the view refers to it: NumPy hands on the base of a view that is an array, and this one's is a
    buffer. Copied instead is memory of no array, and memory that the same result has a view of already: see `owners`.

    Raises:
        ValueError: if memory of this array was returned before, and is still in use.
    """
    owner = _owner(array)
    if not owner.flags.writeable or _is_part(array, operands):
        return array
    if owner.base is not None or id(owner) in owners:
        return array.copy()
    if id(owner) in _in_use:
        raise ValueError(
            f"returned an array {array.shape} that was returned before and is still in use, so that writing into "
            "it changed another cotangent; return a new array, or a copy"
        )
    owners.add(id(owner))
    view = _in_use[id(owner)] = np.asarray(array.data)
    return view


def lending(rule: Callable[..., Any] | None) -> Any:
    """A rule that gets its arrays read-only, and is held to return new ones."""
    if rule is None:
        return None

    def called(*operands: Any, **static: Any) -> Any:
        views = [read_only(x) if type(x) is np.ndarray else x for x in operands]
        try:
            returned: Any = (rule(*views, **{name: read_only(x) for name, x in static.items()}),)
        except (ValueError, TypeError) as error:
            if not _written(error):
                raise
            raise InPlaceError(
                f"{error}: a rule must not change its cotangent, the output or an input in place, since others read "
                "them too; write g = 2 * g, not g *= 2"
            ) from error
        if type(returned[0]) is not np.ndarray:
            return _followed(returned, views, set())[0]
        return _view(returned[0], views, set()) if shared(returned) else returned[0]

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
