"""Parses the pages of the documentation: sections, tables, code blocks, links."""

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
    text: str
    line: int
    """Number of its first line in the page, from 1."""
    saved_as: str | None
    """The file name in "Save this as …" above it."""
    follows: bool
    """Whether only blank lines separate it from the previous block."""


def name_of(page: Path) -> str:
    """Return the test id of a page."""
    return page.relative_to(ROOT).as_posix()


@cache
def text_of(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Return the text of a page without its code blocks; lines keep their numbers."""
    return _FENCED.sub(lambda match: "\n" * match.group().count("\n"), text_of(page))


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the code blocks of a page, in order."""
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
    """Return the text under a heading, including subsections; further titles are nested in the previous one."""
    text = prose_of(page)
    for title in titles:
        headings = list(_HEADING.finditer(text))
        matches = [heading for heading in headings if heading.group(2) == title]
        assert matches, f"{name_of(page)} has no heading {title!r} below {titles}"
        start, level = matches[0], len(matches[0].group(1))
        following = [each for each in headings if each.start() > start.start() and len(each.group(1)) <= level]
        text = text[start.end() : following[0].start() if following else len(text)]
    return text


def headings(page: Path) -> list[str]:
    """Return all headings of a page."""
    return [match.group(2) for match in _HEADING.finditer(prose_of(page))]


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the tables in ``text``, including headers."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def coded(text: str) -> list[str]:
    """Return the texts between backquotes; a line break in one is a space."""
    return [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", text)]


def first_column(text: str) -> list[str]:
    """Return everything between backquotes in the first cells of the tables in ``text``."""
    return [name for row in table_rows(text) for name in coded(row[0])]


def links(page: Path) -> list[str]:
    """Return the targets of all links of a page."""
    return _LINK.findall(prose_of(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors that code hosts derive from the headings of a page."""
    seen: Counter[str] = Counter()
    slugs = set()
    for title in headings(page):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        slugs.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return slugs


def plain_text(printed: str) -> str:
    """Return what was printed without column widths, and with every time of a few minutes as "now"."""
    printed = re.sub(r"\b\d+ (s|min) ago\b", "now", printed)
    return "\n".join(" ".join(line.split()) for line in printed.strip().splitlines())


def plain_pattern(shown: str) -> str:
    """Return a pattern for :func:`plain_text` of what a page shows, in which ``...`` stands for anything."""
    return re.escape(plain_text(shown)).replace(re.escape("..."), ".*")
