"""Reading the pages of the documentation: sections, tables, code blocks, links."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SAVED = re.compile(r"Save\s+this\s+as\s+`([^`]+)`[^`]*$")


class Block(NamedTuple):
    """A block of code."""

    language: str
    """What stands behind the opening fence."""
    text: str
    """What is in it."""
    line: int
    """The line of its first line in the page, counted from 1."""
    saved_as: str | None
    """The file as which the text above it says to save it."""
    follows: bool
    """Whether nothing but blank lines stands between it and the block before."""


def name_of(page: Path) -> str:
    """Return how to call a page in the name of a test."""
    return page.relative_to(ROOT).as_posix()


@cache
def text_of(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Return the text of a page with its blocks of code left empty; lines keep their numbers."""
    return _FENCED.sub(lambda match: "\n" * match.group().count("\n"), text_of(page))


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of code of a page, in order."""
    text, end = text_of(page), 0
    for match in _FENCED.finditer(text):
        between = text[end : match.start()]
        saved = _SAVED.search(between)
        yield Block(
            language=match.group(1),
            text=match.group(2),
            line=text.count("\n", 0, match.start(2)) + 1,
            saved_as=saved.group(1) if saved else None,
            follows=end > 0 and not between.strip(),
        )
        end = match.end()


def section(page: Path, *titles: str) -> str:
    """Return the text under a heading, subsections included; each further title is one within the last."""
    text = prose_of(page)
    for title in titles:
        headings = list(_HEADING.finditer(text))
        found = [each for each in headings if each.group(2) == title]
        assert found, f"{name_of(page)} has no heading {title!r} below {titles}"
        level = len(found[0].group(1))
        after = [each for each in headings if each.start() > found[0].start() and len(each.group(1)) <= level]
        text = text[found[0].end() : after[0].start() if after else len(text)]
    return text


def headings(page: Path) -> list[str]:
    """Return all headings of a page."""
    return [match.group(2) for match in _HEADING.finditer(prose_of(page))]


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the tables in ``text``, heads included."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def coded(text: str) -> list[str]:
    """Return what stands between backquotes."""
    return re.findall(r"`([^`]+)`", text)


def first_column(text: str) -> list[str]:
    """Return everything between backquotes in the first cells of the tables in ``text``."""
    return [name for row in table_rows(text) for name in coded(row[0])]


def links(page: Path) -> list[str]:
    """Return the targets of all links of a page."""
    return _LINK.findall(prose_of(page))


def anchors(page: Path) -> set[str]:
    """Return what may stand behind ``#`` in a link to a page, as code hosts make it from the headings."""
    seen: Counter[str] = Counter()
    found = set()
    for title in headings(page):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found
