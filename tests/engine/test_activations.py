"""Activations: values against the C library's and against formulas, limits, derivatives, dtypes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import check_grad

POINTS = np.concatenate([np.linspace(-9, 26, 1403), np.linspace(0.49, 0.51, 101), [0.0, -0.0, 1e-300, -1e-9]])


@pytest.mark.parametrize(("f", "exact", "ulps"), [(mg.erf, math.erf, 5), (mg.erfc, math.erfc, 10)], ids=["erf", "erfc"])
def test_the_error_function_is_accurate_to_a_few_units_in_the_last_place(f: Any, exact: Any, ulps: int) -> None:
    for dtype in (np.float64, np.float32):
        x = POINTS.astype(dtype)
        expected = np.array([exact(v) for v in x.tolist()])
        normal = abs(expected) > np.finfo(dtype).tiny
        with np.errstate(under="ignore"):
            units = abs(f(x).astype(float) - expected) / (np.finfo(dtype).eps * abs(expected) + 1e-320)
        assert units[normal].max() < ulps
        assert f(x).dtype == dtype
    np.testing.assert_array_equal(
        f(np.array([math.inf, -math.inf, math.nan])), [exact(math.inf), exact(-math.inf), math.nan]
    )


def test_the_error_function_takes_every_layout_size_and_kind() -> None:
    x = np.linspace(-2, 2, 24).reshape(4, 6)
    for part in (x.T, x[::-1, ::2], x[:0], np.float64(0.3), 2, [1.0, -1.0], np.tile(x, (60, 60))):
        expected = np.vectorize(math.erf, otypes=[float])(part)
        np.testing.assert_allclose(mg.erf(part), expected, rtol=1e-15)
    assert mg.erf(x.astype(np.float16)).dtype == np.float16


Φ = lambda x: math.erfc(-x / math.sqrt(2)) / 2
FORMULAS: dict[str, tuple[Any, Any, tuple[float, float]]] = {  # minigrad's, the formula, the limits at -1e4 and 1e4
    "gelu": (mg.gelu, lambda x: x * Φ(x), (0.0, 1e4)),
    "gelu by tanh": (
        lambda x: mg.gelu(x, "tanh"),
        lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        (0.0, 1e4),
    ),
    "silu": (mg.silu, lambda x: x / (1 + math.exp(-x)), (0.0, 1e4)),
    "elu": (mg.elu, lambda x: x if x > 0 else math.exp(x) - 1, (-1.0, 1e4)),
    "elu of 0.3": (lambda x: mg.elu(x, alpha=0.3), lambda x: x if x > 0 else 0.3 * (math.exp(x) - 1), (-0.3, 1e4)),
    "leaky_relu": (mg.leaky_relu, lambda x: x if x > 0 else 0.01 * x, (-1e2, 1e4)),
    "hardsigmoid": (mg.hardsigmoid, lambda x: min(max((x + 3) / 6, 0), 1), (0.0, 1.0)),
    "hardtanh": (mg.hardtanh, lambda x: min(max(x, -1), 1), (-1.0, 1.0)),
    "log_sigmoid": (mg.log_sigmoid, lambda x: -math.log(1 + math.exp(-x)), (-1e4, 0.0)),
}
each = pytest.mark.parametrize(("f", "formula", "limits"), FORMULAS.values(), ids=FORMULAS)


@each
def test_values_are_the_formulas_and_far_out_its_limits(f: Any, formula: Any, limits: Any) -> None:
    x = np.array([-6.0, -2.5, -0.7, 0.0, 0.4, 2.0, 6.0])
    np.testing.assert_allclose(f(x), [formula(v) for v in x], rtol=1e-9, atol=1e-16)
    for dtype in (np.float32, np.float64):
        t = mg.tensor([-1e4, 1e4], dtype, requires_grad=True)
        y = f(t)
        np.testing.assert_allclose(y.data, limits, rtol=1e-6, atol=1e-30)
        y.sum().backward()
        assert np.isfinite(t.grad).all()
        assert (y.dtype, t.grad.dtype) == (dtype, dtype)


@each
def test_derivatives_of_order_1_and_2_match_finite_differences(f: Any, formula: Any, limits: Any) -> None:
    check_grad(f, np.array([[-2.5, -0.7, 0.4], [0.9, 1.6, -3.7]]), order=2)


def test_a_compiled_activation_is_the_eager_one() -> None:
    x = np.linspace(-3.3, 3.1, 7)
    for f, *_ in FORMULAS.values():
        total = lambda x, f=f: mg.sum(f(x) ** 2)
        np.testing.assert_array_equal(mg.compile(mg.grad(total))(x).data, mg.grad(total)(x).data)


def test_exact_gelu_keeps_its_relative_accuracy_far_out_on_the_left() -> None:
    np.testing.assert_allclose(mg.gelu(np.array([-20.0, -8.0])), [-20 * Φ(-20), -8 * Φ(-8)], rtol=1e-13)


def test_gelu_names_its_two_forms() -> None:
    with pytest.raises(ValueError, match='"none" or "tanh", got True'):
        mg.gelu(np.ones(2), True)  # type: ignore[arg-type]


@pytest.mark.parametrize("x", [-700.0, -40.0, -30.0, 0.3, 30.0, 700.0])
def test_slopes_of_softplus_and_log_sigmoid_are_right_to_the_last_digits_where_they_are_small(x: float) -> None:
    exact = math.exp(min(x, 0)) / (1 + math.exp(-abs(x)))  # σ(x)
    assert float(mg.grad(mg.softplus)(x).data) == pytest.approx(exact, rel=1e-14)
    assert float(mg.grad(mg.log_sigmoid)(-x).data) == pytest.approx(exact, rel=1e-14)
    check_grad(lambda x: (mg.softplus(x), mg.log_sigmoid(x)), np.array([x, 0.5]), order=2)


@pytest.mark.parametrize("x", [-1.0, -20.0, -40.0, -700.0])
@pytest.mark.parametrize("f", [mg.elu, mg.expm1], ids=["elu", "expm1"])
def test_slopes_of_elu_and_expm1_are_right_to_the_last_digits_where_they_are_small(f: Any, x: float) -> None:
    for slope in (mg.grad(f), mg.compile(mg.grad(f)), mg.grad(mg.grad(f))):
        assert float(slope(x).data) == pytest.approx(math.exp(x), rel=1e-14)
    assert float(mg.grad(f)(-np.inf).data) == 0.0
