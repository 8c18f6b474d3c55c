"""Losses: scalars to minimise, from outputs and targets."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

import minigrad as mg

from .arguments import is_whole
from .module import array, check_no_state, examined
from .options import check_range
from .sequences import padding_mask


@overload
def reduced(losses: mg.Tensor, reduction: str, count: Any) -> mg.Tensor: ...
@overload
def reduced(losses: Any, reduction: str, count: Any) -> Any: ...
def reduced(losses: Any, reduction: str, count: Any) -> Any:
    """The losses themselves, their sum, or their sum over `count`."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean":
        return losses.sum() / count
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


# --- of classes ------------------------------------------------------------------------------------------------------


@overload
def cross_entropy(
    logits: mg.Tensor,
    targets: Any,
    ignore_index: int | None = None,
    reduction: str = "mean",
    weight: Any = None,
    label_smoothing: float = 0.0,
    lengths: Any = None,
) -> mg.Tensor: ...
@overload
def cross_entropy(
    logits: Any,
    targets: Any,
    ignore_index: int | None = None,
    reduction: str = "mean",
    weight: Any = None,
    label_smoothing: float = 0.0,
    lengths: Any = None,
) -> Any: ...
def cross_entropy(
    logits: Any,
    targets: Any,
    ignore_index: int | None = None,
    reduction: str = "mean",
    weight: Any = None,
    label_smoothing: float = 0.0,
    lengths: Any = None,
) -> Any:
    """-Σ_v w_v p_v log softmax(logits)_v, where p is 1 at the target and 0 elsewhere, or a given distribution.

    Logits (..., V); integer targets (...) within 0 ... V - 1, or probabilities (..., V). The result has the dtype of
    the logits.

    Args:
        ignore_index: integer targets of this value count nothing (padding); they are left out of the mean. Logits there
            are read: if one is NaN, so is their gradient (not beyond `lengths`).
        reduction: "mean" over all targets that count (0 if there is none), "sum", or "none" for shape (...). The mean
            is weighted, Σ w L / Σ w with the weights of the target classes; of probabilities it is the plain mean.
        weight: w (V,), the weights of the classes.
        label_smoothing: ε within [0, 1]: p ← (1 - ε) p + ε / V. A class whose logit is -inf then makes the loss
            infinite.
        lengths: (B,), with logits (T, B, ..., V): the times from each sequence's length on count nothing, and are not
            read; with "none" they have loss 0.

    Raises:
        ValueError: if shapes do not match, a target is out of range, probabilities come with `ignore_index`, or the
            reduction is unknown.
        TypeError: if the targets are neither integers nor probabilities.

    Source: Goodfellow, Bengio & Courville 2016, equation 6.12 ff.; L = L(1) + ... + L(T) of a sequence is "sum". Label
    smoothing: Szegedy et al. 2016, section 7.

    >>> logits = mg.tensor([[0.0, 0.0], [1000.0, 0.0]])
    >>> nn.cross_entropy(logits, [1, 0], reduction="none")
    tensor([ 0.69314718, -0.        ])
    >>> nn.cross_entropy(logits, [1, 0], weight=[1.0, 3.0])  # (3 · 0.693 + 1 · 0) / (3 + 1)
    tensor(0.51986039)
    """
    check_no_state(logits)
    targets = array(targets)
    check_range("label_smoothing", label_smoothing, 0, 1, "[]")
    if not np.ndim(logits):
        raise ValueError("cross_entropy: logits must be (..., V), a number for each class, got one number")
    soft = targets.dtype.kind == "f" and targets.shape == np.shape(logits)
    if soft and ignore_index is not None:
        raise ValueError("ignore_index: the targets are probabilities, which have no index; pass lengths= or multiply "
                         "the losses of reduction='none' by a mask")  # fmt: skip
    mask = None
    if lengths is not None:
        mask, logits = _read("cross_entropy", lengths, logits, 1)
    log_probs = mg.log_softmax(logits, axis=-1)
    if soft:
        return _of_probabilities(log_probs, targets, reduction, weight, label_smoothing, mask)
    return _of_classes(log_probs, targets, ignore_index, reduction, weight, label_smoothing, mask)


@overload
def nll_loss(
    log_probs: mg.Tensor,
    targets: Any,
    ignore_index: int | None = None,
    reduction: str = "mean",
    weight: Any = None,
    lengths: Any = None,
) -> mg.Tensor: ...
@overload
def nll_loss(
    log_probs: Any,
    targets: Any,
    ignore_index: int | None = None,
    reduction: str = "mean",
    weight: Any = None,
    lengths: Any = None,
) -> Any: ...
def nll_loss(
    log_probs: Any,
    targets: Any,
    ignore_index: int | None = None,
    reduction: str = "mean",
    weight: Any = None,
    lengths: Any = None,
) -> Any:
    """-w_target log_probs[target]: `cross_entropy` of integer targets, from log-probabilities (..., V).

    Arguments, and what is raised, are those of `cross_entropy`.

    >>> nn.nll_loss(mg.log_softmax(mg.tensor([[0.0, 0.0]])), [1])
    tensor(0.69314718)
    """
    log_probs, targets, mask = array(log_probs), array(targets), None
    if lengths is not None:
        mask, log_probs = _read("nll_loss", lengths, log_probs, 1)
    return _of_classes(log_probs, targets, ignore_index, reduction, weight, 0.0, mask)


