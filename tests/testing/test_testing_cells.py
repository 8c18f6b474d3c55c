"""check_cell passes our cells and refuses wrong ones, each for its own reason."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from textbook import joined, swapped, weights_of

import minigrad as mg
import nn
from examples.custom_cell import AntisymmetricCell, MultiplicativeLSTMCell, UGRNNCell
from minigrad.testing import GradientError, check_cell, check_grad

CELLS = {
    "RNN": partial(nn.RNNCell, rng=0),
    "LSTM": partial(nn.LSTMCell, rng=0),
    "GRU": partial(nn.GRUCell, rng=0),
    "Elman": lambda I, H: nn.ElmanCell(I, H, 2, rng=0),
    "GRU without bias": lambda I, H: nn.GRUCell(I, H, bias=False, rng=0),
    "GRU, reset after the product": lambda I, H: nn.GRUCell(I, H, reset="after", z="old", rng=0),
    "peephole LSTM": partial(nn.PeepholeLSTMCell, rng=0),
    "coupled LSTM": partial(nn.CoupledLSTMCell, rng=0),
    "projected LSTM": lambda I, H: nn.ProjectedLSTMCell(I, H + 1, H, rng=0),
    "layer-norm LSTM": partial(nn.LayerNormLSTMCell, rng=0),
    "MGU": partial(nn.MGUCell, rng=0),
    "MGU, reset after the product": partial(nn.MGUCell, rng=0, reset="after", f="old"),
    "IRNN": partial(nn.IRNNCell, rng=0),
    "leaky RNN": partial(nn.LeakyRNNCell, rng=0),
    "echo state network": partial(nn.EchoStateCell, rng=0),
    "UGRNN": partial(UGRNNCell, rng=0),
    "antisymmetric RNN": partial(AntisymmetricCell, rng=0),
    "multiplicative LSTM": partial(MultiplicativeLSTMCell, rng=0),
}


def test_every_cell_is_public_and_checked() -> None:
    cells = {
        value
        for module in (nn.cells, nn.variants)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, nn.Cell) and value.__module__ == module.__name__
    }
    cells -= {base for cell in cells for base in cell.__mro__[1:] if base.__name__ not in nn.__all__}
    assert {cell for cell in cells if cell.__name__ not in nn.__all__} == set()
    assert cells - {type(factory(2, 3)) for factory in CELLS.values()} == set(), "add it to CELLS"


@pytest.mark.parametrize("factory", CELLS.values(), ids=CELLS)
def test_our_cells_pass(factory: Any) -> None:
    check_cell(factory)


@pytest.mark.parametrize("factory", CELLS.values(), ids=CELLS)
def test_our_cells_pass_stacked_in_both_directions_and_with_lengths(factory: Any) -> None:
    rng = np.random.default_rng(0)
    net = nn.Recurrent(lambda layer: factory(4 if layer else 3, 2), num_layers=2, bidirectional=True)
    weights = weights_of(net)
    weights += 0.5 * rng.standard_normal(weights.shape)
    state = mg.tree_map(lambda s: rng.standard_normal(s.shape), net.initial_state(2))

    def f(weights: Any, xs: Any, state: Any) -> Any:
        with swapped(net, weights):
            return net(xs, state, lengths=[2, 3])

    check_grad(*joined(f, weights, rng.standard_normal((3, 2, 3)), state), mode="project")


class Leaky(nn.RNNCell):
    """Rows of the batch influence each other."""

    def step(self, x: Any, state: Any) -> Any:
        h, _ = super().step(x, state)
        h = h + 0.1 * mg.mean(h, axis=0, keepdims=True)
        return h, h


class Cut(nn.RNNCell):
    """The record ends at every step."""

    def step(self, x: Any, state: Any) -> Any:
        return super().step(x, state.detach())


class Doubled(nn.RNNCell):
    """The derivative of the activation is twice what it should be."""

    tanh = mg.primitive(np.tanh, lambda g, y, x: 2 * g * (1 - y * y), name="doubled_tanh")

    def step(self, x: Any, state: Any) -> Any:
        h = Doubled.tanh(x + state @ self.W)
        return h, h


class Growing(nn.RNNCell):
    """The state's dtype changes."""

    def step(self, x: Any, state: Any) -> Any:
        h, _ = super().step(x, state)
        return h, h.astype(np.float16)


class Counting(nn.RNNCell):
    """The answer depends on how often the cell was called."""

    calls = 0

    def step(self, x: Any, state: Any) -> Any:
        Counting.calls += 1
        h, _ = super().step(x * (1 + 0.01 * Counting.calls), state)
        return h, h


class Wider(nn.RNNCell):
    """The state's structure changes."""

    def step(self, x: Any, state: Any) -> Any:
        h, _ = super().step(x, state)
        return h, (h, h)


class Drifting(nn.RNNCell):
    """The output's dtype is not that of the parameters."""

    def step(self, x: Any, state: Any) -> Any:
        h, _ = super().step(x, state)
        return h.astype(np.float64), h


class Positioned(nn.RNNCell):
    """`project` depends on where in the sequence an input stands."""

    def project(self, xs: Any) -> Any:
        whole = super().project(xs)
        return whole + np.arange(len(whole), dtype=np.float32).reshape(-1, 1, 1) if whole.ndim == 3 else whole


class TwoVersions(nn.RNNCell):
    """The plain call is not `step` after `project`."""

    def forward(self, x: Any, state: Any = None) -> Any:
        h, _ = super().forward(x, state)
        return 2 * h, 2 * h


class Shifted(nn.RNNCell):
    """Integers gather the rows beside those that are meant."""

    def project(self, xs: Any) -> Any:
        return super().project((xs + 1) % 4 if isinstance(xs, np.ndarray) and xs.dtype.kind == "i" else xs)


