"""Planted faults of every kind: the checkers reject each, and accept the same thing without the fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import primitive
from minigrad.testing import GradientError, check_grad, check_primitive, check_vjp

RNG = np.random.default_rng(3)
X = RNG.uniform(0.5, 1.5, (2, 3)) * RNG.choice([-1.0, 1.0], (2, 3))
SQUARE = RNG.standard_normal((3, 3))


def is_array(x: Any) -> bool:
    return not isinstance(x, mg.Tensor)


def constant(x: Any) -> Any:
    return x if is_array(x) else x.detach()


# --- rules of a primitive, seen by check_grad ------------------------------------------------------------------------


def cube(rule: Any, function: Any = lambda x: x**3) -> mg.Primitive:
    """x³, whose right rule is 3 g x²."""
    return primitive(function, rule, name="cube")


def right(g: Any, y: Any, x: Any) -> Any:
    return 3 * g * x**2


class Stale:
    """Rules that remember the arrays of their first call, or of their last one."""

    def __init__(self, first: bool) -> None:
        self.first, self.kept = first, None

    def forward(self, x: Any) -> Any:
        if self.kept is None or not self.first:
            self.kept = np.array(x)
        return x**3

    def backward(self, g: Any, y: Any, x: Any) -> Any:
        return 3 * g * self.kept**2


def increment(x: Any) -> Any:
    x += 1.0
    return (x - 1) ** 3


def on_cotangent(g: Any, y: Any, x: Any) -> Any:
    if is_array(g):
        g *= 3 * x**2
        return g
    return right(g, y, x)


def on_input(g: Any, y: Any, x: Any) -> Any:
    result = 3 * g * x**2
    if is_array(x):
        x += 1.0
    return result


def on_output(g: Any, y: Any, x: Any) -> Any:
    result = 3 * g * x**2
    if is_array(y):
        y += 1.0
    return result


def if_array(test: Any) -> Any:
    """The right rule, but twice as much where it is called on such arrays: test(g, x)."""
    return lambda g, y, x: 3 * g * x**2 * (2.0 if is_array(g) and test(g, x) else 1.0)


def at_random(g: Any, y: Any, x: Any) -> Any:
    return 3 * g * x**2 * RNG.random()


FIRST_ORDER = {
    "1000 times too large": lambda g, y, x: 3000 * g * x**2,
    "1.0001 times too large": lambda g, y, x: 3.0003 * g * x**2,
    "of the wrong sign": lambda g, y, x: -3 * g * x**2,
    "zero": lambda g, y, x: 0.0 * g * x,
    "a constant factor forgotten": lambda g, y, x: g * x**2,
    "the output for the input": lambda g, y, x: 3 * g * y**2,
    "entries in reverse": lambda g, y, x: mg.flip(3 * g * x**2),
    "the mean over an axis": lambda g, y, x: mg.broadcast_to(mg.mean(3 * g * x**2, axis=0), x.shape),
    "one missing entry": lambda g, y, x: 3 * g * x**2 * (np.arange(x.size).reshape(x.shape) != 4),
    "wrong at negative inputs only": lambda g, y, x: 3 * g * x * abs(x),
    "wrong at large inputs only": lambda g, y, x: 3 * g * mg.clip(x, -1.2, 1.2) ** 2,
    "the cotangent ignored": lambda g, y, x: 3 * x**2,
    "the cotangent's absolute value": lambda g, y, x: 3 * abs(g) * x**2,
    "the cotangent squared": lambda g, y, x: 3 * g * g * x**2,
    "a constant added": lambda g, y, x: 3 * g * x**2 + 1e-6,
    "not a number": lambda g, y, x: g * np.nan,
    "infinite": lambda g, y, x: g * np.inf,
    "of another shape": lambda g, y, x: (3 * g * x**2)[:1, :2],
    "the cotangent changed in place": on_cotangent,
    "the input changed in place": on_input,
    "the output changed in place": on_output,
    "wrong for negative strides only": if_array(lambda g, x: any(s < 0 for s in x.strides)),
    "wrong for a column-major input only": if_array(lambda g, x: not x.flags.c_contiguous and x.flags.f_contiguous),
    "wrong for a cotangent with gaps only": if_array(lambda g, x: not g.flags.forc and g.strides[-1] != 0),
    "wrong for a broadcast cotangent only": if_array(lambda g, x: g.size > 1 and not any(g.strides)),
    "wrong for float32 only": if_array(lambda g, x: x.dtype == np.float32),
    "random": at_random,
    "of the first call's input": Stale(first=True),
    "of the last call's input": Stale(first=False),
}


@pytest.mark.parametrize("fault", FIRST_ORDER.values(), ids=FIRST_ORDER)
def test_a_wrong_rule_is_rejected(fault: Any) -> None:
    broken = cube(fault.backward, fault.forward) if isinstance(fault, Stale) else cube(fault)
    with pytest.raises(GradientError):
        check_grad(broken, X)


def test_the_right_rule_is_accepted_at_every_order() -> None:
    check_grad(cube(right), X, order=4)


def test_a_function_that_changes_its_input_is_rejected() -> None:
    with pytest.raises(GradientError, match="changed its input in place"):
        check_grad(cube(right, increment), X)


def test_a_random_function_is_rejected() -> None:
    with pytest.raises(GradientError, match="random"):
        check_grad(lambda x: x * RNG.random(), X)


def test_a_function_that_counts_its_calls_is_rejected() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        return x * float(len(calls))

    with pytest.raises(GradientError, match="keep state"):
        check_grad(f, X)


HIGHER = {
    "an input held constant": (2, lambda g, y, x: 3 * g * constant(x) ** 2),
    "one factor held constant": (2, lambda g, y, x: 3 * g * x * constant(x)),
    "the output held constant": (2, lambda g, y, x: 3 * g * constant(y) / x),
    "the cotangent held constant": (2, lambda g, y, x: 3 * constant(g) * x**2),
    "third order only": (3, lambda g, y, x: g * cube(lambda g, y, x: 6 * g * constant(x), lambda x: 3 * x**2)(x)),
}


@pytest.mark.parametrize(("order", "rule"), HIGHER.values(), ids=HIGHER)
def test_a_rule_that_is_wrong_only_from_some_order_on_is_rejected_there(order: int, rule: Any) -> None:
    f = lambda x: mg.sin(cube(rule)(x))
    check_grad(f, X, order=order - 1)
    with pytest.raises(GradientError, match=f"derivative of order {order}"):
        check_grad(f, X, order=order)


def test_a_linear_rule_that_loses_the_record_of_its_cotangent_is_rejected_by_forward_mode() -> None:
    broken = primitive(lambda x: 2 * x, lambda g, y, x: 2 * constant(g), name="broken")
    check_grad(broken, X)
    with pytest.raises(GradientError, match="forward mode disagrees with reverse mode"):
        check_grad(broken, X, order=2)


# --- several inputs --------------------------------------------------------------------------------------------------

times_y = lambda g, z, x, y: g * y
times_x = lambda g, z, x, y: g * x
PRODUCT = {
    "the second input's only": (0, 1, primitive(np.multiply, times_y, times_y, name="broken")),
    "the first input's only": (1, 0, primitive(np.multiply, times_x, times_x, name="broken")),
}


@pytest.mark.parametrize(("good", "bad", "broken"), PRODUCT.values(), ids=PRODUCT)
def test_a_wrong_derivative_of_one_input_is_rejected_and_the_other_accepted(good: int, bad: int, broken: Any) -> None:
    check_grad(broken, X, X + 3, wrt=[good])
    with pytest.raises(GradientError, match=f"^input {bad}"):
        check_grad(broken, X, X + 3)


MATRIX = {
    "b g": lambda g, y, a, b: b @ g,
    "g b": lambda g, y, a, b: g @ b,
    "bᵀ g": lambda g, y, a, b: mg.transpose(b) @ g,
    "(g bᵀ)ᵀ": lambda g, y, a, b: mg.transpose(g @ mg.transpose(b)),
    "g aᵀ": lambda g, y, a, b: g @ mg.transpose(a),
}


@pytest.mark.parametrize("rule", MATRIX.values(), ids=MATRIX)
def test_a_wrong_order_of_matrix_products_is_rejected(rule: Any) -> None:
    broken = primitive(np.matmul, rule, lambda g, y, a, b: mg.transpose(a) @ g, name="broken")
    with pytest.raises(GradientError, match="input 0"):
        check_grad(broken, SQUARE, SQUARE[::-1] + 1.0)


def test_a_fault_that_symmetric_weights_hide_is_rejected_at_second_order() -> None:
    broken = primitive(
        np.matmul, lambda g, y, a, b: g @ b, lambda g, y, a, b: mg.transpose(a) @ g, name="broken"
    )  # g bᵀ is right
    symmetric = SQUARE + SQUARE.T
    check_grad(broken, X, symmetric)  # right, at this point
    with pytest.raises(GradientError, match="not symmetric") as caught:
        check_grad(broken, X, symmetric, order=2)
    assert "to blame: step 1 of 1, `broken`" in str(caught.value)
    assert "at their own values the fault is hidden" in str(caught.value)


def test_a_missing_sum_over_a_broadcast_axis_is_rejected() -> None:
    first_row = lambda g, z, x, y: g[0]
    broken = primitive(np.add, lambda g, z, x, y: g, first_row, name="broken")
    with pytest.raises(GradientError, match="input 1"):
        check_grad(broken, X, X[0])
    unsummed = lambda g, x, y: (g.copy(), g.copy())
    with pytest.raises(GradientError, match=r"\(2, 3\) float64, it belongs to \(3,\)"):
        check_vjp(np.add, unsummed, X, X[0])


def test_last_write_wins_at_repeated_indices_is_rejected() -> None:
    rows = np.array([0, 1, 0])

    def last(g: Any, x: Any) -> Any:
        result = np.zeros_like(x)
        result[rows] = g
        return result

    def summed(g: Any, x: Any) -> Any:
        result = np.zeros_like(x)
        np.add.at(result, rows, g)
        return result

    check_vjp(lambda x: x[rows], summed, X)
    with pytest.raises(GradientError, match=r"at index \(0, "):
        check_vjp(lambda x: x[rows], last, X)


def test_one_tensor_for_two_arguments_must_collect_both_gradients() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y if x is not y else x * y.detach()

    with pytest.raises(GradientError, match="the same tensor for it and for input 0"):
        check_grad(f, X, X + 3)


# --- the record cut off ----------------------------------------------------------------------------------------------

CUT = {
    "detach in the middle": lambda x: mg.tanh(x) * mg.sin(x).detach(),
    "detach at the end": lambda x: mg.tanh(x).detach(),
    "data taken out": lambda x: x * mg.tensor(np.exp(x.data)),
    "a float taken out": lambda x: x * float(mg.sum(x).data),
}


@pytest.mark.parametrize("f", CUT.values(), ids=CUT)
def test_a_value_taken_out_of_the_record_is_rejected(f: Any) -> None:
    with pytest.raises(GradientError):
        check_grad(f, X)


# --- float32 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_rule_that_is_wrong_only_in_a_short_dtype_is_rejected_there(dtype: Any) -> None:
    broken = cube(lambda g, y, x: 3 * g * x**2 * (1.5 if x.dtype == dtype else 1.0))
    if dtype == np.float16:  # float32 is tried with every input
        check_grad(broken, X)
    with pytest.raises(GradientError, match="in float64, and"):
        check_grad(broken, X.astype(dtype))
    check_grad(cube(right), X.astype(dtype))


def test_a_gradient_of_another_dtype_is_rejected() -> None:
    drifting = lambda g, x: 3.0 * np.float64(g) * x.astype(np.float64) ** 2
    check_vjp(lambda x: x**3, drifting, X)
    with pytest.raises(GradientError, match=r"float64, it belongs to .* float32"):
        check_vjp(lambda x: x**3, drifting, X.astype(np.float32))
    with pytest.raises(GradientError, match=r"float32, it belongs to .* float64"):
        check_vjp(lambda x: x**3, lambda g, x: (3 * g * x**2).astype(np.float32), X)


# --- primitives ------------------------------------------------------------------------------------------------------


def test_a_primitive_that_turns_float32_into_float64_is_rejected() -> None:
    broken = primitive(lambda x: x * np.array(2.0), lambda g, y, x: 2.0 * g, name="broken")
    check_grad(broken, X)
    with pytest.raises(GradientError, match="for float32 inputs its function returns float64"):
        check_primitive(broken, X)


ELEMENTWISE = {
    "the input's own shape": lambda g, z, x, y: mg.reshape(g * x, y.shape),
    "copies not counted": lambda g, z, x, y: g * x * (y.size / g.size),
    "a first entry needed": lambda g, z, x, y: g * x + 0.0 * g[..., :1] if g.ndim else g * x + 0.0 * g[0],
}


@pytest.mark.parametrize("rule", ELEMENTWISE.values(), ids=ELEMENTWISE)
def test_a_rule_that_fails_for_broadcast_empty_or_0d_operands_only_is_rejected(rule: Any) -> None:
    broken = primitive(np.multiply, times_y, rule, name="broken")
    check_grad(broken, X, X + 3)
    with pytest.raises(GradientError):
        check_primitive(broken, X, X + 3)


SINGLE = {
    "0-d": lambda x: not np.ndim(x),
    "of one entry": lambda x: x.size == 1,
    "a row": lambda x: np.shape(x) == (1,),
}


@pytest.mark.parametrize("single", SINGLE.values(), ids=SINGLE)
def test_a_rule_that_is_wrong_for_a_single_entry_only_is_rejected(single: Any) -> None:
    broken = primitive(np.multiply, lambda g, z, x, y: g * y * (2.0 if single(x) else 1.0), times_x, name="broken")
    check_grad(broken, X, X + 3)
    with pytest.raises(
        GradientError, match=r"input 0: alone, in an array of shape \(1?,?\), an entry has the gradient"
    ):
        check_primitive(broken, X, X + 3)


OUT = {
    "another result": lambda x, out=None: np.sin(x) if out is None else np.cos(x, out=out),
    "not for gaps": lambda x, out=None: np.sin(x) if out is None else np.copyto(out.reshape(-1), np.sin(x).reshape(-1)),
    "not at all": lambda x, out=None: np.sin(x),
}


@pytest.mark.parametrize("function", OUT.values(), ids=OUT)
def test_a_function_that_writes_something_else_to_out_is_rejected(function: Any) -> None:
    with pytest.raises(GradientError, match=r"writes something else to (an|a transposed) array `out` than it returns"):
        check_primitive(primitive(function, lambda g, y, x: g * mg.cos(x), name="broken"), X)
    check_primitive(primitive(lambda x, out=None: np.sin(x, out=out), lambda g, y, x: g * mg.cos(x), name="good"), X)
