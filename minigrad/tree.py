"""Trees: a tensor, or tuples, lists and dicts of trees. Transforms and recurrent states work on any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of `tree`, in order, and a function that builds a tree of the same structure from as many leaves."""
    if isinstance(tree, dict):
        kind: Any = dict
        keys = list(tree)
        branches = [flatten(tree[key]) for key in keys]
    elif isinstance(tree, (tuple, list)):
        kind, keys = type(tree), []
        branches = [flatten(branch) for branch in tree]
    else:
        return [tree], lambda leaves: leaves[0]
    sizes = [len(leaves) for leaves, _ in branches]

    def rebuild(leaves: list[Any]) -> Any:
        parts, start = [], 0
        for (_, build), size in zip(branches, sizes, strict=True):
            parts.append(build(leaves[start : start + size]))
            start += size
        if kind is dict:
            return dict(zip(keys, parts, strict=True))
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)

    return [leaf for leaves, _ in branches for leaf in leaves], rebuild


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, in order."""
    return flatten(tree)[0]


def tree_map(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`f` of each leaf of `tree` (and of the leaves at the same places in `others`), in a tree of the same structure.

    Raises:
        ValueError: if another tree has a different number of leaves.
    """
    leaves, rebuild = flatten(tree)
    columns = [tree_leaves(other) for other in others]
    for k, column in enumerate(columns):
        if len(column) != len(leaves):
            raise ValueError(f"tree_map: the first tree has {len(leaves)} leaves, tree {k + 1} has {len(column)}")
    return rebuild([f(*row) for row in zip(leaves, *columns, strict=True)])
