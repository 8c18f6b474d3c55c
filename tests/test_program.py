"""compile: what a compiled function shares with the function, and what it refuses."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import Tensor
from minigrad.program import KEPT

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


def test_threads_share_a_program_without_mixing_their_results() -> None:
    f = mg.compile(lambda x: mg.tanh(mg.tanh(x * 2) @ x))
    inputs = [np.random.default_rng(k).standard_normal((60, 60)) for k in range(4)]
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


# --- what a function closes over -------------------------------------------------------------------------------------


def test_parameters_changed_in_place_are_seen() -> None:
    w = leaf(X)
    f = mg.compile(lambda x: mg.reshape(w, (-1,)) * x)
    f(2.0 * np.ones(6))
    w.writable()[...] = 7.0
    same(f(np.ones(6)).data, np.full(6, 7.0))


def test_parameters_that_are_assigned_are_seen() -> None:
    w = leaf(X)
    f = mg.compile(lambda x: mg.transpose(w) * x)
    for n in range(4):
        w.data = np.full((2, 3), float(n))
        same(f(np.ones(2)).data, np.full((3, 2), float(n)))
        w.writable()[...] += 0.5  # in place again after that
        same(f(np.ones(2)).data, np.full((3, 2), n + 0.5))


def test_training_by_an_optimiser_is_the_same_compiled_and_eager() -> None:
    losses = []
    for wrap in (mg.compile, lambda f: f):
        model = nn.Sequential(nn.Linear(3, 8, rng=0), mg.tanh, nn.Linear(8, 2, rng=1))
        optimizer = nn.Adam(model.parameters(), lr=0.05)

        def gradients(x: Any, y: Any, model: Any = model) -> Any:
            loss = nn.mse_loss(model(x), y)
            loss.backward()
            return loss

        step, rng = wrap(gradients), np.random.default_rng(0)
        losses.append([])
        for _ in range(20):
            x = rng.standard_normal((5, 3)).astype(np.float32)
            optimizer.zero_grad()
            losses[-1].append(step(x, x[:, :2]).item())
            optimizer.step()
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_freezing_a_parameter_is_seen() -> None:
    w, v = leaf(X), leaf(X)

    @mg.compile
    def step() -> None:
        mg.sum(w * v).backward()

    step()
    w.grad = v.grad = None
    w.requires_grad = False
    step()
    assert w.grad is None
    same(v.grad, X)


def test_a_closed_over_array_is_followed() -> None:
    a = X.copy()
    f = mg.compile(lambda x: x * a + a[0] + mg.tensor(2.0))
    same(f(X), X * a + a[0] + 2)
    a *= 3
    same(f(X), X * a + a[0] + 2)


def test_a_closed_over_array_is_followed_backwards_too() -> None:
    a = X.copy()
    f = mg.compile(mg.grad(lambda x: mg.sum(x * x * a)))
    f(X)
    a *= 3
    same(f(X).data, 2 * X * a)


def test_what_rules_compute_from_a_closed_over_array_is_followed_too() -> None:
    a = np.array([1.0, 2.0, 3.0])
    f = mg.compile(mg.grad(lambda x: mg.sum(x**a)))
    f(X * X)
    a += 1.0
    np.testing.assert_allclose(f(X * X).data, a * (X * X) ** (a - 1))


def test_an_array_changed_between_its_uses_is_refused() -> None:
    def f(x: Any) -> Any:
        scratch = np.ones(3)
        y = x * scratch
        scratch += 1
        return y + x * scratch

    with pytest.raises(RuntimeError, match="new array"):
        mg.compile(f)(X)


def test_a_record_from_outside_is_refused() -> None:
    w = leaf(X)
    outside = w * 2
    with pytest.raises(TypeError, match="multiply"):
        mg.compile(lambda x: outside * x)(X)


def test_a_changed_watched_value_is_traced_anew() -> None:
    class Switch:
        on = True

    switch = Switch()
    f = mg.compile(lambda x: x * 2 if mg.watched(switch, "on") else x)
    for on in (True, False, True):
        switch.on = on
        same(f(X), X * 2 if on else X)
    assert len(next(iter(f.programs.values()))) == 2


def test_train_and_eval_are_seen() -> None:
    dropout = nn.Dropout(0.5, rng=0)
    f = mg.compile(dropout)
    assert (f(np.ones(200)) == 0).any()
    dropout.eval()
    same(f(np.ones(200)), np.ones(200))


# --- random numbers --------------------------------------------------------------------------------------------------


def test_random_numbers_are_those_of_eager_calls_with_the_same_seed() -> None:
    draws = []
    for wrap in (mg.compile, lambda f: f):
        rng = np.random.default_rng(3)
        f = wrap(lambda x, rng=rng: x * mg.draw(rng.standard_normal, (3,)) + mg.draw(rng.random, (3,)))
        draws.append([f(X) for _ in range(3)])
    for a, b in zip(*draws, strict=True):
        same(a, b)
    assert not np.array_equal(draws[0][0], draws[0][1])


def test_two_equal_draws_are_two_draws() -> None:
    random = np.random.default_rng(0).random
    a, b = mg.compile(lambda: (mg.draw(random, (3,)), mg.draw(random, (3,))))()
    assert not np.array_equal(a, b)


def test_dropout_has_the_same_masks_forwards_and_backwards() -> None:
    dropout = nn.Dropout(0.5, rng=0)
    f = mg.compile(mg.value_and_grad(lambda x: (mg.sum(dropout(x)), dropout.p), has_aux=True))
    seen = set()
    for _ in range(3):
        (value, _), g = f(np.ones(64))
        assert value.item() == g.data.sum()
        seen.add(g.data.tobytes())
    assert len(seen) == 3


def test_an_unused_draw_still_advances_the_generator() -> None:
    draws = []
    for wrap in (mg.compile, lambda f: f):
        rng = np.random.default_rng(3)
        f = wrap(lambda rng=rng: [mg.draw(rng.random, (2,)) for _ in range(2)][1])
        draws.append([f() for _ in range(2)])
    for a, b in zip(*draws, strict=True):
        same(a, b)


# --- what is refused while tracing -----------------------------------------------------------------------------------

LOOKS = {
    "if t": lambda t: t if t.sum() > 0 else -t,
    "float(t)": lambda t: t * float(t.sum()),
    "int(t)": lambda t: t * int(t.sum()),
    "t.item()": lambda t: t * t.sum().item(),
    "t.data": lambda t: t * t.data,
    "np.asarray(t)": lambda t: t * np.asarray(t),
    "value in t": lambda t: t * (1.0 in t),
    "format(t)": lambda t: f"{t.sum():.3f}",
    "np.allclose(t)": lambda t: np.allclose(t, 1.0),
    "t[mask]": lambda t: t[t > 0],
    "t[mask], in a tuple": lambda t: t[t[:, 0] > 0, 1],
}


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("kind", [mg.tensor, leaf, np.array], ids=["tensor", "leaf", "array"])
def test_a_look_at_values_is_refused_with_the_line_and_a_remedy(name: str, kind: Any) -> None:
    with pytest.raises(TypeError) as error:
        mg.compile(LOOKS[name])(kind(X))
    assert name.split(",")[0] in str(error.value)
    assert "test_program.py:" in str(error.value)
    assert "mg.where" in str(error.value)


def test_a_copy_by_another_module_is_refused() -> None:
    with pytest.raises(TypeError, match="copying t"):
        mg.compile(lambda x: copy.copy(x))(X)


def test_a_look_at_the_values_of_a_closed_over_parameter_is_refused() -> None:
    w = leaf(X)
    for f in (lambda x: x * w.data, lambda x: x * float(w.sum()), lambda x: x if w.sum() > 0 else -x):
        with pytest.raises(TypeError, match=r"test_program\.py"):
            mg.compile(f)(X)


def test_an_update_of_parameters_inside_is_refused() -> None:
    w = leaf(X)

    def assign(x: Any) -> None:
        w.data = X * 2

    for f in (assign, lambda x: w.writable()):
        with pytest.raises(TypeError, match="outside"):
            mg.compile(f)(X)
    same(w.data, X)


def test_an_old_gradient_read_inside_is_refused() -> None:
    w = leaf(X)
    with pytest.raises(TypeError, match=r"t\.grad"):
        mg.compile(lambda x: x * w.grad)(X)


def test_an_error_while_tracing_leaves_generators_and_modes_as_they_were() -> None:
    rng = np.random.default_rng(0)

    def f(x: Any) -> Any:
        return mg.draw(rng.random, (3,)) * float(x.sum())

    with pytest.raises(TypeError):
        mg.compile(f)(X)
    assert rng.random() == np.random.default_rng(0).random()
    assert float(mg.tensor(2.0)) == 2.0


def test_a_tensor_that_leaks_out_of_the_trace_is_unusable() -> None:
    kept = []
    f = mg.compile(lambda x: kept.append(mg.tanh(x)) or x)
    f(X)
    for use in (lambda t: t + 1, lambda t: mg.tanh(t), lambda t: t.data, lambda t: t[0], lambda t: t.shape):
        with pytest.raises(RuntimeError, match="kept from inside"):
            use(kept[0])


def test_an_argument_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        mg.compile(lambda x: X)({1, 2})


def test_a_result_of_another_shape_than_traced_is_refused() -> None:
    odd = mg.primitive(lambda x: x[: int(x[0])] + 1, name="odd")
    f = mg.compile(lambda x: odd(x) * 1)
    f(np.array([2.0, 1.0, 1.0]))
    with pytest.raises(RuntimeError, match="shape"):
        f(np.array([1.0, 1.0, 1.0]))


def test_values_are_checked_at_every_call() -> None:
    layer = nn.Linear(4, 2, rng=0)
    f = mg.compile(lambda ids, y: nn.cross_entropy(layer(ids), y))
    f(np.array([0, 3]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"0 \.\.\. 3"):
        f(np.array([0, 4]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"0 \.\.\. 1"):
        f(np.array([0, 3]), np.array([-1, 1]))
