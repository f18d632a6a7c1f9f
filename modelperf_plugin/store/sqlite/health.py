"""The health check of an SQLite file."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from modelperf_plugin.store.entries import Finding

_FIXED_WAL_RESET = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first versions with a fix for SQLite's WAL-reset race, one for each minor version."""

_LARGE_LOG_BYTES = 64_000_000
"""SQLite truncates its log after about 4 MB unless a reader prevents it; a large import may need more."""


def examine(connection: sqlite3.Connection, path: str, sql: dict[str, str]) -> list[Finding]:
    """Return the results of all checks of the file behind ``connection``."""
    return [
        _integrity(connection),
        _sums(
            "tallies",
            "are the sum of their events and imports",
            connection.execute(sql["tally_drift"]).fetchall(),
        ),
        _sums("daily roll-up", "adds up to the tallies", connection.execute(sql["daily_drift"]).fetchall()),
        *_file(path),
        _version(),
    ]


def _integrity(connection: sqlite3.Connection) -> Finding:
    rows = [text for (text,) in connection.execute("PRAGMA quick_check(5)")]
    if rows == ["ok"]:
        return Finding("integrity", ok=True, message="SQLite finds the file sound")
    return Finding(
        "integrity",
        ok=False,
        message=f"SQLite finds damage: {'; '.join(rows)}. Stop the hosts and run `modelperf doctor --repair`.",
    )


def _sums(name: str, rule: str, drifted: list[tuple[str, str]]) -> Finding:
    if not drifted:
        return Finding(name, ok=True, message=f"{name} {rule}")
    pairs = ", ".join(f"{task_type} / {model_id}" for task_type, model_id in drifted[:3])
    more = f" and {len(drifted) - 3} more" if len(drifted) > 3 else ""
    message = f"{name}: not what the events say, for {pairs}{more}; `modelperf doctor --repair` recounts them"
    return Finding(name, ok=False, message=message)


def _file(path: str) -> Iterator[Finding]:
    file = Path(path)
    if not file.exists():
        return
    size = file.stat().st_size
    wal = file.with_name(f"{file.name}-wal")
    wal_size = wal.stat().st_size if wal.exists() else 0
    yield Finding("size", ok=True, message=f"{size / 1e6:,.1f} MB, write-ahead log {wal_size / 1e6:,.1f} MB")
    if wal_size > _LARGE_LOG_BYTES:
        yield Finding(
            "write-ahead log",
            ok=False,
            message=f"{wal_size / 1e6:,.0f} MB, where a few are usual: another program reads without end and keeps it "
            "from being emptied, or much was written at once. Close such programs, then run `modelperf compact`.",
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
