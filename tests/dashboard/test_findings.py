"""What takes seconds to compute: savings and advice, beside the requests; and scores as sums."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis.views.advice.gather import advise
from modelperf_plugin.dashboard import create_app, make_report
from modelperf_plugin.dashboard import later as computing
from modelperf_plugin.dashboard.later import MAX_KEPT, Computed, Later
from modelperf_plugin.dashboard.sums import score_sums
from modelperf_plugin.errors import MissingExtraError
from tests.asgi import Answer, ask
from tests.dashboard.conftest import HOSTILE

PATIENCE_SECONDS = 60.0


def eventually(ask_for: Callable[[], Computed | None]) -> Computed:
    """Return a value once it is computed."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (found := ask_for()) is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def complete(app: object, target: str) -> Answer:
    """Return a page once everything on it is computed."""
    until = time.monotonic() + PATIENCE_SECONDS
    while "pending" in (answer := ask(app, target)).text:
        assert time.monotonic() < until
        time.sleep(0.05)
    return answer


def test_a_value_is_computed_beside_the_call() -> None:
    """A call answers at once, with None until the value is there; it is computed once for all who ask meanwhile."""
    later, may_end, calls = Later(), threading.Event(), []

    def make(progress: Callable[[int, int], None]) -> str:
        calls.append(progress)
        assert may_end.wait(PATIENCE_SECONDS)
        return "done"

    assert [later.get("key", make) for _ in range(20)] == [None] * 20
    may_end.set()
    found = eventually(lambda: later.get("key", make))
    assert (found.value, found.failure) == ("done", None)
    assert later.get("key", make) == found
    assert len(calls) == 1


