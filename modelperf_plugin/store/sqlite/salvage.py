"""Recovering all readable rows of a damaged SQLite file; the file itself is set aside."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import StoreBusyError, StoreDamagedError, StoreFailedError, StoreOutdatedError
from modelperf_plugin.store.lock import file_lock, is_byte_locked
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.file import BUSY_SECONDS, prepare, transaction
from modelperf_plugin.store.sqlite.rebuild import rebuild
from modelperf_plugin.store.sqlite.store import open_sqlite_read_only

ROWS_PER_PAGE: Final = 500
_MAX_MISSES: Final = 100_000
"""How many unreadable row numbers in succession end the search; one page of the tree covers fewer."""
_MAX_ROW_ID_BITS: Final = 40
_IN_USE_BYTE: Final = 128
"""Of the -shm file: every process that has the database open holds a shared lock on it (SQLite's file format)."""

_Row = tuple[list[str], tuple[Any, ...]]


class Salvage(NamedTuple):
    """The result of salvaging a file."""

    aside: Path
    """The new path of the damaged file."""
    outcomes: int
    """Recovered outcomes."""
    counted: int
    """Further outcomes of which only the counts were recovered."""
    tables: dict[str, int]
    """Recovered rows by table."""
    unreadable: list[str]
    """Tables with unreadable rows."""

    def sentences(self) -> list[str]:
        """Return the result in sentences."""
        saved = [f"{self.outcomes:,} outcomes were saved with all their details"]
        if self.counted:
            saved.append(f"{self.counted:,} outcomes are lost but for their counts, which are kept")
        if self.unreadable:
            saved.append(f"parts of these tables could not be read: {', '.join(self.unreadable)}")
        saved.append(f"the damaged file was set aside as {self.aside}")
        return saved


def is_sound(path: str) -> bool:
    """Return whether SQLite finds no damage in the file; reads all of it.

    Raises:
        StoreError: it cannot be read, for another reason than damage.
    """
    try:
        store = open_sqlite_read_only(path)
    except StoreDamagedError:
        return False
    except StoreOutdatedError:
        return True  # it opens, and is migrated
    try:
        return next(finding.ok for finding in store.maintenance.check() if finding.name == "integrity")
    except StoreDamagedError:
        return False
    finally:
        store.close()


def salvage(path: str) -> Salvage:
    """Replace the damaged file at ``path`` by a new one with all rows that can be read.

    Raises:
        StoreBusyError: a host has it open.
        StoreFailedError: there is no room for the copy, or the folder cannot be written; the file is unchanged.
    """
    file = Path(path).absolute()
    try:
        with (
            file_lock(file.with_name(f"{file.name}.lock"), BUSY_SECONDS),
            tempfile.TemporaryDirectory(prefix=".repair-", dir=file.parent) as folder,
        ):
            if is_byte_locked(file.with_name(f"{file.name}-shm"), _IN_USE_BYTE):
                raise StoreBusyError(f"a host has {path} open: stop the hosts, then repair it")
            old, new = Path(folder) / "old.db", Path(folder) / "new.db"
            for suffix in ("", "-wal"):
                with suppress(FileNotFoundError):
                    shutil.copy(f"{file}{suffix}", f"{old}{suffix}")
            tables, unreadable, counted = _copy(old, new)
            return Salvage(_replace(file, new), tables.get("event", 0), counted, tables, unreadable)
    except (OSError, sqlite3.Error) as error:
        raise StoreFailedError(f"{path} could not be repaired: {error}; it is as it was") from error


def _copy(old: Path, new: Path) -> tuple[dict[str, int], list[str], int]:
    sql = load_queries("sqlite", "repair.sql")
    tables: dict[str, int] = {}
    unreadable: list[str] = []
    with closing(prepare(str(new), "full")) as target, closing(sqlite3.connect(old, isolation_level=None)) as source:
        source.text_factory = lambda raw: raw.decode("utf-8", "replace")
        target.execute("PRAGMA foreign_keys = OFF")
        with transaction(target):
            for table, without_numbers in target.execute(sql["tables"]).fetchall():
                rows = _Rows(source, table, numbered=not without_numbers)
                tables[table] = _insert(target, table, rows)
                if not rows.whole:
                    unreadable.append(table)
            with suppress(sqlite3.DatabaseError):
                tables["tally"] += _insert(target, "tally", _names_in_index(source, sql))
            strays = target.execute(sql["forget_strays"]).rowcount
            tables["event"] -= max(0, strays)
            counted = _keep_counts(target, sql)
            rebuild(target)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        target.execute("PRAGMA journal_mode = DELETE")
    return tables, unreadable, counted


class _Rows:
    """The readable rows of one table, each with the names of its columns."""

    def __init__(self, source: sqlite3.Connection, table: str, *, numbered: bool) -> None:
        self._source = source
        self._table = table
        self._numbered = numbered
        self.whole = True
        """Whether every row could be read."""

    def __iter__(self) -> Iterator[_Row]:
        yield from self._by_number() if self._numbered else self._both_ways()

    def _by_number(self) -> Iterator[_Row]:
        position, misses, last = 0, 0, self._last_number()
        if last is None and all(self._page(2**power, 1) is None for power in range(_MAX_ROW_ID_BITS)):
            self.whole = False  # the root of the tree is damaged: no row can be reached
            return
        while misses < _MAX_MISSES and (last is None or position <= last):
            found = self._page(position, ROWS_PER_PAGE)
            if found is None:
                found = self._page(position, 1)
            if found is None:
                self.whole = False
                position, misses = position + 1, misses + 1
                continue
            names, rows = found
            if not rows:
                return
            for number, *values in rows:
                yield names[1:], tuple(values)
                position = number + 1
            misses = 0
        self.whole = self.whole and misses == 0

    def _page(self, position: int, limit: int) -> tuple[list[str], list[tuple[Any, ...]]] | None:
        query = f"SELECT rowid, * FROM {self._table} WHERE rowid >= ? ORDER BY rowid LIMIT ?"  # noqa: S608 - our own table names
        return self._read(query, (position, limit))

    def _last_number(self) -> int | None:
        found = self._read(f"SELECT max(rowid) FROM {self._table}", ())  # noqa: S608 - our own table names
        return None if found is None else found[1][0][0] or 0

    def _both_ways(self) -> Iterator[_Row]:
        """Read from the first row forwards and, if that fails, from the last one backwards."""
        seen = set()
        for order in ("ASC", "DESC"):
            key = "1, 2" if order == "ASC" else "1 DESC, 2 DESC"
            try:
                cursor = self._source.execute(f"SELECT * FROM {self._table} ORDER BY {key}")  # noqa: S608
                names = [column[0] for column in cursor.description]
                for row in cursor:
                    if row not in seen:
                        seen.add(row)
                        yield names, row
            except sqlite3.DatabaseError as error:
                if _is_missing(error):
                    return
                self.whole = False
            else:
                return

    def _read(self, query: str, parameters: tuple[Any, ...]) -> tuple[list[str], list[tuple[Any, ...]]] | None:
        try:
            cursor = self._source.execute(query, parameters)
            return [column[0] for column in cursor.description], cursor.fetchall()
        except sqlite3.DatabaseError as error:
            return ([], []) if _is_missing(error) else None


def _insert(target: sqlite3.Connection, table: str, rows: Iterable[_Row]) -> int:
    """Insert all rows that satisfy the constraints of the new file; return how many."""
    known = {name for (name,) in target.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    inserted = 0
    for names, values in rows:
        row = {name: value for name, value in zip(names, values, strict=True) if name in known}
        places = ", ".join("?" * len(row))
        statement = f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({places})"  # noqa: S608 - our own table names
        with suppress(sqlite3.IntegrityError):
            inserted += max(0, target.execute(statement, tuple(row.values())).rowcount)
    return inserted


def _names_in_index(source: sqlite3.Connection, sql: dict[str, str]) -> Iterator[_Row]:
    for row in source.execute(sql["names_in_index"]):
        yield ["id", "task_type", "model_id"], row


def _keep_counts(target: sqlite3.Connection, sql: dict[str, str]) -> int:
    """Keep the counts of the old tallies beyond the recovered events; return how many outcomes these are."""
    kept = 0
    before = {row[0]: row[4] + row[5] for row in target.execute(sql["dropped_pairs"])}
    for tally_id, *missing in target.execute(sql["missing_sums"]).fetchall():
        if min(missing) < 0:  # the tally is damaged as well: the events are authoritative
            continue
        target.execute(sql["set_dropped"], (tally_id, *missing))
        kept += missing[0] + missing[1] - before.get(tally_id, 0)
    return kept


def _replace(file: Path, new: Path) -> Path:
    """Set ``file`` and its log aside and put ``new`` in its place; there is a file at every moment."""
    aside = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    if aside.exists():
        aside = aside.with_name(f"{aside.name}-{os.getpid()}")
    aside.hardlink_to(file)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            file.with_name(f"{file.name}{suffix}").rename(f"{aside}{suffix}")
    new.replace(file)
    return aside


def _is_missing(error: sqlite3.DatabaseError) -> bool:
    """Return whether the table does not exist, as in a file of an older version."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR
