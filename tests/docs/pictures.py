"""Draws the diagrams of the documentation from their formulas: ``python -m tests.docs.pictures``."""

from __future__ import annotations

import sys
from math import exp
from typing import Final

from modelperf_plugin.charts.frame import Frame
from modelperf_plugin.charts.scale import Scale
from modelperf_plugin.charts.standalone import standalone
from modelperf_plugin.charts.svg import drawing, element, label, path
from tests.docs.pages import DOCS

SECOND_TRY: Final = DOCS / "images" / "second-try.svg"
FIRST: Final = 0.70
SECOND: Final = 0.65
"""The success rates of the models A and B over all tasks of a type."""
SPREAD: Final = 3.0
"""The spread of difficulty."""

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 176, 16, 30
_STEPS: Final = 240
_EASE: Final = tuple(3.2 - 6.4 * step / _STEPS for step in range(_STEPS + 1))
"""The difficulties that are drawn, easiest first, in standard deviations."""


def second_try() -> str:
    """Return the picture of :doc:`why a second try is not a first try </explanation/retries>`."""
    ability_a, ability_b = ability(FIRST), ability(SECOND)
    everything = [density(u) for u in _EASE]
    failed = [weight * (1 - chance(ability_a, u)) for weight, u in zip(everything, _EASE, strict=True)]
    chances = [chance(ability_b, u) for u in _EASE]
    later = mean(chances, failed)
    frame = Frame(Scale(0, _STEPS, _LEFT, _WIDTH - _RIGHT), Scale(0, 1, _HEIGHT - _BOTTOM, _TOP))
    alternative = (
        f"Tasks from easy to hard, the chance of model B on each, and the tasks that model A has failed, most of them "
        f"hard: B solves {_percent(SECOND)} of all tasks, and {_percent(later)} of those that A has failed"
    )
    parts = [
        _area(frame, everything, "band"),
        _area(frame, failed, "bar"),
        *frame.rates(),
        element("g", path([(frame.x(step), frame.y(rate)) for step, rate in enumerate(chances)], "line"), class_="s0"),
        *_level(frame, SECOND, f"B on all tasks: {_percent(SECOND)}"),
        *_level(frame, later, f"B after A failed: {_percent(later)}"),
        label("all tasks", frame.x(92), frame.y(0.14), anchor="middle"),
        label(f"the {_percent(1 - FIRST)} that A failed", frame.x(180), frame.y(0.18)),
        label("chance that B solves a task", frame.x(8), frame.y(0.93), "name"),
        label("easy tasks", frame.x.start, _HEIGHT - 8),
        label("hard tasks", frame.x.end, _HEIGHT - 8, anchor="end"),
    ]
    return standalone(drawing(_WIDTH, _HEIGHT, alternative, parts), "Why a second try is not a first try") + "\n"


def density(ease: float) -> float:
    """Return how common a difficulty is, up to a factor."""
    return exp(-ease * ease / 2)


def chance(ability: float, ease: float) -> float:
    """Return the chance of a model to solve a task."""
    return 1 / (1 + exp(-(ability + SPREAD * ease)))


def ability(rate: float) -> float:
    """Return the ability at which a model solves the share ``rate`` of all tasks."""
    low, high = -20.0, 20.0
    grid = [step / 50 for step in range(-400, 401)]
    weights = [density(u) for u in grid]
    for _ in range(60):
        middle = (low + high) / 2
        if mean([chance(middle, u) for u in grid], weights) < rate:
            low = middle
        else:
            high = middle
    return low


def mean(values: list[float], weights: list[float]) -> float:
    """Return the weighted mean."""
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f} %"


def _area(frame: Frame, weights: list[float], class_: str) -> str:
    floor = frame.y(0)
    outline = [(frame.x(step), floor - 0.42 * weight * (floor - frame.y(1))) for step, weight in enumerate(weights)]
    return path([(frame.x.start, floor), *outline, (frame.x.end, floor)], class_, closed=True)


def _level(frame: Frame, rate: float, text: str) -> list[str]:
    at = frame.y(rate)
    return [
        element("path", d=f"M{frame.x.start:g} {at:.1f}L{frame.x.end + 8:g} {at:.1f}", class_="leader"),
        label(text, frame.x.end + 14, at + 4, "name"),
    ]


def main() -> int:
    """Write every diagram."""
    SECOND_TRY.write_text(second_try(), encoding="utf-8")
    print(f"wrote {SECOND_TRY.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
