"""From evidence to an assessment: exclusions → ranking → demotion → cost.

:func:`assess` is the deterministic half of a decision, :func:`~modelperf_plugin.policy.choice.choose` the random half.
Neither reads a clock, a file or a store, so decisions can be tested by table, replayed, and agree on every store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import inf, log, sqrt
from operator import attrgetter
from typing import Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.belief import Belief, own_belief, reduced
from modelperf_plugin.policy.cost import CostObjective, Estimate, ExpectedCost, Success, expected_cost
from modelperf_plugin.policy.cost.base import ModelCosts
from modelperf_plugin.policy.cost.prices import RecentCosts
from modelperf_plugin.policy.cost.probing import due, is_due_above
from modelperf_plugin.policy.demotion import DemotionStrategy
from modelperf_plugin.policy.difficulty import PRIOR_SPREAD, Difficulty
from modelperf_plugin.policy.drawing import Memory
from modelperf_plugin.policy.exploration import ExplorationStrategy
from modelperf_plugin.policy.planning import Arm, Planner
from modelperf_plugin.policy.ranking import RankingStrategy, Score
from modelperf_plugin.policy.retries import Setting
from modelperf_plugin.policy.timing import NO_DURATIONS, Timing
from modelperf_plugin.values import Context, Durations, Exclusion, RankedModel, Ranking, Status, Tally
from modelperf_plugin.values.names import likely_meant

_SUCCESS: Final = Success()
NOTHING: Final[Mapping[str, str]] = {}
NO_COSTS: Final[ModelCosts] = {}
NO_OUTAGES: Final[Mapping[str, float]] = {}
NO_RECENT: Final[Mapping[str, RecentCosts]] = {}
NOTHING_WAITS: Final[Mapping[str, int]] = {}
AVAILABLE, UNAVAILABLE, DEMOTED, TOO_EXPENSIVE = 0, 1, 2, 3
"""Groups of candidates: one of a later group is only chosen, probes aside, if the earlier groups are empty.

