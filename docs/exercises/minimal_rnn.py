"""Chapter 5: a cell from its equations. Test it: pytest docs/exercises/test_minimal_rnn.py"""

import numpy as np

import nn


class MinimalRNN(nn.Cell):
    """MinimalRNN (Chen 2017): z = tanh(W_x x + b_z), u = σ(U_h h + U_z z + b_u), h ← u h + (1 - u) z."""

    def __init__(self, I, H, rng=None):
        rng = np.random.default_rng(rng)
        self.H = H
        self.candidate = nn.Linear(I, H, rng=rng)  # W_x and b_z
        self.gate = nn.Linear(2 * H, H, rng=rng)  # of [h, z]: U_h, U_z and b_u

    def step(self, x, h):
        raise NotImplementedError(
            "Chapter 5: write step() in docs/exercises/minimal_rnn.py: z, then u, then the new h; return h, h."
        )
