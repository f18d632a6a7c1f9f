"""Charts as SVG, the same on page, in report and in image, without scripts or fonts."""

from __future__ import annotations

from modelperf_plugin.charts.frame import Mark
from modelperf_plugin.charts.glyphs import interval_glyph, sparkline
from modelperf_plugin.charts.lines import Line, lines_chart
from modelperf_plugin.charts.scatter import Dot, scatter_chart
from modelperf_plugin.charts.standalone import png, standalone
from modelperf_plugin.charts.trend import trend_chart

__all__ = [
    "Dot", "Line", "Mark", "interval_glyph", "lines_chart", "png", "scatter_chart", "sparkline", "standalone",
    "trend_chart",
]  # fmt: skip
