"""The second table's derivatives, of first and second order, against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_further import FURTHER
from test_gradients import half, in_layout, some, tensors_of

import minigrad as mg
from minigrad.testing import check_grad, check_primitive

each_entry = pytest.mark.parametrize("entry", FURTHER, ids=lambda entry: entry.name)


@each_entry
@half
@given(data=st.data())
def test_derivatives_of_order_1_and_2_match_finite_differences(entry: Any, data: st.DataObject) -> None:
    moved = in_layout(data.draw(FURTHER[entry]), data)
    check_grad(moved.function, *moved.inputs, order=2, mode="project")


@each_entry
@some
@given(data=st.data())
def test_every_primitive_passes_check_primitive(entry: Any, data: st.DataObject) -> None:
    case = data.draw(FURTHER[entry])
    with mg.record_details():
        y = case.function(*tensors_of(case))
    while y.primitive is not entry:  # a part of its result
        y = y.node.inputs[0].tensor(np.zeros(0))
    check_primitive(entry, *y.node.operands, **y.node.static)


@each_entry
@some
@given(data=st.data())
def test_plain_arrays_give_the_plain_result_and_tensors_the_same_values(entry: Any, data: st.DataObject) -> None:
    case = data.draw(FURTHER[entry])
    plain, recorded = case.function(*case.inputs), case.function(*tensors_of(case))
    assert isinstance(plain, (np.ndarray, np.generic))
    np.testing.assert_array_equal(plain, recorded.data)


@each_entry
@some
@given(data=st.data())
def test_float32_results_gradients_and_second_derivatives_stay_float32(entry: Any, data: st.DataObject) -> None:
    case = data.draw(FURTHER[entry])
    inputs = tensors_of(case, np.float32)
    y = case.function(*inputs)
    assert y.dtype == np.float32
    total = lambda *xs: mg.sum(mg.square(case.function(*xs)))
    total(*inputs).backward()
    seconds = mg.hvp(total, tuple(inputs), tuple(x.data for x in inputs))
    for x, second in zip(inputs, seconds, strict=True):
        assert (x.grad.shape, x.grad.dtype) == (second.shape, second.dtype) == (x.shape, np.float32)
