"""The gradient table: for each primitive, how hypothesis draws a call of it."""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from draw import anywhere, deep_shapes, full_shapes, nonzero, off_grid, on_grid, positive, some_shapes, two_shapes
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad
from minigrad import Primitive, einsum, ops
from minigrad import shapes as shape_ops
from minigrad.compiler.table import IMPURE
from minigrad.testing import (
    axes_of,
    axis_of,
    broadcastable_shapes,
    indices_of,
    integers_within,
    matmul_operands,
    well_separated,
)

Shape = tuple[int, ...]


@dataclass
class Case:
    """One call: `function(*inputs)`, differentiated with respect to each of `inputs`."""

    function: Callable[..., Any] = field(repr=False)
    inputs: tuple[np.ndarray, ...]
    static: Any = None

    def __post_init__(self) -> None:
        self.inputs = tuple(np.asarray(x) for x in self.inputs)  # 0-d results of NumPy's operators are scalars


def primitives() -> dict[str, Primitive]:
    """Every primitive of the package that is a function of arrays, by module and name."""
    names = [module.name for module in pkgutil.walk_packages(minigrad.__path__, "minigrad.")]
    apart = ("minigrad.testing.", "minigrad.compiler.program", "minigrad.compiler.panels")
    modules = [import_module(name) for name in names if not name.startswith(apart)]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Primitive) and value not in IMPURE
    }


# --- families of cases ----------------------------------------------------------------------------------------------


@st.composite
def unary(draw: Any, f: Any, values: Any = anywhere, shape: Any = some_shapes, **static: Any) -> Case:
    """f(x, **static); a static argument that is a function of x's shape gives a strategy for its value."""
    size = draw(shape)
    chosen = {name: draw(value(size)) for name, value in static.items()}
    return Case(lambda x: f(x, **chosen), (draw(values(size)),), chosen)


@st.composite
def binary(draw: Any, f: Any, left: Any = anywhere, right: Any = anywhere) -> Case:
    sizes = draw(two_shapes)
    return Case(f, (draw(left(sizes[0])), draw(right(sizes[1]))))


def reduction(f: Any, values: Any = anywhere, shape: Any = some_shapes, **static: Any) -> st.SearchStrategy[Case]:
    return unary(f, values, shape, axis=axes_of, keepdims=lambda s: st.booleans(), **static)


@st.composite
def power_to_a_number(draw: Any) -> Case:
    exponent = draw(st.sampled_from([-2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3]))
    values = nonzero if isinstance(exponent, int) else positive
    return Case(lambda x: ops.power(x, exponent), (draw(values(draw(some_shapes))),), exponent)


@st.composite
def remainders(draw: Any) -> Case:
    """x % y with x / y away from the integers, where it jumps."""
    sizes = draw(broadcastable_shapes(2, max_dims=2, min_side=0))
    y = draw(nonzero(sizes[1]))
    whole = np.broadcast_shapes(*sizes)
    quotient = draw(hnp.arrays(np.int64, whole, elements=st.integers(-3, 3)))
    return Case(ops.remainder, ((quotient + draw(hnp.arrays(float, whole, elements=st.floats(0.2, 0.8)))) * y, y))


@st.composite
def choices(draw: Any) -> Case:
    sizes = draw(broadcastable_shapes(3, max_dims=2, min_side=0))
    mask = draw(hnp.arrays(np.bool_, sizes[0]))
    return Case(lambda x, y: ops.where(mask, x, y), (draw(anywhere(sizes[1])), draw(anywhere(sizes[2]))), mask)


@st.composite
def passages(draw: Any) -> Case:
    size = draw(some_shapes)
    mask, y = draw(hnp.arrays(np.bool_, size)), draw(anywhere(size))
    masked = primitives()["minigrad.ops._masked_by"]
    return Case(lambda g: masked(g, y, mask), (draw(anywhere(size)),), mask)


