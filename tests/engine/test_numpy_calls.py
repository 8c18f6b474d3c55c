"""NumPy's further functions: its values, from arrays, Tensors, its own names and compiled; and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy_calls import CALLS

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import check_grad

each_call = pytest.mark.parametrize(("call", "inputs"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])


def arrays(y: Any) -> list[np.ndarray]:
    return [np.asarray(part.data if isinstance(part, Tensor) else part) for part in mg.tree_leaves(y)]


def leaves(inputs: Any, dtype: Any = float) -> list[Tensor]:
    return [mg.tensor(x, dtype, requires_grad=True) for x in inputs]


@each_call
def test_values_are_numpys_from_arrays_tensors_numpys_name_and_compiled(call: Any, inputs: Any) -> None:
    expected = arrays(call(np, *inputs))
    compiled = mg.compile(lambda *xs: call(mg, *xs))
    for y in (call(mg, *inputs), call(mg, *leaves(inputs)), call(np, *leaves(inputs)), compiled(*leaves(inputs))):
        for a, b in zip(arrays(y), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, strict=True)


@each_call
def test_derivatives_of_order_1_and_2_match_finite_differences(call: Any, inputs: Any) -> None:
    check_grad(lambda *xs: call(mg, *xs), *inputs, order=2, mode="project")


@each_call
def test_float32_stays_float32(call: Any, inputs: Any) -> None:
    found = mg.tree_leaves(call(mg, *leaves(inputs, np.float32)))
    assert any(isinstance(y, Tensor) for y in found)
    assert {y.dtype for y in found if isinstance(y, Tensor)} == {np.dtype(np.float32)}
