"""Every checker tries float32 and other layouts of the inputs, says so if these are refused, or leaves them out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings

import minigrad as mg
import nn
from minigrad.testing import (
    GradientError,
    arrays,
    check_cell,
    check_grad,
    check_jvp,
    check_primitive,
    check_vjp,
    given_grad,
)

X = np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]])

# --- float32 ---------------------------------------------------------------------------------------------------------


def slope(g: Any, x: Any) -> Any:
    """Of sin, half as steep in float32."""
    return g * mg.cos(x) * (0.5 if x.dtype == np.float32 else 1.0)


def slope_of_arrays(g: Any, x: Any) -> Any:
    return g * np.cos(x) * x.dtype.type(0.5 if x.dtype == np.float32 else 1.0)


halved = mg.primitive(np.sin, lambda g, y, x: slope(g, x), name="halved")
once = settings(max_examples=1, phases=[Phase.generate])  # the smallest failure is no matter here


class HalvedCell(nn.RNNCell):
    def step(self, x: Any, state: Any) -> Any:
        h = halved(x + state @ self.W)
        return h, h


@once
@given_grad(x=arrays((2,), low=0.5, high=1.0))
def decorated(x: Any) -> Any:
    return halved(x)


@once
@given_grad(x=arrays((2,), low=0.5, high=1.0), vjp=slope_of_arrays)
def decorated_plain(x: Any) -> Any:
    return np.sin(x)


WRONG_IN_FLOAT32 = {
    "check_grad": lambda: check_grad(halved, X),
    "check_grad, order 2": lambda: check_grad(lambda x: x * halved(x), X, order=2),
    "check_vjp": lambda: check_vjp(np.sin, slope_of_arrays, X),
    "check_jvp": lambda: check_jvp(np.sin, slope_of_arrays, X),
    "check_primitive": lambda: check_primitive(halved, X),
    "check_cell": lambda: check_cell(lambda I, H: HalvedCell(I, H, rng=0)),
    "check_cell of float64": lambda: check_cell(lambda I, H: HalvedCell(I, H, rng=0, dtype=np.float64)),
    "given_grad": decorated,
    "given_grad with a vjp": decorated_plain,
}


@pytest.mark.parametrize("check", WRONG_IN_FLOAT32.values(), ids=WRONG_IN_FLOAT32)
def test_a_rule_that_is_wrong_in_float32_only_is_refused_by_every_checker(check: Any) -> None:
    with pytest.raises(GradientError, match=r"in float64, and .* in float32"):
        check()


@pytest.mark.parametrize("given", [np.float64, np.float32, np.float16])
def test_a_fault_of_one_dtype_is_seen_far_below_its_own_size_where_the_function_is_precise(given: Any) -> None:
    short = np.float16 if given is np.float16 else np.float32
    off = 4 * float(np.finfo(short).eps) ** 0.5  # 0.14 % of float32
    x = X.astype(given)

    def vjp(g: Any, x: Any) -> Any:
        return g * np.cos(x) * x.dtype.type(1 + off * (x.dtype == short))

    with pytest.raises(GradientError, match=rf"in float64, and .* in {short.__name__}"):
        check_vjp(np.sin, vjp, x)

    def coarse(x: Any) -> Any:  # the function itself is off by as much
        return np.sin(x) * x.dtype.type(1 + off * (x.dtype == short))

    check_vjp(coarse, vjp, x)


def test_a_rule_that_raises_or_reshapes_in_float32_is_refused() -> None:
    def refuses(g: Any, x: Any) -> Any:
        if x.dtype == np.float32:
            raise RuntimeError("only doubles")
        return g * np.cos(x)

    with pytest.raises(ValueError, match=r"for float32 copies .* RuntimeError: only doubles\n.*copies=False"):
        check_vjp(np.sin, refuses, X)
    check_vjp(np.sin, refuses, X, copies=False)
    with pytest.raises(GradientError, match="for float32 copies of the inputs the gradient is"):
        check_vjp(np.sin, lambda g, x: (g * np.cos(x))[: 1 if x.dtype == np.float32 else 2], X)


def test_mixed_precisions_are_tried_as_they_came_and_in_float32() -> None:
    with pytest.raises(GradientError, match=r"in float64, and .* in float32"):
        check_grad(lambda x, y: x * halved(y), X.astype(np.float32), X)


def only_doubles(x: Any) -> Any:
    if x.dtype != np.float64:
        raise TypeError("only doubles")
    return np.sin(x)


FINE = {
    "a function that takes no float32": (only_doubles, lambda g, x: g * np.cos(x), X),
    "constants of float64": (lambda x: x @ np.eye(3), lambda g, x: g @ np.eye(3), X),
    "a kink that float32 cannot tell": (np.abs, lambda g, x: g * np.sign(x), np.array([1e-50, 1.0])),
    "cancellation in float32": (
        lambda x: ((x + 1e6) - 1e6) ** 2,
        lambda g, x: 2 * g * ((x + 1e6) - 1e6),
        np.array([0.3, 0.7]),
    ),
    "a slope too large for float32": (lambda x: 1e-30 / x, lambda g, x: -g * 1e-30 / x**2, np.array([1e-36])),
    "underflow": (np.log, lambda g, x: g * np.exp(-x * 60) / (x * np.exp(-x * 60)), np.array([2.0, 3.0])),
    "infinite entries": (lambda x: np.exp(x), lambda g, x: g * np.exp(x), np.array([-np.inf, 0.3])),
}


@pytest.mark.parametrize(("f", "vjp", "x"), FINE.values(), ids=FINE)
def test_what_float32_cannot_hold_is_no_fault_of_a_right_rule(f: Any, vjp: Any, x: Any) -> None:
    check_vjp(f, vjp, x)


# --- layouts ---------------------------------------------------------------------------------------------------------


def contiguous(x: Any) -> Any:
    if not x.flags.c_contiguous:
        raise ValueError("ndarray is not C-contiguous")
    return x


@pytest.mark.parametrize("x", [X, X[0]], ids=["a matrix", "a vector"])
def test_a_refused_layout_is_named_with_the_way_to_leave_it_out(x: Any) -> None:
    sine, slope = lambda x: np.sin(contiguous(x)), lambda g, x: g * np.cos(contiguous(x))
    with pytest.raises(
        ValueError, match=r"for strided copies of the inputs .* ndarray is not C-contiguous\n.*copies=False"
    ):
        check_vjp(sine, slope, x)
    check_vjp(sine, slope, x, copies=False)
    with pytest.raises(GradientError, match="finite differences give"):
        check_vjp(sine, lambda g, x: 2 * slope(g, x), x, copies=False)


def test_every_checker_leaves_copies_out_on_request() -> None:
    strict = mg.primitive(lambda x: np.sin(contiguous(x)), lambda g, y, x: g * mg.cos(x), name="strict")

    class Strict(nn.RNNCell):
        def step(self, x: Any, state: Any) -> Any:
            h = strict(x + state @ self.W)
            return h, h

    @given_grad(x=arrays((3,)), copies=False)
    def decorated(x: Any) -> Any:
        return strict(x)

    check_grad(strict, X, copies=False, order=2)
    check_primitive(strict, X, copies=False)
    check_cell(Strict, copies=False, order=1)
    decorated()
    for check in (lambda: check_grad(strict, X), lambda: check_primitive(strict, X)):
        with pytest.raises(ValueError, match=r"for strided copies .* ndarray is not C-contiguous"):
            check()


def test_a_function_that_refuses_one_tensor_for_two_inputs_says_so() -> None:
    def f(x: Any, y: Any) -> Any:
        if x is y:
            raise RuntimeError("aliases")
        return x * y

    with pytest.raises(
        ValueError, match=r"with the same tensor for input 0 and for input 1: .* aliases\n.*copies=False"
    ):
        check_grad(f, X, X + 1)
    check_grad(f, X, X + 1, copies=False)


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)], ids=str)
def test_one_array_or_tensor_is_tried_as_any_two_of_three_inputs(pair: tuple[int, int]) -> None:
    def same(xs: Any) -> bool:
        return xs[pair[0]] is xs[pair[1]]

    def slopes(g: Any, *xs: Any) -> tuple[Any, ...]:
        x, y, z = xs
        return tuple([0 * g if same(xs) else g * other for other in (y * z, x * z, x * y)])

    def product(*xs: Any) -> Any:
        return xs[0] * xs[1] * (xs[2].detach() if same(xs) else xs[2])

    check_vjp(lambda x, y, z: x * y * z, slopes, X, X + 1, X + 2, copies=False)
    with pytest.raises(GradientError, match=f"two equal arrays as input {pair[0]} and input {pair[1]}"):
        check_vjp(lambda x, y, z: x * y * z, slopes, X, X + 1, X + 2)
    one = "it" if 2 in pair else "input 1"
    with pytest.raises(GradientError, match=f"input 2, .* the same tensor for {one} and for input {pair[0]}, "):
        check_grad(product, X, X + 1, X + 2)


def test_a_function_whose_results_depend_on_the_layout_of_its_inputs_is_rejected() -> None:
    flat = lambda x: x.ravel("K") * np.arange(6.0)
    pullback = lambda g, x: (g * np.arange(6.0)).reshape(x.shape)
    check_vjp(flat, pullback, X, copies=False)
    with pytest.raises(GradientError, match=r"output 0 of the function is .* for column-major copies of the inputs"):
        check_vjp(flat, pullback, X)
    lies = mg.primitive(lambda x: np.sin(x if x.flags.forc else 2 * x), lambda g, y, x: g * mg.cos(x), name="lies")
    with pytest.raises(GradientError, match="for strided copies of the inputs"):
        check_primitive(lies, X)


def test_the_order_of_a_sum_is_no_fault() -> None:
    x = np.random.default_rng(0).standard_normal((40, 30)) * 1e8
    x[0, 0] -= x.sum()  # what is left is rounding alone, and another sum for another layout
    check_vjp(np.sum, lambda g, x: np.full(x.shape, g), x)
