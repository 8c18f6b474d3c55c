"""The checkers see what is wrong in one way of calling alone: on integers, one row, other constants, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.testing import DifferenceError, GradientError, check_cell, check_grad, check_primitive, check_vjp, same

X = np.array([[0.3, -0.7, 1.2], [0.5, 0.9, -1.1]])


def is_integer(xs: Any) -> bool:
    return isinstance(xs, np.ndarray) and xs.dtype.kind == "i"


class OnIntegers(nn.RNNCell):
    """Gathers the rows of an array, which has no gradient."""

    def project(self, xs: Any) -> Any:
        return mg.tensor(super().project(xs).data) if is_integer(xs) else super().project(xs)


class OnIntegersTwice(nn.RNNCell):
    """The same value, with twice the gradient."""

    def project(self, xs: Any) -> Any:
        y = super().project(xs)
        return 2 * y - y.detach() if is_integer(xs) else y


class Called(nn.RNNCell):
    """The plain call keeps no record of the state."""

    def forward(self, x: Any, state: Any = None) -> Any:
        return super().forward(x, state.detach())


class Masked(nn.GRUCell):
    """Under recurrent dropout what is read of the state is a constant."""

    def step_masked(self, x: Any, state: Any, mask: Any) -> Any:
        return super().step_masked(x, state, mask) if state is None else self._step(x, state, (state * mask).detach())


class OneTime(nn.RNNCell):
    """A sequence of one step has no gradient for its inputs."""

    def project(self, xs: Any) -> Any:
        y = super().project(xs)
        return y.detach() if y.shape[:-2] == (1,) else y


class OneRow(nn.RNNCell):
    """Nor has a batch of one row for the state."""

    def step(self, x: Any, state: Any) -> Any:
        return super().step(x, state.detach() if state.shape[0] == 1 else state)


class FromConstants(nn.RNNCell):
    """The state is a constant if the inputs are."""

    def step(self, x: Any, state: Any) -> Any:
        h = mg.tanh(x + (state if self.learns(x) else state.detach()) @ self.W)
        return h, h

    def project(self, xs: Any) -> Any:
        self.constant = isinstance(xs, mg.Tensor) and not xs.requires_grad
        return super().project(xs)

    def learns(self, x: Any) -> bool:
        return not self.constant


WAYS = {
    OnIntegers: r"parameter \w+: for integers the gradient at index \(0, 0\) is 0, and for one-hot vectors",
    OnIntegersTwice: r"parameter \w+: for integers the gradient .* although the results are the same",
    Called: r": by the plain call the gradient .*, and by step\(project\(x\)\)",
    Masked: r": by step_masked with a mask of ones the gradient .*, and by step -?[0-9.]+,",
    OneTime: r": for each time step alone the gradient .*, and for the whole sequence",
    OneRow: r": for each row alone the gradient .*, and for the whole batch",
    FromConstants: "while other inputs are constants the gradient at index",
}


@pytest.mark.parametrize("cell", WAYS, ids=lambda cell: cell.__name__)
def test_a_cell_whose_gradient_is_wrong_in_one_way_of_calling_it_is_rejected(cell: Any) -> None:
    with pytest.raises(GradientError, match=WAYS[cell]):
        check_cell(lambda I, H: cell(I, H, rng=0), T=2, order=1)


def test_a_gradient_that_depends_on_what_else_requires_one_is_rejected() -> None:
    f = lambda x, y: mg.sum(mg.sin(x if y.requires_grad else x.detach()) * y)
    with pytest.raises(GradientError, match=r"input 0, .*: while other inputs are constants .* is 0, and -?0.4"):
        check_grad(f, X, X)
    check_grad(lambda x, y: mg.sum(mg.sin(x) * x), X, X)  # of y none is right


@pytest.mark.parametrize("more", [lambda x: 5.0, lambda x: mg.sum(x).detach()])
def test_a_result_that_is_another_one_where_it_is_recorded_is_rejected(more: Any) -> None:
    with pytest.raises(GradientError, match=r"output 0 is .* while each input requires a gradient, and without any"):
        check_grad(lambda x: mg.sum(mg.sin(x)) + (more(x) if x.requires_grad else 0.0), X)


COTANGENTS = {
    "positive": (lambda g: np.all(g > 0), "for a cotangent of -1, and .* for one of 1, so it is not linear"),
    "negative": (lambda g: np.all(g < 0), "for a cotangent of -1, and .* for one of 1, so it is not linear"),
    "equal": (lambda g: np.ptp(g) == 0, "for a cotangent with zeros, which is .* by those of what it adds up to"),
    "with zeros": (lambda g: 0 < np.count_nonzero(g) < g.size, "for a cotangent with zeros, which is"),
}


@pytest.mark.parametrize(("when", "match"), COTANGENTS.values(), ids=COTANGENTS)
def test_a_rule_that_is_wrong_for_some_cotangents_alone_is_rejected(when: Any, match: str) -> None:
    wrong = lambda g, x: g * np.cos(x) * (2.0 if g.size > 1 and when(g) else 1.0)
    with pytest.raises(GradientError, match=match):
        check_vjp(np.sin, wrong, X, mode="project")


def test_what_compile_as_is_told_has_to_be_what_the_function_returns() -> None:
    twice = mg.primitive(lambda x: x * 2, lambda g, y, x: g * 2, name="twice")
    pair = mg.primitive(lambda x, y: np.stack([x, y]), joint=lambda g, z, x, y: [g[0], g[1]], name="pair")
    for factor, order in ((2.0, [0, 1]), (3.0, [1, 0])):
        mg.compile_as(twice, calls=lambda out, x: [(np.multiply, (x, factor, out))])  # noqa: B023
        mg.compile_as(pair, parts=lambda out: [out[k] for k in order])  # noqa: B023
        if factor == 2.0:
            check_primitive(twice, X)
            check_primitive(pair, X, 2 * X)
    with pytest.raises(GradientError, match=r"twice: what compile_as\(calls=...\) gives for it writes something else"):
        check_primitive(twice, X)
    with pytest.raises(GradientError, match=r"pair: what compile_as\(parts=...\) gives for it sends something else"):
        check_primitive(pair, X, 2 * X)


def test_a_primitive_is_checked_in_float16_where_its_input_is() -> None:
    wrong = mg.primitive(np.sin, lambda g, y, x: g * mg.cos(x) * (2 if x.dtype == np.float16 else 1), name="wrong")
    check_primitive(wrong, X, order=1)
    with pytest.raises(GradientError, match=r"in float64, and .* in float16"):
        check_primitive(wrong, X.astype(np.float16), order=1)


def test_inputs_beyond_the_range_of_float32_are_compared_in_float64_alone() -> None:
    check_grad(mg.log_softmax, X * 1e100)
    check_vjp(lambda x: x - x.max(), lambda g, x: g - (x == x.max()) * g.sum(), X * 1e39)


def test_same_refuses_a_network_that_drops_entries_at_random_with_the_remedy() -> None:
    nets = [nn.Recurrent(nn.GRUCell(3, 2, rng=0), recurrent_dropout=p, rng=0) for p in (0.5, 0.0)]
    theirs = lambda xs, state, lengths: nets[1](xs, state, lengths)
    with pytest.raises(ValueError, match=r"two runs of ours differ, it draws random numbers; call ours.eval\(\)"):
        same(nets[0], theirs, allow_zero=True)
    same(nets[0].eval(), theirs, allow_zero=True)


def test_same_compares_an_empty_sequence_if_lengths_may_be_0() -> None:
    net = nn.GRU(3, 2, rng=0)

    def without_empty(xs: Any, state: Any, lengths: Any) -> Any:
        ys, final = net(xs, state, lengths)
        return ys, mg.tree_map(lambda s: s.data * (lengths > 0)[:, None], final)

    same(net, without_empty, allow_zero=True)
    with pytest.raises(DifferenceError, match="seen in: padded sequences, one of them empty"):
        same(net, without_empty, min_length=0, allow_zero=True)
