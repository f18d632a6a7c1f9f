"""What a decision knows, and the candidates that it ranks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost import CostObjective, Estimate, ExpectedCost, Success
from modelperf_plugin.policy.cost.base import ModelCosts
from modelperf_plugin.policy.cost.prices import RecentCosts
from modelperf_plugin.policy.demotion import DemotionStrategy
from modelperf_plugin.policy.difficulty import Difficulty
from modelperf_plugin.policy.drawing import Memory
from modelperf_plugin.policy.exploration import ExplorationStrategy
from modelperf_plugin.policy.ranking import RankingStrategy, Score
from modelperf_plugin.policy.timing import NO_DURATIONS, Timing
from modelperf_plugin.values import Durations, Tally

_SUCCESS: Final = Success()
NOTHING: Final[Mapping[str, str]] = {}
NO_COSTS: Final[ModelCosts] = {}
NO_OUTAGES: Final[Mapping[str, float]] = {}
NO_RECENT: Final[Mapping[str, RecentCosts]] = {}
NOTHING_WAITS: Final[Mapping[str, int]] = {}
AVAILABLE, UNAVAILABLE, DEMOTED, DOWN, TOO_EXPENSIVE = 0, 1, 2, 3, 4
"""Groups of candidates: one of a later group is only chosen, probes aside, if the earlier groups are empty.

One that is unavailable may answer again, and a call that it does not answer uses up no try; so it is ranked before one
that is known to be worse. One that is down will not answer, as far as is known, or has both against it. One that is too
expensive is only there to be probed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Ranking, demotion, cost and exploration together, as configured for one task type."""

    ranking: RankingStrategy
    demotion: DemotionStrategy
    exploration: ExplorationStrategy
    cost: CostObjective = _SUCCESS
    attempts: int = 1
    """Number of tries that the host makes at a task until one succeeds."""
    policy_id: str
    """Fingerprint of all the configuration that can change a decision."""


class Knowledge(NamedTuple):
    """What is known of the models on one task type."""

    evidence: Mapping[str, Tally]
    """Tallies by model; a model without one has no outcomes yet."""
    beliefs: Mapping[str, Belief] | None = None
    """Posteriors of all candidates that also use other task types, if pooled."""
    demotions: Mapping[str, str] = NOTHING
    """Reasons of the demotions in force, by model."""
    unavailable: Mapping[str, str] = NOTHING
    """Reasons of the back-offs after outages, by model, the first to end first; models that are gone come last."""
    model_costs: ModelCosts = NO_COSTS
    tried: tuple[str, ...] = ()
    """Ids of the models that have failed on this task; one that failed twice is there twice."""
    difficulty: Difficulty | None = None
    """How much tasks of this type differ in difficulty; None: as much as usual."""
    plans: Memory | None = None
    """Plans that were drawn for earlier choices; None: they are drawn for each choice."""
    availability: Mapping[str, float] = NO_OUTAGES
    """The chance that a try of a model meets no outage, by model; 1 for all others."""
    recent_costs: Mapping[str, RecentCosts] = NO_RECENT
    """The costs on this task type that still count, by model; one without any is judged by its tally."""
    waiting: Mapping[str, int] = NOTHING_WAITS
    """How many outcomes of the task type there have been since the last one of each model."""
    durations: Mapping[str, Durations] = NO_DURATIONS
    """How long tries take, by model, as far as it matters to this decision and is known."""
    estimated: Mapping[str, str] = NOTHING
    """The models whose costs were estimated from their tokens, with the day of the list of prices."""
    down: Collection[str] = ()
    """The unavailable models that will not answer before the back-off ends: gone, or told to wait by their provider."""


Rank = tuple[int, int, float, float, float, float, int, str]
"""Group, tier, the negated sort key and the median duration; ties are broken by more outcomes and then by name."""


class Candidate(NamedTuple):
    """One permitted candidate, with everything that determines its rank."""

    tally: Tally
    score: Score
    group: int
    why: str | None
    belief: Belief | None
    """The posterior of the chance that a try succeeds, outages included."""
    cost: ExpectedCost | None
    """Set if the policy or the host limits or weighs costs."""
    rank: Rank
    """Sorts the best first."""
    estimate: Estimate | None = None
    """The candidate as a cost objective sees it; set if the policy weighs costs."""
    quality: Belief | None = None
    """The posterior of the chance to succeed where there is no outage, if that differs."""
    availability: float = 1.0
    """The chance that a try meets no outage."""
    timing: Timing | None = None
    """How long the candidates take, if that matters and is known."""

    def reason(self, ranking: RankingStrategy) -> str:
        """Return the evidence for its score."""
        evidence = ranking.reason(self.tally, self.quality or self.belief)
        if self.availability < 1.0:
            evidence = f"{evidence}, recent availability {self.availability:.3f}"
            if self.belief is not None:
                evidence += f": {self.belief.mean:.3f} in all" if self.timing is None else ""
        return evidence if self.timing is None else f"{evidence}, {self.timing.reason(self.tally.model_id)}"


def beliefs_of(candidates: Sequence[Candidate]) -> tuple[Belief, ...]:
    """Return the posterior of each candidate; empty if there are only tallies."""
    return tuple([each.belief for each in candidates if each.belief is not None])
