"""Integers as inputs: one-hot vectors, indices out of range, and rows that may be features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn


@pytest.mark.parametrize("x", [3, [1, 0], np.array([[2, 2]], np.uint8), mg.tensor([0, 3])], ids=str)
def test_one_hot_is_a_row_of_the_identity_for_each_integer(x: Any) -> None:
    y = nn.one_hot(x, 4, np.float64)
    np.testing.assert_array_equal(np.asarray(y), np.eye(4)[np.asarray(x)])
    assert y.dtype == np.float64
    assert nn.one_hot(x, 4).dtype == np.float32


def test_one_hot_refuses_numbers_out_of_range_or_of_another_kind_also_compiled() -> None:
    with pytest.raises(ValueError, match=r"^one_hot: index 4, 4 rows"):
        nn.one_hot([0, 4], 4)
    with pytest.raises(TypeError, match=r"one_hot: x must be integers.*float64"):
        nn.one_hot([0.0], 4)
    compiled = mg.compile(lambda x: nn.one_hot(x, 4))
    np.testing.assert_array_equal(compiled(np.array([1])).data, np.eye(4)[[1]])
    with pytest.raises(ValueError, match="one_hot: index -1"):
        compiled(np.array([-1]))


def test_an_index_out_of_range_is_named_with_the_layer_and_its_rows() -> None:
    with pytest.raises(ValueError, match=r"^Embedding: index 7, 5 rows"):
        nn.Embedding(5, 3)([7])
    with pytest.raises(ValueError, match=r"^linear: integer inputs must lie within 0 \.\.\. 4"):
        nn.Linear(5, 3)([7])


@pytest.mark.parametrize("shape", [(1,), (), (1, 4)])
def test_a_shift_that_would_be_broadcast_is_refused_for_integers_as_for_features(shape: tuple[int, ...]) -> None:
    W, b = nn.parameter(np.ones((5, 4))), nn.parameter(np.ones(shape))
    for x in (np.array([1, 2]), np.ones((2, 5))):
        with pytest.raises(ValueError, match=r"linear: .*b .*\(O,\)"):
            nn.linear(x, W, b)


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (1, 3)])
def test_integers_of_a_linear_maps_own_width_are_refused_with_both_remedies(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, int)
    with pytest.raises(
        TypeError, match=r"Linear: integers of shape .* 3 features.*astype\(float\).*nn\.Embedding.*one_hot"
    ):
        nn.Linear(3, 2)(x)
    assert nn.Linear(3, 2)(x.astype(float)).shape == (*shape[:-1], 2)
    assert nn.Linear(3, 2)(nn.one_hot(x, 3)).shape == (*shape, 2)
    assert nn.Linear(3, 2)(x.astype(bool)).shape == (*shape[:-1], 2)
    assert nn.Linear(3, 2)(np.array([0, 1, 2])).shape == (3, 2)


def test_a_tied_linear_map_refuses_integers_of_its_own_width_as_well() -> None:
    tied, x = nn.TiedLinear(nn.Embedding(7, 3)), np.ones((4, 3), int)
    with pytest.raises(TypeError, match=r"TiedLinear: integers of shape \(4, 3\) may be rows of 3 features"):
        tied(x)
    assert tied(x.astype(float)).shape == (4, 7)
