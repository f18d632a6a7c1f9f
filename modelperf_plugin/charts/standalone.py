"""A chart as a file: SVG with its style inside, and PNG."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from modelperf_plugin.charts.svg import element, label
from modelperf_plugin.errors import MissingExtraError

_SIZE = re.compile(r'^<svg viewBox="0 0 ([\d.]+) ([\d.]+)" width="[\d.]+" height="[\d.]+"')
_EDGE, _HEAD = 16, 34


def standalone(chart: str, heading: str) -> str:
    """Return ``chart`` as an SVG file with style, background and heading."""
    size = _SIZE.match(chart)
    if size is None:
        raise ValueError("a chart must begin with its size")
    width, height = float(size.group(1)) + 2 * _EDGE, float(size.group(2)) + _HEAD + _EDGE
    inner = f'<svg x="{_EDGE}" y="{_HEAD}" width="{size.group(1)}" height="{size.group(2)}"{chart[size.end() :]}'
    return element(
        "svg", element("style", _style()), element("rect", width=width, height=height, fill=_colour("paper")),
        label(heading, _EDGE, 22, "name"), inner, xmlns="http://www.w3.org/2000/svg", width=width, height=height,
        viewBox=f"0 0 {width:g} {height:g}",
    )  # fmt: skip


def png(svg: str, scale: float = 2.0) -> bytes:
    """Return an SVG file as PNG, enlarged by ``scale``.

    Raises:
        MissingExtraError: the extra ``plot`` is not installed.
    """
    try:
        import resvg_py  # noqa: PLC0415 - an extra: imported only when used
    except ImportError as error:
        raise MissingExtraError("a PNG", "plot") from error
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=scale))


def stylesheet() -> str:
    """Return the stylesheet of charts, for a page."""
    return _text("palette.css") + _text("chart.css")


@cache
def _style() -> str:
    # resolved, because renderers of SVG files may not support variables
    return re.sub(r"var\(--(\w+)\)", lambda match: _colour(match.group(1)), _text("chart.css"))


def _colour(name: str) -> str:
    match = re.search(rf"--{name}: (#\w+)", _text("palette.css"))
    if match is None:
        raise ValueError(f"no colour --{name} in palette.css")
    return match.group(1)


@cache
def _text(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")
