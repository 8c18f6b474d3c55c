"""python -m minigrad.testing.mutate: which wrong derivatives does a pytest suite let pass?

The suite runs once as it is. Then each mutant has a forked process of its own, which runs the tests that called the
mutated rule before, those that have found most mutants first, until one fails. Needs pytest, and a system with fork.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

try:
    import pytest
except ImportError:
    print("python -m minigrad.testing.mutate needs pytest: pip install pytest", file=sys.stderr)
    raise SystemExit(2) from None

from ..primitive import Primitive
from .mutation.progress import Progress
from .mutation.run import FailedError, Result, Run

KILLED, SURVIVED, MISUSE, INTERRUPTED = 0, 1, 2, 130


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m minigrad.testing.mutate",
        description="Run a pytest suite against wrong derivative rules, and list those that no test notices.",
        epilog="exit code: 0 all killed, 1 some survived, 2 misuse (or the suite fails unmutated), 130 interrupted",
    )
    p.add_argument(
        "--primitive",
        action="append",
        default=[],
        metavar="NAME",
        help="a primitive of minigrad (`tanh`) or of yours (`module:name`); may be repeated; by default all of ours",
    )
    p.add_argument("--module", action="append", default=[], help="every primitive that this module declares")
    p.add_argument(
        "--cell",
        action="append",
        default=[],
        metavar="CLASS",
        help="a class of recurrent cells, `nn.LSTMCell` or `module:Class`: its weights' and states' paths",
    )
    p.add_argument("--only", default="", metavar="TEXT", help="only mutants with TEXT in their name")
    p.add_argument("--skip", action="append", default=[], metavar="TEXT", help="no mutants with TEXT in their name")
    p.add_argument("--stop", action="store_true", help="stop at the first survivor")
    p.add_argument("--time-limit", type=float, default=30.0, metavar="S", help="seconds for a mutant, beside ten times "
                   "the unmutated time of its tests (default: 30); what hangs counts as killed")  # fmt: skip
    p.add_argument("--jobs", type=int, default=1, metavar="N", help="mutants at a time (default: 1)")
    p.add_argument("--verbose", action="store_true", help="list the killed as well, each with the test that failed")
    p.add_argument("pytest", nargs="*", help="after `--`: what pytest is given: paths, -k, and so on")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    cli = parser()
    options = cli.parse_args(arguments)
    if not hasattr(os, "fork"):
        cli.error("this system has no fork(); run it on Linux or macOS")
    if options.jobs < 1 or not options.time_limit > 0:  # NaN seconds would be over at once, and kill all
        cli.error(f"--jobs and --time-limit must be positive, got {options.jobs} and {options.time_limit}")
    directory = tempfile.mkdtemp(prefix="minigrad-mutate-")
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = os.path.join(directory, "hypothesis")
    log = os.path.join(directory, "pytest.log")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the summary so far, and no traces
    with _output_to(log) as out:
        run = Run(
            directory,
            lambda: targets(options.primitive, options.module, options.cell),
            lambda name: options.only in name and not any(text in name for text in options.skip),
            Progress(out),
            options,
        )
        try:
            code = pytest.main(
                ["--capture=no", "-p", "no:cacheprovider", f"--basetemp={directory}/tmp", *options.pytest],
                plugins=[run],
            )
        except SystemExit as error:  # raised by a test module or a plugin
            code = int(error.code) if isinstance(error.code, int) else MISUSE
    with open(log, errors="replace") as file:
        printed = file.read()
    shutil.rmtree(directory, ignore_errors=True)
    if run.failed is not None:
        print(f"{run.failed}", file=sys.stderr)
        return MISUSE
    if not run.started:
        print(printed, end="", file=sys.stderr)
        print(f"pytest ended with exit code {int(code)} before any test ran", file=sys.stderr)
        return MISUSE
    return summary(run.results, run.interrupted, options.verbose)


@contextlib.contextmanager
def _output_to(path: str) -> Iterator[Any]:
    """File descriptors 1 and 2 lead to a file in the block; yields what still writes to the old 1."""
    sys.stdout.flush()
    sys.stderr.flush()
    old = os.dup(1), os.dup(2)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        with os.fdopen(os.dup(old[0]), "w") as out:
            yield out
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(old[0], 1)
        os.dup2(old[1], 2)
        for descriptor in (*old, log):
            os.close(descriptor)


# --- what is mutated --------------------------------------------------------------------------------------------------


def targets(names: Sequence[str], modules: Sequence[str], cells: Sequence[str]) -> tuple[list[Primitive], list[type]]:
    """The primitives and the classes of cells that the command names; every primitive of minigrad if it names none."""
    # what `compile` returns is recorded by a primitive whose rule can only raise
    ours = _declared(lambda module: module.split(".")[0] == "minigrad" and module != "minigrad.compiler.program")
    found: list[Primitive] = []
    for name in names:
        if ":" in name:
            p = _named(name)
            if not isinstance(p, Primitive) or not p.differentiable:
                raise FailedError(f"--primitive {name}: {p!r} is no primitive with derivative rules")
            found.append(p)
        else:
            chosen = [p for p in ours if p.name == name]
            if not chosen:
                close = difflib.get_close_matches(name, [p.name for p in ours])
                hint = f"did you mean {' or '.join(close)}?" if close else "one of yours is `module:name`"
                raise FailedError(f"--primitive {name}: minigrad has no such primitive with rules; {hint}")
            found += chosen
    for module in modules:
        _module(module)
        declared = _declared(module.__eq__)
        if not declared:
            raise FailedError(f"--module {module}: it has no primitive with derivative rules")
        found += declared
    classes = [_named(name if ":" in name else ":".join(name.rpartition(".")[::2])) for name in cells]
    for name, cls in zip(cells, classes):
        if not isinstance(cls, type) or not (hasattr(cls, "step") or hasattr(cls, "initial_state")):
            raise FailedError(f"--cell {name}: {cls!r} is no class of recurrent cells")
    if not (names or modules or cells):
        found = ours
    return list({id(p): p for p in found}.values()), classes


def _declared(wanted: Callable[[str], bool]) -> list[Primitive]:
    """The primitives with rules in the imported modules that are wanted, by name."""
    found = {
        id(p): p
        for name, module in list(sys.modules.items())
        if wanted(name)
        for p in vars(module).values()
        if isinstance(p, Primitive) and p.differentiable
    }
    return sorted(found.values(), key=lambda p: p.name)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError) as error:
        raise FailedError(f"cannot import {name!r}: {error}") from error


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    found = _module(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise FailedError(f"{name}: {module} has no {attribute!r}")
        found = getattr(found, part)
    return found


# --- what is reported -------------------------------------------------------------------------------------------------


def summary(results: Sequence[Result], interrupted: bool, verbose: bool) -> int:
    """Print what became of the mutants; returns the exit code."""
    survivors = [r for r in results if not r.killed]
    hung = [r for r in results if r.hung]
    if verbose:
        for r in results:
            if r.killed:
                print(f"  killed    {r.name}\n            by {r.by}")
    for r in survivors:
        print(f"  survived  {r.name}\n            {r.reason}")
    for r in hung:
        print(f"  hung      {r.name}")
    if interrupted:
        print("interrupted; so far:")
    timed = f" ({len(hung)} by the time limit)" if hung else ""
    print(f"{len(results)} mutants: {len(results) - len(survivors)} killed{timed}, {len(survivors)} survived")
    if interrupted:
        return INTERRUPTED
    return SURVIVED if survivors else KILLED


if __name__ == "__main__":
    sys.path.insert(0, "")
    sys.exit(main())
