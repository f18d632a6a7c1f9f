"""Findings about questions that the outcomes leave open, and how to have them answered."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from modelperf_plugin.analysis.views.advice.models import MAX_LOSS, MAX_POSSIBLE_LOSS, MIN_OUTCOMES, ab_test_section
from modelperf_plugin.analysis.views.advice.policies import described
from modelperf_plugin.analysis.views.advice.values import (
    NOTHING,
    Advice,
    Effect,
    Estimate,
    Facts,
    TaskFacts,
    difference,
    in_points,
    key,
    rate,
)
from modelperf_plugin.policy import Adaptive, NeverExplore
from modelperf_plugin.text import count, dollars, percent
from modelperf_plugin.values import RankedModel

MIN_TASK_OUTCOMES: Final = 80
MAX_SHARE: Final = 0.2
"""The most decisions that have no more than :data:`MIN_OUTCOMES` outcomes of a model."""
MAX_PRICE: Final = 0.5
MIN_SPENDING: Final = 0.1
"""The least part of all spending that a question about costs is about."""
MAX_EVALUATION_SHARE: Final = 0.1
MAX_TEST_SHARE: Final = 0.3
MAX_DAYS: Final = 60
"""A question that takes longer with such shares is not asked."""


def open_questions(facts: Facts) -> Iterator[Advice]:
    """Yield candidates that might be as good as the most used model, and that the policy will not find out about.

    The candidate is offered and has less than :data:`MIN_OUTCOMES` outcomes and :data:`MAX_SHARE` of them; it may be as
    good, may be worse by more than a tenth, and is not estimated to be. What might be better is found out by adaptive
    exploration, so that is asked only where nothing explores. What might be as good is asked where costs do not matter
    to the policy, if the candidate costs at most half and the task type takes a tenth of all spending. One for each
    task type, the best.
    """
    spending = sum(map(_spent, facts.tasks))
    for task in facts.tasks:
        if task.outcomes < MIN_TASK_OUTCOMES or not task.offered or not task.models:
            continue
        used = max(task.models, key=lambda row: task.share(row.model_id))
        is_worth_it = _spent(task) >= MIN_SPENDING * spending > 0.0
        found = [
            advice
            for row in task.models  # best first
            if row is not used and _is_open(task, used, row, is_worth_it)
            if (advice := _ask(task, used, row, facts.days)) is not None
        ]
        yield from found[:1]


def _spent(task: TaskFacts) -> float:
    return sum(task.costs[name].value * number for name, number in task.recent.items() if name in task.costs)


def _cost(task: TaskFacts, row: RankedModel) -> float:
    """Return the mean cost of a try on this task type in the period or, with few of them, of all time."""
    known = task.costs.get(row.model_id)
    return known.value if known is not None else row.tally.mean_cost_usd or float("inf")


def _is_open(task: TaskFacts, used: RankedModel, row: RankedModel, is_worth_it: bool) -> bool:
    if row.model_id not in (task.offered or ()) or row.status == "demoted" or row.tally.samples >= MIN_OUTCOMES:
        return False
    loss = difference(rate(used), rate(row))
    if task.share(row.model_id) >= MAX_SHARE or loss.interval is None:
        return False
    if not (loss.interval[0] < MAX_LOSS and loss.value < MAX_POSSIBLE_LOSS < loss.interval[1]):
        return False
    if isinstance(task.policy.exploration, NeverExplore):
        return True
    is_cheap = _cost(task, row) <= MAX_PRICE * _cost(task, used) < float("inf")
    is_ignored = task.policy.cost.objective == "success" and isinstance(task.policy.exploration, Adaptive)
    return is_cheap and is_ignored and is_worth_it


def _ask(task: TaskFacts, used: RankedModel, row: RankedModel, days: int) -> Advice | None:
    """Return how to have a question answered, if there are as many tasks as in the last ``days``; None: too slowly."""
    missing = (MIN_OUTCOMES - row.tally.samples) / task.outcomes
    number = len(task.offered or task.models)
    evaluation, test = ceil(100 * missing * number) / 100, min(MAX_TEST_SHARE, ceil(100 * missing) / 100)
    lasts = ceil(days * missing / test)
    name = key(task.task_type)
    if evaluation <= MAX_EVALUATION_SHARE:
        change = f"draw {percent(evaluation)} of the decisions at random for {days} days, then ask again"
        toml = f'[task_types.{name}.exploration]\nstrategy = "adaptive"\nevaluation_share = {evaluation}'
        effect = _drawn(task, used).times(evaluation / number)
    elif lasts <= MAX_DAYS:
        change = f"give it {percent(test)} of the decisions in an A/B test for {lasts} days, then ask again"
        toml = ab_test_section(name, used, row, test)
        effect = difference(rate(row), rate(used)).times(test)
    else:
        return None
    saved = _cost(task, used) - _cost(task, row)
    is_cheaper = 0.0 < saved < float("inf")
    promise = f"; if it is as good, {dollars(1000 * saved)} less for 1,000 tries" if is_cheaper else ""
    return Advice(
        kind="question",
        task_types=(task.task_type,),
        models=(used.model_id, row.model_id),
        finding=f"whether {row.model_id} could replace {used.model_id} on {task.task_type} will stay unknown",
        evidence=f"{described(row)}, {described(used)} (95 % intervals)"
        + (f", at {dollars(_cost(task, row))} and {dollars(_cost(task, used))} a try" if is_cheaper else "")
        + f"; the policy gave it {task.recent.get(row.model_id, 0):,} of the last {count(task.outcomes, 'outcome')}",
        change=change,
        toml=toml,
        effect=Effect(f"{in_points(effect)} on this task type while that lasts{promise}", effect),
    )


def _drawn(task: TaskFacts, used: RankedModel) -> Estimate:
    """Return the success of drawing each candidate once, instead of using the most used one."""
    gain = NOTHING
    for row in task.models:
        if row is not used and row.model_id in (task.offered or ()):
            gain = gain.plus(difference(rate(row), rate(used)))
    return gain
