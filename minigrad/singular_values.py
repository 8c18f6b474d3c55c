"""Singular values, a page of the table: `linalg` hands them on.

Their slopes are made of singular vectors, and these have a rule as well: so second and higher derivatives exist, of a
square matrix as of one with more rows or columns, whose further directions belong to no singular value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .determinants import _t
from .ops import _ratio, absolute, greater, sum, where
from .primitive import primitive

__all__ = ["svdvals"]


def distinct(gap: Any, values: Any) -> Any:
    """The gaps between eigenvalues or singular values (..., 1, k); 0 where only rounding errors keep them apart.

    What is divided by these is then infinite, with NumPy's warning, or 0 / 0 = 0 where it is of no account.
    """
    limit = 4 * np.finfo(values.dtype).eps * sum(absolute(values), axis=-1, keepdims=True)
    return where(greater(absolute(gap), limit), gap, 0.0)


def _svd_joined(a: Any) -> Any:
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, np.swapaxes(vt, -1, -2), s[..., None, :]], axis=-2)


def _svd_rule(g: Any, y: Any, a: Any) -> Any:
    # Townsend 2016 ("Differentiating the singular value decomposition"). Within the spaces of U and V
    #   U (½ (P + Pᵀ + Q - Qᵀ) + diag g_s) Vᵀ,  P_ij = (x + y)_ij / (s_j - s_i),  Q_ij = (x - y)_ij / (s_j + s_i)
    # off the diagonal, with x = Uᵀg_U and y = Vᵀg_V; and what leaves them: (I - UUᵀ) g_U S⁻¹ Vᵀ if there are more rows,
    # U S⁻¹ g_Vᵀ (I - VVᵀ) if there are more columns
    m, n = a.shape[-2:]
    u, v, s = y[..., :m, :], y[..., m : m + n, :], y[..., m + n :, :]  # s (..., 1, k)
    gu, gv, gs = g[..., :m, :], g[..., m : m + n, :], g[..., m + n :, :]
    x, y = _t(u) @ gu, _t(v) @ gv
    diagonal = np.eye(s.shape[-1], dtype=bool)
    less, more = (where(diagonal, 1.0, distinct(gap, s)) for gap in (s - _t(s), s + _t(s)))
    P, Q = _ratio(x + y, less), _ratio(x - y, more)
    result = u @ where(diagonal, gs, 0.5 * (P + _t(P) + Q - _t(Q))) @ _t(v)
    if m > n:
        result = result + _ratio(gu - u @ x, distinct(s, s)) @ _t(v)
    if m < n:
        result = result + u @ _t(_ratio(gv - v @ y, distinct(s, s)))
    return result


_svd = primitive(_svd_joined, _svd_rule, name="svd")  # U, V and s below each other, min(m, n) columns, one array


def _svdvals_rule(g: Any, s: Any, a: Any) -> Any:
    m, n = a.shape[-2:]
    vectors = _svd(a)
    return (vectors[..., :m, :] * g[..., None, :]) @ _t(vectors[..., m : m + n, :])  # U diag(g) Vᵀ


svdvals = primitive(
    lambda a: np.linalg.svdvals(a),
    _svdvals_rule,
    name="svdvals",
    doc="The singular values in descending order: slopes u vᵀ where they are not 0, higher ones where not repeated.",
)
