"""The protocol of exploration strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.drawing import Component
from modelperf_plugin.policy.planning import Planner
from modelperf_plugin.values import RankedModel


class ChoiceSet(NamedTuple):
    """The candidates that may be chosen."""

    task_type: str
    rows: Sequence[RankedModel]
    """Best first, at least one. Accessing a row builds its reason and interval, so strategies should avoid it."""
    tied: int
    """How many of the first rows are equally good: at least 1."""
    unit_id: str | None
    beliefs: Sequence[Belief] = ()
    """The posterior of each row; empty if there are only tallies, or a planner, which knows them."""
    pending: Sequence[int] = ()
    """Number of decisions of each row that still wait for their outcome; empty if none does."""
    outcomes: int = 0
    """Total number of outcomes of the rows on this task type."""
    planner: Planner | None = None
    """Plans over the rows, if costs matter."""


class Shares(NamedTuple):
    """How likely each candidate of a choice set is to be chosen."""

    probabilities: list[float]
    """One for each row of the choice set; they sum to 1 and are the exact propensities."""
    point: float | None = None
    """The point in [0, 1) that decides instead of a random number, for a sticky assignment."""
    reasons: Sequence[str | None] = ()
    """Why each row would be chosen, if for more than its rank; may be empty. Its evidence is appended."""
    plans: Sequence[Component] = ()
    """Plans with their parts of all decisions; the remaining decisions follow the best plan that begins with a row."""


class ExplorationStrategy(Protocol):
    """Spreads one decision over the candidates. Pure.

    The caller draws with one random number against the cumulative probabilities, so that the logged propensities are
    exact by construction, whatever the strategy.
    """

    @property
    def strategy(self) -> str:
        """The name in TOML."""

    @property
    def uniform(self) -> float:
        """The share of decisions that is drawn uniformly."""

    @property
    def price_probes(self) -> float:
        """The approximate share of spending that goes to probes for lower prices; 0: there are none."""

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        """Return the probability of each row of the choice set."""


def best_only(choice_set: ChoiceSet) -> list[float]:
    """Return equal probabilities for the rows tied at the top, 0 for the rest."""
    share = 1.0 / choice_set.tied
    return [share] * choice_set.tied + [0.0] * (len(choice_set.rows) - choice_set.tied)
