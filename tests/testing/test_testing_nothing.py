"""A check that compares nothing, or that could not fail, is refused; it never passes."""

from __future__ import annotations

import dataclasses
import math
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_mutants import CHECKED, Suite

import minigrad as mg
import nn
from minigrad.testing import (
    DifferenceError,
    GradientError,
    KinkError,
    arrays,
    check_cell,
    check_grad,
    check_jvp,
    check_primitive,
    check_vjp,
    given_grad,
    mutants,
    numeric_gradient,
    same,
)

X = np.array([0.3, -1.2])
NOTHING = {
    "None": lambda x: None,
    "an empty tuple": lambda x: (),
    "an empty dict": lambda x: {},
    "nested nothing": lambda x: [(), {"a": None}],
    "text": lambda x: "a",
    "a bool": lambda x: True,
    "an integer": lambda x: 3,
    "argmax": lambda x: np.argmax(x),
    "a comparison": lambda x: x > 0,
    "integers": lambda x: np.arange(3),
    "a generator": lambda x: (part for part in x),
    "a function": lambda x: np.sin,
}
ON_TENSORS = {
    "argmax": lambda x: mg.argmax(x),
    "a float": lambda x: 3.0,
    "an array": lambda x: np.sin(x.data),
    "a float taken out": lambda x: [x.sum().item(), "loss"],
    "a Tensor of integers": lambda x: mg.tensor([1, 2]),
}


@pytest.mark.parametrize("f", [*NOTHING.values(), *ON_TENSORS.values()])
def test_a_result_without_a_floating_tensor_is_refused(f: Any) -> None:
    with pytest.raises(TypeError, match="is a `return` missing"):
        check_grad(f, X)


@pytest.mark.parametrize("f", NOTHING.values(), ids=NOTHING)
def test_a_result_without_a_floating_array_is_refused(f: Any) -> None:
    for check in (check_vjp, check_jvp):
        with pytest.raises(TypeError, match="is a `return` missing"):
            check(f, lambda g, x: np.zeros(2), X)


@pytest.mark.parametrize("f", NOTHING.values(), ids=NOTHING)
def test_numeric_gradient_refuses_what_is_no_number(f: Any) -> None:
    with pytest.raises(TypeError, match="is a `return` missing"):
        numeric_gradient(f, X)


def test_a_rule_without_return_is_refused() -> None:
    with pytest.raises(GradientError, match=r"vjp returned None .* is a `return` missing"):
        check_vjp(np.sin, lambda g, x: None, X)
    with pytest.raises(GradientError, match=r"jvp returned None .* is a `return` missing"):
        check_jvp(np.sin, lambda v, x: None, X)


@pytest.mark.parametrize(
    "made",
    [dict, str, lambda: (g for g in [X]), lambda: None.__class__],
    ids=["dict", "str", "generator", "class"],
)
def test_a_rule_that_returns_no_array_is_refused_with_what_it_returned(made: Any) -> None:
    with pytest.raises(GradientError, match=rf"vjp returned a {type(made()).__name__} where an array belongs"):
        check_vjp(np.sin, lambda g, x: made(), X)
    with pytest.raises(GradientError, match=rf"jvp returned a {type(made()).__name__} where an array belongs"):
        check_jvp(np.sin, lambda v, x: made(), X)


@pytest.mark.parametrize("vjp", [None, lambda g, x: g])
def test_a_decorated_test_without_return_is_refused(vjp: Any) -> None:
    @given_grad(x=arrays((2,)), vjp=vjp)
    def test(x: Any) -> None:
        mg.sin(x)

    with pytest.raises(TypeError, match="is a `return` missing"):
        test()


def test_a_primitive_whose_result_is_not_floating_is_refused() -> None:
    sign = mg.primitive(lambda x: np.sign(x).astype(int), lambda g, y, x: 0 * x)
    with pytest.raises(TypeError, match="is a `return` missing"):
        check_primitive(sign, X)


def test_a_step_without_return_is_refused() -> None:
    with pytest.raises(GradientError, match="got None; is a `return` missing"):
        check_cell(lambda I, H: lambda x, h: None)
    with pytest.raises(GradientError, match="the output at time step 0 is a tuple"):
        check_cell(lambda I, H: lambda x, h: ((), h))


CHECKS: dict[str, Any] = {
    "check_grad": lambda *xs, **options: check_grad(lambda *xs: mg.sin(xs[0]), *xs, **options),
    "check_vjp": lambda *xs, **options: check_vjp(np.sin, lambda g, x: g * np.cos(x), *xs, **options),
    "check_jvp": lambda *xs, **options: check_jvp(np.sin, lambda v, x: v * np.cos(x), *xs, **options),
}


