"""The example of a model's arguments: which of its axes are free, and what it is in other sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg

from ..module import Module
from ..recurrent import Recurrent
from ..substitute import functional_call
from .onnx_graph import Axes
from .onnx_trace import ADDED, Calls, DiffersError, trace_at
from .onnx_verify import Case


def arrays_of(tree: Any, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a tree with their paths."""
    if isinstance(tree, (dict, tuple, list)):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from arrays_of(part, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, (mg.Tensor, np.ndarray, np.generic)):
        yield path, tree.data if isinstance(tree, mg.Tensor) else np.asarray(tree)


def free_axes(net: Any, arrays: dict[str, np.ndarray], axes: Any) -> dict[str, tuple[str | None, ...]]:
    """For each input the names of its free axes."""
    if not arrays:
        raise ValueError("to_onnx: the example has no array; without one there is no input")
    guessed = axes is None
    if guessed:
        parts = list(net.modules()) if isinstance(net, Module) else []
        timed = any([isinstance(part, Recurrent) for part in parts])
        axes = {name: _guessed(name, a, timed) for name, a in arrays.items()}
    free = {}
    for name, given in axes.items():
        if name not in arrays:
            raise ValueError(f"to_onnx: axes names {name!r}; the inputs are {', '.join(arrays)}")
        if isinstance(given, str) or len(given) > arrays[name].ndim:
            raise ValueError(f"to_onnx: axes[{name!r}] must be a tuple of at most {arrays[name].ndim}, got {given!r}")
        for k, (axis, n) in enumerate(zip(given, arrays[name].shape)):
            if axis is not None and not (axis and isinstance(axis, str)) and (type(axis) is not int or axis != n):
                raise ValueError(
                    f"to_onnx: axes[{name!r}][{k}] must be a name, None, or the example's {n}, got {axis!r}"
                )
        free[name] = tuple([axis if isinstance(axis, str) else None for axis in given])
    sizes: dict[str, int] = {}
    for name, given in free.items():
        for axis, n in zip(given, arrays[name].shape):
            if axis is not None and sizes.setdefault(axis, n) != n:
                raise ValueError(
                    f"to_onnx: the axis {axis} has two sizes in the example, {sizes[axis]} and, of {name}, {n}"
                    + _ABOUT_GUESSES * guessed
                )
    if len(sizes) > len(ADDED):
        raise ValueError(f"to_onnx: at most {len(ADDED)} free axes, got {', '.join(sizes)}")
    return free


_ABOUT_GUESSES = (
    "; by default the first axis of an input is the batch, or the time if the model is a module with a `Recurrent` "
    '(a function is not asked): say which axes are free by axes={"xs": ("T", "B", None), "lengths": ("B",)}'
)


def _guessed(name: str, a: np.ndarray, timed: bool) -> tuple[str, ...]:
    if not timed or a.ndim == 1 or name.partition(".")[0] in ("state", "h", "states"):
        return ("B",)[: a.ndim]
    return ("T", "B")[: a.ndim]


def _resized(
    arguments: Any, free: Any, sizes: dict[str, int], lengths: dict[str, Any], rng: Any, path: str = ""
) -> Any:
    """The arguments with other entries, in other sizes; integers are those of the example, again and again."""
    if isinstance(arguments, (dict, tuple, list)):
        items = arguments.items() if isinstance(arguments, dict) else enumerate(arguments)
        parts = {k: _resized(part, free, sizes, lengths, rng, f"{path}.{k}" if path else str(k)) for k, part in items}
        return parts if isinstance(arguments, dict) else type(arguments)(parts.values())
    if not isinstance(arguments, (mg.Tensor, np.ndarray, np.generic)):
        return arguments
    a = arguments.data if isinstance(arguments, mg.Tensor) else np.asarray(arguments)
    named = free.get(path, ())
    shape = tuple([sizes[named[k]] if k < len(named) and named[k] else n for k, n in enumerate(a.shape)])
    if path in lengths:
        T = lengths[path] if isinstance(lengths[path], int) else sizes[lengths[path]]
        values = rng.permutation(np.resize([T, 0, 1, T, max(T - 1, 0)], shape))
    elif a.dtype.kind == "f":
        values = rng.standard_normal(shape)
    else:
        values = np.resize(a, shape) if a.size else np.zeros(shape)
    return np.asarray(values).astype(a.dtype)


