"""What `conf.py` needs: API pages and the inventory of NumPy's names, made from the code; docstrings as reST; links."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import nn
from docs.make_numpy_functions import GROUPS, found
from minigrad import testing
from minigrad.operators import method as table_method

TABLE = ("ops", "shapes", "elementwise", "rearrange", "reductions", "products", "activations", "einsum", "linalg")
ENGINE = ("tensor", "transforms", "primitive", "record", "run", "modes", "tap", "details", "checkpoint", "program")
NETS = ("protocol", "cells", "variants", "recurrent", "sequences", "module", "layers", "losses", "optim")
CHECKS = ("check", "plain", "primitives", "cell", "differences", "problem", "given", "strategies")
#: The pages: file, title, the module whose public names it shows, the order of its parts (further ones follow), and
#: whether a part belongs there.
PAGES: tuple[tuple[str, str, Any, tuple[str, ...], Any], ...] = (
    ("minigrad", "minigrad", mg, ENGINE, lambda part: part not in TABLE),
    ("table", "The table of primitives", mg, TABLE, lambda part: part in TABLE),
    ("nn", "nn", nn, NETS, lambda part: True),
    ("testing", "minigrad.testing", testing, CHECKS, lambda part: True),
    ("inspect", "minigrad.inspect", mg.inspect, ("entries", "explanation"), lambda part: part != "run"),
)


# --- API pages --------------------------------------------------------------------------------------------------------


def parts(module: Any) -> dict[str, list[tuple[str, Any]]]:
    """The public names of a module with what they are, by the file that defines them; public modules by themselves."""
    named: dict[str, list[tuple[str, Any]]] = {}
    for name in module.__all__:
        x = getattr(module, name)
        if isinstance(x, types.ModuleType):
            named[name] = [(f"{name}.{inner}", getattr(x, inner)) for inner in public(x)]
        else:
            named.setdefault(x.__module__.rpartition(".")[2], []).append((name, x))
    return named


def public(module: Any) -> list[str]:
    """`__all__`, or what a module without it defines itself."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [n for n, x in vars(module).items() if n[0] != "_" and getattr(x, "__module__", "") == module.__name__]


def api_page(title: str, module: Any, order: tuple[str, ...], belongs: Any) -> Iterator[str]:
    """The lines of one page: of each part its summary and a list of names, then each name by itself."""
    yield from (title, "=" * len(title), "", f".. currentmodule:: {module.__name__}", "")
    found = parts(module)
    for part in dict.fromkeys([*[part for part in order if part in found], *found]):
        if not belongs(part):
            continue
        names = [name for name, _ in found[part]]
        heading = ", ".join(names) if len(names) <= 3 else part
        source = sys.modules.get(f"{module.__name__}.{part}") or inspect.getmodule(found[part][0][1])
        about = (inspect.getdoc(source) or "").split("\n\n")[0].split("\n")
        yield from (heading, "-" * len(heading), "", *escaped(about))
        if len(names) > 1:
            yield from (".. autosummary::", "   :nosignatures:", "", *[f"   {name}" for name in names], "")
        for name, x in found[part]:
            kind = "class" if isinstance(x, type) else "function" if callable(x) else "data"
            options = {"class": ["   :members:"], "data": ["   :no-value:"]}.get(kind, [])
            options += ["   :inherited-members: Variable"] if x is mg.Tensor else []
            yield from (f".. auto{kind}:: {module.__name__}.{name}", *options, "")
            yield from tensor_methods() if x is mg.Tensor else []


def tensor_methods() -> list[str]:
    """The methods that are functions of the table."""
    methods = [inspect.getattr_static(mg.Tensor, name) for name in dir(mg.Tensor)]
    names = {method.primitive.__name__ for method in methods if isinstance(method, table_method)}
    links = [f":py:obj:`{name} <minigrad.{name}>`" for name in sorted(names)]
    about = "These functions are methods as well, ``t.sum(axis=0)`` is ``mg.sum(t, axis=0)``:"
    return [f"   {about} {', '.join(links)}.", ""]


