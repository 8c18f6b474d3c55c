"""A recurrent cell over a sequence, for the checks of `check_cell`: the same values and the same draws in every run."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np

from ..generators import States, reached, shared
from ..modes import no_grad
from ..record import Node, clock
from ..tensor import Tensor
from ..tree import flatten, tree_leaves, tree_map
from .calls_of_cells import call, described, step_of, takes_time
from .problem import Arrays
from .recorded import paths

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


class FunctionOf:
    """A function (x, state) -> (output, state) as a cell whose state is one Tensor (B, H)."""

    def __init__(self, f: Callable[..., Any], H: int) -> None:
        self.step, self.H = f, H

    def initial_state(self, B: int) -> Tensor:
        return Tensor(np.zeros((B, self.H)))


def at(tree: Any, index: Any) -> Any:
    """Each leaf of a tree at an index."""
    return tree_map(lambda leaf: leaf[index], tree)


class Unrolled:
    """A cell with float64 values for its parameters, inputs (a tree of (T, B, ...)) and a random state to start from.

    Parameters are replaced, not changed: `copy.deepcopy` with a memo puts other tensors wherever the cell holds its
    own, and copies its random generators as they were at first. So every run draws the same numbers.

    `name` begins messages, `rows` is the size I of inputs that the checker has drawn, 0 if they are the user's.

    Raises:
        TypeError: if a part of the state is no Tensor of numbers with the batch along its first axis.
    """

    def __init__(
        self,
        name: str,
        made: Any,
        parameters: list[Tensor],
        values: Arrays,
        xs: Any,
        rng: np.random.Generator,
        rows: int = 0,
    ) -> None:
        self.name, self.rows, self.timed = name, rows, takes_time(step_of(made))
        self.made, self.parameters, self.values, self.xs, self.rng = made, parameters, values, xs, rng
        leaves, self.rebuild_xs = flatten(xs)
        self.T, self.B = leaves[0].shape[:2]
        self.floating = [x.dtype.kind == "f" for x in leaves]
        self.generators = self.drawn_from(made)
        whose = parameters or [s for s in tree_leaves(made.initial_state(self.B)) if isinstance(s, Tensor)]
        self.dtype = next((s.dtype for s in whose if s.dtype.kind == "f"), np.dtype(np.float64))
        for B in (self.B + 1, self.B):
            first, self.rebuild = flatten(self.first(self.cell(), B))
            self.state_paths = paths(self.rebuild(first))
            for leaf, path in zip(first, self.state_paths):
                if not isinstance(leaf, Tensor) or leaf.shape[:1] != (B,) or leaf.dtype.kind not in "fiub":
                    empty = "; without a state of its own a cell has the state ()" if leaf is None else ""
                    raise TypeError(
                        f"{self.name}state{path} of initial_state({B}) must be a Tensor of numbers with "
                        f"the batch of {B} along its first axis, got {described(leaf)}{empty}"
                    )
        self.moving = [leaf.dtype.kind == "f" for leaf in first]  # the others, such as counters, have no gradient
        start = [rng.standard_normal(leaf.shape) if moves else None for leaf, moves in zip(first, self.moving)]
        self.start = [d for d in start if d is not None]  # added to the initial state
        self.marks: list[int] = []

    # --- cells -------------------------------------------------------------------------------------------------------

    def with_parameters(self, values: list[Any]) -> Any:
        """The cell as it was made, with other tensors in the places of its parameters; they may be recorded ones."""
        self.generators.put_back()
        return copy.deepcopy(self.made, {id(p): v for p, v in zip(self.parameters, values, strict=True)})

    def cell(self) -> Any:
        """The cell as it was made, with the random parameters."""
        return self.with_parameters([Tensor(v) for v in self.values])

    @staticmethod
    def drawn_from(cell: Any) -> States:
        """The random generators that a cell can draw from, and those of the modules `random` and `np.random`."""
        return States([*reached([cell]), *shared()])

    # --- steps -------------------------------------------------------------------------------------------------------

    def first(self, cell: Any, B: int) -> Any:
        """The initial state."""
        return call(self.name, f"initial_state({B})", cell.initial_state, {"B": B})

    def step(self, cell: Any, x: Any, state: Any, t: int) -> Any:
        """One step from what `project` made of x; a state's plain integers and booleans become Tensors, as in a run."""
        given = {"x": x, "state": state}
        result = call(self.name, f"step {t}", step_of(cell), given, t if self.timed else None, self._hint())
        if not isinstance(result, tuple) or len(result) != 2:
            return result
        return result[0], ordered(tree_map(lifted, result[1]), state)

    def project(self, cell: Any, xs: Any) -> Any:
        if not hasattr(cell, "project"):
            return xs
        return call(self.name, "project(xs)", cell.project, {"xs": xs}, hint=self._hint())

    def _hint(self) -> str:
        """What to write for a cell that takes no rows."""
        if not self.rows:
            return ""
        like = f"np.random.default_rng(0).standard_normal(({self.T}, {self.B}, {self.rows}))"
        return (
            "\n  inputs= is missing, so the xs were rows (T, B, I); a cell that takes something else, such as a dict, "
            f'is given it: check_cell(..., inputs={{"x": {like}, ...}}), or a tuple of arrays, or one of another shape'
        )

    def moved(self, initial: Any, by: list[Any]) -> Any:
        """An initial state with something added to each of its floating-point parts."""
        following = iter(by)
        return tree_map(lambda s: s + next(following) if s.dtype.kind == "f" else s, initial)

    def unrolled(self, *tensors: Any) -> list[Any]:
        """Outputs and final state as functions of parameters, inputs, and what is added to the initial state."""
        n, m = len(self.parameters), sum(self.floating)
        cell, given = self.with_parameters(list(tensors[:n])), iter(tensors[n : n + m])
        xs = tree_map(lambda x: next(given) if x.dtype.kind == "f" else x, self.xs)
        state = self.moved(self.first(cell, self.B), list(tensors[n + m :]))
        outputs, last = self.over(cell, xs, state)
        return [*outputs, last]

    def over(self, cell: Any, xs: Any, state: Any) -> tuple[list[Any], Any]:
        """Outputs at each time and the final state; `locate` tells the time steps of this run from then on."""
        projected, outputs, marks = self.project(cell, xs), [], []
        for t in range(self.T):
            marks.append(clock())
            output, state = self.step(cell, at(projected, t), state, t)
            outputs.append(output)
        self.marks = [*marks, clock()]
        return outputs, state

    def locate(self, t: Node) -> str:
        """The time step that a recorded step belongs to."""
        k = bisect_right(self.marks, t.order) - 1
        return "before the first time step" if k < 0 else f"at time step {min(k, self.T - 1)} of 0 ... {self.T - 1}"

    def tensors(self, xs: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
        """Inputs as a cell gets them: floats as Tensors, integers as they are."""
        make = lambda x: Tensor(x, dtype=dtype, requires_grad=requires_grad) if x.dtype.kind == "f" else x
        return tree_map(make, xs)

    def run(self, cell: Any, xs: Any, state: Any, start: int = 0) -> tuple[list[Arrays], Any]:
        """Outputs at each time, the first of which is `start`, as arrays, and the final state; not recorded."""
        outputs = []
        with no_grad():
            projected = self.project(cell, self.tensors(xs))
            for t in range(len(tree_leaves(xs)[0])):
                output, state = self.step(cell, at(projected, t), state, start + t)
                outputs.append([np.array(y._array) for y in tree_leaves(output)])
        return outputs, state

    def state(self, rows: slice = slice(None)) -> Any:
        """The state that the random start makes of the initial state, or some rows of it."""
        with no_grad():
            whole = self.moved(self.first(self.cell(), self.B), self.start)
        self.generators.put_back()
        return tree_map(lambda s: Tensor(s._array[rows]), whole)


def lifted(s: Any) -> Any:
    plain = not isinstance(s, Tensor) and np.asarray(s).dtype.kind in "iub"
    return Tensor(s) if plain else s


def ordered(new: Any, old: Any) -> Any:
    """`new` with the keys of its dicts in the order of `old`, as in a run."""
    if isinstance(new, Tensor):
        return new
    return tree_map(lambda _, n: n, old, new) if structure_of(new) == structure_of(old) else new


def structure_of(tree: Any) -> Any:
    """A tree without its leaves; a list is another structure than a tuple."""
    return tree_map(lambda _: None, tree)
