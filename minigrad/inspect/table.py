"""A tape as text, one line an entry, and as a static table for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..keeping import immutable
from . import words
from .folding import Block, fold

SOURCE = 60  # characters of a line of source
CALL, VALUE = 64, 40  # the widths of the first two columns at most


class Row(NamedTuple):
    """A line of the table: how deep it is folded, the entry as a call, its value, and its line of source."""

    depth: int
    call: str
    value: str = ""
    where: str = ""


def line_of(tape: Any, number: int) -> str:
    """One entry: `%7 (2, 3) = tanh(%6)`, its labels, value and line of source."""
    return _line(_row(tape, number), 0, 0)


def text_of(tape: Any, folded: bool = True) -> str:
    """The whole tape as a table."""
    rows = list(_rows(tape, fold(tape) if folded else range(len(tape.nodes)), 0, None))
    entries = [row for row in rows if row.value or row.where]
    call = max([len(row.call) + 2 * row.depth for row in entries], default=0)
    value = max([len(row.value) for row in entries], default=0)
    lines = [_line(row, min(call, CALL), min(value, VALUE)) for row in rows]
    return "\n".join([heading(tape), *[f"note: {remark}" for remark in tape.remarks], *lines])


def _line(row: Row, call: int, value: int) -> str:
    margin = "| " * row.depth
    return f"{margin + row.call:<{call}}  {row.value:<{value}}  {row.where}".rstrip()


def heading(tape: Any) -> str:
    """What is on a tape, in one line."""
    leaves = [t for t in tape.nodes if t.primitive is None]
    dtypes = sorted([str(dtype) for dtype in {t.dtype for t in tape.nodes}])
    count = f"{len(tape.nodes):,} entr{'y' if len(tape.nodes) == 1 else 'ies'}"
    return (
        f"tape of {count}, {len(leaves):,} of them {'a leaf' if len(leaves) == 1 else 'leaves'}, {' and '.join(dtypes)}"
    )


def _row(tape: Any, number: int, depth: int = 0, block: Block | None = None) -> Row:
    entry, node = tape[number], tape.nodes[number]
    inside = words.arguments(tape, number)
    if block is not None:
        inside = [_turning(tape, block, number, k, text) for k, text in enumerate(inside)]
    if node.primitive is None:
        call = " ".join(["leaf", *entry.labels[:1]])
    else:
        call = f"{entry.name}({', '.join([*words.few(inside), *words.static(node)])})"
    text = f"%{number} {words.shape(node.shape)} = {call}"
    if node.dtype != tape.nodes[0].dtype:
        text += f" {node.dtype}"
    if node.primitive is not None and entry.labels:
        text += f"  [{', '.join(entry.labels)}]"
    if number in tape.outputs:
        text += "  [result]"
    value = entry.value
    source = entry.source or ""
    where = entry.where + (f": {source[:SOURCE]}{'...' if len(source) > SOURCE else ''}" if source else "")
    return Row(depth, text, "" if value is None else words.numbers(value), where)


def _turning(tape: Any, block: Block, number: int, k: int, text: str) -> str:
    """An argument as it is in all turns of a block: `a` in each, `a ... b` from turn to turn, or `a -> %n`: a in the
    first turn, and then what %n, an entry of the block, was in the turn before."""
    nodes, period = tape.nodes, block.period
    every = range(number, number + block.turns * period, period)
    found = [None if (x := nodes[n].inputs[k]) is None else tape.numbers[x] for n in every]
    first, second, third = found[:3]
    if second is None:
        if first is not None:
            return f"{text} -> {words.arguments(tape, number + period)[k]}"
        given = [nodes[n].operands[k] for n in every]
        last = words.constant(given[-1])
        if immutable(given[0]):
            same = all([type(x) is type(given[0]) and x == given[0] for x in given])
            return text if same else f"{text} ... {last}"
        return text if text == last else f"{text} ... {last}"
    if second == third:
        return text if first == second else f"{text} -> %{second}"
    if third - second == period and second >= block.start + period:  # an entry of the same turn
        return text if first == second - period else f"{text} -> %{second - period}"
    if third - second == period and second >= block.start:
        return f"{text} -> %{second}"
    return f"{text} ... %{found[-1]}"


def _rows(tape: Any, items: Any, depth: int, block: Block | None) -> Iterator[Row]:
    for item in items:
        if isinstance(item, Block):
            yield Row(depth, about(tape, item))
            yield from _rows(tape, item.items, depth + 1, item)
        else:
            yield _row(tape, item, depth, block)


def about(tape: Any, block: Block) -> str:
    """What a block is, in a line."""
    first, last = tape[block.start].scope, tape[block.stop - 1].scope
    entries = "1 entry" if block.period == 1 else f"{block.period} entries"
    text = f"%{block.start} ... %{block.stop - 1}: x {block.turns}, {entries} a turn"
    if first.step is not None and first.step != last.step:
        text += f", steps {first.step} ... {last.step}" + (f" of {first.path}" if first.path else "")
    return text


def html_of(tape: Any) -> str:
    """A table for notebooks, without style or script of its own; all text is escaped."""
    rows = list(_rows(tape, fold(tape), 0, None))[:1000]
    body = "".join([f"<tr>{_cell(r.call, r.depth)}{_cell(r.value)}{_cell(r.where)}</tr>" for r in rows])
    notes = "".join([f"<p>{html.escape(remark)}</p>" for remark in tape.remarks])
    more = "" if len(rows) < 1000 else "<p>...</p>"
    head = "".join([f"<th style='text-align:left'>{word}</th>" for word in ("entry", "value", "line")])
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<p>{html.escape(heading(tape))}</p>{notes}{table}{more}"


def _cell(text: str, depth: int = 0) -> str:
    return f"<td style='text-align:left'>{'&emsp;' * depth}<code>{html.escape(text)}</code></td>"
