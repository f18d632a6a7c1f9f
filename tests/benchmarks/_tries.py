"""A host that tries the models of a decision in turn, driven through the hooks, and what its store says afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import cache
from math import sqrt
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any, Final, NamedTuple

import pluggy

import modelperf_plugin as mp
from modelperf_plugin.analysis.simulation.outcomes_file import read_outcomes
from modelperf_plugin.config import load
from modelperf_plugin.errors import ConfigError
from tests.benchmarks._orders import Instance, Try
from tests.benchmarks.decisions import OUTCOMES, SCALE

ATTEMPTS: Final = 3
POOLS: Final = max(2, round(12 * min(SCALE, 1.0)))
REPEATS: Final = max(1, round(2 * SCALE))
"""Orders of the instances, for every pool."""
LONG: Final = 4_000
"""Decisions of a long replay, its instances drawn again."""

ENOUGH_LATER_TRIES: Final = 30
"""From which on the stated success of a model is compared with the truth."""
POOL_SIZE: Final = 5


def plans_available() -> bool:
    """Return whether this version can be told how many tries the host makes."""
    try:
        load({"retries": {"attempts": ATTEMPTS}})
    except ConfigError:
        return False
    return True


def config_for(attempts: int, cost: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a configuration that names the tries of the host, if this version takes that, and the objective."""
    config: dict[str, Any] = {} if cost is None else {"cost": dict(cost)}
    if attempts > 1 and plans_available():
        config["retries"] = {"attempts": attempts}
    return config


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean; 0 for a single value."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0


def scaled(count: int) -> int:
    """Return how many of ``count`` runs to do."""
    return max(4, round(count * SCALE))


class Task(NamedTuple):
    """A task and what every model would do on it."""

    task_type: str
    outcomes: Instance


class Host:
    """A host with the plugin, which starts with nothing."""

    def __init__(self, config: Mapping[str, Any], seed: int, store: str | Path = ":memory:") -> None:
        self._pm = pluggy.PluginManager("benchmark")
        self.plugin = mp.register(self._pm, config=dict(config), store=store, seed=seed)

    def choose(self, task_type: str, candidates: Sequence[str]) -> mp.Decision:
        """Return what the hook decides."""
        decision: mp.Decision | None = self._pm.hook.select_model(
            task_type=task_type, candidates=candidates, context=None
        )
        if decision is None:
            raise SystemExit("select_model answered None: the figures would mean nothing")
        return decision

    def record(self, task_type: str, model_id: str, tried: Try, decision: mp.Decision | None) -> None:
        """Hand an outcome over."""
        outcome = mp.Outcome(success=tried.success, cost_usd=tried.usd)
        self._pm.hook.on_task_complete(task_type=task_type, model_id=model_id, outcome=outcome, decision=decision)

    def walk(self, task: Task, candidates: Sequence[str], attempts: int) -> list[tuple[str, Try]]:
        """Try the models of one decision in its order until one solves the task, ``attempts`` of them at most."""
        decision = self.choose(task.task_type, candidates)
        tries = []
        for model_id in decision[:attempts]:
            tried = task.outcomes[model_id]
            self.record(task.task_type, model_id, tried, decision)
            tries.append((model_id, tried))
            if tried.success:
                break
        return tries

    def close(self) -> None:
        """Close the plugin; failed hook calls would make the figures worthless."""
        failed = self.plugin.failure_count()
        self.plugin.close()
        if failed:
            raise SystemExit(f"{failed} hook calls failed: the figures would mean nothing")


class Verdicts(NamedTuple):
    """What a host's store says of models that did not change."""

    pairs: int
    """Pairs of task type and model that could have been demoted."""
    demotions: int
    false_demotions: int
    """Those of models that reach the bar they were demoted under."""
    changes: int


class Replayed(NamedTuple):
    """One replay through the hooks."""

    first: float
    """Share of the tasks that the first try solved."""
    solved: float
    usd: float
    """US dollars a task."""
    errors: tuple[float, ...]
    """For every model with enough later tries its stated success less the truth."""
    verdicts: Verdicts


