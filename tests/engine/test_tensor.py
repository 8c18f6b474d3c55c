"""Tensor: data and gradient, Python's protocols and methods."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import check_grad


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


X = np.array([[0.5, 1.5, 2.5], [0.25, 2.0, 1.0]])

# --- making one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [1, [1, 2], True, np.array([1], np.uint8)], ids=repr)
def test_integer_and_boolean_data_refuse_requires_grad_with_a_hint(data: Any) -> None:
    with pytest.raises(TypeError, match=r"floating-point data, got (int64|bool|uint8); write 1\.0 instead of 1"):
        mg.tensor(data, requires_grad=True)
    assert not mg.tensor(data).requires_grad


@pytest.mark.parametrize("data", [1j, "one", None, {"a": 1}], ids=repr)
def test_data_that_are_no_real_numbers_are_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="real numbers or booleans"):
        mg.tensor(data)


def test_a_list_of_tensors_is_refused_with_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"mg\.stack or mg\.concatenate"):
        mg.tensor([leaf(1.0), leaf(2.0)])


@pytest.mark.parametrize("make", [mg.tensor, Tensor])
def test_data_are_copied_in(make: Any) -> None:
    x = np.ones(3)
    t = make(x)
    x[0] = 9
    np.testing.assert_array_equal(t.data, [1, 1, 1])
    assert not np.shares_memory(make(t).data, t.data)


def test_dtype_is_numpys_or_the_one_asked_for() -> None:
    assert mg.tensor([1.0]).dtype == np.float64
    assert mg.tensor(np.ones(1, np.float32)).dtype == np.float32
    assert mg.tensor([1, 2], dtype=np.float16).dtype == np.float16
    assert mg.tensor([1, 2]).dtype == np.int64


def test_shape_dtype_ndim_size_and_len_are_those_of_the_array() -> None:
    t = leaf(X, np.float32)
    assert (t.shape, t.dtype, t.ndim, t.size, len(t)) == ((2, 3), np.float32, 2, 6, 2)


# --- data ------------------------------------------------------------------------------------------------------------


def test_data_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        leaf(X).data[0, 0] = 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_assigned_data_are_copied_and_keep_the_dtype(dtype: Any) -> None:
    t, new = leaf([1.0, 2.0], dtype), np.array([3.0, 4.0])
    t.data = new
    new[0] = 9
    np.testing.assert_array_equal(t.data, np.array([3, 4], dtype), strict=True)


def test_assigned_data_of_another_shape_are_refused() -> None:
    t = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"shape \(2,\), the new data \(3,\)"):
        t.data = np.ones(3)
    np.testing.assert_array_equal(t.data, [1, 2])


def test_constants_are_not_written_in_place_but_assigned() -> None:
    t = mg.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"t\.data = array"):
        t.writable()
    t.data = [3.0, 4.0]
    np.testing.assert_array_equal(t.data, [3, 4])


@pytest.mark.parametrize(
    "change", [lambda t: setattr(t, "data", t.data), lambda t: t.writable()], ids=["assign", "write"]
)
def test_data_of_a_computed_tensor_cannot_be_changed(change: Any) -> None:
    with pytest.raises(RuntimeError, match="result of multiply cannot be changed"):
        change(leaf(X) * 2.0)


def test_entries_cannot_be_assigned() -> None:
    with pytest.raises(TypeError, match=r"mg\.where"):
        leaf(X)[0] = 1.0


def test_in_place_operators_refuse_a_leaf_that_requires_a_gradient() -> None:
    w = leaf([1.0])
    with pytest.raises(TypeError, match=r"w\.data = w\.data - step"):
        w -= 0.1
    assert w.item() == 1.0


@pytest.mark.parametrize("data", [[7, -3, 5], [7.5, -3.0, 0.25]], ids=["integers", "floats"])
def test_remainder_and_floor_division_are_numpys_on_either_side(data: Any) -> None:
    a, t = np.array(data), mg.tensor(data)
    for function in (operator.mod, operator.floordiv):
        for found, expected in [(function(t, 2), function(a, 2)), (function(7, t), function(7, a))]:
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    assert np.remainder(t, 2).data.tolist() == (a % 2).tolist()
    with pytest.raises(TypeError, match="w - step"):
        leaf([1.0]).__imod__(2.0)


def test_in_place_operators_make_new_tensors_elsewhere() -> None:
    x = leaf([1.0, 2.0])
    total = old = x * 1.0
    total += x
    total *= 2.0
    total.sum().backward()
    np.testing.assert_array_equal(old.data, [1, 2])
    np.testing.assert_array_equal(x.grad, [4, 4])


def test_detach_is_a_constant_with_the_same_values_in_memory_of_its_own() -> None:
    x = leaf([1.0, 2.0])
    for t in (x, x * 2.0, x[::-1]):
        d = t.detach()
        np.testing.assert_array_equal(d.data, t.data)
        assert (d.requires_grad, d.primitive, d.node) == (False, None, None)
        assert not np.shares_memory(d.data, x.data)


LATER_LEAVES = {  # of x: a result, and a tensor whose array its record holds, or may
    "detached": lambda x, c: (y := mg.tanh(x), y.detach()),
    "a result": lambda x, c: ((y := mg.tanh(x)) * 1.0, y),
    "a factor": lambda x, c: (mg.tanh(x) * c, c),
    "a view of a factor": lambda x, c: (mg.tanh(x) * c[::-1], c),
}


@pytest.mark.parametrize("frozen", [False, True], ids=["constant", "frozen"])
@pytest.mark.parametrize("make", LATER_LEAVES.values(), ids=LATER_LEAVES)
def test_what_comes_to_require_a_gradient_is_changed_in_place_without_a_change_of_older_records(
    make: Any, frozen: bool
) -> None:
    grads = []
    for changed in (False, True):
        x, c = leaf(X), leaf(X + 1)
        c.requires_grad = False
        y, later = make(x, c if frozen else mg.tensor(X + 1))
        later.requires_grad = False
        later.requires_grad = True
        if changed:
            later.writable()[...] = 9.0
        mg.sum(y).backward()
        grads.append(x.grad)
    np.testing.assert_array_equal(*grads)


def test_a_leaf_that_was_frozen_for_a_while_gets_the_gradient_of_an_older_record() -> None:
    x, w = leaf(X), leaf(X + 1)
    y, z = mg.sum(x * w), mg.sum(w * w)
    w.requires_grad = False
    y.backward()
    w.requires_grad = True
    assert w.grad is None  # what came while it was frozen
    y.backward()
    np.testing.assert_array_equal(w.grad, X)
    w.requires_grad = False
    w.data = X + 2
    w.requires_grad = True
    with pytest.raises(RuntimeError, match=r"multiply: the data of input 0, shape \(2, 3\), changed after"):
        z.backward()


# --- Python's protocols ----------------------------------------------------------------------------------------------


def test_repr_shows_values_dtype_and_origin() -> None:
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(leaf(1.0)) == "tensor(1., requires_grad=True)"
    assert repr(leaf([1.0], np.float32) * 2) == "tensor([2.], dtype=float32, from multiply)"


def test_numbers_come_out_of_one_entry_only() -> None:
    t = mg.tensor([[1.5]])
    assert (t.item(), float(t), int(t), bool(t), f"{t:.2f}", f"{t}") == (1.5, 1.5, 1, True, "1.50", "tensor([[1.5]])")
    for convert in (float, int, bool, lambda t: t.item()):
        with pytest.raises(ValueError, match=r"size 1|more than one element"):
            convert(mg.tensor([1.0, 2.0]))


def test_iteration_gives_the_rows_with_their_record() -> None:
    x = leaf(X)
    a, b = x
    (a * 2.0 + b * 3.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [[2, 2, 2], [3, 3, 3]])
    with pytest.raises(TypeError, match="no axis"):
        iter(mg.tensor(1.0))


def test_membership_and_hash_look_at_values_and_identity() -> None:
    x = leaf(X)
    assert 2.5 in x
    assert 7.0 not in x
    assert len({x, x, leaf(X)}) == 2


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_or_a_pickle_is_a_leaf_with_the_same_values(clone: Any) -> None:
    for t in (leaf(X, np.float32), leaf(X) * 2.0, mg.tensor([1, 2])):
        c = clone(t)
        np.testing.assert_array_equal(c.data, t.data, strict=True)
        assert (c.primitive, c.requires_grad, c.grad) == (None, t.requires_grad, None)
        assert not np.shares_memory(c.data, t.data)


METHODS = {
    "reshape(3, 2)": (lambda t: t.reshape(3, 2), lambda x: x.reshape(3, 2)),
    "reshape((3, -1))": (lambda t: t.reshape((3, -1)), lambda x: x.reshape(3, -1)),
    "reshape(-1)": (lambda t: t.reshape(-1), lambda x: x.reshape(-1)),
    "transpose()": (lambda t: t.transpose(), np.transpose),
    "transpose(1, 0)": (lambda t: t.transpose(1, 0), np.transpose),
    "transpose((0, 1))": (lambda t: t.transpose((0, 1)), lambda x: x),
    "T": (lambda t: t.T, np.transpose),
    "astype": (lambda t: t.astype(np.float64), lambda x: x),
    "take": (lambda t: t.take([0, 0], axis=1), lambda x: x.take([0, 0], axis=1)),
    "sum": (lambda t: t.sum(axis=0, keepdims=True), lambda x: x.sum(axis=0, keepdims=True)),
    "mean": (lambda t: t.mean(1), lambda x: x.mean(1)),
    "var": (lambda t: t.var(axis=1, ddof=1), lambda x: x.var(axis=1, ddof=1)),
    "max": (lambda t: t.max(axis=1), lambda x: x.max(axis=1)),
    "min": (lambda t: t.min(), lambda x: x.min()),
    "cumsum": (lambda t: t.cumsum(axis=1), lambda x: x.cumsum(axis=1)),
    "clip": (lambda t: t.clip(0.4, 1.2), lambda x: x.clip(0.4, 1.2)),
    "softmax": (lambda t: t.softmax(), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    "log_softmax": (lambda t: t.log_softmax(0), lambda x: x - np.log(np.exp(x).sum(0))),
    "logsumexp": (lambda t: t.logsumexp(axis=-1), lambda x: np.log(np.exp(x).sum(-1))),
    "sigmoid": (lambda t: t.sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    "relu": (lambda t: t.relu(), lambda x: np.maximum(x, 0)),
    "swapaxes": (lambda t: t.swapaxes(0, 1), np.transpose),
    "squeeze": (lambda t: t[None].squeeze(0), lambda x: x),
    "mT": (lambda t: t.mT, np.transpose),
    "prod": (lambda t: t.prod(axis=1, keepdims=True), lambda x: x.prod(axis=1, keepdims=True)),
    "cumprod": (lambda t: t.cumprod(0), lambda x: x.cumprod(0)),
    "std": (lambda t: t.std(axis=0, ddof=1), lambda x: x.std(axis=0, ddof=1)),
    "dot": (lambda t: t.dot(X.T), lambda x: x.dot(X.T)),
    "trace": (lambda t: t.trace(1), lambda x: x.trace(1)),
    "diagonal": (lambda t: t.diagonal(-1), lambda x: x.diagonal(-1)),
    "ravel": (lambda t: t.ravel(), lambda x: x.ravel()),
    "flatten": (lambda t: t.flatten(), lambda x: x.flatten()),
    "repeat": (lambda t: t.repeat(2, axis=1), lambda x: x.repeat(2, axis=1)),
    "sort": (lambda t: t.sort(0), lambda x: np.sort(x, 0)),  # a new tensor, where NumPy's method sorts in place
    "partition": (lambda t: t.partition(1, axis=1), lambda x: np.partition(x, 1, axis=1)),
}


@pytest.mark.parametrize(("f", "g"), METHODS.values(), ids=METHODS)
def test_methods_are_numpys_with_derivatives(f: Any, g: Any) -> None:
    np.testing.assert_allclose(f(mg.tensor(X)).data, g(X), rtol=1e-12)
    check_grad(f, X, order=2)


def test_astype_of_a_dtype_without_fractions_ends_the_record() -> None:
    y = leaf(X).astype(int)
    assert (y.dtype, y.requires_grad) == (np.int64, False)


def test_astype_hands_the_gradient_back_in_the_first_dtype() -> None:
    x = leaf(X, np.float32)
    (x.astype(np.float64) * np.pi).sum().backward()
    np.testing.assert_array_equal(x.grad, np.full(X.shape, np.pi, np.float32), strict=True)


@pytest.mark.parametrize("order", ["C", "F"])
def test_entries_are_flattened_by_rows_or_by_columns(order: Any) -> None:
    t = leaf(X)
    for y in (t.ravel(order), t.flatten(order), mg.ravel(t, order), np.ravel(t, order)):
        np.testing.assert_array_equal(y.data, X.ravel(order))
    check_grad(lambda x: mg.ravel(x, order), X)
    with pytest.raises(ValueError, match='ravel: order must be "C" or "F", got \'K\''):
        t.flatten("K")


KEYWORDS: dict[str, Any] = {
    "reshape: does not take order=": lambda t: t.reshape(3, 2, order="F"),
    "astype: does not take copy=": lambda t: t.astype(float, copy=False),
    "clip: does not take min=; it is called low=": lambda t: t.clip(min=1),
    "clip: does not take a_max=; it is called high=": lambda t: t.clip(0, a_max=1),
}


@pytest.mark.parametrize("message", KEYWORDS)
def test_keywords_of_numpys_methods_are_refused_with_the_remedy(message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        KEYWORDS[message](leaf([[1.0, 2.0]] * 3))


def test_item_takes_an_index_as_numpys_does() -> None:
    t = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert (t.item(1), t.item(1, 0), t.item((0, 1))) == (2.0, 3.0, 2.0)


HANDED_OUT: dict[str, Any] = {
    "a constant": lambda c, w: (c, w * c),
    "a part of it": lambda c, w: (c[::2], w * c),
    "a result": lambda c, w: ((y := w * c).detach(), y * y),
    "a result of constants": lambda c, w: (y := c + 1.0, w * y),
}


@pytest.mark.parametrize("make", HANDED_OUT.values(), ids=HANDED_OUT)
def test_what_numpy_gets_of_a_tensor_cannot_be_written_into(make: Any) -> None:
    c, w = mg.tensor([1.0, 2.0, 3.0]), leaf([4.0, 5.0, 6.0])
    t, y = make(c, w)
    for array in (np.asarray(t), np.asarray(t, t.dtype), np.array(t, copy=False), t.__array__()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 100.0
    for own in (np.array(t), np.asarray(t, np.float32)):
        own[0] = 100.0
    assert t.data[0] != 100.0
    y.sum().backward()
