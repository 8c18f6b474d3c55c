"""Padding, buckets, columns and chunks: nothing is lost, nothing is read twice."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn

many = st.lists(st.integers(0, 7), min_size=1, max_size=9)


@given(lengths=many, tail=st.sampled_from([(), (2,), (0, 3)]), value=st.sampled_from([0, -1, 7]))
def test_padded_sequences_come_back_by_their_lengths(lengths: list[int], tail: Any, value: int) -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(10, 20, (n, *tail)) for n in lengths]
    padded, found = nn.pad_sequences(sequences, value)
    assert padded.shape == (max(lengths), len(lengths), *tail)
    assert found.tolist() == lengths
    mask = nn.padding_mask(found, max(lengths))
    assert mask.sum(axis=0).tolist() == lengths
    for b, s in enumerate(sequences):
        np.testing.assert_array_equal(padded[: len(s), b], s)
        assert (padded[len(s) :, b] == value).all()


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "at least one"),
        ([np.ones((2, 3)), np.ones((2, 4))], r"\[\(2, 3\), \(2, 4\)\]"),
        ([np.ones(2), 3.0], r"\(\)"),
    ],
)
def test_sequences_that_do_not_fit_together_raise(sequences: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.pad_sequences(sequences)


@given(lengths=many, size=st.integers(1, 4), seed=st.integers(0, 9))
def test_buckets_hold_every_sequence_once_and_neighbours_in_length(lengths: list[int], size: int, seed: int) -> None:
    batches = nn.bucket_by_length(lengths, size, seed)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert sorted(map(len, batches))[1:] == [size] * (len(batches) - 1)
    ranges = sorted((min(lengths[k] for k in b), max(lengths[k] for k in b)) for b in batches)
    assert all(high <= low for (_, high), (low, _) in itertools.pairwise(ranges))


def test_buckets_come_in_another_order_for_another_seed() -> None:
    orders = [[b.tolist() for b in nn.bucket_by_length([1] * 20, 4, seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@given(n=st.integers(1, 40), B=st.integers(1, 5), length=st.integers(1, 6))
def test_columns_and_chunks_hold_the_text_in_order(n: int, B: int, length: int) -> None:
    text = np.arange(n)
    if n < B:
        with pytest.raises(ValueError, match=f"{n} entries do not fill {B} columns"):
            nn.batchify(text, B)
        return
    rows = nn.batchify(text, B)
    assert rows.T.ravel().tolist() == list(range(n // B * B))
    chunks = list(nn.tbptt_chunks({"x": rows[:-1], "y": rows[1:]}, length))
    assert all(len(c["x"]) == length for c in chunks[:-1])
    for name, whole in (("x", rows[:-1]), ("y", rows[1:])):
        joined = np.concatenate([c[name] for c in chunks]) if chunks else whole[:0]
        np.testing.assert_array_equal(joined, whole)


@pytest.mark.parametrize(("length", "sizes"), [(0, (3, 3)), (2, (3, 4))])
def test_chunks_of_no_length_or_of_unequal_sequences_raise(length: int, sizes: Any) -> None:
    with pytest.raises(ValueError, match="tbptt_chunks: length"):
        nn.tbptt_chunks(tuple(np.zeros(n) for n in sizes), length)


def test_memory_stays_constant_over_hundreds_of_chunks() -> None:
    net = nn.GRU(3, 8, rng=0)
    xs, held, state = np.ones((2 * 200, 4, 3), np.float32), [], None
    tracemalloc.start()
    try:
        for k, x in enumerate(nn.tbptt_chunks(xs, 2)):
            ys, state = net(x, nn.detach(state))
            ys.sum().backward()
            net.zero_grad()
            if k % 100 == 99:
                del ys
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 10_000
    assert all(isinstance(s, mg.Tensor) for s in mg.tree_leaves(state))


MISTAKES: dict[str, Any] = {
    "bucket_by_length: batch_size must be an integer, got 2.5": lambda: nn.bucket_by_length([1, 2], 2.5),
    "bucket_by_length: batch_size must be at least 1": lambda: nn.bucket_by_length([1, 2], 0),
    r"integers \(B,\), one for each sequence, got int64 of shape \(2, 1\)": lambda: nn.bucket_by_length([[1], [2]], 2),
    "got float64 of shape": lambda: nn.bucket_by_length([1.0, np.nan], 2),
    "batchify: B must be an integer, got 2.0": lambda: nn.batchify(np.arange(9), 2.0),
    "batchify: 0 entries": lambda: nn.batchify(3, 2),
    "tbptt_chunks: length must be an integer, got 1.5": lambda: nn.tbptt_chunks(np.arange(9), 1.5),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_what_is_no_count_or_no_row_of_lengths_is_named(message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        MISTAKES[message]()
