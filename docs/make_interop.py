"""Write docs/interop.md: the cells of other tools whose weights are taken, and how near their results are.

    python -m docs.make_interop             # the page, to standard output
    python -m docs.make_interop --write     # to docs/interop.md

The arrays are read from the table that converts them, the differences are measured on what
`python tests/support/interop/record.py` recorded in each tool.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from nn.convert.layout import Entry, Layout
from nn.convert.table import TABLE, ours

from .written import command

PAGE = Path(__file__).with_name("interop.md")
SUPPORT = str(Path(__file__).parents[1] / "tests" / "support")
HEAD = """# Weights of other tools

```python
import numpy as np
import nn

arrays = {f"{side}{gate}/kernel": np.ones((size, 3), "f") for side, size in (("i", 2), ("h", 3)) for gate in "rzn"}
arrays |= {f"{name}/bias": np.ones(3, "f") for name in ("ir", "iz", "in", "hn")}  # Flax: params["params"]["cell"]

cell = nn.convert.from_tool(arrays, "flax.linen.GRUCell")
print(cell)  # a GRUCell of ours, reset="after", z="old"
theirs = nn.convert.to_tool(cell, "keras.layers.GRU")  # the same cell for Keras
print({name: a.shape for name, a in theirs.items()})
```

No tool is needed for it: arrays come from a dict or a file. `nn.convert.from_keras("model.keras")` reads a whole model,
layers in a row with masks as lengths, and

```sh
python -m nn.convert flax.npz net.npz --from flax.linen.GRUCell --prefix params/cell/
python -m nn.convert net.npz paddle.npz --from nn.GRUCell --to paddle.nn.GRUCell
python -m nn.convert model.keras model.safetensors
```

converts files: `.npz`, `.safetensors`, Keras' `.h5` and `.keras` (package h5py), `.onnx` (package onnx). What is
missing, left over or of another shape is listed, and then nothing is written. A way back that would not give the same
bits is refused, unless `exact=False`. A tool whose class has layers becomes a `Recurrent`; for single cells in layers
or both directions give a tuple of prefixes, one for each cell.

## Which GRU is this?

A cell that somebody wrote, or took from a paper, runs beside one of ours on the same weights: `same` says where they
part, and tries what such cells are known to differ in until one makes ours theirs.

```python
import numpy as np
import nn
from minigrad.testing import same

ours = nn.GRUCell(2, 3, rng=0)
ours.b.data = np.linspace(-1, 1, 9, dtype="f")
W, U, b = np.hstack([ours.W.data, ours.W_h.data]), ours.U.data, ours.b.data


def theirs(xs, h):
    outputs = []
    for x in xs:
        a = x @ U + b
        r, z = np.split(1 / (1 + np.exp(-(a + h @ W)[:, :6])), 2, axis=1)
        n = np.tanh(a[:, 6:] + (r * h) @ W[:, 6:])
        h = z * h + (1 - z) * n
        outputs.append(h)
    return np.stack(outputs), h


try:
    same(ours, theirs)
except AssertionError as error:
    print(error)
```

```text
same: GRUCell and theirs differ
  first: layer 0, forwards, at time step 0 of 0 ... 0, sequence 0, unit 0: 0.182999 here, 0.35116 there
  seen in: the first step, from zeros
  because z is the other way round there: 1 - z for z, z="old" here
  because the gates are in another order: our blocks z r n are read as r z n there
```

This page is made from the code: `python -m docs.make_interop --write`.
"""
ARRAYS = """
## What stands where

Parts of a cell: U for the inputs (I rows), W for the state (H rows), b, a second b of the state's product, and of an
LSTM with projection P. Gates: f i o g of an LSTM (g is C̃), z r n of a GRU (n is h̃), f n of an MGU, in this order here.
"Transposed" arrays have a row for each output. The two biases are added up, except inside of a GRU's or MGU's reset,
where the second is `b_h`.

| class | arrays | here | state | to know |
| --- | --- | --- | --- | --- |
"""
MEASURED = """
## How near the results are

Random float32 weights without a bias of 0, random initial states; the worst absolute difference among outputs and final
states, and among the gradients by inputs, initial states and all arrays, of a random sum of the results. "2 × 2" are
two layers in both directions. The tools' numbers are recorded in the repository, so that every row is a test
everywhere; `python tests/support/interop/record.py` makes them again. Past a sequence's end outputs are not compared:
here they are 0.

