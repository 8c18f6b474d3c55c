"""The walk: every tensor once, any depth, and clear refusals."""

from __future__ import annotations

import contextlib
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import Tensor, primitive
from minigrad.pullback import pull


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


def counted(calls: list[int]) -> mg.Primitive:
    """x + y, which notes every call of a rule."""
    return primitive(
        lambda x, y: x + y,
        lambda g, z, x, y: calls.append(0) or g,
        lambda g, z, x, y: calls.append(1) or g,
        name="counted",
    )


# --- each tensor once ------------------------------------------------------------------------------------------------


def test_same_tensor_twice_gets_both_contributions() -> None:
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad == 6.0


@pytest.mark.parametrize("recorded", [False, True], ids=["arrays", "recorded"])
def test_thirty_doublings_visit_each_tensor_once(recorded: bool) -> None:
    calls: list[int] = []
    add = counted(calls)

    def doubled(x: Any) -> Any:
        for _ in range(30):
            x = add(x, x)
        return x

    x = leaf(1.0)
    if recorded:
        assert mg.grad(doubled)(x).item() == 2.0**30
    else:
        doubled(x).backward()
        assert x.grad == 2.0**30
    assert len(calls) == 60


def test_a_tensor_passes_its_cotangent_on_only_when_all_of_it_has_arrived() -> None:
    calls: list[int] = []
    x = leaf(1.0)
    y = counted(calls)(x, 0.0)
    near = y * 2.0
    far = mg.tanh(mg.exp(mg.sin(y * 3.0)))
    (far + near * near).backward()
    assert calls == [0]
    slope = mg.grad(lambda y: mg.tanh(mg.exp(mg.sin(y * 3.0))) + (y * 2.0) ** 2)(1.0)
    np.testing.assert_allclose(x.grad, slope.data, rtol=1e-14)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.sampled_from(["+", "*"])), min_size=1, max_size=12)
)
def test_any_graph_has_the_gradient_of_forward_mode_by_hand(steps: Any) -> None:
    # dual numbers (value, slope) run through the same random graph
    x = leaf(0.7)
    tensors, duals = [x], [(0.7, 1.0)]
    for i, j, op in steps:
        (a, da), (b, db) = duals[i % len(duals)], duals[j % len(duals)]
        s, t = tensors[i % len(tensors)], tensors[j % len(tensors)]
        tensors.append(s + t if op == "+" else mg.tanh(s * t))
        value = a + b if op == "+" else np.tanh(a * b)
        duals.append((value, da + db if op == "+" else (1 - value**2) * (da * b + a * db)))
    tensors[-1].backward()
    np.testing.assert_allclose(x.grad, duals[-1][1], rtol=1e-10)


# --- depth -----------------------------------------------------------------------------------------------------------


def test_chain_of_100_000_steps_walks_and_frees() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert x.grad == 1.0
    first = weakref.ref(y)
    del y  # frees the whole record: a recursion here would overflow the stack
    assert first() is None
    assert sys.getrecursionlimit() <= 10_000


def test_recorded_walk_of_a_long_chain_has_second_derivatives() -> None:
    def f(x: Any) -> Any:
        y = x
        for _ in range(5_000):
            y = y * 1.0001
        return y * y

    a = 1.0001**5_000
    np.testing.assert_allclose(mg.hessian(f)(1.0).data, 2 * a * a, rtol=1e-9)


# --- repeated and partial passes -------------------------------------------------------------------------------------


def test_backward_twice_adds_the_same_gradient_again() -> None:
    x = leaf(2.0)
    y = x**3
    y.backward()
    y.backward()
    assert x.grad == 24.0
    x.grad = None
    y.backward()
    assert x.grad == 12.0


def test_gradients_of_two_outputs_over_a_common_part_add_up() -> None:
    x = leaf(2.0)
    common = x * x
    (common * 3.0).backward()
    (common * 5.0).backward()
    assert x.grad == 32.0


def test_only_leaves_that_require_gradients_get_one() -> None:
    x, constant = leaf(2.0), mg.tensor(3.0)
    y = x * constant
    y.backward()
    assert (x.grad, constant.grad, y.grad) == (3.0, None, None)


def test_retained_gradients_of_intermediate_results_are_right() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3.0
    z = y * y
    for t in (y, z):
        t.retain_grad()
    z.sum().backward()
    np.testing.assert_array_equal(z.grad, [1, 1])
    np.testing.assert_array_equal(y.grad, [6, 12])
    np.testing.assert_array_equal(x.grad, [18, 36])
    assert not np.shares_memory(y.grad, x.grad)


def test_gradients_that_a_rule_returned_as_views_of_its_cotangent_share_no_memory() -> None:
    class Other(np.ndarray):
        pass

    def handed_on(g: Any, z: Any, x: Any, y: Any) -> Any:
        return g.view(Other)

    both = mg.primitive(lambda x, y: x + y, handed_on, handed_on, name="both")
    x, y = (mg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    g = np.ones(2)
    both(x, y).backward(g)
    assert type(x.grad) is type(y.grad) is np.ndarray
    assert not np.shares_memory(x.grad, y.grad)
    assert not np.shares_memory(x.grad, g)


def test_a_retained_part_gets_the_same_gradient_as_its_place_in_the_whole() -> None:
    x = leaf([1.0, 2.0, 3.0])
    part = x[1:]
    part.retain_grad()
    (part * part + part).sum().backward()
    np.testing.assert_array_equal(part.grad, [5, 7])
    np.testing.assert_array_equal(x.grad, [0, 5, 7])
    assert not np.shares_memory(part.grad, x.grad)


@pytest.mark.parametrize("with_whole", [False, True])
def test_a_part_that_a_walk_ends_at_gets_its_gradient(with_whole: bool) -> None:
    x = leaf([1.0, 2.0, 3.0])
    part = x[1:]
    y = (part * part + part).sum()
    with mg.no_grad():  # so that the walk has arrays
        found = pull([y], [np.ones(())], [part, x] if with_whole else [part])
    np.testing.assert_array_equal(found[0], [5, 7])


def test_a_part_whose_index_is_given_by_name_has_a_gradient() -> None:
    x = leaf([1.0, 2.0, 3.0])
    (mg.getitem(x, index=slice(1, None)) ** 2).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 4, 6])


