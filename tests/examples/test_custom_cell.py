"""The example of cells of one's own: derivatives in every wrapping, equations, and that they learn."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
import pytest
from profiles import long_profile
from refusals import refusal
from textbook import random_state, randomised, sigma, swapped, weights_of

import minigrad as mg
import nn
from examples import custom_cell as example
from minigrad.testing import check_grad

each_cell = pytest.mark.parametrize("kind", list(example.CELLS.values()), ids=list(example.CELLS))


def ugrnn(cell: Any, x: np.ndarray, h: np.ndarray) -> Any:
    hx = np.concatenate([h, x])
    g = sigma(cell.gate.W.data.T @ hx + cell.gate.b.data)
    return g * h + (1 - g) * np.tanh(cell.candidate.W.data.T @ hx + cell.candidate.b.data)


def antisymmetric(cell: Any, x: np.ndarray, h: np.ndarray) -> Any:
    A = cell.W.data - cell.W.data.T - 0.01 * np.eye(len(h))
    v = cell.V.W.data.T @ x + cell.V.b.data
    return h + 0.5 * sigma(A @ h + v[: len(h)]) * np.tanh(A @ h + v[len(h) :])


def multiplicative(cell: Any, x: np.ndarray, state: Any) -> Any:
    m = (cell.of_x.W.data.T @ x) * (cell.of_h.W.data.T @ state["h"])
    f, i, o, a = np.split(cell.gates.W.data.T @ np.concatenate([x, m]) + cell.gates.b.data, 4)
    C = sigma(f) * state["C"] + sigma(i) * np.tanh(a)
    return {"h": sigma(o) * np.tanh(C), "C": C}


EQUATIONS = dict(zip(example.CELLS.values(), [ugrnn, antisymmetric, multiplicative], strict=True))


@each_cell
def test_cell_follows_the_equations_of_its_paper(kind: Any) -> None:
    rng = np.random.default_rng(0)
    cell = randomised(kind(2, 3, dtype=np.float64))
    xs, state = rng.standard_normal((4, 2, 2)), random_state(cell, 2, rng)
    _, (final,) = nn.Recurrent(cell)(xs, (state,))
    for b in range(2):
        s = mg.tree_map(lambda a, b=b: a[b], state)
        for x in xs[:, b]:
            s = EQUATIONS[kind](cell, x, s)
        for p, q in zip(mg.tree_leaves(final), mg.tree_leaves(s), strict=True):
            np.testing.assert_allclose(p.data[b], q, rtol=1e-10)


@each_cell
@pytest.mark.parametrize("options", [{"num_layers": 2}, {"num_layers": 1, "bidirectional": True}], ids=str)
@pytest.mark.parametrize("lengths", [pytest.param(None, marks=pytest.mark.campaign), [2, 3]], ids=str)
@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.campaign)])
def test_derivatives_match_finite_differences(kind: Any, options: Any, lengths: Any, order: int) -> None:
    rng = np.random.default_rng(0)
    net = randomised(nn.Recurrent(lambda layer: kind(2 if layer else 1, 2, dtype=np.float64), **options))

    def f(weights: Any, xs: Any, state: Any) -> Any:
        with swapped(net, weights):
            return net(xs, state, lengths)

    check_grad(
        f, weights_of(net), rng.standard_normal((3, 2, 1)), random_state(net, 2, rng), order=order, mode="project"
    )


@each_cell
def test_second_derivatives_match_finite_differences_of_the_examples_own_check(kind: Any) -> None:
    example.check(kind)  # two layers, unequal lengths


def test_two_numbers_are_marked_within_each_length_and_add_up() -> None:
    xs, sums, lengths = example.adding(9, 50, np.random.default_rng(0))
    assert (xs.shape, sums.shape, xs.dtype, sums.dtype) == ((9, 50, 2), (50, 1), np.float32, np.float32)
    for b, n in enumerate(lengths):
        marked = xs[:n, b][xs[:n, b, 1] == 1]
        assert len(marked) == 2
        np.testing.assert_allclose(marked[:, 0].sum(), sums[b, 0], rtol=1e-6)
    assert (lengths.min(), lengths.max()) == (4, 9)


@each_cell
def test_a_cell_learns_to_add_better_than_the_constant_guess(kind: Any) -> None:
    steps, lr, least = (150, 2e-2, 0.05) if long_profile() else (80, 3e-2, 0.1)
    o = Namespace(hidden=16, length=6, steps=steps, lr=lr, clip=1.0, seed=0)
    error, _, _ = example.train("", kind(2, 16, rng=0), o)
    assert error < least  # a guess has 0.167


def test_program_checks_each_cell_and_prints_it_beside_its_baselines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Any] = []
    monkeypatch.setattr(example, "check", checked.append)
    assert example.main(["--steps", "2", "--length", "4"]) == 0
    assert checked == list(example.CELLS.values())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*example.CELLS, "LSTM", "always"]


@pytest.mark.parametrize(("option", "least"), [("--steps", 1), ("--length", 4), ("--hidden", 1), ("--seed", 0)])
def test_impossible_options_end_with_a_message(option: str, least: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main([option, str(least - 1)]) == 2
    assert f"{option}: must be a whole number of at least {least}, got" in refusal(capsys)


def test_there_is_no_option_without_effect_and_a_seed_makes_a_run_reproducible(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(example, "check", lambda kind: None)
    monkeypatch.setattr(example.time, "process_time", lambda: 0.0)
    monkeypatch.setattr(mg, "compile", lambda f: f)  # takes longer than so few steps

    def table(*options: str) -> str:
        assert example.main(["--length", "6", "--steps", "3", "--hidden", "3", *options]) == 0
        return capsys.readouterr().out

    before = table()
    assert table() == before
    for change in ("--seed 1", "--hidden 4", "--steps 4", "--lr 0.1", "--clip 100", "--length 5"):
        assert table(*change.split()) != before, f"{change} changed nothing"


def test_quick_is_a_small_run_in_which_other_options_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    monkeypatch.setattr(example, "check", lambda kind: None)
    monkeypatch.setattr(example, "train", lambda name, cell, o: seen.append(o) or (0.0, 0.0, cell))
    assert example.main(["--quick", "--length", "9"]) == 0
    assert seen[0].steps < 100
    assert seen[0].length == 9
