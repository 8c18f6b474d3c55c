"""Optimisers against their equations in plain, out-of-place NumPy, over several steps; their state and their care."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn

# --- the equations, out of place: (w, the gradients up to now, options) -> the next w --------------------------------


def decayed(ws: list[np.ndarray], gs: list[np.ndarray], weight_decay: float) -> list[np.ndarray]:
    return [g + weight_decay * w for w, g in zip(ws, gs, strict=True)]


def sgd(
    ws: Any,
    gs: Any,
    lr: float,
    momentum: float = 0,
    nesterov: bool = False,
    weight_decay: float = 0,
    dampening: float = 0,
) -> Any:
    gs = decayed(ws, gs, weight_decay)
    v = sum(momentum ** (len(gs) - 1 - k) * g * (1 - dampening * (k > 0)) for k, g in enumerate(gs))
    return ws[-1] - lr * (gs[-1] + momentum * v if nesterov else v)


def adagrad(ws: Any, gs: Any, lr: float, eps: float = 1e-10, weight_decay: float = 0) -> Any:
    gs = decayed(ws, gs, weight_decay)
    return ws[-1] - lr * gs[-1] / (np.sqrt(sum(g**2 for g in gs)) + eps)


def average(terms: list[np.ndarray], beta: float) -> Any:
    return sum((1 - beta) * beta ** (len(terms) - 1 - k) * term for k, term in enumerate(terms))


def rmsprop(
    ws: Any, gs: Any, lr: float, decay: float = 0.9, eps: float = 1e-8, weight_decay: float = 0, momentum: float = 0,
    centered: bool = False,
) -> Any:  # fmt: skip
    gs, v = decayed(ws, gs, weight_decay), 0
    for t in range(1, len(gs) + 1):
        s, m = average([g**2 for g in gs[:t]], decay), average(gs[:t], decay)
        v = momentum * v + gs[t - 1] / (np.sqrt(s - m**2 if centered else s) + eps)
    return ws[-1] - lr * v


def adam(
    ws: Any,
    gs: Any,
    lr: float,
    betas: Any = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    amsgrad: bool = False,
) -> Any:
    gs, t = decayed(ws, gs, weight_decay), len(gs)
    m_hat = average(gs, betas[0]) / (1 - betas[0] ** t)
    vs = [average([g**2 for g in gs[:k]], betas[1]) for k in range(1, t + 1)]
    v_hat = (np.max(vs, axis=0) if amsgrad else vs[-1]) / (1 - betas[1] ** t)
    return ws[-1] - lr * m_hat / (np.sqrt(v_hat) + eps)


def adamw(ws: Any, gs: Any, lr: float, weight_decay: float = 0.01, **options: Any) -> Any:
    return adam(ws, gs, lr, **options) - lr * weight_decay * ws[-1]


CASES: list[tuple[Any, Callable[..., Any], dict[str, Any]]] = [
    (nn.SGD, sgd, {"lr": 0.1}),
    (nn.SGD, sgd, {"lr": 0.1, "weight_decay": 0.3}),
    (nn.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (nn.SGD, sgd, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.3}),
    (nn.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (nn.SGD, sgd, {"lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.3}),
    (nn.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
    (nn.Adagrad, adagrad, {"lr": 0.1}),
    (nn.Adagrad, adagrad, {"lr": 0.1, "eps": 0.5, "weight_decay": 0.3}),
    (nn.RMSprop, rmsprop, {"lr": 0.1}),
    (nn.RMSprop, rmsprop, {"lr": 0.1, "decay": 0.5, "eps": 0.5, "weight_decay": 0.3}),
    (nn.RMSprop, rmsprop, {"lr": 0.1, "eps": 0.5, "centered": True}),
    (nn.RMSprop, rmsprop, {"lr": 0.1, "decay": 0.5, "eps": 0.5, "centered": True, "momentum": 0.9}),
    (nn.Adam, adam, {"lr": 0.1}),
    (nn.Adam, adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.5, "weight_decay": 0.3}),
    (nn.Adam, adam, {"lr": 0.1, "betas": (0.5, 0.7), "amsgrad": True}),
    (nn.AdamW, adamw, {"lr": 0.1}),
    (nn.AdamW, adamw, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.5, "weight_decay": 0.3}),
]
each_case = pytest.mark.parametrize(
    ("kind", "equation", "options"), CASES, ids=lambda v: getattr(v, "__name__", None) or ",".join(v)
)
KINDS = [nn.SGD, nn.Adagrad, nn.RMSprop, nn.Adam, nn.AdamW]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
MOMENTUM = {nn.SGD: {"momentum": 0.9}}  # so that every kind has something to remember


def set_grad(p: mg.Tensor, g: Any) -> None:
    p.grad = np.array(g, p.dtype)


@each_case
@given(shape=st.lists(st.integers(0, 3), max_size=3).map(tuple), seed=st.integers(0, 99))
def test_six_steps_follow_the_equation(kind: Any, equation: Any, options: Any, shape: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = nn.parameter(rng.standard_normal(shape))
    optimiser = kind([p], **options)
    ws, gs = [p.data.copy()], []
    for _ in range(6):
        gs.append(rng.standard_normal(shape))
        set_grad(p, gs[-1])
        optimiser.step()
        ws.append(equation(ws, gs, **options))
        np.testing.assert_allclose(p.data, ws[-1], rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(p.grad, gs[-1])  # the gradient is left as it was


@each_case
def test_a_schedule_sets_the_rate_of_each_step(kind: Any, equation: Any, options: Any) -> None:
    p = nn.parameter(np.array([1.0, -2.0]))
    optimiser = kind([p], **options | {"lr": lambda n: 1 / (n + 2)})
    ws, gs = [p.data.copy()], []
    for n in range(4):
        assert optimiser.rate == 1 / (n + 2)
        gs.append(np.array([0.5, n - 1.5]))
        set_grad(p, gs[-1])
        optimiser.step()
        ws.append(equation(ws, gs, **options | {"lr": 1 / (n + 2)}))
        np.testing.assert_allclose(p.data, ws[-1], rtol=1e-10)


def test_adamw_decays_by_the_scheduled_rate_apart_from_the_gradient() -> None:
    p = nn.parameter(np.array([2.0]))
    optimiser = nn.AdamW([p], lr=0.5, weight_decay=0.1)
    set_grad(p, [0.0])
    optimiser.step()
    np.testing.assert_allclose(p.data, [2.0 * (1 - 0.5 * 0.1)])


@each_kind
def test_the_defaults_step_downhill(kind: Any) -> None:
    p = nn.parameter(np.array([3.0]))
    optimiser = kind([p], lr=0.1)
    for _ in range(50):
        optimiser.zero_grad()
        mg.square(p).sum().backward()
        optimiser.step()
    assert abs(p.data[0]) < 2.5


# --- in place --------------------------------------------------------------------------------------------------------


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_change_the_parameter_in_its_own_memory_and_dtype(
    kind: Any, equation: Any, options: Any, dtype: Any
) -> None:
    p = nn.parameter(np.ones((2, 3), dtype))
    address, optimiser = p.data.ctypes.data, kind([p], **options)
    for _ in range(3):
        set_grad(p, np.ones((2, 3)))
        optimiser.step()
    assert (p.data.ctypes.data, p.dtype) == (address, dtype)
    assert not np.array_equal(p.data, np.ones((2, 3)))


@each_kind
def test_a_tied_or_duplicated_parameter_is_updated_once(kind: Any) -> None:
    once, twice = nn.parameter(np.ones(2)), nn.parameter(np.ones(2))
    for params in ([once], [twice, twice]):
        optimiser = kind(params, lr=0.1, **MOMENTUM.get(kind, {}))
        for _ in range(3):
            set_grad(params[0], [0.5, -1.0])
            optimiser.step()
    np.testing.assert_array_equal(once.data, twice.data)


@each_kind
def test_a_parameter_without_a_gradient_is_left_alone_with_its_memory(kind: Any) -> None:
    a, b = nn.parameter(np.ones(2)), nn.parameter(np.ones(2))
    optimiser = kind([a, b], lr=0.1, weight_decay=0.1, **MOMENTUM.get(kind, {}))
    set_grad(a, [1.0, 1.0])
    set_grad(b, [1.0, 1.0])
    optimiser.step()
    kept = b.data.copy(), {name: v for name, v in optimiser.state_dict().items() if name.endswith(".1")}
    b.grad = None
    for _ in range(3):
        optimiser.step()
    np.testing.assert_array_equal(b.data, kept[0])
    for name, value in kept[1].items():
        np.testing.assert_array_equal(optimiser.state_dict()[name], value)
    assert not np.array_equal(a.data, b.data)


@pytest.mark.parametrize("kind", [nn.Adam, nn.AdamW], ids=lambda kind: kind.__name__)
def test_bias_correction_counts_a_parameters_own_updates(kind: Any) -> None:
    early, late = nn.parameter(np.zeros(1)), nn.parameter(np.zeros(1))
    optimiser = kind([early, late], lr=1.0)
    for _ in range(100):
        set_grad(early, [1.0])
        optimiser.step()
    set_grad(late, [1.0])
    optimiser.step()
    np.testing.assert_allclose(late.data, [-1.0], rtol=1e-6)  # m̂ / √v̂ = g / |g| at its first update


@each_kind
@given(
    shapes=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=4),
    dtypes=st.lists(st.sampled_from(["float32", "float64"]), min_size=4, max_size=4),
    given_in=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=4),
    block=st.sampled_from([1, 4, 9, nn.optim.BLOCK]),
)
def test_parameters_that_are_updated_together_change_as_each_does_alone(
    kind: Any, shapes: Any, dtypes: Any, given_in: Any, block: int
) -> None:
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype(dtype) for shape, dtype in zip(shapes, dtypes)]
    together, alone = [nn.parameter(w) for w in start], [nn.parameter(w) for w in start]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.optim, "BLOCK", block)
        one, several = kind(together, lr=0.1, weight_decay=0.2), [kind([p], lr=0.1, weight_decay=0.2) for p in alone]
    for present in given_in:
        for p, q, has in zip(together, alone, present):
            gradient = rng.standard_normal(p.shape).astype(p.dtype)
            p.grad, q.grad = (gradient, gradient.copy()) if has else (None, None)
        for optimiser in (one, *several):
            optimiser.step()
    for p, q in zip(together, alone):
        np.testing.assert_array_equal(p.data, q.data)


def test_memory_beside_an_optimisers_state_does_not_grow_with_the_number_of_parameters() -> None:
    params = [nn.parameter(np.zeros(nn.optim.BLOCK, np.float32)) for _ in range(8)]
    tracemalloc.start()
    optimiser = nn.SGD(params, lr=0.1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 8 * nn.optim.BLOCK <= held < 9 * nn.optim.BLOCK  # two arrays of float32
    assert optimiser.params == params


@each_kind
def test_zero_grad_forgets_every_gradient(kind: Any) -> None:
    params = [nn.parameter(np.ones(2)), nn.parameter(np.ones(3))]
    for p in params:
        set_grad(p, np.ones(p.shape))
    kind(params, lr=0.1).zero_grad()
    assert [p.grad for p in params] == [None, None]


@each_kind
def test_a_step_between_forward_and_backward_makes_backward_raise(kind: Any) -> None:
    p = nn.parameter(np.ones(2))
    loss = mg.square(p).sum()
    loss.backward()
    kind([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed after this forward call"):
        loss.backward()


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda kind: kind.__name__)
def test_a_step_between_forward_and_backward_of_a_network_makes_backward_raise(kind: Any) -> None:
    net = kind(2, 3, rng=0)
    net(np.ones((3, 2, 2)))[0].sum().backward()
    ys, _ = net(np.ones((3, 2, 2)))
    nn.SGD(net.parameters(), 0.1).step()
    with pytest.raises(RuntimeError, match="changed after this forward call"):
        ys.sum().backward()


@each_kind
def test_a_gradient_of_the_user_is_not_written_to(kind: Any) -> None:
    p, g = nn.parameter(np.ones(2)), np.array([0.5, -1.0])
    g.flags.writeable = False
    p.grad = g
    optimiser = kind([p], lr=0.1, weight_decay=0.1, **MOMENTUM.get(kind, {}))
    optimiser.step()
    optimiser.step()
    np.testing.assert_array_equal(g, [0.5, -1.0])


@each_kind
@pytest.mark.parametrize("shape", [(), (1,), (2, 3)], ids=str)
def test_a_gradient_of_another_shape_raises_and_changes_nothing(kind: Any, shape: tuple[int, ...]) -> None:
    first, p = nn.parameter(np.ones(2)), nn.parameter(np.ones(3))
    first.grad, optimiser = np.ones(2), kind([first, p], lr=0.1)
    p.node.grad = np.ones(shape)  # type: ignore[union-attr] (`p.grad = ` refuses it)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        optimiser.step()
    np.testing.assert_array_equal(p.data, np.ones(3))
    np.testing.assert_array_equal(first.data, np.ones(2))


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        *[(kind, {"lr": -0.1}, r"lr must .* got -0\.1") for kind in KINDS],
        *[(kind, {"lr": float("nan")}, "lr must") for kind in KINDS],
        *[(kind, {"lr": float("inf")}, "lr must") for kind in KINDS],
        *[(kind, {"lr": 0.1, "weight_decay": -1.0}, r"weight_decay must .* got -1\.0") for kind in KINDS],
        *[(kind, {"lr": 0.1, "eps": -1.0}, r"eps must .* got -1\.0") for kind in KINDS[1:]],
        (nn.SGD, {"lr": 0.1, "momentum": 1.0}, r"momentum must .* got 1\.0"),
        (nn.SGD, {"lr": 0.1, "momentum": -0.1}, r"momentum must .* got -0\.1"),
        (nn.SGD, {"lr": 0.1, "nesterov": True}, "nesterov=True needs a momentum"),
        (nn.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "dampening": 0.1}, "dampening=0 only, got 0.1"),
        (nn.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": -0.1}, "dampening must"),
        (nn.RMSprop, {"lr": 0.1, "decay": 1.0}, "decay must"),
        (nn.RMSprop, {"lr": 0.1, "momentum": 1.0}, "momentum must"),
        (nn.Adam, {"lr": 0.1, "betas": (1.0, 0.9)}, "betas must"),
        (nn.Adam, {"lr": 0.1, "betas": (0.9, -0.1)}, "betas must"),
    ],
    ids=str,
)
def test_an_option_out_of_its_range_raises_and_names_it(kind: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind([nn.parameter(np.ones(2))], **options)


@each_kind
def test_no_parameters_at_all_raise(kind: Any) -> None:
    with pytest.raises(ValueError, match="params is empty"):
        kind([], lr=0.1)


@each_kind
@pytest.mark.parametrize("bad", [mg.tensor([1.0]), np.ones(2), nn.parameter([1.0]) * 2], ids=["constant", "array", "y"])
def test_what_is_no_parameter_raises(kind: Any, bad: Any) -> None:
    with pytest.raises(TypeError, match="params must be leaf tensors with requires_grad=True"):
        kind([nn.parameter([1.0]), bad], lr=0.1)


def test_parameters_may_come_from_a_generator() -> None:
    p = nn.parameter(np.ones(2))
    optimiser = nn.SGD((q for q in [p]), 0.5)
    set_grad(p, [1.0, 2.0])
    optimiser.step()
    np.testing.assert_array_equal(p.data, [0.5, 0.0])
