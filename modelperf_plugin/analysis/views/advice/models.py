"""Findings about models: one that nobody needs, and an expensive one whose cheaper neighbour is as good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, inf
from typing import Final, NamedTuple

from modelperf_plugin.analysis.views.advice.values import (
    NOTHING,
    Advice,
    Effect,
    Estimate,
    Facts,
    TaskFacts,
    difference,
    in_dollars,
    in_points,
    key,
    rate,
)
from modelperf_plugin.policy import ABTest
from modelperf_plugin.policy.cost import Success, Value
from modelperf_plugin.text import count, dollars, enumerated, percent, span
from modelperf_plugin.values import RankedModel

MIN_OUTCOMES: Final = 50
"""Outcomes that a model needs on a task type before it is compared with another one."""
MIN_STAYING: Final = 2
"""Models that a task type keeps: one may have an outage."""
MAX_PRICE: Final = 0.75
"""A cheaper neighbour costs at most this part."""
MAX_LOSS: Final = 0.02
"""A neighbour is as good if it is estimated to be worse by no more than this, …"""
MAX_POSSIBLE_LOSS: Final = 0.10
"""… and surely not by more than this."""
SMALL_LOSS: Final = 0.03
"""If it is surely not worse by more than this, no test is needed."""
_POWER: Final = 15.7
"""Twice the square of the normal quantiles of 95 % confidence and 80 % power together."""
_TESTED: Final = 0.05
"""The difference that a suggested test would find."""


def unneeded(facts: Facts) -> Iterator[Advice]:
    """Yield models that are surely worse than another one on each of their task types, and no bargain there either.

    There the interval of the difference is above 0, and a model that costs no more is estimated to be at least as good.
    Where costs matter to the policy, the better one is worth what it costs more, or costs no more. On one task type the
    intervals of both do not overlap. The model has :data:`MIN_OUTCOMES` in all, is still offered and in no A/B test,
    and :data:`MIN_STAYING` other models stay.
    """
    tasks = {task.task_type: task for task in facts.tasks}
    on_trial = {model_id for trial in facts.trials if trial.configured for model_id, _ in trial.sides}
    beaten: list[list[_Beaten]] = []
    for model_id in dict.fromkeys(row.model_id for task in facts.tasks for row in task.models):
        names = [tally.task_type for tally in facts.tallies if tally.model_id == model_id]
        found = [_beaten(tasks[name], model_id) if name in tasks else None for name in names]
        known = [each for each in found if each is not None]
        is_sure = any(each.is_apart for each in known) and sum(each.row.tally.samples for each in known) >= MIN_OUTCOMES
        if model_id not in on_trial and is_sure and len(known) == len(found) and any(each.share for each in known):
            beaten.append(known)
    staying = {task.task_type: len(task.models) for task in facts.tasks}
    for known in sorted(beaten, key=lambda known: -_gain(facts, known).value):
        if all(staying[each.task.task_type] >= MIN_STAYING + 1 for each in known):
            for each in known:
                staying[each.task.task_type] -= 1
            yield _unneeded(facts, known)


class _Beaten(NamedTuple):
    task: TaskFacts
    row: RankedModel
    better: RankedModel

    @property
    def share(self) -> float:
        return self.task.share(self.row.model_id)

    @property
    def gain(self) -> Estimate:
        return difference(rate(self.better), rate(self.row))

    @property
    def is_apart(self) -> bool:
        """Whether the intervals of both do not overlap."""
        low, high = self.better.interval, self.row.interval
        return low is not None and high is not None and low[0] > high[1]


def _beaten(task: TaskFacts, model_id: str) -> _Beaten | None:
    """Return the surest model that beats another one on a task type; None if none does."""
    row = next((each for each in task.models if each.model_id == model_id), None)
    cost = None if row is None else task.cost(row)
    if row is None or cost is None or (task.offered is not None and model_id not in task.offered):
        return None
    others = [each for each in task.models if each is not row]
    prices = {each.model_id: price for each in others if (price := task.cost(each)) is not None}
    if not any(_is_bargain(row, each, cost, prices) for each in others):
        return None
    found = [_Beaten(task, row, each) for each in others]
    objective = task.policy.cost
    if isinstance(objective, Value):  # what the success that is surely gained is worth
        found = [
            each for each in found
            if prices.get(each.better.model_id, inf) - cost < objective.usd_per_success * max(0.0, _low(each.gain))
        ]  # fmt: skip
    elif not isinstance(objective, Success):
        found = [each for each in found if prices.get(each.better.model_id, inf) <= cost]
    surest = max(found, key=lambda each: _low(each.gain), default=None)
    return None if surest is None or _low(surest.gain) <= 0.0 else surest


def _is_bargain(row: RankedModel, other: RankedModel, cost: float, prices: Mapping[str, float]) -> bool:
    """Return whether another model costs no more than a row and is estimated to be at least as good."""
    return prices.get(other.model_id, inf) <= cost and (other.score or 0.0) >= (row.score or 0.0)


def _low(estimate: Estimate) -> float:
    return -1.0 if estimate.interval is None else estimate.interval[0]


def _gain(facts: Facts, found: Sequence[_Beaten]) -> Estimate:
    """Return the success that the share of a model brings if it goes to the better ones, over all tasks."""
    total, gain = sum(task.outcomes for task in facts.tasks), NOTHING
    for each in found:
        gain = gain.plus(each.gain.times(each.share * each.task.outcomes / total))
    return gain


def _unneeded(facts: Facts, found: Sequence[_Beaten]) -> Advice:
    model_id = found[0].row.model_id
    total, effect = sum(task.outcomes for task in facts.tasks), _gain(facts, found)
    used = sum(each.task.recent.get(model_id, 0) for each in found)
    worst = max(found, key=lambda each: each.task.recent.get(model_id, 0))
    return Advice(
        kind="model",
        task_types=tuple(each.task.task_type for each in found),
        models=(model_id,),
        finding=f"nobody needs {model_id}: each of its task types has a better model, and one as good for no more",
        evidence=f"on {worst.task.task_type} it succeeds in {span(worst.row.interval)}, {worst.better.model_id} in "
        f"{span(worst.better.interval)} (95 % intervals), at {_prices(worst.task, worst.row, worst.better)} a try; it "
        f"got {used:,} of {count(total, 'outcome')} in {facts.days} days",
        change=f"take {model_id} out of the candidates of the hosts, if it is not kept for outages of the others",
        effect=Effect(f"{in_points(effect)} over all tasks, if its share goes to the better ones", effect),
    )


def cheaper(facts: Facts) -> Iterator[Advice]:
    """Yield task types whose most used model has a cheaper neighbour that is as good, where costs do not matter yet.

    The neighbour costs at most :data:`MAX_PRICE` of it, is estimated to be worse by :data:`MAX_LOSS` at most, and
    surely by no more than :data:`MAX_POSSIBLE_LOSS`. Both have :data:`MIN_OUTCOMES`, neither is demoted, and no A/B
    test is configured for the task type.
    """
    for task in facts.tasks:
        if task.policy.cost.objective != "success" or isinstance(task.policy.exploration, ABTest) or not task.outcomes:
            continue
        used = max(task.models, key=lambda row: task.share(row.model_id), default=None)
        if used is None or not _is_comparable(task, used) or task.share(used.model_id) < 0.5:
            continue
        price = task.costs[used.model_id].value
        neighbours = [
            row for row in task.models
            if row is not used and _is_comparable(task, row) and task.costs[row.model_id].value <= MAX_PRICE * price
            and _is_as_good(difference(rate(used), rate(row)))
        ]  # fmt: skip
        if neighbours:
            yield _cheaper(task, used, min(neighbours, key=lambda row: task.costs[row.model_id].value))


def _is_comparable(task: TaskFacts, row: RankedModel) -> bool:
    is_offered = task.offered is None or row.model_id in task.offered
    is_known = row.model_id in task.costs and row.tally.samples >= MIN_OUTCOMES and row.interval is not None
    return is_offered and is_known and row.status != "demoted"


def _is_as_good(loss: Estimate) -> bool:
    return loss.value <= MAX_LOSS and loss.interval is not None and loss.interval[1] <= MAX_POSSIBLE_LOSS


def _cheaper(task: TaskFacts, used: RankedModel, neighbour: RankedModel) -> Advice:
    loss = difference(rate(used), rate(neighbour))
    share = task.share(used.model_id)
    saved = difference(task.costs[neighbour.model_id], task.costs[used.model_id]).times(1000 * share)
    success = loss.times(-share)
    is_sure = loss.interval is not None and loss.interval[1] <= SMALL_LOSS
    name = key(task.task_type)
    if is_sure:
        change = f"let the cheapest model within {percent(SMALL_LOSS)} of the best have the work"
        toml = f'[task_types.{name}.cost]\nobjective = "cheapest_within"\nmargin = {SMALL_LOSS}'
    else:
        change = (
            f"run this A/B test; if it ends without a winner, they differ by less than {percent(_TESTED)}: then write "
            f'[task_types.{name}.cost] objective = "cheapest_within" instead'
        )
        toml = f"{ab_test_section(name, used, neighbour, 0.5)}\nmax_samples = {_samples(used, neighbour)}"
    return Advice(
        kind="cheaper",
        task_types=(task.task_type,),
        models=(used.model_id, neighbour.model_id),
        finding=f"{neighbour.model_id} may be as good as {used.model_id} on {task.task_type}, and costs "
        f"{percent(task.costs[neighbour.model_id].value / task.costs[used.model_id].value)} of it",
        evidence=f"{neighbour.model_id} succeeds in {span(neighbour.interval)} of {neighbour.tally.samples:,} tries, "
        f"{used.model_id} in {span(used.interval)} of {used.tally.samples:,} (95 % intervals), at "
        f"{_prices(task, neighbour, used)} a try; {used.model_id} gets {percent(share)} of the tries",
        change=change,
        toml=toml,
        effect=Effect(
            f"{in_dollars(saved)} for 1,000 tries and {in_points(success)} on this task type, if "
            f"{neighbour.model_id} takes its place",
            success,
            saved,
        ),
    )


def ab_test_section(name: str, used: RankedModel, challenger: RankedModel, share: float) -> str:
    """Return the section of an A/B test; ``name`` is that of the task type as a key of TOML."""
    return (
        f'[task_types.{name}.exploration]\nstrategy = "ab_test"\nincumbent = {key(used.model_id)}\n'
        f"challenger = {key(challenger.model_id)}\nshare = {share:g}"
    )


def _samples(used: RankedModel, challenger: RankedModel) -> int:
    """Return how many outcomes of both sides a test needs to find a difference of :data:`_TESTED`."""
    mean = ((used.score or 0.0) + (challenger.score or 0.0)) / 2
    return max(400, 100 * ceil(2 * _POWER * mean * (1 - mean) / _TESTED**2 / 100))


def _prices(task: TaskFacts, one: RankedModel, other: RankedModel) -> str:
    costs = [task.cost(each) for each in (one, other)]
    return enumerated(["an unknown cost" if cost is None else dollars(cost) for cost in costs])
