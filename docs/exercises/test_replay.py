"""Chapter 8: a record that is run again gives what the function gives, also the record of a gradient."""

import numpy as np
import pytest

import minigrad as mg

FUNCTIONS = {
    "x tanh x": lambda x: x * mg.tanh(x),
    "constants": lambda x: 2.0 - np.array([1.0, 2.0, 3.0]) * x,
    "keywords": lambda x: mg.sum(mg.softmax(mg.reshape(x, (3, 1)), axis=0), axis=1),
    "a loop": lambda x: sum(mg.exp(x[t]) for t in range(3)),
    "a gradient": lambda x: mg.grad(lambda x: mg.sum(mg.tanh(x) * x))(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_replay_gives_what_the_function_gives(answer, name):
    f = FUNCTIONS[name]
    tape = mg.tape(f, np.zeros(3))
    for x in (np.array([0.5, -1.0, 2.0]), np.ones(3)):
        np.testing.assert_allclose(answer.replay(tape, x), f(mg.tensor(x)).data, err_msg=name)


def test_the_function_is_not_called_again(answer):
    calls = []

    def f(x):
        calls.append(x)
        return mg.sin(x)

    tape = mg.tape(f, np.zeros(2))
    answer.replay(tape, np.ones(2))
    assert len(calls) == 1
