"""What an optimiser is given: parameters, in groups that may have options of their own, and what these may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import minigrad as mg

from .arguments import is_flag, is_real
from .module import Module

#: A group: its parameters, and the options that it has of its own
Entry = tuple[list[mg.Tensor], dict[str, Any]]


# --- values ----------------------------------------------------------------------------------------------------------


def check_range(name: str, value: Any, low: float, high: float, ends: str = "[)") -> None:
    """Raise if `value` is no number (TypeError), or lies outside of [low, high) (ValueError), or of other `ends`."""
    if not is_real(mg.watched(value)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    above = low < value if ends[0] == "(" else low <= value
    below = value <= high if ends[1] == "]" else value < high
    if not (above and below):
        raise ValueError(f"{name} must lie within {ends[0]}{low}, {high}{ends[1]}, got {value}")


def _check_rate(name: str, value: Any) -> None:
    check_range(name, value(0) if callable(value) else value, 0, math.inf)


def _check_flag(name: str, value: Any) -> None:
    if not is_flag(value):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def _check_betas(name: str, value: Any) -> None:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair of numbers, got {value!r}")
    for beta in value:
        check_range(name, beta, 0, 1)


class Option:
    """An attribute of an optimiser that its groups may override; checked when it is set.

    There is no `__get__`: Python reads the value from the optimiser itself, as fast as any attribute.
    """

    def __init__(self, check: Callable[[str, Any], None]) -> None:
        self.check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, optimizer: Any, value: Any) -> None:
        self.check(self.name, value)
        kept = vars(optimizer)
        before, kept[self.name] = kept.get(self.name), value
        if "params" in kept:  # otherwise it is being made
            try:
                optimizer._arrange(optimizer._groups)
            except BaseException:
                kept[self.name] = before
                raise


def within(low: float, high: float) -> Any:
    """An option that is a number within [low, high)."""
    return Option(lambda name, value: check_range(name, value, low, high))


def rate_or_schedule() -> Any:
    """An option that is a learning rate, or a schedule."""
    return Option(_check_rate)


def flag() -> Any:
    """An option that is True or False."""
    return Option(_check_flag)


def decays() -> Any:
    """An option that is a pair of numbers within [0, 1)."""
    return Option(_check_betas)


def options_of(cls: type) -> dict[str, Option]:
    """The options of an optimiser's class by name, those of its base classes first."""
    return {n: value for c in reversed(cls.__mro__) for n, value in vars(c).items() if isinstance(value, Option)}


# --- parameters ------------------------------------------------------------------------------------------------------


def leaves(params: Any) -> list[mg.Tensor]:
    """The parameters, each once. Raises TypeError for what is none."""
    if isinstance(params, Module):
        raise TypeError(f"params: got the module {type(params).__name__}; pass its weights: `module.parameters()`")
    if isinstance(params, mg.Tensor):
        raise TypeError("params: got one tensor; put it into a list: `[w]`")
    if isinstance(params, Mapping):
        raise TypeError("params: got a dict; a group stands in a list: `[{'params': [w], 'lr': 0.1}]`")
    found = {id(p): p for p in params}
    for p in found.values():
        if not isinstance(p, mg.Tensor):
            raise TypeError("params must be leaf tensors with requires_grad=True, as in `module.parameters()`, got a "
                            f"{type(p).__name__}")  # fmt: skip
        if p.primitive is not None or not (p.requires_grad or p.role == "frozen"):
            raise TypeError(f"params must be leaf tensors with requires_grad=True, or frozen, got {p!r}")
    return list(found.values())


# --- groups ----------------------------------------------------------------------------------------------------------


