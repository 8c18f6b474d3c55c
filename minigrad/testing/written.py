"""How the user wrote what a checker was given: the expression in the call, or a name that leads to it."""

from __future__ import annotations

import ast
import builtins
import inspect
import keyword
import linecache
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

HERE = __name__.rpartition(".")[0]
LIBRARIES = tuple({sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
IMPURE = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


class Caller:
    """The user's call of a checker, found from the frames that are running, and the names that are visible there.

    `names` stands for the frames where no call can be found, as for a test that hypothesis runs.
    """

    def __init__(self, checker: str, names: dict[str, Any] | None = None) -> None:
        self.call: ast.Call | None = None
        self.scopes: list[Mapping[str, Any]] = [] if names is None else [names]
        if names is not None:
            return
        outside = list(_outside(sys._getframe(1)))
        if outside:
            self.call = _call_at(outside[0], checker)
        for frame in outside:
            if not frame.f_code.co_filename.startswith(LIBRARIES):
                self.scopes += [frame.f_locals, frame.f_globals]

    def sees(self, name: str) -> bool:
        """Whether the nearest frame of the user has this name already."""
        return any(name in scope for scope in self.scopes[:2])

    def module(self, name: str) -> str | None:
        """The module that a name stands for where the user wrote it, if an import finds it."""
        found = next((scope[name] for scope in self.scopes[:2] if name in scope), None)
        return found.__name__ if isinstance(found, ModuleType) and sys.modules.get(found.__name__) is found else None

    def argument(self, k: int, role: str = "") -> ast.expr | None:
        """The expression for the k-th argument, if there is one that can be evaluated again."""
        if self.call is None:
            return None
        named = [part.value for part in self.call.keywords if part.arg == role]
        node = named[0] if named else self.call.args[k] if k < len(self.call.args) else None
        if node is None or any(isinstance(part, ast.Starred) for part in self.call.args[: k + 1] if not named):
            return None
        return None if any(isinstance(part, IMPURE) for part in ast.walk(node)) else node

    def unpacked(self) -> ast.expr | None:
        """What is unpacked into the first arguments: `pair` in `check_vjp(*pair, x)`."""
        first = self.call.args[0] if self.call is not None and self.call.args else None
        return first.value if isinstance(first, ast.Starred) else None

    def name_of(self, x: Any) -> str | None:
        """A name for this very object, or `owner.attribute` with a visible owner."""
        if isinstance(x, (bool, int, float, str, bytes, type(None))):
            return None
        own = str(getattr(x, "__name__", ""))
        for scope in self.scopes:
            names = [own, *scope] if own in scope else list(scope)
            for name in names:
                if scope[name] is x and name.isidentifier() and not keyword.iskeyword(name):
                    return name
        owner = getattr(x, "__self__", None) if inspect.ismethod(x) else sys.modules.get(getattr(x, "__module__", ""))
        holder = self.name_of(owner) if owner is not None else None
        return f"{holder}.{own}" if holder and _is_same(getattr(owner, own, None), x) else None


def is_simple(node: ast.expr) -> bool:
    """Whether evaluating an expression calls nothing: names, attributes, items, lambdas."""
    inner = [] if isinstance(node, ast.Lambda) else ast.iter_child_nodes(node)
    return not isinstance(node, ast.Call) and all(is_simple(part) for part in inner if isinstance(part, ast.expr))


def importable(x: Any) -> tuple[str, str] | None:
    """(module, name) that lead to a function or class, unless it is of the program that runs."""
    module, name = getattr(x, "__module__", None), getattr(x, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__" or not name.isidentifier():
        return None
    return (module, name) if getattr(sys.modules.get(module), name, None) is x else None


def stand_in(x: Any) -> str:
    """An undefined name that says what belongs in its place."""
    code: CodeType | None = getattr(x, "__code__", None) or getattr(getattr(x, "function", None), "__code__", None)
    name = str(getattr(x, "__name__", None) or type(x).__name__)
    kind = "lambda" if "<lambda>" in name else name
    place = "" if code is None else f"_of_line_{code.co_firstlineno}_of_{Path(code.co_filename).stem}"
    return "".join(c if c.isalnum() else "_" for c in f"the_{kind}{place}")


def _is_same(a: Any, b: Any) -> bool:
    return a is b or (inspect.ismethod(b) and a == b)


def _outside(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames around this package's."""
    while frame is not None:
        if not str(frame.f_globals.get("__name__", "")).startswith(HERE):
            yield frame
        frame = frame.f_back


def _call_at(frame: FrameType, checker: str) -> ast.Call | None:
    """The call that a frame is at, from its source, if it is one of the checker by its name or another."""
    positions = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    source = "".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals))
    node = _calls_in(source).get(tuple(positions))
    if node is None:
        return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    bound = getattr({**frame.f_globals, **frame.f_locals}.get(name), "__name__", name)
    return node if checker in (name, bound) and not hasattr(builtins, name) else None


@lru_cache(maxsize=4)  # a file of many tests that fail is read once
def _calls_in(source: str) -> dict[tuple[int | None, ...], ast.Call]:
    """Every call by its place: its first line, its last, and the columns."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    calls: dict[tuple[int | None, ...], ast.Call] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            calls.setdefault((node.lineno, node.end_lineno, node.col_offset, node.end_col_offset), node)
    return calls
