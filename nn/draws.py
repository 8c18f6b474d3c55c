"""The random generators that a cell draws from, wherever it holds or sees them: a checkpoint lets them draw again."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg

_MANY = 1000  # in a container of more is data
_OURS = ("nn", "minigrad", "numpy", "builtins")  # their functions draw from what they are given


def generators(cell: Any) -> list[np.random.Generator]:
    """The generators in a cell's attributes, and in what its functions enclose, name, or have as defaults."""
    found: list[np.random.Generator] = []
    seen: dict[int, Any] = {}  # by id, and kept alive, since the id of what is gone may be another's
    stack = [cell]
    while stack:
        x = stack.pop()
        if id(x) in seen or isinstance(x, (mg.Tensor, np.ndarray, types.ModuleType)):
            continue
        seen[id(x)] = x
        if isinstance(x, np.random.Generator):
            found.append(x)
        else:
            stack += _seen_from(x)
    return found


def _seen_from(x: Any) -> Iterator[Any]:
    if isinstance(x, (dict, list, tuple)):
        if len(x) <= _MANY:
            yield from x.values() if isinstance(x, dict) else x
    elif isinstance(x, functools.partial):
        yield from (x.func, x.args, x.keywords)
    elif isinstance(x, types.FunctionType):
        if x.__module__ is None or x.__module__.split(".")[0] not in _OURS:
            yield from (x.__defaults__, x.__kwdefaults__)
            yield from (x.__globals__.get(name) for name in x.__code__.co_names)
            yield from (c.cell_contents for c in x.__closure__ or () if c != types.CellType())
    elif isinstance(x, (staticmethod, classmethod)):
        yield x.__func__
    elif isinstance(x, type):
        if x.__module__.split(".")[0] not in _OURS:
            yield from (vars(x).copy(), x.__bases__)
    elif isinstance(x, (types.MethodType, types.BuiltinMethodType)):
        yield from (x.__self__, getattr(x, "__func__", None))
    else:
        try:
            yield from (object.__getattribute__(x, "__dict__"), type(x))
        except AttributeError:  # it has slots, or none
            yield type(x)
