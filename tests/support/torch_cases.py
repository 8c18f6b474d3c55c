"""What PyTorch's modules and ours are compared on; run with PyTorch installed, it records PyTorch's side.

python tests/support/torch_cases.py            writes tests/support/recorded/torch.npz
python tests/support/torch_cases.py table      prints the worst differences of a live comparison
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
import nn

RECORDED = Path(__file__).parent / "recorded" / "torch.npz"
T, B, I, H, P = 4, 3, 2, 3, 2
LENGTHS = [4, 1, 3]  # in no order
Arrays = dict[str, np.ndarray]


class Case(NamedTuple):
    """One module of PyTorch, with what it is given."""

    kind: str  # RNN, RNN relu, LSTM, LSTM proj, GRU, their cells, Linear, ..., each perhaps with a word of OPTIONS
    dtype: str
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    lengths: bool = False

    @property
    def name(self) -> str:
        """For test ids and the recorded file."""
        options = [f"{self.layers} layers" if self.layers > 1 else "", "bidirectional" if self.bidirectional else ""]
        options += ["" if self.bias else "no bias", "lengths" if self.lengths else ""]
        return ", ".join(filter(None, [self.kind, self.dtype, *options]))


LAYERED = ["RNN", "RNN relu", "LSTM", "LSTM proj", "GRU"]
CELLS = ["RNNCell", "RNNCell relu", "LSTMCell", "GRUCell"]
IMAGES = ["Conv2d", "Conv2d pairs", "Conv2d same", "Conv2d groups", "Conv2d each"]
OTHERS = ["Linear", "Embedding", "LayerNorm", "Embedding padding", "LayerNorm axes", *IMAGES]
OPTIONS: dict[str, dict[str, Any]] = {  # what the second word of a kind stands for
    "relu": {"nonlinearity": "relu"},
    "proj": {"proj_size": P},
    "padding": {"padding_idx": -2},
    "axes": {},
    "pairs": {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)},
    "same": {"padding": "same", "dilation": (3, 1)},
    "groups": {"groups": 2, "padding": "valid", "dilation": 2},
    "each": {"groups": 4, "stride": 2, "padding": 1},
}
CASES = [
    Case(kind, dtype, *options)
    for dtype in ("float32", "float64")
    for kind in LAYERED
    for options in [(2, True, True, False), (2, True, True, True), (1, False, False, False), (1, False, True, True)]
]
CASES += [Case(kind, dtype, bias=bias) for dtype in ("float32", "float64") for kind in CELLS for bias in (True, False)]
CASES += [Case(kind, dtype) for dtype in ("float32", "float64") for kind in OTHERS]
CASES += [Case(kind, "float64", bias=False) for kind in ("Linear", "LayerNorm axes", "Conv2d groups")]


# --- PyTorch's side --------------------------------------------------------------------------------------------------


def make_torch(case: Case) -> Any:
    """The module, with weights drawn from N(0, 0.5²), so that no two matrices commute."""
    import torch

    kind, *option = case.kind.split()
    options: dict[str, Any] = {"dtype": getattr(torch, case.dtype)}
    if case.kind in LAYERED:
        options |= {"num_layers": case.layers, "bidirectional": case.bidirectional}
    if "Embedding" not in case.kind:
        options["bias"] = case.bias
    options |= OPTIONS[option[0]] if option else {}
    sizes: Any = {"Embedding": (5, H), "LayerNorm": ((B, H) if option else H,), "Conv2d": (4, 4, (2, 3))}
    sizes = sizes.get(kind, (I, H))
    module = getattr(torch.nn, kind)(*sizes, **options)
    rng = np.random.default_rng(len(case.name))
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.from_numpy(0.5 * rng.standard_normal(p.shape)))
    return module


def quiet(module: Any, *inputs: Any) -> Any:
    """The module's results, without its warning that a projection, or an odd padding, takes a slower way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module(*inputs)


