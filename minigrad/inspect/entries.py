"""The tape: the record that leads to a tensor, oldest first, as a sequence of entries."""

from __future__ import annotations

import functools
import linecache
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..backward import lineage
from ..details import NOWHERE, Group, Label, Origin, Scope
from ..record import Node, Variable
from .draw import draw, to_dot, to_mermaid
from .explanation import Explanation
from .lookup import ByEntry
from .table import html_of, line_of, text_of
from .words import file_name

#: What is one entry, since of what it is made of no record was kept: how to see more.
OPAQUE = {
    "compiled function": "a compiled function keeps no record: give mg.tape or mg.explain the function and its "
    "arguments, which then runs as plain Python",
    "checkpoint": "what runs under checkpoint is one entry: compute it in `with mg.record_details():`, or give mg.tape "
    "or mg.explain the function and its arguments, to see its parts",
}
LACKING = (
    "lines of source, and values that no rule reads, were not kept: compute in `with mg.record_details():`, or give "
    "mg.tape or mg.explain the function and its arguments"
)
_NO_ORIGIN = Origin(None, None)
LINES = 400  # of a table that shows itself


class Entry:
    """One entry of a tape: a leaf, or a call of a primitive.

    `number` is its place on the tape; `name` that of the primitive, or "leaf"; `inputs` the numbers of the entries that
    it was computed from; `arguments` all that the primitive was called with, an Entry or a constant each; `static` its
    keyword arguments. What only `record_details` keeps is None or empty else: the `value` that no rule reads, `file`,
    `line` and `function` (the user's source line), `path` (of the module), `step` (of time), `labels`.

    >>> entry = mg.tape(lambda x: x * mg.tanh(x), 0.5)[1]
    >>> entry.number, entry.name, entry.inputs, entry.shape
    (1, 'tanh', (0,), ())
    """

    __slots__ = ("node", "number", "tape")

    def __init__(self, tape: Tape, number: int) -> None:
        self.tape, self.number, self.node = tape, number, tape.nodes[number]

    @property
    def name(self) -> str:
        return "leaf" if self.node.primitive is None else self.node.primitive.name

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple([self.tape.numbers[x] for x in self.node.inputs if x is not None])

    @property
    def arguments(self) -> tuple[Any, ...]:
        pairs = zip(self.node.inputs, self.node.operands)
        return tuple([x if node is None else self.tape[self.tape.numbers[node]] for node, x in pairs])

    shape = property(lambda self: self.node.shape)
    dtype = property(lambda self: self.node.dtype)
    static = property(lambda self: dict(self.node.static))

    @property
    def value(self) -> np.ndarray | None:
        return self.tape.value(self.number)

    @property
    def origin(self) -> Origin:
        found: Origin = getattr(self.node, "origin", _NO_ORIGIN)
        return found

    @property
    def scope(self) -> Scope:
        return self.origin.scope if self.node.primitive is not None else NOWHERE

    file = property(lambda self: self.origin.line and self.origin.line.file)
    line = property(lambda self: self.origin.line and self.origin.line.number)
    function = property(lambda self: self.origin.line and self.origin.line.function)
    path = property(lambda self: self.scope.path)
    step = property(lambda self: self.scope.step)

    @property
    def source(self) -> str | None:
        """The text of the innermost line outside of minigrad, one of nn's or the user's, or None."""
        line = self.origin.inner
        return None if line is None else linecache.getline(line.file, line.number).strip() or None

    @property
    def where(self) -> str:
        """`file:line in function` of that line, shortened; empty if it was not kept."""
        line = self.origin.inner
        return "" if line is None else f"{file_name(line.file)}:{line.number} in {line.function}"

    @property
    def labels(self) -> tuple[str, ...]:
        """What it is called: a parameter's name, an argument's, a state's."""
        return self.tape.names.get(self.node, ()) + tuple(
            [f"{label}{label.group.keys[label.leaf]}" for label in self.origin.labels]
        )

    @property
    def changed(self) -> bool:
        """Whether this leaf's data were replaced after it was used, so that nothing can be derived any more."""
        return self.number in self.tape.changed

    def __repr__(self) -> str:
        return line_of(self.tape, self.number)


