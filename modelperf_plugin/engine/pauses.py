"""For how long a model is out after the outages of its provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from modelperf_plugin.config.sections import AvailabilityConfig
from modelperf_plugin.store import Event
from modelperf_plugin.values import from_milliseconds

GONE: Final = "unavailable"
"""The error kind of a model that is gone, or not allowed."""
TRIALS: Final = 3
"""How many tries a model gets after a back-off before one of them is answered; one that is gone gets one."""
_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_MOST_DOUBLINGS: Final = 60

Cause = Literal["outage", "gone", "asked"]
"""What the length of a back-off follows from: the outages in a row, a model that is gone, or the provider's word."""


class Streak(NamedTuple):
    """The outages of one model in a row, and until when it is unavailable."""

    outages: int
    """How many; those while the model was unavailable are not counted."""
    last_ms: int
    """When the last one was."""
    since_ms: int
    """When the back-off began: then, or when the model had used up its tries after an earlier one."""
    base_ms: int
    """How long the back-off is at least, before jitter."""
    pause_ms: int
    event_id: int
    """The last outage."""
    cause: Cause = "outage"
    gone: int = 0
    """How many of the outages found the model gone."""
    gone_since_ms: int = 0
    trials: int = 0
    """Number of tries since the back-off ended, none of them answered yet."""

    @property
    def until_ms(self) -> int:
        return self.since_ms + self.pause_ms

    @property
    def is_announced(self) -> bool:
        """Whether the provider has said that calls before the end are in vain; otherwise we only expect it."""
        return self.cause != "outage"

    def ignores(self, outage_ms: int) -> bool:
        """Return whether an outage is one of a call that was running when the last one came.

        After the shortest possible end of the back-off it may be another process's try.
        """
        return self.since_ms <= self.last_ms and outage_ms < self.since_ms + self.base_ms

    def tried(self, now_ms: int) -> Streak:
        """Return the streak after a try; the last one that it gets begins the same back-off again."""
        if self.trials + 1 < (1 if self.cause == "gone" else TRIALS):
            return self._replace(trials=self.trials + 1)
        return self._replace(trials=0, since_ms=now_ms)

    def set_back(self, now_ms: int) -> Streak:
        """Return the streak as of a clock that has been set back."""
        return self._replace(
            last_ms=min(self.last_ms, now_ms),
            since_ms=min(self.since_ms, now_ms),
            gone_since_ms=min(self.gone_since_ms, now_ms),
        )

    @property
    def reason(self) -> str:
        """Why the model is unavailable."""
        if self.cause == "gone":
            since, until = _minute(self.gone_since_ms), _minute(self.until_ms)
            return f"unavailable since {since} UTC: gone; next try from {until} UTC"
        until = _minute(self.until_ms) if self.pause_ms >= _HOUR_MS else _second(self.until_ms)
        if self.cause == "asked":
            return f"unavailable until {until} UTC, as its provider said"
        times = "an outage" if self.outages == 1 else f"{self.outages} outages in a row"
        return f"unavailable until {until} UTC after {times}"


def extended(
    streak: Streak | None, event: Event, ended_ms: int, settings: AvailabilityConfig, number: Callable[[], float]
) -> Streak | None:
    """Return the streak after one more outage; None if there is no back-off. ``number`` draws the jitter, in [0, 1)."""
    running = streak is not None and streak.ignores(ended_ms)
    is_gone = event.error_kind == GONE and settings.gone_pause_minutes > 0.0
    asked_ms = min(event.retry_after_ms or 0, round(settings.longest_retry_after_hours * _HOUR_MS))
    if streak is not None and running and not asked_ms and (not is_gone or streak.cause == "gone"):
        return streak
    outages, gone, gone_since_ms = (0, 0, 0) if streak is None else (streak.outages, streak.gone, streak.gone_since_ms)
    outages += not running
    if is_gone and not (streak is not None and running and streak.cause == "gone"):
        gone_since_ms = gone_since_ms if gone else ended_ms
        gone += 1
    cause, base_ms, jitter_ms = _length(outages, gone if is_gone else 0, asked_ms, settings)
    if not base_ms:
        return streak
    pause_ms = base_ms + round(jitter_ms * settings.jitter * number())
    if streak is not None and running and ended_ms + pause_ms <= streak.until_ms:
        return streak
    return Streak(outages, ended_ms, ended_ms, base_ms, pause_ms, event.event_id, cause, gone, gone_since_ms)


def _length(outages: int, gone: int, asked_ms: int, settings: AvailabilityConfig) -> tuple[Cause, int, float]:
    """Return the cause and the length of a back-off, and how much longer the jitter makes it at most."""
    shortest_ms = settings.pause_seconds * _SECOND_MS
    longest_ms = max(shortest_ms, settings.longest_pause_seconds * _SECOND_MS)
    ordinary_ms = min(shortest_ms * 2.0 ** min(outages - 1, _MOST_DOUBLINGS), longest_ms)
    if gone:
        first_ms = asked_ms or settings.gone_pause_minutes * _MINUTE_MS
        longest = settings.longest_retry_after_hours if asked_ms else settings.longest_gone_pause_hours
        longest_ms = max(first_ms, longest * _HOUR_MS)
        gone_ms = max(ordinary_ms, min(first_ms * 2.0 ** min(gone - 1, _MOST_DOUBLINGS), longest_ms))
        return "gone", round(gone_ms), shortest_ms if asked_ms else gone_ms
    if asked_ms > ordinary_ms:
        return "asked", asked_ms, shortest_ms  # as long as the provider said, in all processes
    return "outage", round(ordinary_ms), ordinary_ms


def _second(moment_ms: int) -> str:
    return f"{from_milliseconds(moment_ms):%H:%M:%S}"


def _minute(moment_ms: int) -> str:
    return f"{from_milliseconds(moment_ms):%Y-%m-%d %H:%M}"