def run_torch(case: Case) -> Arrays:
    """Weights, inputs, results and gradients, of Σ g output + Σ g final with random g."""
    import torch

    module, rng = make_torch(case), np.random.default_rng(1)
    arrays: Arrays = {f"weight/{name}": p.detach().numpy() for name, p in module.named_parameters()}

    def tensor(shape: tuple[int, ...], grad: bool = False) -> Any:
        return torch.tensor(rng.standard_normal(shape), dtype=getattr(torch, case.dtype), requires_grad=grad)

    states: list[Any] = []
    if "Embedding" in case.kind:
        x = torch.tensor(rng.integers(0, 5, (T, B)))
        results = [module(x)]
    elif case.kind in OTHERS:
        x = tensor((2, 4, 5, 6) if case.kind in IMAGES else (T, B, H if "LayerNorm" in case.kind else I), True)
        results = [quiet(module, x)]
    else:
        rows = (case.layers * (1 + case.bidirectional),) if case.kind in LAYERED else ()
        sizes = [P if "proj" in case.kind else H] + ([H] if "LSTM" in case.kind else [])
        x = tensor((*((T,) if rows else ()), B, I), True)
        states = [tensor((*rows, B, n), True) for n in sizes]
        state = tuple(states) if len(states) == 2 else states[0]
        if not rows:
            final = module(x, state)
            results = list(final) if len(states) == 2 else [final]
        else:
            packing = torch.nn.utils.rnn
            lengths = torch.tensor(LENGTHS)
            xs = packing.pack_padded_sequence(x, lengths, enforce_sorted=False) if case.lengths else x
            ys, final = quiet(module, xs, state)
            ys = packing.pad_packed_sequence(ys)[0] if case.lengths else ys
            results = [ys, *(final if len(states) == 2 else [final])]
    gs = [tensor(y.shape) for y in results]
    sum((g * y).sum() for g, y in zip(gs, results, strict=True)).backward()
    arrays |= {"x": x.detach().numpy()} | ({} if x.grad is None else {"grad/x": x.grad.numpy()})
    for k, s in enumerate(states):
        arrays |= {f"state/{k}": s.detach().numpy(), f"grad/state/{k}": s.grad.numpy()}
    for k, (y, g) in enumerate(zip(results, gs, strict=True)):
        arrays |= {f"result/{k}": y.detach().numpy(), f"g/{k}": g.numpy()}
    return arrays | {f"grad/{name}": p.grad.numpy() for name, p in module.named_parameters()}


# --- our side --------------------------------------------------------------------------------------------------------


def weights_of(recorded: Arrays) -> Arrays:
    """The recorded state_dict."""
    return {name.removeprefix("weight/"): a for name, a in recorded.items() if name.startswith("weight/")}


def kind_of(case: Case) -> str | None:
    """What `from_torch` has to be told."""
    kinds = {"Embedding": "embedding", "Linear": "linear", "LayerNorm": "layer_norm"}
    return "rnn_relu" if "relu" in case.kind else kinds.get(case.kind.split()[0])


def options_of(case: Case) -> dict[str, Any]:
    """What no entry says."""
    return OPTIONS[case.kind.split()[-1]] if case.kind in OTHERS and " " in case.kind else {}


