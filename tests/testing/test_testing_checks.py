"""check_vjp, check_jvp, check_primitive and check_cell: right derivatives pass, planted faults are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import testing
from minigrad.testing import GradientError, KinkError, check_grad, check_jvp, check_primitive, check_vjp

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 2))


def rosen(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def rosen_slope(x: np.ndarray) -> np.ndarray:
    slope = np.zeros_like(x)
    inner = x[1:] - x[:-1] ** 2
    slope[:-1] = -400 * x[:-1] * inner - 2 * (1 - x[:-1])
    slope[1:] += 200 * inner
    return slope


# --- plain NumPy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 300])
def test_a_hand_written_gradient_that_is_right_passes(n: int) -> None:
    check_vjp(rosen, lambda g, x: g * rosen_slope(x), np.linspace(-1.5, 1.5, n))


def test_the_pullback_of_a_product_passes() -> None:
    check_vjp(np.matmul, lambda g, a, b: (g @ b.T, a.T @ g), A, B)


def one_entry_missing(g: Any, x: np.ndarray) -> np.ndarray:
    slope = g * rosen_slope(x)
    slope[len(x) // 4] = 0
    return slope


WRONG_PULLBACKS = {
    "1000 times too large": lambda g, x: 1000 * g * rosen_slope(x),
    "1.0001 times too large": lambda g, x: 1.0001 * g * rosen_slope(x),
    "sign": lambda g, x: -g * rosen_slope(x),
    "one entry missing": one_entry_missing,
    "reversed": lambda g, x: g * rosen_slope(x)[::-1],
    "cotangent ignored": lambda g, x: rosen_slope(x),
    "not linear in the cotangent": lambda g, x: g**3 * rosen_slope(x),
    "NaN": lambda g, x: np.full_like(x, np.nan),
    "wrong shape": lambda g, x: g * rosen_slope(x)[:-1],
    "changes its input": lambda g, x: np.multiply(x, 0, out=x) + g,
}


@pytest.mark.parametrize("wrong", WRONG_PULLBACKS.values(), ids=WRONG_PULLBACKS)
@pytest.mark.parametrize("n", [5, 300])
def test_a_wrong_hand_written_gradient_is_refused(wrong: Any, n: int) -> None:
    with pytest.raises(GradientError):
        check_vjp(rosen, wrong, np.linspace(-1.5, 1.5, n))


def test_products_in_the_wrong_order_are_refused() -> None:
    x = RNG.standard_normal((3, 3))
    with pytest.raises(GradientError):
        check_vjp(np.matmul, lambda g, a, b: (b.T @ g, a.T @ g), x, x + 1)


def test_one_wrong_entry_of_10_000_is_refused_and_located() -> None:
    def wrong(g: np.ndarray, x: np.ndarray) -> np.ndarray:
        slope = g * np.cos(x)
        slope[57, 31] *= 1.5
        return slope

    with pytest.raises(GradientError, match=r"\(57, 31\)"):
        check_vjp(np.sin, wrong, RNG.uniform(0.2, 1.0, (100, 100)))


def test_forward_rules_are_checked_too() -> None:
    check_jvp(np.sin, lambda v, x: v * np.cos(x), A)
    with pytest.raises(GradientError):
        check_jvp(np.sin, lambda v, x: -v * np.cos(x), A)


def test_badly_scaled_points_pass() -> None:
    x = np.array([1e-9, 1e-3, 1.0, 1e3, 1e12])
    check_vjp(np.log, lambda g, x: g / x, x)
    check_vjp(np.square, lambda g, x: 2 * g * x, x)


# --- functions of Tensors -------------------------------------------------------------------------------------------


def test_a_kink_is_named_and_a_subgradient_may_be_asked_for() -> None:
    with pytest.raises(KinkError, match="abs"):
        check_grad(mg.abs, np.array([1.0, 0.0]))
    check_grad(mg.abs, np.array([1.0, 0.0]), on_kink="subgradient")


def test_the_primitive_to_blame_is_named() -> None:
    bad = mg.primitive(np.sin, lambda g, y, x: 2 * g * y, name="bad_sine")
    with pytest.raises(GradientError, match="bad_sine"):
        check_grad(lambda x: mg.exp(bad(x * x)).sum(), A)


# --- primitives -----------------------------------------------------------------------------------------------------

SINE = mg.primitive(np.sin, lambda g, y, x: g * mg.cos(x), name="sine")
WRONG_PRIMITIVES = {
    "second derivative": mg.primitive(np.sin, lambda g, y, x: g * np.cos(getattr(x, "data", x)), name="sine"),
    "sign": mg.primitive(np.sin, lambda g, y, x: -g * mg.cos(x), name="sine"),
    "shape": mg.primitive(np.sin, lambda g, y, x: mg.sum(g * mg.cos(x)), name="sine"),
    "swapped": mg.primitive(np.multiply, lambda g, z, x, y: g * x, lambda g, z, x, y: g * y, name="product"),
}


@pytest.mark.parametrize(
    ("p", "inputs"),
    [(SINE, (A,)), (mg.tanh, (A,)), (mg.multiply, (A, A[:1])), (mg.matmul, (A, B)), (mg.logsumexp, (A,))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_right_primitive_passes(p: Any, inputs: Any) -> None:
    check_primitive(p, *inputs)


@pytest.mark.parametrize("p", WRONG_PRIMITIVES.values(), ids=WRONG_PRIMITIVES)
def test_a_wrong_primitive_is_refused(p: Any) -> None:
    with pytest.raises((GradientError, ValueError, TypeError)):
        check_primitive(p, *([A, A + 1] if p.name == "product" else [A]))


@pytest.mark.parametrize("wrt", [1, "0", [1.5], [True], None.__class__], ids=repr)
def test_wrt_is_a_sequence_of_positions(wrt: Any) -> None:
    with pytest.raises(TypeError, match="check_grad: wrt must be a sequence of positions"):
        testing.check_grad(mg.tanh, np.ones(2), wrt=wrt)


@pytest.mark.parametrize("name", ["rtol", "atol", "eps"])
@pytest.mark.parametrize("value", ["1", True, [0.1]], ids=repr)
def test_tolerances_and_steps_are_numbers(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a number"):
        testing.check_grad(mg.tanh, np.ones(2), **{name: value})


@pytest.mark.parametrize("gap", [0.0, -1.0, np.nan, np.inf, "1", True], ids=repr)
def test_a_gap_that_keeps_no_distance_is_refused(gap: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="gap must be a"):
        testing.well_separated((3,), gap=gap)
    with pytest.raises((TypeError, ValueError), match="gap must be a"):
        testing.away_from(0.0, (3,), gap=gap)


@pytest.mark.parametrize("least", [-0.1, np.nan, 1.0])
def test_least_of_probabilities_is_one(least: float) -> None:
    with pytest.raises(ValueError, match="least must lie within"):
        testing.probabilities((3,), least=least)


LIMITED = {
    "clipped at 10": lambda g: np.clip(g, -10, 10),
    "clipped at 1e5": lambda g: np.clip(g, -1e5, 1e5),
    "clipped at 1e10": lambda g: np.clip(g, -1e10, 1e10),
    "scaled down to norm 100": lambda g: g * min(1.0, 100 / max(1e-30, float(np.linalg.norm(g)))),
    "dropped below 1e-4": lambda g: np.where(np.abs(g) < 1e-4, 0.0, g),
    "dropped below 1e-10": lambda g: np.where(np.abs(g) < 1e-10, 0.0, g),
    "rounded to six digits": lambda g: np.round(g, 6),
}


@pytest.mark.parametrize("limit", LIMITED)
def test_a_cotangent_that_is_limited_far_from_1_is_found(limit: str) -> None:
    change = LIMITED[limit]
    with pytest.raises(GradientError, match="not linear"):
        check_vjp(np.sin, lambda g, x: change(g) * np.cos(x), A)
    with pytest.raises(GradientError, match="not linear"):
        check_grad(mg.primitive(np.sin, lambda g, y, x: change(g) * np.cos(x), name="limited"), A)
    with pytest.raises(GradientError, match="not linear"):
        check_jvp(np.sin, lambda v, x: change(v) * np.cos(x), A)


def test_right_derivatives_at_the_ends_of_the_range_pass() -> None:
    check_grad(lambda x: mg.exp(x * 700.0), np.array([1.0]))  # slope 7e306, much more than which is none
    check_grad(lambda x: x * 1e-300, np.array([1.0]))


@pytest.mark.parametrize("x", [4.7e7, 1e10, 137438953500.0])
def test_a_wave_that_long_steps_leap_over_is_not_taken_for_flat(x: float) -> None:
    value, error = testing.numeric_gradient(lambda x: float(np.sin(x).sum()), np.array([x]))
    assert abs(value[0] - np.cos(x)) <= error[0] < 1e-3
    check_vjp(np.sin, lambda g, x: g * np.cos(x), np.array([x]))
    with pytest.raises(GradientError, match="1 of 1 entries is wrong"):
        check_vjp(np.sin, lambda g, x: -g * np.cos(x), np.array([x]))


@pytest.mark.parametrize(("share", "width"), [(0.003, 0.01), (0.1, 0.05), (1.0, 0.03)])
def test_a_slope_that_holds_near_x_alone_is_not_taken_for_that_of_long_steps(share: float, width: float) -> None:
    peak = lambda x: share * (x - 0.7) * np.exp(-(((x - 0.7) / (0.7 * width)) ** 2))  # straight for long steps
    check_vjp(lambda x: x + peak(x), lambda g, x: (1 + share) * g, np.array(0.7), copies=False)
    with pytest.raises(GradientError, match="1 of 1 entries is wrong"):
        check_vjp(lambda x: x + peak(x), lambda g, x: 1.0 * g, np.array(0.7), copies=False)


def test_the_entry_that_is_refused_counts_as_wrong_whatever_steps_saw_it() -> None:
    stair = lambda x: np.round(np.sin(x), 7)  # flat to the finest steps alone
    with pytest.raises(GradientError, match=r"differences give 0 .* 1 of 3 entries are wrong"):
        check_vjp(stair, lambda g, x: g * np.cos(x), np.array([0.31, 1.0, 1.0]))


def test_what_is_no_function_and_no_strategy_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="check_grad: the first argument must be a function of the inputs, got int 3"):
        check_grad(3, A)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"check_vjp: vjp must be a function, got \(3, 4\) float64"):
        check_vjp(np.sin, A, A)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"given_grad: x must be a strategy.*got \(3, 4\) float64; .*check_grad"):
        testing.given_grad(x=A)
    with pytest.raises(TypeError, match=r"check_cell: factory must be a function of .I, H. .* got a GRUCell"):
        testing.check_cell(nn.GRUCell(4, 3, rng=0))


@pytest.mark.parametrize("logit", [20.0, 30.0, 40.0, 700.0])
@pytest.mark.parametrize("V", [3, 12])
def test_the_loss_of_a_confident_prediction_passes_though_its_gradient_is_all_rounding(logit: float, V: int) -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal(V)
    x[0] += logit  # the gradient p - 1 there is a difference of terms of size 1
    check_grad(lambda x: nn.cross_entropy(x, 0), x, order=2)
    check_grad(lambda x: mg.log(mg.softmax(x)), x)  # with numbers on the way that 1e12 times as much would overflow


def test_a_limited_cotangent_is_found_where_the_gradient_is_a_difference_of_large_terms() -> None:
    loss = lambda x: np.log(np.sum(np.exp(x - x[0])))
    slope = lambda x: np.exp(x) / np.exp(x).sum() - np.eye(3)[0]
    x = np.array([15.0, 0.0, 0.3])
    check_vjp(loss, lambda g, x: g * slope(x), x)
    for limit in (*LIMITED.values(), *SIGNS.values()):
        with pytest.raises(GradientError, match="not linear"):
            check_vjp(loss, lambda g, x: limit(g) * slope(x), x)  # noqa: B023


SIGNS: dict[str, Any] = {
    "its absolute value": np.abs,
    "negative ones dropped": lambda g: np.maximum(g, 0),
    "positive ones dropped": lambda g: np.minimum(g, 0),
    "negative ones halved": lambda g: np.where(g > 0, g, 0.5 * g),
    "large negative ones dropped": lambda g: np.where(g < -1e5, 0.0, g),
    "small negative ones dropped": lambda g: np.where((g < 0) & (g > -1e-5), 0.0, g),
    "large positive ones dropped": lambda g: np.where(g > 1e5, 0.0, g),
    "small positive ones dropped": lambda g: np.where((g > 0) & (g < 1e-5), 0.0, g),
}


@pytest.mark.parametrize("fault", SIGNS)
def test_a_cotangent_that_loses_its_sign_is_found_for_a_loss_of_one_number_at_every_seed(fault: str) -> None:
    change = SIGNS[fault]
    total = mg.primitive(lambda x: np.sin(x).sum(), lambda g, y, x: change(g) * np.cos(x), name="total")
    for seed in range(6):
        with pytest.raises(GradientError):
            check_vjp(lambda x: np.sin(x).sum(), lambda g, x: change(g) * np.cos(x), A, seed=seed)
        with pytest.raises(GradientError):
            check_jvp(np.sin, lambda v, x: change(v) * np.cos(x), np.array(0.3), seed=seed)
        with pytest.raises(GradientError):
            check_grad(total, A, seed=seed)


def test_a_cotangent_that_loses_its_sign_at_one_entry_is_found_at_every_seed() -> None:
    only = np.arange(5) == 3
    for change in (SIGNS["its absolute value"], SIGNS["negative ones dropped"], SIGNS["positive ones dropped"]):
        rule = lambda g, x: np.where(only, change(g), g) * np.cos(x)  # noqa: B023
        for seed in range(8):
            with pytest.raises(GradientError):
                check_vjp(np.sin, rule, np.linspace(0.1, 1, 5), seed=seed)


def test_a_number_taken_out_of_a_tensor_is_refused_by_the_transform_of_the_second_order() -> None:
    f = lambda x: x * x if float(x.sum()) > 0 else x
    check_grad(f, np.ones(2))
    with pytest.raises(TypeError, match=r"float\(t\) at .* takes numbers out of a tensor"):
        check_grad(f, np.ones(2), order=2)


def test_an_entry_that_is_called_wrong_is_counted_among_the_wrong_ones() -> None:
    x = np.array([30.0, 0.3, -0.6])
    slope = lambda x: -np.exp(-x) / (1 + np.exp(-x))
    check_vjp(lambda x: np.log1p(np.exp(-x)), lambda g, x: g * slope(x), x)
    with pytest.raises(GradientError, match=r"index \(0,\) .*; 1 of 3 entries are wrong"):
        check_vjp(lambda x: np.log1p(np.exp(-x)), lambda g, x: g * slope(x) * (1 + 1e-4 * (x > 10)), x)


MOVES = [(mg.flip, {}), (mg.flip, {"axis": None}), (mg.roll, {"shift": 1}), (mg.cumsum, {"axis": 0})]


@pytest.mark.parametrize(("p", "static"), MOVES)
@pytest.mark.parametrize("entry", [0.0, 1.5])
def test_what_moves_equal_entries_is_not_taken_for_elementwise(p: Any, static: Any, entry: float) -> None:
    check_primitive(p, np.full((2, 2), entry), **static)
