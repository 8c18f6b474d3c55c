"""`compare`: cells and numbers of layers side by side, trained on the same text with the same settings and seed."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nn

from .char_lm_data import frequency_loss, read_corpus
from .char_lm_model import Run, evaluate, new_run, train
from .char_lm_options import COMPARED, check, parse_compare, settle
from .common import COLOURS, GREY, Progress, need, number, output_folder, picture, write_json

DASHES = ["-", "--", ":", "-."]  # of 1, 2, ... layers


def compare(argv: Sequence[str]) -> None:
    """Train each network, print a table, and draw all curves on one picture.

    Under mpiexec each rank trains networks of its own, every n-th of them.
    """
    ranks = nn.distributed.world()
    given, options = parse_compare(argv)
    need("rich", "matplotlib")
    base = settle(given, None, COMPARED, options.quick)
    depths = options.depths or ([1] if options.quick else [1, 2])
    kinds = [(cell, n) for cell in dict.fromkeys(options.cells) for n in dict.fromkeys(depths)]
    each = [dataclasses.replace(base, cell=cell, layers=n) for cell, n in kinds]
    for settings in each:
        check(settings, {})
    corpus = ranks.broadcast(None if ranks.rank else read_corpus(base))
    folder = output_folder(options.out)
    runs: list[Run] = []
    tests: list[float] = []  # losses of the weights that validated best
    for k, settings in list(enumerate(each))[ranks.rank :: ranks.size]:
        runs.append(run := new_run(settings, corpus.vocabulary, corpus.training, nn.distributed.Ranks()))
        with Progress(quiet=options.quiet) as progress:
            progress.say(f"{k + 1} of {len(each)}: {run.title}")
            with run.parallel:
                watch = train(run, corpus, lambda: None, progress, [])
        if corpus.test:
            watch.use_best()
            tests.append(evaluate(run.model, corpus.test, settings.seq_length))
        run.gradients = None  # the memory of a compiled step
    runs, tests = (in_turn(ranks.gather(found)) for found in (runs, tests))
    if ranks.rank:
        return
    baselines = {
        "single-character frequencies": frequency_loss(corpus.training, corpus.validation, len(corpus.vocabulary)),
        "all characters alike": math.log(len(corpus.vocabulary)),
    }
    rows = [figures(run) for run in runs]
    for row, loss in zip(rows, tests):
        row["test loss"] = loss
    write_json(folder / "result.json", {"networks": rows, "baselines": baselines})
    draw(folder / "compare.png", runs, baselines)
    print_table(rows, baselines)
    print(f"losses in nats per character, of training the mean of its last 100 steps; {number(runs[0].step)} steps")
    print(f"picture: {folder / 'compare.png'}")


def in_turn(found: list[list[Any]]) -> list[Any]:
    """What ranks have found, each of every n-th, in the order of the whole."""
    return [part for parts in itertools.zip_longest(*found) for part in parts if part is not None]


def figures(run: Run) -> dict[str, Any]:
    """A row of the table."""
    return {
        "cell": run.settings.cell,
        "layers": run.settings.layers,
        "weights": run.weights,
        "training loss": float(np.mean(run.losses[-100:])),
        "validation loss": run.validations[-1][1],
        "ms/step": 1000 * float(np.median(run.times)),
    }


def print_table(rows: list[dict[str, Any]], baselines: dict[str, float]) -> None:
    """The networks in the order of their validation loss, and below them what the baselines have."""
    print("  ".join(f"{name:>{max(8, len(name))}}" for name in rows[0]))
    for row in sorted(rows, key=lambda row: row["validation loss"]):
        shown = {name: f"{v:.3f}" if "loss" in name else f"{v:.1f}" if "ms" in name else v for name, v in row.items()}
        shown |= {"cell": row["cell"].upper(), "weights": number(row["weights"])}
        print("  ".join(f"{value:>{max(8, len(name))}}" for name, value in shown.items()))
    for name, loss in baselines.items():
        print(f"{name:>43}  {loss:>15.3f}")


def draw(path: Path, runs: list[Run], baselines: dict[str, float]) -> None:
    """Training loss, the mean over short stretches, and validation loss; a colour for each cell, dashes by layers."""
    depths = sorted({run.settings.layers for run in runs})
    low = min(min(part.mean() for part in run.stretches()[1]) for run in runs)
    low = min(low, *(loss for run in runs for _, loss in run.validations))
    high = min(baselines.values())
    with picture(path, 9.2, 4.4) as figure:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for run in sorted(runs, key=lambda run: run.validations[-1][1], reverse=True):
            s, (middles, stretches) = run.settings, run.stretches()
            style = {"color": COLOURS[s.cell], "linestyle": DASHES[depths.index(s.layers) % len(DASHES)]}
            panels[0].plot(middles, [part.mean() for part in stretches], **style, linewidth=1.4)
            steps, values = zip(*run.validations)
            of = f"{s.layers} layer{'s' if s.layers > 1 else ''}"
            label = f"{s.cell.upper()}, {of}: {values[-1]:.3f}"
            panels[1].plot(steps, values, **style, marker="o", markersize=3, label=label)
        for axes, title in zip(panels, ("training", "validation")):
            axes.axhline(high, color=GREY, linestyle="--", linewidth=1.2)
            axes.set(title=title, xlabel="training step", xlim=(0, None))
            axes.set_ylim(min(low, high) * 0.95, max(low, high) * 1.04)
        panels[0].set_ylabel("cross-entropy (nats per character)")
        name = min(baselines, key=lambda name: baselines[name])
        panels[0].text(0.99, high * 0.99, name, ha="right", va="top", color=GREY, fontsize=9,
                       transform=panels[0].get_yaxis_transform())  # fmt: skip
        panels[1].legend(loc="upper right", bbox_to_anchor=(1, 0.95), reverse=True, title="at the end")
