"""Random numbers: what a compiled function draws anew at each call, and what it must not draw."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from types import CellType, FunctionType, MethodType, ModuleType
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

    Seen are generators that the function, or what it calls, is given, closes over, names as a global, or finds in an
    object's attributes, and if there are no other threads Python's and NumPy's own. What `sample` draws is drawn again.
    """

    def __init__(self, function: Callable[..., Any], given: Iterable[Any]) -> None:
        self.function = function
        self.states = [(state, state()) for state in _states([function, *given])]

    def __enter__(self) -> None: ...

    def __exit__(self, cls: Any, error: Any, traceback: Any) -> None:
        if error is None and any([state() != before for state, before in self.states]):
            raise TypeError(
                f"compile: {defined(self.function)} draws random numbers, which would be the same in every call, since "
                "it is traced once; write mg.sample(rng.random, shape) instead of rng.random(shape)"
            )


def _states(waiting: list[Any]) -> list[Callable[[], Any]]:
    """What gives the state of each generator that is found, which is changed by a draw."""
    found: list[Callable[[], Any]] = []
    alone = threading.active_count() == 1  # else another thread may draw from what all share
    if "random" in sys.modules and alone:
        found.append(sys.modules["random"].getstate)
    if "numpy.random" not in sys.modules:
        return found  # then there are none of NumPy's
    if alone:
        found.append(lambda: _comparable(np.random.get_state(legacy=False)))
    seen: set[int] = set()
    while waiting:
        x = waiting.pop()
        if id(x) not in seen:
            seen.add(id(x))
            if isinstance(x, np.random.Generator):
                found.append(lambda bits=x.bit_generator: _comparable(bits.state))  # type: ignore[misc]
            else:
                waiting += _reached(x)
    return found


def _comparable(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _comparable(part) for name, part in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


def _reached(x: Any) -> list[Any]:
    """What a function uses, or what an object or a short list holds."""
    if isinstance(x, MethodType):
        return [x.__func__, x.__self__]
    if isinstance(x, FunctionType):
        cells = [cell.cell_contents for cell in x.__closure__ or () if cell != _EMPTY]
        names = x.__globals__
        if str(names.get("__name__")).split(".")[0] in LIBRARIES:  # as a transform, which closes over the function
            return cells
        return cells + [names[name] for name in x.__code__.co_names if name in names]
    if isinstance(x, (list, tuple, dict)):
        parts = list(x.values()) if isinstance(x, dict) else list(x)
        return parts if len(parts) <= 100 else []
    return [] if isinstance(x, (type, ModuleType)) else list(getattr(x, "__dict__", {}).values())


_EMPTY = CellType()  # as of a name that has no value yet; all such cells are equal
