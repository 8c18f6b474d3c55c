"""The text of a derivative rule, as it stands in its source."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """A rule as text: the names of its arguments, what it returns, and the functions that it leaves that to.

    `text` is one expression for a lambda, the whole of a function otherwise, and `call` that function's first line in
    short, `defaults` those of its arguments; where there is no source, the text says so.
    `symbols` are the pieces of the text, each with the number of the argument that it names (0 for g, 1 for the
    output, 2 for the first input), or None.
    """

    text: str
    names: tuple[str, ...] = ()
    symbols: tuple[tuple[str, int | None], ...] = ()
    helpers: tuple[str, ...] = ()
    function: str = ""
    defaults: tuple[str | None, ...] = ()

    @property
    def call(self) -> str:
        """The rule in one line."""
        if self.function:
            return f"{self.function}({', '.join(self.names)})"
        return " ".join([line.strip() for line in self.text.split("\n")])


@functools.lru_cache(maxsize=1024)
def rule_of(function: Callable[..., Any] | None) -> Rule:
    """The text of a rule."""
    if function is None:
        return Rule("no rule")
    function = inspect.unwrap(function)
    inner: Any = function
    while isinstance(inner, (functools.partial, MethodType)):
        inner = inner.func if isinstance(inner, functools.partial) else inner.__func__
    if inner is not function or not isinstance(inner, FunctionType):
        return _whole(function, inner)
    lines = linecache.getlines(inner.__code__.co_filename, inner.__globals__)
    found = _lambda_of(inner.__code__, "".join(lines)) if inner.__name__ == "<lambda>" else None
    if found is None:
        return _whole(function, inner)
    body = found.body
    text = _segment(lines, body)
    names = tuple([a.arg for a in (*found.args.posonlyargs, *found.args.args)])
    if found.args.vararg is not None:
        names += (found.args.vararg.arg,)
    helpers = tuple(_helpers(body, inner.__globals__))
    return Rule(text, names, tuple(_symbols(text, names)), helpers, "", _defaults(inner, names))


def _whole(function: Any, inner: Any) -> Rule:
    """The source of a function that is no lambda, or what there is to say instead."""
    name = getattr(inner, "__qualname__", getattr(inner, "__name__", type(inner).__name__))
    if not isinstance(inner, FunctionType):  # an object that can be called
        inner = vars(type(inner)).get("__call__")
    if not isinstance(inner, FunctionType):
        return Rule(f"{name}: no source, it is not written in Python")
    try:
        text = textwrap.dedent(inspect.getsource(inner)).strip()
    except (OSError, TypeError):
        return Rule(f"{name}: no source text, it was not read from a file")
    if isinstance(function, functools.partial):
        text = f"# {function.func.__qualname__} with {len(function.args)} arguments given before\n{text}"
    names = inner.__code__.co_varnames[: inner.__code__.co_argcount]
    return Rule(text, names, tuple(_symbols(text, names)), (), inner.__name__, _defaults(inner, names))


def _defaults(function: FunctionType, names: tuple[str, ...]) -> tuple[str | None, ...]:
    """The default of each argument, as text."""
    parameters = inspect.signature(function).parameters
    found = [parameters[name].default for name in names]
    return tuple([None if x is inspect.Parameter.empty else repr(x) for x in found])


@functools.lru_cache(maxsize=64)
def _lambdas(source: str) -> list[ast.Lambda]:
    try:
        return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Lambda)]
    except (SyntaxError, ValueError):
        return []


def _lambda_of(code: CodeType, source: str) -> ast.Lambda | None:
    """The lambda in a file that was compiled to this code: the innermost that holds all that the code was made from."""
    # what only opens or closes the function has no width
    spans = [p for p in code.co_positions() if None not in p and (p[0], p[2]) != (p[1], p[3])]
    if not spans:
        return None
    low = min([(line, column) for line, _, column, _ in spans if column is not None])
    high = max([(line, column) for _, line, _, column in spans if column is not None])
    fits = [
        node
        for node in _lambdas(source)
        if node.lineno == code.co_firstlineno
        and _start(node.body) <= low
        and high <= _stop(node.body)
        and [a.arg for a in node.args.args] == [*code.co_varnames[len(node.args.posonlyargs) : code.co_argcount]]
    ]
    return max(fits, key=lambda node: _start(node.body), default=None)


def _start(node: Any) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _stop(node: Any) -> tuple[int, int]:
    return node.end_lineno, node.end_col_offset


def _segment(lines: list[str], node: Any) -> str:
    """The text of a node; on several lines, what indents all but the first goes."""
    (first, left), (last, right) = _start(node), _stop(node)
    raw = [line.encode() for line in lines[first - 1 : last]]  # offsets count bytes
    raw[-1] = raw[-1][:right]
    raw[0] = raw[0][left:]
    text = [line.decode() for line in raw]
    return text[0].strip() + "".join(["\n" + line for line in textwrap.dedent("".join(text[1:])).splitlines()])


def _symbols(text: str, names: tuple[str, ...]) -> Iterator[tuple[str, int | None]]:
    """The text in pieces, names of arguments apart."""
    try:
        tree = ast.parse(f"({text})" if "\n" in text and not text.startswith(("def", "#", "@")) else text)
    except SyntaxError:
        yield text, None
        return
    shift = 1 if "\n" in text and not text.startswith(("def", "#", "@")) else 0
    lines = [line.encode() for line in text.split("\n")]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    raw, at = text.encode(), 0
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in names]
    for node in sorted(found, key=_start):
        begin = starts[node.lineno - 1] + node.col_offset - (shift if node.lineno == 1 else 0)
        if begin > at:
            yield raw[at:begin].decode(), None
        yield node.id, names.index(node.id)
        at = begin + len(node.id.encode())
    if at < len(raw):
        yield raw[at:].decode(), None


def _helpers(body: ast.expr, scope: dict[str, Any]) -> Iterator[str]:
    """The source of the private functions that an expression calls."""
    for node in ast.walk(body):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("_"):
            helper = scope.get(node.func.id)
            if isinstance(helper, FunctionType):
                try:
                    yield textwrap.dedent(inspect.getsource(helper)).strip()
                except (OSError, TypeError):
                    continue
