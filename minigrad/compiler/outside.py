"""Random numbers: what a compiled function draws anew at each call, and what it must not draw."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from ..generators import States, is_generator, reached, shared
from ..messages import defined
from ..modes import recording
from ..primitive import primitive
from .table import compile_as


def _drawn(method: Any, *args: Any, **static: Any) -> Any:
    owner = recording()
    if owner not in (True, False) and is_generator(generator := getattr(method, "__self__", None)):
        owner.generators.add(generator)  # of a checkpoint, which will draw the same again
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

    Seen are generators that are `reached` from the function or from what it is given, and if there are no other threads
    Python's and NumPy's own. What `sample` draws is drawn again.
    """

    def __init__(self, function: Callable[..., Any], given: Iterable[Any]) -> None:
        self.function = function
        self.states = States(reached([function, *given, *(shared() if threading.active_count() == 1 else ())]))

    def __enter__(self) -> None: ...

    def __exit__(self, cls: Any, error: Any, traceback: Any) -> None:
        if error is None and self.states.moved():
            raise TypeError(
                f"compile: {defined(self.function)} draws random numbers, which would be the same in every call, since "
                "it is traced once; write mg.sample(rng.random, shape) instead of rng.random(shape)"
            )
