"""A function near one point, and its analytic derivative there: what every checker of this package works on.

Nothing here knows of Tensors: arrays go in, arrays come out. `Problem` also lays all inputs end to end as one vector x
(n,), and all finite outputs as one vector y (m,), so that differences and comparisons speak of one Jacobian (m, n).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .differences import EPS, scales

__tracebackhide__ = True  # pytest leaves this page's frames out of its report

Arrays = list[np.ndarray]

PAIRS = 6  # of four inputs every pair
MEASURED = 6  # points at which rounding errors are measured
CANCELLED = 1e-6


class GradientError(AssertionError):
    """A derivative is wrong; the message says where, by how much, and whose fault it is.

    >>> wrong = mg.primitive(np.sin, lambda g, y, x: -g * np.cos(x), name="wrong")
    >>> try:
    ...     check_grad(wrong, 1.0)
    ... except GradientError as error:
    ...     print("refused")
    refused
    """


class KinkError(ValueError):
    """No verdict is possible: the function is not differentiable here, as far as finite differences can tell.

    >>> try:
    ...     check_grad(mg.abs, 0.0)
    ... except KinkError as error:
    ...     print("0 is no point to check |x| at")
    0 is no point to check |x| at
    """


class Map(NamedTuple):
    """A function of arrays and its derivative.

    `value(inputs)` gives the outputs. `linearize(inputs)` gives the pullback there, cotangents -> cotangents (Jᵀ g), or
    with `forward` the pushforward, tangents -> tangents (J v). `remedy` is for one that depends on earlier calls.
    `finer` is `value` for long doubles, if that is another. `runs` says that `linearize` calls the function itself.
    """

    value: Callable[[Arrays], Arrays]
    linearize: Callable[[Arrays], Callable[[Arrays], Arrays]]
    forward: bool = False
    remedy: str = ""
    finer: Callable[[Arrays], Arrays] | None = None
    runs: bool = False


class Options(NamedTuple):
    """What the user chose; see `check_grad`."""

    rtol: float = 1e-6
    atol: float = 0.0
    eps: float | None = None
    mode: str = "auto"
    on_kink: str = "raise"
    copies: bool = True


class Problem:
    """A `Map` at float64 inputs; `labels` name these, `order` says which derivative is looked at.

    `magnitude` (m,) is the size of the terms that may have cancelled in each output: a bound on rounding errors that
    the output itself does not show.

    Raises:
        ValueError: if an input or the function is NaN here. Infinite outputs are left out.
    """

    def __init__(
        self, map: Map, inputs: Arrays, labels: list[str], order: int = 1, magnitude: np.ndarray | None = None
    ) -> None:
        self.map, self.inputs, self.labels, self.order = map, inputs, labels, order
        for x, label in zip(inputs, labels, strict=True):
            if np.isnan(x).any():
                raise ValueError(f"{label} is NaN at index {tuple(np.argwhere(np.isnan(x))[0].tolist())}")
        evaluate_elsewhere(map, inputs)  # what a function or a rule keeps of its first call is of another point now
        outputs = map.value([x.copy() for x in inputs])
        self.outputs = [np.array(y, np.float64) for y in outputs]
        for k, y in enumerate(self.outputs):
            if np.isnan(y).any():
                raise ValueError(
                    f"output {k} is NaN at index {tuple(np.argwhere(np.isnan(y))[0].tolist())} for these inputs"
                )
        self.measured = False  # f's rounding errors
        self.x = flattened(inputs)
        whole = flattened(self.outputs)
        self.kept = np.flatnonzero(np.isfinite(whole))
        self.keeps_all = len(self.kept) == len(whole)
        self.y = whole[self.kept]
        precision = max([EPS, *[float(np.finfo(y.dtype).eps) for y in outputs]])
        self.noise = precision * (
            np.abs(self.y) if magnitude is None else np.maximum(np.abs(self.y), magnitude[self.kept])
        )
        self.owner = np.repeat(np.arange(len(inputs)), [x.size for x in inputs])
        typical = [np.max(np.abs(x), initial=0.0, where=np.isfinite(x)) for x in inputs]
        self.typical = np.array(typical, np.float64)[self.owner]

    def measures_noise(self) -> bool:
        """Measure f's rounding errors, beside a run in long double; whether they are larger than its values tell.

        They are where terms of size 1 leave a small number, as 0.5 tanh(x / 2) + 0.5 does far left of 0. No error that
        is more than a share of `CANCELLED` of all values is believed: there f itself is another one in long double.
        """
        if not np.finfo(np.longdouble).eps < EPS:  # on some systems it is float64
            return False
        rng, found = np.random.default_rng(0), np.zeros(self.m)
        for _ in range(MEASURED):
            xs = [nudged(x, 1e-6, rng, at_zero=1e-6) for x in self.inputs]
            try:
                with np.errstate(all="ignore"):
                    finer = (self.map.finer or self.map.value)([x.astype(np.longdouble) for x in xs])
                    if any([y.dtype != np.longdouble for y in finer]):
                        return False
                    found = np.fmax(found, np.abs(self.f(flattened(xs)) - flattened(finer, np.longdouble)[self.kept]))
            except Exception:  # f takes no long double, as LAPACK does not; or a point lies outside of its domain
                return False
        self.measured, found = True, found.astype(np.float64)  # or all that is computed with it is in long double
        found = np.where(found <= CANCELLED * max(1.0, float(np.max(np.abs(self.y), initial=0.0))), found, 0.0)
        larger = found > 8 * self.noise
        self.noise = np.where(larger, 4 * found, self.noise)
        return bool(larger.any())

    @cached_property
    def derivative(self) -> Callable[[Arrays], Arrays]:
        """The pullback (or pushforward) at the inputs."""
        return self.map.linearize([x.copy() for x in self.inputs])

    n = property(lambda self: self.x.size)
    m = property(lambda self: self.y.size)

    @cached_property
    def size(self) -> np.ndarray:
        """The natural size (n,) of each entry of x: |x|, or 1 where that is small; 0 if it is infinite."""
        return scales(self.x, self.typical)[0]

    @cached_property
    def rounding(self) -> Arrays:
        """How far rounding may move the derivative's results, for cotangents (or tangents) of size 1."""
        smallest = np.min(self.size, initial=1.0, where=self.size > 0)
        if self.map.forward:
            return self.cotangents(1e3 * self.noise / smallest)
        return split(1e3 * self.noise.sum() / np.where(self.size == 0, 1.0, np.minimum(self.size, 1.0)), self.inputs)

    def f(self, x: np.ndarray) -> np.ndarray:
        """The function itself, (n,) -> (m,)."""
        y = flattened(self.map.value(split(x, self.inputs)))
        return y if self.keeps_all else y[self.kept]

    def row(self, derivative: Callable[[Arrays], Arrays], u: np.ndarray) -> np.ndarray:
        """Jᵀ u (n,) from a pullback."""
        return flattened(derivative(self.cotangents(u)))

    def column(self, derivative: Callable[[Arrays], Arrays], v: np.ndarray) -> np.ndarray:
        """J v (m,) from a pushforward."""
        return flattened(derivative(split(v, self.inputs)))[self.kept]

    def cotangents(self, u: np.ndarray) -> Arrays:
        """u (m,) in the shapes of the outputs, 0 for those that are left out."""
        if self.keeps_all:
            return split(u, self.outputs)
        whole = np.zeros(sum(y.size for y in self.outputs))
        whole[self.kept] = u
        return split(whole, self.outputs)

    def place(self, j: int) -> tuple[str, tuple[int, ...]]:
        """The label of the input that x[j] belongs to, and its index there."""
        k, index = position(j, self.inputs)
        return self.labels[k], index

    def place_of_output(self, i: int) -> tuple[int, tuple[int, ...]]:
        """The number of the output that y[i] belongs to, and its index there."""
        return position(int(self.kept[i]), self.outputs)

    def error(self, k: int, text: str) -> GradientError:
        """A fault of the derivative with respect to input k."""
        return GradientError(f"{self.labels[k]}, derivative of order {self.order}: {text}")


