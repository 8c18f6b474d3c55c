"""The gradient of a sequence that is read part by part, as every loop over time does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from draw import anywhere
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import At, Tensor
from minigrad.accumulate import ArraySum


def leaf(x: Any) -> Tensor:
    return mg.tensor(x, dtype=float, requires_grad=True)


@pytest.mark.parametrize("recorded", [False, True], ids=["arrays", "recorded"])
@pytest.mark.parametrize(
    "read", [lambda x, t: x[t], lambda x, t: x[t : t + 1], lambda x, t: x[[t]]], ids=["int", "slice", "array"]
)
def test_reading_every_step_of_a_sequence_makes_one_full_size_buffer(
    monkeypatch: pytest.MonkeyPatch, read: Any, recorded: bool
) -> None:
    steps, made = 50, []

    def counting(make: Any) -> Any:
        def counted(shape: Any, *args: Any, **kwargs: Any) -> np.ndarray:
            made.append(np.prod(shape, dtype=int))
            return make(shape, *args, **kwargs)

        return counted

    x = leaf(np.ones((steps, 4)))
    f = lambda x: mg.sum(mg.stack([mg.sum(read(x, t) ** 2) for t in range(steps)]))
    y = f(x)
    monkeypatch.setattr(np, "zeros", counting(np.zeros))
    monkeypatch.setattr(np, "empty", counting(np.empty))
    if recorded:
        mg.grad(f)(x)
    else:
        y.backward()
    assert 1 <= sum(size >= steps * 4 for size in made) <= 2, (
        "one buffer for the tensor that is indexed, not one per index"
    )


READS = {
    "row": lambda x, t: x[t],
    "column": lambda x, t: x[:, t],
    "slice": lambda x, t: x[t : t + 2],
    "array": lambda x, t: x[[t, t]],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_gradient_of_a_sequence_read_step_by_step_is_the_sum_of_the_steps(read: Any) -> None:
    x, one_by_one = leaf(np.arange(16.0).reshape(4, 4)), np.zeros((4, 4))
    sum(mg.sum(read(x, t) ** 2) for t in range(4)).backward()
    for t in range(4):
        one_by_one += mg.grad(lambda x, t=t: mg.sum(read(x, t) ** 2))(x.data).data
    np.testing.assert_array_equal(x.grad, one_by_one)


@settings(max_examples=4 * settings.default.max_examples)
@given(st.data())
def test_parts_read_by_integers_add_up_whatever_else_is_read_between_them(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    collected, expected = ArraySum(leaf(np.zeros(shape))), np.zeros(shape)
    part = st.integers(-shape[0], shape[0] - 1)
    for index in data.draw(st.lists(part | part | st.sampled_from([..., slice(1, None)]), min_size=1, max_size=8)):
        g = data.draw(anywhere(np.shape(expected[index])))
        collected.add(g if index is ... else At(index, g), shape)
        expected[index] += g
    np.testing.assert_allclose(collected.total(), expected, atol=1e-12)
