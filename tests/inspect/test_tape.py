"""The tape: a sequence of entries that knows numbers, inputs, values, lines, modules and time steps, and prints."""

from __future__ import annotations

import doctest
import gc
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import Tensor, details
from minigrad.inspect import run

XS = np.random.default_rng(0).standard_normal((5, 2, 3))


def leaf(x: Any) -> Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


def product(x: Any) -> Any:
    y = mg.tanh(x)  # here
    return x * y


def line_here() -> int:
    code = product.__code__
    return code.co_firstlineno + 1


class Counted(nn.Module):
    """A model whose parts have names, for their paths."""

    def __init__(self, cell: Any) -> None:
        self.encoder, self.head = nn.Recurrent(cell), nn.Linear(4, 1, rng=1, dtype=float)

    def forward(self, xs: Any) -> Any:
        return self.head(self.encoder(xs)[0][-1]).sum()


class Gated(nn.Cell):
    """A user's cell with a module of its own."""

    H = 4

    def __init__(self) -> None:
        self.gate = nn.Linear(7, 4, rng=0, dtype=float)

    def step(self, x: Any, h: Any) -> Any:
        h = mg.tanh(self.gate(mg.concatenate([h, x], axis=1)))
        return h, h


# --- a sequence of entries ------------------------------------------------------------------------------------------


def test_entries_stand_oldest_first_with_the_numbers_of_their_inputs() -> None:
    x = leaf([1.0, 2.0])
    y = mg.tanh(x)
    z = mg.sum(x * y, axis=0)
    tape = mg.tape(z)
    assert [(e.number, e.name, e.inputs) for e in tape] == [
        (0, "leaf", ()), (1, "tanh", (0,)), (2, "multiply", (0, 1)), (3, "sum", (2,))]  # fmt: skip
    assert [e.shape for e in tape] == [(2,), (2,), (2,), ()]
    assert tape[3].static == {"axis": 0}
    assert tape[1].dtype == np.float64
    assert tape[y].number == tape[tape[1]].number == 1
    assert len(tape) == 4
    assert [e.number for e in tape[1:3]] == [1, 2]


def test_constants_are_arguments_but_no_inputs() -> None:
    x = leaf([1.0, 2.0])
    entry = mg.tape((3.0 * x).sum())[1]
    assert entry.inputs == (0,)
    assert entry.arguments[0] == 3.0
    assert entry.arguments[1].number == 0


def test_several_results_are_on_one_tape() -> None:
    x = leaf(0.5)
    tape = mg.tape((mg.sin(x), {"b": mg.cos(x)}))
    assert [e.name for e in tape] == ["leaf", "sin", "cos"]
    assert tape.outputs == [1, 2]


def test_values_that_rules_read_are_there_and_others_are_none() -> None:
    x = leaf([1.0, 2.0])
    y = mg.tanh(x + 1.0)
    tape = mg.tape(y.sum())
    np.testing.assert_array_equal(tape[2].value, y.data)
    assert tape[1].value is None  # no rule reads x + 1
    assert tape[3].value == y.data.sum()  # the result was given
    with pytest.raises(ValueError, match="read-only"):
        tape[2].value[0] = 0.0


def test_a_function_runs_with_all_lines_values_and_the_names_of_its_arguments() -> None:
    tape = mg.tape(product, 0.5)
    assert [e.value.item() for e in tape] == [0.5, np.tanh(0.5), 0.5 * np.tanh(0.5)]
    assert tape[0].labels == ("x",)
    assert (tape[1].file, tape[1].line, tape[1].function) == (__file__, line_here(), "product")
    assert tape[1].source == "y = mg.tanh(x)  # here"
    assert not tape.remarks
    assert all(e.value is not None for e in mg.tape(lambda x: mg.tanh(x + 1.0) - 2.0, 0.5))  # also what no rule reads


def test_record_details_keeps_the_same_of_what_is_computed_inside() -> None:
    x = leaf(0.5)
    with mg.record_details():
        y = product(x)
    assert (mg.tape(y)[1].line, mg.tape(y)[1].function) == (line_here(), "product")
    assert mg.tape(product(x))[1].line is None  # and nothing after it


def test_a_tape_without_details_says_how_to_get_them() -> None:
    (remark,) = mg.tape(product(leaf(0.5))).remarks
    assert "were not kept" in remark
    assert "mg.record_details()" in remark
    assert remark in str(mg.tape(product(leaf(0.5))))


def test_arrays_floats_and_tensors_without_gradient_get_one_and_integers_stay() -> None:
    plain, wanted = mg.tensor([2.0, 3.0]), leaf([1.0, 1.0])
    tape = mg.tape(lambda a, b, c, k, d: (a * b * c * d)[k], np.ones(2), plain, wanted, 1, np.float32(2))
    assert {name for e in tape for name in e.labels} == {"a", "b", "c", "d"}
    assert tape[plain].labels == ("b",)
    assert tape[wanted].labels == ("c",)
    assert plain.node is None


