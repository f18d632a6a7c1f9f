"""The belief about one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from modelperf_plugin.policy.quality import by_score
from modelperf_plugin.values import Tally

Cell = tuple[float, float]
"""Successes and failures, weighed."""
NO_CELL: Final[Cell] = (0.0, 0.0)


class Evidence(NamedTuple):
    """What a belief is made of, apart from its prior, which is the rest."""

    own: Cell = NO_CELL
    """First tries of the model on this task type, with their weight today."""
    later: Cell = NO_CELL
    """First tries that say the same as its tries on tasks that others had failed."""
    changed: Cell = NO_CELL
    """What is expected of it since it changed, in the place of the outcomes before."""
    merged: Cell = NO_CELL
    """Outcomes of other projects, as far as they count."""
    is_pooled: bool = True
    """Whether the rest is what other task types and models say, not a configured prior."""


class Belief(NamedTuple):
    """A Beta distribution over a probability of success."""

    alpha: float
    """Successes, including those of the prior; an outcome with a score counts by it."""
    beta: float
    """Failures, including those of the prior."""
    outcomes: float | None = None
    """Current weight of the model's own outcomes on this task type, if discounted for age or a change of the model.
    None: every outcome counts in full."""
    evidence: Evidence | None = None
    """What it, or the belief that it was reduced from, is made of; None if that is not known."""

    @property
    def mean(self) -> float:
        """Expected probability of success."""
        return self.alpha / (self.alpha + self.beta)


def own_belief(tally: Tally) -> Belief:
    """Return the posterior of a model from its own outcomes on a uniform prior."""
    successes, failures = by_score(tally.successes, tally.quality_failures, tally.score_shift)
    return Belief(1.0 + successes, 1.0 + failures)


def reduced(beliefs: Sequence[Belief], shares: Sequence[float]) -> list[Belief]:
    """Return the posteriors of success under a condition with these chances, such as no outage, or an end in time.

    The mean falls, the weight stays.
    """
    return [
        Belief(alpha * share, beta + alpha * (1.0 - share), outcomes, evidence)
        for (alpha, beta, outcomes, evidence), share in zip(beliefs, shares, strict=True)
    ]
