"""Lines to paste that fail as the check did, where the names are known that the user's own call can see."""

from __future__ import annotations

import ast
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..record import Variable
from .written import Caller, importable, is_simple, stand_in

LITERAL = 64  # entries up to which an array is written out


class Written(str):
    """An expression that stands in the lines as it is."""


def reproduction(
    checker: str,
    functions: dict[str, Callable[..., Any]],
    inputs: Sequence[Any],
    options: dict[str, Any],
    names: dict[str, Any] | None = None,
) -> str:
    """Imports, the inputs, and the call `checker(*functions, *inputs, **options)`.

    Functions are written as in the user's call, or by a name that the user can see (or that `names` holds); one that
    has no such name is stood in for by an undefined name that says where it is. Arrays are exact: large ones are
    written by name or kept in a file.
    """
    return _Lines(Caller(checker, names)).text(checker, functions, inputs, options)


class _Lines:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.np = "np" if not caller.sees("np") or caller.module("np") == "numpy" else "numpy"
        self.imports: list[str] = []
        self.lines: list[str] = []

    def text(
        self, checker: str, functions: dict[str, Callable[..., Any]], inputs: Sequence[Any], options: dict[str, Any]
    ) -> str:
        arguments = self._functions(functions)
        for k, x in enumerate(inputs):
            name = self._free(f"x{k}")
            self.lines.append(f"{name} = {self.value(x, self.caller.argument(len(functions) + k))}")
            arguments.append(name)
        arguments += [f"{name}={self.value(value)}" for name, value in options.items()]
        numpy = "import numpy as np" if self.np == "np" else "import numpy"
        head = [numpy, f"from minigrad.testing import {checker}", *self.imports, ""]
        lines = [*head, *self.lines, f"{checker}({', '.join(arguments)})"]
        return "to reproduce:\n" + "\n".join(f"    {line}".rstrip() for line in lines)

    def _free(self, name: str) -> str:
        """The name, or a like one if the user has it for something else."""
        while self.caller.sees(name):
            name += "_"
        return name

    def _import(self, line: str) -> None:
        if line not in self.imports:
            self.imports.append(line)

    # --- functions ---------------------------------------------------------------------------------------------------

    def _functions(self, functions: dict[str, Callable[..., Any]]) -> list[str]:
        unpacked = self.caller.unpacked()
        found = [self.function(role, f, k) for k, (role, f) in enumerate(functions.items())]
        if unpacked is None or None not in found:
            return [name or stand_in(f) for name, f in zip(found, functions.values())]
        names = [self._free(role) for role in functions]
        self.lines.append(f"{', '.join(names)}, *_ = {self._source(unpacked)}")
        return names

    def function(self, role: str, f: Any, k: int | None = None) -> str | None:
        """An expression for a function or class, if there is one."""
        if isinstance(f, Written):
            return f
        node = None if k is None else self.caller.argument(k, role)
        if node is not None and is_simple(node):
            return self._source(node)
        name = self.caller.name_of(f)
        if name is not None:
            return name
        if node is not None:
            return self._source(node)
        own = str(getattr(f, "__name__", ""))
        if getattr(np, own, None) is f:
            return f"{self.np}.{own}"
        place = importable(f)
        if place is not None:
            self._import("from {} import {}".format(*place))
            return place[1]
        return None

    def _source(self, node: ast.expr) -> str:
        """An expression of the user's, with imports of the modules that it names."""
        for part in ast.walk(node):
            module = self.caller.module(part.id) if isinstance(part, ast.Name) else None
            if module not in (None, "numpy"):
                self._import(f"import {module}" if module == part.id else f"import {module} as {part.id}")  # type: ignore[attr-defined]
            elif module == "numpy" and part.id != self.np:  # type: ignore[attr-defined]
                self._import(f"import numpy as {part.id}")  # type: ignore[attr-defined]
        return ast.unparse(node)

    # --- values ------------------------------------------------------------------------------------------------------

    def value(self, x: Any, node: ast.expr | None = None) -> str:
        """An expression for an argument; `node` is how the user wrote it. Tensors are written as arrays."""
        if _entries(x) > LITERAL:
            written = self._source(node) if node is not None and is_simple(node) else self.caller.name_of(x)
            if written is not None:
                return written
        if isinstance(x, Variable):
            x = x._array
        if isinstance(x, Written):
            return x
        if isinstance(x, dict):
            return "{" + ", ".join(f"{self.value(key)}: {self.value(part)}" for key, part in x.items()) + "}"
        if isinstance(x, (list, tuple)):
            parts = ", ".join(self.value(part) for part in x)
            if hasattr(x, "_fields"):
                return f"{self.function('', type(x)) or stand_in(type(x))}({parts})"
            return f"[{parts}]" if isinstance(x, list) else f"({parts}{',' if len(x) == 1 else ''})"
        if isinstance(x, slice):
            return f"slice({self.value(x.start)}, {self.value(x.stop)}, {self.value(x.step)})"
        if isinstance(x, np.ndarray):
            return self._array(x)
        if isinstance(x, np.generic) and x.dtype.kind in "biuf" and x.dtype.itemsize <= 8:
            return f"{self.np}.{x.dtype.name}({self._number(x.item())})"
        if isinstance(x, np.dtype):
            return f"{self.np}.dtype({x.str!r})"
        if type(x) in (float, bool, int, str, bytes, complex, type(None), type(...), range):
            return self._number(x)
        if callable(x):
            return self.function("", x) or stand_in(x)
        written = self.caller.name_of(x)
        return written or (self._source(node) if node is not None else stand_in(x))

    def _number(self, x: Any) -> str:
        if isinstance(x, float) and not np.isfinite(x):
            return f"{'-' if x < 0 else ''}{self.np}.{'nan' if x != x else 'inf'}"
        return repr(x)

    def _array(self, x: np.ndarray) -> str:
        x = np.asarray(x)
        dtype = "" if x.dtype in (np.float64, np.int64) and x.dtype.isnative else f", {self.np}.{x.dtype.name}"
        plain = x.dtype.kind in "biuf" and x.dtype.itemsize <= 8 and x.dtype.isnative
        if x.dtype.hasobject:
            return self.caller.name_of(x) or "an_array_of_objects"
        if not plain:
            text = f"{self.np}.frombuffer({x.tobytes()!r}, {x.dtype.str!r}).reshape({x.shape})"
            return text if x.size <= LITERAL else self._kept(x)
        if not x.size:
            return f"{self.np}.zeros({x.shape}, {self.np}.{x.dtype.name})"
        if x.size <= LITERAL:
            return f"{self.np}.array({self._nested(x.tolist())}{dtype})"
        first = x.ravel()[0]
        if x.tobytes() == np.full(x.shape, first).tobytes():
            return f"{self.np}.full({x.shape}, {self._number(first.item())}, {self.np}.{x.dtype.name})"
        return self._kept(x)

    def _nested(self, x: Any) -> str:
        return f"[{', '.join(map(self._nested, x))}]" if isinstance(x, list) else self._number(x)

    def _kept(self, x: np.ndarray) -> str:
        """A file that holds the array, which no page would."""
        content = hashlib.sha1(x.tobytes(), usedforsecurity=False).hexdigest()[:12]
        path = os.path.join(_folder(), f"{content}.npy")
        np.save(path, x)
        return f"{self.np}.load({path!r})"


@cache
def _folder() -> str:
    return tempfile.mkdtemp(prefix="minigrad-check-")


def _entries(tree: Any) -> int:
    if isinstance(tree, dict):
        return sum(map(_entries, tree.values()))
    if isinstance(tree, (list, tuple)):
        return sum(map(_entries, tree))
    return int(getattr(tree, "size", 1)) if isinstance(tree, (np.ndarray, Variable)) else 1
