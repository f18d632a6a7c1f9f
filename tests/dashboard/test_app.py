"""The dashboard as an application: pages, errors, and security headers."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import modelperf_plugin as mp
from modelperf_plugin.dashboard import create_app
from modelperf_plugin.errors import MissingExtraError
from tests.asgi import Answer, ask
from tests.dashboard.conftest import HOSTILE, HOSTILE_TASK, TESTED
from tests.retrying import TASK_TYPE, Retried

TOKEN = "correct horse"  # noqa: S105 - nobody else's
TASK = f"/task?name={quote(HOSTILE_TASK, safe='')}"
MODEL = f"/model?task={quote(HOSTILE_TASK, safe='')}&name={quote(HOSTILE, safe='')}"
PAGES = ["/", TASK, MODEL, f"/model?name={quote(HOSTILE, safe='')}", "/task?name=write-code", "/decisions", "/policy"]


class Page(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, tag: str, attribute: str) -> list[str]:
        """Return an attribute of all elements of a kind that have it."""
        return [given[attribute] for name, given in self.elements if name == tag and attribute in given]


def get(engine: mp.ModelPerf, target: str) -> Answer:
    """Return a page."""
    return ask(create_app(engine), target)


@pytest.mark.parametrize("target", PAGES)
def test_hostile_names_are_text(engine: mp.ModelPerf, target: str) -> None:
    """No name becomes an element, an attribute or a template; nothing is inline that the policy forbids."""
    answer = get(engine, target)
    assert answer.status == 200
    page = Page(answer.text)
    assert page.all("script", "src") == ["static/live.js"]
    assert [tag for tag, _ in page.elements if tag in {"img", "style", "base", "iframe"}] == []
    assert not [name for _, given in page.elements for name in given if name.startswith("on") or name == "style"]
    assert "49" not in re.findall(r"\.\./(\d+)", answer.text)


def test_links_lead_to_pages_that_are_there(engine: mp.ModelPerf) -> None:
    """From the overview every page can be reached: task types, models, decisions, whatever their names."""
    seen: set[str] = set()
    waiting, failed = ["/"], []
    while waiting and len(seen) < 150:
        target = waiting.pop()
        if target in seen:
            continue
        seen.add(target)
        answer = get(engine, target)
        if answer.status != 200:
            failed.append((target, answer.status))
        if "text/html" in answer.headers["content-type"]:
            links = Page(answer.text).all("a", "href")
            waiting += [urljoin(target, link) for link in links if not link.startswith("#")]
    assert failed == []
    assert {target.partition("?")[0] for target in seen} == {
        "/", "/task", "/model", "/decision", "/decisions", "/advice", "/policy",
    }  # fmt: skip


def test_a_decision_says_why(engine: mp.ModelPerf, filled: tuple[str, str]) -> None:
    """With its candidates as they were; the first characters of its id are enough."""
    decision = engine.store.decisions.get(filled[1])
    assert decision is not None
    for given in (filled[1], filled[1][:12]):
        text = get(engine, f"/decision?id={given}").text
        assert f"Why {decision.model_id}?".replace("<", "&lt;")[:5] in text
        assert decision.policy_id in text
        assert text.count("<tr") == 2 * (len(decision.candidates) + 1)  # what was chosen, and what scores are made of
    assert get(engine, "/decision?id=nothing").status == 404


def test_a_decision_shows_every_try_of_its_task(retrying: mp.ModelPerf, retried: tuple[str, Retried]) -> None:
    """How the task ended, every try with what it took, the decisions that belong to it, and the plan."""
    ids = retried[1]
    text = get(retrying, f"/decision?id={ids.solved}").text
    assert re.search(r"solved by the 2nd try</span> with \w+", text)
    assert ">failed, timed out</span>" in text or ">failed</span>" in text
    assert text.count("12.5 s") == 2
    assert "25.0 s, 2.4k tokens, $" in text
    assert "In all: the task is solved with a probability of" in text
    for own, other in ((ids.first, ids.second), (ids.second, ids.first)):
        text = get(retrying, f"/decision?id={own}").text
        assert "solved by the 3rd try" in text
        assert f"decision?id={other}" in text
        assert "this one" in text
    assert "failed after 3 tries" in get(retrying, f"/decision?id={ids.failed}").text
    assert "open after 1 try" in get(retrying, f"/decision?id={ids.waiting}").text


def test_lists_of_decisions_say_how_the_task_ended(retrying: mp.ModelPerf) -> None:
    """A task that a later try solved never reads failed, on any page."""
    for target in ("/decisions", f"/task?name={TASK_TYPE}", f"/model?name=small&task={TASK_TYPE}"):
        text = get(retrying, target).text
        assert "solved by the 2nd try" in text
        assert "failed after 3 tries" in text or "solved by the 3rd try" in text


def test_first_and_later_tries_are_shown_apart(retrying: mp.ModelPerf, engine: mp.ModelPerf) -> None:
    """Where there are later tries: of each model, with what that means; elsewhere nothing of it."""
    targets = (f"/task?name={TASK_TYPE}", "/model?name=large")
    for target in targets:
        text = get(retrying, target).text
        assert ">first tries</th>" in text
        assert re.search(r"\d+ of \d+", text)
        assert "Later tries met tasks that other models had failed" in text
    assert ">first tries</th>" not in get(engine, f"/task?name={TESTED}").text


def test_an_ab_test_shows_its_evidence(engine: mp.ModelPerf) -> None:
    """Both sides, how far the evidence has come, the verdict: on the overview and on the page of the task type."""
    for target in ("/", f"/task?name={TESTED}"):
        text = get(engine, target).text
        assert text.count('class="meter"') == 2
        assert "fading is better" in text
        assert "inconclusive" in text
        assert "not in the configuration here" in text


def test_a_period_narrows_down_and_is_kept(engine: mp.ModelPerf) -> None:
    """Links keep the period; a day without outcomes says where there are some."""
    page = Page(get(engine, "/?days=7&until=2026-01-05").text)
    assert all("days=7" in link for link in page.all("a", "href") if link.startswith("task"))
    text = get(engine, "/?days=7&until=2001-01-05").text
    assert "No outcomes in this period" in text
    assert ">show<" in text


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("/?days=x", 400, "days must be a whole number"),
        ("/?days=0", 400, "days must be a whole number"),
        ("/?days=99999", 400, "days must be a whole number"),
        ("/?until=tomorrow", 400, "until must be a day such as"),
        ("/?until=0001-01-01", 400, "until must be a later date"),
        ("/?until=9999-12-31", 200, "No outcomes in this period"),
        ("/task", 400, "must name one"),
        ("/task?name=nobody", 404, "No outcomes of a task type"),
        ("/model?name=nobody", 404, "No outcomes of a model"),
        ("/nothing", 404, "There is no page at this address"),
        ("/static/../app.py", 404, ""),
        ("/static/page.css", 404, "No such file"),
    ],
)
def test_what_makes_no_sense_is_said(engine: mp.ModelPerf, target: str, status: int, said: str) -> None:
    """As a page, with a status that programs understand."""
    answer = get(engine, target)
    assert answer.status == status
    assert said in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(engine: mp.ModelPerf, method: str) -> None:
    """Only reading is possible."""
    assert ask(create_app(engine), "/", method=method).status == 405


def test_looking_writes_nothing(engine: mp.ModelPerf, filled: tuple[str, str]) -> None:
    """The file is the same byte for byte after every page."""
    before = Path(filled[0]).read_bytes()
    for target in [*PAGES, "/metrics", f"/decision?id={filled[1]}"]:
        get(engine, target)
    assert Path(filled[0]).read_bytes() == before


def test_a_browser_may_do_next_to_nothing(engine: mp.ModelPerf) -> None:
    """A strict policy on every answer, errors too: no inline style or script, nothing from elsewhere, no frames."""
    for target in ("/", "/nothing", "/metrics", "/static/style.css"):
        headers = get(engine, target).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert set(policy.values()) <= {"'none'", "'self'"}
        assert policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_no_page_names_another_place(engine: mp.ModelPerf) -> None:
    """Pages, style and script contain no address of another machine."""
    for target in [*PAGES, "/static/style.css", "/static/live.js"]:
        assert re.findall(r"https?://(?!www\.w3\.org/)", get(engine, target).text) == []


def test_names_of_the_machine_can_be_limited(engine: mp.ModelPerf) -> None:
    """A page elsewhere that leads a browser here under its own name gets no answer."""
    app = create_app(engine, names=["localhost", "127.0.0.1", "::1"])
    for host in ("localhost", "127.0.0.1:8765", "[::1]:80", "LOCALHOST:1"):
        assert ask(app, "/", {"host": host}).status == 200
    for host in ("evil.example", "evil.example:8765", "", "localhost.evil.example"):
        assert ask(app, "/", {"host": host}).status == 421


def test_a_token_keeps_others_out(engine: mp.ModelPerf) -> None:
    """By header, by cookie, or once by address, which is then kept as a cookie; nothing else gets in."""
    app = create_app(engine, token=TOKEN)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "correct horse"}, {"cookie": "a=b; ;"}):
        for target in ("/", "/metrics", "/static/style.css", "/?token=wrong", "/?token=", "/?token=%ff"):
            answer = ask(app, target, headers)
            assert (answer.status, "modelperf dashboard" in answer.text) == (401, True)
    assert ask(app, "/", {"authorization": "Bearer correct horse"}).status == 200
    answer = ask(app, "/task?name=write-code&token=correct+horse")
    assert (answer.status, answer.headers["location"]) == (303, "/task?name=write-code")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert ask(app, "/", {"cookie": cookie.partition(";")[0]}).status == 200


def test_any_token_can_be_kept(engine: mp.ModelPerf) -> None:
    """Any token works, and the cookie does not reveal it."""
    token = 'pässwörd "; 通义'  # noqa: S105 - nobody's
    app = create_app(engine, token=token)
    answer = ask(app, f"/?token={quote(token)}")
    assert answer.status == 303
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert quote(token) not in cookie
    assert ask(app, "/", {"cookie": cookie}).status == 200
    assert ask(app, "/", {"cookie": f"modelperf_token={quote(token)}"}).status == 401


def test_the_answer_to_a_token_stays_on_this_machine(engine: mp.ModelPerf) -> None:
    """A path that looks like another machine does not become one."""
    app = create_app(engine, token=TOKEN)
    assert ask(app, "//evil.example/?token=correct+horse").headers["location"] == "/evil.example/"


def test_it_can_be_mounted_in_a_host(engine: mp.ModelPerf) -> None:
    """Below any path: every link is relative, and the token's cookie is for that path."""
    host = Starlette(routes=[Mount("/tools/modelperf", create_app(engine, token=TOKEN))])
    headers = {"authorization": "Bearer correct horse"}
    answer = ask(host, "/tools/modelperf/", headers)
    assert answer.status == 200
    page = Page(answer.text)
    assert not [link for link in page.all("a", "href") + page.all("link", "href") if link.startswith("/")]
    assert ask(host, "/tools/modelperf/task?name=write-code", headers).status == 200
    assert ask(host, "/tools/modelperf", headers).headers["location"].endswith("/tools/modelperf/")
    assert ask(host, "/tools/modelperf/static/style.css", headers).status == 200
    kept = ask(host, "/tools/modelperf/policy?token=correct+horse")
    assert kept.headers["location"] == "/tools/modelperf/policy"
    assert "Path=/tools/modelperf" in kept.headers["set-cookie"]


