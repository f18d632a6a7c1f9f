"""From evidence to a choice: exclusions → ranking → demotion → cost → pin or exploration. Pure functions.

The whole order stands in :func:`assess` (what is known, the same every time) and :func:`choose` (what is drawn,
from one random number). Nothing here reads a clock, a file or a store, so a choice can be tested by table,
replayed, and is the same over every store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost import (
    CostObjective,
    Estimate,
    ExpectedCost,
    ModelCosts,
    SortKey,
    Success,
    expected_cost,
)
from modelperf_plugin.policy.demotion import DemotionStrategy
from modelperf_plugin.policy.exploration import ChoiceSet, ExplorationStrategy, Shares
from modelperf_plugin.policy.exploration.base import best_only
from modelperf_plugin.policy.ranking import RankingStrategy, Score
from modelperf_plugin.values import Context, Exclusion, RankedModel, Ranking, Status, Tally

_SUCCESS: Final = Success()
NOTHING: Final[Mapping[str, str]] = {}
NO_COSTS: Final[ModelCosts] = {}
IN_THE_RUNNING, PAUSED, DEMOTED = 0, 1, 2
"""Groups of candidates; nobody of a later one is chosen while somebody of an earlier one is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Ranking, demotion, cost and exploration together, as configured for one task type."""

    ranking: RankingStrategy
    """Scores the candidates."""
    demotion: DemotionStrategy
    """Takes bad ones out of the running."""
    exploration: ExplorationStrategy
    """Spreads the decisions over the others."""
    cost: CostObjective = _SUCCESS
    """Weighs success against cost."""
    policy_id: str
    """Fingerprint of all the configuration that can change a decision."""


class Knowledge(NamedTuple):
    """What is known of the models of one task type."""

    evidence: Mapping[str, Tally]
    """Tallies by model; a model without one has no outcomes yet."""
    beliefs: Mapping[str, Belief] | None = None
    """The posteriors of all candidates with the evidence of other task types, where there is such."""
    demotions: Mapping[str, str] = NOTHING
    """Why models are demoted by evidence over time."""
    pauses: Mapping[str, str] = NOTHING
    """Why models are not available for now, after outages."""
    model_costs: ModelCosts = NO_COSTS
    """What a task costs with each model, whatever its type."""


class Candidate(NamedTuple):
    """One permitted candidate, and what puts it where it stands."""

    tally: Tally
    score: Score
    group: int
    """In the running, paused or demoted."""
    why: str | None
    """Why it is paused or demoted."""
    belief: Belief | None
    cost: ExpectedCost | None
    """What a task is expected to cost, where that was asked for."""
    sort_key: SortKey
    """What it is worth to the cost objective, among its equals."""


class Assessment(NamedTuple):
    """What the policy makes of the candidates, before anything is drawn."""

    policy: Policy
    """Which policy."""
    task_type: str
    """The class of work."""
    candidates: tuple[Candidate, ...]
    """The permitted candidates, best first, paused and then demoted ones last; empty if none is permitted."""
    ranking: Ranking
    """The same, as rows for people."""
    available: int
    """How many of the first rows may be chosen; the rest are a last resort."""
    tied: int
    """How many of the first rows are equally good."""
    excluded: tuple[Exclusion, ...]
    """The candidates that are not permitted."""
    pin: str | None
    """The model that the host insists on."""

    @property
    def beliefs(self) -> tuple[Belief, ...]:
        """The posterior of each row; empty if nothing is known beyond the tallies."""
        return tuple([each.belief for each in self.candidates if each.belief is not None])


class Choice(NamedTuple):
    """What was drawn."""

    order: tuple[str, ...]
    """The chosen model, then the fallbacks, demoted ones last."""
    probabilities: tuple[float, ...]
    """For each row of the ranking the probability that it was chosen."""
    reason: str
    """One sentence for a person."""
    explored: bool
    """Whether something other than the best-ranked candidate was chosen without a pin."""
    probed: bool = False
    """Whether a demoted candidate was chosen, to try it again."""


def assess(
    policy: Policy, task_type: str, candidates: Sequence[str], knowledge: Knowledge, context: Context
) -> Assessment:
    """Return what ``policy`` makes of ``candidates``, each given once, in the light of what is known.

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
    return Assessment(
        policy,
        task_type,
        placed,
        Ranking.deferred(
            tuple([each.tally.model_id for each in placed]),
            policy.ranking.strategy,
            partial(_rows, policy, placed, pin),
        ),
        available,
        _count_tied(placed, available),
        excluded,
        pin,
    )


