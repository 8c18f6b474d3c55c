"""The model of `char_lm`, how it is trained, and how it writes."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg
import nn

from .char_lm_data import Corpus, Part, frequency_loss
from .char_lm_options import Settings
from .common import Progress, UserError, number
from .training import Watch, epoch_decay

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


def both(nats: float) -> str:
    """A loss in nats and in bits."""
    return f"{nats:.3f} nats = {nats / math.log(2):.3f} bits"


# --- training -------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """All that training changes; a checkpoint holds it."""

    settings: Settings
    vocabulary: str
    model: CharLM
    optimizer: nn.Optimizer
    rng: np.random.Generator
    per_epoch: int  # steps
    state: Any  # of each layer, carried from batch to batch
    gradients: Any  # `loss_and_gradients` of the model, compiled unless --eager
    parallel: nn.distributed.DataParallel  # a block around the training
    losses: list[float] = field(default_factory=list)  # of each step
    times: list[float] = field(default_factory=list)  # seconds of each step since the run was begun or resumed
    validations: list[tuple[int, float]] = field(default_factory=list)  # (step, loss)
    best: tuple[int, float] | None = None  # the lowest of these, also of what is not among them any more
    seconds: float = 0.0

    @property
    def ranks(self) -> nn.distributed.Ranks:
        """Who trains; each reads its rows of every batch, and carries their states on."""
        return self.parallel.ranks

    @property
    def rows(self) -> slice:
        """This rank's rows of a batch."""
        return self.ranks.rows(self.settings.batch_size)

    def zero_state(self) -> Any:
        """The state of this rank's rows before the first character."""
        return self.model.recurrent.initial_state(self.rows.stop - self.rows.start)

    @property
    def step(self) -> int:
        """Weight updates so far."""
        return len(self.losses)

    @property
    def patient(self) -> bool:
        """Whether --patience is not at an end."""
        since = [step for step, _ in self.validations if self.best and step > self.best[0]]
        return self.settings.patience is None or len(since) < self.settings.patience

    @property
    def done(self) -> float:
        """The fraction of the run that is done, by --steps or by --minutes; 1 also when --patience is at an end."""
        if not self.patient:
            return 1.0
        if self.settings.minutes is not None:
            return self.seconds / (60 * self.settings.minutes)
        return self.step / (self.settings.steps or 1)

    @property
    def title(self) -> str:
        s = self.settings
        return f"{s.cell.upper()} of {s.layers} × {s.hidden} units"

    @property
    def weights(self) -> int:
        """How many numbers training changes."""
        return sum(p.size for p in self.model.parameters())

    def stretches(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """The training losses in up to 150 stretches, and the step in the middle of each: to be drawn."""
        parts = np.array_split(self.losses, min(self.step, 150))
        sizes = np.array([len(part) for part in parts])
        return sizes.cumsum() - sizes / 2 - 0.5, parts


def new_run(settings: Settings, vocabulary: str, training: Part, ranks: nn.distributed.Ranks | None = None) -> Run:
    """A model with its initial weights, and all else that training needs, by these ranks or all that there are."""
    per_epoch = len(training.x) // settings.seq_length
    if settings.epochs is not None:
        settings = dataclasses.replace(settings, steps=settings.epochs * per_epoch)
    s, rng = settings, np.random.default_rng(settings.seed)
    model = CharLM(len(vocabulary), s, rng)
    extra: dict[str, Any] = {"rmsprop": {"decay": s.rms_decay}, "sgd": {"momentum": s.momentum}}.get(s.optimizer, {})
    kinds = {"adam": nn.Adam, "adamw": nn.AdamW, "rmsprop": nn.RMSprop, "adagrad": nn.Adagrad, "sgd": nn.SGD}
    optimizer = kinds[s.optimizer](model.parameters(), s.lr, weight_decay=s.weight_decay, **extra)
    gradients = functools.partial(loss_and_gradients, model)
    gradients = gradients if s.eager else mg.compile(gradients)
    parallel = nn.distributed.DataParallel(model, ranks=ranks)
    run = Run(s, vocabulary, model, optimizer, rng, per_epoch, None, gradients, parallel)
    run.state = run.zero_state()
    return run


TICKS = 10_000  # a schedule runs over this many, whether the run is measured in steps or in minutes
SCHEDULES: dict[str, Any] = {
    "constant": lambda lr: lambda n: lr,
    "cosine": lambda lr: nn.cosine_decay(lr, TICKS, warmup=TICKS // 50),
    "exponential": lambda lr: nn.exponential_decay(lr, 0.01 ** (1 / TICKS)),
}


def learning_rate(run: Run) -> float:
    """The learning rate of the next step."""
    s = run.settings
    if s.schedule == "epochs":
        return float(s.lr) * epoch_decay(run.step, run.per_epoch, s.decay, s.decay_after)
    done = run.step / s.schedule_steps if s.schedule_steps else run.done
    return float(SCHEDULES[s.schedule](s.lr)(min(1.0, done) * TICKS))


def loss_and_gradients(model: CharLM, x: Any, y: Any, state: Any) -> tuple[Any, Any]:
    """The loss of reading x and predicting y (T, B), its gradient in every parameter's `.grad`, and the state after."""
    logits, state = model(x, state)  # (T, B, V)
    loss = nn.cross_entropy(logits, y)
    loss.backward()
    return loss, state


def train_step(run: Run, watch: Watch, x: np.ndarray, y: np.ndarray) -> float:
    """One step of truncated backpropagation through time, on x and y (T, B): the gradient's norm."""
    s, params = run.settings, run.optimizer.params
    run.model.train()
    run.optimizer.zero_grad()
    run.optimizer.lr = learning_rate(run)
    loss, state, rows = None, run.state, run.rows
    if rows.start < rows.stop:
        loss, state = run.gradients(x[:, rows], y[:, rows], run.state)
    watch.average(loss, rows.stop - rows.start)  # is now the last of run.losses
    norm = nn.clip_grad_norm(params, s.clip_norm or sys.float_info.max)  # without a bound it only measures
    if s.clip_value is not None:
        nn.clip_grad_value(params, s.clip_value)
    run.optimizer.step()
    run.state = nn.detach(state)  # the next batch goes on from these values, its gradient does not come back here
    return norm


@mg.no_grad()
def evaluate(model: CharLM, part: Part, T: int, ranks: nn.distributed.Ranks | None = None) -> float:
    """The mean of -log p(next character) over a text, read from a zero state, T columns at a time, by all ranks."""
    model.eval()
    state, total, ranks = None, 0.0, ranks or nn.distributed.Ranks()
    rows = ranks.rows(part.x.shape[1])
    for start in range(0, len(part.x) if rows.start < rows.stop else 0, T):
        logits, state = model(part.x[start : start + T, rows], state)
        total += nn.cross_entropy(logits, part.y[start : start + T, rows], ignore_index=-1, reduction="sum").item()
    return sum(ranks.gather(total)) / part.characters


def train(run: Run, corpus: Corpus, save: Any, progress: Progress, signals: list[int]) -> Watch:
    """Train until the run is done or a signal asks to stop; `save` keeps the run from time to time.

    Returns:
        what has watched over it, and knows the weights that validated best.

    Raises:
        DivergenceError: see `Watch`; then nothing more is saved.
    """
    training, validation = corpus.training, corpus.validation
    guess, name = frequency_loss(training, validation, len(run.vocabulary)), "single-character frequencies have"
    clip = "--clip-norm or --clip-value"
    with Watch(
        run.model, guess, run.settings, run.title, baseline=name, losses=run.losses, clip=clip, parallel=run.parallel
    ) as watch:
        _train(run, training, validation, watch, save, progress, signals)
    return watch


def _train(
    run: Run, training: Part, validation: Part, watch: Watch, save: Any, progress: Progress, signals: list[int]
) -> None:
    s, T = run.settings, run.settings.seq_length
    before, began = run.seconds, time.monotonic()
    while run.done < 1 and not run.ranks.any(signals):
        k = run.step % run.per_epoch * T
        if k == 0 and s.split == "tail":  # else the state grows beyond what a text read from its start would lead to
            run.state = run.zero_state()
        before_step = time.monotonic()
        norm = train_step(run, watch, training.x[k : k + T], training.y[k : k + T])
        run.times.append(time.monotonic() - before_step)
        run.seconds = run.ranks.mean(before + time.monotonic() - began)  # which --minutes ask for: all agree
        if progress.due():
            recent = float(np.mean(run.losses[-100:]))
            speed = s.batch_size * T / float(np.mean(run.times[-100:]))
            of = f" of {number(s.steps)}" if s.steps else ""
            figures = f"loss {both(recent)}/character, gradient {norm:.2f}, {number(round(speed))} characters/s"
            progress.update(run.done, f"step {number(run.step)}{of}", figures)
        if s.sample_every and run.step % s.sample_every == 0 and not run.ranks.rank:
            text = generate(run.model, run.vocabulary, "", 300, 0.7, np.random.default_rng([s.seed, run.step]))
            progress.show(f"sample at step {number(run.step)}", printable("".join(text)))
        if (s.validate_every and run.step % s.validate_every == 0) or run.done >= 1:
            found = run.step, evaluate(run.model, validation, T, run.ranks)
            watch.validated(found[1])
            if run.done >= 1:
                watch.check()
            run.validations.append(found)
            if run.best is None or found[1] < run.best[1]:
                run.best = found
            progress.say(f"step {number(run.step)}: validation {both(found[1])}/character")
            save()
    if run.done < 1:
        save()


# --- writing --------------------------------------------------------------------------------------------------------


@mg.no_grad()
def generate(
    model: CharLM, vocabulary: str, prime: str, length: int, temperature: float, rng: np.random.Generator
) -> Iterator[str]:
    """Write `length` characters, one at a time: each is drawn from softmax(logits / temperature), then read.

    The model first reads `prime`, whose characters must be in the vocabulary; without one it starts on a new line.
    """
    model.eval()
    step = mg.compile(model)  # the same for one character after the other
    prime = prime or ("\n" if "\n" in vocabulary else vocabulary[0])
    logits, state = model(np.array([[vocabulary.index(c)] for c in prime]))
    for _ in range(length):
        scores = logits.data[-1, 0].astype(np.float64)
        if not np.isfinite(scores).all():
            raise UserError("the model's outputs are not finite: it was trained at too high a rate, or is damaged")
        scores -= scores.max()
        if temperature > 0:
            with np.errstate(over="ignore"):  # at tiny temperatures: exp(-inf) is 0, as it should be
                p = np.exp(scores / temperature)
            k = rng.choice(len(p), p=p / p.sum())
        else:
            k = scores.argmax()
        yield vocabulary[k]
        logits, state = step(np.array([[k]]), state)


def printable(text: str) -> str:
    """`text` without control codes, which could upset a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
