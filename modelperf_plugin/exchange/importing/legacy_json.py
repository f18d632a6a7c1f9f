"""The JSON file of the document's older tracker: what is in it, and what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError, brief
from modelperf_plugin.store import Sums
from modelperf_plugin.values import MAX_TOKENS, NANO_USD, check_amount, check_id, to_milliseconds

KNOWN_KEYS: Final = frozenset(
    {"successes", "failures", "timeouts", "totalTokens", "totalCost", "lastUsed", "successRate"}
)
MAX_TOTAL_USD: Final = 1e9
RATE_TOLERANCE: Final = 0.0051
"""The document writes rates with two digits: 42 of 45 as 0.93."""


class LegacyFile(NamedTuple):
    """What an old JSON file says."""

    sums: tuple[Sums, ...]
    """The counts of each (task type, model) that can be used, as they stand in the file."""
    notes: tuple[str, ...]
    """What is wrong with single entries, each in one sentence."""
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""
    size: int
    """Bytes of the file."""


def read_legacy_json(path: Path) -> LegacyFile:
    """Read the file at ``path``, in the document's short or long form.

    A contradiction is named in the notes. An entry with unusable counts is left out; one with a wrong rate or with
    unknown keys counts by its counts.

    Raises:
        OutcomesFileError: the file as a whole cannot be read; the message names line and column.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutcomesFileError(str(path), None, f"cannot be read ({error.strerror or error})") from error
    reader = _Reader()
    for task_type, models in _parse(str(path), content).items():
        reader.task_type(task_type, models)
    return LegacyFile(tuple(reader.sums), tuple(reader.notes), sha256(content).hexdigest(), len(content))


class _Reader:
    """Collects what can be used, and what is wrong with the rest."""

    def __init__(self) -> None:
        self.sums: list[Sums] = []
        self.notes: list[str] = []

    def task_type(self, task_type: str, models: Any) -> None:
        """Read the models of one task type."""
        try:
            check_id("task type", task_type)
        except InvalidValueError as error:
            self.notes.append(f"{error}; left out")
            return
        if not isinstance(models, dict):
            self.notes.append(f"{task_type} must hold an object of models, but holds {brief(models)}; left out")
            return
        for model_id, stats in models.items():
            self.pair(task_type, model_id, stats)

    def pair(self, task_type: str, model_id: str, stats: Any) -> None:
        """Read the counts of one model on one task type."""
        where = f"{task_type}, {model_id}"
        if not isinstance(stats, dict):
            self.notes.append(f"{where}: must be an object of counts, but is {brief(stats)}; left out")
            return
        try:
            check_id("model", model_id)
            sums = _sums(task_type, model_id, stats)
        except InvalidValueError as error:
            self.notes.append(f"{where}: {error}; left out")
            return
        self.notes += [f"{where}: {note}" for note in _contradictions(sums, stats)]
        if sums.successes + sums.failures:
            self.sums.append(sums)
        else:
            self.notes.append(f"{where}: has no outcomes; left out")


def _sums(task_type: str, model_id: str, stats: Mapping[str, Any]) -> Sums:
    """Return the counts of one entry; raise InvalidValueError for one that cannot be used."""
    for key in ("successes", "failures"):
        if key not in stats:
            raise InvalidValueError(key, "given", None)
    return Sums(
        task_type,
        model_id,
        successes=_count("successes", stats["successes"]),
        failures=_count("failures", stats["failures"]),
        timeouts=_count("timeouts", stats.get("timeouts") or 0),
        tokens=_count("totalTokens", stats.get("totalTokens") or 0),
        cost_nano_usd=round(check_amount("totalCost", stats.get("totalCost") or 0, MAX_TOTAL_USD) * NANO_USD),
        last_used_ms=_moment(stats.get("lastUsed")),
    )


def _count(key: str, value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 <= value <= MAX_TOKENS:
        raise InvalidValueError(key, "a whole number of 0 or more", value)
    return int(value)


def _moment(value: Any) -> int | None:
    """Return the moment that a text (ISO 8601) or a number (milliseconds since the Unix epoch) stands for."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return to_milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            datetime.fromtimestamp(value / 1000, UTC)  # within the years 1 to 9999
            return int(value)
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidValueError("lastUsed", "an ISO 8601 time, or milliseconds since 1970", value)


def _contradictions(sums: Sums, stats: Mapping[str, Any]) -> list[str]:
    notes = []
    samples = sums.successes + sums.failures
    rate = stats.get("successRate")
    if rate is not None and samples:
        right = sums.successes / samples
        if not isinstance(rate, (int, float)) or not math.isclose(rate, right, abs_tol=RATE_TOLERANCE):
            notes.append(f"successRate is {brief(rate)}, but {sums.successes} of {samples} is {right:.2f}; counts used")
    if sums.timeouts > samples:
        notes.append(f"timeouts is {sums.timeouts}, but there are {samples} outcomes; taken as it is")
    unknown = sorted(stats.keys() - KNOWN_KEYS)
    if unknown:
        notes.append(f"unknown keys {', '.join(map(brief, unknown))}; ignored")
    return notes


def _parse(name: str, content: bytes) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise OutcomesFileError(name, line, f"is not UTF-8 text at column {column}; left alone") from error
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        message = f"is not JSON at column {error.colno} ({error.msg}); a half-written file? left alone"
        raise OutcomesFileError(name, error.lineno, message) from error
    except (ValueError, RecursionError) as error:
        raise OutcomesFileError(name, None, f"is not usable JSON ({error}); left alone") from error
    if not isinstance(data, dict):
        raise OutcomesFileError(name, 1, f"must be an object of task types, but is {brief(data)}; left alone")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for position, (key, _) in enumerate(pairs) if key in dict(pairs[:position]))
        raise ValueError(f"the key {brief(twice)} is given twice in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
