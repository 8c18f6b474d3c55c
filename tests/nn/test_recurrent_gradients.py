"""Backpropagation through time against finite differences, of first and second order, for every recurrent network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from textbook import joined, make_cell, random_state, randomised, swapped, weights_of

import minigrad as mg
import nn
from minigrad.testing import GradientError, check_grad

each_network = pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda kind: kind.__name__)

# T >= 3, B >= 2 and I != H: a transposed matrix or a wrong order of products cannot hide
sizes = st.tuples(st.integers(3, 5), st.integers(2, 3), st.integers(1, 3), st.integers(1, 3)).filter(
    lambda s: s[2] != s[3]
)
# Each example is large: fewer of the second order, and none are shrunk, which would take minutes.
examples = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
several = settings(examples, max_examples=max(5, settings.default.max_examples // 2))
few = settings(examples, max_examples=max(4, settings.default.max_examples // 3))


def check_network(net: Any, xs: np.ndarray, state: Any, order: int) -> None:
    """Of every output and final state, with respect to every parameter, the inputs and the initial state."""

    def f(weights: Any, xs: Any, state: Any) -> Any:
        with swapped(net, weights):
            return net(xs, state)

    check_grad(*joined(f, weights_of(net), xs, state), order=order, mode="project")


@each_network
@several
@given(sizes=sizes, layers=st.integers(1, 2), bias=st.booleans(), seed=st.integers(0, 99))
def test_first_derivatives_match_finite_differences(kind: Any, sizes: Any, layers: int, bias: bool, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    net = randomised(kind(I, H, layers, bias=bias, dtype=np.float64), seed)
    check_network(net, rng.standard_normal((T, B, I)), random_state(net, B, rng), order=1)


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)], ids=["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("H", [1, 2])
def test_first_derivatives_of_a_batch_as_large_as_all_gates(kind: Any, gates: int, H: int) -> None:
    B, rng = gates * H, np.random.default_rng(H)  # a step's projected input is square, and may not be transposed
    net = randomised(kind(3, H, dtype=np.float64), H)
    check_network(net, rng.standard_normal((3, B, 3)), random_state(net, B, rng), order=1)


@each_network
@few
@given(
    sizes=st.sampled_from([(3, 2, 1, 2), (3, 2, 2, 1), (4, 2, 1, 2), (3, 3, 2, 1)]),
    layers=st.integers(1, 2),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_second_derivatives_match_finite_differences(kind: Any, sizes: Any, layers: int, bias: bool, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    net = randomised(kind(I, H, layers, bias=bias, dtype=np.float64), seed)
    check_network(net, rng.standard_normal((T, B, I)), random_state(net, B, rng), order=2)


@few
@given(sizes=sizes, seed=st.integers(0, 99))
def test_elman_loss_has_the_derivatives_of_finite_differences(sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    net = nn.Recurrent(make_cell(nn.ElmanCell, I, H, seed, O=3))
    targets = rng.integers(0, 3, (T, B))

    def loss(weights: Any, xs: Any, state: Any) -> Any:
        with swapped(net, weights):
            return nn.cross_entropy(net(xs, state)[0], targets, reduction="sum")

    order = 2 if H * I < 6 else 1
    xs, state = rng.standard_normal((T, B, I)), random_state(net, B, rng)
    check_grad(*joined(loss, weights_of(net), xs, state), order=order, mode="project")


@each_network
@few
@given(seed=st.integers(0, 99))
def test_integer_inputs_have_the_derivatives_of_finite_differences(kind: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = randomised(kind(3, 2, dtype=np.float64), seed)
    numbers = rng.integers(0, 3, (4, 2))

    def f(weights: Any, state: Any) -> Any:
        with swapped(net, weights):
            return net(numbers, state)

    check_grad(*joined(f, weights_of(net), random_state(net, 2, rng)), order=1, mode="project")


def test_second_derivatives_with_integer_inputs_match_finite_differences() -> None:
    net = randomised(nn.RNN(3, 2, dtype=np.float64))

    def f(weights: Any) -> Any:
        with swapped(net, weights):
            return net(np.array([[0, 2], [2, 2], [1, 0]]))[0]

    check_grad(f, weights_of(net), order=2, mode="project")


# --- cells of a user -------------------------------------------------------------------------------------------------


class Plain(nn.Cell):
    """h_t = sin(x_t A + h_{t-1} B), by `step` alone."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.H = 2
        self.A, self.B = nn.parameter(rng.standard_normal((3, 2))), nn.parameter(rng.standard_normal((2, 2)))

    def step(self, x: Any, state: Any) -> Any:
        h = mg.sin(x @ self.A + state @ self.B)
        return h, h


class Projected(Plain):
    """The same, with x_t A for all times at once."""

    def project(self, xs: Any) -> Any:
        return nn.linear(xs, self.A)

    def step(self, x: Any, state: Any) -> Any:
        h = mg.sin(x + state @ self.B)
        return h, h


