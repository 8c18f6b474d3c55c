"""Write docs/numpy_functions.md: which of NumPy's functions work on Tensors, and how.

    python -m docs.make_numpy_functions             # the page, to standard output
    python -m docs.make_numpy_functions --write     # to docs/numpy_functions.md

What is listed, whether it has a rule and what it says of itself is read from the code. Only the headings, which are
those of NumPy's reference, stand here; a function that is under none of them, or under two, is an error.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.numpy_functions import FUNCTIONS, PLAIN, SHAPES
from minigrad.served import by_ufunc

from .written import command

PAGE = Path(__file__).with_name("numpy_functions.md")
HEAD = """# NumPy's functions on Tensors

`np.tanh(t)` of a Tensor is `mg.tanh(t)`: these functions of NumPy give Tensors with a derivative of every order, or
plain results where there is none. Those with a derivative are also there under minigrad's name, `mg.` in place of
`np.`, for arrays and Tensors alike. Of NumPy's keywords they take those that say what is computed (`axis=`,
`keepdims=`, `ddof=`, ...), and refuse by name those that say how (`out=`, `where=`, `dtype=`, ...). Other functions are
refused, with the nearest that is here.

- **rule**: a primitive, with a rule for its derivative.
- **composition**: composed of primitives, whose rules give its derivative.
- **plain**: the plain result, an array or a number without a derivative.

This page is made from the code: `python -m docs.make_numpy_functions --write`.
"""
GROUPS = {
    "Arithmetic": """add subtract multiply divide remainder floor_divide negative positive power reciprocal
        absolute fabs""",
    "Trigonometric functions": "sin cos tan arcsin arccos arctan arctan2 hypot sinc deg2rad rad2deg radians degrees",
    "Hyperbolic functions": "sinh cosh tanh arcsinh arccosh arctanh",
    "Exponentials, logarithms, roots": """exp expm1 exp2 log log1p log2 log10 logaddexp logaddexp2 sqrt square
        cbrt""",
    "Rounding, signs": "rint round floor ceil sign signbit copysign heaviside",
    "Choices": "where select clip maximum minimum fmax fmin nan_to_num",
    "Sums, products, differences": """sum nansum cumsum prod cumprod mean nanmean average var std median max amax
        min amin ptp diff trapezoid""",
    "Products of vectors and matrices": """matmul dot vdot inner outer tensordot einsum vecdot matvec vecmat kron trace
        convolve""",
    "Linear algebra": """linalg.norm linalg.vector_norm linalg.matrix_norm linalg.inv linalg.solve linalg.det
        linalg.slogdet linalg.matrix_power linalg.cholesky linalg.qr linalg.eigh linalg.eigvalsh linalg.svdvals
        linalg.matrix_transpose linalg.trace linalg.diagonal linalg.matmul linalg.outer linalg.tensordot
        linalg.vecdot""",
    "Shapes": """reshape ravel transpose swapaxes moveaxis expand_dims squeeze broadcast_to atleast_1d atleast_2d
        atleast_3d flip roll rot90""",
    "Joining, splitting, copying": """concatenate stack vstack hstack dstack column_stack append split array_split
        unstack repeat tile pad""",
    "Parts of arrays": "take take_along_axis diag diagonal tril triu",
    "Sorting, searching, counting": """sort partition argsort argpartition argmax argmin searchsorted nonzero
        count_nonzero unique""",
    "Comparisons, logic": """equal not_equal greater greater_equal less less_equal logical_and logical_or logical_not
        isfinite isinf isnan isclose allclose array_equal all any""",
    "Shape, dtype, memory": """shape ndim size result_type zeros_like ones_like empty_like full_like shares_memory
        may_share_memory""",
}


def found(library: Any, name: str) -> Any:
    """The function of this name, which may be dotted; None if a library has none."""
    for part in name.split("."):
        library = getattr(library, part, None)
    return library


def kind(name: str, function: Any) -> str:
    """What becomes of a Tensor in this function of NumPy."""
    if function in PLAIN:
        return "plain"
    ours = by_ufunc.get(function) or found(mg, name) or FUNCTIONS[function]
    if isinstance(ours, mg.Primitive):
        return "rule" if ours.differentiable else "plain"
    own = getattr(sys.modules[ours.__module__], f"_{ours.__name__}", None)  # a primitive in a handier form
    return "rule" if isinstance(own, mg.Primitive) else "composition"


def described(name: str, function: Any) -> str:
    """The first sentence of what minigrad says about it."""
    if function in PLAIN:
        return "of shapes and dtypes" if function in SHAPES else "of the values"
    ours = by_ufunc.get(function) or found(mg, name) or FUNCTIONS[function]
    if isinstance(ours, mg.Primitive):  # whose docstring begins with its signature
        sentence = inspect.getdoc(ours).split("\n\n")[1].partition("\n")[0]
    else:
        sentence = " ".join(inspect.getdoc(ours).split("\n\n")[0].split())
    return sentence.replace("|", "\\|")


def page() -> str:
    """The page, from the code as it is."""
    served = {*FUNCTIONS, *by_ufunc, *PLAIN}
    names = {title: text.split() for title, text in GROUPS.items()}
    listed = [found(np, name) for title in names for name in names[title]]
    missing = sorted(f.__name__ for f in served.difference(listed))
    twice = sorted({f.__name__ for f in listed if f is not None and listed.count(f) > 1})
    if missing or twice:
        raise SystemExit(f"give each function one place in GROUPS: missing {missing}, twice {twice}")
    lines = [HEAD]
    for title in names:
        lines += [f"## {title}", "", "| function | on Tensors | what it is |", "|---|---|---|"]
        for name in names[title]:
            function = found(np, name) or found(mg, name)  # which has some that are newer than this NumPy
            if function not in served and found(np, name):
                raise SystemExit(f"np.{name} is refused on Tensors; take it out of GROUPS")
            lines.append(f"| `np.{name}` | {kind(name, function)} | {described(name, function)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    command("docs.make_numpy_functions", "NumPy's functions on Tensors", PAGE, page)