class Group:
    """Parameters of an optimiser that are updated with the same options, as `optimizer.groups` hands them out.

    Each option is an attribute: that of the group if it has one of its own, else the optimiser's. Setting it gives the
    group one of its own: `optimizer.groups[1].lr = 1e-4`.

    Raises:
        AttributeError: for an option that the optimiser does not have, listing those that it has.
        ValueError, TypeError: for a value that the option cannot take.
    """

    def __init__(self, optimizer: Any, k: int) -> None:
        vars(self).update(_optimizer=optimizer, _k=k)

    @property
    def params(self) -> tuple[mg.Tensor, ...]:
        """The parameters, each once."""
        return tuple(self._optimizer._groups[self._k][0])

    @property
    def own(self) -> dict[str, Any]:
        """A copy of the options that the group has of its own."""
        return dict(self._optimizer._groups[self._k][1])

    @property
    def rate(self) -> float:
        """The learning rate of the group's next step."""
        return float(self._optimizer._rate(self.own))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # while it is copied
            raise AttributeError(name)
        known = options_of(type(self._optimizer))
        if name not in known:
            raise AttributeError(f"a group of {type(self._optimizer).__name__} has no option {name!r}; there are "
                                 f"{', '.join(known)}", name=name)  # fmt: skip
        return self.own.get(name, vars(self._optimizer)[name])

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "params":
            raise AttributeError("a group's params are set with all groups: `optimizer.groups = [...]`", name=name)
        getattr(self, name)
        options_of(type(self._optimizer))[name].check(name, value)
        groups = list(self._optimizer._groups)
        groups[self._k] = (groups[self._k][0], self.own | {name: value})
        self._optimizer._arrange(groups)

    def __repr__(self) -> str:
        own = "".join(f", {name}={value!r}" for name, value in self.own.items())
        return f"Group({len(self.params)} parameters{own})"


def read_groups(cls: type, params: Any) -> list[Entry]:
    """The groups, from all that an optimiser takes; checked.

    Raises:
        TypeError: for what is no parameter, an option that there is not, or an option that is no number.
        ValueError: for an empty group, a parameter in two groups, or a number out of its range.
    """
    entries: Any = params if isinstance(params, (Module, mg.Tensor, Mapping)) else list(params)
    if not isinstance(entries, list) or not any(isinstance(entry, (Mapping, Group)) for entry in entries):
        found = leaves(entries)
        if not found:
            raise ValueError("params is empty: there is nothing to optimise")
        return [(found, {})]
    known, groups = options_of(cls), []
    seen: dict[int, int] = {}
    for k, entry in enumerate(entries):
        if not isinstance(entry, (Mapping, Group)):
            raise TypeError(f"params: entry {k} is a {type(entry).__name__} among groups; put all parameters into "
                            "groups: `{'params': [w]}`")  # fmt: skip
        own = {"params": entry.params} | entry.own if isinstance(entry, Group) else dict(entry)
        if "params" not in own:
            raise ValueError(f"group {k} has no 'params', only {', '.join(map(repr, own)) or 'nothing'}")
        found = leaves(own.pop("params"))
        if not found:
            raise ValueError(f"group {k} is empty: its params have nothing to optimise")
        for name, value in own.items():
            if name not in known:
                raise TypeError(f"group {k}: {cls.__name__} has no option {name!r}; there are {', '.join(known)}")
            known[name].check(f"group {k}: {name}", value)
        for p in found:
            if seen.setdefault(id(p), k) != k:
                raise ValueError(f"a parameter of shape {p.shape} is in group {seen[id(p)]} and in group {k}; leave it "
                                 "in one")  # fmt: skip
        groups.append((found, own))
    return groups


def schedules_in(optimizer: Any) -> Iterator[tuple[str, Any]]:
    """The schedules that remember something, each once, with the prefix of their entries in a state."""
    rates = [("lr.", optimizer.lr)]
    rates += [(f"group.{k}.lr.", own["lr"]) for k, (_, own) in enumerate(optimizer._groups) if "lr" in own]
    seen = set()
    for prefix, lr in rates:
        if hasattr(lr, "state_dict") and id(lr) not in seen:
            seen.add(id(lr))
            yield prefix, lr
