"""What is read from the code of functions is what `inspect` says of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigrad.signatures import parameters

FUNCTIONS: list[Callable[..., Any]] = [
    lambda: 0,
    lambda x: x,
    lambda x, y=1.0: x,
    lambda x, /, y, z=None: x,
    lambda x, *, axis, keepdims=False: x,
    lambda *xs, axis=None: xs,
    lambda g, y, *xs, **static: xs,
    lambda x, /, *xs, axis, **static: x,
    functools.partial(lambda k, g, y, *xs, inputs: g, 0),
    functools.partial(lambda x, y, z=2: x, 0, 1),
    functools.partial(lambda x, y, z=2: x, y=1),
    functools.wraps(lambda x, axis=None: x)(lambda *args, **static: args),
    functools.wraps(lambda x, axis=None: x)(functools.partial(lambda k, *args: args, 0)),
    np.linalg.norm,
    np.expand_dims,
    np.random.default_rng(0).normal,
]


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("k", range(len(FUNCTIONS)))
def test_parameters_are_those_of_inspect(k: int, follow: bool) -> None:
    try:
        told = list(inspect.signature(FUNCTIONS[k], follow_wrapped=follow).parameters.values())
    except ValueError:
        assert parameters(FUNCTIONS[k], follow) is None
        return
    assert parameters(FUNCTIONS[k], follow) == [(p.name, p.kind, p.default) for p in told]


def test_of_what_no_function_is_nothing_is_known() -> None:
    assert parameters(3) is None
