"""Python's operators on Tensors: each is the primitive that stands for it in the table."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from . import ops
from .record import Variable

if TYPE_CHECKING:
    from .tensor import Tensor

R = TypeVar("R")


class method(Generic[R]):
    """A primitive, or another function of the table, as a method of Tensor: `t.tanh()` is `tanh(t)`."""

    def __init__(self, primitive: Callable[..., R]) -> None:
        self.primitive = primitive

    def __get__(self, instance: Any, owner: Any = None) -> Callable[..., R]:
        return self.primitive if instance is None else MethodType(self.primitive, instance)


class Operators(Variable):
    """What `x + y`, `x @ y`, `-x`, `x < y` and the like mean; `Tensor` is this with methods."""

    __slots__ = ()

    def __add__(self, y: Any) -> Tensor:
        return ops.add(self, y)

    def __radd__(self, y: Any) -> Tensor:
        return ops.add(y, self)

    def __sub__(self, y: Any) -> Tensor:
        return ops.subtract(self, y)

    def __rsub__(self, y: Any) -> Tensor:
        return ops.subtract(y, self)

    def __mul__(self, y: Any) -> Tensor:
        return ops.multiply(self, y)

    def __rmul__(self, y: Any) -> Tensor:
        return ops.multiply(y, self)

    def __truediv__(self, y: Any) -> Tensor:
        return ops.divide(self, y)

    def __rtruediv__(self, y: Any) -> Tensor:
        return ops.divide(y, self)

    def __pow__(self, y: Any) -> Tensor:
        return ops.power(self, y)

    def __rpow__(self, y: Any) -> Tensor:
        return ops.power(y, self)

    def __matmul__(self, y: Any) -> Tensor:
        return ops.matmul(self, y)

    def __rmatmul__(self, y: Any) -> Tensor:
        return ops.matmul(y, self)

    def __floordiv__(self, y: Any) -> np.ndarray:
        return ops.floor_divide(self, y)

    def __rfloordiv__(self, y: Any) -> np.ndarray:
        return ops.floor_divide(y, self)

    def __mod__(self, y: Any) -> Tensor:
        return ops.remainder(self, y)

    def __rmod__(self, y: Any) -> Tensor:
        return ops.remainder(y, self)

    def __eq__(self, y: object) -> np.ndarray:  # type: ignore[override]
        return ops.equal(self, y)

    def __ne__(self, y: object) -> np.ndarray:  # type: ignore[override]
        return ops.not_equal(self, y)

    def _in_place(self, y: Any) -> Any:
        if self.node is not None and self.node.primitive is None:
            raise TypeError(
                "a tensor with requires_grad=True cannot be changed by +=, -=, *=, /= and the like; "
                "write `w.data = w.data - step` to change it; `w = w - step` is a new tensor, a result, which collects "
                "no .grad"
            )
        return NotImplemented  # a += b then means a = a + b

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = __imatmul__ = _in_place
    __ifloordiv__ = __imod__ = _in_place

    __neg__ = method(ops.negative)
    __pos__ = method(ops.positive)
    __abs__ = method(ops.absolute)
    __lt__ = method(ops.less)
    __le__ = method(ops.less_equal)
    __gt__ = method(ops.greater)
    __ge__ = method(ops.greater_equal)
