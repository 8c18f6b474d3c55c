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
from .conv import Conv2d
from .layers import Embedding, LayerNorm, Linear
from .module import Module
from .protocol import Cell
from .recurrent import Recurrent
from .variants import IRNNCell, ProjectedLSTMCell

Arrays = dict[str, np.ndarray]
ORDER = {"rnn_tanh": [0], "rnn_relu": [0], "lstm": [1, 0, 3, 2], "gru": [1, 0, 2]}  # our gates among theirs
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
AXES = {"linear": 2, "embedding": 2, "layer_norm": None, "conv2d": 4}  # of their weight
KINDS = (*ORDER, *AXES)
OPTIONS = {"embedding": ("padding_idx",), "layer_norm": ("eps",), "conv2d": ("stride", "padding", "dilation", "groups")}


def from_torch(state_dict: Mapping[str, Any], kind: str | None = None, prefix: str = "", **options: Any) -> Module:
    """The module that a PyTorch module's `state_dict()` belongs to, with its weights and their dtype.

    RNN, LSTM (also with proj_size) and GRU, of any number of layers and both directions, become a `Recurrent`; RNNCell,
    LSTMCell and GRUCell a cell; Linear, Embedding, LayerNorm and Conv2d, with or without bias, what they are called
    here. Trained further, cells drift apart from PyTorch's, which move two biases where these move one: see above.

    Args:
        state_dict: names and PyTorch's tensors, or arrays. Entries of a recurrent module that are there a second time,
            equal, under another name (`0.cell.weight_ih`, as PaddlePaddle has them), are skipped.
        kind: one of rnn_tanh, rnn_relu, lstm, gru, linear, embedding, layer_norm, conv2d. None tells it from names and
            shapes, which do not say whether an RNN has tanh (then assumed) or relu, or whether a lone matrix is an
            Embedding, or a Linear or LayerNorm without bias (then it must be given). A weight of four axes is a Conv2d,
            unless its bias has four as well.
        prefix: take the entries whose names begin with it, as `"encoder."`.
        options: what PyTorch's entries do not say, where it is not the default: `stride`, `padding`, `dilation` and
            `groups` of a Conv2d, `padding_idx` of an Embedding, `eps` of a LayerNorm (1e-5).

    Raises:
        ValueError: if the kind is unknown or cannot be told; listing every missing, unexpected or mis-shaped entry.
        TypeError: if the module has no such option.

    >>> nn.from_torch({"weight": np.ones((6, 2, 3, 3))}, groups=2, padding="same")
    Conv2d(4, 6, (3, 3), stride=1, padding='same', groups=2)  # 108 parameters
    """
    arrays = {name[len(prefix) :]: _array(value) for name, value in state_dict.items() if name.startswith(prefix)}
    kind = _kind(arrays) if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"from_torch: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    for name in options:
        if name not in OPTIONS.get(kind, ()):
            takes = f"its options are {', '.join(OPTIONS[kind])}" if kind in OPTIONS else "it has none"
            raise TypeError(f"from_torch: a {kind} takes no option {name}=; {takes}")
    dtypes = {a.dtype for a in arrays.values()}
    if len(dtypes) > 1 or not all(d.kind == "f" for d in dtypes):
        raise ValueError(
            f"from_torch: all entries must have one floating-point dtype, found {sorted(map(str, dtypes))}"
        )
    if kind in ORDER:
        return _recurrent(arrays, kind)
    names = ["weight"] + ["bias"] * ("bias" in arrays and kind != "embedding")
    shape, axes = arrays["weight"].shape if "weight" in arrays else (), AXES[kind]
    if not shape or len(shape) != (axes or len(shape)):
        raise ValueError(f"from_torch: a {kind} needs a weight of {axes or 'at least 1'} axes, got {shape}")
    _check(arrays, {name: shape if name == "weight" or kind == "layer_norm" else shape[:1] for name in names})
    module: Module = _LAYERS[kind](arrays, arrays["weight"].dtype, **options)
    return module


