"""The explanation: each step of the backward pass as backward() takes it, nothing of which touches a `.grad`."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from programs import programs

import minigrad as mg
import nn
from minigrad import At, Product, Tensor
from minigrad.inspect import Explanation

XS = np.random.default_rng(0).standard_normal((5, 2, 3))


def leaf(x: Any) -> Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


def assert_gradients_of_backward(explanation: Explanation, y: Tensor, g: Any = None) -> None:
    """Every entry's gradient is that which backward() gives when all entries retain theirs."""
    for node in explanation.tape.nodes:
        node.retains_grad, node.grad = True, None
    y.backward(g)
    for entry in explanation.tape:
        found, expected = explanation.gradients[entry], entry.node.grad
        assert (found.shape, found.dtype) == (entry.shape, entry.dtype)
        expected = np.zeros(entry.shape) if expected is None else expected
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11 * (1 + abs(expected).max(initial=0)))


# --- its numbers are those of backward() ----------------------------------------------------------------------------


@settings(max_examples=2000 if settings().max_examples > 8 else 25)
@given(programs())
def test_every_gradient_is_that_of_retain_grad(case: tuple[Callable[..., Any], tuple[np.ndarray, ...]]) -> None:
    f, inputs = case
    y = f(*[leaf(x) for x in inputs])
    if y.requires_grad:
        assert_gradients_of_backward(mg.explain(y), y)


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
def test_every_gradient_of_a_recurrent_net_is_that_of_retain_grad(make: Any, options: Any) -> None:
    net = make(3, 4, rng=0, dtype=float, **options)
    with mg.record_details():
        y = (net(XS, lengths=[5, 3])[0] ** 2).sum()
    assert_gradients_of_backward(mg.explain(y), y)


def test_a_cotangent_of_any_shape_is_pulled_back() -> None:
    x = leaf([1.0, 2.0])
    g = np.array([2.0, -1.0])
    np.testing.assert_array_equal(mg.explain(x * x, g).gradients[x], 2 * g * x.data)
    np.testing.assert_array_equal(mg.explain(lambda x: x * x, x, g=g).gradients["x"], 2 * g * x.data)
    both = mg.explain((x * x, x.sum()), g=[g, 3.0])
    np.testing.assert_array_equal(both.gradients[x], 2 * g * x.data + 3.0)


def test_no_grad_is_touched_and_nothing_is_recorded() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    x.grad = np.ones(2)
    before = x.grad
    explanation = mg.explain(y)
    assert x.grad is before
    assert (x.grad == 1.0).all()
    assert type(explanation.gradients[x]) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        explanation.gradients[x][0] = 1.0


def test_float32_stays_float32() -> None:
    explanation = mg.explain(lambda x: (x * 2.0).sum(), np.ones(3, "f"))
    assert {explanation.gradients[n].dtype for n in explanation.gradients} == {np.dtype("f")}


def test_second_order_is_explained_on_the_gradients_own_tape() -> None:
    explanation = mg.explain(mg.grad(lambda x: x * mg.tanh(x)), 0.5)
    second = mg.grad(mg.grad(lambda x: x * mg.tanh(x)))(0.5)
    assert explanation.gradients["args.0"] == pytest.approx(second.item())
    assert explanation.tape.find("tanh")


# --- what it says of a step -----------------------------------------------------------------------------------------


def test_a_step_knows_what_arrived_from_whom_and_what_it_gave_to_whom() -> None:
    x = leaf(0.5)
    y = mg.tanh(x)
    explanation = mg.explain(x * y)
    assert [s.entry.number for s in explanation.steps] == [2, 1, 0]
    product, tanh, end = explanation.steps
    assert [(t.user, float(t.term)) for t in product.arrived] == [(None, 1.0)]
    assert [(t.input, t.to, float(t.term)) for t in product.gave] == [(0, 0, y.item()), (1, 1, 0.5)]
    assert [(t.user, float(t.term)) for t in tanh.arrived] == [(2, 0.5)]
    assert [t.user for t in end.arrived] == [2, 1]
    assert end.cotangent == sum(float(t.term) for t in end.arrived)


def test_a_step_of_an_entry_that_reads_one_input_twice_gives_two_terms() -> None:
    explanation = mg.explain(lambda x: x * x, 3.0)
    assert [(t.user, t.input) for t in explanation.step(1).gave] == [(1, 0), (1, 1)]
    assert "the sum of 3 from %1 + 3 from %1" in repr(explanation.step(0))


