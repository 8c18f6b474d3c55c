"""grad and its relatives: of every order, nested in every way, and over trees."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table import TABLE, Case

import minigrad as mg
from minigrad import Tensor, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from minigrad.testing import check_grad

RNG = np.random.default_rng(0)
X, V, U = RNG.standard_normal((3, 4))
A = RNG.standard_normal((3, 4))


def leaf(x: Any, dtype: Any = float) -> Tensor:
    return mg.tensor(x, dtype=dtype, requires_grad=True)


def bumpy(x: Any) -> Any:
    """A scalar function whose Hessian is full."""
    return mg.sum(mg.tanh(A @ x) * mg.exp(mg.sum(x) * 0.3)) + mg.sum(x) ** 3


def curved(x: Any) -> Any:
    """Four numbers to three."""
    return mg.sin(A @ x) * mg.sum(x * x)


# --- higher orders ---------------------------------------------------------------------------------------------------

KNOWN = {
    "sin": (mg.sin, lambda x, n: np.sin(x + n * np.pi / 2)),
    "exp": (mg.exp, lambda x, n: np.exp(x)),
    "log": (mg.log, lambda x, n: [np.log(x), 1 / x, -1 / x**2, 2 / x**3, -6 / x**4][n]),
    "x^5": (lambda x: x**5, lambda x, n: [x**5, 5 * x**4, 20 * x**3, 60 * x**2, 120 * x][n]),
    "1/x": (lambda x: 1 / x, lambda x, n: [1, -1, 2, -6, 24][n] / x ** (n + 1)),
    "sqrt": (mg.sqrt, lambda x, n: [1, 1 / 2, -1 / 4, 3 / 8, -15 / 16][n] * x ** (0.5 - n)),
    "x x x": (lambda x: x * x * x, lambda x, n: [x**3, 3 * x**2, 6 * x, 6.0, 0.0][n]),
}


@pytest.mark.parametrize(("f", "derivative"), KNOWN.values(), ids=KNOWN)
def test_grad_of_grad_of_grad_of_grad_is_the_known_derivative(f: Any, derivative: Any) -> None:
    g = f
    for n in range(5):
        np.testing.assert_allclose(g(mg.tensor(0.7)).data, derivative(0.7, n), rtol=1e-9, atol=1e-12)
        g = grad(g)


def test_derivatives_of_tanh_follow_from_each_other() -> None:
    y = np.tanh(0.4)
    first, second, third = grad(mg.tanh), grad(grad(mg.tanh)), grad(grad(grad(mg.tanh)))
    np.testing.assert_allclose(first(0.4).data, 1 - y**2, rtol=1e-12)
    np.testing.assert_allclose(second(0.4).data, -2 * y * (1 - y**2), rtol=1e-12)
    np.testing.assert_allclose(third(0.4).data, (6 * y**2 - 2) * (1 - y**2), rtol=1e-12)


# --- nesting ---------------------------------------------------------------------------------------------------------


def test_an_inner_gradient_does_not_take_the_outer_variable_for_its_own() -> None:
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0).item() == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0).item() == 6.0
    assert grad(lambda x: x * jvp(lambda y: x * y, (2.0,), (1.0,))[1])(3.0).item() == 6.0
    assert jvp(lambda x: x * jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))[1].item() == 1.0


def test_an_inner_gradient_at_the_outer_variable_separates_the_two() -> None:
    # d/dx [ d/dy (x y²) at y = x ] = d/dx 2x² = 4x
    assert grad(lambda x: grad(lambda y: x * y * y)(x))(3.0).item() == 12.0
    # and with the roles of x and y exchanged: d/dx [ d/dy (x² y) at y = x ] = 2x
    assert grad(lambda x: grad(lambda y: x * x * y)(x))(3.0).item() == 6.0


def test_a_gradient_through_a_closure_reaches_the_leaf_it_closes_over() -> None:
    w = leaf(2.0)
    slope = grad(lambda x: w * w * x**3)(3.0)  # 3 w² x²
    assert slope.item() == 108.0
    slope.backward()  # 6 w x²
    assert w.grad == 108.0


def test_a_gradient_does_not_add_to_the_leaves_it_closes_over_or_starts_from() -> None:
    w, x = leaf(2.0), leaf(3.0)
    grad(lambda x: w * x)(x)
    jacobian(lambda x: w * x)(x)
    assert (w.grad, x.grad) == (None, None)


def test_a_gradient_penalty_trains_a_parameter() -> None:
    w = leaf(RNG.standard_normal((4, 3)))

    def penalty(w: Any) -> Any:
        slope = grad(lambda x: mg.sum(mg.tanh(x @ w)))(X)
        return (mg.norm(slope) - 1.0) ** 2

    penalty(w).backward()
    np.testing.assert_allclose(w.grad, grad(penalty)(w.data).data, rtol=1e-12)
    check_grad(penalty, w.data)


def test_forward_over_reverse_and_reverse_over_forward_agree() -> None:
    expected = hessian(bumpy)(X).data @ V
    ways = {
        "jvp of grad": jvp(grad(bumpy), (X,), (V,))[1],
        "grad of jvp": grad(lambda x: jvp(bumpy, (x,), (V,))[1])(X),
        "vjp of grad": vjp(grad(bumpy), X)[1](V)[0],
        "grad of a product": grad(lambda x: mg.sum(grad(bumpy)(x) * V))(X),
        "hvp": hvp(bumpy, (X,), (V,))[0],
    }
    for name, way in ways.items():
        np.testing.assert_allclose(way.data, expected, rtol=1e-9, err_msg=name)


def test_second_directional_derivative_is_a_jvp_of_a_jvp() -> None:
    along = lambda x: jvp(bumpy, (x,), (V,))[1]
    np.testing.assert_allclose(jvp(along, (X,), (U,))[1].data, U @ hessian(bumpy)(X).data @ V, rtol=1e-9)


def test_gradient_of_a_jacobian_and_jacobian_of_a_jacobian() -> None:
    total = lambda x: mg.sum(jacobian(curved)(x) ** 2)
    check_grad(total, X)
    second = jacobian(jacobian(curved))(X)
    assert second.shape == (3, 4, 4)
    np.testing.assert_allclose(second.data, np.swapaxes(second.data, 1, 2), rtol=1e-9)


# --- agreement -------------------------------------------------------------------------------------------------------


@settings(max_examples=8 * settings.default.max_examples)
@given(st.data())
def test_forward_and_reverse_mode_are_adjoint_for_every_primitive(data: st.DataObject) -> None:
    case: Case = data.draw(TABLE[data.draw(st.sampled_from(list(TABLE)))])
    rng = np.random.default_rng(0)
    vs = tuple(rng.standard_normal(x.shape) for x in case.inputs)
    y, pullback = vjp(case.function, *case.inputs)
    value, dy = jvp(case.function, case.inputs, vs)
    g = mg.tree_map(lambda part: rng.standard_normal(part.shape), y)
    dot = lambda a, b: sum(np.sum(s.data * t) for s, t in zip(mg.tree_leaves(a), mg.tree_leaves(b), strict=True))
    np.testing.assert_allclose(dot(dy, g), dot(pullback(g), vs), rtol=1e-9, atol=1e-10)
    mg.tree_map(lambda a, b: np.testing.assert_array_equal(a.data, b.data), value, y)


def test_jvp_is_the_jacobian_times_the_direction() -> None:
    y, dy = jvp(curved, (X,), (V,))
    np.testing.assert_allclose(y.data, curved(X), rtol=1e-12)
    np.testing.assert_allclose(dy.data, jacobian(curved)(X).data @ V, rtol=1e-10)


def test_vjp_is_the_jacobian_transposed_times_the_cotangent_however_often_it_is_asked() -> None:
    y, pullback = vjp(curved, X)
    j = jacobian(curved)(X).data
    assert y.shape == (3,)
    for g in RNG.standard_normal((3, 3)):
        np.testing.assert_allclose(pullback(g)[0].data, j.T @ g, rtol=1e-10)


def test_hessian_is_symmetric_and_that_of_finite_differences() -> None:
    h = hessian(bumpy)(X).data
    np.testing.assert_allclose(h, h.T, rtol=1e-9)
    for k in range(4):
        step = np.eye(4)[k] * 1e-5
        column = (grad(bumpy)(X + step).data - grad(bumpy)(X - step).data) / 2e-5
        np.testing.assert_allclose(h[:, k], column, rtol=1e-6, atol=1e-7)


def test_value_and_grad_gives_both() -> None:
    y, g = value_and_grad(bumpy)(X)
    np.testing.assert_allclose(y.data, bumpy(mg.tensor(X)).data)
    np.testing.assert_array_equal(g.data, grad(bumpy)(X).data)


# --- arguments -------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    h: Any
    c: Any


def of_tree(tree: Any) -> Any:
    (a, [b]), d, pair = tree
    return mg.sum(a * a) + mg.sum(b) * 2 + d["w"] * 3 + mg.sum(pair.h * pair.c)


TREE = ((np.ones(2), [np.ones((2, 2))]), {"w": 1.5, "v": np.ones(3)}, Pair(np.full(2, 4.0), np.full(2, 5.0)))


def test_gradient_of_a_tree_has_its_structure() -> None:
    g = grad(of_tree)(TREE)
    (a, [b]), d, pair = g
    assert (type(g), type(g[0][1]), type(d), type(pair)) == (tuple, list, dict, Pair)
    assert list(d) == ["w", "v"]
    for got, expected in [
        (a, [2, 2]),
        (b, [[2, 2]] * 2),
        (d["w"], 3),
        (d["v"], [0, 0, 0]),
        (pair.h, [5, 5]),
        (pair.c, [4, 4]),
    ]:
        assert isinstance(got, Tensor)
        np.testing.assert_array_equal(got.data, expected)


def test_transforms_of_trees_match_directions_and_cotangents_by_key() -> None:
    f = lambda d: {"sum": d["a"] * 3 + d["b"] * 5, "product": d["a"] * d["b"]}
    x = {"a": 2.0, "b": 7.0}
    _, dy = jvp(f, (x,), ({"b": 1.0, "a": 0.0},))
    assert {k: t.item() for k, t in dy.items()} == {"sum": 5.0, "product": 2.0}
    _, pullback = vjp(f, x)
    (g,) = pullback({"product": 1.0, "sum": 0.0})
    assert {k: t.item() for k, t in g.items()} == {"a": 7.0, "b": 2.0}
    (h,) = hvp(lambda d: d["a"] ** 2 * d["b"], (x,), ({"b": 1.0, "a": 0.0},))
    assert {k: t.item() for k, t in h.items()} == {"a": 4.0, "b": 0.0}


def test_jacobian_of_a_tree_by_a_tree_has_a_block_for_each_pair() -> None:
    j = jacobian(lambda d: (d["a"] * 2, [mg.sum(d["b"] ** 2)]))({"a": np.ones(2), "b": np.ones(3)})
    assert {k: t.shape for k, t in j[0].items()} == {"a": (2, 2), "b": (2, 3)}
    np.testing.assert_array_equal(j[0]["a"].data, 2 * np.eye(2))
    np.testing.assert_array_equal(j[1][0]["b"].data, [2, 2, 2])


def test_argnums_choose_by_position_from_either_end() -> None:
    f = lambda x, y, z: x * y**2 * z**3
    assert grad(f)(2.0, 3.0, 1.0).item() == 9.0
    assert grad(f, 1)(2.0, 3.0, 1.0).item() == 12.0
    assert grad(f, -1)(2.0, 3.0, 1.0).item() == 54.0
    several = grad(f, (-1, 0))(2.0, 3.0, 1.0)
    assert type(several) is tuple
    assert [t.item() for t in several] == [54.0, 9.0]
    assert type(grad(f, (0,))(2.0, 3.0, 1.0)) is tuple
    h = hessian(f, (0, 1))(2.0, 3.0, 1.0)
    assert [[t.item() for t in row] for row in h] == [[0.0, 6.0], [6.0, 4.0]]
    assert [t.item() for t in jacobian(f, (0, -1))(2.0, 3.0, 1.0)] == [9.0, 54.0]


def test_other_arguments_pass_through_untouched() -> None:
    seen = []

    def f(x: Any, mode: str, *, scale: float) -> Any:
        seen.append(mode)
        return x * scale

    assert grad(f)(1.0, "train", scale=4.0).item() == 4.0
    assert jacobian(f)(1.0, "train", scale=4.0).item() == 4.0
    assert seen == ["train", "train"]


def test_auxiliary_results_come_along() -> None:
    (y, aux), g = value_and_grad(lambda x: (x**2, {"x": x.data, "n": 7}), has_aux=True)(3.0)
    assert (y.item(), g.item(), aux) == (9.0, 6.0, {"x": 3.0, "n": 7})


def test_auxiliary_results_keep_the_record_that_leads_further_alone() -> None:
    w = leaf(2.0)
    f = value_and_grad(lambda x: (x * w, {"own": x * x, "further": [w * x * w, None]}), has_aux=True)
    _, aux = f(3.0)[0]
    assert (aux["own"].item(), aux["own"].requires_grad, aux["further"][1]) == (9.0, False, None)
    aux["further"][0].backward()
    assert w.grad == 12.0
    assert grad(lambda x: f(x)[0][1]["further"][0])(3.0).item() == 4.0  # which leads to x, of the outer transform


@pytest.mark.parametrize("part", [None, "relu", object()], ids=["None", "a word", "an object"])
def test_a_part_of_an_argument_that_is_no_number_is_named_with_a_remedy(part: Any) -> None:
    with pytest.raises(TypeError, match=r"grad: .* got (NoneType|str|object) .*as another argument, which argnums"):
        grad(lambda p: p["w"] * 2)({"w": 1.0, "part": part})


@pytest.mark.parametrize(
    "f",
    [lambda x: x, lambda x: 3.0, lambda x: mg.tensor(2.0), lambda x: x * 0 + leaf(1.0)],
    ids=["itself", "number", "constant", "other leaf"],
)
def test_a_function_that_ignores_its_input_has_zero_derivatives(f: Any) -> None:
    slope = 1.0 if f(5.0) == 5.0 else 0.0
    assert grad(f)(5.0).item() == slope
    assert jacobian(f)(5.0).item() == slope
    assert jvp(f, (5.0,), (2.0,))[1].item() == 2 * slope
    assert hessian(f)(5.0).item() == 0.0
    assert hvp(f, (5.0,), (1.0,))[0].item() == 0.0


def test_a_pullback_takes_one_cotangent_which_of_several_results_is_a_tuple() -> None:
    _, pullback = vjp(lambda x: (x, 2 * x), 1.0)
    with pytest.raises(TypeError, match=r"vjp: the pullback takes one cotangent, .*, got 2; .* pullback\(\(g, h\)\)"):
        pullback(1.0, 10.0)  # type: ignore[call-arg]
    assert pullback((1.0, 10.0))[0].item() == 21.0
