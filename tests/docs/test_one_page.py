"""The engine in one page against minigrad itself: the same values, and the same first, second and third derivatives."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
import nn

PATH = Path(__file__).parents[2] / "docs" / "one_page.py"
SPEC = importlib.util.spec_from_file_location("one_page", PATH)
assert SPEC is not None
assert SPEC.loader is not None
page: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page)

#: Scalar functions of one number, written with a module's own names.
FUNCTIONS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "x tanh(x)": lambda m: lambda x: x * m.tanh(x),
    "sigmoid": lambda m: lambda x: m.sigmoid(x) * m.sigmoid(2.0 * x),
    "exp and log": lambda m: lambda x: m.log(1.0 + m.exp(x)) - x * x * x,
    "a constant": lambda m: lambda x: m.tanh(x * 0.0 + 1.0),
}


def nth(m: Any, f: Any, order: int) -> Any:
    for _ in range(order):
        f = m.grad(f)
    return f


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("order", [1, 2, 3])
@given(x=st.floats(-2, 2))
def test_derivatives_of_every_order_are_minigrads(name: str, order: int, x: float) -> None:
    ours, real = nth(page, FUNCTIONS[name](page), order)(x), nth(mg, FUNCTIONS[name](mg), order)(x)
    np.testing.assert_allclose(ours.data, real.data, rtol=1e-9, atol=1e-12)


@given(data=st.data(), shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
def test_what_was_broadcast_gets_the_sum_of_its_copies(data: st.DataObject, shapes: Any) -> None:
    arrays = [data.draw(hnp.arrays(float, shape, elements=st.floats(-1, 1))) for shape in shapes.input_shapes]

    def grads(tensor: Any, total: Any, tanh: Any) -> list[Any]:
        x, y, z = leaves = [tensor(a) for a in arrays]
        total(tanh(x * y) + z * x).backward()
        return [t.grad for t in leaves]

    def total(t: Any) -> Any:
        return page.sum(t, axis=tuple(range(len(t.shape))))

    ours = grads(page.Tensor, total, page.tanh)
    real = grads(lambda a: mg.tensor(a, requires_grad=True), mg.sum, mg.tanh)
    for g, expected, a in zip(ours, real, arrays, strict=True):
        assert g.shape == a.shape
        np.testing.assert_allclose(g, expected, atol=1e-12)


def lstm(m: Any, xs: Any, h: Any, C: Any, weights: Any) -> Any:
    """The mean square of the last h: columns f i o C~, rows are inputs."""
    U, W, b = weights
    H = h.shape[1]
    for x in xs:
        gates = x @ U + h @ W + b
        f, i, o = (m.sigmoid(gates[:, k * H : (k + 1) * H]) for k in range(3))
        C = f * C + i * m.tanh(gates[:, 3 * H :])
        h = o * m.tanh(C)
    return h * h


@pytest.mark.parametrize("steps", [1, 5])
def test_gradients_of_an_lstm_are_minigrads(steps: int) -> None:
    rng = np.random.default_rng(0)
    cell = nn.LSTMCell(3, 4, rng=1, dtype=np.float64)
    cell.b.data = rng.standard_normal(cell.b.shape)
    xs, h, C = rng.standard_normal((steps, 2, 3)), rng.standard_normal((2, 4)), rng.standard_normal((2, 4))
    _, ((last, _),) = nn.Recurrent(cell)(xs, ((h, C),))
    (last * last).sum().backward()
    weights = [page.Tensor(p.data) for p in (cell.U, cell.W, cell.b)]
    loss = page.sum(lstm(page, xs, page.Tensor(h), page.Tensor(C), weights), axis=(0, 1))
    loss.backward()
    for ours, real in zip(weights, (cell.U, cell.W, cell.b), strict=True):
        np.testing.assert_allclose(ours.grad, real.grad, rtol=1e-10, atol=1e-12)


def test_an_entry_that_is_read_twice_gets_both_cotangents() -> None:
    x = page.Tensor([1.0, 2.0])
    (page.sum(x[np.array([0, 0, 1])] * np.array([1.0, 10.0, 100.0]), axis=(0,))).backward()
    assert x.grad.tolist() == [11.0, 100.0]


def test_each_tensor_is_visited_once_however_many_ways_lead_to_it() -> None:
    x = y = page.Tensor(1.0)
    for _ in range(60):
        y = y + y  # 2^60 ways
    y.backward()
    assert x.grad == 2.0**60


def test_the_page_is_at_most_120_lines() -> None:
    assert len(PATH.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_files_that_the_page_points_to_hold_what_it_says() -> None:
    root = PATH.parents[1]
    for file, names in {
        "record.py": ["clock", "class Node"],
        "tensor.py": ["class Tensor"],
        "primitive.py": ["class Primitive"],
        "ops.py": ["tanh = ", "matmul = "],
        "accumulate.py": ["def sum_down"],
        "backward.py": ["def lineage", "def walk"],
        "transforms.py": ["def grad"],
    }.items():
        assert file in PATH.read_text(encoding="utf-8")
        text = (root / "minigrad" / file).read_text(encoding="utf-8")
        assert all(name in text for name in names), file
