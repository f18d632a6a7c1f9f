"""Every page in a real browser: what it shows, what it may do, how it looks to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

import modelperf_plugin as mp
from modelperf_plugin.dashboard import make_report
from tests.browser.chromium import Colours, open_page, require, running, serving
from tests.dashboard.conftest import HOSTILE, HOSTILE_TASK
from tests.retrying import TASK_TYPE, Retried

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

PAGES = {
    "overview": "",
    "year": "?days=365",
    "task": f"task?name={quote(HOSTILE_TASK, safe='')}",
    "model": f"model?task=write-code&name={quote(HOSTILE, safe='')}",
    "everywhere": "model?name=good",
    "decision": "decision?id={decision}",
    "decisions": "decisions",
    "found": "decisions?task=write-code&outcome=succeeded&sort=rarest&page=2",
    "not found": "decisions?q=nothing-of-that-name",
    "policy": "policy",
    "missing": "task?name=nobody",
}
LOOKS = [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]


Watched = Callable[..., AbstractContextManager["Page"]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a running browser; skip where there is none."""
    require()
    with running() as found:
        yield found


@pytest.fixture
def address(engine: mp.ModelPerf) -> Iterator[str]:
    """Return the address of a running dashboard on the filled store."""
    with serving(engine, names=["127.0.0.1"]) as found:
        yield found


@pytest.fixture
def watched(browser: Browser) -> Watched:
    """Return a function that opens a page and checks that it caused no foreign request and no error."""

    @contextmanager
    def watch(address: str, **said: Any) -> Iterator[Page]:
        with open_page(browser, **said) as page:
            asked: list[str] = []
            told: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: told.append(message.text))
            page.on("pageerror", lambda error: told.append(str(error)))
            page.on("dialog", lambda dialog: told.append(dialog.message))
            yield page
            assert [url for url in asked if not url.startswith(address)] == []
            assert [text for text in told if "404 (Not Found)" not in text] == []

    return watch


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong with a page, with the elements at fault."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"][:3]]


OVERLAPS = """() => {
  const visible = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest("title, option, .unseen, .skip") || !parent.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const frame = parent.closest(".scroll");
    const edges = frame ? frame.getBoundingClientRect() : { left: -1e9, right: 1e9 };
    const boxes = parent.closest("svg") ? [parent.getBoundingClientRect()] : [...range.getClientRects()];
    for (const box of boxes) {
      const [left, right] = [Math.max(box.left, edges.left), Math.min(box.right, edges.right)];
      if (right - left > 1) visible.push({ left, right, top: box.top, bottom: box.bottom, text: node.data, node });
    }
  }
  const found = [];
  visible.forEach((one, number) => visible.slice(number + 1).forEach((other) => {
    if (one.node === other.node) return;
    const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
    if (wide > 1 && high > 3) found.push(`${one.text} / ${other.text}`);
  }));
  return found;
}"""
"""Finds texts that overlap, by the boxes that the browser drew them in; boxes of lines may touch."""


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_sound_and_accessible(watched: Watched, address: str, filled: tuple[str, str], name: str) -> None:
    """In both colours and widths: no error, no foreign request, nothing that axe objects to, nothing cut off."""
    target = PAGES[name].format(decision=filled[1])
    for width, colours in LOOKS:
        with watched(address, width=width, colours=colours, bypass_csp=True) as page:
            page.goto(f"{address}{target}")
            assert page.locator("h1").count() == 1
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(OVERLAPS) == []


def test_names_stay_names(watched: Watched, address: str) -> None:
    """A script in a model's name is shown as it was recorded, and does not run; nor does an image's handler."""
    with watched(address) as page:
        page.goto(f"{address}{PAGES['task']}")
        assert page.locator("h1").inner_text() == HOSTILE_TASK
        assert page.get_by_role("link", name=HOSTILE).first.inner_text() == HOSTILE
        assert page.locator("main img, main script").count() == 0


