"""One HTML page that steps through a tape, forwards and backwards. Here is what it shows; `web` has how."""

from __future__ import annotations

import base64
import linecache
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..record import Product
from . import words
from .folding import Block, fold
from .html import WEB, filled
from .telling import how, value

ENTRIES = 50_000  # more would not open
BYTES = 2_000_000  # of the numbers of all arrays together
MOST, LEAST = 1024, 8  # numbers of an array
COLUMNS = 32
TERMS = 8  # of a sum
STATES = 4  # of a cell
CONTEXT = 5  # lines of source around those that are shown


class Arrays:
    """All arrays of a page in one block of memory, each with its shape, and cut to what there is room for."""

    def __init__(self) -> None:
        self.found: list[np.ndarray] = []
        self.numbers: dict[Any, int] = {}

    def add(self, a: np.ndarray | None) -> int | None:
        """The number of an array; of one that is there already, its number."""
        if a is None:
            return None
        key = a.__array_interface__["data"][0], a.shape, a.strides, a.dtype.str
        if key not in self.numbers:
            self.numbers[key] = len(self.found)
            self.found.append(a)  # kept, so that its address stays its own
        return self.numbers[key]

    def as_one(self) -> dict[str, Any]:
        """Shape, range, rows and columns shown, and the numbers, one after the other."""
        wide = not all([_fits_single(a) for a in self.found])
        dtype = np.dtype("<f8" if wide else "<f4")
        room = min(MOST, max(LEAST, BYTES // dtype.itemsize // max(1, len(self.found))))
        described, parts = [], [np.zeros(0, dtype)]
        for a in self.found:
            a = a.astype(np.float64)
            flat = a.reshape(-1, a.shape[-1]) if a.ndim and a.size else a.reshape(1, -1)
            columns = min(flat.shape[1], COLUMNS, room)
            shown = flat[: max(1, room // max(1, columns)), :columns]
            finite = a[np.isfinite(a)]
            ends = [float(f"{x:.6g}") for x in (finite.min(), finite.max())] if finite.size else None
            described.append([list(a.shape), shown.shape[0], shown.shape[1], ends, a.size - finite.size])
            parts.append(shown.ravel().astype(dtype))
        numbers = base64.b64encode(np.concatenate(parts).tobytes()).decode()
        return {"arrays": described, "wide": wide, "numbers": numbers}


def _fits_single(a: np.ndarray) -> bool:
    """Whether single precision holds an array's finite numbers."""
    sizes = abs(a[np.isfinite(a) & (a != 0)])
    return not sizes.size or bool(sizes.max() < np.finfo("f").max and sizes.min() > np.finfo("f").tiny)


class Table:
    """Things that are often the same, each once."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def add(self, x: Any) -> int:
        """The number of a thing."""
        return self.numbers.setdefault(x, len(self.numbers))


def contents(explanation: Any, title: str = "") -> dict[str, Any]:
    """All that the page shows."""
    tape = explanation.tape
    if len(tape) > ENTRIES:
        raise ValueError(f"page: {len(tape):,} entries are too many for a page, which holds {ENTRIES:,}: take a "
                         "shorter sequence")  # fmt: skip
    arrays, rules, lines = Arrays(), Table(), Table()
    entries = [_entry(explanation, n, arrays, rules, lines) for n in range(len(tape))]
    count = f"{len(tape):,} entries"
    return {
        "title": title or f"A tape of {count}",
        "about": f"{count}: forwards each is computed from earlier ones, backwards each hands on what it gets.",
        "remarks": tape.remarks,
        "entries": entries,
        "results": tape.outputs,
        "items": [_item(tape, item) for item in fold(tape)],
        "rules": [[*rule[:3], rule.helpers, rule.call, rule.defaults] for rule in rules.numbers],
        **_source(list(lines.numbers)),
        **arrays.as_one(),
    }


def _entry(explanation: Any, n: int, arrays: Arrays, rules: Table, lines: Table) -> dict[str, Any]:
    tape, step = explanation.tape, explanation.step(n)
    entry, node = step.entry, step.entry.node
    found: dict[str, Any] = {
        "name": entry.name,
        "shape": list(entry.shape),
        "inputs": [
            _constant(x, arrays) if source is None else tape.numbers[source]
            for source, x in zip(node.inputs, node.operands)
        ],
        "value": arrays.add(entry.value),
        "g": arrays.add(step.cotangent),
        "norm": _finite(float(f"{explanation.norms[n]:.6g}")),
        "arrived": [_term(explanation, term, arrays) for term in step.arrived[:TERMS]],
    }
    if len(step.arrived) > TERMS:
        found["more"] = len(step.arrived) - TERMS
    given = {term.input: term for term in step.gave}
    if given:
        found["gives"] = [
            [rules.add(rule), *_term(explanation, given[k], arrays)[1:]] for k, rule in step.rules.items()
        ]
    if node.static:
        found["static"] = [[key, words.constant(x)] for key, x in node.static.items()]
    if entry.labels:
        found["label"] = entry.labels[0]
    if entry.origin.inner is not None:
        found["lines"] = [lines.add(line) for line in dict.fromkeys([entry.origin.inner, entry.origin.line])]
    if entry.path:
        found["path"] = entry.path
    if entry.step is not None:
        found["step"] = entry.step
    return found


def _constant(x: Any, arrays: Arrays) -> Any:
    """A constant in words, and the number of its array if it is one with numbers to show."""
    array = isinstance(x, np.ndarray) and x.ndim and x.dtype.kind in "fiub"
    return [words.constant(x), arrays.add(x)] if array else words.constant(x)


def _term(explanation: Any, term: Any, arrays: Arrays) -> list[Any]:
    """A term: from which entry, for which of its inputs, to which entry, its numbers, what is done to it."""
    array = None if isinstance(term.term, Product) else arrays.add(value(term.term))
    words_ = how(term.term, explanation.tape.nodes[term.to])
    return [term.user, term.input, term.to, array, words_]


def _item(tape: Any, item: Any) -> Any:
    if not isinstance(item, Block):
        return item
    turn = range(item.start, item.start + item.period)
    states = [n for n in turn if any([".state" in f".{label}" for label in tape[n].labels])] or [turn[-1]]
    return {
        "start": item.start,
        "period": item.period,
        "turns": item.turns,
        "items": [_item(tape, inner) for inner in item.items],
        "states": [n - item.start for n in states[-STATES:]],
        "path": tape[states[-1]].path,
    }


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def _source(lines: list[Any]) -> dict[str, Any]:
    """The lines that made the entries, as (file, line, function), and of each file its name and what is around them."""
    files: dict[str, dict[int, str]] = {}
    for line in lines:
        text = linecache.getlines(line.file)
        around = range(max(1, line.number - CONTEXT), min(len(text), line.number + CONTEXT) + 1)
        files.setdefault(line.file, {}).update({n: text[n - 1].rstrip("\n") for n in around})
    order = list(files)
    return {
        "lines": [[order.index(line.file), line.number, line.function] for line in lines],
        "files": [[words.file_name(file), text] for file, text in files.items()],
    }


def write(explanation: Any, path: str, title: str = "") -> None:
    """Write the page to a file.

    Raises:
        ValueError: if there are more entries than a page holds.
    """
    Path(path).write_text(filled(WEB / "tape.html", contents(explanation, title)), encoding="utf-8")
