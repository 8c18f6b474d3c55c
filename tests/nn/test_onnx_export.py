"""`nn.to_onnx`: files compute what the models do, for every size and length; what would not is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_cases import (
    Attending,
    Tagger,
    agree,
    named,
    needs_runtime,
    normal,
    random_state,
    random_weights,
    session,
)

import minigrad as mg
import nn

pytestmark = needs_runtime
LENGTHS = np.array([4, 0, 5, 2])
KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@pytest.mark.parametrize("lengths", ["sequence_lens", "mask"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_compute_the_same_for_every_size_and_length(tmp_path, kind, bidirectional, lengths):
    net = random_weights(KINDS[kind](3, 4, 2, bidirectional=bidirectional, rng=0))
    example = {"xs": normal(5, 4, 3), "state": random_state(net, 4), "lengths": LENGTHS}
    nn.to_onnx(net, tmp_path / "a.onnx", example, lengths=lengths)
    run = session(tmp_path / "a.onnx")

    @settings(max_examples=max(4, settings.default.max_examples // 20))
    @given(st.integers(1, 6), st.lists(st.integers(0, 6), min_size=1, max_size=4))
    def same(T, lens):
        B = len(lens)
        inputs = {"xs": normal(T, B, 3), "state": random_state(net, B), "lengths": np.minimum(lens, T)}
        agree(run(named(inputs)), net(**inputs))

    same()


def test_every_layer_can_be_a_scan(tmp_path):
    for make in (nn.PeepholeLSTMCell, nn.GRUCell):
        net = random_weights(nn.Recurrent(make(3, 4), make(3, 4), bidirectional=True))
        example = {"xs": normal(5, 4, 3), "state": random_state(net, 4), "lengths": LENGTHS}
        written = nn.to_onnx(net, tmp_path / "a.onnx", example, nodes=False)
        assert (written.operators["Scan"], "LSTM" in written.operators) == (2, False)
        agree(session(tmp_path / "a.onnx")(named(example)), net(**example))


def test_directions_of_two_kinds_are_two_nodes_and_a_state_may_come_from_the_other(tmp_path):
    class Back(nn.Module):
        def __init__(self) -> None:
            self.there, self.back = nn.GRU(3, 4, rng=0), nn.GRU(3, 4, rng=1, reverse=True)
            self.other = nn.GRU(3, 4, rng=1, reset="after", reverse=True)

        def forward(self, xs: Any) -> Any:
            y, state = self.there(xs)
            return y, self.back(xs, state)[0], self.other(xs)[0]

    written = nn.to_onnx(random_weights(Back()), tmp_path / "a.onnx", normal(5, 4, 3))
    assert written.operators["GRU"] == 3


@pytest.mark.parametrize("lengths", ["sequence_lens", "mask"])
def test_sizes_may_be_fixed_and_the_first_state_left_out(tmp_path, lengths):
    for kind in KINDS.values():
        net = random_weights(kind(3, 4, bidirectional=True, rng=0))
        example = {"xs": normal(5, 4, 3), "lengths": LENGTHS}
        written = nn.to_onnx(net, tmp_path / "a.onnx", example, axes={}, lengths=lengths)
        agree(session(tmp_path / "a.onnx")(example), net(**example))
        assert written.inputs == {"xs": "float32 (5, 4, 3)", "lengths": "int64 (4)"}


CELLS = {
    "peephole": (lambda: nn.PeepholeLSTMCell(3, 4), "LSTM"),
    "coupled": (lambda: nn.CoupledLSTMCell(3, 4), "LSTM"),
    "relu": (lambda: nn.RNNCell(3, 4, nonlinearity="relu"), "RNN"),
    "identity": (lambda: nn.IRNNCell(3, 4), "RNN"),
    "without bias": (lambda: nn.LSTMCell(3, 4, bias=False), "LSTM"),
    "gru before new": (lambda: nn.GRUCell(3, 4, reset="before", z="new"), "GRU"),
    "gru before old": (lambda: nn.GRUCell(3, 4, reset="before", z="old"), "GRU"),
    "gru after new": (lambda: nn.GRUCell(3, 4, reset="after", z="new"), "GRU"),
    "gru after old": (lambda: nn.GRUCell(3, 4, reset="after", z="old", bias=False), "GRU"),
    "projected": (lambda: nn.ProjectedLSTMCell(3, 4, 2), "Scan"),
    "layer norm": (lambda: nn.LayerNormLSTMCell(3, 4), "Scan"),
    "minimal": (lambda: nn.MGUCell(3, 4), "Scan"),
    "leaky": (lambda: nn.LeakyRNNCell(3, 4), "Scan"),
    "echo": (lambda: nn.EchoStateCell(3, 4, rng=0), "Scan"),
    "elman": (lambda: nn.ElmanCell(3, 4, 2), "Scan"),
}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_a_node_of_its_own_or_a_scan_of_its_step(tmp_path, name):
    make, operator = CELLS[name]
    net = random_weights(nn.Recurrent(make(), make(), bidirectional=True))
    example = {"xs": normal(5, 4, 3), "state": random_state(net, 4), "lengths": LENGTHS}
    written = nn.to_onnx(net, tmp_path / "a.onnx", example)
    assert written.operators[operator] == (2 if operator == "Scan" else 1)  # of two directions
    assert written.verified.cases == 4
    agree(session(tmp_path / "a.onnx")(named(example)), net(**example))


class Timed(nn.Cell):
    """h = tanh(h W + x + t / 10)."""

    def __init__(self) -> None:
        self.H, self.W = 3, nn.parameter(normal(3, 3))

    def step(self, x: Any, h: Any, t: Any) -> Any:
        h = mg.tanh(h @ self.W + x + 0.1 * t)
        return h, h


class Counting(nn.Cell):
    """A dict as state, with a counter; a part of h as output."""

    def __init__(self) -> None:
        self.W = nn.parameter(normal(3, 3))

    def initial_state(self, B: int) -> Any:
        return {"h": mg.tensor(np.zeros((B, 3), np.float32)), "n": mg.tensor(np.zeros((B, 1), int))}

    def step(self, x: Any, state: Any) -> Any:
        h = mg.tanh(state["h"] @ self.W + x / mg.astype(1 + state["n"], np.float32))
        return h[:, 1:], {"n": state["n"] + 1, "h": h}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", [Timed, Counting])
def test_a_cell_of_the_users_own_is_written_from_its_step(tmp_path, cell, reverse):
    net = nn.Recurrent(cell(), reverse=reverse)
    written = nn.to_onnx(net, tmp_path / "a.onnx", (normal(5, 4, 3), None, LENGTHS))
    assert written.operators["Scan"] == 1
    xs, lengths = normal(7, 3, 3, seed=5), np.array([0, 7, 3])
    agree(session(tmp_path / "a.onnx")({"xs": xs, "lengths": lengths}), net(xs, lengths=lengths))


@pytest.mark.parametrize("nodes", [True, False])
def test_a_layer_may_be_called_twice_and_a_function_may_have_several(tmp_path, nodes):
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.GRU(3, 3, rng=0)

        def forward(self, xs: Any) -> Any:
            return self.layer(self.layer(xs)[0] + xs)[0]

    twice, other = random_weights(Twice()), random_weights(nn.GRU(3, 3, rng=1), seed=1)
    for net in (twice, lambda xs: other(twice.layer(xs)[0])[0]):
        nn.to_onnx(net, tmp_path / "a.onnx", {"xs": normal(5, 2, 3)}, axes={"xs": ("T", "B")}, nodes=nodes)
        example = {"xs": normal(7, 3, 3)}
        agree(session(tmp_path / "a.onnx")(example), net(**example))


def test_all_states_of_a_cell_can_be_results(tmp_path):
    net = random_weights(nn.LSTM(3, 4, rng=0))
    nn.to_onnx(net, tmp_path / "a.onnx", {"xs": normal(5, 4, 3), "lengths": LENGTHS, "return_states": True})
    xs = normal(6, 4, 3)
    agree(session(tmp_path / "a.onnx")({"xs": xs, "lengths": LENGTHS}), net(xs, None, LENGTHS, True))


def test_a_subclass_with_a_step_of_its_own_is_no_node(tmp_path):
    class Twice(nn.LSTMCell):
        def step(self, x: Any, state: Any) -> Any:
            output, state = super().step(x, state)
            return 2 * output, state

    written = nn.to_onnx(random_weights(nn.Recurrent(Twice(3, 4))), tmp_path / "a.onnx", normal(5, 4, 3))
    assert "LSTM" not in written.operators


def test_weights_that_the_model_computes_are_computed_in_the_file(tmp_path):
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.V, self.layer = nn.parameter(normal(4, 4)), nn.RNN(3, 4, rng=0)

        def forward(self, xs: Any, scale: Any) -> Any:
            self.layer.cells[0].W = self.V * scale
            return self.layer(xs)[0]

    net = Scaled()
    example = {"xs": normal(5, 2, 3), "scale": np.array(0.5, np.float32)}
    nn.to_onnx(net, tmp_path / "a.onnx", example, axes={"xs": ("T", "B")})
    inputs = {"xs": normal(6, 3, 3), "scale": np.array(0.25, np.float32)}
    agree(session(tmp_path / "a.onnx")(inputs), net(**inputs))


def test_a_step_may_compute_what_looks_at_values_from_around_it(tmp_path):
    def model(x: Any) -> Any:
        key = mg.tanh(x).mean(axis=0)

        def step(x: Any, h: Any) -> Any:
            h = mg.tanh(h + mg.erf(key) * x)  # of erf a trace has no outline
            return h, h

        return nn.Recurrent(nn.FunctionCell(step, lambda B: mg.tensor(np.zeros((B, 3), np.float32))))(x)

    nn.to_onnx(model, tmp_path / "a.onnx", normal(5, 2, 3), axes={"x": ("T", "B")})
    x = normal(6, 3, 3)
    agree(session(tmp_path / "a.onnx")({"x": x}), model(mg.tensor(x)))


# --- whole models ----------------------------------------------------------------------------------------------------


def test_a_decoder_reads_its_encoder_by_attention(tmp_path):
    net, rng = random_weights(Attending()), np.random.default_rng(0)
    example = {"xs": rng.integers(0, 7, (5, 4)), "ys": rng.integers(0, 7, (3, 4)), "lengths": LENGTHS}
    nn.to_onnx(net, tmp_path / "a.onnx", example, axes={"xs": ("T", "B"), "ys": ("S", "B"), "lengths": ("B",)})
    inputs = {"xs": rng.integers(0, 7, (8, 3)), "ys": rng.integers(0, 7, (2, 3)), "lengths": np.array([8, 0, 3])}
    agree(session(tmp_path / "a.onnx")(inputs), net(**inputs))


def test_a_model_is_written_as_it_evaluates_and_left_as_it_was(tmp_path):
    net, rng = random_weights(Tagger()), np.random.default_rng(0)
    net.recurrent.eval()
    written = nn.to_onnx(
        net, tmp_path / "a.onnx", (rng.integers(0, 7, (5, 4)), LENGTHS), outputs=("p", "h", "both", "k")
    )
    assert (net.training, net.dropout.training, net.recurrent.training) == (True, True, False)
    assert written.inputs == {"xs": "int64 (T, B)", "lengths": "int64 (B)"}
    assert written.outputs == {"p": "float32 (B, 2)", "h": "float32 (B, 6)", "both": "float32 (B, 6)", "k": "int64 (B)"}
    inputs = {"xs": rng.integers(0, 7, (8, 3)), "lengths": np.array([0, 8, 3])}
    agree(session(tmp_path / "a.onnx")(inputs), net.eval()(**inputs))


@pytest.mark.parametrize("net", [nn.Embedding(7, 3, rng=0), nn.Linear(7, 3, rng=0), nn.LSTM(7, 3, rng=0)], ids=repr)
def test_an_index_that_is_no_row_is_refused_by_the_file_too(tmp_path, net):
    xs = np.array([[0, 6], [3, 2]])
    nn.to_onnx(net, tmp_path / "a.onnx", xs)
    run, name = session(tmp_path / "a.onnx"), "x" if not isinstance(net, nn.LSTM) else "xs"
    agree(run({name: xs}), net(xs))
    for wrong in (7, -1):
        with pytest.raises(Exception, match=r"[Ii]ndices element out of data bounds"):
            run({name: np.array([[0, wrong], [3, 2]])})


def test_rows_of_nothing_but_masked_logits_are_no_nan(tmp_path):
    def masked(x: Any, mask: Any) -> Any:
        logits = mg.where(mask, x, -np.inf)
        return mg.softmax(logits), mg.log_softmax(logits), mg.logsumexp(logits, axis=-1)

    example = {"x": normal(3, 4), "mask": np.array([[True] * 4, [False] * 4, [True, False] * 2])}
    nn.to_onnx(masked, tmp_path / "a.onnx", example, axes={})
    agree(session(tmp_path / "a.onnx")(example), mg.tree_map(np.asarray, masked(*example.values())))
