"""A character-level language model: read a text, learn to predict its next character, then write.

    python -m examples.char_lm

The text is a sequence of characters x_1, x_2, ... A recurrent network reads one at a time, keeps what it has read in a
state, and gives every character of the vocabulary a probability to be the next:

    state_t  = cell(x_t, state_{t-1})               the cell is an LSTM, a GRU or a simple RNN
    logits_t = V h_t + c                            h_t is the cell's output
    p(x_{t+1} = k | x_1 ... x_t) = softmax(logits_t)_k

The loss is the cross-entropy, the mean of -log p(x_{t+1} | x_1 ... x_t). Its gradient is taken through T = 50 steps;
the state is then carried on as a constant (truncated backpropagation through time, Williams & Peng 1990).

Here are the model, training and writing; beside this file: `char_lm_data` (the text as rows of numbers), `_options`
and `_checkpoint`.
"""

from __future__ import annotations

import functools
import math
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn

from . import char_lm_checkpoint as checkpoints
from .char_lm_data import Part, encode, frequency_loss, read_text, split
from .char_lm_options import PROGRAM, Settings, parse, parse_sample, settle
from .common import (
    BLUE,
    GREY,
    ORANGE,
    Progress,
    Stopped,
    UserError,
    clock,
    command,
    need,
    number,
    output_folder,
    picture,
    printable,
    stop_signal,
)

# --- model ----------------------------------------------------------------------------------------------------------

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class CharLM(nn.Module):
    """Characters x (T, B) -> logits of their successors (T, B, V), and the state after the last of them.

    The characters are integers, that stand for one-hot vectors of the V characters of the vocabulary.
    """

    def __init__(self, V: int, settings: Settings, rng: np.random.Generator) -> None:
        H, layers, p = settings.hidden, settings.layers, settings.dropout
        options = {"forget_bias": settings.forget_bias} if settings.cell == "lstm" else {}
        self.recurrent = CELLS[settings.cell](V, H, layers, dropout=p if layers > 1 else 0.0, rng=rng, **options)
        self.dropout = nn.Dropout(p, rng)
        self.output = nn.Linear(H, V, rng=rng)
        if settings.init == "uniform":
            for parameter in self.parameters():
                parameter.data = nn.init.uniform(parameter.shape, settings.init_scale, rng)
            for cell in self.recurrent.cells if settings.cell == "lstm" else ():
                cell.b.writable()[:H] = settings.forget_bias  # b_f is the first quarter

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        h, state = self.recurrent(x, state)  # (T, B, H)
        return self.output(self.dropout(h)), state


# --- training -------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """All that training changes; a checkpoint holds it."""

    settings: Settings
    vocabulary: str
    model: CharLM
    optimizer: nn.Optimizer
    rng: np.random.Generator
    state: Any  # of each layer, carried from batch to batch
    gradients: Any  # `loss_and_gradients` of the model, compiled unless --eager
    losses: list[float] = field(default_factory=list)  # of each step
    validations: list[tuple[int, float]] = field(default_factory=list)  # (step, loss)
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """Weight updates so far."""
        return len(self.losses)

    @property
    def done(self) -> float:
        """The fraction of the run that is done, by --steps or by --minutes."""
        if self.settings.minutes is not None:
            return self.seconds / (60 * self.settings.minutes)
        return self.step / (self.settings.steps or 1)


def new_run(settings: Settings, vocabulary: str) -> Run:
    """A model with its initial weights, and all else that training needs."""
    s, rng = settings, np.random.default_rng(settings.seed)
    model = CharLM(len(vocabulary), s, rng)
    extra: dict[str, Any] = {"rmsprop": {"decay": s.rms_decay}, "sgd": {"momentum": s.momentum}}.get(s.optimizer, {})
    kinds = {"adam": nn.Adam, "adamw": nn.AdamW, "rmsprop": nn.RMSprop, "adagrad": nn.Adagrad, "sgd": nn.SGD}
    optimizer = kinds[s.optimizer](model.parameters(), s.lr, weight_decay=s.weight_decay, **extra)
    gradients = functools.partial(loss_and_gradients, model)
    state = model.recurrent.initial_state(s.batch_size)
    return Run(s, vocabulary, model, optimizer, rng, state, gradients if s.eager else mg.compile(gradients))


