"""How far back can a network learn? The vanishing gradient, seen, and what it does to learning.

    python -m examples.long_memory

The gradient of a loss after T steps with respect to an earlier state is a product of T - t Jacobians,

    ∂L/∂h_t = ∂L/∂h_T  ∂h_T/∂h_{T-1}  ...  ∂h_{t+1}/∂h_t

which vanishes or explodes with T - t (Hochreiter 1991; Bengio, Simard & Frasconi 1994). The LSTM has a path without
such a product, C_t = f_t * C_{t-1} + ..., and so has the GRU. Two tasks show what that is worth, at growing lengths:

adding   Each step has a number from U(0, 1) and a mark; two of the T steps are marked. What is the sum of their two
         numbers? To say 1 always has a mean squared error of 1/6 = 0.167 (Hochreiter & Schmidhuber 1997).
copying  Remember three symbols over a delay, then repeat them. To guess one of four has a cross-entropy of log 4.

Last, the adding problem with simple RNNs only: weights from U(-1/√H, 1/√H) as above, W orthogonal, and W the identity
in h_t = relu(x_t U + h_{t-1} W + b) (Le, Jaitly & Hinton 2015), each with the gradient's norm clipped and not.
"""

from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import BLUE, GREEN, GREY, ORANGE, Progress, at_least, command_on_ranks, number, output_folder, picture
from .training import DivergenceError, Watch, shared_out

SYMBOLS, REMEMBERED = 4, 3  # of the copy task
BATCH, ENOUGH = 50, 0.003  # the second is the error at which training stops, relative to that of a guess
LAGS, NETWORKS = 99, 15  # steps that the gradient is followed back; untrained networks whose median is shown
COLOURS = {"RNN": ORANGE, "RNN, gain 0.5": GREY, "RNN, gain 1.5": "#cc79a7", "RNN, orthogonal": "#e69f00"}
COLOURS |= {"RNN, identity": "#000000", "LSTM, forget bias 0": "#56b4e9", "LSTM": BLUE, "GRU": GREEN}
CELLS, UNCLIPPED = ("RNN", "LSTM", "GRU"), ", not clipped"
RNNS = [name + clip for name in ("RNN", "RNN, orthogonal", "RNN, identity") for clip in ("", UNCLIPPED)]

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


ERRORS = {"adding": "mean squared error", "copying": "cross-entropy, nats"}
#: data, number of inputs, number of outputs, loss, and the loss of a guess
TASKS: dict[str, Any] = {"adding": (adding, 2, 1, nn.mse_loss, 1 / 6)}
TASKS["copying"] = (copying, SYMBOLS + 2, SYMBOLS, nn.cross_entropy, np.log(SYMBOLS))

# --- model ----------------------------------------------------------------------------------------------------------


def make_cell(name: str, I: int, H: int, rng: np.random.Generator) -> nn.Cell:
    """A cell by its name and, after a comma, by what it starts from; with gain g, W is from N(0, g² / H)."""
    kind, _, start = name.partition(", ")
    if kind != "RNN":
        return nn.GRUCell(I, H, rng=rng) if kind == "GRU" else nn.LSTMCell(I, H, rng=rng, forget_bias=float(not start))
    cell = nn.IRNNCell(I, H, rng=rng) if start == "identity" else nn.RNNCell(I, H, rng=rng)
    U, W, k = nn.init.glorot_uniform((I, H), np.sqrt(2), rng), rng.standard_normal((H, H)), 1 / np.sqrt(H)
    cell.U.data, cell.W.data = {
        "": (rng.uniform(-k, k, (I, H)), rng.uniform(-k, k, (H, H))),
        "gain 0.5": (U, 0.5 * k * W),
        "gain 1.5": (U, 1.5 * k * W),
        "orthogonal": (U, nn.init.orthogonal((H, H), rng=rng)),
        "identity": (0.001 * rng.standard_normal((I, H)), np.eye(H)),
    }[start]
    return cell


