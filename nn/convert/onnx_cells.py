"""Which of our cells ONNX knows, and their weights as ONNX has them.

| ours                                 | ONNX, attributes                | blocks                                    |
|--------------------------------------|---------------------------------|-------------------------------------------|
| RNNCell, IRNNCell                    | RNN, Tanh or Relu               | as they are                               |
| LSTMCell, PeepholeLSTMCell: f i o C̃  | LSTM                            | i o f c; P: i o f                         |
| CoupledLSTMCell: f o C̃               | LSTM, since σ(-a) = 1 - σ(a)    | i = -f, o, f, c                           |
| GRUCell: z r h̃                       | GRU, linear_before_reset=1 for  | z r h, with -z for z="new": ONNX has      |
|                                      | reset="after", else 0           | h = (1 - z) h̃ + z h                       |

ONNX has rows W (H, I), two halves of the bias, of which ours is the first (the second holds b_h), and a first axis of
one entry for each direction.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

from ..cells import GRUCell, LSTMCell, RNNCell
from ..protocol import Cell
from ..variants import CoupledLSTMCell, IRNNCell, PeepholeLSTMCell

NEW_Z = 'minigrad: GRUCell(z="new")'


class Weights(NamedTuple):
    """One direction of a recurrent node: W (G H, I), R (G H, H), B (2 G H,) or None, P (3 H,) or None."""

    operator: str
    W: np.ndarray
    R: np.ndarray
    B: np.ndarray | None = None
    P: np.ndarray | None = None
    attributes: dict[str, Any] = {}  # noqa: RUF012 (read only)
    note: str = ""


KNOWN: tuple[type[Any], ...] = (PeepholeLSTMCell, CoupledLSTMCell, LSTMCell, GRUCell, IRNNCell, RNNCell)
_WRITTEN = ("step", "_step", "project", "forward")


def kind_of(cell: Cell) -> type[Cell] | None:
    """Which of the known cells this computes the same as; None if none, or its weights are results."""
    own = type(cell)
    for kind in KNOWN:
        if isinstance(cell, kind) and all([getattr(own, w, None) is getattr(kind, w, None) for w in _WRITTEN]):
            if set(_WRITTEN) & vars(cell).keys():
                return None
            weights = [t for t in vars(cell).values() if isinstance(t, mg.Tensor)]
            leaves = all([t.primitive is None and (t.requires_grad or t.role is not None) for t in weights])
            return kind if leaves else None
    return None


def blocks(a: np.ndarray, order: list[int], count: int) -> np.ndarray:
    """The blocks along the last axis, of so many, in this order; -1 - k stands for block k negated."""
    parts = np.split(a, count, axis=-1)
    return np.concatenate([parts[k] if k >= 0 else -parts[-1 - k] for k in order], axis=-1)


def to_weights(cell: Any) -> Weights:
    """The weights of a cell that `kind_of` knows."""
    kind: Any = kind_of(cell)
    U, W, b = cell.U.data, cell.W.data, None if cell.b is None else cell.b.data
    attributes: dict[str, Any] = {}
    note, second, P = "", None, None
    if kind is GRUCell:
        order, operator = [-1 if cell.z == "new" else 0, 1, 2], "GRU"
        W = np.hstack([W, cell.W_h.data])
        attributes["linear_before_reset"] = int(cell.reset == "after")
        note = NEW_Z if cell.z == "new" else ""
        if cell.b_h is not None:
            second = np.concatenate([np.zeros(2 * cell.H, W.dtype), cell.b_h.data])
    elif kind in (RNNCell, IRNNCell):
        order, operator = [0], "RNN"
        attributes["activations"] = ["Relu" if kind is IRNNCell or cell.nonlinearity == "relu" else "Tanh"]
    else:
        operator = "LSTM"
        order = [-1, 1, 0, 2] if kind is CoupledLSTMCell else [1, 2, 0, 3]
        if kind is PeepholeLSTMCell:
            P = np.concatenate([cell.p_i.data, cell.p_o.data, cell.p_f.data])
    count = U.shape[-1] // cell.H
    B = None
    if b is not None:
        B = np.concatenate(
            [blocks(b, order, count), np.zeros(len(order) * cell.H, b.dtype) if second is None else second]
        )
    return Weights(operator, blocks(U, order, count).T, blocks(W, order, count).T, B, P, attributes, note)


def from_weights(w: Weights, H: int) -> Cell:
    """The cell that these are the weights of.

    An LSTM whose forget block is its input block negated is a coupled one.
    """
    U, W = w.W.T, w.R.T
    dtype, I, G = U.dtype, len(U), {"RNN": 1, "GRU": 3, "LSTM": 4}[w.operator]
    first, second = (None, None) if w.B is None else np.split(w.B, 2)
    bias = first is not None
    state: dict[str, Any] = {}
    cell: Cell
    if w.operator == "GRU":
        after, new = w.attributes.get("linear_before_reset", 0), w.note == NEW_Z
        cell = GRUCell(I, H, bias, 0, dtype, reset="after" if after else "before", z="new" if new else "old")
        order = [-1 if new else 0, 1, 2]
        if first is not None and second is not None:
            if after:
                state["b_h"] = second[2 * H :]
                second = np.concatenate([second[: 2 * H], np.zeros(H, dtype)])
            first = _added(first, second)
        W = blocks(W, order, G)
        state |= {"W": W[:, : 2 * H], "W_h": W[:, 2 * H :]}
    else:
        first = None if first is None or second is None else _added(first, second)
        coupled = w.operator == "LSTM" and w.P is None and all(
            [a is None or np.array_equal(blocks(a, [2], 4), blocks(a, [-1], 4)) for a in (U, W, first)]
        )  # fmt: skip
        order = [0] if G == 1 else [2, 1, 3] if coupled else [2, 0, 1, 3]
        relu = w.attributes.get("activations") == ["Relu"]
        kinds: dict[str, Any] = {"RNN": functools.partial(RNNCell, nonlinearity="relu") if relu else RNNCell}
        kinds["LSTM"] = CoupledLSTMCell if coupled else LSTMCell if w.P is None else PeepholeLSTMCell
        cell = kinds[w.operator](I, H, bias, 0, dtype)
        if w.P is not None:
            state |= dict(zip(("p_i", "p_o", "p_f"), np.split(w.P, 3)))
        state["W"] = blocks(W, order, G)
    state["U"] = blocks(U, order, G)
    if first is not None:
        state["b"] = blocks(first, order, G)
    cell.load_state_dict(state)
    return cell


def _added(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(b == 0, a, a + b))  # so that -0.0 stays
