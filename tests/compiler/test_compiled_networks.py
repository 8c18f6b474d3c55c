"""Compiled networks give the losses and gradients of eager ones, with every option of Recurrent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    lambda I, H, **made: nn.ElmanCell(I, H, H, **made),
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


# --- lengths and masks as arguments ----------------------------------------------------------------------------------


class Means(nn.Module):
    """A user's cell, whose state is a dict: running means of its outputs and of their squares."""

    def __init__(self, I: int, H: int, **made: Any) -> None:
        self.linear = nn.Linear(I, H, **made)

    def forward(self, x: Any, state: Any) -> Any:
        y = mg.tanh(self.linear(x)) * (1 + state["mean"])
        state = {"mean": 0.9 * state["mean"] + 0.1 * y, "square": 0.8 * state["square"] + 0.2 * y * y}
        return y, state

    @classmethod
    def cell(cls, I: int, H: int, **made: Any) -> nn.FunctionCell:
        zeros = lambda B: mg.tensor(np.zeros((B, H)))
        f = cls(I, H, **made)

        def masked(x: Any, state: Any, mask: Any) -> Any:
            return f(x, state | {"mean": state["mean"] * mask})

        return nn.FunctionCell(f, lambda B: {"mean": zeros(B), "square": zeros(B)}, masked)


def count(compiled: Any) -> int:
    return sum(map(len, compiled.programs.values()))


def training_step(net: nn.Module) -> Any:
    """All that the network returns, as a list of Tensors; the gradients are left in the parameters."""

    def step(xs: Any, lengths: Any) -> list[Any]:
        parts = mg.tree_leaves(net(xs, lengths=lengths, return_states=True))
        net.zero_grad()
        mg.sum(mg.stack([mg.sum(y * y) for y in parts])).backward()
        return parts

    return step


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.PeepholeLSTMCell, Means.cell])
@given(
    T=st.integers(1, 5),
    batches=st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=2, max_size=3),
    B=st.integers(1, 3),
    layers=st.integers(1, 2),
    direction=st.sampled_from([{}, {"reverse": True}, {"bidirectional": True}]),
    options=st.fixed_dictionaries(
        {},
        optional={"checkpoint": st.just(2), "recurrent_dropout": st.just(0.5), "residual": st.just(True)},
    ),
    seed=st.integers(0, 99),
)
def test_one_program_serves_all_lengths_and_is_as_the_eager_network(
    cell: Any, T: int, batches: list[list[int]], B: int, layers: int, direction: Any, options: Any, seed: int
) -> None:
    def made() -> nn.Recurrent:
        sizes = [4, *[6 if "bidirectional" in direction else 3] * (layers - 1)]
        make = lambda layer: cell(sizes[layer], 3, rng=seed + layer, dtype=np.float64)
        return nn.Recurrent(make, num_layers=layers, rng=seed, **direction, **options)

    eager, traced = made(), made()  # two of them, since each draws its own masks of dropout
    step, compiled = training_step(eager), mg.compile(training_step(traced))
    rng = np.random.default_rng(seed)
    for batch in batches:
        lengths = np.minimum(batch, T)[:B]
        xs = rng.standard_normal((T, B, 4))
        xs[~nn.padding_mask(lengths, T)] = np.nan  # which nothing may read
        for found, expected in zip(compiled(xs, lengths), step(xs, lengths), strict=True):
            np.testing.assert_allclose(found.data, expected.data, rtol=1e-12, atol=1e-14)
        for p, q in zip(traced.parameters(), eager.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, q.grad, rtol=1e-10, atol=1e-12)
    assert count(compiled) == 1


@pytest.mark.parametrize("kind", ["dot", "additive"])
def test_one_program_translates_batches_of_all_lengths_as_the_eager_network_does(kind: str) -> None:
    made = {"rng": 0, "dtype": np.float64}
    encoder, decoder, head = nn.GRU(5, 4, **made), nn.LSTM(5, 4, **made), nn.Linear(8, 5, **made)
    attention = nn.attention.DotAttention() if kind == "dot" else nn.attention.AdditiveAttention(4, 4, 3, **made)
    parameters = [p for module in (encoder, decoder, head, attention) for p in module.parameters()]

    def step(xs: Any, lengths: Any, mask: Any, ys: Any) -> Any:
        keys, (state,) = encoder(xs, lengths=lengths)
        h, _ = decoder(mg.maximum(ys[:-1], 0), ((state, state),))
        context, weights = attention(h, keys, mask=mask)
        loss = nn.cross_entropy(head(mg.concatenate([h, context], axis=-1)), ys[1:], ignore_index=-1)
        for p in parameters:
            p.grad = None
        loss.backward()
        return loss, weights

    compiled, rng = mg.compile(step), np.random.default_rng(0)
    for lengths in ([6, 1, 4], [2, 5, 3], [0, 6, 6]):
        xs, ys, mask = rng.integers(0, 5, (6, 3)), rng.integers(0, 5, (4, 3)), nn.padding_mask(lengths, 6)
        xs[~mask], ys[rng.integers(1, 4) :, 1] = -100, -1
        batch = xs, np.array(lengths), mask, ys
        found, gradients = compiled(*batch), [p.grad for p in parameters]
        for a, b in zip(found, step(*batch), strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-12)
        for g, p in zip(gradients, parameters, strict=True):
            np.testing.assert_allclose(g, p.grad, rtol=1e-10, atol=1e-14)
    assert count(compiled) == 1


