"""Each framework in a process of its own, all alive at once, taking turns.

So no library changes another one's allocator, threads or import state, and when the machine slows down for a
while it does so for all: what is compared is always the turns of one round.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

# Relative Euclidean distance allowed between two frameworks' answers: rounding in another order, no more.
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
# OpenBLAS keeps its idle threads spinning for some milliseconds; the next turn begins when they sleep.
PAUSE = 0.05
CPU_TIME = "BENCHMARKS_CPU_TIME"


def now() -> float:
    """Seconds by the wall clock, or of CPU time if the environment asks for it."""
    return time.process_time() if CPU_TIME in os.environ else time.perf_counter()


class DisagreementError(RuntimeError):
    """Two frameworks do not compute the same thing, so their times must not be compared."""


class UnavailableError(RuntimeError):
    """A framework cannot take part on this machine; the message says why."""


class Worker:
    """A process that makes a subject, `make(*arguments)`, and calls its methods on request."""

    def __init__(self, environment: Mapping[str, str], make: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        with _environment(environment):  # in force before the child imports NumPy
            self.process.start()
        theirs.close()
        self._receive()

    def call(self, method: str) -> Any:
        self.connection.send(method)
        return self._receive()

    def _receive(self) -> Any:
        try:
            succeeded, result = self.connection.recv()
        except EOFError:
            self.process.join()
            raise RuntimeError(f"a worker died, exit code {self.process.exitcode}") from None
        if isinstance(result, UnavailableError):
            raise result
        if not succeeded:
            raise RuntimeError(f"in a worker:\n{result}")
        return result

    def close(self) -> None:
        self.connection.close()  # `recv` in the worker raises EOFError and it ends
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()


def _serve(connection: Any, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        subject = make(*arguments)
        connection.send((True, None))
        while True:
            method = connection.recv()
            gc.collect()
            connection.send((True, getattr(subject, method)()))
    except (EOFError, KeyboardInterrupt):
        pass
    except UnavailableError as error:
        connection.send((False, error))
    except Exception:
        connection.send((False, traceback.format_exc()))


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def take_turns(workers: Mapping[str, Any], rounds: int, pause: float = PAUSE) -> dict[str, list[dict[str, float]]]:
    """Measure A B C A B C ... and return each worker's measurements, round by round."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            time.sleep(pause)
            measured[name].append(worker.call("measure"))
    return measured


def check_agreement(answers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Compare every framework's answers with the first one's: same dtype, same shape, same numbers."""
    (first, reference), *others = answers.items()
    for name, arrays in others:
        if set(arrays) != set(reference):
            raise DisagreementError(f"{name} and {first} answer different questions: {set(arrays) ^ set(reference)}")
        for what, expected in reference.items():
            array = arrays[what]
            if array.dtype != expected.dtype or array.shape != expected.shape:
                found, wanted = f"{array.dtype} {array.shape}", f"{expected.dtype} {expected.shape}"
                raise DisagreementError(f"{what}: {name} has {found}, {first} has {wanted}")
            distance = float(np.linalg.norm(array - expected))
            allowed = TOLERANCE[array.dtype.name] * float(np.linalg.norm(expected))
            if not distance <= allowed:  # so that NaN is refused too
                raise DisagreementError(f"{what}: {name} and {first} are {distance:.2g} apart, {allowed:.2g} allowed")


def run(
    make: Callable[..., Any],
    frameworks: list[str],
    arguments: tuple[Any, ...],
    rounds: int,
    env: Mapping[str, str],
) -> tuple[dict[str, list[dict[str, float]]], dict[str, str]]:
    """Start one worker per framework, check that all agree, then let them take turns.

    Returns the measurements, and for each framework that cannot take part the reason.
    """
    workers: dict[str, Worker] = {}
    answers, absent = {}, {}
    try:
        for framework in frameworks:
            workers[framework] = Worker(env, make, framework, *arguments)
        for framework, worker in workers.items():
            try:
                answers[framework] = worker.call("check")
            except UnavailableError as reason:
                absent[framework] = str(reason)
        if answers:
            check_agreement(answers)
        return take_turns({name: workers[name] for name in answers}, rounds), absent
    finally:
        for worker in workers.values():
            worker.close()
