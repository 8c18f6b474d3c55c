"""The [source] links of the API pages: for a primitive they lead to its line of the table."""

from __future__ import annotations

import ast
import importlib
from functools import reduce
from pathlib import Path
from typing import Any


def module_of(app: Any, module: str, name: str) -> str | None:
    """The module that defines a name, if it is one of ours: Python's own sources are not shown."""
    try:
        found = getattr(reduce(getattr, name.split("."), importlib.import_module(module)), "__module__", None)
    except AttributeError:
        return None
    ours = found is None or found.split(".")[0] in ("minigrad", "nn")
    return found if ours else "(not ours)"


def lines_of(app: Any, module: str) -> tuple[str, dict[str, tuple[str, int, int]]] | None:
    """The source of a module and, by name, the first and last lines of what it defines: `tanh = primitive(...)` too."""
    if module.split(".")[0] not in ("minigrad", "nn"):
        return None
    source = Path(str(importlib.import_module(module).__file__)).read_text(encoding="utf-8")
    return source, dict(defined(ast.parse(source).body))


def defined(body: list[ast.stmt], owner: str = "") -> Any:
    """Names with their lines, those of methods behind that of their class."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            first = min([node.lineno, *[decorator.lineno for decorator in node.decorator_list]])
            yield owner + node.name, ("class" if isinstance(node, ast.ClassDef) else "def", first, node.end_lineno)
        if isinstance(node, ast.ClassDef):
            yield from defined(node.body, f"{owner}{node.name}.")
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield owner + node.targets[0].id, ("other", node.lineno, node.end_lineno)


def setup(app: Any) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.viewcode")
    app.connect("viewcode-follow-imported", module_of)
    app.connect("viewcode-find-source", lines_of)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
