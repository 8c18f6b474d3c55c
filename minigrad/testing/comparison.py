"""The comparison: a Jacobian by its derivative rule against the same Jacobian by finite differences.

Rows u (m,) and directions d (n,) give numbers uᵀ J d, once from the rule and once from differences. While the Jacobian
is small, rows and directions are unit vectors, so that every entry is compared. Else they are several random ones:
with E the error of the rule, uᵀ E d is zero for hardly any u and d, however few entries of E are wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .differences import EPS, FINER, QUICK, Line, Slopes, scales, sharper, slopes
from .problem import GradientError, KinkError, Options, Problem, groups, random_signs
from .progress import tell
from .report import count, side_by_side
from .seen import MOST, SHARP, Seen, along, dot, each, nothing, times

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

PROJECTIONS = 3
ENTRIES = {1: (64, 40), 2: (12, 8)}  # inputs, outputs up to which every entry is compared: by order
SAFETY = 10.0  # times the estimated error of the differences
TOGETHER = 4096  # slopes that are found at once: more would only take memory
GROSS = 1000.0  # tolerances by which a slope may be off before better steps are needless
SHOWN = 64  # entries of a Jacobian that a report shows
TRIED = 32  # entries of a larger input that a report tries
SAME = 1e200  # more than any fault: the verdict is the same


class Comparison:
    """One problem, its linear map at x, and the rows and directions that it is seen through."""

    def __init__(self, problem: Problem, options: Options, rng: np.random.Generator) -> None:
        self.problem, self.options = problem, options
        inputs, outputs = ENTRIES[min(problem.order, 2)]
        full = {"full": (True, True), "project": (False, False), "auto": (problem.n <= inputs, problem.m <= outputs)}
        all_inputs, all_outputs = full[options.mode]
        self.rows = np.eye(problem.m) if all_outputs else self._random_rows(rng)
        self.slopes = self._pulled(self.rows)
        self.sizes = scales(problem.x, problem.typical, options.eps)
        weights = np.eye(problem.n) if all_inputs else self._random_weights(rng)
        self.weights = weights[[bool(self.sizes[0][v != 0].any()) for v in weights]]

    def _pulled(self, rows: np.ndarray) -> np.ndarray | None:
        """The rows' uᵀ J; None if the rule is a forward one, which gives J d."""
        p = self.problem
        if p.map.forward:
            return None
        with np.errstate(invalid="ignore"):  # an infinite slope times an entry of u that is 0
            return np.array([p.row(p.derivative, u) for u in rows]).reshape(len(rows), p.n)

    def _random_weights(self, rng: np.random.Generator) -> np.ndarray:
        """Directions: several for each group of entries, none of which moves less than a tenth of the group's size."""
        p = self.problem
        size = np.where(p.size == 0, 1.0, p.size)
        weights = []
        for mask in groups(p.owner, size, 4):
            largest = float(size[mask].max())  # whose square float64 may not have
            least = 0.1 * largest * float(np.sqrt(np.mean((size[mask] / largest) ** 2)))
            enough = np.where(mask, np.maximum(1.0, least / size), 0.0)
            weights += [random_signs(rng, p.n) * enough for _ in range(PROJECTIONS)]
        return np.array(weights).reshape(len(weights), p.n)

    def _random_rows(self, rng: np.random.Generator) -> np.ndarray:
        """Several for each output: for entries that rounding errors of the largest would hide, their own."""
        p = self.problem
        owner = np.repeat(np.arange(len(p.outputs)), [y.size for y in p.outputs])[p.kept]
        masks = groups(owner, np.abs(p.y), 8)
        rows = [random_signs(rng, p.m) * mask for mask in masks for _ in range(PROJECTIONS)]
        return np.array(rows).reshape(len(rows), p.m)

    def _look(
        self, rows: np.ndarray, slopes: np.ndarray | None, d: np.ndarray, found: Slopes, known: np.ndarray | float
    ) -> Seen:
        """Rule and differences along d (n,), or along each of several; `slopes` are the rows' uᵀ J if known.

        `known` is a size of slopes for `clear`.
        """
        p = self.problem
        with np.errstate(invalid="ignore", over="ignore"):
            slopes = self._pulled(rows) if slopes is None else slopes
            rule = each(lambda one: rows @ p.column(p.derivative, one), d) if slopes is None else along(slopes, d)
            share = np.abs(rows)
            numeric, jump = (times(r, part) for r, part in ((rows, found.value), (share, np.abs(found.jump))))
            error = times(share, found.error)
            # f's own size, the largest slope that is known, and how much f moves at all: beside these no slope is seen
            scale = np.maximum(dot(share, np.maximum(p.noise / EPS, found.reach)), known)
            options, step = self.options, np.max(np.abs(d), axis=-1, keepdims=True)
            tolerance = options.atol * step + options.rtol * np.abs(numeric) + 64 * EPS * scale + 1e-300
            tolerance = tolerance + np.where(np.isfinite(error), SAFETY * error, 0.5 * jump + 1e-5 * np.abs(jump))
            largest = np.fmin(np.fmax(np.abs(rule), 0.0), MOST)
            clear = np.maximum(1e-3 * np.maximum(np.abs(numeric), largest), 1e-6 * scale)
            clear = np.maximum(clear, nothing(rows, d))
        return Seen(rule, numeric, error, jump, tolerance, clear)

    def _line(self, v: np.ndarray) -> Line:
        """f along v times the likeliest sizes of steps."""
        p = self.problem
        return Line(p.f, p.x, p.y, self.sizes[0] * v, p.noise)

    def _from(
        self, first: int, line: Line, rows: np.ndarray, slopes: np.ndarray | None, known: np.ndarray | float = 0.0
    ) -> Seen:
        return self._look(rows, slopes, line.d, line.near(first), known)

    def _careful(
        self, line: Line, v: np.ndarray, rows: np.ndarray, slopes: np.ndarray | None, known: np.ndarray | float = 0.0
    ) -> Seen:
        """With steps of every size, for each row along v times that of x's sizes which shows it most sharply."""
        p = self.problem
        lines = {size.tobytes(): Line(p.f, p.x, p.y, size, p.noise) for size in [s * v for s in self.sizes]}
        lines[line.d.tobytes()] = line
        best: Seen | None = None
        length = np.full(len(rows), np.inf)  # of the steps that showed each row best
        for one in lines.values():
            if not one.d.any():
                continue
            share = np.max(np.abs(one.d)) / np.max(np.abs(line.d))
            beside = known * min(1.0, float(share))  # what is known is of steps as long as those of `line`
            found = self._look(rows, slopes, one.d, one.near(QUICK, careful=True), beside)
            gross = found.is_wrong(GROSS) and not one.jitters
            if not gross:
                first = 0 if self.options.eps is None else QUICK
                found = self._look(rows, slopes, one.d, one.careful(first), beside)
                if one.jitters:
                    found = self._doubted(found, rows, slopes, one, beside)
            own = np.full(len(rows), np.max(np.abs(one.d)))
            found = found.per(float(own[0]))
            if best is not None:
                near = sharper(found.numeric, found.error, best.numeric, best.error, own < length)
                found, own = found.where(near, best), np.where(near, own, length)
            best, length = found, own
            if gross or ((best.error <= SHARP * np.abs(best.numeric)).all() and not one.jitters):
                break
        assert best is not None
        return best

    def _doubted(
        self, found: Seen, rows: np.ndarray, slopes: np.ndarray | None, line: Line, known: np.ndarray | float
    ) -> Seen:
        """What is seen of an f that jitters by more than its rounding errors are known to be: it may be a wave.

        Of a wave the shortest steps show a sharp slope, if they can follow it, and of errors never. If they cannot,
        nothing is wrong for sure that differs by what the slope of the wave may be.
        """
        with np.errstate(invalid="ignore"):
            hidden = times(np.abs(rows), line.hidden)
        finer = self._look(rows, slopes, line.d, line.shortest(), known)
        sharp = np.isfinite(hidden) & (finer.error <= SHARP * np.abs(finer.numeric))
        found = finer.where(sharp, found)
        doubtful = ~sharp & (np.abs(found.rule - found.numeric) <= 10 * hidden)  # false for NaN
        doubtful &= found.verdicts(self.options.on_kink) == "wrong"
        found = found._replace(error=np.maximum(found.error, 1e-4 * np.abs(found.numeric)))  # of a wave it is no bound
        none = np.full(len(rows), np.inf)
        return found._replace(numeric=np.nan * none, error=none, jump=none).where(doubtful, found)

    def run(self) -> None:
        """Compare everything: quickly first, then with finer steps, then with care whatever that does not settle.

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
        for k, line in enumerate(lines):
            tell(f"derivative of order {self.problem.order}, {k} of {len(lines)} directions")
            line.sides(range(QUICK, QUICK + 4))
        some = max(1, TOGETHER // max(1, self.problem.m))  # of the lines
        parts = [lines[k : k + some] for k in range(0, len(lines), some)]
        looks = [
            self._look(
                self.rows, self.slopes, np.array([line.d for line in part]), slopes(part, range(QUICK, QUICK + 4)), 0.0
            )
            for part in parts
        ]
        quick = Seen(*[np.concatenate(part) for part in zip(*looks)])  # each (lines, rows)
        known = np.max(np.where(quick.error <= SHARP * np.abs(quick.numeric), np.abs(quick.numeric), 0.0), axis=0)
        least = np.maximum(1e-9 * known, self._least(self.rows, self.sizes[0]))
        kinks = []
        latest = FINER[0]
        for n in np.flatnonzero(~quick.settles(least)):
            seen, line, v = Seen(*[part[n] for part in quick]), lines[n], self.weights[n]
            tell(f"derivative of order {self.problem.order}, finer steps along some of {len(lines)} directions")
            nearest = sorted(FINER, key=lambda first: abs(first - latest))
            for first in nearest if self.options.eps is None and not seen.is_wrong() else ():
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

    def _least(self, rows: np.ndarray, d: np.ndarray) -> np.ndarray:
        """The rows' slopes along d, below which rounding errors are all there is to see."""
        return np.asarray(np.maximum(1e-12 * np.abs(rows) @ self.problem.noise / EPS, nothing(rows, d)))

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
            f"{self._overview(j, u)}{small}"
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

    def _overview(self, j: int, u: np.ndarray) -> str:
        """How many entries are wrong of the input that x[j] belongs to, and the whole Jacobian by it if it is small."""
        p = self.problem
        k = int(p.owner[j])
        mine = np.flatnonzero(p.owner == k)
        small = len(mine) * p.m <= SHOWN
        rows = np.eye(p.m) if small else u[None]
        slopes = self._pulled(rows)
        if len(mine) > SHOWN:
            return self._counted(j, mine, rows, slopes)
        seen = [self._entries(np.array([i]), rows, slopes, careful=i == j) for i in mine]
        rule, numeric = (np.array(part).T for part in list(zip(*seen))[:2])
        wrong = np.array([part.excess() > 1 for part in seen]).T
        text = f"{count(int(wrong.any(axis=0).sum()), len(mine))} wrong"
        return text + (f"\n{side_by_side(rule, numeric, wrong, p, k)}" if small else "")

    def _entries(self, entries: np.ndarray, rows: np.ndarray, slopes: np.ndarray | None, careful: bool = False) -> Seen:
        """What is seen when these entries of x move (by random signs, if several), as sharply as `run` sees it."""
        p = self.problem
        v = np.zeros(p.n)
        v[entries] = 1.0 if len(entries) == 1 else random_signs(np.random.default_rng(0), len(entries))
        line = self._line(v)
        found = self._from(QUICK, line, rows, slopes)
        sharp = found.error <= np.maximum(SHARP * np.abs(found.numeric), self._least(rows, line.d))
        done = (sharp | (found.verdicts("raise") == "right")) & (not careful)
        found = found.per(float(np.max(np.abs(line.d))) or 1.0)
        return found if done.all() else found.where(done, self._careful(line, v, rows, slopes))

    def _counted(self, j: int, mine: np.ndarray, rows: np.ndarray, slopes: np.ndarray | None) -> str:
        """How many of many entries are wrong, x[j] being one: of some that are drawn, else of ever smaller groups."""
        others = mine[mine != j]
        tried = np.random.default_rng(0).choice(others, TRIED, replace=False)
        wrong = sum(self._entries(np.array([i]), rows, slopes).excess().max() > 1 for i in tried)
        if wrong:
            return f"of its {len(mine)} entries {TRIED} others were tried, {count(wrong, TRIED)} wrong"
        groups, found, left = [others], 1, 4 * TRIED
        while groups and left:
            group, left = groups.pop(), left - 1
            if self._entries(group, rows, slopes).excess().max() > 1:
                found += len(group) == 1
                groups += np.array_split(group, 2) if len(group) > 1 else []
        return f"{'at least ' if groups else ''}{count(found, len(mine))} wrong"
