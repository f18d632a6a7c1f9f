"""Which try of its task an outcome is: the engine's memory, the decision log, and chains of decisions."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.engine import tries as tries_module
from modelperf_plugin.engine.tries import TaskTries
from modelperf_plugin.values import Tried, as_tried

MODELS = ["a", "b", "c"]
FAILED = {"success": False}
OUTAGES: list[dict[str, Any]] = [{"success": False, "error_kind": kind} for kind in ("rate_limit", "network")]
CALLERS: list[dict[str, Any]] = [{"success": False, "error_kind": kind} for kind in ("cancelled", "caller_error")]
NO_FAILURES: list[dict[str, Any]] = [*OUTAGES, *CALLERS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the engines of a test have their store."""
    return tmp_path / "outcomes.db"


@pytest.fixture
def perf(path: Path) -> Iterator[mp.ModelPerf]:
    """Return an engine on that store."""
    with mp.ModelPerf({}, store=path, seed=1) as engine:
        yield engine


def choose(perf: mp.ModelPerf, **context: Any) -> mp.Decision:
    """Return a decision for one task."""
    decision = perf.select("t", MODELS, context)
    assert decision is not None
    return decision


def tried(perf: mp.ModelPerf) -> list[tuple[str, Tried]]:
    """Return the model of each outcome of the store, and what had failed before it."""
    events = perf.store.events.after(0, 1_000)
    return [(event.model_id, event.tried) for event in events]


def walk(perf: mp.ModelPerf, decision: mp.Decision | str, *outcomes: tuple[str, dict[str, Any]]) -> None:
    """Report outcomes under a decision."""
    for model_id, outcome in outcomes:
        perf.record("t", model_id, outcome, decision)


@pytest.mark.parametrize("by_id", [False, True])
def test_the_loop_over_a_decision_tells_first_tries_from_later_ones(perf: mp.ModelPerf, by_id: bool) -> None:
    """Each outcome is kept with the models that had failed on the same task before it."""
    for solved_by in range(3):
        decision = choose(perf)
        named = decision.decision_id if by_id else decision
        for number, model_id in enumerate(decision):
            perf.record("t", model_id, {"success": number == solved_by}, named)
            assert tried(perf)[-1] == (model_id, as_tried(decision[:number]))
            if number == solved_by:
                break


def test_without_a_decision_every_outcome_is_a_first_try(perf: mp.ModelPerf) -> None:
    """One by one or many at once; texts of the host that are not ids of decisions connect nothing either."""
    for decision in (None, "my own id", "my own id"):
        perf.record("t", "a", FAILED, decision)
        perf.record("t", "b", FAILED, decision)
    perf.record_many([("t", "a", FAILED), ("t", "b", FAILED)])
    assert {before for _, before in tried(perf)} == {()}


@pytest.mark.parametrize("outcome", NO_FAILURES, ids=lambda outcome: outcome["error_kind"])
def test_outages_and_errors_of_the_caller_use_up_nothing(perf: mp.ModelPerf, outcome: dict[str, Any]) -> None:
    """They say nothing about the task: the next try is still the first, and the model may be chosen again."""
    decision = choose(perf)
    walk(perf, decision, (decision[0], outcome), (decision[1], FAILED), (decision[1], outcome), (decision[0], FAILED))
    assert [before for _, before in tried(perf)] == [(), (), (decision[1],), (decision[1],)]
    again = choose(perf, retry_of=decision)
    assert again.tried == as_tried(decision[:2])
    assert again.attempt == 3
    after_outage = choose(perf, retry_of=choose(perf))
    assert (after_outage.attempt, after_outage.tried, after_outage.excluded) == (1, (), ())


@pytest.mark.parametrize("timeouts", ["failure", "outage", "ignore"])
def test_a_timeout_counts_as_configured(path: Path, timeouts: str) -> None:
    """What a failed timeout is, is up to the operator."""
    with mp.ModelPerf({"quality": {"timeouts": timeouts}}, store=path) as perf:
        decision = choose(perf)
        perf.record("t", decision[0], {"success": False, "timeout": True}, decision)
        perf.record("t", decision[1], FAILED, decision)
        failed = (decision[0],) if timeouts == "failure" else ()
        assert tried(perf)[1] == (decision[1], failed)
        assert choose(perf, retry_of=decision).tried == as_tried([*failed, decision[1]])


