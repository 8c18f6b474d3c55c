"""The gradient table: for each primitive, how hypothesis draws a call of it."""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from draw import (
    Shape,
    anywhere,
    axis_of,
    deep_shapes,
    distinct,
    full_shapes,
    generators,
    indices,
    integers_within,
    nonzero,
    off_grid,
    on_grid,
    one_axis,
    positive,
    some_shapes,
)
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad
from minigrad import Primitive, einsum, ops, shapes


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
    modules = [import_module(f"minigrad.{module.name}") for module in pkgutil.iter_modules(minigrad.__path__)]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Primitive) and value.pure and module.__name__ != "minigrad.program"
    }


# --- families of cases ----------------------------------------------------------------------------------------------


@st.composite
def unary(draw: Any, f: Any, values: Any = anywhere, shape: Any = some_shapes, **static: Any) -> Case:
    """f(x, **static); a static argument that is a function of x's shape gives a strategy for its value."""
    size = draw(shape)
    chosen = {name: draw(value(size)) for name, value in static.items()}
    return Case(lambda x: f(x, **chosen), (values(draw(generators), size),), chosen)


@st.composite
def binary(draw: Any, f: Any, left: Any = anywhere, right: Any = anywhere) -> Case:
    sizes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3)).input_shapes
    rng = draw(generators)
    return Case(f, (left(rng, sizes[0]), right(rng, sizes[1])))


def reduction(f: Any, values: Any = anywhere, shape: Any = some_shapes, **static: Any) -> st.SearchStrategy[Case]:
    return unary(f, values, shape, axis=lambda s: axis_of(len(s)), keepdims=lambda s: st.booleans(), **static)


@st.composite
def power_to_a_number(draw: Any) -> Case:
    exponent = draw(st.sampled_from([-2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3]))
    values = nonzero if isinstance(exponent, int) else positive
    return Case(lambda x: ops.power(x, exponent), (values(draw(generators), draw(some_shapes)),), exponent)


@st.composite
def choices(draw: Any) -> Case:
    sizes = draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=2, min_side=0, max_side=3)).input_shapes
    rng = draw(generators)
    mask = rng.random(sizes[0]) < 0.5
    return Case(lambda x, y: ops.where(mask, x, y), (anywhere(rng, sizes[1]), anywhere(rng, sizes[2])), mask)


@st.composite
def products(draw: Any) -> Case:
    signature = np.matmul.signature  # vectors, matrices, batches of matrices, batches that broadcast
    sizes = draw(hnp.mutually_broadcastable_shapes(signature=signature, max_dims=2, min_side=0, max_side=3))
    rng = draw(generators)
    return Case(ops.matmul, tuple(anywhere(rng, s) for s in sizes.input_shapes))


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
def sums_of_products(draw: Any) -> Case:
    equation = draw(st.sampled_from(EQUATIONS))
    letters = "".join(sorted({c for c in equation if c.isalpha()}))
    size = dict(zip(letters, draw(st.tuples(*[st.integers(0, 3) for _ in letters]))))
    terms = equation.partition("->")[0].split(",")
    dots = draw(hnp.mutually_broadcastable_shapes(num_shapes=len(terms), max_dims=2, max_side=2)).input_shapes
    rng, inputs = draw(generators), []
    for term, extra in zip(terms, dots):
        plain = term.replace("...", "")
        ones = {
            c for c in plain if len(terms) > 1 and plain.count(c) == 1 and draw(st.integers(0, 2)) == 0
        }  # broadcast
        head, ellipsis, tail = term.partition("...")
        whole = [[1 if c in ones else size[c] for c in part] for part in (head, tail)]
        inputs.append(anywhere(rng, (*whole[0], *(extra if ellipsis else ()), *whole[1])))
    return Case(lambda *xs: einsum(equation, *xs), tuple(inputs), equation)


# --- shapes ---------------------------------------------------------------------------------------------------------


