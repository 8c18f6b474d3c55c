"""Switches for a block of code: is a record kept (`no_grad`), are non-finite values refused (`detect_anomaly`)?

A switch belongs to its context (thread or task), never to the process. Its blocks form a linked list, newest first,
in a `ContextVar`. A generator shares the context of whoever runs it, so a block opened in a generator must not count
while that generator is suspended; a suspended frame is known by having no caller (`f_back is None`).
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_SUSPENDABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class _Block:
    """One entered `with` block: a switch's value, the block around it, and the generator frame it lives in, if any."""

    __slots__ = ("switch", "value", "outer", "frame", "open")

    def __init__(self, switch: Switch, value: bool, outer: _Block | None, frame: FrameType | None) -> None:
        self.switch, self.value, self.outer, self.frame, self.open = switch, value, outer, frame, True

    def holds(self) -> bool:
        return self.open and (self.frame is None or self.frame.f_back is not None)


#: The newest block of this context; None, the quick case, means that every switch has its default.
innermost: ContextVar[_Block | None] = ContextVar("minigrad.modes", default=None)


class Switch:
    """A boolean with a default, overridden by its innermost block that is running in this context."""

    def __init__(self, default: bool) -> None:
        self.default = default

    def __call__(self) -> bool:
        block = innermost.get()
        while block is not None:
            if block.switch is self and block.holds():
                return block.value
            block = block.outer
        return self.default

    def enter(self, value: bool, frame: FrameType) -> _Block:
        """Open a block for the code that runs in `frame`."""
        suspendable = frame.f_code.co_flags & _SUSPENDABLE
        block = _Block(self, value, innermost.get(), frame if suspendable else None)
        innermost.set(block)
        return block

    def leave(self, block: _Block) -> None:
        """Close a block; interleaved generators may close theirs in any order."""
        block.open, block.frame = False, None
        newest = innermost.get()
        while newest is not None and not newest.open:
            newest = newest.outer
        innermost.set(newest)


recording = Switch(default=True)
anomaly = Switch(default=False)


class Mode:
    """A switch set to a value: a context manager, and a decorator of functions, generators and coroutines."""

    _switch: Switch
    _value: bool

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    def __enter__(self) -> None:
        self._blocks.append(self._switch.enter(self._value, sys._getframe(1)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._switch.leave(self._blocks.pop())

    def __call__(self, function: F) -> F:
        mode = type(self)
        wrapper: Any

        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with mode():
                    return (yield from function(*args, **kwargs))

        elif inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with mode():
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with mode():
                    return function(*args, **kwargs)

        return wrapper  # type: ignore[no-any-return]


class no_grad(Mode):
    """Keep no record in this block, function or generator: results do not require gradients.

    Per context: other threads and tasks, and the callers of a suspended generator, are not affected.
    """

    _switch, _value = recording, False


class enable_grad(Mode):
    """Keep a record again inside a `no_grad` block."""

    _switch, _value = recording, True


class detect_anomaly(Mode):
    """Refuse non-finite values while this block runs, forwards and backwards.

    A NaN, or an infinity made from finite inputs (a mask of -inf passes through), raises `FloatingPointError`, which
    names the primitive, the shapes and the line of the forward call. Every array is scanned: for finding a fault.
    """

    _switch, _value = anomaly, True
