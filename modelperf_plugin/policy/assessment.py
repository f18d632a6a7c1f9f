"""From evidence to an assessment: exclusions → ranking → demotion → cost.

:func:`assess` is the deterministic half of a decision, :func:`~modelperf_plugin.policy.choice.choose` the random half.
Neither reads a clock, a file or a store, so decisions can be tested by table, replayed, and agree on every store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.belief import own_belief
from modelperf_plugin.policy.candidates import (
    AVAILABLE,
    DEMOTED,
    DOWN,
    NOTHING,
    TOO_EXPENSIVE,
    UNAVAILABLE,
    Candidate,
    Knowledge,
    Policy,
)
from modelperf_plugin.policy.cost import Estimate, ExpectedCost, expected_cost
from modelperf_plugin.policy.difficulty import PRIOR_SPREAD, Difficulty
from modelperf_plugin.policy.placing import place
from modelperf_plugin.policy.planning import Arm, Planner
from modelperf_plugin.policy.price_probes import due_above, due_probes, may_probe
from modelperf_plugin.policy.retries import Setting
from modelperf_plugin.policy.timing import Timing
from modelperf_plugin.values import Context, Exclusion, RankedModel, Ranking, ScoreTerms, ShareBasis, Status, Tally
from modelperf_plugin.values.names import likely_meant

_MERIT: Final = 6
"""Candidates are equally good if this many parts of their ranks are equal."""


class Assessment(NamedTuple):
    """The candidates as the policy ranks them, before one is drawn."""

    policy: Policy
    task_type: str
    candidates: tuple[Candidate, ...]
    """The permitted candidates, best first, unavailable, demoted and down ones last; empty if none is permitted."""
    ranking: Ranking
    available: int
    """How many of the first rows may be chosen; the rest are a last resort."""
    tied: int
    """How many of the first rows are equally good."""
    excluded: tuple[Exclusion, ...]
    pin: str | None
    reasons: dict[int, str]
    """The evidence for rows in words, as far as choices have asked for it: hardly any row is chosen only once."""
    planner: Planner | None = None
    """Set if several tries are made or costs matter."""
    outcomes: int = 0
    """Total number of outcomes of the available candidates on this task type."""
    current: str | None = None
    """The model that the conversation has used so far, if changing it costs something."""
    probes: tuple[int, ...] = ()
    """Rows that are due to be probed for a lower price."""
    basis: ShareBasis | None = None
    """What tells the causes of shares; None without a candidate."""

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
        if knowledge.estimated:
            costs = {name: cost and cost.by_list(knowledge.estimated.get(name)) for name, cost in costs.items()}
    if context.exclude or knowledge.tried or context.max_cost_usd is not None:
        tallies, excluded = _permit(tallies, costs, knowledge.tried, context)
    too_expensive: Mapping[str, str] = NOTHING
    if excluded and tallies and context.max_cost_usd is not None and may_probe(policy, knowledge, context):
        too_expensive = due_above(excluded, costs, knowledge, context)
        excluded = tuple([each for each in excluded if each.model_id not in too_expensive])
        tallies = [*tallies, *[evidence.get(each) or Tally(task_type, each) for each in too_expensive]]
    current = _current(policy, tallies, knowledge, context)
    timing = Timing.of(knowledge.durations, [tally.model_id for tally in tallies], context.max_seconds)
    placed = place(policy, tallies, knowledge, costs, timing, too_expensive, current)
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
    if costs and may_probe(policy, knowledge, context):
        probes = due_probes(policy, placed, available, outcomes, knowledge)
    basis = _basis(policy, placed, available, tied, probes) if placed else None
    return Assessment(
        policy, task_type, placed, ranking, available, tied, excluded, pin, {}, planner, outcomes, current, probes,
        basis,
    )  # fmt: skip


def _basis(
    policy: Policy, placed: Sequence[Candidate], available: int, tied: int, probes: tuple[int, ...]
) -> ShareBasis:
    exploration = policy.exploration
    is_test = exploration.strategy == "ab_test" and placed[0].group == AVAILABLE
    return ShareBasis(available, tied, exploration.uniform / available, probes, is_test)


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
    alpha, beta, _, _ = each.belief or own_belief(each.tally)
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
    note = _COST_NOTES[cost.source] + (cost.list_note and f" ({cost.list_note})")
    return f"costs ${cost.usd:.6g} a task on average{note}, more than max_cost_usd = {most:g}"


_COST_NOTES: Final = {
    "own": "",
    "model": " (on other task types: unknown on this one)",
    "configured": " (as configured: no host has reported any)",
    "merged": " (by merged sources: no host has reported any)",
}


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
    reason = each.reason(policy.ranking)
    if each.group in {DEMOTED, TOO_EXPENSIVE}:
        status, reason = "demoted", each.why or reason
    elif each.group in {UNAVAILABLE, DOWN}:
        status, reason = "unavailable", each.why or reason
    if tally.model_id == pin:
        status, reason = "pinned", f"pinned by the host; {reason}"
    cost = None if each.cost is None else each.cost.usd
    parts = policy.ranking.parts(tally, each.quality or each.belief)
    in_time = 1.0 if each.timing is None else each.timing.chances().get(tally.model_id, 1.0)
    terms = ScoreTerms(parts, each.availability, in_time) if parts else None
    return RankedModel(tally.model_id, explanation.estimate, explanation.interval, tally, status, reason, cost, terms)
