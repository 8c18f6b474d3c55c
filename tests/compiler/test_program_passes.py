"""compile: what the passes achieve, seen in the steps, and that sharing memory never changes a value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.compiler import places
from minigrad.compiler.instruction import Kind, layout
from minigrad.compiler.places import Place, Root, Step, plan
from minigrad.compiler.program import Program

X = np.random.default_rng(0).standard_normal((4, 6))


def program(f: Callable[..., Any], *args: Any) -> Program:
    """The program of f, which computes what f computes."""
    compiled = mg.compile(f)
    for scale in (1.0, -0.5):
        given = [x * scale if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in args]
        for a, b in zip(mg.tree_leaves(compiled(*given)), mg.tree_leaves(f(*given)), strict=True):
            np.testing.assert_allclose(np.asarray(mg.as_tensor(a).data), mg.as_tensor(b).data, rtol=1e-12, atol=1e-12)
    assert compiled.program is not None
    return compiled.program


def names(p: Program) -> Counter[str]:
    return Counter(p.names)


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
        steps.append(Step("out", "", kind_of(p), (), reads, out))
        there.append(out)
    results = data.draw(st.lists(st.sampled_from(there), max_size=2))
    with mock.patch.multiple(
        places,
        PIECES=data.draw(st.sampled_from([1000, 2, 1])),
        LANES=data.draw(st.sampled_from([1000, 2, 1])),
        SOON=data.draw(st.integers(1, 9)),
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
                in_place = n == ends[a][1] >= 0 and steps[n].elementwise and (a.start, a.high) == (b.start, b.high)
                assert apart or in_place


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


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stacked_parts_are_computed_in_their_places(axis: int) -> None:
    f = lambda x: mg.stack([mg.sin(x), mg.cos(x), mg.tanh(x)], axis=axis)
    assert names(program(f, X)) == {"sin": 1, "cos": 1, "tanh": 1}


def test_concatenated_parts_are_computed_in_their_places_also_within_each_other() -> None:
    f = lambda x: mg.concatenate([mg.sin(x), mg.concatenate([mg.cos(x), mg.exp(x)], axis=1)], axis=1)
    assert names(program(f, X)) == {"sin": 1, "cos": 1, "exp": 1}


def test_arguments_and_parts_that_occur_twice_are_moved() -> None:
    f = lambda x: mg.concatenate([x, mg.sin(x), (s := mg.cos(x)), s])
    assert names(program(f, X)) == {"sin": 1, "cos": 1, "move concatenate": 2}


def test_gradients_of_parts_are_computed_in_the_gradient_and_the_rest_is_filled() -> None:
    f = mg.grad(lambda x: mg.sum(mg.sin(x[:, :2])) + mg.sum(mg.cos(x[:, 4:])))
    found = names(program(f, X))
    assert found["fill"] == 1
    assert not {"add place", "move place", "place"} & found.keys()


def test_numbers_among_the_parts_are_written_at_each_replay() -> None:
    f = mg.compile(lambda x, y: mg.stack([mg.sum(mg.maximum(x, y)), 1.5, mg.sum(mg.minimum(x, y))]))
    for x, y in ((X, X[::-1]), (X + 1, X * 2)):
        np.testing.assert_allclose(f(x, y).data, [np.maximum(x, y).sum(), 1.5, np.minimum(x, y).sum()])


def test_two_collections_of_the_same_parts_share_them() -> None:
    def f(x: Any) -> Any:
        parts = [mg.sin(x), mg.cos(x), mg.tanh(x)]
        return mg.stack(parts) * 2.0, mg.concatenate(parts) + 1.0, mg.concatenate([x * 3.0, *parts[:2]])

    assert not any(name.startswith("move") for name in names(program(f, X)))


def test_collections_in_other_orders_and_axes_do_not_disturb_each_other() -> None:
    def f(x: Any) -> Any:
        parts = [mg.sin(x), mg.cos(x), mg.tanh(x), x * 2.0]
        rotated = parts[1:] + parts[:1]
        return (
            mg.stack(parts), mg.stack(parts[::-1]), mg.stack(rotated), mg.stack(parts[::2]), mg.stack(parts, axis=1),
            mg.concatenate(parts, axis=1), mg.concatenate([parts[0], parts[3], parts[1]]),
            mg.stack([parts[0], parts[1], x * 5.0, parts[3]]), mg.stack([x * 7.0, *parts]),
        )  # fmt: skip

    program(f, X)


@pytest.mark.parametrize("later", [False, True])
def test_what_is_added_to_a_part_does_not_reach_its_other_uses(later: bool) -> None:
    def f(x: Any) -> Any:
        a = mg.tanh(x)
        stacked = mg.stack([a, mg.sin(x)])
        total = mg.place(a, mg.cos(x[0]), indices=(..., 0), shape=x.shape, dtype=x.dtype)
        return (total, stacked * 2.0, a + 1.0) if later else (total, stacked * 2.0)

    program(f, X)


@pytest.mark.parametrize(
    "f",
    [
        lambda w: mg.tanh((w[0] + w[0]) * w[1]),
        lambda w: mg.tanh((w[0] + w[0] + w[0]) * w[1]),
        lambda w: mg.tanh((w[0] + mg.reshape(mg.tanh(w), (-1,))[:3] + w[0]) * w[1]),
    ],
    ids=["twice", "three times", "and others"],
)
def test_a_cotangent_that_goes_to_one_part_several_times_is_added_as_often(f: Any) -> None:
    w = np.arange(6.0).reshape(2, 3) / 7
    gradient = mg.grad(lambda w: mg.sum(f(w)))
    np.testing.assert_array_equal(mg.compile(gradient)(w).data, gradient(w).data)


@pytest.mark.parametrize("turned", [False, True])
def test_a_part_that_is_added_again_as_a_view_is_added_as_it_was(turned: bool) -> None:
    def f(x: Any) -> Any:
        y = mg.exp(x)
        view = mg.reshape(y, (2, 2)) if not turned else mg.transpose(y)
        return mg.place(y, y * 2, view, indices=(0, 0, 0), shape=(3, 2, 2), dtype=np.dtype(float))

    x = np.arange(4.0).reshape(2, 2) / 5
    np.testing.assert_array_equal(mg.compile(f)(x).data, f(mg.tensor(x)).data)


def test_alike_steps_of_a_loop_are_computed_together() -> None:
    def f(x: Any, w: Any) -> Any:
        hs = [x]
        for _ in range(10):
            hs.append(mg.tanh(hs[-1] @ w))
        return mg.sum(mg.stack(hs) ** 2)

    found = names(program(mg.grad(f, 1), X, np.eye(6) * 0.5))
    assert found["tanh"] == 10
    assert found["subtract"] == 1  # 1 - h², for all steps


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


def test_a_product_that_is_read_as_it_is_and_turned_is_computed_once() -> None:
    turned = lambda x, w: mg.transpose(w @ mg.transpose(x))
    assert names(program(lambda x, w: turned(x, w) * 2.0, X, np.eye(6)))["matmul"] == 1
    assert names(program(lambda x, w: (turned(x, w) * 2.0, w @ mg.transpose(x) + 1.0), X, np.eye(6)))["matmul"] == 1


def test_a_product_whose_axes_are_swapped_with_themselves_is_not_turned() -> None:
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


def test_nothing_is_added_to_a_part_that_is_read_later_as_a_view() -> None:
    def f(x: Any, y: Any) -> Any:
        part = mg.tanh(x)
        turned = mg.transpose(part)
        _, pull = mg.vjp(lambda y: (y[0:3], y[1:4]), y)
        return pull((mg.exp(x), part)), turned * 2.0

    for found, expected in zip(mg.tree_leaves(mg.compile(f)(X[:3], X)), mg.tree_leaves(f(X[:3], X)), strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
