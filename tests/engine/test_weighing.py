"""Weighing counts: fading by half-life, changes of models, timeouts as configured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.config import load
from modelperf_plugin.engine.weighing import VoidRows, WeighedCounts
from modelperf_plugin.store import Entry, Store
from modelperf_plugin.values import DAY_MS, MAX_SETS, LaterTries, Tally, Tried
from tests.clocks import FakeClock

SUCCESS, FAILURE = mp.Outcome(success=True), mp.Outcome(success=False)


def cell(store: Store, clock: FakeClock, model_id: str = "m", **sections: dict[str, Any]) -> tuple[float, float]:
    """Return the successes and failures of one model on task type t that count now."""
    config = load({"drift": {"half_life_days": 10}, **sections}).config
    today = int(clock().timestamp() // 86_400)
    weighed = WeighedCounts(config, store.tallies, store.tallies.all(), today)
    return weighed.cell(store.tallies.of("t")[model_id])


def test_later_tries_are_not_counted_as_first_tries(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """What a model did on tasks that others had failed is learned from elsewhere, success and failure alike."""
    for tried, outcome in (((), SUCCESS), ((), SUCCESS), ((), FAILURE), (("a",), SUCCESS), (("a", "b"), FAILURE)):
        perf.store.outcomes.record(Entry("t", "m", outcome, int(clock().timestamp() * 1000), tried))
    assert cell(perf.store, clock) == (2.0, 1.0)


def test_an_outcome_weighs_half_after_the_half_life(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """With ten days: 1 on its day, 1/2 after ten days, 1/4 after twenty; the tally itself never changes."""
    for _ in range(8):
        perf.record("t", "m", SUCCESS)
    perf.record("t", "m", FAILURE)
    for days, weight in ((0, 1.0), (10, 0.5), (10, 0.25)):
        clock.advance(days=days)
        assert cell(perf.store, clock) == pytest.approx((8 * weight, weight))
    assert perf.store.tallies.of("t")["m"].samples == 9


def test_the_half_life_can_be_changed_without_rewriting_history(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """The same file under another half-life: 5 days, 20 days, and 0 for "it weighs the same for ever"."""
    for _ in range(16):
        perf.record("t", "m", SUCCESS)
    clock.advance(days=20)
    weights = {5: 1 / 16, 20: 1 / 2, 0: 1.0}
    for half_life, weight in weights.items():
        assert cell(perf.store, clock, drift={"half_life_days": half_life})[0] == pytest.approx(16 * weight)


def test_scores_fade_while_a_host_runs_for_days(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Without new outcomes the score returns towards the prior, the interval widens, and the reason says so."""
    for number in range(100):
        perf.record("t", "m", mp.Outcome(success=number % 10 > 0))
    decision = perf.explain("t", ["m"])
    assert decision is not None
    before = decision.ranking[0]
    clock.advance(days=40)
    decision = perf.explain("t", ["m"])
    assert decision is not None
    after = decision.ranking[0]
    assert before.score is not None
    assert after.score is not None
    assert 0.5 < after.score < before.score
    assert before.interval is not None
    assert after.interval is not None
    assert after.interval[1] - after.interval[0] > 2 * (before.interval[1] - before.interval[0])
    assert "(90 of 100 succeeded; 6.277 from" in before.reason
    assert "(90 of 100 succeeded; 6.25 own today at 90.0 %, " in after.reason


