"""An example host: an orchestrator that uses the plugin through two hooks only.

It has a :class:`pluggy.PluginManager` under its own project name, declares the hooks itself, and asks for a model
before every task. If a provider fails, it tries the next fallback of the decision, and reports the failed attempt like
any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from os import PathLike
from random import Random
from statistics import fmean
from typing import Any, Final, NamedTuple

import pluggy

from modelperf_plugin.analysis.simulation.play import Clock, parts_of
from modelperf_plugin.analysis.simulation.scenario import Scenario
from modelperf_plugin.config import ConfigSource
from modelperf_plugin.demo.world import SOURCES, WORLD
from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.hooks.plugin import register
from modelperf_plugin.values import Decision, Outcome

PROJECT: Final = "demo-orchestrator"
MAX_ATTEMPTS: Final = 3
"""Maximum number of models tried for one task while providers fail."""
SPAN: Final = timedelta(days=14)
"""Simulated duration of a run, which ends at the last midnight (UTC)."""

_hookspec = pluggy.HookspecMarker(PROJECT)


class OrchestratorHooks:
    """The hooks of this host."""

    @_hookspec(firstresult=True)
    def select_model(
        self, task_type: str, candidates: Sequence[str], context: Mapping[str, Any] | None
    ) -> Sequence[str] | None:
        """Called before a task: return model ids in the order to try them, or None for no opinion."""

    @_hookspec
    def on_task_complete(self, task_type: str, model_id: str, outcome: Outcome, decision: Any) -> None:
        """Called after every attempt at a task."""


class Attempt(NamedTuple):
    model_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTask:
    """One task with its attempts."""

    number: int
    """Counted from 1."""
    task_type: str
    decision: Decision | None
    """None if the plugin had no opinion."""
    attempts: tuple[Attempt, ...]
    """All but the last met an outage."""

    @property
    def success(self) -> bool:
        """Whether the last attempt succeeded."""
        return self.attempts[-1].outcome.success

    @property
    def cost_usd(self) -> float:
        """US dollars for all attempts."""
        return sum(attempt.outcome.cost_usd for attempt in self.attempts)


class Reference(NamedTuple):
    """The expected result of another way of choosing on the tasks of this run, by the true rates of the world."""

    success_rate: float
    cost_per_success_usd: float


@dataclass(frozen=True, slots=True)
class CurvePart:
    """A part of the run."""

    tasks: int
    success_rate: float
    expected_success: float
    """Mean true success rate of the chosen models: the quality of the choices, without luck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTypeSummary:
    """The plugin's final belief about one task type, and the truth."""

    task_type: str
    benchmark: str
    """The benchmark behind its success rates."""
    tasks: int
    success_rate: float
    random_success: float
    """Expected success rate of a random choice."""
    learned_model: str | None
    """The model ranked first at the last task of this type; None if the plugin had no opinion."""
    estimate: float | None
    """The plugin's estimate of its success rate; ``interval`` is the 95 % interval."""
    interval: tuple[float, float] | None
    learned_success: float | None
    """Its true success rate."""
    best_model: str
    """The truly best model; ``best_success`` is its true success rate."""
    best_success: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """The results of a run."""

    tasks: int
    attempts: int
    """Calls of models, retries included."""
    outages: int
    timeouts: int
    explored: int
    """Tasks given to a model other than the best-ranked one, to learn about it."""
    success_rate: float
    cost_usd: float
    cost_per_success_usd: float | None
    """None without a success."""
    random: Reference
    best_single_model: str
    """The best model if one had to do everything."""
    best_single: Reference
    best_per_task_type: Reference
    """The best model of each task type: the most that can be learned."""
    curve: tuple[CurvePart, ...]
    """The run in three parts, first to last."""
    learned: tuple[TaskTypeSummary, ...]
    sources: tuple[str, ...] = SOURCES

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        values = asdict(self)
        for name in ("random", "best_single", "best_per_task_type"):
            values[name] = getattr(self, name)._asdict()
        for row in values["learned"]:
            row["interval"] = row["interval"] and list(row["interval"])
        for name in ("curve", "learned", "sources"):
            values[name] = list(values[name])
        return values


def run_demo(
    config: ConfigSource = None,
    store: str | PathLike[str] = ":memory:",
    tasks: int = 600,
    *,
    seed: int = 0,
    on_task: Callable[[DemoTask], None] | None = None,
    world: Scenario = WORLD,
) -> DemoReport:
    """Let an orchestrator do ``tasks`` tasks in ``world``, learning as it goes.

    Args:
        config: the policy: a path, a Config, a mapping in the shape of the TOML, or None to discover it.
        store: the destination of the outcomes; a run continues with those already there.
        tasks: number of tasks, 1 or more; their types are drawn at random.
        seed: the same seed gives the same run from an empty store.
        on_task: called after every task.
        world: the models and task types.

    Raises:
        InvalidValueError: ``tasks`` is below 1.
        ConfigError: the configuration is not usable.
        StoreError: the store cannot be used.
    """
    if tasks < 1:
        raise InvalidValueError("tasks", "a whole number of 1 or more", tasks)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(OrchestratorHooks)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    clock = Clock(midnight - SPAN, SPAN / tasks)
    plugin = register(manager, config, store=store, clock=clock, seed=seed)
    try:
        failure = plugin.engine().store.degraded
        if failure is not None:  # a host could do without; a demonstration of learning cannot
            raise StoreError(failure)
        # not Random(seed): the plugin draws from that, and tasks must not be in step with its exploration
        done = _work(manager, world, tasks, Random(f"{PROJECT}/{seed}"), clock, on_task)
    finally:
        plugin.close()
    return _report(world, done)