| class | versions | run | results | gradients |
| --- | --- | --- | --- | --- |
"""
TAIL = """
Paddle's own gradients of the backward direction are wrong where lengths and an initial state are given together (finite
differences say so, too): those are left out, see
[the finding](../findings/paddle-gradient-of-padded-sequences.sh). MXNet computes no gradient of a projection on the
CPU, and ignores lengths there, Equinox and Haiku have none: there is nothing to compare.

## What has no counterpart

| what | instead |
| --- | --- |
"""
REFUSED = {
    "activations other than a class's defaults (Keras, Flax), Flax's `residual` and `reset_gate=False`":
        "a cell of your own, [ten lines](course/index.md)",
    "a bias inside of the reset in `flax.nnx.GRUCell`":
        "refused unless it is 0: `flax.linen.GRUCell` has a place for it",
    "Haiku's +1 inside of the forget gate, where subtracting 1 rounds":
        "refused; `exact=False` rounds to the nearest",
    "a GRU whose z is the other way round":
        "refused; `exact=False` negates the weights of z, as σ(-a) = 1 - σ(a)",
    "masks with gaps or in front of a sequence (Keras)":
        "refused: lengths cannot say it",
    "`go_backwards` with `return_sequences` on padded sequences (Keras)":
        "refused: Keras turns the outputs round, and not their mask",
    "compressed, virtual or linked arrays in `.h5`, Python objects anywhere":
        "refused",
}  # fmt: skip


def described(layout: Layout) -> str:
    """The row of a class."""
    groups: dict[Any, list[Entry]] = {}
    for entry in layout.entries:
        groups.setdefault((entry.parts, entry.turned, entry.interleaved), []).append(entry)
    entries = "; ".join(
        f"`{' '.join(e.name for e in group)}` {replace(group[0], gates=''.join(e.gates for e in group)).described()}"
        for group in groups.values()
    )
    entries += "".join(f"; adds {more:g} inside of {gate}" for gate, more in layout.plus.items())
    made = ours(layout.kind, layout.options).name
    options = {"nonlinearity": "relu"} if layout.kind == "rnn_relu" else layout.options
    words = ", ".join(f'{name}="{value}"' for name, value in options.items())
    places = [f"`{pattern}`" for patterns in layout.places.values() for pattern in patterns]
    notes = ([f"paths {', '.join(dict.fromkeys(places))}"] if places else []) + ([layout.note] if layout.note else [])
    return f"| `{layout.name}` | {entries} | `{made}({words})` | {layout.state} | {'; '.join(notes)} |"


def measured() -> list[str]:
    """The rows of differences, a class each."""
    sys.path.insert(0, SUPPORT)
    from interop.ours import all_cases, differences, layout_name

    cases, rows = all_cases(), []
    for name in TABLE:
        own = [case for case in cases if layout_name(case) == name]
        if not own:
            continue
        worst = [differences(case, cases[case][1]) for case in own]
        versions = ", ".join(f"{tool} {version}" for tool, version in cases[own[0]][0].items() if _counts(tool, name))
        runs = [case.removeprefix(name).removeprefix(", ") or "1 × 1" for case in own]
        text = (
            "; ".join(runs)
            .replace("2 layers, 2 directions", "2 × 2")
            .replace("2 layers", "2 × 1")
            .replace(", 1 direction", "")
        )
        results, gradients = (max(pair[k] for pair in worst) for k in (0, 1))
        rows.append(f"| `{name}` | {versions} | {text} | {results:.1e} | {gradients:.1e} |")
    return rows


def _counts(tool: str, name: str) -> bool:
    """Whether a version that was recorded says something about this class."""
    under = {"jax": ("flax", "equinox", "haiku"), "torch": ("keras",)}
    return name.startswith((tool, *under.get(tool, ())))


def page() -> str:
    """The page, from the code as it is."""
    rows = [described(layout) for layout in TABLE.values() if not layout.name.startswith("nn.")]
    refused = "".join(f"| {what} | {instead} |\n" for what, instead in REFUSED.items())
    return "\n".join([HEAD + ARRAYS + "\n".join(rows), MEASURED + "\n".join(measured()), TAIL + refused])


if __name__ == "__main__":
    command("docs.make_interop", "weights of other tools", PAGE, page)
