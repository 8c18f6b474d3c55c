"""What check_cell says of cells that it cannot run, or that break the contract: what was called, and what to write."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.testing import GradientError, check_cell


class Base(nn.Cell):
    def __init__(self, I: int, H: int) -> None:
        self.H = H
        self.of_x, self.of_h = nn.Linear(I, H, rng=0), nn.Linear(H, H, rng=1)

    def next(self, x: Any, h: Any) -> Any:
        return mg.tanh(self.of_x(x) + self.of_h(h))


def cell(step: Any, **others: Any) -> type:
    return type("Mine", (Base,), {"step": step, **others})


def pair(self: Any, B: int) -> Any:
    zeros = lambda: mg.tensor(np.zeros((B, self.H), np.float32))
    return (zeros(), zeros())


def returns(change: Any) -> Any:
    """A step that returns change(output, state)."""

    def step(self: Any, x: Any, h: Any) -> Any:
        h = self.next(x, h)
        return change(h, h)

    return step


ROWS = r"inputs= is missing, so the xs were rows .*check_cell\(\.\.\., inputs=\{.*standard_normal\(\(3, 2, 4\)\)"
XS = np.ones((3, 2, 4))

CANNOT_RUN = {
    "a dict": (
        cell(lambda s, x, h: (h, s.next(x["a"], h))),
        IndexError,
        rf"(?s)check_cell: Mine: step 0 raised .*{ROWS}",
    ),
    "a tuple": (cell(lambda s, x, h: (h, s.next(x[0], h) * x[1])), ValueError, ROWS),
    "a tuple that is unpacked": (
        cell(lambda s, x, h: (h, s.next(mg.concatenate([*x], axis=1), h))),
        np.exceptions.AxisError,
        ROWS,
    ),
    "an attribute": (cell(lambda s, x, h: (h, s.next(x.seen, h))), AttributeError, ROWS),
    "a function of a dict": (lambda I, H: lambda x, h: (h, h * x["a"]), IndexError, ROWS),
    "images": (cell(lambda s, x, h: (h, s.next(x[:, 0, 0], h))), IndexError, ROWS),
    "a further argument": (
        cell(lambda s, x, h, scale: (h, h)),
        TypeError,
        r"step\(x, h, scale\): missing .* 'scale'.* bo",
    ),
    "a further keyword": (cell(lambda s, x, h, *, scale: (h, h)), TypeError, r"step\(x, h, \*, scale\)"),
    "no state": (cell(lambda s, x: (x, x)), TypeError, r"called as step\(x, state\).* this one is step\(x\)"),
    "no step": (cell(Base.step), NotImplementedError, r"Mine does not define step"),
    "an error of its own": (
        cell(lambda s, x, h: 1 / 0),
        ZeroDivisionError,
        r"step 0 raised .*\n  called with x = \(2, 4\)",
    ),
    "initial_state()": (cell(Base.step, initial_state=lambda s: 0), TypeError, r"Mine: initial_state\(3\) raised Type"),
    "a first state of None": (
        cell(Base.step, initial_state=lambda s, B: None),
        TypeError,
        r"got None; .* the state \(\)",
    ),
    "project of nothing": (
        cell(Base.step, project=lambda s, xs: None),
        TypeError,
        r"project\(xs\) .*is a `return` missing",
    ),
    "project without times": (
        cell(Base.step, project=lambda s, xs: xs[0]),
        TypeError,
        r"3 times .* returned \(2, 4\) float",
    ),
    "project that raises": (
        cell(Base.step, project=lambda s, xs: xs["a"]),
        IndexError,
        rf"(?s)project\(xs\) raised.*{ROWS}",
    ),
    "other sizes": (
        lambda H: Base(4, H),
        TypeError,
        r"factory\(I, H\) raised TypeError.*\n.*\n  a cell that takes other arg",
    ),
    "no function": (None, TypeError, "factory must be a function .* got None"),
    "a whole network": (nn.LSTM, TypeError, "a loop over time, .* as nn.LSTMCell of nn.LSTM"),
    "no cell": (nn.Linear, TypeError, "returned a Linear$"),
}


@pytest.mark.parametrize(("factory", "kind", "match"), CANNOT_RUN.values(), ids=CANNOT_RUN)
def test_a_cell_that_cannot_be_called_is_told_with_what_it_was_called(factory: Any, kind: type, match: str) -> None:
    with pytest.raises(kind, match=match):
        check_cell(factory, order=1)


def test_the_missing_argument_is_not_named_where_it_was_given() -> None:
    wants_a = cell(lambda s, x, h: (h, s.next(x["a"], h)))
    with pytest.raises(KeyError, match=r"step 0 raised KeyError: 'a'.*x = {'b': \(2, 4\) float32}") as caught:
        check_cell(wants_a, inputs={"b": XS}, order=1)
    assert "inputs=" not in str(caught.value)
    check_cell(cell(lambda s, x, h: (s.next(x["a"], h), h)), inputs={"a": XS}, order=1)


def test_an_error_of_the_tests_own_framework_stays_what_it_is() -> None:
    class RejectedError(Exception):
        pass

    def step(self: Any, x: Any, h: Any) -> Any:
        raise RejectedError

    with pytest.raises(RejectedError) as caught:
        check_cell(cell(step))
    assert "step 0 raised RejectedError, called with x = (2, 4) float32" in caught.value.__notes__[0]


BROKEN = {
    "nothing": (lambda y, h: None, r"must return \(output, state\), got None; is a `return` missing"),
    "the output alone": (lambda y, h: y, r"got a Tensor of shape \(2, 3\) and dtype float32$"),
    "three": (lambda y, h: (y, h, h), "got a tuple of 3"),
    "a list": (lambda y, h: [y, h], "got a list of 2"),
    "an output of None": (
        lambda y, h: (None, h),
        "the output at time step 0 is None; it must be a Tensor with the batch of",
    ),
    "an array": (lambda y, h: (y.data, h), "the output at time step 0 is an array"),
    "one number": (lambda y, h: (y.sum(), h), r"the output .* a Tensor of shape \(\)"),
    "a state of None": (lambda y, h: (y, None), "turns state from .* into None"),
    "an array as state": (lambda y, h: (y, h.data), "into an array .*; an array has no gradient"),
    "another dtype": (lambda y, h: (y, h.astype(np.float64)), r"float64; .* write n.astype\(h.dtype\)"),
    "another batch": (lambda y, h: (y, h[:1]), r"into a Tensor of shape \(1, 3\)"),
    "a tuple for a Tensor": (lambda y, h: (y, (h,)), "another structure than initial_state"),
}


@pytest.mark.parametrize(("change", "match"), BROKEN.values(), ids=BROKEN)
def test_what_a_step_returns_is_told(change: Any, match: str) -> None:
    with pytest.raises(GradientError, match=rf"(?m){match}"):
        check_cell(cell(returns(change)), order=1)


def test_a_list_is_another_structure_than_a_tuple_as_it_is_in_a_run() -> None:
    as_list = lambda s, x, state: (state[0], [s.next(x, state[0]), state[1]])
    with pytest.raises(GradientError, match=r"another structure .* \[\(2, 3\), \(2, 3\)\] instead of \("):
        check_cell(cell(as_list, initial_state=pair), order=1)


@pytest.mark.parametrize("factory", [
    cell(lambda s, x, h, t: (s.next(x, h) * (1 + t), s.next(x, h))),
    lambda I, H: lambda x, h, t: (h * (1 + t), mg.sin(h) + t),
    lambda I, H: functools.partial(lambda x, h, scale, *, t: (h * scale, mg.sin(h) * (2 + t)), scale=2.0),
])  # fmt: skip
def test_a_step_is_given_the_number_of_the_time_step_if_it_takes_t(factory: Any) -> None:
    check_cell(factory, order=1)


def test_a_cell_without_a_state_is_checked() -> None:
    none = cell(lambda s, x, state: (s.next(x, x[:, :3]), ()), initial_state=lambda s, B: ())
    check_cell(none, order=1)


@pytest.mark.parametrize("inputs", [lambda: 1, "rows", {"a": XS, "b": None}])
def test_inputs_that_are_no_numbers_are_told(inputs: Any) -> None:
    with pytest.raises(TypeError, match="inputs must be numbers, in an array or a tree of them, got"):
        check_cell(nn.GRUCell, inputs=inputs)
    with pytest.raises(TypeError, match="B must be an integer, got '2'"):
        check_cell(nn.GRUCell, B="2")  # type: ignore[arg-type]
