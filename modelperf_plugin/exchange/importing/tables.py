"""Histories in tables: other stores, and Parquet files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.exchange.attached.reading import open_read_only
from modelperf_plugin.exchange.importing.rows import COLUMNS, REQUIRED, TASK_TYPE, Record
from modelperf_plugin.exchange.importing.sources import Numbered, SourceBatch
from modelperf_plugin.exchange.parquet import open_parquet
from modelperf_plugin.store import ImportRecord, Step, Store, Sums
from modelperf_plugin.store.queries import load_queries

BATCH_ROWS: Final = 10_000


class RowSource:
    """Base class of sources with rows in a fixed order. Positions count rows."""

    kind = ""

    def __init__(self, name: str, size: int, read_as: str = "") -> None:
        """Take the name and the number of rows (0 if unknown).

        ``read_as`` is part of the digest: the same rows, read in another way, are a different history.
        """
        self.name = name
        self.size = size
        self.done = 0
        self._start = sha256(read_as.encode())
        self._digest = self._start.copy()

    def find(self, known: Sequence[ImportRecord]) -> ImportRecord | None:
        digest, position, match, start = self._start.copy(), 0, None, (0, self._start.copy())
        rows = self.rows()
        for record in sorted(known, key=attrgetter("position")):
            for row in islice(rows, record.position - position):
                digest.update(repr(row).encode("utf-8", "surrogatepass"))
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
                self._digest.update(repr(row).encode("utf-8", "surrogatepass"))
                records.append((number, self.record(row)))
            self.done += len(taken)
            yield SourceBatch(records, self.done, self._digest.hexdigest())

    def rows(self) -> Iterator[Any]:
        """Yield all rows from the start."""
        raise NotImplementedError

    def record(self, row: Any) -> Record | str:
        """Return the record of a row, or the reason why it is not usable."""
        record: Record = row
        return record

    def close(self) -> None:
        """Release all resources."""


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
        for column, name in zip(COLUMNS, self._names, strict=True):
            is_given = column == COLUMNS[TASK_TYPE] and task_type is not None
            if name is None and not is_given and (column in REQUIRED or names[column] != column):
                message = f"must have the column {names[column]}, but the columns are {', '.join(available)}"
                self._file.close()
                raise OutcomesFileError(str(path), None, message)
        super().__init__(str(path), self._file.metadata.num_rows)

    def rows(self) -> Iterator[Any]:
        wanted = [name for name in self._names if name is not None]
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
            values = batch.to_pydict()
            nothing = [None] * batch.num_rows
            yield from zip(*(nothing if name is None else values[name] for name in self._names), strict=True)

    def record(self, row: Any) -> Record | str:
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
        if not self._is_ours and "model_outcomes" not in relations:
            self._connection.close()
            raise OutcomesFileError(str(path), None, "is neither a store nor a file of the migration guide's tracker")
        count = self._sql["count_events" if self._is_ours else "count_outcomes"]
        super().__init__(str(path), self._connection.execute(count).fetchone()[0])

    def rows(self) -> Iterator[Any]:
        """Yield all outcomes from the start, in the order of recording."""
        return self._connection.execute(self._sql["events" if self._is_ours else "outcomes"])

    def is_file_of(self, store: Store) -> bool:
        """Return whether this is the file of ``store`` itself."""
        location = Path(store.location)
        return location.exists() and location.samefile(self._path)

    def import_sums(self, store: Store, now_ms: int) -> int:
        """Import the sums without events; return the number of new outcomes."""
        if not self._is_ours:
            return 0
        sums: dict[str, list[Sums]] = {}
        for source, *row in self._connection.execute(self._sql["sums"]):
            sums.setdefault(source, []).append(Sums(*row))
        new = 0
        for source, listed in sums.items():
            digest = sha256(repr(listed).encode()).hexdigest()
            step = Step("sums", f"{self._path.resolve()}:{source}", digest, len(listed), 0, 0, now_ms)
            if store.imports.add_sums(step, listed):
                new += sum(entry.successes + entry.failures for entry in listed)
        return new

    def close(self) -> None:
        self._connection.close()


def open_database(path: Path) -> tuple[sqlite3.Connection, set[str]]:
    """Return a read-only connection and the names of the relations; raise OutcomesFileError if it cannot be read."""
    if not path.is_file():
        raise OutcomesFileError(str(path), None, "cannot be read (No such file)")
    connection = None
    try:
        connection = open_read_only(str(path), busy_seconds=5.0)
        relations = connection.execute(load_queries("sqlite", "histories.sql")["relations"])
        return connection, {name for (name,) in relations}
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise OutcomesFileError(str(path), None, f"cannot be read as an SQLite database ({error})") from error
