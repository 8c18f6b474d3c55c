"""`same`: whether another program's recurrent network is ours, and if not, where they part and why."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..modes import no_grad
from ..tensor import Tensor
from ..tree import tree_leaves, tree_map
from .arguments import generator
from .suspects import Suspect, check_biases, check_numbers, combinations, gates_of, suspects

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

WORDS = ("xs", "state", "lengths")
_Results = tuple[Any, Any]  # outputs (T, B, H), final state or None


class DifferenceError(AssertionError):
    """Two networks that should be the same are not; the message says where they part, and why if that was found.

    >>> issubclass(DifferenceError, AssertionError)
    True
    """


class _Case(NamedTuple):
    """What both are called with; lengths or None."""

    name: str
    xs: np.ndarray
    state: Any
    lengths: Any


def same(
    ours: Any,
    theirs: Callable[..., Any],
    *,
    takes: Sequence[str] | None = None,
    I: int | None = None,
    T: int = 4,
    B: int = 3,
    min_length: int = 1,
    tolerance: float = 1e-4,
    allow_zero: bool = False,
    seed: int = 0,
) -> None:
    """Compare another program's recurrent network with ours; say where they first differ, and why.

    Both run on random sequences: one step from zeros, one from a random state, several, and padded ones with lengths,
    as far as `theirs` takes them. Where they differ, our weights are permuted and our options changed in all the ways
    in which such cells are known to differ (order of gates, z negated, place of the reset, halves of a bias, a 1 in the
    forget gate, order of the carry, ...), up to three at once: what makes our results theirs is named.

    Args:
        ours: an `nn.Recurrent`, or a cell.
        theirs: a function of arrays xs (T, B, I), then a state as ours takes it, then lengths (B,), as far as it takes
            them. It returns the outputs (T, B, H), or those and the final state as ours gives it. Outputs past a
            sequence's length may be anything.
        takes: which of "xs", "state" and "lengths" it takes, in its order; None reads that from its signature.
        I: the width of the inputs, if our first cell has no attribute I.
        T, B: steps and sequences.
        min_length: the smallest length, below T.
        tolerance: the largest difference, times the largest value where that is above 1; below 1.
        allow_zero: whether a bias of ours may be 0 for a whole gate, which hides what is wrong with it.
        seed: of the random numbers.

    Raises:
        DifferenceError: if they differ.
        ValueError: if a bias of ours is 0 for a whole gate, a weight is NaN, or a number above is out of its range.
        TypeError: if what `theirs` takes or returns does not fit.

    >>> import nn
    >>> cell = nn.GRUCell(2, 3, reset="after", z="old", rng=0)
    >>> cell.b.data, cell.b_h.data = np.linspace(-1, 1, 9, dtype="f"), np.ones(3, "f")
    >>> other = nn.Recurrent(nn.GRUCell(2, 3, reset="after", z="new", rng=0))
    >>> other.load_state_dict({f"cells.0.{name}": a for name, a in cell.state_dict().items()})
    >>> same(cell, lambda xs: other(xs)[0].data)
    Traceback (most recent call last):
        ...
    minigrad.testing.sameness.DifferenceError: same: GRUCell and <lambda> differ
      first: layer 0, forwards, at time step 0 of 0 ... 0, ...
    """
    takes = _taken(theirs) if takes is None else tuple(takes)
    if not set(takes) <= set(WORDS) or "xs" not in takes:
        raise TypeError(f'same: takes must be "xs" and of "state" and "lengths" those that theirs takes, got {takes}')
    cells = list(getattr(ours, "cells", [ours]))
    check_numbers(ours, T, B, min_length if "lengths" in takes else 0, tolerance)
    if not allow_zero:
        check_biases(cells)
    cases = list(_cases(ours, cells[0], takes, I, T, B, min_length, seed))
    found = [_called(theirs, case, takes, ours) for case in cases]
    for case, result in zip(cases, found):
        own = _run(ours)(case.xs, case.state, case.lengths)
        if not _agree(own, result, case, tolerance):
            break
    else:
        return
    k = _cell_that_differs(ours, case, own, result, tolerance)
    name = getattr(theirs, "__name__", type(theirs).__name__)
    where = _located(ours, theirs, case, own, result, k, takes, tolerance)
    lines = [f"same: {_name(ours)} and {name} differ", f"  first: {where}"]
    lines.append(f"  seen in: {case.name}")
    if "state" in takes and k is not None:
        lines += _probed(ours, theirs, cases[0], takes, k, tolerance)
    unknown = "  no cause was found: none of the usual differences, nor up to three of them, makes our results theirs"
    causes = list(_causes(ours, cells, k, cases, found, tolerance, takes))
    raise DifferenceError("\n".join([*lines, *(causes or [unknown])]))


# --- calls -----------------------------------------------------------------------------------------------------------


def _taken(theirs: Callable[..., Any]) -> tuple[str, ...]:
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


def _cases(
    ours: Any, first: Any, takes: Sequence[str], I: int | None, T: int, B: int, min_length: int, seed: int
) -> Iterator[_Case]:
    rng = generator(seed)
    width = I if I is not None else getattr(first, "I", None)
    if width is None:
        raise TypeError(f"same: {_name(first)} does not say how wide its inputs are; pass I=")
    zeros = tree_map(_array, ours.initial_state(B))
    dtype = tree_leaves(zeros)[0].dtype
    xs = rng.standard_normal((T, B, width)).astype(dtype)
    state = tree_map(lambda s: (0.5 * rng.standard_normal(s.shape)).astype(s.dtype), zeros)
    yield _Case("the first step, from zeros", xs[:1], zeros, None)
    if "state" in takes:
        yield _Case("the first step, from a state that is given", xs[:1], state, None)
    yield _Case("several steps", xs, state if "state" in takes else zeros, None)
    if "lengths" in takes:
        lengths = np.append(rng.integers(min_length, T + 1, B - 1), T)
        lengths[0] = min(T - 1, max(min_length, 1))
        yield _Case("padded sequences", xs, state if "state" in takes else zeros, lengths)


def _called(theirs: Callable[..., Any], case: _Case, takes: Sequence[str], ours: Any) -> tuple[Any, Any]:
    """Outputs and final state, None if they return none."""
    lengths = np.full(case.xs.shape[1], len(case.xs)) if case.lengths is None else case.lengths
    given = {"xs": case.xs.copy(), "state": tree_map(np.copy, case.state), "lengths": lengths.copy()}
    result = theirs(*[given[word] for word in takes])
    if isinstance(result, tuple) and len(result) != 2:
        raise TypeError(f"same: theirs returned {len(result)} results; it must return outputs, or (outputs, state)")
    outputs, final = result if isinstance(result, tuple) else (result, None)
    outputs, final = _array(outputs), None if final is None else tree_map(_array, final)
    own, last = _run(ours)(case.xs, case.state, case.lengths)
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


def _array(x: Any) -> np.ndarray:
    return np.asarray(x.data if isinstance(x, Tensor) else x)


def _run(ours: Any) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Our network, or a cell in a loop, as a function of arrays."""

    def run(xs: Any, state: Any, lengths: Any) -> tuple[Any, Any]:
        with no_grad():
            if hasattr(ours, "cells"):
                ys, final = ours(xs, state, lengths)
                return _array(ys), tree_map(_array, final)
            state, ys = tree_map(_array, ours.initial_state(xs.shape[1])) if state is None else state, []
            for t, x in enumerate(xs):
                y, new = ours(x, state)
                new = tree_map(_array, new)
                if lengths is not None:
                    active = (t < lengths)[:, None]
                    new = tree_map(lambda s, before, active=active: np.where(active, s, before), new, state)
                state = new
                ys.append(_array(y))
            return np.stack(ys), state

    return run


