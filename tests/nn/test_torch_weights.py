"""PyTorch's weights compute here what they compute there: against its recorded results, and live where it is there."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from textbook import randomised
from torch_cases import (
    CASES,
    OTHERS,
    RECORDED,
    Case,
    differences,
    kind_of,
    make_torch,
    options_of,
    quiet,
    read,
    run_torch,
    weights_of,
)

import minigrad as mg
import nn

STORED = read()
LIMITS = {"float32": 1e-5, "float64": 1e-10}
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed; its recorded results are tested"
)


@each_case
def test_results_and_gradients_equal_the_recorded_ones_of_pytorch(case: Case) -> None:
    assert max(differences(case, STORED[case.name]).values()) <= LIMITS[case.dtype]


@needs_torch
@each_case
def test_results_and_gradients_equal_those_of_the_installed_pytorch(case: Case) -> None:
    assert max(differences(case, run_torch(case)).values()) <= LIMITS[case.dtype]


@needs_torch
@each_case
def test_pytorch_loads_our_weights_and_computes_the_same(case: Case) -> None:
    import torch

    theirs = make_torch(case)
    ours: Any = randomised(nn.from_torch(theirs.state_dict(), kind_of(case), **options_of(case)), 3)
    theirs.load_state_dict({name: torch.from_numpy(a) for name, a in nn.to_torch(ours).items()})
    x = STORED[case.name]["x"]
    with torch.no_grad():
        y = quiet(theirs, torch.tensor(x))
    expected = ours(x)
    for a, b in zip(
        mg.tree_leaves(expected if case.kind in OTHERS else expected[0]),
        mg.tree_leaves(y if case.kind in OTHERS else y[0] if isinstance(y, tuple) else y),
        strict=True,
    ):
        np.testing.assert_allclose(a.data, b.numpy(), atol=LIMITS[case.dtype])


@each_case
def test_weights_come_back_but_for_the_second_bias_which_is_part_of_the_first(case: Case) -> None:
    there = weights_of(STORED[case.name])
    module = nn.from_torch(there, kind_of(case), **options_of(case))
    back = nn.to_torch(module)
    assert {name: (a.shape, a.dtype) for name, a in back.items()} == {
        name: (a.shape, a.dtype) for name, a in there.items()
    }
    for name, a in back.items():
        if "bias_ih" in name:
            other = name.replace("ih", "hh")
            np.testing.assert_allclose(a + back[other], there[name] + there[other], rtol=1e-6)
        elif "bias_hh" not in name:
            np.testing.assert_array_equal(a, there[name])
    again = nn.from_torch(back, kind_of(case), **options_of(case))
    for p, q in zip(module.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_the_recorded_file_is_small_and_holds_every_case() -> None:
    assert RECORDED.stat().st_size < 300_000
    assert list(STORED) == [case.name for case in CASES]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("RNN, float32, no bias", nn.RNNCell),
        ("LSTM, float32, no bias", nn.LSTMCell),
        ("LSTM proj, float32, no bias", nn.ProjectedLSTMCell),
        ("GRU, float32, no bias", nn.GRUCell),
    ],
)
def test_the_kind_of_cell_is_told_from_the_shapes(name: str, kind: Any) -> None:
    net: Any = nn.from_torch(weights_of(STORED[name]))
    assert [type(cell) for cell in net.cells] == [kind]


def test_a_prefix_takes_a_part_of_a_larger_model() -> None:
    part = weights_of(STORED["GRUCell, float64"])
    whole = {f"decoder.{name}": a for name, a in part.items()} | {"head.weight": np.ones((2, 3))}
    cell: Any = nn.from_torch(whole, prefix="decoder.")
    for name, a in nn.to_torch(cell).items():
        assert "bias" in name or np.array_equal(a, part[name])
    with pytest.raises(ValueError, match=r"decoder\.bias_hh.*prefix="):
        nn.from_torch(whole)


def test_equal_doubles_of_entries_are_skipped_and_others_are_not() -> None:
    weights = weights_of(STORED["LSTM, float32, 2 layers, bidirectional"])
    prefixes = {"_l0": "0.cell_fw.", "_l0_reverse": "0.cell_bw.", "_l1": "1.cell_fw.", "_l1_reverse": "1.cell_bw."}
    twice = dict(weights)
    for name, a in weights.items():
        part, layer = name.split("_l")
        twice[prefixes[f"_l{layer}"] + part] = a.copy()
    assert len(twice) == 2 * len(weights)
    for found, expected in zip(nn.from_torch(twice).parameters(), nn.from_torch(weights).parameters(), strict=True):
        np.testing.assert_array_equal(found.data, expected.data)
    twice["1.cell_bw.weight_ih"][0, 0] += 1
    with pytest.raises(ValueError, match=r"unexpected: 1\.cell_bw\.weight_ih \(12, 6\)$"):
        nn.from_torch(twice)


@pytest.mark.parametrize("name", ["LSTM, float32, lengths", "RNN, float32, lengths"])
def test_each_of_pytorchs_two_biases_has_the_gradient_of_our_one_so_their_sum_moves_twice_as_far(name: str) -> None:
    stored = STORED[name]
    np.testing.assert_allclose(stored["grad/bias_ih_l0"], stored["grad/bias_hh_l0"], rtol=1e-5, atol=1e-7)
    assert stored["grad/bias_ih_l0"].any()


def test_every_missing_unexpected_and_mis_shaped_entry_is_listed_at_once() -> None:
    weights = weights_of(STORED["LSTM, float32, 2 layers, bidirectional"])
    del weights["weight_hh_l1"], weights["bias_ih_l0_reverse"]
    weights |= {"weight_ih_l1": np.ones((12, 5), np.float32), "extra": np.ones(1, np.float32)}
    with pytest.raises(ValueError, match="do not fit together") as caught:
        nn.from_torch(weights)
    assert str(caught.value).splitlines()[1:] == [
        "  missing: bias_ih_l0_reverse (12,)",
        "  missing: weight_hh_l1 (12, 3)",
        "  mismatched: weight_ih_l1 is (12, 5), not (12, 6)",
        "  unexpected: extra (1,)",
    ]


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"weight": np.ones((2, 3))}, {}, 'pass kind="embedding" or "linear"'),
        ({"scale": np.ones(3)}, {}, r"not the entries of a module it knows: \['scale'\]"),
        ({"weight": np.ones((2, 3))}, {"kind": "conv"}, "kind must be one of rnn_tanh.*got 'conv'"),
        ({"weight": np.ones(3)}, {"kind": "linear"}, r"a linear needs a weight of 2 axes, got \(3,\)"),
        ({"weight": np.ones((2, 3), int)}, {"kind": "linear"}, r"one floating-point dtype, found \['int64'\]"),
        ({"weight": np.ones((2, 3)), "bias": np.ones(2, np.float32)}, {}, r"\['float32', 'float64'\]"),
        ({"weight": np.ones((2, 3)), "bias": np.ones(3)}, {}, r"mismatched: bias is \(3,\), not \(2,\)"),
        ({"weight_ih": np.ones((3, 2)), "weight_hh": np.ones(3)}, {"kind": "rnn_tanh"}, "needs matrices"),
        ({"weight_ih_l9999999": np.ones((3, 2))}, {"kind": "gru"}, "needs matrices"),
        ({"weight_ih_l0": np.ones((3, 2))}, {}, "not the entries"),
    ],
    ids=lambda value: None,
)
def test_entries_of_no_known_module_raise(arrays: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.from_torch(arrays, **options)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.GRU(2, 3), r"GRUCell\(reset='after', z='old'\), this one is GRUCell\(2, 3\)"),
        (nn.MGUCell(2, 3), "no counterpart of MGUCell"),
        (nn.ElmanCell(2, 3, 4), "no counterpart of ElmanCell"),
        (nn.Dropout(0.5), "no counterpart of Dropout"),
        (nn.LSTM(2, 3, reverse=True), "neither reverse= nor residual="),
        (nn.Recurrent(nn.LSTMCell(2, 3), nn.RNNCell(3, 3)), r"of one kind, got \['lstm', 'rnn_tanh'\]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_modules_that_pytorch_does_not_have_raise(module: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        nn.to_torch(module)
