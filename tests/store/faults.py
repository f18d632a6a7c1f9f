"""Ways to make the world fail, for tests of stores."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from modelperf_plugin.store import Store
from modelperf_plugin.store.fallback.switch import Switch
from modelperf_plugin.store.sqlite.file import PAGE_BYTES

NOBODY = 65534


def switch_of(store: Store) -> Switch:
    """Return what decides which store is in use."""
    assert isinstance(store.connection, Switch)
    return store.connection


def check_now(store: Store) -> None:
    """Let the next call check the file or, while SQLite fails, try it again."""
    switch = switch_of(store)
    switch.check_at = time.monotonic()
    switch._backoff._retry_at = 0.0


LOCK_FILE = (
    "import fcntl, sys\n"
    "file = open(sys.argv[1] + '.lock', 'rb+')\n"
    "fcntl.flock(file, fcntl.LOCK_EX)\n"
    "print('held', flush=True); sys.stdin.read()\n"
)
SQLITE_LOCK = (
    "import sqlite3, sys\n"
    "connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n"
    "connection.execute('BEGIN EXCLUSIVE')\n"
    "print('held', flush=True); sys.stdin.read()\n"
)
"""Programs that hold a lock until their input ends."""


@contextmanager
def held(path: Path, program: str = LOCK_FILE) -> Iterator[None]:
    """Let another process hold a lock of the database at ``path``, until the end of the block."""
    command = [sys.executable, "-S", "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.communicate(timeout=30)


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process; return its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - nothing may go back into the tests of the parent
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def as_nobody(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process whose permissions bind, also where the tests run as root."""

    def without_privileges() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work()

    return in_child(without_privileges)


@contextmanager
def open_to_all() -> Iterator[Path]:
    """Yield a new folder that every user can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Yield a disk of so many kilobytes, mounted at ``folder``; skip where that is not permitted."""
    folder.mkdir()
    if (
        sys.platform != "linux"
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Write a file that leaves no room on a disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue
    return filler


def copy(path: Path, target: Path) -> None:
    """Copy a database and its log as they lie there, in a process of its own: as after a crash of all others."""
    for suffix in ("", "-wal"):
        source = path.with_name(f"{path.name}{suffix}")
        subprocess.run(
            ["cp", str(source), str(target.with_name(f"{target.name}{suffix}"))],
            check=suffix == "",
            capture_output=True,
        )


def pages_of(path: Path, table: str) -> list[int]:
    """Return the numbers of the leaf pages of a table, the first page of the file being 1."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
            return [number for (number,) in connection.execute(query, (table,))]
        except sqlite3.OperationalError:
            pytest.skip("this SQLite cannot tell where tables lie")


def damage(path: Path, pages: list[int]) -> None:
    """Overwrite pages of a file with noise."""
    noise = random.Random(1)
    with path.open("r+b") as file:
        for number in pages:
            file.seek((number - 1) * PAGE_BYTES)
            file.write(noise.randbytes(PAGE_BYTES))
