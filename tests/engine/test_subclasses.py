"""A subclass of Tensor: made from what it likes, kept by operations, transforms, copies and pickles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg


class Measured(mg.Tensor):
    """With a unit, which comes first."""

    __slots__ = ("unit",)

    def __init__(self, unit: str, data: Any, requires_grad: bool = False) -> None:
        super().__init__(data, None, requires_grad)
        self.unit = unit


class Noted(Measured):
    """With attributes of any name besides."""


TRANSFORMS: dict[str, Any] = {
    "grad": lambda t: mg.grad(lambda x: (x * x).sum())(t),
    "vjp": lambda t: mg.vjp(lambda x: x * x, t)[1](np.ones(2))[0],
    "jvp": lambda t: mg.jvp(lambda x: x * x, (t,), (np.ones(2),))[1],
    "hvp": lambda t: mg.hvp(lambda x: (x * x).sum(), (t,), (t.data,))[0],
    "jacobian": lambda t: mg.jacobian(lambda x: (x * x).sum())(t),
    "checkpoint": lambda t: mg.grad(mg.checkpoint(lambda x: (x * x).sum()))(t),
    "compile": lambda t: mg.compile(mg.grad(lambda x: (x * x).sum()))(t),
}


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_need_not_know_how_a_subclass_is_made(transform: Any, requires_grad: bool) -> None:
    y = transform(Measured("m", [1.0, 3.0], requires_grad))
    np.testing.assert_array_equal(y.data, [2.0, 6.0])


def by_pickle(t: Any) -> Any:
    return pickle.loads(pickle.dumps(t))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, by_pickle])
def test_a_copy_has_the_attributes_of_a_subclass(copied: Any) -> None:
    t = Noted("m", [1.0, 3.0], requires_grad=True)
    t.notes = ["first"]
    twin = copied(t)
    assert (type(twin), twin.unit, twin.notes, twin.requires_grad) == (Noted, "m", ["first"], True)
    assert (twin.notes is t.notes) is (copied is copy.copy)
    twin.writable()[0] = 5.0
    assert t.data.tolist() == [1.0, 3.0]
    assert copied(Measured("s", 2)).unit == "s"
