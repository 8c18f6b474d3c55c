"""What the tests of ONNX files share: who can run them, models with random weights, and a run of a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn


def _there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


needs_onnx = pytest.mark.skipif(
    not _there("onnx"), reason="the package onnx is not installed, which reads and checks files"
)
needs_runtime = pytest.mark.skipif(
    not (_there("onnx") and _there("onnxruntime")), reason="onnx and onnxruntime are not installed, which run the files"
)
RECORDED = Path(__file__).parent / "recorded"


def random_weights(net: Any, seed: int = 0) -> Any:
    """The module, with every weight, biases and peepholes as well, drawn anew."""
    rng = np.random.default_rng(seed)
    for p in net.parameters(frozen=True):
        p.data = (0.5 * rng.standard_normal(p.shape)).astype(p.dtype)
    return net


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    """float32 from N(0, 1)."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def random_state(net: Any, B: int, seed: int = 2) -> Any:
    """A first state that is not 0."""
    rng = np.random.default_rng(seed)
    return mg.tree_map(lambda s: rng.standard_normal(s.shape).astype(s.dtype), net.initial_state(B))


def session(path: Any) -> Any:
    """Who runs the file: a function of named arrays, which returns all outputs."""
    import onnxruntime

    made = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda inputs: made.run(None, inputs)


def named(tree: Any, path: str = "") -> dict[str, np.ndarray]:
    """The arrays of arguments by the names that the file has for them."""
    if isinstance(tree, (dict, tuple, list)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {name: a for k, part in items for name, a in named(part, f"{path}.{k}" if path else str(k)).items()}
    return {} if tree is None else {path: np.asarray(tree)}


def agree(found: Any, results: Any, within: float = 1e-5) -> None:
    """All outputs have the results' shapes, dtypes and numbers."""
    leaves = [np.asarray(t.data if isinstance(t, mg.Tensor) else t) for t in mg.tree_leaves(results)]
    assert len(found) == len(leaves)
    for theirs, ours in zip(found, leaves):
        assert (theirs.shape, theirs.dtype) == (ours.shape, ours.dtype)
        np.testing.assert_allclose(theirs, ours, rtol=within, atol=within)


class Attending(nn.Module):
    """An encoder, and a decoder whose cell reads the encoder's outputs by attention: a step that encloses Tensors."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(7, 4, rng=0)
        self.encoder = nn.GRU(4, 3, rng=0, bidirectional=True)
        self.attention = nn.attention.AdditiveAttention(5, 6, 4, rng=0)
        self.cell = nn.GRUCell(4 + 6, 5, rng=0)
        self.norm, self.output = nn.LayerNorm(5), nn.Linear(5, 7, rng=0)

    def forward(self, xs: Any, ys: Any, lengths: Any) -> Any:
        keys, _ = self.encoder(self.embedding(xs), lengths=lengths)
        mask = nn.padding_mask(lengths, xs.shape[0])

        def step(y: Any, h: Any) -> Any:
            context, _ = self.attention(h, keys, mask=mask)
            output, h = self.cell(mg.concatenate([self.embedding(y), context], axis=1), h)
            return self.output(self.norm(output)), h

        zeros = lambda B: mg.tensor(np.zeros((B, 5), np.float32))
        outputs, _ = nn.Recurrent(nn.FunctionCell(step, zeros))(ys)
        return mg.log_softmax(outputs)


class Tagger(nn.Module):
    """Embedding, two layers in both directions, and of each sequence the mean, the last output and the best class."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(7, 4, rng=0)
        self.recurrent = nn.LSTM(4, 3, 2, rng=0, bidirectional=True, dropout=0.3, residual=True)
        self.dropout, self.output = nn.Dropout(0.5, rng=0), nn.Linear(6, 2, rng=0)

    def forward(self, xs: Any, lengths: Any) -> Any:
        y, state = self.recurrent(self.embedding(xs), lengths=lengths)
        mean = y.sum(axis=0) / mg.astype(mg.maximum(lengths, 1), y.dtype).reshape(-1, 1)
        last = y[mg.maximum(lengths - 1, 0), np.arange(xs.shape[1])]
        both = mg.concatenate([state[-2][0], state[-1][0]], axis=1)
        return mg.softmax(self.output(self.dropout(mean))), last, both, mg.argmax(mean, axis=1)