@cache
def tasks_of(source: str) -> tuple[tuple[str, ...], list[Task]]:
    """Return the models of a file's dense core, and its tasks."""
    core = read_outcomes(OUTCOMES / f"{source}.csv.gz").dense_core()
    tasks = [
        Task(each.task_type, {name: Try(it.success, it.cost_usd or 0.0) for name, it in each.outcomes.items()})
        for each in core.instances
    ]
    return core.models, tasks


def pools_of(source: str, count: int) -> list[tuple[str, ...]]:
    """Return random pools of five models, the same as those of the benchmark ``decisions``."""
    models, _ = tasks_of(source)
    rng = Random(f"pools/{source}")
    return [tuple(rng.sample(models, POOL_SIZE)) for _ in range(count)]


def replay(
    config: Mapping[str, Any], seed: int, tasks: Sequence[Task], order: Iterable[Task], pool: Sequence[str],
    *, attempts: int,
) -> Replayed:  # fmt: skip
    """Let a new host do the tasks of ``order``, which come from ``tasks``; those are the truth."""
    host = Host(config, seed)
    later: Counter[str] = Counter()
    walks = []
    for task in order:
        tries = host.walk(task, pool, attempts)
        later.update(model_id for model_id, _ in tries[1:])
        walks.append(tries)
    errors = _errors(host, tasks, [model_id for model_id in pool if later[model_id] >= ENOUGH_LATER_TRIES])
    verdicts = _verdicts(host, tasks, pool)
    host.close()
    return Replayed(
        first=fmean(tries[0][1].success for tries in walks),
        solved=fmean(tries[-1][1].success for tries in walks),
        usd=fmean(sum(tried.usd for _, tried in tries) for tries in walks),
        errors=errors,
        verdicts=verdicts,
    )


def _errors(host: Host, tasks: Sequence[Task], models: Sequence[str]) -> tuple[float, ...]:
    counts = Counter(task.task_type for task in tasks)
    stated = dict.fromkeys(models, 0.0)
    for task_type, count in counts.items() if models else ():
        decision = host.plugin.engine().explain(task_type, models)
        for row in decision.ranking if decision else ():
            stated[row.model_id] += (row.score or 0.0) * count / len(tasks)
    return tuple(stated[model_id] - fmean(task.outcomes[model_id].success for task in tasks) for model_id in models)


def _verdicts(host: Host, tasks: Sequence[Task], pool: Sequence[str]) -> Verdicts:
    store = host.plugin.engine().store
    demotions = store.demotions.all()
    false = sum(_rate(tasks, each.task_type, each.model_id) >= each.threshold for each in demotions)
    task_types = {task.task_type for task in tasks}
    return Verdicts(len(task_types) * len(pool), len(demotions), false, len(store.changes.all()))


def _rate(tasks: Iterable[Task], task_type: str, model_id: str) -> float:
    return fmean(task.outcomes[model_id].success for task in tasks if task.task_type == task_type)


class _Job(NamedTuple):
    source: str
    pool: tuple[str, ...]
    repeat: int
    attempts: int
    cost: Mapping[str, Any] | None = None
    long: bool = False


def _replay(job: _Job) -> Replayed:
    """Replay one job; every setting meets the same order of the same instances."""
    _, tasks = tasks_of(job.source)
    rng = Random(f"order/{job.source}/{'/'.join(job.pool)}/{job.repeat}")
    order = rng.choices(tasks, k=LONG) if job.long else rng.sample(tasks, len(tasks))
    config = config_for(job.attempts, job.cost)
    return replay(config, rng.getrandbits(32), tasks, order, job.pool, attempts=job.attempts)


def replayed(
    executor: Executor, source: str, attempts: int, *, cost: Mapping[str, Any] | None = None, long: bool = False
) -> list[list[Replayed]]:
    """Return for each pool its replays."""
    repeats = max(1, REPEATS // 2) if long else REPEATS
    jobs = [_Job(source, pool, it, attempts, cost, long) for pool in pools_of(source, POOLS) for it in range(repeats)]
    found = list(executor.map(_replay, jobs))
    return [found[start : start + repeats] for start in range(0, len(found), repeats)]
