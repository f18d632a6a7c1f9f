"""What a store promises to A/B tests."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.store import (
    DecisionOutcome,
    DecisionRecord,
    DrawnDecisions,
    Joining,
    Stake,
    Store,
    StoredContest,
    StoredTest,
    open_store,
)
from modelperf_plugin.values import Assignment, Outcome
from tests.store.contract.examples import entry
from tests.store.contract.test_decisions import NOON, NOON_MS, decided

TEST = StoredTest(
    task_type="t", fingerprint="f", incumbent="a", share=0.3, salt="s", alpha=0.05, min_samples=0, max_samples=10,
    promote=False, started_ms=1000, contests=(StoredContest("c", ()), StoredContest("b", ())),
)  # fmt: skip


def counted_up(test: StoredTest) -> list[StoredContest]:
    """Return the contests after one more of whatever they count."""
    return [contest._replace(state=(sum(contest.state) + 1.0,), last_ms=7) for contest in test.contests]


def given_up(test: StoredTest) -> list[StoredContest]:
    """Return the contests after the maximum."""
    return [contest._replace(verdict="none", decided_ms=5) for contest in test.contests]


def test_a_test_is_kept_as_it_began(store: Store) -> None:
    """With all its terms, the challengers in their order, and a number."""
    begun = store.ab_tests.begin(TEST)
    assert begun == replace(TEST, test_id=begun.test_id)
    assert store.ab_tests.all() == store.ab_tests.all("t") == [begun]
    assert store.ab_tests.all("u") == []


def test_whoever_begins_second_gets_the_first_ones_sides(store: Store) -> None:
    """Same task type and fingerprint: the sides, the beginning and the evidence stay, the terms are the new ones."""
    first = store.ab_tests.begin(TEST)
    store.ab_tests.advance(first.test_id, None, counted_up)
    second = store.ab_tests.begin(
        replace(TEST, incumbent="z", contests=(StoredContest("y", ()),), started_ms=2000, alpha=0.01, promote=True),
        named=False,
    )
    contests = tuple(contest._replace(state=(1.0,), last_ms=7) for contest in TEST.contests)
    assert second == replace(first, alpha=0.01, promote=True, contests=contests)
    other = store.ab_tests.begin(replace(TEST, fingerprint="g", incumbent="z"))
    assert (other.incumbent, other.test_id > first.test_id) == ("z", True)
    assert [test.fingerprint for test in store.ab_tests.all()] == ["g", "f"]


def test_challengers_join_and_leave(store: Store) -> None:
    """A challenger that is missing keeps its evidence, unless it has none; one that joins or returns comes last."""
    begun = store.ab_tests.begin(TEST)
    store.ab_tests.advance(begun.test_id, None, lambda test: [counted_up(test)[0], test.contests[1]])
    joined = StoredContest("d", (3.0,), "challenger", 5, 6, 0.3, 4)
    after = store.ab_tests.begin(replace(TEST, share=0.4, contests=(joined,)))
    kept = StoredContest("c", (1.0,), last_ms=7)
    assert after == replace(begun, share=0.4, contests=(kept, joined))
    again = (StoredContest("b", (), share=0.1), StoredContest("c", (9.0,), share=0.2, calibrate_from=8))
    assert store.ab_tests.begin(replace(TEST, contests=again)).contests == (
        kept._replace(share=0.2, calibrate_from=8), joined._replace(share=0.0), again[0],
    )  # fmt: skip
    assert len(store.ab_tests.all(ended=True)) == 1


def test_an_incumbent_that_becomes_a_challenger_ends_its_test(store: Store) -> None:
    """A model cannot be compared with itself: the same configuration is another test then."""
    begun = store.ab_tests.begin(TEST)
    other = store.ab_tests.begin(replace(TEST, incumbent="z", contests=(StoredContest("a", ()),), started_ms=2000))
    assert store.ab_tests.all(ended=True) == [other, replace(begun, ended_ms=2000)]


def test_a_test_may_continue_under_another_fingerprint(store: Store) -> None:
    """It is the same test, unless there is one with that fingerprint."""
    begun = store.ab_tests.begin(TEST)
    renamed = replace(begun, fingerprint="g")
    assert store.ab_tests.begin(renamed) == renamed
    other = store.ab_tests.begin(TEST)
    assert other.test_id != begun.test_id
    assert store.ab_tests.begin(replace(other, fingerprint="g")) == renamed
    assert store.ab_tests.all() == [other, renamed]


def test_a_contest_that_another_test_has_keeps_its_units(store: Store) -> None:
    """Same task type, salt and sides: units that were counted there are not counted again here."""
    first = store.ab_tests.begin(TEST)
    store.ab_tests.advance(first.test_id, 1, counted_up)
    contests = (StoredContest("b", (5.0,)), StoredContest("d", (5.0,)))
    second = store.ab_tests.begin(replace(TEST, fingerprint="g", contests=contests))
    after = store.ab_tests.advance(second.test_id, 1, counted_up)
    assert after is not None
    assert [contest.state for contest in after.contests] == [(5.0,), (6.0,)]


@pytest.mark.parametrize(("most", "verdict"), [(10, "none"), (20, None), (None, None)])
def test_another_maximum_takes_up_what_was_given_up(store: Store, most: int | None, verdict: str | None) -> None:
    """Pairs without a winner are open again; with the same maximum they stay given up."""
    begun = store.ab_tests.begin(TEST)
    store.ab_tests.advance(begun.test_id, None, given_up)
    again = store.ab_tests.begin(replace(TEST, max_samples=most))
    assert {contest.verdict for contest in again.contests} == {verdict}
    assert {contest.decided_ms for contest in again.contests} == {5 if verdict else None}


def test_a_winner_stays_with_another_maximum(store: Store) -> None:
    """What was decided is not opened again."""
    begun = store.ab_tests.begin(TEST)
    store.ab_tests.advance(
        begun.test_id,
        None,
        lambda test: [each._replace(verdict="challenger", decided_ms=5) for each in test.contests],
    )
    again = store.ab_tests.begin(replace(TEST, max_samples=None))
    assert {contest.verdict for contest in again.contests} == {"challenger"}


def test_a_unit_counts_once(store: Store) -> None:
    """Of a unit the first step of a contest is taken; without a unit every one is; tests count for themselves."""
    first, second = (store.ab_tests.begin(replace(TEST, fingerprint=each)).test_id for each in "fg")
    store.ab_tests.advance(first, 2, lambda test: [counted_up(test)[0], test.contests[1]])
    for unit in (1, 1, 2, None, None):
        store.ab_tests.advance(first, unit, counted_up)
    after = store.ab_tests.advance(second, 1, counted_up)
    assert after is not None
    assert [test.contests[0].state for test in store.ab_tests.all()] == [(1.0,), (4.0,)]
    assert [test.contests[1].state for test in store.ab_tests.all()] == [(1.0,), (4.0,)]


def test_a_step_that_fails_leaves_nothing(store: Store) -> None:
    """Neither the state nor the unit: the next try counts."""
    begun = store.ab_tests.begin(TEST)

    def broken(_: StoredTest) -> Sequence[StoredContest]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.ab_tests.advance(begun.test_id, 1, broken)
    assert store.ab_tests.all() == [begun]
    store.ab_tests.advance(begun.test_id, 1, counted_up)
    assert store.ab_tests.all()[0].contests[0].state == (1.0,)


def test_an_end_is_kept_and_makes_room(store: Store) -> None:
    """Tests of the task type end, count no step any more, and are shown if asked for; the same may begin anew."""
    begun = store.ab_tests.begin(TEST)
    store.ab_tests.begin(replace(TEST, task_type="u"))
    assert store.ab_tests.end("t", 3000) == 1
    assert store.ab_tests.end("t", 4000) == 0
    assert store.ab_tests.advance(begun.test_id, None, counted_up) is None
    assert store.ab_tests.all("t") == []
    again = store.ab_tests.begin(TEST)
    assert store.ab_tests.all("t", ended=True) == [again, replace(begun, ended_ms=3000)]


def at_stake(store: Store, test_id: int, decision_id: str, unit: int | None = None) -> Stake:
    """Count an outcome of a decision in all contests, and return what each has staked on it."""
    stake = Stake(1.0, "B", 0.5, True, (0.5, 2.0))
    stakes = {"c": stake, "b": stake, "another": stake}
    store.ab_tests.advance(test_id, unit, counted_up, lambda: (decision_id, 7, stakes))
    return stake


def with_outcome(store: Store, decision_id: str, model_id: str, outcome_id: str | None = None) -> None:
    """Store a decision for the model ``best`` with an outcome."""
    new = entry(model_id, task_type="plan", outcome_id=outcome_id)
    outcome = DecisionOutcome(decision_id, model_id, new.outcome, new.ended_ms, outcome_id)
    assert store.outcomes.record(new, Joining(DecisionRecord.of(decided(decision_id)), outcome))


def test_what_was_staked_can_be_revised(store: Store) -> None:
    """By the decision or an outcome of it, with the outcome as it is by now; what comes of it is kept as before."""
    begun = store.ab_tests.begin(TEST)
    with_outcome(store, "d1", "best", "run-1")
    stake = at_stake(store, begun.test_id, "d1")
    store.outcomes.record(entry("best", task_type="plan", success=False, score=0.25, outcome_id="run-1"))
    for decision_id, outcome_id in (("d1", None), (None, "run-1")):
        seen: list[tuple[StoredTest, Mapping[str, Stake], Outcome]] = []

        def step(
            test: StoredTest, stakes: Mapping[str, Stake], outcome: Outcome, seen: list[Any] = seen
        ) -> tuple[list[StoredContest], Mapping[str, Stake]]:
            seen.append((test, stakes, outcome))
            return [counted_up(test)[0], test.contests[1]], {**stakes, "b": stake._replace(grade=0.5)}

        after = store.ab_tests.revise(decision_id, outcome_id, step)
        ((before, stakes, outcome),) = seen
        assert (outcome.success, outcome.score) == (False, 0.25)
        assert set(stakes) == {"c", "b"}
        assert stakes["c"] == stake
        assert after is not None
        assert after == store.ab_tests.all()[0]
        assert [each.state for each in after.contests] == [(before.contests[0].state[0] + 1,), (1.0,)]
    assert stakes["b"] == stake._replace(grade=0.5)


def test_nothing_is_revised_without_a_stake(store: Store) -> None:
    """None is kept on a decision that is not in the log, on a fallback's outcome, without a step, or after the end."""

    def never(*_: object) -> Any:
        raise AssertionError

    begun = store.ab_tests.begin(TEST)
    at_stake(store, begun.test_id, "unknown")
    with_outcome(store, "d1", "fallback")
    at_stake(store, begun.test_id, "d1")
    with_outcome(store, "d2", "best")
    at_stake(store, begun.test_id, "d2", unit=1)
    with_outcome(store, "d3", "best", "run-3")
    at_stake(store, begun.test_id, "d3", unit=1)
    for decision_id, outcome_id in (("unknown", None), ("d1", None), ("d3", None), (None, "run-3"), (None, None)):
        assert store.ab_tests.revise(decision_id, outcome_id, never) is None
    store.ab_tests.end("t", 9)
    assert store.ab_tests.revise("d2", None, never) is None


