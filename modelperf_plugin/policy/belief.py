"""What is believed of one candidate beyond its tally, and who knows it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from modelperf_plugin.types import Tally


class Belief(NamedTuple):
    """A Beta distribution over a probability of success."""

    alpha: float
    """Successes, those of the prior included."""
    beta: float
    """Failures, those of the prior included."""

    @property
    def mean(self) -> float:
        """The expected probability of success."""
        return self.alpha / (self.alpha + self.beta)


class Knowledge(Protocol):
    """What was learned about the models on one task type, for one choice."""

    def belief(self, model_id: str) -> Belief:
        """Return the posterior of a model, evidence of other task types included."""

    def pending(self, model_id: str) -> int:
        """Return how many times the model was chosen without an outcome so far."""


def own_belief(tally: Tally) -> Belief:
    """Return the posterior of a model from its own outcomes alone, on a uniform prior."""
    return Belief(1.0 + tally.successes, 1.0 + tally.quality_failures)
