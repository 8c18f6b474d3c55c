"""The page of options: its examples print what it says, and what it names is there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import minigrad as mg
import nn

PAGE = (Path(__file__).parents[2] / "docs" / "options.md").read_text(encoding="utf-8")
EXAMPLES = "\n".join(re.findall(r"^```pycon\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def test_its_examples_print_what_it_says() -> None:
    printed: list[str] = []
    result = doctest.DocTestRunner().run(
        doctest.DocTestParser().get_doctest(EXAMPLES, {}, "options.md", None, None), out=printed.append
    )
    assert result.attempted
    assert not result.failed, "".join(printed)


def test_the_names_in_its_tables_are_there() -> None:
    places = {"nn": nn, "mg": mg}
    rows = [line.split(" | ")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    names = re.findall(r"\b(nn|mg)\.([\w.]+)", " ".join(rows))
    assert len(names) >= 10
    for room, path in names:
        found: Any = places[room]
        for name in path.split("."):
            found = getattr(found, name)