def test_stakes_go_with_their_decision(store: Store) -> None:
    """A decision that is stored again after it was forgotten has none."""
    begun = store.ab_tests.begin(TEST)
    with_outcome(store, "d1", "best")
    at_stake(store, begun.test_id, "d1")
    assert store.decisions.forget(NOON_MS + 1) == 1
    with_outcome(store, "d1", "best")
    assert store.ab_tests.revise("d1", None, lambda *_: ([], {})) is None


def test_decisions_of_a_test_are_counted(store: Store) -> None:
    """By model and probabilities, with and without outcome, recent and old; of a unit the first; and no others."""
    begun = store.ab_tests.begin(TEST)

    def drew(model_id: str, seconds: int, unit: int | None, *, waits_ms: int | None = None, **said: Any) -> None:
        decision = replace(
            decided(model_id=model_id, at=NOON + timedelta(seconds=seconds), **said),
            assignment=Assignment(begun.test_id, unit),
        )
        new = entry(model_id, ended_ms=NOON_MS + 1000 * seconds + (waits_ms or 0))
        outcome = DecisionOutcome(decision.decision_id, model_id, new.outcome, new.ended_ms)
        store.decisions.write([DecisionRecord.of(decision)], [] if waits_ms is None else [outcome])

    assert store.ab_tests.drawn(begun.test_id, NOON_MS) == []
    drew("best", 0, None)
    assert store.ab_tests.drawn(begun.test_id, NOON_MS + 100_000) == []
    drew("best", 1, 2**62, waits_ms=0)
    drew("best", 2, 2**62)
    drew("other", 3, None, waits_ms=3000)
    drew("other", 4, None, probabilities=(0.3, 0.7))
    drew("other", 95, None)
    drew("other", 5, None, mode="observe")
    drew("best", 93, 1)
    drew("other", 99, None)
    store.decisions.write([DecisionRecord.of(decided())], [])
    usual = {"best": 0.75, "other": 0.25}
    found = store.ab_tests.drawn(begun.test_id, NOON_MS + 98_000)
    assert sorted(found, key=repr) == [
        DrawnDecisions("best", usual, 1, 0, False),
        DrawnDecisions("best", usual, 2, 1, True),
        DrawnDecisions("other", {"best": 0.3, "other": 0.7}, 1, 0, True),
        DrawnDecisions("other", usual, 1, 1, True),
    ]


def test_steps_of_many_threads_and_stores_all_count(tmp_path: Path) -> None:
    """Two stores on one file, four threads each: no step is lost."""
    stores = [open_store(tmp_path / "x.db") for _ in range(2)]
    begun = stores[0].ab_tests.begin(TEST)

    def work(store: Store) -> None:
        for _ in range(25):
            store.ab_tests.advance(begun.test_id, None, counted_up)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[1].ab_tests.all()[0].contests[0].state == (200.0,)
    for store in stores:
        store.close()
