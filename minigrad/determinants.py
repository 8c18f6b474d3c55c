"""Inverse and determinant, a page of the table: `linalg` hands these on.

The slopes of a determinant are its cofactors, |a| a⁻ᵀ where a is regular. They exist where a is singular as well, and
are taken from the singular values: with a = U diag(s) Vᵀ they are |U||V| U diag(Π_{k≠i} s_k) Vᵀ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .ops import sum
from .primitive import primitive
from .record import Variable
from .shapes import expand_dims, swapaxes

if TYPE_CHECKING:
    from .typed import Slogdet

__all__ = ["det", "inv", "slogdet"]

_Slogdet: Any = type(np.linalg.slogdet(np.eye(1)))  # NumPy's own, a tuple with names


def _t(a: Any) -> Any:
    return swapaxes(a, -1, -2)


inv = primitive(
    np.linalg.inv,
    lambda g, y, a: -_t(y) @ g @ _t(y),
    doc="a⁻¹. Raises LinAlgError if a is singular.",
)


def _inverse(a: Any, singular: str) -> Any:
    """a⁻¹ for a derivative, with what to say if a is singular."""
    try:
        return inv(a)
    except np.linalg.LinAlgError as error:
        raise np.linalg.LinAlgError(f"{singular}; {error}") from None


# --- determinant ----------------------------------------------------------------------------------------------------


def _cofactors_of(a: Any) -> Any:
    sign, u, s, vt = _bases(a)
    return sign * ((u * _without_one(s)[..., None, :]) @ vt)


def _minors_of(h: Any, a: Any) -> Any:
    # Σ_ij h_ij ∂c_ij/∂a of the cofactors c: at diag(s) + E, to first order, c_ii has Σ_j E_jj Π_{k≠i,j} s_k more, and
    # c_ij is -E_ji Π_{k≠i,j} s_k
    sign, u, s, vt = _bases(a)
    inner, products = np.swapaxes(u, -1, -2) @ h @ np.swapaxes(vt, -1, -2), _without_two(s)
    diagonal = products @ np.diagonal(inner, axis1=-2, axis2=-1)[..., None]
    slope = np.eye(s.shape[-1], dtype=s.dtype) * diagonal - np.swapaxes(products * inner, -1, -2)
    return sign * (u @ slope @ vt)


def _bases(a: Any) -> tuple[Any, Any, Any, Any]:
    """|U||V|, U, s and Vᵀ; s is NaN where an entry is not finite, for which LAPACK's search may never end."""
    finite = np.isfinite(a).all(axis=(-2, -1))
    u, s, vt = np.linalg.svd(np.where(finite[..., None, None], a, 0))
    s = np.where(finite[..., None], s, np.nan)
    return np.sign(np.linalg.det(u) * np.linalg.det(vt))[..., None, None], u, s, vt


def _without_one(s: Any) -> Any:
    """Π_{k≠i} s_k for each i: what comes before i, times what comes behind it."""
    ones = np.ones_like(s[..., :1])
    before, behind = (np.cumprod(np.concatenate([ones, part], -1), -1) for part in (s[..., :-1], s[..., :0:-1]))
    return before * behind[..., ::-1]


def _without_two(s: Any) -> Any:
    """Π_{k≠i,j} s_k for each i and j, 0 where these are the same."""
    products = np.zeros((*s.shape, s.shape[-1]), s.dtype)
    for i in range(s.shape[-1]):
        others = s.copy()
        others[..., i] = 1
        products[..., i, :] = _without_one(others)
        products[..., i, i] = 0
    return products


def _inner(x: Any, y: Any) -> Any:
    return sum(x * y, axis=(-2, -1), keepdims=True)


def _minors_rule(g: Any, y: Any, h: Any, a: Any) -> Any:
    # where a is regular, y = |a| (<b, h> b - b hᵀ b) with b = a⁻ᵀ
    b = _t(_inverse(a, "the third derivative of det is there for regular matrices only"))
    p, q, H, G = _inner(b, h), _inner(b, g), b @ _t(h) @ b, b @ _t(g) @ b
    return expand_dims(det(a), (-2, -1)) * ((p * q - _inner(H, g)) * b - q * H - p * G + H @ _t(g) @ b + G @ _t(h) @ b)


_minors: Any = primitive(_minors_of, lambda g, y, h, a: _minors(g, a), _minors_rule, name="minors")
_cofactors = primitive(_cofactors_of, lambda g, y, a: _minors(g, a), name="cofactors")
det = primitive(np.linalg.det, lambda g, y, a: expand_dims(g, (-2, -1)) * _cofactors(a), doc="The determinant |a|.")


def _logabsdet_rule(g: Any, y: Any, a: Any) -> Any:
    singular = "log|a| is -inf at a singular matrix, and has no derivative there; mg.linalg.det has one"
    return expand_dims(g, (-2, -1)) * _t(_inverse(a, singular))


_logabsdet = primitive(lambda a: np.linalg.slogdet(a)[1], _logabsdet_rule, name="logabsdet")
_signdet = primitive(lambda a: np.linalg.slogdet(a)[0], name="signdet", piecewise_constant=True)


@overload
def slogdet(a: Variable) -> Slogdet: ...
@overload
def slogdet(a: Any) -> Any: ...
def slogdet(a: Any) -> Any:
    """(sign, logabsdet) with |a| = sign e^logabsdet, which overflows where |a| would; the sign is a plain array.

    The derivative of logabsdet, a⁻ᵀ, raises LinAlgError where a is singular: logabsdet is -inf there. That of `det`
    exists.

    >>> mg.linalg.slogdet(mg.tensor([[2.0, 0.0], [0.0, -0.5]])).logabsdet
    tensor(0.)
    """
    return _Slogdet(_signdet(a), _logabsdet(a))
