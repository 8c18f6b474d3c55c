"""All layouts by name: our own and those of the tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..cells import GRUCell, LSTMCell, ProjectedLSTMCell, RNNCell
from ..protocol import Cell
from ..variants import IRNNCell, MGUCell
from . import chainer, equinox, flax, haiku, keras, mxnet, paddle, torch
from .layout import Entry, Layout

_SIMPLE = (Entry("U", "U", "h"), Entry("W", "W", "h"), Entry("b", "b", "h"))
_ENTRIES = {
    "rnn": _SIMPLE,
    "rnn_relu": _SIMPLE,
    "lstm": (Entry("U", "U", "fiog"), Entry("W", "W", "fiog"), Entry("b", "b", "fiog"), Entry("P", "P", "")),
    "gru": (Entry("U", "U", "zrn"), Entry("W", "W", "zr"), Entry("W_h", "W", "n"), Entry("b", "b", "zrn"),
            Entry("b_h", "c", "n")),
    "mgu": (Entry("U", "U", "fn"), Entry("W", "W", "f"), Entry("W_h", "W", "n"), Entry("b", "b", "fn"),
            Entry("b_h", "c", "n")),
}  # fmt: skip
_OPTIONS = {"gru": ("reset", "z"), "mgu": ("reset", "f")}
_CLASSES: dict[str, Any] = {"rnn": RNNCell, "rnn_relu": RNNCell, "lstm": LSTMCell, "gru": GRUCell, "mgu": MGUCell}
_MODULES = (chainer, equinox, flax, haiku, keras, mxnet, paddle, torch)


def ours(kind: str, options: Mapping[str, str]) -> Layout:
    """The layout of our own cell of a kind: with a bias inside of the reset only where that comes after the product."""
    inside = options.get("reset") == "after"
    entries = tuple(e for e in _ENTRIES[kind] if inside or e.name != "b_h")
    return Layout(
        _CLASSES[kind].__name__, kind, entries, options, unbiased=True, state="h c" if kind == "lstm" else "h"
    )


def _own() -> Iterator[Layout]:
    """The layouts of our own files: cells, and layers of them in one direction or two."""
    forms = [{"reset": reset, "z": z} for reset in ("before", "after") for z in ("new", "old")]
    kinds: list[tuple[str, str, Mapping[str, str]]] = [
        ("RNN", "rnn", {}),
        ("RNN", "rnn_relu", {}),
        ("LSTM", "lstm", {}),
    ]
    kinds += [("GRU", "gru", form) for form in forms] + [("MGU", "mgu", {"reset": "before", "f": "new"})]
    kinds += [("MGU", "mgu", {"reset": "after", "f": "old"})]
    one, two = {1: ("cells.{layer}.{name}",)}, {2: ("cells.{even}.{name}", "cells.{odd}.{name}")}
    for name, kind, options in kinds:
        default = options.get("reset") == "before" and "new" in options.values()
        shown = {} if default else options
        shown = {"nonlinearity": "relu"} if kind == "rnn_relu" else shown
        words = [f"{key}={value!r}" for key, value in shown.items()]
        layout = ours(kind, options)
        yield replace(layout, name=_called(f"nn.{name}Cell", words))
        if kind == "mgu":  # which has no class of layers
            continue
        yield replace(layout, name=_called(f"nn.{name}", words), places=one)
        yield replace(layout, name=_called(f"nn.{name}", [*words, "bidirectional=True"]), places=two)


def _called(name: str, words: list[str]) -> str:
    return f"{name}({', '.join(words)})" if words else name


#: All layouts by the names of their classes: the tools', then ours.
TABLE: Mapping[str, Layout] = {
    layout.name: layout for layouts in (*[m.LAYOUTS for m in _MODULES], _own()) for layout in layouts
}


def tools() -> tuple[str, ...]:
    """The names that `from_tool` and `to_tool` take: the tools' classes, and ours, for files of `nn.save`.

    >>> [name for name in nn.convert.tools() if name.startswith("haiku")]
    ['haiku.LSTM', 'haiku.GRU', 'haiku.VanillaRNN']
    """
    return tuple(TABLE)


def find(name: str) -> Layout:
    """The layout of this name.

    Raises:
        ValueError: if there is none; it lists those of the same tool, or all.
    """
    if name in TABLE:
        return TABLE[name]
    near = [known for known in TABLE if known.split(".")[0] == name.split(".")[0]] or list(TABLE)
    raise ValueError(f"nn.convert: no cell is called {name!r}; there are {', '.join(near)}")


def own_name(layout: Layout, directions: int) -> str:
    """The name of one of our own layouts for layers of a cell of ours, in so many directions; 0 for a single cell."""
    for name, known in TABLE.items():
        same = (known.kind, known.options) == (layout.kind, layout.options)
        if name.startswith("nn.") and same and max(known.places, default=0) == directions:
            return name
    raise TypeError(f"nn.convert: layers of {layout.name} have no name of their own here")


def layout_of(cell: Cell) -> Layout:
    """The layout of a cell of ours.

    Raises:
        TypeError: if no tool here has such a cell.
    """
    kinds = {made: kind for kind, made in _CLASSES.items()} | {ProjectedLSTMCell: "lstm", IRNNCell: "rnn_relu"}
    if type(cell) not in kinds:
        known = ", ".join(sorted(made.__name__ for made in kinds))
        raise TypeError(f"nn.convert: no tool has the arrays of a {cell.name}; those of {known} are known")
    kind = kinds[type(cell)]
    if type(cell) is RNNCell:
        kind = "rnn_relu" if cell.nonlinearity == "relu" else "rnn"
    return ours(kind, {name: str(getattr(cell, name)) for name in _OPTIONS.get(kind, ())})


def make(kind: str, options: Mapping[str, str], I: int, H: int, O: int | None, bias: bool, dtype: Any) -> Cell:
    """A cell of ours with weights of its own; O is the width of a projection."""
    if O is not None:
        return ProjectedLSTMCell(I, H, O, bias, 0, dtype)
    more = {"nonlinearity": "relu"} if kind == "rnn_relu" else options
    made: Cell = _CLASSES[kind](I, H, bias, 0, dtype, **more)
    return made
