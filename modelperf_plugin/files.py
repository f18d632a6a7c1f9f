"""Files of this package: written whole and private to their owner, read within bounds."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

PRIVATE: Final = 0o600
"""Mode of every file that may hold names of models and task types: readable by its owner only."""
_DRAFT_PREFIX: Final = ".modelperf-"
_ABANDONED_SECONDS: Final = 60.0
"""A younger draft is never taken for an abandoned one."""
_PART_BYTES: Final = 1 << 20
_BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite may leave beside a draft that is a database."""


def create_private(path: Path, flags: int = os.O_RDWR) -> int:
    """Create the file at ``path`` with mode 600, whatever the umask; return its descriptor.

    Raises:
        FileExistsError: it exists; it is not opened.
        OSError: it cannot be created.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, PRIVATE)
    _set_mode(descriptor, PRIVATE)
    return descriptor


def write_whole(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Write a file completely or not at all; see :func:`replacing`."""
    if _is_stream(path):
        with path.open("wb") as stream:
            stream.write(content)
        return
    with replacing(path, mode=mode) as draft:
        draft.write_bytes(content)


@contextmanager
def replacing(path: Path, *, mode: int = PRIVATE) -> Iterator[Path]:
    """Yield an empty draft to write, which replaces the file at ``path`` in one step at the end of the block.

    A new file gets ``mode``, whatever the umask; an existing one keeps its own. The target of a symbolic link is
    replaced, not the link. If the block raises, the draft is deleted and the file is unchanged.

    Raises:
        OSError: the file cannot be written.
    """
    file = Path(os.path.realpath(path))
    if file.is_dir():
        raise IsADirectoryError(f"{path} is a directory")
    _delete_abandoned(file.parent)
    descriptor, name = tempfile.mkstemp(prefix=_DRAFT_PREFIX, dir=file.parent)
    draft = Path(name)
    try:
        try_lock(descriptor)  # as long as this process lives: then nobody takes the draft for an abandoned one
        yield draft
        _finish(draft, _mode_of(file, mode))
        draft.replace(file)
    finally:
        os.close(descriptor)
        _delete_draft(draft)
    sync_folder(file.parent)


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger.
    """
    with open_regular(path) as stream:
        parts, size = [], 0
        while size <= limit and (part := stream.read(min(_PART_BYTES, limit + 1 - size))):
            parts.append(part)
            size += len(part)
    if size > limit:
        raise OSError(f"it is larger than {limit:,} bytes")
    return b"".join(parts)


def open_regular(path: Path, *, pipes: bool = False) -> BufferedReader:
    """Open a regular file for reading, with ``pipes`` also a pipe that somebody writes to; never wait for a writer.

    Raises:
        OSError: it cannot be opened, or is something else: a device may never end.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _refuse_kind(os.fstat(descriptor).st_mode, pipes=pipes)
        if pipes:
            os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse_special(path: Path) -> None:
    """Raise OSError if there is something at ``path`` that is not a regular file."""
    with suppress(FileNotFoundError):
        _refuse_kind(path.stat().st_mode)


def _refuse_kind(mode: int, *, pipes: bool = False) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode) and not (pipes and stat.S_ISFIFO(mode)):
        raise OSError("it is a pipe or a device, not a regular file")


def _is_stream(path: Path) -> bool:
    """Return whether ``path`` is written to as it is: a pipe, a device, or a descriptor such as ``/dev/stdout``."""
    if os.path.abspath(path).startswith(("/dev/", "/proc/")):  # noqa: PTH100 - must not follow /dev/stdout
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _mode_of(file: Path, default: int) -> int:
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        return default


def _delete_abandoned(folder: Path) -> None:
    """Delete the drafts of processes that were killed."""
    for draft in folder.glob(f"{_DRAFT_PREFIX}*"):
        with suppress(OSError):
            if not draft.is_file() or time.time() - draft.stat().st_mtime < _ABANDONED_SECONDS:
                continue
            descriptor = os.open(draft, os.O_RDWR)
            try:
                if try_lock(descriptor):
                    _delete_draft(draft)
            finally:
                os.close(descriptor)


def _delete_draft(draft: Path) -> None:
    for each in (draft, *(draft.with_name(f"{draft.name}{suffix}") for suffix in _BESIDE)):
        with suppress(FileNotFoundError):
            each.unlink()


def try_lock(descriptor: int) -> bool | None:
    """Take the lock of an open file until it is closed.

    Returns:
        False if another process holds it, None if the file system has no such locks.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _finish(draft: Path, mode: int) -> None:
    """Set the mode of the draft and flush it to the disk."""
    descriptor = os.open(draft, os.O_RDWR)
    try:
        _set_mode(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_mode(descriptor: int, mode: int) -> None:
    if hasattr(os, "fchmod"):  # not on Windows before Python 3.13
        os.fchmod(descriptor, mode)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