def _linear(arrays: Arrays, dtype: Any) -> Module:
    O, I = arrays["weight"].shape
    return _loaded(Linear(I, O, "bias" in arrays, 0, dtype), W=arrays["weight"].T, b=arrays.get("bias"))


def _embedding(arrays: Arrays, dtype: Any, **options: Any) -> Module:
    V, O = arrays["weight"].shape
    return _loaded(Embedding(V, O, 0, dtype, **options), W=arrays["weight"])


def _layer_norm(arrays: Arrays, dtype: Any, eps: float = 1e-5) -> Module:
    module = LayerNorm(arrays["weight"].shape, eps, dtype, bias="bias" in arrays)
    return _loaded(module, scale=arrays["weight"], shift=arrays.get("bias"))


def _conv2d(arrays: Arrays, dtype: Any, groups: int = 1, **options: Any) -> Module:
    O, I, K, L = arrays["weight"].shape
    module = Conv2d(I * groups, O, (K, L), bias="bias" in arrays, rng=0, dtype=dtype, groups=groups, **options)
    return _loaded(module, W=arrays["weight"], b=arrays.get("bias"))


_LAYERS: Any = {"linear": _linear, "embedding": _embedding, "layer_norm": _layer_norm, "conv2d": _conv2d}


def _loaded(module: Module, **arrays: Any) -> Module:
    module.load_state_dict({name: a for name, a in arrays.items() if a is not None})
    return module


def to_torch(module: Module) -> Arrays:
    """The `state_dict` of the PyTorch module that computes the same, as plain arrays: the reverse of `from_torch`.

    Raises:
        TypeError: if PyTorch has no such module.

    >>> [(name, w.shape) for name, w in nn.to_torch(nn.RNN(3, 4, rng=0)).items()]
    [('weight_ih_l0', (4, 3)), ('weight_hh_l0', (4, 4)), ('bias_ih_l0', (4,)), ('bias_hh_l0', (4,))]
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
        return _filled(weight=module.W.data.T, bias=module.b)
    if type(module) is Conv2d:
        return _filled(weight=module.W, bias=module.b)
    if type(module) is Embedding:
        return _filled(weight=module.W)
    if type(module) is LayerNorm:
        return _filled(weight=module.scale, bias=module.shift)
    raise TypeError(f"to_torch: PyTorch has no counterpart of {type(module).__name__}")


def _filled(**entries: Any) -> Arrays:
    """The entries that are there, as arrays of their own."""
    return {name: np.array(_array(p), order="C") for name, p in entries.items() if p is not None}


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
    if "weight" in names <= {"weight", "bias"}:
        axes = arrays["weight"].ndim
        bias = arrays["bias"].ndim if "bias" in names else None
        if axes == 1 or (bias or 0) > 1:
            return "layer_norm"
        if axes == 4 or bias is not None:
            return "conv2d" if axes == 4 else "linear"
        raise ValueError('from_torch: a lone weight is an Embedding, or a Linear or LayerNorm without bias; pass '
                         'kind="embedding" or "linear" or "layer_norm"')  # fmt: skip
    if not names:
        raise ValueError("from_torch: there are no entries; a LayerNorm without weights is "
                         "nn.LayerNorm(I, elementwise_affine=False)")  # fmt: skip
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
    elif kind == "lstm":
        cell = LSTMCell(I, H, bias, 0, dtype)
    else:
        cell = RNNCell(I, H, bias, 0, dtype, nonlinearity=kind.removeprefix("rnn_"))
    cell.load_state_dict(state)
    return cell


def _kind_of(cell: Cell) -> str:
    kinds = {RNNCell: "rnn_tanh", IRNNCell: "rnn_relu", LSTMCell: "lstm", ProjectedLSTMCell: "lstm", GRUCell: "gru"}
    if type(cell) not in kinds:
        raise TypeError(f"to_torch: PyTorch has no counterpart of {cell.name}")
    if isinstance(cell, GRUCell) and (cell.reset, cell.z) != ("after", "old"):
        raise TypeError(f"to_torch: PyTorch's GRU is GRUCell(reset='after', z='old'), this one is {cell!r}")
    if type(cell) is RNNCell:
        return f"rnn_{cell.nonlinearity}"
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
