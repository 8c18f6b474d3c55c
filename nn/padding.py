"""Sequences of unequal lengths: side by side, filled up, and what is taken of each without what fills it up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np

import minigrad as mg

from .module import array
from .sequences import padding_mask


@overload
def pad_sequences(sequences: Sequence[mg.Tensor], value: Any = 0) -> tuple[mg.Tensor, np.ndarray]: ...
@overload
def pad_sequences(sequences: Sequence[Any], value: Any = 0) -> tuple[Any, np.ndarray]: ...
def pad_sequences(sequences: Sequence[Any], value: Any = 0) -> tuple[Any, np.ndarray]:
    """Sequences (T_b, ...) side by side, filled up with `value`: (T, B, ...) with T the longest, and the lengths (B,).

    Args:
        sequences: a list of arrays, of nested lists of numbers (an empty one is of any shape and dtype), or of Tensors,
            which give a Tensor, through which gradients come back. Each may be a dict of several such sequences of one
            length, or a tuple of arrays, or a list whose steps are such: the result is a dict or tuple as well then.
        value: a number, or for dicts and tuples also one for each part, as {"x": 0, "y": -1}.

    Raises:
        TypeError: if something in a sequence is no number.
        ValueError: if there is no sequence, they differ in more than their first axis or have another structure, or the
            value is not of their dtype.

    >>> nn.pad_sequences([[1, 2, 3], [4]])
    (array([[1, 4],
           [2, 0],
           [3, 0]]), array([3, 1]))
    >>> batch, lengths = nn.pad_sequences([{"x": np.ones((2, 5)), "y": [1, 1]}, {"x": np.ones((1, 5)), "y": [2]}])
    >>> batch["x"].shape, batch["y"].tolist()
    ((2, 2, 5), [[1, 2], [1, 0]])
    """
    if isinstance(sequences, dict):
        raise TypeError('pad_sequences: give a list of sequences, each of which may be a dict: [{"x": x, "y": y}, ...]')
    if not isinstance(sequences, Iterable):
        raise TypeError(f"pad_sequences: give a list of sequences, got {sequences!r:.80}")
    rows = [_read(s, f"sequences[{b}]") for b, s in enumerate(sequences)]
    if not rows:
        raise ValueError("pad_sequences: give at least one sequence")
    like = next((row for row in rows if row is not None), None)
    rows = [mg.tree_map(lambda _: None, like) if row is None else row for row in rows]
    if not all([isinstance(row, np.ndarray) for row in rows]):  # which have no parts that could differ
        for b, row in enumerate(rows):
            _check_structure(like, row, f"sequences[{b}]")
    lengths = np.array([_length(row, f"sequences[{b}]") for b, row in enumerate(rows)])
    values = value if isinstance(value, (dict, tuple)) else mg.tree_map(lambda _: value, like)
    _check_structure(like, values, "value")
    return mg.tree_map(lambda _, fill, *parts: _padded(parts, lengths, fill), like, values, *rows), lengths


def _read(s: Any, where: str) -> Any:
    """A sequence as arrays or Tensors (T_b, ...), in a tree if it has several parts; None for an empty list."""
    if isinstance(s, (list, tuple)) and not len(s):
        return None
    if isinstance(s, dict):
        return {key: _read(part, f"{where}[{key!r}]") for key, part in s.items()}
    if isinstance(s, tuple) and _has_parts(s):
        return tuple([_read(part, f"{where}[{k}]") for k, part in enumerate(s)])
    if isinstance(s, list) and _has_parts(s[0]):
        steps = [_read_step(step) for step in s]
        for t, step in enumerate(steps):
            _check_structure(steps[0], step, f"{where}[{t}]")
        return mg.tree_map(lambda *parts: _read(list(parts), where), *steps)
    if _holds_tensors(s):
        _shape(s, where)
        return _stacked(s)
    return s if isinstance(s, mg.Tensor) else _array(s, where)


def _has_parts(s: Any) -> bool:
    """Whether s is a dict, or a tuple with an array, Tensor or dict in it; a tuple of numbers is like a list."""
    if isinstance(s, tuple):
        return any([isinstance(x, (np.ndarray, mg.Tensor)) or _has_parts(x) for x in s])
    return isinstance(s, dict)


def _holds_tensors(s: Any) -> bool:
    return isinstance(s, (list, tuple)) and any([isinstance(x, mg.Tensor) or _holds_tensors(x) for x in s])


def _stacked(s: Any) -> Any:
    return mg.stack([_stacked(x) for x in s]) if isinstance(s, (list, tuple)) else mg.as_tensor(s)


def _read_step(step: Any) -> Any:
    """A step with arrays for what is a list in it, which is no tree of its own."""
    if isinstance(step, dict):
        return {key: _read_step(part) for key, part in step.items()}
    if isinstance(step, tuple) and _has_parts(step):
        return tuple([_read_step(part) for part in step])
    return step if isinstance(step, mg.Tensor) else _array(step, "a step")


def _array(x: Any, where: str) -> np.ndarray:
    try:
        a: np.ndarray = array(x)
    except ValueError:
        _shape(x, where)  # which says where it is irregular
        raise
    if a.dtype.kind not in "biufc":
        raise TypeError(f"pad_sequences: {where} holds something that is no number: {x!r:.80}")
    return a


def _shape(x: Any, where: str) -> tuple[int, ...]:
    """The shape of nested lists; raises ValueError, with the place, if they are irregular."""
    if not isinstance(x, (list, tuple)):
        return np.shape(x)
    shapes = [_shape(part, f"{where}[{k}]") for k, part in enumerate(x)]
    for k, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(f"pad_sequences: {where}[{k}] has shape {shape}, {where}[0] {shapes[0]}; only the "
                             "sequences themselves may differ in length, not what a step holds")  # fmt: skip
    return (len(x), *(shapes[0] if shapes else ()))


def _check_structure(like: Any, found: Any, where: str) -> None:
    try:
        mg.tree_map(lambda _, x: _check_leaf(x), like, found)
    except ValueError as error:
        raise ValueError(f"pad_sequences: {where} has another structure than the first sequence: {error}") from None


def _check_leaf(x: Any) -> None:
    if isinstance(x, (dict, tuple)):
        raise ValueError(f"expected one array, got a {type(x).__name__} of {len(x)}")


def _length(row: Any, where: str) -> int:
    lengths = [0 if part is None else len(part) if np.ndim(part) else -1 for part in mg.tree_leaves(row)]
    if not lengths:
        raise ValueError(f"pad_sequences: {where} has no parts")
    if len(set(lengths)) > 1:
        raise ValueError(f"pad_sequences: the parts of {where} have the lengths {lengths}, they must be the same")
    return lengths[0]


def _padded(parts: Sequence[Any], lengths: np.ndarray, value: Any) -> Any:
    """The part (T_b, ...) of each sequence as one (T, B, ...)."""
    given = [part for part in parts if part is not None] or [np.zeros(0)]
    shapes = [part.shape for part in given]
    if () in shapes:
        b = next(b for b, part in enumerate(parts) if part is not None and not part.shape)
        raise ValueError(f"pad_sequences: sequences[{b}] is a single number, of shape (); each sequence is a "
                         "list of its steps, and a sequence on its own is given as [sequence]")  # fmt: skip
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(f"pad_sequences: sequences may differ in their first axis only, got {shapes}")
    tail, dtype, T = shapes[0][1:], np.result_type(*[part.dtype for part in given]), lengths.max()
    fill = np.asarray(value)
    if fill.ndim or fill.dtype.kind not in "biufc":
        raise TypeError(f"pad_sequences: the value must be a number, got {value!r:.80}")
    if dtype.kind in "biu" and not (np.isfinite(fill).all() and np.array_equal(fill.astype(dtype), fill)):
        raise ValueError(f"pad_sequences: the value {value} is not of the sequences' dtype, {dtype}")
    if any([isinstance(part, mg.Tensor) for part in given]):
        columns = []
        for part, n in zip(parts, lengths):
            behind = np.full((T - n, *tail), value, dtype)
            columns.append(mg.concatenate([mg.astype(part, dtype), behind]) if n else mg.as_tensor(behind))
        return mg.stack(columns, axis=1)
    padded = np.full((T, len(parts), *tail), value, dtype)
    for b, (part, n) in enumerate(zip(parts, lengths)):
        if n:
            padded[:n, b] = part
    return padded


# --- what is taken of each sequence ----------------------------------------------------------------------------------


@overload
def mean_over_time(xs: mg.Tensor, lengths: Any = None, mask: Any = None) -> mg.Tensor: ...
@overload
def mean_over_time(xs: Any, lengths: Any = None, mask: Any = None) -> Any: ...
def mean_over_time(xs: Any, lengths: Any = None, mask: Any = None) -> Any:
    """The mean of each sequence over its steps: xs (T, B, ...) -> (B, ...).

    Args:
        lengths: (B,) integers within 0 ... T; what stands behind them is never read, and its gradient is 0. Also as an
            argument of a compiled function.
        mask: (T, B) booleans instead, true where a step counts. With neither all T count.

    A sequence of which no step counts has the mean 0, as in the outputs of `nn.Recurrent`, with gradient 0.

    Raises:
        ValueError: if the shapes do not fit, or both lengths and a mask are given.

    >>> nn.mean_over_time(np.array([[1.0, 5.0], [3.0, 9.0]]), lengths=[2, 1])
    array([2., 5.])
    """
    xs, active = _read_steps("mean_over_time", xs, lengths, mask)
    if active is None:
        return mg.mean(xs, axis=0)
    count = mg.maximum(mg.sum(active, axis=0), 1)
    total = mg.sum(mg.where(_along(active, xs), xs, 0), axis=0)
    return total / mg.astype(_along(count, total), total.dtype)


@overload
def max_over_time(xs: mg.Tensor, lengths: Any = None, mask: Any = None) -> mg.Tensor: ...
@overload
def max_over_time(xs: Any, lengths: Any = None, mask: Any = None) -> Any: ...
def max_over_time(xs: Any, lengths: Any = None, mask: Any = None) -> Any:
    """The largest entry of each sequence over its steps: xs (T, B, ...) -> (B, ...); arguments as of `mean_over_time`.

    Steps that are equally large share the gradient. A sequence of which no step counts gives 0.

    Source: Collobert et al. 2011, equation 7 ("max over time").

    >>> nn.max_over_time(np.array([[1.0, -5.0], [3.0, 9.0]]), lengths=[2, 1])
    array([ 3., -5.])
    """
    xs, active = _read_steps("max_over_time", xs, lengths, mask)
    if active is None:
        return mg.max(xs, axis=0)
    largest = mg.max(mg.where(_along(active, xs), xs, -math.inf), axis=0)
    return mg.where(_along(mg.max(active, axis=0), largest), largest, 0)


@overload
def last_over_time(xs: mg.Tensor, lengths: Any = None, mask: Any = None) -> mg.Tensor: ...
@overload
def last_over_time(xs: Any, lengths: Any = None, mask: Any = None) -> Any: ...
def last_over_time(xs: Any, lengths: Any = None, mask: Any = None) -> Any:
    """The last step of each sequence: xs (T, B, ...) -> (B, ...); arguments as of `mean_over_time`.

    Of outputs read forwards this is the final state. Read backwards, or in both directions, a sequence ends at its
    first step: take the final states that the network returns. A sequence of which no step counts gives 0.

    >>> nn.last_over_time(np.array([[1.0, 5.0], [3.0, 9.0]]), lengths=[2, 1])
    array([3., 5.])
    """
    xs, active = _read_steps("last_over_time", xs, lengths, mask)
    if active is None:
        return xs[-1]
    T, B = xs.shape[:2]
    ends = mg.max(mg.where(active, np.arange(1, T + 1)[:, None], 0), axis=0)
    last = mg.getitem(xs, (mg.maximum(ends, 1) - 1, np.arange(B)))
    return mg.where(_along(mg.greater(ends, 0), last), last, 0)


def _read_steps(name: str, xs: Any, lengths: Any, mask: Any) -> tuple[Any, Any]:
    """The sequences, and which of their steps count, (T, B); None for all."""
    xs = array(xs)
    shape = xs.shape
    if len(shape) < 2 or not shape[0]:
        raise ValueError(f"{name}: xs must be (T, B, ...) with T >= 1, got {shape}")
    if lengths is not None and mask is not None:
        raise ValueError(f"{name}: give lengths or a mask, not both")
    if lengths is not None:
        return xs, padding_mask(lengths, *shape[:2])
    if mask is not None:
        mask = array(mask)
        if mask.shape != shape[:2] or mask.dtype != np.dtype(bool):
            raise ValueError(
                f"{name}: the mask must be booleans of shape {shape[:2]}, got {mask.dtype} of {mask.shape}"
            )
    return xs, mask


def _along(a: Any, xs: Any) -> Any:
    """a with axes of size 1 behind its own, as many as xs has."""
    return a.reshape(*a.shape, *[1] * (xs.ndim - a.ndim))
