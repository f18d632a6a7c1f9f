"""Histories in tables: other stores, and Parquet files."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError
from modelperf_plugin.exchange.attached.reading import open_read_only
from modelperf_plugin.exchange.importing.rows import COLUMNS, TASK_TYPE, Record, is_required
from modelperf_plugin.exchange.importing.sources import Numbered, SourceBatch
from modelperf_plugin.exchange.parquet import check_plain, open_parquet, parquet_rows
from modelperf_plugin.exchange.parsing import unreadable
from modelperf_plugin.files import refuse_special
from modelperf_plugin.log import logger
from modelperf_plugin.paths import path_text
from modelperf_plugin.store import ImportRecord, Step, Store, Sums
from modelperf_plugin.store.entries import decision_of
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import moments
from modelperf_plugin.store.sqlite.requirements import old_sqlite
from modelperf_plugin.store.tried import tried_of
from modelperf_plugin.text import count
from modelperf_plugin.values import check_amount, check_id

BATCH_ROWS: Final = 10_000
MAX_SUM: Final = 2**63 - 1
_TRIED: Final = COLUMNS.index("tried")
_FIRST_COLUMNS: Final = _TRIED
"""How many columns the first version had."""
_OUTCOME_ID: Final = COLUMNS.index("outcome_id")
_DURATION: Final = COLUMNS.index("duration_seconds")
_ALL_COLUMNS: Final = len(COLUMNS) + 6
"""How many an outcome in a store has with its first verdict, if that was replaced."""
_BUSY_SECONDS: Final = 5.0
_MAX_TEXT_BYTES: Final = 1 << 28
"""Of one value; a log of calls may hold long answers."""


class RowSource:
    """Base class of sources with rows in a fixed order. Positions count rows."""

    kind = ""

    def __init__(self, name: str, size: int, read_as: str = "") -> None:
        """Take the name and the number of rows (0 if unknown).

        ``read_as`` is part of the digest: the same rows, read in another way, are a different history.
        """
        self.name = path_text(name)
        self.size = size
        self.done = 0
        self._start = sha256(read_as.encode())
        self._digest = self._start.copy()

    def find(self, known: Sequence[ImportRecord]) -> ImportRecord | None:
        digest, position, match, start = self._start.copy(), 0, None, (0, self._start.copy())
        rows = self.rows()
        for record in sorted(known, key=attrgetter("position")):
            for row in islice(rows, record.position - position):
                digest.update(self._identity(row))
                position += 1
            if position == record.position and record.digest == digest.hexdigest():
                match, start = record, (position, digest.copy())
        self.done, self._digest = start
        return match

    def batches(self) -> Iterator[SourceBatch]:
        rows = islice(self.rows(), self.done, None)
        while taken := list(islice(rows, BATCH_ROWS)):
            records: list[Numbered] = []
            for number, row in enumerate(taken, self.done + 1):
                self._digest.update(self._identity(row))
                records.append((number, self.record(row)))
            self.done += len(taken)
            yield SourceBatch(records, self.done, self._digest.hexdigest())

    def rows(self) -> Iterator[Any]:
        """Yield all rows from the start."""
        raise NotImplementedError

    def first_form(self, row: Any) -> Any:
        """Return what a row is recognised by, whatever has become of it since."""
        return row

    def record(self, row: Any) -> Record | str:
        """Return the record of a row, or the reason why it is not usable."""
        record: Record = row
        return record

    def close(self) -> None:
        """Release all resources."""

    def _identity(self, row: Any) -> bytes:
        return repr(self.first_form(row)).encode("utf-8", "surrogatepass")


class ParquetTable(RowSource):
    """A Parquet file of outcomes."""

    kind = "parquet"

    def __init__(self, path: Path, columns: Mapping[str, str] | None = None, task_type: str | None = None) -> None:
        """Open the file at ``path`` like a CSV file; raise MissingExtraError without the extra ``parquet``."""
        self._file = open_parquet(path)
        names = {column: column for column in COLUMNS} | dict(columns or {})
        available = self._file.schema_arrow.names
        self._task_type = task_type
        self._names = [names[column] if names[column] in available else None for column in COLUMNS]
        has_score = names["score"] in available
        for column, name in zip(COLUMNS, self._names, strict=True):
            is_given = column == COLUMNS[TASK_TYPE] and task_type is not None
            is_needed = is_required(column, has_score=has_score) or names[column] != column
            if name is None and not is_given and is_needed:
                message = f"must have the column {names[column]}, but the columns are {', '.join(available)}"
                self._file.close()
                raise OutcomesFileError(str(path), None, message)
        try:
            check_plain(str(path), self._file, filter(None, self._names), self._names[_TRIED])
        except BaseException:
            self._file.close()
            raise
        super().__init__(str(path), self._file.metadata.num_rows)

    def rows(self) -> Iterator[Any]:
        wanted = list(dict.fromkeys(name for name in self._names if name is not None))
        places = [None if name is None else wanted.index(name) for name in self._names]
        for row in parquet_rows(self.name, self._file, wanted, BATCH_ROWS):
            yield _shortened(tuple(None if place is None else row[place] for place in places))

    def record(self, row: Any) -> Record | str:
        row = _whole(row)
        return row if self._task_type is None else (*row[:TASK_TYPE], self._task_type, *row[TASK_TYPE + 1 :])

    def close(self) -> None:
        self._file.close()


class TrackerFile(RowSource):
    """Another store in SQLite, of any version, or the migration guide's tracker; opened read-only."""

    kind = "modelperf"

    def __init__(self, path: Path) -> None:
        """Open the file at ``path``; raise OutcomesFileError if it cannot be read, or is not such a file."""
        self._sql = load_queries("sqlite", "histories.sql")
        self._path = path
        self._connection, relations = open_database(path)
        self._is_ours = {"event", "tally", "imported", "outcome_key"} <= relations
        self._outcomes, self._first = "outcomes", "first_verdicts" if "revision" in relations else "no_verdicts"
        if self._is_ours:
            self._outcomes = "events" if "tried" in relations else "older_events"
        try:
            self._columns = {name for (name,) in query(path, self._connection, self._sql["columns_of_events"])}
            super().__init__(str(path), self._count(relations))
        except BaseException:
            self.close()
            raise

    def rows(self) -> Iterator[Any]:
        """Yield all outcomes from the start, in the order of recording."""
        if self._outcomes != "events":
            return query(self._path, self._connection, self._sql[self._outcomes])
        score, first = "event.score" if "score" in self._columns else "NULL", self._sql[self._first]
        statement = self._sql["events"].format(score=score, first=first)
        return map(_shortened, query(self._path, self._connection, statement))

    def first_form(self, row: Any) -> Any:
        """Return the row with its first verdict, as it was when it was imported, or may have been."""
        if self._outcomes != "events":
            return row
        whole = _whole(row, _ALL_COLUMNS)
        outcome_id, (success, timeout, tokens, usd, error_kind, score) = whole[_OUTCOME_ID], whole[len(COLUMNS) :]
        if success is not None:
            whole = (*whole[:2], success, timeout, tokens, usd, *whole[6:8], error_kind, *whole[9:11], score)
        if isinstance(outcome_id, str) and decision_of(outcome_id) is not None:  # the rest may have come later
            whole = (*whole[:_DURATION], None, *whole[_DURATION + 1 :])
        return _shortened(whole[: len(COLUMNS)])

    def record(self, row: Any) -> Record | str:
        *values, models, score = _whole(row[: len(COLUMNS)])
        return (*values, models and tried_of(models), score)

    def is_file_of(self, store: Store) -> bool:
        """Return whether this is the file of ``store`` itself."""
        location = Path(store.location)
        return location.exists() and location.samefile(self._path)

    def import_sums(self, store: Store, now_ms: int) -> int:
        """Import the sums without events; return the number of new outcomes."""
        if not self._is_ours:
            return 0
        sums: dict[str, list[Sums]] = {}
        unusable = new = 0
        for source, *row in query(self._path, self._connection, self._sql["sums"]):
            try:
                sums.setdefault(check_id("source", source), []).append(_sums(*row))
            except (InvalidValueError, TypeError, OverflowError):
                unusable += 1
        if unusable:
            logger.warning("%s: the sums of %s are not usable and not imported", self._path, count(unusable, "pair"))
        for source, listed in sums.items():
            digest = sha256(repr(listed).encode()).hexdigest()
            step = Step("sums", f"{path_text(self._path.resolve())}:{source}", digest, len(listed), 0, 0, now_ms)
            if store.imports.add_sums(step, listed):
                new += sum(entry.successes + entry.failures for entry in listed)
        return new

    def close(self) -> None:
        self._connection.close()

    def _count(self, relations: Container[str]) -> int:
        if not self._is_ours and "model_outcomes" not in relations:
            message = "is neither a store nor a file of the migration guide's tracker"
            raise OutcomesFileError(str(self._path), None, message)
        size = self._sql["count_events" if self._is_ours else "count_outcomes"]
        outcomes: int = next(query(self._path, self._connection, size))[0]
        return outcomes


