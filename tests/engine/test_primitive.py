"""A primitive: what it records, what it refuses, and what a user's own one may do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import At, Product, Tensor, primitive
from minigrad.served import by_ufunc
from minigrad.testing import check_grad


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


# --- a user's own primitive ------------------------------------------------------------------------------------------


@pytest.fixture
def unregistered() -> Any:
    """NumPy's functions mean what minigrad says, whatever other tests declared, and after this test what they meant."""
    kept = dict(by_ufunc)
    for ufunc in [ufunc for ufunc, p in kept.items() if not p.__module__.startswith("minigrad.")]:
        del by_ufunc[ufunc]
    yield
    by_ufunc.clear()
    by_ufunc.update(kept)


def test_own_primitive_with_rules_has_derivatives_of_every_order(unregistered: None) -> None:
    sinh = primitive(np.sinh, lambda g, y, x: g * cosh(x))
    cosh = primitive(np.cosh, lambda g, y, x: g * sinh(x))
    check_grad(sinh, np.array([0.3, -1.2]), order=3)


def test_own_primitive_of_a_ufunc_teaches_numpy_that_ufunc(unregistered: None) -> None:
    x = leaf([0.3, -1.2])
    with pytest.raises(TypeError, match=r"np\.fmod"):
        np.fmod(x, 0.5)
    fmod = primitive(np.fmod, lambda g, z, x, y: g, lambda g, z, x, y: -g * np.trunc(x / y))
    assert np.fmod(x, 0.5).primitive is fmod


def test_second_primitive_of_a_ufunc_does_not_replace_the_first() -> None:
    other = primitive(np.tanh, lambda g, y, x: g * 7, name="other_tanh")
    assert np.tanh(leaf(0.5)).primitive is mg.tanh
    assert mg.grad(other)(0.5).item() == 7.0  # which serves its own calls


def test_own_primitive_with_one_rule_for_all_inputs_takes_any_number_of_them() -> None:
    rule = lambda g, y, *xs, scale: [g * scale * (k + 1) for k in range(len(xs))]
    total = primitive(lambda *xs, scale: scale * sum((k + 1) * x for k, x in enumerate(xs)), joint=rule, name="total")
    for n in (1, 2, 5):
        check_grad(lambda *xs: total(*xs, scale=3.0), *np.arange(2.0 * n).reshape(n, 2), order=2)


def test_own_primitive_takes_static_arguments_by_position_and_by_name() -> None:
    scaled = primitive(lambda x, by=1.0: x * by, lambda g, y, x, by=1.0: g * by, name="scaled")
    x = leaf(2.0)
    (scaled(x, 5.0) + scaled(x, by=7.0) + scaled(x)).backward()
    assert x.grad == 13.0


def test_a_joint_rule_is_called_once_for_all_inputs() -> None:
    called = []
    total = primitive(lambda *xs: sum(xs), joint=lambda g, y, *xs: called.append(1) or [g] * len(xs), name="total")
    total(*[leaf(1.0) for _ in range(5)]).backward()
    assert called == [1]


