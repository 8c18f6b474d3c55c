"""compile: what a function reads besides its arguments: parameters, arrays, switches, random numbers."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import Tensor

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


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
    w.requires_grad = True
    step()
    same(w.grad, X)
    same(v.grad, 2 * X)


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


A = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]])
COPIED = {  # what is read of an array a
    "tensor": lambda x, a: x * mg.tensor(a) + mg.as_tensor(a),
    "tensor of another dtype": lambda x, a: x * mg.tensor(a, dtype=np.float32),
    "tensor of a view": lambda x, a: x @ mg.tensor(a.T) + mg.tensor(a[::-1, 0]),
    "grad": lambda x, a: mg.grad(lambda w: mg.sum(w**3 * x[0]))(a),
    "grad of a tree": lambda x, a: mg.grad(lambda w: mg.sum(w["a"] * x) + mg.sum(w["b"] ** 2))({"a": a, "b": a[0]}),
    "vjp": lambda x, a: mg.vjp(mg.sin, x)[1](a)[0],
    "jvp": lambda x, a: mg.jvp(mg.sin, (x,), (a,))[1],
    "hvp": lambda x, a: mg.hvp(lambda x: mg.sum(x**3), (x,), (a,))[0],
    "a result": lambda x, a: (x * 2.0, a),
    "a result made of it": lambda x, a: (x * 2.0, mg.tensor(a)),
}
SET = {  # what is read of settings s
    "a list of numbers": (lambda x, s: x * s, [1.0, 2.0, 3.0], [1.0, 5.0, 3.0]),
    "a list of arrays": (lambda x, s: x + mg.multiply(s, 2.0), [A[0], A[1]], [A[1], A[1]]),
    "a tensor of a list": (lambda x, s: x * mg.tensor(s), [1.0, 2.0, 3.0], [1.0, 5.0, 3.0]),
    "rows of a list": (lambda x, s: x[s], [0, 1], [1, 1]),
    "a list in an index": (lambda x, s: x[0, s], [0, 1], [1, 1, 2]),
    "a shape": (lambda x, s: mg.reshape(x, s), [3, 2], [6, 1]),
    "a shape in an array": (lambda x, s: mg.reshape(x, s), np.array([3, 2]), np.array([2, 3])),
    "axes in an array": (lambda x, s: mg.transpose(x, s), np.array([0, 1]), np.array([1, 0])),
    "a count in an array": (lambda x, s: mg.tril(x, s), np.array(0), np.array(-1)),
}


@pytest.mark.parametrize("f", COPIED.values(), ids=COPIED)
def test_an_array_is_followed_where_it_is_copied_as_well(f: Any) -> None:
    a, x = A.copy(), mg.tensor(A[::-1])
    compiled = mg.compile(lambda x: f(x, a))
    for _ in range(3):
        for got, expected in zip(mg.tree_leaves(compiled(x)), mg.tree_leaves(f(x, a)), strict=True):
            same(got, expected)
        a += 1


def test_an_array_that_the_function_fills_again_is_not_followed() -> None:
    def f(x: Any) -> Any:
        row, rows = np.zeros(3), []
        for k in range(3):
            row[:] = 0
            row[k] = k + 1.0
            rows.append(mg.tensor(row))
        return x @ mg.stack(rows)

    for _ in range(2):
        same(mg.compile(f)(X), X @ np.diag([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(("f", "before", "after"), SET.values(), ids=SET)
def test_a_changed_list_or_shape_is_traced_anew(f: Any, before: Any, after: Any) -> None:
    s, traces = before.copy(), []
    compiled = mg.compile(lambda x: traces.append(0) or f(x, s))
    for values in (before, before, after, before):
        s[() if np.ndim(s) == 0 else slice(None)] = values
        same(compiled(mg.tensor(A)), f(mg.tensor(A), s))
    assert len(traces) == 2


def test_a_mask_that_takes_another_number_is_refused() -> None:
    mask, x = np.array([True, True, False]), X.T
    f, g = mg.compile(lambda x: x[mask] * 2), mg.compile(mg.grad(lambda x: mg.sum(x[mask])))
    f(x), g(x)
    mask[:] = False, True, True
    same(f(x), x[1:] * 2)
    mask[1] = False
    with pytest.raises(ValueError, match=r"shape \(1, .*a mask may change, but how many it takes may not"):
        f(x)
    with pytest.raises(ValueError, match="for a part of shape"):
        g(x)


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


@dataclasses.dataclass(frozen=True)
class Scale:
    by: Any


@pytest.mark.parametrize(
    ("f", "alike"),
    [
        (lambda x, c: x * c.by, [Scale(1), Scale(1.0), Scale(True), Scale((0.0, 1)), Scale((-0.0, True))]),
        (lambda x, c: x * c.stop, [range(0, 4, 2), range(0, 3, 2)]),
        (lambda x, c: x * next(iter(c)), [frozenset([1]), frozenset([1.0]), frozenset([True])]),
        (lambda x, c: x * next(iter(c)), [{1: 0}, {1.0: 0}, {True: 0}]),
        (lambda x, c: 1 / (x * float(c)), [Decimal("0"), Decimal("-0")]),
    ],
    ids=["dataclass", "range", "frozenset", "names", "decimal"],
)
def test_arguments_that_are_equal_but_not_alike_are_traced_apart(f: Any, alike: list[Any]) -> None:
    x, compiled = np.array([1, 2]), mg.compile(f)
    with np.errstate(divide="ignore"):
        for c in (*alike, *alike):
            expected, found = f(x, c), compiled(x, c)
            same(found, expected)
    assert sum(map(len, compiled.programs.values())) == len(alike)


def test_a_watched_value_that_is_equal_but_not_alike_is_traced_anew() -> None:
    own = Scale(1)
    f = mg.compile(lambda x: x * mg.watched(own, "by"))
    for by in (1, 1.0, True, -0.0, 0.0, float("nan"), float("nan")):
        object.__setattr__(own, "by", by)
        same(f(np.arange(3)), np.arange(3) * by)
    assert sum(map(len, f.programs.values())) == 6


@pytest.mark.parametrize("make", [np.array, mg.tensor, lambda x: [np.array(x)], lambda x: (mg.tensor(x), 2)])
@pytest.mark.parametrize("entries", [[2.0], [2.0, 3.0, 4.0]])
def test_a_watched_array_or_tensor_that_is_replaced_by_an_equal_one_is_read_where_it_is_now(
    make: Any, entries: Any
) -> None:
    own = Scale(None)
    first = lambda by: by[0] if isinstance(by, (list, tuple)) else by
    f = mg.compile(lambda x: x * first(mg.watched(own, "by")))
    for _ in range(3):
        object.__setattr__(own, "by", make(entries))
        same(f(np.ones(3)), np.ones(3) * entries)
        now = first(own.by)
        if isinstance(now, Tensor):
            now.data = np.full(now.shape, 5.0)
        else:
            now[:] = 5.0
        same(f(np.ones(3)), np.full(3, 5.0))


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
        f = wrap(lambda x, rng=rng: x * mg.sample(rng.standard_normal, (3,)) + mg.sample(rng.random, (3,)))
        draws.append([f(X) for _ in range(3)])
    for a, b in zip(*draws, strict=True):
        same(a, b)
    assert not np.array_equal(draws[0][0], draws[0][1])


def test_two_equal_draws_are_two_draws() -> None:
    random = np.random.default_rng(0).random
    a, b = mg.compile(lambda: (mg.sample(random, (3,)), mg.sample(random, (3,))))()
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
        f = wrap(lambda rng=rng: [mg.sample(rng.random, (2,)) for _ in range(2)][1])
        draws.append([f() for _ in range(2)])
    for a, b in zip(*draws, strict=True):
        same(a, b)


def test_a_gradient_of_zeros_belongs_to_the_caller_of_each_call() -> None:
    f = mg.compile(mg.grad(lambda x, y: mg.sum(x), argnums=(0, 1)))
    first, second = f(X, X)[1], f(X, X)[1]
    same(first, np.zeros_like(X))
    assert first is not second
    assert not np.shares_memory(first.data, second.data)


def test_a_constant_made_inside_belongs_to_the_caller_of_each_call() -> None:
    f = mg.compile(lambda x: (x * 2.0, mg.tensor(np.ones(3))))
    first, second = f(X)[1], f(X)[1]
    same(first, np.ones(3))
    assert first is not second
    assert not np.shares_memory(first.data, second.data)


@pytest.mark.parametrize("argument", [iter([1.0, 2.0]), map(float, "12"), {"a": 1.0}.values()], ids=lambda x: type(x))
def test_an_argument_that_gives_something_else_the_next_time_is_refused(argument: Any) -> None:
    total = mg.compile(lambda x, it: x * sum(it))
    with pytest.raises(
        TypeError,
        match=r"compile: an argument is a \w+; it must be .* list or dict of these; of an iterator, list\(it\)",
    ):
        total(2.0, argument)
    assert total(2.0, [1.0, 2.0]) == 6.0
