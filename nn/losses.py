"""Losses: scalars to minimise, from outputs and targets."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg


def _reduced(losses: Any, reduction: str, count: Any) -> Any:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean":
        return losses.sum() / count
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def cross_entropy(logits: Any, targets: Any, ignore_index: int | None = None, reduction: str = "mean") -> Any:
    """-log softmax(logits)[target]: logits (..., V), integer targets (...) within 0 ... V - 1.

    Args:
        ignore_index: targets of this value count nothing (padding); they are left out of the mean.
        reduction: "mean" over all targets that count (0 if there is none), "sum", or "none" for shape (...).

    Raises:
        ValueError: if the shapes do not match, a target is out of range, or the reduction is unknown.
        TypeError: if the targets are not integers.

    Source: Goodfellow, Bengio & Courville 2016, equation 6.12 ff.; L = L(1) + ... + L(T) of a sequence is "sum".

    >>> nn.cross_entropy(mg.tensor([[0.0, 0.0], [1000.0, 0.0]]), [1, 0], reduction="none")
    tensor([ 0.69314718, -0.        ])
    """
    return nll_loss(mg.log_softmax(logits, axis=-1), targets, ignore_index, reduction)


def nll_loss(log_probs: Any, targets: Any, ignore_index: int | None = None, reduction: str = "mean") -> Any:
    """-log_probs[target]: like `cross_entropy`, from log-probabilities (..., V).

    >>> nn.nll_loss(mg.log_softmax(mg.tensor([[0.0, 0.0]])), [1])
    tensor(0.69314718)
    """
    targets = targets if isinstance(targets, mg.Tensor) else np.asarray(targets)
    V = log_probs.shape[-1]
    if targets.dtype.kind not in "iu":
        raise TypeError(f"targets must be integers, the numbers of the right classes, got {targets.dtype}")
    if targets.shape != log_probs.shape[:-1]:
        raise ValueError(f"targets have shape {targets.shape}, outputs of shape {log_probs.shape} need "
                         f"{log_probs.shape[:-1]}")  # fmt: skip
    targets = _checked(targets, V, ignore_index)
    if ignore_index is None:
        return _reduced(-_pick(log_probs, targets), reduction, max(1, targets.size))
    counts = mg.not_equal(targets, ignore_index)
    # a log-probability of -inf at an ignored place must not become -inf * 0
    picked = mg.where(counts, _pick(log_probs, mg.where(counts, targets, 0)), 0.0)
    return _reduced(-picked, reduction, mg.maximum(mg.sum(mg.astype(counts, log_probs.dtype)), 1))


def _classes(targets: np.ndarray, V: int, ignore_index: int | None) -> np.ndarray:
    if not targets.size or 0 <= targets.min() <= targets.max() < V:
        return targets
    wrong = (targets < 0) | (targets >= V)
    if ignore_index is not None:
        wrong &= targets != ignore_index
    if wrong.any():
        raise ValueError(f"targets must lie within 0 ... {V - 1}, found {targets[wrong][0]}")
    return targets


_checked = mg.primitive(_classes, name="checked", pure=False)


def _pick(x: Any, indices: np.ndarray) -> Any:
    """x[..., indices[...]]: one entry of each last axis."""
    rows = x.reshape(-1, x.shape[-1])
    return rows[np.arange(indices.size), indices.reshape(-1)].reshape(indices.shape)


def mse_loss(y: Any, targets: Any, reduction: str = "mean") -> Any:
    """(y - target)², of one shape; raises ValueError if the shapes differ, since broadcasting hides mistakes.

    >>> nn.mse_loss(mg.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2.)
    """
    y = y if isinstance(y, mg.Tensor) else np.asarray(y)
    if np.shape(y) != np.shape(targets):
        raise ValueError(f"mse_loss: outputs have shape {np.shape(y)}, targets {np.shape(targets)}")
    return _reduced(mg.square(y - _as_data(targets, y)), reduction, max(1, y.size))


def binary_cross_entropy_with_logits(logits: Any, targets: Any, reduction: str = "mean") -> Any:
    """-t log σ(x) - (1 - t) log(1 - σ(x)) = softplus(x) - t x, of one shape, targets within [0, 1].

    Finite at any finite logit. Raises ValueError if the shapes differ.

    >>> nn.binary_cross_entropy_with_logits(mg.tensor([0.0, 1000.0]), [1.0, 1.0])
    tensor(0.34657359)
    """
    if np.shape(logits) != np.shape(targets):
        raise ValueError(
            f"binary_cross_entropy_with_logits: logits have shape {np.shape(logits)}, targets {np.shape(targets)}"
        )
    losses = mg.softplus(logits) - _as_data(targets, logits) * logits
    return _reduced(losses, reduction, max(1, logits.size))


def _as_data(targets: Any, like: Any) -> Any:
    """Plain targets in the outputs' dtype, so that float32 stays float32."""
    return mg.as_tensor(targets, like.dtype if like.dtype.kind == "f" else None)