def test_one_clicks_from_everything_to_a_single_decision(watched: Watched, address: str) -> None:
    """Overview, task type, model, decision, and back."""
    with watched(address) as page:
        page.goto(address)
        page.get_by_role("link", name="write-code").first.click()
        page.get_by_role("link", name="good", exact=True).first.click()
        assert page.locator("h1").inner_text() == "good"
        page.locator("section[aria-labelledby=decisions] tbody a").first.click()
        assert page.locator("h1").inner_text() == "Why good?"
        assert page.get_by_text("Candidates at that time").is_visible()
        page.get_by_role("link", name="Overview").first.click()
        assert page.locator("h1").inner_text() == "Overview"


def test_a_period_is_chosen_by_a_click_or_a_day(watched: Watched, address: str) -> None:
    """It stays chosen on the way down."""
    with watched(address) as page:
        page.goto(address)
        page.get_by_role("link", name="7 d").click()
        assert "days=7" in page.url
        page.get_by_role("link", name="write-code").first.click()
        assert page.locator("[aria-current=true]").inner_text() == "7 d"
        page.get_by_label("until").fill("2001-02-03")
        page.get_by_role("button", name="Show").click()
        assert "until=2001-02-03" in page.url
        assert "days=7" in page.url
        assert page.get_by_text("no outcomes in this period").first.is_visible()


def test_the_keyboard_is_enough(watched: Watched, address: str) -> None:
    """The first stop skips to the content; every link can be reached, and shows that it is."""
    with watched(address) as page:
        page.goto(address)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.innerText"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            focused = page.evaluate("document.activeElement.outerHTML.slice(0, 99)")
            assert outline != "none" or focused.startswith("<body"), focused
        assert {"Overview", "Policy", "7 d", "write-code"} <= reached


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pages_follow_the_colours_of_the_machine(watched: Watched, address: str, colours: Colours) -> None:
    """Dark paper for who prefers it, light for who does not."""
    with watched(address, colours=colours) as page:
        page.goto(address)
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(shade.removeprefix("rgb(").split(",")[0]) < 100) == (colours == "dark")


def test_the_answer_comes_first(watched: Watched, address: str) -> None:
    """Model, expected success, cost and since when of each task type, above everything else and cut off nowhere."""
    for width in (390, 1440):
        with watched(address, width=width) as page:
            page.goto(address)
            rows = page.locator("main table").first.locator("tbody tr")
            assert rows.count() == 3
            said = rows.filter(has_text="write-code").inner_text()
            assert "good" in said
            assert "%" in said
            assert "$" in said
            last = rows.last.bounding_box()
            figures = page.locator(".figures").first.bounding_box()
            assert last is not None
            assert figures is not None
            assert last["y"] + last["height"] <= min(844, figures["y"])
            for cell in rows.locator("th:visible, td:visible").all():
                box = cell.bounding_box()
                assert box is not None
                assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("scripts", [True, False])
def test_decisions_are_searched_with_a_form(watched: Watched, address: str, *, scripts: bool) -> None:
    """With and without JavaScript; the address has all of it, so that a link shows the same."""
    with watched(address, java_script_enabled=scripts) as page:
        page.goto(f"{address}decisions?days=90")
        page.get_by_label("Task type").select_option("write-code")
        page.get_by_label("Outcome").select_option("failed")
        page.get_by_role("button", name="Apply").click()
        assert {"days=90", "task=write-code", "outcome=failed"} <= set(page.url.partition("?")[2].split("&"))
        assert "since" in page.locator(".found").inner_text()
        page.goto(page.url)
        assert page.get_by_label("Task type").input_value() == "write-code"
        assert page.locator("tbody .down").count() == page.locator("tbody tr").count() > 0
        page.get_by_role("link", name="Clear filters").click()
        assert "task=" not in page.url


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


def test_only_the_chart_that_fits_is_shown(watched: Watched, address: str) -> None:
    """The narrow one on a telephone, the wide one on a screen."""
    for width, shown in ((390, ".narrow"), (1440, ".wide")):
        with watched(address, width=width) as page:
            page.goto(address)
            assert page.locator(f"figure {shown}").first.is_visible()
            assert page.locator("figure .narrow:visible, figure .wide:visible").count() == 1


