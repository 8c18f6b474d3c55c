"""Connectionist temporal classification: the probability of a labelling, summed over all its alignments in time."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

import minigrad as mg

from .arguments import is_whole
from .losses import reduced
from .module import array, examined
from .sequences import padding_mask


@overload
def ctc_loss(
    logits: mg.Tensor,
    targets: Any,
    lengths: Any = None,
    target_lengths: Any = None,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> mg.Tensor: ...
@overload
def ctc_loss(
    logits: Any,
    targets: Any,
    lengths: Any = None,
    target_lengths: Any = None,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any: ...
def ctc_loss(
    logits: Any,
    targets: Any,
    lengths: Any = None,
    target_lengths: Any = None,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """-log p(l | x), the sum over all alignments of the labels l with T times, of which blanks and repeats are dropped.

    With log-probabilities y = log softmax(logits) and l' = (blank, l_1, blank, ..., l_S, blank), of 2S + 1 labels,

        α_t(s) = log(e^α_{t-1}(s) + e^α_{t-1}(s-1) + [l'_s ≠ l'_{s-2}] e^α_{t-1}(s-2)) + y_t(l'_s)

    and log p(l | x) = log(e^α_T(2S+1) + e^α_T(2S)): a composition, so that all derivatives are exact.

    Args:
        logits: (T, B, V); log-probabilities do as well, since their log-softmax is themselves.
        targets: (S, B) integers within 0 ... V - 1 other than `blank`, padded as by `pad_sequences`.
        lengths: (B,), the number of times of each sequence that are read; all T if not given.
        target_lengths: (B,), the number of labels of each sequence; all S if not given. It may be 0.
        reduction: "mean" over the batch of each loss over its number of labels (at least 1), as in PyTorch; "sum", or
            "none" for shape (B,).
        zero_infinity: a labelling that has no alignment, since it is longer than the times (a repeated label needs a
            blank between), has the loss inf, and adds nothing to the gradient; with this the loss is 0.

    Raises:
        ValueError: if shapes do not match, a label is out of range or the blank, or a length is.
        TypeError: if targets are no integers.

    Source: Graves, Fernández, Gomez & Schmidhuber 2006, equations 5 to 8, in logarithms.

    >>> logits = mg.tensor(np.zeros((4, 2, 3)))  # at each time 1/3 for the blank, for 1 and for 2
    >>> targets, target_lengths = nn.pad_sequences([[1, 1], [2]])
    >>> nn.ctc_loss(logits, targets, [4, 2], target_lengths, reduction="none").exp()  # 3⁴ / 5 and 3² / 3
    tensor([16.2,  3. ])
    """
    logits = array(logits)
    targets = array(targets)
    if logits.ndim != 3:
        raise ValueError(f"ctc_loss: logits must be (T, B, V), got shape {logits.shape}")
    T, B, V = logits.shape
    _check_blank("ctc_loss", blank, V)
    if targets.ndim != 2 or targets.shape[1] != B:
        raise ValueError(f"ctc_loss: targets must be (S, B) with B = {B}, padded as by pad_sequences, got shape "
                         f"{targets.shape}")  # fmt: skip
    if targets.size and targets.dtype.kind not in "iu":
        raise TypeError(f"ctc_loss: targets must be integers, the numbers of the labels, got {targets.dtype}")
    S, read = len(targets), None
    if lengths is not None:
        read = padding_mask(lengths, T, B)
        logits = mg.where(mg.expand_dims(read, -1), logits, 0.0)
    target_lengths = np.full(B, S) if target_lengths is None else target_lengths
    target_lengths = array(target_lengths)
    if target_lengths.shape != (B,) or (B and target_lengths.dtype.kind not in "iu"):
        raise ValueError(f"ctc_loss: target_lengths must be integers of shape ({B},), got {target_lengths.dtype} of "
                         f"shape {target_lengths.shape}")  # fmt: skip
    labels = examined(_labels, targets, target_lengths, V, blank)  # (B, 2S+1)
    y = mg.take_along_axis(mg.log_softmax(logits, axis=-1), mg.expand_dims(labels, 0), -1)  # (T, B, 2S+1)
    log_p = _log_probability(y, labels, target_lengths, blank, read)
    if not T:
        log_p = log_p + mg.sum(y, axis=(0, 2))  # nothing: so that it is a Tensor all the same, with an empty gradient
    losses = -log_p
    if zero_infinity:
        losses = mg.where(mg.isinf(log_p), 0.0, losses)
    if reduction == "mean":
        losses = losses / mg.astype(mg.maximum(target_lengths, 1), losses.dtype)
    return reduced(losses, reduction, max(1, B))


def _check_blank(name: str, blank: Any, V: int) -> None:
    if not is_whole(blank) or not 0 <= blank < V:
        raise ValueError(f"{name}: blank must be an integer within 0 ... V - 1 = {V - 1}, got {blank!r}")


def _log_probability(y: Any, labels: Any, target_lengths: Any, blank: int, read: Any) -> Any:
    """log p(l | x) (B,) from the log-probabilities of l' at each time, y (T, B, 2S+1)."""
    T, B, L = y.shape
    nowhere = np.full((B, 2), -np.inf, y.dtype)
    # before the first time: at the first blank, from where l'_1 and l'_2 are reached
    α: Any = np.concatenate([np.zeros((B, 1), y.dtype), np.full((B, L - 1), -np.inf, y.dtype)], axis=1)
    skips = mg.not_equal(labels[:, 2:], labels[:, :-2])  # (B, 2S-1); false for two blanks
    for t in range(T):
        before = mg.concatenate([nowhere, α], axis=1)  # (B, 2 + L)
        two_back = mg.concatenate([nowhere[:, : min(2, L)], mg.where(skips, α[:, :-2], -np.inf)], axis=1)
        new = mg.logsumexp(mg.stack([α, before[:, 1:-1], two_back]), axis=0) + y[t]
        α = new if read is None else mg.where(mg.expand_dims(read[t], -1), new, α)
    ends = 2 * mg.expand_dims(target_lengths, -1) - np.arange(L)  # 0 at the last blank, 1 at the last label
    return mg.logsumexp(mg.where(mg.logical_or(mg.equal(ends, 0), mg.equal(ends, 1)), α, -np.inf), axis=1)


def _with_blanks(targets: np.ndarray, target_lengths: np.ndarray, V: int, blank: int) -> np.ndarray:
    """l' (B, 2S+1), blanks beyond its end, after a look at labels and lengths."""
    S, B = targets.shape
    if B and not 0 <= target_lengths.min() <= target_lengths.max() <= S:
        raise ValueError(f"ctc_loss: target_lengths must lie within 0 ... S = {S}, got {target_lengths.min()} ... "
                         f"{target_lengths.max()}")  # fmt: skip
    is_label = np.arange(S) < target_lengths[:, None]  # (B, S)
    found = targets.T[is_label]
    wrong = found[(found < 0) | (found >= V) | (found == blank)]
    if wrong.size:
        raise ValueError(f"ctc_loss: targets must lie within 0 ... {V - 1} and not be the blank, {blank}; found "
                         f"{wrong[0]}")  # fmt: skip
    labels = np.full((B, 2 * S + 1), blank)
    labels[:, 1::2] = np.where(is_label, targets.T, blank)
    return labels


_labels = mg.compile_as(mg.primitive(_with_blanks, name="with_blanks"), pure=False)


def ctc_decode(logits: Any, lengths: Any = None, blank: int = 0) -> list[np.ndarray]:
    """The labels of the most probable alignment of each sequence: repeats become one label, then blanks are dropped.

    Args:
        logits: (T, B, V), or log-probabilities, or probabilities.
        lengths: (B,), the number of times of each sequence that are read.

    Raises:
        ValueError: if the logits are not (T, B, V), or a length is out of range.

    Source: Graves, Fernández, Gomez & Schmidhuber 2006, section 3.2, best path decoding.

    >>> nn.ctc_decode(np.eye(3)[[[1], [1], [0], [1], [2]]])
    [array([1, 1, 2])]
    """
    scores = np.asarray(logits.data if isinstance(logits, mg.Tensor) else array(logits))
    if scores.ndim != 3:
        raise ValueError(f"ctc_decode: logits must be (T, B, V), got shape {scores.shape}")
    T, B, V = scores.shape
    _check_blank("ctc_decode", blank, V)
    kept = np.ones((T, B), bool) if lengths is None else np.asarray(padding_mask(lengths, T, B))
    best = scores.argmax(axis=-1)  # (T, B)
    kept &= best != blank
    kept[1:] &= best[1:] != best[:-1]
    return [best[kept[:, b], b] for b in range(B)]
