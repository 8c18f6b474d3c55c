"""PyTorch's weights, both ways; PyTorch itself is not needed.

    net = nn.from_torch(lstm.state_dict())
    lstm.load_state_dict({name: torch.from_numpy(a) for name, a in nn.to_torch(net).items()})

PyTorch keeps matrices transposed, gates as i f g o (LSTM) and r z n (GRU), and two biases where one does: these are
added up, and go back as that sum and zeros. A GRU becomes `GRUCell(reset="after", z="old")`.

Results and gradients are the same, but further training is not: PyTorch trains both biases, so that their sum moves
twice as far in a step as our one. To follow it, give `b` of the cells an optimiser of twice the learning rate (in a GRU
that is true of z and r alone, `b[:2 * H]`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

import minigrad as mg

from .cells import GRUCell, LSTMCell, RNNCell
from .layers import Embedding, LayerNorm, Linear
from .module import Module
from .protocol import Cell
from .recurrent import Recurrent
from .variants import IRNNCell, ProjectedLSTMCell

Arrays = dict[str, np.ndarray]
ORDER = {"rnn_tanh": [0], "rnn_relu": [0], "lstm": [1, 0, 3, 2], "gru": [1, 0, 2]}  # our gates among theirs
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
KINDS = (*ORDER, "linear", "embedding", "layer_norm")


def from_torch(state_dict: Mapping[str, Any], kind: str | None = None, prefix: str = "") -> Module:
    """The module that a PyTorch module's `state_dict()` belongs to, with its weights and their dtype.

    RNN, LSTM (also with proj_size) and GRU, of any number of layers and both directions, become a `Recurrent`; RNNCell,
    LSTMCell and GRUCell a cell; Linear, Embedding and LayerNorm (ε = 1e-5) what they are called here. Trained further,
    cells drift apart from PyTorch's, which move two biases where these move one: see above.

    Args:
        state_dict: names and PyTorch's tensors, or arrays. Entries of a recurrent module that are there a second time,
            equal, under another name (`0.cell.weight_ih`, as PaddlePaddle has them), are skipped.
        kind: one of rnn_tanh, rnn_relu, lstm, gru, linear, embedding, layer_norm. None tells it from names and shapes,
            which do not say whether an RNN has tanh (then assumed) or relu, or whether a lone matrix is an Embedding
            or a Linear without bias (then it must be given).
        prefix: take the entries whose names begin with it, as `"encoder."`.

    Raises:
        ValueError: if the kind is unknown or cannot be told; listing every missing, unexpected or mis-shaped entry.
    """
    arrays = {name[len(prefix) :]: _array(value) for name, value in state_dict.items() if name.startswith(prefix)}
    kind = _kind(arrays) if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"from_torch: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    dtypes = {a.dtype for a in arrays.values()}
    if len(dtypes) > 1 or not all(d.kind == "f" for d in dtypes):
        raise ValueError(
            f"from_torch: all entries must have one floating-point dtype, found {sorted(map(str, dtypes))}"
        )
    if kind in ORDER:
        return _recurrent(arrays, kind)
    names = {"linear": ["weight", "bias"], "embedding": ["weight"], "layer_norm": ["weight", "bias"]}[kind]
    if kind == "linear" and "bias" not in arrays:
        names = ["weight"]
    shape = arrays["weight"].shape if "weight" in arrays else ()
    if len(shape) != (1 if kind == "layer_norm" else 2):
        raise ValueError(f"from_torch: a {kind} needs a weight of {1 if kind == 'layer_norm' else 2} axes, got {shape}")
    _check(arrays, {name: shape if name == "weight" else shape[:1] for name in names})
    weight, dtype = arrays["weight"], arrays["weight"].dtype
    module: Any
    if kind == "linear":
        module = Linear(shape[1], shape[0], "bias" in arrays, 0, dtype)
        module.load_state_dict({"W": weight.T} | ({"b": arrays["bias"]} if "bias" in arrays else {}))
    elif kind == "embedding":
        module = Embedding(shape[0], shape[1], 0, dtype)
        module.load_state_dict({"W": weight})
    else:
        module = LayerNorm(shape[0], dtype=dtype)
        module.load_state_dict({"scale": weight, "shift": arrays["bias"]})
    return module  # type: ignore[no-any-return]


def to_torch(module: Module) -> Arrays:
    """The `state_dict` of the PyTorch module that computes the same, as plain arrays: the reverse of `from_torch`.

    Raises:
        TypeError: if PyTorch has no such module.
    """
    if isinstance(module, Recurrent):
        if module.reverse or module.residual:
            raise TypeError("to_torch: PyTorch's recurrent modules have neither reverse= nor residual=")
        kinds = {_kind_of(cell) for cell in module.cells}
        if len(kinds) > 1:
            raise TypeError(f"to_torch: all cells must be of one kind, got {sorted(kinds)}")
        arrays: Arrays = {}
        for k, cell in enumerate(module.cells):
            suffix = f"_l{k // module.directions}" + ("_reverse" if k % module.directions else "")
            arrays |= {name + suffix: a for name, a in _from_cell(cell).items()}
        return arrays
    if isinstance(module, Cell):
        return _from_cell(module)
    if type(module) is Linear:
        bias = {} if module.b is None else {"bias": module.b.data.copy()}
        return {"weight": np.ascontiguousarray(module.W.data.T)} | bias
    if type(module) is Embedding:
        return {"weight": module.W.data.copy()}
    if type(module) is LayerNorm:
        return {"weight": module.scale.data.copy(), "bias": module.shift.data.copy()}
    raise TypeError(f"to_torch: PyTorch has no counterpart of {type(module).__name__}")


def _array(value: Any) -> np.ndarray:
    if isinstance(value, mg.Tensor):
        return value.data
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _kind(arrays: Arrays) -> str:
    names = set(arrays)
    layer = next((name for name in ("weight_ih_l0", "weight_ih") if name in names), None)
    if layer is not None:
        hidden = arrays.get(layer.replace("ih", "hr"), arrays.get(layer.replace("ih", "hh")))
        gates = arrays[layer].shape[0] // hidden.shape[-1] if hidden is not None and hidden.shape[-1:] > (0,) else 0
        if gates in (1, 3, 4):
            return {1: "rnn_tanh", 3: "gru", 4: "lstm"}[gates]
    if names == {"weight", "bias"}:
        return "layer_norm" if arrays["weight"].ndim == 1 else "linear"
    if names == {"weight"}:
        raise ValueError('from_torch: a lone weight is an Embedding or a Linear without bias; pass kind="embedding" or '
                         '"linear"')  # fmt: skip
    raise ValueError(f"from_torch: these are not the entries of a module it knows: {sorted(names)}; for a part of a "
                     'larger model pass prefix="name."')  # fmt: skip


def _check(arrays: Arrays, wanted: dict[str, tuple[int, ...]]) -> None:
    faults = [f"missing: {name} {shape}" for name, shape in wanted.items() if name not in arrays]
    for name, a in arrays.items():
        if name not in wanted:
            faults.append(f"unexpected: {name} {a.shape}")
        elif a.shape != wanted[name]:
            faults.append(f"mismatched: {name} is {a.shape}, not {wanted[name]}")
    if faults:
        raise ValueError("from_torch: the entries do not fit together:\n  " + "\n  ".join(faults))


# --- recurrent modules -----------------------------------------------------------------------------------------------


def _recurrent(arrays: Arrays, kind: str) -> Module:
    first = next((s for s in ("_l0", "") if f"weight_ih{s}" in arrays and f"weight_hh{s}" in arrays), None)
    if first is None or {arrays[f"weight_{part}{first}"].ndim for part in ("ih", "hh")} != {2}:
        raise ValueError(f"from_torch: a {kind} needs matrices weight_ih and weight_hh, or weight_ih_l0 and "
                         f"weight_hh_l0, got {sorted(arrays)}")  # fmt: skip
    gates, projected = len(ORDER[kind]), f"weight_hr{first}" in arrays
    O, H = arrays[f"weight_hh{first}"].shape[1], arrays[f"weight_ih{first}"].shape[0] // gates
    numbers = [int(found[1]) for name in arrays if (found := re.search(r"_l(\d+)(_reverse)?$", name))]
    sides = ["", "_reverse"] if any(name.endswith("_reverse") for name in arrays) else [""]
    layers = range(min(max(numbers, default=0) + 1, len(arrays)))
    suffixes = [f"_l{layer}{side}" for layer in layers for side in sides] if first else [""]
    wanted: dict[str, tuple[int, ...]] = {}
    for k, suffix in enumerate(suffixes):
        I = arrays[f"weight_ih{first}"].shape[1] if k < len(sides) else O * len(sides)
        wanted |= {f"weight_ih{suffix}": (gates * H, I), f"weight_hh{suffix}": (gates * H, O)}
        if f"bias_ih{first}" in arrays or f"bias_hh{first}" in arrays:
            wanted |= {f"bias_ih{suffix}": (gates * H,), f"bias_hh{suffix}": (gates * H,)}
        if projected:
            wanted[f"weight_hr{suffix}"] = (O, H)
    if projected and kind != "lstm":
        raise ValueError(f"from_torch: only an LSTM has weight_hr, not a {kind}")
    _check(_without_doubles(arrays, wanted), wanted)
    own = [{name: arrays[name + suffix] for name in PARTS if name + suffix in wanted} for suffix in suffixes]
    cells = [_to_cell(part, kind) for part in own]
    return Recurrent(*cells, bidirectional=len(sides) == 2) if first else cells[0]


def _without_doubles(arrays: Arrays, wanted: dict[str, tuple[int, ...]]) -> Arrays:
    """The entries without those that equal a wanted one of the same part, and are called otherwise."""

    def double(name: str) -> bool:
        part = next((part for part in PARTS if name.endswith(f".{part}")), None)
        others = [arrays[other] for other in wanted if part is not None and other.startswith(part) and other in arrays]
        return any([np.array_equal(arrays[name], other) for other in others])

    return {name: a for name, a in arrays.items() if name in wanted or not double(name)}


def _blocks(a: np.ndarray, order: list[int]) -> np.ndarray:
    """The blocks along the last axis in another order."""
    parts = np.split(a, len(order), axis=-1)
    return np.concatenate([parts[k] for k in order], axis=-1)


def _to_cell(part: Arrays, kind: str) -> Cell:
    order, bias = ORDER[kind], "bias_ih" in part
    U, W = (_blocks(part[name].T, order) for name in ("weight_ih", "weight_hh"))
    (I, H), dtype = (U.shape[0], U.shape[1] // len(order)), U.dtype
    state = {"U": U, "W": W}
    cell: Cell
    if bias:
        b_ih, b_hh = (_blocks(part[name], order) for name in ("bias_ih", "bias_hh"))
        state["b"] = b_ih + b_hh
    if kind == "gru":
        cell = GRUCell(I, H, bias, 0, dtype, reset="after", z="old")
        state |= {"W": W[:, : 2 * H], "W_h": W[:, 2 * H :]}
        if bias:
            state["b"] = np.concatenate([state["b"][: 2 * H], b_ih[2 * H :]])
            state["b_h"] = b_hh[2 * H :]
    elif "weight_hr" in part:
        cell = ProjectedLSTMCell(I, H, W.shape[0], bias, 0, dtype)
        state["P"] = part["weight_hr"].T
    else:
        kinds: dict[str, Any] = {"lstm": LSTMCell, "rnn_tanh": RNNCell, "rnn_relu": IRNNCell}
        cell = kinds[kind](I, H, bias, 0, dtype)
    cell.load_state_dict(state)
    return cell


def _kind_of(cell: Cell) -> str:
    kinds = {RNNCell: "rnn_tanh", IRNNCell: "rnn_relu", LSTMCell: "lstm", ProjectedLSTMCell: "lstm", GRUCell: "gru"}
    if type(cell) not in kinds:
        raise TypeError(f"to_torch: PyTorch has no counterpart of {cell.name}")
    if isinstance(cell, GRUCell) and (cell.reset, cell.z) != ("after", "old"):
        raise TypeError(f"to_torch: PyTorch's GRU is GRUCell(reset='after', z='old'), this one is {cell!r}")
    return kinds[type(cell)]


def _from_cell(cell: Any) -> Arrays:
    kind = _kind_of(cell)
    inverse = np.argsort(ORDER[kind]).tolist()
    W = np.hstack([cell.W.data, cell.W_h.data]) if kind == "gru" else cell.W.data
    arrays = {name: np.ascontiguousarray(_blocks(a, inverse).T)
              for name, a in {"weight_ih": cell.U.data, "weight_hh": W}.items()}  # fmt: skip
    if cell.b is not None:
        arrays["bias_ih"] = _blocks(cell.b.data, inverse)
        arrays["bias_hh"] = np.zeros_like(cell.b.data)
        if kind == "gru":
            arrays["bias_hh"][2 * cell.H :] = cell.b_h.data
    if isinstance(cell, ProjectedLSTMCell):
        arrays["weight_hr"] = np.ascontiguousarray(cell.P.data.T)
    return arrays
