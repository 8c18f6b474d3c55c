"""What a compiled function is called with and what it returns: trees of arrays, read and built at every call."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, fields, is_dataclass
from numbers import Number
from typing import Any

import numpy as np

from ..keeping import read_once
from ..messages import check_operand
from ..record import Variable
from ..tree import flatten

_VALUES: type = type({}.values())
#: What gives the leaves of arguments that are of one kind, None of others: `leaves_of(records, args, kwargs)`.
Matcher = Callable[[bool, Any, Any], list[Any] | None]
_WRITTEN = {tuple: "({})", list: "[{}]"}


def read(trees: Iterable[Any], leaves: list[Any], key: list[Any]) -> None:
    """Append to `leaves` those of trees, and to `key` what two calls must have in common to share a program.

    That is structure, shapes, dtypes, whether a gradient is required, and Python's values.
    """
    for x in trees:
        cls = type(x)
        if cls is tuple or cls is list:
            key += cls, len(x)
            read(x, leaves, key)
        elif cls is np.ndarray:
            key += cls, x.shape, x.dtype
            leaves.append(x)
        elif isinstance(x, Variable):
            data = x._array
            key += cls, data.shape, data.dtype, x.node is not None
            leaves.append(x)
        elif isinstance(x, (tuple, list, dict)):
            key += cls, len(x)
            if isinstance(x, dict):
                key += [name if type(name) is str else exactly(name) for name in x]
            read(x.values() if isinstance(x, dict) else x, leaves, key)
            if cls is not dict:
                _read_attributes(x, key)
        else:
            key += _known_by(x)
            leaves.append(x)


def _known_by(x: Any) -> tuple[Any, ...]:
    """What `read` notes of an argument that is neither a tensor nor an array of NumPy's own class, nor a tree."""
    if isinstance(x, (np.ndarray, np.generic)):
        check_operand("compile: an argument", x)
        return np.ndarray, x.shape, x.dtype
    try:
        hash(found := exactly(x))  # not of x: a slice has none before Python 3.12
    except TypeError as error:
        raise TypeError(
            f"compile: an argument is a {type(x).__name__}; it must be a tensor, an array, a hashable Python "
            "value, or a tuple, list or dict of these; of an iterator, list(it)"
        ) from error
    return (found,)


def never(records: bool, args: Any, kwargs: Any) -> None:
    """A matcher that knows no arguments."""


def matcher(records: bool, args: Any, kwargs: Any) -> Matcher:
    """A function that gives the leaves of arguments for which `read` would find the key that it finds for these.

    Of others it gives None. It is one expression, written as text: to read two states and a symbol, and to find their
    program, takes 0.36 instead of 0.85 us.
    """
    matching = _Matching(f"records is {records}")
    matching.add_parts("args", args)
    matching.add_parts("kwargs", kwargs)
    text = f"[{', '.join(matching.leaves)}] if {' and '.join(matching.conditions)} else None"
    return eval(f"lambda records, args, kwargs: {text}", matching.known)  # type: ignore[no-any-return]


class _Matching:
    """What the text of a matcher consists of: conditions, the names of leaves, and constants by their names."""

    def __init__(self, condition: str) -> None:
        self.conditions, self.leaves = [condition], list[str]()
        self.known: dict[str, Any] = {"exactly": exactly}

    def add(self, where: str, x: Any) -> None:
        """The conditions for what is found `where` to be like x."""
        cls, name = type(x), f"x{len(self.conditions)}"
        self.conditions.append(f"type({name} := {where}) is {self._constant(cls)}")
        if cls in (tuple, list) or (cls is dict and all([type(key) is str for key in x])):
            self.add_parts(name, x)
            return
        self.leaves.append(name)
        if isinstance(x, Variable):
            self.conditions.append(f"({name}.node is None) is {x.node is None}")
            x, name = x._array, f"{name}._array"
        if type(x) is np.ndarray:
            self.conditions += f"{name}.shape == {x.shape}", f"{name}.dtype is {self._constant(x.dtype)}"
        elif cls in (int, float, bool, str, type(None)):
            self.conditions.append(f"exactly({name}) == {self._constant(exactly(x))}")
        else:
            self.conditions.insert(0, "False")  # what may compare in any way is left to `read`

    def add_parts(self, name: str, x: Any) -> None:
        """Those for what has this name to have parts like those of x, a tuple, list or dict."""
        if isinstance(x, dict):
            self.conditions.append(f"[*map(exactly, {name})] == {self._constant([*x])}" if x else f"not {name}")
        else:
            self.conditions.append(f"len({name}) == {len(x)}")
        for key, part in x.items() if isinstance(x, dict) else enumerate(x):
            self.add(f"{name}[{self._constant(key)}]", part)

    def _constant(self, x: Any) -> str:
        self.known[name := f"c{len(self.known)}"] = x
        return name


def _read_attributes(x: Any, key: list[Any]) -> None:
    """Append to `key` the attributes that a list or dict of a class of its own has besides its entries.

    They come along as they are: another array is another constant.
    """
    own = getattr(x, "__dict__", None)
    if own and own is not x:  # else its entries are its attributes
        found: list[Any] = []
        read((own,), found, key)
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
    if read_once(x) or cls is _VALUES:
        raise TypeError(
            f"compile: a {cls.__name__} gives something else when it is read again; take a list or tuple, list(it)"
        )
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


def builder(tree: Any) -> Callable[[list[Any]], Any]:
    """A function that builds a tree of this one's structure from a list of leaves."""
    text = _written(tree, itertools.count(), 0)
    return flatten(tree)[1] if text is None else _building(text)


@functools.lru_cache(256)
def _building(text: str) -> Callable[[list[Any]], Any]:
    """The function of this text; programs for other shapes mostly have the same."""
    return eval(f"lambda x: {text}", {})  # type: ignore[no-any-return]


def _written(tree: Any, numbers: Iterator[int], depth: int) -> str | None:
    """Tuples and lists as an expression of the leaves x; None if others are among them, or they are deep."""
    if not isinstance(tree, (tuple, list, dict)):
        return f"x[{next(numbers)}]"
    if type(tree) not in _WRITTEN or depth == 50:
        return None
    parts = [_written(part, numbers, depth + 1) for part in tree]
    return None if None in parts else _WRITTEN[type(tree)].format("".join([f"{part}, " for part in parts]))
