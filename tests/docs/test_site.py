"""The documentation: all pages are on the site, all names on an API page, and docstrings come out as they stand."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg
import nn
from docs import extension, source_links
from minigrad import testing

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


def in_toctrees() -> set[Path]:
    found = {DOCS / "index.md"}
    for page in PAGES:
        for body in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            names = [line for line in body.split() if not line.startswith(":")]
            found |= {(page.parent / f"{name}.md").resolve() for name in names}
    return found


def test_every_page_is_in_a_table_of_contents() -> None:
    missing = [str(page.relative_to(DOCS)) for page in PAGES if page not in in_toctrees()]
    assert missing == [], "add it to the toctree of docs/guides.md or docs/facts.md"


@pytest.mark.parametrize("module", [mg, nn, testing])
def test_every_public_name_is_on_an_api_page(module: Any) -> None:
    lines = [line for _, *page in extension.PAGES for line in extension.api_page(*page)]
    on_pages = {line.partition(":: ")[2] for line in lines if line.startswith(".. auto")}
    names = [name for members in extension.parts(module).values() for name, _ in members]
    assert {f"{module.__name__}.{name}" for name in names} <= on_pages
    assert set(module.__all__) <= {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("x ** 2 + |x|, h_ of `x * y`", r"x \*\* 2 + \|x\|, h\_ of ``x * y``"),
        ("as `mg.grad` and `tanh` do", "as `mg.grad <minigrad.grad>` and `tanh` do"),
        ("Do so:\n    mg.grad(f) * 2", "Do so:\n\n::\n\n    mg.grad(f) * 2"),
        ("Twice.\n\n    a * b\n\n    c * d", "Twice.\n\n::\n\n    a * b\n\n    c * d"),
        ("h = a * b\nC = c * d", "| h = a \\* b\n| C = c \\* d"),
        ("Ends.\nSource: Elman 1990.", "Ends.\n\nSource: Elman 1990."),
        ("Args:\n    x: a * b\n        and more.", "Args:\n    x: a \\* b\n        and more."),
        (">>> 2 * 3\n6", ">>> 2 * 3\n6"),
        ("| a | b |\n|---|---|\n| x * y | z |", ".. list-table::\n   :header-rows: 1\n\n   * - a\n     - b\n"
                                                "   * - x \\* y\n     - z"),
    ],
)  # fmt: skip
def test_a_docstring_says_the_same_as_rest(docstring: str, expected: str) -> None:
    assert "\n".join(extension.escaped(docstring.split("\n"))).strip() == expected


def test_a_colon_in_the_docstring_of_a_property_makes_no_type() -> None:
    lines = ["What it is: a name."]
    extension.rest_of(None, "property", "minigrad.Tensor.role", mg.Tensor.role, None, lines)
    read = next(line for line in lines if line)  # by napoleon, which leaves out empty lines and splits this one
    assert ":" not in read
    assert "What it is: a name." in lines


def test_numpys_own_docstring_becomes_a_link_to_it() -> None:
    lines = (mg.equal.__doc__ or "").split("\n")
    extension.rest_of(None, "function", "minigrad.equal", mg.equal, None, lines)
    text = "\n".join(lines)
    assert ":py:obj:`numpy.equal` of a Tensor is this function." in text
    assert "casting" not in text


def test_the_inventory_has_numpys_address_of_each_function(tmp_path: Path) -> None:
    head, _, body = extension.make_inventory(tmp_path / "numpy.inv").read_bytes().partition(b"zlib.\n")
    assert head.startswith(b"# Sphinx inventory version 2\n")
    lines = zlib.decompress(body).decode().splitlines()
    assert "numpy.linalg.norm py:function 1 reference/generated/numpy.linalg.norm.html#$ -" in lines


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[peers](../findings/README.md)", "[peers](findings.md)"),
        ("[the engine](one_page.py)", "[the engine](one_page.md)"),
        ("[how](../CONTRIBUTING.md)", "{download}`how <../CONTRIBUTING.md>`"),
        ("[examples](../examples)", "examples"),
        ("[a cell](../examples/custom_cell.py)", "[a cell](../examples/custom_cell.py)"),
        ("[JAX](https://docs.jax.dev)", "[JAX](https://docs.jax.dev)"),
        ("![a picture](../examples/tape.png)", "![a picture](../examples/tape.png)"),
    ],
)
def test_a_link_that_leaves_the_docs_leads_to_what_is_on_the_site(link: str, expected: str) -> None:
    assert extension.LINK.sub(lambda match: extension.on_site(DOCS / "peers.md", *match.groups()), link) == expected


def test_a_call_in_code_is_no_link_where_a_page_is_included() -> None:
    text = extension.moved("../minigrad/testing/README.md")
    assert "autograd.make_vjp(f, k)(*xs)[0](g)" in text
    changed = extension.relinked("[a](b.md)\n```python\nf[0](x)\n```\n[c](d.md#e)", lambda *link: str(link))
    assert changed == "('a', 'b.md', None)\n```python\nf[0](x)\n```\n('c', 'd.md', '#e')"


def test_no_network_is_asked_for_when_the_docs_are_built() -> None:
    text = (DOCS / "conf.py").read_text(encoding="utf-8")
    assert re.findall(r'intersphinx_mapping = \{"numpy": \("https://numpy.org/doc/stable/", str\(make_inventory', text)


def test_the_source_link_of_a_primitive_leads_to_its_line_of_the_table() -> None:
    assert source_links.module_of(None, "minigrad", "tanh") == "minigrad.ops"
    assert source_links.module_of(None, "functools", "partial") == "(not ours)"
    source, lines = source_links.lines_of(None, "minigrad.ops") or ("", {})
    kind, first, last = lines["tanh"]
    assert kind == "other"
    assert "tanh = primitive(" in source.splitlines()[first - 1]
    assert "g * (1 - y * y)" in "\n".join(source.splitlines()[first - 1 : last])
    assert "Tensor.backward" in (source_links.lines_of(None, "minigrad.tensor") or ("", {}))[1]


def test_a_tensors_methods_are_listed_once() -> None:
    (listed,) = [line for line in extension.tensor_methods() if line]
    assert ":py:obj:`sum <minigrad.sum>`" in listed
    assert extension.skipped(None, "class", "sum", mg.Tensor.sum, False, None)
    assert not extension.skipped(None, "class", "backward", mg.Tensor.backward, False, None)


def test_the_documentation_is_built_by_one_command_in_which_a_warning_is_an_error() -> None:
    root = DOCS.parent
    for file in ("README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/docs.yml"):
        text = re.sub(r"sphinx-build -q ", "sphinx-build ", (root / file).read_text(encoding="utf-8"))
        assert "sphinx-build -W --keep-going docs docs/_build/html" in text, file
