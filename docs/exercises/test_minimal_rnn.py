"""Chapter 5: the cell computes the equations of the paper, and its derivatives are right."""

import numpy as np

import nn
from minigrad.testing import check_cell


def test_two_steps_are_those_of_the_equations(answer):
    cell = answer.MinimalRNN(3, 2, rng=0)
    W, b_z, U, b_u = (p.data for p in (cell.candidate.W, cell.candidate.b, cell.gate.W, cell.gate.b))
    xs = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    h = np.zeros((4, 2), np.float32)
    for x in xs:
        z = np.tanh(x @ W + b_z)
        u = 1 / (1 + np.exp(-(h @ U[:2] + z @ U[2:] + b_u)))
        h = u * h + (1 - u) * z
    outputs, (state,) = nn.Recurrent(cell)(xs)
    np.testing.assert_allclose(outputs[-1].data, h, rtol=1e-5)
    np.testing.assert_allclose(state.data, h, rtol=1e-5)


def test_first_and_second_derivatives_are_right(answer):
    check_cell(answer.MinimalRNN)
