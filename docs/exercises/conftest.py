"""Each test asks the file of exercises that has its name: `test_paths.py` asks `paths.py`, which you fill in."""

from __future__ import annotations

import importlib
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--solutions", action="store_true", help="ask the files in solutions/ instead of yours")


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> Any:
    """The module with the reader's answer, or with the solution."""
    name = request.path.stem.removeprefix("test_")
    folder = "docs.exercises.solutions" if request.config.getoption("--solutions") else "docs.exercises"
    return importlib.import_module(f"{folder}.{name}")
