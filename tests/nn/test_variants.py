"""Relatives of the common cells: their equations in plain NumPy, their derivatives, and what sets each apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from textbook import gate, gru, joined, random_state, randomised, sigma, swapped, weights_of

import minigrad as mg
import nn
from minigrad.testing import check_grad


def peephole(cell: Any, x: np.ndarray, state: Any) -> Any:
    h, C = state
    a = [W @ np.concatenate([h, x]) + b for W, b in (gate(cell, k) for k in range(4))]
    f, i = sigma(a[0] + cell.p_f.data * C), sigma(a[1] + cell.p_i.data * C)
    C = f * C + i * np.tanh(a[3])
    h = sigma(a[2] + cell.p_o.data * C) * np.tanh(C)
    return h, (h, C)


def coupled(cell: Any, x: np.ndarray, state: Any) -> Any:
    h, C = state
    f, o, c = (W @ np.concatenate([h, x]) + b for W, b in (gate(cell, k) for k in range(3)))
    C = sigma(f) * C + (1 - sigma(f)) * np.tanh(c)
    h = sigma(o) * np.tanh(C)
    return h, (h, C)


def projected(cell: Any, x: np.ndarray, state: Any) -> Any:
    h, C = state
    f, i, o, c = (W @ np.concatenate([h, x]) + b for W, b in (gate(cell, k) for k in range(4)))
    C = sigma(f) * C + sigma(i) * np.tanh(c)
    h = cell.P.data.T @ (sigma(o) * np.tanh(C))
    return h, (h, C)


def normalised(a: np.ndarray) -> np.ndarray:
    return (a - a.mean()) / np.sqrt(((a - a.mean()) ** 2).mean() + 1e-5)


def layer_norm(cell: Any, x: np.ndarray, state: Any) -> Any:
    h, C = state
    a = cell.alpha_1.data * normalised(cell.W.data.T @ h) + cell.alpha_2.data * normalised(cell.U.data.T @ x)
    f, i, o, c = np.split(a + cell.b.data, 4)
    C = sigma(f) * C + sigma(i) * np.tanh(c)
    h = sigma(o) * np.tanh(cell.alpha_3.data * normalised(C) + cell.beta_3.data)
    return h, (h, C)


def mgu(cell: Any, x: np.ndarray, h: np.ndarray) -> Any:
    W, b = gate(cell, 0)
    f = sigma(W @ np.concatenate([h, x]) + b)
    W = np.hstack([cell.W_h.data.T, cell.U.data[:, cell.H :].T])
    h = (1 - f) * h + f * np.tanh(W @ np.concatenate([f * h, x]) + cell.b.data[cell.H :])
    return h, h


def mgu_of_flax(cell: Any, x: np.ndarray, h: np.ndarray) -> Any:
    H = cell.H
    f = sigma(cell.U.data[:, :H].T @ x + cell.W.data.T @ h + cell.b.data[:H])
    h_tilde = np.tanh(cell.U.data[:, H:].T @ x + cell.b.data[H:] + f * (cell.W_h.data.T @ h + cell.b_h.data))
    h = (1 - f) * h_tilde + f * h
    return h, h


def irnn(cell: Any, x: np.ndarray, h: np.ndarray) -> Any:
    h = np.maximum(0, cell.b.data + cell.W.data.T @ h + cell.U.data.T @ x)
    return h, h


def leaky(cell: Any, x: np.ndarray, h: np.ndarray) -> Any:
    a = cell.W.data.T @ h + cell.U.data.T @ x + (0 if cell.b is None else cell.b.data)
    h = (1 - cell.alpha) * h + cell.alpha * np.tanh(a)
    return h, h


def gru_of(reset: str, z: str) -> Any:
    """PyTorch's and the other forms of the GRU, one gate after the other."""

    def step(cell: Any, x: np.ndarray, h: np.ndarray) -> Any:
        H = cell.H
        (W_z, b_z), (W_r, b_r) = gate(cell, 0), gate(cell, 1)
        update, r = (sigma(W @ np.concatenate([h, x]) + b) for W, b in ((W_z, b_z), (W_r, b_r)))
        own = cell.U.data[:, 2 * H :].T @ x + cell.b.data[2 * H :]
        W_h = cell.W_h.data.T
        h_tilde = np.tanh(own + (W_h @ (r * h) if reset == "before" else r * (W_h @ h + cell.b_h.data)))
        h = update * h_tilde + (1 - update) * h if z == "new" else update * h + (1 - update) * h_tilde
        return h, h

    return step