def run_ours(case: Case, recorded: Arrays) -> Arrays:
    """The same results and gradients by our modules, laid out as PyTorch's."""
    module: Any = nn.from_torch(weights_of(recorded), kind_of(case), **options_of(case))
    x = recorded["x"] if "Embedding" in case.kind else mg.tensor(recorded["x"], requires_grad=True)
    states = [mg.tensor(recorded[f"state/{k}"], requires_grad=True) for k in range(2) if f"state/{k}" in recorded]
    if case.kind in OTHERS:
        results = [module(x)]
    elif case.kind in CELLS:
        _, final = module(x, tuple(states) if len(states) == 2 else states[0])
        results = mg.tree_leaves(final)
    else:
        rows = [tuple(s[k] for s in states) if len(states) == 2 else states[0][k] for k in range(len(states[0]))]
        ys, finals = module(x, tuple(rows), LENGTHS if case.lengths else None)
        results = [ys, *(mg.stack([mg.tree_leaves(s)[k] for s in finals]) for k in range(len(states)))]
    total = 0.0
    for k, y in enumerate(results):
        total = total + (recorded[f"g/{k}"] * y).sum()
    total.backward()
    arrays = {f"result/{k}": y.data for k, y in enumerate(results)}
    arrays |= {} if "Embedding" in case.kind else {"grad/x": x.grad}
    arrays |= {f"grad/state/{k}": s.grad for k, s in enumerate(states)}
    for p in module.parameters():
        p.data = p.grad
    # gradients are laid out as weights are; that of each bias is that of their sum, but for a GRU's candidate
    grads = nn.to_torch(module)
    for name in [name for name in grads if "bias_hh" in name]:
        ours = slice(2 * H, 3 * H) if "GRU" in case.kind else slice(0)
        inside = grads[name][ours].copy()
        grads[name] = grads[name.replace("hh", "ih")].copy()
        grads[name][ours] = inside
    return arrays | {f"grad/{name}": g for name, g in grads.items()}


def differences(case: Case, recorded: Arrays) -> dict[str, float]:
    """The largest absolute difference among results, and among gradients."""
    ours, worst = run_ours(case, recorded), {"results": 0.0, "gradients": 0.0}
    names = [name for name in recorded if name.startswith(("result/", "grad/"))]
    assert sorted(names) == sorted(ours)
    for name in names:
        assert (ours[name].shape, ours[name].dtype) == (recorded[name].shape, recorded[name].dtype), name
        group = "results" if name.startswith("result") else "gradients"
        worst[group] = max(worst[group], float(np.abs(ours[name] - recorded[name]).max()))
    return worst


# --- the file: one vector for each case, and how to take it apart ----------------------------------------------------


def write(path: Path) -> None:
    """Record every case."""
    arrays, layout = {}, {}
    for k, case in enumerate(CASES):
        found = run_torch(case)
        layout[case.name] = [[name, list(a.shape), str(a.dtype)] for name, a in found.items()]
        arrays[str(k)] = np.concatenate([np.frombuffer(a.tobytes(), np.uint8) for a in found.values()])
    np.savez_compressed(path, layout=np.array(json.dumps(layout)), **arrays)  # type: ignore[arg-type]


def read(path: Path = RECORDED) -> dict[str, Arrays]:
    """The recorded arrays of each case, by its name."""
    cases = {}
    with np.load(path, allow_pickle=False) as archive:
        for k, (name, entries) in enumerate(json.loads(str(archive["layout"])).items()):
            data, start, cases[name] = archive[str(k)].tobytes(), 0, {}
            for entry, shape, dtype in entries:
                end = start + int(np.prod(shape)) * np.dtype(dtype).itemsize
                cases[name][entry] = np.frombuffer(data[start:end], dtype).reshape(shape)
                start = end
    return cases


def table() -> str:
    """The worst absolute differences of each kind in both dtypes, as Markdown."""
    lines = ["| module | float32 results | gradients | float64 results | gradients |", "|---|---|---|---|---|"]
    groups = {(c.kind, c.bidirectional, c.lengths): f"{c.kind}{', both directions' * c.bidirectional}"
              f"{', lengths' * c.lengths}" for c in CASES}  # fmt: skip
    for key, label in groups.items():
        cells = []
        for dtype in ("float32", "float64"):
            chosen = [c for c in CASES if (c.kind, c.bidirectional, c.lengths) == key and c.dtype == dtype]
            found = [differences(c, run_torch(c)) for c in chosen]
            cells += [f"{max(d[group] for d in found):.1e}" for group in ("results", "gradients")]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if importlib.util.find_spec("torch") is None:
        sys.exit("PyTorch is not installed: pip install torch")
    if sys.argv[1:] == ["table"]:
        print(table())
    else:
        RECORDED.parent.mkdir(exist_ok=True)
        write(RECORDED)
        print(f"{RECORDED}: {len(CASES)} cases, {RECORDED.stat().st_size:,} bytes")
