"""A host's own clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from modelperf_plugin.errors import HostCodeError, InvalidValueError, ModelPerfError

Clock = Callable[[], datetime]
"""Returns an aware datetime."""

_YEARS: Final = range(1970, 9999)
"""A clock outside of these years has never been set, or counts in another unit."""


def read_clock(clock: Clock) -> datetime:
    """Return the time of a host's clock; raise InvalidValueError if it returned anything but an aware datetime."""
    moment = clock()
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise InvalidValueError("clock", "a function that returns an aware datetime", moment)
    if moment.year not in _YEARS:
        raise InvalidValueError("clock", "a function that returns the time, from 1970 on", moment)
    return moment


class HostClock:
    """A host's clock that cannot fail: the machine's time takes its place, and the first failure is reported."""

    def __init__(self, clock: Clock, on_error: Callable[[ModelPerfError], None]) -> None:
        """Read ``clock``; ``on_error`` is called once."""
        self._clock = clock
        self._on_error = on_error
        self._has_failed = False

    def __call__(self) -> datetime:
        """Return the time."""
        try:
            return read_clock(self._clock)
        except InvalidValueError as error:
            self._report(error)
        except Exception as error:  # noqa: BLE001 - it is the host's code
            self._report(HostCodeError("the host's clock", error, "the machine's time is used"))
        return datetime.now(UTC)

    def _report(self, error: ModelPerfError) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._on_error(error)
