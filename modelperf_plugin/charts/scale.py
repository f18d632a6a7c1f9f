"""Scales from values to pixels."""

from __future__ import annotations

from datetime import date, datetime
from math import ceil, floor, log10
from typing import NamedTuple


class Scale(NamedTuple):
    """A straight line from the values ``low`` to ``high`` to the pixels ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def decades(values: list[float]) -> tuple[float, float]:
    """Return a range of decimal logarithms that holds all ``values`` with a margin."""
    low, high = log10(min(values)), log10(max(values))
    room = max(0.35, (high - low) * 0.08)
    return low - room, high + room


def dollar_ticks(low: float, high: float, maximum: int = 5) -> list[float]:
    """Return at most ``maximum`` round amounts between the logarithms ``low`` and ``high``."""
    amounts = [step * 10.0**power for power in range(floor(low), ceil(high) + 1) for step in (1, 2, 5)]
    amounts = [amount for amount in amounts if low <= log10(amount) <= high]
    if len(amounts) > maximum:
        amounts = [amount for amount in amounts if round(log10(amount), 6).is_integer()] or amounts
    every = ceil(len(amounts) / maximum) or 1
    return amounts[::every]


def day_text(day: date, *, year: bool = False) -> str:
    """Return a day as ``7 Nov``."""
    return f"{day.day} {day:%b %Y}" if year else f"{day.day} {day:%b}"


def spread(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """Return ``places`` moved at least ``gap`` apart, as far as there is room."""
    order = sorted(range(len(places)), key=lambda each: places[each])
    moved = list(places)
    floor_ = low
    for each in order:
        moved[each] = max(moved[each], floor_)
        floor_ = moved[each] + gap
    ceiling = high
    for each in reversed(order):
        moved[each] = min(moved[each], ceiling)
        ceiling = moved[each] - gap
    return moved


def day_and_minute(moment: datetime) -> str:
    """Return a moment in UTC to the minute, as charts and pages show it.

    >>> day_and_minute(datetime(2026, 1, 5, 9, 30))
    '5 Jan 2026, 09:30 UTC'
    """
    return f"{day_text(moment.date(), year=True)}, {moment:%H:%M} UTC"
