"""Module: how parameters are found, named, counted, switched, copied and loaded."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import arrays_of, randomised

import minigrad as mg
import nn


class Bag(nn.Module):
    """A module with any attributes."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Any) -> Any:
        return x


def names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def leaf(*shape: int) -> mg.Tensor:
    return nn.parameter(np.arange(float(np.prod(shape))).reshape(shape))


# --- finding parameters ----------------------------------------------------------------------------------------------


def test_parameters_are_found_in_attributes_lists_tuples_dicts_and_modules_with_their_paths() -> None:
    inner = Bag(w=leaf(1))
    module = Bag(a=leaf(2), b=[leaf(3), (leaf(4), inner)], c={"x": leaf(5), 7: [leaf(6)]}, d=Bag(e=Bag(f=leaf(7))))
    found = dict(module.named_parameters())
    assert list(found) == ["a", "b.0", "b.1.0", "b.1.1.w", "c.x", "c.7.0", "d.e.f"]
    assert [p.size for p in found.values()] == [2, 3, 4, 1, 5, 6, 7]
    assert [id(p) for p in module.parameters()] == [id(p) for p in found.values()]


def test_only_leaves_that_require_gradients_are_parameters() -> None:
    w = leaf(2)
    module = Bag(w=w, constant=mg.tensor([1.0]), result=w * 2, array=np.ones(2), number=3, text="w", function=mg.tanh)
    assert names(module) == ["w"]


def test_tied_parameters_count_once_under_the_first_name() -> None:
    w = leaf(2)
    module = Bag(a=w, b=[w, w], c=Bag(w=w), d=leaf(1))
    assert names(module) == ["a", "d"]


def test_a_shared_part_counts_once() -> None:
    part = nn.Linear(2, 3)
    assert names(Bag(a=part, b=part)) == ["a.W", "a.b"]
    assert len(list(Bag(a=part, b=[part]).modules())) == 2


def test_equal_parameters_that_are_not_the_same_both_count() -> None:
    assert names(Bag(a=nn.parameter([1.0]), b=nn.parameter([1.0]))) == ["a", "b"]


def test_parts_that_refer_to_each_other_are_walked_once() -> None:
    a, b = nn.Linear(1, 1), nn.Linear(1, 1)
    a.part, b.parent = b, a  # type: ignore[attr-defined]
    assert names(a) == ["W", "b", "part.W", "part.b"]
    assert len(list(a.modules())) == 2
    assert repr(a).splitlines()[0] == "Linear(1, 1)  # 4 parameters"


def test_two_parameters_of_one_path_raise_and_name_it() -> None:
    module = Bag(d={"a.b": leaf(1), "a": {"b": leaf(2)}})
    with pytest.raises(ValueError, match=r"two parameters have the path 'd\.a\.b'"):
        module.state_dict()


def test_a_parameter_set_later_is_found_and_one_replaced_is_forgotten() -> None:
    module = Bag(a=leaf(1))
    module.b = leaf(2)  # type: ignore[attr-defined]
    module.a = None  # type: ignore[attr-defined]
    assert names(module) == ["b"]


def test_modules_are_this_one_and_all_inside_each_once() -> None:
    inner = Bag()
    module = Bag(a=inner, b=[Bag(c=inner)], d={"e": Bag()})
    assert len(list(module.modules())) == 4
    assert next(module.modules()) is module


def test_a_module_may_have_attributes_of_its_own_by_any_name_but_those_of_its_methods() -> None:
    module = Bag(dtype=np.float64, shape=(1, 2), name="x", size=3, grad=None, device="cpu", weight=leaf(1))
    assert names(module) == ["weight"]


# --- switches --------------------------------------------------------------------------------------------------------