One that is too expensive is only there to be probed."""


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
    """Reasons of the back-offs after outages, by model, the first to end first."""
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


Rank = tuple[int, int, float, float, float, float, int, str]
"""Group, tier, the negated sort key and the median duration; ties are broken by more outcomes and then by name."""
_SURE: Final = 1.645
"""Standard deviations that another model must be better, if success alone matters and changing the model costs."""
_MERIT: Final = 6
"""Candidates are equally good if this many parts of their ranks are equal."""


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
            evidence = f"{evidence}, recent availability {self.availability:.2f}"
        return evidence if self.timing is None else f"{evidence}, {self.timing.reason(self.tally.model_id)}"


_RANK: Final = attrgetter("rank")


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
    planner: Planner | None = None
    """Set if several tries are made or costs matter."""
    outcomes: int = 0
    """Total number of outcomes of the available candidates on this task type."""
    current: str | None = None
    """The model that the conversation has used so far, if changing it costs something."""
    probes: tuple[int, ...] = ()
    """Rows that are due to be probed for a lower price."""

    @property
    def has_tied_outcomes(self) -> bool:
        """Whether equally good candidates lead, of which some have outcomes."""
        return self.tied > 1 and any(each.tally.samples for each in self.candidates[: self.tied])


def assess(
    policy: Policy, task_type: str, candidates: Sequence[str], knowledge: Knowledge, context: Context
) -> Assessment:
    """Return ``candidates``, each given once, as ``policy`` ranks them by what is known.

    Raises:
        InvalidValueError: the pinned model is not a candidate, or is excluded by the same host.
    """
    pin = context.pin
    if pin is not None and (pin not in candidates or pin in context.exclude):
        meant = likely_meant(pin, candidates)
        hint = "" if meant is None else f"; did you mean {meant!r}?"
        requirement = f"one of the candidates that are not excluded ({', '.join(candidates)}){hint}"
        raise InvalidValueError("context['pin']", requirement, pin)
    evidence = knowledge.evidence
    tallies = [evidence.get(model_id) or Tally(task_type, model_id) for model_id in candidates]
    costs: Mapping[str, ExpectedCost | None] = {}
    excluded: tuple[Exclusion, ...] = ()
    if policy.cost.weighs_costs or context.max_cost_usd is not None:
        known, recent = knowledge.model_costs, knowledge.recent_costs
        costs = {tally.model_id: expected_cost(tally, known, recent.get(tally.model_id)) for tally in tallies}
    if context.exclude or knowledge.tried or context.max_cost_usd is not None:
        tallies, excluded = _permit(tallies, costs, knowledge.tried, context)
    too_expensive: Mapping[str, str] = NOTHING
    if excluded and tallies and context.max_cost_usd is not None and _may_probe(policy, knowledge, context):
        too_expensive = _due_above(excluded, costs, knowledge, context)
        excluded = tuple([each for each in excluded if each.model_id not in too_expensive])
        tallies = [*tallies, *[evidence.get(each) or Tally(task_type, each) for each in too_expensive]]
    current = _current(policy, tallies, knowledge, context)
    timing = Timing.of(knowledge.durations, [tally.model_id for tally in tallies], context.max_seconds)
    placed = _place(policy, tallies, knowledge, costs, timing, too_expensive, current)
    available = _count_first_group(placed)
    planner: Planner | None = None
    attempts = policy.attempts if context.attempts is None else context.attempts
    if placed and (attempts > 1 or policy.cost.weighs_costs):
        left = max(1, attempts - len(knowledge.tried))
        if timing is not None:
            left = min(left, timing.tries_in_time([each.tally.model_id for each in placed[:available]]))
        setting = _setting(left, task_type, knowledge, context)
        key = (policy.policy_id, task_type, knowledge.tried, setting.attempts, setting.max_usd, current)
        planner = Planner(policy.cost, setting, [_arm(each) for each in placed], available, knowledge.plans, key)
        planner.timing = timing
        if setting.attempts > 1 and policy.cost.weighs_costs:
            planner.rank_by_plan()
            by_name = {each.tally[1]: each for each in placed}
            placed = tuple([by_name[planner.arms[position][0]] for position in planner.ranked])
    model_ids = tuple([each.tally.model_id for each in placed])
    ranking = Ranking.deferred(model_ids, policy.ranking.strategy, lambda: [_row(policy, each, pin) for each in placed])
    tied = _count_tied(placed, available)
    outcomes = sum([each.tally[2] + each.tally[3] for each in placed[:available]])
    probes: tuple[int, ...] = ()
    if costs and _may_probe(policy, knowledge, context):
        probes = _due_probes(policy, placed, available, outcomes, knowledge)
    return Assessment(
        policy, task_type, placed, ranking, available, tied, excluded, pin, planner, outcomes, current, probes
    )


def _current(policy: Policy, tallies: Sequence[Tally], knowledge: Knowledge, context: Context) -> str | None:
    """Return the model of the conversation if it may go on with it and changing it costs something.

    In an A/B test it does not matter: the test says which model a conversation gets.
    """
    model_id = context.current_model
    if model_id is None or not policy.cost.switch_usd or policy.exploration.strategy == "ab_test":
        return None
    model_ids = [tally.model_id for tally in tallies]
    if context.pin is not None or model_id in knowledge.unavailable or model_id not in model_ids:
        return None
    reasons = policy.demotion(tallies, knowledge.demotions)
    return model_id if reasons[model_ids.index(model_id)] is None else None


def _may_probe(policy: Policy, knowledge: Knowledge, context: Context) -> bool:
    """Return whether models may be probed for a lower price: on the first try of a task that is explored."""
    may = policy.exploration.price_probes > 0.0 and not knowledge.tried and context.pin is None
    return may and (context.current_model is None or not policy.cost.switch_usd)


def _due_above(
    excluded: Sequence[Exclusion], costs: Mapping[str, ExpectedCost | None], knowledge: Knowledge, context: Context
) -> dict[str, str]:
    """Return why models are too expensive that are due to be probed, unless something else speaks against them."""
    limit, found = context.max_cost_usd, {}
    for model_id, reason in excluded:
        cost = costs.get(model_id)
        if limit is None or cost is None or cost.usd <= limit or cost.source == "configured":
            continue
        if model_id in context.exclude or model_id in knowledge.demotions or model_id in knowledge.unavailable:
            continue
        if is_due_above(limit, knowledge.waiting.get(model_id, 0), knowledge.recent_costs.get(model_id)):
            found[model_id] = reason
    return found


def _due_probes(
    policy: Policy, placed: Sequence[Candidate], available: int, outcomes: int, knowledge: Knowledge
) -> tuple[int, ...]:
    """Return the rows that are due to be probed for a lower price."""
    found: list[int] = []
    if available > 1 and placed[0].group == AVAILABLE and policy.cost.weighs_costs:
        model_ids = [each.tally.model_id for each in placed[:available]]
        estimates = [each.estimate for each in placed[:available] if each.estimate is not None]
        found = due(
            policy.cost, model_ids, estimates, outcomes, policy.exploration.price_probes, knowledge.waiting,
            knowledge.recent_costs,
        )  # fmt: skip
    if placed and placed[-1].group == TOO_EXPENSIVE:
        found += [position for position, each in enumerate(placed) if each.group == TOO_EXPENSIVE]
    return tuple(found)


def _setting(attempts: int, task_type: str, knowledge: Knowledge, context: Context) -> Setting:
    difficulty = knowledge.difficulty or Difficulty.of(PRIOR_SPREAD)
    beliefs, evidence = knowledge.beliefs or {}, knowledge.evidence
    tried = [
        beliefs.get(model_id) or own_belief(evidence.get(model_id) or Tally(task_type, model_id))
        for model_id in knowledge.tried
    ]
    failed = [log(belief.alpha / belief.beta) for belief in tried]
    return Setting.of(difficulty, attempts, failed, context.max_cost_usd if attempts > 1 else None)


def _arm(each: Candidate) -> Arm:
    alpha, beta, _ = each.belief or own_belief(each.tally)
    deviation = sqrt(1.0 / alpha + 1.0 / beta)
    estimate = each.estimate or Estimate(each.score[1], 0.0, None if each.cost is None else each.cost[0])
    cost_deviation = 0.0 if each.cost is None else each.cost.deviation
    return Arm(each.tally[1], log(alpha / beta), deviation, estimate, alpha + beta, cost_deviation)


def _permit(
    tallies: list[Tally], costs: Mapping[str, ExpectedCost | None], tried: Sequence[str], context: Context
) -> tuple[list[Tally], tuple[Exclusion, ...]]:
    reasons = {
        tally.model_id: _objection(tally.model_id, costs.get(tally.model_id), tried, context) for tally in tallies
    }
    excluded = tuple([Exclusion(model_id, reason) for model_id, reason in reasons.items() if reason is not None])
    return [tally for tally in tallies if reasons[tally.model_id] is None], excluded


def _objection(model_id: str, cost: ExpectedCost | None, tried: Sequence[str], context: Context) -> str | None:
    if model_id in context.exclude:
        return "excluded by the host"
    if model_id == context.pin:
        return None
    if model_id in tried:
        return "an earlier try of this task failed"
    most = context.max_cost_usd
    if most is None or cost is None or cost.usd <= most:
        return None
    return f"costs ${cost.usd:.6g} a task on average{_COST_NOTES[cost.source]}, more than max_cost_usd = {most:g}"


_COST_NOTES: Final = {
    "own": "",
    "model": " (on other task types: unknown on this one)",
    "configured": " (as configured: no host has reported any)",
    "merged": " (by merged sources: no host has reported any)",
}


def _place(
    policy: Policy, tallies: Sequence[Tally], knowledge: Knowledge, costs: Mapping[str, ExpectedCost | None],
    timing: Timing | None, too_expensive: Mapping[str, str], current: str | None,
) -> tuple[Candidate, ...]:  # fmt: skip
    unavailable, availability = knowledge.unavailable, knowledge.availability
    in_time = NO_OUTAGES if timing is None else timing.chances()
    scores, beliefs, qualities = _scored(policy, tallies, knowledge, in_time)
    prices = {name: None if cost is None else cost.usd for name, cost in costs.items()}
    if timing is not None and policy.cost.usd_per_minute:
        prices = timing.prices(costs, policy.cost.usd_per_minute)
    reasons = policy.demotion(tallies, knowledge.demotions)
    weigh = policy.cost.weighs_costs
    backing_off = list(unavailable)
    candidates: list[Candidate] = []
    peers: dict[tuple[int, int], list[_Unweighed]] = {}
    for tally, score, why, belief in zip(tallies, scores, reasons, beliefs or repeat(None)):  # noqa: B905 - endless
        group, tier, reason = AVAILABLE if why is None else DEMOTED, score[0], why
        if why is None and unavailable and (reason := unavailable.get(tally[1])) is not None:
            group, tier = UNAVAILABLE, backing_off.index(tally[1])
        if too_expensive and tally[1] in too_expensive:
            group, tier, reason = TOO_EXPENSIVE, 0, too_expensive[tally[1]]
        cost = costs.get(tally[1]) if costs else None
        seconds = 0.0 if timing is None else timing.median(tally[1])
        if weigh:
            estimate = _estimate(score, belief, prices[tally[1]])
            if current is not None and tally[1] != current:
                estimate = estimate._replace(switch=policy.cost.switch_usd)
            peers.setdefault((group, tier), []).append((tally, score, reason, belief, cost, estimate, seconds))
            continue
        rank = (group, tier, -score[1], 0.0, 0.0, seconds, -tally[2] - tally[3], tally[1])  # faster than by name
        candidates.append(Candidate(tally, score, group, reason, belief, cost, rank))
    for (group, tier), members in peers.items():
        candidates += _weigh(policy.cost, group, tier, members)
    if (availability or in_time) and qualities is not None:
        quality = dict(zip([tally[1] for tally in tallies], qualities, strict=True))
        candidates = [
            each._replace(quality=quality[each.tally[1]], availability=availability.get(each.tally[1], 1.0))
            for each in candidates
        ]
    if timing is not None:
        candidates = [each._replace(timing=timing) for each in candidates]
    candidates.sort(key=_RANK)
    return tuple(candidates if current is None or weigh else _staying(candidates, current))


def _staying(candidates: list[Candidate], current: str) -> list[Candidate]:
    """Return the candidates with the current one first, unless the best is better with a probability of .95."""
    best = candidates[0]
    own = next(each for each in candidates if each.tally.model_id == current)
    (mean, variance), (highest, other) = [_estimate(each.score, each.belief, None)[:2] for each in (own, best)]
    if highest - mean > _SURE * sqrt(variance + other):
        return candidates
    return [own._replace(rank=(*best.rank[:2], -inf, *own.rank[3:])), *[each for each in candidates if each is not own]]


def _scored(
    policy: Policy, tallies: Sequence[Tally], knowledge: Knowledge, in_time: Mapping[str, float]
) -> tuple[list[Score], Sequence[Belief] | None, Sequence[Belief] | None]:
    """Return scores and beliefs that a try succeeds without an outage and in time; and those of its quality."""
    known = knowledge.beliefs
    if known is None:
        beliefs = qualities = None
    else:
        beliefs = qualities = policy.ranking.believed(tallies, [known[tally.model_id] for tally in tallies])
    if knowledge.availability and beliefs is not None:
        beliefs = reduced(beliefs, [knowledge.availability.get(tally.model_id, 1.0) for tally in tallies])
    scores = policy.ranking(tallies, beliefs)
    if in_time:
        shares = [in_time[tally.model_id] for tally in tallies]
        scores = [(tier, value * share) for (tier, value), share in zip(scores, shares, strict=True)]
        beliefs = beliefs and reduced(beliefs, shares)
    return scores, beliefs, qualities


_Unweighed = tuple[Tally, Score, str | None, Belief | None, ExpectedCost | None, Estimate, float]


def _weigh(objective: CostObjective, group: int, tier: int, members: Sequence[_Unweighed]) -> list[Candidate]:
    """Return the candidates of one group and tier, ranked by the objective's sort keys."""
    estimates = [each[5] for each in members]
    sort_keys = objective(estimates, [estimate[0] for estimate in estimates])
    weighed: list[Candidate] = []
    for each, (first, second, third) in zip(members, sort_keys, strict=True):
        tally, score, why, belief, cost, estimate, seconds = each
        rank = (group, tier, -first, -second, -third, seconds, -tally[2] - tally[3], tally[1])
        weighed.append(Candidate(tally, score, group, why, belief, cost, rank, estimate))
    return weighed


