"""Charts are well-formed SVG for any data and show all of it."""

from __future__ import annotations

import itertools
import re
from datetime import date
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.analysis.views.trends import Period, trend_of
from modelperf_plugin.charts import (
    Dot,
    Line,
    Mark,
    interval_glyph,
    lines_chart,
    png,
    scatter_chart,
    sparkline,
    standalone,
    trend_chart,
)
from modelperf_plugin.charts.labels import Box, places, text_width
from modelperf_plugin.charts.scale import Scale, dollar_ticks, spread
from modelperf_plugin.errors import MissingExtraError
from modelperf_plugin.store import TrendStep
from modelperf_plugin.values import Tally

HOSTILE = "</text><script>alert(1)</script>\"'&\x00\ud800 ]]>"
FIRST = date(2026, 1, 1)
names = st.text(st.characters(codec=None), max_size=40)
shares = st.floats(0, 1)
maybe_shares = st.lists(st.none() | shares, min_size=1, max_size=70)


def parse(svg: str) -> ET.Element:
    """Return the drawing as a tree; fails if it is not well-formed."""
    return ET.fromstring(svg)  # noqa: S314 - our own


def numbers_in(svg: str) -> list[float]:
    """Return every coordinate of the paths of a drawing."""
    return [float(each) for d in re.findall(r' d="([^"]*)"', svg) for each in re.findall(r"-?[\d.]+", d)]


@given(rates=maybe_shares, name=names)
def test_a_sparkline_is_well_formed(rates: list[float | None], name: str) -> None:
    """Gaps, single points, nothing at all: all stay within the drawing."""
    drawn = sparkline(rates, name)
    assert parse(drawn).get("role") == "img"
    assert all(0 <= each <= 132 for each in numbers_in(drawn))


@given(score=st.none() | shares, ends=st.none() | st.tuples(shares, shares).map(sorted), name=names)
def test_an_interval_is_well_formed(score: float | None, ends: list[float] | None, name: str) -> None:
    """With and without score and interval."""
    interval = None if ends is None else (ends[0], ends[1])
    drawn = parse(interval_glyph(score, interval, name, "ranked"))
    circles = [each for each in drawn.iter() if each.tag == "circle"]
    assert len(circles) == (score is not None)


@pytest.mark.parametrize("width", [358, 760, 1064])
@pytest.mark.parametrize("length", [1, 2, 7, 30, 365])
@pytest.mark.parametrize("filled", [0, 1, 2, 100])
def test_a_trend_is_drawn_whatever_there_is(width: int, length: int, filled: int) -> None:
    """From one day to a year, from no outcome to one on every day; labels never stand on each other."""
    period = Period.last(length, until=date(2026, 12, 31))
    steps = [TrendStep(each, Tally("t", "a", each % 3, 1)) for each in range(min(filled, period.days.steps))]
    drawn = trend_chart(trend_of(period, steps, []).points, HOSTILE, width=width, marks=[Mark(0.5, HOSTILE)])
    tree = parse(drawn)
    assert "script" not in {each.tag for each in tree.iter()}
    assert ("no outcomes in this period" in drawn) == (filled == 0)
    baseline = max(float(each.get("y", 0)) for each in tree.iter("text"))
    days = sorted(float(each.get("x", 0)) for each in tree.iter("text") if float(each.get("y", 0)) == baseline)
    assert days
    assert all(right - left > 50 for left, right in itertools.pairwise(days))


@given(lines=st.lists(st.tuples(names, maybe_shares), max_size=8))
def test_lines_are_well_formed(lines: list[tuple[str, list[float | None]]]) -> None:
    """At most five are drawn; gaps are gaps; every name is escaped."""
    drawn = lines_chart([Line(*each) for each in lines], FIRST, [1] * 70, HOSTILE)
    tree = parse(drawn)
    assert len([each for each in tree.iter("text") if each.get("class") == "name"]) <= 5


@given(
    dots=st.lists(st.tuples(names, st.floats(1e-9, 1e6), shares), max_size=30),
    width=st.sampled_from([358, 1064]),
)
def test_costs_of_any_size_are_drawn(dots: list[tuple[str, float, float]], width: int) -> None:
    """From nano-dollars to millions, one model or many."""
    drawn = scatter_chart([Dot(*each, (0.0, 1.0)) for each in dots], HOSTILE, width=width)
    tree = parse(drawn)
    circles = list(tree.iter("circle"))
    assert len(circles) == len(dots)
    assert all(0 <= float(each.get("cx", -1)) <= width for each in circles)


@given(
    points=st.lists(st.tuples(st.floats(50, 1050), st.floats(15, 250)), max_size=12),
    texts=st.lists(names, min_size=12, max_size=12),
)
def test_labels_share_no_room(points: list[tuple[float, float]], texts: list[str]) -> None:
    """Neither with each other nor with any point, and none leaves the drawing."""
    within = Box(44, 0, 1064, 260)
    texts = texts[: len(points)]
    found = places(points, texts, within)
    boxes = [place.box(text_width(text)) for place, text in zip(found, texts, strict=True) if place is not None]
    assert not any(one.meets(other) for one, other in itertools.combinations(boxes, 2))
    assert all(box.is_within(within) for box in boxes)
    dots = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    assert not any(box.meets(dot) for box in boxes for dot in dots)


def test_hostile_names_are_text_everywhere() -> None:
    """No name becomes an element, and what XML cannot hold is replaced."""
    for drawn in (
        sparkline([0.5], HOSTILE),
        lines_chart([Line(HOSTILE, [0.1, 0.2])], FIRST, [1, 1], HOSTILE),
        scatter_chart([Dot(HOSTILE, 0.1, 0.5, None)], HOSTILE),
        standalone(sparkline([0.5], "x"), HOSTILE),
    ):
        assert "<script" not in drawn
        assert "\x00" not in drawn
        assert "alert(1)" in drawn
        parse(drawn)


def test_labels_are_moved_apart_where_there_is_room() -> None:
    """Their order stays, and none leaves the plane."""
    assert spread([10, 10, 10], 15, 0, 100) == [10, 25, 40]
    moved = spread([98, 99, 5], 15, 0, 100)
    assert moved == [85, 100, 5]


def test_ticks_of_money_are_round() -> None:
    """Ones, twos and fives of a decade; powers of ten over many."""
    assert dollar_ticks(-2.1, -0.9) == pytest.approx([0.01, 0.02, 0.05, 0.1])
    assert dollar_ticks(-6, 2, 4) == pytest.approx([1e-6, 1e-3, 1])


def test_a_scale_without_extent_has_a_middle() -> None:
    """A single value is in the middle."""
    assert Scale(3, 3, 0, 10)(3) == 5


def test_a_file_of_its_own_knows_its_colours() -> None:
    """A standalone file has no unresolved variables and loads nothing."""
    drawn = standalone(sparkline([0.1, 0.9], "x"), "heading")
    assert "var(" not in drawn
    assert parse(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", drawn) == []


def test_a_png_is_a_png() -> None:
    """Twice as many pixels as the drawing has, by default."""
    pytest.importorskip("resvg_py", reason="needs the extra plot")
    image = png(standalone(sparkline([0.1, 0.9], "x"), "heading"))
    assert image.startswith(b"\x89PNG")
    assert int.from_bytes(image[16:20], "big") == 2 * (132 + 32)


def test_a_png_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(MissingExtraError, match=r'pip install "modelperf-plugin\[plot\]"'):
        png("<svg/>")
