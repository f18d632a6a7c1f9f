"""What is believed of one candidate beyond its tally."""

from __future__ import annotations

from typing import NamedTuple

from modelperf_plugin.values import Tally


class Belief(NamedTuple):
    """A Beta distribution over a probability of success."""

    alpha: float
    """Successes, those of the prior included."""
    beta: float
    """Failures, those of the prior included."""
    outcomes: float | None = None
    """How many outcomes the model's own evidence on this task type weighs today, where that is less than were counted:
    it has faded, or the model has changed. None: every outcome counts in full."""

    @property
    def mean(self) -> float:
        """The expected probability of success."""
        return self.alpha / (self.alpha + self.beta)


def own_belief(tally: Tally) -> Belief:
    """Return the posterior of a model from its own outcomes alone, on a uniform prior."""
    return Belief(1.0 + tally.successes, 1.0 + tally.quality_failures)