def beliefs_of(candidates: Sequence[Candidate]) -> tuple[Belief, ...]:
    """Return the posterior of each candidate; empty if there are only tallies."""
    return tuple([each.belief for each in candidates if each.belief is not None])


def _estimate(score: Score, belief: Belief | None, usd: float | None) -> Estimate:
    """Return a candidate as a cost objective sees it."""
    if belief is None:
        return Estimate(score[1], 0.0, usd)
    alpha, beta, _ = belief
    mean = alpha / (alpha + beta)
    return Estimate(mean, mean * (1.0 - mean) / (alpha + beta + 1.0), usd)


def _count_first_group(candidates: Sequence[Candidate]) -> int:
    if not candidates or candidates[-1].group == candidates[0].group:
        return len(candidates)
    return sum([each.group == candidates[0].group for each in candidates])


def _count_tied(candidates: Sequence[Candidate], available: int) -> int:
    tied = min(1, available)
    while tied < available and candidates[tied].rank[:_MERIT] == candidates[0].rank[:_MERIT]:
        tied += 1
    return tied


def _row(policy: Policy, each: Candidate, pin: str | None) -> RankedModel:
    tally = each.tally
    explanation = policy.ranking.explain(tally, each.belief)
    status: Status = "ranked" if explanation.proven else "unproven"
    reason = explanation.reason
    if each.availability < 1.0 or each.timing is not None:
        reason = each.reason(policy.ranking)
    if each.group in {DEMOTED, TOO_EXPENSIVE}:
        status, reason = "demoted", each.why or reason
    elif each.group == UNAVAILABLE:
        status, reason = "unavailable", each.why or reason
    if tally.model_id == pin:
        status, reason = "pinned", f"pinned by the host; {reason}"
    cost = None if each.cost is None else each.cost.usd
    return RankedModel(tally.model_id, explanation.estimate, explanation.interval, tally, status, reason, cost)
