"""tap: the gradient of an intermediate result, in plain records, checkpoints, compiled functions and transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table import TABLE

import minigrad as mg
from minigrad import Primitive

X = np.random.default_rng(0).standard_normal((3, 2))


def leaf(x: Any) -> mg.Tensor:
    return mg.tensor(x, requires_grad=True)


@pytest.mark.parametrize("entry", [p for p in TABLE if isinstance(p, Primitive)], ids=repr)
@settings(max_examples=settings.default.max_examples // 2)
@given(data=st.data())
def test_a_result_tapped_in_place_has_all_its_derivatives(entry: Primitive, data: st.DataObject) -> None:
    case = data.draw(TABLE[entry])
    found = []
    for tapped in (False, True):
        inputs = [leaf(x) for x in case.inputs]
        shape = mg.tree_leaves(case.function(*[x.detach() for x in inputs]))[0].shape
        e = leaf(np.zeros(shape))  # older than the result, so that the record of this is changed
        y = mg.tree_leaves(case.function(*inputs))[0]
        primitive, used_before = y.primitive, mg.square(y)
        assert not tapped or mg.tap(y, e) is y
        (used_before.sum() + (y * y * y).sum()).backward()
        found.append([x.grad for x in inputs])
        assert y.primitive.name == primitive.name
        if tapped:
            np.testing.assert_allclose(e.grad, 2 * y.data + 3 * y.data**2, rtol=1e-12)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_tapped_result_is_derived_by_the_rules_as_they_are_then() -> None:
    def gradient() -> Any:
        x, e = leaf(X), leaf(np.zeros((3, 2)))
        mg.tap(mg.sin(x), e).sum().backward()
        return x.grad

    before, rules = gradient(), mg.sin.rules
    try:
        mg.sin.declare((lambda g, y, x: -g * mg.cos(x),), None)
        np.testing.assert_array_equal(gradient(), -before)
    finally:
        mg.sin.declare(rules, None)


def test_two_taps_of_one_result_get_the_same() -> None:
    x, d, e = leaf(X), leaf(np.zeros((3, 2))), leaf(np.zeros((3, 2)))
    mg.tap(mg.tap(x * x, d), e).sum().backward()
    np.testing.assert_array_equal(d.grad, 1)
    np.testing.assert_array_equal(e.grad, 1)
    np.testing.assert_array_equal(x.grad, 2 * X)


def test_a_tap_in_a_checkpoint_and_in_a_compiled_function_collects_the_same() -> None:
    def f(x: Any, e: Any) -> Any:
        y = mg.tanh(x)
        z = y * y  # made of it before it is tapped
        y = mg.tap(y, e)
        return (z + 3 * y).sum()

    expected = 2 * np.tanh(X) + 3
    for wrapped in (f, mg.checkpoint(f), mg.checkpoint(mg.checkpoint(f))):
        x, e = leaf(X), leaf(np.zeros((3, 2)))
        wrapped(x, e).backward()
        np.testing.assert_allclose(e.grad, expected, rtol=1e-12)
        np.testing.assert_allclose(x.grad, expected * (1 - np.tanh(X) ** 2), rtol=1e-12)
    compiled = mg.compile(lambda x, e: f(x, e).backward())
    e = leaf(np.zeros((3, 2)))
    for factor in (1.0, 0.5):
        e.grad = None
        compiled(leaf(factor * X), e)
        np.testing.assert_allclose(e.grad, 2 * np.tanh(factor * X) + 3, rtol=1e-12)


def test_the_derivative_of_a_tapped_gradient_is_right() -> None:
    def inner(x: Any) -> Any:  # d/dy of y^3 at y = x^2
        e = mg.tensor(0.0, requires_grad=True)
        (g,) = mg.vjp(lambda e: mg.tap(x * x, e) ** 3, e)[1](1.0)
        return g

    assert inner(mg.tensor(2.0, requires_grad=True)).item() == 3 * 16
    assert mg.grad(inner)(2.0).item() == pytest.approx(12 * 2.0**3)


def test_what_is_no_result_made_after_e_is_tapped_as_a_copy() -> None:
    x, old = leaf(X), leaf(X) * 2
    e = leaf(np.zeros((3, 2)))
    for y in (x, old):
        e.grad = None
        t = mg.tap(y, e)
        assert t is not y
        (t * t).sum().backward()
        np.testing.assert_allclose(e.grad, 2 * y.data)


def test_a_tap_does_nothing_where_nothing_is_recorded_and_refuses_another_shape_or_dtype() -> None:
    x, e = leaf(X), leaf(np.zeros((3, 2)))
    with mg.no_grad():
        assert not mg.tap(x * x, e).requires_grad
        assert not mg.tap(x, e).requires_grad
    constant = mg.tensor(X)
    assert mg.tap(constant, e) is constant
    for wrong in (np.zeros(2), np.zeros((3, 2), np.float32)):
        with pytest.raises(ValueError, match=r"tap: y is \(3, 2\) float64, e is .*alike"):
            mg.tap(x * x, leaf(wrong))


# --- a gradient that another tensor collects -------------------------------------------------------------------------


def test_with_gradient_tells_what_the_taps_collect_once_it_is_asked_to() -> None:
    x, e = leaf(X), leaf(np.zeros((3, 2)))
    rows, h = [], mg.tensor(np.zeros(2))
    for k in range(3):
        h = mg.tap(mg.tanh(h + x[k]), e[k])
        rows.append(h)
    states = mg.with_gradient(mg.stack(rows), e)
    h.sum().backward()
    assert states.grad is None
    states.retain_grad()
    states.grad = None
    (h.sum() + states[0].sum()).backward()
    np.testing.assert_array_equal(states.grad, e.grad)
    np.testing.assert_array_equal(states.grad[2], 1)
    slope = 1 - np.tanh(rows[1].data + X[2]) ** 2
    np.testing.assert_allclose(states.grad[1], slope)


# --- retain_grad where it cannot tell --------------------------------------------------------------------------------


def test_retain_grad_in_a_checkpoint_is_refused_and_names_tap() -> None:
    def f(x: Any) -> Any:
        y = mg.tanh(x)
        y.retain_grad()
        return y * y

    with pytest.raises(RuntimeError, match=r"retain_grad: .*record that checkpoint drops.*mg\.tap"):
        mg.checkpoint(f)(leaf(X))
    mg.checkpoint(f)  # as it is, where nothing is dropped
    with mg.no_grad(), pytest.raises(RuntimeError, match="does not depend"):
        mg.checkpoint(f)(leaf(X))
    compiled = mg.compile(mg.grad(lambda x: mg.checkpoint(f)(x).sum()))
    np.testing.assert_allclose(compiled(X).data, 2 * np.tanh(X) * (1 - np.tanh(X) ** 2))


@pytest.mark.parametrize(
    "f", [lambda x: (y := mg.tanh(x), y * y), lambda x: [mg.tanh(x)] * 2], ids=["made of it", "twice"]
)
def test_retain_grad_of_a_checkpoints_result_that_it_reads_itself_is_refused(f: Any) -> None:
    x = leaf(X)
    y = mg.checkpoint(lambda x: tuple(f(x)))(x)[0]
    with pytest.raises(RuntimeError, match=r"read in there as well.*mg\.tap"):
        y.retain_grad()


def test_retain_grad_of_any_other_result_of_a_checkpoint_is_right() -> None:
    y, z = mg.checkpoint(lambda x: (mg.tanh(x), x * x))(leaf(X))
    for t in (y, z):
        t.retain_grad()
    (y * z).sum().backward()
    np.testing.assert_allclose(y.grad, X * X)
    np.testing.assert_allclose(z.grad, np.tanh(X))


def test_the_gradient_of_an_intermediate_result_is_right_inside_of_a_compiled_function_and_refused_outside() -> None:
    kept = []

    @mg.compile
    def f(x: Any) -> Any:
        y = mg.tanh(x)
        y.retain_grad()
        kept.append(y)
        (y * y).sum().backward()
        return y.grad

    for _ in range(2):
        np.testing.assert_allclose(f(leaf(X)).data, 2 * np.tanh(X))
    with pytest.raises(RuntimeError, match="kept from inside of a compiled function"):
        kept[0].grad  # noqa: B018


# --- random numbers --------------------------------------------------------------------------------------------------


def test_a_checkpoint_draws_the_same_numbers_again_and_leaves_the_generator_where_it_was() -> None:
    grads = []
    for wrap in (lambda f, **o: f, mg.checkpoint):
        drawn, named = np.random.default_rng(1), np.random.default_rng(2)
        x = leaf(X)

        def f(x: Any, drawn: Any = drawn, named: Any = named) -> Any:
            return mg.tanh(x * mg.sample(drawn.random, x.shape)) * named.standard_normal(x.shape)

        twice = wrap(f, generators=[named])
        (twice(x) * twice(x)).sum().backward()
        grads.append([x.grad, drawn.random(3), named.random(3)])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_numbers_that_a_checkpoint_does_not_know_of_are_refused_with_what_to_write() -> None:
    rng = np.random.default_rng(0)
    y = mg.checkpoint(lambda x: x * rng.random(x.shape))(leaf(X))
    with pytest.raises(RuntimeError, match=r"mg\.sample.*generators=\[\.\.\.\]"):
        y.sum().backward()


def test_retain_grad_in_a_transform_says_what_to_do_and_that_is_right() -> None:
    def f(x: Any) -> Any:
        y = x * 2.0
        y.retain_grad()
        return (y * y).sum()

    with pytest.raises(RuntimeError, match=r"mg\.tap\(t, e\).*argnums=\(0, 1\)"):
        mg.grad(f)(X)
    g = lambda x, e: (mg.tap(x * 2.0, e) ** 2).sum()
    np.testing.assert_array_equal(mg.grad(g, argnums=(0, 1))(X, np.zeros_like(X))[1].data, 4.0 * X)


def test_the_gradient_of_a_tap_of_what_is_not_recorded_is_refused_in_a_transform() -> None:
    for y in (X, mg.tensor(X)):
        with pytest.raises(TypeError, match=r"tap: y, .*argnums=\(0, 1\)"):
            mg.grad(lambda e, y=y: (mg.tap(y * 2.0, e) ** 2).sum())(np.zeros_like(X))


def test_a_tap_into_an_array_is_refused() -> None:
    with pytest.raises(TypeError, match="tap: e must be a Tensor"):
        mg.tap(mg.tensor(X, requires_grad=True) * 2.0, np.zeros_like(X))
    with pytest.raises(TypeError, match="with_gradient: e must be a Tensor that collects a gradient, got int 3"):
        mg.with_gradient(mg.tensor(1.0), 3)


def test_a_result_that_its_function_under_checkpoint_reads_is_refused_since_a_part_would_be_missing() -> None:
    def both(x: Any) -> Any:
        y = mg.tanh(x)
        return y, y * y

    def within(x: Any, e: Any) -> Any:
        y = mg.tap(mg.tanh(x), e)
        return y, y * y

    x, e = leaf(0.5), leaf(0.0)
    y, z = mg.checkpoint(both)(x)
    with pytest.raises(RuntimeError, match=r"tap: y, \(\) float64, is a result of a function under checkpoint that is"):
        mg.tap(y, e)
    mg.tap(z, e).backward()  # which nothing in there reads
    assert e.grad == 1
    e.grad = None
    y, z = mg.checkpoint(within)(x, e)
    (y * 2 + z).backward()
    np.testing.assert_allclose(e.grad, 2 + 2 * np.tanh(0.5))
