"""The document's tracker: its four methods with its semantics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store import Entry
from modelperf_plugin.values import ERROR_KINDS, Outcome, to_milliseconds

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[ModelPerformanceTracker]:
    """Return a tracker with an empty file and a clock that stands at noon."""
    with ModelPerformanceTracker(tmp_path / "tracker.db", clock=lambda: NOON) as opened:
        yield opened


def record(tracker: ModelPerformanceTracker, model_id: str, successes: int, failures: int) -> None:
    """Record outcomes of one task type."""
    for number in range(successes + failures):
        tracker.record_outcome("execute-task", model_id, Outcome(success=number < successes))


def test_later_tries_count_like_first_tries(tracker: ModelPerformanceTracker) -> None:
    """The document's rules know no tasks: a failure on one that others had failed counts like any other."""
    for model_id, successes, tried in (("fallback", 1, ("first",)), ("first", 2, ())):
        record(tracker, model_id, successes, 1)
        for _ in range(3):
            entry = Entry("execute-task", model_id, Outcome(success=not tried), to_milliseconds(NOON), tried)
            tracker.store.outcomes.record(entry)
    rates = [tally.success_rate for tally in tracker.get_ranked_models("execute-task")]
    assert rates == [5 / 6, 1 / 5]
    assert tracker.should_demote("execute-task", "fallback", threshold=0.4)


def test_fallbacks_that_solve_much_rank_first(tracker: ModelPerformanceTracker) -> None:
    """Successes of later tries count as well."""
    record(tracker, "first", 2, 1)
    record(tracker, "fallback", 0, 1)
    for _ in range(9):
        entry = Entry("execute-task", "fallback", Outcome(success=True), to_milliseconds(NOON), ("first",))
        tracker.store.outcomes.record(entry)
    assert [tally.model_id for tally in tracker.get_ranked_models("execute-task")] == ["fallback", "first"]


def test_a_recorded_outcome_is_there_after_reopening(tmp_path: Path) -> None:
    """What was recorded outlives the tracker that recorded it."""
    path = tmp_path / "sub" / "tracker.db"
    with ModelPerformanceTracker(path) as tracker:
        assert tracker.record_outcome("execute-task", "gpt-4o", {"success": True, "tokensUsed": 100})
    with ModelPerformanceTracker(str(path)) as tracker:
        (tally,) = tracker.get_ranked_models("execute-task", min_samples=1)
    assert (tally.model_id, tally.successes, tally.total_tokens) == ("gpt-4o", 1, 100)


def test_ranking_is_by_success_rate_and_leaves_out_the_unproven(tracker: ModelPerformanceTracker) -> None:
    """Models with at least ``min_samples`` (3) outcomes, the highest success rate first; ties by more outcomes."""
    record(tracker, "half", 5, 5)
    record(tracker, "good", 3, 1)
    record(tracker, "new", 2, 0)
    record(tracker, "also-half", 2, 2)
    ranked = tracker.get_ranked_models("execute-task")
    assert [(each.model_id, each.success_rate) for each in ranked] == [
        ("good", 0.75),
        ("half", 0.5),
        ("also-half", 0.5),
    ]
    assert tracker.get_ranked_models("execute-task", min_samples=2)[0].model_id == "new"
    assert tracker.get_ranked_models("unknown") == []


def test_demotion_is_below_the_threshold_with_enough_samples(tracker: ModelPerformanceTracker) -> None:
    """A model is to be demoted below the threshold, not at it, and never before ``min_samples`` outcomes."""
    record(tracker, "bad", 1, 3)
    record(tracker, "even", 2, 2)
    record(tracker, "new", 0, 2)
    assert tracker.should_demote("execute-task", "bad")
    assert not tracker.should_demote("execute-task", "even")
    assert not tracker.should_demote("execute-task", "new")
    assert tracker.should_demote("execute-task", "new", min_samples=2)
    assert tracker.should_demote("execute-task", "even", threshold=0.6)
    assert not tracker.should_demote("execute-task", "never-seen")
    assert not tracker.should_demote("other-task", "bad")


def test_ab_candidates(tracker: ModelPerformanceTracker) -> None:
    """The incumbent ranks first, the challenger has the fewest outcomes of the others; None below two models."""
    assert tracker.get_ab_test_candidates("execute-task") is None
    record(tracker, "best", 9, 1)
    assert tracker.get_ab_test_candidates("execute-task") is None
    record(tracker, "second", 5, 5)
    record(tracker, "newest", 1, 0)
    assert tracker.get_ab_test_candidates("execute-task") == ("best", "newest")
    assert tracker.get_ab_test_candidates("execute-task", incumbent="second") == ("second", "newest")
    assert tracker.get_ab_test_candidates("execute-task", min_samples=50) == ("best", "newest")


