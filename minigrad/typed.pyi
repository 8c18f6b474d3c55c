# What a type checker knows of primitives, and of functions composed of them; nothing here is for a program that runs.
#
# A primitive's result is a Tensor if one of the first three inputs is one, and an array if none is. Without rules it is
# always an array. What is known of a composed function, its mark in composed.py says. Inputs are not given by name.

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, Concatenate, NamedTuple, Protocol, overload

import numpy as np

from .argnums import Argnums
from .composed import P
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

class OfOne(Protocol[P]):
    @overload
    def __call__(self, x: Variable, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...

class OfTwo(Protocol[P]):
    @overload
    def __call__(self, x: Variable, y: Any, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: Any, y: Variable, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: Any, y: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...

class OfSequence(Protocol[P]):
    @overload
    def __call__(self, xs: Sequence[Variable], /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, xs: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...

class OfEach(Protocol):
    @overload
    def __call__(self, x: Variable, /) -> Tensor: ...
    @overload
    def __call__(self, x: Variable, y: Variable, /, *xs: Variable) -> tuple[Tensor, ...]: ...
    @overload
    def __call__(self, *xs: Any) -> Any: ...

class Eigh(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor

class QR(NamedTuple):
    Q: Tensor
    R: Tensor

class Slogdet(NamedTuple):
    sign: np.ndarray
    logabsdet: Tensor

# The gradient with respect to the first argument is a Tensor unless that is a tree, and then a tree like it.

Leaf = Variable | np.ndarray | np.generic | float

class Gradient(Protocol[P]):
    @overload
    def __call__(self, x: Leaf, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...

class ValueAndGradient(Protocol[P]):
    @overload
    def __call__(self, x: Leaf, /, *args: P.args, **kwargs: P.kwargs) -> tuple[Tensor, Tensor]: ...
    @overload
    def __call__(self, x: Any, /, *args: P.args, **kwargs: P.kwargs) -> tuple[Tensor, Any]: ...

# The last overload is for a lambda within a further call, whose arguments mypy cannot infer.

class GradientOf(Protocol):
    @overload
    def __call__(self, f: Callable[Concatenate[Any, P], Any]) -> Gradient[P]: ...
    @overload
    def __call__(self, f: Callable[P, Any], argnums: Argnums) -> Callable[P, Any]: ...
    @overload
    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]: ...  # type: ignore[overload-cannot-match]

class ValueAndGradientOf(Protocol):
    @overload
    def __call__(self, f: Callable[Concatenate[Any, P], Any]) -> ValueAndGradient[P]: ...
    @overload
    def __call__(
        self, f: Callable[P, Any], argnums: Argnums = ..., *, has_aux: bool
    ) -> Callable[P, tuple[Any, Any]]: ...
    @overload
    def __call__(
        self, f: Callable[P, Any], argnums: Argnums, has_aux: bool = False
    ) -> Callable[P, tuple[Any, Any]]: ...
    @overload
    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]: ...  # type: ignore[overload-cannot-match]

class JacobianOf(Protocol):
    def __call__(self, f: Callable[P, Any], argnums: Argnums = 0) -> Callable[P, Any]: ...