def test_an_old_value_is_shown_until_there_is_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that had something to show never goes back to waiting."""
    monkeypatch.setattr(computing, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(computing, "MIN_REST", 0.0)
    later = Later()
    numbers = iter(range(1_000_000))
    first = eventually(lambda: later.get("key", lambda _: next(numbers)))
    until = time.monotonic() + PATIENCE_SECONDS
    while (found := later.get("key", lambda _: next(numbers))) == first:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert found is not None
    assert found.value > first.value


def test_a_failure_is_a_value_that_says_why() -> None:
    """One of ours in its own words, any other without details; the next value is computed all the same."""
    later = Later()

    def lacking(_: object) -> None:
        raise MissingExtraError("savings", "analysis")

    def broken(_: object) -> None:
        raise ZeroDivisionError("secret")

    assert "analysis" in (eventually(lambda: later.get("lacking", lacking)).failure or "")
    failure = eventually(lambda: later.get("broken", broken)).failure
    assert failure is not None
    assert "secret" not in failure
    assert eventually(lambda: later.get("fine", lambda _: 1)).value == 1


def test_only_the_values_used_last_are_kept() -> None:
    """Whoever asks for many periods does not fill the memory."""
    later = Later()
    for key in range(MAX_KEPT + 5):
        eventually(partial(later.get, key, lambda _: "value"))
    assert later.get(0, lambda _: "again") is None
    assert later.get(MAX_KEPT + 4, lambda _: "again") is not None


def test_what_was_asked_for_last_is_computed_first() -> None:
    """A visitor does not wait for the periods that others have looked at; of those, only the last ones are computed."""
    later, has_begun, may_end, done = Later(), threading.Event(), threading.Event(), []

    def block(_: object) -> None:
        has_begun.set()
        assert may_end.wait(PATIENCE_SECONDS)

    assert later.get("first", block) is None
    assert has_begun.wait(PATIENCE_SECONDS)
    for key in (*range(MAX_KEPT + 5), 10):
        assert later.get(key, partial(lambda key, _: done.append(key), key)) is None
    may_end.set()
    eventually(lambda: later.get(5, lambda _: None) if len(done) == MAX_KEPT else None)
    assert done[:3] == [10, MAX_KEPT + 4, MAX_KEPT + 3]
    assert sorted(done) == list(range(5, MAX_KEPT + 5))


def test_a_computation_rests_while_requests_are_answered() -> None:
    """It continues once they are, or after some seconds."""
    later, is_resting, rested = Later(), threading.Event(), threading.Event()

    def make(progress: Callable[[int, int], None]) -> str:
        is_resting.set()
        progress(1, 1)
        rested.set()
        return "done"

    async def app(*_: object) -> None:
        assert later.get("key", make) is None
        assert not is_resting.wait(0.3)

    asyncio.run(later.counting(app)({}, None, None))  # type: ignore[arg-type]
    assert rested.wait(PATIENCE_SECONDS)


def test_the_overview_says_what_was_saved_and_what_to_change(engine: mp.ModelPerf) -> None:
    """At first that it is being computed; then against which model, and why there is no answer for others."""
    app = create_app(engine)
    first = ask(app, "/").text
    assert first.count('class="pending"') == 2
    text = complete(app, "/").text
    assert "What the policy has saved" in text
    assert re.search(r"[\d,]+ tasks since", text)
    assert "What to change" in text
    assert 'href="advice' in text


def test_savings_that_cannot_be_told_say_why(tmp_path: Path) -> None:
    """With few tasks, how many are needed; without outcomes there is nothing to say."""
    with mp.ModelPerf({}, store=tmp_path / "x.db", seed=1) as perf:
        assert "saved" not in ask(create_app(perf), "/").text
        decision = perf.select("t", ["a"])
        perf.record("t", "a", mp.Outcome(success=True), decision)
        assert "Cannot tell yet: 1 task with a known outcome" in complete(create_app(perf), "/").text
        assert "Cannot tell yet: 1 task with a known outcome" in make_report(perf)


def test_advice_has_evidence_effect_and_lines(engine: mp.ModelPerf) -> None:
    """Each finding as `modelperf advise` has it. Names stay text."""
    found = advise(engine)
    assert found
    app = create_app(engine)
    text = complete(app, "/advice").text
    assert text.count('class="finding"') == len(found)
    for heading in ("Evidence", "Change", "Effect"):
        assert text.count(f"<dt>{heading}</dt>") == len(found)
    assert HOSTILE not in text
    assert text.count("<pre") == sum((each.toml is not None) + (each.command is not None) for each in found)


def test_advice_on_one_task_type(tmp_path: Path) -> None:
    """Its own page names what concerns it, and links to that alone."""
    moment = datetime.now(UTC) - timedelta(hours=3)
    with mp.ModelPerf({}, store=tmp_path / "x.db", seed=1, clock=lambda: moment) as perf:
        for number in range(200):
            decision = perf.select(("silent", "sound")[number % 2], ["a", "b"])
            assert decision is not None
            if number % 2:
                perf.record("sound", decision.model_id, mp.Outcome(success=True, cost_usd=0.1), decision)
        perf.record("silent", "a", mp.Outcome(success=True, cost_usd=0.1))
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        app = create_app(perf)
        text = "are never reported"
        assert text in complete(app, "/advice").text
        assert text in ask(app, "/advice?task=silent").text
        assert text not in ask(app, "/advice?task=sound").text
        assert text in ask(app, "/task?name=silent").text
        assert 'href="advice?task=silent"' in ask(app, "/task?name=silent").text
        assert text not in ask(app, "/task?name=sound").text


def test_a_score_is_a_sum_that_a_reader_can_follow(engine: mp.ModelPerf) -> None:
    """What stands in the cells gives the score, to the digits that are shown; parts that no row has are left out."""
    decision = engine.explain("write-code")
    assert decision is not None
    sums = score_sums({row.model_id: row for row in decision.ranking})
    assert [row.name for row in sums.rows] == list(decision.ranking.model_ids)
    assert "own outcomes today" in sums.heads
    assert "merged sources" not in sums.heads
    for row, ranked in zip(sums.rows, decision.ranking, strict=True):
        parts = [re.fullmatch(r"([\d.e+-]+) at ([\d.]+).%", cell) for cell in row.cells]
        numbers = [(float(each[1]), float(each[2]) / 100) for each in parts if each]
        total = sum(outcomes for outcomes, _ in numbers)
        factors = [float(cell[2:]) for cell in row.cells if cell.startswith("×")]
        score = sum(outcomes * rate for outcomes, rate in numbers) / total
        for factor in factors:
            score *= factor
        assert score == pytest.approx(ranked.score, abs=0.002)


def test_pages_and_report_have_causes_and_sums(engine: mp.ModelPerf, filled: tuple[str, str]) -> None:
    """Of the choice now, and of a logged one as it was made."""
    app = create_app(engine)
    for target in ("/task?name=write-code", "/model?name=good", f"/decision?id={filled[1]}"):
        text = ask(app, target).text
        assert "How each score is made up" in text
        assert re.search(r"best|floor", re.sub(r"<h1.*?</h1>", "", text))
    assert "How each score is made up" in make_report(engine)