_MISSING = "is a `return` missing? (Integers, comparisons and argmax have no derivative.)"


def nothing_in(result: Any, wanted: str, remedy: str = _MISSING) -> TypeError:
    """What to raise for a result of a user's function that holds nothing whose derivative could be compared."""
    text = repr(result)
    text = text if len(text) <= 60 and "\n" not in text else f"a {type(result).__name__}"
    return TypeError(
        f"the function returned {text}, and it must return {wanted}, or there is nothing to compare; {remedy}"
    )


def flattened(arrays: Arrays, dtype: Any = np.float64) -> np.ndarray:
    """All entries as one new vector of float64."""
    if len(arrays) == 1:
        return np.array(arrays[0], dtype).reshape(-1)
    parts = [np.ravel(a) for a in arrays] or [np.zeros(0)]
    return np.concatenate(parts, dtype=dtype, casting="unsafe")


def split(x: np.ndarray, like: Arrays) -> Arrays:
    """A vector cut into new arrays of the shapes of `like`."""
    parts, start = [], 0
    for a in like:
        parts.append(x[start : start + a.size].reshape(a.shape).copy())
        start += a.size
    return parts


def position(j: int, arrays: Arrays) -> tuple[int, tuple[int, ...]]:
    """The array that entry j of the flattened arrays belongs to, and its index there."""
    for k, a in enumerate(arrays):
        if j < a.size:
            return k, tuple(int(i) for i in np.unravel_index(j, a.shape))
        j -= a.size
    raise IndexError(j)


