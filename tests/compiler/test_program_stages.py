"""compile: passes that are left out by name, and what is shown of them."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.compiler.stages import NAMES, PASSES, folded

ROUNDING = {p.name for p in PASSES if p.rounding}
X, W = np.random.default_rng(0).standard_normal((7, 2, 5)), np.random.default_rng(1).standard_normal((5, 5)) * 0.3


def step(W: Any, xs: Any) -> Any:
    """A loop whose gradient every pass has something to do for."""

    def loss(W: Any, xs: Any) -> Any:
        h, hs = xs[0], []
        for t in range(1, 7):
            h = mg.tanh(h @ W + xs[t]) * mg.sigmoid(xs[t])
            hs.append(h)
            mg.exp(h)  # which no result needs
        return mg.sum(mg.stack(hs) ** 2) + mg.sum(mg.sigmoid(xs[1]))

    return mg.value_and_grad(loss, (0, 1))(W, xs)


#: Where factors are cut into panels: 8 (384, 384) products are no small ones.
WIDE_X = np.random.default_rng(0).standard_normal((7, 8, 384))
WIDE_W = np.random.default_rng(1).standard_normal((384, 384)) * 0.05


def results(without: Any = (), data: Any = (W, X)) -> tuple[list[np.ndarray], Any]:
    f = mg.compile(step, without=without)
    return [np.asarray(x.data) for x in mg.tree_leaves(f(*data))], f.program


@pytest.mark.parametrize("name", NAMES)
def test_results_are_the_same_without_any_one_pass(name: str) -> None:
    data = (WIDE_W, WIDE_X) if name == "panels" else (W, X)
    (whole, program), (rest, other) = results((), data), results(name, data)
    assert other.describe() != program.describe(), "the pass has nothing to do here"
    for a, b in zip(whole, rest, strict=True):
        if name in ROUNDING:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        else:
            np.testing.assert_array_equal(a, b, strict=True)


def test_results_are_those_of_a_plain_run_without_all_passes() -> None:
    rest, program = results(NAMES)
    for a, b in zip(mg.tree_leaves(step(W, X)), rest, strict=True):
        np.testing.assert_allclose(a.data, b, rtol=1e-12, atol=1e-12)
    assert "dot" not in program.describe()


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU], ids=lambda cell: cell.__name__)
def test_gradients_of_a_network_are_the_same_without_any_one_pass(cell: Any) -> None:
    found = {}
    for name in ((), *NAMES):
        net = cell(3, 4, rng=0, dtype=np.float64)

        def run(x: Any, net: Any = net) -> None:
            nn.cross_entropy(net(x)[0], np.zeros((6, 2), int)).backward()

        mg.compile(run, without=name)(X[:6, :, :3])
        found[name] = [p.grad for p in net.parameters()]
    for name in NAMES:
        for a, b in zip(found[()], found[name], strict=True):
            (np.testing.assert_allclose if name in ROUNDING else np.testing.assert_array_equal)(a, b)


def test_unknown_passes_are_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"without='batch': there is no such pass; .* repeats, .* batches, "):
        mg.compile(step, without=("batches", "batch"))
    with pytest.raises(ValueError, match="without='loops'"):
        mg.compile(step, without="loops")


def scaled(x: Any) -> Any:
    return mg.sum(x * 2.0)


def test_a_copy_by_pickle_is_made_with_the_same_passes() -> None:
    copy = pickle.loads(pickle.dumps(mg.compile(scaled, without=("turns", "batches"))))
    assert copy.stages.without == {"turns", "batches"}
    assert float(copy(X)) == float(scaled(X))


def test_the_list_is_shown_after_each_pass_and_the_memory_and_the_calls(capsys: pytest.CaptureFixture[str]) -> None:
    f = mg.compile(step, show_passes=True, without="packed_factors")
    assert not capsys.readouterr().out
    f(W, X)
    titles, _, shown = [], None, capsys.readouterr().out
    for line in shown.splitlines():
        if line.startswith("--- "):
            titles.append(line.strip("- "))
    assert titles == ["as traced", "dead_code", "panels", "batches", "places", "memory", "calls"]
    assert f.program.describe().splitlines()[0] in shown
    assert "= swapaxes(" in shown
    f(W, X)
    assert not capsys.readouterr().out


def test_nothing_is_shown_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    results()
    assert not capsys.readouterr().out


def test_blocks_that_repeat_are_folded() -> None:
    block = ["v{}:f32[2] = tanh(v1:f32[2])", "v{}:f32[3] = getitem(v2:f32[9], {})"]
    lines = [line.format(n, n) for n in range(9) for line in block]
    shown = folded(["first", *lines, "last"])
    assert shown == ["first", *lines[:4], "    ... 6 more turns of these 2 lines ...", *lines[-2:], "last"]
    assert "    ... 1 more turn of these 2 lines ..." in folded(lines[:8])
    assert folded(lines[:6]) == lines[:6]
    others = [f"v1:f32[{n}] = tanh(v0:f32[{n}])" for n in range(9)]
    assert folded(others) == others  # of other shapes


def test_the_map_of_memory_has_two_values_at_one_place_only_where_one_replaces_the_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minigrad.compiler.stages.folded", list)
    mg.compile(step, show_passes=True)(W, X)
    shown = capsys.readouterr().out.split("--- memory ---\n")[1].split("\n\n")[0].splitlines()
    pieces = [[int(n) for n in re.findall(r"\d+", line.split(":")[0])] for line in shown[1:]]
    assert len(pieces) > 10
    assert max(start + size for start, size, _, _ in pieces) <= int(shown[0].split()[0])
    for n, (start, size, first, last) in enumerate(pieces):
        for low, other, begun, over in pieces[:n]:
            if start < low + other and low < start + size:
                assert over <= first or last <= begun
