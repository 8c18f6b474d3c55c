"""The ways in which a cell is called, each of which must have the gradients of one run over the whole sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..shapes import concatenate
from ..tensor import Tensor
from ..tree import flatten, tree_leaves, tree_map
from .calls_of_cells import takes_time
from .contract import Contract
from .derivative import differs
from .problem import Arrays, GradientError, random_signs
from .recorded import floating_parts, pulled, recorded
from .unrolled import at, lifted, ordered

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

Way = Callable[[Any, Any, Any], tuple[list[Any], Any]]  # (cell, xs, state) -> (outputs, final state)


class Ways:
    """Gradients of one sequence's outputs and final state; `labels` name parameters, inputs and parts of the state.

    A contract that was checked says which ways give the same values: a record that is cut, or a wrong rule, in one of
    them alone is seen in no other.
    """

    def __init__(self, run: Contract, labels: list[str]) -> None:
        self.run, self.labels = run, labels

    def check(self) -> None:
        """Raise GradientError for the first gradient that is another one."""
        run = self.run
        whole = self._gradients(run.over)
        if not run.random:
            self._same("for each row alone", self._gradients(self._by_rows), whole, "for the whole batch")
        if not run.projects_at_random:
            self._same("for each time step alone", self._gradients(self._by_steps), whole, "for the whole sequence")
        if run.called_plainly:
            found = self._gradients(self._plainly)
            self._same("by the plain call", found, whole, "by step(project(x))")
        if run.called_masked:
            self._same("by step_masked with a mask of ones", self._gradients(self._masked), whole, "by step")
        if run.numbers is not None:
            rows = slice(run.numbers.shape[1])
            vectors = run.tensors(np.eye(run.rows)[run.numbers])
            found, expected = (self._gradients(run.over, xs, rows) for xs in (run.numbers, vectors))
            self._same("for integers", found, expected, "for one-hot vectors")

    def _gradients(self, way: Way, xs: Any = None, rows: slice = slice(None)) -> Arrays:
        """Of Σ u y over the results y, with the same random u each time; `xs` in place of the inputs are constant."""
        run = self.run
        parts, rebuild = flatten(run.xs)
        moving = [x for x in parts if x.dtype.kind == "f"] if xs is None else []
        leaves = [Tensor._sharing(x, requires_grad=True) for x in (*run.values, *moving, *run.start)]
        n = len(run.values)
        with recorded():
            cell = run.with_parameters(leaves[:n])
            state = run.moved(run.first(cell, run.B), leaves[n + len(moving) :])
            if rows != slice(None):
                state = at(state, rows)
            if xs is None:
                given = iter(leaves[n:])
                xs = rebuild([next(given) if x.dtype.kind == "f" else x for x in parts])
            results = floating_parts(way(cell, xs, state))
        rng = np.random.default_rng(0)
        return pulled(results, [random_signs(rng, y.shape).astype(y.dtype) for y in results], leaves)

    def _same(self, what: str, found: Arrays, expected: Arrays, otherwise: str) -> None:
        labels = self.labels if len(found) == len(self.labels) else [
            *self.labels[: len(self.run.values)], *self.labels[len(self.labels) - len(self.run.start) :]]  # fmt: skip
        for label, a, b in zip(labels, found, expected, strict=True):
            index = differs(a, b, 1e-9 * float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b))) + 1e-12)
            if index is not None:
                raise GradientError(
                    f"{label}: {what} the gradient at index {index} is {a[index]:.10g}, and {otherwise} "
                    f"{b[index]:.10g}, although the results are the same; is the record cut there, or a rule wrong?"
                )

    # --- the ways ----------------------------------------------------------------------------------------------------

    def _by_rows(self, cell: Any, xs: Any, state: Any) -> tuple[list[Any], Any]:
        rows = [slice(b, b + 1) for b in range(self.run.B)]
        runs = [self.run.over(cell, at(xs, (slice(None), row)), at(state, row)) for row in rows]
        joined: tuple[list[Any], Any] = tree_map(lambda *parts: concatenate(parts), *runs)
        return joined

    def _by_steps(self, cell: Any, xs: Any, state: Any) -> tuple[list[Any], Any]:
        outputs = []
        for t in range(self.run.T):
            projected = self.run.project(cell, at(xs, slice(t, t + 1)))
            output, state = self.run.step(cell, at(projected, 0), state, t)
            outputs.append(output)
        return outputs, state

    def _plainly(self, cell: Any, xs: Any, state: Any) -> tuple[list[Any], Any]:
        outputs, first = [], state
        timed = takes_time(getattr(cell, "forward", cell))
        for t in range(self.run.T):
            output, state = cell(at(xs, t), state, **({"t": t} if timed else {}))
            outputs.append(output)
        return outputs, ordered(tree_map(lifted, state), first)

    def _masked(self, cell: Any, xs: Any, state: Any) -> tuple[list[Any], Any]:
        projected, outputs = self.run.project(cell, xs), []
        for t in range(self.run.T):
            mask = Tensor(np.ones(next(s.shape for s in tree_leaves(state) if s.dtype.kind == "f")))
            output, new = cell.step_masked(at(projected, t), state, mask, **({"t": t} if self.run.timed else {}))
            outputs.append(output)
            state = ordered(tree_map(lifted, new), state)
        return outputs, state
