"""Freed memory, where glibc manages it: kept from step to step, and given back when a program is made."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

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

for step in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    record = [np.ones(2**14, np.float32) for _ in range(2**11)]  # 128 MiB
    del record
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_later_steps_use_the_memory_of_the_first() -> None:
    first, *later = run(STEPS)
    assert max(later) < first / 10


def test_what_the_environment_says_of_the_allocator_holds() -> None:
    first, *later = run(STEPS, MALLOC_TRIM_THRESHOLD_=str(2**20))
    assert min(later) > first / 2


TRACE = """
from pathlib import Path
import numpy as np
import minigrad as mg

def held():
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) // 1024

@mg.compile
def f(x, w):
    for _ in range(100):
        x = mg.tanh(x @ w)
    return x.sum()

x, w = np.ones((512, 512)), mg.tensor(np.eye(512), requires_grad=True)
before = held()
f(x, w)
print(f.program.nbytes >> 20, held() - before)
"""


def test_making_a_program_leaves_no_more_memory_taken_than_it_needs() -> None:
    needed, taken = run(TRACE)
    assert needed < 20
    assert taken < 60  # the trace took 400 MiB