def choose(assessment: Assessment, context: Context, number: float | None, pending: Sequence[int] = ()) -> Choice:
    """Draw from an assessment of at least one candidate with one random ``number`` from [0, 1).

    ``pending`` says for each row of the ranking how many choices wait for their outcome; empty if none does.
    None as the number stands for the most likely choice, the better-ranked of equals.
    """
    if assessment.pin is not None:
        return _pinned(assessment, assessment.pin)
    available, candidates = assessment.available, assessment.candidates
    last_resort = candidates[0].group == DEMOTED
    shares = _shares(assessment, context, pending, last_resort=last_resort)
    probabilities = [*shares.probabilities, *[0.0] * (len(candidates) - available)]
    if shares.point is None and not last_resort and candidates[-1].group == DEMOTED:
        _probe(probabilities, candidates, assessment.policy.demotion.probe_share)
    point = number if shares.point is None else shares.point
    position = probabilities.index(max(probabilities)) if point is None else pick(probabilities, point)
    probed = position >= available
    if probed:
        reason = f"tried again (probability {probabilities[position]:.3g}), although it is demoted"
        reason = f"{reason}; {_sentence(assessment, position)}"
    else:
        said = shares.reasons[position] if shares.reasons else None
        reason = f"{said}; {_sentence(assessment, position)}" if said else _reason(assessment, position)
    if last_resort:
        reason = f"every candidate is demoted, so the best of them is used all the same; {reason}"
    elif candidates[0].group == PAUSED and not probed:
        reason = f"every candidate has had outages, so the best of them is used all the same; {reason}"
    order = _order(assessment.ranking.model_ids, position)
    return Choice(order, tuple(probabilities), reason, position >= assessment.tied, probed)


def ranking_of(assessment: Assessment, choice: Choice) -> Ranking:
    """Return the ranking as it stands in the decision: a demoted candidate that is tried again has status ``probe``."""
    ranking = assessment.ranking
    if not choice.probed:
        return ranking
    chosen = choice.order[0]
    rows = [row._replace(status="probe") if row.model_id == chosen else row for row in ranking.rows]
    return Ranking(rows, ranking.strategy)


def pick(probabilities: Sequence[float], number: float) -> int:
    """Return the position into which ``number`` from [0, 1) falls when the probabilities are laid end to end.

    A position of probability 0 is never returned, whatever the rounding of the sum.
    """
    last = 0
    for position, probability in enumerate(probabilities):
        if probability > 0.0:
            if number < probability:
                return position
            number -= probability
            last = position
    return last


def _permit(
    tallies: list[Tally], costs: Mapping[str, ExpectedCost | None], context: Context
) -> tuple[list[Tally], tuple[Exclusion, ...]]:
    permitted: list[Tally] = []
    excluded: list[Exclusion] = []
    for tally in tallies:
        reason = _objection(tally.model_id, costs.get(tally.model_id), context)
        if reason is None:
            permitted.append(tally)
        else:
            excluded.append(Exclusion(tally.model_id, reason))
    return permitted, tuple(excluded)


def _objection(model_id: str, cost: ExpectedCost | None, context: Context) -> str | None:
    if model_id in context.exclude:
        return "excluded by the host"
    most = context.max_cost_usd
    if most is None or cost is None or cost.usd <= most or model_id == context.pin:
        return None
    return f"costs ${cost.usd:.6g} a task on average{_COST_NOTES[cost.source]}, more than max_cost_usd = {most:g}"


_COST_NOTES: Final = {
    "own": "",
    "model": " (on other task types: none is known on this one)",
    "configured": " (as configured: none was reported)",
}


def _place(
    policy: Policy, tallies: Sequence[Tally], knowledge: Knowledge, costs: Mapping[str, ExpectedCost | None]
) -> tuple[Candidate, ...]:
    """Return the candidates in their order."""
    known, pauses = knowledge.beliefs, knowledge.pauses
    beliefs: Sequence[Belief | None] | None = None
    if known is not None:
        beliefs = given = policy.ranking.believed(tallies, [known[tally.model_id] for tally in tallies])
        scores = policy.ranking(tallies, given)
    else:
        scores = policy.ranking(tallies)
    reasons = policy.demotion(tallies, knowledge.demotions)
    candidates: list[Candidate] = []
    for tally, score, why, belief in zip(tallies, scores, reasons, beliefs or [None] * len(tallies), strict=True):
        group, reason = IN_THE_RUNNING if why is None else DEMOTED, why
        if pauses and why is None:
            reason = pauses.get(tally.model_id)
            group = IN_THE_RUNNING if reason is None else PAUSED
        cost = costs.get(tally.model_id) if costs else None
        candidates.append(Candidate(tally, score, group, reason, belief, cost, (score.value, 0.0, 0.0)))
    if policy.cost.weighs_costs:
        candidates = _weigh(policy.cost, candidates)
    candidates.sort(key=_sort_key)
    return tuple(candidates)


