"""Cost against success."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Final, NamedTuple

from modelperf_plugin.charts.frame import Frame
from modelperf_plugin.charts.labels import Box, places
from modelperf_plugin.charts.scale import Scale, decades, dollar_ticks
from modelperf_plugin.charts.svg import drawing, element, label, shortened, title

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 12, 40
_MAX_NAMES: Final = 12
_EMPTY: Final = 64
"""Height of a chart with nothing in it."""


class Dot(NamedTuple):
    name: str
    cost_usd: float
    """Mean cost of a task in US dollars; above 0."""
    score: float
    """Estimated probability of success."""
    interval: tuple[float, float] | None
    """95 % interval of it."""
    class_: str = "ranked"


def scatter_chart(dots: Sequence[Dot], alternative: str, *, width: int = 760, height: int = 300) -> str:
    """Return each model by cost, on a logarithmic scale, and estimated success."""
    if not dots:
        empty = label("no model with a known cost", width / 2, _EMPTY / 2, "empty", "middle")
        return drawing(width, _EMPTY, alternative, [empty])
    least, most = decades([dot.cost_usd for dot in dots])
    x, y = Scale(least, most, _LEFT, width - _RIGHT), Scale(0, 1, height - _BOTTOM, _TOP)
    parts = _axes(x, y, width, height)
    for dot in dots:
        at, level = x(log10(dot.cost_usd)), y(dot.score)
        drawn = [title(f"{dot.name}: {dot.score:.1%} estimated, {_dollars(dot.cost_usd)} a task")]
        if dot.interval is not None:
            low, high = (y(rate) for rate in dot.interval)
            drawn.append(element("line", x1=at, x2=at, y1=low, y2=high, class_="whisker faint"))
        drawn.append(element("circle", cx=at, cy=level, r=4.5, class_=f"score {dot.class_}"))
        parts.append(element("g", *drawn))
    return drawing(width, height, alternative, [*parts, *_names(dots, x, y, width)])


def _axes(x: Scale, y: Scale, width: int, height: int) -> list[str]:
    parts = Frame(x, y).rates()
    for amount in dollar_ticks(x.low, x.high, max(2, int(width / 130))):
        at = x(log10(amount))
        parts.append(element("line", x1=at, x2=at, y1=y.start, y2=y.start + 4, class_="hair"))
        parts.append(label(_dollars(amount), at, y.start + 17, anchor="middle"))
    parts.append(label("mean cost of a task →", x.end, height - 4, anchor="end"))
    return parts


def _names(dots: Sequence[Dot], x: Scale, y: Scale, width: int) -> list[str]:
    """Return the names for which there is room; the tooltip of each dot has its name anyway."""
    points = [(x(log10(dot.cost_usd)), y(dot.score)) for dot in dots]
    names = [shortened(dot.name, 24) for dot in dots][:_MAX_NAMES]
    names += [""] * (len(dots) - len(names))
    bars = [(at, dot.interval or (dot.score, dot.score)) for (at, _), dot in zip(points, dots, strict=True)]
    lines = [Box(at - 2, y(high), at + 2, y(low)) for at, (low, high) in bars]
    found = places(points, names, Box(_LEFT, 0, width, y.start), lines)
    return [
        label(name, place.x, place.y, "name", place.anchor)
        for name, place in zip(names, found, strict=True)
        if name and place is not None
    ]


def _dollars(amount: float) -> str:
    if amount >= 1:
        return f"${amount:,.0f}" if amount >= 100 else f"${amount:,.2f}"
    return f"${amount:.{max(2, 1 - int(f'{amount:e}'.split('e')[1]))}f}"
