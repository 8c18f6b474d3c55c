"""What the constructors of layers and cells are given, held against what their signatures say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

import numpy as np

import minigrad as mg

SIZES = {"I", "O", "H", "V"}
RANGED = {"eps", "p"}
LOOKED_AT = {"padding_idx", "groups"}  # by the layers themselves, which know what they depend on


def is_whole(n: Any) -> bool:
    """Whether n is an integer, and no truth value."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)


def is_real(x: Any) -> bool:
    """Whether x is one real number, or NaN."""
    if type(x) in (int, float):
        return True
    return not isinstance(x, mg.Tensor) and np.ndim(x) == 0 and np.asarray(x).dtype.kind in "iuf"


def is_number(x: Any) -> bool:
    """Whether x is one real number, and not NaN."""
    return is_real(x) and not math.isnan(x)


def is_flag(x: Any) -> bool:
    """Whether x is True or False."""
    return isinstance(x, (bool, np.bool_))


def _is_count(n: Any) -> bool:
    return is_whole(n) or (isinstance(n, np.ndarray) and n.ndim == 0 and n.dtype.kind in "iu")


def _is_floating(dtype: Any) -> bool:
    try:
        return bool(np.dtype(dtype).kind == "f")
    except TypeError:
        return False


def _is_rng(rng: Any) -> bool:
    try:
        np.random.default_rng(rng)
    except (TypeError, ValueError):
        return False
    return True


#: What an annotation asks for, and how that is called.
WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_is_count, "an integer"),
    "float": (is_number, "a number"),
    "bool": (is_flag, "True or False"),
    "npt.DTypeLike": (_is_floating, "a floating-point dtype, as np.float32"),
    "init.Rng": (_is_rng, "a numpy.random.Generator, a seed or None"),
}


def check_constructed(
    module_class: type, parameters: Mapping[str, Parameter], args: tuple[Any, ...], keywords: Mapping[str, Any]
) -> None:
    """Raise TypeError or ValueError, with the argument's name, for what the constructor's annotations do not allow."""
    places = [name for name, p in parameters.items() if p.kind is Parameter.POSITIONAL_OR_KEYWORD][1:]  # without self
    for name, value in [*zip(places, args), *keywords.items()]:
        annotation = str(parameters[name].annotation) if name in parameters else ""
        if value is None and (annotation.endswith("| None") or "Rng" in annotation):
            continue
        allowed, what = WANTED.get(annotation.removesuffix(" | None"), (None, ""))
        within_range = name in RANGED and isinstance(value, float)  # or not, NaN neither: the layer tells
        if allowed is not None and not within_range and name not in LOOKED_AT and not allowed(value):
            raise TypeError(f"{module_class.__name__}: {name} must be {what}, got {value!r}")
        if name in SIZES and annotation == "int" and value < 1:
            raise ValueError(f"{module_class.__name__}: {name} must be at least 1, got {value}")
