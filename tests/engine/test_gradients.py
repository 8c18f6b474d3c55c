"""Every primitive's derivatives, of first and second order, against finite differences."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from draw import anywhere, nonzero, positive
from hypothesis import given, settings
from hypothesis import strategies as st
from table import EQUATIONS, TABLE, Case, binary, primitives, sums_of_products
from table_further import FURTHER

import minigrad as mg
from minigrad import Primitive, Tensor
from minigrad.testing import check_grad, check_primitive

each_entry = pytest.mark.parametrize("entry", TABLE, ids=lambda entry: getattr(entry, "name", entry.__name__))
half = settings(max_examples=settings.default.max_examples // 2)  # of each of many entries
some = settings(max_examples=settings.default.max_examples * 3 // 8)  # the same cases once more, for another claim


# --- memory layouts: the array a primitive sees, and the cotangent its rule gets, are views of every kind ------------


def _stored(layout: str, x: np.ndarray) -> np.ndarray:
    if layout == "transposed":
        return x.T
    if layout == "reversed":
        return x[::-1] if x.ndim else x
    if layout == "strided":
        return np.repeat(x, 2, axis=-1) if x.ndim else x
    return x


def _viewed(layout: str, t: Any) -> Any:
    if layout == "transposed":
        return mg.transpose(t)
    if layout == "reversed":
        return mg.flip(t, 0) if t.ndim else t
    if layout == "strided":
        return t[..., ::2] if t.ndim else t
    return t


layouts = st.sampled_from(["contiguous", "transposed", "reversed", "strided"])


def in_layout(case: Case, data: st.DataObject) -> Case:
    """The same call on views of its inputs, with its result, and so its cotangent, in another layout too."""
    chosen = [data.draw(layouts, label="layout of an input") for _ in case.inputs]
    after = data.draw(layouts, label="layout of the cotangent")

    def function(*xs: Any) -> Any:
        y = case.function(*[_viewed(layout, x) for layout, x in zip(chosen, xs)])
        return [_viewed(after, part) for part in y] if isinstance(y, list) else _viewed(after, y)

    return Case(function, tuple(_stored(layout, x) for layout, x in zip(chosen, case.inputs)), case.static)


def tensors_of(case: Case, dtype: Any = np.float64) -> list[Tensor]:
    return [mg.tensor(x, dtype=dtype, requires_grad=True) for x in case.inputs]


# --- the table -------------------------------------------------------------------------------------------------------


def test_every_primitive_with_a_rule_is_in_the_table() -> None:
    missing = [name for name, p in primitives().items() if p.differentiable and p not in {**TABLE, **FURTHER}]
    assert not missing, f"no gradient test draws {missing}; add them to tests/support/table.py"


@pytest.mark.parametrize(
    "primitive", sorted({p for p in primitives().values() if not p.differentiable}, key=repr), ids=repr
)
def test_primitives_without_rules_return_plain_arrays(primitive: Primitive) -> None:
    x = mg.tensor([0.5, -1.5, 0.0], requires_grad=True)
    two = isinstance(primitive.function, np.ufunc) and primitive.function.nin == 2
    others: tuple[Any, ...] = (np.array([0.5, 2.0, -1.0]),) if two else ()
    if primitive is mg.argpartition:
        others = (1,)
    if primitive.name == "signdet":
        x = mg.tensor(np.diag(x.data), requires_grad=True)
    y = primitive(x, *others)
    assert isinstance(y, (np.ndarray, np.generic))
    np.testing.assert_array_equal(y, primitive.function(x.data, *others))


@each_entry
@half
@given(data=st.data())
def test_derivatives_of_order_1_and_2_match_finite_differences(entry: Any, data: st.DataObject) -> None:
    case = data.draw(TABLE[entry])
    if isinstance(entry, Primitive):
        y = case.function(*tensors_of(case))
        assert y.primitive is entry, "the table's entry does not call its own primitive"
    moved = in_layout(case, data)
    check_grad(moved.function, *moved.inputs, order=2, mode="project")


@pytest.mark.parametrize("equation", EQUATIONS)
@settings(max_examples=2)
@given(data=st.data())
def test_each_kind_of_einsum_has_the_derivatives_of_finite_differences(equation: str, data: st.DataObject) -> None:
    case = data.draw(sums_of_products([equation]))
    check_grad(case.function, *case.inputs, order=2, mode="project")


@each_entry
@some
@given(data=st.data())
def test_every_primitive_passes_check_primitive(entry: Any, data: st.DataObject) -> None:
    if getattr(entry, "name", "") == "checkpoint":
        pytest.skip("a checkpoint belongs to one call at one point; test_checkpoint has its derivatives")
    case = data.draw(TABLE[entry])
    with mg.record_details():
        results = mg.tree_leaves(case.function(*tensors_of(case)))
    for y in results:
        check_primitive(y.primitive, *y.node.operands, **y.node.static)


@each_entry
@some
@given(data=st.data())
def test_plain_arrays_give_the_plain_result_and_tensors_the_same_values(entry: Any, data: st.DataObject) -> None:
    case = data.draw(TABLE[entry])
    plain, recorded = case.function(*case.inputs), case.function(*tensors_of(case))
    for a, t in zip(mg.tree_leaves(plain), mg.tree_leaves(recorded), strict=True):
        assert isinstance(a, (np.ndarray, np.generic))
        assert isinstance(t, Tensor)
        assert isinstance(t.data, np.ndarray)
        np.testing.assert_array_equal(a, t.data, strict=isinstance(a, np.ndarray))


@each_entry
@some
@given(data=st.data())
def test_float32_results_gradients_and_second_derivatives_stay_float32(entry: Any, data: st.DataObject) -> None:
    if entry is mg.astype:
        pytest.skip("astype is there to change the dtype; test_numerics has its dtypes")
    case = data.draw(TABLE[entry])
    inputs = tensors_of(case, np.float32)
    outputs = mg.tree_leaves(case.function(*inputs))
    assert [y.dtype for y in outputs] == [np.dtype(np.float32)] * len(outputs)

    def total(*xs: Any) -> Any:
        parts = [mg.sum(y * np.ones(y.shape, np.float32)) for y in mg.tree_leaves(case.function(*xs))]
        return mg.sum(mg.stack(parts))

    total(*inputs).backward()
    seconds = mg.hvp(total, tuple(inputs), tuple(x.data for x in inputs))
    for x, second in zip(inputs, seconds, strict=True):
        for g in (x.grad, second.data):
            assert isinstance(g, np.ndarray)
            assert (g.shape, g.dtype) == (x.shape, x.dtype)


@each_entry
@some
@given(data=st.data())
def test_gradients_share_no_memory_with_inputs_cotangent_or_each_other(entry: Any, data: st.DataObject) -> None:
    case = in_layout(data.draw(TABLE[entry]), data)
    inputs = tensors_of(case)
    for y in mg.tree_leaves(case.function(*inputs)):
        g = np.broadcast_to(np.float64(1.5), y.shape)  # read-only, and one number in memory
        y.backward(g)
        y.backward(np.ones(y.shape))
    arrays = [x.grad for x in inputs] + [x.data for x in inputs]
    for k, x in enumerate(inputs):
        assert x.grad is not None
        assert x.grad.flags.writeable
        assert not any(np.shares_memory(x.grad, other) for j, other in enumerate(arrays) if j != k)
        x.grad += 1  # and nobody minds


@each_entry
@some
@given(data=st.data())
def test_a_read_only_cotangent_gives_the_same_gradient(entry: Any, data: st.DataObject) -> None:
    case = data.draw(TABLE[entry])
    grads = []
    for make in (np.ones, lambda shape: np.broadcast_to(1.0, shape)):
        inputs = tensors_of(case)
        for y in mg.tree_leaves(case.function(*inputs)):
            y.backward(make(y.shape))
        grads.append([x.grad for x in inputs])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


# --- operators -------------------------------------------------------------------------------------------------------

OPERATORS = {
    operator.add: (np.add, anywhere, anywhere),
    operator.sub: (np.subtract, anywhere, anywhere),
    operator.mul: (np.multiply, anywhere, anywhere),
    operator.truediv: (np.divide, anywhere, nonzero),
    operator.pow: (np.power, positive, anywhere),
}
each_operator = pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)


@each_operator
@given(data=st.data())
def test_operators_take_arrays_on_either_side(op: Any, data: st.DataObject) -> None:
    function, left, right = OPERATORS[op]
    a, b = data.draw(binary(function, left, right)).inputs
    for f, x in [(lambda t: op(t, b), a), (lambda t: op(a, t), b)]:
        y = f(mg.tensor(x))
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(y.data, function(a, b), rtol=1e-14)
        check_grad(f, x, order=2)


@each_operator
@pytest.mark.parametrize("number", [2, 0.5, np.float64(1.5), np.float32(2), np.int64(3), True], ids=repr)
def test_operators_take_numbers_on_either_side(op: Any, number: Any) -> None:
    function, *_ = OPERATORS[op]
    x = np.array([[0.5, 1.5, 2.5]])
    for f, expected in [(lambda t: op(t, number), function(x, number)), (lambda t: op(number, t), function(number, x))]:
        y = f(mg.tensor(x))
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(y.data, expected, rtol=1e-14)
        check_grad(f, x, order=2)


@each_operator
def test_operators_take_lists_on_either_side(op: Any) -> None:
    x, other = np.array([0.5, 1.5]), [2.0, 3.0]
    np.testing.assert_allclose(op(mg.tensor(x), other).data, op(x, np.array(other)))
    np.testing.assert_allclose(op(other, mg.tensor(x)).data, op(np.array(other), x))


@each_operator
@pytest.mark.parametrize("number", [2, 0.5, True], ids=repr)
def test_python_numbers_keep_float32_on_either_side(op: Any, number: Any) -> None:
    for f in (lambda t: op(t, number), lambda t: op(number, t)):
        x = mg.tensor([0.5, 1.5], dtype=np.float32, requires_grad=True)
        y = f(x)
        y.backward(np.ones(2))
        assert x.grad is not None
        assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize(
    ("f", "g"), [(operator.neg, np.negative), (operator.pos, np.positive), (abs, np.abs)], ids=["neg", "pos", "abs"]
)
def test_unary_operators_are_their_primitives(f: Any, g: Any) -> None:
    x = np.array([-1.5, 2.0])
    np.testing.assert_array_equal(f(mg.tensor(x)).data, g(x))
    check_grad(f, x, order=2)


SQUARES = [((2, 2), (2, 2, 2)), ((2, 2, 2), (2, 2)), ((2, 2, 2), (2, 2, 2))]  # whose shape hides a transpose


@pytest.mark.parametrize(
    "shapes", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (2, 3, 2)), *SQUARES], ids=str
)
def test_matmul_takes_arrays_on_either_side(shapes: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s) for s in shapes)
    for f, x in [
        (lambda t: t @ b, a),
        (lambda t: a @ t, b),
        (lambda t: t @ b.tolist(), a),
        (lambda t: a.tolist() @ t, b),
    ]:
        y = f(mg.tensor(x))
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(y.data, a @ b, rtol=1e-14)
        check_grad(f, x, order=2)


@pytest.mark.parametrize("compare", [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
def test_comparisons_give_plain_arrays_on_either_side(compare: Any) -> None:
    x, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    t = mg.tensor(x, requires_grad=True)
    for got, expected in [
        (compare(t, b), compare(x, b)),
        (compare(b, t), compare(b, x)),
        (compare(t, 2), compare(x, 2)),
    ]:
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, expected)