def test_outcomes_before_a_change_do_not_count_and_later_ones_fade(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Of the day of a change only the later outcomes count, and they fade like any other."""
    for _ in range(10):
        perf.record("t", "m", SUCCESS)
    clock.advance(days=3)
    for _ in range(20):
        perf.record("t", "m", SUCCESS)
    newest = perf.store.events.last_id()
    now_ms = int(clock().timestamp() * 1000)
    perf.store.changes.add("m", "announced", (newest, newest), (now_ms, now_ms), None, {})
    for _ in range(4):
        perf.record("t", "m", FAILURE)
    assert cell(perf.store, clock) == pytest.approx((0, 4))
    clock.advance(days=10)
    perf.record("t", "m", FAILURE)
    assert cell(perf.store, clock) == pytest.approx((0, 4 * 0.5 + 1))


@pytest.mark.parametrize(("timeouts", "counted"), [("failure", (1, 4)), ("outage", (1, 2)), ("ignore", (1, 2))])
def test_failed_timeouts_count_as_configured(
    perf: mp.ModelPerf, clock: FakeClock, timeouts: str, counted: tuple[int, int]
) -> None:
    """A failed timeout counts against the model or not, as configured; a successful one is always a success."""
    perf.record("t", "m", mp.Outcome(success=True, timeout=True))
    for _ in range(2):
        perf.record("t", "m", mp.Outcome(success=False, timeout=True))
        perf.record("t", "m", FAILURE)
    perf.record("t", "m", mp.Outcome(success=False, timeout=True, error_kind="network"))
    assert cell(perf.store, clock, quality={"timeouts": timeouts}) == counted
    clock.advance(days=10)
    halves = (counted[0] / 2, counted[1] / 2)
    assert cell(perf.store, clock, quality={"timeouts": timeouts}) == pytest.approx(halves)


def test_sums_without_events_do_not_fade(perf: mp.ModelPerf, clock: FakeClock, tmp_path: Path) -> None:
    """Imported sums have no dates, so they count in full."""
    import sqlite3

    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("INSERT INTO model_stats (task_type, model_id, successes, failures) VALUES ('t', 'm', 7, 3)")
    connection.close()
    perf.record("t", "m", SUCCESS)
    clock.advance(days=10)
    assert cell(perf.store, clock) == pytest.approx((7.5, 3))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40),
    st.sampled_from([0.0, 0.5, 7.0, 30.0]),
)
def test_fading_is_the_sum_over_all_outcomes(outcomes: list[tuple[int, bool]], half_life: float) -> None:
    """The daily roll-up gives the same as weighing each outcome by 2^(−age/half-life)."""
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with mp.ModelPerformanceTracker(":memory:") as tracker:
        store = tracker.store
        for age, success in outcomes:
            ended = start - timedelta(days=age)
            tracker.record_outcome("t", "m", mp.Outcome(success=success, timestamp=ended))
        config = load({"drift": {"half_life_days": half_life}}).config
        today = int(start.timestamp() * 1000) // DAY_MS
        weighed = WeighedCounts(config, store.tallies, store.tallies.all(), today)
        tally = store.tallies.of("t").get("m") or mp.Tally("t", "m")
        weights = [1.0 if half_life == 0 else 0.5 ** (age / half_life) for age, _ in outcomes]
        expected = [
            sum(weight for weight, (_, success) in zip(weights, outcomes, strict=True) if success is wanted)
            for wanted in (True, False)
        ]
        assert weighed.cell(tally) == pytest.approx(tuple(expected), abs=1e-9)


def test_void_counts_of_rows_are_kept_as_they_were_read(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Weights from kept void counts are those from the file, before and after a change of a model."""
    for model_id in ("m", "other", "new"):
        for number in range(6):
            perf.record("t", model_id, SUCCESS if number % 3 else FAILURE)
        clock.advance(days=0 if model_id == "other" else 4)
        if model_id == "other":
            perf.store.changes.add("m", "down", (0, 12), (0, int(clock().timestamp() * 1000)), 1.0, {"t": 0.25})
    config = load({"drift": {"half_life_days": 10}}).config
    today = int(clock().timestamp() // 86_400)
    tallies = perf.store.tallies.of("t")
    read = WeighedCounts(config, perf.store.tallies, tallies.values(), today)
    rows = VoidRows()
    rows.put("t", read.voids(tallies.values()))
    known = rows.get("t")
    assert known is not None
    kept = WeighedCounts(config, perf.store.tallies, (), today, known=known)
    assert kept.row("t", tallies) == read.row("t", tallies)
    assert [kept.weight(tally) for tally in tallies.values()] == [read.weight(tally) for tally in tallies.values()]
    assert rows.get("u") is None
    rows.expire()
    assert rows.get("t") is None


def test_of_many_sets_those_with_the_most_tries_count(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A row takes a bounded time however many sets of failed models there are; how tries ended decides nothing."""
    sets: dict[Tried, LaterTries] = {
        (f"a{number:03}",): LaterTries(number % 2, 1 + number // 2 - number % 2) for number in range(4 * MAX_SETS)
    }
    weighed = WeighedCounts(load({}).config, perf.store.tallies, (), int(clock().timestamp() // 86_400))
    later = weighed.later(Tally("t", "m"), sets)
    assert len(later) == MAX_SETS
    assert min(map(sum, later.values())) >= max(sum(tries[:2]) for tried, tries in sets.items() if tried not in later)
    few = dict(list(sets.items())[:MAX_SETS])
    assert weighed.later(Tally("t", "m"), few) == {tried: tries[:2] for tried, tries in few.items()}
