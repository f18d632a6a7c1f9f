"""Another file in the place of a database: no log meets another file than its own, no outcome is written twice."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.errors import StoreBusyError, StoreDamagedError, StoreError, StoreOutdatedError
from modelperf_plugin.store import Entry, open_store, open_to_read, open_with_fallback
from modelperf_plugin.store.fallback.repetition import missing_from
from modelperf_plugin.store.sqlite.backup import back_up
from modelperf_plugin.store.sqlite.replacing import abandoned, sweep
from modelperf_plugin.store.sqlite.restoring import restore
from modelperf_plugin.store.sqlite.salvage import salvage
from modelperf_plugin.store.sqlite.store import open_sqlite_read_only
from modelperf_plugin.values import Outcome

NOW_MS = 1_767_268_800_000


def entry(number: int = 0) -> Entry:
    """Return an outcome that no other number has."""
    return Entry("task", "model", Outcome(success=True), NOW_MS + number)


def samples(path: Path) -> int:
    """Return how many outcomes count, and check that they add up."""
    with closing(open_store(path)) as store:
        bad = [finding for finding in store.maintenance.check() if not finding.ok and finding.name != "permissions"]
        assert bad == []
        return sum(tally.samples for tally in store.tallies.all())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a database with 21 outcomes, a backup of which is ``copy.db``, and 52 later ones."""
    path = tmp_path / "x.db"
    with closing(open_store(path)) as store:
        store.outcomes.record_many(entry(number) for number in range(21))
        back_up(str(path), tmp_path / "copy.db")
        store.outcomes.record_many(entry(number) for number in range(21, 73))
    return path


HOST = """
import sys, time
from modelperf_plugin.store import Entry, open_with_fallback
from modelperf_plugin.values import Outcome
host = open_with_fallback(sys.argv[1])
number = int(sys.argv[2])
for line in sys.stdin:
    for _ in range(int(line)):
        host.outcomes.record(Entry("task", "model", Outcome(success=True), 1_767_268_800_000 + number))
        number += 1
    print(number, flush=True)
host.close()
"""


class Host:
    """A host in a process of its own, which records as many outcomes as it is told."""

    def __init__(self, path: Path, first: int = 100) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOST, str(path), str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.record(1)

    def record(self, count: int) -> None:
        """Record outcomes, and wait until they are acknowledged."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline()

    def stop(self) -> None:
        """End as a host does."""
        self._process.communicate(timeout=30)

    def kill(self) -> None:
        """End without any chance to clean up."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


def test_restore_replaces_the_file_and_its_log(path: Path) -> None:
    """What was recorded before the copy counts; the replaced file is set aside with its log, and reads as before."""
    host = Host(path)
    host.kill()
    assert path.with_name("x.db-wal").stat().st_size > 0
    restored = restore(str(path), path.with_name("copy.db"))
    assert (restored.outcomes, restored.replaced_outcomes) == (21, 74)
    assert samples(path) == 21
    assert restored.aside is not None
    assert samples(restored.aside) == 74
    assert samples(path.with_name("copy.db")) == 21
    assert path.stat().st_mode & 0o777 == 0o600


def test_restore_is_refused_while_a_host_runs(path: Path) -> None:
    """A running host would go on with the replaced file: nothing changes until it was stopped."""
    host = Host(path)
    with pytest.raises(StoreBusyError, match="stop the hosts"):
        restore(str(path), path.with_name("copy.db"))
    host.record(5)
    host.stop()
    assert samples(path) == 79
    restore(str(path), path.with_name("copy.db"))
    assert samples(path) == 21