def test_leaves_have_the_names_that_are_given() -> None:
    net = nn.Linear(3, 2, rng=0)
    tape = mg.tape(net(np.ones((1, 3), "f")).sum(), names=dict(net.named_parameters()))
    assert [e.labels for e in tape if e.name == "leaf"] == [("W",), ("b",)]
    with pytest.raises(TypeError, match="'W' is of a ndarray"):
        mg.tape(leaf(1.0) * 1.0, names={"W": np.ones(2)})


def test_a_leaf_whose_data_were_replaced_stands_before_what_was_made_of_it_and_is_told() -> None:
    x = leaf(0.5)
    y = product(x)
    x.data = 1.0
    tape = mg.tape(y)
    assert [e.name for e in tape] == ["leaf", "tanh", "multiply"]
    assert tape[0].changed
    assert not tape[1].changed
    assert "data were replaced" in str(tape)
    assert tape[0].value == 0.5  # that which the record keeps


@pytest.mark.parametrize(
    ("y", "kind", "words"),
    [
        (3.0, TypeError, "got float"),
        (np.ones(2), TypeError, "got ndarray"),
        (mg.tensor([1.0]), RuntimeError, "there is no record"),
        (lambda: mg.tensor(1.0), RuntimeError, "write 1.0 for 1"),
    ],
)
def test_what_has_no_record_is_refused(y: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        mg.tape(y)


def test_what_is_not_on_the_tape_is_not_found() -> None:
    tape, other = mg.tape(product, 0.5), leaf(1.0)
    with pytest.raises(KeyError, match="not on the tape"):
        tape[other]
    with pytest.raises(IndexError, match="no entry 3 on a tape of 3: the last one is 2"):
        tape[3]
    with pytest.raises(TypeError, match="arguments go with a function"):
        mg.tape(other, other)


def test_an_entry_is_found_by_name_and_time_step() -> None:
    def loop(W: Any) -> Any:
        h = np.ones((1, 3))
        for _ in mg.steps(range(4)):
            h = mg.tanh(h @ W)
            mg.label(h, "h")
        return mg.sum(h)

    explanation = mg.explain(loop, np.eye(3))
    tape = explanation.tape
    assert [tape["h", t].step for t in (0, 3, -1)] == [0, 3, 3]
    assert (explanation.step("W").number, explanation.step(("h", 2)).entry.name) == (0, "tanh")
    for key, words in (
        ("h", "more than one entry"),
        (("h", 4), "time steps 0"),
        ("V", "has a name: W, h"),
        (0.5, "a name"),
    ):
        with pytest.raises(KeyError, match=words):
            tape[key]


@pytest.mark.parametrize("module", [details, run])
def test_examples_in_docstrings_print_what_they_say(module: Any) -> None:
    assert doctest.testmod(module, extraglobs={"mg": mg}).failed == 0
    assert doctest.testmod(module, extraglobs={"mg": mg}).attempted > 4


# --- modules and time -----------------------------------------------------------------------------------------------


def test_entries_of_a_recurrent_net_know_path_and_time_step() -> None:
    model = Counted(nn.RNNCell(3, 4, rng=0, dtype=float))
    tape = mg.tape(model, XS)
    inside = tape.find(path="encoder.cells.0")
    assert {e.step for e in inside} == {None, 0, 1, 2, 3, 4}  # None: what is projected for all times at once
    assert [e.name for e in tape.find(path="encoder.cells.0", step=3)] == ["getitem", "linear", "tanh"]
    assert tape.find("tanh", step=2)[0].labels == ("encoder.cells.0.state",)
    assert {e.path for e in tape.find("matmul") + tape.find("sum")} <= {"head", ""}
    names = [e.labels[0] for e in tape if e.name == "leaf"]
    assert sorted(names) == sorted(["args.0", *[name for name, _ in model.named_parameters()]])


def test_the_users_line_and_the_one_of_nn_are_both_known() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float)

    def here(xs: Any) -> Any:
        return net(xs)[0].sum()

    entry = mg.tape(here, XS).find("tanh")[0]
    assert (entry.function, entry.file) == ("here", __file__)
    assert entry.source.startswith("h = mg.tanh(")
    assert entry.where.startswith("cells.py:")


def test_parameters_have_one_name_however_often_they_are_used() -> None:
    net = nn.Linear(3, 3, rng=0, dtype=float)
    tape = mg.tape(lambda x: net(net(net(x))).sum(), np.ones((1, 3)))
    assert tape[net.W].labels == ("W",)