def make_api(folder: Path) -> None:
    """Write the API pages that differ from what is there."""
    folder.mkdir(exist_ok=True)
    for name, title, module, order, belongs in PAGES:
        path, text = folder / f"{name}.rst", "\n".join(api_page(title, module, order, belongs))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def signature_of(app: Any, what: str, name: str, x: Any, *rest: Any) -> tuple[str, str] | None:
    """A primitive shows the inputs and static arguments that its rules name, a class the arguments of `__init__`."""
    if isinstance(x, mg.Primitive) and what == "function":
        return str(inspect.signature(x)), ""
    if not isinstance(x, type) or x.__init__ is object.__init__ or issubclass(x, (tuple, BaseException)):
        return None
    parameters = list(inspect.signature(x.__init__).parameters.values())[1:]
    text = str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))
    return re.sub(r"<class '([\w.]+)'>", r"\1", text), ""


def skipped(app: Any, what: str, name: str, x: Any, skip: bool, options: Any) -> bool | None:
    """Those methods of a Tensor are listed already."""
    listed = x is getattr(mg.Tensor, name, None) and isinstance(
        inspect.getattr_static(mg.Tensor, name, None), table_method
    )
    return True if listed else None


# --- docstrings -------------------------------------------------------------------------------------------------------

#: A heading of Google's form, whose body napoleon reads.
SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes):$")
ITEM = re.compile(r"[-*] |\d+\. |>>> |\.\. ")
NAME = re.compile(r"[A-Za-z_][\w.]*$")


def rest_of(app: Any, what: str, name: str, x: Any, options: Any, lines: list[str]) -> None:
    """Our docstrings are plain text, in which reST would read formulas, x ** 2 or |x|, as markup."""
    short = name.removeprefix("minigrad.")
    numpys = short in NUMPY and x is found(mg, short)
    numpys_text = isinstance(x, mg.Primitive) and x.__doc__ == x.function.__doc__ and found(np, x.name) is x.function
    if numpys_text or (not callable(x) and getattr(x, "__doc__", None) == type(x).__doc__ and what == "data"):
        lines.clear()  # not ours: NumPy's own text, in NumPy's form, or that of dict
    lines[:] = escaped(lines)
    if what in ("property", "attribute"):
        lines.insert(0, "\\ ")  # nothing in reST; or napoleon takes what stands before a colon for a type
    if numpys:
        lines += ["", f":py:obj:`numpy.{short}` of a Tensor is this function.", ""]


def escaped(lines: list[str]) -> list[str]:
    """The lines as reST that says the same: indented blocks as they stand, tables as tables, no other markup."""
    done: list[str] = []
    section = False
    for block in re.split(r"\n(?:[ \t]*\n)+", "\n".join(lines).strip("\n")):
        rows = block.split("\n")
        section = (section and rows[0][:1] == " ") or bool(SECTION.match(rows[0]))
        if not section and len(rows) > 1 and all([row.lstrip()[:1] == "|" for row in rows]):
            done += table_of(rows)
        elif not section and rows[0][:1] == " ":
            done += [*([] if done[-2:-1] and done[-2][:1] == " " else ["::", ""]), *rows]
        elif len(rows) > 1 and all([" = " in row for row in rows]):  # equations
            done += [f"| {plain(row)}" for row in rows]
        elif section or ITEM.match(rows[0]):
            done += rows if rows[0].startswith(">>>") else plain(block).split("\n")
        else:
            k = next((k for k, row in enumerate(rows) if row[:1] == " "), len(rows))
            text = re.sub(r"\n(?=(?:Source|State|Parameters)\b.*?[:(])", "\n\n", "\n".join(rows[:k]))
            done += plain(text).split("\n")
            done += ["", "::", "", *rows[k:]] if rows[k:] else []
        done.append("")
    return done


def plain(text: str) -> str:
    """Text without markup but for what stands in backticks: a name, which becomes a link if it is one, or code."""
    pieces = re.split(r"(`+)(.+?)\1", text, flags=re.DOTALL)
    for k in range(0, len(pieces), 3):
        pieces[k] = re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", pieces[k])
    for k in range(1, len(pieces), 3):
        code = pieces[k + 1]
        shown = f"`{code}`" if NAME.match(code) else f"``{code}``"
        if code.startswith("mg.") and NAME.match(code):
            shown = f"`{code} <minigrad{code[2:]}>`"
        pieces[k : k + 2] = [shown, ""]
    return "".join(pieces)


