"""How often a checker calls what it checks: bounds, by counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.testing import GradientError, KinkError, check_jvp, check_vjp


class Counted:
    """A function that counts its calls."""

    def __init__(self, f: Any) -> None:
        self.f, self.calls = f, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.f(*arguments)


def calls(check: Any, f: Any, rule: Any, x: Any, raises: Any = None, match: str = "") -> int:
    f, rule = Counted(f), Counted(rule)
    if raises is None:
        check(f, rule, x)
    else:
        with pytest.raises(raises, match=match):
            check(f, rule, x)
    return int(f.calls + rule.calls)


def layer_norm(x: Any, eps: float = 1e-5) -> Any:
    c = x - x.mean(-1, keepdims=True)
    return c / np.sqrt((c * c).mean(-1, keepdims=True) + eps)


def layer_norm_vjp(g: Any, x: Any, eps: float = 1e-5) -> Any:
    c = x - x.mean(-1, keepdims=True)
    r = 1 / np.sqrt((c * c).mean(-1, keepdims=True) + eps)
    y = c * r
    return r * (g - g.mean(-1, keepdims=True) - y * (g * y).mean(-1, keepdims=True))


def test_directions_that_need_finer_steps_share_what_the_first_has_found() -> None:
    assert calls(check_vjp, layer_norm, layer_norm_vjp, np.zeros((5, 6))) <= 600  # 30 directions, 8 steps and 8 finer
    tiny = lambda x: layer_norm(x, 1e-10), lambda g, x: layer_norm_vjp(g, x, 1e-10)
    assert calls(check_vjp, *tiny, np.zeros((5, 6))) <= 700


def test_smooth_functions_cost_six_calls_a_direction_and_thirty_for_all_else() -> None:
    cosine = lambda g, x: g * np.cos(x)
    for x, directions in ((np.array(0.3), 1), (np.linspace(0.1, 1.2, 60), 60), (np.linspace(0.1, 1.2, 2000), 3)):
        assert calls(check_vjp, np.sin, cosine, x) <= 30 + 6 * directions


X = np.random.default_rng(0).uniform(-2, 2, 2000)


def wrong_at(*entries: int) -> Any:
    factor = np.ones(2000)
    factor[list(entries)] = 1.5
    return lambda g, x: g * np.cos(x) * factor.astype(x.dtype)


@pytest.mark.parametrize("check", [check_vjp, check_jvp])
@pytest.mark.parametrize("f", [np.sin, lambda x: np.sin(x).sum()], ids=["elementwise", "a sum"])
def test_one_wrong_entry_of_2000_is_found_within_a_thousand_calls(check: Any, f: Any) -> None:
    rule = wrong_at(617)
    if check is check_jvp and f is not np.sin:
        rule = lambda v, x: wrong_at(617)(v, x).sum()
    assert calls(check, f, rule, X, GradientError, r"at index \(617,\).* 1 of 2000 entries are wrong") <= 1000


def test_many_wrong_entries_are_counted_among_some() -> None:
    half = wrong_at(*range(1000))
    assert calls(check_vjp, np.sin, half, X, GradientError, "2000 entries 32 others were tried, 1[0-9] of 32") <= 1000
    everywhere = wrong_at(*range(2000))
    assert calls(check_vjp, np.sin, everywhere, X, GradientError, "2000 entries 32 others were tried, 32 of 32") <= 1000


def test_few_wrong_entries_of_many_are_counted_or_bounded_from_below() -> None:
    match = r"(3|at least [123]) of 2000 entries are wrong"
    assert calls(check_vjp, np.sin, wrong_at(3, 617, 1999), X, GradientError, match) <= 2000


def test_a_kink_among_2000_is_found_within_3000_calls() -> None:
    x = np.where(np.arange(2000) == 617, 0.0, X)
    relu = lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0)
    assert calls(check_vjp, *relu, x, KinkError, r"at index \(617,\)") <= 3000
    assert calls(check_vjp, *relu, np.zeros((50, 40)), KinkError, r"at index \(0, 0\)") <= 3000


FACTORS = {"sin": (np.sin, np.cos), "exp": (np.exp, np.exp), "log": (np.log, lambda x: 1 / x)}


@pytest.mark.parametrize("name", FACTORS)
def test_two_steps_a_direction_make_no_check_milder(name: str) -> None:
    f, slope = FACTORS[name]
    x = np.linspace(0.1, 1.9, 5)
    check_vjp(f, lambda g, x: g * slope(x), x)
    with pytest.raises(GradientError, match="5 of 5 entries are wrong"):
        check_vjp(f, lambda g, x: g * slope(x) * (1 + 3e-6), x)


@pytest.mark.parametrize("distance", 10.0 ** np.arange(-4, -1, 0.5))
def test_a_kink_between_or_beside_the_few_steps_hides_no_wrong_slope(distance: float) -> None:
    bent = lambda x: np.abs(x - 1 - distance) + 3 * x
    check_vjp(bent, lambda g, x: 2 * g, 1.0)
    for wrong in (1.999, 3.0):  # the mean of both sides, too
        with pytest.raises(GradientError, match=rf"is {wrong:g}, finite differences give 2"):
            check_vjp(bent, lambda g, x: wrong * g, 1.0)  # noqa: B023
