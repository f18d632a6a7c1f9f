"""From evidence to a choice: exclusions → ranking → demotion → pin or exploration. Pure functions.

The whole order stands in :func:`assess` (what is known, the same every time) and :func:`choose` (what is drawn,
from one random number). Nothing here reads a clock, a file or a store, so a choice can be tested by table,
replayed, and is the same over every store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.demotion import DemotionStrategy
from modelperf_plugin.policy.exploration import Contest, ExplorationStrategy, Shares
from modelperf_plugin.policy.exploration.base import best_only
from modelperf_plugin.policy.ranking import RankingStrategy, Score
from modelperf_plugin.types import Context, Exclusion, RankedModel, Ranking, Status, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Ranking, demotion and exploration together, as configured for one task type."""

    ranking: RankingStrategy
    """Scores the candidates."""
    demotion: DemotionStrategy
    """Takes bad ones out of the running."""
    exploration: ExplorationStrategy
    """Spreads the decisions over the others."""
    policy_id: str
    """Fingerprint of all the configuration that can change a decision."""


class Assessment(NamedTuple):
    """What the policy makes of the candidates, before anything is drawn."""

    task_type: str
    """The class of work."""
    ranking: Ranking
    """The permitted candidates, best first, demoted ones last; empty if none is permitted."""
    available: int
    """How many of the first rows may be chosen; the rest are a last resort."""
    tied: int
    """How many of the first rows are equally good."""
    excluded: tuple[Exclusion, ...]
    """The candidates that are not permitted."""
    pin: str | None
    """The model that the host insists on."""
    beliefs: tuple[Belief, ...] = ()
    """The posterior of each row; empty if nothing is known beyond the tallies."""


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


class _Scored(NamedTuple):
    tally: Tally
    score: Score
    demoted: str | None
    belief: Belief | None


def assess(
    policy: Policy,
    task_type: str,
    candidates: Sequence[str],
    evidence: Mapping[str, Tally],
    context: Context,
    known: Mapping[str, Belief] | None = None,
    in_force: Mapping[str, str] | None = None,
) -> Assessment:
    """Return what ``policy`` makes of ``candidates``, each given once, in the light of ``evidence``.

    ``evidence`` maps model ids to tallies of this task type; a model without one has no outcomes yet. ``known``
    are the posteriors of all candidates with the evidence of other task types, where there is such; ``in_force`` the
    reasons of the demotions that were made by evidence over time.

    Raises:
        InvalidValueError: the pinned model is not a candidate, or is excluded by the same host.
    """
    pin = context.pin
    if pin is not None and (pin not in candidates or pin in context.exclude):
        requirement = f"one of the candidates that are not excluded ({', '.join(candidates)})"
        raise InvalidValueError("context['pin']", requirement, pin)
    tallies = [evidence.get(model_id) or Tally(task_type, model_id) for model_id in candidates]
    excluded: tuple[Exclusion, ...] = ()
    if context.exclude or context.max_cost_usd is not None:
        tallies, excluded = _permit(tallies, context)
    beliefs = None if known is None else [known[tally.model_id] for tally in tallies]
    unknown: list[Belief | None] = [None] * len(tallies)
    scored = list(
        map(_Scored, tallies, policy.ranking(tallies, beliefs), policy.demotion(tallies, in_force), beliefs or unknown)
    )
    scored.sort(key=_standing)
    rows = tuple([_row(each, pin) for each in scored])
    available = sum(each.demoted is None for each in scored) or len(scored)
    return Assessment(
        task_type,
        Ranking(rows, policy.ranking.strategy),
        available,
        _count_tied(scored, available),
        excluded,
        pin,
        tuple([each.belief for each in scored if each.belief is not None]),
    )


