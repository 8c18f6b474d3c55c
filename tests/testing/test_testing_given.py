"""given_grad leaves the settings of hypothesis to the user, but for a deadline and a phase that nobody asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, example, seed, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import GradientError, arrays, check_grad, given_grad

quick = settings(max_examples=2, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def presets() -> Iterator[None]:
    """hypothesis as it comes, without the profile of these tests."""
    settings.register_profile("before", settings())
    settings.load_profile("default")
    yield
    settings.load_profile("before")


def slow(x: Any) -> Any:
    time.sleep(0.001)
    return mg.sin(x)


def too_slow(decorated: Any) -> None:
    with pytest.raises(hypothesis.errors.DeadlineExceeded):
        decorated()


def test_there_is_no_deadline_unless_somebody_sets_one(presets: None) -> None:
    ours = settings.get_profile("default").deadline
    assert ours is not None
    draw = given_grad(x=arrays((60,)))

    def slower(x: Any) -> Any:  # some 250 calls
        return slow(x)

    draw(slower)
    for s in (settings(max_examples=2), settings(max_examples=2, derandomize=True)):
        assert s.deadline == ours
        s(draw(slower))()
        draw(s(slower.__class__(slower.__code__, globals(), closure=slower.__closure__)))()


@pytest.mark.parametrize("deadline", [5, 200])
def test_a_deadline_of_the_users_is_kept_in_either_order(presets: None, deadline: int) -> None:
    s = settings(max_examples=2, deadline=deadline, derandomize=True, phases=[hypothesis.Phase.generate])

    def f(x: Any) -> Any:
        return slow(x)

    def g(x: Any) -> Any:
        return slow(x)

    too_slow(s(given_grad(x=arrays((60,)))(f)))
    too_slow(given_grad(x=arrays((60,)))(s(g)))


def test_a_deadline_of_a_profile_is_kept(presets: None) -> None:
    settings.register_profile("hurried", deadline=5, phases=[hypothesis.Phase.generate], max_examples=2)
    settings.load_profile("hurried")

    @given_grad(x=arrays((24,)))
    def test(x: Any) -> Any:
        return slow(x)

    too_slow(test)


def test_a_failing_example_is_not_run_some_hundred_times_more_to_explain_it(presets: None) -> None:
    calls = []

    @settings(max_examples=1, derandomize=True, database=None)
    @given_grad(x=hypothesis.strategies.floats(1, 2), vjp=lambda g, x: calls.append(x) or -g * np.cos(x))
    def test(x: Any) -> Any:
        return np.sin(x)

    with pytest.raises(GradientError):
        test()
    assert len(calls) < 400  # 156, and 1 248 with `explain`


def test_phases_that_somebody_sets_are_kept(presets: None) -> None:
    points = []

    @settings(phases=[hypothesis.Phase.explicit])
    @given_grad(x=arrays(()))
    @example(x=np.array(7.0))
    def test(x: Any) -> Any:
        points.append(float(np.asarray(x.data)))
        return mg.sin(x)

    test()
    assert {round(x) for x in points} == {7}


@pytest.mark.parametrize("above", [True, False])
def test_the_number_of_examples_is_the_users_in_either_order(above: bool) -> None:
    points = set()

    def f(x: Any) -> Any:
        points.add(float(np.asarray(x.data).ravel()[0]))
        return mg.sin(x)

    def drawn() -> int:
        return len({p for p in points if round(p, 2) == p})

    s = settings(quick, max_examples=7)
    test = s(given_grad(x=arrays(()))(f)) if above else given_grad(x=arrays(()))(s(f))
    test()
    assert 1 <= drawn() <= 7
    first = set(points)
    points.clear()
    test()
    assert points == first  # derandomised


def test_two_settings_are_refused_as_hypothesis_does() -> None:
    def f(x: Any) -> Any:
        return mg.sin(x)

    with pytest.raises(hypothesis.errors.InvalidArgument, match="already been decorated"):
        quick(given_grad(x=arrays())(quick(f)))


@pytest.mark.parametrize("above", [True, False])
def test_examples_seeds_and_marks_are_kept_in_either_order(above: bool) -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(np.asarray(x.data).tolist())
        return mg.sin(x)

    decorate = [example(x=np.array([7.0])), seed(3), pytest.mark.usefixtures("presets"), quick]
    draw = given_grad(x=arrays((1,)))
    for part in [draw, *decorate] if above else [*decorate, draw]:
        f = part(f)
    f(**{})
    assert [7.0] in seen
    assert [mark.name for mark in f.pytestmark] == ["usefixtures"]  # type: ignore[attr-defined]
    assert f.is_hypothesis_test  # type: ignore[attr-defined]


def test_the_function_and_its_vjp_stay_within_reach() -> None:
    vjp = lambda g, x: g * np.cos(x)

    @given_grad(x=arrays(), vjp=vjp)
    def test(x: Any) -> Any:
        return np.sin(x)

    assert test.function(0.0) == 0.0  # type: ignore[attr-defined]
    assert test.vjp is vjp  # type: ignore[attr-defined]


class TestMethods:
    @quick
    @given_grad(x=arrays((2,)))
    def test_a_method_may_be_decorated(self, x: Any) -> Any:
        return mg.sin(x)

    @given_grad(x=arrays((2,)))
    @quick
    def test_a_method_may_be_decorated_in_the_other_order(self, x: Any) -> Any:
        return mg.sin(x)


def test_an_example_is_reported_with_the_checkers_message() -> None:
    broken = mg.primitive(np.sin, lambda g, y, x: 2 * g * mg.cos(x), name="broken")

    @settings(quick, phases=[hypothesis.Phase.generate])
    @given_grad(x=arrays((1,)))
    def test(x: Any) -> Any:
        return broken(x)

    with pytest.raises(GradientError, match="to blame: step 1 of 1, `broken`") as caught:
        test()
    assert any("test(" in note for note in caught.value.__notes__)


def test_a_strategy_without_a_name_is_refused_with_the_form_to_write() -> None:
    with pytest.raises(TypeError, match=r"name each strategy .*@given_grad\(x=arrays\(\)\)"):
        given_grad(arrays())


def test_a_parameter_with_a_default_keeps_it_or_is_drawn() -> None:
    seen = set()

    @given_grad(x=arrays((2,)))
    def kept(x: Any, n: int = 2, *, m: int = 3) -> Any:
        seen.add((n, m))
        return x**n * m

    @given_grad(x=arrays((2,)), n=st.integers(1, 2))
    def drawn(x: Any, n: int = 7) -> Any:
        seen.add(n)
        return x**n

    kept()
    drawn()
    assert seen == {(2, 3), 1, 2}


def test_a_parameter_with_a_default_is_passed_where_a_failure_is_repeated() -> None:
    @given_grad(x=arrays((2,), low=1.0))
    def wrong(x: Any, n: int = 2) -> Any:
        return x**n * mg.tensor(x.data)

    with pytest.raises(GradientError, match=r"check_grad\(wrong.function, x0\)"):
        wrong()
    with pytest.raises(GradientError):
        check_grad(wrong.function, np.ones(2))  # type: ignore[attr-defined]


def test_numbers_next_to_the_largest_are_moved_without_a_warning() -> None:
    check_grad(lambda x: 0.5 * x, np.array([1.7e308]))
