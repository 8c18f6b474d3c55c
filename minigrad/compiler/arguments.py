"""What a compiled function is called with and what it returns: trees of arrays, read and built at every call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from numbers import Number
from typing import Any

import numpy as np

from ..messages import check_operand
from ..record import Variable
from ..tree import tree_map

_PLAIN = {tuple, list, dict}


def read(x: Any, leaves: list[Any], key: list[Any]) -> None:
    """Append to `leaves` those of x, and to `key` what two calls must have in common to share a trace.

    That is structure, shapes, dtypes, whether a gradient is required, and Python's values.
    """
    if isinstance(x, Variable):
        data = x._array
        key += type(x), data.shape, data.dtype, x.node is not None
        leaves.append(x)
    elif isinstance(x, (np.ndarray, np.generic)):
        if type(x) is not np.ndarray:
            check_operand("compile: an argument", x)
        key += np.ndarray, x.shape, x.dtype
        leaves.append(x)
    elif isinstance(x, (tuple, list)):
        key += type(x), len(x)
        for part in x:
            read(part, leaves, key)
        if type(x) not in _PLAIN:
            _read_attributes(x, key)
    elif isinstance(x, dict):
        key += type(x), len(x)
        for name, part in x.items():
            key.append(name if type(name) is str else exactly(name))
            read(part, leaves, key)
        if type(x) not in _PLAIN:
            _read_attributes(x, key)
    else:
        try:
            hash(found := exactly(x))  # not of x: a slice has none before Python 3.12
        except TypeError as error:
            raise TypeError(
                f"compile: an argument is a {type(x).__name__}; it must be a tensor, an array, a hashable Python "
                "value, or a tuple, list or dict of these"
            ) from error
        key.append(found)
        leaves.append(x)


def _read_attributes(x: Any, key: list[Any]) -> None:
    """Append to `key` the attributes that a list or dict of a class of its own has besides its entries.

    They come along as they are: another array is another constant.
    """
    own = getattr(x, "__dict__", None)
    if own and own is not x:  # else its entries are its attributes
        found: list[Any] = []
        read(own, found, key)
        key += [exactly(part) if isinstance(part, np.generic) else id(part) for part in found if hasattr(part, "dtype")]


def exactly(x: Any) -> Any:
    """What is equal for two hashable values only if they compute the same: 1 is not 1.0, {0.0} not {-0.0}."""
    cls = type(x)
    if cls is str or x is None:
        return x
    if isinstance(x, (int, float, np.generic, Number)):
        return cls, repr(x)
    if isinstance(x, (range, slice)):
        return cls, exactly(x.start), exactly(x.stop), exactly(x.step)
    if isinstance(x, tuple):
        return cls, *map(exactly, x)
    if isinstance(x, frozenset):
        return cls, frozenset(map(exactly, x))
    if is_dataclass(cls) and cls.__hash__ is not object.__hash__:
        return cls, x, *[_of_field(field, getattr(x, field.name)) for field in fields(x)]
    return cls, x


def _of_field(field: Field[Any], value: Any) -> Any:
    """What `exactly` says of a dataclass' field; one without a hash, that is not compared, is known by which it is."""
    found = exactly(value)
    if not (field.compare if field.hash is None else field.hash):
        try:
            hash(found)
        except TypeError:
            return id(value)
    return found


def alike(x: Any, y: Any) -> bool:
    """Whether one of two values does for the other: arrays and tensors, which a program reads, do for none but them."""
    if isinstance(x, (tuple, list)) and type(x) is type(y) and len(x) == len(y):
        return all(map(alike, x, y))
    return x is y or not (isinstance(x, (np.ndarray, Variable)) or exactly(x) != exactly(y))


def built(structure: Any, leaves: Iterator[Any]) -> Any:
    """A tree of the structure of another, which has None in place of its leaves."""
    if structure is None:
        return next(leaves)
    if type(structure) is tuple:
        return tuple([built(part, leaves) for part in structure])
    return tree_map(lambda _: next(leaves), structure)
