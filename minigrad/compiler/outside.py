"""Random numbers: what a compiled function draws anew at each call."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..modes import recording
from ..primitive import primitive
from .table import compile_as


def _drawn(method: Any, *args: Any, **static: Any) -> Any:
    owner = recording()
    if owner not in (True, False) and isinstance(generator := getattr(method, "__self__", None), np.random.Generator):
        owner.drawn_from(generator)  # a checkpoint, which will draw the same again
    return method(*args, **static)


#: `sample(generator.standard_normal, shape)`: random numbers, which a compiled function draws anew at each call.
sample = primitive(
    _drawn,
    name="sample",
    doc="""The numbers that `method(*args)` draws, a method of a NumPy generator; compiled, it draws anew in each call.

    >>> mg.sample(np.random.default_rng(0).random, (2,)).shape
    (2,)
    """,
)
compile_as(sample, pure=False)