def _weigh(objective: CostObjective, candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates with their sort keys, which compare them within their group and tier."""
    weighed = list(candidates)
    for group, tier in {(each.group, each.score.tier) for each in candidates}:
        positions = [n for n, each in enumerate(candidates) if (each.group, each.score.tier) == (group, tier)]
        estimates = [estimate_of(candidates[position]) for position in positions]
        sort_keys = objective(estimates, [estimate.mean for estimate in estimates])
        for position, sort_key in zip(positions, sort_keys, strict=True):
            weighed[position] = candidates[position]._replace(sort_key=sort_key)
    return weighed


def estimate_of(candidate: Candidate) -> Estimate:
    """Return a candidate as a cost objective sees it."""
    cost = None if candidate.cost is None else candidate.cost.usd
    if candidate.belief is None:
        return Estimate(candidate.score.value, 0.0, cost)
    alpha, beta, _ = candidate.belief
    mean = alpha / (alpha + beta)
    return Estimate(mean, mean * (1.0 - mean) / (alpha + beta + 1.0), cost)


def _sort_key(each: Candidate) -> tuple[int, int, float, float, float, int, str]:
    """Sort the best first: paused and demoted ones behind all others, ties by more outcomes and then by name."""
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


def _rows(policy: Policy, candidates: Sequence[Candidate], pin: str | None) -> list[RankedModel]:
    return [_row(policy, each, pin) for each in candidates]


def _row(policy: Policy, each: Candidate, pin: str | None) -> RankedModel:
    tally = each.tally
    explanation = policy.ranking.explain(tally, each.belief)
    status: Status = "ranked" if each.score.proven else "unproven"
    reason = explanation.reason
    if each.group == DEMOTED:
        status, reason = "demoted", each.why or reason
    elif each.group == PAUSED:
        status, reason = "unavailable", each.why or reason
    if tally.model_id == pin:
        status, reason = "pinned", f"pinned by the host; {reason}"
    cost = None if each.cost is None else each.cost.usd
    return RankedModel(tally.model_id, explanation.estimate, explanation.interval, tally, status, reason, cost)


def _shares(assessment: Assessment, context: Context, pending: Sequence[int], *, last_resort: bool) -> Shares:
    available, policy = assessment.available, assessment.policy
    candidates = assessment.candidates[:available]
    choice_set = ChoiceSet(
        assessment.task_type,
        assessment.ranking.first(available),
        assessment.tied,
        context.unit_id,
        tuple([each.belief for each in candidates if each.belief is not None]),
        pending[:available],
        sum([tally[2] + tally[3] for tally, *_ in candidates]),
        policy.cost if policy.cost.weighs_costs else None,
        tuple(map(estimate_of, candidates)) if policy.cost.weighs_costs else (),
    )
    return Shares(best_only(choice_set)) if last_resort else policy.exploration(choice_set)


def _probe(probabilities: list[float], candidates: Sequence[Candidate], share: float) -> None:
    """Give the demoted candidates a share of the decisions between them, at the expense of the others."""
    demoted = [position for position, each in enumerate(candidates) if each.group == DEMOTED]
    for position, probability in enumerate(probabilities):
        probabilities[position] = probability * (1.0 - share)
    for position in demoted:
        probabilities[position] = share / len(demoted)


def _pinned(assessment: Assessment, pin: str) -> Choice:
    model_ids = assessment.ranking.model_ids
    position = model_ids.index(pin)
    probabilities = tuple([float(each == pin) for each in model_ids])
    reason = assessment.ranking.rows[position].reason
    return Choice(_order(model_ids, position), probabilities, reason, explored=False)


def _order(model_ids: tuple[str, ...], position: int) -> tuple[str, ...]:
    return (model_ids[position], *model_ids[:position], *model_ids[position + 1 :])


def _sentence(assessment: Assessment, position: int) -> str:
    """Return what there is to say about one row."""
    each = assessment.candidates[position]
    return each.why or assessment.policy.ranking.reason(each.tally, each.belief)


def _reason(assessment: Assessment, position: int) -> str:
    sentence = _sentence(assessment, position)
    if position >= assessment.tied:
        strategy = assessment.policy.exploration.strategy
        return f"explored by {strategy}, rank {position + 1} of {assessment.available}; {sentence}"
    if assessment.available == 1:
        return f"the only candidate left; {sentence}"
    if assessment.policy.cost.weighs_costs:
        return f"{assessment.policy.cost.explain(assessment.candidates[position].cost)}; {sentence}"
    if assessment.tied == 1:
        return f"ranked first of {assessment.available}; {sentence}"
    return f"drawn from {assessment.tied} candidates tied at the top; {sentence}"
