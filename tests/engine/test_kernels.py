"""The functions of primitives that NumPy has no single function for, where they take several ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import kernels
from minigrad.testing import axes_of


@given(
    st.integers(0, 40),
    st.sampled_from([0, 1, 7, 128, 256, 384]),  # rows of 256 float32 are 1 KiB long
    st.sampled_from(["f4", "f8"]),
    st.booleans(),
    st.booleans(),
)
def test_a_packed_matrix_is_a_copy_of_it_row_by_row(m: int, n: int, dtype: str, transposed: bool, into: bool) -> None:
    whole = np.arange(m * n, dtype=dtype).reshape(m, n)
    x = whole.T if transposed else whole
    out = np.full((x.shape[0], x.shape[1] + 3), np.nan, dtype)[:, : x.shape[1]] if into else None
    y = kernels.packed(x, out)
    np.testing.assert_array_equal(y, x)
    assert y is out if into else y.flags.c_contiguous
    assert y.dtype == x.dtype
    assert not np.shares_memory(y, x)


REDUCTIONS = {"mean": (kernels.mean, np.mean), "max": (kernels.max, np.max), "min": (kernels.min, np.min)}


@pytest.mark.parametrize(("ours", "numpys"), REDUCTIONS.values(), ids=REDUCTIONS)
@given(st.data())
def test_reductions_are_numpys_to_the_bit(ours: Any, numpys: Any, data: Any) -> None:
    shape = data.draw(st.sampled_from([(), (5,), (4, 3), (2, 3, 4), (1, 7), (40, 30)]))
    dtype = data.draw(st.sampled_from(["f4", "f8", "f2", "i8", "?"]))
    numbers = 10 * np.random.default_rng(len(shape)).standard_normal(shape)
    x = np.asarray(numbers).astype(dtype).T
    if shape and x.dtype.kind == "f" and data.draw(st.booleans()):
        x[(0,) * x.ndim] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    options = {"axis": data.draw(axes_of(x.shape)), "keepdims": data.draw(st.booleans())}
    y, expected = ours(x, **options), numpys(x, **options)
    assert type(y) is type(expected)
    assert (y.dtype, y.tobytes()) == (expected.dtype, expected.tobytes())
    out, place = (np.empty(expected.shape, expected.dtype) for _ in range(2))
    assert ours(x, **options, out=out) is out
    if ours is not kernels.mean or dtype != "f2":  # which np.mean sums in half precision, into `out` alone
        assert numpys(x, **options, out=place).tobytes() == expected.tobytes()
    assert out.tobytes() == expected.tobytes()


def test_a_mean_in_half_precision_is_not_lost_with_its_sum() -> None:
    x = np.full(100, 1000, np.float16)  # the sum is inf
    assert kernels.mean(x) == kernels.mean(x, out=np.empty((), np.float16)) == 1000
    assert mg.compile(mg.mean)(x) == 1000


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(("axis", "message"), [(2, "axis 2 is out of bounds"), ((0, 0), "duplicate value in 'axis'")])
def test_reductions_refuse_axes_that_are_not_there(name: str, axis: Any, message: str) -> None:
    x = mg.tensor(np.ones((4, 4)), requires_grad=True)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        getattr(mg, name)(x, axis=axis)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        getattr(x, name)(axis)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_products_with_a_transpose_lie_row_by_row(rows: int) -> None:
    rng = np.random.default_rng(rows)
    g, b = rng.standard_normal((rows, 4)), rng.standard_normal((3, 4))
    y = kernels.times_transpose(g, b)
    np.testing.assert_allclose(y, np.einsum("ik,jk->ij", g, b), rtol=1e-13)
    assert y.flags.c_contiguous


@pytest.mark.parametrize("b", [np.ones(n) for n in (3, (2, 3), (), (1, 3), 2, (2, 2, 3))], ids=np.shape)
@pytest.mark.parametrize("W", [np.ones((4, 3)), np.ones((2, 4, 3)), np.ones(4)], ids=np.shape)
def test_linear_adds_what_fits_its_product_with_a_matrix_and_refuses_the_rest(W: Any, b: Any) -> None:
    x = np.ones((2, 4))
    if W.ndim == 2 and np.shape(b) in ((3,), (2, 3)):
        for given_W, given_b in ((W, b), (W.tolist(), b), (W, b.tolist())):
            np.testing.assert_array_equal(kernels.linear(x, given_W, given_b), x @ W + b)
    else:
        with pytest.raises(ValueError, match="linear: W must be"):
            kernels.linear(x, W, b)
