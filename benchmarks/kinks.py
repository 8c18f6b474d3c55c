"""What each library takes as the slope where a function has none, and whether NaN passes through it.

`python -m benchmarks.kinks` measures the libraries that are installed and prints two tables in Markdown.
`--write docs/kinks.md` puts them into the page; columns of libraries that are not installed stay there as they were.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

Function = Callable[[Any, Any], Any]  # of a library's namespace and a vector
Measured = tuple[float, list[float]]  # the sum of the outputs, and its gradient

NAN, INF = float("nan"), float("inf")
ABSENT = "-"
MARKS = "<!-- measured: {} -->", "<!-- end -->"


@dataclass(frozen=True)
class Row:
    """A function of a vector and where it is measured; `value` also shows the sum of its outputs."""

    title: str
    x: tuple[float, ...]
    function: Function
    value: bool = False


SLOPES = (
    Row("abs(x) at 0", (0.0,), lambda xp, x: xp.abs(x)),
    Row("relu(x) at 0", (0.0,), lambda xp, x: xp.relu(x)),
    Row("maximum(x, 0) at 0", (0.0,), lambda xp, x: xp.maximum(x, xp.zero)),
    Row("leaky_relu(x) at 0, slopes 0.01 and 1", (0.0,), lambda xp, x: xp.leaky_relu(x)),
    Row("clip(x, 0, 1) at 0; 1", (0.0, 1.0), lambda xp, x: xp.clip(x, 0.0, 1.0)),
    Row("hardtanh(x) at -1; 1", (-1.0, 1.0), lambda xp, x: xp.hardtanh(x)),
    Row("hardsigmoid(x) at -3; 3", (-3.0, 3.0), lambda xp, x: xp.hardsigmoid(x)),
    Row("maximum(x, y) at x = y: by x; y", (1.0, 1.0), lambda xp, x: xp.maximum(x[0], x[1])),
    Row("minimum(x, y) at x = y: by x; y", (1.0, 1.0), lambda xp, x: xp.minimum(x[0], x[1])),
    Row("max of (2, 2, 1)", (2.0, 2.0, 1.0), lambda xp, x: xp.max(x)),
    Row("min of (2, 1, 1)", (2.0, 1.0, 1.0), lambda xp, x: xp.min(x)),
    Row("median of (3, 1, 2)", (3.0, 1.0, 2.0), lambda xp, x: xp.median(x)),
    Row("median of (4, 1, 3, 2)", (4.0, 1.0, 3.0, 2.0), lambda xp, x: xp.median(x)),
    Row("median of (2, 2, 2)", (2.0, 2.0, 2.0), lambda xp, x: xp.median(x)),
    Row("(1, 2, 3) · sort of (2, 2, 1)", (2.0, 2.0, 1.0), lambda xp, x: xp.sort(x) * xp.array([1.0, 2.0, 3.0])),
    Row("2-norm of (0, 0)", (0.0, 0.0), lambda xp, x: xp.norm(x)),
    Row("std of (1, 1)", (1.0, 1.0), lambda xp, x: xp.std(x)),
    Row("sqrt(x) at 0", (0.0,), lambda xp, x: xp.sqrt(x)),
    Row("where(x > 0, sqrt(x), 0) at 0", (0.0,), lambda xp, x: xp.where(x > 0.0, xp.sqrt(x), xp.zero)),
    Row("x ** 0 at 0", (0.0,), lambda xp, x: x**0),
    Row("x ** 0.5 at 0", (0.0,), lambda xp, x: x**0.5),
    Row("x ** 1 at 0", (0.0,), lambda xp, x: x**1),
    Row("x ** p at x = 0, p = 0: by x; p", (0.0, 0.0), lambda xp, x: x[0] ** x[1]),
    Row("x ** p at x = 0, p = 2: by x; p", (0.0, 2.0), lambda xp, x: x[0] ** x[1]),
    Row("logsumexp of (-inf, 0)", (-INF, 0.0), lambda xp, x: xp.logsumexp(x)),
    Row("logsumexp of (-inf, -inf)", (-INF, -INF), lambda xp, x: xp.logsumexp(x)),
)
NANS = (
    Row("relu(x)", (NAN,), lambda xp, x: xp.relu(x), value=True),
    Row("leaky_relu(x)", (NAN,), lambda xp, x: xp.leaky_relu(x), value=True),
    Row("abs(x)", (NAN,), lambda xp, x: xp.abs(x), value=True),
    Row("clip(x, 0, 1)", (NAN,), lambda xp, x: xp.clip(x, 0.0, 1.0), value=True),
    Row("hardtanh(x)", (NAN,), lambda xp, x: xp.hardtanh(x), value=True),
    Row("hardsigmoid(x)", (NAN,), lambda xp, x: xp.hardsigmoid(x), value=True),
    Row("maximum(x, 0)", (NAN,), lambda xp, x: xp.maximum(x, xp.zero), value=True),
    Row("minimum(x, 0)", (NAN,), lambda xp, x: xp.minimum(x, xp.zero), value=True),
    Row("max of (NaN, 1)", (NAN, 1.0), lambda xp, x: xp.max(x), value=True),
    Row("median of (NaN, 1, 2)", (NAN, 1.0, 2.0), lambda xp, x: xp.median(x), value=True),
)


class Functions(SimpleNamespace):
    """Names of its own first, then those of a library."""

    def __init__(self, library: Any, **own: Any) -> None:
        super().__init__(library=library, **({"array": np.array, "zero": 0.0} | own))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)


def use_jax() -> Callable[[Function, np.ndarray], Measured]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    special = {"hardtanh": jax.nn.hard_tanh, "hardsigmoid": jax.nn.hard_sigmoid, "norm": jnp.linalg.norm}
    names = ("relu", "leaky_relu", "logsumexp")
    xp = Functions(jnp, **special, **{name: getattr(jax.nn, name) for name in names})

    def measure(f: Function, x: np.ndarray) -> Measured:
        y, g = jax.value_and_grad(lambda x: jnp.sum(f(xp, x)))(x)
        return float(y), np.asarray(g).tolist()

    return measure


def use_torch() -> Callable[[Function, np.ndarray], Measured]:
    import torch

    one = torch.nn.functional
    xp = Functions(
        torch,
        **{name: getattr(one, name) for name in ("relu", "leaky_relu", "hardtanh", "hardsigmoid")},
        norm=torch.linalg.vector_norm,
        sort=lambda x: torch.sort(x).values,
        std=partial(torch.std, correction=0),
        logsumexp=lambda x: torch.logsumexp(x, dim=0),
        array=partial(torch.tensor, dtype=torch.float64),
        zero=torch.zeros((), dtype=torch.float64),
    )

    def measure(f: Function, x: np.ndarray) -> Measured:
        leaf = torch.tensor(x, requires_grad=True)
        y = f(xp, leaf).sum()
        y.backward()
        return y.item(), leaf.grad.tolist()

    return measure


def use_autograd() -> Callable[[Function, np.ndarray], Measured]:
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    xp = Functions(anp, norm=anp.linalg.norm, logsumexp=logsumexp)

    def measure(f: Function, x: np.ndarray) -> Measured:
        y, g = autograd.value_and_grad(lambda x: anp.sum(f(xp, x)))(x)
        return float(y), np.asarray(g).tolist()

    return measure


def use_mygrad() -> Callable[[Function, np.ndarray], Measured]:
    import mygrad
    from mygrad.nnet import activations

    xp = Functions(
        mygrad,
        relu=activations.relu,
        leaky_relu=partial(activations.leaky_relu, slope=0.01),
        hardtanh=activations.hard_tanh,
        norm=mygrad.linalg.norm,
    )

    def measure(f: Function, x: np.ndarray) -> Measured:
        leaf = mygrad.tensor(x)
        y = mygrad.sum(f(xp, leaf))
        y.backward()
        return y.item(), leaf.grad.tolist()

    return measure


def use_minigrad() -> Callable[[Function, np.ndarray], Measured]:
    import minigrad as mg

    def measure(f: Function, x: np.ndarray) -> Measured:
        y, g = mg.value_and_grad(lambda x: mg.sum(f(Functions(mg), x)))(x)
        return float(y.data), g.data.tolist()

    return measure


@dataclass(frozen=True)
class Library:
    """What a column is called, what must be importable, and how to get values and gradients."""

    title: str
    packages: tuple[str, ...]
    use: Callable[[], Callable[[Function, np.ndarray], Measured]] = field(repr=False)

    def installed(self) -> bool:
        return all(importlib.util.find_spec(package) for package in self.packages)

    def heading(self) -> str:
        if self.title == "minigrad":  # the page comes with the code that it is about
            return self.title
        return f"{self.title} {importlib.metadata.version(self.packages[0]).partition('+')[0]}"


LIBRARIES = (
    Library("JAX", ("jax",), use_jax),
    Library("torch", ("torch",), use_torch),
    Library("HIPS autograd", ("autograd", "scipy"), use_autograd),
    Library("MyGrad", ("mygrad",), use_mygrad),
    Library("minigrad", ("minigrad",), use_minigrad),
)


def shown(number: float) -> str:
    return f"{number + 0.0:.4g}"  # -0.0 + 0.0 is 0.0


def cell(measure: Callable[[Function, np.ndarray], Measured], row: Row) -> str:
    """A row's entry: slopes, after the value if it is asked for; `-` for a function that the library lacks."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            value, slopes = measure(row.function, np.array(row.x))
    except (AttributeError, NotImplementedError):
        return ABSENT
    except Exception as error:
        return f"raises {type(error).__name__}"
    numbers = "; ".join(map(shown, slopes))
    return f"{shown(value)} / {numbers}" if row.value else numbers


