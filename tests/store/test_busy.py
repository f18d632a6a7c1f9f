"""Other processes keep the database busy: nothing waits for long, nothing is lost, and nothing counts twice."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.store import Entry, Store, open_store, open_with_fallback
from modelperf_plugin.store.deadline import within
from modelperf_plugin.store.fallback.own_spool import MAX_BATCH_OUTCOMES
from modelperf_plugin.store.fallback.spool import places
from modelperf_plugin.values import Outcome
from tests.store.faults import LOCK_FILE, SQLITE_LOCK, check_now, held, in_child, switch_of

PATIENCE = 0.2
LONG = 2.0
"""Seconds that no call takes which waits as long as it may, on a busy machine."""
NOON_MS = 1_767_268_800_000

OpenHost = Callable[[], Store]

either_lock = pytest.mark.parametrize(
    "program", [pytest.param(LOCK_FILE, id="lock file"), pytest.param(SQLITE_LOCK, id="SQLite")]
)


def entry(model_id: str = "a", *, outcome_id: str | None = None) -> Entry:
    """Return an outcome on its way into a store."""
    return Entry("t", model_id, Outcome(success=True, tokens_used=10, cost_usd=0.1, outcome_id=outcome_id), NOON_MS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a database with one outcome."""
    path = tmp_path / "x.db"
    with closing(open_store(path)) as store:
        store.outcomes.record(entry("first"))
    return path


@pytest.fixture
def open_host(path: Path) -> Iterator[OpenHost]:
    """Return a function that opens the store as a host does; all are closed at the end."""
    opened: list[Store] = []

    def new() -> Store:
        opened.append(open_with_fallback(path, patience=PATIENCE))
        return opened[-1]

    yield new
    for store in opened:
        store.close()


def counts(store: Store) -> dict[str, int]:
    """Return how many outcomes of each model a choice sees."""
    return {model_id: tally.samples for model_id, tally in store.tallies.of("t").items()}


def in_database(path: Path) -> dict[str, int]:
    """Return how many events of each model another program sees, and check that everything adds up."""
    with closing(open_store(path)) as store:
        assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT model_id, count(*) FROM model_outcomes GROUP BY model_id").fetchall())


def waiting(path: Path) -> list[Path]:
    """Return the files of outcomes that wait for the database."""
    return [file for place in places(str(path)) for file in place.batches()]


