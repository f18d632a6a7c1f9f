"""Values as files of outcomes write them: typed, or as text; empty text and None mean unknown."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError
from modelperf_plugin.files import read_regular
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.values import EPOCH_UNITS, MAX_TOKENS, Tried, check_tried, from_epoch, parse_time

MAX_FILE_BYTES: Final = 1 << 27
"""Of a file that is read as a whole."""
_FLAGS: Final = {"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False}


def parse_flag(name: str, value: Any) -> bool | None:
    """Return a truth value, or None if it is unknown; raise InvalidValueError for anything else."""
    word = "" if value is None else str(value).strip().lower()
    if word and word not in _FLAGS:
        raise InvalidValueError(name, "0, 1, true, false or empty", value, typed=True)
    return _FLAGS.get(word)


def parse_number(name: str, value: Any) -> float | None:
    """Return a number, an int if it is written as one, or None if it is unknown; raise InvalidValueError if not one."""
    text: Any = value.strip() if isinstance(value, str) else value
    if text is None or text == "":
        return None
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return text
    if isinstance(text, Decimal):
        return int(text) if text == text.to_integral_value() else float(text)
    try:
        return int(text) if text.isdigit() else float(text)
    except (ValueError, AttributeError):
        raise InvalidValueError(name, "a number or empty", value, typed=True) from None


def parse_count(name: str, value: Any) -> int:
    """Return a count, 0 if it is unknown; raise InvalidValueError unless it is a whole number from 0 to 2^53."""
    number = -1 if isinstance(value, bool) else parse_number(name, value) or 0
    if not 0 <= number <= MAX_TOKENS or number != int(number):
        raise InvalidValueError(name, "a whole number of 0 or more", value, typed=True)
    return int(number)


def parse_shift(name: str, value: Any) -> int:
    """Return a sum of differences, 0 if it is unknown; raise InvalidValueError unless it is a whole number."""
    number = None if isinstance(value, bool) else parse_number(name, value if value not in {None, ""} else 0)
    if number is None or not -MAX_TOKENS <= number <= MAX_TOKENS or number != int(number):
        raise InvalidValueError(name, "a whole number", value, typed=True)
    return int(number)


def parse_moment(name: str, value: Any) -> datetime | None:
    """Return a moment: ISO 8601, in UTC without an offset; or a number since the Unix epoch; None if unknown.

    The unit of a number, from seconds to nanoseconds, follows from its magnitude. Raises InvalidValueError for anything
    else.
    """
    moment = value.strip() if isinstance(value, str) else value
    if moment is None or moment == "":
        return None
    try:
        if isinstance(moment, str):
            moment = parse_time(moment)
        if isinstance(moment, datetime):
            return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)
        if isinstance(moment, date):
            return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        if isinstance(moment, (int, float, Decimal)) and not isinstance(moment, bool):
            return from_epoch(moment)
    except (ValueError, ArithmeticError):
        pass
    requirement = f"an ISO 8601 time such as 2026-01-31T12:00:00+00:00, {EPOCH_UNITS}, or empty"
    raise InvalidValueError(name, requirement, value)


def parse_tried(name: str, value: Any) -> Tried:
    """Return the models that had failed before, given as a list or as JSON text; none if empty.

    Raises:
        InvalidValueError: it is not a list of model ids.
    """
    models = value.strip() if isinstance(value, str) else value
    if models is None or models == "":
        return ()
    if isinstance(models, str):
        try:
            models = parse_json(models)
        except ValueError:
            raise InvalidValueError(name, "a JSON array of model ids, or empty", value, typed=True) from None
    return check_tried(name, models)


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a regular file; raise OutcomesFileError if it cannot be read or is larger."""
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: OSError) -> OutcomesFileError:
    """Return the error for a file that cannot be read."""
    return OutcomesFileError(str(path), None, f"cannot be read ({error.strerror or error})")
