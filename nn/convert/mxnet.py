"""MXNet's Gluon: PyTorch's orders, and ReLU in a plain RNN."""

from __future__ import annotations

from .layout import AFTER_OLD, Entry, Layout
from .torch import halves

PLACES = {1: ("l{layer}_{name}",), 2: ("l{layer}_{name}", "r{layer}_{name}")}
LSTM, GRU, RNN = (halves(gates, "i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias") for gates in ("ifgo", "rzn", "h"))
PROJECTED = (*LSTM, Entry("h2r_weight", "P", "", True))

LAYOUTS = (
    Layout("mxnet.gluon.rnn.LSTM", "lstm", PROJECTED, state="h c", places=PLACES),
    Layout("mxnet.gluon.rnn.GRU", "gru", GRU, AFTER_OLD, places=PLACES),
    Layout("mxnet.gluon.rnn.RNN", "rnn_relu", RNN, places=PLACES, note="ReLU, not tanh"),
    Layout("mxnet.gluon.rnn.RNN(activation='tanh')", "rnn", RNN, places=PLACES),
)
