"""Small drawings for rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from modelperf_plugin.charts.scale import Scale
from modelperf_plugin.charts.svg import drawing, element, path

SPARK_WIDTH, SPARK_HEIGHT = 132, 26
GLYPH_WIDTH, GLYPH_HEIGHT = 150, 18
_EDGE = 4


def sparkline(rates: Sequence[float | None], alternative: str, interval: tuple[float, float] | None = None) -> str:
    """Return rates over time as a small line from 0 to 100 %, the last one with its interval; None is a gap."""
    x = Scale(0, max(1, len(rates) - 1), _EDGE, SPARK_WIDTH - _EDGE)
    y = Scale(0, 1, SPARK_HEIGHT - _EDGE, _EDGE)
    parts = [element("line", x1=_EDGE, x2=SPARK_WIDTH - _EDGE, y1=y(at), y2=y(at), class_="hair") for at in (1, 0)]
    last = None
    for run in runs(rates):
        points = [(x(position), y(rate)) for position, rate in run]
        last = points[-1]
        parts.append(line_or_dot(points, 1.2))
    if last is not None and interval is not None:
        parts.append(
            element("line", x1=last[0], x2=last[0], y1=y(interval[0]), y2=y(interval[1]), class_="whisker thin")
        )
    if last is not None:
        parts.append(element("circle", cx=last[0], cy=last[1], r=2.2, class_="now"))
    return drawing(SPARK_WIDTH, SPARK_HEIGHT, alternative, parts, "spark")


def line_or_dot(points: Sequence[tuple[float, float]], radius: float) -> str:
    """Return a line through ``points``, or a dot if there is only one."""
    if len(points) == 1:
        return element("circle", cx=points[0][0], cy=points[0][1], r=radius, class_="line dot")
    return path(points, "line")


def interval_glyph(score: float | None, interval: tuple[float, float] | None, alternative: str, class_: str) -> str:
    """Return a score between 0 and 100 % with its interval; an empty track without a score."""
    x = Scale(0, 1, _EDGE, GLYPH_WIDTH - _EDGE)
    middle = GLYPH_HEIGHT / 2
    parts = [element("line", x1=x(0), x2=x(1), y1=middle, y2=middle, class_="hair")]
    parts += [element("line", x1=x(at), x2=x(at), y1=middle - 3, y2=middle + 3, class_="hair") for at in (0, 0.5, 1)]
    if interval is not None:
        low, high = interval
        parts.append(element("line", x1=x(low), x2=x(high), y1=middle, y2=middle, class_=f"whisker {class_}"))
    if score is not None:
        parts.append(element("circle", cx=x(score), cy=middle, r=4, class_=f"score {class_}"))
    return drawing(GLYPH_WIDTH, GLYPH_HEIGHT, alternative, parts, "glyph")


def progress_bar(share: float, alternative: str, class_: str) -> str:
    wide = 120.0
    full = element("rect", x=0, y=4, width=wide, height=6, rx=3, class_="track")
    done = element("rect", x=0, y=4, width=max(2.0, wide * share), height=6, rx=3, class_=f"done {class_}")
    return drawing(wide, 14, alternative, [full, done], "meter")


def runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Return the stretches of ``values`` without a gap, each value with its position."""
    stretches: list[list[tuple[int, float]]] = []
    previous = None
    for position, value in enumerate(values):
        if value is None:
            continue
        if previous is None or previous != position - 1:
            stretches.append([])
        stretches[-1].append((position, value))
        previous = position
    return stretches