FORMS = [("before", "new"), ("before", "old"), ("after", "new"), ("after", "old")]
CELLS: dict[str, Any] = {
    "peephole": (lambda I, H, **o: nn.PeepholeLSTMCell(I, H, **o), peephole),
    "coupled": (lambda I, H, **o: nn.CoupledLSTMCell(I, H, **o), coupled),
    "projected": (lambda I, H, **o: nn.ProjectedLSTMCell(I, H + 1, H, **o), projected),
    "layer norm": (lambda I, H, **o: nn.LayerNormLSTMCell(I, H, **o), layer_norm),
    "MGU": (lambda I, H, **o: nn.MGUCell(I, H, **o), mgu),
    "MGU after old": (lambda I, H, **o: nn.MGUCell(I, H, reset="after", f="old", **o), mgu_of_flax),
    "IRNN": (lambda I, H, **o: nn.IRNNCell(I, H, **o), irnn),
    "leaky": (lambda I, H, **o: nn.LeakyRNNCell(I, H, alpha=0.3, **o), leaky),
    "leaky by unit": (lambda I, H, **o: nn.LeakyRNNCell(I, H, alpha=np.linspace(0.2, 1, H), **o), leaky),
    "echo state": (lambda I, H, **o: nn.EchoStateCell(I, H, alpha=0.5, rng=0, **o), leaky),
    **{
        f"GRU {reset} {z}": (lambda I, H, r=reset, z=z, **o: nn.GRUCell(I, H, reset=r, z=z, **o), gru_of(reset, z))
        for reset, z in FORMS
    },
}
each_cell = pytest.mark.parametrize("name", CELLS)
sizes = st.tuples(st.integers(3, 5), st.integers(2, 3), st.integers(1, 4), st.integers(1, 4)).filter(
    lambda s: s[2] != s[3]
)
few = settings(max_examples=settings.default.max_examples // 8, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def make(name: str, I: int, H: int, seed: int = 0) -> Any:
    return randomised(CELLS[name][0](I, H, dtype=np.float64), seed)


@each_cell
@given(sizes=sizes, seed=st.integers(0, 99))
def test_cell_follows_its_equations(name: str, sizes: Any, seed: int) -> None:
    T, B, I, H = sizes
    rng = np.random.default_rng(seed)
    cell = make(name, I, H, seed)
    xs, state = rng.standard_normal((T, B, I)), random_state(cell, B, rng)
    ys, (final,) = nn.Recurrent(cell)(xs, (state,))
    for b in range(B):
        s = mg.tree_map(lambda a, b=b: a[b], state)
        for x, y in zip(xs[:, b], ys.data[:, b], strict=True):
            expected, s = CELLS[name][1](cell, x, s)
            np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
        for p, q in zip(mg.tree_leaves(final), mg.tree_leaves(s), strict=True):
            np.testing.assert_allclose(p.data[b], q, rtol=1e-10, atol=1e-12)


def check(net: Any, xs: np.ndarray, state: Any, order: int, **options: Any) -> None:
    def f(weights: Any, xs: Any, state: Any) -> Any:
        with swapped(net, weights):
            return net(xs, state, **options)

    check_grad(*joined(f, weights_of(net), xs, state), order=order, mode="project")


@each_cell
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"reverse": True}], ids=str)
@few
@given(seed=st.integers(0, 99))
def test_derivatives_with_lengths_match_finite_differences(name: str, options: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = [make(name, 1, 2, seed + k) for k in range(2 if "bidirectional" in options else 1)]
    net = nn.Recurrent(*cells, **options)
    xs, state = rng.standard_normal((3, 2, 1)), random_state(net, 2, rng)
    check(net, xs, state, 1, lengths=[2, 3])


@each_cell
def test_second_derivatives_match_finite_differences(name: str) -> None:
    rng = np.random.default_rng(3)
    net = nn.Recurrent(make(name, 1, 2, 3))
    check(net, rng.standard_normal((3, 2, 1)), random_state(net, 2, rng), 2)


@each_cell
def test_derivatives_of_two_layers_with_a_mask_match_finite_differences(name: str) -> None:
    rng = np.random.default_rng(1)
    cells = [make(name, 1, 2, 1), make(name, 2, 2, 2)]
    masks = [0.5, 2.0]

    class Masked(nn.Module):
        cells: Any

        def forward(self, xs: Any, state: Any) -> Any:
            for cell, mask, s in zip(self.cells, masks, state, strict=True):
                projected, ys = cell.project(xs), []
                for t in range(3):
                    y, s = cell.step_masked(projected[t], s, mask)
                    ys.append(y)
                xs = mg.stack(ys)
            return xs, s

    net = Masked()
    net.cells = cells
    check(net, rng.standard_normal((3, 2, 1)), tuple(random_state(cell, 2, rng) for cell in cells), 1)


@each_cell
def test_float32_stays_float32(name: str) -> None:
    cell = CELLS[name][0](2, 3, dtype=np.float32)
    ys, states = nn.Recurrent(cell)(np.ones((3, 2, 2)))
    assert {t.dtype for t in [ys, *mg.tree_leaves(states)]} == {np.dtype(np.float32)}


@each_cell
def test_a_mask_on_h_acts_in_products_only(name: str) -> None:
    cell, twin = make(name, 2, 3), make(name, 2, 3)
    x, state = np.ones((2, 2)), random_state(cell, 2, np.random.default_rng(0))
    for key in {"W", "W_h"} & set(vars(twin)):
        getattr(twin, key).data = 3 * getattr(twin, key).data
    if name == "layer norm":  # 3 h has the norm of h
        twin = cell
    y, s = cell.step_masked(cell.project(x), mg.tree_map(mg.tensor, state), 3.0)
    expected, e = twin(x, state)
    tolerance = {"rtol": 1e-3} if name == "layer norm" else {"rtol": 1e-12}
    for p, q in zip([y, *mg.tree_leaves(s)], [expected, *mg.tree_leaves(e)], strict=True):
        np.testing.assert_allclose(p.data, q.data, **tolerance)


@pytest.mark.parametrize(("reset", "z"), FORMS)
def test_the_two_conventions_of_z_swap_under_a_change_of_sign(reset: str, z: str) -> None:
    a, b = (make(f"GRU {reset} {way}", 2, 3) for way in ("new", "old"))
    for p in (b.U, b.W, b.b):
        p.data = p.data * np.where(np.arange(p.shape[-1]) < 3, -1, 1)  # σ(-a) = 1 - σ(a)
    x, state = np.ones((2, 2)), np.full((2, 3), 0.5)
    np.testing.assert_allclose(a(x, state)[0].data, b(x, state)[0].data, rtol=1e-12)


def test_the_default_gru_is_the_one_of_the_equations() -> None:
    cell = make("GRU before new", 2, 3)
    assert (nn.GRUCell(2, 3).reset, nn.GRUCell(2, 3).z) == ("before", "new")
    x, h = np.ones(2), np.full(3, 0.5)
    np.testing.assert_allclose(cell(x[None], h[None])[0].data[0], gru(cell, x, h)[0], rtol=1e-12)


@pytest.mark.parametrize("options", [{"reset": "never"}, {"z": "older"}])
def test_another_form_of_gru_raises(options: Any) -> None:
    with pytest.raises(ValueError, match="reset must be 'before' or 'after', z 'new' or 'old'"):
        nn.GRUCell(2, 3, **options)


def test_irnn_starts_as_the_identity_of_a_positive_state() -> None:
    cell = nn.IRNNCell(2, 3, rng=0)
    np.testing.assert_array_equal(cell.W.data, np.eye(3))
    np.testing.assert_array_equal(cell(np.zeros((1, 2)), np.array([[1.0, 0.5, 2.0]]))[0].data, [[1, 0.5, 2]])


def test_an_echo_state_network_has_no_parameters_and_forgets_its_start() -> None:
    cell = nn.EchoStateCell(2, 20, rng=0, dtype=np.float64)
    assert not cell.parameters()
    np.testing.assert_allclose(cell.W.data @ cell.W.data.T, 0.81 * np.eye(20), atol=1e-12)
    xs = np.random.default_rng(0).standard_normal((200, 1, 2))
    starts = [nn.Recurrent(cell)(xs, (np.full((1, 20), s),))[0].data[-1] for s in (-1.0, 1.0)]
    np.testing.assert_allclose(starts[0], starts[1], atol=1e-8)


@pytest.mark.parametrize("alpha", [0.0, 1.5, [0.5, 0.5]])
def test_a_leak_outside_of_0_to_1_or_of_a_wrong_size_raises(alpha: Any) -> None:
    with pytest.raises(ValueError, match=r"alpha must be a number within \(0, 1\] or 3 of them"):
        nn.LeakyRNNCell(2, 3, alpha=alpha)


def test_layer_norm_without_bias_raises() -> None:
    with pytest.raises(ValueError, match="bias=False is not possible"):
        nn.LayerNormLSTMCell(2, 3, bias=False)
