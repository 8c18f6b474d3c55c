"""Trees: nested tuples, lists, dicts and named tuples of leaves."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
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


class Named(dict[str, Any]):
    """Keys that are attributes, one of which is none."""

    kind = "weights"

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Open(dict[str, Any]):
    """Whose attributes are its entries."""

    def __init__(self, **entries: Any) -> None:
        super().__init__(entries)
        self.__dict__ = self


class Both(dict[str, Any]):
    """Which has an entry as an attribute as well."""

    def __init__(self, w: Any) -> None:
        super().__init__(w=w)
        self.w = w


class Rows(list[Any]):
    """Made from something else than its entries."""

    def __init__(self, name: str, *rows: Any) -> None:
        super().__init__(rows)
        self.name = name


class Pair(NamedTuple("Pair", [("a", Any), ("b", Any)])):
    """Made from one of its parts."""

    def __new__(cls, a: Any) -> Any:
        return super().__new__(cls, a, -a)


def named() -> Any:
    tree = Named(w=1.0, b=Rows("rows", 2.0, Pair(3.0)))
    tree.__dict__["kind"] = "biases"
    return tree


def test_a_class_of_ones_own_is_kept_with_all_that_it_has() -> None:
    assert tree_map(lambda x: 2 * x, OrderedDict(b=1, a=2)) == OrderedDict(b=2, a=4)
    assert tree_map(lambda x: 2 * x, defaultdict(list, a=2))["new"] == []
    tree = named()
    for twin in (tree_map(lambda x: 2 * x, tree), flatten(tree)[1]([2.0, 4.0, 6.0, -6.0])):
        assert (type(twin), twin.w, twin.kind) == (Named, 2.0, "biases")
        assert (type(twin.b), twin.b.name, twin.b[1]) == (Rows, "rows", (6.0, -6.0))
        assert type(twin.b[1]) is Pair
    assert tree_leaves(tree) == [1.0, 2.0, 3.0, -3.0]


@pytest.mark.parametrize("wrap", [lambda f: f, mg.compile], ids=["plain", "compiled"])
def test_arguments_and_results_keep_their_classes_in_transforms(wrap: Any) -> None:
    g = wrap(mg.grad(lambda p: p.w * p.b[0] + p.b[1].a))(named())
    assert (type(g), g.kind, float(g.w), g.b.name, float(g.b[1].b)) == (Named, "biases", 2.0, "rows", 0.0)
    f = wrap(lambda p: OrderedDict(b=p, a=1))
    assert type(f({"w": 1.0})["b"]) is dict
    assert type(f(OrderedDict(w=1.0))["b"]) is OrderedDict


def test_an_attribute_that_is_an_entry_is_differentiated_as_that() -> None:
    g = mg.grad(lambda p: mg.sum(p.w * p["w"]))(Open(w=np.array([1.0, 3.0])))
    assert g.w.data.tolist() == g["w"].data.tolist() == [2.0, 6.0]
    with pytest.raises(TypeError, match="tree: Both has an entry as its attribute 'w' as well"):
        mg.grad(lambda p: mg.sum(p.w * p["w"]))(Both(w=np.array([1.0, 3.0])))


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