Table = dict[str, dict[str, str]]  # heading of a column -> title of a row -> entry


def measured(libraries: tuple[Library, ...], rows: tuple[Row, ...]) -> Table:
    table = {}
    for library in libraries:
        measure = library.use()
        table[library.heading()] = {row.title: cell(measure, row) for row in rows}
    return table


def markdown(table: Table, rows: tuple[Row, ...], first: str) -> str:
    lines = [[first, *table], ["---"] * (len(table) + 1)]
    lines += [[row.title, *(column.get(row.title, ABSENT) for column in table.values())] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read(text: str) -> Table:
    """The columns of a table in Markdown."""
    if not text.strip():
        return {}
    heading, _, *lines = ([entry.strip() for entry in line.strip("| ").split(" | ")] for line in text.splitlines())
    return {name: {line[0]: line[k] for line in lines} for k, name in enumerate(heading) if k}


TABLES = {"slopes": (SLOPES, "slope of"), "NaN": (NANS, "value / slope at NaN")}


def block(name: str) -> re.Pattern[str]:
    begin, end = MARKS
    return re.compile(f"(?<={re.escape(begin.format(name))}\n).*?(?={re.escape(end)})", re.DOTALL)


def merged(page: Table, new: Table) -> Table:
    """Columns in the order of LIBRARIES: the new ones, and the page's where there is none."""
    columns = {}
    for library in LIBRARIES:
        for table in (new, page):
            found = [name for name in table if name.startswith(library.title)]
            if found:
                columns[found[0]] = table[found[0]]
                break
    return columns


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, in place of its own")
    page = parser.parse_args(arguments).write
    text = page.read_text(encoding="utf-8") if page else ""
    libraries = tuple(library for library in LIBRARIES if library.installed())
    for name, (rows, first) in TABLES.items():
        table = measured(libraries, rows)
        if page:
            old = block(name).search(text)
            if old is None:
                parser.error(f"{page} lacks the lines {MARKS[0].format(name)} and {MARKS[1]} around its table")
            new = markdown(merged(read(old[0]), table), rows, first)
            text = f"{text[: old.start()]}{new}\n{text[old.end() :]}"
        else:
            print(markdown(table, rows, first), end="\n\n")
    if page:
        page.write_text(text, encoding="utf-8")
    for library in LIBRARIES:
        if library not in libraries:
            print(f"{library.title} is not installed: {'its column stays' if page else 'no column'}", file=sys.stderr)


if __name__ == "__main__":
    main()
