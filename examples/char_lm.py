"""A character-level language model: read a text, learn to predict its next character, then write.

    python -m examples.char_lm

The text is a sequence of characters x_1, x_2, ... A recurrent network reads one at a time, keeps what it has read in a
state, and gives every character of the vocabulary a probability to be the next:

    state_t  = cell(x_t, state_{t-1})               the cell is an LSTM, a GRU or a simple RNN
    logits_t = V h_t + c                            h_t is the cell's output
    p(x_{t+1} = k | x_1 ... x_t) = softmax(logits_t)_k

The loss is the cross-entropy, the mean of -log p(x_{t+1} | x_1 ... x_t). Its gradient is taken through T = 50 steps;
the state is then carried on as a constant (truncated backpropagation through time, Williams & Peng 1990).

Here are the commands. Beside this file: `char_lm_model` (the model, its training, how it writes), `_data` (the text as
rows of numbers), `_options`, `_checkpoint`, `_compare` (cells and layers side by side), `_explore` (what the units do),
`_export` (an ONNX file).
"""

from __future__ import annotations

import math
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import nn

from . import char_lm_checkpoint as checkpoints
from .char_lm_compare import compare
from .char_lm_data import Corpus, check_known, frequency_loss, read_corpus
from .char_lm_explore import explore
from .char_lm_export import export
from .char_lm_model import Run, both, evaluate, generate, new_run, printable, train
from .char_lm_options import PROGRAM, parse, parse_sample, settle
from .common import (
    BLUE,
    GREY,
    ORANGE,
    Progress,
    UserError,
    clock,
    command_on_ranks,
    need,
    number,
    output_folder,
    picture,
    silent,
)


def sample(argv: Sequence[str]) -> None:
    """`sample CHECKPOINT`: write text from a checkpoint to standard output."""
    options = parse_sample(argv)
    need("safetensors")
    checkpoint, model = checkpoints.read_model(options.checkpoint)
    vocabulary = checkpoint.vocabulary
    check_known(options.prime, vocabulary, "--prime")
    show = printable if sys.stdout.isatty() else str
    sys.stdout.write(show(options.prime))
    rng = np.random.default_rng(options.seed)
    for character in generate(model, vocabulary, options.prime, options.length, options.temperature, rng):
        sys.stdout.write(show(character))
        if sys.stdout.isatty():
            sys.stdout.flush()
    sys.stdout.write("\n")


