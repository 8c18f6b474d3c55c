"""functional_call: a module computes with the parameters that it is given, and keeps its own."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from textbook import drawn, grads_of, joined, own

import minigrad as mg
import nn
from minigrad.testing import check_grad

XS = np.random.default_rng(0).standard_normal((3, 2, 2))
Pair = namedtuple("Pair", "left right")


class Nested(nn.Module):
    """Tensors in a tuple, a named tuple, a list and a dict, a frozen one, and buffers."""

    def __init__(self) -> None:
        draw = np.random.default_rng(5).standard_normal
        make = lambda: nn.parameter(draw((2, 2)))
        self.plain, self.pair, self.named = make(), (make(), 3.0), Pair(make(), [make()])
        self.by_name = {"a": make(), "b": {"c": make()}}
        self.frozen = mg.tensor(draw((2, 2)), requires_grad=True)
        self.frozen.requires_grad = False
        self.offset, self.calls = nn.buffer(draw(2)), nn.buffer(0)

    def forward(self, x: Any) -> Any:
        self.calls = self.calls + 1
        for w in (self.plain, self.pair[0], self.named.left, self.named.right[0], self.by_name["a"]):
            x = mg.tanh(x @ w)
        return x @ self.by_name["b"]["c"] @ self.frozen + self.offset * self.pair[1]


class Tied(nn.Module):
    """One weight in two places."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(5, 3, rng=0, dtype=float)
        self.head = nn.TiedLinear(self.embedding)

    def forward(self, x: Any) -> Any:
        return self.head(mg.tanh(self.embedding(x)))


NETWORKS: dict[str, tuple[Any, Any]] = {
    "LSTM": (lambda: nn.LSTM(2, 3, 2, rng=0, dtype=float, bidirectional=True), XS),
    "GRU in parts": (lambda: nn.GRU(2, 3, rng=0, dtype=float, checkpoint=2), XS),
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 2, dtype=float), nn.LayerNorm((2, 1), dtype=float)),
        np.random.default_rng(0).standard_normal((2, 1, 3, 2)),
    ),
    "nested": (Nested, XS),
    "tied": (Tied, np.array([[0, 4], [4, 2]])),
}
each_network = pytest.mark.parametrize(("make", "x"), NETWORKS.values(), ids=NETWORKS)


def result(y: Any) -> Any:
    return y[0] if isinstance(y, tuple) else y


def loss(module: Any, parameters: Any, x: Any) -> Any:
    return (result(nn.functional_call(module, parameters, x)) ** 2).sum()


@each_network
def test_it_computes_what_the_module_computes_with_these_weights_loaded(make: Any, x: Any) -> None:
    module, twin = make(), make()
    before, tensors, values = module.state_dict(), module.parameters(), drawn(module)
    for name, p in twin.named_parameters():
        p.data = values[name]
    expected = grads_of(twin, (result(twin(x)) ** 2).sum())
    value, found = mg.value_and_grad(loss, 1)(module, values, x)
    np.testing.assert_allclose(value.data, (result(twin(x)) ** 2).sum().data, rtol=1e-12)
    for name, g in expected.items():
        np.testing.assert_allclose(found[name].data, g, rtol=1e-9, atol=1e-12)
    assert all(a is b for a, b in zip(module.parameters(), tensors, strict=True))
    assert all(p.grad is None for p in module.parameters())
    for name in values:
        np.testing.assert_array_equal(module.state_dict()[name], before[name])


@each_network
def test_it_has_first_and_second_derivatives(make: Any, x: Any) -> None:
    module = make()
    f, weights = joined(lambda parameters: loss(module, parameters, x), drawn(module))
    check_grad(f, weights, order=1 if len(own(module)) > 8 else 2, mode="project")