def products() -> st.SearchStrategy[Case]:
    return matmul_operands(min_side=0).map(lambda operands: Case(ops.matmul, operands))


@st.composite
def affine_maps(draw: Any) -> Case:
    n = draw(st.integers(1, 3))  # often x and W are alike, and could be exchanged unseen
    *lead, I, O = draw(st.just([n] * 3) | st.lists(st.sampled_from([n, n, n, 0, 1, 2, 3]), min_size=2, max_size=4))
    b = draw(st.sampled_from([(O,), (*lead, O)]))
    return Case(ops.linear, (draw(anywhere((*lead, I))), draw(anywhere((I, O))), draw(anywhere(b))))


EQUATIONS = [
    *(
        "ij,jk->ik",
        "ij,jk",
        "ij,kj->ki",
        "bij,bjk->bik",
        "i,j->ij",
        "i,i->",
        "ij->ji",
        "ij->j",
        "ij->",
        "ba",
        "i,j,k->kij",
    ),
    *(
        "ii->i",
        "ii",
        "ii->",
        "iij->j",
        "iji,j->ij",
        "ij,kk->i",
        "ij,ik->k",
        "i,jj->ij",
        "ij,ij->",
        "ij,j,ik->k",
        "i,i,i->i",
        "ij,ij,j->j",
    ),
    *("...ij,...jk->...ik", "...i,...i->...", "...i,...i", "i...->...", "i...,i...->i...", "...,...", "ii...->...i"),
]


@st.composite
def sums_of_products(draw: Any, equations: Any = EQUATIONS) -> Case:
    equation = draw(st.sampled_from(equations))
    letters = "".join(sorted({c for c in equation if c.isalpha()}))
    equal = st.integers(2, 3).map(lambda n: (n,) * len(letters))  # matrices are square
    size = dict(zip(letters, draw(st.tuples(*[st.integers(0, 3) for _ in letters]) | equal)))
    terms = equation.partition("->")[0].split(",")
    dots = draw(hnp.mutually_broadcastable_shapes(num_shapes=len(terms), max_dims=2, max_side=2)).input_shapes
    inputs = []
    for term, extra in zip(terms, dots):
        plain = term.replace("...", "")
        ones = {
            c for c in plain if len(terms) > 1 and plain.count(c) == 1 and draw(st.integers(0, 2)) == 0
        }  # broadcast
        head, ellipsis, tail = term.partition("...")
        whole = [[1 if c in ones else size[c] for c in part] for part in (head, tail)]
        inputs.append(draw(anywhere((*whole[0], *(extra if ellipsis else ()), *whole[1]))))
    return Case(lambda *xs: einsum(equation, *xs), tuple(inputs), equation)


# --- shapes ---------------------------------------------------------------------------------------------------------


