"""What a derivative's results must be, whatever their values: of the right shape and dtype, linear, pure, unaliased."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .differences import EPS
from .problem import Arrays, GradientError, Problem, evaluate_elsewhere, nudged, random_signs, split

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

SAME = 1e-10  # two computations of one number agree to this share of the largest term


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of one shape are equal, NaN to NaN: by their bits, which is quick, or else by their values."""
    return a.tobytes() == b.tobytes() or np.array_equal(a, b, equal_nan=True)


def differs(a: np.ndarray, b: np.ndarray, tolerance: float | np.ndarray = 0.0) -> tuple[int, ...] | None:
    """The first index at which two arrays of one shape differ by more than rounding; NaN equals NaN."""
    if a.tobytes() == b.tobytes():  # as they nearly always are
        return None
    with np.errstate(all="ignore"):
        largest = max(np.max(np.abs(c), initial=0.0, where=np.isfinite(c)) for c in (a, b))
        same = (np.abs(a - b) <= SAME * largest + tolerance) | (a == b) | (np.isnan(a) & np.isnan(b))
    return None if same.all() else tuple(int(i) for i in np.argwhere(~same)[0])


def check_function_of(problem: Problem) -> None:
    inputs = [x.copy() for x in problem.inputs]
    outputs = problem.map.value(inputs)
    for k, (x, before) in enumerate(zip(inputs, problem.inputs)):
        if not alike(x, before):
            raise problem.error(k, "the function changed its input in place")
    if [y.shape for y in outputs] != [y.shape for y in problem.outputs]:
        raise GradientError("two calls with the same inputs gave outputs of different shapes; does f keep state?")
    for k, (y, before) in enumerate(zip(outputs, problem.outputs)):
        at = differs(np.asarray(y, np.float64), before)
        if at is not None:
            raise GradientError(
                f"two calls with the same inputs gave different results, {before[at]:.10g} and {float(y[at]):.10g} at "
                f"index {at} of output {k}; is f random, or does it keep state from one call to the next?"
            )


def sensitivity(
    linearize: Callable[[Arrays], Callable[[Arrays], Arrays]],
    inputs: Arrays,
    given: Arrays,
    rng: np.random.Generator,
    eps: float = EPS,
) -> list[float]:
    """How far each result moves when all that is given moves by a few units in its last place, as rounding may do.

    And how far c J(g) and J(c g) are apart, where that is no more than rounding errors of terms as large as g: in
    g - p g, with p nearly 1, those of neighbouring g are the same.
    """
    derivative = linearize([x.copy() for x in inputs])
    expected = derivative([g.copy() for g in given])
    moves, terms = [0.0] * len(expected), 4 * eps * max([largest_of(g) for g in given], default=0.0)
    for c in rng.uniform(1, 2, 3):
        try:
            with np.errstate(all="ignore"):
                moved = linearize([nudged(x, 2 * eps, rng) for x in inputs])
                near = [largest_of(a - b) for a, b in zip(moved([nudged(g, 2 * eps, rng) for g in given]), expected)]
                scaled = [largest_of(a / c - b) for a, b in zip(derivative([c * g for g in given]), expected)]
        except (ArithmeticError, ValueError, AssertionError):
            continue
        moves = [max(m, a, min(b, terms)) for m, a, b in zip(moves, near, scaled)]
    return moves


def largest_of(x: np.ndarray) -> float:
    """The largest |entry| that is finite, or 0."""
    return float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))


SMALL = 2.0**-40  # a power of 2: numbers are scaled by it without an error


