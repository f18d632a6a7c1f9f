"""Scores, costs and durations together: the rank of each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from math import inf, sqrt
from operator import attrgetter
from typing import Final

from modelperf_plugin.policy.belief import Belief, reduced
from modelperf_plugin.policy.candidates import (
    AVAILABLE,
    DEMOTED,
    DOWN,
    NO_OUTAGES,
    TOO_EXPENSIVE,
    UNAVAILABLE,
    Candidate,
    Knowledge,
    Policy,
)
from modelperf_plugin.policy.cost import CostObjective, Estimate, ExpectedCost
from modelperf_plugin.policy.ranking import Score
from modelperf_plugin.policy.timing import Timing
from modelperf_plugin.values import Tally

_SURE: Final = 1.645
"""Standard deviations that another model must be better, if success alone matters and changing the model costs."""
_RANK: Final = attrgetter("rank")


def place(
    policy: Policy, tallies: Sequence[Tally], knowledge: Knowledge, costs: Mapping[str, ExpectedCost | None],
    timing: Timing | None, too_expensive: Mapping[str, str], current: str | None,
) -> tuple[Candidate, ...]:  # fmt: skip
    """Return the candidates, best first: those that are unavailable, demoted, down or too expensive last."""
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
        if unavailable and (pause := unavailable.get(tally[1])) is not None:
            group = UNAVAILABLE if why is None and tally[1] not in knowledge.down else DOWN
            tier, reason = backing_off.index(tally[1]), pause if why is None else f"{pause}; {why}"
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


def _estimate(score: Score, belief: Belief | None, usd: float | None) -> Estimate:
    """Return a candidate as a cost objective sees it."""
    if belief is None:
        return Estimate(score[1], 0.0, usd)
    alpha, beta, _, _ = belief
    mean = alpha / (alpha + beta)
    return Estimate(mean, mean * (1.0 - mean) / (alpha + beta + 1.0), usd)