def test_an_outcome_without_a_time_gets_the_clocks(tracker: ModelPerformanceTracker) -> None:
    """The clock stamps outcomes that come without a time, and only those."""
    early = datetime(2025, 6, 1, tzinfo=UTC)
    tracker.record_outcome("a", "m", Outcome(success=True))
    tracker.record_outcome("b", "m", Outcome(success=True, timestamp=early))
    assert [tally.last_used for tally in tracker.store.tallies.all()] == [NOON, early]


@pytest.mark.parametrize(
    ("task_type", "model_id", "outcome", "field"),
    [
        ("", "m", Outcome(success=True), "task_type"),
        ("t", "\x00", Outcome(success=True), "model_id"),
        ("t", "m", None, "outcome"),
        ("t", "m", {"success": True, "cost": 1}, "outcome"),
        ("t", "m", {"success": True, "cost_usd": -1}, "cost_usd"),
    ],
)
def test_bad_values_write_nothing(
    tracker: ModelPerformanceTracker, task_type: str, model_id: str, outcome: Outcome, field: str
) -> None:
    """A bad value is one error that names the field; nothing is written."""
    with pytest.raises(InvalidValueError, match=f"^{field}"):
        tracker.record_outcome(task_type, model_id, outcome)
    assert tracker.store.tallies.all() == []


def test_bad_arguments_of_questions_are_named() -> None:
    """``min_samples``, ``threshold`` and a clock without a timezone are refused with the value given."""
    with ModelPerformanceTracker(":memory:") as tracker:
        with pytest.raises(InvalidValueError, match="min_samples must be a whole number of 1 or more, but got 0"):
            tracker.get_ranked_models("t", min_samples=0)
        with pytest.raises(InvalidValueError, match="threshold must be a number between 0 and 1, but got 75"):
            tracker.should_demote("t", "m", threshold=75)
    naive = ModelPerformanceTracker(":memory:", clock=lambda: NOON.replace(tzinfo=None))
    with naive, pytest.raises(InvalidValueError, match="clock must be a function that returns an aware datetime"):
        naive.record_outcome("t", "m", Outcome(success=True))


def test_many_are_recorded_together(tmp_path: Path) -> None:
    """The sums are the same as one by one; outcomes with a known id are skipped."""
    outcomes: list[tuple[str, str, Outcome | dict[str, Any]]] = [
        (f"t-{number % 3}", f"m-{number % 5}", {"success": number % 2 > 0, "costUsd": 0.1, "tokensUsed": number})
        for number in range(60)
    ]
    kinds = [Outcome(success=False, error_kind=kind, timeout=True, duration_seconds=0.5) for kind in ERROR_KINDS]
    outcomes += [("t-0", "m-0", outcome) for outcome in kinds]
    outcomes += [("t-0", "m-0", Outcome(success=True, outcome_id=outcome_id)) for outcome_id in ("a", "b", "a")]
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    with ModelPerformanceTracker(tmp_path / "together.db", clock=lambda: moment) as together:
        together.record_outcome("t-0", "m-0", Outcome(success=True, outcome_id="b"))
        assert together.record_many(outcomes) == 60 + len(kinds) + 1
        assert together.record_many([]) == 0
        assert all(finding.ok for finding in together.store.maintenance.check())
        with ModelPerformanceTracker(tmp_path / "alone.db", clock=lambda: moment) as alone:
            alone.record_outcome("t-0", "m-0", Outcome(success=True, outcome_id="b"))
            for outcome in outcomes:
                alone.record_outcome(*outcome)
            assert alone.store.tallies.all() == together.store.tallies.all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("t", "m", {"success": 2}), r"outcomes\[1\]: success must be True or False"),
        (("", "m", {"success": True}), r"outcomes\[1\]: task_type must be 1 to 512 characters long"),
        ((["t"], "m", {"success": True}), r"outcomes\[1\] must be a task type, a model id and an outcome"),
        (("t", "m"), r"outcomes\[1\] must be a task type, a model id and an outcome, but got a tuple of 2 items"),
        (None, r"outcomes\[1\] must be a task type, a model id and an outcome, but got None"),
    ],
)
def test_one_bad_outcome_and_none_is_written(tmp_path: Path, wrong: Any, message: str) -> None:
    """The error names the position of a bad value, and none of the outcomes is written."""
    good = ("t", "m", Outcome(success=True))
    with ModelPerformanceTracker(tmp_path / "x.db") as tracker:
        with pytest.raises(InvalidValueError, match=message):
            tracker.record_many([good, wrong, good])
        assert tracker.store.tallies.all() == []