def table_of(rows: list[str]) -> Iterator[str]:
    """A table of Markdown as one of reST."""
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in rows:
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        if not all([set(cell) <= set("-: ") for cell in cells]):
            yield from [f"   {'  ' if k else '* '}- {plain(cell)}" for k, cell in enumerate(cells)]


# --- links between the pages and the rest of the project --------------------------------------------------------------

DOCS = Path(__file__).parent
INCLUDED = re.compile(r"^```\{include\} (\.\./\S+\.md)\n```$", re.MULTILINE)
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[((?:`[^`]*`|[^\]`])*)\]\((?!\w+:|#)([^)\s#]+)(#[^)]*)?\)")


def with_links(app: Any, page: str, source: list[str]) -> None:
    """Include what stands elsewhere in the project, and let links that leave the folder lead to what is on the site."""
    path = Path(app.srcdir) / f"{page}.md"
    if page == "numpy_functions":
        source[0] = re.sub(r"^\| `np\.([\w.]+)`", r"| {py:obj}`np.\1 <numpy.\1>`", source[0], flags=re.MULTILINE)
    if path.exists():
        text = INCLUDED.sub(lambda match: moved(match[1]), source[0])
        source[0] = relinked(text, lambda *link: on_site(path, *link))


def relinked(text: str, change: Callable[[str, str, str | None], str]) -> str:
    """Markdown with its links changed, and code, where f[0](x) is a call, as it is."""
    pieces = FENCED.split(text)
    pieces[::2] = [LINK.sub(lambda match: change(*match.groups()), piece) for piece in pieces[::2]]
    return "".join(pieces)


def moved(file: str) -> str:
    """The text of a file of the project, its links seen from here."""
    folder = Path(file).parent
    text = (DOCS / file).read_text(encoding="utf-8")
    return relinked(text, lambda name, target, anchor: f"[{name}]({os.path.normpath(folder / target)}{anchor or ''})")


def on_site(page: Path, text: str, target: str, anchor: str | None) -> str:
    """A link from a page: to another page, to a file that is offered as it is, or, for what is neither, its text."""
    path = (page.parent / target).resolve()
    if path in shown():
        target, anchor = os.path.relpath(shown()[path], page.parent), None
    elif not path.is_relative_to(DOCS):
        if path.is_dir():
            return text
        if path.suffix == ".md":
            return f"{{download}}`{text.replace('`', '')} <{target}>`"
    return f"[{text}]({target}{anchor or ''})"


@functools.cache
def shown() -> dict[Path, Path]:
    """The files that are shown by a page, with the page."""
    shows = re.compile(r"^```\{(?:include|literalinclude)\} (\S+)\n", re.MULTILINE)
    pages = [(page, shows.search(page.read_text(encoding="utf-8"))) for page in DOCS.glob("*.md")]
    return {(page.parent / match[1]).resolve(): page for page, match in pages if match}


# --- NumPy's names ----------------------------------------------------------------------------------------------------

NUMPY = [name for names in GROUPS.values() for name in names.split()]


def make_inventory(path: Path) -> Path:
    """Write an inventory, in Sphinx' format, of the pages in NumPy's documentation about the functions named here."""
    entries = [f"numpy.{name} py:function 1 reference/generated/numpy.{name}.html#$ -\n" for name in NUMPY]
    entries.append("numpy.ndarray py:class 1 reference/generated/numpy.ndarray.html#$ -\n")
    entries.append("numpy.random.Generator py:class 1 reference/random/generator.html#$ -\n")
    head = (
        "Sphinx inventory version 2",
        "Project: NumPy",
        "Version:",
        "The remainder of this file is compressed using zlib.",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join([f"# {line}\n" for line in head]).encode() + zlib.compress("".join(entries).encode()))
    return path
