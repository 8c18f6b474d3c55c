"""Numbers that are right where formulas written down plainly are not, in the functions of the second table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import check_grad

INF, NAN = math.inf, math.nan
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


def gradient(f: Any, x: Any, dtype: Any = float) -> np.ndarray:
    t = leaf(x, dtype)
    f(t).sum().backward()
    assert t.grad is not None
    return t.grad


# --- kinks, and where slopes are infinite ----------------------------------------------------------------------------

AT_ZERO = {
    "cbrt": (mg.cbrt, 0.0, 0.0),
    "hypot": (lambda x: mg.hypot(x, x), 0.0, 0.0),
    "arctan2 of 0 and x": (lambda x: mg.arctan2(0.0, x), 0.0, 0.0),
    "arctan2 of x and 0": (lambda x: mg.arctan2(x, 0.0), 0.0, 0.0),
    "copysign": (lambda x: mg.copysign(x, -1.0), -0.0, -1.0),
    "sinc": (mg.sinc, 1.0, 0.0),
    "std": (lambda x: mg.std(mg.stack([x, x])), 0.0, 0.0),
    "fmax": (lambda x: mg.fmax(x, 0.0), 0.0, 0.5),
    "fmin": (lambda x: mg.fmin(0.0, x), 0.0, 0.5),
    "elu": (lambda x: mg.elu(x, alpha=0.5), 0.0, 0.5),
    "leaky_relu": (lambda x: mg.leaky_relu(x, 0.25), 0.0, 0.25),
    "hardtanh at its bound": (lambda x: mg.hardtanh(x, 0.0, 1.0), 0.0, 1.0),
    "hardsigmoid at its bound": (lambda x: mg.hardsigmoid(x + 3.0), 1.0, 1 / 6),
    "linalg.norm": (lambda x: mg.linalg.norm(mg.stack([x, x]), 2), 0.0, 0.0),
    "linalg.norm 3": (lambda x: mg.linalg.norm(mg.stack([x, x]), 3), 0.0, 0.0),
    "linalg.norm inf": (lambda x: mg.linalg.norm(mg.stack([x, x]), INF), 0.0, 0.0),
}


@dtypes
@pytest.mark.parametrize(("f", "value", "slope"), AT_ZERO.values(), ids=AT_ZERO)
def test_at_0_value_and_documented_subgradient_are_exact(f: Any, value: float, slope: float, dtype: Any) -> None:
    assert f(leaf(0.0, dtype)).item() == value
    assert gradient(f, 0.0, dtype) == dtype(slope)
    assert np.isfinite(mg.grad(mg.grad(f))(0.0).item())


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [(mg.arcsin, 1.0, INF), (mg.arccos, -1.0, -INF), (mg.arccosh, 1.0, INF), (mg.log2, 0.0, INF), (mg.log10, 0.0, INF)],
    ids=lambda p: getattr(p, "name", ""),
)
def test_a_slope_that_is_infinite_is_so_in_the_gradient(f: Any, at: float, slope: float) -> None:
    with np.errstate(divide="ignore"):
        assert gradient(f, at) == slope


UNTAKEN = {
    "arcsin": (mg.arcsin, 2.0), "arccos": (mg.arccos, 1.0), "arccosh": (mg.arccosh, 0.5), "arctanh": (mg.arctanh, 1.0),
    "log2": (mg.log2, 0.0), "log10": (mg.log10, -1.0), "reciprocal": (mg.reciprocal, 0.0), "sinh": (mg.sinh, 1e4),
    "cosh": (mg.cosh, 1e4), "exp2": (mg.exp2, 1e5), "cbrt": (mg.cbrt, 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("f", "bad"), UNTAKEN.values(), ids=UNTAKEN)
def test_a_branch_that_where_did_not_take_has_gradient_0(f: Any, bad: float) -> None:
    good = 1.5 if f is mg.arccosh else 0.5
    with np.errstate(all="ignore"):  # the forward call may overflow or divide by 0, as NumPy does
        g = gradient(lambda t: mg.where(np.array([False, True]), f(t), 0.0), [bad, good])
    np.testing.assert_array_equal(g, [0, gradient(f, [good])[0]])


def test_derivatives_of_sinc_at_0_and_near_it_are_those_of_its_series() -> None:
    for n, value in enumerate([1.0, 0.0, -(math.pi**2) / 3, 0.0, math.pi**4 / 5]):
        np.testing.assert_allclose(mg.sinc(np.array([0.0, 1e-9]), order=n), value, atol=1e-7)
    check_grad(mg.sinc, np.array([0.0, 1e-4, -0.3, 0.6366, 0.64, 5.0]), order=3)


@dtypes
def test_large_numbers_have_finite_slopes(dtype: Any) -> None:
    large = float(np.finfo(dtype).max) / 4
    with np.errstate(over="ignore"):
        assert gradient(mg.arctan, large, dtype) == 0
    np.testing.assert_allclose(gradient(mg.arcsinh, large, dtype), 1 / large, rtol=1e-6)
    np.testing.assert_allclose(gradient(mg.arccosh, large, dtype), 1 / large, rtol=1e-6)
    np.testing.assert_allclose(gradient(lambda x: mg.hypot(x, x), large, dtype), math.sqrt(2), rtol=1e-6)
    assert gradient(lambda x: mg.arctan2(x, x), large, dtype) == 0


@pytest.mark.parametrize("f", [mg.logaddexp, mg.logaddexp2], ids=lambda f: f.name)
@pytest.mark.parametrize(
    ("x", "y", "slopes"),
    [
        (1e4, -1e4, (1, 0)), (0.0, 0.0, (0.5, 0.5)), (-INF, 1.0, (0, 1)), (-INF, -INF, (0, 0)), (INF, 1.0, (1, 0)),
    ],
)  # fmt: skip
def test_logarithms_of_sums_of_exponentials_have_exact_slopes_at_extremes(
    f: Any, x: float, y: float, slopes: Any
) -> None:
    for a, b, expected in [(x, y, slopes), (y, x, slopes[::-1])]:
        assert [g.item() for g in mg.grad(f, (0, 1))(a, b)] == list(expected)


@pytest.mark.parametrize("f", [mg.logaddexp, mg.logaddexp2], ids=lambda f: f.name)
@pytest.mark.parametrize(
    ("dtype", "large"), [(np.float16, 3000.0), (np.float16, 100.03), (np.float32, 1e8), (np.float64, -1e17)], ids=str
)
def test_equal_numbers_share_the_slope_of_their_sum_of_exponentials_however_large(
    f: Any, dtype: Any, large: float
) -> None:
    x = np.full((), large, dtype)
    assert [g.item() for g in mg.grad(f, (0, 1))(x, x)] == [0.5, 0.5]
    second = math.log(2) / 4 if f is mg.logaddexp2 else 1 / 4
    np.testing.assert_allclose(mg.hessian(lambda z: f(*z))([x, x])[1][1].data, second, rtol=1e-3)


@pytest.mark.parametrize(("f", "slope"), [(mg.arctan, 1 / 90001), (mg.arcsinh, 1 / 300)], ids=["arctan", "arcsinh"])
def test_slopes_of_large_half_floats_do_not_vanish_where_their_square_overflows(f: Any, slope: float) -> None:
    np.testing.assert_allclose(gradient(f, 300.0, np.float16), slope, rtol=0.01)


# --- zeros among factors, NaN among numbers --------------------------------------------------------------------------


@pytest.mark.parametrize("x", [[2.0, 0.0, 5.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0], [-1.5, 2.0, 3.0], [4.0], []], ids=str)
def test_products_have_right_derivatives_at_zeros(x: Any) -> None:
    others = [math.prod(x[:k] + x[k + 1 :]) for k in range(len(x))]
    np.testing.assert_array_equal(gradient(mg.prod, x), others)
    check_grad(mg.prod, np.array(x), order=3)
    check_grad(mg.cumprod, np.array(x), order=3)
    if x:
        pairs = [[0 if j == k else math.prod(v for i, v in enumerate(x) if i not in (j, k)) for j in range(len(x))]
                 for k in range(len(x))]  # fmt: skip
        np.testing.assert_array_equal(mg.hessian(mg.prod)(np.array(x)).data, pairs)


def test_what_is_nan_is_left_out_with_gradient_0() -> None:
    x = [[1.0, NAN, 4.0], [2.0, 3.0, NAN]]
    np.testing.assert_array_equal(gradient(mg.nansum, x), [[1, 0, 1], [1, 1, 0]])
    np.testing.assert_array_equal(mg.nanmean(leaf(x), axis=1).data, [2.5, 2.5])
    np.testing.assert_array_equal(gradient(lambda t: mg.nanmean(t, axis=0), x), [[0.5, 0, 1], [0.5, 1, 0]])
    np.testing.assert_array_equal(gradient(lambda t: mg.fmax(t, 0.0), x), [[1, 0, 1], [1, 1, 0]])
    np.testing.assert_array_equal(mg.fmin(leaf(x), 2.0).data, np.fmin(x, 2.0))
    assert np.isnan(mg.median(leaf(x)).item())
    assert np.isnan(gradient(mg.median, x)).any()  # which says that something is wrong
    np.testing.assert_array_equal(mg.sort(leaf([NAN, 2.0, 1.0])).data, [1, 2, NAN])


@dtypes
def test_nan_to_num_replaces_and_masks_the_gradient(dtype: Any) -> None:
    x = np.array([NAN, INF, -INF, 2.0], dtype)
    np.testing.assert_array_equal(mg.nan_to_num(leaf(x, dtype)).data, np.nan_to_num(x), strict=True)
    y = mg.nan_to_num(leaf(x, dtype), 7.0, posinf=8.0, neginf=-9.0).data
    np.testing.assert_array_equal(y, np.array([7, 8, -9, 2], dtype), strict=True)
    np.testing.assert_array_equal(gradient(mg.nan_to_num, x, dtype), [0, 0, 0, 1])


def test_equal_entries_keep_their_own_gradients_when_sorted() -> None:
    x = leaf([2.0, 1.0, 2.0])
    mg.sort(x, kind="stable").backward([1.0, 10.0, 100.0])
    np.testing.assert_array_equal(x.grad, [10, 1, 100])
    np.testing.assert_array_equal(gradient(mg.median, [1.0, 4.0, 3.0, 9.0]), [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(gradient(mg.ptp, [3.0, 1.0, 3.0]), [0.5, -1, 0.5])


@pytest.mark.parametrize(
    "f",
    [mg.prod, mg.cumprod, mg.nansum, mg.ravel, mg.sort, mg.roll, mg.diag, mg.erf, mg.gelu, mg.tan, mg.sinc, mg.vdot,
     mg.inner, mg.dot, mg.linalg.norm],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_nothing_has_an_empty_gradient(f: Any) -> None:
    call = {mg.roll: lambda x: mg.roll(x, 1), mg.vdot: lambda x: mg.vdot(x, x)}.get(f, f)
    call = {mg.inner: lambda x: mg.inner(x, x), mg.dot: lambda x: mg.dot(x, x)}.get(f, call)
    assert gradient(call, np.zeros(0)).shape == (0,)


def test_the_median_of_nothing_raises_and_names_the_shape() -> None:
    with pytest.raises(ValueError, match=r"median: \(0, 3\)"):
        mg.median(leaf(np.zeros((0, 3))), axis=0)
    assert mg.median(leaf(np.zeros((0, 3))), axis=1).shape == (0,)
