"""Trees: nested tuples, lists, dicts and named tuples of leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import tree_leaves, tree_map
from minigrad.tree import flatten


class State(NamedTuple):
    h: Any
    c: Any


text = st.text("aé0", max_size=2)  # of all letters there are, hypothesis makes a table first
leaves = st.integers() | st.floats(allow_nan=False) | st.none() | text
trees = st.recursive(
    leaves,
    lambda t: st.one_of(
        st.lists(t, max_size=3),
        st.lists(t, max_size=3).map(tuple),
        st.dictionaries(text, t, max_size=3),
        st.builds(State, t, t),
    ),
    max_leaves=8,
)


@given(trees)
def test_flattening_and_building_again_gives_the_same_tree(tree: Any) -> None:
    flat, rebuild = flatten(tree)
    again = rebuild(flat)
    assert again == tree
    assert type(again) is type(tree)


@given(trees)
def test_tree_map_visits_every_leaf_once_in_order(tree: Any) -> None:
    seen: list[Any] = []
    tree_map(seen.append, tree)
    assert seen == tree_leaves(tree)


@given(trees)
def test_tree_map_over_two_trees_pairs_leaves_at_the_same_place(tree: Any) -> None:
    numbered = iter(range(100))
    other = tree_map(lambda _: next(numbered), tree)
    pairs = tree_leaves(tree_map(lambda a, k: [a, k], tree, other))
    assert [k for k in pairs[1::2]] == list(range(len(tree_leaves(tree))))


def test_named_tuples_stay_named_tuples() -> None:
    doubled = tree_map(lambda x: 2 * x, State(1, {"a": (2, [3])}))
    assert doubled == State(2, {"a": (4, [6])})
    assert type(doubled) is State


def test_an_array_is_a_leaf() -> None:
    x = np.ones((2, 2))
    assert tree_leaves((x, [x])) == [x, x] or len(tree_leaves((x, [x]))) == 2
    assert tree_map(lambda a: a.shape, [x]) == [(2, 2)]


def test_dicts_are_matched_by_key_and_not_by_position() -> None:
    paired = tree_map(lambda a, b: a * b, {"a": 2, "b": 3}, {"b": 100, "a": 10})
    assert paired == {"a": 20, "b": 300}


@pytest.mark.parametrize("other", [{"a": 1, "c": 2}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, [1, 2], 1], ids=repr)
def test_a_tree_of_another_structure_is_refused(other: Any) -> None:
    with pytest.raises(ValueError, match="tree"):
        tree_map(lambda a, b: (a, b), {"a": 1, "b": 2}, other)


def test_what_stands_at_the_place_of_a_leaf_may_be_a_tree() -> None:
    assert tree_map(lambda a, b: (a, b), {"a": 1}, {"a": [2, 3]}) == {"a": (1, [2, 3])}


@pytest.mark.parametrize("other", [(1,), [1, 2, 3], {"a": 1, "b": 2}, 1], ids=repr)
def test_a_sequence_of_another_length_or_kind_is_refused(other: Any) -> None:
    with pytest.raises(ValueError, match="tuple or list of 2"):
        tree_map(lambda a, b: (a, b), (1, 2), other)


def test_empty_trees_have_no_leaves_and_keep_their_kind() -> None:
    for empty in ((), [], {}):
        assert tree_leaves(empty) == []
        assert tree_map(lambda x: x, empty) == empty
