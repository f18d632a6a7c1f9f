"""Adaptive exploration: candidates that might be best are tried, less and less as they become known."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import inf, log, sqrt
from statistics import NormalDist
from typing import Final, Literal

from pydantic import Field

from modelperf_plugin.policy.belief import own_belief
from modelperf_plugin.policy.cost import CostObjective, Estimate
from modelperf_plugin.policy.exploration.base import ChoiceSet, Shares
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.strategy import Strategy

POINTS: Final = 24
MIN_SHARE: Final = 0.25
_PARTS: Final = tuple(MIN_SHARE + (1.0 - MIN_SHARE) * (index + 0.5) / POINTS for index in range(POINTS))
"""The middles of 24 equal parts of what lies between a quarter and 1."""
_INVERSE: Final = NormalDist().inv_cdf
_POINTS_WITH_COSTS: Final = tuple(1.2 * _INVERSE(0.5 + 0.5 * (index + 0.5) / POINTS) for index in range(POINTS))
"""The middles of 24 equally likely parts of 1.2·|N(0, 1)|: expensive models are not tried for long."""
_IndexLine = tuple[float, float, int]


class Adaptive(Strategy):
    """The candidate with the highest optimistic index, for a degree of optimism drawn once per decision.

    With the belief Beta(α, β) of a candidate its index is ln(α/β) + Z·√((1/α + 1/β) / (1 + pending/(α + β))), where
    *pending* counts its decisions that still wait for their outcome. Z is one of 24 equally likely points between a
    quarter of ``optimism``·z(n) and all of it, the same for all candidates of a decision. z(n) is the normal quantile
    of 1 − 1/(n + 3), with n the outcomes of all candidates on this task type: it grows slowly without bound, so that a
    poor model that has become good is found. The propensity of each candidate is exact: the share of the points
    at which its index is the highest, on top of a uniform ``floor`` and ``evaluation_share`` of all decisions. Where
    costs matter, Z is one of 24 points of 1.2·``optimism``·|N(0, 1)| instead, and the share is that at which the cost
    objective prefers it, if the chances of all were as good as their indices say.

    Sources: S. Vaswani et al., "Old Dog Learns New Tricks: Randomized UCB for Bandit Problems", 2020 (one draw per
    decision); E. Kaufmann et al., "On Bayesian Upper Confidence Bounds for Bandit Problems", 2012 (the quantile).
    """

    strategy: Literal["adaptive"] = "adaptive"
    floor: float = Field(
        default=0.005, ge=0, le=1, description="Share of decisions drawn uniformly, to evaluate policies from the log."
    )
    evaluation_share: float = Field(
        default=0.0, ge=0, le=1,
        description="A further share drawn uniformly, for a limited time, to answer a question from the log.",
    )  # fmt: skip
    optimism: float = Field(
        default=1.0, ge=0, le=4.5, description="Credit for uncertainty, as a factor of its usual size (0: none)."
    )

    @cached_property
    def points(self) -> tuple[float, ...]:
        """The values of Z in units of z(n), all equally likely, smallest first."""
        return tuple(self.optimism * part for part in _PARTS)

    @cached_property
    def uniform(self) -> float:
        """The total share of decisions drawn uniformly."""
        return self.evaluation_share + (1.0 - self.evaluation_share) * self.floor

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        count = len(choice_set.rows)
        uniform = self.uniform
        shares = [uniform / count] * count
        lines = _indices(choice_set)
        if choice_set.objective is None:
            wins = self._highest(lines, credit(choice_set.outcomes))
        else:
            wins = self._preferred(lines, choice_set.objective, choice_set.estimates)
        for points, rows in wins:
            share = (1.0 - uniform) * points / (POINTS * len(rows))
            for row in rows:
                shares[row] = min(1.0, shares[row] + share)  # the sum may be 1 + 2⁻⁵²
        return Shares(shares)

    def _highest(self, lines: list[_IndexLine], unit: float) -> Iterator[tuple[int, list[int]]]:
        """Yield numbers of points of Z and the rows with the highest index there."""
        lines.sort()
        starts, winners = _upper_envelope(lines)
        before = 0
        for start, rows in zip([*starts[1:], inf], winners, strict=True):
            upto = bisect_left(self.points, start / unit, before)
            yield upto - before, rows
            before = upto

    def _preferred(
        self, lines: list[_IndexLine], objective: CostObjective, estimates: Sequence[Estimate]
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield for each point of Z the rows that the objective prefers, with the indices as chances."""
        for point in _POINTS_WITH_COSTS:
            chances = [expit(mean + self.optimism * point * deviation) for deviation, mean, _ in lines]
            sort_keys = objective(estimates, chances)
            most = max(sort_keys)
            yield 1, [row for row, sort_key in enumerate(sort_keys) if sort_key == most]


def credit(outcomes: int) -> float:
    """Return z(n), the normal quantile of 1 − 1/(n + 3).

    >>> [round(credit(outcomes), 2) for outcomes in (0, 100, 2000)]
    [0.43, 2.34, 3.29]
    """
    return -_INVERSE(1.0 / (outcomes + 3))


def _indices(choice_set: ChoiceSet) -> list[_IndexLine]:
    """Return slope, height at Z = 0 and row of the index of each candidate."""
    beliefs = choice_set.beliefs or [own_belief(row.tally) for row in choice_set.rows]
    pending = choice_set.pending
    if not pending or not any(pending):
        return [
            (sqrt(1.0 / alpha + 1.0 / beta), log(alpha / beta), row) for row, (alpha, beta, _) in enumerate(beliefs)
        ]
    return [
        (sqrt((1.0 / alpha + 1.0 / beta) / (1.0 + waiting / (alpha + beta))), log(alpha / beta), row)
        for row, ((alpha, beta, _), waiting) in enumerate(zip(beliefs, pending, strict=True))
    ]


def _upper_envelope(lines: list[_IndexLine]) -> tuple[list[float], list[list[int]]]:
    """Return from which Z ≥ 0 on which rows have the highest index; rows with the same line are grouped.

    The lines are sorted by slope and then height, so each new one is at least as steep as all before: it cuts off a
    tail of the hull and stays highest from there on.
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
