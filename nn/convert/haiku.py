"""Haiku: names below that of the module, as `lstm/linear/w` below `lstm/`."""

from __future__ import annotations

from .layout import Entry, Layout

LAYOUTS = (
    Layout("haiku.LSTM", "lstm", (Entry("linear/w", "UW", "igfo"), Entry("linear/b", "b", "igfo")), plus={"f": 1.0},
           state="h c"),
    Layout("haiku.GRU", "gru", (Entry("w_i", "U", "zrn"), Entry("w_h", "W", "zrn"), Entry("b", "b", "zrn")),
           {"reset": "before", "z": "new"}),
    Layout("haiku.VanillaRNN", "rnn_relu", (Entry("linear/w", "U", "h"), Entry("linear_1/w", "W", "h"),
                                            Entry("linear/b", "b", "h"), Entry("linear_1/b", "c", "h")),
           note="ReLU, not tanh"),
)  # fmt: skip
