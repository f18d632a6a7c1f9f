"""Moments as numbers since the Unix epoch, and as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Final

DAY_MS: Final = 86_400_000

EPOCH_UNITS: Final = "seconds, milliseconds, microseconds or nanoseconds since 1970"
_FIRST_SECOND: Final = 946_684_800
"""2000-01-01."""
_LAST_SECOND: Final = 4_102_444_800
"""2100-01-01. Numbers of seconds, milliseconds … of the years between do not overlap."""
_PER_SECOND: Final = (1, 10**3, 10**6, 10**9)
_BASIC_DATE_DIGITS: Final = 8
"""Of a date such as 20260131; as a number of seconds it would be in 1970."""
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(moment: datetime) -> int:
    """Return the milliseconds from the Unix epoch to ``moment``, which must be aware; exact, floored."""
    return (moment - _EPOCH) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the moment ``milliseconds`` after the Unix epoch, in UTC; exact."""
    return _EPOCH + milliseconds * _MILLISECOND


def from_epoch(number: float | Decimal) -> datetime:
    """Return the moment that is ``number`` seconds, milliseconds, microseconds or nanoseconds after the Unix epoch.

    The unit follows from the magnitude, because only times from 2000 to 2099 are accepted.

    Raises:
        ValueError: in no unit it is such a time.
    """
    for per_second in _PER_SECOND:
        if _FIRST_SECOND * per_second <= number < _LAST_SECOND * per_second:
            exact = Fraction(number) * 1_000_000 / per_second
            return _EPOCH + floor(exact) * _MICROSECOND
    raise ValueError(f"not a time from 2000 to 2099 in {EPOCH_UNITS}")


def parse_time(text: str) -> datetime:
    """Return the moment in ``text``: ISO 8601, naive without an offset, or as in :func:`from_epoch`.

    Raises:
        ValueError: it is neither.
    """
    if _is_number(text):  # `fromisoformat` takes some of them for basic ISO dates, such as 1795-12-29
        return from_epoch(float(text) if "." in text else int(text))
    return datetime.fromisoformat(text)


def _is_number(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    return (
        text.isascii() and whole.isdigit() and len(whole) != _BASIC_DATE_DIGITS and (not fraction or fraction.isdigit())
    )
