"""Interpretations: blocks in which what is called is not done, but means something else, as while `compile` traces.

The engine is written for a plain run and asks nothing else: a call of a primitive goes to the interpretation whose
block it is in, and so does one of the few functions here and there that are marked `@interpreted`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from .modes import Mode, Switch, innermost

F = TypeVar("F", bound=Callable[..., Any])

interpreting = Switch(default=None)  # or the `Interpretation` of the block that is running


class Interpretation(Mode):
    """A block in which a call of a primitive is `call(primitive, inputs, static)`, whatever its inputs are.

    `instead` says what a call of each function that is marked `@interpreted` is: `instead[function](self, *args)`.
    """

    switch = interpreting
    instead: ClassVar[dict[Callable[..., Any], Callable[..., Any]]]

    @property
    def value(self) -> Interpretation:
        return self

    def call(self, primitive: Any, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """What a call of a primitive means."""
        raise NotImplementedError


#: All functions that are marked: an `Interpretation` has something `instead` for each.
MARKED: list[Callable[..., Any]] = []


def interpreted(function: F) -> F:
    """Mark a function that an `Interpretation` carries out in its own way; in a plain run it does what is written.

    Calls of primitives need no mark: it is for what else is done with tensors, as a look at their values.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if innermost.get() is None or (block := interpreting()) is None:
            return function(*args, **kwargs)
        return block.instead[wrapper](block, *args, **kwargs)

    MARKED.append(wrapper)
    return wrapper  # type: ignore[return-value]


@interpreted
def watched(owner: Any, name: str | None = None) -> Any:
    """`owner.name`, a Python value that a function depends on: if it changes, a compiled function is traced again.

    For values such as a rate, which a compiled function otherwise takes as it was when it was traced. (Of a module's
    `training` this is seen to.)
    Without a name, `owner` itself: a list or an array of numbers that Python reads, as `int(n)` does.

    >>> class Scale:
    ...     factor = 2.0
    >>> own = Scale()
    >>> f = mg.compile(lambda x: x * mg.watched(own, "factor"))
    >>> y = f(np.float64(1.0))
    >>> own.factor = 3.0
    >>> y, f(np.float64(1.0))
    (array(2.), array(3.))
    """
    return owner if name is None else getattr(owner, name)
