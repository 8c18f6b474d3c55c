"""Random numbers: what a compiled function draws anew at each call, and what it must not draw."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..callers import LIBRARIES
from ..messages import defined
from ..modes import recording
from ..primitive import primitive
from .table import compile_as


def _drawn(method: Any, *args: Any, **static: Any) -> Any:
    owner = recording()
    if owner not in (True, False) and isinstance(generator := getattr(method, "__self__", None), np.random.Generator):
        owner.drawn_from(generator)  # a checkpoint, which will draw the same again
    return method(*args, **static)


#: `sample(generator.standard_normal, shape)`: random numbers, which a compiled function draws anew at each call.
sample = primitive(
    _drawn,
    name="sample",
    doc="""The numbers that `method(*args)` draws, a method of a NumPy generator; compiled, it draws anew in each call.

    >>> mg.sample(np.random.default_rng(0).random, (2,)).shape
    (2,)
    """,
)
compile_as(sample, pure=False)


class Draws:
    """A block in which a function is traced: refuses what it draws by itself, which would be the same in each call.

    Seen are generators that the function, or what it calls, is given, closes over, has as a default, names as a global,
    or finds in an object's attributes or its class, and if there are no other threads Python's and NumPy's own. What
    `sample` draws is drawn again.
    """

    def __init__(self, function: Callable[..., Any], given: Iterable[Any]) -> None:
        self.function = function
        self.states = _generators([function, *given])

    def __enter__(self) -> None: ...

    def __exit__(self, cls: Any, error: Any, traceback: Any) -> None:
        if error is None and any([_comparable(state_of(x)) != before for x, before in self.states]):
            raise TypeError(
                f"compile: {defined(self.function)} draws random numbers, which would be the same in every call, since "
                "it is traced once; write mg.sample(rng.random, shape) instead of rng.random(shape)"
            )


def state_of(x: Any) -> Any:
    """The state of a random generator of NumPy's or Python's, which a draw changes; None of anything else."""
    if "numpy.random" in sys.modules:  # else there are none of NumPy's
        if isinstance(x, np.random.Generator):
            return x.bit_generator.state
        if isinstance(x, np.random.RandomState):
            return x.get_state(legacy=False)
    return x.getstate() if "random" in sys.modules and type(x) is sys.modules["random"].Random else None


def set_state(generator: Any, state: Any) -> None:
    """Have a generator of NumPy's or Python's go on from a state that it had."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _comparable(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _comparable(part) for name, part in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


def _generators(waiting: list[Any]) -> list[tuple[Any, Any]]:
    """The generators that are found, with their states: among the nearest objects, for what is far is a library."""
    if threading.active_count() == 1:  # else another thread may draw from what all share
        if "random" in sys.modules:
            waiting.append(sys.modules["random"]._inst)
        if "numpy.random" in sys.modules:
            waiting.append(np.random.mtrand._rand)
    found = []
    seen: dict[int, Any] = {}  # by id, and kept alive, since the id of what is gone may be another's
    for x in waiting:  # which grows
        if id(x) not in seen and len(seen) < 1000:
            seen[id(x)] = x
            if (state := state_of(x)) is not None:
                found.append((x, _comparable(state)))
            else:
                waiting += _reached(x)
    return found


def _reached(x: Any) -> Iterable[Any]:
    """What a function uses, or what an object, a class of the user's or a short list holds."""
    if isinstance(x, FunctionType):
        own = [cell.cell_contents for cell in x.__closure__ or () if cell != _EMPTY]
        own += [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
        if _is_librarys(x.__globals__.get("__name__")):  # as a transform, which closes over the function
            return own
        return own + [x.__globals__.get(name) for name in _names(x.__code__)]
    if isinstance(x, (MethodType, BuiltinMethodType)):
        return [getattr(x, "__func__", None), x.__self__]
    if isinstance(x, partial):
        return [x.func, *x.args, *x.keywords.values()]
    if isinstance(x, (list, tuple, dict)):
        return () if len(x) > 100 else x.values() if isinstance(x, dict) else x
    if isinstance(x, (staticmethod, classmethod, property)):
        return [x.fget if isinstance(x, property) else x.__func__]
    if isinstance(x, type):
        return () if _is_librarys(x.__module__) else [*vars(x).values(), *x.__bases__]
    return () if isinstance(x, ModuleType) else [type(x), *getattr(x, "__dict__", {}).values()]


def _names(code: CodeType) -> set[str]:
    """The names of globals, or of attributes, that a function reads, or a function within it."""
    return {*code.co_names}.union(*[_names(inner) for inner in code.co_consts if isinstance(inner, CodeType)])


def _is_librarys(module: Any) -> bool:
    return str(module).split(".")[0] in LIBRARIES


_EMPTY = CellType()  # as of a name that has no value yet; all such cells are equal
