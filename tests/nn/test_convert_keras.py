"""Keras' models and weights in files: what is read computes what Keras does, the rest is refused by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from interop.cases import read as read_cases
from interop.ours import RECORDED
from test_convert_files import h5py_or_skip, run

import nn

MODELS = read_cases(RECORDED / "keras_models.npz")[1]
each_model = pytest.mark.parametrize("name", MODELS)


def keras_file(name: str, folder: Path, suffix: str = ".keras") -> Path:
    h5py_or_skip()
    path = folder / f"{name}{suffix}"
    path.write_bytes(MODELS[name][suffix].tobytes())
    return path


def changed(path: Path, change: Any) -> Path:
    """The model with another configuration, `change(layers)`."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config["config"]["layers"])
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return path


@each_model
def test_a_keras_model_computes_what_keras_does(name: str, tmp_path: Path) -> None:
    model, case = nn.convert.from_keras(keras_file(name, tmp_path)), MODELS[name]
    y = model(np.swapaxes(case["x"], 0, 1))
    np.testing.assert_allclose(y.data, case["y"], rtol=0, atol=1e-6)
    assert np.ptp(case["y"]) > 0.1


@each_model
def test_a_keras_model_goes_through_the_command(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = keras_file(name, tmp_path)
    assert run(capsys, path, tmp_path / "ours.npz")[0] == 0
    model = nn.convert.from_keras(path)
    before = model.state_dict()
    for p in model.parameters():
        p.data = np.zeros_like(p.data)
    model.load_state_dict(nn.load(tmp_path / "ours.npz")[0])
    assert all(np.array_equal(a, before[key]) for key, a in model.state_dict().items())


def test_a_layer_of_a_file_of_weights_is_found_by_keras_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, model = keras_file("stacked", tmp_path, ".weights.h5"), keras_file("stacked", tmp_path)
    words = [path, tmp_path / "enc.npz", "--from", "keras.layers.LSTM", "--prefix", "layers/lstm/cell/"]
    assert "layers/gru_1/cell/recurrent_kernel (3, 9)" in run(capsys, *words)[2]
    assert run(capsys, *words, "--leave-rest")[0] == 0
    enc = nn.convert.from_keras(model).parts["enc"].cells[0].state_dict()
    assert all(np.array_equal(a, enc[key]) for key, a in nn.load(tmp_path / "enc.npz")[0].items())


def test_weights_go_back_into_a_file_of_keras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h5py, path, prefix = h5py_or_skip(), keras_file("stacked", tmp_path, ".weights.h5"), "layers/gru_1/cell/"
    words = [path, tmp_path / "ours.npz", "--from", "keras.layers.GRU", "--prefix", prefix, "--leave-rest"]
    assert run(capsys, *words)[0] == 0
    words = [tmp_path / "ours.npz", tmp_path / "back.weights.h5", "--to", "keras.layers.GRU", "--to-prefix", prefix]
    assert "unexpected: b_h (3,)" in run(capsys, *words, "--from", "nn.GRUCell")[2]
    assert run(capsys, *words, "--from", "nn.GRUCell(reset='after', z='old')")[0] == 0
    with h5py.File(path) as first, h5py.File(tmp_path / "back.weights.h5") as second:
        for k in range(2):
            assert np.array_equal(first[f"{prefix}vars/{k}"], second[f"{prefix}vars/{k}"])
        bias, back = first[f"{prefix}vars/2"][()], second[f"{prefix}vars/2"][()]
        assert np.array_equal(back, [[*(bias[0] + bias[1])[:6], *bias[0, 6:]], [*np.zeros(6), *bias[1, 6:]]])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back.weights.h5", "ours.npz", "stacked.weights.h5"]


@pytest.mark.parametrize(
    ("mask", "lengths"),
    [([[1, 1, 0], [1, 0, 0], [1, 0, 0]], [3, 1, 0]), ([[0, 1]], [0, 1]), ([[1], [1]], [2])],
)
def test_masks_that_lengths_can_say_are_lengths(mask: Any, lengths: list[int]) -> None:
    from nn.convert.keras_model import lengths_of_mask

    assert lengths_of_mask(mask).tolist() == lengths


@pytest.mark.parametrize(
    ("mask", "shown"), [([[0, 1], [1, 1]], "sequence 0 is 01"), ([[1, 1], [1, 0], [1, 1]], "1 is 101")]
)
def test_masks_that_lengths_cannot_say_are_refused(mask: Any, shown: str) -> None:
    from nn.convert.keras_model import lengths_of_mask

    with pytest.raises(ValueError, match=shown):
        lengths_of_mask(mask)


def test_padding_before_a_sequence_is_refused_where_the_model_runs(tmp_path: Path) -> None:
    model = nn.convert.from_keras(keras_file("tokens", tmp_path))
    with pytest.raises(ValueError, match="must all be at its end"):
        model(np.array([[0, 1], [1, 1], [2, 0]]))


def test_outputs_that_were_turned_round_are_refused_on_padded_sequences(tmp_path: Path) -> None:
    path = keras_file("masked", tmp_path)
    model = nn.convert.from_keras(changed(path, lambda layers: layers[-1]["config"].update(return_sequences=True)))
    xs = np.swapaxes(MODELS["masked"]["x"], 0, 1)
    with pytest.raises(ValueError, match="not their mask"):
        model(xs)
    whole = np.abs(xs)
    assert np.array_equal(
        model(whole).data[0], model.parts["simple_rnn_7"](model.parts["simple_rnn_6"](whole)[0])[0][-1].data
    )


@pytest.mark.parametrize(
    ("layer", "options", "said"),
    [
        (1, {"activation": "gelu"}, "enc: activation 'gelu'"),
        (1, {"recurrent_activation": "hard_sigmoid"}, "recurrent_activation 'hard_sigmoid'"),
        (1, {"stateful": True}, "enc: stateful=True"),
        (4, {"axis": [1]}, "normalise the last axis"),
        (6, {"activation": "swish"}, "dense: activation 'swish'"),
    ],
)
def test_options_without_a_counterpart_are_refused_by_name(
    layer: int, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = changed(keras_file("stacked", tmp_path), lambda layers: layers[layer]["config"].update(options))
    with pytest.raises(ValueError, match=said):
        nn.convert.from_keras(path)


def test_directions_that_are_added_or_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    def change(layers: Any) -> None:
        layers[2]["config"]["merge_mode"] = "sum"
        layers[2]["config"]["backward_layer"]["config"]["units"] = 4
        layers[3]["config"]["layer"]["class_name"] = "ConvLSTM1D"

    with pytest.raises(ValueError, match="what these layers do is not there") as caught:
        nn.convert.from_keras(changed(keras_file("tokens", tmp_path), change))
    said = ("merge_mode 'sum'", "a backward layer that is not like its forward one: units", "of a ConvLSTM1D")
    assert [word for word in said if word not in str(caught.value)] == []


def test_all_layers_that_are_not_read_are_listed_at_once(tmp_path: Path) -> None:
    def change(layers: Any) -> None:
        layers[2]["class_name"], layers[6]["class_name"] = "Flatten", "Conv1D"

    with pytest.raises(ValueError, match="what these layers do is not there") as caught:
        nn.convert.from_keras(changed(keras_file("stacked", tmp_path), change))
    assert "Flatten is not one" in str(caught.value)
    assert "Conv1D is not one" in str(caught.value)


def test_a_functional_model_that_is_no_row_of_layers_or_has_masks_of_its_own_is_refused(tmp_path: Path) -> None:
    def branch(layers: Any) -> None:
        layers[-1]["inbound_nodes"] = layers[1]["inbound_nodes"]

    def other_mask(layers: Any) -> None:
        next(layer for layer in layers if layer["class_name"] == "NotEqual")["inbound_nodes"][0]["args"][1] = 3

    def lost_mask(layers: Any) -> None:
        layers[-1]["inbound_nodes"][0]["kwargs"].pop("mask")

    def called_twice(layers: Any) -> None:
        layers[-1]["inbound_nodes"] *= 2

    changes = {branch: "only layers in a row", other_mask: "another mask", lost_mask: "another mask",
               called_twice: "is called 2 times"}  # fmt: skip
    for change, said in changes.items():
        with pytest.raises(ValueError, match=said):
            nn.convert.from_keras(changed(keras_file("functional", tmp_path), change))


@pytest.mark.parametrize("name", MODELS)
def test_a_configuration_without_any_one_of_its_entries_ends_in_a_named_error_or_is_read(
    name: str, tmp_path: Path
) -> None:
    def entries(part: Any, path: tuple[Any, ...] = ()) -> Any:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, value in items:
            yield (*path, key)
            yield from entries(value, (*path, key))

    whole = keras_file(name, tmp_path)
    with zipfile.ZipFile(whole) as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    refused = 0
    step = 1 if settings.default.max_examples > 8 else 2 if name == "masked" else 18
    for path in [p for p in entries(layers) if "initializer" not in str(p)][::step]:

        def without(layers: Any, path: Any = path) -> None:
            part = layers
            for key in path[:-1]:
                part = part[key]
            del part[path[-1]]

        try:
            nn.convert.from_keras(changed(keras_file(name, tmp_path), without))(np.swapaxes(MODELS[name]["x"], 0, 1))
        except ValueError as error:
            refused += 1
            assert "nn.convert: " in str(error) or "steps that are left out" in str(error)  # noqa: PT017
    assert refused


def test_a_configuration_that_nests_too_deep_is_refused(tmp_path: Path) -> None:
    path = keras_file("stacked", tmp_path)
    nested: Any = []
    for _ in range(250):
        nested = [nested]
    with pytest.raises(
        ValueError, match=r"stacked\.keras is damaged.*: its JSON nests 25\d deep, at most 200 are read"
    ):
        nn.convert.from_keras(changed(path, lambda layers: layers.append(nested)))


def test_arrays_of_no_layer_and_missing_ones_are_listed(tmp_path: Path) -> None:
    path = changed(keras_file("stacked", tmp_path), lambda layers: layers.pop())
    with pytest.raises(ValueError, match=r"unexpected: layers/dense/vars/0 \(3, 2\)"):
        nn.convert.from_keras(path)
    path = changed(keras_file("stacked", tmp_path), lambda layers: layers.append(layers[1]))
    with pytest.raises(ValueError, match=r"layer 'enc'.*'kernel'.*missing"):
        nn.convert.from_keras(path)


@pytest.mark.parametrize("name", ["cells", "functional", "functional_masking", "masked"])
def test_zero_output_for_mask_makes_the_last_output_of_a_shorter_sequence_0(name: str, tmp_path: Path) -> None:
    x = np.swapaxes(MODELS[name]["x"], 0, 1)
    plain = nn.convert.from_keras(keras_file(name, tmp_path))(x).data
    path = changed(tmp_path / f"{name}.keras", lambda layers: layers[-1]["config"].update(zero_output_for_mask=True))
    whole = (x != (0 if x.ndim == 2 else -1)).reshape(*x.shape[:2], -1).any(axis=-1).all(axis=0)
    assert 0 < whole.sum() < len(whole)
    if name == "masked":  # read from the end: its last step is the first
        whole[:] = True
    assert np.array_equal(nn.convert.from_keras(path)(x).data, np.where(whole[:, None], plain, 0))
