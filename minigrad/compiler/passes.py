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


def changed(instructions: Sequence[Instruction], changes: dict[int, Sequence[Instruction]]) -> Sequence[Instruction]:
    """The list with others in place of some instructions, by their numbers, which come in order."""
    result: list[Instruction] = []
    end = 0
    for n, others in changes.items():
        result += instructions[end:n]
        result += others
        end = n + 1
    result += instructions[end:]
    return result


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
    transposed: dict[Value, tuple[int, Instruction]] = {}
    products: dict[Value, Sequence[Value]] = {}
    for n, i in enumerate(instructions):
        kind = i[0]  # to open all instructions takes four times as long, and few are of these kinds
        if kind.transpose:
            transposed[i.out] = n, i
        elif kind.product:
            products[i.out] = i.reads
    rewritten = _transposed_products(instructions, transposed, products)
    if not rewritten:
        return instructions
    turned = {i.reads[0]: (n, i) for n, i in transposed.values() if i.kind.inputs[1:] == (0, 1)}
    changes: dict[int, Sequence[Instruction]] = {}
    for out, (a, b) in rewritten.items():
        n = transposed[out][0]
        before: list[Instruction] = []
        if a not in turned:
            swapped = kinds.value(layout(a.shape[::-1], a.dtype))
            turned[a] = n, kinds.instruction(shapes.swapaxes, (a, 0, 1), {}, swapped, view=0)
            before = [turned[a][1]]
        elif turned[a][0] > n:  # it comes too late: it is made here, and not there
            changes[turned[a][0]] = []
            turned[a] = n, turned[a][1]
            before = [turned[a][1]]
        changes[n] = [*before, kinds.instruction(ops.matmul, (b, turned[a][1].out), {}, out)]
    return changed(instructions, dict(sorted(changes.items())))


def _transposed_products(
    instructions: Sequence[Instruction],
    transposed: dict[Value, tuple[int, Instruction]],
    products: dict[Value, Sequence[Value]],
) -> dict[Value, tuple[Value, Value]]:
    """A and B of each (A Bᵀ)ᵀ whose A Bᵀ is read by nothing else."""
    turned = products.keys() & {i.reads[0] for _, i in transposed.values()}
    once, often = set[Value](), set[Value]()  # what is read so many times
    for _, reads, _ in instructions if turned else ():
        for x in reads:
            if x in turned:
                (often if x in once else once).add(x)
    found = {}
    for out, (_, i) in transposed.items():
        product = i.reads[0]
        if product in once and product not in often:
            a, b = products[product]
            if len(a.shape) == 2 and b in transposed:
                found[out] = a, transposed[b][1].reads[0]
    return found


def with_packed_factors(instructions: Sequence[Instruction], kinds: Kinds) -> Sequence[Instruction]:
    """Copy a right factor of several products once, if it is a transpose or its rows would evict each other.

    Rows that are a multiple of 1 KiB apart meet in the same few lines of a cache, where BLAS reads a column of them.
    """
    products: list[tuple[int, Instruction]] = []
    transposes: set[Value] = set()
    for n, i in enumerate(instructions):
        kind = i[0]
        if kind.product and len(i.reads[0].shape) == 2 == len(i.reads[1].shape):
            products.append((n, i))
        elif kind.transpose:
            transposes.add(i.out)
    rows: dict[Value, int] = defaultdict(int)  # of all left factors
    for _, (_, (a, b), _) in products:
        if a.shape[0] > 1 and (b in transposes or b.shape[-1] * b.dtype.itemsize % 1024 == 0):
            rows[b] += a.shape[0]
    changes: dict[int, Sequence[Instruction]] = {}
    copies: dict[Value, Value] = {}
    for n, (kind, (a, b), out) in products:
        if rows.get(b, 0) > 4 * out.shape[0]:
            copied = []
            if b not in copies:
                copies[b] = kinds.value(b.layout)
                copied = [kinds.instruction(packed, (b,), {}, copies[b])]
            changes[n] = [*copied, Instruction(kind, (a, copies[b]), out)]
    return changed(instructions, changes) if changes else instructions
