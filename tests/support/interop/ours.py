"""Our side of the recorded cases: the same results and gradients from the tool's arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from interop.cases import read

import minigrad as mg
import nn
from nn.convert.layout import Layout
from nn.convert.table import find, layout_of

RECORDED = Path(__file__).parents[1] / "recorded"
Arrays = dict[str, np.ndarray]


def all_cases() -> dict[str, tuple[dict[str, str], Arrays]]:
    """Versions and arrays of every case that was recorded, by name."""
    found = {}
    for path in sorted(RECORDED.glob("interop_*.npz")):
        versions, cases = read(path)
        found |= {name: (versions, arrays) for name, arrays in cases.items()}
    return found


def below(arrays: Arrays, start: str) -> Arrays:
    """The arrays below a path."""
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def layout_name(case: str) -> str:
    """The tool's class of a case."""
    return case.split(", ")[0]


def prefixes(case: str, weights: Arrays) -> Any:
    """The argument `prefix` for a case: of a tool without layers of its own, one for each cell."""
    layout = find(layout_name(case))
    if layout.places:
        return ""
    starts = list(dict.fromkeys(_start(name, layout) for name in sorted(weights, key=_natural)))
    return tuple(starts)


def _start(name: str, layout: Layout) -> str:
    own = next(e.name for e in sorted(layout.entries, key=lambda e: -len(e.name)) if name.endswith(e.name))
    return name.removesuffix(own)


def _natural(name: str) -> tuple[int, str]:
    first = name.split("/")[0]
    return int(first) if first.isdigit() else 0, name


def module_of(case: str, arrays: Arrays) -> nn.Recurrent:
    """Our module with the recorded weights."""
    weights = below(arrays, "weights/")
    made = nn.convert.from_tool(weights, layout_name(case), prefixes(case, weights), bidirectional="2 dir" in case)
    return made if isinstance(made, nn.Recurrent) else nn.Recurrent(made)


def run(case: str, arrays: Arrays) -> Arrays:
    """Our results and gradients under the recorded names; gradients of weights as the tool lays its weights out."""
    layout, net = find(layout_name(case)), module_of(case, arrays)
    order = [layout.state.split().index(part) for part in ("h c" if len(layout.state) > 1 else "h").split()]
    xs, states = mg.tensor(arrays["xs"], requires_grad=True), []
    for k in range(len(net.cells)):
        theirs = [mg.tensor(arrays[f"state/{k}/{j}"], requires_grad=True) for j in range(len(order))]
        states.append(theirs)
    given = [tuple(s[j] for j in order) if len(order) == 2 else s[0] for s in states]
    outputs, finals = net(xs, tuple(given), arrays.get("lengths"))
    found = {"outputs": outputs.data}
    total = (arrays["g/outputs"] * outputs).sum()
    for k, final in enumerate(finals):
        leaves = mg.tree_leaves(final)
        for j in range(len(order)):
            part = leaves[order.index(j)]
            found[f"final/{k}/{j}"] = part.data
            total = total + (arrays[f"g/final/{k}/{j}"] * part).sum()
    if "grad/xs" not in arrays:  # the tool computes none
        return found
    total.backward()
    found["grad/xs"] = xs.grad
    found |= {f"grad/state/{k}/{j}": s.grad for k, theirs in enumerate(states) for j, s in enumerate(theirs)}
    return found | {f"grad/weights/{name}": g for name, g in gradients(case, arrays, net).items()}


def gradients(case: str, arrays: Arrays, net: nn.Recurrent) -> Arrays:
    """Our gradients by the tool's arrays: of two biases of which the sum counts, both have the gradient of ours."""
    layout, weights = find(layout_name(case)), below(arrays, "weights/")
    patterns = (
        [start + "{name}" for start in prefixes(case, weights)]
        if not layout.places
        else [p.format(name="{name}", layer=n, even=2 * n, odd=2 * n + 1)
              for n in range(len(net.cells) // net.directions) for p in layout.places[net.directions]]
    )  # fmt: skip
    found = {}
    for cell, pattern in zip(net.cells, patterns, strict=True):
        own = layout_of(cell)
        parts = own.split({name: p.grad for name, p in cell.named_parameters()})
        parts |= {("c", g): a for (part, g), a in parts.items() if part == "b" and ("c", g) not in parts}
        present = {e.name for e in layout.entries if pattern.format(name=e.name) in weights}
        found |= {pattern.format(name=e.name): e.join(parts) for e in layout.chosen(present)}
    return found


def doubted(case: str, name: str) -> bool:
    """Whether a tool's own number is known to be wrong: see findings/paddle-gradient-of-padded-sequences.sh."""
    if not case.startswith("paddle") or "2 directions, lengths" not in case or not name.startswith("grad/"):
        return False
    return "GRU" in case or name.endswith(("cell_bw.weight_hh", "_reverse"))


def differences(case: str, arrays: Arrays) -> tuple[float, float]:
    """The worst absolute difference among results, and among gradients; outputs of the padding do not count."""
    found, worst = run(case, arrays), {"results": 0.0, "gradients": 0.0}
    names = {name for name in arrays if name.startswith(("outputs", "final/", "grad/"))}
    if find(layout_name(case)).doubles:  # which are not asked for
        names &= set(found)
    assert names == set(found), sorted(names ^ set(found))
    for name in sorted(names):
        a, b = arrays[name], found[name]
        assert (a.shape, a.dtype) == (b.shape, b.dtype), (name, a.shape, a.dtype, b.shape, b.dtype)
        if name == "outputs" and "lengths" in arrays:
            inside = np.arange(len(a))[:, None] < arrays["lengths"]
            a, b = a[inside], b[inside]
        if not doubted(case, name):
            group = "gradients" if name.startswith("grad") else "results"
            worst[group] = max(worst[group], float(np.abs(a - b).max()))
    return worst["results"], worst["gradients"]
