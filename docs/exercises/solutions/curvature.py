"""Chapter 7: the largest curvature, without the Hessian."""

import numpy as np

import minigrad as mg


def largest_curvature(f, x, steps=100):
    v = np.random.default_rng(0).standard_normal(x.shape)
    v /= np.linalg.norm(v)
    for _ in range(steps):
        (product,) = mg.hvp(f, (x,), (v,))
        curvature = v @ product.data
        v = product.data / np.linalg.norm(product.data)
    return curvature
