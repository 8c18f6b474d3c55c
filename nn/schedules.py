"""Learning-rate schedules: functions of the number of steps taken so far, for an optimiser's `lr`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arguments import is_flag
from .options import check_range


class Schedule:
    """η(n) of the number n of steps taken so far, that begins with or leads to the rate `lr`: `schedule(n)`.

    `schedule(n, lr)` is the same with another `lr`: what a group of parameters follows that has a rate of its own.
    It is a function of a module with its options bound, so that an optimiser that holds one can be pickled.

    Raises:
        TypeError, ValueError: if `lr` is no number of at least 0.
    """

    def __init__(self, lr: float, rule: Callable[..., float], **options: Any) -> None:
        check_range("lr", lr, 0, math.inf)
        self.lr, self.rule = lr, functools.partial(rule, **options)

    def __call__(self, n: int, lr: float | None = None) -> float:
        return self.rule(n, self.lr if lr is None else lr)


def lambda_decay(lr: float, factor: Callable[[int], float]) -> Schedule:
    """η(n) = lr · factor(n), for any function of yours.

    Raises:
        TypeError: if `factor` is no function.

    >>> rate = nn.lambda_decay(0.5, lambda n: 1 / (1 + n))
    >>> [rate(n) for n in (0, 1, 4)]
    [0.5, 0.25, 0.1]
    """
    if not callable(factor):
        raise TypeError(f"lambda_decay: factor must be a function of the number of steps, got {factor!r}")
    return Schedule(lr, _of_function, factor=factor)


def _of_function(n: int, lr: float, *, factor: Callable[[int], float]) -> float:
    return lr * factor(n)


def step_decay(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """η(n) = lr · factor^⌊n / every⌋.

    >>> rate = nn.step_decay(0.1, every=10)
    >>> [round(rate(n), 6) for n in (0, 9, 10, 20)]
    [0.1, 0.1, 0.01, 0.001]
    """
    check_range("every", every, 1, math.inf)
    check_range("factor", factor, 0, math.inf)
    return Schedule(lr, _by_steps, every=every, factor=factor)


def _by_steps(n: int, lr: float, *, every: int, factor: float) -> float:
    return lr * factor ** (n // every)


def exponential_decay(lr: float, factor: float) -> Schedule:
    """η(n) = lr · factor^n.

    >>> rate = nn.exponential_decay(1.0, 0.5)
    >>> [rate(n) for n in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """
    check_range("factor", factor, 0, math.inf)
    return Schedule(lr, _by_steps, every=1, factor=factor)


def cosine_decay(lr: float, total: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Linear from lr / warmup to lr over `warmup` steps, then half a cosine from lr to `final` at step `total`.

    Source: Loshchilov & Hutter 2017, equation 5 (without restarts).

    >>> rate = nn.cosine_decay(1.0, total=10, warmup=2)
    >>> [round(rate(n), 3) for n in (0, 1, 6, 10)]
    [0.5, 1.0, 0.5, 0.0]
    """
    for name, value in (("total", total), ("warmup", warmup)):
        check_range(f"cosine_decay: {name}", value, -math.inf, math.inf, "()")
    check_range("final", final, 0, math.inf)
    if not 0 <= warmup < total:
        raise ValueError(f"cosine_decay: warmup must lie within [0, total), got {warmup} of {total}")
    return Schedule(lr, _along_cosine, total=total, warmup=warmup, final=final)


def _along_cosine(n: int, lr: float, *, total: int, warmup: int, final: float) -> float:
    if n < warmup:
        return lr * (n + 1) / warmup
    done = min(1.0, (n - warmup) / (total - warmup))
    return final + (lr - final) * (1 + math.cos(math.pi * done)) / 2


def one_cycle(
    lr: float,
    total: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal: str = "cos",
    three_phase: bool = False,
) -> Schedule:
    """From lr / div_factor up to lr in the first part of `total` steps, then down far below: one cycle.

    It ends, and stays, at lr / (div_factor · final_div_factor), reached with step number total - 1. The way up ends
    with step number pct_start · total - 1. With `three_phase` the way down to the first rate is as long as the way up,
    and the rest leads to the last rate. `anneal`: along half a cosine ("cos"), or straight ("linear").

    Momentum is not cycled. Raises ValueError for a number that is out of its range, or another `anneal`.

    Source: Smith & Topin 2018, section 3, in the form of PyTorch's OneCycleLR.

    >>> rate = nn.one_cycle(1.0, total=10)
    >>> [round(rate(n), 3) for n in (0, 1, 2, 5, 9)]
    [0.04, 0.52, 1.0, 0.611, 0.0]
    """
    check_range("total", total, 1, math.inf)
    check_range("pct_start", pct_start, 0, 1, "[]")
    check_range("div_factor", div_factor, 0, math.inf, "()")
    check_range("final_div_factor", final_div_factor, 0, math.inf, "()")
    if not is_flag(three_phase):
        raise TypeError(f"one_cycle: three_phase must be True or False, got {three_phase!r}")
    if anneal not in ("cos", "linear"):
        raise ValueError(f"one_cycle: anneal must be 'cos' or 'linear', got {anneal!r}")
    if three_phase and pct_start > 0.5:
        raise ValueError(f"one_cycle: three_phase needs a pct_start of at most 0.5, got {pct_start}")
    ends = [pct_start * total - 1, *[2 * pct_start * total - 2] * bool(three_phase), total - 1]
    return Schedule(lr, _along_cycle, ends=ends, factors=(div_factor, final_div_factor), anneal=anneal)


def _along_cycle(n: int, lr: float, *, ends: list[float], factors: tuple[float, float], anneal: str) -> float:
    """The rate in phase k, which ends with step number ends[k]."""
    first = lr / factors[0]
    rates = [first, lr, *[first] * (len(ends) - 2), first / factors[1]]
    k = next((k for k, end in enumerate(ends) if n <= end), len(ends) - 1)
    start = ends[k - 1] if k else 0
    done = min(1.0, (n - start) / (ends[k] - start)) if ends[k] > start else 1.0
    if anneal == "linear":
        return rates[k] + (rates[k + 1] - rates[k]) * done
    return rates[k + 1] + (rates[k] - rates[k + 1]) * (1 + math.cos(math.pi * done)) / 2


class Plateau(Schedule):
    """The schedule that `plateau_decay` makes: `update(value)` after each epoch, and its memory."""

    def __init__(self, lr: float, better: Callable[[float, float], bool], worst: float, patience: int, cooldown: int,
                 lower: Callable[[float], float]) -> None:  # fmt: skip
        super().__init__(lr, self._lowered)
        self._better, self._patience, self._cooldown, self._lower = better, patience, cooldown, lower
        self.best, self.bad, self.resting, self.reductions = worst, 0, 0, 0

    def _lowered(self, n: int, lr: float) -> float:
        for _ in range(self.reductions):
            lr = self._lower(lr)
        return lr

    def update(self, value: float) -> bool:
        """Tell the value of an epoch, for instance the loss on the validation set; returns whether rates were lowered.

        Raises:
            TypeError: if it is no number.
        """
        number: Any = value.item() if getattr(value, "size", 0) == 1 else value  # type: ignore[attr-defined]
        if not isinstance(number, (int, float)):
            raise TypeError(f"update: the value of an epoch must be a number, got {value!r}")
        value = float(number)
        better = self._better(value, self.best)
        self.best, self.bad = (value, 0) if better else (self.best, self.bad + 1)
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        if self.bad <= self._patience:
            return False
        self.reductions, self.resting, self.bad = self.reductions + 1, self._cooldown, 0
        return True

    def state_dict(self) -> dict[str, np.ndarray]:
        """The best value, the epochs without a better one, those left to rest, and how often rates were lowered."""
        return {name: np.array(getattr(self, name)) for name in ("best", "bad", "resting", "reductions")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.best = float(state["best"])
        self.bad, self.resting, self.reductions = (int(state[name]) for name in ("bad", "resting", "reductions"))


def plateau_decay(
    lr: float,
    factor: float = 0.1,
    patience: int = 10,
    mode: str = "min",
    threshold: float = 1e-4,
    threshold_mode: str = "rel",
    cooldown: int = 0,
    final: float = 0.0,
    eps: float = 1e-8,
) -> Plateau:
    """lr · factor^k, where k grows by 1 when a value has not become better for more than `patience` updates.

    Args:
        mode: "min": less is better; "max": more is.
        threshold: better by at least this part of the best value ("rel"), or by this amount ("abs").
        cooldown: updates after a reduction in which none is counted as bad.
        final: no rate falls below.
        eps: a rate that would fall by no more than this stays.

    What it remembers is part of the optimiser's `state_dict()`. Raises ValueError for a number out of its range, or
    another mode. It computes what PyTorch's ReduceLROnPlateau does.

    >>> plateau = nn.plateau_decay(1.0, factor=0.5, patience=1)
    >>> optimizer = nn.SGD([nn.parameter([0.0])], plateau)
    >>> [(plateau.update(loss), optimizer.rate) for loss in (3.0, 2.0, 2.5, 2.5)]  # one after each epoch
    [(False, 1.0), (False, 1.0), (False, 1.0), (True, 0.5)]
    """
    check_range("factor", factor, 0, 1)
    for name, value in (("patience", patience), ("cooldown", cooldown), ("threshold", threshold), ("final", final),
                        ("eps", eps)):  # fmt: skip
        check_range(name, value, 0, math.inf)
    if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
        raise ValueError(f"plateau_decay: mode must be 'min' or 'max', threshold_mode 'rel' or 'abs', got {mode!r} and "
                         f"{threshold_mode!r}")  # fmt: skip
    sign = 1 if mode == "min" else -1
    better = functools.partial(_is_better, sign=sign, threshold=threshold, relative=threshold_mode == "rel")
    lower = functools.partial(_next_lower, factor=factor, final=final, eps=eps)
    return Plateau(lr, better, sign * math.inf, patience, cooldown, lower)


def _is_better(value: float, best: float, *, sign: int, threshold: float, relative: bool) -> bool:
    limit = best * (1 - sign * threshold) if relative else best - sign * threshold
    return sign * value < sign * limit


def _next_lower(lr: float, *, factor: float, final: float, eps: float) -> float:
    lowered = max(lr * factor, final)
    return lowered if lr - lowered > eps else lr
