"""compile: rules that need not be called again while a function is traced, and those that are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiler.rules import Recipe

X = np.random.default_rng(0).standard_normal((6, 2, 3))


def same(f: Any, *args: Any) -> None:
    for a, b in zip(mg.tree_leaves(mg.compile(f)(*args)), mg.tree_leaves(f(*args)), strict=True):
        np.testing.assert_allclose(mg.as_tensor(a).data, mg.as_tensor(b).data, rtol=1e-12, atol=1e-12)


def counted(p: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the rules of a primitive are called, from now on."""
    calls = [0]

    def counting(rule: Any) -> Any:
        def called(*operands: Any, **static: Any) -> Any:
            calls[0] += 1
            return rule(*operands, **static)

        return called

    monkeypatch.setattr(p.definition, "rules", tuple([rule and counting(rule) for rule in p.rules]))
    return calls


def chain(x: Any) -> Any:
    for _ in range(12):
        x = mg.tanh(x) * 0.5
    return mg.sum(x)


def test_a_rule_is_called_once_for_calls_of_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(mg.tanh, monkeypatch)
    f = mg.compile(mg.grad(chain))
    f(X[0])
    assert calls == [1]
    f(X)
    assert calls == [2]  # another shape


def test_no_recipe_is_written_of_what_is_called_only_once() -> None:
    recipes = lambda f: [r for kind in f.kinds.lasting.values() for r in kind.found.values() if isinstance(r, Recipe)]
    once, often = [mg.compile(mg.grad(f)) for f in (lambda x: mg.sum(mg.tanh(x) * 0.5), chain)]
    for f in (once, often):
        f(X[0])
    assert not recipes(once)
    assert recipes(often)


def test_a_rule_that_hands_its_cotangent_on_is_called_once_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        for _ in range(8):
            x = x + mg.sin(x)
        return mg.sum(x)

    calls = counted(mg.add, monkeypatch)
    mg.compile(mg.grad(f))(X[0])
    assert calls == [2]  # for each of the two inputs
    same(mg.grad(f), X[0])


def test_a_rule_is_called_again_for_other_constants_and_cotangents() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for k in range(6):
            row = mg.flip(x[k], axis=k % 2) ** (k + 1.0) * mg.sum(x[k], axis=k % 2, keepdims=True)
            total = total + mg.sum(row) + mg.sum(mg.sum(x[k], axis=k % 2) ** 2)
        return total

    same(mg.value_and_grad(f), X)


def test_a_cotangent_that_was_computed_before_is_not_mixed_up_with_others() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for k in range(4):
            y = mg.tanh(x[k])
            total = total + (mg.sum(y * mg.tensor(1.0) * (y * y)) if k == 0 else mg.sum(y * x[k - 1] * (y * y)))
        return total

    same(mg.value_and_grad(f), X)
    y = lambda x: mg.tanh(x)
    same(lambda x: [mg.vjp(y, x[k])[1](y(x[k]) * y(x[k]) if k == 0 else x[k - 1]) for k in range(4)], X)


def test_a_rule_is_called_again_for_a_cotangent_of_another_dtype() -> None:
    narrow = X[0].astype(np.float32)

    def f(x: Any) -> Any:
        y, pull = mg.vjp(mg.tanh, x)
        return [pull(mg.astype(y, dtype)) for dtype in (np.float32, np.float64)]

    same(f, narrow)
    for a, b in zip(mg.tree_leaves(mg.compile(f)(narrow)), mg.tree_leaves(f(narrow)), strict=True):
        assert mg.as_tensor(a).dtype == mg.as_tensor(b).dtype


def test_rules_that_are_declared_anew_are_called_from_the_next_trace_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        y = x[0]
        for k in range(len(x)):
            y = mg.tanh(y) * x[k]
        return mg.sum(y)

    compiled = mg.compile(mg.grad(f))
    compiled(X)
    monkeypatch.setattr(mg.tanh, "definition", mg.tanh.definition)
    mg.tanh.declare((lambda g, y, x: g * 7.0,), None)
    np.testing.assert_allclose(mg.as_tensor(compiled(X[:5])).data, mg.as_tensor(mg.grad(f)(X[:5])).data, rtol=1e-12)


def test_only_what_asks_for_a_gradient_gets_one_in_calls_of_one_kind() -> None:
    c = mg.tensor(X[1])

    def f(x: Any) -> Any:
        y = x[0] * c
        for k in range(3):
            y = (c * x[k]) * (x[k] * c) * (y * x[k]) * mg.sum(y, axis=0, keepdims=True)
        return mg.sum(y)

    same(mg.grad(f), X)
    same(lambda x: mg.grad(lambda a: f(x) * mg.sum(a * a))(x), X)


def test_sums_of_like_terms_in_another_order_are_told_apart() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for k in range(4):
            y = mg.tanh(x[k])
            parts = [lambda y: mg.sum(y[:1] * 3.0), lambda y: mg.sum(y * x[0]), lambda y: mg.sum(y[1:] * x[1, :1])]
            for n in range(3):
                total = total + parts[(n + k) % 3](y)
        return total

    same(mg.value_and_grad(f), X)


