"""A primitive is a function: not bound to instances, found and pickled by its name, and its own copy."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import Primitive

hyperbolic_sine = mg.primitive(lambda x: np.sinh(x), lambda g, y, x: g * hyperbolic_cosine(x))
hyperbolic_cosine = mg.primitive(lambda x: np.cosh(x), lambda g, y, x: g * hyperbolic_sine(x), name="cosh")


def scaled(x: Any, w: Any) -> Any:
    return (x * w).sum()


@mg.compile
def decorated(x: Any) -> Any:
    return x * 2.0


replayed = mg.compile(scaled)


class Layer:
    activation = mg.tanh
    own = mg.primitive(lambda x: np.sinh(x), lambda g, y, x: g)

    def __init__(self) -> None:
        self.scale = 2.0
        self.fast = mg.compile(self.__call__)

    def __call__(self, x: Any) -> Any:
        return self.activation(x) * self.scale

    @mg.compile
    def squared(self, x: Any) -> Any:
        return x * x


def declared() -> Iterator[Primitive]:
    """Every primitive that a module of minigrad or nn holds."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("minigrad", "nn"):
            yield from (value for value in vars(module).values() if isinstance(value, Primitive))


# --- as an attribute --------------------------------------------------------------------------------------------------


def test_a_primitive_as_a_class_attribute_is_not_bound_to_the_instance() -> None:
    assert Layer().activation is Layer.activation is mg.tanh
    assert Layer().activation(mg.tensor(0.5)).item() == np.tanh(0.5)
    with pytest.raises(TypeError):
        Layer().activation()


@pytest.mark.parametrize("name", ["exp", "tanh", "abs", "max", "softmax", "argsort", "squeeze", "__neg__", "__abs__"])
def test_methods_of_tensors_are_the_primitives_of_their_names(name: str) -> None:
    x = mg.tensor([[0.5, 1.5]])
    p = getattr(mg.Tensor, name)
    assert isinstance(p, Primitive)
    np.testing.assert_array_equal(mg.as_tensor(getattr(x, name)()).data, mg.as_tensor(p(x)).data)


def test_methods_of_tensors_take_arguments() -> None:
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert x.sum(axis=0).data.tolist() == [4.0, 6.0]
    assert x.clip(high=2.5).sum(1).data.tolist() == [3.0, 5.0]


# --- its name and arguments -------------------------------------------------------------------------------------------


def test_every_primitive_is_found_under_its_module_and_qualified_name() -> None:
    found = list(declared())
    assert len(found) > 100
    for p in found:
        assert p.__module__.split(".")[0] in ("minigrad", "nn")
        assert getattr(sys.modules[p.__module__], p.__qualname__) is p
        assert p.__name__ == p.name


def test_a_primitive_is_named_by_the_module_that_declares_it_not_by_numpy() -> None:
    assert (mg.tanh.__module__, mg.tanh.__qualname__, mg.tanh.__name__) == ("minigrad.ops", "tanh", "tanh")
    assert hyperbolic_sine.__module__ == __name__
    assert hyperbolic_sine.__qualname__ == "hyperbolic_sine"


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (mg.tanh, "(x, /)"),
        (mg.abs, "(x, /)"),
        (mg.multiply, "(x, y, /)"),
        (mg.power, "(x, y, /)"),
        (mg.where, "(c, x, y, /)"),
        (mg.sum, "(x, /, axis=None, keepdims=False)"),
        (mg.clip, "(x, /, low=None, high=None)"),
        (mg.isnan, "(x, /)"),
        (mg.less, "(x1, x2, /)"),
        (mg.primitive(np.add, joint=lambda g, y, *xs, axis=0: xs), "(*xs, axis=0)"),
        (mg.primitive(lambda x, n: x, functools.partial(lambda k, g, y, x, n: g, 1)), "(x, /, n)"),
        (mg.primitive(lambda x, n=2: x), "(x, n=2)"),
    ],
)
def test_the_signature_is_that_of_inputs_and_static_arguments(p: Primitive, expected: str) -> None:
    assert str(inspect.signature(p)) == expected


