"""Trees: a tensor, or tuples, lists and dicts of trees. Transforms and recurrent states work on any of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of `tree`, in order, and a function that builds a tree of the same structure from as many leaves."""
    empty = tree_map(lambda _: None, tree)  # a structure keeps no leaf alive

    def rebuild(leaves: list[Any]) -> Any:
        following = iter(leaves)
        return tree_map(lambda _: next(following), empty)

    return tree_leaves(tree), rebuild


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, in order.

    >>> mg.tree_leaves({"w": 1.0, "state": (2.0, 3.0)})
    [1.0, 2.0, 3.0]
    """
    if isinstance(tree, (tuple, list, dict)):
        return [leaf for part in (tree.values() if isinstance(tree, dict) else tree) for leaf in tree_leaves(part)]
    return [tree]


def leaves_like(tree: Any, other: Any, what: str = "tree") -> list[Any]:
    """The parts of `other` at the places of the leaves of `tree`, in the order of these; dicts match by key.

    `what` is `other`'s name in a message.

    Raises:
        ValueError: if `other` has another structure.
    """
    if isinstance(tree, dict):
        if not isinstance(other, dict) or tree.keys() != other.keys():
            found = list(other) if isinstance(other, dict) else type(other).__name__
            raise ValueError(f"{what}: expected a dict with the keys {list(tree)}, got {found}")
        return [leaf for key in tree for leaf in leaves_like(tree[key], other[key], what)]
    if isinstance(tree, (tuple, list)):
        if not isinstance(other, (tuple, list)) or len(tree) != len(other):
            size = len(other) if isinstance(other, (tuple, list)) else type(other).__name__
            raise ValueError(f"{what}: expected a tuple or list of {len(tree)}, got {size}")
        return [leaf for part, twin in zip(tree, other) for leaf in leaves_like(part, twin, what)]
    return [other]


def tree_map(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`f` of each leaf of `tree` (and of what stands at the same place in `others`), in a tree of the same structure.

    Raises:
        ValueError: if another tree has a different structure.

    >>> mg.tree_map(lambda x, y: x + y, {"w": 1.0, "b": (2.0,)}, {"w": 10.0, "b": (20.0,)})
    {'w': 11.0, 'b': (22.0,)}
    """
    if others:
        rows = zip(tree_leaves(tree), *[leaves_like(tree, other) for other in others])
        return tree_map(lambda _: f(*next(rows)), tree)
    cls = type(tree)
    if cls is tuple or cls is list:
        return cls([tree_map(f, part) for part in tree])
    if cls is dict:
        return {key: tree_map(f, part) for key, part in tree.items()}
    if isinstance(tree, (tuple, list, dict)):
        entries = list(tree.values()) if isinstance(tree, dict) else list(tree)
        return _alike(tree, entries, [tree_map(f, part) for part in entries])
    return f(tree)


def _alike(tree: Any, entries: list[Any], parts: list[Any]) -> Any:
    """A tuple, list or dict of a class of its own, as an `OrderedDict`, with parts for entries and all else it has."""
    cls: Any = type(tree)
    if isinstance(tree, tuple):
        return cls._make(parts) if hasattr(cls, "_make") else cls(parts)
    twin = copy.copy(tree) if hasattr(cls, "__copy__") else cls.__new__(cls)
    own = getattr(tree, "__dict__", {})
    if own is tree:  # whose entries are its attributes
        twin.__dict__ = twin
    elif own:
        twice = [name for name, x in own.items() if hasattr(x, "dtype") and any([x is part for part in entries])]
        if twice:
            raise TypeError(
                f"tree: {cls.__name__} has an entry as its attribute {twice[0]!r} as well, which would stay what it "
                "was; keep it as an entry alone, or pass a plain dict or list"
            )
        twin.__dict__.update(own)
    if isinstance(tree, list):
        twin[:] = parts
    else:
        for key, part in zip(tree, parts):
            twin[key] = part
    return twin


def entries_of(x: Any) -> Any:
    """What is equal for a tree, before a function is called and afterwards, if all its entries are still the same."""
    if isinstance(x, dict):
        return [*x, *map(entries_of, x.values())]
    return list(map(entries_of, x)) if isinstance(x, (tuple, list)) else id(x)
