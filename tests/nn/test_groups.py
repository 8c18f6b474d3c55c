"""Groups of parameters: options of their own, rates that a schedule scales, states that move with their parameters."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_optim import KINDS, MOMENTUM, each_kind, set_grad

import minigrad as mg
import nn


def pair(dtype: Any = np.float64) -> tuple[mg.Tensor, mg.Tensor]:
    return nn.parameter(np.array([1.0, -2.0], dtype)), nn.parameter(np.array([3.0, 0.5, 2.0], dtype))


def steps(optimizer: Any, params: Any, seeds: range) -> None:
    for seed in seeds:
        for k, p in enumerate(params):
            set_grad(p, np.random.default_rng((seed, k)).standard_normal(p.shape))
        optimizer.step()


@each_kind
@given(
    lrs=st.tuples(st.floats(0, 1), st.floats(0, 1)), decays=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    maximize=st.tuples(st.booleans(), st.booleans()),
)  # fmt: skip
def test_each_group_is_updated_as_an_optimiser_of_its_own(kind: Any, lrs: Any, decays: Any, maximize: Any) -> None:
    together, alone = pair(), pair()
    options = [dict(zip(("lr", "weight_decay", "maximize"), values)) for values in zip(lrs, decays, maximize)]
    optimizers = [kind([p], **o, **MOMENTUM.get(kind, {})) for p, o in zip(alone, options)]
    groups = [{"params": [p], **o} for p, o in zip(together, options)]
    one = kind(groups, lr=7.0, **MOMENTUM.get(kind, {}))
    for seed in range(3):
        steps(one, together, range(seed, seed + 1))
        for k, optimizer in enumerate(optimizers):
            set_grad(alone[k], together[k].grad)
            optimizer.step()
    for p, q in zip(together, alone):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(nn.SGD, {"momentum": 0.9, "nesterov": True}), (nn.SGD, {"momentum": 0.5, "dampening": 0.5}),
     (nn.RMSprop, {"centered": True, "decay": 0.5, "eps": 0.1}), (nn.RMSprop, {"momentum": 0.5}),
     (nn.Adam, {"amsgrad": True, "betas": (0.5, 0.6)}), (nn.AdamW, {"weight_decay": 0.5})],
    ids=str,
)  # fmt: skip
def test_every_option_can_be_one_groups_own(kind: Any, options: Any) -> None:
    (a, b), (c, d) = pair(), pair()
    one = kind([{"params": [a]}, {"params": [b], **options}], lr=0.1)
    plain, other = kind([c], lr=0.1), kind([d], lr=0.1, **options)
    for seed in range(4):
        steps(one, (a, b), range(seed, seed + 1))
        for p, q, optimizer in ((a, c, plain), (b, d, other)):
            set_grad(q, p.grad)
            optimizer.step()
    np.testing.assert_array_equal(a.data, c.data)
    np.testing.assert_array_equal(b.data, d.data)


# --- reading and setting ---------------------------------------------------------------------------------------------


def test_a_group_has_the_optimisers_options_until_it_has_its_own() -> None:
    a, b = pair()
    optimizer = nn.Adam([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1, eps=0.2)
    first, second = optimizer.groups
    assert (first.lr, second.lr, second.eps, second.own) == (0.1, 0.5, 0.2, {"lr": 0.5})
    optimizer.lr = 0.3
    assert (first.lr, second.lr) == (0.3, 0.5)
    first.lr, second.betas = 0.4, (0.5, 0.5)
    assert (optimizer.lr, first.rate, second.betas, optimizer.betas) == (0.3, 0.4, (0.5, 0.5), (0.9, 0.999))
    assert first.params == (a,)
    assert optimizer.params == [a, b]
    assert repr(second) == "Group(1 parameters, lr=0.5, betas=(0.5, 0.5))"


def test_a_plain_list_of_parameters_is_one_group() -> None:
    a, b = pair()
    (group,) = nn.SGD([a, b], 0.1).groups
    assert (group.params, group.own, group.rate) == ((a, b), {}, 0.1)


@pytest.mark.parametrize("of_group", [True, False])
def test_an_option_that_is_set_later_counts_from_the_next_step(of_group: bool) -> None:
    p = nn.parameter(np.zeros(1))
    optimizer = nn.SGD([p], lr=1.0)
    place: Any = optimizer.groups[0] if of_group else optimizer
    seen = []
    for options in ({}, {"lr": 0.5}, {"momentum": 0.5}, {}):
        for name, value in options.items():
            setattr(place, name, value)
        set_grad(p, [1.0])
        optimizer.step()
        seen.append(-p.data[0])
    assert seen == [1.0, 1.5, 2.0, 2.75]  # 1, 0.5, 0.5 · 1, 0.5 · (0.5 · 1 + 1)


@pytest.mark.parametrize("of_group", [True, False])
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("lr", -1.0, ValueError), ("lr", "0.1", TypeError), ("momentum", 1.5, ValueError), ("nesterov", 1, TypeError),
     ("nesterov", True, ValueError), ("weight_decay", None, TypeError), ("lr", mg.tensor(0.1), TypeError)],
    ids=str,
)  # fmt: skip
def test_an_option_that_is_set_to_what_it_cannot_be_raises_and_stays(
    of_group: bool, name: str, value: Any, error: Any
) -> None:
    optimizer = nn.SGD([nn.parameter(np.zeros(1))], lr=0.1)
    place: Any = optimizer.groups[0] if of_group else optimizer
    before = getattr(place, name)
    with pytest.raises(error, match=r"must|needs"):
        setattr(place, name, value)
    assert getattr(place, name) == before


@pytest.mark.parametrize("name", ["learning_rate", "betas", "params"])
def test_what_is_no_option_of_a_group_cannot_be_set(name: str) -> None:
    group = nn.SGD([nn.parameter(np.zeros(1))], lr=0.1).groups[0]
    with pytest.raises(AttributeError, match=r"there are lr, weight_decay, maximize, momentum|optimizer\.groups ="):
        setattr(group, name, 1.0)


# --- what is refused -------------------------------------------------------------------------------------------------

W = nn.parameter(np.ones(2))
REFUSED: list[tuple[Any, Any, str]] = [
    ([{"params": []}], ValueError, "group 0 is empty"),
    ([{"params": [W]}, {"params": iter(())}], ValueError, "group 1 is empty"),
    ([{"params": [W]}, {"params": [W]}], ValueError, r"of shape \(2,\) is in group 0 and in group 1"),
    ([{"params": [W], "momentun": 0.9}], TypeError, "no option 'momentun'; there are lr, weight_decay, maximize, mom"),
    ([{"params": [W], "betas": (0.9, 0.9)}], TypeError, "SGD has no option 'betas'"),
    ([{"params": [W], "lr": -0.1}], ValueError, r"group 0: lr must lie within \[0, inf\), got -0.1"),
    ([{"params": [W], "lr": "0.1"}], TypeError, "group 0: lr must be a number, got '0.1'"),
    ([{"params": [W], "lr": np.ones(2)}], TypeError, "group 0: lr must be a number"),
    ([{"params": [W], "momentum": 1.0}], ValueError, "group 0: momentum must"),
    ([{"params": [W], "nesterov": True}], ValueError, "nesterov=True needs a momentum"),
    ([{"params": [W], "maximize": "yes"}], TypeError, "maximize must be True or False"),
    ([{"lr": 0.1}], ValueError, "group 0 has no 'params', only 'lr'"),
    ([{}], ValueError, "group 0 has no 'params', only nothing"),
    ([{"params": [W]}, nn.parameter([1.0])], TypeError, "entry 1 is a Tensor among groups"),
    ({"params": [W]}, TypeError, "a group stands in a list"),
    ([{"params": W}], TypeError, "got one tensor"),
    ([{"params": nn.Linear(2, 2)}], TypeError, r"the module Linear; pass its weights"),
    ([{"params": [np.ones(2)]}], TypeError, "must be leaf tensors with requires_grad=True"),
]


@pytest.mark.parametrize(("groups", "error", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_groups_that_cannot_be_are_refused(groups: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        nn.SGD(groups, lr=0.1)
    optimizer = nn.SGD([W], lr=0.1)
    with pytest.raises(error, match=message):
        optimizer.groups = groups
    assert [group.params for group in optimizer.groups] == [(W,)]


def test_betas_of_a_group_are_a_pair() -> None:
    for bad in (0.9, (0.9,), (0.9, 0.9, 0.9)):
        with pytest.raises(TypeError, match="group 0: betas must be a pair of numbers"):
            nn.Adam([{"params": [W], "betas": bad}])


# --- schedules -------------------------------------------------------------------------------------------------------


def test_a_schedule_scales_the_rate_of_a_group_that_has_a_number_of_its_own() -> None:
    a, b = pair()
    optimizer = nn.SGD([{"params": [a]}, {"params": [b], "lr": 0.1}], nn.step_decay(1.0, every=1, factor=0.5))
    rates = []
    for _ in range(3):
        rates.append([group.rate for group in optimizer.groups])
        optimizer.step()
    assert rates == [[1.0, 0.1], [0.5, 0.05], [0.25, 0.025]]


def test_a_group_may_have_a_schedule_of_its_own() -> None:
    a, b = pair()
    optimizer = nn.SGD(
        [{"params": [a]}, {"params": [b], "lr": lambda n: 1 / (n + 1)}], lr=nn.exponential_decay(1.0, 0.5)
    )
    optimizer.step()
    optimizer.step()
    assert [group.rate for group in optimizer.groups] == [0.25, 1 / 3]


def test_a_number_of_a_groups_own_beside_a_bare_function_is_refused_since_it_cannot_be_scaled() -> None:
    a, b = pair()
    groups = [{"params": [a]}, {"params": [b], "lr": 0.1}]
    with pytest.raises(ValueError, match=r"lr: a group has 0\.1 of its own.*nn\.lambda_decay"):
        nn.SGD(groups, lr=lambda n: 1 / (n + 1))
    optimizer = nn.SGD(groups, lr=1.0)
    with pytest.raises(ValueError, match=r"lr: a group has 0\.1 of its own"):
        optimizer.lr = lambda n: 1.0
    assert optimizer.lr == 1.0


@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf")])
def test_a_schedule_that_leaves_the_range_of_rates_raises_at_that_step_and_changes_nothing(rate: float) -> None:
    p = nn.parameter(np.ones(1))
    optimizer = nn.SGD([p], lambda n: 0.5 if n < 1 else rate)
    set_grad(p, [1.0])
    optimizer.step()
    with pytest.raises(ValueError, match=r"the schedule gives .* for step 1"):
        optimizer.step()
    assert (p.data.tolist(), optimizer.steps) == ([0.5], 1)


# --- states ----------------------------------------------------------------------------------------------------------


@each_kind
def test_a_state_moves_with_its_parameter_when_groups_change(kind: Any) -> None:
    (a, b), (c, d) = pair(np.float32), pair(np.float32)
    moved, still = (kind(ps, lr=0.1, **MOMENTUM.get(kind, {})) for ps in ([a, b], [c, d]))
    for optimizer, ps in ((moved, (a, b)), (still, (c, d))):
        steps(optimizer, ps, range(3))
    moved.groups = [{"params": [b]}, {"params": [a]}]
    for optimizer, ps in ((moved, (a, b)), (still, (c, d))):
        steps(optimizer, ps, range(3, 5))
    np.testing.assert_array_equal(a.data, c.data)
    np.testing.assert_array_equal(b.data, d.data)
    assert moved.steps == 5


def test_a_group_is_added_beside_those_that_are_there_and_starts_afresh() -> None:
    a, b = pair()
    optimizer = nn.Adam([{"params": [a], "lr": 0.2}], lr=0.1)
    steps(optimizer, [a], range(2))
    kept = optimizer.state_dict()
    optimizer.groups = [*optimizer.groups, {"params": [b], "eps": 0.5}]
    state = optimizer.state_dict()
    assert (optimizer.groups[0].own, optimizer.groups[1].own) == ({"lr": 0.2}, {"eps": 0.5})
    np.testing.assert_array_equal(state["m.0"], kept["m.0"])
    assert state["updates"].tolist() == [2, 0]
    assert not state["m.1"].any()


def test_what_is_left_out_of_all_groups_loses_its_state() -> None:
    a, b = pair()
    optimizer = nn.Adam([a, b])
    steps(optimizer, [a, b], range(2))
    optimizer.groups = [a]
    optimizer.groups = [a, b]
    assert optimizer.state_dict()["updates"].tolist() == [2, 0]
    assert not optimizer.state_dict()["v.1"].any()


COPIES = [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]


@pytest.mark.parametrize("copied", COPIES, ids=["deepcopy", "pickle"])
@each_kind
def test_a_copy_goes_on_bit_for_bit_like_the_original_and_on_its_own(kind: Any, copied: Any) -> None:
    a, b = pair()
    optimizer = kind([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1, **MOMENTUM.get(kind, {}))
    steps(optimizer, [a, b], range(2))
    other, before = copied(optimizer), (a.data.copy(), b.data.copy())
    steps(other, other.params, range(2, 4))
    for p, kept in zip((a, b), before):
        np.testing.assert_array_equal(p.data, kept)
    steps(optimizer, [a, b], range(2, 4))
    for p, q in zip((a, b), other.params):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_has_groups_of_its_own(copied: Any) -> None:
    a, b = pair()
    optimizer = nn.RMSprop([{"params": [a]}, {"params": [b], "centered": True}], lr=0.1)
    steps(optimizer, [a, b], range(2))
    other = copied(optimizer)
    other.groups[1].lr = 0.5
    assert (optimizer.groups[1].lr, other.groups[1].lr) == (0.1, 0.5)
    steps(other, other.params, range(2, 3))
    assert (optimizer.steps, other.steps) == (2, 3)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_optimiser_is_freed_at_once_with_its_memory(kind: Any) -> None:
    optimizer = kind([{"params": [nn.parameter(np.ones(2))], "lr": 0.5}], lr=0.1)
    _ = [group.rate for group in optimizer.groups]
    seen = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer
        assert seen() is None
    finally:
        gc.enable()


def test_a_variance_that_rounding_makes_negative_counts_as_0_in_centred_rmsprop() -> None:
    p = nn.parameter(np.zeros(3, np.float32))
    optimizer = nn.RMSprop([p], lr=1e-3, decay=0.5, centered=True, eps=1.0)
    for _ in range(60):  # s - m² of equal gradients is 0 up to rounding
        set_grad(p, [9.127556, 6.0663576, 2.997119])
        before = p.data.copy()
        optimizer.step()
    np.testing.assert_allclose(before - p.data, 1e-3 * p.grad, rtol=0.01)  # η g / (0 + ε)
