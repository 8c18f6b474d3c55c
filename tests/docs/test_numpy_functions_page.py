"""The page of NumPy's functions says what the code does now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from docs.make_numpy_functions import GROUPS, found, kind

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_its_command_writes_now() -> None:
    command = [sys.executable, "-m", "docs.make_numpy_functions"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True)
    page = (ROOT / "docs" / "numpy_functions.md").read_text(encoding="utf-8")
    assert made.stdout == page, "run python -m docs.make_numpy_functions --write"


@pytest.mark.parametrize(("name", "expected"), [("sum", "rule"), ("std", "composition"), ("linalg.qr", "rule"),
                                                ("floor", "plain"), ("round", "plain")])  # fmt: skip
def test_the_page_tells_rules_from_compositions_and_plain_results(name: str, expected: str) -> None:
    assert kind(name, found(np, name)) == expected


def test_every_function_with_a_derivative_is_there_under_minigrads_name() -> None:
    aliases = {"fabs", "radians", "degrees", "amax", "amin"}
    names = [name for text in GROUPS.values() for name in text.split() if name not in aliases]
    listed = [name for name in names if found(np, name) is None or kind(name, found(np, name)) != "plain"]
    assert [name for name in listed if found(mg, name) is None] == []
