"""Moving everything from one store to another."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.moving.run import Move, Report, preview
from modelperf_plugin.store import Entry, Step, open_store
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord, Joining
from modelperf_plugin.store.edits import Selection
from modelperf_plugin.store.opening import open_archive, open_archive_to_read
from modelperf_plugin.values import Outcome
from tests.exchange.answers import answers, ranks
from tests.exchange.random_store import NOON_MS, RECORD, Actor
from tests.postgres import Server
from tests.store.filled import fill

KINDS = ("file to file", "file to server", "server to file", "server to server")
_MODELS = ["a", "b", "x", "y"]


@pytest.fixture(params=KINDS)
def locations(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Return where a store is, and where it is moved to."""

    def locate(kind: str, name: str) -> str:
        if kind == "file":
            return str(tmp_path / f"{name}.db")
        server: Server = request.getfixturevalue("postgres")
        return server.empty_schema()

    source, target = request.param.split(" to ")
    return locate(source, "source"), locate(target, "target")


def move(source: str, target: str) -> Report:
    """Move what is new."""
    with closing(open_archive(source)) as here, closing(open_archive(target)) as there:
        return Move(here, there).run()


def act(actor: Actor, location: str, times: int = 40) -> None:
    """Let somebody use a store."""
    with closing(open_store(location)) as store:
        actor.act(store, times)


def assert_same(source: str, target: str) -> None:
    """Every role of both stores answers the same."""
    with closing(open_store(source)) as here, closing(open_store(target)) as there:
        expected, found = answers(here), answers(there)
    for question, answer in expected.items():
        assert found[question] == answer, question


def assert_sound(location: str) -> None:
    """The sums of a store are those of its events."""
    with closing(open_store(location)) as store:
        assert [each for each in store.maintenance.check() if not each.ok and each.name != "durability"] == []


def counted(location: str) -> int:
    """Return how many outcomes the tallies of a store count."""
    with closing(open_store(location)) as store:
        return sum(each.samples for each in store.tallies.all())


def test_everything_is_there(tmp_path: Path, postgres: Server) -> None:
    """A file with rows in every table answers the same on a server and, moved on from there, in a file again."""
    first, middle, last = str(tmp_path / "first.db"), postgres.empty_schema(), str(tmp_path / "last.db")
    fill(Path(first))
    for source, target in ((first, middle), (middle, last)):
        report = move(source, target)
        assert report.differences == []
        assert report.source == report.target
        assert_same(first, target)
        assert ranks(first, ["plan"], _MODELS) == ranks(target, ["plan"], _MODELS)


def test_what_came_since_is_moved(locations: tuple[str, str]) -> None:
    """Each run brings the target to the state of the source, whatever happened there meanwhile."""
    source, target = locations
    actor = Actor(3)
    for _ in range(2):
        act(actor, source)
        assert move(source, target).differences == []
        assert_same(source, target)
    assert_sound(target)
    report = move(source, target)
    assert (report.outcomes, report.decisions, report.verdicts) == (0, 0, 0)


def test_what_the_target_has_of_its_own_stays(locations: tuple[str, str]) -> None:
    """Once hosts use the target, what is left in the source is added, and the sums are right on both sides."""
    source, target = locations
    before, after = Actor(3, "before"), Actor(103, "after")
    act(before, source)
    move(source, target)
    for _ in range(2):
        after.know(before)
        act(before, source, 30)
        act(after, target, 30)
        assert move(source, target).differences == []
        assert_sound(source)
        assert_sound(target)


def test_outcomes_of_both_sides_add_up(locations: tuple[str, str]) -> None:
    """Outcomes recorded in the target and those that come from the source are counted once each."""
    source, target = locations
    with closing(open_store(source)) as store:
        store.outcomes.record_many(_entries("source", 30))
    assert move(source, target).target.outcomes == 30
    with closing(open_store(source)) as here, closing(open_store(target)) as there:
        here.outcomes.record_many(_entries("late", 5))
        there.outcomes.record_many(_entries("target", 7))
        there.outcomes.record_many(_entries("late", 2))  # known to both
    report = move(source, target)
    assert report.outcomes == 5
    assert counted(target) == 30 + 5 + 7
    with closing(open_store(target)) as store:
        assert len(store.events.after(0, 100)) == 42


def test_an_outcome_finds_its_decision_in_the_target(locations: tuple[str, str]) -> None:
    """An outcome that was recorded in the source for a decision of the target is joined to it."""
    source, target = locations
    with closing(open_store(source)) as store:
        store.outcomes.record_many(_entries("first", 1))
    move(source, target)
    record = DecisionRecord("d" * 20, NOON_MS, "plan", "a", 1.0, False, 0.0, "apply", "p", RECORD)
    with closing(open_store(source)) as here, closing(open_store(target)) as there:
        there.decisions.write([record], [])
        outcome = Outcome(success=True)
        joined = DecisionOutcome(record.decision_id, "a", outcome, NOON_MS)
        here.outcomes.record(Entry("plan", "a", outcome, NOON_MS), Joining(None, joined))
    assert move(source, target).differences == []
    with closing(open_store(target)) as store:
        found = store.decisions.get(record.decision_id)
        assert found is not None
        assert found.outcome is not None
        assert found.outcome.success
        store.decisions.report(record.decision_id, Outcome(success=False), NOON_MS + 1)
        assert [each.failures for each in store.tallies.all()] == [1]


def _entries(name: str, number: int) -> list[Entry]:
    return [Entry("plan", "a", Outcome(success=True, outcome_id=f"{name}-{each}"), NOON_MS) for each in range(number)]


