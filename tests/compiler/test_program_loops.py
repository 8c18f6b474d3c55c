"""compile: calls that come again, turn after turn, are made by one function for each loop."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from compiled import placed
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.compiler.calls import Arrays, Column, calls_in_turns, calls_of
from minigrad.compiler.instruction import Kind, layout
from minigrad.compiler.loops import STEPS, Loop, repeats
from minigrad.compiler.places import Place, Root, Step

X = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
LYING = layout((2,), np.dtype(float))


def steps(names: Sequence[str]) -> list[Step]:
    return [Step(n, "move", name, None, (), Place(Root(0, 16), 0, LYING)) for n, name in enumerate(names)]


@given(st.text("abc", max_size=40), st.text("abcd", min_size=1, max_size=5), st.integers(0, 12))
def test_blocks_that_are_said_to_repeat_do_so_and_do_not_overlap(before: str, block: str, turns: int) -> None:
    names, end = before + block * turns + "a", 0
    found = repeats(steps(names))
    for first, period, times in found:
        assert first >= end
        end = first + period * times
        assert names[first:end] == names[first : first + period] * times
        assert times >= 4
        assert period * times >= 8
    # one turn may go to a loop before, one to a repetition within it
    assert turns < 8 or sum(period * times for _, period, times in found) >= len(block) * (turns - 2)


def test_where_nothing_repeats_there_is_no_loop() -> None:
    assert repeats(steps("abcdefghijklmnopqrstuvwxyz")) == []
    assert repeats([]) == []
    assert repeats(steps("ab" * 5 + "c" + "d" * 7)) == [(0, 2, 5)]


def test_a_short_loop_of_a_long_program_is_not_worth_a_function() -> None:
    others = [chr(1000 + n) for n in range(STEPS * 8)]
    for block, turns in (("abc", STEPS // 3), ("abc", STEPS // 3 + 1), ("a", STEPS - 1), ("a", STEPS)):
        found = [(0, len(block), turns)] if len(block) * turns >= STEPS else []
        assert repeats(steps([*block * turns, *others])) == found


def loops(p: Any) -> list[Loop]:
    return [origin for _, _, origin in p.entries if isinstance(origin, Loop)]


def both(f: Any, *args: Any) -> tuple[Any, Any]:
    """Programs of f with loops and without, whose results and calls are the same."""
    programs = []
    for without in ("rolled", ()):
        compiled = mg.compile(f, without=without)
        for k in (1.0, 0.5):
            found, expected = compiled(*[a * k for a in args]), f(*[mg.tensor(a * k) for a in args])
            for x, y in zip(mg.tree_leaves(found), mg.tree_leaves(expected), strict=True):
                np.testing.assert_array_equal(np.asarray(x), np.asarray(y), strict=True)
        programs.append(compiled.program)
    plain, rolled = programs
    assert plain.names == rolled.names
    lines = [line for line in rolled.describe().splitlines() if not line.startswith("      ")]
    assert lines == [line for line in plain.describe().splitlines() if not line.startswith("      ")]
    assert not loops(plain)
    return plain, rolled


def test_a_longer_sequence_has_no_more_functions_and_no_more_of_its_own_text() -> None:
    entries, texts = [], []
    for T in (12, 40):
        net = nn.LSTM(3, 5, rng=0)

        def run(x: Any, net: Any = net) -> None:
            net(x)[0].sum().backward()

        compiled = mg.compile(run)
        compiled(np.ones((T, 2, 3), np.float32))
        entries.append(len(compiled.program.entries))
        texts.append([loop.text for loop in loops(compiled.program)])
        assert len(compiled.program.calls) > 15 * T
    assert entries[0] == entries[1]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 2  # forth and back


def test_constants_and_functions_with_keywords_may_differ_from_turn_to_turn() -> None:
    def f(x: Any) -> Any:
        for k in range(9):
            x = mg.maximum(x * (0.5 + k), mg.flip(x, axis=k % 2)) - mg.where(x > 0.1 * k, x, -1.0)
        return x

    _, rolled = both(f, X)
    assert len(loops(rolled)) == 1
    assert "maximum(" in loops(rolled)[0].text
    assert ", out=x" in loops(rolled)[0].text


def test_where_nothing_differs_the_turns_are_counted() -> None:
    def f(x: Any) -> Any:
        for _ in range(10):
            x = mg.tanh(x)
        return x * 2

    _, rolled = both(f, X)
    assert "for _ in turns:" in loops(rolled)[0].text


NAMES = ["for", "x1", "w1", "X1", "_", "zip", "turns", "loop", "é", "a b", "", "a\nb", "tanh"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_function_breaks_the_text(name: str) -> None:
    def twice(x: Any, out: Any = None) -> Any:
        return np.multiply(x, 2.0, out=out)

    twice.__name__ = name
    p = mg.primitive(twice, lambda g, y, x: g * 2, name=name or "twice")

    def f(x: Any) -> Any:
        for _ in range(8):
            x = mg.tanh(p(x)) + X
        return x

    _, rolled = both(f, X)
    assert len(loops(rolled)) == 1


def sinh_eight_times(calls: Any) -> Any:
    """A compiled loop with a primitive of one's own that says what to call, held against a plain run."""
    sinh = mg.compile_as(mg.primitive(np.sinh, lambda g, y, x: g * np.cosh(x)), calls=calls)

    def f(x: Any) -> Any:
        for _ in range(8):
            x = sinh(x) * 0.5
        return x

    compiled = mg.compile(f)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(X).data, f(mg.tensor(X)).data)
    return compiled.program