def test_an_outcome_that_is_reported_twice_is_one_try(perf: mp.ModelPerf) -> None:
    """The second report changes nothing: neither counts nor what has failed."""
    decision = choose(perf)
    for _ in range(2):
        perf.record("t", decision[0], {**FAILED, "outcome_id": "one"}, decision)
    perf.record("t", decision[1], FAILED, decision)
    assert tried(perf) == [(decision[0], ()), (decision[1], (decision[0],))]
    assert choose(perf, retry_of=decision).attempt == 3


def test_a_model_that_tries_again_after_its_own_failure_is_a_later_try(perf: mp.ModelPerf) -> None:
    """A failure counts as often as it happened."""
    decision = choose(perf)
    first = decision[0]
    walk(perf, decision, *[(first, FAILED)] * 3, (first, {"success": True}))
    assert [before for _, before in tried(perf)] == [(), (first,), (first,) * 2, (first,) * 3]


def test_a_decision_that_serves_several_tasks_tells_nothing_of_each(perf: mp.ModelPerf) -> None:
    """A model that has solved the task does not try it again: from then on its outcomes are first tries."""
    decision = choose(perf)
    first = decision[0]
    walk(perf, decision, *[(first, {"success": success}) for success in (True, False, False, True, False)])
    assert {before for _, before in tried(perf)} == {()}


def test_a_retry_leaves_out_what_has_failed(perf: mp.ModelPerf) -> None:
    """It counts as tried, the attempt counts on, and the reason is given; the decision or its id says the same."""
    first = choose(perf)
    perf.record("t", first[0], FAILED, first)
    for earlier in (first, first.decision_id):
        second = choose(perf, retry_of=earlier)
        assert set(second) == {*MODELS} - {first[0]}
        assert (second.attempt, second.tried, second.retry_of) == (2, (first[0],), first.decision_id)
        assert [tuple(row) for row in second.excluded] == [(first[0], "an earlier try of this task failed")]
        assert sum(second.probabilities) == pytest.approx(1.0)
    perf.record("t", second[0], FAILED, second)
    assert tried(perf)[-1] == (second[0], (first[0],))
    third = choose(perf, retryOf=second.decision_id)
    assert list(third) == [next(iter({*MODELS} - {first[0], second[0]}))]
    assert (third.attempt, third.tried) == (3, as_tried([first[0], second[0]]))
    explained = perf.explain("t", MODELS, {"retry_of": second})
    assert explained is not None
    assert (list(explained), explained.attempt) == (list(third), 3)


def test_everything_tried_leaves_no_candidate(perf: mp.ModelPerf, caplog: pytest.LogCaptureFixture) -> None:
    """Then there is no opinion, and the log says why; a pin still prevails."""
    decision = choose(perf)
    walk(perf, decision, *[(model_id, FAILED) for model_id in decision])
    with caplog.at_level(logging.INFO, "modelperf_plugin"):
        assert perf.select("t", MODELS, {"retry_of": decision}) is None
    assert "no candidate is left for t" in caplog.text
    assert "an earlier try of this task failed" in caplog.text
    pinned = choose(perf, retry_of=decision, pin="b")
    assert (pinned[0], pinned.attempt, pinned.tried) == ("b", 4, tuple(MODELS))


