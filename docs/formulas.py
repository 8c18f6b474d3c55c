"""Formulas as MathML, which browsers draw by themselves: no script, and no network, is needed to read a page."""

from __future__ import annotations

from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert


def inline(visitor: Any, node: Any) -> None:
    """A formula within a line."""
    visitor.body.append(convert(node.astext()))
    raise SkipNode


def block(visitor: Any, node: Any) -> None:
    """A formula by itself."""
    visitor.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
