"""The list of decisions: filters, search, order, pages, all of it in the address."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

import modelperf_plugin as mp
from tests.dashboard.conftest import HOSTILE, HOSTILE_TASK, TESTED
from tests.dashboard.test_app import Page, get


def matches(text: str) -> int:
    """Return how many decisions a page says that it found."""
    found = re.search(r"<strong>([\d,]+) decisions?</strong>", text)
    return int(found[1].replace(",", "")) if found else 0


def test_the_address_chooses_decisions(engine: mp.ModelPerf) -> None:
    """By task type, model, exploring, outcome and a part of a name, together or alone; each choice adds up to all."""
    everything = matches(get(engine, "/decisions").text)
    assert everything == 800
    for name, values in {
        "task": ("write-code", HOSTILE_TASK, TESTED),
        "model": ("good", "bad", "fading", HOSTILE),
        "explored": ("yes", "no"),
        "outcome": ("succeeded", "failed", "none"),
    }.items():
        found = [matches(get(engine, f"/decisions?{name}={quote(value, safe='')}").text) for value in values]
        assert sum(found) == everything, name
    assert matches(get(engine, "/decisions?task=write-code").text) == 300
    assert matches(get(engine, "/decisions?q=WRITE-co").text) == 300
    both = get(engine, "/decisions?task=write-code&model=good&outcome=succeeded").text
    assert 0 < matches(both) < 300
    assert "failed</span>" not in both


def test_a_form_shows_what_is_chosen(engine: mp.ModelPerf) -> None:
    """Its fields have the values of the address, and the period stays; hostile names are text."""
    text = get(engine, f"/decisions?task={quote(HOSTILE_TASK, safe='')}&q=%22%3E%3Cb%3E&days=90").text
    assert "<b>" not in text
    assert HOSTILE_TASK not in text
    assert re.search(r"<option value=\"&lt;/title&gt;[^>]*\" selected>", text)
    page = Page(text)
    assert page.all("input", "value").count("90") == 2  # in the form of the filters, and in that of the period
    assert "No decision matches" in text
    assert "Clear filters" in text


def test_pages_follow_each_other(engine: mp.ModelPerf) -> None:
    """Fifty decisions each; the links lead through all of them once, and keep the filters."""
    seen: list[str] = []
    target = "/decisions?task=write-code&sort=oldest"
    for _ in range(6):
        text = get(engine, target).text
        seen += re.findall(r'href="decision\?id=(\w+)', text)
        following = [given["href"] for tag, given in Page(text).elements if given.get("rel") == "next"]
        target = f"/decisions{following[0]}" if following else ""
    assert target == ""
    assert len(seen) == len(set(seen)) == 300
    moments = [decision.made_ms for each in seen if (decision := engine.store.decisions.get(each))]
    assert moments == sorted(moments)
    assert "There is no page 9" in get(engine, "/decisions?task=write-code&page=9").text


def test_older_decisions_than_are_searched_are_a_click_away(
    engine: mp.ModelPerf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last page leads to the decisions before; the whole log can be reached."""
    for module in ("store.read_trends", "analysis.views.decision_list"):
        monkeypatch.setattr(f"modelperf_plugin.{module}.MAX_SAMPLED_DECISIONS", 40)
    seen: set[str] = set()
    target = "/decisions?task=write-code"
    while target and len(seen) < 400:
        page = Page(get(engine, target).text)
        seen |= {link for link in page.all("a", "href") if link.startswith("decision?")}
        target = next(
            (f"/decisions{link}" for link in page.all("a", "href") if "before=" in link and "sort" not in link), ""
        )
    assert len(seen) == 300


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("explored=maybe", "explored must be one of yes, no"),
        ("outcome=x", "outcome must be one of succeeded, failed, none"),
        ("sort=x", "sort must be one of newest"),
        ("page=0", "page must be a whole number from 1"),
        ("page=%C2%B2", "page must be a whole number from 1"),
        ("before=today", "before must be a time such as"),
    ],
)
def test_a_search_that_makes_no_sense_is_said(engine: mp.ModelPerf, query: str, said: str) -> None:
    """One clear message, status 400."""
    answer = get(engine, f"/decisions?{query}")
    assert answer.status == 400
    assert said in answer.text


def test_a_search_knows_aliases(tmp_path: Path) -> None:
    """Decisions on any spelling of a model are found by any of them."""
    config = {"models": {"good": {"aliases": ["vendor/good"]}}}
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        decision = perf.select("t", ["vendor/good"])
        perf.record("t", "vendor/good", mp.Outcome(success=True), decision)
    with mp.ModelPerf(config, store=tmp_path / "x.db") as perf:
        for name in ("good", "vendor/good"):
            assert matches(get(perf, f"/decisions?model={quote(name, safe='')}").text) == 1
