"""Functions of Tensors as problems of plain arrays: the record of a run is what gives their derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..backward import lineage, walk, walk_arrays
from ..details import record_details
from ..lending import InPlaceError
from ..modes import enable_grad, no_grad, recording
from ..pullback import pull
from ..record import Node, Variable
from ..tensor import Tensor
from ..transforms import vjp
from ..tree import flatten, tree_leaves
from .problem import Arrays, GradientError, Map, nothing_in

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

TensorFunction = Callable[..., Any]


def floating_parts(tree: Any) -> list[Tensor]:
    """The leaves of a result that can have a derivative, as Tensors; indices, masks and text are left out."""
    return [
        part if isinstance(part, Tensor) else Tensor(part)
        for part in tree_leaves(tree)
        if isinstance(part, (Variable, np.ndarray, np.floating, float)) and dtype_of(part).kind == "f"
    ]


def dtype_of(x: Any) -> np.dtype:
    """The dtype of a Tensor, an array or a number; object for anything else."""
    own = getattr(x, "dtype", None)
    return own if isinstance(own, np.dtype) else np.asarray(x).dtype


def holds_numbers(x: Any, depth: int = 2) -> bool:
    """Whether floating-point arrays are inside of an object that is no tree; a function's or a module's are its own."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return any(isinstance(entry, (float, complex)) or holds_numbers(entry, depth - 1) for entry in x.flat)
    if isinstance(x, (np.ndarray, np.generic, Variable)):
        return dtype_of(x).kind in "fc"
    if callable(x) or not depth:
        return False
    slots = [getattr(x, name, None) for name in getattr(x, "__slots__", ())]
    parts = [*x.values()] if isinstance(x, Mapping) else [*x] if isinstance(x, Set) else []
    leaves = tree_leaves([*getattr(x, "__dict__", {}).values(), *slots, *parts])
    return any(holds_numbers(leaf, depth - 1) for leaf in leaves)


def kind_of(x: Any) -> str:
    """What an object that is no tree is called in messages."""
    arrays = {"O": "an array of objects", "c": "a complex array"}
    return arrays[x.dtype.kind] if isinstance(x, np.ndarray) else f"a {type(x).__name__}"


def recorded() -> AbstractContextManager[None]:
    """A block that keeps a record: none at all where one is kept anyway, as in any block a primitive takes longer."""
    return nullcontext() if recording() else enable_grad()


def tensor_map(f: TensorFunction) -> Map:
    """f, a function of Tensors, as a function of arrays with a pullback.

    Raises (where it is called):
        TypeError: if the result holds no floating-point Tensor.
    """

    def called(tensors: list[Tensor]) -> Any:
        try:
            return f(*tensors)
        except InPlaceError as error:
            raise GradientError(str(error)) from error

    closes_over = False  # other tensors that require gradients, so that there is a record

    def value(xs: Arrays) -> Arrays:
        nonlocal closes_over
        with no_grad() if closes_over else nullcontext():  # in which each call of a primitive takes longer
            result = called([Tensor._sharing(x) for x in xs])
        leaves = tree_leaves(result)
        found = [y for y in leaves if isinstance(y, Variable) and y._array.dtype.kind == "f"]
        closes_over |= any([y.node is not None for y in found])
        if len(found) == len(leaves) > 0:
            return [y._array for y in found]
        if not found:
            wanted = "a floating-point Tensor or a tree that holds one"
            if any([np.asarray(y).dtype.kind == "f" for y in leaves]):
                raise nothing_in(
                    result,
                    wanted,
                    "is a `return` missing? Plain numbers have no record: write mg.sin(x), not math.sin(x) or "
                    "np.sin(x.data), or call check_vjp for a function of arrays",
                )
            raise nothing_in(result, wanted)
        for y in leaves:
            if not isinstance(y, Variable) and dtype_of(y).kind not in "fiub" and holds_numbers(y):
                raise TypeError(
                    f"the function returned {kind_of(y)} that holds floating-point numbers, whose derivative would not "
                    "be compared; return a Tensor, or a tuple, list or dict of Tensors"
                )
        return [y._array for y in floating_parts(result)]

    def linearize(xs: Arrays) -> Callable[[Arrays], Arrays]:
        leaves = [Tensor._sharing(x, requires_grad=True) for x in xs]
        with recorded():
            outputs = floating_parts(called(leaves))

        return _pullback(outputs, leaves)

    return Map(value, linearize, finer=functools.partial(_finer, f), runs=True)


