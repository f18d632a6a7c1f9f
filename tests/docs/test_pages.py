"""Links and lines of the pages, and what they must not contain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, README, ROOT, anchors, headings, links, name_of, text_of

FOLDERS = ("tmp", "home", "root", "work", "usr", "opt", "var", "Users")
REGISTRIES = ("pypi", "pythonhosted", "npmjs", "artifactory")

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names an existing file, and a heading in it."""
    broken = []
    for target in links(page):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_file() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_table_of_contents() -> None:
    """index.md links to every page, and the README to all but index.md and the pages of single frameworks."""
    pages = {page.relative_to(DOCS).as_posix() for page in PAGES if page != README}
    assert set(links(DOCS / "index.md")) >= pages - {"index.md"}
    on_their_own = {page for page in pages if not page.startswith("how-to/frameworks/")}
    assert set(links(README)) >= {f"docs/{page}" for page in on_their_own - {"index.md"}}


@pytest.mark.parametrize("page", [page for page in PAGES if page != README], ids=name_of)
def test_lines_are_short(page: Path) -> None:
    """No line is longer than 120 characters, including tables and output."""
    long = [number for number, line in enumerate(text_of(page).splitlines(), 1) if len(line) > 120]
    assert long == []


@every_page
def test_no_page_names_a_machine(page: Path) -> None:
    """No page has absolute paths of a machine, or names a package registry."""
    folders, registries = "|".join(FOLDERS), "|".join(REGISTRIES)
    assert re.findall(rf"(?<![\w.*~])/(?:{folders})/\S*", text_of(page)) == []
    assert re.findall(rf"(?i)\b\S*(?:{registries})\S*\.\w+", text_of(page)) == []


@pytest.mark.parametrize(
    ("what", "command"),
    [
        ("the demo", "python3 -m venv .venv && .venv/bin/pip install -q -e . && .venv/bin/modelperf demo"),
        (
            "the tests",
            'python3 -m venv .venv && .venv/bin/pip install -q -e ".[test]" && .venv/bin/python -m pytest -q',
        ),
    ],
)
def test_the_readme_has_two_self_contained_commands(what: str, command: str) -> None:
    """The demo and the tests are one line each, which creates its own environment first."""
    lines = text_of(README).splitlines()
    assert lines.count(command) == 1, what
    assert lines[lines.index(command) - 1] == "```sh"
    assert lines[lines.index(command) + 1] == "```"


def test_code_hosts_find_what_they_look_for() -> None:
    """Guides and templates are where code hosts look, and the links of the contributing guide lead somewhere."""
    folder = ROOT / ".github"
    if not folder.exists():
        pytest.skip("this checkout has no .github")
    for name in ("CONTRIBUTING.md", "SECURITY.md", "PULL_REQUEST_TEMPLATE.md", "ISSUE_TEMPLATE/bug.yml"):
        assert (folder / name).is_file()
    test_every_link_leads_somewhere(folder / "CONTRIBUTING.md")


def test_the_changelog_has_this_version() -> None:
    """The version in pyproject.toml has a section in the changelog, below the unreleased changes."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first, *released = [title for title in headings(DOCS / "changelog.md") if re.match(r"Unreleased|\d", title)]
    assert first == "Unreleased"
    assert released[0].split()[0] == project["version"]
