"""How a traced list is rewritten before it is laid out in memory; each pass is one function over the list.

`without_repeats` and `without_dead_code` shorten it. `with_direct_products` and `with_packed_factors` put matrix
products into the form that BLAS is fastest at; `with_batches`, in `batches.py`, computes small alike steps together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import kernels, ops, shapes
from ..primitive import primitive
from ..tree import tree_map
from .trace import Instruction, Value, same, values

NEVER = 1 << 60
packed = primitive(kernels.packed, name="packed", doc="A copy of x, its rows lying one after the other, see `apart`.")

# --- shorter lists --------------------------------------------------------------------------------------------------


def without_repeats(instructions: Sequence[Instruction]) -> tuple[list[Instruction], dict[Value, Value]]:
    """Compute every common subexpression once, and no identity at all; also returns what stands for what."""
    kept: list[Instruction] = []
    stands_for: dict[Value, Value] = {}
    seen: dict[Any, Value] = {}
    for i in instructions:
        i.inputs, i.static = tree_map(lambda x: stands_for.get(x, x) if type(x) is Value else x, (i.inputs, i.static))
        x = i.inputs[0] if i.inputs else None
        if i.primitive in (same, ops.positive) and isinstance(x, Value):
            stands_for[i.out] = x
            continue
        key = (i.primitive, identity(i.inputs), identity(i.static))
        if i.primitive.pure and key in seen:
            stands_for[i.out] = seen[key]
            continue
        seen[key] = i.out
        kept.append(i)
    return kept, stands_for


def identity(x: Any) -> Any:
    """What is equal for operands only if they always are: arrays may change, and 1 is not 1.0."""
    if isinstance(x, Value) or type(x) is str:
        return x
    if type(x) in (tuple, list, dict):
        parts = sorted(x.items()) if type(x) is dict else x
        return type(x), *[identity(part) for part in parts]
    return (type(x), repr(x)) if isinstance(x, (int, float, slice, type(None), np.generic, np.dtype)) else id(x)


def without_dead_code(instructions: Sequence[Instruction], results: Sequence[Value]) -> list[Instruction]:
    """Keep what a result, or a call that is always made, depends on."""
    needed, kept = set(results), []
    for i in reversed(instructions):
        if i.out in needed or not i.primitive.pure:
            needed.update(values(i))
            kept.append(i)
    return kept[::-1]


def with_direct_products(instructions: Sequence[Instruction], count: int) -> list[Instruction]:
    """Write (A Bᵀ)ᵀ as B Aᵀ, whose result lies in memory as others do.

    `count` is the number of values so far, from which new ones are numbered.
    """
    made_by = {i.out: i for i in instructions}
    uses: dict[Value, int] = defaultdict(int)
    for i in instructions:
        for x in values(i):
            uses[x] += 1
    rewritten: set[Value] = set()
    for i in instructions:
        product = made_by.get(i.inputs[0]) if _is_transpose(i) else None
        if product is None or product.primitive is not ops.matmul or uses[product.out] != 1:
            continue
        a, b = (x if isinstance(x, Value) else None for x in product.inputs)
        if a is not None and b is not None and len(a.shape) == 2 and b in made_by and _is_transpose(made_by[b]):
            rewritten.add(i.out)
            i.primitive, i.inputs, i.static, i.view = ops.matmul, (made_by[b].inputs[0], a), {}, None
    result: list[Instruction] = []
    turned: dict[Value, Value] = {}
    for i in instructions:
        if i.out in rewritten:
            a = i.inputs[1]
            if a not in turned:
                flipped = np.empty(a.shape[::-1], a.dtype)
                result.append(Instruction(shapes.swapaxes, (a, 0, 1), {}, Value(count, flipped), 0))
                count += 1
                turned[a] = result[-1].out
            i.inputs = i.inputs[0], turned[a]
        result.append(i)
    return result


def with_packed_factors(instructions: Sequence[Instruction], count: int) -> list[Instruction]:
    """Copy a right factor of several products once, if it is a transpose or its rows would evict each other.

    Rows that are a multiple of 1 KiB apart meet in the same few lines of a cache, where BLAS reads a column of them.
    """
    made_by = {i.out: i for i in instructions}
    rows: dict[Value, int] = defaultdict(int)  # of all left factors
    for i in instructions:
        if i.primitive is ops.matmul and all(isinstance(x, Value) and len(x.shape) == 2 for x in i.inputs):
            a, b = i.inputs
            turned = b in made_by and _is_transpose(made_by[b])
            if a.shape[0] > 1 and (turned or b.shape[1] * b.dtype.itemsize % 1024 == 0):
                rows[b] += a.shape[0]
    result: list[Instruction] = []
    copies: dict[Value, Value] = {}
    for i in instructions:
        b = i.inputs[1] if i.primitive is ops.matmul and len(i.out.shape) == 2 else None
        if isinstance(b, Value) and rows[b] > 4 * i.out.shape[0]:
            if b not in copies:
                copies[b] = Value(count, np.broadcast_to(np.empty((), b.dtype), b.shape))
                count += 1
                result.append(Instruction(packed, (b,), {}, copies[b]))
            i.inputs = i.inputs[0], copies[b]
        result.append(i)
    return result


def _is_transpose(i: Instruction) -> bool:
    swapped = i.primitive is shapes.swapaxes and set(i.inputs[1:]) == {0, 1}
    return len(i.out.shape) == 2 and (
        swapped or (i.primitive is shapes.transpose and not i.inputs[1:] and not i.static)
    )