def _of_classes(
    log_probs: Any, targets: Any, ignore_index: int | None, reduction: str, weight: Any, smoothing: float, mask: Any
) -> Any:
    V = log_probs.shape[-1]
    if targets.dtype.kind not in "iu":
        if targets.ndim == log_probs.ndim + 1:
            raise TypeError(f"the outputs, {log_probs.shape}, come first, then the targets, {targets.shape}: are they "
                            "swapped?")  # fmt: skip
        raise TypeError(f"targets must be integers, the numbers of the right classes, got {targets.dtype} of shape "
                        f"{targets.shape}; as probabilities, which cross_entropy takes, they have the outputs' shape "
                        f"{log_probs.shape}")  # fmt: skip
    if targets.shape != log_probs.shape[:-1]:
        soft = "; as probabilities they are floating-point" if targets.shape == log_probs.shape else ""
        raise ValueError(f"targets have shape {targets.shape}, outputs of shape {log_probs.shape} need "
                         f"{log_probs.shape[:-1]}{soft}")  # fmt: skip
    if mask is not None:
        targets = mg.where(mask, targets, 0)
    if not (ignore_index is None or is_whole(ignore_index)):
        raise TypeError(f"ignore_index must be an integer or None, got {ignore_index!r}")
    targets, counts = _checked(targets, V, ignore_index), mask
    if ignore_index is not None:
        counts = mg.not_equal(targets, ignore_index)
        targets = mg.where(counts, targets, 0)
        counts = counts if mask is None else mg.logical_and(mask, counts)
    picked, shares = _pick(log_probs, targets), None
    if weight is not None:
        weight = _class_weights(weight, log_probs)
        shares = weight[targets]
        picked = shares * _defined(shares, picked)
    if smoothing:
        over_all = log_probs if weight is None else weight * _defined(weight, log_probs)
        picked = (1 - smoothing) * picked + smoothing / V * mg.sum(over_all, axis=-1)
    if counts is not None:
        # a log-probability of -inf at an ignored place must not become -inf * 0
        picked = mg.where(counts, picked, 0.0)
    return reduced(-picked, reduction, _count(counts, shares, picked))


def _of_probabilities(log_probs: Any, targets: Any, reduction: str, weight: Any, smoothing: float, mask: Any) -> Any:
    p = _as_data(targets, log_probs)
    if mask is not None:
        p = mg.where(mg.expand_dims(mask, -1), p, 0.0)
    if smoothing:
        p = (1 - smoothing) * p + smoothing / p.shape[-1]
    if weight is not None:
        p = _class_weights(weight, log_probs) * p
    losses = -mg.sum(p * _defined(p, log_probs), axis=-1)
    if mask is not None:
        losses = mg.where(mask, losses, 0.0)
    return reduced(losses, reduction, _count(mask, None, losses))


def _class_weights(weight: Any, log_probs: Any) -> Any:
    weight = _as_data(weight, log_probs)
    if weight.shape != log_probs.shape[-1:]:
        raise ValueError(f"weight has shape {weight.shape}, outputs of shape {log_probs.shape} need "
                         f"{log_probs.shape[-1:]}, a number for each class")  # fmt: skip
    return weight


def _defined(factor: Any, log_probs: Any) -> Any:
    """The log-probabilities, but 0 where they are -inf and to be multiplied by 0: 0 · log 0 = 0."""
    return mg.where(mg.logical_and(mg.equal(factor, 0), mg.isinf(log_probs)), 0.0, log_probs)


def _count(counts: Any, shares: Any, losses: Any) -> Any:
    """What a mean divides by: the number of losses that count, or the sum of their shares; 1 if it is 0."""
    if shares is not None:
        total = mg.sum(shares if counts is None else mg.where(counts, shares, 0.0))
        return mg.where(mg.equal(total, 0), 1.0, total)
    if counts is not None:
        return mg.maximum(mg.sum(mg.astype(counts, losses.dtype)), 1)
    return max(1, losses.size)


def _classes(targets: np.ndarray, V: int, ignore_index: int | None) -> np.ndarray:
    if not targets.size or 0 <= targets.min() <= targets.max() < V:
        return targets
    wrong = (targets < 0) | (targets >= V)
    if ignore_index is not None:
        wrong &= targets != ignore_index
    if wrong.any():
        raise ValueError(f"targets must lie within 0 ... {V - 1}, found {targets[wrong][0]}")
    return targets


_range_checked = mg.compile_as(mg.primitive(_classes, name="checked"), pure=False)


def _checked(targets: Any, V: int, ignore_index: int | None) -> Any:
    """The targets, after a look whether they are classes; compiled, at each call."""
    return examined(_range_checked, targets, V, ignore_index)