def test_the_class_of_primitives_has_a_signature_and_misses_other_attributes() -> None:
    assert "rules" in inspect.signature(Primitive).parameters
    with pytest.raises(AttributeError, match="'Primitive' object has no attribute 'nothing'"):
        _ = mg.tanh.nothing


# --- pickles and copies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_primitive_is_itself_after_pickling(protocol: int) -> None:
    for p in (hyperbolic_sine, hyperbolic_cosine, *declared()):
        assert pickle.loads(pickle.dumps(p, protocol)) is p


def test_a_copy_of_a_primitive_is_itself() -> None:
    local = mg.primitive(lambda x: x, lambda g, y, x: g)
    for p in (mg.relu, hyperbolic_sine, Layer.own, local):
        assert copy.copy(p) is p
        assert copy.deepcopy([p])[0] is p


@pytest.mark.parametrize("p", [mg.primitive(lambda x: x, lambda g, y, x: g), Layer.own], ids=["unnamed", "of a class"])
def test_a_primitive_without_a_name_in_its_module_says_so_when_it_is_pickled(p: Primitive) -> None:
    with pytest.raises(pickle.PicklingError, match=rf"{p.name}: .* module '{__name__}'.*`p\.__module__ = __name__`"):
        pickle.dumps(p)


def test_a_primitive_is_pickled_from_the_module_that_it_is_said_to_be_held_by() -> None:
    names: dict[str, Any] = {"mg": mg, "__name__": "a helper"}
    exec("def make():\n    return mg.primitive(lambda x: x, lambda g, y, x: g)", names)
    p = globals()["made"] = names["make"]()
    with pytest.raises(pickle.PicklingError, match="'a helper'"):
        pickle.dumps(p)
    p.__module__ = __name__
    assert pickle.loads(pickle.dumps(p)) is p
    assert p.__qualname__ == "made"


def test_modules_made_of_primitives_pickle_and_copy() -> None:
    network = nn.Sequential(nn.Linear(2, 3, rng=0), mg.tanh, nn.Linear(3, 1, rng=1), hyperbolic_sine)
    x = np.ones((4, 2), np.float32)
    for alike in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        np.testing.assert_array_equal(alike(x).data, network(x).data)
        assert alike.parameters()[0] is not network.parameters()[0]


# --- compiled functions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [decorated, replayed, Layer.squared])
def test_a_compiled_function_that_a_module_holds_is_itself_after_pickling_and_copying(compiled: Any) -> None:
    assert pickle.loads(pickle.dumps(compiled)) is compiled
    assert copy.deepcopy(compiled) is compiled


@pytest.mark.parametrize("function", [mg.tanh, functools.partial(scaled, 2.0)])
def test_a_compiled_function_is_pickled_and_copied_as_its_function_and_traced_anew(function: Any) -> None:
    compiled = mg.compile(function)
    x = np.array([0.5, 2.0])
    before = compiled(x)
    for alike in (pickle.loads(pickle.dumps(compiled)), copy.deepcopy(compiled), copy.copy(compiled)):
        assert alike is not compiled
        with pytest.raises(RuntimeError, match="call it once"):
            alike.program  # noqa: B018
        np.testing.assert_array_equal(alike(x), before)


def test_a_compiled_method_goes_with_the_copy_of_its_instance() -> None:
    layer = Layer()
    alike = copy.deepcopy(layer)
    alike.scale = -1.0
    assert layer.fast(np.ones(())) == 2.0 * np.tanh(1.0)
    assert alike.fast(np.ones(())) == -np.tanh(1.0)


def test_a_compiled_function_without_a_name_is_refused_as_the_function_itself_is() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        pickle.dumps(mg.compile(lambda x: x))
