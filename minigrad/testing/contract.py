"""The contract of cells, apart from gradients: state, batch, pieces, the plain call, integers, padding, parameters."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..backward import lineage
from ..details import record_details
from ..modes import enable_grad, no_grad
from ..ops import where
from ..record import Variable
from ..shapes import stack
from ..tensor import Tensor
from ..tree import tree_leaves, tree_map
from .calls_of_cells import call, check_times, described, takes_time
from .problem import Arrays, GradientError
from .recorded import floating_parts, paths
from .unrolled import Unrolled, at, lifted, ordered, structure_of

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def _rows(tree: Any, rows: slice) -> Any:
    return tree_map(lambda y: (y._array if isinstance(y, Variable) else y)[rows], tree)


def _where_going(going: np.ndarray, new: Any, old: Any) -> Any:
    return where(going.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _remedy(new: Any, old: Tensor) -> str:
    """What to write for a part of the state that is no longer what it was."""
    if isinstance(new, np.ndarray):
        return "; an array has no gradient: compute it from Tensors"
    if isinstance(new, Tensor) and new.shape == old.shape and new.dtype.kind == old.dtype.kind == "f":
        own = old.dtype
        return (
            f"; integers and float64 beside {own} change its dtype: write n.astype(h.dtype), and make weights of {own}"
        )
    return ""


class Contract(Unrolled):
    """What a cell must fulfil over one sequence; each check raises `GradientError` where it does not."""

    random = False  # whether a run draws random numbers
    projects_at_random = False
    called_plainly = called_masked = False  # whether these gave the values of a run
    numbers: np.ndarray | None = None  # integers (T, B) that did

    def check(self, names: list[str], integers: bool | None) -> None:
        """Run every check of this page; `names` are the parameters'."""
        self.check_state_is_kept()
        self.check_repeatable()
        self.check_rows()
        self.check_two_pieces()
        self.check_plain_call()
        if self.rows:
            self.check_integers(self.rows, integers)
        self.check_padding()
        self.check_masked()
        self.check_parameters_matter(names)
        if hasattr(self.made, "named_parameters") or hasattr(self.made, "parameters"):
            self.check_parameters_are_found()

    def check_state_is_kept(self) -> None:
        """In the dtype the cell was made in."""
        cell = self.with_parameters(self.parameters)
        before = self.first(cell, self.B)
        state = before
        with no_grad():
            projected = self.project(cell, self.tensors(self.xs, self.dtype))
            check_times(self.name, projected, self.T)
            for t in range(self.T):
                result = self.step(cell, at(projected, t), state, t)
                if not isinstance(result, tuple) or len(result) != 2:
                    missing = "; is a `return` missing?" if result is None else ""
                    raise GradientError(f"a step must return (output, state), got {described(result)}{missing}")
                output, state = result
                if paths(state) != self.state_paths or structure_of(state) != structure_of(before):
                    shapes = tree_map(np.shape, state), tree_map(np.shape, before)
                    raise GradientError(
                        f"time step {t} returns a state of another structure than initial_state(B): {shapes[0]} "
                        f"instead of {shapes[1]}"
                    )
                for path, old, new in zip(self.state_paths, tree_leaves(before), tree_leaves(state)):
                    if not isinstance(new, Tensor) or (new.shape, new.dtype) != (old.shape, old.dtype):
                        raise GradientError(
                            f"time step {t} turns state{path} from {described(old)} into {described(new)}"
                            + _remedy(new, old)
                        )
                for y in tree_leaves(output) or [output]:
                    if not isinstance(y, Tensor) or not y.ndim or y.shape[0] != self.B or y.dtype != self.dtype:
                        raise GradientError(
                            f"the output at time step {t} is {described(y)}; it must be a Tensor with the batch "
                            f"of {self.B} along its first axis, in the parameters' {self.dtype}"
                        )

    def _same(self, what: str, found: Any, expected: Any) -> None:
        for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
            a, b = (np.asarray(x._array if isinstance(x, Variable) else x) for x in (a, b))
            if a.shape != b.shape:
                raise GradientError(f"{what}: shapes {a.shape} and {b.shape}")
            with np.errstate(invalid="ignore"):
                largest = max(1.0, float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b))))
                gap = ~((np.abs(np.subtract(a, b, dtype=np.float64)) <= 1e-9 * largest) | (a == b))
                gap &= ~(np.isnan(a) & np.isnan(b))
            if gap.any():
                index = tuple(int(i) for i in np.argwhere(gap)[0])
                raise GradientError(f"{what}: {a[index]:.10g} and {b[index]:.10g} at index {index}")

    def check_repeatable(self) -> None:
        """The same cell twice, its generators put back in between."""
        cell = self.cell()
        begun = self.drawn_from(cell)
        with no_grad():
            self.project(cell, self.tensors(self.xs))
        self.projects_at_random = begun.moved()
        begun.put_back()
        first = self.run(cell, self.xs, self.state())
        self.random = begun.moved()
        self.run(cell, tree_map(lambda x: x[::-1], self.xs), self.state())
        begun.put_back()
        text = (
            "two runs from the same state differ; does the cell keep state of its own, or is it random? (Let it hold "
            "its random generator as an attribute, which is then put back.)"
        )
        self._same(text, self.run(cell, self.xs, self.state()), first)

    def _with_others(self, b: int, n: int) -> tuple[Any, Any]:
        """Inputs and state of which row b is the same for n steps, and all else is other."""
        turned = tree_map(lambda x: np.roll(np.roll(x, 1, axis=0), 1, axis=1), self.xs)
        turned = tree_map(lambda x: 1.0 - 2.0 * x if x.dtype.kind == "f" else x, turned)
        state = tree_map(lambda s: np.array(np.roll(s._array, 1, axis=0)), self.state())
        for new, old in zip(tree_leaves(turned), tree_leaves(self.xs)):
            new[:n, b] = old[:n, b]
        for new, before in zip(tree_leaves(state), tree_leaves(self.state())):
            new[b] = before._array[b]
        return turned, tree_map(Tensor, state)

    def _alone(self, b: int, n: int) -> Any:
        """Outputs and final state of row b after n steps: by itself, or if the cell is random among other rows."""
        rows = slice(b, b + 1)
        if not self.random:
            return self.run(self.cell(), at(self.xs, (slice(n), rows)), self.state(rows))
        xs, state = self._with_others(b, n)
        outputs, final = self._frozen(self.tensors(xs), state, b, n)
        return _rows(outputs[:n], rows), _rows(final, rows)

    def check_rows(self) -> None:
        outputs, final = self.run(self.cell(), self.xs, self.state())
        for b in range(self.B):
            rows = slice(b, b + 1)
            part = _rows(outputs, rows), _rows(final, rows)
            whose = "with other rows" if self.random else "alone"
            self._same(
                f"row {b} of a batch of {self.B} and the same row {whose} differ; rows mix",
                part,
                self._alone(b, self.T),
            )

    def check_two_pieces(self) -> None:
        if self.projects_at_random:
            return  # a piece of the sequence draws other numbers
        whole = self.run(self.cell(), self.xs, self.state())
        for cut in range(1, self.T):
            cell, state = self.cell(), self.state()
            first, carried = self.run(cell, at(self.xs, slice(cut)), state)
            second, final = self.run(cell, at(self.xs, slice(cut, None)), carried, cut)
            self._same(
                f"a sequence cut after {cut} steps, with the state carried, differs", (first + second, final), whole
            )

    def check_plain_call(self) -> None:
        cell = self.cell()
        if self.projects_at_random:
            return
        if hasattr(cell, "project"):
            with no_grad():
                whole = self.project(cell, self.tensors(self.xs))
                for t in range(self.T):
                    self._same(
                        f"project of all times and of time {t} alone differ",
                        at(whole, t),
                        self.project(cell, self.tensors(at(self.xs, t))),
                    )
        time = self.timed and takes_time(getattr(cell, "forward", cell))
        if not callable(cell) or not hasattr(cell, "step") or self.timed != time:
            return
        expected, final = self.run(self.cell(), self.xs, self.state())
        state = self.state()
        cell = self.cell()
        with no_grad():
            for t in range(self.T):
                try:
                    given = {"x": self.tensors(at(self.xs, t)), "state": state}
                    output, state = call(self.name, "the plain call", cell, given, t if time else None)
                except (TypeError, ValueError):
                    if isinstance(self.xs, np.ndarray):
                        raise
                    return  # its plain call takes one array, as that of `nn.Cell`
                self._same(f"step(project(x)) and the plain call differ at time step {t}", expected[t], output)
        self._same("the final states of step(project(x)) and of the plain call differ", final, ordered(state, final))
        self.called_plainly = True

    def check_integers(self, I: int, wanted: bool | None) -> None:
        if wanted is False:
            return
        # I integers would be a vector to x @ W of a cell that takes none, and no error: one row less
        rows = slice(0, self.B - 1 if self.B == I > 1 else self.B)
        numbers = self.rng.integers(0, I, (self.T, self.B))[:, rows]
        state = self.state(rows)
        cell = self.cell()
        try:
            with no_grad():
                found, state = self.over(cell, numbers, state)
        except (TypeError, ValueError, IndexError) as error:
            if wanted:
                raise GradientError(f"integer inputs (T, B) = {numbers.shape} failed: {error}") from error
            return  # it takes none
        text = "integers and one-hot vectors differ (refuse integers with a TypeError, or pass integers=False)"
        self._same(text, (found, state), self.run(self.cell(), np.eye(I)[numbers], self.state(rows)))
        self.numbers = numbers

    def _frozen(self, xs: Any, state: Any, b: int | None = None, n: int = 0) -> tuple[list[Any], Any]:
        """Outputs and final state when row b is frozen after n steps; without b, rows after T, T - 1, ... steps."""
        lengths = np.array([max(1, self.T - row) for row in range(self.B)])
        if b is not None:
            lengths[b] = n
        cell = self.cell()
        projected, outputs = self.project(cell, xs), []
        for t in range(self.T):
            output, new = self.step(cell, at(projected, t), state, t)
            state = tree_map(partial(_where_going, t < lengths), new, state)
            outputs.append(output)
        return outputs, state

    def check_padding(self) -> None:
        """Rows of lengths T, T - 1, ..., with the state frozen past each."""
        xs = self.tensors(self.xs, requires_grad=True)
        outputs, state = self._frozen(xs, self.state())
        for b in range(self.B):
            n, rows = max(1, self.T - b), slice(b, b + 1)
            part = _rows(outputs[:n], rows), _rows(state, rows)
            self._same(
                f"row {b}, frozen after {n} of {self.T} steps, and the same row alone differ", part, self._alone(b, n)
            )
        floating = [s for s in tree_leaves(state) if s.requires_grad]
        if floating:
            stack([s.sum() for s in floating]).sum().backward()
            gradients = [x.grad for x in tree_leaves(xs) if isinstance(x, Tensor)]
            for b in range(self.B):
                n = max(1, self.T - b)
                for gradient in gradients:
                    if gradient is not None and gradient[n:, b].any():
                        raise GradientError(f"row {b} ends after {n} steps, and yet its padding has a gradient")

    def check_parameters_matter(self, names: list[str]) -> None:
        """A parameter without effect is not used, or is held where it cannot be replaced: in a closure or a global."""
        leaves = _arrays(self.run(self.cell(), self.xs, self.state()))
        for k, name in enumerate(names):
            values = [Tensor(v + 0.1 * (j == k) * self.rng.standard_normal(v.shape)) for j, v in enumerate(self.values)]
            cell = self.with_parameters(values)
            with no_grad():
                start = self.moved(self.first(cell, self.B), self.start)
            after = _arrays(self.run(cell, self.xs, start))
            if values[k].size and all(np.array_equal(a, b) for a, b in zip(leaves, after)):
                raise GradientError(
                    f"parameter {name} has no effect on {self.T} steps; is it unused, or taken from a closure?"
                )

    def check_parameters_are_found(self) -> None:
        """No other leaf takes a gradient: it would neither be trained nor saved, and it is not checked."""
        given = [*self.values, *[x for x in tree_leaves(self.xs) if x.dtype.kind == "f"], *self.start]
        leaves = [Tensor(x, requires_grad=True) for x in given]
        known = {leaf.node for leaf in leaves}
        with enable_grad(), record_details():
            result = floating_parts(self.unrolled(*leaves))
        for t in lineage([y.node for y in result if y.node is not None])[0][::-1]:
            for node in t.inputs:
                if node is not None and node.primitive is None and node not in known:
                    where = f", called at {t.origin.line}" if t.origin else ""
                    raise GradientError(
                        f"a tensor of shape {node.shape} that requires a gradient takes part in `{t.primitive.name}`"
                        f"{where}, but is not among the cell's parameters, so it would be neither trained nor saved: "
                        "hold it in an attribute, or in a list, tuple or dict there, not in a set, in another object "
                        "or in a closure; a constant needs no requires_grad"
                    )

    def check_masked(self) -> None:
        """`step_masked` with a mask of ones, which drops nothing, is the step, if it was written for this one."""
        try:
            self.made.check_masked(0.5)
        except (AttributeError, TypeError):
            return
        found = []
        for masked in (False, True):
            cell, state = self.cell(), self.state()
            with no_grad():
                x = at(self.project(cell, self.tensors(self.xs)), 0)
                read = next((s for s in tree_leaves(state) if s.dtype.kind == "f"), None)
                given = {"x": x, "state": state}
                if read is None or not masked:
                    found.append(self.step(cell, x, state, 0))
                    continue
                given["mask"] = Tensor(np.ones(read.shape))
                output, new = call(self.name, "step_masked", cell.step_masked, given, 0 if self.timed else None)
                found.append((output, ordered(tree_map(lifted, new), state)))
                self.called_masked = True
        self._same("step_masked with a mask of ones and step differ", found[1], found[0])


def _arrays(result: tuple[list[Arrays], Any]) -> Arrays:
    """All outputs and the final state of a run."""
    return [*tree_leaves(result[0]), *[s._array for s in tree_leaves(result[1])]]
