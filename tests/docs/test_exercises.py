"""The course's exercises: the solutions pass their tests; what is handed out fails them, and says where to begin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mutation_suites import python_m

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "exercises"
NAMES = sorted(path.stem.removeprefix("test_") for path in FOLDER.glob("test_*.py"))


def run(scratch: Path, *options: str) -> tuple[int, str, str]:
    """Exit code, output and errors of pytest."""
    return python_m("pytest", "-q", "-p", "no:cacheprovider", "docs/exercises", *options, cwd=ROOT, scratch=scratch)


@pytest.fixture(scope="module")
def unsolved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints about the exercises as they are handed out."""
    return run(tmp_path_factory.mktemp("unsolved"), "-rA", "--tb=line")[1]


def test_every_solution_passes_its_test(tmp_path: Path) -> None:
    code, told, _ = run(tmp_path, "--solutions")
    assert code == 0, told


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
