"""Outcomes that are acknowledged before they are written."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.outbox import MOST, Outbox
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Entry, Store, open_store
from modelperf_plugin.values import Outcome

ENTRY = Entry("t", "m", Outcome(success=True), 1)
QUEUED = {"store": {"acknowledge": "queued"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file will be."""
    return tmp_path / "x.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Return a new store in a file."""
    opened = open_store(path)
    yield opened
    opened.close()


def samples(store: Store) -> int:
    """Return how many outcomes were written."""
    return sum(tally.samples for tally in store.tallies.all())


def unexpected(error: Exception) -> None:
    """Fail, because nothing should go wrong."""
    pytest.fail(repr(error))


def broken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every writing of many outcomes fail."""

    def fail(_: object) -> int:
        raise StoreError("no")

    monkeypatch.setattr(store.outcomes, "record_many", fail)


def test_what_waits_is_written_soon(store: Store) -> None:
    """Nobody has to ask for it: a thread writes what waits, and says so."""
    written = threading.Event()
    outbox = Outbox(store, on_error=unexpected, on_written=written.set)
    for _ in range(10):
        outbox.put(ENTRY)
    assert written.wait(timeout=30)
    assert samples(store) == 10
    assert outbox.waiting == 0
    outbox.close()


def test_whoever_brings_one_too_many_writes_them_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded: at its bound the caller waits for the store, and its own outcome is in there."""
    monkeypatch.setattr(Outbox, "_start", lambda _: None)
    outbox = Outbox(store, on_error=unexpected)
    for _ in range(MOST):
        outbox.put(ENTRY)
    assert (outbox.waiting, samples(store)) == (MOST, 0)
    outbox.put(ENTRY)
    assert (outbox.waiting, samples(store)) == (0, MOST + 1)
    outbox.close()


def test_a_store_that_fails_is_said_at_the_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store fails what waits goes on waiting; at the bound the caller gets the error, and nothing is lost."""
    monkeypatch.setattr(Outbox, "_start", lambda _: None)
    outbox = Outbox(store, on_error=unexpected)
    with monkeypatch.context() as failing:
        broken(store, failing)
        for _ in range(MOST):
            outbox.put(ENTRY)
        with pytest.raises(StoreError):
            outbox.put(ENTRY)
    assert outbox.waiting == MOST
    outbox.close()
    assert samples(store) == MOST


def test_a_poisoned_outcome_does_not_stand_in_the_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One outcome that can never be written is reported; the others are written."""
    monkeypatch.setattr(Outbox, "_start", lambda _: None)
    errors: list[Exception] = []
    outbox = Outbox(store, on_error=errors.append)
    for entry in (ENTRY, ENTRY._replace(model_id="\ud800"), ENTRY):
        outbox.put(entry)
    outbox.close()
    assert samples(store) == 2
    assert [type(error) for error in errors] == [UnicodeEncodeError]


def test_closing_writes_and_later_outcomes_are_written_at_once(store: Store) -> None:
    """After ``close`` there is no thread that would write them."""
    outbox = Outbox(store, on_error=unexpected)
    outbox.put(ENTRY)
    outbox.close()
    assert samples(store) == 1
    outbox.put(ENTRY)
    assert samples(store) == 2


def test_the_thread_ends_and_is_started_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is recorded no thread runs; the next outcome starts one."""
    monkeypatch.setattr("modelperf_plugin.engine.outbox.FLUSH_SECONDS", 0.001)
    outbox = Outbox(store, on_error=unexpected)
    for _ in range(2):
        outbox.put(ENTRY)
        while outbox._thread is not None:
            time.sleep(0.001)
    assert samples(store) == 2
    outbox.close()


def test_an_engine_with_a_queue(path: Path) -> None:
    """Recording returns at once, the count of what waits is known, and closing writes it."""
    with mp.ModelPerf(QUEUED, store=path) as tracked:
        for number in range(20):
            assert tracked.record("t", "m", {"success": number % 2 > 0})
        assert 0 <= tracked.unwritten <= 20
    with mp.ModelPerf({}, store=path) as again:
        assert samples(again.store) == 20
        assert again.unwritten == 0


def test_what_waits_is_written_at_exit(path: Path) -> None:
    """A host that ends without closing the plugin loses nothing."""
    host = (
        "import modelperf_plugin as mp, sys\n"
        "tracked = mp.ModelPerf({'store': {'acknowledge': 'queued'}}, store=sys.argv[1])\n"
        "for _ in range(7): tracked.record('t', 'm', mp.Outcome(success=True))\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", host, str(path)], check=True)
    with mp.ModelPerf({}, store=path) as again:
        assert samples(again.store) == 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_does_not_write_what_its_parent_has_queued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits at a fork is written once, by the parent; the child writes its own."""
    monkeypatch.setattr(Outbox, "_start", lambda _: None)
    tracked = mp.ModelPerf(QUEUED, store=path)
    tracked.record("t", "m", {"success": True})
    pid = os.fork()
    if pid == 0:
        ours = tracked.unwritten
        tracked.record("t", "child", {"success": True})
        tracked.close()
        os._exit(ours)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    tracked.close()
    with mp.ModelPerf({}, store=path) as again:
        assert {tally.model_id: tally.samples for tally in again.store.tallies.all()} == {"m": 1, "child": 1}
