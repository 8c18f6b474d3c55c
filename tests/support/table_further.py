"""The gradient table, continued: NumPy's further functions, activations and linear algebra."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from draw import anywhere, deep_shapes, nonzero, off_grid, on_grid, positive, some_shapes
from hypothesis import strategies as st
from table import Case, Shape, along, binary, primitives, reduction, unary

import minigrad as mg
from minigrad import linalg, reductions
from minigrad.testing import arrays, axis_of

fractions = partial(arrays, low=-0.8, high=0.8)
greater_than_1 = partial(arrays, low=1.3, high=2.5)
OWN = {name.removeprefix("minigrad."): p for name, p in primitives().items()}


def with_zeros(shape: Shape) -> st.SearchStrategy[np.ndarray]:
    return anywhere(shape) | on_grid(shape)


# --- families of cases ----------------------------------------------------------------------------------------------


@st.composite
def rolls(draw: Any) -> Case:
    size = draw(some_shapes.filter(len) | deep_shapes)
    axis = draw(st.none() | axis_of(size) | st.lists(axis_of(size), min_size=1, max_size=2).map(tuple))
    shift: Any = draw(st.integers(-4, 4))
    if isinstance(axis, tuple):
        shift = tuple(draw(st.integers(-4, 4)) for _ in axis)
    return Case(lambda x: mg.roll(x, shift, axis), (draw(anywhere(size)),), (shift, axis))


@st.composite
def turns(draw: Any) -> Case:
    square = st.sampled_from([(2, 2), (3, 3)])  # where the axes of a gradient can be exchanged unseen
    size = draw(square | some_shapes.filter(lambda s: len(s) > 1) | deep_shapes)
    axes = tuple(draw(st.permutations(range(len(size))))[:2])
    k = draw(st.integers(-3, 4))
    return Case(lambda x: mg.rot90(x, k, axes), (draw(anywhere(size)),), (k, axes))


@st.composite
def recurrences(draw: Any) -> Case:
    size = draw(some_shapes.filter(len))
    return Case(OWN["reductions._recurrence"], (draw(with_zeros(size)), draw(anywhere(size))))


@st.composite
def convolutions(draw: Any) -> Case:
    n, m = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    mode = draw(st.sampled_from(["full", "full", "same", "valid"]))
    function = lambda a, v: mg.convolve(a, v, mode)
    return Case(function if mode != "full" else OWN["products._convolve"], (draw(anywhere((n,))), draw(anywhere((m,)))))


# --- linear algebra -------------------------------------------------------------------------------------------------

sides = st.sampled_from([2, 3, 2, 3, 1, 0])
batches = st.sampled_from([(), (2,), (3,)])


@st.composite
def matrices(draw: Any, n: int, m: int | None = None, lead: Shape = ()) -> np.ndarray:
    """Matrices far from diagonal ones, whose eigenvalues, and singular values, are apart: about 1, 2, 3."""
    m = n if m is None else m
    noise = draw(arrays((*lead, n, m), low=-0.12, high=0.12))
    return np.asarray(noise + 0.25 + np.eye(n, m) * np.arange(1.0, m + 1))


@st.composite
def of_matrix(draw: Any, f: Any, symmetric: bool = False) -> Case:
    n = draw(sides)
    a = draw(matrices(n, lead=draw(batches)))
    return Case(f, (0.5 * (a + np.swapaxes(a, -1, -2)) if symmetric else a,))


@st.composite
def pairs_of_matrices(draw: Any) -> Case:
    n, lead = draw(st.sampled_from([2, 3, 0])), draw(batches)  # of one row it is 0, all its slopes rounding
    return Case(OWN["determinants._minors"], (draw(matrices(n, lead=lead)), draw(matrices(n, lead=lead))))


@st.composite
def of_tall_matrix(draw: Any, f: Any, wide: bool = False) -> Case:
    shapes = st.integers(1, 3).flatmap(lambda n: st.tuples(st.integers(1 if wide else n, 4), st.just(n)))
    m, n = draw(st.sampled_from([(2, 2), (3, 3)]) | shapes)
    return Case(f, (draw(matrices(m, n, draw(batches))),))


@st.composite
def systems(draw: Any) -> Case:
    n, k, lead = draw(sides), draw(st.integers(0, 2)), draw(batches)
    a, b = draw(matrices(n, lead=draw(st.sampled_from([(), lead])))), draw(anywhere((*lead, n, k)))
    return Case(OWN["linalg._solve"], (a, b))


# --- the table ------------------------------------------------------------------------------------------------------

FURTHER: dict[Any, st.SearchStrategy[Case]] = {
    mg.tan: unary(mg.tan, fractions),
    mg.arcsin: unary(mg.arcsin, fractions),
    mg.arccos: unary(mg.arccos, fractions),
    mg.arctan: unary(mg.arctan),
    mg.arctan2: binary(mg.arctan2, nonzero, nonzero),
    mg.deg2rad: unary(mg.deg2rad),
    mg.rad2deg: unary(mg.rad2deg),
    mg.sinc: unary(mg.sinc),
    mg.sinh: unary(mg.sinh),
    mg.cosh: unary(mg.cosh),
    mg.arcsinh: unary(mg.arcsinh),
    mg.arccosh: unary(mg.arccosh, greater_than_1),
    mg.arctanh: unary(mg.arctanh, fractions),
    mg.exp2: unary(mg.exp2),
    mg.log2: unary(mg.log2, positive),
    mg.log10: unary(mg.log10, positive),
    mg.reciprocal: unary(mg.reciprocal, nonzero),
    mg.cbrt: unary(mg.cbrt, nonzero),
    mg.hypot: binary(mg.hypot, nonzero, nonzero),
    mg.logaddexp: binary(mg.logaddexp),
    mg.logaddexp2: binary(mg.logaddexp2),
    mg.fmax: binary(mg.fmax, on_grid, off_grid),
    mg.fmin: binary(mg.fmin, on_grid, off_grid),
    mg.roll: rolls(),
    mg.rot90: turns(),
    mg.prod: reduction(mg.prod, with_zeros),
    mg.cumprod: unary(mg.cumprod, with_zeros, **along),
    reductions._recurrence: recurrences(),
    OWN["products._convolve"]: convolutions(),
    mg.erf: unary(mg.erf),
    mg.erfc: unary(mg.erfc),
    mg.elu: unary(mg.elu, nonzero, alpha=lambda s: st.sampled_from([1.0, 0.5])),
    linalg.inv: of_matrix(linalg.inv),
    OWN["linalg._solve"]: systems(),
    linalg.det: of_matrix(linalg.det),
    OWN["determinants._cofactors"]: of_matrix(OWN["determinants._cofactors"]),
    OWN["determinants._minors"]: pairs_of_matrices(),
    OWN["determinants._logabsdet"]: of_matrix(OWN["determinants._logabsdet"]),
    OWN["linalg._cholesky"]: of_matrix(linalg.cholesky, symmetric=True),
    OWN["linalg._qr"]: of_tall_matrix(OWN["linalg._qr"]),
    OWN["linalg._eigh"]: of_matrix(OWN["linalg._eigh"], symmetric=True),
    linalg.eigvalsh: of_matrix(linalg.eigvalsh, symmetric=True),
    OWN["singular_values._svd"]: of_tall_matrix(OWN["singular_values._svd"], wide=True),
    linalg.svdvals: of_tall_matrix(linalg.svdvals, wide=True),
}
