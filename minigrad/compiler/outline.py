"""What a call returns while a function is traced: an array of the right shape and dtype, which is rarely computed.

A program's first call replays it anyhow, so that the trace need not compute as well. What is elementwise and what is a
product of matrices has a shape and a dtype that follow from those of its inputs: an `outline`, which has the memory of
one entry, stands for it. The other primitives of minigrad are called, on outlines as well: that only moves entries
about that nobody looks at. But anyone else's function may look, so it gets the real values (see `Trace.real`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops, shapes
from ..einsum import _einsum
from ..primitive import Primitive
from .instruction import layout
from .table import IMPURE

#: Primitives whose result has a shape and dtype that follow from the inputs' alone, whatever their values.
SHAPED = {p for table in (ops, shapes) for p in vars(table).values() if isinstance(p, Primitive)} | {_einsum}
_ELEMENTWISE = {ops.sigmoid, ops.relu, ops.softplus, ops.where, ops.power}


class Outlines:
    """Outlines of results by primitive and what its inputs look like, one array for all that are alike."""

    def __init__(self) -> None:
        self.found: dict[Any, np.ndarray | None] = {}

    def __call__(self, p: Primitive, arrays: Sequence[Any]) -> np.ndarray | None:
        """The outline of p(*arrays), None if it has to be called."""
        key: list[Any] = [p]
        for x in arrays:
            if type(x) is np.ndarray:
                key += x.shape, x.dtype
            elif type(x) is float:
                key.append(float)
            else:
                key += type(x), x
        known = tuple(key)
        try:
            return self.found[known]
        except KeyError:
            found = self.found[known] = _outline(p, arrays)
            return found
        except TypeError:  # x has no hash
            return None


def has_outline(p: Primitive) -> bool:
    """Whether p may have one."""
    f = p.function
    elementwise = isinstance(f, np.ufunc) and f.signature is None and f.nout == 1 and p not in IMPURE
    return elementwise or p in _ELEMENTWISE or p is ops.matmul


def _outline(p: Primitive, arrays: Sequence[Any]) -> np.ndarray | None:
    if any([isinstance(x, np.ndarray) and x.dtype.kind not in "fb" for x in arrays]):
        return None  # what is done to integers is quick, and its errors may depend on them
    try:
        shape = _product(*arrays) if p is ops.matmul else np.broadcast(*arrays).shape
        entries = [layout((1, 1), x.dtype).outline if isinstance(x, np.ndarray) else x for x in arrays]
        with np.errstate(all="ignore"):
            like = p.function(*entries)
    except (ValueError, TypeError):
        return None  # the call itself says what is wrong
    return layout(shape, like.dtype).outline


def _product(a: Any, b: Any) -> tuple[int, ...]:
    if np.ndim(a) < 2 or np.ndim(b) < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError("to be found by the call itself")
    return *np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]
