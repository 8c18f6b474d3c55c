"""`tape` and `explain`: of tensors that have a record, or of a function, which then runs with all details recorded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..details import NOWHERE, attach, record_details
from ..modes import enable_grad
from ..record import Node, Variable
from ..tensor import Tensor
from ..tree import flatten, tree_leaves
from .entries import Tape
from .explanation import Explanation


def outputs_of(what: str, y: Any) -> list[Variable]:
    """The tensors in a tree that have a record.

    Raises:
        TypeError: if there is anything else.
        RuntimeError: if none of them, or one that stands alone, has a record.
    """
    leaves = tree_leaves(y)
    for x in leaves:
        if not isinstance(x, Variable):
            raise TypeError(f"{what}: expected a Tensor, a tree of them, or a function and its arguments, "
                            f"got {type(x).__name__}")  # fmt: skip
    found = [x for x in leaves if x.node is not None]
    if not found:
        raise RuntimeError(
            f"{what}: there is no record: the result does not depend on any tensor with requires_grad=True, or was "
            "computed under no_grad or by mg.grad"
        )
    return found


def tape_of(what: str, f: Callable[..., Any], args: tuple[Any, ...]) -> Tape:
    """f(*args) as a record with all details, and the tape of its result.

    Arrays and floats among the arguments, and tensors without requires_grad, become tensors with a gradient.
    """
    leaves, rebuild = flatten(args)
    fresh = [_differentiable(x) for x in leaves]
    inputs = rebuild(fresh)
    with enable_grad(), record_details():
        for name, x in _arguments(f, inputs):
            attach(x, name, NOWHERE)
        result = f(*inputs)
    if not any([isinstance(x, Variable) and x.node is not None for x in tree_leaves(result)]):
        raise RuntimeError(
            f"{what}: the result of the function has no record: it depends on no tensor with requires_grad=True. "
            "Floats and arrays of floats among the arguments become such tensors, integers do not: write 1.0 for 1; "
            "inside of the function float(t), t.data and mg.no_grad end the record"
        )
    made = Tape(outputs_of(what, [x for x in tree_leaves(result) if isinstance(x, Variable)]))
    made.aliases = {id(old): (old, new.node) for old, new in zip(leaves, fresh) if new is not old}
    return made


def _arguments(f: Callable[..., Any], args: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """The arguments by f's names for them."""
    try:
        signature = inspect.signature(f)
        bound = signature.bind(*args).arguments
    except (TypeError, ValueError):  # a wrong call is f's to complain of; some functions have no signature
        return []
    found = []
    for name, x in bound.items():
        several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        found += [(f"{name}.{k}", part) for k, part in enumerate(x)] if several else [(name, x)]
    return found


def _differentiable(x: Any) -> Any:
    if isinstance(x, Variable):
        return x if x.node is not None or x._array.dtype.kind != "f" else type(x)(x, requires_grad=True)  # type: ignore[call-arg]
    if isinstance(x, float) or (isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f"):
        return Tensor(x, requires_grad=True)
    return x


def tape(y: Any, *args: Any, names: Mapping[str, Any] | None = None) -> Tape:
    """The record that leads to y, oldest first: a sequence of entries, which prints as a table.

    `print(tape)` has one line an entry, `%7 (2, 3) = tanh(%6)`, with its value and line of source. `tape[7]` and
    `tape[x]` are entries, `tape.find(path=, step=, name=)` those of a module, a time step or a primitive;
    `tape.draw(file)`, `tape.to_dot()`, `tape.to_mermaid()` draw it, `tape.page(file)` writes a page to step through.

    Args:
        y: a Tensor, or a tuple, list or dict of them. Or a function, which is called with `args`, as by `mg.grad`:
            floats and arrays become tensors with a gradient. It runs under `record_details`, so all lines and values
            are there; parts under `checkpoint` are recorded whole, compiled functions run as plain Python.
        names: what leaves are called: `dict(net.named_parameters())`, `{"x": x}`. A function's arguments have names.

    Raises:
        TypeError: if y is something else.
        RuntimeError: if there is no record.

    >>> import minigrad as mg
    >>> t = mg.tape(lambda x: x * mg.tanh(x), 0.5)
    >>> t[1].name, t[1].inputs, t[2].inputs
    ('tanh', (0,), (0, 1))
    """
    if callable(y):
        made = tape_of("tape", y, args)
    else:
        if args:
            raise TypeError(f"tape: got a {type(y).__name__} and {len(args)} arguments; arguments go with a function")
        made = Tape(outputs_of("tape", y))
    made.names = _named("tape", names)
    return made


def _named(what: str, names: Mapping[str, Any] | None) -> dict[Node, tuple[str, ...]]:
    for name, x in (names or {}).items():
        if not isinstance(x, Variable):
            raise TypeError(f"{what}: names must be of tensors, {name!r} is of a {type(x).__name__}")
    return {x.node: (str(name),) for name, x in (names or {}).items() if x.node is not None}


def explain(y: Any, *args: Any, g: Any = None, names: Mapping[str, Any] | None = None) -> Explanation:
    """The backward pass of y, step by step, without touching any `.grad`.

    `print(explanation)` shows each step: what arrived at an entry and from where, its rule as it stands in the source,
    what it gave to which input. The gradient at every time step of any recurrent net is one line:

        mg.explain(f, xs).gradients["cells.0"]      # dL/dh_t of an nn.RNN for all t, (T, B, H)
        mg.explain(f, xs).norms["cells.0"]          # their sizes, (T,): where does the gradient vanish?
        mg.explain(f, xs).first_non_finite          # where did the NaN begin?

    with f = lambda xs: loss(net(xs)). `.gradients` finds that of every entry, Tensor, name and module as well.

    Args:
        y, args: as for `tape`. What is closed over gets its gradients too; `checkpoint` and `compile` are no obstacle
            to a function. Of a Tensor, names and time steps are known if it was made in `record_details`.
        g: the cotangent of y, of its shape (for several, a list of them); 1 by default, for a number. After a Tensor
            it may stand without its name.
        names: as for `tape`.

    Raises:
        RuntimeError: if there is no record, or data were replaced since.
        ValueError: if g is missing for a result of several entries, or has another shape.

    >>> import minigrad as mg
    >>> e = mg.explain(lambda x: x * mg.tanh(x), 0.5)
    >>> print(e.step(1).rules[0].text)
    g * (1 - y * y)
    >>> round(float(e.gradients["x"]), 4)
    0.8553
    """
    if callable(y):
        made = tape_of("explain", y, args)
    else:
        if len(args) > 1 or (args and g is not None):
            raise TypeError(f"explain: a {type(y).__name__} takes one cotangent g; arguments go with a function")
        made, g = Tape(outputs_of("explain", y)), args[0] if args else g
    made.names = _named("explain", names)
    return Explanation(made, g)
