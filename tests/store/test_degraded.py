"""Working without SQLite: nothing is lost, nothing is counted twice, and nothing that is not ours is touched."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import NotATrackerError, StoreBusyError, StoreVersionError
from modelperf_plugin.store import Entry, Store, open_store, open_with_fallback
from modelperf_plugin.store.decision_records import DecisionRecord
from modelperf_plugin.store.fallback.batches import read_batch
from modelperf_plugin.store.fallback.spool import places
from modelperf_plugin.values import Outcome
from tests.store.faults import check_now, switch_of

NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z


def entry(model_id: str = "gpt-4o", *, success: bool = True, outcome_id: str | None = None) -> Entry:
    """Return an outcome on its way into a store."""
    outcome = Outcome(success=success, tokens_used=10, cost_usd=0.1, outcome_id=outcome_id)
    return Entry("execute-task", model_id, outcome, NOON_MS)


def no_database(path: Path) -> None:
    """Put a file of text where the database should be."""
    path.write_text("remember the milk, and the bread, and then some more to fill a header\n" * 20)


def a_folder(path: Path) -> None:
    """Put a folder where the database should be."""
    path.mkdir()


def truncated(path: Path) -> None:
    """Put half of a database where the database should be."""
    store = open_store(path)
    store.outcomes.record_many(entry(f"model-{number}") for number in range(2000))
    store.close()
    os.truncate(path, path.stat().st_size // 2)


def mend(path: Path) -> None:
    """Take away what stands in the way of the database."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database will be."""
    folder = tmp_path / ".sf"
    folder.mkdir()
    return folder / "model-performance.db"


@pytest.fixture
def open_host() -> Iterator[Callable[[Path], Store]]:
    """Return a function that opens a store as a host does; all are closed at the end."""
    opened: list[Store] = []

    def new(path: Path) -> Store:
        opened.append(open_with_fallback(path))
        return opened[-1]

    yield new
    for store in opened:
        store.close()


OpenHost = Callable[[Path], Store]


def counts(store: Store) -> dict[str, int]:
    """Return how many outcomes each model has."""
    return {tally.model_id: tally.samples for tally in store.tallies.all()}


def in_database(path: Path) -> dict[str, int]:
    """Return how many events of each model another program sees, and check that everything adds up."""
    store = open_store(path)
    try:
        assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
    finally:
        store.close()
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT model_id, count(*) FROM model_outcomes GROUP BY model_id").fetchall())


def waiting(path: Path) -> list[Path]:
    """Return the files of outcomes that wait for the database at ``path``."""
    return [file for place in places(str(path)) for file in place.batches()]


@pytest.mark.parametrize("spoil", [no_database, a_folder])
def test_a_database_that_cannot_be_opened(spoil: Callable[[Path], None], path: Path, open_host: OpenHost) -> None:
    """What was learned without SQLite is moved into the database when there can be one, once, and then gone."""
    spoil(path)
    store = open_host(path)
    assert store.degraded is not None
    assert store.outcomes.record(entry("a", outcome_id="1"))
    assert not store.outcomes.record(entry("a", outcome_id="1"))
    assert store.outcomes.record_many([entry("a"), entry("b", success=False), entry("a", outcome_id="1")]) == 2
    assert counts(store) == {"a": 2, "b": 1}
    mend(path)
    check_now(store)
    assert {model: tally.samples for model, tally in store.tallies.of("execute-task").items()} == {"a": 2, "b": 1}
    assert store.degraded is None
    assert in_database(path) == {"a": 2, "b": 1}
    assert waiting(path) == []
    assert not path.with_suffix(".json").exists()
    assert not store.outcomes.record(entry("a", outcome_id="1"))


def test_a_damaged_database_is_left_alone(path: Path, open_host: OpenHost) -> None:
    """A file that is damaged stays as it is, byte for byte, and is not tried again before it is another one."""
    no_database(path)
    before = path.read_bytes()
    store = open_host(path)
    store.outcomes.record(entry())
    check_now(store)
    store.outcomes.record(entry())
    assert store.degraded is not None
    assert path.read_bytes() == before
    assert counts(store) == {"gpt-4o": 2}


