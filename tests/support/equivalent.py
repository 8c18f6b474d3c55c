"""Mutants that no test can notice: their wrong rules are right wherever they can be called."""

from __future__ import annotations

TURNED = "transposed where square"
HELD = "inputs and output constant at second order"
SWAPPED = "input and output swapped"

#: By primitive and input, the names of their faults.
EQUIVALENT = {
    **{f"{name}, input 0": {HELD} for name in ("abs", "maximum", "minimum")},  # the slope is piecewise constant
    **{f"{name}, input 1": {HELD} for name in ("maximum", "minimum", "remainder")},
    **{f"{name}, input {k}": {HELD} for name in ("fmax", "fmin") for k in (0, 1)},
    **{f"{name}, input 0": {HELD, SWAPPED} for name in ("relu", "clip")},  # ... and the same at y as at x
    **{f"{name}, input 0": {HELD, SWAPPED} for name in ("max", "min")},  # of x's shape, y is x
    **{
        f"{name}, input 0": {SWAPPED} for name in ("logsumexp", "var", "prod")
    },  # y is x there too, or both slopes are 0
    **{
        f"{name}, input 0": {SWAPPED} for name in ("det", "logabsdet", "qr", "eigh", "eigvalsh", "svd", "svdvals")
    },  # other shape
    "solve, last input": {SWAPPED},  # the rule takes the matrix and the cotangent for it
    **{f"einsum, input {k}": {SWAPPED} for k in range(3)},  # the rule takes no more than the shapes of both
    **{f"convolve, input {k}": {TURNED} for k in (0, 1)},  # of vectors
}
