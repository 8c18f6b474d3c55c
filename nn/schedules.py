"""Learning-rate schedules: functions of the number of steps taken so far, for an optimiser's `lr`."""

from __future__ import annotations

import math
from collections.abc import Callable

from .optim import check_range


def step_decay(lr: float, every: int, factor: float = 0.1) -> Callable[[int], float]:
    """η(n) = lr · factor^⌊n / every⌋.

    >>> rate = nn.step_decay(0.1, every=10)
    >>> [round(rate(n), 6) for n in (0, 9, 10, 20)]
    [0.1, 0.1, 0.01, 0.001]
    """
    check_range("every", every, 1, math.inf)
    return lambda n: lr * factor ** (n // every)


def exponential_decay(lr: float, factor: float) -> Callable[[int], float]:
    """η(n) = lr · factor^n.

    >>> rate = nn.exponential_decay(1.0, 0.5)
    >>> [rate(n) for n in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """
    return lambda n: lr * factor**n


def cosine_decay(lr: float, total: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """Linear from lr / warmup to lr over `warmup` steps, then half a cosine from lr to `final` at step `total`.

    Source: Loshchilov & Hutter 2017, equation 5 (without restarts).

    >>> rate = nn.cosine_decay(1.0, total=10, warmup=2)
    >>> [round(rate(n), 3) for n in (0, 1, 6, 10)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if not 0 <= warmup < total:
        raise ValueError(f"cosine_decay: warmup must lie within [0, total), got {warmup} of {total}")

    def rate(n: int) -> float:
        if n < warmup:
            return lr * (n + 1) / warmup
        done = min(1.0, (n - warmup) / (total - warmup))
        return final + (lr - final) * (1 + math.cos(math.pi * done)) / 2

    return rate
