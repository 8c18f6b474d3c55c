"""compile: what the passes achieve, seen in the steps, and that sharing memory never changes a value."""

from __future__ import annotations

import re
from typing import Any
from unittest import mock

import numpy as np
import pytest
from compiled import names, placed, program
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.compiler import places
from minigrad.compiler.instruction import Kind, layout
from minigrad.compiler.places import Place, Root, Step, plan

X = np.random.default_rng(0).standard_normal((4, 6))


def test_unused_results_are_not_computed() -> None:
    assert names(program(lambda x: (mg.sin(mg.cos(x)), mg.tanh(x))[1], X)) == {"tanh": 1}


def test_equal_calls_are_made_once() -> None:
    assert names(program(lambda x: mg.tanh(x) * mg.tanh(x) + mg.tanh(+x), X)) == {"tanh": 1, "multiply": 1, "add": 1}


def test_views_are_no_steps() -> None:
    f = lambda x: mg.sin(mg.transpose(mg.reshape(x[1:, ::2], (3, 3)))[0])
    assert sum(names(program(f, X)).values()) <= 2  # a reshape of separate rows is a copy


def test_a_chain_of_elementwise_calls_works_in_one_buffer() -> None:
    def f(x: Any) -> Any:
        for _ in range(6):
            x = mg.tanh(x * 0.5) + 1.0
        return x

    assert program(f, X).nbytes == X.nbytes


def test_what_lies_alike_at_one_address_is_one_array() -> None:
    def f(x: Any) -> Any:
        for _ in range(6):
            x = mg.tanh(x @ np.eye(6)) + x
        return x

    arrays = {id(x): x for _, operands in program(f, X).calls for x in operands if np.ndim(x)}
    places = [(x.__array_interface__["data"][0], x.shape, x.strides) for x in arrays.values()]
    assert len(places) == len(set(places))


def test_dead_buffers_are_used_again() -> None:
    def f(x: Any) -> Any:
        for _ in range(20):
            x = mg.matmul(x, np.eye(6))
        return x

    assert program(f, X).nbytes == 2 * X.nbytes


def bytes_at(n: int) -> Place:
    return Place(Root(0, n), 0, layout((n,), np.dtype(np.uint8)))


def kind_of(p: mg.Primitive) -> Kind:
    like = layout((1,), np.dtype(np.uint8))
    return Kind(p, (like,), {}, like, None)


@settings(max_examples=50)
@given(st.data())
def test_what_lives_at_the_same_time_lies_apart_but_for_results_in_place(data: st.DataObject) -> None:
    there = [bytes_at(64 * n) for n in data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))]
    arguments, steps = list(there), []
    for _ in range(data.draw(st.integers(1, 12))):
        reads = data.draw(st.lists(st.sampled_from(there), max_size=2))
        out, p = bytes_at(64 * data.draw(st.integers(0, 5))), data.draw(st.sampled_from([mg.tanh, mg.cumsum]))
        steps.append(Step(len(steps), "out", "", kind_of(p), [placed(place) for place in reads], out))
        there.append(out)
    results = data.draw(st.lists(st.sampled_from(there), max_size=2))
    with mock.patch.multiple(
        places, PIECES=data.draw(st.sampled_from([1000, 2, 1])), SOON=data.draw(st.integers(1, 9))
    ):
        size = plan(steps, arguments, results)
    ends = {place.root: (-1, -1) for place in arguments}
    for n, s in enumerate(steps):
        for place in (s.out, *s.reads):
            ends[place.root] = ends.get(place.root, (n, n))[0], n
    ends |= {place.root: (ends[place.root][0], len(steps)) for place in results}
    for a in ends:
        assert 0 <= a.start <= a.start + a.high <= size
        for b in ends:
            if a is not b and ends[a][0] <= ends[b][0] <= ends[a][1] and min(a.high, b.high):
                n = ends[b][0]
                apart = a.start + a.high <= b.start or b.start + b.high <= a.start
                in_place = n == ends[a][1] >= 0 and steps[n].kind is not None and steps[n].kind.elementwise
                in_place = in_place and (a.start, a.high) == (b.start, b.high)
                assert apart or in_place