def test_a_hessian_vector_product_of_an_lstm_is_the_hessian_times_the_vector() -> None:
    net = nn.LSTM(2, 2, rng=0, dtype=float)
    parameters, v = drawn(net), drawn(net, 2)
    f = lambda parameters: loss(net, parameters, XS)
    (found,) = mg.hvp(f, (parameters,), (v,))
    (of_tensors,) = mg.hvp(lambda p: f({**own(net), **p}), (parameters,), (v,))
    H = mg.hessian(f)(parameters)
    for name in parameters:
        expected = sum(np.tensordot(H[name][other].data, v[other], v[other].ndim) for other in v)
        np.testing.assert_allclose(found[name].data, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(of_tensors[name].data, found[name].data)


def test_the_modules_own_tensors_may_be_the_parameters_and_get_gradients_by_backward() -> None:
    net, twin = (nn.GRU(2, 3, rng=0, dtype=float) for _ in range(2))
    loss(net, own(net), XS).backward()
    for p, q in zip(net.parameters(), grads_of(twin, (twin(XS)[0] ** 2).sum()).values(), strict=True):
        np.testing.assert_array_equal(p.grad, q)


# --- the module is what it was ---------------------------------------------------------------------------------------


class Failing(Nested):
    """Raises in its forward pass."""

    def forward(self, x: Any) -> Any:
        super().forward(x)
        raise KeyError("no")


@pytest.mark.parametrize("kind", [Failing, Nested])
def test_the_modules_tensors_come_back_in_all_containers_also_after_an_exception(kind: Any) -> None:
    module = kind()
    tensors = [t for _, t in module._named((None, "frozen", "buffer")) if t.shape]
    inside = module.by_name, module.named.right
    try:
        nn.functional_call(module, drawn(module), XS)
    except KeyError:
        assert kind is Failing
    assert [id(t) for _, t in module._named((None, "frozen", "buffer")) if t.shape] == list(map(id, tensors))
    assert (module.by_name, module.named.right) == inside
    assert type(module.named) is Pair


def test_a_refused_call_changes_nothing() -> None:
    module = Nested()
    tensors = list(map(id, module.parameters()))
    with pytest.raises(ValueError, match="missing"):
        nn.functional_call(module, {}, XS)
    assert list(map(id, module.parameters())) == tensors


def test_forward_finds_what_stands_for_its_parameters() -> None:
    class Decayed(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x).sum() + sum((p**2).sum() for p in self.parameters())

    module = Decayed(2, 3, rng=0, dtype=float)
    values = drawn(module)
    expected = (XS @ values["W"] + values["b"]).sum() + sum((a**2).sum() for a in values.values())
    np.testing.assert_allclose(nn.functional_call(module, values, XS).data, expected, rtol=1e-12)
    check_grad(lambda p: nn.functional_call(module, p, XS), values)
    assert own(module).keys() == values.keys()


def test_what_forward_assigns_stays_unless_it_stands_for_what_was_given() -> None:
    module = Nested()
    nn.functional_call(module, own(module), XS)
    assert (module.calls.item(), module.calls.role) == (1, "buffer")
    found = nn.functional_call(module, own(module) | {"calls": 7, "offset": np.zeros(2)}, XS)
    assert module.calls.item() == 1
    module.offset = np.zeros(2)
    np.testing.assert_array_equal(found.data, module(XS).data)


class Meta(nn.Module):
    """Computes with weights of its net that are a step of gradient descent further."""

    def __init__(self) -> None:
        self.net, self.rate = nn.Linear(2, 2, rng=0, dtype=float), nn.parameter(0.1)

    def inner(self, parameters: Any, x: Any) -> Any:
        return (nn.functional_call(self.net, parameters, x) ** 2).mean()

    def forward(self, x: Any) -> Any:
        now = own(self.net)
        slopes = mg.grad(self.inner)(now, x)
        return self.inner({name: p - self.rate * slopes[name] for name, p in now.items()}, x)


def test_calls_nest_and_the_inner_one_replaces_what_the_outer_one_did() -> None:
    module, values = Meta(), {"net.W": np.eye(2), "net.b": np.ones(2), "rate": np.array(0.3)}

    def by_hand(values: Any) -> Any:
        def inner(W: Any, b: Any) -> Any:
            return ((XS[0] @ W + b) ** 2).mean()

        dW, db = mg.grad(inner, (0, 1))(values["net.W"], values["net.b"])
        return inner(values["net.W"] - values["rate"] * dW, values["net.b"] - values["rate"] * db)

    expected = mg.grad(by_hand)(values)
    found = mg.grad(lambda values: nn.functional_call(module, values, XS[0]))(values)
    for name in values:
        np.testing.assert_allclose(found[name].data, expected[name].data, rtol=1e-10)
    check_grad(lambda values: nn.functional_call(module, values, XS[0]), values)
    assert module.net.W.requires_grad
    assert module.net.W.primitive is None


class Scaled(nn.Module):
    """Calls a part of itself, in which another part of itself is used."""

    def __init__(self) -> None:
        self.linear, self.rate = nn.Linear(2, 2, rng=0, dtype=float), nn.parameter(0.1)
        self.inside = nn.Sequential(self.linear, lambda y: y * self.rate)

    def forward(self, x: Any) -> Any:
        return nn.functional_call(self.inside, {"layers.0.W": np.eye(2), "layers.0.b": self.linear.b}, x)


def test_what_the_outer_call_replaced_stays_replaced_in_the_inner_one() -> None:
    values = {"linear.W": np.ones((2, 2)), "linear.b": np.array([1.0, 2.0]), "rate": np.array(3.0)}
    module = Scaled()
    found = nn.functional_call(module, values, XS)
    np.testing.assert_allclose(found.data, (XS + values["linear.b"]) * 3, rtol=1e-12)
    assert module.rate.item() == 0.1


# --- dtypes, frozen weights, ties ------------------------------------------------------------------------------------


def test_a_float32_network_computes_in_the_dtype_of_what_it_is_given() -> None:
    net = nn.LSTM(2, 3, rng=0)
    of = lambda dtype: {name: p.data.astype(dtype) for name, p in net.named_parameters()}
    for dtype in (np.float32, np.float64):
        (Hv,) = mg.hvp(lambda p: loss(net, p, XS), (of(dtype),), (of(dtype),))
        assert {g.dtype for g in Hv.values()} == {np.dtype(dtype)}


def test_frozen_weights_may_be_given_and_need_not_be() -> None:
    net = nn.Linear(2, 2, rng=0, dtype=float)
    values = drawn(net)
    net.freeze()
    np.testing.assert_array_equal(nn.functional_call(net, {}, XS).data, net(XS).data)
    found = mg.grad(lambda p: nn.functional_call(net, p, XS).sum())(values)
    np.testing.assert_allclose(found["W"].data, np.outer(XS.sum(axis=(0, 1)), np.ones(2)), rtol=1e-12)


def test_frozen_networks_in_parts_have_the_gradients_of_what_they_are_given() -> None:
    whole, parts = (nn.RNN(2, 3, rng=0, dtype=float, checkpoint=k) for k in (None, 2))
    values = drawn(whole)
    expected = mg.grad(lambda p: loss(whole, p, XS))(values)
    found = mg.grad(lambda p: loss(parts.freeze(), p, XS))(values)
    for name, g in expected.items():
        np.testing.assert_allclose(found[name].data, g.data, rtol=1e-10)


def test_a_part_of_the_parameters_goes_with_the_modules_others() -> None:
    net = nn.Linear(2, 3, rng=0, dtype=float)
    slopes = mg.grad(lambda few: nn.functional_call(net, {**own(net), **few}, XS).sum())({"b": np.ones(3)})
    np.testing.assert_allclose(slopes["b"].data, np.full(3, 6.0))


# --- refusals --------------------------------------------------------------------------------------------------------


def test_every_missing_unexpected_and_mismatched_name_is_listed_at_once() -> None:
    values = drawn(Tied()) | {"head.source.W": np.ones((5, 3)), "other": 2.0, "head.b": np.ones(4)}
    del values["embedding.W"]
    with pytest.raises(ValueError, match="do not fit Tied") as caught:
        nn.functional_call(Tied(), values, [0])
    assert str(caught.value).splitlines()[1:] == [
        "  missing: embedding.W (5, 3)",
        "  mismatched: head.b is (4,) float64, this module has (5,) float64",
        "  unexpected: head.source.W (5, 3), which is tied to embedding.W: give that",
        "  unexpected: other ()",
        "  to keep the module's own: {**dict(module.named_parameters()), **parameters}",
    ]
    with pytest.raises(ValueError, match=r"mismatched: head.b is \(5,\) int64, this module has \(5,\) float64"):
        nn.functional_call(Tied(), own(Tied()) | {"head.b": np.ones(5, int)}, [0])


@pytest.mark.parametrize(
    ("module", "parameters", "message"),
    [
        (mg.tanh, {}, "must be an nn.Module, got a Primitive"),
        (nn.Linear(2, 2), [np.ones((2, 2))], r"dict\(module.named_parameters\(\)\), got a list"),
    ],
)
def test_what_is_no_module_or_no_dict_raises(module: Any, parameters: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        nn.functional_call(module, parameters, XS)


class Lazy(nn.Module):
    def __init__(self, kind: str) -> None:
        self.layer, self.kind = nn.Linear(2, 2, rng=0, dtype=float), kind

    def forward(self, x: Any) -> Any:
        lazy = (self.layer(x) for _ in range(2)) if self.kind == "generator" else map(self.layer, [x, x])
        return {"first": self.layer(x), "others": [lazy]}


@pytest.mark.parametrize("kind", ["generator", "map"])
def test_what_would_run_after_the_call_with_the_modules_own_parameters_is_refused(kind: str) -> None:
    module = Lazy(kind)
    with pytest.raises(TypeError, match=f"Lazy returned a {kind}, which would run after the call.*a list or a tuple"):
        nn.functional_call(module, dict(module.named_parameters()), np.ones((1, 2)))
