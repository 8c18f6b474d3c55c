"""The tools that are installed here are run again: the same results as ours from weights that they drew now."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from interop.cases import read
from interop.ours import differences

SCRIPTS = Path(__file__).parents[1] / "support" / "interop"
NEEDED = {
    "jax": ("jax", "flax", "equinox", "haiku"),
    "tinygrad": ("tinygrad",),
    "torch": ("torch",),
    "keras": ("keras", "torch", "h5py"),
    "paddle": ("paddle",),
    "chainer": ("chainer",),
    "mxnet": ("mxnet",),
}


@pytest.mark.parametrize("tool", NEEDED)
def test_an_installed_tool_computes_what_we_do(tool: str, tmp_path: Path) -> None:
    missing = [name for name in NEEDED[tool] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}; what it computed is recorded")
    path = tmp_path / "cases.npz"
    command = [sys.executable, "-W", "ignore", SCRIPTS / f"with_{tool}.py", path]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(SCRIPTS)})
    assert done.returncode == 0, done.stderr[-2000:]
    for case, arrays in read(path)[1].items():
        results, gradients = differences(case, arrays)
        assert results < 3e-6, case
        assert gradients < 3e-5, case