def seconds(action: Callable[[], object]) -> float:
    """Return how long ``action`` takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


@either_lock
def test_an_outcome_that_would_wait_is_spooled(path: Path, open_host: OpenHost, program: str) -> None:
    """A record returns after its patience, the next ones at once; all count for choices, and are moved once."""
    store = open_host()
    with held(path, program):
        assert PATIENCE <= seconds(lambda: store.outcomes.record(entry("a"))) < LONG
        assert seconds(lambda: [store.outcomes.record(entry("b")) for _ in range(50)]) < LONG
        assert store.degraded is None
        assert counts(store) == {"a": 1, "b": 50, "first": 1}
        assert len(waiting(path)) == 1
    assert store.outcomes.record(entry("c"))
    assert waiting(path) == []
    assert counts(store) == {"a": 1, "b": 50, "c": 1, "first": 1}
    assert in_database(path) == {"a": 1, "b": 50, "c": 1, "first": 1}


@either_lock
def test_many_outcomes_at_once_are_spooled(path: Path, open_host: OpenHost, program: str) -> None:
    """What is recorded together waits together, also behind single outcomes."""
    store = open_host()
    with held(path, program):
        assert store.outcomes.record_many([entry("a"), entry("b")]) == 2
        assert store.outcomes.record(entry("c"))
        assert seconds(lambda: store.outcomes.record_many([entry("d")] * 3)) < LONG
        assert counts(store) == {"a": 1, "b": 1, "c": 1, "d": 3, "first": 1}
    assert store.outcomes.record_many([entry("e")]) == 1
    assert in_database(path) == {"a": 1, "b": 1, "c": 1, "d": 3, "e": 1, "first": 1}


def test_ids_are_unique_whether_they_wait_or_not(path: Path, open_host: OpenHost) -> None:
    """An id counts once: known to the database, waiting already, twice in one call, or recorded elsewhere meanwhile."""
    store, other = open_host(), open_host()
    assert store.outcomes.record(entry("a", outcome_id="1"))
    with held(path):
        assert not store.outcomes.record(entry("a", outcome_id="1"))
        assert store.outcomes.record(entry("b", outcome_id="2"))
        assert not store.outcomes.record(entry("b", outcome_id="2"))
        assert store.outcomes.record_many([entry("b", outcome_id="2"), entry("c", outcome_id="3")] * 2) == 1
        assert other.outcomes.record(entry("b", outcome_id="2"))
    assert not other.outcomes.record(entry("b", outcome_id="2"))
    assert not store.outcomes.record(entry("c", outcome_id="3"))
    assert in_database(path) == {"a": 1, "b": 1, "c": 1, "first": 1}


def test_a_long_backlog_is_moved_in_steps_and_in_order(path: Path, open_host: OpenHost) -> None:
    """No record moves more than one batch, and later outcomes wait behind the earlier ones."""
    store = open_host()
    with held(path):
        for number in range(2 * MAX_BATCH_OUTCOMES + 1):
            store.outcomes.record(entry(f"m{number:03}"))
        assert len(waiting(path)) == 3
    store.outcomes.record(entry("later"))
    assert len(waiting(path)) == 2
    assert len(counts(store)) == 2 * MAX_BATCH_OUTCOMES + 3
    while waiting(path):
        store.outcomes.record(entry("later"))
    models = [event.model_id for event in store.events.after(1, 1000)]
    assert models[: 2 * MAX_BATCH_OUTCOMES + 1] == [f"m{number:03}" for number in range(2 * MAX_BATCH_OUTCOMES + 1)]
    assert set(models[2 * MAX_BATCH_OUTCOMES + 1 :]) == {"later"}


def test_closing_moves_what_waits(path: Path, open_host: OpenHost) -> None:
    """A store that is closed once the lock is free leaves nothing behind; one that is closed before waits briefly."""
    store, other = open_host(), open_host()
    with held(path):
        store.outcomes.record(entry("a"))
        other.outcomes.record(entry("b"))
        assert seconds(other.close) < LONG
    store.close()
    assert in_database(path) == {"a": 1, "first": 1}
    assert len(waiting(path)) == 1
    open_host()
    assert in_database(path) == {"a": 1, "b": 1, "first": 1}
    assert waiting(path) == []


def test_without_patience_nothing_waits_at_all(path: Path) -> None:
    """A host may prefer that no record waits; what is spooled is moved all the same."""
    store = open_with_fallback(path, patience=0.0)
    assert store.outcomes.record(entry("a"))
    assert waiting(path) == []
    with held(path):
        assert seconds(lambda: store.outcomes.record(entry("b"))) < PATIENCE
        assert counts(store) == {"a": 1, "b": 1, "first": 1}
    store.close()
    assert waiting(path) == []
    assert in_database(path) == {"a": 1, "b": 1, "first": 1}


def test_opening_does_not_wait_for_long(path: Path, open_host: OpenHost) -> None:
    """A host that starts while others hold the lock knows what is in the file, and its outcomes are spooled."""
    with held(path):
        started = time.monotonic()
        store = open_host()
        assert time.monotonic() - started < LONG
        assert counts(store) == {"first": 1}
        assert seconds(lambda: store.outcomes.record(entry("a"))) < LONG
        assert counts(store) == {"a": 1, "first": 1}
        check_now(store)
        assert seconds(lambda: store.tallies.of("t")) < LONG
    check_now(store)
    assert counts(store) == {"a": 1, "first": 1}
    assert store.degraded is None
    assert in_database(path) == {"a": 1, "first": 1}


def test_threads_that_wait_at_once(path: Path, open_host: OpenHost) -> None:
    """However many threads record, each call returns after its patience, and each outcome counts once."""
    store = open_host()
    took: list[float] = []

    def work() -> None:
        took.extend(seconds(lambda: store.outcomes.record(entry())) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(8)]
    with held(path):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert max(took) < LONG
        assert counts(store) == {"a": 160, "first": 1}
    store.outcomes.record(entry())
    assert in_database(path) == {"a": 161, "first": 1}


def test_choices_see_each_outcome_once_while_it_is_moved(path: Path, open_host: OpenHost) -> None:
    """Whatever is moved meanwhile, by another thread, counts once."""
    store = open_host()
    with held(path):
        for _ in range(4 * MAX_BATCH_OUTCOMES):
            store.outcomes.record(entry())
    seen: set[int] = set()
    stop = threading.Event()

    def choose() -> None:
        while not stop.is_set():
            seen.add(counts(store)["a"])

    thread = threading.Thread(target=choose)
    thread.start()
    while waiting(path):
        switch_of(store).move_waiting()
    stop.set()
    thread.join()
    assert seen == {4 * MAX_BATCH_OUTCOMES}


HOST = """
import os, sys
from modelperf_plugin.store import Entry, open_with_fallback
from modelperf_plugin.values import Outcome
store = open_with_fallback(sys.argv[1], patience=0.05)
entry = Entry("t", "a", Outcome(success=True), 0)
for number in range(100000):
    store.outcomes.record(entry)
    os.write(1, b".")
