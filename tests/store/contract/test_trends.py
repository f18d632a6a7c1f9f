"""What a store promises to those who look at it over time."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.store import (
    Days,
    DecisionOutcome,
    DecisionRecord,
    DecisionSearch,
    Entry,
    LatestChoice,
    PolicyUse,
    Store,
    open_store,
)
from modelperf_plugin.values import DAY_MS, Outcome, Tally

TODAY = 20_000
NOW_MS = TODAY * DAY_MS + 43_200_000


def decide(store: Store, number: int, *, made_ms: int, model_id: str = "a", task_type: str = "t", **how: int) -> str:
    """Keep a decision, and if ``success`` is given its outcome; return its id."""
    decision_id = f"{number:020d}"
    mode = "observe" if how.get("observe") else "apply"
    record = '{"ranking_strategy":"posterior","reason":"best","candidates":[],"excluded":[]}'
    explored = bool(how.get("explored"))
    made = DecisionRecord(decision_id, made_ms, task_type, model_id, 0.9, explored, 0.1, mode, "p", record)
    outcome = Outcome(success=bool(how.get("success")), cost_usd=0.5)
    ended = [DecisionOutcome(decision_id, model_id, outcome, made_ms + 1)] if "success" in how else []
    store.decisions.write([made], ended)
    return decision_id


def test_steps_are_counted_back_from_the_end() -> None:
    """Every day belongs to one step; only the first may be shorter."""
    days = Days(0, 10, 3)
    assert days.steps == 4
    assert [days.of(position) for position in range(4)] == [Days(0, 1), Days(1, 4), Days(4, 7), Days(7, 10)]


def test_later_tries_are_part_of_every_count(store: Store) -> None:
    """Totals and series, of pairs and of task types, know how many of their outcomes were later tries."""
    outcomes = [(True, ()), (False, ()), (True, ("b",)), (False, ("b",)), (False, ("b", "c"))]
    for success, tried in outcomes:
        outcome = Outcome(success=success, timeout=not success)
        store.outcomes.record(Entry("t", "a", outcome, NOW_MS, tried=tried))
    store.outcomes.record(Entry("t", "a", Outcome(success=False, error_kind="network"), NOW_MS, tried=("b",)))
    days = Days(TODAY, TODAY + 1)
    (total,), (of_task_type,) = store.trends.totals(days), store.trends.totals_of_task_types(days)
    (step,), (of_step,) = store.trends.series(days), store.trends.series_of_task_types(days)
    for tally in (total, of_task_type, step.tally, of_step.tally):
        assert (tally.successes, tally.quality_failures) == (2, 3)
        assert (tally.later_successes, tally.later_failures, tally.later_timeout_failures) == (1, 2, 2)


recorded = st.lists(
    st.tuples(
        st.sampled_from(["plan", "build"]),
        st.sampled_from(["a", "b", 'c" OR 1=1']),
        st.booleans(),
        st.sampled_from([None, "rate_limit", "cancelled", "other"]),
        st.integers(TODAY - 40, TODAY + 1),
    ),
    max_size=40,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=recorded, length=st.integers(1, 30), step=st.sampled_from([1, 2, 6, 7, 8]))
def test_every_outcome_is_in_its_step(rows: list[tuple[str, str, bool, None, int]], length: int, step: int) -> None:
    """Totals and series are the sums of the outcomes of these days, whatever the steps and the grouping."""
    days = Days(TODAY + 1 - length, TODAY + 1, step)
    expected: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    store = open_store(":memory:")
    for task_type, model_id, success, kind, day in rows:
        outcome = Outcome(success=success, error_kind=kind, cost_usd=0.25)
        store.outcomes.record(Entry(task_type, model_id, outcome, day * DAY_MS + 5))
        if days.first <= day < days.end:
            (position,) = [each for each in range(days.steps) if days.of(each).first <= day < days.of(each).end]
            expected[task_type, model_id][position][1 - success] += 1
    found: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(dict)
    for each in store.trends.series(days):
        found[each.tally[:2]][each.position] = [each.tally.successes, each.tally.failures]
    assert found == expected
    totals = {tally[:2]: [tally.successes, tally.failures] for tally in store.trends.totals(days)}
    assert totals == {pair: [sum(column) for column in zip(*by.values(), strict=True)] for pair, by in expected.items()}
    by_task: dict[tuple[str, int], int] = defaultdict(int)
    for (task_type, _), by in expected.items():
        for position, counts in by.items():
            by_task[task_type, position] += sum(counts)
    steps = store.trends.series_of_task_types(days)
    assert {(each.tally.task_type, each.position): each.tally.samples for each in steps} == by_task
    assert all(each.tally.model_id == "" and each.tally.priced == each.tally.samples for each in steps)
    of_tasks = {tally.task_type: tally.samples for tally in store.trends.totals_of_task_types(days)}
    assert sum(of_tasks.values()) == sum(by_task.values())
    store.close()


def test_series_can_be_narrowed_down(store: Store) -> None:
    """By task type, by a list of models, by both; an empty list is no model."""
    for task_type in ("plan", "build"):
        for model_id in ("a", "b", "it's"):
            store.outcomes.record(Entry(task_type, model_id, Outcome(success=True), NOW_MS))
    days = Days(TODAY, TODAY + 1)

    def pairs(task_type: str | None, models: list[str] | None) -> list[tuple[str, ...]]:
        return [each.tally[:2] for each in store.trends.series(days, task_type, models)]

    assert pairs("plan", None) == [("plan", "a"), ("plan", "b"), ("plan", "it's")]
    assert pairs(None, ["it's"]) == [("build", "it's"), ("plan", "it's")]
    assert pairs("build", ["a", "b"]) == [("build", "a"), ("build", "b")]
    assert pairs("build", []) == []
    assert [tally[:2] for tally in store.trends.totals(days, model_id="it's")] == [("build", "it's"), ("plan", "it's")]


def test_imported_sums_belong_to_no_day(store: Store) -> None:
    """What came as sums has no days; a pair that has nothing else is in no trend."""
    assert store.trends.totals(Days(0, TODAY)) == []
    assert store.trends.series_of_task_types(Days(0, TODAY, 30)) == []


def test_decisions_are_summed_by_task_type_and_mode(store: Store) -> None:
    """Counts, what was spent on exploring, and which are overdue: all of the days asked for, and no others."""
    decide(store, 1, made_ms=NOW_MS, success=1)
    decide(store, 2, made_ms=NOW_MS - 1, success=0, explored=1)
    decide(store, 3, made_ms=NOW_MS - 2 * 3_600_000)
    decide(store, 4, made_ms=NOW_MS)
    decide(store, 5, made_ms=NOW_MS, observe=1)
    decide(store, 6, made_ms=NOW_MS - 3 * DAY_MS, success=1)
    sums = store.trends.decision_sums(Days(TODAY, TODAY + 1), NOW_MS)
    assert [each[:6] for each in sums] == [("t", "apply", 4, 2, 1, 1), ("t", "observe", 1, 0, 0, 0)]
    assert (sums[0].cost_nano_usd, sums[0].explored_cost_nano_usd) == (1_000_000_000, 500_000_000)
    assert sums[0].exploring == pytest.approx(0.4)
    assert sums[0].oldest_ms == NOW_MS - 2 * 3_600_000


def test_the_latest_choice_is_the_last_unbroken_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exploring does not interrupt it, another choice does; without one the log begins with it."""
    for number, (model_id, explored) in enumerate([("a", 0), ("b", 0), ("a", 0), ("c", 1), ("a", 0)]):
        decide(store, number, made_ms=NOW_MS + number, model_id=model_id, explored=explored)
    days = Days(TODAY, TODAY + 1)
    assert store.choices.latest_choices(days) == [LatestChoice("t", "a", NOW_MS + 2, 2, is_first=False)]
    monkeypatch.setattr("modelperf_plugin.store.read_trends.MAX_SAMPLED_DECISIONS", 2)
    assert store.choices.latest_choices(days) == [LatestChoice("t", "a", NOW_MS + 4, 1, is_first=True)]
    assert store.choices.latest_choices(Days(TODAY + 1, TODAY + 2)) == []


