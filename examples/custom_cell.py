"""Your own recurrent cell, from its equation to a trained model: three from papers, beside an LSTM.

    python -m examples.custom_cell

A cell is one step of time, (x_t, state) -> (output_t, new state), in the words of its paper. Layers, both directions,
lengths, dropout and the gradient are `nn.Recurrent`'s and `backward()`'s business. Each of the three is first compared
with finite differences, at first and second order, and then trained on the adding problem (Hochreiter & Schmidhuber
1997, section 5.4): of a sequence of numbers from U(0, 1) two are marked, the answer is their sum. Guessing 1, the mean,
has the squared error 1/6 = 0.167. Sequences are of unequal lengths, so the answer is read from the final state.

Your own cell: write it as those below, and add it to `CELLS`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
import nn
from minigrad.testing import check_grad

from .common import Parser, add_options, at_least, command_on_ranks, number
from .training import Watch


class UGRNNCell(nn.Cell):
    """Update gate RNN: c = tanh(W_c [h, x] + b_c), g = σ(W_g [h, x] + b_g), h ← g h + (1 - g) c.

    Source: Collins, Sohl-Dickstein & Sussillo 2017, section 2.1; g starts near 1, as there.
    """

    def __init__(self, I: int, H: int, rng: Any = None, dtype: Any = np.float32) -> None:
        rng = np.random.default_rng(rng)
        self.H = H
        self.candidate = nn.Linear(H + I, H, rng=rng, dtype=dtype)
        self.gate = nn.Linear(H + I, H, rng=rng, dtype=dtype)
        self.gate.b.writable()[:] = 1

    def step(self, x: Any, h: Any) -> tuple[Any, Any]:
        hx = mg.concatenate([h, x], axis=1)
        c = mg.tanh(self.candidate(hx))
        g = mg.sigmoid(self.gate(hx))
        h = g * h + (1 - g) * c
        return h, h


class AntisymmetricCell(nn.Cell):
    """Antisymmetric RNN with a gate: A = W - Wᵀ - γ I, z = σ(A h + V_z x + b_z), h ← h + ε z tanh(A h + V_h x + b_h).

    A has eigenvalues near the imaginary axis, so that signals neither grow nor die out. `project` computes both V x + b
    for all times at once. Source: Chang, Chen, Haber & Chi 2019, equations 13 and 14.
    """

    def __init__(self, I: int, H: int, rng: Any = None, dtype: Any = np.float32, eps: float = 0.5) -> None:
        rng = np.random.default_rng(rng)
        self.H, self.eps, self.gamma = H, eps, 0.01
        self.V = nn.Linear(I, 2 * H, rng=rng, dtype=dtype)
        self.W = nn.parameter((rng.standard_normal((H, H)) / np.sqrt(H)).astype(dtype))

    def project(self, xs: Any) -> Any:
        return self.V(xs)

    def step(self, vx: Any, h: Any) -> tuple[Any, Any]:
        Ah = h @ (self.W.T - self.W) - self.gamma * h  # rows: h Aᵀ
        z = mg.sigmoid(Ah + vx[:, : self.H])
        h = h + self.eps * z * mg.tanh(Ah + vx[:, self.H :])
        return h, h


class MultiplicativeLSTMCell(nn.Cell):
    """Multiplicative LSTM: m = (W_mx x) * (W_mh h) stands where an LSTM has h; each input has its own transition.

    a = W_x x + W_m m + b (four blocks),  C ← σ(a_f) C + σ(a_i) tanh(a_C),  h ← σ(a_o) tanh(C): two states, by name.
    Source: Krause, Lu, Murray & Renals 2016, equations 16 to 21.
    """

    def __init__(self, I: int, H: int, rng: Any = None, dtype: Any = np.float32) -> None:
        rng = np.random.default_rng(rng)
        self.H = H
        self.of_x, self.of_h = (nn.Linear(n, H, bias=False, rng=rng, dtype=dtype) for n in (I, H))
        self.gates = nn.Linear(I + H, 4 * H, rng=rng, dtype=dtype)
        self.gates.b.writable()[:H] = 1  # of f, to begin with a long memory

    def initial_state(self, B: int) -> dict[str, Any]:
        return {"h": super().initial_state(B), "C": super().initial_state(B)}

    def step(self, x: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        m = self.of_x(x) * self.of_h(state["h"])
        f, i, o, a = mg.split(self.gates(mg.concatenate([x, m], axis=1)), 4, axis=1)
        C = mg.sigmoid(f) * state["C"] + mg.sigmoid(i) * mg.tanh(a)
        h = mg.sigmoid(o) * mg.tanh(C)
        return h, {"h": h, "C": C}


CELLS = {"UGRNN": UGRNNCell, "antisymmetric": AntisymmetricCell, "mLSTM": MultiplicativeLSTMCell}


def check(kind: Any) -> None:
    """Compare a cell's derivatives with finite differences: two layers, T = 3, unequal lengths, orders 1 and 2."""
    cells = kind(2, 3, rng=0, dtype=np.float64), kind(3, 2, rng=1, dtype=np.float64)
    net, rng = nn.Recurrent(*cells), np.random.default_rng(0)
    state = mg.tree_map(lambda s: rng.standard_normal(s.shape), net.initial_state(2))
    f = lambda xs, state: net(xs, state, lengths=[3, 2])
    check_grad(f, rng.standard_normal((3, 2, 2)), state, order=2, mode="project")


