"""What a compiled function reads from outside, by who holds it: what changes in place, and what is bound anew."""

from __future__ import annotations

import functools
import itertools
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import minigrad as mg

GLOBAL: Any = None


class Plain:
    def __init__(self, v: Any) -> None:
        self.v = v

    def times(self, x: Any) -> Any:
        return x * self.v


class Slotted:
    __slots__ = ("v",)

    def __init__(self, v: Any) -> None:
        self.v = v


@dataclass
class Record:
    v: Any


class Guarded:
    def __init__(self, v: Any) -> None:
        self._v = v

    @property
    def v(self) -> Any:
        return self._v

    @v.setter
    def v(self, v: Any) -> None:
        self._v = v


class Descriptor:
    def __get__(self, instance: Any, owner: Any) -> Any:
        return instance.held[0]

    def __set__(self, instance: Any, v: Any) -> None:
        instance.held = [v]


class Described:
    v = Descriptor()

    def __init__(self, v: Any) -> None:
        self.v = v


def class_of(v: Any) -> Any:
    return type("Owner", (), {"v": v})


def module_of(v: Any) -> Any:
    package = types.ModuleType("package")
    package.inner = types.ModuleType("package.inner")  # type: ignore[attr-defined]
    package.inner.v = v  # type: ignore[attr-defined]
    return package.inner  # type: ignore[attr-defined]


OWNERS: dict[str, Callable[[Any], Any]] = {
    "an object": Plain,
    "a slot": Slotted,
    "a dataclass": Record,
    "a property": Guarded,
    "a descriptor": Described,
    "a class": class_of,
    "a module": module_of,
}


def by_global(v: Any) -> Any:
    globals()["GLOBAL"] = v
    return lambda x: x * GLOBAL


def by_default(v: Any) -> Any:
    return lambda x, v=v: x * v


def by_keyword(v: Any) -> Any:
    def f(x: Any, *, v: Any = v) -> Any:
        return x * v

    return f


def reading(of: Any) -> Any:
    return lambda x: x * of.v


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "an enclosing function": lambda v: lambda x: x * v,
    "a global": by_global,
    "a default": by_default,
    "a default by name": by_keyword,
    "a partial": lambda v: functools.partial(lambda v, x: x * v, v),
    "a keyword of a partial": lambda v: functools.partial(lambda x, v: x * v, v=v),
    "a bound method": lambda v: Plain(v).times,
    "a container": lambda v: lambda x, held={"a": [v]}: x * held["a"][0],
} | {name: lambda v, make=make: reading(make(v)) for name, make in OWNERS.items()}
X = np.array([1.0, -2.0])


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_an_array_or_a_tensor_that_changes_in_place_is_read_anew_whoever_holds_it(make: Any) -> None:
    array, tensor = np.full(2, 3.0), mg.tensor([3.0, 3.0])
    for v in (array, tensor):
        f = mg.compile(make(v))
        assert np.asarray(f(X)).tolist() == [3.0, -6.0]
        array[:], tensor.data = 5.0, np.full(2, 5.0)
        assert np.asarray(f(X)).tolist() == [5.0, -10.0]
        array[:], tensor.data = 3.0, np.full(2, 3.0)


PAIRS = {
    "numbers": (2.0, 3.0),
    "arrays": (np.full(2, 2.0), np.full(2, 3.0)),
    "tensors": (mg.tensor([2.0, 2.0]), mg.tensor([3.0, 3.0])),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
def test_an_attribute_that_is_bound_anew_is_followed_if_it_is_watched_and_else_as_it_was(make: Any, pair: Any) -> None:
    owner = make(pair[0])
    watched, unwatched = mg.compile(lambda x: x * mg.watched(owner, "v")), mg.compile(lambda x: x * owner.v)
    for v in (*pair, pair[0]):
        owner.v = v
        np.testing.assert_array_equal(watched(X), np.asarray(X * v))
        np.testing.assert_array_equal(unwatched(X), np.asarray(X * pair[0]))


def test_an_object_as_an_argument_is_told_from_another_but_not_from_what_it_was() -> None:
    f, a, b = mg.compile(lambda x, of: x * of.v), Plain(2.0), Plain(3.0)
    assert [f(X, of)[0].item() for of in (a, b)] == [2.0, 3.0]
    a.v = 5.0
    assert f(X, a)[0].item() == 2.0
    with pytest.raises(TypeError, match="an argument is a Record; it must be"):
        f(X, Record(2.0))  # it is compared by what it holds, which may change


@dataclass(frozen=True)
class Named:
    v: float
    factor: float = field(default=1.0, compare=False)
    cache: dict[str, float] = field(default_factory=dict, compare=False)


def test_a_field_that_does_not_compare_tells_frozen_dataclasses_apart_too() -> None:
    calls = []
    f = mg.compile(lambda x, of: calls.append(1) or x * of.v * of.factor)
    cache = {"a": 1.0}
    found = [f(X, Named(2.0, factor, cache))[0].item() for factor in (1.0, 5.0, 5.0)]
    assert (found, len(calls)) == ([2.0, 10.0, 10.0], 2)
    f(X, Named(2.0, 5.0, {"a": 1.0}))
    assert len(calls) == 3


def test_what_moves_on_by_itself_or_is_done_besides_is_so_once() -> None:
    numbers, calls = itertools.count(2), []
    f = mg.compile(lambda x: calls.append(1) or x * next(numbers))
    assert [f(X)[0].item() for _ in range(3)] == [2.0, 2.0, 2.0]
    assert len(calls) == 1
