"""`nn.from_onnx`: recorded graphs of PyTorch and Keras compute what these did; what is not understood is named."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_cases import RECORDED, agree, needs_onnx, needs_runtime, normal, session

import minigrad as mg
import nn

FOLDER, ROOT = RECORDED / "onnx", Path(__file__).parents[2]
NAMES = sorted(path.stem for path in FOLDER.glob("*.onnx"))


def part(name: str, which: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / "results.npz") as found:
        return {key.split("/", 2)[2]: found[key] for key in found if key.startswith(f"{name}/{which}/")}


@needs_onnx
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_graph_computes_what_its_tool_did(name):
    assert len(NAMES) == 17
    net = nn.from_onnx(FOLDER / f"{name}.onnx")
    agree(list(part(name, "out").values()), net(**part(name, "in")), within=1e-6)


@needs_onnx
@pytest.mark.parametrize("name", ["torch_default_lstm", "torch_legacy_gru_states", "keras_gru"])
def test_what_was_read_can_learn(name):
    net, inputs = nn.from_onnx(FOLDER / f"{name}.onnx"), part(name, "in")
    for p in net.parameters():
        assert p.dtype == np.float32
    own = dict(net.named_parameters())
    name, first = next(iter(own.items()))

    def loss(w: Any) -> Any:
        results = nn.functional_call(net, {**own, name: w}, *inputs.values())
        return sum((mg.sum(r * r) for r in mg.tree_leaves(results)), start=0.0)

    g = mg.grad(loss)(first.data)
    assert np.abs(g.data).max() > 0
    direction = np.random.default_rng(0).standard_normal(first.shape).astype(np.float32)
    step = 1e-2 * direction
    with mg.no_grad():
        slope = (loss(mg.tensor(first.data + step)) - loss(mg.tensor(first.data - step))) / 2e-2
    assert float(slope) == pytest.approx(float((g.data * direction).sum()), rel=2e-2, abs=2e-3)


@needs_onnx
@pytest.mark.parametrize("name", NAMES)
def test_a_graph_that_was_read_is_written_and_read_again_with_the_same_bits(tmp_path, name):
    net, inputs = nn.from_onnx(FOLDER / f"{name}.onnx"), part(name, "in")
    nn.to_onnx(net, tmp_path / "again.onnx", inputs, axes={}, verify=False)
    again = nn.from_onnx(tmp_path / "again.onnx")
    for a, b in zip(mg.tree_leaves(net(**inputs)), mg.tree_leaves(again(**inputs)), strict=True):
        assert np.array_equal(a.data, b.data)


# --- nodes as the standard has them, run by onnxruntime --------------------------------------------------------------


def node_file(
    path: Any, operator: str, inputs: dict[str, np.ndarray], stored: dict[str, Any], outputs: int, **attributes: Any
) -> None:
    """A file of one node, whose inputs are given in the order of the standard."""
    import onnx
    from onnx import helper, numpy_helper

    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    names = [name if name in inputs or name in stored else "" for name in order]
    while not names[-1]:
        names.pop()
    made = helper.make_node(operator, names, [f"y{k}" for k in range(outputs)], **attributes)
    kinds = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in inputs.items()}
    graph = helper.make_graph(
        [made],
        "g",
        [helper.make_tensor_value_info(n, kinds[n], a.shape) for n, a in inputs.items()],
        [helper.make_tensor_value_info(f"y{k}", onnx.TensorProto.FLOAT, None) for k in range(outputs)],
        [numpy_helper.from_array(a, n) for n, a in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def weights(operator: str, D: int, I: int = 3, H: int = 4) -> dict[str, np.ndarray]:
    G = {"RNN": 1, "GRU": 3, "LSTM": 4}[operator]
    shapes = {"W": (D, G * H, I), "R": (D, G * H, H), "B": (D, 2 * G * H)}
    return {name: 0.5 * normal(*shape, seed=k) for k, (name, shape) in enumerate(shapes.items())}


@needs_runtime
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("operator", "options"),
    [
        ("RNN", {}),
        ("RNN", {"activations": ["Relu"]}),
        ("GRU", {}),
        ("GRU", {"linear_before_reset": 1}),
        ("LSTM", {}),
        ("LSTM", {"P": True}),
        ("LSTM", {"input_forget": 1}),
    ],
)
def test_recurrent_nodes_compute_what_onnxruntime_does(tmp_path, operator, options, direction):
    D, options = 2 if direction == "bidirectional" else 1, dict(options)
    stored = weights(operator, D)
    if options.pop("P", False):
        stored["P"] = normal(D, 12)
    if "activations" in options:
        options["activations"] *= D
    inputs = {"X": normal(6, 3, 3), "sequence_lens": np.array([6, 2, 3], np.int32), "initial_h": normal(D, 3, 4)}
    if operator == "LSTM":
        inputs["initial_c"] = normal(D, 3, 4, seed=9)
    outputs = 3 if operator == "LSTM" else 2
    node_file(tmp_path / "a.onnx", operator, inputs, stored, outputs, hidden_size=4, direction=direction, **options)
    agree(session(tmp_path / "a.onnx")(inputs), nn.from_onnx(tmp_path / "a.onnx")(**inputs), within=1e-6)


@needs_onnx
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_batch_first_nodes_are_the_others_with_their_axes_exchanged(tmp_path, direction):
    D = 2 if direction == "bidirectional" else 1
    x, h, stored = normal(6, 3, 3), normal(D, 3, 4), weights("GRU", D)
    node_file(tmp_path / "a.onnx", "GRU", {"X": x, "initial_h": h}, stored, 2, hidden_size=4, direction=direction)
    inputs = {"X": x.swapaxes(0, 1), "initial_h": h.swapaxes(0, 1)}
    node_file(tmp_path / "b.onnx", "GRU", inputs, stored, 2, hidden_size=4, direction=direction, layout=1)
    y, last = nn.from_onnx(tmp_path / "a.onnx")(x, h)
    swapped, other = nn.from_onnx(tmp_path / "b.onnx")(**inputs)
    assert np.array_equal(y.data.transpose(2, 0, 1, 3), swapped.data)
    assert np.array_equal(last.data.swapaxes(0, 1), other.data)


NOT_UNDERSTOOD: dict[str, tuple[dict[str, Any], str]] = {
    "clip": ({"clip": 3.0}, "the attributes clip"),
    "activations": ({"activations": ["Sigmoid", "Relu", "Tanh"]}, "activations="),
    "alpha": ({"activation_alpha": [0.1]}, "the attributes activation_alpha"),
    "layout": ({"layout": 2}, "layout=2"),
    "direction": ({"direction": "both"}, "direction='both'"),
    "hidden_size": ({"hidden_size": 5}, "hidden_size is 5"),
    "input_forget with P": ({"input_forget": 1, "P": True}, "peepholes"),
}


@needs_onnx
@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_what_a_recurrent_node_asks_for_and_is_not_understood_is_named(tmp_path, name):
    options, words = dict(NOT_UNDERSTOOD[name][0]), NOT_UNDERSTOOD[name][1]
    stored = weights("LSTM", 1) | ({"P": normal(1, 12)} if options.pop("P", False) else {})
    node_file(tmp_path / "a.onnx", "LSTM", {"X": normal(2, 2, 3)}, stored, 1, **options)
    with pytest.raises(ValueError, match=words):
        nn.from_onnx(tmp_path / "a.onnx")


@needs_onnx
def test_all_operators_that_are_not_understood_are_listed(tmp_path):
    import onnx
    from onnx import helper

    value = lambda n: helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, 3])
    nodes = [
        helper.make_node("Selu", ["x"], ["a"]),
        helper.make_node("Selu", ["a"], ["b"]),
        helper.make_node("Det", ["b"], ["c"]),
        helper.make_node("Softmax", ["c"], ["d"], axis=-1, soft=1),
        helper.make_node("Scaler", ["d"], ["y"], domain="ai.onnx.ml"),
    ]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"operators: Det \(1\), Selu \(2\), ai\.onnx\.ml\.Scaler \(1\)\n") as found:
        nn.from_onnx(tmp_path / "a.onnx")
    assert "Softmax 'd': the attributes soft" in str(found.value)


def of_a_node(path: Path, operator: str, outputs: list[str], more: Any = (), **attributes: Any) -> Any:
    """What is read from a file of a single node, whose inputs are x and more."""
    from onnx import TensorProto, helper

    inputs = ["x", *more]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in (*inputs, *outputs)]
    node = helper.make_node(operator, inputs, outputs, **attributes)
    graph = helper.make_graph([node], "one", infos[: len(inputs)], infos[len(inputs) :])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    return nn.from_onnx(path)


@needs_onnx
@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 3), (3, 0), (5,)], ids=str)
def test_flatten_is_that_of_onnx_at_every_axis(tmp_path, shape):
    x = normal(*shape)
    for axis in range(-x.ndim, x.ndim + 1):
        net = of_a_node(tmp_path / "a.onnx", "Flatten", ["y"], axis=axis)
        expected = x.reshape(math.prod(shape[:axis]), math.prod(shape[axis:]))
        np.testing.assert_array_equal(net(x), expected, strict=True)


@needs_onnx
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_indices_of_gather_elements_may_be_fewer_but_not_more(tmp_path, axis):
    x, net = normal(3, 4), of_a_node(tmp_path / "a.onnx", "GatherElements", ["y"], ["indices"], axis=axis)
    indices = np.array([[1, -1], [0, 2]])
    expected = [[x[(i, c) if axis == 0 else (r, i)] for c, i in enumerate(row)] for r, row in enumerate(indices)]
    np.testing.assert_array_equal(net(x, indices), np.array(expected), strict=True)
    with pytest.raises(ValueError, match=r"indices of shape \(5, 5\) pick from no array of shape \(3, 4\)"):
        net(x, np.zeros((5, 5), int))


@needs_onnx
def test_a_second_output_that_is_not_computed_is_refused_when_the_file_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"Dropout 'y': of its outputs \['y', 'mask'\] only the first is computed"):
        of_a_node(tmp_path / "a.onnx", "Dropout", ["y", "mask"])


@needs_onnx
def test_inputs_are_given_in_order_or_by_name_and_checked():
    net, inputs = nn.from_onnx(FOLDER / "torch_legacy_gru_states.onnx"), part("torch_legacy_gru_states", "in")
    by_order, by_name = net(*inputs.values()), net(**inputs)
    assert np.array_equal(by_order[0].data, by_name[0].data)
    with pytest.raises(TypeError, match="the inputs are "):
        net(next(iter(inputs.values())))
    with pytest.raises(ValueError, match=r"from_onnx: .* cannot compute"):
        net(*[a[..., :2] for a in inputs.values()])


def test_without_the_package_both_ways_name_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (
        lambda: nn.from_onnx(tmp_path / "a.onnx"),
        lambda: nn.to_onnx(nn.Linear(2, 2), tmp_path / "a.onnx", 1),
    ):
        with pytest.raises(ModuleNotFoundError, match="ONNX files need the package onnx: pip install onnx"):
            call()


def test_no_package_is_imported_before_it_is_needed():
    code = "import sys, nn; sys.exit('onnx' in sys.modules or 'nn.convert.onnx_export' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@needs_onnx
def test_without_onnxruntime_the_reference_evaluator_verifies_what_it_does_rightly(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    net, xs = nn.GRU(3, 4, rng=0), normal(5, 2, 3)
    assert "the reference evaluator" in str(nn.to_onnx(net, tmp_path / "a.onnx", xs))
    for model, example in ((net, {"xs": xs, "lengths": np.array([5, 2])}), (nn.RNN(3, 4, nonlinearity="relu"), xs)):
        written = nn.to_onnx(model, tmp_path / "a.onnx", example)
        assert "not verified: onnxruntime is not installed, and onnx's reference evaluator" in str(written)
    with pytest.raises(ModuleNotFoundError, match="needs the package onnxruntime: pip install"):
        nn.to_onnx(net, tmp_path / "a.onnx", xs, verify="onnxruntime")
