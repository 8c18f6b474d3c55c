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

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import minigrad as mg

from .cells import GRUCell, LSTMCell, ProjectedLSTMCell, RNNCell
from .conv import Conv2d
from .convert.modules import read, to_tool
from .convert.table import find
from .layers import Embedding, LayerNorm, Linear
from .module import Module, native
from .protocol import Cell
from .recurrent import Recurrent
from .variants import IRNNCell

Arrays = dict[str, np.ndarray]
RECURRENT = {"rnn_tanh": "RNN", "rnn_relu": "RNN(nonlinearity='relu')", "lstm": "LSTM", "gru": "GRU"}
AXES = {"linear": 2, "embedding": 2, "layer_norm": None, "conv2d": 4}  # of their weight
KINDS = (*RECURRENT, *AXES)
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
    if kind in RECURRENT:
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
        return to_tool(module, _layout(kinds.pop(), True))
    if isinstance(module, Cell):
        return to_tool(module, _layout(_kind_of(module), False))
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
    return native(np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value))


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
    if f"weight_hr{first}" in arrays and kind != "lstm":
        raise ValueError(f"from_torch: only an LSTM has weight_hr, not a {kind}")
    module: Module = read(replace(find(_layout(kind, bool(first))), name="from_torch", doubles=True), arrays)
    return module


def _layout(kind: str, layers: bool) -> str:
    """The name of a kind's layout, of layers or of a single cell."""
    name = RECURRENT[kind]
    return f"torch.nn.{name}" if layers else f"torch.nn.{name.replace('(', 'Cell(') if '(' in name else name + 'Cell'}"


def _kind_of(cell: Cell) -> str:
    kinds = {RNNCell: "rnn_tanh", IRNNCell: "rnn_relu", LSTMCell: "lstm", ProjectedLSTMCell: "lstm", GRUCell: "gru"}
    if type(cell) not in kinds:
        raise TypeError(f"to_torch: PyTorch has no counterpart of {cell.name}")
    if isinstance(cell, GRUCell) and (cell.reset, cell.z) != ("after", "old"):
        raise TypeError(f"to_torch: PyTorch's GRU is GRUCell(reset='after', z='old'), this one is {cell!r}")
    if type(cell) is RNNCell:
        return f"rnn_{cell.nonlinearity}"
    return kinds[type(cell)]