def test_only_a_sound_copy_of_ours_is_restored(path: Path, tmp_path: Path) -> None:
    """A damaged copy, another program's file, and the database itself are refused; the database stays as it is."""
    before = path.read_bytes()
    damaged = tmp_path / "damaged.db"
    shutil.copy(tmp_path / "copy.db", damaged)
    with damaged.open("r+b") as file:
        file.seek(damaged.stat().st_size // 2)
        file.write(os.urandom(5000))
    text = tmp_path / "notes.txt"
    text.write_text("Dear diary\n" * 1000)
    for wrong in (damaged, text, path):
        with pytest.raises(StoreError):
            restore(str(path), wrong)
        assert path.read_bytes() == before
    with pytest.raises(StoreError, match="text file"):
        restore(str(text), tmp_path / "copy.db")
    assert text.read_text() == "Dear diary\n" * 1000
    assert not list(tmp_path.glob(".*"))


def test_restoring_where_nothing_is(path: Path, tmp_path: Path) -> None:
    """A missing database is created from the copy; what waits in files is added by the next host."""
    new = tmp_path / "deep" / "y.db"
    assert restore(str(new), path.with_name("copy.db")).aside is None
    assert samples(new) == 21


@pytest.mark.parametrize("way", ["move", "copy over"])
def test_a_copy_put_over_a_file_with_a_log(path: Path, way: str) -> None:
    """The log of a killed host is not applied to another file: it is set aside, and doctor reports it."""
    Host(path).kill()
    copy = path.with_name("copy.db")
    if way == "move":
        copy.replace(path)
    else:
        shutil.copyfile(copy, path)
    with closing(open_to_read(path)) as reader:
        assert sum(tally.samples for tally in reader.tallies.all()) == 21
        assert "log" in str(reader.connection.note)
    with closing(open_store(path)) as store:
        assert "its log was left behind" in " ".join(problem.message for problem in store.problems.all())
    assert samples(path) == 21
    assert list(path.parent.glob("x.db.replaced-*-wal"))


def test_file_and_log_that_were_moved_together(path: Path, tmp_path: Path) -> None:
    """A whole folder restored from an archive is used with its log, although both are other files than before."""
    Host(path).kill()
    for suffix in ("", "-wal", ".lock"):
        shutil.copy(f"{path}{suffix}", f"{path}{suffix}.saved")
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(f"x.db{suffix}").unlink()
    for suffix in ("", "-wal", ".lock"):
        shutil.copy(f"{path}{suffix}.saved", f"{path}{suffix}")
    assert samples(path) == 74


@pytest.mark.slow
def test_a_copy_moved_over_the_file_of_a_running_host(path: Path) -> None:
    """The host goes on with the copy: nothing older comes back, nothing acknowledged later is lost or counted twice."""
    host = Host(path)
    time.sleep(1.1)
    host.record(1)
    path.with_name("copy.db").replace(path)
    second = Host(path, 500)
    time.sleep(1.1)
    host.record(3)
    second.record(4)
    host.stop()
    second.stop()
    open_with_fallback(path).close()
    # 21 of the copy, 1 + 4 of the second host, 3 of the first, and of its last second before: 1 or 2
    assert samples(path) in {21 + 5 + 3 + 1, 21 + 5 + 3 + 2}


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [1, 2])
def test_a_file_that_was_moved_away_is_whole(path: Path, hosts: int) -> None:
    """Hosts go on with a new file; what they had recorded before is in the one that was moved, without its log."""
    running = [Host(path, 1000 * number) for number in range(1, hosts + 1)]
    time.sleep(2.5)
    path.rename(path.with_name("moved.db"))
    for _ in range(3):
        for host in running:
            host.record(1)
        time.sleep(1.1)
    for host in running:
        host.stop()
    open_with_fallback(path).close()
    assert 3 * hosts <= samples(path) <= 4 * hosts  # with the last outcome before: the file might have been deleted
    assert samples(path.with_name("moved.db")) == 73 + hosts


def test_outcomes_of_the_last_second_are_not_written_twice(tmp_path: Path) -> None:
    """A copy made and moved into place within a second has the newest outcomes already."""
    path = tmp_path / "x.db"
    with closing(open_with_fallback(path)) as host:
        for number in range(50):
            host.outcomes.record(entry(number))
        back_up(str(path), tmp_path / "copy.db")
        for number in range(50, 55):
            host.outcomes.record(entry(number))
        (tmp_path / "copy.db").replace(path)
        time.sleep(1.1)
        host.outcomes.record(entry(55))
    assert samples(path) == 56


@pytest.mark.slow
def test_a_host_that_was_idle_does_not_undo_a_restore(path: Path) -> None:
    """What an idle host had recorded long before the file was replaced does not come back with its next outcome."""
    host = Host(path)
    host.record(50)
    time.sleep(2.5)
    path.with_name("copy.db").replace(path)
    host.record(3)
    host.stop()
    assert samples(path) == 24


