"""Decisions, their outcomes and A/B tests, which several hosts write to one PostgreSQL database at the same time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from modelperf_plugin.store import DecisionOutcome, DecisionRecord, Entry, Joining, Store
from modelperf_plugin.values import Outcome
from tests.postgres import Server
from tests.store.contract.examples import unsound
from tests.store.contract.test_ab_tests import TEST, counted_up
from tests.store.contract.test_decisions import NOON_MS, decided

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

import psycopg

from modelperf_plugin.store.postgres.decisions import parameters
from modelperf_plugin.store.postgres.store import open_postgres

HOSTS = 3
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = ANY(%s)"
JOIN = "SELECT join_decisions(%s::jsonb, %s::jsonb, 100, 100)"


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of an empty database."""
    return postgres.new_schema()


@pytest.fixture
def stores(url: str) -> Iterator[list[Store]]:
    """Return a store for each host, all on one database."""
    with ExitStack() as opened:
        yield [opened.enter_context(closing(open_postgres(url))) for _ in range(HOSTS)]


def ended(decision_id: str, model_id: str = "best", success: bool = True) -> DecisionOutcome:
    """Return an outcome of a decision."""
    return DecisionOutcome(decision_id, model_id, Outcome(success=success), NOON_MS + 5)


def meanwhile(url: str, given: tuple[str, str], act: Callable[[], Any]) -> None:
    """Act while another host has stored what is ``given``, and commits once the act waits for it."""
    with ThreadPoolExecutor(1) as threads, psycopg.connect(url) as other:
        other.execute(JOIN, given)
        locks = other.execute("SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        held = [objid for (objid,) in locks.fetchall()]
        acting: Future[Any] = threads.submit(act)
        deadline = time.monotonic() + 10
        while not acting.done() and not other.execute(WAITING, (held,)).fetchone()[0]:  # type: ignore[index]
            assert time.monotonic() < deadline
        other.commit()
        acting.result()


def given(*, decision: bool) -> tuple[str, str]:
    """Return a decision as ``join_decisions`` takes it, or its outcome."""
    record, outcome, *_ = parameters(Joining(DecisionRecord.of(decided("d1")), ended("d1", "other")))
    return (f"[{record}]", "[]") if decision else ("[]", f"[{outcome}]")


def test_an_outcome_waits_for_a_decision_that_is_being_stored(url: str, stores: list[Store]) -> None:
    """It is joined, instead of waiting for a decision that is there."""
    meanwhile(url, given(decision=True), lambda: stores[0].decisions.write([], [ended("d1")]))
    logged = stores[1].decisions.get("d1")
    assert logged is not None
    assert [each.model_id for each in logged.tries] == ["best"]
    assert stores[1].unmatched.of("d1") == []


def test_a_decision_waits_for_an_outcome_that_is_being_stored(url: str, stores: list[Store]) -> None:
    """The same with the outcome first."""
    decision = DecisionRecord.of(decided("d1"))
    meanwhile(url, given(decision=False), lambda: stores[0].decisions.write([decision], [ended("d1")]))
    logged = stores[1].decisions.get("d1")
    assert logged is not None
    assert [each.model_id for each in logged.tries] == ["other", "best"]
    assert stores[1].unmatched.of("d1") == []


def test_a_verdict_waits_for_a_decision_that_is_being_stored(url: str, stores: list[Store]) -> None:
    """A verdict on it is recorded as its outcome."""
    meanwhile(url, given(decision=True), lambda: stores[0].decisions.report("d1", Outcome(success=False), NOON_MS + 9))
    logged = stores[1].decisions.get("d1")
    assert logged is not None
    assert [each.success for each in logged.tries] == [False]


def test_an_outcome_that_waits_is_judged_anew(stores: list[Store]) -> None:
    """It is joined with its newest verdict, as its counts are."""
    for success in (True, False):
        entry = Entry("plan", "best", Outcome(success=success, outcome_id="run-1"), NOON_MS)
        joining = Joining(None, DecisionOutcome("d1", "best", entry.outcome, NOON_MS, "run-1"))
        assert stores[0].outcomes.record(entry, joining)
    stores[0].decisions.write([DecisionRecord.of(decided("d1"))], [])
    logged = stores[1].decisions.get("d1")
    assert logged is not None
    assert [(each.success, len(each.former)) for each in logged.tries] == [(False, 1)]


def test_decisions_do_not_wait_for_one_another(url: str, stores: list[Store]) -> None:
    """Hosts that store different decisions do so at once, whatever locks they take; and so do their outcomes."""
    others = [decided(f"d{number}") for number in range(2, 500)]
    with psycopg.connect(url) as other:
        other.execute(JOIN, given(decision=True))
        stores[0].decisions.write(map(DecisionRecord.of, others), [ended("d2")])
        entry = Entry("plan", "best", Outcome(success=True), NOON_MS)
        assert stores[1].outcomes.record(entry, Joining(None, ended("d3")))
    assert len(stores[1].decisions.newest(limit=1000)) == 499


def test_every_try_is_kept_whoever_reports_it(stores: list[Store]) -> None:
    """Outcomes, batches of decisions and verdicts of many threads and hosts: all are joined, and counts agree."""
    ids = [f"{number:020x}" for number in range(60)]

    def outcomes(store: Store, model_id: str) -> None:
        for decision_id in ids:
            entry = Entry("plan", model_id, Outcome(success=True), NOON_MS)
            assert store.outcomes.record(entry, Joining(None, ended(decision_id, model_id)))

    def decisions(store: Store, step: int) -> None:
        for start in range(step):
            store.decisions.write([DecisionRecord.of(decided(each)) for each in ids[start::step]], [])

    def reports(store: Store) -> None:
        for decision_id in ids[::5]:
            store.decisions.report(decision_id, Outcome(success=False), NOON_MS + 9)

    with ThreadPoolExecutor(6) as threads:
        acts = [
            threads.submit(outcomes, stores[0], "best"), threads.submit(outcomes, stores[1], "other"),
            threads.submit(decisions, stores[2], 60), threads.submit(decisions, stores[0], 7),
            threads.submit(decisions, stores[1], 3), threads.submit(reports, stores[2]),
        ]  # fmt: skip
        for act in acts:
            act.result()
    for decision_id in ids:
        logged = stores[0].decisions.get(decision_id)
        assert logged is not None
        assert logged.outcome is not None
        assert {"best", "other"} <= {each.model_id for each in logged.tries}
        assert [each.number for each in logged.tries] == [*range(1, len(logged.tries) + 1)]
        assert logged.outcome.model_id == "best"
    assert stores[0].decisions.summary(NOON_MS + 10**7).unmatched == 0
    assert unsound(stores[0]) == []


def test_steps_of_many_threads_and_hosts_all_count(stores: list[Store]) -> None:
    """No step of a contest is lost, and a unit counts once."""
    begun = stores[0].ab_tests.begin(TEST)

    def work(store: Store) -> None:
        for unit in range(20):
            store.ab_tests.advance(begun.test_id, None, counted_up)
            store.ab_tests.advance(begun.test_id, unit, counted_up)

    with ThreadPoolExecutor(2 * HOSTS) as threads:
        list(threads.map(work, [*stores, *stores]))
    (test,) = stores[1].ab_tests.all()
    assert [contest.state for contest in test.contests] == [(20.0 * (2 * HOSTS + 1),)] * 2


def test_one_test_is_begun(stores: list[Store]) -> None:
    """Hosts that begin the same test at once have one."""
    with ThreadPoolExecutor(2 * HOSTS) as threads:
        begun = list(threads.map(lambda store: store.ab_tests.begin(TEST), [*stores, *stores]))
    assert stores[0].ab_tests.all() == [begun[0]]
    assert all(each == begun[0] for each in begun)


def test_a_text_without_meaning_is_refused_by_the_log_alone(stores: list[Store]) -> None:
    """What PostgreSQL cannot store as text costs the decision, not the outcome; U+0000 in its JSON can be stored."""
    entry = Entry("plan", "best", Outcome(success=True), NOON_MS)
    record = DecisionRecord.of(decided("d1"))
    refused = Joining(record._replace(policy_id="\0"), ended("d1"))
    assert stores[0].outcomes.record(entry, refused)
    assert not refused.is_stored
    told = json.dumps({**json.loads(record.record), "reason": "a \0 b"})
    kept = Joining(record._replace(record=told), ended("d1"))
    assert stores[0].outcomes.record(entry, kept)
    assert kept.is_stored
    logged = stores[0].decisions.get("d1")
    assert logged is not None
    assert logged.reason == "a \0 b"
    assert stores[0].tallies.of("plan")["best"].successes == 2
