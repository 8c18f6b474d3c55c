"""What is seen of a Jacobian: numbers uᵀ J d by its derivative rule, beside the same by finite differences.

Rows u (m,) and directions d (n,) are unit vectors while the Jacobian is small, so that every entry is compared. Else
they are several random ones: with E the error of the rule, uᵀ E d is zero for hardly any u and d, however few entries
of E are wrong.
"""

from __future__ import annotations

import numpy as np

from .differences import EPS, FEW, QUICK, Line, Slopes, scales, sharper
from .differences import slopes as slopes_of
from .problem import Options, Problem, groups, random_signs
from .progress import tell
from .seen import MOST, SHARP, Seen, along, dot, each, nothing, times

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

PROJECTIONS = 3
ENTRIES = {1: (64, 40), 2: (12, 8)}  # inputs, outputs up to which every entry is compared: by order
SAFETY = 10.0  # times the estimated error of the differences
TOGETHER = 4096  # slopes that are found at once: more would only take memory
GROSS = 1000.0  # tolerances by which a slope may be off before better steps are needless


class Looks:
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
            options, step = self.options, np.abs(d).max(axis=-1, keepdims=True)
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
            if self.options.eps is None:
                one.sides(range(QUICK, FEW[-1].stop))  # for `near`: longer ones may leap over what the shortest show
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

    def _along(self, lines: list[Line], steps: range, rows: np.ndarray, slopes: np.ndarray | None) -> Seen:
        """What some steps show along each of several lines: (lines, rows)."""
        for k, line in enumerate(lines):
            tell(f"derivative of order {self.problem.order}, {k} of {len(lines)} directions")
            line.sides(steps)
        some, found = max(1, TOGETHER // max(1, self.problem.m)), []  # so many of the lines at once
        for k in range(0, len(lines), some):
            part = lines[k : k + some]
            found.append(self._look(rows, slopes, np.array([line.d for line in part]), slopes_of(part, steps), 0.0))
        return found[0] if len(found) == 1 else Seen(*[np.concatenate(part) for part in zip(*found)])

    def _least(self, rows: np.ndarray, d: np.ndarray) -> np.ndarray:
        """The rows' slopes along d, below which rounding errors are all there is to see."""
        return np.asarray(np.maximum(1e-12 * np.abs(rows) @ self.problem.noise / EPS, nothing(rows, d)))
