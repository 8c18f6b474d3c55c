"""Cells that take several inputs at each step: sequences in a tuple or a dict, of any shapes (T, B, ...)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from textbook import grads_of

import minigrad as mg
import nn
from minigrad.testing import check_cell

RNG = np.random.default_rng(0)
XS = RNG.standard_normal((5, 3, 2))
LENGTHS = np.array([5, 0, 3])
options = pytest.mark.parametrize("options", [{}, {"reverse": True}, {"checkpoint": 2}], ids=str)


class TwoInputs(nn.Cell):
    """Rows of features, and images, which are averaged."""

    def __init__(self, kind: Any, H: int = 2) -> None:
        self.H, self.kind, self.linear = H, kind, nn.Linear(2 + H, H, rng=0, dtype=np.float64)

    def step(self, x: Any, state: Any) -> Any:
        rows, images = x.values() if self.kind is dict else x
        h = mg.tanh(self.linear(mg.concatenate([rows, state], axis=1)) + mg.mean(images, axis=(1, 2)).reshape(-1, 1))
        return h, h


IMAGES = RNG.standard_normal((5, 3, 4, 4))


@options
@pytest.mark.parametrize("kind", [tuple, dict])
def test_the_first_layer_takes_several_sequences_of_any_shapes(kind: Any, options: Any) -> None:
    cell = TwoInputs(kind)
    rows, images = XS.copy(), IMAGES.copy()
    rows[~nn.padding_mask(LENGTHS, 5)] = np.nan
    xs: Any = (rows, images) if kind is tuple else {"rows": rows, "images": images}
    net = nn.Recurrent(cell, nn.RNNCell(2, 2, rng=1, dtype=np.float64), **options)
    outputs, (final, _) = net(xs, lengths=LENGTHS)
    assert (outputs.shape, np.isfinite(outputs.data).all()) == ((5, 3, 2), True)
    for b, n in enumerate(LENGTHS):
        s = mg.tensor(np.zeros((1, 2)))
        for t in range(n)[::-1] if net.reverse else range(n):
            parts = rows[t, b : b + 1], images[t, b : b + 1]
            _, s = cell(parts if kind is tuple else dict(zip(("rows", "images"), parts)), s)
        np.testing.assert_allclose(final.data[b : b + 1], s.data, rtol=1e-12)
    assert all(np.isfinite(g).all() for g in grads_of(net, outputs.sum()).values())
    x = mg.tensor(images, requires_grad=True)
    net((XS, x) if kind is tuple else {"rows": XS, "images": x}, lengths=LENGTHS)[0].sum().backward()
    assert np.array_equal(x.grad.any(axis=(2, 3)), nn.padding_mask(LENGTHS, 5))


def test_sequences_of_unequal_lengths_are_refused_with_all_shapes() -> None:
    with pytest.raises(ValueError, match=r"same T and B.*\(5, 3, 2\), \(4, 3, 4, 4\)"):
        nn.Recurrent(TwoInputs(tuple))((XS, IMAGES[:4]))


def test_several_inputs_of_a_cell_that_takes_one_are_refused_by_name() -> None:
    for call in (lambda x: nn.LSTM(2, 3)(x), lambda x: nn.LSTMCell(2, 3)((x[0][0], x[1][0]))):
        with pytest.raises(TypeError, match=r"LSTMCell: takes one input, got a tuple of 2; join them"):
            call((XS, XS))


@pytest.mark.parametrize("kind", [tuple, dict])
def test_integers_beside_features_are_told_of_as_a_mask_and_only_alone_as_one_hot_vectors(kind: Any) -> None:
    class Masking(nn.Cell):
        H = 2

        def step(self, x: Any, h: Any) -> Any:
            rows, seen = x.values() if isinstance(x, dict) else x
            return h, h + rows * seen

    given = lambda *parts: parts if kind is tuple else dict(zip(("rows", "seen"), parts))
    mask = np.ones((5, 3), int)
    for xs in (given(XS, mask), given(XS, mask[..., None])):  # the shapes differ, and then the dtypes
        with pytest.raises(ValueError, match=r"\(3,( 1)?\) beside numbers: a mask .* m.astype\(h.dtype\)") as caught:
            nn.Recurrent(Masking())(xs)
        assert "these are one-hot vectors" not in str(caught.value)
    with pytest.raises(ValueError, match="these are one-hot vectors only for a cell that"):
        nn.Recurrent(Masking())(given(mask, mask))
    assert nn.Recurrent(Masking())(given(XS.astype("f"), mask[..., None] > 0))[0].shape == (5, 3, 2)


# --- a number for each step ------------------------------------------------------------------------------------------


class Decaying(nn.Cell):
    """Its state decays over the time `gaps` since the step before, and stays as it is where `seen` is false."""

    def __init__(self, I: int = 2, H: int = 2) -> None:
        self.H, self.linear = H, nn.Linear(2 + H, H, rng=0, dtype=np.float64)

    def step(self, x: Any, h: Any) -> Any:
        rows, gaps, seen = x
        old = h * mg.exp(-gaps).reshape(-1, 1)
        h = mg.where((seen > 0).reshape(-1, 1), mg.tanh(self.linear(mg.concatenate([old, rows], axis=1))), h)
        return h, h


GAPS, SEEN = RNG.uniform(0.1, 1.0, (5, 3)), np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1], [1, 0, 1]])


@options
@pytest.mark.parametrize("kind", [int, bool, float])
def test_a_sequence_beside_others_may_have_one_number_for_each_step(options: Any, kind: Any) -> None:
    gaps = GAPS.copy()
    gaps[~nn.padding_mask(LENGTHS, 5)] = np.nan
    net = nn.Recurrent(Decaying(), **options)
    outputs, (final,) = net((XS, gaps, SEEN.astype(kind)), lengths=LENGTHS)
    W, b = net.cells[0].linear.W.data, net.cells[0].linear.b.data
    for k, n in enumerate(LENGTHS):
        h = np.zeros(2)
        for t in range(n)[::-1] if net.reverse else range(n):
            if SEEN[t, k]:
                h = np.tanh(np.concatenate([h * np.exp(-GAPS[t, k]), XS[t, k]]) @ W + b)
        np.testing.assert_allclose(final.data[k], h, rtol=1e-12)
    assert all(np.isfinite(g).all() for g in grads_of(net, outputs.sum()).values())


def test_numbers_for_each_step_are_checked_and_compiled_as_rows_are() -> None:
    inputs = XS[:3, :2], GAPS[:3, :2], SEEN[:3, :2]
    check_cell(Decaying, inputs=inputs)
    net = nn.Recurrent(Decaying())
    np.testing.assert_array_equal(mg.compile(lambda xs: net(xs)[0])(inputs).data, net(inputs)[0].data)


def test_numbers_alone_do_not_tell_the_batch_and_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 3\) must be integers, or have a third axis"):
        nn.Recurrent(Decaying())((GAPS, GAPS, GAPS))
    with pytest.raises(ValueError, match=r"shape \(3,\), it needs a batch"):
        Decaying()((GAPS[0], GAPS[0], GAPS[0]))
    with pytest.raises(ValueError, match=r"shape \(\), it needs a batch"):
        Decaying()((XS[0], mg.tensor(1.0), SEEN[0]))


def test_a_list_of_several_inputs_is_refused_and_told_from_a_sequence() -> None:
    with pytest.raises(ValueError, match=r"a list of arrays that are not all of one shape.*tuple or dict.*pad_seq"):
        nn.Recurrent(Decaying())([XS, GAPS, SEEN])


class Counting(nn.Cell):
    H = 2

    def initial_state(self, B: int) -> Any:
        return super().initial_state(B), mg.tensor(np.zeros(B, np.int64)), mg.tensor(np.zeros(B, bool))

    def step(self, x: Any, state: Any) -> Any:
        h, n, late = state
        return x + h, (x + h, n + 1, late)


@pytest.mark.parametrize("made", [np.asarray, mg.tensor], ids=["array", "Tensor"])
def test_numbers_of_a_given_state_that_would_be_cut_are_refused(made: Any) -> None:
    h, n, late = np.zeros((3, 2)), np.array([1, 2, 3]), np.array([True, False, True])
    net, xs = nn.Recurrent(Counting()), np.ones((4, 3, 2))
    _, (state,) = net(xs, ((h, made(n), made(late)),))
    assert state[1].data.tolist() == [5, 6, 7]
    for wrong in ((h, made(n + 0.5), late), (h, n, made(n))):
        with pytest.raises(
            ValueError, match=r"Counting: a part of the state, \(3,\), is .*64, the cell's is (int64|bool)"
        ):
            net(xs, (wrong,))
