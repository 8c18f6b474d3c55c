"""compile: factors of many small products, which are cut into panels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.compiler import panels
from minigrad.compiler.panels import SMALL, Cut, block


@pytest.fixture(autouse=True, params=[True, False], ids=["AVX-512", "elsewhere"])
def copies_nothing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The pass is the same with every BLAS; only up to how many rows it pays is not."""
    monkeypatch.setattr(panels, "copies_nothing", lambda: request.param)
    return bool(request.param)


def drawn(*shape: int, dtype: Any = float) -> np.ndarray:
    return (np.random.default_rng(sum(shape)).standard_normal(shape) / max(shape) ** 0.5).astype(dtype)


def names(f: Any, *args: Any, **options: Any) -> Counter[str]:
    """What a program of f calls, which computes what f computes."""
    compiled = mg.compile(f, **options)
    for a, b in zip(mg.tree_leaves(compiled(*args)), mg.tree_leaves(f(*args)), strict=True):
        tolerance = 1e-12 if b.dtype == float else 1e-5
        np.testing.assert_allclose(np.asarray(mg.as_tensor(a).data), b.data, rtol=tolerance, atol=tolerance)
        assert a.dtype == b.dtype
    assert compiled.program is not None
    return Counter(compiled.program.names)


def loop(turns: int) -> Any:
    def f(x: Any, W: Any, V: Any) -> Any:
        for _ in range(turns):
            x = mg.tanh(x @ W) @ V
        return mg.sum(x * x)

    return f


@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.integers(1, 5))
def test_the_sum_of_all_pieces_products_by_panels_is_the_product(
    data: st.DataObject, deep: int, wide: int, rows: int, depth: int, width: int
) -> None:
    a, W = drawn(rows, deep * depth), drawn(deep * depth, wide * width)
    if data.draw(st.booleans()):
        a = np.asfortranarray(a)
    if data.draw(st.booleans()):
        W = np.asfortranarray(W)
    cut = panels._cut_up(W, depth, width)
    assert cut.shape == (deep, wide, depth, width)
    product = panels._by_panels(a, cut)
    np.testing.assert_allclose(product.reshape(deep, rows, -1).sum(0), a @ W, rtol=1e-12, atol=1e-12)
    out = np.empty((*product.shape[:-1], 2 * product.shape[-1]))[..., ::2] if data.draw(st.booleans()) else None
    if out is not None:
        np.testing.assert_allclose(panels._by_panels(a, cut, out=out), product, rtol=1e-12, atol=1e-12)
    if deep > 1:
        np.testing.assert_allclose(panels._added(product), a @ W, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 300), st.integers(1, 600), st.integers(1, 64))
