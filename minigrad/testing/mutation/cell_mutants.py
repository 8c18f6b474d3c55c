"""Wrong gradients of a cell's weights and states: each tensor that a cell's methods use is led through an identity.

The identity belongs to one place: one tensor in one method. A wrong rule there makes a gradient miss, or get wrong,
that use of a weight or that leaf of a state, as a slip in a hand-written backward pass would.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import numpy as np

from ...ops import where
from ...primitive import Primitive, Rule, primitive
from ...shapes import concatenate
from ...tensor import Tensor
from ...tree import flatten, tree_leaves
from ..recorded import paths
from .faults import COTANGENT_FAULTS
from .mutants import Mutant, with_wrong_cotangent


class CellIdentities:
    """While a `with` block lasts, the tensors in a class of cells are led through `identities`, by name.

    Args:
        cls: the class, without its subclasses; its `project` and `step` are watched, or its call, if it has no `step`.
        called: an identity whose rule is called is added to it, as (primitive, 0).
    """

    def __init__(self, cls: type, called: set[tuple[Primitive, int]]) -> None:
        self.cls, self.called = cls, called
        self.methods = [name for name in ("project", "step") if hasattr(cls, name)]
        if "step" not in self.methods:
            self.methods.append("forward" if hasattr(cls, "forward") else "__call__")
        self.identities: dict[str, Primitive] = {}
        self.used: set[Primitive] = set()  # those whose rule was called
        self.square: set[str] = set()
        self.blocks: dict[str, int] = {}  # how many gates lie side by side along the last axis
        self._own: list[tuple[str, Any]] = []
        self._states: set[int] = set()  # the orders of states that a step made
        self._inside = False

    def __enter__(self) -> CellIdentities:
        for name in self.methods:
            self._own.append((name, vars(self.cls).get(name)))
            setattr(self.cls, name, self._watched(name, getattr(self.cls, name)))
        return self

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._own:
            name, own = self._own.pop()
            if own is None:
                delattr(self.cls, name)
            else:
                setattr(self.cls, name, own)

    def _watched(self, method: str, original: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(original).parameters)[1:]

        @functools.wraps(original)
        def watched(cell: Any, *arguments: Any, **options: Any) -> Any:
            if self._inside or type(cell) is not self.cls:  # a method called by another is led already
                return original(cell, *arguments, **options)
            self._inside = True
            orders = _orders(list(arguments[1:]))
            first = method != "project" and self._states.isdisjoint(orders)
            changed = []
            try:
                for path, holder, key in _tensors(vars(cell), ""):
                    changed.append((holder, key, holder[key]))
                    holder[key] = self._led(cell, method, path, holder[key], first)
                led = []
                for name, argument in zip(names, arguments):
                    leaves, rebuild = flatten(argument)
                    labels = [name + path for path in paths(argument)]
                    led.append(rebuild([self._led(cell, method, *pair, first) for pair in zip(labels, leaves)]))
                result = original(cell, *led, **options)
            finally:
                self._inside = False
                for holder, key, value in reversed(changed):
                    holder[key] = value
            if method != "project":
                self._states.update(_orders(result[1]))
            return result

        return watched

    def _led(self, cell: Any, method: str, path: str, x: Any, first: bool) -> Any:
        if not isinstance(x, Tensor) or not x.requires_grad:
            return x
        name = f"{self.cls.__name__}.{method}, {path}"
        if name not in self.identities:
            self.identities[name] = primitive(
                lambda x, first: x.copy(), functools.partial(self._passed, name), name=name
            )
        H = getattr(cell, "H", 0)
        gates = x.shape[-1] // H if isinstance(H, int) and H > 0 and x.ndim and x.shape[-1] % H == 0 else 1
        if self.blocks.setdefault(name, gates) != gates:
            self.blocks[name] = 1  # a multiple of H by chance only
        if x.ndim > 1 and x.shape == x.shape[::-1]:
            self.square.add(name)
        return self.identities[name](x, first=first)

    def _passed(self, name: str, g: Any, y: Any, x: Any, first: bool) -> Any:
        self.used.add(self.identities[name])
        self.called.add((self.identities[name], 0))
        return g

    def mutants(self) -> Iterator[Mutant]:
        """The wrong gradients of every identity so far; a method that makes no use of a weight has none."""
        kept: dict[str, list[str]] = {}  # by tensor
        for name in self.identities:
            kept.setdefault(name.partition(", ")[2], []).append(name)
        for tensor, names in kept.items():
            kept[tensor] = [name for name in names if self.identities[name] in self.used] or names[-1:]
        for name in [name for names in kept.values() for name in names]:
            identity = self.identities[name]
            faults = dict(COTANGENT_FAULTS, dropped=lambda g: _kept(g, 0, 0))
            if name not in self.square:
                del faults["transposed where square"]
            blocks = self.blocks[name]
            if blocks > 1:
                for k in range(blocks):
                    faults[f"gate {k} of {blocks} dropped"] = functools.partial(_without_block, k, blocks)
                    if k:
                        faults[f"gates {k - 1} and {k} exchanged"] = functools.partial(_exchanged, k, blocks)
            for fault, change in faults.items():
                yield Mutant(f"{name}: {fault}", identity, 0, functools.partial(with_wrong_cotangent, change))
            if ".project," not in name:
                yield Mutant(f"{name}: dropped at the first step", identity, 0, functools.partial(_dropped_when, True))
                yield Mutant(
                    f"{name}: dropped after the first step", identity, 0, functools.partial(_dropped_when, False)
                )


def _orders(tree: Any) -> list[int]:
    return [leaf.node.order for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.node is not None]


def _tensors(holder: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The tensors in attributes, and in dicts, lists and objects there: path, the dict or list, and key."""
    pairs = list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder))
    for key, value in pairs:
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Tensor):
            if not isinstance(holder, tuple):
                yield here, holder, key
        elif isinstance(value, (dict, list, tuple)):
            yield from _tensors(value, here)
        elif hasattr(value, "parameters") and hasattr(value, "__dict__"):
            yield from _tensors(vars(value), here)


def _kept(g: Any, start: int, stop: int) -> Any:
    """g within [start, stop) of its last axis, and zero elsewhere."""
    kept = np.zeros(g.shape, bool)
    if g.ndim:
        kept[..., start:stop] = True
    return where(kept, g, 0.0)


def _without_block(k: int, blocks: int, g: Any) -> Any:
    H = g.shape[-1] // blocks
    return g - _kept(g, k * H, (k + 1) * H)


def _exchanged(k: int, blocks: int, g: Any) -> Any:
    H = g.shape[-1] // blocks
    parts = [g[..., j * H : (j + 1) * H] for j in range(blocks)]
    parts[k - 1], parts[k] = parts[k], parts[k - 1]
    return concatenate(parts, axis=-1)


def _dropped_when(when: bool, right: Rule) -> Rule:
    def rule(g: Any, y: Any, x: Any, first: bool) -> Any:
        return _kept(g, 0, 0) if first == when else right(g, y, x, first=first)

    return rule
