"""ONNX files: weights go out and come back with the same bits, and a damaged file ends in a named error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_cases import RECORDED, Tagger, named, needs_onnx, normal, random_state, random_weights

import minigrad as mg
import nn

pytestmark = needs_onnx
FOLDER = RECORDED / "onnx"

CELLS: dict[str, Any] = {
    "RNN": lambda bias: nn.RNNCell(3, 4, bias),
    "RNN relu": lambda bias: nn.RNNCell(3, 4, bias, nonlinearity="relu"),
    "LSTM": lambda bias: nn.LSTMCell(3, 4, bias),
    "peephole": lambda bias: nn.PeepholeLSTMCell(3, 4, bias),
    "coupled": lambda bias: nn.CoupledLSTMCell(3, 4, bias),
    **{f"GRU {reset} {z}": lambda bias, reset=reset, z=z: nn.GRUCell(3, 4, bias, reset=reset, z=z)
       for reset in ("before", "after") for z in ("new", "old")},
}  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_weights_and_results_come_back_with_the_same_bits(tmp_path, name, bias):
    net = random_weights(nn.Recurrent(CELLS[name](bias), CELLS[name](bias), bidirectional=True))
    example = {"xs": normal(5, 4, 3), "state": random_state(net, 4)}
    nn.to_onnx(net, tmp_path / "a.onnx", example)
    back = nn.from_onnx(tmp_path / "a.onnx")
    found = [cell for layer in back.layers.values() for cell in layer.recurrent.cells]
    for ours, theirs in zip(net.cells, found, strict=True):
        assert repr(theirs) == repr(ours)
        for path, array in ours.state_dict().items():
            assert theirs.state_dict()[path].tobytes() == array.tobytes()
    for a, b in zip(mg.tree_leaves(net(**example)), back(**named(example)), strict=True):
        assert a.data.tobytes() == b.data.tobytes()


def test_a_whole_model_comes_back_with_the_same_bits(tmp_path):
    net, rng = random_weights(Tagger()).eval(), np.random.default_rng(0)
    example = {"xs": rng.integers(0, 7, (5, 4)), "lengths": np.array([4, 0, 5, 2])}
    nn.to_onnx(net, tmp_path / "a.onnx", example)
    back = nn.from_onnx(tmp_path / "a.onnx")
    other = {"xs": rng.integers(0, 7, (8, 3)), "lengths": np.array([0, 8, 3])}
    for a, b in zip(net(**other), back(**other), strict=True):
        assert np.array_equal(a.data if isinstance(a, mg.Tensor) else a, b.data if isinstance(b, mg.Tensor) else b)


def test_a_scan_is_refused_by_name_when_read(tmp_path):
    nn.to_onnx(nn.Recurrent(nn.MGUCell(3, 4)), tmp_path / "a.onnx", normal(5, 2, 3), verify=False)
    with pytest.raises(ValueError, match=r"operators: Scan \(1\)"):
        nn.from_onnx(tmp_path / "a.onnx")


# --- files from strangers --------------------------------------------------------------------------------------------


def changed(path: Path, change: Any) -> bytes:
    import onnx

    model = onnx.load(FOLDER / "torch_legacy_gru.onnx")
    change(model)
    data: bytes = model.SerializeToString()
    path.write_bytes(data)
    return data


def _outside(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, value in (("location", "../secret"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def _enormous(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [2**40, 2**20]


def _negative(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [-7, -3]


def _of_words(model: Any) -> None:
    model.graph.initializer[0].data_type = 8


def _of_an_unknown_type(model: Any) -> None:
    model.graph.initializer[0].data_type = 99


def _a_function(model: Any) -> None:
    model.functions.add().name = "f"


def _an_old_opset(model: Any) -> None:
    model.opset_import[0].version = 9


def _a_new_opset(model: Any) -> None:
    model.opset_import[0].version = 999


def _a_circle(model: Any) -> None:
    model.graph.node[0].input[0] = model.graph.output[0].name


def _a_name_twice(model: Any) -> None:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


def _an_output_that_nothing_makes(model: Any) -> None:
    model.graph.output[0].name = "nothing"


def _an_array_twice(model: Any) -> None:
    model.graph.initializer.add().CopyFrom(model.graph.initializer[0])


def _an_input_twice(model: Any) -> None:
    model.graph.input.add().CopyFrom(model.graph.input[0])


def _an_output_twice(model: Any) -> None:
    model.graph.output.add().CopyFrom(model.graph.output[0])


def _an_attribute_twice(model: Any) -> None:
    node = next(node for node in model.graph.node if node.attribute)
    node.attribute.add().CopyFrom(node.attribute[0])


FAULTS = {
    _an_array_twice: "two of its arrays have the name",
    _an_input_twice: "two of its inputs have the name",
    _an_output_twice: "two of its outputs have the name",
    _an_attribute_twice: "two of its attributes of a node have the name",
    _outside: "is kept in another file",
    _enormous: "is declared as .* but holds",
    _negative: "is declared as",
    _of_words: "real numbers and booleans are understood",
    _of_an_unknown_type: "unknown type 99",
    _a_function: "it has functions",
    _an_old_opset: "its opset is 9",
    _a_new_opset: "its opset is 999",
    _a_circle: "which nothing before it makes",
    _a_name_twice: "what is there already",
    _an_output_that_nothing_makes: "are not all made",
}


@pytest.mark.parametrize("change", FAULTS, ids=lambda change: change.__name__)
def test_a_file_that_declares_what_it_does_not_hold_is_refused(tmp_path, change):
    changed(tmp_path / "a.onnx", change)
    with pytest.raises(ValueError, match=FAULTS[change]):
        nn.from_onnx(tmp_path / "a.onnx")


def test_a_file_that_is_not_there_is_told_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        nn.from_onnx(tmp_path / "a.onnx")


def test_a_shape_that_asks_for_more_memory_than_there_is_is_refused_when_run(tmp_path):
    import onnx
    from onnx import helper, numpy_helper

    shape = numpy_helper.from_array(np.array([2**30, 2**30]), "shape")
    for operator in ("ConstantOfShape", "Expand"):
        inputs = ["shape"] if operator == "ConstantOfShape" else ["x", "shape"]
        graph = helper.make_graph(
            [helper.make_node(operator, inputs, ["y"])],
            "g",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [shape],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "a.onnx")
        with pytest.raises(ValueError, match="is asked for"):
            nn.from_onnx(tmp_path / "a.onnx")(np.zeros((1, 1), np.float32))


#: Files whose bytes are changed one by one.
SOURCES = [
    (FOLDER / f"{name}.onnx").read_bytes()
    for name in ("torch_legacy_gru_states", "torch_default_gru", "torch_default_gemm")
]
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 255), st.sampled_from(["set", "cut", "add"])), min_size=1, max_size=6
)


@settings(max_examples=max(30, settings().max_examples))
@given(st.sampled_from(SOURCES), EDITS)
def test_a_damaged_file_ends_in_a_named_error_or_is_a_model(tmp_path_factory, source, edits):
    data = bytearray(source)
    for place, byte, how in edits:
        at = int(place * (len(data) - 1))
        if how == "set":
            data[at] = byte
        elif how == "cut":
            del data[at : at + byte]
        else:
            data[at:at] = bytes([byte]) * (byte % 5)
        data = data or bytearray(b"x")
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(data))
    assert _told(path).startswith(("from_onnx: ", "the inputs are", "a model"))


def _told(path: Path) -> str:
    """What reading a file and running it ended in."""
    try:
        net = nn.from_onnx(path)
        shapes = [(2, 5, 3), (2, 2, 4), (2, 2, 4)][: len(net.inputs)]
        with np.errstate(all="ignore"):
            net(*[normal(*shape) for shape in shapes])
    except (ValueError, TypeError) as error:
        return str(error)
    return "a model"
