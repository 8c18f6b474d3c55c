"""PyTorch, and tinygrad, whose cell has PyTorch's names: gates along the rows, two biases of which the sum counts."""

from __future__ import annotations

from .layout import AFTER_OLD, Entry, Layout

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
LAYERED = {1: ("{name}_l{layer}",), 2: ("{name}_l{layer}", "{name}_l{layer}_reverse")}


def halves(gates: str, U: str, W: str, b: str, c: str) -> tuple[Entry, ...]:
    """The entries of a cell with transposed matrices and two halves of the bias, by their names."""
    return Entry(U, "U", gates, True), Entry(W, "W", gates, True), Entry(b, "b", gates), Entry(c, "c", gates)


LSTM, GRU, RNN = (halves(gates, *NAMES) for gates in ("ifgo", "rzn", "h"))
PROJECTED = (*LSTM, Entry("weight_hr", "P", "", True))

LAYOUTS = (
    Layout("torch.nn.LSTM", "lstm", PROJECTED, unbiased=True, state="h c", places=LAYERED),
    Layout("torch.nn.GRU", "gru", GRU, AFTER_OLD, unbiased=True, places=LAYERED),
    Layout("torch.nn.RNN", "rnn", RNN, unbiased=True, places=LAYERED),
    Layout("torch.nn.RNN(nonlinearity='relu')", "rnn_relu", RNN, unbiased=True, places=LAYERED),
    Layout("torch.nn.LSTMCell", "lstm", LSTM, unbiased=True, state="h c"),
    Layout("torch.nn.GRUCell", "gru", GRU, AFTER_OLD, unbiased=True),
    Layout("torch.nn.RNNCell", "rnn", RNN, unbiased=True),
    Layout("torch.nn.RNNCell(nonlinearity='relu')", "rnn_relu", RNN, unbiased=True),
    Layout("tinygrad.nn.LSTMCell", "lstm", LSTM, unbiased=True, state="h c"),
)
