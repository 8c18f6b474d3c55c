"""Chainer: gates interleaved in one LSTM, in arrays of their own in the others."""

from __future__ import annotations

from .layout import AFTER_OLD, Entry, Layout

LINK = (Entry("upward/W", "U", "gifo", True, True), Entry("lateral/W", "W", "gifo", True, True),
        Entry("upward/b", "b", "gifo", False, True))  # fmt: skip


def _steps(gates: str) -> tuple[Entry, ...]:
    """w0, b0, ...: each gate of the inputs, then each of the state."""
    n = len(gates)
    sides = [(k, gate, k >= n) for k, gate in enumerate(gates + gates)]
    return (*(Entry(f"w{k}", "W" if state else "U", gate, True) for k, gate, state in sides),
            *(Entry(f"b{k}", "c" if state else "b", gate) for k, gate, state in sides))  # fmt: skip


LSTM, GRU, RNN = (_steps(gates) for gates in ("ifgo", "rzn", "h"))
STATEFUL = (*(Entry(f"{side}{link}/W", part, gate, True) for side, part in (("W", "U"), ("U", "W"))
              for link, gate in (("_r", "r"), ("_z", "z"), ("", "n"))),
            *(Entry(f"{side}{link}/b", part, gate) for side, part in (("W", "b"), ("U", "c"))
              for link, gate in (("_r", "r"), ("_z", "z"), ("", "n"))))  # fmt: skip
MGU = (
    Entry("W_f/W", "WU", "f", True),
    Entry("W_h/W", "WU", "n", True),
    Entry("W_f/b", "b", "f"),
    Entry("W_h/b", "b", "n"),
)
ONE, TWO = {1: ("{layer}/{name}",)}, {2: ("{even}/{name}", "{odd}/{name}")}
FIRST = "its first step without a state leaves out the biases of U; give it a state of zeros"

LAYOUTS = (
    Layout("chainer.links.LSTM", "lstm", LINK, state="c h"),
    Layout("chainer.links.StatefulGRU", "gru", STATEFUL, {"reset": "before", "z": "new"}, note=FIRST),
    Layout("chainer.links.StatefulMGU", "mgu", MGU, {"reset": "before", "f": "new"}),
    Layout("chainer.links.NStepLSTM", "lstm", LSTM, state="h c", places=ONE),
    Layout("chainer.links.NStepBiLSTM", "lstm", LSTM, state="h c", places=TWO),
    Layout("chainer.links.NStepGRU", "gru", GRU, AFTER_OLD, places=ONE),
    Layout("chainer.links.NStepBiGRU", "gru", GRU, AFTER_OLD, places=TWO),
    Layout("chainer.links.NStepRNNTanh", "rnn", RNN, places=ONE),
    Layout("chainer.links.NStepBiRNNTanh", "rnn", RNN, places=TWO),
    Layout("chainer.links.NStepRNNReLU", "rnn_relu", RNN, places=ONE),
)
