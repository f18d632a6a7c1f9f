"""Findings about the policy: tests, exploration and thresholds that have done their work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from modelperf_plugin.analysis.views.advice.values import (
    NOTHING,
    Advice,
    Effect,
    Estimate,
    Facts,
    TaskFacts,
    difference,
    in_points,
    rate,
    section,
)
from modelperf_plugin.policy import Adaptive, EpsilonGreedy
from modelperf_plugin.policy.demotion import DemoteByEvidence
from modelperf_plugin.policy.sequential.two_sample_test import Rate
from modelperf_plugin.text import count, enumerated, percent, span
from modelperf_plugin.values import RankedModel

MIN_OUTCOMES: Final = 200
"""Outcomes of a task type before its policy is judged."""
MIN_MODEL_OUTCOMES: Final = 30
LITTLE: Final = 0.01
"""A share of exploration that is not worth a finding."""
_SLACK: Final = 0.05
"""A threshold that never acts is this far below what the margin does."""


def decided_tests(facts: Facts) -> Iterator[Advice]:
    """Yield A/B tests with a winner whose split continues: the configured contest has a verdict, and no promotion."""
    for trial in facts.trials:
        if not trial.configured or trial.winner is None or trial.test.promote:
            continue
        task_type = trial.test.task_type
        (incumbent, a), (challenger, b) = trial.sides
        loser, lost_share = (
            (incumbent, 1 - trial.test.share) if trial.winner == challenger else (challenger, trial.share)
        )
        gain = difference(_of(b), _of(a)) if trial.winner == challenger else difference(_of(a), _of(b))
        effect = gain.times(lost_share)
        yield Advice(
            kind="test",
            task_types=(task_type,),
            models=(incumbent, challenger),
            finding=f"{trial.winner} has won the A/B test on {task_type}, but {loser} still gets {percent(lost_share)}",
            evidence=trial.verdict,
            change="let the winner have all decisions",
            toml=f"{section(facts.config, task_type, 'exploration')}\npromote = true",
            effect=Effect(f"{in_points(effect)} on this task type", effect),
        )


def _of(side: Rate) -> Estimate:
    return Estimate(side.rate or 0.0, (side.low, side.high))


def settled(facts: Facts) -> Iterator[Advice]:
    """Yield uniform exploration of more than :data:`LITTLE` where nothing is left to be found out.

    On every task type with that section the best model is surely better than each other one: their intervals do not
    overlap, with :data:`MIN_MODEL_OUTCOMES` each and :data:`MIN_OUTCOMES` together.
    """
    for header, tasks in _by_section(facts, "exploration"):
        exploration = tasks[0].policy.exploration
        if isinstance(exploration, EpsilonGreedy):
            share, what = exploration.epsilon, "epsilon"
            toml = f'{header}\nstrategy = "adaptive"  # instead of epsilon_greedy; remove epsilon'
        elif isinstance(exploration, Adaptive):
            share, what, toml = exploration.evaluation_share, "evaluation_share", f"{header}\nevaluation_share = 0.0"
        else:
            continue
        if share <= LITTLE or not all(map(_is_settled, tasks)):
            continue
        effect = _price_of_drawing(tasks, share)
        worst = max(tasks, key=lambda task: task.outcomes)
        yield Advice(
            kind="exploration",
            task_types=tuple(task.task_type for task in tasks),
            finding=f"{what} still sends {percent(share)} of the decisions to models at random, although the best one "
            f"is known on {_named(tasks)}",
            evidence=f"for example on {worst.task_type}: {described(worst.models[0])}, all others at most "
            f"{percent(max(row.interval[1] for row in worst.models[1:] if row.interval is not None))}",
            change="stop drawing at random; adaptive exploration notices later changes by itself",
            toml=toml,
            effect=Effect(f"{in_points(effect)} on these task types", effect),
        )


def _is_settled(task: TaskFacts) -> bool:
    best, *others = task.models or (None,)
    if best is None or best.interval is None or not others or task.outcomes < MIN_OUTCOMES:
        return False
    low = best.interval[0]
    return all(
        row.interval is not None and row.interval[1] < low and row.tally.samples >= MIN_MODEL_OUTCOMES for row in others
    )


def _price_of_drawing(tasks: Sequence[TaskFacts], share: float) -> Estimate:
    """Return the success that a uniform share of the decisions costs against using the best model of each task type."""
    total, price = sum(task.outcomes for task in tasks), NOTHING
    for task in tasks:
        best, *others = task.models
        for row in others:
            lost = difference(rate(best), rate(row))
            price = price.plus(lost.times(share / len(task.models) * task.outcomes / total))
    return price


def idle_threshold(facts: Facts) -> Iterator[Advice]:
    """Yield thresholds of demotion below which no model comes, because the margin demotes it long before.

    On every task type with that section, with :data:`MIN_OUTCOMES`, two models are surely above threshold plus margin,
    by :data:`_SLACK`. As soon as these fall, the threshold may act again; a default is not named.
    """
    for header, tasks in _by_section(facts, "demotion"):
        demotion = tasks[0].policy.demotion
        if not isinstance(demotion, DemoteByEvidence) or demotion.threshold is None or demotion.margin is None:
            continue
        margins = [_margin_acts_at(task, demotion.margin) for task in tasks]
        acting = [each for each in margins if each is not None]
        if len(acting) < len(margins) or min(acting) < demotion.threshold + _SLACK:
            continue
        yield Advice(
            kind="threshold",
            task_types=tuple(task.task_type for task in tasks),
            finding=f"the demotion threshold of {demotion.threshold:g} never acts: margin demotes models before",
            evidence=f"with margin = {demotion.margin:g} a model is demoted below {min(acting):.2f} or more on "
            f"{_named(tasks)}, because two models are surely better than that by the margin",
            change=f"remove it, or set it above {min(acting):.2f} if models below that are not good enough",
            toml=f"{header}\n# threshold = {demotion.threshold:g}",
            effect=Effect("no choice changes as long as the best models are as good as now", NOTHING),
        )


def _margin_acts_at(task: TaskFacts, margin: float) -> float | None:
    """Return below which rate the margin demotes any model; None if that is not known."""
    lows = sorted((row.interval[0] for row in task.models if row.interval is not None), reverse=True)
    known = sum(row.tally.samples for row in task.models)
    return lows[1] - margin if len(lows) > 1 and known >= MIN_OUTCOMES else None


def _by_section(facts: Facts, name: Literal["exploration", "demotion"]) -> Iterator[tuple[str, list[TaskFacts]]]:
    """Yield the sections of a policy that are in force, each with its task types."""
    groups: dict[str, list[TaskFacts]] = {}
    for task in facts.tasks:
        groups.setdefault(section(facts.config, task.task_type, name), []).append(task)
    yield from groups.items()


def described(row: RankedModel) -> str:
    """Return the interval of a model and its outcomes."""
    return f"{row.model_id} {span(row.interval)} of {row.tally.samples:,}"


def _named(tasks: Sequence[TaskFacts]) -> str:
    return enumerated([task.task_type for task in tasks]) if len(tasks) <= 5 else count(len(tasks), "task type")
