"""How a traced list is rewritten before it is laid out in memory; each pass is one function over the list.

`without_dead_code` shortens it (what was computed twice is in it once: see `Trace`). `with_direct_products` and
`with_packed_factors` put matrix products into the form that BLAS is fastest at; `with_batches`, in `batches.py`,
computes small alike steps together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .. import kernels, ops, shapes
from ..primitive import primitive
from .instruction import Instruction, Kinds, Value, layout

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


def with_direct_products(instructions: Sequence[Instruction], kinds: Kinds) -> Sequence[Instruction]:
    """Write (A Bᵀ)ᵀ as B Aᵀ, whose result lies in memory as others do."""
    rewritten = _transposed_products(instructions)
    if not rewritten:
        return instructions
    result: list[Instruction] = []
    turned = {i.reads[0]: i for i in instructions if i.kind.transpose and i.kind.inputs[1:] == (0, 1)}
    swaps = {i.out for i in turned.values()}
    there: set[Value] = set()  # of these
    for i in instructions:
        if i.out in rewritten:
            a, b = rewritten[i.out]
            if a not in turned:
                out = kinds.value(layout(a.shape[::-1], a.dtype))
                turned[a] = kinds.instruction(shapes.swapaxes, (a, 0, 1), {}, out, view=0)
            if turned[a].out not in there:
                result.append(turned[a])
                there.add(turned[a].out)
            result.append(kinds.instruction(ops.matmul, (b, turned[a].out), {}, i.out))
        elif i.out not in swaps:
            result.append(i)
        elif i.out not in there:
            result.append(i)
            there.add(i.out)
    return result


def _transposed_products(instructions: Sequence[Instruction]) -> dict[Value, tuple[Value, Value]]:
    """A and B of each (A Bᵀ)ᵀ whose A Bᵀ is read by nothing else."""
    transposed = {out: reads[0] for kind, reads, out in instructions if kind.transpose}
    turned = set(transposed.values())
    products = {out: reads for kind, reads, out in instructions if kind.product and out in turned}
    once, often = set[Value](), set[Value]()  # what is read so many times
    for _, reads, _ in instructions if products else ():
        for x in reads:
            if x in products:
                (often if x in once else once).add(x)
    found = {}
    for out, product in transposed.items():
        if product in once and product not in often:
            a, b = products[product]
            if len(a.shape) == 2 and b in transposed:
                found[out] = a, transposed[b]
    return found


def with_packed_factors(instructions: Sequence[Instruction], kinds: Kinds) -> Sequence[Instruction]:
    """Copy a right factor of several products once, if it is a transpose or its rows would evict each other.

    Rows that are a multiple of 1 KiB apart meet in the same few lines of a cache, where BLAS reads a column of them.
    """
    rows: dict[Value, int] = defaultdict(int)  # of all left factors
    products = [i for i in instructions if i.kind.product]
    transposes = {i.out for i in instructions if i.kind.transpose}
    for i in products:
        a, b = i.reads
        evicting = b in transposes or b.shape[-1] * b.dtype.itemsize % 1024 == 0
        if len(a.shape) == 2 == len(b.shape) and a.shape[0] > 1 and evicting:
            rows[b] += a.shape[0]
    wanted = {i.out for i in products if len(i.out.shape) == 2 and rows.get(i.reads[1], 0) > 4 * i.out.shape[0]}
    if not wanted:
        return instructions
    result: list[Instruction] = []
    copies: dict[Value, Value] = {}
    for i in instructions:
        if i.out in wanted:
            a, b = i.reads
            if b not in copies:
                copies[b] = kinds.value(b.layout)
                result.append(kinds.instruction(packed, (b,), {}, copies[b]))
            i = Instruction(i.kind, (a, copies[b]), i.out)
        result.append(i)
    return result
