"""`same` passes what is the same, and of each difference that is planted it names the place and the cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.testing import DifferenceError, same

GATES = {nn.LSTM: "fiog", nn.GRU: "zrn", nn.RNN: "h"}


def randomised(net: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    for p in net.parameters():
        p.data = rng.standard_normal(p.shape).astype(p.dtype)
    return net


def theirs(net: Any) -> Any:
    """A net as another program: a function of arrays that returns arrays."""

    def program(xs: Any, state: Any, lengths: Any) -> Any:
        ys, finals = net(xs, state, lengths)
        return ys.data, mg.tree_map(lambda s: s.data, finals)

    return program


def pair(kind: Any, **options: Any) -> tuple[Any, Any]:
    """Two nets with the same random weights."""
    nets = [kind(3, 2, rng=0, **options) for _ in range(2)]
    nets[1].load_state_dict(randomised(nets[0]).state_dict())
    return nets[0], nets[1]


def message(ours: Any, other: Any, **options: Any) -> str:
    with pytest.raises(DifferenceError) as caught:
        same(ours, other if callable(other) and not isinstance(other, nn.Module) else theirs(other), **options)
    return str(caught.value)


def blocks(a: np.ndarray, order: Any) -> np.ndarray:
    parts = np.split(a, len(order), axis=-1)
    return np.concatenate([parts[k] for k in order], axis=-1)


def reorder(cell: Any, order: Any, names: str = "UWb") -> None:
    """Put a cell's blocks into another order; block k is then what block order[k] was."""
    if "U" in names:
        cell.U.data = blocks(cell.U.data, order)
    if "b" in names:
        cell.b.data = blocks(cell.b.data, order)
    if "W" in names and hasattr(cell, "W_h"):
        whole = blocks(np.hstack([cell.W.data, cell.W_h.data]), order)
        cell.W.data, cell.W_h.data = whole[:, : 2 * cell.H], whole[:, 2 * cell.H :]
    elif "W" in names:
        cell.W.data = blocks(cell.W.data, order)


def change(t: Any, f: Any) -> None:
    b = np.array(t.data)
    f(b)
    t.data = b


# --- what is the same ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"reverse": True}])
def test_the_same_network_passes_whatever_the_other_takes_and_returns(kind: Any, options: dict[str, Any]) -> None:
    ours, other = pair(kind, **options)
    run = theirs(other)
    same(ours, run)
    same(ours, lambda xs, state: run(xs, state, None))
    same(ours, lambda xs: other(xs)[0].data)
    same(ours, lambda xs, lengths: run(xs, None, lengths))
    same(ours, lambda lengths, xs: run(xs, None, lengths), takes=("lengths", "xs"))


def test_a_single_cell_is_compared_as_a_network_of_one_is() -> None:
    cell = randomised(nn.LSTMCell(3, 2, rng=0))

    def program(xs: Any, state: Any, lengths: Any) -> Any:
        ys, (final,) = nn.Recurrent(cell)(xs, (state,), lengths)
        return ys.data, tuple(s.data for s in final)

    same(cell, program)
    turned = lambda xs, state, lengths: program(xs, state[::-1], lengths)
    assert "the state that is given are in the other order" in message(cell, turned)


def test_outputs_past_a_sequences_end_may_be_anything() -> None:
    ours, other = pair(nn.GRU)

    def program(xs: Any, state: Any, lengths: Any) -> Any:
        ys, finals = theirs(other)(xs, state, lengths)
        return np.where((np.arange(len(xs))[:, None] < lengths)[:, :, None], ys, np.nan), finals

    same(ours, program)


# --- where -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(4))
def test_layer_and_direction_of_the_one_cell_that_differs_are_named(k: int) -> None:
    ours, other = pair(nn.GRU, num_layers=2, bidirectional=True)
    other.cells[k].z = "old"
    text = message(ours, other)
    side = "backwards" if k % 2 else "forwards"
    assert f"layer {k // 2}, {side}, at time step 0" in text
    assert f'z="old" here (in layer {k // 2}, {side}, alone)' in text


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_time_step_is_the_first_in_the_order_of_running(reverse: bool, layers: int) -> None:
    ours, other = pair(nn.RNN, num_layers=layers, reverse=reverse)
    run, calls = theirs(other), []

    def program(xs: Any, state: Any, lengths: Any) -> Any:
        """Forgets the state between its second and its third step."""
        calls.append(len(xs))
        first, second = (xs[2:], xs[:2]) if not reverse else (xs[:-2], xs[-2:])
        if len(xs) <= 2:
            return run(xs, state, None)
        ys, middle = run(second, state, None)
        zs, final = run(first, tuple(0 * s for s in middle), None)
        return np.concatenate([zs, ys] if reverse else [ys, zs]), final

    text = message(ours, lambda xs, state: program(xs, state, None), T=5)
    assert f"layer 0, {'backwards' if reverse else 'forwards'}, at time step 2" in text
    assert "seen in: several steps" in text
    assert "no cause was found" in text