@pytest.mark.parametrize("recorded", [False, True], ids=["arrays", "recorded"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_joint_rule_with_a_wrong_number_of_cotangents_is_named(count: int, recorded: bool) -> None:
    mine = primitive(lambda x, y: x + y, joint=lambda g, z, x, y: [g] * count, name="mine")
    x, y = leaf(1.0), leaf(2.0)
    run = (lambda: mg.grad(mine, (0, 1))(x, y)) if recorded else (lambda: mine(x, y).backward())
    with pytest.raises(ValueError, match="mine"):
        run()


def test_rules_and_a_joint_rule_together_are_refused() -> None:
    with pytest.raises(TypeError, match="not both"):
        primitive(np.sin, lambda g, y, x: g, joint=lambda g, y, *xs: [g])


def test_a_rule_is_called_only_for_an_input_that_needs_a_gradient() -> None:
    called = []

    def rule(k: int) -> Any:
        return lambda g, z, x, y: called.append(k) or g

    add = primitive(lambda x, y: x + y, rule(0), rule(1), name="add2")
    add(mg.tensor(1.0), leaf(2.0)).backward()
    add(3.0, leaf(2.0)).backward()
    assert called == [1, 1]


WRONG = {
    "smaller array": lambda g, y, x: g[0],
    "larger array": lambda g, y, x: np.stack([g, g]),
    "transposed array": lambda g, y, x: mg.transpose(g),
    "size 1 where more are due": lambda g, y, x: mg.sum(g, axis=1, keepdims=True),
    "nothing": lambda g, y, x: None,
    "complex": lambda g, y, x: g * 1j,
    "product of wrong inner sizes": lambda g, y, x: Product(np.ones((4, 2)), np.ones((3, 3))),
    "product of wrong outer sizes": lambda g, y, x: Product(np.ones((4, 3)), np.ones((4, 5))),
    "transposed product": lambda g, y, x: Product(np.ones((4, 3)), np.ones((4, 2))),
    "part out of bounds": lambda g, y, x: At(7, g[0]),
    "part of a wrong shape": lambda g, y, x: At(0, g),
    "rows of a wrong shape": lambda g, y, x: At(np.array([0, 1, 1]), g),
    "rows transposed": lambda g, y, x: At(np.array([0, 1]), mg.transpose(g)),
    "masked part of a wrong shape": lambda g, y, x: At(np.array([True, False]), g),
}


@pytest.mark.parametrize("recorded", [False, True], ids=["arrays", "recorded"])
@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
def test_a_rule_that_returns_a_wrong_cotangent_is_named_with_its_input(rule: Any, recorded: bool) -> None:
    mine = primitive(lambda a, x: np.sin(x), None, lambda g, y, a, x: rule(g, y, x), name="mine")
    x = leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    run = mg.grad(lambda x: mg.sum(mine(0, x))) if recorded else lambda x: mine(0, x).sum().backward()
    with pytest.raises((ValueError, TypeError), match="mine: the rule for input 1 "):
        run(x)
    assert x.grad is None


def test_an_input_without_a_rule_is_refused_by_number_unless_detached() -> None:
    half = primitive(lambda x, y: x * y, lambda g, z, x, y: g * y, None, name="half")
    with pytest.raises(TypeError, match=r"half: input 1 has no derivative rule; .*detach"):
        half(leaf(1.0), leaf(2.0))
    with pytest.raises(TypeError, match="input 2 has no derivative rule"):
        mg.clip(1.0, 0.0, leaf(2.0))
    x, y = leaf(3.0), leaf(2.0)
    half(x, y.detach()).backward()
    assert (x.grad, y.grad) == (2.0, None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda p: p(leaf(1.0), leaf(2.0)), "input 1 has no derivative rule"),
        (lambda p: p(2.0, leaf(1.0)), "input 1 has no derivative rule"),
        (lambda p: p(leaf(1.0), 2.0, 3.0), "at most 2 positional"),
    ],
)
def test_an_input_too_many_or_without_a_rule_is_refused_after_a_call_without_as_well(wrong: Any, message: str) -> None:
    half = primitive(lambda x, y, times=1.0: x * y * times, lambda g, z, x, y: g * y, None, name="half")
    for _ in range(2):
        assert half(leaf(3.0), 2.0).data == 6.0
        with pytest.raises(TypeError, match=message):
            wrong(half)


# --- errors of the forward call --------------------------------------------------------------------------------------


def test_matmul_of_unlike_inner_sizes_names_shapes_and_sizes() -> None:
    with pytest.raises(ValueError, match=r"matmul: \(3, 4\) .*\(5, 6\) .*: inner sizes 4 and 5 differ") as caught:
        leaf(np.ones((3, 4))) @ np.ones((5, 6))
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("a", "b", "inner"), [((4,), (5, 6), "4 and 5"), ((3, 4), (5,), "4 and 5"), ((4,), (5,), "4 and 5")]
)
def test_matmul_of_unlike_vectors_names_the_inner_sizes(a: Any, b: Any, inner: str) -> None:
    with pytest.raises(ValueError, match=f"inner sizes {inner} differ"):
        leaf(np.ones(a)) @ leaf(np.ones(b))


@pytest.mark.parametrize(("a", "b", "sizes"), [((3, 4), (3,), "4 and 3"), ((4, 2, 1), (3, 5), "2 and 3")], ids=str)
def test_shapes_that_do_not_broadcast_are_told_by_the_sizes_that_differ(a: Any, b: Any, sizes: str) -> None:
    x, y = leaf(np.ones(a)), leaf(np.ones(b))
    for add in (mg.add, mg.compile(mg.add)):
        with pytest.raises(ValueError, match=f"aligned from the right, where {sizes} differ"):
            add(x, y)


def test_matmul_with_a_scalar_says_to_multiply() -> None:
    with pytest.raises(ValueError, match=r"matmul: .*use \* instead of @"):
        leaf(np.ones((2, 2))) @ 2.0


@pytest.mark.parametrize(("W", "b"), [((3, 4), (2, 1)), ((3, 4), (5, 2, 4)), ((3,), (2,)), ((2, 3, 4), (4,))], ids=str)
def test_linear_refuses_what_is_no_matrix_and_what_would_broadcast_the_product(W: Any, b: Any) -> None:
    with pytest.raises(ValueError, match=r"^linear: .*W must be \(I, O\), and b \(O,\) or of the shape of x W"):
        mg.linear(leaf(np.ones((2, 3))), np.ones(W), np.ones(b))
    with pytest.raises(ValueError, match=r"^linear: W must be \(I, O\), and b \(O,\) or of the shape of x W"):
        mg.compile(mg.linear)(leaf(np.ones((2, 3))), np.ones(W), np.ones(b))


def test_linear_with_a_wider_bias_gives_the_wider_dtype() -> None:
    y = mg.linear(leaf(np.ones((2, 3)), np.float32), np.ones((3, 4), np.float32), np.full(4, 1e-9))
    np.testing.assert_array_equal(y.data, np.full((2, 4), 3 + 1e-9))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "maximum"])
def test_operands_that_do_not_broadcast_are_named_with_shapes_and_dtypes(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: \(2,\) float32 and \(3,\) float64: ") as caught:
        getattr(mg, name)(leaf([1, 2], np.float32), leaf([1, 2, 3]))
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_axis_out_of_bounds_stays_an_axis_error_and_names_the_primitive() -> None:
    with pytest.raises(np.exceptions.AxisError, match=r"sum: \(2, 2\) float64"):
        leaf(np.ones((2, 2))).sum(axis=2)


def test_an_index_out_of_bounds_stays_an_index_error_and_names_the_shape() -> None:
    with pytest.raises(IndexError, match=r"getitem: \(2, 2\) float64"):
        leaf(np.ones((2, 2)))[2]


def test_concatenate_and_stack_name_all_shapes() -> None:
    parts = [leaf(np.ones((2, 2))), leaf(np.ones((2, 3)))]
    for f in (mg.concatenate, mg.stack):
        with pytest.raises(ValueError, match=r"\(2, 2\) float64 and \(2, 3\) float64"):
            f(parts)


def test_a_message_about_a_long_list_stays_short() -> None:
    with pytest.raises(ValueError, match="add") as caught:
        leaf([1.0, 2.0]) + [0.5] * 10_000
    assert len(str(caught.value)) < 500


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_result_of_constants_keeps_no_record() -> None:
    y = mg.tensor(1.0) * 2.0
    assert isinstance(y, Tensor)
    assert (y.requires_grad, y.primitive, y.node) == (False, None, None)


def test_a_result_remembers_its_primitive_and_inputs() -> None:
    x = leaf([1.0, 2.0])
    y = mg.sum(x, axis=0)
    assert (y.primitive, y.node.static) == (mg.sum, {"axis": 0})
    assert y.node.inputs == (x.node,)


OWNED = {
    "factor": (np.array([2.0, 3.0]), lambda x, a: x * a),
    "divisor": (np.array([2.0, 4.0]), lambda x, a: x / a),
    "exponent": (np.array([2.0, 3.0]), lambda x, a: x**a),
    "matrix": (np.array([[2.0, 3.0], [4.0, 5.0]]), lambda x, a: x @ a),
    "mask": (np.array([True, False]), lambda x, a: mg.where(a, x, 0.0)),
    "rows": (np.array([0, 0]), lambda x, a: x[a]),
    "rows in a tuple": (np.array([0, 0]), lambda x, a: x[(a,)]),
    "rows of take": (np.array([0, 0]), lambda x, a: mg.take(x, a)),
    "list of rows": ([0, 0], lambda x, a: x[a]),
    "list of a factor": ([2.0, 3.0], lambda x, a: mg.multiply(x, a)),
    "widths": ([[1, 0]], lambda x, a: mg.pad(x, a) * np.arange(3)),
    "named widths": ([[1, 0]], lambda x, a: mg.pad(x, pad_width=a) * np.arange(3)),
    "array of einsum": (np.array([2.0, 3.0]), lambda x, a: mg.einsum("i,i->", x, a)),
}


@pytest.mark.parametrize(("owned", "f"), OWNED.values(), ids=OWNED)
def test_changing_an_operand_array_after_the_forward_call_changes_no_gradient(owned: Any, f: Any) -> None:
    grads = []
    for spoil in (False, True):
        x = leaf([1.5, 2.5])
        argument = owned.copy()
        y = f(x, argument)
        if spoil and isinstance(argument, np.ndarray):
            argument[...] = 1
        elif spoil:
            argument[0] = 1 if np.ndim(argument) == 1 else [0, 1]
        y.backward(np.ones(y.shape))
        grads.append(x.grad)
    np.testing.assert_array_equal(*grads)


def test_changing_a_named_array_of_ones_own_primitive_changes_no_gradient() -> None:
    masked = primitive(lambda x, *, mask: x * mask, lambda g, y, x, *, mask: g * mask, name="masked")
    x, mask = leaf([1.0, 2.0]), np.array([1.0, 0.0])
    y = masked(x, mask=mask)
    mask[...] = 7
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [1, 0])


@pytest.mark.parametrize(
    "view", [lambda t: t[0], lambda t: t.T, lambda t: t.reshape(4), lambda t: t.astype(float), lambda t: mg.flip(t)]
)
def test_a_view_taken_without_a_record_does_not_change_with_its_leaf(view: Any) -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    constant = mg.tensor(x.data)
    with mg.no_grad():
        y = view(x)
    z, d = view(constant), view(x).detach()
    before = [t.data.copy() for t in (y, z, d)]
    x.writable()[...] = 9
    constant.data = np.full((2, 2), 9.0)
    for t, kept in zip((y, z, d), before, strict=True):
        np.testing.assert_array_equal(t.data, kept)


def test_an_operation_makes_a_tensor_of_its_first_inputs_class() -> None:
    class Special(Tensor):
        __slots__ = ()

    x = Special([1.0, 2.0], requires_grad=True)
    assert type(x * 2) is type(2 * x) is type(x.sum()) is type(x[0]) is type(x.detach()) is Special
    assert type(mg.grad(lambda t: t.sum())(x)) is Special


def test_a_primitive_names_itself_and_documents_itself() -> None:
    assert repr(mg.tanh) == "<primitive tanh>"
    for name in mg.__all__:
        function = getattr(mg, name)
        assert re.search(r"\w", function.__doc__ or ""), f"{name} has no docstring"
