"""einsum: NumPy's values and right derivatives in every form of its subscripts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from table import EQUATIONS, Case, sums_of_products

import minigrad as mg
from minigrad.testing import check_grad

RNG = np.random.default_rng(0)
SIZES = {"i": 2, "j": 3, "k": 2, "b": 2, "a": 3}


def operands(equation: str, ones: str = "", dots: tuple[int, ...] = (2,)) -> list[np.ndarray]:
    """Random operands that fit; axes named in `ones` have size 1 in the first operand that has them."""
    drawn, spent = [], set()
    for term in equation.partition("->")[0].split(","):
        shape: list[int] = []
        for part in term.partition("..."):
            single = set(ones) & set(part) - spent if part != "..." else set()
            spent |= single
            shape += dots if part == "..." else [1 if c in single else SIZES[c] for c in part]
        drawn.append(RNG.standard_normal(shape))
    return drawn


@pytest.mark.parametrize("dots", [(), (2,), (1, 2)], ids=str)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_derivatives_of_every_form_match_finite_differences(equation: str, dots: tuple[int, ...]) -> None:
    if "..." in equation or dots == ():
        check_grad(lambda *xs: mg.einsum(equation, *xs), *operands(equation, dots=dots), order=2)


BROADCAST = [
    ("ij,ij->ij", "i"),
    ("ij,ij->", "ij"),
    ("ij,jk->ik", "j"),
    ("bij,bjk->bik", "b"),
    ("i,i,i->i", "i"),
    ("ij,ij,j->j", "j"),
]


@pytest.mark.parametrize(("equation", "ones"), BROADCAST)
def test_an_axis_of_size_1_broadcasts_and_its_gradient_is_summed(equation: str, ones: str) -> None:
    xs = operands(equation, ones)
    np.testing.assert_allclose(mg.einsum(equation, *xs), np.einsum(equation, *xs), rtol=1e-12)
    check_grad(lambda *xs: mg.einsum(equation, *xs), *xs, order=2)
    check_grad(lambda *xs: mg.einsum(equation, *xs[::-1]), *xs[::-1], order=2)


def test_ellipses_of_different_lengths_align_from_the_right() -> None:
    a, b = RNG.standard_normal((4, 1, 2)), RNG.standard_normal((3, 2))
    check_grad(lambda a, b: mg.einsum("...i,...i->...", a, b), a, b, order=2)
    np.testing.assert_allclose(mg.einsum("...i,...i->...", a, b), np.einsum("...i,...i->...", a, b), rtol=1e-12)


@settings(max_examples=4 * settings.default.max_examples)
@given(sums_of_products())
def test_einsum_of_every_form_is_numpys(case: Case) -> None:
    expected = np.einsum(case.static, *case.inputs)
    np.testing.assert_allclose(case.function(*case.inputs), expected, rtol=1e-12, atol=1e-12)


def test_einsum_takes_numbers_and_lists() -> None:
    for call in (lambda t: mg.einsum(",ij->ij", 2.0, t), lambda t: mg.einsum("ij,j->i", t, [1.0, 2.0, 3.0])):
        check_grad(call, RNG.standard_normal((2, 3)), order=2)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("ij,jk->ik", [(2, 3)]), ("ij", [(2, 3, 4)]), ("ijk->i", [(2, 3)]), ("ij,jk", [(2, 3), (4, 5)]),
     ("ii->i", [(0, 3)]), ("ii->i", [(3, 1)]), ("ii", [(2, 3)]), ("i...i->i", [(0, 2, 3)])],
)  # fmt: skip
def test_einsum_refuses_operands_that_do_not_fit_its_subscripts(equation: str, shapes: Any) -> None:
    with pytest.raises(ValueError, match="einsum"):
        mg.einsum(equation, *[mg.tensor(np.ones(s), requires_grad=True) for s in shapes])


LISTS: list[Any] = [
    lambda m, a, b: m.einsum(a, [0, 1], b, [1, 2], [0, 2]),
    lambda m, a, b: m.einsum(a, [7, 3], b, [3, 9]),
    lambda m, a, b: m.einsum(a, [5, 1], b, [1, 0]),  # implicit output in the order of the numbers
    lambda m, a, b: m.einsum(a, [..., 1], b, [1, ...], [...]),
    lambda m, a, b: m.einsum(a, (0, 1), b, (np.int64(1), 2), []),
]


@pytest.mark.parametrize("call", LISTS)
def test_lists_of_numbers_mean_what_numpys_do(call: Any) -> None:
    a, b = RNG.standard_normal((2, 3)), RNG.standard_normal((3, 2))
    tensors = [mg.tensor(x, requires_grad=True) for x in (a, b)]
    for y in (call(mg, a, b), call(mg, *tensors).data, call(np, *tensors).data):
        np.testing.assert_allclose(y, call(np, a, b), rtol=1e-12)
    check_grad(lambda a, b: call(mg, a, b), a, b, order=2)


@pytest.mark.parametrize("others", [(), ([0], 3), (np.ones(2),), (np.ones(2), [0])], ids=str)
def test_einsum_without_subscripts_says_how_to_write_them(others: Any) -> None:
    with pytest.raises(TypeError, match=r"einsum\(a, \[0, 1\], b, \[1, 2\], \[0, 2\]\)"):
        mg.einsum(mg.tensor([1.0, 2.0]), *others)


@pytest.mark.parametrize("low", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("equation", "shapes"), [("ij,j->i", [(3, 40), (1,)]), ("ij,ij,k->ik", [(3, 40), (3, 40), (2,)])]
)
def test_operands_of_lower_precision_are_summed_in_that_of_the_result(low: Any, equation: str, shapes: Any) -> None:
    rng = np.random.default_rng(0)
    *first, last = [rng.uniform(0.2, 0.8, shape) for shape in shapes]
    arrays = [*[x.astype(low) for x in first], last]
    exact = np.einsum(equation, *[x.astype(float) for x in arrays])
    np.testing.assert_allclose(mg.einsum(equation, *map(mg.tensor, arrays)).data, exact, rtol=1e-14, strict=True)
    np.testing.assert_allclose(
        mg.compile(lambda *xs: mg.einsum(equation, *xs))(*arrays), exact, rtol=1e-14, strict=True
    )