def test_pieces_side_by_side_last_as_long_as_the_longest_of_them() -> None:
    a, b, c = bytes_at(64), bytes_at(64), bytes_at(128)
    reads = [(a, bytes_at(0)), (a, bytes_at(0)), (b, c)]
    steps = [Step(n, "out", "", kind_of(mg.cumsum), [placed(x)], out) for n, (x, out) in enumerate(reads)]
    with mock.patch.object(places, "PIECES", 1):
        plan(steps, [a, b], [c])
    assert {a.root.start, b.root.start} == {0, 64}
    assert c.root.start >= 128  # b is still read where c is made


@pytest.mark.parametrize("net", [nn.LSTM(7, 16, num_layers=2, rng=0), nn.GRU(7, 16, rng=0)], ids=["LSTM", "GRU"])
def test_the_memory_of_a_training_step_is_what_lives_at_once(net: nn.Recurrent) -> None:
    def step(x: Any) -> None:
        nn.cross_entropy(net(x)[0], np.zeros((20, 8), int)).backward()

    compiled = mg.compile(step)
    roots: dict[Root, tuple[int, int]] = {}

    def spied(steps: Any, *ends: Any, **passes: bool) -> int:
        size = plan(steps, *ends, **passes)
        for s in steps:
            roots.update((place.root, (place.root.first, place.root.last)) for place in (s.out, *s.reads))
        return size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigrad.compiler.program.plan", spied)
        compiled(np.zeros((20, 8, 7), np.float32))
    own = {root: span for root, span in roots.items() if root.source is None}
    most = max(sum(r.high - r.low for r, (a, b) in own.items() if a <= n <= b) for n in {a for a, _ in own.values()})
    assert compiled.program is not None
    assert compiled.program.nbytes <= most


def test_alike_steps_of_a_loop_are_computed_together() -> None:
    def f(x: Any, w: Any) -> Any:
        hs = [x]
        for _ in range(10):
            hs.append(mg.tanh(hs[-1] @ w))
        return mg.sum(mg.stack(hs) ** 2)

    found = names(program(mg.grad(f, 1), X, np.eye(6) * 0.5))
    assert found["tanh"] == 10
    assert found["subtract"] == 1  # 1 - h², for all steps


def test_groups_of_alike_steps_may_end_in_another_order_than_they_began() -> None:
    def f(x: Any) -> Any:
        parts = [row * 2.0 for row in x]
        first, *cosines = mg.sin(parts[0]), *map(mg.cos, parts)
        return sum([first, *cosines, *map(mg.sin, parts[1:])])

    found = names(program(f, X))
    assert (found["sin"], found["cos"]) == (1, 1)
    np.testing.assert_array_equal(mg.compile(f)(X), np.asarray(f(mg.tensor(X))))


def test_alike_steps_of_other_dtypes_and_of_views_are_computed_together() -> None:
    def f(x: Any, w: Any) -> Any:
        hs = [x]
        for _ in range(8):
            hs.append(mg.relu(hs[-1] @ w) * 0.5 + mg.tanh(hs[-1])[:, ::-1])
        return mg.sum(mg.stack(hs)[:, :, 1:] ** 2) + mg.sum(mg.abs(hs[3]))

    program(mg.grad(f, (0, 1)), X, X.T @ X * 0.1)


def test_alike_steps_on_operands_of_other_dtypes_are_not_computed_together() -> None:
    def f(a: Any, b: Any) -> Any:
        narrow, wide = [mg.sin(row) for row in b], [mg.sin(row) for row in a]
        return mg.stack([x * wide[0] for x in (*narrow, *wide)])

    rng = np.random.default_rng(0)
    program(f, rng.standard_normal((5, 3)), rng.standard_normal((5, 3)).astype(np.float32))


def test_a_weight_of_many_products_is_turned_once() -> None:
    def f(x: Any, w: Any) -> Any:
        for _ in range(8):
            x = mg.sin(x @ w)
        return mg.sum(x)

    found = names(program(mg.grad(f), X, np.eye(6) * 0.5))
    assert found["packed"] == 1
    assert found["matmul"] == 16


def test_products_that_are_turned_are_computed_once() -> None:
    def f(x: Any, y: Any) -> Any:
        turned = mg.transpose(x @ mg.transpose(y))
        return turned, mg.swapaxes(x, 0, 1) * 2.0, mg.transpose(mg.exp(x) @ mg.transpose(y))

    assert names(program(f, X, X[:3]))["matmul"] == 2