def adding(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers and marks (T, B, 2), the sums of the two marked numbers (B, 1), and the lengths (B,), T/2 to T."""
    lengths = rng.integers(T // 2, T + 1, B)
    xs = np.zeros((T, B, 2), np.float32)
    xs[:, :, 0] = rng.random((T, B))
    first, other = rng.integers(0, lengths), rng.integers(0, lengths - 1)
    for marked in (first, other + (other >= first)):  # two different ones
        xs[marked, np.arange(B), 1] = 1
    return xs, (xs[:, :, 0] * xs[:, :, 1]).sum(axis=0)[:, None], lengths


class Model(nn.Module):
    """The answer is linear in what the cell put out at each sequence's own last step."""

    def __init__(self, cell: nn.Cell, H: int) -> None:
        self.recurrent, self.head = nn.Recurrent(cell), nn.Linear(H, 1, rng=2)

    def forward(self, xs: np.ndarray, lengths: np.ndarray) -> Any:
        _, (state,) = self.recurrent(xs, lengths=lengths)
        return self.head(mg.tree_leaves(state)[0])


def train(name: str, cell: nn.Cell, o: Any) -> tuple[float, float, Model]:
    """The squared error on new sequences after some steps of Adam, the CPU seconds they took, and the model."""
    model, rng = Model(cell, o.hidden), np.random.default_rng([o.seed, 1])
    optimizer = nn.Adam(model.parameters(), nn.cosine_decay(o.lr, o.steps, warmup=o.steps // 20))
    start = time.process_time()
    with Watch(model, 1 / 6, o, name, "to say 1 always has") as watch:
        for _ in range(o.steps):
            xs, sums, lengths = adding(o.length, 64, rng)
            optimizer.zero_grad()
            loss, mine = None, watch.share(len(sums))
            if len(mine):
                loss = nn.mse_loss(model(xs[:, mine], lengths[mine]), sums[mine])
                loss.backward()
            watch.average(loss, len(mine))
            nn.clip_grad_norm(model.parameters(), o.clip)
            optimizer.step()
    seconds = time.process_time() - start
    xs, sums, lengths = adding(o.length, 2000, np.random.default_rng([o.seed, 2]))
    with mg.no_grad():
        return nn.mse_loss(model(xs, lengths), sums).item(), seconds, model


@command_on_ranks
def main(argv: Sequence[str]) -> None:
    """Check, train, and print one line for each cell."""
    title, *_, own = str(__doc__).strip().split("\n\n")
    parser = Parser(prog="python -m examples.custom_cell", description=title, epilog=own)
    add_options(parser, hidden=32, steps=800, lr=1e-2, clip=1.0)
    parser.add_argument(
        "--length", type=at_least(4, below=100_001), default=30, help="of the longest sequences (default: 30)"
    )
    if "--quick" in argv:
        parser.set_defaults(steps=60, length=10)
    o = parser.parse_args(argv)
    print("cell           derivatives  weights  squared error  CPU seconds")
    for name, kind in {**CELLS, "LSTM": nn.LSTMCell}.items():
        if name in CELLS:
            check(kind)
        error, seconds, model = train(name, kind(2, o.hidden, rng=o.seed), o)
        checked, weights = "checked" if name in CELLS else "shipped", sum(p.size for p in model.parameters())
        print(f"{name:14s} {checked}      {number(weights):>7}  {error:13.4f}  {seconds:11.1f}")
    print(f"always 1                               {1 / 6:13.4f}")


if __name__ == "__main__":
    raise SystemExit(main())
