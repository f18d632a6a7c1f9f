"""Threads that share a transaction of the PostgreSQL store: each outcome is recorded once, whatever befalls others."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.errors import StoreError, StoreFailedError
from modelperf_plugin.store import DecisionOutcome, DecisionRecord, Entry, Joining, Recorded, open_with_fallback
from modelperf_plugin.store.postgres import groups
from modelperf_plugin.values import Outcome
from tests.interrupting import _Alarm, strike
from tests.postgres import Server
from tests.store.contract.examples import unsound
from tests.store.contract.test_decisions import NOON_MS, decided
from tests.waiting import SOON, wait_until

psycopg = pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store.postgres.store import PostgresStore, open_postgres  # noqa: E402
from tests.store.cutting import Line, line_to  # noqa: E402
from tests.store.test_postgres_away import come_back  # noqa: E402

THREADS = 6


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of an empty schema."""
    return postgres.empty_schema()


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """Return an empty store."""
    with closing(open_postgres(url)) as opened:
        yield opened


@pytest.fixture
def line(url: str) -> Iterator[Line]:
    """Return a line to the server."""
    with line_to(url) as line:
        yield line


def entry(model_id: str = "m", number: int = 0, *, success: bool = True, outcome_id: str | None = None) -> Entry:
    """Return an outcome; its tokens are its number."""
    return Entry("t", model_id, Outcome(success=success, tokens_used=number, outcome_id=outcome_id), NOON_MS)


def waiting(store: PostgresStore) -> int:
    """Return how many outcomes wait for those under way."""
    return len(store.outcomes._groups._queue._waiting)


