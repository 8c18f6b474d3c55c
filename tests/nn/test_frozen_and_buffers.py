"""Frozen weights and buffers: saved, loaded, counted, switched; and what optimisers make of them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn


class Normed(nn.Module):
    """A layer with buffers of every kind: a running mean, a counter, a mask, and a list of tables."""

    def __init__(self, seed: int = 0) -> None:
        self.linear = nn.Linear(3, 4, rng=seed)
        self.mean = nn.buffer(np.full(3, seed, np.float32))
        self.count = nn.buffer(seed)
        self.mask = nn.buffer([True, seed > 0, False])
        self.tables = [nn.buffer(np.arange(4) + seed, np.int16)]
        self.constant = mg.tensor([1.0])

    def forward(self, x: Any) -> Any:
        x = x - self.mean
        self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
        self.count.data = self.count.data + 1
        return self.linear(x * self.mask.data)


SAVED = ["linear.W", "linear.b", "mean", "count", "mask", "tables.0"]
copies = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deep", "pickle"]
)


def half_frozen(seed: int = 0) -> Any:
    net = nn.Sequential(nn.Linear(3, 4, rng=seed), nn.Linear(4, 2, rng=seed + 1))
    for p in net.layers[0].parameters():
        p.requires_grad = False
    return net


# --- frozen weights --------------------------------------------------------------------------------------------------


def test_a_frozen_weight_is_no_parameter_unless_asked_for_and_keeps_its_place() -> None:
    net = half_frozen()
    assert [name for name, _ in net.named_parameters()] == ["layers.1.W", "layers.1.b"]
    everything = ["layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b"]
    assert [name for name, _ in net.named_parameters(frozen=True)] == everything
    assert list(net.state_dict()) == everything


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("make", [half_frozen, Normed, lambda seed: nn.Recurrent(nn.EchoStateCell(2, 3, rng=seed))])
def test_frozen_weights_and_buffers_are_saved_and_loaded(make: Any, suffix: str, tmp_path: Path) -> None:
    a, b = make(1), make(7)
    nn.save(tmp_path / f"a{suffix}", a)
    weights, _ = nn.load(tmp_path / f"a{suffix}")
    b.load_state_dict(weights)
    for (name, value), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert value.dtype == other.dtype, name
        np.testing.assert_array_equal(value, other, err_msg=name)


def test_a_file_without_the_frozen_weights_lists_them_as_missing() -> None:
    net = half_frozen()
    old = {name: p.data for name, p in net.named_parameters()}
    with pytest.raises(
        ValueError, match=r"missing: layers\.0\.W \(3, 4\) float32\n  missing: layers\.0\.b \(4,\) float32$"
    ):
        net.load_state_dict(old)


def test_repr_counts_frozen_weights_and_no_buffers() -> None:
    assert repr(half_frozen()).splitlines() == [
        "Sequential()  # 26 parameters, 16 frozen",
        "  layers.0: Linear(3, 4)  # 16 parameters, 16 frozen",
        "  layers.1: Linear(4, 2)  # 10 parameters",
    ]
    assert repr(Normed()).splitlines()[0] == "Normed()  # 16 parameters"


def test_freeze_and_back_reaches_every_parameter_and_leaves_buffers_alone() -> None:
    net = nn.Sequential(Normed(), nn.Linear(4, 2))
    assert net.freeze() is net
    assert net.parameters() == []
    net.freeze(False)
    assert len(net.parameters()) == 4
    assert not any(b.requires_grad for _, b in net.named_buffers())


def test_a_tied_frozen_weight_counts_and_is_saved_once() -> None:
    embedding = nn.Embedding(5, 2, rng=0)
    net = nn.Sequential(embedding, nn.TiedLinear(embedding, bias=False)).freeze()
    assert repr(net).splitlines()[0] == "Sequential()  # 10 parameters, 10 frozen"
    assert list(net.state_dict()) == ["layers.0.W"]


def test_what_was_never_a_parameter_is_a_constant_and_not_saved() -> None:
    net = nn.Sequential()
    net.kept = mg.tensor([1.0])  # type: ignore[attr-defined]
    w = nn.parameter([1.0])
    with mg.no_grad():
        net.result = w * 2  # type: ignore[attr-defined]
    net.state = nn.detach(w * 2)  # type: ignore[attr-defined]
    assert net.state_dict() == {}


def test_a_result_that_loses_its_record_is_not_frozen() -> None:
    y = nn.parameter([1.0]) * 2
    y.requires_grad = False
    assert y.role is None


@copies
def test_copies_keep_what_is_frozen_and_what_is_a_buffer(copied: Any) -> None:
    net = copied(nn.Sequential(Normed(3), half_frozen()))
    assert list(net.state_dict()) == [f"layers.0.{name}" for name in SAVED] + [
        f"layers.1.layers.{k}.{name}" for k in (0, 1) for name in "Wb"
    ]
    assert repr(net).splitlines()[0] == "Sequential()  # 42 parameters, 16 frozen"


def test_a_frozen_function_module_still_reads_inputs_in_its_dtype() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            self.inside = nn.Linear(2, 3, rng=0)

        def forward(self, x: Any, h: Any) -> Any:
            h = mg.tanh(self.inside(x) + h)
            return h, h

    net = nn.Recurrent(Own()).freeze()
    ys, _ = net(np.ones((4, 2, 2)), (np.zeros((2, 3), np.float32),))
    assert ys.dtype == np.float32


# --- buffers ---------------------------------------------------------------------------------------------------------


def test_buffers_of_every_dtype_are_saved_and_are_no_parameters() -> None:
    net = Normed()
    assert list(net.state_dict()) == SAVED
    assert [name for name, _ in net.named_buffers()] == SAVED[2:]
    assert [name for name, _ in net.named_parameters(frozen=True)] == SAVED[:2]
    assert [b.dtype for _, b in net.named_buffers()] == [np.float32, np.int64, np.bool_, np.int16]


def test_what_replaces_a_buffer_is_a_buffer_whichever_operand_comes_first() -> None:
    net = Normed()
    net(np.ones((2, 3), np.float32))
    np.testing.assert_allclose(net.mean.data, 0.1)
    assert (net.count.item(), list(net.state_dict())) == (1, SAVED)
    net.mean = np.zeros(3, np.float32)  # type: ignore[assignment]
    net.mean = mg.tensor(np.ones(3, np.float32)) * 0.5 + net.mean
    assert list(net.state_dict()) == SAVED


@pytest.mark.parametrize(
    ("name", "value", "dtype"),
    [("count", 0, np.int64), ("count", 0.5, np.float64), ("mean", 0, np.float32), ("mean", np.float64(2), np.float64)],
)
def test_a_number_that_replaces_a_buffer_is_one_and_no_digit_is_lost(name: str, value: Any, dtype: Any) -> None:
    net = Normed(1)
    setattr(net, name, value)
    t = dict(net.named_buffers())[name]
    assert (t.item(), t.dtype) == (value, dtype)


def test_a_buffer_takes_no_gradient() -> None:
    net = Normed()
    with pytest.raises(TypeError, match="a buffer takes no gradient"):
        net.mean.requires_grad = True
    with pytest.raises(TypeError, match=r"Normed: mean is a buffer.*detached"):
        net.mean = net.linear.W[:, 0]
    net(np.ones((2, 3), np.float32)).sum().backward()
    assert net.mean.grad is None


def test_a_loaded_buffer_must_have_the_dtype() -> None:
    net = Normed()
    with pytest.raises(ValueError, match=r"mismatched: count is \(\) float64, this model has \(\) int64"):
        net.load_state_dict(net.state_dict() | {"count": np.array(1.0)})


def test_a_float64_table_does_not_change_the_dtype_of_float32_inputs() -> None:
    class Tabled(nn.RNNCell):
        def __init__(self) -> None:
            self.table = nn.buffer(np.ones(3))
            super().__init__(2, 3, rng=0)

    assert nn.Recurrent(Tabled())(np.ones((2, 2, 2)))[0].dtype == np.float32


def test_a_compiled_function_reads_a_buffer_as_it_is_at_each_call() -> None:
    net = nn.Linear(2, 2, rng=0)
    net.shift = nn.buffer(np.zeros(2, np.float32))  # type: ignore[attr-defined]
    f, x = mg.compile(lambda x: net(x) + net.shift), np.ones((1, 2), np.float32)  # type: ignore[attr-defined]
    before = f(x).data
    net.shift.data = np.full(2, 3)  # type: ignore[attr-defined]
    np.testing.assert_allclose(f(x).data, before + 3)
    net.freeze()
    assert not f(x).requires_grad


# --- roles -----------------------------------------------------------------------------------------------------------


def test_a_role_is_of_a_leaf_without_gradient_and_one_of_three() -> None:
    t = mg.tensor([1.0])
    with pytest.raises(ValueError, match="role: None"):
        t.role = "parameter"
    t.requires_grad = True
    with pytest.raises(ValueError, match="requires_grad=False"):
        t.role = "buffer"
    assert t.role is None


# --- optimisers ------------------------------------------------------------------------------------------------------


def test_an_optimiser_leaves_frozen_weights_alone_and_goes_on_once_they_are_free() -> None:
    net = half_frozen()
    optimizer = nn.Adam(net.parameters(frozen=True), lr=0.1)
    before = net.state_dict()

    def step() -> None:
        optimizer.zero_grad()
        net(np.ones((2, 3), np.float32)).sum().backward()
        nn.clip_grad_norm(optimizer.params, 1.0)
        optimizer.step()

    step()
    assert [np.array_equal(a, b) for a, b in zip(before.values(), net.state_dict().values())] == [
        True,
        True,
        False,
        False,
    ]
    net.freeze(False)
    step()
    assert not any(np.array_equal(a, b) for a, b in zip(before.values(), net.state_dict().values()))
    other = nn.Adam(half_frozen().parameters(frozen=True), lr=0.1)
    other.load_state_dict(optimizer.state_dict())
    assert other.state_dict()["updates"].tolist() == [1, 1, 2, 2]


def test_adamw_decays_by_default_and_adam_does_not() -> None:
    for kind, expected in [(nn.AdamW, 1 - 0.1 * 0.01), (nn.Adam, 1.0)]:
        w = nn.parameter(np.ones(2))
        w.grad = np.zeros(2)
        kind([w], lr=0.1).step()
        np.testing.assert_allclose(w.data, expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (lambda: nn.Linear(2, 2), r"the module Linear; pass its weights: `module\.parameters\(\)`"),
        (lambda: nn.parameter([1.0]), r"one tensor; put it into a list"),
        (lambda: nn.Linear(2, 2).named_parameters(), r"`module\.parameters\(\)`, got a tuple"),
        (lambda: [mg.tensor([1.0])], "requires_grad=True, or frozen"),
        (lambda: [nn.buffer([1.0])], "requires_grad=True, or frozen"),
    ],
    ids=["module", "tensor", "pairs", "constant", "buffer"],
)
def test_what_is_no_list_of_parameters_is_refused_with_what_to_write(params: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        nn.Adam(params())
    with pytest.raises(TypeError, match=message):
        nn.clip_grad_norm(params(), 1.0)


@pytest.mark.parametrize("owner", [nn.Linear(2, 2), nn.Adam([nn.parameter([1.0])])], ids=["module", "optimiser"])
def test_the_pair_that_load_returns_is_refused_with_what_to_write(owner: Any) -> None:
    with pytest.raises(
        TypeError, match=r"got a tuple; nn\.load returns a pair: `weights, metadata = nn\.load\(path\)`"
    ):
        owner.load_state_dict(({}, {}))
    with pytest.raises(TypeError, match="arrays by name, got a list"):
        owner.load_state_dict([np.ones(2)])
