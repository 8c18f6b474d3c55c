"""Every public name has a docstring of its own, with an example that gives what it says.

Examples take `np`, `mg`, `nn` and `hypothesis` as imported, and those of `minigrad.testing` its names.
"""

from __future__ import annotations

import doctest
import inspect
import pydoc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import hypothesis
import numpy as np
import pytest
from profiles import long_profile

import minigrad as mg
import nn
from minigrad import docstrings, testing
from minigrad.primitive import Primitive
from minigrad.served import by_function, by_ufunc

#: The names are those of `__all__`, and of modules that have none what they define themselves.
ROOMS: list[ModuleType] = [
    *(mg, mg.linalg, mg.inspect, nn, nn.init, nn.attention, nn.distributed, nn.convert, testing),
]


def public() -> Iterator[tuple[str, Any]]:
    for room in ROOMS:
        for name in getattr(room, "__all__", [name for name in vars(room) if not name.startswith("_")]):
            value = getattr(room, name)
            own = hasattr(room, "__all__") or getattr(value, "__module__", "").startswith(room.__name__)
            if callable(value) and own and not isinstance(value, ModuleType):
                yield f"{room.__name__}.{name}", value


PUBLIC = dict(public())
PRIMITIVES = {name: p for name, p in PUBLIC.items() if isinstance(p, Primitive)}
OF_NUMPY = {f.__doc__ for room in (np, np.linalg) for f in vars(room).values() if callable(f)} - {None}
HOW = "add it to its docstring, or to the entry of a primitive in minigrad/entries: the lines after `>>> `"


def shown(name: str) -> str:
    """The docstring that belongs to this very object, and is not found by way of its class or of a base class."""
    value = PUBLIC[name]
    if isinstance(value, Primitive) or inspect.isroutine(value) or "__doc__" in vars(value):
        return value.__doc__ or ""
    return ""


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_docstring_of_its_own(name: str) -> None:
    text = shown(name)
    assert text.strip(), f"{name} has no docstring of its own"
    assert text not in OF_NUMPY, f"{name} has NumPy's docstring"


@pytest.fixture(autouse=True)
def _numpys_names_stay_with_minigrad() -> Iterator[None]:
    with mock.patch.dict(by_ufunc), mock.patch.dict(by_function):  # which a primitive that is declared here enters
        yield


def find(strategy: Any, condition: Any) -> Any:
    """`hypothesis.find`. Of what everything satisfies, the first that is drawn is the simplest: it is not shrunk."""
    code, anything = condition.__code__, (lambda x: True).__code__
    if long_profile() or (code.co_code, code.co_consts) != (anything.co_code, anything.co_consts):
        return hypothesis.find(strategy, condition)
    return hypothesis.find(strategy, condition, settings=hypothesis.settings(phases=[hypothesis.Phase.generate]))


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_gives_what_it_says(name: str) -> None:
    value = PUBLIC[name]
    names = dict(vars(testing), **{n: getattr(testing, n) for n in testing.__all__}) if "testing" in name else {}
    names |= {
        "mg": mg,
        "np": np,
        "nn": nn,
        "hypothesis": SimpleNamespace(**vars(hypothesis) | {"find": find}),
        name.rpartition(".")[2]: value,
    }
    test = doctest.DocTestParser().get_doctest(shown(name), names, name, None, None)
    assert test.examples, f"{name} has no example: {HOW}"
    printed: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=printed.append)
    assert not result.failed, "".join(printed)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_help_on_a_primitive_fits_a_screen_and_offers_what_it_takes_alone(name: str) -> None:
    p = PRIMITIVES[name]
    text = pydoc.plain(pydoc.render_doc(p))
    assert len(text.splitlines()) <= 24, text
    refused = {"out", "where", "dtype", "casting", "order", "subok", "initial"} - set(inspect.signature(p).parameters)
    assert not [word for word in refused if f"{word}=" in text]
    assert f"{p.name}{inspect.signature(p)}\n" in text


def test_the_lines_of_a_primitives_docstring_begin_at_one_margin() -> None:
    odd = [name for name, p in PRIMITIVES.items() if inspect.cleandoc(p.__doc__ or "") != (p.__doc__ or "").strip()]
    assert not odd
    assert not [name for name, p in PRIMITIVES.items() if "\n    >>> " in (p.__doc__ or "")]


@pytest.mark.parametrize("name", PRIMITIVES)
def test_a_primitive_belongs_to_minigrad_as_a_function_does(name: str) -> None:
    p = PRIMITIVES[name]
    assert p.__module__.startswith("minigrad.")
    assert getattr(inspect.getmodule(p), p.__qualname__) is p
    assert p.__name__ in (p.__qualname__, "abs")
    assert not {"out", "casting", "where"} & set(inspect.signature(p).parameters)


def test_every_entry_belongs_to_a_primitive_of_its_page() -> None:
    pages = list(Path(docstrings.FOLDER).glob("*.txt"))
    assert pages
    for page in pages:
        module = f"minigrad.{page.stem}"
        declared = {p.name for p in PRIMITIVES.values() if p.__module__ == module}
        assert set(docstrings.entries(module)) == declared, page.name


PAGES = sorted({p.__module__ for p in PRIMITIVES.values() if hasattr(sys.modules[p.__module__], "__all__")})


@pytest.mark.parametrize("page", PAGES)
def test_every_primitive_of_a_page_of_the_table_is_public_or_named_with_an_underscore(page: str) -> None:
    found = {
        name: p for name, p in vars(sys.modules[page]).items() if isinstance(p, Primitive) and p.__module__ == page
    }
    assert found
    assert {name for name in found if name[0] != "_"} <= set(sys.modules[page].__all__)


def test_a_rule_is_told_wherever_there_is_one() -> None:
    for name, p in PRIMITIVES.items():
        told = any(sign in p.__doc__ for sign in ("dL/d", "slope", "gradient", "derivative"))
        assert told or not p.differentiable, f"{name} does not say what its rule is"


def test_a_primitive_of_a_user_says_what_its_function_does_and_offers_nothing_that_it_refuses() -> None:
    def softsign(x: Any) -> Any:
        """x / (1 + |x|)."""
        return x / (1 + np.abs(x))

    assert mg.primitive(softsign).__doc__ == "x / (1 + |x|)."
    assert mg.primitive(softsign, doc="Soft sign.").__doc__ == "Soft sign."
    assert mg.primitive(lambda x: x).__doc__ is None
    assert mg.primitive(np.spacing).__doc__ == ("Return the distance between x and the nearest adjacent number.")
    assert mg.primitive(np.fliplr).__doc__ == "Reverse the order of elements along axis 1 (left/right)."
    own = mg.primitive(np.sinh)
    own.__doc__ = "Another."
    assert own.__doc__ == "Another."


def test_the_class_of_primitives_has_its_own_docstring() -> None:
    assert "declare one with `primitive`" in (mg.Primitive.__doc__ or "")
