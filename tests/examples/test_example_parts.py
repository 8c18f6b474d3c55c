"""Parts of the examples that could be wrong unseen: data, a measure of gradients, a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from example_figures import figures

from examples import char_lm, common, length_generalisation, long_memory
from examples.char_lm import draw
from examples.common import picture


@pytest.mark.parametrize("T", [2, 3, 10])
def test_one_number_in_each_half_is_marked_and_their_sum_is_asked_for(T: int) -> None:
    xs, sums = long_memory.adding(T, 50, np.random.default_rng(0))
    values, marks = xs[..., 0], xs[..., 1]
    assert (xs.shape, sums.shape) == ((T, 50, 2), (1, 50, 1))
    for half in (marks[: T // 2], marks[T // 2 :]):
        assert (half.sum(axis=0) == 1).all()
    np.testing.assert_allclose(sums[0, :, 0], np.where(marks == 1, values, 0).sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize("delay", [0, 5])
def test_symbols_to_copy_come_first_and_are_signalled_for_after_the_delay(delay: int) -> None:
    xs, symbols = long_memory.copying(delay, 20, np.random.default_rng(0))
    K, blank = long_memory.REMEMBERED, long_memory.SYMBOLS
    rest = np.repeat([blank, blank + 1], [delay, K])[:, None] + np.zeros((1, 20), int)
    np.testing.assert_array_equal(xs, [*symbols, *rest])
    assert set(symbols.flat) == set(range(blank))


def test_gradient_norms_are_those_that_the_product_of_jacobians_gives() -> None:
    rng = np.random.default_rng(0)
    network = long_memory.Network("RNN, gain 1.5", "adding", 5, rng)
    found = long_memory.gradient_norms(network, np.random.default_rng(1))
    xs, targets = long_memory.adding(long_memory.LAGS + 1, 100, np.random.default_rng(1))
    cell, states = network.recurrent.cells[0], [np.zeros((100, 5))]
    for x in xs:
        states.append(np.tanh(x @ cell.U.data + states[-1] @ cell.W.data + cell.b.data))
    V, c = network.output.W.data, network.output.b.data
    g, expected = 2 * (states[-1] @ V + c - targets[0]) @ V.T, []
    for h in states[:0:-1]:
        expected.append(np.linalg.norm(g))
        g = g * (1 - h**2) @ cell.W.data.T
    np.testing.assert_allclose(found, expected[::-1], rtol=1e-3)


def test_a_window_knows_all_that_eight_symbols_tell_and_no_more() -> None:
    window = length_generalisation.Window("brackets", 9, np.random.default_rng(0))
    eight, twenty = length_generalisation.accuracies("brackets", window, [8, 20], 0)
    assert eight == 1
    assert twenty < 0.7


@pytest.mark.parametrize("final", [0.5, 1.0, 2.2, 2.9, 6.0])
def test_the_legend_of_the_losses_leaves_the_dashed_line_free(final: float, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    losses = np.linspace(4.0, final, 100)
    run: Any = SimpleNamespace(
        settings=SimpleNamespace(cell="lstm", layers=1, hidden=8),
        step=100,
        validations=[(50, (4 + final) / 2), (100, final)],
        stretches=lambda: (np.arange(100), losses[:, None]),
    )
    drawn: list[Any] = []

    @contextmanager
    def kept(path: Path) -> Iterator[Any]:
        with picture(path) as figure:
            drawn.append(figure)
            yield figure

    with mock.patch.object(char_lm, "picture", kept):
        draw(tmp_path / "loss.png", run, 3.17)
    axes = drawn[0].axes[0]
    box = axes.get_legend().get_window_extent().transformed(axes.transData.inverted())
    assert not box.y0 <= 3.17 <= box.y1


def test_figures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    common.write_json(tmp_path / "result.json", {"a": 1})
    with pytest.raises(TypeError):
        common.write_json(tmp_path / "result.json", {"a": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert figures(tmp_path) == {"a": 1}
