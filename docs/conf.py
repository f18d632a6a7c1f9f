"""Configuration of the documentation site: ``sphinx-build -W --keep-going -n docs docs/_build``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

from modelperf_plugin import analysis

_ROOT = Path(__file__).resolve().parents[1]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_LOCAL_PAGE = re.compile(r"\]\((\w[\w/-]*)\.(?:md|rst)\)")

project = "modelperf-plugin"
author = "The modelperf_plugin maintainers"
version = release = _PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
html_theme = "furo"
html_title = f"modelperf {version}"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Public names must resolve. Internal modules have no pages, and other packages are not linked: the site builds offline.
nitpick_ignore_regex = [("py:.*", r"(?!modelperf_plugin(\.(analysis|errors|hooks\.hookspecs))?\.\w+$).*")]


def setup(app: Any) -> None:
    """Build the navigation, import the lazy names of the API, and show CSV as text: Pygments has no lexer for it."""
    vars(analysis).update({name: getattr(analysis, name) for name in analysis.__all__})
    app.connect("source-read", _add_navigation)
    app.add_lexer("csv", TextLexer)


def _add_navigation(_app: Any, docname: str, source: list[str]) -> None:
    """Add a hidden toctree for each section of the table of contents, so that index.md stays plain Markdown."""
    if docname != "index":
        return

    def with_toctree(section: re.Match[str]) -> str:
        pages = _LOCAL_PAGE.findall(section.group(2))
        if not pages:
            return section.group()
        toctree = "\n".join(["```{toctree}", ":hidden:", f":caption: {section.group(1)}", "", *pages, "```"])
        return f"{section.group().rstrip()}\n\n{toctree}\n\n"

    source[0] = _SECTION.sub(with_toctree, source[0])
