"""`mg.traced`: the calls by which a function makes its result, for others than the compiler."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg


def test_calls_name_what_they_read_and_make_in_order():
    w = mg.tensor(np.ones(3), requires_grad=True)
    found = mg.traced(lambda x, k: (mg.tanh(x * w) + 2.0, x[k]), np.ones((2, 3)), np.array([1, 0]))
    assert [call.primitive.name for call in found.calls] == ["multiply", "tanh", "add", "getitem"]
    assert [value.source for value in found.arguments] == [0, 1]
    assert found.calls[0].reads[1].source is w
    assert found.calls[1].inputs == (found.calls[0].out,)
    assert found.calls[2].inputs == (found.calls[1].out, 2.0)
    assert found.results == (found.calls[2].out, found.calls[3].out)
    assert [value.shape for value in found.results] == [(2, 3), (2, 3)]


def test_what_no_result_needs_is_left_out_and_a_look_at_values_refused():
    def wasteful(x: mg.Tensor) -> mg.Tensor:
        mg.exp(x)
        return mg.tanh(x)

    assert [call.primitive.name for call in mg.traced(wasteful, np.ones(3)).calls] == ["tanh"]
    with pytest.raises(TypeError, match="looks at values"):
        mg.traced(lambda x: x if x.sum() > 0 else -x, np.ones(3))


def test_a_trace_inside_of_a_trace_reads_what_is_around_it():
    inner = []

    def outer(x: mg.Tensor) -> mg.Tensor:
        y = mg.tanh(x)
        inner.append(mg.traced(lambda z: mg.erf(y) + z, np.ones(3)))  # of erf a trace has no outline
        return y

    whole = mg.traced(outer, np.ones(3))
    assert [call.primitive.name for call in inner[0].calls] == ["erf", "add"]
    assert inner[0].calls[0].inputs == (whole.calls[0].out,)
