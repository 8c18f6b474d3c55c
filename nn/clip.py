"""Gradient clipping: all gradients together by their norm, or each entry by its value."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

import minigrad as mg

from .options import check_range, leaves


def clip_grad_norm(params: Iterable[mg.Tensor], max_norm: float) -> float:
    """Scale all gradients together, in place, to a Euclidean norm of at most `max_norm`; returns the norm before.

    g ← g · min(1, max_norm / ‖g‖); `math.inf` only measures. Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.

    Raises:
        ValueError: if `max_norm` is negative or no number.
        FloatingPointError: if the norm is not finite; the gradients are left as they are.

    >>> w = nn.parameter([0.0, 0.0])
    >>> w.grad = np.array([3.0, 4.0])
    >>> (nn.clip_grad_norm([w], 1.0), w.grad)
    (5.0, array([0.6, 0.8]))
    """
    check_range("max_norm", max_norm, 0, math.inf, "[]")
    grads = [p.grad for p in leaves(params) if p.grad is not None]
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in grads))
    if not 1e-15 < norm < 1e15:  # squares may have left the range of the dtype
        largest = max((float(np.max(np.abs(g), initial=0.0)) for g in grads), default=0.0)
        if 0 < largest < math.inf:
            norm = largest * math.sqrt(sum(float(np.sum(np.square(g / largest, dtype=np.float64))) for g in grads))
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"clip_grad_norm: the gradient's norm is {norm}; run the step under mg.detect_anomaly() to see where from"
        )
    if norm > max_norm:
        if any([g.base is not None for g in grads]):  # one that was set may be another's: then it is scaled once
            grads = list({g.ctypes.data: g for g in grads}.values())
        for g in grads:
            g *= max_norm / norm
    return norm


def clip_grad_value(params: Iterable[mg.Tensor], limit: float) -> None:
    """Cut every entry of every gradient, in place, to [-limit, limit].

    Raises:
        ValueError: if the limit is negative or no number.

    >>> w = nn.parameter([0.0, 0.0])
    >>> w.grad = np.array([0.5, -4.0])
    >>> nn.clip_grad_value([w], 1.0)
    >>> w.grad
    array([ 0.5, -1. ])
    """
    check_range("limit", limit, 0, math.inf)
    for p in leaves(params):
        if p.grad is not None:
            np.clip(p.grad, -limit, limit, out=p.grad)
