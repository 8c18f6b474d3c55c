"""The graph of a tape as text for Graphviz and Mermaid, and as a picture; that of an explanation has gradients as well.

What repeats is drawn once, in a frame; an arrow that leads to the next turn is dashed. Where there is still too much,
the middle of the tape is one box.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import words
from .folding import Block, fold

MERMAID_EDGES, MERMAID_CHARACTERS = 500, 50_000  # more it refuses to draw
WORD = 48  # characters of a line in a box


class Edge(NamedTuple):
    """An arrow between two boxes, by their numbers; `later` if it leads from one turn of a block to the next."""

    start: int
    stop: int
    later: bool


class Graph:
    """What is drawn of a tape, or of an explanation: boxes, frames around some of them, and arrows."""

    def __init__(self, of: Any, folded: bool, limit: int) -> None:
        self.tape = tape = getattr(of, "tape", of)
        self.explanation: Any = None if tape is of else of
        self.items = fold(tape) if folded else list(range(len(tape)))
        every = list(self._flat(self.items))
        head, tail = every[: limit // 2], every[-(limit - limit // 2) :]
        self.shown = set(every if len(every) <= limit else [*head, *tail])
        # the box that stands for each entry: its own, that of the first turn, or the one in place of the middle
        self.drawn = list(range(len(tape)))
        self.inside: dict[int, Block] = {}
        self._stand_in(self.items)
        self.middle = next((n for n in every if n not in self.shown), -1)
        self.left_out = [n for n in range(len(tape)) if self.drawn[n] not in self.shown]
        for n in self.left_out:
            self.drawn[n] = self.middle
        self.edges = list(dict.fromkeys(self._arrows(self.items, None)))

    def _flat(self, items: list[Any]) -> Iterator[int]:
        for item in items:
            if isinstance(item, Block):
                yield from self._flat(item.items)
            else:
                yield item

    def _stand_in(self, items: list[Any]) -> None:
        for item in items:
            if isinstance(item, Block):
                self.inside.update(dict.fromkeys(range(item.start, item.start + item.period), item))
                self._stand_in(item.items)
                for n in range(item.start + item.period, item.stop):
                    self.drawn[n] = self.drawn[n - item.period]

    def _arrows(self, items: list[Any], block: Block | None) -> Iterator[Edge]:
        for item in items:
            if isinstance(item, Block):
                yield from self._arrows(item.items, item)
                continue
            inputs = self.tape[item].inputs
            for x in inputs:
                if self.drawn[x] != self.drawn[item]:
                    yield Edge(self.drawn[x], self.drawn[item], False)
            if block is not None:
                for x in self.tape[item + block.period].inputs:
                    if block.start <= x < block.start + block.period and x not in inputs:
                        yield Edge(self.drawn[x], self.drawn[item], True)

    def lines(self, number: int) -> list[str]:
        """The text of a box."""
        if number == self.middle:
            return [f"... {len(self.left_out):,} entries"]
        entry = self.tape[number]
        name = (entry.labels[:1] or ("leaf",))[0] if entry.name == "leaf" else entry.name
        constants = [self._constant(number, k) for k, source in enumerate(entry.node.inputs) if source is None]
        extra = words.few([*constants, *words.static(entry.node)])
        called = f"[{', '.join(entry.labels)}]" if entry.labels and entry.node.primitive is not None else ""
        first = [part for part in (name, ", ".join(extra), called) if part]
        found = [" ".join(first), f"%{number} {words.shape(entry.shape)}"]
        if entry.value is not None and entry.value.size <= words.FEW:
            found.append(words.numbers(entry.value))
        if self.explanation is not None:
            found.append(self._gradient(number))
        return [line if len(line) <= WORD else f"{line[: WORD - 3]}..." for line in found]

    def _constant(self, number: int, k: int) -> str:
        """An argument that is no entry; in a block, that of the first and of the last turn."""
        first = words.constant(self.tape.nodes[number].operands[k])
        block = self.inside.get(number)
        if block is None:
            return first
        last = words.constant(self.tape.nodes[number + (block.turns - 1) * block.period].operands[k])
        return first if first == last or "array" in last else f"{first} ... {last}"

    def _gradient(self, number: int) -> str:
        """The gradient, or its length; in a block, the lengths in the first and in the last turn."""
        block, norms = self.inside.get(number), self.explanation.norms
        if block is not None:
            ends = norms[number], norms[number + (block.turns - 1) * block.period]
            return f"‖g‖ = {' ... '.join([words.number(end, 3) for end in ends])}"
        g = self.explanation.gradient(number)
        return f"g = {words.numbers(g)}" if g.size <= words.FEW else f"‖g‖ = {words.number(norms[number], 3)}"

    def kind(self, number: int) -> str:
        """What a box is: leaf, result, middle or entry."""
        if number == self.middle:
            return "middle"
        return "leaf" if not self.tape[number].node.inputs else "result" if number in self.tape.outputs else "entry"

    def title(self, block: Block) -> str:
        """What stands above a frame."""
        first, last = self.tape[block.start].step, self.tape[block.stop - 1].step
        return f"x {block.turns}" + ("" if first is None or first == last else f", steps {first} ... {last}")

    def boxes(self, items: list[Any]) -> Iterator[Any]:
        """The numbers of the boxes to draw, with frames as pairs of a Block and what is in it."""
        for item in items:
            if isinstance(item, Block):
                inside = list(self.boxes(item.items))
                if inside:
                    yield item, inside
            elif item in self.shown or item == self.middle:
                yield item


def to_dot(of: Any, fold: bool = True, limit: int = 500) -> str:
    """The graph in Graphviz' language.

    Args:
        of: a tape or an explanation.
        fold: whether what repeats is drawn once.
        limit: boxes; if there are more, the middle of the tape is one box.
    """
    graph = Graph(of, fold, limit)
    colours = {"leaf": "#dcebfa", "result": "#fde3c8", "entry": "#ffffff", "middle": "#eeeeee"}

    def drawn(part: Any, depth: int) -> Iterator[str]:
        margin = "  " * depth
        if isinstance(part, tuple):
            block, inside = part
            yield f"{margin}subgraph cluster_{block.start} {{"
            yield f"{margin}  label={_quoted([graph.title(block)])}; style=rounded; color=gray"
            for each in inside:
                yield from drawn(each, depth + 1)
            yield f"{margin}}}"
        else:
            yield f'{margin}e{part} [label={_quoted(graph.lines(part))}, fillcolor="{colours[graph.kind(part)]}"]'

    lines = ["digraph tape {", '  node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=11]',
             '  edge [color="#555555", arrowsize=0.7]; graph [fontname="sans-serif", fontsize=11]']  # fmt: skip
    for part in graph.boxes(graph.items):
        lines += drawn(part, 1)
    for edge in graph.edges:
        later = " [style=dashed, constraint=false]" if edge.later else ""
        lines.append(f"  e{edge.start} -> e{edge.stop}{later}")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(lines: list[str]) -> str:
    escaped = [re.sub(r"[\x00-\x1f\x7f]", "?", line.replace("\\", "\\\\").replace('"', '\\"')) for line in lines]
    return '"' + "\\n".join(escaped) + '"'


def to_mermaid(of: Any, fold: bool = True) -> str:
    """The graph in Mermaid's language, within what it draws: at most 500 arrows and 50 000 characters.

    Args:
        of: a tape or an explanation.
        fold: whether what repeats is drawn once.
    """
    limit = MERMAID_EDGES
    while True:
        graph = Graph(of, fold, limit)
        text = _mermaid(graph)
        if len(graph.edges) <= MERMAID_EDGES and len(text) <= MERMAID_CHARACTERS:
            return text
        limit = limit * 3 // 4


def _mermaid(graph: Graph) -> str:
    def drawn(part: Any, depth: int) -> Iterator[str]:
        margin = "  " * depth
        if isinstance(part, tuple):
            block, inside = part
            yield f'{margin}subgraph b{block.start} ["{_entities(graph.title(block))}"]'
            for each in inside:
                yield from drawn(each, depth + 1)
            yield f"{margin}end"
        else:
            kind = graph.kind(part)
            style = "" if kind == "entry" else f":::{kind}"
            yield f'{margin}e{part}["{"<br/>".join([_entities(line) for line in graph.lines(part)])}"]{style}'

    lines = ["flowchart TD"]
    for part in graph.boxes(graph.items):
        lines += drawn(part, 1)
    lines += [f"  e{edge.start} {'-.->' if edge.later else '-->'} e{edge.stop}" for edge in graph.edges]
    styles = {"leaf": "#dcebfa,stroke:#5b8db8", "result": "#fde3c8,stroke:#c98a4b", "middle": "#eee,stroke:#999"}
    lines += [f"  classDef {kind} fill:{style},color:#111" for kind, style in styles.items()]
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    """Text in which no character means anything to Mermaid."""
    return re.sub(r"[^A-Za-z0-9 .,:()=+*/_-]", lambda m: f"#{ord(m[0])};", text)


def draw(of: Any, path: str, fold: bool = True) -> None:
    """Draw the graph of a tape or an explanation to a file: svg, png, pdf or another format of Graphviz, by its suffix.

    Raises:
        ImportError: if the package graphviz is missing.
        RuntimeError: if its program dot is missing.
        ValueError: if the suffix is none of Graphviz' formats.
    """
    try:
        graphviz: Any = importlib.import_module("graphviz")
    except ImportError as error:
        raise ImportError(
            "draw: the package graphviz is missing: pip install graphviz; tape.to_dot(), tape.to_mermaid() and "
            "tape.page(file) need nothing"
        ) from error
    suffix = Path(path).suffix[1:]
    if suffix not in graphviz.FORMATS:
        raise ValueError(f"draw: {str(path)!r} must end in a format of Graphviz, such as .svg, .png or .pdf")
    try:
        picture = graphviz.Source(to_dot(of, fold)).pipe(format=suffix)
    except graphviz.ExecutableNotFound as error:
        raise RuntimeError("draw: the program dot is missing, which draws: install Graphviz (Debian: apt-get install "
                           "graphviz, macOS: brew install graphviz)") from error  # fmt: skip
    Path(path).write_bytes(picture)
