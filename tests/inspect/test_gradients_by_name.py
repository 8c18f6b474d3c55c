"""Gradients and their sizes are found by name, module and time step, and the first that is not finite is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import Tensor
from minigrad.inspect import Explanation

XS = np.random.default_rng(0).standard_normal((5, 2, 3))


def leaf(x: Any) -> Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


# --- found by name, module and time step ----------------------------------------------------------------------------


def loss_of(net: Any) -> Callable[[Any], Any]:
    return lambda xs: (net(xs)[0][-1] ** 2).sum()


def states_by_hand(net: Any) -> list[Any]:
    """dL/dh_t of an RNN, from a loop in which every h retains its gradient."""
    cell, (T, B, _) = net.cells[0], XS.shape
    projected, h, states = cell.project(mg.tensor(XS)), mg.tensor(np.zeros((B, 4))), []
    for t in range(T):
        h = cell.step(projected[t], h)[1]
        h.retain_grad()
        states.append(h)
    (h**2).sum().backward()
    return [h.grad for h in states]


@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}])
def test_one_line_gives_the_gradient_of_every_state(options: Any) -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float, **options)
    expected = np.stack(states_by_hand(net))
    found = mg.explain(loss_of(net), XS).gradients
    np.testing.assert_allclose(found["cells.0"], expected, rtol=1e-12)
    np.testing.assert_allclose(found["cells.0", 2], expected[2], rtol=1e-12)
    np.testing.assert_allclose(mg.explain(mg.compile(loss_of(net)), XS).gradients["cells.0"], expected, rtol=1e-12)
    norms = mg.explain(loss_of(net), XS).norms["cells.0"]
    np.testing.assert_allclose(norms, np.linalg.norm(expected.reshape(5, -1), axis=1))


def test_steps_after_the_one_that_the_loss_reads_have_a_gradient_of_zero() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float)
    found = mg.explain(lambda xs: net(xs)[0][2].sum(), XS).gradients["cells.0"]
    assert found.shape == (5, 2, 4)
    assert (found[2] == 1.0).all()
    assert (found[:2] != 0).all()
    assert (found[3:] == 0).all()


def test_steps_that_are_not_on_the_tape_have_a_gradient_of_zero() -> None:
    def run(x: Any) -> Any:
        states = []
        for _ in mg.steps(range(5)):
            x = mg.tanh(x)
            mg.label(x, "h")
            states.append(x)
        return states[2].sum()

    found = mg.explain(run, np.ones(3))
    assert len(found.tape.find("tanh")) == 3
    assert found.gradients["h"].shape == (5, 3)
    assert (found.gradients["h"][3:] == 0).all()
    assert found.norms["h"].tolist()[3:] == [0, 0]


def test_a_state_of_several_parts_gives_as_many_in_its_own_structure() -> None:
    net = nn.LSTM(3, 4, rng=0, dtype=float)
    h, C = mg.explain(loss_of(net), XS).gradients["cells.0"]
    assert h.shape == C.shape == (5, 2, 4)
    tape = mg.tape(loss_of(net), XS)
    last = tape.find(path="cells.0", step=4)[-1]
    np.testing.assert_allclose(h[4], Explanation(tape).gradients[last])

    class Named(nn.Cell):
        def initial_state(self, B: int) -> Any:
            return {"h": mg.tensor(np.zeros((B, 3))), "n": mg.tensor(np.zeros(B, int))}

        def step(self, x: Any, state: Any) -> Any:
            h = mg.tanh(x + state["h"])
            return h, {"h": h, "n": mg.tensor(state["n"].data + 1)}

    found = mg.explain(loss_of(nn.Recurrent(Named())), XS).gradients["cells.0"]
    assert found.keys() == {"h", "n"}
    assert found["h"].shape == (5, 2, 3)
    assert found["n"] is None  # integers have none


def test_states_of_a_net_backwards_in_time_stand_at_their_own_time() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float, reverse=True)
    found = mg.explain(lambda xs: (net(xs)[0][0] ** 2).sum(), XS).norms["cells.0"]
    assert (np.diff(found) < 0).all()  # it vanishes towards the last time, which is read first


@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}])
def test_states_that_a_net_returns_have_the_gradient_of_retain_grad(options: Any) -> None:
    net = nn.LSTM(3, 4, rng=0, dtype=float, **options)
    outputs, _, ((h, C),) = net(XS, return_states=True)
    h.retain_grad()
    loss = (outputs[-1] ** 2).sum()
    found = mg.explain(loss).gradients
    loss.backward()
    np.testing.assert_allclose(found[h], h.grad)
    assert found[C].shape == (5, 2, 4)


def test_parameters_modules_and_labels_are_found_by_name() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.encoder, self.head = nn.RNN(3, 4, rng=0, dtype=float), nn.Linear(4, 1, rng=1, dtype=float)

        def forward(self, xs: Any) -> Any:
            h = self.encoder(xs)[0][-1]
            mg.label(h, "last")
            return self.head(h).sum()

    model = Model()
    y = model(XS)
    y.backward()
    found = mg.explain(model, XS).gradients
    for name, p in model.named_parameters():
        np.testing.assert_allclose(found[name], p.grad)
        np.testing.assert_allclose(found[p], p.grad)
    assert found["head"].shape == (2, 1)
    assert (found["head"] == 1.0).all()
    np.testing.assert_array_equal(found["last"], found["encoder.cells.0", -1])


def test_names_that_are_given_find_leaves_without_details() -> None:
    x = leaf(3.0)
    assert mg.explain(x * x, names={"x": x}).gradients["x"] == 6.0


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("cells.1", "what has a name: args|what has a name: cells.0"),
        (("cells.0", 5), "time steps 0 ... 4, not 5"),
        (("xs", 0), "no time steps"),
        (("cells.0", 1, 2), "expected a number"),
    ],
)
def test_what_is_not_found_says_what_there_is(key: Any, words: str) -> None:
    found = mg.explain(loss_of(nn.RNN(3, 4, rng=0, dtype=float)), XS).gradients
    with pytest.raises(KeyError, match=words):
        found[key]


def test_a_name_that_stands_for_several_is_refused() -> None:
    encoder, decoder = nn.RNN(3, 4, rng=0, dtype=float), nn.RNN(4, 4, rng=1, dtype=float)

    def both(xs: Any) -> Any:
        return decoder(encoder(xs)[0])[0].sum()

    def apart(xs: Any) -> Any:
        with mg.scope("encoder"):
            hs = encoder(xs)[0]
        with mg.scope("decoder"):
            return decoder(hs)[0].sum()

    with pytest.raises(KeyError, match=r"several tensors are called 'cells.0.state' at step 0.*mg.scope"):
        mg.explain(both, XS).gradients["cells.0"]
    found = mg.explain(apart, XS).norms
    assert (found["encoder.cells.0"] != found["decoder.cells.0"]).all()


def test_without_details_a_name_says_how_to_get_it() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float)
    with pytest.raises(KeyError, match=r"nothing on this tape has a name.*record_details"):
        mg.explain(loss_of(net)(XS)).gradients["cells.0"]


# --- what is not finite ---------------------------------------------------------------------------------------------


def test_the_first_value_that_is_not_finite_is_found_forwards() -> None:
    with np.errstate(all="ignore"):
        explanation = mg.explain(lambda x: (mg.log(x - 1.0) * 2.0).sum(), np.array([0.5, 3.0]))
    found = explanation.first_non_finite
    assert found is not None
    assert (found.entry.name, found.direction) == ("log", "forward")
    assert "test_gradients_by_name.py" in str(found)


def test_the_first_cotangent_that_is_not_finite_is_found_backwards() -> None:
    steep = mg.primitive(lambda x: x * 1.0, lambda g, y, x: g * np.inf, name="steep")
    found = mg.explain(lambda x: mg.sin(steep(mg.tanh(x))), 0.5).first_non_finite
    assert found is not None
    assert (found.entry.name, found.direction) == ("steep", "backward")
    given_ = mg.explain(lambda x: mg.sin(x), 0.5, g=np.nan).first_non_finite
    assert given_ is not None
    assert "was given" in given_.what


def test_a_mask_of_infinities_passes_through() -> None:
    mask = np.array([0.0, -np.inf])
    explanation = mg.explain(lambda x: mg.log_softmax(x + mask)[0], np.ones(2))
    assert explanation.first_non_finite is None
    assert np.isfinite(explanation.gradients["x"]).all()


def test_an_infinite_constant_passes_through_backwards_as_well() -> None:
    explanation = mg.explain(lambda x: mg.sum(mg.tanh(x) * np.inf), np.ones(2))
    assert np.isinf(explanation.gradients["x"]).all()
    assert explanation.first_non_finite is None


def test_a_sum_of_finite_cotangents_that_overflows_is_named() -> None:
    with np.errstate(over="ignore"):
        found = mg.explain(lambda x: (x * 1e308 + x * 1e308).sum(), np.full(2, 1e-3)).first_non_finite
    assert found is not None
    assert (found.entry.name, found.direction) == ("leaf", "backward")
    assert "the sum of what arrives" in found.what


def test_where_values_were_not_kept_it_says_so() -> None:
    x = leaf([0.5, 3.0])
    with np.errstate(all="ignore"):
        y = mg.sqrt(mg.log(x - 1.0) * 1.0 + 0.0).sum()
    found = mg.explain(y).first_non_finite
    assert found is not None
    assert "was not kept" in found.what


def test_a_time_step_where_a_nan_began_is_named() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float)
    xs = XS.copy()
    xs[3, 1, 0] = np.nan
    found = mg.explain(lambda xs: (net(xs)[0] ** 2).sum(), xs).first_non_finite
    assert found is not None
    assert found.entry.labels == ("xs",)


class Logarithmic(nn.RNNCell):
    """The logarithm of a sum, which is negative once an input is."""

    def step(self, x: Any, state: Any) -> Any:
        h = mg.log(x + mg.abs(state @ self.W))
        return h, h


def test_what_is_printed_says_at_which_time_step_a_nan_began() -> None:
    cell, xs = Logarithmic(3, 3, rng=0, dtype=float), np.full((5, 2, 3), 2.0)
    cell.U.data = np.eye(3)
    xs[3, 1, 0] = -100
    with np.errstate(all="ignore"):
        found = mg.explain(lambda xs: nn.Recurrent(cell)(xs)[0].sum(), xs).first_non_finite
    assert str(found).startswith("at time step 3 the value of log is not finite: 1 NaN")


def test_a_float32_network_explained_on_float64_says_what_to_write() -> None:
    net = nn.GRU(3, 4, rng=0)
    message = r"the step got float64: pass xs.astype\(np.float32\), or make the network with dtype=np.float64"
    with pytest.raises(ValueError, match=message):
        mg.explain(loss_of(net), XS.astype(float))
    assert mg.explain(loss_of(net), XS.astype(np.float32)).gradients["cells.0"].dtype == np.float32
