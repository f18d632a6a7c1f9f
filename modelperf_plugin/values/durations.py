"""How long tasks take, as a histogram."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import log, sqrt
from typing import Any, Final, NamedTuple, Self

LAST_BORDER_MS: Final = 2_592_000_000
"""Durations from the first border at or above this, 30 days, share one bucket."""
PERIOD_DAYS: Final = 28
"""Number of days that a store counts together; all are taken to be as old as their middle."""
HIGH: Final = 0.95
"""The high quantile that is shown."""
_ROUNDING: Final = 1e-9


def _borders() -> tuple[int, ...]:
    borders = [0]
    while borders[-1] < LAST_BORDER_MS:
        borders.append(max(borders[-1] + 1, borders[-1] * 6 // 5))
    return tuple(borders)


BORDERS_MS: Final = _borders()
"""The lower borders of all buckets in milliseconds."""


class Durations(NamedTuple):
    """Durations of one model's tasks of one type, the buckets in order; at least one.

    A duration counts as the geometric middle of its bucket, which is within 10 % of it.
    """

    borders_ms: tuple[int, ...]
    """The lower borders of the buckets with any durations."""
    weights: tuple[float, ...]
    """How many durations these hold; older ones count less."""

    @classmethod
    def of(cls, buckets: Iterable[tuple[int, float]]) -> Self | None:
        """Return the histogram with these lower borders and weights; None if they hold nothing."""
        sums: dict[int, float] = {}
        for border_ms, weight in buckets:
            if weight > 0.0:
                sums[border_ms] = sums.get(border_ms, 0.0) + weight
        return cls(tuple(sorted(sums)), tuple([sums[each] for each in sorted(sums)])) if sums else None

    @property
    def weight(self) -> float:
        """How many durations it holds; older ones count less."""
        return sum(self.weights)

    @property
    def mean_seconds(self) -> float:
        """The mean duration."""
        return sum([_middle(border) * each for border, each in zip(*self, strict=True)]) / self.weight

    @property
    def median_seconds(self) -> float:
        """Half of the tasks take no longer."""
        return self.quantile(0.5)

    @property
    def high_seconds(self) -> float:
        """95 % of the tasks take no longer."""
        return self.quantile(HIGH)

    def quantile(self, share: float) -> float:
        """Return within how many seconds a ``share`` of the tasks ends."""
        least = share * self.weight * (1.0 - _ROUNDING)
        sums = list(accumulate(self.weights))
        return _middle(self.borders_ms[min(bisect_left(sums, least), len(sums) - 1)])

    def share_within(self, seconds: float) -> float:
        """Return the share of the tasks that end within ``seconds``."""
        within_ms = seconds * 1000.0
        begun = bisect_right(self.borders_ms, within_ms)
        if not begun:
            return 0.0
        part = _part(self.borders_ms[begun - 1], within_ms)
        return (sum(self.weights[: begun - 1]) + part * self.weights[begun - 1]) / self.weight

    def plus(self, other: Durations, times: float = 1.0) -> Durations:
        """Return these and the ``other`` durations, which count ``times`` as much."""
        sums = dict(zip(*self, strict=True))
        for border, weight in zip(*other, strict=True):
            sums[border] = sums.get(border, 0.0) + times * weight
        borders = tuple(sorted(sums))
        return Durations(borders, tuple([sums[each] for each in borders]))


def shown(durations: Durations | None) -> dict[str, Any]:
    """Return what is shown of durations as plain JSON values, also where none are known."""
    if durations is None:
        return {"median_seconds": None, "p95_seconds": None}
    return {"median_seconds": durations.median_seconds, "p95_seconds": durations.high_seconds}


def average(each: Sequence[Durations]) -> Durations:
    """Return the average of histograms, each counting the same; its weight is 1."""
    share = 1.0 / len(each)
    total = Durations(each[0].borders_ms, tuple([weight * share / each[0].weight for weight in each[0].weights]))
    for other in each[1:]:
        total = total.plus(other, share / other.weight)
    return total


def _upper(border_ms: int) -> float:
    """Return where the bucket ends that begins at ``border_ms``."""
    above = bisect_right(BORDERS_MS, border_ms)
    return float(BORDERS_MS[above]) if above < len(BORDERS_MS) else border_ms * 1.2


def _middle(border_ms: int) -> float:
    """Return the middle of a bucket in seconds; durations are whole milliseconds."""
    last = max(border_ms, _upper(border_ms) - 1.0)
    return sqrt(border_ms * last) / 1000.0


def _part(border_ms: int, within_ms: float) -> float:
    """Return which part of a bucket is within a limit; it is taken to be even on a logarithmic scale."""
    upper = _upper(border_ms)
    if within_ms >= upper - 1.0:
        return 1.0
    if within_ms <= border_ms or not border_ms:
        return 0.0
    return log(within_ms / border_ms) / log(upper / border_ms)
