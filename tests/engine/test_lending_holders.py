"""Who else holds an array that a user's function or rule returns: on all versions of Python, however it is returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from holders import KEPT, MADE, NEW, address, holder, kept_as_a_buffer, kept_as_memory

import minigrad as mg
from minigrad import primitive
from minigrad.lending import lending, shared

X = np.array([0.5, 2.0])
OF_NO_ARRAY = [kept_as_a_buffer, kept_as_memory]  # what is in use cannot be known, and a copy is taken at once

each_new = pytest.mark.parametrize("make", NEW, ids=lambda f: getattr(f, "__name__", type(f).__name__))
each_kept = pytest.mark.parametrize("keep", KEPT, ids=lambda f: f.__name__)


def leaf() -> Any:
    return mg.tensor(X, requires_grad=True)


@each_new
def test_what_nobody_else_holds_is_new(make: Callable[[Any], Any]) -> None:
    for _ in range(40):  # a loop that Python makes quicker as it runs
        assert not shared((make(X),))


@each_kept
def test_what_somebody_else_holds_is_shared(keep: Any) -> None:
    make = holder(keep())
    for _ in range(40):
        assert shared((make(X),))


def test_a_list_that_somebody_else_holds_is_shared() -> None:
    sizes = [2, 3]
    assert shared((sizes,))
    assert not shared(([2, 3],))
    assert not shared([None, list(sizes)], 1)


@each_new
@pytest.mark.parametrize("recorded", [True, False])
def test_a_new_result_of_a_function_is_not_copied(make: Callable[[Any], Any], recorded: bool) -> None:
    own = primitive(lambda x: make(x), lambda g, y, x: g * y, name="own")
    for _ in range(3):
        y = own(leaf() if recorded else mg.tensor(X))
        assert address(y.data) == MADE[-1]


@each_kept
@pytest.mark.parametrize("recorded", [True, False])
def test_a_result_that_the_function_keeps_is_copied(keep: Any, recorded: bool) -> None:
    own = primitive(holder(keep()), lambda g, y, x: g * y, name="own")
    tensors = [leaf() if recorded else mg.tensor(X) for _ in range(3)]
    ys = [own(x * k) for k, x in enumerate(tensors, 1)]
    for k, y in enumerate(ys, 1):
        np.testing.assert_array_equal(y.data, 2.0 * k * X)
    if recorded:
        mg.concatenate(ys).sum().backward()
        np.testing.assert_array_equal([x.grad for x in tensors], [2.0 * X, 8.0 * X, 18.0 * X])


@each_new
def test_a_new_result_of_a_rule_is_handed_on_as_it_is(make: Callable[[Any], Any]) -> None:
    rule = lending(lambda g, y, x: make(g))
    jointly = lending(lambda g, y, x: [make(g), mg.At(slice(2), make(g))])
    for _ in range(3):
        g = rule(X, X, X)
        assert address(g) == MADE[-1]
        assert g.flags.owndata == make(X).flags.owndata
        first, second = jointly(X, X, X)
        assert address(second.g) == MADE[-1]
        assert type(first) is np.ndarray


@each_kept
def test_a_result_that_the_rule_keeps_is_refused_while_it_is_in_use(keep: Any) -> None:
    again = holder(keep())
    own = primitive(lambda x: x * 2.0, lambda g, y, x: again(g), name="own")
    for _ in range(2):  # and not for what is no longer in use
        x = leaf()
        (own(x) * 3.0).sum().backward()
        np.testing.assert_array_equal(x.grad, [6.0, 6.0])
        del x
    x, y = leaf(), leaf()
    result = (own(x) + 3.0 * own(y)).sum()
    if keep in OF_NO_ARRAY:
        result.backward()
        np.testing.assert_array_equal([x.grad, y.grad], [[2.0, 2.0], [6.0, 6.0]])
    else:
        with pytest.raises(ValueError, match=r"^own: .* that was returned before and is still in use"):
            result.backward()


RETURNED: list[Callable[[Any], Any]] = [
    lambda array: array, lambda array: array[::-1], lambda array: array[:1], lambda array: array.reshape(2, 1)[:, 0],
]  # fmt: skip


@pytest.mark.parametrize("later", RETURNED)
@pytest.mark.parametrize("first", RETURNED)
def test_memory_is_in_use_in_whatever_form_it_was_returned(first: Any, later: Any) -> None:
    array = np.zeros(2)
    view = array[:]
    results = [first(view), later(array)]
    rule = lending(lambda g, y, x: results[k])
    k = 0
    part = rule(X, X, X)[:1]
    k = 1
    with pytest.raises(ValueError, match="still in use"):
        rule(X, X, X)
    del part
    rule(X, X, X)


def test_arrays_of_one_result_may_have_the_same_memory() -> None:
    array = np.zeros(4)
    rule = lending(lambda g, y, x: [array, array, array[1:], mg.At(slice(3), array[:3])])
    array[:] = range(4)
    a, b, c, d = rule(X, X, X)
    array[:] = 7.0
    for g in (b, c, d.g):
        assert not np.shares_memory(g, array)
    np.testing.assert_array_equal(np.concatenate([b, c, d.g]), [0, 1, 2, 3, 1, 2, 3, 0, 1, 2])
    assert np.shares_memory(a, array)
    with pytest.raises(ValueError, match="still in use"):
        rule(X, X, X)
