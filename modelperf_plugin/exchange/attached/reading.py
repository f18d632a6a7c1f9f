"""Read-only access to a table of another program's database, whose every value is checked and every effort bounded."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.exchange.attached.shapes import recognise
from modelperf_plugin.files import refuse_special
from modelperf_plugin.paths import absolute
from modelperf_plugin.store import Attached
from modelperf_plugin.store.sqlite.rows import decode_any
from modelperf_plugin.values import MAX_COST_USD, MAX_TOKENS, NANO_USD, Tally, check_id, combine, from_milliseconds

MAX_TEXT_BYTES: Final = 1_000_000
"""The longest text or blob that a table or view may hold or compute."""
MAX_PAIRS: Final = 100_000
ROWS_PER_PART: Final = 100_000
"""So many rows take some tenths of a second."""
PAIRS_AT_ONCE: Final = 200
"""How many pairs are handled before other threads get their turn."""
PAUSE_SECONDS: Final = 0.0001
STEPS_PER_CHECK: Final = 10_000
"""How often a query looks whether it is to end, in steps of SQLite's machine; far below a millisecond."""
UNREADABLE: Final = (StoreError, sqlite3.Error, OSError, UnicodeError, MemoryError)
"""What reading another program's database may raise."""

_TOO_MANY_PAIRS: Final = f"holds more than {MAX_PAIRS:,} pairs of task type and model: are its task types ids?"
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database",
    sqlite3.SQLITE_TOOBIG: f"holds or computes text of more than {MAX_TEXT_BYTES:,} bytes",
}

_T = TypeVar("_T")
Sums = dict[tuple[str, str], Tally]


class Reading(NamedTuple):
    """The tallies of a range of rows."""

    sums: Sums
    last_row: int
    """The last row; 0 if rows are not in order of insertion."""


class OpenTable:
    """An attached table on a connection of its own. One thread at a time may use it; it raises :data:`UNREADABLE`."""

    def __init__(self, attached: Attached, busy_seconds: float) -> None:
        """Open the database and recognise the table, waiting up to ``busy_seconds`` for a lock."""
        self.file = _identity(attached.path)
        self._attached = attached
        self._connection = open_read_only(attached.path, busy_seconds, MAX_TEXT_BYTES)
        try:
            self._schema = self._schema_version()
            self.shape = recognise(self._connection, attached.name, attached.columns)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def is_same_file(self) -> bool:
        """Return whether the file is still the one at its path."""
        return self.file == _identity(self._attached.path)

    def has_same_schema(self) -> bool:
        """Return whether the shape of the table is still right."""
        return self._schema == self._schema_version()

    def version(self) -> int:
        """Return a number that changes whenever the other program has committed."""
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def patience(self, busy_seconds: float) -> None:
        """Wait up to ``busy_seconds`` for a lock from now on."""
        self._connection.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")

    def read(self, is_over: Callable[[], bool], after: int = 0) -> Reading | None:
        """Return the tallies of the rows after row ``after``; None if ``is_over`` said so meanwhile."""
        connection = self._connection
        connection.set_progress_handler(is_over, STEPS_PER_CHECK)
        try:
            if not self.shape.has_row_ids:
                return Reading(self._sums(), 0)
            return self._read_in_parts(is_over, after)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                return None
            raise
        finally:
            connection.set_progress_handler(None, 0)

    def _read_in_parts(self, is_over: Callable[[], bool], after: int) -> Reading | None:
        """Read a table in order of insertion: between the parts, the other program can write."""
        sums: Sums = {}
        while not is_over():
            statement = self.shape.statement("last_of_part")
            (last,) = self._connection.execute(statement, (after, ROWS_PER_PART)).fetchone()
            if last is None:
                return Reading(sums, after)
            for pair, tally in politely(self._sums("rowid > ? AND rowid <= ?", after, last).items()):
                sums[pair] = combine(sums[pair], tally) if pair in sums else tally
            if len(sums) > MAX_PAIRS:
                raise StoreError(_TOO_MANY_PAIRS)
            after = last
        return None

    def _sums(self, rows: str = "1", *bounds: int) -> Sums:
        statement = self.shape.statement("sums", rows)
        return _to_tallies(self._connection.execute(statement, bounds).fetchmany(MAX_PAIRS + 1))

    def _schema_version(self) -> int:
        version: int = self._connection.execute("PRAGMA schema_version").fetchone()[0]
        return version


def open_read_only(path: str, busy_seconds: float, max_text_bytes: int) -> sqlite3.Connection:
    """Open the database at ``path`` read-only, without trusting its schema or its text.

    Text that is not UTF-8 is read with lone surrogates in place of the bytes that are not: no valid id has any.

    Raises:
        OSError: there is no regular file.
        sqlite3.Error: it cannot be opened.
    """
    refuse_special(Path(path))  # opening a pipe would wait for a program that writes to it
    uri = f"{absolute(path).as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    connection.text_factory = decode_any
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_text_bytes)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def politely(items: Iterable[_T]) -> Iterator[_T]:
    """Yield ``items``; now and then, let other threads run: a choice would wait for the interpreter otherwise."""
    for number, item in enumerate(items, 1):
        yield item
        if number % PAIRS_AT_ONCE == 0:
            time.sleep(PAUSE_SECONDS)


def explain(error: Exception) -> str:
    """Return why a database cannot be read: a predicate that follows its path."""
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, StoreError):
        return str(error)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return _REASONS.get(code, f"cannot be read ({error})")
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error})"
    return f"cannot be read ({'its schema is not UTF-8' if isinstance(error, UnicodeError) else type(error).__name__})"


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - on the hot path
    return status.st_dev, status.st_ino


def _to_tallies(rows: list[Any]) -> Sums:
    """Return the tallies of rows of the statement ``sums``; pairs with invalid ids are skipped."""
    if len(rows) > MAX_PAIRS:
        raise StoreError(_TOO_MANY_PAIRS)
    tallies: Sums = {}
    for row in politely(rows):
        successes, failures, timeouts, tokens, cost, priced, last_used, timeout_failures, *later = row[2:]
        try:
            pair = (check_id("task_type", row[0]), check_id("model_id", row[1]))
        except InvalidValueError:
            continue
        tallies[pair] = Tally(
            *pair,
            successes,
            failures,
            timeouts,
            total_tokens=int(_within(tokens, MAX_TOKENS)),
            total_cost_nano_usd=round(_within(cost, MAX_COST_USD * 1000) * NANO_USD),
            priced=priced,
            last_used_ms=_moment(last_used),
            timeout_failures=timeout_failures,
            later_successes=later[0],
            later_failures=later[1],
            later_timeout_failures=later[2],
            graded=later[3],
            score_shift=later[4],
            later_score_shift=later[5],
        )
    return tallies


def _within(amount: float, maximum: float) -> float:
    return min(amount, maximum) if isfinite(amount) else maximum


def _moment(milliseconds: Any) -> int | None:
    try:
        moment = int(milliseconds)
        from_milliseconds(moment)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment
