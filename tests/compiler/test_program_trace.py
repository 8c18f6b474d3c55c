"""compile: what is written down while a function is traced, and what is computed then."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiler import places
from minigrad.compiler.instruction import Instruction, Value, identity
from minigrad.compiler.listing import MANY
from minigrad.compiler.trace import Trace

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def traced(f: Any, *args: np.ndarray) -> list[Instruction]:
    trace = Trace()
    with trace:
        f(*[trace.argument(x, k) for k, x in enumerate(args)])
    return trace.instructions


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


# --- instructions ----------------------------------------------------------------------------------------------------


def test_the_same_call_is_written_down_once() -> None:
    lines = traced(lambda x: [mg.tanh(x) * 2.0, mg.tanh(mg.tensor(+x)) * 2.0, x[1:, ::2], x[1:, ::2]], X)
    assert [i.kind.primitive.name for i in lines] == ["tanh", "multiply", "getitem"]


def test_instructions_and_values_read_like_a_program() -> None:
    lines = traced(lambda x: mg.sum(mg.transpose(x) * 2.0, axis=0), X.astype("f"))
    assert [repr(i) for i in lines] == [
        "v1:f32[3,2] = transpose(v0:f32[2,3])  # a view of v0:f32[2,3]",
        "v2:f32[3,2] = multiply(v1:f32[3,2], 2.0)",
        "v3:f32[2] = sum(v2:f32[3,2], axis=0)",
    ]


class Pair(NamedTuple):
    one: Any
    two: Any


CONSTANTS = [0, 0.0, -0.0, 1, 1.0, True, None, "1", (1,), [1], (1.0,), {"a": 1}, {"a": 1.0}, np.float32(1), 2.5, ...]
CONSTANTS += [Pair(1, 2), Pair(1, 2), Pair(1, 3), (1, 2), {"a": 1, 2: 0}, {2: 0, "a": 1}, {1: 0}, {1.0: 0}]
CONSTANTS += [slice(1), slice(1.0), slice(None, 1), slice(True), np.dtype("f"), (slice(1), 2), (slice(1), 2.0)]


def test_constants_are_one_only_if_they_always_are() -> None:
    for a, b in itertools.product(CONSTANTS, repeat=2):
        assert (identity(a) == identity(b)) is (type(a) is type(b) and repr(a) == repr(b)), (a, b)
        hash(identity(a))


def test_classes_that_are_written_alike_are_two_constants() -> None:
    one, other = type("Unit", (), {}), type("Unit", (), {})
    for a, b in ((one, other), ((1, one), (1, other))):
        assert repr(a) == repr(b)
        assert identity(a) != identity(b)


def test_a_tree_that_may_have_more_than_its_entries_equals_none() -> None:
    assert identity(tree := OrderedDict(a=1)) != identity(tree)


def test_zeros_of_either_sign_and_numbers_of_other_types_are_not_mixed_up() -> None:
    f = lambda x: (x * 0.0, x * -0.0, x**2, x**2.0, mg.where(x > 0, x, 0), mg.where(x > 0, x, False))
    for a, b in zip(mg.compile(f)(X), f(X), strict=True):
        same(a, b)
        same(np.signbit(a), np.signbit(b))


@pytest.mark.parametrize("order", [1, -1])
def test_a_copy_of_an_argument_is_a_tensor_where_the_argument_stands_for_an_array(order: int) -> None:
    f = lambda x: [mg.tanh(x), mg.tanh(mg.tensor(x)), mg.tanh(mg.tensor(x).detach()) * 1.0, x * 2.0][::order]
    for a, b in zip(mg.compile(f)(X), f(X), strict=True):
        assert type(a) is type(b)
        same(a, b)


# --- values ----------------------------------------------------------------------------------------------------------

largest = mg.primitive(lambda x: x[: int(np.max(x)) + 1] * 2.0, name="largest")  # its shape depends on values


def test_functions_that_may_look_at_values_get_the_real_ones() -> None:
    w, seen = mg.tensor([[0.5, 0.25, 1.0]]), []
    look = mg.primitive(lambda x: seen.append(np.array(x)) or x + 1.0, lambda g, y, x: g, name="look")

    def f(x: Any) -> Any:
        return look(mg.tanh(look((x * w) @ mg.transpose(x))[:, ::-1]) + mg.sum(x, axis=1))

    eager = f(mg.tensor(X))
    seen.clear()
    same(mg.compile(f)(mg.tensor(X)).data, eager.data)
    assert len(seen) == 4
    same(seen[0], seen[2])
    same(seen[1], seen[3])


def test_shapes_that_depend_on_values_are_those_of_a_plain_run() -> None:
    f = lambda x: largest(mg.sum(x * x, axis=0) * 0.5) + 1.0
    same(mg.compile(f)(X), f(X))


def test_what_was_drawn_is_not_drawn_again_to_be_looked_at() -> None:
    results = []
    for wrap in (mg.compile, lambda f: f):
        rng = np.random.default_rng(0)
        f = wrap(lambda x, rng=rng: largest(mg.abs(mg.sample(rng.standard_normal, (3,)) * x)) + mg.sample(rng.random))
        results.append(f(np.ones(3)))
    same(*results)


def test_an_index_that_was_computed_is_checked_while_tracing() -> None:
    f = mg.compile(lambda x, k: x[mg.maximum(k, 0) * 2])
    same(f(X[0], np.array([-1, 1])), X[0][[0, 2]])
    with pytest.raises(IndexError, match=r"getitem: \(3,\) float64 and \(3,\) int64"):
        f(X[0], np.array([0, 1, 2]))


def test_an_index_that_depends_on_what_was_not_computed_is_checked_as_well() -> None:
    f = mg.compile(lambda x, table: table[mg.argmax(mg.tanh(x) * 2.0, axis=1)])
    same(f(X, np.arange(3.0)), np.array([2.0, 0.0]))
    with pytest.raises(IndexError, match=r"getitem: \(2,\) float64 and \(2,\) int64"):
        f(X, np.arange(2.0))


def test_errors_that_depend_on_integers_are_named_while_tracing() -> None:
    f = lambda k, n: k**n
    same(mg.compile(f)(np.array([2, 3]), np.array([1, 2])), np.array([2, 9]))
    with pytest.raises(ValueError, match=r"power: .* int64"):
        mg.compile(f)(np.array([2, 3]), np.array([-1, 2]))


def test_shapes_that_do_not_fit_are_named_while_tracing() -> None:
    for f in (lambda x: mg.tanh(x) + x[:, :2], lambda x: mg.tanh(x) @ mg.tanh(x), lambda x: x.sum() @ x):
        with pytest.raises(ValueError, match=r"(add|matmul): \(.*\) float64 and \(.*\) float64"):
            mg.compile(f)(X)


def test_no_warning_comes_from_what_is_not_computed() -> None:
    f = mg.compile(lambda x: mg.log(x - 1.0) + mg.sqrt(x) ** -1.0)
    np.testing.assert_allclose(f(X * 0 + 4), np.log(3) + 0.5)


# --- objects ---------------------------------------------------------------------------------------------------------


def test_nothing_of_a_trace_waits_for_the_garbage_collector() -> None:
    f = mg.compile(mg.grad(lambda x: mg.sum(mg.tanh(x) @ np.eye(3))))
    gc.collect()
    gc.disable()
    try:
        f(X)
        assert not [x for x in gc.get_objects() if isinstance(x, (Trace, Instruction, Value))]
    finally:
        gc.enable()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_afterwards_as_it_was(enabled: bool) -> None:
    def fails(x: Any) -> Any:
        assert not gc.isenabled()
        return float(x.sum())

    (gc.enable if enabled else gc.disable)()
    try:
        mg.compile(lambda x: x * 2)(X)
        assert gc.isenabled() is enabled
        with pytest.raises(TypeError):
            mg.compile(fails)(X)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_what_is_learned_of_a_call_with_an_array_in_it_is_forgotten_with_its_program() -> None:
    f = mg.compile(lambda x: x[np.array([1, 0])] + x[[0, 1]] * 2.0)
    f(np.ones((2, 3)))
    assert f.kinds.lasting
    assert not [x for kind in f.kinds.lasting.values() for x in kind.inputs if isinstance(x, (np.ndarray, list))]
    assert not f.kinds.passing


# --- many pieces of memory -------------------------------------------------------------------------------------------


def test_memory_that_is_planned_in_bundles_holds_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.random.default_rng(0).standard_normal((4, 4)) * 0.5

    def f(x: Any) -> Any:
        hs = [x]
        for _ in range(12):
            hs.append(mg.tanh(hs[-1] @ w) * mg.sigmoid(hs[-1][:, ::-1]) + mg.sum(hs[-1]) * 0.1)
        return mg.sum(mg.stack(hs) ** 2)

    x, found = np.random.default_rng(1).standard_normal((3, 4)), []
    for pieces in (1024, 8, 3):
        monkeypatch.setattr(places, "PIECES", pieces)
        compiled = mg.compile(mg.value_and_grad(f))
        compiled(x * 0.1)
        found.append((*compiled(x), compiled.program.nbytes))
    for value, gradient, nbytes in found[1:]:
        same(value.data, found[0][0].data)
        same(gradient.data, found[0][1].data)
        assert nbytes > found[0][2]


def _late(x: mg.Tensor) -> Any:
    y = (x * 2.0).detach()
    y.requires_grad = True
    (y * y).sum().backward()
    return y.grad


def test_a_tensor_made_inside_that_requires_a_gradient_later_gets_that_of_each_call() -> None:
    f = mg.compile(_late)
    for x in (X, 3.0 * X):
        same(f(mg.tensor(x)), 4.0 * x)


@pytest.mark.parametrize("before", [True, False])
def test_a_function_cannot_set_requires_grad_of_an_argument(before: bool) -> None:
    def f(x: mg.Tensor) -> None:
        x.requires_grad = not before

    with pytest.raises(TypeError, match="compile: the function sets requires_grad of an argument; set it before"):
        mg.compile(f)(mg.tensor(X, requires_grad=before))


def test_a_linear_map_is_written_down_as_a_product_and_a_sum() -> None:
    lines = traced(lambda x: mg.linear(x, np.ones((3, 2)), np.ones(2)), X)
    assert [i.kind.primitive.name for i in lines] == ["matmul", "add"]


@pytest.mark.parametrize(("W", "b"), [((3, 2), (3,)), ((3, 2), (1, 2)), ((5, 3, 2), (2,)), ((3, 1), (2,))], ids=str)
def test_a_linear_map_that_does_not_fit_is_refused_as_in_a_plain_run(W: Any, b: Any) -> None:
    for wrap in (np.ones, lambda shape: mg.tensor(np.ones(shape))):
        with pytest.raises(ValueError, match="linear: W must be") as plain:
            mg.linear(mg.tensor(X), wrap(W), wrap(b))
        with pytest.raises(ValueError, match="linear: W must be") as compiled:
            mg.compile(lambda x, wrap=wrap: mg.linear(x, wrap(W), wrap(b)))(mg.tensor(X))
        assert str(compiled.value).split("; got")[1] in str(plain.value)


def test_a_ufunc_without_a_rule_serves_plain_arrays_as_it_does_in_a_plain_run() -> None:
    f = mg.compile(lambda x: np.nextafter(x, 1.0))
    for x in (X, 2.0 * X):
        same(f(x), np.nextafter(x, 1.0))
    with pytest.raises(TypeError, match=r"np\.nextafter has no derivative rule for a Tensor"):
        f(mg.tensor(X))


# --- tensors ---------------------------------------------------------------------------------------------------------


def test_what_nobody_holds_is_gone_while_the_trace_goes_on_and_what_is_kept_is_unusable_after_it() -> None:
    kept, gone = [], []

    def f(x: Any) -> Any:
        kept.append(mg.tanh(x))
        gone.append(weakref.ref(mg.sin(x)))
        for _ in range(2 * MANY):
            x = x + 1.0
        gone.append(gone[0]())
        return x

    mg.compile(f)(X)
    assert gone[1] is None
    with pytest.raises(RuntimeError, match="kept from inside"):
        _ = kept[0] + 1.0


# --- parts -----------------------------------------------------------------------------------------------------------


def test_parts_at_an_integer_are_views_wherever_they_come_from_and_checked() -> None:
    def f(x: Any) -> Any:
        y, flat = mg.tanh(x), mg.tanh(x[0])
        return y[0] + y[-1] * y[1][2], flat[1] * flat[-3], mg.getitem(y, index=1), x[1][:2]

    for a, b in zip(mg.compile(f)(X), f(X), strict=True):
        same(a, b)
    lines = traced(lambda x: mg.tanh(x)[-1], X)
    assert repr(lines[-1]).endswith("# a view of v1:f64[2,3]")
    for index in (2, -3):
        with pytest.raises(IndexError, match="getitem"):
            mg.compile(lambda x, index=index: mg.tanh(x)[index])(X)


@pytest.mark.parametrize(("operation", "a"), [(np.multiply, X), (np.matmul, X.T)])
@pytest.mark.parametrize("closed_over", [True, False])
def test_a_gradient_that_is_made_of_plain_arrays_alone_is_an_array_as_in_a_plain_run(
    operation: Any, a: Any, closed_over: bool
) -> None:
    w = mg.tensor(X, requires_grad=True)

    def gradient(g: Any, a: Any = a) -> Any:
        w.grad = None
        operation(w, a).backward(g)
        return w.grad

    given = (np.ones(operation(X, a).shape), *(() if closed_over else (a,)))
    same(mg.compile(gradient)(*given), gradient(*given))
    assert type(mg.compile(gradient)(*given)) is np.ndarray
