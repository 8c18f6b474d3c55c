"""What a record keeps: the arrays that derivative rules read, and of the others shape and dtype."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor

X = np.linspace(0.5, 1.5, 6).reshape(2, 3)


def leaf(x: Any = X) -> Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


def kept(make: Callable[[Tensor], Tensor], use: Callable[[Tensor], Tensor]) -> bool:
    """Whether the array of y = make(x) outlives y while z = use(y) is there."""
    y = make(leaf())
    array = weakref.ref(y.data.base)
    z = use(y)
    del y
    assert z.requires_grad
    return array() is not None


def plus(x: Tensor) -> Tensor:
    return x + 1.0  # whose own rule reads nothing


@pytest.mark.parametrize(
    "use",
    [
        mg.tanh,
        mg.sigmoid,
        mg.exp,
        lambda y: y + y,
        lambda y: -y,
        lambda y: y * 2.0,
        lambda y: y * X,
        lambda y: y.sum(axis=0),
        lambda y: y.mean(),
        lambda y: mg.stack([y, y, y]),
        lambda y: mg.concatenate([y, y]),
        lambda y: mg.where(X > 1, y, 0.0),
        lambda y: mg.linear(X.T, np.ones((2, 3)), y[0]),
        lambda y: y @ np.ones((3, 2)),
        lambda y: y[[0, 0, 1]],
        lambda y: mg.pad(y, 1),
    ],
)
def test_an_array_that_no_rule_reads_is_freed_with_its_tensor(use: Any) -> None:
    assert not kept(plus, use)


@pytest.mark.parametrize(
    "use",
    [
        mg.log,
        mg.square,
        mg.max,
        lambda y: y * y,
        lambda y: leaf(X.T) @ y,
        lambda y: mg.linear(leaf(X.T), y, np.ones(3)),
        lambda y: mg.einsum("ij,ij", y, leaf()),
    ],
)
def test_an_array_that_a_rule_reads_is_kept(use: Any) -> None:
    assert kept(plus, use)


def test_an_output_that_its_own_rule_reads_is_kept() -> None:
    assert kept(mg.tanh, lambda y: y + 1.0)


def test_a_rule_reads_the_other_factor_only_if_that_requires_a_gradient() -> None:
    assert not kept(plus, lambda y: 2.0 * y)
    assert not kept(plus, lambda y: mg.tensor(X) * y)
    assert kept(plus, lambda y: leaf() * y)


def test_a_step_of_an_lstm_keeps_its_gates_and_states_only() -> None:
    import nn

    T, B, H = 40, 16, 32
    net = nn.LSTM(5, H, rng=0)
    ys, _ = net(np.zeros((T, B), int))
    found: dict[int, int] = {}
    stack, seen = [ys.node], set()
    while stack:
        t = stack.pop()
        if t is None or t in seen:
            continue
        seen.add(t)
        for x in (t.value, *t.operands):
            if isinstance(x, np.ndarray):
                owner = x if x.base is None else x.base
                found[id(owner)] = owner.nbytes
        stack.extend(t.inputs)
    # f i o, C~, C, tanh C and h: 7 arrays (B, H) a step, in float32; a tenth for weights and indices
    assert sum(found.values()) <= 1.1 * 7 * T * B * H * 4


def test_an_input_that_an_earlier_call_left_out_is_kept_as_its_rules_need() -> None:
    total = mg.primitive(
        lambda x, y, z=0.0: x + y + z * z,
        lambda g, t, x, y, z=None: g,
        lambda g, t, x, y, z=None: g,
        lambda g, t, x, y, z=None: g * (2 * z),
        name="total",
    )
    assert total(leaf(), leaf()).requires_grad
    z = leaf()
    (square,) = mg.vjp(lambda z: mg.sum(total(leaf(), leaf(), z)), z)[1](1.0)
    np.testing.assert_array_equal(square.data, 2 * X)
    np.testing.assert_array_equal(mg.hvp(lambda z: mg.sum(total(leaf(), leaf(), z)), (X,), (X,))[0].data, 2 * X)


def test_derivatives_of_all_orders_need_no_array_that_was_not_kept() -> None:
    def f(x: Any) -> Any:
        y = mg.tanh(x + 1.0)
        return mg.sum((y - 2.0 * x) * y)

    def by_hand(x: Any) -> Any:
        y = np.tanh(x + 1)
        d = 1 - y * y  # y', and y'' = -2 y d, y''' = (6 y² - 2) d
        return 6 * d * -2 * y * d + 2 * y * (6 * y * y - 2) * d - 6 * -2 * y * d - 2 * x * (6 * y * y - 2) * d

    x = 0.3
    np.testing.assert_allclose(mg.grad(mg.grad(mg.grad(f)))(x).data, by_hand(x), rtol=1e-12)


def test_an_array_of_the_users_that_no_rule_reads_is_not_copied() -> None:
    a = np.ones((2, 3))
    assert (leaf() + a).node.operands[1] is a
    assert (leaf() * a).node.operands[1] is not a


def test_record_details_keeps_what_no_rule_reads() -> None:
    with mg.record_details():
        assert kept(plus, mg.tanh)


def test_a_record_that_keeps_all_has_the_same_derivatives() -> None:
    def gradient() -> Any:
        x = leaf()
        y = mg.tanh(x[:, 1:] * x[:, :2] + x[0, 0])
        (mg.stack([y, y[::-1]]).sum() * y[1, 1]).backward()
        return x.grad

    with mg.record_details():
        everything = gradient()
    np.testing.assert_array_equal(gradient(), everything)


def test_a_rule_that_raises_says_so_whether_or_not_arrays_were_kept() -> None:
    p = mg.primitive(lambda x: x + 0.0, lambda g, y, x: g[:1].repeat(5, axis=0))
    with pytest.raises(ValueError, match=r"returned a cotangent of shape \(5, 3\) for an input of shape \(2, 3\)"):
        mg.sum(p(leaf())).backward()


def test_a_node_reads_like_a_line_of_the_program_that_the_record_is() -> None:
    x = mg.tensor(np.ones((2, 3), "f"), requires_grad=True)
    scaled = x * 2.0
    y = mg.sum(scaled * np.ones(3, "f"), axis=0)
    product, names = y.node.inputs[0], [f"node {t.node.order}" for t in (x, scaled)]
    assert repr(x.node) == f"{names[0]}: f32[2,3], a leaf"
    assert repr(scaled.node) == f"{names[1]}: f32[2,3] = multiply({names[0]}, 2.0)"
    assert repr(product) == f"node {product.order}: f32[2,3] = multiply({names[1]}, f32[3])"
    assert repr(y.node) == f"node {y.node.order}: f32[3] = sum(node {product.order}, axis=0)"


SAME = {  # functions that may return an input as it is, or a part of it
    "itself": mg.primitive(lambda x: x, lambda g, y, x: g, name="itself"),
    "all of it": mg.primitive(lambda x: x[...], lambda g, y, x: g, name="part"),
    "squeeze": mg.squeeze,
    "reshape": lambda x: mg.reshape(x, np.shape(x)),
    "flip": lambda x: mg.flip(mg.flip(x)),
}


@pytest.mark.parametrize("f", SAME.values(), ids=SAME)
def test_what_is_detached_of_a_parameter_by_a_function_that_returns_it_is_a_copy(f: Any) -> None:
    for detached in (lambda w: f(w).detach(), mg.no_grad()(f)):
        w, x = leaf(np.array([2.0, 3.0])), leaf(np.array([0.5, 1.0]))
        v = detached(w)
        y = mg.sum(x * v)
        w.writable()[...] = 7.0
        y.backward()
        np.testing.assert_array_equal(x.grad, [2.0, 3.0])
        np.testing.assert_array_equal(v.data, [2.0, 3.0])


@pytest.mark.parametrize("part", [lambda a: a, lambda a: a[::-1][::-1], lambda a: a.reshape(-1)])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_result_that_is_an_array_of_the_users_is_a_copy(part: Any, recorded: bool) -> None:
    other = mg.primitive(lambda x, a: part(a), lambda g, y, x, a: g * y, name="other")
    x, a = mg.tensor([0.5, 1.0], requires_grad=recorded), np.array([2.0, 3.0])
    y = other(x, a)
    a[:] = 7.0
    np.testing.assert_array_equal(y.data, [2.0, 3.0])
    if recorded:
        mg.sum(y).backward()
        np.testing.assert_array_equal(x.grad, [2.0, 3.0])


FACTORS: dict[str, Callable[[], Any]] = {
    "dict": lambda: {"k": np.array([2.0, 3.0, 4.0])},
    "list of dicts": lambda: {"k": [{"k": np.array([2.0, 3.0, 4.0])}, "words"]},
    "list of several lengths": lambda: [np.array([2.0, 3.0, 4.0]), np.ones(2)],
    "tuple in a dict": lambda: {"k": (np.array([2.0, 3.0, 4.0]),)},
}


def innermost(x: Any) -> Any:
    while isinstance(x, (dict, list, tuple)):
        x = x["k"] if isinstance(x, dict) else x[0]
    return x


@pytest.mark.parametrize("make", FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize("named", [False, True])
def test_arrays_within_an_argument_may_change_after_the_call(make: Any, named: bool) -> None:
    scaled = mg.primitive(lambda x, o: x * innermost(o), lambda g, y, x, o: g * innermost(o), None, name="scaled")
    x, factors = leaf(), make()
    y = scaled(x, o=factors) if named else scaled(x, factors)
    innermost(factors)[:] = 100.0
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [[2.0, 3.0, 4.0]] * 2)


@pytest.mark.parametrize("named", [False, True])
def test_a_tensor_within_a_dict_that_would_lose_its_gradient_is_refused(named: bool) -> None:
    values = lambda o: o["k"].data
    scaled = mg.primitive(lambda x, o: x * values(o), lambda g, y, x, o: g * values(o), None, name="scaled")
    x, o = leaf(), {"k": leaf()}
    with pytest.raises(TypeError, match="requires a gradient is given by keyword or inside of a list"):
        scaled(x, o=o) if named else scaled(x, o)


def test_an_iterator_that_the_derivative_would_find_empty_is_refused() -> None:
    f = lambda x, factors: sum(x * c for c in factors)
    scaled = mg.primitive(f, lambda g, y, x, factors: sum((g * c for c in factors), 0 * g), name="scaled")
    x = mg.tensor(3.0, requires_grad=True)
    for call, match in (
        (lambda it: scaled(x, it), "scaled: generator .* can be read only once, .* pass a list or tuple"),
        (lambda it: scaled(x, factors=it), "the argument factors: generator .* can be read only once"),
        (lambda it: mg.checkpoint(f)(x, it), "checkpoint: generator .* can be read only once"),
    ):
        with pytest.raises(TypeError, match=match):
            call(c for c in (1.0, 2.0))
    scaled(x, [1.0, 2.0]).backward()
    assert x.grad == 3.0
    assert scaled(x.detach(), iter([1.0, 2.0])).item() == 9.0  # nothing is read again