def _sizes(arrays: dict[str, np.ndarray], free: dict[str, tuple[str | None, ...]]) -> dict[str, int]:
    return {axis: arrays[name].shape[k] for name, named in free.items() for k, axis in enumerate(named) if axis}


def traced_at_sizes(net: Any, arguments: Any, arrays: Any, free: Any, take: Any, check: Any) -> tuple[Calls, Axes]:
    """The model's calls at four sizes; if these differ, at four larger ones: a layer may add a bias before or after."""
    own = _sizes(arrays, free)
    for factor in (1, 8):
        rows = [{axis: factor * max(n, 2) + ADDED[k][j] for k, (axis, n) in enumerate(own.items())} for j in range(4)]
        where = [", ".join(f"{axis} = {n}" for axis, n in row.items()) for row in rows]
        rng = np.random.default_rng(0)
        examples = [_resized(arguments, free, row, {}, rng) for row in rows if own] or [arguments]
        try:
            calls = trace_at(net, examples, where, take, check)
        except DiffersError:
            if factor == 8:
                raise
            continue
        found = {axis: (name, k) for name, named in free.items() for k, axis in enumerate(named) if axis}
        return calls, Axes({axis: tuple([row[axis] for row in rows]) for axis in own}, found)
    raise AssertionError


def lengths_of(calls: Calls, names: list[str], axes: Axes) -> dict[str, Any]:
    """The inputs that are lengths, and how long their sequences may be: the name of an axis, or a number."""
    found: dict[str, Any] = {}
    for call in calls.calls:
        if call.primitive.name == "padding_mask":
            lengths, T = call.inputs
            limit = T if isinstance(T, int) else axes.symbol(T)
            found |= {name: limit or 0 for name, ref in zip(names, calls.arguments) if ref is lengths}
    return found


def cases_of(net: Any, call: Any, arguments: Any, arrays: Any, free: Any, lengths: dict[str, Any]) -> list[Case]:
    """Inputs and what the model makes of them: the example's, and others of three sizes, one of them 1."""
    own, rng = _sizes(arrays, free), np.random.default_rng(1)
    rows = [{axis: change(n) for axis, n in own.items()} for change in (lambda n: n, lambda n: n + 3, lambda n: 1)]
    examples = [arguments, *[_resized(arguments, free, row, lengths, rng) for row in rows]]
    cases = []
    for k, example in enumerate(examples):
        try:
            results = _results(call, example)
        except (ValueError, IndexError):
            if k < 3:
                raise
            break  # the model may need more than one entry
        others = _results(call, mg.tree_map(lambda a: _rounded(a, rng), example), _of_rounded_weights(net, rng))
        cases.append(Case(dict(arrays_of(example)), results, [_apart(a, b) for a, b in zip(results, others)]))
    return cases


def _results(call: Any, example: Any, *run: Any) -> list[np.ndarray]:
    with mg.no_grad(), np.errstate(all="ignore"):
        results = mg.tree_leaves(call(example, *run))
    return [r.data if isinstance(r, mg.Tensor) else np.asarray(r) for r in results]


def _rounded(a: Any, rng: Any) -> Any:
    """The same numbers, each off by a rounding."""
    x = a.data if isinstance(a, mg.Tensor) else a
    if not isinstance(x, (np.ndarray, np.generic)) or x.dtype.kind != "f":
        return a
    return np.asarray(x * (1 + np.finfo(x.dtype).eps * rng.choice([-1, 1], x.shape))).astype(x.dtype)


def _of_rounded_weights(net: Any, rng: Any) -> Any:
    """The model with weights that are off by a rounding each: by how much that changes results, others may differ."""
    if not isinstance(net, Module):
        return net
    weights = {name: _rounded(p, rng) for name, p in net.named_parameters()}

    def run(*inputs: Any, **keywords: Any) -> Any:
        try:
            return functional_call(net, weights, *inputs, **keywords)
        except (TypeError, ValueError, RuntimeError):  # a model that sets its own weights
            return net(*inputs, **keywords)

    return run


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of finite numbers."""
    if a.dtype.kind != "f" or a.shape != b.shape:
        return 0.0
    with np.errstate(all="ignore"):
        difference = np.abs(a.astype(np.float64) - b)
    return float(np.max(difference, initial=0.0, where=np.isfinite(difference)))