@contextmanager
def grouped(
    store: PostgresStore, url: str, acts: Sequence[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[list[Future[Any]], Callable[[], None]]]:
    """Yield what becomes of calls in threads, which all wait for one statement, and what lets that go on."""
    monkeypatch.setattr(groups, "_LONG_SECONDS", SOON)
    with ThreadPoolExecutor(len(acts) + 1) as threads, psycopg.connect(url) as other:
        other.execute("LOCK TABLE fresh IN EXCLUSIVE MODE")
        first = threads.submit(store.outcomes.record, entry("first"))
        wait_until(lambda: store.outcomes._groups._holder != 0)
        futures = []
        for number, act in enumerate(acts, 1):
            futures.append(threads.submit(act))
            wait_until(lambda number=number: waiting(store) == number)  # type: ignore[misc]
        yield futures, other.rollback
        other.rollback()
        with suppress(StoreError):
            first.result()


def transactions(url: str) -> list[int]:
    """Return how many outcomes of the queue each transaction has recorded."""
    with psycopg.connect(url) as other:
        return sorted(each for (each,) in other.execute("SELECT count(*) FROM fresh GROUP BY xmin::text").fetchall())


def stored(store: PostgresStore) -> list[int]:
    """Return the numbers of the outcomes in the database, and check that the tallies are their aggregate."""
    assert unsound(store) == []
    return sorted(tokens for (tokens,) in store.connection.fetch_folded("SELECT tokens FROM event"))


def test_those_that_wait_share_a_transaction(store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while a statement is under way is committed together; each thread is told that its outcome is new."""
    store.outcomes.record(entry("first"))
    store.outcomes.record(entry())
    acts = [lambda number=number: store.outcomes.record(entry("m", number)) for number in range(THREADS)]
    with grouped(store, url, acts, monkeypatch) as (futures, _):
        pass
    assert [future.result() for future in futures] == [Recorded.NEW] * THREADS
    assert transactions(url) == [1, 1, 1, THREADS]
    assert stored(store) == [0, 0, 0, *range(THREADS)]


def test_a_group_may_have_outcomes_of_all_kinds(
    store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New names, ids, later tries and decisions share a transaction; known ids and reports are recorded alone."""
    record = store.outcomes.record
    record(entry("known", 1, outcome_id="old"))
    record(entry())
    ids = [f"{number:020x}" for number in range(3)]
    store.decisions.write([DecisionRecord.of(decided(each)) for each in ids[1:]], [])
    store.decisions.report(ids[2], Outcome(success=True), NOON_MS + 1)

    def joining(decision_id: str, *, with_decision: bool) -> Joining:
        outcome = Outcome(success=True, tokens_used=7)
        decision = DecisionRecord.of(decided(decision_id)) if with_decision else None
        return Joining(decision, DecisionOutcome(decision_id, "best", outcome, NOON_MS + 5))

    joinings = [joining(each, with_decision=number == 0) for number, each in enumerate(ids)]
    acts: list[Callable[[], Any]] = [
        lambda: record(entry("m", 2)),
        lambda: record(entry("new", 3)._replace(tried=("a", "b"))),
        lambda: record(entry("new", 4, outcome_id="x")),
        lambda: record(entry("known", 5, success=False, outcome_id="old")),
        *(lambda each=each: record(Entry("t", "best", each.outcome.outcome, NOON_MS + 5), each) for each in joinings),
        lambda: record(entry("new", 6, outcome_id="x")),
    ]
    with grouped(store, url, acts, monkeypatch) as (futures, _):
        pass
    answers = [future.result() for future in futures]
    new, revised = Recorded.NEW, Recorded.REVISED
    assert [*answers[:2], *answers[3:7]] == [new, new, revised, new, new, revised]
    assert sorted([answers[2], answers[7]]) == [new, revised]
    assert [each.is_stored for each in joinings] == [True] * 3
    assert [len(each.joined) for each in joinings[:2]] == [1, 1]
    logged = {record.decision_id: joined for _, record, joined in store.decisions.after(0, 10)}
    assert [logged[each] is not None for each in ids] == [True] * 3
    assert store.tallies.later("t")["new"]["a", "b"].successes == 1
    counted = {name: tally.samples for name, tally in store.tallies.of("t").items()}
    assert counted == {"known": 1, "m": 2, "new": 2, "best": 2, "first": 1}
    assert unsound(store) == []


@pytest.mark.parametrize("bad", ["a\x00b", "\ud800"])
def test_one_that_cannot_be_stored_fails_alone(
    store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    """Its thread gets the error; the others of the group are recorded."""
    acts = [lambda name=name: store.outcomes.record(entry(name, 1)) for name in ["a", bad, "b", "a"]]
    with grouped(store, url, acts, monkeypatch) as (futures, _):
        pass
    with pytest.raises(StoreError):
        futures.pop(1).result()
    assert [future.result() for future in futures] == [Recorded.NEW] * 3
    assert stored(store) == [0, 1, 1, 1]


@pytest.mark.parametrize("kind", ["requests", "answers"])
def test_a_group_on_its_way_counts_once(line: Line, url: str, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """If the connection breaks in mid-group, each outcome has a receipt by which it is ingested once, in any order."""
    entries = [entry("m", number) for number in range(1, THREADS)]
    with closing(open_postgres(line.url, longest=2.0)) as cut, closing(open_postgres(url)) as store:
        for name in ("m", "first", "first"):  # the connection knows the names, and the statement is prepared
            cut.outcomes.record(entry(name))
        acts = [lambda each=each: cut.outcomes.record(each) for each in entries]
        with (
            psycopg.connect(url) as other,
            ThreadPoolExecutor(1) as threads,
            grouped(cut, url, acts, monkeypatch) as (futures, release),
        ):
            if kind == "answers":  # the first statement goes on, and the group is sent and waits
                locking = threads.submit(other.execute, "LOCK TABLE fresh IN EXCLUSIVE MODE")
                wait_until(lambda: blocked(url) == 2)
                release()
                locking.result()
                wait_until(lambda: blocked(url) == 1)
            line.hold(kind)
            other.rollback()
        batches = []
        for future, each in zip(futures, entries, strict=True):
            with pytest.raises(StoreFailedError) as raised:
                future.result()
            assert raised.value.receipt is not None
            batches.append((raised.value.receipt, each))
        line.cut()
        random.shuffle(batches)
        for receipt, each in [*batches, *batches]:
            store.outcomes.ingest_batch(receipt, [each])
        assert stored(store) == [0, 0, 0, 0, *range(1, THREADS)]


def blocked(url: str) -> int:
    """Return how many sessions wait for the queue's lock."""
    with psycopg.connect(url) as other:
        row = other.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = 'fresh'::regclass AND NOT granted"
        ).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.parametrize("kind", ["requests", "answers"])
def test_threads_of_a_host_whose_line_breaks(line: Line, url: str, tmp_path: Path, kind: str) -> None:
    """Threads that record all the time lose nothing and count nothing twice when the line breaks and is mended."""
    done: list[list[int]] = [[] for _ in range(THREADS)]
    is_over = threading.Event()
    with closing(open_with_fallback(line.url, patience=0.5, spool=tmp_path / "spool.db")) as host:

        def run(thread: int) -> None:
            for number in count(thread, THREADS):
                if is_over.is_set():
                    return
                assert host.outcomes.record(entry("m", number))
                done[thread].append(number)
                time.sleep(0.001)

        with ThreadPoolExecutor(THREADS) as threads:
            futures = [threads.submit(run, thread) for thread in range(THREADS)]
            wait_until(lambda: sum(map(len, done)) > 100)
            line.hold(kind)
            try:
                wait_until(lambda: host.degraded is not None)
                line.cut()
            finally:
                is_over.set()
            for future in futures:
                future.result()
        line.mend()
        come_back(host)
    with closing(open_postgres(url)) as store:
        assert stored(store) == sorted(number for each in done for number in each)


def test_a_child_does_not_wait_for_its_parents_threads(
    store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forked while threads wait for a group, a child records; so do the threads of the parent."""
    acts = [lambda number=number: store.outcomes.record(entry("m", number)) for number in range(1, 4)]
    with grouped(store, url, acts, monkeypatch) as (futures, _):
        child = os.fork()
        if child == 0:
            status = 1
            with suppress(BaseException):
                assert waiting(store) == 0
                status = 0
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    assert [future.result() for future in futures] == [Recorded.NEW] * 3
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            store.outcomes.record(entry("m", 4))
            status = 0
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert stored(store) == [0, 1, 2, 3, 4]


def test_a_signal_handler_records_while_its_thread_does(store: PostgresStore) -> None:
    """It neither waits for the call that it has interrupted nor changes what becomes of that."""
    handled: list[Recorded] = []

    def handle(*_: object) -> None:
        handled.append(store.outcomes.record(entry("h", 1)))
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 3e-3))

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        began = time.monotonic()
        recorded = 0
        while time.monotonic() < began + 1.0:
            assert store.outcomes.record(entry("m")) is Recorded.NEW
            recorded += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled
    assert stored(store) == [0] * recorded + [1] * len(handled)


def test_interrupts_lose_nothing_that_was_acknowledged(store: PostgresStore) -> None:
    """Interrupted anywhere, the thread that writes for all leaves each recorded, or its receipt to its thread."""
    before = signal.signal(signal.SIGALRM, _Alarm.ring)
    is_over = threading.Event()
    acknowledged: list[int] = []
    doubtful: list[tuple[str, Entry]] = []

    def run(thread: int) -> None:
        number = thread
        while not is_over.is_set():
            number += 10
            each = entry("m", number)
            try:
                assert store.outcomes.record(each) is Recorded.NEW
                acknowledged.append(number)
            except StoreFailedError as error:
                doubtful.append((error.receipt or "none", each))

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(1, 4)]
    for thread in threads:
        thread.start()
    unknown = set()
    try:
        for number in range(0, 3000, 10):
            unknown.add(number)
            if not strike(lambda number=number: store.outcomes.record(entry("m", number)), random.uniform(1e-4, 3e-3)):  # type: ignore[misc]
                acknowledged.append(number)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        signal.signal(signal.SIGALRM, before)
    assert "none" not in dict(doubtful)
    for receipt, each in doubtful:
        store.outcomes.ingest_batch(receipt, [each])
    found = stored(store)
    expected = {*acknowledged, *(each.outcome.tokens_used for _, each in doubtful)}
    assert len(found) == len(set(found))
    assert expected <= set(found) <= expected | unknown


def test_an_interrupt_while_a_connection_is_opened_leaves_none_behind(url: str) -> None:
    """The next caller gets that connection; none is forgotten, to be closed when memory is tidied up."""
    before = signal.signal(signal.SIGALRM, _Alarm.ring)
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
    try:
        with (
            psycopg.connect(url, autocommit=True) as other,
            closing(open_postgres(f"{url}&application_name={url[-12:]}")) as store,
        ):
            for _ in range(40):
                other.execute(end, (url[-12:],))
                strike(lambda: store.outcomes.record(entry()), random.uniform(1e-4, 1e-2))
            store.outcomes.record(entry())
    finally:
        signal.signal(signal.SIGALRM, before)
    gc.collect()  # warns of forgotten connections