def _shortened(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row as it is recognised by: without empty values of columns that earlier versions did not have."""
    end = len(row)
    while end > _FIRST_COLUMNS and not row[end - 1] and row[end - 1] != 0:
        end -= 1
    return row[:end]


def _whole(row: tuple[Any, ...], columns: int = len(COLUMNS)) -> tuple[Any, ...]:
    """Return such a row with all its columns."""
    return (*row, *[None] * (columns - len(row)))


def open_database(path: Path) -> tuple[sqlite3.Connection, set[str]]:
    """Return a read-only connection and the names of the relations; raise OutcomesFileError if it cannot be read."""
    if not path.exists():
        raise OutcomesFileError(str(path), None, "cannot be read (No such file)")
    try:
        refuse_special(path)
    except OSError as error:
        raise unreadable(path, error) from error
    connection = None
    try:
        connection = open_read_only(str(path), _BUSY_SECONDS, _MAX_TEXT_BYTES)
        relations = connection.execute(load_queries("sqlite", "histories.sql")["relations"])
        return connection, {name for (name,) in relations}
    except (sqlite3.Error, UnicodeError) as error:
        if connection is not None:
            connection.close()
        reason = old_sqlite() or f"cannot be read as an SQLite database ({error})"
        raise OutcomesFileError(str(path), None, reason) from error


def query(path: Path, connection: sqlite3.Connection, statement: str, *, named: bool = False) -> Iterator[Any]:
    """Yield the rows of a statement, or mappings; raise OutcomesFileError, which names ``path``, if it fails."""
    try:
        cursor = connection.execute(statement)
        names = [column[0] for column in cursor.description]
        yield from (dict(zip(names, row, strict=True)) for row in cursor) if named else cursor
    except (sqlite3.Error, UnicodeError, MemoryError) as error:
        raise OutcomesFileError(str(path), None, f"cannot be read to its end ({error})") from error


def _sums(task_type: Any, model_id: Any, *counts: Any) -> Sums:
    """Return the sums of a pair; raise InvalidValueError, TypeError or OverflowError if no store has written them."""
    check_id("task_type", task_type)
    check_id("model_id", model_id)
    *sums, last_used_ms = counts
    for value in sums:
        check_amount("sums", value, MAX_SUM)
    moments(last_used_ms)
    return Sums(task_type, model_id, *counts)
