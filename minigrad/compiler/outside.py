"""What a compiled function reads from outside of itself at each call: random numbers, and Python values on request."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..interpretation import interpreted
from ..modes import recording
from ..primitive import primitive
from .table import compile_as


@interpreted
def watched(owner: Any, name: str) -> Any:
    """`owner.name`, a Python value that a function depends on: if it changes, a compiled function is traced again.

    For values such as a module's `training`, which a compiled function otherwise takes as it was when it was traced.

    >>> class Scale:
    ...     factor = 2.0
    >>> own = Scale()
    >>> f = mg.compile(lambda x: x * mg.watched(own, "factor"))
    >>> y = f(np.float64(1.0))
    >>> own.factor = 3.0
    >>> y, f(np.float64(1.0))
    (array(2.), array(3.))
    """
    return getattr(owner, name)


def _drawn(method: Any, *args: Any, **static: Any) -> Any:
    owner = recording()
    if owner not in (True, False) and isinstance(generator := getattr(method, "__self__", None), np.random.Generator):
        owner.drawn_from(generator)  # a checkpoint, which will draw the same again
    return method(*args, **static)


#: `sample(generator.standard_normal, shape)`: random numbers, which a compiled function draws anew at each call.
sample = primitive(
    _drawn,
    name="sample",
    doc="""method(*args), numbers from a `numpy.random.Generator`'s method; a compiled function draws anew at each call.

    >>> import numpy as np
    >>> sample(np.random.default_rng(0).random, (2,)).shape
    (2,)
    """,
)
compile_as(sample, pure=False)
