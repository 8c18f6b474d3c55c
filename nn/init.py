"""Initial values of weights, as plain arrays; I inputs along the first axis, O outputs along the second.

Every function takes `rng`, a `numpy.random.Generator`, an integer seed, or None for a fresh one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .words import INITS, missing

Rng = np.random.Generator | int | None


def __getattr__(name: str) -> Any:
    raise missing("module 'nn.init'", name, INITS)


def uniform(shape: tuple[int, ...], scale: float, rng: Rng = None, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Entries from U(-scale, scale).

    >>> bool((abs(nn.init.uniform((2, 3), 0.1, rng=0)) <= 0.1).all())
    True
    """
    return np.random.default_rng(rng).uniform(-scale, scale, shape).astype(dtype)


def glorot_uniform(
    shape: tuple[int, int], gain: float = 1.0, rng: Rng = None, dtype: npt.DTypeLike = np.float32
) -> np.ndarray:
    """Entries from U(-s, s), s = gain √(6 / (I + O)), which keeps the variance of signals and cotangents alike.

    Source: Glorot & Bengio 2010, equation 16.

    >>> bool((abs(nn.init.glorot_uniform((3, 3), rng=0)) <= 1).all())
    True
    """
    return uniform(shape, gain * math.sqrt(6 / max(1, shape[0] + shape[1])), rng, dtype)


def glorot_normal(
    shape: tuple[int, int], gain: float = 1.0, rng: Rng = None, dtype: npt.DTypeLike = np.float32
) -> np.ndarray:
    """Entries from N(0, s²), s = gain √(2 / (I + O)). Source: Glorot & Bengio 2010, equation 12.

    >>> nn.init.glorot_normal((2, 3), rng=0).dtype
    dtype('float32')
    """
    s = gain * math.sqrt(2 / max(1, shape[0] + shape[1]))
    return (s * np.random.default_rng(rng).standard_normal(shape)).astype(dtype)


def orthogonal(
    shape: tuple[int, int], gain: float = 1.0, rng: Rng = None, dtype: npt.DTypeLike = np.float32
) -> np.ndarray:
    """gain Q with orthonormal rows or columns, whichever are fewer: repeated products neither grow nor vanish.

    Source: Saxe, McClelland & Ganguli 2014.

    >>> Q = nn.init.orthogonal((3, 3), rng=0, dtype=np.float64)
    >>> np.allclose(Q.T @ Q, np.eye(3))
    True
    """
    rows, columns = shape
    a = np.random.default_rng(rng).standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(a)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # uniform over all such matrices: fix the signs that QR leaves open
    return (gain * (q if rows >= columns else q.T)).astype(dtype)


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Nothing but zeros.

    >>> nn.init.zeros((3,))
    array([0., 0., 0.], dtype=float32)
    """
    return np.zeros(shape, dtype)


def gates(count: int, make: Any, shape: tuple[int, int]) -> np.ndarray:
    """`count` blocks made one by one by `make(shape)`, side by side: each gate's weights have their own fan.

    >>> nn.init.gates(4, lambda shape: nn.init.orthogonal(shape, rng=0), (3, 3)).shape
    (3, 12)
    """
    return np.concatenate([make(shape) for _ in range(count)], axis=1)
