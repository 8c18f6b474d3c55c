"""Functions that are composed of primitives: what a type checker knows of their results, as it does of primitives'.

Each mark says which inputs make the result a Tensor if they are Tensors; the function itself stays as it is. To a type
checker, these inputs are given by position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    from .typed import GradientOf, JacobianOf, OfEach, OfOne, OfSequence, OfTwo, ValueAndGradientOf


def of_one(function: Callable[Concatenate[Any, P], Any]) -> OfOne[P]:
    """A Tensor comes out if the first input is one."""
    return function


def of_two(function: Callable[Concatenate[Any, Any, P], Any]) -> OfTwo[P]:
    """A Tensor comes out if one of the first two inputs is one."""
    return function


def of_sequence(function: Callable[Concatenate[Any, P], Any]) -> OfSequence[P]:
    """A Tensor comes out if the first input is a sequence of them."""
    return function


def of_each(function: Callable[..., Any]) -> OfEach:
    """A Tensor comes out of one Tensor; of several inputs a tuple."""
    return function


def gradient_of(transform: Callable[..., Any]) -> GradientOf:
    """A function of the same arguments comes out, whose result is a Tensor where the first argument is no tree."""
    return transform


def value_and_gradient_of(transform: Callable[..., Any]) -> ValueAndGradientOf:
    """As `gradient_of`, of a pair: the value is a Tensor."""
    return transform


def jacobian_of(transform: Callable[..., Any]) -> JacobianOf:
    """A function of the same arguments comes out, whose result is like the arguments and the function's result."""
    return transform