def test_train_and_eval_reach_every_part_and_return_the_module() -> None:
    module = Bag(a=nn.Dropout(0.5), b=[Bag(c=nn.Dropout(0.5))], d={"e": nn.RNN(1, 2, 2, dropout=0.5)})
    assert all(m.training for m in module.modules())
    assert module.eval() is module
    assert not any(m.training for m in module.modules())
    assert module.train() is module
    assert all(m.training for m in module.modules())
    assert not module.train(False).training


def test_a_switched_module_leaves_others_alone() -> None:
    a, b = nn.Dropout(0.5), nn.Dropout(0.5)
    a.eval()
    assert b.training
    assert nn.Module.training


def test_zero_grad_forgets_every_parameters_gradient() -> None:
    module = nn.LSTM(2, 3, 2, rng=0)
    module(np.ones((3, 2, 2)))[0].sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    module.zero_grad()
    assert all(p.grad is None for p in module.parameters())


def test_calling_a_module_calls_forward_with_all_arguments() -> None:
    class Echo(nn.Module):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    assert Echo()(1, 2, key=3) == ((1, 2), {"key": 3})


def test_a_module_without_forward_says_so_by_name() -> None:
    class Lazy(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Lazy does not define forward\(\)"):
        Lazy()(1)


# --- display ---------------------------------------------------------------------------------------------------------


def test_repr_shows_options_parts_and_parameter_counts() -> None:
    module = nn.Sequential(nn.Linear(2, 3), mg.tanh, nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 400, bias=False)))
    assert repr(module).splitlines() == [
        "Sequential()  # 1,209 parameters",
        "  layers.0: Linear(2, 3)  # 9 parameters",
        "  layers.2: Sequential()  # 1,200 parameters",
        "    layers.0: Dropout(p=0.5)  # 0 parameters",
        "    layers.1: Linear(3, 400, bias=False)  # 1,200 parameters",
    ]


