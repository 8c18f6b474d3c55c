"""What a failure says of numbers: how many are wrong, and the Jacobians side by side."""

from __future__ import annotations

import numpy as np

from .problem import Problem

COLUMNS = 8


def count(wrong: int, whole: int) -> str:
    """`3 of 12 entries are`."""
    return f"{wrong} of {whole} entries {'is' if wrong == 1 == whole else 'are'}"


def side_by_side(analytic: np.ndarray, numeric: np.ndarray, wrong: np.ndarray, problem: Problem, k: int) -> str:
    """The Jacobian (m, n) by input k, from the rule and from differences; `*` marks what differs.

    The gradient of a single output is shown in the shape of its input.
    """
    shape = problem.inputs[k].shape
    if len(analytic) == 1 and shape:
        rows = [part.reshape(-1, shape[-1] if shape[-1] else 1) for part in (analytic, numeric, wrong)]
        title = "the gradient"
    else:
        rows = [analytic, numeric, wrong]
        title = f"the Jacobian, a row for each entry of the output and a column for each of {problem.labels[k]}"
    if rows[0].shape[1] > COLUMNS:
        places = np.argwhere(rows[2])[:10].tolist()
        entries = [f"  {place}: {rows[0][tuple(place)]:.8g} | {rows[1][tuple(place)]:.8g}" for place in places]
        return "\n".join([f"{title}, rule | differences, wrong entries:", *entries])
    left = [[f"{a:.6g}{'*' if bad else ''}" for a, bad in zip(*pair)] for pair in zip(rows[0], rows[2])]
    right = [[f"{a:.6g}" for a in row] for row in rows[1]]
    width = max(len(text) for part in (left, right) for row in part for text in row)
    lines = ["  " + " | ".join(" ".join(t.rjust(width) for t in row) for row in pair) for pair in zip(left, right)]
    return "\n".join([f"{title}, rule | differences:", *lines])
