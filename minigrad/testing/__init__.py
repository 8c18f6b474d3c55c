"""Gradient checks for your own functions: derivatives against finite differences, and everything else they must be.

`check_grad` is for functions of Tensors, `check_vjp` and `check_jvp` for plain NumPy with hand-written derivatives,
`check_primitive` and `check_cell` for what you build from minigrad. With hypothesis (extra `testing`) come strategies
to draw arguments from, and `given_grad`, which turns a function into a property-based test of its gradient. `mutants`
are wrong rules to test your tests with. `same` compares a recurrent network with another program's, and names what
differs.

Where to read: `differences` (slopes of any function, with their error), `problem` (a function near a point),
`seen`, `looks` and `comparison` (rule against differences), `derivative` and `structure` (shape, dtype, purity,
linearity, copies of the inputs), `recorded` (functions of Tensors), `blame` (who is at fault), `check`, `plain`,
`primitives`; `unrolled`, `contract`, `ways` and `cell` for cells; `side_by_side`, `sameness` and `suspects` (where two
networks part, and why); `report`, `reproduction` and `written` (what a failure says); `grid`, `strategies`,
`recurrent`, `given`; `mutation` (wrong rules), `mutate` (the command that tries them on a suite).
"""

from typing import TYPE_CHECKING, Any

from .cell import check_cell
from .check import check_grad
from .mutation.mutants import Mutant, mutants
from .numeric import numeric_gradient
from .plain import check_jvp, check_vjp
from .primitives import check_primitive
from .problem import GradientError, KinkError
from .sameness import DifferenceError, same

if TYPE_CHECKING:
    from .given import given_grad
    from .recurrent import CellCase, Padded, cells, sequences
    from .strategies import (
        arrays,
        away_from,
        axes_of,
        axis_of,
        broadcastable,
        broadcastable_shapes,
        indices_of,
        integers_within,
        matmul_operands,
        probabilities,
        shapes,
        tensors,
        well_separated,
    )

__all__ = [
    "CellCase",
    "DifferenceError",
    "GradientError",
    "KinkError",
    "Mutant",
    "Padded",
    "arrays",
    "away_from",
    "axes_of",
    "axis_of",
    "broadcastable",
    "broadcastable_shapes",
    "cells",
    "check_cell",
    "check_grad",
    "check_jvp",
    "check_primitive",
    "check_vjp",
    "given_grad",
    "indices_of",
    "integers_within",
    "matmul_operands",
    "mutants",
    "numeric_gradient",
    "probabilities",
    "same",
    "sequences",
    "shapes",
    "tensors",
    "well_separated",
]


def __getattr__(name: str) -> Any:
    """The names that need hypothesis, imported when they are asked for: the checkers work without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import given, recurrent, strategies

    return next(getattr(module, name) for module in (given, recurrent, strategies) if name in vars(module))