class Network(nn.Module):
    """Sequences (T, B, I) or integers (T, B), and n targets (n, B, ...) -> the loss of the last n h_t V + c."""

    def __init__(self, name: str, task: str, H: int, rng: np.random.Generator) -> None:
        _, I, O, self.loss_of, _ = TASKS[task]
        self.recurrent, self.output = nn.Recurrent(make_cell(name, I, H, rng)), nn.Linear(H, O, rng=rng)

    def forward(self, xs: Any, targets: Any) -> Any:
        h, _ = self.recurrent(xs)
        return self.loss_of(self.output(h[len(xs) - len(targets) :]), targets)


def gradient_norms(network: Network, rng: np.random.Generator) -> np.ndarray:
    """|∂L/∂h_t| for t = 1 ... T, where L is the squared error of the adding problem, summed over 100 sequences."""
    xs, targets = adding(LAGS + 1, 100, rng)
    (cell,) = network.recurrent.cells
    zeros = mg.tensor(np.zeros((len(xs), 100, cell.H), np.float32), requires_grad=True)
    state = cell.initial_state(100)
    for x, zero in zip(cell.project(mg.tensor(xs)), zeros):
        h, state = cell.step(x, state)
        h = h + zero  # has the same gradient as h_t
        state = (h, state[1]) if isinstance(state, tuple) else h
    nn.mse_loss(network.output(h), targets[0], reduction="sum").backward()
    return np.linalg.norm(zeros.grad.astype(np.float64), axis=(1, 2))


# --- training -------------------------------------------------------------------------------------------------------


def train(task: str, length: int, name: str, o: Any, progress: Progress, done: float) -> tuple[Network, list[float]]:
    """Train until it is good enough or has had all its steps: the network and its errors after each 100 steps."""
    draw, *_, guess = TASKS[task]
    rng, unseen = np.random.default_rng(o.seed), draw(length, 500, np.random.default_rng([o.seed, 1]))
    network, errors = Network(name.removesuffix(UNCLIPPED), task, o.hidden, rng), []
    optimizer = nn.Adam(network.parameters(), o.lr)

    @mg.compile
    def loss_and_gradients(xs: Any, targets: Any) -> Any:
        loss = network(xs, targets)
        loss.backward()
        return loss

    @mg.no_grad()
    def error(mine: np.ndarray) -> list[float]:
        return [len(mine) * network(*(part[:, mine] for part in unseen)).item()]

    watch = Watch(network, guess, o, f"{task}, length {length}, {name}", may_explode=name not in CELLS)
    try:
        with watch:
            for step in range(1, o.steps + 1):
                optimizer.zero_grad()
                (xs, targets), mine = draw(length, BATCH, rng), watch.share(BATCH)
                loss = loss_and_gradients(xs[:, mine], targets[:, mine]) if len(mine) else None
                loss = watch.average(loss, len(mine))
                if not name.endswith(UNCLIPPED):
                    nn.clip_grad_norm(optimizer.params, o.clip)
                optimizer.step()
                progress.update(done, f"{watch.name}, step {number(step)}", f"loss {loss:.2g}")
                if step % 100 == 0 or step == o.steps:
                    errors.append(sum(shared_out(500, error)) / 500)
                    watch.validated(errors[-1])
                    if errors[-1] < ENOUGH * guess:
                        break
        verdict = f"{'learnt' if errors[-1] < guess / 10 else 'failed'}, error {errors[-1]:.1e}"
    except DivergenceError:
        if not watch.may_explode:
            raise
        errors, verdict = [error for error in errors if np.isfinite(error)], "exploded"
    progress.say(f"{task:8}{length:4}  {name}: {verdict} after {number(step)} steps")
    return network, errors


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, norms: Any, errors: Any, sizes: dict[str, list[int]], middle: int) -> None:
    """The gradient before and after training, the errors over lengths, and the RNNs' errors over the steps."""
    with picture(path, 9.6, 6.8) as figure:
        before, after, *tasks, last = figure.subplot_mosaic("AAABBB;CCDDEE").values()
        for axes, moment in ((before, "before"), (after, "after")):
            for name, norm in norms[moment].items():
                axes.semilogy(np.arange(LAGS, -1, -1), np.array(norm) / norm[-1], color=COLOURS[name], label=name)
            axes.set(title=f"Gradient {moment} training", xlabel="steps back, $T - t$", ylim=(1e-16, 1e4))
        before.set_ylabel(r"$|\partial L/\partial h_t|$ relative to $|\partial L/\partial h_T|$")
        after.legend(*before.get_legend_handles_labels(), fontsize=8, loc="lower left")
        for axes, (task, lengths) in zip(tasks, sizes.items()):
            for name in CELLS:
                axes.semilogy(lengths, [errors[f"{task} {T} {name}"][-1] for T in lengths], "o-", color=COLOURS[name])
            axes.axhline(TASKS[task][-1], color=GREY, linestyle="--", linewidth=1.2)
            axes.set(title=f"{task}: {ERRORS[task]}", xlabel="length (dashed: a guess)", xticks=lengths, ylim=(2e-4, 3))
        for name in RNNS:
            curve, line = errors[f"adding {middle} {name}"], ":" if name.endswith(UNCLIPPED) else "-"
            last.semilogy(100 * np.arange(1, len(curve) + 1), curve, line, color=COLOURS[name.removesuffix(UNCLIPPED)])
        last.set(
            title=f"RNNs, T = {middle}: squared error", xlabel="training step (dotted: not clipped)", ylim=(2e-4, 3)
        )


