"""Random generators: which ones a function or an object can draw from, and the states that they are put back into."""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any, NamedTuple

import numpy as np

from .callers import LIBRARIES
from .record import Variable

MOST = 4000  # objects that are looked into: what is farther away is a library
MANY = 1000  # in a container of more is data


class States:
    """Random generators, each with the state that it was in when it was added."""

    def __init__(self, generators: Iterable[Any] = ()) -> None:
        self.before: dict[int, tuple[Any, Any]] = {}  # by id
        for generator in generators:
            self.add(generator)

    def add(self, generator: Any) -> None:
        if id(generator) not in self.before:
            self.before[id(generator)] = generator, _state(generator)

    def now(self) -> States:
        """The same generators, with the states that they are in now."""
        return States([generator for generator, _ in self.before.values()])

    def moved(self) -> bool:
        """Whether one of them was drawn from since."""
        return any([_comparable(_state(x)) != _comparable(state) for x, state in self.before.values()])

    def put_back(self) -> None:
        """Have all go on from the states that they had: they draw the same numbers again."""
        for generator, state in self.before.values():
            if _is_numpys(generator, "RandomState"):
                generator.set_state(state)
            elif _is_numpys(generator, "Generator"):
                generator.bit_generator.state = state
            elif _is_numpys(generator, "BitGenerator"):
                generator.state = state
            else:
                generator.setstate(state)


def is_generator(x: Any) -> bool:
    """Whether this is a random generator, of NumPy's or Python's, whose state can be read and put back."""
    return _draws(*_classes(x))


def _draws(*classes: type[Any]) -> bool:
    """Whether an instance of one of these classes is a generator; there are none before their module is imported."""
    if _any_is(classes, _numpys("Generator", "RandomState", "BitGenerator")):
        return True
    random: Any = sys.modules.get("random")
    return random is not None and _any_is(classes, random.Random) and not _any_is(classes, random.SystemRandom)


def _any_is(classes: Iterable[type[Any]], kinds: Any) -> bool:
    return any([issubclass(cls, kinds) for cls in classes])


def _numpys(*names: str) -> tuple[Any, ...]:
    """These classes of numpy.random, if that is imported."""
    random = sys.modules.get("numpy.random")
    return () if random is None else tuple([getattr(random, name) for name in names])


def _is_numpys(x: Any, *names: str) -> bool:
    return isinstance(x, _numpys(*names))


def _classes(x: Any) -> tuple[type[Any], type[Any]]:
    """The class of an object, and the one that it says it is of, as a proxy does: `isinstance` knows both."""
    cls = type(x)
    said = getattr(x, "__class__", cls)
    return cls, said if said is cls or isinstance(said, type) else cls


def _state(generator: Any) -> Any:
    if _is_numpys(generator, "RandomState"):
        return _quickly_set(generator.get_state(legacy=False))
    if _is_numpys(generator, "Generator"):
        return _quickly_set(generator.bit_generator.state)
    return _quickly_set(generator.state) if _is_numpys(generator, "BitGenerator") else generator.getstate()


def _quickly_set(state: Any) -> Any:
    """NumPy sets the 624 numbers of a Mersenne Twister one by one: from a list in a 30th of the time (NumPy 2.4)."""
    if isinstance(state, dict) and state.get("bit_generator") == "MT19937":
        state["state"]["key"] = state["state"]["key"].tolist()
    return state


