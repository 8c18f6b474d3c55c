"""The only loop over time. Backpropagation through time is what `backward()` does with its record."""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor  # the look-up of `mg.Tensor` takes 30 ns more

from .layers import is_integer
from .protocol import Cell, State

#: What takes a layer as a whole in place of this loop, and returns what it returns: the export to ONNX; else None.
taking: ContextVar[Any] = ContextVar("nn.taking", default=None)


def scan(
    cell: Cell, start: int, reverse: bool, active: Any, xs: Any, state: State, mask: Any, taps: Any
) -> tuple[Any, State, Any]:
    """One cell over the times from number `start` on: outputs (T, B, ...), the final state, and all of them.

    The states are wanted if there are `taps` (T, ...), a tensor for each part of a state that may have a gradient: it
    collects the gradient of this part as it leaves the step, where the step may go on with it.
    """
    T = len(mg.tree_leaves(xs)[0])
    xs = projected(cell, xs)
    several, timed = isinstance(xs, (tuple, list, dict)), cell._timed
    step: Any = cell.step if mask is None else functools.partial(cell.step_masked, mask=mask)
    # which steps need no choice; a trace, which is for all lengths, chooses at each
    full: Any = active.all(axis=1).tolist() if isinstance(active, np.ndarray) else [active is None] * T
    outputs, states = [], []
    keep = taps is not None
    for t in mg.steps(range(T)[::-1] if reverse else range(T), start):
        x = mg.tree_map(lambda part, t=t: part[t], xs) if several else xs[t]
        here = mg.tree_map(lambda e, t=t: e if e is None else e[t], taps) if keep else None
        try:
            result = step(x, state, t=start + t) if timed else step(x, state)
        except (TypeError, ValueError, IndexError) as error:
            if not (hint := _about_integers(x)):
                raise
            known = next(c for c in (TypeError, ValueError, IndexError) if isinstance(error, c))
            raise known(f"{cell.name}: step {start + t}: {error}{hint}") from error
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{cell.name}: step {start + t} must return a tuple (output, new state), "
                            f"got {_described(result)}")  # fmt: skip
        output, new = result
        if not _same_structure(new, state):
            new = _with_tensors(cell, start + t, x, new, state)
        if keep:
            output, new = _tapped(output, new, here)
        state = new if full[t] else _where(active[t], new, state)
        mg.label(state, "state")
        outputs.append(output)
        if keep:
            states.append(state)
    for t, y in enumerate(outputs[::-1] if reverse else outputs):
        if not isinstance(y, Tensor) and not (isinstance(y, np.ndarray) and y.dtype.kind in "iub"):
            raise TypeError(f"{cell.name}: step {start + t} must return (output, new state) with a Tensor as output, "
                            f"got {_described(y)}")  # fmt: skip
    if reverse:
        outputs.reverse()
        states.reverse()
    return _stacked(cell, start, outputs, active), state, mg.tree_map(lambda *s: mg.stack(s), *states) if keep else None


def projected(cell: Cell, xs: Any) -> Any:
    """`cell.project(xs)` for all times: arrays (T, ...), in a tuple, list or dict if they are several.

    Raises:
        ValueError: for a part that has not all times along its first axis.
    """
    T, found = len(mg.tree_leaves(xs)[0]), cell.project(xs)
    if any([np.shape(part)[:1] != (T,) for part in mg.tree_leaves(found)]):
        missing = "; is a `return` missing?" if found is None else ""
        raise ValueError(f"{cell.name}: project(xs) must return what has the {T} times of xs along its first axis, as "
                         f"step(x, state) gets its x from there; got {_described(found)}{missing}")  # fmt: skip
    return found


def _stacked(cell: Cell, start: int, outputs: list[Any], active: Any) -> Any:
    """The outputs (T, ...); with lengths, which choose among the rows of a batch, (T, B, ...)."""
    try:
        ys = mg.stack(outputs)
    except ValueError as error:
        shapes = [y.shape for y in outputs]
        t = next((t for t, shape in enumerate(shapes) if shape != shapes[0]), None)
        if t is None:
            raise
        raise ValueError(f"{cell.name}: all steps must return outputs of one shape, step {start} returned {shapes[0]} "
                         f"and step {start + t} {shapes[t]}") from error  # fmt: skip
    if active is not None and ys.shape[:2] != active.shape:
        raise ValueError(f"{cell.name}: with lengths= an output must have the batch of {active.shape[1]} along its "
                         f"first axis, this one has shape {ys.shape[1:]}")  # fmt: skip
    return ys


def _tapped(output: Any, new: State, taps: Any) -> tuple[Any, State]:
    """Output and new state, whose gradients are collected by `taps`; an output that is part of it remains so."""
    tapped = mg.tree_map(lambda s, e: s if e is None else mg.tap(s, e), new, taps)
    for s, t in zip(mg.tree_leaves(new), mg.tree_leaves(tapped)):
        if output is s:
            output = t
    return output, tapped


