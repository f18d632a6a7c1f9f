"""From an assessment to a choice: pin or exploration, drawn with one random number."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from modelperf_plugin.policy.assessment import Assessment
from modelperf_plugin.policy.candidates import AVAILABLE, DEMOTED, DOWN, TOO_EXPENSIVE, UNAVAILABLE, beliefs_of
from modelperf_plugin.policy.cost.probing import SHARE
from modelperf_plugin.policy.exploration import ChoiceSet, Shares
from modelperf_plugin.policy.exploration.base import best_only
from modelperf_plugin.policy.following import follow
from modelperf_plugin.policy.planning import Followed, Planner
from modelperf_plugin.policy.retries import Order
from modelperf_plugin.values import Context, Exclusion, PlannedTry, Ranking, ShareBasis


class Choice(NamedTuple):
    """The drawn model, and why."""

    order: tuple[str, ...]
    """The chosen model, then the fallbacks, unavailable, demoted and down ones last."""
    probabilities: tuple[float, ...]
    """The probability of each row of the ranking to be chosen."""
    reason: str
    explored: bool
    """Whether something other than the best-ranked candidate was chosen without a pin."""
    probed: bool = False
    """Whether a demoted candidate was chosen to probe it."""
    plan: tuple[PlannedTry, ...] = ()
    """The tries that are worth making, if they are planned."""
    left_out: tuple[Exclusion, ...] = ()
    """Candidates that would not be worth a further try."""
    basis: ShareBasis | None = None
    """What tells why each row has its probability; None with a pin."""


def choose(assessment: Assessment, context: Context, number: float | None, pending: Sequence[int] = ()) -> Choice:
    """Draw from an assessment of at least one candidate with one random ``number`` from [0, 1).

    Without a ``number`` it is the most likely choice, the better-ranked of equals. ``pending`` counts for each row of
    the ranking the decisions that still wait for their outcome; empty if none does.
    """
    if assessment.pin is not None:
        return _pinned(assessment, assessment.pin)
    candidates, planner = assessment.candidates, assessment.planner
    shares = _shares(assessment, context, pending)
    probabilities = _with_probes(assessment, shares, pending)
    point = number if shares.point is None else shares.point
    position = probabilities.index(max(probabilities)) if point is None else pick(probabilities, point)
    followed = None
    if planner is not None:
        if candidates[position].group == TOO_EXPENSIVE:
            plan = (planner.ranked[position], *planner.best())[: planner.setting.attempts]
        else:
            plan = _drawn_plan(planner, shares, probabilities, position, point)
        followed = follow(planner, plan)
    reason = _why(assessment, shares, position, probabilities[position], followed)
    explored, probed = position >= assessment.tied, position >= assessment.available
    if followed is None:
        order = _order(assessment.ranking.model_ids, position)
        choice = Choice(order, tuple(probabilities), reason, explored, probed, basis=assessment.basis)
    else:
        order, left_out, tries, _ = followed
        choice = Choice(order, tuple(probabilities), reason, explored, probed, tries, left_out, assessment.basis)
    return _within_budget(assessment, choice) if candidates[-1].group == TOO_EXPENSIVE else choice


def _with_probes(assessment: Assessment, shares: Shares, pending: Sequence[int]) -> list[float]:
    """Return the probability of each row, those included that are only probed."""
    candidates = assessment.candidates
    probabilities = [*shares.probabilities, *[0.0] * (len(candidates) - assessment.available)]
    if shares.point is None and candidates[0].group != DEMOTED and assessment.current is None:
        rest = range(assessment.available, len(candidates))
        if demoted := [position for position in rest if candidates[position].group == DEMOTED]:
            _probe(probabilities, demoted, assessment.policy.demotion.probe_share)
        if assessment.probes:
            waits = {position for position, number in enumerate(pending) if number}
            _probe(probabilities, [each for each in assessment.probes if each not in waits], SHARE)
    return probabilities


def _why(assessment: Assessment, shares: Shares, position: int, probability: float, followed: Followed | None) -> str:
    """Return the reason of the choice of the row ``position``."""
    if assessment.current is not None:
        return f"{_switching(assessment, position)}; {_evidence(assessment, position)}"
    probed = position >= assessment.available
    if position in assessment.probes or probed:
        what = "demoted, but probed"
        if position in assessment.probes:
            what = "probed: too expensive so far" if probed else "probed: its price may have fallen"
        reason = f"{what} (probability {probability:.3g}); {_evidence(assessment, position)}"
    else:
        share = shares.reasons[position] if shares.reasons else None
        reason = f"{share}; {_evidence(assessment, position)}" if share else _reason(assessment, position, followed)
    last_resort = "" if probed else _last_resort({each.group for each in assessment.candidates} - {TOO_EXPENSIVE})
    return f"{last_resort}; {reason}" if last_resort else reason


def _last_resort(groups: Container[int]) -> str:
    """Return why a model is used that something speaks against; empty if it is none."""
    if AVAILABLE in groups:
        return ""
    if UNAVAILABLE in groups or DEMOTED not in groups:
        others = " or demoted" if DEMOTED in groups else ""
        return f"every candidate is unavailable{others}, so the first to be back is used"
    if DOWN in groups:
        return "every candidate is demoted or unavailable, so the best of those that may answer is used"
    return "every candidate is demoted, so the best of them is used"


def _switching(assessment: Assessment, position: int) -> str:
    """Return why a conversation goes on with its model, or changes it."""
    current, price = assessment.current, f"${assessment.policy.cost.switch_usd:g}"
    if assessment.candidates[position].tally.model_id == current:
        return f"goes on with the current model: no other is worth {price} for changing it"
    return f"worth {price} for changing the current model {current}"


def _within_budget(assessment: Assessment, choice: Choice) -> Choice:
    """Return a choice without the models that are too expensive, unless one begins as a probe."""
    order = choice.order
    reasons = {each.tally.model_id: each.why or "" for each in assessment.candidates if each.group == TOO_EXPENSIVE}
    beyond = [model_id for model_id in reasons if model_id != order[0]]
    kept = [each for each in choice.left_out if each.model_id not in reasons]
    exclusions = [Exclusion(model_id, reasons[model_id]) for model_id in beyond]
    return choice._replace(order=tuple([each for each in order if each not in beyond]), left_out=(*kept, *exclusions))


def ranking_of(assessment: Assessment, choice: Choice) -> Ranking:
    """Return the ranking for the decision: a demoted candidate that is probed has status ``probe``."""
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


def _shares(assessment: Assessment, context: Context, pending: Sequence[int]) -> Shares:
    available, policy = assessment.available, assessment.policy
    planner = assessment.planner if policy.cost.weighs_costs else None
    choice_set = ChoiceSet(
        assessment.task_type, assessment.ranking.first(available), assessment.tied, context.unit_id,
        beliefs_of(assessment.candidates[:available]) if planner is None else (), pending[:available],
        assessment.outcomes, planner,
    )  # fmt: skip
    is_settled = assessment.candidates[0].group != AVAILABLE or assessment.current is not None
    return Shares(best_only(choice_set)) if is_settled else policy.exploration(choice_set)


def _probe(probabilities: list[float], positions: Sequence[int], share: float) -> None:
    """Split ``share`` of the decisions between some candidates, at the expense of all."""
    if not positions:
        return
    for position, probability in enumerate(probabilities):
        probabilities[position] = probability * (1.0 - share)
    for position in positions:
        probabilities[position] += share / len(positions)


def _pinned(assessment: Assessment, pin: str) -> Choice:
    model_ids = assessment.ranking.model_ids
    position = model_ids.index(pin)
    probabilities = tuple([float(each == pin) for each in model_ids])
    reason = assessment.ranking.rows[position].reason
    planner = assessment.planner
    if planner is None:
        return Choice(_order(model_ids, position), probabilities, reason, explored=False)
    order, left_out, tries, _ = follow(planner, planner.best((planner.ranked[position],)))
    return Choice(order, probabilities, reason, explored=False, plan=tries, left_out=left_out)


def _drawn_plan(
    planner: Planner, shares: Shares, probabilities: Sequence[float], position: int, point: float | None
) -> Order:
    """Return the plan that the drawn point falls on, of those that begin with the row ``position``.

    If the objective ends lists, further tries follow as far as they are worthwhile: an unlucky draw must not end the
    list.
    """
    first = planner.ranked[position]
    if point is not None and shares.plans and position < len(shares.probabilities):
        within = (point - sum(probabilities[:position])) / probabilities[position] * shares.probabilities[position]
        for part, order in shares.plans:
            if order[0] == first:
                if within < part:
                    return planner.best(order) if planner.objective.ends_list else order
                within -= part
    return planner.best((first,))


def _order(model_ids: tuple[str, ...], position: int) -> tuple[str, ...]:
    return (model_ids[position], *model_ids[:position], *model_ids[position + 1 :])


def _evidence(assessment: Assessment, position: int) -> str:
    reason = assessment.reasons.get(position)
    if reason is None:
        each = assessment.candidates[position]
        reason = assessment.reasons[position] = each.why or each.reason(assessment.policy.ranking)
    return reason


def _reason(assessment: Assessment, position: int, followed: Followed | None) -> str:
    evidence = _evidence(assessment, position)
    if position >= assessment.tied:
        strategy = assessment.policy.exploration.strategy
        return f"explored by {strategy}, rank {position + 1} of {assessment.available}; {evidence}"
    if assessment.available == 1:
        return f"the only candidate left; {evidence}"
    if followed is not None and assessment.planner is not None and assessment.planner.setting.attempts > 1:
        return f"{followed.explanation}; {evidence}"
    if assessment.policy.cost.weighs_costs:
        return f"{assessment.policy.cost.explain(assessment.candidates[position].cost)}; {evidence}"
    if assessment.tied == 1:
        return f"ranked first of {assessment.available}; {evidence}"
    return f"drawn from {assessment.tied} candidates tied at the top; {evidence}"
