"""The comparison: a Jacobian by its derivative rule against the same Jacobian by finite differences.

Rows u (m,) and directions d (n,) give numbers uᵀ J d, once from the rule and once from differences. While the Jacobian
is small, rows and directions are unit vectors, so that every entry is compared. Else they are several random ones:
with E the error of the rule, uᵀ E d is zero for hardly any u and d, however few entries of E are wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .differences import EPS, QUICK, Slopes, careful_slopes, quick_slopes, scales, unit
from .problem import GradientError, KinkError, Options, Problem, random_signs
from .report import count, side_by_side

PROJECTIONS = 3
ENTRIES = {1: (64, 40), 2: (12, 8)}  # inputs, outputs up to which every entry is compared: by order
SAFETY = 10.0  # times the estimated error of the differences
SHARP = 1e-5  # an error of this share of the slope leaves nothing to wish for
SHOWN = 64  # entries of a Jacobian that a report shows
COUNTED = 2000  # entries of an input up to which a report counts the wrong ones


class Seen(NamedTuple):
    """Numbers uᵀ J d for rows u and one direction d, each (rows,): by the rule, and by differences within `error`.

    `error` is inf at a kink, and `jump` then the most by which one-sided slopes differ. `tolerance` is how far both may
    be apart, `clear` how large `error` may be for a verdict.
    """

    rule: np.ndarray
    numeric: np.ndarray
    error: np.ndarray
    jump: np.ndarray
    tolerance: np.ndarray
    clear: np.ndarray

    def kinds(self, on_kink: str) -> np.ndarray:
        """For each row "right", "wrong", or "kink": no verdict."""
        with np.errstate(invalid="ignore"):
            close = np.abs(self.rule - self.numeric) <= self.tolerance  # false for NaN
        kinked = ~np.isfinite(self.error)
        verdict = (self.error <= self.clear) | (kinked & np.isfinite(self.jump) & (on_kink == "subgradient"))
        return np.where(verdict, np.where(close, "right", "wrong"), "kink")

    def per(self, length: float) -> Seen:
        with np.errstate(over="ignore"):
            return Seen(*[part / length for part in self])


class Comparison:
    """One problem, its linear map at x, and the rows and directions that it is seen through."""

    def __init__(self, problem: Problem, options: Options, rng: np.random.Generator) -> None:
        self.problem, self.options = problem, options
        self.linear = problem.map.linearize([x.copy() for x in problem.inputs])
        inputs, outputs = ENTRIES[min(problem.order, 2)]
        full = {"full": (True, True), "project": (False, False), "auto": (problem.n <= inputs, problem.m <= outputs)}
        all_inputs, all_outputs = full[options.mode]
        self.rows = np.eye(problem.m) if all_outputs else self._random_rows(rng)
        self.slopes = None if problem.map.forward else self._pulled(self.rows)
        self.sizes = scales(problem.x, problem.typical, options.eps)
        weights = np.eye(problem.n) if all_inputs else self._random_weights(rng)
        self.weights = weights[[bool(self.sizes[0][v != 0].any()) for v in weights]]

    def _pulled(self, rows: np.ndarray) -> np.ndarray:
        return np.array([self.problem.row(self.linear, u) for u in rows]).reshape(len(rows), self.problem.n)

    def _random_weights(self, rng: np.random.Generator) -> np.ndarray:
        """Directions: several for each group of entries, none of which moves less than a tenth of the group's size."""
        p = self.problem
        size = np.where(p.size == 0, 1.0, p.size)
        weights = []
        for mask in _groups(p.owner, size):
            least = 0.1 * float(np.sqrt(np.mean(size[mask] ** 2)))
            enough = np.where(mask, np.maximum(1.0, least / size), 0.0)
            weights += [random_signs(rng, p.n) * enough for _ in range(PROJECTIONS)]
        return np.array(weights).reshape(-1, p.n)

    def _random_rows(self, rng: np.random.Generator) -> np.ndarray:
        """Several for each output."""
        p = self.problem
        owner = np.repeat(np.arange(len(p.outputs)), [y.size for y in p.outputs])[p.kept]
        masks = [owner == k for k in np.unique(owner)]
        return np.array([random_signs(rng, p.m) * mask for mask in masks for _ in range(PROJECTIONS)]).reshape(-1, p.m)

    def _look(self, rows: np.ndarray, slopes: np.ndarray | None, d: np.ndarray, found: Slopes, known: float) -> Seen:
        """Rule and differences along d; `slopes` are the rows' uᵀ J if known, `known` a size of slopes for `clear`."""
        p = self.problem
        with np.errstate(invalid="ignore", over="ignore"):
            if p.map.forward:
                rule = rows @ p.column(self.linear, d)
            else:
                rule = np.where(d == 0, 0.0, self._pulled(rows) if slopes is None else slopes) @ d
            share = np.abs(rows)
            numeric, jump = (_times(r, part) for r, part in ((rows, found.value), (share, np.abs(found.jump))))
            error = _times(share, found.error)
            # f's own size, the largest slope that is known, and how much f moves at all: beside these no slope is seen
            scale = np.maximum(share @ np.maximum(p.noise / EPS, found.reach), known)
            options = self.options
            tolerance = options.atol * np.max(np.abs(d)) + options.rtol * np.abs(numeric) + 64 * EPS * scale + 1e-300
            tolerance = tolerance + np.where(np.isfinite(error), SAFETY * error, 0.5 * jump + 1e-5 * np.abs(jump))
            clear = np.maximum(1e-3 * np.maximum(np.abs(numeric), np.nan_to_num(np.abs(rule))), 1e-6 * scale)
            clear = np.maximum(clear, _nothing(rows, d))
        return Seen(rule, numeric, error, jump, tolerance, clear)

    def _quick(self, rows: np.ndarray, slopes: np.ndarray | None, v: np.ndarray, known: float = 0.0) -> Seen:
        p, d = self.problem, self.sizes[0] * v
        return self._look(rows, slopes, d, quick_slopes(p.f, p.x, p.y, d, p.noise), known)

    def _careful(self, rows: np.ndarray, slopes: np.ndarray | None, v: np.ndarray, known: float = 0.0) -> Seen:
        """With steps of every size, for each row along v times that of x's sizes which shows it most sharply."""
        p = self.problem
        coarsest = 1.0 if self.options.eps is None else QUICK[0]
        best: Seen | None = None
        for size in self.sizes:
            d = size * v
            if not d.any():
                continue
            found = self._look(rows, slopes, d, careful_slopes(p.f, p.x, p.y, d, p.noise, coarsest), known)
            found = found.per(float(np.max(np.abs(d))))
            if best is not None:
                sharper = (found.error < best.error) | np.isnan(best.numeric)
                found = Seen(*[np.where(sharper, new, old) for new, old in zip(found, best)])
            best = found
            if (best.error <= SHARP * np.abs(best.numeric)).all():
                break
        assert best is not None
        return best

    def run(self) -> None:
        """Compare everything: quickly first, then with care whatever that does not settle.

        Raises:
            GradientError: at a wrong entry.
            KinkError: at a point where no verdict is possible.
        """
        self._check_infinite_entries()
        if not self.problem.m:
            return
        quick = [self._quick(self.rows, self.slopes, v) for v in self.weights]
        sharp = [np.where(seen.error <= SHARP * np.abs(seen.numeric), np.abs(seen.numeric), 0.0) for seen in quick]
        known = np.max(sharp, axis=0, initial=0.0)
        least = np.maximum(1e-9 * known, 1e-12 * np.abs(self.rows) @ self.problem.noise / EPS)
        least = np.maximum(least, _nothing(self.rows, self.sizes[0]))
        doubts = []
        for seen, v in zip(quick, self.weights):
            settled = seen.error <= np.maximum(0.1 * SHARP * np.abs(seen.numeric), least)
            if not ((seen.kinds("raise") == "right") & settled).all():
                doubts.append(v)
        kinks = []
        for v in doubts:
            seen = self._careful(self.rows, self.slopes, v, known)
            for u, kind in zip(self.rows, seen.kinds(self.options.on_kink)):
                if kind == "wrong":
                    self._refuse(u, v, "wrong")
                if kind == "kink":
                    kinks.append((u, v))
        for u, v in kinks[:1]:
            self._refuse(u, v, "kink")

    def _check_infinite_entries(self) -> None:
        p = self.problem
        if self.slopes is None:
            return
        for j in np.flatnonzero(np.isinf(p.x)):
            wrong = self.slopes[:, j][self.slopes[:, j] != 0]  # NaN too
            if len(wrong):
                label, index = p.place(int(j))
                raise GradientError(
                    f"{label}, derivative of order {p.order}: at index {index} the value is {p.x[j]} and the gradient "
                    f"{wrong[0]}; an infinite entry cannot move, so it must be 0"
                )

    # --- the entry to blame ------------------------------------------------------------------------------------------

    def _refuse(self, u: np.ndarray, v: np.ndarray, kind: str) -> None:
        p = self.problem
        j = self._bisected(v, lambda part: self._fault(u, part, kind))
        unit = np.eye(1, p.n, j)[0]
        i = self._bisected(u, lambda part: self._fault(part, unit, kind))
        entry = self._careful(np.eye(1, p.m, i), None, unit)
        alone = entry.kinds(self.options.on_kink)[0] == kind
        if not alone:
            entry = self._careful(u[None], None, v)
        rule, numeric, _, jump, tolerance, _ = (float(part[0]) for part in entry)
        label, index = p.place(j)
        head = f"{label}, derivative of order {p.order}: "
        low, high = numeric - jump / 2, numeric + jump / 2
        if kind == "kink":
            sides = f": the slopes on either side differ, they are {low:.6g} and {high:.6g}" if jump else ""
            raise KinkError(
                f"{head}finite differences do not converge at index {index} (value {p.x[j]:.10g}){sides}; is there a "
                "kink or a pole within a step of it, or are f's rounding errors large? No verdict is possible here: "
                'move the point away, or pass on_kink="reject" (under hypothesis) or "subgradient"'
            )
        k, output_index = p.place_of_output(i)
        name = f"output {k}" if p.order == 1 else f"the derivative by {p.labels[k]}"
        between = f"; it must lie between the one-sided slopes {low:.10g} and {high:.10g}" if jump else ""
        raise GradientError(
            f"{head}at index {index} (value {p.x[j]:.10g}) the gradient of {name} at {output_index} "
            f"{'' if alone else 'along a random direction '}is {rule:.10g}, finite differences give {numeric:.10g} "
            f"(difference {abs(rule - numeric):.3g}, tolerance {tolerance:.3g}{between}); "
            f"{self._overview(int(p.owner[j]), u)}"
        )

    def _fault(self, u: np.ndarray, v: np.ndarray, kind: str) -> float:
        """How bad it looks along v, in the same way; more than anything if the verdict is the same."""
        seen = self._quick(u[None], None, v)
        if kind != "wrong" or not seen.error[0] <= 1e-6 * max(abs(seen.rule[0]), abs(seen.numeric[0])):
            seen = self._careful(u[None], None, v)
        same = 1e200 if seen.kinds(self.options.on_kink)[0] == kind else 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.abs(seen.rule - seen.numeric) / seen.tolerance if kind == "wrong" else seen.error + seen.jump
        return same + float(np.nan_to_num(part[0], nan=1e199, posinf=1e199))

    @staticmethod
    def _bisected(v: np.ndarray, fault: Callable[[np.ndarray], float]) -> int:
        """The entry that is left of v when the half with more fault is kept, again and again."""
        support = np.flatnonzero(v)
        while len(support) > 1:
            halves = np.array_split(support, 2)
            parts = [np.where(np.isin(np.arange(len(v)), half), v, 0.0) for half in halves]
            support = halves[int(np.argmax([fault(part) for part in parts]))]
        return int(support[0])

    def _overview(self, k: int, u: np.ndarray) -> str:
        """How many entries of input k are wrong, and the whole Jacobian by it if it is small."""
        p = self.problem
        mine = np.flatnonzero(p.owner == k)
        if len(mine) > COUNTED:
            return f"input of {len(mine)} entries"
        small = len(mine) * p.m <= SHOWN
        rows = np.eye(p.m) if small else u[None]
        slopes = None if p.map.forward else self._pulled(rows)
        units = np.eye(p.n)[mine]
        seen = [self._quick(rows, slopes, v).per(float(np.max(self.sizes[0] * v)) or 1.0) for v in units]
        rule, numeric, _, _, tolerance, _ = (np.array(part).T for part in zip(*seen))
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(rule - numeric) <= tolerance)
        text = f"{count(int(wrong.any(axis=0).sum()), len(mine))} wrong"
        return text + (f"\n{side_by_side(rule, numeric, wrong, p, k)}" if small else "")


def _nothing(rows: np.ndarray, d: np.ndarray) -> np.ndarray:
    """What rounding alone may make of the rows' slopes along d, whatever f: (rows,)."""
    return np.asarray(256 * EPS * unit(d) * np.abs(rows).sum(axis=1))


def _times(rows: np.ndarray, part: np.ndarray) -> np.ndarray:
    """rows @ part, in which 0 times inf or NaN is 0."""
    if np.isfinite(part).all():
        return np.asarray(rows @ part)
    return np.asarray(np.where(rows == 0, 0.0, rows * part).sum(axis=1))


def _groups(owner: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
    """Masks of the entries that belong together, of one owner and within four decades: others vanish beside larger."""
    masks = []
    for k in np.unique(owner):
        mine = owner == k
        decades = np.floor(np.log10(np.max(size[mine]) / size) / 4)
        masks += [mine & (decades == decade) for decade in np.unique(decades[mine])]
    return masks