@st.composite
def reshapes(draw: Any) -> Case:
    size = draw(some_shapes)
    n = math.prod(size)
    forms: list[Any] = [size[::-1], (n,), n, (1, n, 1), size]
    forms += [-1, (-1,), (1, -1)] if n else []
    shape = draw(st.sampled_from(forms + ([(2, n // 2), (-1, 2)] if n and n % 2 == 0 else [])))
    return Case(lambda x: shapes.reshape(x, shape), (anywhere(draw(generators), size),), shape)


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
    return Case(lambda x: shapes.moveaxis(x, *ends), (anywhere(draw(generators), size),), ends)


@st.composite
def swaps(draw: Any) -> Case:
    size = draw(some_shapes.filter(len))
    axes = draw(one_axis(len(size))), draw(one_axis(len(size)))
    return Case(lambda x: shapes.swapaxes(x, *axes), (anywhere(draw(generators), size),), axes)


def ones_of(shape: Shape) -> st.SearchStrategy[Any]:
    """What np.squeeze may take away."""
    ones = [k for k, n in enumerate(shape) if n == 1]
    return st.none() | st.lists(st.sampled_from(ones), unique=True).map(tuple) if ones else st.none()


@st.composite
def broadcasts(draw: Any) -> Case:
    size, shape = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3))[0]
    shape = np.broadcast_shapes(size, shape)
    return Case(lambda x: shapes.broadcast_to(x, shape), (anywhere(draw(generators), size),), shape)


def widths(shape: Shape) -> st.SearchStrategy[Any]:
    pair = st.tuples(st.integers(0, 2), st.integers(0, 2))
    each = [st.tuples(*[pair] * len(shape))] if shape else []
    return st.one_of(st.integers(0, 2), pair, pair.map(lambda p: (p,)), *each)


# --- parts and wholes -----------------------------------------------------------------------------------------------


@st.composite
def selections(draw: Any) -> Case:
    size = draw(some_shapes)
    index = draw(indices(size))
    return Case(lambda x: shapes.getitem(x, index), (anywhere(draw(generators), size),), index)


@st.composite
def placements(draw: Any) -> Case:
    size = draw(full_shapes)
    chosen = tuple(draw(st.lists(indices(size), min_size=1, max_size=2)))
    rng, whole = draw(generators), np.zeros(size)
    gs = tuple(anywhere(rng, np.shape(whole[index])) for index in chosen)
    return Case(lambda *gs: shapes.place(*gs, indices=chosen, shape=size, dtype=gs[0].dtype), gs, chosen)


@st.composite
def takes(draw: Any) -> Case:
    size = draw(full_shapes)
    axis = draw(st.none() | one_axis(len(size))) if size else None
    n = math.prod(size) if axis is None else size[axis]
    chosen = draw(st.one_of(integers_within(n), st.integers(-n, n - 1)))
    return Case(lambda x: shapes.take(x, chosen, axis), (anywhere(draw(generators), size),), (chosen, axis))


@st.composite
def joins(draw: Any, f: Any, ragged: bool) -> Case:
    size = draw(some_shapes.filter(len) if ragged else some_shapes)
    axis = draw(one_axis(len(size) + (not ragged)))
    rng, inputs = draw(generators), []
    for _ in range(draw(st.integers(1, 3))):
        own = list(size)
        if ragged:
            own[axis] = draw(st.integers(0, 2))
        inputs.append(anywhere(rng, tuple(own)))
    return Case(lambda *xs: f(xs, axis), tuple(inputs), axis)


@st.composite
def cuts(draw: Any) -> Case:
    size = draw(some_shapes.filter(len))
    axis = draw(one_axis(len(size)))
    n = size[axis]
    equal = st.sampled_from([k for k in range(1, max(n, 2) + 1) if n % k == 0])
    sections = draw(equal | st.lists(st.integers(-n - 1, n + 1), max_size=3))
    return Case(lambda x: shapes.split(x, sections, axis), (anywhere(draw(generators), size),), (sections, axis))


# --- the table ------------------------------------------------------------------------------------------------------

along = {"axis": lambda s: one_axis(len(s)) | st.just(None) if s else st.none()}
softened = {"axis": lambda s: axis_of(len(s))}

TABLE: dict[Any, st.SearchStrategy[Case]] = {
    ops.add: binary(ops.add),
    ops.subtract: binary(ops.subtract),
    ops.multiply: binary(ops.multiply),
    ops.divide: binary(ops.divide, anywhere, nonzero),
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
    ops.max: reduction(ops.max, distinct, full_shapes),
    ops.min: reduction(ops.min, distinct, full_shapes),
    ops.cumsum: unary(ops.cumsum, **along),
    ops.logsumexp: reduction(ops.logsumexp, shape=full_shapes),
    ops.softmax: unary(ops.softmax, **softened),
    ops.log_softmax: unary(ops.log_softmax, **softened),
    ops.norm: reduction(ops.norm, positive, full_shapes),
    ops.matmul: products(),
    primitives()["minigrad.einsum._einsum"]: sums_of_products(),
    shapes.reshape: reshapes(),
    shapes.transpose: unary(shapes.transpose, shape=some_shapes | deep_shapes, axes=order_of_axes),
    shapes.swapaxes: swaps(),
    shapes.moveaxis: moves(),
    shapes.expand_dims: unary(shapes.expand_dims, axis=lambda s: st.sampled_from([0, -1, (0, 1), (-1, 0), len(s)])),
    shapes.squeeze: unary(shapes.squeeze, axis=ones_of),
    shapes.broadcast_to: broadcasts(),
    shapes.pad: unary(shapes.pad, pad_width=widths, constant_values=lambda s: st.sampled_from([0.0, 7.0])),
    shapes.flip: unary(shapes.flip, **softened),
    shapes.tril: unary(shapes.tril, shape=some_shapes.filter(len), k=lambda s: st.integers(-2, 2)),
    shapes.triu: unary(shapes.triu, shape=some_shapes.filter(len), k=lambda s: st.integers(-2, 2)),
    shapes.astype: unary(shapes.astype, dtype=lambda s: st.just(np.float64)),
    shapes.getitem: selections(),
    shapes.place: placements(),
    shapes.take: takes(),
    shapes._concatenate: joins(shapes.concatenate, ragged=True),
    shapes._stack: joins(shapes.stack, ragged=False),
    shapes.split: cuts(),
}
