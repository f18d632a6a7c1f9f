"""The real path of a database, and of the files beside it.

SQLite follows symbolic links and keeps its files beside the target. Everything that belongs to a database is looked for
there, so that all its names mean the same files and the same locks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

from modelperf_plugin.paths import real_path

LOG: Final = "-wal"
"""SQLite's write-ahead log."""
LOG_INDEX: Final = "-shm"
"""The index of the log, in memory that the processes share."""
JOURNAL: Final = "-journal"
"""SQLite's rollback journal, of programs that write without a log."""


def target_of(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of the database itself; it need not exist."""
    return real_path(path)


def beside(path: str | os.PathLike[str], suffix: str) -> Path:
    """Return the path of the file beside a database whose name ends in ``suffix``."""
    return Path(f"{real_path(path)}{suffix}")


def has_content(path: Path) -> bool:
    """Return whether there is a file at ``path`` that is not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def uri_of(path: str | Path, options: str) -> str:
    """Return the URI with which SQLite opens a file; the bytes of its path need not be UTF-8."""
    return f"file:{quote(os.fsencode(path))}?{options}"
