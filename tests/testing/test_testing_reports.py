"""What a user sees: pytest's report is the message, and a long check writes one line to a terminal."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutation_suites import python_m

import minigrad as mg
from minigrad.testing import GradientError, check_cell, check_grad, check_vjp, progress

SUITE = """
import numpy as np
import minigrad as mg
import nn
from hypothesis import Phase, settings
from minigrad.testing import arrays, check_cell, check_grad, check_jvp, check_primitive, check_vjp, given_grad

broken = mg.primitive(np.sin, lambda g, y, x: 2 * g * mg.cos(x), name="broken")
X = np.array([0.3, 0.7])

class Cell(nn.RNNCell):
    def step(self, x, h):
        h = broken(x + h @ self.W)
        return h, h

def test_grad(): check_grad(broken, X)
def test_vjp(): check_vjp(np.sin, lambda g, x: 2 * g * np.cos(x), X)
def test_jvp(): check_jvp(np.sin, lambda g, x: 2 * g * np.cos(x), X)
def test_primitive(): check_primitive(broken, X)
def test_cell(): check_cell(Cell, order=1)
def test_nothing(): check_grad(lambda x: None, X)
def test_options(): check_grad(broken, X, rtol=np.inf)

@settings(max_examples=1, phases=[Phase.generate], print_blob=False)
@given_grad(x=arrays((1,), low=0.5))
def test_given(x):
    return broken(x)

def test_raises():
    def function_of_mine(x):
        return x / mg.tensor([1.0, 2.0, 3.0])
    check_grad(function_of_mine, X)
"""


def test_pytest_shows_the_users_frames_and_none_of_the_checkers(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    options = "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)
    _, told, _ = python_m("pytest", *options, cwd=tmp_path, scratch=tmp_path)
    assert "9 failed" in told, told
    hidden = [line for line in told.splitlines() if "minigrad/testing/" in line and line[:1] != "E"]
    assert not hidden
    assert "in function_of_mine" in told or "function_of_mine(x)" in told
    assert told.count("to reproduce:") >= 6


# --- progress --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def sine(x: Any) -> Any:
    return np.sin(x)


def shown(monkeypatch: pytest.MonkeyPatch, stream: Any, patience: float, check: Any) -> str:
    monkeypatch.setattr(progress, "PATIENCE", patience)
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    monkeypatch.setattr(sys, "stderr", stream)
    check()
    return str(stream.getvalue())


def test_a_long_check_writes_a_line_on_a_terminal_and_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, Terminal(), 0.0, lambda: check_vjp(sine, lambda g, x: g * np.cos(x), np.ones(3)))
    assert "check_vjp: 0 s, derivative of order 1, 2 of 3 directions" in text
    assert text.endswith("\r\x1b[K")
    assert "\n" not in text
    cell = lambda I, H: lambda x, h: (h, mg.tanh(x + h))
    assert "check_cell: 0 s" in shown(monkeypatch, Terminal(), 0.0, lambda: check_cell(cell, 3, 3))


def test_a_short_check_and_one_without_a_terminal_write_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    check = lambda: check_grad(mg.sin, np.ones(3))
    assert shown(monkeypatch, Terminal(), 5.0, check) == ""
    assert shown(monkeypatch, io.StringIO(), 0.0, check) == ""


def test_a_failure_takes_the_line_away_and_leaves_it_out_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        with pytest.raises(GradientError) as caught:
            check_vjp(sine, lambda g, x: 2 * g * np.cos(x), np.ones(3))
        assert "directions" not in str(caught.value)

    assert shown(monkeypatch, Terminal(), 0.0, check).endswith("\r\x1b[K")


@pytest.mark.parametrize("faster", [1.0, 200.0, 1e10], ids=["slow", "fast", "small"])
@pytest.mark.parametrize("n", [5, 100])
def test_a_report_counts_marks_and_shows_what_is_wrong_and_nothing_else(faster: float, n: int) -> None:
    x = np.random.default_rng(1).uniform(0.2, 1.5, n) * np.where(np.arange(n) % 3 == 1, -1, 1)
    x *= 1e-10 if faster == 1e10 else 20 if faster == 200 else 1

    def wrong_at_negative(g: Any, x: Any) -> Any:
        return g * faster * np.cos(faster * x) * np.where(x < 0, 1.5, 1)

    with pytest.raises(GradientError) as error:
        check_vjp(lambda x: np.sin(faster * x), wrong_at_negative, x)
    told = str(error.value)
    if n == 100:
        tried = np.random.default_rng(0).choice(np.delete(np.arange(n), _entry(told)), 32, replace=False)
        assert f"32 others were tried, {(x[tried] < 0).sum()} of 32 entries are wrong" in told
        return
    assert f"{(x < 0).sum()} of 5 entries are wrong" in told
    rows = [line.split("|") for line in told.splitlines() if re.fullmatch(r" [-+.*0-9e| ]+", line)]
    marked = [["*" in entry for entry in rule.split()] for rule, _ in rows]
    assert marked == np.diag(x < 0).tolist()
    slopes = [[float(entry) for entry in found.split()] for _, found in rows]
    np.testing.assert_allclose(slopes, np.diag(faster * np.cos(faster * x)), rtol=1e-5)


def _entry(told: str) -> int:
    found = re.search(r"at index \((\d+),\)", told)
    assert found is not None
    return int(found[1])