# --- where -----------------------------------------------------------------------------------------------------------


def _gaps(a: Any, b: Any, tolerance: float) -> np.ndarray:
    """Where two arrays differ: NaN differs from all."""
    size = np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
    return np.asarray(~(np.abs(a - b) <= tolerance * size))


def _outputs(a: Any, b: Any, case: _Case, tolerance: float) -> np.ndarray:
    """The same of outputs, up to the sequences' ends."""
    gaps = _gaps(a, b, tolerance)
    return gaps if case.lengths is None else gaps & (np.arange(len(a))[:, None] < case.lengths)[:, :, None]


def _differ(a: Any, b: Any, tolerance: float) -> bool:
    return any(_gaps(s, r, tolerance).any() for s, r in zip(tree_leaves(a), tree_leaves(b)))


def _agree(a: _Results, b: _Results, case: _Case, tolerance: float) -> bool:
    if _outputs(a[0], b[0], case, tolerance).any():
        return False
    return b[1] is None or not _differ(a[1], b[1], tolerance)


def _cell_that_differs(ours: Any, case: _Case, a: _Results, b: _Results, tolerance: float) -> int | None:
    """The first cell whose final state differs; of one layer without them, whose half of the outputs does."""
    if b[1] is not None:
        finals = zip(a[1], b[1]) if hasattr(ours, "cells") else [(a[1], b[1])]
        for k, (s, r) in enumerate(finals):
            if _differ(s, r, tolerance):
                return k
    directions = getattr(ours, "directions", 1)
    if len(getattr(ours, "cells", [ours])) > directions:
        return None
    halves = np.split(_outputs(a[0], b[0], case, tolerance), directions, axis=-1)
    return next((k for k, half in enumerate(halves) if half.any()), None)


