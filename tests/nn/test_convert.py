"""Other tools' weights: each cell computes what the tool's does; a way back gives the same bits or is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interop.ours import all_cases, below, differences, doubted, layout_name, module_of, prefixes, run

import minigrad as mg
import nn
from nn.convert import from_tool, to_tool, tools
from nn.convert.layout import same_bits
from nn.convert.table import TABLE, make

CASES = all_cases()


def random_cell(layout: Any, I: int = 2, H: int = 3, bias: bool = True, seed: int = 0, dtype: Any = np.float32) -> Any:
    """A cell of ours with random weights, biases too."""
    cell, rng = make(layout.kind, layout.options, I, H, None, bias, dtype), np.random.default_rng(seed)
    for p in cell.parameters():
        p.data = rng.standard_normal(p.shape).astype(dtype)
    return cell


def fits(layout: Any, cell: Any) -> Any:
    """The cell without what the layout has no place for."""
    if layout.name == "flax.nnx.GRUCell" and cell.b_h is not None:
        cell.b_h.data = np.zeros_like(cell.b_h.data)
    if layout.plus:
        cell.b.data = 1 + np.round(4 * cell.b.data) / 16
    return cell


# --- the tools' own results ------------------------------------------------------------------------------------------


def test_every_cell_of_the_table_was_run_in_its_tool() -> None:
    assert {layout_name(case) for case in CASES} == {name for name in tools() if not name.startswith("nn.")}


@pytest.mark.parametrize("case", CASES)
def test_results_and_gradients_are_the_tools(case: str) -> None:
    results, gradients = differences(case, CASES[case][1])
    assert results < 3e-6
    assert gradients < 3e-5


@pytest.mark.parametrize("case", CASES)
def test_no_recorded_case_is_one_in_which_a_fault_hides(case: str) -> None:
    arrays = CASES[case][1]
    weights = below(arrays, "weights/")
    assert all(np.count_nonzero(a) == a.size and len(np.unique(a)) == a.size for a in weights.values())
    assert (arrays["outputs"] != 0).mean() > 0.1
    grads = below(arrays, "grad/weights/")
    assert set(grads) == set(weights) or case.startswith("mxnet.gluon.rnn.LSTM, projection")
    assert all(np.any(g) for name, g in grads.items() if not doubted(case, f"grad/{name}"))


def test_the_one_gradient_that_is_not_compared_is_another_one() -> None:
    wrong = [case for case in CASES if doubted(case, "grad/weights/0.cell_bw.weight_hh")]
    assert len(wrong) == 4
    for case in wrong:
        name, arrays = "grad/weights/0.cell_bw.weight_hh", CASES[case][1]
        assert np.abs(run(case, arrays)[name] - arrays[name]).max() > 0.01, case


@pytest.mark.parametrize("case", CASES)
def test_a_tools_arrays_come_back_as_they_were_but_for_sums_of_biases(case: str) -> None:
    arrays, layout = CASES[case][1], TABLE[layout_name(case)]
    weights, net = below(arrays, "weights/"), module_of(case, arrays)
    single = not layout.places and len(net.cells) == 1
    exact = not layout.plus  # Haiku's +1 rounds these biases
    back = to_tool(net.cells[0] if single else net, layout.name, prefixes(case, weights), exact=exact)
    assert set(back) <= set(weights)
    assert layout.doubles or set(back) == set(weights)
    summed = {e.name for e in layout.entries if e.biases} if any(e.parts[-1] == "c" for e in layout.entries) else set()
    for name, a in back.items():
        if not any(own in name for own in summed) and not (layout.plus and name.endswith("/b")):
            assert same_bits(a, weights[name]), name


# --- ways back -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TABLE if 2 not in TABLE[name].places or 1 in TABLE[name].places])
@settings(max_examples=settings.default.max_examples // 2)
@given(I=st.integers(1, 4), H=st.integers(1, 4), bias=st.booleans(), seed=st.integers(0, 99), wide=st.booleans())
def test_the_way_there_and_back_gives_the_same_bits(
    name: str, I: int, H: int, bias: bool, seed: int, wide: bool
) -> None:
    layout, dtype = TABLE[name], np.float64 if wide else np.float32
    biased = bias or bool(layout.plus)
    cell = fits(layout, random_cell(layout, I, H, biased, seed, dtype))
    if biased:
        cell.b.writable()[-1:] = -0.0  # the sign of 0 is a bit as well
    back = from_tool(to_tool(cell, name), name)
    state = (back.cells[0] if layout.places else back).state_dict()
    assert all(same_bits(state[key], a) for key, a in cell.state_dict().items())
    assert not any(a.any() for key, a in state.items() if key not in cell.state_dict())  # biases that are always there


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name].places])
def test_layers_and_directions_go_there_and_back(name: str) -> None:
    layout = TABLE[name]
    directions = max(layout.places)
    cells = [random_cell(layout, 2 if k < directions else 3 * directions, seed=k) for k in range(2 * directions)]
    net = nn.Recurrent(*cells, bidirectional=directions == 2)
    back = from_tool(to_tool(net, name, "enc."), name, "enc.")
    assert back.directions == directions
    assert all(same_bits(a, net.state_dict()[key]) for key, a in back.state_dict().items())


@pytest.mark.parametrize("directions", [1, 2])
def test_arrays_are_found_under_the_names_of_a_tools_files_as_well(directions: int) -> None:
    layout, cells = TABLE["mxnet.gluon.rnn.GRU"], []
    for k in range(2 * directions):
        cells.append(random_cell(TABLE["mxnet.gluon.rnn.GRU"], 2 if k < directions else 3 * directions, seed=k))
    net = nn.Recurrent(*cells, bidirectional=directions == 2)
    arrays = to_tool(net, layout.name)
    sides = {"l": "" if directions == 1 else "l_cell.", "r": "r_cell."}
    saved = {f"_unfused.{name[1]}.{sides[name[0]]}{name[3:]}": a for name, a in arrays.items()}
    back = from_tool(saved, layout.name)
    assert all(same_bits(a, net.state_dict()[key]) for key, a in back.state_dict().items())


def test_a_tuple_of_prefixes_makes_layers_and_directions_of_single_cells() -> None:
    layout = TABLE["flax.linen.GRUCell"]
    cells = [random_cell(layout, 2 if k < 2 else 6, seed=k) for k in range(4)]
    net, starts = nn.Recurrent(*cells, bidirectional=True), ("f0/", "b0/", "f1/", "b1/")
    arrays = to_tool(net, layout.name, starts)
    back = from_tool(arrays, layout.name, starts, bidirectional=True)
    assert all(same_bits(a, net.state_dict()[key]) for key, a in back.state_dict().items())
    with pytest.raises(ValueError, match="one prefix for each of 4 cells"):
        to_tool(net, layout.name)


def test_dicts_in_dicts_and_prefixes_find_the_arrays() -> None:
    layout = TABLE["flax.linen.LSTMCell"]
    cell = random_cell(layout)
    tree: dict[str, Any] = {"params": {"cell": {}}}
    for name, a in to_tool(cell, layout.name).items():
        gate, own = name.split("/")
        tree["params"]["cell"].setdefault(gate, {})[own] = a
    for given_tree, prefix in ((tree, "params/cell/"), (tree["params"]["cell"], "")):
        back = from_tool(given_tree, layout.name, prefix)
        assert all(same_bits(a, cell.state_dict()[key]) for key, a in back.state_dict().items())


# --- what is refused -------------------------------------------------------------------------------------------------


def test_all_that_does_not_fit_is_listed_at_once() -> None:
    arrays = to_tool(random_cell(TABLE["keras.layers.GRU"]), "keras.layers.GRU")
    arrays |= {"bias": np.ones((2, 8), np.float32), "gamma": np.ones(3, np.float32)}
    arrays["recurrent_kernel"] = arrays["recurrent_kernel"].astype(np.float64)
    with pytest.raises(ValueError, match=r"do not fit together") as caught:
        from_tool(arrays, "keras.layers.GRU")
    assert str(caught.value).splitlines()[1:] == [
        "  mismatched: bias is (2, 8), not (2, 9)",
        "  unexpected: gamma (3,)",
        "  different dtypes: float32, float64",
    ]
    arrays = to_tool(random_cell(TABLE["flax.linen.GRUCell"]), "flax.linen.GRUCell")
    del arrays["hn/bias"]
    with pytest.raises(ValueError, match=r"missing: hn/bias \(3,\)"):
        from_tool(arrays, "flax.linen.GRUCell")


def test_arrays_of_a_second_name_are_skipped_only_if_they_are_the_same() -> None:
    name = "paddle.nn.GRU"
    arrays = to_tool(random_cell(TABLE[name]), name)
    arrays["weight_hh_l0"] = arrays["0.cell.weight_hh"].copy()
    from_tool(arrays, name)
    with pytest.raises(ValueError, match=r"unexpected: other \(9, 3\)"):
        from_tool(arrays | {"other": arrays["weight_hh_l0"]}, name)
    arrays["weight_hh_l0"][0, 0] += 1
    with pytest.raises(ValueError, match=r"unexpected: weight_hh_l0 \(9, 3\)"):
        from_tool(arrays, name)


@pytest.mark.parametrize(("name", "words"), [("keras.layers.Lstm", "keras.layers.LSTM"), ("jraph.GRU", "haiku.GRU")])
def test_an_unknown_cell_is_answered_with_those_that_are_known(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_tool({}, name)


def test_what_a_tool_has_no_place_for_is_refused_by_name() -> None:
    gru, default = random_cell(TABLE["keras.layers.GRU"]), nn.GRUCell(2, 3, rng=0)
    with pytest.raises(ValueError, match="no bias inside of the reset"):
        to_tool(gru, "flax.nnx.GRUCell")
    with pytest.raises(TypeError, match="reset='after'"):
        to_tool(default, "flax.nnx.GRUCell")
    with pytest.raises(TypeError, match="is a LSTMCell here"):
        to_tool(gru, "haiku.LSTM")
    with pytest.raises(TypeError, match="no tool has the arrays of a PeepholeLSTMCell"):
        to_tool(nn.PeepholeLSTMCell(2, 3, rng=0), "haiku.LSTM")
    with pytest.raises(ValueError, match="no projection"):
        to_tool(nn.ProjectedLSTMCell(2, 3, 2, rng=0), "equinox.nn.LSTMCell")
    with pytest.raises(TypeError, match="neither reverse= nor residual="):
        to_tool(nn.GRU(2, 3, reverse=True, rng=0), "torch.nn.GRU")
    with pytest.raises(TypeError, match="has one direction"):
        to_tool(nn.LSTM(2, 3, bidirectional=True, rng=0), "chainer.links.NStepLSTM")
    with pytest.raises(TypeError, match="not a Linear"):
        to_tool(nn.Linear(2, 3, rng=0), "torch.nn.LSTM")


def test_a_forget_bias_that_haikus_one_would_round_is_refused_unless_asked_for() -> None:
    cell = nn.LSTMCell(2, 3, rng=0)
    assert to_tool(cell, "haiku.LSTM")["linear/b"].tolist() == [0.0] * 12
    cell.b.writable()[:3] = 0.1
    with pytest.raises(ValueError, match="exact=False rounds"):
        to_tool(cell, "haiku.LSTM")
    rounded = from_tool(to_tool(cell, "haiku.LSTM", exact=False), "haiku.LSTM")
    np.testing.assert_allclose(rounded.b.data, cell.b.data, rtol=0, atol=1e-7)


def test_a_z_of_the_other_way_round_is_negated_only_if_asked_for() -> None:
    cell, xs = random_cell(TABLE["haiku.GRU"]), np.random.default_rng(0).standard_normal((4, 2, 2)).astype(np.float32)
    name = "keras.layers.GRU(reset_after=False)"
    with pytest.raises(ValueError, match="exact=False negates"):
        to_tool(cell, name)
    other = from_tool(to_tool(cell, name, exact=False), name)
    assert other.z == "old"
    np.testing.assert_allclose(nn.Recurrent(other)(xs)[0].data, nn.Recurrent(cell)(xs)[0].data, rtol=0, atol=1e-6)


def test_a_relu_goes_to_a_tools_relu_and_to_no_tanh() -> None:
    for cell in (nn.RNNCell(2, 3, rng=0, nonlinearity="relu"), nn.IRNNCell(2, 3, rng=0)):
        back = from_tool(to_tool(cell, "haiku.VanillaRNN"), "haiku.VanillaRNN")
        assert back.nonlinearity == "relu"
        xs = np.random.default_rng(0).standard_normal((4, 2, 2)).astype(np.float32)
        np.testing.assert_array_equal(nn.Recurrent(back)(xs)[0].data, nn.Recurrent(cell)(xs)[0].data)
        with pytest.raises(TypeError, match="has the nonlinearity tanh"):
            to_tool(cell, "keras.layers.SimpleRNN")
    with pytest.raises(TypeError, match="has the nonlinearity relu"):
        to_tool(nn.RNNCell(2, 3, rng=0), "haiku.VanillaRNN")


def test_integers_and_what_is_no_array_by_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'kernel' is int64"):
        from_tool({"kernel": np.ones((2, 3), np.int64)}, "keras.layers.SimpleRNN")
    with pytest.raises(TypeError, match="dict by name"):
        from_tool([np.ones(3)], "keras.layers.SimpleRNN")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"needs a matrix 'kernel', which is missing"):
        from_tool({}, "keras.layers.SimpleRNN")


def test_minigrads_tensors_are_taken_as_arrays_are() -> None:
    layout = TABLE["equinox.nn.GRUCell"]
    cell = random_cell(layout)
    arrays = {name: mg.tensor(a) for name, a in to_tool(cell, layout.name).items()}
    assert all(same_bits(a, cell.state_dict()[key]) for key, a in from_tool(arrays, layout.name).state_dict().items())


def test_importing_nn_imports_neither_a_tool_nor_the_table() -> None:
    code = ("import sys, nn\nbad = {'h5py', 'onnx', 'keras', 'torch', 'flax', 'jax', 'haiku', 'equinox', 'paddle', "
            "'tinygrad', 'nn.convert.table', 'nn.convert.keras', 'safetensors', 'rich'} & set(sys.modules)\n"
            "assert not bad, bad\nnn.convert.tools()\nbad = {'keras', 'torch', 'flax', 'h5py'} & set(sys.modules)\n"
            "assert not bad, bad")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)
