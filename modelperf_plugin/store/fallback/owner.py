"""Which process a spool file belongs to, and whether it has left it.

A process keeps its files locked. Where the file system has no locks, the first line of a file tells whose it is. An
owner that was taken for one that has ended notices that its file is gone, and begins another.
"""

from __future__ import annotations

import io
import os
import sys
import time
from typing import Any, Final

from modelperf_plugin.files import try_lock
from modelperf_plugin.json_text import parse_json

ABANDONED_SECONDS: Final = 3600.0
"""Without locks, a file of a process that cannot be asked is left if nothing was added to it for so long."""
_MAX_LINE_BYTES: Final = 65_536
_BEGAN_MS: Final = time.time_ns() // 1_000_000


def this_process() -> dict[str, Any]:
    """Return what a file says about the process that it belongs to."""
    return {"pid": os.getpid(), "machine": _machine()}


def is_left(file: io.FileIO) -> bool:
    """Return whether the process of a spool file has ended, or does without the file; lock it if there are locks."""
    locked = try_lock(file.fileno())
    return _has_ended(file) if locked is None else locked


def _has_ended(file: io.FileIO) -> bool:
    if time.time() - os.fstat(file.fileno()).st_mtime > ABANDONED_SECONDS:
        return True
    try:
        header = parse_json(file.read(_MAX_LINE_BYTES).partition(b"\n")[0])
        pid, machine, since_ms = header["pid"], header["machine"], header["since_ms"]
    except (ValueError, TypeError, LookupError, OSError):
        return False
    if machine != _machine() or not isinstance(pid, int) or not isinstance(since_ms, int):
        return False
    return since_ms < _BEGAN_MS if pid == os.getpid() else not _runs(pid)


def _machine() -> str:
    return os.uname().nodename if hasattr(os, "uname") else ""


def _runs(pid: int) -> bool:
    """Return whether there is a process with this number, as far as the system tells."""
    if sys.platform == "win32" or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it belongs to somebody else
        return True
    return True
