"""Every page in a real browser: what it shows, what it may do, how it looks to whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

import modelperf_plugin as mp
from modelperf_plugin.dashboard import make_report
from tests.browser.chromium import Colours, open_page, serving
from tests.browser.looking import LOOKS, OVERLAPS, Watched, settle, violations
from tests.dashboard.conftest import HOSTILE, HOSTILE_TASK
from tests.retrying import TASK_TYPE, Retried

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
    "advice": "advice",
    "policy": "policy",
    "missing": "task?name=nobody",
}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_sound_and_accessible(watched: Watched, address: str, filled: tuple[str, str], name: str) -> None:
    """In both colours and widths: no error, no foreign request, nothing that axe objects to, nothing cut off."""
    target = PAGES[name].format(decision=filled[1])
    for width, colours in LOOKS:
        with watched(address, width=width, colours=colours, bypass_csp=True) as page:
            page.goto(f"{address}{target}")
            settle(page)
            for each in page.locator("details:not([open]) > summary:visible").all():
                each.click()
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
            settle(page)
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


@pytest.mark.parametrize("name", ["task", "everywhere", "decision", "overview"])
def test_rankings_and_sums_fit_a_phone(watched: Watched, address: str, filled: tuple[str, str], name: str) -> None:
    """No table with scores, sums or savings has to be moved sideways to be read."""
    with watched(address, width=390) as page:
        page.goto(f"{address}{PAGES[name].format(decision=filled[1])}")
        settle(page)
        for each in page.locator("details:not([open]) > summary:visible").all():
            each.click()
        tables = page.locator("table.stack").all()
        assert tables
        for table in tables:
            box = table.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= 390


def test_what_takes_long_appears_by_itself(watched: Watched, address: str) -> None:
    """The page is there at once, says what it waits for, and shows it without a click; open details stay open."""
    with watched(address) as page:
        page.goto(address)
        assert page.get_by_text("Comparing with what single models would have cost").count() == 1
        assert page.locator("main table").first.is_visible()
        settle(page)
        assert page.get_by_text("against always").is_visible()
        page.goto(f"{address}task?name=write-code")
        page.get_by_text("How each score is made up").click()
        page.evaluate("document.querySelector('main h1').textContent = 'old'")
        page.get_by_role("heading", name="write-code", level=1).wait_for(timeout=60_000)
        assert page.get_by_text("own outcomes today").is_visible()


def test_a_page_says_that_it_may_be_old(watched: Watched, address: str) -> None:
    """If the server no longer answers, the button says so, until it does."""
    with watched(address) as page:
        page.clock.install()
        page.goto(address)
        page.route(f"{address}**", lambda route: route.fulfill(status=503))
        page.clock.run_for(6000)
        page.get_by_role("button", name="no answer").wait_for(timeout=10_000)
        page.unroute(f"{address}**")
        page.clock.run_for(6000)
        page.get_by_role("button", name="live").wait_for(timeout=10_000)
