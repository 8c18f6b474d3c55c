"""The graph of a tape as text for Graphviz and Mermaid, and as a picture."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.inspect import Explanation, Tape

ROOT = Path(__file__).parents[2]


def recurrent(T: int = 6) -> Tape:
    net = nn.RNN(3, 4, rng=0, dtype=float)
    return mg.tape(lambda xs: (net(xs)[0][-1] ** 2).sum(), np.ones((T, 2, 3)))


half = mg.primitive(lambda a, b: (a + b) / 2, lambda g, z, a, b: g / 2, lambda g, z, a, b: g / 2, name="half")


def jumbled(n: int) -> Tape:
    """A tape in which nothing repeats."""
    rng = np.random.default_rng(0)
    values = [mg.tensor(0.5, requires_grad=True)]
    for k in rng.integers(3, size=n):
        values.append((half, mg.minimum, mg.maximum)[k](values[-1], values[rng.integers(len(values))]))
    return mg.tape(values[-1])


def named(name: str) -> Tape:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    return mg.tape(mg.primitive(lambda x: x * 2.0, lambda g, y, x: 2 * g, name=name)(x), names={"x": x})


def arrows(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"e(\d+) (?:->|-->) e(\d+)", text))


@pytest.mark.parametrize("make", [Tape.to_dot, Tape.to_mermaid])
def test_boxes_are_entries_and_arrows_lead_from_their_inputs(make: Any) -> None:
    tape = mg.tape(lambda x: x * mg.tanh(x), 0.5)
    text = make(tape)
    assert arrows(text) == {("0", "1"), ("0", "2"), ("1", "2")}
    for word in ("multiply", "tanh", "x", "0.46212"):
        assert word in text


@pytest.mark.parametrize("make", [Tape.to_dot, Tape.to_mermaid])
def test_what_repeats_is_one_frame_with_dashed_arrows_to_the_next_turn(make: Any) -> None:
    text = make(recurrent())
    assert text.count("tanh") == 1
    assert "x 6, steps 0 ... 5" in text
    assert "getitem 0 ... 5" in text
    assert re.search(r"e7 -> e6 \[style=dashed|e7 -\.-> e6", text)
    assert ("7", "23") in arrows(text)  # the stack of all steps
    assert make(recurrent(), fold=False).count("tanh") == 6


@pytest.mark.parametrize("make", [Explanation.to_dot, Explanation.to_mermaid])
def test_an_explanation_is_drawn_with_the_gradients(make: Any) -> None:
    text = re.sub(r"#(\d+);", lambda m: chr(int(m[1])), make(mg.explain(lambda x: x * mg.tanh(x), 0.5)))
    for name, g in (("multiply", "1"), ("tanh", "0.5"), ("x", "0.85534")):
        assert re.search(rf'"{name}\b[^"]*g = {re.escape(g)}"', text), name
    explanation = Explanation(recurrent())
    text = re.sub(r"#(\d+);", lambda m: chr(int(m[1])), make(explanation))
    first, last = explanation.norms["cells.0"][[0, -1]]
    assert re.search(rf'"tanh \[cells.0.state\][^"]*‖g‖ = {first:.3g} ... {last:.3g}"', text)  # of all turns
    assert f"‖g‖ = {explanation.norms['xs']:.3g}" in text


def test_the_picture_of_chapter_1_is_what_is_drawn_now() -> None:
    picture = (ROOT / "docs/course/x_tanh_x_graph.svg").read_text(encoding="utf-8")
    labels = re.findall(r'label="([^"]*)"', mg.explain(lambda x: x * mg.tanh(x), 0.5).to_dot())
    assert re.findall(r"<text[^>]*>([^<]*)</text>", picture) == [line for text in labels for line in text.split("\\n")]


@pytest.mark.parametrize("n", [10, 400, 2_000, pytest.param(20_000, marks=pytest.mark.campaign)])
def test_mermaid_stays_within_what_it_draws(n: int) -> None:
    text = jumbled(n).to_mermaid()
    assert len(text) <= 50_000
    assert len(re.findall("-->|-.->", text)) <= 500
    assert (" entries" in text) == (n > 10)
    boxes = set(re.findall(r"^ +e(\d+)\[", text, re.MULTILINE))
    assert {end for arrow in arrows(text) for end in arrow} <= boxes


def test_dot_draws_no_more_boxes_than_asked() -> None:
    text = jumbled(2000).to_dot(limit=50)
    assert len(re.findall(r"^ +e\d+ \[", text, re.MULTILINE)) == 51
    assert "... 1,951 entries" in text


HOSTILE = 'a"];evil[label="<b>x</b>\\n\n\x00#quot;`%%{init: 1}%% end'


def test_names_mean_nothing_to_either_language() -> None:
    dot, mermaid = named(HOSTILE).to_dot(), named(HOSTILE).to_mermaid()
    assert r"a\"];evil[label=\"<b>x</b>\\n??#quot;`" in dot
    (line,) = [line for line in mermaid.splitlines() if "evil" in line]
    assert re.fullmatch(r' +e1\["([A-Za-z0-9 .,:()=+*/_-]|#\d+;|<br/>)*"\]:::result', line)


graphviz = pytest.mark.skipif(not shutil.which("dot"), reason="the program dot of Graphviz is not installed")


@graphviz
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_draw_writes_a_picture(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("graphviz", reason="the package graphviz is not installed")
    path = tmp_path / f"graph.{suffix}"
    recurrent().draw(str(path))
    named(HOSTILE).draw(str(tmp_path / f"hostile.{suffix}"))
    assert (b"steps 0 ... 5" if suffix == "svg" else b"PNG") in path.read_bytes()


def test_draw_names_the_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"the package graphviz is missing: pip install graphviz"):
        recurrent().draw(str(tmp_path / "graph.svg"))


def test_draw_names_the_program_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("graphviz", reason="the package graphviz is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="the program dot is missing"):
        recurrent().draw(str(tmp_path / "graph.svg"))
    assert not (tmp_path / "graph.svg").exists()


def test_draw_refuses_what_is_no_format(tmp_path: Path) -> None:
    pytest.importorskip("graphviz", reason="the package graphviz is not installed")
    for name in ("graph", "graph.html5"):
        with pytest.raises(ValueError, match="must end in a format"):
            recurrent().draw(str(tmp_path / name))