@dataclasses.dataclass
class Weights:
    w: Any


class Slotted:
    __slots__ = ("w",)

    def __init__(self, w: Any) -> None:
        self.w = w


#: What is no tree, and yet holds numbers of which a gradient would be expected.
HOLDERS: dict[str, Any] = {
    "a Weights": Weights,
    "a Slotted": Slotted,
    "a SimpleNamespace": lambda w: types.SimpleNamespace(inner=Weights([w])),
    "a mappingproxy": lambda w: types.MappingProxyType({"w": w}),
    "a set": lambda w: {mg.tensor(w)},
    "an array of objects": lambda w: w.astype(object),
}


@pytest.mark.parametrize("kind", HOLDERS)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_an_input_whose_numbers_would_be_left_out_is_refused_unless_wrt_leaves_it_out(check: Any, kind: str) -> None:
    for inputs, where in (((X, HOLDERS[kind](X)), "1"), ((X, {"a": HOLDERS[kind](X)}), r"1\['a'\]")):
        with pytest.raises(TypeError, match=f"input {where} is {kind} that holds floating-point numbers, .* wrt="):
            check(*inputs)
    CHECKS["check_grad"](X, HOLDERS[kind](X), wrt=(0,))


@pytest.mark.parametrize(
    "handed_on", [Weights(0.1), Weights("text"), Weights(np.arange(2)), nn.Linear(2, 2), np.sin, None]
)
def test_settings_integers_and_functions_among_the_inputs_are_handed_on(handed_on: Any) -> None:
    CHECKS["check_grad"](X, handed_on)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_complex_input_beside_a_real_one_is_refused(check: Any) -> None:
    with pytest.raises(TypeError, match="input 1 is complex; pass real and imaginary part"):
        check(X, X + 1j)


@pytest.mark.parametrize("made", [Weights, lambda y: y.data + 1j], ids=["dataclass", "complex"])
def test_a_part_of_the_result_whose_numbers_would_be_left_out_is_refused(made: Any) -> None:
    with pytest.raises(TypeError, match=r"returned a .* that holds floating-point numbers"):
        check_grad(lambda x: (mg.sin(x), made(mg.exp(x))), X)


@pytest.mark.parametrize("x", [X + 1j, np.ma.masked_array(X, [0, 1]), X.view(np.matrix), "a", {"x": 1.0}, None])
def test_numeric_gradient_refuses_what_numpy_would_read_as_something_else(x: Any) -> None:
    with pytest.raises(TypeError, match="numeric_gradient: x"):
        numeric_gradient(lambda x: float(np.sum(x)), x)