BAD_LENGTHS = {
    "too long": (np.array([3, 5]), r"lengths must lie within 0 \.\.\. T = 4, got 3 \.\.\. 5"),
    "negative": (np.array([-1, 3]), r"lengths must lie within 0 \.\.\. T = 4, got -1 \.\.\. 3"),
    "too many": (np.array([1, 2, 3]), r"lengths must be integers of shape \(2,\), got int64 of shape \(3,\)"),
    "no integers": (np.array([1.0, 2.0]), r"lengths must be integers of shape \(2,\), got float64 of shape \(2,\)"),
}


@pytest.mark.parametrize(("lengths", "message"), BAD_LENGTHS.values(), ids=BAD_LENGTHS)
def test_lengths_that_do_not_fit_raise_while_tracing_and_at_a_replay(lengths: np.ndarray, message: str) -> None:
    net, xs, right = nn.GRU(3, 2, rng=0), np.ones((4, 2, 3)), np.array([4, 1])
    compiled = mg.compile(training_step(net))
    with pytest.raises(ValueError, match=message):
        compiled(xs, lengths)
    expected = compiled(xs, right)[0].data
    gradients = [p.grad.copy() for p in net.parameters()]
    with pytest.raises(ValueError, match=message):
        compiled(xs, lengths)
    for p, g in zip(net.parameters(), gradients, strict=True):
        np.testing.assert_array_equal(p.grad, g)
    np.testing.assert_array_equal(compiled(xs, right)[0].data, expected)


def test_lengths_without_use_of_the_mask_are_checked_at_each_call() -> None:
    compiled = mg.compile(lambda lengths: (nn.padding_mask(lengths, 3), lengths)[1])
    compiled(mg.tensor([1, 3]))
    with pytest.raises(ValueError, match=r"within 0 \.\.\. T = 3, got 1 \.\.\. 4"):
        compiled(mg.tensor([1, 4]))


def test_lengths_given_as_a_tensor_get_no_gradient() -> None:
    net, lengths = nn.GRU(3, 2, rng=0), mg.tensor([4, 1])
    mg.compile(training_step(net))(np.ones((4, 2, 3)), lengths)
    assert lengths.grad is None
    assert all(p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("lengths", [np.array([2, 3]), [2, 3], mg.tensor([2, 3])], ids=lambda x: type(x).__name__)
def test_a_mask_is_a_plain_array_but_for_an_argument_of_a_compiled_function(lengths: Any) -> None:
    expected = np.array([[True, True], [True, True], [False, True]])
    mask = nn.padding_mask(lengths, 3)
    assert type(mask) is np.ndarray
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(mg.compile(lambda n: nn.padding_mask(n, 3))(lengths), expected)


class Zoneout(nn.Cell):
    """A cell of a user's own, which keeps units in training at random (Krueger et al. 2017), else on the average."""

    def __init__(self, rng: int) -> None:
        self.H, self.inside, self.rng = 3, nn.GRUCell(4, 3, rng=0), np.random.default_rng(rng)

    def step(self, x: Any, h: Any) -> Any:
        _, new = self.inside(x, h)
        kept = mg.sample(self.rng.random, h.shape) < 0.5 if self.training else 0.5
        new = mg.where(kept, h, new) if self.training else kept * h + (1 - kept) * new
        return new, new


STOCHASTIC = {
    "dropout": lambda: nn.Dropout(0.5, rng=1),
    "variational dropout": lambda: nn.VariationalDropout(0.5, rng=1),
    "between layers": lambda: nn.GRU(4, 3, 2, dropout=0.5, rng=1),
    "recurrent dropout": lambda: nn.GRU(4, 3, recurrent_dropout=0.5, rng=1),
    "a user's cell": lambda: nn.Recurrent(Zoneout(1)),
}


@pytest.mark.parametrize("modes", [(True, False, True), (False, True, False)], ids=["trained first", "evaluated first"])
@pytest.mark.parametrize("made", STOCHASTIC.values(), ids=STOCHASTIC)
def test_a_compiled_network_trains_and_evaluates_as_the_eager_one_whenever_its_mode_changes(
    made: Any, modes: Any
) -> None:
    net, twin = made(), made()
    first = lambda ys: np.array(mg.tree_leaves(ys)[0].data)
    compiled = mg.compile(net)
    for mode in modes:
        net.train(mode)
        twin.train(mode)
        found, expected = ([first(f(XS)) for _ in range(2)] for f in (compiled, twin))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert np.array_equal(*found) != mode


def test_a_compiled_network_drops_as_much_as_its_recurrent_dropout_says_now() -> None:
    net = nn.GRU(4, 3, recurrent_dropout=0.5, rng=1)
    net.recurrent_dropout.p = 0.0
    compiled = mg.compile(lambda xs: net(xs)[0])
    plain = compiled(XS).data
    np.testing.assert_array_equal(plain, compiled(XS).data)
    net.recurrent_dropout.p = 0.5
    assert not np.array_equal(compiled(XS).data, compiled(XS).data)
