"""The project's pages as programs: their blocks of code, what these print, and the links between them."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
#: The pages whose Python is run; those of the course are executed when the site is built.
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


class Block(NamedTuple):
    """A block between ``` lines: what follows the first ```, the text, and the number of its first line."""

    page: str
    words: tuple[str, ...]
    body: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r"^```([^\n`]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    page = str(path.relative_to(ROOT))
    return [Block(page, tuple(m[1].split()), m[2], text.count("\n", 0, m.start()) + 2) for m in found]


def programs(path: Path) -> Iterator[tuple[Block, str | None]]:
    """The blocks of Python, each with the block `text` that follows at once: what it prints, or how it is refused."""
    found = blocks(path)
    for block, following in zip(found, [*found[1:], None]):
        if block.words[:1] == ("python",):
            between = block.line + block.body.count("\n") + 3  # ```, an empty line, ```text
            told = following is not None and following.words == ("text",) and following.line == between
            yield block, following.body if told and following is not None else None


def run(block: Block, scope: dict[str, Any]) -> str:
    """What a block prints; of one that raises, the kind of the error and its message come last, as Python has them."""
    printed = io.StringIO()
    source = "\n" * (block.line - 1) + block.body  # so that messages name the line of the page
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(source, str(ROOT / block.page), "exec"), scope)
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    return printed.getvalue()


def agree(found: str, told: str) -> bool:
    """Whether a page tells what was found, but for line breaks; `...` stands for anything, as a place in a file."""
    pattern = ".*".join(re.escape(part) for part in " ".join(told.split()).split("..."))
    return re.fullmatch(pattern, " ".join(found.split())) is not None


def links(path: Path) -> list[str]:
    """The files that a page links to."""
    return re.findall(r"\]\((?!\w+:|#)([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
