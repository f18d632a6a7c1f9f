"""Values as files of outcomes write them: typed, or as text; empty text and None mean unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError
from modelperf_plugin.values import MAX_TOKENS, from_milliseconds

_FLAGS: Final = {"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False}


def parse_flag(name: str, value: Any) -> bool | None:
    """Return a truth value, or None if it is unknown; raise InvalidValueError for anything else."""
    word = "" if value is None else str(value).strip().lower()
    if word and word not in _FLAGS:
        raise InvalidValueError(name, "0, 1, true, false or empty", value)
    return _FLAGS.get(word)


def parse_number(name: str, value: Any) -> float | None:
    """Return a number, an int if it is written as one, or None if it is unknown; raise InvalidValueError if not one."""
    text: Any = value.strip() if isinstance(value, str) else value
    if text is None or text == "":
        return None
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return text
    try:
        return int(text) if text.isdigit() else float(text)
    except (ValueError, AttributeError):
        raise InvalidValueError(name, "a number or empty", value) from None


def parse_count(name: str, value: Any) -> int:
    """Return a count, 0 if it is unknown; raise InvalidValueError unless it is a whole number from 0 to 2^53."""
    number = -1 if isinstance(value, bool) else parse_number(name, value) or 0
    if not 0 <= number <= MAX_TOKENS or number != int(number):
        raise InvalidValueError(name, "a whole number of 0 or more", value)
    return int(number)


def parse_moment(name: str, value: Any) -> datetime | None:
    """Return a moment: ISO 8601, in UTC without an offset, or milliseconds since the Unix epoch; None if unknown.

    Raises InvalidValueError for anything else.
    """
    moment = value.strip() if isinstance(value, str) else value
    if moment is None or moment == "":
        return None
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        if isinstance(moment, datetime):
            return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)
        if isinstance(moment, (int, float)) and not isinstance(moment, bool):
            return from_milliseconds(int(moment))
    except (ValueError, OverflowError):
        pass
    requirement = "an ISO 8601 time such as 2026-01-31T12:00:00+00:00, milliseconds since 1970, or empty"
    raise InvalidValueError(name, requirement, value)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; raise OutcomesFileError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: OSError) -> OutcomesFileError:
    """Return the error for a file that cannot be read."""
    return OutcomesFileError(str(path), None, f"cannot be read ({error.strerror or error})")