class Idle(nn.RNNCell):
    """A parameter has no effect."""

    def __init__(self, I: int, H: int) -> None:
        super().__init__(I, H)
        self.spare = mg.tensor(np.ones(3, np.float32), requires_grad=True)


class CutAtTheEnd(nn.RNNCell):
    """The record of the outputs ends, that of the state does not."""

    def step(self, x: Any, state: Any) -> Any:
        h, _ = super().step(x, state)
        return h.detach(), h


class MaskedOtherwise(nn.GRUCell):
    """With recurrent dropout it is another cell, whatever is dropped."""

    def step_masked(self, x: Any, state: Any, mask: Any) -> Any:
        return self._step(x, state * mask, state * mask)[0], state


class InASet(nn.RNNCell):
    """A parameter is where no module looks for it."""

    def __init__(self, I: int, H: int) -> None:
        super().__init__(I, H)
        self.scales = {nn.parameter(np.ones(H, np.float32))}

    def step(self, x: Any, state: Any) -> Any:
        (scale,) = self.scales
        h = super().step(x, state)[0] * scale
        return h, h


outside = nn.parameter(np.ones(3, np.float32))


class InAGlobal(nn.RNNCell):
    """The same, in `project` and of a global."""

    def project(self, xs: Any) -> Any:
        return super().project(xs) * outside


class AtTheStart(nn.RNNCell):
    """The same, in the initial state."""

    def initial_state(self, B: int) -> Any:
        return mg.broadcast_to(outside, (B, 3))


WRONG = {
    Leaky: "row 0 of a batch of 2 and the same row alone differ; rows mix",
    Cut: "to blame: .* of step .* at time step .* is constant in the record",
    Doubled: "to blame: .* `doubled_tanh` at time step 0",
    Growing: "time step 0 turns state",
    Wider: r"time step 0 returns a state of another structure .*: \(\(2, 3\), \(2, 3\)\) instead of \(2, 3\)",
    Drifting: "the output at time step 0 is .*float64",
    Counting: "two runs from the same state differ",
    Positioned: "a sequence cut after 1 steps, with the state carried, differs",
    TwoVersions: "plain call differ at time step 0",
    Shifted: "integers and one-hot vectors differ",
    Idle: "parameter spare has no effect",
    CutAtTheEnd: "to blame: output 0, is constant in the record and yet it changes",
    MaskedOtherwise: "step_masked with a mask of ones and step differ",
    InASet: r"of shape \(3,\) that requires a gradient takes part in `multiply`, called at .* in step, but is not",
    InAGlobal: r"of shape \(3,\) that requires a gradient .* in project, but is not among .*neither trained nor saved",
    AtTheStart: r"of shape \(3,\) that requires a gradient .* in initial_state, but is not among the cell's parameters",
}


@pytest.mark.parametrize("factory", WRONG, ids=lambda factory: factory.__name__)
def test_a_wrong_cell_is_refused_with_the_reason(factory: Any) -> None:
    with pytest.raises(GradientError, match=WRONG[factory]):
        check_cell(factory)


class OwnStep(nn.GRUCell):
    """Its step is another one than `step_masked` was written for, so `Recurrent` refuses recurrent dropout."""

    def step(self, x: Any, state: Any) -> Any:
        h = mg.sin(super().step(x, state)[0])
        return h, h


class Frozen(InASet):
    """What takes no gradient may be anywhere."""

    def __init__(self, I: int, H: int) -> None:
        super().__init__(I, H)
        self.scales = {mg.tensor(np.full(H, 0.5, np.float32))}


@pytest.mark.parametrize("factory", [OwnStep, Frozen], ids=["own step", "constant in a set"])
def test_a_step_of_its_own_and_constants_anywhere_are_no_fault(factory: Any) -> None:
    check_cell(factory, order=1)


class RowsAlone(nn.Cell):
    """Takes no integers, which x @ W would multiply as a vector where the batch is as large as a row."""

    def __init__(self, I: int, H: int) -> None:
        self.H, self.W = H, nn.parameter(np.random.default_rng(0).standard_normal((I, H)))

    def step(self, x: Any, h: Any) -> Any:
        h = mg.tanh(x @ self.W + h)
        return h, h


class Flipped(nn.RNNCell):
    """Takes integers for other ones."""

    def project(self, xs: Any) -> Any:
        return super().project(1 - xs if isinstance(xs, np.ndarray) and xs.dtype.kind == "i" else xs)


def test_integers_are_told_from_a_vector_where_the_batch_is_as_large_as_a_row() -> None:
    check_cell(RowsAlone, I=2, H=3, order=1)
    check_cell(nn.RNNCell, I=2, H=3, order=1)
    with pytest.raises(GradientError, match="integers and one-hot vectors differ"):
        check_cell(Flipped, I=2, H=3, order=1)


class Reordered(nn.LSTMCell):
    """Returns its state by name, in another order than it begins with, which a run takes."""

    def initial_state(self, B: int) -> Any:
        return dict(zip("hC", super().initial_state(B)))

    def step(self, x: Any, state: Any) -> Any:
        h, (_, C) = super().step(x, (state["h"], state["C"]))
        return h, {"C": C, "h": h}


def test_a_state_by_name_may_come_back_in_any_order() -> None:
    check_cell(Reordered)


class ByTheClock(nn.RNNCell):
    """Reads its inputs from the end of the whole sequence: padding comes first."""

    def project(self, xs: Any) -> Any:
        whole = super().project(xs)
        return mg.flip(whole, 0) if whole.ndim == 3 else whole


def test_a_cell_that_reads_padding_is_refused() -> None:
    with pytest.raises(GradientError, match=r"cut after|frozen after"):
        check_cell(ByTheClock)