def test_half_a_database(path: Path, open_host: OpenHost) -> None:
    """A truncated file is noticed at the latest when it is written, and outcomes wait."""
    truncated(path)
    store = open_host(path)
    for number in range(100):
        store.outcomes.record(entry(f"new-{number}"))
    store.tallies.all()
    store.close()
    kept = sum(len(batch.entries) for batch in map(read_batch, waiting(path)) if batch is not None)
    path.unlink()
    again = open_host(path)
    assert again.degraded is None
    assert sum(counts(again).values()) == kept > 0


def test_what_was_known_goes_on_counting(path: Path, open_host: OpenHost) -> None:
    """Without SQLite choices go on from what the database still tells, and from what comes in."""
    store = open_host(path)
    store.outcomes.record(entry("a"))
    store.close()
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.write_text("")  # no folder: nothing can be written there
    store = open_host(path)
    assert counts(store) == {}
    store.outcomes.record(entry("b"))
    path.parent.unlink()
    shutil.move(path.parent.with_name("moved"), path.parent)
    check_now(store)
    assert counts(store) == {"a": 1, "b": 1}


def test_evidence_in_memory_outlives_the_database(path: Path, open_host: OpenHost) -> None:
    """When the file fails under a running host, what it had handed out goes on counting."""
    store = open_host(path)
    for _ in range(3):
        store.outcomes.record(entry("a"))
    store.tallies.of("execute-task")
    path.unlink()
    path.with_name(f"{path.name}-wal").unlink()
    no_database(path)
    check_now(store)
    store.outcomes.record(entry("b"))
    assert store.degraded is not None
    assert counts(store) == {"a": 3, "b": 1}


def test_a_deleted_database_is_noticed(path: Path, open_host: OpenHost) -> None:
    """A file that is deleted under a host is made anew, with the outcomes of the last second in it."""
    store = open_host(path)
    store.outcomes.record(entry("a"))
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink()
    store.outcomes.record(entry("b"))
    check_now(store)
    store.outcomes.record(entry("c"))
    assert in_database(path) == {"a": 1, "b": 1, "c": 1}