def test_a_page_renews_itself_until_it_is_told_not_to(watched: Watched, address: str, engine: mp.ModelPerf) -> None:
    """What is recorded appears without a click; the button stops that, and is remembered."""
    with watched(address) as page:
        page.clock.install()
        page.goto(address)
        button = page.get_by_role("button", name="live")
        assert button.get_attribute("aria-pressed") == "true"
        engine.tracker.record_outcome("new-task", "good", mp.Outcome(success=True))
        page.clock.run_for(6000)
        page.get_by_role("link", name="new-task").first.wait_for(timeout=10_000)
        button.click()
        assert page.get_by_role("button", name="paused").get_attribute("aria-pressed") == "false"
        page.reload()
        assert page.get_by_role("button", name="paused").is_visible()


def test_all_of_it_works_without_javascript(watched: Watched, address: str) -> None:
    """Only the button for renewing is not there."""
    with watched(address, java_script_enabled=False) as page:
        page.goto(address)
        page.get_by_role("link", name="write-code").first.click()
        assert page.locator("h1").inner_text() == "write-code"
        assert page.get_by_role("button", name="live").count() == 0


def test_a_token_leads_in_once_and_is_kept(browser: Browser, engine: mp.ModelPerf) -> None:
    """The address with the token is enough; later addresses do not contain it."""
    with serving(engine, token="correct horse battery") as address, open_page(browser) as page:  # noqa: S106 - only here
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 401
        page.goto(f"{address}?token=correct+horse+battery")
        assert page.url == address
        page.get_by_role("link", name="write-code").first.click()
        assert page.locator("h1").inner_text() == "write-code"


def test_odd_stores_look_right(watched: Watched, odd: mp.ModelPerf) -> None:
    """Empty, one outcome, a thousand models: sound and accessible, and never wider than the window."""
    with serving(odd) as address:
        for width in (390, 1440):
            with watched(address, width=width, bypass_csp=True) as page:
                for target in ("", "task?name=plan", "decisions"):
                    page.goto(f"{address}{target}")
                    assert violations(page) == []
                    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_tries_of_a_task_are_sound_and_accessible(
    watched: Watched, retrying: mp.ModelPerf, retried: tuple[str, Retried]
) -> None:
    """A decision with tries and a plan, lists of tasks, first and later tries: in both colours and widths."""
    with serving(retrying) as address:
        for width, colours in LOOKS:
            with watched(address, width=width, colours=colours, bypass_csp=True) as page:
                for target in (f"decision?id={retried[1].second}", "decisions", f"task?name={TASK_TYPE}"):
                    page.goto(f"{address}{target}")
                    assert violations(page) == []
                    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_one_clicks_from_a_retry_to_what_it_follows(
    watched: Watched, retrying: mp.ModelPerf, retried: tuple[str, Retried]
) -> None:
    """From the second decision of a task to the first, and back: both tell the whole task."""
    ids = retried[1]
    with serving(retrying) as address, watched(address) as page:
        page.goto(f"{address}decision?id={ids.second}")
        page.get_by_role("link", name=ids.first).first.click()
        assert ids.first in page.url
        assert page.get_by_text("solved by the 3rd try").is_visible()
        page.locator("section[aria-labelledby=tries]").get_by_role("link", name=ids.second).click()
        assert ids.second in page.url


def test_the_report_is_sound_and_accessible(watched: Watched, engine: mp.ModelPerf, tmp_path: Path) -> None:
    """Opened as a file, in both colours and widths; nothing is loaded, nothing is blocked."""
    file = tmp_path / "report.html"
    file.write_text(make_report(engine), encoding="utf-8")
    for width, colours in LOOKS:
        with watched(file.as_uri(), width=width, colours=colours) as page:
            page.goto(file.as_uri())
            assert page.evaluate("getComputedStyle(document.body).fontSize") == "15px"
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        with watched(file.as_uri(), width=width, colours=colours, bypass_csp=True) as page:
            page.goto(file.as_uri())
            assert violations(page) == []