def test_only_the_newest_decisions_are_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more decisions than are sampled, the newest count; a filter chooses among them, not beyond them."""
    monkeypatch.setattr("modelperf_plugin.store.read_trends.MAX_SAMPLED_DECISIONS", 3)
    ids = [decide(store, number, made_ms=NOW_MS + number, model_id="ab"[number % 2]) for number in range(6)]
    days = Days(TODAY, TODAY + 1)
    assert sum(each.decisions for each in store.trends.decision_sums(days, NOW_MS)) == 3
    assert [each.decision_id for each in store.trends.decisions(days)] == ids[:2:-1]
    assert [each.decision_id for each in store.trends.decisions(days, model_id="a")] == [ids[4]]
    assert [each.decision_id for each in store.trends.decisions(days, limit=1)] == [ids[5]]
    assert store.trends.decisions(days, "other") == []
    assert store.trends.decisions(Days(TODAY + 1, TODAY + 2)) == []


def test_policies_are_known_since_their_first_decision(store: Store) -> None:
    """On each task type, oldest first."""
    for number, (task_type, policy_id) in enumerate([("t", "p"), ("u", "p"), ("t", "q"), ("t", "p")]):
        record = DecisionRecord(
            f"d{number}", NOW_MS + number, task_type, "a", 1.0, False, 0.0, "apply", policy_id, "{}"
        )
        store.decisions.write([record], [])
    days = Days(TODAY, TODAY + 1)
    expected = [PolicyUse("t", "p", NOW_MS), PolicyUse("t", "q", NOW_MS + 2), PolicyUse("u", "p", NOW_MS + 1)]
    assert store.choices.policies(days) == expected
    assert store.choices.policies(Days(TODAY + 1, TODAY + 2)) == []


def test_decisions_are_found_by_what_they_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By task type, model, exploring, ending and a part of a name; in any order, a page at a time, the newest only."""
    ids = [
        decide(store, 0, made_ms=NOW_MS, model_id="a", success=1),
        decide(store, 1, made_ms=NOW_MS + 1, model_id="b", success=0, explored=1),
        decide(store, 2, made_ms=NOW_MS + 2, model_id="a", task_type="Résumé"),
        decide(store, 3, made_ms=NOW_MS + 3, model_id="b", success=0),
    ]
    store.decisions.write([], [DecisionOutcome(ids[3], "a", Outcome(success=True), NOW_MS + 9)])

    def found(**search: Any) -> list[int]:
        matches = store.trends.search(DecisionSearch(NOW_MS, NOW_MS + 10, **search)).decisions
        return [int(each.decision_id) for each in matches]

    assert found() == [3, 2, 1, 0]
    assert found(task_type="t") == [3, 1, 0]
    assert found(models=("a",)) == [2, 0]
    assert found(models=()) == []
    assert found(explored=True) == [1]
    assert found(explored=False, models=("b",)) == [3]
    assert found(ending="succeeded") == [3, 0]
    assert found(ending="failed") == [1]
    assert found(ending="none") == [2]
    assert found(text="RéSUM") == [2]
    assert found(text="00003") == [3]
    assert found(text="%") == []
    assert found(order="oldest") == [0, 1, 2, 3]
    assert found(order="costliest") == [3, 1, 0, 2]
    assert found(offset=1, limit=2) == [2, 1]
    assert found(offset=9) == []
    assert store.trends.search(DecisionSearch(NOW_MS, NOW_MS + 3, limit=1))[1:] == (3, 3, NOW_MS)
    monkeypatch.setattr("modelperf_plugin.store.read_trends.MAX_SAMPLED_DECISIONS", 2)
    assert store.trends.search(DecisionSearch(NOW_MS, NOW_MS + 10))[1:] == (2, 2, NOW_MS + 2)
    assert store.trends.search(DecisionSearch(0, 1)) == ([], 0, 0, None)


def test_a_tally_of_days_does_not_know_when_it_was_used(store: Store) -> None:
    """Days are not moments."""
    store.outcomes.record(Entry("t", "a", Outcome(success=True, tokens_used=7), NOW_MS))
    assert store.trends.totals(Days(TODAY, TODAY + 1)) == [Tally("t", "a", successes=1, total_tokens=7)]