def test_rows_are_cut_into_equal_blocks_that_are_as_large_as_small_products_may_be(rows: int, d: int, w: int) -> None:
    size = block(rows, Cut(d, w))
    assert rows % size == 0
    assert size * d * w <= SMALL
    assert all([rows % n or n * d * w > SMALL for n in range(size + 1, rows + 1)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_factors_of_a_loop_are_cut_once_each_way(dtype: Any) -> None:
    args = drawn(8, 256, dtype=dtype), drawn(256, 1024, dtype=dtype), drawn(1024, 256, dtype=dtype)
    found = names(mg.grad(loop(6), (0, 1, 2)), *args)
    assert found["cut_up"] == 4
    assert found["by_panels"] >= 22  # the last product, whose rows nobody needs before, may be another one
    assert found["added"] >= 11
    assert "packed" not in found


def test_the_calls_are_products_of_numpy() -> None:
    f = mg.compile(loop(6))
    f(drawn(8, 256), drawn(256, 1024), drawn(1024, 256))
    assert f.program is not None
    called = {name: function for (function, _), name in zip(f.program.calls, f.program.names)}
    assert called["by_panels"] is np.matmul
    assert called["added"] is np.add


def test_more_rows_are_cut_into_panels_only_where_blas_copies_nothing(copies_nothing: bool) -> None:
    found = names(loop(5), drawn(100, 256), drawn(256, 512), drawn(512, 256))
    assert found["by_panels"] == (10 if copies_nothing else 0)
    assert names(loop(5), drawn(129, 256), drawn(256, 512), drawn(512, 256))["by_panels"] == 0


def test_a_number_of_rows_that_has_no_blocks_is_left_alone_beside_others(copies_nothing: bool) -> None:
    def f(W: Any, *xs: Any) -> Any:
        return [mg.tanh(x) @ W for x in xs]

    found = names(f, drawn(512, 512), *[drawn(n, 512) for n in (64, 48, 128, 96, 33, 67)])
    assert found["by_panels"] == (5 if copies_nothing else 0)


def test_few_products_small_ones_single_rows_and_odd_sizes_are_left_alone() -> None:
    assert "by_panels" not in names(loop(4), drawn(8, 256), drawn(256, 1024), drawn(1024, 256))
    assert "by_panels" not in names(loop(6), drawn(8, 64), drawn(64, 64), drawn(64, 64))
    assert "by_panels" not in names(loop(6), drawn(1, 1024), drawn(1024, 1024), drawn(1024, 1024))
    assert "by_panels" not in names(loop(6), drawn(8, 521), drawn(521, 523), drawn(523, 521))


def test_products_of_other_dtypes_and_of_more_axes_are_left_alone() -> None:
    W, V = drawn(256, 1024), drawn(1024, 256)
    assert "by_panels" not in names(loop(6), drawn(2, 4, 256), W, V)
    assert "by_panels" not in names(loop(6), drawn(8, 256), W.astype(np.float32), V.astype(np.float32))
    assert "by_panels" not in names(loop(6), *[x.astype(np.float16) for x in (drawn(8, 256) * 0, W, V)])


def test_products_that_are_parts_of_a_stack_are_computed_there() -> None:
    def f(x: Any, W: Any) -> Any:
        return mg.stack([mg.tanh(x * k) @ W for k in range(1, 8)])

    found = names(f, drawn(8, 400), drawn(400, 400))
    assert found["by_panels"] == 7
    assert "stack" not in found


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda make: make.__name__)
def test_a_network_has_the_gradients_that_it_has_without_panels(make: Any) -> None:
    ids, targets = np.random.default_rng(0).integers(0, 9, (2, 6, 8))
    found = {}
    for without in ((), "panels"):
        net, head = make(9, 384, rng=0, dtype=np.float64), nn.Linear(384, 9, rng=1, dtype=np.float64)

        def train(net: Any = net, head: Any = head) -> Any:
            loss = nn.cross_entropy(head(net(ids, lengths=[6, 5, 6, 2, 1, 6, 3, 4])[0]), targets)
            loss.backward()
            return loss

        f = mg.compile(train, without=without)
        loss = f()
        assert f.program is not None
        assert ("by_panels" in f.program.names) is (not without)
        found[without] = [loss.data, *[p.grad for p in [*net.parameters(), *head.parameters()]]]
    for a, b in zip(*found.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_the_kernels_that_the_environment_asks_for_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    asked = panels.copies_nothing.__wrapped__
    found: Any = {"Build Dependencies": {"blas": {"name": "scipy-openblas"}}, "SIMD Extensions": {"found": ["X86_V4"]}}
    monkeypatch.setattr(np, "show_config", lambda mode: found)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    for chosen, expected in (("", True), ("SkylakeX", True), ("Haswell", False), ("Zen", False)):
        monkeypatch.setenv("OPENBLAS_CORETYPE", chosen)
        assert asked() is expected
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")
    found["SIMD Extensions"]["found"] = ["X86_V3"]
    assert not asked()
    found["SIMD Extensions"]["found"] = ["AVX512_SKX"]
    assert asked()
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert not asked()
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    for threads, expected in (("1", True), ("4", False)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert asked() is expected
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found["Build Dependencies"]["blas"]["name"] = "accelerate"
    assert not asked()