def test_a_users_cell_and_its_parts_have_paths_as_well() -> None:
    tape = mg.tape(Counted(Gated()), XS)
    assert [e.step for e in tape.find("linear", path="encoder.cells.0.gate")] == [0, 1, 2, 3, 4]
    assert not tape.find(path="encoder.cells.0.gat")


def test_layers_directions_and_reversed_time_are_told_apart() -> None:
    net = nn.GRU(3, 4, num_layers=2, bidirectional=True, rng=0, dtype=float)
    tape = mg.tape(lambda xs: (net(xs)[0] ** 2).sum(), XS)
    order = {k: [e.step for e in tape.find("sigmoid", path=f"cells.{k}")] for k in range(4)}
    assert order == {0: [0, 1, 2, 3, 4], 1: [4, 3, 2, 1, 0], 2: [0, 1, 2, 3, 4], 3: [4, 3, 2, 1, 0]}


def test_checkpointed_and_compiled_parts_are_recorded_whole_for_a_function_and_it_is_said() -> None:
    net = nn.RNN(3, 4, rng=0, dtype=float, checkpoint=2)

    @mg.compile
    def loss(xs: Any) -> Any:
        return (net(xs)[0] ** 2).sum()

    tape = mg.tape(loss, XS)
    assert [e.step for e in tape.find("tanh")] == [0, 1, 2, 3, 4]
    assert any("compiled function loss ran as plain Python" in remark for remark in tape.remarks)
    assert any("under checkpoint are recorded whole" in remark for remark in tape.remarks)


def test_what_was_checkpointed_or_compiled_before_is_one_entry_and_says_what_to_do() -> None:
    x = leaf(0.5)
    for made, word in ((mg.checkpoint(product)(x), "checkpoint"), (mg.compile(product)(x), "compiled function")):
        (entry,) = mg.tape(made).find(word)
        assert entry.inputs == (0,)
        assert any(word in remark and "mg.tape" in remark for remark in mg.tape(made).remarks)


def test_scopes_steps_and_labels_of_the_users_own() -> None:
    def run(x: Any) -> Any:
        with mg.scope("outer"), mg.scope("inner"):
            for _ in mg.steps(["a", "b"]):  # turns are numbered if they are no numbers
                x = mg.tanh(x)
        mg.label(x, "end")
        return x * 2.0

    tape = mg.tape(run, 0.5)
    assert [(e.path, e.step) for e in tape][1:] == [("outer.inner", 0), ("outer.inner", 1), ("", None)]
    assert tape[2].labels == ("end",)


def test_scopes_steps_and_labels_do_nothing_while_nobody_looks() -> None:
    times = range(3)
    assert mg.steps(times) is times
    x = leaf(1.0)
    with mg.scope("outer"):
        mg.label(x, "x")
        y = x * 2.0
    assert not hasattr(x.node, "origin")
    assert not hasattr(y.node, "origin")


def test_a_loop_that_an_error_leaves_leaves_its_step_and_its_path() -> None:
    net, kept = nn.RNN(3, 4, rng=0, dtype=float), []
    broken = nn.Recurrent(lambda x, h: (mg.tanh(x @ np.ones((7, 7))), h))

    def scoped() -> None:
        with mg.scope("a"):
            print([1 / (t - 1) for t in mg.steps(range(3))])

    for attempt in (lambda: broken(XS, (np.zeros((2, 3)),)), scoped, lambda: [1 / (t - 1) for t in mg.steps(range(3))]):
        with mg.record_details():
            try:
                attempt()
            except (ValueError, ZeroDivisionError) as error:
                kept.append(error)  # and with it the frames, and the loop in them
    with mg.record_details():
        x = leaf(1.0) * 2.0
        kept.clear()
        gc.collect()  # now they end
        y = x * 3.0
    assert [(e.path, e.step) for e in mg.tape(y)] == [("", None)] * 3
    assert {e.path for e in mg.tape(lambda xs: net(xs)[0].sum(), XS)} == {"", "cells.0"}


def test_a_loop_that_ends_early_leaves_its_step() -> None:
    with mg.record_details():
        for t in mg.steps(range(5)):
            if t == 2:
                break
        assert mg.tape(leaf(1.0) * 2.0)[1].step is None


def test_a_line_of_a_notebook_is_that_of_a_cell_not_of_a_file_with_a_number() -> None:
    scope: dict[str, Any] = {}
    source = "def f(x):\n    return x * x\n\ndef g(x):\n    return float(x) * x"
    exec(compile(source, "/tmp/ipykernel_7/1599739772.py", "exec"), scope)
    entry = mg.tape(scope["f"], 0.5)[1]
    assert (entry.where, entry.file) == ("cell:2 in f", "/tmp/ipykernel_7/1599739772.py")
    assert str(entry.origin) == "cell:2 in f"
    with pytest.raises(TypeError, match="at cell:5 in g takes numbers out"):
        mg.grad(scope["g"])(0.5)
