"""The health check of an SQLite file."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from modelperf_plugin.store.beside import LOG, beside
from modelperf_plugin.store.entries import Finding, drift
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite import unreadable
from modelperf_plugin.store.sqlite.rows import fetch
from modelperf_plugin.store.sqlite.schema import newest_schema
from modelperf_plugin.text import count

_FIXED_WAL_RESET = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first versions with a fix for SQLite's WAL-reset race, one for each minor version."""

_LARGE_LOG_BYTES = 64_000_000
"""SQLite truncates its log after about 4 MB unless a reader prevents it; a large import may need more."""
_REPAIR = "`modelperf doctor --repair` recounts them"
_PROGRAMS = "SELECT name, sql FROM sqlite_master WHERE type IN ('view', 'trigger')"


def examine(connection: sqlite3.Connection, path: str, sql: dict[str, str]) -> list[Finding]:
    """Return the results of all checks of the file behind ``connection``."""
    return [
        _integrity(connection),
        *_schema(connection),
        unreadable.check(connection),
        *_adopted(connection),
        drift(
            "tallies",
            "are the sum of their events and imports",
            fetch(connection, sql["tally_drift"]),
            _REPAIR,
        ),
        drift("daily roll-up", "adds up to the tallies", fetch(connection, sql["daily_drift"]), _REPAIR),
        drift("later tries", "add up to the tallies", fetch(connection, sql["later_drift"]), _REPAIR),
        drift("durations", "are those of the outcomes", fetch(connection, sql["duration_drift"]), _REPAIR),
        *_file(path),
        _version(),
    ]


def _integrity(connection: sqlite3.Connection) -> Finding:
    rows = [text for (text,) in fetch(connection, "PRAGMA integrity_check(5)")]
    if rows == ["ok"]:
        return Finding("integrity", ok=True, message="SQLite finds the file sound")
    return Finding(
        "integrity",
        ok=False,
        message=f"SQLite finds damage: {'; '.join(rows)}. Stop the hosts and run `modelperf doctor --repair`.",
    )


def _schema(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Yield a finding if views or triggers are not ours: SQLite reads them when they are used, and no sooner."""
    with closing(newest_schema()) as ours:
        expected = set(ours.execute(_PROGRAMS))
    names = sorted({name for name, _ in expected - set(fetch(connection, _PROGRAMS))})
    if names:
        message = (
            f"the statements of {', '.join(names)} are damaged or were changed. Stop the hosts and run "
            "`modelperf doctor --repair`."
        )
        yield Finding("schema", ok=False, message=message)


def _adopted(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Yield how many rows of the migration guide's tables could not be adopted, if any."""
    found = fetch(connection, "SELECT name FROM sqlite_master WHERE name = 'document_usable_outcomes'")
    if not found:
        return
    sql = load_queries("sqlite", "unreadable.sql")["not_adopted"]
    ((rows,),) = fetch(connection, sql)
    if rows:
        message = f"{count(rows, 'row')} of the migration guide's tables could not be read as outcomes and stay there"
        yield Finding("adopted file", ok=True, message=f"{message}: see document_model_outcomes, document_model_stats")


def _file(path: str) -> Iterator[Finding]:
    file = Path(path)
    if not file.exists():
        return
    size = file.stat().st_size
    wal = beside(path, LOG)
    wal_size = wal.stat().st_size if wal.exists() else 0
    yield Finding("size", ok=True, message=f"{size / 1e6:,.1f} MB, write-ahead log {wal_size / 1e6:,.1f} MB")
    if wal_size > _LARGE_LOG_BYTES:
        yield Finding(
            "write-ahead log",
            ok=False,
            message=f"{wal_size / 1e6:,.0f} MB, where a few are usual: another program reads without end and keeps it "
            "from being emptied, or much was written at once. Close such programs, then run `modelperf compact`.",
        )
    names = file.stat().st_nlink
    if names > 1:
        yield Finding(
            "names",
            ok=False,
            message=f"the file has {names} names (hard links): SQLite keeps a log for each, and programs that use "
            "different ones damage it. Delete the others, or replace them by symbolic links.",
        )
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        yield Finding(
            "permissions",
            ok=False,
            message=f"others may read or write the file (mode {mode:o}); chmod 600 {path}",
        )
    else:
        yield Finding("permissions", ok=True, message=f"only its owner can read the file (mode {mode:o})")


def _version() -> Finding:
    version = sqlite3.sqlite_version_info
    fixed = version >= _FIXED_WAL_RESET[0] or any(
        version[:2] == release[:2] and version >= release for release in _FIXED_WAL_RESET
    )
    message = f"SQLite {sqlite3.sqlite_version}"
    if not fixed:
        message += " has a rare race between a checkpoint and a writer (fixed in 3.51.3, 3.50.7 and 3.44.6)"
    return Finding("SQLite", ok=True, message=message)
