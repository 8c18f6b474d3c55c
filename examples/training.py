"""What training needs beside its subject: an end when it has diverged, and the weights that were validated best."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

import nn

from .common import UserError, number

RECENT = 20  # the loss of the moment is the mean of so many steps
FAR = 10.0  # so many times its baseline, from which no training comes back
WORSE = 1.05  # so many times its baseline at the end, or, of a few steps, whose losses scatter, 1.25


class DivergenceError(UserError):
    """Training has left weights that are of no use."""


class Watch:
    """Watches over a training: ends it when it has diverged, and keeps the weights that were validated best.

        with Watch(model, np.log(classes), o) as watch:
            for batch in batches:
                loss = loss_and_gradients(batch)
                watch.loss(loss.item())
                ...                                # clip the gradients, update the weights
                watch.validated(loss_of(others))   # now and then, if there are others
        watch.use_best()

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
    ) -> None:
        self.model, self.guess, self.o, self.name, self.baseline = model, guess, o, name, baseline
        self.losses: list[float] = [] if losses is None else losses
        self.clip, self.may_explode = clip, may_explode
        self.best: tuple[float, int, dict[str, np.ndarray]] | None = None  # loss, step, weights

    def __enter__(self) -> Self:
        self.silence = np.errstate(all="ignore")  # of overflow: it ends in numbers that are not finite
        self.silence.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.silence.__exit__(kind, error, trace)
        if isinstance(error, FloatingPointError):
            raise self.diverged(str(error).partition(";")[0]) from error
        if error is None:
            self.check()

    def loss(self, value: float) -> None:
        """The loss of a step, before its update."""
        self.losses.append(value)
        if not math.isfinite(value):
            raise self.diverged(f"the loss is {value}")
        if len(self.losses) > RECENT:
            self.compare(self.recent, FAR)

    def validated(self, value: float) -> None:
        """The loss of data that are not trained on: the lowest so far keeps the weights."""
        if not math.isfinite(value):
            raise self.diverged(f"the validation loss is {value}")
        if self.best is None or value < self.best[0]:
            self.best = value, len(self.losses), self.model.state_dict()

    def use_best(self) -> None:
        """Set the model to the weights that were validated best, if any were."""
        if self.best:
            self.model.load_state_dict(self.best[2])

    def check(self) -> None:
        """Raises DivergenceError if the weights are of no use, as far as can be told at the end of training."""
        times = WORSE if len(self.losses) > RECENT else 1.25
        self.compare(self.recent, times)
        if self.best:
            self.compare(self.best[0], times)
        for name, array in self.model.state_dict().items():
            if not np.isfinite(array).all():
                raise self.diverged(f"the weights {name} are not finite")

    @property
    def recent(self) -> float:
        """The mean of the last losses, but not of the first, which was before all updates."""
        return float(np.mean(self.losses[1:][-RECENT:] or self.losses or [0.0]))

    def compare(self, loss: float, times: float) -> None:
        """Raises DivergenceError if the loss is more than so many times its baseline."""
        if not self.may_explode and loss > times * max(self.guess, *self.losses[:1]):
            raise self.diverged(f"the loss is {loss:.4g}")

    def diverged(self, how: str) -> DivergenceError:
        """The error that says where, how, and what to do."""
        return DivergenceError(
            f"training diverged at step {number(len(self.losses))}{f' ({self.name})' if self.name else ''}: {how}, "
            f"{self.baseline} {self.guess:.4g}; try a smaller --lr than {self.o.lr:g}, or clip by a smaller "
            f"{self.clip}"
        )
