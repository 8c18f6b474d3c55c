"""Interpretations: blocks in which calls mean something else; the engine asks about nothing but these."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiler.trace import Trace
from minigrad.interpretation import MARKED, Interpretation, interpreted, interpreting

ENGINE = sorted(Path(mg.__file__).parent.glob("*.py"))


class Noting(Interpretation):
    """Computes as ever, and notes what was called."""

    def __init__(self) -> None:
        self.called: list[Any] = []

    def call(self, primitive: Any, inputs: tuple[Any, ...], static: dict[str, Any]) -> Any:
        self.called.append((primitive.name, static))
        with_arrays = [x._array if isinstance(x, mg.Tensor) else x for x in inputs]
        return primitive.function(*with_arrays, **static)


@interpreted
def marked(x: float, more: float = 0.0) -> float:
    return x + more


def test_every_call_of_a_primitive_goes_to_the_interpretation_on_arrays_as_well() -> None:
    noting = Noting()
    with noting:
        mg.tanh(mg.sum(np.ones((2, 3)), axis=0))
    assert noting.called == [("sum", {"axis": 0}), ("tanh", {})]
    assert isinstance(mg.tanh(mg.tensor(1.0, requires_grad=True)), mg.Tensor)
    assert len(noting.called) == 2


def test_a_marked_function_does_what_is_written_but_in_an_interpretation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noting, "instead", {marked: lambda self, x, more=0.0: (self, x, more)}, raising=False)
    noting = Noting()
    with mg.no_grad():
        assert marked(1.0, more=2.0) == 3.0
    with noting, mg.no_grad():
        assert marked(1.0, more=2.0) == (noting, 1.0, 2.0)
    assert marked(1.0) == 1.0


def test_an_interpretation_is_of_its_own_thread() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append((interpreting(), marked(1.0))))
    with Noting() as _:
        thread.start()
        thread.join()
    assert found == [(None, 1.0)]


def test_the_innermost_interpretation_is_asked() -> None:
    outer, inner = Noting(), Noting()
    with outer, inner:
        mg.exp(0.0)
    assert (len(outer.called), len(inner.called)) == (0, 1)


def test_a_trace_has_something_instead_for_each_marked_function_of_the_engine() -> None:
    assert set(Trace.instead) == {f for f in MARKED if f.__module__.startswith("minigrad")}


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.stem)
def test_the_engine_asks_no_question_about_compiling(path: Path) -> None:
    text = path.read_text()
    if path.stem != "__init__":
        assert not re.search(r"import.*compiler|from \.+compiler", text)
    if path.stem not in ("interpretation", "primitive"):  # which hand calls on
        assert "interpreting" not in text
    assert "tracing(" not in text
