"""The docs site: `sphinx-build -W docs docs/_build/html`, without the network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import allencv_al

sys.path.insert(0, str(Path(__file__).parent))
import generate

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "allencv_al"
author = "The allencv_al developers"
release = version = allencv_al.__version__
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True
# Types and errors of other packages and of inner modules have no page
nitpick_ignore_regex = [("py:(class|exc)", ".*")]

myst_heading_anchors = 4  # links such as strategies.md#badge
default_role = "code"  # docstrings mark code by single backticks
smartquotes = False  # commands and JSON are copied from prose, too
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "builtin, injected",
}
autodoc_typehints = "signature"
napoleon_numpy_docstring = False

html_theme = "furo"
html_copy_source = False
html_title = f"allencv_al {release}"


def setup(app: Sphinx) -> None:
    """Write the generated pages before Sphinx looks for sources."""
    app.connect("builder-inited", lambda app: generate.write_pages(Path(app.srcdir) / "reference"))
    app.connect("source-read", offer_readmes_of_examples)
    app.connect("autodoc-process-signature", shorten_factories)


def shorten_factories(*event: Any) -> tuple[str, str | None] | None:
    """Show `...` for the defaults of dataclasses that a factory makes.

    `<factory>` is no Python: Sphinx then shows the whole signature without links and short names.
    """
    signature, returned = event[-2:]
    return (signature.replace("<factory>", "..."), returned) if signature else None


def offer_readmes_of_examples(app: Sphinx, page: str, source: list[str]) -> None:
    """Mark the READMEs of `examples/`, which are no pages of the site, as files to download."""
    source[0] = source[0].replace("](../../examples/", "](path:../../examples/")
