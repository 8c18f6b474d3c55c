"""Equinox: attributes of its cells, in PyTorch's order but with one bias."""

from __future__ import annotations

from .layout import AFTER_OLD, Entry, Layout


def _entries(gates: str) -> tuple[Entry, ...]:
    return (Entry("weight_ih", "U", gates, turned=True), Entry("weight_hh", "W", gates, turned=True),
            Entry("bias", "b", gates))  # fmt: skip


LAYOUTS = (
    Layout("equinox.nn.LSTMCell", "lstm", _entries("ifgo"), unbiased=True, state="h c"),
    Layout("equinox.nn.GRUCell", "gru", (*_entries("rzn"), Entry("bias_n", "c", "n")), AFTER_OLD,
           unbiased=True),
)  # fmt: skip
