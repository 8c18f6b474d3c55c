"""An error in a derivative rule names the primitive, the input and the user's line of the forward call."""

from __future__ import annotations

import contextlib
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import primitive

X = np.array([0.5, 2.0])


def leaf() -> Any:
    return mg.tensor(X, requires_grad=True)


def failing(error: Exception, joint: bool = False) -> Any:
    def rule(g: Any, y: Any, x: Any) -> Any:
        raise error

    doubled = lambda x: 2.0 * x
    return primitive(doubled, joint=rule, name="bad") if joint else primitive(doubled, rule, name="bad")


DERIVATIVES = {
    "backward": lambda f: f(leaf()).backward(),
    "grad": lambda f: mg.grad(f)(X),
    "compiled": lambda f: mg.compile(mg.grad(f))(mg.tensor(X)),
    "compiled backward": lambda f: mg.compile(lambda t: f(t).backward())(leaf()),
    "checkpoint": lambda f: mg.grad(mg.checkpoint(f))(X),
    "checkpoint in checkpoint": lambda f: mg.grad(mg.checkpoint(mg.checkpoint(f)))(X),
    "hessian": lambda f: mg.hessian(f)(X),
    "jvp": lambda f: mg.jvp(f, (X,), (X,)),
    "detect_anomaly": lambda f: mg.detect_anomaly()(mg.grad(f))(X),
}


@pytest.mark.parametrize("derivative", DERIVATIVES.values(), ids=DERIVATIVES)
@pytest.mark.parametrize("joint", [False, True])
def test_an_exception_in_a_rule_names_the_users_line_of_the_forward_call(derivative: Any, joint: bool) -> None:
    bad = failing(KeyError("k"), joint)

    def f(t: Any) -> Any:
        y = t * 2.0
        return bad(y).sum()

    line = f.__code__.co_firstlineno + 2
    which = "joint rule" if joint else "rule for input 0"
    with pytest.raises(KeyError) as caught:
        derivative(f)
    text = caught.value.args[0]
    assert text == f"bad: the {which} raised KeyError: 'k'; forward call: {__file__}:{line} in f"


@pytest.mark.parametrize("derivative", DERIVATIVES.values(), ids=DERIVATIVES)
@pytest.mark.parametrize("misfit", [False, True])
def test_a_caught_error_of_a_rule_frees_the_record_at_once(derivative: Any, misfit: bool) -> None:
    def rule(g: Any, y: Any, x: Any) -> Any:
        return g[:1] if misfit else {}["k"]

    bad, seen = primitive(lambda x: 2.0 * x, rule, name="bad"), []

    def f(t: Any) -> Any:
        y = mg.tanh(t)
        seen.append(weakref.ref(y.node))
        return bad(y).sum()

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(KeyError, ValueError):
            derivative(f)
        assert seen
        assert [node() for node in seen] == [None] * len(seen)
    finally:
        gc.enable()


def test_an_exception_in_a_rule_at_second_order_names_the_line_as_well() -> None:
    def rule(g: Any, y: Any, x: Any) -> Any:
        return g / 0 if isinstance(g, mg.Tensor) else np.array([{}["k"]])

    bad = primitive(lambda x: 2.0 * x, rule, name="bad")
    with pytest.raises(KeyError, match=f"bad: the rule for input 0 raised.*{__file__}"):
        mg.grad(lambda t: bad(t).sum())(X)


@pytest.mark.parametrize("found", [None, {0: 1.0}, "g", 2.0], ids=repr)
def test_a_joint_rule_that_returns_no_sequence_is_refused(found: Any) -> None:
    bad = primitive(lambda x: 2.0 * x, joint=lambda g, y, x: found, name="bad")
    with pytest.raises(ValueError, match=rf"bad: the joint rule returned .*, no sequence, for 1 inputs.*{__file__}"):
        bad(leaf()).sum().backward()


@pytest.mark.parametrize(
    ("returned", "told"), [(None, "NoneType None"), (1j, "complex 1j"), ("1", "str '1'"), ({}, "dict {}")], ids=str
)
def test_what_a_rule_returns_that_is_no_cotangent_is_shown(returned: Any, told: str) -> None:
    y = primitive(np.sin, lambda g, y, x: returned, name="bad")(leaf())
    with pytest.raises(ValueError, match=f"^bad: the rule for input 0 returned {told}, no cotangent"):
        y.sum().backward()


def step(x: Any) -> Any:
    return x > 1


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8])
@pytest.mark.parametrize("compiled", [False, True])
def test_integers_of_a_function_with_rules_are_refused_since_their_cotangent_would_be_rounded(
    dtype: Any, compiled: bool
) -> None:
    straight = primitive(lambda x: step(x).astype(dtype), lambda g, y, x: g, name="straight")
    gradient = mg.grad(lambda x: (straight(x) * 0.3).sum())
    name = f"straight: the function returned \\(2,\\) {np.dtype(dtype)} .* return y.astype\\(x.dtype\\)"
    with pytest.raises(TypeError, match=name):
        (mg.compile(gradient) if compiled else gradient)(X)
    assert straight(mg.tensor(X)).dtype == dtype  # nothing is differentiated here
    through = primitive(lambda x: step(x).astype(x.dtype), lambda g, y, x: g)
    assert mg.grad(lambda x: (through(x) * 0.3).sum())(X).data.tolist() == [0.3, 0.3]


@pytest.mark.parametrize("convert", [lambda x: mg.astype(x, int), lambda x: x.astype(int)], ids=["mg", "method"])
@pytest.mark.parametrize("compiled", [False, True])
def test_integers_made_of_a_tensor_are_constants(convert: Any, compiled: bool) -> None:
    assert not convert(leaf()).requires_grad
    gradient = mg.grad(lambda x: (convert(x) * x * 3).sum())
    assert (mg.compile(gradient) if compiled else gradient)(X).data.tolist() == [0.0, 6.0]
