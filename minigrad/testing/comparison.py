"""The comparison: a Jacobian by its derivative rule against the same Jacobian by finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .differences import FEW, FINER, QUICK, Line
from .looks import GROSS, SAFETY, Looks
from .problem import GradientError, KinkError, random_signs
from .progress import tell
from .report import count, side_by_side
from .seen import SHARP, Seen

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

SHOWN = 64  # entries of a Jacobian that a report shows
TRIED = 32  # entries of a larger input that a report tries
SAME = 1e200  # more than any fault: the verdict is the same


class Comparison(Looks):
    """One problem: whether what is seen of it along each direction agrees, and if not where."""

    def run(self) -> None:
        """Compare everything: with few steps first, then with others, then with care whatever these do not settle.

        Raises:
            GradientError: at a wrong entry.
            KinkError: at a point where no verdict is possible.
        """
        self._check_infinite_entries()
        self._check_something_is_finite()
        if (fault := self._compared()) and self.problem.measures_noise():
            fault = self._compared()
        if fault:
            self._refuse(*fault)

    def _compared(self) -> tuple[np.ndarray, np.ndarray, Line, str, float] | None:
        """The row, the direction and its line along which something is wrong, or else no verdict; and how far it is."""
        lines = [self._line(v) for v in self.weights]
        if not lines:
            return None
        left, known, least = np.arange(len(lines)), np.zeros(len(self.rows)), self._least(self.rows, self.sizes[0])
        any_size = self.options.eps is None
        for steps in FEW if any_size else (range(QUICK, QUICK + 4),):
            found = self._along([lines[n] for n in left], steps, self.rows, self.slopes)
            known = np.maximum(known, found.known())
            least = np.maximum(1e-9 * known, least)
            # few steps know their error less well: what they settle must agree without its benefit
            unsettled = ~(found.strictly(SAFETY) if any_size else found).settles(least)
            left, found = left[unsettled], Seen(*[part[unsettled] for part in found])
            if not len(left):
                return None
        kinks = []
        latest = QUICK
        for n, *parts in zip(left, *found):
            seen, line, v = Seen(*parts), lines[n], self.weights[n]
            tell(f"derivative of order {self.problem.order}, finer steps along some of {len(lines)} directions")
            nearest = sorted((QUICK, *FINER), key=lambda first: abs(first - latest))
            for first in nearest if any_size and not seen.is_wrong() else ():
                if self._from(first, line, self.rows, self.slopes, known).settles(least):
                    latest = first
                    break
            else:
                seen = self._careful(line, v, self.rows, self.slopes, known)
                verdicts = seen.verdicts(self.options.on_kink)
                if (verdicts == "wrong").any():
                    wrong = int(np.argmax(np.where(verdicts == "wrong", np.fmin(seen.excess(), GROSS), -1.0)))
                    return self.rows[wrong], v, line, "wrong", float(np.abs(seen.rule - seen.numeric)[wrong])
                for row in np.flatnonzero(verdicts == "kink"):
                    kinks.append((self.rows[row], v, line, "kink", float(np.abs(seen.jump)[row])))
        return kinks[0] if kinks else None

    def _check_something_is_finite(self) -> None:
        p = self.problem
        if p.outputs and not p.m and any(y.size for y in p.outputs):
            raise KinkError("every entry of the result is infinite here, so that there is nothing to compare")
        if p.m and p.n and not np.isfinite(p.x).any():
            raise KinkError("every entry of the inputs is infinite, so that none can be moved and nothing be compared")

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

    def _refuse(self, u: np.ndarray, v: np.ndarray, line: Line, verdict: str, size: float) -> None:
        """Raise with the entry of u and that of v at which the fault lies, which along u and v is so large."""
        p, row = self.problem, self._pulled(u[None])
        j = self._bisected(v, lambda part: self._fault(u, row, part, self._line(part), verdict, size))
        unit = np.eye(1, p.n, j)[0]
        whole, line = line, line if np.array_equal(unit, v) else self._line(unit)
        i = self._bisected(u, lambda part: self._fault(part, self._pulled(part[None]), unit, line, verdict, size))
        entry = self._careful(line, unit, np.eye(1, p.m, i), None)
        alone = entry.verdicts(self.options.on_kink)[0] == verdict
        if not alone:
            entry = self._careful(whole, v, u[None], row)
        rule, numeric, _, jump, tolerance, _ = (float(part[0]) for part in entry)
        label, index = p.place(j)
        head = f"{label}, derivative of order {p.order}: "
        low, high = numeric - jump / 2, numeric + jump / 2
        if verdict == "kink":
            sides = (
                f": the slopes on either side differ, they are {low:.6g} and {high:.6g}"
                if 0 < abs(jump) < np.inf
                else ""
            )
            raise KinkError(
                f"{head}finite differences do not converge at index {index} (value {p.x[j]:.10g}){sides}; is there a "
                "kink or a pole within a step of it, is f a wave that is too fast for the steps, or for float64 so far "
                "from 0, or are f's rounding errors large? No verdict is possible here: move the point away, or pass "
                'on_kink="reject" (under hypothesis) or "subgradient", and for a wave eps='
            )
        k, output_index = p.place_of_output(i)
        name = f"output {k}" if p.order == 1 else f"the derivative by {p.labels[k]}"
        small = (
            "\nSo small a difference may be rounding errors, if f adds terms of size 1 inside, which could not be "
            "measured, since it does not compute in np.longdouble here: if it does add such, pass atol=1e-11"
            if abs(rule - numeric) < 1e-11 and not p.measured
            else ""
        )
        between = f"; it must lie between the one-sided slopes {low:.10g} and {high:.10g}" if jump else ""
        raise GradientError(
            f"{head}at index {index} (value {p.x[j]:.10g}) the gradient of {name} at {output_index} "
            f"{'' if alone else 'along a random direction '}is {rule:.10g}, finite differences give {numeric:.10g} "
            f"(difference {abs(rule - numeric):.3g}, tolerance {tolerance:.3g}{between}); "
            f"{self._overview(j, u, line)}{small}"
        )

    def _fault(
        self, u: np.ndarray, row: np.ndarray | None, v: np.ndarray, line: Line, verdict: str, size: float
    ) -> float:
        """How bad it looks along the line of v, where `row` is uᵀ J; more than anything if the verdict is the same."""
        for first in (QUICK, *(FINER if self.options.eps is None else ())):
            seen = self._from(first, line, u[None], row)
            sharp = seen.error[0] <= 1e-6 * max(abs(seen.rule[0]), abs(seen.numeric[0]), np.nan_to_num(size))
            if sharp and (first == QUICK or not seen.excess()[0] > 1):
                break
        else:
            if verdict == "wrong":
                seen = self._careful(line, v, u[None], row)
        same = SAME if seen.verdicts(self.options.on_kink)[0] == verdict else 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.abs(seen.rule - seen.numeric) / seen.tolerance if verdict == "wrong" else seen.error + seen.jump
        return same + float(np.nan_to_num(part[0], nan=0.1 * SAME, posinf=0.1 * SAME))

    @staticmethod
    def _bisected(v: np.ndarray, fault: Callable[[np.ndarray], float]) -> int:
        """The entry that is left of v when the half with the fault is kept, again and again."""
        support = np.flatnonzero(v)
        while len(support) > 1:
            halves = np.array_split(support, 2)
            parts = [np.where(np.isin(np.arange(len(v)), half), v, 0.0) for half in halves]
            first = fault(parts[0])
            support = halves[0] if first >= SAME or first >= fault(parts[1]) else halves[1]
        return int(support[0])

    def _overview(self, j: int, u: np.ndarray, line: Line) -> str:
        """How many entries are wrong of the input that x[j] belongs to, and the whole Jacobian by it if it is small.

        `line` is that of x[j].
        """
        p = self.problem
        k = int(p.owner[j])
        mine = np.flatnonzero(p.owner == k)
        small = len(mine) * p.m <= SHOWN
        rows = np.eye(p.m) if small else u[None]
        slopes = self._pulled(rows)
        if len(mine) > SHOWN:
            return self._counted(j, mine, rows, slopes)
        seen = self._alone(mine, rows, slopes, {j: line})
        rule, numeric = (np.array(part).T for part in list(zip(*seen))[:2])
        wrong = np.array([part.excess() > 1 for part in seen]).T
        text = f"{count(int(wrong.any(axis=0).sum()), len(mine))} wrong"
        return text + (f"\n{side_by_side(rule, numeric, wrong, p, k)}" if small else "")

    def _alone(
        self, entries: np.ndarray, rows: np.ndarray, slopes: np.ndarray | None, careful: dict[int, Line]
    ) -> list[Seen]:
        """What is seen when each of these entries of x moves by itself, with care along the lines that are known."""
        units = [np.eye(1, self.problem.n, int(i))[0] for i in entries]
        lines = [careful.get(int(i)) or self._line(v) for i, v in zip(entries, units)]
        quick = self._along(lines, range(QUICK, QUICK + 4), rows, slopes)
        return [
            self._surely(Seen(*parts), line, v, rows, slopes, int(i) in careful)
            for i, line, v, *parts in zip(entries, lines, units, *quick)
        ]

    def _entries(self, entries: np.ndarray, rows: np.ndarray, slopes: np.ndarray | None) -> Seen:
        """What is seen when these entries of x move (by random signs, if several), as sharply as `run` sees it."""
        p = self.problem
        v = np.zeros(p.n)
        v[entries] = 1.0 if len(entries) == 1 else random_signs(np.random.default_rng(0), len(entries))
        line = self._line(v)
        return self._surely(self._from(QUICK, line, rows, slopes), line, v, rows, slopes)

    def _surely(
        self, found: Seen, line: Line, v: np.ndarray, rows: np.ndarray, slopes: np.ndarray | None, careful: bool = False
    ) -> Seen:
        """What was found along the line of v, for a step of length 1: with care, or where it may be neither."""
        sharp = found.error <= np.maximum(SHARP * np.abs(found.numeric), self._least(rows, line.d))
        done = (sharp | (found.verdicts("raise") == "right")) & (not careful)
        found = found.per(float(np.max(np.abs(line.d))) or 1.0)
        return found if done.all() else found.where(done, self._careful(line, v, rows, slopes))

    def _counted(self, j: int, mine: np.ndarray, rows: np.ndarray, slopes: np.ndarray | None) -> str:
        """How many of many entries are wrong, x[j] being one: of some that are drawn, else of ever smaller groups."""
        others = mine[mine != j]
        tried = np.random.default_rng(0).choice(others, TRIED, replace=False)
        wrong = sum(seen.excess().max() > 1 for seen in self._alone(tried, rows, slopes, {}))
        if wrong:
            return f"of its {len(mine)} entries {TRIED} others were tried, {count(wrong, TRIED)} wrong"
        groups, found, left = [others], 1, 4 * TRIED
        while groups and left:
            group, left = groups.pop(), left - 1
            if self._entries(group, rows, slopes).excess().max() > 1:
                found += len(group) == 1
                groups += np.array_split(group, 2) if len(group) > 1 else []
        return f"{'at least ' if groups else ''}{count(found, len(mine))} wrong"
