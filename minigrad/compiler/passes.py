"""How a traced list is rewritten before it is laid out in memory; each pass is one function over the list.

`without_dead_code` shortens it (what was computed twice is in it once: see `Listing.add`). `with_packed_factors`, and
`with_panels` in `panels.py`, put matrix products into the form that BLAS is fastest at; `with_batches`, in
`batches.py`, computes small alike steps together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .. import kernels
from ..primitive import primitive
from .instruction import Instructions, Kinds, Value

packed = primitive(
    kernels.packed, name="packed", doc="A copy of x, in rows; how far apart they are says `places.apart`."
)


def without_dead_code(instructions: Instructions, kinds: Kinds, results: Sequence[Value]) -> Instructions:
    """Keep what a result, or a call that is always made, depends on."""
    needed = bytearray(kinds.count)  # by the numbers of values
    for x in results:
        needed[x.number] = 1
    kept = bytearray(n := len(instructions))
    for kind, reads, out in instructions.backwards():
        n -= 1
        if needed[out.number] or not kind.pure:
            for x in reads:
                needed[x.number] = 1
            kept[n] = 1
    if 0 not in kept:
        return instructions
    result = Instructions()
    result.take(instructions, 0, len(kept), kept)
    return result


def with_packed_factors(instructions: Instructions, kinds: Kinds) -> Instructions:
    """Copy a right factor of several products once, if it is a transpose or its rows would evict each other.

    Rows that are a multiple of 1 KiB apart meet in the same few lines of a cache, where BLAS reads a column of them.
    """
    factors = [(n, instructions.reads[n]) for n in instructions.having("product")]
    products = [(n, a, b) for n, (a, b) in factors if len(a.shape) == 2 == len(b.shape)]
    transposes = {instructions.outs[n] for n in instructions.having("transpose")}
    rows: dict[Value, int] = defaultdict(int)  # of all left factors
    for _, a, b in products:
        if a.shape[0] > 1 and (b in transposes or b.shape[-1] * b.dtype.itemsize % 1024 == 0):
            rows[b] += a.shape[0]
    changed = [n for n, a, b in products if rows.get(b, 0) > 4 * a.shape[0]]
    if not changed:
        return instructions
    result = Instructions()
    end = 0
    copies: dict[Value, Value] = {}
    for n in changed:
        kind, (a, b), out = instructions[n]
        result.take(instructions, end, n)
        if b not in copies:
            copies[b] = kinds.value(b.layout)
            result.add(*kinds.instruction(packed, (b,), {}, copies[b]))
        result.add(kind, (a, copies[b]), out)
        end = n + 1
    result.take(instructions, end, len(instructions))
    return result
