"""compile(f) against f, for random programs made of every primitive: values, gradients, second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from programs import programs

import minigrad as mg

PROGRAMS = 2000 if settings().max_examples > 8 else 16  # in the profile `long`, and in the fixed one


def _agree(f: Callable[..., Any], inputs: tuple[np.ndarray, ...]) -> None:
    compiled = mg.compile(f)
    for k in range(3):  # the traced call, and replays with other arguments
        given_ = tuple(x * (1 - 0.3 * k) + 0.1 * k for x in inputs)
        for a, b in zip(mg.tree_leaves(compiled(*given_)), mg.tree_leaves(f(*given_)), strict=True):
            assert type(a) is type(b)
            np.testing.assert_allclose(mg.as_tensor(a).data, mg.as_tensor(b).data, rtol=1e-9, atol=1e-9, strict=True)


@settings(max_examples=PROGRAMS)
@given(program=programs())
def test_compiled_random_programs_have_the_same_values_and_gradients(program: Any) -> None:
    function, inputs = program
    _agree(mg.value_and_grad(function, (0, 1)), inputs)


@settings(max_examples=PROGRAMS)
@given(program=programs())
def test_compiled_random_programs_have_the_same_second_derivatives(program: Any) -> None:
    function, inputs = program
    _agree(lambda x, y: mg.hvp(function, (x, y), (x * 0 + 1.0, y * 0 - 0.5)), inputs)


@settings(max_examples=PROGRAMS)
@given(program=programs())
def test_compiled_backward_leaves_the_same_gradients(program: Any) -> None:
    function, inputs = program
    grads = []
    for run in (function, mg.compile):
        leaves = [mg.tensor(x, requires_grad=True) for x in inputs]

        def step(leaves: Any = leaves) -> Any:
            loss = function(*leaves)
            loss.backward()
            return loss

        called = step if run is function else mg.compile(step)
        for _ in range(3):  # gradients add up
            called()
        grads.append([leaf.grad for leaf in leaves])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, strict=True)
