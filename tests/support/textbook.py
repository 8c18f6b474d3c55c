"""Recurrent networks in plain NumPy as a textbook writes them, and helpers to compare a module with them.

Column vectors, one sequence of the batch at a time, one matrix for each gate: nothing of how `nn` packs its weights
remains but the slices that take them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import minigrad as mg
import nn


def sigma(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(o: np.ndarray) -> np.ndarray:
    e = np.exp(o - o.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def gate(cell: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of gate k for [h, x], (H, H + I), and its bias."""
    H, part = cell.H, slice(k * cell.H, (k + 1) * cell.H)
    b = np.zeros(H) if cell.b is None else cell.b.data[part]
    return np.hstack([cell.W.data[:, part].T, cell.U.data[:, part].T]), b


def rnn(cell: Any, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    W, U = cell.W.data.T, cell.U.data.T
    a = W @ h + U @ x
    if cell.b is not None:
        a = cell.b.data + a
    h = np.tanh(a)
    return h, h


def elman(cell: Any, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    h, _ = rnn(cell, x, h)
    return cell.c.data + cell.V.data.T @ h, h


def lstm(cell: Any, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    h, C = state
    (W_f, b_f), (W_i, b_i), (W_o, b_o), (W_C, b_C) = (gate(cell, k) for k in range(4))
    hx = np.concatenate([h, x])
    f = sigma(W_f @ hx + b_f)
    i = sigma(W_i @ hx + b_i)
    o = sigma(W_o @ hx + b_o)
    C_tilde = np.tanh(W_C @ hx + b_C)
    C = f * C + i * C_tilde
    h = o * np.tanh(C)
    return h, (h, C)


def gru(cell: Any, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    H = cell.H
    (W_z, b_z), (W_r, b_r) = gate(cell, 0), gate(cell, 1)
    W = np.hstack([cell.W_h.data.T, cell.U.data[:, 2 * H :].T])
    b = np.zeros(H) if cell.b is None else cell.b.data[2 * H :]
    z = sigma(W_z @ np.concatenate([h, x]) + b_z)
    r = sigma(W_r @ np.concatenate([h, x]) + b_r)
    h_tilde = np.tanh(W @ np.concatenate([r * h, x]) + b)
    h = (1 - z) * h + z * h_tilde
    return h, h


STEPS = {nn.RNNCell: rnn, nn.ElmanCell: elman, nn.LSTMCell: lstm, nn.GRUCell: gru}


def unrolled(cell: Any, xs: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """Outputs (T, B, H) and the final state (B, H), or a pair of them, one sequence after the other."""
    step, columns, finals = STEPS[type(cell)], [], []
    for n in range(xs.shape[1]):
        s, outputs = mg.tree_map(lambda a, n=n: np.asarray(a)[n], state), []
        for x in xs[:, n]:
            y, s = step(cell, x, s)
            outputs.append(y)
        columns.append(np.stack(outputs))
        finals.append(s)
    return np.stack(columns, axis=1), mg.tree_map(lambda *rows: np.stack(rows), finals[0], *finals[1:])


# --- modules with chosen weights -------------------------------------------------------------------------------------


def randomised(module: Any, seed: int = 0, scale: float = 0.7) -> Any:
    """The module with every parameter, biases too, drawn from N(0, scale²): such matrices do not commute."""
    rng = np.random.default_rng(seed)
    for p in module.parameters():
        p.data = scale * rng.standard_normal(p.shape)
    return module


def make_cell(kind: Any, I: int, H: int, seed: int = 0, dtype: Any = np.float64, **options: Any) -> Any:
    if kind is nn.ElmanCell:
        options = {"O": 2} | options
    return randomised(kind(I, H, dtype=dtype, **options), seed)


def random_state(module: Any, B: int, rng: np.random.Generator) -> Any:
    """A state such as `initial_state` gives, of random plain arrays."""
    return mg.tree_map(lambda t: rng.standard_normal(t.shape), module.initial_state(B))


def put(module: Any, tensors: Any) -> list[tuple[Any, str, Any]]:
    """Put `tensors` where the module's parameters are, in the order of `named_parameters`; return (owner, name, it).

    They are a list, or one vector as `weights_of` gives it, which is cut into the shapes of the parameters.
    """
    places = []
    for path, p in module.named_parameters():
        *parents, name = path.split(".")
        owner = module
        for parent in parents:
            owner = owner[int(parent)] if isinstance(owner, list) else getattr(owner, parent)
        places.append((owner, name, p))
    if not isinstance(tensors, list):
        cuts = np.cumsum([p.size for _, _, p in places])[:-1].tolist()
        tensors = [part.reshape(p.shape) for part, (_, _, p) in zip(mg.split(tensors, cuts), places)]
    for (owner, name, _), t in zip(places, tensors, strict=True):
        setattr(owner, name, t)
    return places


@contextmanager
def swapped(module: Any, tensors: Any) -> Iterator[None]:
    """For the block, `tensors` stand where the module's parameters are: a list or a vector, as in `put`."""
    places = put(module, tensors)
    try:
        yield
    finally:
        for owner, name, p in places:
            setattr(owner, name, p)


def arrays_of(module: Any) -> list[np.ndarray]:
    return [p.data for p in module.parameters()]


def weights_of(module: Any) -> np.ndarray:
    """All parameters one after another in one vector: a check moves it as a whole, not twenty arrays one by one."""
    return np.concatenate([np.zeros(0), *(a.ravel() for a in arrays_of(module))])


def joined(f: Any, *inputs: Any) -> tuple[Any, np.ndarray]:
    """f as a function of one vector that holds all of `inputs`, whose result is one vector too; and that vector.

    Checked like this, a network's weights, inputs and states move together along a few random directions.
    """
    leaves = [np.asarray(x) for x in mg.tree_leaves(inputs)]
    cuts = np.cumsum([x.size for x in leaves])[:-1].tolist()

    def g(vector: Any) -> Any:
        parts = iter(mg.split(vector, cuts))
        results = f(*mg.tree_map(lambda x: next(parts).reshape(np.shape(x)), inputs))
        return mg.concatenate([y.reshape(-1) for y in mg.tree_leaves(results)])

    return g, np.concatenate([x.ravel() for x in leaves])


def grads_of(module: Any, output: Any, g: Any = None) -> dict[str, np.ndarray]:
    """The gradient of every parameter after one clean backward pass."""
    module.zero_grad()
    output.backward(g)
    return {name: p.grad for name, p in module.named_parameters()}


def own(module: Any) -> dict[str, Any]:
    """The parameters by name."""
    return dict(module.named_parameters())


def drawn(module: Any, seed: int = 1) -> dict[str, np.ndarray]:
    """Other values for the parameters."""
    rng = np.random.default_rng(seed)
    return {name: 0.7 * rng.standard_normal(p.shape) for name, p in module.named_parameters()}
