"""The functions of primitives that NumPy has no single function for, where they take several ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import kernels


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