@pytest.mark.parametrize("reverse", [False, True])
def test_the_time_step_in_a_lower_layer_is_found_on_the_steps_that_were_run(reverse: bool) -> None:
    ours, other = pair(nn.RNN, num_layers=2, reverse=reverse)
    whole: list[np.ndarray] = []

    def program(xs: Any, state: Any) -> Any:
        """Reads the input of step 1 of 5 with another sign."""
        if len(xs) == 5:
            whole.append(xs.copy())
        if whole:
            xs = np.where((xs == whole[0][1]).all(axis=(1, 2))[:, None, None], -xs, xs)
        return theirs(other)(xs, state, None)

    assert f"layer 0, {'backwards' if reverse else 'forwards'}, at time step 1, part 0" in message(ours, program, T=5)


@pytest.mark.parametrize("gate", range(4))
def test_the_gates_of_an_lstm_are_told_apart_by_a_probe(gate: int) -> None:
    ours, other = pair(nn.LSTM, num_layers=2)
    change(other.cells[1].b, lambda b: np.put(b, [2 * gate, 2 * gate + 1], 0))
    names = ("f", "i or g", "o", "i or g")
    assert f"gates that differ in that step from zeros: {names[gate]}\n" in message(ours, other)


def test_nan_on_the_other_side_is_a_difference() -> None:
    ours, other = pair(nn.GRU)
    assert "nan there" in message(ours, lambda xs: other(xs)[0].data * np.nan)


# --- why -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "order"), [(nn.LSTM, (1, 0, 3, 2)), (nn.LSTM, (2, 0, 3, 1)), (nn.GRU, (1, 0, 2))])
@pytest.mark.parametrize("names", ["UWb", "U", "Wb"])
def test_another_order_of_gates_is_named_in_all_arrays_or_in_some(kind: Any, order: Any, names: str) -> None:
    ours, other = pair(kind)
    reorder(other.cells[0], order, names)
    gates = GATES[kind]
    read = " ".join(gates[order.index(k)] for k in range(len(gates)))
    where = "" if names == "UWb" else f" in {' and '.join(names)} alone"
    assert f"in another order{where}: our blocks {' '.join(gates)} are read as {read} there" in message(ours, other)


def forget(more: float) -> Any:
    return lambda cell: change(cell.b, lambda b: np.add(b, [more, more, *[0] * 6], out=b, casting="unsafe"))


def outside(cell: Any) -> None:
    change(cell.b, lambda b: np.add.at(b, [4, 5], cell.b_h.data))
    cell.b_h.data = np.zeros_like(cell.b_h.data)


def swapped(cell: Any) -> None:
    inner, outer = np.array(cell.b_h.data), np.array(cell.b.data[4:])
    change(cell.b, lambda b: np.put(b, [4, 5], inner))
    cell.b_h.data = outer


def without(name: str, *places: int) -> Any:
    return lambda cell: change(getattr(cell, name), lambda b: np.put(b, places or range(len(b)), 0))