def choose(
    policy: Policy, assessment: Assessment, context: Context, number: float | None, pending: Sequence[int] = ()
) -> Choice:
    """Draw from an assessment of at least one candidate with one random ``number`` from [0, 1).

    ``pending`` says for each row of the ranking how many choices wait for their outcome; empty if none does.
    None as the number stands for the most likely choice, the better-ranked of equals.
    """
    rows = assessment.ranking.rows
    if assessment.pin is not None:
        return _pinned(assessment.pin, rows)
    available = assessment.available
    contest = Contest(
        assessment.task_type,
        rows[:available],
        assessment.tied,
        context.unit_id,
        assessment.beliefs[:available],
        pending[:available],
    )
    last_resort = rows[0].status == "demoted"
    shares = Shares(best_only(contest)) if last_resort else policy.exploration(contest)
    probabilities = [*shares.probabilities, *[0.0] * (len(rows) - available)]
    if shares.point is None and available < len(rows):
        _probe(probabilities, available, policy.demotion.probe_share)
    point = number if shares.point is None else shares.point
    position = probabilities.index(max(probabilities)) if point is None else pick(probabilities, point)
    chosen = rows[position]
    probed = position >= available
    if probed:
        reason = f"tried again (probability {probabilities[position]:.3g}), although it is demoted; {chosen.reason}"
    else:
        reason = (shares.reasons[position] if shares.reasons else None) or _reason(
            chosen, position, assessment, policy.exploration.strategy
        )
    if last_resort:
        reason = f"every candidate is demoted, so the best of them is used all the same; {reason}"
    return Choice(_order(chosen.model_id, rows), tuple(probabilities), reason, position >= assessment.tied, probed)


def ranking_of(assessment: Assessment, choice: Choice) -> Ranking:
    """Return the ranking as it stands in the decision: a demoted candidate that is tried again has status ``probe``."""
    ranking = assessment.ranking
    if not choice.probed:
        return ranking
    chosen = choice.order[0]
    rows = [row._replace(status="probe") if row.model_id == chosen else row for row in ranking.rows]
    return Ranking(tuple(rows), ranking.strategy)


def _probe(probabilities: list[float], available: int, share: float) -> None:
    """Give the demoted candidates a share of the decisions between them, at the expense of the others."""
    each = share / (len(probabilities) - available)
    for position, probability in enumerate(probabilities):
        probabilities[position] = probability * (1.0 - share) if position < available else each


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


def _permit(tallies: list[Tally], context: Context) -> tuple[list[Tally], tuple[Exclusion, ...]]:
    permitted: list[Tally] = []
    excluded: list[Exclusion] = []
    for tally in tallies:
        reason = _objection(tally, context)
        if reason is None:
            permitted.append(tally)
        else:
            excluded.append(Exclusion(tally.model_id, reason))
    return permitted, tuple(excluded)


def _objection(tally: Tally, context: Context) -> str | None:
    if tally.model_id in context.exclude:
        return "excluded by the host"
    cost, most = tally.mean_cost_usd, context.max_cost_usd
    if most is None or cost is None or cost <= most or tally.model_id == context.pin:
        return None
    return f"costs ${cost:.6g} a task on average, more than max_cost_usd = {most:g}"


def _standing(scored: _Scored) -> tuple[bool, int, float, int, str]:
    """Sort the best first: the demoted behind all others, ties by more outcomes and then by name."""
    score = scored.score
    return scored.demoted is not None, score.tier, -score.value, -scored.tally.samples, scored.tally.model_id


def _count_tied(scored: Sequence[_Scored], available: int) -> int:
    tied = 0
    for each in scored[:available]:
        if (each.score.tier, each.score.value) != (scored[0].score.tier, scored[0].score.value):
            break
        tied += 1
    return tied


def _row(scored: _Scored, pin: str | None) -> RankedModel:
    tally, score, demoted, _ = scored
    status: Status = "ranked" if score.proven else "unproven"
    reason = score.reason
    if demoted is not None:
        status, reason = "demoted", demoted
    if tally.model_id == pin:
        status, reason = "pinned", f"pinned by the host; {reason}"
    return RankedModel(tally.model_id, score.estimate, score.interval, tally, status, reason)


def _pinned(pin: str, rows: Sequence[RankedModel]) -> Choice:
    probabilities = tuple([float(row.model_id == pin) for row in rows])
    reason = rows[probabilities.index(1.0)].reason
    return Choice(_order(pin, rows), probabilities, reason, explored=False)


def _order(chosen: str, rows: Sequence[RankedModel]) -> tuple[str, ...]:
    return (chosen, *[row.model_id for row in rows if row.model_id != chosen])


def _reason(chosen: RankedModel, position: int, assessment: Assessment, strategy: str) -> str:
    if position >= assessment.tied:
        return f"explored by {strategy}, rank {position + 1} of {assessment.available}; {chosen.reason}"
    if assessment.available == 1:
        return f"the only candidate left; {chosen.reason}"
    if assessment.tied == 1:
        return f"ranked first of {assessment.available}; {chosen.reason}"
    return f"drawn from {assessment.tied} candidates tied at the top; {chosen.reason}"