def _comparable(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _comparable(part) for name, part in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


def shared() -> list[Any]:
    """Python's own generator and NumPy's, which all share; if they are imported."""
    own = ("random", "_inst"), ("numpy.random.mtrand", "_rand")
    return [getattr(sys.modules[module], name) for module, name in own if module in sys.modules]


# --- where they are held ----------------------------------------------------------------------------------------------


def reached(roots: Iterable[Any]) -> list[Any]:
    """The random generators that functions and objects can draw from, each once, the nearest first.

    Seen are those that a function closes over, has as a default, or names (as a global, or an attribute of a module);
    that an object holds in an attribute, a slot, or its class; and so on from each of these.
    """
    found, waiting = [], list(roots)
    seen: dict[int, Any] = {}  # by id, and kept alive, since the id of what is gone may be another's
    for x in waiting:  # which grows
        cls, said = _classes(x)
        holder = _holders.get((id(cls), id(said))) or _holder(cls, said)
        if holder.plain or id(x) in seen:
            continue
        if len(seen) == MOST:
            break
        seen[id(x)] = x
        if holder.draws:
            found.append(x)
        else:
            waiting += _parts(x, holder)
    return found


class _Holder(NamedTuple):
    """What all objects of a class have in common: whether they hold nothing (`plain`), and where they hold others."""

    plain: bool
    draws: bool
    librarys: bool
    parts: Callable[[Any], Iterable[Any]]
    slotted: bool
    classes: Sequence[Any]  # weak references


#: By the ids of both `_classes`, for as long as these live: a metaclass may say what equals a class, or has a hash.
_holders: dict[tuple[int, int], _Holder] = {}


def _holder(cls: type[Any], said: type[Any]) -> _Holder:
    """That of objects of these `_classes`."""
    key, classes = (id(cls), id(said)), (cls, said)
    parts = next((of for kinds, of in _PARTS if _any_is(classes, kinds)), lambda x: ())
    plain, draws, librarys = _any_is(classes, _PLAIN), _draws(cls, said), is_librarys(cls.__module__)
    slotted = bool(_slots(cls))
    alive = [weakref.ref(c, lambda _: _holders.pop(key, None)) for c in classes]
    found = _holders[key] = _Holder(plain, draws, librarys, parts, slotted, alive)
    return found


def _slots(cls: type[Any]) -> list[Any]:
    """The slots that classes of the user's declare."""
    own = [vars(base).values() for base in cls.__mro__ if not is_librarys(base.__module__)]
    return [slot for values in own for slot in values if type(slot) is MemberDescriptorType]


def _parts(x: Any, holder: _Holder) -> list[Any]:
    """What an object holds, or a function uses."""
    if isinstance(x, type):
        return [] if is_librarys(x.__module__) else [type(x), *vars(x).values(), *x.__bases__]
    parts = [*holder.parts(x)]
    with suppress(AttributeError):  # it has none
        held = object.__getattribute__(x, "__dict__")
        # what else a compiled function holds are its programs: thousands of objects, and more with each length
        parts += [held["__wrapped__"]] if holder.librarys and "__wrapped__" in held else held.values()
    for slot in _slots(type(x)) if holder.slotted else ():
        with suppress(AttributeError):  # it is empty
            parts.append(slot.__get__(x))
    return [*parts, type(x)]


def _used(f: FunctionType) -> list[Any]:
    """What a function closes over and has as defaults; one of the user's, what it names as well."""
    used = [cell.cell_contents for cell in f.__closure__ or () if cell != _EMPTY]
    used += [*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()]
    if is_librarys(f.__globals__.get("__name__")):  # as a transform, which closes over the function
        return used
    return used + _named(f.__code__, f.__globals__)


def _resumed(generator: GeneratorType[Any, Any, Any]) -> list[Any]:
    """What the rest of a suspended function uses."""
    if generator.gi_frame is None:
        return []
    return [*generator.gi_frame.f_locals.values(), *_named(generator.gi_code, generator.gi_frame.f_globals)]


def _current(variable: ContextVar[Any]) -> list[Any]:
    with suppress(LookupError):  # it has no value here
        return [variable.get()]
    return []


def _named(code: CodeType, space: dict[str, Any]) -> list[Any]:
    """What a function names: globals, modules that it imports itself, and what these hold under the names it reads."""
    names = _names(code)
    found = [space[name] if name in space else sys.modules.get(name) for name in names]
    modules = [x for x in found if isinstance(x, ModuleType)]
    for module in modules:  # which grow
        if not is_librarys(module.__name__):
            parts = [vars(module)[name] for name in names if name in vars(module)]
            modules += [x for x in parts if isinstance(x, ModuleType) and all(x is not m for m in modules)]
            found += parts
    return found


def _names(code: CodeType) -> set[str]:
    """The names of globals, or of attributes, that a function reads, or a function within it."""
    return {*code.co_names}.union(*[_names(inner) for inner in code.co_consts if isinstance(inner, CodeType)])


def is_librarys(module: Any) -> bool:
    return str(module).split(".")[0] in LIBRARIES


_EMPTY = CellType()  # as of a name that has no value yet; all such cells are equal
_PLAIN = (Variable, np.ndarray, np.generic, np.ufunc, int, float, complex, str, bytes, type(None), ModuleType, CodeType)
_PARTS: tuple[tuple[Any, Callable[[Any], Iterable[Any]]], ...] = (
    (FunctionType, _used),
    ((MethodType, BuiltinMethodType, MethodWrapperType), lambda x: (x.__self__, getattr(x, "__func__", None))),
    (partial, lambda x: (x.func, x.args, x.keywords)),
    ((dict, MappingProxyType), lambda x: () if len(x) > MANY else x.values()),
    ((list, tuple, set, frozenset, deque), lambda x: () if len(x) > MANY else x),
    ((staticmethod, classmethod), lambda x: (x.__func__,)),
    (property, lambda x: (x.fget,)),
    (ContextVar, _current),
    (GeneratorType, _resumed),
)