@command_on_ranks
def main(argv: list[str]) -> None:
    """Measure the gradient, train all networks, measure the gradient again."""
    parser = common.example_parser(__doc__, hidden=64, lr=2e-3, clip=1.0)
    parser.add_argument(
        "--lengths", type=at_least(2, below=100_001), nargs="+", default=[10, 25, 50, 100], help="T, when adding"
    )
    parser.add_argument(
        "--delays", type=at_least(0, below=100_001), nargs="+", default=[3, 10, 30], help="when copying"
    )
    parser.add_argument(
        "--steps", type=at_least(1, below=10**9), default=3000, help="of training at most (default: %(default)s)"
    )
    o = common.parse_example(parser, argv, lengths=[10], delays=[3], hidden=32, steps=500, lr=0.005)
    folder, rng = output_folder(o.out), np.random.default_rng(o.seed)
    sizes = {"adding": sorted(set(o.lengths)), "copying": sorted(set(o.delays))}
    middle, longest = sizes["adding"][len(sizes["adding"]) // 2], sizes["adding"][-1]
    runs = [(task, length, name) for task in TASKS for length in sizes[task] for name in CELLS]
    runs += [("adding", middle, name) for name in RNNS[1:]]  # the first has been among them
    work = np.cumsum([0, *(length for _, length, _ in runs)])
    norms, errors = {"before": {}, "after": {}}, {}
    with Progress() as progress:
        for name in COLOURS:
            several = [gradient_norms(Network(name, "adding", o.hidden, rng), rng) for _ in range(NETWORKS)]
            norms["before"][name] = norm = np.median(several, axis=0).tolist()
            figures = ", ".join(f"{norm[-1 - lag]:.1e} at lag {lag}" for lag in (1, 50, 90))
            progress.say(f"gradient norm, untrained {name}: {figures}")
        for (task, length, name), done in zip(runs, work / work[-1]):
            network, errors[f"{task} {length} {name}"] = train(task, length, name, o, progress, done)
            if task == "adding" and name in CELLS:  # the networks of the greatest length stay
                norms["after"][name] = gradient_norms(network, rng).tolist()
    common.write_json(folder / "result.json", {"errors": errors, "gradient norms": norms})
    draw(folder / "memory.png", norms, errors, sizes, middle)
    figures = ", ".join(f"{name} {errors[f'adding {longest} {name}'][-1]:.1e}" for name in CELLS)
    print(f"result: adding problem at T = {longest}, mean squared error {figures}; a guess {TASKS['adding'][-1]:.3f}")
    print(f"picture: {folder / 'memory.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