def _pick(x: Any, indices: np.ndarray) -> Any:
    """x[..., indices[...]]: one entry of each last axis."""
    if indices.ndim == 1:
        return x[np.arange(indices.size), indices]
    rows = x.reshape(-1, x.shape[-1])
    return mg.getitem(rows, (np.arange(indices.size), indices.reshape(-1))).reshape(indices.shape)


# --- of one shape ----------------------------------------------------------------------------------------------------


def mse_loss(y: Any, targets: Any, reduction: str = "mean", lengths: Any = None) -> mg.Tensor:
    """(y - target)², of one shape; raises ValueError if the shapes differ, since broadcasting hides mistakes.

    `lengths` (B,) for outputs (T, B, ...): as those of `cross_entropy`.

    >>> nn.mse_loss(mg.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2.)
    >>> nn.mse_loss(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), [[1.0, 4.0], [5.0, np.nan]], lengths=[2, 1])  # (0 + 4 + 4) / 3
    tensor(2.66666667)
    """
    y = array(y)
    y = y if y.dtype.kind == "f" else mg.astype(y, np.float64)  # differences and squares of small integers overflow
    if np.shape(y) != np.shape(targets):
        raise ValueError(f"mse_loss: outputs have shape {np.shape(y)}, targets {np.shape(targets)}")
    targets, mask = _as_data(targets, y), None
    if lengths is not None:
        (mask, y), (_, targets) = (_read("mse_loss", lengths, a, 0) for a in (y, targets))
    losses: mg.Tensor = mg.square(y - targets)
    return reduced(losses, reduction, _count(mask, None, losses))


def binary_cross_entropy_with_logits(
    logits: Any, targets: Any, reduction: str = "mean", pos_weight: Any = None, lengths: Any = None
) -> mg.Tensor:
    """-t log σ(x) - (1 - t) log(1 - σ(x)) = softplus(x) - t x, of one shape, targets within [0, 1].

    With weights w of the positive class, -w t log σ(x) - (1 - t) log(1 - σ(x)). Finite at any finite logit.

    Args:
        pos_weight: w, a number or an array that broadcasts to the logits' shape, as (V,) for the last axis.
        lengths: (B,) for logits (T, B, ...): as those of `cross_entropy`.

    Raises:
        ValueError: if the shapes differ, or `pos_weight` does not broadcast to them.

    >>> nn.binary_cross_entropy_with_logits(mg.tensor([0.0, 1000.0]), [1.0, 1.0])
    tensor(0.34657359)
    >>> nn.binary_cross_entropy_with_logits(mg.tensor([0.0, 1000.0]), [1.0, 1.0], pos_weight=2.0)
    tensor(0.69314718)
    """
    check_no_state(logits)
    if np.shape(logits) != np.shape(targets):
        raise ValueError(
            f"binary_cross_entropy_with_logits: logits have shape {np.shape(logits)}, targets {np.shape(targets)}"
        )
    targets, mask = _as_data(targets, logits), None
    if lengths is not None:
        name = "binary_cross_entropy_with_logits"
        (mask, logits), (_, targets) = (_read(name, lengths, a, 0) for a in (logits, targets))
    losses: mg.Tensor
    if pos_weight is None:
        losses = mg.softplus(logits) - targets * logits
    else:
        w = _as_data(pos_weight, logits)
        if w.ndim > logits.ndim or any(n not in (1, m) for n, m in zip(w.shape[::-1], logits.shape[::-1])):
            raise ValueError(f"pos_weight of shape {w.shape} does not broadcast to that of the logits, {logits.shape}")
        # log σ(x) = -softplus(-x), log(1 - σ(x)) = -softplus(x)
        losses = w * targets * mg.softplus(-logits) + (1 - targets) * mg.softplus(logits)
    if mask is not None:
        losses = mg.where(mask, losses, 0.0)
    return reduced(losses, reduction, _count(mask, None, losses))


def _as_data(targets: Any, like: Any) -> mg.Tensor:
    """Plain targets in the outputs' dtype, so that float32 stays float32."""
    return mg.as_tensor(targets, like.dtype if like.dtype.kind == "f" else None)


# --- padding ---------------------------------------------------------------------------------------------------------


def _read(name: str, lengths: Any, x: Any, classes: int) -> tuple[Any, Any]:
    """Which losses count, in x's shape without so many last axes of classes; x with 0 in place of the padding.

    Padding may hold anything: NaN times 0 would be NaN.
    """
    x = array(x)
    if x.ndim < 2 + classes:
        raise ValueError(f"{name}: with lengths, outputs are (T, B, ...{', V' * classes}), got shape {x.shape}")
    T, B, *rest = x.shape
    mask, entries = padding_mask(lengths, T, B), x.shape[: x.ndim - classes]
    counts = mg.broadcast_to(mg.reshape(mask, (T, B) + (1,) * (len(entries) - 2)), entries)
    return counts, mg.where(mg.reshape(mask, (T, B) + (1,) * len(rest)), x, 0.0)
