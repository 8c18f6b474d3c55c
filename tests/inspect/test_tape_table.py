"""The table of a tape: a line an entry, what repeats folded, arrays in few words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import Tensor
from minigrad.inspect.folding import Block, fold

XS = np.random.default_rng(0).standard_normal((5, 2, 3))


def leaf(x: Any) -> Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


def product(x: Any) -> Any:
    y = mg.tanh(x)  # here
    return x * y


def line_here() -> int:
    code = product.__code__
    return code.co_firstlineno + 1


def test_the_table_has_one_line_an_entry_with_its_value_and_its_line_of_source() -> None:
    lines, where = str(mg.tape(product, 0.5)).splitlines(), "test_tape_table.py"
    assert lines[0] == "tape of 3 entries, 1 of them a leaf, float64"
    assert [re.split(r"\s{2,}", line) for line in lines[1:]] == [
        ["%0 () = leaf x", "0.5"],
        ["%1 () = tanh(%0)", "0.46212", f"{where}:{line_here()} in product: y = mg.tanh(x)", "# here"],
        ["%2 () = multiply(%0, %1)", "[result]", "0.23106", f"{where}:{line_here() + 1} in product: return x * y"],
    ]  # fmt: skip


def test_long_arrays_are_shown_as_range_and_a_few_numbers_and_what_is_not_finite_is_counted() -> None:
    text = str(mg.tape(lambda x: x * 1.0, np.array([1.0, np.nan, -np.inf, 2.5, -4.0, 0.125])))
    assert "1 NaN, 1 infinite, [-4, 2.5]: 1 nan -inf ..." in text
    assert "(6,) = multiply(%0, 1)" in text


def test_static_arguments_and_indices_are_shown_as_they_are_written() -> None:
    text = str(mg.tape(lambda x: mg.sum(x[:, 1:3], axis=(0, 1), keepdims=True), np.ones((2, 4))))
    assert "getitem(%0, [:, 1:3])" in text
    assert "sum(%1, axis=(0, 1), keepdims=True)" in text


def test_steps_of_a_cell_are_folded_to_one_block_and_shown_in_full_when_asked() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float)
    tape = mg.tape(lambda xs: (net(xs)[0][-1] ** 2).sum(), XS)
    folded, full = str(tape), tape.text(fold=False)
    assert "x 5, 3 entries a turn, steps 0 ... 4 of cells.0" in folded
    assert "getitem(%4, 0 ... 4)" in folded
    assert "linear((2, 4) array -> %7, %1, %5)" in folded  # the initial state, and then the h of the turn before
    assert folded.count("= tanh(") == 1
    assert full.count("= tanh(") == 5
    assert "x 5" not in full


@pytest.mark.parametrize("T", [4, 9])
def test_a_block_stands_for_exactly_the_turns_that_it_says(T: int) -> None:
    x, w, h = leaf(0.5), leaf(2.0), mg.tensor(0.0)
    for t in range(T):
        h = mg.tanh(h * w + x * float(t))
    tape = mg.tape(mg.sin(h))
    blocks = [item for item in fold(tape) if isinstance(item, Block)]
    assert [(b.period, b.turns) for b in blocks] == [(4, T)]
    numbers = [n for item in fold(tape) for n in (range(item.start, item.stop) if isinstance(item, Block) else [item])]
    assert numbers == list(range(len(tape)))


def test_turns_that_read_something_else_are_not_folded() -> None:
    x, y = leaf(0.5), leaf(0.25)
    z = x
    for k in range(8):
        z = mg.tanh(z * (x if k % 4 < 2 else y))
    blocks = [item for item in fold(mg.tape(z)) if isinstance(item, Block)]
    assert not blocks


def test_a_block_ends_where_its_turns_begin_to_read_something_else() -> None:
    x, y = leaf(0.5), leaf(0.25)
    z = x
    for k in range(12):
        z = mg.tanh(z * (x if k < 5 else y))
    blocks = [item for item in fold(mg.tape(z)) if isinstance(item, Block)]
    assert [(b.period, b.turns) for b in blocks] == [(2, 5), (2, 7)]


def test_loops_in_loops_fold_as_such() -> None:
    x = y = leaf(0.5)
    for _ in range(6):
        for _ in range(7):
            y = mg.tanh(y * x)
        y = mg.sin(y)
    (block,) = [item for item in fold(mg.tape(y)) if isinstance(item, Block)]
    assert block.turns == 6
    assert any(isinstance(item, Block) for item in block.items)


@pytest.mark.parametrize("turns", [3_333, pytest.param(33_333, marks=pytest.mark.campaign)])
def test_many_thousand_entries_print_folded_and_what_does_not_fold_is_cut_short(turns: int) -> None:
    x = y = leaf(0.5)
    for _ in range(turns):
        y = mg.tanh(y) * x + 0.1
    text = str(mg.tape(y))
    assert f"{3 * turns + 1:,} entries" in text
    assert len(text.splitlines()) < 10
    rng, y = np.random.default_rng(0), x
    for k in rng.integers(3, size=1000):
        y = (mg.tanh, mg.sin, mg.cos)[k](y)
    assert "lines more, which tape.text() has" in str(mg.tape(y))


def test_notebooks_get_a_table_in_which_all_text_is_escaped() -> None:
    def evil(x: Any) -> Any:
        with mg.scope("<script>alert(1)</script>"):
            y = mg.tanh(x)
            mg.label(y, "<img src=x>")
        return y

    html = mg.tape(evil, 0.5)._repr_html_()
    assert html.startswith("<p>tape of 2 entries")
    assert "<img" not in html
    assert "&lt;img src=x&gt;" in html
    assert html.count("<tr>") == 3


def test_one_is_no_plural() -> None:
    def doubled(x: Any) -> Any:
        for _ in range(9):
            x = x + x
        return x

    assert "x 9, 1 entry a turn" in str(mg.tape(doubled, 1.0))
    W, x = mg.tensor(np.ones((2, 2)), requires_grad=True), np.ones((3, 2))
    assert "(1 product, which waits for others)" in repr(mg.explain(mg.sum(x @ W) + mg.sum(W)).step(W))
