"""How every example refuses: one line on standard error, and nothing on standard output."""

from __future__ import annotations

import pytest


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was printed, and that to standard error."""
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


def lacking(package: str) -> str:
    """That line where a package cannot be imported."""
    shown = {"sklearn": "scikit-learn"}.get(package, package)
    line = f"error: this example needs the package {shown}: pip install {shown}"
    return f"{line}, or pip install -e '.[examples]' in a clone"
