"""What training needs beside its subject: data to validate and test on, a falling rate, and an end in time.

Its end: when all epochs are done, when the validation has not become better for some of them, or when it diverges.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np

import nn

from .common import Parser, UserError, at_least, number

# --- options --------------------------------------------------------------------------------------------------------


PARTS = ("train", "validation", "test")


def add_split(parser: Parser, what: str) -> None:
    """The options of data in three parts, of validation, and of a learning rate that falls from epoch to epoch."""
    for part, use in zip(PARTS, ("to learn from", "to choose weights by: those whose loss is lowest", "to test on")):
        parser.add_argument(f"--{part}", nargs="+", metavar="FILE", help=f"{what} {use}")
    parser.add_argument("--patience", type=at_least(1), metavar="N", help="stop when the validation loss has not been "
                        "lower for N epochs; without --validation a tenth of the training data is for it (default: all "
                        "epochs, and the last weights, if there is no validation)")  # fmt: skip
    parser.add_argument("--decay", type=at_least(1e-9, float, 1), metavar="X", help="multiply the learning rate by X "
                        "after each epoch, instead of lowering it along half a cosine")  # fmt: skip
    parser.add_argument("--decay-after", type=at_least(1), metavar="N", help="the first N epochs have the full rate, "
                        "with --decay (default: 1)")  # fmt: skip


def given_split(o: Any, other: str = "train") -> bool:
    """Whether the parts of the data are given. Raises UserError for options that do not go together."""
    if bool(o.train) != bool(o.test):
        raise UserError("--train and --test go together")
    if o.validation and not o.train:
        raise UserError("--validation goes with --train and --test")
    if o.train and other != "train" and getattr(o, other):
        raise UserError(f"--train and --{other} do not go together")
    if o.decay_after and not o.decay:
        raise UserError("--decay-after has no effect without --decay")
    return bool(o.train)


def learning_rate(o: Any, per_epoch: int, steps: int) -> Callable[[int], float]:
    """The rate of each step: half a cosine after a warm-up, or by --decay, with so many steps in an epoch."""
    if not o.decay:
        return nn.cosine_decay(o.lr, steps, warmup=steps // 20)
    return lambda n: o.lr * epoch_decay(n, per_epoch, o.decay, o.decay_after or 1)


def epoch_decay(n: int, per_epoch: int, decay: float, after: int) -> float:
    """What the rate of step n is multiplied by: 1 in the first epochs, then `decay` once more in each."""
    return float(decay ** max(0, n // per_epoch + 1 - after))


def tenth(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers below n in random order, in two parts: to learn from, and a tenth, at least one, to validate on."""
    learnt, held = np.split(np.random.default_rng([seed, 10]).permutation(n), [n - max(1, n // 10)])
    return learnt, held


def mean_loss(p: np.ndarray, labels: np.ndarray) -> float:
    """The cross-entropy: the mean of -log of the probability, of p (N, classes), that each label has."""
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-30)).mean())


# --- watching -------------------------------------------------------------------------------------------------------


def common_to_ranks(rng: np.random.Generator) -> np.random.Generator:
    """A generator for the order of the data, which all ranks must agree on; a model's differs from rank to rank."""
    return rng if nn.distributed.world().size == 1 else copy.deepcopy(rng)


def share_of(some: Any, ranks: nn.distributed.Ranks) -> Any:
    """A rank's part of a sequence, or of the numbers below n."""
    some = np.arange(some) if isinstance(some, int) else some
    return some[ranks.rows(len(some))]


