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
    builds = [build for _, build in branches]  # and no leaves: a structure keeps none of them alive

    def rebuild(leaves: list[Any]) -> Any:
        parts, start = [], 0
        for build, size in zip(builds, sizes, strict=True):
            parts.append(build(leaves[start : start + size]))
            start += size
        if kind is dict:
            return dict(zip(keys, parts, strict=True))
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)

    return [leaf for leaves, _ in branches for leaf in leaves], rebuild


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, in order."""
    return flatten(tree)[0]


def leaves_like(tree: Any, other: Any) -> list[Any]:
    """The parts of `other` at the places of the leaves of `tree`, in the order of these; dicts match by key.

    Raises:
        ValueError: if `other` has another structure.
    """
    if isinstance(tree, dict):
        if not isinstance(other, dict) or tree.keys() != other.keys():
            found = list(other) if isinstance(other, dict) else type(other).__name__
            raise ValueError(f"tree: expected a dict with the keys {list(tree)}, got {found}")
        return [leaf for key in tree for leaf in leaves_like(tree[key], other[key])]
    if isinstance(tree, (tuple, list)):
        if not isinstance(other, (tuple, list)) or len(tree) != len(other):
            size = len(other) if isinstance(other, (tuple, list)) else type(other).__name__
            raise ValueError(f"tree: expected a tuple or list of {len(tree)}, got {size}")
        return [leaf for part, twin in zip(tree, other) for leaf in leaves_like(part, twin)]
    return [other]


def tree_map(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`f` of each leaf of `tree` (and of what stands at the same place in `others`), in a tree of the same structure.

    Raises:
        ValueError: if another tree has a different structure.
    """
    leaves, rebuild = flatten(tree)
    columns = [leaves_like(tree, other) for other in others]
    return rebuild([f(*row) for row in zip(leaves, *columns)])
