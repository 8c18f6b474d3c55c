"""What is on a tape, in words: arrays, arguments, static arguments, each short enough for a line."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

import numpy as np

from ..callers import file_shown
from ..record import Node, Variable

FEW = 4  # numbers of an array that are shown


def number(x: Any, digits: int = 5) -> str:
    """A number with so many significant digits."""
    return f"{x:.{digits}g}" if isinstance(x, (float, np.floating)) else str(x)


def numbers(a: np.ndarray) -> str:
    """An array in some words: all of its numbers if they are few, else its range, what is not finite, and the first."""
    if a.ndim == 0:
        return number(a[()])
    if a.size <= FEW:
        return "[" + " ".join([number(x) for x in a.ravel()]) + "]"
    first = " ".join([number(x, 3) for x in a.ravel()[: FEW - 1]]) + " ..."
    if a.dtype.kind == "b":
        return first
    finite = np.isfinite(a)
    counts = [(int(np.isnan(a).sum()), "NaN"), (int(np.isinf(a).sum()), "infinite")]
    notes = [f"{n} {word}" for n, word in counts if n]
    if finite.any():
        low, high = a[finite].min(), a[finite].max()
        notes.append(f"[{number(low, 3)}, {number(high, 3)}]")
    return f"{', '.join(notes)}: {first}"


def file_name(file: str) -> str:
    """The name of a source file, without its folder."""
    return Path(file_shown(file)).name


def few(parts: list[str]) -> list[str]:
    """The first parts and the last one, if there are many."""
    return parts if len(parts) <= 2 * FEW else [*parts[:FEW], f"... {len(parts) - FEW - 1} more ...", parts[-1]]


def shape(s: tuple[int, ...]) -> str:
    return str(s).replace(",)", ",)")


def index(x: Any) -> str:
    """An index as it is written: `0`, `:, 2:4`."""
    if isinstance(x, slice):
        ends = ["" if end is None else str(end) for end in (x.start, x.stop, x.step)]
        return ":".join(ends if ends[2] else ends[:2])
    if isinstance(x, tuple):
        return ", ".join([index(part) for part in x]) + ("," if len(x) == 1 else "")
    return "..." if x is Ellipsis else constant(x)


def constant(x: Any) -> str:
    """An argument that is no entry of the tape."""
    if isinstance(x, Variable):
        x = x._array
    if isinstance(x, Node):
        return f"{shape(x.shape)} array"
    if isinstance(x, np.ndarray):
        return number(x[()]) if not x.ndim else numbers(x) if x.size <= FEW else f"{shape(x.shape)} array"
    if isinstance(x, (float, np.floating)):
        return number(x)
    if isinstance(x, slice) or (
        isinstance(x, tuple) and any(isinstance(p, (slice, np.ndarray)) or p is ... for p in x)
    ):
        return f"[{index(x)}]"
    if isinstance(x, np.dtype):
        return str(x)
    if x is None or isinstance(x, (int, str, tuple, list, dict, type, np.generic)):
        return reprlib.repr(x)
    name = getattr(x, "__qualname__", type(x).__name__)
    return f"<{name}>"


def static(node: Node) -> list[str]:
    """The keyword arguments as they are written."""
    return [f"{key}={constant(x)}" for key, x in node.static.items()]


def arguments(tape: Any, number: int) -> list[str]:
    """What an entry's primitive was called with: `%3` for an entry, constants as they are."""
    node = tape.nodes[number]
    return [
        constant(x) if source is None else f"%{tape.numbers[source]}" for source, x in zip(node.inputs, node.operands)
    ]
