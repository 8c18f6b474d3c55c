"""no_grad and enable_grad: for the code inside their block, and for no other."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.modes import anomaly, innermost, recording


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


@pytest.fixture(autouse=True)
def modes_are_restored() -> Iterator[None]:
    yield
    left = recording(), anomaly()
    innermost.set(None)  # so that a mode which leaks fails one test, not all that follow
    assert left == (True, False)


# --- no_grad ---------------------------------------------------------------------------------------------------------


def test_no_grad_keeps_no_record_and_enable_grad_does_again() -> None:
    x = leaf(2.0)
    with mg.no_grad():
        y = x * x
        with mg.enable_grad():
            z = x * x
            with mg.no_grad():
                assert not (x * x).requires_grad
            assert (x * x).requires_grad
        assert not (x * x).requires_grad
    assert (y.requires_grad, y.primitive, y.node) == (False, None, None)
    assert z.requires_grad
    assert (x * x).requires_grad


def test_leaves_made_under_no_grad_still_require_gradients() -> None:
    with mg.no_grad():
        x = leaf(2.0)
    (x * x).backward()
    assert x.grad == 4.0


def test_backward_of_an_earlier_record_works_under_no_grad() -> None:
    x = leaf(2.0)
    y = x * x
    with mg.no_grad():
        y.backward()
    assert x.grad == 4.0


@pytest.mark.parametrize("mode", [mg.no_grad, mg.enable_grad, mg.detect_anomaly])
def test_a_mode_ends_with_its_block_also_when_that_raises(mode: Any) -> None:
    with pytest.raises(KeyError), mode():
        raise KeyError
    with pytest.raises(ValueError, match="inner sizes"), mode():
        leaf(np.ones((2, 3))) @ np.ones((2, 3))


def test_one_no_grad_object_may_be_entered_again_inside_itself() -> None:
    once = mg.no_grad()
    with once:
        with once:
            assert not recording()
        assert not recording()
    assert recording()


def test_a_mode_without_brackets_says_how_to_write_it() -> None:
    with pytest.raises(
        TypeError, match=r"no_grad: takes no arguments, got <function .*; as a decorator .* @mg.no_grad\(\)"
    ):
        mg.no_grad(lambda: None)  # type: ignore[call-arg]


def test_a_mode_refuses_to_decorate_a_class_whose_methods_it_would_not_reach() -> None:
    class Model:
        def loss(self) -> Any:
            return leaf(2.0) * 3.0

    with pytest.raises(TypeError, match=r"no_grad: decorates functions.*Model.*or decorate its methods"):
        mg.no_grad()(Model)


def test_a_mode_refuses_to_decorate_an_asynchronous_generator() -> None:
    async def steps() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"detect_anomaly: decorates functions.* `with mg.detect_anomaly\(\):` inside"):
        mg.detect_anomaly()(steps)


def test_as_a_decorator_no_grad_covers_each_call() -> None:
    @mg.no_grad()
    def f(x: Any, depth: int = 0) -> Any:
        """Doc."""
        return f(x, depth - 1) if depth else (x * x, recording())

    assert (f.__name__, f.__doc__) == ("f", "Doc.")
    for depth in (0, 3):
        y, inside = f(leaf(2.0), depth)
        assert (y.requires_grad, inside) == (False, False)
        assert recording()


# --- generators ------------------------------------------------------------------------------------------------------


def inside_no_grad(n: int = 3) -> Iterator[bool]:
    with mg.no_grad():
        for _ in range(n):
            yield recording()


@mg.no_grad()
def decorated(n: int = 3) -> Iterator[bool]:
    for _ in range(n):
        yield recording()


def through_an_exit_stack(n: int = 3) -> Iterator[bool]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(mg.no_grad())
        for _ in range(n):
            yield recording()


generators = pytest.mark.parametrize("generator", [inside_no_grad, decorated, through_an_exit_stack])


@generators
def test_no_grad_does_not_leak_from_a_suspended_generator(generator: Any) -> None:
    steps = generator()
    for _ in range(3):
        assert next(steps) is False
        assert recording()
        assert (leaf(1.0) * 2).requires_grad
    assert next(steps, None) is None
    assert recording()


@generators
def test_interleaved_generators_do_not_disturb_each_other_or_their_caller(generator: Any) -> None:
    @mg.enable_grad()
    def recorded() -> Iterator[bool]:
        for _ in range(5):
            yield recording()

    first, second, third = generator(2), generator(4), recorded()
    with mg.no_grad():
        assert [next(first), next(third), next(second), next(first)] == [False, True, False, False]
        assert not recording()
        assert next(first, None) is None
        assert not recording()
    assert recording()
    assert [next(second), next(third), next(second)] == [False, True, False]
    assert recording()


@generators
def test_a_generator_that_is_closed_or_forgotten_leaves_nothing_behind(generator: Any) -> None:
    closed, forgotten = generator(), generator()
    next(closed)
    next(forgotten)
    closed.close()
    del forgotten
    gc.collect()
    assert recording()
    with mg.no_grad():
        assert not recording()


def test_a_caller_under_no_grad_covers_the_generator_that_it_runs() -> None:
    def plain() -> Iterator[bool]:
        while True:
            yield recording()

    steps = plain()
    assert next(steps)
    with mg.no_grad():
        assert not next(steps)
    assert next(steps)


@contextlib.contextmanager
def evaluating() -> Iterator[None]:
    with mg.no_grad():
        yield


def through_a_context_manager(n: int = 3) -> Iterator[bool]:
    with evaluating():
        for _ in range(n):
            yield recording()


def test_no_grad_in_a_generator_based_context_manager_covers_its_with_block() -> None:
    with evaluating():
        assert not recording()
        assert not (leaf(1.0) * 2).requires_grad
    assert recording()
    steps = through_a_context_manager(2)
    assert [(next(steps), recording()), (next(steps), recording())] == [(False, True)] * 2


def test_no_grad_in_a_function_called_by_a_generator_ends_with_that_function() -> None:
    @mg.no_grad()
    def value() -> bool:
        return recording()

    def steps() -> Iterator[tuple[bool, bool]]:
        while True:
            yield value(), recording()

    assert next(steps()) == (False, True)


# --- threads and tasks -----------------------------------------------------------------------------------------------


def in_a_thread(f: Any) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(f()))
    thread.start()
    thread.join()
    return results[0]


def test_no_grad_in_one_thread_leaves_another_recording() -> None:
    with mg.no_grad():
        assert in_a_thread(recording) is True
        assert in_a_thread(lambda: (leaf(1.0) * 2).requires_grad) is True
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with mg.no_grad():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait(10)
    assert recording()
    leave.set()
    thread.join()


def test_one_no_grad_object_may_be_shared_by_threads() -> None:
    shared, entered, leave = mg.no_grad(), threading.Event(), threading.Event()
    seen: list[bool] = []

    def other() -> None:
        with shared:
            entered.set()
            leave.wait(10)
            seen.append(recording())
        seen.append(recording())

    thread = threading.Thread(target=other)
    with shared:
        thread.start()
        entered.wait(10)
    seen.append(recording())  # this thread left its block, the other did not
    leave.set()
    thread.join()
    assert seen == [True, False, True]


def test_tasks_do_not_see_each_others_no_grad() -> None:
    async def quiet() -> list[bool]:
        seen = []
        with mg.no_grad():
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(recording())
        return seen

    @mg.no_grad()
    async def decorated_coroutine() -> bool:
        await asyncio.sleep(0)
        return recording()

    async def loud() -> list[bool]:
        seen = []
        for _ in range(4):
            await asyncio.sleep(0)
            seen.append(recording())
        return seen

    async def main() -> Any:
        results = await asyncio.gather(quiet(), loud(), decorated_coroutine())
        return [*results, await decorated_coroutine(), recording()]

    assert asyncio.run(main()) == [[False] * 3, [True] * 4, False, False, True]


def test_a_mode_entered_in_a_copied_context_stays_there() -> None:
    copied = contextvars.copy_context()
    copied.run(lambda: mg.no_grad().__enter__())
    assert copied.run(recording) is False
    assert recording()
