"""Threads that share a commit, and processes that take turns."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.store import DecisionOutcome, DecisionRecord, Entry, Joining, Store, open_store
from modelperf_plugin.store.commit_queue import CommitQueue, Ticket
from modelperf_plugin.store.lock import ProcessLock
from modelperf_plugin.store.sqlite.store import SqliteStore
from modelperf_plugin.values import LaterTries, Outcome

GOOD = Entry("t", "m", Outcome(success=True), 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Return a new store in a file, with one outcome."""
    opened = open_store(tmp_path / "x.db")
    assert isinstance(opened, SqliteStore)
    opened.outcomes.record(GOOD)
    yield opened
    opened.close()


def is_sound(store: Store) -> bool:
    """Return whether tallies and roll-up are the aggregate of the events."""
    return all(finding.ok for finding in store.maintenance.check())


def start(store: SqliteStore, entries: list[Entry]) -> tuple[list[threading.Thread], dict[int, Any]]:
    """Record each entry in a thread of its own, when all stand in line; return the threads and what became of them."""
    became: dict[int, Any] = {}

    def work(number: int, entry: Entry) -> None:
        try:
            became[number] = store.outcomes.record(entry)
        except Exception as error:  # noqa: BLE001 - it is looked at later
            became[number] = error

    threads = [threading.Thread(target=work, args=item) for item in enumerate(entries)]
    for thread in threads:
        thread.start()
    return threads, became


def wait_for_line(store: SqliteStore, length: int) -> None:
    """Wait until so many threads stand in line."""
    while len(store.connection.queue._waiting) < length:
        time.sleep(0.001)


def together(store: SqliteStore, entries: list[Entry]) -> dict[int, Any]:
    """Let entries come while the store is being written to, so that they are in one batch."""

    def line_up(_: sqlite3.Connection) -> tuple[list[threading.Thread], dict[int, Any]]:
        started = start(store, entries)
        wait_for_line(store, len(entries))
        return started

    threads, became = store.connection.write(line_up)
    for thread in threads:
        thread.join(timeout=30)
    return became


def commits(store: SqliteStore) -> int:
    """Return a number that grows with every commit of the writer."""
    return int(store.connection.reader.execute("PRAGMA data_version").fetchone()[0])


def test_those_who_wait_share_a_commit(store: SqliteStore) -> None:
    """Outcomes of ten threads that wait are written in one transaction, and each caller returns."""
    statements: list[str] = []
    store.connection.writer.set_trace_callback(statements.append)
    became = together(store, [GOOD] * 10)
    store.connection.writer.set_trace_callback(None)
    assert became == dict.fromkeys(range(10), True)
    assert statements.count("BEGIN IMMEDIATE") == 2  # that of the test, and theirs
    assert store.tallies.of("t")["m"].successes == 11
    assert is_sound(store)


def test_those_who_share_a_commit_store_their_decisions_with_it(store: SqliteStore) -> None:
    """An outcome that another thread writes has its decision in the same transaction, too."""
    record = DecisionRecord("d1", 1, "t", "m", 1.0, False, 0.0, "apply", "0123456789ab", "{}")
    joining = Joining(record, DecisionOutcome("d1", "m", GOOD.outcome, GOOD.ended_ms))

    def line_up(_: sqlite3.Connection) -> threading.Thread:
        thread = threading.Thread(target=store.outcomes.record, args=(GOOD, joining))
        thread.start()
        wait_for_line(store, 1)
        return thread

    store.connection.write(line_up).join(timeout=30)
    assert joining.is_stored
    assert store.connection.fetch("SELECT id, outcome_model_id FROM decision") == [("d1", "m")]
    assert is_sound(store)


