"""Freed memory, where glibc manages it: left alone, or if asked for kept from step to step, but not that of traces."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import memory

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc's allocator is not used here"
)


def run(code: str, **environment: str) -> list[int]:
    """The numbers that `code` prints, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


STEPS = """
import resource
import numpy as np
import minigrad
{asked}
for step in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    record = [np.ones(2**14, np.float32) for _ in range(2**9)]  # 32 MiB
    del record
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
ASKED = "print(int(minigrad.keep_freed_memory()))"


def test_importing_minigrad_leaves_the_allocator_alone() -> None:
    first, *later = run(STEPS.format(asked=""))
    assert min(later) > first / 4


def test_large_arrays_go_back_to_the_system_after_importing_minigrad_and_nn() -> None:
    code = """
from pathlib import Path
import numpy as np
import minigrad, nn
pages = lambda: int(Path("/proc/self/statm").read_text().split()[1])
before = pages()
arrays = [np.ones(2**17) for _ in range(200)]  # 1 MiB each
held = pages()
del arrays
print(held - before, pages() - before)
"""
    held, left = run(code)
    assert left < held / 10


def test_later_steps_use_the_memory_of_the_first_if_that_is_asked_for() -> None:
    asked, first, *later = run(STEPS.format(asked=ASKED))
    assert asked
    assert max(later) < first / 10


def test_what_the_environment_says_of_the_allocator_holds() -> None:
    asked, first, *later = run(STEPS.format(asked=ASKED), MALLOC_TRIM_THRESHOLD_=str(2**20))
    assert not asked
    assert min(later) > first / 4


def calls_of_glibc(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(memory, "_asked", False)
    monkeypatch.setattr(memory, "_glibc", lambda name: lambda *arguments: calls.append(name) or 1)
    return calls


def test_making_a_small_program_calls_the_allocator_only_if_it_was_asked_to_keep_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = calls_of_glibc(monkeypatch)
    mg.compile(mg.tanh)(1.0)
    assert calls == []
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    assert mg.keep_freed_memory()
    mg.compile(mg.tanh)(1.0)
    assert calls == ["mallopt", "mallopt", "malloc_trim"]


def test_what_a_trace_left_goes_back_before_a_large_program_takes_its_memory_for_the_first_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = calls_of_glibc(monkeypatch)
    f = mg.compile(lambda x: mg.tanh(x).sum())
    f(np.ones((100, 2**15), np.float32))
    assert f.program.nbytes > 2**23
    assert calls == []
    f(np.ones((300, 2**15), np.float32))
    assert calls == ["malloc_trim"]
    f(np.ones((200, 2**15), np.float32))  # works in the memory of the one before
    assert calls == ["malloc_trim"]


def test_where_the_allocator_refuses_nothing_is_said_to_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_asked", False)
    monkeypatch.setattr(memory, "_glibc", lambda name: lambda *arguments: 0)
    assert not mg.keep_freed_memory()


TRACE = """
from pathlib import Path
import numpy as np
import minigrad as mg
{asked}
def held(key="VmRSS"):
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))
    return int(line.split()[1]) // 1024

@mg.compile
def f(x, w):
    for _ in range(100):
        x = mg.tanh(x @ w)
    return x.sum()

x, w = np.ones((2**14, 16)), mg.tensor(np.eye(16), requires_grad=True)  # 2 MiB, and products that cost nothing
before = held()
f(x, w)
print(f.program.nbytes >> 20, held() - before, held("VmHWM") - before)
"""


@pytest.mark.parametrize("asked", ["", "mg.keep_freed_memory()"])
def test_making_a_program_takes_little_more_memory_than_it_needs(asked: str) -> None:
    needed, taken, most = run(TRACE.format(asked=asked))
    assert needed < 20
    assert taken < 60
    assert most < 100  # to keep what was computed would take 400 MiB
