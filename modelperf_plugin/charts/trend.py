"""One rate over time: a line with its interval above bars of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from modelperf_plugin.analysis.views.trends import Point
from modelperf_plugin.charts.frame import Frame, Mark
from modelperf_plugin.charts.glyphs import runs
from modelperf_plugin.charts.scale import Scale, day_text
from modelperf_plugin.charts.svg import drawing, element, label, path, title

_LEFT, _RIGHT, _TOP, _BARS, _BOTTOM = 44, 10, 16, 34, 24


def trend_chart(
    points: Sequence[Point], alternative: str, *, width: int = 760, height: int = 260, marks: Sequence[Mark] = ()
) -> str:
    """Return the success rate over time with its 95 % interval, the number of outcomes, and ``marks``."""
    length = sum(point.days for point in points)
    frame = Frame(Scale(0, length, _LEFT, width - _RIGHT), Scale(0, 1, height - _BOTTOM - _BARS - 14, _TOP))
    starts = list(accumulate([point.days for point in points[:-1]], initial=0))
    middles = frame.middles([point.days for point in points])
    parts = [*frame.rates(), *_bars(frame, points, starts, height - _BOTTOM), *frame.marks(marks)]
    parts += _line(frame, points, middles)
    parts += frame.days(points[0].first, length, height - 6)
    parts += _targets(frame, points, starts, height - _BOTTOM)
    if not any(point.tally.samples for point in points):
        parts.append(frame.empty())
    return drawing(width, height, alternative, parts)


def _line(frame: Frame, points: Sequence[Point], middles: Sequence[float]) -> list[str]:
    parts = []
    for run in runs([point.tally.success_rate for point in points]):
        intervals = [points[position].interval or (0.0, 1.0) for position, _ in run]
        upper = [(middles[position], frame.y(high)) for (position, _), (_, high) in zip(run, intervals, strict=True)]
        lower = [(middles[position], frame.y(low)) for (position, _), (low, _) in zip(run, intervals, strict=True)]
        middle = [(middles[position], frame.y(rate)) for position, rate in run]
        if len(run) == 1:
            (x, high), (_, low), (_, rate) = upper[0], lower[0], middle[0]
            parts.append(element("line", x1=x, x2=x, y1=low, y2=high, class_="whisker faint"))
            parts.append(element("circle", cx=x, cy=rate, r=3, class_="now"))
        else:
            parts += [path([*upper, *lower[::-1]], "band", closed=True), path(middle, "line")]
    return parts


def _bars(frame: Frame, points: Sequence[Point], starts: Sequence[int], bottom: float) -> list[str]:
    most = max(point.tally.samples for point in points)
    if not most:
        return []
    tall = Scale(0, most, 0, _BARS)
    parts = [label(f"{most:,}", _LEFT - 8, bottom - _BARS + 8, anchor="end")]
    for start, point in zip(starts, points, strict=True):
        if point.tally.samples:
            left, right = frame.x(start), frame.x(start + point.days)
            gap = min(2.0, (right - left) / 4)
            high = max(1.0, tall(point.tally.samples))
            wide = min(48.0, right - left - gap)
            x = (left + right - wide) / 2
            parts.append(element("rect", x=x, y=bottom - high, width=wide, height=high, class_="bar"))
    return parts


def _targets(frame: Frame, points: Sequence[Point], starts: Sequence[int], bottom: float) -> list[str]:
    """Return an invisible area with a tooltip for each step."""
    parts = []
    for start, point in zip(starts, points, strict=True):
        left, top = frame.x(start), frame.y.end
        area = {"x": left, "y": top, "width": frame.x(start + point.days) - left, "height": bottom - top}
        parts.append(element("rect", title(_tooltip(point)), **area, class_="target"))
    return parts


def _tooltip(point: Point) -> str:
    days = "" if point.days == 1 else f" and {point.days - 1} more days"
    tally = point.tally
    if not tally.samples:
        return f"{day_text(point.first)}{days}: no outcomes"
    low, high = point.interval or (0.0, 1.0)
    return (
        f"{day_text(point.first)}{days}: {tally.success_rate or 0:.1%} of {tally.samples:,} succeeded "
        f"(95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
    )
