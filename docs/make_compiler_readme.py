"""Write minigrad/compiler/README.md: one small function through every pass of the compiler, as the compiler shows it.

    python -m docs.make_compiler_readme             # the page, to standard output
    python -m docs.make_compiler_readme --write     # to minigrad/compiler/README.md

Lists, places, the map of the memory and what each pass is worth are what `mg.compile(f, show_passes=True)` prints; the
passes, the files and what the engine knows of compiling are read from the code. Only the sentences between stand here.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import io
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import minigrad as mg
from minigrad.compiler import stages
from minigrad.compiler.stages import NAMES, PASSES
from minigrad.interpretation import MARKED

from .written import command

PAGE = Path(__file__).parents[1] / "minigrad" / "compiler" / "README.md"
FILES = (
    "table", "instruction", "listing", "outline", "calling", "trace", "rules", "stages", "passes", "panels", "batches",
    "places", "collecting", "calls", "loops", "program", "function", "arguments", "outside", "traced",
)  # fmt: skip


def loss(W, b, h):  # type: ignore[no-untyped-def]
    for _ in range(6):
        h = mg.tanh(h @ W + mg.exp(b))
    return mg.sum(h)


ARGUMENTS = np.eye(3), np.ones(3), np.ones((2, 3))

HEAD = """# The compiler

`mg.compile(f)` runs `f` once, on Tensors that stand for whatever will come, and writes down every primitive that is
called, the derivative rules' calls as well: that is the *trace*. What comes out is a list of instructions. A few passes
rewrite the list, each value gets a place in one block of memory, and from then on a call of the compiled function is a
flat loop over NumPy calls: no record, no walk, no allocation. [docs/one_page.py](../../docs/one_page.py) is all that
you need to know before. This page is made by the program itself: `python -m docs.make_compiler_readme --write`.

## One function

```python
{code}

gradient = mg.compile(mg.grad(loss), show_passes=True)
gradient(np.eye(3), np.ones(3), np.ones((2, 3)))
```

`show_passes=True` prints what you read below, for a function of yours as well. Every line is an instruction:
`v7:f64[2,3] = tanh(v6:f64[2,3])` makes the *value* number 7, an array of six 64-bit numbers, from number 6. Of a loop,
the first two turns and the last are shown. v0 is `W`, v1 is `b`, v2 is `h`.

### As traced

The loop is gone: Python ran it, and the list has what each turn called. Behind the sum comes the way back: for each
`tanh` its rule `g * (1 - y * y)`, for each product `g Wᵀ`. The gradient of W is one product, of all h and all g.

{as_traced}
"""


def shown(f: Callable[..., Any], *args: Any, **options: Any) -> dict[str, list[str]]:
    """What `compile` prints of f, by title."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, mock.patch.object(stages, "folded", list):
        mg.compile(f, show_passes=True, **options)(*args)
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in printed.getvalue().splitlines():
        if line.startswith("--- "):
            lines = found[line.strip("- ")] = []
        elif line:
            lines.append(line)
    return found


def block(lines: list[str], language: str = "") -> str:
    """Lines as a block of code, folded where they repeat."""
    return "\n".join([f"```{language}", *stages.folded(lines), "```"])


def changes(before: list[str], after: list[str]) -> str:
    """What a pass changed."""
    lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    return block([line for line in lines if not line.startswith("@@")], "diff")


def worth() -> list[str]:
    """A row for each pass: calls and bytes of the program without it."""
    rows = ["| without | calls | bytes | results |", "|---|---|---|---|"]
    for name in ("", *NAMES):
        f = mg.compile(mg.grad(loss), without=name or ())
        f(*ARGUMENTS)
        rounding = {p.name: p.rounding for p in PASSES}.get(name, False)
        calls, nbytes = len(f.program.calls), f.program.nbytes
        same = "may differ by rounding" if rounding else "the same bits"
        rows.append(f"| {f'`{name}`' if name else 'nothing'} | {calls} | {nbytes:,} | {same if name else ''} |")
    return rows


