"""Shared by charts over time: frame, axes, and marks of changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from typing import NamedTuple

from modelperf_plugin.charts.scale import Scale, day_text
from modelperf_plugin.charts.svg import element, label, title

RATES = (0, 0.25, 0.5, 0.75, 1)
_DAY_STEPS = (1, 2, 3, 5, 7, 10, 14, 28, 56, 91, 182, 365, 730)
_LABEL_WIDTH = 84
"""Width of a day label with its margins, in pixels."""


class Mark(NamedTuple):
    """A marked moment in a chart over time."""

    day: float
    """Days since the first day of the chart."""
    text: str
    class_: str = "down"
    """``up``, ``down``, ``announced``, ``price``, ``policy``, or ``several``."""
    number: int | None = None
    """The number on its flag, by which a text refers to it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The coordinate system of a chart over time."""

    x: Scale
    """Days since the first day to pixels."""
    y: Scale
    """Rates to pixels."""

    def rates(self) -> list[str]:
        """Return grid lines and labels of rates."""
        parts = []
        for rate in RATES:
            at = self.y(rate)
            parts.append(element("line", x1=self.x.start, x2=self.x.end, y1=at, y2=at, class_="hair"))
            parts.append(label(f"{rate:.0%}", self.x.start - 8, at + 4, anchor="end"))
        return parts

    def days(self, first: date, length: int, y: float) -> list[str]:
        """Return labels of days, as many as fit, at regular distances back from the last."""
        max_labels = max(2, int((self.x.end - self.x.start) / _LABEL_WIDTH))
        every = next((days for days in _DAY_STEPS if length / days <= max_labels), length)
        parts = []
        for day in range(length - 1, -1, -every):
            at, text = self.x(day + 0.5), day_text(first + timedelta(days=day))
            anchor = "end" if at + _LABEL_WIDTH / 3 > self.x.end and length > 1 else "middle"
            parts.append(label(text, self.x.end if anchor == "end" else max(at, self.x.start), y, anchor=anchor))
        return parts

    def middles(self, steps: Sequence[int]) -> list[float]:
        """Return the middle of each step in pixels; ``steps`` are numbers of days."""
        starts = accumulate(steps, initial=0)
        return [self.x(start + days / 2) for start, days in zip(starts, steps, strict=False)]

    def empty(self) -> str:
        return label("no outcomes in this period", (self.x.start + self.x.end) / 2, self.y(0.5) - 6, "empty", "middle")

    def marks(self, marks: Sequence[Mark]) -> list[str]:
        """Return a vertical line with a title for each mark."""
        parts = []
        for mark in marks:
            at = self.x(mark.day)
            line = element("line", x1=at, x2=at, y1=self.y.start, y2=self.y.end - 4, class_=f"mark {mark.class_}")
            flag = element(
                "circle", cx=at, cy=self.y.end - 8, r=3.5 if mark.number is None else 7, class_=f"flag {mark.class_}"
            )
            number = "" if mark.number is None else label(str(mark.number), at, self.y.end - 4.5, "number", "middle")
            parts.append(element("g", title(mark.text), line, flag, number))
        return parts