class Tape(Sequence[Entry]):
    """The record that leads to some tensors, oldest first; see `tape`.

    >>> tape = mg.tape(lambda x: x * mg.tanh(x), 0.5)
    >>> [entry.name for entry in tape]
    ['leaf', 'tanh', 'multiply']
    """

    def __init__(self, outputs: Sequence[Variable]) -> None:
        ends = [y.node for y in outputs if y.node is not None]
        nodes = lineage(ends)[0][::-1]
        early: dict[Node, float] = {}  # a leaf whose data were replaced has a new number: it stands where it was used
        for t in nodes:
            for x in t.inputs:
                if x is not None and x.order > t.order:
                    early.setdefault(x, t.order - 0.5)
        if early:
            nodes.sort(key=lambda t: early.get(t, t.order))
        self.nodes: list[Node] = nodes
        self.numbers = {t: n for n, t in enumerate(nodes)}
        self.outputs = [self.numbers[t] for t in ends]
        self.changed = {self.numbers[t] for t in early}
        self.names: dict[Node, tuple[str, ...]] = {}  # given by the caller
        self._given = {self.numbers[y.node]: y._array for y in outputs if y.node is not None}
        self.aliases: dict[int, tuple[Any, Node]] = {}  # arguments that a fresh tensor stands for, by id

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, key: Any) -> Any:
        """An entry by its number, or that of a Tensor or of a name; see `number_of`."""
        if isinstance(key, slice):
            return [Entry(self, n) for n in range(len(self))[key]]
        return Entry(self, self.number_of(key))

    def __iter__(self) -> Iterator[Entry]:
        return (Entry(self, n) for n in range(len(self)))

    def number_of(self, key: Any) -> int:
        """The number of an entry, given as a number, an Entry, a Tensor or its Node, a name, or (name, time step).

        Raises:
            KeyError: if the Tensor or the name is not on this tape, or the name is that of several entries.
            IndexError: if there is no such number.
        """
        if isinstance(key, (str, tuple)):
            found = ByEntry(self, lambda n: n, lambda shape, dtype: None)[key]
            if not isinstance(found, int):
                raise KeyError(f"{key!r} is more than one entry: of a name that comes at each time step give (name, "
                               "time step), of a state of several parts take one of tape.find()")  # fmt: skip
            return found
        if isinstance(key, Entry):
            key = key.node
        elif isinstance(key, Variable):
            key = self.aliases[id(key)][1] if id(key) in self.aliases else key.node
        elif not isinstance(key, Node):
            if not isinstance(key, (int, np.integer)):
                raise KeyError(f"expected a number, an Entry, a Tensor, a name, or (name, time step), got {key!r}")
            if not -len(self) <= key < len(self):
                raise IndexError(f"there is no entry {key} on a tape of {len(self)}: the last one is {len(self) - 1}")
            return int(range(len(self))[key])
        if key not in self.numbers:
            raise KeyError("this tensor is not on the tape: it requires no gradient, or nothing that was asked for "
                           "depends on it")  # fmt: skip
        return self.numbers[key]

    def find(self, name: str | None = None, path: str | None = None, step: int | None = None) -> list[Entry]:
        """The entries of a primitive, of a module's path (its parts included), and of a time step."""
        below = None if path is None else f"{path}."
        return [
            e
            for e in self
            if (name is None or e.name == name)
            and (below is None or f"{e.path}.".startswith(below))
            and (step is None or e.step == step)
        ]

    @functools.cached_property
    def _operands(self) -> dict[int, np.ndarray]:
        found = dict(self._given)
        for t in self.nodes:
            for x, operand in zip(t.inputs, t.operands):
                if x is not None and isinstance(operand, np.ndarray):
                    found.setdefault(self.numbers[x], operand)
        return found

    def value(self, number: int) -> np.ndarray | None:
        """The value of an entry, as a read-only array, or None if nothing keeps it."""
        value = self.nodes[number].value
        array = self._operands.get(number) if value is None else value
        if array is None:
            return None
        view = array.view()
        view.flags.writeable = False
        return view

    @functools.cached_property
    def labelled(self) -> dict[str, list[tuple[Label, int]]]:
        """The labels, with the numbers of the entries that have them, by full name and by path."""
        found: dict[str, list[tuple[Label, int]]] = {}
        for t, n in self.numbers.items():
            for name in self.names.get(t, ()):
                whole = Group(name, [""], [(t.shape, t.dtype)], lambda leaves: leaves[0])
                found.setdefault(name, []).append((Label(NOWHERE, whole, 0), n))
            for label in getattr(t, "origin", _NO_ORIGIN).labels:
                found.setdefault(str(label), []).append((label, n))
        return found

    @functools.cached_property
    def remarks(self) -> list[str]:
        """What there is to say of how this was recorded, and what of it was not kept."""
        found: dict[str, None] = {}
        lacking = False
        for t in self.nodes:
            if t.primitive is None:
                continue
            made = getattr(t, "origin", None)
            lacking = lacking or made is None
            found |= dict.fromkeys(made.scope.remarks if made is not None else ())
            if t.primitive.name in OPAQUE:
                found[OPAQUE[t.primitive.name]] = None
        if lacking:
            found[LACKING] = None
        if self.changed:
            found["data were replaced after the forward pass, so there is no way back: run it again"] = None
        return list(found)

    def text(self, fold: bool = True) -> str:
        """The tape as a table, one line an entry; what repeats is folded to one block, unless `fold` is False."""
        return text_of(self, fold)

    def __repr__(self) -> str:
        lines = self.text().split("\n")
        if len(lines) > LINES:
            lines[LINES // 2 : -LINES // 2] = [f"... {len(lines) - LINES:,} lines more, which tape.text() has"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_of(self)

    def to_dot(self, fold: bool = True, limit: int = 500) -> str:
        """The graph in Graphviz' language; see `minigrad.inspect.draw.to_dot`."""
        return to_dot(self, fold, limit)

    def to_mermaid(self, fold: bool = True) -> str:
        """The graph in Mermaid's language, within that renderer's limits; see `minigrad.inspect.draw.to_mermaid`."""
        return to_mermaid(self, fold)

    def page(self, path: str, g: Any = None, title: str = "") -> None:
        """Write one HTML page, which needs no network, that steps through the tape, forwards and backwards.

        Args:
            path: the file.
            g: the cotangent of the result, as for `explain`.
            title: of the page.

        Raises:
            ValueError: if there are more than 50 000 entries, or g does not fit.
            RuntimeError: if there is no way back, see `explain`.
        """
        Explanation(self, g).page(path, title)

    def draw(self, path: str, fold: bool = True) -> None:
        """Draw the graph to a file by the package graphviz and its program dot; see `minigrad.inspect.draw.draw`."""
        draw(self, path, fold)
