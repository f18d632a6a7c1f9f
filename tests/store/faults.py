"""Ways to make the world fail, for tests of stores."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelperf_plugin.store import Store
from modelperf_plugin.store.fallback.switch import Switch

NOBODY = 65534


def switch_of(store: Store) -> Switch:
    """Return what decides which store is in use."""
    assert isinstance(store.connection, Switch)
    return store.connection


def check_now(store: Store) -> None:
    """Let the next call check the file or, while SQLite fails, try it again."""
    switch = switch_of(store)
    switch.check_at = 0.0
    switch._backoff._retry_at = 0.0


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
