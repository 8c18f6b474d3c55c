"""Users' functions and rules: arrays are lent to them read-only, and what they return twice is copied or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import primitive

X = np.array([0.5, 2.0])


def leaf() -> Any:
    return mg.tensor(X, requires_grad=True)


def into(array: Any) -> Any:
    array *= 2.0
    return array


def put(array: Any) -> Any:
    array[0] = 5.0
    return array


def through(array: Any) -> Any:
    np.copyto(array.reshape(-1), 0.0)
    return array


WRITTEN = {"cotangent": 0, "output": 1, "input": 2, "other input": 3}


@pytest.mark.parametrize("write", [into, put, through])
@pytest.mark.parametrize("place", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("joint", [False, True])
def test_a_rule_that_writes_into_what_it_is_called_with_is_refused(
    write: Callable[..., Any], place: int, joint: bool
) -> None:
    def rule(*operands: Any) -> Any:
        return write(operands[place])

    def both(*operands: Any) -> Any:
        return [rule(*operands), operands[0]]

    f = lambda x, y: x + y
    bad = primitive(f, joint=both, name="bad") if joint else primitive(f, rule, rule, name="bad")
    which = "the joint rule" if joint else "the rule for input 0"
    message = rf"^bad: {which} raised .*read-only: a rule must not .* write g = 2 \* g, not g \*= 2; forward call: "
    x, y = leaf(), leaf()
    with pytest.raises(ValueError, match=message):
        (bad(x * 1.0, y) + x).sum().backward()
    np.testing.assert_array_equal(x.data, X)


def test_a_rule_that_writes_into_a_static_array_is_refused() -> None:
    def rule(g: Any, y: Any, x: Any, *, w: Any) -> Any:
        return g * into(w)

    bad = primitive(lambda x, *, w: x * w, rule, name="bad")
    with pytest.raises(ValueError, match=r"bad: the rule for input 0 .*read-only"):
        bad(leaf(), w=X.copy()).sum().backward()


def test_a_rule_that_writes_is_refused_under_tap_and_explain() -> None:
    bad = primitive(lambda x: x * 2.0, lambda g, y, x: into(g), name="bad")
    jointly = primitive(lambda x: x * 2.0, joint=lambda g, y, x: [into(g)], name="jointly")
    for p in (bad, jointly):
        e = leaf()  # before the result that it taps
        with pytest.raises(ValueError, match="read-only"):
            mg.tap(p(leaf()), e).sum().backward()
    with pytest.raises(ValueError, match="read-only"):
        mg.explain(lambda x: bad(x).sum(), X)


@pytest.mark.parametrize("run", [lambda f: f, mg.compile, mg.no_grad()], ids=["eager", "compiled", "unrecorded"])
@pytest.mark.parametrize("write", [into, put, through])
def test_a_function_that_writes_into_a_tensors_data_is_refused(run: Any, write: Callable[..., Any]) -> None:
    bad = primitive(lambda x: write(x) + 1.0, lambda g, y, x: g, name="bad")
    x = leaf()
    with pytest.raises(ValueError, match=r"^bad: \(2,\) float64: .*read-only: .* write x = x \+ 1, not x \+= 1$"):
        run(lambda x: bad(x) * 1.0)(x)
    np.testing.assert_array_equal(x.data, X)


def test_a_function_that_writes_into_an_array_beside_a_tensor_is_refused() -> None:
    bad = primitive(lambda x, w: x + into(w), lambda g, y, x, w: g, name="bad")
    with pytest.raises(ValueError, match="read-only"):
        bad(leaf(), X.copy())


def test_on_plain_arrays_a_primitive_is_the_function_itself() -> None:
    own, x = primitive(into, lambda g, y, x: 2.0 * g), X.copy()
    assert own(x) is x
    assert x[0] == 1.0


def test_an_error_of_a_rules_own_stays_as_it_is() -> None:
    def rule(g: Any, y: Any, x: Any) -> Any:
        raise ValueError("of my own")

    with pytest.raises(ValueError, match="raised ValueError: of my own; forward call"):
        primitive(lambda x: x * 2.0, rule)(leaf()).sum().backward()


def test_rules_are_shown_as_they_were_declared() -> None:
    rule = lambda g, y, x: 2.0 * g
    one, all_ = primitive(lambda x: x * 2.0, rule), primitive(lambda x: x * 2.0, joint=rule)
    assert (one.rules, one.joint, all_.rules, all_.joint) == ((rule,), None, (), rule)


# --- what is returned again ------------------------------------------------------------------------------------------

BUFFER = np.zeros(2)


def again(values: Any) -> Any:
    BUFFER[...] = values
    return BUFFER


RETURNED: dict[str, Callable[[Any], Any]] = {
    "itself": lambda array: array,
    "a view": lambda array: array[::-1][::-1],
}


@pytest.mark.parametrize("returned", RETURNED.values(), ids=RETURNED)
def test_a_rule_that_returns_an_array_again_while_it_is_in_use_is_refused(returned: Callable[[Any], Any]) -> None:
    own = primitive(lambda x: x * 2.0, lambda g, y, x: returned(again(2.0 * g)), name="own")
    other = primitive(lambda x: x * 2.0, joint=lambda g, y, x: (returned(again(2.0 * g)),), name="other")
    for p in (own, other):
        x, y = leaf(), leaf()
        with pytest.raises(ValueError, match=r"^(own|other): .* that was returned before and is still in use"):
            (p(x) + 3.0 * p(y)).sum().backward()


def test_an_array_in_a_product_that_waits_is_in_use() -> None:
    times = primitive(lambda x, W: x @ W, None, lambda g, y, x, W: mg.Product(x, again(g[0])[None]), name="times")
    x, W = np.ones((1, 2)), mg.tensor(np.eye(2), requires_grad=True)
    with pytest.raises(ValueError, match=r"times: the rule for input 1 raised .* still in use"):
        (times(x, W) + 3.0 * times(2.0 * x, W)).sum().backward()


def test_two_rules_that_return_one_array_are_refused() -> None:
    own = primitive(np.multiply, lambda g, z, x, y: again(g * y), lambda g, z, x, y: again(g * x), name="own")
    with pytest.raises(ValueError, match=r"own: the rule for input 1 raised .* still in use"):
        own(leaf(), leaf() * 3.0).sum().backward()


def test_an_array_may_be_returned_again_when_it_is_no_longer_in_use() -> None:
    own = primitive(lambda x: x * 2.0, lambda g, y, x: again(2.0 * g), name="own")
    for _ in range(2):
        x = leaf()
        (own(x) * 3.0).sum().backward()
        np.testing.assert_array_equal(x.grad, [6.0, 6.0])


def test_a_cotangent_or_an_input_may_be_returned_any_number_of_times() -> None:
    same = primitive(lambda x: x, lambda g, y, x: g, name="same")
    turned = primitive(np.transpose, lambda g, y, x: g.T, name="turned")
    scaled = primitive(lambda c, x: c * x.sum(), None, lambda g, y, c, x: g * c, name="scaled")
    x, y = leaf(), leaf()
    (same(x) + same(same(x)) + turned(y) + turned(turned(y))).sum().backward()
    (scaled(X, x) + scaled(X, y)).sum().backward(np.array(1.0))
    np.testing.assert_array_equal(x.grad, y.grad)


def halves(g: Any, y: Any, a: Any, b: Any) -> Any:
    whole = mg.concatenate([g, g])
    return whole[:2], whole[2:]


@pytest.mark.parametrize("joint", [lambda g, y, a, b: [g * 1.0] * 2, lambda g, y, a, b: (g, g), halves])
def test_a_joint_rule_may_return_one_new_array_for_several_inputs(joint: Any) -> None:
    plus = primitive(np.add, joint=joint, name="plus")
    x = leaf()
    plus(plus(x, x), plus(x, 1.0 * x)).sum().backward()
    np.testing.assert_array_equal(x.grad, [4.0, 4.0])


@pytest.mark.parametrize("returned", [lambda array: array, lambda array: array[::-1][::-1], lambda array: array.data])
def test_what_a_function_returns_again_is_copied(returned: Callable[[Any], Any]) -> None:
    square = primitive(lambda x: np.asarray(returned(again(x * x))), lambda g, y, x: 2.0 * g * x, name="square")
    first, second = square(X * 1.0), square(leaf())
    assert first is not second
    a, b = square(leaf()), square(leaf() * 3.0)
    np.testing.assert_array_equal(a.data, X**2)
    np.testing.assert_array_equal(b.data, 9.0 * X**2)


def test_the_record_keeps_the_copy_of_a_result_that_is_returned_again() -> None:
    exp = primitive(lambda x: again(np.exp(x)), lambda g, y, x: g * y, name="exp")
    np.testing.assert_allclose(mg.grad(lambda x: (exp(x) + exp(3.0 * x)).sum())(X).data, np.exp(X) + 3 * np.exp(3 * X))


def test_a_new_result_of_a_function_is_not_copied() -> None:
    made = []

    def double(x: Any) -> Any:
        y = x * 2.0
        made.append(y.__array_interface__["data"][0])
        return y

    y = primitive(double, lambda g, y, x: g * y)(leaf())
    assert y.data.__array_interface__["data"][0] == made[0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    "index", [np.array([1, 0, 1]), np.array([True, False]), (slice(None), np.array([0, 0])), [1, 1]], ids=repr
)
def test_an_index_of_ones_own_may_be_returned_any_number_of_times(index: Any, order: int, compiled: bool) -> None:
    part = primitive(lambda x: x[index], lambda g, y, x: mg.At(index, g), name="part")
    f = lambda x, part: mg.sum(part(x) ** 3 + 2.0 * part(x * x) ** 2)
    for _ in range(order):
        f = lambda x, part, f=f: mg.sum(mg.grad(f)(x, part))
    gradient = lambda part: mg.compile(lambda x: f(x, part)) if compiled else lambda x: f(x, part)
    x = np.array([[0.5, 1.5], [2.5, -1.0]])
    np.testing.assert_allclose(gradient(part)(x).data, gradient(lambda x: x[index])(x).data)


def test_an_index_that_a_rule_fills_anew_is_not_that_of_its_earlier_cotangents() -> None:
    index = np.zeros(1, int)

    def rule(g: Any, y: Any, x: Any, k: int) -> Any:
        index[:] = k
        return mg.At(index, g)

    part = primitive(lambda x, k: x[[k]], rule, name="part")
    f = lambda x: mg.sum(part(x, 0) + 10.0 * part(x, 1))
    slope = mg.grad(lambda x: mg.sum(mg.grad(lambda x: f(x * x))(x)))
    assert mg.grad(f)(np.ones(2)).data.tolist() == [1.0, 10.0]
    assert slope(np.ones(2)).data.tolist() == [2.0, 20.0]
