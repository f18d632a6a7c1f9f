"""From evidence to an assessment: exclusions → ranking → demotion → cost.

:func:`assess` is the deterministic half of a decision, :func:`~modelperf_plugin.policy.choice.choose` the random half.
Neither reads a clock, a file or a store, so decisions can be tested by table, replayed, and agree on every store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost import CostObjective, Estimate, ExpectedCost, SortKey, Success, expected_cost
from modelperf_plugin.policy.cost.base import ModelCosts
from modelperf_plugin.policy.demotion import DemotionStrategy
from modelperf_plugin.policy.exploration import ExplorationStrategy
from modelperf_plugin.policy.ranking import RankingStrategy, Score
from modelperf_plugin.values import Context, Exclusion, RankedModel, Ranking, Status, Tally

_SUCCESS: Final = Success()
NOTHING: Final[Mapping[str, str]] = {}
NO_COSTS: Final[ModelCosts] = {}
AVAILABLE, UNAVAILABLE, DEMOTED = 0, 1, 2
"""Groups of candidates: one of a later group is only chosen, probes aside, if the earlier groups are empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Ranking, demotion, cost and exploration together, as configured for one task type."""

    ranking: RankingStrategy
    demotion: DemotionStrategy
    exploration: ExplorationStrategy
    cost: CostObjective = _SUCCESS
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
    """Reasons of the back-offs after outages, by model."""
    model_costs: ModelCosts = NO_COSTS


class Candidate(NamedTuple):
    """One permitted candidate, with everything that determines its rank."""

    tally: Tally
    score: Score
    group: int
    why: str | None
    belief: Belief | None
    cost: ExpectedCost | None
    """Set if the policy or the host limits or weighs costs."""
    sort_key: SortKey
    """Ranks it within its group and tier."""


class Assessment(NamedTuple):
    """The candidates as the policy ranks them, before one is drawn."""

    policy: Policy
    task_type: str
    candidates: tuple[Candidate, ...]
    """The permitted candidates, best first, unavailable and then demoted ones last; empty if none is permitted."""
    ranking: Ranking
    available: int
    """How many of the first rows may be chosen; the rest are a last resort."""
    tied: int
    """How many of the first rows are equally good."""
    excluded: tuple[Exclusion, ...]
    pin: str | None


def assess(
    policy: Policy, task_type: str, candidates: Sequence[str], knowledge: Knowledge, context: Context
) -> Assessment:
    """Return ``candidates``, each given once, as ``policy`` ranks them by what is known.

    Raises:
        InvalidValueError: the pinned model is not a candidate, or is excluded by the same host.
    """
    pin = context.pin
    if pin is not None and (pin not in candidates or pin in context.exclude):
        requirement = f"one of the candidates that are not excluded ({', '.join(candidates)})"
        raise InvalidValueError("context['pin']", requirement, pin)
    evidence = knowledge.evidence
    tallies = [evidence.get(model_id) or Tally(task_type, model_id) for model_id in candidates]
    costs: Mapping[str, ExpectedCost | None] = {}
    excluded: tuple[Exclusion, ...] = ()
    if policy.cost.weighs_costs or context.max_cost_usd is not None:
        costs = {tally.model_id: expected_cost(tally, knowledge.model_costs) for tally in tallies}
    if context.exclude or context.max_cost_usd is not None:
        tallies, excluded = _permit(tallies, costs, context)
    placed = _place(policy, tallies, knowledge, costs)
    available = _count_first_group(placed)
    model_ids = tuple([each.tally.model_id for each in placed])
    ranking = Ranking.deferred(model_ids, policy.ranking.strategy, lambda: [_row(policy, each, pin) for each in placed])
    tied = _count_tied(placed, available)
    return Assessment(policy, task_type, placed, ranking, available, tied, excluded, pin)


def _permit(
    tallies: list[Tally], costs: Mapping[str, ExpectedCost | None], context: Context
) -> tuple[list[Tally], tuple[Exclusion, ...]]:
    reasons = {tally.model_id: _objection(tally.model_id, costs.get(tally.model_id), context) for tally in tallies}
    excluded = tuple([Exclusion(model_id, reason) for model_id, reason in reasons.items() if reason is not None])
    return [tally for tally in tallies if reasons[tally.model_id] is None], excluded


def _objection(model_id: str, cost: ExpectedCost | None, context: Context) -> str | None:
    if model_id in context.exclude:
        return "excluded by the host"
    most = context.max_cost_usd
    if most is None or cost is None or cost.usd <= most or model_id == context.pin:
        return None
    return f"costs ${cost.usd:.6g} a task on average{_COST_NOTES[cost.source]}, more than max_cost_usd = {most:g}"


_COST_NOTES: Final = {
    "own": "",
    "model": " (on other task types: unknown on this one)",
    "configured": " (as configured: no host has reported any)",
}


def _place(
    policy: Policy, tallies: Sequence[Tally], knowledge: Knowledge, costs: Mapping[str, ExpectedCost | None]
) -> tuple[Candidate, ...]:
    known, unavailable = knowledge.beliefs, knowledge.unavailable
    beliefs: Sequence[Belief] | None = None
    if known is not None:
        beliefs = policy.ranking.believed(tallies, [known[tally.model_id] for tally in tallies])
    scores = policy.ranking(tallies, beliefs)
    reasons = policy.demotion(tallies, knowledge.demotions)
    each_belief: Sequence[Belief | None] = beliefs or [None] * len(tallies)
    candidates: list[Candidate] = []
    for tally, score, why, belief in zip(tallies, scores, reasons, each_belief, strict=True):
        group, reason = AVAILABLE if why is None else DEMOTED, why
        if unavailable and why is None:
            reason = unavailable.get(tally.model_id)
            group = AVAILABLE if reason is None else UNAVAILABLE
        cost = costs.get(tally.model_id) if costs else None
        candidates.append(Candidate(tally, score, group, reason, belief, cost, (score.value, 0.0, 0.0)))
    if policy.cost.weighs_costs:
        candidates = _weigh(policy.cost, candidates)
    candidates.sort(key=_sort_key)
    return tuple(candidates)


def _weigh(objective: CostObjective, candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates with the objective's sort keys, which compare them within their group and tier."""
    weighed = list(candidates)
    for group, tier in {(each.group, each.score.tier) for each in candidates}:
        positions = [n for n, each in enumerate(candidates) if (each.group, each.score.tier) == (group, tier)]
        estimates = [estimate_of(candidates[position]) for position in positions]
        sort_keys = objective(estimates, [estimate.mean for estimate in estimates])
        for position, sort_key in zip(positions, sort_keys, strict=True):
            weighed[position] = candidates[position]._replace(sort_key=sort_key)
    return weighed


