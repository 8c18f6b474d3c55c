"""Sequences side by side from any nested lists, and the mean, largest and last step of each."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import check_grad

# --- pad_sequences ---------------------------------------------------------------------------------------------------

X, Y = np.arange(6.0).reshape(3, 2), np.arange(2.0).reshape(1, 2)
LABELS = [[1, 2, 3], [4]]
BOTH = np.array([[[0, 1], [0, 1]], [[2, 3], [0, 0]], [[4, 5], [0, 0]]])
BOTH_LABELS = np.array([[1, 4], [2, 0], [3, 0]])


@pytest.mark.parametrize(
    "sequences",
    [
        [X, Y],
        [X.tolist(), Y.tolist()],
        [tuple(map(tuple, X.tolist())), tuple(map(tuple, Y.tolist()))],
        [list(X), list(Y)],
        (X, Y.tolist()),
    ],
    ids=["arrays", "lists", "tuples", "lists of arrays", "a mixture"],
)
def test_sequences_of_any_nested_lists_are_padded(sequences: Any) -> None:
    padded, lengths = nn.pad_sequences(sequences)
    np.testing.assert_array_equal(padded, BOTH)
    assert lengths.tolist() == [3, 1]


@pytest.mark.parametrize(
    "sequences",
    [
        [{"x": X, "y": LABELS[0]}, {"x": Y, "y": LABELS[1]}],
        [[{"x": x, "y": y} for x, y in zip(X, LABELS[0])], [{"x": Y[0].tolist(), "y": 4}]],
    ],
    ids=["a dict of sequences", "a sequence of dicts"],
)
def test_several_sequences_of_one_length_are_padded_together(sequences: Any) -> None:
    padded, lengths = nn.pad_sequences(sequences, value={"x": 0, "y": 0})
    np.testing.assert_array_equal(padded["x"], BOTH)
    np.testing.assert_array_equal(padded["y"], BOTH_LABELS)
    assert (padded["y"].dtype, lengths.tolist()) == (np.dtype(int), [3, 1])


def test_tuples_and_trees_of_them_are_padded_each_part_with_its_value() -> None:
    sequences = [(X, {"y": np.array(LABELS[0])}), (Y, {"y": np.array(LABELS[1])})]
    (x, rest), _ = nn.pad_sequences(sequences, value=(0.5, {"y": -1}))
    np.testing.assert_array_equal(x[1:, 1], 0.5)
    assert rest["y"][:, 1].tolist() == [4, -1, -1]
    steps = [[(x, x[0]) for x in X], [(x, x[0]) for x in Y]]
    (xs, firsts), _ = nn.pad_sequences(steps)
    np.testing.assert_array_equal(xs, BOTH)
    np.testing.assert_array_equal(firsts, BOTH[:, :, 0])


def test_an_empty_list_is_of_any_shape_dtype_and_structure() -> None:
    padded, lengths = nn.pad_sequences([[], [1, 2]])
    assert (padded.tolist(), padded.dtype, lengths.tolist()) == ([[0, 1], [0, 2]], np.dtype(int), [0, 2])
    assert nn.pad_sequences([X, []])[0].shape == (3, 2, 2)
    assert nn.pad_sequences([{"x": X}, []])[0]["x"].shape == (3, 2, 2)
    assert nn.pad_sequences([[], []])[0].shape == (0, 2)


def test_tensors_give_a_tensor_through_which_gradients_come_back() -> None:
    padded, _ = nn.pad_sequences([mg.tensor(X), [mg.tensor(Y[0]), Y[0]], []], value=7.0)
    assert isinstance(padded, mg.Tensor)
    np.testing.assert_array_equal(padded.data[:, 1:], [[[0, 1], [7, 7]], [[0, 1], [7, 7]], [[7, 7], [7, 7]]])
    check_grad(lambda x, y: mg.tanh(nn.pad_sequences([x, y * y, Y], -1.0)[0]), X, X[:2], order=2)
    check_grad(lambda x: nn.pad_sequences([{"a": x}, {"a": [[x[0, 0], 1.0]]}])[0]["a"], X)
    assert nn.pad_sequences([mg.tensor(X, np.float32), []])[0].dtype == np.float32


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([[[1, 2], [3]]], r"sequences\[0\]\[1\] has shape \(1,\), sequences\[0\]\[0\] \(2,\); only the sequences"),
        ([[1], [[[1, 2], [3]]]], r"sequences\[1\]\[0\]\[1\] has shape \(1,\), sequences\[1\]\[0\]\[0\] \(2,\)"),
        ([[1, [2, 3]]], r"sequences\[0\]\[1\] has shape \(2,\), sequences\[0\]\[0\] \(\)"),
        ([[mg.tensor([1.0]), mg.tensor([1.0, 2.0])]], r"sequences\[0\]\[1\] has shape \(2,\)"),
        ([{"x": X, "y": [1, 2]}], r"the parts of sequences\[0\] have the lengths \[3, 2\]"),
        ([{"x": X}, {"z": Y}], r"sequences\[1\] has another structure .* the keys \['x'\], got \['z'\]"),
        ([{"x": X}, Y], r"sequences\[1\] has another structure"),
        ([X, {"x": Y}], r"sequences\[1\] has another structure .* expected one array, got a dict of 1"),
        ([[{"x": 1}, {"y": 1}]], r"sequences\[0\]\[1\] has another structure"),
        ([{}], r"sequences\[0\] has no parts"),
        (
            [[], 1, 2],
            r"sequences\[1\] is a single number, of shape \(\); each sequence is a list of its steps.* \[sequence\]",
        ),
        ([{"x": X}, {"x": np.ones((1, 3))}], r"their first axis only, got \[\(3, 2\), \(1, 3\)\]"),
    ],
)
def test_what_is_irregular_beyond_the_first_axis_raises_with_its_place(sequences: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.pad_sequences(sequences)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_a_value_that_integers_cannot_hold_raises(value: float) -> None:
    with pytest.raises(ValueError, match=rf"the value {value} is not of the sequences' dtype, int64"):
        nn.pad_sequences(LABELS, value)
    with pytest.raises(ValueError, match=r"the value -1 .* uint8"):
        nn.pad_sequences([np.ones(2, np.uint8)], -1)
    padded, _ = nn.pad_sequences([np.ones(2, np.float32), []], value)
    np.testing.assert_array_equal(padded[:, 1], np.float32(value))


def test_what_holds_no_numbers_raises() -> None:
    with pytest.raises(TypeError, match=r"sequences\[1\] holds something that is no number: \[1, None\]"):
        nn.pad_sequences([[1], [1, None]])
    with pytest.raises(TypeError, match=r"sequences\[0\] holds something that is no number: 'ab'"):
        nn.pad_sequences(["ab", "c"])
    with pytest.raises(TypeError, match="give a list of sequences, got 3"):
        nn.pad_sequences(3)  # type: ignore[arg-type]
    for value in ("a", [1, 2], None):
        with pytest.raises(TypeError, match="the value must be a number, got"):
            nn.pad_sequences([[1]], value)
    with pytest.raises(TypeError, match="a list of sequences, each of which may be a dict"):
        nn.pad_sequences({"x": [X, Y]})
    with pytest.raises(ValueError, match="value has another structure"):
        nn.pad_sequences([{"x": X}], value={"y": 0})


# --- mean, largest, last ---------------------------------------------------------------------------------------------

OVER_TIME: dict[str, tuple[Any, Any]] = {
    "mean": (nn.mean_over_time, lambda x: x.mean(axis=0)),
    "max": (nn.max_over_time, lambda x: x.max(axis=0)),
    "last": (nn.last_over_time, lambda x: x[-1]),
}
each_reduction = pytest.mark.parametrize(("reduce", "plain"), OVER_TIME.values(), ids=OVER_TIME)
shapes = st.sampled_from([(4, 3), (4, 3, 2), (4, 3, 2, 2)])
some_lengths = st.lists(st.integers(0, 4), min_size=3, max_size=3)


def steps(shape: Any) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.arange(1.0, 1 + np.prod(shape))).reshape(shape) - 20.5


@each_reduction
@given(shape=shapes, lengths=some_lengths)
def test_each_sequence_is_reduced_over_its_steps_alone(reduce: Any, plain: Any, shape: Any, lengths: Any) -> None:
    xs = steps(shape)
    behind = xs.copy()
    for b, n in enumerate(lengths):
        behind[n:, b] = np.nan
    found = reduce(mg.tensor(behind), lengths)
    expected = np.stack([plain(xs[:n, b]) if n else np.zeros(shape[2:]) for b, n in enumerate(lengths)])
    np.testing.assert_allclose(found.data, expected, rtol=1e-13)
    np.testing.assert_array_equal(reduce(behind, mask=nn.padding_mask(lengths, 4)), found.data)
    np.testing.assert_allclose(reduce(xs), plain(xs), rtol=1e-13)
    assert reduce(mg.tensor(behind, np.float32), lengths).dtype == np.float32


@each_reduction
@given(shape=shapes, lengths=some_lengths)
def test_its_gradient_is_zero_behind_the_lengths(reduce: Any, plain: Any, shape: Any, lengths: Any) -> None:
    xs = mg.tensor(steps(shape), requires_grad=True)
    y = reduce(xs, lengths)
    y.backward(np.ones(y.shape))
    for b, n in enumerate(lengths):
        assert not xs.grad[n:, b].any()
        np.testing.assert_allclose(xs.grad[:, b].sum(axis=0), np.full(shape[2:], float(n > 0)), rtol=1e-13)


@each_reduction
@pytest.mark.parametrize(("shape", "lengths"), [((4, 3, 2), [4, 2, 0]), ((3, 2), None)])
def test_it_has_first_and_second_derivatives(reduce: Any, plain: Any, shape: Any, lengths: Any) -> None:
    check_grad(lambda x: mg.tanh(reduce(0.1 * x, lengths)), steps(shape), order=2)


@each_reduction
def test_a_mask_may_have_holes(reduce: Any, plain: Any) -> None:
    xs, mask = steps((4, 3)), np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    expected = [plain(xs[mask[:, b], b]) if mask[:, b].any() else 0 for b in range(3)]
    np.testing.assert_allclose(reduce(xs, mask=mask), expected)


@each_reduction
def test_compiled_it_reads_the_lengths_of_each_call(reduce: Any, plain: Any) -> None:
    xs = mg.tensor(steps((4, 3, 2)), requires_grad=True)
    f = mg.compile(lambda lengths: (reduce(xs, lengths) ** 2).sum().backward())
    for lengths in ([4, 2, 0], [1, 3, 2]):
        xs.grad = None
        f(np.array(lengths))
        found, xs.grad = xs.grad, None
        (reduce(xs, lengths) ** 2).sum().backward()
        np.testing.assert_array_equal(found, xs.grad)


def test_equally_large_steps_share_the_gradient_and_padding_has_none_of_it() -> None:
    xs = mg.tensor([[2.0], [2.0], [2.0]], requires_grad=True)
    nn.max_over_time(xs, [2]).sum().backward()
    np.testing.assert_array_equal(xs.grad, [[0.5], [0.5], [0.0]])


@each_reduction
@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4,), {}, r"xs must be \(T, B, ...\) with T >= 1, got \(4,\)"),
        ((0, 2), {}, r"got \(0, 2\)"),
        ((4, 3), {"lengths": [1, 2]}, r"lengths must be integers of shape \(3,\)"),
        ((4, 3), {"lengths": [1, 2, 5]}, r"lengths must lie within 0 \.\.\. T = 4"),
        ((4, 3), {"mask": np.ones((4, 2), bool)}, r"booleans of shape \(4, 3\), got bool of \(4, 2\)"),
        ((4, 3), {"mask": np.ones((4, 3))}, r"booleans of shape \(4, 3\), got float64"),
        ((4, 3), {"mask": np.ones((4, 3), bool), "lengths": [1, 2, 3]}, "lengths or a mask, not both"),
    ],
)
def test_what_does_not_fit_raises(reduce: Any, plain: Any, shape: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"{reduce.__name__}: .*{message}|^{message}"):
        reduce(np.zeros(shape), **options)


def test_the_last_output_of_a_network_is_its_final_state() -> None:
    net, xs = nn.GRU(2, 3, rng=0), np.random.default_rng(0).standard_normal((4, 3, 2))
    outputs, (final,) = net(xs, lengths=[4, 1, 3])
    np.testing.assert_array_equal(nn.last_over_time(outputs, [4, 1, 3]).data, final.data)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_padding_is_that_of_pytorch_with_its_gradient() -> None:
    import torch

    rng = np.random.default_rng(0)
    arrays, g = [rng.standard_normal((n, 2)) for n in (3, 1, 2)], rng.standard_normal((3, 3, 2))
    theirs, ours = [torch.tensor(a, requires_grad=True) for a in arrays], [mg.tensor(a, None, True) for a in arrays]
    y = torch.nn.utils.rnn.pad_sequence(theirs, padding_value=0.5)
    y.backward(torch.tensor(g))
    padded, _ = nn.pad_sequences(ours, 0.5)
    padded.backward(g)
    np.testing.assert_array_equal(padded.data, y.detach().numpy())
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.grad, b.grad.numpy())
