"""NumPy's own functions, called on tensors: minigrad's, or refused by name."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy_calls import CALLS as FURTHER_CALLS
from table import Case, cuts, takes

import minigrad as mg
from minigrad import Tensor
from minigrad.numpy_functions import _NEAREST, FUNCTIONS
from minigrad.served import by_ufunc
from minigrad.testing import check_grad


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


X = np.array([[0.5, 1.5, 2.5], [0.25, 2.0, 1.0]])

#: A call of each NumPy function that has a primitive: with minigrad's name in place of np it means the same.
CALLS: dict[Any, list[Any]] = {
    np.sum: [lambda m, t: m.sum(t, axis=1), lambda m, t: m.sum(t, axis=(0, 1), keepdims=True)],
    np.mean: [lambda m, t: m.mean(t, axis=0)],
    np.var: [lambda m, t: m.var(t, axis=0, ddof=1)],
    np.max: [lambda m, t: m.max(t, axis=1)],
    np.min: [lambda m, t: m.min(t, axis=1)],
    np.cumsum: [lambda m, t: m.cumsum(t, axis=1), lambda m, t: m.cumsum(t)],
    np.where: [lambda m, t: m.where(X > 1, t, 2.0), lambda m, t: m.where(X > 1, 0.0, t)],
    np.clip: [lambda m, t: m.clip(t, 0.4, 1.2), lambda m, t: m.clip(t, None, 1.2)],
    np.einsum: [lambda m, t: m.einsum("ij,kj->ik", t, t)],
    np.concatenate: [lambda m, t: m.concatenate([t, X], axis=1), lambda m, t: m.concatenate((X, t))],
    np.stack: [lambda m, t: m.stack([X, t], axis=-1)],
    np.split: [lambda m, t: m.stack(m.split(t, 3, axis=1)), lambda m, t: m.split(t, [1], 1)[1]],
    np.take: [lambda m, t: m.take(t, np.array([0, 0, 2]), axis=1), lambda m, t: m.take(t, [5, 0])],
    np.reshape: [lambda m, t: m.reshape(t, (3, 2)), lambda m, t: m.reshape(t, -1)],
    np.transpose: [
        lambda m, t: m.transpose(t),
        lambda m, t: m.transpose(t, (1, 0)),
        lambda m, t: m.transpose(t, axes=(1, 0)),
    ],
    np.swapaxes: [lambda m, t: m.swapaxes(t, 0, 1), lambda m, t: m.swapaxes(t, axis1=0, axis2=1)],
    np.moveaxis: [lambda m, t: m.moveaxis(t, 0, -1), lambda m, t: m.moveaxis(t, source=0, destination=1)],
    np.expand_dims: [lambda m, t: m.expand_dims(t, 1), lambda m, t: m.expand_dims(t, axis=(0, 1))],
    np.squeeze: [lambda m, t: m.squeeze(m.expand_dims(t, 0), axis=0)],
    np.broadcast_to: [lambda m, t: m.broadcast_to(t, (2, 2, 3))],
    np.pad: [lambda m, t: m.pad(t, 1), lambda m, t: m.pad(t, ((1, 0), (0, 2)), constant_values=7.0)],
    np.flip: [lambda m, t: m.flip(t), lambda m, t: m.flip(t, axis=1)],
    np.tril: [lambda m, t: m.tril(t), lambda m, t: m.tril(t, k=-1)],
    np.triu: [lambda m, t: m.triu(t), lambda m, t: m.triu(t, k=1)],
    np.argmax: [lambda m, t: m.argmax(t, axis=1)],
    np.argmin: [lambda m, t: m.argmin(t, axis=1)],
    np.argpartition: [lambda m, t: m.argpartition(t, 1, axis=1)],
    np.argsort: [lambda m, t: m.argsort(t, axis=1)],
}
NAMED = [(f, call) for f, calls in CALLS.items() for call in calls]


def test_every_numpy_function_with_a_primitive_has_a_call_here() -> None:
    further = {getattr(np.linalg if "linalg." in name else np, name.split()[0].removeprefix("linalg."))
               for name, *_ in FURTHER_CALLS}  # fmt: skip
    ours = {f for f, served in FUNCTIONS.items() if served.__module__.startswith("minigrad.")}  # no other test's
    assert {*CALLS, *further} >= ours - ({np.amax, np.amin} - {np.max, np.min})


@pytest.mark.parametrize(("function", "call"), NAMED, ids=[f.__name__ for f, _ in NAMED])
def test_numpys_function_on_a_tensor_is_minigrads(function: Any, call: Any) -> None:
    ours, numpys = leaf(X), leaf(X)
    y, z = call(mg, ours), call(np, numpys)
    assert type(y) is type(z)
    np.testing.assert_allclose(np.asarray(getattr(z, "data", z)), call(np, X), rtol=1e-14)
    if isinstance(z, Tensor):
        for t in (y, z):
            t.backward(np.arange(1.0, t.size + 1).reshape(t.shape))
        np.testing.assert_array_equal(ours.grad, numpys.grad)


@pytest.mark.parametrize("ufunc", by_ufunc, ids=lambda f: f.__name__)
def test_numpys_ufunc_on_a_tensor_is_minigrads(ufunc: np.ufunc) -> None:
    others = [X.T + 0.3] if ufunc is np.matmul else [X + 0.3] * (ufunc.nin - 1)
    values = X / 3 if ufunc in (np.arcsin, np.arccos, np.arctanh) else X + 1 if ufunc is np.arccosh else X
    x = leaf(values)
    y = ufunc(x, *others)
    if not by_ufunc[ufunc].differentiable:
        assert type(y) is np.ndarray
        np.testing.assert_array_equal(y, ufunc(values, *others))
        return
    assert isinstance(y, Tensor)
    assert y.primitive is by_ufunc[ufunc]
    np.testing.assert_allclose(y.data, ufunc(values, *others), rtol=1e-14)
    check_grad(lambda t: ufunc(t, *others), values)


def test_ndarrays_and_numpy_numbers_on_the_left_give_tensors() -> None:
    t = leaf(X)
    for y, expected in [
        (X * t, X * X), (X @ t.T, X @ X.T), (np.float64(2) * t, 2 * X), (np.float32(2) - t, 2 - X), (X / t, X / X),
        (X**t, X**X), (np.int64(3) + t, 3 + X),
    ]:  # fmt: skip
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(y.data, expected, rtol=1e-14)


@given(cuts())
def test_split_of_every_form_is_numpys(case: Case) -> None:
    (x,) = case.inputs
    for part, expected in zip(case.function(x), np.split(x, *case.static), strict=True):
        np.testing.assert_array_equal(part, expected, strict=True)


@given(takes())
def test_take_of_every_form_is_numpys(case: Case) -> None:
    (x,) = case.inputs
    np.testing.assert_array_equal(case.function(x), np.take(x, *case.static))


before_2_1 = pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="np.clip: min= since NumPy 2.1")


@pytest.mark.parametrize(
    "spelling", [{"a_min": 0.4, "a_max": 1.2}, pytest.param({"min": 0.4, "max": 1.2}, marks=before_2_1)], ids=str
)
def test_np_clip_takes_its_bounds_by_name(spelling: Any) -> None:
    y = np.clip(leaf(X), **spelling)
    np.testing.assert_array_equal(y.data, np.clip(X, 0.4, 1.2))


def test_np_pad_takes_the_mode_constant_and_names_any_other() -> None:
    for y in (np.pad(leaf(X), 1, "constant"), np.pad(leaf(X), 1, mode="constant")):
        np.testing.assert_array_equal(y.data, np.pad(X, 1))
    with pytest.raises(TypeError, match=r"pad.*reflect"):
        np.pad(leaf(X), 1, mode="reflect")


UNSUPPORTED = {
    "np.linalg.pinv": (lambda t: np.linalg.pinv(t), "pinv"),
    "np.interp": (lambda t: np.interp(t, X[0], X[1]), "np.interp"),
    "np.block": (lambda t: np.block([t, t]), "np.block"),
    "np.nextafter": (lambda t: np.nextafter(t, X), "np.nextafter"),
    "np.float_power": (lambda t: np.float_power(t, 2.0), "np.float_power"),
    "np.add.reduce": (lambda t: np.add.reduce(t), "np.add.reduce"),
    "np.multiply.outer": (lambda t: np.multiply.outer(t, t), "np.multiply.outer"),
    "np.add.at": (lambda t: np.add.at(t, 0, 1.0), "np.add.at"),
    "np.add(out=)": (lambda t: np.add(t, 1.0, out=X.copy()), "np.add with out="),
    "np.exp(where=)": (lambda t: np.exp(t, where=X > 1), "np.exp with where="),
    "np.sum(dtype=)": (lambda t: np.sum(t, dtype=np.float32), "sum.*dtype"),
    "np.mean(where=)": (lambda t: np.mean(t, where=X > 1), "mean.*where"),
}


@pytest.mark.parametrize(("call", "named"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_an_unsupported_numpy_function_raises_and_is_named(call: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        call(leaf(X))


def test_an_array_cannot_swallow_a_tensor_in_place() -> None:
    a = np.zeros_like(X)
    with pytest.raises(TypeError, match=r"np\.add with out="):
        a += leaf(X)


def test_a_tensor_with_a_gradient_does_not_turn_into_an_array_silently() -> None:
    for convert in (np.asarray, np.array, lambda t: np.array([t, t]), lambda t: np.zeros_like(X).__setitem__(0, t[0])):
        with pytest.raises(TypeError, match=r"t\.data"):
            convert(leaf(X))


def test_a_constant_turns_into_an_array() -> None:
    t = mg.tensor(X)
    np.testing.assert_array_equal(np.asarray(t), X, strict=True)
    np.testing.assert_array_equal(np.asarray(t, dtype=np.float32), X.astype(np.float32), strict=True)


PLAIN = [np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.all, np.any, np.round, np.unique, np.nonzero]


@pytest.mark.parametrize("function", PLAIN, ids=lambda f: f.__name__)
def test_numpy_functions_without_derivatives_give_plain_results(function: Any) -> None:
    result = function(leaf(X))
    assert not isinstance(result, Tensor)
    np.testing.assert_array_equal(result, function(X))


def test_comparing_functions_of_numpy_take_tensors() -> None:
    assert np.allclose(leaf(X), X)
    assert np.array_equal(leaf(X), leaf(X))
    np.testing.assert_array_equal(np.isclose(leaf(X), 2.5), X == 2.5)


NEAREST = {
    "np.linalg.pinv": (lambda t: np.linalg.pinv(t), r"np\.linalg\.pinv has no .* mg\.linalg\.solve;"),
    "np.linalg.eigvals": (lambda t: np.linalg.eigvals(t), r"np\.linalg\.eigvals has no .* mg\.linalg\.eigvalsh;"),
    "np.add.reduce": (lambda t: np.add.reduce(t), r"np\.add\.reduce has no .* mg\.sum;"),
    "np.vsplit": (lambda t: np.vsplit(t, 2), r"np\.vsplit has no .* mg\.split;"),
    "np.cross": (lambda t: np.cross(t, t), r"np\.cross has no .* use functions of minigrad,"),
}


@pytest.mark.parametrize(("call", "message"), NEAREST.values(), ids=NEAREST)
def test_a_function_without_a_rule_is_refused_with_its_full_name_and_the_nearest_that_has_one(
    call: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        call(leaf(X[:2, :2]))


def test_no_function_that_is_served_is_said_to_be_missing() -> None:
    rooms = {name.removeprefix("linalg."): np.linalg if "linalg." in name else np for name in _NEAREST}
    missing = {getattr(room, name, None) for name, room in rooms.items()}
    served = FUNCTIONS.keys() | by_ufunc.keys()
    assert not missing & served
    assert {np.sort, np.remainder} < served


@pytest.mark.parametrize("name", ["std", "average", "nansum", "nanmean", "median", "ptp"])
def test_reductions_refuse_other_keywords_with_the_word_to_use(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}: does not take dim=; it is called axis="):
        getattr(mg, name)(leaf(X), dim=1)
    with pytest.raises(TypeError, match=rf"{name}: does not take dtype=; convert with x\.astype"):
        getattr(mg, name)(leaf(X), dtype=np.float32)


INTEGERS = np.array([[3, -4], [1, 2]])
#: Calls on integers, which NumPy answers in floating-point numbers, or in integers.
OF_INTEGERS: dict[str, Any] = {
    "copysign of unsigned": lambda m, x: m.copysign(x.astype(np.uint8), [-1, 1]),
    "copysign of a number": lambda m, x: m.copysign(0.5, x),
    "copysign of booleans": lambda m, x: m.copysign(x > 1, -1),
    "copysign by a wider sign": lambda m, x: m.copysign(x.astype(np.float32), np.array(-1.0)),
    "diff that ends in a fraction": lambda m, x: m.diff(x, append=1.5),
    "nansum": lambda m, x: m.nansum(x, axis=0),
    "average of many": lambda m, x: m.average(m.tile(x.astype(np.int8), 50)),
    "norm of order 0": lambda m, x: m.linalg.norm(x[0], 0),
    "norm of order -1": lambda m, x: m.linalg.norm(x[0], -1),
    "norm of columns": lambda m, x: m.linalg.matrix_norm(x, ord=1),
    "power 0": lambda m, x: m.linalg.matrix_power(x, 0),
}


@pytest.mark.parametrize("call", OF_INTEGERS.values(), ids=OF_INTEGERS)
def test_integers_give_what_numpy_makes_of_them(call: Any) -> None:
    expected = call(np, INTEGERS)
    for y in (call(mg, INTEGERS), call(mg, mg.tensor(INTEGERS))):
        found = y.data if isinstance(y, Tensor) else np.asarray(y)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.asarray(expected).dtype


def test_power_0_of_a_matrix_that_is_not_finite_is_the_identity_with_gradient_0() -> None:
    a = leaf([[np.nan, 1.0], [np.inf, 2.0]])
    y = mg.linalg.matrix_power(a, 0)
    np.testing.assert_array_equal(y.data, np.eye(2))
    (y * 3.0).sum().backward()
    np.testing.assert_array_equal(a.grad, np.zeros((2, 2)))


BY_NAME: dict[str, Any] = {
    "split": lambda t: np.stack(np.split(ary=t, indices_or_sections=3, axis=1)),
    "array_split": lambda t: np.array_split(t, indices_or_sections=2, axis=1)[0],
    "vstack": lambda t: np.vstack(tup=[t, t]),
    "tile": lambda t: np.tile(A=t, reps=2),
    "repeat": lambda t: np.repeat(a=t, repeats=2, axis=0),
    "ravel": lambda t: np.ravel(a=t),
    "append": lambda t: np.append(arr=t, values=t, axis=0),
    "take_along_axis": lambda t: np.take_along_axis(arr=t, indices=np.zeros((2, 1), int), axis=1),
}


@pytest.mark.parametrize("call", BY_NAME.values(), ids=BY_NAME)
def test_arguments_go_by_numpys_names_for_them(call: Any) -> None:
    y = call(leaf(X))
    assert isinstance(y, Tensor)
    np.testing.assert_array_equal(y.data, call(X))


NOT_GIVEN = np._NoValue  # type: ignore[attr-defined]
AS_BY_DEFAULT: dict[str, Any] = {
    "concatenate, out": lambda t: np.concatenate([t, t], out=None),
    "concatenate, axis and out": lambda t: np.concatenate([t, t], axis=1, out=None),
    "concatenate, by position": lambda t: np.concatenate([t, t], 1, None),
    "concatenate, dtype and casting": lambda t: np.concatenate((t, t), dtype=None, casting="same_kind"),
    "stack": lambda t: np.stack([t, t], 1, None, dtype=None),
    "mean": lambda t: np.mean(t, 0, None, None, NOT_GIVEN, where=NOT_GIVEN),
    "var": lambda t: np.var(t, axis=1, mean=NOT_GIVEN, correction=NOT_GIVEN),
    "median": lambda t: np.median(t, 0, None, False, keepdims=NOT_GIVEN),
    "einsum": lambda t: np.einsum("ij,kj->ik", t, t, optimize=False),
    "diff": lambda t: np.diff(t, prepend=NOT_GIVEN, axis=0),
    "nan_to_num": lambda t: np.nan_to_num(t, True, 1.0),
}


@pytest.mark.parametrize("call", AS_BY_DEFAULT.values(), ids=AS_BY_DEFAULT)
def test_options_of_numpys_that_are_given_as_they_are_by_default_change_nothing(call: Any) -> None:
    x = np.arange(1.0, 7.0).reshape(2, 3)
    for t in (mg.tensor(x), mg.tensor(x, requires_grad=True)):
        np.testing.assert_allclose(call(t).data, call(x), strict=True)


COMPOSED: dict[str, Any] = {
    "copysign: does not take where=; choose with mg.where": lambda t: np.copysign(t, -1.0, where=[True, False]),
    "dot: does not take out=; results are new tensors": lambda t: np.dot(t, np.ones(2), out=np.zeros(())),
    "vecdot: does not take dtype=; convert with x.astype": lambda t: np.vecdot(t, np.ones(2), dtype="f"),
    "trace: does not take dtype=; convert with x.astype": lambda t: np.trace(np.outer(t, t), dtype="f"),
}


@pytest.mark.parametrize("message", COMPOSED)
def test_keywords_that_a_composed_function_does_not_take_are_refused_with_the_remedy(message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        COMPOSED[message](mg.tensor([1.0, 2.0], requires_grad=True))
