"""Every example in the docstring of a public function gives what it says."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import minigrad as mg

PARTS = (mg.elementwise, mg.rearrange, mg.reductions, mg.products, mg.activations, mg.linalg)
FUNCTIONS = {f"{part.__name__}.{name}": getattr(part, name) for part in PARTS for name in part.__all__}
SHOWN = {name: f for name, f in FUNCTIONS.items() if ">>>" in f.__doc__}


@pytest.mark.parametrize("name", SHOWN)
def test_the_example_gives_what_it_says(name: str) -> None:
    test = doctest.DocTestParser().get_doctest(SHOWN[name].__doc__, {"mg": mg, "np": np}, name, None, None)
    printed: list[str] = []
    result = doctest.DocTestRunner().run(test, out=printed.append)
    assert result.attempted
    assert not result.failed, "".join(printed)
