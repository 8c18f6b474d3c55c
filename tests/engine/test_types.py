"""A type checker knows a Tensor from an array: what it takes results for is what they are."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

ROOT = Path(__file__).parents[2]
FILE = "tests/support/typed_results.py"
no_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed, which the extra dev brings")


def checked(*what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mypy", "--strict", *what], cwd=ROOT, capture_output=True, text=True)


@no_mypy
def test_results_are_to_a_type_checker_what_they_are() -> None:
    done = checked(FILE)
    assert done.returncode == 0, done.stdout


def test_results_are_what_a_type_checker_takes_them_for() -> None:
    import typed_results

    assert all(isinstance(x, mg.Tensor) for x in typed_results.TENSORS)
    assert all(isinstance(x, np.ndarray) for x in typed_results.ARRAYS)


@no_mypy
def test_what_a_tensor_has_not_is_an_error_to_a_type_checker(tmp_path: Path) -> None:
    wrong = (
        "import minigrad as mg\nt = mg.tensor(1.0)\nmg.tanh(t).permute(0)\n(t + 1).cuda()\nmg.tanh(1.0).backward()\n"
    )
    (tmp_path / "wrong.py").write_text(wrong)
    done = checked(str(tmp_path / "wrong.py"))
    assert done.stdout.count("[attr-defined]") == 3, done.stdout
