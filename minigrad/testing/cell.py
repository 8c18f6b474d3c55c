"""check_cell: everything that minigrad's own recurrent cells fulfil, for anyone's cell.

A cell is known by what it has, not by its class: `initial_state(B)`, and `step(x, state) -> (output, state)` or a call
of the same form; maybe `project(xs)` and `parameters()` or `named_parameters()`.

Parameters are replaced, not changed: `copy.deepcopy` with a memo puts other tensors wherever the cell holds its own.
So a cell, whatever dtype it was made in, runs with float64 values, with recorded tensors at any order, with float32.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..modes import no_grad
from ..ops import where
from ..record import Node, Variable, clock
from ..shapes import stack
from ..tensor import Tensor
from ..tree import flatten, tree_leaves, tree_map
from .check import check_tensors
from .problem import Arrays, GradientError, KinkError, Options
from .recorded import paths
from .report import reproduction


def check_cell(
    factory: Callable[[int, int], Any],
    I: int = 4,
    H: int = 3,
    *,
    B: int = 2,
    T: int = 3,
    order: int = 2,
    integers: bool | None = None,
    rtol: float = 1e-6,
    on_kink: str = "raise",
    seed: int = 0,
) -> None:
    """Check a recurrent cell: gradients through T steps, and the contract of cells.

    - the gradients of outputs and final state agree with finite differences at orders 1 ... `order`, for every
      parameter, the inputs and the initial state, at random parameters that neither commute nor are symmetric;
    - the state keeps its structure, shapes and dtypes; the batch is its first axis; rows do not influence each other;
    - a sequence in one piece gives the same as in two with the state carried;
    - `project` of all times, then `step`, gives the same as the plain call one time after the other;
    - integers give the same as one-hot vectors, if the cell takes integers;
    - a row whose state is frozen after its last step gives the same as that row alone, and padding has no gradient.

    Args:
        factory: `factory(I, H)` returns the cell; write a lambda to pass more. I and H should differ.
        I, H: sizes of inputs (B, I) and of whatever H means to the factory.
        B, T: rows of the batch and time steps; B >= 2 and T >= 3 let no fault hide.
        order: the highest derivative that is checked.
        integers: whether the cell takes integers (B,) for one-hot inputs; by default it is tried.
        rtol, on_kink, seed: as for `check_grad`.

    Raises:
        GradientError: naming what fails: for a wrong derivative the parameter, the primitive, and the time step.
        KinkError: (a ValueError) if no verdict is possible at these random values; try another seed.
        TypeError: if the factory's result is no cell.
    """
    rng = np.random.default_rng(seed)
    made = factory(I, H)
    name = f"check_cell: {type(made).__name__}: "
    if not hasattr(made, "initial_state") or not (hasattr(made, "step") or callable(made)):
        raise TypeError(f"{name}a cell needs initial_state(B), and step(x, state) or a call of the same form")
    if B < 1 or T < 1:
        raise ValueError(f"check_cell: B and T must be at least 1, got {B} and {T}")
    parameters = named_parameters(made)
    values = [p.data.astype(np.float64) + 0.5 * rng.standard_normal(p.shape) for p in parameters.values()]
    run = _Run(made, list(parameters.values()), values, rng.standard_normal((T, B, I)), rng)
    try:
        run.check_state_is_kept()
        run.check_repeatable()
        run.check_rows()
        run.check_two_pieces()
        run.check_plain_call()
        run.check_integers(I, integers)
        run.check_padding()
        run.check_parameters_matter(list(parameters))
        labels = [f"parameter {key}" for key in parameters] + ["xs"] + [f"state{path}" for path in run.state_paths]
        own = run.dtype
        check_tensors(
            run.unrolled,
            [*values, run.xs, *run.start],
            [own] * len(labels),
            labels,
            Options(rtol=rtol, on_kink=on_kink),
            order,
            seed,
            lambda: reproduction("check_cell", {"factory": factory}, [], f", {I}, {H}, B={B}, T={T}, seed={seed}"),
            run.locate,
        )
    except GradientError as error:
        raise GradientError(name + str(error)) from error.__cause__
    except KinkError as error:
        raise KinkError(name + str(error)) from None


def named_parameters(cell: Any) -> dict[str, Tensor]:
    """A cell's parameters by name, or by number if it has no names for them."""
    if hasattr(cell, "named_parameters"):
        return dict(cell.named_parameters())
    return {str(k): p for k, p in enumerate(cell.parameters())} if hasattr(cell, "parameters") else {}


