"""Chapter 3: the sum is right, leaves its terms alone, and multiplies and fills as little as it can."""

import numpy as np
import pytest

import minigrad as mg

RNG = np.random.default_rng(0)


class Counted(np.ndarray):
    """An array that counts the matrix products in which it takes part."""

    products = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        Counted.products += ufunc is np.matmul
        return getattr(ufunc, method)(*[np.asarray(x) for x in inputs], **options)


@pytest.fixture
def terms():
    parts = [mg.At(t, RNG.standard_normal(3)) for t in range(4)]
    products = [mg.Product(RNG.standard_normal((2, 4)).view(Counted), RNG.standard_normal((2, 3))) for _ in range(5)]
    return [RNG.standard_normal((4, 3)), *parts, *products, RNG.standard_normal((4, 3))]


def test_arrays_parts_and_products_are_added_up(answer, terms):
    parts = np.stack([term.g for term in terms[1:5]])
    products = sum(np.asarray(term.x).T @ term.g for term in terms[5:10])
    np.testing.assert_allclose(answer.collect((4, 3), terms), terms[0] + parts + products + terms[-1])


def test_an_entry_that_an_index_names_twice_gets_both(answer):
    part = mg.At(np.array([0, 0, 2]), np.array([1.0, 10.0, 100.0]))
    assert answer.collect((3,), [part, part]).tolist() == [22.0, 0.0, 200.0]


def test_no_term_is_changed_or_handed_out(answer):
    g = np.ones(3)
    total = answer.collect((3,), [g, mg.At(0, 5.0), g])
    total += 1
    assert g.tolist() == [1.0, 1.0, 1.0]
    alone = answer.collect((3,), [g])
    assert not np.shares_memory(alone, g)


def test_all_products_are_multiplied_as_one(answer, terms):
    Counted.products = 0
    answer.collect((4, 3), terms)
    assert Counted.products <= 1, f"{Counted.products} products were multiplied: join them first, then multiply"


def test_parts_are_added_in_place_and_no_zeros_are_built_for_each(answer, monkeypatch):
    made = []
    zeros = np.zeros
    for name in ("zeros", "zeros_like"):
        function = getattr(np, name)

        def counting(*args, function=function, **options):
            made.append(function(*args, **options))
            return made[-1]

        monkeypatch.setattr(np, name, counting)
    answer.collect((100, 2), [mg.At(t, zeros(2)) for t in range(100)])
    assert sum(a.size for a in made) <= 2 * 200, "this builds zeros of the whole shape more than once"
