"""Sphinx configuration. The build needs no network."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sphinx.ext.napoleon import NumpyDocstring

from genebert import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import _contract  # noqa: E402
import _presets  # noqa: E402

project = "genebert"
author = "genebert developers"
copyright = "2026, genebert developers"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "Thumbs.db", ".DS_Store", "**.ipynb_checkpoints"]
templates_path = ["_templates"]

# Notebooks are executed by `make tutorials`, which asserts their results; the pages show their stored output.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # left to sphinx_autodoc_typehints
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
napoleon_use_param = True
typehints_defaults = "braces"
always_use_bars_union = True
default_role = "literal"
nitpicky = False

html_theme = "sphinx_book_theme"
html_title = "genebert"
html_static_path = ["_static"]
html_theme_options = {"show_navbar_depth": 1, "show_toc_level": 2}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def returns_as_prose(docstring: NumpyDocstring, section: str) -> list[str]:
    """Take a section "Returns" as it is written; napoleon would read each of its lines as ``name : type``."""
    lines = docstring._strip_empty(docstring._consume_to_next_section())
    lines = lines[1:] if lines[0].strip() == ":" else lines  # put there by sphinx_autodoc_typehints
    return [*docstring._format_block(":returns: ", docstring._dedent(lines)), ""]


NumpyDocstring._parse_returns_section = returns_as_prose


def copy_notebooks() -> None:
    """Bring the notebooks of the repository into the source tree, where Sphinx finds them."""
    target = HERE / "tutorials"
    for stale in target.glob("*.ipynb"):
        stale.unlink()
    for notebook in sorted((HERE.parent / "tutorials").glob("*.ipynb")):
        shutil.copy2(notebook, target)


copy_notebooks()
_contract.check()
_presets.check()