def transposed(cell: Any) -> None:
    cell.W.data = np.concatenate([part.T for part in np.split(cell.W.data, cell.W.shape[1] // 2, axis=-1)], axis=-1)
    if hasattr(cell, "W_h"):
        cell.W_h.data = cell.W_h.data.T


AFTER = {"reset": "after", "z": "old"}
PLANTED: dict[str, tuple[Any, dict[str, Any], Any]] = {
    'z is the other way round there: 1 - z for z, z="new" here': (nn.GRU, AFTER, lambda c: setattr(c, "z", "new")),
    'the reset is before the product there, reset="before" here, and b_h is left out':
        (nn.GRU, AFTER, lambda c: setattr(c, "reset", "before")),
    "the nonlinearity is relu there": (nn.RNN, {}, lambda c: setattr(c, "nonlinearity", "relu")),
    "the forget gate has 1 more inside of it there": (nn.LSTM, {}, forget(1.0)),
    "the forget gate has 1 less inside of it there": (nn.LSTM, {}, forget(-1.0)),
    "the bias is left out there": (nn.LSTM, {}, without("b")),
    "the bias of r is left out there": (nn.GRU, AFTER, without("b", 2, 3)),
    "the bias counts twice there": (nn.RNN, {}, lambda c: change(c.b, lambda b: np.multiply(b, 2, out=b))),
    "b_h is left out there": (nn.GRU, AFTER, without("b_h")),
    "b_h is outside of the reset there, added to b": (nn.GRU, AFTER, outside),
    "b_h and the candidate's part of b are swapped there": (nn.GRU, AFTER, swapped),
    "W is transposed there, gate by gate": (nn.GRU, AFTER, transposed),
}  # fmt: skip


@pytest.mark.parametrize("words", PLANTED)
def test_a_planted_difference_of_a_cell_is_named(words: str) -> None:
    kind, options, plant = PLANTED[words]
    ours, other = pair(kind, **options)
    plant(other.cells[0])
    text = message(ours, other)
    assert f"because {words}" in text
    assert text.count("because") == 1


def test_a_reset_after_the_product_is_named_from_the_other_side() -> None:
    ours = randomised(nn.GRU(3, 2, rng=0))
    other = nn.GRU(3, 2, reset="after", rng=0)
    other.load_state_dict(ours.state_dict() | {"cells.0.b_h": np.zeros(2, "f")})
    assert 'the reset is after the product there, reset="after" here' in message(ours, other)


@pytest.mark.parametrize(
    ("kind", "options", "words", "plant"),
    [
        (nn.LSTM, {}, "a state's parts are in the other order there",
         lambda run: lambda xs, state, lengths: (lambda ys, s: (ys, tuple(p[::-1] for p in s)))(
             *run(xs, tuple(p[::-1] for p in state), lengths))),
        (nn.LSTM, {}, "the parts of the state that is given are in the other order there",
         lambda run: lambda xs, state, lengths: run(xs, tuple(p[::-1] for p in state), lengths)),
        (nn.LSTM, {}, "the parts of the final state are in the other order there",
         lambda run: lambda xs, state, lengths: (lambda ys, s: (ys, tuple(p[::-1] for p in s)))(
             *run(xs, state, lengths))),
        (nn.GRU, {}, "the state that is given is not used there",
         lambda run: lambda xs, state, lengths: run(xs, None, lengths)),
        (nn.GRU, {"bidirectional": True}, "lengths are not used there",
         lambda run: lambda xs, state, lengths: run(xs, state, None)),
        (nn.GRU, {"bidirectional": True}, "forwards and backwards are swapped there in the outputs",
         lambda run: lambda xs, state, lengths: (lambda ys, s: (np.roll(ys, 2, -1), s))(*run(xs, state, lengths))),
    ],
)  # fmt: skip
def test_a_planted_difference_of_the_call_is_named(kind: Any, options: Any, words: str, plant: Any) -> None:
    ours, other = pair(kind, **options)
    text = message(ours, plant(theirs(other)))
    assert f"because {words}" in text
    assert text.count("because") == 1


def test_running_from_the_end_is_named() -> None:
    ours, other = pair(nn.RNN)
    assert "it runs from the end to the start there" in message(ours, lambda xs: other(xs[::-1])[0].data[::-1])


@pytest.mark.parametrize("more", [{"z"}, {"z", "reset"}, {"bias"}])
def test_several_differences_at_once_are_all_named(more: set[str]) -> None:
    ours, other = pair(nn.GRU, **AFTER)
    reorder(other.cells[0], (2, 0, 1))
    if "z" in more:
        other.cells[0].z = "new"
    if "reset" in more:
        other.cells[0].reset = "before"
    if "bias" in more:
        other.cells[0].b_h.data = np.zeros(2, "f")
    text = message(ours, other)
    assert "our blocks z r n are read as r n z there" in text
    assert ("z is the other way round" in text) == ("z" in more)
    assert ("the reset is before the product" in text) == ("reset" in more)
    assert ("b_h is left out" in text) == bool(more - {"z"})
    assert text.count("because") == 1 + len(more)


def test_what_makes_no_difference_is_never_named() -> None:
    for kind in GATES:
        ours, other = pair(kind)
        randomised(other, 1)
        assert "no cause was found" in message(ours, other)


def test_a_cell_with_weights_of_its_own_is_compared_as_well() -> None:
    def leaky(x: Any, h: Any) -> Any:
        h = 0.5 * h + mg.tanh(x[:, :2])
        return h, h

    ours = nn.Recurrent(nn.FunctionCell(leaky, initial_state=lambda B: mg.tensor(np.zeros((B, 2)))))
    same(ours, theirs(ours), I=3)
    assert "runs from the end" in message(ours, lambda xs: ours(xs[::-1])[0].data[::-1], I=3)
    with pytest.raises(TypeError, match="pass I="):
        same(ours, theirs(ours))


# --- what is refused -------------------------------------------------------------------------------------------------


def test_biases_of_zero_are_refused_since_they_hide_what_is_wrong() -> None:
    ours = nn.LSTM(3, 2, rng=0)
    with pytest.raises(ValueError, match="b of cell 0 is 0 for the gate i"):
        same(ours, theirs(ours))
    same(ours, theirs(ours), allow_zero=True)


def test_what_does_not_fit_together_is_refused_with_shapes() -> None:
    ours, other = pair(nn.LSTM)
    with pytest.raises(TypeError, match=r"shape \(3, 1, 2\), ours has \(1, 3, 2\); it must be time first"):
        same(ours, lambda xs: np.swapaxes(other(xs)[0].data, 0, 1))
    with pytest.raises(TypeError, match=r"final state of the shapes \[\(3, 2\)\]"):
        same(ours, lambda xs: (other(xs)[0].data, other(xs)[0].data[-1]))
    with pytest.raises(TypeError, match="takes 4 arguments"):
        same(ours, lambda a, b, c, d: None)
    with pytest.raises(TypeError, match="takes must be"):
        same(ours, theirs(other), takes=("state",))


def test_testing_does_not_import_nn() -> None:
    import subprocess
    import sys

    code = "import sys, minigrad.testing as t; t.same; assert 'nn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
