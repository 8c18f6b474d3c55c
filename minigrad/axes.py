"""Axes and counts: integers, or else an error that names the function and the argument."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .interpretation import watched
from .messages import describe
from .record import Variable


def integer(name: str, argument: str, value: Any) -> int:
    """An argument that is one integer, for a 0-d array or Tensor the int that it holds now; TypeError if it is none."""
    if isinstance(value, Variable) and value._array.dtype.kind in "iu" and not value._array.ndim:
        return int(value)  # type: ignore[call-overload, no-any-return]
    try:
        return operator.index(watched(value))
    except TypeError:
        raise TypeError(f"{name}: {argument} must be an integer, got {value!r}") from None


def plain_number(name: str, argument: str, value: Any, differentiable: str) -> Any:
    """An argument that decides what is computed; TypeError for a Tensor, whose gradient would be lost or in part."""
    if isinstance(value, Variable):
        raise TypeError(
            f"{name}: {argument} must be a number, got a Tensor, {describe(value)}; write {differentiable} for a "
            f"gradient of p, or give {argument}=p.item()"
        )
    return watched(value)


def sequence(name: str, arrays: Any) -> tuple[Any, ...]:
    """Several arrays as a tuple; TypeError, with the function's name, for what is no sequence."""
    try:
        return tuple(arrays)
    except TypeError:
        raise TypeError(
            f"{name}: takes a sequence of arrays, got {describe(arrays)}; write mg.{name}([x, y])"
        ) from None


def axis_in(name: str, axis: Any, ndim: int) -> int:
    """The axis counted from the front; raises AxisError, with the function's name, if there is no such axis."""
    if isinstance(axis, (bool, np.bool_)) or not hasattr(axis, "__index__") or np.ndim(axis):
        raise TypeError(f"{name}: an axis is an integer, got {axis!r}")
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"{name}: there is no axis {axis} in an array of {ndim} axes")
    return int(watched(axis)) % ndim


def axes_in(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes, one or several or (None) all, counted from the front; raises ValueError if one is named twice."""
    axis = watched(axis)
    axes = range(ndim) if axis is None else axis if isinstance(axis, Sequence) else (axis,)
    places = tuple([axis_in(name, k, ndim) for k in axes])
    if len(set(places)) < len(places):
        raise ValueError(f"{name}: axis={axis!r} names an axis twice")
    return places
