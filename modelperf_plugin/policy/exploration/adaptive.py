"""Adaptive exploration: what is uncertain and might be best is tried, less and less as it is known."""

from __future__ import annotations

from math import log, sqrt
from statistics import NormalDist
from typing import Final, Literal, NamedTuple

from pydantic import Field

from modelperf_plugin.policy.belief import own_belief
from modelperf_plugin.policy.exploration.base import Contest, Shares
from modelperf_plugin.policy.strategy import Strategy

POINTS: Final = 24
LARGEST_POINT: Final = 4.5
_HALF_NORMAL: Final = tuple(NormalDist().inv_cdf(0.5 + 0.5 * (index + 0.5) / POINTS) for index in range(POINTS))
"""The quantiles of |N(0, 1)| in the middle of 24 equal parts."""


class _Line(NamedTuple):
    """The index of one candidate, or of several with the same belief, as a function of the optimism Z."""

    mean: float
    """Its height at Z = 0: the log-odds of success."""
    deviation: float
    """Its slope: the uncertainty of that."""
    rows: tuple[int, ...]
    """The candidates it stands for."""


class Adaptive(Strategy):
    """The candidate with the highest optimistic index, for a degree of optimism drawn once per decision.

    With the belief Beta(α, β) of a candidate its index is ln(α/β) + Z·√((1/α + 1/β) / (1 + pending/(α + β))), where
    *pending* counts its choices whose outcome has not come yet. Z is one of 24 equally likely points of
    ``optimism``·|N(0, 1)|, cut at 4.5, the same for all candidates of a decision. So the propensity of each is exact:
    the share of the points at which its index is the highest, on top of a uniform ``floor``.

    Source: S. Vaswani et al., "Old Dog Learns New Tricks: Randomized UCB for Bandit Problems", 2020.
    """

    strategy: Literal["adaptive"] = "adaptive"
    floor: float = Field(
        default=0.01, ge=0, le=1, description="Share of decisions drawn at random, so that any policy can be judged."
    )
    optimism: float = Field(
        default=1.2, ge=0, le=4.5, description="How far beyond what is known a candidate gets credit (0: not at all)."
    )

    def __call__(self, contest: Contest) -> Shares:
        """Return the probability of each row of the contest."""
        count = len(contest.rows)
        shares = [self.floor / count] * count
        for rows, points in self._winners(_lines(contest)):
            share = (1.0 - self.floor) * points / POINTS / len(rows)
            for row in rows:
                shares[row] += share
        return Shares(shares)

    def _winners(self, lines: list[_Line]) -> list[tuple[tuple[int, ...], int]]:
        """Return who has the highest index at how many of the points."""
        hull, starts = _upper_envelope(lines)
        points = [min(self.optimism * quantile, LARGEST_POINT) for quantile in _HALF_NORMAL]
        won = [0] * len(hull)
        current = 0
        for point in points:
            while current + 1 < len(hull) and point >= starts[current + 1]:
                current += 1
            won[current] += 1
        return [(line.rows, count) for line, count in zip(hull, won, strict=True) if count]


def _lines(contest: Contest) -> list[_Line]:
    """Return the lines of the contest, flattest first; equal ones are one line."""
    beliefs = contest.beliefs or [own_belief(row.tally) for row in contest.rows]
    pending = contest.pending or [0] * len(beliefs)
    grouped: dict[tuple[float, float], tuple[int, ...]] = {}
    for row, ((alpha, beta), waiting) in enumerate(zip(beliefs, pending, strict=True)):
        deviation = sqrt((1.0 / alpha + 1.0 / beta) / (1.0 + waiting / (alpha + beta)))
        key = (deviation, log(alpha / beta))
        grouped[key] = (*grouped.get(key, ()), row)
    return [_Line(mean, deviation, grouped[deviation, mean]) for deviation, mean in sorted(grouped)]


def _upper_envelope(lines: list[_Line]) -> tuple[list[_Line], list[float]]:
    """Return the lines that are highest somewhere at Z ≥ 0, and from which Z on each of them is.

    The lines come sorted by slope. Each new one is at least as steep as all before, so it cuts off a tail of them.
    """
    hull: list[_Line] = []
    starts: list[float] = []
    for line in lines:
        while hull:
            top = hull[-1]
            if line.deviation == top.deviation:
                start = 0.0 if line.mean >= top.mean else float("inf")
            else:
                start = (top.mean - line.mean) / (line.deviation - top.deviation)
            if start > starts[-1]:
                break
            hull.pop()
            starts.pop()
        else:
            start = 0.0
        if start != float("inf"):
            hull.append(line)
            starts.append(start)
    return hull, starts
