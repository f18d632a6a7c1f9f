"""An example host: an orchestrator that uses the plugin through two hooks only.

It has a :class:`pluggy.PluginManager` under its own project name, declares the hooks itself, and asks for a model
before every task. If a provider fails, it tries the next fallback of the decision, and reports the failed attempt like
any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from os import PathLike
from random import Random
from typing import Any, Final

import pluggy

from modelperf_plugin.analysis.simulation.play import Clock
from modelperf_plugin.config import ConfigSource
from modelperf_plugin.demo.comparison import Luck, Task, other_ways
from modelperf_plugin.demo.report import Attempt, DemoReport, DemoTask, Noticed, report_of
from modelperf_plugin.demo.world import DAYS, WORLD, World
from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.hooks.plugin import Plugin, register
from modelperf_plugin.values import Decision, Outcome, to_milliseconds

PROJECT: Final = "demo-orchestrator"
TASKS: Final = 1400
"""Default number of tasks: a hundred a day."""
SPAN: Final = timedelta(days=DAYS)
"""Simulated duration of a run, which ends at the last midnight (UTC)."""
POLICY: Final = (files(__package__) / "policy.toml").read_text(encoding="utf-8")
"""The policy of the demo where there is no other, as TOML."""
_DAY_MS: Final = 86_400_000

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


def run_demo(
    config: ConfigSource = None,
    store: str | PathLike[str] = ":memory:",
    tasks: int = TASKS,
    *,
    seed: int = 0,
    on_task: Callable[[DemoTask], None] | None = None,
    world: World = WORLD,
) -> DemoReport:
    """Let an orchestrator do ``tasks`` tasks in ``world``, learning as it goes.

    Args:
        config: the policy: a path, a Config, a mapping in the shape of the TOML, or None to discover it.
        store: the destination of the outcomes; a run continues with those already there.
        tasks: number of tasks, 1 or more, spread evenly over the days; their types are drawn at random.
        seed: the same seed gives the same run from an empty store.
        on_task: called after every task.
        world: the models and task types, and what happens to them.

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
    work = tasks_of(world, tasks, seed)
    luck = Luck(world, seed)
    plugin = register(manager, config, store=store, clock=clock, seed=seed)
    try:
        failure = plugin.engine().store.degraded
        if failure is not None:  # a host could do without; a demonstration of learning cannot
            raise StoreError(failure)
        # not Random(seed): the plugin draws from that, and candidates must not be in step with its exploration
        done = _work(manager, work, luck, Random(f"{PROJECT}/{seed}"), _next_task(plugin, clock, on_task))
        noticed = _noticed(plugin, to_milliseconds(midnight - SPAN))
    finally:
        plugin.close()
    before = tasks_of(world, max(1, tasks // DAYS), f"{seed}/before", days=0)
    return report_of(world, done, noticed, tuple(other_ways(world, luck, work, before, seed)))


def tasks_of(world: World, count: int, seed: object, days: float = DAYS) -> list[Task]:
    """Return ``count`` tasks, spread evenly over ``days`` from the beginning; the same for every policy."""
    task_types = Random(f"tasks/{seed}").choices(list(world.task_types), k=count)
    return [
        Task(number, task_type, world.conditions(days * (number - 1) / count))
        for number, task_type in enumerate(task_types, start=1)
    ]


def _work(
    manager: pluggy.PluginManager,
    work: Sequence[Task],
    luck: Luck,
    rng: Random,
    on_task: Callable[[DemoTask], None],
) -> list[DemoTask]:
    done = []
    for task in work:
        candidates = rng.sample(task.conditions.offered, len(task.conditions.offered))
        decision = manager.hook.select_model(task_type=task.task_type, candidates=candidates, context=None)
        order = candidates if decision is None else list(decision)  # without an opinion any order will do
        done.append(DemoTask(task=task, decision=decision, attempts=_try_in_turn(manager, luck, task, order, decision)))
        on_task(done[-1])
    return done


def _next_task(plugin: Plugin, clock: Clock, on_task: Callable[[DemoTask], None] | None) -> Callable[[DemoTask], None]:
    """Return what follows a task: simulated time passes, in which the plugin learns from it."""
    engine = plugin.engine()

    def advance(done: DemoTask) -> None:
        engine.settle()
        clock.advance()
        if on_task is not None:
            on_task(done)

    return advance


def _try_in_turn(
    manager: pluggy.PluginManager, luck: Luck, task: Task, order: Sequence[str], decision: Decision | None
) -> tuple[Attempt, ...]:
    """Try the models in turn until one of them meets no outage, and report every attempt."""
    attempts = []
    for model_id, outcome in luck.tries(task, order):
        manager.hook.on_task_complete(task_type=task.task_type, model_id=model_id, outcome=outcome, decision=decision)
        attempts.append(Attempt(model_id, outcome))
    return tuple(attempts)


def _noticed(plugin: Plugin, start_ms: int) -> list[Noticed]:
    """Return which models were found to do worse, and on which day."""
    store = plugin.engine().store
    changes = [(each.model_id, each.noticed_ms) for each in store.changes.all() if each.direction == "down"]
    demotions = [(each.model_id, each.since_ms) for each in store.demotions.all()]
    return [Noticed(model_id, (moment_ms - start_ms) / _DAY_MS) for model_id, moment_ms in changes + demotions]
