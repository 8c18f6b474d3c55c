"""Keras 3: the weights of a cell by their names; in files they are numbered, see `keras_model`."""

from __future__ import annotations

from .layout import AFTER_OLD, Entry, Layout


def _entries(gates: str, bias: str) -> tuple[Entry, ...]:
    return Entry("kernel", "U", gates), Entry("recurrent_kernel", "W", gates), Entry("bias", bias, gates)


SIMPLE = _entries("h", "b")

LAYOUTS = (
    Layout("keras.layers.LSTM", "lstm", _entries("ifgo", "b"), unbiased=True, state="h c"),
    Layout("keras.layers.GRU", "gru", _entries("zrn", "bc"), AFTER_OLD, unbiased=True),
    Layout("keras.layers.GRU(reset_after=False)", "gru", _entries("zrn", "b"), {"reset": "before", "z": "old"},
           unbiased=True),
    Layout("keras.layers.SimpleRNN", "rnn", SIMPLE, unbiased=True),
    Layout("keras.layers.SimpleRNN(activation='relu')", "rnn_relu", SIMPLE, unbiased=True),
)  # fmt: skip
