"""The pass that cuts a factor of many small products into panels, which BLAS reads as they lie.

BLAS copies the factors of a product into an order of its own. With the few rows of a batch's state that takes longer
than the multiplications: (32, 256) @ (256, 1024) in float32 runs at 114 GFLOP/s, in 16 panels of 64 columns at 240
(OpenBLAS 0.3.31, AVX-512). It copies nothing for products of at most 100³ multiplications, if the processor has
AVX-512; several threads do better with one large product. Elsewhere panels are quicker for up to eight rows, since a
panel lies in one piece.
"""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from ..primitive import primitive
from .instruction import Instructions, Kinds, Value, layout
from .table import compile_as

#: Up to so many multiplications OpenBLAS copies nothing.
SMALL = 100**3
#: What a row of a panel has in bytes, at least and at most, and how many rows there are at most.
NARROW, WIDE, DEEP = 64, 256, 512
#: Products of more rows are as quick with the whole factor: than MANY with AVX-512, than FEW elsewhere.
MANY, FEW = 128, 8
#: So many products pay for the copy.
PAYING = 5


class Cut(NamedTuple):
    """How many rows and columns of a factor are one panel."""

    depth: int
    width: int


def with_panels(instructions: Instructions, kinds: Kinds) -> Instructions:
    """Compute A W as [A W_0 A W_1 ...], with a copy of each panel of W, where several A with few rows share a W.

    A W of many rows is cut across as well, and the products with its pieces are added.
    """
    cuts = _cuts(instructions)
    if not cuts:
        return instructions
    result = Instructions()
    panels: dict[Value, Value] = {}
    for kind, reads, out in instructions.rows():
        if out not in cuts:
            result.add(kind, reads, out)
            continue
        (a, W), cut = reads, cuts[out]
        pieces, number = W.shape[0] // cut.depth, W.shape[1] // cut.width
        if W not in panels:
            panels[W] = kinds.value(layout((pieces, number, *cut), W.dtype))
            result.add(*kinds.instruction(cut_up, (W, *cut), {}, panels[W]))
        products = out if pieces == 1 else kinds.value(layout((pieces, *out.shape), W.dtype))
        result.add(*kinds.instruction(by_panels, (a, panels[W]), {}, products))
        if pieces > 1:
            result.add(*kinds.instruction(added, (products,), {}, out))
    return result


def _cuts(instructions: Instructions) -> dict[Value, Cut]:
    """How the right factor of each product is cut, for those where that pays, by the product."""
    most = MANY if copies_nothing() else FEW
    of_factor: dict[Value, list[Value]] = defaultdict(list)
    for n in instructions.having("product"):
        _, (a, W), out = instructions[n]
        matrices = len(a.shape) == len(W.shape) == 2 and a.dtype == W.dtype
        if matrices and out.dtype.char in "fd" and 1 < out.shape[0] <= most:
            of_factor[W].append(out)
    cuts = {}
    for W, outs in of_factor.items():
        cut = _cut(max([out.shape[0] for out in outs]), *W.shape, W.dtype.itemsize) if len(outs) >= PAYING else None
        if cut is not None:
            cuts.update({out: cut for out in outs if _pays(out.shape[0], cut)})
    return cuts


@functools.lru_cache(1024)
def _cut(rows: int, depth: int, width: int, itemsize: int) -> Cut | None:
    """How a factor of this shape is cut for so many rows; None where that would not pay."""
    widths = [w for w in range(WIDE // itemsize, NARROW // itemsize - 1, -1) if width % w == 0]
    if not widths or rows * depth * width <= SMALL:
        return None
    cuts = [Cut(d, widths[0]) for d in range(min(depth, DEEP), 31, -1) if depth % d == 0]
    return next((cut for cut in cuts if _pays(rows, cut)), None)


def _pays(rows: int, cut: Cut) -> bool:
    return block(rows, cut) >= min(rows, FEW)


@functools.lru_cache(1024)
def block(rows: int, cut: Cut) -> int:
    """How many of the left factor's rows are multiplied with a panel at a time: as many as copy nothing."""
    most = min(rows, SMALL // (cut.depth * cut.width))
    return next(r for r in range(most, 0, -1) if rows % r == 0)


@functools.cache
def copies_nothing() -> bool:
    """Whether NumPy's BLAS is OpenBLAS with its kernels for AVX-512, on one thread: two share one large product."""
    found: Any = np.show_config(mode="dicts")
    blas, features = found["Build Dependencies"]["blas"], found["SIMD Extensions"]["found"]
    chosen = os.environ.get("OPENBLAS_CORETYPE", "").lower()
    threads = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count())
    return (
        threads == "1"
        and "openblas" in blas["name"].lower()
        and not {"X86_V4", "AVX512_SKX"}.isdisjoint(features)
        and chosen in ("", "skylakex", "cooperlake", "sapphirerapids")
    )


# --- what the pass writes ---------------------------------------------------------------------------------------------


def _cut_up(W: Any, depth: int, width: int, out: Any = None) -> Any:
    """The panels of W, (pieces, panels, depth, width)."""
    cut = W.reshape(-1, depth, W.shape[1] // width, width).swapaxes(1, 2)
    if out is None:
        return cut.copy()
    out[...] = cut
    return out


def _by_panels(a: Any, panels: Any, out: Any = None) -> Any:
    """a W: (rows, columns), or for each of several pieces (pieces, rows, columns)."""
    if out is None:
        pieces, number, _, width = panels.shape
        out = np.empty((pieces, len(a), number * width)[pieces == 1 :], a.dtype)
    [(_, operands)] = _calls(out, a, panels)
    np.matmul(*operands)
    return out


def _calls(out: Any, a: Any, panels: Any) -> Any:
    """One call for all panels: a row block of `a` with a panel after the other."""
    pieces, number, depth, width = panels.shape
    rows = block(len(a), Cut(depth, width))
    a = a.reshape(1, -1, rows, pieces, depth).transpose(3, 0, 1, 2, 4)  # (pieces, 1, blocks, rows, depth)
    out = out.reshape(pieces, -1, rows, number, width).transpose(0, 3, 1, 2, 4)  # (pieces, panels, blocks, rows, width)
    ones = tuple([0 if n == 1 else slice(None) for n in out.shape[:3]])
    return [(np.matmul, (a[ones], panels[:, :, None][ones], out[ones]))]


def _added(products: Any, out: Any = None) -> Any:
    return np.add.reduce(products, 0, out=out)


cut_up = primitive(_cut_up, name="cut_up", doc="The panels of a matrix, one after the other.")
by_panels = compile_as(primitive(_by_panels, name="by_panels", doc="a W, by W's panels."), calls=_calls)
added = compile_as(
    primitive(_added, name="added", doc="The sum over the first axis."),
    calls=lambda out, x: [(np.add, (x[0], x[1], out)), *[(np.add, (out, part, out)) for part in x[2:]]],
)
