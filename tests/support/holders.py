"""Functions that return an array which nobody else holds, however they come by it, and arrays that somebody keeps."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

MADE: list[int] = []


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def made(x: Any) -> Any:
    """A new array, whose address is noted: to keep the array itself would be to hold it."""
    y = x * 2.0
    MADE.append(address(y))
    return y


# --- new: nobody but who is given it holds it ------------------------------------------------------------------------


def of_a_variable(x: Any) -> Any:
    y = made(x)
    return y


def of_a_try(x: Any) -> Any:
    try:
        y = made(x)
    except ValueError:
        raise
    finally:
        pass
    return y


def of_a_branch(x: Any) -> Any:
    if x is not None:
        y = made(x)
    return y


def of_a_with(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return made(x)


def of_a_loop(x: Any) -> Any:
    for _ in range(3):
        y = made(x)
    return y


def of_a_comprehension(x: Any) -> Any:
    return [part for part in [made(x)] if part is not None][0]  # noqa: RUF015


def of_a_generator(x: Any) -> Any:
    return next(made(x) for _ in range(2))


def of_a_generator_that_waits(x: Any) -> Any:
    def parts() -> Iterator[Any]:
        yield made(x)
        yield None

    waits = parts()
    KEEP.append(waits)
    return next(waits)


def of_a_closure(x: Any) -> Any:
    y = made(x)

    def inner() -> Any:
        return y

    return inner()


def of_two_names(x: Any) -> Any:
    y = z = made(x)
    assert y is z
    return z


def of_a_walrus(x: Any) -> Any:
    return y if (y := made(x)) is not None else None


def of_an_argument(x: Any) -> Any:
    return (lambda y: y)(made(x))


def of_many_arguments(x: Any) -> Any:
    return (lambda *ys, **named: ys[0])(made(x), named=x)


def of_a_match(x: Any) -> Any:
    match [made(x)]:
        case [y]:
            return y


def of_a_caught_error(x: Any) -> Any:
    try:
        raise KeyError(made(x))
    except KeyError as error:
        return error.args[0]


def written_into(x: Any) -> Any:
    y = np.empty(2)
    MADE.append(address(y))
    return np.multiply(x, 2.0, out=y)


def view_of_a_variable(x: Any) -> Any:
    y = made(x)
    return y[::1]


class Called:
    def __call__(self, x: Any) -> Any:
        return made(x)

    def method(self, x: Any) -> Any:
        return made(x)


NEW: list[Callable[[Any], Any]] = [
    made, of_a_variable, of_a_try, of_a_branch, of_a_with, of_a_loop, of_a_comprehension, of_a_generator,
    of_a_generator_that_waits, of_a_closure, of_two_names, of_a_walrus, of_an_argument, of_many_arguments, of_a_match,
    of_a_caught_error, written_into, view_of_a_variable, Called(), Called().method, functools.partial(made),
    lambda x: made(x), lambda x: made(x).reshape(1, 2)[0],
]  # fmt: skip


# --- kept: somebody else holds it, and can write into it -------------------------------------------------------------

KEEP: list[Any] = []


def holder(make: Callable[[], Any]) -> Callable[[Any], Any]:
    """A function that returns one array again and again, which it writes into; `make` keeps it and hands it out."""

    def again(x: Any) -> Any:
        array = make()
        array[...] = x * 2.0
        return array

    return again


def kept_by_a_name() -> Callable[[], Any]:
    array = np.zeros(2)
    return lambda: array


def kept_by_a_default(array: Any = np.zeros(2)) -> Callable[[], Any]:  # noqa: B008
    return lambda array=array: array


def kept_by_a_list() -> Callable[[], Any]:
    arrays = [np.zeros(2)]
    return lambda: arrays[0]


def kept_by_an_attribute() -> Callable[[], Any]:
    return functools.partial(getattr, type("Layer", (), {"buffer": np.zeros(2)})(), "buffer")


def kept_by_a_cache() -> Callable[[], Any]:
    return functools.cache(lambda: np.zeros(2))


def kept_by_a_generator() -> Callable[[], Any]:
    def same() -> Iterator[Any]:
        array = np.zeros(2)
        while True:
            yield array

    return same().__next__


def kept_by_an_iterator() -> Callable[[], Any]:
    def same() -> Iterator[Any]:
        for array in [np.zeros(2)]:
            while True:
                yield array

    return same().__next__


def kept_by_a_frame() -> Callable[[], Any]:
    def first() -> Any:
        buffer = np.zeros(2)
        assert buffer is not None
        return sys._getframe()

    frame = first()
    return lambda: frame.f_locals["buffer"]


def kept_by_an_error() -> Callable[[], Any]:
    error = KeyError(np.zeros(2))
    return lambda: error.args[0]


def kept_as_a_view() -> Callable[[], Any]:
    view = np.zeros(4)[1:3]
    return lambda: view


def kept_as_a_part_of_a_view() -> Callable[[], Any]:
    view = np.zeros((2, 1)).T
    return lambda: view[0]


def kept_under_its_view() -> Callable[[], Any]:
    array = np.zeros(2)
    return lambda: array[::-1]


def kept_as_a_buffer() -> Callable[[], Any]:
    buffer = memoryview(np.zeros(2))
    return lambda: np.asarray(buffer)


def kept_as_memory() -> Callable[[], Any]:
    memory = (ctypes.c_double * 2)()
    return lambda: np.frombuffer(memory)


KEPT = [
    kept_by_a_name, kept_by_a_default, kept_by_a_list, kept_by_an_attribute, kept_by_a_cache, kept_by_a_generator,
    kept_by_an_iterator, kept_by_a_frame, kept_by_an_error, kept_as_a_view, kept_as_a_part_of_a_view,
    kept_under_its_view, kept_as_a_buffer, kept_as_memory,
]  # fmt: skip
