"""MXNet's Gluon: PyTorch's orders, and ReLU in a plain RNN; `save_parameters` writes other names (SAVED)."""

from __future__ import annotations

from .layout import AFTER_OLD, Entry, Layout
from .torch import halves

PLACES = {1: ("l{layer}_{name}",), 2: ("l{layer}_{name}", "r{layer}_{name}")}
SAVED = ({1: ("_unfused.{layer}.{name}",), 2: ("_unfused.{layer}.l_cell.{name}", "_unfused.{layer}.r_cell.{name}")},)
LSTM, GRU, RNN = (halves(gates, "i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias") for gates in ("ifgo", "rzn", "h"))
PROJECTED = (*LSTM, Entry("h2r_weight", "P", "", True))

LAYOUTS = (
    Layout("mxnet.gluon.rnn.LSTM", "lstm", PROJECTED, state="h c", places=PLACES, aliases=SAVED),
    Layout("mxnet.gluon.rnn.GRU", "gru", GRU, AFTER_OLD, places=PLACES, aliases=SAVED),
    Layout("mxnet.gluon.rnn.RNN", "rnn_relu", RNN, places=PLACES, aliases=SAVED, note="ReLU, not tanh"),
    Layout("mxnet.gluon.rnn.RNN(activation='tanh')", "rnn", RNN, places=PLACES, aliases=SAVED),
)
