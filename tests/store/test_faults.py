"""Disks that are full, folders that cannot be written, processes that stop or die: what was acknowledged is kept."""

from __future__ import annotations

import math
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.store import Entry, Store, open_store, open_to_read, open_with_fallback
from modelperf_plugin.store.fallback.spool import spooled
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.values import Outcome
from tests.store.faults import NOBODY, as_nobody, check_now, copy, fill, in_child, open_to_all, small_disk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, limits and permissions of Unix")

NOON_MS = 1_767_268_800_000


def entry(model_id: str = "m", *, ended_ms: int = NOON_MS) -> Entry:
    """Return an outcome on its way into a store."""
    return Entry("t", model_id, Outcome(success=True, tokens_used=7), ended_ms)


def open_host(path: Path) -> Store:
    """Open a store as a host does."""
    return open_with_fallback(path)


def total(store: Store) -> int:
    """Return how many outcomes count."""
    return sum(tally.samples for tally in store.tallies.all())


def in_file(path: Path) -> int:
    """Return how many events are in a file, of which everything adds up."""
    store = open_store(path)
    try:
        assert [each for each in store.maintenance.check() if not each.ok and each.name != "permissions"] == []
    finally:
        store.close()
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM event").fetchone()[0])


def waiting(path: Path) -> int:
    """Return how many outcomes wait in files."""
    return sum(len(batch.entries) for _, batch in spooled(str(path)))


# Full disks.


def test_the_disk_is_full_at_creation(tmp_path: Path) -> None:
    """With no room for a database outcomes wait elsewhere, and are in it as soon as there is room."""
    with small_disk(tmp_path / "disk", 1024) as disk:
        filler = fill(disk)
        store = open_host(disk / "x.db")
        for _ in range(20):
            assert store.outcomes.record(entry())
        assert store.degraded is not None
        filler.unlink()
        check_now(store)
        assert total(store) == 20
        assert store.degraded is None
        store.close()
        assert in_file(disk / "x.db") == 20


def test_the_disk_fills_up_midstream(tmp_path: Path) -> None:
    """From the outcome on that has no room any more all others wait; none is lost, none counts twice."""
    with small_disk(tmp_path / "disk", 2048) as disk:
        store = open_host(disk / "x.db")
        for _ in range(100):
            store.outcomes.record(entry("before"))
        filler = fill(disk)
        recorded = 100
        while store.degraded is None and recorded < 50_000:
            store.outcomes.record(entry("until"))
            recorded += 1
        assert store.degraded is not None
        for _ in range(300):
            store.outcomes.record(entry("after"))
        recorded += 300
        assert total(store) == recorded
        check_now(store)
        store.outcomes.record(entry("after"))
        assert store.degraded is not None, "there is still no room"
        filler.unlink()
        check_now(store)
        assert total(store) == recorded + 1
        assert store.degraded is None
        store.close()
        assert in_file(disk / "x.db") == recorded + 1
        assert waiting(disk / "x.db") == 0


def test_a_file_may_not_grow_any_more(tmp_path: Path) -> None:
    """A limit on the size of files is a full disk, too; the next process, without it, moves what waits."""
    path = tmp_path / "x.db"

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        store = open_host(path)
        recorded = 0
        while store.degraded is None and recorded < 50_000:
            store.outcomes.record(entry())
            recorded += 1
        for _ in range(100):
            store.outcomes.record(entry())
        assert total(store) == recorded + 100
        (tmp_path / "recorded").write_text(str(recorded + 100))
        os._exit(0)

    assert in_child(limited) == 0
    recorded = int((tmp_path / "recorded").read_text())
    open_host(path).close()
    assert in_file(path) == recorded


