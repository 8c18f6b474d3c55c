"""`traced`: what a function calls, as a list that others can read, to write the function in another language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..interpretation import interpreting
from ..messages import check_callable
from ..primitive import Primitive
from ..record import Variable
from ..tree import tree_leaves, tree_map
from .instruction import Value, as_text
from .passes import without_dead_code
from .trace import Trace


class TracedCall(NamedTuple):
    """out = primitive(*inputs, **static), with Values in place of arrays; `reads` are these in order."""

    primitive: Primitive
    inputs: tuple[Any, ...]
    static: dict[str, Any]
    out: Value
    reads: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.out!r} = {as_text(self.primitive.name, self.inputs, self.static)}"


class Traced(NamedTuple):
    """Calls of primitives in their order, see `traced`.

    `arguments` are the Values of the arrays among the arguments, `results` is the function's result with Values in
    place of Tensors. A Value knows its `shape` and `dtype`; its `source` is a Tensor that the function closes over, the
    number of an argument, or None.

    >>> import minigrad as mg
    >>> [call.primitive.name for call in mg.traced(lambda x: mg.tanh(x) + x, np.ones(3)).calls]
    ['tanh', 'add']
    """

    arguments: list[Value]
    calls: list[TracedCall]
    results: Any

    def __str__(self) -> str:
        leaves = {v: None for call in self.calls for v in call.reads if isinstance(v.source, Variable)}
        lines = [f"{value!r} = argument {k}" for k, value in enumerate(self.arguments)]
        lines += [f"{value!r} = a tensor from outside" for value in leaves]
        return "\n".join([*lines, *map(str, self.calls), f"return {self.results!r}"])


def traced(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Traced:
    """The calls of primitives by which `function` makes its result from these arguments: what `compile` starts from.

    Arrays and Tensors among the arguments stand for any others of their shapes and dtypes. Calls that no result needs
    are left out, but for those that do more than compute, as draws of random numbers.

    Raises:
        TypeError: for `float(t)`, `if t:`, `t.data`, random numbers that are not drawn by `sample`, and what else would
            make a value a constant.

    >>> import minigrad as mg
    >>> print(mg.traced(lambda x: mg.tanh(x * 2.0), np.ones(3)))
    v0:f64[3] = argument 0
    v1:f64[3] = multiply(v0:f64[3], 2.0)
    v2:f64[3] = tanh(v1:f64[3])
    return v2:f64[3]
    """
    trace, around = Trace(), interpreting()
    if isinstance(around, Trace):  # whose Tensors may be read, and looked at by those whose results have no outline
        trace.arrays.update(around.arrays)
    try:
        _, stand_ins, returned = trace.run(check_callable("traced", function), args, kwargs)
        arguments = [trace.value_of(x) for x in stand_ins]
        results = tree_map(lambda x: trace.value_of(x) if isinstance(x, Variable) else x, returned)
    finally:
        trace.forget()
    kept = [x for x in tree_leaves(results) if type(x) is Value]
    calls = []
    for kind, reads, out in without_dead_code(trace.instructions, trace.kinds, kept).rows():
        inputs, static = kind.called_with(reads)
        calls.append(TracedCall(kind.primitive, tuple(inputs), static, out, tuple(reads)))
    return Traced(arguments, calls, results)
