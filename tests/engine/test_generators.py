"""Random generators are found wherever a function can draw from them, and put back as they were."""

from __future__ import annotations

import functools
import gc
import random
import sys
import types
import weakref
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import generators
from minigrad.generators import MANY, States, is_generator, reached
from minigrad.testing import check_cell

RNG = np.random.default_rng(0)
package = types.ModuleType("package_of_a_user")
package.inner = types.ModuleType("package_of_a_user.inner")  # type: ignore[attr-defined]
package.inner.rng, package.inner.package = RNG, package
current: ContextVar[Any] = ContextVar("current", default=RNG)


class Slotted:
    __slots__ = ("__hidden", "empty")

    def __init__(self) -> None:
        self.__hidden = [RNG]


class AlsoSlotted(Slotted):
    """Its own attributes are in a dict."""


@dataclass(slots=True)
class Record:
    parts: Any


class Descriptor:
    def __get__(self, instance: Any, owner: Any) -> float:
        return RNG.random()


class Described:
    noise = Descriptor()


class Cached:
    @functools.cached_property
    def noise(self) -> float:
        return RNG.random()


class Given(list):
    rng: Any


class Partly:
    def by(self, rng: Any) -> float:
        return rng.random()

    draw = functools.partialmethod(by, RNG)


class Meta(type):
    def draw(cls) -> float:
        return RNG.random()


class Made(metaclass=Meta): ...


class Unhashable(type):
    __eq__ = __ne__ = lambda cls, other: cls is other
    __hash__ = None  # type: ignore[assignment]


class Compared(metaclass=Unhashable):
    rng = RNG


class Named(type):
    def __eq__(cls, other: object) -> bool:
        return isinstance(other, Named) and cls.__name__ == other.__name__

    def __hash__(cls) -> int:
        return hash(cls.__name__)


def of_equal_classes() -> list[Any]:
    """Objects of classes that say that they are equal: the last one's slot holds a generator."""
    slotted = Named("Same", (), {"__slots__": ("rng",)})()
    slotted.rng = RNG
    return [Named("Same", (), {})(), Named("Same", (), {"__slots__": ("other",)})(), slotted]


class Proxy:
    """What it stands for is not in an attribute that it holds."""

    __slots__ = ("of",)
    __class__ = property(lambda self: types.FunctionType)  # type: ignore[assignment]

    def __init__(self, f: Any) -> None:
        self.of = weakref.ref(f)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of(), name)


def draws() -> float:
    return RNG.random()


def with_attribute() -> float:
    return with_attribute.rng.random()  # type: ignore[attr-defined]


with_attribute.rng = RNG  # type: ignore[attr-defined]


def resumed(rng: Any) -> Any:
    while True:
        yield rng.random()


def resumed_from_a_global() -> Any:
    while True:
        yield RNG.random()


def listed() -> Any:
    given = Given()
    given.rng = RNG
    return given


def in_a_module() -> Any:
    return package.inner.rng.random()  # type: ignore[attr-defined]


def imports_it() -> Any:
    import package_of_a_user  # type: ignore[import-not-found]

    return package_of_a_user.rng.random()


