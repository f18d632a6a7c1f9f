"""Adaptive exploration: what is uncertain and might be best is tried, less and less as it is known."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import inf, log, sqrt
from statistics import NormalDist
from typing import Final, Literal

from pydantic import Field

from modelperf_plugin.policy.belief import own_belief
from modelperf_plugin.policy.cost import CostObjective, Offer
from modelperf_plugin.policy.exploration.base import Contest, Shares
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.strategy import Strategy

POINTS: Final = 24
LARGEST_POINT: Final = 4.5
_HALF_NORMAL: Final = tuple(NormalDist().inv_cdf(0.5 + 0.5 * (index + 0.5) / POINTS) for index in range(POINTS))
"""The quantiles of |N(0, 1)| in the middle of 24 equal parts."""
_Line = tuple[float, float, int]


class Adaptive(Strategy):
    """The candidate with the highest optimistic index, for a degree of optimism drawn once per decision.

    With the belief Beta(α, β) of a candidate its index is ln(α/β) + Z·√((1/α + 1/β) / (1 + pending/(α + β))), where
    *pending* counts its choices whose outcome has not come yet. Z is one of 24 equally likely points of
    ``optimism``·|N(0, 1)|, cut at 4.5, the same for all candidates of a decision. So the propensity of each is exact:
    the share of the points at which its index is the highest, on top of a uniform ``floor``. Where costs matter, it is
    the share at which the cost objective prefers it, if the chances of all were as good as their indices say.

    Source: S. Vaswani et al., "Old Dog Learns New Tricks: Randomized UCB for Bandit Problems", 2020.
    """

    strategy: Literal["adaptive"] = "adaptive"
    floor: float = Field(
        default=0.01, ge=0, le=1, description="Share of decisions drawn at random, so that any policy can be judged."
    )
    optimism: float = Field(
        default=1.2, ge=0, le=4.5, description="How far beyond what is known a candidate gets credit (0: not at all)."
    )

    @cached_property
    def points(self) -> tuple[float, ...]:
        """The values of Z, all equally likely, smallest first."""
        return tuple(min(self.optimism * quantile, LARGEST_POINT) for quantile in _HALF_NORMAL)

    def __call__(self, contest: Contest) -> Shares:
        """Return the probability of each row of the contest."""
        count = len(contest.rows)
        shares = [self.floor / count] * count
        lines = _indices(contest)
        if contest.objective is None:
            wins = self._highest(lines)
        else:
            wins = self._worthiest(lines, contest.objective, contest.offers)
        for points, rows in wins:
            share = (1.0 - self.floor) * points / (POINTS * len(rows))
            for row in rows:
                shares[row] = min(1.0, shares[row] + share)  # a sum of parts may be 1 + 2⁻⁵²
        return Shares(shares)

    def _highest(self, lines: list[_Line]) -> Iterator[tuple[int, list[int]]]:
        """Yield at how many points of Z which rows have the highest index."""
        lines.sort()
        starts, winners = _upper_envelope(lines)
        before = 0
        for start, rows in zip([*starts[1:], inf], winners, strict=True):
            upto = bisect_left(self.points, start, before)
            yield upto - before, rows
            before = upto

    def _worthiest(
        self, lines: list[_Line], objective: CostObjective, offers: Sequence[Offer]
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield for each point of Z which rows are worth most, if their chances are as good as their indices say."""
        for point in self.points:
            chances = [expit(mean + point * deviation) for deviation, mean, _ in lines]
            worths = objective(offers, chances)
            most = max(worths)
            yield 1, [row for row, worth in enumerate(worths) if worth == most]


def _indices(contest: Contest) -> list[_Line]:
    """Return slope, height at Z = 0 and row of the index of each candidate."""
    beliefs = contest.beliefs or [own_belief(row.tally) for row in contest.rows]
    pending = contest.pending
    if not pending or not any(pending):
        return [
            (sqrt(1.0 / alpha + 1.0 / beta), log(alpha / beta), row) for row, (alpha, beta, _) in enumerate(beliefs)
        ]
    return [
        (sqrt((1.0 / alpha + 1.0 / beta) / (1.0 + waiting / (alpha + beta))), log(alpha / beta), row)
        for row, ((alpha, beta, _), waiting) in enumerate(zip(beliefs, pending, strict=True))
    ]


def _upper_envelope(lines: list[_Line]) -> tuple[list[float], list[list[int]]]:
    """Return from which Z ≥ 0 on which rows have the highest index; rows with the same line stand together.

    The lines come sorted by slope and then height, so each new one is at least as steep as all before: it cuts off
    a tail of the hull, and stays the highest for ever.
    """
    hull: list[tuple[float, float]] = []
    starts: list[float] = []
    winners: list[list[int]] = []
    for deviation, mean, row in lines:
        if hull and hull[-1] == (deviation, mean):
            winners[-1].append(row)
            continue
        start = 0.0
        while hull:
            top_deviation, top_mean = hull[-1]
            if mean < top_mean:
                start = (top_mean - mean) / (deviation - top_deviation)
                if start > starts[-1]:
                    break
            start = 0.0
            hull.pop()
            starts.pop()
            winners.pop()
        hull.append((deviation, mean))
        starts.append(start)
        winners.append([row])
    return starts, winners
