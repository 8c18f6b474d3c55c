"""Learn from short sequences, work on long ones: does a recurrent network learn the rule, or the examples?

    python -m examples.length_generalisation

A recurrent network has the same weights at every step, so it can run for any number of steps. Four tasks put a question
at each step of a sequence of symbols, which the symbols so far decide:

parity    bits: is the number of ones so far odd?                              two states of memory are enough
addition  pairs of bits of two numbers, the lowest first: the sum's next bit?  two states (the carry) are enough
brackets  ( and ), never more closed than open: are all closed now?            needs a counter of any height
anbn      a ... a b ... b: are there as many b now as a?                       needs a counter of any height

Training sees lengths up to L only. The network is then used, unchanged, on lengths up to 10 L. A sequence counts as
right if every one of its answers is right. The baseline is a table of the most frequent answer after the same last
eight symbols: it does what a finite window can do.

What needs two states is mostly learnt for good. What needs a counter is not: the networks count as high as they have
seen, and some way beyond (on who can count: Gers & Schmidhuber 2001; Weiss, Goldberg & Yahav 2018).
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import common
from .common import COLOURS, GREY, Progress, at_least, command_on_ranks, number, output_folder, picture
from .training import Watch, common_to_ranks, shared_out

# --- data: (T, B) symbols and answers, as integers ------------------------------------------------------------------


def parity(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bits; whether the number of ones so far is odd."""
    bits = rng.integers(0, 2, (T, B))
    return bits, bits.cumsum(axis=0) % 2


