"""minigrad/compiler/README.md is what the compiler shows of one function now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import minigrad as mg
from docs.make_compiler_readme import ARGUMENTS, FILES, PAGE, loss, shown
from minigrad.compiler.stages import NAMES


def test_the_page_is_what_its_command_writes_now() -> None:
    command = [sys.executable, "-m", "docs.make_compiler_readme"]
    made = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert made.stdout == PAGE.read_text(encoding="utf-8"), "run python -m docs.make_compiler_readme --write"


def test_every_file_of_the_compiler_and_every_pass_is_on_the_page() -> None:
    there = {path.stem for path in Path(PAGE.parent).glob("*.py")} - {"__init__"}
    assert set(FILES) == there
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"### {name}\n" in page and f"| `{name}` |" in page for name in NAMES)


def test_the_function_of_the_page_computes_what_it_computes_plainly() -> None:
    compiled = mg.compile(mg.grad(loss))(*ARGUMENTS)
    np.testing.assert_allclose(mg.as_tensor(compiled).data, mg.as_tensor(mg.grad(loss)(*ARGUMENTS)).data, rtol=1e-12)


def test_a_pass_that_has_nothing_to_do_shows_that() -> None:
    lists = shown(lambda x: mg.tanh(x), np.ones(3))
    assert lists["batches"] == ["the same"]
