"""Reading a file: by any name, whoever writes to it, all of it and nothing that is not there."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store import Entry, Store, open_store, open_to_read, open_with_fallback
from modelperf_plugin.store.fallback.spool import places
from modelperf_plugin.store.sqlite.backup import back_up
from modelperf_plugin.store.sqlite.file import lock_path
from modelperf_plugin.values import Outcome

NOW_MS = 1_767_268_800_000
ENTRY = Entry("task", "model", Outcome(success=True), NOW_MS)

unprivileged = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a child with another user id")


def samples(path: Path) -> int:
    """Return how many outcomes a reader sees, and check that it finds the file sound and sees all of it."""
    with closing(open_to_read(path)) as store:
        assert store.connection.note is None
        assert [f.message for f in store.maintenance.check() if not f.ok and f.name != "permissions"] == []
        return sum(tally.samples for tally in store.tallies.all())


def filled(path: Path, outcomes: int = 3) -> Path:
    """Return the path of a file with outcomes that no process has open."""
    with closing(open_store(path)) as store:
        store.outcomes.record_many([ENTRY] * outcomes)
    return path


@contextmanager
def writing(path: Path) -> Iterator[Store]:
    """Yield the store of a host that has the file open and recorded a hundred outcomes."""
    with closing(open_with_fallback(path)) as host:
        for _ in range(100):
            host.outcomes.record(ENTRY)
        yield host


def by_name(folder: Path, kind: str) -> Path:
    """Return another name of ``folder / "real" / "x.db"``."""
    real = folder / "real"
    if kind == "link":
        (folder / "link.db").symlink_to(real / "x.db")
        return folder / "link.db"
    if kind == "link to a link":
        (folder / "first.db").symlink_to("real/x.db")
        (folder / "second.db").symlink_to("first.db")
        return folder / "second.db"
    (folder / "folder").symlink_to("real")
    return folder / "folder" / "x.db"


@pytest.mark.parametrize("kind", ["link", "link to a link", "linked folder"])
def test_a_reader_behind_a_link_sees_what_a_host_writes(tmp_path: Path, kind: str) -> None:
    """Whatever name a host and a reader use, the reader and a backup have all acknowledged outcomes."""
    path = filled(tmp_path / "real" / "x.db")
    name = by_name(tmp_path, kind)
    assert lock_path(str(name)) == lock_path(str(path))
    for host_name, reader_name in ((path, name), (name, path), (name, name)):
        before = samples(path)
        with writing(host_name):
            assert samples(reader_name) == before + 100
            back_up(str(reader_name), tmp_path / "copy.db")
            assert samples(tmp_path / "copy.db") == before + 100
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(("-wal", "-shm", ".lock"))]


def test_a_link_to_nothing_creates_a_private_target(tmp_path: Path) -> None:
    """A database created through a link is readable by its owner only, and so is the folder's log."""
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "deep" / "real.db")
    with writing(link):
        for file in (tmp_path / "deep").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert samples(tmp_path / "deep" / "real.db") == 100
    assert link.is_symlink()


def test_two_names_share_what_waits(tmp_path: Path) -> None:
    """Outcomes are spooled beside the target, whatever name the host used; those beside a link are found, too."""
    path = filled(tmp_path / "real" / "x.db")
    link = by_name(tmp_path, "link")
    assert places(str(link))[0] == places(str(path))[0]
    assert {place.folder for place in places(str(link))} >= {link.parent, path.parent}


def test_a_second_name_is_reported(tmp_path: Path) -> None:
    """A file with a hard link is a finding: SQLite damages it when two programs use different names."""
    path = filled(tmp_path / "x.db")
    (tmp_path / "y.db").hardlink_to(path)
    with closing(open_to_read(path)) as store:
        assert "names" in [finding.name for finding in store.maintenance.check() if not finding.ok]


def leave_a_hot_journal(path: Path) -> None:
    """Kill a program without a write-ahead log in the midst of a transaction that has changed the file already."""
    script = f"""
import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("PRAGMA journal_mode = DELETE")
connection.execute("PRAGMA cache_size = 1")
connection.execute("PRAGMA cache_spill = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE event SET tokens = tokens + 77777777, duration_ms = 123456789012")
connection.execute("UPDATE daily SET tokens = 0")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0


def test_a_hot_journal_is_heeded(tmp_path: Path) -> None:
    """What another program left half-written is not shown, is not called damage, and is not touched by reading."""
    path = filled(tmp_path / "x.db", 20_000)
    before = path.read_bytes()
    leave_a_hot_journal(path)
    assert path.read_bytes() != before, "the transaction has reached the file"
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert samples(path) == 20_000
    with closing(open_to_read(path)) as store:
        assert {tally.total_tokens for tally in store.tallies.all()} == {0}
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files


def test_a_program_without_a_log_is_read_under_its_locks(tmp_path: Path) -> None:
    """While another program writes with a rollback journal, a reader sees what was committed."""
    path = filled(tmp_path / "x.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('task', 'model', 1)")
        assert samples(path) == 3
        other.execute("COMMIT")
        assert samples(path) == 4


def crashed(folder: Path) -> Path:
    """Return the path of a file whose newest outcomes are in the log that a crash has left."""
    path = filled(folder / "live.db")
    with writing(path):
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", folder / f"x.db{suffix}")
    return folder / "x.db"


@unprivileged
@pytest.mark.parametrize("log_is_readable", [True, False])
def test_a_crashed_host_in_a_read_only_folder(tmp_path: Path, log_is_readable: bool) -> None:
    """Outcomes in the log are shown where SQLite cannot read it; if nobody can, the answer says what is missing."""
    path = crashed(tmp_path)
    path.chmod(0o644)
    path.with_name("x.db-wal").chmod(0o644 if log_is_readable else 0o600)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o755)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            else:
                tmp_path.chmod(0o555)
            if log_is_readable:
                code = samples(path) != 103
            else:
                with closing(open_to_read(path)) as store:
                    note = str(store.connection.note)
                    findings = store.maintenance.check()
                    code = "newest outcomes" not in note or "damage" in findings[0].message
                try:
                    back_up(str(path), tmp_path / "copy.db")
                except StoreFailedError as error:
                    code = code or "newest outcomes" not in str(error)
                else:
                    code = True
        finally:
            os._exit(int(code))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
