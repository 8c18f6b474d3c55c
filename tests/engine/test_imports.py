"""What is imported: the packages' own modules that are needed, and what takes long only when it is asked for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg
import nn

ROOT = Path(__file__).parents[2]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def run_each(codes: list[str], first: str) -> None:
    """Run each in a process that has imported `first` and what that imports: a copy of one that did so once."""
    copies = """if not (copy := os.fork()):
        exec(code)
        os._exit(0)
    assert os.waitpid(copy, 0)[1] == 0, code"""
    if hasattr(os, "fork"):
        run(f"import os, sys, {first}\nfor code in {codes!r}:\n    {copies}")
    else:
        for code in codes:
            run(code)


def new_modules(code: str) -> set[str]:
    """The modules that code imports, beyond those that NumPy does."""
    loaded = "import sys, numpy; before = set(sys.modules)\n" + code
    return set(run(f"{loaded}\nprint(*(set(sys.modules) - before))").split())


LATER = [
    "minigrad.inspect",
    "minigrad.compiler",
    "minigrad.testing",
    "nn",
    "hypothesis",
    "pathlib",
    "urllib.parse",
    "html",
]


@pytest.mark.parametrize("code", ["import minigrad", "from minigrad import Tensor, grad, tanh; grad(tanh)(0.5)"])
def test_importing_minigrad_leaves_for_later_what_is_not_always_needed(code: str) -> None:
    new = new_modules(code)
    assert "minigrad.ops" in new
    assert not [name for name in LATER if name in new]
    assert ("minigrad.transforms" in new) is ("grad(" in code)


def test_importing_nn_leaves_for_later_what_is_not_always_needed() -> None:
    new = new_modules("import nn; nn.LSTM(2, 3)")
    assert "nn.recurrent" in new
    rooms = "attention conv convert ctc decode distributed padding serialize torch_weights variants"
    later = ["minigrad.inspect", "minigrad.testing", *[f"nn.{name}" for name in rooms.split()]]
    assert not [name for name in [*later, "zipfile", "json", "mpi4py", "safetensors"] if name in new]


def test_a_docstring_is_read_when_somebody_asks_for_it() -> None:
    code = "from minigrad import docstrings\nprint(docstrings.entries.cache_info().currsize)"
    assert (
        run(f"import minigrad as mg; {code}; mg.tanh.__doc__; print(docstrings.entries.cache_info().currsize)")
        == "0\n1\n"
    )


@pytest.mark.parametrize("package", ["minigrad", "nn"])
def test_what_is_imported_later_is_there_in_every_way_of_asking(package: str) -> None:
    names = (
        "compile tape explain grad sample watched inspect compiler"
        if package == "minigrad"
        else "load save from_torch IRNNCell distributed attention ctc_loss"
    )
    first = {"minigrad": "numpy", "nn": "minigrad"}[package]  # which the package imports before all
    ways = [f"from {package} import *; {names.split()[0]}"]
    ways += [f"import sys; assert '{package}' not in sys.modules"]
    for name in names.split():
        ways += [f"import {package}; assert '{name}' in dir({package}); {package}.{name}; {package}.{name}"]
        ways += [f"from {package} import {name}"]
    run_each(ways, first)


@pytest.mark.parametrize("module", [mg, nn])
def test_a_type_checker_sees_all_that_is_imported_later(module: object) -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.asname or alias.name for block in blocks for node in block.body for alias in node.names}  # type: ignore[attr-defined]
    assert seen == set(module._LATER)  # type: ignore[attr-defined]


def test_a_name_that_is_nowhere_is_refused_as_before() -> None:
    with pytest.raises(AttributeError, match="cat"):
        mg.cat  # noqa: B018
    with pytest.raises(AttributeError, match="Parameter"):
        nn.Parameter  # noqa: B018
