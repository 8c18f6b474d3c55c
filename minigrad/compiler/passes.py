"""How a traced list is rewritten before it is laid out in memory; each pass is one function over the list.

`without_dead_code` shortens it (what was computed twice is in it once: see `Trace`). `with_direct_products` and
`with_packed_factors` put matrix products into the form that BLAS is fastest at; `with_batches`, in `batches.py`,
computes small alike steps together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from .. import kernels, ops, shapes
from ..primitive import primitive
from .instruction import Instruction, Value

NEVER = 1 << 60
packed = primitive(kernels.packed, name="packed", doc="A copy of x, its rows lying one after the other, see `apart`.")


def without_dead_code(instructions: Sequence[Instruction], results: Sequence[Value]) -> list[Instruction]:
    """Keep what a result, or a call that is always made, depends on."""
    needed, kept = set(results), []
    for i in reversed(instructions):
        if i.out in needed or not i.primitive.pure:
            needed.update(i.reads)
            kept.append(i)
    return kept[::-1]


def with_direct_products(instructions: Sequence[Instruction], numbers: Iterator[int]) -> Sequence[Instruction]:
    """Write (A Bᵀ)ᵀ as B Aᵀ, whose result lies in memory as others do. New values get the next of `numbers`."""
    rewritten = _transposed_products(instructions)
    if not rewritten:
        return instructions
    result: list[Instruction] = []
    turned = {i.inputs[0]: i for i in instructions if i.primitive is shapes.swapaxes and i.inputs[1:] == (0, 1)}
    there: set[Value] = set()
    for i in instructions:
        if i.out in rewritten:
            a, b = rewritten[i.out]
            if a not in turned:
                turned[a] = Instruction(shapes.swapaxes, (a, 0, 1), {}, Value(next(numbers), a.shape[::-1], a.dtype), 0)
            if turned[a].out not in there:
                result.append(turned[a])
                there.add(turned[a].out)
            i.primitive, i.static, i.view = ops.matmul, {}, None
            i.read(b, turned[a].out)
        if i.out not in there:
            result.append(i)
            there.add(i.out)
    return result


def _transposed_products(instructions: Sequence[Instruction]) -> dict[Value, tuple[Value, Value]]:
    """A and B of each (A Bᵀ)ᵀ whose A Bᵀ is read by nothing else."""
    transposes = {i.out: i for i in instructions if _is_transpose(i)}
    read = {i.reads[0] for i in transposes.values()}
    products = {i.out: i for i in instructions if i.primitive is ops.matmul and i.out in read}
    uses: dict[Value, int] = defaultdict(int)
    for i in instructions if products else ():
        for x in i.reads:
            uses[x] += 1
    found = {}
    for i in transposes.values():
        product = products.get(i.reads[0])
        if product is None or uses[product.out] != 1 or len(product.reads) != 2:
            continue
        a, b = product.reads
        if len(a.shape) == 2 and b in transposes:
            found[i.out] = a, transposes[b].reads[0]
    return found


def with_packed_factors(instructions: Sequence[Instruction], numbers: Iterator[int]) -> Sequence[Instruction]:
    """Copy a right factor of several products once, if it is a transpose or its rows would evict each other.

    Rows that are a multiple of 1 KiB apart meet in the same few lines of a cache, where BLAS reads a column of them.
    """
    rows: dict[Value, int] = defaultdict(int)  # of all left factors
    transposes = {i.out for i in instructions if _is_transpose(i)}
    for i in instructions:
        if i.primitive is ops.matmul and len(i.reads) == 2:
            a, b = i.reads
            evicting = b in transposes or b.shape[-1] * b.dtype.itemsize % 1024 == 0
            if len(a.shape) == 2 == len(b.shape) and a.shape[0] > 1 and evicting:
                rows[b] += a.shape[0]
    if not rows:
        return instructions
    result: list[Instruction] = []
    copies: dict[Value, Value] = {}
    for i in instructions:
        if i.primitive is ops.matmul and len(i.out.shape) == 2 and rows.get(i.inputs[1], 0) > 4 * i.out.shape[0]:
            b = i.inputs[1]
            if b not in copies:
                copies[b] = Value(next(numbers), b.shape, b.dtype)
                result.append(Instruction(packed, (b,), {}, copies[b]))
            i.read(i.inputs[0], copies[b])
        result.append(i)
    return result


def _is_transpose(i: Instruction) -> bool:
    if i.primitive is shapes.swapaxes:
        return len(i.out.shape) == 2 and set(i.inputs[1:]) == {0, 1}
    return i.primitive is shapes.transpose and len(i.out.shape) == 2 and not i.inputs[1:] and not i.static
