"""A pytest plugin that runs the collected tests once as they are, then a part of them against each mutant."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ...primitive import Primitive
from .cell_mutants import CellIdentities
from .hurry import own_settings, quicken_hypothesis
from .mutants import Mutant, mutants
from .noting import NotedCalls, RuledInput
from .progress import Progress


class FailedError(Exception):
    """The command was misused, or the suite fails without mutants; nothing was mutated."""


@dataclass
class Result:
    """What became of a mutant."""

    name: str
    by: str = ""  # the test that failed
    hung: bool = False
    calls: int = 0
    differed: int = 0
    tests: int = 0

    @property
    def killed(self) -> bool:
        return bool(self.by) or self.hung

    @property
    def reason(self) -> str:
        """Why it may have survived."""
        if not self.tests:
            return "no test calls this rule"
        if not self.differed:
            return f"it gave what the right rule gives at each of {self.calls} calls: equivalent, or inputs too special"
        return f"it was wrong at {self.differed} of {self.calls} calls, and yet {self.tests} tests passed"


@dataclass
class _Child:
    mutant: Mutant
    result: Result
    path: str
    deadline: float
    pid: int = 0


@dataclass
class _Tests:
    """The collected tests, and what each did unmutated."""

    items: list[Any]
    seconds: dict[int, float] = field(default_factory=dict)
    called: dict[int, set[RuledInput]] = field(default_factory=dict)
    kills: Counter[int] = field(default_factory=Counter)
    unhurried: set[int] = field(default_factory=set)  # those that pass with the user's own settings of hypothesis alone

    def of(self, ruled: RuledInput) -> list[int]:
        """The numbers of the tests that called a rule, the most promising first."""
        chosen = [n for n in self.called if ruled in self.called[n]]
        return sorted(chosen, key=lambda n: (-self.kills[n], self.seconds[n]))


class Run:
    """The plugin; `results` has one entry for each mutant that was tried, in their order."""

    def __init__(
        self,
        directory: str,
        targets: Callable[[], tuple[list[Primitive], list[type]]],
        wanted: Callable[[str], bool],
        progress: Progress,
        options: Any,
    ) -> None:
        self.directory, self.targets, self.wanted = directory, targets, wanted
        self.progress, self.options = progress, options
        self.results: list[Result] = []
        self.failed: FailedError | None = None
        self.started = self.interrupted = False
        self.reports: list[Any] = []

    # --- hooks -------------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: Any) -> None:
        if getattr(config.option, "numprocesses", None):  # of pytest-xdist: the forked processes are enough
            config.option.numprocesses, config.option.dist, config.option.tx = None, "no", []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        quicken_hypothesis()  # after conftest.py has chosen a profile, before tests take their settings from it

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.reports.append(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return True  # pytest has said why
        self.started = True
        try:
            self._run(_Tests(session.items))
        except FailedError as error:
            self.failed = error
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self.progress.stop()
        return True

    # --- the run -----------------------------------------------------------------------------------------------------

    def _run(self, tests: _Tests) -> None:
        primitives, classes = self.targets()
        with contextlib.ExitStack() as stack:
            called: set[RuledInput] = set()
            cells = [stack.enter_context(CellIdentities(cls, called)) for cls in classes]
            with NotedCalls(primitives, called) as noted:
                self._run_unmutated(tests, noted)
            every = [m for p in primitives for m in mutants(p)] + [m for c in cells for m in c.mutants()]
            every = [m for m in every if self.wanted(m.name)]
            if not every:
                raise FailedError(
                    "there is no mutant to try: no rule is called by the tests, or --only and --skip leave none"
                )
            if not any((m.primitive, m.k) in inputs for inputs in tests.called.values() for m in every):
                names = ", ".join(dict.fromkeys(f"`{m.primitive.name}`" for m in every))
                raise FailedError(
                    f"no test calls a rule of {names}, so there is nothing to try the {len(every)} mutants on: is this "
                    "the right suite, and do its tests compute gradients (`check_grad`, `backward()`)? Is a `return` "
                    "missing in a function that they check?"
                )
            # fills a table, in 25 ms, which each report of a failure would fill anew
            inspect.getmodule(_last_line.__code__)
            self.progress.start([m.primitive.name for m in every])
            self._run_mutants(tests, every)

    def _run_unmutated(self, tests: _Tests, noted: NotedCalls) -> None:
        self.progress.line(f"unmutated: {len(tests.items)} tests ...")
        begun = time.monotonic()
        failures: dict[str, str] = {}
        particular = 0
        for n, item in enumerate(tests.items):
            nextitem = tests.items[n + 1] if n + 1 < len(tests.items) else None
            noted.called.clear()
            start = time.monotonic()
            failure = self._run_test(item, nextitem)
            if failure and "hypothesis" in sys.modules:
                tests.unhurried.add(n)
                start = time.monotonic()
                failure = self._run_test(item, nextitem, unhurried=True)
            tests.seconds[n], tests.called[n] = time.monotonic() - start, set(noted.called)
            if failure:
                with noted.nothing():
                    failures[item.nodeid] = self._run_test(item, nextitem, "hypothesis" in sys.modules)
                if not failures[item.nodeid]:
                    tests.called[n] = set()  # a mutant would fail it for what it is, and not for what it does
                    particular += not failures.pop(item.nodeid)
        if failures:
            why = [f"{n} fails without any mutant; mend it first: {_last_line(text)}" for n, text in failures.items()]
            raise FailedError("\n".join([next(iter(failures.values())), "", *why]))
        self.progress.line(f"unmutated: all passed, {time.monotonic() - begun:.1f} s")
        if particular:
            self.progress.line(
                f"{particular} of them look at how a rule is written or what is kept, and meet no mutant"
            )

    def _run_test(self, item: Any, nextitem: Any, unhurried: bool = False) -> str:
        """What a failing test says; "" for one that passes or is skipped."""
        self.reports.clear()
        with own_settings() if unhurried else contextlib.nullcontext():
            item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        return next((report.longreprtext or "failed" for report in self.reports if report.failed), "")

    def _run_mutants(self, tests: _Tests, every: list[Mutant]) -> None:
        waiting = list(reversed(every))
        running: list[_Child] = []
        done: dict[int, Result] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.options.jobs:
                    mutant = waiting.pop()
                    chosen = tests.of((mutant.primitive, mutant.k))
                    result = Result(mutant.name, tests=len(chosen))
                    limit = self.options.time_limit + 10 * sum(tests.seconds[n] for n in chosen)
                    path = os.path.join(self.directory, f"{len(waiting)}.json")
                    child = _Child(mutant, result, path, time.monotonic() + limit)
                    if chosen:
                        with _uninterrupted():  # a child that is not in the list would outlive its parent
                            child.pid = self._fork(child, tests, chosen)
                            running.append(child)
                    else:
                        done[id(mutant)] = result
                        self.progress.step(mutant.primitive.name, False)
                time.sleep(0.002)
                for child in list(running):
                    if self._ended(child, tests):
                        running.remove(child)
                        done[id(child.mutant)] = child.result
                        self.progress.step(child.mutant.primitive.name, child.result.killed)
                if self.options.stop and not all(r.killed for r in done.values()):
                    return
        finally:
            for child in running:
                _kill(child.pid)
            self.results = [done[id(m)] for m in every if id(m) in done]

    def _ended(self, child: _Child, tests: _Tests) -> bool:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if not pid:
            if time.monotonic() < child.deadline:
                return False
            _kill(child.pid)
            child.result.hung = True
            return True
        try:
            with open(child.path) as file:
                found = json.load(file)
        except (OSError, ValueError):
            child.result.by = f"the end of its process, status {status}"  # a crash, or os._exit in a test
            return True
        child.result.calls, child.result.differed = found["calls"], found["differed"]
        if found["test"] is not None:
            tests.kills[found["test"]] += 1
            child.result.by = f"{tests.items[found['test']].nodeid}: {found['message']}"
        return True

    def _fork(self, child: _Child, tests: _Tests, chosen: list[int]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of threads, such as BLAS has: none of them holds a lock here
            pid = os.fork()
        if pid:
            return pid
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
            os.setsid()  # so that what a test starts can be ended with it
            found: dict[str, Any] = {"test": None, "message": ""}
            with child.mutant:
                for k, n in enumerate(chosen):
                    nextitem = tests.items[chosen[k + 1]] if k + 1 < len(chosen) else None
                    failure = self._run_test(tests.items[n], nextitem, n in tests.unhurried)
                    if failure:
                        found = {"test": n, "message": _last_line(failure)}
                        break
            found |= {"calls": child.mutant.calls, "differed": child.mutant.differed}
            with open(child.path, "w") as file:
                json.dump(found, file)
        finally:
            os._exit(0)  # nothing of the parent's is to be cleaned up here


INTERRUPTS = {signal.SIGINT, signal.SIGTERM}


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """In the block, Ctrl-C waits."""
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)


def _kill(pid: int) -> None:
    for end in (os.killpg, os.kill):  # it may not have its own group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _last_line(text: str) -> str:
    """The exception's line of pytest's report."""
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return lines[0] if lines else text.strip().splitlines()[-1]