def test_a_poisoned_outcome_fails_alone(store: SqliteStore) -> None:
    """What cannot be written, or is known, fails for its own caller; the rest of the batch is there."""
    known = Entry("t", "m", Outcome(success=True, outcome_id="known"), 1)
    store.outcomes.record(known)
    poisoned = Entry("t", "\ud800", Outcome(success=True), 1)
    too_much = Entry("t", "full", Outcome(success=True), 1)
    store.connection.writer.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.event "
        "WHEN NEW.tally_id IN (SELECT id FROM tally WHERE model_id = 'full') BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    became = together(store, [GOOD, poisoned, known, too_much, GOOD])
    assert (became[0], became[2], became[4]) == (True, False, True)
    assert isinstance(became[1], UnicodeEncodeError)
    assert isinstance(became[3], StoreError)
    assert store.tallies.of("t")["m"].successes == 4
    assert "full" not in store.tallies.of("t")


def test_later_tries_share_a_commit_with_first_ones(store: SqliteStore) -> None:
    """Each outcome of a batch keeps what had failed before it, also if its set is new; a known one changes nothing."""
    later = [GOOD._replace(tried=tried) for tried in (("a",), ("a", "b"), ("a",))]
    known = Entry("t", "m", Outcome(success=True, outcome_id="known"), 1, ("a",))
    store.outcomes.record(known)
    became = together(store, [GOOD, *later, known._replace(tried=("new",))])
    assert [became[number] for number in range(5)] == [True, True, True, True, False]
    assert store.tallies.later("t") == {"m": {("a",): LaterTries(3, 0, 0), ("a", "b"): LaterTries(1, 0, 0)}}
    assert store.tallies.of("t")["m"].later_successes == 4
    assert is_sound(store)


