"""Text files of outcomes: CSV and JSON Lines, plain or gzipped, read in parts of constant size."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import IO, Any, Final

from modelperf_plugin.errors import OutcomesFileError, brief
from modelperf_plugin.exchange.importing.rows import COLUMNS, TASK_TYPE, is_required
from modelperf_plugin.exchange.importing.sources import Numbered, SourceBatch
from modelperf_plugin.exchange.lines import GZIP_MAGIC
from modelperf_plugin.exchange.parsing import unreadable
from modelperf_plugin.files import open_regular
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.paths import path_text
from modelperf_plugin.store import ImportRecord

PART_BYTES: Final = 1 << 20
MAX_LINE_BYTES: Final = 1 << 24
"""A longer line means that the file does not hold outcomes."""
MAX_RECORD_LINES: Final = 1000
"""A record over more lines starts with a stray quote."""


class LineFile:
    """Base class of files that are read in parts, line by line."""

    kind = ""

    def __init__(self, path: Path, columns: Mapping[str, str] | None = None, task_type: str | None = None) -> None:
        """Open the file at ``path``, plain or gzipped; raise OutcomesFileError if it cannot be read.

        ``columns`` maps our column names to those of the file, where they differ. ``task_type`` is the task type of
        all outcomes, if the file does not name it.
        """
        self.name = path_text(path)
        self.columns = {column: column for column in COLUMNS} | dict(columns or {})
        self.task_type = task_type
        try:
            self._raw = open_regular(path)
            self.size = path.stat().st_size
            is_gzip = self._raw.read(2) == GZIP_MAGIC
            self._raw.seek(0)
        except OSError as error:
            raise unreadable(path, error) from error
        self._file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=self._raw) if is_gzip else self._raw
        self._seek(0, 1, sha256())

    @property
    def done(self) -> int:
        """The number of bytes read, before decompression."""
        return self._raw.tell()

    def close(self) -> None:
        self._file.close()
        self._raw.close()

    def find(self, known: Sequence[ImportRecord]) -> ImportRecord | None:
        self._seek(0, 1, sha256())
        digest, position, line = sha256(), 0, 1
        start, match = (0, 1, sha256()), None
        for record in sorted(known, key=attrgetter("position")):
            while position < record.position and (part := self._read(min(PART_BYTES, record.position - position))):
                digest.update(part)
                position += len(part)
                line += part.count(b"\n")
            if position == record.position and record.digest == digest.hexdigest():
                start, match = (position, line, digest.copy()), record
        self._seek(*start)
        return match

    def batches(self) -> Iterator[SourceBatch]:
        rest, last = b"", False
        while not last or rest:
            part = self._read(PART_BYTES)
            last, block = not part, rest + part
            end = len(block) if last else block.rfind(b"\n") + 1
            if len(block) - end > MAX_LINE_BYTES:
                message = f"is longer than {MAX_LINE_BYTES:,} bytes; not a text file?"
                raise OutcomesFileError(self.name, self._line, message)
            lines = block[:end].decode("utf-8", "surrogateescape").removesuffix("\n").split("\n") if end else []
            records, used = self._records(lines, last=last)
            if used < len(lines):  # a record that continues in the next part
                end -= len("\n".join(["", *lines[used:]]).encode("utf-8", "surrogateescape"))
            rest = block[end:]
            if end:
                self._digest.update(block[:end])
                self._position += end
                self._line += used
                yield SourceBatch(records, self._position, self._digest.hexdigest())

    def _records(self, lines: list[str], *, last: bool) -> tuple[list[Numbered], int]:
        """Return the records in ``lines``, which start at ``self._line``, and the number of lines consumed."""
        raise NotImplementedError

    def _seek(self, position: int, line: int, digest: Any) -> None:
        self._file.seek(position)
        self._position, self._line, self._digest = position, line, digest

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise OutcomesFileError(self.name, None, f"is damaged ({error}); the rest is not read") from error


class CsvFile(LineFile):
    """A CSV file whose first line names the columns; unknown columns are ignored."""

    kind = "csv"

    def __init__(self, path: Path, columns: Mapping[str, str] | None = None, task_type: str | None = None) -> None:
        """Open the file and read its first line; raise OutcomesFileError if a required column is missing."""
        super().__init__(path, columns, task_type)
        try:
            header = self._header()
            self._width = len(header)
            self._pick = itemgetter(*(self._place(header, column) for column in COLUMNS))
        except BaseException:
            self.close()
            raise
        self._extension = ("", task_type or "")

    def _header(self) -> list[str]:
        try:
            first = self._file.readline(MAX_LINE_BYTES).decode("utf-8-sig")
            self._file.seek(0)
            return [name.strip() for name in next(csv.reader([first]), [])]
        except (UnicodeDecodeError, csv.Error, OSError, EOFError, zlib.error) as error:
            raise OutcomesFileError(self.name, 1, f"is not the first line of a CSV file ({error})") from error

    def _place(self, header: list[str], column: str) -> int:
        """Return the index of a column in a row that is extended by empty text and the task type."""
        if column == COLUMNS[TASK_TYPE] and self.task_type is not None:
            return -1
        name = self.columns[column]
        if header.count(name) > 1:
            raise OutcomesFileError(self.name, 1, f"names the column {name} twice")
        if name in header:
            return header.index(name)
        if is_required(column, has_score=self.columns["score"] in header) or name != column:
            message = f"must name the column {name}, but the columns are {brief(', '.join(header), 200)}"
            raise OutcomesFileError(self.name, 1, message)
        return -2

    def _records(self, lines: list[str], *, last: bool) -> tuple[list[Numbered], int]:
        records: list[Numbered] = []
        at = 1 if self._line == 1 and lines else 0  # the names of the columns
        width, pick, extension, first = self._width, self._pick, self._extension, self._line
        ended = [f"{line}\n" for line in lines]  # a quoted value keeps the ends of its lines
        while at < len(lines):
            began = at
            reader = csv.reader(islice(ended, began, None), strict=True)
            try:
                for row in reader:
                    if len(row) == width:
                        row.extend(extension)
                        records.append((first + at, pick(row)))
                    elif row:
                        records.append((first + at, f"has {len(row)} values, but there are {width} columns"))
                    at = began + reader.line_num
            except csv.Error as error:
                if not last and began + reader.line_num == len(lines) and len(lines) - at <= MAX_RECORD_LINES:
                    return records, at
                records.append((first + at, f"is not CSV ({error})"))
                at += 1
        return records, len(lines)


class JsonLinesFile(LineFile):
    """A file with one JSON object per line; keys may be in camelCase, unknown keys are ignored."""

    kind = "jsonl"

    def _records(self, lines: list[str], *, last: bool) -> tuple[list[Numbered], int]:  # noqa: ARG002 - one line each
        records: list[Numbered] = []
        for number, line in enumerate(lines, self._line):
            text = line.lstrip("\ufeff") if number == 1 else line
            if text.strip():
                records.append((number, self._record(text)))
        return records, len(lines)

    def _record(self, text: str) -> list[Any] | str:
        try:
            data = parse_json(text)
        except ValueError as error:
            return f"is not JSON ({error})"
        if not isinstance(data, dict):
            return f"is not a JSON object but {brief(data)}"
        values = [data.get(name, data.get(_camel(name))) for name in self.columns.values()]
        if self.task_type is not None:
            values[TASK_TYPE] = self.task_type
        return values


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)
