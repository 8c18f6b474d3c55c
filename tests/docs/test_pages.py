"""The pages in docs/ are programs: each block of Python runs, and prints, or is refused with, what stands below it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pages import PAGES, README, ROOT, Block, agree, blocks, links, programs, run

from minigrad.served import by_function, by_ufunc

WITH_CODE = [page for page in PAGES if page != README and list(programs(page))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def missing(block: Block) -> list[str]:
    """The packages that a block says it needs, as in `python torch`, and that are not installed."""
    return [package for package in block.words[1:] if find_spec(package) is None]


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_the_python_of_a_page_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)  # where files go that a page writes
    scope: dict[str, Any] = {"__name__": "page"}  # one for all blocks of a page
    with mock.patch.dict(by_ufunc), mock.patch.dict(by_function):  # which a primitive that is declared here enters
        for block, told in programs(page):
            if missing(block):
                continue
            found = run(block, scope)
            if told is not None:
                assert agree(found, told), f"{block}: {found}"
            else:
                assert "Error: " not in found, f"{block}: {found}"


def test_blocks_that_need_another_package_say_which() -> None:
    needed = {package for page in WITH_CODE for block, _ in programs(page) for package in block.words[1:]}
    assert needed <= {"torch", "jax", "autograd", "keras", "onnx", "onnxruntime"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_linked_file_exists(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert [str(block) for block in blocks(page) if not block.words] == []


@pytest.mark.parametrize("package", ["minigrad", "nn"])
def test_the_map_names_every_file(package: str) -> None:
    named = {(ROOT / "docs" / target).resolve() for target in links(ROOT / "docs" / "where_to_read.md")}
    files = {path for path in (ROOT / package).glob("*.py*") if path.stem not in ("__init__", "py")}
    folders = {path.parent for path in (ROOT / package).glob("*/__init__.py")}
    named |= {path.parent for path in named}  # a folder by a file in it
    assert sorted(str(path.relative_to(ROOT)) for path in (files | folders) - named) == [], "add it to where_to_read.md"
