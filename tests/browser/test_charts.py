"""Charts and paper in a real browser: nothing overlaps, marks are explained, intervals are there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelperf_plugin as mp
from modelperf_plugin.dashboard import make_report
from tests.browser.chromium import open_page, serving
from tests.browser.looking import LOOKS, OVERLAPS, Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[mp.ModelPerf]:
    """Return an engine on a store whose models hardly differ, with changes of models, prices and policies."""
    now = datetime.now(UTC)
    moments = [now - timedelta(days=9)]
    names = [
        "gpt-4.5-preview",
        "claude-3-5-sonnet",
        "o3",
        "vendor/WWWWWWWWWWWWWWWWWWWWWW",
        "通义千问通义千问",
        "o4-mini",
    ]
    config = {"models": {"o3": {"cost_usd": 0.01, "cost_since": (now - timedelta(days=4)).date()}}}
    for policy in ({}, {"demotion": {"strategy": "never"}}):
        with mp.ModelPerf({**config, **policy}, store=tmp_path / "x.db", seed=1, clock=lambda: moments[-1]) as perf:
            for number in range(60):
                moments.append(moments[-1] + timedelta(hours=1.7))
                perf.select("t", names)
                cost = 0.01 + number / 10_000
                perf.record(
                    "t", names[number % 6], mp.Outcome(success=number % 5 > 0, timestamp=moments[-1], cost_usd=cost)
                )
            for name in names[:3]:
                since_ms = int(moments[-1].timestamp() * 1000)
                perf.store.changes.add(name, "announced", (1, 2), (since_ms, since_ms), None, {})
    with mp.ModelPerf(config, store=tmp_path / "x.db") as perf:
        perf.record("lone", "o3", mp.Outcome(success=True))
        yield perf


def test_overlaps_would_be_found(browser: Browser) -> None:
    """The check of the next tests sees two texts on each other, in HTML and in a drawing."""
    with open_page(browser) as page:
        moved = "position: absolute; top: 400px; left: 9px"
        page.set_content(
            f"<b style='{moved}'>one</b><i style='{moved}'>two</i><p>apart<p>from that"
            "<svg><text y=20>three</text><text y=24>four</text></svg>"
        )
        assert page.evaluate(OVERLAPS) == ["one / two", "three / four"]


def test_texts_in_charts_never_overlap(watched: Watched, crowded: mp.ModelPerf) -> None:
    """Names of models that hardly differ, marks close together: moved apart, joined, or left out."""
    with serving(crowded) as address:
        for width, colours in LOOKS:
            with watched(address, width=width, colours=colours) as page:
                for target in ("?days=7", "?days=30", "task?name=t&days=7", "task?name=lone", "model?name=o3"):
                    page.goto(f"{address}{target}")
                    assert page.evaluate(OVERLAPS) == [], target


def test_charts_mark_what_changed(watched: Watched, crowded: mp.ModelPerf) -> None:
    """Models, prices and policies, with numbers that a list under the chart explains."""
    with serving(crowded) as address, watched(address) as page:
        page.goto(f"{address}task?name=t")
        listed = page.get_by_role("list", name="Marks")
        for expected in ("new price of o3", "new policy on t", "o3 announced as changed"):
            assert expected in listed.inner_text()
        items = listed.get_by_role("listitem").all()
        numbers = page.locator(".wide text.number").all_text_contents()
        assert numbers == [item.get_attribute("value") for item in items]


def test_a_single_outcome_is_shown_with_its_interval(watched: Watched, crowded: mp.ModelPerf) -> None:
    """One success is not 100 %: each drawing of it has its interval, and says of how many it is."""
    with serving(crowded) as address, watched(address) as page:
        page.goto(f"{address}task?name=lone")
        lines = page.locator("figure .wide").first
        assert lines.get_by_text("o3 (1)").is_visible()
        bar = lines.locator("line.whisker").bounding_box()
        assert bar is not None
        assert bar["height"] > 50
        page.goto(address)
        assert page.locator("svg.spark").last.locator("line.whisker").count() == 1


def test_the_report_prints(browser: Browser, engine: mp.ModelPerf, tmp_path: Path) -> None:
    """On paper of A4: nothing wider than it, light paper, no controls, a page or two for each task type."""
    file = tmp_path / "report.html"
    file.write_text(make_report(engine), encoding="utf-8")
    with open_page(browser, width=703, height=1016, colours="dark") as page:  # what margins leave of A4
        page.goto(file.as_uri())
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= 703
        assert page.evaluate(OVERLAPS) == []
        assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(29, 30, 32)"
        pages = page.pdf(format="A4", prefer_css_page_size=True).count(b"/Type /Page\n")
        assert 1 <= pages <= 6
        for each in page.locator("details > :not(summary)").all():
            assert each.is_visible()
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollHeight") < 6000
        chapter = page.locator("section.task").first
        assert not chapter.get_by_text("Cost against success").is_visible()
        chapter.get_by_text("Ranking, charts and changes").click()
        assert chapter.get_by_text("Cost against success").is_visible()
        page.set_viewport_size({"width": 1440, "height": 900})
        assert page.evaluate("document.documentElement.scrollHeight") < 7000
