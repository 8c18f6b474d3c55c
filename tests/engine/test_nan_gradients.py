"""A value that is NaN has no gradient of 0: the choices that a kink makes let NaN through."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg

NAN = math.nan
#: A function, and its slopes at -1, 0, 2 and inf.
CHOICES = {
    "relu": (mg.relu, [0.0, 0.0, 1.0, 1.0]),
    "maximum": (lambda x: mg.maximum(x, 0.0), [0.0, 0.5, 1.0, 1.0]),
    "maximum, second": (lambda x: mg.maximum(0.0, x), [0.0, 0.5, 1.0, 1.0]),
    "minimum": (lambda x: mg.minimum(x, 0.0), [1.0, 0.5, 0.0, 0.0]),
    "clip": (lambda x: mg.clip(x, -1.0, 1.0), [1.0, 1.0, 0.0, 0.0]),
    "abs": (mg.abs, [-1.0, 0.0, 1.0, 1.0]),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("copies", [1, 200])  # small, and large enough for masks by bits
@pytest.mark.parametrize(("f", "slopes"), CHOICES.values(), ids=CHOICES)
def test_nan_has_a_gradient_of_nan_and_all_else_its_own(f: Any, slopes: Any, copies: int, dtype: Any) -> None:
    x = np.tile(np.array([-1.0, NAN, 0.0, 2.0, math.inf], dtype), copies)
    expected = np.tile(np.array([slopes[0], NAN, *slopes[1:]], dtype), copies)
    slope = mg.grad(lambda x: f(x).sum())
    np.testing.assert_array_equal(slope(x).data, expected, strict=True)
    np.testing.assert_array_equal(mg.compile(slope)(x).data, expected, strict=True)


@pytest.mark.parametrize("f", [mg.max, mg.min], ids=["max", "min"])
def test_a_row_whose_extremum_is_nan_has_a_gradient_of_nan_and_others_theirs(f: Any) -> None:
    x = np.array([[1.0, NAN, 3.0], [2.0, 2.0, 2.0]])
    slope = mg.grad(lambda x: f(x, axis=1).sum())
    expected = [[NAN] * 3, [1 / 3] * 3]
    np.testing.assert_allclose(slope(x).data, expected)
    np.testing.assert_allclose(mg.compile(slope)(x).data, expected)


def test_the_second_derivative_goes_through_a_choice() -> None:
    f = lambda x: (mg.relu(x) ** 3 + mg.maximum(x, 0.5 * x) ** 2 + mg.clip(x, -5.0, 5.0) ** 2 + mg.max(x) ** 2).sum()
    expected = [[6 * 2 + 2 + 2 + 4, 0.0], [0.0, 0.5 + 2]]
    x = np.array([2.0, -1.0])
    np.testing.assert_allclose(mg.hessian(f)(x).data, expected)
    np.testing.assert_allclose(mg.compile(mg.hessian(f))(x).data, expected)


def test_the_root_of_nan_has_a_gradient_of_nan_unless_it_is_not_taken() -> None:
    x = np.array([NAN, 0.0, 4.0])
    np.testing.assert_array_equal(mg.grad(lambda x: mg.sqrt(x).sum())(x).data, [NAN, 0.0, 0.25])
    taken = lambda x: mg.where(np.array([False, True, True]), mg.sqrt(x), 0.0).sum()
    np.testing.assert_array_equal(mg.grad(taken)(x).data, [0.0, 0.0, 0.25])


def test_the_tangent_of_a_root_is_linear_in_its_cotangent() -> None:
    assert mg.jvp(mg.sqrt, (4.0,), (1.0,))[1].item() == 0.25


# --- where nothing is left to divide by ------------------------------------------------------------------------------


@pytest.mark.parametrize("ddof", [2, 3, 2.5])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's own, of the value
def test_a_variance_without_degrees_of_freedom_has_numpys_value_and_a_gradient_of_nan(ddof: Any) -> None:
    x = np.array([1.0, 2.0])
    value, slope = mg.value_and_grad(lambda x: mg.var(x, ddof=ddof))(x)
    np.testing.assert_array_equal(value.data, np.var(x, ddof=ddof))
    assert np.isnan(slope.data).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("f", [mg.mean, mg.var], ids=["mean", "var"])
@pytest.mark.parametrize("axis", [None, 0])
def test_the_mean_of_nothing_is_nan_and_its_gradient_empty(f: Any, axis: Any) -> None:
    value, slope = mg.value_and_grad(lambda x: f(x, axis=axis).sum())(np.ones((0, 2)))
    assert np.isnan(value.data)
    assert slope.shape == (0, 2)
