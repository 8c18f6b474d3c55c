"""`same`: whether another program's recurrent network is ours, and if not, where they part and why."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..tree import tree_leaves
from .side_by_side import WORDS, Case, called, cases_of, name_of, run_of, taken
from .suspects import Suspect, check_biases, check_numbers, combinations, gates_of, suspects

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

_Results = tuple[Any, Any]  # outputs (T, B, H), final state or None


class DifferenceError(AssertionError):
    """Two networks that should be the same are not; the message says where they part, and why if that was found.

    >>> issubclass(DifferenceError, AssertionError)
    True
    """


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
        min_length: the smallest length, below T; with 0, one sequence is empty.
        tolerance: the largest difference, times the largest value where that is above 1; below 1.
        allow_zero: whether a bias of ours may be 0 for a whole gate, which hides what is wrong with it.
        seed: of the random numbers.

    Raises:
        DifferenceError: if they differ.
        ValueError: if a bias of ours is 0 for a whole gate, a weight is NaN, a number above is out of its range, or
            ours draws random numbers, as dropout does in training.
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
    takes = taken(theirs) if takes is None else tuple(takes)
    if not set(takes) <= set(WORDS) or "xs" not in takes:
        raise TypeError(f'same: takes must be "xs" and of "state" and "lengths" those that theirs takes, got {takes}')
    cells = list(getattr(ours, "cells", [ours]))
    check_numbers(ours, T, B, min_length if "lengths" in takes else 0, tolerance)
    if not allow_zero:
        check_biases(cells)
    cases = list(cases_of(ours, cells[0], takes, I, T, B, min_length, seed))
    found = [called(theirs, case, takes, ours) for case in cases]
    for case, result in zip(cases, found):
        own = run_of(ours)(case.xs, case.state, case.lengths)
        if not _agree(own, result, case, tolerance):
            break
    else:
        return
    again = run_of(ours)(case.xs, case.state, case.lengths)
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(tree_leaves(own), tree_leaves(again))):
        raise ValueError(
            "same: two runs of ours differ, it draws random numbers; call ours.eval(), which drops nothing"
        )
    k = _cell_that_differs(ours, case, own, result, tolerance)
    name = getattr(theirs, "__name__", type(theirs).__name__)
    where = _located(ours, theirs, case, own, result, k, takes, tolerance)
    lines = [f"same: {name_of(ours)} and {name} differ", f"  first: {where}"]
    lines.append(f"  seen in: {case.name}")
    if "state" in takes and k is not None:
        lines += _probed(ours, theirs, cases[0], takes, k, tolerance)
    unknown = "  no cause was found: none of the usual differences, nor up to three of them, makes our results theirs"
    causes = list(_causes(ours, cells, k, cases, found, tolerance, takes))
    raise DifferenceError("\n".join([*lines, *(causes or [unknown])]))


# --- where -----------------------------------------------------------------------------------------------------------


def _gaps(a: Any, b: Any, tolerance: float) -> np.ndarray:
    """Where two arrays differ: NaN differs from all."""
    size = np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
    return np.asarray(~(np.abs(a - b) <= tolerance * size))


def _outputs(a: Any, b: Any, case: Case, tolerance: float) -> np.ndarray:
    """The same of outputs, up to the sequences' ends."""
    gaps = _gaps(a, b, tolerance)
    return gaps if case.lengths is None else gaps & (np.arange(len(a))[:, None] < case.lengths)[:, :, None]


def _differ(a: Any, b: Any, tolerance: float) -> bool:
    return any(_gaps(s, r, tolerance).any() for s, r in zip(tree_leaves(a), tree_leaves(b)))


def _agree(a: _Results, b: _Results, case: Case, tolerance: float) -> bool:
    if _outputs(a[0], b[0], case, tolerance).any():
        return False
    return b[1] is None or not _differ(a[1], b[1], tolerance)


def _cell_that_differs(ours: Any, case: Case, a: _Results, b: _Results, tolerance: float) -> int | None:
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
    ours: Any, theirs: Any, case: Case, a: _Results, b: _Results, k: int | None, takes: Any, tolerance: float
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


def _in_states(ours: Any, theirs: Any, case: Case, found: Any, k: int, backwards: bool, takes: Any, tol: float) -> str:
    """The same of a cell's states: both are run on ever more steps, until its final states differ."""

    def of_cell(result: _Results) -> Any:
        return result[1][k] if hasattr(ours, "cells") else result[1]

    T, states = len(case.xs), [of_cell(result) for result in found]
    for steps in range(1, T + 1 if case.lengths is None else 1):
        part = case._replace(xs=case.xs[T - steps :] if backwards else case.xs[:steps])
        states = [of_cell(run_of(ours)(part.xs, part.state, None)), of_cell(called(theirs, part, takes, ours))]
        if _differ(states[0], states[1], tol):
            break
    for j, (s, r) in enumerate(zip(*map(tree_leaves, states))):
        gaps = _gaps(s, r, tol)
        if gaps.any():
            at = tuple(int(n) for n in np.argwhere(gaps)[0])
            t = f"at time step {T - steps if backwards else steps - 1}" if case.lengths is None else "final state"
            return f"{t}, part {j} of the state, sequence {at[0]}, unit {at[1:]}: {s[at]:.6g} here, {r[at]:.6g} there"
    raise AssertionError("the states differ")


def _probed(ours: Any, theirs: Any, case: Case, takes: Sequence[str], k: int, tolerance: float) -> list[str]:
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
            final = (called(theirs, own_case, takes, ours) if there else run_of(ours)(case.xs, state, None))[1]
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
    run = run_of(made)
    for suspect in group:
        if suspect.call is not None:
            run = suspect.call(run)
    return run