def draw(path: Path, run: Run, frequencies: float) -> None:
    """The loss curves: of training its mean over short stretches, within a band that holds nine steps of ten."""
    s, n = run.settings, run.step
    middles, stretches = run.stretches()
    low, high = ([np.quantile(part, q) for part in stretches] for q in (0.05, 0.95))
    with picture(path) as figure:
        axes = figure.subplots()
        axes.fill_between(middles, low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(middles, [part.mean() for part in stretches], color=BLUE, label="training")
        steps, values = zip(*run.validations)
        axes.plot(steps, values, "o-", color=ORANGE, markersize=4, label=f"validation, {values[-1]:.3f} at the end")
        axes.axhline(frequencies, color=GREY, linestyle="--", linewidth=1.2, label="single-character frequencies")
        axes.set(xlabel="training step", ylabel="cross-entropy (nats per character)", xlim=(0, n))
        axes.set_ylim(min(*low, *values) * 0.95, max(frequencies, *values) * 1.08)
        bits = axes.secondary_yaxis("right", functions=(lambda n: n / math.log(2), lambda b: b * math.log(2)))
        bits.set_ylabel("bits per character")
        axes.set_title(f"Character-level {s.cell.upper()}, {s.layers} × {s.hidden} units")
        bottom, top = axes.get_ylim()
        below = (frequencies - bottom) / (top - bottom) - 0.02  # the dashed line, as a part of the height
        axes.legend(loc="upper right", bbox_to_anchor=(1, below if below > 0.5 else 1))


@contextmanager
def stop_signal() -> Iterator[list[int]]:
    """Collects the signals (Ctrl-C, SIGTERM) that ask this block to stop; a second one interrupts at once."""
    received: list[int] = []

    def receive(signum: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signum)

    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread only
        yield received
        return
    before = {signum: signal.signal(signum, receive) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


COMMANDS = {"sample": sample, "compare": compare, "explore": explore, "export": export}


@command_on_ranks
def main(argv: Sequence[str]) -> int:
    """Train, or what the first argument says: the exit code, 128 + the signal's number after a stop."""
    ranks = nn.distributed.world()
    if argv and argv[0] in COMMANDS:
        if ranks.size > 1 and argv[0] != "compare":
            raise UserError(f"{argv[0]} runs on one rank: start it without mpiexec")
        COMMANDS[argv[0]](argv[1:])
        return 0
    given, options = parse(argv)
    resume = options.resume
    need("rich", "matplotlib", "safetensors")
    saved = ranks.broadcast(checkpoints.read(resume) if resume and not ranks.rank else None)
    settings = settle(given, saved and saved.settings, quick=options.quick)
    corpus = ranks.broadcast(None if ranks.rank else read_corpus(settings))
    if saved and saved.text != checkpoints.digest(corpus.text):
        raise UserError(f"{resume} was trained on another text than {' '.join(settings.text) or 'the default one'}")
    run = new_run(settings, corpus.vocabulary, corpus.training)
    out = options.out or (str(Path(resume).parent) if resume else "runs/char_lm")
    with run.parallel, stop_signal() as signals:
        if saved:
            checkpoints.restore(run, saved)
            if run.done >= 1:
                larger = "--steps" if run.patient else "--patience"
                raise UserError(f"{resume} has done all of its {number(run.step)} steps: give larger {larger} to go on")
        folder = output_folder(out)
        keeper = checkpoints.Keeper(folder, run, checkpoints.digest(corpus.text), resume)
        _train(run, corpus, keeper, saved, Progress(run.done, options.quiet or silent()), signals)
    if run.done < 1:
        if not ranks.rank:
            again = f"{PROGRAM} --resume {shlex.quote(str(keeper.last))}" + (" -" if "-" in settings.text else "")
            print(f"stopped at step {number(run.step)}, saved; go on with: {again}", file=sys.stderr)
        return 128 + (signals or [signal.SIGTERM])[0]
    if not ranks.rank:
        _tell(run, corpus, keeper)
    return 0


def _train(run: Run, corpus: Corpus, keeper: checkpoints.Keeper, saved: Any, progress: Progress, signals: Any) -> None:
    """Say what is trained on what, and train."""
    settings, ranks = run.settings, run.ranks
    with progress:
        progress.say(f"{corpus.figures}; {run.title}, {number(run.weights)} weights")
        if saved and len(saved.random) != ranks.size:
            progress.say(f"of {len(saved.random)} ranks before: rows are cut anew, and what dropout draws")
        over_all = settings.schedule != "constant" and settings.schedule_steps is None
        if saved and over_all and saved.settings.steps != settings.steps:
            progress.say(f"the {settings.schedule} schedule now runs over another number of steps")
        train(run, corpus, keeper.save, progress, signals)


def _tell(run: Run, corpus: Corpus, keeper: checkpoints.Keeper) -> None:
    """What training has come to, in a picture and in words."""
    frequencies = frequency_loss(corpus.training, corpus.validation, len(corpus.vocabulary))
    image = keeper.last.parent / "loss.png"
    draw(image, run, frequencies)
    last, best = run.validations[-1], run.best or run.validations[-1]
    print(f"validation {both(last[1])} per character (single-character frequencies: {both(frequencies)})")
    print(f"{number(run.step)} steps in {clock(run.seconds)}; checkpoint {keeper.last}, picture {image}")
    after = ": then the model began to learn by heart" if last[1] > best[1] + 0.01 else ""
    print(f"its lowest validation, {both(best[1])} at step {number(best[0])}, is in {keeper.best}{after}")
    if corpus.test:
        loss = evaluate(checkpoints.read_model(str(keeper.best))[1], corpus.test, run.settings.seq_length)
        print(f"test {both(loss)} per character, with these weights")
    print(f"write with: {PROGRAM} sample {shlex.quote(str(keeper.best))}")
    print(f"see what its units do: {PROGRAM} explore {shlex.quote(str(keeper.best))}")


if __name__ == "__main__":
    sys.exit(main())
