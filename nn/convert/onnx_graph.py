"""A graph that is being written: nodes, weights by name, and sizes as ONNX computes them from its inputs."""

from __future__ import annotations

import functools
import importlib
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

from .onnx_trace import Ref, Size, Varying


def package() -> Any:
    """The package onnx, with what of it is used.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    try:
        for part in ("checker", "defs", "helper", "numpy_helper"):
            importlib.import_module(f"onnx.{part}")
        return importlib.import_module("onnx")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ONNX files need the package onnx: pip install onnx") from error


class Axes:
    """The free axes and their sizes in each trace, and where ONNX finds them: an axis of an input."""

    def __init__(self, sizes: dict[str, tuple[int, ...]], found: dict[str, tuple[str, int]]) -> None:
        self.sizes, self.found = sizes, found
        self.terms: dict[tuple[str, ...], tuple[int, ...]] = {(name,): sizes[name] for name in sizes}
        for pair in itertools.combinations_with_replacement(sizes, 2):
            self.terms[pair] = tuple([a * b for a, b in zip(sizes[pair[0]], sizes[pair[1]])])

    def solved(self, size: Size) -> tuple[list[tuple[int, tuple[str, ...]]], int]:
        """The integers c_k and c with size = Σ c_k term_k + c in each trace.

        Raises:
            ValueError: if there are none.
        """
        wanted = np.array(size.values)
        for count in (1, 2):
            for terms in itertools.combinations(self.terms, count):
                columns = np.array([*[self.terms[term] for term in terms], (1,) * len(wanted)]).T
                found = np.rint(np.linalg.lstsq(columns, wanted, rcond=None)[0]).astype(int)
                if (columns @ found == wanted).all() and found[:-1].all():
                    return list(zip(found[:-1].tolist(), terms)), int(found[-1])
        known = ", ".join(f"{name} = {values}" for name, values in self.sizes.items())
        raise ValueError(
            f"to_onnx: the model computes with a number that was {size.values} for {known}: how it follows from these "
            'cannot be told; fix the axis, as axes={"xs": (None, "B")} does'
        )

    def symbol(self, n: Any) -> Any:
        """A number, or the name of the axis of this Size, None if it is computed from several."""
        if not isinstance(n, Size):
            return n
        return next((name for name, sizes in self.sizes.items() if sizes == n.values), None)


class Graph:
    """Nodes in the making; `parent` is the graph around the body of a Scan, whose arrays it may read."""

    def __init__(self, axes: Axes, paths: dict[int, str], parent: Graph | None = None) -> None:
        self.onnx = package()
        self.axes, self.paths, self.parent = axes, paths, parent
        self.root: Graph = self if parent is None else parent.root
        self.nodes: list[Any] = []
        self.names: dict[Any, str] = {}  # of Refs, and of what was computed for several nodes
        self.weights: dict[str, np.ndarray] = {}
        self.taken: dict[str, int] = {}  # names, and how many began with each
        self.masked = False  # whether a constant -inf is about

    def new(self, word: str) -> str:
        """A name that is not taken."""
        taken = self.root.taken
        name = next(n for k in itertools.count(taken.get(word, 0)) if (n := f"{word}_{k}" if k else word) not in taken)
        taken[word] = taken.get(word, 0) + 1
        taken.setdefault(name, 0)
        return name

    def __call__(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; the name of its output, or a list of them."""
        names = [self.new(operator.lower()) for _ in range(outputs)]
        made = self.onnx.helper.make_node(operator, inputs, names, **attributes)
        self.nodes.append(made)
        return names[0] if outputs == 1 else names

    def once(self, key: Any, make: Callable[[], str]) -> str:
        """The name that was kept for this key, here or in a graph around; else what `make()` returns."""
        graph: Graph | None = self
        while graph is not None:
            if key in graph.names:
                return graph.names[key]
            graph = graph.parent
        self.names[key] = name = make()
        return name

    def constant(self, value: Any, dtype: Any = None, word: str = "constant") -> str:
        """The name of an array that is stored in the file, once if several equal ones are."""
        array = np.array(value, dtype)
        if array.dtype.kind == "f" and np.isneginf(array).any():
            self.root.masked = True
        key = array.dtype.str, array.shape, array.tobytes(), word if array.size > 64 else ""

        def store() -> str:
            name = self.root.new(word)
            self.root.weights[name] = array
            return name

        return self.root.once(key, store)

    # --- what calls read ---------------------------------------------------------------------------------------------

    def name(self, x: Any, dtype: Any = None) -> str:
        """The name of an array, number or size, in this dtype (None: its own)."""
        if isinstance(x, Size):
            return self.cast(self.once(("scalar", x), lambda: self("Squeeze", self.size(x))), np.int64, dtype)
        if isinstance(x, Varying):
            return self.cast(self.once(id(x), lambda: self._varying(x)), x.arrays[0].dtype, dtype)
        if isinstance(x, Ref):
            return self.cast(self.once(x, lambda: self._leaf(x)), x.dtype, dtype)
        return self.constant(x, dtype)

    def cast(self, name: str, found: Any, dtype: Any) -> str:
        """The same array in another dtype."""
        if dtype is None or np.dtype(found) == np.dtype(dtype):
            return name
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.once(("cast", name, kind), lambda: self("Cast", name, to=kind))

    def _leaf(self, x: Ref) -> str:
        if isinstance(x.source, mg.Tensor):
            return self.constant(x.source.data, word=self.paths.get(id(x.source), "constant"))
        assert x.source is not None  # else it is the result of a call, which has a name
        return self.name(x.source)

    def _varying(self, x: Varying) -> str:
        """An array whose size follows from those of axes: one number everywhere, or numbers in equal steps."""
        first = x.arrays[0]
        shape = tuple([self._alike(sizes) for sizes in zip(*[a.shape for a in x.arrays])])
        starts = self._alike(tuple([a.flat[0].item() if a.size else 0 for a in x.arrays]))
        steps = {(a.flat[1] - a.flat[0]).item() if a.size > 1 and a.dtype != bool else 0 for a in x.arrays}
        step = next(iter(steps))
        free = [n for n in shape if isinstance(n, Size)]
        told = isinstance(starts, (int, float)) or first.dtype.kind == "i"
        if told and len(steps) == 1 and all([_even(a, step) for a in x.arrays]) and (step == 0 or len(free) == 1):
            start = self.name(starts, first.dtype)
            if step == 0:
                return self("Expand", start, self.vector(shape))  # type: ignore[no-any-return]
            count = self.cast(self.range(self._alike(tuple([a.size for a in x.arrays]))), np.int64, first.dtype)
            line = self("Add", self("Mul", count, self.constant(step, first.dtype)), start)
            return self("Reshape", line, self.vector(shape))  # type: ignore[no-any-return]
        shapes = " and ".join(str(a.shape) for a in x.arrays[:2])
        raise ValueError(
            f"to_onnx: an array that Python makes has the shapes {shapes} at two sizes of the free axes, and is "
            "neither one number everywhere nor numbers in equal steps; pass it as an argument, or fix the axes (axes=)"
        )

    @staticmethod
    def _alike(sizes: tuple[Any, ...]) -> Any:
        return sizes[0] if len(set(sizes)) == 1 else Size(sizes)

    def range(self, n: Any) -> str:
        """The numbers 0 ... n - 1, of a number or a Size."""
        limits = self.constant(0, np.int64), self.name(n, np.int64), self.constant(1, np.int64)
        return self("Range", *limits)  # type: ignore[no-any-return]

    # --- sizes -------------------------------------------------------------------------------------------------------

    def size(self, n: Any) -> str:
        """[n], for a number or a Size."""
        if not isinstance(n, Size):
            return self.constant([n], np.int64)
        root = self.root
        return root.once(("size", n), lambda: root._computed(n))

    def vector(self, sizes: Any) -> str:
        """A vector of numbers and Sizes."""
        sizes = tuple(sizes)
        if not any([isinstance(n, Size) for n in sizes]):
            return self.constant(np.array(sizes, np.int64))
        if len(sizes) == 1:
            return self.size(sizes[0])
        return self.once(("vector", sizes), lambda: self("Concat", *map(self.size, sizes), axis=0))

    def _computed(self, n: Size) -> str:
        terms, constant = self.axes.solved(n)
        total = None if constant == 0 else self.constant([constant], np.int64)
        for factor, names in terms:
            product = None if factor == 1 else self.constant([factor], np.int64)
            for name in names:
                axis = self.once(("axis", name), functools.partial(self._axis, name))
                product = self._two("Mul", product, axis)
            total = self._two("Add", total, product)
        assert total is not None
        return total

    def _two(self, operator: str, a: str | None, b: str | None) -> str:
        return (a or b or "") if a is None or b is None else self(operator, a, b)

    def _axis(self, name: str) -> str:
        source, axis = self.axes.found[name]
        return self("Shape", source, start=axis, end=axis + 1)  # type: ignore[no-any-return]

    # --- inputs and outputs ------------------------------------------------------------------------------------------

    def info(self, name: str, dtype: Any, shape: Any) -> Any:
        """What the file says of an input or output; a free size is called by its axis, if it is one of these."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, [self.axes.symbol(n) for n in shape])


def _even(a: np.ndarray, step: Any) -> bool:
    """Whether an array's entries, in order, are start, start + step, start + 2 step, ..."""
    line = a.ravel()[:1] + (np.arange(a.size).astype(a.dtype) * np.asarray(step, a.dtype) if step else False)
    return bool(np.array_equal(a.ravel(), np.broadcast_to(line, a.size) if a.size else a.ravel()))


def size_of(shape: Any) -> float:
    """How many entries, NaN if a size is free."""
    return math.nan if any([isinstance(n, Size) for n in shape]) else math.prod(shape)
