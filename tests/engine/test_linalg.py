"""Linear algebra where rules have no value, and what is refused."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import check_grad

linalg = mg.linalg
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])
R = np.random.default_rng(0)


def leaf(x: Any) -> mg.Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


@pytest.mark.parametrize(
    "call",
    [linalg.inv, lambda a: linalg.solve(a, np.ones(2)), linalg.cholesky,
     mg.grad(lambda a: linalg.slogdet(np.array([[1.0, 2.0], [2.0, 4.0]]) + 0 * a).logabsdet)],
    ids=["inv", "solve", "cholesky of an indefinite", "slogdet's gradient"],
)  # fmt: skip
def test_a_singular_matrix_raises_numpys_error_with_shape_and_name(call: Any) -> None:
    with (
        np.errstate(divide="ignore"),
        pytest.raises(np.linalg.LinAlgError, match=r"(inv|solve|cholesky): \(2, 2\) float64"),
    ):
        call(mg.tensor(np.array([[-1.0, -2.0], [-2.0, -4.0]]), requires_grad=True))


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("lead", [(), (2,)], ids=["one", "batch"])
def test_a_determinant_has_both_derivatives_at_any_rank_and_batch(rank: int, lead: Any) -> None:
    a = R.standard_normal((*lead, 4, rank)) @ R.standard_normal((*lead, rank, 4))
    check_grad(lambda a: linalg.det(a) + mg.sum(a * a, axis=(-2, -1)), a, order=2)  # never rounding alone


def test_the_gradient_of_a_determinant_is_made_of_cofactors() -> None:
    a = np.arange(9.0).reshape(3, 3)  # singular
    minor = lambda i, j: np.linalg.det(np.delete(np.delete(a, i, 0), j, 1))
    expected = [[(-1) ** (i + j) * minor(i, j) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(mg.grad(linalg.det)(a).data, expected, atol=1e-12)
    np.testing.assert_allclose(mg.grad(linalg.det)(SINGULAR).data, [[4, -2], [-2, 1]], atol=1e-14)
    np.testing.assert_array_equal(mg.grad(linalg.det)(np.float32(SINGULAR)).dtype, np.float32)
    H = mg.hessian(linalg.det)(SINGULAR).data
    assert (H[0, 0, 1, 1], H[0, 1, 1, 0]) == pytest.approx((1, -1))
    assert np.abs(H).sum() == pytest.approx(4)


def test_further_derivatives_of_a_determinant_are_there_where_the_matrix_is_regular() -> None:
    cubed = lambda a: mg.sum(mg.grad(lambda a: mg.sum(mg.grad(linalg.det)(a) ** 2))(a) ** 2)
    check_grad(cubed, R.standard_normal((3, 3)), order=2)
    with pytest.raises(np.linalg.LinAlgError, match=r"third derivative of det is there for regular matrices only"):
        mg.grad(cubed)(np.ones((3, 3)))


def test_the_logarithm_of_a_determinant_says_that_it_has_no_derivative_at_a_singular_matrix() -> None:
    with pytest.raises(np.linalg.LinAlgError, match=r"log\|a\| is -inf .* no derivative there; mg.linalg.det has one"):
        mg.grad(lambda a: linalg.slogdet(a).logabsdet)(SINGULAR)


def test_determinants_of_singular_matrices_have_values() -> None:
    assert linalg.det(leaf(SINGULAR)).item() == 0
    sign, logabsdet = linalg.slogdet(leaf(SINGULAR))
    assert (sign, logabsdet.item()) == (0, -math.inf)


def test_repeated_eigenvalues_have_a_gradient_and_their_vectors_say_that_they_have_none() -> None:
    a = leaf(np.eye(3))
    linalg.eigvalsh(a).sum().backward()
    np.testing.assert_allclose(a.grad, np.eye(3), atol=1e-15)
    a.grad = None
    w, v = linalg.eigh(a)
    mg.sum(w).backward()
    np.testing.assert_allclose(a.grad, np.eye(3), atol=1e-15)
    with pytest.warns(RuntimeWarning):
        (v[0, 1] + v[1, 0] * 2).backward()
    assert not np.isfinite(a.grad).all()


def test_results_have_numpys_names() -> None:
    a = leaf([[2.0, 1.0], [1.0, 3.0]])
    assert linalg.eigh(a)._fields == ("eigenvalues", "eigenvectors")
    assert linalg.qr(a)._fields == ("Q", "R")
    assert linalg.slogdet(a)._fields == ("sign", "logabsdet")
    assert np.linalg.eigh(a).eigenvalues.primitive is mg.getitem


def test_gradients_at_symmetric_matrices_are_symmetric() -> None:
    a = np.array([[2.0, 0.5], [0.5, 1.0]])
    for f in (linalg.cholesky, linalg.eigvalsh, lambda a: linalg.eigh(a)[1]):
        x = leaf(a)
        f(x)[..., 0].sum().backward()
        np.testing.assert_array_equal(x.grad, x.grad.T)


@pytest.mark.parametrize("n", [0, 1])
def test_matrices_of_no_or_one_row_have_gradients(n: int) -> None:
    a = 2 * np.eye(n)
    for f in (linalg.inv, linalg.det, linalg.cholesky, linalg.eigh, linalg.qr, lambda a: linalg.slogdet(a)[1],
              lambda a: linalg.solve(a, np.ones((n, 2))), lambda a: linalg.matrix_power(a, 3)):  # fmt: skip
        check_grad(f, a, order=2)


def test_norms_of_zeros_share_the_gradient_or_have_none() -> None:
    for ord_, expected in [(None, 0), (1, 0), (2, 0), (3, 0), (math.inf, 0)]:
        x = leaf(np.zeros(3))
        linalg.norm(x, ord_).backward()
        np.testing.assert_array_equal(x.grad, np.full(3, expected))
    x = leaf([2.0, -2.0, 1.0])
    linalg.norm(x, math.inf).backward()
    np.testing.assert_array_equal(x.grad, [0.5, -0.5, 0])


def test_the_largest_singular_value_of_a_matrix_of_low_rank_has_its_gradient() -> None:
    x = leaf(np.outer([3.0, 4.0], [1.0, 0.0]))
    linalg.norm(x, 2).backward()
    np.testing.assert_allclose(x.grad, np.outer([0.6, 0.8], [1.0, 0.0]), atol=1e-12)


def test_the_number_of_entries_that_are_not_0_is_a_plain_array() -> None:
    assert linalg.norm(leaf([2.0, 0.0, 1.0]), 0) == 2
    assert not isinstance(linalg.norm(leaf([2.0, 0.0, 1.0]), 0), mg.Tensor)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: linalg.norm(a, "fro", 0), "'fro' is a norm of matrices"),
        (lambda a: linalg.norm(a, 3), "of matrices ord must be"),
        (lambda a: linalg.norm(mg.stack([a, a]), 1), r"needs vectors or matrices.*\(2, 2, 2\)"),
        (lambda a: linalg.norm(a, axis=2), "norm: there is no axis 2"),
        (lambda a: linalg.qr(a, "complete"), '"reduced" or "r", got \'complete\''),
        (lambda a: linalg.matrix_power(a[0], 2), r"square matrices, got shape \(2,\)"),
        (lambda a: linalg.solve(a, np.ones(3)), r"solve: \(2, 2\) float64 and \(3, 1\)"),
        (lambda a: linalg.inv(a[:1]), r"inv: \(1, 2\) float64"),
        (lambda a: mg.tensordot(a, np.ones(3), 1), r"\(2, 2\) and \[0\] of \(3,\) have different sizes"),
        (lambda a: mg.tensordot(a, a, 3), "there are no 3 axes"),
        (lambda a: mg.convolve(a, a), r"two vectors with entries, got shapes \(2, 2\)"),
        (lambda a: mg.convolve(a[0], a[0], "whole"), "full, same, valid, got 'whole'"),
        (lambda a: mg.vecdot(a, np.ones(3)), "the vectors have 2 and 3 entries"),
        (lambda a: mg.diagonal(a, 0, 1, -1), r"two different axes, got 1 and -1"),
        (lambda a: mg.diag(mg.stack([a, a])), r"a vector or a matrix, got shape \(2, 2, 2\)"),
        (lambda a: mg.repeat(a, -1), "must not be negative, got -1"),
        (lambda a: mg.repeat(a, 2, axis=2), "repeat: there is no axis 2"),
        (lambda a: mg.array_split(a, 0), "must be positive, got 0"),
        (lambda a: mg.take_along_axis(a, np.array([0]), 0), r"integers with 2 axes.*got int64 of shape \(1,\)"),
        (lambda a: mg.select([a > 0], [a, a]), "1 conditions for 2 choices"),
        (lambda a: mg.average(a, 0, np.ones(3)), r"weights of shape \(3,\) fit neither shape \(2, 2\)"),
        (lambda a: mg.diff(a, -1), "n must not be negative, got -1"),
    ],
)  # fmt: skip
def test_misuse_names_the_argument_its_value_and_what_is_possible(call: Any, message: str) -> None:
    with pytest.raises((ValueError, IndexError), match=message):
        call(leaf([[2.0, 1.0], [1.0, 3.0]]))


@pytest.mark.parametrize("f", [linalg.eigh, linalg.eigvalsh, linalg.cholesky])
@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (2, 1, 3), (0, 1), (2, 3), (3,)])
def test_what_is_no_square_matrix_is_refused_and_not_broadcast_to_one(f: Any, shape: tuple[int, ...]) -> None:
    for wrap in (lambda f: f, mg.compile):
        with pytest.raises(np.linalg.LinAlgError, match=re.escape(str(shape))):
            wrap(f)(leaf(np.full(shape, 2.0)))


@pytest.mark.parametrize("f", [linalg.norm, lambda x, p: linalg.vector_norm(x, ord=p), np.linalg.norm])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_an_order_of_a_norm_that_is_a_tensor_is_refused_since_it_would_get_no_gradient(f: Any, p: float) -> None:
    with pytest.raises(TypeError, match=r"norm: ord must be a number, got a Tensor, \(\) float64; write mg.sum"):
        f(leaf([1.0, 2.0]), leaf(p))


@pytest.mark.parametrize("entry", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slopes_of_determinants_of_matrices_that_are_not_finite_are_nan_in_a_batch_alone(
    entry: float, dtype: Any
) -> None:
    regular = np.array([[2.0, 1.0, 0.5], [0.0, 3.0, 1.0], [1.0, -1.0, 2.0]], dtype)
    broken = regular.copy()
    broken[0, 0] = entry
    gradient = mg.grad(lambda a: mg.linalg.det(a).sum())
    with np.errstate(invalid="ignore"):
        found = gradient(np.stack([broken, regular])).data
        second = mg.grad(lambda a: (gradient(a)[1] ** 2).sum())(np.stack([broken, regular])).data
    assert found.dtype == dtype
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], gradient(regular).data)
    np.testing.assert_allclose(second[1], mg.grad(lambda a: (gradient(a) ** 2).sum())(regular).data, rtol=1e-5)