"""


OPENER = """
import sys
from modelperf_plugin.store import open_with_fallback
print("ready", flush=True)
open_with_fallback(sys.argv[1])
"""


def test_a_host_that_is_killed_while_it_spools(path: Path, open_host: OpenHost) -> None:
    """Every outcome that was acknowledged is moved by the next process that opens the store, and none twice."""
    acknowledged = 0
    for lines in (1, 300):
        with held(path), subprocess.Popen([sys.executable, "-c", HOST, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            acknowledged += len(process.stdout.read(lines))
            process.kill()
            acknowledged += len(process.stdout.read())
    open_host()
    recorded = in_database(path)["a"]
    assert acknowledged <= recorded <= acknowledged + 3, "one outcome may be written and not acknowledged, each time"
    assert waiting(path) == []


def test_a_host_that_is_killed_while_it_moves(path: Path, open_host: OpenHost) -> None:
    """Wherever the move is cut off, another process continues it: no outcome is lost, and none counts twice."""
    expected = 0
    for delay in (0.0, 0.005, 0.02):
        with held(path):

            def spool() -> None:
                store = open_with_fallback(path, patience=0.01)
                for _ in range(MAX_BATCH_OUTCOMES + 10):
                    store.outcomes.record(entry())

            assert in_child(spool) == 0
        expected += MAX_BATCH_OUTCOMES + 10
        with subprocess.Popen([sys.executable, "-c", OPENER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
    store = open_host()
    while waiting(path):
        switch_of(store).move_waiting()
    assert in_database(path) == {"a": expected, "first": 1}
    assert waiting(path) == []


def test_what_was_recorded_together_is_there_as_a_whole_or_not_at_all(path: Path, open_host: OpenHost) -> None:
    """A crash in the middle of a group leaves none of it; what was recorded before stays."""
    store = open_host()
    with held(path):
        store.outcomes.record(entry("a"))
        store.outcomes.record_many([entry("b")] * 3)
        (file,) = waiting(path)
        whole = file.read_bytes()
    store.close()
    file.write_bytes(whole[: whole.rindex(b"[")].replace(b'"batch":"', b'"batch":"other'))
    for _ in range(100):
        open_host().close()  # takes no longer for what waits than its patience
        if not waiting(path):
            break
    assert in_database(path) == {"a": 2, "b": 3, "first": 1}


def test_a_child_leaves_what_waits_to_its_parent(path: Path, open_host: OpenHost) -> None:
    """A fork while outcomes wait: each process moves its own, once."""
    store = open_host()
    with held(path):
        store.outcomes.record(entry("parent"))

        def work() -> None:
            store.outcomes.record(entry("child"))
            store.close()

        assert in_child(work) == 0
        assert counts(store)["parent"] == 1
    check_now(store)
    store.outcomes.record(entry("parent"))
    open_host()
    assert in_database(path) == {"parent": 2, "child": 1, "first": 1}
    assert waiting(path) == []


def test_what_waits_is_moved_with_the_decisions_that_waited_for_the_lock(path: Path) -> None:
    """A host that records nothing more has its outcomes moved in once its decisions could be written."""
    with (
        closing(open_with_fallback(path, patience=LONG)) as host,
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        within(PATIENCE, lambda: host.outcomes.record(entry()))
        assert waiting(path)
        release = threading.Timer(PATIENCE, other.execute, ("ROLLBACK",))
        release.start()
        host.decisions.write([], [])
        release.join()
        assert in_database(path) == {"first": 1, "a": 1}
