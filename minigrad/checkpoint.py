"""checkpoint: drop the record of a part of a computation, and make it anew when the walk back arrives there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backward import lineage, walk
from .composed import P, R
from .derivation import Derivation, being_differentiated, looked_at
from .details import detailed, remark
from .generators import States, reached
from .interpretation import interpreted
from .keeping import frozen
from .messages import check_callable, defined, describe, told
from .modes import dropped_record, enable_grad, no_grad, recording
from .ops import positive
from .primitive import primitive
from .record import Node, Variable, clock
from .shapes import astype, getitem, reshape
from .tensor import Tensor
from .tree import entries_of, flatten

# what a result may be besides Tensors: what holds none of them
_RESULTS = (Variable, np.ndarray, np.generic, np.dtype, int, float, complex, str, bytes, slice, range, type(None))
_OPEN: Any = object()  # in a tree: here stands a tensor that needs a gradient


def _no_gradient(g: Any, y: Any) -> Any:
    error = RuntimeError(
        f"checkpoint: a tensor that the function kept, when it ran again for its derivative, has no gradient for its "
        f"argument of shape {y.shape}; have the function return it, or use what it kept in the first call"
    )
    raise told(error)


class _Part:
    """A function, the arguments of one call, and which tensors its results were made from."""

    gone = primitive(lambda: None, joint=_no_gradient, name="checkpoint")  # of which its second run's arguments are

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], generators: Sequence[Any]) -> None:
        self.f = f
        self.generators = States(generators)  # that it draws from, as they were before
        leaves, self.rebuild = flatten(args)
        self.leaves = [
            _OPEN if _differentiable(x) else x if isinstance(x, Variable) else frozen(x, "checkpoint") for x in leaves
        ]
        self.inputs = [x for x in leaves if _differentiable(x)]
        results, start, fresh = self.run()
        self.keep(results, start, fresh)
        for t, x in zip(fresh, self.inputs):  # for tensors that the function kept elsewhere than in its results
            t.node.primitive, t.node.inputs, t.node.operands = positive, (x.node,), (x.node,)
        self.array: np.ndarray | None = None

    def run(self) -> tuple[list[Any], int, list[Any]]:
        """The function's results, the time before it ran, and the fresh tensors that it ran on."""
        start = clock()
        inside = [being_differentiated(x) for x in self.inputs]
        with dropped_record(self):
            fresh = [type(x)._sharing(x._array, requires_grad=True) for x in self.inputs]
            with Derivation([x.node for x, found in zip(fresh, inside) if found], start) as derivation:
                given = self._arguments(fresh)
                entries = entries_of(given)
                results, self.rebuild_results = flatten(self.f(*given))
        if entries_of(given) != entries:
            raise TypeError(
                f"checkpoint: {defined(self.f)} changes an entry of an argument, a list or dict, which would be lost, "
                "since it gets a copy; have it return what is new"
            )
        if derivation.looked:
            for x in self.inputs:
                looked_at(x)
        for y in results:
            if not isinstance(y, _RESULTS) or (isinstance(y, np.ndarray) and y.dtype.hasobject):
                # as a generator or an object's attributes: their record would be dropped, and no gradient come back
                raise TypeError(
                    f"checkpoint: {defined(self.f)} must return Tensors and constants, alone or in tuples, lists and "
                    f"dicts; found {describe(y)}, in which a Tensor would lose its gradient"
                )
        return results, start, fresh

    def keep(self, results: list[Any], start: int, fresh: list[Any]) -> None:
        """Sort the results, and find out what they were made from."""
        self.chosen = [k for k, y in enumerate(results) if _differentiable(y)]
        self.outputs = [results[k] for k in self.chosen]
        self.results = [_OPEN if _differentiable(y) else y for y in results]
        self.outer, read = _ends(start, self.outputs, fresh)
        nodes = [y.node for y in self.outputs]
        # which results are read in the function as well, so that what is done with them later is not all they do
        self.partial = [t in read or nodes.count(t) > 1 or hasattr(t, "collector") for t in nodes]

    def _arguments(self, inputs: Sequence[Any]) -> Any:
        given = iter(inputs)
        return self.rebuild([next(given) if x is _OPEN else x for x in self.leaves])

    def drop(self) -> None:
        """Keep the outputs as one array, and of their record nothing."""
        self.layout = [(y.shape, y.dtype) for y in self.outputs]
        self.array = _joined(self.outputs)
        self.outputs, self.inputs = [], []
        self.order = clock()

    def again(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs that need gradients, computed once more, with the same random numbers."""
        now = self.generators.now()
        self.generators.put_back()
        try:
            results = flatten(self.f(*self._arguments(inputs)))[0]
        finally:
            now.put_back()
        if len(results) != len(self.results) or not all([isinstance(results[k], Variable) for k in self.chosen]):
            raise _another_result()
        return [results[k] for k in self.chosen]

    def cut(self, joined: Any) -> list[Any]:
        """The parts of a joined array, in the outputs' shapes and dtypes."""
        if len(self.layout) == 1:
            return [joined]
        parts, start = [], 0
        for shape, dtype in self.layout:
            end = start + int(np.prod(shape))
            part = reshape(getitem(joined, slice(start, end)), shape)
            parts.append(part if part.dtype == dtype else astype(part, dtype))
            start = end
        return parts


def _joined(outputs: Sequence[Any]) -> np.ndarray:
    """The outputs as one array, which shares no memory with others: a single one as it is, several end to end."""
    if len(outputs) == 1:
        return outputs[0].detach()._array  # type: ignore[no-any-return]
    return np.concatenate([y._array.ravel() for y in outputs])


def _differentiable(x: Any) -> bool:
    return isinstance(x, Variable) and x.node is not None


def _ends(start: int, outputs: Sequence[Any], inputs: Sequence[Any]) -> tuple[list[Node], set[Node]]:
    """What a function closes over: the nodes older than `start`, and no inputs, that its record ends in.

    Also the nodes of the record that others in it are made of.
    """
    seen = {t.node for t in inputs}
    found, stack = [], [y.node for y in outputs if y.node not in seen]
    seen.update(stack)
    read = set()
    while stack:
        t = stack.pop()
        if t.order < start:
            found.append(t)
            continue
        read.update(t.inputs)
        for x in t.inputs:
            if x is not None and x not in seen:
                seen.add(x)
                stack.append(x)
    return sorted(found, key=lambda t: t.order), read


def _computed(*arrays: Any, part: _Part) -> Any:
    array, part.array = part.array, None
    if array is None:  # called once more than the first time, as a replay does
        with no_grad():
            outputs = part.again([Tensor._sharing(a) for a in arrays[: len(arrays) - len(part.outer)]])
        array = _joined(outputs)
    return array


def _recomputed(g: Any, y: Any, *inputs: Any, part: _Part) -> list[Any]:
    recorded = isinstance(y, Variable)
    given = inputs[: len(inputs) - len(part.outer)]
    for t in part.outer:
        if t.order > part.order:
            raise RuntimeError(
                f"checkpoint: the data of a tensor that the function uses, shape {t.shape}, changed after this "
                "forward call; run the forward pass again before backward()"
            )
    start = clock()
    with enable_grad():
        fresh = [positive(x) if recorded else Tensor._sharing(x, requires_grad=True) for x in given]
        outputs = part.again(fresh)
    _check_same(y, outputs, part)
    if not all(map(_differentiable, outputs)) or set(_ends(start, outputs, fresh)[0]) != set(part.outer):
        raise RuntimeError(
            "checkpoint: run again for its derivative, the function used other tensors than the first time; "
            "pass what is replaced between forward and backward as an argument"
        )
    wrt: list[Any] = [*[t.node for t in fresh], *part.outer]
    nodes = [t.node for t in outputs]
    tensors, _ = lineage(nodes, wrt)
    found = walk(nodes, part.cut(g), recorded, set(wrt), tensors)
    if not recorded:
        for x in fresh:
            if x.node is not None:
                x.node.primitive = _Part.gone
    return [found[t] if t in found else np.zeros(t.shape, t.dtype) for t in wrt]


def _check_same(y: Any, outputs: list[Any], part: _Part) -> None:
    """Raise RuntimeError unless the outputs are those of the first time, but for rounding."""
    before = part.cut(y._array if isinstance(y, Variable) else y)
    same = [(t.shape, t.dtype) for t in outputs] == part.layout
    if same and all([_are_alike(t._array, x) for t, x in zip(outputs, before, strict=True)]):
        return
    raise _another_result()


def _another_result() -> RuntimeError:
    """The error for a function that is not the same when it runs again."""
    return RuntimeError(
        "checkpoint: run again for its derivative, the function gave another result than the first time; "
        "draw random numbers by mg.sample, which draws the same again, or name the generator in checkpoint(f, "
        "generators=[...]), or draw outside of the function and pass the numbers as arguments"
    )


def _are_alike(x: Any, y: Any) -> bool:
    root = float(np.sqrt(np.finfo(x.dtype).eps))
    # the largest finite entry of this result; at least the root, since where all cancels, rounding is left
    scale = float(np.max(np.abs(y[np.isfinite(y)]), initial=root))
    return np.allclose(x, y, rtol=0, atol=root * scale, equal_nan=True)


_checkpointed = primitive(_computed, joint=_recomputed, name="checkpoint")


def checkpoint(f: Callable[P, R], generators: Sequence[Any] = ()) -> Callable[P, R]:
    """f, whose record is dropped after the call and made anew, by a second call, when a derivative is asked for.

    Values and derivatives of every order are those of f. A chain of T equal parts, each of them checkpointed in runs of
    √T, keeps memory for O(√T) parts instead of T, and costs one more forward pass. The record of a higher derivative is
    kept whole; `compile` plans its own memory, and takes f as it is.

    Args:
        f: a function of Tensors, or trees of them and of constants, that returns a Tensor or a tree of them. It may use
            other tensors (parameters), which get their gradients as well. What it draws by `minigrad.sample` it draws
            again. A result that is no Tensor must be a constant: numbers, arrays, strings, None.
        generators: random generators that it draws from in other ways, or functions and objects that hold some, as
            `[net]`; they give the same numbers again.

    Raises:
        TypeError: if a result of f may hold Tensors that would be lost: a generator, a function, an object of a class;
            if `generators` is no list or tuple.
        RuntimeError: (the derivative) if f, run again, gives another result or uses other tensors: it is random, or
            what it closes over was replaced. An array that changed is seen by the result alone.

    Source: Chen, Xu, Zhang & Guestrin 2016, section 4.

    >>> x = mg.tensor(0.0, requires_grad=True)
    >>> deep = mg.checkpoint(lambda x: mg.tanh(mg.tanh(mg.tanh(x))))  # keeps x alone, and computes the rest once more
    >>> deep(x).backward()
    >>> x.grad
    array(1.)
    """

    check_callable("checkpoint", f)
    if not isinstance(generators, (list, tuple)):
        raise TypeError(f"checkpoint: generators must be a list, as [rng] or [net], got {describe(generators)}")
    found = reached(generators)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            return without_record(f, args, found)

        @functools.wraps(f)
        def by_position(*given: Any) -> Any:
            return f(*given[: len(args)], **dict(zip(kwargs, given[len(args) :], strict=True)))

        return without_record(by_position, (*args, *kwargs.values()), found)

    return wrapped


@interpreted
def without_record(f: Callable[..., Any], args: tuple[Any, ...], generators: Sequence[Any]) -> Any:
    """f(*args), whose record is dropped."""
    if not recording():
        return f(*args)
    if detailed():
        with remark("parts under checkpoint are recorded whole, for looking"):
            return f(*args)
    part = _Part(f, args, generators)
    # of what the function closes over, no values are needed here
    outer = [t.tensor(np.broadcast_to(np.zeros((), t.dtype), t.shape)) for t in part.outer]
    inputs = [*part.inputs, *outer]
    results = part.results
    if part.outputs:
        part.drop()
        outputs = part.cut(_checkpointed(*inputs, part=part))
        for y, partial in zip(outputs, part.partial, strict=True):
            if partial:
                y.node.collector = None
        cut = iter(outputs)
        results = [next(cut) if y is _OPEN else y for y in results]
    return part.rebuild_results(results)