def beliefs_of(candidates: Sequence[Candidate]) -> tuple[Belief, ...]:
    """Return the posterior of each candidate; empty if there are only tallies."""
    return tuple([each.belief for each in candidates if each.belief is not None])


def estimate_of(candidate: Candidate) -> Estimate:
    """Return a candidate as a cost objective sees it."""
    cost = None if candidate.cost is None else candidate.cost.usd
    if candidate.belief is None:
        return Estimate(candidate.score.value, 0.0, cost)
    alpha, beta, _ = candidate.belief
    mean = alpha / (alpha + beta)
    return Estimate(mean, mean * (1.0 - mean) / (alpha + beta + 1.0), cost)


def _sort_key(each: Candidate) -> tuple[int, int, float, float, float, int, str]:
    """Sort the best first: by group, tier and sort key, ties by more outcomes and then by name."""
    tally, score, group, _, _, _, (first, second, third) = each
    return group, score[0], -first, -second, -third, -tally[2] - tally[3], tally[1]


def _count_first_group(candidates: Sequence[Candidate]) -> int:
    if not candidates or candidates[-1].group == candidates[0].group:
        return len(candidates)
    return sum([each.group == candidates[0].group for each in candidates])


def _count_tied(candidates: Sequence[Candidate], available: int) -> int:
    tied = 0
    for each in candidates[:available]:
        if each.sort_key != candidates[0].sort_key or each.score[0] != candidates[0].score[0]:
            break
        tied += 1
    return tied


def _row(policy: Policy, each: Candidate, pin: str | None) -> RankedModel:
    tally = each.tally
    explanation = policy.ranking.explain(tally, each.belief)
    status: Status = "ranked" if each.score.proven else "unproven"
    reason = explanation.reason
    if each.group == DEMOTED:
        status, reason = "demoted", each.why or reason
    elif each.group == UNAVAILABLE:
        status, reason = "unavailable", each.why or reason
    if tally.model_id == pin:
        status, reason = "pinned", f"pinned by the host; {reason}"
    cost = None if each.cost is None else each.cost.usd
    return RankedModel(tally.model_id, explanation.estimate, explanation.interval, tally, status, reason, cost)