def test_a_commit_that_fails_is_an_error_for_all(store: SqliteStore) -> None:
    """If the transaction as a whole fails, every caller is told and nothing of it is there; the next one works."""
    commits = []

    def forbid(action: int, what: str | None, *_: object) -> int:
        if (action, what) != (sqlite3.SQLITE_TRANSACTION, "COMMIT"):
            return sqlite3.SQLITE_OK
        commits.append(what)
        return sqlite3.SQLITE_OK if len(commits) == 1 else sqlite3.SQLITE_DENY  # the first is that of the test

    store.connection.writer.set_authorizer(forbid)
    became = together(store, [GOOD] * 4)
    assert all(isinstance(error, StoreError) for error in became.values())
    assert len({id(error) for error in became.values()}) == 4
    store.connection.writer.set_authorizer(None)
    assert store.tallies.of("t")["m"].successes == 1
    assert store.outcomes.record(GOOD)
    assert is_sound(store)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_is_for_one_thread_only(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Ctrl-C hits whoever is writing for all: its own outcome may be lost, those of the others are written once."""
    execute = store.connection.execute
    interrupted: list[str] = []

    def interrupt(sql: str, *parameters: Any) -> sqlite3.Cursor:
        done = execute(sql, *parameters) if when == "after" else None
        if not interrupted and "INSERT" in sql:
            interrupted.append(sql)
            raise KeyboardInterrupt
        return done or execute(sql, *parameters)

    became: list[object] = []

    def line_up(_: sqlite3.Connection) -> tuple[list[threading.Thread], dict[int, Any]]:
        threads, others = start(store, [GOOD] * 3)
        wait_for_line(store, 3)
        monkeypatch.setattr(store.connection, "execute", interrupt)

        def leader() -> None:
            try:
                became.append(store.outcomes.record(GOOD))
            except KeyboardInterrupt as error:
                became.append(error)

        thread = threading.Thread(target=leader)
        thread.start()
        wait_for_line(store, 4)
        waiting = store.connection.queue._waiting
        store.connection.queue._waiting = dict(reversed(waiting.items()))  # the last to come is woken first
        return [*threads, thread], others

    threads, others = store.connection.write(line_up)
    for each in threads:
        each.join(timeout=30)
    assert isinstance(became[0], KeyboardInterrupt)
    assert others == dict.fromkeys(range(3), True)
    assert store.tallies.of("t")["m"].successes == 4
    assert is_sound(store)


def test_threads_wait_no_longer_than_the_deadline(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands in line for too long is told so, and nothing of it is written later."""
    monkeypatch.setattr(store.connection, "patience", 0.05)

    def keep_waiting(_: sqlite3.Connection) -> dict[int, Any]:
        threads, became = start(store, [GOOD] * 2)
        for thread in threads:
            thread.join(timeout=30)
        return became

    became = store.connection.write(keep_waiting)
    assert [type(error) for error in became.values()] == [StoreBusyError] * 2
    assert store.tallies.of("t")["m"].successes == 1
    assert store.outcomes.record(GOOD)


def test_another_process_that_holds_the_lock_is_waited_for(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the deadline the error says who is in the way; when the lock is free again, recording works."""
    monkeypatch.setattr(store.connection, "patience", 0.05)
    other = ProcessLock(Path(f"{store.location}.lock"))
    other.acquire(time.monotonic() + 1.0)
    with pytest.raises(StoreBusyError, match=r"other processes have held .*\.lock for more than 0.05 s"):
        store.outcomes.record(GOOD)
    with pytest.raises(StoreBusyError):
        store.outcomes.record_many([GOOD])
    other.close()
    assert store.outcomes.record(GOOD)
    assert store.tallies.of("t")["m"].successes == 2


@pytest.mark.parametrize("threads", [1, 4])
def test_a_program_that_keeps_the_database_locked(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """All waits of a call together take no longer than it may, whether it writes alone, for others, or many at once."""
    patience = 0.4
    monkeypatch.setattr(store.connection, "patience", patience)
    calls: list[Callable[[], object]] = [
        lambda: store.outcomes.record(GOOD),
        lambda: store.outcomes.record_many([GOOD]),
        store.problems.clear,
    ]
    waits: list[float] = []

    def work(call: Callable[[], object]) -> None:
        started = time.monotonic()
        with pytest.raises(StoreBusyError, match=r"for more than 0.4 s"):
            call()
        waits.append(time.monotonic() - started)

    with closing(sqlite3.connect(store.location, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for call in calls:
            together = [threading.Thread(target=work, args=[call]) for _ in range(threads)]
            for thread in together:
                thread.start()
            for thread in together:
                thread.join()
    assert len(waits) == threads * len(calls)
    assert max(waits) < 1.9 * patience, "one wait after another"
    assert store.outcomes.record(GOOD)
    assert store.tallies.of("t")["m"].successes == 2


def test_a_choice_does_not_wait_for_a_writer(store: SqliteStore) -> None:
    """Evidence is read while another thread of ours is in a transaction, and while another process holds the lock."""
    other = ProcessLock(Path(f"{store.location}.lock"))
    other.acquire(time.monotonic() + 1.0)
    threads, _ = start(store, [GOOD])
    assert store.tallies.of("t")["m"].successes == 1
    other.close()
    threads[0].join(timeout=30)
    assert store.tallies.of("t")["m"].successes == 2


def test_a_choice_does_not_wait_for_a_long_write_in_memory() -> None:
    """A store in memory has one connection: while a thread keeps it for long, what was known before is the answer."""
    store = open_store(":memory:")
    assert isinstance(store, SqliteStore)
    store.outcomes.record(GOOD)
    before = store.tallies.of("t")
    begun, stop = threading.Event(), threading.Event()

    def write(_: sqlite3.Connection) -> None:
        store.connection.cache.clear()
        begun.set()
        stop.wait(timeout=30)

    thread = threading.Thread(target=lambda: store.connection.write(write))
    thread.start()
    begun.wait(timeout=30)
    assert store.tallies.of("t") is before
    stop.set()
    thread.join()
    store.outcomes.record(GOOD)
    assert store.tallies.of("t")["m"].successes == 2
    store.close()


def test_a_program_that_knows_nothing_of_the_lock(store: SqliteStore) -> None:
    """Another program in a transaction on the file is waited for by SQLite's own means."""
    foreign = sqlite3.connect(store.location, isolation_level=None, check_same_thread=False)
    foreign.execute("BEGIN IMMEDIATE")
    foreign.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'm', 0)")
    timer = threading.Timer(0.2, foreign.execute, ("COMMIT",))
    timer.start()
    assert store.outcomes.record(GOOD)
    timer.join()
    foreign.close()
    assert store.tallies.of("t")["m"][2:4] == (2, 1)


def test_a_signal_handler_that_records_while_recording(store: SqliteStore) -> None:
    """Code that interrupts a transaction of its own thread gets an error at once, and does not wait for itself."""

    def interrupted(_: sqlite3.Connection) -> None:
        for record in (store.outcomes.record, lambda entry: store.outcomes.record_many([entry])):
            with pytest.raises(StoreBusyError, match="interrupted"):
                record(GOOD)

    store.connection.write(interrupted)
    assert store.outcomes.record(GOOD)


def test_a_line_is_orderly() -> None:
    """Whoever was taken and not served goes back to the head of the line."""
    line = CommitQueue()
    tickets = [Ticket(GOOD) for _ in range(3)]
    for ticket in tickets[:2]:
        line.join(ticket)
    batch = line.take()
    assert batch.tickets == tickets[:2]
    assert not line.leave(tickets[0]), "it is being served"
    line.join(tickets[2])
    tickets[0].error = ValueError()
    line.done()
    assert line.take().tickets == tickets[1:]
    assert [ticket.served for ticket in tickets] == [True, False, False]


WORKER = """
import json, sys, time
from modelperf_plugin.store import Entry, open_store
from modelperf_plugin.values import LaterTries, Outcome

# patient, because the disk of a busy machine may keep the holder for seconds: whether somebody starves, the counts tell
store = open_store(sys.argv[1], durability=sys.argv[2])
store.connection.patience = 60.0
entry = Entry("t", "m", Outcome(success=True), 1)
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + float(sys.argv[3])
count, longest = 0, 0.0
while time.monotonic() < end:
    started = time.monotonic()
    store.outcomes.record(entry)
    longest = max(longest, time.monotonic() - started)
    count += 1
print(json.dumps([count, longest]))
store.close()
"""


@pytest.mark.parametrize("durability", ["normal", "full"])
@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_processes_take_turns(tmp_path: Path, durability: str, seconds: int) -> None:
    """Eight processes that saturate one file: nobody fails, nobody starves, nothing is lost."""
    path = tmp_path / "x.db"
    command = [sys.executable, "-W", "error", "-c", WORKER, str(path), durability, str(seconds)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") for _ in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8
    counts = [json.loads(answer)[0] for answer in answers]
    store = open_store(path)
    assert store.tallies.of("t")["m"].successes == sum(counts)
    assert is_sound(store)
    store.close()
    if seconds >= 10:
        assert min(counts) >= sum(counts) / 8 / 2


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_stopped_holder_of_the_lock(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped while it holds the lock makes others fail in time; when it is killed, they go on."""
    monkeypatch.setattr(store.connection, "patience", 0.05)
    holder = (
        "import sys, time; from pathlib import Path; from modelperf_plugin.store.lock import ProcessLock\n"
        "lock = ProcessLock(Path(sys.argv[1])); lock.acquire(time.monotonic() + 1.0)\n"
        "print(flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", holder, f"{store.location}.lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreBusyError):
            store.outcomes.record(GOOD)
        process.kill()
        process.wait()
    assert store.outcomes.record(GOOD)


@pytest.mark.parametrize("clears", [False, True])
def test_counts_that_are_being_read_are_not_kept_if_a_handler_records_meanwhile(
    store: SqliteStore, *, clears: bool
) -> None:
    """What a signal handler records between the reading of counts and the end of that is in the next answer."""
    connection = store.connection
    outcome = Outcome(success=False, outcome_id="known")
    store.outcomes.record(Entry("t", "m", outcome, 1))
    connection.cache.clear()

    def handle(_: object, row: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(row) == 1:
            return row  # the version of the file
        connection.reader.row_factory = None
        changed = Outcome(success=True, outcome_id="known") if clears else Outcome(success=True)
        store.outcomes.record(Entry("t", "m", changed, 2))
        return row

    connection.reader.row_factory = handle
    store.tallies.of("t")
    assert connection.reader.row_factory is None
    found = store.tallies.of("t")["m"]
    assert (found.successes, found.samples) == ((2, 2) if clears else (2, 3))
