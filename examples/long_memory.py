"""How far back can a network learn? The vanishing gradient, seen, and what it does to learning.

    python -m examples.long_memory

The gradient of a loss after T steps with respect to an earlier state is a product of T - t Jacobians,

    ∂L/∂h_t = ∂L/∂h_T  ∂h_T/∂h_{T-1}  ...  ∂h_{t+1}/∂h_t

which vanishes or explodes with T - t (Hochreiter 1991; Bengio, Simard & Frasconi 1994). The LSTM has a path without
such a product, C_t = f_t * C_{t-1} + ..., and so has the GRU. Two tasks show what that is worth, at growing lengths:

adding   Each step has a number from U(0, 1) and a mark; two of the T steps are marked. What is the sum of their two
         numbers? To say 1 always has a mean squared error of 1/6 = 0.167 (Hochreiter & Schmidhuber 1997).
copying  Remember some symbols over a delay, then repeat them. A guess is right once in four times.

Last, the adding problem with simple RNNs only: from small random, orthogonal and identity matrices W, with the
gradient's norm clipped and not. That of the identity is relu(x U + h W + b) (Le, Jaitly & Hinton 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import COLOURS, GREY, Progress, at_least, command, need, number, output_folder, picture

SYMBOLS, REMEMBERED = 4, 3
ENOUGH = {"adding": 5e-4, "copying": 1e-3}  # training stops at this error
SUCCESS = {"adding": 1 / 60, "copying": 0.05}  # and has succeeded below that: a tenth of the guess, 95 % right
GUESS = {"adding": 1 / 6, "copying": 1 - 1 / SYMBOLS}

# --- data -----------------------------------------------------------------------------------------------------------


def adding(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (T, B, 2) of numbers and marks, one mark in each half, and the sums (1, B, 1)."""
    values, marks = rng.random((T, B)), np.zeros((T, B))
    marks[rng.integers(0, T // 2, B), np.arange(B)] = 1
    marks[rng.integers(T // 2, T, B), np.arange(B)] = 1
    xs = np.stack([values, marks], axis=-1).astype(np.float32)
    return xs, (values * marks).sum(axis=0)[None, :, None].astype(np.float32)


def copying(delay: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Symbols, then blanks, then as many signals to repeat them: integers (delay + 2 K, B); the symbols (K, B)."""
    symbols = rng.integers(0, SYMBOLS, (REMEMBERED, B))
    blanks, signals = np.full((delay, B), SYMBOLS), np.full((REMEMBERED, B), SYMBOLS + 1)
    return np.concatenate([symbols, blanks, signals]), symbols


TASKS: dict[str, Any] = {"adding": (adding, 2, 1), "copying": (copying, SYMBOLS + 2, SYMBOLS)}

# --- model ----------------------------------------------------------------------------------------------------------


class IdentityRNNCell(nn.RNNCell):
    """h_t = relu(x_t U + h_{t-1} W + b), where W starts as the identity: h at first adds up its inputs."""

    def step(self, x: Any, h: Any) -> tuple[Any, Any]:
        h = mg.maximum(x + h @ self.W, 0.0)
        return h, h


def make_cell(name: str, I: int, H: int, rng: np.random.Generator) -> nn.Cell:
    """A cell by name; W of "rnn" and "orthogonal" starts orthogonal, of "gain 0.5" from N(0, 0.5² / H)."""
    if name.startswith("gain"):
        cell: nn.Cell = nn.RNNCell(I, H, rng=rng)
        cell.W.data = float(name.split()[1]) / np.sqrt(H) * rng.standard_normal((H, H))
    elif name == "identity":
        cell = IdentityRNNCell(I, H, rng=rng)
        cell.W.data, cell.U.data = np.eye(H), 0.001 * rng.standard_normal((I, H))
    elif name == "lstm, forget bias 0":
        cell = nn.LSTMCell(I, H, rng=rng, forget_bias=0.0)
    else:
        cell = {"rnn": nn.RNNCell, "orthogonal": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}[name](
            I, H, rng=rng
        )
    return cell


class Network(nn.Module):
    """Sequences (T, B, I) or integers (T, B) -> the outputs h_t V + c of the last `n` steps, (n, B, O)."""

    def __init__(self, cell: nn.Cell, O: int, rng: np.random.Generator) -> None:
        self.recurrent, self.output = nn.Recurrent(cell), nn.Linear(cell.H, O, rng=rng)

    def forward(self, xs: Any, n: int) -> Any:
        h, _ = self.recurrent(xs)
        return self.output(h[len(xs) - n :])


def loss_of(outputs: Any, targets: np.ndarray) -> Any:
    """Cross-entropy for symbols, mean squared error for numbers."""
    return nn.cross_entropy(outputs, targets) if targets.dtype.kind == "i" else nn.mse_loss(outputs, targets)


def gradient_norms(network: Network, T: int, rng: np.random.Generator) -> np.ndarray:
    """|∂L/∂h_t| for t = 1 ... T, where L is the squared error of the adding problem, summed over 50 sequences."""
    xs, targets = adding(T, 50, rng)
    (cell,) = network.recurrent.cells
    state, zeros = cell.initial_state(50), np.zeros((50, cell.H), np.float32)
    projected, nudges = cell.project(mg.tensor(xs)), []
    for t in range(T):
        h, state = cell.step(projected[t], state)
        nudges.append(mg.tensor(zeros, requires_grad=True))  # ∂L/∂h_t is that of a zero which is added to h_t
        h = h + nudges[-1]
        state = (h, state[1]) if isinstance(state, tuple) else h
    nn.mse_loss(network.output(h), targets[0], reduction="sum").backward()
    return np.array([float(np.linalg.norm(nudge.grad.astype(np.float64))) for nudge in nudges])


# --- training -------------------------------------------------------------------------------------------------------


@mg.no_grad()
def error_of(network: Network, task: str, length: int, seed: int) -> float:
    """The error on 500 new sequences: mean squared for adding, the fraction of wrong symbols for copying."""
    xs, targets = TASKS[task][0](length, 500, np.random.default_rng([seed, 1]))
    outputs = network(xs, len(targets)).data
    wrong = outputs.argmax(axis=-1) != targets if task == "copying" else (outputs - targets) ** 2
    return float(wrong.mean())


def train(name: str, task: str, length: int, clip: float, o: Any, progress: Progress, done: float) -> Any:
    """Train until it is good enough or has had all its steps: the network, [(step, error)], the largest norm."""
    draw, I, O = TASKS[task]
    rng = np.random.default_rng(o.seed)
    network = Network(make_cell(name, I, o.hidden, rng), O, rng)
    optimizer = nn.Adam(network.parameters(), o.lr)
    errors, largest = [(0, error_of(network, task, length, o.seed))], 0.0

    @mg.compile
    def loss_and_gradients(xs: Any, targets: Any) -> Any:
        loss = loss_of(network(xs, len(targets)), targets)
        loss.backward()
        return loss

    for step in range(1, o.steps + 1):
        xs, targets = draw(length, o.batch_size, rng)
        optimizer.zero_grad()
        loss_and_gradients(xs, targets)
        try:
            largest = max(largest, nn.clip_grad_norm(optimizer.params, clip))
        except FloatingPointError:  # no longer finite: there is no way back
            errors.append((step, np.inf))
            break
        optimizer.step()
        if step % o.check_every == 0 or step == o.steps:
            errors.append((step, error_of(network, task, length, o.seed)))
            if errors[-1][1] < ENOUGH[task] and not o.all_steps:
                break
        if progress.due():
            progress.update(done, f"{task}, length {length}, {name}, step {number(step)}", f"error {errors[-1][1]:.2g}")
    step, error = errors[-1]
    verdict = "learnt" if error < SUCCESS[task] else "failed"
    clipped = f"gradient up to {largest:.2g}{'' if clip < 1e30 else ', not clipped'}"
    progress.say(f"{task:8}{length:4}  {name:10} {verdict}, error {error:.1e} after {number(step)} steps, {clipped}")
    return network, errors, largest


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, norms: Any, results: Any, inits: Any, o: Any) -> None:
    """The gradient before and after training, the errors over lengths, and the RNNs' errors over the steps."""
    colours = {**COLOURS, "gain 0.5": GREY, "gain 1.5": "#cc79a7", "lstm, forget bias 0": "#56b4e9"}
    with picture(path) as figure:
        figure.set_size_inches(9.6, 6.8)
        top, bottom = figure.subfigures(2, 1)
        for axes, moment in zip(top.subplots(1, 2, sharey=True), ("before", "after")):
            for name, norm in norms[moment].items():
                label = {"rnn": "RNN, orthogonal W", "gru": "GRU", "lstm": "LSTM, forget bias 1"}.get(name, name)
                label = label.replace("gain", "RNN, random W, gain").replace("lstm,", "LSTM,")
                axes.semilogy(np.arange(len(norm))[::-1], norm / norm[-1], color=colours[name], label=label)
            axes.set(xlabel="steps back, $T - t$", title=f"Gradient {moment} training", ylim=(1e-16, 1e4))
        before, after = top.axes
        before.set_ylabel(r"$|\partial L/\partial h_t|$ relative to $|\partial L/\partial h_T|$")
        after.legend(*before.get_legend_handles_labels(), fontsize=8, loc="lower left")
        panels = bottom.subplots(1, 3)
        for axes, task in zip(panels, TASKS):
            lengths = sorted({length for kind, _, length in results if kind == task})
            for name in COLOURS:
                last = [max(1e-4, results[task, name, length][-1][1]) for length in lengths]
                axes.semilogy(lengths, last, "o-", color=COLOURS[name], label=name.upper())
            axes.axhline(GUESS[task], color=GREY, linestyle="--", linewidth=1.2)
            axes.axhspan(0.5e-4, SUCCESS[task], color=COLOURS["gru"], alpha=0.08, linewidth=0)
            axes.set(title=f"{task}: error by length", xticks=lengths, ylim=(0.5e-4, 1.5))
        panels[0].legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.79))
        panels[0].set_xlabel("T; dashed: a guess, green: learnt")
        panels[1].set_xlabel("delay")
        for (name, clipped), errors in inits.items():
            steps, values = zip(*errors)
            colour = {"gain 0.5": GREY, "orthogonal": COLOURS["rnn"], "identity": COLOURS["lstm"]}[name]
            label = name.replace("gain", "random, gain") if clipped else None
            panels[2].semilogy(steps, values, "-" if clipped else ":", color=colour, label=label)
        panels[2].set(
            title=f"RNNs, adding, T = {o.init_length}", xlabel="step (dotted: not clipped)", ylim=(0.5e-4, 1.5)
        )
        panels[2].legend(fontsize=8, loc="lower left")


@command
def main(argv: Sequence[str]) -> None:
    """Measure the gradient, train all networks, measure the gradient again."""
    parser = common.example_parser(__doc__)
    parser.add_argument(
        "--lengths", type=at_least(2), nargs="+", default=[10, 25, 50, 100], help="of the adding problem"
    )
    parser.add_argument("--delays", type=at_least(0), nargs="+", default=[3, 15, 60], help="of the copy task")
    parser.add_argument("--init-length", type=at_least(2), default=50, help="to compare the initial W at")
    parser.add_argument("--lags", type=at_least(1), default=99, help="steps that the gradient is followed back")
    parser.add_argument("--hidden", type=at_least(1), default=64, help="units (default: %(default)s)")
    parser.add_argument("--steps", type=at_least(1), default=3000, help="of training at most (default: %(default)s)")
    parser.add_argument("--all-steps", action="store_true", help="train on when it is good enough")
    parser.add_argument("--check-every", type=at_least(1), default=100, help="steps (default: %(default)s)")
    parser.add_argument("--batch-size", type=at_least(1), default=50, help="(default: %(default)s)")
    parser.add_argument("--lr", type=at_least(1e-9, float), default=2e-3, help="Adam's (default: %(default)s)")
    parser.add_argument("--clip", type=at_least(1e-9, float), default=1.0, help="norm (default: %(default)s)")
    quick = {"lengths": [10], "delays": [3], "init_length": 10, "hidden": 32, "steps": 400, "lr": 0.01}
    o = common.parse_example(parser, argv, **quick)
    need("rich", "matplotlib")
    folder = output_folder(o.out)
    unclipped = float(np.finfo(np.float32).max)
    runs = [("adding", length, name) for length in sorted(set(o.lengths)) for name in COLOURS]
    runs += [("copying", delay, name) for delay in sorted(set(o.delays)) for name in COLOURS]
    initial = [(name, clip) for name in ("gain 0.5", "orthogonal", "identity") for clip in (o.clip, unclipped)]
    costs = np.array(
        [length * (1 if name == "rnn" else 3) for _, length, name in runs] + [o.init_length] * len(initial)
    )
    done = np.concatenate([[0], costs.cumsum()]) / costs.sum()
    names = ("gain 0.5", "gain 1.5", "rnn", "lstm, forget bias 0", "lstm", "gru")
    norms: dict[str, dict[str, Any]] = {"before": {}, "after": {}}
    results, inits = {}, {}
    with Progress() as progress, np.errstate(all="ignore"):
        for name in names:
            rng = np.random.default_rng(o.seed)
            network = Network(make_cell(name, 2, o.hidden, rng), 1, rng)
            norms["before"][name] = norm = gradient_norms(network, o.lags + 1, np.random.default_rng([o.seed, 2]))
            lags = sorted({1, min(50, o.lags), min(90, o.lags)})
            figures = ", ".join(f"{norm[-1 - lag]:.1e} at lag {lag}" for lag in lags)
            progress.say(f"gradient norm, untrained {name}: {figures}")
        for k, (task, length, name) in enumerate(runs):
            network, results[task, name, length], _ = train(name, task, length, o.clip, o, progress, done[k])
            if task == "adding":  # the network of the greatest length stays
                norms["after"][name] = gradient_norms(network, o.lags + 1, np.random.default_rng([o.seed, 2]))
        for k, (name, clip) in enumerate(initial, len(runs)):
            _, inits[name, clip == o.clip], _ = train(name, "adding", o.init_length, clip, o, progress, done[k])
    draw(folder / "memory.png", norms, results, inits, o)
    final = {f"{task} {length} {name}": errors[-1][1] for (task, name, length), errors in results.items()}
    common.write_json(
        folder / "result.json",
        {
            "error": final,
            "steps": {f"{task} {length} {name}": errors[-1][0] for (task, name, length), errors in results.items()},
            "initial W": {f"{name}, {'' if clip else 'not '}clipped": e[-1][1] for (name, clip), e in inits.items()},
            "gradient norms": {when: {name: norm.tolist() for name, norm in of.items()} for when, of in norms.items()},
        },
    )
    longest = max(o.lengths)
    errors = ", ".join(f"{name.upper()} {final[f'adding {longest} {name}']:.1e}" for name in COLOURS)
    print(
        f"result: adding problem at T = {longest}, mean squared error {errors}; a constant guess {GUESS['adding']:.3f}"
    )
    print(f"picture: {folder / 'memory.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
