"""What the transforms hand back, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from minigrad.testing import check_vjp

RNG = np.random.default_rng(0)
X, V = RNG.standard_normal((2, 4))
A = RNG.standard_normal((3, 4))


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


def curved(x: Any) -> Any:
    """Four numbers to three."""
    return mg.sin(A @ x) * mg.sum(x * x)


def bumpy(x: Any) -> Any:
    """A scalar function whose Hessian is full."""
    return mg.sum(curved(x))


# --- what comes out --------------------------------------------------------------------------------------------------

OUTS = {
    "grad": lambda f, x: grad(f)(x),
    "value": lambda f, x: value_and_grad(f)(x)[0],
    "jacobian": lambda f, x: jacobian(f)(x),
    "hessian": lambda f, x: hessian(f)(x),
    "vjp": lambda f, x: vjp(f, x)[1](np.float32(1))[0],
    "vjp's value": lambda f, x: vjp(f, x)[0],
    "jvp": lambda f, x: jvp(f, (x,), (x,))[1],
    "jvp's value": lambda f, x: jvp(f, (x,), (x,))[0],
    "hvp": lambda f, x: hvp(f, (x,), (x,))[0],
}
each_out = pytest.mark.parametrize("out", OUTS.values(), ids=OUTS)


@each_out
def test_results_keep_float32_and_have_no_record(out: Any) -> None:
    result = out(lambda x: mg.sum(x**3), np.ones(3, np.float32))
    assert isinstance(result, Tensor)
    assert result.dtype == np.float32
    assert (result.requires_grad, result.primitive) == (False, None)


@each_out
def test_results_over_a_parameter_are_recorded_except_under_no_grad(out: Any) -> None:
    w = leaf(2.0)
    f = lambda x: mg.sum(w * x**3)
    mg.sum(out(f, np.ones(3))).backward()
    assert w.grad is not None
    assert w.grad != 0
    with mg.no_grad():
        result = out(f, np.ones(3))
    assert (result.requires_grad, result.primitive) == (False, None)


@each_out
def test_results_are_the_same_under_no_grad(out: Any) -> None:
    with mg.no_grad():
        inside = out(lambda x: mg.sum(x**3), X)
    np.testing.assert_array_equal(inside.data, out(lambda x: mg.sum(x**3), X).data)


def test_empty_jacobians_have_shape_and_dtype() -> None:
    for f, x, shape in [
        (lambda x: x[:0], np.ones(3, np.float32), (0, 3)),
        (lambda x: x * 2, np.ones(0, np.float32), (0, 0)),
    ]:
        j = jacobian(f)(x)
        assert (j.shape, j.dtype) == (shape, np.float32)


def test_cotangents_and_arguments_stay_the_callers_own() -> None:
    w = leaf([1.0, 2.0])
    for f in (lambda x: x, lambda x: x + w, lambda x: x[::-1] + w):
        x, g = np.ones(2), np.ones(2)
        _, pullback = vjp(f, x)
        (r,) = pullback(g)
        g += 5
        x += 5
        np.testing.assert_array_equal(r.data, [1, 1])
        np.testing.assert_array_equal(pullback(np.ones(2))[0].data, [1, 1])


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [1, np.array([1, 2]), {"w": 1}, mg.tensor([1, 2]), True])
def test_integer_arguments_are_refused_with_a_hint(x: Any) -> None:
    for transform in (grad, jacobian, hessian, value_and_grad):
        with pytest.raises(TypeError, match=r"floating-point.*1\.0 instead of 1"):
            transform(lambda x: mg.sum(x))(x)
    with pytest.raises(TypeError, match="floating-point"):
        vjp(lambda x: x, x)


def test_grad_of_an_output_that_is_no_scalar_names_its_shape() -> None:
    for f, shape in [(curved, r"\(3,\)"), (lambda x: mg.sum(x, keepdims=True), r"\(1,\)")]:
        with pytest.raises(ValueError, match=rf"scalar, got shape {shape}.*jacobian"):
            grad(f)(X)
    with pytest.raises(ValueError, match="one scalar, got 2 values"):
        grad(lambda x: (mg.sum(x), mg.sum(x)))(X)


def test_an_argument_that_is_not_there_is_named() -> None:
    for argnums in (2, -3, (0, 2)):
        with pytest.raises(ValueError, match=r"no argument -?\d among 2"):
            grad(lambda x, y: x * y, argnums)(1.0, 2.0)
    with pytest.raises(ValueError, match="no argument 0 among 0 by position; keywords"):
        grad(lambda x: x * x)(x=1.0)
    with pytest.raises(ValueError, match=r"goes to the new function: mg.grad\(f\)\(x\)"):
        grad(lambda x: x * x)()


@pytest.mark.parametrize("transform", [grad, mg.value_and_grad, mg.jacobian, mg.hessian])
def test_argnums_that_choose_nothing_or_one_argument_twice_are_refused(transform: Any) -> None:
    f = lambda x, y: mg.sum(x * y)
    for twice in ((0, 0), (0, -2), [1, 0, -1]):
        with pytest.raises(ValueError, match=r"argnums: .* has one of the 2 arguments twice; give each position once"):
            transform(f, twice)(X, X)
    for nothing in ((), [], range(0)):
        with pytest.raises(ValueError, match=r"argnums: .* chooses no argument .*0 is the first"):
            transform(f, nothing)


@pytest.mark.parametrize("transform", [jvp, hvp])
def test_directions_of_another_shape_or_structure_are_refused(transform: Any) -> None:
    with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
        transform(bumpy, (X,), (np.ones(3),))
    with pytest.raises(ValueError, match=f"{transform.__name__}|tree"):
        transform(bumpy, (X,), (V, V))
    with pytest.raises(ValueError, match="keys"):
        transform(lambda d: mg.sum(d["a"]), ({"a": X},), ({"b": X},))
    for xs, vs, name in [(X, (V,), "xs"), ((X,), V, "vs")]:
        with pytest.raises(TypeError, match=f"{name} must be a tuple"):
            transform(bumpy, xs, vs)


def test_cotangents_of_another_shape_or_structure_are_refused() -> None:
    _, pullback = vjp(lambda x: (x, mg.sum(x)), X)
    with pytest.raises(ValueError, match=r"cotangent 0 has shape \(3,\), the output \(4,\)"):
        pullback((np.ones(3), 1.0))
    for g in [(V,), V, (V, 1.0, 1.0)]:
        with pytest.raises(ValueError, match="2"):
            pullback(g)


MIXED = {  # transforms of x within which another one has an argument that is no part of the outer one
    "grad": lambda x: mg.grad(lambda x, y: mg.sum(x**3 * y), (0, 1))(x, X)[0],
    "value_and_grad": lambda x: mg.value_and_grad(lambda x, y: mg.sum(x**3 * y), (0, 1))(x, X)[0] * x,
    "jvp": lambda x: jvp(lambda t: t**3, (X,), (x,))[1],
    "hvp": lambda x: hvp(lambda t: mg.sum(t**4), (X,), (x,))[0],
    "jacobian": lambda x: mg.jacobian(lambda x, y: x * y, (0, 1))(x, X)[1] * x,
}


@pytest.mark.parametrize("inner", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_derivative_of_a_transform_with_other_arguments_keeps_no_record(inner: Any, compiled: bool) -> None:
    f = lambda x: mg.sum(mg.sin(inner(x)))
    g = (mg.compile(mg.grad(f)) if compiled else mg.grad(f))(mg.tensor(X))
    assert not g.requires_grad
    check_vjp(lambda x: np.float64(f(x)), lambda c, x: c * np.asarray(mg.grad(f)(x)), X, copies=False)
    np.testing.assert_allclose(np.asarray(g), mg.grad(f)(X).data, rtol=1e-12)
    w = mg.tensor(2.0, requires_grad=True)
    assert mg.grad(lambda x: mg.sum(inner(x) * w))(X).requires_grad  # a parameter is another matter
