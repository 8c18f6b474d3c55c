"""compile: what a compiled function shares with the function, and what it refuses."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import Tensor
from minigrad.compiler.function import KEPT

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


# --- one trace, many calls -------------------------------------------------------------------------------------------


def test_function_runs_once_and_later_calls_are_replayed() -> None:
    calls = []
    f = mg.compile(lambda x: calls.append(1) or mg.tanh(x) * 2)
    for scale in (1.0, 2.0, 3.0):
        np.testing.assert_array_equal(f(X * scale), np.tanh(X * scale) * 2)
    assert len(calls) == 1


def test_another_shape_dtype_or_python_value_is_traced_anew() -> None:
    calls = []
    f = mg.compile(lambda x, n=1: calls.append(1) or x * n)
    for args in [(X,), (X,), (X[0],), (X.astype(np.float32),), (X, 2), (X, 2), (X, 2.0), (X, True), (mg.tensor(X),)]:
        same(f(*args), args[0] * (args[1] if len(args) > 1 else 1))
    assert len(calls) == 7


def test_structure_of_arguments_and_results_is_kept() -> None:
    f = lambda tree, scale: {"a": tree["x"] * scale, "b": (tree["y"][0], [tree["y"][1] + 1, None, "text"])}
    tree = {"x": mg.tensor(X), "y": (mg.tensor(1.0), mg.tensor(X[0]))}
    got, expected = mg.compile(f)(tree, scale=3.0), f(tree, 3.0)
    assert got.keys() == expected.keys()
    assert got["b"][1][1:] == [None, "text"]
    for a, b in zip(mg.tree_leaves(got)[:3], mg.tree_leaves(expected)[:3]):
        same(a, b)


def test_order_of_keyword_arguments_does_not_matter() -> None:
    calls = []
    f = mg.compile(lambda *, a, b: calls.append(1) or a - b)
    same(f(a=X, b=X * 2), f(b=X * 2, a=X))
    assert len(calls) == 1


def test_who_takes_any_keywords_gets_them_in_the_order_of_the_call() -> None:
    joined = lambda **parts: mg.concatenate(list(parts.values()))
    f = mg.compile(joined)
    for _ in range(2):
        same(f(a=X, b=-X), joined(a=X, b=-X))
        same(f(b=-X, a=X), joined(b=-X, a=X))


def test_arrays_give_arrays_and_tensors_give_tensors_as_without_compile() -> None:
    f = lambda x: (mg.tanh(x), x > 0, mg.argmax(x), x)
    for x in (X, mg.tensor(X)):
        for a, b in zip(mg.compile(f)(x), f(x), strict=True):
            assert isinstance(a, Tensor) is isinstance(b, Tensor)
            same(a, b)


def test_results_belong_to_the_caller() -> None:
    f = mg.compile(lambda x: (mg.tanh(x), x, x[0], mg.transpose(x), np.ones(3)))
    first = f(X)
    kept = [np.array(y) for y in first]
    for y in first:
        y += 100.0  # and no later call minds
    second = f(X)
    f(X * 2)
    for y, expected in zip(second, kept, strict=True):
        same(y, expected)


def test_argument_arrays_are_not_changed_or_kept() -> None:
    x = X.copy()
    f = mg.compile(lambda x: mg.tanh(x * 2 + 1))
    y = f(x)
    same(x, X)
    x[...] = 0
    same(f(X), y)


def test_first_call_and_later_calls_agree_to_the_bit() -> None:
    f = mg.compile(mg.value_and_grad(lambda x: mg.log_softmax(x @ X).sum()))
    x = np.random.default_rng(0).standard_normal((4, 2))
    for a, b in zip(f(x), f(x), strict=True):
        same(a, b)


def test_methods_are_compiled_for_each_instance() -> None:
    class Scale:
        def __init__(self, by: float) -> None:
            self.by = by

        @mg.compile
        def apply(self, x: Any) -> Any:
            return x * self.by

    one, two = Scale(1.0), Scale(2.0)
    same(one.apply(X), X)
    same(two.apply(X), X * 2)
    same(one.apply(X), X)


def test_programs_that_were_made_first_are_dropped_when_there_are_many() -> None:
    f = mg.compile(lambda x, n: x + n)
    for n in range(KEPT + 5):
        same(f(X, n), X + n)
    assert sum(map(len, f.programs.values())) == KEPT
    same(f(X, 0), X)


@pytest.mark.parametrize("sizes", [[60] * 4, [60, 61, 62, 63]], ids=["one program", "a program each"])
def test_threads_share_programs_and_memory_without_mixing_their_results(sizes: list[int]) -> None:
    f = mg.compile(lambda x: mg.tanh(mg.tanh(x * 2) @ x))
    inputs = [np.random.default_rng(n).standard_normal((n, n)) for n in sizes]
    expected, failures = [f(x) for x in inputs], []

    def work(k: int) -> None:
        for _ in range(50):
            if not np.array_equal(f(inputs[k]), expected[k]):
                failures.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_compiled_inside_of_compiled_is_one_program() -> None:
    inner = mg.compile(lambda x: mg.tanh(x))
    outer = mg.compile(lambda x: inner(x) * 2)
    same(outer(X), np.tanh(X) * 2)
    assert not inner.programs


def test_no_compile_runs_the_function_itself_on_what_is_there_now() -> None:
    weights = [mg.tensor(2.0, requires_grad=True)]
    f = mg.compile(lambda x: (x * weights[0]).sum())
    x = mg.tensor([1.0, 2.0])
    f(x)
    weights[0] = mg.tensor(5.0, requires_grad=True)
    with mg.no_compile():
        y = f(x)
        y.backward()
    assert (y.item(), weights[0].grad) == (15.0, 3.0)
    assert f(x).item() == 6.0


def test_detect_anomaly_runs_the_function_itself() -> None:
    f = mg.compile(lambda x: mg.log(x))
    with mg.detect_anomaly(), np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="log"):
        f(mg.tensor([-1.0]))


# --- derivatives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_any_order_are_compiled(order: int) -> None:
    f = lambda x: mg.tanh(x * x)
    for _ in range(order):
        f = mg.grad(f)
    compiled = mg.compile(f)
    for x in (0.3, 0.8):
        np.testing.assert_allclose(compiled(np.float64(x)), f(x), rtol=1e-12)


def test_transforms_are_compiled() -> None:
    f = lambda x: mg.sum(mg.tanh(x) ** 3)
    v = np.ones_like(X) * 0.5
    for transformed in [
        mg.value_and_grad(f),
        mg.hessian(f),
        mg.jacobian(mg.tanh),
        lambda x: mg.hvp(f, (x,), (v,)),
        lambda x: mg.jvp(f, (x,), (v,)),
        lambda x: mg.vjp(mg.tanh, x)[1](v),
    ]:
        compiled = mg.compile(transformed)
        for x in (X, X * 0.5):
            for a, b in zip(mg.tree_leaves(compiled(x)), mg.tree_leaves(transformed(x)), strict=True):
                np.testing.assert_allclose(np.asarray(a.data), b.data, rtol=1e-11)


def test_a_cotangent_that_two_tensors_share_is_not_added_to_in_place() -> None:
    def f(x: Any) -> Any:
        b = mg.sin(x)
        a = mg.tanh(x)  # newer, so its gradient is summed up first: g, and 3 at row 0
        return mg.sum(mg.cos(a + b)) + mg.sum(a[0] * 3.0)

    np.testing.assert_allclose(mg.compile(mg.grad(f))(X).data, mg.grad(f)(X).data, rtol=1e-12)


def test_auxiliary_values_are_returned() -> None:
    f = mg.compile(mg.value_and_grad(lambda x: (mg.sum(x * x), x + 1), has_aux=True))
    (value, aux), g = f(X)
    np.testing.assert_allclose(value.item(), np.sum(X * X))
    same(aux.data, X + 1)
    same(g, 2 * X)


def test_backward_inside_sets_the_gradient_at_every_call() -> None:
    w = leaf(X)

    @mg.compile
    def step(x: Any) -> Any:
        loss = mg.sum(w * w * x)
        loss.backward()
        return loss

    for scale in (1.0, 2.0):
        w.grad = None
        step(np.full(3, scale))
        same(w.grad, 2 * X * scale)


def test_backward_inside_adds_to_a_gradient_that_is_there() -> None:
    w = leaf(X)
    step = mg.compile(lambda: mg.sum(w).backward())
    for n in (1, 2, 3):
        step()
        same(w.grad, np.full((2, 3), float(n)))


def test_zero_grad_inside_is_part_of_the_program() -> None:
    model = nn.Linear(3, 2, rng=0, dtype=np.float64)

    @mg.compile
    def step(x: Any) -> None:
        model.zero_grad()
        model(x).sum().backward()

    for _ in range(3):
        step(X)
    assert model.b is not None
    same(model.b.grad, np.array([2.0, 2.0]))


def test_backward_reaches_arguments_that_are_leaves() -> None:
    w = leaf(X)
    step = mg.compile(lambda w: mg.sum(w * w).backward())
    step(w)
    same(w.grad, 2 * X)


def test_gradients_of_two_calls_share_no_memory() -> None:
    w = leaf(X)
    step = mg.compile(lambda: mg.sum(w * w).backward())
    step()
    first, w.grad = w.grad, None
    step()
    assert not np.shares_memory(first, w.grad)
    first += 1.0
    same(w.grad, 2 * X)


def test_a_derivative_of_the_result_is_refused() -> None:
    f = mg.compile(lambda x: mg.sum(x * x))
    with pytest.raises(RuntimeError, match="value_and_grad"):
        mg.grad(f)(X)
    with pytest.raises(RuntimeError, match="value_and_grad"):
        f(leaf(X)).backward()


def test_backward_to_an_argument_with_a_record_is_refused() -> None:
    step = mg.compile(lambda w: mg.sum(w * w).backward())
    with pytest.raises(RuntimeError, match="detached"):
        step(leaf(X) * 2)


def test_programs_for_many_shapes_take_turns_in_one_block_of_memory() -> None:
    net = nn.GRU(3, 8, rng=0)

    def last(xs: Any) -> Any:
        h, _ = net(xs)
        net.zero_grad()
        mg.sum(h[-1] ** 2).backward()
        return h[-1]

    compiled, rng = mg.compile(last), np.random.default_rng(0)
    inputs = [rng.standard_normal((T, 2, 3), np.float32) for T in (9, 2, 5, 7, 9, 5, 2)]
    found = [(compiled(xs), [p.grad for p in net.parameters()]) for xs in inputs]
    for xs, (y, gradients) in zip(inputs, found, strict=True):
        np.testing.assert_allclose(y.data, last(xs).data, rtol=1e-5)
        for p, g in zip(net.parameters(), gradients, strict=True):
            np.testing.assert_allclose(g, p.grad, rtol=1e-4, atol=1e-6)
    programs = [program for (program,) in compiled.programs.values()]
    assert len(programs) == 4
    assert all(program.block is programs[0].block for program in programs)


def test_a_program_that_needs_more_memory_leaves_those_before_it_theirs() -> None:
    compiled = mg.compile(lambda x: mg.tanh(x @ x) @ x)
    for n in (2, 9, 2, 30, 9, 2):
        x = np.random.default_rng(n).standard_normal((n, n))
        np.testing.assert_allclose(compiled(x).data, np.tanh(x @ x) @ x, rtol=1e-12)
    assert len(compiled.programs) == 3
