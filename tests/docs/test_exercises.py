"""The course's exercises: the solutions pass their tests; what is handed out fails them, and says where to begin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "exercises"
NAMES = sorted(path.stem.removeprefix("test_") for path in FOLDER.glob("test_*.py"))


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "docs/exercises", *options]
    plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # none of which they need
    return subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, encoding="utf-8")


@pytest.fixture(scope="module")
def unsolved() -> str:
    """What pytest prints about the exercises as they are handed out."""
    return run("-rA", "--tb=line").stdout


def test_every_solution_passes_its_test() -> None:
    done = run("--solutions")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_that_is_not_solved_fails_and_says_what_to_write(unsolved: str, name: str) -> None:
    assert f"FAILED docs/exercises/test_{name}.py" in unsolved
    assert re.search(rf"Chapter \d: .*docs/exercises/{name}\.py", unsolved)
    assert f"PASSED docs/exercises/test_{name}.py" not in unsolved


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_has_a_solution_and_a_chapter_that_ends_with_it(name: str) -> None:
    assert (FOLDER / "solutions" / f"{name}.py").exists()
    ends = [
        path.read_text(encoding="utf-8").rpartition("\n## ")[2] for path in (ROOT / "docs/course").glob("[1-8]*.md")
    ]
    assert [end.startswith("Exercise") for end in ends if f"pytest docs/exercises/test_{name}.py" in end] == [True]
