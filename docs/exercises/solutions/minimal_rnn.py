"""Chapter 5: a cell from its equations."""

import numpy as np

import minigrad as mg
import nn


class MinimalRNN(nn.Cell):
    """MinimalRNN (Chen 2017): z = tanh(W_x x + b_z), u = σ(U_h h + U_z z + b_u), h ← u h + (1 - u) z."""

    def __init__(self, I, H, rng=None):
        rng = np.random.default_rng(rng)
        self.H = H
        self.candidate = nn.Linear(I, H, rng=rng)
        self.gate = nn.Linear(2 * H, H, rng=rng)

    def step(self, x, h):
        z = mg.tanh(self.candidate(x))
        u = mg.sigmoid(self.gate(mg.concatenate([h, z], axis=1)))
        h = u * h + (1 - u) * z
        return h, h
