"""`nn.to_onnx`: no size of the example stays in a file, and no file is written that was run and found to be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_cases import agree, needs_onnx, needs_runtime, normal, random_weights, session

import minigrad as mg
import nn

pytestmark = needs_runtime
LENGTHS = np.array([4, 0, 5, 2])
KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

# --- sizes -----------------------------------------------------------------------------------------------------------

SIZED = {
    "reshaped": lambda x: mg.reshape(x, (x.shape[0] * x.shape[1], 3)),
    "divided": lambda x: x.sum(axis=0) / x.shape[0],
    "counted": lambda x: x + np.arange(x.shape[0], dtype=np.float32)[:, None, None],
    "counted down": lambda x: x * mg.astype(mg.tensor(np.arange(len(x), 0, -1)[:, None, None]), np.float32),
    "a size as an entry": lambda x: (
        x.sum(axis=0) * mg.astype(mg.tensor(np.full(x.shape[1], len(x)))[:, None], np.float32)
    ),
    "zeros": lambda x: mg.concatenate([mg.tensor(np.zeros((1, x.shape[1], 3), np.float32)), x]),
    "last": lambda x: x[x.shape[0] - 1] + x[-1],
    "halves": lambda x: x[: x.shape[0] - 1] * x[1:],
    "spread": lambda x: mg.broadcast_to(x[:1], (2 * x.shape[0] + 1, x.shape[1], 3)),
    "flipped": lambda x: x[::-1, None],
    "picked": lambda x: x[:, [1, 0, 0]][:2, ..., [2, 1]],
}


@pytest.mark.parametrize("name", SIZED)
def test_a_number_that_follows_from_sizes_does_so_in_the_file(tmp_path, name):
    nn.to_onnx(SIZED[name], tmp_path / "a.onnx", normal(3, 2, 3), axes={"x": ("T", "B")})
    x = normal(7, 4, 3)
    agree(session(tmp_path / "a.onnx")({"x": x}), SIZED[name](mg.tensor(x)))


class Noisy:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, x: Any) -> Any:
        return x + np.float32(self.rng.random())

    def step(self, x: Any, h: Any) -> Any:
        return self(x), h


NOISY_STEPS = nn.Recurrent(nn.FunctionCell(Noisy().step))


class Loop(nn.Module):
    def __init__(self) -> None:
        self.cell = nn.RNNCell(3, 4, rng=0)

    def forward(self, x: Any) -> Any:
        state = None
        for t in range(x.shape[0]):
            _, state = self.cell(x[t], state)
        return state


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a loop over time": (Loop(), ValueError, "put a loop over time into nn.Recurrent"),
    "a table of that size": (
        lambda x: x + np.sin(np.arange(len(x), dtype="f"))[:, None, None],
        ValueError,
        "pass it as",
    ),
    "half a size": (lambda x: x[: x.shape[0] // 2], ValueError, "cannot be told"),
    "a look at values": (lambda x: x if float(x.sum()) > 0 else -x, TypeError, "looks at values"),
    "lengths of its own": (lambda x: nn.GRU(3, 4, rng=0)(x, lengths=np.arange(x.shape[1]))[0], ValueError, "argument"),
    "no array": (lambda x: (x, "word"), TypeError, "must be arrays or Tensors"),
    "a draw": (nn.Dropout(0.5, 0).forward, TypeError, "the primitive sample has no ONNX operator"),
    "a draw of its own": (Noisy(), TypeError, r"cannot be traced: .*draws random numbers"),
    "a draw of a cell's own": (
        lambda x: NOISY_STEPS(x, (np.zeros((x.shape[1], 3), np.float32),))[0],
        TypeError,
        r"cannot be traced: .*draws random numbers",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_would_hold_for_some_sizes_or_values_only_is_refused(tmp_path, name):
    model, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        nn.to_onnx(model, tmp_path / "a.onnx", normal(4, 2, 3), axes={"x": ("T", "B")})
    assert not list(tmp_path.iterdir())


def test_a_loop_over_a_fixed_time_is_written_step_by_step(tmp_path):
    nn.to_onnx(Loop(), tmp_path / "a.onnx", normal(4, 2, 3), axes={"x": (None, "B")})
    assert (tmp_path / "a.onnx").exists()


def test_names_that_meet_are_told_apart(tmp_path):
    model = lambda output, add, add_1: {"a": output + add + add_1, "b": output}
    xs = {name: normal(2, 3, seed=k) for k, name in enumerate(("output", "add", "add_1"))}
    assert list(nn.to_onnx(model, tmp_path / "a.onnx", xs).outputs) == ["output.a", "output.b"]
    found = session(tmp_path / "a.onnx")(xs)
    agree(found, [sum(xs.values()), xs["output"]])
    assert list(nn.to_onnx(lambda output: output, tmp_path / "a.onnx", xs["output"]).outputs) == ["output_1"]


def test_float64_is_written_as_scans(tmp_path):
    net = nn.LSTM(3, 4, rng=0, dtype=np.float64)
    with pytest.raises(ValueError, match="nodes=False writes layers as Scans, which take float64"):
        nn.to_onnx(net, tmp_path / "a.onnx", np.ones((5, 2, 3)))
    assert nn.to_onnx(net, tmp_path / "a.onnx", np.ones((5, 2, 3)), nodes=False).verified.worst < 1e-12


# --- who runs it -----------------------------------------------------------------------------------------------------

shifted = mg.primitive(lambda x: x + 1, lambda g, y, x: g, name="shifted")


def test_a_primitive_without_an_operator_is_refused_until_one_is_given(tmp_path):
    with pytest.raises(TypeError, match=r"the primitive shifted has no ONNX operator .* abs, add"):
        nn.to_onnx(shifted, tmp_path / "a.onnx", normal(2, 3))
    write = lambda g, out, x: g("Add", g.name(x), g.constant(1, out.dtype))
    nn.to_onnx(shifted, tmp_path / "a.onnx", normal(2, 3), operators={shifted: write})
    x = normal(4, 3)
    agree(session(tmp_path / "a.onnx")({"x": x}), x + 1)


def test_a_file_that_computes_something_else_is_not_written(tmp_path):
    (tmp_path / "a.onnx").write_text("old")
    wrong = lambda g, out, x: g("Add", g.name(x), g.constant(1.001, out.dtype))
    for who in (True, "onnxruntime", "reference"):
        with pytest.raises(ValueError, match=r"output is .* the model's .*; nothing was written"):
            nn.to_onnx(shifted, tmp_path / "a.onnx", normal(2, 3), operators={shifted: wrong}, verify=who)
    assert (tmp_path / "a.onnx").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_masked_lengths_are_right_in_the_reference_evaluator_too(tmp_path, kind):
    net = random_weights(KINDS[kind](3, 4, bidirectional=True, rng=0))
    example = {"xs": normal(5, 4, 3), "lengths": LENGTHS}
    written = nn.to_onnx(net, tmp_path / "a.onnx", example, lengths="mask", verify="reference")
    assert "reference evaluator" in str(written)
    with pytest.raises(ValueError, match="ignores sequence_lens: use lengths='mask'"):
        nn.to_onnx(net, tmp_path / "a.onnx", example, verify="reference")


@pytest.mark.parametrize("kind", KINDS)
def test_masked_lengths_and_two_directions_are_right_in_openvino(tmp_path, kind):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed, which runs files in its own way")
    net = random_weights(KINDS[kind](3, 4, bidirectional=True, rng=0))
    with_lengths = {"xs": normal(5, 4, 3), "lengths": LENGTHS}
    for example, options in ((with_lengths, {"lengths": "mask"}), ({"xs": normal(5, 4, 3)}, {"axes": {}})):
        nn.to_onnx(net, tmp_path / "a.onnx", example, **options)
        precise = {"INFERENCE_PRECISION_HINT": "f32"}
        model = openvino.Core().compile_model(str(tmp_path / "a.onnx"), "CPU", precise)
        agree(list(model(example).values()), net(**example))


def test_a_model_that_magnifies_roundings_is_no_other_model_and_it_is_told(tmp_path):
    net = nn.RNN(4, 64, 2, rng=0)
    for p in net.parameters():
        p.data = 3 * p.data
    written = nn.to_onnx(net, tmp_path / "a.onnx", normal(80, 2, 4))
    assert 1e-5 < written.verified.worst < 8 * written.verified.rounding + 1e-5
    assert "a rounding of inputs and weights changes them by" in str(written)


def test_what_was_not_run_is_told(tmp_path):
    assert "not verified" in str(nn.to_onnx(nn.Linear(3, 4), tmp_path / "a.onnx", normal(2, 3), verify=False))


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "opset": ({"opset": 12}, "opset must be an integer within 18"),
    "opset as text": ({"opset": "18"}, "opset must be an integer within 18"),
    "metadata": ({"metadata": {"a": 1}}, "metadata must be text by name"),
    "another size": ({"axes": {"x": (7, 3)}}, r"axes\['x'\]\[0\] must be a name, None, or the example's 2, got 7"),
    "no name": ({"axes": {"x": ("", 3)}}, "must be a name, None, or"),
    "letters": ({"outputs": "y"}, "outputs must be 1 names"),
    "an empty name": ({"outputs": ("",)}, "outputs must be 1 names"),
    "lengths": ({"lengths": "no"}, 'lengths must be "sequence_lens" or "mask"'),
    "lengths of sequences": ({"lengths": LENGTHS}, "those of sequences are in the example"),
    "verify": ({"verify": "maybe"}, "verify must be True, False"),
    "an unknown input": ({"axes": {"y": ("B",)}}, "axes names 'y'; the inputs are x"),
    "too many axes": ({"axes": {"x": ("T", "B", "C")}}, "a tuple of at most 2"),
    "outputs": ({"outputs": ("a", "b")}, "outputs must be 1 names"),
    "a name twice": ({"outputs": ("x",)}, "outputs must be 1 names"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_do_not_fit_are_named(tmp_path, name):
    options, words = OPTIONS[name]
    with pytest.raises(ValueError, match=words):
        nn.to_onnx(nn.Linear(3, 4, rng=0), tmp_path / "a.onnx", normal(2, 3), **options)


@needs_onnx
def test_an_axis_of_two_sizes_in_the_example_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"the axis B has two sizes in the example, 2 and, of y, 3; by .* axes=\{"):
        nn.to_onnx(lambda x, y: x, tmp_path / "a.onnx", (normal(2, 3), normal(3, 3)))
    with pytest.raises(ValueError, match=r"the axis N has two sizes in the example, 2 and, of y, 3$"):
        nn.to_onnx(lambda x, y: x, tmp_path / "a.onnx", (normal(2, 3), normal(3, 3)), axes={"x": ["N"], "y": ["N"]})


@needs_onnx
def test_a_constant_that_follows_from_a_free_size_is_refused(tmp_path):
    with pytest.raises(TypeError, match="follows from the size of a free axis"):
        nn.to_onnx(lambda x: mg.pad(x, ((0, x.shape[0]), (0, 0))), tmp_path / "a.onnx", normal(2, 3))
    assert not list(tmp_path.iterdir())
