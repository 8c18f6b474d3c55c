"""Switches for a block of code: is a record kept (`no_grad`), are non-finite values refused (`detect_anomaly`), and
do compiled functions run as they are written (`no_compile`)?

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
    """One entered `with` block: the mode that it is in, the block around it, and its generator's frame, if any."""

    __slots__ = ("mode", "switch", "value", "outer", "frame", "open")

    def __init__(self, mode: Mode, outer: _Block | None, frame: FrameType | None) -> None:
        self.mode, self.outer, self.frame, self.open = mode, outer, frame, True
        self.switch, self.value = mode.switch, mode.value  # which a call of a primitive asks for


#: The newest block of this context; None, the quick case, means that every switch has its default.
innermost: ContextVar[_Block | None] = ContextVar("minigrad.modes", default=None)


class Switch:
    """A value with a default, overridden by its innermost block that is running in this context."""

    def __init__(self, default: Any) -> None:
        self.default = default

    def __call__(self) -> Any:
        block = innermost.get()
        while block is not None:
            if block.switch is self and block.open and (block.frame is None or block.frame.f_back is not None):
                return block.value
            block = block.outer
        return self.default


recording = Switch(default=True)
anomaly = Switch(default=False)
as_written = Switch(default=False)


def _suspendable(frame: FrameType | None) -> FrameType | None:
    """The generator or coroutine frame that a block opened by `frame` belongs to, or None.

    A generator that serves as a context manager is run, and left suspended, by contextlib for the sake of a `with`
    statement further out: the block belongs there.
    """
    while frame is not None:
        generator = bool(frame.f_code.co_flags & _SUSPENDABLE)
        back = frame.f_back
        served = back is not None and back.f_globals.get("__name__") == "contextlib"
        if frame.f_globals.get("__name__") != "contextlib" and not (generator and served):
            return frame if generator else None
        frame = back
    return None


class Mode:
    """A switch set to a value: a context manager, and a decorator of functions, generators and coroutines."""

    switch: Switch
    value: Any

    def __init__(self, *given: Any) -> None:
        if given:
            name = type(self).__name__
            raise TypeError(f"{name}: takes no arguments, got {given[0]!r}; as a decorator it is @mg.{name}()")

    def __enter__(self) -> None:
        innermost.set(_Block(self, innermost.get(), _suspendable(sys._getframe(1))))

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # blocks of interleaved generators may close in any order, so this one need not be the newest
        frame, newest = _suspendable(sys._getframe(1)), innermost.get()
        block = newest
        while block is not None and not (block.open and block.mode is self and block.frame is frame):
            block = block.outer
        if block is not None:
            block.open, block.frame = False, None
        while newest is not None and not newest.open:
            newest = newest.outer
        innermost.set(newest)

    def __call__(self, function: F) -> F:
        mode = type(self)
        wrapper: Any
        # the body of the one runs after the call, in turns that nobody hands on; a call of the other runs no method
        methods = isinstance(function, type) and any(map(inspect.isfunction, vars(function).values()))
        if methods or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{mode.__name__}: decorates functions, generators and coroutines, got {function!r}; write "
                f"`with mg.{mode.__name__}():` inside of it, or decorate its methods"
            )

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

    >>> w = mg.tensor(2.0, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = w * w
    >>> y.requires_grad
    False
    """

    switch, value = recording, False


class enable_grad(Mode):
    """Keep a record again inside a `no_grad` block.

    >>> w = mg.tensor(2.0, requires_grad=True)
    >>> with mg.no_grad(), mg.enable_grad():
    ...     y = w * w
    >>> y.requires_grad
    True
    """

    switch, value = recording, True


class dropped_record(Mode):
    """Keep a record that its `owner` drops and makes anew; who has to tell it something finds it by `recording()`."""

    switch = recording

    def __init__(self, owner: Any) -> None:
        self.value = owner


class detect_anomaly(Mode):
    """Refuse non-finite values while this block runs, forwards and backwards.

    A NaN, or an infinity made from finite inputs (a mask of -inf passes through), raises `FloatingPointError`, which
    names the primitive, the shapes and the line of the forward call. Every array is scanned: for finding a fault.

    >>> with np.errstate(all="ignore"), mg.detect_anomaly():
    ...     y = mg.log(mg.tensor(-1.0, requires_grad=True))
    Traceback (most recent call last):
        ...
    FloatingPointError: log: forward value has 1 non-finite of 1 entries; shapes: () float64 -> () float64; ...
    """

    switch, value = anomaly, True


class no_compile(Mode):
    """Run compiled functions as plain Python in this block: what they read is then what is there now.

    For looking into one with a debugger, or while a module's tensors are exchanged for others, as by
    `nn.functional_call`: a program has kept those that it was traced with.

    >>> f = mg.compile(lambda x: print(x.shape))
    >>> f(mg.tensor([1.0, 2.0]))  # traced, which prints
    (2,)
    >>> f(mg.tensor([3.0, 4.0]))  # replayed
    >>> with mg.no_compile():
    ...     f(mg.tensor([3.0, 4.0]))
    (2,)
    """

    switch, value = as_written, True
