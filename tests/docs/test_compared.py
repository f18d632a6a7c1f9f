"""The comparison with other routers: every statement about another program has a source, and the page says of when."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import DOCS, section, table_rows, text_of

PAGE = DOCS / "explanation" / "compared.md"
SOURCES = re.findall(r"^(\d+)\. ", section(PAGE, "Sources"), re.MULTILINE)
PROGRAMS = ("LiteLLM", "TensorZero", "vLLM", "ParetoBandit", "RouteLLM", "OpenRouter", "Weave", "llm-router")
BOTH = ("What they have that this has not", "What this has that they have not")
POINTS = [point for title in BOTH for point in re.split(r"^- ", section(PAGE, title), flags=re.MULTILINE)[1:]]


def cited(text: str) -> set[str]:
    """Return the numbers of the sources in a text."""
    return set(re.findall(r"\[(\d+)\](?!\()", text))


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point[:40])
def test_what_is_said_of_another_program_has_a_source(point: str) -> None:
    """A point that names another program names the source in which it can be checked; all sources are listed."""
    named = any(program in point for program in PROGRAMS)
    lists_kinds = point.startswith(("**They read the request", "**They call the model"))  # the table has their sources
    assert cited(point) or not named or lists_kinds
    assert cited(point) <= set(SOURCES)


def test_every_program_of_the_table_has_a_source() -> None:
    """Each row ends with its source, and each source is used somewhere and linked."""
    rows = table_rows(section(PAGE, "What each of them is"))[2:]
    assert all(cited(row[-1]) for row in rows)
    assert {program for program in PROGRAMS if any(program in row[0] for row in rows)} == set(PROGRAMS)
    body = text_of(PAGE).partition("## Sources")[0]
    assert cited(body) == set(SOURCES)
    assert [f"[{number}]: #sources" in text_of(PAGE) for number in SOURCES] == [True] * len(SOURCES)


def test_the_page_is_dated() -> None:
    """Programs change: the page says when it was written and when its sources were read."""
    assert re.search(r"Written\son\s20\d\d-\d\d-\d\d", text_of(PAGE))
    assert re.search(r"Read on 20\d\d-\d\d-\d\d", section(PAGE, "Sources"))
