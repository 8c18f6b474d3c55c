"""The methods of a Tensor: each is the function of its name, with the tensor as the first argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Never

import numpy as np
import numpy.typing as npt

from . import ops, products, rearrange, reductions, shapes
from .messages import not_taken
from .operators import method
from .record import Variable

if TYPE_CHECKING:
    from .tensor import Tensor


def _tensors(*functions: Callable[..., Any]) -> list[method[Tensor]]:
    return [method(f) for f in functions]


class Methods(Variable):
    """What `t.tanh()`, `t.sum(axis=0)`, `t.T` and the like mean; `Tensor` is this with operators, and its record."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the entries."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._array.size

    @property
    def T(self) -> Tensor:
        """The axes reversed."""
        return shapes.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return shapes.swapaxes(self, -1, -2)

    exp, expm1, log, log1p = _tensors(ops.exp, ops.expm1, ops.log, ops.log1p)
    sin, cos, tanh, sigmoid = _tensors(ops.sin, ops.cos, ops.tanh, ops.sigmoid)
    relu, softplus, sqrt, square = _tensors(ops.relu, ops.softplus, ops.sqrt, ops.square)
    abs, clip, sum, mean, var = _tensors(ops.absolute, ops.clip, ops.sum, ops.mean, ops.var)
    max, min, cumsum, logsumexp = _tensors(ops.max, ops.min, ops.cumsum, ops.logsumexp)
    softmax, log_softmax = _tensors(ops.softmax, ops.log_softmax)
    swapaxes, squeeze = _tensors(shapes.swapaxes, shapes.squeeze)
    prod, cumprod, std = _tensors(reductions.prod, reductions.cumprod, reductions.std)
    dot, trace = _tensors(products.dot, products.trace)
    ravel, flatten, repeat = _tensors(rearrange.ravel, rearrange.ravel, rearrange.repeat)
    sort, partition, diagonal = _tensors(rearrange.sort, rearrange.partition, rearrange.diagonal)
    argmax, argmin, argsort, argpartition = map(method, (ops.argmax, ops.argmin, ops.argsort, rearrange.argpartition))

    def reshape(self, *shape: Any, **unknown: Never) -> Tensor:
        """The same entries in another shape: `t.reshape(2, 3)` or `t.reshape((2, 3))`; one size may be -1."""
        if unknown:
            raise not_taken("reshape", unknown, ())
        return shapes.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order: `t.transpose(1, 0)` or `t.transpose((1, 0))`; reversed by default."""
        return shapes.transpose(self, *(axes if len(axes) < 2 else (axes,)))

    def astype(self, dtype: npt.DTypeLike, **unknown: Never) -> Tensor:
        """The same values in another dtype; a dtype without fractions ends the record."""
        if unknown:
            raise not_taken("astype", unknown, ("dtype",))
        if np.dtype(dtype).kind not in "fiub":
            raise TypeError(f"astype: a Tensor holds real numbers or booleans, not {np.dtype(dtype)}")
        return shapes.astype(self, np.dtype(dtype))

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        """The slices at integer `indices` along `axis`; see `minigrad.take`."""
        return shapes.take(self, indices, axis)