class Derivative:
    """The derivative's results for random cotangents (or, for a forward rule, tangents), and what they must be."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng = problem, rng
        self.noun = "tangent" if problem.map.forward else "cotangent"
        self.like = problem.outputs if problem.map.forward else problem.inputs
        self.given = self._random()
        self.results = self._pure(self.given)
        self.values = [np.array(g, np.float64) for g in self.results]
        self._rounding: dict[float, list[float]] = {}

    def _random(self) -> Arrays:
        if self.problem.map.forward:
            return [random_signs(self.rng, x.shape) * np.isfinite(x) for x in self.problem.inputs]
        return self.problem.cotangents(random_signs(self.rng, self.problem.m))

    def _name(self, k: int) -> str:
        return f"output {k}" if self.problem.map.forward else self.problem.labels[k]

    def _fault(self, k: int, text: str) -> GradientError:
        return GradientError(f"{self._name(k)}, derivative of order {self.problem.order}: {text}")

    def _pure(self, given: Arrays, interrupted: bool = False) -> Arrays:
        """The derivative of `given`, which must leave everything as it was."""
        p = self.problem
        inputs, handed = [x.copy() for x in p.inputs], [g.copy() for g in given]
        if interrupted:
            evaluate_elsewhere(p.map, p.inputs, p.outputs, within=inputs)
        derivative = p.map.linearize(inputs)
        if interrupted:
            evaluate_elsewhere(p.map, p.inputs, p.outputs)
        results = derivative(handed)
        for k, (x, before) in enumerate(zip(inputs, p.inputs)):
            if not alike(x, before):
                raise p.error(k, "computing the derivative changed this input in place")
        for k, (g, before) in enumerate(zip(handed, given)):
            if not alike(g, before):
                whose = f"{'input' if p.map.forward else 'output'} {k}"
                raise GradientError(
                    f"derivative of order {p.order}: the {self.noun} of {whose} was changed in place; "
                    "write into a new array"
                )
        for k, result in enumerate(results):
            for what, others in ((self.noun, handed), ("input", inputs)):
                if result.size and any(np.shares_memory(result, other) for other in others):
                    raise self._fault(k, f"the gradient shares memory with the {what}; return a copy")
        return results

    def _expect(self, results: Arrays, expected: Arrays, text: Callable[[str, float, float], str], eps: float) -> None:
        """Raise with text(where, result, expected) if they differ by more than rounding errors of precision `eps`."""
        floors = [floor * (1.0 if eps == EPS else 0.01) for floor in self.problem.rounding]
        for k, (result, value, floor) in enumerate(zip(results, expected, floors)):
            result = np.asarray(result, np.float64)
            if differs(result, value, floor * (eps / EPS)) is None:
                continue
            safety = 100 if eps == EPS else 10
            index = differs(result, value, floor * (eps / EPS) + safety * self._sensitivity(eps)[k])
            if index is not None:
                raise self._fault(k, text(f"at index {index}", float(result[index]), float(value[index])))

    def _sensitivity(self, eps: float) -> Sequence[float]:
        if eps not in self._rounding:
            self._rounding[eps] = sensitivity(
                self.problem.map.linearize, self.problem.inputs, self.given, self.rng, eps
            )
        return self._rounding[eps]

    # --- the checks --------------------------------------------------------------------------------------------------

    def check_shapes_and_dtypes(self) -> None:
        if len(self.results) != len(self.like):
            raise GradientError(f"the derivative gave {len(self.results)} arrays where {len(self.like)} belong")
        for k, (result, like) in enumerate(zip(self.results, self.like)):
            if result.shape != like.shape or result.dtype != like.dtype:
                text = f"the gradient is {result.shape} {result.dtype}, it belongs to {like.shape} {like.dtype}"
                if result.shape == like.shape and like.dtype == np.float64:
                    text += ": what is checked is given float64, and has to compute in it (JAX: jax_enable_x64)"
                raise self._fault(k, text)

    def check_aliases(self) -> None:
        for k, result in enumerate(self.results):
            if not result.flags.writeable:
                raise self._fault(k, "the gradient is a read-only view; return a copy, np.array(g)")
            for j in range(k):
                if result.size and np.shares_memory(result, self.results[j]):
                    raise self._fault(k, f"the gradient shares memory with that of {self._name(j)}; return copies")

    def check_same_again(self) -> None:
        text = (
            "{} the gradient was {:.10g}, and after a call at another point it was {:.10g} for the same inputs; is it "
            "random, or does it keep state between calls?"
        )
        for k, (again, before) in enumerate(zip(self._pure(self.given, interrupted=True), self.values)):
            index = differs(np.asarray(again, np.float64), before)
            if index is not None:
                told = text.format(f"at index {index}", float(before[index]), float(again[index]))
                raise self._fault(k, told + self.problem.map.remedy)

    def check_linear(self) -> None:
        """J(0) = 0, and J(a g + b h) = a J(g) + b J(h), for h and a g + b h that are ± 1e12 times less and more.

        So a cotangent that is cut, dropped where it is small, or loses its sign, is found; where it is but one number,
        as for a loss, too.
        """
        derivative = self.problem.derivative
        for k, result in enumerate(derivative([np.zeros(g.shape) for g in self.given])):
            wrong = np.argwhere((result != 0) & ~np.isnan(result))
            if len(wrong):
                index = tuple(int(i) for i in wrong[0])
                value = float(np.asarray(result)[index])
                raise self._fault(k, f"at index {index} the gradient is {value:.10g} for a {self.noun} of zeros")
        self._check_equal()
        # what was given has one sign, and all that is tried beside it the other: |g| for g is seen at every entry
        other = [-np.abs(h) * np.sign(g) for g, h in zip(self.given, self._random())]
        signs = {float(sign) for g in self.given for sign in np.unique(np.sign(g))} - {0.0}
        sizes = np.concatenate([np.abs(v[np.isfinite(v) & (v != 0)]) for v in self.values] or [np.ones(1)])
        small = SMALL if np.all((sizes > 1e-290) & (sizes < 1e290)) else 1.0  # unless that leaves the range of float64
        for sign in (1.0, -1.0)[: 3 - len(signs)]:  # of several numbers some have either sign
            found, expected = self._mixed(other, sign * small)
            if small < 1 and any(np.any(np.isfinite(v) & ~np.isfinite(m)) for v, m in zip(self.values, found)):
                found, expected = self._mixed(other, sign)  # or a number on the way does
            self._expect(
                found,
                expected,
                lambda where, found, expected: (
                    f"{where} the gradient is not linear in the {self.noun}: "
                    f"J(a g + b h) is {found:.10g}, a J(g) + b J(h) is {expected:.10g}"
                ),
                EPS,
            )

    def _check_equal(self) -> None:
        """J(-1) = -J(1) = J(-m) + J(m - 1) for an m of zeros and ones: a rule may have branches for such cotangents."""
        derivative = self.problem.derivative
        self.of_ones, negative = (derivative([np.full(g.shape, one) for g in self.given]) for one in (1.0, -1.0))
        self._expect(
            negative,
            [-np.asarray(result, np.float64) for result in self.of_ones],
            lambda where, found, expected: (
                f"{where} the gradient is {found:.10g} for a {self.noun} of -1, and {-expected:.10g} for one of "
                "1, so it is not linear"
            ),
            EPS,
        )
        size = sum(g.size for g in self.given)
        if size < 2:
            return
        m = np.arange(size) % 2.0
        one, rest = (derivative(split(part, self.given)) for part in (-m, m - 1))
        pairs = [(np.asarray(a, np.float64), -(b + c)) for a, b, c in zip(one, self.of_ones, rest)]
        self._expect(
            # but for infinite slopes, and for rounding errors of terms as large as m that cancel
            [np.where(np.abs(a - b) > 4 * EPS, a, b) for a, b in pairs],
            [b for _, b in pairs],
            lambda where, found, expected: (
                f"{where} the gradient is {found:.10g} for a {self.noun} with zeros, which is {expected:.10g} by those "
                "of what it adds up to, so it is not linear"
            ),
            EPS,
        )

    def _mixed(self, other: Arrays, small: float) -> tuple[Arrays, Arrays]:
        """J(a g + b h) from what is 1 / small times as large, and a J(g) + b J(h), with J(h) from small h."""
        derivative = self.problem.derivative
        second = [np.asarray(h, np.float64) / small for h in derivative([small * h for h in other])]
        mixed = derivative([(-0.75 * g + 1.5 * h) / small for g, h in zip(self.given, other)])
        with np.errstate(invalid="ignore"):  # where slopes are infinite
            expected = [-0.75 * a + 1.5 * b for a, b in zip(self.values, second)]
        return [small * np.asarray(m, np.float64) for m in mixed], expected

    def check_results_last(self) -> None:
        for k, (result, value) in enumerate(zip(self.results, self.values)):
            if not alike(result, value):
                raise self._fault(
                    k, "a later call overwrote the gradient that an earlier one returned; return a new array"
                )
