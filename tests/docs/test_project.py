"""What outsiders look for in a project: one version everywhere, and the Pythons that are tested are those named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import minigrad

ROOT = Path(__file__).parents[2]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_citation_and_changelog_name_the_version_of_the_package() -> None:
    assert f"\nversion: {minigrad.__version__}\n" in text("CITATION.cff")
    assert f"\n## [{minigrad.__version__}]" in text("CHANGELOG.md")


def test_the_pythons_that_are_named_are_those_that_the_workflow_tests() -> None:
    named = re.findall(r"Python :: (3\.\d+)", text("pyproject.toml"))
    tested = re.findall(r'"(3\.\d+)"', text(".github/workflows/tests.yml"))
    assert named == sorted(set(tested), key=lambda v: int(v[2:]))


def test_the_oldest_numpy_that_is_tested_is_the_oldest_that_is_allowed() -> None:
    (needed,) = tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]
    assert text(".ci/oldest.txt").strip() == needed.replace(">=", "==") + ".*"


def test_no_message_offers_the_name_that_is_another_projects_on_the_index() -> None:
    files = [path for room in ("minigrad", "nn", "examples", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    found = [path for path in files if re.search(r"pip install ['\"]?(minigrad|nn)\b", path.read_text("utf-8"))]
    assert not found