def test_outcomes_survive_the_process(path: Path, open_host: OpenHost) -> None:
    """What a host that is killed without SQLite had acknowledged is moved by the next one that opens the database."""
    no_database(path)
    script = (
        "import os, sys; from modelperf_plugin.store import open_with_fallback, Entry\n"
        "from modelperf_plugin.values import Outcome\n"
        "store = open_with_fallback(sys.argv[1])\n"
        "for n in range(50): store.outcomes.record(Entry('execute-task', 'a', Outcome(success=True), 0))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, stderr=subprocess.DEVNULL)
    degraded = open_host(path)
    assert counts(degraded) == {"a": 50}, "a second process without SQLite knows of them"
    degraded.outcomes.record(entry("b"))
    path.unlink()
    check_now(degraded)
    degraded.outcomes.record(entry("c"))
    assert in_database(path) == {"a": 50, "b": 1, "c": 1}
    assert waiting(path) == []


def test_a_batch_is_moved_once(path: Path, open_host: OpenHost, tmp_path: Path) -> None:
    """Whoever dies between the commit and the deletion of the file leaves a batch that is known as moved."""
    no_database(path)
    store = open_host(path)
    store.outcomes.record_many([entry("a"), entry("a")])
    (file,) = waiting(path)
    saved = tmp_path / "saved"
    shutil.copy(file, saved)
    path.unlink()
    check_now(store)
    store.outcomes.record(entry("b"))
    store.close()
    shutil.copy(saved, file)  # as if the process had died just before it deleted it
    again = open_host(path)
    assert in_database(path) == {"a": 2, "b": 1}
    assert waiting(path) == []
    again.close()


def test_a_batch_that_may_have_been_moved_grows_no_more(path: Path, open_host: OpenHost) -> None:
    """After an attempt to move a batch, of which nobody knows how it ended, new outcomes go into another batch."""
    no_database(path)
    store = open_host(path)
    store.outcomes.record(entry("a"))
    path.unlink()
    open_store(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TRIGGER haunted AFTER INSERT ON event BEGIN SELECT RAISE(ABORT, 'haunted'); END")
        check_now(store)
        store.outcomes.record(entry("b"))
        assert store.degraded is not None
        assert len(waiting(path)) == 2
        other.execute("DROP TRIGGER haunted")
    check_now(store)
    store.outcomes.record(entry("c"))
    assert in_database(path) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_spool_of_a_released_version_is_replayed(
    path: Path, open_host: OpenHost, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The format on the disk is a contract, and so are the three places."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = places(str(path))[number].batch("0123456789abcdef")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        '{"modelperf":1,"batch":"0123456789abcdef","database":"/x.db","reason":"full","pid":1,"since_ms":1767268800000}\n'
        '["execute-task","a",1767268800000,{"success":true,"timeout":false,"tokens_used":10,"cost_usd":0.1}]\n'
        '["execute-task","b",1767268800000,{"success":false,"error_kind":"network","outcome_id":"1"}]\n'
    )
    assert counts(open_host(path)) == {"a": 1, "b": 1}
    assert waiting(path) == []


def test_torn_lines_are_nobodys_outcome(path: Path, open_host: OpenHost) -> None:
    """What a crash left of a line was never acknowledged; lines before it count."""
    no_database(path)
    store = open_host(path)
    store.outcomes.record(entry("a"))
    store.close()
    (file,) = waiting(path)
    with file.open("ab") as stream:
        stream.write(b'["execute-task","b",17672')
    path.unlink()
    assert counts(open_host(path)) == {"a": 1}


def test_the_summary_has_the_shape_of_the_document(path: Path, open_host: OpenHost) -> None:
    """The counts that wait are there for people and other tools, in the shape of the older JSON tracker."""
    no_database(path)
    store = open_host(path)
    store.outcomes.record_many([entry("gpt-4o", success=number > 0) for number in range(4)])
    store.close()
    row = json.loads(path.with_suffix(".json").read_text())["execute-task"]["gpt-4o"]
    assert (row["successes"], row["failures"], row["successRate"], row["totalTokens"]) == (3, 1, 0.75, 40)
    assert row["waitsForDatabase"] is True


def test_the_file_of_an_older_tracker_is_left_alone(path: Path, open_host: OpenHost) -> None:
    """A JSON file that is not ours is neither replaced nor deleted."""
    no_database(path)
    old = '{"execute-task": {"gpt-4o": {"successes": 42, "failures": 3, "successRate": 0.93}}}'
    path.with_suffix(".json").write_text(old)
    store = open_host(path)
    store.outcomes.record(entry())
    path.unlink()
    check_now(store)
    store.outcomes.record(entry())
    assert store.degraded is None
    assert path.with_suffix(".json").read_text() == old


def test_it_is_said_once(path: Path, open_host: OpenHost, caplog: pytest.LogCaptureFixture) -> None:
    """One error when it begins, one warning when it ends, and one problem for the doctor."""
    no_database(path)
    store = open_host(path)
    for _ in range(5):
        check_now(store)
        store.outcomes.record(entry())
    path.unlink()
    check_now(store)
    store.outcomes.record(entry())
    said = [record.levelno for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == [logging.ERROR, logging.WARNING]
    (problem,) = store.problems.all()
    assert (problem.kind, problem.times) == ("the store", 1)


def test_decisions_made_meanwhile_are_kept(path: Path) -> None:
    """Choices go on, and their record with its outcomes is in the database as soon as there is one."""
    no_database(path)
    with ModelPerf({}, store=path) as engine:
        decision = engine.select("execute-task", ["a", "b"])
        assert decision is not None
        engine.record("execute-task", decision.model_id, Outcome(success=True), decision)
        engine._decision_writer.close()
        path.unlink()
        check_now(engine.tracker.store)
        kept = engine.store.decisions.get(decision.decision_id)
    assert kept is not None
    assert kept.outcome is not None
    assert in_database(path) == {decision.model_id: 1}


def test_decisions_made_meanwhile_are_moved_a_few_at_a_time(path: Path) -> None:
    """However many there are, no call moves more than a few; all of them are in the database when the host closes."""
    no_database(path)
    made = [
        DecisionRecord(f"{number:020x}", 1_000, "t", "a", 1.0, False, 0.0, "apply", "p", "{}") for number in range(500)
    ]
    with closing(open_with_fallback(path)) as store:
        for each in made:
            store.decisions.write([each], [])
        path.unlink()
        check_now(store)
        assert store.tallies.of("t") == {}
        moved = [store.decisions.summary(0).total.decisions]
        for _ in range(3):
            store.outcomes.record(Entry("t", "a", Outcome(success=True), 1_000))
            moved.append(store.decisions.summary(0).total.decisions)
    assert store.degraded is None
    assert all(0 < after - before <= 100 for before, after in pairwise([0, *moved]))
    with closing(open_store(path)) as there:
        assert there.decisions.summary(0).total.decisions == len(made)


def test_pauses_grow(path: Path, open_host: OpenHost) -> None:
    """SQLite is tried again after 1 second, then 2, up to 60; between that nothing is opened."""
    a_folder(path)
    store = open_host(path)
    pauses = []
    for _ in range(8):
        check_now(store)
        store.outcomes.record(entry())
        pauses.append(switch_of(store)._backoff._seconds)
    assert pauses == [4, 8, 16, 32, 60, 60, 60, 60]


def test_a_locked_database_is_not_a_failure(path: Path, monkeypatch: pytest.MonkeyPatch, open_host: OpenHost) -> None:
    """A database that somebody else has locked works: it is waited for, and then the outcome waits beside it."""
    store = open_host(path)
    store.outcomes.record(entry())
    monkeypatch.setattr(
        switch_of(store).store.outcomes, "record", lambda *_: (_ for _ in ()).throw(StoreBusyError("locked"))
    )
    assert store.outcomes.record(entry())
    assert len(waiting(path)) == 1
    assert store.degraded is None
    store.close()
    assert in_database(path) == {"gpt-4o": 2}


def test_what_is_not_ours_is_refused(path: Path) -> None:
    """A newer version's file and another program's are errors at opening, and outcomes go nowhere else."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE contacts (name)")
    with pytest.raises(NotATrackerError):
        open_with_fallback(path)
    path.unlink()
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreVersionError):
        open_with_fallback(path)
    assert waiting(path) == []


def test_nowhere_to_write(
    path: Path, open_host: OpenHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no file at all can be written, outcomes wait in memory, and it is said how many are lost at the end."""
    blocked = path.parent / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    store = open_host(blocked / "outcomes.db")
    store.outcomes.record(entry())
    assert counts(store) == {"gpt-4o": 1}
    assert "memory only" in caplog.messages[0]
    store.close()
    assert "1 outcomes are lost" in caplog.messages[-1]


def test_forks_keep_batches_apart(path: Path, open_host: OpenHost) -> None:
    """A child that goes on without SQLite writes a file of its own, and all outcomes are moved once."""
    no_database(path)
    store = open_host(path)
    store.outcomes.record(entry("parent"))
    child = os.fork()
    if child == 0:
        try:
            store.outcomes.record(entry("child"))
            store.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    store.outcomes.record(entry("parent"))
    path.unlink()
    check_now(store)
    store.outcomes.record(entry("parent"))
    assert in_database(path) == {"parent": 3, "child": 1}


def test_a_host_changes_its_working_directory(path: Path, open_host: OpenHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is that of the moment in which the store was opened, wherever the host goes then."""
    monkeypatch.chdir(path.parent)
    store = open_host(Path(path.name))
    store.outcomes.record(entry("a"))
    monkeypatch.chdir(path.parent.parent)
    check_now(store)
    store.outcomes.record(entry("b"))
    assert counts(store) == {"a": 1, "b": 1}
    assert in_database(path) == {"a": 1, "b": 1}


def test_files_of_somebody_else_are_not_ours(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What another user has put into the temporary folder under our name is not read, and nothing is put there."""
    if os.geteuid() != 0:
        pytest.skip("only root can act for somebody else")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = places(str(path))[-1]
    place.folder.mkdir()
    header = {"modelperf": 1, "batch": "f00", "since_ms": 0, "reason": ""}
    line = ["execute-task", "evil", 0, {"success": True}]
    place.batch("f00").write_text(f"{json.dumps(header)}\n{json.dumps(line)}\n")
    os.chown(place.folder, 65534, 65534)
    assert waiting(path) == []
    os.chown(place.folder, 0, 0)
    assert waiting(path) == [place.batch("f00")]