def test_prepared_calls_of_a_users_own_may_be_functions_that_differ() -> None:
    def calls(out: Any, x: Any) -> Any:
        return [(lambda a: np.sinh(a, out), (x,)), (out.sum, ())]

    program = sinh_eight_times(calls)
    assert [loop.turns for loop in loops(program)] == [8]
    assert program.describe().count("= sum()  # sinh") == 8


@pytest.mark.parametrize("more", [(1, 3, 5, 7), (7,)])
def test_calls_of_which_some_turns_have_more_stay_a_list(more: Any) -> None:
    asked: list[int] = []

    def calls(out: Any, x: Any) -> Any:
        asked.append(1)
        return [(np.sinh, (x, out))] + [(np.positive, (out, out))] * (len(asked) % 9 in more)

    assert not loops(sinh_eight_times(calls))


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_turns_whose_first_ones_are_more_alike_than_the_rest_are_made_as_they_are(first: int) -> None:
    def f(x: Any, y: Any) -> Any:
        parts, others = [mg.exp(y * k) for k in range(1, 9)], []
        for k in range(8):
            given = parts[0] if k < first else parts[k]
            x = mg.sigmoid(mg.sin(x + given)) * (1.0 - given)  # what is in place in one turn is not in another
            others.append(given if k >= first else x)
        return [x, mg.stack([1.0 if k < first else 2.0 for k in range(8)] + [mg.sum(x)]), *others]

    both(f, X, X.T.reshape(X.shape))


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_products_with_one_matrix_at_first_and_others_later_are_made_as_they_are(first: int) -> None:
    def f(x: Any, W: Any) -> Any:
        for k in range(8):
            x = mg.sin(x @ (W if k < first else mg.exp(W * k)))
        return x

    both(f, X, X.T @ X)


SQUARE, ROW = (layout(shape, np.dtype(np.float64)) for shape in ((2, 2), (1, 4)))
LEFT, RIGHT, WIDE = (Kind(mg.subtract, (k, like), {}, like, None) for k, like in ((1, SQUARE), (2, SQUARE), (1, ROW)))
SIGMOID, MATMUL = (Kind(p, (SQUARE,) * n, {}, SQUARE, None) for p, n in ((mg.sigmoid, 1), (mg.matmul, 2)))
#: Which of three places is read or written in each of five turns: often alike in the first two.
TURNS = [(0, 0, 0, 0, 0), (0, 0, 0, 1, 2), (0, 1, 0, 1, 2), (0, 1, 2, 0, 1), (1, 0, 1, 0, 1)]