def described(y: Any) -> str:
    return f"a {type(y).__name__} of shape {np.shape(y)} and dtype {getattr(y, 'dtype', None)}"


def _rows(tree: Any, rows: slice) -> Any:
    return tree_map(lambda y: (y._data if isinstance(y, Variable) else y)[rows], tree)


def _where_going(going: np.ndarray, new: Any, old: Any) -> Any:
    return where(going.reshape(-1, *[1] * (new.ndim - 1)), new, old)


class _Run:
    """A cell with random float64 parameters, a sequence xs (T, B, I) and a random state to start from."""

    def __init__(
        self, made: Any, parameters: list[Tensor], values: Arrays, xs: np.ndarray, rng: np.random.Generator
    ) -> None:
        self.made, self.parameters, self.xs, self.rng = made, parameters, xs, rng
        self.T, self.B = xs.shape[:2]
        self.values = values
        whose = parameters or [s for s in tree_leaves(made.initial_state(self.B)) if isinstance(s, Tensor)]
        self.dtype = whose[0].dtype if whose else np.dtype(np.float64)
        self.cell = self.with_parameters([Tensor(v) for v in values])
        for B in (self.B + 1, self.B):
            first, self.rebuild = flatten(self.cell.initial_state(B))
            self.state_paths = paths(self.cell.initial_state(B))
            for leaf, path in zip(first, self.state_paths):
                if not isinstance(leaf, Tensor) or leaf.shape[:1] != (B,) or leaf.dtype.kind != "f":
                    raise TypeError(
                        f"check_cell: {type(made).__name__}: state{path} of initial_state({B}) must be a "
                        f"floating-point Tensor with the batch of {B} along its first axis, got {described(leaf)}"
                    )
        self.start = [rng.standard_normal(leaf.shape) for leaf in first]  # added to the initial state
        self.marks: list[int] = []

    def with_parameters(self, values: list[Any]) -> Any:
        """The cell with other tensors in the places of its parameters; they may be recorded ones."""
        return copy.deepcopy(self.made, {id(p): v for p, v in zip(self.parameters, values, strict=True)})

    @staticmethod
    def step(cell: Any, x: Any, state: Any) -> Any:
        """One step from what `project` made of x."""
        return cell.step(x, state) if hasattr(cell, "step") else cell(x, state)

    @staticmethod
    def project(cell: Any, xs: Any) -> Any:
        return cell.project(xs) if hasattr(cell, "project") else xs

    def unrolled(self, *tensors: Any) -> list[Any]:
        """Outputs and final state as functions of parameters, xs, and what is added to the initial state."""
        n = len(self.parameters)
        cell, xs = self.with_parameters(list(tensors[:n])), tensors[n]
        state = tree_map(lambda s, d: s + d, cell.initial_state(self.B), self.rebuild(list(tensors[n + 1 :])))
        projected = self.project(cell, xs)
        outputs = []
        marks = []
        for t in range(self.T):
            marks.append(clock())
            output, state = self.step(cell, projected[t], state)
            outputs.append(output)
        self.marks = [*marks, clock()]
        return [*outputs, state]

    def locate(self, t: Node) -> str:
        """The time step that a recorded step belongs to."""
        k = bisect_right(self.marks, t.order) - 1
        return "before the first time step" if k < 0 else f"at time step {min(k, self.T - 1)} of 0 ... {self.T - 1}"

    def run(self, cell: Any, xs: np.ndarray, state: Any) -> tuple[list[Arrays], Any]:
        """Outputs at each time, as arrays, and the final state; not recorded."""
        outputs = []
        with no_grad():
            projected = self.project(cell, Tensor(xs))
            for t in range(len(xs)):
                output, state = self.step(cell, projected[t], state)
                outputs.append([np.array(y._data) for y in tree_leaves(output)])
        return outputs, state

    def state(self, rows: slice = slice(None)) -> Any:
        """The state that the random start makes of the initial state, or some rows of it."""
        with no_grad():
            whole = tree_map(lambda s, d: s + d, self.cell.initial_state(self.B), self.rebuild(self.start))
            return tree_map(lambda s: Tensor(s._data[rows]), whole)

    # --- the contract ------------------------------------------------------------------------------------------------

    def check_state_is_kept(self) -> None:
        """In the dtype the cell was made in."""
        cell = self.made
        before = cell.initial_state(self.B)
        state = before
        with no_grad():
            projected = self.project(cell, Tensor(self.xs, dtype=self.dtype))
            for t in range(self.T):
                result = self.step(cell, projected[t], state)
                if not isinstance(result, tuple) or len(result) != 2:
                    raise GradientError(f"a step must return (output, state), got {type(result).__name__}")
                output, state = result
                if paths(state) != self.state_paths:
                    raise GradientError(f"time step {t} returns a state of another structure than initial_state(B)")
                for path, old, new in zip(self.state_paths, tree_leaves(before), tree_leaves(state)):
                    if not isinstance(new, Tensor) or (new.shape, new.dtype) != (old.shape, old.dtype):
                        raise GradientError(
                            f"time step {t} turns state{path} from {described(old)} into {described(new)}"
                        )
                for y in tree_leaves(output):
                    if not isinstance(y, Tensor) or not y.ndim or y.shape[0] != self.B or y.dtype != self.dtype:
                        raise GradientError(
                            f"the output at time step {t} is {described(y)}; it must be a Tensor with the batch "
                            f"of {self.B} along its first axis, in the parameters' {self.dtype}"
                        )

    def _same(self, what: str, found: Any, expected: Any) -> None:
        for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
            a, b = (np.asarray(x._data if isinstance(x, Variable) else x) for x in (a, b))
            if a.shape != b.shape:
                raise GradientError(f"{what}: shapes {a.shape} and {b.shape}")
            with np.errstate(invalid="ignore"):
                gap = np.abs(a - b) > 1e-9 * max(1.0, float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b))))
            if gap.any():
                at = tuple(int(i) for i in np.argwhere(gap)[0])
                raise GradientError(f"{what}: {a[at]:.10g} and {b[at]:.10g} at index {at}")

    def check_repeatable(self) -> None:
        first = self.run(self.cell, self.xs, self.state())
        self.run(self.cell, self.xs[::-1], self.state())
        text = "two runs from the same state differ; is the cell random, or does it keep state of its own?"
        self._same(text, self.run(self.cell, self.xs, self.state()), first)

    def check_rows(self) -> None:
        outputs, final = self.run(self.cell, self.xs, self.state())
        for b in range(self.B):
            rows = slice(b, b + 1)
            alone = self.run(self.cell, self.xs[:, rows], self.state(rows))
            part = _rows(outputs, rows), _rows(final, rows)
            self._same(f"row {b} of a batch of {self.B} and the same row alone differ; rows mix", part, alone)

    def check_two_pieces(self) -> None:
        whole = self.run(self.cell, self.xs, self.state())
        for cut in range(1, self.T):
            first, carried = self.run(self.cell, self.xs[:cut], self.state())
            second, final = self.run(self.cell, self.xs[cut:], carried)
            self._same(
                f"a sequence cut after {cut} steps, with the state carried, differs", (first + second, final), whole
            )

    def check_plain_call(self) -> None:
        if hasattr(self.cell, "project"):
            with no_grad():
                whole = self.project(self.cell, Tensor(self.xs))
                for t in range(self.T):
                    self._same(
                        f"project of all times and of time {t} alone differ",
                        whole[t],
                        self.project(self.cell, Tensor(self.xs[t])),
                    )
        if not callable(self.cell) or not hasattr(self.cell, "step"):
            return
        state = self.state()
        expected, final = self.run(self.cell, self.xs, state)
        with no_grad():
            for t in range(self.T):
                output, state = self.cell(Tensor(self.xs[t]), state)
                self._same(f"step(project(x)) and the plain call differ at time step {t}", expected[t], output)
        self._same("the final states of step(project(x)) and of the plain call differ", final, state)

    def check_integers(self, I: int, wanted: bool | None) -> None:
        if wanted is False:
            return
        numbers = self.rng.integers(0, I, (self.T, self.B))
        state = self.state()
        found = []
        try:
            with no_grad():
                projected = self.project(self.cell, numbers)
                for t in range(self.T):
                    output, state = self.step(self.cell, projected[t], state)
                    found.append(tree_leaves(output))
        except (TypeError, ValueError, IndexError) as error:
            if wanted:
                raise GradientError(f"integer inputs (T, B) = {numbers.shape} failed: {error}") from error
            return  # it takes none
        text = "integers and one-hot vectors differ (refuse integers with a TypeError, or pass integers=False)"
        self._same(text, (found, state), self.run(self.cell, np.eye(I)[numbers], self.state()))

    def check_padding(self) -> None:
        """Rows of lengths T, T - 1, ..., with the state frozen past each."""
        lengths = [max(1, self.T - b) for b in range(self.B)]
        xs = Tensor(self.xs, requires_grad=True)
        state = self.state()
        projected, outputs = self.project(self.cell, xs), []
        for t in range(self.T):
            output, new = self.step(self.cell, projected[t], state)
            state = tree_map(partial(_where_going, np.array([t < n for n in lengths])), new, state)
            outputs.append(output)
        for b, n in enumerate(lengths):
            rows = slice(b, b + 1)
            alone = self.run(self.cell, self.xs[:n, rows], self.state(rows))
            part = _rows(outputs[:n], rows), _rows(state, rows)
            self._same(f"row {b}, frozen after {n} of {self.T} steps, and the same row alone differ", part, alone)
        floating = [s for s in tree_leaves(state) if s.requires_grad]
        if floating:
            stack([s.sum() for s in floating]).sum().backward()
            for b, n in enumerate(lengths):
                if xs.grad is not None and xs.grad[n:, b].any():
                    raise GradientError(f"row {b} ends after {n} steps, and yet its padding has a gradient")

    def check_parameters_matter(self, names: list[str]) -> None:
        """A parameter without effect is not used, or is held where it cannot be replaced: in a closure or a global."""
        before = self.run(self.cell, self.xs, self.state())
        leaves = [*tree_leaves(before[0]), *[s._data for s in tree_leaves(before[1])]]
        for k, name in enumerate(names):
            values = [Tensor(v + 0.1 * (j == k) * self.rng.standard_normal(v.shape)) for j, v in enumerate(self.values)]
            cell = self.with_parameters(values)
            with no_grad():
                start = tree_map(lambda s, d: s + d, cell.initial_state(self.B), self.rebuild(self.start))
            after = self.run(cell, self.xs, start)
            moved = [*tree_leaves(after[0]), *[s._data for s in tree_leaves(after[1])]]
            if values[k].size and all(np.array_equal(a, b) for a, b in zip(leaves, moved)):
                raise GradientError(
                    f"parameter {name} has no effect on {self.T} steps; is it unused, or taken from a closure?"
                )
