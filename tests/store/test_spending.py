"""What outcomes have cost: by event, by day and by shorter steps, the same in every way of asking."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

import modelperf_plugin as mp
from modelperf_plugin.store import Store, open_store
from modelperf_plugin.store.sqlite.store import open_sqlite_read_only
from modelperf_plugin.values import DAY_MS, to_milliseconds

STEP_MS = 900_000
START = datetime(2026, 3, 1, tzinfo=UTC)
PAIRS = [("t", "a"), ("t", "b"), ("u", "a")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a store with outcomes of three days, in no order."""
    path = tmp_path / "x.db"
    numbers = Random(1)
    with mp.ModelPerf(store=path) as perf:
        perf.record_many(
            (*numbers.choice(PAIRS), mp.Outcome(success=True, cost_usd=numbers.random(), timestamp=moment))
            for moment in [START + timedelta(days=3 * numbers.random()) for _ in range(200)]
        )
    return path


def sums(store: Store, step_ms: int, task_type: str | None, model_id: str | None) -> Counter[tuple[int, str]]:
    """Return outcomes and costs by step, from the single outcomes."""
    found: Counter[tuple[int, str]] = Counter()
    for event in store.spending.after(0, 1000, 0):
        if task_type in {None, event.task_type}:
            step = event.ended_ms // step_ms
            found[step, "outcomes"] += 1
            found[step, "cost"] += event.cost_nano_usd if model_id in {None, event.model_id} else 0
    return found


@pytest.mark.parametrize("only", [(None, None), ("t", None), (None, "a"), ("u", "b")])
def test_days_and_steps_are_the_sums_of_outcomes(path: Path, only: tuple[str | None, str | None]) -> None:
    """Outcomes of the task type are counted, and of the costs those of the model."""
    since_ms = to_milliseconds(START)
    for opened in (open_store(str(path)), open_sqlite_read_only(str(path))):
        with closing(opened) as store:
            by_day = store.spending.by_day(since_ms // DAY_MS, *only)
            by_step = store.spending.by_step(STEP_MS, since_ms, 1000, *only)
            assert by_day.position == by_step.position == 200
            for step_ms, read in ((DAY_MS, by_day), (STEP_MS, by_step)):
                expected = sums(store, step_ms, *only)
                assert {step: outcomes for step, outcomes, _ in read.steps} == {
                    step: number for (step, what), number in expected.items() if what == "outcomes"
                }
                assert sum(cost for _, _, cost in read.steps) == sum(
                    number for (_, what), number in expected.items() if what == "cost"
                )


def test_only_what_is_asked_for_is_read(path: Path) -> None:
    """Later days, the newest outcomes, and those after a number."""
    with closing(open_store(str(path))) as store:
        last_day = to_milliseconds(START) // DAY_MS + 2
        assert [step for step, _, _ in store.spending.by_day(last_day).steps] == [last_day]
        assert sum(outcomes for _, outcomes, _ in store.spending.by_step(STEP_MS, 0, 50).steps) == 50
        assert [event.event_id for event in store.spending.after(198, 10, 0)] == [199, 200]


def test_the_revision_changes_with_what_others_record(path: Path) -> None:
    """It stays the same with own outcomes."""
    with closing(open_store(str(path))) as one, mp.ModelPerf(store=path) as other:
        one.tallies.of("t")
        before = one.tallies.revision
        one.tallies.of("t")
        assert one.tallies.revision == before
        other.record("t", "a", mp.Outcome(success=True))
        one.tallies.of("t")
        assert one.tallies.revision != before
        mine = other.store.tallies.revision
        other.record("t", "a", mp.Outcome(success=True))
        other.store.tallies.of("t")
        assert other.store.tallies.revision == mine


def test_costs_can_be_read_as_of_any_correction(tmp_path: Path) -> None:
    """Together with the corrections after it they are the costs that count; so nothing is missed between two reads."""
    with mp.ModelPerf(store=tmp_path / "x.db") as perf:
        for cost in (1.0, 2.0, 4.0):
            for name in ("x", "y"):
                perf.record("t", name, mp.Outcome(success=True, cost_usd=cost, outcome_id=name, timestamp=START))
        perf.record("t", "x", mp.Outcome(success=False, outcome_id="x", timestamp=START))
        spending = perf.store.spending
        (day,) = (sums := spending.by_day(0)).steps
        assert (sums.corrected, day[2]) == (5, 8_000_000_000)
        for corrected in range(6):
            costs = {event.event_id: event.cost_nano_usd for event in spending.after(0, 10, corrected)}
            for number, event, former_nano_usd in spending.corrections(corrected, 10):
                assert number > corrected
                assert costs[event.event_id] == former_nano_usd
                costs[event.event_id] = event.cost_nano_usd
            assert list(costs.values()) == [4_000_000_000] * 2