def test_an_import_can_be_forgotten_in_the_target(locations: tuple[str, str]) -> None:
    """It is known there by what it has brought; what the target's own hosts have recorded in between stays."""
    source, target = locations
    step, numbers = Step("csv", "one.csv", "1", 10, 0, 0, NOON_MS), []
    for each in (step, step._replace(source="two.csv", digest="2", newest=9)):
        with closing(open_store(source)) as store:
            row = (store.imports.pair_id("plan", "a"), NOON_MS, 1, 0, 7, 0, None, None, None, ())
            added = store.imports.add_events(each, [row] * 5)
            assert added is not None
            numbers.append(added[0])
        move(source, target)
        with closing(open_store(target)) as store:
            store.outcomes.record_many(_entries(each.source, 3))
    with closing(open_store(source)) as store:  # the first one grows
        more = step._replace(digest="3", position=20, from_position=10, import_id=numbers[0])
        assert store.imports.add_events(more, [row] * 5) == (numbers[0], 5)
    move(source, target)
    with closing(open_store(target)) as store:
        before, sources = counted(target), {each.source: each.import_id for each in store.imports.all()}
        assert store.editing.forget(Selection(import_id=sources["two.csv"]), 1).outcomes == 5
        assert store.editing.forget(Selection(import_id=sources["one.csv"]), 1).outcomes in {5, 10}
        assert 6 <= counted(target) <= before - 10
    assert_sound(target)


def test_dropped_events_stay_counted(locations: tuple[str, str]) -> None:
    """What events have counted that retention has deleted, before the move or between two, is moved as sums."""
    source, target = locations
    for name in ("first", "second"):
        with closing(open_store(source)) as store:
            store.outcomes.record_many(_entries(name, 10))
            store.outcomes.record(Entry("plan", "b", Outcome(success=True), NOON_MS + 10))
            store.events.drop(NOON_MS + 1)
        assert move(source, target).differences == []
        assert counted(target) == counted(source)
        assert_sound(target)


def test_a_move_that_was_killed_continues(tmp_path: Path, postgres: Server) -> None:
    """Killed at any moment, a move continues: nothing is lost, and nothing is there twice."""
    source, target = str(tmp_path / "source.db"), postgres.empty_schema()
    with closing(open_store(source)) as store:
        store.outcomes.record_many(_entries("outcome", 30_000))
    kills = 0
    for seconds in (0.7, 1.0, 1.5, 60.0):
        with subprocess.Popen([sys.executable, "-m", "modelperf_plugin", "move", source, target]) as process:
            try:
                process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
    assert kills
    assert move(source, target).differences == []
    assert counted(target) == 30_000
    assert_sound(target)


def test_hosts_record_during_the_move(locations: tuple[str, str]) -> None:
    """What a host records while the move runs is moved by it or by the next run."""
    source, target = locations
    stop = threading.Event()
    with closing(open_store(source)) as store:
        store.outcomes.record_many(_entries("before", 2_000))

        def record() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                store.outcomes.record(Entry("plan", "b", Outcome(success=True, outcome_id=f"live-{number}"), NOON_MS))
                time.sleep(0.005)

        host = threading.Thread(target=record)
        host.start()
        try:
            assert move(source, target).differences == []
        finally:
            stop.set()
            host.join()
    report = move(source, target)
    assert not report.has_more
    assert report.differences == []
    assert_same(source, target)


def test_the_source_is_not_changed(tmp_path: Path) -> None:
    """The content of the source is the same after a move."""
    source = tmp_path / "source.db"
    fill(source)
    before = source.read_bytes()
    move(str(source), str(tmp_path / "target.db"))
    assert source.read_bytes() == before


@pytest.mark.parametrize("what", ["used", "other", "itself"])
def test_targets_that_are_refused(tmp_path: Path, what: str) -> None:
    """A store that holds something else is not a target; neither is the store itself."""
    source, target = tmp_path / "source.db", tmp_path / "target.db"
    fill(source)
    if what == "used":
        fill(target)
    elif what == "other":
        fill(tmp_path / "other.db")
        move(str(tmp_path / "other.db"), str(target))
    else:
        move(str(source), str(target))
        source = target
    messages = {"used": "is not empty", "other": "moved from another store", "itself": "is the store itself"}
    with pytest.raises(StoreError, match=messages[what]):
        move(str(source), str(target))


def test_another_copy_of_the_source_is_refused(tmp_path: Path) -> None:
    """An older copy of the source lacks what was moved from it: moving from there would go wrong."""
    source, copy, target = (str(tmp_path / f"{name}.db") for name in ("source", "copy", "target"))
    with closing(open_store(source)) as store:
        store.outcomes.record_many(_entries("old", 3))
    Path(copy).write_bytes(Path(source).read_bytes())
    with closing(open_store(source)) as store:
        store.outcomes.record_many(_entries("new", 3))
    move(source, target)
    with pytest.raises(StoreError, match="another copy"):
        move(copy, target)


def test_preview(tmp_path: Path) -> None:
    """A preview counts what is new and writes nothing."""
    source, target = str(tmp_path / "source.db"), str(tmp_path / "target.db")
    for name, new in (("first", 4), ("second", 3)):
        with closing(open_store(source)) as store:
            store.outcomes.record_many(_entries(name, new))
        with closing(open_archive_to_read(source)) as here:
            if Path(target).exists():
                with closing(open_archive_to_read(target)) as there:
                    assert preview(here, there)[1:] == (new, 0)
            else:
                assert preview(here, None)[1:] == (new, 0)
        move(source, target)