def addition(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of bits (2 a_t + b_t) of two numbers of T - 1 bits, the lowest first, and one of zeros; the sum's bits."""
    a, b = rng.integers(0, 2, (2, T, B))
    a[-1] = b[-1] = 0
    carry, total = np.zeros(B, int), np.empty((T, B), int)
    for t in range(T):
        carry, total[t] = np.divmod(a[t] + b[t] + carry, 2)
    return 2 * a + b, total


def brackets(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """0 opens, 1 closes, at random while anything is open; whether nothing is open."""
    depth, symbols, closed = np.zeros(B, int), np.empty((T, B), int), np.empty((T, B), int)
    for t in range(T):
        symbols[t] = (rng.random(B) < 0.5) & (depth > 0)
        depth += 1 - 2 * symbols[t]
        closed[t] = depth == 0
    return symbols, closed


def anbn(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n times 0, then 1 until the end, where n is from 1 to T / 2; whether there have been n of each just now."""
    n = rng.integers(1, max(1, T // 2) + 1, B)
    n[: B // 4] = max(1, T // 2)  # the longest count that fits is always among them
    t = np.arange(T)[:, None]
    return (t >= n).astype(int), (t == 2 * n - 1).astype(int)


TASKS: dict[str, Any] = {"parity": (parity, 2), "addition": (addition, 4), "brackets": (brackets, 2), "anbn": (anbn, 2)}
CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

# --- model ----------------------------------------------------------------------------------------------------------


class Tagger(nn.Module):
    """Symbols (T, B) -> the logits (T, B, 2) of the answer at each step: V h_t + c, with h_t = cell(x_t, h_{t-1})."""

    def __init__(self, cell: str, symbols: int, H: int, rng: np.random.Generator) -> None:
        self.recurrent = CELLS[cell](symbols, H, rng=rng)
        self.output = nn.Linear(H, 2, rng=rng)

    def forward(self, xs: np.ndarray) -> Any:
        h, _ = self.recurrent(xs)  # (T, B, H)
        return self.output(h)

    @mg.no_grad()
    def answers(self, xs: np.ndarray) -> np.ndarray:
        """The more probable answer at each step, (T, B)."""
        return self(xs).data.argmax(axis=-1)


class Window:
    """The most frequent answer after the same last eight symbols, in sequences of the lengths from 1 to L."""

    def __init__(self, task: str, length: int, rng: np.random.Generator) -> None:
        self.symbols = TASKS[task][1] + 1  # one more stands for "before the start"
        self.votes = np.zeros((self.symbols**8, 2))
        for T in range(1, length + 1):
            xs, answers = TASKS[task][0](T, 10000, rng)
            np.add.at(self.votes, (self.keys(xs), answers), 1)

    def keys(self, xs: np.ndarray) -> np.ndarray:
        """The last eight symbols at each step as one number, (T, B)."""
        key, keys = np.full(xs.shape[1], len(self.votes) - 1), []
        for x in xs:
            key = (key * self.symbols + x) % len(self.votes)
            keys.append(key)
        return np.array(keys)

    def answers(self, xs: np.ndarray) -> np.ndarray:
        """The answer that was seen more often at each step, (T, B)."""
        return self.votes[self.keys(xs)].argmax(axis=-1)


# --- training -------------------------------------------------------------------------------------------------------


def train(task: str, cell: str, o: Any, progress: Progress, run: int, runs: int) -> Tagger:
    """Train on batches of 32 sequences, each batch of one length from 1 to L."""
    draw, symbols = TASKS[task]
    rng = np.random.default_rng(o.seed)
    model = Tagger(cell, symbols, o.hidden, rng)
    rng = common_to_ranks(rng)
    optimizer = nn.Adam(model.parameters(), nn.cosine_decay(o.lr, o.steps, warmup=o.steps // 50))

    @mg.compile
    def loss_and_gradients(xs: Any, answers: Any) -> Any:
        loss = nn.cross_entropy(model(xs), answers)
        loss.backward()
        return loss

    with Watch(model, np.log(2), o, f"{task}, {cell.upper()}") as watch:
        for step in range(o.steps):
            xs, answers = draw(int(rng.integers(1, o.length + 1)), 32, rng)
            optimizer.zero_grad()
            mine = watch.share(xs.shape[1])
            loss = watch.average(loss_and_gradients(xs[:, mine], answers[:, mine]) if len(mine) else None, len(mine))
            nn.clip_grad_norm(optimizer.params, o.clip)
            optimizer.step()
            position = f"{watch.name}, step {number(step)}"
            progress.update((run + step / o.steps) / runs, position, f"loss {loss:.4f}")
    return model


def right(model: Any, xs: np.ndarray, answers: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Of which of these sequences every answer is right."""
    return np.asarray((model.answers(xs[:, mine]) == answers[:, mine]).all(axis=0))


def accuracies(task: str, model: Any, lengths: list[int], seed: int) -> list[float]:
    """The fraction of 200 new sequences of each length of which every answer is right."""
    found = []
    for T in lengths:
        xs, answers = TASKS[task][0](T, 200, np.random.default_rng([seed, T]))
        found.append(float(np.mean(shared_out(200, functools.partial(right, model, xs, answers)))))
    return found


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, curves: dict[str, dict[str, list[float]]], lengths: list[int], o: Any) -> None:
    """Accuracy by length, a panel for each task; the lengths that training saw are shaded."""
    with picture(path, 8.4, 5.8 if len(curves) > 2 else 3.4) as figure:
        panels = figure.subplots(-(-len(curves) // 2), min(2, len(curves)), sharex=True, sharey=True, squeeze=False)
        for axes, (task, of) in zip(panels.flat, curves.items()):
            axes.axvspan(0, o.length, color=GREY, alpha=0.15, linewidth=0, label="trained on")
            for size, (name, curve) in zip((1.5, 5, 3.5, 2), of.items()):  # curves that lie on each other are all seen
                axes.plot(lengths, curve, ".-", color=COLOURS.get(name.lower(), GREY), linewidth=size, label=name)
            axes.set(title={"anbn": r"$a^n b^n$"}.get(task, task), ylim=(-0.03, 1.03), xlim=(0, lengths[-1] * 1.02))
        panels[0, 0].legend(fontsize=9, loc="center right")
        figure.supxlabel("length of the sequence")
        figure.supylabel("sequences with every answer right")


@command_on_ranks
def main(argv: list[str]) -> None:
    """Train each cell on each task, and use it on longer and longer sequences."""
    parser = common.example_parser(__doc__, hidden=32, steps=3000, lr=5e-3, clip=1.0)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument(
        "--length", type=at_least(2, below=10_001), default=20, help="L, the greatest trained (default: %(default)s)"
    )
    quick = {"tasks": ["parity", "addition"], "cells": ["gru"], "length": 10, "steps": 500, "lr": 0.01}
    o = common.parse_example(parser, argv, **quick)
    folder = output_folder(o.out)
    lengths = [max(1, o.length // 2), *(o.length * k for k in range(1, 11))]
    curves: dict[str, dict[str, list[float]]] = {}
    runs = [(task, cell) for task in o.tasks for cell in o.cells]
    with Progress() as progress:
        for run, (task, cell) in enumerate(runs):
            if task not in curves:
                window = Window(task, o.length, np.random.default_rng(o.seed))
                curves[task] = {"window of 8": accuracies(task, window, lengths, o.seed)}
            model = train(task, cell, o, progress, run, len(runs))
            curves[task][cell.upper()] = found = accuracies(task, model, lengths, o.seed)
            best = max((T for T, accuracy in zip(lengths, found) if accuracy >= 0.95), default=0)
            at = f"right at length {o.length}: {found[1]:.3f}, {lengths[-1]}: {found[-1]:.3f}"
            progress.say(f"{task:9}{cell:5} {at}; 95 % right up to length {best}")
    common.write_json(folder / "result.json", {"lengths": lengths, **curves})
    draw(folder / "lengths.png", curves, lengths, o)
    for task, of in curves.items():
        figures = ", ".join(f"{name} {curve[-1]:.3f}" for name, curve in of.items())
        print(f"result: {task} at length {lengths[-1]}, all answers right: {figures}")
    print(f"picture: {folder / 'lengths.png'}")


if __name__ == "__main__":
    raise SystemExit(main())
