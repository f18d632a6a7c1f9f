"""Reading the JSON file of the migration guide's older tracker."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError, brief
from modelperf_plugin.exchange.parsing import parse_count, parse_moment, read_bytes
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
    content = read_bytes(path)
    listed: list[Sums] = []
    notes: list[str] = []
    for task_type, models in _parse(str(path), content).items():
        try:
            check_id("task type", task_type)
        except InvalidValueError as error:
            notes.append(f"{error}; skipped")
            continue
        if not isinstance(models, dict):
            notes.append(f"{task_type} must hold an object of models, but holds {brief(models)}; skipped")
            continue
        for model_id, stats in models.items():
            sums, problems = _read_pair(task_type, model_id, stats)
            listed += sums
            notes += [f"{task_type}, {model_id}: {problem}" for problem in problems]
    return LegacyFile(tuple(listed), tuple(notes), sha256(content).hexdigest(), len(content))


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
    last_used = parse_moment("lastUsed", stats.get("lastUsed"))
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


def _parse(name: str, content: bytes) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise OutcomesFileError(name, line, f"is not UTF-8 text at column {column}") from error
    try:
        data = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        message = f"is not JSON at column {error.colno} ({error.msg}); was the file written completely?"
        raise OutcomesFileError(name, error.lineno, message) from error
    except (ValueError, RecursionError) as error:
        raise OutcomesFileError(name, None, f"is not usable JSON ({error})") from error
    if not isinstance(data, dict):
        raise OutcomesFileError(name, 1, f"must be an object of task types, but is {brief(data)}")
    return data


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        twice = next(key for position, (key, _) in enumerate(pairs) if key in dict(pairs[:position]))
        raise ValueError(f"the key {brief(twice)} occurs twice in one object")
    return unique


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")
