"""Reading the JSON file of the migration guide's older tracker."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError, brief
from modelperf_plugin.exchange.json_stream import JsonStream
from modelperf_plugin.exchange.parsing import parse_count, parse_moment, unreadable
from modelperf_plugin.files import open_regular
from modelperf_plugin.store import Sums
from modelperf_plugin.values import NANO_USD, check_amount, check_id, to_milliseconds

KNOWN_KEYS: Final = frozenset(
    {"successes", "failures", "timeouts", "totalTokens", "totalCost", "lastUsed", "successRate"}
)
MAX_TOTAL_USD: Final = 1e9
RATE_TOLERANCE: Final = 0.0051
"""The older tracker rounds rates to two digits: 42 of 45 to 0.93."""


class LegacyFile(NamedTuple):
    """The content of a legacy file."""

    sums: tuple[Sums, ...]
    notes: tuple[str, ...]
    """Problems with single entries, one sentence each."""
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""
    size: int
    """In bytes."""


def read_legacy_json(path: Path) -> LegacyFile:
    """Read the file at ``path``, in its short or long form.

    Contradictions are listed in the notes. An entry with unusable counts is skipped; a wrong rate or an unknown key is
    ignored.

    Raises:
        OutcomesFileError: the file as a whole is not usable; the message names line and column.
    """
    listed: list[Sums] = []
    notes: list[str] = []
    with LegacyReader(path) as reader:
        for sums, problems in reader.entries():
            listed += sums
            notes += problems
        return LegacyFile(tuple(listed), tuple(notes), reader.digest, reader.size)


class LegacyReader:
    """Reads a legacy file entry by entry, in memory that does not depend on its size."""

    def __init__(self, path: Path) -> None:
        """Open the file at ``path``; raise OutcomesFileError if it cannot be read."""
        self._name = str(path)
        try:
            self._file = open_regular(path)
        except OSError as error:
            raise unreadable(path, error) from error
        self._sha256 = sha256()
        self.size = 0
        """Number of bytes read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes read, in hexadecimal digits."""
        return self._sha256.hexdigest()

    def entries(self) -> Iterator[tuple[list[Sums], list[str]]]:
        """Yield the counts of each entry, none if they are not usable, and its problems.

        Raises:
            OutcomesFileError: the rest of the file is not usable; the message names line and column.
        """
        stream = JsonStream(self._name, self._read)
        if stream.next_character() != "{":
            data = stream.value()
            stream.end()
            raise OutcomesFileError(self._name, 1, f"must be an object of task types, but is {brief(data)}")
        for task_type in stream.members():
            yield from _read_task_type(task_type, stream)
        stream.end()

    def _read(self, size: int) -> bytes:
        try:
            part = self._file.read(size)
        except OSError as error:
            raise unreadable(self._name, error) from error
        self._sha256.update(part)
        self.size += len(part)
        return part


def _read_task_type(task_type: str, stream: JsonStream) -> Iterator[tuple[list[Sums], list[str]]]:
    try:
        check_id("task type", task_type)
    except InvalidValueError as error:
        yield [], [f"{error}; skipped"]
        for _ in stream.members() if stream.next_character() == "{" else ("",):
            stream.value()
        return
    if stream.next_character() != "{":
        yield [], [f"{task_type} must hold an object of models, but holds {brief(stream.value())}; skipped"]
        return
    for model_id in stream.members():
        sums, problems = _read_pair(task_type, model_id, stream.value())
        yield sums, [f"{task_type}, {model_id}: {problem}" for problem in problems]


def _read_pair(task_type: str, model_id: str, stats: Any) -> tuple[list[Sums], list[str]]:
    """Return the counts of one entry, or none if they are not usable, and its problems."""
    if not isinstance(stats, dict):
        return [], [f"must be an object of counts, but is {brief(stats)}; skipped"]
    try:
        check_id("model", model_id)
        sums = _sums(task_type, model_id, stats)
    except InvalidValueError as error:
        return [], [f"{error}; skipped"]
    notes = _contradictions(sums, stats)
    return ([sums], notes) if sums.successes + sums.failures else ([], [*notes, "has no outcomes; skipped"])


def _sums(task_type: str, model_id: str, stats: Mapping[str, Any]) -> Sums:
    """Return the counts of one entry; raise InvalidValueError if they are not usable."""
    for key in ("successes", "failures"):
        if stats.get(key) in (None, ""):
            raise InvalidValueError(key, "given", None)
    last_used = parse_moment("lastUsed", stats.get("lastUsed") or None)
    return Sums(
        task_type,
        model_id,
        successes=parse_count("successes", stats["successes"]),
        failures=parse_count("failures", stats["failures"]),
        timeouts=parse_count("timeouts", stats.get("timeouts")),
        tokens=parse_count("totalTokens", stats.get("totalTokens")),
        cost_nano_usd=round(check_amount("totalCost", stats.get("totalCost") or 0, MAX_TOTAL_USD) * NANO_USD),
        last_used_ms=None if last_used is None else to_milliseconds(last_used),
    )


def _contradictions(sums: Sums, stats: Mapping[str, Any]) -> list[str]:
    notes = []
    samples = sums.successes + sums.failures
    rate = stats.get("successRate")
    if rate is not None and samples:
        right = sums.successes / samples
        if not isinstance(rate, (int, float)) or not math.isclose(rate, right, abs_tol=RATE_TOLERANCE):
            notes.append(f"successRate is {brief(rate)}, but {sums.successes} of {samples} is {right:.2f}; counts used")
    if sums.timeouts > samples:
        notes.append(f"timeouts is {sums.timeouts}, but there are {samples} outcomes; used as it is")
    unknown = sorted(stats.keys() - KNOWN_KEYS)
    if unknown:
        notes.append(f"unknown keys {', '.join(map(brief, unknown))}; ignored")
    return notes
