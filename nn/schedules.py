"""Learning-rate schedules: functions of the number of steps taken so far, for an optimiser's `lr`."""

from __future__ import annotations

import math
from collections.abc import Callable

from .optim import check_range


def step_decay(lr: float, every: int, factor: float = 0.1) -> Callable[[int], float]:
    """η(n) = lr · factor^⌊n / every⌋."""
    check_range("every", every, 1, math.inf)
    return lambda n: lr * factor ** (n // every)


def exponential_decay(lr: float, factor: float) -> Callable[[int], float]:
    """η(n) = lr · factor^n."""
    return lambda n: lr * factor**n


def cosine_decay(lr: float, total: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """Linear from lr / warmup to lr over `warmup` steps, then half a cosine from lr to `final` at step `total`.

    Source: Loshchilov & Hutter 2017, equation 5 (without restarts).
    """
    if not 0 <= warmup < total:
        raise ValueError(f"cosine_decay: warmup must lie within [0, total), got {warmup} of {total}")

    def rate(n: int) -> float:
        if n < warmup:
            return lr * (n + 1) / warmup
        done = min(1.0, (n - warmup) / (total - warmup))
        return final + (lr - final) * (1 + math.cos(math.pi * done)) / 2

    return rate