def test_retain_grad_of_a_constant_is_refused() -> None:
    with pytest.raises(RuntimeError, match="retain_grad"):
        mg.tensor(1.0).retain_grad()


def test_a_walk_that_fails_leaves_every_gradient_as_it_was() -> None:
    broken = primitive(np.sin, lambda g, y, x: g[:1], name="broken")
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (w * 1.0).sum().backward()
    y = (broken(x) * w).sum()
    with pytest.raises(ValueError, match="broken"):
        y.backward()
    assert x.grad is None
    np.testing.assert_array_equal(w.grad, [1, 1])


# --- cotangents ------------------------------------------------------------------------------------------------------


def test_an_output_of_several_entries_needs_a_cotangent() -> None:
    y = leaf([1.0, 2.0]) * 2.0
    with pytest.raises(ValueError, match=r"shape \(2,\) needs a cotangent .*\.sum\(\)"):
        y.backward()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_an_output_of_one_entry_needs_none(shape: Any) -> None:
    x = leaf(np.full(shape, 2.0))
    (x * x).backward()
    np.testing.assert_array_equal(x.grad, np.full(shape, 4.0))


def test_an_output_of_no_entries_needs_a_cotangent() -> None:
    with pytest.raises(ValueError, match=r"\(0,\)"):
        (leaf(np.ones(0)) * 2.0).backward()


@pytest.mark.parametrize("g", [1.0, [1.0], [[1.0, 1.0]], [1.0, 1.0, 1.0]])
def test_a_cotangent_of_another_shape_is_refused(g: Any) -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"cotangent g has shape .* the output \(2,\)"):
        (x * 2.0).backward(g)
    assert x.grad is None


@pytest.mark.parametrize("g", [[1, 2], np.array([1, 2]), mg.tensor([1.0, 2.0]), np.array([1.0, 2.0], np.float32)])
def test_a_cotangent_may_be_a_list_an_array_or_a_tensor(g: Any) -> None:
    x = leaf([1.0, 1.0])
    (x * 3.0).backward(g)
    np.testing.assert_array_equal(x.grad, [3, 6])
    assert x.grad.dtype == np.float64


def test_backward_of_a_constant_says_that_nothing_requires_a_gradient() -> None:
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        (mg.tensor(1.0) * 2.0).backward()


def test_backward_of_a_leaf_gives_it_a_gradient_of_one() -> None:
    x = leaf(5.0)
    x.backward()
    assert x.grad == 1.0


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_gradient_of_an_empty_tensor_is_empty(shape: Any) -> None:
    x = leaf(np.zeros(shape))
    mg.sum(mg.tanh(x) * 2.0).backward()
    assert x.grad.shape == shape


# --- data that change ------------------------------------------------------------------------------------------------


def assign(t: Tensor) -> None:
    t.data = t.data + 1.0


def write(t: Tensor) -> None:
    t.writable()[...] = 7.0


CHANGES = pytest.mark.parametrize("change", [assign, write])
PLACES = {
    "operand": lambda w, x: w * x,
    "view": lambda w, x: w.reshape(1, 2) * x,
    "part": lambda w, x: w[:2] * x,
    "deep": lambda w, x: mg.tanh(mg.exp(w) * x),
    "shape only": lambda w, x: w + x,
}


@CHANGES
@pytest.mark.parametrize("f", PLACES.values(), ids=PLACES)
def test_changing_data_between_forward_and_backward_raises(change: Any, f: Any) -> None:
    w, x = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = mg.sum(f(w, x))
    change(w)
    with pytest.raises(RuntimeError, match=r"data of input \d, shape \(2,\), changed .*forward"):
        y.backward()
    assert w.grad is None


@pytest.mark.parametrize("f", PLACES.values(), ids=PLACES)
def test_changing_a_constants_data_between_forward_and_backward_raises_or_changes_nothing(f: Any) -> None:
    w, x, untouched = mg.tensor([1.0, 2.0]), leaf([3.0, 4.0]), leaf([3.0, 4.0])
    mg.sum(f(w, untouched)).backward()
    y = mg.sum(f(w, x))
    assign(w)
    with contextlib.suppress(RuntimeError):
        y.backward()
    assert x.grad is None or np.array_equal(x.grad, untouched.grad)


@CHANGES
def test_changing_data_before_the_pullback_of_vjp_raises(change: Any) -> None:
    w = leaf([1.0, 2.0])
    _, pullback = mg.vjp(lambda x: x * w, np.ones(2))
    change(w)
    with pytest.raises(RuntimeError, match="changed"):
        pullback(np.ones(2))


@CHANGES
def test_changing_data_and_running_forward_again_gives_the_new_gradient(change: Any) -> None:
    w = leaf([1.0, 2.0])
    mg.sum(w * w).backward()
    change(w)
    w.grad = None
    mg.sum(w * w).backward()
    np.testing.assert_array_equal(w.grad, 2 * w.data)


@CHANGES
def test_changing_data_that_no_live_record_uses_disturbs_nothing(change: Any) -> None:
    w, other = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = mg.sum(w * w)
    change(other)
    y.backward()
    np.testing.assert_array_equal(w.grad, [2, 4])
