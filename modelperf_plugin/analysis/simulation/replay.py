"""Replay: what a policy would have got on recorded outcomes.

Each instance's models are offered to a fresh :class:`~modelperf_plugin.engine.core.ModelPerf`; what its choice
would have got is looked up, and only that is told to it. So the policy learns from its own choices alone, as
in real use, while the judge knows what every other choice would have got.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from statistics import fmean
from typing import Any, Literal

from modelperf_plugin.analysis.simulation.outcomes_file import Instance, OutcomeData
from modelperf_plugin.analysis.simulation.play import (
    MIGRATION_GUIDE_RULE,
    Step,
    learning_curve,
    play,
    shares_of,
    standard_error,
)
from modelperf_plugin.config import Config, ConfigSource, load
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import Tally

Order = Literal["shuffled", "recorded"]
Run = Sequence[Step[Instance]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one way of choosing got. What depends on chance is the mean over the repeats."""

    success_rate: float
    """Share of the instances done well."""
    standard_error: float | None = None
    """Standard error of that over the repeats; None if it is exact or there was one repeat."""
    cost_per_success_usd: float | None = None
    """US dollars spent for each success; None without a known cost. Unknown costs are taken at the mean."""
    cost_standard_error: float | None = None
    """Standard error of that over the repeats; None like the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult(Result):
    """What one model would have got, had it been given everything."""

    model_id: str
    """The model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTypeResult:
    """How it went for one task type."""

    task_type: str
    """The class of work."""
    instances: int
    """How many instances there are of it."""
    success_rate: float
    """What the policy got: share done well, mean over the repeats."""
    random_success_rate: float
    """What a random choice would have got, exactly."""
    best_model: str
    """The best model of this task type in hindsight."""
    best_success_rate: float
    """What that would have got."""
    most_chosen_model: str
    """The model that the policy chose most often."""
    most_chosen_share: float
    """How often, as a share of the decisions of this task type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What a policy would have got on recorded outcomes, beside what others would have got.

    What is best "in hindsight" was picked by the same outcomes that it is judged by: a bound that is the
    more flattering, the fewer instances there are.
    """

    source: str
    """Where the outcomes come from."""
    models: tuple[str, ...]
    """The models that were offered, every time all of them."""
    instances: int
    """Instances replayed, each once in every repeat."""
    repeats: int
    """How often everything was replayed, in another order or with other random numbers."""
    order: Order
    """``shuffled``, or ``recorded``: by time."""
    seed: int
    """The same seed gives the same report."""
    decisions: int
    """Decisions of the policy in all repeats together."""
    outcomes: int
    """Outcomes that could have been looked up: models × instances."""
    unpriced: int
    """How many of them came without a cost."""
    left_out_models: tuple[str, ...]
    """Models in the data that were not offered."""
    left_out_instances: int
    """Instances in the data that were not replayed, because the outcome of a model is not known."""
    policy: Result
    """The policy under test."""
    document_rule: Result
    """The best success rate among models tried three times, without exploration or demotion."""
    random: Result
    """A model drawn at random every time; exact."""
    best_single: ModelResult
    """The best model in hindsight if one had to do everything."""
    best_per_task_type: Result
    """The best model of every task type in hindsight."""
    cheapest: ModelResult | None
    """The model with the lowest mean cost; None if no cost is known."""
    regret: float
    """Success lost against the best single model, per decision; below 0 if the policy is better than that."""
    explored_share: float
    """Share of the policy's decisions for something other than the best-ranked model, to learn about it."""
    shares: Mapping[str, float]
    """For every model the share of the policy's decisions, most first."""
    learning_curve: tuple[float, ...]
    """What the policy got in each tenth of a run, first to last; fewer parts if there are fewer instances."""
    task_types: tuple[TaskTypeResult, ...]
    """One row for each task type, the most frequent first."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        values = asdict(self)
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
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayReport:
    """Replay a policy on the dense core of ``data``; the migration guide's rule is replayed in the same orders.

    A minute passes with every decision. A policy whose mode is ``observe`` or ``off`` is replayed as if its
    mode were ``apply``.

    Args:
        data: recorded outcomes.
        config: the policy: a path, a Config, a mapping in the shape of the TOML, or None to discover it.
        models: offer these alone; by default the models of the dense core.
        repeats: how often to replay everything, at least 1.
        order: ``shuffled``, anew for each repeat, or ``recorded``: by the time of each instance's first
            outcome if all have one, otherwise as in the file.
        seed: makes orders and choices repeatable.
        progress: called after each decision with the number of decisions made and to be made.

    Raises:
        InvalidValueError: an argument is not usable, or no two models have an instance in common.
        ConfigError: the configuration is not usable.
    """
    if repeats < 1:
        raise InvalidValueError("repeats", "a whole number of 1 or more", repeats)
    if order not in {"shuffled", "recorded"}:
        raise InvalidValueError("order", "shuffled or recorded", order)
    core = data.dense_core(models)
    recorded = [_without_times(each) for each in _by_time(core.instances)]
    ticker = _Ticker(progress, 2 * repeats * len(recorded))
    under_test, rule = load(config).config, load(MIGRATION_GUIDE_RULE).config
    runs, rule_runs = [], []
    for repeat in range(repeats):
        rng = Random(f"{seed}/{repeat}")
        instances = recorded if order == "recorded" else rng.sample(recorded, len(recorded))
        run_seed = rng.getrandbits(32)
        runs.append(_run(under_test, instances, run_seed, ticker))
        rule_runs.append(_run(rule, instances, run_seed, ticker))
    return _report(data, core, runs, rule_runs, order=order, seed=seed)


class _Ticker:
    """Counts decisions and tells whoever wants to know."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress = progress
        self._done = 0
        self._total = total

    def tick(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _by_time(instances: Sequence[Instance]) -> Sequence[Instance]:
    started = [(each.started, each) for each in instances]
    timed = [(moment, each) for moment, each in started if moment is not None]
    if len(timed) < len(started):
        return instances
    return [each for _, each in sorted(timed, key=lambda pair: pair[0])]


def _without_times(instance: Instance) -> Instance:
    """Return ``instance`` with outcomes that are stamped by the clock of the replay."""
    outcomes = {model_id: replace(outcome, timestamp=None) for model_id, outcome in instance.outcomes.items()}
    return instance._replace(outcomes=outcomes)


def _run(config: Config, instances: Iterable[Instance], seed: int, ticker: _Ticker) -> Run:
    return play(
        config, instances, lambda instance, model_id: instance.outcomes[model_id], seed=seed, on_step=ticker.tick
    )


def _report(
    data: OutcomeData,
    core: OutcomeData,
    runs: Sequence[Run],
    rule_runs: Sequence[Run],
    *,
    order: Order,
    seed: int,
) -> ReplayReport:
    steps = [step for run in runs for step in run]
    known = _Hindsight(core)
    policy = _mean(runs)
    return ReplayReport(
        source=data.source,
        models=core.models,
        instances=len(core.instances),
        repeats=len(runs),
        order=order,
        seed=seed,
        decisions=len(steps),
        outcomes=core.outcomes,
        unpriced=known.everything.samples - known.everything.priced,
        left_out_models=tuple(model_id for model_id in data.models if model_id not in core.models),
        left_out_instances=len(data.instances) - len(core.instances),
        policy=policy,
        document_rule=_mean(rule_runs),
        random=_exact(known.everything),
        best_single=_as_model(known.best_single),
        best_per_task_type=_exact(_sum(known.best_of.values())),
        cheapest=None if known.cheapest is None else _as_model(known.cheapest),
        regret=_rate(known.best_single) - policy.success_rate,
        explored_share=fmean(step.explored for step in steps),
        shares=shares_of(steps, core.models),
        learning_curve=learning_curve(runs, lambda step: step.outcome.success),
        task_types=_by_task_type(known, steps, len(runs)),
    )


class _Hindsight:
    """What the outcomes say when all of them are known."""

    def __init__(self, core: OutcomeData) -> None:
        cells: dict[tuple[str, str], Tally] = {}
        for instance in core.instances:
            for model_id, outcome in instance.outcomes.items():
                cell = instance.task_type, model_id
                cells[cell] = cells.get(cell, Tally(*cell)).plus(outcome, 0)
        by_model = [_sum(cells[task, model_id] for task in core.task_types) for model_id in core.models]
        self.everything = _sum(by_model)
        """All outcomes: what a random choice is expected to get."""
        self.best_single = _best(by_model)
        self.best_of = {task: _best([cells[task, model_id] for model_id in core.models]) for task in core.task_types}
        """For each task type the tally of its best model."""
        self.random_of = {task: _sum(cells[task, model_id] for model_id in core.models) for task in core.task_types}
        """For each task type all outcomes."""
        priced = [(cost, tally) for tally in by_model if (cost := tally.mean_cost_usd) is not None]
        self.cheapest = min(priced, key=lambda pair: pair[0])[1] if priced else None


def _sum(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of ``tallies``, under the names of the first one."""
    first, *others = tallies
    for each in others:
        first = first._replace(
            successes=first.successes + each.successes,
            failures=first.failures + each.failures,
            total_cost_nano_usd=first.total_cost_nano_usd + each.total_cost_nano_usd,
            priced=first.priced + each.priced,
        )
    return first


def _best(tallies: Sequence[Tally]) -> Tally:
    """Return the tally with the best success rate; the first by name of equals."""
    return min(tallies, key=lambda tally: (-_rate(tally), tally.model_id))


def _rate(tally: Tally) -> float:
    return tally.successes / tally.samples


def _exact(tally: Tally) -> Result:
    return Result(success_rate=_rate(tally), cost_per_success_usd=tally.cost_per_success_usd)


def _as_model(tally: Tally) -> ModelResult:
    return ModelResult(model_id=tally.model_id, **asdict(_exact(tally)))


def _mean(runs: Sequence[Run]) -> Result:
    """Return what the runs got on average, and how sure that average is."""
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
        rows.append(
            TaskTypeResult(
                task_type=task,
                instances=len(own) // repeats,
                success_rate=fmean(step.outcome.success for step in own),
                random_success_rate=_rate(known.random_of[task]),
                best_model=best.model_id,
                best_success_rate=_rate(best),
                most_chosen_model=most_chosen,
                most_chosen_share=share,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.instances, row.task_type)))
