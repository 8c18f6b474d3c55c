"""The docstring of a primitive, put together when somebody asks for it.

A line of the table says what a primitive computes where its name does not: `doc=`. What else there is to say (the rule
as an equation, what is raised, an example) stands in `entries/`, a file for each page of the table, an entry for each
primitive: its name on a line, then what it says, then `>>> ` examples that a test runs.
"""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any

import numpy as np

FOLDER = os.path.join(os.path.dirname(__file__), "entries")


@functools.cache
def entries(module: str) -> dict[str, str]:
    """What stands in the file of entries of a module of minigrad, by the primitive's name; nothing if it has none."""
    page = os.path.join(FOLDER, f"{module.rpartition('.')[2]}.txt")
    if not os.path.exists(page):
        return {}
    with open(page, encoding="utf-8") as file:
        blocks = file.read().strip().split("\n\n")
    return {name: text for name, _, text in (block.partition("\n") for block in blocks)}


def docstring(p: Any) -> str | None:
    """Signature, `doc=` and entry of a primitive of the table; `doc=` of another one, else what its function says."""
    if not p.__module__.startswith("minigrad."):
        return p.doc or own_words(p.function)
    entry = entries(p.__module__).get(p.name, "")
    words, mark, example = f"{p.doc or ''}\n{entry}".strip().partition(">>> ")
    signature = getattr(p, "__signature__", "")
    return f"{p.name}{signature}\n\n{words.strip()}\n\n{mark}{inspect.cleandoc(example)}".strip()


def equation(p: Any) -> str:
    """What is said of the rules of a primitive of the table, `dL/dx = g (1 - y²)`; "" of any other's."""
    said = f"{p.doc}\n{entries(p.__module__).get(p.name, '')}" if p.__module__.startswith("minigrad.") else ""
    lines = said.partition(">>> ")[0].splitlines()
    return (
        " ".join([line[line.index("dL/d") :].strip() for line in lines if "dL/d" in line])
        .partition(". ")[0]
        .rstrip(".")
    )


def own_words(function: Any) -> str | None:
    """A function's docstring; of one of NumPy the sentence that says what it computes, without its options."""
    text: str | None = getattr(function, "__doc__", None)
    numpys = isinstance(function, np.ufunc) or str(getattr(function, "__module__", "")).partition(".")[0] == "numpy"
    if not text or not numpys:
        return text
    paragraphs = [part for part in text.strip().split("\n\n") if not part.startswith(f"{function.__name__}(")]
    return " ".join(paragraphs[0].split()) if paragraphs else None


class Docstring:
    """`__doc__` of the class of primitives; of a primitive its `docstring`, unless another was assigned to it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __get__(self, p: Any, owner: Any = None) -> str | None:
        return self.text if p is None else docstring(p)
