"""Simulated hosts that try again: identical models on easy and hard tasks, and two equal models of unequal price."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial
from random import Random
from statistics import fmean
from typing import Any, Final, NamedTuple

from tests.benchmarks._orders import Try
from tests.benchmarks._tries import Host, Task, scaled
from tests.benchmarks.timing import verdict

IDENTICAL_RUNS, IDENTICAL_TASKS, IDENTICAL_GOAL = 200, 3_000, 0.05
EASY, HARD = 0.95, 0.32


class Model(NamedTuple):
    """A simulated model."""

    rate: float
    """Of success."""
    usd: float
    """US dollars a task."""


LOCK_RUNS, LOCK_TASKS, LOCK_FROM, LOCK_SHARE = 200, 3_000, 2_000, 0.10
LOCK_MODELS: Final = {"expensive": Model(0.78, 0.015), "equal": Model(0.78, 0.0009), "poor": Model(0.45, 0.00003)}
LOCK_OBJECTIVES: Final[Mapping[str, Mapping[str, Any]]] = {
    "cheapest_within .03": {"objective": "cheapest_within", "margin": 0.03},
    "value, $.50 a success": {"objective": "value", "usd_per_success": 0.5},
}


def identical(executor: Executor) -> None:
    """Print how often one of three identical models is demoted because it was given what the others had failed at."""
    found = list(executor.map(_identical, range(scaled(IDENTICAL_RUNS)), chunksize=4))
    demoted, changed = (fmean(each[kind] > 0 for each in found) for kind in (0, 1))
    print(f"Three identical models, tasks easy ({EASY}) or hard ({HARD}), {IDENTICAL_TASKS:,} tasks, every list walked")
    print(
        f"  runs with a demotion: {demoted:.1%} of {len(found)} (goal ≤ {IDENTICAL_GOAL:.0%}: "
        f"{verdict(demoted, IDENTICAL_GOAL)}); with a change: {changed:.1%}"
    )


def _identical(run: int) -> tuple[int, int]:
    rng, models = Random(f"identical/{run}"), ("a", "b", "c")
    host = Host({}, rng.getrandbits(32))
    for _ in range(IDENTICAL_TASKS):
        rate = rng.choice((EASY, HARD))
        host.walk(Task("work", {each: Try(rng.random() < rate, 0.0) for each in models}), models, len(models))
    store = host.plugin.engine().store
    found = len(store.demotions.all()), len(store.changes.all())
    host.close()
    return found


def lock_in(executor: Executor) -> None:
    """Print how often the expensive one of two equal models keeps its work."""
    print(f"Lock-in: {LOCK_TASKS:,} tasks, rates and prices {[tuple(each) for each in LOCK_MODELS.values()]}")
    for name, cost in LOCK_OBJECTIVES.items():
        found = list(executor.map(partial(_lock_in, cost), range(scaled(LOCK_RUNS)), chunksize=4))
        stuck = sum(each > LOCK_SHARE for each in found)
        print(
            f"  {name:<24}expensive one has > {LOCK_SHARE:.0%} after {LOCK_FROM:,} tasks: {stuck} of {len(found)} runs "
            f"(goal 0: {verdict(stuck, 0)}); its share: mean {fmean(found):.3f}, most {max(found):.2f}",
            flush=True,
        )


def _lock_in(cost: Mapping[str, Any], run: int) -> float:
    rng, models = Random(f"lock-in/{run}"), list(LOCK_MODELS)
    host = Host({"cost": dict(cost)}, rng.getrandbits(32))
    late = 0
    for position in range(LOCK_TASKS):
        outcomes = {name: Try(rng.random() < model.rate, model.usd) for name, model in LOCK_MODELS.items()}
        ((chosen, _),) = host.walk(Task("work", outcomes), models, 1)
        late += position >= LOCK_FROM and chosen == "expensive"
    host.close()
    return late / (LOCK_TASKS - LOCK_FROM)