@pytest.mark.parametrize(
    ("module", "head", "count"),
    [
        (nn.RNNCell(2, 3), "RNNCell(2, 3)", 18),
        (nn.ElmanCell(2, 3, 4), "ElmanCell(2, 3, 4)", 34),
        (nn.LSTMCell(2, 3), "LSTMCell(2, 3)", 72),
        (nn.LSTMCell(2, 3, bias=False), "LSTMCell(2, 3, bias=False)", 60),
        (nn.GRUCell(2, 3), "GRUCell(2, 3)", 54),
        (nn.GRUCell(2, 3, bias=False), "GRUCell(2, 3, bias=False)", 45),
        (nn.Embedding(5, 2), "Embedding(5, 2)", 10),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_repr_of_a_part_names_its_sizes_and_counts_its_parameters(module: Any, head: str, count: int) -> None:
    assert repr(module) == f"{head}  # {count} parameters"


def test_repr_counts_a_tied_parameter_once() -> None:
    w = leaf(2, 3)
    assert repr(Bag(a=w, b=w)) == "Bag()  # 6 parameters"


# --- state -----------------------------------------------------------------------------------------------------------


def test_state_dict_holds_copies_by_name() -> None:
    module = nn.Linear(2, 3, rng=0)
    state = module.state_dict()
    assert list(state) == ["W", "b"]
    before = module.W.data.copy()
    state["W"][:] = 9
    np.testing.assert_array_equal(module.W.data, before)
    module.W.writable()[:] = 5
    assert (state["W"] == 9).all()


MAKERS = [lambda: nn.Linear(2, 3), lambda: nn.LSTM(2, 3, 2), lambda: nn.GRU(2, 3, bias=False, dtype=np.float64)]


@pytest.mark.parametrize("make", MAKERS, ids=["Linear", "LSTM", "GRU"])
@given(seed=st.integers(0, 99))
def test_a_loaded_state_makes_another_module_the_same(make: Any, seed: int) -> None:
    a, b = randomised(make(), seed), make()
    state = a.state_dict()
    b.load_state_dict(state)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
        assert p.dtype == q.dtype
        assert not np.shares_memory(p.data, q.data)
    state[next(iter(state))][:] = np.nan
    assert not any(np.isnan(p.data).any() for p in b.parameters())


def test_a_state_of_tensors_loads_too() -> None:
    a, b = nn.Linear(2, 3, rng=0), nn.Linear(2, 3, rng=1)
    b.load_state_dict(dict(a.named_parameters()))
    np.testing.assert_array_equal(a.W.data, b.W.data)


def test_every_missing_unexpected_and_mismatched_entry_is_listed_at_once_and_nothing_is_changed() -> None:
    module = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Linear(3, 2, rng=1), nn.Linear(2, 2, rng=2))
    before = module.state_dict()
    state = {name: a + 1 for name, a in before.items()}
    del state["layers.0.b"]
    del state["layers.2.W"]
    state["layers.1.W"] = np.zeros((2, 3), np.float32)
    state["layers.1.b"] = np.zeros(2, np.float64)
    state["extra"] = np.zeros(4, np.int8)
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        module.load_state_dict(state)
    assert set(str(caught.value).splitlines()[1:]) == {
        "  missing: layers.0.b (3,) float32",
        "  missing: layers.2.W (2, 2) float32",
        "  mismatched: layers.1.W is (2, 3) float32, this model has (3, 2) float32",
        "  mismatched: layers.1.b is (2,) float64, this model has (2,) float32",
        "  unexpected: extra (4,) int8",
    }
    for name, a in module.state_dict().items():
        np.testing.assert_array_equal(a, before[name])


@pytest.mark.parametrize("value", [np.zeros((1, 3)), np.zeros(()), np.zeros((3, 1)), np.zeros(3, complex)], ids=str)
def test_no_value_is_broadcast_or_cast_into_a_parameter(value: np.ndarray) -> None:
    module = Bag(w=leaf(3))
    with pytest.raises(ValueError, match=r"mismatched: w is .*, this model has \(3,\) float64"):
        module.load_state_dict({"w": value})
    np.testing.assert_array_equal(module.w.data, [0, 1, 2])  # type: ignore[attr-defined]


def test_loading_between_forward_and_backward_makes_backward_raise() -> None:
    module = nn.Linear(2, 3, rng=0)
    y = mg.square(module(np.ones((1, 2)))).sum()
    module.load_state_dict(module.state_dict())
    with pytest.raises(RuntimeError, match="changed after this forward call"):
        y.backward()


def test_tied_parameters_stay_tied_through_a_state() -> None:
    def tied() -> Any:
        w = leaf(3)
        return Bag(a=w, b=w)

    a, b = tied(), tied()
    a.a.data = np.full(3, 7.0)
    b.load_state_dict(a.state_dict())
    assert b.a is b.b
    np.testing.assert_array_equal(b.b.data, [7, 7, 7])


# --- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_a_copy_of_a_module_is_equal_and_independent(copied: Any) -> None:
    a = nn.LSTM(2, 3, 2, dropout=0.5, rng=0)
    b, xs = copied(a), np.ones((4, 2, 2), np.float32)
    np.testing.assert_array_equal(a(xs)[0].data, b(xs)[0].data)  # the dropout's generator was copied too
    b(xs)[0].sum().backward()
    assert all(p.grad is None for p in a.parameters())
    before = arrays_of(a)[0].copy()
    for p in b.parameters():
        p.writable()[:] = 0
    np.testing.assert_array_equal(arrays_of(a)[0], before)
    b.eval()
    assert a.training


def test_a_deep_copy_keeps_ties_and_forgets_gradients() -> None:
    w = leaf(3)
    w.grad = np.ones(3)
    b = copy.deepcopy(Bag(a=w, b=[w]))
    assert b.a is b.b[0]  # type: ignore[attr-defined]
    assert b.a is not w  # type: ignore[attr-defined]
    assert b.a.requires_grad  # type: ignore[attr-defined]
    assert b.a.grad is None  # type: ignore[attr-defined]
