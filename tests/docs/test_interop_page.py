"""The page of other tools' cells says what the table has, and figures that hold here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "interop.md").read_text(encoding="utf-8")
FIGURES = re.compile(r"\| (\d\.\de[-+]\d\d) \| (\d\.\de[-+]\d\d) \|$", re.M)


def test_the_page_is_what_its_command_writes_now_but_for_the_last_digits_of_processors() -> None:
    command = [sys.executable, "-m", "docs.make_interop"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert FIGURES.sub("|", made) == FIGURES.sub("|", PAGE), "run python -m docs.make_interop --write"
    for here, there in zip(FIGURES.findall(made), FIGURES.findall(PAGE), strict=True):
        assert all(float(a) < 10 * float(b) + 1e-6 for a, b in zip(here, there, strict=True)), (here, there)


def test_the_pages_first_lines_run(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)[0]
    exec(compile(code, "docs/interop.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "GRUCell(2, 3, reset='after', z='old')  # 57 parameters",
        "{'kernel': (2, 9), 'recurrent_kernel': (3, 9), 'bias': (2, 9)}",
    ]


def test_the_pages_commands_name_cells_and_options_that_exist() -> None:
    from nn.convert.__main__ import _parser

    (commands,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    for line in commands.splitlines():
        words = line.split()
        assert words[:3] == ["python", "-m", "nn.convert"]
        options = _parser().parse_args(words[3:])
        assert all(f"`{name}`" in PAGE or name.startswith("nn.") for name in (options.source, options.target) if name)


def test_the_page_shows_what_same_prints(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)[1]
    exec(compile(code, "docs/interop.md", "exec"), {})
    (shown,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S)
    digits = lambda text: re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2g}", text)
    assert digits(capsys.readouterr().out) == digits(shown)
