"""One task with all its tries, whichever of its decisions is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis.views.tasks import (
    MAX_DECISIONS,
    LoggedTask,
    Try,
    plan_text,
    steps_of,
    task_of,
    with_tasks,
)
from modelperf_plugin.store import DecisionRecord, FormerVerdict, JoinedOutcome, LoggedCandidate, LoggedDecision
from modelperf_plugin.values import Exclusion, PlannedTry, to_milliseconds

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
NOW_MS = to_milliseconds(NOW)
MODELS = ["a", "b", "c"]


@pytest.fixture
def engine() -> Iterator[mp.ModelPerf]:
    """Return an engine that is asked for a task again and again, a second apart."""
    moments = iter(NOW + timedelta(seconds=second) for second in range(10_000))
    with mp.ModelPerf({}, store=":memory:", seed=1, clock=lambda: next(moments)) as opened:
        yield opened


def choose(engine: mp.ModelPerf, **context: Any) -> mp.Decision:
    """Let a host choose."""
    decision = engine.select("fix", MODELS, context)
    assert decision is not None
    return decision


def report(engine: mp.ModelPerf, decision: mp.Decision, *successes: bool, **more: Any) -> None:
    """Report the tries of a decision, in its order."""
    for model_id, success in zip(decision, successes, strict=False):
        engine.record("fix", model_id, mp.Outcome(success=success, **more), decision)


def task(engine: mp.ModelPerf, decision: mp.Decision) -> LoggedTask:
    """Return the task of a decision, from the log."""
    logged = engine.store.decisions.get(decision.decision_id)
    assert logged is not None
    return task_of(engine.store.decisions, logged)


def logged(decision_id: str = "d1", *tries: JoinedOutcome, **fields: Any) -> LoggedDecision:
    """Return a decision as the log has it."""
    given: dict[str, Any] = {
        "made_ms": NOW_MS, "task_type": "fix", "model_id": "a", "propensity": 1.0, "explored": False, "exploring": 0.0,
        "mode": "apply", "policy_id": "p", "ranking_strategy": "posterior", "reason": "the best", "candidates": (),
        "excluded": (), "outcome": tries[0] if tries else None, "tries": tries,
    }  # fmt: skip
    return LoggedDecision(decision_id=decision_id, **{**given, **fields})


def ended(model_id: str, *, success: bool = False, after_s: int = 1) -> JoinedOutcome:
    """Return the outcome of a try."""
    return JoinedOutcome(model_id, NOW_MS + 1000 * after_s, success, False, 100, 10_000_000, None, 1500)


def of(*decisions: LoggedDecision) -> LoggedTask:
    """Return the task of these decisions."""
    return LoggedTask(decisions=decisions, is_complete=True)


def test_a_task_that_a_fallback_solved_is_solved(engine: mp.ModelPerf) -> None:
    """It ends with the try that solved it; what it cost is what all tries cost."""
    decision = choose(engine)
    report(engine, decision, False, True, cost_usd=0.01, tokens_used=500, duration_seconds=2.5)
    seen = task(engine, decision)
    assert [(each.number, each.outcome.model_id) for each in seen.tries] == [(1, decision[0]), (2, decision[1])]
    assert seen.ending(NOW_MS) == "solved by the 2nd try"
    assert seen.usage == "5.0 s, 1k tokens, $0.0200"
    as_json = seen.as_dict(NOW_MS)
    assert (as_json["state"], as_json["solved_by"], as_json["complete"]) == ("solved", 2, True)
    assert (as_json["tokens_used"], as_json["cost_usd"], as_json["duration_seconds"]) == (1000, 0.02, 5.0)
    assert [each["number"] for each in as_json["tries"]] == [1, 2]


def test_decisions_of_one_task_are_joined_in_both_directions(engine: mp.ModelPerf) -> None:
    """A chain of retries is one task, whichever decision is asked for; other decisions are not part of it."""
    first = choose(engine)
    report(engine, first, False)
    second = choose(engine, retry_of=first)
    report(engine, second, False)
    third = choose(engine, retry_of=second.decision_id)
    report(engine, third, True)
    other = choose(engine)
    report(engine, other, True)
    ids = [each.decision_id for each in (first, second, third)]
    for decision in (first, second, third):
        seen = task(engine, decision)
        assert [each.decision_id for each in seen.decisions] == ids
        assert [each.decision_id for each in seen.tries] == ids
        assert seen.ending(NOW_MS) == "solved by the 3rd try"
        assert seen.is_complete
    assert task(engine, other).ending(NOW_MS) == "succeeded"
    rows = with_tasks(engine.store.decisions, engine.store.decisions.newest())
    assert [row.decision.decision_id for row in rows] == [other.decision_id, *reversed(ids)]
    assert len({id(row.task) for row in rows}) == 2


def test_retries_side_by_side_belong_to_one_task(engine: mp.ModelPerf) -> None:
    """Two decisions may follow the same one."""
    first = choose(engine)
    report(engine, first, False)
    left, right = choose(engine, retry_of=first), choose(engine, retry_of=first)
    report(engine, left, False)
    report(engine, right, True)
    for decision in (first, left, right):
        assert len(task(engine, decision).decisions) == 3


def test_a_decision_that_left_the_log_is_missed(engine: mp.ModelPerf) -> None:
    """Its tries are still counted, as far as the log knows about them."""
    first = choose(engine)
    report(engine, first, False)
    second = choose(engine, retry_of=first)
    report(engine, second, True)
    assert engine.store.decisions.forget(to_milliseconds(second.created_at)) == 1
    seen = task(engine, second)
    assert not seen.is_complete
    assert seen.ending(NOW_MS) == "solved by the 2nd try"


def test_a_task_is_bounded(engine: mp.ModelPerf) -> None:
    """A chain without end, and decisions that follow each other in a circle, are cut."""
    model = DecisionRecord.of(choose(engine))
    chain = [
        model._replace(decision_id=f"chain-{number}", made_ms=NOW_MS + number, retry_of=f"chain-{number - 1}")
        for number in range(100)
    ]
    circle = [model._replace(decision_id=f"circle-{number}", retry_of=f"circle-{1 - number}") for number in (0, 1)]
    engine.store.decisions.write([*chain, *circle], [])
    for decision_id, decisions in (("chain-0", MAX_DECISIONS), ("chain-50", MAX_DECISIONS), ("circle-0", 2)):
        found = engine.store.decisions.get(decision_id)
        assert found is not None
        seen = task_of(engine.store.decisions, found)
        assert decision_id in {each.decision_id for each in seen.decisions}
        assert len(seen.decisions) == decisions
        assert not seen.is_complete


def test_one_try_reads_as_before() -> None:
    """Whoever tries once reads succeeded or failed."""
    assert of(logged("d", ended("a", success=True))).ending(NOW_MS) == "succeeded"
    assert of(logged("d", ended("a"))).ending(NOW_MS) == "failed"
    assert of(logged("d")).ending(NOW_MS) == "open"


def test_a_task_is_open_while_a_try_is_due() -> None:
    """A planned try, or a retry, that may still be reported keeps it open for an hour."""
    plan = (PlannedTry("a", 1.0, 0.5, 0.01), PlannedTry("b", 0.5, 0.4, 0.1))
    planned = of(logged("d", ended("a"), plan=plan))
    assert planned.ending(NOW_MS) == "open after 1 try"
    assert planned.ending(NOW_MS + 3_700_000) == "failed"
    assert of(logged("d", ended("a"), ended("b"), plan=plan)).ending(NOW_MS) == "failed after 2 tries"
    retried = of(logged("d", ended("a"), ended("b")), logged("e", made_ms=NOW_MS + 5))
    assert retried.ending(NOW_MS) == "open after 2 tries"
    assert retried.ending(NOW_MS + 3_700_000) == "failed after 2 tries"


def test_a_try_that_had_an_outage_is_still_due() -> None:
    """A substitute makes it, if the list has one: it ends after its last model, whatever the outcomes."""
    plan = (PlannedTry("a", 1.0, 0.5, 0.01), PlannedTry("b", 0.5, 0.4, 0.1))
    outage = ended("a")._replace(error_kind="server_error")
    substitute = LoggedCandidate("c", "ranked", 0.5, None, 0.0, 3, "")
    followed = logged("d", outage, ended("b"), plan=plan, candidates=(substitute,))
    assert of(followed).ending(NOW_MS) == "open after 1 try"
    assert of(replace(followed, tries=(*followed.tries, ended("c")))).ending(NOW_MS) == "failed after 2 tries"
    assert of(replace(followed, excluded=(Exclusion("c", "not worth it"),))).ending(NOW_MS) == "failed"
    assert of(replace(followed, candidates=())).ending(NOW_MS) == "failed"


def test_what_was_not_reported_is_not_invented() -> None:
    """Without durations, tokens and costs there is nothing to add up; the time between two calls says nothing."""
    silent = of(logged("d", JoinedOutcome("a", NOW_MS + 9000, True, False, 0, 0, None)))
    assert silent.duration_ms is None
    assert silent.usage == ""


def test_a_plan_knows_what_became_of_it() -> None:
    """Each step gets the try that it led to; tries of other decisions do not count."""
    plan = (PlannedTry("a", 1.0, 0.5, 0.01), PlannedTry("b", 0.5, 0.4, 0.1), PlannedTry("c", 0.3, 0.1, 1.0))
    first = logged("d", ended("a"), ended("b", success=True), plan=plan)
    seen = steps_of(first, of(first, logged("e", ended("c"))))
    assert [step.planned for step in seen] == list(plan)
    assert [None if step.done is None else step.done.ending for step in seen] == ["failed", "succeeded", None]
    assert plan_text(plan) == "in all: the task is solved with a probability of 73.0 %, at an expected cost of $0.360"
    unknown = (*plan[:1], plan[1]._replace(expected_usd=None))
    assert plan_text(unknown) == "in all: the task is solved with a probability of 70.0 %"


def test_outages_are_listed_but_use_up_no_try(engine: mp.ModelPerf) -> None:
    """The number of a try is what a decision that follows says: 1 plus the failures before it."""
    first = choose(engine)
    for outcome in ({"success": False, "error_kind": "network"}, {"success": False}):
        engine.record("fix", first[0], outcome, first)
    assert (task(engine, first).ending(NOW_MS), task(engine, first).tries[-1].number) == ("failed", 1)
    second = choose(engine, retry_of=first)
    engine.record("fix", second[0], {"success": False, "error_kind": "caller_error"}, second)
    assert task(engine, first).ending(NOW_MS) == "failed"
    report(engine, second, True)
    seen = task(engine, second)
    assert [each.number for each in seen.tries] == [1, 1, 2, 2]
    assert second.attempt == 2
    assert seen.ending(NOW_MS) == "solved by the 2nd try"
    assert seen.as_dict(NOW_MS)["solved_by"] == 2


def test_only_outages_are_no_tries(engine: mp.ModelPerf) -> None:
    """Then the task failed, or was solved, by its first try."""
    decision = choose(engine)
    for _ in range(2):
        engine.record("fix", decision[0], {"success": False, "error_kind": "network"}, decision)
    assert (task(engine, decision).ending(NOW_MS), task(engine, decision).has_several) == ("failed", True)
    report(engine, decision, True)
    assert task(engine, decision).ending(NOW_MS) == "succeeded"


def test_a_decision_that_follows_itself(engine: mp.ModelPerf) -> None:
    """By a statement of another program: the task is that decision, and nothing of it is missing."""
    decision = logged("d1", ended("a"), retry_of="d1")
    seen = task_of(engine.store.decisions, decision)
    assert (seen.decisions, seen.is_complete) == ((decision,), True)


def test_a_try_shows_its_first_verdict() -> None:
    """What another verdict has replaced stays visible; a cost that came later is no verdict."""
    now = ended("a", success=True)._replace(score=0.9)
    first = FormerVerdict(NOW_MS, False, True, None, None, 0, 0)
    assert Try(1, "d", now._replace(former=(first,))).ending == "succeeded, score 0.9 (at first: failed, timed out)"
    same = FormerVerdict(NOW_MS, True, False, None, 0.9, 0, 0)
    assert Try(1, "d", now._replace(former=(same,))).ending == "succeeded, score 0.9"
