"""Call logs of LiteLLM and llm: models, tokens, costs and times, but no verdict on the task.

A call may have returned a bad answer, and the log does not tell. So a row counts only if the host wrote its verdict
into the log, as a tag or metadata.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError, brief
from modelperf_plugin.exchange.importing.rows import Record
from modelperf_plugin.exchange.importing.tables import RowSource, open_database
from modelperf_plugin.exchange.parsing import parse_moment, unreadable
from modelperf_plugin.store.queries import load_queries


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
        """Return the record of a row; ``values`` are the model id, and all values after ``success``."""
        task_type = self._noted.task_type
        if task_type is None and self._noted.task_field is not None:
            task_type = at_path(row, self._noted.task_field)
        success = None if self._noted.success_field is None else at_path(row, self._noted.success_field)
        if success is None or success == "":
            return ("unknown", "unknown", None, *values[1:])  # not counted, whatever the other values are
        return (task_type, values[0], success, *values[1:])


class LiteLLMLog(CallLog):
    """An export of LiteLLM's table LiteLLM_SpendLogs: CSV, JSON, or JSON Lines."""

    kind = "litellm"

    def __init__(self, path: Path, noted: VerdictFields) -> None:
        """Open the file at ``path``; raise OutcomesFileError if it cannot be read, or is not such a log."""
        self._path = path
        super().__init__(str(path), 0, noted)
        first = next(self.rows(), None)
        names = list(first) if isinstance(first, Mapping) else [first]
        if first is not None and not {"request_id", "model"} <= set(names):
            message = f"not a LiteLLM spend log: expected columns request_id and model, found {brief(names)}"
            raise OutcomesFileError(str(path), None, message)

    def rows(self) -> Iterator[Any]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                start = file.read(1)
                file.seek(0)
                if start == "[":
                    yield from json.load(file)
                elif start == "{":
                    yield from (json.loads(line) for line in file if line.strip())
                else:
                    yield from csv.DictReader(file)
        except OSError as error:
            raise unreadable(self.name, error) from error
        except (ValueError, csv.Error, RecursionError) as error:
            raise OutcomesFileError(self.name, None, f"is neither JSON nor CSV ({error})") from error

    def record(self, row: Any) -> Record | str:
        if not isinstance(row, Mapping):
            return "is not an object"
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
        self._connection, relations = open_database(path)
        if "responses" not in relations:
            self._connection.close()
            raise OutcomesFileError(str(path), None, "not a log of llm: it has no table responses")
        super().__init__(str(path), self._connection.execute(self._sql["count_responses"]).fetchone()[0], noted)

    def rows(self) -> Iterator[Any]:
        cursor = self._connection.execute(self._sql["responses"])
        names = [column[0] for column in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)

    def record(self, row: Any) -> Record | str:
        tokens = (row.get("input_tokens") or 0) + (row.get("output_tokens") or 0)
        duration = row.get("duration_ms")
        seconds = None if duration is None else duration / 1000
        outcome_id = f"llm:{row['id']}" if row.get("id") else None
        model = row.get("model")
        return self._record(row, (model, None, tokens, None, row.get("datetime_utc"), seconds, None, outcome_id))

    def close(self) -> None:
        self._connection.close()


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
                value = json.loads(value)
            except ValueError:
                return None
        if isinstance(value, list):
            tags = (tag.partition(":") for tag in value if isinstance(tag, str))
            value = {name: text for name, colon, text in tags if colon}
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _moment(value: Any) -> datetime | None:
    try:
        return parse_moment("time", value)
    except InvalidValueError:
        return None