def groups(owner: np.ndarray, size: np.ndarray, decades: int) -> list[np.ndarray]:
    """Masks of the entries, by owner and by so many decades of size: others vanish beside larger; 0 is with these."""
    masks = []
    for k in np.unique(owner):
        mine = owner == k
        largest = np.max(size[mine]) or 1.0
        below = np.floor(np.log10(largest / np.where(mine & (size > 0), size, largest)) / decades)
        masks += [mine & (below == n) for n in np.unique(below[mine])]
    return masks


def equal_pairs(inputs: Arrays) -> list[tuple[int, int]]:
    """Pairs of inputs that one array could be: of one shape, and not empty; of many pairs the first."""
    pairs = [(a, b) for b, x in enumerate(inputs) for a in range(b) if inputs[a].shape == x.shape and x.size]
    return pairs[:PAIRS]


def random_signs(rng: np.random.Generator, size: Any) -> np.ndarray:
    """±1 times a random magnitude between 1/2 and 3/2.

    With signs, errors of one kind do not add up to nothing as they may for non-negative weights; with magnitudes, two
    equal errors of opposite sign do not cancel either.
    """
    return np.asarray((2.0 * rng.integers(0, 2, size) - 1.0) * rng.uniform(0.5, 1.5, size))


def nudged(x: np.ndarray, share: float, rng: np.random.Generator, at_zero: float = 0.0) -> np.ndarray:
    """x with each finite entry moved by about `share` of it."""
    size = np.where(x == 0, at_zero, share * np.abs(x))
    with np.errstate(over="ignore"):  # beyond the largest number is elsewhere, too
        return x + np.where(np.isfinite(x), size * random_signs(rng, x.shape), 0.0)


def evaluate_elsewhere(map: Map, inputs: Arrays, outputs: Arrays | None = None, within: Arrays | None = None) -> None:
    """Call the function and its derivative near `inputs`, which may be outside of their domain.

    `outputs` are those at the inputs, if they are known. With `within` in these very arrays, which then hold `inputs`
    again: what is kept by an array's identity is another point's now.
    """
    rng = np.random.default_rng(0)
    moved = [np.asarray(nudged(x, 1e-3, rng, at_zero=1e-3)) for x in inputs]
    arrays = moved if within is None else within
    for x, there in zip(arrays, moved):
        x[...] = there
    try:
        with np.errstate(all="ignore"):
            if outputs is None or not map.runs:
                outputs = map.value(arrays)
            map.linearize(arrays)([np.ones(np.shape(g)) for g in (arrays if map.forward else outputs)])
    except Exception:  # whatever it raises there: the point is not one that the user asked about
        pass
    for x, here in zip(within or (), inputs):
        x[...] = here
