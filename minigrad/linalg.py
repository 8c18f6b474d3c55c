"""Linear algebra on matrices (..., n, n) and batches of them: `mg.linalg`, as `np.linalg` has it.

Read `lambda g, y, a: ...` as "given g = dL/dy, y and a, this is dL/da". The rules are those of Giles 2008 ("Collected
matrix derivative results for forward and reverse mode algorithmic differentiation") where nothing else is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from . import kernels, products
from .axes import axes_in, integer, plain_number
from .composed import of_one, of_two
from .determinants import det as det
from .determinants import inv as inv
from .determinants import slogdet as slogdet
from .ops import _ratio, absolute, max, min, not_equal, sum, where
from .ops import matmul as matmul
from .primitive import primitive
from .products import outer as outer
from .products import tensordot as tensordot
from .products import vecdot as vecdot
from .rearrange import array
from .rearrange import diagonal as _diagonal
from .record import Variable
from .reductions import norm as _euclidean
from .shapes import astype, concatenate, expand_dims, getitem, moveaxis, reshape, squeeze, swapaxes, tril
from .singular_values import distinct
from .singular_values import svdvals as svdvals

if TYPE_CHECKING:
    from .tensor import Tensor
    from .typed import QR, Eigh

__all__ = [
    "cholesky", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power",
    "matrix_transpose", "norm", "outer", "qr", "slogdet", "solve", "svdvals", "tensordot", "trace", "vecdot",
    "vector_norm",
]  # fmt: skip

# NumPy's own kinds of results, tuples with names
_Eigh = type(np.linalg.eigh(np.eye(1)))
_QR = type(np.linalg.qr(np.eye(1)))


@of_one
def matrix_transpose(a: Any) -> Any:
    """aᵀ of each matrix: the last two axes exchanged.

    >>> mg.linalg.matrix_transpose(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 3.],
            [2., 4.]])
    """
    return swapaxes(a, -1, -2)


_t = matrix_transpose


def _symmetric(a: Any) -> Any:
    return 0.5 * (a + _t(a))


# --- systems and powers ---------------------------------------------------------------------------------------------


def _solve_joint(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, Any]:
    w = _solve(_t(a), g)
    return -w @ _t(y), w


_solve = primitive(lambda a, b: np.linalg.solve(a, b), joint=_solve_joint, name="solve")


@of_two
def solve(a: Any, b: Any) -> Any:
    """The x for which a x = b, of a (..., n, n) and b (..., n, k), or (n,); batches broadcast.

    Its cotangents are w = a⁻ᵀ g for b and -w xᵀ for a. Raises LinAlgError if a is singular.

    >>> mg.linalg.solve(mg.tensor([[2.0, 0.0], [0.0, 4.0]]), [2.0, 2.0])
    tensor([1. , 0.5])
    """
    return squeeze(_solve(a, expand_dims(b, -1)), axis=-1) if np.ndim(b) == 1 else _solve(a, b)


@of_one
def matrix_power(a: Any, n: int) -> Any:
    """aⁿ by repeated squaring; a⁻¹ to the power -n for negative n.

    >>> mg.linalg.matrix_power(mg.tensor([[1.0, 1.0], [0.0, 1.0]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    n = integer("matrix_power", "n", n)
    a, n = (inv(a), -n) if n < 0 else (array(a), n)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"matrix_power: needs square matrices, got shape {a.shape}")
    y = where(np.zeros(a.shape, bool), a, np.eye(a.shape[-1], dtype=a.dtype)) if n == 0 else None
    while n:
        if n % 2:
            y = a if y is None else y @ a
        a, n = a @ a if n > 1 else a, n // 2
    return y


# --- decompositions -------------------------------------------------------------------------------------------------


def _cholesky_rule(g: Any, L: Any, a: Any) -> Any:
    # Murray 2016 ("Differentiation of the Cholesky decomposition"), eq. (10): the symmetric part of L⁻ᵀ Φ(Lᵀ g) L⁻¹,
    # where Φ keeps the lower triangle and half of the diagonal
    n = L.shape[-1]
    phi = (_t(L) @ g) * (np.tri(n) - 0.5 * np.eye(n)).astype(L.dtype)
    return _symmetric(_solve(_t(L), _t(_solve(_t(L), _t(phi)))))


_cholesky = primitive(lambda a: np.linalg.cholesky(kernels.symmetric(a)), _cholesky_rule, name="cholesky")


@of_one
def cholesky(a: Any, *, upper: bool = False) -> Any:
    """The lower triangular L with a = L Lᵀ, or with `upper` its transpose; a is positive definite, of two equal halves.

    It is computed from (a + aᵀ)/2, and its gradient is symmetric. Raises LinAlgError if a is not positive definite.

    >>> mg.linalg.cholesky(mg.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    L = _cholesky(a)
    return _t(L) if upper else L


def _qr_joined(a: Any) -> Any:
    q, r = np.linalg.qr(a)
    return np.concatenate([q, r], axis=-2)


def _qr_rule(g: Any, y: Any, a: Any) -> Any:
    # Walter & Lehmann 2010 ("On evaluating higher-order derivatives of the QR decomposition of tall matrices ..."):
    # (g_Q + Q (tril M + strict tril Mᵀ)) R⁻ᵀ with M = R g_Rᵀ - g_Qᵀ Q, whose
    # lower triangle reads g_R's upper one alone
    m = a.shape[-2]
    q, r, gq, gr = y[..., :m, :], y[..., m:, :], g[..., :m, :], g[..., m:, :]
    M = r @ _t(gr) - _t(gq) @ q
    return _t(_solve(r, _t(gq + q @ (tril(M) + _t(tril(M, -1))))))


_qr = primitive(_qr_joined, _qr_rule, name="qr")  # Q above R, one array


@overload
def qr(a: Variable, mode: Literal["reduced"] = "reduced") -> QR: ...
@overload
def qr(a: Variable, mode: Literal["r"]) -> Tensor: ...
@overload
def qr(a: Any, mode: str = "reduced") -> Any: ...
def qr(a: Any, mode: str = "reduced") -> Any:
    """(Q, R) with a = Q R, orthonormal columns in Q and an upper triangular R; a (..., m, n) of full rank.

    Args:
        a: of any m and n; its first min(m, n) columns must be independent, else the derivative raises LinAlgError.
        mode: "reduced" gives Q (..., m, k) and R (..., k, n) with k = min(m, n), "r" gives R alone.

    >>> Q, R = mg.linalg.qr(mg.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> np.allclose(Q @ R, [[3.0, 1.0], [4.0, 2.0]])
    True
    """
    if mode not in ("reduced", "r"):
        raise ValueError(f'qr: mode must be "reduced" or "r", got {mode!r}; others are not unique')
    a = array(a)
    m, n = a.shape[-2:]
    joined = _qr(a if m >= n else a[..., :m])
    q, r = joined[..., :m, :], joined[..., m:, :]
    if m < n:  # the further columns of R are Qᵀ a
        r = concatenate([r, _t(q) @ a[..., m:]], -1)
    return r if mode == "r" else _QR(q, r)


def _eigh_joined(a: Any) -> Any:
    w, v = np.linalg.eigh(kernels.symmetric(a))
    return np.concatenate([w[..., None], v], axis=-1)


def _eigh_rule(g: Any, y: Any, a: Any) -> Any:
    # V (diag g_w + (Vᵀ g_V) / (w_j - w_i)) Vᵀ, the quotient off the diagonal alone; symmetric, as a is
    w, v, gw, gv = y[..., 0], y[..., 1:], g[..., 0], g[..., 1:]
    diagonal = np.eye(a.shape[-1], dtype=bool)
    gap = where(diagonal, 1.0, distinct(expand_dims(w, -2) - expand_dims(w, -1), expand_dims(w, -2)))
    inner = where(diagonal, expand_dims(gw, -2), _ratio(_t(v) @ gv, gap))
    return _symmetric(v @ inner @ _t(v))


_eigh = primitive(_eigh_joined, _eigh_rule, name="eigh")  # w, then the columns of V, one array


@overload
def eigh(a: Variable) -> Eigh: ...
@overload
def eigh(a: Any) -> Any: ...
def eigh(a: Any) -> Any:
    """(w, V): a symmetric a's eigenvalues in ascending order and, as columns, its eigenvectors: a V = V diag(w).

    It is computed from (a + aᵀ)/2, and its gradient is symmetric. Eigenvectors have no derivative where an eigenvalue
    is repeated: infinite or NaN, with NumPy's warning. What is computed from them must not depend on their signs.

    >>> mg.linalg.eigh(mg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    joined = _eigh(a)
    return _Eigh(joined[..., 0], joined[..., 1:])


def _eigvalsh_rule(g: Any, w: Any, a: Any) -> Any:
    v = _eigh(a)[..., 1:]
    return (v * expand_dims(g, -2)) @ _t(v)  # V diag(g) Vᵀ


eigvalsh = primitive(
    lambda a: np.linalg.eigvalsh(kernels.symmetric(a)),
    _eigvalsh_rule,
    name="eigvalsh",
    doc="A symmetric matrix's eigenvalues w in ascending order: slopes v vᵀ, and higher ones where w is not repeated.",
)


# --- norms, and what the last two axes give -------------------------------------------------------------------------


@of_one
def diagonal(a: Any, *, offset: int = 0) -> Any:
    """The diagonals a[..., i, i + offset].

    >>> mg.linalg.diagonal(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    """
    return _diagonal(a, offset, -2, -1)


@of_one
def trace(a: Any, *, offset: int = 0) -> Any:
    """Σ a[..., i, i + offset].

    >>> mg.linalg.trace(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return products.trace(a, offset, -2, -1)


@of_one
def norm(x: Any, ord: Any = None, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """The norm of the vectors along one `axis`, or of the matrices on two; of x itself if that is None.

    Args:
        x: any shape; with an `ord` and no `axis`, a vector or a matrix.
        ord: None for √Σx². Of vectors: p for (Σ|x|^p)^(1/p); inf, -inf for the largest and least |x|; 0 for how many
            are not 0, a plain array. Of matrices: "fro" for √Σx²; "nuc" for the sum of the singular values, 2, -2 for
            the largest and least of them; 1, -1 for the largest and least column sum of |x|, inf, -inf of its rows.

    Kinks: subgradient 0 at 0, ties of largest and least share the gradient; singular values as in `svdvals`.

    Raises:
        ValueError: for another `ord`, or another number of axes.

    >>> mg.linalg.norm(mg.tensor([3.0, -4.0])), mg.linalg.norm(mg.tensor([3.0, -4.0]), 1)
    (tensor(5.), tensor(7.))
    """
    x, ord = array(x), plain_number("norm", "ord", ord, "mg.sum(mg.abs(x) ** p) ** (1 / p)")
    x, places = x if x.dtype.kind == "f" else astype(x, float), axes_in("norm", axis, x.ndim)
    if ord is None and (axis is None or places):
        return _euclidean(x, axis=places, keepdims=keepdims)
    if len(places) not in (1, 2):
        raise ValueError(f"norm: ord={ord!r} needs vectors or matrices, one axis or two, got axis={axis} of {x.shape}")
    y = _vector_norm(x, ord, places[0]) if len(places) == 1 else _matrix_norm(x, ord, *places)
    return y if keepdims else squeeze(y, axis=places)


def _vector_norm(x: Any, ord: Any, axis: int) -> Any:
    if ord in (math.inf, -math.inf):
        return (max if ord > 0 else min)(absolute(x), axis=axis, keepdims=True)
    if isinstance(ord, str):
        raise ValueError(f"norm: ord={ord!r} is a norm of matrices, x has one axis here")
    if ord == 0:
        return sum(astype(not_equal(x, 0), x.dtype), axis=axis, keepdims=True)
    if ord == 1:
        return sum(absolute(x), axis=axis, keepdims=True)
    if ord == 2:
        return _euclidean(x, axis=axis, keepdims=True)
    return sum(absolute(x) ** ord, axis=axis, keepdims=True) ** (1 / ord)


def _matrix_norm(x: Any, ord: Any, row: int, column: int) -> Any:
    if ord == "fro":
        return _euclidean(x, axis=(row, column), keepdims=True)
    if ord in (1, -1, math.inf, -math.inf):
        along, over = (row, column) if abs(ord) == 1 else (column, row)
        return (max if ord > 0 else min)(sum(absolute(x), axis=along, keepdims=True), axis=over, keepdims=True)
    if ord not in ("nuc", 2, -2):
        raise ValueError(f"norm: of matrices ord must be None, 1, -1, 2, -2, inf, -inf, 'fro' or 'nuc', got {ord!r}")
    s = svdvals(moveaxis(x, (row, column), (-2, -1)))
    y = sum(s, axis=-1) if ord == "nuc" else getitem(s, (..., 0 if ord == 2 else -1))
    return reshape(y, tuple([1 if k in (row, column) else n for k, n in enumerate(x.shape)]))


@of_one
def vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """`norm` of vectors; along several axes, or all if `axis` is None, of their flattened entries.

    >>> mg.linalg.vector_norm(mg.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    x = array(x)
    places = axes_in("vector_norm", axis, x.ndim)
    kept = [n for k, n in enumerate(x.shape) if k not in places]
    rows = moveaxis(x, places, tuple(range(-len(places), 0)))
    y = norm(reshape(rows, (*kept, math.prod(x.shape[k] for k in places))), ord, -1)
    return reshape(y, tuple([1 if k in places else n for k, n in enumerate(x.shape)])) if keepdims else y


@of_one
def matrix_norm(x: Any, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """`norm` of the matrices on the last two axes.

    >>> mg.linalg.matrix_norm(mg.tensor([[3.0, 0.0], [0.0, 4.0]]), ord=1)
    tensor(4.)
    """
    return norm(x, ord, (-2, -1), keepdims)
