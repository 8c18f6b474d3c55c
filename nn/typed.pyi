# What a type checker knows of modules; nothing here is for a program that runs.

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeVar, overload

from minigrad import Tensor

F = TypeVar("F", covariant=True)

class Forward(Protocol[F]):
    @property
    def forward(self) -> F: ...

class Run(Protocol):
    @overload
    def __call__(
        self, xs: Any, state: Sequence[Any] | None = None, lengths: Any = None, return_states: Literal[False] = False
    ) -> tuple[Tensor, tuple[Any, ...]]: ...
    @overload
    def __call__(
        self, xs: Any, state: Sequence[Any] | None = None, lengths: Any = None, *, return_states: Literal[True]
    ) -> tuple[Tensor, tuple[Any, ...], tuple[Any, ...]]: ...
    @overload
    def __call__(
        self, xs: Any, state: Sequence[Any] | None = None, lengths: Any = None, return_states: bool = False
    ) -> Any: ...
