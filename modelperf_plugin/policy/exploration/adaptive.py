"""Adaptive exploration: tries candidates that might be best, less and less as more is known about them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import log, sqrt
from statistics import NormalDist
from typing import Final, Literal

from pydantic import Field

from modelperf_plugin.policy.belief import own_belief
from modelperf_plugin.policy.exploration.base import ChoiceSet, Shares
from modelperf_plugin.policy.planning import Planner
from modelperf_plugin.policy.strategy import Strategy

POINTS: Final = 24
MIN_SHARE: Final = 0.25
_PARTS: Final = tuple(MIN_SHARE + (1.0 - MIN_SHARE) * (index + 0.5) / POINTS for index in range(POINTS))
"""The middles of 24 equal parts of what lies between a quarter and 1."""
_INVERSE: Final = NormalDist().inv_cdf
_IndexLine = tuple[float, float, int]
"""Slope, height at Z = 0, and row."""
_Segment = tuple[float, float, float, list[int]]
"""Slope and height of a line, from which Z on it is the highest, and all rows with this line."""


class Adaptive(Strategy):
    """The candidate with the highest optimistic index, for a degree of optimism drawn once per decision.

    With the belief Beta(α, β) of a candidate its index is ln(α/β) + Z·√((1/α + 1/β) / (1 + pending/(α + β))), where
    *pending* counts its decisions that still wait for their outcome. Z is one of 24 equally likely points between a
    quarter of ``optimism``·z(n) and all of it, the same for all candidates of a decision. z(n) is the normal quantile
    of 1 − 1/(n + 3), with n the outcomes of all candidates on this task type: it grows slowly without bound, so that a
    poor model that has become good is found. The propensity of each candidate is exact: the share of the points
    at which its index is the highest, on top of a uniform ``floor`` and ``evaluation_share`` of all decisions. Where
    costs matter, Z is one of 24 points of 1.2·``optimism``·|N(0, 1)| instead, and the share is that at which the cost
    objective prefers it, if the chances of all were as good as their indices say. With several tries beliefs are drawn
    for each model on its own, once a cost is known, and the share is that of the plans which begin with it; see
    :mod:`modelperf_plugin.policy.drawing`.

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
        default=1.0, ge=0, le=4.5, description="Credit for uncertainty, as a multiple of its usual size (0: none)."
    )
    price_probes: float = Field(
        default=0.02, ge=0, le=0.5,
        description="Approximate share of spending that goes to models which only their past costs keep out, to notice "
        "lower prices (0: none).",
    )  # fmt: skip

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
        if choice_set.planner is not None:
            return self._planned(choice_set, choice_set.planner, shares)
        wins = _highest(_indices(choice_set), self.points, credit(choice_set.outcomes))
        for points, rows in wins:
            share = (1.0 - uniform) * points / (POINTS * len(rows))
            for row in rows:
                shares[row] = min(1.0, shares[row] + share)  # the sum may be 1 + 2⁻⁵²
        return Shares(shares)

    def _planned(self, choice_set: ChoiceSet, planner: Planner, shares: list[float]) -> Shares:
        """Return the shares of the plans that begin with each row."""
        outcomes = choice_set.outcomes
        rest = 1.0 - self.uniform
        plans = [
            (rest * part, order)
            for part, order in planner.components(self.optimism, credit(outcomes), outcomes, choice_set.pending)
        ]
        begun = [0.0] * len(shares)
        for part, order in plans:
            begun[order[0]] += part
        # the sum may be 1 + 2⁻⁵²
        shares = [min(1.0, share + begun[each]) for share, each in zip(shares, planner.ranked, strict=False)]
        return Shares(shares, plans=plans)


def credit(outcomes: int) -> float:
    """Return z(n), the normal quantile of 1 − 1/(n + 3).

    >>> [round(credit(outcomes), 2) for outcomes in (0, 100, 2000)]
    [0.43, 2.34, 3.29]
    """
    return -_INVERSE(1.0 / (outcomes + 3))


def _highest(lines: list[_IndexLine], points: Sequence[float], unit: float) -> Iterator[tuple[int, list[int]]]:
    """Yield numbers of points of Z, which are in ``unit``, and the rows with the highest index there."""
    lines.sort()
    upto = POINTS
    for _, _, start, rows in reversed(_upper_envelope(lines)):
        first = bisect_left(points, start / unit)
        if first < upto:
            yield upto - first, rows
            upto = first


def _indices(choice_set: ChoiceSet) -> list[_IndexLine]:
    """Return the line of the index of each candidate."""
    beliefs = choice_set.beliefs or [own_belief(row.tally) for row in choice_set.rows]
    pending = choice_set.pending
    if not pending or not any(pending):
        return [
            (sqrt(1.0 / alpha + 1.0 / beta), log(alpha / beta), row) for row, (alpha, beta, _, _) in enumerate(beliefs)
        ]
    return [
        (sqrt((1.0 / alpha + 1.0 / beta) / (1.0 + waiting / (alpha + beta))), log(alpha / beta), row)
        for row, ((alpha, beta, _, _), waiting) in enumerate(zip(beliefs, pending, strict=True))
    ]


def _upper_envelope(lines: list[_IndexLine]) -> list[_Segment]:
    """Return the lines that are the highest from some Z ≥ 0 on, in the order of Z.

    The lines are sorted by slope and then height, so each new one is at least as steep as all before: it cuts off a
    tail of the envelope and stays highest from there on.
    """
    envelope: list[_Segment] = []
    for deviation, mean, row in lines:
        start, rows = 0.0, [row]
        while envelope:
            top_deviation, top_mean, top_start, top_rows = envelope[-1]
            if mean < top_mean:
                start = (top_mean - mean) / (deviation - top_deviation)
                if start > top_start:
                    break
                start = 0.0
            elif mean == top_mean and deviation == top_deviation:
                start, rows = top_start, [*top_rows, row]
            envelope.pop()
        envelope.append((deviation, mean, start, rows))
    return envelope