def test_an_entry_that_two_large_terms_come_from_is_named_once() -> None:
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    assert "the sum of what came from %1 (twice)" in str(mg.explain(lambda x: mg.sum(x * x), x))
    assert "the sum of what came from %4 + %1 (3 times)" in str(
        mg.explain(lambda x: mg.sum(mg.stack([x, x, x]) * np.ones((3, 3, 4))) + mg.sum(x), x)
    )


def test_a_rule_that_calls_others_is_told_as_an_equation_and_a_users_as_its_source() -> None:
    text = str(mg.explain(lambda x: mg.sum(mg.tanh(x @ np.ones((2, 2))) ** 2), np.ones((3, 2))))
    assert "_power_base(g, z, x, y)  ->  %2" in text
    assert "    that is, dL/dx = g y x^(y - 1), dL/dy = g x^y log x, which is taken as 0 at x <= 0\n" in text
    assert "    that is, dL/da = g bᵀ, dL/db = aᵀ g; those of one weight" in text
    assert "def _power_base" not in text
    assert "g * (1 - y * y)  ->  %1" in text
    assert "that is, dL/dx = g (1 - y²)" not in text  # which the rule itself says

    def rule(g: Any, y: Any, x: Any) -> Any:
        slope = 2 * x
        return g * slope

    mine = mg.primitive(lambda x: x * x, rule, name="power")
    assert "            slope = 2 * x" in str(mg.explain(mine, 3.0))


def test_broadcasting_parts_and_products_are_named() -> None:
    x, W, b = leaf(np.ones((4, 3))), leaf(np.ones((3, 2))), leaf(np.zeros(2))
    explanation = mg.explain((mg.linear(x, W, b) + x[:, :1]).sum())
    linear = explanation.step(explanation.tape.find("linear")[0])
    how = {t.input: linear.how(t) for t in linear.gave}
    assert how == {0: "", 1: "a product xᵀ g of (4, 3) and (4, 2), queued", 2: "summed down from (4, 2)"}
    (part,) = explanation.step(explanation.tape.find("getitem")[0]).gave
    assert explanation.step(0).how(part) == "added in place, at [:, :1]"
    text = str(explanation)
    for words in how.values():
        assert words in text


def test_the_terms_that_are_shown_are_those_that_add_up() -> None:
    b = leaf([1.0, 2.0])
    text = repr(mg.explain(mg.sum(np.ones((4, 2)) * b) + mg.sum(b**2) + 3 * b[0]).step(b))
    shown = "[9 8], the sum of 3 from %6 + [2 4] from %3 + [4 4] from %1"  # a part; what was broadcast, summed down
    assert f"g = {shown} (1 part, added in place)" in text


def test_queued_products_and_parts_of_a_loop_are_counted() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float)
    explanation = mg.explain(lambda xs: (net(xs)[0][-1] ** 2).sum(), XS)
    assert "(5 products, which wait for each other" in repr(explanation.step(net.cells[0].W))
    assert "(5 parts, added in place)" in str(explanation)


def test_the_text_shows_each_step_with_its_rule_as_it_stands_in_the_table() -> None:
    lines = str(mg.explain(lambda x: x * mg.tanh(x), 0.5)).splitlines()
    assert "    g = 1, given" in lines
    assert "    g * y  ->  %0 0.46212  (y = %1)" in lines
    assert "    g = 0.5, from %2" in lines
    assert "    g * (1 - y * y)  ->  %0 0.39322  (y = %1)" in lines
    assert "    g = 0.85534, the sum of 0.46212 from %2 + 0.39322 from %1" in lines


def test_a_folded_block_shows_one_turn() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float)
    explanation = mg.explain(lambda xs: (net(xs)[0][-1] ** 2).sum(), XS)
    assert str(explanation).count("g * (1 - y * y)") == 1
    assert explanation.text(fold=False).count("g * (1 - y * y)") == 5


def test_users_primitives_and_joint_rules_are_explained() -> None:
    cube = mg.primitive(lambda x: x**3, lambda g, y, x: 3 * g * x * x, name="cube")
    pair = mg.primitive(lambda a, b: a * b, joint=lambda g, y, a, b: (g * b, g * a), name="pair")
    explanation = mg.explain(lambda x: pair(cube(x), x), 2.0)
    assert explanation.gradients["x"] == pytest.approx(4 * 2.0**3)
    text = str(explanation)
    assert "3 * g * x * x  ->  %0 24" in text
    assert "part 0 of (g * b, g * a)  ->  %1 2  (" not in text  # names of a joint rule's inputs are plain there
    assert "part 1 of (g * b, g * a)  ->  %0 8" in text