class Named(Plain):
    """Two states by name: a fast one, and its slow running mean, which is the output."""

    def initial_state(self, B: int) -> Any:
        return {"fast": mg.tensor(np.zeros((B, 2))), "slow": mg.tensor(np.ones((B, 2)))}

    def step(self, x: Any, state: Any) -> Any:
        fast = mg.tanh(x @ self.A + state["slow"] @ self.B)
        slow = 0.9 * state["slow"] + 0.1 * fast * state["fast"]
        return slow, {"fast": fast, "slow": slow}


@pytest.mark.parametrize("kind", [Plain, Projected, Named], ids=lambda kind: kind.__name__)
def test_a_users_cell_has_the_derivatives_of_finite_differences(kind: Any) -> None:
    rng = np.random.default_rng(0)
    net = nn.Recurrent(kind())
    check_network(net, rng.standard_normal((3, 2, 3)), random_state(net, 2, rng), order=2)


def test_a_users_cells_stack_with_ours() -> None:
    rng = np.random.default_rng(0)
    net = nn.Recurrent(Named(), randomised(nn.LSTMCell(2, 1, dtype=np.float64)))
    check_network(net, rng.standard_normal((3, 2, 3)), random_state(net, 2, rng), order=1)


def test_projecting_all_times_at_once_changes_nothing() -> None:
    xs = np.random.default_rng(0).standard_normal((4, 2, 3))
    plain, projected = nn.Recurrent(Plain()), nn.Recurrent(Projected())
    (ys, (s,)), (expected, (e,)) = projected(xs), plain(xs)
    np.testing.assert_allclose(ys.data, expected.data, rtol=1e-13)
    np.testing.assert_allclose(s.data, e.data, rtol=1e-13)


@pytest.mark.parametrize(
    "grouped",
    [list, tuple, lambda parts: dict(enumerate(parts)), lambda parts: (parts[0], list(parts[1:]))],
    ids=["list", "tuple", "dict", "nested"],
)
@pytest.mark.parametrize("T", [2, 3])
def test_a_step_gets_its_own_time_of_every_part_that_project_returns(grouped: Any, T: int) -> None:
    class Parts(Plain):
        def project(self, xs: Any) -> Any:
            return grouped([xs @ self.A, xs @ self.A[::-1], 2 * xs @ self.A])  # three: as many as times, or more

        def step(self, x: Any, h: Any) -> Any:
            a, b, c = mg.tree_leaves(x)
            h = mg.sin(a + b * (h @ self.B)) + c
            return h, h

    xs, cell, h = np.random.default_rng(0).standard_normal((T, 2, 3)), Parts(), np.zeros((2, 2))
    expected = [h := cell(x, h)[0] for x in xs]
    for options in ({}, {"checkpoint": 1}):
        ys, _ = nn.Recurrent(cell, **options)(xs)
        np.testing.assert_allclose(ys.data, np.array([y.data for y in expected]), rtol=1e-13)


@pytest.mark.parametrize("made", [lambda xs: xs[1:], lambda xs: (xs, xs[0]), lambda xs: None, lambda xs: [xs, 1.0]])
def test_a_projection_without_all_times_raises_and_shows_what_it_returned(made: Any) -> None:
    class Short(Plain):
        def project(self, xs: Any) -> Any:
            return made(xs)

    with pytest.raises(ValueError, match=r"^Short: project\(xs\) must return what has the 4 times of xs .*; got "):
        nn.Recurrent(Short())(np.ones((4, 2, 3)))


def test_the_state_of_a_users_cell_keeps_its_names() -> None:
    _, (state,) = nn.Recurrent(Named())(np.zeros((3, 2, 3)))
    assert {name: s.shape for name, s in state.items()} == {"fast": (2, 2), "slow": (2, 2)}


def test_detach_keeps_the_structure_of_any_state() -> None:
    net = nn.Recurrent(Named(), randomised(nn.LSTMCell(2, 1, dtype=np.float64)))
    _, state = net(np.ones((3, 2, 3)))
    detached = nn.detach(state)
    assert isinstance(detached[0], dict)
    assert isinstance(detached[1], tuple)
    assert not any(s.requires_grad for s in mg.tree_leaves(detached))
    for s, d in zip(mg.tree_leaves(state), mg.tree_leaves(detached), strict=True):
        np.testing.assert_array_equal(s.data, d.data)


# --- the check itself ------------------------------------------------------------------------------------------------


class Cut(nn.RNNCell):
    """A cell with a fault: it lets go of its state at every step."""

    def step(self, x: Any, state: Any) -> Any:
        return super().step(x, mg.tensor(np.asarray(mg.tree_map(lambda t: t.data, state))))


def test_the_check_refuses_a_cell_that_detaches_its_state() -> None:
    rng = np.random.default_rng(0)
    net = randomised(nn.Recurrent(Cut(2, 3, dtype=np.float64)))
    with pytest.raises(GradientError, match="input 0"):
        check_network(net, rng.standard_normal((3, 2, 2)), random_state(net, 2, rng), order=1)
