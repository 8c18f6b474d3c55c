"""Random programs made of every primitive, for tests that compare two ways of running them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from draw import some_shapes
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from table import TABLE

import minigrad as mg

Values = list[Any]


def _near(like: np.ndarray, value: Any) -> Any:
    """A tensor at most 0.05 away from `like`, as far as `value` moves it: it stays where a primitive is smooth."""
    flat = mg.reshape(value, (-1,))
    if not flat.size:
        return mg.as_tensor(like)
    picked = mg.take(flat, np.arange(like.size) % flat.size, axis=0)
    return like + 0.05 * mg.tanh(mg.reshape(picked, like.shape))


@st.composite
def table_steps(draw: Any) -> Callable[[Values], Values]:
    """A call from the table, its inputs moved by values that were computed before."""
    entry = draw(st.sampled_from(list(TABLE)))
    case = draw(TABLE[entry])
    sources = [draw(st.integers(0, 99)) for _ in case.inputs]

    def step(values: Values) -> Values:
        inputs = [_near(x, values[k % len(values)]) for x, k in zip(case.inputs, sources)]
        return mg.tree_leaves(case.function(*inputs))

    note(f"{entry}: {[x.shape for x in case.inputs]} {case.static} of values {sources}")
    return step


UNARY = [mg.tanh, mg.sin, mg.sigmoid, mg.square, mg.transpose, mg.flip, lambda x: -x, lambda x: x * 0.5 + x]
JOINED = [
    lambda x, y: mg.stack([x, mg.tanh(x), x, x * x + mg.sum(y)], axis=0),
    lambda x, y: mg.stack([mg.sin(y), y], axis=-1),
    lambda x, y: mg.concatenate([mg.reshape(mg.sin(x), (-1,)), mg.reshape(y, (-1,))]),
    lambda x, y: x * mg.sum(y) + mg.mean(y * y) if y.size else x,
    lambda x, y: mg.reshape(x, (x.size, 1)) @ mg.reshape(mg.tanh(y), (1, y.size)),
    lambda x, y: mg.transpose(mg.reshape(x, (1, x.size)) * mg.reshape(mg.sin(y), (y.size, 1))),
]


@st.composite
def direct_steps(draw: Any) -> Callable[[Values], Values]:
    """An operation on values as they are, in whatever shape and layout: views, parts, chains in place."""
    a, b = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    kind = draw(st.sampled_from(["unary", "chain", "joined", "part", "loop", "inner"]))
    f, g = draw(st.sampled_from(UNARY)), draw(st.sampled_from(UNARY[:4]))
    join, cut = draw(st.sampled_from(JOINED)), draw(st.integers(0, 2))
    index = draw(hnp.basic_indices((3, 3, 3), allow_newaxis=True))

    def step(values: Values) -> Values:
        x, y = values[a % len(values)], values[b % len(values)]
        if kind == "unary":
            return [f(x)]
        if kind == "chain":
            return [mg.tanh(f(g(x)) * 0.5) + 1.0]
        if kind == "joined":
            return [join(x, y)] if x.size * y.size < 1000 else []
        if kind == "part":
            rows = mg.broadcast_to(mg.mean(x) if x.size else mg.sum(x), (3, 3, 3)) * np.arange(27.0).reshape(3, 3, 3)
            return [rows[index], rows[cut], rows[cut:] * 2.0]
        if kind == "inner":  # transforms and taps of a row, which stand for it
            row = (mg.tanh(mg.sum(x)) * np.arange(6.0).reshape(2, 3))[cut % 2]
            tapped = mg.grad(lambda u, e: mg.sum(mg.tap(u, e) ** 2), (0, 1))(row, np.zeros(3))
            return [mg.grad(lambda u: mg.sum(u**3))(row), *tapped]
        state, states = mg.tanh(mg.sum(x)) * np.ones((2, 2)), []
        for _ in range(4):
            gates = mg.sigmoid(state @ np.array([[0.5, -1.0, 0.3, 0.1], [0.2, 0.4, -0.6, 1.0]]))
            state = gates[:, :2] * state + gates[:, 2:] * mg.tanh(state) + mg.relu(state - 5.0)
            states.append(state)
        return [mg.stack(states), mg.concatenate(states[:-1], axis=1)]

    note(f"{kind}: f {UNARY.index(f)}, g {UNARY.index(g)}, join {JOINED.index(join)}, {index=}, {cut=}, values {a} {b}")
    return step


@st.composite
def programs(draw: Any) -> tuple[Callable[..., Any], tuple[np.ndarray, ...]]:
    """A scalar function of two arrays."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inputs = tuple(rng.uniform(-1, 1, draw(some_shapes)) for _ in range(2))
    steps = draw(st.lists(st.one_of(table_steps(), direct_steps()), min_size=1, max_size=6))

    def function(*xs: Any) -> Any:
        values: Values = list(xs)
        for step in steps:
            values += step(values)
        return mg.sum(mg.stack([mg.sum(mg.sin(v) * (k + 1.0)) for k, v in enumerate(values)]))

    return function, inputs
