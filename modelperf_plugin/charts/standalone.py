"""A chart as a file of its own: SVG with its style inside, and PNG."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from modelperf_plugin.charts.svg import element, label
from modelperf_plugin.errors import MissingExtraError

_NAMESPACE = "http://www.w3.org/2000/svg"
_SIZE = re.compile(r'^<svg viewBox="0 0 ([\d.]+) ([\d.]+)" width="[\d.]+" height="[\d.]+"')
_EDGE, _HEAD = 16, 34


def standalone(chart: str, heading: str) -> str:
    """Return ``chart`` as an SVG file: with its own style, on paper, under a heading."""
    found = _SIZE.match(chart)
    if found is None:
        raise ValueError("a chart must begin with its size")
    width, height = float(found.group(1)) + 2 * _EDGE, float(found.group(2)) + _HEAD + _EDGE
    inner = f'<svg x="{_EDGE}" y="{_HEAD}" width="{found.group(1)}" height="{found.group(2)}"{chart[found.end() :]}'
    return element(
        "svg", element("style", _style()), element("rect", width=width, height=height, fill=_colour("paper")),
        label(heading, _EDGE, 22, "name"), inner, xmlns=_NAMESPACE, width=width, height=height,
        viewBox=f"0 0 {width:g} {height:g}",
    )  # fmt: skip


def png(svg: str, scale: float = 2.0) -> bytes:
    """Return an SVG file as PNG, ``scale`` pixels for each of its own.

    Raises:
        MissingExtraError: the extra ``plot`` is not installed.
    """
    try:
        import resvg_py  # noqa: PLC0415 - an extra: imported only when used
    except ImportError as error:
        raise MissingExtraError("a PNG", "plot") from error
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=scale))


def stylesheet() -> str:
    """Return the colours and the look of charts, for a page that holds some."""
    return _text("palette.css") + _text("chart.css")


@cache
def _style() -> str:
    # a file of its own has no page around it, and those who draw it may not know variables
    return re.sub(r"var\(--(\w+)\)", lambda match: _colour(match.group(1)), _text("chart.css"))


def _colour(name: str) -> str:
    found = re.search(rf"--{name}: (#\w+)", _text("palette.css"))
    if found is None:
        raise ValueError(f"no colour --{name} in palette.css")
    return found.group(1)


@cache
def _text(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")
