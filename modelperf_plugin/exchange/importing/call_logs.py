"""Call logs of LiteLLM and llm: models, tokens, costs and times, but no verdict on the task.

A call may have returned a bad answer, and the log does not tell. So a row counts only if the host wrote its verdict
into the log, as a tag or metadata.
"""

from __future__ import annotations

import csv
from collections.abc import Container, Generator, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError, brief
from modelperf_plugin.exchange.importing.rows import Record
from modelperf_plugin.exchange.importing.tables import RowSource, open_database, query
from modelperf_plugin.exchange.json_stream import JsonStream
from modelperf_plugin.exchange.lines import read_lines
from modelperf_plugin.exchange.parsing import parse_moment, unreadable
from modelperf_plugin.files import open_regular
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.queries import load_queries

_HEAD_BYTES: Final = 1024


class VerdictFields(NamedTuple):
    """Where a log holds task types and verdicts."""

    task_type: str | None = None
    """The task type of all rows."""
    task_field: str | None = None
    """Where each row holds its task type: a column, or a path such as ``metadata.task_type``."""
    success_field: str | None = None
    """Where each row holds whether the task succeeded."""


class CallLog(RowSource):
    """Base class of call logs."""

    def __init__(self, name: str, size: int, noted: VerdictFields) -> None:
        super().__init__(name, size, repr(tuple(noted)))
        self._noted = noted

    def _record(self, row: Mapping[str, Any], values: tuple[Any, ...]) -> Record:
        """Return the record of a row; ``values`` are the model id, and those from ``timeout`` to ``outcome_id``."""
        task_type = self._noted.task_type
        if task_type is None and self._noted.task_field is not None:
            task_type = at_path(row, self._noted.task_field)
        success = None if self._noted.success_field is None else at_path(row, self._noted.success_field)
        if success is None or success == "":
            return ("unknown", "unknown", None, *values[1:], None, None)  # not counted, whatever the other values are
        return (task_type, values[0], success, *values[1:], None, None)


class LiteLLMLog(CallLog):
    """An export of LiteLLM's table LiteLLM_SpendLogs: CSV, JSON, or JSON Lines."""

    kind = "litellm"

    def __init__(self, path: Path, noted: VerdictFields) -> None:
        """Open the file at ``path``; raise OutcomesFileError if it cannot be read, or is not such a log."""
        self._path = path
        self._reading: Generator[Any] | None = None
        super().__init__(str(path), 0, noted)
        first = next((row for row in self.rows() if not isinstance(row, str)), None)
        self.close()
        names = list(first) if isinstance(first, Mapping) else [first]
        if first is not None and not {"request_id", "model"} <= set(names):
            message = f"not a LiteLLM spend log: expected columns request_id and model, found {brief(names)}"
            raise OutcomesFileError(str(path), None, message)

    def rows(self) -> Iterator[Any]:
        self.close()
        self._reading = self._read()
        return self._reading

    def close(self) -> None:
        if self._reading is not None:
            self._reading.close()

    def _read(self) -> Generator[Any]:
        start = self._first_byte()
        try:
            if start == b"[":
                yield from self._elements()
                return
            with closing(read_lines(self._path)) as lines:
                if start == b"{":
                    yield from (_parse_line(line) for line in lines if line.strip())
                else:
                    yield from csv.DictReader(lines)
        except (ValueError, csv.Error) as error:
            raise OutcomesFileError(self.name, None, f"is neither JSON nor CSV ({error})") from error

    def _first_byte(self) -> bytes:
        try:
            with open_regular(self._path) as file:
                return file.read(_HEAD_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        except OSError as error:
            raise unreadable(self.name, error) from error

    def _elements(self) -> Iterator[Any]:
        try:
            with open_regular(self._path) as file:
                stream = JsonStream(self.name, file.read)
                yield from (stream.value() for _ in stream.elements())
                stream.end()
        except OutcomesFileError as error:
            raise OutcomesFileError(self.name, None, f"is neither JSON nor CSV ({error})") from error

    def record(self, row: Any) -> Record | str:
        if not isinstance(row, Mapping):
            return row if isinstance(row, str) else "is not an object"
        began, ended = _moment(row.get("startTime")), _moment(row.get("endTime"))
        seconds = None if began is None or ended is None else max(0.0, (ended - began).total_seconds())
        request_id = row.get("request_id")
        model = row.get("model_group") or row.get("model")
        outcome_id = f"litellm:{request_id}" if request_id else None
        when = row.get("endTime") if ended is None else ended
        tokens, cost = row.get("total_tokens"), row.get("spend")
        return self._record(row, (model, None, tokens, cost, when, seconds, None, outcome_id))


class LlmLog(CallLog):
    """The file logs.db of the command llm, opened read-only."""

    kind = "llm"

    def __init__(self, path: Path, noted: VerdictFields) -> None:
        """Open the file at ``path``; raise OutcomesFileError if it cannot be read, or is not such a log."""
        self._sql = load_queries("sqlite", "histories.sql")
        self._path = path
        self._connection, relations = open_database(path)
        try:
            super().__init__(str(path), self._count(relations), noted)
        except BaseException:
            self.close()
            raise

    def rows(self) -> Iterator[Any]:
        return query(self._path, self._connection, self._sql["responses"], named=True)

    def record(self, row: Any) -> Record | str:
        numbers = [row.get(name) or 0 for name in ("input_tokens", "output_tokens", "duration_ms")]
        if not all(isinstance(number, (int, float)) for number in numbers):
            return "has tokens or a duration that is not a number"
        tokens = numbers[0] + numbers[1]
        seconds = None if row.get("duration_ms") is None else numbers[2] / 1000
        outcome_id = f"llm:{row['id']}" if row.get("id") else None
        model = row.get("model")
        return self._record(row, (model, None, tokens, None, row.get("datetime_utc"), seconds, None, outcome_id))

    def close(self) -> None:
        self._connection.close()

    def _count(self, relations: Container[str]) -> int:
        if "responses" not in relations:
            raise OutcomesFileError(str(self._path), None, "not a log of llm: it has no table responses")
        responses: int = next(query(self._path, self._connection, self._sql["count_responses"]))[0]
        return responses


def at_path(row: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path; strings are parsed as JSON, and a tag ``task:x`` has the key ``task``.

    >>> at_path({"metadata": '{"task": {"ok": true}}', "tags": ["task:plan"]}, "metadata.task.ok")
    True
    >>> at_path({"tags": ["team:a", "task:plan"]}, "tags.task")
    'plan'
    """
    value: Any = row
    for key in path.split("."):
        if isinstance(value, str):
            try:
                value = parse_json(value)
            except ValueError:
                return None
        if isinstance(value, list):
            tags = (tag.partition(":") for tag in value if isinstance(tag, str))
            value = {name: text for name, colon, text in tags if colon}
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _parse_line(line: str) -> Any:
    """Return the value in a line, or why it is not one."""
    try:
        return parse_json(line)
    except ValueError as error:
        return f"is not JSON ({error})"


def _moment(value: Any) -> datetime | None:
    try:
        return parse_moment("time", value)
    except InvalidValueError:
        return None