def test_numeric_gradient_of_nan_is_refused_and_not_0() -> None:
    with pytest.raises(ValueError, match=r"x is NaN at index \(1,\)"):
        numeric_gradient(lambda x: float(np.sum(x)), [1.0, np.nan])


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_matrix_whose_product_means_something_else_is_refused(check: Any) -> None:
    with pytest.raises(TypeError, match=r"input 0: the \* of an np\.matrix"):
        check(X.view(np.matrix))


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_inputs_without_an_entry_to_differentiate_are_refused(check: Any) -> None:
    for inputs, options in [((), {}), ((X,), {"wrt": ()}), ((np.array([1, 2]),), {}), (("a",), {})]:
        with pytest.raises(TypeError, match="nothing to differentiate"):
            check(*inputs, **options)
    with pytest.raises(TypeError, match="nothing to differentiate"):
        check(X, np.array([1, 2]), wrt=(1,))


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rtol", np.inf),
        ("rtol", 1.0),
        ("rtol", np.nan),
        ("rtol", -1.0),
        ("atol", np.inf),
        ("eps", 0.0),
        ("eps", np.nan),
    ],
)
def test_options_with_which_nothing_could_fail_are_refused(check: Any, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        check(X, **{name: value})


@pytest.mark.parametrize("order", [0, -1, 1.5, None])
def test_an_order_that_checks_nothing_is_refused(order: Any) -> None:
    for check in (
        lambda: check_grad(mg.sin, X, order=order),
        lambda: check_primitive(mg.sin, X, order=order),
        lambda: check_cell(nn.RNNCell, order=order),
        lambda: given_grad(x=arrays(), order=order),
    ):
        with pytest.raises(ValueError, match="order must be an integer of at least 1"):
            check()


def test_options_are_read_by_every_checker() -> None:
    with pytest.raises(ValueError, match="on_kink must be"):
        check_primitive(mg.sin, X, on_kink="rais")
    with pytest.raises(ValueError, match="rtol must be"):
        check_cell(nn.RNNCell, rtol=np.inf)
    with pytest.raises(ValueError, match="eps must be"):
        numeric_gradient(lambda x: float(x.sum()), X, eps=0.0)
    with pytest.raises(ValueError, match="inputs must be at least 1"):
        next(mutants(mg.sin, inputs=0))


def test_a_decorator_with_nothing_to_draw_or_to_differentiate_is_refused() -> None:
    with pytest.raises(TypeError, match="no strategy is given"):
        given_grad()
    with pytest.raises(TypeError, match="wrt names no parameter"):
        given_grad(x=arrays(), wrt=[])


def test_a_point_at_which_all_is_infinite_gives_no_verdict() -> None:
    with np.errstate(all="ignore"), pytest.raises(KinkError, match="every entry of the result is infinite"):
        check_vjp(lambda x: 1 / x, lambda g, x: -g / x**2, np.zeros(2))
    with pytest.raises(KinkError, match="every entry of the inputs is infinite"):
        check_jvp(np.tanh, lambda v, x: 0 * v, np.array([np.inf]))


def test_a_sequence_without_steps_is_refused() -> None:
    for options in ({"T": 0}, {"B": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            check_cell(nn.RNNCell, **options)
    for inputs in (np.zeros((0, 2, 4)), np.zeros(3), (), {"a": np.zeros((3, 2, 4)), "b": np.zeros((2, 2, 4))}):
        with pytest.raises(ValueError, match="inputs must be arrays"):
            check_cell(nn.RNNCell, inputs=inputs)


def test_a_suite_that_calls_no_mutated_rule_is_an_error_that_says_so(tmp_path: Path) -> None:
    suite = Suite(tmp_path, CHECKED, "def test_nothing(): pass")
    for options in (["--primitive", "own:unused"], ["--primitive", "own:cube", "--", "test_1.py"]):
        code, out, err = suite.mutate(*options)
        assert code == 2
        assert "no test calls a rule of `" in err
        assert "survived" not in out


# --- `same` ----------------------------------------------------------------------------------------------------------


def plain_gru() -> Any:
    net = nn.GRU(3, 2, rng=0)
    for p in net.parameters():
        p.data = np.random.default_rng(0).standard_normal(p.shape).astype(p.dtype)
    return net


@pytest.mark.parametrize(
    "options", [{"B": 0}, {"T": 0}, {"T": 2.0}, {"min_length": 4}, {"min_length": -1}, {"T": 1}, {"tolerance": 1.0},
                {"tolerance": np.inf}, {"tolerance": np.nan}, {"tolerance": -1e-6}], ids=str,
)  # fmt: skip
def test_what_would_compare_nothing_is_refused(options: dict[str, Any]) -> None:
    ours = plain_gru()
    with pytest.raises(ValueError, match=f"same: ({'|'.join(options)}|min_length) must be"):
        same(ours, lambda xs, state, lengths: ours(xs, state, lengths)[0].data, **options)


def test_nan_on_both_sides_is_not_the_same() -> None:
    ours = plain_gru()
    ours.cells[0].W.data = ours.cells[0].W.data * np.float32(np.nan)
    with pytest.raises(ValueError, match=r"cells\.0\.W of ours has NaN"):
        same(ours, lambda xs, state, lengths: ours(xs, state, lengths)[0].data)
    ours = plain_gru()
    ours.cells[0].step = lambda x, h: (h * np.nan, h * np.nan)
    with pytest.raises(DifferenceError, match="nan here, nan there"):
        same(ours, lambda xs, state, lengths: ours(xs, state, lengths)[0].data)


def test_a_result_of_three_is_refused() -> None:
    with pytest.raises(TypeError, match="returned 3 results"):
        same(plain_gru(), lambda xs: (xs, xs, xs))


@pytest.mark.parametrize("f", [lambda x: math.sin(x[0]), lambda x: np.sin(x.data), lambda x: {"a": float(x.sum())}])
def test_plain_numbers_of_a_function_of_tensors_are_told_how_they_lost_their_record(f: Any) -> None:
    with pytest.raises(TypeError, match=r"Plain numbers have no record: write mg\.sin\(x\), not math\.sin"):
        check_grad(f, X)
