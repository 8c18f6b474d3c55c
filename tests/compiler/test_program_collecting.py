"""compile: parts are computed where a stack, a concatenation or a gradient collects them, with the same results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled import names, program

import minigrad as mg

X = np.random.default_rng(0).standard_normal((4, 6))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stacked_parts_are_computed_in_their_places(axis: int) -> None:
    f = lambda x: mg.stack([mg.sin(x), mg.cos(x), mg.tanh(x)], axis=axis)
    assert names(program(f, X)) == {"sin": 1, "cos": 1, "tanh": 1}


def test_concatenated_parts_are_computed_in_their_places_also_within_each_other() -> None:
    f = lambda x: mg.concatenate([mg.sin(x), mg.concatenate([mg.cos(x), mg.exp(x)], axis=1)], axis=1)
    assert names(program(f, X)) == {"sin": 1, "cos": 1, "exp": 1}


def test_arguments_and_parts_that_occur_twice_are_moved() -> None:
    f = lambda x: mg.concatenate([x, mg.sin(x), (s := mg.cos(x)), s])
    assert names(program(f, X)) == {"sin": 1, "cos": 1, "move concatenate": 2}


def test_gradients_of_parts_are_computed_in_the_gradient_and_the_rest_is_filled() -> None:
    f = mg.grad(lambda x: mg.sum(mg.sin(x[:, :2])) + mg.sum(mg.cos(x[:, 4:])))
    found = names(program(f, X))
    assert found["fill"] == 1
    assert not {"add place", "move place", "place"} & found.keys()


def test_numbers_among_the_parts_are_written_at_each_replay() -> None:
    f = mg.compile(lambda x, y: mg.stack([mg.sum(mg.maximum(x, y)), 1.5, mg.sum(mg.minimum(x, y))]))
    for x, y in ((X, X[::-1]), (X + 1, X * 2)):
        np.testing.assert_allclose(f(x, y).data, [np.maximum(x, y).sum(), 1.5, np.minimum(x, y).sum()])


def test_two_collections_of_the_same_parts_share_them() -> None:
    def f(x: Any) -> Any:
        parts = [mg.sin(x), mg.cos(x), mg.tanh(x)]
        return mg.stack(parts) * 2.0, mg.concatenate(parts) + 1.0, mg.concatenate([x * 3.0, *parts[:2]])

    assert not any(name.startswith("move") for name in names(program(f, X)))


def test_a_collection_may_begin_before_the_one_that_it_shares_parts_with() -> None:
    def f(x: Any) -> Any:
        parts = [mg.sin(x), mg.cos(x)]
        return mg.concatenate([x * 3.0, *parts]) * 2.0, mg.concatenate([*parts, mg.tanh(x)]) + 1.0, mg.exp(x) + x

    assert not any(name.startswith("move") for name in names(program(f, X)))


def test_collections_in_other_orders_and_axes_do_not_disturb_each_other() -> None:
    def f(x: Any) -> Any:
        parts = [mg.sin(x), mg.cos(x), mg.tanh(x), x * 2.0]
        rotated = parts[1:] + parts[:1]
        return (
            mg.stack(parts), mg.stack(parts[::-1]), mg.stack(rotated), mg.stack(parts[::2]), mg.stack(parts, axis=1),
            mg.concatenate(parts, axis=1), mg.concatenate([parts[0], parts[3], parts[1]]),
            mg.stack([parts[0], parts[1], x * 5.0, parts[3]]), mg.stack([x * 7.0, *parts]),
        )  # fmt: skip

    program(f, X)


@pytest.mark.parametrize("later", [False, True])
def test_what_is_added_to_a_part_does_not_reach_its_other_uses(later: bool) -> None:
    def f(x: Any) -> Any:
        a = mg.tanh(x)
        stacked = mg.stack([a, mg.sin(x)])
        total = mg.place(a, mg.cos(x[0]), indices=(..., 0), shape=x.shape, dtype=x.dtype)
        return (total, stacked * 2.0, a + 1.0) if later else (total, stacked * 2.0)

    program(f, X)


@pytest.mark.parametrize(
    "f",
    [
        lambda w: mg.tanh((w[0] + w[0]) * w[1]),
        lambda w: mg.tanh((w[0] + w[0] + w[0]) * w[1]),
        lambda w: mg.tanh((w[0] + mg.reshape(mg.tanh(w), (-1,))[:3] + w[0]) * w[1]),
    ],
    ids=["twice", "three times", "and others"],
)
def test_a_cotangent_that_goes_to_one_part_several_times_is_added_as_often(f: Any) -> None:
    w = np.arange(6.0).reshape(2, 3) / 7
    gradient = mg.grad(lambda w: mg.sum(f(w)))
    np.testing.assert_array_equal(mg.compile(gradient)(w).data, gradient(w).data)


@pytest.mark.parametrize("turned", [False, True])
def test_a_part_that_is_added_again_as_a_view_is_added_as_it_was(turned: bool) -> None:
    def f(x: Any) -> Any:
        y = mg.exp(x)
        view = mg.reshape(y, (2, 2)) if not turned else mg.transpose(y)
        return mg.place(y, y * 2, view, indices=(0, 0, 0), shape=(3, 2, 2), dtype=np.dtype(float))

    x = np.arange(4.0).reshape(2, 2) / 5
    np.testing.assert_array_equal(mg.compile(f)(x).data, f(mg.tensor(x)).data)


def test_nothing_is_added_to_a_part_that_is_read_later_as_a_view() -> None:
    def f(x: Any, y: Any) -> Any:
        part = mg.tanh(x)
        turned = mg.transpose(part)
        _, pull = mg.vjp(lambda y: (y[0:3], y[1:4]), y)
        return pull((mg.exp(x), part)), turned * 2.0

    for found, expected in zip(mg.tree_leaves(mg.compile(f)(X[:3], X)), mg.tree_leaves(f(X[:3], X)), strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
