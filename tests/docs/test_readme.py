"""The pages are programs: their Python blocks run, print what they say, and their commands name what is there."""

import functools
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from mutation_suites import python_m
from pages import README, ROOT, Block, agree, blocks, programs, run
from pictures import not_drawn

from minigrad.served import by_function, by_ufunc
from minigrad.testing import check_vjp

GALLERY = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")

TEXT = README.read_text(encoding="utf-8")
PYTHON = [block for block in blocks(README) if block.words == ("python",)]
COMMANDS = [line for block in blocks(README) if block.words == ("sh",) for line in block.body.splitlines()]


@pytest.fixture(autouse=True)
def _numpys_names_stay_with_minigrad() -> Iterator[None]:
    with mock.patch.dict(by_ufunc), mock.patch.dict(by_function):  # which a primitive that is declared here enters
        yield


@functools.cache
def ran(block: Block) -> tuple[str, dict[str, Any]]:
    """What a block prints, and the names that it leaves."""
    scope: dict[str, Any] = {"__name__": "readme"}
    return run(block, scope), scope


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_block_runs_by_itself_and_prints(block: Block) -> None:
    printed, _ = ran(block)
    assert printed.strip()
    assert "Error: " not in printed, printed


def test_what_stands_below_a_block_is_what_it_prints() -> None:
    told = [(block, text) for block, text in programs(README) if text is not None]
    assert told
    for block, text in told:
        assert agree(ran(block)[0], text), f"{block}: {ran(block)[0]}"


def test_the_first_thing_to_run_is_a_derivative_on_the_first_screen() -> None:
    assert PYTHON[0].line < 15
    assert "mg.grad(" in PYTHON[0].body
    slope = float(re.sub(r"tensor\((.*)\)", r"\1", ran(PYTHON[0])[0]))
    assert slope == pytest.approx(np.tanh(0.5) + 0.5 / np.cosh(0.5) ** 2)


@pytest.mark.parametrize("door", ["Learn", "Write a cell", "Test a gradient"])
def test_each_door_has_a_few_lines_that_run_and_a_link(door: str) -> None:
    text = TEXT.partition("## ")[0].partition(f"**{door}**")[2].partition("\n**")[0]
    (body,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for line in body.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 5
    assert re.search(r"→ \[[^\]]+\]\(docs/", text)


def test_the_training_step_learns_something() -> None:
    (block,) = [block for block in PYTHON if "optimizer.step()" in block.body]
    _, scope = ran(block)
    assert scope["loss"].item() < 0.5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_makes_its_environment_and_installs_an_extra_that_exists(command: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"\.\[(\w+)\]", command)
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert asked
    assert set(asked) <= set(extras)


def test_main_job_of_the_first_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = re.search(r"python -m (examples\.\w+)((?: \S+)*)$", COMMANDS[0])
    assert job is not None
    monkeypatch.setattr(pytest.importorskip("matplotlib.figure").Figure, "savefig", not_drawn)
    fewer = ["--steps", "2", "--hidden", "16", "--sample-every", "0"]
    assert import_module(job[1]).main([*job[2].split(), *fewer, "--out", str(tmp_path)]) == 0


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


def test_page_shows_what_the_mutation_of_a_suite_prints(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    for name, body in blocks_of_page(r"python \w+\.py"):
        (tmp_path / name.split()[1]).write_text(body)
    [shown] = re.findall(
        r"^```\n(\$ python -m minigrad.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    command, _, expected = shown.partition("\n")
    assert command.startswith("$ python -m ")
    code, told, errors = python_m(*command.split()[3:], cwd=tmp_path, scratch=scratch)
    seconds = re.compile(r"[0-9.]+ s$", re.MULTILINE)
    assert seconds.sub("", told).split() == seconds.sub("", expected).split(), errors
    assert code == 1


@pytest.mark.parametrize("name", sorted(re.findall(r"\]\(\.\./examples/(\w+)\.py\)", GALLERY)))
def test_what_the_gallery_says_of_options_holds_for_every_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["char_lm", name.removeprefix("char_lm_")] if name.startswith("char_lm_") else [name]
    assert import_module(f"examples.{words[0]}").main([*words[1:], "--help"]) == 0
    told = capsys.readouterr().out
    assert "--quick" in told
    if name in ("char_lm", "image_classification", "sentiment", "translation", "video_classification"):
        assert all(option in told for option in ("--train", "--validation", "--test"))


def test_the_gallery_has_every_example() -> None:
    made = {path.stem for path in (ROOT / "examples").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert made - {"char_lm_model"} <= set(re.findall(r"examples/(\w+)\.py", GALLERY))
