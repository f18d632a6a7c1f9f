"""What must hold before a file can be opened: a version of SQLite, and a path that it can use."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import suppress
from typing import Final

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.files import refuse_special
from modelperf_plugin.paths import unreachable
from modelperf_plugin.store.beside import target_of
from modelperf_plugin.store.queries import load_migrations

OLDEST_SQLITE: Final = (3, 37, 0)
"""The first version with STRICT tables; the rest of our SQL needs 3.35 (RETURNING), 3.33 (UPDATE FROM) or less."""
_STRICT: Final = re.compile(r"(?<=\) )STRICT, |(?<=\)) STRICT(?=;)")
_MAX_PATH_BYTES: Final = 504
"""SQLite's limit of 512, less what it adds to the name."""
_MAX_NAME_BYTES: Final = 247
"""The system's limit of 255, less what is added to the names of files beside."""


def check_requirements(path: str) -> None:
    """Raise StoreFailedError, with what to do, if there cannot be a database at ``path``."""
    reason = old_sqlite() or unreachable(path) or _unusable(path)
    if reason is not None:
        raise StoreFailedError(f"cannot open {path}: {reason}")


def old_sqlite() -> str | None:
    """Return that SQLite is too old for our files, and what to do; None if it is not."""
    if sqlite3.sqlite_version_info >= OLDEST_SQLITE:
        return None
    oldest = ".".join(map(str, OLDEST_SQLITE[:2]))
    return (
        f"this Python has SQLite {sqlite3.sqlite_version}, but {oldest} or later is needed. Use a Python with a newer "
        "one (those of python.org, conda and uv have it), or update the library libsqlite3 of the system"
    )


def migrate_in_memory(connection: sqlite3.Connection) -> None:
    """Create as much of the schema in memory as an old SQLite understands, to choose by what a process records."""
    connection.create_function("iif", 3, lambda condition, one, other: one if condition else other, deterministic=True)
    for migration in load_migrations("sqlite"):
        with suppress(sqlite3.Error):
            connection.executescript(_STRICT.sub("", migration.script))


def _unusable(path: str) -> str | None:
    file = target_of(path)
    if len(os.fsencode(file)) > _MAX_PATH_BYTES:
        return f"its path has more than {_MAX_PATH_BYTES} bytes, which SQLite cannot open: choose a shorter one"
    if len(os.fsencode(file.name)) > _MAX_NAME_BYTES:
        return f"its name has more than {_MAX_NAME_BYTES} bytes: choose a shorter one"
    try:
        refuse_special(file)
    except OSError as error:
        return error.strerror or str(error)
    return None
