"""Cells of every kind that users write: what they may hold, take and ask for, and what is said if they do not fit."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from textbook import grads_of

import minigrad as mg
import nn

RNG = np.random.default_rng(0)
XS = RNG.standard_normal((5, 3, 2))
LENGTHS = np.array([5, 0, 3])
options = pytest.mark.parametrize("options", [{}, {"reverse": True}, {"checkpoint": 2}], ids=str)


# --- integers and booleans in the state ------------------------------------------------------------------------------


class Clockwork(nn.RNNCell):
    """Its second half takes part at every second step of its own sequence only (Koutnik et al. 2014), by a counter."""

    def initial_state(self, B: int) -> Any:
        return {"n": np.zeros(B, int), "h": super().initial_state(B), "late": np.zeros((B, 1), bool)}

    def step(self, x: Any, state: Any) -> Any:
        n, h = state["n"], state["h"]
        new, _ = super().step(x, h)
        slow = mg.where((n % 2 == 0).reshape(-1, 1), new[:, 1:], h[:, 1:])
        h = mg.concatenate([new[:, :1], slow], axis=1)
        return h, {"n": n + 1, "h": h, "late": (n // 3 > 0).reshape(-1, 1)}


def clockwork(**options: Any) -> nn.Recurrent:
    return nn.Recurrent(Clockwork(2, 2, rng=0, dtype=np.float64), **options)


@options
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_a_counter_is_state_like_any_other(options: Any, lengths: Any) -> None:
    net = clockwork(**options)
    _, (final,) = net(XS, lengths=lengths)
    for b, n in enumerate([5] * 3 if lengths is None else lengths):
        h, xs = np.zeros(2), XS[:n, b][::-1] if net.reverse else XS[:n, b]
        for k, x in enumerate(xs):
            new = np.tanh(x @ net.cells[0].U.data + h @ net.cells[0].W.data)
            h = new if k % 2 == 0 else np.array([new[0], h[1]])
        np.testing.assert_allclose(final["h"].data[b], h, rtol=1e-12)
        assert (final["n"].data[b], final["late"].data[b, 0]) == (n, n > 3)
    assert (final["n"].dtype, final["late"].dtype) == (np.int64, np.bool_)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_a_counter_has_the_same_gradients_under_checkpoint_and_compile(lengths: Any) -> None:
    results = []
    for options in ({}, {"checkpoint": 2}):
        net = clockwork(**options)
        results.append(grads_of(net, (net(XS, lengths=lengths)[0] ** 2).sum()))

    @mg.compile
    def compiled(xs: Any, lengths: Any) -> Any:
        loss = (net(xs, lengths=lengths)[0] ** 2).sum()
        loss.backward()
        return loss

    for _ in range(2):
        net.zero_grad()
        compiled(XS, lengths)
    results.append({name: p.grad for name, p in net.named_parameters()})
    for found in results[1:]:
        for name, g in results[0].items():
            np.testing.assert_allclose(found[name], g, rtol=1e-11, atol=1e-13)


# --- the number of the time step -------------------------------------------------------------------------------------


class Timed(nn.Cell):
    """Sums up t x_t."""

    H = 2

    def step(self, x: Any, state: Any, t: int) -> Any:
        state = state + t * x
        return state, state


@options
@pytest.mark.parametrize(
    "make", [Timed, lambda: nn.FunctionCell(lambda x, h, t: (h + t * x, h + t * x), Timed().initial_state)]
)
def test_a_step_that_asks_for_t_is_given_the_time_of_its_input(make: Any, options: Any) -> None:
    xs = XS.astype(np.float32)
    _, (final,) = nn.Recurrent(make(), **options)(xs, lengths=LENGTHS)
    for b, n in enumerate(LENGTHS):
        np.testing.assert_allclose(final.data[b], (np.arange(n)[:, None] * xs[:n, b]).sum(axis=0), rtol=1e-5, atol=1e-6)
    compiled = mg.compile(lambda xs: nn.Recurrent(make(), **options)(xs)[1][0])
    np.testing.assert_allclose(compiled(xs).data, (np.arange(5)[:, None, None] * xs).sum(axis=0), rtol=1e-5, atol=1e-6)


def test_an_input_or_a_state_that_is_called_t_is_not_the_time() -> None:
    class Called(nn.Cell):
        H = 2

        def step(self, t: Any, state: Any) -> Any:  # type: ignore[override]
            return state + t, state + t

    class Static(nn.Cell):
        H = 2
        step = staticmethod(lambda x, t: (x + t, x + t))  # type: ignore[assignment]

    def function(x: Any, t: Any) -> Any:
        return x + t, x + t

    for cell in (Called(), Static(), function):
        ys, _ = nn.Recurrent(cell)(XS, (mg.tensor(np.zeros((3, 2), XS.dtype)),))
        np.testing.assert_allclose(ys.data, np.cumsum(XS, axis=0), rtol=1e-6)


def test_a_plain_call_of_a_cell_takes_t_and_a_module_may_ask_for_it() -> None:
    class Own(nn.Module):
        def forward(self, x: Any, h: Any, t: int) -> Any:
            return h + t, h + t

    y, _ = Timed()(np.ones((1, 2)), None, t=3)
    np.testing.assert_array_equal(y.data, 3)
    with pytest.raises(TypeError, match="'t'"):
        Timed()(np.ones((1, 2)))
    _, (final,) = nn.Recurrent(Own())(XS, (np.zeros((3, 1)),))
    np.testing.assert_array_equal(final.data, 10)


def test_recurrent_dropout_hands_t_on() -> None:
    class Masked(Timed):
        step_masked = nn.Cell.step_masked

    net = nn.Recurrent(Masked(), recurrent_dropout=0.5, rng=0)
    assert np.isin(net(np.ones((2, 3, 2)))[0].data[1], [1.0]).all()


# --- images ----------------------------------------------------------------------------------------------------------


class Pictures(nn.Cell):
    def __init__(self, seed: int, axis: int | None = None) -> None:
        self.conv = nn.Conv2d(1 + 2, 2, 3, padding=1, rng=seed)
        if axis is not None:
            self.feature_axis = axis

    def initial_state(self, B: int) -> Any:
        return np.zeros((B, 2, 4, 5), np.float32)

    def step(self, x: Any, h: Any) -> Any:
        h = mg.tanh(self.conv(mg.concatenate([x, h], axis=1)))
        return h, h


@pytest.mark.parametrize(("axis", "joined"), [(None, 2), (1, 2), (-1, 4), (3, 4), (-2, 3)])
def test_two_directions_over_images_are_joined_along_the_channels_or_where_the_cell_says(
    axis: Any, joined: int
) -> None:
    xs = RNG.standard_normal((3, 2, 1, 4, 5))
    ys, _ = nn.Recurrent(Pictures(0, axis), Pictures(1, axis), bidirectional=True)(xs)
    sides = [nn.Recurrent(Pictures(k), reverse=k == 1)(xs)[0].data for k in range(2)]
    np.testing.assert_allclose(ys.data, np.concatenate(sides, axis=joined), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 4, -5])
def test_an_axis_of_features_that_is_not_there_is_refused(axis: int) -> None:
    with pytest.raises(ValueError, match=r"outputs of shape \(3, 2, 2, 4, 5\) have no axis of features.*feature_axis"):
        nn.Recurrent(Pictures(0, axis), Pictures(1, axis), bidirectional=True)(np.ones((3, 2, 1, 4, 5)))


def test_outputs_without_features_cannot_be_joined() -> None:
    total = nn.FunctionCell(lambda x, s: (s[:, 0], s + x), lambda B: np.zeros((B, 2)))
    with pytest.raises(ValueError, match=r"outputs of shape \(5, 3\) have no axis of features"):
        nn.Recurrent(total, total, bidirectional=True)(XS)


# --- what is refused -------------------------------------------------------------------------------------------------


class Plain(nn.Cell):
    H = 4

    def step(self, x: Any, state: Any) -> Any:
        h = mg.tanh(mg.concatenate([x, state], axis=1))[:, :4]
        return h, h


def test_an_initial_state_of_arrays_is_read_as_tensors() -> None:
    class Arrays(Plain):
        def initial_state(self, B: int) -> Any:
            return np.zeros((B, 4), np.float32)

    np.testing.assert_array_equal(nn.Recurrent(Arrays())(XS)[0].data, nn.Recurrent(Plain())(XS)[0].data)


def test_a_cell_without_a_size_is_told_to_define_it() -> None:
    class Sizeless(nn.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return state, state

    with pytest.raises(TypeError, match=r"Sizeless: .*self\.H.*initial_state\(B\)"):
        nn.Recurrent(Sizeless())(XS)


@pytest.mark.parametrize("output", [None, 1.0, np.ones((3, 4)), (None, None)], ids=["None", "number", "array", "tuple"])
@options
def test_an_output_that_is_no_tensor_is_named_with_cell_and_step(output: Any, options: Any) -> None:
    def cell(x: Any, h: Any, t: int) -> Any:
        return (output if t == 3 else h), h

    with pytest.raises(
        TypeError, match=r"cell: step 3 must return \(output, new state\) with a Tensor as output, got "
    ):
        nn.Recurrent(cell, **options)(XS, (np.ones((3, 4)),))


def test_a_state_that_became_an_array_is_called_an_array() -> None:
    def cell(x: Any, h: Any) -> Any:
        return h, np.tanh(h.data)

    with pytest.raises(
        ValueError, match=r"before: \(3, 4\) float64\n  after:  array \(3, 4\) float64\nan array.*Tensor"
    ):
        nn.Recurrent(cell)(XS, (np.ones((3, 4)),))


def test_integers_into_a_cell_without_a_linear_map_are_told_of_one_hot_vectors() -> None:
    numbers = np.array([[0, 1, 2]])
    with pytest.raises(
        ValueError, match=r"Plain: step 0: concatenate(?s:.*)integers of shape \(3,\)(?s:.*)nn\.one_hot"
    ):
        nn.Recurrent(Plain())(numbers)
    ys, _ = nn.Recurrent(Plain())(nn.one_hot(numbers, 3))
    np.testing.assert_array_equal(ys.data[0, :, :3], np.tanh(np.eye(3, dtype=np.float32)))


# --- random numbers under checkpoint ---------------------------------------------------------------------------------

GENERATOR = np.random.default_rng(1)
TABLE = {"a": [np.random.default_rng(2)]}


class Holder:
    def __init__(self) -> None:
        self.inner = {"rng": np.random.default_rng(3)}


def noisy(draw: Any) -> Any:
    def step(x: Any, h: Any) -> Any:
        h = mg.tanh(x + h) * (1 + draw(h.shape))
        return h, h

    return step


def by_default(shape: Any, rng: np.random.Generator = np.random.default_rng(4)) -> Any:  # noqa: B008
    return rng.random(shape)


HELD = Holder()
DRAWS: dict[str, Any] = {
    "method": np.random.default_rng(0).random,
    "global": lambda shape: GENERATOR.random(shape),
    "container": lambda shape: TABLE["a"][0].random(shape),
    "attribute": lambda shape: HELD.inner["rng"].random(shape),
    "default": by_default,
    "partial": functools.partial(by_default, rng=np.random.default_rng(5)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_checkpoint_draws_the_same_numbers_again_wherever_the_generator_is_held(name: str) -> None:
    drawn: list[Any] = []

    def draw(shape: Any) -> Any:
        drawn.append(DRAWS[name](shape))
        return drawn[-1]

    xs = mg.tensor(XS, requires_grad=True)
    ys, _ = nn.Recurrent(noisy(draw), checkpoint=2)(xs, (np.zeros((3, 2)),))
    DRAWS[name](3)
    ys.sum().backward()
    forward, again = drawn[:5], drawn[5:]
    np.testing.assert_array_equal(again, [forward[t] for t in (4, 2, 3, 0, 1)])


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.Linear])
def test_a_class_in_place_of_a_cell_is_refused_by_name(kind: type) -> None:
    with pytest.raises(TypeError, match=rf"got the class {kind.__name__}; make one"):
        nn.Recurrent(kind)


# --- states that do not fit ------------------------------------------------------------------------------------------


def run_of(initial: Any, step: Any) -> Any:
    cell = nn.FunctionCell(step)
    first = type(
        "Mine", (nn.Cell,), {"initial_state": lambda self, B: initial, "step": lambda self, x, h: cell.f(x, h)}
    )
    return nn.Recurrent(first())(np.ones((2, 3, 2), np.float32))


@pytest.mark.parametrize(("part", "told"), [(None, "None"), (object, "<class 'object'>"), ("zeros", "'zeros'")])
def test_a_part_of_a_first_state_that_is_no_tensor_is_named(part: Any, told: str) -> None:
    zeros = np.zeros((3, 2), np.float32)
    with pytest.raises(TypeError, match=rf"Mine: initial_state\(B\) must return .*, got {told} as a part"):
        run_of((zeros, part), lambda x, h: (x, h))


def test_dtypes_are_spoken_of_only_where_a_dtype_has_changed() -> None:
    zeros, count = mg.tensor(np.zeros((3, 2), np.float32)), mg.tensor(np.zeros((3, 1), int))
    grows = lambda x, h: (x, mg.concatenate([h, x], axis=1))
    with pytest.raises(ValueError, match=r"\(3, 4\) float32\nthe first state is that of initial_state\(B\)$"):
        run_of(zeros, grows)
    counts = lambda x, s: (x, (s[0] * s[1], s[1] + 1))
    with pytest.raises(ValueError, match=r"write n\.astype\(h\.dtype\) for a counter n$"):
        run_of((zeros, count), counts)


def test_a_weight_of_another_dtype_than_the_state_is_named() -> None:
    class Scaled(nn.RNNCell):
        def __init__(self, I: int, H: int) -> None:
            super().__init__(I, H, rng=0)
            self.scale = nn.parameter(np.ones(H))

        def step(self, x: Any, h: Any) -> Any:
            h = super().step(x, h)[0] * self.scale
            return h, h

    with pytest.raises(ValueError, match=r"the weight scale is float64: make it with nn\.parameter\(.*float32"):
        nn.Recurrent(Scaled(2, 3))(XS)


def test_a_class_in_place_of_a_function_that_makes_layers_is_refused() -> None:
    with pytest.raises(TypeError, match=r"give one function that makes the cell of a layer: Recurrent\(lambda layer"):
        nn.Recurrent(nn.GRUCell, num_layers=2)
