"""Which primitive, or other function of ours, serves a function of NumPy's when that is called on a Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: For universal functions; the first primitive that was declared for one.
by_ufunc: dict[np.ufunc, Any] = {}
#: For NumPy's other functions, likewise.
by_function: dict[Any, Callable[..., Any]] = {}


def serve(function: Any, primitive: Any) -> None:
    """Have the primitive serve its function's own name, if that is one of NumPy's."""
    if isinstance(function, np.ufunc):
        by_ufunc.setdefault(function, primitive)
    elif isinstance(function, type(np.sum)):  # what NumPy offers to `__array_function__`
        by_function.setdefault(function, primitive)
