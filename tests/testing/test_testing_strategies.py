"""Strategies draw what they promise, and shrink to what is short to read; given_grad makes tests of functions."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import subprocess
import sys
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import minigrad as mg
import nn
from minigrad.testing import (
    GradientError,
    arrays,
    away_from,
    axes_of,
    axis_of,
    broadcastable,
    cells,
    check_grad,
    given_grad,
    indices_of,
    integers_within,
    matmul_operands,
    probabilities,
    sequences,
    shapes,
    tensors,
    well_separated,
)

searching = settings(max_examples=2000, database=None, derandomize=True)


def smallest(strategy: Any, condition: Any = lambda x: True) -> Any:
    return find(strategy, condition, settings=searching)


@functools.cache
def some_of(strategy: Any) -> list[Any]:
    """Some examples of it, for all that are to occur among them."""
    found: list[Any] = []
    with contextlib.suppress(NoSuchExample):
        find(strategy, found.append, settings=settings(searching, max_examples=60, phases=[Phase.generate]))
    return found


def occurs(strategy: Any, condition: Any) -> bool:
    if any(map(condition, some_of(strategy))):
        return True
    for start in range(5):  # one search may stay with few kinds of examples
        with contextlib.suppress(NoSuchExample):
            once = settings(searching, max_examples=400, phases=[Phase.generate])
            find(strategy, condition, settings=once, random=Random(start))
            return True
    return False


# --- arrays ----------------------------------------------------------------------------------------------------------


@given(arrays(low=-0.5, high=3.0, dtype=np.float32))
def test_arrays_stay_within_their_bounds_and_have_their_dtype(x: np.ndarray) -> None:
    assert type(x) is np.ndarray
    assert x.dtype == np.float32
    assert ((x >= -0.5) & (x <= 3.0)).all()


def test_arrays_of_every_number_of_axes_occur_and_empty_ones_if_asked_for() -> None:
    of_any_shape = arrays()
    for n in range(4):
        assert occurs(of_any_shape, lambda x, n=n: x.ndim == n)
    assert occurs(arrays(shapes(min_side=0)), lambda x: x.size == 0)
    with pytest.raises(NoSuchExample):
        find(arrays(), lambda x: x.size == 0, settings=settings(searching, max_examples=300))


def test_arrays_shrink_to_few_short_entries() -> None:
    x = smallest(arrays((3, 3)), lambda x: x.sum() > 1)
    assert np.count_nonzero(x) == 1
    assert x.max() == 1.01
    assert smallest(arrays(), lambda x: x.size > 1).size <= 4


def test_a_shape_may_be_drawn_as_a_list_or_as_the_size_of_a_vector() -> None:
    assert smallest(arrays(st.lists(st.integers(2, 3), min_size=1))).shape == (2,)
    assert smallest(away_from(0.0, st.integers(2, 3))).shape == (2,)


def test_bounds_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match=r"low = 0\.501 and high = 0\.502"):
        arrays(low=0.501, high=0.502)


@given(tensors((2, 3)))
def test_tensors_are_leaves_that_require_gradients(t: Any) -> None:
    assert t.shape == (2, 3)
    assert t.requires_grad
    assert t.primitive is None


@given(broadcastable(3, min_side=0))
def test_broadcastable_arrays_broadcast(xs: Any) -> None:
    np.broadcast_arrays(*xs)


def test_broadcastable_arrays_lack_axes_and_have_axes_of_size_1() -> None:
    pairs = broadcastable(2)
    assert occurs(pairs, lambda xs: xs[0].ndim > xs[1].ndim > 0)
    assert occurs(pairs, lambda xs: xs[0].ndim == xs[1].ndim == 2 and xs[0].shape != xs[1].shape)


@given(matmul_operands(min_side=0))
def test_matmul_operands_can_be_multiplied(pair: Any) -> None:
    np.matmul(*pair)


OPERANDS, INDICES_OF_A_MATRIX = matmul_operands(), indices_of((3, 2))


@pytest.mark.parametrize("dims", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (3, 3), (4, 1)])
def test_matmul_operands_of_every_kind_occur(dims: Any) -> None:
    assert occurs(OPERANDS, lambda pair: tuple(x.ndim for x in pair) == dims)


@given(shapes(max_side=9, max_size=10))
def test_shapes_have_no_more_entries_than_allowed(shape: Any) -> None:
    assert math.prod(shape) <= 10


# --- axes and indices ------------------------------------------------------------------------------------------------


@given(st.data(), shapes(min_side=0))
def test_axes_are_what_numpys_reductions_take(data: Any, shape: Any) -> None:
    np.sum(np.zeros(shape), axis=data.draw(axes_of(shape)))
    if shape:
        np.flip(np.zeros(shape), axis=data.draw(axis_of(shape)))


def test_axes_of_every_kind_occur() -> None:
    for condition in (lambda a: a is None, lambda a: a == -2, lambda a: a == (), lambda a: a == (-1, 0)):
        assert occurs(axes_of((2, 3)), condition)
    with pytest.raises(ValueError, match="no axis"):
        axis_of(())


@given(st.data(), shapes(min_side=0))
def test_indices_are_what_numpy_takes(data: Any, shape: Any) -> None:
    np.zeros(shape)[data.draw(indices_of(shape))]


INDICES = {
    "a slice": lambda i: isinstance(i, tuple) and any(isinstance(part, slice) and part.step == -1 for part in i),
    "None": lambda i: isinstance(i, tuple) and any(part is None for part in i),
    "Ellipsis": lambda i: isinstance(i, tuple) and any(part is Ellipsis for part in i),
    "a mask": lambda i: isinstance(i, np.ndarray) and i.dtype == bool and i.any() and not i.all(),
    "repeats": lambda i: isinstance(i, np.ndarray) and i.dtype == int and len(np.unique(i)) < i.size,
    "a list": lambda i: isinstance(i, list),
    "two arrays": lambda i: isinstance(i, tuple) and sum(isinstance(part, np.ndarray) for part in i) == 2,
}


@pytest.mark.parametrize("condition", INDICES.values(), ids=INDICES)
def test_indices_of_every_kind_occur(condition: Any) -> None:
    assert occurs(INDICES_OF_A_MATRIX, condition)


@given(integers_within(3, (5,)))
def test_integers_within_an_axis_index_it(rows: np.ndarray) -> None:
    assert np.arange(3)[rows].shape == (5,)


# --- values ----------------------------------------------------------------------------------------------------------


@given(well_separated(gap=0.25))
def test_well_separated_entries_differ_by_the_gap(x: np.ndarray) -> None:
    gaps = np.diff(np.sort(x.ravel()))
    assert (gaps >= 0.25).all()


@given(away_from([0.0, 1.0], gap=0.1))
def test_no_entry_is_near_a_kink(x: np.ndarray) -> None:
    assert (np.abs(x) >= 0.1 - 1e-12).all()
    assert (np.abs(x - 1) >= 0.1 - 1e-12).all()
    assert (np.abs(x) <= 2).all()


def test_entries_on_both_sides_of_a_kink_occur() -> None:
    for low, high in [(-2, 0), (0, 1), (1, 2)]:
        assert occurs(away_from([0.0, 1.0], ()), lambda x, low=low, high=high: low < x < high)


def test_kinks_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="leave no room"):
        away_from(np.arange(-2, 2.01, 0.25), gap=0.2)


@pytest.mark.parametrize("axis", [0, 1, -1])
@given(data=st.data())
def test_probabilities_sum_to_1_and_are_not_0(axis: int, data: Any) -> None:
    p = data.draw(probabilities((3, 4), axis=axis))
    np.testing.assert_allclose(p.sum(axis=axis), 1.0)
    assert (p >= 0.01).all()


def test_probabilities_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 entries of least = 0\.3"):
        smallest(probabilities((4,), least=0.3))


# --- recurrent networks ----------------------------------------------------------------------------------------------


@given(sequences(features=st.just(2)))
def test_sequences_are_as_long_as_the_longest(batch: Any) -> None:
    assert batch.xs.shape == (batch.lengths.max(), len(batch.lengths), 2)


def test_sequences_of_different_lengths_occur_in_any_order() -> None:
    for order in (np.less, np.greater):
        assert occurs(sequences(), lambda batch, order=order: order(*batch.lengths[:2]))


@given(cells(nn.LSTMCell))
def test_cells_come_with_weights_a_sequence_and_a_state_that_fit(case: Any) -> None:
    T, B, I = case.xs.shape
    output, state = case.cell(case.xs[0], case.state)
    assert (T >= 3, B >= 2, output.dtype) == (True, True, np.float64)
    assert output.shape[1] != I
    assert [s.shape for s in state] == [s.shape for s in case.state]
    assert case.state[0].shape[1] > 1  # else W of an RNN is symmetric
    for name, p in case.cell.named_parameters():
        assert p.dtype == np.float64, name
        assert p.ndim < 2 or p.shape[0] != p.shape[1] or not np.allclose(p.data, p.data.T), name


@settings(max_examples=4)
@given(cells(nn.GRUCell))
def test_a_cell_that_was_drawn_can_be_checked(case: Any) -> None:
    check_grad(lambda x, state: case.cell(x, state), case.xs[0], case.state)


# --- given_grad ------------------------------------------------------------------------------------------------------


@given_grad(x=away_from(0.0, gap=0.25), order=2)
def test_given_grad_checks_a_function_of_tensors(x: Any) -> Any:
    return mg.log(mg.absolute(x)) * x


@given_grad(xy=broadcastable(2), order=2)
def test_given_grad_takes_trees(xy: Any) -> Any:
    x, y = xy
    return mg.sin(x) * y


@given_grad(x=arrays((2, 3)), axis=axes_of((2, 3)), keepdims=st.booleans())
def test_given_grad_hands_on_what_is_no_array(x: Any, axis: Any, keepdims: bool) -> Any:
    return mg.logsumexp(x, axis=axis, keepdims=keepdims)


@given_grad(x=arrays(), vjp=lambda g, x: g * np.cos(x))
def test_given_grad_checks_plain_numpy_with_a_hand_written_vjp(x: Any) -> Any:
    return np.sin(x)


@pytest.fixture(scope="module")
def power() -> int:
    return 3


@given_grad(x=arrays(), p=st.sampled_from([1.5, 2.0]), wrt=["x"])
def test_given_grad_takes_fixtures_and_names_of_what_to_differentiate(x: Any, p: float, power: int) -> Any:
    return (mg.softplus(x) + p.conjugate()) ** power  # a Tensor has no conjugate


@given_grad(x=arrays())
def test_given_grad_rejects_kinks_and_draws_on(x: Any) -> Any:
    return mg.absolute(x)


def test_given_grad_refuses_a_wrong_gradient_with_the_smallest_example() -> None:
    @settings(searching, print_blob=False, report_multiple_bugs=False, phases=[Phase.generate, Phase.shrink])
    @given_grad(x=arrays((2,)))
    def halved_where_large(x: Any) -> Any:
        big = np.abs(x.data) > 1
        return mg.where(big, mg.sin(x) * 0.5 + mg.sin(x).detach() * 0.5, mg.sin(x))

    with pytest.raises(GradientError) as caught:
        halved_where_large()
    notes = "\n".join(caught.value.__notes__)
    assert "halved_where_large" in notes
    drawn = eval(notes[notes.index("array(") : notes.index("])") + 2], {"array": np.array})
    assert np.count_nonzero(drawn) == 1
    assert np.abs(drawn).max() == 1.01


def test_given_grad_keeps_name_documentation_and_parameters_of_fixtures() -> None:
    test = test_given_grad_takes_fixtures_and_names_of_what_to_differentiate
    assert test.__name__ == "test_given_grad_takes_fixtures_and_names_of_what_to_differentiate"
    assert list(inspect.signature(test).parameters) == ["power"]


@pytest.mark.parametrize("wrong", [{"z": arrays()}, {"x": arrays(), "wrt": ["z"]}], ids=["strategy", "wrt"])
def test_given_grad_refuses_names_of_no_parameter(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"<lambda>\(x\) has no parameter 'z'"):
        given_grad(**wrong)(lambda x: x)


def test_given_grad_refuses_a_second_order_of_a_hand_written_vjp() -> None:
    with pytest.raises(TypeError, match="has one order"):
        given_grad(x=arrays(), vjp=lambda g, x: g, order=2)(lambda x: x)


# --- without hypothesis ----------------------------------------------------------------------------------------------


def test_checkers_work_without_hypothesis_and_strategies_say_what_to_install() -> None:
    script = """
import sys
sys.modules["hypothesis"] = None
import numpy as np, minigrad as mg
from minigrad.testing import check_grad
check_grad(mg.tanh, np.ones(3))
try:
    from minigrad.testing import arrays
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install hypothesis" in run.stdout