def test_odd_stores_have_pages(odd: mp.ModelPerf) -> None:
    """Empty, one outcome, a thousand models: every page is there, and of a size that a browser can show."""
    empty = not odd.store.tallies.all()
    for target in ("/", "/decisions", "/policy", "/metrics", "/task?name=plan", "/task?name=plan&rows=all"):
        answer = get(odd, target)
        assert answer.status == (404 if empty and "plan" in target else 200)
        assert len(answer.text) < 3_000_000
    if empty:
        assert "There are no outcomes yet" in get(odd, "/").text


def test_a_thousand_models_are_not_all_shown_at_once(tmp_path: Path) -> None:
    """The best fifty, the number of the others, and a link to them."""
    with mp.ModelPerf({}, store=tmp_path / "many.db") as perf:
        for number in range(120):
            perf.tracker.record_outcome("plan", f"m{number}", mp.Outcome(success=True))
        text = get(perf, "/task?name=plan").text
        assert text.count('class="glyph"') == 50
        assert "And 70 more models" in text
        assert get(perf, "/task?name=plan&rows=all").text.count('class="glyph"') == 120


def test_the_policy_says_where_values_come_from(tmp_path: Path, filled: tuple[str, str]) -> None:
    """Each key with its value, its meaning and its source."""
    config = tmp_path / "modelperf.toml"
    config.write_text('[demotion]\nmargin = 0.15\n[task_types."a<b".ranking]\nmin_samples = 9\n')
    with mp.ModelPerf(config, store=filled[0]) as perf:
        text = get(perf, "/policy").text
    row = r'demotion\.margin</code></th><td class="value"><code>0\.15</code></td><td class="meaning">([^<]+)<(.*)</tr>'
    found = re.search(row, text)
    assert found
    assert found[1].startswith("Demote models worse than the best")
    assert "modelperf.toml" in found[2]
    assert "a&lt;b" in text