@pytest.mark.parametrize("unknown", ["0" * 20, "my own id"])
def test_an_unknown_decision_leaves_nothing_out(
    perf: mp.ModelPerf, caplog: pytest.LogCaptureFixture, unknown: str
) -> None:
    """One line in the log says so."""
    perf.record("t", "a", FAILED, unknown)
    caplog.clear()
    with caplog.at_level(logging.INFO, "modelperf_plugin"):
        decision = choose(perf, retry_of="f" * 20 if unknown == "0" * 20 else unknown)
    assert (len(decision), decision.attempt, decision.tried) == (3, 1, ())
    assert len([record for record in caplog.records if "retry_of" in record.message]) == 1


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("retryof", "retry_of"),
        ("retry-of", "retry_of"),
        ("Attempts", "attempts"),
        ("max_cost", "max_cost_usd"),
        ("excluded", "exclude"),
        ("unitId_", "unit_id"),
        ("tries", None),
        ("request_id", None),
        ("user", None),
    ],
)
def test_a_key_that_was_probably_meant_for_the_plugin(
    perf: mp.ModelPerf, caplog: pytest.LogCaptureFixture, key: str, known: str | None
) -> None:
    """It is ignored as all keys of the host are, and the log says so, once."""
    for _ in range(2):
        assert choose(perf, **{key: "a"}).retry_of is None
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == ([] if known is None else [f"context[{key!r}] is unknown and ignored; did you mean {known!r}?"])


def test_exclude_says_nothing_about_failures(perf: mp.ModelPerf) -> None:
    """A model that is not permitted has not failed: the choice is a first try of the task."""
    decision = choose(perf, exclude=["a"])
    assert (decision.attempt, decision.tried, decision.retry_of) == (1, (), None)
    perf.record("t", decision[0], FAILED, decision)
    assert tried(perf) == [(decision[0], ())]


def test_a_late_failure_under_an_earlier_decision_is_not_overlooked(perf: mp.ModelPerf) -> None:
    """What is reported under a predecessor after its successor was made is left out by the next one."""
    first = choose(perf)
    second = choose(perf, retry_of=first)
    perf.record("t", "a", FAILED, first)
    perf.record("t", "b", FAILED, second)
    third = choose(perf, retry_of=second)
    assert (list(third), third.tried, third.attempt) == (["c"], ("a", "b"), 3)


def test_another_process_finds_the_tries_in_the_log(path: Path) -> None:
    """Of a decision made elsewhere, by its id or as it was handed over, whoever reports its outcomes."""
    with mp.ModelPerf({}, store=path) as here, mp.ModelPerf({}, store=path) as there:
        for by_id in (False, True):
            decision = choose(here)
            named = decision.decision_id if by_id else decision
            there.record("t", decision[0], FAILED, named)
            here.record("t", decision[1], FAILED, named)
            with mp.ModelPerf({}, store=path) as grader:
                grader.record("t", decision[2], FAILED, named)
            assert tried(here)[-3:] == [(decision[number], as_tried(decision[:number])) for number in range(3)]
            assert there.select("t", MODELS, {"retry_of": named}) is None


def test_what_others_report_under_own_decisions_is_seen(path: Path) -> None:
    """Also between two own reports: from the moment that one such report was noticed, every one is."""
    with mp.ModelPerf({}, store=path) as here, mp.ModelPerf({}, store=path) as there:
        missed = []
        for number in range(20):
            decision = choose(here)
            here.record("t", decision[0], FAILED, decision)
            there.record("t", decision[1], FAILED, decision.decision_id)
            here.record("t", decision[2], FAILED, decision.decision_id)
            if tried(here)[-1] != (decision[2], as_tried(decision[:2])):
                missed.append(number)
        assert missed == []
        first = choose(here)
        second = choose(here, retry_of=first)
        there.record("t", first[0], FAILED, first)
        here.record("t", second[1], FAILED, second)
        assert tried(here)[-1] == (second[1], (first[0],))


def test_others_that_begin_to_report_are_noticed_soon(path: Path) -> None:
    """A host that has long reported alone looks at the log now and then."""
    with mp.ModelPerf({}, store=path) as here, mp.ModelPerf({}, store=path) as there:
        for _ in range(3):
            decision = choose(here)
            walk(here, decision, *[(model_id, FAILED) for model_id in decision])
        seen = []
        for _ in range(tries_module.LOOK_EVERY + 3):
            decision = choose(here)
            here.record("t", decision[0], FAILED, decision)
            there.record("t", decision[1], FAILED, decision.decision_id)
            here.record("t", decision[2], FAILED, decision)
            seen.append(tried(here)[-1][1] == as_tried(decision[:2]))
        assert seen == sorted(seen)
        assert seen[-4:] == [True] * 4


