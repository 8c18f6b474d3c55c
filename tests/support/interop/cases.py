"""What other tools and we are compared on: what a tool's script draws and records. NumPy alone; Python 3.8 is enough.

A case is a dict of arrays. `weights/NAME` are a tool's arrays under its own names, drawn so that no bias is 0 and no
two matrices commute; `xs` (T, B, I); `state/K/J`, part J of the first state of cell K, in the tool's order; `lengths`
(B,); `outputs` and `final/K/J`; and with random `g/...` for the results, the gradients of Σ g result: `grad/xs`,
`grad/state/K/J`, `grad/weights/NAME`. What lies past a sequence's length gets the cotangent 0.
"""

import json

import numpy as np

T, B, I, H, P = 5, 3, 2, 3, 2
LENGTHS = np.array([3, 5, 1])
SEED = 3  # with which no layer of ReLU is dead


class Draws:
    """Random arrays of one case, in float32."""

    def __init__(self):
        self.rng = np.random.default_rng(SEED)

    def __call__(self, *shape):
        return (0.7 * self.rng.standard_normal(shape)).astype(np.float32)


def past_end(outputs, lengths):
    """Random cotangents without those of the padding."""
    inside = np.arange(len(outputs))[:, None] < lengths
    return np.where(inside[:, :, None], outputs, np.float32(0))


def flat(tree, prefix=""):
    """A tree of dicts as one dict with paths."""
    found = {}
    for name, part in tree.items():
        path = f"{prefix}/{name}" if prefix else str(name)
        found.update(flat(part, path) if hasattr(part, "items") else {path: part})
    return found


def nested(arrays):
    """The reverse of `flat`."""
    tree = {}
    for path, a in arrays.items():
        *folders, name = path.split("/")
        here = tree
        for folder in folders:
            here = here.setdefault(folder, {})
        here[name] = a
    return tree


def case(weights, xs, states, results, gs, grads, lengths=None):
    """One case's arrays: states and finals are lists of cells, each a tuple of parts; gs and results are pairs."""
    arrays = {"xs": xs, "outputs": results[0]}
    arrays.update({"weights/" + name: a for name, a in weights.items()})
    for k, parts in enumerate(states):
        arrays.update({f"state/{k}/{j}": s for j, s in enumerate(parts)})
    for k, parts in enumerate(results[1]):
        arrays.update({f"final/{k}/{j}": s for j, s in enumerate(parts)})
    if lengths is not None:
        arrays["lengths"] = np.asarray(lengths)
    arrays["g/outputs"] = gs[0]
    for k, parts in enumerate(gs[1]):
        arrays.update({f"g/final/{k}/{j}": g for j, g in enumerate(parts)})
    arrays.update({"grad/" + name: g for name, g in grads.items()})
    return {name: np.ascontiguousarray(a) for name, a in arrays.items()}


def write(path, cases, versions):
    """All cases of a tool in one file: a vector of bytes for each, and how to take it apart."""
    layout, arrays = {"versions": versions, "cases": {}}, {}
    for k, (name, found) in enumerate(cases.items()):
        layout["cases"][name] = [[key, list(a.shape), a.dtype.str] for key, a in found.items()]
        arrays[str(k)] = np.concatenate([np.frombuffer(a.tobytes(), np.uint8) for a in found.values()])
    np.savez_compressed(path, layout=np.array(json.dumps(layout)), **arrays)


def read(path):
    """Versions by package, and the cases by name."""
    with np.load(path) as file:
        layout, cases = json.loads(str(file["layout"])), {}
        for k, (name, entries) in enumerate(layout["cases"].items()):
            data, start, cases[name] = file[str(k)].tobytes(), 0, {}
            for key, shape, dtype in entries:
                size = int(np.prod(shape)) * np.dtype(dtype).itemsize
                cases[name][key] = np.frombuffer(data[start : start + size], dtype).reshape(shape)
                start += size
    return layout["versions"], cases