# Read-only folders and files.


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes wait in the user's own folder, choices go on from the file, and nothing in the folder is touched."""
    with open_to_all() as folder:
        path = folder / "shared" / "x.db"
        store = open_store(path)
        store.outcomes.record(entry("known"))
        store.close()
        path.parent.chmod(0o555)
        path.chmod(0o444)
        home = folder / "home"
        home.mkdir()
        if os.geteuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        monkeypatch.setenv("XDG_STATE_HOME", str(home))
        before = sorted(file.name for file in path.parent.iterdir())

        def work() -> None:
            opened = open_host(path)
            assert opened.degraded is not None
            opened.outcomes.record(entry("new"))
            assert {tally.model_id: tally.samples for tally in opened.tallies.all()} == {"known": 1, "new": 1}
            opened.close()
            reader = open_to_read(path)
            assert total(reader) == 1
            reader.close()

        assert as_nobody(work) == 0
        assert sorted(file.name for file in path.parent.iterdir()) == before
        assert waiting(path) == 1
        path.parent.chmod(0o755)
        path.chmod(0o600)
        open_host(path).close()
        assert in_file(path) == 2


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    """Reading a closed file creates nothing and changes nothing; while a host writes, all of it is seen."""
    path = tmp_path / "x.db"
    store = open_store(path)
    store.outcomes.record(entry())
    store.close()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    reader = open_to_read(path)
    assert total(reader) == 1
    assert {file.name for file in tmp_path.iterdir()} == set(before)
    with pytest.raises(StoreError, match="for reading only"):
        reader.outcomes.record(entry())

    def host() -> None:
        writer = open_store(path)
        for _ in range(50):
            writer.outcomes.record(entry())
        os._exit(0)  # without closing: the log stays

    assert in_child(host) == 0
    assert total(reader) == 51
    reader.close()


# Processes that stop or die.


MOVER = """
import sys
from modelperf_plugin.store import open_with_fallback
open_with_fallback(sys.argv[1]).close()
"""


@pytest.mark.parametrize("rounds", [4, pytest.param(15, marks=pytest.mark.slow)])
def test_killed_while_moving(tmp_path: Path, rounds: int) -> None:
    """Whenever a process is killed while it moves what waits, every outcome is in the database once in the end."""
    expected = 0
    path = tmp_path / "x.db"
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", MOVER, str(path)], check=True)
    usual = time.monotonic() - started
    for _ in range(rounds):
        moved = path.rename(tmp_path / "elsewhere.db")
        path.mkdir()
        store = open_host(path)
        store.outcomes.record_many(entry() for _ in range(2000))
        store.close()
        expected += 2000
        path.rmdir()
        moved.rename(path)
        with subprocess.Popen([sys.executable, "-c", MOVER, str(path)], stderr=subprocess.DEVNULL) as process:
            time.sleep(random.uniform(0.5, 1.1) * usual)
            process.kill()
    for _ in range(100):
        open_host(path).close()  # takes no longer for what waits than its patience
        if not waiting(path):
            break
    assert waiting(path) == 0
    assert in_file(path) == expected


