"""How a traced list is rewritten before it is laid out in memory; each pass is one function over the list.

`without_dead_code` shortens it (what was computed twice is in it once: see `Trace`). `with_packed_factors`, and
`with_panels` in `panels.py`, put matrix products into the form that BLAS is fastest at; `with_batches`, in
`batches.py`, computes small alike steps together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .. import kernels
from ..primitive import primitive
from .instruction import Instruction, Kinds, Value

NEVER = 1 << 60
packed = primitive(kernels.packed, name="packed", doc="A copy of x, its rows lying one after the other, see `apart`.")


def without_dead_code(instructions: Sequence[Instruction], results: Sequence[Value]) -> list[Instruction]:
    """Keep what a result, or a call that is always made, depends on."""
    needed, kept = set(results), []
    for i in reversed(instructions):
        kind, reads, out = i
        if out in needed or not kind.pure:
            for x in reads:
                needed.add(x)
            kept.append(i)
    return kept[::-1]


def with_packed_factors(instructions: Sequence[Instruction], kinds: Kinds) -> Sequence[Instruction]:
    """Copy a right factor of several products once, if it is a transpose or its rows would evict each other.

    Rows that are a multiple of 1 KiB apart meet in the same few lines of a cache, where BLAS reads a column of them.
    """
    products: list[tuple[int, Instruction]] = []
    transposes: set[Value] = set()
    for n, i in enumerate(instructions):
        kind = i[0]  # to open all instructions takes four times as long, and few are of these kinds
        if kind.product and len(i.reads[0].shape) == 2 == len(i.reads[1].shape):
            products.append((n, i))
        elif kind.transpose:
            transposes.add(i.out)
    rows: dict[Value, int] = defaultdict(int)  # of all left factors
    for _, (_, (a, b), _) in products:
        if a.shape[0] > 1 and (b in transposes or b.shape[-1] * b.dtype.itemsize % 1024 == 0):
            rows[b] += a.shape[0]
    result: list[Instruction] = []
    end = 0
    copies: dict[Value, Value] = {}
    for n, (kind, (a, b), out) in products:
        if rows.get(b, 0) > 4 * out.shape[0]:
            result += instructions[end:n]
            if b not in copies:
                copies[b] = kinds.value(b.layout)
                result.append(kinds.instruction(packed, (b,), {}, copies[b]))
            result.append(Instruction(kind, (a, copies[b]), out))
            end = n + 1
    result += instructions[end:]
    return result