TICKS = 10_000  # a schedule runs over this many, whether the run is measured in steps or in minutes
SCHEDULES: dict[str, Any] = {
    "constant": lambda lr: lambda n: lr,
    "cosine": lambda lr: nn.cosine_decay(lr, TICKS, warmup=TICKS // 50),
    "exponential": lambda lr: nn.exponential_decay(lr, 0.01 ** (1 / TICKS)),
}


def learning_rate(run: Run) -> float:
    """The learning rate of the next step."""
    s = run.settings
    done = run.step / s.schedule_steps if s.schedule_steps else run.done
    return float(SCHEDULES[s.schedule](s.lr)(min(1.0, done) * TICKS))


def loss_and_gradients(model: CharLM, x: Any, y: Any, state: Any) -> tuple[Any, Any]:
    """The loss of reading x and predicting y (T, B), its gradient in every parameter's `.grad`, and the state after."""
    logits, state = model(x, state)  # (T, B, V)
    loss = nn.cross_entropy(logits, y)
    loss.backward()
    return loss, state


def train_step(run: Run, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """One step of truncated backpropagation through time, on x and y (T, B): the loss and the gradient's norm."""
    s, params = run.settings, run.optimizer.params
    run.model.train()
    run.optimizer.zero_grad()
    run.optimizer.lr = learning_rate(run)
    loss, state = run.gradients(x, y, run.state)
    norm = nn.clip_grad_norm(params, s.clip_norm or sys.float_info.max)  # without a bound it only measures
    if s.clip_value is not None:
        nn.clip_grad_value(params, s.clip_value)
    run.optimizer.step()
    run.state = nn.detach(state)  # the next batch goes on from these values, its gradient does not come back here
    return loss.item(), norm


@mg.no_grad()
def evaluate(model: CharLM, part: Part, T: int) -> float:
    """The mean of -log p(next character) over a text, read from a zero state, T columns at a time."""
    model.eval()
    state, total = None, 0.0
    for start in range(0, len(part.x), T):
        logits, state = model(part.x[start : start + T], state)
        total += nn.cross_entropy(logits, part.y[start : start + T], ignore_index=-1, reduction="sum").item()
    if not math.isfinite(total):
        raise FloatingPointError(f"the validation loss is {total}")
    return total / part.characters


def train(run: Run, training: Part, validation: Part, save: Any, progress: Progress, signals: list[int]) -> None:
    """Train until the run is done or a signal asks to stop; `save` keeps the run from time to time.

    Raises:
        FloatingPointError: if the gradient or the validation loss is no longer finite.
    """
    s, T = run.settings, run.settings.seq_length
    batches = len(training.x) // T
    start, before, began = run.step, run.seconds, time.monotonic()
    while run.done < 1 and not signals:
        k = run.step % batches * T
        if k == 0 and s.split == "tail":  # else the state grows beyond what a text read from its start would lead to
            run.state = run.model.recurrent.initial_state(s.batch_size)
        loss, norm = train_step(run, training.x[k : k + T], training.y[k : k + T])
        run.losses.append(loss)
        run.seconds = before + time.monotonic() - began
        if progress.due():
            recent = float(np.mean(run.losses[-100:]))
            speed = (run.step - start) * s.batch_size * T / (run.seconds - before)
            of = f" of {number(s.steps)}" if s.steps else ""
            figures = f"loss {both(recent)}/character, gradient {norm:.2f}, {number(round(speed))} characters/s"
            progress.update(run.done, f"step {number(run.step)}{of}", figures)
        if s.sample_every and run.step % s.sample_every == 0:
            text = generate(run.model, run.vocabulary, "", 300, 0.7, np.random.default_rng([s.seed, run.step]))
            progress.show(f"sample at step {number(run.step)}", "".join(text))
        if (s.validate_every and run.step % s.validate_every == 0) or run.done >= 1:
            run.validations.append((run.step, evaluate(run.model, validation, T)))
            progress.say(f"step {number(run.step)}: validation {both(run.validations[-1][1])}/character")
            save()
    if signals:
        save()


def both(nats: float) -> str:
    """A loss in nats and in bits."""
    return f"{nats:.3f} nats = {nats / math.log(2):.3f} bits"


# --- writing --------------------------------------------------------------------------------------------------------


@mg.no_grad()
def generate(
    model: CharLM, vocabulary: str, prime: str, length: int, temperature: float, rng: np.random.Generator
) -> Iterator[str]:
    """Write `length` characters, one at a time: each is drawn from softmax(logits / temperature), then read.

    The model first reads `prime`, whose characters must be in the vocabulary; without one it starts on a new line.
    """
    model.eval()
    prime = prime or ("\n" if "\n" in vocabulary else vocabulary[0])
    logits, state = model(np.array([[vocabulary.index(c)] for c in prime]))
    for _ in range(length):
        scores = logits.data[-1, 0].astype(np.float64)
        if not np.isfinite(scores).all():
            raise FloatingPointError("the model's outputs are no longer finite")
        scores -= scores.max()
        if temperature > 0:
            with np.errstate(over="ignore"):  # at tiny temperatures: exp(-inf) is 0, as it should be
                p = np.exp(scores / temperature)
            k = rng.choice(len(p), p=p / p.sum())
        else:
            k = scores.argmax()
        yield vocabulary[k]
        logits, state = model(np.array([[k]]), state)


def sample_command(argv: Sequence[str]) -> None:
    """`sample CHECKPOINT`: write text from a checkpoint to standard output."""
    options = parse_sample(argv)
    need("safetensors")
    checkpoint = checkpoints.read(options.checkpoint)
    vocabulary = checkpoint.vocabulary
    unknown = sorted(set(options.prime) - set(vocabulary))
    if unknown:
        raise UserError(f"--prime has characters that the model never saw: {' '.join(map(repr, unknown))}")
    model = CharLM(len(vocabulary), checkpoint.settings, np.random.default_rng())
    checkpoints.restore_model(model, checkpoint)
    show = printable if sys.stdout.isatty() else str
    sys.stdout.write(show(options.prime))
    rng = np.random.default_rng(options.seed)
    for character in generate(model, vocabulary, options.prime, options.length, options.temperature, rng):
        sys.stdout.write(show(character))
        if sys.stdout.isatty():
            sys.stdout.flush()
    sys.stdout.write("\n")


# --- the program ----------------------------------------------------------------------------------------------------


def draw(path: Path, run: Run, frequencies: float) -> None:
    """The loss curves: of training its mean over short stretches, within a band that holds nine steps of ten."""
    s, n = run.settings, run.step
    stretches = np.array_split(run.losses, min(n, 150))
    middles = np.cumsum([len(part) for part in stretches]) - [len(part) / 2 - 0.5 for part in stretches]
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
        axes.legend(loc="upper right", bbox_to_anchor=(1, 0.9))


@command
def main(argv: Sequence[str]) -> None:
    """Train, or with `sample` as the first argument write text."""
    if argv[:1] == ["sample"]:
        sample_command(argv[1:])
        return
    given, out, resume, quiet = parse(argv)
    need("rich", "matplotlib", "safetensors")
    saved = checkpoints.read(resume) if resume else None
    settings = settle(given, saved and saved.settings)
    text = read_text(settings.text)
    if saved and saved.text != checkpoints.digest(text):
        raise UserError(f"{resume} was trained on another text than {' '.join(settings.text) or 'the default one'}")
    vocabulary, ids = encode(text)
    training, validation = split(ids, settings)
    run = new_run(settings, vocabulary)
    if saved:
        checkpoints.restore(run, saved)
        if run.done >= 1:
            raise UserError(f"{resume} has done all of its {number(run.step)} steps: give larger --steps to go on")
    folder = output_folder(out or (str(Path(resume).parent) if resume else "runs/char_lm"))
    path = folder / "checkpoint.safetensors"
    earlier = path.exists() and not (resume and path.samefile(resume))

    def save() -> None:
        nonlocal earlier
        if earlier:
            progress.say(f"the checkpoint of an earlier run is now {checkpoints.keep_previous(path)}")
            earlier = False
        checkpoints.write(path, run, checkpoints.digest(text))

    with stop_signal() as signals, Progress(run.done, quiet) as progress, np.errstate(all="ignore"):
        progress.say(
            f"{number(len(ids))} characters, {len(vocabulary)} different, {number(validation.characters)} to validate "
            f"on; {settings.cell.upper()} of {settings.layers} × {settings.hidden} units, "
            f"{number(sum(p.size for p in run.model.parameters()))} weights"
        )
        over_all = settings.schedule != "constant" and settings.schedule_steps is None
        if saved and over_all and saved.settings.steps != settings.steps:
            progress.say(f"the {settings.schedule} schedule now runs over another number of steps")
        try:
            train(run, training, validation, save, progress, signals)
        except FloatingPointError as error:
            raise UserError(
                f"training diverged at step {number(run.step + 1)}: try a smaller --lr than {settings.lr:g}, or clip"
            ) from error
    if run.done < 1:
        again = f"{PROGRAM} --resume {shlex.quote(str(path))}" + (" -" if "-" in settings.text else "")
        raise Stopped(f"stopped at step {number(run.step)}, saved; go on with: {again}", signals[0])
    frequencies = frequency_loss(training, validation, len(vocabulary))
    image = folder / "loss.png"
    draw(image, run, frequencies)
    last, best = run.validations[-1], min(run.validations, key=lambda v: v[1])
    print(f"validation {both(last[1])} per character (single-character frequencies: {both(frequencies)})")
    if last[1] > best[1] + 0.01:
        print(f"it was lowest at step {number(best[0])}, {both(best[1])}: the model has begun to learn by heart")
    print(f"{number(run.step)} steps in {clock(run.seconds)}; checkpoint {path}, picture {image}")
    print(f"write with: {PROGRAM} sample {shlex.quote(str(path))}")


if __name__ == "__main__":
    sys.exit(main())