def shared_out(some: Any, evaluate: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """What `evaluate(some)` finds, on every rank, of which each has evaluated its part: `some` as in `share_of`."""
    ranks = nn.distributed.world()
    mine = share_of(some, ranks)
    return [found for part in ranks.gather(list(evaluate(mine)) if len(mine) else []) for found in part]


RECENT = 20  # the loss of the moment is the mean of so many steps
FAR = 10.0  # so many times its baseline, from which no training comes back
WORSE = 1.05  # so many times its baseline at the end, or, of a few steps, whose losses scatter, 1.25
SCATTER = 1.5  # how much the first loss, of one batch, may lie below that of others where it is far above a guess


class DivergenceError(UserError):
    """Training has left weights that are of no use."""


class Watch:
    """Watches over a training: ends it when it has diverged, and keeps the weights that were validated best.

        with Watch(model, np.log(classes), o) as watch:
            for batch in batches:
                mine = watch.share(batch)          # of several ranks
                loss = watch.average(loss_and_gradients(mine) if len(mine) else None, len(mine))
                ...                                # clip the gradients, update the weights
                watch.validated(loss_of(others))   # now and then, if there are others
        watch.use_best(progress.say)

    Training has diverged when a loss, a gradient or a weight is not finite, or when the loss is far above that of a
    guess (or the first loss, where that is larger): ten times on the way, and at the end not below it. The block is
    then left by `DivergenceError`.

    Args:
        guess: the loss that a network must beat to be of use; `baseline` says whose it is.
        o: the options; --lr is named as what to change.
        name: of the network, where an example has several.
        losses: of the steps before, if this goes on with a training.
        clip: the option that clips the gradient.
        may_explode: only what is not finite ends it.
        parallel: the block of all ranks in which this one stands, if it has no block of its own.
    """

    def __init__(
        self,
        model: nn.Module,
        guess: float,
        o: Any,
        name: str = "",
        baseline: str = "a guess has",
        losses: list[float] | None = None,
        clip: str = "--clip",
        may_explode: bool = False,
        parallel: nn.distributed.DataParallel | None = None,
    ) -> None:
        self.model, self.guess, self.o, self.name, self.baseline = model, guess, o, name, baseline
        self.losses: list[float] = [] if losses is None else losses
        self.clip, self.may_explode = clip, may_explode
        self.parallel, self.own = parallel or nn.distributed.DataParallel(model), parallel is None
        self.best: tuple[float, int, dict[str, np.ndarray]] | None = None  # loss, step, weights
        self.worse = 0  # validations since

    def __enter__(self) -> Self:
        self.silence = np.errstate(all="ignore")  # of overflow: it ends in numbers that are not finite
        self.silence.__enter__()
        if self.own:
            self.parallel.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.silence.__exit__(kind, error, trace)
        if self.own:
            self.parallel.__exit__(kind, error, trace)
        if isinstance(error, FloatingPointError):
            raise self.diverged(str(error).partition(";")[0]) from error
        if error is None:
            self.check()

    def share(self, batch: Any) -> Any:
        """This rank's part of a batch: of a sequence, or of the numbers below n."""
        return share_of(batch, self.parallel.ranks)

    def average(self, loss: Any, count: int) -> float:
        """Average the gradients of all ranks, each of the mean over `count`: the loss of the whole batch."""
        mean = self.parallel.average_gradients(loss, count)
        self.loss(mean)
        return mean

    def loss(self, value: float) -> None:
        """The loss of a step, before its update."""
        self.losses.append(value)
        if not math.isfinite(value):
            raise self.diverged(f"the loss is {value}")
        if len(self.losses) > RECENT:
            self.compare(self.recent, FAR)

    def validated(self, value: float) -> bool:
        """The loss of data that are not trained on: the lowest keeps the weights. Whether --patience is at an end."""
        if not math.isfinite(value):
            raise self.diverged(f"the validation loss is {value}")
        self.worse += 1
        if self.best is None or value < self.best[0]:
            self.best, self.worse = (value, len(self.losses), self.model.state_dict()), 0
        return 0 < (getattr(self.o, "patience", None) or 0) <= self.worse

    def use_best(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Set the model to the weights that were validated best, if any were, and say so."""
        if self.best:
            loss, step, weights = self.best
            self.model.load_state_dict(weights)
            of = f"{self.name}: " if self.name else ""
            say(f"{of}validation loss lowest at step {number(step)} of {number(len(self.losses))}, {loss:.4f}")

    def check(self) -> None:
        """Raises DivergenceError if the weights are of no use, as far as can be told at the end of training."""
        times = WORSE if len(self.losses) > RECENT else 1.25
        self.compare(self.recent, times)
        if self.best:
            self.compare(self.best[0], FAR)
        for name, array in self.model.state_dict().items():
            if not np.isfinite(array).all():
                raise self.diverged(f"the weights {name} are not finite")

    @property
    def recent(self) -> float:
        """The mean of the last losses, but not of the first, which was before all updates."""
        losses = self.losses[max(1, len(self.losses) - RECENT) :] or self.losses or [0.0]
        return sum(losses) / len(losses)

    def compare(self, loss: float, times: float) -> None:
        """Raises DivergenceError if the loss is more than so many times its baseline."""
        first = self.losses[0] if self.losses else 0.0
        if first > SCATTER * self.guess:
            first *= SCATTER
        if not self.may_explode and loss > times * max(self.guess, first):
            raise self.diverged(f"the loss is {loss:.4g}")

    def diverged(self, how: str) -> DivergenceError:
        """The error that says where, how, and what to do."""
        return DivergenceError(
            f"training diverged at step {number(len(self.losses))}{f' ({self.name})' if self.name else ''}: {how}, "
            f"{self.baseline} {self.guess:.4g}; try a smaller --lr than {self.o.lr:g}, or clip by a smaller "
            f"{self.clip}"
        )