@pytest.mark.parametrize("ways", [(0, 0, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)])
@pytest.mark.parametrize("kinds", [(LEFT,), (LEFT, RIGHT), (WIDE,), (SIGMOID,), (MATMUL,)], ids=str)
def test_calls_in_turns_are_those_of_each_turn(kinds: Sequence[Kind], ways: Sequence[int]) -> None:
    like, root = kinds[0].layout, Root(0, 512)
    layouts = [like, layout(like.shape, like.dtype, (like.strides[0] * 2, 8))]
    pool = [Place(root, 64 * n, layouts[way]) for n, way in enumerate(ways)]
    for *read, out in itertools.product(TURNS, repeat=kinds[0].inputs.count(like) + 1):
        reads = zip(*[[placed(pool[k]) for k in turns] for turns in read])
        made = [Step(n, "out", "", kinds[-(n > 2)], r, pool[k]) for n, (r, k) in enumerate(zip(reads, out))]
        arrays = Arrays(np.zeros(512, np.uint8), {})
        expected = [calls_of(s, arrays) for s in made]
        found = calls_in_turns(made, arrays, True)
        assert found is not None
        for turn, calls in enumerate(expected):
            for (f, operands), (function, columns) in zip(calls, found, strict=True):
                now = [x[turn] if type(x) is Column else x for x in (function, *columns)]
                assert all(x is y or (x == y and type(x) is float) for x, y in zip(now, (f, *operands), strict=True))


IRREGULAR = (0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 1)


def test_turns_that_read_another_number_of_arrays_are_no_loop() -> None:
    def f(x: Any) -> Any:
        for k in IRREGULAR:
            x = x * (X + 1.5) if k else x * 0.5
        return x

    assert not loops(both(f, X)[1])


def test_a_stack_of_values_and_numbers_in_no_order_is_no_loop() -> None:
    f = lambda x: mg.stack([x[k % 3] if value else 1.5 for k, value in enumerate((1, *IRREGULAR[1:]) * 3)])
    assert not loops(both(f, np.arange(3.0))[1])


@pytest.mark.parametrize("word", ["shift", "lambda", "a b"])
@pytest.mark.parametrize("turns", [IRREGULAR, (1,) * 12])
def test_turns_with_other_keywords_and_words_that_are_no_names_are_no_loop(word: str, turns: Any) -> None:
    def shifted(x: Any, out: Any = None, **static: Any) -> Any:
        return np.multiply(x, 1.0 + static.get(word, 0.0), out=out)

    p = mg.primitive(shifted, None, name="shifted")

    def f(x: Any) -> Any:
        for k in turns:
            x = p(x, **{word: 0.5}) if k else p(x)
        return x

    assert len(loops(both(f, X)[1])) == (word == "shift" and turns is not IRREGULAR)


def test_an_error_in_a_turn_comes_out_as_it_is_and_the_next_call_is_right() -> None:
    def checked(x: Any, out: Any = None) -> Any:
        if np.max(x) > 100:
            raise ArithmeticError("too large")
        return np.multiply(x, 0.5, out=out)

    p = mg.primitive(checked, lambda g, y, x: g / 2)

    def f(x: Any) -> Any:
        for _ in range(8):
            x = p(x) + X
        return x

    compiled = mg.compile(f)
    expected = compiled(X).data
    assert loops(compiled.program)
    for _ in range(2):
        with pytest.raises(ArithmeticError, match="too large"):
            compiled(X * 1000)
        np.testing.assert_array_equal(compiled(X).data, expected)


def test_there_is_one_array_for_all_that_lie_alike_at_one_address() -> None:
    def f(x: Any) -> Any:
        h, hs = x, []
        for _ in range(12):
            h = mg.tanh(h * x) + h
            hs.append(h)
        return mg.stack(hs)

    compiled = mg.compile(mg.grad(lambda x: mg.sum(f(x) ** 2)))
    compiled(X)
    assert loops(compiled.program)
    arrays = [x for _, operands in compiled.program.calls for x in operands if isinstance(x, np.ndarray)]
    lying = {(x.__array_interface__["data"][0], x.shape, x.strides): id(x) for x in arrays}
    assert {id(x) for x in arrays} == set(lying.values())
    assert len(lying) < len(arrays) / 2