def test_cotangents_get_the_dtype_of_their_tensor_and_no_other_sum() -> None:
    c, d, narrow = mg.tensor(X[1]), mg.tensor(X[2]), X[0].astype(np.float32)

    def f(x: Any, z: Any) -> Any:
        total = mg.sum(z * c) + mg.sum(z * d)
        for _ in range(3):
            y, w, z = mg.tanh(x), mg.tanh(x), mg.tanh(z)
            total = total + mg.sum(y * c) + mg.sum(w * c) + mg.sum(w * d) + mg.sum(z * c) + mg.sum(z * d)
            x = mg.tanh(y * w)
        return total

    grads = mg.grad(f, argnums=(0, 1))
    for a, b in zip(mg.compile(grads)(narrow, X[0]), grads(narrow, X[0]), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.data, b.data, rtol=1e-6)
    alone = mg.grad(lambda x: mg.sum(mg.tanh(x[0]) * c) + mg.sum(mg.tanh(x[1]) * d))
    np.testing.assert_array_equal(mg.compile(alone)(X.astype(np.float32)).data, alone(X.astype(np.float32)).data)


def test_products_of_more_rows_are_another_sum() -> None:
    rows = mg.tensor(X.reshape(-1, 3))

    def f(V: Any, W: Any) -> Any:
        a, b = mg.sum(mg.tanh(rows[:2] @ V)), mg.sum(mg.tanh(rows[2:4] @ V))
        return a + b + mg.sum(mg.tanh(rows[:5] @ W)) + mg.sum(mg.tanh(rows[5:10] @ W))

    same(mg.grad(f, argnums=(0, 1)), X[0, :1].T @ X[1, :1], X[2, :1].T @ X[3, :1])


def test_rows_picked_by_other_indices_are_another_term() -> None:
    def f(W: Any, i: Any, j: Any) -> Any:
        return mg.sum(W[i] * 2.0) + mg.sum(mg.tanh(W[j])) + mg.sum(mg.sin(W)[i]) + mg.sum(mg.cos(W)[j] ** 2)

    gradient, W, i, j = mg.compile(mg.grad(f)), X[0].T, np.array([0, 2]), np.array([1, 1])
    for args in ((W, i, i), (W, i, j)):
        np.testing.assert_allclose(gradient(*args).data, mg.grad(f)(*args).data, rtol=1e-12)


def test_a_cotangent_from_outside_that_is_handed_on_comes_back_as_a_copy() -> None:
    c = mg.tensor(X[1])
    y = mg.compile(lambda x: mg.vjp(lambda x: x + 1.0, x)[1](c)[0])(X[0])
    assert y is not c
    assert not np.shares_memory(y.data, c.data)
    np.testing.assert_array_equal(y.data, c.data)


def test_plain_arrays_that_rules_return_are_added_to_tensors() -> None:
    p = mg.primitive(lambda x: x * 3.0, lambda g, y, x: np.full(x.shape, 3.0), name="tripled")

    def f(x: Any) -> Any:
        y = mg.tanh(x)
        for _ in range(3):
            y = mg.tanh(y) + p(y)
        return mg.sum(p(y)) + mg.sum(mg.sin(y)) + mg.sum(p(y))

    same(mg.grad(f), X[0])


def test_a_cotangent_that_is_a_plain_array_gives_what_a_plain_run_gives() -> None:
    for f in (lambda x: x + 1.0, lambda x: mg.tanh(x) + x, lambda x: mg.reshape(x, (3, 2)).T, lambda x: +x):
        pull = lambda x, c, f=f: mg.vjp(f, x)[1](c)
        same(pull, X[0], X[1])
        kinds = [[type(a) for a in mg.tree_leaves(p(X[0], X[1]))] for p in (pull, mg.compile(pull))]
        assert kinds[0] == kinds[1]


def test_a_rule_that_looks_gets_what_was_computed_of_the_cotangent() -> None:
    seen = []

    def looking(x: Any) -> Any:
        seen.append(float(np.sum(x)))
        return x * 1.0

    look = mg.primitive(looking, lambda g, y, x: look(g), name="look")
    fs = (
        lambda x, c: mg.vjp(look, x)[1](c),
        lambda x, c: mg.vjp(lambda x: look(x) + x[0], x)[1](c * 2.0),
        lambda x, c: look(mg.sum(x)) + mg.sum(mg.tanh(x)) + look(mg.sum(x)),  # the second is like one not computed
    )
    for f in fs:
        seen.clear()
        f(X[0], X[1])
        plain = list(seen)
        seen.clear()
        mg.compile(f)(X[0], X[1])
        assert seen[: len(plain)] == pytest.approx(plain)


def test_rules_of_a_primitive_of_the_users_own_are_called_each_time() -> None:
    calls = []
    p = mg.primitive(lambda x: x * 2.0, lambda g, y, x: calls.append(1) or g * 2.0, name="twice")

    def f(x: Any) -> Any:
        for _ in range(5):
            x = p(x)
        return mg.sum(x)

    mg.compile(mg.grad(f))(X[0])
    assert len(calls) == 5


