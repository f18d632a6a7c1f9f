"""Several rates over time, each line labelled at its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from modelperf_plugin.charts.frame import Frame, Mark
from modelperf_plugin.charts.glyphs import line_or_dot, runs
from modelperf_plugin.charts.labels import text_width
from modelperf_plugin.charts.scale import Scale, spread
from modelperf_plugin.charts.svg import drawing, element, label, shortened, title
from modelperf_plugin.policy.intervals import wilson_interval

MAX_LINES: Final = 5
"""Maximum number of distinguishable lines."""
_LEFT, _TOP, _BOTTOM = 44, 16, 28
_LETTER_WIDTH: Final = 6.6
"""Approximate width of a letter in pixels."""


class Line(NamedTuple):
    name: str
    rates: Sequence[float | None]
    """A rate for each step; None is a gap."""
    counts: Sequence[tuple[int, int] | None] = ()
    """The successes and outcomes behind each rate, if they are to be shown."""


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
    names = [_label(line, letters) for line in shown]
    room = max((text_width(name) for name in names), default=0) + 16
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
        lone = {run[0][0] for run in stretches if len(run) == 1} | {stretches[-1][-1][0]}
        drawn += [_interval(frame, middles[each], line.counts[each], order) for each in lone if line.counts]
        drawn += [_target(frame, middles, line, *point) for run in stretches for point in run if line.counts]
        parts.append(element("g", *drawn, class_=f"series s{order}"))
        position, rate = stretches[-1][-1]
        ends.append((middles[position], frame.y(rate)))
    heights = spread([y for _, y in ends], 15, frame.y.end, frame.y.start)
    for order, (line, text, (x, y), place) in enumerate(zip(shown, names, ends, heights, strict=True)):
        at = frame.x.end + 14
        leader = element("path", d=f"M{x:.1f} {y:.1f}L{at - 4:.1f} {place:.1f}", class_="leader")
        dot = element("circle", cx=x, cy=y, r=2.6, class_="end")
        name = label(text, at, place + 4, "name")
        parts.append(element("g", title(line.name), leader, dot, name, class_=f"series s{order}"))
    parts += frame.days(first, length, height - 6)
    if not shown:
        parts.append(frame.empty())
    return drawing(width, height, alternative, parts)


def _label(line: Line, letters: int) -> str:
    """Return the name at the end of a line, with the number of outcomes there."""
    last = next((each for each in reversed(line.counts) if each is not None), None)
    return shortened(line.name, letters) + ("" if last is None else f" ({last[1]:,})")


def _interval(frame: Frame, x: float, counted: tuple[int, int] | None, order: int) -> str:
    low, high = wilson_interval(*counted) if counted is not None else (0.0, 1.0)
    beside = x + 3 * order - 6  # several lines end on the same day
    return element("line", x1=beside, x2=beside, y1=frame.y(low), y2=frame.y(high), class_="whisker faint")


def _target(frame: Frame, middles: Sequence[float], line: Line, position: int, rate: float) -> str:
    """Return an invisible area with a tooltip for a point."""
    successes, samples = line.counts[position] or (0, 0)
    low, high = wilson_interval(successes, samples)
    said = f"{line.name}: {rate:.1%} of {samples:,} (95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
    return element("circle", title(said), cx=middles[position], cy=frame.y(rate), r=7, class_="target")
