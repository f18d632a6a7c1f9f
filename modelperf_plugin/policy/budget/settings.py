"""A budget as configured, and its periods."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

from pydantic import Field

from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.values import DAY_MS, from_milliseconds, to_milliseconds

Period = Literal["hour", "day", "week", "month"]
Then = Literal["cheapest", "none", "overdraw"]

_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_LENGTHS: Final[dict[Period, int]] = {"hour": _HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS, "month": 30 * DAY_MS}
_STEPS: Final[dict[Period, int]] = {"hour": _MINUTE_MS, "day": 15 * _MINUTE_MS, "week": DAY_MS, "month": DAY_MS}
_SHIFTS: Final[dict[Period, int]] = {**_LENGTHS, "month": 28 * DAY_MS}
_MONDAY: Final = 3
"""The Unix epoch was a Thursday."""


class Budget(Strategy):
    """How much may be spent in a period, and what happens when it is used up."""

    usd: float | None = Field(
        default=None, gt=0, le=1e9,
        description="US dollars that may be spent in a period; a rising price of money makes them last. Unset: no "
        "limit.",
    )  # fmt: skip
    per: Period = Field(default="day", description="The period, in UTC; a week begins on Monday.")
    rolling: bool = Field(
        default=False,
        description="Whether the limit holds for the last hour, 24 hours, 7 or 30 days at any time, rather than for "
        "periods of the calendar. Weeks and months roll in whole days.",
    )
    then: Then = Field(
        default="cheapest",
        description="What to do when the money runs low. cheapest: enough is held back for the cheapest candidate, and "
        "once there is no money even for that, there is no decision; none: nothing is held back; overdraw: the "
        "cheapest candidate is permitted even when the money is used up.",
    )

    @property
    def length_ms(self) -> int:
        """The length of a rolling period, and about that of others."""
        return _LENGTHS[self.per]

    @property
    def step_ms(self) -> int:
        """How finely spending is counted over time."""
        return _STEPS[self.per]

    @property
    def shift_ms(self) -> int:
        """After what time the number of tasks is expected to repeat itself: for a month, four weeks."""
        return _SHIFTS[self.per]

    @property
    def in_words(self) -> str:
        """The limit for people."""
        limit = f"${self.usd or 0.0:g}"
        if self.rolling:
            return f"{limit} in the last {self.per}"
        return f"{limit} {'an' if self.per == 'hour' else 'a'} {self.per}"

    def window(self, now_ms: int) -> tuple[int, int]:
        """Return beginning and end of the period in milliseconds since the Unix epoch; a rolling one ends now."""
        if self.rolling:
            begin = (now_ms - self.length_ms) // self.step_ms * self.step_ms
            return begin + (self.step_ms if self.step_ms == DAY_MS else 0), now_ms
        begin = window_start_ms(self.per, now_ms)
        if self.per == "month":
            return begin, window_start_ms("month", begin + 32 * DAY_MS)
        return begin, begin + self.length_ms

    def steps(self, now_ms: int) -> range:
        """Return the numbers of the steps whose spending counts.

        A rolling period includes as many to come, for clocks that are ahead. What is stamped later does not count yet,
        or a wrong clock would use up all budgets until then.
        """
        begin, end = self.window(now_ms)
        if self.rolling:
            end += self.length_ms
        return range(begin // self.step_ms, -(-end // self.step_ms))


def window_start_ms(period: Period, now_ms: int) -> int:
    """Return when the current period of the calendar has begun, in UTC.

    >>> window_start_ms("week", 4 * 86_400_000) // 86_400_000
    4
    """
    if period == "month":
        today = from_milliseconds(now_ms).replace(hour=0, minute=0, second=0, microsecond=0)
        return to_milliseconds(today - timedelta(days=today.day - 1))
    if period == "week":
        day = now_ms // DAY_MS
        return (day - (day + _MONDAY) % 7) * DAY_MS
    length = _LENGTHS[period]
    return now_ms // length * length