def _same_structure(a: State, b: State) -> bool:
    """Whether two states have the same structure, shapes and dtypes; in the loop, so the common cases come first."""
    if isinstance(b, Tensor):
        return isinstance(a, Tensor) and a.shape == b.shape and a.dtype == b.dtype
    if type(a) is not type(b) or len(a) != len(b):
        return False
    if isinstance(b, dict):
        return list(a) == list(b) and all([_same_structure(a[key], b[key]) for key in b])
    for p, q in zip(a, b):  # noqa: SIM110 (half the time of all)
        if not _same_structure(p, q):
            return False
    return True


def _with_tensors(cell: Cell, t: int, x: Any, new: State, old: State) -> State:
    """`new` with Tensors for plain integers and booleans, as `n // 2` and `h > 0` are, which have no gradient to lose.

    Keys of dicts are put in the order of `old`, which says what part comes first.

    Raises:
        ValueError: if it is not like the state before even so.
    """

    def lifted(n: Any) -> Any:
        plain = not isinstance(n, Tensor) and np.asarray(n).dtype.kind in "iub"
        return mg.tensor(n) if plain else n

    tensors = mg.tree_map(lifted, new)
    if _structure(new) == _structure(old):
        tensors = mg.tree_map(lambda _, n: n, old, tensors)  # its dicts in the order of these
    if _same_structure(tensors, old):
        return tensors
    arrays = any([isinstance(n, np.ndarray) for n in mg.tree_leaves(new)])
    of_dtypes = _structure(new) == _structure(old) and mg.tree_map(np.shape, new) == mg.tree_map(np.shape, old)
    raise ValueError(
        f"{cell.name}: step {t} changed the state, but its structure, shapes and dtypes must last"
        f"\n  before: {_described(old)}\n  after:  {_described(new)}\n"
        + ("an array has no gradient: every part of a state must be a Tensor\n" if arrays else "")
        + "the first state is that of initial_state(B)"
        + (_about_dtypes(cell, x, old) if of_dtypes else "")
        + _about_integers(x)
    )


def _structure(tree: State) -> Any:
    """A tree without its leaves."""
    return mg.tree_map(lambda _: None, tree)


def _about_dtypes(cell: Cell, x: Any, state: State) -> str:
    """What to write where an input, a weight or a counter has another dtype than the state, the likeliest first."""
    told = "; an input that comes as a Tensor keeps its own dtype"
    dtypes = [s.dtype for s in mg.tree_leaves(state) if s.dtype.kind == "f"]
    if not dtypes:
        return told
    for part in mg.tree_leaves(x):
        if part.dtype.kind == "f" and part.dtype not in dtypes:
            own, other = dtypes[0], part.dtype
            return f"{told}\nthe step got {other}: pass xs.astype(np.{own}), or make the network with dtype=np.{other}"
    for name, w in cell.named_parameters(frozen=True):
        if w.dtype not in dtypes:
            return f"{told}\nthe weight {name} is {w.dtype}: make it with nn.parameter(array.astype(np.{dtypes[0]}))"
    if any([s.dtype.kind in "iu" for s in mg.tree_leaves(state)]):
        return f"{told}\n{dtypes[0]} and integers make float64: write n.astype(h.dtype) for a counter n"
    return told


def _about_integers(x: Any) -> str:
    """What to write for a cell that does not take the integers it got; beside numbers they may be a mask, or counts."""
    parts = mg.tree_leaves(x)
    integers = next((part for part in parts if is_integer(part)), None)
    if integers is None:
        return ""
    if len(parts) > 1 and not all(map(is_integer, parts)):
        return (
            f"\nthe step got integers of shape {integers.shape} beside numbers: a mask or a count is used as "
            "m.astype(h.dtype)[:, None], or passed as booleans or floats; an index as nn.one_hot(k, V)"
        )
    return (
        f"\nthe step got integers of shape {integers.shape}: these are one-hot vectors only for a cell that begins "
        "with a linear map or an embedding; else pass nn.one_hot(xs, V), or numbers as xs.astype(float)"
    )


def _described(tree: Any) -> str:
    """A tree with the shape and dtype of each Tensor in place of its entries; arrays are called so."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {_described(part)}" for key, part in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        inside = ", ".join(_described(part) for part in tree)
        return f"({inside})" if isinstance(tree, tuple) else f"[{inside}]"
    if isinstance(tree, (Tensor, np.ndarray)):
        return f"{'array ' if isinstance(tree, np.ndarray) else ''}{tree.shape} {tree.dtype}"
    return type(tree).__name__


def _where(active: Any, new: State, old: State) -> State:
    """`new` in the rows (B,) that are active, `old` in the others."""

    def chosen(n: Any, o: Any) -> Any:
        if n.shape[:1] != active.shape:
            raise ValueError(
                f"Recurrent: with lengths= every part of a state must have the batch of {len(active)} along its first "
                f"axis, this one has shape {n.shape}"
            )
        return mg.where(active.reshape(-1, *[1] * (n.ndim - 1)), n, o)

    return mg.tree_map(chosen, new, old)
