"""PaddlePaddle: PyTorch's orders; each array is listed twice, and the path of its cell is the one to trust."""

from __future__ import annotations

from . import torch
from .layout import AFTER_OLD, Entry, Layout

PLACES = {1: ("{layer}.cell.{name}",), 2: ("{layer}.cell_fw.{name}", "{layer}.cell_bw.{name}")}
PROJECTED = (*torch.LSTM, Entry("weight_ho", "P", ""))
NOTE = "with `proj_size` and several cells, the second names (`weight_ih_l0_reverse`) stand for others' arrays"

LAYOUTS = (
    Layout("paddle.nn.LSTM", "lstm", PROJECTED, unbiased=True, state="h c", places=PLACES, doubles=True, note=NOTE),
    Layout("paddle.nn.GRU", "gru", torch.GRU, AFTER_OLD, unbiased=True, places=PLACES, doubles=True),
    Layout("paddle.nn.SimpleRNN", "rnn", torch.RNN, unbiased=True, places=PLACES, doubles=True),
    Layout("paddle.nn.SimpleRNN(activation='relu')", "rnn_relu", torch.RNN, unbiased=True, places=PLACES, doubles=True),
    Layout("paddle.nn.LSTMCell", "lstm", torch.LSTM, unbiased=True, state="h c"),
    Layout("paddle.nn.GRUCell", "gru", torch.GRU, AFTER_OLD, unbiased=True),
    Layout("paddle.nn.SimpleRNNCell", "rnn", torch.RNN, unbiased=True),
)
