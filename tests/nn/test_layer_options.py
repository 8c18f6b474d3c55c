"""Options of layers: an Embedding's padding row, LayerNorm over several axes, and those of Conv2d."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textbook import arrays_of, grads_of, joined, randomised, swapped

import minigrad as mg
import nn
from minigrad.testing import check_grad


def check(module: Any, x: np.ndarray) -> None:
    def f(parameters: list[Any], x: Any) -> Any:
        with swapped(module, parameters):
            return module(x)

    check_grad(*joined(f, arrays_of(module), x), order=2, mode="project")


# --- the padding row of an Embedding ---------------------------------------------------------------------------------

WORDS = np.array([[0, 3, 1], [3, 3, 2]])


@pytest.mark.parametrize("given_as", [3, -1])
def test_the_padding_row_starts_at_zero_and_the_others_as_without_it(given_as: int) -> None:
    padded, plain = nn.Embedding(4, 2, 0, padding_idx=given_as), nn.Embedding(4, 2, 0)
    np.testing.assert_array_equal(padded.W.data[3], 0)
    np.testing.assert_array_equal(padded.W.data[:3], plain.W.data[:3])
    assert (padded.padding_idx, repr(padded).split("  #")[0]) == (3, "Embedding(4, 2, padding_idx=3)")
    assert padded(WORDS).dtype == np.float32


def weighted_loss(embedding: Any, x: Any) -> Any:
    return (embedding(x) ** 2 * np.arange(1.0, 13).reshape(2, 3, 2)).sum()


@pytest.mark.parametrize("compiled", [False, True])
def test_the_padding_row_counts_in_the_value_and_gets_no_gradient(compiled: bool) -> None:
    padded, plain = (randomised(nn.Embedding(4, 2, dtype=float, padding_idx=k)) for k in (3, None))
    step = lambda x: weighted_loss(padded, x).backward()
    if compiled:
        step = mg.compile(step)
        step(WORDS[::-1].copy())  # other indices than those of the next call
        padded.zero_grad()
    step(WORDS)
    expected = grads_of(plain, weighted_loss(plain, WORDS))["W"]
    assert expected[3].all()
    np.testing.assert_array_equal(padded.W.grad[3], 0)
    np.testing.assert_allclose(padded.W.grad[:3], expected[:3], rtol=1e-12)
    np.testing.assert_array_equal(padded(WORDS).data, plain(WORDS).data)  # whatever stands in the row


def test_what_is_not_finite_behind_padding_gives_the_row_no_gradient() -> None:
    embedding = nn.Embedding(3, 2, 0, padding_idx=0)
    embedding(np.array([0, 1])).backward(np.array([[np.nan, np.inf], [1, 2]]))
    np.testing.assert_array_equal(embedding.W.grad, [[0, 0], [1, 2], [0, 0]])


def test_second_derivatives_leave_the_padding_row_out() -> None:
    embedding = randomised(nn.Embedding(4, 2, dtype=float, padding_idx=3))

    def loss(W: Any) -> Any:
        with swapped(embedding, [W]):
            return (mg.tanh(embedding(WORDS)) ** 2).sum()

    H = mg.hessian(loss)(embedding.W.data).data
    assert not H[3].any()
    assert not H[:, :, 3].any()
    others = [0, 1, 2]
    plain = mg.hessian(lambda W: (mg.tanh(W[WORDS]) ** 2).sum())(embedding.W.data).data
    np.testing.assert_allclose(H[others][:, :, others], plain[others][:, :, others], rtol=1e-12)


def test_the_padding_row_stays_as_it_is_while_others_learn_and_is_saved(tmp_path: Any) -> None:
    embedding = nn.Embedding(4, 2, 0, padding_idx=0)
    before, optimizer = embedding.W.data.copy(), nn.AdamW(embedding.parameters(), 0.1)
    for _ in range(3):
        embedding.zero_grad()
        (embedding(np.arange(3)) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_array_equal(embedding.W.data[0], 0)
    assert (embedding.W.data[1:3] != before[1:3]).all()
    nn.save(tmp_path / "e.npz", embedding)
    other = nn.Embedding(4, 2, 1, padding_idx=0)
    other.load_state_dict(nn.load(tmp_path / "e.npz")[0])
    np.testing.assert_array_equal(other(np.arange(4)).data, embedding(np.arange(4)).data)


@pytest.mark.parametrize("padding_idx", [4, -5, 1.0, "0", True])
def test_a_padding_row_that_is_not_there_raises(padding_idx: Any) -> None:
    with pytest.raises(ValueError, match=rf"padding_idx must be an integer within -4 ... 3, got {padding_idx}"):
        nn.Embedding(4, 2, padding_idx=padding_idx)


# --- layer normalisation over several axes ---------------------------------------------------------------------------


@given(
    sizes=st.sampled_from([(3,), (2, 3), (1, 2, 2)]),
    leading=st.sampled_from([(), (2,), (2, 2)]),
    affine=st.booleans(),
    bias=st.booleans(),
)
def test_several_axes_are_normalised_together(sizes: Any, leading: Any, affine: bool, bias: bool) -> None:
    module = nn.LayerNorm(sizes, 1e-3, float, elementwise_affine=affine, bias=bias)
    randomised(module)
    assert [name for name, _ in module.named_parameters()] == ["scale"] * affine + ["shift"] * (affine and bias)
    x = np.random.default_rng(0).standard_normal(leading + sizes)
    rows = x.reshape(*leading, -1)
    d = rows - rows.mean(axis=-1, keepdims=True)
    expected = (d / np.sqrt((d**2).mean(axis=-1, keepdims=True) + 1e-3)).reshape(x.shape)
    if affine:
        expected = expected * module.scale.data + (module.shift.data if bias else 0)
    np.testing.assert_allclose(module(x).data, expected, rtol=1e-10, atol=1e-12)
    check(module, x)


def test_without_weights_it_has_no_entries_and_reads_plain_arrays_in_its_dtype() -> None:
    module = nn.LayerNorm((2, 3), elementwise_affine=False)
    assert (module.state_dict(), module(np.ones((2, 3))).dtype) == ({}, np.float32)
    assert repr(module) == "LayerNorm((2, 3), elementwise_affine=False)  # 0 parameters"
    assert repr(nn.LayerNorm(3, bias=False)) == "LayerNorm(3, bias=False)  # 3 parameters"


@pytest.mark.parametrize(
    ("sizes", "shape", "message"),
    [
        ((2, 3), (3,), r"shape \(3,\), its last sizes must be \(2, 3\)"),
        ((2, 3), (3, 2), r"shape \(3, 2\), its last sizes must be \(2, 3\)"),
        (3, (), r"shape \(\), its last size must be 3"),
        ((), (3,), r"tuple of the sizes of the last axes, got \(\)"),
        ((2, 0), (2, 0), r"got \(2, 0\)"),
        (2.5, (2,), r"tuple of the sizes of the last axes, got 2\.5"),
        ((2, "3"), (2, 3), r"got \(2, '3'\)"),
    ],
)
def test_other_sizes_than_those_normalised_raise(sizes: Any, shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.LayerNorm(sizes)(np.ones(shape))


@pytest.mark.parametrize("eps", [-1e-5, np.nan])
def test_an_eps_below_0_raises(eps: float) -> None:
    with pytest.raises(ValueError, match=f"LayerNorm: eps must be at least 0, got {eps}"):
        nn.LayerNorm(3, eps)


# --- convolution -----------------------------------------------------------------------------------------------------

pairs = st.tuples(st.integers(1, 2), st.integers(1, 3))


@pytest.mark.parametrize("channels", [(1, 2, 1), (2, 4, 2), (4, 2, 2), (3, 3, 3)])
@settings(max_examples=8)
@given(
    kernel=pairs,
    stride=pairs,
    dilation=pairs,
    padding=st.sampled_from([(0, 2), (1, 0), "valid", "same"]),
    bias=st.booleans(),
)
def test_convolution_sums_over_each_dilated_window_of_its_group(
    channels: Any, kernel: Any, stride: Any, dilation: Any, padding: Any, bias: bool
) -> None:
    I, O, G = channels
    stride = (1, 1) if padding == "same" else stride
    module = randomised(nn.Conv2d(I, O, kernel, stride, padding, bias, 0, float, dilation, G))
    x = np.random.default_rng(0).standard_normal((2, I, 4, 7))
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if padding == "same":
        around = [(n // 2, n - n // 2) for n in reach]
    else:
        around = [(0, 0)] * 2 if padding == "valid" else [(p, p) for p in padding]
    whole, y = np.pad(x, ((0, 0), (0, 0), *around)), module(x).data
    assert y.shape[2:] == tuple((whole.shape[a + 2] - reach[a] - 1) // stride[a] + 1 for a in (0, 1))
    assert padding != "same" or y.shape[2:] == x.shape[2:]
    expected = np.zeros(y.shape)
    for b, o, r, c in np.ndindex(y.shape):
        group = o // (O // G)
        for i, k, l in np.ndindex(module.W.shape[1:]):
            row, column = stride[0] * r + dilation[0] * k, stride[1] * c + dilation[1] * l
            expected[b, o, r, c] += module.W.data[o, i, k, l] * whole[b, group * (I // G) + i, row, column]
    if bias:
        expected += module.b.data[:, None, None]
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"dilation": (1, 2), "stride": (2, 1), "padding": (0, 1)},
        {"groups": 2, "padding": "same"},
        {"groups": 4, "bias": False, "dilation": 2, "padding": "valid"},
    ],
    ids=str,
)
def test_its_options_have_the_derivatives_of_finite_differences(options: Any) -> None:
    module = randomised(nn.Conv2d(4, 4, 2, dtype=float, **options))
    check(module, np.random.default_rng(0).standard_normal((2, 4, 3, 4)))


def test_a_compiled_step_of_grouped_convolutions_equals_the_eager_one() -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding="same", groups=2, rng=0), nn.LayerNorm((4, 5, 5)))
    x = np.random.default_rng(0).standard_normal((3, 2, 5, 5)).astype(np.float32)
    eager = grads_of(module, (module(x) ** 2).sum())
    module.zero_grad()
    mg.compile(lambda x: (module(x) ** 2).sum().backward())(x)
    for name, p in module.named_parameters():
        np.testing.assert_array_equal(p.grad, eager[name])
        assert p.grad.dtype == np.float32


def test_numbers_of_numpy_are_numbers() -> None:
    one, two = np.int64(1), np.int32(2)
    assert repr(nn.Conv2d(4, 6, two, one, one, dilation=two, groups=two)) == repr(
        nn.Conv2d(4, 6, 2, 1, 1, dilation=2, groups=2)
    )


def test_the_options_are_shown() -> None:
    shown = repr(nn.Conv2d(4, 2, 3, (2, 1), 1, dilation=2, groups=2)).split("  #")[0]
    assert shown == "Conv2d(4, 2, (3, 3), stride=(2, 1), padding=1, dilation=2, groups=2)"
    assert "padding='same'" in repr(nn.Conv2d(1, 1, 2, padding="same"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": (2, 3, 4)}, r"pair for rows and columns, got kernel=\(2, 3, 4\)"),
        ({"stride": (1, 0)}, r"got stride=\(1, 0\)"),
        ({"stride": 1.5}, r"got stride=1.5"),
        ({"dilation": 0}, "got dilation=0"),
        ({"padding": (0, -1)}, r"got padding=\(0, -1\)"),
        ({"padding": "full"}, "padding must be numbers, 'same' or 'valid', got 'full'"),
        ({"padding": "same", "stride": 2}, "keeps the size with a stride of 1 only, got 2"),
        ({"groups": 3}, "groups must divide the channels, I = 4 and O = 6, got 3"),
        ({"groups": 4}, "I = 4 and O = 6, got 4"),
        ({"groups": 0}, "got 0"),
        ({"groups": True}, "got True"),
        ({"padding": True}, "got padding=True"),
    ],
)
def test_options_that_do_not_go_together_raise(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Conv2d(4, 6, **({"kernel": 2} | options))


def test_images_without_a_batch_or_smaller_than_the_dilated_kernel_raise() -> None:
    with pytest.raises(ValueError, match=r"\(2, 5, 5\), it must be \(B, 2, R, C\).* a single image is x\[None\]"):
        nn.Conv2d(2, 3, 2)(np.zeros((2, 5, 5)))
    with pytest.raises(ValueError, match="at least 5 rows and 1 columns"):
        nn.Conv2d(2, 3, 3, padding=(0, 1), dilation=(2, 1))(np.zeros((1, 2, 4, 4)))


# --- options that PyTorch's entries do not say -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (
            {"weight": np.ones((2, 3)), "bias": np.ones(2)},
            {"groups": 2},
            "a linear takes no option groups=; it has none",
        ),
        (
            {"weight": np.ones((2, 3, 1, 1))},
            {"eps": 1.0},
            "a conv2d takes no option eps=; its options are stride, padding",
        ),
    ],
)
def test_an_option_of_another_module_is_refused(arrays: Any, options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        nn.from_torch(arrays, **options)


def test_the_kind_of_layer_is_told_from_its_axes_where_these_tell() -> None:
    def kind(**shapes: Any) -> str:
        return type(nn.from_torch({name: np.ones(shape) for name, shape in shapes.items()})).__name__

    assert kind(weight=(3,)) == kind(weight=(2, 3), bias=(2, 3)) == kind(weight=(1, 1, 2, 3), bias=(1, 1, 2, 3))
    assert kind(weight=(3,)) == "LayerNorm"
    assert kind(weight=(2, 3), bias=(2,)) == "Linear"
    assert kind(weight=(2, 3, 1, 1)) == kind(weight=(2, 3, 1, 1), bias=(2,)) == "Conv2d"
    for shape in [(2, 3), (2, 3, 4)]:
        with pytest.raises(ValueError, match="a lone weight is an Embedding, or a Linear or LayerNorm without bias"):
            kind(weight=shape)
    with pytest.raises(ValueError, match=r"elementwise_affine=False"):
        nn.from_torch({})


TAKES_ONE = {
    "Linear": nn.Linear(4, 2, rng=0),
    "Embedding": nn.Embedding(4, 2, rng=0),
    "Dropout": nn.Dropout(0.5),
    "LayerNorm": nn.LayerNorm(4),
    "cross_entropy": lambda y: nn.cross_entropy(y, np.zeros((5, 2), int)),
    "mse_loss": lambda y: nn.mse_loss(y, np.zeros((5, 2, 4))),
    "binary_cross_entropy_with_logits": lambda y: nn.binary_cross_entropy_with_logits(y, np.zeros((5, 2, 4))),
    "ctc_loss": lambda y: nn.ctc_loss(y, np.ones((1, 2), int), np.array([1, 1])),
    "mean_over_time": nn.mean_over_time,
    "cell": nn.GRUCell(4, 3, rng=0),
    "network": nn.LSTM(4, 3, rng=0),
}


@pytest.mark.parametrize("below", [nn.LSTM(3, 4, rng=0), nn.GRU(3, 4, rng=0)], ids=["LSTM", "GRU"])
@pytest.mark.parametrize("name", TAKES_ONE)
@pytest.mark.parametrize("recorded", [True, False])
def test_outputs_with_states_are_refused_where_outputs_belong(name: str, below: Any, recorded: bool) -> None:
    with mg.enable_grad() if recorded else mg.no_grad():
        returned = below(np.ones((5, 2, 3)))
        with pytest.raises((TypeError, ValueError), match=r"outputs, state|takes one input, got a tuple"):
            TAKES_ONE[name](returned)