def _work(
    manager: pluggy.PluginManager,
    world: Scenario,
    tasks: int,
    rng: Random,
    clock: Clock,
    on_task: Callable[[DemoTask], None] | None,
) -> list[DemoTask]:
    done = []
    task_types = rng.choices(list(world.task_types), k=tasks)  # the same for every policy
    for number, task_type in enumerate(task_types, start=1):
        candidates = rng.sample(list(world.models), len(world.models))
        decision = manager.hook.select_model(task_type=task_type, candidates=candidates, context=None)
        order = candidates if decision is None else list(decision)  # without an opinion any order will do
        attempts = _try_in_turn(manager, world, rng, task_type, order[:MAX_ATTEMPTS], decision)
        done.append(DemoTask(number=number, task_type=task_type, decision=decision, attempts=attempts))
        clock.advance()
        if on_task is not None:
            on_task(done[-1])
    return done


def _try_in_turn(
    manager: pluggy.PluginManager,
    world: Scenario,
    rng: Random,
    task_type: str,
    order: Sequence[str],
    decision: Decision | None,
) -> tuple[Attempt, ...]:
    """Try the models in turn until one of them meets no outage, and report every attempt."""
    attempts = []
    for model_id in order:
        outcome = world.run_task(rng, task_type, model_id)
        manager.hook.on_task_complete(task_type=task_type, model_id=model_id, outcome=outcome, decision=decision)
        attempts.append(Attempt(model_id, outcome))
        if outcome.blame != "provider":
            break
    return tuple(attempts)


def _report(world: Scenario, done: Sequence[DemoTask]) -> DemoReport:
    counts = Counter(task.task_type for task in done)
    outcomes = [attempt.outcome for task in done for attempt in task.attempts]
    successes = sum(task.success for task in done)
    cost_usd = sum(task.cost_usd for task in done)
    single = world.best_single_model(counts)
    return DemoReport(
        tasks=len(done), attempts=len(outcomes), outages=sum(outcome.blame == "provider" for outcome in outcomes),
        timeouts=sum(outcome.timeout for outcome in outcomes),
        explored=sum(task.decision is not None and task.decision.explored for task in done),
        success_rate=successes / len(done), cost_usd=cost_usd,
        cost_per_success_usd=cost_usd / successes if successes else None,
        random=_reference(world, counts, dict.fromkeys(counts, tuple(world.models))), best_single_model=single,
        best_single=_reference(world, counts, dict.fromkeys(counts, (single,))),
        best_per_task_type=_reference(world, counts, {name: (world.best_model(name),) for name in counts}),
        curve=_curve(world, done),
        learned=tuple(_learned(world, name, done) for name in world.task_types if counts[name]),
    )  # fmt: skip


def _reference(world: Scenario, counts: Mapping[str, int], choice: Mapping[str, Sequence[str]]) -> Reference:
    """Return the expected result if each task type goes, in equal parts, to the models of its ``choice``."""
    successes = cost = 0.0
    for task_type, count in counts.items():
        models = choice[task_type]
        successes += count * fmean(world.expected_success(task_type, model_id) for model_id in models)
        cost += count * fmean(world.expected_cost_usd(task_type, model_id) for model_id in models)
    return Reference(successes / sum(counts.values()), cost / successes)


def _curve(world: Scenario, done: Sequence[DemoTask], parts: int = 3) -> tuple[CurvePart, ...]:
    """Return ``done`` in ``parts`` of nearly equal length; fewer if there are fewer tasks."""
    return tuple(
        CurvePart(
            len(done[part]),
            fmean(task.success for task in done[part]),
            fmean(world.expected_success(task.task_type, task.attempts[0].model_id) for task in done[part]),
        )
        for part in parts_of(len(done), parts)
    )


def _learned(world: Scenario, task_type: str, done: Sequence[DemoTask]) -> TaskTypeSummary:
    tasks = [task for task in done if task.task_type == task_type]
    decision = tasks[-1].decision
    first = None if decision is None else decision.ranking[0]
    best = world.best_model(task_type)
    return TaskTypeSummary(
        task_type=task_type, benchmark=world.task_types[task_type].benchmark, tasks=len(tasks),
        success_rate=fmean(task.success for task in tasks),
        random_success=fmean(world.expected_success(task_type, model_id) for model_id in world.models),
        learned_model=None if first is None else first.model_id, estimate=None if first is None else first.score,
        interval=None if first is None else first.interval,
        learned_success=None if first is None else world.expected_success(task_type, first.model_id), best_model=best,
        best_success=world.expected_success(task_type, best),
    )  # fmt: skip
