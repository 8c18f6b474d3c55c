"""Everything of a derivative but its values: what its results are like, for the inputs and for copies of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .derivative import Derivative, check_function_of, differs, largest_of
from .differences import EPS
from .problem import Arrays, GradientError, Problem, equal_pairs, nudged

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def check_structure(problem: Problem, dtypes: list[np.dtype], rng: np.random.Generator, copies: bool = True) -> None:
    """Run every check of this page; `dtypes` are those that the user's inputs came in.

    Raises:
        GradientError: at the first that fails.
        ValueError: if a copy of the inputs is refused; `copies=False` makes none but of the user's dtypes.
    """
    check_function_of(problem)
    derivative = _Copied(problem, rng)
    derivative.check_shapes_and_dtypes()
    derivative.check_aliases()
    derivative.check_same_again()
    with np.errstate(all="ignore"):  # where a gradient is infinite
        derivative.check_linear()
    derivative.check_results_last()
    short, double = any(dtype != np.float64 for dtype in dtypes), any(dtype == np.float64 for dtype in dtypes)
    if short:
        derivative.check_own_dtypes(dtypes)
    if copies:
        derivative.check_layouts()
        derivative.check_one_array_twice()
        if double:
            derivative.check_float32()


class _Copied(Derivative):
    """The derivative for copies of the inputs: of another layout in memory, or of another precision."""

    def _derivative_of(self, inputs: Arrays, given: Arrays, what: str) -> Arrays:
        """The derivative for copies of the inputs, which a function may refuse to take."""
        try:
            return self.problem.map.linearize(inputs)(given)
        except Exception as error:
            kind = type(error).__name__
            text = str(error) if isinstance(error, GradientError) else f"the derivative raised {kind}: {error}"
            refusal = GradientError if isinstance(error, GradientError) else ValueError
            raise refusal(
                f"derivative of order {self.problem.order}, for {what} copies of the inputs and of the {self.noun}: "
                f"{text}\n(the checker tries such copies since a derivative must depend neither on how arrays lie in "
                "memory nor on their precision; for a function that takes C-contiguous float64 arrays only, pass "
                "copies=False)"
            ) from error

    def check_layouts(self) -> None:
        """Inputs that are every second entry of a larger array, from its end on, or transposed, have the same gradient.

        So have cotangents that are one number shown as an array, as those of a large sum are.
        """
        layouts: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "strided": lambda x: np.repeat(x[..., ::-1], 2, axis=-1)[..., ::-2] if x.ndim else x.copy(),
            "column-major": lambda x: x.T.copy().T,
        }
        repeated = [np.broadcast_to(1.0, g.shape) for g in self.given]
        self._expect(
            self._derivative_of([x.copy() for x in self.problem.inputs], repeated, "read-only"),
            [np.asarray(result, np.float64) for result in self.of_ones],
            lambda where, found, expected: (
                f"{where} the gradient is {expected:.10g} for a {self.noun} of ones, and {found:.10g} for one that is "
                "a single number, broadcast"
            ),
            EPS,
        )
        arrays = [*self.problem.inputs, *self.given]
        for name, layout in layouts.items():
            if all(x.size < 2 for x in arrays) or (name == "column-major" and all(x.ndim < 2 for x in arrays)):
                continue
            if self.problem.order == 1:
                self._check_same_values(layout, name)
            self._expect(
                self._derivative_of([layout(x) for x in self.problem.inputs], [layout(g) for g in self.given], name),
                self.values,
                lambda where, found, expected: (
                    f"{where} the gradient is {expected:.10g}, and for {name} copies of the inputs {found:.10g}"  # noqa: B023
                ),
                EPS,
            )

    def _check_same_values(self, layout: Callable[[np.ndarray], np.ndarray], name: str) -> None:
        """The function's own results are the same for copies of another layout, if it takes them."""
        p = self.problem
        try:
            found = [np.asarray(y, np.float64) for y in p.map.value([layout(x) for x in p.inputs])]
        except Exception:
            return
        for k, (y, expected) in enumerate(zip(found, p.outputs)):
            if y.shape == expected.shape and differs(y, expected) is not None:
                near = [p.map.value([nudged(x, 2 * EPS, self.rng) for x in p.inputs])[k] for _ in range(3)]
                at = differs(y, expected, 100 * np.max(np.abs(np.array(near) - expected), initial=0.0))
                if at is not None:
                    raise GradientError(
                        f"at index {at} output {k} of the function is {expected[at]:.10g}, and for {name} copies of "
                        f"the inputs {y[at]:.10g}; does it read their memory as it lies?"
                    )

    def check_one_array_twice(self) -> None:
        """The derivative for one array in the places of two inputs is that for two equal arrays."""
        for a, b in equal_pairs(self.problem.inputs):
            self._check_one_array_as(a, b)

    def _check_one_array_as(self, a: int, b: int) -> None:
        inputs = self.problem.inputs
        apart = [inputs[a if k == b else k].copy() for k in range(len(inputs))]
        try:
            with np.errstate(all="ignore"):
                expected = [np.array(g, np.float64) for g in self.problem.map.linearize(apart)(self.given)]
        except Exception:
            return  # equal arguments lie outside of f's domain, or its result has another shape there
        twice = [apart[a if k == b else k] for k in range(len(inputs))]
        names = f"{self.problem.labels[a]} and {self.problem.labels[b]}"
        with np.errstate(all="ignore"):
            self._expect(
                self._derivative_of(twice, self.given, "shared"),
                expected,
                lambda where, found, value: (
                    f"{where} the gradient is {value:.10g} for two equal arrays as {names}, and {found:.10g} for one "
                    "that is both"
                ),
                EPS,
            )

    def check_own_dtypes(self, dtypes: list[np.dtype]) -> None:
        """In the inputs' own dtypes: results in them too, and the values of float64 to their precision."""
        p = self.problem
        with np.errstate(all="ignore"):
            inputs = [x.astype(dtype) for x, dtype in zip(p.inputs, dtypes)]
            outputs = p.map.value([x.copy() for x in inputs])
            like, models = (outputs, inputs) if p.map.forward else (inputs, outputs)
            results = p.map.linearize(inputs)([g.astype(y.dtype) for g, y in zip(self.given, models)])
        for k, (result, own) in enumerate(zip(results, like)):
            if result.dtype != own.dtype or result.shape != own.shape:
                raise self._fault(
                    k, f"the gradient is {result.shape} {result.dtype}, it belongs to {own.shape} {own.dtype}"
                )
        if any(np.isfinite(y).sum() < np.isfinite(before).sum() for y, before in zip(outputs, p.outputs)):
            return  # out of this dtype's range
        eps = max(float(np.finfo(dtype).eps) for dtype in dtypes)
        shortest = min(dtypes, key=lambda dtype: dtype.itemsize)
        times = STRICT if self._is_precise(inputs, outputs, eps, STRICT) else LOOSE
        self._expect_about(results, self._at_rounded(inputs), str(shortest), eps, times)

    def check_float32(self) -> None:
        """The values of float64 to the precision of float32, wherever f itself is that precise in float32."""
        p = self.problem
        eps = float(np.finfo(np.float32).eps)
        left_range: list[str] = []
        with np.errstate(all="ignore", over="call", under="call", call=lambda kind, _: left_range.append(kind)):
            inputs = [x.astype(np.float32) for x in p.inputs]
            if any([np.isfinite(x).sum() < np.isfinite(before).sum() for x, before in zip(inputs, p.inputs)]):
                return  # out of float32's range: at infinity f is another one
            try:
                outputs = p.map.value([x.copy() for x in inputs])
            except Exception:  # it takes none
                return
            if any(y.shape != before.shape for y, before in zip(outputs, p.outputs)):
                return
            models = inputs if p.map.forward else outputs
            given = [g.astype(y.dtype) for g, y in zip(self.given, models)]
            results = self._derivative_of([x.copy() for x in inputs], given, "float32")
            for k, (result, like) in enumerate(zip(results, self.like)):
                if result.shape != like.shape:
                    raise self._fault(k, f"for float32 copies of the inputs the gradient is {result.shape}")
            if left_range:  # 0/0 and inf - inf are float32's then, and not the rule's
                results = [np.where(np.isfinite(r), r, v) for r, v in zip(results, self.values)]
            for times in (LOOSE, STRICT):
                if not _is_close(results, self.values, eps, times) and self._is_precise(inputs, outputs, eps, times):
                    self._expect_about(results, self._at_rounded(inputs), "float32", eps, times)

    def _at_rounded(self, inputs: Arrays) -> Arrays:
        """The derivative in float64 where rounding has moved the inputs to: a kink may be there, or a steep slope."""
        exact = [x.astype(np.float64) for x in inputs]
        if all(np.array_equal(x, y, equal_nan=True) for x, y in zip(exact, self.problem.inputs)):
            return self.values
        try:
            return [np.asarray(g, np.float64) for g in self.problem.map.linearize(exact)(self.given)]
        except Exception:  # it is outside of the domain
            return self.values

    def _is_precise(self, inputs: Arrays, outputs: Arrays, eps: float, times: float) -> bool:
        """Whether f has the same values in both precisions, all of a size that float32 holds with room to spare."""
        exact = [x.astype(np.float64) for x in inputs]
        try:
            expected = self.problem.map.value(exact)
        except Exception:
            return False
        sizes = [largest_of(y) for y in (*exact, *expected, *self.values)]
        return all(size == 0 or 1e-9 < size < 1e9 for size in sizes) and _is_close(outputs, expected, eps, times)

    def _expect_about(self, results: Arrays, expected: Arrays, dtype: str, eps: float, times: float) -> None:
        close = [_allowed(v, eps, times) for v in expected]
        self._expect(
            [np.where(np.abs(r - v) <= c, v, r) for r, v, c in zip(results, expected, close)],
            expected,
            lambda where, found, value: f"{where} the gradient is {value:.10g} in float64, and {found:.6g} in {dtype}",
            eps,
        )


LOOSE, STRICT = 10.0, 1.0  # times √eps: for any function, and for one that is so precise itself


def _allowed(expected: np.ndarray, eps: float, times: float) -> float:
    """How far a result of precision eps may be off."""
    return float(times * eps**0.5 * largest_of(expected))


def _is_close(found: Arrays, expected: Arrays, eps: float, times: float) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(bool(np.all((np.abs(a - b) <= _allowed(b, eps, times)) | (a == b) | np.isnan(b))) for a, b in pairs)
