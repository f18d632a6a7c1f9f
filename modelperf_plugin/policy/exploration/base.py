"""What an exploration strategy does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost import CostObjective, Estimate
from modelperf_plugin.values import RankedModel


class ChoiceSet(NamedTuple):
    """The candidates that may be chosen, as exploration sees them."""

    task_type: str
    """The class of work."""
    rows: Sequence[RankedModel]
    """Best first, at least one; demoted and paused candidates are not among them unless all are. Their reasons and
    intervals are made when one is looked at: a strategy that need not look, should not."""
    tied: int
    """How many of the first rows are equally good: at least 1."""
    unit_id: str | None
    """Whom or what the task is for, if the host said so."""
    beliefs: Sequence[Belief] = ()
    """The posterior of each row; empty if nothing is known beyond the tallies."""
    pending: Sequence[int] = ()
    """For each row how many choices wait for their outcome; empty if none does."""
    outcomes: int = 0
    """How many outcomes the rows have on this task type, all together."""
    objective: CostObjective | None = None
    """What weighs success against cost; None if costs do not matter."""
    estimates: Sequence[Estimate] = ()
    """The rows as that objective sees them; empty if costs do not matter."""


class Shares(NamedTuple):
    """How likely each candidate of a choice set is to be chosen."""

    probabilities: list[float]
    """One for each row of the choice set; they sum to 1. They are the propensities, exactly."""
    point: float | None = None
    """Where in [0, 1) the decision falls, when that is not left to chance (a sticky assignment)."""
    reasons: Sequence[str | None] = ()
    """For each row why it would be chosen, where the strategy has more to say than its rank; may be empty.
    What is known of the row is added to it."""


class ExplorationStrategy(Protocol):
    """Spreads one decision over the candidates; pure.

    The choice itself is made elsewhere, with one random number against the cumulated probabilities: so the
    propensities that are logged are exact by construction, whatever the strategy.
    """

    @property
    def strategy(self) -> str:
        """The name in TOML."""

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        """Return the probability of each row of the choice set."""


def best_only(choice_set: ChoiceSet) -> list[float]:
    """Return equal probabilities for the rows tied at the top, 0 for the rest."""
    share = 1.0 / choice_set.tied
    return [share] * choice_set.tied + [0.0] * (len(choice_set.rows) - choice_set.tied)
