"""Derivatives of the third order of linear algebra, of matrices of every form, and where they do not exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import linalg
from minigrad.testing import check_grad

RECTANGULAR: dict[str, Any] = {
    "svdvals": linalg.svdvals,
    "nuclear norm": lambda a: linalg.norm(a, "nuc", axis=(-2, -1)),
    "spectral norm": lambda a: linalg.norm(a, 2, axis=(-2, -1)),
    "least singular value": lambda a: linalg.norm(a, -2, axis=(-2, -1)),
    "qr": lambda a: tuple(linalg.qr(a)),
}
SQUARE: dict[str, Any] = {
    "inv": linalg.inv,
    "det": linalg.det,
    "slogdet": lambda a: linalg.slogdet(a)[1],
    "solve": lambda a: linalg.solve(a, a @ a + 1),
    "matrix_power": lambda a: linalg.matrix_power(a, -2),
    "eigvalsh": linalg.eigvalsh,
    "eigh": lambda a: linalg.eigh(a)[1] ** 2,
    "cholesky": lambda a: linalg.cholesky(a @ linalg.matrix_transpose(a) + np.eye(a.shape[-1])),
}
SHAPES = [(1, 1), (1, 3), (3, 1), (2, 2), (2, 4), (4, 2), (2, 1, 3)]
CASES = [(name, shape) for name in RECTANGULAR for shape in SHAPES]
CASES += [(name, shape) for name in SQUARE for shape in ((1, 1), (2, 2))]


def drawn(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape)


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_third_derivatives_are_right_for_matrices_of_every_form(name: str, shape: tuple[int, ...]) -> None:
    check_grad((RECTANGULAR | SQUARE)[name], drawn(shape), order=3, mode="project", copies=False)


@pytest.mark.parametrize("shape", [(1, 3), (4, 2)])
@pytest.mark.parametrize("name", ["svdvals", "qr"])
def test_third_derivatives_are_the_same_compiled(name: str, shape: tuple[int, ...]) -> None:
    def third(a: Any) -> Any:
        g = lambda a: sum(mg.sum(mg.sin(part)) for part in mg.tree_leaves(RECTANGULAR[name](a)))
        h = lambda a: mg.sum(mg.sin(mg.grad(g)(a)))
        return mg.grad(lambda a: mg.sum(mg.cos(mg.grad(h)(a))))(a)

    a = drawn(shape)
    np.testing.assert_allclose(mg.compile(third)(a), third(a).data, rtol=1e-9, atol=1e-12)


def test_a_row_of_float32_keeps_its_dtype_in_the_third_derivative() -> None:
    s = lambda a: mg.sum(linalg.svdvals(a))
    third = mg.grad(lambda a: mg.sum(mg.grad(lambda a: mg.sum(mg.grad(s)(a) ** 2))(a)))
    g = third(drawn((1, 3)).astype(np.float32))
    assert g.dtype == np.float32
    assert np.isfinite(g.data).all()


Q = np.linalg.qr(drawn((3, 3)))[0]
REPEATED: dict[str, Any] = {
    "nuclear norm, of rotations": (RECTANGULAR["nuclear norm"], Q),
    "nuclear norm, of a part of one": (RECTANGULAR["nuclear norm"], Q[:2]),
    "Σ s²": (lambda a: mg.sum(linalg.svdvals(a) ** 2), np.eye(3)),
    "Σ w³": (lambda a: mg.sum(linalg.eigvalsh(a) ** 3), np.eye(3)),
    "eigenvectors, equal but for rounding": (lambda a: linalg.eigh(a)[1][0, 0], Q @ np.diag([1.0, 1.0, 2.0]) @ Q.T),
    "a least value of 0": (RECTANGULAR["least singular value"], np.outer([1.0, 2.0, 3.0], [1.0, 2.0])),
}


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.filterwarnings("ignore:.*(divide by zero|invalid value)")
def test_a_second_derivative_that_equal_values_take_away_is_not_finite(name: str) -> None:
    f, a = REPEATED[name]
    order = mg.hessian(f)(a) if "eigenvectors" not in name else mg.grad(f)(a)
    assert not np.isfinite(order.data).all()


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (3, 3)])
def test_values_that_are_of_no_account_may_be_equal(shape: tuple[int, int]) -> None:
    m, n = shape
    check_grad(RECTANGULAR["spectral norm"], drawn((m, 1)) @ drawn((1, n)), order=2)  # all others are 0
    u = drawn((m, 1))
    check_grad(lambda a: linalg.eigvalsh(a)[-1], np.eye(m) + u @ u.T, order=2)  # all others are 1
