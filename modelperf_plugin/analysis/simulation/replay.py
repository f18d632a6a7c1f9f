"""Replay: the success of a policy on recorded outcomes, in which the outcome of every model is known.

A fresh :class:`~modelperf_plugin.engine.core.ModelPerf` chooses for each instance and learns the outcome of its choice
only, as in real use, while the report compares with all other outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from random import Random
from statistics import fmean
from typing import Any, Literal

from modelperf_plugin.analysis.simulation.outcomes_file import Instance, OutcomeData
from modelperf_plugin.analysis.simulation.play import (
    MIGRATION_GUIDE_RULE,
    Progress,
    Step,
    learning_curve,
    play,
    shares_of,
    standard_error,
)
from modelperf_plugin.analysis.simulation.tries import TriesReport, tries_report
from modelperf_plugin.analysis.views.trends import add_up
from modelperf_plugin.config import ConfigSource, load
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.quality import by_score
from modelperf_plugin.values import MAX_ATTEMPTS, Outcome, Tally

Order = Literal["shuffled", "recorded"]
Run = Sequence[Step[Instance]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one way of choosing; the mean over the repeats if it depends on chance."""

    success_rate: float
    """Where there are scores, their mean: an outcome with a score counts by it; so in all rates of a report."""
    standard_error: float | None = None
    """Over the repeats, like ``cost_standard_error``; None if the rate is exact or there was one repeat."""
    cost_per_success_usd: float | None = None
    """US dollars for each success, unknown costs taken at the mean; None without a known cost."""
    cost_standard_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult(Result):
    """The result of one model on all instances."""

    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTypeResult:
    """The results on one task type."""

    task_type: str
    instances: int
    success_rate: float
    """The policy's success rate, mean over the repeats."""
    random_success_rate: float
    """The exact success rate of a random choice."""
    best_model: str
    """The best model in hindsight."""
    best_success_rate: float
    most_chosen_model: str
    """The model that the policy chose most often; ``most_chosen_share`` is its share of the decisions."""
    most_chosen_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """The result of a policy on recorded outcomes, beside those of other ways of choosing.

    What is best "in hindsight" was selected by the outcomes that it is judged by: the fewer instances, the more
    flattering a bound.
    """

    source: str
    models: tuple[str, ...]
    """The models, all offered for every instance."""
    instances: int
    """Instances replayed, each once in every repeat."""
    repeats: int
    """Number of replays, each in another order or with other random numbers."""
    order: Order
    """``shuffled``, or ``recorded``: by time."""
    seed: int
    decisions: int
    """Decisions of the policy in all repeats together."""
    outcomes: int
    """Known outcomes: models × instances."""
    graded: int
    """Outcomes with a score."""
    unpriced: int
    left_out_models: tuple[str, ...]
    """Models in the data that were not offered."""
    left_out_instances: int
    """Instances without an outcome of every model offered."""
    policy: Result
    document_rule: Result
    """The migration guide's rule, without exploration or demotion."""
    random: Result
    """A model drawn at random every time; exact."""
    best_single: ModelResult
    best_per_task_type: Result
    cheapest: ModelResult | None
    """The model with the lowest mean cost; None if no cost is known."""
    regret: float
    """Success lost against the best single model, per decision; below 0 if the policy is better than that."""
    explored_share: float
    """Share of the policy's decisions for a model other than the best-ranked one, to learn about it."""
    shares: Mapping[str, float]
    """Each model's share of the policy's decisions, largest first."""
    learning_curve: tuple[float, ...]
    """The policy's success rate in each tenth of a run; fewer parts if there are fewer instances."""
    task_types: tuple[TaskTypeResult, ...]
    """The most frequent task type first."""
    attempts: int
    """Maximum number of tries at a task; all other figures of this report are of first tries."""
    tries: TriesReport | None
    """What whole tasks came to; None with one try a task."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        values = asdict(self) | {"tries": None if self.tries is None else self.tries.as_dict()}
        for name in ("models", "left_out_models", "learning_curve", "task_types"):
            values[name] = list(values[name])
        return values


def replay(
    data: OutcomeData,
    config: ConfigSource = None,
    *,
    models: Sequence[str] | None = None,
    repeats: int = 5,
    order: Order = "shuffled",
    attempts: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> ReplayReport:
    """Replay a policy on the dense core of ``data``; the migration guide's rule is replayed in the same orders.

    A minute passes with every decision. A policy whose mode is ``observe`` or ``off`` is replayed as if its
    mode were ``apply``.

    Args:
        data: recorded outcomes.
        config: the policy: a path, a Config, a mapping in the shape of the TOML, or None to discover it.
        models: the models to offer; by default those of the dense core.
        repeats: number of replays, 1 or more.
        order: ``shuffled`` in each repeat, or ``recorded``: by the time of each instance's first outcome if all have
            one, otherwise as in the file.
        attempts: maximum number of tries at a task, 1 or more: the models of a decision are tried in its order until
            one succeeds. By default the policy's ``[retries] attempts``.
        seed: makes orders and choices repeatable.
        progress: called after each decision with the number of decisions so far and in all.

    Raises:
        InvalidValueError: an argument is not usable, or no two models have an instance in common.
        ConfigError: the configuration is not usable.
    """
    if repeats < 1:
        raise InvalidValueError("repeats", "a whole number of 1 or more", repeats)
    if order not in {"shuffled", "recorded"}:
        raise InvalidValueError("order", "shuffled or recorded", order, typed=True)
    if attempts is not None and not 1 <= attempts <= MAX_ATTEMPTS:
        raise InvalidValueError("attempts", f"a whole number from 1 to {MAX_ATTEMPTS}", attempts)
    policy, rule = load(config).config, load(MIGRATION_GUIDE_RULE).config
    core = data.dense_core(models).passing(policy.quality.pass_score)
    recorded = [_without_times(each) for each in _by_time(core.instances)]
    attempts = policy.retries.attempts if attempts is None else attempts
    total, done = 2 * repeats * len(recorded), count(1)

    def on_step() -> None:
        if progress is not None:
            progress(next(done), total)

    rounds = []
    for repeat in range(repeats):
        rng = Random(f"{seed}/{repeat}")
        instances = recorded if order == "recorded" else rng.sample(recorded, len(recorded))
        run_seed = rng.getrandbits(32)
        rounds.append(
            [
                play(each, instances, _outcome_of, seed=run_seed, attempts=attempts, on_step=on_step)
                for each in (policy, rule)
            ]
        )
    runs, rule_runs = zip(*rounds, strict=True)
    tries = None
    if attempts > 1:
        tries = tries_report(core.instances, runs, rule_runs, attempts=attempts, objective=policy.cost)
    return _report(data, core, runs, rule_runs, order=order, seed=seed, attempts=attempts, tries=tries)


def _outcome_of(instance: Instance, model_id: str) -> Outcome:
    return instance.outcomes[model_id]


def _by_time(instances: Sequence[Instance]) -> Sequence[Instance]:
    timed = [(each.started, position) for position, each in enumerate(instances) if each.started is not None]
    return instances if len(timed) < len(instances) else [instances[position] for _, position in sorted(timed)]


def _without_times(instance: Instance) -> Instance:
    """Return ``instance`` without times, so that the clock of the replay stamps its outcomes."""
    outcomes = {model_id: replace(outcome, timestamp=None) for model_id, outcome in instance.outcomes.items()}
    return instance._replace(outcomes=outcomes)


def _report(
    data: OutcomeData, core: OutcomeData, runs: Sequence[Run], rule_runs: Sequence[Run], *, order: Order, seed: int,
    attempts: int, tries: TriesReport | None,
) -> ReplayReport:  # fmt: skip
    steps = [step for run in runs for step in run]
    known = _Hindsight(core)
    policy = _mean(runs)
    return ReplayReport(
        source=data.source, models=core.models, instances=len(core.instances), repeats=len(runs), order=order,
        seed=seed, decisions=len(steps), outcomes=core.outcomes, graded=core.graded,
        unpriced=known.everything.samples - known.everything.priced,
        left_out_models=tuple(model_id for model_id in data.models if model_id not in core.models),
        left_out_instances=len(data.instances) - len(core.instances), policy=policy, document_rule=_mean(rule_runs),
        random=_exact(known.everything), best_single=_as_model(known.best_single),
        best_per_task_type=_exact(add_up(known.best_of.values())),
        cheapest=None if known.cheapest is None else _as_model(known.cheapest),
        regret=_rate(known.best_single) - policy.success_rate, explored_share=fmean(step.explored for step in steps),
        shares=shares_of(steps, core.models), learning_curve=learning_curve(runs, lambda step: step.outcome.grade),
        task_types=_by_task_type(known, steps, len(runs)), attempts=attempts, tries=tries,
    )  # fmt: skip


class _Hindsight:
    """The best choices by the outcomes of all models."""

    def __init__(self, core: OutcomeData) -> None:
        cells: dict[tuple[str, str], Tally] = {}
        for instance in core.instances:
            for model_id, outcome in instance.outcomes.items():
                cell = instance.task_type, model_id
                cells[cell] = cells.get(cell, Tally(*cell)).plus(outcome, 0)
        tasks, models = core.task_types, core.models
        by_model = [add_up((cells[task, model_id] for task in tasks), model_id=model_id) for model_id in models]
        self.everything = add_up(by_model)
        """All outcomes: the expected result of a random choice."""
        self.best_single = _best(by_model)
        self.best_of = {task: _best([cells[task, model_id] for model_id in models]) for task in tasks}
        self.random_of = {task: add_up(cells[task, model_id] for model_id in models) for task in tasks}
        priced = [(cost, tally) for tally in by_model if (cost := tally.mean_cost_usd) is not None]
        self.cheapest = min(priced, key=lambda pair: pair[0])[1] if priced else None


def _best(tallies: Sequence[Tally]) -> Tally:
    """Return the tally with the best success rate, or mean score; the first by name of equals."""
    return min(tallies, key=lambda tally: (-_rate(tally), tally.model_id))


def _rate(tally: Tally) -> float:
    return by_score(tally.successes, tally.failures, tally.score_shift)[0] / tally.samples


def _exact(tally: Tally) -> Result:
    return Result(success_rate=_rate(tally), cost_per_success_usd=tally.cost_per_success_usd)


def _as_model(tally: Tally) -> ModelResult:
    return ModelResult(model_id=tally.model_id, **asdict(_exact(tally)))


def _mean(runs: Sequence[Run]) -> Result:
    tallies = []
    for run in runs:
        tally = Tally("", "")
        for step in run:
            tally = tally.plus(step.outcome, 0)
        tallies.append(tally)
    rates = [_rate(tally) for tally in tallies]
    costs = [cost for tally in tallies if (cost := tally.cost_per_success_usd) is not None]
    known = len(costs) == len(runs)
    return Result(
        success_rate=fmean(rates),
        standard_error=standard_error(rates),
        cost_per_success_usd=fmean(costs) if known else None,
        cost_standard_error=standard_error(costs) if known else None,
    )


def _by_task_type(known: _Hindsight, steps: Run, repeats: int) -> tuple[TaskTypeResult, ...]:
    grouped: dict[str, list[Step[Instance]]] = {task: [] for task in known.best_of}
    for step in steps:
        grouped[step.task.task_type].append(step)
    rows = []
    for task, own in grouped.items():
        most_chosen, share = next(iter(shares_of(own).items()))
        best = known.best_of[task]
        result = TaskTypeResult(
            task_type=task, instances=len(own) // repeats, success_rate=fmean(step.outcome.grade for step in own),
            random_success_rate=_rate(known.random_of[task]), best_model=best.model_id, best_success_rate=_rate(best),
            most_chosen_model=most_chosen, most_chosen_share=share,
        )  # fmt: skip
        rows.append(result)
    return tuple(sorted(rows, key=lambda row: (-row.instances, row.task_type)))
