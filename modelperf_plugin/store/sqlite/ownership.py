"""To which file a write-ahead log belongs: SQLite itself does not know, and applies any log to any file.

Whoever opens a database notes in its lock file which file and which log it opened. If another file is put in the
place of the database and the log stays, the two no longer match.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Final

from modelperf_plugin.errors import StoreDamagedError, StoreFailedError
from modelperf_plugin.store.beside import JOURNAL, LOG, LOG_INDEX, beside, has_content, target_of
from modelperf_plugin.store.lock import is_byte_locked
from modelperf_plugin.store.sqlite.pages import MAGIC
from modelperf_plugin.store.sqlite.schema import REPAIR_HINT

if sys.platform == "linux":
    import fcntl

_FORMAT: Final = "file {} log {}\n"
_MAX_NOTE_BYTES: Final = 200
_WRITE_VERSION_AT: Final = 18
_ROLLBACK_MODE: Final = 1
_IN_USE_BYTE: Final = 128
"""Of the -shm file: every process that has the database open holds a shared lock on it (SQLite's file format)."""

_GET_GENERATION: Final = 0x80087601
"""FS_IOC_GETVERSION: file systems that reuse the numbers of deleted files count how often."""

_open_here: dict[int, Path] = {}
"""The files that this process has open, by the id of what has opened them."""


def is_open_elsewhere(path: str | os.PathLike[str]) -> bool:
    """Return whether another process has the database open. No connection of this process may have."""
    return is_byte_locked(beside(path, LOG_INDEX), _IN_USE_BYTE)


def opened_files(path: str) -> tuple[str, str]:
    """Return what tells a file and its log from others that take their place."""
    return _number(target_of(path)), _number(beside(path, LOG))


def note_opened(path: str, lock: Path | None) -> None:
    """Note in the lock file, under its lock, which file and which log are open."""
    if lock is None:
        return
    # a file object: an interrupt between opening and closing leaves no descriptor open
    with suppress(OSError), lock.open("r+b", buffering=0) as file:
        note = _FORMAT.format(_number(target_of(path)), _log_number(beside(path, LOG))).encode()
        file.write(note.ljust(_MAX_NOTE_BYTES))


def note_open_here(path: str, opener: object) -> None:
    """Note that ``opener`` has a file open in this process, or is about to open it."""
    _open_here[id(opener)] = target_of(path)


def note_closed_here(opener: object) -> None:
    """Note that ``opener`` has closed its file; noting it twice is fine."""
    _open_here.pop(id(opener), None)


def set_log_aside(file: Path, kind: str) -> Path:
    """Set the log and journal of ``file`` aside; return the path at which the file itself would join them."""
    aside = file.with_name(f"{file.name}.{kind}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    if aside.exists():
        aside = aside.with_name(f"{aside.name}-{os.getpid()}")
    for suffix in (LOG, LOG_INDEX, JOURNAL):
        with suppress(FileNotFoundError):
            left = beside(file, suffix)
            if has_content(left):
                left.rename(f"{aside}{suffix}")
            else:
                left.unlink()
    return aside


def has_foreign_log(path: str, lock: Path | None) -> bool:
    """Return whether the log beside a file belongs to another file that was there before.

    It does if the file is not the one that was opened together with this log, or if the file is one without a log: a
    copy by ``modelperf backup``, for example, that was written over the database.
    """
    log = beside(path, LOG)
    if lock is None or not log.exists():
        return False
    note = _read_note(lock)
    if note is not None and note[1] == _log_number(log) and note[0] != _number(target_of(path)):
        return True
    return has_content(log) and has_content(target_of(path)) and _has_no_log(target_of(path))


def settle_log(path: str, lock: Path | None) -> list[str]:
    """Set a log aside that belongs to another file; return what to report.

    Raises:
        StoreFailedError: a host has that file open.
    """
    if not has_foreign_log(path, lock):
        return []
    if is_open_elsewhere(path):
        raise StoreFailedError(
            f"{path} was moved or replaced while a host had it open: it is used once that host has noticed or ended"
        )
    had_content = has_content(beside(path, LOG))
    aside = set_log_aside(target_of(path), "replaced")
    message = (
        f"{path} was moved or replaced, but its log was left behind: it is now {aside}{LOG}, and the outcomes in it do "
        "not count. Use `modelperf restore` to restore a copy."
    )
    return [message] if had_content else []


def was_in_use(path: str) -> bool:
    """Return whether something beside a file tells that there was a database of ours in its place."""
    file = target_of(path)
    return beside(path, ".lock").exists() or any(file.parent.glob(f"{escape(file.name)}.*-????????T??????*"))


def settle_empty_file(path: str, *, was_in_use: bool) -> list[str]:
    """Return what to report of a file without content that is about to become a new database.

    Raises:
        StoreDamagedError: its log has content, which SQLite would delete.
    """
    refuse_emptied(path)
    file = target_of(path)
    if was_in_use and file.exists() and not has_content(file):
        return [f"{path} had become empty and was begun anew: restore a copy with `modelperf restore` if there is one"]
    return []


def refuse_emptied(path: str) -> None:
    """Raise StoreDamagedError if a file has lost its content, but its log has not: SQLite would delete the log."""
    file = target_of(path)
    if file.exists() and not has_content(file) and has_content(beside(path, LOG)):
        raise StoreDamagedError(f"{path} is empty, but its log is not; it was not changed. {REPAIR_HINT}")


def _read_note(lock: Path) -> tuple[str, str] | None:
    try:
        with lock.open("rb") as file:
            words = file.read(_MAX_NOTE_BYTES).decode("ascii", "replace").split()
    except OSError:
        return None
    return (words[1], words[3]) if len(words) == 4 and words[::2] == ["file", "log"] else None


def _has_no_log(file: Path) -> bool:
    """Return whether the header says that the file is written without a log; False if it must not be opened to look.

    Closing it would drop the locks that SQLite holds on it for connections of this process.
    """
    if file in list(_open_here.values()):
        return False
    try:
        with file.open("rb") as stream:
            head = stream.read(_WRITE_VERSION_AT + 1)
    except OSError:
        return False
    return head.startswith(MAGIC) and head[-1] == _ROLLBACK_MODE


def _number(file: Path) -> str:
    """Return what tells a file from others, also after it was moved; "0" if there is none."""
    try:
        status = file.stat()
    except OSError:
        return "0"
    return f"{status.st_dev}:{status.st_ino}"


def _log_number(log: Path) -> str:
    """Return what tells a log from others, also from one that got the number of a deleted file.

    A log may be opened to look, unlike the database: SQLite holds no locks on it.
    """
    generation = b""
    if sys.platform == "linux":
        with suppress(OSError), log.open("rb") as file:
            generation = fcntl.ioctl(file.fileno(), _GET_GENERATION, bytes(8))
    return f"{_number(log)}:{generation.hex()}"