def test_a_tap_does_not_hide_the_rule_and_gets_its_gradient() -> None:
    def tapped(x: Any, e: Any) -> Any:
        return mg.tap(mg.tanh(x), e) * 3.0

    explanation = mg.explain(tapped, 0.5, 0.0)
    assert "g * (1 - y * y)  ->  %0" in str(explanation)
    assert explanation.gradients["e"] == 3.0
    net = nn.RNN(3, 4, rng=0, dtype=float)
    explanation = mg.explain(lambda xs: (net(xs, return_states=True)[0][-1] ** 2).sum(), XS)
    assert "g * (1 - y * y)" in str(explanation)
    plain = mg.explain(lambda xs: (net(xs)[0][-1] ** 2).sum(), XS)
    np.testing.assert_allclose(explanation.gradients["cells.0"], plain.gradients["cells.0"])


def test_a_rule_that_does_not_fit_is_named() -> None:
    wrong = mg.primitive(lambda x: x * 1.0, lambda g, y, x: np.ones(7), name="wrong")
    with pytest.raises(ValueError, match="wrong: the rule for input 0 returned a cotangent of shape"):
        mg.explain(lambda x: wrong(x).sum(), np.ones(3))
    short = mg.primitive(lambda a, b: a * b, joint=lambda g, y, a, b: (g,), name="short")
    with pytest.raises(ValueError, match="short: the joint rule returned 1 cotangents for 2 inputs"):
        mg.explain(lambda x: short(x, x), 1.0)


def test_a_rule_that_raises_is_named_with_its_forward_call() -> None:
    def broken(g: Any, y: Any, x: Any) -> Any:
        raise KeyError("no such thing")

    p = mg.primitive(lambda x: x * 1.0, broken, name="broken")
    with pytest.raises(
        KeyError, match=r"broken: the rule for input 0 raised KeyError: .*; forward call: .*test_explain"
    ):
        mg.explain(lambda x: p(x), 1.0)


def test_an_explanation_is_freed_without_garbage_collection() -> None:
    gc.disable()
    try:
        explanation = mg.explain(lambda x: x * mg.tanh(x), 0.5)
        node = weakref.ref(explanation.step(1).entry.node)
        assert "tanh" in repr(explanation)
        del explanation
        assert node() is None
    finally:
        gc.enable()


# --- what cannot be explained ---------------------------------------------------------------------------------------


def test_what_changed_since_is_refused() -> None:
    x = leaf(0.5)
    y = x * x
    x.data = 1.0
    with pytest.raises(RuntimeError, match=r"multiply: the data of input 0, shape .*, changed after"):
        mg.explain(y)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: mg.explain(x * 1.0), r"result of shape \(2,\) needs a cotangent"),
        (lambda x: mg.explain(x * 1.0, np.ones(3)), r"g has shape \(3,\), the result \(2,\)"),
        (lambda x: mg.explain((x * 1.0, x * 2.0), g=np.ones(2)), "2 results need as many cotangents, g has 1"),
    ],
)
def test_cotangents_that_do_not_fit_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(leaf([1.0, 2.0]))


def test_arguments_of_a_tensor_are_refused() -> None:
    x = leaf(1.0)
    with pytest.raises(TypeError, match="takes one cotangent g"):
        mg.explain(x * 1.0, 1.0, 2.0)
    with pytest.raises(RuntimeError, match="explain: there is no record"):
        mg.explain(mg.tensor(1.0))


def test_a_result_of_a_compiled_function_says_what_to_do() -> None:
    x = leaf(0.5)
    with pytest.raises(RuntimeError, match=r"mg.explain"):
        mg.explain(mg.compile(lambda x: x * x)(x))


def test_a_checkpointed_part_is_explained_as_one_step() -> None:
    x = leaf(0.5)
    explanation = mg.explain(mg.checkpoint(lambda x: x * mg.tanh(x))(x))
    assert explanation.gradients[x] == pytest.approx(mg.grad(lambda x: x * mg.tanh(x))(0.5).item())


def test_parts_and_products_of_users_rules_are_summed_as_backward_does() -> None:
    first = mg.primitive(lambda x: x[0] * 2.0, lambda g, y, x: At(0, 2.0 * g), name="first")
    outer = mg.primitive(lambda W: np.ones((2, 3)) @ W, lambda g, y, W: Product(np.ones((2, 3)), g), name="outer")
    explanation = mg.explain(lambda W: (outer(W) * first(W)).sum() + W.sum(), np.ones((3, 2)))
    W = leaf(np.ones((3, 2)))
    y = (outer(W) * first(W)).sum() + W.sum()
    y.backward()
    np.testing.assert_allclose(explanation.gradients["W"], W.grad)