@st.composite
def reshapes(draw: Any) -> Case:
    size = draw(some_shapes)
    n = math.prod(size)
    forms: list[Any] = [size[::-1], (n,), n, (1, n, 1), size]
    forms += [-1, (-1,), (1, -1)] if n else []
    shape = draw(st.sampled_from(forms + ([(2, n // 2), (-1, 2)] if n and n % 2 == 0 else [])))
    return Case(lambda x: shape_ops.reshape(x, shape), (draw(anywhere(size)),), shape)


def order_of_axes(shape: Shape) -> st.SearchStrategy[Any]:
    n = len(shape)
    signed = st.permutations(range(n)).flatmap(lambda p: st.tuples(*[st.sampled_from([k, k - n]) for k in p]))
    return st.none() | signed


@st.composite
def moves(draw: Any) -> Case:
    size = draw(some_shapes.filter(len) | deep_shapes)
    pick = st.lists(st.integers(0, len(size) - 1), unique=True, min_size=1, max_size=len(size))
    source = draw(pick)
    target = draw(st.permutations(range(len(size))))[: len(source)]
    ends = (source[0], target[0] - len(size)) if len(source) == 1 else (tuple(source), tuple(target))
    return Case(lambda x: shape_ops.moveaxis(x, *ends), (draw(anywhere(size)),), ends)


@st.composite
def swaps(draw: Any) -> Case:
    size = draw(some_shapes.filter(len))
    axes = draw(axis_of(size)), draw(axis_of(size))
    return Case(lambda x: shape_ops.swapaxes(x, *axes), (draw(anywhere(size)),), axes)


def ones_of(shape: Shape) -> st.SearchStrategy[Any]:
    """What np.squeeze may take away."""
    ones = [k for k, n in enumerate(shape) if n == 1]
    return st.none() | st.lists(st.sampled_from(ones), unique=True).map(tuple) if ones else st.none()


@st.composite
def broadcasts(draw: Any) -> Case:
    size, shape = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3))[0]
    shape = np.broadcast_shapes(size, shape)
    return Case(lambda x: shape_ops.broadcast_to(x, shape), (draw(anywhere(size)),), shape)


def widths(shape: Shape) -> st.SearchStrategy[Any]:
    pair = st.tuples(st.integers(0, 2), st.integers(0, 2))
    each = [st.tuples(*[pair] * len(shape))] if shape else []
    return st.one_of(st.integers(0, 2), pair, pair.map(lambda p: (p,)), *each)


# --- parts and wholes -----------------------------------------------------------------------------------------------


@st.composite
def selections(draw: Any) -> Case:
    size = draw(some_shapes)
    index = draw(indices_of(size))
    return Case(lambda x: shape_ops.getitem(x, index), (draw(anywhere(size)),), index)


@st.composite
def placements(draw: Any) -> Case:
    size = draw(full_shapes)
    chosen = tuple(draw(st.lists(indices_of(size), min_size=1, max_size=2)))
    whole = np.zeros(size)
    gs = tuple(draw(anywhere(np.shape(whole[index]))) for index in chosen)
    return Case(lambda *gs: shape_ops.place(*gs, indices=chosen, shape=size, dtype=gs[0].dtype), gs, chosen)


@st.composite
def takes(draw: Any) -> Case:
    size = draw(full_shapes)
    axis = draw(st.none() | axis_of(size)) if size else None
    n = math.prod(size) if axis is None else size[axis]
    chosen = draw(st.one_of(integers_within(n), st.integers(-n, n - 1)))
    return Case(lambda x: shape_ops.take(x, chosen, axis), (draw(anywhere(size)),), (chosen, axis))


@st.composite
def joins(draw: Any, f: Any, ragged: bool) -> Case:
    size = draw(st.just((2, 2)) | some_shapes.filter(len) if ragged else some_shapes)
    axis = draw(axis_of((*size, 1) if not ragged else size))
    inputs = []
    for _ in range(draw(st.integers(1, 3))):
        own = list(size)
        if ragged:
            own[axis] = draw(st.integers(0, 2) | st.just(size[axis]))
        inputs.append(draw(anywhere(tuple(own))))
    return Case(lambda *xs: f(xs, axis), tuple(inputs), axis)


@st.composite
def cuts(draw: Any) -> Case:
    size = draw(some_shapes.filter(len))
    axis = draw(axis_of(size))
    n = size[axis]
    equal = st.sampled_from([k for k in range(1, max(n, 2) + 1) if n % k == 0])
    sections = draw(equal | st.lists(st.integers(-n - 1, n + 1), max_size=3))
    return Case(lambda x: shape_ops.split(x, sections, axis), (draw(anywhere(size)),), (sections, axis))


# --- the table ------------------------------------------------------------------------------------------------------

along = {"axis": lambda s: axis_of(s) | st.none() if s else st.none()}
softened = {"axis": axes_of}

TABLE: dict[Any, st.SearchStrategy[Case]] = {
    ops.add: binary(ops.add),
    ops.subtract: binary(ops.subtract),
    ops.multiply: binary(ops.multiply),
    ops.divide: binary(ops.divide, anywhere, nonzero),
    ops.remainder: remainders(),
    ops.negative: unary(ops.negative),
    ops.positive: unary(ops.positive),
    ops.power: binary(ops.power, positive, anywhere) | power_to_a_number(),
    ops.absolute: unary(ops.absolute, nonzero),
    ops.square: unary(ops.square),
    ops.sqrt: unary(ops.sqrt, positive),
    ops.exp: unary(ops.exp),
    ops.expm1: unary(ops.expm1),
    ops.log: unary(ops.log, positive),
    ops.log1p: unary(ops.log1p, positive),
    ops.sin: unary(ops.sin),
    ops.cos: unary(ops.cos),
    ops.tanh: unary(ops.tanh),
    ops.sigmoid: unary(ops.sigmoid),
    ops.softplus: unary(ops.softplus),
    ops.relu: unary(ops.relu, nonzero),
    ops.where: choices(),
    ops.maximum: binary(ops.maximum, on_grid, off_grid),
    ops.minimum: binary(ops.minimum, on_grid, off_grid),
    ops.clip: unary(
        ops.clip, on_grid, low=lambda s: st.sampled_from([None, -0.75]), high=lambda s: st.sampled_from([None, 0.75])
    ),
    ops.sum: reduction(ops.sum),
    ops.mean: reduction(ops.mean, shape=full_shapes),
    ops.var: reduction(ops.var, shape=full_shapes, ddof=lambda s: st.sampled_from([0, -1, 0.5])),
    ops.max: reduction(ops.max, well_separated, full_shapes),
    ops.min: reduction(ops.min, well_separated, full_shapes),
    ops.cumsum: unary(ops.cumsum, **along),
    ops.logsumexp: reduction(ops.logsumexp, shape=full_shapes),
    ops.softmax: unary(ops.softmax, **softened),
    ops.log_softmax: unary(ops.log_softmax, **softened),
    minigrad.norm: reduction(minigrad.norm, positive, full_shapes),
    ops.matmul: products(),
    primitives()["minigrad.ops._linear"]: affine_maps(),
    primitives()["minigrad.ops._masked_by"]: passages(),
    primitives()["minigrad.einsum._einsum"]: sums_of_products(),
    shape_ops.reshape: reshapes(),
    shape_ops.transpose: unary(shape_ops.transpose, shape=some_shapes | deep_shapes, axes=order_of_axes),
    shape_ops.swapaxes: swaps(),
    shape_ops.moveaxis: moves(),
    shape_ops.expand_dims: unary(
        shape_ops.expand_dims, axis=lambda s: st.sampled_from([0, -1, (0, 1), (-1, 0), len(s)])
    ),
    shape_ops.squeeze: unary(shape_ops.squeeze, axis=ones_of),
    shape_ops.broadcast_to: broadcasts(),
    shape_ops.pad: unary(shape_ops.pad, pad_width=widths, constant_values=lambda s: st.sampled_from([0.0, 7.0])),
    shape_ops.flip: unary(shape_ops.flip, **softened),
    shape_ops.tril: unary(shape_ops.tril, shape=some_shapes.filter(len), k=lambda s: st.integers(-2, 2)),
    shape_ops.triu: unary(shape_ops.triu, shape=some_shapes.filter(len), k=lambda s: st.integers(-2, 2)),
    shape_ops.astype: unary(shape_ops.astype, dtype=lambda s: st.just(np.float64)),
    shape_ops.getitem: selections(),
    shape_ops.place: placements(),
    shape_ops.take: takes(),
    shape_ops._concatenate: joins(shape_ops.concatenate, ragged=True),
    shape_ops._stack: joins(shape_ops.stack, ragged=False),
    shape_ops.split: cuts(),
    primitives()["minigrad.checkpoint._checkpointed"]: unary(minigrad.checkpoint(lambda x: x * ops.tanh(x))),
}
