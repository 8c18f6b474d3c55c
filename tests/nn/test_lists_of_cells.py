"""Every public cell is in each list of our cells: those that tests run, and the table of the documentation."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import nn
from nn.convert import onnx_cells
from nn.convert.table import layout_of

ROOT = Path(__file__).parents[2]
CELLS: dict[str, Any] = {
    name: value
    for name, value in ((name, getattr(nn, name)) for name in nn.__all__)
    if isinstance(value, type) and issubclass(value, nn.Cell) and value not in (nn.Cell, nn.FunctionCell)
}
OF_LAYERS = {layers: f"{layers}Cell" for layers in ("RNN", "LSTM", "GRU")}

#: files with the names of their lists
LISTS = {
    "tests/testing/test_testing_cells.py": ["CELLS"],
    "tests/compiler/test_compiled_networks.py": ["CELLS", "kind"],
    "tests/nn/test_recurrent_dropout.py": ["OURS", "NOT_SAID"],
    "tests/nn/test_state_gradients.py": ["CELLS"],
    "tests/nn/test_onnx_export.py": ["CELLS", "KINDS"],
}


def lists_of(path: str, names: list[str]) -> list[ast.expr]:
    """What is assigned to these names in a file, or is a test's parameter of that name."""
    found = []
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [node.value for target in targets if getattr(target, "id", None) in names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "parametrize":
            first, values, *_ = node.args
            found += [values] if isinstance(first, ast.Constant) and first.value in names else []
    return found


@pytest.mark.parametrize("path", LISTS)
def test_every_cell_is_in_the_list_of(path: str) -> None:
    words = [n.attr for tree in lists_of(path, LISTS[path]) for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
    assert CELLS.keys() - {OF_LAYERS.get(word, word) for word in words} == set(), f"add it to {LISTS[path][0]}"


def test_the_table_of_cells_tells_of_all_what_is_there() -> None:
    text = (ROOT / "docs/your_own_cell.md").read_text(encoding="utf-8").split("## Ready-made")[1]
    rows = [[part.strip(" `") for part in line.split("|")[1:-1]] for line in text.splitlines() if "Cell` |" in line]
    assert {name: (weights, operator) for name, _, weights, operator in rows} == {name: kept(name) for name in CELLS}


def kept(name: str) -> tuple[str, str]:
    """Whether other tools have a cell's weights, and what it is in ONNX."""
    cell = CELLS[name](3, 4, 2) if name in ("ElmanCell", "ProjectedLSTMCell") else CELLS[name](3, 4)
    kind = onnx_cells.kind_of(cell)
    try:
        weights = "yes" if layout_of(cell) else ""
    except TypeError:
        weights = ""
    return weights, "Scan" if kind is None else next(op for op in ("LSTM", "GRU", "RNN") if op in kind.__name__)
