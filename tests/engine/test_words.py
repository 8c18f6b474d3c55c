"""Attributes that users of PyTorch and NumPy look for name what they are called here."""

from __future__ import annotations

import copy
import pickle
import pydoc
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.words import WORDS, unknown

X = mg.tensor(np.ones((2, 3)), requires_grad=True)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        *(("view", "reshape"), ("permute", "transpose"), ("unsqueeze", "expand_dims"), ("numpy", "x.data")),
        *(("clone", "mg.positive"), ("numel", "x.size"), ("clamp", "clip"), ("zero_grad", "grad = None")),
        *(("masked_fill", "where"), ("register_hook", "tap"), ("unbind", "list"), ("grad_fn", "primitive")),
    ],
)
def test_a_tensors_attribute_of_pytorch_is_named_in_minigrads_words(name: str, word: str) -> None:
    with pytest.raises(AttributeError, match=f"{name}.*{word}"):
        getattr(X, name)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        *(("cat", "concatenate"), ("from_numpy", "tensor"), ("clamp", "clip"), ("stop_gradient", "detach")),
        *(("custom_vjp", "primitive"), ("jacfwd", "jvp"), ("GradientTape", "grad"), ("nn", "import nn")),
    ],
)
def test_a_function_of_pytorch_is_named_in_minigrads_words(name: str, word: str) -> None:
    with pytest.raises(AttributeError, match=f"{name}.*{word}"):
        getattr(mg, name)


def test_an_unknown_attribute_has_pythons_own_error() -> None:
    for owner in (X, mg):
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            owner.nonsense  # type: ignore[union-attr]  # noqa: B018


def test_a_name_of_linalg_or_of_the_package_for_tests_is_named() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'solve'; here it is mg\.linalg\.solve"):
        mg.solve  # type: ignore[attr-defined]  # noqa: B018
    assert "import minigrad.testing" in str(unknown("minigrad", "testing", mg))


@pytest.mark.parametrize("owner", [X, mg])
def test_python_may_ask_did_you_mean(owner: Any) -> None:
    with pytest.raises(AttributeError) as told:
        owner.tahn  # noqa: B018
    assert told.value.name == "tahn"
    assert told.value.obj is owner


def test_completion_and_help_offer_what_is_there() -> None:
    assert {"tanh", "backward", "shape"} <= set(dir(X))
    assert not [name for name in dir(X) if not hasattr(mg.Tensor, name)]
    text = pydoc.plain(pydoc.render_doc(mg.Tensor))
    assert text.index("|  backward(") < text.index("|  view\n") < text.index("x.reshape(shape)")


def test_what_is_not_there_is_not_there() -> None:
    assert not hasattr(X, "view")
    assert getattr(X, "unsqueeze", None) is None
    assert not hasattr(mg, "cat")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_and_pickles_go_on(again: Any) -> None:
    np.testing.assert_array_equal(again(X).data, X.data)
    assert again(X).requires_grad


def test_no_word_names_what_is_there() -> None:
    there = [name for name in WORDS if hasattr(X, name) and hasattr(mg, name)]
    assert there == []


def test_every_function_and_attribute_that_a_word_names_is_there() -> None:
    for word in WORDS.values():
        assert all(hasattr(mg, name) for name in re.findall(r"mg\.(\w+)", word)), word
        assert all(hasattr(X, name) for name in re.findall(r"\bx\.(\w+)", word)), word
