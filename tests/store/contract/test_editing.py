"""Forgetting and renaming: afterwards a store is what it would be if the outcomes had come otherwise."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import (
    Days,
    DecisionOutcome,
    DecisionRecord,
    Entry,
    Step,
    Store,
    StoredContest,
    Sums,
    open_store,
    open_to_read,
    open_with_fallback,
)
from modelperf_plugin.store.edits import Edited, Selection
from modelperf_plugin.store.roles import EVERYTHING
from modelperf_plugin.values import DAY_MS, ERROR_KINDS, Outcome, Tally
from tests.postgres import Server
from tests.store.contract.examples import NEW_YEAR_MS, OpenStore, entry, unsound
from tests.store.contract.test_ab_tests import TEST, counted_up
from tests.store.contract.test_decisions import NOON_MS, decided

DAY: Final = NEW_YEAR_MS // DAY_MS
SEEDS = pytest.mark.parametrize("seed", range(3))


def fingerprint(incumbent: str, named: bool, salt: str) -> str:
    """Return a fingerprint like that of a policy."""
    return f"{incumbent}, {named}, {salt}"


def some_entries(seed: int) -> list[Entry]:
    """Return outcomes of every kind, over ten days; every other one has an id."""
    draw = random.Random(seed)
    return [
        Entry(
            draw.choice(["plan", "build"]),
            draw.choice("xyz"),
            Outcome(
                success=draw.random() < 0.5,
                timeout=draw.random() < 0.2,
                tokens_used=draw.randrange(100),
                cost_usd=draw.choice([0.0, 0.5]),
                duration_seconds=draw.choice([None, 1.0, 50.0]),
                error_kind=draw.choice([None, None, *ERROR_KINDS]),
                outcome_id=f"outcome {number}" if number % 2 else None,
                score=draw.choice([None, None, 0.25, 1.0]),
            ),
            NEW_YEAR_MS + draw.randrange(10) * DAY_MS,
            draw.choice([(), (), ("x",), ("x", "y")]),
        )
        for number in range(60)
    ]


def counts(store: Store) -> list[Any]:
    """Return all that a store has counted."""
    names = ("plan", "build", "other")
    return [
        store.tallies.all(),
        [store.tallies.later(name) for name in names],
        [store.tallies.of(name) for name in names],
        store.tallies.durations(EVERYTHING, DAY, 0.0),
        store.tallies.faded(EVERYTHING, DAY, 30.0),
        sorted(store.trends.totals(Days(DAY, DAY + 10))),
        store.trends.series(Days(DAY, DAY + 10)),
    ]


def filled(opener: OpenStore, recorded: Iterable[Entry]) -> Store:
    """Return a store with these outcomes."""
    store = opener()
    store.outcomes.record_many(recorded)
    return store


SELECTIONS: list[tuple[Selection, Callable[[Entry], bool]]] = [
    (Selection(task_type="plan"), lambda each: each.task_type == "plan"),
    (Selection(model_id="x"), lambda each: each.model_id == "x"),
    (Selection(task_type="plan", model_id="y"), lambda each: each[:2] == ("plan", "y")),
    (Selection(since_ms=NEW_YEAR_MS + 5 * DAY_MS), lambda each: each.ended_ms >= NEW_YEAR_MS + 5 * DAY_MS),
    (
        Selection(model_id="x", until_ms=NEW_YEAR_MS + 2 * DAY_MS),
        lambda each: each.model_id == "x" and each.ended_ms < NEW_YEAR_MS + 2 * DAY_MS,
    ),
    (
        Selection(outcome_ids=("outcome 1", "outcome 59", "no such outcome")),
        lambda each: each.outcome.outcome_id in {"outcome 1", "outcome 59"},
    ),
    (Selection(since_ms=0), lambda _: True),
]


@SEEDS
@pytest.mark.parametrize(("selection", "is_meant"), SELECTIONS)
def test_what_was_forgotten_has_never_been(
    opener: OpenStore, seed: int, selection: Selection, is_meant: Callable[[Entry], bool]
) -> None:
    """Tallies, days, later tries and durations are those of a store that never had the outcomes."""
    recorded = some_entries(seed)
    store = filled(opener, recorded)
    gone = [each for each in recorded if is_meant(each)]
    expected = Edited(len(gone), len({each[:2] for each in gone}), 0)
    before = counts(store)
    assert store.editing.count(selection) == expected
    assert counts(store) == before
    assert store.editing.forget(selection, 1) == expected
    assert unsound(store) == []
    never = filled(opener, [each for each in recorded if not is_meant(each)])
    assert counts(store) == counts(never)
    assert store.editing.forget(selection, 2)[:2] == (0, 0)


def imported(store: Store, recorded: Iterable[Entry], step: Step) -> int:
    """Import outcomes with their ids in one batch; return the number of the import."""
    given = list(recorded)
    rows = [
        (
            store.imports.pair_id(*each[:2]), each.ended_ms, int(each.outcome.success), int(each.outcome.timeout),
            each.outcome.tokens_used or 0, int((each.outcome.cost_usd or 0.0) * 1e9), each.outcome.error_kind,
            None if each.outcome.duration_seconds is None else int(each.outcome.duration_seconds * 1000),
            None if each.outcome.score is None else int(each.outcome.score * 1_000_000), each.tried,
        )
        for each in given
    ]  # fmt: skip
    added = store.imports.add_events(step, rows, [each.outcome.outcome_id for each in given])
    assert added is not None
    return added[0]


@SEEDS
@pytest.mark.parametrize("is_newest", [False, True])
def test_what_an_import_has_brought_is_forgotten(opener: OpenStore, seed: int, is_newest: bool) -> None:
    """Also if others recorded between its batches; its ids are free, and the source may be imported again."""
    recorded = some_entries(seed)
    own, parts = recorded[:30], (recorded[30:40], recorded[40:50], recorded[50:])
    store, step = opener(), Step("csv", "history.csv", "1", 10, 0, 0, 1)
    imported(store, parts[0], step._replace(source="other.csv", digest="0"))
    number = imported(store, parts[1], step._replace(newest=9))
    store.outcomes.record_many(own[:15])
    further = step._replace(digest="2", position=20, from_position=10, import_id=number)
    assert imported(store, parts[2], further) == number
    if not is_newest:
        store.outcomes.record_many(own[15:])
    gone = [*parts[1], *parts[2]]
    expected = Edited(len(gone), len({each[:2] for each in gone}), 0)
    assert store.editing.count(Selection(import_id=number)) == expected
    assert store.editing.forget(Selection(import_id=number), 1) == expected
    if is_newest:
        store.outcomes.record_many(own[15:])
    assert (unsound(store), [each.source for each in store.imports.all()]) == ([], ["other.csv"])
    never = opener()
    imported(never, parts[0], step)
    never.outcomes.record_many(own)
    assert counts(store) == counts(never)
    again = imported(store, gone, step._replace(newest=9))
    assert store.editing.count(Selection(import_id=again)) == expected
    (other,) = [each.import_id for each in store.imports.all() if each.source == "other.csv"]
    assert store.editing.forget(Selection(import_id=other), 2).outcomes == len(parts[0])
    assert store.editing.count(Selection(import_id=again)) == expected
    assert unsound(store) == []


def test_a_part_of_an_import_is_forgotten(store: Store) -> None:
    """With other conditions the import stays, and so does the rest of it."""
    given = [entry(name, task_type="t") for name in "aab"]
    number = imported(store, given, Step("csv", "history.csv", "1", 10, 0, 0, 1))
    assert store.editing.forget(Selection(model_id="a", import_id=number), 1) == Edited(2, 1, 0)
    assert [each.import_id for each in store.imports.all()] == [number]
    assert store.editing.forget(Selection(import_id=number), 1) == Edited(1, 1, 0)
    assert store.editing.forget(Selection(import_id=number), 1)[:2] == (0, 0)


def test_imported_sums_are_forgotten(store: Store) -> None:
    """They leave the counts, also those before a change; what hosts import themselves stays known."""
    store.outcomes.record(entry("a", task_type="t"))
    before = counts(store)
    sums = [Sums("t", "a", 7, 2, 1, 10, 5, 1000), Sums("t", "b", 1, 1, 0, 0, 0, 1000)]
    store.imports.add_sums(Step("json", "/elsewhere/old.json", "1", 1, 0, 0, 1000), sums)
    store.imports.add_sums(Step("json", "beside.json", "2", 1, 0, 0, 1000), sums)
    beside, elsewhere = (each.import_id for each in store.imports.all())
    newest = store.events.last_id()
    store.changes.add("a", "announced", (newest, newest), (2000, 2000), None, {})
    assert store.editing.forget(Selection(import_id=elsewhere), 1) == Edited(11, 2, 0)
    assert store.editing.forget(Selection(import_id=beside), 1) == Edited(11, 2, 0)
    assert store.editing.count(Selection(import_id=beside)) == Edited(0, 0, 0)
    assert [(each.source, each.outcomes) for each in store.imports.all()] == [("beside.json", 0)]
    assert counts(store)[0][:1] == before[0]
    baseline = store.tallies.baselines()["t", "a"]
    assert (baseline.successes, baseline.failures) == (1, 0)
    assert unsound(store) == []


RENAMES: list[tuple[str, str, str]] = [
    ("task_type", "plan", "other"), ("task_type", "plan", "build"), ("model_id", "x", "w"), ("model_id", "x", "y"),
]  # fmt: skip


@SEEDS
@pytest.mark.parametrize(("what", "old", "new"), RENAMES)
def test_what_was_renamed_has_always_had_the_name(opener: OpenStore, seed: int, what: str, old: str, new: str) -> None:
    """All counts are those of a store that recorded under the new name, also where another has it already."""
    recorded = some_entries(seed)
    store = filled(opener, recorded)

    def renamed(each: Entry) -> Entry:
        if what == "task_type":
            return each._replace(task_type=new) if each.task_type == old else each
        tried = tuple(sorted(new if model_id == old else model_id for model_id in each.tried))
        return each._replace(model_id=new if each.model_id == old else each.model_id, tried=tried)

    meant = [each for each in recorded if getattr(each, what) == old]
    if what == "task_type":
        edited = store.editing.rename_task_type(old, new, 1)
    else:
        edited = store.editing.rename_model(old, new, 1, fingerprint)
    assert edited == Edited(len(meant), len({each[:2] for each in meant}), 0)
    assert unsound(store) == []
    assert counts(store) == counts(filled(opener, map(renamed, recorded)))
    store.outcomes.record(entry("x", task_type="plan"))  # the former name is free
    assert store.tallies.of("plan")["x"].successes >= 1
    assert unsound(store) == []


def test_dropped_and_imported_sums_are_part_of_a_pair(store: Store) -> None:
    """They go with their pair, and stay if single outcomes are forgotten."""
    old = [entry("a", task_type="t", ended_ms=1000 + n) for n in range(5)]
    store.outcomes.record_many([*old, *[entry("a", task_type="t") for _ in range(3)]])
    assert store.events.drop(10_000).dropped == 5
    step = Step("json", "old.json", "digest", 0, 0, 0, 1000)
    store.imports.add_sums(step, [Sums("t", "a", 7, 2, 0, 10, 0, None)])
    assert store.editing.count(Selection(since_ms=0)).outcomes == 3
    assert store.editing.count(Selection(model_id="a")).outcomes == 17
    assert store.editing.forget(Selection(since_ms=NEW_YEAR_MS), 1).outcomes == 3
    assert (unsound(store), store.tallies.of("t")["a"].samples) == ([], 14)
    store.outcomes.record(entry("b", task_type="t"))
    assert store.editing.rename_model("a", "b", 2, fingerprint).outcomes == 14
    assert (unsound(store), store.tallies.of("t")["b"].samples) == ([], 15)
    assert store.editing.forget(Selection(task_type="t", model_id="b"), 3).outcomes == 15
    assert (unsound(store), store.tallies.all()) == ([], [])


def test_an_id_that_was_forgotten_can_be_recorded_again(store: Store) -> None:
    """It counts anew, as it may have been forgotten because it was wrong."""
    store.outcomes.record(entry("a", outcome_id="1", success=False))
    store.editing.forget(Selection(outcome_ids=("1",)), 1)
    assert store.outcomes.record(entry("b", outcome_id="1"))
    assert [tally.model_id for tally in store.tallies.all()] == ["b"]


def test_numbers_of_outcomes_are_not_used_again(store: Store) -> None:
    """Whoever has read up to an outcome sees all that come after, although the newest ones were forgotten."""
    store.outcomes.record_many([entry("a", outcome_id=f"{n}") for n in range(10)])
    newest = store.events.last_id()
    store.editing.forget(Selection(outcome_ids=("7", "8", "9")), 1)
    assert store.events.last_id() >= newest or store.events.last_id() == 7
    store.outcomes.record(entry("b"))
    assert [event.model_id for event in store.events.after(newest, 10)] == ["b"]
    assert store.outcomes.record(entry("a", outcome_id="6", success=False))  # its event is still found
    assert (unsound(store), store.tallies.of("execute-task")["a"].failures) == ([], 1)


def test_decisions_go_with_their_outcomes(store: Store) -> None:
    """Those of a forgotten task type leave the log; those whose outcome is forgotten have none; names follow."""
    decision = DecisionRecord.of(decided())
    other = decision._replace(decision_id="other", task_type="build")
    outcomes = [Outcome(success=True, outcome_id=each) for each in ("1", "2")]
    for task_type, outcome in zip((decision.task_type, "build"), outcomes, strict=True):
        store.outcomes.record(Entry(task_type, decision.model_id, outcome, NOON_MS))
    joined = [
        DecisionOutcome(each.decision_id, each.model_id, outcome, NOON_MS, outcome.outcome_id)
        for each, outcome in zip((decision, other), outcomes, strict=True)
    ]
    store.decisions.write([decision, other], joined)
    store.editing.forget(Selection(outcome_ids=("1",)), 1)
    logged = store.decisions.get(decision.decision_id)
    assert logged is not None
    assert logged.outcome is None
    assert store.editing.count(Selection(task_type="build")).decisions == 1
    assert store.editing.rename_model(decision.model_id, "renamed", 1, fingerprint).decisions == 2
    logged = store.decisions.get("other")
    assert logged is not None
    assert (logged.model_id, logged.outcome is not None and logged.outcome.model_id) == ("renamed", "renamed")
    assert "renamed" in [each.model_id for each in logged.candidates]
    assert decision.model_id not in [each.model_id for each in logged.candidates]
    store.editing.rename_task_type("build", "other", 1)
    assert [each.decision_id for each in store.decisions.newest("other")] == ["other"]
    store.editing.forget(Selection(task_type="other"), 1)
    assert store.decisions.get("other") is None
    assert store.decisions.get(decision.decision_id) is not None


def test_demotions_and_changes_go_with_their_pair(store: Store) -> None:
    """Renamed they are those of the new name; of two demotions one stays; forgotten they are gone."""
    for model_id in ("a", "b", "c"):
        store.outcomes.record(entry(model_id, task_type="t"))
    newest = store.events.last_id()
    for model_id in ("a", "b"):
        store.demotions.add("t", model_id, 5, 0.5, 20.0, f"{model_id} failed")
    store.changes.add("a", "down", (newest, newest), (1, 2), 9.0, {"t": 0.1})
    store.editing.rename_model("a", "z", 7, fingerprint)
    assert {each.model_id for each in store.demotions.all(in_force=True)} == {"z", "b"}
    assert [each.model_id for each in store.changes.all()] == ["z"]
    assert set(store.tallies.baselines()) == {("t", "z")}
    store.editing.rename_model("z", "b", 8, fingerprint)
    assert [each.model_id for each in store.demotions.all(in_force=True)] == ["b"]
    assert store.tallies.baselines()["t", "b"].successes == 2
    store.editing.forget(Selection(model_id="b"), 9)
    assert (store.demotions.all(), store.changes.all(), store.tallies.baselines()) == ([], [], {})
    assert (unsound(store), [tally.model_id for tally in store.tallies.all()]) == ([], ["c"])


def test_counts_from_before_a_change_lose_what_is_forgotten(store: Store) -> None:
    """Only the outcomes from before it."""
    for number in range(4):
        store.outcomes.record(entry("a", task_type="t", success=number > 0, outcome_id=str(number)))
    newest = store.events.last_id()
    store.changes.add("a", "announced", (newest, newest), (NEW_YEAR_MS, NEW_YEAR_MS), None, {})
    store.outcomes.record(entry("a", task_type="t", outcome_id="after"))
    store.editing.forget(Selection(outcome_ids=("0", "1", "after")), 1)
    baseline = store.tallies.baselines()["t", "a"]
    assert (baseline.successes, baseline.failures) == (2, 0)


def test_an_announcement_can_be_taken_back(store: Store) -> None:
    """Its outcomes count again, and so do the demotion that it ended, and the change before it with its rates."""
    for number in range(4):
        store.outcomes.record(entry("a", task_type="t", success=number > 0))
    store.changes.add("a", "down", (1, 2), (1, 2), 9.0, {"t": 0.3})
    before = store.tallies.baselines()
    store.demotions.add("t", "a", 5, 0.5, 20.0, "it failed")
    newest = store.events.last_id()
    store.changes.add("a", "announced", (newest, newest), (77, 77), None, {})
    store.demotions.end("t", "a", 77, "operator")
    assert store.tallies.baselines() != before
    assert store.editing.unannounce("a", 100)
    assert [each.direction for each in store.changes.all()] == ["down"]
    assert store.tallies.baselines() == before
    assert [each.model_id for each in store.demotions.all(in_force=True)] == ["a"]
    assert not store.editing.unannounce("a", 101)
    assert not store.editing.unannounce("nobody", 101)


def test_a_test_follows_its_names(store: Store) -> None:
    """With its evidence; its fingerprint is that of the configuration under the new name. Two sides cannot be one."""
    begun = store.ab_tests.begin(replace(TEST, fingerprint=fingerprint("a", True, "s")))
    store.ab_tests.advance(begun.test_id, None, counted_up)
    store.outcomes.record(entry("a", task_type="t"))
    store.editing.rename_model("a", "z", 5, fingerprint)
    store.editing.rename_model("c", "y", 5, fingerprint)
    store.editing.rename_task_type("t", "u", 5)
    (test,) = store.ab_tests.all("u")
    assert (test.incumbent, test.fingerprint) == ("z", fingerprint("z", True, "s"))
    assert [each.challenger for each in test.contests] == ["y", "b"]
    assert test.contests[0] == StoredContest("y", (1.0,), last_ms=7)
    assert store.ab_tests.all("t") == []
    store.editing.rename_model("y", "z", 6, fingerprint)
    assert store.ab_tests.all("u") == []
    assert len(store.ab_tests.all("u", ended=True)) == 1
    store.editing.forget(Selection(task_type="u"), 7)
    assert store.ab_tests.all("u", ended=True) == []


def test_a_running_test_keeps_what_it_has_counted(store: Store) -> None:
    """Forgetting single outcomes says which task types have such a test."""
    store.ab_tests.begin(TEST)
    store.outcomes.record(entry("a", task_type="t", outcome_id="1"))
    assert store.editing.forget(Selection(outcome_ids=("1",)), 1).tests == ("t",)


def test_every_edit_has_a_number(store: Store) -> None:
    """So that running hosts notice."""
    assert store.editing.last_edit() == 0
    store.editing.forget(Selection(task_type="no such task"), 1)
    first = store.editing.last_edit()
    store.editing.rename_task_type("no such task", "other", 1)
    assert store.editing.last_edit() > first > 0


def test_a_reader_edits_nothing(tmp_path: Path) -> None:
    """It can only count."""
    path = str(tmp_path / "outcomes.db")
    store = open_store(path)
    store.outcomes.record(entry("a"))
    store.close()
    reader = open_to_read(path)
    try:
        assert reader.editing.count(Selection(model_id="a")) == Edited(1, 1, 0)
        with pytest.raises(StoreError):
            reader.editing.forget(Selection(model_id="a"), 1)
        assert [tally.samples for tally in reader.tallies.all()] == [1]
    finally:
        reader.close()


def test_hosts_that_run_see_the_edit_at_once(tmp_path: Path) -> None:
    """Tallies that another process keeps are read again."""
    path = str(tmp_path / "outcomes.db")
    host, other = open_store(path), open_store(path)
    try:
        host.outcomes.record_many([entry("a"), entry("b")])
        assert set(host.tallies.of("execute-task")) == {"a", "b"}
        other.editing.forget(Selection(model_id="a"), 1)
        assert set(host.tallies.of("execute-task")) == {"b"}
        host.outcomes.record(entry("a"))
        assert host.tallies.of("execute-task")["a"] == Tally("execute-task", "a", 1, last_used_ms=NEW_YEAR_MS)
        assert unsound(host) == []
    finally:
        host.close()
        other.close()


def test_hosts_on_other_machines_see_the_edit(postgres: Server) -> None:
    """A host that follows a database on a server has no counts of what was forgotten any more."""
    url = postgres.empty_schema()
    host, other = open_with_fallback(url), open_store(url)
    try:
        host.outcomes.record_many([entry("a"), entry("b")])
        assert set(host.tallies.of("execute-task")) == {"a", "b"}
        other.editing.forget(Selection(model_id="a"), 1)
        until = time.monotonic() + 10
        while set(host.tallies.of("execute-task")) != {"b"} and time.monotonic() < until:
            time.sleep(0.01)
        assert set(host.tallies.of("execute-task")) == {"b"}
        host.outcomes.record(entry("a"))
        assert host.tallies.of("execute-task")["a"].samples == 1
        assert host.editing.last_edit() == other.editing.last_edit() > 0
    finally:
        host.close()
        other.close()
        postgres.take_back(url)
