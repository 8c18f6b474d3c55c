"""Calls of NumPy's functions that mean the same with minigrad in NumPy's place: `(name, call, inputs)`.

`call(np, *arrays)`, `call(mg, *tensors)` and `call(np, *tensors)` agree, and are differentiated in all their inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

CALLS: list[tuple[str, Callable[..., Any], tuple[np.ndarray, ...]]] = []
R = np.random.default_rng(0)
V, A, B = R.standard_normal(5), R.standard_normal((3, 3)), R.standard_normal((2, 3, 4))
P = np.abs(B) + 0.3  # positive
BATCH = np.stack([A + 2 * np.eye(3), A.T - 2 * np.eye(3)])


def _(name: str, call: Callable[..., Any], *inputs: np.ndarray) -> None:
    room, function = (np.linalg, name.removeprefix("linalg.")) if name.startswith("linalg.") else (np, name)
    if hasattr(room, function.split()[0]):  # matvec, vecmat and unstack are newer than NumPy 2.0
        CALLS.append((name, call, inputs))


def _named(name: str) -> Callable[[Any], Any]:
    """The function of this name, which may be dotted, in a module."""
    parts = name.split(".")
    return lambda m: getattr(getattr(m, parts[0]), parts[1]) if len(parts) > 1 else getattr(m, name)


def each(names: str, *inputs: np.ndarray, **static: Any) -> None:
    """The same call of several functions."""
    for name in names.split():
        found = _named(name)
        _(name, lambda m, *xs, found=found: found(m)(*xs, **static), *inputs)


def several(name: str, arguments: list[Any], *inputs: np.ndarray) -> None:
    """Calls with other arguments: a tuple of those by position, or a dict of those by name."""
    found = _named(name)
    for a in arguments:
        if isinstance(a, dict):
            _(f"{name} {a}", lambda m, *xs, a=a: found(m)(*xs, **a), *inputs)
        else:
            _(f"{name} {a}", lambda m, *xs, a=a: found(m)(*xs, *a), *inputs)


# --- elementwise ----------------------------------------------------------------------------------------------------

each("tan sinh cosh arctan arcsinh cbrt exp2 sinc deg2rad rad2deg nan_to_num", B)
each("log2 log10 reciprocal", P)
each("arcsin arccos arctanh", np.tanh(B))
each("arccosh", P + 1)
each("arctan2 hypot logaddexp logaddexp2 fmax fmin", B, R.standard_normal((3, 1)))
_("copysign", lambda m, x: m.copysign(x, -1.0), B)
_("copysign", lambda m, x: m.copysign(x, x[::-1]), B)

# --- shapes and parts -----------------------------------------------------------------------------------------------

several("roll", [(1,), (-5,), {"shift": 1, "axis": 1}, ((1, 2), (0, -1))], B)
several("rot90", [(), (-1, (2, 1)), {"k": 2, "axes": (0, 2)}], B)
several("ravel", [()], B)
several("array_split", [(3, 2), ([1, 3], -1), (5, 2)], B)
several("unstack", [(), {"axis": -1}], B)
for k in (-3, -1, 0, 1, 5):
    several("diagonal", [(k, 1, 2), {"offset": k, "axis1": 2, "axis2": 0}], B)
    several("trace", [(k, 0, 1)], B)
    several("diag", [(k,), {"k": k}], V)
    several("diag", [(k,)], B[0])
    several("linalg.diagonal", [{"offset": k}], B)
    several("linalg.trace", [{"offset": k}], B)
for x in (np.array(2.0), V, A, B):
    each("atleast_1d atleast_2d atleast_3d", x)
each("atleast_1d atleast_2d atleast_3d", V, np.array(3.0))
for x in (V, A, B):
    for name in ("vstack", "hstack", "dstack", "column_stack"):
        _(name, lambda m, x, name=name: getattr(m, name)([x, 2 * x]), x)
_("hstack", lambda m, x: m.hstack([x[0], x[1], 3.0]), V)
_("append", lambda m, x: m.append(x, x * x, axis=1), B)
_("append", lambda m, x: m.append(x, 2.0), B)
several("repeat", [(2,), (0, 1), (3, 1), ([2], -1), {"repeats": [1, 0, 2], "axis": 1}], B)
several("tile", [(2,), ((2, 1),), ((2, 1, 1, 2),), ((),), (0,)], B)
several("sort", [(), (0,), (None,), {"axis": 1, "kind": "stable"}], B)
several("partition", [(1,), (0, 0), (3, None)], B)
several(
    "take_along_axis",
    [(np.array([[[0], [1], [1]]]), 2), (np.array([[[0, -1, 1, 1]]]), 1), (np.array([0, 0, 7]), None)],
    B,
)
_("select", lambda m, x: m.select([B > 1, B > 0], [x, x * x], -1.0), B)
_("select", lambda m, x: m.select([B > 1], [x]), B)

# --- reductions -----------------------------------------------------------------------------------------------------

each("prod std nansum nanmean ptp median average", B)
for axis in (0, -1, (0, -1)):
    each("prod std nansum nanmean ptp median average", B, axis=axis)
    each("prod std nansum nanmean ptp median average", B, axis=axis, keepdims=True)
several("std", [{"ddof": 1, "axis": 1}], B)
several("cumprod", [(), (0,), {"axis": -1}], B)
_("average", lambda m, x, w: m.average(x, weights=w), B, P)
_("average", lambda m, x, w: m.average(x, 1, w), B, P[0, :, 0])
_("average", lambda m, x, w: m.average(x, (2, 0), w), B, np.ascontiguousarray(P[:, 0, :].T))
_("average", lambda m, x, w: m.average(x, 1, w, returned=True), B, P[0, :, 0])
_("average", lambda m, x: m.average(x, 1, returned=True), B)
several("diff", [(), (2, 0), {"axis": 1, "prepend": 0.5}, {"append": 1.0}, (9,)], B)
several("trapezoid", [(), {"dx": 0.3, "axis": 0}], B)
_("trapezoid", lambda m, y, x: m.trapezoid(y, x, axis=1), B, P[0, :, 0])
_("trapezoid", lambda m, y, x: m.trapezoid(y, x, axis=0), B, P)

# --- products -------------------------------------------------------------------------------------------------------

for a, b in [(V, V + 1), (A, A.T + 1), (B, np.swapaxes(B, 1, 2) + 1), (B, V[:4]), (V[:3], A)]:
    each("dot", a, b)
_("dot", lambda m, x: m.dot(x, 3.0), B)
_("inner", lambda m, x: m.inner(2.0, x), B)
for a, b in [(V, V + 1), (B, B[0] + 1)]:
    each("inner", a, b)
each("vdot", B, B.reshape(4, 6) + 1)
each("outer kron", A, V)
each("kron", A, B)
several("tensordot", [()], B, R.standard_normal((3, 4, 2)))
several("tensordot", [(0,)], A, V)
several("tensordot", [{"axes": ([0, 2], [1, -1])}], B, R.standard_normal((3, 2, 4)))
several("tensordot", [(1,)], np.zeros((2, 0)), np.zeros((0, 3)))
each("vecdot", B, B[0] + 1)
several("vecdot", [{"axis": 0}], A, A.T)
each("matvec", B, B[:, 0] + 1)
each("vecmat", V[:3], B)
for mode in ("full", "same", "valid"):
    for n, m in [(5, 2), (2, 5), (5, 3), (4, 4), (1, 3)]:
        several("convolve", [(mode,)], R.standard_normal(n), R.standard_normal(m))

# --- linear algebra -------------------------------------------------------------------------------------------------

T = lambda m, x: m.swapaxes(x, -1, -2)
for a in (A, BATCH):
    each("linalg.inv linalg.det linalg.qr linalg.svdvals linalg.matrix_transpose linalg.matrix_norm", a)
    several("linalg.qr", [("r",)], a)
    for name in ("cholesky", "eigh", "eigvalsh"):
        _(f"linalg.{name}", lambda m, x, name=name: getattr(m.linalg, name)(x @ T(m, x)), a)
    _("linalg.cholesky", lambda m, x: m.linalg.cholesky(x @ T(m, x), upper=True), a)
    _("linalg.slogdet", lambda m, x: m.linalg.slogdet(x).logabsdet, a)
    _("linalg.solve", lambda m, a, b: m.linalg.solve(a, b), a, V[:3])
    _("linalg.solve", lambda m, a, b: m.linalg.solve(a, b), a, R.standard_normal((2, 3, 2)))
    several("linalg.matrix_power", [(n,) for n in (-2, 0, 1, 2, 5)], a)
each("linalg.qr linalg.svdvals", R.standard_normal((2, 4, 2)) + np.eye(4, 2))
each("linalg.qr linalg.svdvals", R.standard_normal((2, 2, 4)) + np.eye(2, 4))
each("linalg.matmul linalg.tensordot linalg.vecdot", A, A.T + 1)
each("linalg.outer", V, V[:2])
for ord_ in (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
    several("linalg.norm", [(ord_,)], A)
    several("linalg.norm", [(ord_, (2, 0)), {"ord": ord_, "axis": (1, 2), "keepdims": True}], B)
several("linalg.matrix_norm", [{"ord": 1}, {"ord": 2, "keepdims": True}], B)
for ord_ in (None, 1, 2, 3, -1, 0.5, math.inf, -math.inf):
    several("linalg.norm", [(ord_,)], V)
    several("linalg.norm", [(ord_, 1), {"ord": ord_, "axis": -1, "keepdims": True}], B)
several("linalg.norm", [()], B)
several("linalg.vector_norm", [(), {"axis": (0, 2), "ord": 3, "keepdims": True}, {"axis": 1, "ord": 1}], B)
