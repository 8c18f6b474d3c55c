"""Weights of other tools' cells, both ways: `from_tool`, `to_tool`, and files by `python -m nn.convert INPUT OUTPUT`.

    cell = nn.convert.from_tool(params["params"]["cell"], "flax.linen.GRUCell")
    arrays = nn.convert.to_tool(cell, "keras.layers.GRU")

No tool is needed. What each lays out how is data: a module of `Layout`s for each tool (`flax`, `keras`, ...), which
`layout` interprets, `table` collects, and docs/interop.md prints. Everything here is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .keras_model import from_keras
    from .modules import from_tool, to_tool
    from .table import tools

_PLACES = {"from_keras": "keras_model", "from_tool": "modules", "to_tool": "modules", "tools": "table"}

__all__ = ["from_keras", "from_tool", "to_tool", "tools"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
