"""Chapter 7: power iteration finds the largest curvature, up or down, of many inputs, and builds no Hessian."""

import numpy as np
import pytest

import minigrad as mg


@pytest.fixture(autouse=True)
def no_matrix(monkeypatch):
    """The Hessian is not to be had."""

    def refused(*args, **options):
        pytest.fail("this builds the whole Hessian: multiply it by a vector with mg.hvp instead")

    monkeypatch.setattr(mg, "hessian", refused)
    monkeypatch.setattr(mg, "jacobian", refused)


def test_curvature_of_a_sum_of_squares_is_the_largest_factor(answer):
    factors = np.append(np.linspace(0, 30, 999), 49.0)
    found = answer.largest_curvature(lambda x: 0.5 * mg.sum(factors * x * x), np.ones(1000))
    np.testing.assert_allclose(float(found), 49.0, rtol=1e-6)


def test_a_curvature_downwards_has_its_sign(answer):
    found = answer.largest_curvature(lambda x: x[0] ** 2 - 3 * x[1] ** 2, np.array([0.3, -0.2]))
    np.testing.assert_allclose(float(found), -6.0, rtol=1e-6)


def test_curvature_is_that_of_the_point(answer):
    A = np.array([[2.0, 1.0], [0.5, -1.0]])
    f = lambda x: mg.sum(mg.exp(A @ x))
    x = np.array([0.3, -0.2])
    expected = np.linalg.eigvalsh(A.T @ np.diag(np.exp(A @ x)) @ A).max()
    np.testing.assert_allclose(float(answer.largest_curvature(f, x)), expected, rtol=1e-6)
