"""Our recurrent network and another program's on the same random sequences: what both are called with, and return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..modes import no_grad
from ..tensor import Tensor
from ..tree import tree_leaves, tree_map
from .arguments import generator

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

WORDS = ("xs", "state", "lengths")


class Case(NamedTuple):
    """What both are called with; lengths or None."""

    name: str
    xs: np.ndarray
    state: Any
    lengths: Any


def taken(theirs: Callable[..., Any]) -> tuple[str, ...]:
    """What a function takes: by names where they are ours, else by their number."""
    try:
        parameters = inspect.signature(theirs).parameters.values()
    except (TypeError, ValueError) as error:
        raise TypeError('same: the signature of theirs cannot be read; pass takes=("xs", "state"), say') from error
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in parameters if p.name in names and (p.default is p.empty or p.name in WORDS)]
    if not 1 <= len(needed) <= 3:
        raise TypeError(f"same: theirs takes {len(needed)} arguments {needed}; it must take xs, and may take a state "
                        "and lengths")  # fmt: skip
    return ("xs", *[name if name in WORDS[1:] else WORDS[k] for k, name in enumerate(needed)][1:])


def cases_of(
    ours: Any, first: Any, takes: Sequence[str], I: int | None, T: int, B: int, min_length: int, seed: int
) -> Iterator[Case]:
    rng = generator(seed)
    width = I if I is not None else getattr(first, "I", None)
    if width is None:
        raise TypeError(f"same: {name_of(first)} does not say how wide its inputs are; pass I=")
    zeros = tree_map(as_array, ours.initial_state(B))
    dtype = tree_leaves(zeros)[0].dtype
    xs = rng.standard_normal((T, B, width)).astype(dtype)
    state = tree_map(lambda s: (0.5 * rng.standard_normal(s.shape)).astype(s.dtype), zeros)
    yield Case("the first step, from zeros", xs[:1], zeros, None)
    if "state" in takes:
        yield Case("the first step, from a state that is given", xs[:1], state, None)
    begun = state if "state" in takes else zeros
    yield Case("several steps", xs, begun, None)
    if "lengths" in takes:
        lengths = np.append(rng.integers(min_length, T + 1, B - 1), T)
        lengths[0] = min(T - 1, max(min_length, 1))
        yield Case("padded sequences", xs, begun, lengths)
        if not min_length:
            yield Case("padded sequences, one of them empty", xs, begun, lengths * (np.arange(B) > 0))


def called(theirs: Callable[..., Any], case: Case, takes: Sequence[str], ours: Any) -> tuple[Any, Any]:
    """Outputs and final state, None if they return none."""
    lengths = np.full(case.xs.shape[1], len(case.xs)) if case.lengths is None else case.lengths
    given = {"xs": case.xs.copy(), "state": tree_map(np.copy, case.state), "lengths": lengths.copy()}
    result = theirs(*[given[word] for word in takes])
    if isinstance(result, tuple) and len(result) != 2:
        raise TypeError(f"same: theirs returned {len(result)} results; it must return outputs, or (outputs, state)")
    outputs, final = result if isinstance(result, tuple) else (result, None)
    outputs, final = as_array(outputs), None if final is None else tree_map(as_array, final)
    own, last = run_of(ours)(case.xs, case.state, case.lengths)
    if outputs.shape != own.shape:
        hint = "; it must be time first" if outputs.shape == (own.shape[1], own.shape[0], *own.shape[2:]) else ""
        raise TypeError(f"same: theirs returned outputs of shape {outputs.shape}, ours has {own.shape}{hint}")
    if final is not None:
        shapes = [[s.shape for s in tree_leaves(tree)] for tree in (final, last)]
        if shapes[0] != shapes[1]:
            raise TypeError(f"same: theirs returned a final state of the shapes {shapes[0]}, ours has {shapes[1]}")
        leaves = iter(tree_leaves(final))
        final = tree_map(lambda s: next(leaves), last)
    return outputs, final


def as_array(x: Any) -> np.ndarray:
    return np.asarray(x.data if isinstance(x, Tensor) else x)


def run_of(ours: Any) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Our network, or a cell in a loop, as a function of arrays."""

    def run(xs: Any, state: Any, lengths: Any) -> tuple[Any, Any]:
        with no_grad():
            if hasattr(ours, "cells"):
                ys, final = ours(xs, state, lengths)
                return as_array(ys), tree_map(as_array, final)
            state, ys = tree_map(as_array, ours.initial_state(xs.shape[1])) if state is None else state, []
            for t, x in enumerate(xs):
                y, new = ours(x, state)
                new = tree_map(as_array, new)
                if lengths is not None:
                    active = (t < lengths)[:, None]
                    new = tree_map(lambda s, before, active=active: np.where(active, s, before), new, state)
                state = new
                ys.append(as_array(y))
            return np.stack(ys), state

    return run


def name_of(ours: Any) -> str:
    cells = getattr(ours, "cells", None)
    kinds = [type(cell).__name__ for cell in cells] if cells else []
    return f"{type(ours).__name__} of {len(kinds)} {kinds[0]}" if kinds else type(ours).__name__
