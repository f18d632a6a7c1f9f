"""Are outcomes lost on one side of an A/B test? An e-process on which decisions have an outcome.

The test chose side B with the *known* probability ρ. If the loss of an outcome does not depend on the side, then side B
has the part ρ of the decisions with an outcome, and of those without. Against that, let a decision of side B be r times
as likely to end up in such a set as one of side A. For every decision in the set, the e-value is multiplied by

    (r if it is B's, else 1) / (1 − ρ + ρ r),

which is 1 on average if the side does not matter. The result is the average over some r, and over both sets: few lost
outcomes show among the decisions without one, few reported ones among the decisions with one. It exceeds 1,000 with a
probability of at most 1/1,000, in order of the decisions ever. Only decisions that are old enough to have their outcome
should be counted. An outcome that comes late all the same moves its decision from one set to the other.

That takes some dozen lost outcomes. Before it is certain, :func:`excess` tells how many more one side has lost, for a
verdict that must not depend on what they were.

Source: M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", 2022; with a grid of ratios in
place of a Dirichlet prior, because the probability of a side changes with what is available.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, exp, log, sqrt
from typing import Final, NamedTuple

RATIOS: Final = (1 / 16, 1 / 4, 1 / 2, 2 / 3, 4 / 5, 5 / 4, 3 / 2, 2.0, 4.0, 16.0)
"""r, how much likelier one side is to be in a set than the other."""
MISMATCH_LEVEL: Final = 1000.0
"""The e-value from which on the sides differ beyond chance: p < .001."""
EXCESS_DEVIATIONS: Final = 2.0
"""From how many standard deviations on a side is taken to have lost more outcomes than the other."""
_MAX_LOG: Final = 700.0


class Reported(NamedTuple):
    """Decisions between the same two sides with the same probability, and how many of them have an outcome."""

    share_b: float
    """The probability of side B, given that one of the two sides was chosen."""
    decisions_a: int = 0
    reported_a: int = 0
    decisions_b: int = 0
    reported_b: int = 0


class SampleRatio(NamedTuple):
    """The decisions of both sides that are old enough, and whether their outcomes arrive alike."""

    decisions_a: int
    reported_a: int
    decisions_b: int
    reported_b: int
    e_value: float
    """Against "whether an outcome arrives does not depend on the side"."""

    @property
    def differs(self) -> bool:
        """Whether the sides differ beyond chance."""
        return self.e_value >= MISMATCH_LEVEL

    @property
    def share_a(self) -> float | None:
        """The share of side A's decisions with an outcome; None without a decision."""
        return self.reported_a / self.decisions_a if self.decisions_a else None

    @property
    def share_b(self) -> float | None:
        """The share of side B's decisions with an outcome; None without a decision."""
        return self.reported_b / self.decisions_b if self.decisions_b else None


def sample_ratio(groups: Iterable[Reported]) -> SampleRatio:
    """Return whether outcomes arrive alike on both sides.

    >>> sample_ratio([Reported(0.5, 200, 200, 200, 178)])
    SampleRatio(decisions_a=200, reported_a=200, decisions_b=200, reported_b=178, e_value=56836.54273664696)
    >>> sample_ratio([Reported(0.5, 200, 180, 200, 175)]).differs
    False
    """
    groups = [group for group in groups if 0.0 < group.share_b < 1.0]
    decisions_a, decisions_b = sum(each.decisions_a for each in groups), sum(each.decisions_b for each in groups)
    reported_a, reported_b = sum(each.reported_a for each in groups), sum(each.reported_b for each in groups)
    reported = [(group.share_b, group.reported_a, group.reported_b) for group in groups]
    missing = [
        (group.share_b, group.decisions_a - group.reported_a, group.decisions_b - group.reported_b) for group in groups
    ]
    logs = [_log_e_value(counts, ratio) for counts in (reported, missing) for ratio in RATIOS]
    largest = max(logs)
    log_e = largest + log(sum(exp(each - largest) for each in logs) / len(logs))
    return SampleRatio(decisions_a, reported_a, decisions_b, reported_b, exp(min(log_e, _MAX_LOG)))


def _log_e_value(groups: Iterable[tuple[float, int, int]], ratio: float) -> float:
    return sum(
        count_b * log(ratio) - (count_a + count_b) * log(1.0 + share_b * (ratio - 1.0))
        for share_b, count_a, count_b in groups
    )


def excess(groups: Iterable[Reported]) -> tuple[int, int]:
    """Return how many more outcomes side A, or side B, lacks than the other one makes likely; 0 within chance.

    >>> excess([Reported(0.5, 60, 60, 60, 54)]), excess([Reported(0.5, 60, 54, 60, 52)])
    ((0, 6), (0, 0))
    """
    surplus = variance = excess_a = excess_b = 0.0
    for group in groups:
        share_b = group.share_b
        if not 0.0 < share_b < 1.0:
            continue
        missing_a, missing_b = group.decisions_a - group.reported_a, group.decisions_b - group.reported_b
        surplus += missing_b - (missing_a + missing_b) * share_b
        variance += (missing_a + missing_b) * share_b * (1.0 - share_b)
        excess_a += missing_a - missing_b * (1.0 - share_b) / share_b
        excess_b += missing_b - missing_a * share_b / (1.0 - share_b)
    if abs(surplus) < EXCESS_DEVIATIONS * sqrt(variance) or not surplus:
        return 0, 0
    return (0, ceil(excess_b)) if surplus > 0.0 else (ceil(excess_a), 0)
