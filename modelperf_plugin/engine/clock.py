"""A host's own clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from modelperf_plugin.errors import InvalidValueError

Clock = Callable[[], datetime]
"""Returns an aware datetime."""


def read_clock(clock: Clock) -> datetime:
    """Return the time of a host's clock; raise InvalidValueError if it returned anything but an aware datetime."""
    moment = clock()
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise InvalidValueError("clock", "a function that returns an aware datetime", moment)
    return moment