def test_gradients_of_tensors_of_a_class_of_the_users_own_are_right() -> None:
    class Mine(mg.Tensor):
        pass

    def f(x: Any) -> Any:
        mine = Mine(np.ones((2, 3)), requires_grad=True)
        y = mine * x
        for _ in range(4):
            y = mg.tanh(y) * y
        return mg.sum(mg.tanh(x) * x) + mg.sum(y)

    same(mg.value_and_grad(f), X[0])


def test_second_derivatives_of_a_loop_are_those_of_a_plain_run() -> None:
    same(lambda x: mg.grad(lambda x: mg.sum(mg.grad(chain)(x) ** 2))(x), X[0])
    same(lambda x: mg.hvp(chain, (x,), (x * 2.0,)), X[0])


def test_rules_that_read_integers_and_masks_are_right() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for k in range(5):
            picked = x[k][np.array([0, k % 2])]
            total = total + mg.sum(mg.where(picked > 0, picked * 2.0, mg.relu(x[k]))) + mg.max(picked)
        return total

    same(mg.value_and_grad(f), X)


def test_an_error_in_a_rule_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("broken")

    f = mg.compile(mg.grad(chain))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mg.tanh.definition, "rules", (broken,))
        with pytest.raises(ValueError, match="tanh: the rule for input 0"):
            f(X[0])
    same(mg.grad(chain), X[0])
    assert np.isfinite(mg.as_tensor(f(X[0])).data).all()


W = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, 1.0]])
LINEAR = {
    "a product": lambda x: mg.sum(x * W),
    "an entry": lambda x: mg.sum(x[0] * W[1]),
    "a choice": lambda x: mg.sum(mg.where(W > 0, x, 0.0)),
    "a matrix product": lambda x: mg.sum(x @ W.T),
    "a checkpoint": mg.checkpoint(lambda x: mg.sum(x * W)),
}
SECOND = {
    "grad of grad": lambda f: mg.grad(lambda x: mg.sum(mg.grad(f)(x) * W)),
    "grad of jvp": lambda f: mg.grad(lambda x: mg.jvp(f, (x,), (W,))[1] * 2.0),
    "grad of vjp": lambda f: mg.grad(lambda x: mg.sum(mg.vjp(f, x)[1](1.0)[0])),
    "hessian": mg.hessian,
    "hvp": lambda f: lambda x: mg.hvp(f, (x,), (W,)),
    "third": lambda f: mg.grad(lambda x: mg.sum(mg.grad(lambda x: mg.sum(mg.grad(f)(x) * W))(x) * x)),
}


@pytest.mark.parametrize("second", SECOND.values(), ids=SECOND)
@pytest.mark.parametrize("f", LINEAR.values(), ids=LINEAR)
def test_a_gradient_that_no_input_reaches_has_the_derivative_0(f: Any, second: Any) -> None:
    same(second(f), X[0])
    for part in mg.tree_leaves(mg.compile(second(f))(X[0])):
        np.testing.assert_array_equal(part.data, np.zeros_like(part.data))


def test_compiled_plain_numbers_in_place_of_a_result_are_still_refused() -> None:
    with pytest.raises(TypeError, match="must return a floating-point Tensor, got plain numbers"):
        mg.compile(lambda x: mg.grad(lambda t: mg.sum(mg.tanh(x)))(x))(X[0])


@pytest.mark.parametrize("p", [mg.multiply, mg.divide, mg.hypot, mg.logaddexp], ids=lambda p: p.name)
def test_a_cotangent_that_is_an_operand_too_is_told_from_others(p: Any) -> None:
    c, d = mg.tensor(X[1]), mg.tensor(X[2])

    def f(x: Any) -> Any:
        pulls = [mg.vjp(lambda x, a=a: p(x, a), x)[1] for a in (c, d)]
        return [pull(g) for pull in pulls for g in (c, d)]

    same(f, X[0])


def test_an_operand_that_a_call_has_twice_is_told_from_two() -> None:
    p = lambda x, c, d: mg.einsum("ij,ij,ij->", x, c, d)
    same(mg.grad(lambda x, c, d: p(x, c, d) + p(x, d, c) + p(x, c, c)), *X[:3])


@pytest.mark.parametrize(
    "part", [lambda x: x[1], lambda x: x[-1] * 1.0, lambda x: x[1:3]], ids=["x[1]", "x[-1]", "slice"]
)
def test_a_part_that_a_tap_a_copy_or_an_inner_transform_stands_for_gets_its_gradient(part: Any) -> None:
    def tapped(x: Any, e: Any) -> Any:
        return mg.sum(mg.tap(part(x), e) ** 3)

    same(mg.grad(tapped, (0, 1)), X, np.zeros_like(part(X)))
    same(mg.grad(lambda x: mg.sum(mg.grad(lambda v: mg.sum(v**3))(part(x)))), X)
    same(mg.grad(lambda x: mg.sum((+part(x)) ** 3)), X)
