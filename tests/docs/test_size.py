"""The size of what has to be read: lines of the core, lines and branches of functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import minigrad

ROOT = Path(minigrad.__file__).parent
ENGINE, COMPILER = sorted(ROOT.glob("*.py")), sorted((ROOT / "compiler").glob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """All functions in some code, nested ones and methods as well, by their qualified names."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        name = f"{prefix}{node.name}" if named else prefix  # type: ignore[attr-defined]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield name, node
        yield from functions(node, f"{name}." if named else prefix)


def own(function: Function) -> Iterator[ast.AST]:
    """What a function consists of, but for the functions in it, which count for themselves; lambdas are part of it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)


def length(function: Function) -> int:
    """Lines of a function, without its decorators and its docstring."""
    first = function.body[0]
    text = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) is not None else 0  # type: ignore[operator]
    return function.end_lineno - function.lineno + 1 - text  # type: ignore[operator]


def complexity(function: Function) -> int:
    """McCabe's cyclomatic complexity: one, and one for each branch, loop, condition, handler and further operand."""
    one = ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert, ast.match_case
    found = 1
    for node in own(function):
        if isinstance(node, one):
            found += 1
        elif isinstance(node, ast.comprehension):
            found += 1 + len(node.ifs)
        elif isinstance(node, ast.BoolOp):
            found += len(node.values) - 1
    return found


def of(paths: list[Path]) -> Iterator[tuple[str, Function]]:
    for path in paths:
        for name, function in functions(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.stem}.{name}", function


def parsed(text: str) -> Function:
    ((_, function),) = functions(ast.parse(text))
    return function


@pytest.mark.parametrize(
    ("body", "branches"),
    [
        ("pass", 1),
        ("if a: pass\n elif b: pass\n else: pass", 3),
        ("for x in y:\n  while a or b or c: pass", 5),
        ("return [x for x in y if x if y]", 4),
        ("try: pass\n except A: pass\n except B: pass\n finally: pass", 3),
        ("return (a if b else c) and (lambda: d if e else f)", 4),
        ("match a:\n  case 1: pass\n  case _: pass", 3),
        ("def g(): pass", 1),
    ],
)
def test_complexity_counts_branches_loops_handlers_and_operands(body: str, branches: int) -> None:
    tree = ast.parse(f"def f():\n {body}\n")
    assert complexity(next(function for name, function in functions(tree) if name == "f")) == branches


def test_length_counts_the_lines_of_a_function_without_its_docstring() -> None:
    assert length(parsed('@a\ndef f(\n    x,\n):\n    """One.\n\n    Two.\n    """\n    return x\n')) == 4


def test_functions_within_functions_and_classes_are_found_by_name() -> None:
    text = "class A:\n    def f(self):\n        def g(): pass\nif a:\n    async def h(): pass\n"
    assert [name for name, _ in functions(ast.parse(text))] == ["A.f", "A.f.g", "h"]


def test_the_core_has_at_most_700_lines() -> None:
    lines = {
        name: len((ROOT / f"{name}.py").read_text(encoding="utf-8").splitlines())
        for name in ("record", "primitive", "backward", "accumulate")
    }
    assert sum(lines.values()) <= 700, lines


def test_no_function_of_the_engine_has_more_than_45_lines() -> None:
    long = {name: length(function) for name, function in of(ENGINE) if length(function) > 45}
    assert not long


def test_no_function_of_the_engine_has_more_than_18_branches() -> None:
    branchy = {name: complexity(function) for name, function in of(ENGINE) if complexity(function) > 18}
    assert not branchy


def test_no_function_of_the_compiler_has_more_than_20_branches() -> None:
    branchy = {name: complexity(function) for name, function in of(COMPILER) if complexity(function) > 20}
    assert not branchy


def test_no_file_of_the_compiler_has_more_than_350_lines() -> None:
    lines = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in COMPILER}
    assert max(lines.values()) <= 350, lines
