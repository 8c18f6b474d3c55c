# What a type checker knows of primitives; there is nothing here for a program that runs.
#
# A result is a Tensor if one of the first three inputs is one, and an array if none is. Without rules it is always an
# array. The names in these signatures are not to be used by name.

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, overload

import numpy as np

from .primitive import Primitive
from .record import Variable
from .tensor import Tensor

Numbers = np.ndarray | np.generic | float | Sequence[Any]
Other = slice | type | np.dtype | EllipsisType | None

class Differentiable(Primitive):
    @overload
    def __call__(self, x: Variable, /, *inputs: Any, **static: Any) -> Tensor: ...
    @overload
    def __call__(self, x: Any, y: Variable, /, *inputs: Any, **static: Any) -> Tensor: ...
    @overload
    def __call__(self, x: Any, y: Any, z: Variable, /, *inputs: Any, **static: Any) -> Tensor: ...
    @overload
    def __call__(self, x: Numbers, /, *inputs: Numbers | Other, **static: Any) -> np.ndarray: ...

class Plain(Primitive):
    def __call__(self, *inputs: Any, **static: Any) -> np.ndarray: ...