def _pullback(outputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> Callable[[Arrays], Arrays]:
    pull_back = _pulling(outputs, leaves)

    def pullback(gs: Arrays) -> Arrays:
        before = [y._array.tobytes() for y in outputs]
        found = pull_back(gs)
        for k, y in enumerate(outputs):
            if y._array.tobytes() != before[k]:
                raise GradientError(f"computing the derivative changed output {k} in place; make a new array")
        return found

    return pullback


def _finer(f: TensorFunction, xs: Arrays) -> Arrays:
    """f of long doubles: what it records for these numbers as float64, computed once more."""
    leaves = [Tensor._sharing(x.astype(np.float64), requires_grad=True) for x in xs]
    with enable_grad(), record_details():  # which keeps every operand
        outputs = floating_parts(f(*leaves))
    found: dict[Node | None, np.ndarray] = {leaf.node: x for leaf, x in zip(leaves, xs)}
    for node in reversed(lineage([y.node for y in outputs if y.node is not None])[0]):
        if node.primitive is not None:
            given = [found.get(source, x) for source, x in zip(node.inputs, node.operands)]
            try:
                result = node.primitive.function(*given, **node.static)
            except TypeError:  # LAPACK takes no long double
                given = [x.astype(np.float64) if getattr(x, "dtype", None) == np.longdouble else x for x in given]
                result = node.primitive.function(*given, **node.static)
            found[node] = np.asarray(result, np.longdouble)
    return [found.get(y.node, y._array.astype(np.longdouble)) for y in outputs]


def pulled(outputs: Sequence[Tensor], cotangents: Sequence[np.ndarray], leaves: Sequence[Tensor]) -> Arrays:
    """The cotangents of `leaves` as arrays, zeros where nothing arrived.

    Raises:
        GradientError: if the walk back fails, as for a rule that returns a wrong shape.
    """
    return _pulling(outputs, leaves)(cotangents)


def _pulling(outputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> Callable[[Sequence[np.ndarray]], Arrays]:
    """`pulled` for any cotangents, what lies between being looked up once."""
    made = [(k, y.node) for k, y in enumerate(outputs) if y.node is not None]
    nodes, ends = [node for _, node in made], {x.node for x in leaves if x.node is not None}
    within, foreign = lineage(nodes, ends)

    def run(cotangents: Sequence[np.ndarray]) -> Arrays:
        try:
            if foreign:  # the results have a derivative
                totals = pull(outputs, cotangents, leaves)
            else:
                found = walk_arrays(nodes, [cotangents[k] for k, _ in made], ends, within)
                totals = [None if x.node is None else found.get(x.node) for x in leaves]
        except (ValueError, TypeError, IndexError, RuntimeError, ArithmeticError) as error:
            raise GradientError(f"the derivative cannot be computed: {type(error).__name__}: {error}") from error
        return [
            np.zeros_like(x._array) if g is None else g._array if isinstance(g, Variable) else g
            for g, x in zip(totals, leaves)
        ]

    return run


def slope(f: TensorFunction, us: Sequence[Any]) -> TensorFunction:
    """The function (x...) -> ∂/∂x Σ u f(x) for fixed cotangents u; its derivative is the next order's."""
    return lambda *xs: list(pullback_of(f, xs, us))


def slope_map(f: TensorFunction, us: Sequence[np.ndarray]) -> Map:
    """`tensor_map(slope(f, us))`, but without the transform, which takes twice as long.

    For its values the rules get arrays. What the transform refuses, as a number taken out of a Tensor, it refuses
    once: the derivative is its own until it has given one.
    """
    whole = tensor_map(slope(f, us))
    accepted = False

    def run(xs: Arrays) -> tuple[list[Tensor], list[Tensor]]:
        leaves = [Tensor._sharing(x, requires_grad=True) for x in xs]
        with recorded():
            outputs = floating_parts(f(*leaves))
        if [y.shape for y in outputs] != [u.shape for u in us]:
            raise ValueError("the results have other shapes here")
        return leaves, outputs

    def value(xs: Arrays) -> Arrays:
        leaves, outputs = run(xs)
        return pulled(outputs, [u.astype(y.dtype) for u, y in zip(us, outputs)], leaves)

    def linearize(xs: Arrays) -> Callable[[Arrays], Arrays]:
        nonlocal accepted
        if not accepted:
            pullback, accepted = whole.linearize(xs), True
            return pullback
        leaves, outputs = run(xs)
        ends = {x.node for x in leaves if x.node is not None}
        pairs = [(y.node, Tensor(u, y.dtype)) for u, y in zip(us, outputs) if y.node is not None]
        nodes = [node for node, _ in pairs]
        with recorded():
            found = walk(nodes, [g for _, g in pairs], True, ends, lineage(nodes, ends)[0])
        slopes = [found[x.node] if x.node in found else Tensor(np.zeros_like(x._array)) for x in leaves]
        return _pullback(slopes, leaves)

    return whole._replace(value=value, linearize=linearize)


def pullback_of(f: TensorFunction, xs: Sequence[Any], us: Sequence[Any]) -> tuple[Any, ...]:
    """The cotangents of xs, recorded wherever xs or us are."""
    return vjp(lambda *ts: floating_parts(f(*ts)), *xs)[1](list(us))


def paths(tree: Any) -> list[str]:
    """For each leaf of a tree, in order, how to reach it: `[0]['w']`."""
    leaves, rebuild = flatten(tree)
    found = [""] * len(leaves)

    def visit(part: Any, path: str) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                visit(value, f"{path}[{key!r}]")
        elif isinstance(part, (tuple, list)):
            for k, value in enumerate(part):
                visit(value, f"{path}.{part._fields[k]}" if hasattr(part, "_fields") else f"{path}[{k}]")
        else:
            found[part] = path

    visit(rebuild(list(range(len(leaves)))), "")
    return found
