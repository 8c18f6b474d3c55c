"""Activations beyond `ops`: the error function, and what modern networks put between their layers.

Read `lambda g, y, x: ...` as "given g = dL/dy, y and x, this is dL/dx".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import error_function
from .composed import of_one
from .ops import clip, exp, greater, sigmoid, softplus, square, where
from .primitive import primitive
from .rearrange import array

__all__ = ["elu", "erf", "erfc", "gelu", "hardsigmoid", "hardtanh", "leaky_relu", "log_sigmoid", "silu"]

erf = primitive(
    error_function.erf,
    lambda g, y, x: g * (2 / math.sqrt(math.pi) * exp(-square(x))),
    doc="2/√π ∫ e^(-t²) dt from 0 to x.",
)
erfc = primitive(
    error_function.erfc,
    lambda g, y, x: g * (-2 / math.sqrt(math.pi) * exp(-square(x))),
    doc="1 - erf(x), accurate where that is tiny.",
)
elu = primitive(
    lambda x, alpha=1.0: np.where(np.greater(x, 0), x, alpha * np.expm1(np.minimum(x, 0.0))),
    lambda g, y, x, alpha=1.0: g * where(greater(x, 0), 1.0, alpha * exp(where(greater(x, 0), 0.0, x))),
    name="elu",
    doc="x for x > 0, else α (e^x - 1): slope α at 0. Clevert, Unterthiner & Hochreiter 2016, eq. (15).",
)


@of_one
def gelu(x: Any, approximate: str = "none") -> Any:
    """x Φ(x), with the normal distribution's Φ(x) = erfc(-x/√2)/2.

    Args:
        x: any shape.
        approximate: "tanh" for x (1 + tanh u)/2 = x σ(2u) with u = √(2/π) (x + 0.044715 x³), which is up to 5e-4 off.

    Raises:
        ValueError: if `approximate` is something else.

    Source: Hendrycks & Gimpel 2016, section 2.

    >>> mg.gelu(mg.tensor([0.0, 1.0])), mg.gelu(mg.tensor([0.0, 1.0]), "tanh")
    (tensor([0.        , 0.84134475]), tensor([0.        , 0.84119199]))
    """
    x = array(x)
    if approximate == "tanh":
        return x * sigmoid(math.sqrt(8 / math.pi) * (x * (1 + 0.044715 * square(x))))
    if approximate != "none":
        raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    return x * (0.5 * erfc(x * -math.sqrt(0.5)))


@of_one
def silu(x: Any) -> Any:
    """x σ(x), also called swish. Hendrycks & Gimpel 2016, section 2.

    >>> mg.silu(mg.tensor([0.0, 1.0]))
    tensor([0.        , 0.73105858])
    """
    return x * sigmoid(x)


@of_one
def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x for x > 0, else `slope` x: that slope at 0 too. Maas, Hannun & Ng 2013, eq. (2).

    >>> mg.leaky_relu(mg.tensor([-1.0, 2.0]))
    tensor([-0.01,  2.  ])
    """
    x = array(x)
    return where(greater(x, 0), x, slope * x)


@of_one
def hardtanh(x: Any, low: float = -1.0, high: float = 1.0) -> Any:
    """x kept within [low, high]: gradient 1 inside and on the bounds, 0 outside.

    >>> mg.hardtanh(mg.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    return clip(x, low=low, high=high)


@of_one
def hardsigmoid(x: Any) -> Any:
    """x/6 + 1/2 kept within [0, 1]: gradient 1/6 where |x| <= 3, else 0.

    >>> mg.hardsigmoid(mg.tensor([-3.0, 0.0, 6.0]))
    tensor([0. , 0.5, 1. ])
    """
    return clip(array(x) / 6 + 0.5, low=0.0, high=1.0)


@of_one
def log_sigmoid(x: Any) -> Any:
    """log σ(x) = -log(1 + e^-x), which is about x, not -∞, for very negative x.

    >>> mg.log_sigmoid(mg.tensor([-1000.0, 0.0]))
    tensor([-1.00000000e+03, -6.93147181e-01])
    """
    return -softplus(-array(x))