@pytest.mark.parametrize("other", [lambda b: mg.tensor(X[:2, :3]), mg.tanh], ids=["from outside", "of another shape"])
def test_an_operand_that_alike_steps_share_is_not_stacked(other: Any) -> None:
    f = lambda x, b: mg.stack([mg.exp(part) * shared for shared in [other(b)] for part in x])
    found = names(program(f, np.array([X[:2, :3] * k for k in range(1, 7)]), X[3, :3]))
    assert found["multiply"] == found["exp"] == 1
    assert found["move stack"] == 12  # six parts of x, six results


def test_a_product_that_is_read_as_it_is_and_turned_is_computed_once() -> None:
    turned = lambda x, w: mg.transpose(w @ mg.transpose(x))
    assert names(program(lambda x, w: turned(x, w) * 2.0, X, np.eye(6)))["matmul"] == 1
    assert names(program(lambda x, w: (turned(x, w) * 2.0, w @ mg.transpose(x) + 1.0), X, np.eye(6)))["matmul"] == 1


def test_a_product_whose_axes_are_swapped_with_themselves_is_as_it_was() -> None:
    f = lambda x, w: mg.swapaxes(w @ mg.transpose(x), 1, 1) * 2.0
    program(f, X, np.arange(36.0).reshape(6, 6))


def test_cotangents_of_a_layer_are_forgotten_once_its_weights_gradient_is_there() -> None:
    B, H, layers = 2048, 8, 12

    def f(ws: Any) -> Any:
        h = np.ones((B, H))
        for w in ws:
            h = mg.tanh(h @ w)
        return mg.sum(h)

    compiled = mg.compile(mg.grad(f))
    compiled([np.eye(H)] * layers)
    assert compiled.program is not None
    assert compiled.program.nbytes < 1.2 * layers * B * H * 8  # the h of all layers


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda kind: kind.__name__)
def test_a_layers_cotangents_through_time_take_the_memory_of_the_layer_above(kind: Any) -> None:
    T, B, H, sizes = 24, 64, 128, []
    for layers in (2, 3):
        net = kind(H, H, num_layers=layers, rng=0)

        def run(x: Any, net: Any = net) -> None:
            net(x)[0].sum().backward()

        compiled = mg.compile(run)
        compiled(np.ones((T, B, H), np.float32))
        assert compiled.program is not None
        sizes.append(compiled.program.nbytes)
    # what a layer's backward pass reads: h; f i o C̃ C tanh(C) h; z r h̃ r * h_{t-1} h̃ - h_{t-1} h
    arrays = {nn.RNN: 1, nn.LSTM: 7, nn.GRU: 6}[kind]
    assert sizes[1] - sizes[0] < (arrays + 0.5) * T * B * H * 4


def test_a_sequence_is_linear_in_its_length() -> None:
    steps, sizes = [], []
    for T in (20, 40):
        net = nn.LSTM(3, 5, rng=0)

        def run(x: Any, net: Any = net) -> None:
            net(x)[0].sum().backward()

        compiled = mg.compile(run)
        compiled(np.ones((T, 2, 3), np.float32))
        assert compiled.program is not None
        steps.append(len(compiled.program.calls))
        sizes.append(compiled.program.nbytes)
    assert steps[1] < 2.05 * steps[0]
    assert sizes[1] < 2.05 * sizes[0]


def test_description_has_every_call_with_places_and_bytes() -> None:
    p = program(lambda x: mg.stack([mg.sigmoid(x @ np.eye(6)), x]), X)
    first, argument, *lines = p.describe().splitlines()
    assert f"{len(p.calls)} calls" in first
    assert f"{p.nbytes:,} bytes" in first
    x, *words = argument.split()
    assert words == ["is", "argument0"]
    assert re.fullmatch(r"m\[\d+\]:f64\[4,6\]", x)
    assert len(lines) == len(p.calls)
    product = lines[0].split()[1]
    assert f"{product} = dot({x}, constant1[0]:f64[6,6])  # matmul" in lines[0]
    assert f" = multiply({product}, 0.5)  # sigmoid" in lines[1]
    assert f"= move stack({x})" in lines[-1]