def _located(
    ours: Any, theirs: Any, case: _Case, a: _Results, b: _Results, k: int | None, takes: Any, tolerance: float
) -> str:
    """Words for the place of the first difference: layer, direction, step, sequence, unit, and both numbers."""
    directions, gaps = getattr(ours, "directions", 1), _outputs(a[0], b[0], case, tolerance)
    backwards = bool(getattr(ours, "reverse", False)) or (k is not None and k % directions == 1)
    place = "the outputs" if k is None else f"layer {k // directions}, {'backwards' if backwards else 'forwards'}"
    one, pair = len(getattr(ours, "cells", [ours])) == directions, [a[0], b[0]]
    if one and k is not None:
        gaps, *pair = (np.split(x, directions, axis=-1)[k % directions] for x in (gaps, *pair))
    if k is not None and b[1] is not None and not (one and gaps.any()):
        return f"{place}, {_in_states(ours, theirs, case, (a, b), k, backwards, takes, tolerance)}"
    times = np.flatnonzero(gaps.any(axis=(1, 2)))
    t = int(times[-1] if backwards else times[0])
    n, unit = (int(index) for index in np.argwhere(gaps[t])[0])
    values = f"{pair[0][t, n, unit]:.6g} here, {pair[1][t, n, unit]:.6g} there"
    return f"{place}, at time step {t} of 0 ... {len(gaps) - 1}, sequence {n}, unit {unit}: {values}"


def _in_states(ours: Any, theirs: Any, case: _Case, found: Any, k: int, backwards: bool, takes: Any, tol: float) -> str:
    """The same of a cell's states: both are run on ever more steps, until its final states differ."""

    def of_cell(result: _Results) -> Any:
        return result[1][k] if hasattr(ours, "cells") else result[1]

    T, states = len(case.xs), [of_cell(result) for result in found]
    for steps in range(1, T + 1 if case.lengths is None else 1):
        part = case._replace(xs=case.xs[T - steps :] if backwards else case.xs[:steps])
        states = [of_cell(_run(ours)(part.xs, part.state, None)), of_cell(_called(theirs, part, takes, ours))]
        if _differ(states[0], states[1], tol):
            break
    for j, (s, r) in enumerate(zip(*map(tree_leaves, states))):
        gaps = _gaps(s, r, tol)
        if gaps.any():
            at = tuple(int(n) for n in np.argwhere(gaps)[0])
            t = f"at time step {T - steps if backwards else steps - 1}" if case.lengths is None else "final state"
            return f"{t}, part {j} of the state, sequence {at[0]}, unit {at[1:]}: {s[at]:.6g} here, {r[at]:.6g} there"
    raise AssertionError("the states differ")


def _probed(ours: Any, theirs: Any, case: _Case, takes: Sequence[str], k: int, tolerance: float) -> list[str]:
    """Which gates of an LSTM differ: C' = f C + i g is measured at two C, and o = h' / tanh(C')."""
    many = hasattr(ours, "cells")
    cell = ours.cells[k] if many else ours
    if gates_of(cell) not in ("fiog", "fog"):
        return []
    found = []
    for there in (False, True):
        ends = []
        for value in (0.0, 1.0):
            h, C = case.state[k] if many else case.state
            changed = (h, np.full_like(C, value))
            state = tuple(changed if j == k else s for j, s in enumerate(case.state)) if many else changed
            own_case = case._replace(state=state)
            final = (_called(theirs, own_case, takes, ours) if there else _run(ours)(case.xs, state, None))[1]
            if final is None:
                return []
            ends.append(final[k] if many else final)
        (h, C), (_, C1) = ends
        found.append({"f": C1 - C, "i g": C, "o": h / np.tanh(C)})
    names = [name for name in found[0] if _gaps(found[0][name], found[1][name], 10 * tolerance).any()]
    words = ", ".join("i or g" if name == "i g" else name for name in names)
    return [f"  gates that differ in that step from zeros: {words or 'none'}"]


# --- why -------------------------------------------------------------------------------------------------------------


def _causes(
    ours: Any, cells: list[Any], k: int | None, cases: Any, found: Any, tolerance: float, takes: Any
) -> Iterator[str]:
    """The first change that makes ours theirs: of all cells, or of the one that differs first."""
    parts, directions = len(tree_leaves(cells[0].initial_state(1))), getattr(ours, "directions", 1)
    whose: list[tuple[list[int], str]] = [(list(range(len(cells))), "")]
    if k is not None and len(cells) > 1:
        side = "backwards" if k % directions else "forwards"
        whose.append(([k], f" (in layer {k // directions}, {side}, alone)"))
    for group in combinations(suspects(cells[0 if k is None else k], directions, takes, parts)):
        for which, where in whose:
            if where and not all(s.cell for s in group):
                continue
            run = _changed(ours, which, group)
            try:
                agree = all(_agree(run(c.xs, c.state, c.lengths), r, c, tolerance) for c, r in zip(cases, found))
            except (ValueError, TypeError):
                continue  # the change is none of these cells: parts of another size, say
            if agree:
                yield from (f"  because {s.text}{where if s.cell else ''}" for s in group)
                return


def _changed(ours: Any, which: list[int], group: Sequence[Suspect]) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    made = copy.deepcopy(ours)
    for n in which:
        for suspect in group:
            if suspect.cell is not None:
                suspect.cell(made.cells[n] if hasattr(made, "cells") else made)
    run = _run(made)
    for suspect in group:
        if suspect.call is not None:
            run = suspect.call(run)
    return run


def _name(ours: Any) -> str:
    cells = getattr(ours, "cells", None)
    kinds = [type(cell).__name__ for cell in cells] if cells else []
    return f"{type(ours).__name__} of {len(kinds)} {kinds[0]}" if kinds else type(ours).__name__
