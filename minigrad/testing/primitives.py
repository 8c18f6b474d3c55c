"""check_primitive: everything that minigrad demands of its own primitives, at given inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..compiler.table import CALLS, PARTS, takes_out
from ..primitive import Primitive
from ..record import Variable
from ..tensor import Tensor
from .arguments import changed, generator, options_of, own_dtype
from .check import check_tensors
from .problem import Arrays, GradientError, random_signs
from .progress import watched
from .recorded import dtype_of, pulled
from .reproduction import reproduction

__tracebackhide__ = True  # pytest leaves this page's frames out of its report


def check_primitive(
    p: Primitive,
    *inputs: Any,
    order: int = 2,
    on_kink: str = "raise",
    copies: bool = True,
    seed: int = 0,
    **static: Any,
) -> None:
    """Check a primitive at `inputs`: its function, its rules up to `order`, and how both behave in the engine.

    - the rules agree with finite differences at orders 1 ... `order`, and pass every structural check of `check_grad`,
      in float64 and float32, or float16 if inputs are; every floating-point input that has a rule is differentiated;
    - float32 stays float32;
    - an elementwise primitive works for 0-d, empty and broadcast operands, and for a single entry as for several;
    - a function with an argument `out` writes the same result there, whatever that array's strides; so does what
      `compile_as` was told.

    Args:
        p: made by `minigrad.primitive`.
        inputs: where to check: arrays and whatever else p takes.
        order, on_kink, copies, seed: as for `check_grad`.
        static: p's keyword arguments.

    Raises:
        GradientError: if anything of that fails.
        KinkError: (a ValueError) if p is not differentiable at the inputs.
        TypeError: if p has no rule for any of these inputs, or its result is not floating-point.
        ValueError: if p refuses a copy of its inputs.

    Example:
        >>> sinh = mg.primitive(np.sinh, lambda g, y, x: g * np.cosh(x))
        >>> check_primitive(sinh, np.array([0.3, -1.0]))
    """
    if not isinstance(p, Primitive) or not p.differentiable:
        raise TypeError(f"check_primitive: {p!r} is no primitive with derivative rules; make one with mg.primitive")
    values = [np.array(x._array) if isinstance(x, Variable) else x for x in inputs]
    ruled = [p.joint is not None or (k < len(p.rules) and p.rules[k] is not None) for k in range(len(values))]
    places = [k for k, x in enumerate(values) if ruled[k] and dtype_of(x).kind == "f"]
    if not places:
        raise TypeError(f"check_primitive: {p.name} has no rule for any of these inputs that is floating-point")
    for k in places:
        values[k] = np.array(values[k], np.float64)
    case = _Case(p, values, places, static, generator(seed))
    options = options_of(order, on_kink=on_kink, copies=copies)
    short = np.dtype(np.float32 if copies else np.float64)
    given = static | changed(options, order=(order, 2), seed=(seed, 0))

    def reproduce() -> str:
        return reproduction("check_primitive", {"p": p}, inputs, given)

    with watched("check_primitive"):
        if copies:
            try:
                case.check_dtype()
                case.check_out()
            except GradientError as error:
                raise GradientError(f"{p.name}: {error}\n\n{reproduce()}") from None
        check_tensors(
            case.call,
            [values[k] for k in places],
            [min(own_dtype(inputs[k]), short, key=lambda dtype: dtype.itemsize) for k in places],
            [f"{p.name}, input {k}" for k in places],
            options,
            order,
            seed,
            reproduce,
        )
        try:
            case.check_elementwise()
        except GradientError as error:
            raise GradientError(f"{p.name}: {error}\n\n{reproduce()}") from error.__cause__


class _Case:
    """One call of a primitive; `places` are the inputs that are differentiated."""

    def __init__(
        self, p: Primitive, values: list[Any], places: list[int], static: dict[str, Any], rng: np.random.Generator
    ) -> None:
        self.p, self.values, self.places, self.static, self.rng = p, values, places, static, rng

    def call(self, *tensors: Any) -> Any:
        full = list(self.values)
        for k, t in zip(self.places, tensors):
            full[k] = t
        return self.p(*full, **self.static)

    def arrays(self, dtype: Any = np.float64) -> Arrays:
        return [self.values[k].astype(dtype) for k in self.places]

    def plain(self, *arrays: np.ndarray) -> np.ndarray:
        return np.asarray(self.p.function(*self.filled(arrays), **self.static))

    def filled(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        """All inputs, with these in the places of those that are differentiated."""
        full = list(self.values)
        for k, x in zip(self.places, arrays):
            full[k] = x
        return full

    def check_dtype(self) -> None:
        if "dtype" in self.static:
            return
        with np.errstate(all="ignore"):
            y = self.plain(*self.arrays(np.float32))
        if y.dtype == np.float64:
            raise GradientError("for float32 inputs its function returns float64; a NumPy scalar or array of float64?")

    def check_out(self) -> None:
        """What `compile` has written to an array is what the function returns: by `out`, or as `compile_as` says."""
        writers = self._writers()
        if not writers:
            return
        with np.errstate(all="ignore"):
            y = self.plain(*self.arrays())
            largest = np.max(np.abs(y), initial=0.0, where=np.isfinite(y))
            for what, write in writers.items():
                whole, transposed = np.full(y.shape, 7, y.dtype), np.full(y.shape[::-1], 7, y.dtype).T
                for name, out in (("an array", whole), ("a transposed array", transposed)):
                    if write(out) and not np.allclose(out, y, rtol=1e-10, atol=1e-10 * largest, equal_nan=True):
                        raise GradientError(f"{what} something else to {name} `out` than it returns")

    def _writers(self) -> dict[str, Callable[[np.ndarray], bool]]:
        """What writes the result to an array, or returns False for one that it does not take."""
        function, inputs, static = self.p.function, self.filled(self.arrays()), self.static
        writers: dict[str, Callable[[np.ndarray], bool]] = {}
        if not isinstance(function, np.ufunc) and takes_out(function):
            writers["its function writes"] = lambda out: function(*inputs, **static, out=out) is None or True
        if self.p in CALLS:
            writers["what compile_as(calls=...) gives for it writes"] = lambda out: _called(
                CALLS[self.p](out, *inputs, **static)
            )
        if self.p in PARTS:
            writers["what compile_as(parts=...) gives for it sends"] = lambda out: _collected(
                out, PARTS[self.p](out, **static), inputs
            )
        return writers

    # --- elementwise primitives --------------------------------------------------------------------------------------

    def is_elementwise(self) -> bool:
        """Whether each entry of the result is made of the entries at its place, as far as two entries show."""
        try:
            whole = np.broadcast_arrays(*self.values)
            y = self.plain(*self.arrays())
            if y.size < 2 or y.shape != whole[0].shape:
                return False
            last = [x.ravel()[-1] for x in whole]
            with np.errstate(all="ignore"):
                alone = np.asarray(self.p.function(*[np.array(x) for x in last], **self.static))
                none = np.asarray(self.p.function(*[x.ravel()[:0] for x in whole], **self.static))
                first = np.arange(y.size).reshape(y.shape) == 0
                moved = [x + 0.5 * first if x.dtype.kind == "f" else np.array(x) for x in whole]
                others = np.asarray(self.p.function(*moved, **self.static))
        except (ValueError, TypeError, IndexError):
            return False
        if alone.shape != () or none.shape != (0,) or others.shape != y.shape:
            return False
        return bool(np.isclose([alone, *others[~first]], [y.ravel()[-1], *y[~first]], equal_nan=True).all())

    def check_elementwise(self) -> None:
        """A broadcast operand has the gradient of its copies, summed; 0-d and empty operands have their own shapes."""
        if not self.is_elementwise():
            return
        whole = [np.array(x) for x in np.broadcast_arrays(*self.values)]
        self._check_alone([x.ravel()[:2] for x in whole])
        for name, k, small in self._smaller(whole):
            values = [*whole[:k], small, *whole[k + 1 :]] if k >= 0 else [x[small] for x in whole]
            copies = list(np.broadcast_arrays(*values))
            found, expected = (self._gradients(part) for part in (values, [np.array(x) for x in copies]))
            for j, g, copied in zip(self.places, found, expected):
                shape = values[j].shape
                if g.shape != shape:
                    raise GradientError(f"input {j}: for {name} the gradient has shape {g.shape}, the input {shape}")
                lead = copied.ndim - len(shape)
                axes = [a for a in range(copied.ndim) if a < lead or shape[a - lead] != copied.shape[a]]
                total = copied.sum(axis=tuple(axes)).reshape(shape)
                size = np.sum(np.abs(copied), where=np.isfinite(copied))
                with np.errstate(invalid="ignore"):
                    same = (np.abs(g - total) <= 1e-10 * size) | (g == total) | ~np.isfinite(total)
                if not same.all():
                    raise GradientError(
                        f"input {j}: for {name} the gradient is not the sum over its copies: "
                        f"{g.ravel()[:4].tolist()} and not {total.ravel()[:4].tolist()}"
                    )

    def _check_alone(self, pairs: list[np.ndarray]) -> None:
        """The gradient of an entry alone is that of the same entry beside another one."""
        expected = self._gradients(pairs, np.array([1.0, 0.0]))
        for shape in ((), (1,), (1, 1)):
            found = self._gradients([x[0].reshape(shape) for x in pairs], np.ones(shape))
            for j, g, beside in zip(self.places, found, expected):
                if not np.allclose(g.sum(), beside[0], rtol=1e-10, atol=0.0, equal_nan=True):
                    raise GradientError(
                        f"input {j}: alone, in an array of shape {shape}, an entry has the gradient {g.sum():.10g}, "
                        f"beside another one {beside[0]:.10g}"
                    )

    def _smaller(self, whole: list[np.ndarray]) -> Iterator[tuple[str, int, Any]]:
        """Name, operand (or -1: all of them) and what takes its place: an array (or, for all, an index)."""
        yield "0-d operands", -1, (0,) * whole[0].ndim + (...,)
        yield "empty operands", -1, (slice(0, 0),)
        if len(whole) < 2:
            return
        for k in self.places:
            x = whole[k]
            yield f"input {k} of shape ()", k, np.array(x.ravel()[0])
            yield f"input {k} of size 1 along each axis", k, x[(slice(0, 1),) * x.ndim]
            for axis in range(x.ndim):
                yield f"input {k} of size 1 along axis {axis}", k, x.take([0], axis)
            if x.ndim > 1:
                yield f"input {k} without its first axis", k, x[0]

    def _gradients(self, values: list[np.ndarray], g: np.ndarray | None = None) -> Arrays:
        with np.errstate(all="ignore"):
            leaves: list[Any] = list(values)
            for k in self.places:
                leaves[k] = Tensor(values[k], requires_grad=True)
            y = self.p(*leaves, **self.static)
            g = random_signs(np.random.default_rng(0), y.shape) if g is None else g
            return pulled([y], [g], [leaves[k] for k in self.places])


def _called(calls: Any) -> bool:
    for function, operands in calls or ():
        function(*operands)
    return calls is not None


def _collected(out: np.ndarray, parts: Any, inputs: Sequence[Any]) -> bool:
    if parts is not None:
        out[...] = 0
        for part, x in zip(parts, inputs, strict=True):
            part += x
    return parts is not None
