"""Flax: the cells of linen, by gate, and of nnx, some of which hold all gates in one matrix."""

from __future__ import annotations

from .layout import AFTER_OLD, Entry, Layout


def _by_gate(gates: str, matrix: str, biases: dict[str, str], names: dict[str, str] | None = None) -> tuple[Entry, ...]:
    """Entries `i{gate}/kernel`, `h{gate}/kernel` and the biases, by name, each of one gate."""
    kernels = [Entry(f"{(names or {}).get(side + gate, side + gate)}/{matrix}", part, gate)
               for side, part in (("i", "U"), ("h", "W")) for gate in gates]  # fmt: skip
    return (*kernels, *(Entry(f"{name}/bias", part, name[-1]) for name, part in biases.items()))


NOTE = "the forget gate's bias starts at 0, not at 1"
OF_STATE = {"hi": "b", "hf": "b", "hg": "b", "ho": "b"}

PACKED_LSTM = (Entry("dense_i/kernel", "U", "ifgo"), Entry("dense_h/kernel", "W", "ifgo"),
               Entry("dense_h/bias", "b", "ifgo"))  # fmt: skip
GRU = _by_gate("rzn", "kernel", {"ir": "b", "iz": "b", "in": "b", "hn": "c"})
MGU = _by_gate("fn", "kernel", {"if": "b", "in": "b", "hn": "c"})
SIMPLE = (Entry("i/kernel", "U", "h"), Entry("h/kernel", "W", "h"), Entry("i/bias", "b", "h"))
DENSE = tuple(Entry(f"dense_{entry.name}", entry.parts, entry.gates) for entry in SIMPLE)
PACKED_GRU = (
    Entry("dense_i/kernel", "U", "rzn"),
    Entry("dense_h/kernel", "W", "rzn"),
    Entry("dense_i/bias", "b", "rzn"),
)

LAYOUTS = (
    Layout("flax.linen.LSTMCell", "lstm", _by_gate("ifgo", "kernel", OF_STATE), state="c h", note=NOTE),
    Layout("flax.linen.OptimizedLSTMCell", "lstm", _by_gate("ifgo", "kernel", OF_STATE), state="c h", note=NOTE),
    Layout("flax.linen.GRUCell", "gru", GRU, AFTER_OLD),
    Layout("flax.linen.SimpleCell", "rnn", SIMPLE),
    Layout("flax.linen.MGUCell", "mgu", MGU, {"reset": "after", "f": "old"}),
    Layout("flax.nnx.LSTMCell", "lstm", _by_gate("ifgo", "kernel", OF_STATE, {"if": "if_"}), state="c h", note=NOTE),
    Layout("flax.nnx.OptimizedLSTMCell", "lstm", PACKED_LSTM, state="c h", note=NOTE),
    Layout("flax.nnx.GRUCell", "gru", PACKED_GRU, AFTER_OLD, note="has no bias inside of the reset: b_h is 0"),
    Layout("flax.nnx.SimpleCell", "rnn", DENSE),
)
