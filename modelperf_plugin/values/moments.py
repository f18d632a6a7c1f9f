"""Conversion between moments and milliseconds since the Unix epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

DAY_MS: Final = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(moment: datetime) -> int:
    """Return the milliseconds from the Unix epoch to ``moment``, which must be aware; exact, floored."""
    return (moment - _EPOCH) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the moment ``milliseconds`` after the Unix epoch, in UTC; exact."""
    return _EPOCH + milliseconds * _MILLISECOND