def test_outcomes_alike_are_told_apart_by_number(tmp_path: Path) -> None:
    """Of outcomes that look the same as many are missing as the file lacks; an older copy lacks them all."""
    with closing(open_store(tmp_path / "x.db")) as store:
        store.outcomes.record_many([entry()] * 3)
        assert missing_from(store, [entry()] * 5, 3) == [entry()] * 2
        assert missing_from(store, [entry()] * 5, 100_000) == [entry()] * 5


def test_a_log_that_was_deleted_under_a_host(path: Path) -> None:
    """A host whose log is deleted notices, and what it had written to it is not lost."""
    host = Host(path)
    host.record(5)
    path.with_name("x.db-wal").unlink()
    time.sleep(1.1)
    host.record(5)
    host.stop()
    assert samples(path) == 84


@pytest.mark.parametrize("command", ["open", "read"])
def test_an_empty_file_with_a_log_is_damaged(path: Path, command: str) -> None:
    """SQLite would delete the log of a file that has become empty: it is left alone until a repair has read it."""
    os.truncate(path, 0)
    with closing(open_store(path.with_name("other.db"))) as store:
        store.outcomes.record_many(entry(number) for number in range(40))
        shutil.copy(path.with_name("other.db-wal"), path.with_name("x.db-wal"))
    log = path.with_name("x.db-wal").read_bytes()
    with pytest.raises(StoreDamagedError, match="its log is not"):
        (open_store if command == "open" else open_to_read)(path)
    assert path.with_name("x.db-wal").read_bytes() == log
    assert salvage(str(path)).recovery.outcomes == 40
    assert samples(path) == 40


def test_a_file_that_became_empty_is_reported(path: Path, tmp_path: Path) -> None:
    """A database that was in use and has no content is begun anew, and that is a problem; a new file is not."""
    os.truncate(path, 0)
    with pytest.raises(StoreOutdatedError, match="has become empty: restore a copy"):
        open_sqlite_read_only(str(path))
    with closing(open_store(path)) as store:
        (problem,) = store.problems.all()
        assert "had become empty" in problem.message
    (tmp_path / "new.db").touch()
    with pytest.raises(StoreOutdatedError, match="is empty: nothing has been recorded in it yet"):
        open_sqlite_read_only(str(tmp_path / "new.db"))
    with closing(open_store(tmp_path / "new.db")) as store:
        assert store.problems.all() == []


def test_what_a_killed_repair_left_is_deleted(path: Path) -> None:
    """The next repair deletes the folder of a killed one, with its copy of the database."""
    script = f"""
import os
from modelperf_plugin.store.sqlite.replacing import exclusively
with exclusively({str(path)!r}, "test") as folder:
    (folder / "new.db").write_bytes(b"x" * 1000)
    print("ready", flush=True)
    input()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    assert len(abandoned(str(path))) == 1
    process.kill()
    process.communicate()
    for name in ("earlier", "running"):
        copy = path.with_name(f".repair-{name}") / "old.db"
        copy.parent.mkdir()
        copy.touch()
    os.utime(path.with_name(".repair-earlier") / "old.db", (0, 0))
    assert len(abandoned(str(path))) == 2
    assert [folder.parent for folder in sweep(str(path))] == [path.parent] * 2
    assert abandoned(str(path)) == []


def test_a_hot_journal_is_salvaged(path: Path) -> None:
    """A damaged file of a program without a log is read as before the transaction that was interrupted."""
    script = f"""
import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("PRAGMA journal_mode = DELETE")
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE event SET tokens = 999")
connection.execute("DELETE FROM daily")
connection.execute("UPDATE tally SET successes = 0")
os.kill(os.getpid(), 9)
"""
    with closing(open_store(path)) as store:
        store.outcomes.record_many(entry(number) for number in range(73, 5000))
    subprocess.run([sys.executable, "-c", script], check=False)
    assert path.with_name("x.db-journal").stat().st_size > 0
    with path.open("r+b") as file:
        file.write(b"\0" * 100)
    assert salvage(str(path)).recovery.outcomes == 5000
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT max(tokens) FROM event").fetchone() == (0,)
    assert samples(path) == 5000
