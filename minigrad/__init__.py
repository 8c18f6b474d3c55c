"""minigrad: reverse-mode automatic differentiation of NumPy programs, small enough to read.

    >>> import minigrad as mg
    >>> mg.grad(lambda x: x * x + mg.sin(x))(0.0)
    tensor(1.)

Where to read: `primitive` (what is recorded), `ops` and `shapes` (the table of derivatives; its further pages are
`elementwise`, `rearrange`, `reductions`, `products`, `activations`, `linalg`), `accumulate` (how cotangents are
summed), `backward` (the walk), `tensor` and `operators`, `values` (what Python sees of a Tensor), `transforms` (grad
and its relatives), `derivation` (what these differentiate), `signatures` and `messages` (refusals), `checkpoint` (less
memory for one more forward pass), `generators` (random numbers that are drawn again), `interpretation` (what `compile`
is to the engine), `compiler` (a record that is kept and replayed), `inspect` (`tape` and `explain`: a record that is
looked at).
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import activations, elementwise, linalg, ops, products, rearrange, reductions, shapes
from .activations import *
from .checkpoint import checkpoint
from .details import detailed, label, record_details, scope, steps
from .einsum import einsum
from .elementwise import *
from .interpretation import watched
from .memory import keep_freed_memory
from .modes import detect_anomaly, enable_grad, no_compile, no_grad
from .ops import *
from .ops import absolute as abs
from .primitive import Primitive, primitive
from .products import *
from .rearrange import *
from .record import At, Product
from .reductions import *
from .shapes import *
from .tap import tap, with_gradient
from .tensor import Tensor, as_tensor, tensor
from .tree import tree_leaves, tree_map
from .words import unknown

if TYPE_CHECKING:
    from . import compiler as compiler
    from . import inspect as inspect
    from .compiler.function import compile
    from .compiler.instruction import Value
    from .compiler.outside import sample
    from .compiler.table import compile_as
    from .compiler.traced import Traced, traced
    from .inspect import explain, tape
    from .transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__version__ = "0.1.0"

__all__ = [
    "At", "Primitive", "Product", "Tensor", "Traced", "Value", "abs", "as_tensor", "checkpoint", "compile",
    "compile_as", "detailed", "detect_anomaly", "einsum", "enable_grad", "explain", "grad", "hessian", "hvp",
    "jacobian", "jvp", "keep_freed_memory", "label", "linalg", "no_compile", "no_grad", "primitive", "record_details",
    "sample", "scope", "steps", "tap", "tape", "tensor", "traced", "tree_leaves", "tree_map", "value_and_grad", "vjp",
    "watched", "with_gradient",
]  # fmt: skip
for _part in (ops, shapes, elementwise, rearrange, reductions, products, activations):
    __all__ += _part.__all__


#: What takes long to import and is not always needed, with the module that has it: imported when it is asked for.
_LATER = {
    "compile": "compiler.function", "compile_as": "compiler.table", "sample": "compiler.outside",
    "Value": "compiler.instruction", "Traced": "compiler.traced",
    "traced": "compiler.traced", "explain": "inspect", "tape": "inspect", "inspect": "", "compiler": "",
    **dict.fromkeys(("grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"), "transforms"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise unknown("minigrad", name, sys.modules[__name__])
    module = _LATER[name]
    found = getattr(import_module(f"{__name__}.{module}"), name) if module else import_module(f"{__name__}.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
