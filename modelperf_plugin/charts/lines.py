"""Several rates over time, each line labelled at its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from modelperf_plugin.charts.frame import Frame, Mark
from modelperf_plugin.charts.glyphs import line_or_dot, runs
from modelperf_plugin.charts.scale import Scale, spread
from modelperf_plugin.charts.svg import drawing, element, label, shortened, title

MAX_LINES: Final = 5
"""Maximum number of distinguishable lines."""
_LEFT, _TOP, _BOTTOM = 44, 16, 28
_LETTER_WIDTH: Final = 6.6
"""Approximate width of a letter in pixels."""


class Line(NamedTuple):
    name: str
    rates: Sequence[float | None]
    """A rate for each step; None is a gap."""


def lines_chart(
    lines: Sequence[Line],
    first: date,
    steps: Sequence[int],
    alternative: str,
    *,
    width: int = 760,
    height: int = 260,
    marks: Sequence[Mark] = (),
) -> str:
    """Return ``lines`` over ``steps``, each a number of days, from the day ``first`` on."""
    shown = [line for line in lines if any(rate is not None for rate in line.rates)][:MAX_LINES]
    letters = min(24, int((width * 0.3 - 16) / _LETTER_WIDTH))
    room = max((len(shortened(line.name, letters)) for line in shown), default=0) * _LETTER_WIDTH + 16
    length = sum(steps)
    frame = Frame(Scale(0, length, _LEFT, width - room - 6), Scale(0, 1, height - _BOTTOM, _TOP))
    middles = frame.middles(steps)
    parts = [*frame.rates(), *frame.marks(marks)]
    ends = []
    for order, line in enumerate(shown):
        stretches = runs(line.rates)
        drawn = [title(line.name)]
        for run in stretches:
            points = [(middles[position], frame.y(rate)) for position, rate in run]
            drawn.append(line_or_dot(points, 2.2))
        parts.append(element("g", *drawn, class_=f"series s{order}"))
        position, rate = stretches[-1][-1]
        ends.append((middles[position], frame.y(rate)))
    places = spread([y for _, y in ends], 15, frame.y.end, frame.y.start)
    for order, (line, (x, y), place) in enumerate(zip(shown, ends, places, strict=True)):
        at = frame.x.end + 14
        leader = element("path", d=f"M{x:.1f} {y:.1f}L{at - 4:.1f} {place:.1f}", class_="leader")
        dot = element("circle", cx=x, cy=y, r=2.6, class_="end")
        name = label(shortened(line.name, letters), at, place + 4, "name")
        parts.append(element("g", title(line.name), leader, dot, name, class_=f"series s{order}"))
    parts += frame.days(first, length, height - 6)
    if not shown:
        parts.append(frame.empty())
    return drawing(width, height, alternative, parts)
