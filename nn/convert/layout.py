"""How a tool lays out the weights of one cell, as data, and the two functions that read it: `split` and `join`.

A cell's weights are its *parts*, each of one gate: U (I, H) for the inputs, W (O, H) for the state, a bias b (H,), a
second bias c (H,) of the state's product, and of an LSTM with projection P (H, O). Gates are called f i o g (LSTM; g is
C̃), z r n (GRU; n is h̃), f n (MGU) and h (the simple network). An `Entry` says which parts one array of a tool holds, a
`Layout` lists a cell's entries; our own cells have layouts too. So any conversion is `join(theirs, split(ours, ...))`
or the reverse, and no tool has code of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Parts = dict[tuple[str, str], np.ndarray]  # by part and gate: ("U", "f")
BIASES = ("b", "c")
AFTER_OLD = {"reset": "after", "z": "old"}  # of a GRU: PyTorch's and most others


@dataclass(frozen=True)
class Entry:
    """One array of a cell: its name, its parts and its gates.

    Two parts, as "UW", "WU" or "bc", stand one above the other, and gates side by side along the last axis. `turned`
    arrays are stored transposed; `interleaved` ones have the first column of every gate first, then the second ones.
    """

    name: str
    parts: str
    gates: str
    turned: bool = False
    interleaved: bool = False

    @property
    def biases(self) -> bool:
        """Whether it holds biases."""
        return self.parts[0] in BIASES

    def shape(self, I: int, H: int, O: int) -> tuple[int, ...]:
        """Its shape in a cell of these sizes."""
        width = H * len(self.gates)
        if self.parts == "P":
            shape: tuple[int, ...] = (H, O)
        elif self.biases:
            shape = (width,) if len(self.parts) == 1 else (len(self.parts), width)
        else:
            shape = (sum({"U": I, "W": O}[part] for part in self.parts), width)
        return shape[::-1] if self.turned else shape

    def split(self, a: np.ndarray, O: int) -> Parts:
        """Its parts."""
        a = a.T if self.turned else a
        if self.parts == "P":
            return {("P", ""): a}
        first = O if self.parts[0] == "W" else len(a) - O
        rows = [a] if len(self.parts) == 1 else [a[0], a[1]] if self.biases else [a[:first], a[first:]]
        return {
            (part, gate): block
            for part, own in zip(self.parts, rows, strict=True)
            for gate, block in zip(self.gates, self._blocks(own), strict=True)
        }

    def join(self, parts: Parts) -> np.ndarray:
        """The array of these parts: the reverse of `split`."""
        if self.parts == "P":
            a = parts["P", ""]
        else:
            rows = [self._side_by_side([parts[part, gate] for gate in self.gates]) for part in self.parts]
            a = rows[0] if len(rows) == 1 else np.stack(rows) if self.biases else np.concatenate(rows)
        return np.array(a.T if self.turned else a, order="C")

    def _blocks(self, a: np.ndarray) -> list[np.ndarray]:
        n = len(self.gates)
        return [a[..., k::n] for k in range(n)] if self.interleaved else np.split(a, n, axis=-1)

    def _side_by_side(self, blocks: list[np.ndarray]) -> np.ndarray:
        if not self.interleaved:
            return np.concatenate(blocks, axis=-1)
        return np.stack(blocks, axis=-1).reshape(*blocks[0].shape[:-1], -1)

    def described(self) -> str:
        """What it holds, in words."""
        words = {"U": "U", "W": "W", "b": "b", "c": "second b", "P": "P"}
        text = " above ".join(words[part] for part in self.parts)
        if len(self.gates) > 1:
            text += f" [{' '.join(self.gates)}]"
        elif self.gates not in ("", "h"):
            text += f"_{self.gates}"
        return text + (", transposed" if self.turned else "") + (", columns interleaved" if self.interleaved else "")


@dataclass(frozen=True)
class Layout:
    """The arrays of one cell of a tool, and what the cell computes.

    Args:
        name: of the tool's class, with the options that change what it computes.
        kind: which cell of ours computes the same: rnn, rnn_relu, lstm, gru or mgu.
        entries: its arrays. An LSTM's P may be missing, and with `unbiased` all biases together.
        options: of our cell: `reset` and `z` of a GRU.
        plus: what the tool adds inside of a gate.
        state: the order of a state's parts.
        places: for one and for two directions the path of a cell's arrays, with {name}, {layer} or {even} and {odd}
            (2 layer and 2 layer + 1); empty if the tool has single cells only.
        aliases: further such paths, under which a tool writes the same arrays into files; they are read alone.
        doubles: whether arrays may be there a second time under other names.
        note: what else is to be known.
    """

    name: str
    kind: str
    entries: tuple[Entry, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    unbiased: bool = False
    plus: Mapping[str, float] = field(default_factory=dict)
    state: str = "h"
    places: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    aliases: tuple[Mapping[int, tuple[str, ...]], ...] = ()
    doubles: bool = False
    note: str = ""

    def chosen(self, present: Any) -> list[Entry]:
        """The entries of a cell whose names are `present`: all but P, or the biases, where there is none."""
        biases = not self.unbiased or any(e.name in present for e in self.entries if e.biases)
        return [e for e in self.entries if (e.name in present if e.parts == "P" else biases or not e.biases)]

    def sizes(self, arrays: Arrays) -> tuple[int, int, int]:
        """I, H and O, the width of the output, of a cell; from shapes that need not fit together.

        Raises:
            ValueError: if there are no matrices to tell them from.
        """
        found = {}
        for part in "UW":
            entry = next(e for e in self.entries if part in e.parts)
            a = arrays.get(entry.name)
            if a is None or a.ndim != 2:
                raise ValueError(f"{self.name}: needs a matrix {entry.name!r}, "
                                 + ("which is missing" if a is None else f"its shape is {a.shape}"))  # fmt: skip
            found[part] = (entry, a.shape[::-1] if entry.turned else a.shape)
        entry, (rows, width) = found["W"]
        H = width // len(entry.gates)
        if H < 1:
            raise ValueError(f"{self.name}: {entry.name!r} has shape {arrays[entry.name].shape}, which is too small "
                             f"for {len(entry.gates)} gates")  # fmt: skip
        if len(entry.parts) == 2:  # U above W, and no projection
            return max(rows - H, 0), H, H
        return found["U"][1][0], H, rows

    def split(self, arrays: Arrays) -> Parts:
        """The parts of a cell's arrays, which must have the right names and shapes."""
        _, _, O = self.sizes(arrays)
        parts: Parts = {}
        for entry in self.chosen(arrays):
            parts |= entry.split(arrays[entry.name], O)
        for gate, more in self.plus.items():
            parts["b", gate] = parts["b", gate] + parts["b", gate].dtype.type(more)
        return parts

    def join(self, parts: Parts) -> Arrays:
        """The arrays of a cell with these parts.

        Raises:
            ValueError: if a bias that is not 0 has no place in it.
        """
        biased = not self.unbiased or any(part in BIASES for part, _ in parts)
        entries = [e for e in self.entries if (("P", "") in parts if e.parts == "P" else biased or not e.biases)]
        if ("P", "") in parts and not any(e.parts == "P" for e in entries):
            raise ValueError(f"{self.name}: has no projection, P of this cell has no place")
        places = {(part, gate) for entry in entries for part in entry.parts for gate in entry.gates}
        own = parts | self._biases(parts, {place for place in places if place[0] in BIASES})
        for gate, more in self.plus.items():
            own["b", gate] = own["b", gate] - own["b", gate].dtype.type(more)
        return {entry.name: entry.join(own) for entry in entries}

    def _biases(self, parts: Parts, places: set[tuple[str, str]]) -> Parts:
        """The biases that stand at `places`: where they only ever appear as a sum, the first place has it."""
        found: Parts = {}
        for gate in {gate for part, gate in parts if part == "W"}:
            own = [(part, gate) for part in BIASES if (part, gate) in places]
            zero = np.zeros(parts["W", gate].shape[-1:], parts["W", gate].dtype)
            b, c = (parts.get((part, gate), zero) for part in BIASES)
            if gate in self.inside:
                values = {("b", gate): b, ("c", gate): c}
            else:
                values = {(own or [("b", gate)])[0]: np.where(c == 0, b, b + c)}  # so that -0.0 stays
            for place, value in values.items():
                if place not in places and value.any():
                    where = "inside of the reset" if place[0] == "c" else "of the gate"
                    raise ValueError(f"{self.name}: has no bias {where} {gate!r}, and this cell's is not 0: {value}")
            found |= {place: values.get(place, zero) for place in own}
        return found

    @property
    def inside(self) -> str:
        """The gates whose second bias is multiplied by another gate, so that the two do not just add up."""
        return "n" if self.options.get("reset") == "after" else ""


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal to the bit, the sign of 0 too."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
