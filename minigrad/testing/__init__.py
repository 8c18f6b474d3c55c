"""Gradient checks for your own functions: derivatives against finite differences, and everything else they must be.

`check_grad` is for functions of Tensors, `check_vjp` and `check_jvp` for plain NumPy with hand-written derivatives,
`check_primitive` and `check_cell` for what you build from minigrad; `mutants` are wrong rules to test your tests with.

Where to read: `differences` (slopes of any function, with their error), `problem` (a function near a point),
`comparison` (rule against differences), `structure` (shape, dtype, purity, linearity), `recorded` (functions of
Tensors), `blame` (who is at fault), `check`, `primitives`, `cells`; `faults` and `mutants` (wrong rules), `mutate` (the
command that tries them on a suite).
"""

from .cells import check_cell
from .check import check_grad
from .differences import numeric_gradient
from .mutants import Mutant, mutants
from .plain import check_jvp, check_vjp
from .primitives import check_primitive
from .problem import GradientError, KinkError

__all__ = [
    "GradientError",
    "KinkError",
    "Mutant",
    "check_cell",
    "check_grad",
    "check_jvp",
    "check_primitive",
    "check_vjp",
    "mutants",
    "numeric_gradient",
]
