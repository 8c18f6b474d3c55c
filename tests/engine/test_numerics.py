"""Numbers that are right where formulas written down plainly are not: large logits, masks, zeros, ties, nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from draw import anywhere, full_shapes
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import axes_of

INF = math.inf


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


def gradient(f: Any, x: Any, dtype: Any = float) -> np.ndarray:
    t = leaf(x, dtype)
    y = f(t)
    y.backward(np.ones(y.shape))
    assert t.grad is not None
    return t.grad


dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])

# --- saturation ------------------------------------------------------------------------------------------------------

EXTREMES = [-INF, -1e4, -100.0, 0.0, 100.0, 1e4, INF]
SATURATED = {
    "sigmoid": (mg.sigmoid, [0, 0, 0, 0.5, 1, 1, 1], [0, 0, 0, 0.25, 0, 0, 0]),
    "tanh": (mg.tanh, [-1, -1, -1, 0, 1, 1, 1], [0, 0, 0, 1, 0, 0, 0]),
    "softplus": (mg.softplus, [0, 0, 0, math.log(2), 100, 1e4, INF], [0, 0, 0, 0.5, 1, 1, 1]),
    "relu": (mg.relu, [0, 0, 0, 0, 100, 1e4, INF], [0, 0, 0, 0, 1, 1, 1]),
}


@dtypes
@pytest.mark.parametrize(("f", "values", "slopes"), SATURATED.values(), ids=SATURATED)
def test_saturated_functions_have_exact_limits_and_slopes(f: Any, values: Any, slopes: Any, dtype: Any) -> None:
    np.testing.assert_allclose(f(leaf(EXTREMES, dtype)).data, np.array(values, dtype), rtol=1e-6, atol=1e-40)
    np.testing.assert_allclose(gradient(f, EXTREMES, dtype), slopes, rtol=1e-6, atol=1e-40)


@given(st.floats(-700, 700))
def test_sigmoid_is_accurate_and_symmetric(x: float) -> None:
    np.testing.assert_allclose(mg.sigmoid(leaf(x)).item(), 1 / (1 + math.exp(-x)), rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(mg.sigmoid(leaf(x)).item() + mg.sigmoid(leaf(-x)).item(), 1, rtol=1e-15)


# --- softmax and its relatives ---------------------------------------------------------------------------------------

LOGITS = {
    "large": [1e4, 0.0, -1e4],
    "all large": [1e4, 1e4, 1e4],
    "all small": [-1e4, -1e4, -1e4],
    "one masked": [1.0, -INF, 2.0],
    "all but one masked": [-INF, 3.0, -INF],
}


@dtypes
@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
def test_softmax_at_extreme_logits_is_finite_and_sums_to_1(logits: Any, dtype: Any) -> None:
    p = mg.softmax(leaf(logits, dtype)).data
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-6)
    assert (p[np.isneginf(logits)] == 0).all()
    np.testing.assert_allclose(np.exp(mg.log_softmax(leaf(logits, dtype)).data), p, rtol=1e-6)
    np.testing.assert_allclose(mg.logsumexp(leaf(logits, dtype)).data, max(logits) + np.log(1 / p.max()), rtol=1e-6)


@dtypes
def test_softmax_at_extreme_logits_is_finite_with_zero_gradient(dtype: Any) -> None:
    g = gradient(lambda x: mg.softmax(x)[0], [1e4, 0.0, -1e4], dtype)
    np.testing.assert_array_equal(g, [0, 0, 0])


@pytest.mark.parametrize("f", [mg.softmax, mg.log_softmax, mg.logsumexp], ids=lambda f: f.name)
def test_integer_logits_are_read_as_float64(f: Any) -> None:
    for logits in ([1, 2, 7], np.array([1, 2, 7])):
        np.testing.assert_array_equal(f(logits), f(np.array([1.0, 2.0, 7.0])), strict=True)


@dtypes
@pytest.mark.parametrize("f", [mg.softmax, mg.log_softmax, mg.logsumexp], ids=lambda f: f.name)
@pytest.mark.parametrize("logits", [[1.0, -INF, 2.0], [-INF, 3.0, -INF]], ids=str)
def test_a_masked_logit_has_gradient_0(f: Any, dtype: Any, logits: Any) -> None:
    masked = np.isneginf(logits)
    kept = lambda x: mg.where(masked, 0.0, f(x)) if f(x).ndim else f(x)
    g = gradient(lambda x: mg.sum(kept(x) ** 2), logits, dtype)
    assert np.isfinite(g).all()
    assert (g[masked] == 0).all()
    alone = gradient(lambda x: mg.sum(f(x) ** 2), np.array(logits)[~masked], dtype)
    np.testing.assert_allclose(g[~masked], alone, rtol=1e-5, atol=1e-7)


def test_the_log_probability_of_a_masked_logit_itself_has_gradient_0_there() -> None:
    np.testing.assert_array_equal(gradient(lambda x: mg.log_softmax(x)[1], [0.0, -INF, 0.0]), [-0.5, 0, -0.5])


@pytest.mark.parametrize("f", [mg.softmax, mg.log_softmax, mg.logsumexp], ids=lambda f: f.name)
def test_second_derivatives_at_masked_logits_are_0_and_elsewhere_those_of_the_rest(f: Any) -> None:
    w = np.array([0.3, -1.0, 0.7, 0.4])
    masked = np.array([False, True, False, False])

    def curve(x: Any) -> Any:
        y = f(x)
        return (
            mg.sum(mg.where(masked, 0.0, y) * w) ** 2
            if y.ndim and y.size == 4
            else mg.sum(y * (w[~masked] if y.ndim else 1.0)) ** 2
        )

    logits = np.array([1.0, -INF, 2.0, 0.5])
    h = mg.hessian(curve)(logits).data
    rest = mg.hessian(curve)(logits[~masked]).data
    np.testing.assert_allclose(h[np.ix_(~masked, ~masked)], rest, rtol=1e-9, atol=1e-12)
    assert (h[masked] == 0).all()
    assert (h[:, masked] == 0).all()


def test_a_row_of_nothing_but_masked_logits_gives_zeros_and_no_nan() -> None:
    rows = np.array([[-INF, -INF], [1.0, 2.0]])
    np.testing.assert_array_equal(mg.softmax(leaf(rows)).data[0], [0, 0])
    np.testing.assert_array_equal(mg.logsumexp(leaf(rows), axis=1).data[0], -INF)
    for f in (mg.softmax, lambda x: mg.where(np.isneginf(rows), 0.0, mg.log_softmax(x))):
        g = gradient(lambda x, f=f: mg.sum(f(x) * [[1.0, 2.0], [3.0, 5.0]]), rows)
        np.testing.assert_array_equal(g[0], [0, 0])
        assert np.isfinite(g).all()


@pytest.mark.parametrize("V", [3, 2000])
def test_a_logit_of_nan_is_not_hidden_in_its_row_and_stays_out_of_others(V: int) -> None:
    rows = np.zeros((2, V))
    rows[0, 1] = math.nan
    for f in (mg.softmax, mg.log_softmax):
        y = f(rows)
        assert np.isnan(y[0]).all()
        assert np.isfinite(y[1]).all()


@dtypes
@pytest.mark.parametrize(("logits", "target", "loss", "slope"), [
    ([1e4, 0.0, -1e4], 0, 0.0, [0, 0, 0]),
    ([1e4, 0.0, -1e4], 2, 2e4, [1, 0, -1]),
    ([-1e4, -1e4, -INF], 0, math.log(2), [-0.5, 0.5, 0]),
], ids=["sure and right", "sure and wrong", "masked"])  # fmt: skip
def test_cross_entropy_of_extreme_logits_is_finite_and_its_slope_exact(
    logits: Any, target: int, loss: float, slope: Any, dtype: Any
) -> None:
    cross_entropy = lambda x: -mg.log_softmax(x)[target]
    np.testing.assert_allclose(cross_entropy(leaf(logits, dtype)).data, loss, rtol=1e-6)
    np.testing.assert_allclose(gradient(cross_entropy, logits, dtype), slope, rtol=1e-6)


@given(anywhere(full_shapes.filter(len)), st.data())
def test_softmax_and_its_relatives_do_not_change_when_all_logits_are_shifted(x: np.ndarray, data: Any) -> None:
    axis = data.draw(axes_of(x.shape))
    for f, moved in [(mg.softmax, 0.0), (mg.log_softmax, 0.0), (mg.logsumexp, 1000.0)]:
        np.testing.assert_allclose(f(x + 1000.0, axis=axis), f(x, axis=axis) + moved, rtol=1e-9, atol=1e-9)
    e = np.exp(x)
    np.testing.assert_allclose(mg.softmax(x, axis=axis), e / e.sum(axis=axis, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(mg.logsumexp(x, axis=axis), np.log(e.sum(axis=axis)), rtol=1e-12, atol=1e-12)


# --- at zero ---------------------------------------------------------------------------------------------------------

AT_ZERO = {
    "abs": (mg.absolute, 0.0, 0.0),
    "sqrt": (mg.sqrt, 0.0, 0.0),
    "norm": (lambda x: mg.norm(mg.stack([x, x])), 0.0, 0.0),
    "x**0": (lambda x: x**0, 1.0, 0.0),
    "x**0.0": (lambda x: x**0.0, 1.0, 0.0),
    "x**0.5": (lambda x: x**0.5, 0.0, 0.0),
    "x**1": (lambda x: x**1, 0.0, 1.0),
    "x**1.5": (lambda x: x**1.5, 0.0, 0.0),
    "x**2": (lambda x: x**2, 0.0, 0.0),
    "x**[0]": (lambda x: x ** np.array(0.0), 1.0, 0.0),
    "x**[1/2]": (lambda x: x ** np.array(0.5), 0.0, 0.0),
    "x**[1]": (lambda x: x ** np.array(1.0), 0.0, 1.0),
    "x**[2]": (lambda x: x ** np.array(2.0), 0.0, 0.0),
    "0**x": (lambda x: 0.0**x, 1.0, 0.0),
    "relu": (mg.relu, 0.0, 0.0),
    "clip at its lower bound": (lambda x: mg.clip(x, 0.0, 1.0), 0.0, 1.0),
    "max(x, 0)": (lambda x: mg.maximum(x, 0.0), 0.0, 0.5),
    "min(0, x)": (lambda x: mg.minimum(0.0, x), 0.0, 0.5),
}


@pytest.mark.parametrize(("f", "value", "slope"), AT_ZERO.values(), ids=AT_ZERO)
def test_at_0_value_and_documented_subgradient_are_exact(f: Any, value: float, slope: float) -> None:
    for dtype in (np.float32, np.float64):
        assert f(leaf(0.0, dtype)).item() == value
        assert gradient(f, 0.0, dtype) == slope
    assert np.isfinite(mg.grad(mg.grad(f))(0.0).item())


@pytest.mark.parametrize("x", [0.0, 5e-324, 1e-310, 2.0, -2.0, 1e308])
def test_exponent_0_has_slope_0_at_every_base_and_the_mixed_derivative_1_over_x(x: float) -> None:
    assert mg.grad(mg.power)(x, 0.0).data == 0.0
    if 1e-300 < x < 1e300:
        mixed = mg.grad(mg.grad(mg.power), 1)(x, 0.0)
        np.testing.assert_allclose(mixed.data, 1 / x)


def test_power_of_a_negative_base_has_the_slope_of_integer_powers() -> None:
    for exponent in (3, 3.0, np.array(3.0)):
        assert gradient(lambda x, exponent=exponent: x**exponent, -2.0) == 12.0
    y = leaf(2.0)
    ((-2.0) ** y).backward()
    assert y.grad == 0.0  # not defined nearby


# --- the branch not taken --------------------------------------------------------------------------------------------

UNTAKEN = {
    "sqrt of a negative": (mg.sqrt, -1.0), "sqrt of 0": (mg.sqrt, 0.0), "square root of inf": (mg.sqrt, INF),
    "log of 0": (mg.log, 0.0), "log of a negative": (mg.log, -1.0), "log of nan": (mg.log, math.nan),
    "log1p of -1": (mg.log1p, -1.0), "exp of 1e4": (mg.exp, 1e4), "expm1 of 1e4": (mg.expm1, 1e4),
    "1/0": (lambda x: 1.0 / x, 0.0), "0/0": (lambda x: x / x, 0.0),
    "0**-1": (lambda x: x**-1, 0.0), "0**-0.5": (lambda x: x**-0.5, 0.0), "(-1)**0.5": (lambda x: x**0.5, -1.0),
    "0**[-1]": (lambda x: x ** np.array(-1.0), 0.0), "(-1)**[0.5]": (lambda x: x ** np.array(0.5), -1.0),
    "2**1e4": (lambda x: 2.0**x, 1e4), "(-2)**0.5": (lambda x: (-2.0) ** x, 0.5), "1 % 0": (lambda x: 1.0 % x, 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("f", "bad"), UNTAKEN.values(), ids=UNTAKEN)
def test_a_branch_that_where_did_not_take_has_gradient_0(f: Any, bad: float) -> None:
    x = np.array([bad, 2.0])
    taken = np.array([False, True])
    with np.errstate(all="ignore"):  # the forward call may overflow or divide by 0, as NumPy does
        g = gradient(lambda t: mg.where(taken, f(t), 0.0), x)
        h = mg.hessian(lambda t: mg.sum(mg.where(taken, f(t), 0.0)))(x).data
        alone = mg.hessian(lambda t: mg.sum(f(t)))(x[1:]).data
    np.testing.assert_array_equal(g, [0, gradient(f, [2.0])[0]])
    np.testing.assert_allclose(h, [[0, 0], [0, alone[0, 0]]], atol=1e-12)


@settings(max_examples=4 * settings.default.max_examples)
@given(
    st.sampled_from([(513,), (2, 300), (20, 30, 2), (16, 32), (600, 1)]),
    st.sampled_from(["f2", "f4", "f8", "i4"]),
    st.sampled_from(["rows", "columns", "strided", "narrow mask", "wide mask"]),
    st.sampled_from([0.0, 0.0, 0.0, -0.0, np.float64(0.0), 0, 1.0]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_where_with_a_number_is_numpys_to_the_bit(
    shape: Any, dtype: str, layout: str, number: Any, first: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = (9 * rng.standard_normal((*shape, 2))).astype(dtype)
    if x.dtype.kind == "f":
        x.flat[rng.integers(0, x.size, 50)] = rng.choice([math.nan, INF, -INF, -0.0, 1e-45], 50).astype(dtype)
    x = x[..., 0] if layout == "strided" else np.array(x[..., 0], order="F" if layout == "columns" else "C")
    c = rng.random({"narrow mask": (1, *shape[1:]), "wide mask": (2, *shape)}.get(layout, shape)) < 0.5
    choose = lambda where, x: where(c, number, x) if first else where(c, x, number)
    expected = choose(np.where, x)
    for y in (choose(mg.where, x), mg.compile(lambda x: choose(mg.where, x))(x)):
        y = y.data if isinstance(y, Tensor) else y
        assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))


# --- ties ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [mg.maximum, mg.minimum], ids=lambda f: f.name)
def test_ties_of_maximum_and_minimum_are_shared_equally(f: Any) -> None:
    x, y = leaf([1.0, 2.0, 3.0]), leaf([3.0, 2.0, 1.0])
    f(x, y).sum().backward()
    first = [0, 0.5, 1] if f is mg.maximum else [1, 0.5, 0]
    np.testing.assert_array_equal(x.grad, first)
    np.testing.assert_array_equal(y.grad, first[::-1])


@pytest.mark.parametrize("f", [mg.max, mg.min], ids=lambda f: f.name)
@given(data=st.data())
def test_ties_of_max_and_min_are_shared_equally(f: Any, data: st.DataObject) -> None:
    shape = data.draw(full_shapes)
    axis = data.draw(axes_of(shape))
    x = np.floor(data.draw(anywhere(shape, low=0.0, high=3.0)))
    g = gradient(lambda t: f(t, axis=axis), x)
    hit = x == f(x, axis=axis, keepdims=True)
    np.testing.assert_allclose(g, hit / np.sum(hit, axis=axis, keepdims=True))


# --- nothing at all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [mg.max, mg.min], ids=lambda f: f.name)
def test_max_and_min_of_nothing_raise_and_name_the_shape(f: Any) -> None:
    with pytest.raises(ValueError, match=rf"{f.name}: \(0, 3\) float64"):
        f(leaf(np.zeros((0, 3))), axis=0)
    assert f(leaf(np.zeros((0, 3))), axis=1).shape == (0,)


@pytest.mark.parametrize("f", [mg.sum, mg.logsumexp, mg.norm, mg.cumsum, mg.softmax], ids=lambda f: f.__name__)
def test_reductions_of_nothing_have_empty_gradients(f: Any) -> None:
    assert gradient(f, np.zeros(0)).shape == (0,)
    assert gradient(lambda x: f(x, axis=0), np.zeros((0, 3))).shape == (0, 3)


def test_sum_and_logsumexp_of_nothing_are_their_neutral_elements() -> None:
    assert mg.sum(leaf(np.zeros(0))).item() == 0.0
    assert mg.logsumexp(leaf(np.zeros(0))).item() == -INF
