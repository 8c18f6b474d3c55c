"""Chapter 2: a primitive of two inputs."""

import numpy as np

import minigrad as mg

bell = mg.primitive(
    lambda x, s: np.exp(-(x**2) / (2 * s**2)),
    lambda g, z, x, s: -g * z * x / s**2,
    lambda g, z, x, s: g * z * x**2 / s**3,
    name="bell",
)
