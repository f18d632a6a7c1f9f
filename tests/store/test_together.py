"""Threads that share a commit, and processes that take turns."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.store import Entry, Store, open_store
from modelperf_plugin.store.lock import ProcessLock
from modelperf_plugin.store.sqlite import connection as connection_module
from modelperf_plugin.store.sqlite import outcomes as outcomes_module
from modelperf_plugin.store.sqlite.commit_queue import CommitQueue, Ticket
from modelperf_plugin.store.sqlite.store import SqliteStore
from modelperf_plugin.values import MAX_TOKENS, Outcome

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
    with store.connection.writing():
        threads, became = start(store, entries)
        wait_for_line(store, len(entries))
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


def test_a_poisoned_outcome_fails_alone(store: SqliteStore) -> None:
    """What cannot be written, or is known, fails for its own caller; the rest of the batch is there."""
    known = Entry("t", "m", Outcome(success=True, outcome_id="known"), 1)
    store.outcomes.record(known)
    poisoned = Entry("t", "\ud800", Outcome(success=True), 1)
    too_much = Entry("t", "full", Outcome(success=True, tokens_used=MAX_TOKENS), 1)
    with store.connection.writing():
        store.connection.writer.execute(
            "INSERT INTO tally (task_type, model_id, tokens) VALUES ('t', 'full', ?)", (2**63 - 1,)
        )
    became = together(store, [GOOD, poisoned, known, too_much, GOOD])
    assert (became[0], became[2], became[4]) == (True, False, True)
    assert isinstance(became[1], UnicodeEncodeError)
    assert isinstance(became[3], StoreError)
    assert store.tallies.of("t")["m"].successes == 4
    assert "full" not in store.tallies.of("t")


def test_a_commit_that_fails_is_an_error_for_all(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the transaction as a whole fails, every caller is told and nothing of it is there; the next one works."""
    execute = store.connection.execute

    def fail(statement: str, *parameters: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return execute(statement, *parameters)

    monkeypatch.setattr(store.connection, "execute", fail)
    became = together(store, [GOOD] * 4)
    assert all(isinstance(error, StoreError) for error in became.values())
    assert len({id(error) for error in became.values()}) == 4
    monkeypatch.undo()
    assert store.tallies.of("t")["m"].successes == 1
    assert store.outcomes.record(GOOD)
    assert is_sound(store)


@pytest.mark.parametrize(("statement", "written"), [("INSERT", 4), ("COMMIT", 4), ("after COMMIT", 5)])
def test_an_interrupt_is_for_one_thread_only(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, statement: str, written: int
) -> None:
    """Ctrl-C hits whoever is writing for all: its own outcome may be lost, those of the others are written once."""
    execute = store.connection.execute
    interrupted: list[str] = []

    def interrupt(sql: str, *parameters: Any) -> sqlite3.Cursor:
        done = execute(sql, *parameters) if statement == "after COMMIT" else None
        if not interrupted and statement.rsplit(maxsplit=1)[-1] in sql:
            interrupted.append(sql)
            raise KeyboardInterrupt
        return done or execute(sql, *parameters)

    became: list[object] = []
    with store.connection.writing():
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
        store.connection.queue._waiting.reverse()  # the last to come is woken first
    for each in (*threads, thread):
        each.join(timeout=30)
    assert isinstance(became[0], KeyboardInterrupt)
    assert others == dict.fromkeys(range(3), True)
    assert store.tallies.of("t")["m"].successes == written
    assert is_sound(store)


def test_threads_wait_no_longer_than_the_deadline(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands in line for too long is told so, and nothing of it is written later."""
    monkeypatch.setattr(connection_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(outcomes_module, "BUSY_SECONDS", 0.05)
    with store.connection.writing():
        threads, became = start(store, [GOOD] * 2)
        for thread in threads:
            thread.join(timeout=30)
    assert [type(error) for error in became.values()] == [StoreBusyError] * 2
    assert store.tallies.of("t")["m"].successes == 1
    assert store.outcomes.record(GOOD)


def test_another_process_that_holds_the_lock_is_waited_for(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the deadline the error says who is in the way; when the lock is free again, recording works."""
    monkeypatch.setattr(connection_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(outcomes_module, "BUSY_SECONDS", 0.05)
    other = ProcessLock(Path(f"{store.location}.lock"))
    other.acquire(1.0)
    with pytest.raises(StoreBusyError, match=r"other processes have held .*\.lock for more than 0.05 s"):
        store.outcomes.record(GOOD)
    with pytest.raises(StoreBusyError):
        store.outcomes.record_many([GOOD])
    other.close()
    assert store.outcomes.record(GOOD)
    assert store.tallies.of("t")["m"].successes == 2


def test_a_choice_does_not_wait_for_a_writer(store: SqliteStore) -> None:
    """Evidence is read while another thread of ours is in a transaction, and while another process holds the lock."""
    other = ProcessLock(Path(f"{store.location}.lock"))
    other.acquire(1.0)
    threads, _ = start(store, [GOOD])
    assert store.tallies.of("t")["m"].successes == 1
    other.close()
    threads[0].join(timeout=30)
    assert store.tallies.of("t")["m"].successes == 2


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
    with store.connection.writing(), pytest.raises(StoreBusyError, match="interrupted"):
        store.outcomes.record(GOOD)
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
from modelperf_plugin.values import Outcome

store = open_store(sys.argv[1], durability=sys.argv[2])
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
@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.slow)])
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
    if seconds >= 60:
        assert min(counts) >= sum(counts) / 8 / 2


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_stopped_holder_of_the_lock(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped while it holds the lock makes others fail in time; when it is killed, they go on."""
    monkeypatch.setattr(connection_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(outcomes_module, "BUSY_SECONDS", 0.05)
    holder = (
        "import sys, time; from pathlib import Path; from modelperf_plugin.store.lock import ProcessLock\n"
        "lock = ProcessLock(Path(sys.argv[1])); lock.acquire(1.0); print(flush=True); time.sleep(600)\n"
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