@pytest.mark.parametrize("by_id", [False, True])
def test_a_decision_of_another_task_type_is_for_another_task(
    path: Path, caplog: pytest.LogCaptureFixture, by_id: bool
) -> None:
    """Its failures leave nothing out and do not count as tried; the mistake is reported, in the log once."""
    with mp.ModelPerf({}, store=path) as here, mp.ModelPerf({}, store=path) as there:
        other = here.select("other", MODELS)
        assert other is not None
        here.record("other", other[0], FAILED, other)
        for perf in (here, there):
            caplog.clear()
            for _ in range(2):
                decision = choose(perf, retry_of=other.decision_id if by_id else other)
                assert (len(decision), decision.attempt, decision.tried, decision.retry_of) == (3, 1, (), None)
            (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
            assert "context['retry_of'] must be a decision for the same task, whose task type is 't'" in line
            assert "'other'" in line
        walk(here, other, (other[1], FAILED))
        assert tried(here)[-1] == (other[1], ())
        here.record("other", other[2], FAILED, other.decision_id if by_id else other)
        assert here.store.events.after(0, 100)[-1].tried == (other[0],)


def test_a_retry_of_a_task_that_was_solved(perf: mp.ModelPerf) -> None:
    """What failed is left out, what succeeded is not: the host may have found the solution wrong."""
    first = choose(perf)
    walk(perf, first, (first[0], FAILED), (first[1], {"success": True}))
    second = choose(perf, retry_of=first)
    assert set(second) == {first[1], first[2]}
    assert (second.attempt, second.tried) == (2, (first[0],))
    perf.record("t", first[1], FAILED, second)
    assert tried(perf)[-1] == (first[1], (first[0],))


def test_decisions_that_follow_each_other_in_a_circle(path: Path) -> None:
    """By a statement of another program: each counts once, and nothing waits."""
    with mp.ModelPerf({}, store=path) as perf:
        first = choose(perf)
        second = choose(perf, retry_of=first)
        walk(perf, first, (first[0], FAILED))
        walk(perf, second, (second[0], FAILED))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE decision SET retry_of = ? WHERE retry_of IS NULL", (second.decision_id,))
    with mp.ModelPerf({}, store=path) as perf:
        third = choose(perf, retry_of=second.decision_id)
        assert third.tried == as_tried([first[0], second[0]])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE decision SET retry_of = id")
    with mp.ModelPerf({}, store=path) as perf:
        assert choose(perf, retry_of=second.decision_id).tried == (second[0],)


def test_a_chain_of_decisions_survives_its_processes(path: Path) -> None:
    """Each process knows no more than the id of the decision before."""
    decision_id: str | None = None
    failed: list[str] = []
    for attempt in range(1, 4):
        with mp.ModelPerf({}, store=path) as perf:
            decision = choose(perf, retry_of=decision_id)
            assert (decision.attempt, decision.tried) == (attempt, as_tried(failed))
            perf.record("t", decision[0], OUTAGES[0], decision)
            perf.record("t", decision[0], FAILED, decision)
            assert tried(perf)[-1] == (decision[0], as_tried(failed))
            failed.append(decision[0])
            decision_id = decision.decision_id
    with mp.ModelPerf({}, store=path) as perf:
        assert perf.select("t", MODELS, {"retry_of": decision_id}) is None


def test_a_decision_that_is_not_logged_still_says_what_it_followed(path: Path) -> None:
    """Without a log, a decision that a host hands over brings along what had failed before it."""
    config = {"log": {"share": 0.0}}
    with mp.ModelPerf(config, store=path) as here:
        first = choose(here)
        here.record("t", first[0], FAILED, first)
        second = choose(here, retry_of=first)
    with mp.ModelPerf(config, store=path) as there:
        there.record("t", second[0], FAILED, second)
        assert tried(there)[-1] == (second[0], (first[0],))
        assert choose(there, retry_of=second).tried == as_tried([first[0], second[0]])


@pytest.mark.parametrize("values", [{"tried": 5}, {"tried": [5]}, {"attempt": "two"}, {"plan": 7}, {"plan": [[1]]}])
def test_a_record_that_another_program_changed_costs_no_outcome(path: Path, values: dict[str, Any]) -> None:
    """What cannot be read says nothing: the outcome is recorded as a first try, and nothing is left out."""
    with mp.ModelPerf({}, store=path) as here:
        decision = choose(here)
    with closing(sqlite3.connect(path)) as connection, connection:
        ((record,),) = connection.execute("SELECT record FROM decision").fetchall()
        connection.execute("UPDATE decision SET record = ?", (json.dumps({**json.loads(record), **values}),))
    with mp.ModelPerf({}, store=path) as there:
        assert there.record("t", decision[0], FAILED, decision.decision_id)
        assert tried(there) == [(decision[0], ())]
        assert len(choose(there, retry_of="0" * 20)) == 3


def test_the_log_tells_the_whole_task(perf: mp.ModelPerf) -> None:
    """Every try with its duration; the follow-up with what had failed; the first decision finds the follow-up."""
    first = choose(perf)
    for model_id in first[:2]:
        perf.record("t", model_id, {**FAILED, "duration_seconds": 1.5, "cost_usd": 0.25}, first)
    second = choose(perf, retry_of=first)
    perf.record("t", second[0], {"success": True}, second)
    logged = perf.store.decisions.get(first.decision_id)
    assert logged is not None
    assert [(each.model_id, each.duration_ms, each.cost_usd) for each in logged.tries] == [
        (model_id, 1500, 0.25) for model_id in first[:2]
    ]
    (follow_up,) = perf.store.decisions.follow_ups(first.decision_id)
    assert (follow_up.decision_id, follow_up.attempt, follow_up.tried) == (second.decision_id, 3, second.tried)
    assert [each.success for each in follow_up.tries] == [True]


def test_what_is_remembered_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest decisions are dropped from memory; the log knows them all the same."""
    monkeypatch.setattr(tries_module, "MAX_DECISIONS", 10)
    with mp.ModelPerf({}, store=path) as perf:
        decisions = [choose(perf) for _ in range(25)]
        assert sum(map(len, perf._tries._known)) <= 10
        for decision in decisions:
            perf.record("t", decision[0], FAILED, decision)
        for decision in decisions:
            perf.record("t", decision[1], FAILED, decision.decision_id)
            assert tried(perf)[-1] == (decision[1], (decision[0],))
        assert sum(map(len, perf._tries._known)) <= 10


def test_threads_report_the_tries_of_one_task(perf: mp.ModelPerf) -> None:
    """Every failure is counted, however many threads report at once."""
    decision = choose(perf)
    threads = [
        threading.Thread(target=lambda: [perf.record("t", "a", FAILED, decision) for _ in range(10)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert choose(perf, retry_of=decision).attempt == 41


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MODELS), st.booleans()), max_size=12), st.integers(0, 12))
def test_two_sources_that_know_parts_of_the_tries_know_all(outcomes: list[tuple[str, bool]], split: int) -> None:
    """Merging what one process remembers with what the log has of the same decision loses and doubles nothing."""

    def of(some: list[tuple[str, bool]]) -> TaskTries:
        tries = TaskTries()
        for model_id, success in some:
            tries = tries.plus(model_id, success=success)
        return tries

    everything, part = of(outcomes), of(outcomes[:split])
    assert everything.merged(everything) == everything
    for merged in (everything.merged(part), part.merged(everything)):
        assert sorted(merged.failed) == sorted(everything.failed)
        assert (merged.failures, merged.next_attempt) == (everything.failures, everything.next_attempt)
        assert set(merged.solved_by) == set(everything.solved_by)
