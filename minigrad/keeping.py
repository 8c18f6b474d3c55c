"""What a record keeps of a call's arguments: themselves where nobody can change them, else copies."""

from __future__ import annotations

from array import array
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from .messages import MASKABLE, check_operand, check_unmasked, describe, lost
from .record import Variable

#: Python's own types, besides lists and tuples, that NumPy reads as arrays
LIKE_ARRAYS = range, memoryview, array

_IMMUTABLE = {int, float, bool, str, slice, type(None), type(Ellipsis)}


def immutable(x: Any) -> bool:
    """Whether `x` is a number, a string, an index without arrays or the like, so that nobody can change it."""
    if type(x) is not tuple:
        return type(x) in _IMMUTABLE
    for part in x:  # noqa: SIM110 (twice as fast as `all`)
        if type(part) not in _IMMUTABLE:
            return False
    return True


def changeable(primitive: Any, x: Any) -> bool:
    """Whether a record has to keep a copy of the operand `x`; TypeError for a masked array, or a list of some."""
    if type(x) in _IMMUTABLE or immutable(x):  # the first is the quick case
        return False
    if isinstance(x, MASKABLE):
        check_unmasked(f"{primitive.name}: an input", x)
    return True


def _like_array(x: list[Any]) -> bool:
    """Whether NumPy reads a list as an array of numbers, and not as words, objects or parts of several lengths."""
    try:
        return np.asarray(x).dtype.kind in "fiub"
    except ValueError:
        return False


def frozen(x: Any, name: str) -> Any:
    """`x` safe from later changes by its owner: arrays, lists and dicts that a record keeps are copied.

    Raises:
        TypeError: for an iterator, of which the record cannot read what the function reads; `name` begins the message.
    """
    if immutable(x):
        return x
    if type(x) is dict:
        return {key: frozen(part, name) for key, part in x.items()}
    if type(x) is list and not _like_array(x):
        return [frozen(part, name) for part in x]
    if isinstance(x, (np.ndarray, list)):
        return np.array(x) if len(np.shape(x)) != 1 or len(x) else np.array(x, getattr(x, "dtype", np.intp))
    if isinstance(x, Variable):
        if x.node is not None:
            raise lost("primitive")
        return x._array.copy()
    if type(x) is tuple:
        return tuple([frozen(part, name) for part in x])
    if read_once(x):
        raise TypeError(
            f"{name}: {describe(x)} can be read only once, and would be empty when a derivative reads it again; pass "
            "a list or tuple, list(it)"
        )
    return x


def read_once(x: Any) -> bool:
    """Whether x is an iterator, as a generator, a `map` or a file: who reads it a second time finds nothing."""
    return hasattr(type(x), "__next__")


def freeze(name: str, operands: list[Any], inputs: Sequence[Any], unread: Container[int]) -> None:
    """Have the operands that are inputs themselves, and are read, frozen: the caller may change them any time.

    What NumPy reads as an array (a range, another library's tensor) is one for the rules as well.
    """
    for k, x in enumerate(inputs):
        if operands[k] is not x:
            continue
        if type(x) is not np.ndarray:
            check_operand(f"{name}: input {k}", x)
            lent = hasattr(x, "__array__") and not isinstance(x, (np.ndarray, np.generic))
            if lent or isinstance(x, LIKE_ARRAYS):
                x = np.array(x)
        if k not in unread:
            operands[k] = frozen(x, name)


def kept(static: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments that a record keeps: these themselves where nobody can change them."""
    if _IMMUTABLE.issuperset(map(type, static.values())):
        return static
    for name, x in static.items():
        check_unmasked(f"the argument {name}", x)
    return {name: frozen(x, f"the argument {name}") for name, x in static.items()}
