"""How the documentation is built: `sphinx-build -W --keep-going docs docs/_build/html`; no network is needed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

# Python that runs the cells: its remarks about debuggers and transports are no output, and a user's own startup files
# are not read
profile = HERE / "_build" / "ipython" / "profile_default"
profile.mkdir(parents=True, exist_ok=True)
profile.joinpath("ipython_kernel_config.py").write_text(
    "get_config().IPKernelApp.log_level = 'ERROR'\n", encoding="utf-8"
)
os.environ |= {"IPYTHONDIR": str(profile.parent), "PYDEVD_DISABLE_FILE_VALIDATION": "1", "OPENBLAS_NUM_THREADS": "1"}

import minigrad
from docs.extension import make_api, make_inventory, rest_of, signature_of, skipped, with_links

project = "minigrad"
author = copyright = "minigrad developers"
version = release = minigrad.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "docs.formulas",
    "docs.source_links",
]
exclude_patterns = ["_build", "exercises"]

# pages: each code cell is executed, and one that raises or warns ends the build
nb_execution_mode = "force"
nb_execution_show_tb = True
nb_execution_timeout = 120
nb_output_stderr = "warn"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# API pages: names in backticks are links where there is something of that name
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = False
napoleon_numpy_docstring = False
make_api(HERE / "api")

# links into NumPy's documentation: an inventory of the names that are used here, so that none has to be fetched
intersphinx_mapping = {"numpy": ("https://numpy.org/doc/stable/", str(make_inventory(HERE / "_build" / "numpy.inv")))}

html_math_renderer = "mathml"  # which browsers draw by themselves, also without a network
html_theme = "pydata_sphinx_theme"
html_title = "minigrad"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}


def copy_stepping_pages(app: Any, exception: Exception | None) -> None:
    """The pages that the chapters' cells wrote beside themselves, to where the chapters are."""
    if exception is None and app.builder.format == "html":
        for page in (HERE / "course").glob("*.html"):
            shutil.copy(page, Path(app.outdir) / "course")


def setup(app: Any) -> None:
    app.connect("source-read", with_links)
    app.connect("autodoc-process-docstring", rest_of, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", signature_of)
    app.connect("autodoc-skip-member", skipped)
    app.connect("build-finished", copy_stepping_pages)
