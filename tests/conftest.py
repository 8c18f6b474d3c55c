"""Hypothesis profiles: a small fixed one by default and in CI, a large random one with `--hypothesis-profile=long`.

What is marked `campaign` repeats a claim at many places, each dear: it runs in the long profile alone.
"""

import gc
import inspect
import os
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache, lru_cache
from types import SimpleNamespace

import pytest
from _pytest.runner import runtestprotocol
from browser import driver  # noqa: F401 - for the pages of several rooms
from freezing import freeze
from hypothesis import HealthCheck, Phase, control, core, settings
from hypothesis.internal import entropy, reflection
from hypothesis.internal.conjecture import providers
from profiles import long_profile
from ranks import SharedRanks
from reports import tells_something

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would only wait for each other
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

FIXED = [phase for phase in Phase if phase is not Phase.explain]  # which tries a smallest example a hundred times more

settings.register_profile(
    "fixed", max_examples=8, derandomize=True, deadline=None, suppress_health_check=SLOW, phases=FIXED
)
settings.register_profile("long", max_examples=500, deadline=None, suppress_health_check=SLOW)
settings.load_profile("fixed")

if hasattr(reflection, "_clean_source"):  # each row of a test read and parsed its source twice, for seed and key
    reflection._clean_source = cache(reflection._clean_source)
    kept = {"getsource": lru_cache(maxsize=1)(inspect.getsource)}
    reflection.inspect = SimpleNamespace(**vars(inspect) | kept)
    # No test that Hypothesis draws for uses the generators of the modules `random` and `numpy.random`, whose states
    # took 0.2 ms of each example to put aside and back, and to compare.
    entropy.NP_RANDOM = SimpleNamespace()
    core.deterministic_PRNG = control.deprecate_random_in_strategy = lambda *_, **__: nullcontext()
    # Nor does it draw the numbers that stand in the files of minigrad that are imported by then: they were read by each
    # process, and other examples were drawn as soon as one of them had changed.
    providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # First, and so all by one of xdist's processes, which alone starts ranks and browser; then those that import most.
    dear = {"on_ranks", "driver"}
    most = "tests/examples/", "tests/benchmarks/", "tests/docs/"
    if moving := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"{moving[0]}: its name has an address in it, another one in each process; give ids=")
    items.sort(key=lambda i: (not dear & {*getattr(i, "fixturenames", ())}, not i.nodeid.startswith(most)))
    if long_profile():
        return
    for item in items:
        if item.get_closest_marker("campaign"):
            item.add_marker(pytest.mark.skip(reason="a campaign: with --hypothesis-profile=long"))


def pytest_collection_finish() -> None:
    freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """xdist sends three reports of each test, dearer than most tests are: here only those that tell something."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        if tells_something(report):
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What a file's tests leave in caches, too: a test that collects garbage would wait for all files before it."""
    if nextitem is None or nextitem.path != item.path:
        freeze()


@pytest.fixture(scope="session")
def on_ranks() -> Iterator[SharedRanks]:
    """Runs a program's source on ranks of MPI that stay for the session: `on_ranks(3, program, *arguments)`."""
    ranks = SharedRanks()
    yield ranks
    ranks.stop()