def test_an_unknown_address_is_said_once(engine: mp.ModelPerf) -> None:
    """The heading says that nothing was found, the text something else."""
    text = get(engine, "/nothing").text
    assert text.partition("<main")[2].lower().count("not found") == 1


def test_a_store_that_fails_is_said_so(engine: mp.ModelPerf) -> None:
    """A store error has the status of a temporary problem; the next request may succeed."""
    app = create_app(engine)
    engine.store.close()
    answer = ask(app, "/metrics")
    assert answer.status == 503
    assert "is closed" in answer.text


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names it."""
    import modelperf_plugin.dashboard as package

    for name in [name for name in sys.modules if name.startswith("modelperf_plugin.dashboard.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "modelperf-plugin\[dashboard\]"'):
        package.make_report  # noqa: B018 - the import is the test


def test_estimated_costs_are_marked_and_dated(tmp_path: Path) -> None:
    """The pages of a task type and of a model mark costs by list prices, and say of which day these are."""
    note = "costs estimated from tokens, by the prices of 2026-11-01"
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        perf.record("t", "m", mp.Outcome(success=True, cost_usd=0.25))
        assert "≈" not in get(perf, "/task?name=t").text
        perf.store.spending.mark_estimated("m", 20_758)
        for target in ("/task?name=t", "/model?name=m"):
            assert ">≈$0.250<" in get(perf, target).text
            assert note in get(perf, target).text


def test_a_model_that_is_gone_is_shown(tmp_path: Path) -> None:
    """The overview names it until it answers, and the model's page says why it is unavailable."""
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        perf.record("t", "kept", mp.Outcome(success=True))
        assert "Gone models" not in get(perf, "/").text
        perf.record("t", HOSTILE, mp.Outcome(success=False, error_kind="unavailable"))
        page = get(perf, "/").text
        assert "Gone models" in page
        assert re.search(r"gone</span> since .* UTC <span class=\"faint\">\(1 try in a row: unavailable\)", page)
        assert ": gone; next try from" in get(perf, f"/model?name={quote(HOSTILE, safe='')}").text
