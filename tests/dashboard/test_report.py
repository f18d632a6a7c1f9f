"""The report: one file that loads nothing."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import modelperf_plugin as mp
from modelperf_plugin.analysis.views.trends import Period
from modelperf_plugin.dashboard import make_report
from tests.dashboard.conftest import HOSTILE, HOSTILE_TASK
from tests.dashboard.test_app import Page


def test_everything_is_in_one_file(engine: mp.ModelPerf) -> None:
    """No script, no reference to anything outside; the style is the one that its policy permits."""
    text = make_report(engine)
    page = Page(text)
    assert not [tag for tag, _ in page.elements if tag in {"script", "link", "img", "iframe", "object"}]
    assert page.all("a", "href")
    assert all(link.startswith("#") for link in page.all("a", "href"))
    assert re.findall(r"https?://", text) == []
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert f"sha256-{b64encode(sha256(style.encode()).digest()).decode()}" in text
    assert "url(" not in style
    assert "@import" not in style


def test_every_anchor_is_there_once(engine: mp.ModelPerf) -> None:
    """Links within the page lead somewhere, and no id is used twice."""
    page = Page(make_report(engine))
    ids = [given["id"] for _, given in page.elements if "id" in given]
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.all("a", "href")} <= set(ids)
    named = {
        each for _, given in page.elements if "aria-labelledby" in given for each in given["aria-labelledby"].split()
    }
    assert named <= set(ids)


def test_every_task_type_has_its_chapter(engine: mp.ModelPerf) -> None:
    """With its ranking, trends, costs, changes and demotions; hostile names are text."""
    text = make_report(engine)
    for said in (
        "Ranking",
        "Success over time",
        "Cost against success",
        "does worse",
        "surely below 50 %",
        "fading is better",
    ):
        assert said in text
    assert HOSTILE not in text
    assert HOSTILE_TASK not in text
    assert text.count('class="task"') == 3


def test_odd_stores_have_a_report(odd: mp.ModelPerf) -> None:
    """Empty, one outcome, a thousand models."""
    assert len(make_report(odd)) < 1_000_000


def test_a_period_can_be_chosen(engine: mp.ModelPerf) -> None:
    """The heading says which."""
    assert "the newest is from" in make_report(engine, Period.last(7, until=Period.last(400).first))
