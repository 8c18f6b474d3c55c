"""Which steps of a batch count, sequences of similar lengths together, and long ones in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg

from . import init
from .arguments import is_whole
from .module import array, examined


def padding_mask(lengths: Any, T: int, B: int | None = None) -> Any:
    """(T, B) booleans, true at the times t < length of each sequence.

    Args:
        lengths: (B,) integers within 0 ... T. As an argument of a compiled function they are read, and checked, at each
            call; the mask is a Tensor then.

    Raises:
        ValueError: if they are not.

    >>> nn.padding_mask([3, 1], 3)
    array([[ True,  True],
           [ True, False],
           [ True, False]])
    """
    lengths = array(mg.watched(lengths))
    wanted = "(B,)" if B is None else f"({B},)"
    if lengths.ndim != 1 or (B is not None and len(lengths) != B) or (lengths.size and lengths.dtype.kind not in "iu"):
        raise ValueError(f"lengths must be integers of shape {wanted}, got {lengths.dtype} of shape {lengths.shape}")
    return examined(_traced_mask, lengths, T) if isinstance(lengths, mg.Tensor) else _mask(lengths, T)


def _mask(lengths: np.ndarray, T: int) -> np.ndarray:
    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= T:
        raise ValueError(f"lengths must lie within 0 ... T = {T}, got {lengths.min()} ... {lengths.max()}")
    return np.asarray(np.arange(T)[:, None] < lengths)


_traced_mask = mg.compile_as(mg.primitive(_mask, name="padding_mask"), pure=False)


def bucket_by_length(lengths: Any, batch_size: int, rng: init.Rng = None) -> list[np.ndarray]:
    """Batches of sequences of similar lengths, so that little is padding: the numbers of each batch's sequences.

    Sequences of equal length, and the batches, come in random order. Every sequence is in one batch; one batch may be
    smaller than `batch_size`.

    Raises:
        TypeError, ValueError: if `batch_size` is no integer of at least 1, or the lengths are no integers (B,).

    >>> [batch.tolist() for batch in nn.bucket_by_length([3, 9, 2, 8], 2, rng=0)]
    [[3, 1], [2, 0]]
    """
    _check_count("bucket_by_length: batch_size", batch_size)
    rng, lengths = np.random.default_rng(rng), np.asarray(array(lengths))
    if lengths.ndim != 1 or (lengths.size and lengths.dtype.kind not in "iu"):
        raise ValueError("bucket_by_length: lengths must be integers (B,), one for each sequence, got "
                         f"{lengths.dtype} of shape {lengths.shape}")  # fmt: skip
    shuffled = rng.permutation(len(lengths))
    by_length = shuffled[np.argsort(lengths[shuffled], kind="stable")]
    batches = [by_length[k : k + batch_size] for k in range(0, len(by_length), batch_size)]
    return [batches[k] for k in rng.permutation(len(batches))]


def batchify(sequence: Any, B: int) -> np.ndarray:
    """One long sequence (N, ...) as B columns (T, B, ...), each a stretch of it; what fills no whole row is left out.

    Row t of the next chunk follows row t - 1 of this one in every column, so that a state can be carried.

    Raises:
        TypeError, ValueError: if B is no integer of at least 1, or there are fewer than B entries.

    >>> nn.batchify(np.arange(7), 2)
    array([[0, 3],
           [1, 4],
           [2, 5]])
    """
    _check_count("batchify: B", B)
    a = np.asarray(array(sequence))
    T = a.shape[0] // B if a.ndim else 0
    if not T:
        raise ValueError(f"batchify: {len(a) if a.ndim else 0} entries do not fill {B} columns")
    return np.ascontiguousarray(np.swapaxes(a[: T * B].reshape(B, T, *a.shape[1:]), 0, 1))


def tbptt_chunks(sequences: Any, length: int) -> Iterator[Any]:
    """Chunks of `length` steps, the last one perhaps shorter, of arrays or Tensors (T, ...), alone or in a tree.

    For truncated backpropagation through time (Williams & Peng 1990), carry the state, detached:

        for x, y in tbptt_chunks((xs, ys), 50):
            outputs, state = net(x, nn.detach(state))

    Raises:
        TypeError, ValueError: if the length is no integer of at least 1, or the sequences differ in T.

    >>> [chunk.tolist() for chunk in nn.tbptt_chunks(np.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    _check_count("tbptt_chunks: length", length)
    sizes = {len(a) for a in mg.tree_leaves(sequences)}
    if len(sizes) != 1:
        raise ValueError(f"tbptt_chunks: length {length} is of all sequences, so these must have one T, got "
                         f"{sorted(sizes)}")  # fmt: skip
    return (mg.tree_map(lambda a, s=s: a[s : s + length], sequences) for s in range(0, sizes.pop(), length))


def _check_count(name: str, n: Any) -> None:
    if not is_whole(n):
        raise TypeError(f"{name} must be an integer, got {n!r}")
    if n < 1:
        raise ValueError(f"{name} must be at least 1, got {n}")
