"""The pages are programs: their Python blocks run, print what they say, and their commands name what is there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.testing import check_vjp

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PYTHON = [body for language, body in BLOCKS if language == "python"]
COMMANDS = [line for language, body in BLOCKS if language == "sh" for line in body.splitlines()]


@pytest.mark.parametrize("k", range(len(PYTHON)))
def test_python_block_runs_and_prints(k: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PYTHON[k], f"README block {k}", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.strip()


def test_quickstart_learns_something(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, object] = {"__name__": "readme"}
    exec(PYTHON[0], scope)
    assert float(scope["loss"].item()) < 0.5  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_makes_its_environment_and_installs_an_extra_that_exists(command: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"\.\[(\w+)\]", command)
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert asked
    assert set(asked) <= set(extras)


def test_main_job_of_the_first_command_runs(tmp_path: Path) -> None:
    job = re.search(r"python (-m examples\.\S+)$", COMMANDS[0])
    assert job is not None
    options = ["--steps", "2", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, *job[1].split(), *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PAGE = ROOT / "minigrad" / "testing" / "README.md"


def rounded(text: str) -> str:
    """The words, and the first digits of the numbers: the last ones differ between processors."""
    text = re.sub(r"tolerance [0-9.e+-]+|difference [0-9.e+-]+", "", re.sub(r"called at .*:", "", text))
    return re.sub(r"-?\d+\.\d+(e[+-]\d+)?", lambda m: f"{float(m[0]):.3g}", " ".join(text.split()))


def blocks_of_page(kind: str) -> list[tuple[str, str]]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```({kind})\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_page_of_the_checkers_runs_fails_where_it_says_and_with_the_words_that_it_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scope: dict[str, Any] = {"__name__": "page"}
    for k, (language, body) in enumerate(blocks_of_page("python|text")):
        if language == "python":
            exec(compile(body, f"block {k}", "exec"), scope)
        else:
            with pytest.raises(AssertionError) as failure:
                scope["test_soft_mgu"]()
            assert rounded(str(failure.value)) == rounded(body)
    assert capsys.readouterr().out.count("passed") == 3


@pytest.mark.parametrize("package", ["torch", "autograd"])
def test_page_adapts_another_framework(package: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed, whose adapter this is")
    [(_, body)] = blocks_of_page(f"python {package}")
    exec(body, {"np": np, "check_vjp": check_vjp})


def test_page_shows_what_the_mutation_of_a_suite_prints(tmp_path: Path) -> None:
    for name, body in blocks_of_page(r"python \w+\.py"):
        (tmp_path / name.split()[1]).write_text(body)
    [shown] = re.findall(
        r"^```\n(\$ python -m minigrad.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    command, _, expected = shown.partition("\n")
    options = command.split()[2:]  # without `$ python`
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    run = subprocess.run([sys.executable, *options], cwd=tmp_path, env=environment, capture_output=True, text=True)
    seconds = re.compile(r"[0-9.]+ s$", re.MULTILINE)
    assert seconds.sub("", run.stdout).split() == seconds.sub("", expected).split(), run.stderr
    assert run.returncode == 1


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", TEXT))
def test_linked_file_exists(path: str) -> None:
    assert (ROOT / path).exists()
