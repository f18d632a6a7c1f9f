"""The belief about one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from modelperf_plugin.policy.quality import by_score
from modelperf_plugin.values import Tally


class Belief(NamedTuple):
    """A Beta distribution over a probability of success."""

    alpha: float
    """Successes, including those of the prior; an outcome with a score counts by it."""
    beta: float
    """Failures, including those of the prior."""
    outcomes: float | None = None
    """Current weight of the model's own outcomes on this task type, if discounted for age or a change of the model.
    None: every outcome counts in full."""

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
        Belief(alpha * share, beta + alpha * (1.0 - share), outcomes)
        for (alpha, beta, outcomes), share in zip(beliefs, shares, strict=True)
    ]