HOLDERS: dict[str, Any] = {
    "itself": RNG,
    "a slot": Slotted(),
    "a slot of a class above": AlsoSlotted(),
    "a dataclass of slots": Record({"of": (RNG,)}),
    "a set, in a deque": deque([{RNG}]),
    "a descriptor": Described(),
    "a cached property": Cached(),
    "an attribute of a list": listed(),
    "a partial method": Partly(),
    "a metaclass": Made,
    "a class without a hash": Compared(),
    "one of classes that are equal": of_equal_classes(),
    "a function that a proxy stands for": Proxy(draws),
    "an attribute of a function": with_attribute,
    "a suspended function's variable": resumed(RNG),
    "a suspended function's global": resumed_from_a_global(),
    "a module within a module": in_a_module,
    "a context variable": lambda: current.get().random(),
    "a method of its own": RNG.random,
    "a partial": functools.partial(resumed, rng=RNG),
    "a cached function": functools.cache(lambda: RNG.random()),
    "what a function imports": imports_it,
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_a_generator_is_found_wherever_it_is_held(holder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = types.ModuleType("package_of_a_user")
    known.rng = RNG  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "package_of_a_user", known)
    assert [x is RNG for x in reached([holder])] == [True]


def test_no_class_is_kept_by_a_search() -> None:
    def searched() -> Any:
        class Slotted:
            __slots__ = ("a",)

        reached([Slotted()])
        return weakref.ref(Slotted)

    cls = searched()
    gc.collect()
    assert cls() is None
    assert all([known() is not None for holder in generators._holders.values() for known in holder.classes])


def test_a_generator_is_found_once_and_a_cycle_ends() -> None:
    cycle: list[Any] = [RNG, {"again": RNG}]
    cycle.append(cycle)
    assert len(reached([cycle, cycle])) == 1


def test_data_is_not_searched() -> None:
    assert not reached([[0, RNG] * MANY, mg.tensor(1.0), np.array([RNG], object), {"a": 1}, np, "a"])


@pytest.mark.parametrize(
    "make", [np.random.default_rng, np.random.RandomState, random.Random, np.random.PCG64], ids=lambda f: f.__name__
)
def test_every_kind_of_generator_is_put_back_as_it_was(make: Any) -> None:
    rng, alike = make(0), make(0)
    draw = lambda rng: getattr(rng, "random_raw", getattr(rng, "random", None))()
    states = States(reached([rng]))
    assert is_generator(rng)
    assert not states.moved()
    draw(rng)
    assert states.moved()
    later = states.now()
    states.put_back()
    assert not states.moved()
    assert draw(rng) == draw(alike)
    draw(rng)
    later.put_back()
    assert draw(rng) == draw(alike)


def test_what_has_no_state_is_no_generator() -> None:
    assert not any(map(is_generator, (random.SystemRandom(), np.random.SeedSequence(0), random, 1.0, None)))


# --- those who ask ----------------------------------------------------------------------------------------------------


class Noisy(nn.Cell):
    """Draws from what it holds in a slot of another object."""

    def __init__(self, I: int, H: int) -> None:
        self.H, self.inside = H, nn.Linear(I + H, H, rng=0)
        self.noise = Record(np.random.default_rng(1))

    def step(self, x: Any, h: Any) -> Any:
        h = mg.tanh(self.inside(mg.concatenate([x, h], axis=1)))
        h = h * (1 + 0.1 * self.noise.parts.random(h.shape)).astype(h.dtype)
        return h, h


def test_a_cell_that_holds_its_generator_in_a_slot_draws_the_same_in_every_run_of_the_checker() -> None:
    check_cell(Noisy, order=1)


def test_a_cell_that_holds_its_generator_in_a_slot_is_checkpointed() -> None:
    xs, found = np.ones((4, 2, 3)), []
    for checkpoint in (None, 2):
        cell = Noisy(3, 3)
        ys, _ = nn.Recurrent(cell, checkpoint=checkpoint)(mg.tensor(xs, dtype=np.float32))
        ys.sum().backward()
        found.append(cell.inside.W.grad)
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_compile_refuses_what_is_drawn_from_a_slot() -> None:
    of = Record(np.random.default_rng(0))
    with pytest.raises(TypeError, match="draws random numbers"):
        mg.compile(lambda x: x + of.parts.random())(0.5)


def test_a_checkpoint_takes_what_holds_generators() -> None:
    of = Record(np.random.default_rng(0))
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.checkpoint(lambda x: x * of.parts.random(2), generators=[of])(x)
    of.parts.random()
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == np.random.default_rng(0).random(2).tolist()


def test_what_sample_draws_from_pythons_generator_is_drawn_again_in_a_checkpoint() -> None:
    rng, x = random.Random(0), mg.tensor(2.0, requires_grad=True)
    mg.checkpoint(lambda x: x * mg.sample(rng.random))(x).backward()
    assert x.grad == random.Random(0).random()


def test_a_checkpoint_asks_for_a_list_of_generators() -> None:
    with pytest.raises(TypeError, match=r"generators must be a list, as \[rng\] or \[net\], got .*Generator"):
        mg.checkpoint(mg.tanh, generators=np.random.default_rng(0))  # type: ignore[arg-type]


def test_the_programs_of_a_compiled_function_are_not_searched() -> None:
    rng = np.random.default_rng(0)
    f = mg.compile(lambda x: x * mg.sample(rng.random))
    f(np.ones(2))
    with mock.patch("minigrad.generators._parts", wraps=generators._parts) as opened:
        assert [x for x in reached([f]) if x is rng] == [rng]
    before = opened.call_count
    for n in range(3, 9):
        f(np.ones(n))
    with mock.patch("minigrad.generators._parts", wraps=generators._parts) as opened:
        reached([f])
    assert opened.call_count == before < 50
