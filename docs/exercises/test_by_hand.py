"""Chapter 6: all three backward passes agree with finite differences."""

import numpy as np
import pytest

from minigrad.testing import check_vjp

RNG = np.random.default_rng(0)
INPUTS = {
    "cross_entropy": [RNG.standard_normal((3, 4))],
    "bilinear": [RNG.standard_normal((2, 3)), RNG.standard_normal((3, 4)), RNG.standard_normal((2, 4))],
    "unit_rows": [RNG.standard_normal((2, 3))],
}


def test_all_three_are_right(answer):
    wrong = {}
    for name, inputs in INPUTS.items():
        try:
            check_vjp(getattr(answer, name), getattr(answer, f"{name}_vjp"), *inputs)
        except AssertionError as error:
            wrong[name] = f"{name}_vjp: {str(error).partition('to reproduce')[0]}"
    if wrong:
        names = " and ".join(f"{name}_vjp" for name in wrong)
        pytest.fail(f"Chapter 6: not right yet in docs/exercises/by_hand.py: {names}\n\n" + "\n".join(wrong.values()))
