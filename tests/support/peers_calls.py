"""Functions that JAX and PyTorch have too: `(name, call, inputs)`, where `call(m, *xs)` takes its functions from m.

m is minigrad, or what `jax_names` and `torch_names` return: their functions under minigrad's names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy_calls import BATCH, A, B, P, V

CALLS: list[tuple[str, Callable[..., Any], tuple[np.ndarray, ...]]] = []
IMAGE, WIDE = np.tanh(B), 3 * B  # within (-1, 1), and beyond the kinks of activations


def _(names: str, *inputs: np.ndarray, after: tuple[Any, ...] = ()) -> None:
    """The same call of several functions, with further arguments `after` the inputs."""
    for name in names.split():
        CALLS.append((name, lambda m, *xs, name=name: _found(m, name)(*xs, *after), inputs))


def _found(m: Any, name: str) -> Any:
    for part in name.split("."):
        m = getattr(m, part)
    return m


_("exp expm1 sin cos tan tanh square abs sinh cosh arcsinh arctan exp2 sinc deg2rad sigmoid softplus erf erfc", B)
_("log log1p log2 log10 sqrt reciprocal", P)
_("arcsin arccos arctanh", IMAGE)
_("arccosh", P + 1)
_("relu silu gelu elu leaky_relu hardtanh hardsigmoid log_sigmoid", WIDE)
_("arctan2 hypot logaddexp logaddexp2 maximum minimum fmax fmin add subtract multiply divide", B, P[0])
_("power", P, B[0])
_("remainder", B, P[0])
_("sum mean prod cumsum cumprod logsumexp softmax log_softmax max min flip", B, after=(1,))
_("matmul", B, B[0].T + 1)
_("kron outer vdot", V, V + 1)
_("trace ravel", A)
_("roll", B, after=(2, 1))
_("tile", B, after=((2, 1, 1),))
_("clip", B, after=(-0.5, 0.7))
_("tril triu diag", A)
for matrices in (A, BATCH):
    _("linalg.inv linalg.det linalg.svdvals linalg.matrix_norm", matrices)
    _("linalg.matrix_power", matrices, after=(3,))
    _("linalg.solve", matrices, A)
CALLS += [
    ("slogdet", lambda m, x: m.linalg.slogdet(x)[1], (BATCH,)),
    ("cholesky", lambda m, x: m.linalg.cholesky(x @ m.swapaxes(x, -1, -2)), (BATCH,)),
    ("eigvalsh", lambda m, x: m.linalg.eigvalsh(x @ m.swapaxes(x, -1, -2)), (BATCH,)),
    ("einsum", lambda m, x, y: m.einsum("bij,kj->bki", x, y), (B, B[0] + 1)),
    ("where", lambda m, x: m.where(x > 0.1, x * x, m.sin(x)), (B,)),
    ("stack", lambda m, x, y: m.stack([x, y * x, y], 1), (B, P)),
    ("concatenate", lambda m, x, y: m.concatenate([x, y * x], 1), (B, P)),
    ("indices", lambda m, x: x[[0, 1, 1], :, 2] * x[1, 0, 0], (B,)),
    ("a cell", lambda m, x, h, W: m.tanh(h @ W + x) * m.sigmoid(x - h), (A, A.T, A + 1)),
]  # fmt: skip


class Names:
    """The functions of several modules, the first that has one, some under another name."""

    def __init__(self, *modules: Any, linalg: Any, **aliases: Any) -> None:
        self.modules, self.linalg, self.aliases = modules, linalg, aliases

    def __getattr__(self, name: str) -> Any:
        name = self.aliases.get(name, name)
        if callable(name):
            return name
        return next(getattr(module, name) for module in self.modules if hasattr(module, name))


def jax_names() -> Names:
    """JAX's functions, in float64."""
    import jax

    jax.config.update("jax_enable_x64", True)
    rooms = jax.numpy, jax.nn, jax.scipy.special
    exact = lambda x: jax.nn.gelu(x, approximate=False)
    return Names(*rooms, linalg=jax.numpy.linalg, hardtanh="hard_tanh", hardsigmoid="hard_sigmoid", gelu=exact)


def torch_names() -> Names:
    """PyTorch's functions."""
    import torch
    from torch.nn import functional

    names = {"max": "amax", "min": "amin", "log_sigmoid": "logsigmoid", "power": "pow", "repeat": "repeat_interleave"}
    return Names(torch, functional, torch.special, linalg=torch.linalg, flip=lambda x, k: torch.flip(x, [k]), **names)