def sentence(thing: Any) -> str:
    """The first sentence of a docstring."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def page() -> str:
    """The page, from the code as it is."""
    lists = shown(mg.grad(loss), *ARGUMENTS)
    before, code = lists["as traced"], inspect.getsource(loss).replace("  # type: ignore[no-untyped-def]", "")
    parts = [HEAD.format(code=code, as_traced=block(before))]
    for p in PASSES:
        parts.append(f"### {p.name}\n\n{p.does}{f' {ABOUT[p.name]}' if p.name in ABOUT else ''}\n")
        if lists.get(p.name, ["the same"]) != ["the same"]:
            parts.append(f"{changes(before, lists[p.name])}\n")
            before = lists[p.name]
        if p.name == "collecting":
            parts.append(PLACES.format(places=block(lists["places"]), memory=block(lists["memory"])))
    parts.append(CALLS.format(calls=block(lists["calls"]), worth="\n".join(worth())))
    parts.append("| file | what it is |\n|---|---|")
    modules = {name: importlib.import_module(f"minigrad.compiler.{name}") for name in FILES}
    parts[-1] += "".join([f"\n| [{name}.py]({name}.py) | {sentence(module)} |" for name, module in modules.items()])
    parts.append(WORDS)
    marked = sorted({f"{f.__module__.removeprefix('minigrad.')}.{f.__qualname__}" for f in MARKED})
    marked = [name for name in marked if not name.startswith("compiler.")]
    names = textwrap.fill(", ".join([f"`{name}`" for name in marked]), 120, break_on_hyphens=False)
    parts.append(ENGINE.format(marked=names))
    return "\n".join(parts)


ABOUT = {
    "repeats": "The trace does that itself: `exp(b)` is in the list above once.",
    "panels": "Nothing here: this function's products are small already.",
    "packed_factors": "BLAS is slow where a transpose is the right factor: its columns lie far apart.",
    "batches": "Here that is 1 - h²: no turn of the way back waits for another one's.",
    "in_place": "In the list above, most results lie where an operand lay.",
    "turns": "The largest pieces come first, each to the lowest address that is free as long as it is needed.",
    "rolled": "Its columns are lists of arrays, of one array for each turn: `for` takes the place of a list of calls.",
}
PLACES = """A *place* is where a value lies: `m[64]:f64[2,3]` is from byte 64 of the program's memory on.
Views (a part, a transpose) have places and need no call. Each line that is left is a *step*:

{places}

And this is the map of the memory: which bytes, from which step to which, hold which values.

{memory}
"""
CALLS = """The calls, as they are made at each replay (`gradient.program.describe()` gives them, too):

{calls}

## What each pass is worth here, and how to find one that is wrong

Not one pass is needed for right results. Needed are what is between them: that each value gets a place,
each instruction that is no view a step (both in `schedule`), each piece of memory bytes of its own while it is needed
(`plan`).
If a compiled function returned something else than the plain one, leave passes out one by one, by name:

```python
for name in mg.compiler.stages.NAMES:
    print(name, mg.compile(mg.grad(loss), without=name)(np.eye(3), np.ones(3), np.ones((2, 3))))
```

{worth}

## The files, in the order in which one reads them
"""
WORDS = """
## Words

| word | means here |
|---|---|
| value | an array of the program: a number and a layout; no memory yet |
| layout | shape, dtype and strides; one object for all arrays that lie alike |
| instruction | a kind, the values it reads, the value it makes |
| kind | what an instruction does but for which values it reads; what is true of a kind is found out once |
| outline | what stands for a result while tracing: shape and dtype, the memory of one entry |
| turn | one pass through a loop of the function; a trace unrolls loops |
| recipe | the calls that the rules of a node made, by its kind, or that added up what it got; followed from then on |
| leaf | a tensor from outside of the function, read afresh at each replay |
| place | a root, a byte within it, and the layout in which a value lies there: `lying` where it may be another one |
| root | a piece of memory of its own, which values lie in |
| panel | some columns of a matrix, copied so that they lie in one piece |
| packed | of a matrix: copied, its rows one after the other |
| step | what one instruction, or one part of a collection, needs at a replay |
| call | a function of NumPy with its arrays |
| loop | calls that come again, turn after turn, as one function of a few lines |
| column | what such a function gets of an operand that differs from turn to turn: a list of arrays |
"""
ENGINE = """
## What the engine knows of compiling

That a block may carry out calls in its own way, as an *interpretation*: `Primitive.__call__` asks for one if any block
is open; so do the functions that are marked `@interpreted`:
{marked}.
A `Tensor` and a `Node` have a slot for what they stand for, and `walk` may be given other rules than the primitives'
own. What the compiler has to know of a primitive stands in the compiler's own table, [table.py](table.py).
"""


if __name__ == "__main__":
    command("docs.make_compiler_readme", "One function compiled", PAGE, page)
