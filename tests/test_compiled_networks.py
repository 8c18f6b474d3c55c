"""Compiled networks give the losses and gradients of eager ones, with every option of Recurrent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn

XS = np.random.default_rng(0).standard_normal((9, 3, 4))
LENGTHS = np.array([9, 3, 6])
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "two layers": ({}, {}),
    "both directions": ({"bidirectional": True}, {}),
    "lengths": ({}, {"lengths": LENGTHS}),
    "both directions and lengths": ({"bidirectional": True}, {"lengths": LENGTHS}),
    "reverse": ({"reverse": True}, {"lengths": LENGTHS}),
    "residual": ({"residual": True}, {}),
    "every state": ({}, {"return_states": True}),
    "checkpoint": ({"checkpoint": 3}, {}),
}
CELLS = [
    *(nn.PeepholeLSTMCell, nn.CoupledLSTMCell, nn.LayerNormLSTMCell, nn.MGUCell, nn.IRNNCell, nn.LeakyRNNCell),
    *(nn.EchoStateCell, lambda I, H, **made: nn.ProjectedLSTMCell(I, H, 2, **made)),
]


def check_compiled(net: nn.Module, **options: Any) -> None:
    """At the traced call, at replays with other inputs, and with other weights."""
    parameters = net.parameters()

    def loss_of(xs: Any) -> Any:
        parts = mg.tree_leaves(net(xs, **options))
        loss = mg.sum(mg.stack([mg.sum(y * y) for y in parts]))
        if loss.requires_grad:
            loss.backward()
        return loss

    def run(f: Any, xs: np.ndarray) -> list[Any]:
        net.zero_grad()
        return [f(xs).data, *[p.grad for p in parameters]]

    compiled = mg.compile(loss_of)
    for factor in (1.0, 0.5, -1.5):
        for found, expected in zip(run(compiled, factor * XS), run(loss_of, factor * XS), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
        for p in parameters:
            p.data = p.data * 0.9


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("option", OPTIONS)
def test_a_compiled_network_has_the_loss_and_gradients_of_the_eager_one(kind: Any, option: str) -> None:
    made, called = OPTIONS[option]
    check_compiled(kind(4, 4, 2, rng=0, dtype=np.float64, **made), **called)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_a_compiled_cell_has_the_loss_and_gradients_of_the_eager_one(cell: Any) -> None:
    check_compiled(nn.Recurrent(cell(4, 3, rng=0, dtype=np.float64)), lengths=LENGTHS)


def test_a_compiled_network_draws_its_dropout_masks_anew_and_as_the_eager_one_does() -> None:
    def losses(compiled: bool) -> list[float]:
        net = nn.LSTM(4, 5, 2, dropout=0.5, recurrent_dropout=0.3, rng=0)
        f = lambda xs: net(xs)[0].sum()
        f = mg.compile(f) if compiled else f
        return [float(f(XS.astype(np.float32)).item()) for _ in range(3)]

    found = losses(compiled=True)
    assert len(set(found)) == 3
    np.testing.assert_allclose(found, losses(compiled=False), rtol=1e-5)