@pytest.mark.slow
def test_a_stopped_process_holds_the_lock(tmp_path: Path) -> None:
    """While a process that holds the lock is stopped choices go on, and an outcome waits in a file until it ends."""
    path = tmp_path / "x.db"
    store = open_host(path)
    store.outcomes.record(entry())
    script = (
        "import sqlite3, sys, time\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE'); print('held', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.send_signal(signal.SIGSTOP)
        assert store.tallies.of("t")["m"].samples == 1
        assert store.outcomes.record(entry())
        found = store.connection.degraded, store.tallies.of("t")["m"].samples
        holder.kill()
    assert found == (None, 2)
    assert store.outcomes.record(entry())
    store.close()
    assert in_file(path) == 3


def test_a_pinned_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that never ends makes the log grow: that is a finding, and once it is gone the log is emptied."""
    path = tmp_path / "x.db"
    monkeypatch.setattr("modelperf_plugin.store.sqlite.health._LARGE_LOG_BYTES", 4_500_000)
    store = open_file(path)
    store.outcomes.record(entry())
    with closing(sqlite3.connect(path, isolation_level=None)) as pinned:
        pinned.execute("BEGIN")
        pinned.execute("SELECT count(*) FROM event").fetchone()
        for number in range(80):
            store.outcomes.record_many(entry(f"m{number}-{each}") for each in range(1000))
        found = {finding.name for finding in store.maintenance.check() if not finding.ok}
        assert "write-ahead log" in found
    store.maintenance.checkpoint()
    assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
    store.close()


# Power.


def test_power_is_lost(tmp_path: Path) -> None:
    """A log that ends anywhere is no damage: the file opens, adds up, and holds the outcomes up to some moment."""
    path = tmp_path / "x.db"
    store = open_store(path)
    for _ in range(200):
        store.outcomes.record(entry())
    copy(path, tmp_path / "copy.db")
    log = (tmp_path / "copy.db-wal").read_bytes()
    database = (tmp_path / "copy.db").read_bytes()
    store.close()
    seen = set()
    for number in range(25):
        cut = tmp_path / f"cut-{number}.db"
        cut.write_bytes(database)
        end = random.randrange(len(log) + 1)
        cut.with_name(f"{cut.name}-wal").write_bytes(log[:end] + os.urandom(random.choice([0, 100, 5000])))
        seen.add(in_file(cut))
    assert max(seen) <= 200


def test_power_is_lost_with_full_durability(tmp_path: Path) -> None:
    """With ``full`` the log holds every acknowledged outcome, and SQLite waits for the disk at each commit."""
    path = tmp_path / "x.db"
    store = open_store(path, durability="full")
    marks = []
    for recorded in range(1, 61):
        store.outcomes.record(entry())
        marks.append((recorded, path.with_name("x.db-wal").stat().st_size))
    copy(path, tmp_path / "copy.db")
    log, database = (tmp_path / "copy.db-wal").read_bytes(), (tmp_path / "copy.db").read_bytes()
    store.close()
    for recorded, size in random.sample(marks, 12):
        cut = tmp_path / f"cut-{recorded}.db"
        cut.write_bytes(database)
        cut.with_name(f"{cut.name}-wal").write_bytes(log[:size] + os.urandom(3000))
        assert in_file(cut) >= recorded


# Values and clocks.


BAD_VALUES = [
    {"cost_usd": math.nan},
    {"cost_usd": math.inf},
    {"duration_seconds": -math.inf},
    {"tokens_used": 2**63},
    {"tokens_used": math.nan},
    {"outcome_id": "half a character: \ud800"},
]


@pytest.mark.parametrize("value", BAD_VALUES, ids=str)
@pytest.mark.parametrize("degraded", [False, True])
def test_impossible_values(tmp_path: Path, value: dict[str, object], degraded: bool) -> None:
    """Not a number, infinity, 2^63 and halves of characters are refused by name, with and without a database."""
    path = tmp_path / "x.db"
    if degraded:
        path.mkdir()
    with ModelPerformanceTracker(path) as tracker:
        (name,) = value
        with pytest.raises(InvalidValueError, match=name):
            tracker.record_outcome("t", "m", {"success": True, **value})
        with pytest.raises(InvalidValueError, match="model_id"):
            tracker.record_outcome("t", "half a character: \udfff", {"success": True})
        assert tracker.store.tallies.all() == []
    assert waiting(path) == 0


def test_a_poisoned_outcome_does_not_wait(tmp_path: Path) -> None:
    """What no database could take is refused without one, too: it would stand in the way of all others."""
    path = tmp_path / "x.db"
    path.mkdir()
    store = open_host(path)
    with pytest.raises((StoreError, OverflowError)):
        store.outcomes.record(entry(ended_ms=2**70))
    store.outcomes.record(entry())
    path.rmdir()
    check_now(store)
    assert total(store) == 1
    store.close()
    assert in_file(path) == 1


def test_the_clock_goes_back(tmp_path: Path) -> None:
    """Outcomes with an earlier time than those before count under their own day; the newest time stays."""
    path = tmp_path / "x.db"
    store = open_host(path)
    for days in (0, -1, -400, 3, -30_000):
        store.outcomes.record(entry(ended_ms=NOON_MS + days * 86_400_000))
    (tally,) = store.tallies.all()
    assert (tally.samples, tally.last_used_ms) == (5, NOON_MS + 3 * 86_400_000)
    store.close()
    assert in_file(path) == 5
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM daily").fetchone() == (5,)


def test_the_file_is_replaced(tmp_path: Path) -> None:
    """A host whose file is replaced by another one goes on with that, and takes the last second with it."""
    path = tmp_path / "x.db"
    store = open_host(path)
    store.outcomes.record(entry("old"))
    other = open_store(tmp_path / "other.db")
    other.outcomes.record(entry("other"))
    other.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(f"x.db{suffix}").unlink()
    (tmp_path / "other.db").replace(path)
    check_now(store)
    store.outcomes.record(entry("new"))
    assert {tally.model_id: tally.samples for tally in store.tallies.all()} == {"old": 1, "other": 1, "new": 1}
    store.close()
    assert in_file(path) == 3
